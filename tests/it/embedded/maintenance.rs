//! Work on a whole database: what it refuses, what it leaves alone, and what it does beside other work.

use std::panic::{AssertUnwindSafe, catch_unwind};

use keyglass::backend::embedded::{
    MasterKeyReference,
    maintenance::{self, Progress},
};
use rusqlite::Connection;
use secrecy::SecretString;

use super::*;
use crate::support::{finished, keyglass};

fn database(folder: &Path) -> Connection {
    Connection::open(folder.join("keyglass.db")).unwrap()
}

fn text(folder: &Path, sql: &str) -> String {
    database(folder).query_row(sql, [], |row| row.get(0)).unwrap()
}

fn sound(folder: &Path) {
    assert_eq!(maintenance::verify(&options(folder)).unwrap(), [""; 0]);
}

/// The files whose names begin so.
fn files(folder: &Path, beginning: &str) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(beginning)).collect();
    files.sort();
    files
}

async fn with_secrets(folder: &Path, number: usize) -> Embedded {
    let backend = embedded::open(&options(folder)).unwrap();
    for number in 0..number {
        create_secret(&backend, &format!("S{number}")).await;
    }
    backend
}

/// Everything that the commands must not change where they refuse.
fn contents(folder: &Path) -> Vec<String> {
    let keys = "SELECT group_concat(hex(id) || hex(wrapped)) FROM data_keys";
    let rows = "SELECT group_concat(hex(sealed) || hex(mark)) FROM secrets";
    let read = |name| fs::read_to_string(folder.join(name)).unwrap();
    vec![text(folder, keys), text(folder, rows), read("master.key"), read("root.key")]
}

#[tokio::test]
async fn a_reminder_set_while_everything_is_sealed_anew_keeps_the_value() {
    let folder = tempfile::tempdir().unwrap();
    let backend = with_secrets(folder.path(), 201).await;
    let (handle, mut set) = (tokio::runtime::Handle::current(), false);
    let options = options(folder.path());
    let work = move || {
        maintenance::rekey(&options, |progress| {
            if matches!(progress, Progress::Sealed(_)) && !std::mem::replace(&mut set, true) {
                let body = json!({ "expires_at_ms": NOW_MS + 1 }).to_string();
                let expire = async { call(&backend, "POST", "/keyglass/v1/secrets/S200/expiry", &body).await };
                assert_eq!(handle.block_on(expire).status, 200);
            }
        })
        .unwrap();
    };
    tokio::task::spawn_blocking(work).await.unwrap();
    sound(folder.path());
}

#[tokio::test]
async fn changes_of_all_keys_at_once_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let backend = with_secrets(folder.path(), 3).await;
    for _ in 0..5 {
        let together = Arc::new(Barrier::new(3));
        let rekeying: Vec<_> = (0..3)
            .map(|_| {
                let (options, together) = (options(folder.path()), Arc::clone(&together));
                std::thread::spawn(move || {
                    together.wait();
                    maintenance::rekey(&options, |_| {}).unwrap()
                })
            })
            .collect();
        for thread in rekeying {
            assert_eq!(thread.join().unwrap().secrets, 3);
        }
        sound(folder.path());
        create_secret(&backend, "A").await;
        assert_eq!(call(&backend, "POST", "/v1/secrets/A/delete", "").await.status, 200);
    }
    embedded::open(&options(folder.path())).unwrap();
}

#[tokio::test]
async fn a_restore_beside_a_change_of_all_keys_leaves_a_database_that_opens() {
    let folder = tempfile::tempdir().unwrap();
    with_secrets(folder.path(), 3).await;
    let file = folder.path().join("copy.db");
    maintenance::backup(&options(folder.path()), &file).unwrap();
    for _ in 0..5 {
        let together = Arc::new(Barrier::new(2));
        let (options, there) = (options(folder.path()), Arc::clone(&together));
        let rekeying = std::thread::spawn(move || {
            there.wait();
            maintenance::rekey(&options, |_| {}).unwrap();
        });
        together.wait();
        maintenance::restore(&super::options(folder.path()), &file).unwrap();
        rekeying.join().unwrap();
        sound(folder.path());
    }
}

