//! The store as its operator sees it: upgrades, backups, new keys, and what was tampered with.

use keyglass::backend::embedded::{MasterKeyReference, maintenance};
use rusqlite::Connection;
use secrecy::SecretString;

use super::*;

const FIRST_SCHEMA: &str = include_str!("../../fixtures/database-1.sql");
const FIRST_MASTER_KEY: &str = "8db0aad40a681e7616dfc78134891f33a85c2b68b079b9d22c47c7f724280f06";
const FIRST_ROOT_KEY: &str = "ak_gV1LT22Vt6cIIHTupB8QGeoAJq2l5Q2y7jGUX55Vwnj";
const FIRST_RESTRICTED_KEY: &str = "rk_6Y4IT06084mtXGjBz8h5xufygNFw1PCeSyT0cUATNo4";

fn database(folder: &Path) -> Connection {
    Connection::open(folder.join("keyglass.db")).unwrap()
}

fn write(folder: &Path, name: &str, text: &str) {
    fs::write(folder.join(name), text).unwrap();
}

/// Everything that a caller can see.
async fn state(backend: &Embedded) -> String {
    let mut state = String::new();
    for path in ["/v1/secrets?limit=5000", "/keyglass/v1/keys?state=all&limit=1000"] {
        let answer = call(backend, "GET", path, "").await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        state += &answer.text;
    }
    state
}

#[tokio::test]
async fn a_database_of_the_second_schema_is_upgraded() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "master.key", "a9bc60c7ea8676cd85aeec29fc1590695077cd7781779200446d04b374e434ed");
    write(folder.path(), "root.key", "ak_hd4urvxJJXsnTyAqPtbsxckFIbF77OBs8uLsvGH1eWL");
    database(folder.path()).execute_batch(include_str!("../../fixtures/database-2.sql")).unwrap();
    let key = "rk_RwFypi9YhmM4H83WMlwAld47lWXKmZ1zJQdxFoOJPLS";
    for number in 2..4 {
        let backend = embedded::open(&options(folder.path())).unwrap();
        let list = call_as(&backend, key, "GET", "/v1/secrets", "").await.json();
        assert_eq!(list["total_count"], number, "{list}");
        assert_eq!(list["secrets"][number - 1]["name"], "ONE");
        create_secret(&backend, &format!("NEW{number}")).await;
        let expiring = call(&backend, "GET", "/keyglass/v1/secrets", "").await.json();
        assert_eq!(expiring["secrets"][0]["name"], "THREE", "{expiring}");
        assert_eq!(maintenance::verify(&options(folder.path())).unwrap(), [""; 0]);
    }
}

async fn filled(folder: &Path) -> Embedded {
    let backend = embedded::open(&options(folder)).unwrap();
    for number in 0..250 {
        create_secret(&backend, &format!("S{number}")).await;
    }
    for _ in 0..3 {
        call(&backend, "POST", "/v1/restricted_keys", "{}").await;
    }
    backend
}

#[tokio::test]
async fn a_database_of_the_first_schema_is_upgraded() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "master.key", FIRST_MASTER_KEY);
    write(folder.path(), "root.key", FIRST_ROOT_KEY);
    database(folder.path()).execute_batch(FIRST_SCHEMA).unwrap();
    for _ in 0..2 {
        let backend = embedded::open(&options(folder.path())).unwrap();
        assert_eq!(root(&backend), FIRST_ROOT_KEY);
        let list = call_as(&backend, FIRST_RESTRICTED_KEY, "GET", "/v1/secrets", "").await.json();
        assert_eq!(list["secrets"][0]["name"], "OLD");
        assert_eq!(maintenance::verify(&options(folder.path())).unwrap(), [""; 0]);
    }
    let other = tempfile::tempdir().unwrap();
    write(other.path(), "master.key", &"0".repeat(64));
    database(other.path()).execute_batch(FIRST_SCHEMA).unwrap();
    let error = embedded::open(&options(other.path())).unwrap_err();
    assert!(matches!(error, OpenError::MasterKeyMismatch { .. }), "{error}");
    let version = database(other.path()).query_row("PRAGMA user_version", [], |row| row.get::<_, i64>(0));
    assert_eq!(version.unwrap(), 1, "nothing was changed");
}

