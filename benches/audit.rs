//! What the audit log costs: what it adds to a call that reads, how many entries a second it takes without losing one, and
//! how long it takes to look through a hundred thousand lines.
//!
//! `cargo bench --bench audit` builds and runs it. Calls with and without a log take turns in the same run, so that the
//! machine's noise falls on both alike. Nothing is asserted about time; that nothing is lost is.

use std::{
    fmt::Write as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use keyglass::{
    audit::{Audit, Clear, Decision, Entry, Event, Limits, Name, Options, Origin, Transport, verify},
    call::CallContext,
    caller::Caller,
    clock::Clock,
    config,
    gateway::Gateway,
    setup::{Open, setup_again},
};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

/// Rounds in which each way has its turn.
const ROUNDS: usize = 400;
/// Calls of one way in a round.
const BURST: usize = 50;
/// Entries that are taken as fast as they come.
const MANY: usize = 200_000;
/// Calls a second that have to be kept up with, and for how many seconds.
const STEADY: (usize, usize) = (10_000, 5);
/// Lines to look through.
const LINES: usize = 100_000;

/// A tool of fixed values: nothing but keyglass itself costs time.
const SPEC: &str = r#"
naftiko: "1.0.0-alpha5"
capability:
  exposes:
    - type: mcp
      namespace: bench
      tools:
        - name: read
          description: Reads.
          inputParameters:
            - { name: id, type: string, description: An id. }
            - { name: limit, type: integer, description: A limit. }
          outputParameters:
            - { name: ok, type: string, value: "yes" }
"#;

fn main() -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let report = runtime.block_on(async { tokio::spawn(measure()).await })?.map_err(|error| error.to_string())?;
    std::io::Write::write_all(&mut std::io::stdout(), report.as_bytes())?;
    Ok(())
}

async fn measure() -> Result<String, Box<dyn std::error::Error + Send + Sync>> {
    let folder = tempfile::tempdir()?;
    let mut report = String::new();

    let spec = folder.path().join("bench.yaml");
    std::fs::write(&spec, SPEC)?;
    let log = open(&folder.path().join("calls"))?;
    let (with, without) = (gateway(&spec, log.clone())?, gateway(&spec, Audit::off())?);
    let mut times: [Vec<Duration>; 2] = Default::default();
    for _ in 0..ROUNDS {
        for (gateway, times) in [&without, &with].into_iter().zip(&mut times) {
            let begun = Instant::now();
            for _ in 0..BURST {
                call(gateway).await?;
            }
            times.push(begun.elapsed() / u32::try_from(BURST)?);
        }
    }
    log.close();
    let [without, with] = times.map(median);
    let added = with.saturating_sub(without);
    writeln!(report, "a call that reads, p50 of {} calls each:", ROUNDS * BURST)?;
    writeln!(report, "  without a log {:>7.2} us", micros(without))?;
    writeln!(report, "  with a log    {:>7.2} us   {:.2} us more", micros(with), micros(added))?;
    whole(&folder.path().join("calls"), ROUNDS * BURST)?;

    let path = folder.path().join("many");
    let log = open(&path)?;
    let begun = Instant::now();
    for number in 0..MANY {
        log.record(entry(&log, number)).await;
    }
    let taken = begun.elapsed();
    log.close();
    let written = begun.elapsed();
    whole(&path, MANY)?;
    let rate = |time: Duration| MANY as f64 / time.as_secs_f64();
    writeln!(report, "{MANY} entries at once: taken at {:.0}/s, all on file at {:.0}/s", rate(taken), rate(written))?;

    let path = folder.path().join("steady");
    let log = open(&path)?;
    let (each, seconds) = STEADY;
    let begun = Instant::now();
    let mut worst = Duration::ZERO;
    for number in 0..each * seconds {
        let due = Duration::from_secs_f64(number as f64 / each as f64);
        if let Some(rest) = due.checked_sub(begun.elapsed()).filter(|rest| *rest > Duration::from_millis(1)) {
            tokio::time::sleep(rest).await;
        }
        let before = Instant::now();
        log.record(entry(&log, number)).await;
        worst = worst.max(before.elapsed());
    }
    let took = begun.elapsed();
    log.close();
    whole(&path, each * seconds)?;
    writeln!(
        report,
        "{each} entries a second for {seconds} s: {:.2} s, none lost, the slowest {:.0} us",
        took.as_secs_f64(),
        micros(worst)
    )?;

    let path = folder.path().join("lasting");
    let log = open(&path)?;
    let mut lasting = Vec::new();
    for number in 0..200 {
        let before = Instant::now();
        log.record_lasting(entry(&log, number)).await?;
        lasting.push(before.elapsed());
    }
    log.close();
    writeln!(report, "an entry that is on the disk before the call goes on: {:.0} us (p50)", micros(median(lasting)))?;

    let path = folder.path().join("lines");
    let log = open(&path)?;
    for number in 0..LINES {
        log.record(entry(&log, number)).await;
    }
    log.close();
    let begun = Instant::now();
    let lines = whole(&path, LINES)?;
    writeln!(report, "{lines} lines verified in {:.2} s", begun.elapsed().as_secs_f64())?;
    Ok(report)
}

