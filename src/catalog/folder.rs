//! A folder of files that a spec offers as resources: which files it holds, found when the catalog is compiled, and what
//! each is by its name. No file is read here.
//!
//! Only a file that was found can be asked for, by the path it was found under: no name in a request becomes a path.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    diagnostic::{Code, Diagnostic, SourceMap},
    media_type,
    prose::invisible::visible,
    spec::{self, Spanned},
};

/// How many files a folder may offer.
pub const MAX_FILES: usize = 1_000;
/// How many entries are looked at to find them.
const MAX_ENTRIES: usize = 20_000;
/// How deep folders are searched.
const MAX_DEPTH: usize = 16;

/// A folder with the files it offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder {
    /// The folder, an absolute path without links.
    pub root: PathBuf,
    /// The files below it, by their path with `/` between its segments, and their media types where the name tells.
    pub files: BTreeMap<String, Option<String>>,
    /// Itself and every folder below it that was looked into.
    pub folders: BTreeSet<PathBuf>,
}

/// What a spec may not offer, and how far it may reach.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach<'a> {
    /// The folders that the operator named.
    pub(super) named: &'a [PathBuf],
    /// Files that hold variables, without links.
    pub(super) withheld: &'a BTreeSet<PathBuf>,
}

/// What was left out of a folder.
#[derive(Debug, Default)]
struct LeftOut {
    /// A file or folder whose name cannot stand in a URI, and how many of them there are.
    unfit: Option<(String, usize)>,
    /// Whether there were more files or entries than may be.
    cut: bool,
}

impl Folder {
    /// Finds the files of the folder that a `location` names. `stated` is their media type where the name does not tell.
    pub(super) fn lower(
        location: &Spanned<String>,
        stated: Option<&str>,
        reach: Reach<'_>,
        sources: &SourceMap,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<Self> {
        let Spanned { value, span } = location;
        let is_folder = |root: PathBuf| if root.is_dir() { Ok(root) } else { Err("it is no folder".to_owned()) };
        let root = match place(location, reach, sources).and_then(is_folder) {
            Ok(root) => root,
            Err(problem) => {
                let message = format!("`{value}` cannot be offered: {problem}");
                problems.push(Diagnostic::error(Code::UnusableLocation, *span, message));
                return None;
            }
        };
        let mut folder = Self { root: root.clone(), files: BTreeMap::new(), folders: BTreeSet::new() };
        let mut search = Search { folder: &mut folder, stated, reach, entries: 0, left_out: LeftOut::default() };
        if let Err(error) = search.look_into(&root, "", 0) {
            let message = format!("`{value}` cannot be offered: {}", spec::cannot_read(&error));
            problems.push(Diagnostic::error(Code::UnusableLocation, *span, message));
            return None;
        }
        let LeftOut { unfit, cut } = search.left_out;
        let mut warn = |message: String| problems.push(Diagnostic::warning(Code::UnusableLocation, *span, message));
        if let Some((first, count)) = unfit {
            let more = if count > 1 { format!(" and {} more", count - 1) } else { String::new() };
            warn(format!(
                "`{value}` holds `{first}`{more}, which no URI can name as it is: names are made of letters, digits, `.`, \
                 `_` and `-`"
            ));
        }
        if cut {
            warn(format!(
                "`{value}` holds more than {MAX_FILES} files or is deeper than {MAX_DEPTH} folders; the rest is left out"
            ));
        }
        if folder.files.is_empty() {
            warn(format!("`{value}` holds no file to offer"));
        }
        Some(folder)
    }

    /// The file of this path, where it is one of those that were found.
    pub fn file(&self, path: &str) -> Option<(&str, Option<&str>)> {
        self.files.get_key_value(path).map(|(path, media_type)| (path.as_str(), media_type.as_deref()))
    }
}

/// The text of a file that a `location` names, for what is a text as a whole.
pub(super) fn text_of(
    location: &Spanned<String>,
    limit: usize,
    reach: Reach<'_>,
    sources: &mut SourceMap,
) -> Result<String, String> {
    let path = place(location, reach, sources)?;
    let text = spec::read_text(&path, limit).map_err(|error| spec::cannot_read(&error))?;
    // A reload looks at the files that were read, under the names they were asked for.
    sources.add(path.display().to_string(), text.as_str());
    Ok(visible(&text).into_owned())
}

/// Where a location leads, without links. Error: why it may not be read, to follow its text.
fn place(location: &Spanned<String>, reach: Reach<'_>, sources: &SourceMap) -> Result<PathBuf, String> {
    let spec = Path::new(sources.name(location.span.file));
    let path = spec::folder_of(spec).join(spec::path_of(&location.value)?);
    let real = path.canonicalize().map_err(|error| spec::cannot_read(&error))?;
    if !spec::is_within(&real, spec, reach.named) {
        return Err(
            "it is out of reach and must lie in the spec's own folder, in one beside that, or in one given by \
                    `--capabilities`"
                .to_owned(),
        );
    }
    if reach.withheld.contains(&real) {
        return Err("it holds variables, which are not for clients".to_owned());
    }
    if spec::is_hidden(&real, &spec::folder_of(spec).canonicalize().unwrap_or_default(), reach.named) {
        return Err(
            "its name, or that of a folder it lies in, starts with a dot; such files are for programs".to_owned()
        );
    }
    Ok(real)
}

struct Search<'a> {
    folder: &'a mut Folder,
    stated: Option<&'a str>,
    reach: Reach<'a>,
    entries: usize,
    left_out: LeftOut,
}

