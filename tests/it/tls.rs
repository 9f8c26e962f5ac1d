//! The embedded backend's port with TLS.

use std::{fs, path::Path, process::Stdio};

use http::{StatusCode, Version};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::support::{run, within};

/// Writes a certificate for this machine and its key; gives the paths and the certificate.
fn pair(folder: &Path, name: &str) -> (String, String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
    let path = |kind: &str| folder.join(format!("{name}.{kind}")).display().to_string();
    fs::write(path("crt"), made.cert.pem()).unwrap();
    fs::write(path("key"), made.signing_key.serialize_pem()).unwrap();
    (path("crt"), path("key"), made.cert.pem())
}

/// Starts the program and waits for its port.
async fn start(data: &Path, arguments: &[&str]) -> (Child, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keyglass"));
    command.args(arguments).arg("--data-dir").arg(data).env_clear().kill_on_drop(true);
    // An open input: over stdio a server ends with it.
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let base = loop {
        let line = within(lines.next_line()).await.unwrap().expect("it listens");
        if let Some((_, base)) = line.split_once("the embedded backend listens on ") {
            break base.to_owned();
        }
    };
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    (child, base)
}

#[tokio::test]
async fn one_port_speaks_both_versions_over_tls_and_nothing_without() {
    let data = tempfile::tempdir().unwrap();
    let (cert, key, pem) = pair(data.path(), "own");
    for arguments in [
        ["backend", "--listen", "127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key],
        ["serve", "--backend-listen", "127.0.0.1:0", "--backend-tls-cert", &cert, "--backend-tls-key", &key],
    ] {
        let (mut child, base) = start(data.path(), &arguments).await;
        assert!(base.starts_with("https://127.0.0.1:"), "{base}");
        let root = fs::read_to_string(data.path().join("root.key")).unwrap();
        let url = format!("{base}/v1/accounts/me");
        let client = || {
            let certificate = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
            reqwest::Client::builder().no_proxy().tls_certs_only([certificate])
        };
        for (client, version) in [(client(), Version::HTTP_2), (client().http1_only(), Version::HTTP_11)] {
            let client = client.build().unwrap();
            let answer = within(client.get(&url).bearer_auth(root.trim()).send()).await.unwrap();
            assert_eq!((answer.status(), answer.version()), (StatusCode::OK, version));
        }
        let plain = client().build().unwrap().get(url.replace("https:", "http:")).send();
        assert!(within(plain).await.is_err(), "nothing is served in clear text");
        let stranger = reqwest::Client::builder().no_proxy().build().unwrap().get(&url).send();
        assert!(within(stranger).await.is_err(), "the certificate is the one that was given");
        child.kill().await.unwrap();
    }
}

#[test]
fn a_pair_that_is_none_is_told_at_the_start() {
    let data = tempfile::tempdir().unwrap();
    let ((cert, key, _), (other_cert, other_key, _)) = (pair(data.path(), "own"), pair(data.path(), "other"));
    let listen = ["backend", "--listen", "127.0.0.1:0"];
    for (arguments, code, words) in [
        (&["--tls-cert", &cert, "--tls-key", &other_key][..], 2, "does not belong to the certificate"),
        (&["--tls-cert", &other_cert, "--tls-key", &key], 2, "does not belong to the certificate"),
        (&["--tls-cert", &key, "--tls-key", &key], 2, "the certificate is not one in PEM"),
        (&["--tls-cert", &cert, "--tls-key", &cert], 2, "the key is not one in PEM"),
        (&["--tls-cert", "no-such-file", "--tls-key", &key], 2, "no-such-file"),
        (&["--tls-cert", &cert], 64, "--tls-key"),
        (&["--tls-key", &key], 64, "--tls-cert"),
    ] {
        let (actual, _, err) = run(data.path(), &[&listen, arguments].concat());
        assert_eq!(actual, code, "{arguments:?}: {err}");
        assert!(err.contains(words) && !err.contains("BEGIN PRIVATE KEY-----\n"), "{arguments:?}: {err}");
    }
}
