//! Who may talk to the HTTP server at all, and what each caller may use: the bind check, and one middleware that looks at
//! `Host`, `Origin` and credentials before anything else sees the request.
//!
//! The operator's own token opens everything, other tokens what they are given for; what a server of a spec asks for opens
//! its tools. The MCP library checks `Host` and `Origin` on its own endpoint too; this covers every route, and credentials,
//! which the library leaves to its user.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{Method, StatusCode, header, request};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::{
    McpServer,
    authorization::{ResourceServer, operation},
    body, credentials,
    hosts::is_loopback,
    http::HttpOptions,
    limits::Capacity,
    refusal::{Refusal, json_response, not_taken, oauth_refusal, problem},
    sites::Sites,
};
use crate::{
    access::{self, Access, Bounds, Doors, Gated, Gates, Opened, Shown},
    caller::{Caller, KeyDigests},
    config::callers::{CallerBackendKey, HeldToken},
    credential::CallerKey,
};

/// Why the HTTP server refuses to start.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// Other machines could use the tools, and with them the backend's credentials.
    #[error(
        "refusing to listen on `{0}` without a bearer token, since other machines can reach that address; set one with \
         `--token env:NAME` or `--token file:PATH`, or `tokens` or `oauth` in the configuration file, or listen on \
         `127.0.0.1`"
    )]
    Exposed(SocketAddr),
    /// A token that is no token.
    #[error(
        "the bearer token given by {0} is empty or holds characters other than visible ASCII, which no client could send"
    )]
    UnusableToken(String),
    /// Two callers could not be told apart.
    #[error("the bearer token given by {0} is that of another caller too; give each a token of its own")]
    SameToken(String),
    /// A host that no request can name.
    #[error("allowed host `{0}` is not a host name or address; expected `example.com`, `example.com:8443` or `[::1]`")]
    Host(String),
    /// Keys of callers could not be told apart.
    #[error("no randomness available on this machine, which is needed to tell the keys of callers apart")]
    NoRandomness,
    /// An origin that no browser can send.
    #[error(
        "allowed origin `{0}` is not an origin; expected `https://example.com`, `http://localhost:3000` or \
         `http://localhost:*`"
    )]
    Origin(String),
}

/// Refuses to listen beyond this machine without asking for tokens, and tokens that could never match or tell nobody apart.
fn check_tokens(address: SocketAddr, options: &HttpOptions) -> Result<(), GuardError> {
    let operator = options.token.iter().map(|token| ("`--token env:NAME | file:PATH`".to_owned(), token));
    let named = options.tokens.iter().map(|held| (format!("`{}` of `tokens`", held.token.name), &held.value));
    let mut known: Vec<&SecretString> = Vec::new();
    for (name, token) in operator.chain(named) {
        let text = token.expose_secret();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(GuardError::UnusableToken(name));
        }
        if known.iter().any(|other| bool::from(access::is_same(text, Some(other)))) {
            return Err(GuardError::SameToken(name));
        }
        known.push(token);
    }
    let asks = !known.is_empty() || options.oauth.is_some();
    if asks || is_loopback(address.ip()) { Ok(()) } else { Err(GuardError::Exposed(address)) }
}

/// What a request has to show, on every route but `/healthz`.
#[derive(Debug)]
pub(super) struct Guard {
    token: Option<SecretString>,
    tokens: Vec<HeldToken>,
    oauth: Option<ResourceServer>,
    /// Where callers may bring keys for the backends.
    backend_key: Option<(CallerBackendKey, KeyDigests)>,
    pub(super) sites: Sites,
    doors: Doors,
    /// What requests are about, where their callers have to be told what they lack.
    server: Option<McpServer>,
}

impl Guard {
    /// The guard of a server that listens on this address.
    pub(super) fn new(address: SocketAddr, options: &HttpOptions) -> Result<Self, GuardError> {
        check_tokens(address, options)?;
        let with_digests =
            |setting: CallerBackendKey| Ok((setting, KeyDigests::new().map_err(|_| GuardError::NoRandomness)?));
        let backend_key = options.backend_key.clone().map(with_digests).transpose()?;
        Ok(Self {
            token: options.token.clone(),
            tokens: options.tokens.clone(),
            oauth: options.oauth.clone(),
            backend_key,
            sites: Sites::new(address, options)?,
            doors: Doors::default(),
            server: None,
        })
    }

