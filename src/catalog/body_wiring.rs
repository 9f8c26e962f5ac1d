//! Lowering the body of an operation: a template that its spec writes out, or the parameters `in: body`, typed by what an
//! OpenAPI document says of them. A continuation of `wiring.rs`.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{
    body::{BodyTemplate, Encoding, PartTemplate},
    compile::{Compiler, Target},
    fill::Fill,
    input::Argument,
    request::QueryStyle,
    resolve::Names,
    typing::{described, flat_members},
    wiring::Lowering,
};
use crate::{
    diagnostic::{Code, Diagnostic, Span},
    media_type, openapi,
    spec::{
        Body, BodyKind, InputParameter, Location, ParametersAs, Part, Spanned,
        template::{Piece, pieces},
        yaml::{self, Node},
    },
};

/// The argument that is a whole body.
const WHOLE: &str = "body";

impl Compiler<'_> {
    /// The body of an operation. `None` where it has an error.
    pub(super) fn body(
        &mut self,
        parameters: &[&InputParameter],
        lowering: &mut Lowering<'_, '_>,
    ) -> Option<BodyTemplate> {
        let in_body: Vec<&InputParameter> =
            parameters.iter().filter(|parameter| parameter.place() == Some(Location::Body)).copied().collect();
        match &lowering.target.operation.body {
            None => Some(self.body_of_parameters(&in_body, None, lowering)),
            Some(Body { kind: BodyKind::Parameters(kind), .. }) => {
                Some(self.body_of_parameters(&in_body, Some(*kind), lowering))
            }
            Some(body) => {
                let body = self.body_of_template(body, &lowering.names)?;
                let document = lowering.joined.as_ref().and_then(|joined| joined.body.clone());
                let mut by_argument: HashMap<String, &InputParameter> = HashMap::new();
                for parameter in in_body {
                    by_argument.entry(super::names::argument(&parameter.name.value)).or_insert(parameter);
                }
                let any = matches!(body, BodyTemplate::Json(_));
                for (member, fill) in members_of(&body) {
                    let known = document.as_ref().and_then(|body| match member {
                        Some(name) => body.schema.get("properties")?.get(name),
                        None => Some(&body.schema),
                    });
                    if let Some(known) = known {
                        lowering.refine(fill, known);
                    }
                    self.feed_placeholders(fill, any, &by_argument, lowering);
                }
                Some(body)
            }
        }
    }

    /// Whether the body of an operation is one parameter, or one that only a document knows, whose members can be fed.
    pub(super) fn has_members(&mut self, target: Target<'_>, parameters: &[&InputParameter]) -> bool {
        let is_template = match target.operation.body.as_ref().map(|body| &body.kind) {
            None | Some(BodyKind::Parameters(ParametersAs::Form | ParametersAs::Multipart)) => false,
            Some(BodyKind::Parameters(kind)) => matches!(kind, ParametersAs::Text(_)),
            Some(_) => true,
        };
        let document = self.join(target).and_then(|joined| joined.body.clone());
        let mut in_body = parameters.iter().filter(|parameter| parameter.place() == Some(Location::Body));
        let is_object = |whole: &InputParameter| whole.kind.as_ref().is_none_or(|kind| kind.value == "object");
        !is_template
            && match (in_body.next(), in_body.next()) {
                (None, _) => document.is_some() && takes_body(&target.operation.method.value),
                (Some(whole), None) => is_object(whole) && is_whole(whole, document.as_ref()),
                _ => false,
            }
    }

    fn body_of_template(&mut self, body: &Body, names: &Names<'_>) -> Option<BodyTemplate> {
        let text = |names: &Names<'_>, text: &str| names.text(text);
        if let Some(name) = open_name(&body.kind) {
            let message = "a placeholder stands in the name of a member, where nothing is filled in";
            let problem = Diagnostic::error(Code::InvalidValue, name, message);
            self.problems.push(problem.with_help("write the name out, or pass the object as a whole as one argument"));
            return None;
        }
        Some(match &body.kind {
            BodyKind::Parameters(_) => BodyTemplate::None,
            BodyKind::Json(node) => match &node.value {
                yaml::Value::String(written) => match names.json_text(written) {
                    Ok(fill) => BodyTemplate::Json(fill),
                    Err(place) => {
                        let message =
                            format!("the body is no JSON once its placeholders are filled: it breaks at {place}");
                        self.problems.push(
                            Diagnostic::error(Code::InvalidValue, body.span, message)
                                .with_help("for a body that is no JSON, write `body: {type: text, data: …}`"),
                        );
                        return None;
                    }
                },
                _ => BodyTemplate::Json(names.node(node, &text)),
            },
            BodyKind::Text { media_type, data } => {
                let fill = names.text(&data.value);
                let fill = if media_type.ends_with("xml") { escaped(fill) } else { fill };
                BodyTemplate::Text { media_type: (*media_type).to_owned(), fill, encoding: Encoding::Plain }
            }
            BodyKind::Form(fields) => {
                let fields = fields.iter().map(|(name, node)| (name.value.clone(), names.node(node, &text)));
                BodyTemplate::Form(fields.collect())
            }
            BodyKind::EncodedForm(written) => {
                let plain = |text: &str| {
                    let spaced = text.replace('+', " ");
                    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
                };
                let pairs = written.value.trim().split('&').filter(|pair| !pair.is_empty());
                let pairs = pairs.map(|pair| {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (plain(name), names.text(&plain(value)))
                });
                BodyTemplate::Form(pairs.collect())
            }
            BodyKind::Multipart(parts) => {
                let parts = parts.iter().map(|Part { name, value, filename, content_type }| PartTemplate {
                    name: name.value.clone(),
                    fill: names.node(value, &text),
                    filename: filename.as_ref().map(|filename| names.text(&filename.value)),
                    content_type: content_type.as_ref().map(|kind| kind.value.clone()),
                    encoding: Encoding::Plain,
                });
                BodyTemplate::Multipart(parts.collect())
            }
        })
    }

    /// The arguments of a body's placeholders, added where the tool declares none itself: with the type of the parameter
    /// of that name, else that of the member in the document's body. `any` says that the body holds any kind of value.
    fn feed_placeholders(
        &mut self,
        fill: &Fill,
        any: bool,
        in_body: &HashMap<String, &InputParameter>,
        lowering: &mut Lowering<'_, '_>,
    ) {
        if lowering.arguments.declared {
            return;
        }
        for name in fill.arguments() {
            if lowering.arguments.has(name) {
                continue;
            }
            let parameter = in_body.get(name);
            let schema = match parameter {
                Some(parameter) => self.declared_schema(parameter).unwrap_or_else(|| json!({})),
                None => {
                    let body = lowering.joined.as_ref().and_then(|joined| joined.body.as_ref());
                    let member = body.and_then(|body| body.schema.get("properties")?.get(name));
                    // What takes the place of a JSON value may be any; within a text it is text.
                    let any = any && stands_alone(fill, name);
                    member.cloned().unwrap_or_else(|| if any { json!({}) } else { json!({"type": "string"}) })
                }
            };
            let required = parameter.and_then(|parameter| parameter.required.as_ref());
            let required = required.is_some_and(|required| required.value);
            lowering.arguments.add(Argument { name: name.to_owned(), schema, required });
        }
    }

    /// The body that parameters make: one that is the whole body, its members arguments of their own where its schema
    /// names them and no name is taken; parameters of other names are members of an object.
    fn body_of_parameters(
        &mut self,
        parameters: &[&InputParameter],
        kind: Option<ParametersAs>,
        lowering: &mut Lowering<'_, '_>,
    ) -> BodyTemplate {
        let document = lowering.joined.as_ref().and_then(|joined| joined.body.clone());
        match parameters {
            [] => match document {
                // The spec says nothing of a body that the document has.
                Some(document) if takes_body(&lowering.target.operation.method.value) => {
                    let span = lowering.target.operation.span;
                    let parameter = InputParameter::bare(Spanned::new(WHOLE.to_owned(), span));
                    self.whole_body(&parameter, Some(document), kind, lowering)
                }
                _ => BodyTemplate::None,
            },
            [single] if is_whole(single, document.as_ref()) => self.whole_body(single, document, kind, lowering),
            members => {
                if let [single] = members {
                    let name = &single.name.value;
                    let message = format!("`{name}` is sent as the member `{name}` of a JSON object");
                    self.problems.push(
                        Diagnostic::note(Code::NamedBodyMember, single.name.span, message)
                            .with_help("to send it as the whole body, name it `body`"),
                    );
                }
                let mut slots = Vec::new();
                for member in members {
                    if let Some(fill) = self.slot(member, &QueryStyle::Repeat, lowering) {
                        slots.push((member.name.value.clone(), fill));
                    }
                }
                of_members(slots, kind, document.as_ref())
            }
        }
    }

    fn whole_body(
        &mut self,
        whole: &InputParameter,
        document: Option<openapi::Body>,
        kind: Option<ParametersAs>,
        lowering: &mut Lowering<'_, '_>,
    ) -> BodyTemplate {
        let untyped = whole.schema.is_none() && whole.keywords.is_empty();
        let document = document.filter(|_| untyped);
        let description = whole.description.as_ref().map(|text| text.value.as_str());
        let schema = match &document {
            Some(body) => described(body.schema.clone(), description.or(body.description.as_deref())),
            None if whole.kind.is_none() && untyped => json!({"type": "object"}),
            None => self.declared_schema(whole).unwrap_or_else(|| json!({})),
        };
        if is_always_empty(&schema) {
            return BodyTemplate::Json(Fill::Object(Vec::new())); // nothing to ask a model for
        }
        if !lowering.names.members.is_empty() && !lowering.names.with.contains_key(&whole.name.value) {
            let mut slots = Vec::new();
            for (path, fill) in std::mem::take(&mut lowering.names.members) {
                let known = path.iter().try_fold(&schema, |schema, name| schema.get("properties")?.get(name));
                if let Some(known) = known {
                    lowering.refine(&fill.value, known);
                }
                put(&mut slots, &path, fill.value);
            }
            return of_members(slots, kind, document.as_ref());
        }
        let fill = lowering.names.parameter(whole);
        let is_own = matches!(&fill, Fill::Argument(name) if *name == super::names::argument(&whole.name.value));
        let flat = flat_members(&schema, |name| lowering.arguments.has(name)).filter(|_| is_own);
        if let Some(members) = flat.filter(|_| !lowering.arguments.declared) {
            let slots = members.iter().map(|member| (member.name.clone(), member.fill())).collect();
            let body = of_members(slots, kind, document.as_ref());
            let files = matches!(body, BodyTemplate::Multipart(_));
            for member in members {
                lowering.arguments.add(match member.argument {
                    file if files && is_bytes(&file.schema) => Argument { schema: in_base64(&file.schema), ..file },
                    other => other,
                });
            }
            return body;
        }
        let stated = whole.required.as_ref().is_some_and(|required| required.value);
        let required = stated || document.as_ref().is_some_and(|body| body.required);
        let media_type = document.as_ref().map(|body| body.media_type.as_str());
        let text = match (kind, media_type) {
            (Some(ParametersAs::Text(media_type)), _) => Some(media_type),
            (None, Some(media_type)) if !is_json(media_type) && !is_form(media_type) => Some(media_type),
            _ => None,
        };
        let binary = text.is_some_and(|media_type| !media_type.starts_with("text/") && !media_type.contains("xml"));
        let schema = match text {
            Some(_) if binary => in_base64(&described(json!({}), description)),
            Some(_) => described(json!({"type": "string"}), Some(description.unwrap_or("The text to send."))),
            None => schema,
        };
        if document.is_some() && text.is_none() {
            lowering.refine(&fill, &schema);
        }
        let Some(fill) = self.feed(fill, Some(schema), required, lowering) else { return BodyTemplate::None };
        match text {
            Some(media_type) => {
                let encoding = if binary { Encoding::Base64 } else { Encoding::Plain };
                BodyTemplate::Text { media_type: media_type.to_owned(), fill, encoding }
            }
            None => BodyTemplate::Json(fill),
        }
    }
}