#[tokio::test]
async fn a_row_that_was_edited_or_swapped_is_noticed() {
    for edit in [
        "UPDATE keys SET scopes = NULL WHERE kind = 'restricted'",
        "UPDATE keys SET kind = 'standard', scopes = NULL WHERE kind = 'restricted'",
        "UPDATE keys SET expires_at_ms = 9000000000000 WHERE kind = 'restricted'",
        "UPDATE keys SET digest = zeroblob(32) WHERE kind = 'restricted'",
        "UPDATE keys SET revoked_at_ms = NULL, name = 'x'",
        "UPDATE keys SET mark = (SELECT mark FROM keys WHERE kind = 'root') WHERE kind = 'restricted'",
        "UPDATE keys SET mark = x''",
        "UPDATE secrets SET name = 'Z' WHERE name = 'A'",
        "UPDATE secrets SET sealed = (SELECT sealed FROM secrets WHERE name = 'B') WHERE name = 'A'",
        "UPDATE secrets SET sealed = substr(sealed, 1, length(sealed) - 1) WHERE name = 'A'",
        "UPDATE secrets SET update_time_ms = 7 WHERE name = 'A'",
        "UPDATE secrets SET expires_at_ms = 7 WHERE name = 'A'",
    ] {
        let (folder, backend) = new_backend();
        for name in ["A", "B"] {
            create_secret(&backend, name).await;
        }
        let minted = call(&backend, "POST", "/v1/restricted_keys", "{}").await.json();
        let restricted = minted["key_secret"].as_str().unwrap();
        assert_eq!(maintenance::verify(&options(folder.path())).unwrap(), [""; 0]);
        let changed = database(folder.path()).execute(edit, []).unwrap();
        assert!(changed > 0, "{edit}");
        match maintenance::verify(&options(folder.path())) {
            Ok(problems) => assert!(!problems.is_empty(), "{edit}"),
            Err(error) => assert!(error.to_string().contains("changed by someone else"), "{edit}: {error}"),
        }
        if edit.contains("keys") {
            let answer = call_as(&backend, restricted, "GET", "/v1/secrets", "").await;
            assert!(matches!(answer.status, 500 | 401), "{edit}: {}", answer.text);
        } else if !edit.contains("SET sealed") {
            // A sealed value is never opened by this API; all else is checked as it is read.
            let answer = call(&backend, "GET", "/v1/secrets", "").await;
            assert_eq!(answer.json()["code"], "damaged", "{edit}");
        }
    }
}

#[tokio::test]
async fn a_backup_is_one_moment_and_is_restored_under_running_servers() {
    let folder = tempfile::tempdir().unwrap();
    let backend = filled(folder.path()).await;
    let file = folder.path().join("copy.db");
    maintenance::backup(&options(folder.path()), &file).unwrap();
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&fs::metadata(&file).unwrap()) & 0o777, 0o600);
    let bytes = fs::read(&file).unwrap();
    assert!(!bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()));
    let error = maintenance::backup(&options(folder.path()), &file).unwrap_err();
    assert!(error.to_string().contains("already"), "{error}");

    let before = state(&backend).await;
    call(&backend, "POST", "/v1/secrets/S0/delete", "").await;
    call(&backend, "POST", "/v1/apikeys", "{}").await;
    assert_ne!(state(&backend).await, before);
    maintenance::restore(&options(folder.path()), &file).unwrap();
    assert_eq!(state(&backend).await, before, "the server that ran all along");
    create_secret(&backend, "AFTER").await;
    assert_eq!(maintenance::verify(&options(folder.path())).unwrap(), [""; 0]);
    // With the keys of another time.
    let master = fs::read_to_string(folder.path().join("master.key")).unwrap();
    maintenance::rekey(&options(folder.path()), |_| {}).unwrap();
    maintenance::restore(&options(folder.path()), &file).unwrap();
    assert_eq!(state(&embedded::open(&options(folder.path())).unwrap()).await, before);
    assert_eq!(maintenance::verify(&options(folder.path())).unwrap(), [""; 0]);

    // Elsewhere: with the master key it opens, without it not.
    let elsewhere = tempfile::tempdir().unwrap();
    let error = maintenance::restore(&options(elsewhere.path()), &file).unwrap_err();
    assert!(error.to_string().contains("master.key"), "{error}");
    write(elsewhere.path(), "master.key", &"1".repeat(64));
    let error = maintenance::restore(&options(elsewhere.path()), &file).unwrap_err();
    assert!(error.to_string().contains("is not the key"), "{error}");
    write(elsewhere.path(), "master.key", &master);
    fs::copy(folder.path().join("root.key"), elsewhere.path().join("root.key")).unwrap();
    maintenance::restore(&options(elsewhere.path()), &file).unwrap();
    let restored = embedded::open(&options(elsewhere.path())).unwrap();
    assert_eq!(state(&restored).await, before);
}

