//! Reading a resource: the answer of a call as it is, or a file. No schema binds what comes back.

use std::time::Instant;

use serde_json::Value;

use super::{Answered, Binary, CallContext, Environment, Paused, Returned, answer_of, file, log};
use crate::{
    catalog::resource::{CompiledResource, Target},
    decode::Decoded,
    error::CallError,
    media_type::is_json,
    policy::glass::Seen,
    work::work_on,
};

const JSON: &str = "application/json";

/// What a resource holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Text.
    Text {
        /// Its media type, where it is known.
        media_type: Option<String>,
        /// The text.
        text: String,
    },
    /// Bytes.
    Binary(Binary),
}

/// What came of reading a resource.
#[derive(Debug)]
pub enum Read {
    /// What it holds.
    Content(Content),
    /// What a step says it holds, as MCP has the contents of a resource.
    Returned(Vec<Value>),
    /// Nothing yet: the client is asked something.
    Paused(Box<Paused>),
}

/// Reads a resource: carries out what its answer takes, or reads the file. Dropping the future gives it up.
#[tracing::instrument(level = "debug", skip_all, fields(resource = %resource.name, request_id = %context.request_id, status))]
pub async fn read(
    resource: &CompiledResource,
    target: Target<'_>,
    environment: Environment<'_>,
    context: &CallContext,
) -> Result<Read, CallError> {
    let started = Instant::now();
    let stated = resource.media_type.as_deref();
    let (summary, result) = match target {
        Target::Answer { tool, arguments } => {
            let answer = answer_of(tool, &Value::Object(arguments), environment, context).await;
            let read = answer.map(|answer| match answer {
                Answered::Decoded(answer) => Read::Content(content(answer, stated)),
                Answered::Returned(Returned::Contents(contents)) => Read::Returned(contents),
                Answered::Returned(_) => Read::Returned(Vec::new()),
                Answered::Paused(paused) => Read::Paused(paused),
            });
            (tool.plan.summary(), read)
        }
        Target::File { folder, path, media_type } => {
            let place = file::Place::new(folder, path, media_type);
            let read = place.read(environment.limits).await;
            (format!("file {path}"), read.map(|content| Read::Content(hidden(content, environment, context))))
        }
    };
    log(|| summary, &context.request_id, started, &result);
    result
}

/// What a file holds, with the secrets in it masked.
fn hidden(content: Content, environment: Environment<'_>, context: &CallContext) -> Content {
    let (glass, seen) = (environment.policy.glass(), Seen::default());
    match content {
        Content::Text { media_type, text } => work_on(text.len(), || {
            let text = glass.text(&text, &context.principal, &seen).into_owned();
            Content::Text { media_type, text }
        }),
        Content::Binary(Binary { media_type, bytes }) => work_on(bytes.len(), || {
            Content::Binary(Binary { media_type, bytes: glass.bytes(bytes, &context.principal, &seen) })
        }),
    }
}

/// An answer as the content of a resource whose media type is stated.
fn content(answer: Decoded, stated: Option<&str>) -> Content {
    let stated = stated.unwrap_or(JSON);
    match answer {
        Decoded::Json(Value::String(text)) if !is_json(stated) => {
            Content::Text { media_type: Some(stated.to_owned()), text }
        }
        Decoded::Json(Value::Null) if !is_json(stated) => {
            Content::Text { media_type: Some(stated.to_owned()), text: String::new() }
        }
        // Whatever the service sent, what is left of it is JSON, and to call it otherwise would be a lie.
        Decoded::Json(answer) => {
            let media_type = if is_json(stated) { stated } else { JSON };
            Content::Text { media_type: Some(media_type.to_owned()), text: answer.to_string() }
        }
        Decoded::Binary { media_type, bytes } => {
            let unknown = media_type == "application/octet-stream" && !is_json(stated);
            Content::Binary(Binary { media_type: if unknown { stated.to_owned() } else { media_type }, bytes })
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_comes_back_is_called_what_it_is() {
        let text = |media_type: &str, text: &str| Content::Text {
            media_type: Some(media_type.to_owned()),
            text: text.to_owned(),
        };
        let binary =
            |media_type: &str| Decoded::Binary { media_type: media_type.to_owned(), bytes: Bytes::from_static(b"hi") };
        for (answer, stated, expected) in [
            (json!([1, "a"]), None, text("application/json", r#"[1,"a"]"#)),
            (json!({"a": 1}), Some("application/vnd.pet+json"), text("application/vnd.pet+json", r#"{"a":1}"#)),
            (json!({"a": 1}), Some("text/csv"), text("application/json", r#"{"a":1}"#)),
            (json!("a,b"), Some("text/csv"), text("text/csv", "a,b")),
            (json!("a"), None, text("application/json", r#""a""#)),
            (json!(null), None, text("application/json", "null")),
            (json!(null), Some("text/plain"), text("text/plain", "")),
        ] {
            assert_eq!(content(Decoded::Json(answer.clone()), stated), expected, "{answer} as {stated:?}");
        }
        for (came, stated, expected) in [
            ("image/png", Some("image/jpeg"), "image/png"),
            ("application/octet-stream", Some("image/jpeg"), "image/jpeg"),
            ("application/octet-stream", None, "application/octet-stream"),
        ] {
            let Content::Binary(content) = content(binary(came), stated) else { panic!("bytes") };
            assert_eq!(content.media_type, expected);
        }
    }
}
