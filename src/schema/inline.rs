//! One schema out of many: references followed and put in place, cycles cut, size bounded. Whoever holds the documents
//! says where a reference leads; must not know files nor what a schema is used for.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::Mutex,
};

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::dialect::{self, Dialect, Direction};
use crate::diagnostic::Diagnostic;

/// The largest schema after inlining, in values. A tool's schema beyond it would fill any model's context.
pub(crate) const MAX_INLINED_VALUES: usize = 20_000;
/// How often one reference may stand inside itself before it is cut to "any value".
const MAX_RECURSION: usize = 2;
const MAX_DEPTH: usize = 64;

/// A place in a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The document.
    pub(crate) path: PathBuf,
    /// A JSON pointer (RFC 6901), decoded.
    pub(crate) pointer: String,
}

/// Why a schema cannot be inlined.
#[derive(Debug)]
pub(crate) enum Problem {
    /// A reference leads nowhere.
    Message(String),
    /// A file that a reference leads to is broken.
    File(Box<Diagnostic>),
    /// Over the limit of values or depth.
    TooLarge,
}

/// The sentence for [`Problem::TooLarge`].
pub(crate) fn too_large() -> String {
    format!(
        "the schema is too large or too deep once its references are inlined; the limits are {MAX_INLINED_VALUES} values \
         and {MAX_DEPTH} levels"
    )
}

/// How far references are followed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    /// How often one reference may stand inside itself.
    pub(crate) recursion: usize,
    /// How many references may stand inside one another.
    pub(crate) nesting: usize,
}

/// The JSON pointer of a reference into its own document.
pub(crate) fn pointer(reference: &str) -> Option<String> {
    let pointer = reference.strip_prefix('#')?;
    Some(percent_decode_str(pointer).decode_utf8_lossy().into_owned())
}

/// A published schema that has to be cut anyway is cut to this many values: each tool keeps its own copy, and documents
/// whose types all refer to each other have hundreds.
const MAX_CUT_VALUES: usize = 2_000;
/// How far references are followed, with how many levels of them have to fit for it and into how many values; in turn
/// until one does. Cutting deep types leaves the members that a caller sets, while giving up would leave nothing.
const REACHES: [(Reach, u8, usize); 8] = [
    (Reach { recursion: MAX_RECURSION, nesting: usize::MAX }, 12, MAX_INLINED_VALUES),
    (Reach { recursion: 1, nesting: usize::MAX }, 8, MAX_INLINED_VALUES),
    (Reach { recursion: 1, nesting: 6 }, 6, MAX_CUT_VALUES),
    (Reach { recursion: 1, nesting: 5 }, 5, MAX_CUT_VALUES),
    (Reach { recursion: 1, nesting: 4 }, 4, MAX_CUT_VALUES),
    (Reach { recursion: 1, nesting: 3 }, 3, MAX_CUT_VALUES),
    (Reach { recursion: 1, nesting: 2 }, 2, MAX_CUT_VALUES),
    (Reach { recursion: 1, nesting: 1 }, 1, MAX_INLINED_VALUES),
];

/// A published document whose schemas are inlined one by one.
#[derive(Debug, Default)]
pub(crate) struct Published {
    root: Value,
    /// Pointer and levels of references → values of the schema with that many levels followed. Reckoned before anything
    /// is inlined: a schema that explodes would cost its limit at each attempt.
    sizes: Mutex<HashMap<(String, u8), usize>>,
}

impl Published {
    pub(crate) fn new(root: Value) -> Self {
        Self { root, sizes: Mutex::default() }
    }

    /// The document.
    pub(crate) fn root(&self) -> &Value {
        &self.root
    }

    /// A schema of the document, without references. References to other documents lead to any value; of a schema that
    /// is too large even where only its outermost references are followed, nothing stays.
    pub(crate) fn inlined(&self, schema: &Value, direction: Direction) -> Value {
        for (reach, levels, limit) in REACHES {
            if self.size(schema, levels, 0) > limit {
                continue;
            }
            let mut find = |_: &Path, reference: &str| self.find(reference);
            let inliner = Inliner::new(&mut find, Dialect::Published).within(reach);
            match inliner.schema(Path::new(""), schema.clone()) {
                Ok(mut inlined @ Value::Object(_)) => {
                    dialect::one_way(&mut inlined, direction);
                    return inlined;
                }
                Ok(_) => break,
                Err(_) => {}
            }
        }
        Value::Object(Map::new())
    }

