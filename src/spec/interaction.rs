//! Steps that call nothing: they speak with the client that asked, wait, or decide how the call ends. As written.
//!
//! They are this program's addition to the language; `docs/steps.md` tells authors about them.

use std::{fmt, time::Duration};

use url::{Host, Url};

use super::{
    reader::{Fields, NamedNode, Spanned},
    yaml::{Node, Value},
};
use crate::diagnostic::{Code, Diagnostic};

/// The longest delay, and the longest life of a task.
const MAX_DELAY: Duration = Duration::from_secs(10 * 60);
const MAX_TTL: Duration = Duration::from_secs(24 * 60 * 60);
const MIN_TTL: Duration = Duration::from_secs(10);
/// The life of a task where nothing is said: longer than a person takes to answer.
const DEFAULT_TTL: Duration = Duration::from_secs(60 * 60);

/// What a step does that calls nothing.
#[derive(Clone, Debug)]
pub enum Interaction {
    /// Tells how far the call is.
    Progress {
        /// How far, a number.
        progress: Node,
        /// Of how much.
        total: Option<Node>,
        /// In words.
        message: Option<Node>,
    },
    /// Waits.
    Delay(Node),
    /// Sends a log message to clients that asked for its level.
    Log {
        /// How bad it is.
        level: LogLevel,
        /// Who says it.
        logger: Option<String>,
        /// What is said, any value.
        data: Node,
    },
    /// Tells all clients that something changed.
    Notify(Notice),
    /// Goes on only with a client that can do this.
    Require(Capability),
    /// Asks the client, or the person behind it.
    Input {
        /// What is asked, all at once.
        questions: Vec<Question>,
        /// Whether answers count only together with the state that went out with the questions.
        sealed: bool,
    },
    /// Ends the call with this.
    Return(Returned),
    /// Ends the call with an error of the protocol.
    Fail {
        /// What went wrong.
        message: Node,
        /// The JSON-RPC code.
        code: i32,
    },
    /// Carries out what follows as a task, where the client can follow one.
    Task(TaskTerms),
}

/// What changed.
#[derive(Clone, Debug)]
pub enum Notice {
    /// The list of tools.
    Tools,
    /// The list of resources.
    Resources,
    /// The list of prompts.
    Prompts,
    /// What the resource of this URI holds.
    Resource(Node),
}

/// A question.
#[derive(Clone, Debug)]
pub struct Question {
    /// The name of its answer.
    pub key: Spanned<String>,
    /// Who answers.
    pub kind: QuestionKind,
    /// The members of the request.
    pub params: Vec<(Spanned<String>, Node)>,
    /// Whether the call goes on without an answer.
    pub optional: bool,
}

/// Who answers a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuestionKind {
    /// A person, by filling in a form.
    Form,
    /// A person, at a URL.
    Url,
    /// The client's model.
    Sampling,
    /// The client: its root folders.
    Roots,
}

/// What a call gives back. Which members there may be depends on what the steps are for.
#[derive(Clone, Debug, Default)]
pub struct Returned {
    /// The content of a tool's result, blocks as MCP has them.
    pub content: Option<Node>,
    /// The structured content of a tool's result.
    pub structured: Option<Node>,
    /// Whether a tool's result tells of a failure.
    pub is_error: bool,
    /// The messages of a prompt.
    pub messages: Option<Node>,
    /// The contents of a resource.
    pub contents: Option<Node>,
}

/// On what terms something becomes a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskTerms {
    /// Whether clients that cannot follow a task are refused.
    pub required: bool,
    /// How long the task is kept.
    pub ttl: Duration,
    /// How often a client should look.
    pub poll_interval: Duration,
}

/// What a client can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Capability {
    /// Show a person a form.
    Elicitation,
    /// Send a person to a URL.
    ElicitationUrl,
    /// Ask its model.
    Sampling,
    /// Name its root folders.
    Roots,
    /// Follow a task.
    Tasks,
}

/// How bad what a log message tells is (RFC 5424, section 6.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names are those of the standard")]
pub enum LogLevel {
    Debug,
    Info,
    Notice,
    Warning,
    Error,
    Critical,
    Alert,
    Emergency,
}

