//! The client of one request, as steps of a call speak with it: over its session in the older era, by questions that it
//! answers with the repeated call in the newer one, and as a task by what it asks of that.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    time::Duration,
};

use futures_util::future::{BoxFuture, try_join_all};
use rmcp::{
    RoleServer,
    model::{
        ClientCapabilities, CreateMessageRequest, ElicitRequest, Implementation, InputRequest, ListRootsRequest,
        LoggingLevel, LoggingMessageNotificationParam, ProgressNotificationParam, ProgressToken,
    },
    service::{Peer, RequestContext, ServiceError},
    task_manager::{TaskContext, TaskExit},
};
use serde_json::{Map, Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Shared, front::CannotBeAsked, is_modern, lists::Kinds, question};
use crate::{
    call::client::{Asked, Changed, Client, Event, Reply},
    error::CallError,
    random::random_hex,
    spec::{Capability, LogLevel, QuestionKind},
};

/// The longest name of a client, in characters.
const MAX_CLIENT_NAME: usize = 80;

/// The client behind a request.
pub(super) struct Requester {
    peer: Peer<RoleServer>,
    shared: Arc<Shared>,
    capabilities: ClientCapabilities,
    /// What it calls itself.
    info: Option<Implementation>,
    is_modern: bool,
    /// Wanted by the client; progress goes nowhere without it.
    progress_token: Option<ProgressToken>,
    /// What was told last, since progress has to grow.
    progress: Mutex<Option<f64>>,
    /// The least of log messages that the client wants; none of them where there is nothing.
    log_level: Option<LogLevel>,
    started: Instant,
    /// Set once the call goes on as a task; besides, what is cancelled when nobody can answer it any more.
    task: OnceLock<(TaskContext, CancellationToken)>,
    /// Set once it is known that it does not.
    stays: AtomicBool,
}

/// The least of log messages that a session of the older era wants.
#[derive(Debug)]
pub(super) struct SessionLevel(AtomicU8);

impl Default for SessionLevel {
    /// What a server sends is its own affair until a client says something (MCP 2025-11-25, logging).
    fn default() -> Self {
        Self(AtomicU8::new(number(LogLevel::Info)))
    }
}

impl SessionLevel {
    pub(super) fn set(&self, level: LoggingLevel) {
        self.0.store(number(level_of(level)), Ordering::Relaxed);
    }

    fn get(&self) -> LogLevel {
        LEVELS
            .into_iter()
            .map(|(level, _)| level)
            .find(|level| number(*level) == self.0.load(Ordering::Relaxed))
            .unwrap_or(LogLevel::Info)
    }
}

const LEVELS: [(LogLevel, LoggingLevel); 8] = [
    (LogLevel::Debug, LoggingLevel::Debug),
    (LogLevel::Info, LoggingLevel::Info),
    (LogLevel::Notice, LoggingLevel::Notice),
    (LogLevel::Warning, LoggingLevel::Warning),
    (LogLevel::Error, LoggingLevel::Error),
    (LogLevel::Critical, LoggingLevel::Critical),
    (LogLevel::Alert, LoggingLevel::Alert),
    (LogLevel::Emergency, LoggingLevel::Emergency),
];

fn number(level: LogLevel) -> u8 {
    LEVELS.iter().position(|(own, _)| *own == level).and_then(|place| u8::try_from(place).ok()).unwrap_or_default()
}

fn level_of(level: LoggingLevel) -> LogLevel {
    LEVELS.into_iter().find(|(_, theirs)| *theirs == level).map_or(LogLevel::Info, |(own, _)| own)
}

fn cannot_be_asked(context: &RequestContext<RoleServer>) -> bool {
    let parts = context.extensions.get::<http::request::Parts>();
    parts.is_some_and(|parts| parts.extensions.get::<CannotBeAsked>().is_some())
}

impl Requester {
    pub(super) fn new(shared: &Arc<Shared>, level: &SessionLevel, context: &RequestContext<RoleServer>) -> Self {
        let is_modern = is_modern(context);
        let mut capabilities = context.client_capabilities().unwrap_or_default();
        if !is_modern && cannot_be_asked(context) {
            (capabilities.elicitation, capabilities.sampling, capabilities.roots) = (None, None, None);
        }
        let log_level = if is_modern { context.meta.log_level().map(level_of) } else { Some(level.get()) };
        Self {
            peer: context.peer.clone(),
            shared: Arc::clone(shared),
            capabilities,
            info: context.client_info(),
            is_modern,
            progress_token: context.meta.get_progress_token(),
            progress: Mutex::new(None),
            log_level,
            started: Instant::now(),
            task: OnceLock::new(),
            stays: AtomicBool::new(false),
        }
    }

