//! What MCP costs: a call of one tool over each transport, beside the same request made directly and beside a hop written
//! by hand; starting, memory, and `tools/list`.
//!
//! `cargo bench --bench mcp` builds and runs it; `-- http stdio added start list memory` names the parts that are wanted. The
//! backend answers a `GET` with one small item. The hop is a handler that reads a JSON-RPC message, asks the backend and
//! answers in JSON-RPC: what any server of MCP has to do at least. Each is a process of its own; all have their turn in
//! every round, so that the machine's noise falls on all alike. Medians of the rounds and ratios are printed. Nothing is
//! asserted about time. `beside=PROGRAM` among the parts measures calls of another build of keyglass beside, and `added` tells
//! by how much one call of this build takes longer than one of that.

use std::{ffi::OsStr, fmt::Write as _, fs, path::Path, time::Instant};

use axum::{
    Router,
    extract::Path as InPath,
    response::IntoResponse as _,
    routing::{get, post},
    serve::ListenerExt as _,
};
use bytes::Bytes;
use http::header;
use serde_json::{Value, json};
use tokio::process::Command;

mod added;
mod clients;
#[path = "../measure/mod.rs"]
mod measure;
use clients::{StdioClient, handshake, initialized, listing, message_posted, meta_with_level, modern, posted};
use measure::{Client, Failure, ROUNDS, Sample, Server, micros, middle, quantile};

const KEYGLASS: &str = env!("CARGO_BIN_EXE_keyglass");
/// What it says before where it listens.
const LISTENS: &str = "listening on ";
const CONNECTIONS: [usize; 2] = [1, 16];
const STARTS: usize = 20;
/// Calls before memory is read again.
const MANY: usize = 100_000;
/// Sessions that are opened for the memory of each.
const SESSIONS: usize = 500;
/// So that no limit stands in the way of what is measured.
const SETTINGS: &str = "mcp_limits: { max_sessions: 1000, max_sessions_per_caller: 1000 }\n\
                        backend_limits: { requests_per_second: 1000000, request_burst: 1000000 }\n";
/// Stands before the program of another build.
const BESIDE: &str = "beside=";
/// Mark the processes that are compared with.
const BACKEND: &str = "--backend";
const HOP: &str = "--hop";

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match (arguments.next().as_deref(), arguments.next()) {
        (Some(BACKEND), _) => runtime()?.block_on(backend()),
        (Some(HOP), Some(backend)) => runtime()?.block_on(hop(backend)),
        _ => {
            let parts = std::env::args().skip(1).filter(|part| !part.starts_with('-'));
            let (beside, parts): (Vec<String>, Vec<String>) = parts.partition(|part| part.starts_with(BESIDE));
            let beside = beside.iter().find_map(|part| part.strip_prefix(BESIDE));
            // One thread, as a client that must not take more of the machine than it has to.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let report = runtime.block_on(measure(&parts, beside))?;
            std::io::Write::write_all(&mut std::io::stdout(), report.as_bytes())?;
            Ok(())
        }
    }
}

/// The backend: one small item, from memory.
async fn backend() -> Result<(), Failure> {
    let item = async |InPath(id): InPath<String>| {
        let item =
            json!({"id": id, "name": "a thing", "count": 3, "tags": ["small", "blue"], "price": {"amount": 12.5}});
        ([(header::CONTENT_TYPE, "application/json")], item.to_string())
    };
    listen(Router::new().route("/items/{id}", get(item))).await
}

/// The hop: JSON-RPC in and out, and a request to the backend between.
async fn hop(backend: String) -> Result<(), Failure> {
    let http = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build()?;
    let answer = async move |body: Bytes| {
        let answer = async {
            let message: Value = serde_json::from_slice(&body)?;
            let id = message.pointer("/params/arguments/id").and_then(Value::as_str).ok_or("no id")?;
            let answer = http.get(format!("http://{backend}/items/{id}")).send().await?.error_for_status()?;
            let item: Value = serde_json::from_slice(&answer.bytes().await?)?;
            let content = json!([{"type": "text", "text": item.to_string()}]);
            let result = json!({"resultType": "complete", "content": content, "structuredContent": item});
            Ok::<_, Failure>(json!({"jsonrpc": "2.0", "id": message.get("id"), "result": result}).to_string())
        };
        match answer.await {
            Ok(answer) => ([(header::CONTENT_TYPE, "application/json")], answer).into_response(),
            Err(failure) => (http::StatusCode::BAD_GATEWAY, failure.to_string()).into_response(),
        }
    };
    listen(Router::new().route("/mcp", post(answer))).await
}

