//! What a person may choose from for an argument of a prompt or a placeholder of a URI: fixed values, or what an operation
//! lists. A continuation of `compile.rs`; carried out by whoever is asked for it.

use std::sync::Arc;

use serde_json::Value;

use super::{
    CompiledResource, JsonObject,
    collected::does_same,
    compile::{Compiler, Scene, Use},
    fill::text_of,
    names,
    resource::{ResourceSource, Target},
    uri::UriTemplate,
    wiring::parameters,
};
use crate::{
    diagnostic::{Code, Diagnostic, has_errors},
    jsonpath::JsonPath,
    spec::{
        self, Action, Complete, InputParameter, McpServer, Mode, Spanned, Tool,
        yaml::{self, Node},
    },
};

/// How many values are taken from one answer.
const MAX_VALUES: usize = 10_000;
/// The longest of them, in bytes: nobody chooses a longer one from a list.
const MAX_VALUE_BYTES: usize = 1_000;

/// What may be chosen from.
#[derive(Clone, Debug, Default)]
pub struct Choices {
    /// Values that the spec states.
    pub fixed: Vec<String>,
    /// What lists more.
    pub listing: Option<Arc<Listing>>,
}

/// An operation that lists values.
#[derive(Debug)]
pub struct Listing {
    /// What is read for them.
    resource: CompiledResource,
    /// Where they are in what was read.
    value: JsonPath,
}

/// What is completed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// The argument or placeholder.
    pub(super) name: &'a Spanned<String>,
    /// What was written for it.
    pub(super) complete: &'a Complete,
    /// All arguments or placeholders beside it.
    pub(super) beside: &'a [&'a str],
}

impl Choices {
    /// The values that a schema allows alone: those of an enumeration, or both of a boolean.
    pub fn of_schema(schema: &Value) -> Self {
        let fixed = match schema.get("enum").and_then(Value::as_array) {
            Some(values) => values.iter().filter_map(text_of).collect(),
            None if schema.get("type") == Some(&Value::from("boolean")) => vec!["true".to_owned(), "false".to_owned()],
            None => Vec::new(),
        };
        Self { fixed, listing: None }
    }

    /// The same of a parameter, by its type and what stands beside that.
    pub(super) fn of_parameter(kind: Option<&str>, keywords: &[(Spanned<String>, Value)]) -> Self {
        let mut schema = JsonObject::from_iter(kind.map(|kind| ("type".to_owned(), Value::from(kind))));
        let stated = keywords.iter().find(|(keyword, _)| keyword.value == "enum");
        schema.extend(stated.map(|(keyword, values)| (keyword.value.clone(), values.clone())));
        Self::of_schema(&Value::Object(schema))
    }

    /// Whether there is nothing to choose from.
    pub fn is_empty(&self) -> bool {
        self.fixed.is_empty() && self.listing.is_none()
    }
}

impl PartialEq for Choices {
    fn eq(&self, other: &Self) -> bool {
        self.fixed == other.fixed
            && match (&self.listing, &other.listing) {
                (Some(one), Some(other)) => one.is_same(other),
                (None, None) => true,
                _ => false,
            }
    }
}

impl Eq for Choices {}

impl Listing {
    /// What to read, with what is known of the other arguments: their names and values. Those that it has no use for are
    /// left out.
    pub fn target(&self, known: &JsonObject) -> Option<(&CompiledResource, Target<'_>)> {
        let ResourceSource::Answer(tool) = &self.resource.source else { return None };
        let listed = tool.input.listed();
        let taken = listed.get("properties").and_then(Value::as_object);
        let argument = |(name, value): (&String, &Value)| {
            let name = names::argument(name);
            let value = match value {
                Value::String(text) => tool.input.read(&name, text),
                other => other.clone(),
            };
            taken.is_some_and(|taken| taken.contains_key(&name)).then_some((name, value))
        };
        let arguments = known.iter().filter_map(argument).collect();
        Some((&self.resource, Target::Answer { tool, arguments }))
    }

    /// The values in what was read, each once. Error: why there are none to be had.
    pub fn values(&self, text: &str) -> Result<Vec<String>, String> {
        let answer: Value = serde_json::from_str(text).map_err(|_| "the answer is no JSON".to_owned())?;
        let found = self.value.select(&answer).map_err(|error| error.to_string())?;
        let found = match found {
            None => Vec::new(),
            Some(Value::Array(items)) => items,
            Some(one) => vec![one],
        };
        let scalars = found.iter().filter(|value| !value.is_array() && !value.is_object()).filter_map(text_of);
        let values: indexmap::IndexSet<String> =
            scalars.filter(|text| !text.is_empty() && text.len() <= MAX_VALUE_BYTES).take(MAX_VALUES).collect();
        Ok(values.into_iter().collect())
    }

