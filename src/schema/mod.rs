//! JSON Schemas beside the specs: found by relative reference, read once, references inlined, dialect cleaned up.
//!
//! Only local JSON files are read: a reference to another host is refused, and so is one that leads out of the spec's
//! folder, the folders for schemas beside it and those that were named. Must not know what a schema is used for.

pub(crate) mod dialect;
pub(crate) mod inline;
pub(crate) mod parts;
mod pattern;
mod validity;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    path::{Path, PathBuf},
    sync::Arc,
};

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

pub use self::validity::Checker;
use self::{
    dialect::Dialect,
    inline::{Inliner, Problem, Target},
};
use crate::{
    diagnostic::{Code, Diagnostic, FileId, SourceMap, Span},
    shipped,
    spec::{self, Source, Spanned},
};

/// The largest schema file that is read, in bytes.
pub(crate) const MAX_FILE_BYTES: usize = 16 * 1024 * 1024;

/// How many files at least are kept as trees, and of how many bytes. What is dropped is parsed again when it is referred to
/// again: a tree takes ten times the memory of its text, and specs refer to files of their own for the most part.
const KEPT_FILES: usize = 16;
const KEPT_BYTES: usize = 4 * 1024 * 1024;

/// The schema files that were read.
#[derive(Debug, Default)]
pub struct SchemaStore {
    /// `None` for a file that is broken.
    files: BTreeMap<PathBuf, Option<FileId>>,
    /// Those that are kept as trees, the one used last at the end, and the length of their texts.
    trees: VecDeque<(FileId, usize, Arc<Value>)>,
    /// Spec and path that it refers to → the file that is read for it.
    found: HashMap<(PathBuf, PathBuf), PathBuf>,
    folders: Vec<PathBuf>,
    shipped: BTreeSet<PathBuf>,
}

impl SchemaStore {
    /// A store that knows the shipped schemas among `schemas` and looks into the folders among them.
    pub fn new(schemas: &[Source], sources: &mut SourceMap) -> (Self, Vec<Diagnostic>) {
        let mut store = Self::default();
        let mut problems = Vec::new();
        for schema in schemas {
            match schema {
                Source::Shipped { name, text } => {
                    let file = sources.add(*name, *text);
                    let parsed = parse(file, sources).map_err(|problem| problems.push(*problem)).ok();
                    store.files.insert(PathBuf::from(name), parsed.is_some().then_some(file));
                    store.shipped.insert(PathBuf::from(name));
                }
                Source::Path(path) if path.is_dir() => store.folders.extend(absolute(path)),
                Source::Path(path) => {
                    let file = sources.add(path.display().to_string(), "");
                    let message = "no such folder; `--schemas` names a folder of JSON Schema files";
                    problems.push(Diagnostic::error(Code::UnreadableFile, Span::start_of(file), message));
                }
            }
        }
        (store, problems)
    }

    /// The schema a reference of a spec names (`FILE#POINTER`, FILE relative to the spec's own file), with everything
    /// it refers to inlined.
    pub fn resolve(&mut self, reference: &Spanned<String>, sources: &mut SourceMap) -> Result<Value, Box<Diagnostic>> {
        let spec = PathBuf::from(sources.name(reference.span.file));
        let fault = |code, message: String| Box::new(Diagnostic::error(code, reference.span, message));
        let mut find = |base: &Path, reference: &str| self.find(base, reference, &spec, sources);
        let inlined = Inliner::new(&mut find, Dialect::JsonSchema).reference(&spec, &reference.value);
        inlined.map_err(|problem| match problem {
            Problem::Message(message) => fault(Code::UnknownSchema, message),
            Problem::File(diagnostic) => diagnostic,
            Problem::TooLarge => fault(Code::UnknownSchema, inline::too_large()),
        })
    }

    /// Which spec refers to which file, directly or through another one. In no order.
    pub fn uses(&self) -> impl Iterator<Item = (&Path, FileId)> {
        self.found.iter().filter_map(|((spec, _), found)| Some((spec.as_path(), (*self.files.get(found)?)?)))
    }