impl Search<'_> {
    /// Takes in what a folder holds, in the order of the names.
    fn look_into(&mut self, real: &Path, prefix: &str, depth: usize) -> io::Result<()> {
        // Once each: links may lead round in a circle.
        if !self.folder.folders.insert(real.to_owned()) {
            return Ok(());
        }
        let mut entries = fs::read_dir(real)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            self.entries += 1;
            if self.entries > MAX_ENTRIES || self.folder.files.len() >= MAX_FILES {
                self.left_out.cut = true;
                return Ok(());
            }
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with('.') {
                continue; // such files are for programs, and often hold what is nobody's business
            }
            let Ok(real) = entry.path().canonicalize() else { continue };
            if !real.starts_with(&self.folder.root) || self.reach.withheld.contains(&real) {
                continue;
            }
            // A link with an ordinary name may lead to what is hidden.
            if spec::is_hidden(&real, &self.folder.root, &[]) {
                continue;
            }
            let Ok(metadata) = fs::metadata(&real) else { continue };
            if !metadata.is_dir() && !metadata.is_file() {
                continue;
            }
            if !is_segment(&name) {
                let (_, count) = self.left_out.unfit.get_or_insert_with(|| (format!("{prefix}{name}"), 0));
                *count += 1;
                continue;
            }
            let path = format!("{prefix}{name}");
            if metadata.is_file() {
                let media_type = media_type_of(&name).or(self.stated).map(str::to_owned);
                self.folder.files.insert(path, media_type);
            } else if depth >= MAX_DEPTH {
                self.left_out.cut = true;
            } else if self.look_into(&real, &format!("{path}/"), depth + 1).is_err() {
                continue; // one folder that may not be read leaves the others
            }
        }
        Ok(())
    }
}

/// Whether a name can stand in a URI as it is.
fn is_segment(name: &str) -> bool {
    let fits = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-');
    !name.is_empty() && name != "." && name != ".." && name.chars().all(fits)
}

