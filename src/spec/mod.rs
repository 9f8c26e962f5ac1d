//! Capability specs: from paths to documents that mirror the text.
//!
//! Nothing is looked up here: references between parts, to schemas and to the environment are resolved when the
//! [catalog](crate::catalog) is compiled. A bad part is reported and left out; what stands beside it is kept.

mod auth;
mod binds;
mod body;
mod complete;
mod consumes;
mod document;
mod exposes;
mod flow;
pub(crate) mod hidden;
mod imports;
mod instructions;
mod interaction;
mod lint;
mod outputs;
mod parallel;
mod parameters;
mod poll;
mod reach;
mod reader;
pub mod template;
pub mod yaml;

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Component, Path, PathBuf},
};

use self::{
    document::{Draft, Found},
    imports::Loaded,
};

pub(crate) use self::reach::{folder_of, is_hidden, is_within, path_of};
pub use self::{
    auth::{ApiKey, Authentication, AuthenticationKind, OAuth2, Placement, User},
    binds::{Bind, BindSource},
    body::{Body, BodyKind, ParametersAs, Part},
    complete::Complete,
    consumes::{Consumes, Operation},
    document::{Document, Info},
    exposes::{CacheScope, Hints, LeftOut, McpServer, Message, Prompt, PromptContent, Resource, ResourceContent, Tool},
    flow::{Action, Aggregate, Flow, Mapping, Mode, Step, StepKind},
    instructions::instructions,
    interaction::{
        Capability, Interaction, LogLevel, Notice, Question, QuestionKind, Returned, TaskTerms, delay, is_page,
    },
    lint::lint,
    outputs::OutputParameter,
    parameters::{InputParameter, Location},
    poll::Poll,
    reader::Spanned,
};
use crate::diagnostic::{Code, Diagnostic, FileId, SourceMap, Span};

/// How deep folders are searched; it also ends a cycle of symbolic links.
const MAX_FOLDER_DEPTH: usize = 8;

/// Where specs come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A file, or a folder whose `.yaml` and `.yml` files are read, with those of its folders.
    Path(PathBuf),
    /// A text compiled into the program, under the name that messages show.
    Shipped {
        /// The name, a relative path as in a checkout.
        name: &'static str,
        /// The text.
        text: &'static str,
    },
}

impl Source {
    /// The name of a text that is compiled in.
    pub fn shipped_name(&self) -> Option<&'static str> {
        match self {
            Self::Shipped { name, .. } => Some(name),
            Self::Path(_) => None,
        }
    }
}

/// The documents that were read.
#[derive(Debug, Default)]
pub struct Workspace {
    /// One document a file, in order of the sources and, in a folder, of the names. A file that others import is not
    /// among them: what it holds stands in those.
    pub documents: Vec<Document>,
    /// The files that were loaded for their own sake.
    pub files: BTreeSet<FileId>,
    /// The folders that the operator named: specs may refer to everything in them.
    pub folders: Vec<PathBuf>,
}

/// Reads all specs of the sources. What cannot be read is reported and left out.
pub fn load(specs: &[Source], sources: &mut SourceMap) -> (Workspace, Vec<Diagnostic>) {
    let mut texts = Vec::new();
    let mut roots = Vec::new();
    let mut problems = Vec::new();
    for spec in specs {
        match spec {
            Source::Shipped { name, text } => texts.push(Text::new(PathBuf::from(name), text, Found::ByName, sources)),
            Source::Path(path) => {
                let mut files = Vec::new();
                let before = problems.len();
                files_of(path, sources, &mut files, &mut problems);
                if files.is_empty() && problems.len() == before {
                    problems.push(unreadable(path, "no `.yaml` or `.yml` file in this folder", sources));
                }
                let found = if path.is_dir() { Found::InFolder } else { Found::ByName };
                if found == Found::InFolder {
                    roots.push(path.clone());
                }
                for path in files {
                    match read_text(&path, yaml::MAX_FILE_BYTES) {
                        Ok(text) => texts.push(Text::new(path, &text, found, sources)),
                        Err(error) => problems.push(unreadable(&path, &cannot_read(&error), sources)),
                    }
                }
            }
        }
    }
    let mut loaded = Vec::new();
    for (text, (draft, found)) in texts.iter().zip(parallel::map(&texts, |text| text.read(sources))) {
        problems.extend(found);
        loaded.extend(draft.map(|draft| Loaded { path: normalize(&text.path), draft, found: text.found }));
    }
    let workspace = imports::resolve(loaded, &roots, sources, &mut problems);
    (workspace, problems)
}

