//! Which tool, resource or prompt a request is about, from its headers or its body, and which scopes it lacks.
//!
//! Only for the answer that tells a client which scopes to fetch. What a caller may use is looked at again when the
//! request is carried out, whatever its headers say.

use std::borrow::Cow;

use http::HeaderMap;
use serde::Deserialize;

use crate::{
    access::{Access, Scopes},
    gateway::Gateway,
};

/// What a request asks for.
#[derive(Debug, Deserialize)]
struct Asked<'a> {
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow, default)]
    params: Params<'a>,
}

#[derive(Debug, Default, Deserialize)]
struct Params<'a> {
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    uri: Option<Cow<'a, str>>,
}

/// All scopes that a request needs of which its caller lacks some, as far as its headers tell (MCP 2026-07-28).
pub(in super::super) fn lacked_by_headers(headers: &HeaderMap, gateway: &Gateway, access: &Access) -> Option<Scopes> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    lacked(text("mcp-method")?, text("mcp-name")?, gateway, access)
}

/// All scopes that a request needs of which its caller lacks some, by its body.
pub(in super::super) fn lacked_by_body(body: &[u8], gateway: &Gateway, access: &Access) -> Option<Scopes> {
    let Asked { method, params } = serde_json::from_slice(body).ok()?;
    let name = if method == "resources/read" { params.uri } else { params.name };
    lacked(&method, &name?, gateway, access)
}

fn lacked(method: &str, name: &str, gateway: &Gateway, access: &Access) -> Option<Scopes> {
    match method {
        "tools/call" => access.lacks_scopes(gateway.tool(name)?),
        "prompts/get" => access.lacks_scopes(gateway.catalog.prompt(name)?),
        "resources/read" => access.lacks_scopes(gateway.catalog.resources().find(name)?.0),
        _ => None,
    }
}
