//! What a name in the text of a spec stands for: an argument, a variable, an earlier answer. Texts and values with
//! placeholders are turned into [`Fill`]s here, when the catalog is compiled.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    rc::Rc,
};

use serde_json::Value;

use super::{fill::Fill, names};
use crate::{
    jsonpath::JsonPath,
    spec::{
        InputParameter, Spanned,
        template::{self, Piece},
        yaml::{self, Node},
    },
    variables::Variables,
};

/// Prefixes of references to arguments in published specs; what follows is the whole name.
const PREFIXES: [&str; 2] = ["tools.", "rest."];
/// What may follow `rest.` before the name.
const PLACES: [&str; 4] = ["params.", "path.", "query.", "body."];

/// How many bytes of values may take the place of names in one operation.
const MAX_VALUES: usize = 1024 * 1024;
/// How many values may stand within each other.
const MAX_DEPTH: usize = 32;

/// The parameters within whose values a text stands.
struct Within<'a> {
    name: &'a str,
    depth: usize,
    outer: Option<&'a Within<'a>>,
}

impl Within<'_> {
    fn has(&self, name: &str) -> bool {
        self.name == name || self.outer.is_some_and(|outer| outer.has(name))
    }
}

/// What names can stand for where a text is.
#[derive(Clone, Debug)]
pub(super) struct Names<'a> {
    /// The document, by its place in the workspace.
    pub(super) document: usize,
    /// The variables of all documents.
    pub(super) variables: &'a Variables,
    /// Namespaces that are a prefix of arguments: the server's own, the flow's own.
    pub(super) namespaces: Vec<&'a str>,
    /// The steps before.
    pub(super) steps: Vec<&'a str>,
    /// The parameters of the operation a text belongs to, by name, the first of each.
    parameters: HashMap<&'a str, &'a InputParameter>,
    /// How many bytes of values may still take the place of names in the operation: values that speak of each other grow
    /// with every step.
    left: Rc<Cell<Option<usize>>>,
    /// What feeds the parameters of a flow, by argument: a tool that refers to it may feed them otherwise.
    pub(super) inputs: BTreeMap<String, Fill>,
    /// What `with` feeds, by parameter.
    pub(super) with: BTreeMap<String, Spanned<Fill>>,
    /// What feeds members of a body that is one parameter, by the names that lead to each.
    pub(super) members: Vec<(Vec<String>, Spanned<Fill>)>,
}

impl<'a> Names<'a> {
    /// Names of a document, with these namespaces as prefixes of arguments.
    pub(super) fn new(document: usize, variables: &'a Variables, namespaces: Vec<&'a str>) -> Self {
        let (steps, parameters) = (Vec::new(), HashMap::new());
        let (inputs, with) = (BTreeMap::new(), BTreeMap::new());
        let left = Rc::new(Cell::new(Some(MAX_VALUES)));
        Self { document, variables, namespaces, steps, parameters, left, inputs, with, members: Vec::new() }
    }

    /// The same for the texts of an operation with these parameters.
    pub(super) fn speak_of(&mut self, parameters: &[&'a InputParameter]) {
        self.parameters.clear();
        for parameter in parameters {
            self.parameters.entry(parameter.name.value.as_str()).or_insert(parameter);
        }
        self.left = Rc::new(Cell::new(Some(MAX_VALUES)));
    }

    /// Whether the values of the operation were too much to put into each other. What was made of them is not whole.
    pub(super) fn are_too_large(&self) -> bool {
        self.left.get().is_none()
    }

    /// Counts bytes that take the place of a name; `None` where there are too many.
    fn spend(&self, bytes: usize) -> Option<()> {
        self.left.set(self.left.get().and_then(|left| left.checked_sub(bytes)));
        self.left.get().map(|_| ())
    }

    /// A text with placeholders, or without any.
    pub(super) fn text(&self, text: &str) -> Fill {
        self.text_in(text, None)
    }

    fn text_in(&self, text: &str, within: Option<&Within<'_>>) -> Fill {
        let pieces = template::pieces(text);
        match pieces.as_slice() {
            [Piece::Name(name)] => self.placeholder_in(name, within),
            [] | [Piece::Text(_)] => Fill::Literal(Value::from(text)),
            pieces => {
                let part = |piece: &Piece<'_>| match piece {
                    Piece::Text(text) => Fill::Literal(Value::from(*text)),
                    Piece::Name(name) => self.placeholder_in(name, within),
                };
                Fill::Text(pieces.iter().map(part).collect())
            }
        }
    }

