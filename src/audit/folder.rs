//! The files of an audit log: segments of lines, the key, the head, and the lock by which processes take turns.
//!
//! Knows nothing of what a line says.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, ErrorKind, Read as _, Write as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use zeroize::Zeroizing;

use super::chain::{Code, KEY_BYTES, Keys, hex};

const KEY: &str = "audit.key";
const HEAD: &str = "audit.head";
const LOCK: &str = "audit.lock";
const SEGMENT_ENDING: &str = ".jsonl";
/// How many digits the number of a segment has at least.
const SEGMENT_DIGITS: usize = 8;
/// How long another process may hold the log: one that does so for longer was stopped in the middle of it.
const PATIENCE: Duration = Duration::from_secs(5);

/// How far a log goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    /// The segment of the last line.
    pub(super) segment: u64,
    /// Where it ends, in bytes.
    pub(super) offset: u64,
    /// The number of the last line.
    pub(super) seq: u64,
    /// The code of the last line.
    pub(super) code: Code,
}

/// What is known of how far a log goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Head {
    /// There is none.
    Missing,
    /// It is not what the log's key made of it.
    Broken,
    /// So far at least.
    At(Position),
}

/// The key of a log.
#[derive(Debug)]
pub(super) enum Found {
    /// It was there.
    Old(Keys),
    /// It was made.
    New(Keys),
}

/// A folder with an audit log.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

/// The turn of one process; over when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    _lock: File,
}

impl Folder {
    /// A folder, whether it is there or not.
    pub(super) fn at(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Makes the folder, for its owner alone, unless there is one.
    pub(super) fn prepare(path: &Path) -> io::Result<Self> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path)?;
        Ok(Self { path: fs::canonicalize(path)? })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until no other process writes. Error: one does for too long.
    pub(super) fn turn(&self) -> io::Result<Turn> {
        let lock = private_options().create(true).truncate(false).open(self.path.join(LOCK))?;
        locked(lock, File::try_lock)
    }

    /// Waits until no process writes, where it can be told.
    pub(super) fn quiet(&self) -> io::Result<Option<Turn>> {
        match File::open(self.path.join(LOCK)) {
            Ok(lock) => locked(lock, File::try_lock_shared).map(Some),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The log's key; made where there is none. To be done in one's turn.
    pub(super) fn key(&self) -> io::Result<Found> {
        if let Some(keys) = self.existing_key()? {
            return Ok(Found::Old(keys));
        }
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        getrandom::fill(key.as_mut_slice()).map_err(io::Error::other)?;
        let (path, draft) = (self.path.join(KEY), self.path.join(format!(".{KEY}.new")));
        // It appears whole or not at all.
        let mut file = private_options().create(true).truncate(true).open(&draft)?;
        file.write_all(Zeroizing::new(hex(key.as_slice()) + "\n").as_bytes())?;
        file.sync_all()?;
        fs::rename(&draft, &path)?;
        self.sync()?;
        Ok(Found::New(Keys::new(&key)))
    }

    /// The log's key, where there is one.
    pub(super) fn existing_key(&self) -> io::Result<Option<Keys>> {
        let path = self.path.join(KEY);
        let text = match fs::read(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let halves = text.trim_ascii().split_at_checked(KEY_BYTES);
        let halves = halves.and_then(|(one, other)| Some((Code::parse(one)?, Code::parse(other)?)));
        let Some((one, other)) = halves else {
            let expected = format!("`{}` does not hold {} hexadecimal digits", path.display(), KEY_BYTES * 2);
            return Err(io::Error::new(ErrorKind::InvalidData, expected));
        };
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        key.iter_mut().zip(one.bytes().into_iter().chain(other.bytes())).for_each(|(own, byte)| *own = byte);
        Ok(Some(Keys::new(&key)))
    }

    /// How far the log went when somebody wrote last.
    pub(super) fn head(&self, keys: &Keys) -> io::Result<Head> {
        /// More than it ever has.
        const MOST: u64 = 1024;
        let file = match File::open(self.path.join(HEAD)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Head::Missing),
            Err(error) => return Err(error),
        };
        let mut text = Vec::new();
        file.take(MOST).read_to_end(&mut text)?;
        Ok(read_head(&text, keys).map_or(Head::Broken, Head::At))
    }

    /// Notes how far the log goes. It is written in place and in one piece, always of the same length.
    pub(super) fn write_head(&self, keys: &Keys, at: &Position) -> io::Result<()> {
        let Position { segment, offset, seq, code } = at;
        let mut text = format!("keyglass-audit 1 segment={segment:020} offset={offset:020} seq={seq:020} last={code}");
        let check = keys.head_code(text.as_bytes());
        text.push_str(&format!(" mac={check}\n"));
        let mut file = private_options().create(true).truncate(false).open(self.path.join(HEAD))?;
        file.write_all(text.as_bytes())
    }

    /// The file of a segment.
    pub(super) fn segment(&self, number: u64) -> PathBuf {
        self.path.join(segment_name(number))
    }

    /// The numbers of the segments that are there, in order.
    pub(super) fn segments(&self) -> io::Result<Vec<u64>> {
        let entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut numbers = Vec::new();
        for entry in entries {
            let name = entry?.file_name();
            let digits = name.to_str().and_then(|name| name.strip_suffix(SEGMENT_ENDING));
            let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_digit()));
            numbers.extend(digits.and_then(|digits| digits.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }

    /// Makes new names in the folder last over a power cut.
    pub(super) fn sync(&self) -> io::Result<()> {
        #[cfg(unix)]
        File::open(&self.path)?.sync_all()?;
        Ok(())
    }
}

/// The name of the file of a segment.
pub(super) fn segment_name(number: u64) -> String {
    format!("{number:0SEGMENT_DIGITS$}{SEGMENT_ENDING}")
}

fn read_head(text: &[u8], keys: &Keys) -> Option<Position> {
    let text = text.strip_suffix(b"\n")?;
    let (body, check) = text.split_at_checked(text.len().checked_sub(Code::TEXT_BYTES)?)?;
    let body = body.strip_suffix(b" mac=")?;
    if !keys.is_of_head(body, Code::parse(check)?) {
        return None;
    }
    let mut words = std::str::from_utf8(body).ok()?.strip_prefix("keyglass-audit 1 ")?.split(' ');
    let mut number = |name: &str| words.next()?.strip_prefix(name)?.strip_prefix('=')?.parse().ok();
    let (segment, offset, seq) = (number("segment")?, number("offset")?, number("seq")?);
    let code = Code::parse(words.next()?.strip_prefix("last=")?.as_bytes())?;
    Some(Position { segment, offset, seq, code })
}

/// A lock that was waited for.
fn locked(lock: File, try_lock: impl Fn(&File) -> Result<(), TryLockError>) -> io::Result<Turn> {
    let begun = Instant::now();
    let mut pause = Duration::from_micros(100);
    loop {
        match try_lock(&lock) {
            Ok(()) => return Ok(Turn { _lock: lock }),
            Err(TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => {
                thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(10));
            }
            Err(TryLockError::WouldBlock) => {
                let message = "another process holds the audit log and does not let go of it";
                return Err(io::Error::new(ErrorKind::TimedOut, message));
            }
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// For files that nobody else may read.
pub(super) fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
