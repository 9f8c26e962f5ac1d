//! What the embedded backend costs: reading and writing secrets over loopback, beside the bare alternatives; and what
//! many secrets cost in memory and time.
//!
//! `cargo bench --bench backend` builds and runs it; `-- reads writes many` names the parts that are wanted. Reads stand beside a handler of the same HTTP library that answers
//! with the same bytes from memory, writes beside a loop that inserts the same rows into SQLite with the same durability,
//! a commit a row, without any HTTP. Each is a process of its own; all have their turn in every round, so that the
//! machine's noise falls on all alike. Medians of the rounds and ratios are printed. Nothing is asserted about time.

use std::{
    fmt::Write as _,
    fs,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use axum::{
    Router,
    routing::{get, post},
};
use http::header;
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::Command,
};

mod measure;
use measure::{Client, Failure, ROUNDS, SPAN, Sample, Server, micros, quantile};

/// What programs say before where they listen.
const LISTENS: &str = "listens on ";
const KEYGLASS: &str = env!("CARGO_BIN_EXE_keyglass");
const CONNECTIONS: [usize; 3] = [1, 16, 64];
/// How many secrets there are when lists and look-ups are measured.
const SIZES: [usize; 4] = [100, 1_000, 10_000, 100_000];
/// Requests of a kind for one such measurement.
const LOOK_UPS: usize = 2_000;
/// The bytes of a value.
const VALUE: &str = "correct horse battery staple, and a little more of it";
/// So that no limit stands in the way of what is measured.
const LIMITS: &str = "backend_limits: { requests_per_second: 1000000, request_burst: 1000000 }\n";
/// Mark the processes that are compared with.
const BARE: &str = "--bare";
const RAW: &str = "--raw";

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match (arguments.next().as_deref(), arguments.next()) {
        (Some(BARE), Some(answer)) => runtime()?.block_on(bare(answer)),
        (Some(RAW), Some(database)) => raw(Path::new(&database)),
        _ => {
            let parts: Vec<String> = std::env::args().skip(1).filter(|part| !part.starts_with('-')).collect();
            // One thread, as a client that must not take more of the machine than it has to.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let report = runtime.block_on(measure(&parts))?;
            std::io::Write::write_all(&mut std::io::stdout(), report.as_bytes())?;
            Ok(())
        }
    }
}

/// The bare handler: the same bytes, from memory.
async fn bare(answer: String) -> Result<(), Failure> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    std::io::Write::write_all(
        &mut std::io::stderr(),
        format!("listens on http://{}\n", listener.local_addr()?).as_bytes(),
    )?;
    let answer = move || {
        let answer = answer.clone();
        async move { ([(header::CONTENT_TYPE, "application/json")], answer) }
    };
    let router = Router::new().route("/v1/secrets/{name}", get(answer.clone())).route("/v1/secrets", post(answer));
    Ok(axum::serve(listener, router).await?)
}

/// The bare write loop: a commit a row, for as long as a measurement takes whenever a line comes in.
fn raw(database: &Path) -> Result<(), Failure> {
    let connection = Connection::open(database)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(
        "CREATE TABLE secrets (id TEXT PRIMARY KEY, account_id TEXT NOT NULL, name TEXT NOT NULL, sealed BLOB NOT NULL,
             create_time_ms INTEGER NOT NULL, update_time_ms INTEGER NOT NULL, mark BLOB NOT NULL,
             UNIQUE (account_id, name)) STRICT",
    )?;
    std::io::Write::write_all(&mut std::io::stderr(), b"listens on nothing\n")?;
    let mut number = 0_u64;
    for line in std::io::stdin().lines() {
        line?;
        let mut times = Vec::new();
        let begun = Instant::now();
        while begun.elapsed() < SPAN {
            let before = Instant::now();
            number += 1;
            let sealed = [7_u8; 4 + 1 + 24 + 16 + VALUE.len()];
            connection.prepare_cached("INSERT INTO secrets VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6)")?.execute(params![
                format!("sec_{number:021}"),
                "acc_000000000000000000000",
                format!("RAW_{number}"),
                sealed.as_slice(),
                1_700_000_000_000_i64,
                [7_u8; 36].as_slice()
            ])?;
            times.push(before.elapsed());
        }
        let rate = times.len() as f64 / begun.elapsed().as_secs_f64();
        let [p50, p99] = [0.5, 0.99].map(|part| micros(quantile(&mut times, part)));
        let line = format!("{}\n", json!({"rate": rate, "p50": p50, "p99": p99}));
        std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes())?;
    }
    Ok(())
}

