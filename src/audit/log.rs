//! Putting lines at the end of the chain, wherever that is now: other processes write to the same log, and one that was
//! killed leaves it as it was.

use std::{
    fs::File,
    io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _},
};

use super::{
    Limits,
    chain::{Code, Keys},
    entry::{Entry, Event},
    folder::{Folder, Found, Head, Position, private_options},
    lines::{Line, Lines},
    rotation,
};
use crate::clock::Clock;

/// A log that lines are put to.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) folder: Folder,
    pub(super) limits: Limits,
    pub(super) clock: Clock,
    /// Whether it was said that lines are gone.
    told: bool,
}

/// How far entries came.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Progress {
    /// How many of them, from the first one on, are in the file.
    pub(super) written: usize,
    /// How many are on the disk, of those that had to be.
    pub(super) lasting: usize,
}

/// Lines that are about to be written, in the order of the chain.
pub(super) struct Batch<'a> {
    keys: &'a Keys,
    /// How far the log goes with them.
    pub(super) at: Position,
    text: Vec<u8>,
}

impl<'a> Batch<'a> {
    fn new(keys: &'a Keys, at: Position) -> Self {
        Self { keys, at, text: Vec::new() }
    }

    pub(super) fn keys(&self) -> &'a Keys {
        self.keys
    }

    /// Where the segment ends with them, in bytes.
    fn end(&self) -> u64 {
        self.at.offset.saturating_add(u64::try_from(self.text.len()).unwrap_or(u64::MAX))
    }

    pub(super) fn has_lines(&self) -> bool {
        !self.text.is_empty()
    }

    pub(super) fn push(&mut self, entry: &Entry) {
        let from = self.text.len();
        self.at.seq = self.at.seq.saturating_add(1);
        entry.write(&mut self.text, self.at.seq, self.at.code);
        self.at.code = self.keys.close(&mut self.text, from);
    }

    /// Writes them behind what is there, and notes that. What was written of them by halves is taken back.
    pub(super) fn write(&mut self, folder: &Folder) -> io::Result<File> {
        let path = folder.segment(self.at.segment);
        let mut file = private_options().create(true).truncate(false).open(&path)?;
        let from = file.seek(SeekFrom::End(0))?;
        if let Err(error) = file.write_all(&self.text) {
            file.set_len(from).ok(); // where it fails as well, the next writer deals with it
            return Err(error);
        }
        self.at.offset = from.saturating_add(u64::try_from(self.text.len()).unwrap_or(u64::MAX));
        self.text.clear();
        if let Err(error) = folder.write_head(self.keys, &self.at) {
            file.set_len(from).ok(); // the same
            return Err(error);
        }
        Ok(file)
    }
}

impl Log {
    pub(super) fn new(folder: Folder, limits: Limits, clock: Clock) -> Self {
        Self { folder, limits, clock, told: false }
    }

    /// The keys of the log, which has to be one that can be written to.
    pub(super) fn open(&mut self) -> io::Result<Keys> {
        let _turn = self.folder.turn()?;
        match self.folder.key()? {
            Found::Old(keys) => Ok(keys),
            Found::New(keys) => {
                let segments = self.folder.segments()?;
                if let Some(last) = segments.last() {
                    tracing::warn!(
                        folder = %self.folder.path().display(),
                        "the key of the audit log was gone; a new one was made, and what was written before cannot be checked"
                    );
                    let seq = self.seq_of_unknown(*last)?;
                    let at = Position { segment: last.saturating_add(1), offset: 0, seq, code: Code::NONE };
                    let mut batch = Batch::new(&keys, at);
                    batch.push(&rotation::opening(at.segment, &keys, self.clock));
                    batch.push(&Entry::new(Event::Recovered, self.clock.now_ms()).with("reason", "key missing"));
                    batch.write(&self.folder)?;
                } else {
                    // So that a key without any lines is one whose lines somebody removed.
                    self.beginning(&keys)?.write(&self.folder)?.sync_all()?;
                    self.folder.sync()?;
                }
                Ok(keys)
            }
        }
    }

