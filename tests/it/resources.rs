//! Resources and prompts as clients get them: over stdio and HTTP, in both protocol eras, behind gates, and when their
//! files change.

use std::{fmt::Write as _, fs, path::Path};

use axum::{
    Router,
    extract::{Path as Segment, RawQuery},
    http::HeaderMap,
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::{StatusCode, header};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::{
    mcp::{initialize, initialized, modern, request, session},
    support::{CREDENTIAL, Client, Events, Keyglass, Lined, TOKEN, run, within},
};

/// The largest answer that the servers of these tests read, in bytes.
const MAX_ANSWER: &str = "1024";

fn answer(value: Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

/// A service that tells what it was asked, and repeats its credential.
async fn service() -> String {
    async fn pet(Segment(id): Segment<String>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
        let authorization =
            headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        match id.as_str() {
            "missing" => (StatusCode::NOT_FOUND, r#"{"message": "no such pet"}"#).into_response(),
            "down" => StatusCode::BAD_GATEWAY.into_response(),
            "large" => answer(json!({"id": "x".repeat(2_000)})),
            "held" => std::future::pending().await,
            id => answer(json!({"id": id, "query": query, "said": authorization})),
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let photo = || async { ([(header::CONTENT_TYPE, "image/png")], [0x89_u8, 0x50, 0xff].to_vec()) };
    let router = Router::new()
        .route("/pets", get(|| async { answer(json!([{"id": "1"}, {"id": "2"}])) }))
        .route("/pets/{id}", get(pet))
        .route("/pets/{id}/photo", get(photo));
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

const SPEC: &str = "\
naftiko: 1.0.0-alpha2
info: { label: Pets, description: Pets. }
binds: [{ namespace: env, keys: { TEST_TOKEN: TEST_TOKEN } }]
capability:
  consumes:
    - type: http
      namespace: pets
      baseUri: https://pets.test
      authentication: { type: bearer, token: '{{TEST_TOKEN}}' }
      resources:
        - path: /pets
          operations: [{ name: listPets, method: GET, description: List pets. }]
        - path: /pets/{id}
          operations:
            - name: getPet
              method: GET
              description: Read a pet.
              inputParameters:
                - { name: id, in: path, type: string, description: The pet. }
                - { name: fields, in: query, type: string, description: Which fields. }
        - path: /pets/{id}/photo
          operations:
            - { name: getPhoto, method: GET, description: A photo., outputRawFormat: binary, inputParameters: [{ name: id, in: path }] }
  exposes:
    - type: mcp
      namespace: pets-mcp
      resources:
        - { name: pets, uri: 'data://pets', description: All pets., call: pets.listPets }
        - { name: pet, uri: 'data://pets/{key}', description: A pet., call: pets.getPet, with: { id: pets-mcp.key, fields: 'id,{{key}}' } }
        - { name: photo, uri: 'data://pets/{id}/photo.png', description: A photo., mimeType: image/png, call: pets.getPhoto }
        - { name: hours, uri: 'data://hours/{day}', description: When., mimeType: text/plain, outputParameters: [{ type: string, value: 'Open on {{day}}.' }] }
        - { name: docs, uri: 'docs://handbook', description: The handbook., location: 'file:///./docs' }
      prompts:
        - name: greet
          description: Greet a pet.
          arguments: [{ name: pet, description: Which. }, { name: tone, description: How., required: false }]
          template:
            - { role: user, content: 'Greet {{pet}}{{tone}}. {{unknown}}' }
            - { role: assistant, content: 'Hello, {{pet}}.' }
        - { name: rules, description: The rules., location: 'file:///./rules.md' }
";

const GATED: &str = "\
naftiko: 1.0.0-alpha2
info: { label: Vault, description: A vault. }
binds: [{ namespace: env, keys: { TEST_TOKEN: TEST_TOKEN } }]
capability:
  exposes:
    - type: mcp
      namespace: vault
      authentication: { type: bearer, token: '{{TEST_TOKEN}}' }
      resources:
        - { name: plan, uri: 'vault://plan', description: The plan., outputParameters: [{ name: plan, type: string, value: gated }] }
        - { name: plans, uri: 'vault://plans/{id}', description: Plans., outputParameters: [{ name: id, type: string, value: '{{id}}' }] }
      prompts:
        - { name: open, description: Open it., template: [{ role: user, content: Open it. }] }
";

/// A folder with the spec, a handbook and the file of a prompt.
struct Specs(TempDir);

impl Specs {
    fn new() -> Self {
        let this = Self(tempfile::tempdir().expect("a folder"));
        fs::create_dir_all(this.path().join("docs/deeper")).expect("made");
        for (path, bytes) in [
            ("spec.yaml", SPEC.as_bytes()),
            ("docs/guide.md", b"# Guide \xc3\xa9"),
            ("docs/deeper/dot.png", b"\x89PNG\xff"),
            ("docs/large.txt", "x".repeat(2_000).as_bytes()),
            ("docs/.env", b"canary"),
            ("rules.md", b"Be kind to {{pet}}."),
        ] {
            this.write(path, bytes);
        }
        this
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path().join(path), bytes).expect("written");
    }

    fn arguments(&self) -> [&str; 4] {
        ["--capabilities", self.path().to_str().expect("text"), "--max-answer-bytes", MAX_ANSWER]
    }
}

fn all<'a>(answer: &'a Value, list: &str, member: &str) -> Vec<&'a str> {
    let entries = answer["result"][list].as_array().unwrap_or_else(|| panic!("no list: {answer}"));
    entries.iter().map(|entry| entry[member].as_str().expect("text")).collect()
}

/// What was read, as its media type and its text or bytes.
fn content(answer: &Value) -> (&str, &str) {
    let [content] = answer["result"]["contents"].as_array().unwrap_or_else(|| panic!("nothing: {answer}")).as_slice()
    else {
        panic!("one content: {answer}")
    };
    let text = content["text"].as_str().or_else(|| content["blob"].as_str()).expect("a content");
    (content["mimeType"].as_str().expect("a media type"), text)
}

fn read(id: u64, uri: &str) -> Value {
    request(id, "resources/read", &json!({ "uri": uri }))
}

fn prompt(id: u64, name: &str, arguments: &Value) -> Value {
    request(id, "prompts/get", &json!({ "name": name, "arguments": arguments }))
}

/// Starts a server on the specs over pipes, past the handshake.
async fn over_pipes(
    specs: &Specs,
    url: &str,
) -> (Keyglass, Lined<tokio::process::ChildStdout, tokio::process::ChildStdin>, Value) {
    let (keyglass, mut client) = Keyglass::over_pipes_for(url, &specs.arguments());
    let hello = client.ask(&initialize(1)).await;
    client.send(&initialized()).await;
    (keyglass, client, hello)
}

#[tokio::test]
async fn resources_are_listed_and_read() {
    let (specs, url) = (Specs::new(), service().await);
    let (keyglass, mut client, hello) = over_pipes(&specs, &url).await;
    let announced = &hello["result"]["capabilities"];
    assert_eq!(announced["resources"], json!({"listChanged": true, "subscribe": true}), "{hello}");
    assert_eq!(announced["prompts"], json!({"listChanged": true}), "{hello}");
    let list = client.ask(&request(2, "resources/list", &json!({}))).await;
    let expected =
        ["data://pets", "docs://handbook/deeper/dot.png", "docs://handbook/guide.md", "docs://handbook/large.txt"];
    let expected = expected.into_iter().chain(["keyglass://specs/spec.yaml"]).collect::<Vec<_>>();
    assert_eq!(all(&list, "resources", "uri"), expected);
    let templates = client.ask(&request(3, "resources/templates/list", &json!({}))).await;
    assert_eq!(
        all(&templates, "resourceTemplates", "uriTemplate"),
        ["data://pets/{key}", "data://pets/{id}/photo.png", "data://hours/{day}", "keyglass://specs/{name}"]
    );
    for newer in ["resultType", "ttlMs", "cacheScope", "_meta"] {
        assert!(list["result"].get(newer).is_none(), "{newer}");
    }

    let pets = client.ask(&read(4, "data://pets")).await;
    assert_eq!(content(&pets), ("application/json", r#"[{"id":"1"},{"id":"2"}]"#), "a list stays one");
    assert_eq!(pets["result"]["contents"][0]["uri"], "data://pets");
    let pet = client.ask(&read(5, "data://pets/a%20b%2Fc")).await;
    let (kind, text) = content(&pet);
    let pet: Value = serde_json::from_str(text).expect("JSON");
    assert_eq!(
        (kind, &pet["id"], &pet["query"]),
        ("application/json", &json!("a b/c"), &json!("fields=id%2Ca%20b%2Fc"))
    );
    assert!(!text.contains(CREDENTIAL) && pet["said"].as_str().expect("text").starts_with("Bearer "), "{text}");
    let photo = client.ask(&read(6, "data://pets/7/photo.png")).await;
    assert_eq!(content(&photo), ("image/png", "iVD/"));
    assert_eq!(content(&client.ask(&read(7, "data://hours/Monday")).await), ("text/plain", "Open on Monday."));
    assert_eq!(content(&client.ask(&read(7, "docs://handbook/guide.md")).await), ("text/markdown", "# Guide é"));
    let dot = client.ask(&read(8, "docs://handbook/deeper/dot.png")).await;
    assert_eq!(content(&dot), ("image/png", "iVBOR/8="));
    assert!(dot["result"]["contents"][0].get("text").is_none(), "{dot}");
    assert!(!keyglass.log().contains(CREDENTIAL));
}

#[tokio::test]
async fn what_cannot_be_read_says_why() {
    let (specs, url) = (Specs::new(), service().await);
    let (_keyglass, mut client, _) = over_pipes(&specs, &url).await;
    for (uri, code, part) in [
        ("data://nothing", -32002, "no resource has this URI"),
        ("data://pets/", -32002, "no resource has this URI"),
        ("data://pets/a/b", -32002, "no resource has this URI"),
        ("data://pets/{key}", -32002, "the backend answered 404"),
        ("docs://handbook", -32002, "no resource has this URI"),
        ("docs://handbook/.env", -32002, "no resource has this URI"),
        ("docs://handbook/../rules.md", -32002, "no resource has this URI"),
        ("docs://handbook/%2e%2e/rules.md", -32002, "no resource has this URI"),
        ("docs://handbook/deeper", -32002, "no resource has this URI"),
        ("docs://handbook//guide.md", -32002, "no resource has this URI"),
        ("file:///etc/hostname", -32002, "no resource has this URI"),
        (
            "data://pets/missing",
            -32002,
            "the backend answered 404 Not Found; in its own words: \"no such pet\" (either nothing has this name",
        ),
        ("data://pets/down", -32603, "the backend answered 502 Bad Gateway (the fault is on the backend's side"),
        ("data://pets/large", -32603, "the answer is larger than 1024 bytes"),
        ("data://pets/%2e%2e", -32602, "invalid arguments, nothing was sent"),
        ("docs://handbook/large.txt", -32603, "it is larger than 1024 bytes"),
    ] {
        let answer = client.ask(&read(2, uri)).await;
        let error = &answer["error"];
        if uri == "data://pets/{key}" {
            // A client that forgot to fill it in asks for a pet of this name.
            assert!(answer["result"].is_object(), "{answer}");
            continue;
        }
        assert_eq!(error["code"], code, "{uri}: {answer}");
        assert!(error["message"].as_str().expect("a message").contains(part), "{uri}: {answer}");
        assert_eq!(error["data"]["uri"], uri, "{answer}");
        assert!(!error["message"].as_str().expect("a message").contains('\n'), "{answer}");
    }
    let down = client.ask(&read(2, "data://pets/down")).await;
    assert_eq!((&down["error"]["data"]["kind"], &down["error"]["data"]["status"]), (&json!("status"), &json!(502)));
    assert_eq!(down["error"]["data"]["retryable"], true, "{down}");
    fs::remove_file(specs.path().join("docs/guide.md")).expect("removed");
    let gone = client.ask(&read(3, "docs://handbook/guide.md")).await;
    assert_eq!(gone["error"]["code"], -32002, "{gone}");
    let unreadable = client.ask(&request(4, "resources/read", &json!({"uri": 7}))).await;
    assert_eq!(unreadable["error"]["code"], -32602, "{unreadable}");
    assert!(unreadable["error"]["message"].as_str().expect("a message").contains("a string `uri`"), "{unreadable}");
}

const TYPED: &str = "\
naftiko: 1.0.0-alpha2
info: { label: Pets, description: Pets. }
capability:
  consumes:
    - type: http
      namespace: pets
      baseUri: https://pets.test
      resources:
        - path: /pets/{id}
          operations:
            - name: getPet
              method: GET
              description: Read a pet.
              inputParameters:
                - { name: id, in: path, type: integer, minimum: 1, description: The number of the pet. }
                - { name: kind, in: query, type: string, enum: [cat, dog], description: Of which kind. }
                - { name: code, in: query, type: string, pattern: '^[a-z]+$', description: A code. }
                - { name: whole, in: query, type: boolean, description: Whether all of it. }
                - { name: tags, in: query, type: array, description: Which tags. }
  aggregates:
    - label: Shop
      namespace: shop
      functions:
        - name: owner
          description: The owner of a pet.
          inputParameters: [{ name: number, type: integer, description: The pet. }]
          outputParameters: [{ name: owner, type: string, value: 'Owner of {{number}}' }]
  exposes:
    - type: mcp
      namespace: pets-mcp
      resources:
        - { name: pet, uri: 'data://pets/{id}', description: A pet., call: pets.getPet }
        - { name: kind, uri: 'data://kinds/{is}/{of}', description: A pet., call: pets.getPet, with: { id: pets-mcp.of, kind: '{{is}}' } }
        - { name: code, uri: 'data://codes/{code}/{id}', description: A pet., call: pets.getPet }
        - { name: whole, uri: 'data://whole/{whole}/{id}', description: A pet., call: pets.getPet }
        - { name: tags, uri: 'data://tags/{tags}/{id}', description: A pet., call: pets.getPet }
        - { name: owner, uri: 'data://owners/{pet}', description: Whose., ref: shop.owner, with: { number: '{{pet}}' } }
";

#[tokio::test]
async fn a_placeholder_has_the_type_of_what_it_feeds() {
    let (specs, url) = (Specs::new(), service().await);
    specs.write("spec.yaml", TYPED);
    let (_keyglass, mut client, _) = over_pipes(&specs, &url).await;
    for (uri, problem) in [
        ("data://pets/x", "`id` must be a whole number (The number of the pet), got the string \"x\""),
        ("data://pets/0", "`id` must be at least 1, got the number 0"),
        ("data://kinds/bird/1", "`is` must be one of `cat`, `dog`; got the string \"bird\""),
        ("data://kinds/cat/x", "`of` must be a whole number"),
        ("data://codes/A1/1", "`code` must match the pattern `^[a-z]+$`, got the string \"A1\""),
        ("data://whole/maybe/1", "`whole` must be a boolean (Whether all of it), got the string \"maybe\""),
        ("data://owners/x", "`pet` must be a whole number (The pet), got the string \"x\""),
    ] {
        let answer = client.ask(&read(2, uri)).await;
        assert_eq!(answer["error"]["code"], -32602, "{uri}: {answer}");
        let message = answer["error"]["message"].as_str().expect("a message");
        assert!(message.contains(problem), "{uri}: {message}");
    }
    for (uri, query) in [
        ("data://pets/7", Value::Null),
        ("data://kinds/dog/7", json!("kind=dog")),
        ("data://codes/abc/7", json!("code=abc")),
        ("data://whole/true/7", json!("whole=true")),
        ("data://tags/a/7", json!("tags=a")),
    ] {
        let answer = client.ask(&read(3, uri)).await;
        let pet: Value = serde_json::from_str(content(&answer).1).expect("JSON");
        assert_eq!((&pet["id"], &pet["query"]), (&json!("7"), &query), "{uri}: {answer}");
    }
}

#[tokio::test]
async fn a_read_that_is_given_up_ends() {
    let (specs, url) = (Specs::new(), service().await);
    let (keyglass, mut client, _) = over_pipes(&specs, &url).await;
    client.send(&read(2, "data://pets/held")).await;
    client.send(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 2}})).await;
    keyglass.logged("gave a call up", 1).await;
}

#[tokio::test]
async fn prompts_are_listed_and_filled_in() {
    let (specs, url) = (Specs::new(), service().await);
    let (_keyglass, mut client, _) = over_pipes(&specs, &url).await;
    let list = client.ask(&request(2, "prompts/list", &json!({}))).await;
    assert_eq!(all(&list, "prompts", "name"), ["greet", "rules"]);
    let arguments = &list["result"]["prompts"][0]["arguments"];
    assert_eq!((&arguments[0]["required"], &arguments[1]["required"]), (&json!(true), &json!(false)));

    let greeting = client.ask(&prompt(3, "greet", &json!({"pet": "{{tone}}", "tone": ", please"}))).await;
    let expected = json!([
        {"role": "user", "content": {"type": "text", "text": "Greet {{tone}}, please. {{unknown}}"}},
        {"role": "assistant", "content": {"type": "text", "text": "Hello, {{tone}}."}},
    ]);
    assert_eq!(greeting["result"]["messages"], expected, "{greeting}");
    assert_eq!(greeting["result"]["description"], "Greet a pet.");
    let rules = client.ask(&request(4, "prompts/get", &json!({"name": "rules"}))).await;
    let said = json!([{"role": "user", "content": {"type": "text", "text": "Be kind to {{pet}}."}}]);
    assert_eq!(rules["result"]["messages"], said, "{rules}");
    for (name, arguments, part) in [
        ("greet", json!({}), "`pet` is missing"),
        ("greet", json!({"tone": "x"}), "`pet` is missing"),
        ("greet", json!({"pet": "x", "colour": "red"}), "`colour` is no argument"),
        ("greet", json!({"pet": {"name": "x"}}), "`pet` must be text"),
        ("rules", json!({"pet": "x"}), "takes no argument"),
        ("gret", json!({}), "did you mean `greet`?"),
        ("nothing like it", json!({}), "unknown prompt"),
    ] {
        let answer = client.ask(&prompt(5, name, &arguments)).await;
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
        assert!(answer["error"]["message"].as_str().expect("a message").contains(part), "{part}: {answer}");
    }
}

async fn post(client: &Client, method: &str, name: &str, params: &Value, more: &[(&str, &str)]) -> Value {
    let mut headers = vec![("mcp-protocol-version", "2026-07-28"), ("mcp-method", method)];
    headers.extend((!name.is_empty()).then_some(("mcp-name", name)));
    headers.extend(more);
    let response = within(client.post("/mcp", modern(1, method, params), &headers).send()).await.expect("an answer");
    let text = response.text().await.expect("text");
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"))
}

#[tokio::test]
async fn the_newer_era_is_spoken_over_http() {
    let (specs, url) = (Specs::new(), service().await);
    let (_keyglass, client) = Keyglass::over_http_for(&url, &specs.arguments()).await;
    let discovered = post(&client, "server/discover", "", &json!({}), &[]).await;
    assert!(discovered["result"]["capabilities"]["resources"].is_object(), "{discovered}");
    for (method, list) in [
        ("resources/list", "resources"),
        ("resources/templates/list", "resourceTemplates"),
        ("prompts/list", "prompts"),
    ] {
        let answer = post(&client, method, "", &json!({}), &[]).await;
        let result = &answer["result"];
        assert!(result[list].as_array().is_some_and(|list| list.len() >= 2), "{answer}");
        assert_eq!((&result["ttlMs"], &result["cacheScope"]), (&json!(60_000), &json!("private")), "{answer}");
        assert_eq!(result["resultType"], "complete");
        assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "keyglass");
        let wrong = post(&client, method, "", &json!({"cursor": "page-1"}), &[]).await;
        assert_eq!(wrong["error"]["code"], -32602, "{wrong}");
    }
    let uri = "data://pets/7";
    let answer = post(&client, "resources/read", uri, &json!({ "uri": uri }), &[]).await;
    assert!(content(&answer).1.contains(r#""id":"7""#), "{answer}");
    // What a service answers may be another answer the next moment.
    assert_eq!((&answer["result"]["ttlMs"], &answer["result"]["cacheScope"]), (&json!(0), &json!("private")));
    let unknown = post(&client, "resources/read", "data://x", &json!({"uri": "data://x"}), &[]).await;
    assert_eq!((&unknown["error"]["code"], &unknown["error"]["data"]["uri"]), (&json!(-32602), &json!("data://x")));
    let greeting =
        post(&client, "prompts/get", "greet", &json!({"name": "greet", "arguments": {"pet": "Rex"}}), &[]).await;
    assert_eq!(greeting["result"]["resultType"], "complete", "{greeting}");
    assert!(greeting["result"].get("ttlMs").is_none(), "{greeting}");

    // And the older one beside it.
    let session = session(&client).await;
    let asked = client.post("/mcp", read(2, "data://nothing"), &[("mcp-session-id", &session)]).send();
    let answer = Events::of(within(asked).await.expect("an answer")).message().await;
    assert_eq!(answer["error"]["code"], -32002, "{answer}");
}

#[tokio::test]
async fn long_lists_come_in_pages() {
    let specs = Specs::new();
    let mut spec = "naftiko: 1.0.0-alpha2\ncapability:\n  exposes:\n    - type: mcp\n      prompts:\n".to_owned();
    for number in 0..130 {
        writeln!(spec, "        - {{name: p{number}, description: P., template: [{{role: user, content: P.}}]}}")
            .expect("text");
        specs.write(&format!("docs/file-{number:03}.txt"), "x");
    }
    specs.write("more.yaml", spec);
    let (_keyglass, mut client, _) = over_pipes(&specs, "embedded").await;
    for (method, list, total) in [("resources/list", "resources", 136), ("prompts/list", "prompts", 132)] {
        let first = client.ask(&request(2, method, &json!({}))).await;
        let cursor = first["result"]["nextCursor"].as_str().expect("a cursor").to_owned();
        let second = client.ask(&request(3, method, &json!({ "cursor": cursor }))).await;
        assert!(second["result"].get("nextCursor").is_none(), "{second}");
        let mut names = all(&first, list, "name");
        assert_eq!(names.len(), 100);
        names.extend(all(&second, list, "name"));
        assert_eq!((names.len(), names.iter().collect::<std::collections::BTreeSet<_>>().len()), (total, total));
    }
}

#[tokio::test]
async fn what_stands_behind_a_gate_is_unknown_without_its_credential() {
    let (specs, url) = (Specs::new(), service().await);
    specs.write("vault.yaml", GATED);
    let (_keyglass, client) = Keyglass::over_http_for(&url, &specs.arguments()).await;
    let bearer = format!("Bearer {TOKEN}");
    for (headers, expected) in [(vec![], false), (vec![("authorization", bearer.as_str())], true)] {
        let list = post(&client, "resources/list", "", &json!({}), &headers).await;
        assert_eq!(all(&list, "resources", "uri").contains(&"vault://plan"), expected, "{list}");
        assert!(all(&list, "resources", "uri").contains(&"data://pets"), "{list}");
        let list = post(&client, "resources/templates/list", "", &json!({}), &headers).await;
        assert_eq!(all(&list, "resourceTemplates", "uriTemplate").contains(&"vault://plans/{id}"), expected, "{list}");
        let list = post(&client, "prompts/list", "", &json!({}), &headers).await;
        assert_eq!(all(&list, "prompts", "name").contains(&"open"), expected, "{list}");
        for uri in ["vault://plan", "vault://plans/7"] {
            let answer = post(&client, "resources/read", uri, &json!({ "uri": uri }), &headers).await;
            let nowhere = post(&client, "resources/read", "vault://x", &json!({"uri": "vault://x"}), &headers).await;
            assert_eq!(answer["result"].is_object(), expected, "{answer}");
            if !expected {
                assert_eq!(answer["error"]["message"], nowhere["error"]["message"]);
                assert_eq!(answer["error"]["code"], nowhere["error"]["code"]);
            }
        }
        let answer = post(&client, "prompts/get", "open", &json!({"name": "open"}), &headers).await;
        assert_eq!(answer["result"].is_object(), expected, "{answer}");
    }
}

#[tokio::test]
async fn only_what_is_there_is_announced() {
    let specs = Specs::new();
    specs.write("spec.yaml", GATED);
    let (_keyglass, client) = Keyglass::over_http_for("embedded", &specs.arguments()).await;
    let answer = within(client.post("/mcp", initialize(1), &[]).send()).await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "everything stands behind the gate, without any tool");

    let specs = Specs::new();
    let open = "naftiko: 1.0.0-alpha2\ncapability: {exposes: [{type: mcp, prompts: [{name: p, description: P., template: \
                [{role: user, content: Hi.}]}]}]}\n";
    specs.write("spec.yaml", open);
    let (_keyglass, mut client, hello) = over_pipes(&specs, "embedded").await;
    let announced = &hello["result"]["capabilities"];
    assert_eq!(announced["prompts"], json!({"listChanged": true}), "{hello}");
    let list = client.ask(&request(2, "resources/list", &json!({}))).await;
    assert_eq!(all(&list, "resources", "uri"), ["keyglass://specs/spec.yaml"], "nothing but the spec itself");
}

#[tokio::test]
async fn clients_are_told_which_list_changed() {
    let (specs, url) = (Specs::new(), service().await);
    let (_keyglass, mut client, _) = over_pipes(&specs, &url).await;
    let (_other, http) = Keyglass::over_http_for(&url, &specs.arguments()).await;
    let wanted = json!({"notifications": {"resourcesListChanged": true, "promptsListChanged": true}});
    let headers = [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "subscriptions/listen")];
    let listening = http.post("/mcp", modern(5, "subscriptions/listen", &wanted), &headers).send();
    let mut events = Events::of(within(listening).await.expect("a stream"));
    assert_eq!(events.message().await["params"]["notifications"], wanted["notifications"]);

    specs.write("docs/late.md", "late");
    let told = "notifications/resources/list_changed";
    assert_eq!(client.receive().await.expect("a message")["method"], told, "a file in the folder");
    assert_eq!(events.message().await["method"], told);
    assert_eq!(content(&client.ask(&read(2, "docs://handbook/late.md")).await), ("text/markdown", "late"));

    specs.write("rules.md", "Be kinder.");
    let rules = async |client: &mut Lined<_, _>| {
        let rules = client.ask(&request(3, "prompts/get", &json!({"name": "rules"}))).await;
        rules["result"]["messages"][0]["content"]["text"].as_str().expect("text").to_owned()
    };
    within(async {
        while rules(&mut client).await != "Be kinder." {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await; // the file of a prompt is looked at too; its list is the same
    specs.write("spec.yaml", SPEC.replace("name: greet", "name: salute"));
    let told = "notifications/prompts/list_changed";
    assert_eq!(client.receive().await.expect("a message")["method"], told);
    assert_eq!(events.message().await["method"], told);
}

#[tokio::test]
async fn the_same_offers_of_several_files_are_one() {
    let specs = Specs::new();
    specs.write("spec.yaml", GATED.replace("      authentication: { type: bearer, token: '{{TEST_TOKEN}}' }\n", ""));
    let again = fs::read_to_string(specs.path().join("spec.yaml")).expect("read");
    specs.write("again.yaml", &again);
    specs.write(
        "other.yaml",
        again
            .replace("Open it.", "Shut it.")
            .replace("vault", "safe")
            .replace("safe://plan'", "vault://plan'")
            .replace("gated", "other"),
    );
    let (code, out, err) = run(specs.path(), &["check", specs.path().to_str().expect("text")]);
    assert_eq!(code, 1, "{out}{err}");
    assert!(
        out.contains("error[duplicate-resource]: the URI `vault://plan` leads to another resource already"),
        "{out}"
    );
    assert!(out.contains("note[duplicate-resource]: `plan` is the resource of this URI again; they are one"), "{out}");
    assert!(out.contains("note[duplicate-prompt]: `open` is the prompt of this name again; they are one"), "{out}");
    assert!(
        out.contains("this one is offered as `safe_open`") || out.contains("this one is offered as `vault_open`"),
        "{out}"
    );
    assert!(out.contains("0 tools, 3 resources, 2 prompts, "), "{out}");
    let (_, out, _) = run(specs.path(), &["check", "--json", specs.path().to_str().expect("text")]);
    let report: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((&report["tools"], &report["resources"], &report["prompts"]), (&json!(0), &json!(3), &json!(2)));
}

#[test]
fn they_are_shown_on_the_command_line() {
    let specs = Specs::new();
    let folder = specs.path().to_str().expect("text");
    let (code, out, err) = run(specs.path(), &["tools", "--capabilities", folder]);
    assert_eq!(code, 0, "{err}");
    assert!(!out.contains("TOOL "), "every operation is a resource: {out}");
    for line in [
        "RESOURCE                    NAME   MEDIA TYPE        READ FROM",
        "data://pets/{id}/photo.png  photo  image/png         GET /pets/{id}/photo",
        "docs://handbook/…           docs                     3 files",
        "greet   pet* tone               Greet a pet.",
    ] {
        assert!(out.lines().any(|found| found == line), "{line}\n{out}");
    }
    let (_, out, _) = run(specs.path(), &["tools", "--json", "--capabilities", folder]);
    let lists: Value = serde_json::from_str(&out).expect("JSON");
    for (list, count) in [("tools", 0), ("resources", 4), ("resourceTemplates", 3), ("prompts", 2)] {
        assert_eq!(lists[list].as_array().map(Vec::len), Some(count), "{list}");
    }
}

#[test]
fn a_file_of_variables_is_offered_by_nobody() {
    let specs = Specs::new();
    specs.write("docs/secrets.json", r#"{"KEY": "canary-1b7f"}"#);
    let spec = SPEC
        .replace(
            "keys: { TEST_TOKEN: TEST_TOKEN } }",
            "location: 'file:///./docs/secrets.json', keys: { TEST_TOKEN: KEY } }",
        )
        .replace("file:///./rules.md", "file:///./docs/secrets.json");
    specs.write("spec.yaml", spec);
    let folder = specs.path().to_str().expect("text");
    let (_, out, _) = run(specs.path(), &["tools", "--json", "--capabilities", folder]);
    assert!(out.contains("guide.md") && !out.contains("secrets.json"), "{out}");
    let (code, out, _) = run(specs.path(), &["check", folder]);
    assert_eq!(code, 1);
    assert!(out.contains("it holds variables, which are not for clients") && !out.contains("canary"), "{out}");
}
