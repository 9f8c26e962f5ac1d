//! The words of a schema: which keywords are taken over, and how those of OpenAPI 3.0 and Swagger 2.0 are said in JSON
//! Schema 2020-12. Works on one schema at a time; must not know references nor files.

use serde_json::{Map, Value, json};

use super::pattern::is_pattern;

/// The keywords of 2020-12 that say something of a value once references are inlined, and OpenAPI's marks for secrets.
/// Nothing else is taken over: a reference may lead to a file that is no schema, and its text is nobody's concern.
pub(crate) const KEYWORDS: [&str; 45] = [
    "type",
    "enum",
    "const",
    "multipleOf",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "maxContains",
    "minContains",
    "maxProperties",
    "minProperties",
    "required",
    "dependentRequired",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "dependentSchemas",
    "prefixItems",
    "items",
    "contains",
    "properties",
    "patternProperties",
    "additionalProperties",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
    "format",
    "title",
    "description",
    "default",
    "deprecated",
    "readOnly",
    "writeOnly",
    "examples",
];

const TYPES: [&str; 7] = ["null", "boolean", "object", "array", "number", "string", "integer"];

/// How a schema is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// As written: what is wrong in it is its author's to hear.
    JsonSchema,
    /// A published document, of OpenAPI or of schemas nobody here wrote: its own words are translated, and what no schema can say is left out.
    Published,
}

/// Says in JSON Schema what OpenAPI says otherwise, and drops values that no schema can have: published documents hold
/// many, and a single one would cost the tool. `nullable` is left to [`admit_null`].
pub(crate) fn clean(schema: &mut Map<String, Value>) {
    clean_type(schema);
    for (limit, exclusive) in [("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")] {
        if let Some(Value::Bool(excludes)) = schema.get(exclusive) {
            let excludes = *excludes;
            schema.shift_remove(exclusive);
            if excludes && let Some(value) = schema.shift_remove(limit) {
                schema.insert(exclusive.to_owned(), value);
            }
        }
    }
    if schema.get("items").is_some_and(Value::is_array)
        && let Some(items) = schema.shift_remove("items")
    {
        schema.insert("prefixItems".to_owned(), items);
    }
    if let Some(Value::Array(names)) = schema.get_mut("required") {
        let mut seen: Vec<Value> = Vec::new();
        names.retain(|name| {
            name.is_string() && !seen.contains(name) && {
                seen.push(name.clone());
                true
            }
        });
    }
    schema.retain(|keyword, value| is_possible(keyword, value));
}

fn clean_type(schema: &mut Map<String, Value>) {
    match schema.get_mut("type") {
        Some(Value::Array(kinds)) => {
            let mut seen: Vec<Value> = Vec::new();
            kinds.retain(|kind| {
                is_type(kind) && !seen.contains(kind) && {
                    seen.push(kind.clone());
                    true
                }
            });
            if kinds.is_empty() {
                schema.shift_remove("type");
            }
        }
        Some(Value::String(kind)) if kind == "file" => {
            *kind = "string".to_owned();
            schema.insert("format".to_owned(), Value::from("binary"));
        }
        Some(kind) if !is_type(kind) => {
            schema.shift_remove("type");
        }
        _ => {}
    }
}

