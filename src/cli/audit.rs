//! `keyglass audit`: whether the audit log is whole, and what happened lately.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    EXIT_DIAGNOSTICS, Usage, count, print, shutdown_signal,
    table::{lines, plain},
};
use crate::{
    audit::{self, Report, Tail, verify},
    clock::Clock,
    config::{AuditFlag, Options, Settings},
};

/// How often it is looked for new lines.
const LOOKS: Duration = Duration::from_millis(250);
/// The longest name that is shown of anything, in characters.
const MAX_SHOWN: usize = 40;
/// The longest text that is shown of arguments, in characters.
const MAX_ARGUMENTS_SHOWN: usize = 160;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    work: Work,
}

#[derive(Debug, Subcommand)]
enum Work {
    /// Look whether the log is what was written: whether lines were edited, cut off, put in or moved, and where
    Verify {
        /// Print JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Show the last lines
    Tail {
        /// How many
        #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
        lines: usize,
        /// Go on with those to come, until stopped
        #[arg(short, long)]
        follow: bool,
        /// Print the lines as they stand in the log
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        place: Place,
    },
    /// Begin a new segment; the oldest one goes if there are more than are kept
    Rotate {
        #[command(flatten)]
        place: Place,
    },
}

/// Where the log is.
#[derive(Args, Debug)]
struct Place {
    /// Folder of the embedded backend [default: the platform's data folder] [env: KEYGLASS_DATA_DIR]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Configuration file (YAML), of which what concerns the audit log is read [env: KEYGLASS_CONFIG]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    audit: AuditFlag,
}

impl Place {
    fn settings(self) -> anyhow::Result<(Settings, PathBuf)> {
        let Self { data_dir, config, audit } = self;
        let mut settings = Options { data_dir, config, ..Options::default() }.or_environment()?.settings()?;
        audit.over(&mut settings)?;
        if !settings.audit.is_kept() {
            return Err(Usage("`off` names no log: give the folder of one, or leave `--audit` out".to_owned()).into());
        }
        let folder = settings.audit.folder(settings.data_dir.as_deref())?;
        Ok((settings, folder))
    }
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    match arguments.work {
        Work::Verify { json, place } => {
            let (_, folder) = place.settings()?;
            let report = verify(&folder).context("cannot verify")?;
            print(&if json { in_json(&report) } else { told(&report) })?;
            Ok(if report.is_intact() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_DIAGNOSTICS) })
        }
        Work::Tail { lines, follow, json, place } => {
            let (_, folder) = place.settings()?;
            tail(&folder, (lines, follow), json).await?;
            Ok(ExitCode::SUCCESS)
        }
        Work::Rotate { place } => {
            let (settings, folder) = place.settings()?;
            let segment = audit::rotate(&folder, settings.audit.limits(), Clock::System)?;
            print(&format!("the log goes on in the segment {segment}\n"))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// What was found, for a person.
fn told(report: &Report) -> String {
    let Report { lines, segments, first, last, damages, more_damages, lost, torn } = report;
    let mut text = String::new();
    for damage in damages {
        text.push_str(&plain(&damage.to_string()));
        text.push('\n');
    }
    if *more_damages > 0 {
        text.push_str(&format!("and {}\n", count_of(*more_damages, "more place")));
    }
    let span = match (first, last) {
        (Some((from, begun)), Some((to, ended, code))) => {
            format!(", seq {from} to {to}, {} to {}; the last line has the code {code}", plain(begun), plain(ended))
        }
        _ => String::new(),
    };
    let judged = if report.is_intact() { "intact" } else { "damaged" };
    text.push_str(&format!("{judged}: {} in {}{span}\n", count_of(*lines, "line"), count(*segments, "segment")));
    if *lost > 0 {
        let were = count_of(*lost, "line");
        text.push_str(&format!("the log itself says that {were} could not be written\n"));
    }
    if *torn > 0 {
        let were = count_of(*torn, "line");
        text.push_str(&format!("{were} not written to the end, since a process was killed; this is no damage\n"));
    }
    text
}

fn count_of(number: u64, thing: &str) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), thing)
}

/// What was found, for programs.
fn in_json(report: &Report) -> String {
    let Report { lines, segments, first, last, damages, more_damages, lost, torn } = report;
    let end = |seq: u64, time: &str| serde_json::json!({"seq": seq, "time": time});
    let damages = damages.iter().map(|damage| {
        serde_json::json!({"segment": damage.segment, "line": damage.line, "seq": damage.seq, "count": damage.count,
            "kind": damage.what.kind(), "text": damage.to_string()})
    });
    let report = serde_json::json!({
        "intact": report.is_intact(),
        "lines": lines,
        "segments": segments,
        "first": first.as_ref().map(|(seq, time)| end(*seq, time)),
        "last": last.as_ref().map(|(seq, time, _)| end(*seq, time)),
        "code": last.as_ref().map(|(.., code)| code.to_string()),
        "damages": damages.collect::<Vec<_>>(),
        "moreDamages": more_damages,
        "lost": lost,
        "torn": torn,
    });
    format!("{report:#}\n")
}