/// The types of steps that are read here.
pub(super) const TYPES: [&str; 9] =
    ["progress", "delay", "log", "notify", "require", "input", "return", "fail", "task"];

const LEVELS: [(&str, LogLevel); 8] = [
    ("debug", LogLevel::Debug),
    ("info", LogLevel::Info),
    ("notice", LogLevel::Notice),
    ("warning", LogLevel::Warning),
    ("error", LogLevel::Error),
    ("critical", LogLevel::Critical),
    ("alert", LogLevel::Alert),
    ("emergency", LogLevel::Emergency),
];

const CAPABILITIES: [(&str, Capability); 5] = [
    ("elicitation", Capability::Elicitation),
    ("elicitation.url", Capability::ElicitationUrl),
    ("sampling", Capability::Sampling),
    ("roots", Capability::Roots),
    ("tasks", Capability::Tasks),
];

impl fmt::Display for Capability {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = CAPABILITIES.iter().find(|(_, capability)| capability == self);
        formatter.write_str(named.map_or("", |(name, _)| name))
    }
}

impl QuestionKind {
    /// What a client needs to have it answered.
    pub fn capability(self) -> Capability {
        match self {
            Self::Form => Capability::Elicitation,
            Self::Url => Capability::ElicitationUrl,
            Self::Sampling => Capability::Sampling,
            Self::Roots => Capability::Roots,
        }
    }
}

impl Interaction {
    /// The values inside that may hold placeholders.
    pub fn nodes(&self) -> Vec<&Node> {
        match self {
            Self::Progress { progress, total, message } => {
                [Some(progress), total.as_ref(), message.as_ref()].into_iter().flatten().collect()
            }
            Self::Delay(node) | Self::Log { data: node, .. } => vec![node],
            Self::Notify(Notice::Resource(uri)) => vec![uri],
            Self::Input { questions, .. } => {
                questions.iter().flat_map(|question| question.params.iter().map(|(_, node)| node)).collect()
            }
            Self::Return(Returned { content, structured, is_error: _, messages, contents }) => {
                [content, structured, messages, contents].into_iter().flatten().collect()
            }
            Self::Fail { message, .. } => vec![message],
            Self::Notify(_) | Self::Require(_) | Self::Task(_) => Vec::new(),
        }
    }

    /// Whether nothing can come after it.
    pub fn ends(&self) -> bool {
        matches!(self, Self::Return(_) | Self::Fail { .. })
    }
}