/// The keywords whose value is one schema.
pub(super) const HOLDS_SCHEMA: [&str; 10] = [
    "not",
    "if",
    "then",
    "else",
    "items",
    "contains",
    "additionalProperties",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// Whether a value is the name of a type.
pub(super) fn is_type(kind: &Value) -> bool {
    kind.as_str().is_some_and(|kind| TYPES.contains(&kind))
}

/// Whether a keyword can have this value at all, as far as can be told without looking into the schemas inside it.
pub(super) fn is_possible(keyword: &str, value: &Value) -> bool {
    let is_schema = |value: &Value| value.is_object() || value.is_boolean();
    match keyword {
        "multipleOf" => value.as_f64().is_some_and(|number| number > 0.0),
        "maximum" | "minimum" | "exclusiveMaximum" | "exclusiveMinimum" => value.is_number(),
        "maxLength" | "minLength" | "maxItems" | "minItems" | "maxContains" | "minContains" | "maxProperties"
        | "minProperties" => value.is_u64(),
        "uniqueItems" | "deprecated" | "readOnly" | "writeOnly" => value.is_boolean(),
        "pattern" => value.as_str().is_some_and(is_pattern),
        "format" | "title" | "description" => value.is_string(),
        "enum" | "required" => value.as_array().is_some_and(|values| !values.is_empty()),
        "examples" => value.is_array(),
        "allOf" | "anyOf" | "oneOf" | "prefixItems" => {
            value.as_array().is_some_and(|schemas| !schemas.is_empty() && schemas.iter().all(is_schema))
        }
        keyword if HOLDS_SCHEMA.contains(&keyword) => is_schema(value),
        "properties" | "dependentSchemas" => value.as_object().is_some_and(|schemas| schemas.values().all(is_schema)),
        "patternProperties" => value
            .as_object()
            .is_some_and(|schemas| schemas.iter().all(|(pattern, schema)| is_pattern(pattern) && is_schema(schema))),
        "dependentRequired" => value.as_object().is_some_and(|lists| {
            lists.values().all(|list| list.as_array().is_some_and(|names| names.iter().all(Value::is_string)))
        }),
        _ => true,
    }
}

/// OpenAPI's `discriminator` over variants: the member that tells them apart, and its values for each.
pub(crate) struct Choice {
    property: String,
    values: Vec<Vec<Value>>,
}

impl Choice {
    /// The choice that a schema makes among references, before they are followed.
    pub(crate) fn of(schema: &Map<String, Value>) -> Option<Self> {
        let discriminator = schema.get("discriminator")?;
        let property = discriminator.get("propertyName")?.as_str()?.to_owned();
        let variants = schema.get("oneOf").or_else(|| schema.get("anyOf"))?.as_array()?;
        let mapping = discriminator.get("mapping").and_then(Value::as_object);
        let values = variants.iter().map(|variant| {
            let Some(reference) = variant.get("$ref").and_then(Value::as_str) else { return Vec::new() };
            let name = reference.rsplit('/').next().unwrap_or(reference);
            let mapped = mapping
                .into_iter()
                .flatten()
                .filter(|(_, target)| target.as_str().is_some_and(|target| target == reference || target == name));
            let mapped: Vec<Value> = mapped.map(|(value, _)| Value::from(value.as_str())).collect();
            if mapped.is_empty() { vec![Value::from(name)] } else { mapped }
        });
        Some(Self { property, values: values.collect() })
    }

    /// Gives each variant the value that tells it apart, where it has none of its own. An `enum` of one rather than
    /// `const`, which some clients do not read.
    pub(crate) fn tell_apart(self, schema: &mut Map<String, Value>) {
        let Self { property, values } = self;
        let keyword = if schema.contains_key("oneOf") { "oneOf" } else { "anyOf" };
        let Some(Value::Array(variants)) = schema.get_mut(keyword) else { return };
        for (variant, values) in variants.iter_mut().zip(values) {
            let Value::Object(variant) = variant else { continue };
            if values.is_empty() || variant.get("type") == Some(&Value::from("null")) {
                continue;
            }
            let properties = variant.entry("properties").or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(properties) = properties else { continue };
            let own = properties.entry(property.as_str()).or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(own) = own else { continue };
            let is_constant = own.contains_key("const")
                || own.get("enum").and_then(Value::as_array).is_some_and(|values| values.len() == 1);
            if !is_constant {
                own.insert("type".to_owned(), Value::from("string"));
                own.insert("enum".to_owned(), Value::Array(values));
                own.shift_remove("default");
            }
            let required = variant.entry("required").or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(required) = required
                && !required.iter().any(|name| *name == property)
            {
                required.push(Value::from(property.as_str()));
            }
        }
    }
}

/// The words about a schema that constrain nothing.
const ANNOTATIONS: [&str; 8] =
    ["title", "description", "default", "deprecated", "readOnly", "writeOnly", "examples", "format"];

/// Merges `allOf` where it says the same as one schema: over a single part, and over plain object schemas, which every
/// client then reads and whose members can become arguments. Closed objects are opened by it: `additionalProperties:
/// false` beside `allOf` would refuse the members of its siblings. Anything less plain stays as it is.
pub(crate) fn merge_all_of(schema: &mut Map<String, Value>) {
    let Some(Value::Array(parts)) = schema.get("allOf") else { return };
    let only_annotates = schema.keys().all(|keyword| keyword == "allOf" || ANNOTATIONS.contains(&keyword.as_str()));
    if only_annotates && let [Value::Object(part)] = parts.as_slice() {
        let mut part = part.clone();
        schema.shift_remove("allOf");
        part.extend(std::mem::take(schema)); // its own words count more than the part's
        *schema = part;
        return;
    }
    if parts.is_empty() || !is_object_or_absent(schema) || !parts.iter().all(is_plain) {
        return;
    }
    if !schema.contains_key("properties") && !parts.iter().any(|part| part.get("properties").is_some()) {
        return;
    }
    let Some(Value::Array(mut parts)) = schema.shift_remove("allOf") else { return };
    let own = ["properties", "required"].map(|keyword| (keyword.to_owned(), schema.shift_remove(keyword)));
    parts.push(Value::Object(own.into_iter().filter_map(|(keyword, value)| Some((keyword, value?))).collect()));
    schema.shift_remove("additionalProperties");
    let mut properties = Map::new();
    let mut required: Vec<Value> = Vec::new();
    for part in parts {
        let Value::Object(mut part) = part else { continue };
        if let Some(Value::Object(more)) = part.remove("properties") {
            more.into_iter().for_each(|(name, schema)| add_property(&mut properties, name, schema));
        }
        if let Some(Value::Array(more)) = part.remove("required") {
            required.extend(more.into_iter().filter(|name| !required.contains(name)).collect::<Vec<_>>());
        }
        for keyword in ["title", "description"] {
            if let Some(text) = part.remove(keyword) {
                schema.entry(keyword).or_insert(text);
            }
        }
    }
    schema.insert("type".to_owned(), Value::from("object"));
    schema.insert("properties".to_owned(), Value::Object(properties));
    if !required.is_empty() {
        schema.insert("required".to_owned(), Value::Array(required));
    }
}

/// Adds a member to those of other parts. Where they have it too, both must hold; what says less is left out.
fn add_property(properties: &mut Map<String, Value>, name: String, schema: Value) {
    let Some(first) = properties.get_mut(&name) else {
        properties.insert(name, schema);
        return;
    };
    let says_all = |all: &Value, part: &Value| match (all.as_object(), part.as_object()) {
        (Some(all), Some(part)) => part
            .iter()
            .all(|(keyword, value)| ANNOTATIONS.contains(&keyword.as_str()) || all.get(keyword) == Some(value)),
        _ => all == part,
    };
    if says_all(&schema, first) {
        *first = schema;
    } else if !says_all(first, &schema) {
        let both = Value::Array(vec![first.take(), schema]);
        let mut merged = Map::from_iter([("allOf".to_owned(), both)]);
        merge_all_of(&mut merged);
        *first = Value::Object(merged);
    }
}

fn is_object_or_absent(schema: &Map<String, Value>) -> bool {
    schema.get("type").is_none_or(|kind| kind == "object")
}

/// Whether a part of `allOf` says no more than which members an object has.
fn is_plain(part: &Value) -> bool {
    const PLAIN: [&str; 6] = ["type", "properties", "required", "description", "title", "additionalProperties"];
    let Value::Object(part) = part else { return false };
    is_object_or_absent(part)
        && part.keys().all(|keyword| PLAIN.contains(&keyword.as_str()))
        && !part.get("additionalProperties").is_some_and(Value::is_object)
}

/// Makes a choice between one schema and null that schema, null admitted: generators write optional values so, and clients
/// read a list of types more easily than a combination.
pub(crate) fn merge_null_choice(schema: &mut Map<String, Value>) {
    let null = Value::Object(Map::from_iter([("type".to_owned(), Value::from("null"))]));
    for keyword in ["anyOf", "oneOf"] {
        let mut others = schema.keys().filter(|name| *name != keyword);
        if !others.all(|name| ANNOTATIONS.contains(&name.as_str())) {
            continue;
        }
        let Some(Value::Array(variants)) = schema.get(keyword) else { continue };
        let [first, second] = variants.as_slice() else { continue };
        let one = if *second == null { first } else { second };
        let Value::Object(one) = one else { continue };
        if *first != null && *second != null {
            continue;
        }
        if !["type", "enum", "oneOf", "anyOf"].iter().any(|keyword| one.contains_key(*keyword)) {
            continue; // null could not be told
        }
        if one.contains_key("const") || one.contains_key("allOf") {
            continue; // nor here
        }
        let mut merged = one.clone();
        admit_null(&mut merged);
        schema.shift_remove(keyword);
        merged.extend(std::mem::take(schema)); // its own words count more
        *schema = merged;
        return;
    }
}

/// Says OpenAPI 3.0's `nullable` in the words of JSON Schema.
pub(crate) fn admit_null(schema: &mut Map<String, Value>) {
    let null = Value::from("null");
    match schema.get_mut("type") {
        Some(Value::Array(types)) if !types.contains(&null) => types.push(null),
        Some(kind @ Value::String(_)) if *kind != null => *kind = Value::Array(vec![kind.clone(), null]),
        Some(_) => {}
        None => {
            for keyword in ["oneOf", "anyOf"] {
                if let Some(Value::Array(variants)) = schema.get_mut(keyword) {
                    let null = Value::Object(Map::from_iter([("type".to_owned(), null.clone())]));
                    if !variants.contains(&null) {
                        variants.push(null);
                    }
                }
            }
        }
    }
    if let Some(Value::Array(options)) = schema.get_mut("enum")
        && !options.contains(&Value::Null)
    {
        options.push(Value::Null);
    }
}

/// Stands in the schema of an answer at members that the service never shows.
pub(crate) const UNSHOWN: &str = "x-unshown";

/// Which way a value travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// To the service: members it alone sets (`readOnly`) are left out.
    Request,
    /// From the service: of members it never shows (`writeOnly`) nothing is left but that ([`UNSHOWN`]).
    Answer,
}

