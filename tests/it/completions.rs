//! What a person may choose from while filling in a prompt or a URI: fixed values, names of specs, and what an operation
//! lists; in both protocol eras and behind gates.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    extract::{Path, RawQuery},
    http::header,
    response::{IntoResponse as _, Response},
    routing::get,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    net::TcpListener,
    process::{ChildStdin, ChildStdout},
};

use crate::{
    mcp::{initialize, initialized, modern, request},
    support::{CREDENTIAL, Keyglass, Lined, TOKEN, within},
};

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
          operations:
            - name: listPets
              method: GET
              description: List pets.
              inputParameters: [{ name: kind, in: query, type: string, required: false, description: Which. }]
        - path: /owners/{owner}/pets
          operations:
            - { name: listPetsOf, method: GET, description: List pets., inputParameters: [{ name: owner, in: path, type: string, description: Whose. }] }
        - path: /pets/{id}
          operations:
            - name: getPet
              method: GET
              description: Read a pet.
              inputParameters:
                - { name: id, in: path, type: string, description: The pet. }
                - { name: size, in: query, type: string, enum: [small, large], description: How large. }
  exposes:
    - type: mcp
      namespace: pets-mcp
      resources:
        - { name: pet, uri: 'data://pets/{id}/{size}', description: A pet., call: pets.getPet, inputParameters: [{ name: id, complete: { call: pets.listPets, value: '$.items[*].id' } }] }
      prompts:
        - name: greet
          description: Greet a pet.
          arguments:
            - { name: kind, description: Kind., enum: [cat, dog, 7] }
            - { name: pet, description: Which., complete: { call: pets.listPets, value: '$.items[*].name' } }
            - { name: friend, description: Friend., complete: { call: pets.listPetsOf, with: { owner: '{{pet}}' }, value: '$.items[*].name' } }
            - { name: loud, description: Whether loudly., type: boolean }
            - { name: tone, description: How. }
          template: [{ role: user, content: '{{kind}} {{pet}} {{friend}} {{loud}} {{tone}}' }]
    - type: mcp
      namespace: vault
      authentication: { type: bearer, token: '{{TEST_TOKEN}}' }
      prompts:
        - { name: open, description: Open it., arguments: [{ name: door, description: Which., enum: [left] }], template: [{ role: user, content: 'Open {{door}}.' }] }
";

/// What a pet's password is, and what another one is called.
const KEPT: &str = "canary-password-of-rex";

/// A service that counts what it is asked.
async fn service() -> (String, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let answer = |names: &[String]| -> Response {
        let items: Vec<Value> = names.iter().map(|name| json!({"id": format!("id-{name}"), "name": name})).collect();
        ([(header::CONTENT_TYPE, "application/json")], json!({ "items": items }).to_string()).into_response()
    };
    let count = Arc::clone(&asked);
    let pets = move |RawQuery(query): RawQuery| {
        count.fetch_add(1, Ordering::SeqCst);
        let kind = query.unwrap_or_default();
        async move {
            let mut names = vec!["Rex".to_owned(), "rosa".to_owned(), "Oreo".to_owned(), CREDENTIAL.to_owned()];
            names.extend(kind.contains("kept").then(|| KEPT.to_owned()));
            names.extend((0..if kind.contains("cat") { 150 } else { 0 }).map(|number| format!("cat{number}")));
            answer(&names)
        }
    };
    let of_owner = move |Path(owner): Path<String>| async move {
        match owner.as_str() {
            "held" => std::future::pending().await,
            "broken" => axum::http::StatusCode::BAD_GATEWAY.into_response(),
            owner => answer(&[format!("friend of {owner}")]),
        }
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let pet = async || ([(header::CONTENT_TYPE, "application/json")], json!({ "password": KEPT }).to_string());
    let router = Router::new()
        .route("/pets", get(pets))
        .route("/pets/{id}", get(pet))
        .route("/owners/{owner}/pets", get(of_owner));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (format!("http://{address}"), asked)
}

fn specs() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("spec.yaml"), SPEC).expect("written");
    folder
}

fn of_prompt(argument: &str, typed: &str, known: &Value) -> Value {
    json!({"ref": {"type": "ref/prompt", "name": "greet"}, "argument": {"name": argument, "value": typed},
        "context": {"arguments": known}})
}