/// The step of a type; `None` where something in it is wrong, which is reported.
pub(super) fn read(kind: &str, fields: &mut Fields<'_>, problems: &mut Vec<Diagnostic>) -> Option<Interaction> {
    match kind {
        "progress" => {
            for name in ["progress", "total"] {
                if let Some(Node { value: Value::String(text), span }) = fields.node(&[name])
                    && !text.contains("{{")
                    && !text.starts_with("$.")
                    && !text.trim().parse::<f64>().is_ok_and(f64::is_finite)
                {
                    let message = format!("`{name}` must be a number, found `{text}`");
                    problems.push(Diagnostic::error(Code::InvalidValue, *span, message));
                    return None;
                }
            }
            Some(Interaction::Progress {
                progress: required(fields, "progress", problems)?,
                total: fields.node(&["total"]).cloned(),
                message: fields.node(&["message"]).cloned(),
            })
        }
        "delay" => {
            let node = required(fields, "duration", problems)?;
            match &node.value {
                // What fills it is known when it is called.
                Value::String(text) if text.contains("{{") => {}
                Value::String(text) => {
                    duration(&Spanned::new(text.clone(), node.span), MAX_DELAY, problems)?;
                }
                _ => {
                    let message = format!("`duration` must be text such as `250ms`, found {}", node.kind());
                    problems.push(Diagnostic::error(Code::InvalidValue, node.span, message));
                    return None;
                }
            }
            Some(Interaction::Delay(node))
        }
        "log" => {
            let level = fields.text(&["level"], problems);
            let level = match level {
                Some(level) => one_of(&level, "`level`", &LEVELS, problems)?,
                None => LogLevel::Info,
            };
            let logger = fields.text(&["logger"], problems).map(|logger| logger.value);
            let data = fields.node(&["data", "message"]).cloned();
            if data.is_none() {
                missing(fields, "a `log` step needs `data`", problems);
            }
            Some(Interaction::Log { level, logger, data: data? })
        }
        "notify" => read_notice(fields, problems).map(Interaction::Notify),
        "require" => {
            let capability = fields.required_text(&["capability"], problems)?;
            one_of(&capability, "`capability`", &CAPABILITIES, problems).map(Interaction::Require)
        }
        "input" => {
            let nodes = fields.named(&["requests"], problems);
            if nodes.is_empty() {
                missing(fields, "an `input` step needs `requests`, each with a name and a `type`", problems);
                return None;
            }
            let questions: Vec<Option<Question>> = nodes.iter().map(|node| read_question(node, problems)).collect();
            let sealed = fields.flag(&["sealed"], problems).is_none_or(|sealed| sealed.value);
            Some(Interaction::Input { questions: questions.into_iter().collect::<Option<_>>()?, sealed })
        }
        "return" => read_return(fields, problems).map(Interaction::Return),
        "fail" => {
            let message = required(fields, "message", problems)?;
            let code = match fields.text(&["code"], problems) {
                None => -32_603, // JSON-RPC 2.0, section 5.1: internal error
                Some(text) => match text.value.parse() {
                    Ok(code) => code,
                    Err(_) => {
                        let message = format!("`code` must be a whole number, found `{}`", text.value);
                        problems.push(Diagnostic::error(Code::InvalidValue, text.span, message));
                        return None;
                    }
                },
            };
            // JSON-RPC 2.0, section 5.1, and MCP keep this range; two of it say what a spec may mean.
            let code = match code {
                -32_768..=-32_000 if !matches!(code, -32_603 | -32_602) => {
                    let message =
                        format!("the code {code} is the protocol's own; take one above -32000, or leave it out");
                    problems.push(Diagnostic::error(Code::InvalidValue, fields.key_span("code"), message));
                    return None;
                }
                code => code,
            };
            Some(Interaction::Fail { message, code })
        }
        "task" => {
            let required = fields.flag(&["required"], problems).is_some_and(|required| required.value);
            let ttl = fields.text(&["ttl"], problems);
            let ttl = ttl.map_or(Some(DEFAULT_TTL), |text| duration(&text, MAX_TTL, problems))?;
            let poll_interval = fields.text(&["pollInterval"], problems);
            let poll_interval =
                poll_interval.map_or(Some(Duration::from_secs(1)), |text| duration(&text, MAX_DELAY, problems))?;
            if ttl < MIN_TTL {
                let message = format!(
                    "`ttl` must be at least {} s: what is done would be gone before it is looked at",
                    MIN_TTL.as_secs()
                );
                problems.push(Diagnostic::error(Code::InvalidValue, fields.key_span("ttl"), message));
                return None;
            }
            Some(Interaction::Task(TaskTerms { required, ttl, poll_interval }))
        }
        _ => None,
    }
}

fn read_notice(fields: &mut Fields<'_>, problems: &mut Vec<Diagnostic>) -> Option<Notice> {
    if let Some(uri) = fields.node(&["resource"]) {
        return Some(Notice::Resource(uri.clone()));
    }
    let changed = fields.text(&["changed"], problems);
    if changed.is_none() {
        missing(
            fields,
            "a `notify` step needs `changed: tools`, `resources` or `prompts`, or `resource: URI`",
            problems,
        );
    }
    let changed = changed?;
    let known = [("tools", Notice::Tools), ("resources", Notice::Resources), ("prompts", Notice::Prompts)];
    one_of(&changed, "`changed`", &known, problems)
}