    /// Whether it speaks the newer era of the protocol.
    pub(super) fn is_modern(&self) -> bool {
        self.is_modern
    }

    /// What it calls itself.
    pub(super) fn info(&self) -> Option<&Implementation> {
        self.info.as_ref()
    }

    /// Whether it wants to hear how far a call is.
    pub(super) fn hears_progress(&self) -> bool {
        self.progress_token.is_some()
    }

    /// Goes on as it is, although the client could follow a task.
    pub(super) fn stays_here(&self) {
        self.stays.store(true, Ordering::Relaxed);
    }

    /// Goes on as a task. What the client would be asked it is asked by that.
    pub(super) fn becomes(&self, task: TaskContext, leaving: CancellationToken) {
        self.task.set((task, leaving)).ok(); // a call becomes a task once
    }

    /// Shows that the call is still under way, for clients that give up when they hear nothing.
    pub(super) async fn still_there(&self) {
        let seconds = self.started.elapsed().as_secs();
        let told = *self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        // What was told of by steps must not be overtaken, and yet grow.
        let progress = told.map_or_else(|| Duration::from_secs(seconds).as_secs_f64(), |told| told + 0.001);
        self.report(progress, None, Some(format!("still working after {seconds} s"))).await;
    }

    async fn report(&self, progress: f64, total: Option<f64>, message: Option<String>) {
        let progress = {
            let mut told = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
            let progress = told.map_or(progress, |told| progress.max(told));
            *told = Some(progress);
            progress
        };
        if let Some((task, _)) = self.task.get() {
            if let Some(message) = message {
                task.set_status_message(message);
            }
            return;
        }
        let Some(token) = self.progress_token.clone() else { return };
        let mut told = ProgressNotificationParam::new(token, progress);
        (told.total, told.message) = (total, message);
        sent(self.peer.notify_progress(told).await);
    }

    async fn log(&self, level: LogLevel, logger: Option<String>, data: Value) {
        if self.task.get().is_some() || self.log_level.is_none_or(|least| level < least) {
            return;
        }
        let theirs = LEVELS.into_iter().find(|(own, _)| *own == level).map_or(LoggingLevel::Info, |(_, theirs)| theirs);
        let mut message = LoggingMessageNotificationParam::new(theirs, data);
        message.logger = logger;
        sent(self.peer.notify_logging_message(message).await);
    }

    /// Asks over the session and waits for the answer.
    async fn ask_now(&self, asked: Asked) -> Result<(String, Value), CallError> {
        let answer = question::ask(&self.peer, request(&asked)?).await;
        Ok((asked.key, answer.map_err(|error| CallError::Unanswered(why(&error)))?))
    }
}

impl Client for Requester {
    fn has(&self, capability: Capability) -> bool {
        let ClientCapabilities { elicitation, sampling, roots, .. } = &self.capabilities;
        match capability {
            // One that names neither means forms, which came first.
            Capability::Elicitation => {
                elicitation.as_ref().is_some_and(|modes| modes.form.is_some() || modes.url.is_none())
            }
            Capability::ElicitationUrl => elicitation.as_ref().is_some_and(|modes| modes.url.is_some()),
            Capability::Sampling => sampling.is_some(),
            Capability::Roots => roots.is_some(),
            Capability::Tasks => {
                self.is_modern && self.capabilities.supports_tasks() && !self.stays.load(Ordering::Relaxed)
            }
        }
    }

    /// Without what a terminal would obey.
    fn name(&self) -> Option<String> {
        let info = self.info.as_ref()?;
        let name = format!("{} {}", info.name, info.version);
        let name: String = name.chars().filter(|character| !character.is_control()).take(MAX_CLIENT_NAME).collect();
        Some(name.trim().to_owned()).filter(|name| !name.is_empty())
    }

    fn follows(&self) -> bool {
        self.task.get().is_some()
    }