#[tokio::test]
async fn a_restore_brings_its_own_key_for_digests_to_running_servers() {
    let first = tempfile::tempdir().unwrap();
    let backend = with_secrets(first.path(), 1).await;
    let minted = call(&backend, "POST", "/v1/restricted_keys", "{}").await.json();
    let minted = minted["key_secret"].as_str().unwrap();
    let file = first.path().join("copy.db");
    maintenance::backup(&options(first.path()), &file).unwrap();
    // The same keys beside a database that was begun anew.
    let folder = tempfile::tempdir().unwrap();
    for name in ["master.key", "root.key"] {
        fs::copy(file.with_file_name(name), folder.path().join(name)).unwrap();
    }
    let running = embedded::open(&options(folder.path())).unwrap();
    assert_eq!(call_as(&running, minted, "GET", "/v1/accounts/me", "").await.status, 401);
    maintenance::restore(&options(folder.path()), &file).unwrap();
    assert_eq!(call(&running, "GET", "/v1/secrets/S0", "").await.status, 200);
    let known = call_as(&running, minted, "GET", "/v1/accounts/me", "").await;
    assert_eq!(known.status, 403, "it is known, and may do nothing: {}", known.text);
    // What it makes from now on is good for all others.
    let made = call(&running, "POST", "/v1/apikeys", "{}").await.json();
    let made = made["key_secret"].as_str().unwrap();
    let other = embedded::open(&options(folder.path())).unwrap();
    assert_eq!(call_as(&other, made, "GET", "/v1/secrets", "").await.status, 200);
    assert_eq!(call_as(&running, made, "GET", "/v1/secrets", "").await.status, 200);
    assert_eq!(call_as(&running, "ak_none", "GET", "/v1/secrets", "").await.status, 401);
    sound(folder.path());
}

#[tokio::test]
async fn a_backup_of_another_folder_takes_on_the_root_key_of_this_one() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let with = |folder: &TempDir| Options {
        master_key: Some(MasterKeyReference::new("env:MASTER", || Ok(SecretString::from("4".repeat(64))))),
        ..options(folder.path())
    };
    let first = embedded::open(&with(&one)).unwrap();
    create_secret(&first, "A").await;
    let file = one.path().join("copy.db");
    maintenance::backup(&with(&one), &file).unwrap();
    let second = embedded::open(&with(&two)).unwrap();
    maintenance::restore(&with(&two), &file).unwrap();
    assert_eq!(call(&second, "GET", "/v1/secrets/A", "").await.status, 200);
    assert_eq!(call_as(&second, &root(&first), "GET", "/v1/secrets/A", "").await.status, 401);
    assert_eq!(root(&embedded::open(&with(&two)).unwrap()), root(&second));
    assert_eq!(maintenance::verify(&with(&two)).unwrap(), [""; 0]);
}