/// Where a placeholder stands in the name of a member or a field.
fn open_name(body: &BodyKind) -> Option<Span> {
    let is_open = |name: &str| pieces(name).iter().any(|piece| matches!(piece, Piece::Name(_)));
    let of_fields = |mut names: Box<dyn Iterator<Item = &Spanned<String>> + '_>| {
        names.find(|name| is_open(&name.value)).map(|name| name.span)
    };
    match body {
        BodyKind::Json(node) => open_member(node, &is_open),
        BodyKind::Form(fields) => of_fields(Box::new(fields.iter().map(|(name, _)| name)))
            .or_else(|| fields.iter().find_map(|(_, node)| open_member(node, &is_open))),
        BodyKind::Multipart(parts) => of_fields(Box::new(parts.iter().map(|part| &part.name)))
            .or_else(|| parts.iter().find_map(|part| open_member(&part.value, &is_open))),
        BodyKind::Text { .. } | BodyKind::EncodedForm(_) | BodyKind::Parameters(_) => None,
    }
}

fn open_member(node: &Node, is_open: &impl Fn(&str) -> bool) -> Option<Span> {
    match &node.value {
        yaml::Value::Sequence(items) => items.iter().find_map(|item| open_member(item, is_open)),
        yaml::Value::Mapping(entries) => entries
            .iter()
            .find_map(|(key, node)| if is_open(&key.text) { Some(key.span) } else { open_member(node, is_open) }),
        _ => None,
    }
}

