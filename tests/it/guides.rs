//! What a person sees of the server besides its tools: groups, guides, and the specs and schemas themselves; in both
//! protocol eras and behind gates.

use std::{collections::BTreeSet, fs, path::Path};

use keyglass::{
    catalog::Catalog,
    clock::Clock,
    config::{OfferedOptions, Options},
    setup::{Purpose, setup},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    mcp::{initialize, initialized, modern, request},
    support::{CREDENTIAL, Client, Keyglass, Lined, TOKEN, within},
};

fn catalog(capabilities: &[&Path], tools: &[&str]) -> Catalog {
    let options = Options {
        capabilities: capabilities.iter().map(|path| path.to_path_buf()).collect(),
        group: tools.iter().map(|group| group.parse().expect("a group")).collect(),
        ..Options::default()
    };
    let settings = options.settings().expect("settings");
    setup(&settings, Purpose::Inspect, Clock::Fixed(0)).expect("set up").gateway.catalog
}

#[test]
fn shipped_tools_are_of_the_groups_that_settings_name() {
    let all = catalog(&[], &["all"]);
    let groups: BTreeSet<&str> = all.tools().map(|tool| &*tool.group).collect();
    assert_eq!(Vec::from_iter(groups), ["management", "runloop", "runtools", "runtype"]);
}

#[test]
fn models_are_told_how_secrets_are_given_and_nothing_of_what_is_switched_off() {
    let folder = tempfile::tempdir().expect("a folder");
    let told = |offered: OfferedOptions, secrets: &str| {
        let data_dir = Some(folder.path().to_owned());
        let options = Options { offered, secrets: Some(secrets.to_owned()), data_dir, ..Options::default() };
        let settings = options.settings().expect("settings");
        setup(&settings, Purpose::Show, Clock::Fixed(0)).expect("set up").gateway.instructions().to_owned()
    };
    let on_secrets =
        "A secret argument takes a handle, `secret://…`, from a result, or `secret://ask`: then a person is asked";
    let on_waiting = "A call that waits for a person is repeated with exactly the same arguments.";
    let all = told(OfferedOptions::default(), "handles");
    assert!(all.contains(on_secrets) && all.contains(on_waiting), "{all}");
    assert!(all.contains("create_secret, update_secret and delete_secret change secrets"), "{all}");
    let masked = told(OfferedOptions::default(), "masked");
    assert!(!masked.contains("secret://") && masked.contains(on_waiting), "{masked}");
    let reading = told(OfferedOptions { read_only: true, ..OfferedOptions::default() }, "handles");
    assert!(!reading.contains("secret://") && !reading.contains(on_waiting), "{reading}");
    for gone in ["create_", "update_", "delete_"] {
        assert!(!reading.contains(gone), "{reading}");
    }
    assert!(reading.contains("list_secrets and get_secret show what there is."), "{reading}");
}

#[test]
fn what_a_server_offers_is_of_its_namespace_and_the_rest_of_its_service() {
    let folder = tempfile::tempdir().expect("a folder");
    let operation = |name: &str| format!("{{ path: /{name}, operations: [{{ name: {name}, method: GET }}] }}");
    let text = format!(
        "naftiko: 1.0.0-alpha2\ncapability:\n  consumes:\n    - {{ type: http, namespace: pets, baseUri: \
         'https://p.test', resources: [{}, {}] }}\n    - {{ type: http, namespace: cars, baseUri: 'https://c.test', \
         resources: [{}] }}\n  exposes:\n    - type: mcp\n      namespace: shop\n      tools: [{{ name: one, call: \
         pets.one }}]\n      resources: [{{ name: r, uri: 'shop://r', call: pets.one }}]\n      prompts: [{{ name: p, \
         description: P., template: [{{ role: user, content: Hi. }}] }}]\n    - {{ type: mcp, tools: [{{ name: nameless, \
         description: N., outputParameters: [{{ name: a, type: string, value: b }}] }}] }}\n",
        operation("one"),
        operation("two"),
        operation("three"),
    );
    fs::write(folder.path().join("spec.yaml"), text).expect("written");
    let catalog = catalog(&[folder.path()], &[]);
    let groups: Vec<(&str, &str)> = catalog.tools().map(|tool| (tool.name.as_str(), &*tool.group)).collect();
    assert_eq!(groups, [("one", "shop"), ("nameless", "spec"), ("two", "pets"), ("three", "cars")]);
    assert!(catalog.resources().iter().all(|resource| &*resource.group == "shop"));
    assert_eq!(catalog.prompts().map(|prompt| &*prompt.group).collect::<Vec<_>>(), ["shop"]);
}