#[tokio::test]
async fn a_backup_that_is_not_whole_is_refused_before_anything_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    with_secrets(folder.path(), 3).await;
    let before = contents(folder.path());
    for (number, (edit, words)) in [
        ("UPDATE secrets SET name = 'Z' WHERE name = 'S1'", "changed by someone else"),
        ("UPDATE secrets SET sealed = substr(sealed, 1, 40) WHERE name = 'S1'", "does not open"),
        ("UPDATE keys SET mark = x''", "changed by someone else"),
        ("DELETE FROM data_keys WHERE purpose = 'digests'", "data_keys"),
        ("DELETE FROM data_keys WHERE purpose = 'data'", "data_keys"),
        ("INSERT INTO accounts VALUES ('acct_2', 'x', 0, 0)", "accounts"),
        ("UPDATE meta SET value = x'00'", "meta"),
        ("CREATE TRIGGER t BEFORE UPDATE ON keys BEGIN SELECT raise(ignore); END", "`t`"),
        ("CREATE TABLE t (x)", "`t`"),
        ("CREATE VIEW v AS SELECT 1", "`v`"),
        ("DROP TRIGGER secret_made", "`secret_made`"),
        ("DROP INDEX one_root_key", "`one_root_key`"),
        ("PRAGMA user_version = 1", "schema"),
        ("PRAGMA user_version = 2", "schema"),
        ("PRAGMA user_version = 900", "newer keyglass"),
        ("PRAGMA application_id = 7", "not a backup of a keyglass database"),
    ]
    .into_iter()
    .enumerate()
    {
        let file = folder.path().join(format!("copy{number}.db"));
        maintenance::backup(&options(folder.path()), &file).unwrap();
        Connection::open(&file).unwrap().execute_batch(edit).unwrap();
        let error = maintenance::restore(&options(folder.path()), &file).unwrap_err().to_string();
        assert!(error.contains(words), "{edit}: {error}");
        assert!(error.contains(&format!("copy{number}.db")) && error.len() < 600, "{edit}: {error}");
        assert_eq!(contents(folder.path()), before, "{edit}");
    }
    assert_eq!(files(folder.path(), "before-restore-"), [""; 0].map(std::path::PathBuf::from));
    sound(folder.path());
}

#[tokio::test]
async fn a_backup_with_texts_in_another_encoding_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let backend = with_secrets(folder.path(), 1).await;
    let file = folder.path().join("copy.db");
    let copy = Connection::open(&file).unwrap();
    copy.execute_batch("PRAGMA encoding = 'UTF-16le'; PRAGMA application_id = 1803118444; CREATE TABLE meta (x)")
        .unwrap();
    let error = maintenance::restore(&options(folder.path()), &file).unwrap_err().to_string();
    assert!(error.contains("UTF-16le"), "{error}");
    assert_eq!(call(&backend, "GET", "/v1/secrets/S0", "").await.status, 200);
}

#[tokio::test]
async fn a_restore_that_fails_leaves_no_database_behind_and_one_that_does_not_can_be_undone() {
    let folder = tempfile::tempdir().unwrap();
    let backend = with_secrets(folder.path(), 1).await;
    let file = folder.path().join("copy.db");
    maintenance::backup(&options(folder.path()), &file).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    fs::write(elsewhere.path().join("master.key"), "1".repeat(64)).unwrap();
    let error = maintenance::restore(&options(elsewhere.path()), &file).unwrap_err();
    assert!(error.to_string().contains("is not the key"), "{error}");
    assert!(!elsewhere.path().join("keyglass.db").exists());

    create_secret(&backend, "LATER").await;
    maintenance::restore(&options(folder.path()), &file).unwrap();
    assert_eq!(call(&backend, "GET", "/v1/secrets/LATER", "").await.status, 404);
    let replaced = files(folder.path(), "before-restore-");
    assert_eq!(replaced.len(), 1, "{replaced:?}");
    #[cfg(unix)]
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&fs::metadata(&replaced[0]).unwrap()) & 0o777, 0o600);
    maintenance::restore(&options(folder.path()), &replaced[0]).unwrap();
    assert_eq!(call(&backend, "GET", "/v1/secrets/LATER", "").await.status, 200);
    assert_eq!(files(folder.path(), "before-restore-").len(), 2);
    sound(folder.path());
}