async fn listen(router: Router) -> Result<(), Failure> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let told = format!("{LISTENS}http://{}\n", listener.local_addr()?);
    std::io::Write::write_all(&mut std::io::stderr(), told.as_bytes())?;
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    Ok(axum::serve(listener, router).await?)
}

async fn measure(parts: &[String], beside: Option<&str>) -> Result<String, Failure> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    fs::write(folder.join("keyglass.yaml"), SETTINGS)?;
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|wanted| wanted == part);
    let mut report = String::new();
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(BACKEND);
    let backend = Server::start(command, LISTENS).await?;
    let specs = folder.join("specs");
    fs::create_dir(&specs)?;
    fs::write(specs.join("bench.yaml"), spec(&backend.address))?;
    if wanted("http") || wanted("stdio") {
        calls(folder, &backend, (wanted("http"), wanted("stdio")), beside, &mut report).await?;
    }
    match beside {
        Some(beside) if wanted("added") => added::added(folder, beside, &mut report).await?,
        None if !parts.is_empty() && wanted("added") => return Err("`added` to what? give `beside=PROGRAM`".into()),
        _ => {}
    }
    if wanted("start") {
        start(folder, &mut report).await?;
    }
    if wanted("list") {
        list(folder, &mut report).await?;
    }
    if wanted("memory") {
        resident(folder, &mut report).await?;
    }
    Ok(report)
}

/// A spec of one tool, which gets an item.
fn spec(backend: &str) -> String {
    format!(
        "naftiko: 1.0.0-alpha2\ninfo:\n  label: Items\n  description: Things and what they are.\ncapability:\n  consumes:\n  \
         - type: http\n    namespace: items\n    baseUri: http://{backend}\n    resources:\n    - name: items\n      path: \
         /items/{{id}}\n      operations:\n      - name: get-item\n        method: GET\n        outputRawFormat: json\n        \
         outputParameters:\n        - name: result\n          type: object\n          value: $.\n        \
         inputParameters:\n        - name: id\n          in: path\n          type: string\n          required: true\n  \
         exposes:\n  - type: mcp\n    namespace: items-mcp\n    port: 9090\n    tools:\n    - name: get_item\n      \
         description: Gets an item.\n      hints:\n        readOnly: true\n      call: items.get-item\n      with:\n        \
         id: tools.id\n      outputParameters:\n      - type: object\n        mapping: $.\n"
    )
}

/// The program on a data folder of this name; with the spec above, or with those that come along with it.
fn keyglass(folder: &Path, data: &str, arguments: &[&str], own: bool) -> Command {
    program(KEYGLASS.as_ref(), folder, data, arguments, own)
}

fn program(program: &OsStr, folder: &Path, data: &str, arguments: &[&str], own: bool) -> Command {
    let mut command = Command::new(program);
    command.arg("serve").args(arguments);
    if own {
        command.arg("--capabilities").arg(folder.join("specs"));
    }
    command
        .env("KEYGLASS_DATA_DIR", folder.join(data))
        .env("KEYGLASS_CONFIG", folder.join("keyglass.yaml"))
        .env("KEYGLASS_LOG", "keyglass=info")
        .kill_on_drop(true);
    command
}

async fn over_http(folder: &Path, data: &str, own: bool) -> Result<Server, Failure> {
    Server::start(keyglass(folder, data, &["--http", "127.0.0.1:0"], own), LISTENS).await
}

/// Puts a secret into an embedded backend.
async fn create_secret(data: &Path) -> Result<(), Failure> {
    let value = data.join("value");
    fs::write(&value, "value")?;
    let mut command = Command::new(KEYGLASS);
    command.args(["secrets", "create", "BENCH", "--value-file"]).arg(&value).env("KEYGLASS_DATA_DIR", data);
    let output = command.output().await?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into()) }
}

