//! Looking whether a log is what was written: every line, the order, the ends. Says of each damage where it is and of what
//! kind. Holds one line at a time, and ranges of what is missing or out of place.

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::{self, ErrorKind, Read as _},
    path::Path,
};

use serde::Deserialize;

use super::{
    arguments,
    chain::{Code, Keys},
    folder::{Folder, Head, Position, segment_name},
    lines::{Line, Lines, Stated},
};

/// How many damages are told one by one.
const MAX_DAMAGES: usize = 100;
/// How many ranges are remembered of what is missing or out of place.
const MAX_RANGES: usize = 100_000;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// How many lines there are, damaged ones among them.
    pub lines: u64,
    /// How many segments.
    pub segments: usize,
    /// The number and the time of the first line.
    pub first: Option<(u64, String)>,
    /// The same of the last line, and its code: whoever keeps it elsewhere can tell later that the log still holds it.
    pub last: Option<(u64, String, Code)>,
    /// What is wrong, in the order of the log as far as it is known.
    pub damages: Vec<Damage>,
    /// How many damages there are besides.
    pub more_damages: u64,
    /// How many lines were lost since they could not be written, as the log itself says.
    pub lost: u64,
    /// How many lines were not written to their end, since a process was killed. No damage.
    pub torn: u64,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment; 0 where it is about the log as a whole.
    pub segment: u64,
    /// The line in there, from 1; 0 where it is about no line.
    pub line: u64,
    /// The number that the line has, or should have.
    pub seq: Option<u64>,
    /// How many lines in a row.
    pub count: u64,
    /// What is wrong.
    pub what: Damaged,
}

/// What is wrong with a line or with the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Damaged {
    /// The line is not as it was written.
    Edited,
    /// The line was not written here: it is somebody else's, or a copy of another.
    Inserted,
    /// The line stands in another place than it was written in.
    Reordered,
    /// Lines that were written before this place are gone.
    Cut,
    /// The line follows another one than that before it, of the same number: two copies of a log were made into one.
    Forked,
    /// It was written with a key that is not there.
    KeyMissing,
    /// There is nothing that tells how far the log went.
    HeadMissing,
    /// What tells how far the log went is not as it was written.
    HeadBroken,
    /// When this line was written, what is named here was missing or broken, so lines before it may be gone.
    Recovered(String),
}

impl Damaged {
    /// Its name, for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Edited => "edited",
            Self::Inserted => "inserted",
            Self::Reordered => "reordered",
            Self::Cut => "cut",
            Self::Forked => "forked",
            Self::KeyMissing => "key-missing",
            Self::HeadMissing => "head-missing",
            Self::HeadBroken => "head-broken",
            Self::Recovered(_) => "recovered",
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { segment, line, seq, count, what } = self;
        if *segment > 0 {
            write!(formatter, "{}", segment_name(*segment))?;
            if *line > 0 {
                write!(formatter, ", line {line}")?;
            }
            formatter.write_str(": ")?;
        }
        let last = |first: u64| first.saturating_add(count.saturating_sub(1));
        let seqs = match seq {
            Some(seq) if *count > 1 => format!(" (seq {seq} to {})", last(*seq)),
            Some(seq) => format!(" (seq {seq})"),
            None => String::new(),
        };
        let lines = if *count == 1 { "this line".to_owned() } else { format!("these {count} lines") };
        let (is, was) = if *count == 1 { ("is", "was") } else { ("are", "were") };
        match what {
            Damaged::Edited => write!(formatter, "edited: {lines}{seqs} {is} not as written"),
            Damaged::Inserted => write!(formatter, "inserted: {lines}{seqs} {was} not written here"),
            Damaged::Reordered => write!(formatter, "reordered: {lines}{seqs} {was} written in another place"),
            Damaged::Cut if *line == 0 => write!(formatter, "cut: {count} at the end{seqs} {is} gone"),
            Damaged::Cut => write!(formatter, "cut: {count} before this line{seqs} {is} gone"),
            Damaged::Forked => write!(formatter, "forked: this line{seqs} follows another one than the line before it"),
            Damaged::KeyMissing => {
                write!(
                    formatter,
                    "key missing: {lines} {was} written with a key that is not there and cannot be checked"
                )
            }
            Damaged::HeadMissing => formatter
                .write_str("head missing: `audit.head` is gone, so nobody can tell whether lines at the end are"),
            Damaged::HeadBroken => formatter.write_str(
                "head broken: `audit.head` is not as written, so nobody can tell whether lines at the end are gone",
            ),
            Damaged::Recovered(reason) => write!(
                formatter,
                "recovered: when this line{seqs} was written, there was a fault ({}), so lines before it may be gone",
                super::cleaned(reason, 60)
            ),
        }
    }
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_intact(&self) -> bool {
        self.damages.is_empty()
    }

    fn damaged(&mut self, damage: Damage) {
        // Several in a row are one.
        if let Some(last) = self.damages.last_mut()
            && last.what == damage.what
            && last.segment == damage.segment
            && last.line.saturating_add(last.count) == damage.line
            && matches!(damage.what, Damaged::Edited | Damaged::Inserted | Damaged::Reordered)
            && last.seq.map(|seq| seq.saturating_add(last.count)) == damage.seq
        {
            last.count = last.count.saturating_add(damage.count);
        } else if self.damages.len() < MAX_DAMAGES {
            self.damages.push(damage);
        } else {
            self.more_damages = self.more_damages.saturating_add(1);
        }
    }
}

