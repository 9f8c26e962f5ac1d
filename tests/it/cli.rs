//! The command line: output, exit codes, and what never appears.

use std::{fs, io::Write, process::Stdio};

use serde_json::Value;

use crate::{
    mcp::{initialize, request},
    support::{Keyglass, finished, keyglass, run},
};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn a_call_prints_its_result_and_an_error_has_its_own_exit_code() {
    let data = folder();
    let (code, out, _) = run(data.path(), &["call", "create_secret", "name=DB", "value=canary-value"]);
    assert_eq!(code, 0);
    let made: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(made["name"], "DB");
    let (code, out, _) = run(data.path(), &["call", "list_secrets", "--json", r#"{"limit": 5}"#]);
    assert_eq!(code, 0);
    assert_eq!(serde_json::from_str::<Value>(&out).expect("JSON")["total_count"], 1);
    let (code, out, err) = run(data.path(), &["call", "get_secret", "name=NONE"]);
    assert_eq!((code, out.as_str()), (5, ""));
    assert!(err.contains("404 Not Found") && err.contains("request id"), "{err}");
    let (code, _, err) = run(data.path(), &["call", "list_secrets", "limit=many"]);
    assert_eq!(code, 5);
    assert!(err.contains("`limit` must be a whole number"), "{err}");
}

#[test]
fn a_call_that_waits_for_a_person_says_what_helps_and_by_which_code() {
    let data = folder();
    let store = || {
        let clock = keyglass::clock::Clock::System;
        keyglass::policy::store::Store::open(data.path(), None, clock).unwrap()
    };
    for (arguments, says, says_not) in [
        (&["create_secret", "name=A", "--yes"][..], "the secret value of `value` is missing", "`--yes`"),
        (&["delete_secret", "name=B"], "give `--yes` where that is meant", "secret value"),
        (&["update_secret", "name=C"], "is missing; give it, which `--json -` takes", "where that is meant"),
    ] {
        let (code, out, err) = run(data.path(), &[&["call"], arguments].concat());
        assert_eq!((code, out.as_str()), (5, ""), "{err}");
        assert!(err.contains(says) && !err.contains(says_not), "{err}");
        let waiting = store().waiting().unwrap().pop().expect("a question");
        let approve = format!("`keyglass approve --data-dir {} {}`", data.path().display(), waiting.shown.code);
        assert!(err.contains(&approve), "{approve}: {err}");
    }
    let (_, out, _) = run(data.path(), &["approve"]);
    assert!(out.contains("POST /v1/secrets/B/delete") && !out.contains("8080"), "{out}");
    for arguments in
        [&["create_secret", "name=A", "value="][..], &["create_secret", "--json", r#"{"name": "A", "value": ""}"#]]
    {
        let (code, out, err) = run(data.path(), &[&["call"], arguments].concat());
        assert_eq!((code, out.as_str()), (64, ""), "{err}");
        assert!(err.contains("the value is empty; nothing was changed, give one"), "{err}");
    }
    // Somebody who writes a reference does not mean its letters.
    let (code, out, err) = run(data.path(), &["call", "create_secret", "name=A", "value=env:HOME"]);
    assert_eq!((code, out.as_str()), (5, ""), "{err}");
    assert!(err.contains("the operator has not allowed the variable `HOME`"), "{err}");
    let (_, out, _) = run(data.path(), &["call", "list_secrets"]);
    assert!(out.contains("\"total_count\": 0"), "{out}");
}

#[test]
fn arguments_can_come_from_standard_input() {
    let data = folder();
    let mut child = keyglass(data.path(), &["call", "create_secret", "--json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("runs");
    let mut input = child.stdin.take().expect("an input");
    input.write_all(br#"{"name": "DB", "value": "canary-value"}"#).expect("written");
    drop(input);
    let (code, out, err) = finished(child.wait_with_output().expect("ends"));
    assert_eq!(code, 0, "{err}");
    assert!(!out.contains("canary") && !err.contains("canary"));
}

#[test]
fn wrong_usage_is_told_apart_from_faults() {
    let data = folder();
    for (arguments, code, words) in [
        (&["call", "list_secret"][..], 64, "did you mean `list_secrets`?"),
        (&["call", "get_secret", "name"], 64, "NAME=VALUE"),
        (&["call", "get_secret", "name=a", "name=b"], 64, "given twice"),
        (&["call", "get_secret", "--json", "{\"value\": \"canary"], 64, "JSON object"),
        (&["serve", "--nonsense"], 64, "--nonsense"),
        (&["serve", "--backend", "embeded"], 64, "expected `embedded`, `remote` or a URL"),
        (&["serve", "--credential", "ak_canary"], 64, "env:NAME"),
        (&["serve", "--credential-header", "X-API-Key"], 64, "`runtools-api-keys=X-API-Key`"),
        (&["serve", "--credential-header", "a="], 64, "such as `X-API-Key`"),
        (&["serve", "--credential-header", "a=Bearer canary"], 64, "is not shown"),
        (&["serve", "--credential-header", "a=Host"], 64, "`Host` is a header that is needed for something else"),
        (&["serve", "--credential-header", "a=authorization"], 64, "needed for something else"),
        (&["serve", "--credential-header", "a=Transfer-Encoding"], 64, "needed for something else"),
        (
            &["tools", "--group", "runtools", "--credential-header", "runtool-api-keys=X-API-Key"],
            0,
            "did you mean `runtools-api-keys`?",
        ),
        (&["serve", "--http", "127.0.0.1:0", "--token", "canary"], 64, "env:NAME"),
        (&["serve", "--http", "7480"], 64, "such as 127.0.0.1:7480"),
        (&["serve", "--token", "env:X"], 64, "give `--http ADDR` too"),
        (&["serve", "--http", "127.0.0.1:0", "--allow-origin", "nonsense"], 64, "nonsense"),
        (&["serve", "--backend", "https://user:canary@host.test"], 64, "no user or password"),
        (&["serve", "--group", "runtool"], 64, "did you mean `runtools`?"),
        (&["tools", "--group", "management", "--backend", "remote"], 64, "--backend keyglass-keys=embedded"),
        (&["backend"], 64, "--listen"),
        (&["serve", "--http", "0.0.0.0:0"], 64, "--token"),
        (&["serve", "--http", "127.0.0.1:0", "--token", "env:UNSET"], 2, "not set"),
        (&["serve", "--config", "missing.yaml"], 64, "missing.yaml"),
        (&["serve", "--timeout", "0"], 64, "--timeout"),
        (&["call", "get_secret", "name=a", "--backend", "remote", "--credential", "env:UNSET"], 2, "not set"),
        (&["call", "runtools_create_api_key"], 64, "it is in the group `runtools`: add `--group runtools`"),
        (&["call", "list_keys"], 64, "add `--group management`"),
        (&["call", "create_secrett", "--group", "runtype"], 64, "unknown tool `create_secrett` ("),
        (&["backend", "--listen", "192.0.2.1:0"], 2, "this machine does not have this address"),
        (&["check", "no-such-folder"], 1, "no such file or folder"),
    ] {
        let (actual, out, err) = run(data.path(), arguments);
        let text = out + &err;
        assert_eq!(actual, code, "{arguments:?}: {text}");
        assert!(text.contains(words), "{arguments:?}: {text}");
        assert!(!text.contains("canary"), "{arguments:?}: {text}");
        assert!(!text.contains("panicked"), "{text}");
    }
}

/// The first tool of each group of shipped ones.
const FIRST_TOOLS: [&str; 4] = ["create_api_key", "runtools_create_api_key", "runtype_create_api_key", "list_keys"];

#[test]
fn groups_choose_among_the_shipped_tools() {
    let data = folder();
    let offered = |arguments: &[&str]| {
        let (code, out, err) = run(data.path(), &[&["tools"], arguments].concat());
        assert_eq!(code, 0, "{err}");
        let names = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
        let tools: Vec<String> = out.lines().map(names).collect();
        FIRST_TOOLS.map(|first| tools.iter().any(|tool| tool == first))
    };
    assert_eq!(offered(&[]), [true, false, false, false]);
    assert_eq!(offered(&["--group", "runtools"]), [false, true, false, false]);
    assert_eq!(offered(&["--group", "runtype", "--group", "runloop"]), [true, false, true, false]);
    assert_eq!(offered(&["--group", "all"]), [true, true, true, true]);
    assert_eq!(offered(&["--group", "management"]), [false, false, false, true]);
    // No service has what the last group asks for.
    assert_eq!(offered(&["--group", "all", "--backend", "remote"]), [true, true, true, false]);
    let here = ["--group", "management", "--backend", "remote", "--backend", "keyglass-keys=embedded"];
    assert_eq!(offered(&here), [false, false, false, true]);
    let file = data.path().join("settings.yaml");
    fs::write(&file, "groups: [runtype]\n").expect("written");
    let file = file.display().to_string();
    assert_eq!(offered(&["--config", &file]), [false, false, true, false]);
    assert_eq!(offered(&["--config", &file, "--group", "runtools"]), [false, true, false, false]);
    let output = keyglass(data.path(), &["tools"]).env("KEYGLASS_GROUP", "runtools,management").output().expect("runs");
    let (_, out, _) = finished(output);
    assert!(out.contains("runtools_list_api_keys") && out.contains("rotate_key") && !out.contains("create_secret"));
}

#[test]
fn a_group_beside_specs_of_ones_own_is_said_to_mean_nothing() {
    let data = folder();
    let call = ["call", "list_secrets", "--capabilities", "capabilities/runloop-secrets.yaml"];
    let (code, _, err) = run(data.path(), &[&call[..], &["--group", "runtype"]].concat());
    assert!(code == 0 && err.contains("`--group` chooses among the shipped specs"), "{err}");
    let (code, _, err) = run(data.path(), &call);
    assert!(code == 0 && !err.contains("--group"), "{err}");
}

#[test]
fn the_tools_of_every_group_are_carried_out_by_the_embedded_backend() {
    let data = folder();
    let call = |tool: &str, arguments: &str| {
        let (code, out, err) =
            run(data.path(), &["call", tool, "--group", "all", "--yes", "--secrets", "clear", "--json", arguments]);
        assert_eq!(code, 0, "{tool}: {err}");
        serde_json::from_str::<Value>(&out).expect("JSON")
    };
    let id = |value: &Value| format!(r#"{{"id": {value}}}"#);
    let project = "0a1b2c3d-0000-4000-8000-00000000000f";
    let create = r#"{"name": "ci", "scopes": ["files:read"], "expiresIn": "90d", "projectId": "PROJECT"}"#;
    let key = call("runtools_create_api_key", &create.replace("PROJECT", project));
    assert_eq!(key["data"]["projectId"], project);
    assert!(key["data"]["key"].as_str().expect("a key").starts_with("rt_live_"), "{key}");
    let key = key["data"]["id"].clone();
    let change = format!(r#"{{"id": {key}, "scopes": ["files:*"], "projectId": null}}"#);
    let changed = call("runtools_change_api_key", &change);
    assert_eq!((&changed["data"]["scopes"][0], &changed["data"]["projectId"]), (&Value::from("files:*"), &Value::Null));
    assert_eq!(call("runtools_get_api_key", &id(&key))["data"]["name"], "ci");
    assert_eq!(call("runtools_list_api_keys", r#"{"limit": 1}"#)["data"][0]["id"], key);
    assert_eq!(call("get_key", &id(&key))["provider"], "runtools");
    assert_eq!(call("runtools_revoke_api_key", &id(&key))["data"]["status"], "revoked");

    assert!(call("runtype_list_api_key_options", "{}")["permissionGroups"].is_array());
    let made = call("runtype_create_api_key", r#"{"name": "ci", "permissions": ["FLOWS:*"], "environment": "test"}"#);
    let key = made["apiKey"]["id"].clone();
    let again = call("runtype_regenerate_api_key", &id(&key));
    assert_ne!(again["plainKey"], made["plainKey"]);
    let change = format!(r#"{{"id": {key}, "permissions": ["*"], "expiresAt": "2999-01-01T00:00:00Z"}}"#);
    assert_eq!(call("runtype_change_api_key", &change)["apiKey"]["permissions"][0], "*");
    assert_eq!(call("runtype_get_api_key", &id(&key))["apiKey"]["expiresAt"], "2999-01-01T00:00:00.000Z");
    let changed = call("runtype_change_api_key", &format!(r#"{{"id": {key}, "expiresAt": null}}"#));
    assert_eq!(changed["apiKey"]["expiresAt"], Value::Null);
    assert_eq!(call("runtype_list_api_keys", "{}")["total"], 1);
    call("runtype_revoke_api_key", &id(&key));

    let made = call("create_api_key", "{}")["id"].clone();
    let rotated = call("rotate_key", &format!(r#"{{"id": {made}, "grace_period_seconds": 60}}"#));
    assert_eq!(rotated["replaced"]["id"], made);
    assert_eq!(call("revoke_key", &id(&made))["state"], "revoked");
    assert_eq!(call("list_keys", r#"{"state": "all"}"#)["total_count"], 5);
    call("create_secret", r#"{"name": "DB", "value": "v"}"#);
    call("set_secret_expiry", r#"{"name": "DB", "expires_at_ms": 4102444800000}"#);
    assert_eq!(call("list_expiring_secrets", "{}")["secrets"][0]["name"], "DB");
    assert_eq!(call("set_secret_expiry", r#"{"name": "DB", "expires_at_ms": null}"#)["expires_at_ms"], Value::Null);
}

#[test]
fn a_key_of_runtools_without_scopes_is_refused_before_it_is_asked_for() {
    let data = folder();
    for arguments in [r#"{"name": "k"}"#, r#"{"name": "k", "scopes": []}"#, r#"{"name": "k", "scopes": ["all"]}"#] {
        let call = ["call", "runtools_create_api_key", "--group", "runtools", "--json", arguments];
        let (code, _, err) = run(data.path(), &call);
        assert!(code == 5 && err.contains("nothing was sent") && err.contains("scopes"), "{arguments}: {err}");
    }
}

#[test]
fn the_groups_speak_to_their_services_with_their_own_credentials() {
    let data = folder();
    for (tool, group, expected, variable) in [
        ("runtools_list_api_keys", "runtools", "'https://api.runtools.ai/v1/api-keys", "RUNTOOLS_API_KEY"),
        ("runtype_list_api_keys", "runtype", "'https://api.runtype.com/v1/api-keys'", "RUNTYPE_API_KEY"),
    ] {
        let call = ["call", tool, "--group", group, "--dry-run=curl"];
        let (code, out, _) = run(data.path(), &[&call[..], &["--backend", "remote"]].concat());
        assert_eq!(code, 0);
        assert!(out.contains(expected) && out.contains(&format!("Bearer ${variable}")), "{out}");
        let (_, out, _) = run(data.path(), &call);
        assert!(out.contains(&format!("/{group}/v1/api-keys")) && !out.contains("https://"), "{out}");
    }
}

#[test]
fn the_header_of_a_credential_is_a_setting() {
    let data = folder();
    let call = ["call", "runtools_list_api_keys", "--group", "runtools", "--backend", "remote"];
    let shown = |arguments: &[&str]| {
        let mut command = keyglass(data.path(), &[&call[..], arguments].concat());
        let (code, out, err) = finished(command.env("RUNTOOLS_API_KEY", "canary-key").output().expect("runs"));
        assert_eq!(code, 0, "{err}");
        assert!(!format!("{out}{err}").contains("canary"), "{out}{err}");
        out
    };
    let config = data.path().join("keyglass.yaml");
    fs::write(&config, "credential_headers: { runtools-api-keys: X-API-Key }\n").expect("written");
    let config = config.display().to_string();
    for setting in [["--credential-header", "runtools-api-keys=X-API-Key"], ["--config", &config]] {
        let curl = shown(&[&setting[..], &["--dry-run=curl"]].concat());
        assert!(curl.contains("--header \"x-api-key: $RUNTOOLS_API_KEY\""), "{curl}");
        assert!(!curl.to_lowercase().contains("authorization"), "{curl}");
        let text = shown(&[&setting[..], &["--dry-run"]].concat());
        assert!(text.contains("x-api-key: [masked]\n") && !text.contains("authorization"), "{text}");
    }
}

#[test]
fn a_data_folder_that_cannot_be_used_is_one_clear_line() {
    let data = folder();
    run(data.path(), &["call", "list_secrets"]);
    let check = |what: &str| {
        let (code, out, err) = run(data.path(), &["call", "list_secrets"]);
        let lines: Vec<&str> = err.lines().filter(|line| line.starts_with("keyglass: ")).collect();
        assert_eq!((code, out.as_str(), lines.len()), (2, "", 1), "{what}: {err}");
        assert!(!err.contains("panicked"), "{err}");
        lines[0].to_owned()
    };
    let key = fs::read(data.path().join("master.key")).expect("the key");
    fs::remove_file(data.path().join("master.key")).expect("removed");
    assert!(check("missing key").contains("master.key"));
    fs::write(data.path().join("master.key"), "0".repeat(64)).expect("written");
    assert!(check("wrong key").contains("master.key"));
    fs::write(data.path().join("master.key"), "not a key").expect("written");
    assert!(check("no key").contains("master.key"));
    fs::write(data.path().join("master.key"), key).expect("written");
    for name in ["keyglass.db-wal", "keyglass.db-shm"] {
        fs::remove_file(data.path().join(name)).ok();
    }
    fs::write(data.path().join("keyglass.db"), "not a database, but long enough to look at".repeat(100))
        .expect("written");
    assert!(check("no database").contains("keyglass.db"));
    let file = data.path().join("file");
    fs::write(&file, "").expect("written");
    let (code, _, err) = run(&file, &["call", "list_secrets"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("data folder"), "{err}");
}

#[test]
fn looking_at_tools_opens_nothing() {
    let data = folder();
    let inner = data.path().join("data");
    let (code, out, _) = run(&inner, &["tools"]);
    assert_eq!(code, 0);
    assert!(out.contains("create_api_key") && out.contains("POST /v1/secrets/{name}/delete"), "{out}");
    let (code, out, _) = run(&inner, &["tools", "--json"]);
    assert_eq!(code, 0);
    let tools: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(tools["tools"].as_array().map(Vec::len), Some(7));
    assert!(!inner.exists(), "no data folder was made");
}

#[test]
fn check_tells_place_and_code() {
    let data = folder();
    let (code, out, _) = run(data.path(), &["check"]);
    assert_eq!((code, out.as_str()), (0, "7 tools, 0 errors, 0 warnings, 0 notes\n"));
    let bad = "tests/specs/unknown-version.bad.yaml";
    let (code, out, _) = run(data.path(), &["check", bad]);
    assert_eq!(code, 1);
    assert!(out.contains("error[unsupported-version]") && out.contains(&format!("{bad}:1:10")), "{out}");
    let (code, out, _) = run(data.path(), &["check", bad, "--json"]);
    assert_eq!(code, 1);
    let report: Value = serde_json::from_str(&out).expect("JSON");
    let first = &report["diagnostics"][0];
    assert_eq!((first["line"].as_u64(), first["column"].as_u64()), (Some(1), Some(10)));
    assert_eq!(first["code"], "unsupported-version");
}

#[test]
fn a_broken_spec_leaves_the_others_served() {
    let data = folder();
    let arguments = ["tools", "--capabilities", "tests/specs"];
    let (code, out, err) = run(data.path(), &arguments);
    assert_eq!(code, 0);
    assert!(out.contains("create_pet"), "{out}");
    assert!(err.contains("not-yaml.bad.yaml:3:13: mismatched bracket"), "{err}");
}

#[test]
fn empty_variables_are_none_and_set_ones_count() {
    let data = folder();
    let mut command = keyglass(data.path(), &["call", "list_secrets"]);
    for name in
        ["CAPABILITIES", "SCHEMAS", "BACKEND", "CREDENTIAL", "TIMEOUT", "MAX_ANSWER_BYTES", "CONFIG", "HTTP", "TOKEN"]
    {
        command.env(format!("KEYGLASS_{name}"), "");
    }
    let (code, _, err) = finished(command.output().expect("runs"));
    assert_eq!(code, 0, "{err}");
    let mut command = keyglass(data.path(), &["tools"]);
    command.env(
        "KEYGLASS_CAPABILITIES",
        "tests/specs/keyed-maps-and-declared-arguments.yaml, capabilities/runloop-secrets.yaml",
    );
    let (code, out, err) = finished(command.output().expect("runs"));
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("get-pet") && out.contains("list_secrets"), "{out}");
    // A client over standard input that shares its environment with an HTTP server.
    let mut command = keyglass(data.path(), &["serve"]);
    command.env("KEYGLASS_TOKEN", "env:UNSET").stdin(Stdio::null());
    assert_eq!(finished(command.output().expect("runs")).0, 0);
}

/// A spec that somebody else wrote must not read what lies around.
#[test]
fn a_schema_is_read_from_where_schemas_are_and_nowhere_else() {
    let data = folder();
    let path = |name: &str| data.path().join(name);
    let schema = r#"{"type": "object", "properties": {"inner": {"type": "string"}}, "canary": {"auth": "canary"}}"#;
    for folder in ["specs/deeper", "schemas", "other", "given"] {
        fs::create_dir_all(path(folder)).expect("made");
        fs::write(path(folder).join("s.json"), schema).expect("written");
    }
    fs::write(path("given/only.json"), schema).expect("written");
    fs::write(path("schemas/broken.json"), "TOKEN=canary").expect("written");
    fs::write(path("schemas/environ"), schema).expect("written");
    #[cfg(unix)]
    std::os::unix::fs::symlink(path("other/s.json"), path("schemas/link.json")).expect("linked");
    for (reference, served) in [
        ("deeper/s.json", true),
        ("../schemas/s.json", true),
        ("../given/only.json", true), // found by its name in the folder that is given
        ("../other/s.json", false),
        ("../schemas/environ", false),
        ("../schemas/broken.json", false),
        ("../schemas/link.json", false),
        ("/etc/hostname", false),
    ] {
        let spec = format!(
            "naftiko: 1.0.0-alpha2\ncapability:\n  consumes:\n    - {{type: http, namespace: a, baseUri: 'https://h.test', \
             resources: [{{path: /x, operations: [{{name: setX, method: POST, description: Set., inputParameters: \
             [{{name: body, in: body, schema: '{reference}'}}]}}]}}]}}\n"
        );
        let spec_path = path("specs/spec.yaml");
        fs::write(&spec_path, spec).expect("written");
        let (spec, given) = (spec_path.display().to_string(), path("given").display().to_string());
        let (_, out, err) = run(data.path(), &["tools", "--json", "--capabilities", &spec, "--schemas", &given]);
        assert_eq!(out.contains("inner"), served, "{reference}: {out}{err}");
        let (code, report, _) = run(data.path(), &["check", &spec, "--schemas", &given]);
        assert_eq!(code, i32::from(!served), "{reference}: {report}");
        assert!(!(out + &err + &report).contains("canary"), "{reference}: {report}");
    }
}

#[test]
fn looking_reads_no_credential() {
    let data = folder();
    for command in ["tools", "check"] {
        let (code, _, err) = run(data.path(), &[command, "--backend", "remote", "--credential", "env:UNSET"]);
        assert_eq!(code, 0, "{err}");
    }
}

#[test]
fn no_output_repeats_a_password_of_a_spec() {
    let data = folder();
    let spec = data.path().join("spec.yaml");
    let text = fs::read_to_string("capabilities/runloop-secrets.yaml").expect("the spec");
    let text = text.replace("https://api.runloop.ai", "https://user:canary@api.test");
    let text = text.replace("../schemas/", &format!("{}/schemas/", env!("CARGO_MANIFEST_DIR")));
    fs::write(&spec, text).expect("written");
    let spec = spec.display().to_string();
    let schemas = format!("{}/schemas", env!("CARGO_MANIFEST_DIR"));
    for command in ["check", "serve"] {
        let (_, out, err) = run(data.path(), &[command, "--capabilities", &spec, "--schemas", &schemas]);
        let said = out + &err;
        assert!(said.contains("https://api.test") && said.contains("spec.yaml:17:16"), "{said}");
        assert!(!said.contains("canary"), "{said}");
    }
}

#[test]
fn help_and_version_are_there() {
    let data = folder();
    let (code, out, _) = run(data.path(), &["--help"]);
    assert_eq!(code, 0);
    assert!(out.contains("Examples:") && out.contains("KEYGLASS_LOG"), "{out}");
    let (code, out, _) = run(data.path(), &["--version"]);
    assert_eq!((code, out), (0, format!("keyglass {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn an_openapi_document_is_imported_and_its_types_are_found_again() {
    let data = folder();
    let at = |name: &str| data.path().join(name).display().to_string();
    let api = r#"{"openapi": "3.1.0", "info": {"title": "Pets", "version": "1"}, "servers": [{"url": "https://pets.example.com"}],
        "paths": {"/pets/{id}": {"get": {"operationId": "getPet", "responses": {"200": {"description": "ok",
        "content": {"application/json": {"schema": {"type": "object", "properties": {"name": {"type": "string"}}}}}}},
        "parameters": [{"name": "id", "in": "path", "required": true, "schema": {"type": "integer"}}]}}}}"#;
    fs::write(at("api.json"), api).expect("written");
    let import = ["import", "openapi", &at("api.json"), "-o", &at("capabilities/pets.yaml")];
    let (code, out, err) = run(data.path(), &import);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(
        out.contains("capabilities/pets.yaml: 1 tool\n") && out.contains("schemas/pets.json: their types"),
        "{out}"
    );
    let (code, _, err) = run(data.path(), &import);
    assert_eq!(code, 64);
    assert!(err.contains("is there already; `--force` replaces it"), "{err}");
    let (_, out, _) = run(data.path(), &["check", "--joins", &at("capabilities")]);
    assert!(out.contains("pets.get-pet (GET /pets/{{id}}): body absent, answer joined, 1/1 parameters from"), "{out}");
    let (_, out, _) = run(data.path(), &["check", "--joins", "--json", &at("capabilities")]);
    let report: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(report["joins"][0]["by"], "id, method and path");
    let (code, _, err) = run(data.path(), &["import", "openapi", &at("capabilities/pets.yaml"), "-o", &at("x.yaml")]);
    assert_eq!(code, 2);
    assert!(err.contains("is no OpenAPI document"), "{err}");
}

#[test]
fn the_way_to_the_warnings_can_be_pasted() {
    let data = folder();
    let specs = data.path().join("my specs");
    fs::create_dir(&specs).expect("made");
    let text = "naftiko: 1.0.0-alpha2\ncapability:\n  consumes:\n    - type: http\n      namespace: s\n      baseUri: \
                https://s.test\n      resources:\n        - {path: /s, operations: [{name: read, method: GET}]}\n";
    fs::write(specs.join("spec.yaml"), text).expect("written");
    let path = specs.to_str().expect("text");
    for arguments in [
        &["tools", "--capabilities", path, "--backend", "http://127.0.0.1:9", "--credential", "s=env:A_KEY"][..],
        &["call", "nothing", "--capabilities", path, "--backend", "http://127.0.0.1:9", "--credential", "s=env:A_KEY"],
    ] {
        let (_, _, err) = run(data.path(), arguments);
        let flags = format!("--capabilities '{path}' --backend http://127.0.0.1:9 --credential s=env:A_KEY`");
        assert!(err.contains(&format!("1 warning about the specs; `keyglass check {flags} shows them")), "{err}");
        if arguments.contains(&"nothing") {
            assert!(err.contains(&format!("(`keyglass tools {flags} lists them)")), "{err}");
        }
    }
    let (_, _, err) = run(data.path(), &["call", "nothing"]);
    assert!(err.contains("(`keyglass tools` lists them)"), "{err}");
}

#[test]
fn slips_of_a_client_are_told_to_the_client_alone() {
    let data = folder();
    let mut child = keyglass(data.path(), &["serve"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starts");
    let mut input = child.stdin.take().expect("a pipe");
    let hello = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"test","version":"0"}}}"#;
    for line in [
        hello,
        r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#,
        "{no JSON",
        r#"{"jsonrpc":"2.0","id":2,"method":"unknown/method"}"#,
        r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"unknown"}}"#,
        r#"{"jsonrpc":"2.0","id":4,"method":"resources/read","params":{"uri":"data://unknown"}}"#,
        r#"{"jsonrpc":"2.0","id":5,"result":{}}"#,
    ] {
        writeln!(input, "{line}").expect("written");
    }
    drop(input);
    let (code, out, err) = finished(child.wait_with_output().expect("ends"));
    assert_eq!((code, out.lines().count()), (0, 5), "{out}");
    let own = |line: &&str| !line.contains(" INFO ");
    assert_eq!(err.lines().filter(own).collect::<Vec<_>>(), [""; 0], "{err}");
}

#[tokio::test]
async fn whoever_calls_a_tool_that_was_left_out_is_told_why() {
    let spec = "tests/specs/tools-left-out.bad.yaml";
    let data = folder();
    for (tool, reason, line) in [
        ("feed_all", "the operation `feedPets` was left out", 21),
        ("count_all", "`avro`", 14),
        ("script_all", "steps of type `script` are not run", 25),
        ("list_if", "`condition`", 28),
        ("nowhere", "unknown operation `nothing`", 29),
        ("wash_pets", "`avro`", 15),
    ] {
        let (code, out, err) = run(data.path(), &["call", tool, "--capabilities", spec]);
        assert_eq!((code, out.as_str()), (64, ""));
        let said = err.lines().last().unwrap_or_default();
        assert!(said.contains(&format!("the tool `{tool}` was left out: ")) && said.contains(reason), "{said}");
        assert!(said.contains(&format!("(tools-left-out.bad.yaml, line {line})")), "{said}");
        let (_, out, _) = run(data.path(), &["check", spec]);
        assert!(out.contains(&format!(", so the tool `{tool}` is left out")), "{tool}: {out}");
    }
    let (_keyglass, mut client) = Keyglass::over_pipes_for("https://pets.test", &["--capabilities", spec]);
    client.ask(&initialize(1)).await;
    let answer = client.ask(&request(2, "tools/call", &serde_json::json!({"name": "nowhere"}))).await;
    let message = answer["error"]["message"].as_str().expect("a message");
    assert!(message.starts_with("the tool `nowhere` was left out") && message.ends_with("line 29)"), "{message}");
}

#[test]
fn slips_of_the_pen_get_a_hint() {
    let data = folder();
    let spec = data.path().join("spec.yaml");
    let head = "naftiko: 1.0.0-alpha2\ninfo: {label: P, description: P}\ncapability:\n";
    let check = |text: &str| {
        fs::write(&spec, format!("{head}{text}")).expect("written");
        run(data.path(), &["check", &spec.display().to_string()]).1
    };
    let out = check(
        "  consumes: [{type: http, namespace: pets, baseUri: 'https://pets.test', authentication: {type: bearer, token: ''}, \
         resources: [{path: /pets, operations: [{name: list, method: GET, description: L, inputParameters: [\
         {name: size, in: query, description: S}]}]}]}]\n  exposes: [{type: mcp, namespace: t, tools: [\
         {name: list, description: L, call: pets.list, with: {colour: tools.size}}]}]\n",
    );
    assert!(out.contains("the token is empty; calls are made without a credential"), "{out}");
    assert!(out.contains("the operation has no parameter `colour`; it has `size`"), "{out}");
    assert!(out.contains(" 0 errors, "), "{out}");
    let dry = ["call", "list", "--dry-run", "--capabilities", &spec.display().to_string()];
    let (code, shown, err) = run(data.path(), &dry);
    assert!(code == 0 && !shown.to_lowercase().contains("authorization"), "{shown}{err}");
    let (code, _, err) = run(data.path(), &["call", "list", "size", "--capabilities", &spec.display().to_string()]);
    assert!(code == 64 && err.contains("`size` has no value: arguments are given as NAME=VALUE"), "{err}");
}

#[test]
fn a_secret_may_be_named_in_braces() {
    let data = folder();
    let spec = data.path().join("spec.yaml");
    for token in ["{{$secrets.PETS_TOKEN}}", "$secrets.PETS_TOKEN"] {
        let text = format!(
            "naftiko: 1.0.0-alpha2\ncapability:\n  consumes: [{{type: http, namespace: pets, baseUri: 'https://pets.test', \
             authentication: {{type: bearer, token: '{token}'}}, resources: [{{path: /pets, operations: [\
             {{name: list, method: GET, description: L}}]}}]}}]\n"
        );
        fs::write(&spec, text).expect("written");
        let spec = spec.display().to_string();
        let (code, out, err) = run(data.path(), &["call", "list", "--dry-run=curl", "--capabilities", &spec]);
        assert!(code == 0 && out.contains("\"authorization: Bearer $PETS_TOKEN\""), "{out}{err}");
    }
}

#[test]
fn a_list_of_nothing_says_so_and_what_to_do() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name).display().to_string();
    fs::create_dir(folder.path().join("empty")).expect("made");
    fs::write(folder.path().join("nothing.yaml"), "ikanos: 1.0.0-beta5\ncapability: {}\n").expect("written");
    for (spec, code, why) in [("empty", 1, "the errors above say why"), ("nothing.yaml", 0, "offer none")] {
        for arguments in [&["tools"][..], &["tools", "--markdown"]] {
            let spec = path(spec);
            let (actual, out, _) = run(folder.path(), &[arguments, &["--capabilities", &spec]].concat());
            assert_eq!(actual, code);
            assert!(out.starts_with("There are no tools: ") && out.contains(why), "{out}");
            assert!(out.contains(&format!("`keyglass check --capabilities {spec}`")), "{out}");
        }
    }
    let data = folder.path().join("data");
    assert_eq!(run(&data, &["call", "list_secrets"]).0, 0);
    let (code, out, _) = run(&data, &["secrets", "list"]);
    assert_eq!((code, out.as_str()), (0, "There are no secrets; `keyglass secrets create NAME` makes one.\n"));
    let (code, out, _) = run(&data, &["keys", "list", "--state", "revoked"]);
    assert_eq!(code, 0);
    assert!(
        out.starts_with("There are no revoked keys; `keyglass keys create`") && out.contains("`--state all`"),
        "{out}"
    );
}
