//! The files of the data folder: the folder itself, the master key (or where else it lies), the root key, who may read
//! them.
//!
//! Knows nothing of tables and HTTP. Several processes may start on an empty folder at once: a key file appears whole
//! or not at all, and the first one to appear is everybody's.

use std::{
    fmt,
    fs::{self, OpenOptions},
    io::{self, ErrorKind, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::{crypto::MasterKey, error::OpenError};

/// What the names of files with former master keys begin with.
const FORMER: &str = "master.key.old-";
const DATABASE: &str = "keyglass.db";
const MASTER_KEY: &str = "master.key";
const NEXT_MASTER_KEY: &str = "master.key.next";
const ROOT_KEY: &str = "root.key";

/// Where the master key comes from.
#[derive(Clone, Debug)]
pub(super) enum MasterKeySource {
    /// A file in the data folder, made where there is none.
    Folder(Folder),
    /// Wherever the operator keeps it.
    Reference(MasterKeyReference),
}

impl MasterKeySource {
    /// The master key.
    pub(super) fn present(&self) -> Result<MasterKey, OpenError> {
        match self {
            Self::Folder(folder) => folder.master_key(),
            Self::Reference(reference) => reference.read(),
        }
    }

    /// The master key, which has to be there already.
    pub(super) fn existing(&self) -> Result<MasterKey, OpenError> {
        match self {
            // What cannot be looked at is told when it is read.
            Self::Folder(folder) if matches!(folder.master_key_path().try_exists(), Ok(false)) => {
                Err(OpenError::MasterKeyMissing { path: folder.master_key_path(), database: folder.database() })
            }
            other => other.present(),
        }
    }

    /// The master key to come, where one is on its way.
    pub(super) fn next(&self) -> Result<Option<MasterKey>, OpenError> {
        match self {
            Self::Folder(folder) => folder.next_master_key(),
            Self::Reference(_) => Ok(None),
        }
    }

    /// All that can be read now.
    pub(super) fn candidates(&self) -> Vec<MasterKey> {
        // In this order: the next one may become the present one in between, but never the other way round.
        let (next, present) = (self.next(), self.existing());
        next.ok().flatten().into_iter().chain(present.ok()).collect()
    }

    /// What it is called in messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Folder(folder) => folder.master_key_path().display().to_string(),
            Self::Reference(reference) => reference.name.clone(),
        }
    }
}

/// A master key that lies outside the data folder, and how to read it: 64 hexadecimal digits.
#[derive(Clone)]
pub struct MasterKeyReference {
    name: String,
    read: Arc<dyn Fn() -> Result<SecretString, String> + Send + Sync>,
}

impl MasterKeyReference {
    /// A reference as the operator writes it, and what reads it. The error of `read` is a reason for a person, without
    /// the key.
    pub fn new(
        name: impl Into<String>,
        read: impl Fn() -> Result<SecretString, String> + Send + Sync + 'static,
    ) -> Self {
        Self { name: name.into(), read: Arc::new(read) }
    }

    /// What the operator calls it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Reads it.
    pub(super) fn read(&self) -> Result<MasterKey, OpenError> {
        let unusable = |reason| OpenError::MasterKeyUnusable { reference: self.name.clone(), reason };
        let text = (self.read)().map_err(unusable)?;
        MasterKey::parse(text.expose_secret())
            .ok_or_else(|| unusable("it does not hold 64 hexadecimal digits".to_owned()))
    }
}

