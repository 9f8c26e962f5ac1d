//! One capability spec as written: version, description, variables and the sections of its capability.

use super::{
    binds::{self, Bind, ReadBind},
    consumes::{self, Consumes},
    exposes::{self, McpServer},
    flow::{self, Aggregate},
    imports::{self, Import, Section},
    reader::{Fields, NamedNode, Spanned},
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
    /// The variables it may read from the environment.
    pub binds: Vec<Bind>,
    /// The services it calls.
    pub consumes: Vec<Consumes>,
    /// The namespaces of services that were left out for an error.
    pub left_out: Vec<Spanned<String>>,
    /// The domains whose flows its tools refer to.
    pub aggregates: Vec<Aggregate>,
    /// The MCP servers it describes.
    pub servers: Vec<McpServer>,
    /// Namespaces that were to be imported and could not be: what calls them was not wrong in that.
    pub missing: Vec<Spanned<String>>,
    /// Whether it is no capability, but one section for others to import.
    pub standalone: bool,
}

/// What a capability is called and for.
#[derive(Clone, Debug, Default)]
pub struct Info {
    /// The name a person reads.
    pub title: Option<Spanned<String>>,
    /// What it is for.
    pub description: Option<Spanned<String>>,
}

/// A document and what it imports.
pub(super) struct Draft {
    /// The document, without what it imports.
    pub(super) document: Document,
    /// What it imports, in order.
    pub(super) imports: Vec<Import>,
}

/// Whether a person named the file, or it was found in a folder, where files of other kinds may lie as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It was named, by a setting or an import.
    ByName,
    /// It was found in a folder.
    InFolder,
}

pub(super) fn read(file: FileId, root: &Node, found: Found, problems: &mut Vec<Diagnostic>) -> Option<Draft> {
    if let Some(kind) = foreign_kind(root) {
        let problem = Diagnostic::error(Code::NotACapability, Span::start_of(file), kind).with_source_hidden();
        problems.push(Diagnostic { severity: severity(found), ..problem });
        return None;
    }
    let mut fields = Fields::of(root, "a capability spec", problems)?;
    let version = read_version(file, &mut fields, found, problems)?;
    let info = fields.node(&["info"]).map(|node| read_info(node, problems)).unwrap_or_default();
    let mut draft = Draft {
        document: Document {
            file,
            version,
            info,
            binds: Vec::new(),
            consumes: Vec::new(),
            left_out: Vec::new(),
            aggregates: Vec::new(),
            servers: Vec::new(),
            missing: Vec::new(),
            standalone: false,
        },
        imports: Vec::new(),
    };
    let capability = fields.node(&["capability"]);
    let span = fields.span();
    let sections = read_sections(&mut fields, &mut draft, problems);
    fields.skip(&["shared"]);
    fields.finish(problems);
    match capability {
        Some(capability) => {
            let mut fields = Fields::of(capability, "`capability`", problems)?;
            read_sections(&mut fields, &mut draft, problems);
            fields.unsupported(&["orchestration", "governance"], problems);
            fields.finish(problems);
        }
        None if sections > 0 => draft.document.standalone = true,
        None => {
            problems.push(Diagnostic::error(Code::MissingField, span, "a capability spec needs `capability`"));
            return None;
        }
    }
    Some(draft)
}