#[tokio::test]
async fn a_database_is_not_restored_from_itself() {
    let folder = tempfile::tempdir().unwrap();
    with_secrets(folder.path(), 1).await;
    let live = folder.path().join("keyglass.db");
    let mut names = vec![live.clone()];
    #[cfg(unix)]
    {
        let (soft, hard) = (folder.path().join("soft.db"), folder.path().join("hard.db"));
        std::os::unix::fs::symlink(&live, &soft).unwrap();
        fs::hard_link(&live, &hard).unwrap();
        names.extend([soft, hard]);
    }
    let before = contents(folder.path());
    for name in names {
        let error = maintenance::restore(&options(folder.path()), &name).unwrap_err().to_string();
        assert!(error.contains("itself"), "{error}");
        assert_eq!(contents(folder.path()), before);
    }
    let error = maintenance::restore(&options(folder.path()), &folder.path().join("none.db")).unwrap_err().to_string();
    assert!(error.contains("none.db") && error.contains("there is no file") && !error.contains("damaged"), "{error}");
}

#[tokio::test]
async fn what_others_put_into_the_database_is_reported_and_a_trigger_stops_the_start() {
    let folder = tempfile::tempdir().unwrap();
    with_secrets(folder.path(), 1).await;
    database(folder.path()).execute_batch("CREATE TABLE notes (x); ANALYZE").unwrap();
    embedded::open(&options(folder.path())).unwrap();
    let problems = maintenance::verify(&options(folder.path())).unwrap();
    assert!(problems.len() == 1 && problems[0].contains("table `notes`"), "{problems:?}");
    let ignore = "DROP TABLE notes; CREATE TRIGGER deaf BEFORE UPDATE ON keys BEGIN SELECT raise(ignore); END";
    database(folder.path()).execute_batch(ignore).unwrap();
    let problems = maintenance::verify(&options(folder.path())).unwrap();
    assert!(problems.len() == 1 && problems[0].contains("trigger `deaf`"), "{problems:?}");
    let error = embedded::open(&options(folder.path())).unwrap_err().to_string();
    assert!(error.contains("trigger `deaf`") && error.contains("verify"), "{error}");
    database(folder.path()).execute_batch("DROP TRIGGER deaf").unwrap();
    sound(folder.path());
}

#[test]
fn a_backup_goes_to_a_file_whatever_its_name_means_to_others() {
    let folder = tempfile::tempdir().unwrap();
    embedded::open(&options(folder.path())).unwrap();
    let here = tempfile::tempdir().unwrap();
    for name in [":memory:", "file:x?mode=memory", "plain.db"] {
        let mut backup = keyglass(folder.path(), &["backend", "backup", name]);
        let (code, _, err) = finished(backup.current_dir(here.path()).output().unwrap());
        assert_eq!(code, 0, "{name}: {err}");
        assert!(fs::metadata(here.path().join(name)).unwrap().len() > 4_096, "{name}");
        maintenance::restore(&options(folder.path()), &here.path().join(name)).unwrap();
    }
}

#[tokio::test]
async fn to_verify_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    drop(with_secrets(folder.path(), 1).await);
    let (root_key, rows) = (folder.path().join("root.key"), "SELECT group_concat(hex(digest) || hex(mark)) FROM keys");
    let (key, before) = (fs::read_to_string(&root_key).unwrap(), text(folder.path(), rows));
    fs::remove_file(&root_key).unwrap();
    let problems = maintenance::verify(&options(folder.path())).unwrap();
    assert!(problems.len() == 1 && problems[0].contains("root.key"), "{problems:?}");
    assert!(!root_key.exists());
    assert_eq!(text(folder.path(), rows), before);
    fs::write(&root_key, key.replace("ak_", "ak_x").trim()).unwrap();
    let problems = maintenance::verify(&options(folder.path())).unwrap();
    assert!(problems.len() == 1 && problems[0].contains("root.key"), "{problems:?}");
    fs::write(&root_key, key).unwrap();
    sound(folder.path());
}