async fn measure(parts: &[String]) -> Result<String, Failure> {
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("keyglass.yaml"), LIMITS)?;
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|wanted| wanted == part);
    let mut report = String::new();
    if wanted("reads") {
        reads(folder.path(), &mut report).await?;
    }
    if wanted("writes") {
        writes(folder.path(), &mut report).await?;
    }
    if wanted("many") {
        many(folder.path(), &mut report).await?;
    }
    Ok(report)
}

/// `GET` of one secret beside the bare handler.
async fn reads(folder: &Path, report: &mut String) -> Result<(), Failure> {
    let (keyglass, key) = keyglass(folder, "reads").await?;
    let mut client = Client::open(&keyglass.address).await?;
    let made = client.ask(&creation(&key, "BENCH")).await?;
    let read = get_request(&key, "BENCH");
    let answer = client.ask(&read).await?;
    if made != answer {
        return Err("the secret does not read as it was made".into());
    }
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(BARE).arg(String::from_utf8(answer)?);
    let bare = Server::start(command, LISTENS).await?;
    let [mut ours, mut theirs]: [[Sample; 3]; 2] = Default::default();
    for _ in 0..ROUNDS {
        for (connections, (ours, theirs)) in CONNECTIONS.into_iter().zip(ours.iter_mut().zip(&mut theirs)) {
            bare.load(connections, || read.clone(), theirs).await?;
            keyglass.load(connections, || read.clone(), ours).await?;
        }
    }
    writeln!(report, "GET /v1/secrets/{{name}}, medians of {ROUNDS} rounds:")?;
    for (connections, (ours, theirs)) in CONNECTIONS.into_iter().zip(ours.iter_mut().zip(&mut theirs)) {
        writeln!(report, "  {connections:>2} connections  {}", theirs.line("bare handler"))?;
        let ratio = ours.rate() / theirs.rate();
        writeln!(report, "  {connections:>2} connections  {}   {ratio:.2} of bare", ours.line("keyglass"))?;
    }
    Ok(())
}

