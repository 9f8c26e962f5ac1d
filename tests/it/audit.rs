//! The audit log: what is in it, that it is whole, and that whatever was done to it is found.

mod calls;
mod damage;
mod processes;

use std::{
    fs,
    path::{Path, PathBuf},
};

use futures_util::FutureExt as _;
use keyglass::{
    audit::{Audit, Clear, Entry, Event, Limits, Options, Report, verify},
    clock::Clock,
};
use serde_json::Value;

const NOW_MS: i64 = 1_800_000_000_000;

/// A log in a folder of its own.
struct Log {
    folder: tempfile::TempDir,
    limits: Limits,
}

impl Log {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), limits: Limits::default() }
    }

    /// With segments of at most about so many bytes, of which so many are kept.
    fn with_segments(max_bytes: u64, keep: usize) -> Self {
        Self { limits: Limits { max_bytes, keep }, ..Self::new() }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn options(&self) -> Options {
        Options { folder: self.path().to_owned(), required: false, limits: self.limits, clear: Clear::default() }
    }

    fn open(&self) -> Audit {
        Audit::open(self.options(), Clock::Fixed(NOW_MS)).expect("an audit log")
    }

    /// Writes so many entries by one process.
    async fn write(&self, entries: usize) {
        let audit = self.open();
        for number in 0..entries {
            audit.record(entry(number)).await;
            if number % 5_000 == 4_999 {
                audit.record_lasting(entry(number)).await.expect("written");
            }
        }
        audit.close();
    }

    fn verified(&self) -> Report {
        verify(self.path()).expect("a log")
    }

    fn segments(&self) -> Vec<PathBuf> {
        segments(self.path())
    }

    fn lines_of(&self, segment: usize) -> Vec<String> {
        fs::read_to_string(&self.segments()[segment]).expect("text").lines().map(str::to_owned).collect()
    }

    fn set_lines(&self, segment: usize, lines: &[String]) {
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(&self.segments()[segment], text).expect("written");
    }
}

/// The segments of a log, in order.
fn segments(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut segments: Vec<PathBuf> = entries.filter(|path| path.extension().is_some_and(|it| it == "jsonl")).collect();
    segments.sort();
    segments
}

/// All lines of a log, as JSON.
fn lines(folder: &Path) -> Vec<Value> {
    let text: String = segments(folder).iter().map(|path| fs::read_to_string(path).expect("text")).collect();
    // The last one may be in the writing.
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| serde_json::from_str(line).expect(line)).collect()
}

fn entry(number: usize) -> Entry {
    let time = NOW_MS + i64::try_from(number).expect("a small number");
    Entry { outcome: Some("ok"), request_id: Some(format!("{number:016x}")), ..Entry::new(Event::Call, time) }
        .with("note", "x".repeat(number % 50))
}

#[tokio::test]
async fn calls_that_need_more_room_than_there_is_do_not_wait_for_each_other() {
    let log = Log::new();
    let audit = log.open();
    let begin = |announces| audit.begin(|| entry(1), announces);
    let mut under_way = Vec::new();
    // As many as there is room for.
    while let Some(recording) = tokio::task::unconstrained(begin(false)).now_or_never() {
        under_way.push(recording.expect("begun"));
    }
    assert!(under_way.len() > 1_000, "{}", under_way.len());
    let (mut one, mut two) = (Box::pin(begin(true)), Box::pin(begin(true)));
    assert!((&mut one).now_or_never().is_none() && (&mut two).now_or_never().is_none());
    // Room for one of them.
    under_way.truncate(under_way.len() - 2);
    crate::support::within(futures_util::future::select(one, two)).await;
}
