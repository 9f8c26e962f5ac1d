//! Who is told that a resource holds something else: specs and schemas themselves, and files of folders, in both protocol
//! eras and behind gates.

use std::{fs, path::Path};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    mcp::{initialize, initialized, modern, request},
    support::{Client, Events, Keyglass, TOKEN, within},
};

const UPDATED: &str = "notifications/resources/updated";
const SPEC_URI: &str = "keyglass://specs/spec.yaml";
const GATED_URI: &str = "keyglass://specs/gated.yaml";
const FILE_URI: &str = "docs://handbook/guide.md";

const SPEC: &str = "\
naftiko: 1.0.0-alpha2
info: { label: Pets, description: Pets. }
capability:
  exposes:
    - type: mcp
      namespace: pets
      resources:
        - { name: docs, uri: 'docs://handbook', description: The handbook., location: 'file:///./docs' }
        - { name: day, uri: 'data://days/{day}', description: A day., outputParameters: [{ type: string, value: '{{day}}' }] }
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
      resources: [{ name: plan, uri: 'vault://plan', description: P., outputParameters: [{ name: a, type: string, value: b }] }]
";

struct Specs(TempDir);

impl Specs {
    fn new() -> Self {
        let this = Self(tempfile::tempdir().expect("a folder"));
        fs::create_dir(this.path().join("docs")).expect("made");
        this.write("docs/guide.md", "one");
        this.write("spec.yaml", SPEC);
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

fn subscribe(uri: &str) -> Value {
    request(2, "resources/subscribe", &json!({ "uri": uri }))
}

#[tokio::test]
async fn sessions_are_told_of_what_they_subscribed_to() {
    let specs = Specs::new();
    let (_keyglass, mut client) = Keyglass::over_pipes_for("embedded", &specs.arguments());
    let hello = client.ask(&initialize(1)).await;
    assert_eq!(hello["result"]["capabilities"]["resources"], json!({"listChanged": true, "subscribe": true}));
    client.send(&initialized()).await;
    for uri in [SPEC_URI, FILE_URI, "data://days/1"] {
        let answer = client.ask(&subscribe(uri)).await;
        assert_eq!(answer["result"], json!({}), "{answer}");
    }
    for uri in ["keyglass://specs/none.yaml", "docs://handbook", "x"] {
        let refused = client.ask(&subscribe(uri)).await;
        assert_eq!((&refused["error"]["code"], &refused["error"]["data"]["uri"]), (&json!(-32002), &json!(uri)));
    }
    let unreadable = client.ask(&request(3, "resources/subscribe", &json!({}))).await;
    assert!(unreadable["error"]["message"].as_str().expect("a message").contains("a string `uri`"), "{unreadable}");

    specs.write("docs/guide.md", "two, and longer");
    let told = client.receive().await.expect("a message");
    assert_eq!((&told["method"], &told["params"]["uri"]), (&json!(UPDATED), &json!(FILE_URI)));
    specs.write("spec.yaml", &format!("# a comment alone\n{SPEC}"));
    let told = client.receive().await.expect("a message");
    assert_eq!((&told["method"], &told["params"]["uri"]), (&json!(UPDATED), &json!(SPEC_URI)));

    let answer = client.ask(&request(4, "resources/unsubscribe", &json!({ "uri": FILE_URI }))).await;
    assert_eq!(answer["result"], json!({}), "{answer}");
    specs.write("docs/guide.md", "three, and longer still");
    specs.write("spec.yaml", &format!("# another comment alone\n{SPEC}"));
    let told = client.receive().await.expect("a message");
    assert_eq!(told["params"]["uri"], SPEC_URI, "and no word of the file");
}

#[tokio::test]
async fn subscriptions_of_a_session_are_bounded() {
    let specs = Specs::new();
    let (_keyglass, mut client) = Keyglass::over_pipes_for("embedded", &specs.arguments());
    client.ask(&initialize(1)).await;
    client.send(&initialized()).await;
    for day in 0..256 {
        assert_eq!(client.ask(&subscribe(&format!("data://days/{day}"))).await["result"], json!({}));
    }
    let refused = client.ask(&subscribe("data://days/256")).await;
    assert!(refused["error"]["message"].as_str().expect("a message").contains("256 resources"), "{refused}");
    assert_eq!(client.ask(&subscribe("data://days/0")).await["result"], json!({}), "it is one of them");
    client.ask(&request(3, "resources/unsubscribe", &json!({"uri": "data://days/0"}))).await;
    assert_eq!(client.ask(&subscribe("data://days/256")).await["result"], json!({}));
}

/// Listens in the newer era; gives the stream behind the acknowledgement, and what that accepts.
async fn listen(client: &Client, uris: &[&str], more: &[(&str, &str)]) -> (Events, Value) {
    let mut headers = vec![("mcp-protocol-version", "2026-07-28"), ("mcp-method", "subscriptions/listen")];
    headers.extend(more);
    let wanted = json!({"notifications": {"resourceSubscriptions": uris}});
    let listening = client.post("/mcp", modern(5, "subscriptions/listen", &wanted), &headers).send();
    let mut events = Events::of(within(listening).await.expect("a stream"));
    let accepted = events.message().await["params"]["notifications"]["resourceSubscriptions"].take();
    (events, accepted)
}

#[tokio::test]
async fn listeners_are_told_of_the_resources_they_asked_for() {
    let specs = Specs::new();
    let (_keyglass, client) = Keyglass::over_http_for("embedded", &specs.arguments()).await;
    let (mut events, accepted) = listen(&client, &[SPEC_URI, "data://nothing", FILE_URI], &[]).await;
    assert_eq!(accepted, json!([SPEC_URI, FILE_URI]), "what leads nowhere is left out");
    specs.write("docs/guide.md", "two, and longer");
    let told = events.message().await;
    assert_eq!((&told["method"], &told["params"]["uri"]), (&json!(UPDATED), &json!(FILE_URI)));
    assert_eq!(told["params"]["_meta"]["io.modelcontextprotocol/subscriptionId"], 5, "{told}");
    specs.write("spec.yaml", &format!("# a comment alone\n{SPEC}"));
    assert_eq!(events.message().await["params"]["uri"], SPEC_URI);
}

#[tokio::test]
async fn nobody_hears_of_what_stands_behind_a_gate() {
    let specs = Specs::new();
    specs.write("gated.yaml", GATED);
    let (_keyglass, client) = Keyglass::over_http_for("embedded", &specs.arguments()).await;
    let bearer = format!("Bearer {TOKEN}");
    let uris = [GATED_URI, "keyglass://specs/none.yaml", SPEC_URI];
    let (mut outside, accepted) = listen(&client, &uris, &[]).await;
    assert_eq!(accepted, json!(uris), "what is there cannot be told from what is not");
    let (mut inside, _) = listen(&client, &uris, &[("authorization", &bearer)]).await;
    specs.write("gated.yaml", &format!("# a comment alone\n{GATED}"));
    assert_eq!(inside.message().await["params"]["uri"], GATED_URI);
    specs.write("spec.yaml", &format!("# a comment alone\n{SPEC}"));
    assert_eq!(inside.message().await["params"]["uri"], SPEC_URI);
    assert_eq!(outside.message().await["params"]["uri"], SPEC_URI, "and nothing before");
}

#[tokio::test]
async fn a_session_cannot_subscribe_to_what_stands_behind_a_gate() {
    let specs = Specs::new();
    specs.write("gated.yaml", GATED);
    let (_keyglass, client) = Keyglass::over_http_for("embedded", &specs.arguments()).await;
    let bearer = format!("Bearer {TOKEN}");
    for (headers, is_in) in [(vec![], false), (vec![("authorization", bearer.as_str())], true)] {
        let response = within(client.post("/mcp", initialize(1), &headers).send()).await.expect("an answer");
        let session = response.headers()["mcp-session-id"].to_str().expect("text").to_owned();
        let headers = [headers, vec![("mcp-session-id", session.as_str())]].concat();
        for uri in [GATED_URI, "vault://plan"] {
            let asked = client.post("/mcp", subscribe(uri), &headers).send();
            let answer = Events::of(within(asked).await.expect("an answer")).message().await;
            assert_eq!(answer["result"].is_object(), is_in, "{answer}");
            if !is_in {
                assert_eq!((&answer["error"]["code"], &answer["error"]["data"]["uri"]), (&json!(-32002), &json!(uri)));
            }
        }
    }
}