/// Where a line is.
#[derive(Clone, Copy, Debug)]
struct Place {
    segment: u64,
    line: u64,
}

/// A line that is as it was written.
#[derive(Clone, Debug)]
struct Good {
    place: Place,
    seq: u64,
    before: Option<Code>,
    code: Code,
    time: String,
    /// What a line in place of one that was torn says of that.
    torn: Option<(u64, String)>,
}

/// Lines that are not as they were written.
#[derive(Debug)]
struct Bad {
    place: Place,
    count: u64,
    /// How long the last one is, and its digest.
    last: (u64, String),
    /// Whether it is ended by a line break.
    is_whole: bool,
}

/// Lines in a row that stand where they should not.
#[derive(Debug)]
struct Displaced {
    place: Place,
    seq: u64,
    count: u64,
}

#[derive(Debug, Default)]
struct Walk {
    report: Report,
    /// The number of the next line.
    expected: Option<u64>,
    /// The code of the line before, where it is known.
    before: Option<Code>,
    bad: Option<Bad>,
    /// A line that comes too early: either lines are gone, or it stands in the wrong place.
    held: Option<Good>,
    /// What is missing: the first number, to the last one, and the line before which it is.
    gaps: BTreeMap<u64, (u64, Place)>,
    displaced: Vec<Displaced>,
    /// Up to which number lines were removed on purpose.
    removed: u64,
    /// The number of the first line of the log, where the log begins in the middle.
    begins: Option<(u64, Place)>,
    head: Option<Position>,
}

/// What lines of this program say that the chain has to know.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    key: String,
    last_seq: u64,
    bytes: u64,
    digest: String,
    reason: String,
    lines: u64,
}

/// Looks through the log in a folder. Error: it cannot be read, or there is none.
pub fn verify(folder: &Path) -> io::Result<Report> {
    let folder = Folder::at(folder);
    // Nobody writes meanwhile; what is written later is not looked at.
    let turn = folder.quiet()?;
    let keys = folder.existing_key()?;
    let head = keys.as_ref().map(|keys| folder.head(keys)).transpose()?;
    let mut segments = Vec::new();
    for number in folder.segments()? {
        let file = File::open(folder.segment(number))?;
        let length = file.metadata()?.len();
        segments.push((number, file.take(length)));
    }
    drop(turn);
    if segments.is_empty() && keys.is_none() {
        let message = format!("there is no audit log in `{}`", folder.path().display());
        return Err(io::Error::new(ErrorKind::NotFound, message));
    }
    let mut walk = Walk::default();
    walk.report.segments = segments.len();
    walk.head = match head {
        Some(Head::At(at)) => Some(at),
        _ => None,
    };
    for (number, file) in segments {
        walk.segment(number, Lines::new(file), keys.as_ref())?;
    }
    Ok(walk.done(keys.is_some(), head))
}

impl Walk {
    fn segment<R: io::Read>(&mut self, segment: u64, mut lines: Lines<R>, keys: Option<&Keys>) -> io::Result<()> {
        let mut place = Place { segment, line: 0 };
        let mut keys = keys;
        while let Some(line) = lines.next()? {
            place.line = place.line.saturating_add(1);
            self.report.lines = self.report.lines.saturating_add(1);
            if place.line == 1 {
                let own = keys.map(Keys::name);
                let stated = Stated::read(line.text).filter(|stated| stated.event == "segment");
                let foreign = stated.is_some_and(|_| own.is_none_or(|own| said(line.text).key != own));
                if foreign || own.is_none() {
                    keys = None;
                    self.settle();
                    self.report.damaged(Damage { segment, line: 0, seq: None, count: 1, what: Damaged::KeyMissing });
                }
            }
            match keys {
                Some(keys) => self.line(place, &line, keys),
                None => self.unknown(&line),
            }
        }
        if keys.is_none()
            && let Some(damage) = self.report.damages.iter_mut().rfind(|damage| damage.segment == segment)
        {
            damage.count = place.line;
        }
        Ok(())
    }