    /// The place a reference in `base` leads to, and what stands there.
    fn find(
        &mut self,
        base: &Path,
        reference: &str,
        spec: &Path,
        sources: &mut SourceMap,
    ) -> Result<(Target, Value), Problem> {
        let target = self.locate(base, reference).map_err(Problem::Message)?;
        let document = self.tree(&target.path, spec, sources)?;
        let value = document.pointer(&target.pointer).cloned().ok_or_else(|| {
            let known = names_near(&document, &target.pointer);
            Problem::Message(format!("`{}` has nothing at `#{}`{known}", target.path.display(), target.pointer))
        })?;
        if target.pointer.is_empty() && is_library(&value) {
            let names = value.get("$defs").and_then(Value::as_object).into_iter().flat_map(Map::keys);
            let names: Vec<String> = names.take(8).map(|name| format!("`#/$defs/{name}`")).collect();
            return Err(Problem::Message(format!(
                "`{}` as a whole is no schema; name one in it, such as {}",
                target.path.display(),
                names.join(", ")
            )));
        }
        Ok((target, value))
    }

    /// The file and pointer of a reference that stands in `base`.
    fn locate(&self, base: &Path, reference: &str) -> Result<Target, String> {
        let (file, pointer) = reference.split_once('#').unwrap_or((reference, ""));
        if file.contains("://") || file.starts_with("//") {
            return Err(format!("schema `{reference}` is on another host; only local files are read"));
        }
        let pointer = percent_decode_str(pointer).decode_utf8_lossy().into_owned();
        if !pointer.is_empty() && !pointer.starts_with('/') {
            return Err(format!("schema reference `{reference}` must end in a JSON pointer such as `#/$defs/Name`"));
        }
        let path =
            if file.is_empty() { base.to_owned() } else { spec::normalize(&base.parent().unwrap_or(base).join(file)) };
        Ok(Target { path, pointer })
    }

    /// What a file holds, where this spec may read it at all. It is read once.
    fn tree(&mut self, path: &Path, spec: &Path, sources: &mut SourceMap) -> Result<Arc<Value>, Problem> {
        let shown = path.display();
        let found = self.locate_file(path, spec)?;
        let broken = || Problem::Message(format!("schema file `{shown}` is broken"));
        let file = match self.files.get(&found) {
            Some(known) => known.ok_or_else(broken)?,
            None => {
                let text = spec::read_text(&found, MAX_FILE_BYTES)
                    .map_err(|error| Problem::Message(format!("schema file `{shown}` cannot be read: {error}")))?;
                sources.add(shown.to_string(), text)
            }
        };
        if let Some(place) = self.trees.iter().position(|(known, ..)| *known == file)
            && let Some(kept) = self.trees.remove(place)
        {
            let tree = Arc::clone(&kept.2);
            self.trees.push_back(kept);
            return Ok(tree);
        }
        let parsed = parse(file, sources);
        self.files.insert(found, parsed.is_ok().then_some(file));
        let tree = Arc::new(parsed.map_err(Problem::File)?);
        self.trees.push_back((file, sources.text(file).len(), Arc::clone(&tree)));
        while self.trees.len() > KEPT_FILES
            && self.trees.iter().map(|(_, length, _)| length).sum::<usize>() > KEPT_BYTES
        {
            self.trees.pop_front();
        }
        Ok(tree)
    }

    fn locate_file(&mut self, path: &Path, spec: &Path) -> Result<PathBuf, Problem> {
        let key = (spec.to_owned(), path.to_owned());
        if let Some(found) = self.found.get(&key) {
            return Ok(found.clone());
        }
        let is_shipped = self.shipped.contains(path) && spec.starts_with(shipped::ROOT);
        let found = if is_shipped { path.to_owned() } else { self.readable(path, spec)? };
        self.found.insert(key, found.clone());
        Ok(found)
    }

    /// The file to read for a path: itself if it lies within reach of the spec, else the one of its name in a schema
    /// folder. Within reach are the spec's folder, folders beside it that are named for schemas, and what was named.
    fn readable(&self, path: &Path, spec: &Path) -> Result<PathBuf, Problem> {
        let shown = path.display();
        if path.extension().is_none_or(|extension| extension != "json") {
            return Err(Problem::Message(format!("`{shown}` is no JSON file; a schema's name ends in `.json`")));
        }
        let absolute_path = absolute(path).unwrap_or_else(|| path.to_owned());
        let own = absolute(spec).and_then(|spec| spec.parent().map(Path::to_owned));
        let beside = own.as_ref().and_then(|own| own.parent()).and_then(|parent| {
            let first = absolute_path.strip_prefix(parent).ok()?.components().next()?;
            let name = first.as_os_str().to_str()?.to_ascii_lowercase();
            name.contains("schema").then(|| parent.join(first))
        });
        let own = own.filter(|own| own.parent().is_some()); // the root is everybody's
        let mut reach = self.folders.iter().chain(&own).chain(&beside);
        if reach.any(|folder| absolute_path.starts_with(folder) && !escapes(&absolute_path, folder)) {
            if absolute_path.is_file() {
                return Ok(absolute_path);
            }
        } else if absolute_path.is_file() {
            return Err(Problem::Message(format!(
                "`{shown}` is out of reach: a schema must be in the spec's own folder or deeper, in a folder beside it whose \
                 name has `schema` in it, or in one given by `--schemas`"
            )));
        }
        let name = path.file_name().map(Path::new).unwrap_or(path);
        self.folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file()).ok_or_else(|| {
            Problem::Message(format!("no schema file `{shown}`, nor one of its name in a folder given by `--schemas`"))
        })
    }
}