/// The slots of a body: the members of an object or a form by name, or the body as a whole.
fn members_of(body: &BodyTemplate) -> Vec<(Option<&str>, &Fill)> {
    match body {
        BodyTemplate::Json(Fill::Object(members)) | BodyTemplate::Form(members) => {
            members.iter().map(|(name, fill)| (Some(name.as_str()), fill)).collect()
        }
        BodyTemplate::Multipart(parts) => {
            let parts = parts.iter().flat_map(|part| {
                std::iter::once((Some(part.name.as_str()), &part.fill))
                    .chain(part.filename.iter().map(|name| (None, name)))
            });
            parts.collect()
        }
        body => body.fills().into_iter().map(|fill| (None, fill)).collect(),
    }
}

/// Puts what fills a member into objects within each other. A member that is filled as a whole stays so.
fn put(members: &mut Vec<(String, Fill)>, path: &[String], fill: Fill) {
    let [name, rest @ ..] = path else { return };
    let place = match members.iter().position(|(known, _)| known == name) {
        Some(place) => place,
        None => {
            members.push((name.clone(), Fill::Object(Vec::new())));
            members.len() - 1
        }
    };
    match members.get_mut(place) {
        Some((_, member)) if rest.is_empty() => *member = fill,
        Some((_, Fill::Object(inner))) => put(inner, rest, fill),
        _ => {}
    }
}

