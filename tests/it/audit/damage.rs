//! Whatever is done to a log is found, and where.

use std::fs;

use keyglass::audit::{Damage, Damaged};
use proptest::{prelude::*, test_runner::TestRunner};

use super::{Log, segments};

/// What is wrong, without anything else.
fn found(log: &Log) -> Vec<(u64, u64, Option<u64>, u64, Damaged)> {
    let damages = log.verified().damages.into_iter();
    damages.map(|Damage { segment, line, seq, count, what }| (segment, line, seq, count, what)).collect()
}

#[tokio::test]
async fn a_log_that_nobody_touched_is_intact() {
    let log = Log::with_segments(20_000, 100);
    log.write(300).await;
    log.write(0).await;
    log.write(10).await;
    let report = log.verified();
    assert!(report.is_intact(), "{:?}", report.damages);
    assert_eq!(report.segments, log.segments().len());
    assert!(report.segments > 2);
    let openings = u64::try_from(report.segments).unwrap();
    assert_eq!((report.lines, report.lost, report.torn), (310 + openings, 0, 0));
    assert_eq!(report.first.map(|(seq, _)| seq), Some(1));
    assert_eq!(report.last.map(|(seq, ..)| seq), Some(310 + openings));
}

/// One change to any line of any log: that very line is named.
#[test]
fn any_change_of_any_line_is_found_and_located() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() });
    let changes = (5..60_usize, any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..6_u8, any::<u8>());
    let outcome = runner.run(&changes, |(entries, place, other, kind, byte)| {
        let log = Log::new();
        runtime.block_on(log.write(entries));
        let mut lines = log.lines_of(0);
        let count = lines.len();
        let at = place.index(count);
        let number = |place: usize| u64::try_from(place + 1).unwrap();
        let line = number(at);
        let expected = match kind {
            // A bit of any byte of it, but for what would make two lines of it.
            0 => {
                let mut bytes = lines[at].clone().into_bytes();
                let which = other.index(bytes.len());
                bytes[which] = if bytes[which] == b'a' { b'b' } else { b'a' };
                lines[at] = String::from_utf8(bytes).unwrap();
                (1, line, Some(line), 1, Damaged::Edited)
            }
            // It is taken out.
            1 => {
                lines.remove(at);
                let is_last = at + 1 == count;
                (1, if is_last { 0 } else { line }, Some(line), 1, Damaged::Cut)
            }
            // Something is put in before it.
            2 => {
                let text =
                    if byte % 2 == 0 { "{\"seq\":3,\"event\":\"call\"}".to_owned() } else { "\u{fffd}".to_owned() };
                lines.insert(at, text);
                (1, line, None, 1, Damaged::Inserted)
            }
            // A copy of another line is put in before it.
            3 => {
                let from = other.index(count);
                let copy = lines[from].clone();
                // Beside the line that it is a copy of, the second of the two is the copy.
                let place = if at == from { at + 1 } else { at };
                lines.insert(at, copy);
                (1, number(place), Some(number(from)), 1, Damaged::Inserted)
            }
            // It is exchanged with the one behind it.
            4 if at + 1 < count => {
                lines.swap(at, at + 1);
                (1, line, Some(line + 1), 1, Damaged::Reordered)
            }
            // The end is cut off.
            _ => {
                lines.truncate(at);
                (1, 0, Some(line), u64::try_from(count - at).unwrap(), Damaged::Cut)
            }
        };
        log.set_lines(0, &lines);
        let damages = found(&log);
        // The first line names the key: one that names another was written with another, as far as anybody can tell.
        if kind == 0 && at == 0 && damages.first().is_some_and(|damage| damage.4 == Damaged::KeyMissing) {
            return Ok(());
        }
        prop_assert!(damages.len() == 1, "{kind} {at}: {damages:?}");
        // At the beginning and at the end it cannot be told which of two neighbours was moved.
        let is_swap = damages[0].4 == Damaged::Reordered;
        if is_swap {
            prop_assert!(damages[0].1.abs_diff(line) <= 1, "{at}: {damages:?}");
        } else {
            prop_assert_eq!(&damages[0], &expected, "{} {}", kind, at);
        }
        Ok(())
    });
    outcome.unwrap();
}