#[tokio::test]
async fn what_is_no_good_backup_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let backend = filled(folder.path()).await;
    let before = state(&backend).await;
    let file = folder.path().join("copy.db");
    maintenance::backup(&options(folder.path()), &file).unwrap();
    let mut bytes = fs::read(&file).unwrap();
    for at in (8_192..bytes.len().min(60_000)).step_by(64) {
        bytes[at] ^= 0xff;
    }
    let damaged = folder.path().join("damaged.db");
    fs::write(&damaged, &bytes).unwrap();
    let empty = folder.path().join("empty.db");
    fs::write(&empty, "").unwrap();
    let text = folder.path().join("text.db");
    fs::write(&text, "no database at all, only a few words").unwrap();
    for file in [&damaged, &empty, &text, &folder.path().join("nothing.db")] {
        let error = maintenance::restore(&options(folder.path()), file).unwrap_err();
        assert!(error.to_string().contains(".db"), "{error}");
        assert_eq!(state(&backend).await, before, "{error}");
    }
    let nowhere = options(&folder.path().join("nowhere"));
    assert!(maintenance::backup(&nowhere, &file).unwrap_err().to_string().contains("no database"));
    assert!(!folder.path().join("nowhere").exists());
}

#[tokio::test]
async fn everything_is_sealed_anew_while_others_read_and_write() {
    let folder = tempfile::tempdir().unwrap();
    let backend = filled(folder.path()).await;
    let before = state(&backend).await;
    let old_master = fs::read_to_string(folder.path().join("master.key")).unwrap();
    let old_keys = data_keys(folder.path());
    for round in 0..2 {
        let writing = async {
            for number in 0..100 {
                create_secret(&backend, &format!("DURING{round}_{number}")).await;
            }
        };
        let options = options(folder.path());
        let rekeying = tokio::task::spawn_blocking(move || maintenance::rekey(&options, |_| {}).unwrap());
        let ((), rekeyed) = tokio::join!(writing, async { rekeying.await.unwrap() });
        assert!(rekeyed.secrets >= 250 && rekeyed.keys >= 4 && rekeyed.former_master_key.is_some(), "{rekeyed:?}");
    }
    let new_keys = data_keys(folder.path());
    assert_eq!(new_keys.len(), 2, "one for data, one for digests");
    assert_eq!(old_keys.intersection(&new_keys).count(), 1, "that for digests stays");
    assert_ne!(fs::read_to_string(folder.path().join("master.key")).unwrap(), old_master);
    assert!(!folder.path().join("master.key.next").exists());
    let now = state(&backend).await;
    for line in ["S0", "S249", "DURING0_99", "DURING1_0"] {
        assert!(now.contains(&format!("\"{line}\"")), "{line}");
    }
    assert_ne!(now, before);
    assert_eq!(maintenance::verify(&options(folder.path())).unwrap(), [""; 0]);
    let reopened = embedded::open(&options(folder.path())).unwrap();
    assert_eq!(state(&reopened).await, now);
    write(folder.path(), "master.key", &old_master);
    assert!(matches!(embedded::open(&options(folder.path())), Err(OpenError::MasterKeyMismatch { .. })));
}

