//! One operation of a document, converted: parameters, body and answer of OpenAPI 3; those of Swagger 2.0 are in
//! `swagger.rs`.

use serde_json::{Map, Value};

use super::{
    Answer, Body, Document, Edition, Operation, Outline, Parameter, ParameterLocation, Style, single, swagger, text,
};
use crate::{media_type, schema::dialect::Direction};

/// Converts a schema of the document.
type Convert<'a> = dyn FnMut(Value, Direction) -> Value + 'a;

/// What lowering an operation works with.
pub(super) struct Lowering<'a> {
    pub(super) document: &'a Document,
    /// How its schemas are converted.
    pub(super) convert: &'a mut Convert<'a>,
}

impl Document {
    /// An operation in full, its schemas without references. What is wrong in it is left out.
    pub fn operation(&self, outline: &Outline) -> Operation {
        let mut convert = |schema, direction| self.inlined(schema, direction);
        Lowering { document: self, convert: &mut convert }.operation(outline)
    }
}

impl Lowering<'_> {
    pub(super) fn operation(mut self, outline: &Outline) -> Operation {
        let document = self.document;
        let Outline { id, method, path, span } = outline;
        let item = document.root().get("paths").and_then(|paths| paths.get(path)).map(|item| document.follow(item));
        let item = item.unwrap_or(&Value::Null);
        let operation = item.get(method.to_ascii_lowercase()).unwrap_or(&Value::Null);
        let declared = document.declared(item, operation);
        let (parameters, body) = match self.document.edition {
            Edition::OpenApi3 => {
                (declared.iter().filter_map(|parameter| self.parameter(parameter)).collect(), self.body(operation))
            }
            Edition::Swagger2 => swagger::lower(&mut self, operation, &declared),
        };
        let tags = operation.get("tags").and_then(Value::as_array);
        Operation {
            id: id.clone(),
            method: method.clone(),
            path: path.clone(),
            summary: text(operation, "summary"),
            description: text(operation, "description"),
            tags: tags.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect(),
            deprecated: operation.get("deprecated") == Some(&Value::Bool(true)),
            parameters,
            body,
            answer: self.answer(operation),
            span: *span,
        }
    }

    fn parameter(&mut self, parameter: &Value) -> Option<Parameter> {
        let location = ParameterLocation::parse(&text(parameter, "in")?)?;
        let content = parameter.get("content").and_then(Value::as_object).and_then(|content| content.values().next());
        let schema = content.and_then(|content| content.get("schema")).or_else(|| parameter.get("schema"));
        let own = match text(parameter, "style").as_deref() {
            _ if content.is_some() => Some(Style::Json),
            Some("simple") => Some(Style::Simple),
            Some("form") => Some(Style::Form),
            Some("spaceDelimited") => Some(Style::SpaceDelimited),
            Some("pipeDelimited") => Some(Style::PipeDelimited),
            Some("deepObject") => Some(Style::DeepObject),
            Some("tabDelimited") => Some(Style::TabDelimited), // no word of OpenAPI, but of what `import` writes
            Some("label") => Some(Style::Label),
            Some("matrix") => Some(Style::Matrix),
            _ => None,
        };
        let style = own.unwrap_or(match location {
            ParameterLocation::Path | ParameterLocation::Header => Style::Simple,
            ParameterLocation::Query | ParameterLocation::Cookie => Style::Form,
        });
        let explode = parameter.get("explode").and_then(Value::as_bool).unwrap_or(style == Style::Form);
        let schema = schema.cloned().unwrap_or_else(|| Value::Object(Map::new()));
        self.described(parameter, location, schema).map(|parameter| Parameter { style, explode, ..parameter })
    }

    /// A parameter with its schema converted, and its own words and marks put into that.
    pub(super) fn described(
        &mut self,
        parameter: &Value,
        location: ParameterLocation,
        schema: Value,
    ) -> Option<Parameter> {
        let name = text(parameter, "name")?;
        let mut schema = (self.convert)(schema, Direction::Request);
        let description = text(parameter, "description");
        if let Value::Object(schema) = &mut schema {
            schema.extend(description.iter().flat_map(|text| single("description", text.as_str())));
            if parameter.get("deprecated") == Some(&Value::Bool(true)) {
                schema.insert("deprecated".to_owned(), Value::Bool(true));
            }
        }
        let required = parameter.get("required") == Some(&Value::Bool(true)) || location == ParameterLocation::Path;
        Some(Parameter { name, location, required, description, schema, style: Style::Form, explode: true })
    }

    fn body(&mut self, operation: &Value) -> Option<Body> {
        let body = self.document.follow(operation.get("requestBody")?);
        let (media_type, content) = best(body.get("content")?.as_object()?)?;
        let schema = content.get("schema").cloned().unwrap_or_else(|| untyped(media_type));
        let stated = body.get("required") == Some(&Value::Bool(true));
        Some(self.body_of(media_type, schema, stated, text(body, "description")))
    }

    /// A body of a media type and a schema as written.
    pub(super) fn body_of(
        &mut self,
        media_type: &str,
        schema: Value,
        stated: bool,
        description: Option<String>,
    ) -> Body {
        let schema = (self.convert)(schema, Direction::Request);
        let required = stated || schema.get("required").is_some();
        Body { media_type: media_type.to_owned(), schema, required, description }
    }

    /// The answer of the best successful status: one with JSON before one without, 200 before the others.
    fn answer(&mut self, operation: &Value) -> Option<Answer> {
        let responses = operation.get("responses")?.as_object()?;
        let mut successes: Vec<(&String, &Value)> =
            responses.iter().filter(|(status, _)| status.starts_with('2')).collect();
        if successes.is_empty() && responses.len() == 1 {
            successes.extend(responses.get_key_value("default"));
        }
        successes.sort_by_key(|(status, _)| status.to_ascii_uppercase().replace('X', "~"));
        let document = self.document;
        let answers = successes.iter().filter_map(|(_, response)| {
            let response = document.follow(response);
            match document.edition {
                Edition::OpenApi3 => {
                    let (media_type, content) = best(response.get("content")?.as_object()?)?;
                    Some((media_type.to_owned(), content.get("schema")))
                }
                Edition::Swagger2 => swagger::answer(document, operation, response),
            }
        });
        let (media_type, schema) = answers.min_by_key(|(media_type, _)| rank(media_type) > 1)?;
        let schema = schema.map(|schema| (self.convert)(schema.clone(), Direction::Answer));
        Some(Answer { media_type, schema })
    }
}