#[tokio::test]
async fn each_kind_of_damage_is_found_in_a_hundred_thousand_lines() {
    let log = Log::with_segments(5 * 1024 * 1024, 100);
    log.write(100_000).await;
    let whole = log.verified();
    assert!(whole.is_intact() && whole.lines > 100_000 && whole.segments > 2, "{whole:?}");
    let seq_of = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["seq"].as_u64();
    let mut first = log.lines_of(0);
    let mut second = log.lines_of(1);
    let mut expected = Vec::new();

    expected.push((1, 301, seq_of(&second[7]), 1, Damaged::Inserted));
    first.insert(300, second[7].clone());
    expected.push((1, 4_001, seq_of(&first[4_000]), 1, Damaged::Edited));
    first[4_000] = first[4_000].replace("\"ok\"", "\"no\"");
    expected.push((1, 5_001, seq_of(&first[5_000]), 100, Damaged::Cut));
    first.drain(5_000..5_100);
    log.set_lines(0, &first);

    let moved = second.remove(100);
    expected.push((2, 3_001, seq_of(&moved), 1, Damaged::Reordered));
    second.insert(3_000, moved);
    let moved = second.remove(9_000);
    expected.push((2, 4_001, seq_of(&moved), 1, Damaged::Reordered));
    second.insert(4_000, moved);
    log.set_lines(1, &second);

    // A whole segment.
    let (from, next) = (seq_of(&log.lines_of(2)[0]), seq_of(&log.lines_of(3)[0]));
    expected.push((4, 1, from, next.unwrap() - from.unwrap(), Damaged::Cut));
    let (gone, last) = (log.segments()[2].clone(), log.segments().len());
    let mut end = log.lines_of(last - 1);
    expected.push((u64::try_from(last).unwrap(), 0, seq_of(&end[end.len() - 7]), 7, Damaged::Cut));
    end.truncate(end.len() - 7);
    log.set_lines(last - 1, &end);
    fs::remove_file(gone).unwrap();
    assert_eq!(found(&log), expected);
}

#[tokio::test]
async fn a_head_that_is_gone_or_put_back_is_told() {
    let log = Log::new();
    log.write(10).await;
    let head = log.path().join("audit.head");
    let old = fs::read(&head).unwrap();
    log.write(10).await;
    fs::write(&head, &old).unwrap();
    assert!(log.verified().is_intact(), "it is behind, as where a process was killed");
    fs::write(&head, String::from_utf8(old).unwrap().replace("seq=0", "seq=1")).unwrap();
    assert_eq!(found(&log), [(0, 0, None, 1, Damaged::HeadBroken)]);
    fs::remove_file(&head).unwrap();
    assert_eq!(found(&log), [(0, 0, None, 1, Damaged::HeadMissing)]);
    log.write(1).await;
    assert_eq!(found(&log), [(1, 22, Some(22), 1, Damaged::Recovered("head missing".to_owned()))]);
    assert_eq!(log.verified().lines, 23);
}

#[tokio::test]
async fn a_log_of_which_only_the_key_is_left_is_told() {
    let log = Log::new();
    log.write(10).await;
    for name in ["00000001.jsonl", "audit.head"] {
        fs::remove_file(log.path().join(name)).unwrap();
    }
    assert_eq!(found(&log), [(0, 0, None, 1, Damaged::HeadMissing)]);
    log.write(1).await;
    assert_eq!(found(&log), [(1, 2, Some(2), 1, Damaged::Recovered("all lines missing".to_owned()))]);
    assert_eq!(log.verified().lines, 3);
    let unused = Log::new();
    unused.write(0).await;
    assert!(unused.verified().is_intact(), "a program that did nothing leaves no gap");
}

