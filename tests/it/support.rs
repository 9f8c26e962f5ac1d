//! The program as a process, and a backend for it that does what a test wants.

use std::{
    net::SocketAddr,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    extract::{Path, State},
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::{HeaderMap, StatusCode, header};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::{TcpListener, UnixStream},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::{mpsc, watch},
};

/// The credential that the program uses towards the backend.
pub(crate) const CREDENTIAL: &str = "canary-credential-27e1";

/// Waits for something that has to happen; only a hang takes the time.
pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("this hangs")
}

/// Lets everything through that a person would be asked about, and shows what comes back: for tests of other things.
pub(crate) const UNASKED: [(&str, &str); 2] =
    [("KEYGLASS_CONFIRM", "destructive=allow,exec=allow,grant=allow"), ("KEYGLASS_SECRETS", "clear")];

/// The same for settings.
pub(crate) fn unasked() -> keyglass::config::Options {
    let confirm = ["destructive=allow", "exec=allow", "grant=allow"].map(str::to_owned).to_vec();
    keyglass::config::Options { confirm, secrets: Some("clear".to_owned()), ..Default::default() }
}

/// A run of the program in a folder of its own, with an environment that names nothing of keyglass.
pub(crate) fn keyglass(data_dir: &std::path::Path, arguments: &[&str]) -> std::process::Command {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_keyglass"));
    command.args(arguments).env_clear().env("KEYGLASS_DATA_DIR", data_dir).env("HOME", data_dir);
    command
}

/// A user to whom the permissions of files mean something: where root runs the tests, another one with a copy of the
/// program that this one can reach; otherwise whoever runs them.
#[cfg(unix)]
pub(crate) struct Commoner {
    folder: TempDir,
    other: Option<u32>,
}

#[cfg(unix)]
impl Commoner {
    /// With an empty folder `data`.
    pub(crate) fn new() -> Self {
        use std::{
            fs,
            os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
        };
        /// `nobody` on most systems; it need not have a name.
        const OTHER: u32 = 65_534;

        let folder = tempfile::tempdir().unwrap();
        let by_root = fs::metadata(folder.path()).unwrap().uid() == 0;
        let this = Self { folder, other: by_root.then_some(OTHER) };
        fs::set_permissions(this.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (program, copy) = (env!("CARGO_BIN_EXE_keyglass"), this.program());
        fs::hard_link(program, &copy).or_else(|_| fs::copy(program, &copy).map(drop)).unwrap();
        fs::create_dir(this.data()).unwrap();
        chown(this.data(), this.other, this.other).unwrap();
        this
    }

    fn program(&self) -> std::path::PathBuf {
        self.folder.path().join("keyglass")
    }

    /// The data folder, this user's own.
    pub(crate) fn data(&self) -> std::path::PathBuf {
        self.folder.path().join("data")
    }

    /// A run of the program by this user.
    pub(crate) fn keyglass(&self, arguments: &[&str]) -> std::process::Command {
        use std::os::unix::process::CommandExt as _;

        let mut command = std::process::Command::new(self.program());
        command.args(arguments).env_clear().env("KEYGLASS_DATA_DIR", self.data()).env("HOME", self.data());
        if let Some(other) = self.other {
            command.uid(other).gid(other);
        }
        command
    }
}

/// Runs it to its end: exit code, standard output, standard error.
pub(crate) fn run(data_dir: &std::path::Path, arguments: &[&str]) -> (i32, String, String) {
    finished(keyglass(data_dir, arguments).output().expect("runs"))
}

pub(crate) fn finished(output: std::process::Output) -> (i32, String, String) {
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code().expect("a code"), text(output.stdout), text(output.stderr))
}

/// A backend of secrets. One whose name starts with `held` is answered after [`Backend::release`].
pub(crate) struct Backend {
    address: SocketAddr,
    /// Requests that came in.
    pub(crate) arrivals: mpsc::UnboundedReceiver<Arrival>,
    /// Names whose requests were given up before their answer.
    pub(crate) given_up: mpsc::UnboundedReceiver<String>,
    release: watch::Sender<bool>,
}

/// A request that came in.
pub(crate) struct Arrival {
    pub(crate) name: String,
    pub(crate) headers: HeaderMap,
}

#[derive(Clone)]
struct Desk {
    arrivals: mpsc::UnboundedSender<Arrival>,
    given_up: mpsc::UnboundedSender<String>,
    released: watch::Receiver<bool>,
}

impl Backend {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let (gave_up, given_up) = mpsc::unbounded_channel();
        let (release, released) = watch::channel(false);
        let desk = Desk { arrivals: arrived, given_up: gave_up, released };
        let router = Router::new().route("/v1/secrets/{name}", get(secret)).with_state(desk);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, arrivals, given_up, release }
    }

    /// Waits for a request, and returns the name it asks for.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) async fn arrival(&mut self) -> Arrival {
        within(self.arrivals.recv()).await.unwrap()
    }

    /// Answers all requests that are held, and those to come.
    pub(crate) fn release(&self) {
        self.release.send_replace(true);
    }
}

