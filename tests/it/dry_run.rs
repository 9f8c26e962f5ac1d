//! `keyglass call --dry-run`: the request that would be sent, and nothing sent.

use std::fs;

use crate::support::{Backend, CREDENTIAL, finished, keyglass, run};

#[test]
fn a_dry_run_opens_creates_and_reads_nothing() {
    let home = tempfile::tempdir().expect("a folder");
    let data = home.path().join("data");
    let arguments = ["call", "create_secret", "name=A", "value=canary-value", "--dry-run"];
    let (code, out, _) = run(&data, &arguments);
    assert_eq!(code, 0);
    assert!(out.contains("POST http://127.0.0.1:8080/v1/secrets\n"), "{out}");
    assert!(out.ends_with("\n\n{\"name\":\"A\",\"value\":\"[masked]\"}\n"), "{out}");
    for remote in [&["--backend", "remote"][..], &["--backend", "remote", "--credential", "env:UNSET_KEY"]] {
        let (code, out, err) = run(&data, &[&arguments[..4], &["--dry-run=curl"], remote].concat());
        assert_eq!((code, err.as_str()), (0, ""));
        assert!(out.contains("'https://api.runloop.ai/v1/secrets'"), "{out}");
        let variable = if remote.len() > 2 { "UNSET_KEY" } else { "RUNLOOP_API_KEY" };
        assert!(out.contains(&format!("--header \"authorization: Bearer ${variable}\"")), "{out}");
        assert!(out.contains(r#"--data-raw '{"name":"A","value":"'"${SECRET_VALUE:?}"'"}'"#), "{out}");
        assert!(!out.contains("canary") && !out.contains("[masked]"), "{out}");
    }
    assert!(!data.exists(), "no data folder is made");
}

#[test]
fn what_a_real_call_refuses_a_dry_run_does_too() {
    let data = tempfile::tempdir().expect("a folder");
    let (code, out, err) = run(data.path(), &["call", "get_secret", "nam=A", "--dry-run"]);
    assert_eq!((code, out.as_str()), (5, ""));
    assert!(err.contains("`name`"), "{err}");
    assert_eq!(run(data.path(), &["call", "get_secrets", "--dry-run"]).0, 64);
    assert_eq!(run(data.path(), &["call", "get_secret", "name=A", "--dry-run=yaml"]).0, 64);
    let spec = data.path().join("spec.yaml");
    let text = "naftiko: 1.0.0-alpha2\ncapability:\n  consumes:\n    - {type: http, namespace: a, baseUri: '', \
                resources: [{path: /x, operations: [{name: getX, method: GET, description: Get.}]}]}\n";
    fs::write(&spec, text).expect("written");
    let (code, _, err) =
        run(data.path(), &["call", "get_x", "--dry-run", "--capabilities", &spec.display().to_string()]);
    assert_eq!(code, 5);
    assert!(err.contains("--backend a=URL"), "{err}");
}

#[test]
fn a_key_in_the_query_stays_out_of_sight() {
    let data = tempfile::tempdir().expect("a folder");
    let spec = data.path().join("spec.yaml");
    let text = "naftiko: 1.0.0-alpha2\nbinds: [{namespace: env, keys: {KEY: PETS_KEY}}]\ncapability:\n  consumes:\n    \
                - {type: http, namespace: a, baseUri: 'https://pets.test/v1', authentication: {type: apikey, key: k, \
                value: '{{env.KEY}}', placement: query}, resources: [{path: /x, operations: [{name: getX, method: GET, \
                description: Get., inputParameters: [{name: q, in: query}]}]}]}\n";
    fs::write(&spec, text).expect("written");
    let spec = spec.display().to_string();
    for (format, expected) in [
        ("http", "GET https://pets.test/v1/x?q=it%27s&k=[masked]\n"),
        ("curl", "'https://pets.test/v1/x?q=it%27s' \\\n  --url-query \"k=$PETS_KEY\" \\\n"),
    ] {
        let format = format!("--dry-run={format}");
        let mut command = keyglass(data.path(), &["call", "get_x", "q=it's", &format, "--capabilities", &spec]);
        let (code, out, err) = finished(command.env("PETS_KEY", "canary-key").output().expect("runs"));
        assert_eq!(code, 0, "{err}");
        assert!(out.contains(expected), "{out}");
        assert!(!out.contains("canary"), "{out}");
    }
}

#[test]
fn secrets_in_a_spec_are_shown_nowhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let spec = folder.path().join("pets.yaml");
    let text = "naftiko: 1.0.0-alpha2\ncapability:\n  consumes:\n    - type: http\n      namespace: pets\n      \
        baseUri: https://pets.test\n      inputParameters:\n        - { name: X-Api-Key, in: header, value: canary-header }\n        \
        - { name: Authorization, in: header, value: Bearer canary-bearer }\n        \
        - { name: Cookie, in: header, value: sid=canary-cookie }\n      resources:\n        \
        - path: '/pets?api_key=canary-path&sig=canary-sig&v=plain'\n          operations:\n            \
        - name: washPets\n              method: POST\n              \
        inputParameters: [{ name: token, in: query, value: canary-query }, { name: id, in: query, type: string }]\n              \
        body: '{\"client_secret\": \"canary-body\", \"id\": \"{{id}}\"}'\n";
    std::fs::write(&spec, text).expect("written");
    let (data, spec) = (folder.path().join("data"), spec.display().to_string());
    for arguments in [
        &["call", "wash_pets", "id=a", "--dry-run"][..],
        &["call", "wash_pets", "id=a", "--dry-run=curl"],
        &["tools", "--json"],
        &["tools"],
    ] {
        let (code, out, err) = run(&data, &[arguments, &["--capabilities", &spec]].concat());
        assert_eq!(code, 0, "{err}");
        assert!(!out.contains("canary"), "{out}");
        if arguments.contains(&"call") {
            assert!(out.contains("v=plain") && out.to_lowercase().contains("authorization: bearer "), "{out}");
        }
    }
}

#[tokio::test]
async fn a_dry_run_shows_the_headers_that_a_call_sends() {
    let mut backend = Backend::start().await;
    let data = tempfile::tempdir().expect("a folder");
    let url = backend.url();
    let arguments = ["call", "get_secret", "name=a", "--backend", &url, "--credential", "env:STUB_KEY"];
    let call = |more: &'static [&'static str]| {
        let mut command = keyglass(data.path(), &[&arguments, more].concat());
        command.env("STUB_KEY", CREDENTIAL);
        tokio::task::spawn_blocking(move || finished(command.output().expect("runs")))
    };
    let (code, out, _) = call(&["--dry-run"]).await.expect("ended");
    assert_eq!(code, 0);
    assert!(backend.arrivals.try_recv().is_err(), "nothing is sent");
    assert_eq!(call(&[]).await.expect("ended").0, 0);
    let mut sent = backend.arrival().await.headers;
    let (request_line, headers) = out.split_once('\n').expect("headers");
    assert_eq!(request_line, format!("GET {url}/v1/secrets/a"));
    for line in headers.lines() {
        let (name, value) = line.split_once(": ").expect("a header");
        let sent = sent.remove(name).unwrap_or_else(|| panic!("{name} is not sent"));
        let sent = sent.to_str().expect("text").replace(CREDENTIAL, "[masked]");
        assert!(value == sent || value == "[new for each call]", "{line}, but {sent}");
    }
    sent.remove("host");
    assert!(sent.is_empty(), "not shown: {sent:?}");
}

