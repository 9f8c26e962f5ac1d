//! What the page asks: who opens it, what waits, decisions, handles, tools, calls and the audit log. Each is a `POST` of JSON
//! to `/api/NAME`, with the key of a session in `Authorization`.
//!
//! Which requests get here is decided before. No answer but that of `reveal` holds a secret.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    body::{Body, to_bytes},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, StatusCode, header};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    Shared,
    acts::{self, ActError},
    session::Refused,
    tools,
    trail::Act,
};
use crate::{
    audit::AuditError,
    catalog::JsonObject,
    policy::store::{Decision, DecisionError, Handle, HandleError, HandleId, Question, QuestionId, Store, StoreError},
};

/// The largest body of somebody who has not shown anything yet, in bytes.
const MAX_STRANGERS_BODY: usize = 1024;
/// The largest body, in bytes: arguments of a call, secret values.
const MAX_BODY: usize = 1024 * 1024;
/// How many lines of the audit log are shown.
const LINES: usize = 200;

/// How a decision was made, for whoever reads of it.
pub(super) const BY: &str = "console";

/// An answer that says what is wrong.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    message: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// A fault of our own. The person is told: nobody else looks here.
    pub(super) fn fault(error: &dyn std::error::Error) -> Self {
        tracing::error!(%error, "the console could not answer");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }

    pub(super) fn into_response(self) -> Response {
        let mut response = json_answer(&json!({ "error": self.message }));
        *response.status_mut() = self.status;
        response
    }
}

/// An answer in JSON.
pub(super) fn json_answer(body: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    token: String,
}

/// What is asked again and again while the page is open.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct News {
    /// Whether somebody did something at the page meanwhile.
    active: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    name: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call {
    name: String,
    arguments: JsonObject,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Decided {
    id: String,
    confirm: bool,
    #[serde(default)]
    words: Option<String>,
    /// Memory is overwritten when it is freed.
    #[serde(default)]
    entered: BTreeMap<String, String>,
}

/// Answers one question of the page.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    path: &str,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    if path == "/api/session" {
        return open(shared, &read(body, MAX_STRANGERS_BODY).await?);
    }
    let key = key_of(headers).filter(|key| shared.sessions.knows(key, false));
    let Some(key) = key else {
        let message = "this page is not open any more; follow a new link, `keyglass console` prints one";
        return Err(Problem::new(StatusCode::UNAUTHORIZED, message));
    };
    let body = read(body, MAX_BODY).await?;
    let used = || shared.sessions.knows(&key, true);
    let look = |body: &Bytes| parse::<News>(body).map(|news| if news.active { used() } else { true });
    match path {
        // A page that is only open is no sign that somebody is there.
        "/api/waiting" => {
            look(&body)?;
            waiting(shared).await
        }
        "/api/live" => {
            look(&body)?;
            Ok(json_answer(&json!({ "live": shared.parts.live.seen() })))
        }
        "/api/charts" => {
            look(&body)?;
            Ok(json_answer(&json!({ "minutes": shared.parts.live.minutes() })))
        }
        _ => {
            used();
            act(shared, path, &body, &key).await
        }
    }
}

async fn act(shared: &Arc<Shared>, path: &str, body: &Bytes, key: &SecretString) -> Result<Response, Problem> {
    let gateway = || (shared.parts.served)();
    match path {
        "/api/leave" => {
            parse::<Nothing>(body)?;
            shared.sessions.close(key);
            Ok(done())
        }
        "/api/decide" => decide(shared, parse(body)?).await,
        "/api/handles" => {
            parse::<Nothing>(body)?;
            let (handles, now_ms) = stored(shared, |store| (store.handles(), store.now_ms())).await?;
            let shown = handles?.iter().map(shown_handle).collect::<Vec<_>>();
            Ok(json_answer(&json!({ "handles": shown, "now_ms": now_ms })))
        }
        "/api/reveal" => {
            let id = handle(&parse::<Named>(body)?.name)?;
            let revealed = acts::reveal(&shared.parts.store, &id, &tell(shared)).await;
            let value = revealed.map_err(|error| not_done(error, no_value))?;
            Ok(json_answer(&json!({ "value": value.expose_secret() })))
        }
        "/api/forget" => {
            let id = handle(&parse::<Named>(body)?.name)?;
            let forgotten = id.clone();
            if !stored(shared, move |store| store.forget(&forgotten)).await?? {
                return Err(no_value(HandleError::Unknown));
            }
            // It is gone; whether that can be told does not change it.
            tell(shared)(Act::Forgot(&id)).await.ok();
            Ok(done())
        }
        "/api/tools" => parse::<Nothing>(body).map(|_| tools::list(&gateway())),
        "/api/tool" => tools::show(&gateway(), &parse::<Named>(body)?.name),
        "/api/preview" => {
            let Call { name, arguments } = parse(body)?;
            tools::preview(&gateway(), &name, arguments)
        }
        "/api/call" => {
            let Call { name, arguments } = parse(body)?;
            tools::call(shared, &name, arguments).await
        }
        "/api/trail" => {
            parse::<Nothing>(body)?;
            trail(shared).await
        }
        _ => Err(Problem::new(StatusCode::NOT_FOUND, "there is no such question")),
    }
}