/// `POST` of new secrets beside the bare loop.
async fn writes(folder: &Path, report: &mut String) -> Result<(), Failure> {
    let (keyglass, key) = keyglass(folder, "writes").await?;
    let mut names = 0..;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(RAW).arg(folder.join("raw.db")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut raw = RawLoop::start(Server::start(command, LISTENS).await?)?;
    let (mut ours, mut theirs): ([Sample; 3], Sample) = Default::default();
    for _ in 0..ROUNDS {
        for (connections, ours) in CONNECTIONS.into_iter().zip(&mut ours) {
            raw.measure(&mut theirs).await?;
            let requests = || creation(&key, &format!("NAME_{}", names.next().unwrap_or_default()));
            keyglass.load(connections, requests, ours).await?;
        }
    }
    writeln!(report, "POST /v1/secrets, on the disk before it is answered:")?;
    writeln!(report, "  no HTTP         {}", theirs.line("bare loop, a commit a row"))?;
    for (connections, ours) in CONNECTIONS.into_iter().zip(&mut ours) {
        let ratio = ours.rate() / theirs.rate();
        writeln!(report, "  {connections:>2} connections  {}   {ratio:.2} of bare", ours.line("keyglass"))?;
    }
    Ok(())
}

/// The embedded backend on a data folder, and its root key.
async fn keyglass(folder: &Path, data: &str) -> Result<(Server, String), Failure> {
    let data = folder.join(data);
    let mut command = Command::new(KEYGLASS);
    command
        .args(["backend", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(&data)
        .env("KEYGLASS_CONFIG", folder.join("keyglass.yaml"))
        .env("KEYGLASS_LOG", "keyglass=info");
    let server = Server::start(command, LISTENS).await?;
    Ok((server, fs::read_to_string(data.join("root.key"))?.trim().to_owned()))
}

/// Memory, lists and look-ups with ever more secrets.
async fn many(folder: &Path, report: &mut String) -> Result<(), Failure> {
    writeln!(report, "With many secrets, one connection, p50 of {LOOK_UPS} requests each:")?;
    let mut stored = 0;
    for size in SIZES {
        let (filling, key) = keyglass(folder, "many").await?;
        let mut fill = Vec::new();
        for part in 0..64 {
            let names: Vec<_> = (stored..size).filter(|number| number % 64 == part).collect();
            let (address, key) = (filling.address.clone(), key.clone());
            fill.push(tokio::spawn(async move {
                let mut client = Client::open(&address).await?;
                for number in names {
                    client.ask(&creation(&key, &format!("MANY_{number}"))).await?;
                }
                Ok::<_, Failure>(())
            }));
        }
        for part in fill {
            part.await??;
        }
        stored = size;
        let filled = filling.memory();
        drop(filling);

        let (keyglass, key) = keyglass(folder, "many").await?;
        let mut client = Client::open(&keyglass.address).await?;
        let [mut look_ups, mut lists]: [Vec<Duration>; 2] = Default::default();
        for request in 0..LOOK_UPS {
            let name = format!("MANY_{}", request * 7_919 % size);
            let before = Instant::now();
            client.ask(&get_request(&key, &name)).await?;
            look_ups.push(before.elapsed());
            let before = Instant::now();
            client.ask(&request_head("GET", "/v1/secrets?limit=20", &key, "")).await?;
            lists.push(before.elapsed());
        }
        writeln!(
            report,
            "  {size:>6} secrets   look-up {:>5.0} us   list of 20 {:>5.0} us   memory {:>6} KiB after filling, {:>6} KiB \
             after these requests",
            micros(quantile(&mut look_ups, 0.5)),
            micros(quantile(&mut lists, 0.5)),
            filled,
            keyglass.memory(),
        )?;
    }
    Ok(())
}

/// The bare write loop, in its process.
struct RawLoop {
    server: Server,
    lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
}

impl RawLoop {
    fn start(mut server: Server) -> Result<Self, Failure> {
        let output = server.child.stdout.take().ok_or("no output")?;
        Ok(Self { server, lines: BufReader::new(output).lines() })
    }

    async fn measure(&mut self, sample: &mut Sample) -> Result<(), Failure> {
        let before = self.server.processor_time();
        self.server.child.stdin.as_mut().ok_or("no input")?.write_all(b"\n").await?;
        let line = self.lines.next_line().await?.ok_or("the loop ended")?;
        let spent = self.server.processor_time() - before;
        let line: Value = serde_json::from_str(&line)?;
        let number = |name: &str| line.get(name).and_then(Value::as_f64).unwrap_or_default();
        sample.rates.push(number("rate"));
        sample.costs.push(spent * 1e6 / (number("rate") * SPAN.as_secs_f64()));
        sample.p50s.push(number("p50"));
        sample.p99s.push(number("p99"));
        Ok(())
    }
}

fn get_request(key: &str, name: &str) -> Vec<u8> {
    request_head("GET", &format!("/v1/secrets/{name}"), key, "")
}

fn creation(key: &str, name: &str) -> Vec<u8> {
    request_head("POST", "/v1/secrets", key, &json!({"name": name, "value": VALUE}).to_string())
}

fn request_head(method: &str, path: &str, key: &str, body: &str) -> Vec<u8> {
    let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    format!(
        "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\naccept: application/json\r\n\
         content-type: application/json\r\n{length}\r\n{body}"
    )
    .into_bytes()
}