/// Reads the sections that may stand at the root and in `capability`; gives how many there are.
fn read_sections(fields: &mut Fields<'_>, draft: &mut Draft, problems: &mut Vec<Diagnostic>) -> usize {
    let Draft { document, imports } = draft;
    let mut sections = 0;
    for (name, read) in [("binds", binds::read_bind as ReadBind), ("externalRefs", binds::read_reference)] {
        for named in fields.named(&[name], problems) {
            sections += 1;
            match imports::read(Section::Binds, named.node, problems) {
                Some(import) => imports.extend(import),
                None => document.binds.extend(read(&named, problems)),
            }
        }
    }
    for named in entries("consumes", fields, &mut sections) {
        match imports::read(Section::Consumes, named.node, problems) {
            Some(import) => imports.extend(import),
            None => document.consumes.extend(consumes::read(named.node, &mut document.left_out, problems)),
        }
    }
    for named in entries("aggregates", fields, &mut sections) {
        match imports::read(Section::Aggregates, named.node, problems) {
            Some(import) => imports.extend(import),
            None => document.aggregates.extend(flow::read_aggregate(named.node, problems)),
        }
    }
    for named in entries("exposes", fields, &mut sections) {
        match imports::read(Section::Exposes, named.node, problems) {
            Some(import) => imports.extend(import),
            None => document.servers.extend(exposes::read(named.node, problems)),
        }
    }
    // Before `binds` and entries of the sections could import, a list of its own did.
    for named in entries("imports", fields, &mut sections) {
        imports.extend(imports::read(Section::Consumes, named.node, problems).flatten());
    }
    sections
}

/// The entries of a section, which is counted where it is there.
fn entries<'a>(name: &'static str, fields: &mut Fields<'a>, sections: &mut usize) -> Vec<NamedNode<'a>> {
    let node = fields.node(&[name]);
    *sections += usize::from(node.is_some());
    node.map(elements).unwrap_or_default()
}

/// The elements of a section: of a list, or the one that stands there alone.
fn elements(node: &Node) -> Vec<NamedNode<'_>> {
    match &node.value {
        Value::Sequence(items) => items.iter().map(|node| NamedNode { key: None, node }).collect(),
        _ => vec![NamedNode { key: None, node }],
    }
}

fn severity(found: Found) -> crate::diagnostic::Severity {
    match found {
        Found::ByName => crate::diagnostic::Severity::Error,
        Found::InFolder => crate::diagnostic::Severity::Note,
    }
}

/// What a document is that is plainly something else, and what to do with it.
fn foreign_kind(root: &Node) -> Option<String> {
    let Value::Mapping(_) = root.value else {
        return Some(format!(
            "not a capability spec: a map with `naftiko` or `ikanos` at its root was expected, found {}",
            root.kind()
        ));
    };
    if root.get("ikanos").is_some() || root.get("naftiko").is_some_and(|version| version.get("schema").is_none()) {
        return None;
    }
    let kind = if root.get("naftiko").is_some() {
        "a manifest from before version 0.2 of the language, which describes nothing that can be called"
    } else if root.get("openapi").is_some() || root.get("swagger").is_some() {
        "an OpenAPI document; `keyglass import openapi` makes a capability spec of it"
    } else if root.get("asyncapi").is_some() {
        "an AsyncAPI document"
    } else if root.get("arazzo").is_some() {
        "an Arazzo document"
    } else if root.get("apiVersion").is_some() && root.get("kind").is_some() {
        "a Kubernetes manifest"
    } else if root.get("aid").is_some() || root.get("apis").is_some() {
        "an APIs.json index"
    } else {
        "`naftiko` or `ikanos` with a version is missing at the root"
    };
    Some(format!("not a capability spec: {kind}"))
}

/// The version under its old and its new key. The language changed in ways that read wrongly, so others are refused.
fn read_version(
    file: FileId,
    fields: &mut Fields<'_>,
    found: Found,
    problems: &mut Vec<Diagnostic>,
) -> Option<Spanned<String>> {
    let before = problems.len();
    let Some(version) = fields.text(&["ikanos", "naftiko"], problems) else {
        problems.truncate(before);
        let message = "`naftiko` must name a language version here; this is a manifest of another kind";
        let problem = Diagnostic::error(Code::NotACapability, Span::start_of(file), message).with_source_hidden();
        problems.push(Diagnostic { severity: severity(found), ..problem });
        return None;
    };
    let known = ["0.3", "0.4", "0.5", "1.0.0-alpha", "1.0.0-beta"];
    let is_known = |known: &str| {
        version.value.strip_prefix(known).is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.'))
    };
    if version.value != "1.0.0" && !known.iter().any(|known| is_known(known)) {
        let message = format!(
            "language version `{}` is not known; expected 0.3 to 0.5, 1.0.0-alpha1 to -alpha6 or 1.0.0-beta1 to -beta5",
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
