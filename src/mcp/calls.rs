//! What is carried out for a client: a call, a prompt, the reading of a resource. In one round or several, at once or as a
//! task.
//!
//! What a call does is not known here; neither is how a message comes in.

use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use rmcp::{
    ErrorData, RoleServer,
    model::{
        CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, ErrorCode, GetPromptRequestParams,
        GetPromptResponse, GetPromptResult, InputRequiredResult, InputResponses, ReadResourceRequestParams,
        ReadResourceResponse, ReadResourceResult,
    },
    service::RequestContext,
    task_manager::{TaskContext, TaskExit},
};
use serde_json::Value;

use super::{
    McpServer,
    client::{Requester, requests},
    convert, is_modern, request_id,
    state::{Binding, StateError},
    trace_of,
};
use crate::{
    access::Access,
    audit::Origin,
    call::{
        CallContext, CallOutput, Read, Returned,
        client::{Client as _, Continuation, Paused, Wants},
    },
    caller::Caller,
    catalog::{CompiledTool, prompt},
    error::{CallError, Repetition},
    gateway::{Gateway, kind_of},
    metrics,
    spec::{Capability, TaskTerms},
    telemetry::trace::Span,
};

/// How often a client hears that a call is still under way.
const STILL_THERE: Duration = Duration::from_secs(10);

/// On what terms a call that takes long becomes a task.
const LONG_CALL: TaskTerms =
    TaskTerms { required: false, ttl: Duration::from_secs(60 * 60), poll_interval: Duration::from_secs(2) };

/// One request, with what all of its rounds have in common.
struct Round {
    caller: Caller,
    gateway: Arc<Gateway>,
    origin: Option<Arc<Origin>>,
    requester: Arc<Requester>,
    request_id: String,
    is_modern: bool,
    method: &'static str,
    name: String,
    /// The arguments of a call that may need them in another round.
    arguments: Value,
    plan: String,
}

/// What a client sends besides the arguments when it repeats a call.
struct Repeated {
    answers: Option<InputResponses>,
    state: Option<String>,
}

impl Round {
    fn call_context(&self, continuation: Continuation) -> CallContext {
        let Caller { principal, access, backend_key } = self.caller.clone();
        CallContext {
            request_id: self.request_id.clone(),
            client: self.requester.clone(),
            continuation,
            caller_key: backend_key,
            principal,
            access,
            is_person: false,
            confirmed_by: None,
            origin: self.origin.clone(),
        }
    }

    fn binding<'a>(&'a self, principal: &'a [u8]) -> Binding<'a> {
        let Self { method, name, arguments, plan, .. } = self;
        Binding { principal, method, name, arguments, plan }
    }
}