    /// A line that was written with another key.
    fn unknown(&mut self, line: &Line<'_>) {
        // What follows it cannot be known.
        (self.expected, self.before, self.begins) = (None, None, None);
        if let Some(stated) = Stated::read(line.text) {
            self.report.first.get_or_insert((stated.seq, stated.time.into_owned()));
        }
    }

    fn line(&mut self, place: Place, line: &Line<'_>, keys: &Keys) {
        let read = keys.opened(line.text).filter(|_| line.is_whole).zip(Stated::read(line.text));
        let Some((code, stated)) = read else {
            if let Some(held) = self.held.take() {
                self.accept(held);
            }
            let digest = arguments::digest(keys, &String::from_utf8_lossy(line.text).into());
            let last = (u64::try_from(line.text.len()).unwrap_or(u64::MAX), digest.to_string());
            let bad = self.bad.get_or_insert(Bad { place, count: 0, last: last.clone(), is_whole: true });
            bad.count = bad.count.saturating_add(1);
            (bad.last, bad.is_whole) = (last, line.is_whole);
            return;
        };
        let Stated { seq, time, event, prev } = stated;
        let mut torn = None;
        match &*event {
            "torn" => {
                let said = said(line.text);
                torn = Some((said.bytes, said.digest));
            }
            "removed" => self.removed = self.removed.max(said(line.text).last_seq),
            "lost" => self.report.lost = self.report.lost.saturating_add(said(line.text).lines),
            "recovered" => {
                let what = Damaged::Recovered(said(line.text).reason);
                let Place { segment, line } = place;
                self.report.damaged(Damage { segment, line, seq: Some(seq), count: 1, what });
            }
            _ => {}
        }
        let before = Code::parse(prev.as_bytes());
        self.good(Good { place, seq, before, code, time: time.into_owned(), torn });
    }

    fn good(&mut self, good: Good) {
        if let Some(held) = self.held.take() {
            let is_in_the_way = match self.expected {
                Some(expected) => good.seq == expected && (self.before.is_none() || good.before == self.before),
                // Of two that the log might begin with it is the earlier one.
                None => good.seq < held.seq,
            };
            if is_in_the_way {
                self.displaced(&held);
            } else {
                self.accept(held);
            }
        }
        match self.expected {
            Some(expected) if good.seq < expected => self.displaced(&good),
            // Whether it comes too early or others are gone is seen by the next one.
            Some(expected) if good.seq > expected && self.bad.is_none() => self.held = Some(good),
            None if good.before != Some(Code::NONE) && self.bad.is_none() => self.held = Some(good),
            _ => self.accept(good),
        }
    }

    /// Takes a line for the next one; what should stand before it is missing.
    fn accept(&mut self, good: Good) {
        let Good { place, seq, before, code, time, torn } = good;
        let bad = self.bad.take();
        let damaged = bad.as_ref().map_or(0, |bad| bad.count);
        let expected = match self.expected {
            Some(expected) => expected,
            // The log begins here, or the lines before it are not what they were.
            None => {
                let first = if before == Some(Code::NONE) { seq } else { seq.saturating_sub(damaged) };
                if self.report.first.is_none() {
                    self.begins = Some((first, place));
                }
                first
            }
        };
        let missing = seq.saturating_sub(expected);
        if let Some(Bad { place: from, count, last, is_whole: _ }) = bad {
            let Place { segment, line } = from;
            if missing > 0 {
                self.report.damaged(Damage { segment, line, seq: Some(expected), count, what: Damaged::Edited });
            } else if torn.as_ref() == Some(&last) {
                self.report.torn = self.report.torn.saturating_add(1);
                if let Some(count) = count.checked_sub(1).filter(|count| *count > 0) {
                    self.report.damaged(Damage { segment, line, seq: None, count, what: Damaged::Inserted });
                }
            } else {
                self.report.damaged(Damage { segment, line, seq: None, count, what: Damaged::Inserted });
            }
        } else if missing == 0 && self.before.is_some() && before != self.before {
            let Place { segment, line } = place;
            self.report.damaged(Damage { segment, line, seq: Some(seq), count: 1, what: Damaged::Forked });
        }
        if missing > damaged && self.gaps.len() < MAX_RANGES {
            self.gaps.insert(expected.saturating_add(damaged), (seq.saturating_sub(1), place));
        }
        if self.head.is_some_and(|head| head.seq == seq && head.code != code) {
            let Place { segment, line } = place;
            self.report.damaged(Damage { segment, line, seq: Some(seq), count: 1, what: Damaged::Forked });
        }
        self.report.first.get_or_insert_with(|| (seq, time.clone()));
        self.report.last = Some((seq, time, code));
        self.expected = Some(seq.saturating_add(1));
        self.before = Some(code);
    }

