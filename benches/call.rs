//! What keyglass costs: start, memory, and one call over each transport beside the same request made directly.
//!
//! `cargo bench` builds and runs it. All paths are measured in turn in the same run, over one connection each, so that
//! the machine's noise falls on all alike; medians and ratios to the direct request are printed. Nothing is asserted
//! about time.

use std::{
    fmt::Write as _,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
};

type Failure = Box<dyn std::error::Error>;

const KEYGLASS: &str = env!("CARGO_BIN_EXE_keyglass");
/// Rounds in which every path has its turn.
const ROUNDS: usize = 200;
/// Requests of one path in a round.
const BURST: usize = 10;
/// Calls before memory is read again.
const MANY: usize = 10_000;
const STARTS: usize = 20;

fn main() -> Result<(), Failure> {
    let report = tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(measure())?;
    std::io::Write::write_all(&mut std::io::stdout(), report.as_bytes())?;
    Ok(())
}

async fn measure() -> Result<String, Failure> {
    let folder = tempfile::tempdir()?;
    let data = folder.path();
    let (_backend, backend) = listening(&["backend", "--listen", "127.0.0.1:0"], data, "listens on ").await?;
    let key = std::fs::read_to_string(data.join("root.key"))?.trim().to_owned();
    let reference = format!("file:{}", data.join("root.key").display());
    let remote = ["--backend", &backend, "--credential", &reference];

    let http = reqwest::Client::builder().no_proxy().build()?;
    let body = json!({"name": "BENCH", "value": "value"});
    http.post(format!("{backend}/v1/secrets"))
        .bearer_auth(&key)
        .header("content-type", "application/json")
        .body(body.to_string())
        .send()
        .await?
        .error_for_status()?;

    let mut report = String::new();
    let starts = start_times(data).await?;
    writeln!(report, "start to the answer to tools/list over stdio: {:.1} ms (median of {STARTS})", millis(starts))?;

    let serve_http = ["serve", "--http", "127.0.0.1:0"];
    let (over_http, http_url) = listening(&[&serve_http[..], &remote].concat(), data, "listening on ").await?;
    let (_embedded_http, embedded_url) = listening(&serve_http, data, "listening on ").await?;
    let mut over_stdio = StdioClient::start(&[&["serve"][..], &remote].concat(), data).await?;
    let mut embedded_stdio = StdioClient::start(&["serve"], data).await?;
    let direct = || http.get(format!("{backend}/v1/secrets/BENCH")).bearer_auth(&key).send();

    let idle = memory(&over_http)?;
    let mut times: [Vec<Duration>; 5] = Default::default();
    for round in 0..ROUNDS {
        for (path, times) in times.iter_mut().enumerate() {
            for request in 0..BURST {
                let id = round * BURST + request + 10;
                let before = Instant::now();
                match path {
                    0 => {
                        direct().await?.error_for_status()?.bytes().await?;
                    }
                    1 => call_http(&http, &http_url, id).await?,
                    2 => over_stdio.call(id).await?,
                    3 => call_http(&http, &embedded_url, id).await?,
                    _ => embedded_stdio.call(id).await?,
                }
                times.push(before.elapsed());
            }
        }
    }
    let [direct, rest @ ..] = times.map(median);
    writeln!(report, "get_secret, p50 of {} requests each, one at a time:", ROUNDS * BURST)?;
    writeln!(report, "  direct request to the backend     {:>7.0} us", micros(direct))?;
    for (name, time) in ["HTTP, backend over HTTP", "stdio, backend over HTTP", "HTTP, embedded", "stdio, embedded"]
        .into_iter()
        .zip(rest)
    {
        let ratio = time.as_secs_f64() / direct.as_secs_f64();
        writeln!(report, "  {name:<33} {:>7.0} us   {ratio:.2} x direct", micros(time))?;
    }
    for id in 0..MANY {
        call_http(&http, &http_url, id).await?;
    }
    writeln!(
        report,
        "memory of the HTTP server: {idle} KiB idle, {} KiB after {MANY} more calls",
        memory(&over_http)?
    )?;
    writeln!(report, "program: {:.1} MB", std::fs::metadata(KEYGLASS)?.len() as f64 / 1e6)?;
    Ok(report)
}

