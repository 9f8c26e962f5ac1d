//! What a tool, a flow or a resource does when it is used: one call, several steps, a reference to a flow, or nothing but
//! fixed values. As written.

use std::collections::HashMap;

use super::{
    interaction::{self, Interaction},
    outputs::{self, OutputParameter},
    parameters::{self, InputParameter, read_values},
    reader::{Fields, NamedNode, Spanned},
    yaml::{Node, Value},
};
use crate::diagnostic::{Code, Diagnostic, Span};

/// What is done, and what is given back of it.
#[derive(Clone, Debug)]
pub struct Action {
    /// What is done.
    pub mode: Mode,
    /// Parameters of the operation that are fed otherwise than by the argument of the same name.
    pub with: Vec<(Spanned<String>, Node)>,
    /// How the answers of steps make one.
    pub mappings: Vec<Mapping>,
    /// What is given back.
    pub outputs: Vec<OutputParameter>,
}

/// What is done.
#[derive(Clone, Debug)]
pub enum Mode {
    /// One operation, `NAMESPACE.OPERATION`.
    Call(Spanned<String>),
    /// Steps, in order.
    Steps(Vec<Step>),
    /// What a flow of an aggregate does, `NAMESPACE.FLOW`.
    Ref(Spanned<String>),
    /// Nothing: the output parameters' own values are the answer.
    Mock,
}

/// A step.
#[derive(Clone, Debug)]
pub struct Step {
    /// The name, under which later steps and mappings know its answer.
    pub name: Spanned<String>,
    /// What it does.
    pub kind: StepKind,
    /// Where it stands.
    pub span: Span,
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum StepKind {
    /// Calls an operation.
    Call {
        /// `NAMESPACE.OPERATION`.
        call: Spanned<String>,
        /// What feeds its parameters.
        with: Vec<(Spanned<String>, Node)>,
    },
    /// Finds an entry in the list that an earlier step gave.
    Lookup {
        /// The earlier step.
        index: Spanned<String>,
        /// The member of each entry that is compared.
        matched: Spanned<String>,
        /// What it is compared with, a path to an earlier answer or a template.
        value: Spanned<String>,
        /// The members that are given back; all where none is named.
        outputs: Vec<OutputParameter>,
    },
    /// Calls nothing.
    Interaction(Interaction),
}

/// A member of the answer and where it comes from.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// The member, with dots for members of members.
    pub target: Spanned<String>,
    /// `$.STEP.FIELD`.
    pub value: Spanned<String>,
}

/// A domain with its flows.
#[derive(Clone, Debug)]
pub struct Aggregate {
    /// The first half of every `ref`.
    pub namespace: Spanned<String>,
    /// The namespace it has in the file it was imported from, which its references still use.
    pub imported_as: Option<String>,
    /// Its flows.
    pub flows: Vec<Flow>,
    /// Names of flows that were left out for an error.
    pub left_out: Vec<String>,
}

/// A function that tools share.
#[derive(Clone, Debug)]
pub struct Flow {
    /// The second half of a `ref`.
    pub name: Spanned<String>,
    /// What it does.
    pub description: Option<Spanned<String>>,
    /// Whether it changes nothing.
    pub safe: Option<Spanned<bool>>,
    /// Whether doing it again changes nothing more.
    pub idempotent: Option<Spanned<bool>>,
    /// Its parameters.
    pub input_parameters: Vec<InputParameter>,
    /// What it does.
    pub action: Action,
    /// Where it stands.
    pub span: Span,
}

impl Action {
    /// Whether a step of it says what is given back.
    pub(super) fn returns(&self) -> bool {
        let Mode::Steps(steps) = &self.mode else { return false };
        steps.iter().any(|step| matches!(&step.kind, StepKind::Interaction(Interaction::Return(_))))
    }
}