fn open(folder: &Path) -> Result<Audit, keyglass::audit::AuditError> {
    let options =
        Options { folder: folder.to_owned(), required: false, limits: Limits::default(), clear: Clear::default() };
    Audit::open(options, Clock::System)
}

fn gateway(spec: &Path, audit: Audit) -> Result<Gateway, Box<dyn std::error::Error + Send + Sync>> {
    let options = config::Options { capabilities: vec![spec.to_owned()], ..config::Options::default() };
    Ok(setup_again(&options.settings()?, Clock::System, &Open { audit, ..Open::default() })?.gateway)
}

async fn call(gateway: &Gateway) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let tool = gateway.tool("read").ok_or("no tool")?;
    let Value::Object(arguments) = json!({"id": "dbx_31Q8a9Fh2k", "limit": 20}) else { return Err("arguments".into()) };
    let origin = gateway.audit.is_on().then(|| Arc::new(origin()));
    let context = CallContext { origin, ..CallContext::new(keyglass::call::request_id()?) };
    gateway.call(tool, arguments, &context).await?;
    Ok(())
}

fn origin() -> Origin {
    Origin::new(Caller::local().principal, Some(("bench", "1.0.0")), (Transport::Stdio, "tools/call"))
}

/// An entry as calls make it.
fn entry(log: &Audit, number: usize) -> Entry {
    let arguments = json!({"name": format!("SECRET_{number}"), "limit": number});
    let told = |name: &str, value: &Value| match name {
        "limit" => (true, vec![(String::new(), value.clone())]),
        _ => (true, Vec::new()),
    };
    Entry {
        origin: Some(Arc::new(origin())),
        tool: Some(Name::Known("get_secret".to_owned())),
        risk: Some("read"),
        arguments: log.arguments(arguments.as_object().into_iter().flatten(), told),
        decision: Some(Decision::Allowed),
        outcome: Some("ok"),
        request_id: Some(format!("{number:016x}")),
        duration: Some(Duration::from_micros(750)),
        ..Entry::new(Event::Call, log.now_ms())
    }
}

/// Looks whether the log is whole and holds so many calls, besides the lines of its own.
fn whole(folder: &Path, calls: usize) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
    let report = verify(folder)?;
    let own = u64::try_from(report.segments)?;
    let expected = u64::try_from(calls)?;
    // Of old segments no more is known than that they were removed.
    let last = report.last.as_ref().map(|(seq, ..)| *seq).unwrap_or_default();
    if report.is_intact() && report.lost == 0 && last >= expected + own && last <= expected + 2 * own {
        Ok(report.lines)
    } else {
        Err(format!("{expected} calls, and the log holds {report:?}").into())
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
