//! What to do instead of a method that the newer era (2026-07-28) gave up. The library refuses such methods with their name
//! and nothing else (rmcp 3.9.0).
//!
//! Knows no transport and nothing of what is served.

use rmcp::{
    ErrorData,
    model::{ErrorCode, ServerJsonRpcMessage},
};

/// The methods that were given up, and what took their place.
const GIVEN_UP: [(&str, &str); 4] = [
    ("ping", "any request shows that the server is there, `server/discover` for one"),
    ("resources/subscribe", "name the resource in `resourceSubscriptions` of `subscriptions/listen`"),
    ("resources/unsubscribe", "end the request `subscriptions/listen` that names the resource"),
    ("logging/setLevel", "name the level in `io.modelcontextprotocol/logLevel` of the `_meta` of each request"),
];

/// The refusal of a method that is not there in this era.
pub(super) fn unknown(method: &str) -> ErrorData {
    let message = match GIVEN_UP.iter().find(|(name, _)| *name == method) {
        Some((_, instead)) => format!("unknown method `{method}` in protocol 2026-07-28; {instead}"),
        None => format!("unknown method `{method}`"),
    };
    ErrorData::new(ErrorCode::METHOD_NOT_FOUND, message, None)
}

/// Where a message is such a refusal of the library, makes it say what to do.
pub(super) fn tell_instead(message: &mut ServerJsonRpcMessage) {
    if let ServerJsonRpcMessage::Error(error) = message
        && error.error.code == ErrorCode::METHOD_NOT_FOUND
        && GIVEN_UP.iter().any(|(name, _)| *name == error.error.message)
    {
        error.error = unknown(&error.error.message);
    }
}
