//! Reading specs and schemas anew when their files change, while the server runs.
//!
//! A second of polling rather than the operating system's events: what is looked at are a few files and folders, network
//! and container mounts report no events, and a look costs one `stat` a file. Only a file whose metadata changed is read,
//! and only other contents make a new catalog. Must not know who uses it.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ffi::{OsStr, OsString},
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::{
    catalog::{Catalog, folder::Folder, join, resource::ResourceSource},
    clock::Clock,
    config::Settings,
    diagnostic::{self, Code, Diagnostic, SourceMap},
    gateway::Gateway,
    lock,
    setup::{Open, Setup, setup_again},
    spec::{Source, spec_paths},
};

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long they must stay as they are before they are read: an editor may write a file in several steps, and several
/// files one after another.
const SETTLE: Duration = Duration::from_millis(300);
/// How often that is waited for: a file that never comes to rest is read as it is.
const MAX_SETTLING: usize = 20;

/// Looks at the files of a running server.
#[derive(Debug)]
pub struct Reload {
    settings: Settings,
    clock: Clock,
    open: Open,
    snapshot: Snapshot,
    /// Of the contents that were read last, good or bad.
    contents: [u8; 32],
    /// What is known to be wrong with the specs that are served.
    known: HashSet<Problem>,
    /// The files of folders that are offered.
    offered: Offered,
}

/// Files that are offered as resources, by their URIs, as they were last seen.
type Offered = BTreeMap<String, (PathBuf, Option<Age>)>;

/// A diagnostic without its place, which moves with every line that is put before it.
type Problem = (Code, String, String);

impl Reload {
    /// Starts to look, where there is any file to look at. `before` was taken before the set-up, so that no change falls
    /// between the two; `open` is what stays open when the catalog is replaced.
    pub fn new(settings: Settings, clock: Clock, set_up: &Setup, before: Snapshot, open: Open) -> Option<Self> {
        let is_file = |source: &Source| matches!(source, Source::Path(_));
        if !settings.specs.iter().chain(&settings.schemas).any(is_file) {
            return None;
        }
        let Setup { gateway, diagnostics, sources, .. } = set_up;
        let snapshot = before.and(watched(&settings, sources, &gateway.catalog));
        let contents = digest(sources, &gateway.catalog, settings.lock.file());
        let known = problems(diagnostics, sources);
        let offered = offered(&gateway.catalog, Offered::new());
        Some(Self { settings, clock, open, snapshot, contents, known, offered })
    }

    /// Hands over a gateway after each change that leaves no new error, and the URIs of files that are offered and hold
    /// something else, until `ended` is cancelled. What is wrong is logged.
    pub async fn run(
        self,
        mut replace: impl FnMut(Gateway),
        mut updated: impl FnMut(&[String]),
        ended: CancellationToken,
    ) {
        let mut this = self;
        loop {
            tokio::select! {
                () = ended.cancelled() => return,
                () = tokio::time::sleep(INTERVAL) => {}
            }
            // On a thread of its own: files may be slow, and specs large.
            let looked = tokio::task::spawn_blocking(move || {
                let gateway = this.look();
                let touched = this.touched();
                (this, gateway, touched)
            });
            let Ok((again, gateway, touched)) = looked.await else {
                tracing::error!("reloading broke down; changes of specs are not seen any more");
                return;
            };
            this = again;
            if let Some(gateway) = gateway {
                replace(gateway);
            }
            if !touched.is_empty() {
                updated(&touched);
            }
        }
    }

    /// Reads everything anew if a file changed. None where nothing is to be replaced.
    fn look(&mut self) -> Option<Gateway> {
        let mut now = self.snapshot.again();
        if now == self.snapshot {
            self.snapshot = now; // folders may have aged
            return None;
        }
        for _ in 0..MAX_SETTLING {
            std::thread::sleep(SETTLE);
            let later = now.again();
            if later == now {
                break;
            }
            now = later;
        }
        self.snapshot = now;
        self.read()
    }

    /// The offered files that are others than when they were last seen.
    fn touched(&mut self) -> Vec<String> {
        let mut touched = Vec::new();
        for (uri, (path, seen)) in &mut self.offered {
            let now = fs::metadata(&*path).ok().map(|metadata| age(&metadata));
            if *seen != now {
                *seen = now;
                touched.push(uri.clone());
            }
        }
        touched
    }