impl fmt::Debug for MasterKeyReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKeyReference").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Where everything is kept.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes the folder, for its owner alone, unless there is one. The mode of a folder that is there already is left as
    /// it is: it may be shared or well known, and every file that is put into it is closed by itself.
    pub(super) fn prepare(path: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Folder { path: path.to_owned(), source };
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path).map_err(failed)?;
        // later messages name files in this folder; whole paths can be acted on from any working directory
        let path = fs::canonicalize(path).map_err(failed)?;
        warn_of_writers(&path);
        Ok(Self { path })
    }

    /// The SQLite database.
    pub(super) fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// The file by which processes take turns at writing.
    pub(super) fn turn_path(&self) -> PathBuf {
        self.path.join("turn.lock")
    }

    /// The file that only one process at a time holds: the one that works on the whole database.
    pub(super) fn maintenance_path(&self) -> PathBuf {
        self.path.join("maintenance.lock")
    }

    /// A file for a copy of the database that a restore replaces.
    pub(super) fn replaced_path(&self, name: &str) -> PathBuf {
        self.path.join(format!("before-restore-{name}.db"))
    }

    /// The file with the master key.
    pub(super) fn master_key_path(&self) -> PathBuf {
        self.path.join(MASTER_KEY)
    }

    /// The file with the root key.
    pub(super) fn root_key_path(&self) -> PathBuf {
        self.path.join(ROOT_KEY)
    }

    /// The file with the master key to come, there only while one takes the place of another.
    fn next_master_key_path(&self) -> PathBuf {
        self.path.join(NEXT_MASTER_KEY)
    }

    /// The master key: the one in the folder, or a new one where there is neither key nor database.
    fn master_key(&self) -> Result<MasterKey, OpenError> {
        let (path, database) = (self.master_key_path(), self.database());
        // In this order: the key always appears before the database, so whoever sees a database must also see a key.
        let has_database = database.try_exists().map_err(|source| file_error(&path, "read", source))?;
        if let Some(key) = read_private(&path)? {
            return parse_master_key(&path, &key);
        }
        if has_database {
            return Err(OpenError::MasterKeyMissing { path, database });
        }
        let key = MasterKey::generate().map_err(|error| OpenError::System(error.to_string()))?;
        let draft = self.draft(MASTER_KEY, &key.to_hex())?;
        // A link, unlike a rename, fails where there is a file already: only one process's key can win.
        let linked = match fs::hard_link(&draft, &path) {
            // A file system without hard links; a process that starts at the same moment may find the file half written
            // there, and says so.
            Err(error) if error.kind() != ErrorKind::AlreadyExists => self.write_new(&path, &key.to_hex()),
            linked => linked,
        };
        match fs::remove_file(&draft) {
            // Another process had started meanwhile, and taken it for a dead one's.
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(file_error(&draft, "removed", error)),
            _ => {}
        }
        match linked {
            Ok(()) => {
                self.sync()?;
                tracing::info!(file = %path.display(), "master key made");
                Ok(key)
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => match read_private(&path)? {
                Some(key) => parse_master_key(&path, &key),
                None => Err(OpenError::MasterKeyMissing { path, database }),
            },
            Err(source) => Err(file_error(&path, "made", source)),
        }
    }

    /// The master key to come, where one is on its way.
    fn next_master_key(&self) -> Result<Option<MasterKey>, OpenError> {
        let path = self.next_master_key_path();
        read_private(&path)?.map(|text| parse_master_key(&path, &text)).transpose()
    }

    /// Writes the master key to come. The caller holds the database's write lock.
    pub(super) fn announce_master_key(&self, key: &MasterKey) -> Result<(), OpenError> {
        let path = self.next_master_key_path();
        let draft = self.draft(NEXT_MASTER_KEY, &key.to_hex())?;
        fs::rename(&draft, &path).map_err(|source| file_error(&path, "written", source))?;
        self.sync()
    }

    /// Puts the master key to come in the place of the present one: the database is sealed with it already. Another
    /// process may have done so first. The present one is kept beside it: backups made so far need it.
    /// The caller holds the database's write lock.
    pub(super) fn promote_master_key(&self) -> Result<(), OpenError> {
        let path = self.master_key_path();
        if self.next_master_key()?.is_some() {
            self.keep_master_key()?;
        }
        match fs::rename(self.next_master_key_path(), &path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(file_error(&path, "written", error)),
            _ => self.sync(),
        }
    }

    /// Sets the master key aside, as a former one: the database is sealed with one that lies elsewhere. The caller holds
    /// the database's write lock.
    pub(super) fn retire_master_key(&self) -> Result<(), OpenError> {
        let path = self.master_key_path();
        self.keep_master_key()?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(file_error(&path, "removed", error)),
            _ => self.sync(),
        }
    }

    /// Makes a whole copy of the present master key, which stays when another takes its place. The caller holds the
    /// database's write lock.
    fn keep_master_key(&self) -> Result<(), OpenError> {
        let path = self.master_key_path();
        let Some(text) = read_private(&path)? else { return Ok(()) };
        let name = former_name(&parse_master_key(&path, &text)?);
        let former = self.path.join(&name);
        // What a process left there that was killed may be a part of it.
        if matches!(read_private(&former), Ok(Some(kept)) if kept.expose_secret() == text.expose_secret()) {
            return Ok(());
        }
        let draft = self.draft(&name, &text)?;
        fs::rename(&draft, &former).map_err(|source| file_error(&former, "made", source))?;
        self.sync()
    }

    /// The file that the present master key is kept in when another takes its place; nothing where there is none.
    pub(super) fn former_master_key_path(&self) -> Result<Option<PathBuf>, OpenError> {
        let path = self.master_key_path();
        let Some(text) = read_private(&path)? else { return Ok(None) };
        Ok(Some(self.path.join(former_name(&parse_master_key(&path, &text)?))))
    }

    /// Removes a master key to come that came to nothing. The caller holds the database's write lock.
    pub(super) fn forget_next_master_key(&self) -> Result<(), OpenError> {
        let path = self.next_master_key_path();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(file_error(&path, "removed", error)),
            _ => Ok(()),
        }
    }

    /// The master keys that others took the place of, as far as they are still in the folder.
    pub(super) fn former_master_keys(&self) -> Vec<MasterKey> {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten();
        let former = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(FORMER));
        former.filter_map(|entry| MasterKey::parse(read_private(&entry.path()).ok()??.expose_secret())).collect()
    }

    fn write_new(&self, path: &Path, text: &SecretString) -> io::Result<()> {
        let mut file = private_options().create_new(true).open(path)?;
        let mut write = || {
            file.write_all(text.expose_secret().as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()
        };
        // half a key is of no use
        write().inspect_err(|_| drop(fs::remove_file(path)))
    }

    /// What the root key file holds, if there is one.
    pub(super) fn read_root_key(&self) -> Result<Option<SecretString>, OpenError> {
        read_private(&self.root_key_path())
    }

    /// Writes the root key file, or replaces it. The caller holds the database's write lock, so nobody else does.
    pub(super) fn write_root_key(&self, key: &SecretString) -> Result<(), OpenError> {
        let path = self.root_key_path();
        let draft = self.draft(ROOT_KEY, key)?;
        fs::rename(&draft, &path).map_err(|source| file_error(&path, "written", source))?;
        self.sync()
    }

    /// Makes the database's file where there is none, so that it is never open to others, not even for a moment. SQLite
    /// gives its side files the same mode.
    pub(super) fn prepare_database(&self) -> Result<PathBuf, OpenError> {
        self.private_file(DATABASE)
    }

    /// Makes a file of this name where there is none, closed to everybody else.
    pub(super) fn private_file(&self, name: &str) -> Result<PathBuf, OpenError> {
        let path = self.path.join(name);
        private_options()
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|source| file_error(&path, "opened for writing", source))?;
        close_to_others(&path)?;
        Ok(path)
    }

    /// Removes what processes left that were killed while they made a key file. The caller holds the database's write lock,
    /// under which such files are made, but for a new folder's master key: whoever is at that can do without its draft once
    /// there is a master key.
    pub(super) fn remove_drafts(&self) {
        let has_master_key = self.master_key_path().is_file();
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let of = name.strip_prefix('.').and_then(|name| name.rsplit_once('.'));
            let is_dead = match of {
                Some((_, chance)) if !is_chance(chance) => false,
                Some((NEXT_MASTER_KEY | ROOT_KEY, _)) => true,
                Some((name, _)) if name.starts_with(FORMER) => true,
                Some((MASTER_KEY, _)) => has_master_key,
                _ => false,
            };
            if is_dead && let Err(error) = fs::remove_file(entry.path()) {
                tracing::warn!(file = %entry.path().display(), %error, "a draft of a key cannot be removed");
            }
        }
    }

    /// Writes a text into a new file under a name that nobody else uses, down to the disk.
    fn draft(&self, name: &str, text: &SecretString) -> Result<PathBuf, OpenError> {
        let chance = getrandom::u64().map_err(|error| OpenError::System(error.to_string()))?;
        let path = self.path.join(format!(".{name}.{chance:016x}"));
        let write = || {
            let mut file = private_options().create_new(true).open(&path)?;
            file.write_all(text.expose_secret().as_bytes())?;
            file.write_all(b"\n")?;
            file.sync_all()
        };
        write().map_err(|source| {
            // half a key is of no use; what cannot be removed either is the reason that is told already
            drop(fs::remove_file(&path));
            // named by what it was to become: the draft is nobody's concern
            file_error(&self.path.join(name), "written", source)
        })?;
        Ok(path)
    }

    /// Makes a new name in the folder last over a power cut.
    fn sync(&self) -> Result<(), OpenError> {
        #[cfg(unix)]
        fs::File::open(&self.path)
            .and_then(|folder| folder.sync_all())
            .map_err(|source| file_error(&self.path, "written", source))?;
        Ok(())
    }
}

