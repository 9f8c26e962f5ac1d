//! One call, from arguments to result: check, bind, send, judge the status, decode, mask, shape, check the shape.
//! Reading a resource is one without the last check.

mod answer;
pub mod client;
mod consent;
mod file;
mod interaction;
mod poll;
mod resource;
mod run;
mod steps;

use std::{
    borrow::Cow,
    sync::Arc,
    sync::atomic::{AtomicU64, AtomicUsize},
    time::Instant,
};

use bytes::Bytes;
use serde_json::Value;

pub(crate) use self::consent::{CONFIRM, REFUSE, is_confirmation};
use self::{
    answer::shorten,
    client::{Client, Continuation, Paused, Resume, Wants},
    consent::Consent,
    run::Run,
    steps::Outcome,
};
pub use self::{
    consent::Stage,
    resource::{Content, Read, read},
};
use crate::{
    access::Access,
    audit::{Origin, Recording},
    backend::{Backends, Limits},
    caller::{Caller, Principal},
    catalog::{Catalog, CompiledTool, JsonObject, fill::Scope, output, plan::Plan, risk::Risk, shape},
    clock::Clock,
    credential::CallerKey,
    decode::Decoded,
    error::{ArgumentProblem, CallError},
    policy::{
        Policy,
        glass::{ResultOf, Seen},
        inputs::Given,
    },
    prose::invisible,
    random::random_hex,
    work::work_on,
};

/// How much of an answer of the wrong shape is passed on, in characters.
const MAX_ANSWER_SHOWN: usize = 1_200;
/// How many secret values the arguments of one call may have: each is looked for in all of the answer, in many forms.
const MAX_SECRETS: usize = 1_000;
/// The largest binary answer where the spec says nothing, in bytes (language schema, `maxBinarySize`).
const MAX_BINARY_BYTES: usize = 10 * 1024 * 1024;
/// Towards backends, the name of a call; Runloop's API takes a repeated one for a retry.
pub const REQUEST_ID: &str = "x-request-id";

/// What goes with a call besides its arguments.
#[derive(Clone)]
pub struct CallContext {
    /// Names this call in logs, in errors and towards the backend (`x-request-id`).
    pub request_id: String,
    /// Who asked for it.
    pub client: Arc<dyn Client>,
    /// How it begins, or goes on.
    pub continuation: Continuation,
    /// The key that the caller brings.
    pub caller_key: Option<CallerKey>,
    /// Who that is.
    pub principal: Principal,
    /// What else they may use.
    pub access: Access,
    /// Whether a person makes the call, who may write secrets themselves.
    pub is_person: bool,
    /// By what way they have confirmed it already, for whoever reads of it.
    pub confirmed_by: Option<&'static str>,
    /// Who asked for it, by what way, as far as the audit log is concerned.
    pub origin: Option<Arc<Origin>>,
}

impl CallContext {
    /// A call of this name by whoever started the program, who cannot be spoken with and brings no key.
    pub fn new(request_id: impl Into<String>) -> Self {
        let (client, continuation) = (Arc::new(client::NoClient), Continuation::default());
        let Caller { principal, access, .. } = Caller::local();
        Self {
            request_id: request_id.into(),
            client,
            continuation,
            caller_key: None,
            principal,
            access,
            is_person: false,
            confirmed_by: None,
            origin: None,
        }
    }
}

/// A new name for a call, 16 hexadecimal digits. Error: the operating system has no randomness.
pub fn request_id() -> Result<String, getrandom::Error> {
    random_hex::<8>()
}

/// The result of a call that did not fail.
#[derive(Debug)]
pub enum CallOutput {
    /// An answer.
    Answer {
        /// The answer as a JSON object that the tool's output schema accepts; empty for an answer without a body. Of
        /// bytes, what they are: `media_type` and `size`.
        structured: JsonObject,
        /// An answer that is no JSON.
        binary: Option<Binary>,
    },
    /// What a step of the tool says.
    Returned(Returned),
    /// The call waits for its client, or goes on as a task.
    Paused(Box<Paused>),
}

