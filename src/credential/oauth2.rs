//! OAuth 2 client credentials (RFC 6749, section 4.4): a token is fetched from the authorization server, kept until it
//! runs out, and fetched anew once when the service refuses it.
//!
//! Where only the issuer is known, its metadata names the token endpoint (RFC 8414, OpenID Connect Discovery 1.0).

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use tokio::time::Instant;
use url::{Url, form_urlencoded};
use zeroize::Zeroizing;

use super::{Secret, authorize, send::Way};
use crate::{base_url::is_loopback, error::CallError};

/// How long before its end a token is replaced, at most. Of short-lived ones a tenth of their life is enough.
const MARGIN: Duration = Duration::from_secs(30);
/// How many tokens are remembered for masking: calls in flight may still carry older ones.
const REMEMBERED: usize = 4;

/// A client and the token it holds.
#[derive(Debug)]
pub struct OAuth2 {
    client: Client,
    state: Mutex<State>,
    /// Held while a token is fetched, so that calls at the same time fetch one.
    fetching: tokio::sync::Mutex<()>,
}

/// Who asks for a token, where, and for what.
#[derive(Clone, Debug)]
pub struct Client {
    /// Where tokens are issued.
    pub endpoint: TokenEndpoint,
    /// The client's name.
    pub id: Secret,
    /// The client's secret.
    pub secret: Secret,
    /// `scope`, separated by spaces; left out where empty.
    pub scope: String,
    /// `audience`, which some servers ask for.
    pub audience: Option<String>,
    /// `resource` (RFC 8707).
    pub resource: Option<String>,
}

/// Where tokens are issued. Encrypted, or on this machine: see [`is_safe`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenEndpoint {
    /// Here.
    At(Url),
    /// Where the metadata of this issuer says.
    Of(Url),
}

impl TokenEndpoint {
    /// The endpoint, or the issuer that names it.
    pub fn url(&self) -> &Url {
        match self {
            Self::At(url) | Self::Of(url) => url,
        }
    }
}

#[derive(Debug, Default)]
struct State {
    token: Option<Token>,
    /// Tokens that were issued, the last one last.
    issued: Vec<SecretString>,
    /// The endpoint that the issuer named.
    endpoint: Option<(Url, Authentication)>,
}

#[derive(Clone, Debug)]
struct Token {
    value: SecretString,
    /// When to fetch another.
    until: Option<Instant>,
}

/// How a client shows its secret to the token endpoint (RFC 6749, section 2.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Authentication {
    /// In `Authorization: Basic`.
    Header,
    /// In the body.
    Body,
}

/// The members of an issuer's metadata that matter (RFC 8414, section 2).
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    token_endpoint: String,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

/// An answer of the token endpoint (RFC 6749, section 5.1).
#[derive(Deserialize)]
struct Issued {
    access_token: String,
    token_type: Option<String>,
    #[serde(default, deserialize_with = "seconds")]
    expires_in: Option<f64>,
}

/// A refusal of the token endpoint (RFC 6749, section 5.2).
#[derive(Deserialize)]
struct Refused {
    error: String,
}

/// Whether a client's secret may be sent to this address: it is encrypted, or stays on this machine.
pub fn is_safe(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url))
}

impl Client {
    /// Whether both would be given the same token.
    pub fn is_same(&self, other: &Self) -> bool {
        self.endpoint == other.endpoint
            && (&self.scope, &self.audience, &self.resource) == (&other.scope, &other.audience, &other.resource)
            && self.id.is_same(&other.id)
            && self.secret.is_same(&other.secret)
    }

    fn request(&self, endpoint: &Url, authentication: Authentication) -> Result<Request<Bytes>, CallError> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        if !self.scope.is_empty() {
            form.append_pair("scope", &self.scope);
        }
        for (name, value) in [("audience", &self.audience), ("resource", &self.resource)] {
            if let Some(value) = value {
                form.append_pair(name, value);
            }
        }
        if authentication == Authentication::Body {
            form.append_pair("client_id", self.id.expose());
            form.append_pair("client_secret", self.secret.expose());
        }
        let request = Request::builder()
            .method(Method::POST)
            .uri(endpoint.as_str())
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let mut request = request
            .body(Bytes::from(form.finish()))
            .map_err(|error| CallError::Internal(format!("token request: {error}")))?;
        if authentication == Authentication::Header {
            authorize(request.headers_mut(), "Basic ", &self.basic())?;
        }
        Ok(request)
    }

    /// Both are form-encoded first, unlike in RFC 7617 (RFC 6749, section 2.3.1).
    fn basic(&self) -> Zeroizing<String> {
        let encoded = |secret: &Secret| {
            Zeroizing::new(form_urlencoded::byte_serialize(secret.expose().as_bytes()).collect::<String>())
        };
        let pair = Zeroizing::new(format!("{}:{}", *encoded(&self.id), *encoded(&self.secret)));
        Zeroizing::new(BASE64_STANDARD.encode(pair.as_bytes()))
    }
}

