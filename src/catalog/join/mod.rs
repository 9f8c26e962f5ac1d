//! Types for what specs leave untyped, from documents beside them: OpenAPI by operation, JSON Schemas by name.
//!
//! A [`Joiner`] lives as long as one load. It looks into folders and reads documents when the first operation asks, each
//! once, and finds an operation by hash, so that tens of thousands cost as much each as one. Must not know tools.

mod folders;
mod paths;
mod report;
mod schemas;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::Arc,
};

pub(crate) use self::folders::{is_named_for_schemas, searched};
pub use self::report::{JoinEntry, JoinReport, Outcome};
use self::{
    folders::{Folder, Looked},
    paths::{Base, identifier, placeholders, shape},
    schemas::Shelf,
};
use crate::{
    diagnostic::{Diagnostic, FileId, SourceMap, Span},
    openapi::{Answer, Body, Document, Parameter, ParameterLocation},
    shipped,
};

/// What a spec says of an operation, to find it by.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The file of the spec.
    pub spec: &'a Path,
    /// The namespace of the service.
    pub namespace: &'a str,
    /// The base URL as the spec has it.
    pub base_uri: Option<&'a str>,
    /// The name of the operation.
    pub operation: &'a str,
    /// The HTTP method.
    pub method: &'a str,
    /// The path template, with `{x}` or `{{x}}`.
    pub path: &'a str,
}

/// What was found for an operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Joined {
    /// Where.
    pub origin: Origin,
    /// How sure it is.
    pub certainty: Certainty,
    /// What the operation does, in a line.
    pub summary: Option<String>,
    /// What the operation does, as [`Operation::told`](crate::openapi::Operation::told) has it.
    pub told: Option<String>,
    /// Whether it is not to be used any more.
    pub deprecated: bool,
    /// Its parameters. Those of the path have the names that the spec gives its placeholders.
    pub parameters: Vec<Parameter>,
    /// The body it takes.
    pub body: Option<Body>,
    /// What it answers.
    pub answer: Option<Answer>,
}

/// Where types come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An operation of an OpenAPI document.
    OpenApi {
        /// The document.
        file: FileId,
        /// The operation; in JSON the start of the file.
        operation: Span,
    },
    /// JSON Schemas, guessed by name.
    JsonSchema {
        /// The file of the body's schema.
        body: Option<FileId>,
        /// The file of the answer's schema.
        answer: Option<FileId>,
    },
}

/// How sure it is that types belong to an operation, the surest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certainty {
    /// Operation id, method and path are the same.
    Exact,
    /// Method and path are the same.
    Path,
    /// Operation id and method are the same.
    Id,
    /// The name of a schema is that of what the operation is about.
    Guess,
}

impl Certainty {
    /// In words, as in "by method and path".
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "id, method and path",
            Self::Path => "method and path",
            Self::Id => "id and method",
            Self::Guess => "name alone",
        }
    }
}

impl Joined {
    /// The parameter of a name and a place. A spec whose language has no name like `filter[state]` writes
    /// `filter_state`, or `filter_state_query` where a parameter in another place has that name; what is sent is the name
    /// of the parameter found.
    pub fn parameter(&self, name: &str, location: ParameterLocation) -> Option<&Parameter> {
        let mut there = self.parameters.iter().filter(|parameter| parameter.location == location);
        let exact = there.clone().find(|parameter| match location {
            ParameterLocation::Header => parameter.name.eq_ignore_ascii_case(name),
            _ => parameter.name == name,
        });
        exact.or_else(|| {
            there.find(|parameter| {
                let written = written(&parameter.name);
                name == written || name == format!("{written}_{}", location.as_str())
            })
        })
    }
}

/// The name of a parameter as the official language can write it, `[A-Za-z0-9_-]`: `filter[state]` → `filter_state`.
pub fn written(name: &str) -> String {
    super::names::argument(name).replace('.', "_")
}

