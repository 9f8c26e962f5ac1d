//! A data folder that may not be written, or not be looked into.

use std::{
    fs::{Permissions, set_permissions},
    os::unix::fs::PermissionsExt as _,
    process::Stdio,
};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

use super::*;
use crate::support::{Commoner, finished, within};

/// Everything that opens the data folder for work, and everything that only looks after it.
const AT_WORK: [&[&str]; 6] = [
    &["backend", "--listen", "127.0.0.1:0"],
    &["serve"],
    &["keys", "list"],
    &["secrets", "list"],
    &["secrets", "delete", "KEPT"],
    &["call", "list_secrets"],
];
const LOOKING_AFTER: [&[&str]; 2] = [&["backend", "verify"], &["backend", "rekey"]];

async fn run(user: &Commoner, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::from(user.keyglass(arguments));
    finished(within(command.stdin(Stdio::null()).kill_on_drop(true).output()).await.unwrap())
}

fn allow(path: &Path, mode: u32) {
    set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A folder with a secret in it, and nothing beside the database.
async fn filled() -> Commoner {
    let user = Commoner::new();
    let value = user.data().join("value");
    fs::write(&value, CANARY).unwrap();
    allow(&value, 0o644);
    let create = ["secrets", "create", "KEPT", "--value-file", value.to_str().unwrap()];
    let (code, _, err) = run(&user, &create).await;
    assert_eq!(code, 0, "{err}");
    // Whoever closes the database last, leaves nothing beside it.
    drop(rusqlite::Connection::open(user.data().join("keyglass.db")).unwrap().execute_batch("SELECT * FROM meta"));
    assert!(!user.data().join("keyglass.db-wal").exists());
    user
}

/// That a command says which file it is about, and what to do, in one line.
async fn assert_refused(user: &Commoner, arguments: &[&str], file: &str, words: &str) {
    let (code, out, err) = run(user, arguments).await;
    assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {err}");
    let last = err.lines().last().unwrap();
    assert!(last.starts_with("keyglass: ") && last.contains(&format!("/data/{file}` ")), "{arguments:?}: {err}");
    assert!(last.contains(words) && last.contains(';') && !last.contains("Error code"), "{arguments:?}: {err}");
}

/// That all is as it was, once everything may be written again.
async fn assert_unharmed(user: &Commoner, kept: &[&str]) {
    allow(&user.data(), 0o700);
    for entry in fs::read_dir(user.data()).unwrap() {
        allow(&entry.unwrap().path(), 0o600);
    }
    let (code, out, err) = run(user, &["backend", "verify"]).await;
    assert_eq!((code, out.as_str()), (0, "no problems\n"), "{err}");
    let (_, out, err) = run(user, &["secrets", "list", "--json"]).await;
    let list: Value = serde_json::from_str(&out).expect(&err);
    let mut names: Vec<_> = list["secrets"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, kept);
}

#[tokio::test]
async fn what_may_not_be_written_is_named_and_nothing_is_lost() {
    let beside = "no file can be made beside it";
    for (closed, mode, file, words) in [
        ("", 0o555, "keyglass.db", beside),
        ("", 0o000, "master.key", "Permission denied"),
        ("keyglass.db", 0o444, "keyglass.db", "opened for writing"),
        ("keyglass.db", 0o000, "keyglass.db", "opened for writing"),
        ("turn.lock", 0o444, "turn.lock", "opened for writing"),
        ("root.key", 0o000, "root.key", "Permission denied"),
    ] {
        let user = filled().await;
        allow(&user.data().join(closed), mode);
        for arguments in AT_WORK {
            assert_refused(&user, arguments, file, words).await;
        }
        for arguments in LOOKING_AFTER {
            let (file, words) = match (closed, mode, arguments[1]) {
                ("", 0o000, _) => ("keyglass.db", "Permission denied"),
                ("", 0o555, "rekey") => ("maintenance.lock", "opened for writing"),
                // Looking changes nothing.
                ("keyglass.db", 0o444, "verify") | ("turn.lock", _, "verify") => continue,
                ("keyglass.db", _, "verify") => (file, beside),
                _ => (file, words),
            };
            if (closed, arguments[1]) == ("root.key", "verify") {
                // One problem among others, which are looked for all the same.
                let (code, out, _) = run(&user, arguments).await;
                assert!(code == 1 && out.contains("/data/root.key` cannot be read"), "{out}");
                continue;
            }
            assert_refused(&user, arguments, file, words).await;
        }
        assert_unharmed(&user, &["KEPT"]).await;
    }
}

#[tokio::test]
async fn an_empty_folder_that_may_not_be_written_is_named() {
    let user = Commoner::new();
    allow(&user.data(), 0o555);
    // The others make no database.
    let making = AT_WORK.into_iter().filter(|arguments| !["keys", "secrets"].contains(&arguments[0]));
    for arguments in making.chain([&["keys", "create", "--full"][..]]) {
        assert_refused(&user, arguments, "master.key", "cannot be written").await;
    }
    assert_eq!(fs::read_dir(user.data()).unwrap().count(), 0);
}

/// Serves the backend; gives its address.
async fn serve_as(user: &Commoner) -> (Child, String) {
    let mut command = Command::from(user.keyglass(&["backend", "--listen", "127.0.0.1:0"]));
    let mut child = command.stderr(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    loop {
        let line = within(lines.next_line()).await.unwrap().expect("it listens");
        if let Some((_, url)) = line.split_once("listens on ") {
            let url = url.trim().to_owned();
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return (child, url);
        }
    }
}

#[tokio::test]
async fn a_folder_that_is_closed_to_writing_meanwhile_loses_nothing() {
    let user = filled().await;
    let (mut child, url) = serve_as(&user).await;
    let key = fs::read_to_string(user.data().join("root.key")).unwrap().trim().to_owned();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let create = async |name: &str| {
        let body = json!({ "name": name, "value": CANARY }).to_string();
        let request = client.post(format!("{url}/v1/secrets")).bearer_auth(&key).body(body);
        within(request.send()).await.unwrap().status()
    };
    assert_eq!(create("BEFORE").await, StatusCode::OK);
    allow(&user.data(), 0o555);
    // Whoever has the files open goes on; work on the whole database needs new ones.
    assert_eq!(create("FOLDER").await, StatusCode::OK);
    assert_refused(&user, &["backend", "rekey"], "maintenance.lock", "opened for writing").await;
    for entry in fs::read_dir(user.data()).unwrap() {
        allow(&entry.unwrap().path(), 0o444);
    }
    assert_eq!(create("FILES").await, StatusCode::OK);
    for arguments in AT_WORK {
        assert_refused(&user, arguments, "keyglass.db", "opened for writing").await;
    }
    child.kill().await.unwrap();
    for arguments in AT_WORK {
        assert_refused(&user, arguments, "keyglass.db", "opened for writing").await;
    }
    assert_unharmed(&user, &["BEFORE", "FILES", "FOLDER", "KEPT"]).await;
}
