//! What is left of values and keys once the requests that brought them are over: in the memory of the process, in its
//! files, in what it says.

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    os::unix::{fs::MetadataExt as _, process::ExitStatusExt as _},
    process::Stdio,
};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use super::*;
use crate::support::{Commoner, keyglass, within};

/// What every planted value holds.
const MARK: &str = "canary-";

/// What was planted.
struct Planted {
    /// Values and keys that must be nowhere, by what was done with them.
    texts: BTreeMap<String, String>,
    /// A name, which is there to stay: where it is not found, the search is no search.
    control: String,
}

impl Planted {
    fn new(control: &str) -> Self {
        Self { texts: BTreeMap::new(), control: control.to_owned() }
    }

    /// A value of its own for this.
    fn value(&mut self, what: &str) -> String {
        let value = format!("{MARK}{:016x}", getrandom::u64().unwrap());
        self.texts.insert(what.to_owned(), value.clone());
        value
    }

    /// A key that was made.
    fn key(&mut self, what: &str, key: &str) {
        assert!(key.len() > 40, "{key}");
        self.texts.insert(what.to_owned(), key.to_owned());
    }

    /// What of it these places hold, but for the name that is there to stay.
    fn found_in(&self, places: impl Iterator<Item = (String, Vec<u8>)>) -> Vec<String> {
        let texts = self.texts.values().chain([&self.control]).map(|text| regex::escape(text));
        let pattern = regex::bytes::Regex::new(&texts.collect::<Vec<_>>().join("|")).unwrap();
        let (mut found, mut controls) = (Vec::new(), 0);
        for (place, bytes) in places {
            for hit in pattern.find_iter(&bytes) {
                match self.texts.iter().find(|(_, text)| text.as_bytes() == hit.as_bytes()) {
                    None => controls += 1,
                    Some((what, _)) => {
                        let around = bytes[hit.start().saturating_sub(60)..hit.start()].escape_ascii();
                        found.push(format!("{what}, in {place} behind {around}"));
                    }
                }
            }
        }
        assert!(controls > 0, "the name `{}` is not found either", self.control);
        found
    }

    /// That nothing of it is left in a process's memory. Its threads may still be clearing up after the last answer, and
    /// without optimization a copy of a register may lie on a stack until the next requests; so it may be found for a
    /// while, in which others send what is like it.
    async fn assert_gone(&self, process: &Process, traffic: impl AsyncFn()) {
        let id = process.child.id().expect("it runs");
        let mut found = Vec::new();
        for _ in 0..30 {
            match writable_memory(id) {
                Ok(memory) => found = self.found_in(memory.into_iter()),
                // It is closed to all but root, which is a part of what is wanted.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    writeln!(io::stderr(), "the memory of the process is closed to this user: not searched").unwrap();
                    return;
                }
                Err(error) => panic!("{error}"),
            }
            if found.is_empty() {
                return;
            }
            traffic().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{}", found.join("\n"));
    }

    /// That nothing of it is in the files of a folder, nor in what a process said.
    fn assert_not_told(&self, folder: &Path, said: &str) {
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
        let files: Vec<_> = files.map(|path| (path.display().to_string(), fs::read(path).unwrap())).collect();
        for file in ["keyglass.db", "keyglass.db-wal", "keyglass.db-shm"] {
            assert!(files.iter().any(|(path, _)| path.ends_with(file)), "{file} is not there to be searched");
        }
        assert_eq!(self.found_in(files.into_iter()), [""; 0]);
        assert!(said.contains("API key made"), "{said}");
        for (what, text) in &self.texts {
            assert!(!said.contains(text), "{what}: {said}");
        }
    }
}

/// All the memory that a process may write to, by what it is.
fn writable_memory(process: u32) -> io::Result<Vec<(String, Vec<u8>)>> {
    use std::os::unix::fs::FileExt as _;

    let maps = fs::read_to_string(format!("/proc/{process}/maps"))?;
    let memory = fs::File::open(format!("/proc/{process}/mem"))?;
    let mut pieces = Vec::new();
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (Some(range), Some(mode)) = (words.next(), words.next()) else { continue };
        if !mode.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|text| u64::from_str_radix(text, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        // A piece may be given back meanwhile.
        let Ok(read) = memory.read_at(&mut bytes, from) else { continue };
        bytes.truncate(read);
        pieces.push((words.nth(3).unwrap_or("memory").to_owned(), bytes));
    }
    Ok(pieces)
}

/// The program at work, killed when it is dropped.
struct Process {
    child: Child,
    said: Arc<Mutex<String>>,
    address: String,
}