impl OAuth2 {
    /// A client that holds no token yet.
    pub fn new(client: Client) -> Self {
        Self { client, state: Mutex::default(), fetching: tokio::sync::Mutex::default() }
    }

    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What no answer may repeat.
    pub(super) fn secrets(&self) -> Vec<SecretString> {
        let mut secrets = self.issued_tokens();
        secrets.extend(self.client.secret.secrets());
        secrets.push(SecretString::from(self.client.basic().as_str()));
        secrets
    }

    /// The tokens that were issued and may still be good.
    pub(super) fn issued_tokens(&self) -> Vec<SecretString> {
        self.state().issued.clone()
    }

    /// What a shell has in the place of the token, which no variable holds.
    pub(super) fn stand_in(&self) -> Secret {
        Secret::new(SecretString::from(""), Some("$ACCESS_TOKEN".to_owned()))
    }

    pub(super) async fn send(&self, request: Request<Bytes>, way: Way<'_>) -> Result<Response<Bytes>, CallError> {
        let kept = self.kept();
        let was_kept = kept.is_some();
        let token = match kept {
            Some(token) => token,
            None => self.fetch(way).await?,
        };
        let response = way.send(bearing(request.clone(), &token)?).await?;
        if response.status() != StatusCode::UNAUTHORIZED || !was_kept {
            return Ok(response);
        }
        // It may have been withdrawn before its time.
        self.discard(&token);
        let token = self.fetch(way).await?;
        way.send(bearing(request, &token)?).await
    }

    /// A token of now: one that another call has just fetched, else a new one.
    async fn fetch(&self, way: Way<'_>) -> Result<SecretString, CallError> {
        let fetch = async {
            let _alone = self.fetching.lock().await;
            match self.kept() {
                Some(token) => Ok(token),
                None => self.ask(way).await,
            }
        };
        match way.within(fetch).await {
            Ok(Err(CallError::Timeout(_))) | Err(CallError::Timeout(_)) => {
                Err(passing("the authorization server did not answer in time"))
            }
            result => result?,
        }
    }

    async fn ask(&self, way: Way<'_>) -> Result<SecretString, CallError> {
        let (endpoint, authentication) = self.endpoint(way).await?;
        let mut response = submit(way, self.client.request(&endpoint, authentication)?).await?;
        // Many a server takes the secret in one of the two places only, and says no more than this.
        if is_unknown_client(&response) {
            let other = match authentication {
                Authentication::Header => Authentication::Body,
                Authentication::Body => Authentication::Header,
            };
            let second = submit(way, self.client.request(&endpoint, other)?).await?;
            if second.status() == StatusCode::OK {
                self.state().endpoint = Some((endpoint, other));
                response = second;
            }
        }
        let (value, seconds) = read(&response, &self.client)?;
        let life = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let until = life.map(|life| life.saturating_sub(MARGIN.min(life / 10)));
        // A life beyond what the clock can tell is as good as one without an end.
        let until = until.and_then(|life| Instant::now().checked_add(life));
        tracing::debug!("an access token was issued");
        let mut state = self.state();
        if state.issued.len() >= REMEMBERED {
            state.issued.remove(0);
        }
        state.issued.push(value.clone());
        state.token = Some(Token { value: value.clone(), until });
        Ok(value)
    }

    async fn endpoint(&self, way: Way<'_>) -> Result<(Url, Authentication), CallError> {
        if let Some(known) = self.state().endpoint.clone() {
            return Ok(known);
        }
        let found = match &self.client.endpoint {
            TokenEndpoint::At(url) => (url.clone(), Authentication::Header),
            TokenEndpoint::Of(issuer) => discover(issuer, way).await?,
        };
        self.state().endpoint = Some(found.clone());
        Ok(found)
    }

