//! Small work on JSON Schemas of arguments: descriptions, and the members of an object as arguments of their own.

use serde_json::Value;

use super::{fill::Fill, input::Argument, names};

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

/// Whether a schema is of the type that a bare one states, or says nothing of types itself.
pub(super) fn fits(bare: &Value, schema: &Value) -> bool {
    let Some(stated) = bare.get("type").and_then(Value::as_str) else { return true };
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
