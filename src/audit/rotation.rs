//! Going on in a new segment, and removing the oldest ones: the log itself tells which, so that nobody takes them for lines
//! that somebody cut off.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
};

use super::{
    chain::Keys,
    entry::{Entry, Event},
    lines::{Lines, Stated},
    log::{Batch, Log},
};
use crate::clock::Clock;

/// The first line of a segment.
pub(super) fn opening(segment: u64, keys: &Keys, clock: Clock) -> Entry {
    let entry = Entry::new(Event::Segment, clock.now_ms()).with("segment", segment);
    entry.with("key", keys.name()).with("version", env!("CARGO_PKG_VERSION"))
}

/// Goes on in a new segment. The caller has its turn.
pub(super) fn rotate(batch: &mut Batch<'_>, log: &Log) -> io::Result<()> {
    let Log { folder, limits, clock, .. } = log;
    // What is to be said of how the end was found belongs where that is.
    if batch.has_lines() {
        batch.write(folder)?;
    }
    let segments = folder.segments()?;
    // A segment that somebody put there by hand is not overwritten.
    let last = segments.last().copied().unwrap_or_default().max(batch.at.segment);
    let next = last.saturating_add(1);
    (batch.at.segment, batch.at.offset) = (next, 0);
    batch.push(&opening(next, batch.keys(), *clock));
    let kept = limits.keep.saturating_sub(1);
    let removed = segments.get(..segments.len().saturating_sub(kept)).unwrap_or_default();
    for segment in removed {
        let last = match last_seq(log, *segment) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            last => last?,
        };
        let entry = Entry::new(Event::Removed, clock.now_ms()).with("segment", *segment);
        batch.push(&entry.with("last_seq", last));
    }
    // Told before it is done: whoever is killed in between leaves more than was told, not less.
    batch.write(folder)?.sync_all()?;
    for segment in removed {
        match fs::remove_file(folder.segment(*segment)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    folder.sync()
}

/// The number of the last line of a segment.
fn last_seq(log: &Log, segment: u64) -> io::Result<u64> {
    let mut lines = Lines::new(File::open(log.folder.segment(segment))?);
    let mut last = 0;
    while let Some(line) = lines.next()? {
        last = Stated::read(line.text).map_or(last, |stated| stated.seq);
    }
    Ok(last)
}