/// How schemas are compiled: draft 2020-12, with patterns that cost little however they are written.
pub(crate) fn validator_options() -> jsonschema::ValidationOptions<'static> {
    const PATTERN_BYTES: usize = 256 * 1024;
    let patterns = jsonschema::PatternOptions::fancy_regex()
        .backtrack_limit(100_000)
        .size_limit(PATTERN_BYTES)
        .dfa_size_limit(PATTERN_BYTES);
    jsonschema::draft202012::options().with_pattern_options(patterns)
}

/// Whether a file holds schemas by name and is none itself.
fn is_library(value: &Value) -> bool {
    value.get("$defs").is_some()
        && !["type", "properties", "$ref", "allOf", "anyOf", "oneOf", "enum", "const"]
            .iter()
            .any(|keyword| value.get(keyword).is_some())
}

fn parse(file: FileId, sources: &SourceMap) -> Result<Value, Box<Diagnostic>> {
    let parsed = serde_json::from_str(&sources.text(file));
    let seen = |mut value: Value| {
        spec::hidden::take_out_of_json(&mut value);
        value
    };
    parsed.map(seen).map_err(|error| {
        let start = sources.offset(file, error.line().max(1), error.column().max(1));
        let message = error.to_string();
        let message = message.split(" at line ").next().unwrap_or_default();
        let message = format!("not well-formed JSON: {message}");
        // What is not JSON may be a file of another kind, with anything in it.
        Box::new(Diagnostic::error(Code::InvalidSyntax, Span { file, start, end: start }, message).with_source_hidden())
    })
}

/// The names beside a pointer's last step, for the message that it leads nowhere.
fn names_near(document: &Value, pointer: &str) -> String {
    let Some((parent, last)) = pointer.rsplit_once('/') else { return String::new() };
    let Some(Value::Object(members)) = document.pointer(parent) else { return String::new() };
    match crate::nearest::nearest(last, members.keys().map(String::as_str)) {
        Some(name) => format!("; did you mean `#{parent}/{name}`?"),
        None => String::new(),
    }
}

/// Whether a symbolic link leads a path out of a folder it seems to lie in.
pub(crate) fn escapes(path: &Path, folder: &Path) -> bool {
    match (path.canonicalize(), folder.canonicalize()) {
        (Ok(path), Ok(folder)) => !path.starts_with(folder),
        _ => false,
    }
}