async fn tail(folder: &std::path::Path, (most, follow): (usize, bool), json: bool) -> anyhow::Result<()> {
    let (found, mut tail) = Tail::of(folder, most).context("cannot read the audit log")?;
    print(&shown(&found, json, true))?;
    if !follow {
        return Ok(());
    }
    let stop = shutdown_signal().context("cannot listen for signals")?;
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOKS) => {}
        }
        let more = tail.more()?;
        if more.is_empty() {
            continue;
        }
        let mut out = io::stdout().lock();
        match out.write_all(shown(&more, json, false).as_bytes()).and_then(|()| out.flush()) {
            // Whoever read has left.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written?,
        }
    }
}

/// Lines of the log, for a terminal.
fn shown(found: &[String], json: bool, with_head: bool) -> String {
    const HEAD: [&str; 9] = ["TIME", "WHO", "CLIENT", "WHAT", "RISK", "DECISION", "OUTCOME", "MS", "ARGUMENTS"];
    if json {
        return found.iter().map(|line| plain(line) + "\n").collect();
    }
    let head = with_head.then(|| HEAD.map(str::to_owned));
    lines(head.into_iter().chain(found.iter().map(|line| row(line))))
}

/// A line of the log as a row.
fn row(line: &str) -> [String; 9] {
    let Ok(Value::Object(members)) = serde_json::from_str::<Value>(line) else {
        let mut row = [const { String::new() }; 9];
        if let Some(what) = row.get_mut(3) {
            "(a line that cannot be read)".clone_into(what);
        }
        return row;
    };
    let text = |name: &str| match members.get(name) {
        Some(Value::String(text)) => audit::cleaned(text, MAX_SHOWN),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    let unless_empty = |text: String, otherwise: &str| if text.is_empty() { otherwise.to_owned() } else { text };
    let time = text("time").replace('T', " ");
    let event = text("event");
    let named = unless_empty(text("tool"), if text("tool_digest").is_empty() { "" } else { "(unknown)" });
    let what = match (event.as_str(), named.as_str()) {
        ("call", named) => named.to_owned(),
        (event, "") => event.to_owned(),
        (event, named) => format!("{event} {named}"),
    };
    let who = format!("{} ({})", unless_empty(text("principal"), "-"), unless_empty(text("transport"), "-"));
    let who = if members.contains_key("principal") { who } else { "-".to_owned() };
    let decision = match text("decided_by").as_str() {
        "" => text("decision"),
        by => format!("{} by {by}", text("decision")),
    };
    let outcome = match text("status").as_str() {
        "" => text("outcome"),
        status => format!("{} {status}", text("outcome")),
    };
    let arguments = members.get("arguments").and_then(Value::as_object).into_iter().flatten();
    let argument = |(name, argument): (&String, &Value)| {
        let value = argument.get("value").or_else(|| argument.get("members"));
        let digest = || format!("#{}", argument.get("digest").and_then(Value::as_str).unwrap_or_default());
        let shown = value.map_or_else(digest, Value::to_string);
        // Enough of a digest to tell two apart.
        let shown = if value.is_none() { shown.chars().take(9).collect() } else { shown };
        format!("{}={shown}", name.chars().take(MAX_SHOWN).collect::<String>())
    };
    let arguments = arguments.map(argument).collect::<Vec<_>>().join(" ");
    let arguments = audit::cleaned(&arguments, MAX_ARGUMENTS_SHOWN);
    [time, who, text("client"), what, text("risk"), decision, outcome, text("duration_ms"), arguments]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_who_did_what() {
        let line = r##"{"seq":3,"time":"2027-01-15T08:00:00.001Z","event":"call","principal":"token:ci","client":"a\u001b[2J",
            "transport":"http","tool":"delete_secret","risk":"destructive","arguments":{"name":{"digest":"00112233445566778899aabbccddeeff","value":"DB"},
            "note":{"digest":"ffeeddccbbaa99887766554433221100"}},"decision":"confirmed","decided_by":"console","outcome":"ok","status":200,"duration_ms":1.250}"##;
        assert_eq!(
            row(line),
            [
                "2027-01-15 08:00:00.001Z",
                "token:ci (http)",
                "a[2J",
                "delete_secret",
                "destructive",
                "confirmed by console",
                "ok 200",
                "1.25",
                "name=\"DB\" note=#ffeeddcc"
            ]
        );
        assert!(row("junk")[3].contains("cannot be read"));
    }
}