    fn displaced(&mut self, good: &Good) {
        if let Some(last) = self.displaced.last_mut()
            && last.place.segment == good.place.segment
            && last.place.line.saturating_add(last.count) == good.place.line
            && last.seq.saturating_add(last.count) == good.seq
        {
            last.count = last.count.saturating_add(1);
        } else if self.displaced.len() < MAX_RANGES {
            self.displaced.push(Displaced { place: good.place, seq: good.seq, count: 1 });
        } else {
            self.report.more_damages = self.report.more_damages.saturating_add(1);
        }
    }

    /// Says of what was put aside so far what it is.
    fn settle(&mut self) {
        if let Some(held) = self.held.take() {
            self.accept(held);
        }
        for Displaced { place: Place { segment, line }, seq, count } in std::mem::take(&mut self.displaced) {
            let last = seq.saturating_add(count.saturating_sub(1));
            // What is missing elsewhere was moved here, anything else is a copy.
            let gap = self.gaps.range(..=seq).next_back().map(|(from, gap)| (*from, *gap));
            let gap = gap.filter(|(_, (to, _))| *to >= last);
            let what = if gap.is_some() { Damaged::Reordered } else { Damaged::Inserted };
            if let Some((from, (to, place))) = gap {
                self.gaps.remove(&from);
                if from < seq {
                    self.gaps.insert(from, (seq.saturating_sub(1), place));
                }
                if last < to {
                    self.gaps.insert(last.saturating_add(1), (to, place));
                }
            }
            self.report.damaged(Damage { segment, line, seq: Some(seq), count, what });
        }
        for (from, (to, Place { segment, line })) in std::mem::take(&mut self.gaps) {
            let count = to.saturating_sub(from).saturating_add(1);
            self.report.damaged(Damage { segment, line, seq: Some(from), count, what: Damaged::Cut });
        }
    }

    fn done(mut self, has_key: bool, head: Option<Head>) -> Report {
        let bad = self.bad.take();
        if let Some(held) = self.held.take() {
            self.accept(held);
        }
        let end = self.report.last.as_ref().map_or(0, |(seq, ..)| *seq);
        let (head_seq, last_segment) = self.head.map_or((0, 0), |head| (head.seq, head.segment));
        let mut gone = head_seq.saturating_sub(end);
        if let Some(Bad { place: Place { segment, line }, mut count, is_whole, .. }) = bad {
            if gone == 0 && !is_whole {
                // A process was killed in the middle of it.
                self.report.torn = self.report.torn.saturating_add(1);
                count = count.saturating_sub(1);
            }
            if count > 0 {
                let seq = (gone > 0).then_some(end.saturating_add(1));
                let what = if gone > 0 { Damaged::Edited } else { Damaged::Inserted };
                self.report.damaged(Damage { segment, line, seq, count, what });
            }
            gone = gone.saturating_sub(count);
        }
        if gone > 0 {
            let from = head_seq.saturating_sub(gone).saturating_add(1);
            self.gaps.insert(from, (head_seq, Place { segment: last_segment, line: 0 }));
        }
        self.settle();
        if let Some((first, Place { segment, line })) = self.begins {
            let from = self.removed.saturating_add(1);
            if first > from {
                let count = first.saturating_sub(from);
                self.report.damaged(Damage { segment, line, seq: Some(from), count, what: Damaged::Cut });
            }
        }
        let of_head = match head {
            Some(Head::Missing) => Some(Damaged::HeadMissing),
            Some(Head::Broken) => Some(Damaged::HeadBroken),
            _ => None,
        };
        if let Some(what) = of_head.filter(|_| has_key) {
            self.report.damaged(Damage { segment: 0, line: 0, seq: None, count: 1, what });
        }
        self.report.damages.sort_by_key(|damage| match (damage.segment, damage.line) {
            (0, _) => (u64::MAX, u64::MAX),
            (segment, 0) => (segment, u64::MAX),
            place => place,
        });
        self.report
    }
}

fn said(line: &[u8]) -> Said {
    serde_json::from_slice(line).unwrap_or_default()
}
