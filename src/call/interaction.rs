//! Carrying out steps that call nothing: telling the client, asking it, waiting, ending.

use std::{collections::BTreeMap, time::Duration};

use jsonschema::error::ValidationErrorKind;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::{
    Returned, Run,
    client::{Asked, Changed, Event, Paused, Reply, Resume, Wants},
};
use crate::{
    catalog::{
        fill::{Fill, Scope},
        interaction::{self, Input, Interaction, Notice, Question},
    },
    error::{ArgumentProblem, CallError},
    mask::Mask,
    spec::{self, Capability, QuestionKind},
};

/// How long an answer is waited for. A person may be away; a call that waits costs little.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(9 * 60);

/// How a step that calls nothing ends.
pub(super) enum Flow {
    /// The next step follows, which may use this.
    On(Value),
    /// The call ends with this.
    Returned(Returned),
    /// The call stops here for now.
    Paused(Box<Paused>),
}

/// Where a call is, as far as a step has to know.
pub(super) struct Position<'a> {
    /// What a pause would keep.
    pub(super) resume: &'a (dyn Fn(Map<String, Value>) -> Resume + Sync),
    /// Answers of the client that count here.
    pub(super) given: Given,
    /// Whether there is anything to keep.
    pub(super) has_state: bool,
}

/// Answers of the client to the questions of a step.
#[derive(Default)]
pub(super) struct Given {
    /// Those that were accepted before.
    pub(super) accepted: Map<String, Value>,
    /// Those that came with this call.
    pub(super) new: BTreeMap<String, Value>,
    /// Whether the call goes on from a state that went out with the questions.
    pub(super) is_resumed: bool,
}

