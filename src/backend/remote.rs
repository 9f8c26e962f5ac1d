//! The HTTP client towards services: no redirects, no cookies, a bounded answer. Knows nothing of tools.

use std::{error::Error as _, io, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{Request, Response};

use super::append;
use crate::{base_url::is_loopback, error::CallError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How requests name this program.
pub const USER_AGENT: &str = concat!("keyglass/", env!("CARGO_PKG_VERSION"));

/// A client with its connection pools. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Remote {
    client: reqwest::Client,
    /// For this machine itself: never through a proxy, which would see the credential.
    local: reqwest::Client,
}

impl Remote {
    /// A client. Error: what kept the TLS library from starting, as for want of root certificates.
    pub fn new() -> Result<Self, String> {
        let builder = || {
            reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(CONNECT_TIMEOUT)
                .tcp_nodelay(true)
                .referer(false)
                .user_agent(USER_AGENT)
        };
        let build = |builder: reqwest::ClientBuilder| builder.build().map_err(|error| causes(&error));
        Ok(Self { client: build(builder())?, local: build(builder().no_proxy())? })
    }

    pub(super) async fn send(&self, request: Request<Bytes>, limit: usize) -> Result<Response<Bytes>, CallError> {
        let path = request.uri().path().to_owned();
        let request: reqwest::Request = request
            .try_into()
            .map_err(|error: reqwest::Error| CallError::Internal(format!("not a request: {}", error.without_url())))?;
        // The client's own URL parser has the last word on what goes out.
        if request.url().path() != path {
            return Err(CallError::Internal("the HTTP client would change the path".to_owned()));
        }
        let client = if is_loopback(request.url()) { &self.local } else { &self.client };
        let mut answer = client.execute(request).await.map_err(|error| no_answer(&error))?;
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