    fn is_same(&self, other: &Self) -> bool {
        match (&self.resource.source, &other.resource.source) {
            (ResourceSource::Answer(one), ResourceSource::Answer(two)) => {
                does_same(one, two) && self.value.as_str() == other.value.as_str()
            }
            _ => false,
        }
    }
}

impl Compiler<'_> {
    /// What lists the values of an argument. What is wrong with it is reported, and nothing listed then.
    pub(super) fn listing(
        &mut self,
        wanted: Wanted<'_>,
        server: &McpServer,
        scene: &Scene<'_>,
    ) -> Option<Arc<Listing>> {
        let Wanted { name, complete: Complete { call, with, value, span }, beside } = wanted;
        let path = JsonPath::parse(&value.value).map_err(|problem| {
            self.problems.push(Diagnostic::error(Code::InvalidJsonPath, value.span, problem.to_string()));
        });
        // An operation is a tool of its own as well, unless some tool calls it.
        let called = self.called.clone();
        let target = self.target(&mut scene.for_use(Use::Resource), call);
        let (path, target) = (path.ok()?, target?);
        let operation = target.operation;
        let takes = |name: &str| {
            let own = names::argument(name);
            parameters(target).iter().any(|parameter| names::argument(&parameter.name.value) == own)
                || operation.path.value.contains(&format!("{{{name}}}"))
                || with.iter().any(|(_, node)| mentions(node, name))
        };
        let input = |name: &str| InputParameter {
            kind: Some(Spanned::new("any".to_owned(), *span)),
            required: Some(Spanned::new(false, *span)),
            ..InputParameter::bare(Spanned::new(name.to_owned(), *span))
        };
        let beside = beside.iter().copied().filter(|other| *other != name.value && takes(other));
        let (mode, with) = (Mode::Call(call.clone()), with.clone());
        let tool = Tool {
            name: name.clone(),
            title: None,
            description: Some(Spanned::new(format!("Values for `{}`.", name.value), *span)),
            hints: spec::Hints::default(),
            input_parameters: beside.map(input).collect(),
            action: Action { mode, with, mappings: Vec::new(), outputs: Vec::new() },
            span: *span,
        };
        let before = self.problems.len();
        let compiled = self.lowered(&tool, server, &mut scene.for_use(Use::Resource));
        self.called = called;
        // Said below in other words: nobody is asked for an argument here.
        let found = self.problems.split_off(before);
        self.problems.extend(found.into_iter().filter(|problem| problem.code != Code::UndeclaredPathParameter));
        let Some(compiled) = compiled else {
            if !self.problems.get(before..).is_some_and(has_errors) {
                let message = format!("nothing can be listed for `{}`: the service was left out", name.value);
                self.problems.push(Diagnostic::error(Code::UnusableCompletion, call.span, message));
            }
            return None;
        };
        let known: Vec<String> = tool.input_parameters.iter().map(|one| names::argument(&one.name.value)).collect();
        let listed = compiled.input.listed();
        let asked = listed.get("properties").and_then(Value::as_object);
        if let Some((missing, _)) = asked.into_iter().flatten().find(|(name, _)| !known.contains(name)) {
            let message = format!("nothing feeds `{missing}` of `{}` when `{}` is completed", call.value, name.value);
            let problem = Diagnostic::error(Code::UnusableCompletion, call.span, message);
            self.problems.push(problem.with_help("name another argument so, or set it by `with`"));
            return None;
        }
        if !compiled.hints.read_only {
            let message = format!("completing `{}` would change something: {}", name.value, compiled.plan.summary());
            let problem = Diagnostic::error(Code::UnusableCompletion, call.span, message);
            self.problems.push(problem.with_help("call an operation that only reads; clients ask at every key"));
            return None;
        }
        let resource = CompiledResource {
            uri: UriTemplate::parse("keyglass://completions").ok()?,
            name: format!("values for {}", name.value),
            title: name.value.clone(),
            description: compiled.description.clone(),
            media_type: Some("application/json".to_owned()),
            source: ResourceSource::Answer(Box::new(compiled)),
            gate: scene.gate,
            group: Arc::clone(&scene.group),
            listings: Vec::new(),
        };
        Some(Arc::new(Listing { resource, value: path }))
    }
}

/// Whether a name stands in a value.
fn mentions(node: &Node, name: &str) -> bool {
    match &node.value {
        yaml::Value::String(text) => text.contains(name),
        yaml::Value::Sequence(items) => items.iter().any(|item| mentions(item, name)),
        yaml::Value::Mapping(entries) => entries.iter().any(|(_, node)| mentions(node, name)),
        _ => false,
    }
}
