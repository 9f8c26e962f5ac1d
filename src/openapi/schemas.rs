//! The schemas of a document: one of them inlined and cleaned, or all that are in use cleaned and kept by name.

use indexmap::IndexMap;
use serde_json::{Map, Value, json};

use super::{Document, Operation, Outline, operation::Lowering};
use crate::schema::{
    dialect::{self, Direction},
    inline::pointer,
};

impl Document {
    /// A schema of this document in JSON Schema 2020-12, without references.
    pub(super) fn inlined(&self, schema: Value, direction: Direction) -> Value {
        self.root.inlined(&schema, direction)
    }
}

/// Converts operations with their references kept, and collects the schemas they refer to, cleaned likewise: for writing
/// a document anew without the size of inlined schemas.
#[derive(Debug)]
pub struct Trimmer<'a> {
    document: &'a Document,
    /// Pointer in the document → name.
    names: IndexMap<String, String>,
    schemas: IndexMap<String, Value>,
}

impl<'a> Trimmer<'a> {
    /// A trimmer of a document.
    pub fn new(document: &'a Document) -> Self {
        Self { document, names: IndexMap::new(), schemas: IndexMap::new() }
    }

    /// An operation whose schemas refer to each other by `#/components/schemas/NAME`.
    pub fn operation(&mut self, outline: &Outline) -> Operation {
        let document = self.document;
        let mut convert = |schema, _| self.schema(schema);
        Lowering { document, convert: &mut convert }.operation(outline)
    }

    /// The schemas that the operations so far refer to.
    pub fn into_schemas(mut self) -> Map<String, Value> {
        // Each may refer to others, which are added behind it.
        while let Some(index) = self.names.values().position(|name| !self.schemas.contains_key(name)) {
            let Some((place, name)) = self.names.get_index(index) else { break };
            let (place, name) = (place.clone(), name.clone());
            let schema = self.document.root().pointer(&place).cloned().unwrap_or_else(|| json!({}));
            let schema = self.schema(schema);
            self.schemas.insert(name, schema);
        }
        self.schemas.into_iter().collect()
    }

    fn schema(&mut self, schema: Value) -> Value {
        let Value::Object(mut members) = schema else { return schema };
        let nullable = ["nullable", "x-nullable"].iter().any(|mark| members.get(*mark) == Some(&Value::Bool(true)));
        dialect::clean(&mut members);
        let mut result = Map::new();
        for (keyword, value) in members {
            let value = match (keyword.as_str(), value) {
                ("$ref", Value::String(reference)) => match self.reference(&reference) {
                    Some(reference) => Value::String(reference),
                    None => continue,
                },
                ("discriminator", Value::Object(choice)) => self.discriminator(choice),
                ("properties" | "patternProperties" | "dependentSchemas", Value::Object(schemas)) => {
                    Value::Object(schemas.into_iter().map(|(name, schema)| (name, self.schema(schema))).collect())
                }
                ("enum" | "const" | "default" | "examples" | "dependentRequired", data) => data,
                (keyword, _) if !dialect::KEYWORDS.contains(&keyword) => continue,
                (_, Value::Array(items)) => items.into_iter().map(|item| self.schema(item)).collect(),
                (_, schema @ Value::Object(_)) => self.schema(schema),
                (_, scalar) => scalar,
            };
            result.insert(keyword, value);
        }
        if nullable {
            let referenced = result.contains_key("$ref") && !result.contains_key("type");
            dialect::admit_null(&mut result);
            if referenced {
                return json!({ "anyOf": [result, { "type": "null" }] });
            }
        }
        Value::Object(result)
    }

    fn discriminator(&mut self, mut choice: Map<String, Value>) -> Value {
        if let Some(Value::Object(mapping)) = choice.get_mut("mapping") {
            for target in mapping.values_mut() {
                if let Some(reference) = target.as_str().and_then(|reference| self.reference(reference)) {
                    *target = Value::String(reference);
                }
            }
        }
        choice.retain(|name, _| matches!(name.as_str(), "propertyName" | "mapping"));
        Value::Object(choice)
    }

    /// The reference to write for one of the document.
    fn reference(&mut self, reference: &str) -> Option<String> {
        let place = pointer(reference)?;
        self.document.root().pointer(&place)?;
        if !self.names.contains_key(&place) {
            let last = place.rsplit('/').next().unwrap_or_default();
            let fits = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '_');
            let base: String = last.chars().map(|character| if fits(character) { character } else { '_' }).collect();
            let taken = |name: &String| self.names.values().any(|known| known == name);
            let mut name = base.clone();
            let mut number = 2;
            while taken(&name) {
                name = format!("{base}_{number}");
                number += 1;
            }
            self.names.insert(place.clone(), name);
        }
        self.names.get(&place).map(|name| format!("#/components/schemas/{name}"))
    }
}