impl Process {
    /// Starts it, and waits for these words; what stands behind them is the address.
    async fn start(folder: &Path, arguments: &[&str], words: &str) -> Self {
        let mut command = Command::from(keyglass(folder, arguments));
        command.envs(crate::support::UNASKED);
        Self::of(command, words).await
    }

    async fn of(mut command: Command, words: &str) -> Self {
        command.env("KEYGLASS_LOG", "trace").kill_on_drop(true);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = Arc::<Mutex<String>>::default();
        let address = loop {
            let line = within(lines.next_line()).await.unwrap().expect("it starts");
            said.lock().unwrap().push_str(&line);
            if let Some((_, rest)) = line.split_once(words) {
                break rest.split_whitespace().next().unwrap_or_default().to_owned();
            }
        };
        let log = Arc::clone(&said);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                log.lock().unwrap().push_str(&line);
            }
        });
        Self { child, said, address }
    }

    /// Everything that it said, on its standard output too.
    async fn said(&mut self) -> String {
        self.child.kill().await.unwrap();
        let mut out = String::new();
        if let Some(mut pipe) = self.child.stdout.take() {
            within(pipe.read_to_string(&mut out)).await.unwrap();
        }
        out + &self.said.lock().unwrap()
    }
}

/// How a request is cut into packets.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Not at all.
    Whole,
    /// The body is one of its own.
    Apart,
    /// The body has no length, and its end is one of its own.
    Chunked,
}

/// One connection, kept.
struct Connection(TcpStream);

impl Connection {
    async fn to(address: &str) -> Self {
        Self(TcpStream::connect(address.trim_start_matches("http://")).await.unwrap())
    }

    /// Sends a request, and waits for the answer.
    async fn send(&mut self, head: &str, body: &str, way: Way) -> (u16, String) {
        let (head, body) = self.exchange(head, body, way).await;
        (head.get(9..12).unwrap().parse().unwrap(), body)
    }

