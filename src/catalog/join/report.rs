//! What was joined to what: for a person who wonders where a tool's types come from.

use std::fmt::Write;

use serde_json::{Value, json};

use super::{Certainty, Joined, Joiner, Origin, Wanted};
use crate::{
    diagnostic::{SourceMap, Span},
    openapi::ParameterLocation,
    spec::{BodyKind, Consumes, Location, Operation, Workspace},
};

/// What was joined, an entry for each operation.
#[derive(Debug, Default)]
pub struct JoinReport {
    /// In the order of the specs.
    pub entries: Vec<JoinEntry>,
}

/// What was joined to one operation.
#[derive(Debug)]
pub struct JoinEntry {
    /// `NAMESPACE.OPERATION`.
    pub operation: String,
    /// `METHOD PATH`.
    pub request: String,
    /// Where the operation stands.
    pub span: Span,
    /// Where its types come from, and how sure that is.
    pub found: Option<(Origin, Certainty)>,
    /// Its body.
    pub body: Outcome,
    /// Its answer.
    pub answer: Outcome,
    /// How many of its declared parameters got a type, and how many there are.
    pub parameters: (usize, usize),
}

/// What became of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// The spec refers to a schema itself, or writes the body out.
    Declared,
    /// Taken from an OpenAPI document.
    Joined,
    /// Taken from a schema of a fitting name.
    Guessed,
    /// The document has one, while the spec declares none.
    Undeclared,
    /// Nothing is known of it.
    Untyped,
    /// There is none.
    Absent,
}

impl Outcome {
    /// The name, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Declared => "declared",
            Self::Joined => "joined",
            Self::Guessed => "guessed",
            Self::Undeclared => "undeclared",
            Self::Untyped => "untyped",
            Self::Absent => "absent",
        }
    }
}

impl JoinReport {
    /// Asks the joiner for every operation of a workspace.
    pub fn new(workspace: &Workspace, joiner: &mut Joiner, sources: &mut SourceMap) -> Self {
        let mut entries = Vec::new();
        for consumes in workspace.documents.iter().flat_map(|document| &document.consumes) {
            entries.extend(consumes.operations.iter().map(|operation| entry(consumes, operation, joiner, sources)));
        }
        Self { entries }
    }

    /// A line for each operation and a summary.
    pub fn to_text(&self, sources: &SourceMap) -> String {
        let mut text = String::new();
        for entry in &self.entries {
            let JoinEntry { operation, request, span, found, body, answer, parameters: (typed, all) } = entry;
            let (body, answer) = (body.as_str(), answer.as_str());
            let from =
                found.map(|(origin, certainty)| format!(" from {} by {}", place(origin, sources), certainty.as_str()));
            let from = from.unwrap_or_else(|| format!("; nothing found for {}", position(*span, sources)));
            // Writing to a string cannot fail.
            writeln!(text, "{operation} ({request}): body {body}, answer {answer}, {typed}/{all} parameters{from}")
                .ok();
        }
        let count = |wanted: Certainty| {
            let found = self.entries.iter().filter_map(|entry| entry.found);
            found.filter(|(_, certainty)| *certainty == wanted).count()
        };
        let untyped = self.entries.iter().filter(|entry| entry.body == Outcome::Untyped).count();
        writeln!(
            text,
            "{} operations: {} joined by id, method and path, {} by method and path, {} by id and method, {} guessed, {} \
             not found; {untyped} bodies without a type",
            self.entries.len(),
            count(Certainty::Exact),
            count(Certainty::Path),
            count(Certainty::Id),
            count(Certainty::Guess),
            self.entries.iter().filter(|entry| entry.found.is_none()).count(),
        )
        .ok();
        text
    }

    /// The entries for programs.
    pub fn to_json(&self, sources: &SourceMap) -> Value {
        let entries = self.entries.iter().map(|entry| {
            let JoinEntry { operation, request, span, found, body, answer, parameters: (typed, all) } = entry;
            json!({
                "operation": operation,
                "request": request,
                "spec": position(*span, sources),
                "from": found.map(|(origin, _)| place(origin, sources)),
                "by": found.map(|(_, certainty)| certainty.as_str()),
                "body": body.as_str(),
                "answer": answer.as_str(),
                "parameters": { "typed": typed, "declared": all },
            })
        });
        entries.collect()
    }
}

