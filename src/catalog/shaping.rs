//! Lowering what a tool gives back: shapes, the schema of the result, and the values of tools that call nothing. A
//! continuation of `compile.rs`.

use indexmap::IndexMap;
use serde_json::{Value, json};

use super::{
    OutputSchema,
    arguments::Arguments,
    compile::{Compiler, Target},
    fill::Fill,
    input::Argument,
    plan::Shaping,
    resolve::Names,
    shape::{self, Kind, Shape},
};
use crate::{
    decode::Format,
    diagnostic::{Code, Diagnostic},
    sensitive::Marks,
    spec::{OutputParameter, Spanned},
};

impl Compiler<'_> {
    /// What a call gives back: the first shape that gives something, else the answer as it is.
    pub(super) fn answer(
        &mut self,
        outputs: &[OutputParameter],
        target: Option<Target<'_>>,
    ) -> Option<(Shaping, OutputSchema)> {
        let of_operation = target.map(|target| target.operation.output_parameters.as_slice()).unwrap_or_default();
        if let Some(reference) = outputs.iter().chain(of_operation).find_map(|output| output.schema.as_ref()) {
            let schema = self.resolve(reference)?;
            let shapes = if outputs.iter().all(is_whole) { Vec::new() } else { self.shapes(outputs) };
            return match OutputSchema::new(schema, &mut self.checker) {
                Ok(output) => Some((Shaping { shapes }, output)),
                Err(reason) => {
                    let message = format!("the schema `{}` is not valid: {reason}", reference.value);
                    self.problems.push(Diagnostic::error(Code::InvalidSchema, reference.span, message));
                    None
                }
            };
        }
        if !outputs.iter().all(is_whole) {
            let shapes = self.shapes(outputs);
            let output =
                OutputSchema::new(shape::schema(&shapes), &mut self.checker).unwrap_or_else(|_| OutputSchema::any());
            return Some((Shaping { shapes }, output));
        }
        let is_json = |target: &Target<'_>| {
            let format = target.operation.format.as_ref();
            format.is_none_or(|format| Format::parse(&format.value, None).is_ok_and(|format| format == Format::Json))
        };
        let joined = target.filter(is_json).and_then(|target| self.join(target));
        let answer = joined.and_then(|joined| joined.answer.as_ref()?.schema.clone());
        let output = answer.and_then(|schema| OutputSchema::new(schema, &mut self.checker).ok());
        Some((Shaping::default(), output.unwrap_or_else(OutputSchema::any)))
    }

    /// Where the answers of an operation have secrets, by their schema. What is wrong with that is said elsewhere.
    pub(super) fn answer_marks(&mut self, target: Target<'_>) -> Option<Box<Marks>> {
        let stated = target.operation.output_parameters.iter().find_map(|output| output.schema.as_ref());
        if let Some(reference) = stated {
            let known = self.problems.len();
            let schema = self.resolve(reference);
            self.problems.truncate(known);
            return Marks::of(&schema?).map(Box::new);
        }
        let joined = self.join(target)?;
        Marks::of(joined.answer.as_ref()?.schema.as_ref()?).map(Box::new)
    }

    /// What steps or fixed values give back: an object of the named outputs, each of its declared type, and of what is
    /// mapped besides.
    pub(super) fn composed(
        &mut self,
        outputs: &[OutputParameter],
        mappings: &[(Vec<String>, Fill)],
    ) -> Option<(Shaping, OutputSchema)> {
        let named = outputs.iter().all(|output| output.name.is_some());
        if outputs.is_empty() {
            return Some((Shaping::default(), OutputSchema::any()));
        }
        if !named {
            let mut shapes: Vec<Shape> = self.shapes(outputs).into_iter().map(in_place).collect();
            let schema = shape::schema(&shapes);
            let output = OutputSchema::new(schema, &mut self.checker).unwrap_or_else(|_| OutputSchema::any());
            // Fixed values are there already: a shape without a path takes them in its type.
            if outputs.iter().any(|output| output.value.is_some()) {
                shapes.iter_mut().for_each(|shape| shape.mapping = None);
            }
            return Some((Shaping { shapes }, output));
        }
        let mut properties = IndexMap::new();
        for output in outputs {
            let Some(name) = &output.name else { continue };
            properties.insert(name.value.clone(), in_place(self.shape(output)));
        }
        mappings.iter().for_each(|(target, _)| admit(&mut properties, target));
        let shapes = vec![Shape { kind: Kind::Object, properties, in_place: true, ..Shape::default() }];
        let output =
            OutputSchema::new(shape::schema(&shapes), &mut self.checker).unwrap_or_else(|_| OutputSchema::any());
        Some((Shaping { shapes }, output))
    }

    fn shapes(&mut self, outputs: &[OutputParameter]) -> Vec<Shape> {
        outputs.iter().map(|output| self.shape(output)).collect()
    }

    fn shape(&mut self, output: &OutputParameter) -> Shape {
        let OutputParameter {
            name: _,
            kind,
            description,
            mapping,
            value,
            schema: _,
            properties,
            items,
            max_length,
            span: _,
        } = output;
        let parsed = match kind {
            None if !properties.is_empty() => Kind::Object,
            None => Kind::Any,
            Some(kind) => match kind.value.as_str() {
                "string" | "binary" => Kind::String,
                "number" => Kind::Number,
                "integer" => Kind::Integer,
                "boolean" => Kind::Boolean,
                "object" => Kind::Object,
                "array" => Kind::Array,
                other => {
                    let known = ["string", "number", "integer", "boolean", "object", "array"];
                    let message = format!("unknown type `{other}` of an output; it is given back as it is");
                    let problem = Diagnostic::warning(Code::InvalidValue, kind.span, message);
                    self.problems.push(problem.with_nearest(other, known));
                    Kind::Any
                }
            },
        };
        let path = mapping.as_ref().and_then(|mapping| self.path(&mapping.value, mapping));
        let mut named = IndexMap::new();
        for property in properties {
            if let Some(name) = &property.name {
                named.insert(name.value.clone(), self.shape(property));
            }
        }
        Shape {
            kind: parsed,
            mapping: path,
            constant: value.as_ref().map(|value| constant(value, parsed)),
            properties: named,
            in_place: false,
            items: items.as_ref().map(|items| Box::new(self.shape(items))),
            max_length: *max_length,
            description: description.as_ref().map(|text| text.value.trim().to_owned()),
            schema: None,
        }
    }

    /// The values of a tool that calls nothing. Arguments in them are added where the tool declares none.
    pub(super) fn mock(&mut self, outputs: &[OutputParameter], names: &Names<'_>, arguments: &mut Arguments) -> Fill {
        let named = outputs.iter().all(|output| output.name.is_some());
        let fill = match outputs {
            [single] if !named => mock_value(single, names),
            outputs => mock_object(outputs, names),
        };
        for name in fill.arguments() {
            if !arguments.has(name) && !arguments.declared {
                let schema = json!({"type": "string"});
                arguments.add(Argument { name: name.to_owned(), schema, required: false });
            }
        }
        fill
    }
}

