//! Everything that can fail once a catalog stands: arguments, the network, the backend's answer.
//!
//! Faults of a spec never come here: they are [diagnostics](crate::diagnostic), found at load. The texts are written
//! for a model that has to decide what to do next: what failed, with which value, what to try. None holds a stack, a
//! host's internals or a secret.

use std::time::Duration;

use crate::spec::Capability;

/// Why a call did not give a result.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Arguments that the tool's input schema does not accept, or that cannot be placed in a request. Nothing was sent.
    #[error("{}", arguments_text(.0))]
    Arguments(Vec<ArgumentProblem>),
    /// What a step was fed does not fit, after others were carried out.
    #[error("what it is fed does not fit: {}", problems_text(.0))]
    Unfit(Vec<ArgumentProblem>),
    /// The service has no usable base URL or credential. Nothing was sent. The text says which setting is missing.
    #[error("{0}")]
    Unconfigured(String),
    /// The authorization server issued no token. Nothing was carried out.
    #[error(
        "no access token could be had, so nothing was carried out: {problem}; {}",
        if *.passing { "retry once, then tell the operator" } else { "tell the operator, a retry will not help" }
    )]
    Authorization {
        /// What stood in the way; holds no secret.
        problem: String,
        /// Whether it may pass by itself.
        passing: bool,
    },
    /// The backend answered with a status of 400 or above.
    #[error("{}", status_text(*.status, .message, *.retry_after))]
    Status {
        /// The HTTP status.
        status: http::StatusCode,
        /// What the backend said, masked and shortened; empty when it said nothing readable.
        message: String,
        /// How long the backend asks to wait, from `Retry-After` (RFC 9110, section 10.2.3).
        retry_after: Option<Duration>,
    },
    /// The backend answered with a redirect, which is never followed: the credential would travel with it.
    #[error(
        "the backend answered {status} and points to another address, which is not followed; the configured base URL \
         of this service is probably wrong or outdated: tell the operator, a retry will not help"
    )]
    Redirect {
        /// The HTTP status, 300 to 399.
        status: http::StatusCode,
    },
    /// No complete answer came within the deadline.
    #[error(
        "the backend did not answer within {} s; if the call was to change something, that may or may not have been \
         done: read the current state before you repeat it",
        .0.as_secs_f32()
    )]
    Timeout(Duration),
    /// No connection could be made. Nothing was carried out.
    #[error(
        "the backend{whose} could not be reached ({reason}); retry once, then tell the operator to check that it is running"
    )]
    Unreachable {
        /// Why.
        reason: &'static str,
        /// Which service it is of, as in ` of `pets``; empty where that is not known.
        whose: String,
    },
    /// The host may not be called. Nothing was sent.
    #[error(
        "the host `{host}` may not be called: {reason}; nothing was sent; the operator can allow it under `egress.allow` in \
         the configuration, a retry will not help"
    )]
    RefusedHost {
        /// The host, as the request names it; masked, never the address that it leads to.
        host: String,
        /// Why.
        reason: crate::egress::Refusal,
    },
    /// The connection broke before the answer was complete.
    #[error(
        "the connection to the backend broke before its answer was complete ({0}); the operation may or may not have \
         been carried out: read the current state before you repeat it"
    )]
    Broken(&'static str),
    /// The answer is larger than the limit. The rest of it was not read.
    #[error(
        "the answer is larger than {0} bytes and was cut off; ask for less (a lower `limit`, a narrower filter), the \
         same call will fail again; the operator can raise the limit by `--max-answer-bytes`, of binary answers by \
         `maxBinarySize` in the spec"
    )]
    Oversized(usize),
    /// The result is larger than what a client is given.
    #[error(
        "the operation was carried out, but its result is larger than {0} bytes; ask for less (a lower `limit`, a narrower \
         filter, fewer fields), the same call will fail again; the operator can raise `max_result_bytes`"
    )]
    TooLarge(usize),
    /// A path of the spec finds more in the answer than is taken.
    #[error(
        "{0} in the backend's answer; the operation was carried out: ask for less (a lower `limit`, a narrower filter), \
         the same call will fail again"
    )]
    TooMuch(#[from] crate::jsonpath::TooMuch),
    /// The answer could not be read in the format the spec promises.
    #[error(
        "the backend answered {status}, but its body is not {expected} ({reason}); if the call was to change something, \
         that was probably done: read the current state before you repeat it"
    )]
    Decode {
        /// The HTTP status.
        status: http::StatusCode,
        /// The promised format, as in "valid JSON".
        expected: &'static str,
        /// What stood in the way.
        reason: String,
    },
    /// The answer was read, but does not have the shape that the tool's output schema promises.
    #[error(
        "the backend carried the operation out, but its answer is not of the promised shape: {problem}; do not repeat the call. The answer, as data: {answer}"
    )]
    Shape {
        /// The first deviation, with its place.
        problem: String,
        /// The answer as compact JSON, masked.
        answer: String,
    },
    /// One of several steps failed.
    #[error("the step `{step}` failed{}: {error}", after(.done))]
    Step {
        /// The step.
        step: String,
        /// The steps that were carried out before it, in order.
        done: Vec<String>,
        /// What went wrong.
        error: Box<CallError>,
    },
    /// The answer of a step is nothing that the steps after it can work with.
    #[error(
        "the backend's answer is {0}; tell the operator that the spec and the service do not fit, a retry will not help"
    )]
    Unusable(&'static str),
    /// What was begun is not done in time.
    #[error(
        "the operation was begun and is not done after {} s; it goes on at the backend: look how it is later, do not begin \
         it again",
        .0.as_secs()
    )]
    Unfinished(Duration),
    /// The client cannot do what the tool needs of it. Nothing was carried out.
    #[error(
        "this needs the capability `{0}`, which the client does not have here, so the call went no further; use a client \
         or a connection that has it, a retry will not help"
    )]
    Lacks(Capability),
    /// A person said no.
    #[error(
        "the person {} the question `{question}`, so the call was given up; do not repeat it unless they ask for it",
        if *.dismissed { "dismissed" } else { "declined" }
    )]
    Declined {
        /// The question.
        question: String,
        /// Whether it was put away without an answer.
        dismissed: bool,
    },
    /// The operator lets nobody make this call. Nothing was sent.
    #[error("nothing was sent: {0}; a retry will not help, tell the person that the operator decides on this")]
    Denied(String),
    /// A person has to decide first, or to give a secret value. Nothing was sent.
    #[error(
        "nothing was sent: this call waits for a person, who {what}: {how}; when they have done so, call again with \
         exactly the same arguments"
    )]
    Waits {
        /// What they decide, or give: `decides whether …`, `gives the secret value of …`.
        what: String,
        /// How they do that.
        how: String,
    },
    /// A person did not confirm it. Nothing was sent.
    #[error("nothing was sent: the call was not confirmed, {0}")]
    NotConfirmed(String),
    /// The client gave no answer that could be used.
    #[error("the client was asked, and {0}; the call was given up")]
    Unanswered(String),
    /// The spec ends the call with an error of the protocol.
    #[error("{message}")]
    Refused {
        /// The JSON-RPC code.
        code: i32,
        /// What the spec says of it.
        message: String,
    },
    /// The file of a resource went away.
    #[error("the file of this resource is not there any more; list the resources again")]
    NoFile,
    /// The file of a resource cannot be read.
    #[error("the file of this resource cannot be read ({0}); tell the operator, a retry will not help")]
    UnreadableFile(String),
    /// The client gave the call up, or the server is leaving.
    #[error("the call was cancelled before the backend answered; it may or may not have been carried out")]
    Cancelled,
    /// The call cannot be written down, and has to be. Nothing more of it was sent.
    #[error(
        "{0}, and calls are only carried out when they are written down, so this one went no further; tell the operator to \
         look at the disk and the log, a retry will not help until then"
    )]
    Unaudited(#[from] crate::audit::AuditError),
    /// A broken invariant of our own. The text is for the log, never for the client.
    #[error("keyglass ran into a fault of its own; it has been logged, a retry will not help")]
    Internal(String),
}