    /// A text of `with`: a reference to an argument as a whole, else a text with placeholders.
    pub(super) fn value(&self, text: &str) -> Fill {
        self.reference(text.trim()).unwrap_or_else(|| self.text(text))
    }

    /// A value whose texts may hold placeholders.
    pub(super) fn node(&self, node: &Node, text: &dyn Fn(&Self, &str) -> Fill) -> Fill {
        match &node.value {
            yaml::Value::String(string) => text(self, string),
            yaml::Value::Sequence(items) => {
                let items: Vec<Fill> = items.iter().map(|item| self.node(item, text)).collect();
                match items.iter().map(literal).collect::<Option<Vec<_>>>() {
                    Some(values) => Fill::Literal(Value::Array(values)),
                    None => Fill::List(items),
                }
            }
            yaml::Value::Mapping(entries) => {
                let members: Vec<(String, Fill)> =
                    entries.iter().map(|(key, node)| (key.text.clone(), self.node(node, text))).collect();
                let values = members.iter().map(|(name, fill)| Some((name.clone(), literal(fill)?)));
                match values.collect::<Option<serde_json::Map<_, _>>>() {
                    Some(values) if !values.is_empty() => Fill::Literal(Value::Object(values)),
                    _ => Fill::Object(members),
                }
            }
            _ => Fill::Literal(node.to_json()),
        }
    }

    /// JSON as text, with placeholders inside its strings and in place of its values. Error: why it is no JSON.
    pub(super) fn json_text(&self, text: &str) -> Result<Fill, String> {
        let pieces = template::pieces(text);
        let mut marked = String::new();
        let mut names = Vec::new();
        let mut in_string = false;
        for piece in &pieces {
            match piece {
                Piece::Text(text) => {
                    let mut escaped = false;
                    for character in text.chars() {
                        match character {
                            '"' if !escaped => in_string = !in_string,
                            _ => {}
                        }
                        escaped = character == '\\' && !escaped;
                    }
                    marked.push_str(text);
                }
                Piece::Name(name) => {
                    let mark = format!("{MARK}{}{}{MARK}", if in_string { 's' } else { 'v' }, names.len());
                    names.push(*name);
                    marked.push_str(&if in_string { mark } else { format!("\"{mark}\"") });
                }
            }
        }
        let value: Value = serde_json::from_str(&marked)
            .map_err(|error| format!("line {}, column {}", error.line(), error.column()))?;
        if marks_a_name(&value) {
            return Err("a placeholder in place of a member's name".to_owned());
        }
        Ok(self.unmark(value, &names))
    }

    fn unmark(&self, value: Value, names: &[&str]) -> Fill {
        match value {
            Value::String(text) => {
                let mut parts = Vec::new();
                for (index, part) in text.split(MARK).enumerate() {
                    let name = part.get(1..).and_then(|digits| digits.parse::<usize>().ok());
                    match name.filter(|_| index % 2 == 1).and_then(|index| names.get(index)) {
                        // A value in place of a value keeps its type, as in `{"a": {{a}}}`.
                        Some(name) if part.starts_with('v') => return self.placeholder(name),
                        Some(name) => parts.push(self.placeholder(name)),
                        None if part.is_empty() => {}
                        None => parts.push(Fill::Literal(Value::from(part))),
                    }
                }
                match parts.as_slice() {
                    [] | [Fill::Literal(_)] => Fill::Literal(Value::from(text.replace(MARK, ""))),
                    _ => Fill::Text(parts),
                }
            }
            Value::Array(items) => Fill::List(items.into_iter().map(|item| self.unmark(item, names)).collect()),
            Value::Object(members) => {
                Fill::Object(members.into_iter().map(|(name, value)| (name, self.unmark(value, names))).collect())
            }
            other => Fill::Literal(other),
        }
    }