#[tokio::test]
async fn missing_keys_and_damaged_rows_are_told_at_the_start() {
    for (edit, words) in [
        ("DELETE FROM data_keys WHERE purpose = 'digests'", "`data_keys`"),
        ("DELETE FROM data_keys WHERE purpose = 'data'", "`data_keys`"),
        ("UPDATE keys SET name = 'x' WHERE kind = 'root'", "`keys`"),
        ("INSERT INTO accounts VALUES ('acct_2', 'x', 0, 0)", "`accounts`"),
        ("PRAGMA user_version = 1", "schema version 1"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        drop(with_secrets(folder.path(), 1).await);
        database(folder.path()).execute_batch(edit).unwrap();
        let error = embedded::open(&options(folder.path())).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("restore a backup"), "{edit}: {error}");
        assert!(!error.contains("limits of the system") && error.len() < 500, "{edit}: {error}");
        let count = text(folder.path(), "SELECT group_concat(purpose) FROM data_keys");
        assert_eq!(count.contains(','), !edit.contains("DELETE"), "{edit}: {count}");
        match maintenance::verify(&options(folder.path())) {
            Ok(problems) => assert!(problems.iter().any(|line| line.contains(words)), "{edit}: {problems:?}"),
            Err(error) => assert!(error.to_string().contains(words), "{edit}: {error}"),
        }
    }
}

#[tokio::test]
async fn a_damaged_last_id_is_told() {
    for value in ["x'00'", "x'ffffffffffffffffffffffffffffffff'"] {
        let (folder, backend) = new_backend();
        create_secret(&backend, "A").await;
        database(folder.path()).execute(&format!("UPDATE meta SET value = {value}"), []).unwrap();
        let body = json!({ "name": "B", "value": "1" }).to_string();
        let answer = call(&backend, "POST", "/v1/secrets", &body).await;
        assert_eq!(answer.json()["code"], "damaged", "{value}: {}", answer.text);
        let problems = maintenance::verify(&options(folder.path())).unwrap();
        assert!(problems.len() == 1 && problems[0].contains("`meta`"), "{problems:?}");
    }
}

#[tokio::test]
async fn nothing_is_sealed_anew_where_a_row_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    with_secrets(folder.path(), 150).await;
    let edit = "UPDATE secrets SET sealed = substr(sealed, 1, 40) WHERE name = 'S140'";
    database(folder.path()).execute(edit, []).unwrap();
    let before = contents(folder.path());
    let error = maintenance::rekey(&options(folder.path()), |_| {}).unwrap_err().to_string();
    assert!(error.contains("`S140`") && error.contains("keyglass secrets delete"), "{error}");
    assert_eq!(contents(folder.path()), before);
    assert!(files(folder.path(), "master.key.").is_empty());
}

#[tokio::test]
async fn a_row_from_before_the_change_of_all_keys_is_refused_by_a_running_server() {
    let folder = tempfile::tempdir().unwrap();
    let backend = with_secrets(folder.path(), 2).await;
    let file = folder.path().join("copy.db");
    maintenance::backup(&options(folder.path()), &file).unwrap();
    maintenance::rekey(&options(folder.path()), |_| {}).unwrap();
    assert_eq!(call(&backend, "GET", "/v1/secrets/S0", "").await.status, 200);
    let replay = "ATTACH ?1 AS old";
    let connection = database(folder.path());
    connection.execute(replay, [file.to_str().unwrap()]).unwrap();
    let copy = "UPDATE main.secrets SET (sealed, mark) = (SELECT sealed, mark FROM old.secrets WHERE name = 'S0') WHERE name = 'S0'";
    connection.execute(copy, []).unwrap();
    for _ in 0..2 {
        assert_eq!(call(&backend, "GET", "/v1/secrets/S0", "").await.json()["code"], "damaged");
        assert_eq!(call(&backend, "GET", "/v1/secrets/S1", "").await.status, 200);
        // Not even together with its key, which was sealed with the master key from before.
        let copy = "INSERT OR IGNORE INTO main.data_keys SELECT * FROM old.data_keys WHERE purpose = 'data'";
        connection.execute(copy, []).unwrap();
    }
    let problems = maintenance::verify(&options(folder.path())).unwrap();
    assert!(problems.len() == 2 && problems[0].contains("the data key"), "{problems:?}");
    let before = contents(folder.path());
    let error = maintenance::rekey(&options(folder.path()), |_| {}).unwrap_err().to_string();
    assert!(error.contains("the data key") && error.contains("the secret `sec_"), "{error}");
    assert_eq!(contents(folder.path()), before);
}

