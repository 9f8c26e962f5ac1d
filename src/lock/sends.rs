//! What a tool puts into its requests, in lines that a person reads: `query limit = {limit}`. An argument is in braces, a
//! variable is its name alone, what comes from earlier answers is a JSONPath.

use super::contract::with_asked;
use crate::{
    catalog::{
        body::BodyTemplate,
        fill::Fill,
        plan::{CompiledOperation, Plan, Step},
    },
    variables::Variable,
};

/// What a plan sends and does besides, in its order.
pub(super) fn sends(plan: &Plan) -> Vec<String> {
    let mut lines = Vec::new();
    match plan {
        Plan::Call(operation) => of_operation(operation, "", &mut lines),
        Plan::Mock(fill) => lines.push(format!("answers {}", text(fill))),
        Plan::Steps(steps) => {
            for (name, step) in &steps.steps {
                let before = format!("{name}: ");
                match step {
                    Step::Call(operation) => of_operation(operation, &before, &mut lines),
                    Step::Lookup(lookup) => lines.push(format!(
                        "{before}looks up {} by {} in {}",
                        text(&lookup.value),
                        lookup.matched.as_str(),
                        text(&lookup.index)
                    )),
                    Step::Interaction(interaction) => {
                        lines.extend(interaction.fills().into_iter().map(|fill| format!("{before}{}", text(fill))));
                    }
                }
            }
            lines.extend(steps.mappings.iter().map(|(to, fill)| format!("answers {} = {}", to.join("."), text(fill))));
        }
    }
    lines
}

fn of_operation(operation: &CompiledOperation, before: &str, lines: &mut Vec<String>) {
    for operation in with_asked(operation) {
        let request = &operation.request;
        for (name, fill) in request.path.placeholders().zip(request.path.fills()) {
            // What the path says already.
            if !matches!(fill, Fill::Argument(argument) if argument == name) {
                lines.push(format!("{before}path {name} = {}", text(fill)));
            }
        }
        lines.extend(request.query.iter().map(|slot| format!("{before}query {} = {}", slot.name, text(&slot.fill))));
        lines.extend(request.headers.iter().map(|(name, fill)| format!("{before}header {name} = {}", text(fill))));
        lines.extend(request.cookies.iter().map(|(name, fill)| format!("{before}cookie {name} = {}", text(fill))));
        match &request.body {
            BodyTemplate::None => {}
            BodyTemplate::Json(Fill::Object(members)) => {
                lines.extend(members.iter().map(|(name, fill)| format!("{before}body {name} = {}", text(fill))));
            }
            BodyTemplate::Json(fill) => lines.push(format!("{before}body = {}", text(fill))),
            BodyTemplate::Text { media_type, fill, encoding: _ } => {
                lines.push(format!("{before}body ({media_type}) = {}", text(fill)));
            }
            BodyTemplate::Form(fields) => {
                lines.extend(fields.iter().map(|(name, fill)| format!("{before}form {name} = {}", text(fill))));
            }
            BodyTemplate::Multipart(parts) => {
                lines.extend(parts.iter().map(|part| format!("{before}part {} = {}", part.name, text(&part.fill))));
            }
        }
    }
}

fn text(fill: &Fill) -> String {
    let joined = |parts: &[Fill]| parts.iter().map(bare).collect::<String>();
    match fill {
        Fill::Argument(name) => format!("{{{name}}}"),
        Fill::Literal(value) => value.to_string(),
        Fill::Variable(Variable { name, .. }) => format!("variable {name}"),
        Fill::Answer(path) => path.as_str().to_owned(),
        Fill::Text(parts) | Fill::Sentence(parts) => format!("\"{}\"", joined(parts)),
        Fill::Component(inner) | Fill::Xml(inner) => text(inner),
        Fill::List(items) => format!("[{}]", items.iter().map(text).collect::<Vec<_>>().join(", ")),
        Fill::Object(members) => {
            let members = members.iter().map(|(name, fill)| format!("{name}: {}", text(fill)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A part of a text: fixed text stands as it is.
fn bare(fill: &Fill) -> String {
    match fill {
        Fill::Literal(value) => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
        Fill::Variable(Variable { name, .. }) => format!("{{{{{name}}}}}"),
        other => text(other),
    }
}