impl CallOutput {
    /// The bytes of an answer that is no JSON.
    pub fn into_binary(self) -> Option<Binary> {
        match self {
            Self::Answer { binary, .. } => binary,
            Self::Returned(_) | Self::Paused(_) => None,
        }
    }

    /// The structured part of a result, where it has one.
    pub fn structured(&self) -> Option<Value> {
        match self {
            Self::Answer { structured, .. } => Some(Value::Object(structured.clone())),
            Self::Returned(Returned::Result { structured, .. }) => structured.clone(),
            Self::Returned(_) | Self::Paused(_) => None,
        }
    }
}

/// What a step says is given back. Its parts are as MCP has them: content blocks, messages, contents.
#[derive(Clone, Debug, PartialEq)]
pub enum Returned {
    /// Of a tool.
    Result {
        /// Content blocks.
        content: Vec<Value>,
        /// The structured content.
        structured: Option<Value>,
        /// Whether it tells of a failure.
        is_error: bool,
    },
    /// The messages of a prompt.
    Messages(Vec<Value>),
    /// The contents of a resource.
    Contents(Vec<Value>),
}

impl Returned {
    /// The same without characters that nobody sees: specs and arguments may put some in.
    fn cleaned(mut self) -> Self {
        match &mut self {
            Self::Result { content, structured, is_error: _ } => {
                for part in content.iter_mut().chain(structured) {
                    invisible::clean(part);
                }
            }
            Self::Messages(parts) | Self::Contents(parts) => {
                for part in parts {
                    invisible::clean(part);
                }
            }
        }
        self
    }
}

/// A value without characters that nobody sees.
fn cleaned(mut value: Value) -> Value {
    invisible::clean(&mut value);
    value
}

/// Bytes and what they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binary {
    /// The media type, without parameters.
    pub media_type: String,
    /// The bytes.
    pub bytes: Bytes,
}

/// What calls run with.
#[derive(Clone, Copy, Debug)]
pub struct Environment<'a> {
    /// Where requests go.
    pub backends: &'a Backends,
    /// Deadline and size.
    pub limits: Limits,
    /// For the dates in `Retry-After`.
    pub clock: Clock,
    /// What calls are held to.
    pub policy: &'a Policy,
    /// The other tools, by which what a call is about is read.
    pub catalog: Option<&'a Catalog>,
    /// Hears of the requests of the call.
    pub recording: &'a Recording,
}

/// Carries one call out. Dropping the future gives the call up.
#[tracing::instrument(level = "debug", skip_all, fields(tool = %tool.name, request_id = %context.request_id, status))]
pub async fn call(
    tool: &CompiledTool,
    arguments: JsonObject,
    environment: Environment<'_>,
    context: &CallContext,
) -> Result<CallOutput, CallError> {
    let started = Instant::now();
    let result = attempt(tool, arguments, environment, context).await;
    log(|| tool.plan.summary(), &context.request_id, started, &result);
    result
}

/// What a call does is put into words only where somebody reads them. A fault is told with its request id, since it is told
/// where the span of the call is off as well.
fn log<T>(operation: impl FnOnce() -> String, request_id: &str, started: Instant, result: &Result<T, CallError>) {
    let elapsed_ms = started.elapsed().as_millis();
    match result {
        Ok(_) => tracing::debug!(operation = operation(), elapsed_ms, "the call succeeded"),
        Err(CallError::Internal(reason)) => {
            tracing::error!(operation = operation(), request_id, reason, "a fault of our own");
        }
        Err(error) => tracing::debug!(operation = operation(), elapsed_ms, kind = error.kind(), "the call failed"),
    }
}