async fn secret(State(mut desk): State<Desk>, Path(name): Path<String>, headers: HeaderMap) -> Response {
    desk.arrivals.send(Arrival { name: name.clone(), headers }).ok();
    if name.starts_with("held") {
        let mut bell = Bell { desk: desk.clone(), name: Some(name.clone()) };
        desk.released.wait_for(|released| *released).await.ok();
        bell.name = None;
    }
    if name == "missing" {
        return StatusCode::NOT_FOUND.into_response();
    }
    let body = json!({"id": "sec_1", "name": name, "create_time_ms": 1, "update_time_ms": 2});
    ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

/// Tells of a request whose connection went away.
struct Bell {
    desk: Desk,
    name: Option<String>,
}

impl Drop for Bell {
    fn drop(&mut self) {
        if let Some(name) = self.name.take() {
            self.desk.given_up.send(name).ok();
        }
    }
}

/// `keyglass serve` as a process, killed when dropped.
pub(crate) struct Keyglass {
    child: Child,
    log: Arc<Mutex<String>>,
    data_dir: TempDir,
}

impl Keyglass {
    fn command(backend: &Backend, arguments: &[&str]) -> (Command, TempDir) {
        Self::command_for(&format!("http://{}", backend.address), arguments)
    }

    fn command_for(url: &str, arguments: &[&str]) -> (Command, TempDir) {
        let data_dir = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_keyglass"));
        command
            .arg("serve")
            .args(["--backend", url, "--credential", "env:STUB_KEY"])
            .arg("--data-dir")
            .arg(data_dir.path())
            .args(arguments)
            .env_clear()
            .env("STUB_KEY", CREDENTIAL)
            .env("TEST_TOKEN", TOKEN)
            .env("KEYGLASS_LOG", "trace")
            .envs(UNASKED)
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        (command, data_dir)
    }

    fn start(mut command: Command, data_dir: TempDir) -> (Self, Lines<BufReader<tokio::process::ChildStderr>>) {
        let mut child = command.spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap()).lines();
        (Self { child, log: Arc::default(), data_dir }, stderr)
    }

    fn keep_log(&self, mut stderr: Lines<BufReader<tokio::process::ChildStderr>>) {
        let log = self.log.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = stderr.next_line().await {
                let mut log = log.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
    }

    /// Over HTTP on a free port.
    pub(crate) async fn over_http(backend: &Backend, arguments: &[&str]) -> (Self, Client) {
        Self::over_http_for(&format!("http://{}", backend.address), arguments).await
    }

    /// Serves over HTTP, calling the service at `url`.
    pub(crate) async fn over_http_for(url: &str, arguments: &[&str]) -> (Self, Client) {
        Self::over_http_in(url, arguments, &[]).await
    }

    /// Serves over HTTP, with more in its environment.
    pub(crate) async fn over_http_in(url: &str, arguments: &[&str], more: &[(&str, String)]) -> (Self, Client) {
        let (mut command, data_dir) = Self::command_for(url, &[&["--http", "127.0.0.1:0"], arguments].concat());
        command.envs(more.iter().map(|(name, value)| (*name, value.as_str())));
        let (keyglass, mut stderr) = Self::start(command, data_dir);
        let base = loop {
            let line = within(stderr.next_line()).await.unwrap().expect("it listens");
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest.split_once("/mcp").unwrap().0.to_owned();
            }
            keyglass.log.lock().unwrap().push_str(&line);
        };
        keyglass.keep_log(stderr);
        (keyglass, Client { http: reqwest::Client::new(), base })
    }

    /// Over standard input and output, as pipes.
    pub(crate) fn over_pipes(backend: &Backend) -> (Self, Lined<ChildStdout, ChildStdin>) {
        Self::over_pipes_with(backend, &[])
    }

    pub(crate) fn over_pipes_with(backend: &Backend, arguments: &[&str]) -> (Self, Lined<ChildStdout, ChildStdin>) {
        Self::over_pipes_for(&backend.url(), arguments)
    }

    /// Over standard input and output, calling the service at `url`.
    pub(crate) fn over_pipes_for(url: &str, arguments: &[&str]) -> (Self, Lined<ChildStdout, ChildStdin>) {
        Self::over_pipes_in(url, arguments, &[])
    }

    /// Over standard input and output, with more in its environment.
    pub(crate) fn over_pipes_in(
        url: &str,
        arguments: &[&str],
        more: &[(&str, String)],
    ) -> (Self, Lined<ChildStdout, ChildStdin>) {
        let (mut command, data_dir) = Self::command_for(url, arguments);
        command.envs(more.iter().map(|(name, value)| (*name, value.as_str())));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let (mut keyglass, stderr) = Self::start(command, data_dir);
        keyglass.keep_log(stderr);
        let (reader, writer) = (keyglass.child.stdout.take().unwrap(), keyglass.child.stdin.take().unwrap());
        (keyglass, Lined::new(reader, writer))
    }

    /// Over standard input and output, as sockets.
    pub(crate) fn over_sockets(backend: &Backend) -> (Self, Lined<UnixStream, UnixStream>) {
        let (mut command, data_dir) = Self::command(backend, &[]);
        let pair = || {
            let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            (UnixStream::from_std(ours).unwrap(), std::os::fd::OwnedFd::from(theirs))
        };
        let ((writer, input), (reader, output)) = (pair(), pair());
        command.stdin(input).stdout(output);
        let (keyglass, stderr) = Self::start(command, data_dir);
        keyglass.keep_log(stderr);
        (keyglass, Lined::new(reader, writer))
    }

    /// Runs it to its end, with its standard error.
    pub(crate) async fn to_the_end(backend: &Backend, arguments: &[&str]) -> (ExitStatus, String) {
        let (mut command, _data_dir) = Self::command(backend, arguments);
        let output = within(command.stdin(Stdio::null()).output()).await.unwrap();
        (output.status, String::from_utf8(output.stderr).unwrap())
    }

    /// Asks it to leave, as an operator does.
    pub(crate) async fn terminate(&self) {
        let id = self.child.id().expect("it runs").to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().await.unwrap().success());
    }

    /// Its audit log.
    pub(crate) fn audit(&self) -> std::path::PathBuf {
        self.data_dir.path().join("audit")
    }

    /// Ends it at once.
    pub(crate) async fn kill(&mut self) {
        within(self.child.kill()).await.unwrap();
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        within(self.child.wait()).await.unwrap()
    }

    /// The most memory it ever held, in KiB.
    #[cfg(target_os = "linux")]
    pub(crate) fn peak_memory(&self) -> u64 {
        let id = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Waits until a text is in the log so many times.
    pub(crate) async fn logged(&self, text: &str, times: usize) {
        within(async {
            while self.log().matches(text).count() < times {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }
}

/// The bearer token that `env:TEST_TOKEN` names.
pub(crate) const TOKEN: &str = "canary-token-90d4";

/// One JSON-RPC message a line.
pub(crate) struct Lined<R, W> {
    reader: Lines<BufReader<R>>,
    writer: Option<W>,
}

impl<R: tokio::io::AsyncRead + Unpin, W: tokio::io::AsyncWrite + Unpin> Lined<R, W> {
    fn new(reader: R, writer: W) -> Self {
        Self { reader: BufReader::new(reader).lines(), writer: Some(writer) }
    }

    pub(crate) async fn send_raw(&mut self, bytes: &[u8]) {
        let writer = self.writer.as_mut().expect("not closed");
        within(writer.write_all(bytes)).await.unwrap();
        within(writer.flush()).await.unwrap();
    }

    pub(crate) async fn send(&mut self, message: &Value) {
        self.send_raw(format!("{message}\n").as_bytes()).await;
    }

    /// The next message; `None` at the end.
    pub(crate) async fn receive(&mut self) -> Option<Value> {
        let line = within(self.reader.next_line()).await.unwrap()?;
        Some(serde_json::from_str(&line).unwrap_or_else(|_| panic!("not a message: {line}")))
    }

    /// Sends a request and waits for its answer.
    pub(crate) async fn ask(&mut self, request: &Value) -> Value {
        self.send(request).await;
        let answer = self.receive().await.expect("an answer");
        assert_eq!(answer["id"], request["id"]);
        answer
    }

    pub(crate) fn close(&mut self) {
        self.writer = None;
    }
}

/// An HTTP client of one server.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) http: reqwest::Client,
    pub(crate) base: String,
}

impl Client {
    /// A POST with the headers that MCP asks for, and others.
    pub(crate) fn post(&self, path: &str, body: impl ToString, headers: &[(&str, &str)]) -> reqwest::RequestBuilder {
        let request = self.http.post(format!("{}{path}", self.base)).body(body.to_string());
        let standard = [("content-type", "application/json"), ("accept", "application/json, text/event-stream")];
        request.headers(
            standard
                .iter()
                .chain(headers)
                .map(|(name, value)| (http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap()))
                .collect::<std::collections::HashMap<_, _>>()
                .into_iter()
                .collect(),
        )
    }

    pub(crate) fn get(&self, path: &str) -> reqwest::RequestBuilder {
        self.http.get(format!("{}{path}", self.base))
    }
}

/// Server-sent events as they come.
pub(crate) struct Events {
    response: reqwest::Response,
    buffer: String,
}

impl Events {
    pub(crate) fn of(response: reqwest::Response) -> Self {
        Self { response, buffer: String::new() }
    }

    /// The next event that has data, as its name and data; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<(String, String)> {
        loop {
            while let Some((event, rest)) = self.buffer.split_once("\n\n") {
                let field = |name: &str| {
                    let mut lines = event.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                    lines.next().map(|value| value.trim().to_owned())
                };
                let found = (field("event").unwrap_or_default(), field("data").unwrap_or_default());
                self.buffer = rest.to_owned();
                if !found.1.is_empty() {
                    return Some(found);
                }
            }
            let chunk = within(self.response.chunk()).await.unwrap()?;
            self.buffer.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next message.
    pub(crate) async fn message(&mut self) -> Value {
        serde_json::from_str(&self.next().await.expect("a message").1).unwrap()
    }
}