pub(crate) fn absolute(path: &Path) -> Option<PathBuf> {
    std::path::absolute(path).ok().map(|path| spec::normalize(&path))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SPEC: &str = "<shipped>/capabilities/spec.yaml";

    fn resolve(files: &[(&'static str, &'static str)], reference: &str) -> Result<Value, Box<Diagnostic>> {
        let mut sources = SourceMap::default();
        let shipped: Vec<_> = files.iter().map(|(name, text)| Source::Shipped { name, text }).collect();
        let (mut store, problems) = SchemaStore::new(&shipped, &mut sources);
        assert_eq!(problems, []);
        let file = sources.add(SPEC, "");
        store.resolve(&Spanned::new(reference.to_owned(), Span::start_of(file)), &mut sources)
    }

    #[test]
    fn references_are_inlined_across_files_and_openapi_nullable_becomes_a_type() {
        let files = [
            (
                "<shipped>/schemas/a.json",
                r##"{"$defs": {"A": {"type": "object", "properties": {
                "b": {"$ref": "b.json#/$defs/B", "description": "own words"},
                "$ref": {"type": "string"},
                "n": {"type": "integer", "nullable": true},
                "e": {"enum": ["x"], "nullable": true}}}}}"##,
            ),
            ("<shipped>/schemas/b.json", r#"{"$defs": {"B": {"type": "string", "description": "theirs"}}}"#),
        ];
        let schema = resolve(&files, "../schemas/a.json#/$defs/A").expect("resolves");
        assert_eq!(
            schema,
            json!({"type": "object", "properties": {
            "b": {"type": "string", "description": "own words"},
            "$ref": {"type": "string"},
            "n": {"type": ["integer", "null"]},
            "e": {"enum": ["x", null]}}})
        );
    }

    #[test]
    fn plain_objects_in_all_of_become_one() {
        let files = [(
            "<shipped>/schemas/a.json",
            r##"{"$defs": {
            "Base": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false},
            "Both": {"allOf": [{"$ref": "#/$defs/Base"}, {"properties": {"b": {}}}], "properties": {"c": {}}, "required": ["c", "a"]},
            "Choice": {"allOf": [{"anyOf": [{"type": "string"}]}, {"minLength": 1}]}}}"##,
        )];
        assert_eq!(
            resolve(&files, "../schemas/a.json#/$defs/Both").expect("resolves"),
            json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {}, "c": {}}, "required": ["a", "c"]})
        );
        let choice = resolve(&files, "../schemas/a.json#/$defs/Choice").expect("resolves");
        assert_eq!(choice, json!({"allOf": [{"anyOf": [{"type": "string"}]}, {"minLength": 1}]}));
    }

    #[test]
    fn a_cycle_is_cut_to_any_value() {
        let files = [("<shipped>/schemas/a.json", r##"{"type": "object", "properties": {"next": {"$ref": "#"}}}"##)];
        let schema = resolve(&files, "../schemas/a.json").expect("resolves");
        assert_eq!(schema.pointer("/properties/next/properties/next"), Some(&json!({})));
    }

    #[test]
    fn files_beyond_those_kept_are_parsed_again_and_read_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let count = KEPT_FILES + 4;
        for number in 0..count {
            let text = json!({"$defs": {"A": {"type": "string", "maxLength": number}, "filler": "x".repeat(KEPT_BYTES / KEPT_FILES)}});
            std::fs::write(folder.path().join(format!("{number}.json")), text.to_string()).expect("written");
        }
        let mut sources = SourceMap::default();
        let (mut store, _) = SchemaStore::new(&[], &mut sources);
        let file = sources.add(folder.path().join("spec.yaml").display().to_string(), "");
        for number in (0..count).chain(0..count) {
            let reference = Spanned::new(format!("{number}.json#/$defs/A"), Span::start_of(file));
            let schema = store.resolve(&reference, &mut sources).expect("resolves");
            assert_eq!(schema["maxLength"], number);
            assert!(store.trees.len() <= KEPT_FILES);
        }
        assert_eq!(sources.files().count(), count + 1);
    }

    #[test]
    fn references_that_lead_nowhere_are_explained() {
        let files = [(
            "<shipped>/schemas/a.json",
            r##"{"$defs": {"Secret": {}, "Remote": {"$ref": "https://example.test/x"}}}"##,
        )];
        for (reference, expected) in [
            ("../schemas/a.json#/$defs/Secert", "did you mean `#/$defs/Secret`?"),
            ("../schemas/missing.json", "no schema file `<shipped>/schemas/missing.json`"),
            ("https://example.test/a.json", "on another host"),
            ("../schemas/a.json#/$defs/Remote", "on another host"),
            ("../../../../../../../../../../etc/passwd", "no JSON file"),
            ("../schemas/a.json#Secret", "JSON pointer"),
        ] {
            let problem = resolve(&files, reference).expect_err(reference);
            assert_eq!(problem.code, Code::UnknownSchema);
            assert!(problem.message.contains(expected), "{reference}: {}", problem.message);
        }
    }

    #[test]
    fn a_schema_that_explodes_is_refused() {
        let mut defs = Map::new();
        defs.insert("d0".to_owned(), json!({"type": "string"}));
        for level in 1..20 {
            let reference = json!({"$ref": format!("#/d{}", level - 1)});
            defs.insert(format!("d{level}"), json!({"anyOf": vec![reference; 8]}));
        }
        let text: &'static str = Value::Object(defs).to_string().leak();
        let problem = resolve(&[("<shipped>/schemas/a.json", text)], "../schemas/a.json#/d19").expect_err("too large");
        assert!(problem.message.contains("too large"), "{}", problem.message);
    }
}
