//! `with`: what feeds the parameters of an operation otherwise than the argument of their name. A continuation of
//! `wiring.rs`.

use std::collections::{BTreeMap, HashSet};

use indexmap::IndexSet;
use serde_json::Value;

use super::{
    compile::{Compiler, Target, list},
    fill::Fill,
    path::{PathTemplate, WrittenPath},
    request::RequestTemplate,
    resolve::Names,
    wiring::{GENERATOR_ARTEFACT, Lowering, collect_placeholders, parameters, placeholders_of},
};
use crate::{
    diagnostic::{Code, Diagnostic, Span},
    spec::{InputParameter, Spanned, yaml::Node},
};

/// Which parameters there are, where one is named that is not.
fn no_parameter(name: &str, known: &IndexSet<&str>) -> String {
    match known.is_empty() {
        true => format!("the operation has no parameter `{name}`, nor any other"),
        false => format!("the operation has no parameter `{name}`; it has {}", list(known.iter().copied())),
    }
}

/// The names that lead to a member of the body, where a `mapping` is of one: `body.name`, `$.body.owner.name`.
fn member_of_body(mapping: &str) -> Option<Vec<String>> {
    let mapping = mapping.trim();
    let path = mapping.strip_prefix("$.").unwrap_or(mapping);
    let member = path.strip_prefix("body.").or_else(|| path.strip_prefix("requestBody."))?;
    let names: Vec<String> = member.split('.').map(str::to_owned).collect();
    names.iter().all(|name| !name.is_empty()).then_some(names)
}

impl Compiler<'_> {
    /// What feeds each parameter of the operation that `with` names.
    pub(super) fn with<'a>(
        &mut self,
        with: &[(Spanned<String>, Node)],
        declared: &[InputParameter],
        names: &mut Names<'a>,
        target: Target<'a>,
    ) {
        let parameters = parameters(target);
        let written = WrittenPath::split(&target.operation.path.value);
        let template = PathTemplate::parse(written.path).ok();
        let placeholders: Vec<&str> = template.iter().flat_map(PathTemplate::placeholders).collect();
        let mut known: IndexSet<&str> = parameters.iter().map(|parameter| parameter.name.value.as_str()).collect();
        known.extend(&placeholders);
        let mut in_texts = placeholders_of(target.operation);
        for (_, value) in &written.query {
            collect_placeholders(value, &mut in_texts);
        }
        // Kept apart until all are read: each speaks of the arguments, none of what another one feeds.
        let mut fed = BTreeMap::new();
        let own: HashSet<&str> = declared.iter().map(|parameter| parameter.name.value.as_str()).collect();
        for (parameter, node) in with {
            let name = parameter.value.as_str();
            if name == GENERATOR_ARTEFACT && !known.contains(name) {
                continue;
            }
            if !known.contains(name) && !in_texts.contains(name) {
                let message = no_parameter(name, &known);
                let problem = Diagnostic::warning(Code::UnknownField, parameter.span, message);
                self.problems.push(problem.with_nearest(name, known.iter().copied()));
            }
            let fill = names.node(node, &|names, text| names.value(text));
            if let Fill::Literal(Value::String(text)) = &fill {
                self.check_literal(text, &own, node.span);
            }
            fed.insert(parameter.value.clone(), Spanned::new(fill, node.span));
        }
        names.with.extend(fed);
        // `mapping: $.path.id` of a tool's own parameter says the same from the other side.
        for parameter in declared {
            let Some(mapping) = &parameter.mapping else { continue };
            let fill = Spanned::new(names.argument(&parameter.name.value), mapping.span);
            if let Some(member) = member_of_body(&mapping.value)
                && self.has_members(target, &parameters)
            {
                if names.members.iter().all(|(known, _)| *known != member) {
                    names.members.push((member, fill));
                }
                continue;
            }
            let target = mapping.value.rsplit('.').next().unwrap_or_default();
            if target.is_empty() || target == "$" || names.with.contains_key(target) {
                continue;
            }
            let is_known = known.contains(target) || in_texts.contains(target);
            if !is_known && !known.contains(parameter.name.value.as_str()) {
                let message = no_parameter(target, &known);
                let problem = Diagnostic::warning(Code::UnknownField, mapping.span, message);
                self.problems.push(problem.with_nearest(target, known.iter().copied()));
            }
            names.with.insert(target.to_owned(), fill);
        }
    }

    fn check_literal(&mut self, text: &str, declared: &HashSet<&str>, span: Span) {
        let is_argument = declared.contains(text);
        if is_argument || text.starts_with('$') || text.starts_with("rest.") || text.starts_with("tool.") {
            let message = format!("`{text}` is sent as it stands");
            let name = text.rsplit('.').next().unwrap_or(text);
            self.problems.push(
                Diagnostic::warning(Code::SuspiciousLiteral, span, message)
                    .with_help(format!("to pass an argument, write `tools.{name}`")),
            );
        }
    }

    /// Reports references to arguments that are not there.
    pub(super) fn check_wiring(&mut self, request: &RequestTemplate, lowering: &Lowering<'_, '_>) {
        if !lowering.arguments.declared {
            return;
        }
        let known = || lowering.arguments.names();
        for (parameter, fill) in &lowering.names.with {
            for name in fill.value.arguments().into_iter().filter(|name| !lowering.arguments.has(name)) {
                let message = format!("`with` feeds `{parameter}` from `{name}`, which the tool does not declare");
                let problem = Diagnostic::warning(Code::UnusedArgument, fill.span, message);
                self.problems.push(problem.with_nearest(name, known()));
            }
        }
        let body = lowering.target.operation.body.as_ref();
        let from_with: HashSet<&str> = lowering.names.with.values().flat_map(|fill| fill.value.arguments()).collect();
        for name in request.body.fills().iter().flat_map(|fill| fill.arguments()) {
            if let Some(body) = body.filter(|_| !lowering.arguments.has(name) && !from_with.contains(name)) {
                let message = format!("no argument feeds `{name}` of the body; it is left out");
                let place = lowering.arguments.place.unwrap_or(body.span);
                let problem = Diagnostic::warning(Code::UnusedArgument, place, message);
                self.problems.push(problem.with_secondary(body.span, "the body").with_nearest(name, known()));
            }
        }
    }
}