impl McpServer {
    fn round(
        &self,
        context: &RequestContext<RoleServer>,
        (method, name): (&'static str, &str),
        (tool, arguments): (Option<&CompiledTool>, &dyn Fn() -> Value),
    ) -> Result<Round, ErrorData> {
        let gateway = self.served();
        // Most calls need no other round, and keep nothing for one.
        let plan = tool.map(|tool| gateway.course(tool)).unwrap_or_default();
        let arguments = if plan.is_empty() { Value::Null } else { arguments() };
        let caller = self.caller(context);
        let requester = Requester::new(&self.shared, &self.level, context);
        let origin = self.origin(&gateway, &caller, (requester.info(), method));
        Ok(Round {
            caller,
            gateway,
            origin,
            request_id: request_id()?,
            is_modern: requester.is_modern(),
            requester: Arc::new(requester),
            method,
            name: name.to_owned(),
            arguments,
            plan,
        })
    }

    /// How a call of this name begins, or goes on. Error: a state that is not ours, which is written down.
    async fn call_context(&self, round: &Round, name: &str, repeated: Repeated) -> Result<CallContext, ErrorData> {
        let resume = match repeated.state {
            None => None,
            Some(state) => match self.shared.sealer.open(&state, round.binding(&round.caller.principal.binding())) {
                Ok(resume) => Some(resume),
                Err(refusal) => {
                    round.gateway.not_continued(name, &round.request_id, round.origin.clone()).await;
                    return Err(state_error(refusal));
                }
            },
        };
        let continuation = Continuation { resume, answers: repeated.answers.unwrap_or_default() };
        Ok(round.call_context(continuation))
    }

    /// Waits for work that a client asked for, but no longer than the client and the server do. A panic's text goes to the
    /// process's own hook; a client must not see it.
    async fn awaited<T>(
        &self,
        work: impl Future<Output = Result<T, CallError>>,
        round: &Round,
        context: &RequestContext<RoleServer>,
    ) -> Result<Result<T, CallError>, ErrorData> {
        self.awaited_for(work, Some(&round.requester), (&round.name, &round.request_id), context).await
    }

    /// The same for work that nobody hears of before it is done, unless there is somebody.
    pub(super) async fn awaited_for<T>(
        &self,
        work: impl Future<Output = Result<T, CallError>>,
        requester: Option<&Requester>,
        (what, request_id): (&str, &str),
        context: &RequestContext<RoleServer>,
    ) -> Result<Result<T, CallError>, ErrorData> {
        let mut under_way = UnderWay { span: Span::call(&trace_of(context), what), request_id, has_ended: false };
        let request_time = self.capacity.limits.request_time;
        let mut work = pin!(AssertUnwindSafe(under_way.span.parent().scope(work)).catch_unwind());
        let mut overdue = pin!(tokio::time::sleep(request_time));
        let listener = requester.filter(|requester| requester.hears_progress());
        // A dropped call stops its work. Its answer goes nowhere when the client cancelled, but is sent when the server
        // leaves.
        let outcome = loop {
            tokio::select! {
                outcome = &mut work => break outcome,
                () = context.ct.cancelled() => break Ok(Err(CallError::Cancelled)),
                () = self.abort.cancelled() => break Ok(Err(CallError::Cancelled)),
                () = &mut overdue => break Ok(Err(CallError::Timeout(request_time))),
                () = async {
                    tokio::time::sleep(STILL_THERE).await;
                    if let Some(listener) = listener {
                        listener.still_there().await;
                    }
                }, if listener.is_some() => {}
            }
        };
        under_way.has_ended = true;
        let outcome = settled(outcome, request_id);
        match &outcome {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => under_way.span.failed(error.kind()),
            Err(_) => under_way.span.failed("internal"),
        }
        outcome
    }

    pub(super) async fn tool_called(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let CallToolRequestParams { name, arguments, input_responses, request_state, .. } = request;
        let access = self.access(&context);
        let gateway = self.served();
        // A tool that the caller may not use is as unknown as one that is not there.
        let tool = gateway.tool(&name).filter(|tool| access.allows(*tool));
        let Some(tool) = tool else {
            let origin = self.origin(&gateway, &self.caller(&context), (context.client_info().as_ref(), "tools/call"));
            let known = gateway.tool(&name).map(|tool| tool.name.as_str());
            gateway.turned_away((&name, known), arguments.as_ref(), origin).await;
            return Err(self.unknown_tool(&name, &access));
        };
        let arguments = arguments.unwrap_or_default();
        let keep = || Value::Object(arguments.clone());
        let round = self.round(&context, ("tools/call", &tool.name), (Some(tool), &keep))?;
        let repeated = Repeated { answers: input_responses, state: request_state };
        let call_context = self.call_context(&round, &tool.name, repeated).await?;
        let repetition = tool.hints.repetition();
        let mut counted = metrics::tool_call(&tool.name);
        let ended = if round.requester.has(Capability::Tasks) {
            let work = owned_call(&gateway, &tool.name, arguments.clone(), call_context);
            match self.followed(work, tool, &round, &context).await {
                Ok(Followed::Ended(outcome)) => Ok(outcome),
                Ok(Followed::Task(response)) => {
                    counted.goes_on();
                    return Ok(response);
                }
                Err(fault) => Err(fault),
            }
        } else {
            // Large, and moved from hand to hand on its way.
            let call = Box::pin(gateway.call(tool, arguments, &call_context));
            self.awaited(call, &round, &context).await
        };
        let mut outcome = ended.inspect_err(|_| counted.ended("internal"))?;
        counted.ended(kind_of(&outcome, |output| matches!(output, CallOutput::Paused(_))));
        drop(counted);
        loop {
            match outcome {
                Ok(CallOutput::Paused(paused)) => {
                    let Paused { at, wants } = *paused;
                    match wants {
                        Wants::Task(terms) => {
                            let continuation = Continuation { resume: Some(at), ..Continuation::default() };
                            let call_context = round.call_context(continuation);
                            let Value::Object(arguments) = round.arguments.clone() else {
                                return Err(ErrorData::internal_error("the arguments of a task are gone", None));
                            };
                            let work = owned_call(&gateway, &tool.name, arguments, call_context);
                            match self.shared.tasks.check_room(&round.caller.principal) {
                                Ok(()) => return Ok(self.as_task(work, terms, tool, &round)),
                                Err(full) if terms.required => return Err(full),
                                // It takes as long, but it is done.
                                Err(_) => {
                                    round.requester.stays_here();
                                    outcome = self.awaited(work, &round, &context).await?;
                                }
                            }
                        }
                        wants @ Wants::Answers { .. } => {
                            let required = self.input_required(Paused { at, wants }, &round)?;
                            return Ok(CallToolResponse::InputRequired(required));
                        }
                    }
                }
                ended => {
                    let mut result = result(
                        ended,
                        (repetition, &convert::services(&tool.plan)),
                        &round.request_id,
                        round.is_modern,
                        self.capacity.limits.max_result_bytes,
                    )?;
                    self.sign(&mut result.meta, round.is_modern);
                    return Ok(CallToolResponse::Complete(result));
                }
            }
        }
    }

    /// Waits for a call of a client that can follow a task, and makes it one when it takes long.
    async fn followed(
        &self,
        mut work: BoxFuture<'static, Result<CallOutput, CallError>>,
        tool: &CompiledTool,
        round: &Round,
        context: &RequestContext<RoleServer>,
    ) -> Result<Followed, ErrorData> {
        let soft_deadline = round.gateway.soft_deadline;
        let early = tokio::time::timeout(soft_deadline, self.awaited(&mut work, round, context));
        if let Ok(outcome) = early.await {
            return Ok(Followed::Ended(outcome?));
        }
        if self.shared.tasks.check_room(&round.caller.principal).is_err() {
            return Ok(Followed::Ended(self.awaited(work, round, context).await?));
        }
        tracing::debug!(request_id = round.request_id, tool = round.name, "a long call goes on as a task");
        Ok(Followed::Task(self.as_task(work, LONG_CALL, tool, round)))
    }

    fn as_task(
        &self,
        work: BoxFuture<'static, Result<CallOutput, CallError>>,
        terms: TaskTerms,
        tool: &CompiledTool,
        round: &Round,
    ) -> CallToolResponse {
        let (abort, most) = (self.abort.clone(), self.capacity.limits.max_result_bytes);
        let (leaving, entered) = (self.departure.leaving.clone(), self.departure.in_flight.enter());
        let Round { requester, request_id, is_modern, .. } = round;
        let (requester, request_id, is_modern) = (requester.clone(), request_id.clone(), *is_modern);
        let repetition = tool.hints.repetition();
        let services: Vec<String> = convert::services(&tool.plan).into_iter().map(str::to_owned).collect();
        let created = self.shared.tasks.start(&round.caller.principal, terms, move |task: TaskContext| {
            requester.becomes(task.clone(), leaving);
            Box::pin(async move {
                let _entered = entered;
                let outcome = tokio::select! {
                    outcome = AssertUnwindSafe(work).catch_unwind() => outcome,
                    () = task.cancelled() => return Err(TaskExit::Cancelled),
                    () = abort.cancelled() => Ok(Err(CallError::Cancelled)),
                };
                let outcome = settled(outcome, &request_id).map_err(TaskExit::Error)?;
                let services: Vec<&str> = services.iter().map(String::as_str).collect();
                result(outcome, (repetition, &services), &request_id, is_modern, most).map_err(TaskExit::Error)
            })
        });
        CallToolResponse::Task(created)
    }

    /// What a client is asked before it repeats the call.
    fn input_required(&self, paused: Paused, round: &Round) -> Result<InputRequiredResult, ErrorData> {
        let Wants::Answers { questions, needs_state } = paused.wants else {
            return Err(ErrorData::internal_error("this can be no task", None));
        };
        let requests = requests(&questions).map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        let state = if needs_state {
            let sealed = self.shared.sealer.seal(paused.at, round.binding(&round.caller.principal.binding()));
            Some(sealed.map_err(state_error)?)
        } else {
            None
        };
        Ok(InputRequiredResult::new(Some(requests), state))
    }

    pub(super) async fn prompt_gotten(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        let access = self.access(&context);
        let gateway = self.served();
        let prompt = gateway.catalog.prompt(&request.name).filter(|prompt| access.allows(*prompt));
        let Some(prompt) = prompt else {
            let guide = gateway.guides.find(&request.name, &gateway.catalog, &access);
            let Some(guide) = guide else {
                let client = context.client_info();
                let origin = self.origin(&gateway, &self.caller(&context), (client.as_ref(), "prompts/get"));
                let known = gateway.catalog.prompt(&request.name).map(|prompt| prompt.name.as_str());
                gateway.turned_away((&request.name, known), request.arguments.as_ref(), origin).await;
                return Err(self.unknown_prompt(&request.name, &access));
            };
            let message = (prompt::Role::User, guide.text(&gateway.catalog, &access));
            let mut result = convert::messages(vec![message]).with_description(&guide.description);
            self.sign(&mut result.meta, is_modern(&context));
            return Ok(GetPromptResponse::Complete(result));
        };
        let arguments = request.arguments.unwrap_or_default();
        let messages = prompt.filled(&arguments).map_err(|problem| ErrorData::invalid_params(problem, None))?;
        let mut services = Vec::new();
        let result = match &prompt.action {
            None => convert::messages(messages),
            Some(action) => {
                let tool = &*action.0;
                let keep = || Value::Object(arguments.clone());
                let round = self.round(&context, ("prompts/get", &prompt.name), (Some(tool), &keep))?;
                let repeated = Repeated { answers: request.input_responses, state: request.request_state };
                let call_context = self.call_context(&round, &tool.name, repeated).await?;
                let call = Box::pin(gateway.call(tool, arguments.clone(), &call_context));
                let output = self.awaited(call, &round, &context).await?;
                let output = output.map_err(|error| {
                    protocol_error(&error, round.is_modern)
                        .unwrap_or_else(|| convert::prompt_error(&error, tool.hints.repetition(), &round.request_id))
                })?;
                services = convert::services(&tool.plan);
                match output {
                    CallOutput::Paused(paused) => {
                        return Ok(GetPromptResponse::InputRequired(self.input_required(*paused, &round)?));
                    }
                    CallOutput::Returned(Returned::Messages(messages)) => {
                        GetPromptResult::new(convert::read(messages)?)
                    }
                    _ => return Err(ErrorData::internal_error("the prompt says nothing", None)),
                }
            }
        };
        let mut result = result.with_description(&prompt.description);
        convert::note_provenance(&mut result.meta, &services);
        self.sign(&mut result.meta, is_modern(&context));
        Ok(GetPromptResponse::Complete(result))
    }

    pub(super) async fn resource_read(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let ReadResourceRequestParams { uri, input_responses, request_state, .. } = request;
        let access = self.access(&context);
        let gateway = self.served();
        let found = gateway.catalog.resources().find(&uri);
        // A resource that the caller may not read is as unknown as one that is not there.
        let Some((resource, target)) = found.filter(|(resource, _)| access.allows(*resource)) else {
            return self.read_original(uri, &gateway, &access, &context).await;
        };
        let tool = target.tool();
        let round = self.round(&context, ("resources/read", &uri), (tool, &|| Value::Null))?;
        let repeated = Repeated { answers: input_responses, state: request_state };
        let call_context = self.call_context(&round, &resource.name, repeated).await?;
        let repetition = target.repetition();
        let reading = Box::pin(gateway.read(resource, target, &call_context));
        let read = self.awaited(reading, &round, &context).await?;
        let most = self.capacity.limits.max_result_bytes;
        let read = read.and_then(|read| match read {
            Read::Content(content) => Ok(Read::Content(convert::fitting(content, most)?)),
            other => Ok(other),
        });
        let read = read.map_err(|error| {
            protocol_error(&error, round.is_modern)
                .unwrap_or_else(|| convert::read_error(&error, repetition, &uri, &round.request_id))
        })?;
        let contents = match read {
            Read::Content(content) => vec![convert::contents(content, uri)],
            Read::Returned(contents) => convert::read(convert::with_uri(contents, &uri))?,
            Read::Paused(paused) => {
                return Ok(ReadResourceResponse::InputRequired(self.input_required(*paused, &round)?));
            }
        };
        let mut result = ReadResourceResult::new(contents);
        let services = tool.map(|tool| convert::services(&tool.plan)).unwrap_or_default();
        convert::note_provenance(&mut result.meta, &services);
        self.sign(&mut result.meta, is_modern(&context));
        Ok(ReadResourceResponse::Complete(result))
    }

    /// What the URI of a spec or a schema holds. One that the caller may not read is as unknown as one that is not there.
    async fn read_original(
        &self,
        uri: String,
        gateway: &Gateway,
        access: &Access,
        context: &RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let original = gateway.originals.find(&uri).filter(|original| original.is_open_to(access));
        let Some(original) = original else {
            let origin =
                self.origin(gateway, &self.caller(context), (context.client_info().as_ref(), "resources/read"));
            let known = gateway.catalog.resources().find(&uri).map(|(resource, _)| resource.name.as_str());
            gateway.turned_away((&uri, known), None, origin).await;
            return Err(convert::unknown_resource(&uri));
        };
        let request_id = request_id()?;
        let reading = gateway.read_original(original, access);
        let content = self.awaited_for(reading, None, (&original.name, &request_id), context).await?;
        let content = content.map_err(|error| convert::read_error(&error, Repetition::Harmless, &uri, &request_id))?;
        let mut result = ReadResourceResult::new(vec![convert::contents(content, uri)]);
        self.sign(&mut result.meta, is_modern(context));
        Ok(ReadResourceResponse::Complete(result))
    }
}

/// Work that is under way. Dropped before it has ended, it is given up: its client left.
struct UnderWay<'a> {
    span: Span,
    request_id: &'a str,
    has_ended: bool,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            tracing::debug!(request_id = self.request_id, "gave a call up");
            self.span.failed(CallError::Cancelled.kind());
        }
    }
}

