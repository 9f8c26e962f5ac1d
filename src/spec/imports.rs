//! Imports: a section of one file used by another. Files are found, their namespaces copied and renamed.
//!
//! Must not know what the sections are for. An import inside the imported file is not followed.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use super::{
    Document, Workspace,
    document::{Draft, Found},
    reader::{Fields, Spanned},
    yaml::Node,
};
use crate::{
    diagnostic::{Code, Diagnostic, FileId, SourceMap, Span},
    shipped,
};

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
    let mut resolver = Resolver { loaded: &loaded, roots, others: Vec::new(), imported: BTreeSet::new() };
    // Most documents import nothing, and stay what they are.
    let mut completed: Vec<Option<Document>> = Vec::new();
    for Loaded { path, draft } in &loaded {
        if draft.imports.is_empty() {
            completed.push(None);
            continue;
        }
        let mut document = draft.document.clone();
        for import in &draft.imports {
            if let Err(problem) = resolver.import(import, path, &mut document, sources, problems) {
                problems.push(*problem);
            }
        }
        completed.push(Some(document));
    }
    let Resolver { imported, .. } = resolver;
    let files = loaded.iter().map(|loaded| loaded.draft.document.file).collect();
    let completed = loaded.into_iter().zip(completed);
    let mut documents: Vec<Document> =
        completed.map(|(loaded, completed)| completed.unwrap_or(loaded.draft.document)).collect();
    documents.retain(|document| !(document.standalone && imported.contains(&document.file)));
    for document in documents.iter_mut().filter(|document| document.standalone && document.consumes.is_empty()) {
        let message = "no loaded spec imports this file, and alone it offers nothing";
        problems.push(Diagnostic::note(Code::UnusedFile, Span::start_of(document.file), message).with_source_hidden());
        document.servers.clear(); // their calls lead nowhere without the importing file
    }
    Workspace { documents, files }
}

struct Resolver<'a> {
    loaded: &'a [Loaded],
    /// The folders that were named: everything in them may be imported.
    roots: &'a [PathBuf],
    /// Files that are read for an import alone; `None` where they cannot be.
    others: Vec<(PathBuf, Option<Document>)>,
    imported: BTreeSet<FileId>,
}

impl Resolver<'_> {
    fn import(
        &mut self,
        import: &Import,
        importer: &Path,
        document: &mut Document,
        sources: &mut SourceMap,
        problems: &mut Vec<Diagnostic>,
    ) -> Result<(), Box<Diagnostic>> {
        let Import { section, from, namespace, alias, span } = import;
        let fault = |message: String| Box::new(Diagnostic::error(Code::InvalidImport, from.span, message));
        let path = super::normalize(&importer.parent().unwrap_or(importer).join(from.value.trim_start_matches("file://")));
        if path == *importer {
            return Err(fault("a file cannot import from itself".to_owned()));
        }
        let source = self.document(&path, importer, from, sources, problems)?;
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
        let name = |own: &Spanned<String>| alias.clone().unwrap_or_else(|| Spanned::new(own.value.clone(), *span));
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
                document.binds.extend(missing_binds(source, &document.binds));
            }
            Section::Aggregates => {
                let found = source.aggregates.iter().filter(|one| is_wanted(&one.namespace)).cloned();
                let found = found.map(|mut aggregate| {
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
        let file = source.file;
        self.imported.insert(file);
        Ok(())
    }

    /// The document at a path: a loaded one, else one that is read for this import.
    fn document(
        &mut self,
        path: &Path,
        importer: &Path,
        from: &Spanned<String>,
        sources: &mut SourceMap,
        problems: &mut Vec<Diagnostic>,
    ) -> Result<&Document, Box<Diagnostic>> {
        let fault = |message: String| Box::new(Diagnostic::error(Code::InvalidImport, from.span, message));
        let same = |known: &Path| known == path || (known.exists() && same_file(known, path));
        if let Some(loaded) = self.loaded.iter().find(|loaded| same(&loaded.path)) {
            return Ok(&loaded.draft.document);
        }
        if !self.others.iter().any(|(known, _)| known == path) {
            self.check_reach(path, importer).map_err(fault)?;
            let text = super::read_text(path, super::yaml::MAX_FILE_BYTES)
                .map_err(|error| fault(format!("`{}` {}", from.value, super::cannot_read(&error))))?;
            let text = super::Text::new(path.to_owned(), &text, Found::ByName, sources);
            let (draft, mut found) = text.read(sources);
            // A text that is no capability spec is nobody's concern.
            if draft.is_none() {
                for problem in &mut found {
                    problem.source = crate::diagnostic::Source::Hidden;
                }
            }
            problems.extend(found);
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
        let folder = importer.parent().and_then(|folder| if folder.as_os_str().is_empty() { Path::new(".").canonicalize() } else { folder.canonicalize() }.ok());
        let near = folder.as_deref().and_then(Path::parent).or(folder.as_deref());
        let roots = self.roots.iter().filter_map(|root| root.canonicalize().ok());
        // The root of the file system is everybody's.
        let mut reach = roots.chain(near.map(Path::to_owned)).filter(|folder| folder.parent().is_some());
        if reach.any(|folder| path.starts_with(folder)) {
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

/// The variables of an imported file that the importing one does not have: its services need them.
fn missing_binds(source: &Document, own: &[super::Bind]) -> Vec<super::Bind> {
    let is_known = |bind: &super::Bind| own.iter().any(|known| known.namespace.value == bind.namespace.value);
    source.binds.iter().filter(|bind| !is_known(bind)).cloned().collect()
}

fn same_file(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}