/// One call of each path in every round, and a table of what came of it.
async fn calls(
    folder: &Path,
    backend: &Server,
    wanted: (bool, bool),
    beside: Option<&str>,
    report: &mut String,
) -> Result<(), Failure> {
    let (http, stdio) = wanted;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(HOP).arg(&backend.address);
    let hop = Server::start(command, LISTENS).await?;
    let keyglass_http = over_http(folder, "http", true).await?;
    let embedded = over_http(folder, "embedded", false).await?;
    create_secret(&folder.join("embedded")).await?;
    let item = modern("get_item", &json!({"id": "abc"}));
    let over_post = posted("get_item", &item);
    let embedded_call = posted("get_secret", &modern("get_secret", &json!({"name": "BENCH"})));
    let direct = b"GET /items/abc HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: application/json\r\n\r\n".to_vec();
    let mut paths: Vec<(&str, Way<'_>)> =
        vec![("direct", Way::Http(backend, direct)), ("hop", Way::Http(&hop, over_post.clone()))];
    if http {
        paths.push(("keyglass HTTP", Way::Http(&keyglass_http, over_post)));
        // Wants log messages, of which there are none: the library's way to the same answer.
        let mut logged = item.clone();
        *logged.pointer_mut("/params/_meta").ok_or("no `_meta`")? = meta_with_level();
        paths.push(("keyglass HTTP, with a level", Way::Http(&keyglass_http, posted("get_item", &logged))));
        paths.push(("keyglass HTTP, embedded", Way::Http(&embedded, embedded_call)));
    }
    if stdio {
        let opened = StdioClient::start(keyglass(folder, "stdio", &[], true)).await?;
        paths.push(("keyglass stdio", Way::Stdio(Box::new(opened), item)));
        let opened = StdioClient::start(keyglass(folder, "stdio", &[], true)).await?;
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {
            "name": "get_item", "arguments": {"id": "abc"}}});
        paths.push(("keyglass stdio, 2025-11-25", Way::Stdio(Box::new(opened), call)));
    }
    let other_http;
    if let Some(beside) = beside {
        let item = modern("get_item", &json!({"id": "abc"}));
        if http {
            let command = program(beside.as_ref(), folder, "other-http", &["--http", "127.0.0.1:0"], true);
            other_http = Server::start(command, LISTENS).await?;
            paths.push(("another build HTTP", Way::Http(&other_http, posted("get_item", &item))));
        }
        if stdio {
            let opened = StdioClient::start(program(beside.as_ref(), folder, "other-stdio", &[], true)).await?;
            paths.push(("another build stdio", Way::Stdio(Box::new(opened), item)));
        }
    }
    for (name, path) in &mut paths {
        let answer = match path {
            Way::Http(server, request) => String::from_utf8(Client::open(&server.address).await?.ask(request).await?)?,
            Way::Stdio(client, message) => client.ask(message).await?,
        };
        if answer.contains("isError\":true") || !(answer.contains("a thing") || answer.contains("BENCH")) {
            return Err(format!("{name} answers {answer}").into());
        }
    }
    let mut samples: Vec<[Sample; 2]> = paths.iter().map(|_| Default::default()).collect();
    for _ in 0..ROUNDS {
        for ((_, path), samples) in paths.iter_mut().zip(&mut samples) {
            for (connections, sample) in CONNECTIONS.into_iter().zip(samples) {
                match path {
                    Way::Http(server, request) => server.load(connections, || request.clone(), sample).await?,
                    Way::Stdio(client, message) => client.load(connections, message, sample).await?,
                }
            }
        }
    }
    writeln!(report, "One call, medians of {ROUNDS} rounds:")?;
    for (place, connections) in CONNECTIONS.into_iter().enumerate() {
        let of = |samples: &mut Vec<[Sample; 2]>, path: usize| {
            let sample = samples.get_mut(path).and_then(|samples| samples.get_mut(place));
            sample.map(|sample| (sample.rate(), middle(&mut sample.p50s))).unwrap_or_default()
        };
        let (direct, hop) = (of(&mut samples, 0), of(&mut samples, 1));
        for (path, (name, _)) in paths.iter().enumerate() {
            let own = of(&mut samples, path);
            let Some(sample) = samples.get_mut(path).and_then(|samples| samples.get_mut(place)) else { continue };
            writeln!(
                report,
                "  {connections:>2} at a time  {}   p50 {:>5.2} x direct {:>5.2} x hop   rate {:>5.2} x direct {:>5.2} x hop",
                sample.line(name),
                own.1 / direct.1,
                own.1 / hop.1,
                own.0 / direct.0,
                own.0 / hop.0,
            )?;
        }
    }
    Ok(())
}

