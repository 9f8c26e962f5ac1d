//! What an operator does on the command line: backup, restore, new keys, a master key kept elsewhere.

use std::{fs, io::Write as _, path::Path, process::Stdio};

use keyglass::{clock::Clock, config, setup};
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

    let (code, rekeyed, err) = run(data.path(), &["backend", "rekey"]);
    assert_eq!(code, 0, "{err}");
    assert!(rekeyed.contains("1 secret and 1 API key") && rekeyed.contains("new master key"), "{rekeyed}");
    let (code, out, _) = run(data.path(), &["backend", "verify"]);
    assert_eq!((code, out.as_str()), (0, "no problems\n"));
    let (code, _, err) = run(data.path(), &["backend", "restore", &file]);
    assert_eq!(code, 0, "the master key from before is kept: {err}");
    let names = fs::read_dir(data.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let former: Vec<String> = names.filter(|name| name.starts_with("master.key.old-")).collect();
    assert_eq!(former.len(), 1, "{former:?}");
    assert!(rekeyed.contains(&format!("{}`", former[0])), "{rekeyed}");
    let (code, _, _) = run(data.path(), &["backend", "rekey"]);
    assert_eq!(code, 0);
    fs::remove_file(data.path().join(&former[0])).unwrap();
    let (code, _, err) = run(data.path(), &["backend", "restore", &file]);
    assert_eq!(code, 2);
    assert!(err.contains("is not the key"), "{err}");

    Connection::open(data.path().join("keyglass.db")).unwrap().execute("UPDATE secrets SET name = 'Z'", []).unwrap();
    let (code, out, err) = run(data.path(), &["backend", "verify"]);
    assert_eq!(code, 1, "{err}");
    let lines: Vec<&str> = out.lines().collect();
    assert!(lines.len() == 2 && lines[0].contains("the secret `sec_") && lines[1].starts_with("1 problem;"), "{out}");
    Connection::open(data.path().join("keyglass.db")).unwrap().execute("UPDATE keys SET name = 'Z'", []).unwrap();
    let (code, out, err) = run(data.path(), &["backend", "verify"]);
    assert_eq!(code, 1, "a database that nothing can be started on: {err}");
    assert!(out.contains("the API key `key_") && out.contains("2 problems;"), "{out}");
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
        (&["keys", "list"], 2, "there is no database"),
        (&["keys", "get", "key_1"], 2, "there is no database"),
        (&["keys", "revoke", "key_1"], 2, "there is no database"),
        (&["keys", "rotate", "key_1"], 2, "there is no database"),
        (&["secrets", "list"], 2, "there is no database"),
        (&["secrets", "get", "A"], 2, "there is no database"),
        (&["secrets", "update", "A", "--value-file", "Cargo.toml"], 2, "there is no database"),
        (&["secrets", "delete", "A"], 2, "there is no database"),
        (&["secrets", "expire", "A", "never"], 2, "there is no database"),
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

#[test]
fn a_master_key_elsewhere_gives_way_to_another_one() {
    let data = folder();
    make_secret(data.path(), "A");
    let file = |digit: &str| {
        let path = data.path().join(format!("{digit}.hex"));
        fs::write(&path, digit.repeat(64)).unwrap();
        format!("file:{}", path.display())
    };
    let (first, second) = (file("4"), file("5"));
    let (code, out, err) = run(data.path(), &["backend", "rekey", "--new-master-key", &first]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("4.hex") && out.contains("--master-key"), "{out}");
    let change = ["backend", "rekey", "--master-key", &first, "--new-master-key", &second];
    assert_eq!(run(data.path(), &change).0, 0);
    let (code, _, err) = run(data.path(), &change);
    assert_eq!(code, 2);
    assert!(err.contains("4.hex") && err.contains("is not the key"), "{err}");
    let (code, out, err) = run(data.path(), &["backend", "verify", "--master-key", &second]);
    assert_eq!((code, out.as_str()), (0, "no problems\n"), "{err}");
    for literal in [MASTER.to_owned(), format!("file:{MASTER}"), format!("env:{MASTER}")] {
        for option in ["--master-key", "--new-master-key"] {
            let mut arguments = vec!["backend", "rekey", option, &literal];
            if option == "--new-master-key" {
                arguments.extend(["--master-key", &second]);
            }
            let (code, out, err) = run(data.path(), &arguments);
            assert!(matches!(code, 2 | 64), "{code}");
            assert!(!out.contains("44444444") && !err.contains("44444444"), "{out}{err}");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_folder_that_others_may_write_to_is_told_of() {
    use std::os::unix::fs::PermissionsExt as _;

    let data = folder();
    make_secret(data.path(), "A");
    let mode = |mode| fs::set_permissions(data.path(), fs::Permissions::from_mode(mode)).unwrap();
    for (bits, is_told) in [(0o700, false), (0o755, false), (0o777, true), (0o770, true)] {
        mode(bits);
        let (code, _, err) = run(data.path(), &["backend", "verify"]);
        assert_eq!(code, 0, "{err}");
        assert_eq!(err.contains("chmod go-w"), is_told, "{bits:o}: {err}");
    }
}

fn with_input(data: &Path, arguments: &[&str], input: &str) -> (i32, String, String) {
    let mut command = keyglass(data, arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("runs");
    let mut pipe = child.stdin.take().expect("an input");
    // It may have refused the arguments and gone.
    pipe.write_all(input.as_bytes()).ok();
    drop(pipe);
    finished(child.wait_with_output().expect("ends"))
}

#[track_caller]
fn json(data: &Path, arguments: &[&str]) -> Value {
    let (code, out, err) = run(data, &[arguments, &["--json"]].concat());
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).expect("JSON")
}

#[test]
fn keys_are_made_listed_rotated_and_revoked() {
    let data = folder();
    let (code, out, err) = run(data.path(), &["keys", "create", "--name", "ci", "--full", "--expires", "90d"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.starts_with("ak_") && out.lines().count() == 1, "the key alone: {out}");
    assert!(!err.contains(out.trim()), "{err}");

    let file = data.path().join("agent.key");
    let path = file.display().to_string();
    let scopes = "RESOURCE_TYPE_ACCOUNT=READ,AGENTS=WRITE";
    let create = ["keys", "create", "--name", "agent", "--scopes", scopes, "--output", &path];
    let (code, out, err) = run(data.path(), &create);
    assert_eq!(code, 0, "{err}");
    let written = fs::read_to_string(&file).expect("the key");
    assert!(written.starts_with("rk_") && !format!("{out}{err}").contains(written.trim()), "{out}{err}");
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&fs::metadata(&file).unwrap()) & 0o777, 0o600);
    let (code, _, err) = run(data.path(), &create);
    assert_eq!(code, 64);
    assert!(err.contains("is there already"), "{err}");
    assert_eq!(fs::read_to_string(&file).expect("the key"), written, "not overwritten");

    let list = json(data.path(), &["keys", "list"]);
    let of = |member: &str| list["keys"].as_array().unwrap().iter().map(|key| key[member].clone()).collect::<Vec<_>>();
    assert_eq!(of("name"), ["agent", "ci", "root"], "the refused one left no key behind");
    let id = list["keys"][0]["id"].as_str().unwrap();
    let (_, table, _) = run(data.path(), &["keys", "list"]);
    let row = table.lines().nth(1).expect("a row");
    assert!(row.starts_with(id) && row.contains("RESOURCE_TYPE_ACCOUNT=READ,RESOURCE_TYPE_AGENTS=WRITE"), "{table}");

    let rotated = json(data.path(), &["keys", "rotate", id, "--grace", "0"]);
    assert!(rotated["key_secret"].as_str().unwrap().starts_with("rk_"));
    assert_eq!(rotated["replaced"]["id"], id);
    let new = rotated["key"]["id"].as_str().unwrap();
    assert_eq!(json(data.path(), &["keys", "get", id])["state"], "expired");
    let names = |arguments: &[&str]| {
        let (_, out, _) = run(data.path(), arguments);
        out.lines().map(|line| line.split("  ").next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let shown = names(&["keys", "get", id]);
    assert_eq!(
        shown.join(", "),
        "id, name, api, kind, state, scopes, created, expires, revoked, last used, replaced by"
    );
    assert_eq!(names(&["keys", "revoke", new]), shown);
    let (code, out, _) = run(data.path(), &["keys", "revoke", new]);
    assert!(code == 0 && out.contains("revoked"), "{out}");
    assert_eq!(json(data.path(), &["keys", "list", "--state", "revoked"])["keys"][0]["id"], new);

    for (arguments, code, words) in [
        (&["keys", "create"][..], 64, "--full"),
        (&["keys", "create", "--full", "--scopes", "ACCOUNT=READ"], 64, "cannot be used with"),
        (&["keys", "create", "--template", "flows"], 64, "--provider runtype"),
        (&["keys", "create", "--scopes", "ACCOUNT"], 64, "RESOURCE_TYPE_ACCOUNT=READ"),
        (&["keys", "create", "--scopes", "ACCOUNT=MUCH"], 5, "access_level"),
        (&["keys", "create", "--full", "--expires", "soon"], 64, "90d"),
        (&["keys", "create", "--full", "--expires", "2020-01-01"], 5, "in the past"),
        (&["keys", "get", "key_none"], 5, "there is no key"),
        (&["keys", "list", "--provider", "nobody"], 5, "runtools"),
    ] {
        let (actual, out, err) = run(data.path(), arguments);
        assert_eq!((actual, out.as_str()), (code, ""), "{arguments:?}: {err}");
        assert!(err.contains(words), "{arguments:?}: {err}");
    }
    let gone = data.path().join("gone.key").display().to_string();
    run(data.path(), &["keys", "create", "--scopes", "ACCOUNT=MUCH", "--output", &gone]);
    assert!(!Path::new(&gone).exists(), "no file where there is no key");
}

#[test]
fn a_key_of_runtype_is_made_from_a_template() {
    let data = folder();
    let create = ["keys", "create", "--provider", "runtype", "--name", "ci"];
    let made = |arguments: &[&str]| {
        let (code, out, err) = run(data.path(), &[&create[..], arguments].concat());
        assert_eq!(code, 0, "{arguments:?}: {err}");
        assert!(out.starts_with("rt_live_") && out.lines().count() == 1, "the key alone: {out}");
        let list = json(data.path(), &["keys", "list", "--provider", "runtype"]);
        list["keys"][0].clone()
    };
    let key = made(&["--template", "records,analytics", "--expires", "2100-01-31"]);
    assert_eq!(key["scopes"], serde_json::json!(["RECORDS:READ", "RECORDS:WRITE", "RECORDS:*", "ANALYTICS:READ"]));
    assert_eq!((&key["name"], &key["expires_at_ms"]), (&"ci".into(), &4_105_036_800_000_i64.into()));
    let key = made(&["--template", "secrets", "--scopes", "FLOWS:READ"]);
    assert_eq!(key["scopes"], serde_json::json!(["FLOWS:READ", "SECRETS:WRITE"]));
    assert_eq!(made(&["--full"])["scopes"], serde_json::json!(["*"]));

    let file = data.path().join("new.key").display().to_string();
    let (code, out, err) =
        run(data.path(), &[&create[..], &["--template", "flows", "--output", &file, "--json"]].concat());
    assert_eq!(code, 0, "{err}");
    let written = fs::read_to_string(&file).expect("the key");
    assert!(written.starts_with("rt_live_") && !format!("{out}{err}").contains(written.trim()), "{out}{err}");

    let (code, _, err) = run(data.path(), &[&create[..], &["--template", "flow"]].concat());
    assert_eq!(code, 64);
    assert!(err.contains("`all`, `flows`, `records`") && err.contains("did you mean `flows`?"), "{err}");
    for (arguments, code, words) in [
        (&["keys", "create", "--provider", "runtype", "--template", "flows"][..], 64, "--name"),
        (&create, 64, "--template"),
        (&["keys", "create", "--provider", "runtype", "--name", "x", "--scopes", "FLOW:READ"], 5, "`permissions[0]`"),
        (&["keys", "create", "--provider", "runtools", "--name", "x", "--full"], 64, "runtype"),
    ] {
        let (actual, out, err) = run(data.path(), arguments);
        assert_eq!((actual, out.as_str()), (code, ""), "{arguments:?}: {err}");
        assert!(err.contains(words), "{arguments:?}: {err}");
    }
}

#[test]
fn secrets_are_made_listed_changed_and_deleted_and_no_value_is_shown() {
    let data = folder();
    let never = |(code, out, err): (i32, String, String)| {
        assert!(!format!("{out}{err}").contains("canary"), "{out}{err}");
        (code, out, err)
    };
    let (code, out, err) = never(with_input(data.path(), &["secrets", "create", "A", "--value", "-"], "canary-1\n"));
    assert_eq!((code, out.as_str()), (0, "A: made\n"), "{err}");
    let file = data.path().join("value");
    fs::write(&file, "canary-2\n").expect("written");
    let path = file.display().to_string();
    let (code, _, err) = never(run(data.path(), &["secrets", "create", "B", "--value-file", &path]));
    assert_eq!(code, 0, "{err}");
    let (code, out, _) = never(with_input(data.path(), &["secrets", "update", "A", "--value", "-"], "canary-3"));
    assert_eq!((code, out.as_str()), (0, "A: has a new value\n"));
    let (code, out, _) = never(run(data.path(), &["secrets", "expire", "A", "2100-01-31"]));
    assert_eq!((code, out.as_str()), (0, "A: expires 2100-01-31 00:00:00Z\n"));

    let list = json(data.path(), &["secrets", "list"]);
    let expiries: Vec<_> = list["secrets"].as_array().unwrap().iter().map(|it| it["expires_at_ms"].clone()).collect();
    assert_eq!(expiries, [Value::Null, 4_105_036_800_000_i64.into()], "the newest first");
    let (_, table, _) = run(data.path(), &["secrets", "list"]);
    assert!(table.lines().nth(2).expect("a row").ends_with("2100-01-31 00:00:00Z"), "{table}");
    assert_eq!(json(data.path(), &["secrets", "get", "A"])["expires_at_ms"], 4_105_036_800_000_i64);
    assert_eq!(run(data.path(), &["secrets", "expire", "A", "never"]).0, 0);
    assert_eq!(json(data.path(), &["secrets", "get", "A"])["expires_at_ms"], Value::Null);
    assert_eq!(run(data.path(), &["secrets", "delete", "A"]).1, "A: deleted\n");

    fs::write(&file, [0xff]).expect("written");
    let too_long = data.path().join("too-long");
    fs::File::create(&too_long).and_then(|file| file.set_len((64 << 20) + 1)).expect("written");
    let too_long = too_long.display().to_string();
    for (arguments, code, words) in [
        (&["secrets", "create", "C", "canary"][..], 64, "not taken from the command line"),
        (&["secrets", "create", "C=canary"], 64, "not taken from the command line"),
        (&["secrets", "create", "C", "--value", "canary"], 64, "not taken from the command line"),
        (&["secrets", "update", "B", "--value=canary"], 64, "not taken from the command line"),
        (&["secrets", "create", "C"], 64, "no terminal"),
        (&["secrets", "create", "C", "--value-file", &path], 2, "not text"),
        (&["secrets", "create", "C", "--value-file", "no-such-file"], 2, "no-such-file"),
        (&["secrets", "create", "C", "--value-file", &too_long], 2, "longer than"),
        (&["secrets", "expire", "B", "soon"], 64, "90d"),
        (&["secrets", "get", "A"], 5, "there is no secret"),
        (&["secrets", "create", "C", "--json=canary"], 64, "is not shown"),
        (&["secrets", "create", "--json=canary", "C"], 64, "is not shown"),
        (&["secrets", "create", "C", "--canary"], 64, "is not shown"),
        (&["secrets", "create", "C", "--valeu=canary"], 64, "is not shown"),
        (&["secrets", "create", "C", "--", "--canary"], 64, "not taken from the command line"),
        (&["secrets", "create", "C", "--value", "-", "canary"], 64, "not taken from the command line"),
        (&["secrets", "create", "C", "--value=-", "--value=canary"], 64, ""),
        (&["secrets", "get", "C", "canary"], 64, "is not shown"),
        (&["secrets", "expire", "C", "90d", "canary"], 64, "is not shown"),
        (&["secrets", "expire", "C", "canary"], 64, "90d"),
        (&["secrets", "set", "C", "canary"], 64, "is not shown"),
        (&["secrets", "C=canary"], 64, "is not shown"),
        (&["secrets", "create"], 64, "<NAME>"),
        (&["secrets", "delete"], 64, "<NAME>"),
        (&["secrets", "create", "C", "--value=canary", "--value-file", &path], 64, "cannot be used with"),
    ] {
        let (actual, out, err) = never(with_input(data.path(), arguments, "canary"));
        assert_eq!((actual, out.as_str()), (code, ""), "{arguments:?}: {err}");
        assert!(err.contains(words), "{arguments:?}: {err}");
    }
    let (code, _, err) = never(with_input(data.path(), &["secrets", "create", "B", "--value", "-"], "canary"));
    assert!(code == 5 && err.contains("already exists"), "{err}");
}

#[test]
fn names_cannot_command_a_terminal() {
    let data = folder();
    let name = "a\u{9b}2J\u{202e}b\u{7f}\u{2066}c\u{e0041}\u{34f}";
    let (code, _, err) = run(data.path(), &["keys", "create", "--name", name, "--full"]);
    assert_eq!(code, 0, "{err}");
    let id = json(data.path(), &["keys", "list"])["keys"][0]["id"].as_str().unwrap().to_owned();
    for arguments in [
        &["keys", "list"][..],
        &["keys", "list", "--json"],
        &["keys", "get", &id],
        &["keys", "get", &id, "--json"],
        &["keys", "revoke", &id],
    ] {
        let (_, out, _) = run(data.path(), arguments);
        let raw =
            |letter: char| letter.is_control() && letter != '\n' || "\u{202e}\u{2066}\u{e0041}\u{34f}".contains(letter);
        assert!(!out.contains(raw), "{arguments:?}: {out:?}");
        assert!(out.contains("202e"), "{arguments:?}: {out:?}");
    }
    assert_eq!(json(data.path(), &["keys", "get", &id])["name"], name, "as JSON nothing is lost");
}

#[test]
fn damaged_rows_can_be_removed() {
    let data = folder();
    make_secret(data.path(), "A");
    let (_, _, err) = run(data.path(), &["keys", "create", "--full", "--name", "k"]);
    let id = json(data.path(), &["keys", "list"])["keys"][0]["id"].as_str().unwrap().to_owned();
    let database = Connection::open(data.path().join("keyglass.db")).unwrap();
    database.execute("UPDATE secrets SET name = 'A2'", []).unwrap();
    database.execute("UPDATE keys SET name = 'x' WHERE id = ?1", [&id]).unwrap();
    let (code, out, _) = run(data.path(), &["backend", "verify"]);
    assert_eq!(code, 1, "{err}");
    // As the lines say.
    for line in out.lines().filter(|line| line.contains("by `")) {
        let command = line.split("by `keyglass ").nth(1).and_then(|rest| rest.split('`').next()).expect("a command");
        let (code, _, err) = run(data.path(), &command.split(' ').collect::<Vec<_>>());
        assert_eq!(code, 0, "{command}: {err}");
    }
    assert_eq!(run(data.path(), &["backend", "verify"]).1, "no problems\n");
}

#[test]
fn the_policy_of_the_configuration_file_reaches_the_backend() {
    let data = folder();
    let path = data.path().join("keyglass.yaml");
    fs::write(&path, "backend_policy: { restricted_keys_make_wider_keys: yes please }\n").expect("written");
    let (code, _, err) = run(data.path(), &["keys", "list", "--config", &path.display().to_string()]);
    assert!(code == 64 && err.contains("must be `true` or `false`"), "{err}");
    for (text, expected) in [("{}", true), ("backend_policy: { restricted_keys_make_wider_keys: false }", false)] {
        fs::write(&path, text).expect("written");
        let given = config::Options {
            config: Some(path.clone()),
            data_dir: Some(data.path().to_owned()),
            ..config::Options::default()
        };
        let options = setup::embedded_options(&given.settings().expect("settings"), Clock::System).expect("options");
        assert_eq!(options.restricted_keys_make_wider_keys, expected, "{text}");
    }
}

/// No API gives a value back; a sealed one is longer than another by as much as it is itself.
#[test]
fn one_line_end_of_standard_input_is_no_part_of_the_value() {
    let data = folder();
    for (name, input) in [("LINE", "v\n"), ("CRLF", "v\r\n"), ("TWO", "v\n\n"), ("NONE", "v"), ("OTHER", "vvvvv")] {
        let (code, _, err) = with_input(data.path(), &["secrets", "create", name, "--value", "-"], input);
        assert_eq!(code, 0, "{err}");
    }
    let length = |name: &str| {
        let database = Connection::open(data.path().join("keyglass.db")).unwrap();
        let length = "SELECT length(sealed) FROM secrets WHERE name = ?1";
        database.query_row(length, [name], |row| row.get::<_, i64>(0)).unwrap() - {
            database.query_row(length, ["OTHER"], |row| row.get::<_, i64>(0)).unwrap()
        }
    };
    assert_eq!(["LINE", "CRLF", "TWO", "NONE"].map(length), [-4, -4, -3, -4]);
}

#[test]
fn limits_of_the_configuration_file_hold() {
    let data = folder();
    let path = data.path().join("keyglass.yaml");
    let config = path.display().to_string();
    let create = ["secrets", "create", "A", "--value", "-", "--config", &config];
    fs::write(&path, "backend_limits:\n  max_value_bytes: 3\n").expect("written");
    let (code, _, err) = with_input(data.path(), &create, "four");
    assert!(code == 5 && err.contains("at most 3 bytes"), "{err}");
    assert_eq!(with_input(data.path(), &create, "abc").0, 0);
    for wrong in ["max_connections: 0", "max_conections: 1"] {
        fs::write(&path, format!("backend_limits:\n  {wrong}\n")).expect("written");
        let (code, _, err) = with_input(data.path(), &create, "abc");
        assert!(code == 64 && err.contains("max_con"), "{err}");
    }
}

#[test]
fn an_empty_value_is_refused() {
    let data = folder();
    let empty = data.path().join("empty");
    fs::write(&empty, "").unwrap();
    make_secret(data.path(), "A");
    for work in ["create", "update"] {
        let name = if work == "create" { "B" } else { "A" };
        for input in ["", "\n", "\r\n"] {
            let (code, _, err) = with_input(data.path(), &["secrets", work, name, "--value", "-"], input);
            assert!(code == 64 && err.contains("the value is empty"), "{work} {input:?}: {err}");
        }
        let (code, _, err) = run(data.path(), &["secrets", work, name, "--value-file", &empty.display().to_string()]);
        assert!(code == 64 && err.contains("the value is empty"), "{work}: {err}");
    }
    assert_eq!(count_of_secrets(data.path()), 1);
}

#[test]
fn a_restore_says_which_master_key_it_lacks_or_needs_from_now_on() {
    let (data, other) = (folder(), folder());
    let key = data.path().join("kept.hex");
    fs::write(&key, MASTER).unwrap();
    let reference = format!("file:{}", key.display());
    let (code, _, err) = run(data.path(), &["keys", "create", "--full", "--master-key", &reference]);
    assert_eq!(code, 0, "{err}");
    let file = data.path().join("copy.db").display().to_string();
    assert_eq!(run(data.path(), &["backend", "backup", &file]).0, 0);

    let restore = ["backend", "restore", &file];
    let refused = |file: &str, what: &str| {
        let (code, _, err) = run(other.path(), &["backend", "restore", file]);
        assert_eq!(code, 2, "{err}");
        for words in [what, "nothing was restored", file] {
            assert!(err.contains(words), "{words}: {err}");
        }
        err
    };
    let err = refused(&file, "is missing");
    assert!(err.contains("--master-key") && !err.contains("keyglass.db"), "{err}");
    let (code, _, err) = run(other.path(), &["keys", "create", "--full"]);
    assert_eq!(code, 0, "{err}");
    let err = refused(&file, "is not the key");
    assert!(err.contains("--master-key") && !err.contains("start empty"), "{err}");
    refused(&key.display().to_string(), "is not a backup");

    let (code, out, err) = run(other.path(), &[&restore[..], &["--master-key", &reference]].concat());
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("kept.hex") && out.contains("from now on"), "{out}");
    let (code, _, err) = run(other.path(), &["keys", "list"]);
    assert_eq!(code, 2);
    assert!(
        err.contains("is not the key") && err.contains("or give the reference it was sealed with by `--master-key`"),
        "{err}"
    );
    fs::remove_file(other.path().join("master.key")).unwrap();
    let (code, _, err) = run(other.path(), &["keys", "list"]);
    assert_eq!(code, 2);
    assert!(err.contains("is missing") && err.contains("`--master-key`"), "{err}");
}