/// A text that may be a spec.
struct Text {
    path: PathBuf,
    file: FileId,
    found: Found,
}

impl Text {
    fn new(path: PathBuf, text: &str, found: Found, sources: &mut SourceMap) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let file = sources.add(path.display().to_string(), text);
        Self { path, file, found }
    }

    /// The document, and what is wrong with it.
    fn read(&self, sources: &SourceMap) -> (Option<Draft>, Vec<Diagnostic>) {
        let Self { path: _, file, found } = *self;
        let mut problems = Vec::new();
        let mut root = match yaml::parse(file, sources) {
            Ok(root) => root,
            Err(mut problem) => {
                // In a folder other files may lie as well, templates among them; only what means to be a spec is an error.
                let text = sources.text(file);
                let is_meant = text.lines().any(|line| line.starts_with("naftiko:") || line.starts_with("ikanos:"));
                if found == Found::InFolder && !is_meant {
                    problem.severity = crate::diagnostic::Severity::Note;
                    problem.source = crate::diagnostic::Source::Hidden; // whatever it is, its text is nobody's concern
                }
                return (None, vec![*problem]);
            }
        };
        let mut of_texts = Vec::new();
        hidden::take_out(&mut root, &mut of_texts);
        let draft = document::read(file, &root, found, &mut problems);
        // Whatever other files of a folder hold is nobody's concern.
        if draft.is_some() {
            problems.extend(of_texts);
        }
        (draft, problems)
    }
}

/// A path without `.` and with `..` taken away where that is possible without asking the file system.
pub(crate) fn normalize(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir if matches!(normal.components().next_back(), Some(Component::Normal(_))) => {
                normal.pop();
            }
            component => normal.push(component),
        }
    }
    normal
}

/// Reads a text file of limited size. Pipes and devices, which may never end, are refused.
pub(crate) fn read_text(path: &Path, limit: usize) -> io::Result<String> {
    use io::Read;
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("the file is larger than {limit} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the file is not UTF-8"))
}

/// The spec files of a path, sorted by name so that the order of tools never depends on the file system. What cannot be
/// read is reported; the rest is found all the same.
fn files_of(path: &Path, sources: &mut SourceMap, files: &mut Vec<PathBuf>, problems: &mut Vec<Diagnostic>) {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => files.push(path.to_owned()),
        Ok(metadata) if !metadata.is_dir() => {
            problems.push(unreadable(path, "is neither a file nor a folder", sources))
        }
        Ok(_) => {
            let mut failures = Vec::new();
            collect(path, 0, files, &mut failures);
            files.sort();
            failures.sort_by(|(left, _), (right, _)| left.cmp(right));
            problems.extend(failures.iter().map(|(path, message)| unreadable(path, message, sources)));
        }
        Err(error) => problems.push(unreadable(path, &cannot_read(&error), sources)),
    }
}

/// The path of a source, the folders in it and the specs in those: all that a change can be seen at.
pub fn spec_paths(path: &Path) -> Vec<PathBuf> {
    let mut paths = vec![path.to_owned()];
    if path.is_dir() {
        collect(path, 0, &mut paths, &mut Vec::new());
        folders_of(path, 0, &mut paths);
    }
    paths
}

fn folders_of(folder: &Path, depth: usize, folders: &mut Vec<PathBuf>) {
    if depth > MAX_FOLDER_DEPTH {
        return;
    }
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.is_dir() {
            folders_of(&path, depth + 1, folders);
            folders.push(path);
        }
    }
}

fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>, failures: &mut Vec<(PathBuf, String)>) {
    if depth > MAX_FOLDER_DEPTH {
        failures.push((folder.to_owned(), format!("lies more than {MAX_FOLDER_DEPTH} folders deep and is not read")));
        return;
    }
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return failures.push((folder.to_owned(), cannot_read(&error))),
    };
    for entry in entries {
        let path = match entry {
            Ok(entry) => entry.path(),
            Err(error) => {
                failures.push((folder.to_owned(), cannot_read(&error)));
                continue;
            }
        };
        if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")) {
            continue; // hidden
        }
        if path.is_dir() {
            collect(&path, depth + 1, files, failures);
        } else if path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml") {
            files.push(path);
        }
    }
}

fn unreadable(path: &Path, message: &str, sources: &mut SourceMap) -> Diagnostic {
    let file = sources.add(path.display().to_string(), "");
    Diagnostic::error(Code::UnreadableFile, Span::start_of(file), message).with_source_hidden()
}

pub(crate) fn cannot_read(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or folder".to_owned(),
        io::ErrorKind::PermissionDenied => "permission to read it is missing".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}