/// What became of a call that may become a task.
enum Followed {
    Ended(Result<CallOutput, CallError>),
    Task(CallToolResponse),
}

/// A call that needs nothing but itself.
fn owned_call(
    gateway: &Arc<Gateway>,
    tool: &str,
    arguments: crate::catalog::JsonObject,
    context: CallContext,
) -> BoxFuture<'static, Result<CallOutput, CallError>> {
    let (gateway, tool) = (Arc::clone(gateway), tool.to_owned());
    Box::pin(async move {
        // It was there a moment ago, and a catalog never changes.
        let tool = gateway.tool(&tool).ok_or_else(|| CallError::Internal("the tool is gone".to_owned()))?;
        gateway.call(tool, arguments, &context).await
    })
}

fn settled<T>(
    outcome: std::thread::Result<Result<T, CallError>>,
    request_id: &str,
) -> Result<Result<T, CallError>, ErrorData> {
    let Ok(outcome) = outcome else {
        tracing::error!(request_id, "a call panicked");
        return Err(ErrorData::internal_error(
            format!("keyglass ran into a fault of its own; it has been logged with the request id `{request_id}`"),
            None,
        ));
    };
    if matches!(outcome, Err(CallError::Cancelled)) {
        tracing::debug!(request_id, "gave a call up");
    }
    Ok(outcome)
}