/// A way to the item.
enum Way<'a> {
    Http(&'a Server, Vec<u8>),
    Stdio(Box<StdioClient>, Value),
}

/// From the start of the program to its list of tools, with the specs that come along.
async fn start(folder: &Path, report: &mut String) -> Result<(), Failure> {
    let (mut times, mut bytes) = (Vec::new(), 0);
    for _ in 0..=STARTS {
        let before = Instant::now();
        let mut client = StdioClient::start(keyglass(folder, "start", &[], false)).await?;
        bytes = client.ask(&json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"})).await?.len();
        times.push(before.elapsed());
    }
    // The first one makes the data folder.
    times.remove(0);
    let [p50, p90] = [0.5, 0.9].map(|part| micros(quantile(&mut times, part)) / 1e3);
    writeln!(
        report,
        "Start to the list of tools over stdio: p50 {p50:.1} ms, p90 {p90:.1} ms of {STARTS}, {bytes} bytes"
    )?;
    Ok(())
}

/// The list of the tools that come along, over HTTP.
async fn list(folder: &Path, report: &mut String) -> Result<(), Failure> {
    let server = over_http(folder, "list", false).await?;
    let request = message_posted("tools/list", None, &listing());
    let bytes = Client::open(&server.address).await?.ask(&request).await?.len();
    let mut samples: [Sample; 2] = Default::default();
    for _ in 0..ROUNDS {
        for (connections, sample) in CONNECTIONS.into_iter().zip(&mut samples) {
            server.load(connections, || request.clone(), sample).await?;
        }
    }
    for (connections, sample) in CONNECTIONS.into_iter().zip(&mut samples) {
        writeln!(report, "  {connections:>2} at a time  {}   {bytes} bytes", sample.line("tools/list over HTTP"))?;
    }
    Ok(())
}

/// Memory: idle, after many calls, with many sessions of the older era.
async fn resident(folder: &Path, report: &mut String) -> Result<(), Failure> {
    let server = over_http(folder, "memory", true).await?;
    let idle = server.memory();
    let request = posted("get_item", &modern("get_item", &json!({"id": "abc"})));
    let mut calls = Vec::new();
    for _ in 0..16 {
        let mut client = Client::open(&server.address).await?;
        let request = request.clone();
        calls.push(tokio::spawn(async move {
            for _ in 0..MANY / 16 {
                client.ask(&request).await?;
            }
            Ok::<_, Failure>(())
        }));
    }
    for call in calls {
        call.await??;
    }
    let after = server.memory();
    drop(server);

    let shipped = over_http(folder, "shipped", false).await?;
    let shipped_idle = shipped.memory();
    drop(shipped);

    let server = over_http(folder, "sessions", true).await?;
    let http = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build()?;
    let mut before = 0;
    for number in 0..=SESSIONS {
        session(&http, &server.address).await?;
        if number == 0 {
            before = server.memory();
        }
    }
    let each = (server.memory() - before) as f64 / SESSIONS as f64;
    writeln!(
        report,
        "Memory over HTTP: {idle} KiB idle with one tool ({shipped_idle} KiB with the specs that come along), {after} KiB \
         after {MANY} calls, {each:.1} KiB for an idle session ({SESSIONS} of them)"
    )?;
    Ok(())
}

/// Opens a session of the older era.
async fn session(http: &reqwest::Client, address: &str) -> Result<(), Failure> {
    let send = |session: Option<String>, message: Value| {
        let request = http.post(format!("http://{address}/mcp")).header("content-type", "application/json");
        let request = request.header("accept", "application/json, text/event-stream").body(message.to_string());
        match session {
            Some(session) => request.header("mcp-session-id", session).send(),
            None => request.send(),
        }
    };
    let opened = send(None, handshake()).await?.error_for_status()?;
    let session = opened.headers().get("mcp-session-id").ok_or("no session")?.to_str()?.to_owned();
    opened.bytes().await?;
    send(Some(session), initialized()).await?.error_for_status()?.bytes().await?;
    Ok(())
}