#[cfg(unix)]
#[tokio::test]
async fn drafts_that_a_killed_start_left_are_removed() {
    let folder = tempfile::tempdir().unwrap();
    with_secrets(folder.path(), 1).await;
    fs::hard_link(folder.path().join("master.key"), folder.path().join(".master.key.0123456789abcdef")).unwrap();
    for name in [
        ".master.key.next.0123456789abcdef",
        ".root.key.0123456789abcdef",
        ".master.key.old-1.0123456789abcdef",
        ".root.key.mine",
        ".other",
    ] {
        fs::write(folder.path().join(name), "x").unwrap();
    }
    embedded::open(&options(folder.path())).unwrap();
    let left: Vec<_> = files(folder.path(), ".").iter().map(|path| path.file_name().unwrap().to_owned()).collect();
    assert_eq!(left, [".other", ".root.key.mine"]);
    sound(folder.path());
}

/// A folder with what another one holds.
fn like(other: &Path) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    maintenance::backup(&options(other), &folder.path().join("keyglass.db")).unwrap();
    for name in ["master.key", "root.key"] {
        fs::copy(other.join(name), folder.path().join(name)).unwrap();
    }
    folder
}

/// Where a change of all keys may be cut off.
const STEPS: [Progress; 8] = [
    Progress::Looked,
    Progress::Announced,
    Progress::MasterKeyChanged,
    Progress::MasterKeyPromoted,
    Progress::DataKeyMade,
    Progress::Sealed(101),
    Progress::Sealed(121),
    Progress::AllSealed,
];

#[tokio::test]
async fn a_change_of_all_keys_that_is_cut_off_at_any_step_loses_nothing_and_the_next_in_line_does_it_all() {
    let pattern = tempfile::tempdir().unwrap();
    with_secrets(pattern.path(), 120).await;
    for step in STEPS {
        let folder = like(pattern.path());
        let backend = embedded::open(&options(folder.path())).unwrap();
        let master = fs::read_to_string(folder.path().join("master.key")).unwrap();
        let mut next = None;
        let cut_off = catch_unwind(AssertUnwindSafe(|| {
            maintenance::rekey(&options(folder.path()), |progress| {
                if progress == step {
                    let options = options(folder.path());
                    next = Some(std::thread::spawn(move || maintenance::rekey(&options, |_| {})));
                    panic!("as if the process were killed");
                }
            })
        }));
        assert!(cut_off.is_err(), "{step:?} is a step");
        let rekeyed = next.unwrap().join().unwrap().unwrap();
        assert_eq!((rekeyed.secrets, rekeyed.keys), (120, 1), "{step:?}");
        sound(folder.path());
        assert_eq!(text(folder.path(), "SELECT group_concat(purpose) FROM data_keys"), "digests,data", "{step:?}");
        assert!(!folder.path().join("master.key.next").exists(), "{step:?}");
        assert_ne!(fs::read_to_string(folder.path().join("master.key")).unwrap(), master, "{step:?}");
        // The one that ran all along, and one that starts now.
        for backend in [backend, embedded::open(&options(folder.path())).unwrap()] {
            let list = call(&backend, "GET", "/v1/secrets?limit=5000", "").await.json();
            assert_eq!(list["total_count"], 120, "{step:?}");
        }
    }
}