fn read_question(named: &NamedNode<'_>, problems: &mut Vec<Diagnostic>) -> Option<Question> {
    let mut fields = Fields::of(named.node, "a request of an `input` step", problems)?;
    let key = named.name(&mut fields, problems);
    let kind = fields.required_text(&["type"], problems)?;
    let optional = fields.flag(&["optional"], problems).is_some_and(|optional| optional.value);
    if key.is_none() {
        missing(&fields, "a request of an `input` step needs a name, under which its answer is known", problems);
    }
    let key = key?;
    let mut params: Vec<(Spanned<String>, Node)> = Vec::new();
    let mut take = |fields: &mut Fields<'_>, own: &'static str, theirs: &str| {
        if let Some(node) = fields.node(&[own]) {
            params.push((Spanned::new(theirs.to_owned(), fields.key_span(own)), node.clone()));
        }
    };
    let kind = match kind.value.as_str() {
        "elicitation" => {
            take(&mut fields, "message", "message");
            take(&mut fields, "schema", "requestedSchema");
            take(&mut fields, "url", "url");
            let has = |name: &str| params.iter().any(|(known, _)| known.value == name);
            if !has("message") {
                missing(&fields, "an elicitation needs `message`, which the person reads", problems);
                return None;
            }
            match (has("requestedSchema"), has("url")) {
                (true, false) => QuestionKind::Form,
                (false, true) => QuestionKind::Url,
                _ => {
                    missing(&fields, "an elicitation needs either `schema`, for a form, or `url`", problems);
                    return None;
                }
            }
        }
        "sampling" => {
            for name in ["messages", "maxTokens", "systemPrompt", "temperature", "stopSequences", "modelPreferences"] {
                take(&mut fields, name, name);
            }
            for name in ["messages", "maxTokens"] {
                if !params.iter().any(|(known, _)| known.value == name) {
                    missing(&fields, &format!("a sampling request needs `{name}`"), problems);
                    return None;
                }
            }
            QuestionKind::Sampling
        }
        "roots" => QuestionKind::Roots,
        other => {
            let known = ["elicitation", "sampling", "roots"];
            let message =
                format!("`type` of a request must be one of `elicitation`, `sampling`, `roots`; found `{other}`");
            problems.push(Diagnostic::error(Code::InvalidValue, kind.span, message).with_nearest(other, known));
            return None;
        }
    };
    if let Some((_, url)) = params.iter().find(|(name, _)| name.value == "url") {
        let is_open = matches!(&url.value, Value::String(text) if text.contains("{{") || is_page(text));
        if !is_open {
            let message = "`url` must be an `https` address, or `http` on this machine";
            problems.push(Diagnostic::error(Code::InvalidValue, url.span, message));
            return None;
        }
    }
    if let Some((_, schema)) = params.iter().find(|(name, _)| name.value == "requestedSchema") {
        check_form(schema, problems)?;
    }
    fields.finish(problems);
    Some(Question { key, kind, params, optional })
}

/// Reports a schema that no client could make a form of (MCP 2025-11-25 and 2026-07-28, elicitation: an object whose
/// members are no objects).
fn check_form(schema: &Node, problems: &mut Vec<Diagnostic>) -> Option<()> {
    let is = |node: &Node, kind: &str| matches!(node.get("type").map(|kind| &kind.value), Some(Value::String(own)) if own == kind);
    let properties = schema.get("properties");
    let Some(Value::Mapping(members)) = properties.map(|node| &node.value).filter(|_| is(schema, "object")) else {
        let message = "`schema` must be `type: object` with `properties`: a form has fields";
        problems.push(Diagnostic::error(Code::InvalidValue, schema.span, message));
        return None;
    };
    for (name, member) in members {
        if !["string", "number", "integer", "boolean", "array"].iter().any(|kind| is(member, kind)) {
            let message = format!(
                "the field `{}` must have one of the types `string`, `number`, `integer`, `boolean`, `array`: forms are flat",
                name.text
            );
            problems.push(Diagnostic::error(Code::InvalidValue, member.span, message));
            return None;
        }
    }
    Some(())
}

