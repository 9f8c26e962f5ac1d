//! Where requests go: to what the operator and the specs name, at addresses that were checked. A listener that may not be
//! reached counts its connections.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, StatusCode};
use keyglass::{
    backend::{Backend, Limits, Lookup, Remote},
    egress::{Allowed, Egress, Policy, Refusal},
    error::CallError,
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};
use url::Url;

use crate::{
    shipyard::{Answer, Service},
    support::{finished, keyglass, run, within},
};

/// A listener that answers `{}` and counts who connects.
struct Door {
    port: u16,
    connections: Arc<AtomicUsize>,
    /// The first line of each request.
    lines: Arc<Mutex<Vec<String>>>,
}

impl Door {
    async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (connections, lines) = (Arc::new(AtomicUsize::new(0)), Arc::<Mutex<Vec<String>>>::default());
        let (counted, noted) = (Arc::clone(&connections), Arc::clone(&lines));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let noted = Arc::clone(&noted);
                tokio::spawn(async move {
                    let mut head = Vec::new();
                    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
                        let mut piece = [0; 1024];
                        match stream.read(&mut piece).await {
                            Ok(length) if length > 0 => head.extend_from_slice(&piece[..length]),
                            _ => return,
                        }
                    }
                    let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
                    noted.lock().expect("no panic").push(line);
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
                    stream.write_all(answer).await.ok(); // whoever asked may be gone
                });
            }
        });
        Self { port, connections, lines }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn lines(&self) -> Vec<String> {
        self.lines.lock().expect("no panic").clone()
    }
}

/// Names lead to these addresses, one list after the other, and to the last one from then on.
fn leading(answers: &[&str]) -> (Lookup, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let answers: Vec<Vec<IpAddr>> = answers
        .iter()
        .map(|answer| answer.split_whitespace().map(|address| address.parse().expect(address)).collect())
        .collect();
    let noted = Arc::clone(&asked);
    let lookup = Lookup::by(move |name| {
        let mut asked = noted.lock().expect("no panic");
        let answer = answers.get(asked.len()).or(answers.last()).cloned();
        asked.push(name);
        async move { answer.ok_or_else(|| io::Error::other("nobody")) }
    });
    (lookup, asked)
}

fn client(allow: &str, stated: &str, lookup: &Lookup) -> Backend {
    let allowed = allow.split_whitespace().map(|entry| entry.parse::<Allowed>().expect(entry));
    let policy = Arc::new(Policy::new(allowed, false));
    let stated: Vec<Url> = stated.split_whitespace().map(|url| Url::parse(url).expect(url)).collect();
    Backend::Remote(Remote::new(Egress::new(policy, &stated), lookup).expect("a client"))
}

async fn get(client: &Backend, url: &str) -> Result<StatusCode, CallError> {
    let request = Request::builder().uri(url).body(Bytes::new()).expect("a request");
    let limits = Limits { timeout: Duration::from_secs(20), ..Limits::default() };
    within(client.send(request, &limits)).await.map(|response| response.status())
}