/// Opens a session by the token of a link.
fn open(shared: &Shared, body: &Bytes) -> Result<Response, Problem> {
    let token = SecretString::from(parse::<Token>(body)?.token);
    match shared.sessions.open(&token) {
        Ok(key) => Ok(json_answer(&json!({ "key": key.expose_secret() }))),
        Err(Refused::Random) => {
            Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "no randomness available on this machine"))
        }
        Err(refused) => {
            tracing::warn!("a link to the console was refused: it is none, was followed before, or is too old");
            Err(match refused {
                Refused::TooMany => Problem::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "too many wrong links; wait a minute, or take a new one",
                ),
                _ => Problem::new(
                    StatusCode::UNAUTHORIZED,
                    "this link is good once and for 10 minutes, and this one no longer is; `keyglass console` prints a new \
                     one",
                ),
            })
        }
    }
}

async fn waiting(shared: &Arc<Shared>) -> Result<Response, Problem> {
    let (waiting, now_ms) = stored(shared, |store| (store.waiting(), store.now_ms())).await?;
    let waiting = waiting?.iter().map(shown_question).collect::<Vec<_>>();
    Ok(json_answer(&json!({ "waiting": waiting, "now_ms": now_ms })))
}

fn shown_question(question: &Question) -> Value {
    json!({
        "id": question.id,
        "shown": question.shown,
        "create_time_ms": question.create_time_ms,
        "expires_at_ms": question.expires_at_ms,
    })
}

fn shown_handle(handle: &Handle) -> Value {
    json!({
        "id": handle.id.to_string(),
        "origin": handle.origin,
        "create_time_ms": handle.create_time_ms,
        "expires_at_ms": handle.expires_at_ms,
        "revealed_at_ms": handle.revealed_at_ms,
    })
}

async fn decide(shared: &Arc<Shared>, decided: Decided) -> Result<Response, Problem> {
    let Decided { id, confirm, words, entered } = decided;
    let id: QuestionId = id.parse().map_err(undecided)?;
    let decision = if confirm {
        let entered = entered.into_iter().map(|(pointer, value)| (pointer, SecretString::from(value)));
        Decision::Confirm { by: BY.to_owned(), words, entered: entered.collect() }
    } else {
        Decision::Refuse { by: BY.to_owned() }
    };
    let decided = acts::decide(&shared.parts.store, id, decision, &tell(shared)).await;
    let question = decided.map_err(|error| not_done(error, undecided))?;
    Ok(json_answer(&json!({ "state": question.state })))
}

fn undecided(error: DecisionError) -> Problem {
    match error {
        DecisionError::Unknown => Problem::new(StatusCode::GONE, error.to_string()),
        DecisionError::Words(_) | DecisionError::Missing(_) => {
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
        }
        DecisionError::Store(error) => Problem::fault(&error),
    }
}

fn handle(text: &str) -> Result<HandleId, Problem> {
    text.parse().map_err(no_value)
}

fn no_value(error: HandleError) -> Problem {
    match error {
        HandleError::Unknown => Problem::new(StatusCode::GONE, error.to_string()),
        HandleError::Revealed => Problem::new(StatusCode::CONFLICT, error.to_string()),
        HandleError::Store(error) => Problem::fault(&error),
    }
}

async fn trail(shared: &Arc<Shared>) -> Result<Response, Problem> {
    let Some(trail) = shared.parts.trail.clone() else { return Ok(json_answer(&json!({ "there_is_one": false }))) };
    let lines = tokio::task::spawn_blocking(move || trail.last(LINES)).await.map_err(|error| Problem::fault(&error))?;
    Ok(json_answer(&match lines {
        Ok(lines) => json!({ "there_is_one": true, "trail": lines }),
        Err(problem) => json!({ "there_is_one": true, "problem": problem }),
    }))
}

/// Writes down what a person is about to do, where there is an audit log.
fn tell(shared: &Shared) -> impl Fn(Act<'_>) -> BoxFuture<'static, Result<(), AuditError>> + Send + Sync {
    move |act| match &shared.parts.trail {
        Some(trail) => trail.tell(act),
        None => Box::pin(async { Ok(()) }),
    }
}

fn not_done<E: std::error::Error>(error: ActError<E>, refused: impl FnOnce(E) -> Problem) -> Problem {
    match error {
        ActError::Unwritten(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        ActError::Refused(error) => refused(error),
    }
}

/// Asks the store, which blocks on the disk.
async fn stored<T: Send + 'static>(
    shared: &Arc<Shared>,
    work: impl FnOnce(&Store) -> T + Send + 'static,
) -> Result<T, Problem> {
    let store = Arc::clone(&shared.parts.store);
    tokio::task::spawn_blocking(move || work(&store)).await.map_err(|error| Problem::fault(&error))
}

/// Nothing more to say.
pub(super) fn done() -> Response {
    json_answer(&json!({}))
}

/// The key of a session, as a request shows it.
fn key_of(headers: &HeaderMap) -> Option<SecretString> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    value.to_str().ok()?.strip_prefix("Bearer ").map(SecretString::from)
}

async fn read(body: Body, most: usize) -> Result<Bytes, Problem> {
    let too_large =
        |_| Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is cut off or has more than {most} bytes"));
    to_bytes(body, most).await.map_err(too_large)
}

/// What is wrong with a body is not repeated: it may hold a secret.
fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|_| {
        Problem::new(StatusCode::BAD_REQUEST, "the body is not what this question has; load the page anew")
    })
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::fault(&error)
    }
}
