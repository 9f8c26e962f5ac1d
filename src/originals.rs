//! The specs and JSON Schemas behind a catalog, as resources that a client may read: `keyglass://specs/NAME` and
//! `keyglass://schemas/NAME`.
//!
//! No text is kept: a shipped one is part of the program, a file is read again when it is asked for. What is secret in
//! them is found in `secrets.rs`. Must not know MCP.

mod secrets;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io,
    path::{Path, PathBuf},
};

use percent_encoding::{percent_decode_str, utf8_percent_encode};

use crate::{
    access::{Access, GateId},
    backend::Limits,
    catalog::{Catalog, gate::gate_of, names::readable, path::ENCODED},
    config::Settings,
    diagnostic::{FileId, SourceMap},
    error::CallError,
    mask::Mask,
    prose::tidy,
    schema::{self, SchemaStore},
    spec::{self, Document, Source, Workspace},
};

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A capability spec.
    Spec,
    /// A JSON Schema that a spec refers to.
    Schema,
}

/// The files behind a catalog, specs first.
#[derive(Debug, Default)]
pub struct Originals(Vec<Original>);

/// One of them.
#[derive(Debug)]
pub struct Original {
    /// What it is.
    pub kind: Kind,
    /// Its path below the folder that was named, or its file's name. No other of its kind has it.
    pub name: String,
    /// The name a person reads.
    pub title: String,
    /// What it holds.
    pub description: String,
    text: Text,
    /// Whoever is let through all gates of one of these sets may read it.
    gates: Vec<BTreeSet<GateId>>,
    /// Of the text that was loaded.
    digest: u64,
    /// How many servers of it ask their callers for something.
    asking: usize,
}

/// Where a text is.
#[derive(Clone, Debug)]
enum Text {
    Shipped(&'static str),
    File(PathBuf),
}

/// What files are collected from.
#[derive(Debug)]
pub struct Parts<'a> {
    /// What was named.
    pub settings: &'a Settings,
    /// The documents.
    pub workspace: &'a Workspace,
    /// The schemas that they refer to.
    pub schemas: &'a SchemaStore,
    /// The texts.
    pub sources: &'a SourceMap,
    /// What is offered already: no file takes the place of a resource of a spec.
    pub catalog: &'a Catalog,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Spec, Self::Schema];

    /// Its media type: RFC 9512 for YAML, JSON Schema 2020-12 (core, section 14) for schemas.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Spec => "application/yaml",
            Self::Schema => "application/schema+json",
        }
    }

    /// The URIs of its files, with a placeholder for the name.
    pub fn template(self) -> &'static str {
        match self {
            Self::Spec => "keyglass://specs/{name}",
            Self::Schema => "keyglass://schemas/{name}",
        }
    }

    fn prefix(self) -> &'static str {
        self.template().trim_end_matches("{name}")
    }
}

impl Original {
    /// Its URI.
    pub fn uri(&self) -> String {
        format!("{}{}", self.kind.prefix(), utf8_percent_encode(&self.name, ENCODED))
    }

    /// Whether a caller may read it.
    pub fn is_open_to(&self, access: &Access) -> bool {
        self.gates.iter().any(|gates| access.sees_whole(gates))
    }

    /// The sets of gates before it: whoever is let through all of one may read it.
    pub fn gates(&self) -> &[BTreeSet<GateId>] {
        &self.gates
    }