/// Finds types for the operations of specs.
#[derive(Debug, Default)]
pub struct Joiner {
    /// Folders that count for every spec, and go first.
    folders: Vec<PathBuf>,
    /// What was found in a folder, by the folder and how it is looked at.
    looked: BTreeMap<(PathBuf, Looked), Arc<Library>>,
    /// The libraries of a spec's folder, in order.
    beside: HashMap<PathBuf, Vec<Arc<Library>>>,
    problems: Vec<Diagnostic>,
    /// Files, without links, whose problems were reported: one may lie in several of the folders.
    reported: BTreeSet<PathBuf>,
}

/// The documents of one folder.
#[derive(Debug, Default)]
struct Library {
    documents: Vec<Entry>,
    /// Method and shape of the path → operations.
    by_path: HashMap<(String, String), Vec<Place>>,
    /// Method and identifier → operations.
    by_id: HashMap<(String, String), Vec<Place>>,
    schemas: Shelf,
}

#[derive(Debug)]
struct Entry {
    document: Document,
    /// The file's name without its ending.
    stem: String,
    bases: Vec<Base>,
}

/// An operation of a library.
#[derive(Clone, Copy, Debug)]
struct Place {
    document: usize,
    operation: usize,
}

/// How well a place fits; the least fits best.
type Fit = (Certainty, bool, bool, bool);

impl Joiner {
    /// A joiner that looks into these folders for every spec, before those beside it.
    pub fn new(folders: &[PathBuf]) -> Self {
        Self { folders: folders.to_vec(), ..Self::default() }
    }

    /// Finds the types of an operation.
    pub fn join(&mut self, wanted: &Wanted<'_>, sources: &mut SourceMap) -> Option<Joined> {
        let libraries = self.libraries(wanted.spec, sources);
        find(&libraries, wanted).or_else(|| schemas::guess(libraries.iter().map(|library| &library.schemas), wanted))
    }

    /// What was wrong with the documents looked at since the last time this was asked: warnings.
    pub fn take_problems(&mut self) -> Vec<Diagnostic> {
        std::mem::take(&mut self.problems)
    }

    /// The libraries that count for a spec, the ones named by the user first.
    fn libraries(&mut self, spec: &Path, sources: &mut SourceMap) -> Vec<Arc<Library>> {
        let own = spec.parent().map(Path::to_owned).unwrap_or_default();
        if let Some(libraries) = self.beside.get(&own) {
            return libraries.clone();
        }
        let mut wanted: Vec<(PathBuf, Looked)> =
            self.folders.iter().map(|folder| (folder.clone(), Looked::Deep)).collect();
        if !spec.starts_with(shipped::ROOT) {
            wanted.extend(folders::beside(&own));
        }
        let mut libraries = Vec::new();
        for key in wanted {
            let library = match self.looked.get(&key) {
                Some(library) => Arc::clone(library),
                None => {
                    let folder = folders::read(&key.0, key.1, sources, &mut self.reported, &mut self.problems);
                    let library = Arc::new(Library::new(folder));
                    self.looked.insert(key, Arc::clone(&library));
                    library
                }
            };
            libraries.push(library);
        }
        self.beside.insert(own, libraries.clone());
        libraries
    }
}

impl Library {
    fn new(folder: Folder) -> Self {
        let Folder { documents, schemas } = folder;
        let mut library = Self { schemas, ..Self::default() };
        for (stem, document) in documents {
            let bases: Vec<Base> = document.servers.iter().map(|server| Base::parse(server)).collect();
            let index = library.documents.len();
            for (operation, outline) in document.operations.iter().enumerate() {
                let place = Place { document: index, operation };
                let mut shapes = vec![shape(&outline.path)];
                for base in bases.iter().filter(|base| !base.prefix.is_empty()) {
                    shapes.push(shape(&format!("{}{}", base.prefix, outline.path)));
                }
                shapes.sort();
                shapes.dedup();
                for shape in shapes {
                    library.by_path.entry((outline.method.clone(), shape)).or_default().push(place);
                }
                if let Some(id) = &outline.id {
                    library.by_id.entry((outline.method.clone(), identifier(id))).or_default().push(place);
                }
            }
            library.documents.push(Entry { document, stem, bases });
        }
        library
    }