fn of_template(uri: &str, argument: &str, typed: &str) -> Value {
    json!({"ref": {"type": "ref/resource", "uri": uri}, "argument": {"name": argument, "value": typed}})
}

async fn complete(client: &mut Lined<ChildStdout, ChildStdin>, params: &Value) -> Value {
    let mut answer = client.ask(&request(2, "completion/complete", params)).await;
    assert!(answer["result"]["completion"].is_object(), "{answer}");
    answer["result"]["completion"].take()
}

async fn over_pipes(specs: &TempDir, url: &str) -> (Keyglass, Lined<ChildStdout, ChildStdin>) {
    let (keyglass, mut client) =
        Keyglass::over_pipes_for(url, &["--capabilities", specs.path().to_str().expect("text")]);
    let hello = client.ask(&initialize(1)).await;
    assert_eq!(hello["result"]["capabilities"]["completions"], json!({}), "{hello}");
    client.send(&initialized()).await;
    (keyglass, client)
}

#[tokio::test]
async fn values_come_from_the_spec_from_names_and_from_operations() {
    let (specs, (url, _)) = (specs(), service().await);
    let (keyglass, mut client) = over_pipes(&specs, &url).await;
    let none = json!({});
    for (params, expected) in [
        (of_prompt("kind", "", &none), json!(["cat", "dog", "7"])),
        (of_prompt("kind", "D", &none), json!(["dog"])),
        (of_prompt("loud", "", &none), json!(["true", "false"])),
        (of_prompt("tone", "", &none), json!([])),
        (of_prompt("pet", "r", &none), json!(["Rex", "rosa", "Oreo"])),
        (of_prompt("pet", "x", &none), json!(["Rex"])),
        (of_prompt("friend", "", &json!({"pet": "Rex", "tone": "x"})), json!(["friend of Rex"])),
        (of_template("data://pets/{id}/{size}", "id", "id-o"), json!(["id-Oreo"])),
        (of_template("data://pets/{id}/{size}", "size", "l"), json!(["large", "small"])),
        (of_template("keyglass://specs/{name}", "name", "sp"), json!(["spec.yaml"])),
    ] {
        let completion = complete(&mut client, &params).await;
        assert_eq!(completion["values"], expected, "{params}");
        assert_eq!(completion["total"], expected.as_array().expect("a list").len(), "{params}");
        assert_eq!(completion["hasMore"], false);
    }
    let many = complete(&mut client, &of_prompt("pet", "cat", &json!({"kind": "cat"}))).await;
    assert_eq!(many["values"].as_array().map(Vec::len), Some(100));
    assert_eq!((&many["total"], &many["hasMore"]), (&json!(150), &json!(true)));
    let all = complete(&mut client, &of_prompt("pet", "", &none)).await;
    assert!(!all.to_string().contains(CREDENTIAL) && all.to_string().contains("[masked]"), "{all}");
    assert!(!keyglass.log().contains(CREDENTIAL));
}