    /// Whether the text that was loaded is the same.
    pub fn is_same_text(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// Its text as a client may see it: what is secret in it by its place is masked, and so are `known` secrets wherever
    /// they stand. Errors: [`CallError::NoFile`] and [`CallError::UnreadableFile`], also where what is secret in it cannot
    /// be told.
    pub async fn read(&self, access: &Access, known: Mask, limits: Limits) -> Result<String, CallError> {
        let path = match &self.text {
            Text::Shipped(text) => return Ok((*text).to_owned()),
            Text::File(path) => path.clone(),
        };
        let limit = limits.max_answer_bytes;
        let (kind, digest, asking) = (self.kind, self.digest, self.asking);
        let sees_all = *access == Access::Everything;
        let reading = tokio::task::spawn_blocking(move || {
            let text = spec::read_text(&path, limit).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => CallError::NoFile,
                io::ErrorKind::FileTooLarge => CallError::UnreadableFile(format!("it is larger than {limit} bytes")),
                _ => CallError::UnreadableFile(spec::cannot_read(&error)),
            })?;
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
            let masked = match kind {
                Kind::Schema => secrets::masked_schema(text, &known).map(Some),
                Kind::Spec => secrets::masked_spec(text, &known).map(|(masked, asks)| {
                    // A gate that is new in it is not known yet, so that nobody can be let through it.
                    let is_newly_gated = digest_of(text) != digest && asks > asking;
                    (sees_all || !is_newly_gated).then_some(masked)
                }),
            };
            match masked {
                Some(Some(masked)) => Ok(masked),
                Some(None) => Err(CallError::NoFile),
                None => Err(CallError::UnreadableFile("it is not well-formed any more".to_owned())),
            }
        });
        // A file system may hang; the thread is left behind then.
        let read = tokio::time::timeout(limits.timeout, reading).await;
        let read = read.map_err(|_| CallError::Timeout(limits.timeout))?;
        read.map_err(|error| CallError::Internal(format!("reading a file: {error}")))?
    }
}

impl Originals {
    /// The specs of a workspace and the schemas that they refer to.
    pub fn new(parts: &Parts<'_>) -> Self {
        let Parts { settings, workspace, schemas, sources, catalog } = *parts;
        let shipped: HashMap<&str, &'static str> = settings
            .specs
            .iter()
            .chain(&settings.schemas)
            .filter_map(|source| match source {
                Source::Shipped { name, text } => Some((*name, *text)),
                Source::Path(_) => None,
            })
            .collect();
        let roots = |sources: &[Source]| {
            let folders = sources.iter().filter_map(|source| match source {
                Source::Path(path) => schema::absolute(path),
                Source::Shipped { .. } => None,
            });
            folders.collect::<Vec<_>>()
        };
        let (spec_roots, schema_roots) = (roots(&settings.specs), roots(&settings.schemas));
        let documents: HashMap<FileId, &Document> =
            workspace.documents.iter().map(|document| (document.file, document)).collect();
        let gates = Gates::new(workspace, sources);
        let mut originals = Self::default();
        let text_of = |name: &str| match shipped.get(name) {
            Some(text) => Text::Shipped(text),
            None => Text::File(PathBuf::from(name)),
        };
        for file in &workspace.files {
            let path = sources.name(*file);
            let document = documents.get(file).copied();
            let name = originals.free(Kind::Spec, name_of(path, &[&spec_roots]));
            let asking = document
                .map_or(0, |document| document.servers.iter().filter(|server| server.authentication.is_some()).count());
            let info = document.map(|document| &document.info);
            let title = info.and_then(|info| info.title.as_ref()).map(|title| title.value.trim().to_owned());
            let described = info.and_then(|info| info.description.as_ref());
            let described = described.map(|text| tidy(text.value.trim()).into_owned()).filter(|text| !text.is_empty());
            originals.0.push(Original {
                kind: Kind::Spec,
                title: format!("{} (capability spec)", title.unwrap_or_else(|| readable_stem(&name))),
                description: described.unwrap_or_else(|| format!("The capability spec `{name}`, as it is loaded.")),
                name,
                text: text_of(path),
                gates: vec![gates.of(path)],
                digest: digest_of(&sources.text(*file)),
                asking,
            });
        }
        let mut used: BTreeMap<FileId, BTreeSet<&str>> = BTreeMap::new();
        for (spec, schema) in schemas.uses() {
            used.entry(schema).or_default().extend(spec.to_str());
        }
        for (file, specs) in used {
            let path = sources.name(file);
            let name = originals.free(Kind::Schema, name_of(path, &[&schema_roots, &spec_roots]));
            let users: Vec<String> = specs.iter().map(|spec| format!("`{}`", file_name(spec))).take(3).collect();
            let more = if specs.len() > users.len() { " and others" } else { "" };
            originals.0.push(Original {
                kind: Kind::Schema,
                title: format!("{} (JSON Schema)", readable_stem(&name)),
                description: format!("Types that {}{more} refers to.", users.join(", ")),
                name,
                text: text_of(path),
                gates: specs.iter().map(|spec| gates.of(spec)).collect(),
                digest: digest_of(&sources.text(file)),
                asking: 0,
            });
        }
        originals.0.retain(|original| catalog.resources().find(&original.uri()).is_none());
        originals
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Original> {
        self.0.iter()
    }

    /// Those that a caller may read.
    pub fn open_to<'a>(&'a self, access: &Access) -> impl Iterator<Item = &'a Original> {
        self.0.iter().filter(|original| original.is_open_to(access))
    }

    /// The one of this URI, however its name is encoded.
    pub fn find(&self, uri: &str) -> Option<&Original> {
        let (kind, name) = Kind::ALL.into_iter().find_map(|kind| Some((kind, uri.strip_prefix(kind.prefix())?)))?;
        let name = percent_decode_str(name).decode_utf8().ok()?;
        self.0.iter().find(|original| original.kind == kind && original.name == name)
    }

    /// A name like this one that no other file of the kind has.
    fn free(&self, kind: Kind, name: String) -> String {
        let is_taken = |name: &str| self.0.iter().any(|known| known.kind == kind && known.name == name);
        let numbered = |number: usize| match name.rsplit_once('.') {
            Some((stem, ending)) => format!("{stem}-{number}.{ending}"),
            None => format!("{name}-{number}"),
        };
        if !is_taken(&name) {
            return name;
        }
        (2..).map(numbered).find(|name| !is_taken(name)).unwrap_or(name)
    }
}