fn refusal(outcome: Result<StatusCode, CallError>) -> Refusal {
    let error = outcome.expect_err("it may not be reached");
    let text = error.to_string();
    assert_eq!(error.kind(), "refused-host", "{text}");
    assert!(text.contains("nothing was sent") && text.contains("egress.allow"), "{text}");
    match error {
        CallError::RefusedHost { reason, .. } => reason,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_name_that_leads_inside_leads_nowhere() {
    let door = Door::open().await;
    for (address, hidden) in [
        ("127.0.0.1", "127.0"),
        ("::ffff:127.0.0.1", "127.0"),
        ("::1", "::1"),
        ("0.0.0.0", "0.0.0"),
        ("10.11.12.13", "10.11"),
        ("169.254.169.254", "169.254"),
        ("64:ff9b::7f00:1", "64:ff9b"),
        ("127.0.0.1 10.0.0.1 fd00::1 fe80::1", "127.0"),
    ] {
        let url = format!("https://pets.test:{}/v1", door.port);
        let (lookup, asked) = leading(&[address]);
        let outcome = get(&client("", &url, &lookup), &url).await;
        let text = outcome.as_ref().expect_err(address).to_string();
        assert!(text.contains("`pets.test`") && !text.contains(hidden), "{text}");
        assert_eq!(refusal(outcome), Refusal::Resolved, "{address}");
        assert_eq!(*asked.lock().expect("no panic"), ["pets.test"], "{address}");
    }
    assert_eq!(door.connections(), 0);
}

/// A name that the operator gives may lead into a private network, but neither to this machine nor to the metadata of a
/// cloud.
#[tokio::test]
async fn what_the_operator_names_leads_no_further_than_it_may() {
    let door = Door::open().await;
    let url = format!("http://intern.test:{}/v1", door.port);
    for address in ["127.0.0.1", "169.254.169.254", "::1", "0.0.0.0", "::ffff:127.0.0.1"] {
        let (lookup, _) = leading(&[address]);
        assert_eq!(
            refusal(get(&client(&url.replace("/v1", ""), "", &lookup), &url).await),
            Refusal::Resolved,
            "{address}"
        );
        let (lookup, _) = leading(&[address]);
        let with_range = format!("{} 127.0.0.0/8", url.replace("/v1", ""));
        assert_eq!(refusal(get(&client(&with_range, "", &lookup), &url).await), Refusal::Resolved, "{address}");
    }
    assert_eq!(door.connections(), 0);
}

/// The first time the name leads where it may, the second time it does not.
#[tokio::test]
async fn a_name_is_looked_at_with_every_connection() {
    let door = Door::open().await;
    let url = format!("https://pets.test:{}/v1", door.port);
    // Nobody is there: a range for measurements, which no network routes.
    let (lookup, asked) = leading(&["198.18.0.1 127.0.0.1", "127.0.0.1"]);
    let client = client("198.18.0.0/15", &url, &lookup);
    let request = Request::builder().uri(&url).body(Bytes::new()).expect("a request");
    let limits = Limits { timeout: Duration::from_millis(200), ..Limits::default() };
    let first = within(client.send(request, &limits)).await.expect_err("nobody is there");
    assert!(matches!(first.kind(), "timeout" | "unreachable"), "{first}");
    assert_eq!(refusal(get(&client, &url).await), Refusal::Resolved);
    assert_eq!(asked.lock().expect("no panic").len(), 2);
    assert_eq!(door.connections(), 0, "not by the address that was left out of the first answer either");
}

#[tokio::test]
async fn what_nobody_named_is_not_even_looked_up() {
    let door = Door::open().await;
    let (lookup, asked) = leading(&["8.8.8.8"]);
    let here = format!("http://127.0.0.1:{}", door.port);
    let client = client("", "https://pets.test/v1", &lookup);
    for url in [
        here.as_str(),
        "https://evil.test/",
        "https://pets.test:444/",
        "http://pets.test/",
        "https://169.254.169.254/latest",
        "https://10.0.0.1/",
        "http://localhost:1/",
    ] {
        assert_eq!(refusal(get(&client, url).await), Refusal::Unnamed, "{url}");
    }
    assert_eq!((door.connections(), asked.lock().expect("no panic").len()), (0, 0));
}

/// Whatever a name server says of it.
#[tokio::test]
async fn localhost_is_this_machine() {
    let door = Door::open().await;
    let (lookup, asked) = leading(&["8.8.8.8"]);
    for host in ["localhost", "pets.localhost", "127.0.0.1"] {
        let url = format!("http://{host}:{}/v1", door.port);
        let client = client("", &url, &lookup);
        for _ in 0..2 {
            assert_eq!(get(&client, &url).await.expect(host), StatusCode::OK);
        }
    }
    assert!(door.connections() >= 3 && asked.lock().expect("no panic").is_empty());
}

fn spec(folder: &Path, base: &str) -> String {
    let path = folder.join("pets.yaml");
    let spec = format!(
        "ikanos: 1.0.0-beta5\ncapability:\n  consumes:\n    - type: http\n      namespace: pets\n      baseUri: {base}\n      \
         resources:\n        pets:\n          path: /pets\n          operations:\n            list-pets: {{ method: GET, \
         description: Lists pets. }}\n            await-pets: {{ method: PUT, description: Waits for pets., poll: {{ location: \
         true, interval: 50ms, timeout: 5s }} }}\n"
    );
    fs::write(&path, spec).expect("written");
    path.to_str().expect("text").to_owned()
}

fn config(folder: &Path, text: &str) -> String {
    let path = folder.join("keyglass.yaml");
    fs::write(&path, text).expect("written");
    path.to_str().expect("text").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_of_the_operator_is_the_whole_one_where_it_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let door = Door::open().await;
    let here = format!("http://127.0.0.1:{}", door.port);
    let spec = spec(folder.path(), &here);
    for (egress, backend, expected) in [
        ("{}".to_owned(), None, 0),
        ("{ only: true }".to_owned(), None, 3),
        ("{ only: true, allow: ['*.pets.test'] }".to_owned(), None, 3),
        ("{ only: true, allow: ['127.0.0.1:1'] }".to_owned(), None, 3),
        (format!("{{ only: true, allow: ['{here}'] }}"), None, 0),
        ("{ only: true, allow: [127.0.0.1] }".to_owned(), None, 0),
        ("{ only: true }".to_owned(), Some(format!("pets={here}")), 0),
    ] {
        let before = door.connections();
        let config = config(folder.path(), &format!("egress: {egress}\n"));
        let mut arguments = vec!["call", "list_pets", "--capabilities", &spec, "--config", &config];
        arguments.extend(backend.iter().flat_map(|backend| ["--backend", backend]));
        let (code, out, err) = run(folder.path(), &arguments);
        assert_eq!(code != 0, expected != 0, "{egress}: {out}{err}");
        assert_eq!(door.connections() - before, usize::from(expected == 0), "{egress}");
        if expected != 0 {
            assert!(err.contains("not among the hosts") && err.contains("`--backend pets=URL`"), "{egress}: {err}");
            let (_, out, err) = run(folder.path(), &["check", &spec, "--config", &config]);
            let said = out + &err;
            assert!(said.contains("[refused-host]") && said.contains("pets.yaml:6:16"), "{egress}: {said}");
        }
    }
    for (egress, words) in [
        ("{ allow: ['https://user:canary@pets.test'] }", "must hold no user or password"),
        ("{ allow: [10.0.0.1/8] }", "has bits behind those that count"),
        ("{ allow: [pets.test], onyl: true }", "did you mean `only`?"),
    ] {
        let config = config(folder.path(), &format!("egress: {egress}\n"));
        let (code, _, err) = run(folder.path(), &["tools", "--capabilities", &spec, "--config", &config]);
        assert!(code != 0 && err.contains(words) && !err.contains("canary"), "{egress}: {err}");
    }
}

/// Neither a redirect nor the `Location` of an operation that is not done leads elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn no_answer_leads_a_request_elsewhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let door = Door::open().await;
    let elsewhere = format!("http://127.0.0.1:{}/other", door.port);
    let target = elsewhere.clone();
    let service = Service::start(move |seen| {
        let status = if seen.line.starts_with("PUT") { 202 } else { 302 };
        Answer::json(&json!({"state": "begun"})).with_status(status).with_header("location", &target)
    })
    .await;
    let spec = spec(folder.path(), &service.url);
    // Even where it may be called.
    let config = config(folder.path(), &format!("egress: {{ allow: ['http://127.0.0.1:{}'] }}\n", door.port));
    for tool in ["list_pets", "await_pets"] {
        let output = keyglass(folder.path(), &["call", tool, "--capabilities", &spec, "--config", &config]).output();
        let (code, out, err) = finished(output.expect("runs"));
        assert!(code != 0 && err.contains("points to another address"), "{tool}: {out}{err}");
    }
    assert_eq!(door.connections(), 0);
}

/// An issuer names its own endpoints, and others where the operator does.
#[tokio::test(flavor = "multi_thread")]
async fn the_metadata_of_an_issuer_leads_nowhere_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let elsewhere =
        Service::start(|_| Answer::json(&json!({"access_token": "canary-token", "token_type": "Bearer"}))).await;
    let token_endpoint = format!("{}/token", elsewhere.url);
    let issuer = Service::start(move |seen| {
        let host = seen.header("host");
        Answer::json(&json!({"issuer": format!("http://{host}"), "token_endpoint": token_endpoint}))
    })
    .await;
    let spec = spec(folder.path(), &issuer.url);
    let text = fs::read_to_string(&spec).expect("the spec");
    let authentication = format!(
        "authentication: {{ type: oauth2, authorizationServerUri: '{}', clientId: a, clientSecret: '{{{{KG_SECRET}}}}' }}",
        issuer.url
    );
    fs::write(&spec, text.replace("      resources:", &format!("      {authentication}\n      resources:")))
        .expect("written");
    for (egress, expected) in [("{}".to_owned(), 0), (format!("{{ allow: ['{}'] }}", elsewhere.url), 1)] {
        let config = config(folder.path(), &format!("egress: {egress}\n"));
        let mut command = keyglass(folder.path(), &["call", "list_pets", "--capabilities", &spec, "--config", &config]);
        let (code, out, err) = finished(command.env("KG_SECRET", "canary-secret").output().expect("runs"));
        assert_eq!((code == 0, elsewhere.take().len()), (expected == 1, expected), "{out}{err}");
        assert!(expected == 1 || err.contains("token endpoint on another host"), "{err}");
        assert!(!out.contains("canary") && !err.contains("canary"), "{out}{err}");
    }
}

/// Proxies look names up themselves; what may not be named is not asked of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_asked_for_what_may_be_called_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let proxy = Door::open().await;
    let call = |base: &str| {
        let spec = spec(folder.path(), base);
        let mut command = keyglass(folder.path(), &["call", "list_pets", "--capabilities", &spec, "--timeout", "20"]);
        command.env("HTTPS_PROXY", format!("http://127.0.0.1:{}", proxy.port));
        finished(command.output().expect("runs"))
    };
    let (code, _, err) = call("https://pets.test/v1");
    assert!(code != 0, "what answers is no service: {err}");
    assert_eq!(proxy.lines(), ["CONNECT pets.test:443 HTTP/1.1"]);
    for base in ["https://169.254.169.254/v1", "https://[::ffff:10.0.0.1]/v1", "https://2130706434.0/v1"] {
        let (code, _, err) = call(base);
        assert!(code != 0, "{base}: {err}");
    }
    assert_eq!(proxy.lines().len(), 1);
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let door = Door::open().await;
    let (code, out, err) = call(&format!("http://{here}:{}", door.port));
    assert_eq!((code, proxy.lines().len(), door.connections()), (0, 1, 1), "{out}{err}");
}