#[tokio::test]
async fn a_list_is_asked_for_once_in_a_while() {
    let (specs, (url, asked)) = (specs(), service().await);
    let (_keyglass, mut client) = over_pipes(&specs, &url).await;
    for typed in ["", "r", "re", "rex"] {
        complete(&mut client, &of_prompt("pet", typed, &json!({"kind": "dog"}))).await;
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    complete(&mut client, &of_prompt("pet", "", &json!({"kind": "cat"}))).await;
    assert_eq!(asked.load(Ordering::SeqCst), 2, "other arguments, another list");
}

#[tokio::test]
async fn what_cannot_be_listed_is_an_empty_list() {
    let (specs, (url, _)) = (specs(), service().await);
    let (keyglass, mut client) = over_pipes(&specs, &url).await;
    for (number, known) in [json!({}), json!({"pet": "broken"}), json!({"pet": "held"})].iter().enumerate() {
        let completion = complete(&mut client, &of_prompt("friend", "", known)).await;
        assert_eq!(completion, json!({"values": [], "total": 0, "hasMore": false}), "{known}");
        keyglass.logged("no values could be listed", number + 1).await;
    }
}

#[tokio::test]
async fn what_is_unknown_is_refused_with_the_nearest_name() {
    let (specs, (url, _)) = (specs(), service().await);
    let (_keyglass, mut client) = over_pipes(&specs, &url).await;
    for (params, part) in [
        (
            json!({"ref": {"type": "ref/prompt", "name": "gret"}, "argument": {"name": "a", "value": ""}}),
            "did you mean `greet`?",
        ),
        (of_prompt("kin", "", &json!({})), "did you mean `kind`?"),
        (of_template("data://pets/{i}/{size}", "id", ""), "did you mean `data://pets/{id}/{size}`?"),
        (of_template("data://pets/{id}/{size}", "siz", ""), "did you mean `size`?"),
        (of_template("keyglass://specs/{name}", "nam", ""), "did you mean `name`?"),
        (of_template("keyglass://specs/spec.yaml", "name", ""), "unknown placeholder"),
        (
            json!({"ref": {"type": "ref/prompt", "name": "guide_pets"}, "argument": {"name": "a", "value": ""}}),
            "unknown argument",
        ),
        (json!({"ref": {"type": "ref/tool", "name": "x"}, "argument": {"name": "a", "value": ""}}), "expected a `ref`"),
    ] {
        let answer = client.ask(&request(3, "completion/complete", &params)).await;
        assert_eq!(answer["error"]["code"], -32602, "{answer}");
        assert!(answer["error"]["message"].as_str().expect("a message").contains(part), "{part}: {answer}");
    }
}

#[tokio::test]
async fn the_newer_era_is_spoken_and_gates_hold() {
    let (specs, (url, _)) = (specs(), service().await);
    let arguments = ["--capabilities", specs.path().to_str().expect("text")];
    let (_keyglass, client) = Keyglass::over_http_for(&url, &arguments).await;
    let bearer = format!("Bearer {TOKEN}");
    let open = json!({"ref": {"type": "ref/prompt", "name": "open"}, "argument": {"name": "door", "value": ""}});
    for (headers, is_in) in [(vec![], false), (vec![("authorization", bearer.as_str())], true)] {
        let ask = async |params: &Value| -> Value {
            let mut all = vec![("mcp-protocol-version", "2026-07-28"), ("mcp-method", "completion/complete")];
            all.extend(headers.iter().copied());
            let asked = client.post("/mcp", modern(1, "completion/complete", params), &all).send();
            let text = within(asked).await.expect("an answer").text().await.expect("text");
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"))
        };
        let answer = ask(&of_prompt("pet", "REX", &json!({}))).await;
        assert_eq!(answer["result"]["completion"]["values"], json!(["Rex"]), "{answer}");
        assert_eq!(answer["result"]["resultType"], "complete");
        let answer = ask(&open).await;
        assert_eq!(answer["result"].is_object(), is_in, "{answer}");
        let names = ask(&of_template("keyglass://specs/{name}", "name", "")).await;
        assert_eq!(names["result"].is_object(), is_in, "a spec with a gate is not named: {names}");
    }
}

#[tokio::test]
async fn what_a_caller_has_a_handle_of_is_hidden_from_them_here_as_well() {
    let (specs, (url, _)) = (specs(), service().await);
    let arguments =
        ["--capabilities", specs.path().to_str().expect("text"), "--token", "env:TEST_TOKEN", "--secrets", "handles"];
    let (_keyglass, client) = Keyglass::over_http_for(&url, &arguments).await;
    let bearer = format!("Bearer {TOKEN}");
    let ask = async |method: &str, params: &Value| -> Value {
        let mut all = vec![("mcp-protocol-version", "2026-07-28"), ("mcp-method", method)];
        all.extend(params["uri"].as_str().map(|name| ("mcp-name", name)));
        all.push(("authorization", bearer.as_str()));
        let asked = client.post("/mcp", modern(1, method, params), &all).send();
        let text = within(asked).await.expect("an answer").text().await.expect("text");
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"))
    };
    let read = ask("resources/read", &json!({"uri": "data://pets/1/small"})).await;
    let text = read["result"]["contents"][0]["text"].as_str().unwrap_or_else(|| panic!("{read}"));
    let pet: Value = serde_json::from_str(text).expect("JSON");
    let handle = pet["password"].as_str().filter(|value| value.starts_with("secret://")).expect("a handle");
    let answer = ask("completion/complete", &of_prompt("pet", "", &json!({"kind": "kept"}))).await;
    let values = &answer["result"]["completion"]["values"];
    assert_eq!(values[4], handle, "{answer}");
}