fn data_keys(folder: &Path) -> HashSet<String> {
    let ids = "SELECT group_concat(hex(id)) FROM data_keys";
    let ids: String = database(folder).query_row(ids, [], |row| row.get(0)).unwrap();
    ids.split(',').map(str::to_owned).collect()
}

#[tokio::test]
async fn a_change_of_the_master_key_that_was_cut_off_is_finished_at_the_next_start() {
    let (folder, backend) = new_backend();
    create_secret(&backend, "A").await;
    let old = fs::read_to_string(folder.path().join("master.key")).unwrap();
    maintenance::rekey(&options(folder.path()), |_| {}).unwrap();
    let new = fs::read_to_string(folder.path().join("master.key")).unwrap();
    // After the commit, before the file took its place.
    write(folder.path(), "master.key.next", &new);
    write(folder.path(), "master.key", &old);
    embedded::open(&options(folder.path())).unwrap();
    assert_eq!(fs::read_to_string(folder.path().join("master.key")).unwrap(), new);
    assert!(!folder.path().join("master.key.next").exists());
    // Before the commit.
    write(folder.path(), "master.key.next", &"2".repeat(64));
    embedded::open(&options(folder.path())).unwrap();
    assert_eq!(fs::read_to_string(folder.path().join("master.key")).unwrap(), new);
    assert!(!folder.path().join("master.key.next").exists());
}

#[tokio::test]
async fn a_master_key_may_lie_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let with = |text: &'static str| Options {
        master_key: Some(MasterKeyReference::new("env:MASTER", move || Ok(SecretString::from(text)))),
        ..options(folder.path())
    };
    let good = "4444444444444444444444444444444444444444444444444444444444444444";
    let backend = embedded::open(&with(good)).unwrap();
    create_secret(&backend, "A").await;
    assert!(!folder.path().join("master.key").exists());
    let rekeyed = maintenance::rekey(&with(good), |_| {}).unwrap();
    assert!(rekeyed.former_master_key.is_none() && rekeyed.secrets == 1, "{rekeyed:?}");
    assert_eq!(call(&backend, "GET", "/v1/secrets/A", "").await.status, 200);
    for wrong in ["", "44", "5555555555555555555555555555555555555555555555555555555555555555"] {
        let error = embedded::open(&with(wrong)).unwrap_err().to_string();
        assert!(error.contains("`env:MASTER`"), "{error}");
    }
    let absent = MasterKeyReference::new("env:MASTER", || Err("the variable is not set".to_owned()));
    let error = embedded::open(&Options { master_key: Some(absent), ..options(folder.path()) }).unwrap_err();
    assert!(error.to_string().contains("the variable is not set"), "{error}");
}

#[cfg(unix)]
#[test]
fn a_command_that_says_the_master_key_is_run_once_at_each_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let command = format!("echo run >> '{}'; echo {FIRST_MASTER_KEY}", file("runs"));
    let runs = |arguments: &[&str]| {
        fs::write(file("runs"), "").unwrap();
        let mut program = crate::support::keyglass(folder.path(), arguments);
        program.env("KEYGLASS_MASTER_KEY", format!("cmd:{command}")).env("PATH", "/usr/bin:/bin");
        let (code, _, err) = crate::support::finished(program.stdin(std::process::Stdio::null()).output().unwrap());
        assert_eq!(code, 0, "{arguments:?}: {err}");
        fs::read_to_string(file("runs")).unwrap().lines().count()
    };
    let copy = file("copy.db");
    for (arguments, expected) in [
        // Makes the database.
        (&["keys", "create", "--full"][..], 1),
        (&["serve"], 1),
        (&["keys", "list"], 1),
        (&["secrets", "list"], 1),
        (&["call", "list_secrets"], 1),
        (&["tools"], 0),
        (&["backend", "verify"], 1),
        (&["backend", "rekey"], 1),
        (&["backend", "backup", &copy], 0),
        // Once to look at the backup, once to start on what has come of it.
        (&["backend", "restore", &copy], 2),
    ] {
        assert_eq!(runs(arguments), expected, "{arguments:?}");
    }
}
