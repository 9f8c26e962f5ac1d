//! Tools of many files under names of their own: the same one merged, different ones told apart.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use indexmap::IndexMap;

use super::{
    Catalog, CompiledTool,
    fill::Fill,
    names,
    plan::{CompiledOperation, Plan},
    title,
};
use crate::{
    diagnostic::{Code, Diagnostic, Span},
    spec::Spanned,
};

/// The tools so far, under the names they are offered.
#[derive(Default)]
pub(super) struct Collected {
    tools: IndexMap<String, CompiledTool>,
    aliases: BTreeMap<String, String>,
    /// Where each tool stands.
    places: BTreeMap<String, Span>,
    /// The tools that a spec gives the same name and that make requests of the same shape.
    alike: HashMap<(String, String), Vec<String>>,
    /// The number of the next tool of a name that others have already.
    numbers: HashMap<String, usize>,
}

impl Collected {
    pub(super) fn into_catalog(mut self) -> Catalog {
        self.tell_titles_apart();
        self.tell_descriptions_apart();
        Catalog { tools: self.tools, aliases: self.aliases, ..Catalog::default() }
    }

    /// Gives tools whose descriptions make the same title one of their own names.
    fn tell_titles_apart(&mut self) {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for tool in self.tools.values() {
            *counts.entry(tool.title.clone()).or_default() += 1;
        }
        for tool in self.tools.values_mut() {
            let is_shared = counts.get(&tool.title).is_some_and(|count| *count > 1);
            if is_shared && title::of_sentence(&tool.description).as_ref() == Some(&tool.title) {
                tool.title = names::readable(&tool.name);
            }
        }
    }

    /// Adds the request to descriptions that several tools have whose requests differ: a model could not choose.
    fn tell_descriptions_apart(&mut self) {
        let mut requests: HashMap<String, BTreeSet<String>> = HashMap::new();
        for tool in self.tools.values() {
            requests.entry(tool.description.clone()).or_default().insert(shape_of(tool));
        }
        for tool in self.tools.values_mut() {
            let is_shared = requests.get(&tool.description).is_some_and(|requests| requests.len() > 1);
            if let (true, Plan::Call(operation)) = (is_shared, &tool.plan) {
                let request = names::shown_request(&operation.name);
                tool.description = format!("{} ({request})", tool.description.trim_end());
            }
        }
    }

    /// Adds a tool: merged with one that does the same, told apart from one that does something else.
    pub(super) fn add(&mut self, mut tool: CompiledTool, name: &Spanned<String>, problems: &mut Vec<Diagnostic>) {
        let Spanned { value: own, span } = name;
        if tool.name != *own {
            let message = format!("clients refuse the tool name `{own}`; it is offered as `{}`", tool.name);
            problems.push(Diagnostic::note(Code::RenamedTool, *span, message));
        }
        if let Some(first) = self.tools.get_mut(&tool.name) {
            let place = self.places.get(&tool.name).copied().unwrap_or(*span);
            if does_same(first, &tool) {
                let message = format!("`{}` does the same as the tool of this name; they are one", tool.name);
                let problem = Diagnostic::note(Code::DuplicateTool, *span, message);
                problems.push(problem.with_secondary(place, "the first one"));
                if tool.name != *own {
                    self.aliases.entry(own.clone()).or_insert_with(|| tool.name.clone());
                }
                let careful = first.hints.careful(tool.hints);
                let risk = first.risk.clone().worse(tool.risk.clone());
                if is_richer(&tool, first) {
                    tool.group = Arc::clone(&first.group);
                    *first = tool;
                }
                (first.hints, first.risk) = (careful, risk);
                return;
            }
            let first_gate = first.gate;
            let namespace = tool.plan.operations().first().map(|operation| operation.service.namespace.clone());
            let namespace = namespace.as_deref().unwrap_or("other");
            // Not compared with all of that name: there may be thousands.
            let alike = self.alike.get(&(own.clone(), shape_of(&tool))).into_iter().flatten();
            let same = alike.filter_map(|name| self.tools.get(name)).find(|known| does_same(known, &tool));
            if let Some(same) = same.map(|same| same.name.clone()).and_then(|name| self.tools.get_mut(&name)) {
                same.hints = same.hints.careful(tool.hints);
                same.risk = same.risk.clone().worse(tool.risk);
                let message = format!("`{own}` does the same as the tool `{}`; they are one", same.name);
                problems.push(Diagnostic::note(Code::DuplicateTool, *span, message));
                return;
            }
            let number = self.numbers.entry(names::told_apart(namespace, own)).or_insert(1);
            let numbered = (*number..).map(|number| match number {
                1 => (names::told_apart(namespace, own), namespace.to_owned()),
                number => (names::told_apart(namespace, &format!("{own}_{number}")), format!("{namespace}, {number}")),
            });
            let free = numbered.enumerate().find(|(_, (name, _))| !self.tools.contains_key(name));
            let (tried, (apart, by)) = free.unwrap_or_default();
            *number += tried + 1;
            tool.title = names::title_apart(&tool.title, &by);
            let taken = std::mem::replace(&mut tool.name, apart);
            let message = format!("a tool named `{taken}` is there already; this one is offered as `{}`", tool.name);
            // Whoever knows the gated one by its name would talk to the other.
            let (message, label) = match (first_gate, tool.gate) {
                (None, Some(_)) => (
                    format!("{message}, and the plain name is that of one whose callers have to show nothing"),
                    "the first one, which is open to everyone",
                ),
                (Some(_), None) => {
                    (format!("{message}, since the first one stands behind a credential"), "the first one")
                }
                _ => (message, "the first one"),
            };
            let problem = Diagnostic::warning(Code::DuplicateTool, *span, message);
            problems.push(problem.with_secondary(place, label));
        } else if tool.name != *own {
            self.aliases.insert(own.clone(), tool.name.clone());
        }
        self.alike.entry((own.clone(), shape_of(&tool))).or_default().push(tool.name.clone());
        self.places.insert(tool.name.clone(), *span);
        self.tools.insert(tool.name.clone(), tool);
    }
}