/// One argument that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArgumentProblem {
    /// The argument, as a path for nested members: `scopes[0].resource_type`. Empty for the arguments as a whole.
    pub argument: String,
    /// What was wrong and what would be right, without the argument's name.
    pub message: String,
}

impl CallError {
    /// The failure of a step, behind those that were carried out.
    pub fn in_step(step: &str, done: &[String], error: Self) -> Self {
        match error {
            // Nothing of the kind depends on the step, and arguments are the tool's.
            Self::Cancelled | Self::Internal(_) | Self::Refused { .. } | Self::Unaudited(_) => error,
            // It is of the client, and the step says nothing more where nothing was done before it.
            Self::Lacks(_) | Self::Declined { .. } | Self::Unanswered(_) if done.is_empty() => error,
            Self::Arguments(problems) if !done.is_empty() => Self::in_step(step, done, Self::Unfit(problems)),
            error => Self::Step { step: step.to_owned(), done: done.to_vec(), error: Box::new(error) },
        }
    }

    /// The same with all texts from outside changed.
    #[must_use]
    pub fn masked(self, mask: &dyn Fn(&str) -> String) -> Self {
        let each = |problems: Vec<ArgumentProblem>| {
            let masked = |problem: ArgumentProblem| ArgumentProblem {
                argument: mask(&problem.argument),
                message: mask(&problem.message),
            };
            problems.into_iter().map(masked).collect()
        };
        match self {
            Self::Arguments(problems) => Self::Arguments(each(problems)),
            Self::Unfit(problems) => Self::Unfit(each(problems)),
            Self::Status { status, message, retry_after } => {
                Self::Status { status, message: mask(&message), retry_after }
            }
            Self::Decode { status, expected, reason } => Self::Decode { status, expected, reason: mask(&reason) },
            Self::Shape { problem, answer } => Self::Shape { problem: mask(&problem), answer: mask(&answer) },
            Self::Authorization { problem, passing } => Self::Authorization { problem: mask(&problem), passing },
            Self::Unanswered(reason) => Self::Unanswered(mask(&reason)),
            Self::Refused { code, message } => Self::Refused { code, message: mask(&message) },
            Self::UnreadableFile(reason) => Self::UnreadableFile(mask(&reason)),
            Self::Internal(reason) => Self::Internal(mask(&reason)),
            Self::Step { step, done, error } => Self::Step { step, done, error: Box::new(error.masked(mask)) },
            other => other,
        }
    }