/// The gates before what each file holds.
struct Gates<'a> {
    of_documents: HashMap<&'a str, BTreeSet<GateId>>,
    all: BTreeSet<GateId>,
}

impl<'a> Gates<'a> {
    fn new(workspace: &Workspace, sources: &'a SourceMap) -> Self {
        let mut of_documents: HashMap<&str, BTreeSet<GateId>> = HashMap::new();
        for document in &workspace.documents {
            let gates = (0..document.servers.len()).filter_map(|place| gate_of(document, place, sources));
            of_documents.entry(sources.name(document.file)).or_default().extend(gates);
        }
        let all = of_documents.values().flatten().copied().collect();
        Self { of_documents, all }
    }

    /// Of a file that is imported and no document of its own, those of all: whoever imports it may ask for something.
    fn of(&self, file: &str) -> BTreeSet<GateId> {
        self.of_documents.get(file).unwrap_or(&self.all).clone()
    }
}

/// The path of a file below the first of these folders that it lies in, else its name.
fn name_of(path: &str, roots: &[&[PathBuf]]) -> String {
    let absolute = schema::absolute(Path::new(path));
    let below = absolute.as_deref().and_then(|path| {
        let mut below = roots.iter().copied().flatten().filter_map(|root| path.strip_prefix(root).ok());
        below.find(|below| !below.as_os_str().is_empty())
    });
    match below {
        Some(below) => below.iter().map(|step| step.to_string_lossy()).collect::<Vec<_>>().join("/"),
        None => file_name(path),
    }
}

fn file_name(path: &str) -> String {
    Path::new(path).file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn readable_stem(name: &str) -> String {
    readable(&Path::new(name).file_stem().unwrap_or_default().to_string_lossy())
}

fn digest_of(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
