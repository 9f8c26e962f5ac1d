//! Imports: a section of one file used by another. Files are found, their namespaces copied and renamed.
//!
//! Must not know what the sections are for. An import inside the imported file is not followed.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use super::{
    Document, Workspace,
    document::{Draft, Found},
    reach,
    reader::{Fields, Spanned},
    yaml::Node,
};
use crate::{
    diagnostic::{Code, Diagnostic, FileId, Severity, SourceMap, Span},
    shipped,
};

/// How many bytes of files may be imported, each as often as it is: every import makes a copy.
const MAX_IMPORTED_BYTES: usize = 32 * 1024 * 1024;

/// The sections that may be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// Variables.
    Binds,
    /// Services.
    Consumes,
    /// Flows.
    Aggregates,
    /// Servers.
    Exposes,
}

/// One namespace of another file.
#[derive(Clone, Debug)]
pub(super) struct Import {
    section: Section,
    /// The file, relative to the importing one.
    from: Spanned<String>,
    /// The namespace; the only one of the file where it is not named.
    namespace: Option<Spanned<String>>,
    /// Its name here.
    alias: Option<Spanned<String>>,
    span: Span,
}

/// A file with its draft, on the way to a workspace.
pub(super) struct Loaded {
    /// Where it was read from.
    pub(super) path: PathBuf,
    /// What it holds.
    pub(super) draft: Draft,
    /// Whether somebody named it.
    pub(super) found: Found,
}

/// Reads an entry of a section if it is an import; `Some(None)` where it is one with an error.
pub(super) fn read(section: Section, node: &Node, problems: &mut Vec<Diagnostic>) -> Option<Option<Import>> {
    // `location` has another meaning in `binds`, and `from` none in any entry of its own.
    let old = node.get("location").is_some() && section != Section::Binds;
    if node.get("from").is_none() && node.get("import").is_none() && !old {
        return None;
    }
    let Some(mut fields) = Fields::of(node, "an import", problems) else { return Some(None) };
    let span = fields.span();
    let from = fields.text(&["from", "location"], problems);
    let import = fields.text(&["import"], problems);
    let alias = fields.text(&["as"], problems);
    fields.skip(&["description", "type"]);
    fields.finish(problems);
    let is_file = |text: &str| [".yml", ".yaml", ".json"].iter().any(|ending| text.ends_with(ending));
    let (from, namespace) = match (from, import) {
        (Some(from), namespace) => (from, namespace),
        // `import: FILE` instead of a namespace is a common slip with one meaning.
        (None, Some(file)) if is_file(&file.value) => {
            let message = "the file of an import is named by `from`, its namespace by `import`";
            problems.push(Diagnostic::note(Code::InvalidImport, file.span, message));
            (file, None)
        }
        (None, _) => {
            let message = "an import needs `from`, the file to import from";
            problems.push(Diagnostic::error(Code::MissingField, span, message));
            return Some(None);
        }
    };
    Some(Some(Import { section, from, namespace, alias, span }))
}

/// Resolves the imports of all files. A file that others import is theirs: what it holds is not offered twice.
pub(super) fn resolve(
    loaded: Vec<Loaded>,
    roots: &[PathBuf],
    sources: &mut SourceMap,
    problems: &mut Vec<Diagnostic>,
) -> Workspace {
    let paths = if loaded.iter().any(|loaded| !loaded.draft.imports.is_empty()) {
        loaded.iter().enumerate().map(|(index, loaded)| (real_path(&loaded.path), index)).collect()
    } else {
        BTreeMap::new()
    };
    let mut resolver = Resolver {
        loaded: &loaded,
        paths,
        roots,
        others: Vec::new(),
        imported: BTreeSet::new(),
        left: MAX_IMPORTED_BYTES,
        sources,
        problems: &mut *problems,
    };
    // Most documents import nothing, and stay what they are.
    let mut completed: Vec<Option<Document>> = Vec::new();
    for Loaded { path, draft, found: _ } in &loaded {
        if draft.imports.is_empty() {
            completed.push(None);
            continue;
        }
        let mut document = draft.document.clone();
        for import in &draft.imports {
            if let Err(problem) = resolver.import(import, path, &mut document) {
                resolver.problems.push(*problem);
                document.missing.extend(import.alias.clone().or_else(|| import.namespace.clone()));
            }
        }
        completed.push(Some(document));
    }
    let Resolver { imported, .. } = resolver;
    for Draft { document, imports } in loaded.iter().map(|loaded| &loaded.draft) {
        if document.standalone && imported.contains(&document.file) {
            let message = "this file is imported itself, so its own imports are not followed";
            let note = |import: &Import| {
                Diagnostic::note(Code::InvalidImport, import.from.span, message).with_help("import it where it is used")
            };
            problems.extend(imports.iter().map(note));
        }
    }
    let by_name = loaded.iter().filter(|loaded| loaded.found == Found::ByName);
    let by_name: BTreeSet<FileId> = by_name.map(|loaded| loaded.draft.document.file).collect();
    let files = loaded.iter().map(|loaded| loaded.draft.document.file).collect();
    let completed = loaded.into_iter().zip(completed);
    let mut documents: Vec<Document> =
        completed.map(|(loaded, completed)| completed.unwrap_or(loaded.draft.document)).collect();
    documents.retain(|document| !(document.standalone && imported.contains(&document.file)));
    for document in documents.iter_mut().filter(|document| document.standalone && document.consumes.is_empty()) {
        let names =
            document.servers.iter().flat_map(|server| &server.tools).map(|tool| format!("`{}`", tool.name.value));
        let names: Vec<String> = names.collect();
        let message = match names.as_slice() {
            [] => "no loaded spec imports this file, and alone it offers nothing".to_owned(),
            names => format!(
                "no loaded spec imports this file, so what its tools call is not known: {} are not offered",
                names.join(", ")
            ),
        };
        let note = Diagnostic::note(Code::UnusedFile, Span::start_of(document.file), message).with_source_hidden();
        // In a folder such files are at home. Whoever names one alone expects something of it.
        let severity = if by_name.contains(&document.file) { Severity::Warning } else { Severity::Note };
        problems.push(
            Diagnostic { severity, ..note }.with_help("a spec of its own has `capability`, with `consumes` in it"),
        );
        document.servers.clear(); // their calls lead nowhere without the importing file
    }
    Workspace { documents, files, folders: roots.to_vec() }
}