    /// Writes entries. With `lasting` they are on the disk when this returns, as far as the system tells the truth about it.
    /// Gives how far that came, and what stopped it.
    pub(super) fn append<'e>(
        &mut self,
        keys: &Keys,
        entries: impl Iterator<Item = &'e Entry>,
        lasting: bool,
    ) -> (Progress, io::Result<()>) {
        let mut progress = Progress::default();
        let outcome = self.appended(keys, entries, (lasting, &mut progress));
        (progress, outcome)
    }

    fn appended<'e>(
        &mut self,
        keys: &Keys,
        entries: impl Iterator<Item = &'e Entry>,
        (lasting, progress): (bool, &mut Progress),
    ) -> io::Result<()> {
        let _turn = self.folder.turn()?;
        let mut batch = self.caught_up(keys)?;
        let mut pushed = 0;
        for entry in entries {
            if batch.end() >= self.limits.max_bytes {
                if batch.has_lines() {
                    let file = batch.write(&self.folder)?;
                    progress.written = pushed;
                    file.sync_data()?;
                }
                progress.lasting = pushed;
                rotation::rotate(&mut batch, self)?;
            }
            batch.push(entry);
            pushed += 1;
        }
        let file = batch.write(&self.folder)?;
        // Whatever becomes of the rest, the lines are there.
        progress.written = pushed;
        if lasting {
            file.sync_data()?;
            progress.lasting = pushed;
        }
        Ok(())
    }

    /// Begins a new segment.
    pub(super) fn rotate(&mut self, keys: &Keys) -> io::Result<u64> {
        let _turn = self.folder.turn()?;
        let mut batch = self.caught_up(keys)?;
        rotation::rotate(&mut batch, self)?;
        batch.write(&self.folder)?.sync_all()?;
        Ok(batch.at.segment)
    }

    /// The end of the chain, with what has to be said of how it was found.
    fn caught_up<'a>(&mut self, keys: &'a Keys) -> io::Result<Batch<'a>> {
        let at = match self.folder.head(keys)? {
            Head::At(at) => at,
            head => {
                let segments = self.folder.segments()?;
                let Some(last) = segments.last().copied() else {
                    tracing::warn!(
                        folder = %self.folder.path().display(),
                        "all lines of the audit log are gone; a new chain begins"
                    );
                    let mut batch = self.beginning(keys)?;
                    batch.push(&Entry::new(Event::Recovered, self.clock.now_ms()).with("reason", "all lines missing"));
                    return Ok(batch);
                };
                let reason = if head == Head::Missing { "head missing" } else { "head broken" };
                tracing::warn!(
                    folder = %self.folder.path().display(),
                    reason,
                    "what tells how far the audit log went is not what it was; `keyglass audit verify` tells more"
                );
                let mut batch = self.adopted(keys, Position { segment: last, offset: 0, seq: 0, code: Code::NONE })?;
                if batch.at.seq == 0 {
                    batch.at.seq = self.seq_of_unknown(last)?;
                }
                batch.push(&Entry::new(Event::Recovered, self.clock.now_ms()).with("reason", reason));
                return Ok(batch);
            }
        };
        let length = match self.folder.segment(at.segment).metadata() {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        if length == at.offset {
            return Ok(Batch::new(keys, at));
        }
        if length > at.offset {
            return self.adopted(keys, at);
        }
        if !self.told {
            self.told = true;
            tracing::warn!(
                segment = %self.folder.segment(at.segment).display(),
                "lines at the end of the audit log are gone; `keyglass audit verify` tells which"
            );
        }
        // The chain goes on from where it was, so that the gap is seen.
        let whole = self.ends_with_a_line(at.segment, length)?;
        let mut batch = Batch::new(keys, Position { offset: length, ..at });
        if !whole {
            batch.text.push(b'\n');
        }
        Ok(batch)
    }

    /// The beginning of a chain, not written yet.
    fn beginning<'a>(&self, keys: &'a Keys) -> io::Result<Batch<'a>> {
        let at = Position { segment: 1, offset: 0, seq: 0, code: Code::NONE };
        // First, so that whoever is killed behind the first line has not lost what tells how far it went.
        self.folder.write_head(keys, &at)?;
        let mut batch = Batch::new(keys, at);
        batch.push(&rotation::opening(at.segment, keys, self.clock));
        Ok(batch)
    }

    /// The end of the chain where lines stand behind this position: those of a process that was killed before it noted them.
    fn adopted<'a>(&self, keys: &'a Keys, from: Position) -> io::Result<Batch<'a>> {
        let mut file = File::open(self.folder.segment(from.segment))?;
        file.seek(SeekFrom::Start(from.offset))?;
        let mut at = from;
        let mut lines = Lines::new(file);
        let mut torn = None;
        while let Some(line) = lines.next()? {
            let Line { text, is_whole, bytes } = line;
            at.offset = at.offset.saturating_add(bytes);
            if !is_whole {
                torn = Some((text.len(), super::arguments::digest(keys, &String::from_utf8_lossy(text).into())));
                break;
            }
            let Some(code) = keys.opened(text) else { continue };
            let Some(seq) = super::lines::Stated::read(text).map(|stated| stated.seq) else { continue };
            // At the beginning nothing is known yet; later lines follow each other.
            if from.seq == 0 || seq == at.seq.saturating_add(1) {
                (at.seq, at.code) = (seq, code);
            }
        }
        let mut batch = Batch::new(keys, at);
        if let Some((bytes, digest)) = torn {
            batch.text.push(b'\n');
            let torn = Entry::new(Event::Torn, self.clock.now_ms()).with("bytes", bytes);
            batch.push(&torn.with("digest", digest.to_string()));
        }
        Ok(batch)
    }

    /// The greatest number that a line of a segment states, whoever wrote it.
    fn seq_of_unknown(&self, segment: u64) -> io::Result<u64> {
        let mut lines = Lines::new(File::open(self.folder.segment(segment))?);
        let mut most = 0;
        while let Some(line) = lines.next()? {
            most = super::lines::Stated::read(line.text).map_or(most, |stated| stated.seq.max(most));
        }
        // Somebody may have written any number.
        Ok(most.min(u64::MAX / 2))
    }

    fn ends_with_a_line(&self, segment: u64, length: u64) -> io::Result<bool> {
        if length == 0 {
            return Ok(true);
        }
        let mut file = File::open(self.folder.segment(segment))?;
        file.seek(SeekFrom::Start(length.saturating_sub(1)))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        Ok(last == *b"\n")
    }
}