    /// The token, unless it has run out.
    fn kept(&self) -> Option<SecretString> {
        let state = self.state();
        let token = state.token.as_ref()?;
        token.until.is_none_or(|until| Instant::now() < until).then(|| token.value.clone())
    }

    /// Forgets a token, unless another has taken its place.
    fn discard(&self, refused: &SecretString) {
        let mut state = self.state();
        if state.token.as_ref().is_some_and(|token| token.value.expose_secret() == refused.expose_secret()) {
            state.token = None;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change under the lock leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn bearing(mut request: Request<Bytes>, token: &SecretString) -> Result<Request<Bytes>, CallError> {
    authorize(request.headers_mut(), "Bearer ", token.expose_secret())?;
    Ok(request)
}

/// Where an issuer's metadata may be (RFC 8414, section 3; OpenID Connect Discovery 1.0, section 4).
pub fn metadata_places(issuer: &Url) -> [Url; 2] {
    let path = issuer.path().trim_end_matches('/');
    let mut places = [issuer.clone(), issuer.clone()];
    let [oauth, openid] = &mut places;
    oauth.set_path(&format!("/.well-known/oauth-authorization-server{path}"));
    openid.set_path(&format!("{path}/.well-known/openid-configuration"));
    places
}

/// The token endpoint of an issuer.
async fn discover(issuer: &Url, way: Way<'_>) -> Result<(Url, Authentication), CallError> {
    for place in metadata_places(issuer) {
        let request = Request::builder().uri(place.as_str()).header(header::ACCEPT, "application/json");
        let request = request.body(Bytes::new()).map_err(|error| CallError::Internal(format!("metadata: {error}")))?;
        let response = submit(way, request).await?;
        if response.status() != StatusCode::OK {
            continue;
        }
        let Ok(metadata) = serde_json::from_slice::<Metadata>(response.body()) else { continue };
        // Else one server could answer for another (RFC 8414, section 3.3).
        if metadata.issuer.trim_end_matches('/') != issuer.as_str().trim_end_matches('/') {
            return Err(lasting("the metadata of the authorization server is that of another issuer"));
        }
        let endpoint = Url::parse(&metadata.token_endpoint).ok().filter(is_safe);
        let endpoint = endpoint.ok_or_else(|| {
            lasting("the metadata of the authorization server names no token endpoint over `https://`")
        })?;
        // An answer names no other host than its own, unless that may be called anyway.
        if endpoint.origin() != issuer.origin() && way.may_reach(&endpoint).is_err() {
            return Err(lasting(
                "the metadata of the authorization server names a token endpoint on another host, which has to be listed under \
                 `egress.allow` in the configuration",
            ));
        }
        let methods = metadata.token_endpoint_auth_methods_supported.unwrap_or_default();
        let names = |wanted: &str| methods.iter().any(|method| method == wanted);
        let in_body = names("client_secret_post") && !names("client_secret_basic");
        return Ok((endpoint, if in_body { Authentication::Body } else { Authentication::Header }));
    }
    Err(lasting("the authorization server has no readable metadata; name its `tokenEndpoint`"))
}

/// Sends a request to the authorization server. Its failures are not those of the service.
async fn submit(way: Way<'_>, request: Request<Bytes>) -> Result<Response<Bytes>, CallError> {
    way.send(request).await.map_err(|error| match error {
        CallError::Unreachable { reason, whose: _ } | CallError::Broken(reason) => {
            passing(&format!("the authorization server could not be reached ({reason})"))
        }
        CallError::Oversized(_) => lasting("the answer of the authorization server is too large"),
        other => other,
    })
}

fn is_unknown_client(response: &Response<Bytes>) -> bool {
    matches!(response.status().as_u16(), 400 | 401)
        && serde_json::from_slice::<Refused>(response.body()).is_ok_and(|refused| refused.error == "invalid_client")
}

/// The token of an answer and its life in seconds. What else the server said is not repeated: it may hold the request.
fn read(response: &Response<Bytes>, client: &Client) -> Result<(SecretString, Option<f64>), CallError> {
    let status = response.status();
    if status != StatusCode::OK {
        let code = serde_json::from_slice::<Refused>(response.body()).ok().map(|refused| refused.error);
        // Codes of the standard and its extensions; any other text might be anything. A secret may look like one.
        let is_code = |code: &String| {
            let tells = client.secret.secrets().any(|secret| code.contains(secret.expose_secret()));
            !tells && code.len() <= 64 && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        };
        let code = code.filter(is_code);
        let code = code.map(|code| format!(" `{code}`")).unwrap_or_default();
        let problem = format!("the authorization server answered {}{code}", status.as_u16());
        let passes = status.is_server_error() || matches!(status.as_u16(), 408 | 429);
        return Err(if passes { passing(&problem) } else { lasting(&problem) });
    }
    let Ok(issued) = serde_json::from_slice::<Issued>(response.body()) else {
        return Err(lasting("the answer of the authorization server holds no `access_token`"));
    };
    if issued.token_type.as_ref().is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err(lasting("the authorization server issued a token that is no bearer token"));
    }
    let value = &issued.access_token;
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(lasting("the authorization server issued a token that no request can carry"));
    }
    Ok((SecretString::from(issued.access_token), issued.expires_in))
}

fn passing(problem: &str) -> CallError {
    CallError::Authorization { problem: problem.to_owned(), passing: true }
}

fn lasting(problem: &str) -> CallError {
    CallError::Authorization { problem: problem.to_owned(), passing: false }
}

/// A number, or one written as text, as some servers do; any other value is none.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    Ok(match serde_json::Value::deserialize(deserializer)? {
        serde_json::Value::Number(number) => number.as_f64(),
        serde_json::Value::String(text) => text.trim().parse().ok(),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::{Router, extract::Request as Incoming, response::IntoResponse as _};
    use serde_json::json;