    /// What a name between double braces stands for: what feeds the parameter of that name, an earlier answer, a
    /// variable, else an argument. Variables come before arguments: no model sets what the operator does.
    fn placeholder(&self, name: &str) -> Fill {
        self.placeholder_in(name, None)
    }

    fn placeholder_in(&self, name: &str, within: Option<&Within<'_>>) -> Fill {
        if let Some(fill) = self.with.get(name) {
            let size = fill.value.size();
            return self.spend(size).map_or(Fill::Literal(Value::Null), |()| fill.value.clone());
        }
        if let Some(parameter) = self.parameters.get(name).filter(|_| !within.is_some_and(|within| within.has(name))) {
            return self.parameter_in(parameter, within);
        }
        if let Some(fill) = self.reference(name).or_else(|| self.answer(name)) {
            return fill;
        }
        if let Some(variable) = self.variables.find(self.document, name) {
            return Fill::Variable(variable);
        }
        self.argument(name)
    }

    /// The argument of a name, or what stands in for it.
    pub(super) fn argument(&self, name: &str) -> Fill {
        let name = names::argument(name);
        self.inputs.get(&name).cloned().unwrap_or(Fill::Argument(name))
    }

    /// What feeds a parameter of the operation.
    pub(super) fn parameter(&self, parameter: &InputParameter) -> Fill {
        self.parameter_in(parameter, None)
    }

    fn parameter_in(&self, parameter: &InputParameter, within: Option<&Within<'_>>) -> Fill {
        let name = &parameter.name.value;
        if let Some(fill) = self.with.get(name) {
            return fill.value.clone();
        }
        let depth = within.map_or(1, |within| within.depth + 1);
        if depth > MAX_DEPTH {
            self.left.set(None);
        } else if let (Some(value), Some(_)) = (&parameter.value, within) {
            self.spend(value.value.len());
        }
        if self.are_too_large() {
            return Fill::Literal(Value::Null);
        }
        // A parameter's value may speak of the others, but not of itself.
        let within = Within { name, depth, outer: within };
        match (&parameter.value, parameter.place()) {
            (Some(value), _) if self.names_variable(&value.value) => {
                Fill::Variable(self.variables.find_anywhere(self.document, &value.value))
            }
            (Some(value), _) => self.text_in(&value.value, Some(&within)),
            (None, Some(crate::spec::Location::Environment)) => {
                Fill::Variable(self.variables.find_anywhere(self.document, name))
            }
            (None, _) => self.argument(name),
        }
    }

    /// Whether a text is the name of a variable that the spec binds: its braces were forgotten.
    pub(super) fn names_variable(&self, text: &str) -> bool {
        self.variables.binds_bare(self.document, text)
    }

    /// The argument, variable or answer that a whole text refers to.
    pub(super) fn reference(&self, text: &str) -> Option<Fill> {
        if let Some(name) = text.strip_prefix("$secrets.") {
            return Some(Fill::Variable(self.variables.find_anywhere(self.document, name)));
        }
        if let Some(rest) = text.strip_prefix("$.").or_else(|| text.strip_prefix("$this."))
            && let Some(answer) = self.answer(rest)
        {
            return Some(answer);
        }
        let text = text.strip_prefix("$this.").filter(|rest| rest.contains('.')).unwrap_or(text);
        let own = self.namespaces.iter().find_map(|namespace| text.strip_prefix(namespace)?.strip_prefix('.'));
        if let Some(name) = own.filter(|name| !name.is_empty()) {
            return Some(self.argument(name));
        }
        let prefix = PREFIXES.into_iter().find(|prefix| text.starts_with(prefix))?;
        let name = text.strip_prefix(prefix)?;
        let placed = PLACES.into_iter().filter(|_| prefix == "rest.").find_map(|place| name.strip_prefix(place));
        let name = placed.unwrap_or(name);
        (!name.is_empty()).then(|| self.argument(name))
    }