/// A body of named slots, in the form that is asked for.
fn of_members(
    slots: Vec<(String, Fill)>,
    kind: Option<ParametersAs>,
    document: Option<&openapi::Body>,
) -> BodyTemplate {
    let media_type = document.map(|body| body.media_type.as_str()).unwrap_or_default();
    let member = |name: &str| document.and_then(|body| body.schema.get("properties")?.get(name)).cloned();
    match kind {
        Some(ParametersAs::Form) => BodyTemplate::Form(slots),
        None if media_type.starts_with("application/x-www-form-urlencoded") => BodyTemplate::Form(slots),
        Some(ParametersAs::Multipart) => {
            BodyTemplate::Multipart(slots.into_iter().map(|slot| part(slot, None)).collect())
        }
        None if media_type.starts_with("multipart/") => {
            let parts = slots.into_iter().map(|slot| {
                let schema = member(&slot.0);
                part(slot, schema.as_ref())
            });
            BodyTemplate::Multipart(parts.collect())
        }
        _ => BodyTemplate::Json(Fill::Object(slots)),
    }
}

/// A part of a form. One whose schema is of bytes is a file (OpenAPI 3.1, "Special Considerations for multipart
/// Content"), given in base64.
fn part((name, fill): (String, Fill), schema: Option<&Value>) -> PartTemplate {
    let file = schema.is_some_and(is_bytes);
    PartTemplate {
        filename: file.then(|| Fill::Literal(Value::from(name.as_str()))),
        content_type: file.then(|| "application/octet-stream".to_owned()),
        encoding: if file { Encoding::Base64 } else { Encoding::Plain },
        name,
        fill,
    }
}