#[tokio::test]
async fn without_its_key_nothing_of_a_log_is_believed() {
    let log = Log::new();
    log.write(10).await;
    fs::remove_file(log.path().join("audit.key")).unwrap();
    assert_eq!(found(&log), [(1, 0, None, 11, Damaged::KeyMissing)]);
    log.write(5).await;
    let damages = found(&log);
    assert_eq!(damages[0], (1, 0, None, 11, Damaged::KeyMissing));
    assert_eq!(damages[1], (2, 2, Some(13), 1, Damaged::Recovered("key missing".to_owned())));
    assert_eq!(damages.len(), 2, "{damages:?}");
    // What goes on from there is sound in itself, and watched over.
    let mut lines = log.lines_of(1);
    lines[3] = lines[3].replace("\"ok\"", "\"no\"");
    log.set_lines(1, &lines);
    assert!(found(&log).contains(&(2, 4, Some(15), 1, Damaged::Edited)), "{:?}", found(&log));
}

#[tokio::test]
async fn what_is_cut_off_stays_a_gap_when_others_write_on() {
    let log = Log::new();
    log.write(20).await;
    let mut lines = log.lines_of(0);
    lines.truncate(10);
    log.set_lines(0, &lines);
    log.write(5).await;
    assert_eq!(found(&log), [(1, 11, Some(11), 11, Damaged::Cut)]);
    // And in the middle of a line.
    let log = Log::new();
    log.write(20).await;
    let text = fs::read(&log.segments()[0]).unwrap();
    fs::write(&log.segments()[0], &text[..text.len() - 10]).unwrap();
    assert_eq!(found(&log), [(1, 21, Some(21), 1, Damaged::Edited)]);
    log.write(5).await;
    assert_eq!(found(&log), [(1, 21, Some(21), 1, Damaged::Edited)]);
}

#[tokio::test]
async fn half_a_line_behind_the_head_is_closed_off_and_told() {
    let log = Log::new();
    log.write(5).await;
    let path = log.segments()[0].clone();
    let mut text = fs::read(&path).unwrap();
    text.extend_from_slice(b"{\"seq\":7,\"time\":\"20");
    fs::write(&path, &text).unwrap();
    let report = log.verified();
    assert!(report.is_intact() && report.torn == 1, "{report:?}");
    log.write(3).await;
    let report = log.verified();
    assert!(report.is_intact() && report.torn == 1, "{report:?}");
    let lines = log.lines_of(0);
    assert!(lines[7].contains("\"event\":\"torn\",\"bytes\":19,"), "{}", lines[7]);
    // The excuse is good for that very text alone.
    let mut forged = lines.clone();
    forged[6] = forged[6].replace("20", "19");
    log.set_lines(0, &forged);
    assert_eq!(found(&log), [(1, 7, None, 1, Damaged::Inserted)]);
}

#[tokio::test]
async fn lines_behind_the_head_are_taken_up() {
    let log = Log::new();
    log.write(5).await;
    let head = fs::read(log.path().join("audit.head")).unwrap();
    log.write(5).await;
    fs::write(log.path().join("audit.head"), head).unwrap();
    log.write(5).await;
    let report = log.verified();
    assert!(report.is_intact() && report.lines == 16, "{report:?}");
}

#[tokio::test]
async fn old_segments_go_and_it_is_known_that_they_were_meant_to() {
    let log = Log::with_segments(5_000, 3);
    log.write(1).await;
    for _ in 0..20 {
        log.write(10).await;
    }
    let report = log.verified();
    assert!(report.is_intact() && report.segments == 3, "{report:?}");
    assert!(report.first.as_ref().is_some_and(|(seq, _)| *seq > 100), "{report:?}");
    // One more than that was not.
    let first = log.segments()[0].clone();
    fs::remove_file(first).unwrap();
    let damages = found(&log);
    assert!(matches!(damages[..], [(_, 1, _, _, Damaged::Cut)]), "{damages:?}");
    let number = keyglass::audit::rotate(log.path(), log.limits, keyglass::clock::Clock::Fixed(0)).unwrap();
    assert!(segments(log.path()).last().unwrap().ends_with(format!("{number:08}.jsonl")));
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_may_read_it() {
    use std::os::unix::fs::PermissionsExt as _;

    let log = Log::new();
    log.write(1).await;
    for entry in fs::read_dir(log.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.file_name());
    }
}