async fn start_times(data: &Path) -> Result<Duration, Failure> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let before = Instant::now();
        let mut client = StdioClient::start(&["serve"], data).await?;
        client.ask(&json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"})).await?;
        times.push(before.elapsed());
    }
    Ok(median(times))
}

/// A process that logs the address it listens on.
async fn listening(arguments: &[&str], data: &Path, words: &str) -> Result<(Child, String), Failure> {
    let mut child = command(arguments, data).stdin(Stdio::null()).stderr(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(child.stderr.take().ok_or("no standard error")?).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some((_, rest)) = line.split_once(words) {
            let url =
                rest.split("/mcp").next().and_then(|url| url.split_whitespace().next()).unwrap_or_default().to_owned();
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok((child, url));
        }
    }
    Err("the program ended before it listened".into())
}

fn command(arguments: &[&str], data: &Path) -> Command {
    let mut command = Command::new(KEYGLASS);
    command.args(arguments).env("KEYGLASS_DATA_DIR", data).env("KEYGLASS_LOG", "keyglass=info").kill_on_drop(true);
    command
}

fn get_secret(id: usize) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {
        "name": "get_secret",
        "arguments": {"name": "BENCH"},
        "_meta": {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "bench", "version": "1"}}}})
}

async fn call_http(http: &reqwest::Client, url: &str, id: usize) -> Result<(), Failure> {
    let answer = http
        .post(format!("{url}/mcp"))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", "2026-07-28")
        .header("mcp-method", "tools/call")
        .header("mcp-name", "get_secret")
        .body(get_secret(id).to_string())
        .send()
        .await?
        .bytes()
        .await?;
    check(&answer)
}

fn check(answer: &[u8]) -> Result<(), Failure> {
    let answer: Value = serde_json::from_slice(answer)?;
    match answer.pointer("/result/structuredContent/name").and_then(Value::as_str) {
        Some("BENCH") => Ok(()),
        _ => Err(format!("not the secret: {answer}").into()),
    }
}

/// A client over standard input and output, of the 2025-11-25 era.
struct StdioClient {
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl StdioClient {
    async fn start(arguments: &[&str], data: &Path) -> Result<Self, Failure> {
        let mut child =
            command(arguments, data).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let input = child.stdin.take().ok_or("no input")?;
        let output = BufReader::new(child.stdout.take().ok_or("no output")?).lines();
        let mut client = Self { _child: child, input, output };
        let client_info = json!({"name": "bench", "version": "1"});
        let parameters = json!({"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client_info});
        client.ask(&json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": parameters})).await?;
        client.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await?;
        Ok(client)
    }

    async fn call(&mut self, id: usize) -> Result<(), Failure> {
        let parameters = json!({"name": "get_secret", "arguments": {"name": "BENCH"}});
        let answer =
            self.ask(&json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": parameters})).await?;
        check(answer.as_bytes())
    }

    async fn ask(&mut self, message: &Value) -> Result<String, Failure> {
        self.send(message).await?;
        self.output.next_line().await?.ok_or_else(|| "the program ended".into())
    }

    async fn send(&mut self, message: &Value) -> Result<(), Failure> {
        self.input.write_all(format!("{message}\n").as_bytes()).await?;
        Ok(self.input.flush().await?)
    }
}

/// Resident memory in KiB; 0 where the platform does not tell.
fn memory(child: &Child) -> Result<u64, Failure> {
    let id = child.id().ok_or("the program ended")?;
    let Ok(status) = std::fs::read_to_string(format!("/proc/{id}/status")) else { return Ok(0) };
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0");
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