/// A literal credential of a spec, which nobody is to see.
const CANARY: &str = "canary-literal-5f0a";

/// Two specs with a schema, one of them behind a gate.
struct Specs(TempDir);

impl Specs {
    fn new() -> Self {
        let this = Self(tempfile::tempdir().expect("a folder"));
        fs::create_dir_all(this.path().join("more stuff")).expect("made");
        this.write(
            "open.yaml",
            &format!(
                "naftiko: 1.0.0-alpha2\ninfo: {{ label: Pet shop, description: Pets and their owners. }}\ncapability:\n  \
                 consumes:\n    - type: http\n      namespace: pets\n      baseUri: https://u:{CANARY}@pets.test/v1\n      \
                 authentication: {{ type: apikey, key: X-Key, value: {CANARY} }} # was {CANARY}\n      resources:\n        - \
                 {{ path: /pets, operations: [{{ name: listPets, method: GET, description: List the pets. }}] }}\n        - \
                 {{ path: '/pets/{{id}}', operations: [{{ name: dropPet, method: DELETE, description: Remove a pet., \
                 inputParameters: [{{ name: id, in: path, schema: 'pet.json#/$defs/Id' }}] }}] }}\n"
            ),
        );
        this.write("pet.json", r#"{"$defs": {"Id": {"type": "string"}}}"#);
        this.write(
            "more stuff/gated.yaml",
            "naftiko: 1.0.0-alpha2\ninfo: { label: Vault, description: A vault. }\nbinds: [{ namespace: env, keys: { \
             TEST_TOKEN: TEST_TOKEN } }]\ncapability:\n  exposes:\n    - type: mcp\n      namespace: vault\n      \
             description: Opens the vault.\n      authentication: { type: bearer, token: '{{TEST_TOKEN}}' }\n      tools: \
             [{ name: open_vault, description: Open it., outputParameters: [{ name: a, type: string, value: b }] }]\n",
        );
        this
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, path: &str, text: &str) {
        fs::write(self.path().join(path), text).expect("written");
    }

    fn arguments(&self) -> [&str; 2] {
        ["--capabilities", self.path().to_str().expect("text")]
    }
}

const OPEN: &str = "keyglass://specs/open.yaml";
const GATED: &str = "keyglass://specs/more%20stuff%2Fgated.yaml";
const SCHEMA: &str = "keyglass://schemas/pet.json";

async fn post(client: &Client, method: &str, name: &str, params: &Value, more: &[(&str, &str)]) -> Value {
    let mut headers = vec![("mcp-protocol-version", "2026-07-28"), ("mcp-method", method)];
    headers.extend((!name.is_empty()).then_some(("mcp-name", name)));
    headers.extend(more);
    let response = within(client.post("/mcp", modern(1, method, params), &headers).send()).await.expect("an answer");
    let text = response.text().await.expect("text");
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"))
}

fn all<'a>(answer: &'a Value, list: &str, member: &str) -> Vec<&'a str> {
    let entries = answer["result"][list].as_array().unwrap_or_else(|| panic!("no list: {answer}"));
    entries.iter().map(|entry| entry[member].as_str().expect("text")).collect()
}

async fn over_pipes(
    specs: &Specs,
) -> (Keyglass, Lined<tokio::process::ChildStdout, tokio::process::ChildStdin>, Value) {
    let (keyglass, mut client) = Keyglass::over_pipes_for("embedded", &specs.arguments());
    let hello = client.ask(&initialize(1)).await;
    client.send(&initialized()).await;
    (keyglass, client, hello)
}