/// Whether it is what names of drafts end with.
fn is_chance(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|digit| digit.is_ascii_hexdigit())
}

fn former_name(key: &MasterKey) -> String {
    format!("{FORMER}{}", key.name())
}

fn parse_master_key(path: &Path, text: &SecretString) -> Result<MasterKey, OpenError> {
    MasterKey::parse(text.expose_secret()).ok_or_else(|| invalid(path, "64 hexadecimal digits"))
}

/// The text of a key file, white space around it cut off; nothing where there is no file.
fn read_private(path: &Path) -> Result<Option<SecretString>, OpenError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => Zeroizing::new(bytes),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(file_error(path, "read", source)),
    };
    close_to_others(path)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| invalid(path, "text"))?;
    Ok(Some(SecretString::from(text.trim())))
}

/// For files that nobody else may read.
pub(crate) fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Takes a file away from group and others. Refusing to start would leave it as exposed as it was found, while this ends
/// the exposure; the log tells, since whoever read it before still knows it.
#[cfg(unix)]
fn close_to_others(path: &Path) -> Result<(), OpenError> {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = fs::metadata(path).map_err(|source| file_error(path, "read", source))?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        .map_err(|source| file_error(path, "closed to other users", source))?;
    tracing::warn!(file = %path.display(), mode = format!("{:o}", mode & 0o777), "file was open to others, closed it");
    Ok(())
}

/// Tells of a folder that others may write to: they can put other keys and another database there. Its mode is left as it
/// is, since it may be meant so.
#[cfg(unix)]
fn warn_of_writers(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;

    let Ok(metadata) = fs::metadata(folder) else { return };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o022 != 0 {
        let folder = folder.display();
        tracing::warn!(
            "`{folder}` can be written to by other users (mode {mode:o}), who can replace keys and database; \
                        take that away by `chmod go-w`"
        );
    }
}

/// Elsewhere the folder's access list decides.
#[cfg(not(unix))]
fn warn_of_writers(_folder: &Path) {}

/// Elsewhere the folder's access list decides, and its files inherit it.
#[cfg(not(unix))]
fn close_to_others(_path: &Path) -> Result<(), OpenError> {
    Ok(())
}

fn invalid(path: &Path, expected: &'static str) -> OpenError {
    OpenError::KeyFileInvalid { path: path.to_owned(), expected, remedy: "restore it from a backup" }
}

fn file_error(path: &Path, action: &'static str, source: io::Error) -> OpenError {
    OpenError::File { path: path.to_owned(), action, source }
}
