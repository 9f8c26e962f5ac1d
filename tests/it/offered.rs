//! What the operator switches off: in no list, and not to be called by any way.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::Router;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::{
    mcp::{initialize, initialized, request},
    support::{Keyglass, run, within},
};

const SPEC: &str = "\
naftiko: 1.0.0-alpha2
info: { label: Pets, description: Pets. }
capability:
  consumes:
    - type: http
      namespace: pets
      baseUri: https://pets.test
      resources:
        - path: /pets
          operations:
            - { name: listPets, method: GET, description: List the pets. }
            - { name: addPet, method: POST, description: Add a pet., inputParameters: [{ name: name, in: body, type: string }] }
        - path: /pets/{id}
          operations:
            - { name: dropPet, method: DELETE, description: Drop a pet., inputParameters: [{ name: id, in: path, type: string }] }
        - path: /pets/{id}/teach
          operations:
            - { name: teachPet, method: POST, description: Teach a pet., inputParameters: [{ name: id, in: path, type: string }, { name: command, in: body, type: string }] }
        - path: /api-keys
          operations:
            - { name: addKey, method: POST, description: Add a key. }
  exposes:
    - type: mcp
      namespace: pets
      tools:
        - { name: list_pets, description: List the pets., call: pets.listPets }
        - { name: add_pet, description: Add a pet., call: pets.addPet }
      resources:
        - { name: pets, uri: 'data://pets', description: All pets., call: pets.listPets }
        - { name: new, uri: 'data://new', description: A new pet., call: pets.addPet }
      prompts:
        - { name: greet, description: Greet a pet., template: [{ role: user, content: Hello. }] }
";

/// A folder with the spec, and a service that counts what reaches it.
struct Pets {
    folder: TempDir,
    url: String,
    seen: Arc<AtomicUsize>,
}

impl Pets {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("specs")).expect("made");
        fs::write(folder.path().join("specs/pets.yaml"), SPEC).expect("written");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let seen = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&seen);
        let service = Router::new().fallback(move || {
            counted.fetch_add(1, Ordering::SeqCst);
            async { ([("content-type", "application/json")], r#"{"done": true}"#) }
        });
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { folder, url, seen }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }

    fn arguments<'a>(&'a self, specs: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        [&["--capabilities", specs], more].concat()
    }

    fn specs(&self) -> String {
        self.path().join("specs").display().to_string()
    }
}

fn names<'a>(answer: &'a Value, list: &str) -> Vec<&'a str> {
    let entries = answer["result"][list].as_array().unwrap_or_else(|| panic!("no list: {answer}"));
    entries.iter().map(|entry| entry["name"].as_str().expect("a name")).collect()
}

const ALL: [&str; 5] = ["list_pets", "add_pet", "drop_pet", "teach_pet", "add_key"];

#[tokio::test]
async fn what_is_switched_off_is_neither_listed_nor_called() {
    let pets = Pets::start().await;
    let specs = pets.specs();
    for (settings, on, resources, prompts, by) in [
        (&[][..], &ALL[..], &["pets", "new"][..], &["greet", "pets-guide"][..], ""),
        (&["--read-only"], &["list_pets"], &["pets"], &["greet", "pets-guide"], "--read-only"),
        (
            &["--deny", "risk:exec", "--deny", "add_*"],
            &["list_pets", "drop_pet"],
            &["pets", "new"],
            &["greet", "pets-guide"],
            "--deny",
        ),
        (
            &["--allow", "list_pets", "--allow", "risk:grant"],
            &["list_pets", "add_key"],
            &[],
            &["pets-guide"],
            "--allow",
        ),
        (
            &["--allow", "group:pets", "--deny", "risk:write"],
            &["list_pets", "drop_pet", "teach_pet", "add_key"],
            &["pets"],
            &["greet", "pets-guide"],
            "--deny risk:write",
        ),
        (
            &["--read-only", "--risk", "add_pet=read", "--risk", "list_pets=write"],
            &["add_pet"],
            &["pets"],
            &["greet", "pets-guide"],
            "--read-only",
        ),
        (&["--deny", "group:pets"], &[], &[], &[], "--deny group:pets"),
    ] {
        let (_keyglass, mut client) = Keyglass::over_pipes_for(&pets.url, &pets.arguments(&specs, settings));
        client.ask(&initialize(1)).await;
        client.send(&initialized()).await;
        let listed = client.ask(&request(2, "tools/list", &json!({}))).await;
        assert_eq!(names(&listed, "tools"), on, "{settings:?}");
        let listed = client.ask(&request(3, "resources/list", &json!({}))).await;
        let mut shown = names(&listed, "resources");
        shown.retain(|name| !name.contains(".yaml"));
        assert_eq!(shown, resources, "{settings:?}");
        let listed = client.ask(&request(4, "prompts/list", &json!({}))).await;
        let shown: Vec<&str> = if listed["error"].is_null() { names(&listed, "prompts") } else { Vec::new() };
        assert_eq!(shown.len(), prompts.len(), "{settings:?}: {shown:?}");
        let before = pets.seen();
        for name in ALL {
            let call = json!({"name": name, "arguments": {"id": "1", "name": "Rex", "command": "sit"}});
            let answer = client.ask(&request(5, "tools/call", &call)).await;
            if on.contains(&name) {
                continue;
            }
            let told = answer["error"]["message"].as_str().unwrap_or_else(|| panic!("{settings:?} {name}: {answer}"));
            assert!(told.contains("switched off by the operator") && told.contains(by), "{settings:?}: {told}");
            assert_eq!(answer["error"]["code"], -32602, "as of any tool that is not listed");
        }
        let reached = pets.seen() - before;
        assert!(reached <= on.len(), "{settings:?}: only what is on reaches the service");
        for (name, uri) in [("pets", "data://pets"), ("new", "data://new")] {
            let answer = client.ask(&request(6, "resources/read", &json!({ "uri": uri }))).await;
            assert_eq!(answer["error"].is_null(), resources.contains(&name), "{settings:?}: {answer}");
        }
    }
}

