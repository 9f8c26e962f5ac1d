//! The HTTP client towards services: no redirects, no cookies, a bounded answer, and no address that was not checked. Knows
//! nothing of tools.

use std::{error::Error as _, io, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use hyper_util::client::proxy::matcher::Matcher;

use super::{
    append,
    lookup::{Lookup, Vetted},
};
use crate::{
    egress::{Egress, Policy, Reach, Refusal},
    error::CallError,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How requests name this program.
pub const USER_AGENT: &str = concat!("keyglass/", env!("CARGO_PKG_VERSION"));

/// A client with its connection pools. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Remote {
    clients: Arc<Clients>,
    egress: Arc<Egress>,
}

/// A client for each distance that requests may go. A connection that is kept was made to an address that was checked for it.
#[derive(Debug)]
struct Clients {
    public: reqwest::Client,
    private: reqwest::Client,
    /// For this machine itself: never through a proxy, which would see the credential.
    local: reqwest::Client,
    /// Through the proxies that the environment names. They look names up themselves.
    proxied: reqwest::Client,
    proxies: Proxies,
}

/// The proxies that the environment names.
struct Proxies(Matcher);

impl std::fmt::Debug for Proxies {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Proxies")
    }
}

impl Remote {
    /// A client whose requests go no further than this. Error: what kept the TLS library from starting, as for want of root
    /// certificates.
    pub fn new(egress: Egress, lookup: &Lookup) -> Result<Self, String> {
        let builder = || {
            reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(CONNECT_TIMEOUT)
                .tcp_nodelay(true)
                .referer(false)
                .user_agent(USER_AGENT)
        };
        let build = |builder: reqwest::ClientBuilder| builder.build().map_err(|error| causes(&error));
        let direct = |reach| {
            let policy: Arc<Policy> = Arc::clone(egress.policy());
            build(builder().no_proxy().dns_resolver(Vetted { lookup: lookup.clone(), policy, reach }))
        };
        let clients = Clients {
            public: direct(Reach::Public)?,
            private: direct(Reach::Private)?,
            local: direct(Reach::Loopback)?,
            proxied: build(builder())?,
            proxies: Proxies(Matcher::from_env()),
        };
        Ok(Self { clients: Arc::new(clients), egress: Arc::new(egress) })
    }

    /// The same connections, for requests that go no further than this. What the operator says of it has to be the same.
    #[must_use]
    pub fn within(&self, egress: Egress) -> Self {
        Self { clients: Arc::clone(&self.clients), egress: Arc::new(egress) }
    }

    /// Whether a request may go to a URL that an answer names. Error: why not.
    pub fn may_reach(&self, url: &url::Url) -> Result<(), Refusal> {
        self.egress.reach(url).map(|_| ())
    }

    pub(super) async fn send(&self, request: Request<Bytes>, limit: usize) -> Result<Response<Bytes>, CallError> {
        let uri = request.uri().clone();
        let request: reqwest::Request = request
            .try_into()
            .map_err(|error: reqwest::Error| CallError::Internal(format!("not a request: {}", error.without_url())))?;
        // The client's own URL parser has the last word on what goes out.
        if request.url().path() != uri.path() {
            return Err(CallError::Internal("the HTTP client would change the path".to_owned()));
        }
        let refused = |reason| CallError::RefusedHost { host: uri.host().unwrap_or_default().to_owned(), reason };
        let reach = self.egress.reach(request.url()).map_err(refused)?;
        let client = match reach {
            Reach::Loopback => &self.clients.local,
            _ if self.clients.proxies.0.intercept(&uri).is_some() => &self.clients.proxied,
            Reach::Public => &self.clients.public,
            Reach::Private => &self.clients.private,
        };
        let mut answer = client.execute(request).await.map_err(|error| match refusal(&error) {
            Some(reason) => refused(reason),
            None => no_answer(&error),
        })?;
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = answer.status();
        *response.headers_mut() = std::mem::take(answer.headers_mut());
        let announced = response.headers().get(http::header::CONTENT_LENGTH).and_then(|length| length.to_str().ok());
        if announced.and_then(|length| length.parse::<usize>().ok()).is_some_and(|length| length > limit) {
            return Err(CallError::Oversized(limit));
        }
        let mut collected = BytesMut::new();
        while let Some(chunk) = answer.chunk().await.map_err(|_| CallError::Broken("in the middle of its body"))? {
            append(&mut collected, &chunk, limit)?;
        }
        *response.body_mut() = collected.freeze();
        Ok(response)
    }
}

/// Why no address may be connected to, where that is what failed.
fn refusal(error: &reqwest::Error) -> Option<Refusal> {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(refusal) = cause.downcast_ref::<Refusal>() {
            return Some(*refusal);
        }
        source = cause.source();
    }
    None
}

/// Why there was no answer, in words that tell nothing of the network's inside. A request that may have arrived is told
/// from one that cannot have.
fn no_answer(error: &reqwest::Error) -> CallError {
    let reason = reason(error);
    if error.is_connect() { CallError::Unreachable { reason, whose: String::new() } } else { CallError::Broken(reason) }
}

fn reason(error: &reqwest::Error) -> &'static str {
    let mut source = error.source();
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<io::Error>() {
            match io.kind() {
                io::ErrorKind::ConnectionRefused => return "the connection was refused",
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => {
                    return "the connection was cut";
                }
                io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => return "there is no route to it",
                _ => {}
            }
        }
        let text = cause.to_string();
        if text.contains("dns error") || text.contains("failed to lookup address") {
            return "its host name could not be resolved";
        }
        if text.contains("certificate") || text.contains("TLS") || text.contains("HandshakeFailure") {
            return "the TLS handshake failed";
        }
        source = cause.source();
    }
    match error {
        error if error.is_timeout() => "no connection was made in time",
        error if error.is_connect() => "no connection could be made",
        _ => "what came back is not HTTP",
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