    /// A short, stable name of the kind of failure, for programs.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Arguments(_) | Self::Unfit(_) => "arguments",
            Self::Unconfigured(_) => "unconfigured",
            Self::Authorization { .. } => "authorization",
            Self::Status { .. } => "status",
            Self::Redirect { .. } => "redirect",
            Self::Timeout(_) => "timeout",
            Self::Unreachable { .. } => "unreachable",
            Self::RefusedHost { .. } => "refused-host",
            Self::Broken(_) => "broken",
            Self::Oversized(_) | Self::TooLarge(_) | Self::TooMuch(_) => "oversized",
            Self::Decode { .. } => "decode",
            Self::Shape { .. } => "shape",
            Self::Step { error, .. } => error.kind(),
            Self::Unusable(_) => "unusable",
            Self::Unfinished(_) => "unfinished",
            Self::Lacks(_) => "capability",
            Self::Declined { .. } => "declined",
            Self::Denied(_) => "denied",
            Self::Waits { .. } => "waits-for-person",
            Self::NotConfirmed(_) => "not-confirmed",
            Self::Unanswered(_) => "unanswered",
            Self::Refused { .. } => "refused",
            Self::NoFile => "no-file",
            Self::UnreadableFile(_) => "unreadable-file",
            Self::Unaudited(_) => "unaudited",
            Self::Cancelled => "cancelled",
            Self::Internal(_) => "internal",
        }
    }

    /// The HTTP status of the backend's answer, where there was one.
    pub fn status(&self) -> Option<http::StatusCode> {
        match self {
            Self::Status { status, .. } | Self::Redirect { status } | Self::Decode { status, .. } => Some(*status),
            Self::Step { error, .. } => error.status(),
            _ => None,
        }
    }

    /// Whether the text repeats words of a backend.
    pub fn quotes_backend(&self) -> bool {
        match self {
            Self::Status { message, .. } => !message.is_empty(),
            Self::Decode { .. } | Self::Shape { .. } => true,
            Self::Step { error, .. } => error.quotes_backend(),
            _ => false,
        }
    }

    /// Whether the same call may succeed later without any change, and does no harm if the first one was carried out
    /// after all.
    pub fn is_retryable(&self, repetition: Repetition) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Authorization { passing: true, .. } | Self::Waits { .. } => true,
            Self::Status { status, .. } if was_not_carried_out(*status) => true,
            Self::Status { status, .. } => is_passing(*status) && repetition == Repetition::Harmless,
            Self::Timeout(_) | Self::Broken(_) | Self::Cancelled => repetition == Repetition::Harmless,
            _ => false,
        }
    }
}

