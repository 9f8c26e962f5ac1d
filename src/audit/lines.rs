//! Reading a segment line by line, whatever stands in it.

use std::io::{self, BufRead as _, BufReader, Read};

use serde::Deserialize;

use super::entry::MAX_LINE_BYTES;

/// What is kept of a line: more than any has that this program wrote.
const KEPT: usize = 2 * MAX_LINE_BYTES;

/// A line of a segment.
#[derive(Debug)]
pub(super) struct Line<'a> {
    /// What it says, without its line break; its beginning where it is longer than any can be.
    pub(super) text: &'a [u8],
    /// Whether a line break ends it.
    pub(super) is_whole: bool,
    /// How long it is, with its line break.
    pub(super) bytes: u64,
}

/// What the chain needs to know of a line, and what is said of it.
#[derive(Debug, Deserialize)]
pub(super) struct Stated<'a> {
    pub(super) seq: u64,
    #[serde(borrow)]
    pub(super) time: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    pub(super) event: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    pub(super) prev: std::borrow::Cow<'a, str>,
}

impl<'a> Stated<'a> {
    /// What a line states; nothing of one that is none of this program's.
    pub(super) fn read(line: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}

/// The lines of a segment. Holds one of them at a time.
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
}

impl<R: Read> Lines<R> {
    pub(super) fn new(reader: R) -> Self {
        Self { reader: BufReader::with_capacity(128 * 1024, reader), line: Vec::new() }
    }

    /// The next one.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let mut bytes = 0_u64;
        let mut is_whole = false;
        while !is_whole {
            let read = self.reader.fill_buf()?;
            if read.is_empty() {
                break;
            }
            let taken = match read.iter().position(|byte| *byte == b'\n') {
                Some(place) => {
                    is_whole = true;
                    place + 1
                }
                None => read.len(),
            };
            let text = read.get(..taken - usize::from(is_whole)).unwrap_or_default();
            let room = KEPT.saturating_sub(self.line.len()).min(text.len());
            self.line.extend_from_slice(text.get(..room).unwrap_or_default());
            self.reader.consume(taken);
            bytes = bytes.saturating_add(u64::try_from(taken).unwrap_or(u64::MAX));
        }
        Ok((bytes > 0).then_some(Line { text: &self.line, is_whole, bytes }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_however_long_they_are() {
        let long = "x".repeat(KEPT * 3);
        let text = format!("one\n\n{long}\nlast");
        let mut lines = Lines::new(text.as_bytes());
        let mut read = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            read.push((line.text.len(), line.is_whole, line.bytes));
        }
        let long = u64::try_from(long.len()).unwrap() + 1;
        assert_eq!(read, [(3, true, 4), (0, true, 1), (KEPT, true, long), (4, false, 4)]);
    }
}