/// What the requests of a tool look like, whatever is in them.
fn shape_of(tool: &CompiledTool) -> String {
    let operations = tool.plan.operations().into_iter();
    let shapes = operations.map(|one| one.shape());
    let shapes = shapes.map(|(method, path)| format!("{method} {path}"));
    shapes.collect::<Vec<_>>().join(", ")
}

/// Whether both tools do the same: the same method and path of the same service, with the same fixed values. Which optional
/// parameters each of them offers, and what its texts say, makes no other operation of it.
pub(super) fn does_same(one: &CompiledTool, other: &CompiledTool) -> bool {
    // Who may use one may not be let in to the other, and what is made of an answer is a part of what a tool does.
    if one.gate != other.gate || one.shaping != other.shaping {
        return false;
    }
    match (&one.plan, &other.plan) {
        (Plan::Call(one), Plan::Call(other)) => is_same_operation(one, other),
        (Plan::Steps(one_steps), Plan::Steps(other_steps)) => {
            let (one, other) = (one.plan.operations(), other.plan.operations());
            let same = one.len() == other.len()
                && one
                    .iter()
                    .zip(&other)
                    .all(|(one, other)| one.request == other.request && is_same_operation(one, other));
            same && one_steps.mappings == other_steps.mappings && one_steps.steps.keys().eq(other_steps.steps.keys())
        }
        (Plan::Mock(one), Plan::Mock(other)) => one == other,
        _ => false,
    }
}

pub(super) fn is_same_operation(one: &CompiledOperation, other: &CompiledOperation) -> bool {
    let fixed = |operation: &CompiledOperation| {
        let request = &operation.request;
        let query = request.query.iter().map(|slot| (slot.name.clone(), slot.fill.clone()));
        let headers = request.headers.iter().map(|(name, fill)| (name.to_string(), fill.clone()));
        let body = request.body.fills().into_iter().flat_map(members).map(|(name, fill)| (name, fill.clone()));
        let mut slots: Vec<(String, Fill)> = query.chain(headers).chain(body).collect();
        slots.retain(|(_, fill)| !matches!(fill, Fill::Argument(_) | Fill::Object(_)));
        slots.sort_by(|(one, _), (other, _)| one.cmp(other));
        slots
    };
    let fixed_path = |operation: &CompiledOperation| -> Vec<Option<Fill>> {
        let open = |fill: &Fill| (!matches!(fill, Fill::Argument(_))).then(|| fill.clone());
        operation.request.path.fills().map(open).collect()
    };
    one.request.method == other.request.method
        && one.request.path.shape() == other.request.path.shape()
        && fixed_path(one) == fixed_path(other)
        && fixed(one) == fixed(other)
        && one.service.is_same_place(&other.service)
}

fn members(fill: &Fill) -> Vec<(String, &Fill)> {
    match fill {
        Fill::Object(members) => members.iter().map(|(name, fill)| (name.clone(), fill)).collect(),
        fill => vec![(String::new(), fill)],
    }
}

/// Whether the second of two tools that do the same is the better one: it can be called where the first one cannot, has a
/// credential where that has none, or offers more.
fn is_richer(tool: &CompiledTool, first: &CompiledTool) -> bool {
    let rank = |tool: &CompiledTool| {
        let operations = tool.plan.operations();
        let usable = operations.iter().filter(|operation| operation.service.endpoint.is_ok()).count();
        let with_credential = operations.iter().filter(|operation| operation.service.has_credential()).count();
        (usable, with_credential, tool.input.len())
    };
    rank(tool) > rank(first)
}