/// What it does to carry a call out twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repetition {
    /// No more than carrying it out once: the tool is idempotent.
    Harmless,
    /// It may have its effect twice.
    Harmful,
}

fn after(done: &[String]) -> String {
    let names: Vec<String> = done.iter().map(|step| format!("`{step}`")).collect();
    if names.is_empty() { String::new() } else { format!(" after {} had been carried out", names.join(", ")) }
}

/// Statuses that say the request was turned away for now, before anything was done.
fn was_not_carried_out(status: http::StatusCode) -> bool {
    matches!(status.as_u16(), 425 | 429 | 503)
}

/// Statuses that may not come again: RFC 9110, and those of common proxies above 520.
fn is_passing(status: http::StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 425 | 429 | 500 | 502 | 503 | 504 | 520..)
}

fn arguments_text(problems: &[ArgumentProblem]) -> String {
    format!("invalid arguments, nothing was sent; correct them and call again: {}", problems_text(problems))
}

fn problems_text(problems: &[ArgumentProblem]) -> String {
    let lines: Vec<String> = problems
        .iter()
        .map(|problem| match problem.argument.as_str() {
            "" => problem.message.clone(),
            argument => format!("`{argument}` {}", problem.message),
        })
        .collect();
    lines.join("; ")
}

fn status_text(status: http::StatusCode, message: &str, retry_after: Option<Duration>) -> String {
    // Quoted, so that nothing in it is taken for a word of ours.
    let said = match message {
        "" => String::new(),
        message => format!("; in its own words: \"{}\"", message.replace('"', "'")),
    };
    let advice = match (status.as_u16(), retry_after) {
        (_, Some(wait)) => format!("wait {} s, then retry", wait.as_secs_f64().ceil().max(1.0)),
        (400 | 422, _) => "correct the arguments; the same call will fail again".to_owned(),
        (401, _) => "the configured credential is missing, wrong or expired; tell the operator, a retry will not help"
            .to_owned(),
        (403, _) => "the configured credential may not do this; tell the operator, a retry will not help".to_owned(),
        (404, _) => {
            "either nothing has this name or id, or the backend does not serve this operation; list what exists"
                .to_owned()
        }
        (409, _) => "it conflicts with the current state; read that first".to_owned(),
        (413, _) => "send less; the same call will fail again".to_owned(),
        (425 | 429 | 503, _) => "nothing was done; wait a few seconds, then retry".to_owned(),
        _ if is_passing(status) => "the fault is on the backend's side; if the call was to change something, read the \
                                    current state first, then retry once"
            .to_owned(),
        _ => "a retry will not help".to_owned(),
    };
    let reason = status.canonical_reason().unwrap_or("unknown status");
    format!("the backend answered {} {reason}{said} ({advice})", status.as_u16())
}