/// Leaves out the members that travel the other way only. A requirement of such a member goes with it.
pub(crate) fn one_way(schema: &mut Value, direction: Direction) {
    let mark = match direction {
        Direction::Request => "readOnly",
        Direction::Answer => "writeOnly",
    };
    drop_marked(schema, mark, &[]);
}

fn drop_marked(schema: &mut Value, mark: &str, outer: &[String]) {
    let Value::Object(schema) = schema else { return };
    // What is marked in one part of a combination may be required in another.
    let mut dropped = outer.to_vec();
    collect_marked(schema, mark, &mut dropped);
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        if mark == "writeOnly" {
            // Where a service shows one all the same, it is known for what it is.
            let marked = properties.values_mut().filter(|property| property.get(mark) == Some(&Value::Bool(true)));
            marked.for_each(|property| *property = json!({ UNSHOWN: true, mark: true }));
        } else {
            properties.retain(|_, property| property.get(mark) != Some(&Value::Bool(true)));
        }
        properties.values_mut().for_each(|property| drop_marked(property, mark, &[]));
    }
    if let Some(Value::Array(required)) = schema.get_mut("required") {
        required.retain(|name| !dropped.iter().any(|dropped| name == dropped.as_str()));
        if required.is_empty() {
            schema.shift_remove("required");
        }
    }
    if mark == "writeOnly" {
        schema.shift_remove("readOnly"); // in an answer it says nothing
    }
    for keyword in ["items", "additionalProperties", "contains"] {
        if let Some(inner) = schema.get_mut(keyword) {
            drop_marked(inner, mark, &[]);
        }
    }
    for keyword in ["allOf", "anyOf", "oneOf", "prefixItems"] {
        if let Some(Value::Array(parts)) = schema.get_mut(keyword) {
            let outer: &[String] = if keyword == "prefixItems" { &[] } else { &dropped };
            parts.iter_mut().for_each(|part| drop_marked(part, mark, outer));
        }
    }
}

