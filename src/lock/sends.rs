//! What a tool puts into its requests and makes of the answers, in lines that a person reads: `query limit = {limit}`,
//! `answers name = $.name`. An argument is in braces, a variable is its name alone, what comes from answers is a JSONPath.

use crate::{
    catalog::{
        body::BodyTemplate,
        fill::Fill,
        plan::{CompiledOperation, Plan, Shaping, Step},
        shape::Shape,
    },
    variables::Variable,
};

/// What a plan sends and does besides, in its order, and what becomes of the answer.
pub(super) fn sends(plan: &Plan, Shaping { shapes }: &Shaping) -> Vec<String> {
    let mut lines = Vec::new();
    match plan {
        Plan::Call(operation) => of_operation(operation, "", &mut lines),
        Plan::Mock(fill) => lines.push(format!("answers {}", text(fill))),
        Plan::Steps(steps) => {
            for (name, step) in &steps.steps {
                let before = format!("{name}: ");
                match step {
                    Step::Call(operation) => {
                        of_operation(operation, &before, &mut lines);
                        let seen = operation.projection.iter();
                        lines.extend(seen.map(|(name, path)| format!("{before}keeps {name} = {}", path.as_str())));
                    }
                    Step::Lookup(lookup) => {
                        lines.push(format!(
                            "{before}looks up {} by {} in {}",
                            text(&lookup.value),
                            lookup.matched.as_str(),
                            text(&lookup.index)
                        ));
                        lines.extend(lookup.outputs.iter().map(|name| format!("{before}keeps {name}")));
                    }
                    Step::Interaction(interaction) => {
                        lines.extend(interaction.fills().into_iter().map(|fill| format!("{before}{}", text(fill))));
                    }
                }
            }
            lines.extend(steps.mappings.iter().map(|(to, fill)| format!("answers {} = {}", to.join("."), text(fill))));
        }
    }
    shapes.iter().for_each(|shape| of_shape(shape, "", &mut lines));
    lines
}

/// What a shape takes from an answer for this place. Of what is in its place already there is nothing to say.
fn of_shape(shape: &Shape, place: &str, lines: &mut Vec<String>) {
    let Shape {
        kind: _,
        description: _,
        mapping,
        constant,
        properties,
        in_place,
        items,
        max_length,
        // As the kind is: a part of the schema of the result.
        schema: _,
    } = shape;
    let from = match (constant, mapping) {
        (Some(constant), _) => Some(format!(" = {constant}")),
        (None, Some(path)) => Some(format!(" = {}", path.as_str())),
        (None, None) if !in_place && properties.is_empty() && !place.is_empty() => Some(" by its name".to_owned()),
        (None, None) => max_length.map(|_| String::new()),
    };
    let at_most = max_length.map(|length| format!(", at most {length} characters")).unwrap_or_default();
    let before = if place.is_empty() { "answers" } else { "answers " };
    lines.extend(from.map(|from| format!("{before}{place}{from}{at_most}")));
    for (name, property) in properties {
        let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
        of_shape(property, &place, lines);
    }
    if let Some(items) = items {
        of_shape(items, &format!("{place}[]"), lines);
    }
}

fn of_operation(operation: &CompiledOperation, before: &str, lines: &mut Vec<String>) {
    for operation in operation.with_asked() {
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