#[tokio::test]
async fn the_file_and_the_environment_switch_off_as_flags_do() {
    let pets = Pets::start().await;
    let specs = pets.specs();
    let config = pets.path().join("keyglass.yaml");
    fs::write(
        &config,
        "capabilities: [specs]\nread_only: false\nallow: ['group:pets']\ndeny: ['risk:exec', drop_pat]\nrisks: { list_pets: \
         grant, add_pat: read }\n",
    )
    .expect("written");
    let environment = [("KEYGLASS_DENY", "add_key,  risk:destructive".to_owned())];
    let config = config.display().to_string();
    let flags = ["--config", config.as_str(), "--deny", "list_birds"];
    let (keyglass, client) = Keyglass::over_http_in(&pets.url, &flags, &environment).await;
    let ask = async |method: &str, params: Value| -> Value {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let headers = [("accept", "application/json, text/event-stream"), ("mcp-protocol-version", "2026-07-28")];
        let name = params["name"].as_str().unwrap_or_default().to_owned();
        let mut request = client.post("/mcp", message, &headers).header("mcp-method", method);
        if !name.is_empty() {
            request = request.header("mcp-name", name);
        }
        let response = within(request.send()).await.expect("an answer");
        serde_json::from_str(&response.text().await.expect("text")).expect("JSON")
    };
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {}});
    let listed = ask("tools/list", json!({"_meta": meta})).await;
    assert_eq!(names(&listed, "tools"), ["list_pets", "add_pet"]);
    let hints = &listed["result"]["tools"][0]["annotations"];
    assert_eq!(hints["readOnlyHint"], false, "the operator's word: {hints}");
    for (tool, by) in [("teach_pet", "risk:exec"), ("add_key", "`--deny add_key`"), ("drop_pet", "risk:destructive")] {
        let refused = ask("tools/call", json!({"name": tool, "arguments": {"id": "1"}, "_meta": meta})).await;
        assert!(refused["error"]["message"].as_str().is_some_and(|told| told.contains(by)), "{refused}");
    }
    assert_eq!(pets.seen(), 0, "nothing reached the service");
    for told in [
        "`--deny` names the tool `list_birds`, which no loaded spec has",
        "`--deny` names the tool `drop_pat`, which no loaded spec has; did you mean `drop_pet`?",
        "`risks` names the tool `add_pat`, which no loaded spec has; did you mean `add_pet`?",
    ] {
        keyglass.logged(told, 1).await;
    }
    // Another spec: what is switched off stays so.
    let birds = SPEC.replace("pet", "bird").replace("Pet", "Bird").replace("data:", "birds:");
    fs::write(Path::new(&specs).join("more.yaml"), birds).expect("written");
    keyglass.logged("were read anew", 1).await;
    let listed = ask("tools/list", json!({"_meta": meta})).await;
    assert_eq!(names(&listed, "tools"), ["list_pets", "add_pet"], "of that group alone");
}

