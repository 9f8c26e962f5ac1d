//! What an operator does on the command line: backup, restore, new keys, a master key kept elsewhere.

use std::{fs, path::Path};

use rusqlite::Connection;
use serde_json::Value;

use crate::support::{finished, keyglass, run};

const MASTER: &str = "4444444444444444444444444444444444444444444444444444444444444444";
const CANARY: &str = "canary-value-3b9d";

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn make_secret(data: &Path, name: &str) {
    let (code, _, err) = run(data, &["call", "create_secret", &format!("name={name}"), &format!("value={CANARY}")]);
    assert_eq!(code, 0, "{err}");
}

fn count_of_secrets(data: &Path) -> Value {
    let (code, out, err) = run(data, &["call", "list_secrets"]);
    assert_eq!(code, 0, "{err}");
    serde_json::from_str::<Value>(&out).expect("JSON")["total_count"].clone()
}

#[test]
fn a_database_is_backed_up_restored_sealed_anew_and_verified() {
    let (data, elsewhere) = (folder(), folder());
    make_secret(data.path(), "A");
    let file = elsewhere.path().join("copy.db").display().to_string();
    let (code, out, err) = run(data.path(), &["backend", "backup", &file]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("copy.db") && out.contains("master.key"), "{out}");
    let (code, _, err) = run(data.path(), &["backend", "backup", &file]);
    assert_eq!(code, 2);
    assert!(err.contains("is there already"), "{err}");

    make_secret(data.path(), "B");
    assert_eq!(count_of_secrets(data.path()), 2);
    let (code, out, err) = run(data.path(), &["backend", "restore", &file]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("copy.db"), "{out}");
    assert_eq!(count_of_secrets(data.path()), 1);

    let (code, out, err) = run(data.path(), &["backend", "rekey"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("1 secret and 1 API key") && out.contains("new master key"), "{out}");
    let (code, out, _) = run(data.path(), &["backend", "verify"]);
    assert_eq!((code, out.as_str()), (0, "no problems\n"));
    let (code, _, err) = run(data.path(), &["backend", "restore", &file]);
    assert_eq!(code, 2);
    assert!(err.contains("is not the key"), "the backup was made with the master key from before: {err}");

    Connection::open(data.path().join("keyglass.db")).unwrap().execute("UPDATE secrets SET name = 'Z'", []).unwrap();
    let (code, out, err) = run(data.path(), &["backend", "verify"]);
    assert_eq!(code, 1, "{err}");
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines.len() == 2 && lines[0].contains("the secret `sec_") && lines[1].starts_with("1 problem;"), "{out}");
}

#[test]
fn work_on_a_whole_database_takes_no_options_of_serving_and_makes_nothing() {
    let data = folder();
    let inner = data.path().join("inner");
    for (arguments, code, words) in [
        (&["backend", "verify"][..], 2, "there is no database"),
        (&["backend", "rekey"], 2, "there is no database"),
        (&["backend", "backup", "x.db"], 2, "there is no database"),
        (&["backend", "backup"], 64, "<FILE>"),
        (&["backend", "--listen", "127.0.0.1:0", "verify"], 64, "cannot be used with"),
        (&["backend", "restore", "nothing.db"], 2, "nothing.db"),
        (&["backend"], 64, "--listen"),
    ] {
        let (actual, _, err) = run(&inner, arguments);
        assert_eq!(actual, code, "{arguments:?}: {err}");
        assert!(err.contains(words), "{arguments:?}: {err}");
    }
    assert!(!inner.exists());
}

#[test]
fn the_master_key_may_lie_elsewhere_and_is_shown_nowhere() {
    let data = folder();
    let key_file = folder();
    let key_path = key_file.path().join("master.hex");
    fs::write(&key_path, format!("{MASTER}\n")).expect("written");
    let config = key_file.path().join("keyglass.yaml");
    fs::write(&config, "master_key: file:master.hex\n").expect("written");
    let with = |reference: &str, arguments: &[&str]| {
        let mut command = keyglass(data.path(), arguments);
        command.args(["--master-key", reference]).env("MASTER", MASTER).env("KEYGLASS_LOG", "trace");
        let (code, out, err) = finished(command.output().expect("runs"));
        assert!(!format!("{out}{err}").contains("44444444"), "{out}{err}");
        (code, out, err)
    };
    let good = [
        "env:MASTER".to_owned(),
        format!("file:{}", key_path.display()),
        #[cfg(unix)]
        "cmd:echo unlocked >&2; printenv MASTER".to_owned(),
    ];
    for reference in &good {
        let (code, _, err) = with(reference, &["call", "list_secrets"]);
        assert_eq!(code, 0, "{reference}: {err}");
        let (code, _, err) = with(reference, &["backend", "verify"]);
        assert_eq!(code, 0, "{reference}: {err}");
    }
    assert!(!data.path().join("master.key").exists());
    let config = config.display().to_string();
    let (code, _, err) = run(data.path(), &["backend", "verify", "--config", &config]);
    assert_eq!(code, 0, "a path in the file starts at the file's folder: {err}");
    let mut command = keyglass(data.path(), &["backend", "verify"]);
    command.env("MASTER", MASTER).env("KEYGLASS_MASTER_KEY", "env:MASTER");
    assert_eq!(finished(command.output().expect("runs")).0, 0);
    let (code, out, _) = with("env:MASTER", &["backend", "rekey"]);
    assert!(code == 0 && out.contains("the master key is the same"), "{out}");

    for (reference, code, words) in [
        (MASTER, 64, "cmd:COMMAND"),
        ("env:UNSET_VARIABLE", 2, "is not set"),
        ("file:no-such-file", 2, "no-such-file"),
        #[cfg(unix)]
        ("cmd:printenv MASTER; printenv MASTER >&2; exit 3", 2, "ended with code 3: [hidden]"),
        #[cfg(unix)]
        ("cmd:echo 4444444455555555", 2, "64 hexadecimal digits"),
        #[cfg(unix)]
        ("cmd:printenv MASTER | tr 4 5", 2, "is not the key"),
    ] {
        let (actual, _, err) = with(reference, &["backend", "verify"]);
        assert_eq!(actual, code, "{reference}: {err}");
        assert!(err.contains(words), "{reference}: {err}");
    }
}
