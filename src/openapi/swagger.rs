//! Swagger 2.0 where it differs: parameters that are their own schema, bodies and forms among the parameters, media types
//! beside the operation.

use serde_json::{Map, Value, json};

use super::{
    Body, Document, Parameter, ParameterLocation, Style,
    operation::{self, Lowering},
    text,
};

/// The parameters and the body of an operation.
pub(super) fn lower(
    lowering: &mut Lowering<'_>,
    operation: &Value,
    declared: &[&Value],
) -> (Vec<Parameter>, Option<Body>) {
    let mut parameters = Vec::new();
    let mut form: Vec<&Value> = Vec::new();
    let mut body = None;
    let consumes = media_types(lowering.document, operation, "consumes");
    for parameter in declared {
        match text(parameter, "in").as_deref() {
            Some("body") => {
                let media_type = consumes.iter().min_by_key(|media_type| operation::rank(media_type));
                let media_type = media_type.map_or("application/json", String::as_str);
                let schema = parameter.get("schema").cloned().unwrap_or_else(|| json!({}));
                let stated = parameter.get("required") == Some(&Value::Bool(true));
                body = Some(lowering.body_of(media_type, schema, stated, text(parameter, "description")));
            }
            Some("formData") => form.push(parameter),
            Some(location) => {
                let Some(location) = ParameterLocation::parse(location) else { continue };
                let lowered = lowering.described(parameter, location, own_schema(parameter));
                let (style, explode) = collection_format(parameter, location);
                parameters.extend(lowered.map(|lowered| Parameter { style, explode, ..lowered }));
            }
            None => {}
        }
    }
    if body.is_none() && !form.is_empty() {
        body = Some(form_body(lowering, &form, &consumes));
    }
    (parameters, body)
}

/// The media type and the schema of a response.
pub(super) fn answer<'a>(
    document: &Document,
    operation: &Value,
    response: &'a Value,
) -> Option<(String, Option<&'a Value>)> {
    let schema = response.get("schema")?;
    let produces = media_types(document, operation, "produces");
    let media_type = produces.into_iter().min_by_key(|media_type| operation::rank(media_type));
    Some((media_type.unwrap_or_else(|| "application/json".to_owned()), Some(schema)))
}

/// The media types of an operation, else those of the document.
fn media_types(document: &Document, operation: &Value, name: &str) -> Vec<String> {
    let own = operation.get(name).or_else(|| document.root().get(name)).and_then(Value::as_array);
    own.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// A form as one body: an object with a member for each field.
fn form_body(lowering: &mut Lowering<'_>, fields: &[&Value], consumes: &[String]) -> Body {
    let is_file = |field: &&Value| field.get("type").is_some_and(|kind| kind == "file");
    let multipart = fields.iter().any(is_file)
        || consumes.iter().any(|media_type| media_type.starts_with("multipart/"))
            && !consumes.iter().any(|media_type| media_type.contains("urlencoded"));
    let media_type = if multipart { "multipart/form-data" } else { "application/x-www-form-urlencoded" };
    let (mut properties, mut required) = (Map::new(), Vec::new());
    for field in fields {
        let Some(name) = text(field, "name") else { continue };
        if field.get("required") == Some(&Value::Bool(true)) {
            required.push(name.clone());
        }
        properties.insert(name, own_schema(field));
    }
    let schema = json!({ "type": "object", "properties": properties, "required": required });
    lowering.body_of(media_type, schema, false, None)
}

/// The schema that a parameter itself is: its `required` is no keyword of schemas, and its name and place say nothing.
fn own_schema(parameter: &Value) -> Value {
    let Value::Object(members) = parameter else { return json!({}) };
    let mut schema = members.clone();
    for name in ["name", "in", "required", "collectionFormat", "allowEmptyValue"] {
        schema.shift_remove(name);
    }
    Value::Object(schema)
}

fn collection_format(parameter: &Value, location: ParameterLocation) -> (Style, bool) {
    let plain = match location {
        ParameterLocation::Path | ParameterLocation::Header => Style::Simple,
        ParameterLocation::Query | ParameterLocation::Cookie => Style::Form,
    };
    match text(parameter, "collectionFormat").as_deref() {
        Some("multi") => (Style::Form, true),
        Some("ssv") => (Style::SpaceDelimited, false),
        Some("pipes") => (Style::PipeDelimited, false),
        Some("tsv") => (Style::TabDelimited, false),
        _ => (plain, false),
    }
}