#[test]
fn the_command_line_calls_nothing_that_is_switched_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    for (arguments, told) in [
        (
            ["call", "create_api_key", "--deny", "risk:grant"],
            "`create_api_key` is switched off by the settings (`--deny risk:grant`)",
        ),
        (
            ["call", "delete_secret", "name=a", "--read-only"],
            "`delete_secret` is switched off by the settings (`--read-only`)",
        ),
        (["call", "get_secret", "name=a", "--deny=risk:exek"], "did you mean `exec`?"),
        (["call", "get_secret", "name=a", "--risk=get_secret"], "`get_secret` is no `TOOL=CLASS`"),
        (["call", "get_secret", "name=a", "--risk=get_secret=raed"], "`get_secret`: `raed` is no class of risk"),
    ] {
        let (code, _, said) = run(&data, &arguments);
        assert!(code == 64 && said.contains(told), "{arguments:?}: {code} {said}");
        assert!(!data.exists(), "a refused call opens nothing");
    }
    let (code, out, _) = run(&data, &["tools", "--reasons", "--group", "all", "--deny", "risk:read"]);
    assert!(code == 0 && out.starts_with("TOOL") && !out.contains(" read "), "{out}");
    let first = out.lines().nth(1).expect("a tool");
    assert!(first.contains("grant") && first.contains("makes a new credential: `apikeys`"), "{first}");
    let (code, out, _) = run(&data, &["tools", "--deny", "*"]);
    assert!(code == 0 && out.contains("the settings switch all of them off"), "{out}");
}

const DOTTED: &str = "\
naftiko: 1.0.0-alpha2
info: { label: Pets, description: Pets. }
capability:
  consumes:
    - type: http
      namespace: pets
      baseUri: https://pets.test
      resources:
        - path: /pets
          operations: [{ name: list, method: GET, description: List the pets. }]
        - path: /pets/{{id}}
          operations:
            - { name: drop, method: DELETE, description: Drop a pet., inputParameters: [{ name: id, in: path, type: string }] }
  exposes:
    - type: mcp
      namespace: pets
      tools:
        - { name: pets.list, description: List the pets., call: pets.list }
        - name: pets.drop
          description: Drop a pet.
          call: pets.drop
          inputParameters: [{ name: id, type: string, description: Which. }]
          with: { id: '{{id}}' }
";

#[test]
fn settings_may_call_a_tool_as_its_spec_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, spec) = (folder.path().join("data"), folder.path().join("pets.yaml"));
    fs::write(&spec, DOTTED).expect("written");
    let spec = spec.to_str().expect("UTF-8");
    let begun = |command: &str| -> String { format!("{command} --capabilities {spec}") };
    let said = |command: String| {
        let (code, out, said) = run(&data, &command.split(' ').collect::<Vec<_>>());
        assert!(!said.contains("which no loaded spec has") && !said.contains("nor a tool"), "{command}: {said}");
        (code, format!("{out}{said}"))
    };
    for (flags, list, drop) in [
        ("", true, true),
        ("--deny pets.drop", true, false),
        ("--deny pets_drop", true, false),
        ("--deny pets.*", false, false),
        ("--deny *.drop", true, false),
        ("--allow pets.list", true, false),
        ("--allow pets.* --deny pets_list", false, true),
        ("--risk pets.drop=exec --deny risk:exec", true, false),
    ] {
        let (code, out) = said(begun(&format!("tools {flags}")).replace("  ", " "));
        assert_eq!((code, out.contains("pets_list"), out.contains("pets_drop")), (0, list, drop), "{flags}: {out}");
    }
    let (code, out) = said(begun("call pets.drop id=1 --deny pets.drop"));
    assert!(code == 64 && out.contains("`pets_drop` is switched off by the settings (`--deny pets.drop`)"), "{out}");
    let denied = "the operator's policy denies calls of `pets_drop`";
    let config = folder.path().join("keyglass.yaml");
    fs::write(&config, "policy: { confirm: { pets.drop: deny } }\n").expect("written");
    let config = config.to_str().expect("UTF-8");
    for flags in [
        "--confirm pets.drop=deny".to_owned(),
        format!("--config {config}"),
        // Two rules for one tool.
        format!("--config {config} --confirm pets_drop=allow"),
    ] {
        let (code, out) = said(begun(&format!("call pets.drop id=1 {flags}")));
        assert!(code == 5 && out.contains(denied), "{flags}: {code} {out}");
    }
}