    /// The guard of this server, which lets callers through to the tools behind its doors as well.
    pub(super) fn of(self, server: &McpServer) -> Self {
        Self { doors: server.shared.doors.clone(), server: Some(server.clone()), ..self }
    }

    /// Lets the request pass or not, notes who its caller is and what they may use, and takes the caller's credentials out
    /// of it, so that no call can reach them.
    pub(super) async fn check(&self, request: &mut request::Parts) -> Result<(), Refusal> {
        self.sites.check(request)?;
        let (gates, gated) = self.doors.now();
        let slots = gates.slots();
        let shown = match &self.oauth {
            Some(oauth) if credentials::is_malformed(request, &slots) => Err(oauth_refusal(
                StatusCode::BAD_REQUEST,
                "a token is sent in one header `Authorization: Bearer …`, and nowhere else",
                oauth.invalid_request(),
            )),
            _ => Ok(credentials::shown(request, &slots)),
        };
        for name in [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE] {
            request.headers.remove(name);
        }
        credentials::take_out(request, &slots)?;
        let brought = self.brought(request);
        let mut caller = self.caller(&shown?, &gates, gated).await?;
        if let (Some(key), Some((_, digests))) = (brought?, &self.backend_key) {
            let teller = self.server.as_ref().and_then(|server| server.served().key_teller.clone());
            let reach = match teller {
                Some(teller) => teller.reach(key.value()).await,
                None => None,
            };
            caller = caller.with_key(key, digests, reach);
        }
        request.extensions.insert(caller);
        Ok(())
    }

    /// Lets through what only the operator may see: with the token where there is one, on this machine where there is none,
    /// always where it is open.
    pub(super) fn check_operator(&self, request: &mut request::Parts, open: bool) -> Result<(), Refusal> {
        self.sites.check(request)?;
        let shown = credentials::shown(request, &[]);
        match &self.token {
            _ if open => Ok(()),
            None if self.sites.is_local() && !self.asks_for_tokens() => Ok(()),
            None => Err(Refusal::CLOSED),
            Some(token) if bool::from(access::is_same(token.expose_secret(), shown.bearer.as_ref())) => Ok(()),
            Some(_) if shown.bearer.is_none() => Err(self.refusal(Refusal::NO_TOKEN, &shown, &Gates::default())),
            Some(_) => Err(self.refusal(Refusal::WRONG_TOKEN, &shown, &Gates::default())),
        }
    }

    /// The key that a caller brings for the backends, taken out of the request.
    fn brought(&self, request: &mut request::Parts) -> Result<Option<CallerKey>, Refusal> {
        let Some((CallerBackendKey { header, namespaces }, _)) = &self.backend_key else { return Ok(None) };
        let brought = credentials::only_value(&request.headers, header);
        while request.headers.remove(header).is_some() {}
        match brought {
            Ok(brought) => Ok(brought.map(|value| CallerKey::new(value, namespaces.clone()))),
            Err(credentials::NotOneKey) => Err(Refusal::BAD_KEY),
        }
    }