    fn find(&self, reference: &str) -> Result<(Target, Value), Problem> {
        let nowhere = || Problem::Message(format!("`{reference}` leads nowhere"));
        let pointer = pointer(reference).ok_or_else(nowhere)?;
        let value = self.root.pointer(&pointer).cloned().ok_or_else(nowhere)?;
        Ok((Target { path: PathBuf::new(), pointer }, value))
    }

    /// How many values a schema has at most with so many levels of references followed; some number over the limit where
    /// it has more.
    fn size(&self, value: &Value, levels: u8, depth: usize) -> usize {
        if depth > MAX_DEPTH {
            return MAX_INLINED_VALUES + 1;
        }
        match value {
            Value::Array(items) => self.sum(items.iter(), levels, depth),
            Value::Object(members) => {
                // What is not taken over, and may be long.
                let dropped = |name: &String| name.starts_with("x-") || name == "example" || name == "examples";
                let kept = members.iter().filter(|(name, _)| !dropped(name)).map(|(_, value)| value);
                let own = self.sum(kept, levels, depth);
                let reference = members.get("$ref").and_then(Value::as_str).and_then(pointer);
                own.saturating_add(reference.map_or(0, |reference| self.referenced(reference, levels)))
            }
            _ => 1,
        }
    }

    fn sum<'a>(&self, values: impl Iterator<Item = &'a Value>, levels: u8, depth: usize) -> usize {
        let mut sum = 1_usize;
        for value in values {
            sum = sum.saturating_add(self.size(value, levels, depth + 1));
            if sum > MAX_INLINED_VALUES {
                break;
            }
        }
        sum
    }

    fn referenced(&self, pointer: String, levels: u8) -> usize {
        let Some(below) = levels.checked_sub(1) else { return 1 };
        let key = (pointer, levels);
        let known = self.sizes.lock().ok().and_then(|sizes| sizes.get(&key).copied());
        if let Some(known) = known {
            return known;
        }
        let size = self.root.pointer(&key.0).map_or(1, |value| self.size(value, below, 0));
        if let Ok(mut sizes) = self.sizes.lock() {
            sizes.insert(key, size);
        }
        size
    }
}

/// Where a reference in a document leads: the place, and the value there.
type Find<'a> = dyn FnMut(&Path, &str) -> Result<(Target, Value), Problem> + 'a;

/// Inlines one schema.
pub(crate) struct Inliner<'a> {
    find: &'a mut Find<'a>,
    dialect: Dialect,
    reach: Reach,
    open: Vec<Target>,
    values: usize,
}

impl<'a> Inliner<'a> {
    /// An inliner that follows every reference until it stands in itself.
    pub(crate) fn new(find: &'a mut Find<'a>, dialect: Dialect) -> Self {
        let reach = Reach { recursion: MAX_RECURSION, nesting: usize::MAX };
        Self { find, dialect, reach, open: Vec::new(), values: 0 }
    }

    /// Follows references less far.
    pub(crate) fn within(self, reach: Reach) -> Self {
        Self { reach, ..self }
    }

    /// The schema a reference in `base` leads to.
    pub(crate) fn reference(mut self, base: &Path, reference: &str) -> Result<Value, Problem> {
        self.target(base, reference, 0)
    }

    /// A schema that stands in `base`.
    pub(crate) fn schema(mut self, base: &Path, schema: Value) -> Result<Value, Problem> {
        self.value(schema, base, 0)
    }

    fn target(&mut self, base: &Path, reference: &str, depth: usize) -> Result<Value, Problem> {
        let (target, value) = match (self.find)(base, reference) {
            Ok(found) => found,
            // One loose end in a published document costs its own place, not the operation.
            Err(Problem::Message(_)) if self.dialect == Dialect::Published => return Ok(Value::Object(Map::new())),
            Err(problem) => return Err(problem),
        };
        let repeated = self.open.iter().filter(|open| **open == target).count();
        if repeated >= self.reach.recursion || self.open.len() >= self.reach.nesting {
            return Ok(Value::Object(self.cut(&value)));
        }
        let file = target.path.clone();
        self.open.push(target);
        let inlined = self.value(value, &file, depth);
        self.open.pop();
        inlined
    }

