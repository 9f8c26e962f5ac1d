//! Output shaping: what a tool or an operation hands on of an answer (`outputParameters`), and the JSON Schema of that.
//!
//! A tree of its own, so that it need not know how specs write it; the templates of constants are filled in before. Must
//! not know requests, formats of answers or MCP.

use indexmap::IndexMap;
use serde_json::{Map, Number, Value, json};

use crate::jsonpath::{JsonPath, TooMuch};

/// One output parameter, resolved.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shape {
    /// The JSON type that is declared.
    pub kind: Kind,
    /// What it means, for the schema.
    pub description: Option<String>,
    /// Where its value is, from the answer or, within an array, from the item. Without it, a property is the member of its
    /// own name, anything else the whole. Objects with properties map those from where they stand themselves.
    pub mapping: Option<JsonPath>,
    /// A fixed value, which goes before `mapping`.
    pub constant: Option<Value>,
    /// The members of an object; an object without any is handed on unchanged.
    pub properties: IndexMap<String, Shape>,
    /// Whether the values are in their places already, as those of steps and fixed ones are: members without a mapping
    /// are then looked for in what stands at the object's own place.
    pub in_place: bool,
    /// What an array holds; anything without it.
    pub items: Option<Box<Shape>>,
    /// The most characters of a text; the rest is cut off.
    pub max_length: Option<usize>,
    /// The JSON Schema, where it is stated; else it follows from the rest.
    pub schema: Option<Value>,
}

/// The JSON type of an output parameter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    String,
    /// A number.
    Number,
    /// A number without fraction.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// An object.
    Object,
    /// An array.
    Array,
    /// Not stated, or of no other kind.
    #[default]
    Any,
}

