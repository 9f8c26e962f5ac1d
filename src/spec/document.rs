//! One capability spec as written: version, description, variables and the sections of its capability.

use super::{
    binds::{self, Bind},
    consumes::{self, Consumes},
    exposes::{self, McpServer},
    reader::{Fields, Spanned},
    yaml::{Node, Value},
};
use crate::diagnostic::{Code, Diagnostic, FileId, Span};

/// A capability spec.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its file.
    pub file: FileId,
    /// The language version.
    pub version: Spanned<String>,
    /// What the capability is called and for.
    pub info: Info,
    /// The variables it may read, those of its capability behind those of its root.
    pub binds: Vec<Bind>,
    /// The services it calls.
    pub consumes: Vec<Consumes>,
    /// The MCP servers it describes.
    pub servers: Vec<McpServer>,
}

/// What a capability is called and for.
#[derive(Clone, Debug, Default)]
pub struct Info {
    /// The name a person reads.
    pub title: Option<Spanned<String>>,
    /// What it is for.
    pub description: Option<Spanned<String>>,
}

pub(super) fn read(file: FileId, root: &Node, problems: &mut Vec<Diagnostic>) -> Option<Document> {
    let Value::Mapping(_) = root.value else {
        let message =
            format!("a capability spec is a map with `naftiko` or `ikanos` at its root, found {}", root.kind());
        problems.push(Diagnostic::error(Code::NotACapability, Span::start_of(file), message).with_source_hidden());
        return None;
    };
    let mut fields = Fields::of(root, "a capability spec", problems)?;
    let version = read_version(file, &mut fields, problems)?;
    let info = fields.node(&["info"]).map(|node| read_info(node, problems)).unwrap_or_default();
    let mut binds = binds::read(&mut fields, problems);
    let capability = fields.node(&["capability"]);
    fields.unsupported(&["consumes", "exposes", "aggregates"], problems);
    let span = fields.span();
    fields.finish(problems);
    let Some(capability) = capability else {
        problems.push(Diagnostic::error(Code::MissingField, span, "a capability spec needs `capability`"));
        return None;
    };
    let mut fields = Fields::of(capability, "`capability`", problems)?;
    let consumes = fields.node(&["consumes"]).map(consumes::section).unwrap_or_default();
    let consumes = consumes.iter().filter_map(|node| consumes::read(node, problems)).collect();
    let exposes = fields.node(&["exposes"]).map(consumes::section).unwrap_or_default();
    let servers = exposes.iter().filter_map(|node| exposes::read(node, problems)).collect();
    binds.extend(binds::read(&mut fields, problems));
    fields.unsupported(&["aggregates", "orchestration", "governance"], problems);
    fields.finish(problems);
    Some(Document { file, version, info, binds, consumes, servers })
}

/// The version under its old and its new key. The language changed in ways that read wrongly, so others are refused.
fn read_version(file: FileId, fields: &mut Fields<'_>, problems: &mut Vec<Diagnostic>) -> Option<Spanned<String>> {
    let before = problems.len();
    let version = fields.text(&["ikanos", "naftiko"], problems);
    let Some(version) = version else {
        let message = if problems.len() > before {
            "`naftiko` must name a language version here; this is a manifest of another kind"
        } else {
            "not a capability spec: `naftiko` or `ikanos` with a version is missing at the root"
        };
        problems.truncate(before);
        problems.push(Diagnostic::error(Code::NotACapability, Span::start_of(file), message).with_source_hidden());
        return None;
    };
    let known = ["0.4", "0.5", "1.0.0-alpha", "1.0.0-beta"];
    if !known.iter().any(|known| version.value.starts_with(known)) {
        let message = format!(
            "language version `{}` is not known; expected 0.4, 0.5, 1.0.0-alpha1 to -alpha6 or 1.0.0-beta1 to -beta5",
            version.value
        );
        problems.push(Diagnostic::error(Code::UnsupportedVersion, version.span, message));
        return None;
    }
    Some(version)
}

fn read_info(node: &Node, problems: &mut Vec<Diagnostic>) -> Info {
    let Some(mut fields) = Fields::of(node, "`info`", problems) else { return Info::default() };
    let title = fields.text(&["display", "label", "title"], problems);
    let description = fields.text(&["description"], problems);
    fields.skip(&["tags", "created", "modified", "version", "stakeholders", "personas", "related"]);
    fields.finish(problems);
    Info { title, description }
}
