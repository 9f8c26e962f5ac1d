//! Waiting for an operation that answers before it is done: asking again until the answer says so.

use std::time::Duration;

use http::{Method, Request, StatusCode, header};
use serde_json::{Value, json};
use tokio::time::Instant;
use url::Url;

use super::{
    answer::retry_after,
    client::Event,
    run::{Run, Sent},
};
use crate::{
    catalog::{
        fill::Scope,
        plan::CompiledOperation,
        poll::{ANSWER, Next, Poll},
    },
    decode::Decoded,
    error::CallError,
};

/// The least time between two requests, whatever a spec or an answer says.
const MIN_INTERVAL: Duration = Duration::from_millis(50);
/// The longest, however long an answer asks to wait.
const MAX_INTERVAL: Duration = Duration::from_secs(10 * 60);

/// What an answer says of its operation.
enum State {
    Done(Decoded),
    /// Not done, with what it says besides.
    Pending(Value),
}

impl Run<'_> {
    /// The answer of an operation that is done, of which the first one came. Error: [`CallError::Unfinished`] where it is
    /// not done in time.
    pub(super) async fn polled(
        &self,
        (operation, poll): (&CompiledOperation, &Poll),
        scope: &Scope<'_>,
        first: Sent,
        request_id: &str,
    ) -> Result<Decoded, CallError> {
        let deadline = Instant::now() + poll.timeout;
        let mut pending = match self.state(operation, poll, &first)? {
            State::Done(answer) => return Ok(answer),
            State::Pending(said) => (first, said),
        };
        let answers = json!({ ANSWER: std::mem::take(&mut pending.1) });
        let later = Scope { answers: &answers, ..*scope };
        let location = location_of(&pending.0);
        let mut sent = pending.0;
        for number in 2_u32.. {
            let asked = retry_after(sent.response.headers(), StatusCode::SERVICE_UNAVAILABLE, self.environment.clock);
            let wait = asked.unwrap_or(poll.interval).clamp(MIN_INTERVAL, MAX_INTERVAL);
            if Instant::now() + wait > deadline {
                break;
            }
            self.waiting(tokio::time::sleep(wait)).await;
            let message = Some("the operation is not done yet".to_owned());
            self.client.tell(Event::Progress { progress: f64::from(number - 1), total: None, message }).await;
            // A repeated request keeps its name: a service may take it for a retry, which it is.
            let name = format!("{request_id}-{number}");
            let (asked, again) = match &poll.next {
                Next::Again => (operation, self.waiting(self.sent(operation, scope, request_id)).await?),
                Next::Operation(asked) => (&**asked, self.waiting(self.sent(asked, &later, &name)).await?),
                Next::Location => {
                    let url = location.clone()?;
                    let request = Request::builder().method(Method::GET).uri(url.as_str());
                    let request = request.header(header::ACCEPT, operation.request.accept);
                    let request = request
                        .body(bytes::Bytes::new())
                        .map_err(|_| CallError::Unusable("an address that is none, in `Location`"))?;
                    (operation, self.waiting(self.sent_request(operation, request, &name)).await?)
                }
            };
            match self.state(asked, poll, &again)? {
                State::Done(answer) => return Ok(answer),
                State::Pending(_) => sent = again,
            }
        }
        Err(CallError::Unfinished(poll.timeout))
    }

    /// Whether an answer says that its operation is done. Error: it says that it failed.
    fn state(&self, operation: &CompiledOperation, poll: &Poll, sent: &Sent) -> Result<State, CallError> {
        let status = sent.response.status();
        let waits = poll.statuses.contains(&status.as_u16());
        if waits && (!status.is_success() || sent.response.body().is_empty()) {
            return Ok(State::Pending(Value::Null));
        }
        let answer = match self.judged(operation, sent)? {
            Decoded::Json(answer) => answer,
            bytes @ Decoded::Binary { .. } => {
                return Ok(if waits { State::Pending(Value::Null) } else { State::Done(bytes) });
            }
        };
        let done = match &poll.until {
            None => !waits,
            Some((path, values)) => path.select(&answer)?.is_some_and(|value| values.contains(&value)),
        };
        Ok(if done { State::Done(Decoded::Json(answer)) } else { State::Pending(answer) })
    }
}

/// Where an answer points. Error: nowhere, or to another origin, to which no credential goes.
fn location_of(sent: &Sent) -> Result<Url, LocationError> {
    let location = sent.response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
    let location = location.ok_or(LocationError::Absent)?;
    let base = Url::parse(&sent.uri).map_err(|_| LocationError::Absent)?;
    let url = base.join(location).map_err(|_| LocationError::Absent)?;
    if url.origin() == base.origin() { Ok(url) } else { Err(LocationError::Foreign(sent.response.status())) }
}

#[derive(Clone, Copy, Debug)]
enum LocationError {
    Absent,
    Foreign(StatusCode),
}

impl From<LocationError> for CallError {
    fn from(error: LocationError) -> Self {
        match error {
            LocationError::Absent => Self::Unusable("without the `Location` that its end is asked at"),
            LocationError::Foreign(status) => Self::Redirect { status },
        }
    }
}