async fn attempt(
    tool: &CompiledTool,
    arguments: JsonObject,
    environment: Environment<'_>,
    context: &CallContext,
) -> Result<CallOutput, CallError> {
    let answer = match answer_of(tool, &Value::Object(arguments), environment, context).await? {
        Answered::Paused(paused) => return Ok(CallOutput::Paused(paused)),
        Answered::Returned(returned) => {
            if let Returned::Result { structured: Some(structured), is_error: false, .. } = &returned
                && let Some(problem) = tool.output.deviation(structured)
            {
                return Err(CallError::Shape { problem, answer: shorten(&structured.to_string(), MAX_ANSWER_SHOWN) });
            }
            return Ok(CallOutput::Returned(returned));
        }
        Answered::Decoded(Decoded::Json(answer)) => answer,
        Answered::Decoded(Decoded::Binary { media_type, bytes }) => {
            let mut structured = JsonObject::new();
            structured.insert("media_type".to_owned(), Value::from(media_type.as_str()));
            structured.insert("size".to_owned(), Value::from(bytes.len()));
            return Ok(CallOutput::Answer { structured, binary: Some(Binary { media_type, bytes }) });
        }
    };
    let structured = if answer.is_null() { JsonObject::new() } else { output::as_object(answer) };
    let structured = Value::Object(structured);
    if let Some(problem) = tool.output.deviation(&structured) {
        return Err(CallError::Shape { problem, answer: shorten(&structured.to_string(), MAX_ANSWER_SHOWN) });
    }
    let Value::Object(structured) = structured else { return Err(CallError::Internal("no object".to_owned())) };
    Ok(CallOutput::Answer { structured, binary: None })
}

/// What a tool gave.
enum Answered {
    /// An answer, masked and in the tool's shape.
    Decoded(Decoded),
    /// What a step says.
    Returned(Returned),
    /// Nothing yet.
    Paused(Box<Paused>),
}

/// What a tool gives, with nothing secret in it.
async fn answer_of(
    tool: &CompiledTool,
    arguments: &Value,
    environment: Environment<'_>,
    context: &CallContext,
) -> Result<Answered, CallError> {
    let policy = environment.policy;
    if let Some(vault) = policy.vault() {
        vault.meet(&context.principal).await;
    }
    let (given, stage) = match consent::consent(tool, arguments, environment, context).await? {
        Consent::Given(given, stage) => (given, stage),
        Consent::Paused(paused) => return Ok(Answered::Paused(paused)),
    };
    let seen = Seen::default();
    let answered = carried_out(tool, given, (environment, context), &seen).await;
    let result_of = ResultOf {
        tool: &tool.name,
        changes: tool.risk.class > Risk::Read,
        marks: tool.output.marks(),
        arguments,
        principal: &context.principal,
    };
    let glass = policy.glass();
    Ok(
        match answered
            .map_err(|error| error.masked(&|text| glass.text(text, &context.principal, &seen).into_owned()))?
        {
            Answered::Decoded(Decoded::Json(mut answer)) => {
                let marks = tool.output.marks_in(&answer);
                glass.hide(&mut answer, ResultOf { marks, ..result_of }, &seen).await;
                Answered::Decoded(Decoded::Json(answer))
            }
            Answered::Decoded(Decoded::Binary { media_type, bytes }) => {
                let bytes = work_on(bytes.len(), || glass.bytes(bytes, &context.principal, &seen));
                Answered::Decoded(Decoded::Binary { media_type, bytes })
            }
            Answered::Returned(returned) => Answered::Returned(match returned {
                Returned::Result { content, structured, is_error } => {
                    let mut whole = Value::Array(content);
                    let mut structured = structured;
                    if let Some(structured) = &mut structured {
                        glass.hide(structured, result_of, &seen).await;
                    }
                    glass.hide(&mut whole, ResultOf { marks: None, ..result_of }, &seen).await;
                    Returned::Result { content: items(whole), structured, is_error }
                }
                Returned::Messages(messages) => {
                    let mut whole = Value::Array(messages);
                    glass.hide(&mut whole, ResultOf { marks: None, ..result_of }, &seen).await;
                    Returned::Messages(items(whole))
                }
                Returned::Contents(contents) => {
                    let mut whole = Value::Array(contents);
                    glass.hide(&mut whole, ResultOf { marks: None, ..result_of }, &seen).await;
                    Returned::Contents(items(whole))
                }
            }),
            // A person who confirmed the call did so for all of its rounds: none of them may begin anew.
            Answered::Paused(paused) => {
                let Paused { at, mut wants } = *paused;
                if let (Wants::Answers { needs_state, .. }, false) = (&mut wants, stage.is_none()) {
                    *needs_state = true;
                }
                Answered::Paused(Box::new(Paused { at: Resume { consent: stage, ..at }, wants }))
            }
        },
    )
}