fn is_bytes(schema: &Value) -> bool {
    let says = |keyword: &str, words: &[&str]| {
        schema.get(keyword).and_then(Value::as_str).is_some_and(|word| words.contains(&word))
    };
    says("format", &["binary"]) || says("contentEncoding", &["base64", "binary"])
}

/// The schema of bytes that an argument holds in base64 (JSON Schema validation, section 8.3).
fn in_base64(schema: &Value) -> Value {
    let description = schema.get("description").and_then(Value::as_str).map(str::trim).unwrap_or("The bytes to send.");
    let separator = if description.ends_with('.') { "" } else { "." };
    json!({
        "type": "string",
        "contentEncoding": "base64",
        "description": format!("{description}{separator} In base64."),
    })
}

/// Whether only the empty object fits a schema.
fn is_always_empty(schema: &Value) -> bool {
    let has = |keyword: &str| schema.get(keyword).and_then(Value::as_object).is_some_and(|members| !members.is_empty());
    let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
    closed
        && !has("properties")
        && !has("patternProperties")
        && ["oneOf", "anyOf", "allOf"].iter().all(|keyword| schema.get(keyword).is_none())
}

/// Whether a single parameter is the whole body: named so, or an object that the document knows as the body, or one whose
/// name says it.
fn is_whole(parameter: &InputParameter, document: Option<&openapi::Body>) -> bool {
    let name = parameter.name.value.as_str();
    let is_object = parameter.kind.as_ref().is_none_or(|kind| kind.value == "object" || kind.value == "array");
    let is_member =
        document.is_some_and(|body| body.schema.get("properties").is_some_and(|all| all.get(name).is_some()));
    name == WHOLE || (is_object && !is_member && (document.is_some() || name.to_ascii_lowercase().ends_with(WHOLE)))
}

/// Whether an argument is a value of its own somewhere in a JSON value.
fn stands_alone(fill: &Fill, name: &str) -> bool {
    match fill {
        Fill::Argument(argument) => argument == name,
        Fill::List(items) => items.iter().any(|item| stands_alone(item, name)),
        Fill::Object(members) => members.iter().any(|(_, member)| stands_alone(member, name)),
        _ => false,
    }
}

fn takes_body(method: &str) -> bool {
    matches!(method, "POST" | "PUT" | "PATCH")
}

fn is_json(media_type: &str) -> bool {
    media_type::is_json(media_type) || media_type.ends_with("/*")
}

fn is_form(media_type: &str) -> bool {
    media_type.starts_with("multipart/") || media_type.starts_with("application/x-www-form-urlencoded")
}

/// A text whose placeholders are escaped for XML.
fn escaped(fill: Fill) -> Fill {
    match fill {
        Fill::Text(parts) => Fill::Text(parts.into_iter().map(escaped).collect()),
        Fill::Literal(value) => Fill::Literal(value),
        other => Fill::Xml(Box::new(other)),
    }
}