/// Reads the fields of an action. Which mode it is says which of them is there; two are an error.
pub(super) fn read_action(fields: &mut Fields<'_>, problems: &mut Vec<Diagnostic>) -> Action {
    let call = fields.text(&["call"], problems);
    let reference = fields.text(&["ref"], problems);
    let has_steps = fields.node(&["steps"]).is_some();
    let steps = fields.named(&["steps"], problems);
    if let Some(node) = fields
        .node(&["steps"])
        .filter(|node| steps.is_empty() && matches!(node.value, Value::Sequence(_) | Value::Mapping(_)))
    {
        problems.push(Diagnostic::error(Code::MissingField, node.span, "`steps` needs at least one step"));
    }
    let steps = read_steps(steps, problems);
    let with = fields.node(&["with"]).map(|node| read_values(node, "`with`", problems)).unwrap_or_default();
    let mappings = fields.named(&["mappings"], problems);
    let mappings = mappings.iter().filter_map(|mapping| read_mapping(mapping, problems)).collect();
    let outputs = outputs::read(fields.named(&["outputParameters"], problems), problems);
    let modes = usize::from(call.is_some()) + usize::from(reference.is_some()) + usize::from(has_steps);
    if modes > 1 {
        let message = "`call`, `steps` and `ref` exclude each other; keep one of them";
        problems.push(Diagnostic::error(Code::InvalidValue, fields.span(), message));
    }
    let mode = match (call, reference, has_steps) {
        (Some(call), ..) => Mode::Call(call),
        (_, Some(reference), _) => Mode::Ref(reference),
        (_, _, true) => Mode::Steps(steps),
        _ => Mode::Mock,
    };
    Action { mode, with, mappings, outputs }
}