/// The outcome of a call of these services as a result. Error: one that is the protocol's.
fn result(
    outcome: Result<CallOutput, CallError>,
    (repetition, services): (Repetition, &[&str]),
    request_id: &str,
    is_modern: bool,
    most: usize,
) -> Result<CallToolResult, ErrorData> {
    let outcome = match outcome {
        Ok(output) => {
            let mut result = convert::result(output, request_id, is_modern)?;
            convert::note_provenance(&mut result.meta, services);
            convert::fitting_result(result, most)
        }
        Err(error) => Err(error),
    };
    match outcome {
        Ok(result) => Ok(result),
        Err(error) => match protocol_error(&error, is_modern) {
            Some(error) => Err(error),
            None => {
                let mut failure = convert::failure(&error, repetition, request_id);
                if error.quotes_backend() {
                    convert::note_provenance(&mut failure.meta, services);
                }
                Ok(failure)
            }
        },
    }
}

/// Errors that are the protocol's own. A capability that lacks has a code in the newer era alone.
fn protocol_error(error: &CallError, is_modern: bool) -> Option<ErrorData> {
    match error {
        CallError::Refused { code, message } => Some(ErrorData::new(ErrorCode(*code), message.clone(), None)),
        CallError::Lacks(capability) if is_modern => {
            let mut refusal = ErrorData::missing_required_client_capability(needed(*capability));
            refusal.message = error.to_string().into();
            Some(refusal)
        }
        CallError::Step { error: inner, .. } => {
            let mut refusal = protocol_error(inner, is_modern)?;
            refusal.message = error.to_string().into();
            Some(refusal)
        }
        _ => None,
    }
}

/// A capability as a client would declare it.
#[allow(deprecated, reason = "clients of the older era go on using what the newer one gives up")]
fn needed(capability: Capability) -> ClientCapabilities {
    let builder = ClientCapabilities::builder();
    match capability {
        Capability::Elicitation => builder.enable_elicitation().build(),
        Capability::ElicitationUrl => {
            let mut capabilities = builder.enable_elicitation().build();
            let url = capabilities.elicitation.take().unwrap_or_default().with_url(Default::default());
            capabilities.elicitation = Some(url);
            capabilities
        }
        Capability::Sampling => builder.enable_sampling().build(),
        Capability::Roots => builder.enable_roots().build(),
        Capability::Tasks => builder.enable_tasks().build(),
    }
}

fn state_error(error: StateError) -> ErrorData {
    match error {
        StateError::TooLarge | StateError::Broken | StateError::Crowded => {
            ErrorData::internal_error(error.to_string(), None)
        }
        StateError::Foreign | StateError::Expired | StateError::Used => {
            ErrorData::invalid_params(error.to_string(), None)
        }
    }
}