    /// `STEP` or `STEP.FIELD`, where there is such a step before.
    fn answer(&self, name: &str) -> Option<Fill> {
        let of = |step: &&str| {
            let rest = name.strip_prefix(*step)?;
            (rest.is_empty() || rest.starts_with(['.', '['])).then_some(())
        };
        self.steps.iter().find_map(of)?;
        JsonPath::parse(&format!("$.{name}")).ok().map(Fill::Answer)
    }
}

/// Stands around marks in JSON texts; a character that no text has (Unicode, noncharacters).
const MARK: char = '\u{fdd0}';

/// Whether a mark stands in the name of a member.
fn marks_a_name(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().any(marks_a_name),
        Value::Object(members) => members.iter().any(|(name, value)| name.contains(MARK) || marks_a_name(value)),
        _ => false,
    }
}

fn literal(fill: &Fill) -> Option<Value> {
    match fill {
        Fill::Literal(value) => Some(value.clone()),
        _ => None,
    }
}

impl Fill {
    /// About how many bytes it takes to write it once more.
    fn size(&self) -> usize {
        let mut size = 0;
        self.visit(&mut |fill| {
            size += match fill {
                Self::Literal(Value::String(text)) => text.len(),
                Self::Literal(value @ (Value::Array(_) | Value::Object(_))) => value.to_string().len(),
                _ => 1,
            };
        });
        size
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn argument(name: &str) -> Fill {
        Fill::Argument(name.to_owned())
    }

    #[test]
    fn references_are_the_whole_name() {
        let variables = Variables::none();
        let mut names = Names::new(0, &variables, vec!["pets-mcp"]);
        names.steps = vec!["get-ship"];
        for (text, expected) in [
            ("tools.limit", Some(argument("limit"))),
            ("tools.filter[asset.risk]", Some(argument("filter_asset_risk"))),
            ("tools.assignee.any", Some(argument("assignee.any"))),
            ("rest.params.a", Some(argument("a"))),
            ("rest.body", Some(argument("body"))),
            ("rest.path.id", Some(argument("id"))),
            ("pets-mcp.id", Some(argument("id"))),
            ("$this.pets-mcp.id", Some(argument("id"))),
            ("$.get-ship.crew[0]", Some(Fill::Answer(JsonPath::parse("$.get-ship.crew[0]").expect("a path")))),
            ("artists", None),
            ("other.id", None),
            ("tools.", None),
        ] {
            assert_eq!(names.reference(text), expected, "{text}");
        }
    }

    #[test]
    fn json_texts_keep_their_shape() {
        let variables = Variables::none();
        let names = Names::new(0, &variables, Vec::new());
        let text = r#"{"a": "{{a}}", "b": {{ b }}, "c": "x-{{a}}-\"{{b}}\"", "d": [1, {{d}}], "e": null}"#;
        let expected = Fill::Object(vec![
            ("a".to_owned(), Fill::Text(vec![argument("a")])),
            ("b".to_owned(), argument("b")),
            (
                "c".to_owned(),
                Fill::Text(vec![
                    Fill::Literal(json!("x-")),
                    argument("a"),
                    Fill::Literal(json!("-\"")),
                    argument("b"),
                    Fill::Literal(json!("\"")),
                ]),
            ),
            ("d".to_owned(), Fill::List(vec![Fill::Literal(json!(1)), argument("d")])),
            ("e".to_owned(), Fill::Literal(Value::Null)),
        ]);
        assert_eq!(names.json_text(text), Ok(expected));
        assert_eq!(names.json_text("{{body}}"), Ok(argument("body")));
        assert_eq!(
            names.json_text("{\"a\": \"plain\"}"),
            Ok(Fill::Object(vec![("a".to_owned(), Fill::Literal(json!("plain")))]))
        );
        names.json_text("{\"a\": {{a}").expect_err("no JSON");
    }
}