/// The aggregate of a node.
pub(super) fn read_aggregate(node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Aggregate> {
    let mut fields = Fields::of(node, "an aggregate", problems)?;
    fields.skip(&["display", "label", "description", "tags"]);
    let namespace = fields.required_text(&["namespace", "name"], problems);
    let flows = fields.named(&["flows", "functions"], problems);
    fields.finish(problems);
    let mut left_out = Vec::new();
    let mut read: Vec<Flow> = Vec::new();
    for named in &flows {
        let Some(flow) = read_flow(named, &mut left_out, problems) else { continue };
        if let Some(first) = read.iter().find(|first| first.name.value == flow.name.value) {
            let message = format!("the flow `{}` is there already; this one is left out", flow.name.value);
            let problem = Diagnostic::error(Code::DuplicateOperation, flow.name.span, message);
            problems.push(problem.with_secondary(first.name.span, "the first one"));
            continue;
        }
        read.push(flow);
    }
    Some(Aggregate { namespace: namespace?, imported_as: None, flows: read, left_out })
}

fn read_flow(named: &NamedNode<'_>, left_out: &mut Vec<String>, problems: &mut Vec<Diagnostic>) -> Option<Flow> {
    let mut fields = Fields::of(named.node, "a flow", problems)?;
    let before = problems.len();
    let name = named.name(&mut fields, problems);
    let description = fields.text(&["description"], problems);
    let (mut safe, mut idempotent) = (None, None);
    if let Some(node) = fields.node(&["semantics"])
        && let Some(mut fields) = Fields::of(node, "`semantics`", problems)
    {
        safe = fields.flag(&["safe"], problems);
        idempotent = fields.flag(&["idempotent"], problems);
        fields.skip(&["cacheable"]);
        fields.finish(problems);
    }
    let input_parameters = parameters::read_inputs(fields.named(&["inputParameters"], problems), problems);
    let action = read_action(&mut fields, problems);
    fields.skip(&["display", "label", "tags", "outputMediaType"]);
    let span = fields.span();
    fields.finish(problems);
    if name.is_none() {
        problems.push(Diagnostic::error(Code::MissingField, span, "a flow needs `name`"));
    }
    let name = name?;
    if problems.get(before..).is_some_and(crate::diagnostic::has_errors) {
        left_out.push(name.value);
        return None;
    }
    Some(Flow { name, description, safe, idempotent, input_parameters, action, span })
}

pub(super) fn read_steps(nodes: Vec<NamedNode<'_>>, problems: &mut Vec<Diagnostic>) -> Vec<Step> {
    let steps = nodes.iter().enumerate().filter_map(|(index, named)| read_step(index, named, problems));
    let steps: Vec<Step> = steps.collect();
    let ends = steps.iter().position(|step| matches!(&step.kind, StepKind::Interaction(kind) if kind.ends()));
    if let Some(unreached) = ends.and_then(|end| steps.get(end + 1)) {
        let message = format!("the step `{}` is never reached: the one before ends the call", unreached.name.value);
        problems.push(Diagnostic::error(Code::InvalidValue, unreached.span, message));
    }
    let mut asked: HashMap<&str, Span> = HashMap::new();
    for step in &steps {
        let StepKind::Interaction(Interaction::Input { questions, .. }) = &step.kind else { continue };
        for Spanned { value, span } in questions.iter().map(|question| &question.key) {
            if let Some(first) = asked.get(value.as_str()) {
                let message =
                    format!("something is asked under the name `{value}` already; each question needs its own");
                let problem = Diagnostic::error(Code::InvalidValue, *span, message);
                problems.push(problem.with_secondary(*first, "the first one"));
            }
            asked.entry(value).or_insert(*span);
        }
    }
    let mut known: HashMap<&str, Span> = HashMap::new();
    for step in &steps {
        if let Some(first) = known.get(step.name.value.as_str()) {
            let message = format!("the step `{}` is there already; each needs a name of its own", step.name.value);
            let problem = Diagnostic::error(Code::InvalidValue, step.name.span, message);
            problems.push(problem.with_secondary(*first, "the first one"));
        }
        known.entry(&step.name.value).or_insert(step.name.span);
    }
    steps
}

fn read_step(index: usize, named: &NamedNode<'_>, problems: &mut Vec<Diagnostic>) -> Option<Step> {
    let mut fields = Fields::of(named.node, "a step", problems)?;
    let span = fields.span();
    let name = named.name(&mut fields, problems);
    let name = name.unwrap_or_else(|| Spanned::new(format!("step-{}", index + 1), span));
    let kind = fields.text(&["type"], problems);
    let is_lookup = node_is_lookup(named.node);
    let stated = kind.as_ref().map(|kind| kind.value.as_str());
    let kind = match stated.unwrap_or(if is_lookup { "lookup" } else { "call" }) {
        "lookup" => {
            let index = fields.required_text(&["index"], problems);
            let matched = fields.required_text(&["match"], problems);
            let value = fields.required_text(&["lookupValue"], problems);
            let outputs = outputs::read(fields.named(&["outputParameters"], problems), problems);
            StepKind::Lookup { index: index?, matched: matched?, value: value?, outputs }
        }
        "call" => {
            let call = fields.required_text(&["call"], problems);
            let with = fields.node(&["with", "inputParameters"]);
            let with = with.map(|node| read_values(node, "`with`", problems)).unwrap_or_default();
            StepKind::Call { call: call?, with }
        }
        stated if interaction::TYPES.contains(&stated) => {
            StepKind::Interaction(interaction::read(stated, &mut fields, problems)?)
        }
        stated => {
            let place = kind.as_ref().map_or(span, |kind| kind.span);
            let known = ["call", "lookup"].into_iter().chain(interaction::TYPES);
            let message =
                format!("steps of type `{stated}` are not run; expected `call`, `lookup` or one that calls nothing");
            let problem = Diagnostic::error(Code::UnsupportedFeature, place, message);
            problems.push(problem.with_nearest(stated, known));
            return None;
        }
    };
    for (name, what) in [("forEach", "a loop"), ("condition", "a condition"), ("when", "a condition")] {
        if fields.node(&[name]).is_some() {
            let message = format!("`{name}` asks for {what}, and steps know neither loops nor conditions");
            problems.push(Diagnostic::error(Code::UnsupportedFeature, fields.key_span(name), message));
        }
    }
    fields.skip(&["description", "display", "label"]);
    fields.finish(problems);
    Some(Step { name, kind, span })
}

fn node_is_lookup(node: &Node) -> bool {
    node.get("lookupValue").is_some() || (node.get("index").is_some() && node.get("call").is_none())
}

fn read_mapping(named: &NamedNode<'_>, problems: &mut Vec<Diagnostic>) -> Option<Mapping> {
    // `mappings` may also be a map from target to value.
    if let (Some(key), Value::String(text)) = (named.key, &named.node.value) {
        let target = Spanned::new(key.text.clone(), key.span);
        return Some(Mapping { target, value: Spanned::new(text.clone(), named.node.span) });
    }
    let mut fields = Fields::of(named.node, "a mapping", problems)?;
    let target = fields.required_text(&["target", "targetName"], problems);
    let value = fields.required_text(&["value"], problems);
    fields.finish(problems);
    Some(Mapping { target: target?, value: value? })
}