    /// What stays of a schema that is not followed: nothing where it stands in itself, else its kind.
    fn cut(&self, schema: &Value) -> Map<String, Value> {
        let mut result = Map::new();
        if self.dialect == Dialect::Published {
            let kind = schema.get("type").filter(|kind| kind.is_string()).cloned();
            let kind = kind.or_else(|| schema.get("properties").map(|_| Value::from("object")));
            result.extend(kind.map(|kind| ("type".to_owned(), kind)));
            dialect::clean(&mut result);
            if schema.get("nullable") == Some(&Value::Bool(true)) {
                dialect::admit_null(&mut result);
            }
        }
        result
    }

    /// Inlines a schema, or any value inside one: where a member is no schema, nothing in it looks like a reference.
    fn value(&mut self, value: Value, file: &Path, depth: usize) -> Result<Value, Problem> {
        self.values += 1;
        if self.values > MAX_INLINED_VALUES || depth > MAX_DEPTH {
            return Err(Problem::TooLarge);
        }
        match value {
            Value::Array(items) => items
                .into_iter()
                .map(|item| self.value(item, file, depth + 1))
                .collect::<Result<Vec<_>, _>>()
                .map(Value::Array),
            Value::Object(members) => self.object(members, file, depth),
            scalar => Ok(scalar),
        }
    }

    fn object(&mut self, mut members: Map<String, Value>, file: &Path, depth: usize) -> Result<Value, Problem> {
        let mut result = Map::new();
        if let Some(Value::String(reference)) = members.get("$ref")
            && let Value::Object(referenced) = self.target(file, reference, depth + 1)?
        {
            result = referenced;
        }
        let (mut nullable, mut choice) = (members.get("nullable") == Some(&Value::Bool(true)), None);
        if self.dialect == Dialect::Published {
            nullable |= members.get("x-nullable") == Some(&Value::Bool(true));
            choice = dialect::Choice::of(&members);
            dialect::clean(&mut members);
        }
        for (name, member) in members {
            if !dialect::KEYWORDS.contains(&name.as_str()) {
                continue;
            }
            let member = match (name.as_str(), member) {
                // A map of schemas: its keys are names, not keywords.
                ("properties" | "patternProperties" | "dependentSchemas", Value::Object(schemas)) => Value::Object(
                    schemas
                        .into_iter()
                        .map(|(name, schema)| Ok((name, self.value(schema, file, depth + 1)?)))
                        .collect::<Result<_, _>>()?,
                ),
                // Data, which may hold anything.
                ("enum" | "const" | "default" | "examples" | "dependentRequired", data) => data,
                (_, member) => self.value(member, file, depth + 1)?,
            };
            result.insert(name, member);
        }
        if let Some(choice) = choice {
            choice.tell_apart(&mut result);
        }
        dialect::merge_all_of(&mut result);
        if self.dialect == Dialect::Published {
            dialect::merge_null_choice(&mut result);
        }
        if nullable {
            dialect::admit_null(&mut result);
        }
        Ok(Value::Object(result))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Anything that a published schema may hold where a schema should be.
    pub(in super::super) fn junk() -> impl Strategy<Value = Value> {
        let words = prop_oneof![
            Just(json!("string")),
            Just(json!("object")),
            Just(json!("null")),
            Just(json!("#/x")),
            Just(json!("#/y/0")),
            Just(json!("uuid")),
            Just(json!("([")),
            Just(json!("")),
        ];
        let leaf = prop_oneof![
            words,
            any::<bool>().prop_map(Value::from),
            (-2..9_i64).prop_map(Value::from),
            Just(Value::Null)
        ];
        let keys: Vec<&str> =
            dialect::KEYWORDS.iter().copied().chain(["nullable", "$ref", "discriminator", "x", "mapping"]).collect();
        leaf.prop_recursive(5, 60, 6, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                proptest::collection::vec((proptest::sample::select(keys.clone()), inner), 0..6)
                    .prop_map(|members| members.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_is_published_becomes_a_valid_schema(x in junk(), y in junk(), schema in junk()) {
            let root = json!({"x": x, "y": [y]});
            for direction in [Direction::Request, Direction::Answer] {
                let inlined = Published::new(root.clone()).inlined(&schema, direction);
                let valid = super::super::validator_options().build(&inlined);
                prop_assert!(valid.is_ok(), "{schema} {root}\n{inlined}\n{:?}", valid.err());
            }
        }
    }
}