    /// The same, with the head of the answer.
    async fn exchange(&mut self, head: &str, body: &str, way: Way) -> (String, String) {
        let length = format!("content-length: {}", body.len());
        let (size, head) = (body.len(), format!("{head}\r\nhost: 127.0.0.1"));
        let packets = match way {
            Way::Whole => vec![format!("{head}\r\n{length}\r\n\r\n{body}")],
            Way::Apart => vec![format!("{head}\r\n{length}\r\n\r\n"), body.to_owned()],
            Way::Chunked => vec![
                format!("{head}\r\ntransfer-encoding: chunked\r\n\r\n"),
                if size == 0 { String::new() } else { format!("{size:x}\r\n{body}\r\n") },
                "0\r\n\r\n".to_owned(),
            ],
        };
        for packet in packets {
            self.0.write_all(packet.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut answer = Vec::new();
        loop {
            assert_ne!(within(self.0.read_buf(&mut answer)).await.unwrap(), 0, "the connection was closed");
            let text = String::from_utf8_lossy(&answer);
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            if length.map_or_else(|| body.ends_with("0\r\n\r\n"), |length: usize| body.len() >= length) {
                return (head.to_owned(), body.to_owned());
            }
        }
    }
}

/// Sends values and has keys made in all the ways that a client has, refused ones too. `send` takes path, key, body and
/// the request's id, and gives status and answer.
async fn plant<F: Future<Output = (u16, String)>>(
    planted: &mut Planted,
    key: &str,
    send: impl Fn(String, String, String, Option<&'static str>) -> F,
) {
    let name = planted.control.clone();
    let (again, escaped, long) = (format!("{name}_AGAIN"), format!("{name}_ESCAPED"), format!("{name}_LONG"));
    let body = |name: &str, value: &str| json!({ "name": name, "value": value }).to_string();
    let mut value = |what: &str| planted.value(what);
    let secrets = || "/v1/secrets".to_owned();
    for (path, body, id, status) in [
        (secrets(), body(&name, &value("created")), None, 200),
        (secrets(), body(&name, &value("there already")), None, 400),
        (secrets(), body("bad name", &value("of a bad name")), None, 400),
        (secrets(), json!({ "name": "B", "value": [value("of a wrong type")] }).to_string(), None, 400),
        (secrets(), format!("{{\"value\": \"{}", value("in no JSON")), None, 400),
        (secrets(), body("B", &value("too long").repeat(12_000)), None, 400),
        (secrets(), body("B", &value("far too long").repeat(60_000)), None, 413),
        (secrets(), body(&long, &format!("{}{}", "x".repeat(150_000), value("long"))), None, 200),
        (secrets(), body(&again, &value("repeatable")), Some("one"), 200),
        (secrets(), body(&escaped, &format!("\n\"{}\"\n", value("escaped"))), None, 200),
        (format!("/v1/secrets/{name}"), json!({ "value": value("updated") }).to_string(), None, 200),
        ("/v1/nowhere".to_owned(), body("B", &value("nowhere")), None, 404),
    ] {
        let (actual, answer) = send(path, key.to_owned(), body, id).await;
        assert_eq!(actual, status, "{answer}");
        assert!(!answer.contains(MARK), "{answer}");
    }
    for (what, id) in [("made", None), ("made by a repeatable request", Some("two"))] {
        let (_, answer) = send("/v1/apikeys".to_owned(), key.to_owned(), "{}".to_owned(), id).await;
        let made: Value = serde_json::from_str(&answer).unwrap();
        planted.key(what, made["key_secret"].as_str().unwrap());
    }
    let (wrong, value) = (format!("ak_{}", planted.value("a wrong key")), planted.value("with a wrong key"));
    let (status, answer) = send(secrets(), wrong, body("B", &value), None).await;
    assert_eq!(status, 401, "{answer}");
    assert!(!answer.contains(MARK), "{answer}");
}

/// What is like [`plant`]'s requests and holds nothing that is looked for; of several lengths, since digests are made in
/// blocks.
async fn send_others<F: Future<Output = (u16, String)>>(
    planted: &Planted,
    key: &str,
    send: impl Fn(String, String, String, Option<&'static str>) -> F,
) {
    for length in [70, 90, 110, 130, 50_000] {
        let body = |name: &str| json!({ "name": name, "value": format!("\n\"{}", "y".repeat(length)) }).to_string();
        let broken = body("B").replace('}', "");
        for (body, id) in [(body("bad name"), None), (body(&planted.control), Some("three")), (broken, None)] {
            let (status, answer) = send("/v1/secrets".to_owned(), key.to_owned(), body, id).await;
            assert_eq!(status, 400, "{answer}");
        }
    }
}

/// The same through the tools. `call` takes a tool and its arguments, and gives the answer.
async fn plant_through_tools<F: Future<Output = String>>(planted: &mut Planted, call: impl Fn(String, Value) -> F) {
    let name = planted.control.clone();
    let escaped = format!("{name}_ESCAPED");
    let mut value = |what: &str| planted.value(what);
    for (tool, arguments, words) in [
        ("create_secret", json!({ "name": name, "value": value("created") }), "create_time_ms"),
        ("create_secret", json!({ "name": name, "value": value("there already") }), "already exists"),
        ("create_secret", json!({ "name": "bad name", "value": value("of a bad name") }), "invalid arguments"),
        ("create_secret", json!({ "name": "B", "value": [value("of a wrong type")] }), "invalid arguments"),
        ("create_secret", json!({ "name": "B", "valve": value("in a wrong member") }), "invalid arguments"),
        ("create_secret", json!({ "name": "B", "value": value("too long").repeat(12_000) }), "at most 262144 bytes"),
        ("create_secret", json!({ "name": escaped, "value": format!("\n{}", value("escaped")) }), "create_time_ms"),
        ("update_secret", json!({ "name": name, "value": value("updated") }), "update_time_ms"),
        ("no_such_tool", json!({ "name": name, "value": value("for no tool") }), "unknown tool"),
    ] {
        let answer = call(tool.to_owned(), arguments).await;
        assert!(answer.contains(words) && !answer.contains(MARK), "{answer}");
    }
    let answer = call("create_api_key".to_owned(), json!({})).await;
    let made: Value = serde_json::from_str(&answer).unwrap();
    planted.key("made", made["result"]["structuredContent"]["key_secret"].as_str().unwrap());
}

/// What is like [`plant_through_tools`]'s calls and holds nothing that is looked for.
async fn call_others<F: Future<Output = String>>(planted: &Planted, call: impl Fn(String, Value) -> F) {
    for length in [70, 90, 110, 130, 50_000] {
        let value = format!("\n\"{}", "y".repeat(length));
        for (tool, name, words) in [
            ("create_secret", "bad name", "invalid arguments"),
            ("create_secret", &*planted.control, "already exists"),
            ("no_such_tool", "B", "unknown tool"),
        ] {
            let answer = call(tool.to_owned(), json!({ "name": name, "value": value })).await;
            assert!(answer.contains(words), "{answer}");
        }
    }
}

/// A message of MCP to call a tool.
fn tool_call(tool: &str, arguments: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 7, "method": "tools/call", "params": { "name": tool, "arguments": arguments } })
}

/// The message that begins a session of MCP.
fn initialize() -> Value {
    let client = json!({ "name": "test", "version": "1" });
    let parameters = json!({ "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client });
    json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": parameters })
}

fn key_of(folder: &Path) -> String {
    fs::read_to_string(folder.join("root.key")).unwrap().trim().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_values_and_keys_while_the_connection_stays_open() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), &["backend", "--listen", "127.0.0.1:0"], "listens on ").await;
    let key = key_of(folder.path());
    for way in [Way::Whole, Way::Apart, Way::Chunked] {
        let mut planted = Planted::new(&format!("NAME_{way:?}"));
        let connection = Arc::new(tokio::sync::Mutex::new(Connection::to(&process.address).await));
        let send = |path: String, key: String, body: String, id: Option<&'static str>| {
            let connection = Arc::clone(&connection);
            let id = id.map(|id| format!("\r\nx-request-id: {id}{way:?}")).unwrap_or_default();
            let head = format!("POST {path} HTTP/1.1\r\nauthorization: Bearer {key}{id}");
            async move { connection.lock().await.send(&head, &body, way).await }
        };
        plant(&mut planted, &key, send).await;
        planted.assert_gone(&process, async || send_others(&planted, &key, send).await).await;
        let again = format!("GET /v1/accounts/me HTTP/1.1\r\nauthorization: Bearer {key}");
        assert_eq!(
            connection.lock().await.send(&again, "", Way::Whole).await.0,
            200,
            "it is the same connection still"
        );
        if matches!(way, Way::Chunked) {
            planted.assert_not_told(folder.path(), &process.said().await);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_values_and_keys_once_connections_are_closed() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let [certificate, private] = ["certificate", "private"].map(|name| folder.path().join(name).display().to_string());
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&private, made.signing_key.serialize_pem()).unwrap();
    let arguments = ["backend", "--listen", "127.0.0.1:0", "--tls-cert", &certificate, "--tls-key", &private];
    for (arguments, tls) in [(&arguments[..3], false), (&arguments[..], true)] {
        let mut process = Process::start(folder.path(), arguments, "listens on ").await;
        let key = key_of(folder.path());
        for two in [false, true] {
            let client = || {
                let client = reqwest::Client::builder().no_proxy();
                let client = if two { client.http2_prior_knowledge() } else { client.http1_only() };
                let certificate = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
                if tls { client.tls_certs_only([certificate]) } else { client }.build().unwrap()
            };
            let mut planted = Planted::new(&format!("NAME_{tls}_{two}"));
            let send = |client: &reqwest::Client, path: &str, key: String, body: String, id: Option<&'static str>| {
                let request = client.post(format!("{}{path}", process.address)).bearer_auth(key).body(body);
                let request = match id {
                    Some(id) => request.header("x-request-id", format!("{id}{two}")),
                    None => request,
                };
                async move {
                    let answer = within(request.send()).await.unwrap();
                    (answer.status().as_u16(), within(answer.text()).await.unwrap())
                }
            };
            // The connections end with their client.
            let planting = client();
            plant(&mut planted, &key, |path, key, body, id| send(&planting, &path, key, body, id)).await;
            drop(planting);
            let others = async || {
                let client = client();
                send_others(&planted, &key, |path, key, body, id| send(&client, &path, key, body, id)).await;
            };
            planted.assert_gone(&process, others).await;
            if two {
                planted.assert_not_told(folder.path(), &process.said().await);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_what_tools_were_given_over_stdio() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path(), &["serve"], "the embedded backend is open").await;
    let (reader, writer) = (process.child.stdout.take().unwrap(), process.child.stdin.take().unwrap());
    let pipes = Arc::new(tokio::sync::Mutex::new((BufReader::new(reader).lines(), writer)));
    let ask = |message: String| {
        let pipes = Arc::clone(&pipes);
        async move {
            let (reader, writer) = &mut *pipes.lock().await;
            writer.write_all(format!("{message}\n").as_bytes()).await.unwrap();
            within(reader.next_line()).await.unwrap().expect("an answer")
        }
    };
    assert!(ask(initialize().to_string()).await.contains("2025-11-25"));
    let mut planted = Planted::new("NAME_OVER_STDIO");
    let call = |tool: String, arguments: Value| ask(tool_call(&tool, &arguments).to_string());
    plant_through_tools(&mut planted, call).await;
    for what in ["{\"jsonrpc\": ", "no JSON "] {
        let answer = ask(format!("{what}\"{}", planted.value("in a broken line"))).await;
        assert!(answer.contains("-32700") && !answer.contains(MARK), "{answer}");
    }
    let others = async || {
        call_others(&planted, call).await;
        assert!(ask(format!("no JSON \"{}", "another value ".repeat(5))).await.contains("-32700"));
    };
    planted.assert_gone(&process, others).await;
    planted.assert_not_told(folder.path(), &process.said().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_what_tools_were_given_over_http() {
    let folder = tempfile::tempdir().unwrap();
    let arguments = ["serve", "--http", "127.0.0.1:0"];
    let mut process = Process::start(folder.path(), &arguments, "listening on ").await;
    let address = process.address.trim_end_matches("/mcp").to_owned();
    let connection = Arc::new(tokio::sync::Mutex::new(Connection::to(&address).await));
    let ask = |headers: &str, message: Value| {
        let connection = Arc::clone(&connection);
        let types = "content-type: application/json\r\naccept: application/json, text/event-stream";
        let head = format!("POST /mcp HTTP/1.1\r\n{types}{headers}");
        async move { connection.lock().await.exchange(&head, &message.to_string(), Way::Whole).await }
    };
    let now = "\r\nmcp-protocol-version: 2026-07-28\r\nmcp-method: tools/call".to_owned();
    let (head, _) = ask("", initialize()).await;
    let session = head.lines().find_map(|line| line.strip_prefix("mcp-session-id: ")).expect("a session").to_owned();
    let then = format!("\r\nmcp-protocol-version: 2025-11-25\r\nmcp-session-id: {session}");
    for (name, headers) in [("NAME_THEN", then), ("NAME_NOW", now)] {
        let mut planted = Planted::new(name);
        let call = |tool: String, arguments: Value| {
            let mut message = tool_call(&tool, &arguments);
            let mut headers = headers.clone();
            if name == "NAME_NOW" {
                headers += &format!("\r\nmcp-name: {tool}");
                message["params"]["_meta"] = json!({
                    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
                    "io.modelcontextprotocol/clientCapabilities": {},
                    "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "1" },
                });
            }
            let answer = ask(&headers, message);
            async move {
                // It may be an event among others, in chunks.
                let (_, body) = answer.await;
                let event = body.lines().filter_map(|line| line.strip_prefix("data: ")).next_back();
                event.unwrap_or(&body).to_owned()
            }
        };
        plant_through_tools(&mut planted, call).await;
        planted.assert_gone(&process, async || call_others(&planted, call).await).await;
        assert_eq!(
            connection.lock().await.send("GET /healthz HTTP/1.1", "", Way::Whole).await.0,
            200,
            "the connection is open"
        );
        if name == "NAME_NOW" {
            planted.assert_not_told(folder.path(), &process.said().await);
        }
    }
}

#[tokio::test]
async fn a_process_that_breaks_down_leaves_no_core_file() {
    let folder = tempfile::tempdir().unwrap();
    // Written by the system into the folder that a process works in, where its limit allows it.
    let script = "ulimit -c unlimited; cd \"$0\" && exec \"$@\"";
    let shell = |arguments: &[&str]| {
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(folder.path()).args(arguments);
        command.env("PATH", "/usr/bin:/bin").env("KEYGLASS_DATA_DIR", folder.path()).stderr(Stdio::null());
        command
    };
    let other = within(shell(&["sh", "-c", "kill -ABRT $$"]).status()).await.unwrap();
    if !other.core_dumped() {
        writeln!(io::stderr(), "no process leaves a core file here").unwrap();
        return;
    }
    let arguments = [env!("CARGO_BIN_EXE_keyglass"), "backend", "--listen", "127.0.0.1:0"];
    let mut process = Process::of(shell(&arguments), "listens on ").await;
    let id = process.child.id().expect("it runs").to_string();
    assert!(within(Command::new("kill").args(["-ABRT", &id]).status()).await.unwrap().success());
    let ended = within(process.child.wait()).await.unwrap();
    assert!(ended.signal().is_some() && !ended.core_dumped(), "{ended}");
}

#[tokio::test]
async fn the_memory_of_a_process_is_closed_to_its_own_user() {
    let user = Commoner::new();
    let process =
        Process::of(Command::from(user.keyglass(&["backend", "--listen", "127.0.0.1:0"])), "listens on ").await;
    let of = |file: &str| fs::metadata(format!("/proc/{}/{file}", process.child.id().unwrap())).unwrap().uid();
    assert_ne!(of(""), 0, "not root's");
    assert_eq!(of("mem"), 0);
    // What programs that watch others look at is open all the same.
    for file in ["status", "stat", "statm", "cmdline"] {
        assert!(fs::read(format!("/proc/{}/{file}", process.child.id().unwrap())).is_ok(), "{file}");
    }
}