struct Resolver<'a> {
    loaded: &'a [Loaded],
    /// Where each of them is, whatever name it was read by.
    paths: BTreeMap<PathBuf, usize>,
    /// The folders that were named: everything in them may be imported.
    roots: &'a [PathBuf],
    /// Files that are read for an import alone; `None` where they cannot be.
    others: Vec<(PathBuf, Option<Document>)>,
    imported: BTreeSet<FileId>,
    /// How many bytes of text may still be imported.
    left: usize,
    sources: &'a mut SourceMap,
    problems: &'a mut Vec<Diagnostic>,
}

impl Resolver<'_> {
    fn import(&mut self, import: &Import, importer: &Path, document: &mut Document) -> Result<(), Box<Diagnostic>> {
        let Import { section, from, namespace, alias, span } = import;
        let fault = |message: String| Box::new(Diagnostic::error(Code::InvalidImport, from.span, message));
        if from.value.contains("://") && !from.value.starts_with("file://") {
            return Err(fault(format!("`{}` is on another host; only local files are imported", from.value)));
        }
        let path =
            super::normalize(&importer.parent().unwrap_or(importer).join(from.value.trim_start_matches("file://")));
        if path == *importer {
            return Err(fault("a file cannot import from itself".to_owned()));
        }
        let file = self.document(&path, importer, from)?.file;
        let size = self.sources.text(file).len();
        self.left = self.left.checked_sub(size).ok_or_else(|| {
            let message = format!(
                "all imports together copy more than {} MiB of text; this one is left out",
                MAX_IMPORTED_BYTES / (1024 * 1024)
            );
            Box::new(fault(message).with_help("import each part once, from files that hold no more than is needed"))
        })?;
        let source = self.document(&path, importer, from)?;
        let known: Vec<&str> = match section {
            Section::Binds => source.binds.iter().map(|bind| bind.namespace.value.as_str()).collect(),
            Section::Consumes => source.consumes.iter().map(|consumes| consumes.namespace.value.as_str()).collect(),
            Section::Aggregates => source.aggregates.iter().map(|one| one.namespace.value.as_str()).collect(),
            Section::Exposes => {
                source.servers.iter().filter_map(|server| Some(server.namespace.as_ref()?.value.as_str())).collect()
            }
        };
        let wanted = match (namespace, known.as_slice()) {
            (Some(namespace), known) if known.contains(&namespace.value.as_str()) => namespace.value.clone(),
            (None, [only]) => (*only).to_owned(),
            (None, known) if alias.as_ref().is_some_and(|alias| known.contains(&alias.value.as_str())) => {
                alias.as_ref().map(|alias| alias.value.clone()).unwrap_or_default()
            }
            (named, known) => {
                let given = named.as_ref().map_or("", |named| named.value.as_str());
                let list: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
                let list = if list.is_empty() { "none".to_owned() } else { list.join(", ") };
                let what = section.name();
                let message = match given {
                    "" => format!("`import` must name one of the namespaces of `{}`: {list}", from.value),
                    given => format!("`{}` has no `{given}` in its `{what}`; it has {list}", from.value),
                };
                let place = named.as_ref().map_or(*span, |named| named.span);
                let problem = Diagnostic::error(Code::InvalidImport, place, message);
                return Err(Box::new(problem.with_nearest(given, known.iter().copied())));
            }
        };
        let place = namespace.as_ref().map_or(*span, |namespace| namespace.span);
        let name = |own: &Spanned<String>| alias.clone().unwrap_or_else(|| Spanned::new(own.value.clone(), place));
        let is_wanted = |own: &Spanned<String>| own.value == wanted;
        match section {
            Section::Binds => {
                let found = source.binds.iter().filter(|bind| is_wanted(&bind.namespace)).cloned();
                let found = found.map(|mut bind| {
                    bind.namespace = name(&bind.namespace);
                    bind
                });
                document.binds.extend(found);
            }
            Section::Consumes => {
                let found = source.consumes.iter().filter(|consumes| is_wanted(&consumes.namespace)).cloned();
                let found = found.map(|mut consumes| {
                    consumes.namespace = name(&consumes.namespace);
                    consumes
                });
                document.consumes.extend(found);
            }
            Section::Aggregates => {
                let found = source.aggregates.iter().filter(|one| is_wanted(&one.namespace)).cloned();
                let found = found.map(|mut aggregate| {
                    aggregate.imported_as = Some(wanted.clone());
                    aggregate.namespace = name(&aggregate.namespace);
                    aggregate
                });
                document.aggregates.extend(found);
            }
            Section::Exposes => {
                let found = source.servers.iter().filter(|server| server.namespace.as_ref().is_some_and(is_wanted));
                let found = found.cloned().map(|mut server| {
                    server.imported_as = Some(wanted.clone());
                    server.namespace = server.namespace.as_ref().map(name);
                    server
                });
                document.servers.extend(found);
            }
        }
        if *section != Section::Binds {
            document.binds.extend(missing_binds(source, &document.binds));
        }
        let file = source.file;
        self.imported.insert(file);
        Ok(())
    }

    /// The document at a path: a loaded one, else one that is read for this import.
    fn document(&mut self, path: &Path, importer: &Path, from: &Spanned<String>) -> Result<&Document, Box<Diagnostic>> {
        let fault = |message: String| Box::new(Diagnostic::error(Code::InvalidImport, from.span, message));
        if let Some(loaded) = self.paths.get(&real_path(path)).and_then(|index| self.loaded.get(*index)) {
            return Ok(&loaded.draft.document);
        }
        if !self.others.iter().any(|(known, _)| known == path) {
            self.check_reach(path, importer).map_err(fault)?;
            let text = super::read_text(path, super::yaml::MAX_FILE_BYTES)
                .map_err(|error| fault(format!("`{}` {}", from.value, super::cannot_read(&error))))?;
            let text = super::Text::new(path.to_owned(), &text, Found::ByName, self.sources);
            let (draft, mut found) = text.read(self.sources);
            // A text that is no capability spec is nobody's concern.
            if draft.is_none() {
                for problem in &mut found {
                    problem.source = crate::diagnostic::Source::Hidden;
                }
            }
            self.problems.extend(found);
            self.others.push((path.to_owned(), draft.map(|draft| draft.document)));
        }
        let found = self.others.iter().find(|(known, _)| known == path).and_then(|(_, document)| document.as_ref());
        found.ok_or_else(|| fault(format!("`{}` could not be read", from.value)))
    }

    /// Only YAML files near the importing one, or in a folder that was named, are read: specs come from others.
    fn check_reach(&self, path: &Path, importer: &Path) -> Result<(), String> {
        let shown = path.display();
        if importer.starts_with(shipped::ROOT) {
            return Err(format!("no shipped spec `{shown}`"));
        }
        if !path.extension().is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known)) {
            return Err(format!("`{shown}` is no YAML file; its name must end in `.yaml` or `.yml`"));
        }
        let Ok(path) = path.canonicalize() else { return Err(format!("no such file `{shown}`")) };
        if reach::is_within(&path, importer, self.roots) {
            return Ok(());
        }
        Err(format!(
            "`{shown}` is out of reach: an imported file must be below the folder that holds the spec's own, or in one \
             given by `--capabilities`"
        ))
    }
}

impl Section {
    fn name(self) -> &'static str {
        match self {
            Self::Binds => "binds",
            Self::Consumes => "consumes",
            Self::Aggregates => "aggregates",
            Self::Exposes => "exposes",
        }
    }
}

/// The variables of an imported file that the importing one does not have: what is imported needs them.
fn missing_binds(source: &Document, own: &[super::Bind]) -> Vec<super::Bind> {
    let known: BTreeSet<&str> = own.iter().map(|bind| bind.namespace.value.as_str()).collect();
    source.binds.iter().filter(|bind| !known.contains(bind.namespace.value.as_str())).cloned().collect()
}

/// The path without symbolic links; shipped files have none.
fn real_path(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