/// The media type that the ending of a file's name stands for (IANA's registry; common practice for source texts).
fn media_type_of(name: &str) -> Option<&'static str> {
    let (_, ending) = name.rsplit_once('.')?;
    Some(match ending.to_ascii_lowercase().as_str() {
        "md" | "markdown" => "text/markdown",
        "txt" | "text" | "log" => "text/plain",
        "html" | "htm" => "text/html",
        "css" => "text/css",
        "csv" => "text/csv",
        "tsv" => "text/tab-separated-values",
        "json" => "application/json",
        "jsonl" | "ndjson" => "application/x-ndjson",
        "yaml" | "yml" => "application/yaml",
        "toml" => "application/toml",
        "xml" => "application/xml",
        "js" | "mjs" => "text/javascript",
        "sql" => "application/sql",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "ico" => "image/vnd.microsoft.icon",
        "mp3" => "audio/mpeg",
        "wav" => "audio/wav",
        "ogg" => "audio/ogg",
        "mp4" => "video/mp4",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "gz" => "application/gzip",
        "wasm" => "application/wasm",
        _ => return None,
    })
}

/// Whether what has this media type is text.
pub fn is_text(media_type: &str) -> bool {
    let essence = media_type::essence(media_type);
    let words = ["yaml", "toml", "sql", "javascript", "x-ndjson", "x-www-form-urlencoded"];
    essence.starts_with("text/")
        || media_type::is_json(media_type)
        || media_type::is_xml(media_type)
        || essence.ends_with("+yaml")
        || essence.strip_prefix("application/").is_some_and(|kind| words.contains(&kind))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::diagnostic::Span;

    struct Scene {
        _folder: tempfile::TempDir,
        root: PathBuf,
        sources: SourceMap,
    }

    fn scene() -> Scene {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path().canonicalize().expect("it is there");
        fs::create_dir_all(root.join("specs/docs/deeper/.git")).expect("made");
        fs::create_dir_all(root.join(".ssh")).expect("made");
        for (path, text) in [
            ("specs/docs/guide.md", "# Guide"),
            ("specs/docs/deeper/data.json", "{}"),
            ("specs/docs/deeper/.env", "canary"),
            ("specs/docs/deeper/.git/config", "canary"),
            ("specs/docs/a b.txt", "unfit"),
            ("specs/docs/secrets.json", "canary"),
            ("specs/docs/notes", "no ending"),
            (".ssh/key", "canary"),
            ("specs/.env", "canary"),
            ("specs/spec.yaml", ""),
            ("outside.txt", "canary"),
        ] {
            fs::write(root.join(path), text).expect("written");
        }
        let mut sources = SourceMap::default();
        sources.add(root.join("specs/spec.yaml").display().to_string(), "");
        Scene { _folder: folder, root, sources }
    }

    fn lower(scene: &Scene, location: &str, withheld: &[&str]) -> (Option<Folder>, Vec<Diagnostic>) {
        let mut sources = SourceMap::default();
        let file = sources.add("", "");
        let location = Spanned::new(location.to_owned(), Span::start_of(file));
        let withheld = withheld.iter().map(|path| scene.root.join(path)).collect();
        let mut problems = Vec::new();
        let reach = Reach { named: &[], withheld: &withheld };
        (Folder::lower(&location, None, reach, &scene.sources, &mut problems), problems)
    }

    #[test]
    fn files_are_found_that_may_be() {
        let scene = scene();
        #[cfg(unix)]
        {
            use std::os::unix::fs::symlink;
            symlink(scene.root.join("outside.txt"), scene.root.join("specs/docs/link.txt")).expect("made");
            symlink(scene.root.join("specs/docs/guide.md"), scene.root.join("specs/docs/same.md")).expect("made");
            symlink(scene.root.join("specs/docs"), scene.root.join("specs/docs/deeper/round")).expect("made");
            symlink(&scene.root, scene.root.join("specs/docs/up")).expect("made");
            symlink(scene.root.join("specs/docs/deeper/.env"), scene.root.join("specs/docs/shown")).expect("made");
            symlink(scene.root.join("specs/docs/deeper/.git"), scene.root.join("specs/docs/shown-folder"))
                .expect("made");
        }
        let (folder, problems) = lower(&scene, "file:///./docs", &["specs/docs/secrets.json"]);
        let folder = folder.expect("a folder");
        let files: Vec<(&str, Option<&str>)> =
            folder.files.iter().map(|(path, kind)| (path.as_str(), kind.as_deref())).collect();
        let mut expected =
            vec![("deeper/data.json", Some("application/json")), ("guide.md", Some("text/markdown")), ("notes", None)];
        if cfg!(unix) {
            expected.push(("same.md", Some("text/markdown")));
        }
        assert_eq!(files, expected);
        let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
        assert!(matches!(messages.as_slice(), [one] if one.contains("`a b.txt`")), "{messages:?}");
    }

    #[test]
    fn hidden_files_are_no_texts_unless_the_operator_named_their_folder() {
        let mut scene = scene();
        let file = scene.sources.add(scene.root.join("specs/spec.yaml").display().to_string(), "");
        let withheld = BTreeSet::new();
        let mut text = |location: &str, named: &[PathBuf]| {
            let location = Spanned::new(location.to_owned(), Span::start_of(file));
            text_of(&location, 100, Reach { named, withheld: &withheld }, &mut scene.sources)
        };
        for location in ["file:///./.env", "file:///./../.ssh/key"] {
            let problem = text(location, &[]).expect_err(location);
            assert!(problem.contains("starts with a dot"), "{problem}");
        }
        assert_eq!(text("file:///./../.ssh/key", &[scene.root.join(".ssh")]).as_deref(), Ok("canary"));
    }

    #[test]
    fn a_location_stays_within_reach() {
        let scene = scene();
        let elsewhere = tempfile::tempdir().expect("a folder");
        let absolute = format!("file://{}", scene.root.join("specs/docs").display());
        for (location, part) in [
            ("file:///./docs", None),
            (absolute.as_str(), None),
            ("docs/deeper", None),
            ("file:///./nowhere", Some("no such file")),
            ("file:///../", Some("out of reach")),
            ("file:///./../.ssh", Some("starts with a dot")),
            ("file:///./docs/deeper/.git", Some("starts with a dot")),
            ("file:///./docs/guide.md", Some("no folder")),
            (elsewhere.path().to_str().expect("text"), Some("out of reach")),
            ("file:///", Some("out of reach")),
            ("file://", Some("names no file")),
        ] {
            let (folder, problems) = lower(&scene, location, &[]);
            assert_eq!(folder.is_some(), part.is_none(), "{location}: {problems:?}");
            if let Some(part) = part {
                assert!(problems.iter().any(|problem| problem.message.contains(part)), "{location}: {problems:?}");
            }
        }
    }

    #[test]
    fn texts_are_told_from_bytes() {
        for text in ["text/plain; charset=utf-8", "application/json", "image/svg+xml", "application/yaml", "Text/HTML"]
        {
            assert!(is_text(text), "{text}");
        }
        for bytes in ["image/png", "application/octet-stream", "application/pdf", ""] {
            assert!(!is_text(bytes), "{bytes}");
        }
    }

    proptest! {
        #[test]
        fn no_path_leads_out_of_the_folder(path in "[a-z./\\\\%2eEfF]{0,24}|\\PC{0,24}|(\\.\\./){0,4}outside\\.txt") {
            let folder = Folder {
                root: PathBuf::from("/docs"),
                files: ["guide.md", "deeper/data.json"].map(|path| (path.to_owned(), None)).into(),
                folders: BTreeSet::new(),
            };
            let found = folder.file(&path).map(|(path, _)| path);
            prop_assert!(found.is_none() || matches!(path.as_str(), "guide.md" | "deeper/data.json"));
        }

        #[test]
        fn a_segment_is_no_path(name in "[a-zA-Z0-9._-]{0,6}|\\PC{0,8}") {
            if is_segment(&name) {
                let joined = Path::new("/docs").join(&name);
                prop_assert_eq!(joined.parent(), Some(Path::new("/docs")));
                prop_assert!(joined.components().count() == 3);
            }
        }
    }
}