fn collect_marked(schema: &Map<String, Value>, mark: &str, names: &mut Vec<String>) {
    if let Some(Value::Object(properties)) = schema.get("properties") {
        let marked = properties.iter().filter(|(_, property)| property.get(mark) == Some(&Value::Bool(true)));
        names.extend(marked.map(|(name, _)| name.clone()));
    }
    if let Some(Value::Array(parts)) = schema.get("allOf") {
        parts.iter().filter_map(Value::as_object).for_each(|part| collect_marked(part, mark, names));
    }
}

#[cfg(test)]
mod tests {

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(members) = value else { panic!("an object") };
        members
    }

    #[test]
    fn the_words_of_openapi_become_those_of_json_schema() {
        for (given, expected) in [
            (
                json!({"type": "integer", "minimum": 1, "exclusiveMinimum": true}),
                json!({"type": "integer", "exclusiveMinimum": 1}),
            ),
            (json!({"maximum": 9, "exclusiveMaximum": false}), json!({"maximum": 9})),
            (json!({"type": "file"}), json!({"type": "string", "format": "binary"})),
            (json!({"type": "uuid", "description": "x"}), json!({"description": "x"})),
            (json!({"type": ["string", "null", "string"]}), json!({"type": ["string", "null"]})),
            (json!({"type": "string", "required": true}), json!({"type": "string"})),
            (json!({"required": ["a", 1, "a"]}), json!({"required": ["a"]})),
            (json!({"items": [{"type": "string"}]}), json!({"prefixItems": [{"type": "string"}]})),
            (json!({"maxLength": "10", "minimum": "0", "enum": [], "pattern": 1, "multipleOf": 0}), json!({})),
            (json!({"pattern": "([", "title": "x"}), json!({"title": "x"})),
            (json!({"examples": {"a": 1}, "properties": {"a": "string"}}), json!({})),
        ] {
            let mut schema = object(given);
            clean(&mut schema);
            assert_eq!(Value::Object(schema), expected);
        }
    }

    #[test]
    fn null_is_admitted_wherever_a_schema_says_its_kind() {
        for (given, expected) in [
            (json!({"type": "string"}), json!({"type": ["string", "null"]})),
            (json!({"enum": ["a"]}), json!({"enum": ["a", null]})),
            (json!({"oneOf": [{"type": "string"}]}), json!({"oneOf": [{"type": "string"}, {"type": "null"}]})),
            (json!({}), json!({})),
        ] {
            let mut schema = object(given);
            admit_null(&mut schema);
            assert_eq!(Value::Object(schema), expected);
        }
    }

    #[test]
    fn a_choice_between_a_schema_and_null_is_that_schema() {
        for (given, expected) in [
            (
                json!({"anyOf": [{"type": "string", "title": "x"}, {"type": "null"}], "title": "own", "default": null}),
                json!({"type": ["string", "null"], "title": "own", "default": null}),
            ),
            (json!({"oneOf": [{"type": "null"}, {"enum": ["a"]}]}), json!({"enum": ["a", null]})),
            (json!({"anyOf": [{}, {"type": "null"}]}), json!({"anyOf": [{}, {"type": "null"}]})),
            (json!({"anyOf": [{"type": "string"}]}), json!({"anyOf": [{"type": "string"}]})),
            (
                json!({"type": "string", "anyOf": [{"enum": ["a"]}, {"type": "null"}]}),
                json!({"type": "string", "anyOf": [{"enum": ["a"]}, {"type": "null"}]}),
            ),
        ] {
            let mut schema = object(given);
            merge_null_choice(&mut schema);
            assert_eq!(Value::Object(schema), expected);
        }
    }

    #[test]
    fn one_part_of_all_of_is_the_schema_itself() {
        let mut schema = object(json!({"allOf": [{"type": "string", "description": "theirs"}], "description": "own"}));
        merge_all_of(&mut schema);
        assert_eq!(Value::Object(schema), json!({"type": "string", "description": "own"}));
        let mut schema = object(json!({"allOf": [{"type": "object", "properties": {"a": {}}}, {"required": ["a"]}]}));
        merge_all_of(&mut schema);
        assert_eq!(Value::Object(schema), json!({"type": "object", "properties": {"a": {}}, "required": ["a"]}));
    }

    #[test]
    fn a_member_of_two_parts_keeps_what_both_say() {
        let mut schema = object(json!({"allOf": [
            {"properties": {"a": {"type": "string"}, "b": {"type": "string"}}},
            {"properties": {"a": {"type": "string", "maxLength": 3}, "b": {"minLength": 1}}}]}));
        merge_all_of(&mut schema);
        assert_eq!(schema["properties"]["a"], json!({"type": "string", "maxLength": 3}));
        assert_eq!(schema["properties"]["b"], json!({"allOf": [{"type": "string"}, {"minLength": 1}]}));
    }

    #[test]
    fn members_that_travel_the_other_way_are_left_out_with_their_requirement() {
        let schema = json!({"type": "object", "required": ["id", "name", "key"], "properties": {
            "id": {"type": "string", "readOnly": true},
            "name": {"type": "string"},
            "key": {"type": "string", "writeOnly": true}},
            "allOf": [{"required": ["id"]}]});
        let mut request = schema.clone();
        one_way(&mut request, Direction::Request);
        assert_eq!(request["required"], json!(["name", "key"]));
        assert!(request["properties"].get("id").is_none() && request["allOf"] == json!([{}]), "{request}");
        let mut answer = schema;
        one_way(&mut answer, Direction::Answer);
        assert_eq!(answer["required"], json!(["id", "name"]));
        let unshown = json!({UNSHOWN: true, "writeOnly": true});
        let expected = json!({"id": {"type": "string"}, "name": {"type": "string"}, "key": unshown});
        assert_eq!(answer["properties"], expected);
    }

    #[test]
    fn variants_keep_the_member_that_tells_them_apart() {
        let members = object(json!({
            "oneOf": [{"$ref": "#/components/schemas/Cat"}, {"$ref": "#/components/schemas/Dog"}],
            "discriminator": {"propertyName": "kind", "mapping": {"cat": "#/components/schemas/Cat"}}}));
        let choice = Choice::of(&members).expect("a choice");
        let mut inlined = object(json!({"oneOf": [
            {"type": "object", "properties": {"kind": {"type": "string"}}},
            {"type": "object"}]}));
        choice.tell_apart(&mut inlined);
        assert_eq!(
            inlined["oneOf"],
            json!([
                {"type": "object", "properties": {"kind": {"type": "string", "enum": ["cat"]}}, "required": ["kind"]},
                {"type": "object", "properties": {"kind": {"type": "string", "enum": ["Dog"]}}, "required": ["kind"]}])
        );
    }
}
