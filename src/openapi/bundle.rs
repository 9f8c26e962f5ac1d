//! A document that is spread over files, as one: the files it refers to are put into it, and references to them led there.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

use indexmap::IndexMap;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use crate::{
    diagnostic::SourceMap,
    schema::{self, MAX_FILE_BYTES},
    spec::{hidden::take_out_of_json, normalize, read_text, yaml},
};

/// Where the files stand in the document.
const PLACE: &str = "x-keyglass-files";
/// More files than these are not one document.
const MAX_FILES: usize = 500;

/// Puts the files that a document refers to into it, where they lie in a folder. Gives the references that lead nowhere.
pub(super) fn bundle(root: &mut Value, path: &Path, folder: &Path, sources: &mut SourceMap) -> Vec<String> {
    let (Some(path), Some(folder)) = (schema::absolute(path), schema::absolute(folder)) else { return Vec::new() };
    let mut bundling = Bundling {
        folder,
        sources,
        names: IndexMap::from([(path.clone(), String::new())]),
        queue: VecDeque::new(),
        lost: Vec::new(),
    };
    bundling.rewrite(root, &path, "");
    let mut files = Map::new();
    while let Some((path, name, mut value)) = bundling.queue.pop_front() {
        bundling.rewrite(&mut value, &path, &format!("/{PLACE}/{name}"));
        files.insert(name, value);
    }
    if let Value::Object(root) = root
        && !files.is_empty()
    {
        root.insert(PLACE.to_owned(), Value::Object(files));
    }
    bundling.lost
}

struct Bundling<'a> {
    folder: PathBuf,
    sources: &'a mut SourceMap,
    /// The files known so far → their names in the document; the document itself has none.
    names: IndexMap<PathBuf, String>,
    /// Files that are read, and have to be rewritten.
    queue: VecDeque<(PathBuf, String, Value)>,
    lost: Vec<String>,
}

impl Bundling<'_> {
    /// Leads the references of a file that stands at `place` to where they lead in the whole.
    fn rewrite(&mut self, value: &mut Value, file: &Path, place: &str) {
        match value {
            Value::Array(items) => items.iter_mut().for_each(|item| self.rewrite(item, file, place)),
            Value::Object(members) => {
                for (name, member) in members {
                    match (name.as_str(), member) {
                        ("$ref", Value::String(reference)) => self.lead(reference, file, place),
                        ("discriminator", Value::Object(choice)) => self.rewrite_choice(choice, file, place),
                        (_, member) => self.rewrite(member, file, place),
                    }
                }
            }
            _ => {}
        }
    }

    /// Of a discriminator's targets, names of schemas stay and references are led like others.
    fn rewrite_choice(&mut self, choice: &mut Map<String, Value>, file: &Path, place: &str) {
        let mapping = choice.get_mut("mapping").and_then(Value::as_object_mut);
        for target in mapping.into_iter().flat_map(|mapping| mapping.values_mut()) {
            if let Value::String(reference) = target
                && reference.contains(['#', '/'])
            {
                self.lead(reference, file, place);
            }
        }
    }

    fn lead(&mut self, reference: &mut String, file: &Path, place: &str) {
        let (target, pointer) = reference.split_once('#').unwrap_or((reference, ""));
        if target.is_empty() {
            *reference = format!("#{place}{pointer}");
            return;
        }
        match self.name(target, file) {
            Some(name) if name.is_empty() => *reference = format!("#{pointer}"),
            Some(name) => *reference = format!("#/{PLACE}/{name}{pointer}"),
            None if !self.lost.contains(reference) => self.lost.push(reference.clone()),
            None => {}
        }
    }

    /// The name in the document of a file that `file` refers to; it is read where it is new.
    fn name(&mut self, target: &str, file: &Path) -> Option<String> {
        if target.contains("://") || target.starts_with("//") {
            return None; // on another host: nothing is fetched
        }
        let target = percent_decode_str(target).decode_utf8().ok()?;
        let path = normalize(&file.parent()?.join(target.as_ref()));
        if let Some(name) = self.names.get(&path) {
            return Some(name.clone());
        }
        let kind = path.extension()?.to_str()?.to_ascii_lowercase();
        let within = path.starts_with(&self.folder) && !schema::escapes(&path, &self.folder);
        if !within || self.names.len() > MAX_FILES || !["yaml", "yml", "json"].contains(&kind.as_str()) {
            return None;
        }
        let text = read_text(&path, MAX_FILE_BYTES).ok()?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let mut value = if kind == "json" {
            serde_json::from_str(text).ok()?
        } else {
            let file = self.sources.add(path.display().to_string(), text);
            yaml::parse(file, self.sources).ok()?.to_json()
        };
        take_out_of_json(&mut value);
        let name = self.unique(path.file_stem()?.to_str()?);
        self.names.insert(path.clone(), name.clone());
        self.queue.push_back((path, name.clone(), value));
        Some(name)
    }

    /// A name for a file that needs no escape in a pointer.
    fn unique(&self, stem: &str) -> String {
        let fits = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '-' | '_');
        let stem: String = stem.chars().map(|character| if fits(character) { character } else { '_' }).collect();
        let mut name = stem.clone();
        let mut number = 2;
        while name.is_empty() || self.names.values().any(|known| *known == name) {
            name = format!("{stem}_{number}");
            number += 1;
        }
        name
    }
}