#[tokio::test]
async fn a_start_and_a_change_of_all_keys_that_was_cut_off_make_up_for_each_other() {
    let pattern = tempfile::tempdir().unwrap();
    with_secrets(pattern.path(), 120).await;
    for step in STEPS {
        let folder = like(pattern.path());
        let backend = embedded::open(&options(folder.path())).unwrap();
        let cut_off = catch_unwind(AssertUnwindSafe(|| {
            maintenance::rekey(&options(folder.path()), |progress| assert!(progress != step, "as if killed"))
        }));
        assert!(cut_off.is_err());
        sound(folder.path());
        let reopened = embedded::open(&options(folder.path())).unwrap();
        assert!(!folder.path().join("master.key.next").exists(), "{step:?}");
        create_secret(&reopened, "LATER").await;
        assert_eq!(call(&backend, "GET", "/v1/secrets/LATER", "").await.status, 200, "{step:?}");
        maintenance::rekey(&options(folder.path()), |progress| {
            // In that step the write lock is held.
            if progress != Progress::Announced {
                embedded::open(&options(folder.path())).unwrap();
            }
        })
        .unwrap();
        sound(folder.path());
    }
}

/// As on a file system without locks: without its file the lock keeps nobody away.
#[cfg(unix)]
#[tokio::test]
async fn even_where_there_are_no_locks_nothing_is_lost() {
    let pattern = tempfile::tempdir().unwrap();
    with_secrets(pattern.path(), 120).await;
    for step in STEPS.into_iter().filter(|step| *step != Progress::Announced) {
        for restoring in [false, true] {
            let folder = like(pattern.path());
            let running = embedded::open(&options(folder.path())).unwrap();
            let file = folder.path().join("copy.db");
            maintenance::backup(&options(folder.path()), &file).unwrap();
            let mut came_between = false;
            maintenance::rekey(&options(folder.path()), |progress| {
                if progress == step && !std::mem::replace(&mut came_between, true) {
                    fs::remove_file(folder.path().join("maintenance.lock")).unwrap();
                    if restoring {
                        maintenance::restore(&options(folder.path()), &file).unwrap();
                    } else {
                        maintenance::rekey(&options(folder.path()), |_| {}).unwrap();
                    }
                }
            })
            .unwrap();
            assert!(came_between, "{step:?}");
            sound(folder.path());
            for backend in [running, embedded::open(&options(folder.path())).unwrap()] {
                let list = call(&backend, "GET", "/v1/secrets?limit=5000", "").await.json();
                assert_eq!(list["total_count"], 120, "{step:?}");
            }
        }
    }
}

#[tokio::test]
async fn only_one_works_on_the_whole_database_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    with_secrets(folder.path(), 1).await;
    let file = folder.path().join("copy.db");
    maintenance::backup(&options(folder.path()), &file).unwrap();
    let impatient = Options { patience: Duration::ZERO, ..options(folder.path()) };
    let mut refusals = Vec::new();
    maintenance::rekey(&options(folder.path()), |progress| {
        if progress == Progress::DataKeyMade {
            refusals.push(maintenance::rekey(&impatient, |_| {}).unwrap_err().to_string());
            refusals.push(maintenance::restore(&impatient, &file).unwrap_err().to_string());
            sound(folder.path());
            maintenance::backup(&options(folder.path()), &folder.path().join("during.db")).unwrap();
        }
    })
    .unwrap();
    assert_eq!(refusals.len(), 2);
    assert!(refusals.iter().all(|refusal| refusal.contains("another `keyglass backend rekey`")), "{refusals:?}");
    maintenance::restore(&options(folder.path()), &folder.path().join("during.db")).unwrap();
    sound(folder.path());
}