    use super::*;
    use crate::{
        backend::{Backend, Limits},
        credential::{Credential, send},
    };

    const LIMITS: Limits = Limits { timeout: Duration::from_secs(30), max_answer_bytes: 64 * 1024 };

    /// A service and its authorization server in one: what was asked for, and how it answers.
    #[derive(Default)]
    struct Stub {
        /// Target, `Authorization` and body of every request.
        seen: Mutex<Vec<(String, String, String)>>,
        /// Answers to token requests, the first one first; then tokens that live for an hour.
        answers: Mutex<Vec<(u16, serde_json::Value)>>,
        /// Tokens that the service refuses.
        withdrawn: Mutex<Vec<String>>,
    }

    impl Stub {
        fn answering(answers: &[(u16, serde_json::Value)]) -> Arc<Self> {
            let mut answers = answers.to_vec();
            answers.reverse();
            Arc::new(Self { answers: Mutex::new(answers), ..Self::default() })
        }

        fn backend(self: &Arc<Self>) -> Backend {
            let stub = self.clone();
            Backend::Embedded(Router::new().fallback(move |request: Incoming| stub.clone().answer(request)))
        }

        async fn answer(self: Arc<Self>, request: Incoming) -> axum::response::Response {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
            let path = parts.uri.path().to_owned();
            let shown = parts.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
            let tokens = {
                let mut seen = self.seen.lock().expect("no panic");
                seen.push((path.clone(), shown.to_owned(), String::from_utf8_lossy(&body).into_owned()));
                seen.iter().filter(|(path, ..)| path == "/token").count()
            };
            let json = |status: u16, body: &serde_json::Value| {
                (StatusCode::from_u16(status).expect("a status"), body.to_string()).into_response()
            };
            if path == "/token" {
                // Others may ask meanwhile.
                tokio::task::yield_now().await;
                let answer = self.answers.lock().expect("no panic").pop();
                let (status, answer) = answer.unwrap_or_else(|| (200, issued(tokens, Some(json!(3600)))));
                return json(status, &answer);
            }
            let metadata = json!({"issuer": "https://as.test/tenant/", "token_endpoint": "https://as.test/token",
                "token_endpoint_auth_methods_supported": ["client_secret_post"]});
            match path.as_str() {
                "/tenant/.well-known/openid-configuration" => return json(200, &metadata),
                "/.well-known/oauth-authorization-server/evil" => return json(200, &metadata),
                other if other.contains(".well-known") => return json(404, &json!({})),
                _ => {}
            }
            let withdrawn = self.withdrawn.lock().expect("no panic");
            let refused = withdrawn.iter().any(|token| shown == format!("Bearer {token}"));
            json(if refused { 401 } else { 200 }, &json!({}))
        }

        fn bearers(&self) -> Vec<String> {
            let seen = self.seen.lock().expect("no panic");
            seen.iter().filter(|(path, ..)| path == "/x").map(|(_, shown, _)| shown.replace("Bearer ", "")).collect()
        }