/// What stands at the top of an answer gives: the first of the shapes that gives something other than null, alone.
///
/// Values are brought to their declared type where nothing is lost by it (`"7"` → `7`, `true` → `"true"`), else left as
/// they are. A member that is absent in the answer is absent in the result. A single value where an array is mapped
/// becomes an array of one, as XML does not tell the two apart; but only if no other shape takes it.
///
/// Error: a mapping that finds too much.
pub fn apply(shapes: &[Shape], answer: &Value) -> Result<Option<Value>, TooMuch> {
    let last = shapes.len().saturating_sub(1);
    for (index, shape) in shapes.iter().enumerate() {
        let place = Place { root: answer, name: None, takes_single: index == last };
        if let Some(value) = place.value_of(shape)?.filter(|value| !value.is_null()) {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

/// The JSON Schema of what [`apply`] gives: typed, no member required, each of them nullable.
pub fn schema(shapes: &[Shape]) -> Value {
    let mut options = Vec::<Value>::new();
    for shape in shapes {
        let option = stated_or_derived(shape);
        if !options.contains(&option) {
            options.push(option);
        }
    }
    match options.len() {
        0 => json!({}),
        1 => options.swap_remove(0),
        _ => merged_objects(&options).unwrap_or_else(|| json!({ "anyOf": options })),
    }
}

/// The answer of an operation as the steps after it see it: an object has the outputs of the operation alone, the
/// objects of an array have theirs added, anything else stays. An operation without outputs changes nothing.
pub fn project(outputs: &[(String, JsonPath)], mut answer: Value) -> Result<Value, TooMuch> {
    if outputs.is_empty() {
        return Ok(answer);
    }
    let found = |value: &Value| {
        let found = outputs.iter().map(|(name, path)| Ok(path.select(value)?.map(|value| (name.clone(), value))));
        found.filter_map(Result::transpose).collect::<Result<Map<_, _>, TooMuch>>()
    };
    match &mut answer {
        Value::Object(_) => return found(&answer).map(Value::Object),
        Value::Array(items) => {
            for item in items.iter_mut() {
                let added = found(item)?;
                if let Value::Object(members) = item {
                    members.extend(added);
                }
            }
        }
        _ => {}
    }
    Ok(answer)
}

/// Where a shape is applied.
#[derive(Clone, Copy)]
struct Place<'a> {
    /// What mappings begin at: the answer, or an item of an array.
    root: &'a Value,
    /// The name of the property that is filled.
    name: Option<&'a str>,
    /// Whether a single value is taken for an array of one.
    takes_single: bool,
}

impl Place<'_> {
    fn value_of(self, shape: &Shape) -> Result<Option<Value>, TooMuch> {
        if let Some(constant) = &shape.constant {
            return Ok(Some(finish(shape, constant.clone())));
        }
        if shape.kind == Kind::Object && !shape.properties.is_empty() {
            return Ok(self.object(shape)?.map(Value::Object));
        }
        let value = match (&shape.mapping, self.name) {
            (Some(mapping), _) => mapping.select(self.root)?,
            (None, Some(name)) => self.root.get(name).cloned(),
            (None, None) => Some(self.root.clone()),
        };
        match value {
            Some(value) if shape.kind == Kind::Array => self.array(shape, value),
            value => Ok(value.map(|value| finish(shape, value))),
        }
    }

    /// The members that an answer has of an object; `None` where it has none of them.
    ///
    /// Properties map from the same root as the object itself. Where that gives nothing, they map from what the object's
    /// own `mapping` gives, as such a mapping has no other meaning.
    fn object(self, shape: &Shape) -> Result<Option<Map<String, Value>>, TooMuch> {
        let own = match (&shape.mapping, self.name) {
            (Some(mapping), _) if !mapping.is_root() => mapping.select(self.root)?,
            (None, Some(name)) if shape.in_place => self.root.get(name).cloned(),
            (_, None) if shape.in_place => Some(self.root.clone()),
            _ => None,
        };
        let mut members = Map::new();
        for (name, property) in &shape.properties {
            let at = |root| Place { root, name: Some(name), takes_single: true }.value_of(property);
            let mut value = if shape.in_place && property.mapping.is_none() { None } else { at(self.root)? };
            if let (None, Some(own)) = (&value, &own) {
                value = at(own)?;
            }
            if let Some(value) = value {
                members.insert(name.clone(), value);
            }
        }
        Ok((!members.is_empty()).then_some(members))
    }

    fn array(self, shape: &Shape, value: Value) -> Result<Option<Value>, TooMuch> {
        let is_whole = self.name.is_none() && shape.mapping.as_ref().is_none_or(JsonPath::is_root);
        let items = match value {
            Value::Array(items) => items,
            Value::Null => return Ok(None),
            _ if is_whole || !self.takes_single => return Ok(None),
            single => vec![single],
        };
        let Some(inner) = &shape.items else { return Ok(Some(Value::Array(items))) };
        let items = items.iter().map(|item| {
            let value = Place { root: item, name: None, takes_single: true }.value_of(inner)?;
            // An item that gives nothing keeps its place, so that none is miscounted.
            Ok(value.unwrap_or_else(|| if is_mapped_object(inner) { json!({}) } else { Value::Null }))
        });
        items.collect::<Result<_, _>>().map(|items| Some(Value::Array(items)))
    }
}

fn is_mapped_object(shape: &Shape) -> bool {
    shape.kind == Kind::Object && !shape.properties.is_empty()
}

/// A value in its declared type and length.
fn finish(shape: &Shape, value: Value) -> Value {
    let mut value = coerce(shape.kind, value);
    if let (Some(length), Value::String(text)) = (shape.max_length, &mut value)
        && let Some((end, _)) = text.char_indices().nth(length)
    {
        text.truncate(end);
    }
    value
}

/// Brings a scalar to a type, where that loses nothing.
fn coerce(kind: Kind, value: Value) -> Value {
    let converted = match (kind, &value) {
        (Kind::String, Value::Number(number)) => Some(Value::String(number.to_string())),
        (Kind::String, Value::Bool(flag)) => Some(Value::String(flag.to_string())),
        (Kind::Boolean, Value::String(text)) => match text.trim() {
            "true" => Some(Value::Bool(true)),
            "false" => Some(Value::Bool(false)),
            _ => None,
        },
        (Kind::Number, Value::String(text)) => number(text).map(Value::Number),
        (Kind::Integer, Value::String(text)) => number(text).and_then(|number| integer(&number)),
        (Kind::Integer, Value::Number(number)) => integer(number),
        _ => None,
    };
    converted.unwrap_or(value)
}

/// The number of a text, where the text holds no more digits than the number can.
fn number(text: &str) -> Option<Number> {
    /// As many decimal digits as every 64-bit floating-point number keeps.
    const DIGITS: usize = 15;
    let text = text.trim();
    let number = serde_json::from_str::<Number>(text).ok()?;
    let digits = text.split(['e', 'E']).next().unwrap_or_default().bytes().filter(u8::is_ascii_digit).count();
    (number.is_i64() || number.is_u64() || digits <= DIGITS).then_some(number)
}

/// A number as one without fraction: 7.0 → 7.
fn integer(number: &Number) -> Option<Value> {
    const LARGEST_EXACT: f64 = 9_007_199_254_740_992.0;
    if number.is_i64() || number.is_u64() {
        return Some(Value::Number(number.clone()));
    }
    let float = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < LARGEST_EXACT)?;
    format!("{float:.0}").parse::<i64>().ok().map(Value::from)
}