impl Document {
    /// The parameters of an operation, followed, those of its path first; its own replace those of its path.
    fn declared<'a>(&'a self, item: &'a Value, operation: &'a Value) -> Vec<&'a Value> {
        let mut declared: Vec<&Value> = Vec::new();
        for holder in [item, operation] {
            let parameters = holder.get("parameters").and_then(Value::as_array);
            for parameter in parameters.into_iter().flatten().map(|parameter| self.follow(parameter)) {
                let key = |parameter: &Value| (text(parameter, "name"), text(parameter, "in"));
                match declared.iter_mut().find(|known| key(known) == key(parameter)) {
                    Some(known) => *known = parameter,
                    None => declared.push(parameter),
                }
            }
        }
        declared.retain(|parameter| !is_set_by_http(parameter));
        declared
    }
}

/// Parameters that OpenAPI says are to be ignored: HTTP itself sets them.
fn is_set_by_http(parameter: &Value) -> bool {
    let name = text(parameter, "name").unwrap_or_default().to_ascii_lowercase();
    text(parameter, "in").as_deref() == Some("header")
        && matches!(name.as_str(), "accept" | "content-type" | "authorization")
}

/// The media type to use of several.
fn best(content: &Map<String, Value>) -> Option<(&str, &Value)> {
    content
        .iter()
        .min_by_key(|(media_type, _)| rank(media_type))
        .map(|(media_type, content)| (media_type.as_str(), content))
}

/// How gladly a media type is used: JSON, then forms, text, anything. Parameters (`; charset=utf-8`) do not count.
pub(super) fn rank(media_type: &str) -> u8 {
    let essence = media_type::essence(media_type);
    match essence.as_str() {
        "application/json" | "text/json" => 0,
        json if media_type::is_json(json) => 1,
        "*/*" | "application/*" => 2,
        "application/x-www-form-urlencoded" => 3,
        "multipart/form-data" => 4,
        text if text.starts_with("text/") => 5,
        xml if media_type::is_xml(xml) => 6,
        _ => 7,
    }
}

/// The schema of content of which only the media type is known.
pub(super) fn untyped(media_type: &str) -> Value {
    let schema = match rank(media_type) {
        0..=4 => Map::new(),
        5 | 6 => single("type", "string"),
        _ => {
            let mut schema = single("type", "string");
            schema.extend(single("format", "binary"));
            schema
        }
    };
    Value::Object(schema)
}