/// A shape of values that are in their places already, fixed ones among them.
fn in_place(shape: Shape) -> Shape {
    let properties = shape.properties.into_iter().map(|(name, shape)| (name, in_place(shape)));
    Shape {
        constant: None,
        properties: properties.collect(),
        in_place: true,
        items: shape.items.map(|items| Box::new(in_place(*items))),
        ..shape
    }
}

/// Adds a member of members that is mapped, where no output declares it.
fn admit(properties: &mut IndexMap<String, Shape>, target: &[String]) {
    let Some((first, rest)) = target.split_first() else { return };
    match properties.get_mut(first) {
        None => {
            properties.insert(first.clone(), Shape { in_place: true, ..Shape::default() });
        }
        Some(declared) if !declared.properties.is_empty() => admit(&mut declared.properties, rest),
        Some(_) => {}
    }
}

fn mock_object(outputs: &[OutputParameter], names: &Names<'_>) -> Fill {
    let members =
        outputs.iter().filter_map(|output| Some((output.name.as_ref()?.value.clone(), mock_value(output, names))));
    Fill::Object(members.collect())
}

fn mock_value(output: &OutputParameter, names: &Names<'_>) -> Fill {
    if let Some(value) = &output.value {
        return names.text(&value.value);
    }
    match &output.items {
        Some(items) => Fill::List(vec![mock_value(items, names)]),
        None => mock_object(&output.properties, names),
    }
}

/// A constant in its declared type, where it reads as that.
fn constant(value: &Spanned<String>, kind: Kind) -> Value {
    let parsed = || serde_json::from_str::<Value>(value.value.trim()).ok();
    let fits = |value: &Value| match kind {
        Kind::Number => value.is_number(),
        Kind::Integer => value.is_i64() || value.is_u64(),
        Kind::Boolean => value.is_boolean(),
        _ => false,
    };
    parsed().filter(fits).unwrap_or_else(|| Value::from(value.value.as_str()))
}

/// Whether an output is the answer as it is (`type: object` and `$` or `$.`, without members).
fn is_whole(output: &OutputParameter) -> bool {
    let whole =
        |path: &Option<Spanned<String>>| path.as_ref().is_none_or(|path| matches!(path.value.trim(), "$" | "$."));
    let object = output.kind.as_ref().is_none_or(|kind| kind.value == "object");
    let plain = output.properties.is_empty() && output.items.is_none();
    let array = output.kind.as_ref().is_some_and(|kind| kind.value == "array") && output.mapping.is_some();
    (object || array) && plain && whole(&output.mapping) && whole(&output.value)
}
