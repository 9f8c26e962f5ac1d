//! The end of a log, for a person who looks at it while it grows.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, ErrorKind, Seek as _, SeekFrom},
    path::Path,
};

use super::{folder::Folder, lines::Lines};

/// How many lines are kept at most.
const MOST: usize = 100_000;

/// The end of a log.
#[derive(Debug)]
pub struct Tail {
    folder: Folder,
    segment: u64,
    offset: u64,
}

impl Tail {
    /// The last lines of the log in a folder, so many at most, and what gives those to come. Error: it cannot be read, or
    /// there is none.
    pub fn of(folder: &Path, most: usize) -> io::Result<(Vec<String>, Self)> {
        let folder = Folder::at(folder);
        let segments = folder.segments()?;
        let Some(last) = segments.last().copied() else {
            let message = format!("there is no audit log in `{}`", folder.path().display());
            return Err(io::Error::new(ErrorKind::NotFound, message));
        };
        let most = most.min(MOST);
        let mut tail = Self { folder, segment: last, offset: 0 };
        let mut found = VecDeque::new();
        for segment in segments.into_iter().rev() {
            let wanted = most.saturating_sub(found.len());
            if wanted == 0 && segment != last {
                break;
            }
            let (lines, end) = read(&tail.folder, (segment, 0), wanted)?;
            if segment == last {
                tail.offset = end;
            }
            lines.into_iter().rev().for_each(|line| found.push_front(line));
        }
        Ok((found.into(), tail))
    }

    /// What was written since.
    pub fn more(&mut self) -> io::Result<Vec<String>> {
        let (mut lines, end) = read(&self.folder, (self.segment, self.offset), MOST)?;
        self.offset = end;
        let present = self.segment;
        for segment in self.folder.segments()?.into_iter().filter(|segment| *segment > present) {
            let (newer, end) = read(&self.folder, (segment, 0), MOST)?;
            lines.extend(newer);
            (self.segment, self.offset) = (segment, end);
        }
        Ok(lines)
    }
}

/// The last whole lines of a segment behind a place, and where they end.
fn read(folder: &Folder, (segment, from): (u64, u64), most: usize) -> io::Result<(Vec<String>, u64)> {
    let mut file = match File::open(folder.segment(segment)) {
        Ok(file) => file,
        // Removed meanwhile, to make room.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok((Vec::new(), from)),
        Err(error) => return Err(error),
    };
    file.seek(SeekFrom::Start(from))?;
    let mut lines = Lines::new(file);
    let (mut found, mut end) = (VecDeque::new(), from);
    while let Some(line) = lines.next()? {
        if !line.is_whole {
            break;
        }
        end = end.saturating_add(line.bytes);
        if found.len() >= most {
            found.pop_front();
        }
        if most > 0 {
            found.push_back(String::from_utf8_lossy(line.text).into_owned());
        }
    }
    Ok((found.into(), end))
}
