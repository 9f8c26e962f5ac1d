//! `tools/list` over HTTP answered in place, beside the same one answered by the MCP library: one with a token for progress,
//! of which there is none, goes the library's way.

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use crate::support::{Backend, Client, Keyglass, TOKEN, within};

/// Status, headers and body of the answer.
async fn answered(client: &Client, id: &Value, params: &Value, progress: bool) -> (StatusCode, HeaderMap, String) {
    let bearer = format!("Bearer {TOKEN}");
    let mut params = params.clone();
    let meta = &mut params["_meta"];
    if meta.is_null() {
        *meta = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "0"},
        });
    }
    if progress {
        meta["progressToken"] = json!("token");
    }
    let list = json!({"jsonrpc": "2.0", "id": id, "method": "tools/list", "params": params});
    let headers =
        [("mcp-protocol-version", "2026-07-28"), ("mcp-method", "tools/list"), ("authorization", bearer.as_str())];
    let response = within(client.post("/mcp", list, &headers).send()).await.expect("an answer");
    let (status, mut headers) = (response.status(), response.headers().clone());
    headers.remove("date");
    (status, headers, response.text().await.expect("a text"))
}

/// A spec of so many tools, which call nobody.
fn many(count: usize) -> String {
    let tools = (0..count).map(|number| {
        format!(
            "    - name: tool-{number}\n      description: Tells \"tools\":[] {number}.\n      outputParameters:\n      \
             - name: number\n        type: integer\n        value: {number}\n"
        )
    });
    let head = "naftiko: 1.0.0-alpha2\ninfo:\n  label: Many\ncapability:\n  exposes:\n  - type: mcp\n    namespace: \
                many\n    port: 9090\n    tools:\n";
    std::iter::once(head.to_owned()).chain(tools).collect()
}

#[tokio::test]
async fn a_page_is_as_the_librarys() {
    let backend = Backend::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("many.yaml"), many(250)).expect("written");
    let many = folder.path().display().to_string();
    for arguments in [&[][..], &["--token", "env:TEST_TOKEN"], &["--stateless"], &["--capabilities", &many]] {
        let (_keyglass, client) = Keyglass::over_http(&backend, arguments).await;
        let (mut pages, mut tools, mut refused) = (0, 0, 0);
        for (id, params) in [
            (json!(1), json!({})),
            (json!("é\"tools\":[]"), json!({})),
            (json!(3), json!({"cursor": "page-1"})),
            (json!(4), json!({"cursor": "page-2"})),
            (json!(5), json!({"cursor": "page-3"})),
            (json!(6), json!({"cursor": null})),
            (json!(7), json!({"cursor": 1})),
            (json!(1.5), json!({})),
            (json!(8), json!({"_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}})),
        ] {
            let theirs = answered(&client, &id, &params, true).await;
            // Written the first time, and kept.
            for _ in 0..2 {
                assert_eq!(answered(&client, &id, &params, false).await, theirs, "{arguments:?} {id} {params}");
            }
            let body: Value = serde_json::from_str(&theirs.2).expect("JSON");
            match body["result"]["tools"].as_array() {
                Some(list) => (pages, tools) = (pages + 1, tools + list.len()),
                None => refused += 1,
            }
        }
        assert!(pages >= 3 && tools >= 15 && refused >= 3, "{arguments:?} {pages} {tools} {refused}");
    }
}

#[tokio::test]
async fn a_page_is_for_a_post_alone() {
    let backend = Backend::start().await;
    let (_keyglass, client) = Keyglass::over_http(&backend, &[]).await;
    let meta = json!({"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}});
    let list = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}}).to_string();
    for method in ["PUT", "PATCH", "DELETE"] {
        let request = client.http.request(method.parse().expect("a method"), format!("{}/mcp", client.base));
        let request = request
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", "tools/list")
            .header("accept", "application/json")
            .header("content-type", "application/json");
        let status = within(request.body(list.clone()).send()).await.expect("an answer").status();
        assert!(status.is_client_error(), "{method}: {status}");
    }
}