#[test]
fn plain_variables_are_shown_and_credentials_are_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let spec = folder.path().join("pets.yaml");
    std::fs::write(folder.path().join("values.yaml"), "version: '7'\nkey: canary-key\n").expect("written");
    let text = "ikanos: 1.0.0-beta5\ninfo: {display: Pets, description: Pets.}\n\
        binds: [{namespace: pets-env, location: 'file:///./values.yaml', keys: {PETS_VERSION: version, PETS_KEY: key}}]\n\
        capability:\n  consumes:\n  - {type: http, namespace: pets, baseUri: 'https://pets.test', inputParameters: {\
        Pets-Version: {in: header, value: '{{PETS_VERSION}}'}, Pets-Key: {in: header, value: 'k-{{PETS_KEY}}'}}, resources: {pets: {path: /pets, operations: {\
        list: {method: GET, description: List pets.}}}}}\n";
    std::fs::write(&spec, text).expect("written");
    let data = folder.path().join("data");
    let (code, text, err) = run(&data, &["call", "list", "--dry-run", "--capabilities", &spec.display().to_string()]);
    assert_eq!(code, 0, "{err}");
    assert!(text.contains("pets-version: 7\n") && text.contains("pets-key: k-[masked]\n"), "{text}");
    assert!(!text.contains("canary") && !err.contains("canary"), "{text}{err}");
}

#[test]
fn a_dry_run_says_what_is_asked_until_the_operation_is_done() {
    let folder = tempfile::tempdir().expect("a folder");
    let spec = folder.path().join("yard.yaml");
    let text = "ikanos: 1.0.0-beta5\ninfo: {display: Yard, description: Yard.}\ncapability:\n  consumes:\n  - {type: http, \
        namespace: yard, baseUri: 'https://yard.test', resources: {builds: {path: /builds, operations: {\
        build: {method: POST, description: Build., poll: {call: get-build, with: {id: $.answer.id}, until: {path: $.state, values: [ready, failed]}}}, \
        await: {method: PUT, description: Wait., poll: {statuses: [408, 425], interval: 90s, timeout: 1h}}, \
        follow: {method: PATCH, description: Follow., poll: {location: true, interval: 500ms, timeout: 90s}}}}, \
        build: {path: '/builds/{id}', operations: {get-build: {method: GET, description: Get., inputParameters: [{name: id, in: path}]}}}}}\n";
    fs::write(&spec, text).expect("written");
    let spec = spec.display().to_string();
    for (tool, expected) in [
        (
            "build",
            "# then `GET /builds/{id}`, every 2 s unless an answer says otherwise, while the status is 202 or `$.state` is \
             neither \"ready\" nor \"failed\"; given up after 5 min\n",
        ),
        (
            "await",
            "# then the same again, every 90 s unless an answer says otherwise, while the status is 408 or 425; given up \
             after 1 h\n",
        ),
        (
            "follow",
            "# then `GET` of what the `Location` of the answer names, every 500 ms unless an answer says otherwise, while \
             the status is 202; given up after 90 s\n",
        ),
    ] {
        for format in ["--dry-run", "--dry-run=curl"] {
            let (code, text, err) = run(folder.path(), &["call", tool, format, "--capabilities", &spec]);
            assert_eq!(code, 0, "{err}");
            assert!(text.starts_with(expected), "{text}\n{expected}");
        }
    }
}
