//! Which files may hold types for a spec, and reading them. Files that are neither OpenAPI documents nor JSON Schemas are
//! passed over.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::schemas::Shelf;
use crate::{
    diagnostic::{Code, Diagnostic, SourceMap, Span},
    openapi::{self, Document},
    schema::{self, MAX_FILE_BYTES},
    spec::read_text,
};

/// How many files of one folder are looked at, and how many bytes of them; more is no folder of schemas.
const MAX_FILES: usize = 10_000;
const MAX_BYTES: usize = 512 * 1024 * 1024;
const MAX_DEPTH: usize = 8;

/// How a folder is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Looked {
    /// Its own files alone, and of these only what says itself to be a schema: the folder of a spec, where anything may
    /// lie.
    Flat,
    /// With its folders: one that is for schemas.
    Deep,
}

/// What a folder holds.
#[derive(Debug, Default)]
pub(super) struct Folder {
    /// OpenAPI documents with the names of their files.
    pub(super) documents: Vec<(String, Document)>,
    pub(super) schemas: Shelf,
}

/// The folders that count for the specs of a folder: itself, and folders named for schemas in it and beside it.
pub(super) fn beside(own: &Path) -> Vec<(PathBuf, Looked)> {
    let Some(own) = schema::absolute(if own.as_os_str().is_empty() { Path::new(".") } else { own }) else {
        return Vec::new();
    };
    let Some(parent) = own.parent() else { return Vec::new() }; // the root is everybody's
    let mut found = vec![(own.clone(), Looked::Flat)];
    for holder in [own.as_path(), parent] {
        let entries = fs::read_dir(holder).into_iter().flatten().flatten();
        let named = entries.filter(|entry| is_named_for_schemas(&entry.file_name().to_string_lossy()));
        let mut folders: Vec<PathBuf> = named.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
        folders.retain(|folder| *folder != own && !schema::escapes(folder, holder));
        folders.sort();
        found.extend(folders.into_iter().map(|folder| (folder, Looked::Deep)));
    }
    found
}

/// Whether a folder of this name is one for schemas.
pub(crate) fn is_named_for_schemas(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    !name.starts_with('.')
        && (["openapi", "open-api", "swagger", "schema"].iter().any(|word| name.contains(word)) || name == "oas")
}

/// Reads what a folder holds. A document that is broken is reported once.
pub(super) fn read(
    path: &Path,
    looked: Looked,
    sources: &mut SourceMap,
    reported: &mut BTreeSet<PathBuf>,
    problems: &mut Vec<Diagnostic>,
) -> Folder {
    let mut files = Vec::new();
    collect(path, path, looked, 0, &mut files);
    files.sort();
    let mut folder = Folder::default();
    let mut bytes = 0;
    for (count, file) in files.iter().enumerate() {
        if count >= MAX_FILES || bytes > MAX_BYTES {
            let name = sources.add(shown(path), "");
            let message = format!("the folder holds more than {count} files; the others are not looked at for types");
            problems
                .push(Diagnostic::warning(Code::UnreadableFile, Span::start_of(name), message).with_source_hidden());
            break;
        }
        // What cannot be read or is no text is nothing that was asked for.
        let Ok(text) = read_text(file, MAX_FILE_BYTES) else { continue };
        bytes += text.len();
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if Document::is_likely(text) {
            let id = sources.add(shown(file), text);
            let mut is_new = || reported.insert(file.canonicalize().unwrap_or_else(|_| file.clone()));
            match Document::read(id, path, sources) {
                Ok(Some(document)) => {
                    if is_new() {
                        problems.extend(openapi::lost_references(&document));
                    }
                    folder.documents.push((stem, document));
                    continue;
                }
                Ok(None) => {} // the word stands in it, no more
                Err(problem) => {
                    if is_new() {
                        problems.push(*problem);
                    }
                    continue;
                }
            }
        }
        let is_json = file.extension().is_some_and(|extension| extension == "json");
        if is_json && (looked == Looked::Deep || text.contains("json-schema.org")) {
            folder.schemas.add(&stem, &shown(file), text, sources);
        }
    }
    folder.schemas.finish();
    folder
}

/// A path as messages show it: from here, where it lies below.
fn shown(path: &Path) -> String {
    let here = schema::absolute(Path::new("."));
    let below = here.as_ref().and_then(|here| path.strip_prefix(here).ok());
    below.unwrap_or(path).display().to_string()
}

/// A folder with those in it that are looked into as well.
pub(crate) fn searched(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![(folder.to_owned(), 0)];
    let mut next = 0;
    while let Some((holder, depth)) = found.get(next).cloned() {
        next += 1;
        let entries = fs::read_dir(&holder).into_iter().flatten().flatten().filter(|_| depth < MAX_DEPTH);
        for entry in entries.filter(|entry| !is_passed_over(entry, folder)) {
            if found.len() < MAX_FILES && entry.path().is_dir() {
                found.push((entry.path(), depth + 1));
            }
        }
    }
    found.into_iter().map(|(path, _)| path).collect()
}

/// Whether an entry is hidden, or a link that leads out of the folder that is searched.
fn is_passed_over(entry: &fs::DirEntry, root: &Path) -> bool {
    let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
    entry.file_name().as_encoded_bytes().starts_with(b".") || is_link && schema::escapes(&entry.path(), root)
}

/// The files of a folder that may hold types. Links that lead out of it are not followed.
fn collect(folder: &Path, root: &Path, looked: Looked, depth: usize, files: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries {
        if is_passed_over(&entry, root) {
            continue;
        }
        let path = entry.path();
        if path.is_dir() {
            if looked == Looked::Deep && depth < MAX_DEPTH && files.len() <= MAX_FILES {
                collect(&path, root, looked, depth + 1, files);
            }
        } else if path
            .extension()
            .is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known))
        {
            files.push(path);
        }
    }
}
