//! Several processes on one folder, many clients, and processes that are killed at any moment.

use std::{
    collections::BTreeSet,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use keyglass::backend::embedded::maintenance;
use tokio::sync::Notify;

use super::*;
use crate::support::keyglass;

/// How many times a process is killed.
const KILLS: u64 = 200;

/// A process that serves the backend. Killed when it is dropped.
struct Process {
    child: Child,
    url: String,
}

impl Process {
    fn start(folder: &Path) -> Self {
        Self::of(spawn(folder, &["backend", "--listen", "127.0.0.1:0"]))
    }

    fn of(mut child: Child) -> Self {
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut seen = Vec::new();
        let url = loop {
            let Some(Ok(line)) = log.next() else { panic!("the process ended: {seen:?}") };
            if let Some((_, url)) = line.split_once("listens on ") {
                break url.trim().to_owned();
            }
            seen.push(line);
        };
        // Nobody reads on: a full pipe would stop the process.
        std::thread::spawn(move || log.for_each(drop));
        Self { child, url }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn spawn(folder: &Path, arguments: &[&str]) -> Child {
    let mut command: Command = keyglass(folder, arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Numbers that look random and are the same in every run.
fn number(seed: u64) -> u64 {
    let mixed = (seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 31)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33
}

fn names(folder: &Path) -> BTreeSet<String> {
    let database = rusqlite::Connection::open(folder.join("keyglass.db")).unwrap();
    let sound: String = database.query_row("PRAGMA quick_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok");
    let mut statement = database.prepare("SELECT name FROM secrets").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

/// Writes until the process is gone; what was acknowledged, and what was only asked for.
async fn write_until_killed(client: reqwest::Client, target: [String; 3], begun: Arc<Notify>) -> (Vec<String>, String) {
    let [url, key, prefix] = target;
    let mut acknowledged = Vec::new();
    for number in 0.. {
        let name = format!("{prefix}_{number}");
        let body = json!({ "name": name, "value": CANARY }).to_string();
        let answer = client.post(format!("{url}/v1/secrets")).bearer_auth(&key).body(body).send().await;
        match answer {
            Ok(answer) if answer.status() == StatusCode::OK => match answer.bytes().await {
                Ok(_) => {
                    acknowledged.push(name);
                    begun.notify_one();
                }
                Err(_) => return (acknowledged, name),
            },
            Ok(answer) => panic!("{}: {:?}", answer.status(), answer.text().await),
            Err(_) => return (acknowledged, name),
        }
    }
    unreachable!("numbers do not end")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_was_acknowledged_survives_a_kill_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let mut expected = BTreeSet::new();
    let mut processes = 0;
    let mut rekeying = 0;
    let client = reqwest::Client::new();
    while processes < KILLS {
        let mut process = Process::start(folder.path());
        let key = fs::read_to_string(folder.path().join("root.key")).unwrap().trim().to_owned();
        let begun = Arc::new(Notify::new());
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let target = [process.url.clone(), key.clone(), format!("R{processes}_{writer}")];
                tokio::spawn(write_until_killed(client.clone(), target, Arc::clone(&begun)))
            })
            .collect();
        // In every second round everything is sealed anew meanwhile, by a process that is killed as well, while another one
        // waits for its turn.
        let rekeys = if processes % 2 == 1 { 2 } else { 0 };
        let others: Vec<_> = (0..rekeys).map(|_| spawn(folder.path(), &["backend", "rekey"])).collect();
        // Mostly after the first write, now and then before it.
        if !number(processes).is_multiple_of(4) {
            tokio::time::timeout(Duration::from_secs(30), begun.notified()).await.expect("something is written");
        }
        tokio::time::sleep(Duration::from_millis(number(processes * 3) % 60)).await;
        process.kill();
        processes += 1;
        for mut other in others {
            tokio::time::sleep(Duration::from_millis(number(processes * 7) % 60)).await;
            rekeying += u64::from(other.try_wait().unwrap().is_none());
            other.kill().ok();
            other.wait().unwrap();
            processes += 1;
        }
        let mut in_doubt = BTreeSet::new();
        for writer in writers {
            let (acknowledged, last) = writer.await.unwrap();
            expected.extend(acknowledged);
            in_doubt.insert(last);
        }
        let found = names(folder.path());
        let lost: Vec<_> = expected.difference(&found).collect();
        assert!(lost.is_empty(), "kill {processes}: {lost:?}");
        let unasked: Vec<_> = found.difference(&expected).filter(|name| !in_doubt.contains(*name)).collect();
        assert!(unasked.is_empty(), "kill {processes}: {unasked:?}");
        expected = found;
        // Opened for good: every value and every mark is there, whichever key they were made with.
        if processes % 20 < 2 {
            assert_eq!(maintenance::verify(&options(folder.path())).unwrap(), [""; 0], "kill {processes}");
        }
    }
    assert!(expected.len() > 100, "{}", expected.len());
    assert!(rekeying > 0, "no process was killed in the middle of its work");
    maintenance::rekey(&options(folder.path()), |_| {}).unwrap();
    assert_eq!(maintenance::verify(&options(folder.path())).unwrap(), [""; 0]);
    let backend = embedded::open(&options(folder.path())).unwrap();
    let list = call(&backend, "GET", "/v1/secrets?limit=1", "").await.json();
    assert_eq!(list["total_count"], expected.len());
}

/// What a client did, for all clients together.
#[derive(Default)]
struct Tally {
    created: AtomicUsize,
    deleted: AtomicUsize,
    limited: AtomicUsize,
}

/// One client: writes, reads and deletes secrets of its own, and tries to be the first with shared names.
async fn client(client: reqwest::Client, url: String, key: String, number: usize, tally: Arc<Tally>) {
    let send = async |method: Method, path: String, body: Value| loop {
        let request = client.request(method.clone(), format!("{url}{path}")).bearer_auth(&key);
        let answer = request.body(body.to_string()).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        if status != StatusCode::TOO_MANY_REQUESTS {
            return (status.as_u16(), text);
        }
        tally.limited.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let (kept, gone) = (format!("KEPT_{number}"), format!("GONE_{number}"));
    for name in [&kept, &gone] {
        let (status, text) = send(Method::POST, "/v1/secrets".to_owned(), json!({ "name": name, "value": "1" })).await;
        assert_eq!(status, 200, "{text}");
        tally.created.fetch_add(1, Ordering::Relaxed);
    }
    let (status, text) = send(Method::GET, format!("/v1/secrets/{kept}"), json!({})).await;
    assert_eq!(status, 200, "{text}");
    let (status, text) = send(Method::POST, format!("/v1/secrets/{kept}"), json!({ "value": "2" })).await;
    assert_eq!(status, 200, "{text}");
    let (status, text) = send(Method::POST, format!("/v1/secrets/{gone}/delete"), json!({})).await;
    assert_eq!(status, 200, "{text}");
    tally.deleted.fetch_add(1, Ordering::Relaxed);
    let shared = json!({ "name": format!("SHARED_{}", number % 20), "value": "1" });
    match send(Method::POST, "/v1/secrets".to_owned(), shared).await {
        (200, _) => drop(tally.created.fetch_add(1, Ordering::Relaxed)),
        (400, text) => assert!(text.contains("already exists"), "{text}"),
        (status, text) => panic!("{status}: {text}"),
    }
}

/// A thousand clients at once, spread over so many processes on one folder.
async fn load(processes: usize) {
    let folder = tempfile::tempdir().unwrap();
    let processes: Vec<Process> = (0..processes).map(|_| Process::start(folder.path())).collect();
    let key = fs::read_to_string(folder.path().join("root.key")).unwrap().trim().to_owned();
    let tally = Arc::new(Tally::default());
    // A connection for each request.
    let http = reqwest::Client::builder().pool_max_idle_per_host(0).build().unwrap();
    let clients: Vec<_> = (0..1_000)
        .map(|number| {
            let url = processes[number % processes.len()].url.clone();
            tokio::spawn(client(http.clone(), url, key.clone(), number, Arc::clone(&tally)))
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(tally.created.load(Ordering::Relaxed), 2_020, "each shared name has one creator");
    let expected: BTreeSet<String> = (0..1_000)
        .map(|number| format!("KEPT_{number}"))
        .chain((0..20).map(|number| format!("SHARED_{number}")))
        .collect();
    assert_eq!(names(folder.path()), expected, "nothing is lost, and nothing came back");
    assert_eq!(maintenance::verify(&options(folder.path())).unwrap(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_clients_lose_nothing() {
    load(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_clients_of_four_processes_lose_nothing() {
    load(4).await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_may_not_grow_is_told_of_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    drop(Process::start(folder.path()));
    // No file may grow beyond 1 MiB, as on a disk that is full; the signal that goes with it is ignored.
    let script = "trap '' XFSZ; ulimit -f 2048; exec \"$0\" backend --listen 127.0.0.1:0";
    let mut limited = Command::new("sh");
    limited.args(["-c", script, env!("CARGO_BIN_EXE_keyglass")]).env_clear().env("KEYGLASS_DATA_DIR", folder.path());
    limited.env("PATH", "/usr/bin:/bin");
    let limited = limited.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut limited = Process::of(limited);
    let key = fs::read_to_string(folder.path().join("root.key")).unwrap().trim().to_owned();
    let client = reqwest::Client::new();
    let create = async |url: &str, number: usize| {
        let body = json!({ "name": format!("S{number}"), "value": "x".repeat(100_000) }).to_string();
        let answer = client.post(format!("{url}/v1/secrets")).bearer_auth(&key).body(body).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let mut kept = BTreeSet::new();
    let refusal = loop {
        let number = kept.len();
        assert!(number < 1_000, "the limit holds");
        match create(&limited.url, number).await {
            (200, _) => kept.insert(format!("S{number}")),
            refusal => break refusal,
        };
    };
    assert!(matches!(refusal.0, 500 | 507), "{refusal:?}");
    assert!(refusal.1.contains("disk") && refusal.1.contains("nothing was changed"), "{refusal:?}");
    // What is there can still be read.
    let list = client.get(format!("{}/v1/secrets", limited.url)).bearer_auth(&key).send().await.unwrap();
    assert_eq!(list.status(), StatusCode::OK);
    limited.kill();
    assert_eq!(names(folder.path()), kept);
    let roomy = Process::start(folder.path());
    assert_eq!(create(&roomy.url, kept.len()).await.0, 200);
    drop(roomy);
    assert_eq!(maintenance::verify(&options(folder.path())).unwrap(), [""; 0]);
}
