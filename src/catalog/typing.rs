//! JSON Schemas of arguments: from parameters, from what documents know of them, and the members of an object as
//! arguments of their own.

use serde_json::{Value, json};

use super::{
    compile::{Compiler, list},
    fill::Fill,
    input::Argument,
    names,
    wiring::Lowering,
};
use crate::{
    diagnostic::{Code, Diagnostic},
    spec::InputParameter,
};

impl Compiler<'_> {
    /// The schema of a parameter: the one it names, else what an OpenAPI document says, else one made of its `type`.
    pub(super) fn parameter_schema(&mut self, parameter: &InputParameter, lowering: &Lowering<'_, '_>) -> Value {
        let InputParameter { schema, keywords, description, nullable, .. } = parameter;
        let description = description.as_ref().map(|text| text.value.trim()).filter(|text| !text.is_empty());
        let known = lowering.known(parameter).filter(|_| schema.is_none() && keywords.is_empty());
        match known {
            Some(known) => {
                let schema = if *nullable { or_null(known.schema.clone()) } else { known.schema.clone() };
                described(schema, description.or(known.description.as_deref()))
            }
            None => self.declared_schema(parameter).unwrap_or_else(|| json!({})),
        }
    }

    /// The schema that a parameter states itself. `None` where it has an error.
    pub(super) fn declared_schema(&mut self, parameter: &InputParameter) -> Option<Value> {
        let InputParameter {
            name: _,
            location: _,
            kind,
            nullable,
            description,
            required: _,
            value: _,
            schema,
            mapping: _,
            keywords,
            complete: _,
        } = parameter;
        let mut schema = match schema {
            Some(reference) => self.resolve(reference)?,
            None => match kind.as_ref().map(|kind| (kind, kind.value.as_str())) {
                None => json!({"type": "string"}),
                Some((_, "array")) => json!({"type": "array", "items": {}}),
                Some((_, kind @ ("string" | "integer" | "number" | "boolean" | "object"))) => json!({"type": kind}),
                Some((_, "any")) => json!({}),
                Some((kind, other)) => {
                    let known = ["string", "integer", "number", "boolean", "array", "object"];
                    let message =
                        format!("unknown type `{other}`, any value is taken; expected {}", list(known.into_iter()));
                    let problem = Diagnostic::warning(Code::InvalidValue, kind.span, message);
                    self.problems.push(problem.with_nearest(other, known));
                    json!({})
                }
            },
        };
        if let Value::Object(members) = &mut schema {
            members.extend(keywords.iter().map(|(keyword, value)| (keyword.value.clone(), value.clone())));
        }
        if *nullable {
            schema = or_null(schema);
        }
        Some(described(schema, description.as_ref().map(|description| description.value.as_str())))
    }
}

/// The same schema, of null as well.
pub(super) fn or_null(mut schema: Value) -> Value {
    let null = |list: &mut Vec<Value>, null: Value| {
        if !list.contains(&null) {
            list.push(null);
        }
    };
    match schema.get_mut("type") {
        Some(Value::Array(kinds)) => null(kinds, json!("null")),
        Some(kind @ Value::String(_)) => *kind = json!([kind.take(), "null"]),
        _ => {}
    }
    if let Some(Value::Array(options)) = schema.get_mut("enum") {
        null(options, Value::Null);
    }
    schema
}

/// Whether null is of the type that a schema states, among others.
pub(super) fn takes_null(schema: &Value) -> bool {
    matches!(schema.get("type"), Some(Value::Array(kinds)) if kinds.iter().any(|kind| kind == "null"))
}

pub(super) fn keyed_schema(parameter: &InputParameter) -> Value {
    let description = parameter.description.as_ref().map(|text| text.value.trim()).unwrap_or_default();
    let description = if description.is_empty() { "Values by key." } else { description };
    let item = if parameter.name.value.ends_with("[key]") {
        json!({"type": "string"})
    } else {
        json!({"type": "array", "items": {"type": "string"}})
    };
    json!({"type": "object", "additionalProperties": item, "description": description})
}

/// A schema with a description, where there is one.
pub(super) fn described(mut schema: Value, description: Option<&str>) -> Value {
    let description = description.map(str::trim).filter(|text| !text.is_empty());
    if let (Some(description), Value::Object(members)) = (description, &mut schema) {
        members.insert("description".to_owned(), Value::from(description));
    }
    schema
}

/// Whether a schema says no more than a type and what the value means.
pub(super) fn is_bare(schema: &Value) -> bool {
    let Value::Object(members) = schema else { return false };
    members.iter().all(|(keyword, value)| match keyword.as_str() {
        "type" | "description" => true,
        "items" => value.as_object().is_some_and(serde_json::Map::is_empty),
        _ => false,
    })
}

/// Whether a schema is of texts, numbers and truth values alone.
pub(super) fn is_scalar(schema: &Value) -> bool {
    let is_scalar = |kind: &Value| matches!(kind.as_str(), Some("string" | "integer" | "number" | "boolean" | "null"));
    match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().all(is_scalar),
        Some(kind) => is_scalar(kind),
        None => false,
    }
}

/// Whether a schema is of the type that a bare one states, or says nothing of types itself.
pub(super) fn fits(bare: &Value, schema: &Value) -> bool {
    let stated = match bare.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().find(|kind| *kind != "null").and_then(Value::as_str),
        kind => kind.and_then(Value::as_str),
    };
    let Some(stated) = stated else { return true };
    let fits = |kind: &Value| kind == stated || (kind == "integer" && stated == "number");
    match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(fits),
        Some(kind) => fits(kind),
        None => true,
    }
}

/// A member of an object schema that becomes an argument.
pub(super) struct Member {
    /// The name of the member.
    pub(super) name: String,
    /// The argument.
    pub(super) argument: Argument,
}

impl Member {
    /// What fills it.
    pub(super) fn fill(&self) -> Fill {
        Fill::Argument(self.argument.name.clone())
    }
}

/// The members of an object schema, each with its argument; `None` where there are none, where there may be others, or
/// where a name is taken.
pub(super) fn flat_members(schema: &Value, taken: impl Fn(&str) -> bool) -> Option<Vec<Member>> {
    let properties = schema.get("properties")?.as_object()?;
    if ["oneOf", "anyOf", "allOf", "not", "if"].iter().any(|keyword| schema.get(keyword).is_some()) {
        return None; // which members go together, arguments alone could not say
    }
    let open = schema.get("additionalProperties").is_some_and(|others| others.is_object() || others == true);
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let mut offered: Vec<String> = properties.keys().map(|name| names::argument(name)).collect();
    let collides = offered.iter().any(|name| taken(name));
    offered.sort_unstable();
    offered.dedup();
    if properties.is_empty() || open || collides || offered.len() < properties.len() {
        return None;
    }
    let members = properties.iter().map(|(name, schema)| Member {
        name: name.clone(),
        argument: Argument {
            name: names::argument(name),
            schema: schema.clone(),
            required: required.contains(&name.as_str()),
        },
    });
    Some(members.collect())
}