    fn read(&mut self) -> Option<Gateway> {
        let set_up = match setup_again(&self.settings, self.clock, &self.open) {
            Ok(set_up) => set_up,
            Err(error) => {
                tracing::error!(%error, "cannot read the specs anew; the tools stay as they were");
                return None;
            }
        };
        let Setup { gateway, embedded, diagnostics, sources, routes: _, remarks: _, inspected: _ } = set_up;
        self.snapshot = std::mem::take(&mut self.snapshot).and(watched(&self.settings, &sources, &gateway.catalog));
        let contents = digest(&sources, &gateway.catalog, self.settings.lock.file());
        if contents == std::mem::replace(&mut self.contents, contents) {
            return None;
        }
        let is_new = |problem: &Diagnostic| !self.known.contains(&key(problem, &sources));
        let new: Vec<Diagnostic> = diagnostics.iter().filter(|problem| is_new(problem)).cloned().collect();
        diagnostic::log(&new, &sources);
        if diagnostic::has_errors(&new) {
            tracing::error!("the changed specs have errors; the tools stay as they were");
            return None;
        }
        // Half a file may well be a whole one of YAML, and no client can do with nothing.
        if gateway.catalog.is_empty() {
            tracing::error!("the changed specs offer nothing; the tools stay as they were");
            return None;
        }
        if let Some(Err(refused)) = self.settings.lock.file().map(|path| lock::verify(path, &gateway)) {
            tracing::error!("{refused}\nthe tools stay as they were");
            return None;
        }
        self.known = problems(&diagnostics, &sources);
        self.open = Open {
            embedded: embedded.or_else(|| self.open.embedded.take()),
            remote: gateway.backends.remote.clone().or_else(|| self.open.remote.take()),
            vault: gateway.policy.vault().cloned(),
            desk: self.open.desk.take(),
            live: self.open.live.take(),
            audit: gateway.audit.clone(),
        };
        let catalog = &gateway.catalog;
        self.offered = offered(catalog, std::mem::take(&mut self.offered));
        let (tools, resources, prompts) = (catalog.len(), catalog.resources().len(), catalog.prompts().len());
        tracing::info!(tools, resources, prompts, "the specs changed and were read anew");
        Some(gateway)
    }
}

/// Files and folders as they were found.
#[derive(Clone, Debug, Default)]
pub struct Snapshot(BTreeMap<PathBuf, (Kind, Option<Stamp>)>);

/// What counts of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// One that is searched with its folders, for specs or for schemas: JSON and YAML files, and every folder in it.
    Deep,
    /// One in which a schema or an OpenAPI document may yet appear: JSON and YAML files, and folders that are named for
    /// schemas. Other files may come and go in it all the time.
    Flat,
    /// One whose files are offered: everything in it.
    Files,
}

/// What tells a file or folder from the one that was there before.
#[derive(Clone, Debug)]
struct Stamp {
    age: Age,
    /// The entries of a folder that count, sorted.
    entries: Option<Vec<OsString>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Age {
    modified: Option<SystemTime>,
    length: u64,
    /// File number and time of the last change of the metadata: an editor may replace a file by one of the same age.
    #[cfg(unix)]
    node: (u64, i64, i64),
}

impl Snapshot {
    /// Of all that the settings name.
    pub fn of(settings: &Settings) -> Self {
        Self::default().and(named(settings))
    }

    /// The same files and folders as they are now.
    fn again(&self) -> Self {
        let stamps = self.0.iter().map(|(path, (kind, old))| (path.clone(), (*kind, stamp(path, *kind, old.as_ref()))));
        Self(stamps.collect())
    }

    /// These files and folders; those that are known keep the older stamp.
    fn and(mut self, paths: BTreeMap<PathBuf, Kind>) -> Self {
        let stamps = paths.into_iter().map(|(path, kind)| {
            let known = self.0.remove(&path).filter(|(known, _)| *known == kind);
            let stamp = known.map_or_else(|| stamp(&path, kind, None), |(_, stamp)| stamp);
            (path, (kind, stamp))
        });
        Self(stamps.collect())
    }
}

impl PartialEq for Snapshot {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(own, other)| own == other)
    }
}

impl PartialEq for Stamp {
    fn eq(&self, other: &Self) -> bool {
        // A folder is as old as its youngest entry, and that may be one that does not count.
        match (&self.entries, &other.entries) {
            (Some(own), Some(other)) => own == other,
            (None, None) => self.age == other.age,
            _ => false,
        }
    }
}