    fn entry(&self, place: Place) -> Option<&Entry> {
        self.documents.get(place.document)
    }
}

/// The operation that fits best.
fn find(libraries: &[Arc<Library>], wanted: &Wanted<'_>) -> Option<Joined> {
    let base = Base::parse(wanted.base_uri.unwrap_or_default());
    let method = wanted.method.to_ascii_uppercase();
    let id = identifier(wanted.operation);
    let full = shape(&format!("{}{}", base.prefix, wanted.path));
    let mut keys = vec![full.clone(), shape(wanted.path)];
    keys.dedup();
    let mut best: Option<(Fit, &Entry, Place)> = None;
    let mut rival = false;
    for library in libraries {
        let same_path = keys.iter().filter_map(|key| library.by_path.get(&(method.clone(), key.clone()))).flatten();
        let same_path = same_path.map(|place| (*place, true));
        let same_id = library.by_id.get(&(method.clone(), id.clone())).into_iter().flatten();
        for (place, by_path) in same_path.chain(same_id.map(|place| (*place, false))) {
            let Some(entry) = library.entry(place) else { continue };
            let Some(outline) = entry.document.operations.get(place.operation) else { continue };
            let certainty = match (by_path, outline.id.as_deref().map(identifier).as_ref() == Some(&id)) {
                (true, true) => Certainty::Exact,
                (true, false) => Certainty::Path,
                (false, _) => Certainty::Id,
            };
            let elsewhere = base.contradicts(&entry.bases);
            if certainty != Certainty::Exact && elsewhere {
                continue; // the same words for another service
            }
            let stem = wanted.spec.file_stem().is_some_and(|stem| stem.to_string_lossy() == entry.stem.as_str());
            let prefixes = entry.bases.iter().map(|base| base.prefix.as_str()).chain([""]);
            let whole = prefixes.into_iter().any(|prefix| shape(&format!("{prefix}{}", outline.path)) == full);
            let fit = (certainty, elsewhere, !(stem || entry.stem == wanted.namespace), !whole);
            match &best {
                Some((known, ..)) if *known < fit => {}
                Some((known, first, _)) if *known == fit => rival |= first.document.title != entry.document.title,
                _ => (best, rival) = (Some((fit, entry, place)), false),
            }
        }
    }
    let ((certainty, ..), entry, place) = best?;
    if rival && certainty != Certainty::Exact {
        return None; // two services say the same words; neither is this one for sure
    }
    let outline = entry.document.operations.get(place.operation)?;
    let operation = entry.document.operation(outline);
    let (told, deprecated) = (operation.told(), operation.deprecated);
    let mut parameters = operation.parameters;
    rename_placeholders(&mut parameters, &outline.path, wanted.path);
    Some(Joined {
        origin: Origin::OpenApi { file: entry.document.file, operation: outline.span },
        certainty,
        summary: operation.summary,
        told,
        deprecated,
        parameters,
        body: operation.body,
        answer: operation.answer,
    })
}

/// Gives the parameters of the path the names that the spec's placeholders have, by position from the end: a base URL may
/// hold the first ones.
fn rename_placeholders(parameters: &mut [Parameter], theirs: &str, own: &str) {
    let (theirs, own) = (placeholders(theirs), placeholders(own));
    let renamed: Vec<(&str, &str)> =
        theirs.iter().rev().zip(own.iter().rev()).map(|(theirs, own)| (theirs.as_str(), own.as_str())).collect();
    for parameter in parameters.iter_mut().filter(|parameter| parameter.location == ParameterLocation::Path) {
        if let Some((_, own)) = renamed.iter().find(|(theirs, _)| *theirs == parameter.name) {
            parameter.name = (*own).to_owned();
        }
    }
}
