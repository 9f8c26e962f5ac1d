//! The gate before the tools of an exposed server that asks its callers for a credential, and ways around it.

use std::collections::HashMap;

use super::{CompiledTool, collected::is_same_operation};
use crate::{
    access::GateId,
    diagnostic::{Code, Diagnostic, SourceMap},
    spec::{Document, Spanned},
};

/// How many operations of one shape an open one is compared with.
const MAX_COMPARED: usize = 100;

/// The gate of the server at this place of a document; absent where it asks its callers for nothing.
pub fn gate_of(document: &Document, place: usize, sources: &SourceMap) -> Option<GateId> {
    let server = document.servers.get(place).filter(|server| server.authentication.is_some())?;
    let namespace = server.namespace.as_ref().map_or("", |namespace| namespace.value.as_str());
    Some(GateId::new(sources.name(document.file), namespace, place))
}

/// The gate before operations that no server offers: that of the first server that has one. A spec that asks its callers
/// for something asks for it on every way to its operations.
pub fn gate_of_rest(document: &Document, sources: &SourceMap) -> Option<GateId> {
    (0..document.servers.len()).find_map(|place| gate_of(document, place, sources))
}

/// Reports tools that are open in one document, though another keeps what they request behind a gate. Within one document
/// its author has seen both.
pub(super) fn open_elsewhere(tools: &[Vec<(CompiledTool, Spanned<String>)>], problems: &mut Vec<Diagnostic>) {
    let all = || {
        tools
            .iter()
            .enumerate()
            .flat_map(|(document, tools)| tools.iter().map(move |(tool, name)| (document, tool, name)))
    };
    if all().all(|(_, tool, _)| tool.gate.is_none()) {
        return;
    }
    let mut gated: HashMap<(String, String), Vec<_>> = HashMap::new();
    for (document, tool, name) in all().filter(|(_, tool, _)| tool.gate.is_some()) {
        for operation in tool.plan.every_operation() {
            let known = gated.entry(operation.shape()).or_default();
            // One is enough to tell of, and there may be thousands of the same shape.
            if known.len() < MAX_COMPARED {
                known.push((document, operation, name));
            }
        }
    }
    for (document, tool, name) in all().filter(|(_, tool, _)| tool.gate.is_none()) {
        let kept = tool.plan.every_operation().find_map(|operation| {
            let known = gated.get(&operation.shape())?;
            known.iter().find(|(other, gated, _)| *other != document && is_same_operation(gated, operation))
        });
        if let Some((_, operation, behind)) = kept {
            let message = format!(
                "`{}` is open to everyone, while `{}` keeps `{}` behind a credential in another spec",
                tool.name, behind.value, operation.name
            );
            let problem = Diagnostic::warning(Code::OpenElsewhere, name.span, message);
            let problem = problem.with_secondary(behind.span, "behind a credential here");
            problems.push(problem.with_help("ask the callers of this one for the credential too, or leave it out"));
        }
    }
}