    /// Who shows this, and what they may use.
    async fn caller(&self, shown: &Shown, gates: &Gates, gated: Gated) -> Result<Caller, Refusal> {
        let is_shown = |token: &SecretString| bool::from(access::is_same(token.expose_secret(), shown.bearer.as_ref()));
        let operator = self.token.as_ref().is_some_and(is_shown);
        // All of them are compared, so that the time tells nothing of which one it is.
        let named = self.tokens.iter().fold(None, |found, held| if is_shown(&held.value) { Some(held) } else { found });
        let opened = gates.opened_by(shown);
        if operator {
            return Ok(Caller::operator());
        }
        if let Some(HeldToken { token, .. }) = named {
            // The operator's word, as their own token: it is good for what specs keep behind credentials too.
            let (groups, ceiling) = (token.groups.clone(), token.ceiling);
            return Ok(Caller::named(&token.name, Bounds { gates: Opened::All, groups, ceiling, ..Bounds::default() }));
        }
        // A spec's own bearer token is in the place of one that an issuer gave out.
        if let (Some(oauth), Some(token)) = (&self.oauth, &shown.bearer)
            && !gates.opens_by_bearer(&opened)
        {
            let verified = oauth.verify(token).await.map_err(|invalid| not_taken(oauth, invalid))?;
            if !verified.granted.has_required() {
                let message = "this token lacks a scope that is needed for everything here";
                return Err(oauth_refusal(StatusCode::FORBIDDEN, message, oauth.lacks_required()));
            }
            let (gates, granted) = (Opened::Besides(opened), Some(verified.granted));
            let bounds = Bounds { gates, granted, ..Bounds::default() };
            return Ok(Caller::subject(oauth.issuer(), &verified.subject, bounds));
        }
        if !opened.is_empty() {
            let servers = gates.servers(&opened);
            // Where the operator says who may use what, a spec's credential is good for that spec alone.
            let alone = !self.tokens.is_empty() || self.oauth.is_some();
            return Ok(if alone { Caller::only_through(opened, &servers) } else { Caller::through(opened, &servers) });
        }
        let shows_nothing = shown.bearer.is_none() && shown.basic.is_none() && shown.keys.is_empty();
        let refuse = |refusal| Err(self.refusal(refusal, shown, gates));
        match (self.asks_for_tokens(), gated) {
            // Not everything: a gate may come up before the call is made.
            (false, Gated::Nothing) => Ok(Caller::anonymous()),
            (false, Gated::Some) if shows_nothing => Ok(Caller::anonymous()),
            (true, _) if gates.is_empty() && shown.bearer.is_none() => refuse(Refusal::NO_TOKEN),
            (true, _) if gates.is_empty() => refuse(Refusal::WRONG_TOKEN),
            _ if shows_nothing => refuse(Refusal::NO_CREDENTIAL),
            _ => refuse(Refusal::WRONG_CREDENTIAL),
        }
    }

    fn asks_for_tokens(&self) -> bool {
        self.token.is_some() || !self.tokens.is_empty() || self.oauth.is_some()
    }

    /// Refuses a request whose caller has to fetch scopes first, by what it says of itself: in its headers, before its body
    /// is read, and in its body.
    fn check_scopes(&self, request: &request::Parts, body: Option<&[u8]>) -> Result<(), Refusal> {
        let (Some(oauth), Some(server)) = (&self.oauth, &self.server) else { return Ok(()) };
        let Some(caller) = request.extensions.get::<Caller>() else { return Ok(()) };
        if !matches!(&caller.access, Access::Within(bounds) if bounds.granted.is_some()) {
            return Ok(());
        }
        let gateway = server.served();
        let lacked = match body {
            None => operation::lacked_by_headers(&request.headers, &gateway, &caller.access),
            Some(body) => operation::lacked_by_body(body, &gateway, &caller.access),
        };
        match lacked {
            None => Ok(()),
            Some(needed) => {
                let message = "this token lacks a scope that is needed for this; the challenge names all that are";
                Err(oauth_refusal(StatusCode::FORBIDDEN, message, oauth.insufficient_scope(&needed)))
            }
        }
    }