    fn tell(&self, event: Event) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            match event {
                Event::Progress { progress, total, message } => self.report(progress, total, message).await,
                Event::Log { level, logger, data } => self.log(level, logger, data).await,
                Event::Changed(Changed::Tools) => {
                    self.shared.audience.tell(Kinds { tools: true, ..Kinds::default() });
                }
                Event::Changed(Changed::Resources) => {
                    self.shared.audience.tell(Kinds { resources: true, ..Kinds::default() });
                }
                Event::Changed(Changed::Prompts) => {
                    self.shared.audience.tell(Kinds { prompts: true, ..Kinds::default() });
                }
                Event::Changed(Changed::Resource(uri)) => self.shared.audience.updated(&uri),
            }
        })
    }

    fn ask(&self, questions: Vec<Asked>) -> BoxFuture<'_, Result<Reply, CallError>> {
        Box::pin(async move {
            if let Some((task, leaving)) = self.task.get() {
                let asking = questions.into_iter().map(|asked| async move {
                    let answer = task.request_input(&asked.key, request(&asked)?).await;
                    let answer = answer.map_err(|exit| match exit {
                        TaskExit::Cancelled => CallError::Cancelled,
                        TaskExit::Error(error) => CallError::Unanswered(error.message.into_owned()),
                    });
                    Ok::<_, CallError>((asked.key, answer?))
                });
                let left = "the server is leaving, so nobody can answer any more";
                let answers = tokio::select! {
                    answers = try_join_all(asking) => answers?,
                    () = leaving.cancelled() => return Err(CallError::Unanswered(left.to_owned())),
                };
                return Ok(Reply::Answers(answers.into_iter().collect()));
            }
            if self.is_modern {
                return Ok(Reply::Later);
            }
            let answers = try_join_all(questions.into_iter().map(|asked| self.ask_now(asked))).await?;
            Ok(Reply::Answers(answers.into_iter().collect()))
        })
    }
}

/// Questions as a client of the newer era is asked them.
pub(super) fn requests(questions: &[Asked]) -> Result<BTreeMap<String, InputRequest>, CallError> {
    questions.iter().map(|asked| Ok((asked.key.clone(), request(asked)?))).collect()
}

/// A question in the words of the protocol. Error: the spec makes none of it.
fn request(asked: &Asked) -> Result<InputRequest, CallError> {
    let Asked { key: _, kind, params } = asked;
    let mut params: Map<String, Value> = params.clone();
    let unusable = |_: serde_json::Error| CallError::Unusable("no request that a client could read, by its spec");
    let whole = |method: &str, params: Map<String, Value>| json!({"method": method, "params": params});
    Ok(match kind {
        QuestionKind::Form => {
            let request: ElicitRequest =
                serde_json::from_value(whole("elicitation/create", params)).map_err(unusable)?;
            InputRequest::Elicitation(request)
        }
        QuestionKind::Url => {
            params.insert("mode".to_owned(), json!("url"));
            // Unique for each question (MCP 2025-11-25, elicitation).
            let id = random_hex::<16>().map_err(|error| CallError::Internal(error.to_string()))?;
            params.insert("elicitationId".to_owned(), json!(id));
            let request: ElicitRequest =
                serde_json::from_value(whole("elicitation/create", params)).map_err(unusable)?;
            InputRequest::Elicitation(request)
        }
        QuestionKind::Sampling => {
            let request: CreateMessageRequest =
                serde_json::from_value(whole("sampling/createMessage", params)).map_err(unusable)?;
            InputRequest::CreateMessage(request)
        }
        QuestionKind::Roots => {
            let request: ListRootsRequest =
                serde_json::from_value(json!({"method": "roots/list"})).map_err(unusable)?;
            InputRequest::ListRoots(request)
        }
    })
}

/// Why nothing came back, in words that repeat nothing of what the client said.
fn why(error: &ServiceError) -> String {
    match error {
        ServiceError::McpError(error) => format!("it refused to answer (code {})", error.code.0),
        ServiceError::Timeout { .. } => "it did not answer in time".to_owned(),
        ServiceError::Cancelled { .. } => "the request was cancelled".to_owned(),
        _ => "it cannot be asked over this connection".to_owned(),
    }
}

fn sent(outcome: Result<(), ServiceError>) {
    if let Err(error) = outcome {
        tracing::debug!(%error, "a notification could not be sent");
    }
}