#[tokio::test]
async fn specs_and_schemas_are_read_without_their_secrets() {
    let specs = Specs::new();
    let (keyglass, mut client, _) = over_pipes(&specs).await;
    let list = client.ask(&request(2, "resources/list", &json!({}))).await;
    assert_eq!(all(&list, "resources", "uri"), [GATED, OPEN, SCHEMA]);
    assert_eq!(list["result"]["resources"][1]["title"], "Pet shop (capability spec)");
    assert_eq!(list["result"]["resources"][1]["description"], "Pets and their owners.");
    let templates = client.ask(&request(3, "resources/templates/list", &json!({}))).await;
    let expected = ["keyglass://specs/{name}", "keyglass://schemas/{name}"];
    assert_eq!(all(&templates, "resourceTemplates", "uriTemplate"), expected);
    for (uri, kind, part) in [
        (OPEN, "application/yaml", "authentication: { type: apikey, key: X-Key, value: '[masked]' } # was [masked]"),
        (OPEN, "application/yaml", "baseUri: 'https://pets.test/v1'"),
        (GATED, "application/yaml", "token: '{{TEST_TOKEN}}'"),
        ("keyglass://specs/more stuff/gated.yaml", "application/yaml", "open_vault"),
        (SCHEMA, "application/schema+json", r#"{"$defs""#),
    ] {
        let answer = client.ask(&request(4, "resources/read", &json!({ "uri": uri }))).await;
        let content = &answer["result"]["contents"][0];
        assert_eq!((&content["uri"], &content["mimeType"]), (&json!(uri), &json!(kind)), "{answer}");
        let text = content["text"].as_str().expect("text");
        assert!(text.contains(part), "{uri}: {text}");
        assert!(!text.contains(CANARY) && !text.contains(CREDENTIAL) && !text.contains(TOKEN), "{text}");
    }
    // What the program knows as a secret is masked wherever it stands, in comments and schemas as well.
    let pet = format!(r#"{{"$comment": "{CREDENTIAL}", "$defs": {{"Id": {{"type": "string"}}}}}}"#);
    let open = fs::read_to_string(specs.path().join("open.yaml")).expect("read");
    for (file, uri, text) in
        [("pet.json", SCHEMA, pet.as_str()), ("open.yaml", OPEN, &format!("{open}# {CREDENTIAL} {CANARY}\n"))]
    {
        specs.write(file, text);
        let answer = client.ask(&request(5, "resources/read", &json!({ "uri": uri }))).await;
        let text = answer["result"]["contents"][0]["text"].as_str().unwrap_or_else(|| panic!("no text: {answer}"));
        assert!(!text.contains(CANARY), "{text}");
    }
    specs.write("open.yaml", "a: [");
    let broken = client.ask(&request(6, "resources/read", &json!({ "uri": OPEN }))).await;
    assert!(broken["error"]["message"].as_str().expect("a message").contains("not well-formed"), "{broken}");
    for uri in ["keyglass://specs/none.yaml", "keyglass://specs/../open.yaml", "keyglass://schemas/open.yaml"] {
        let unknown = client.ask(&request(7, "resources/read", &json!({ "uri": uri }))).await;
        assert_eq!((&unknown["error"]["code"], &unknown["error"]["data"]["uri"]), (&json!(-32002), &json!(uri)));
    }
    assert!(!keyglass.log().contains(CANARY));
}

#[tokio::test]
async fn a_gated_spec_and_its_guide_are_for_those_who_are_let_in() {
    let specs = Specs::new();
    let (_keyglass, client) = Keyglass::over_http_for("embedded", &specs.arguments()).await;
    let bearer = format!("Bearer {TOKEN}");
    for (headers, is_in) in [(vec![], false), (vec![("authorization", bearer.as_str())], true)] {
        let list = post(&client, "resources/list", "", &json!({}), &headers).await;
        assert_eq!(all(&list, "resources", "uri").contains(&GATED), is_in, "{list}");
        assert!(all(&list, "resources", "uri").contains(&OPEN), "{list}");
        let answer = post(&client, "resources/read", GATED, &json!({ "uri": GATED }), &headers).await;
        assert_eq!(answer["result"].is_object(), is_in, "{answer}");
        let list = post(&client, "prompts/list", "", &json!({}), &headers).await;
        let expected: &[&str] = if is_in { &["guide_vault", "guide_pets"] } else { &["guide_pets"] };
        assert_eq!(all(&list, "prompts", "name"), expected, "{list}");
        let guide = post(&client, "prompts/get", "guide_vault", &json!({"name": "guide_vault"}), &headers).await;
        assert_eq!(guide["result"].is_object(), is_in, "{guide}");
        assert_eq!(guide.to_string().contains("open_vault"), is_in, "{guide}");
    }
    // A gate that is new in a file is not known yet: nobody who came without one reads it.
    let open = fs::read_to_string(specs.path().join("open.yaml")).expect("read");
    let gate = "  exposes: [{ type: mcp, namespace: p, authentication: { type: bearer, token: '{{T}}' } }]\n";
    specs.write("open.yaml", &format!("{open}{gate}"));
    let answer = post(&client, "resources/read", OPEN, &json!({ "uri": OPEN }), &[]).await;
    assert!(answer.get("result").is_none(), "{answer}");
}

#[tokio::test]
async fn a_guide_says_how_to_use_a_group() {
    let specs = Specs::new();
    let (_keyglass, mut client, _) = over_pipes(&specs).await;
    let guide = client.ask(&request(2, "prompts/get", &json!({"name": "guide_pets"}))).await;
    let [message] = guide["result"]["messages"].as_array().expect("messages").as_slice() else { panic!("{guide}") };
    assert_eq!(message["role"], "user");
    let text = message["content"]["text"].as_str().expect("text");
    for part in [
        "- `list_pets` (read): List the pets.\n- `drop_pet` (destructive): Remove a pet.",
        "Begin with `list_pets`",
        "Before you call `drop_pet`, tell me what it takes away",
        "If a call fails, read the whole message",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let unknown = client.ask(&request(3, "prompts/get", &json!({"name": "guide_pet"}))).await;
    assert!(unknown["error"]["message"].as_str().expect("a message").contains("`guide_pets`"), "{unknown}");
}

#[test]
fn every_shipped_guide_is_short() {
    let options = Options { group: vec!["all".to_owned()], ..Options::default() };
    let gateway =
        setup(&options.settings().expect("settings"), Purpose::Inspect, Clock::Fixed(0)).expect("set up").gateway;
    let (catalog, everything) = (&gateway.catalog, keyglass::access::Access::Everything);
    let guides: Vec<_> = gateway.guides.open_to(catalog, &everything).collect();
    assert_eq!(
        guides.iter().map(|guide| guide.name.as_str()).collect::<Vec<_>>(),
        ["guide_runloop", "guide_runtools", "guide_runtype", "guide_management"]
    );
    let mut all = String::new();
    for guide in guides {
        let text = guide.text(catalog, &everything);
        assert!((400..=1_600).contains(&text.chars().count()), "{}: {text}", text.chars().count());
        all.push_str(&format!("## {}: {}\n{}\n\n{text}\n\n", guide.name, guide.title, guide.description));
    }
    insta::assert_snapshot!("shipped_guides", all);
}

#[test]
fn a_guide_to_very_many_tools_is_short_too_and_has_a_name_of_its_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let operations: Vec<String> =
        (0..200).map(|number| format!("{{ name: writeThing{number}, method: PUT, description: Write it. }}")).collect();
    let text = format!(
        "naftiko: 1.0.0-alpha2\ncapability:\n  consumes:\n    - {{ type: http, namespace: s, baseUri: 'https://s.test', \
         resources: [{{ path: /s, operations: [{}] }}] }}\n  exposes:\n    - {{ type: mcp, namespace: x, prompts: [{{ name: \
         guide_s, description: P., template: [{{ role: user, content: Hi. }}] }}] }}\n",
        operations.join(", ")
    );
    fs::write(folder.path().join("spec.yaml"), text).expect("written");
    let options = Options { capabilities: vec![folder.path().to_owned()], ..Options::default() };
    let gateway =
        setup(&options.settings().expect("settings"), Purpose::Inspect, Clock::Fixed(0)).expect("set up").gateway;
    let everything = keyglass::access::Access::Everything;
    let guide = gateway.guides.find("guide_s_2", &gateway.catalog, &everything).expect("a guide");
    let text = guide.text(&gateway.catalog, &everything);
    assert!(text.chars().count() <= 1_600 && text.contains("more that `tools/list` has"), "{text}");
}

#[tokio::test]
async fn the_log_counts_what_the_lists_hold() {
    let spec = ["--capabilities", "capabilities/examples/conformance.yaml"];
    let (keyglass, mut client) = Keyglass::over_pipes_for("http://127.0.0.1:9", &spec);
    client.ask(&initialize(1)).await;
    client.send(&initialized()).await;
    keyglass.logged(" guides_among_prompts=", 1).await;
    let log = keyglass.log();
    let line = log.lines().find(|line| line.contains(" guides_among_prompts=")).expect("a line");
    for (id, method, entries, logged) in [
        (2, "tools/list", "tools", "tools"),
        (3, "resources/list", "resources", "resources"),
        (4, "resources/templates/list", "resourceTemplates", "resource_templates"),
        (5, "prompts/list", "prompts", "prompts"),
    ] {
        let page = client.ask(&request(id, method, &json!({}))).await;
        assert!(page["result"].get("nextCursor").is_none());
        let listed = page["result"][entries].as_array().expect("a list");
        assert!(line.contains(&format!(" {logged}={} ", listed.len())), "{logged}: {} in {line}", listed.len());
    }
    for own in [" specs_among_resources=1 ", " schemas_among_resources=0 ", " guides_among_prompts=1"] {
        assert!(line.contains(own), "{own} in {line}");
    }
}