#[tokio::test]
async fn a_master_key_outside_the_folder_is_changed_while_others_go_on() {
    let reference = |digit: &'static str| {
        MasterKeyReference::new(format!("env:{digit}"), move || Ok(SecretString::from(digit.repeat(64))))
    };
    let folder = tempfile::tempdir().unwrap();
    let with = |digit| Options { master_key: Some(reference(digit)), ..options(folder.path()) };
    let backend = with_secrets(folder.path(), 2).await;
    let file = folder.path().join("copy.db");
    maintenance::backup(&options(folder.path()), &file).unwrap();
    // Out of the folder, and then from one place to another.
    maintenance::change_master_key(&options(folder.path()), &reference("4")).unwrap();
    assert!(!folder.path().join("master.key").exists());
    let error = embedded::open(&options(folder.path())).unwrap_err().to_string();
    assert!(error.contains("is missing"), "{error}");
    let error = maintenance::change_master_key(&with("4"), &reference("4")).unwrap_err().to_string();
    assert!(error.contains("in use already"), "{error}");
    maintenance::change_master_key(&with("4"), &reference("5")).unwrap();
    let error = embedded::open(&with("4")).unwrap_err().to_string();
    assert!(error.contains("`env:4` is not the key"), "{error}");
    create_secret(&backend, "AFTER").await;
    let reopened = embedded::open(&with("5")).unwrap();
    assert_eq!(call(&reopened, "GET", "/v1/secrets/AFTER", "").await.status, 200);
    maintenance::rekey(&with("5"), |_| {}).unwrap();
    assert_eq!(maintenance::verify(&with("5")).unwrap(), [""; 0]);
    // The key that the backup was made with was kept.
    maintenance::restore(&with("5"), &file).unwrap();
    assert_eq!(maintenance::verify(&with("5")).unwrap(), [""; 0]);
    assert_eq!(call(&embedded::open(&with("5")).unwrap(), "GET", "/v1/secrets/S1", "").await.status, 200);
}

#[tokio::test]
async fn a_server_that_does_not_know_the_new_master_key_takes_no_good_row_for_a_damaged_one() {
    let reference = |digit: &'static str| {
        MasterKeyReference::new(format!("env:{digit}"), move || Ok(SecretString::from(digit.repeat(64))))
    };
    let folder = tempfile::tempdir().unwrap();
    let with = |digit| Options { master_key: Some(reference(digit)), ..options(folder.path()) };
    let backend = embedded::open(&with("4")).unwrap();
    create_secret(&backend, "A").await;
    let made = call(&backend, "POST", "/v1/apikeys", "{}").await.json();
    let revoke = format!("/keyglass/v1/keys/{}/revoke", made["id"].as_str().unwrap());
    maintenance::change_master_key(&with("4"), &reference("5")).unwrap();
    maintenance::rekey(&with("5"), |_| {}).unwrap();
    for (method, path) in [("GET", "/v1/secrets/A"), ("GET", "/keyglass/v1/keys"), ("POST", revoke.as_str())] {
        let answer = call(&backend, method, path, "").await;
        assert_eq!((answer.status, &answer.json()["code"]), (500, &json!("internal")), "{path}");
        assert!(answer.text.contains("`--master-key`") && !answer.text.contains("restore"), "{}", answer.text);
    }
    let reopened = embedded::open(&with("5")).unwrap();
    assert_eq!(call(&reopened, "GET", "/v1/secrets/A", "").await.status, 200);
    assert_eq!(call(&reopened, "GET", "/keyglass/v1/keys", "").await.json()["total_count"], 2, "none was removed");
}

#[tokio::test]
async fn a_former_master_key_that_was_cut_short_is_written_anew_before_the_whole_one_goes() {
    let folder = tempfile::tempdir().unwrap();
    with_secrets(folder.path(), 1).await;
    let key = fs::read_to_string(folder.path().join("master.key")).unwrap();
    let like = like(folder.path());
    maintenance::rekey(&options(like.path()), |_| {}).unwrap();
    let kept = files(like.path(), "master.key.old-").remove(0);
    let former = folder.path().join(kept.file_name().unwrap());
    fs::write(&former, "4444").unwrap();
    maintenance::rekey(&options(folder.path()), |_| {}).unwrap();
    assert_eq!(fs::read_to_string(&former).unwrap(), key);
    sound(folder.path());
}