fn stamp(path: &Path, kind: Kind, old: Option<&Stamp>) -> Option<Stamp> {
    let metadata = fs::metadata(path).ok()?;
    let age = age(&metadata);
    if let Some(old) = old.filter(|old| old.age == age) {
        return Some(old.clone());
    }
    let entries = metadata.is_dir().then(|| {
        let entries = fs::read_dir(path).into_iter().flatten().flatten();
        let counting = entries.filter(|entry| {
            let path = entry.path();
            let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
            match kind {
                Kind::Deep => matches!(extension, "json" | "yaml" | "yml") || path.is_dir(),
                Kind::Flat => matches!(extension, "json" | "yaml" | "yml") || is_named_for_schemas(&path),
                Kind::Files => true,
            }
        });
        let mut names: Vec<OsString> = counting.map(|entry| entry.file_name()).collect();
        names.sort();
        names
    });
    Some(Stamp { age, entries })
}

fn age(metadata: &fs::Metadata) -> Age {
    Age {
        modified: metadata.modified().ok(),
        length: metadata.len(),
        #[cfg(unix)]
        node: {
            use std::os::unix::fs::MetadataExt as _;
            (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
        },
    }
}

/// The files of folders that are offered; those that are known keep how they were last seen.
fn offered(catalog: &Catalog, mut known: Offered) -> Offered {
    let resources = catalog.resources().iter().filter_map(|resource| match &resource.source {
        ResourceSource::Folder(folder) => Some((resource, folder)),
        ResourceSource::Answer(_) => None,
    });
    let files = resources
        .flat_map(|(resource, folder)| folder.files.keys().map(|path| (resource.uri_of(path), folder.root.join(path))));
    let seen = files.map(|(uri, path)| {
        let seen = match known.remove(&uri) {
            Some((before, seen)) if before == path => seen,
            _ => fs::metadata(&path).ok().map(|metadata| age(&metadata)),
        };
        (uri, (path, seen))
    });
    seen.collect()
}

/// The files and folders that the settings name, the specs in them among them.
fn named(settings: &Settings) -> BTreeMap<PathBuf, Kind> {
    let mut paths = BTreeMap::new();
    for source in &settings.schemas {
        if let Source::Path(path) = source {
            paths.extend(join::searched(path).into_iter().map(|path| (path, Kind::Deep)));
        }
    }
    paths.extend(settings.lock.file().map(|path| (path.to_owned(), Kind::Flat)));
    for source in &settings.specs {
        if let Source::Path(path) = source {
            paths.extend(spec_paths(path).into_iter().map(|path| (path, Kind::Deep)));
        }
    }
    paths
}

/// All that a change can be seen at: what the settings name, every file that was read, the folders in which a schema may
/// yet appear that a spec refers to, and those whose files are offered.
fn watched(settings: &Settings, sources: &SourceMap, catalog: &Catalog) -> BTreeMap<PathBuf, Kind> {
    let shipped = settings.specs.iter().chain(&settings.schemas).filter_map(Source::shipped_name);
    let shipped: HashSet<&str> = shipped.collect();
    let mut paths = BTreeMap::new();
    let mut deep = BTreeSet::new();
    for (name, _) in sources.files().filter(|(name, _)| !shipped.contains(name)) {
        let path = Path::new(name);
        paths.insert(path.to_owned(), Kind::Flat);
        let Some(folder) = path.parent() else { continue };
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        if paths.insert(folder.to_owned(), Kind::Flat).is_some() {
            continue;
        }
        let parent = folder.join("..");
        for holder in [folder, &parent] {
            let entries = fs::read_dir(holder).into_iter().flatten().flatten().map(|entry| entry.path());
            deep.extend(entries.filter(|path| is_named_for_schemas(path)));
        }
        paths.insert(parent, Kind::Flat);
    }
    paths.extend(deep.iter().flat_map(|folder| join::searched(folder)).map(|path| (path, Kind::Deep)));
    paths.extend(named(settings));
    // Last, since such a folder may be one of specs as well, where less counts.
    paths.extend(folders(catalog).flat_map(|folder| &folder.folders).map(|path| (path.clone(), Kind::Files)));
    paths
}

/// The folders whose files are offered.
fn folders(catalog: &Catalog) -> impl Iterator<Item = &Folder> {
    catalog.resources().iter().filter_map(|resource| match &resource.source {
        ResourceSource::Folder(folder) => Some(folder),
        ResourceSource::Answer(_) => None,
    })
}

fn is_named_for_schemas(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    join::is_named_for_schemas(name) && path.is_dir()
}

/// Of all texts that were read, of the lock file, and of the names of files that are offered: those are read each time one is
/// asked for.
fn digest(sources: &SourceMap, catalog: &Catalog, lock: Option<&Path>) -> [u8; 32] {
    let mut digest = Sha256::new();
    for (name, text) in sources.files() {
        for part in [name, text] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
    }
    for path in folders(catalog).flat_map(|folder| folder.files.keys()) {
        digest.update((path.len() as u64).to_le_bytes());
        digest.update(path);
    }
    // One that cannot be read is said by whoever reads it.
    digest.update(lock.and_then(|path| fs::read(path).ok()).unwrap_or_default());
    digest.finalize().into()
}

fn problems(diagnostics: &[Diagnostic], sources: &SourceMap) -> HashSet<Problem> {
    diagnostics.iter().map(|diagnostic| key(diagnostic, sources)).collect()
}

fn key(diagnostic: &Diagnostic, sources: &SourceMap) -> Problem {
    (diagnostic.code, sources.name(diagnostic.primary.file).to_owned(), diagnostic.message.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        call::CallContext,
        config::Options,
        setup::{Purpose, setup},
    };

    const SPEC: &str = include_str!("../capabilities/runloop-secrets.yaml");

    fn reload(folder: &Path) -> (Reload, Setup) {
        let options = Options {
            capabilities: vec![folder.join("spec.yaml")],
            schemas: vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas")],
            data_dir: Some(folder.join("data")),
            ..Options::default()
        };
        let settings = options.settings().unwrap();
        let before = Snapshot::of(&settings);
        let set_up = setup(&settings, Purpose::Call, Clock::Fixed(0)).unwrap();
        let open = Open { embedded: set_up.embedded.clone(), ..Open::default() };
        (Reload::new(settings, Clock::Fixed(0), &set_up, before, open).unwrap(), set_up)
    }

    #[tokio::test]
    async fn the_open_backend_stays_open() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("spec.yaml"), SPEC).unwrap();
        let (mut reload, set_up) = reload(folder.path());
        let root_key = set_up.embedded.unwrap().root_key_path().to_owned();
        fs::remove_file(&root_key).unwrap();
        assert!(reload.look().is_none(), "nothing changed");
        fs::write(folder.path().join("spec.yaml"), SPEC.replace("list_secrets", "all_secrets")).unwrap();
        let gateway = reload.look().expect("another gateway");
        assert!(!root_key.exists(), "opening makes the file");
        let context = CallContext::new("0");
        let output = gateway.call(gateway.tool("all_secrets").unwrap(), Default::default(), &context).await.unwrap();
        assert_eq!(output.structured().unwrap()["total_count"], json!(0));
    }

    #[test]
    fn only_other_contents_count() {
        let folder = tempfile::tempdir().unwrap();
        let spec = folder.path().join("spec.yaml");
        fs::write(&spec, SPEC).unwrap();
        let (mut reload, _) = reload(folder.path());
        // The file is another one, with the same text; others come and go beside it.
        fs::write(folder.path().join("new"), SPEC).unwrap();
        fs::rename(folder.path().join("new"), &spec).unwrap();
        let before = reload.snapshot.clone();
        assert!(reload.look().is_none());
        assert!(reload.snapshot != before, "the change was seen");
        let before = reload.snapshot.again();
        fs::write(folder.path().join("notes.txt"), "notes").unwrap();
        assert!(reload.snapshot.again() == before, "no file that counts");
        fs::write(folder.path().join("late.json"), "{}").unwrap();
        assert!(reload.snapshot.again() != before, "a schema may have been waited for");
    }

    #[test]
    fn types_that_appear_later_are_seen() {
        for place in ["specs/openapi", "swagger"] {
            let root = tempfile::tempdir().unwrap();
            let specs = root.path().join("specs");
            let types = root.path().join(place);
            fs::create_dir_all(&specs).unwrap();
            fs::create_dir_all(&types).unwrap();
            fs::write(specs.join("spec.yaml"), SPEC).unwrap();
            let (mut reload, _) = reload(&specs);
            let before = reload.snapshot.again();
            fs::write(types.join("notes.txt"), "notes").unwrap();
            assert!(reload.snapshot.again() == before, "no file that counts in `{place}`");
            fs::write(types.join("api.yaml"), "openapi: 3.1.0").unwrap();
            assert!(reload.snapshot.again() != before, "a document in `{place}`");
            let before = reload.snapshot.again();
            fs::create_dir(types.join("v2")).unwrap();
            assert!(reload.snapshot.again() != before, "a folder in `{place}`");
            reload.look();
            let before = reload.snapshot.again();
            fs::write(types.join("v2/api.json"), "{}").unwrap();
            assert!(reload.snapshot.again() != before, "a document in a folder in `{place}`");
        }
    }

    /// The name of the tool that the specs offer after a look, where that gave another gateway.
    fn offered(reload: &mut Reload) -> Option<String> {
        reload.look().map(|gateway| gateway.tools().map(|tool| tool.name.as_str()).collect::<Vec<_>>().join(","))
    }

    fn named(tool: &str) -> String {
        format!(
            "naftiko: 1.0.0-alpha2\ncapability:\n  consumes:\n    - type: http\n      namespace: s\n      baseUri: \
             https://s.test\n      resources:\n        - {{path: /s, operations: [{{name: {tool}, method: GET}}]}}\n"
        )
    }

    #[cfg(unix)]
    #[test]
    fn whatever_becomes_of_a_file_is_seen() {
        use std::os::unix::fs::symlink;

        let root = tempfile::tempdir().unwrap();
        let (specs, spec) = (root.path().join("specs"), root.path().join("specs/spec.yaml"));
        fs::create_dir(&specs).unwrap();
        fs::write(&spec, named("one")).unwrap();
        let options = Options {
            capabilities: vec![specs.clone()],
            data_dir: Some(root.path().join("data")),
            ..Options::default()
        };
        let settings = options.settings().unwrap();
        let before = Snapshot::of(&settings);
        let set_up = setup(&settings, Purpose::Inspect, Clock::Fixed(0)).unwrap();
        let mut reload = Reload::new(settings, Clock::Fixed(0), &set_up, before, Open::default()).unwrap();

        let replaced = root.path().join("new");
        fs::write(&replaced, named("two")).unwrap();
        fs::rename(&replaced, &spec).unwrap();
        assert_eq!(offered(&mut reload).as_deref(), Some("two"), "replaced by another file");

        fs::write(&spec, named("six").split_at(100).0).unwrap();
        assert_eq!(offered(&mut reload), None, "half a file");
        fs::write(&spec, "").unwrap();
        assert_eq!(offered(&mut reload), None, "an empty file");
        fs::write(&spec, named("three")).unwrap();
        assert_eq!(offered(&mut reload).as_deref(), Some("three"), "the whole file");

        fs::remove_dir_all(&specs).unwrap();
        assert_eq!(offered(&mut reload), None, "no folder");
        fs::create_dir(&specs).unwrap();
        assert_eq!(offered(&mut reload), None, "an empty folder");
        fs::write(&spec, named("four")).unwrap();
        assert_eq!(offered(&mut reload).as_deref(), Some("four"), "the folder again");

        for version in ["five", "six"] {
            fs::create_dir(root.path().join(version)).unwrap();
            fs::write(root.path().join(version).join("spec.yaml"), named(version)).unwrap();
        }
        fs::remove_dir_all(&specs).unwrap();
        symlink(root.path().join("five"), &specs).unwrap();
        assert_eq!(offered(&mut reload).as_deref(), Some("five"), "a link in its place");
        symlink(root.path().join("six"), root.path().join("link")).unwrap();
        fs::rename(root.path().join("link"), &specs).unwrap();
        assert_eq!(offered(&mut reload).as_deref(), Some("six"), "the link leads elsewhere");

        for number in 0..100 {
            fs::write(&spec, named(&format!("tool_{number}"))).unwrap();
        }
        assert_eq!(offered(&mut reload).as_deref(), Some("tool_99"), "many changes at once");
        assert_eq!(offered(&mut reload), None, "and no more");
    }

    #[test]
    fn shipped_specs_have_no_files() {
        let settings = Options::default().settings().unwrap();
        let set_up = setup(&settings, Purpose::Inspect, Clock::Fixed(0)).unwrap();
        let before = Snapshot::of(&settings);
        assert!(Reload::new(settings, Clock::Fixed(0), &set_up, before, Open::default()).is_none());
    }
}