fn read_return(fields: &mut Fields<'_>, problems: &mut Vec<Diagnostic>) -> Option<Returned> {
    let text = fields.node(&["text"]).map(|node| {
        let block = [("type", Value::String("text".to_owned())), ("text", node.value.clone())];
        let key = |name: &str| super::yaml::Key { text: name.to_owned(), span: node.span };
        let block = block.into_iter().map(|(name, value)| (key(name), Node { span: node.span, value }));
        let block = Node { span: node.span, value: Value::Mapping(block.collect()) };
        Node { span: node.span, value: Value::Sequence(vec![block]) }
    });
    let mut list = |name: &'static str| match fields.node(&[name]) {
        Some(node) if !matches!(node.value, Value::Sequence(_)) => {
            let message = format!("`{name}` must be a list, found {}", node.kind());
            problems.push(Diagnostic::error(Code::InvalidValue, node.span, message));
            None
        }
        found => Some(found.cloned()),
    };
    let (content, messages, contents) = (list("content")?, list("messages")?, list("contents")?);
    let structured = fields.node(&["structuredContent"]).cloned();
    let is_error = fields.flag(&["isError"], problems).is_some_and(|flag| flag.value);
    let returned = Returned { content: content.or(text), structured, is_error, messages, contents };
    let Returned { content, structured, is_error: _, messages, contents } = &returned;
    if [content, structured, messages, contents].iter().all(|part| part.is_none()) {
        let needed = "a `return` step needs `text`, `content` or `structuredContent`, for prompts `messages`, for \
                      resources `contents`";
        missing(fields, needed, problems);
        return None;
    }
    Some(returned)
}

fn required(fields: &mut Fields<'_>, name: &'static str, problems: &mut Vec<Diagnostic>) -> Option<Node> {
    let node = fields.node(&[name]).cloned();
    if node.is_none() {
        missing(fields, &format!("the step needs `{name}`"), problems);
    }
    node
}

fn missing(fields: &Fields<'_>, message: &str, problems: &mut Vec<Diagnostic>) {
    problems.push(Diagnostic::error(Code::MissingField, fields.span(), message));
}

fn one_of<T: Clone>(
    text: &Spanned<String>,
    what: &str,
    known: &[(&str, T)],
    problems: &mut Vec<Diagnostic>,
) -> Option<T> {
    let found = known.iter().find(|(name, _)| *name == text.value).map(|(_, value)| value.clone());
    if found.is_none() {
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        let shown: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        let message = format!("{what} must be one of {}; found `{}`", shown.join(", "), text.value);
        problems.push(Diagnostic::error(Code::InvalidValue, text.span, message).with_nearest(&text.value, names));
    }
    found
}

/// A time span as it is written, reported where it is none or beyond a limit.
pub(super) fn duration(text: &Spanned<String>, limit: Duration, problems: &mut Vec<Diagnostic>) -> Option<Duration> {
    let parsed = time_span(&text.value).filter(|duration| *duration <= limit);
    if parsed.is_none() {
        let message = format!(
            "`{}` is no time span; expected `250ms`, `2s`, `5m` or `1h`, at most {} minutes",
            text.value,
            limit.as_secs() / 60
        );
        problems.push(Diagnostic::error(Code::InvalidValue, text.span, message));
    }
    parsed
}

/// A time span: a number with `ms`, `s`, `m` or `h` behind it.
fn time_span(text: &str) -> Option<Duration> {
    let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3_600.0)];
    let (number, seconds) = units.into_iter().find_map(|(unit, seconds)| {
        let number: f64 = text.trim().strip_suffix(unit)?.trim().parse().ok()?;
        Some((number, seconds))
    })?;
    Duration::try_from_secs_f64(number * seconds).ok()
}

/// Whether a text is the address of a page that a person may be sent to: `https`, or `http` on this machine.
pub fn is_page(text: &str) -> bool {
    let Ok(url) = Url::parse(text) else { return false };
    let is_local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_local)
}

/// The time that a `delay` step waits, once it is known. Beyond ten minutes there is none.
pub fn delay(text: &str) -> Option<Duration> {
    time_span(text).filter(|duration| *duration <= MAX_DELAY)
}