fn stated_or_derived(shape: &Shape) -> Value {
    if let Some(schema) = &shape.schema {
        return schema.clone();
    }
    let mut schema = Map::new();
    let name = match shape.kind {
        Kind::String => Some("string"),
        Kind::Number => Some("number"),
        Kind::Integer => Some("integer"),
        Kind::Boolean => Some("boolean"),
        Kind::Object => Some("object"),
        Kind::Array => Some("array"),
        Kind::Any => None,
    };
    if let Some(name) = name {
        schema.insert("type".to_owned(), name.into());
    }
    if let Some(description) = &shape.description {
        schema.insert("description".to_owned(), description.as_str().into());
    }
    if let (Kind::String, Some(length)) = (shape.kind, shape.max_length) {
        schema.insert("maxLength".to_owned(), length.into());
    }
    if is_mapped_object(shape) {
        let properties =
            shape.properties.iter().map(|(name, inner)| (name.clone(), nullable(stated_or_derived(inner))));
        schema.insert("properties".to_owned(), Value::Object(properties.collect()));
    }
    if let (Kind::Array, Some(items)) = (shape.kind, &shape.items) {
        schema.insert("items".to_owned(), nullable(stated_or_derived(items)));
    }
    Value::Object(schema)
}

/// A schema that also takes null.
fn nullable(schema: Value) -> Value {
    let takes_any = schema == Value::Bool(true) || schema.as_object().is_some_and(Map::is_empty);
    match schema {
        schema if takes_any => schema,
        Value::Object(mut members) if !members.contains_key("enum") && !members.contains_key("const") => {
            let annotates = members.keys().all(|keyword| keyword == "description" || keyword == "title");
            match members.get_mut("type") {
                Some(Value::Array(kinds)) if kinds.iter().any(|kind| kind == "null") => {}
                Some(Value::Array(kinds)) => kinds.push("null".into()),
                Some(kind) if kind == "null" => {}
                Some(kind) => *kind = json!([kind.take(), "null"]),
                None if annotates => {}
                None => return json!({ "anyOf": [members, { "type": "null" }] }),
            }
            Value::Object(members)
        }
        schema => json!({ "anyOf": [schema, { "type": "null" }] }),
    }
}