impl Run<'_> {
    /// Carries out a step that calls nothing.
    pub(super) async fn interaction(
        &self,
        interaction: &Interaction,
        scope: &Scope<'_>,
        position: Position<'_>,
    ) -> Result<Flow, CallError> {
        let mask = self.mask(interaction);
        let value = |fill: &Fill| self.shown(fill, scope, &mask);
        let text = |fill: &Fill| Ok::<_, CallError>(value(fill)?.as_ref().and_then(as_text));
        match interaction {
            Interaction::Progress { progress, total, message } => {
                let number = |fill: &Fill| Ok::<_, CallError>(value(fill)?.as_ref().and_then(as_number));
                let progress = number(progress)?.ok_or(CallError::Unusable("no number, which progress needs"))?;
                let total = total.as_ref().map(number).transpose()?.flatten();
                let message = message.as_ref().map(text).transpose()?.flatten();
                self.client.tell(Event::Progress { progress, total, message }).await;
            }
            Interaction::Delay(duration) => {
                let argument = duration.shown("").to_owned();
                let duration = text(duration)?.and_then(|text| spec::delay(&text));
                let duration = duration.ok_or_else(|| {
                    let message = "makes a time to wait that is none, or more than 10 minutes".to_owned();
                    CallError::Arguments(vec![ArgumentProblem { argument, message }])
                })?;
                self.waiting(tokio::time::sleep(duration)).await;
            }
            Interaction::Log { level, logger, data } => {
                let (level, logger, data) = (*level, logger.clone(), value(data)?.unwrap_or_default());
                self.client.tell(Event::Log { level, logger, data }).await;
            }
            Interaction::Notify(notice) => {
                let changed = match notice {
                    Notice::Tools => Changed::Tools,
                    Notice::Resources => Changed::Resources,
                    Notice::Prompts => Changed::Prompts,
                    Notice::Resource(uri) => {
                        let uri = text(uri)?.ok_or(CallError::Unusable("no text, which a URI has to be"))?;
                        Changed::Resource(uri)
                    }
                };
                self.client.tell(Event::Changed(changed)).await;
            }
            Interaction::Require(capability) => self.require(*capability)?,
            Interaction::Input(input) => return self.input(input, scope, &mask, position).await,
            Interaction::Return(returned) => {
                // What a result is made of is hidden as a whole, behind handles where there are some.
                let value = |fill: &Fill| self.masked(fill, scope, &mask);
                let list = |fill: &Fill| match value(fill)? {
                    Some(Value::Array(mut items)) => {
                        items.iter_mut().for_each(say_something);
                        Ok(items)
                    }
                    _ => Err(CallError::Unusable("no list, which content has to be")),
                };
                let returned = match returned {
                    interaction::Returned::Result { content, structured, is_error } => Returned::Result {
                        content: content.as_ref().map(list).transpose()?.unwrap_or_default(),
                        structured: structured.as_ref().map(value).transpose()?.flatten(),
                        is_error: *is_error,
                    },
                    interaction::Returned::Messages(messages) => Returned::Messages(list(messages)?),
                    interaction::Returned::Contents(contents) => Returned::Contents(list(contents)?),
                };
                return Ok(Flow::Returned(returned));
            }
            Interaction::Fail { message, code } => {
                let message = text(message)?.unwrap_or_default();
                return Err(CallError::Refused { code: *code, message });
            }
            Interaction::Task(terms) => {
                if terms.required {
                    self.require(Capability::Tasks)?;
                }
                if !self.client.follows() && self.client.has(Capability::Tasks) {
                    let at = (position.resume)(Map::new());
                    return Ok(Flow::Paused(Box::new(Paused { at, wants: Wants::Task(*terms) })));
                }
            }
        }
        Ok(Flow::On(Value::Null))
    }

    /// Error: the client cannot do what is needed.
    pub(super) fn require(&self, capability: Capability) -> Result<(), CallError> {
        let is_there = (capability == Capability::Tasks && self.client.follows()) || self.client.has(capability);
        if is_there { Ok(()) } else { Err(CallError::Lacks(capability)) }
    }

    async fn input(
        &self,
        input: &Input,
        scope: &Scope<'_>,
        mask: &Mask,
        position: Position<'_>,
    ) -> Result<Flow, CallError> {
        let Given { accepted: mut answers, new, is_resumed } = position.given;
        if is_resumed || !input.sealed {
            // What nobody asked for is not looked at, and what does not fit is asked for again.
            for question in &input.questions {
                if let Some(answer) = new.get(&question.key)
                    && let Ok(answer) = self.accepted(question, answer, scope)?
                {
                    answers.insert(question.key.clone(), answer);
                }
            }
        }
        let mut asked = Vec::new();
        for question in input.questions.iter().filter(|question| !answers.contains_key(&question.key)) {
            if !self.client.has(question.kind.capability()) {
                if question.optional {
                    continue;
                }
                return Err(CallError::Lacks(question.kind.capability()));
            }
            let params = match self.shown(&question.params, scope, mask)? {
                Some(Value::Object(mut params)) => {
                    if let Some(message) = params.get_mut("message") {
                        *message = Value::from(as_text(message).unwrap_or_default());
                    }
                    if question.kind == QuestionKind::Url
                        && !params.get("url").and_then(Value::as_str).is_some_and(spec::is_page)
                    {
                        return Err(CallError::Unusable("no address of a page that a person could be sent to"));
                    }
                    params
                }
                _ => Map::new(),
            };
            asked.push(Asked { key: question.key.clone(), kind: question.kind, params });
        }
        if asked.is_empty() {
            return Ok(Flow::On(Value::Object(answers)));
        }
        let asking = self.client.ask(asked.clone());
        let reply = self.waiting(tokio::time::timeout(ANSWER_TIMEOUT, asking)).await;
        let reply = reply.unwrap_or_else(|_| {
            Err(CallError::Unanswered(format!("no answer came within {} minutes", ANSWER_TIMEOUT.as_secs() / 60)))
        });
        match reply? {
            Reply::Answers(mut given) => {
                for question in &input.questions {
                    if let Some(answer) = given.remove(&question.key) {
                        let answer = self.accepted(question, &answer, scope)?.map_err(CallError::Unanswered)?;
                        answers.insert(question.key.clone(), answer);
                    }
                }
                Ok(Flow::On(Value::Object(answers)))
            }
            Reply::Later => {
                let needs_state = input.sealed || position.has_state || !answers.is_empty();
                let at = (position.resume)(answers);
                let wants = Wants::Answers { questions: asked, needs_state };
                Ok(Flow::Paused(Box::new(Paused { at, wants })))
            }
        }
    }

    /// What later steps see of an answer; null for one that was declined and may be. Errors: a person declined; inside:
    /// why it is no answer to the question.
    fn accepted(
        &self,
        question: &Question,
        answer: &Value,
        scope: &Scope<'_>,
    ) -> Result<Result<Value, String>, CallError> {
        let Question { key, kind, params, optional } = question;
        let Value::Object(members) = answer else {
            return Ok(Err(format!("the answer to `{key}` is no object")));
        };
        let has = |name: &str, is: fn(&Value) -> bool| members.get(name).is_some_and(is);
        match kind {
            QuestionKind::Form | QuestionKind::Url => match members.get("action").and_then(Value::as_str) {
                Some("accept") if *kind == QuestionKind::Url => Ok(Ok(answer.clone())),
                Some("accept") => {
                    let content = members.get("content").cloned().unwrap_or_else(|| Value::Object(Map::new()));
                    let params = params.value(scope)?;
                    let schema = params.as_deref().and_then(|params| params.get("requestedSchema"));
                    let validator = schema.map(|schema| crate::schema::validator_options().build(schema)).transpose();
                    let validator = validator.map_err(|_| CallError::Unusable("no form, by the spec's own schema"))?;
                    let problem = validator.and_then(|validator| {
                        let error = validator.validate(&content).err()?;
                        // What a person typed is not repeated.
                        let problem = match error.kind() {
                            ValidationErrorKind::Required { property } => {
                                format!("`{}` is required", property.as_str().unwrap_or_default())
                            }
                            _ => {
                                let place = error.instance_path().as_str().trim_start_matches('/').to_owned();
                                format!("`{place}`: {}", error.masked())
                            }
                        };
                        Some(format!("the answer to `{key}` does not fit its form: {problem}"))
                    });
                    Ok(problem.map_or(Ok(content), Err))
                }
                Some("decline" | "cancel") if *optional => Ok(Ok(Value::Null)),
                Some(action @ ("decline" | "cancel")) => {
                    Err(CallError::Declined { question: key.clone(), dismissed: action == "cancel" })
                }
                _ => Ok(Err(format!("the answer to `{key}` has no `action` of `accept`, `decline` or `cancel`"))),
            },
            QuestionKind::Sampling if has("content", |content| !content.is_null()) => Ok(Ok(answer.clone())),
            QuestionKind::Sampling => Ok(Err(format!("the answer to `{key}` has no `content`"))),
            QuestionKind::Roots if has("roots", Value::is_array) => Ok(Ok(answer.clone())),
            QuestionKind::Roots => Ok(Err(format!("the answer to `{key}` has no list `roots`"))),
        }
    }

    /// The value of a fill without what the call's own secrets are.
    fn masked(&self, fill: &Fill, scope: &Scope<'_>, mask: &Mask) -> Result<Option<Value>, CallError> {
        let mut value = fill.value(scope)?.map(std::borrow::Cow::into_owned);
        if let Some(value) = &mut value {
            mask.value(value);
        }
        Ok(value)
    }

    /// The value of a fill as others may see it.
    fn shown(&self, fill: &Fill, scope: &Scope<'_>, mask: &Mask) -> Result<Option<Value>, CallError> {
        let mut value = self.masked(fill, scope, mask)?;
        if let Some(value) = &mut value {
            self.environment.policy.glass().value(value, self.principal, self.seen);
        }
        Ok(value)
    }

    /// Over secret arguments, and variables that are credentials.
    fn mask(&self, interaction: &Interaction) -> Mask {
        let of_variables: Vec<_> = interaction.fills().into_iter().flat_map(Fill::secrets).collect();
        Mask::new(self.secrets.iter().chain(of_variables))
    }

    /// Waits for something that is no work of a backend: the deadline of the call is put off.
    pub(super) async fn waiting<T>(&self, waiting: impl Future<Output = T>) -> T {
        let before = Instant::now();
        let outcome = waiting.await;
        let waited = u64::try_from(before.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.waited_ms.fetch_add(waited, std::sync::atomic::Ordering::Relaxed);
        outcome
    }
}

/// Puts text where content has to have some: a placeholder may stand for nothing, or for what is no text.
fn say_something(part: &mut Value) {
    let Value::Object(members) = part else { return };
    for inside in ["content", "resource"] {
        if let Some(inner) = members.get_mut(inside) {
            say_something(inner);
            return;
        }
    }
    let is_text = members.get("type").map_or(!members.contains_key("blob"), |kind| kind == "text");
    if is_text {
        let text = members.get("text").and_then(as_text).unwrap_or_default();
        members.insert("text".to_owned(), Value::from(text));
    }
}

fn as_number(value: &Value) -> Option<f64> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_f64(),
    }
    // Others have no form in JSON.
    .filter(|number: &f64| number.is_finite())
}

fn as_text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        value => Some(value.to_string()),
    }
}