    /// A refusal with what would be let in.
    fn refusal(&self, refusal: Refusal, shown: &Shown, gates: &Gates) -> Refusal {
        let schemes = gates.schemes();
        let mut challenges = Vec::new();
        if let Some(oauth) = &self.oauth {
            challenges.push(oauth.unauthorized(shown.bearer.is_some()));
        } else if self.asks_for_tokens() || schemes.contains(&"Bearer") {
            challenges.push(match shown.bearer {
                Some(_) => r#"Bearer realm="keyglass", error="invalid_token""#.to_owned(),
                None => r#"Bearer realm="keyglass""#.to_owned(),
            });
        }
        if schemes.contains(&"Basic") {
            challenges.push(r#"Basic realm="keyglass", charset="UTF-8""#.to_owned());
        }
        if challenges.is_empty() {
            // No scheme of the registry says this, and one has to be named.
            challenges.push(r#"ApiKey realm="keyglass""#.to_owned());
        }
        Refusal { challenges, ..refusal }
    }

    /// What this server says of itself to clients that want a token, where a request asks for that.
    fn metadata(&self, request: &request::Parts) -> Option<Response> {
        let oauth = self.oauth.as_ref().filter(|oauth| oauth.is_metadata(&request.uri))?;
        let may = self.sites.check(request);
        Some(match may {
            Err(refusal) => refusal.into_response(),
            Ok(()) if request.method == Method::GET => json_response(StatusCode::OK, &json!(oauth.metadata())),
            Ok(()) => problem(StatusCode::METHOD_NOT_ALLOWED, "the metadata of this server is read by `GET`"),
        })
    }
}

/// The middleware. What passes has no credentials any more, and its body, already read.
pub(super) async fn guard(
    State((guard, capacity)): State<(Arc<Guard>, Arc<Capacity>)>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    if let Some(metadata) = guard.metadata(&parts) {
        return metadata;
    }
    if let Err(refusal) = guard.check(&mut parts).await.and_then(|()| guard.check_scopes(&parts, None)) {
        return refusal.logged();
    }
    let body = match body::whole(&capacity.limits, body).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    // What a request says of itself in its body counts as well.
    match guard.check_scopes(&parts, Some(&body)) {
        Ok(()) => next.run(Request::from_parts(parts, Body::from(body))).await,
        Err(refusal) => refusal.logged(),
    }
}

#[cfg(test)]
mod tests {
    use axum::{
        Router,
        body::{Body, to_bytes},
        middleware,
        routing::any,
    };
    use http::HeaderMap;
    use tower::ServiceExt as _;

    use super::*;
    use crate::config::{CredentialReference, callers::NamedToken};
    use crate::mcp::limits::Limits;

    const TOKEN: &str = "canary-b1946ac92492d2347c6235b4d2611184";

    fn options(token: Option<&str>, hosts: &[&str], origins: &[&str]) -> HttpOptions {
        HttpOptions {
            token: token.map(SecretString::from),
            allowed_hosts: hosts.iter().map(ToString::to_string).collect(),
            allowed_origins: origins.iter().map(ToString::to_string).collect(),
            ..HttpOptions::default()
        }
    }

    fn app(address: &str, options: &HttpOptions) -> Router {
        let guarded = Guard::new(address.parse().unwrap(), options).unwrap();
        // Tells what reached the far side.
        let echo = |request: Request| async move {
            let secrets = [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE]
                .iter()
                .filter(|name| request.headers().contains_key(*name))
                .count();
            let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
            format!("{secrets} {}", body.len())
        };
        let state = (Arc::new(guarded), Arc::new(Capacity::new(Limits::default())));
        Router::new().fallback(any(echo)).layer(middleware::from_fn_with_state(state, guard))
    }

    async fn send(app: &Router, headers: &[(&str, &str)], body: impl Into<Body>) -> (StatusCode, HeaderMap, String) {
        let mut request = Request::builder().method("POST").uri("/mcp");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = app.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn status(app: &Router, headers: &[(&str, &str)]) -> u16 {
        send(app, headers, Body::empty()).await.0.as_u16()
    }

    #[test]
    fn listening_beyond_loopback_needs_a_token() {
        let token = SecretString::from(TOKEN);
        for (address, token, refused) in [
            ("127.0.0.1:80", None, false),
            ("127.9.9.9:80", None, false),
            ("[::1]:80", None, false),
            ("[::ffff:127.0.0.1]:80", None, false),
            ("0.0.0.0:80", None, true),
            ("[::]:80", None, true),
            ("192.168.0.7:80", None, true),
            ("0.0.0.0:80", Some(&token), false),
        ] {
            let options = HttpOptions { token: token.cloned(), ..HttpOptions::default() };
            assert_eq!(check_tokens(address.parse().unwrap(), &options).is_err(), refused, "{address}");
        }
        let options = HttpOptions { tokens: vec![held("a", TOKEN)], ..HttpOptions::default() };
        check_tokens("0.0.0.0:80".parse().unwrap(), &options).unwrap();
        let error = check_tokens("0.0.0.0:8931".parse().unwrap(), &HttpOptions::default()).unwrap_err().to_string();
        assert!(
            error.contains("`0.0.0.0:8931`") && error.contains("`--token env:NAME` or `--token file:PATH`"),
            "{error}"
        );
    }

    #[test]
    fn a_token_that_no_client_could_send_is_refused() {
        for bad in ["", " ", "a b", "tab\t", "é", "line\n"] {
            let address = "127.0.0.1:80".parse().unwrap();
            let error = check_tokens(address, &options(Some(bad), &[], &[])).unwrap_err();
            assert_eq!(error, GuardError::UnusableToken("`--token env:NAME | file:PATH`".to_owned()), "{bad:?}");
            let named = HttpOptions { tokens: vec![held("a", "b"), held("c", bad)], ..HttpOptions::default() };
            let error = check_tokens(address, &named).unwrap_err();
            assert_eq!(error, GuardError::UnusableToken("`c` of `tokens`".to_owned()), "{bad:?}");
        }
    }

    #[test]
    fn no_two_callers_have_the_same_token() {
        let address = "127.0.0.1:80".parse().unwrap();
        let tokens = vec![held("a", "canary-a"), held("b", "canary-b")];
        let mut options = HttpOptions { tokens, ..options(Some(TOKEN), &[], &[]) };
        check_tokens(address, &options).unwrap();
        options.tokens.push(held("c", TOKEN));
        assert_eq!(check_tokens(address, &options), Err(GuardError::SameToken("`c` of `tokens`".to_owned())));
    }

    fn held(name: &str, value: &str) -> HeldToken {
        let reference = CredentialReference::Environment("NAME".to_owned());
        let token = NamedToken { name: name.to_owned(), reference, groups: None, ceiling: None };
        HeldToken { token, value: value.into() }
    }

    #[tokio::test]
    async fn hosts_are_checked_against_dns_rebinding() {
        let app = app("127.0.0.1:8931", &options(None, &["tools.example", "proxy.example:8443"], &[]));
        for (host, expected) in [
            ("localhost", 200),
            ("localhost:8931", 200),
            ("LOCALHOST.:8931", 200),
            ("127.0.0.1:8931", 200),
            ("[::1]:8931", 200),
            ("tools.example", 200),
            ("tools.example:9", 200),
            ("proxy.example:8443", 200),
            ("proxy.example", 403),
            ("proxy.example:1", 403),
            ("evil.example", 403),
            ("evil.example:8931", 403),
            ("localhost.evil.example", 403),
            ("192.168.0.7", 403),
            ("localhost@evil.example", 400),
            ("localhost:99999", 400),
            ("a b", 400),
            ("", 400),
        ] {
            assert_eq!(status(&app, &[("host", host)]).await, expected, "{host:?}");
        }
        assert_eq!(status(&app, &[]).await, 400, "no host at all");
        assert_eq!(status(&app, &[("host", "localhost"), ("host", "evil.example")]).await, 400, "two hosts");
    }

    #[tokio::test]
    async fn the_target_of_a_request_counts_as_its_host() {
        let app = app("127.0.0.1:8931", &options(None, &[], &[]));
        for (target, expected) in [("http://localhost:8931/mcp", 200), ("http://evil.example/mcp", 403)] {
            let request = Request::builder().uri(target).header("host", "localhost").body(Body::empty()).unwrap();
            let response = app.clone().oneshot(request).await.unwrap();
            assert_eq!(response.status().as_u16(), expected, "{target}");
        }
    }

    #[tokio::test]
    async fn on_all_addresses_any_literal_address_is_a_host_and_no_name_is() {
        let app = app("0.0.0.0:8931", &options(Some(TOKEN), &[], &[]));
        let auth = format!("Bearer {TOKEN}");
        for (host, expected) in [("192.168.0.7:8931", 200), ("[2001:db8::1]", 200), ("evil.example", 403)] {
            assert_eq!(status(&app, &[("host", host), ("authorization", &auth)]).await, expected, "{host}");
        }
    }

    #[tokio::test]
    async fn foreign_origins_are_refused() {
        let origins = ["https://app.example", "http://any.example:*"];
        let local = app("127.0.0.1:8931", &options(None, &[], &origins));
        let public = app("0.0.0.0:8931", &options(Some(TOKEN), &[], &origins));
        for (origin, at_local, at_public) in [
            ("http://localhost:3000", 200, 403),
            ("https://127.0.0.1", 200, 403),
            ("http://[::1]:8931", 200, 403),
            ("https://app.example", 200, 200),
            ("https://app.example:443", 200, 200),
            ("https://app.example:444", 403, 403),
            ("http://app.example", 403, 403),
            ("http://any.example:1234", 200, 200),
            ("https://any.example:1234", 403, 403),
            ("https://evil.example", 403, 403),
            ("http://localhost.evil.example", 403, 403),
            ("http://localhost@evil.example", 403, 403),
            ("vscode://localhost", 403, 403),
            ("null", 403, 403),
            ("", 403, 403),
        ] {
            assert_eq!(status(&local, &[("host", "localhost"), ("origin", origin)]).await, at_local, "{origin:?}");
            let auth = format!("Bearer {TOKEN}");
            let headers = [("host", "127.0.0.1"), ("origin", origin), ("authorization", auth.as_str())];
            assert_eq!(status(&public, &headers).await, at_public, "{origin:?}");
        }
    }

    #[tokio::test]
    async fn the_token_is_asked_for_and_goes_no_further() {
        let app = app("127.0.0.1:8931", &options(Some(TOKEN), &[], &[]));
        for (sent, expected) in [
            (None, 401),
            (Some(String::new()), 401),
            (Some(format!("Basic {TOKEN}")), 401),
            (Some(TOKEN.to_owned()), 401),
            (Some("Bearer".to_owned()), 401),
            (Some("Bearer ".to_owned()), 401),
            (Some(format!("Bearer {TOKEN}x")), 401),
            (Some(format!("Bearer {}", TOKEN.trim_start_matches('c'))), 401),
            (Some(format!("Bearer {TOKEN}")), 200),
            (Some(format!("bearer {TOKEN}")), 200),
        ] {
            let mut headers = vec![("host", "localhost"), ("cookie", "a=b"), ("proxy-authorization", "x")];
            headers.extend(sent.as_deref().map(|sent| ("authorization", sent)));
            let (status, answer, body) = send(&app, &headers, "12345").await;
            assert_eq!(status.as_u16(), expected, "{sent:?}");
            if expected == 200 {
                assert_eq!(body, "0 5", "no credentials, but the whole body");
            } else {
                assert!(answer[header::WWW_AUTHENTICATE].to_str().unwrap().starts_with("Bearer"), "{sent:?}");
                assert!(!body.contains("canary"), "{body}");
            }
        }
        let twice = format!("Bearer {TOKEN}");
        let headers = [("host", "localhost"), ("authorization", twice.as_str()), ("authorization", "Bearer x")];
        assert_eq!(status(&app, &headers).await, 401, "two credentials");
    }

    #[tokio::test]
    async fn without_a_token_credentials_are_still_taken_out() {
        let app = app("127.0.0.1:8931", &options(None, &[], &[]));
        let (_, _, body) = send(&app, &[("host", "localhost"), ("authorization", "Bearer x")], "").await;
        assert_eq!(body, "0 0");
    }

    #[test]
    fn unusable_entries_of_the_operator_are_named() {
        let address: SocketAddr = "127.0.0.1:80".parse().unwrap();
        for bad in ["", "http://example.com", "example.com/x", "*.example.com", "a@b", "example.com:x"] {
            let error = Guard::new(address, &options(None, &[bad], &[])).unwrap_err();
            assert_eq!(error, GuardError::Host(bad.to_owned()));
        }
        for bad in ["", "example.com", "null", "https://", "https://a/b", "https://a:1:*", "ftp://a", "*"] {
            let error = Guard::new(address, &options(None, &[], &[bad])).unwrap_err();
            assert_eq!(error, GuardError::Origin(bad.to_owned()));
        }
    }

    #[test]
    fn the_library_is_told_the_same_rules() {
        let options = options(Some(TOKEN), &["tools.example:8443", "::2"], &["https://app.example", "http://a:*"]);
        let local = Guard::new("127.0.0.1:80".parse().unwrap(), &options).unwrap();
        assert_eq!(
            local.sites.library_hosts(),
            ["localhost", "127.0.0.1", "[::1]", "127.0.0.1", "tools.example:8443", "[::2]"]
        );
        let origins = local.sites.library_origins();
        assert!(origins.contains(&"http://localhost:*".to_owned()), "{origins:?}");
        let public = Guard::new("0.0.0.0:80".parse().unwrap(), &options).unwrap();
        assert_eq!(public.sites.library_hosts(), Vec::<String>::new());
        assert_eq!(public.sites.library_origins(), ["https://app.example:443", "http://a:*"]);
    }

    #[test]
    fn nothing_prints_the_token() {
        let options = options(Some(TOKEN), &[], &[]);
        let guard = Guard::new("127.0.0.1:80".parse().unwrap(), &options).unwrap();
        assert!(!format!("{guard:?} {options:?}").contains("canary"));
    }
}