/// One schema of objects for several: a member that differs among them may be as in any. `None` where one of them is of
/// something else, or asks for more than members.
fn merged_objects(options: &[Value]) -> Option<Value> {
    let mut merged = Map::<String, Value>::new();
    for option in options {
        let option = option.as_object().filter(|option| option.get("type").is_some_and(|kind| kind == "object"))?;
        if option.keys().any(|keyword| !matches!(keyword.as_str(), "type" | "properties" | "description")) {
            return None;
        }
        let properties = option.get("properties").and_then(Value::as_object)?;
        for (name, schema) in properties {
            match merged.get_mut(name) {
                None => {
                    merged.insert(name.clone(), schema.clone());
                }
                Some(known) if known == schema => {}
                Some(known) => *known = json!({ "anyOf": [known.take(), schema] }),
            }
        }
    }
    Some(json!({ "type": "object", "properties": merged }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn apply(shapes: &[Shape], answer: &Value) -> Option<Value> {
        super::apply(shapes, answer).expect("not too much")
    }

    fn project(outputs: &[(String, JsonPath)], answer: Value) -> Value {
        super::project(outputs, answer).expect("not too much")
    }

    fn shape(kind: Kind, mapping: &str) -> Shape {
        let mapping = Some(mapping).filter(|text| !text.is_empty());
        Shape { kind, mapping: mapping.map(|text| JsonPath::parse(text).expect(text)), ..Shape::default() }
    }

    fn constant(kind: Kind, value: Value) -> Shape {
        Shape { kind, constant: Some(value), ..Shape::default() }
    }

    fn object_of<const N: usize>(properties: [(&str, Shape); N]) -> Shape {
        let properties = properties.map(|(name, shape)| (name.to_owned(), shape));
        Shape { kind: Kind::Object, properties: IndexMap::from(properties), ..Shape::default() }
    }

    fn array_of(mapping: &str, items: Shape) -> Shape {
        Shape { items: Some(Box::new(items)), ..shape(Kind::Array, mapping) }
    }

    fn ships() -> Value {
        json!({"data": {"total": "2", "list": [
            {"id": 1, "name": "Ever Given", "crew": [{"n": "Ann", "rank": "1"}], "size": {"l": 400.0}},
            {"id": 2, "name": "Mont", "crew": [], "size": null}]}, "ok": true, "none": null})
    }

    #[test]
    fn the_first_shape_that_gives_something_stands_alone() {
        let list = || shape(Kind::Array, "$.data.list");
        for (shapes, expected) in [
            (vec![], None),
            (vec![shape(Kind::String, "$.absent"), shape(Kind::Boolean, "$.ok")], Some(json!(true))),
            (vec![shape(Kind::Any, "$.none"), shape(Kind::Integer, "$.data.total"), list()], Some(json!(2))),
            (vec![shape(Kind::Array, "$.data"), shape(Kind::Integer, "$.data.total")], Some(json!(2))),
            (vec![object_of([("x", shape(Kind::String, "$.x"))]), shape(Kind::Boolean, "$.ok")], Some(json!(true))),
            (vec![object_of([("x", shape(Kind::String, "$.x"))])], None),
            (vec![constant(Kind::String, json!("fixed")), list()], Some(json!("fixed"))),
        ] {
            assert_eq!(apply(&shapes, &ships()), expected, "{shapes:?}");
        }
    }

    #[test]
    fn an_object_without_properties_is_the_answer_unchanged() {
        for answer in [ships(), json!([1, "a"]), json!("text")] {
            assert_eq!(apply(&[shape(Kind::Object, "$.")], &answer), Some(answer.clone()));
            assert_eq!(apply(&[shape(Kind::Object, "")], &answer), Some(answer.clone()));
            assert_eq!(apply(&[Shape::default()], &answer), Some(answer));
        }
        assert_eq!(apply(&[shape(Kind::Object, "$.data.list[0].size")], &ships()), Some(json!({"l": 400.0})));
        assert_eq!(apply(&[shape(Kind::Object, "$.")], &Value::Null), None);
    }

    #[test]
    fn nested_objects_map_from_the_same_root_and_items_from_the_item() {
        let person = || object_of([("name", shape(Kind::String, "$.n")), ("rank", shape(Kind::Integer, ""))]);
        let ship = object_of([
            ("title", shape(Kind::String, "$.name")),
            ("id", shape(Kind::String, "")),
            (
                "inner",
                object_of([("deep", shape(Kind::Integer, "$.size.l")), ("kind", constant(Kind::String, json!(7)))]),
            ),
            ("crew", array_of("$.crew", person())),
            ("ranks", array_of("$.crew", shape(Kind::Integer, "$.rank"))),
            ("void", object_of([("x", shape(Kind::String, "$.x"))])),
        ]);
        let whole = object_of([
            ("ships", array_of("$.data.list", ship)),
            ("data", object_of([("total", shape(Kind::Integer, "$.data.total"))])),
            ("none", shape(Kind::String, "")),
            ("absent", shape(Kind::String, "")),
        ]);
        assert_eq!(
            apply(&[whole], &ships()),
            Some(json!({
                "ships": [
                    {"title": "Ever Given", "id": "1", "inner": {"deep": 400, "kind": "7"},
                     "crew": [{"name": "Ann", "rank": 1}], "ranks": [1]},
                    {"title": "Mont", "id": "2", "inner": {"kind": "7"}, "crew": [], "ranks": []}],
                "data": {"total": 2},
                "none": null}))
        );
    }

    #[test]
    fn a_mapping_of_an_object_helps_where_the_root_has_nothing() {
        let property = || shape(Kind::Any, "$.total");
        let data = Shape { mapping: JsonPath::parse("$.data").ok(), ..object_of([("total", property())]) };
        assert_eq!(apply(std::slice::from_ref(&data), &ships()), Some(json!({"total": "2"})));
        assert_eq!(apply(&[data], &json!({"total": 1, "data": {"total": 2}})), Some(json!({"total": 1})));
    }

    #[test]
    fn arrays_keep_the_number_of_their_items() {
        let named = || object_of([("n", shape(Kind::String, "$.n"))]);
        for (shape, answer, expected) in [
            (array_of("$", named()), json!([{"n": "a"}, {}, 7]), Some(json!([{"n": "a"}, {}, {}]))),
            (array_of("$", shape(Kind::String, "$.n")), json!([{"n": 1}, {}]), Some(json!(["1", null]))),
            (array_of("", shape(Kind::Integer, "")), json!(["1", 2, "x"]), Some(json!([1, 2, "x"]))),
            (
                array_of("$[*].tags", array_of("", shape(Kind::String, ""))),
                json!([{"tags": [1]}, {"tags": []}]),
                Some(json!([["1"], []])),
            ),
            (array_of("$.user", named()), json!({"user": {"n": "only"}}), Some(json!([{"n": "only"}]))),
            (array_of("$.tag", shape(Kind::String, "")), json!({"tag": "x"}), Some(json!(["x"]))),
            (array_of("$", named()), json!({"n": "a"}), None),
            (shape(Kind::Array, "$.a"), json!({"a": null}), None),
        ] {
            assert_eq!(apply(std::slice::from_ref(&shape), &answer), expected, "{answer}");
        }
    }

    #[test]
    fn scalars_are_brought_to_their_type_where_nothing_is_lost() {
        for (kind, value, expected) in [
            (Kind::Integer, json!("7"), json!(7)),
            (Kind::Integer, json!(" -7 "), json!(-7)),
            (Kind::Integer, json!("18446744073709551615"), json!(18_446_744_073_709_551_615_u64)),
            (Kind::Integer, json!("7.0"), json!(7)),
            (Kind::Integer, json!(7.0), json!(7)),
            (Kind::Integer, json!(7.5), json!(7.5)),
            (Kind::Integer, json!("7 kg"), json!("7 kg")),
            (Kind::Integer, json!("007"), json!("007")),
            (Kind::Integer, json!(1e300), json!(1e300)),
            (Kind::Number, json!("1.50"), json!(1.5)),
            (Kind::Number, json!("3.14159265358979323846"), json!("3.14159265358979323846")),
            (Kind::Number, json!("123456789012345678901234567890"), json!("123456789012345678901234567890")),
            (Kind::Number, json!("NaN"), json!("NaN")),
            (Kind::Number, json!(7), json!(7)),
            (Kind::Boolean, json!("true"), json!(true)),
            (Kind::Boolean, json!("False"), json!("False")),
            (Kind::Boolean, json!(1), json!(1)),
            (Kind::String, json!(7), json!("7")),
            (Kind::String, json!(true), json!("true")),
            (Kind::String, json!([1]), json!([1])),
            (Kind::Any, json!("7"), json!("7")),
        ] {
            assert_eq!(apply(&[shape(kind, "$")], &value), Some(expected), "{kind:?} {value}");
        }
    }

    #[test]
    fn texts_are_cut_at_characters() {
        let cut = |length| Shape { max_length: Some(length), ..shape(Kind::String, "$") };
        for (length, value, expected) in [
            (2, json!("äöü"), json!("äö")),
            (3, json!("äöü"), json!("äöü")),
            (0, json!("a"), json!("")),
            (2, json!(12_345), json!("12")),
        ] {
            assert_eq!(apply(&[cut(length)], &value), Some(expected), "{value}");
        }
    }

    #[test]
    fn the_schema_is_typed_and_demands_nothing() {
        let text = Shape { max_length: Some(9), description: Some("a name".into()), ..shape(Kind::String, "$.name") };
        let coded = Shape { schema: Some(json!({"enum": ["a", "b"]})), ..Shape::default() };
        let whole = object_of([
            ("name", text),
            ("any", Shape::default()),
            ("coded", coded),
            ("list", array_of("$.list", object_of([("id", shape(Kind::Integer, ""))]))),
            ("free", shape(Kind::Array, "")),
        ]);
        assert_eq!(
            schema(&[whole]),
            json!({"type": "object", "properties": {
                "name": {"type": ["string", "null"], "description": "a name", "maxLength": 9},
                "any": {},
                "coded": {"anyOf": [{"enum": ["a", "b"]}, {"type": "null"}]},
                "list": {"type": ["array", "null"], "items": {"type": ["object", "null"], "properties": {
                    "id": {"type": ["integer", "null"]}}}},
                "free": {"type": ["array", "null"]}}})
        );
        assert_eq!(schema(&[]), json!({}));
        assert_eq!(schema(&[shape(Kind::Object, "$.")]), json!({"type": "object"}));
    }

    #[test]
    fn the_schema_of_several_shapes_takes_the_results_of_each() {
        let id = |kind| object_of([("id", shape(kind, ""))]);
        assert_eq!(
            schema(&[id(Kind::Integer), id(Kind::String), object_of([("error", shape(Kind::String, ""))])]),
            json!({"type": "object", "properties": {
                "id": {"anyOf": [{"type": ["integer", "null"]}, {"type": ["string", "null"]}]},
                "error": {"type": ["string", "null"]}}})
        );
        assert_eq!(schema(&[id(Kind::Integer), id(Kind::Integer)]), schema(&[id(Kind::Integer)]));
        assert_eq!(
            schema(&[shape(Kind::String, "$.a"), shape(Kind::Array, "$.b")]),
            json!({"anyOf": [{"type": "string"}, {"type": "array"}]})
        );
    }

    #[test]
    fn outputs_of_an_operation_narrow_an_object_and_widen_the_objects_of_an_array() {
        let output = |name: &str, path| (name.to_owned(), JsonPath::parse(path).expect("a path"));
        let outputs = [output("id", "$.data.id"), output("gone", "$.gone"), output("void", "$.void")];
        for (answer, expected) in [
            (json!({"data": {"id": 1}, "void": null, "x": 2}), json!({"id": 1, "void": null})),
            (json!([{"data": {"id": 1}, "x": 2}, 7]), json!([{"data": {"id": 1}, "x": 2, "id": 1}, 7])),
            (json!("text"), json!("text")),
        ] {
            assert_eq!(project(&outputs, answer.clone()), expected, "{answer}");
            assert_eq!(project(&[], answer.clone()), answer);
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[0-9a.-]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[abc]", inner, 0..4)
                    .prop_map(|members| members.into_iter().collect::<Value>()),
            ]
        })
    }

    fn any_shape() -> impl Strategy<Value = Shape> {
        let kind = prop::sample::select(vec![Kind::String, Kind::Integer, Kind::Boolean, Kind::Object, Kind::Any]);
        let mapping = || prop::sample::select(vec!["", "$", "$.a", "$.a.b", "$[*]", "$..c"]);
        let leaf = (kind, mapping()).prop_map(|(kind, mapping)| shape(kind, mapping));
        leaf.prop_recursive(3, 12, 3, move |inner| {
            prop_oneof![
                (mapping(), inner.clone()).prop_map(|(mapping, items)| array_of(mapping, items)),
                prop::collection::btree_map("[abc]", inner, 1..4).prop_map(|properties| Shape {
                    kind: Kind::Object,
                    properties: properties.into_iter().collect(),
                    ..Shape::default()
                }),
            ]
        })
    }

    /// The types that a schema of this file deviates in are those of scalars that could not be converted, and of plain
    /// objects; without types, every result must be as the schema says.
    fn without_scalar_types(schema: &mut Value) {
        if let Value::Object(members) = schema {
            if !members.contains_key("properties") && !members.contains_key("items") {
                members.shift_remove("type");
            }
            for (name, inner) in members.iter_mut() {
                match inner {
                    Value::Object(properties) if name == "properties" => {
                        properties.values_mut().for_each(without_scalar_types);
                    }
                    Value::Array(options) if name == "anyOf" => options.iter_mut().for_each(without_scalar_types),
                    inner => without_scalar_types(inner),
                }
            }
        }
    }

    proptest! {
        #[test]
        fn results_are_as_the_schema_says(shapes in prop::collection::vec(any_shape(), 1..3), answer in any_value()) {
            let mut schema = schema(&shapes);
            without_scalar_types(&mut schema);
            if let Some(value) = apply(&shapes, &answer) {
                let validator = jsonschema::validator_for(&schema).expect("a schema");
                prop_assert!(validator.is_valid(&value), "{schema} {value}");
            }
        }
    }
}