fn items(list: Value) -> Vec<Value> {
    match list {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}

async fn carried_out(
    tool: &CompiledTool,
    given: Given<'_>,
    (environment, context): (Environment<'_>, &CallContext),
    seen: &Seen,
) -> Result<Answered, CallError> {
    // As the caller gave them they were looked at before anybody was asked.
    if matches!(given.arguments, Cow::Owned(_)) {
        tool.input.check(&given.arguments).map_err(|error| given.told(error))?;
    }
    let Given { arguments, secrets: put_in, .. } = given;
    let no_arguments = JsonObject::new();
    let arguments = arguments.as_object().unwrap_or(&no_arguments);
    let scope = Scope::new(arguments, &Value::Null);
    let mut secrets = tool.input.secrets(arguments);
    if secrets.len() > MAX_SECRETS {
        let message = format!("hold more than {MAX_SECRETS} secret values; give fewer at a time");
        return Err(CallError::Arguments(vec![ArgumentProblem { argument: String::new(), message }]));
    }
    secrets.extend(put_in);
    let (received, waited_ms) = (AtomicUsize::new(0), AtomicU64::new(0));
    let run = Run {
        environment,
        secrets: &secrets,
        request_id: &context.request_id,
        client: &*context.client,
        caller_key: context.caller_key.as_ref(),
        principal: &context.principal,
        seen,
        started: Instant::now(),
        received: &received,
        waited_ms: &waited_ms,
    };
    let shapes = &tool.shaping.shapes;
    let answer = match &tool.plan {
        Plan::Call(operation) => {
            let answer = run.operation(operation, &scope, &context.request_id).await?;
            if let (Decoded::Json(answer), false) = (&answer, shapes.is_empty()) {
                seen.note(answer, operation.marks.as_deref());
            }
            answer
        }
        Plan::Steps(steps) => {
            // Before anything is carried out for a client that could not follow it.
            steps.required().try_for_each(|capability| run.require(capability))?;
            let mut continuation = context.continuation.clone();
            // One that only waited for a person begins at the beginning.
            continuation.resume = continuation.resume.filter(|resume| !resume.consent.is_asked());
            match Box::pin(run.steps(steps, arguments, continuation)).await? {
                Outcome::Answer(answer) => Decoded::Json(cleaned(answer)),
                Outcome::Returned(returned) => return Ok(Answered::Returned(returned.cleaned())),
                Outcome::Paused(paused) => return Ok(Answered::Paused(paused)),
            }
        }
        Plan::Mock(fill) => {
            Decoded::Json(cleaned(fill.value(&scope)?.map(|value| value.into_owned()).unwrap_or_default()))
        }
    };
    Ok(Answered::Decoded(match answer {
        Decoded::Json(Value::Null) => Decoded::Json(Value::Null),
        Decoded::Json(answer) if !shapes.is_empty() => {
            Decoded::Json(run.work(|| shape::apply(shapes, &answer))?.unwrap_or_default())
        }
        answer => answer,
    }))
}