fn entry(consumes: &Consumes, operation: &Operation, joiner: &mut Joiner, sources: &mut SourceMap) -> JoinEntry {
    let spec = std::path::PathBuf::from(sources.name(operation.span.file));
    let wanted = Wanted {
        spec: &spec,
        namespace: &consumes.namespace.value,
        base_uri: consumes.base_uri.as_ref().map(|base| base.value.as_str()),
        operation: &operation.name.value,
        method: &operation.method.value,
        path: &operation.path.value,
    };
    let joined = joiner.join(&wanted, sources);
    let own_body =
        operation.input_parameters.iter().filter(|parameter| is_at(parameter.location.as_ref(), Location::Body));
    let bodies: Vec<bool> = own_body.map(|parameter| parameter.schema.is_some()).collect();
    // A body that is written out says itself what it holds.
    let written = operation.body.as_ref().is_some_and(|body| !matches!(body.kind, BodyKind::Parameters(_)));
    let body = outcome(!bodies.is_empty(), written || bodies.contains(&true), joined.as_ref(), |joined| {
        joined.body.as_ref().is_some_and(|body| is_type(&body.schema))
    });
    let own_answer = operation.output_parameters.iter().any(|parameter| parameter.schema.is_some());
    let answer = outcome(true, own_answer, joined.as_ref(), |joined| {
        joined.answer.as_ref().and_then(|answer| answer.schema.as_ref()).is_some_and(is_type)
    });
    let declared = operation.input_parameters.iter().filter_map(|parameter| {
        let location = match parameter.location.as_ref()?.value {
            Location::Path => ParameterLocation::Path,
            Location::Query => ParameterLocation::Query,
            Location::Header => ParameterLocation::Header,
            Location::Cookie => ParameterLocation::Cookie,
            Location::Body | Location::Environment => return None,
        };
        Some((parameter.name.value.as_str(), location))
    });
    let declared: Vec<_> = declared.collect();
    let typed = declared
        .iter()
        .filter(|(name, location)| joined.as_ref().is_some_and(|joined| joined.parameter(name, *location).is_some()));
    JoinEntry {
        operation: format!("{}.{}", consumes.namespace.value, operation.name.value),
        request: format!("{} {}", operation.method.value, operation.path.value),
        span: operation.span,
        found: joined.as_ref().map(|joined| (joined.origin, joined.certainty)),
        body,
        answer,
        parameters: (typed.count(), declared.len()),
    }
}

fn outcome(wanted: bool, declared: bool, joined: Option<&Joined>, is_typed: impl Fn(&Joined) -> bool) -> Outcome {
    match joined.filter(|joined| is_typed(joined)) {
        _ if declared => Outcome::Declared,
        Some(_) if !wanted => Outcome::Undeclared,
        Some(joined) if joined.certainty == Certainty::Guess => Outcome::Guessed,
        Some(_) => Outcome::Joined,
        None if wanted => Outcome::Untyped,
        None => Outcome::Absent,
    }
}

fn is_at(location: Option<&crate::spec::Spanned<Location>>, wanted: Location) -> bool {
    location.is_some_and(|location| location.value == wanted)
}

/// Whether a schema says anything.
fn is_type(schema: &Value) -> bool {
    schema
        .as_object()
        .is_some_and(|members| members.keys().any(|keyword| keyword != "description" && keyword != "title"))
}

fn place(origin: Origin, sources: &SourceMap) -> String {
    match origin {
        Origin::OpenApi { file: _, operation } => position(operation, sources),
        Origin::JsonSchema { body, answer } => {
            let files: Vec<&str> = [body, answer].into_iter().flatten().map(|file| sources.name(file)).collect();
            files.join(" and ")
        }
    }
}

fn position(span: Span, sources: &SourceMap) -> String {
    let (line, column) = sources.position(span.file, span.start);
    format!("{}:{line}:{column}", sources.name(span.file))
}