        fn token_requests(&self) -> Vec<(String, String)> {
            let seen = self.seen.lock().expect("no panic");
            let asked = seen.iter().filter(|(path, ..)| path == "/token");
            asked.map(|(_, shown, body)| (shown.clone(), body.clone())).collect()
        }
    }

    fn issued(number: usize, life: Option<serde_json::Value>) -> serde_json::Value {
        let mut issued = json!({"access_token": format!("canary-token-{number}"), "token_type": "Bearer"});
        issued["expires_in"] = life.unwrap_or_default();
        issued
    }

    fn credential(endpoint: TokenEndpoint) -> Credential {
        Credential::OAuth2(Arc::new(OAuth2::new(Client {
            endpoint,
            id: Secret::unnamed("id with space"),
            secret: Secret::unnamed("canary-secret:%"),
            scope: "read write".to_owned(),
            audience: Some("urn:api".to_owned()),
            resource: Some("https://api.test/".to_owned()),
        })))
    }

    fn at() -> Credential {
        credential(TokenEndpoint::At(Url::parse("https://as.test/token").expect("a URL")))
    }

    async fn call(credential: &Credential, backend: &Backend) -> Result<u16, CallError> {
        let request = Request::builder().uri("https://api.test/x").body(Bytes::new()).expect("a request");
        send(request, credential, backend, &LIMITS).await.map(|response| response.status().as_u16())
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_kept_until_shortly_before_its_end() {
        for (life, kept_for, renewed_after) in [
            (json!(3600), 3569, 3571),
            (json!("3600"), 3569, 3571),
            (json!(60), 53, 55),
            (json!(null), 1_000_000, u64::MAX),
            (json!(1e300), 1_000_000, u64::MAX),
            (json!(-5), 1_000_000, u64::MAX),
        ] {
            let stub = Stub::answering(&[(200, issued(1, Some(life.clone())))]);
            let (credential, backend) = (at(), stub.backend());
            call(&credential, &backend).await.expect("an answer");
            tokio::time::advance(Duration::from_secs(kept_for)).await;
            call(&credential, &backend).await.expect("an answer");
            assert_eq!(stub.token_requests().len(), 1, "{life}");
            if renewed_after < u64::MAX {
                tokio::time::advance(Duration::from_secs(renewed_after - kept_for)).await;
                call(&credential, &backend).await.expect("an answer");
                assert_eq!(stub.bearers(), ["canary-token-1", "canary-token-1", "canary-token-2"], "{life}");
            }
        }
    }

    #[tokio::test]
    async fn a_token_that_is_refused_is_replaced_once() {
        let stub = Stub::answering(&[]);
        let (credential, backend) = (at(), stub.backend());
        assert_eq!(call(&credential, &backend).await.expect("an answer"), 200);
        stub.withdrawn.lock().expect("no panic").push("canary-token-1".to_owned());
        assert_eq!(call(&credential, &backend).await.expect("an answer"), 200);
        assert_eq!(stub.bearers(), ["canary-token-1", "canary-token-1", "canary-token-2"]);
        stub.withdrawn.lock().expect("no panic").extend(["canary-token-2".to_owned(), "canary-token-3".to_owned()]);
        assert_eq!(call(&credential, &backend).await.expect("an answer"), 401, "once, not for ever");
        let secrets: Vec<String> =
            credential.secrets().iter().map(|secret| secret.expose_secret().to_owned()).collect();
        for token in ["canary-token-1", "canary-token-3", "canary-secret:%"] {
            assert!(secrets.iter().any(|secret| secret == token), "{token} is to be masked");
        }
        assert!(!format!("{credential:?} {:?}", credential.describe()).contains("canary"));
    }

    #[tokio::test]
    async fn calls_at_the_same_time_fetch_one_token() {
        let stub = Stub::answering(&[]);
        let (credential, backend) = (at(), stub.backend());
        let calls = (0..20).map(|_| call(&credential, &backend));
        for answer in futures_util::future::join_all(calls).await {
            assert_eq!(answer.expect("an answer"), 200);
        }
        assert_eq!(stub.token_requests().len(), 1);
    }

    #[tokio::test]
    async fn the_client_shows_itself_where_the_server_looks() {
        // RFC 6749, section 2.3.1: form-encoded, then base64
        let header = format!("Basic {}", BASE64_STANDARD.encode("id+with+space:canary-secret%3A%25"));
        let asked =
            "grant_type=client_credentials&scope=read+write&audience=urn%3Aapi&resource=https%3A%2F%2Fapi.test%2F";
        let stub = Stub::answering(&[]);
        call(&at(), &stub.backend()).await.expect("an answer");
        assert_eq!(stub.token_requests(), [(header.clone(), asked.to_owned())]);
        // Found through the issuer, which wants it in the body.
        let in_body = format!("{asked}&client_id=id+with+space&client_secret=canary-secret%3A%25");
        let stub = Stub::answering(&[]);
        let issuer = Url::parse("https://as.test/tenant").expect("a URL");
        call(&credential(TokenEndpoint::Of(issuer)), &stub.backend()).await.expect("an answer");
        assert_eq!(stub.token_requests(), [(String::new(), in_body.clone())]);
        // Refused in the header, taken in the body, and remembered.
        let stub = Stub::answering(&[(401, json!({"error": "invalid_client"})), (200, issued(1, Some(json!(0))))]);
        let (credential, backend) = (at(), stub.backend());
        call(&credential, &backend).await.expect("an answer");
        call(&credential, &backend).await.expect("an answer");
        let body = (String::new(), in_body);
        assert_eq!(stub.token_requests(), [(header, asked.to_owned()), body.clone(), body]);
    }

    #[tokio::test]
    async fn failures_say_what_stood_in_the_way_and_no_secret() {
        let canary = json!({"error": "canary-secret:%", "error_description": "canary"});
        for (answer, expected, passing) in [
            ((400, json!({"error": "invalid_scope"})), "answered 400 `invalid_scope`", false),
            ((400, canary), "answered 400", false),
            ((503, json!(null)), "answered 503", true),
            ((200, json!({"token": "canary"})), "no `access_token`", false),
            ((200, json!({"access_token": "canary", "token_type": "mac"})), "no bearer token", false),
            ((200, json!({"access_token": "canary x"})), "no request can carry", false),
            ((302, json!({})), "answered 302", false),
        ] {
            let stub = Stub::answering(&[answer]);
            let error = call(&at(), &stub.backend()).await.expect_err(expected);
            assert!(matches!(error, CallError::Authorization { passing: own, .. } if own == passing), "{error}");
            let text = error.to_string();
            assert!(text.contains(expected) && !text.contains("canary"), "{text}");
            assert!(stub.bearers().is_empty(), "nothing was sent to the service");
        }
        // A secret that looks like a code is none.
        let known = at();
        let Credential::OAuth2(oauth) = &known else { panic!("a client") };
        let client = Client { secret: Secret::unnamed("canary_words"), ..oauth.client().clone() };
        let stub = Stub::answering(&[(400, json!({"error": "canary_words"}))]);
        let error = call(&Credential::OAuth2(Arc::new(OAuth2::new(client))), &stub.backend()).await.expect_err("400");
        assert!(!error.to_string().contains("canary"), "{error}");
        for (issuer, expected) in
            [("https://as.test/evil", "another issuer"), ("https://as.test/none", "no readable metadata")]
        {
            let issuer = Url::parse(issuer).expect("a URL");
            let error = call(&credential(TokenEndpoint::Of(issuer)), &Stub::answering(&[]).backend()).await;
            let error = error.expect_err(expected).to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_told_apart_by_who_is_silent() {
        for silent in ["/token", "/x"] {
            let router = Router::new().fallback(move |request: Incoming| async move {
                if request.uri().path() == silent {
                    std::future::pending::<()>().await;
                }
                issued(1, Some(json!(3600))).to_string()
            });
            let error = call(&at(), &Backend::Embedded(router)).await.expect_err("silence");
            match silent {
                "/token" => assert!(error.to_string().contains("did not answer in time"), "{error}"),
                _ => assert!(matches!(error, CallError::Timeout(limit) if limit == LIMITS.timeout), "{error}"),
            }
        }
    }

    #[test]
    fn a_client_secret_goes_out_encrypted() {
        for (url, safe) in [
            ("https://as.test/token", true),
            ("http://127.0.0.1:1/token", true),
            ("http://localhost/token", true),
            ("http://as.test/token", false),
            ("ftp://127.0.0.1/token", false),
        ] {
            assert_eq!(is_safe(&Url::parse(url).expect(url)), safe, "{url}");
        }
    }
}
