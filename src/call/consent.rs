//! Whether a call may go on: its secret arguments are had, and a person has confirmed it where the policy wants that.
//!
//! A person is asked by whatever way the client leaves: its own forms, a page that it opens, or, where it has neither or only
//! says so, by a question that waits in the store until somebody answers it in the console or a terminal. The first answer
//! counts. What was confirmed is the call that was shown: the same arguments, doing the same.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    CallContext, Environment,
    answer::shorten,
    client::{Asked, Paused, Reply, Resume, Wants},
};
use crate::{
    audit::{Decision, Recording},
    catalog::{CompiledTool, JsonObject, risk::Risk},
    dry_run,
    error::CallError,
    mask::MASKED,
    policy::{
        self, Policy,
        glass::Seen,
        grants::Grant,
        inputs::Given,
        rules::Rule,
        store::{Answer, HandleId, Kept, Origin, Shown, StoreError, Subject},
        vault::Vault,
    },
    spec::{Capability, QuestionKind},
};

/// How long a question waits for a person.
const QUESTION_LIFE: Duration = Duration::from_secs(15 * 60);
/// How long a call waits that was told to come again: some clients give up after a minute.
const REPEATED_WAIT: Duration = Duration::from_secs(20);
/// How long a call waits whose client asks the person, or has opened the page for them.
const ASKED_WAIT: Duration = Duration::from_secs(9 * 60);
/// How often it is looked whether somebody answered elsewhere.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The name of the question, among those of a call.
const KEY: &str = "keyglass_confirm";
/// Who decided, in the audit log: whoever the client asked.
const BY_CLIENT: &str = "client";
const CONFIRM: &str = "confirm";
/// The first choice, so that a client that fills forms in by itself confirms nothing.
const REFUSE: &str = "refuse";
/// How much of an object and of a request is shown in a client's own form, in characters.
const MAX_FORM_TEXT: usize = 700;

/// How far a person was asked about a call that goes on later.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Stage {
    /// Not at all.
    #[default]
    #[serde(rename = "n")]
    None,
    /// The client has the question.
    #[serde(rename = "a")]
    Asked,
    /// It was confirmed. With the handles of the secret values that a person gave, by their pointers.
    #[serde(rename = "c")]
    Confirmed(BTreeMap<String, String>),
}

impl Stage {
    pub(super) fn is_none(&self) -> bool {
        *self == Self::None
    }
}

/// What came of it.
pub(super) enum Consent<'a> {
    /// The call goes on, with these arguments. The stage is to be kept where it stops on the way.
    Given(Given<'a>, Stage),
    /// It waits for the client's answer.
    Paused(Box<Paused>),
}

/// What a call is, for those who decide on it.
struct Case<'a> {
    tool: &'a CompiledTool,
    /// As the caller gave them.
    arguments: &'a Value,
    given: Given<'a>,
    environment: Environment<'a>,
    context: &'a CallContext,
    rule: Rule,
    owner: [u8; 32],
    binding: [u8; 32],
}

/// Finds out whether a call may go on. Errors: [`CallError::Arguments`], [`CallError::Denied`], [`CallError::NotConfirmed`],
/// [`CallError::Waits`].
pub(super) async fn consent<'a>(
    tool: &'a CompiledTool,
    arguments: &'a Value,
    environment: Environment<'a>,
    context: &'a CallContext,
) -> Result<Consent<'a>, CallError> {
    let policy = environment.policy;
    let given = policy.given(tool, arguments, (&context.principal, context.is_person)).await?;
    given.check(tool)?;
    let rule = policy.rule(tool);
    if rule == Rule::Deny {
        let class = tool.risk.class;
        let reason = format!("the operator's policy denies calls of `{}` (class `{class}`)", tool.name);
        environment.recording.decided(Decision::Denied, Some("policy".to_owned()));
        return Err(CallError::Denied(reason));
    }
    if tool.risk.class == Risk::Grant
        && let Some(excess) = grant(tool, arguments).excess(policy.ceiling(), environment.clock.now_ms())
    {
        environment.recording.decided(Decision::Denied, Some("policy".to_owned()));
        return Err(CallError::Denied(excess));
    }
    let needs_word = rule == Rule::Ask && !context.is_confirmed;
    if rule == Rule::Ask && context.is_confirmed {
        environment.recording.decided(Decision::Confirmed, Some("command".to_owned()));
    }
    if !needs_word && given.wanted.is_empty() {
        return Ok(Consent::Given(given, Stage::None));
    }
    let (owner, binding) = (context.principal.binding(), policy::binding(tool, arguments));
    let case = Case { tool, arguments, given, environment, context, rule, owner, binding };
    Box::pin(case.decided()).await
}

impl<'a> Case<'a> {
    async fn decided(self) -> Result<Consent<'a>, CallError> {
        let resume = self.context.continuation.resume.as_ref();
        let stage = resume.map(|resume| resume.consent.clone()).unwrap_or_default();
        if let Stage::Confirmed(handles) = stage {
            let entered = self.opened(&handles).await?;
            return Ok(self.go(entered, handles, "before"));
        }
        // Somebody may have answered already, in another place or another process.
        let mut is_repeated = false;
        if let Some(vault) = self.policy().vault() {
            match taken(vault, self.owner, self.binding).await? {
                Some(Answer::Waiting(_)) => is_repeated = true,
                Some(answer) => return self.answered(answer).await,
                None => {}
            }
        }
        if stage == Stage::Asked
            && let Some(answer) = self.context.continuation.answers.get(KEY)
        {
            match judged(answer, self.words().as_deref()) {
                Word::Confirmed => {
                    self.settle().await;
                    return Ok(self.go(BTreeMap::new(), BTreeMap::new(), BY_CLIENT));
                }
                Word::Refused => return Err(self.refused().await),
                Word::None => is_repeated = true,
            }
        }
        if is_repeated {
            return match self.elsewhere(REPEATED_WAIT).await? {
                Some(answer) => self.answered(answer).await,
                None => Err(self.waits().await),
            };
        }
        self.ask().await
    }

    fn policy(&self) -> &'a Policy {
        self.environment.policy
    }

    /// The call goes on, as somebody confirmed it.
    fn go(self, entered: BTreeMap<String, SecretString>, handles: BTreeMap<String, String>, by: &str) -> Consent<'a> {
        self.environment.recording.decided(Decision::Confirmed, Some(by.to_owned()));
        let mut given = self.given;
        given.enter(entered);
        Consent::Given(given, Stage::Confirmed(handles))
    }

    /// The same after an answer from elsewhere.
    async fn answered(self, answer: Answer) -> Result<Consent<'a>, CallError> {
        match answer {
            Answer::Confirmed { by, entered } => {
                // What a person entered stays here by a handle of its own, should the call stop on the way.
                let handles = self.kept(&entered).await;
                self.given_check(&entered)?;
                Ok(self.go(entered, handles, &by))
            }
            Answer::Refused { by } => {
                self.environment.recording.decided(Decision::Declined, Some(by.clone()));
                Err(CallError::NotConfirmed(format!("a person refused it ({by})")))
            }
            Answer::Waiting(_) => Err(self.waits().await),
        }
    }

    /// Whether what a person entered fits: they are told by the next question, and so is the model.
    fn given_check(&self, entered: &BTreeMap<String, SecretString>) -> Result<(), CallError> {
        let mut whole = Given { arguments: self.given.arguments.clone(), ..Given::default() };
        whole.enter(entered.clone());
        whole.check(self.tool)
    }

    async fn ask(self) -> Result<Consent<'a>, CallError> {
        let client = &self.context.client;
        let wants_values = !self.given.wanted.is_empty();
        let shown = self.shown().await;
        let question = match self.policy().vault() {
            Some(vault) => {
                let (owner, binding, shown) = (self.owner, self.binding, shown.clone());
                let asked = vault.work(move |store| store.ask(&owner, &binding, shown, QUESTION_LIFE)).await;
                asked.inspect_err(|error| tracing::warn!(%error, "a question cannot be kept for a person")).ok()
            }
            None => None,
        };
        let asked = if !wants_values && client.has(Capability::Elicitation) {
            Some(form(&shown, self.words().as_deref()))
        } else if client.has(Capability::ElicitationUrl)
            && let (Some(question), Some(desk)) = (&question, self.policy().desk())
        {
            // A form is no place for a secret (MCP 2025-11-25, elicitation): a page is.
            let page = desk.needed().await;
            page.map(|page| address(&format!("{page}#/waiting/{}", question.id), &shown))
        } else {
            None
        };
        let Some(asked) = asked else { return Err(self.waits().await) };
        let is_form = asked.kind == QuestionKind::Form;
        let asking = client.ask(vec![asked]);
        let reply = tokio::select! {
            reply = asking => Some(reply),
            answer = self.elsewhere(ASKED_WAIT) => match answer? {
                Some(answer) => return self.answered(answer).await,
                None => None,
            },
        };
        match reply {
            Some(Ok(Reply::Later)) => {
                let at = Resume { consent: Stage::Asked, ..Resume::default() };
                let asked =
                    if is_form { form(&shown, self.words().as_deref()) } else { self.page_again(&shown).await? };
                self.environment.recording.decided(Decision::Asked, Some(BY_CLIENT.to_owned()));
                let wants = Wants::Answers { questions: vec![asked], needs_state: true };
                Ok(Consent::Paused(Box::new(Paused { at, wants })))
            }
            Some(Ok(Reply::Answers(answers))) if is_form => {
                let answer = answers.get(KEY).map_or(Word::None, |answer| judged(answer, self.words().as_deref()));
                match answer {
                    Word::Confirmed => {
                        self.settle().await;
                        Ok(self.go(BTreeMap::new(), BTreeMap::new(), BY_CLIENT))
                    }
                    Word::Refused => Err(self.refused().await),
                    Word::None => Err(self.waits().await),
                }
            }
            // The page is open: the person answers there.
            Some(Ok(Reply::Answers(answers))) => match answers.get(KEY).and_then(|answer| answer.get("action")) {
                Some(action) if action == "accept" => match self.elsewhere(ASKED_WAIT).await? {
                    Some(answer) => self.answered(answer).await,
                    None => Err(self.waits().await),
                },
                Some(action) if action == "decline" => Err(self.refused().await),
                _ => Err(self.waits().await),
            },
            // Whoever gives up gives the whole call up.
            Some(Err(CallError::Cancelled)) => Err(CallError::Cancelled),
            // It said that it could ask, and cannot.
            Some(Err(_)) | None => Err(self.waits().await),
        }
    }

    async fn page_again(&self, shown: &Shown) -> Result<Asked, CallError> {
        let page = match self.policy().desk() {
            Some(desk) => desk.needed().await,
            None => None,
        };
        match page {
            Some(page) => Ok(address(&page, shown)),
            None => Err(self.waits().await),
        }
    }

    /// Waits for an answer in the console or a terminal.
    async fn elsewhere(&self, patience: Duration) -> Result<Option<Answer>, CallError> {
        let Some(vault) = self.policy().vault() else {
            // Nobody can answer there.
            tokio::time::sleep(patience).await;
            return Ok(None);
        };
        let deadline = tokio::time::Instant::now() + patience;
        while tokio::time::Instant::now() < deadline {
            tokio::time::sleep(LOOK_EVERY).await;
            match taken(vault, self.owner, self.binding).await? {
                Some(Answer::Waiting(_)) => {}
                Some(answer) => return Ok(Some(answer)),
                // It is over, or was never kept.
                None => {
                    tokio::time::sleep(deadline.saturating_duration_since(tokio::time::Instant::now())).await;
                    return Ok(None);
                }
            }
        }
        Ok(None)
    }

    /// The question that waits beside the client's own is answered by that.
    async fn settle(&self) {
        let Some(vault) = self.policy().vault() else { return };
        let (owner, binding) = (self.owner, self.binding);
        let settled = vault.work(move |store| store.settle(&owner, &binding)).await;
        if let Err(error) = settled {
            let error: StoreError = error;
            tracing::warn!(%error, "a question goes on waiting that was answered");
        }
    }

    async fn refused(&self) -> CallError {
        self.environment.recording.decided(Decision::Declined, Some(BY_CLIENT.to_owned()));
        let page = self.hint().await;
        CallError::NotConfirmed(format!(
            "the client answered that it is declined. If a person did that, leave it. If nobody was asked, {page}, and call \
             again with exactly the same arguments"
        ))
    }

    async fn waits(&self) -> CallError {
        self.environment.recording.decided(Decision::Asked, None);
        let what = match (self.given.wanted.as_slice(), self.rule) {
            ([], _) => format!(
                "whether `{}` may be carried out (risk: {}, {})",
                self.tool.name, self.tool.risk.class, self.tool.risk.reason
            ),
            (wanted, rule) => {
                let labels: Vec<String> = wanted.iter().map(|entry| format!("`{}`", entry.label)).collect();
                let confirm = if rule == Rule::Ask { ", and whether the call may be carried out" } else { "" };
                format!("the secret value of {}{confirm}", labels.join(" and "))
            }
        };
        CallError::Waits { what, how: self.hint().await }
    }

    /// How a person answers, for the model to tell them. Nothing in it lets anybody in.
    async fn hint(&self) -> String {
        if self.policy().vault().is_none() {
            return "there is no data folder to keep a question in, so use a client that can ask its user, or tell the operator \
                    to give `--data-dir`"
                .to_owned();
        }
        let page = match self.policy().desk() {
            Some(desk) => desk.needed().await,
            None => None,
        };
        match page {
            Some(page) => format!(
                "ask the person to answer in keyglass's console at {page} (its log has the link that lets them in) or by \
                 `keyglass approve` in a terminal"
            ),
            None => "ask the person to answer by `keyglass approve` in a terminal".to_owned(),
        }
    }

    /// What a person sees of the call.
    async fn shown(&self) -> Shown {
        let Self { tool, arguments, context, .. } = self;
        let no_arguments = JsonObject::new();
        let given = self.given.arguments.as_object().unwrap_or(&no_arguments);
        let request = match dry_run::dry_run(tool, given.clone()) {
            Ok(request) => request.to_text(dry_run::Format::Http),
            Err(_) => {
                let masked = Value::Object(tool.input.replace_secrets(given, MASKED));
                format!("{}\n\n{masked:#}\n", tool.plan.summary())
            }
        };
        let grant = (tool.risk.class == Risk::Grant).then(|| grant(tool, arguments));
        let subject = if self.rule == Rule::Ask { self.subject().await } else { None };
        Shown {
            code: String::new(),
            tool: tool.name.clone(),
            title: tool.title.clone(),
            risk: tool.risk.class.to_string(),
            reason: tool.risk.reason.clone().into_owned(),
            principal: context.principal.name().to_owned(),
            client: context.client.name().unwrap_or_default(),
            request,
            subject,
            notes: grant.iter().flat_map(Grant::notes).collect(),
            words: self.words(),
            entries: self.given.wanted.clone(),
            confirms: self.rule == Rule::Ask,
        }
    }

    /// What a person has to write.
    fn words(&self) -> Option<String> {
        if self.tool.risk.class != Risk::Grant || self.rule != Rule::Ask {
            return None;
        }
        grant(self.tool, self.arguments).words()
    }

    /// The object that the call is about, read by a tool that only reads. What cannot be read is not shown.
    async fn subject(&self) -> Option<Subject> {
        let Self { tool, environment, context, .. } = self;
        let (reader, arguments) = environment.catalog?.reader_of(tool, self.given.arguments.as_object()?)?;
        let context = CallContext {
            caller_key: context.caller_key.clone(),
            principal: context.principal.clone(),
            ..CallContext::new(format!("{}-about", context.request_id))
        };
        // What is read for the person is no part of the call.
        let recording = Recording::off();
        let environment = Environment { recording: &recording, ..*environment };
        let output = Box::pin(super::attempt(reader, arguments, environment, &context)).await.ok()?;
        let mut value = output.structured()?;
        environment.policy.glass().value(&mut value, &context.principal, &Seen::default());
        Some(Subject { tool: reader.name.clone(), value })
    }

    /// Handles of what a person entered.
    async fn kept(&self, entered: &BTreeMap<String, SecretString>) -> BTreeMap<String, String> {
        let Some(vault) = self.policy().vault().filter(|_| !entered.is_empty()) else { return BTreeMap::new() };
        let (owner, tool, entered) = (self.owner, self.tool.name.clone(), entered.clone());
        let kept = vault.work(move |store| {
            let values = entered.iter().map(|(pointer, value)| {
                let origin = Origin { tool: tool.clone(), place: pointer.clone(), about: String::new() };
                Kept { value, origin }
            });
            let ids = store.keep(&owner, &values.collect::<Vec<_>>(), QUESTION_LIFE)?;
            Ok::<_, StoreError>(entered.into_keys().zip(ids.iter().map(ToString::to_string)).collect())
        });
        kept.await.unwrap_or_default()
    }

    async fn opened(&self, handles: &BTreeMap<String, String>) -> Result<BTreeMap<String, SecretString>, CallError> {
        let mut entered = BTreeMap::new();
        for (pointer, handle) in handles {
            let id: Option<HandleId> = handle.parse().ok();
            let (Some(vault), Some(id)) = (self.policy().vault(), id) else { continue };
            let owner = self.owner;
            let value = vault.work(move |store| store.value(&owner, &id)).await;
            let value = value.map_err(|_| {
                CallError::NotConfirmed(
                    "what a person entered for it is not kept any more; call again from the start".to_owned(),
                )
            })?;
            entered.insert(pointer.clone(), value);
        }
        Ok(entered)
    }
}

/// What a person says of a call.
enum Word {
    Confirmed,
    Refused,
    /// Nothing that counts: it was put away, or nobody was asked.
    None,
}

/// The answer of a client to the form.
fn judged(answer: &Value, words: Option<&str>) -> Word {
    match answer.get("action").and_then(Value::as_str) {
        Some("accept") => {}
        Some("decline") => return Word::Refused,
        _ => return Word::None,
    }
    let said = |name: &str| answer.get("content").and_then(|content| content.get(name)).and_then(Value::as_str);
    match (said("decision"), words) {
        (Some(CONFIRM), None) => Word::Confirmed,
        (Some(CONFIRM), Some(words)) if said("words").map(str::trim) == Some(words) => Word::Confirmed,
        (Some(REFUSE), _) => Word::Refused,
        _ => Word::None,
    }
}

/// The question as a form of the client.
fn form(shown: &Shown, words: Option<&str>) -> Asked {
    let mut lines = vec![
        format!("{}: may this be carried out?", shown.title),
        format!("Tool `{}`, risk: {} ({}).", shown.tool, shown.risk, shown.reason),
        format!("Request:\n{}", shorten(shown.request.trim_end(), MAX_FORM_TEXT)),
    ];
    if let Some(subject) = &shown.subject {
        lines.push(format!("It is about: {}", shorten(&subject.value.to_string(), MAX_FORM_TEXT)));
    }
    lines.extend(shown.notes.iter().map(|note| format!("Note: {note}.")));
    let mut properties = json!({
        "decision": {
            "type": "string",
            "title": "Decision",
            "description": "Whether the call may be carried out, once, as it is shown.",
            "enum": [REFUSE, CONFIRM],
        }
    });
    let mut required = vec![json!("decision")];
    if let (Some(words), Some(properties)) = (words, properties.as_object_mut()) {
        let field =
            json!({"type": "string", "title": "In words", "description": format!("To confirm, write: {words}")});
        properties.insert("words".to_owned(), field);
        required.push(json!("words"));
    }
    let schema = json!({"type": "object", "properties": properties, "required": required});
    let params =
        Map::from_iter([("message".to_owned(), Value::from(lines.join("\n"))), ("requestedSchema".to_owned(), schema)]);
    Asked { key: KEY.to_owned(), kind: QuestionKind::Form, params }
}

/// The question as a page that the client opens.
fn address(page: &str, shown: &Shown) -> Asked {
    let message = if shown.entries.is_empty() {
        format!("{}: look at the request and decide.", shown.title)
    } else {
        format!("{}: enter the secret value; it does not pass through this program.", shown.title)
    };
    let params = Map::from_iter([("message".to_owned(), Value::from(message)), ("url".to_owned(), Value::from(page))]);
    Asked { key: KEY.to_owned(), kind: QuestionKind::Url, params }
}

fn grant(tool: &CompiledTool, arguments: &Value) -> Grant {
    let no_arguments = JsonObject::new();
    let names = tool.input.names();
    Grant::asked(names.iter().map(String::as_str), arguments.as_object().unwrap_or(&no_arguments))
}

async fn taken(vault: &Arc<Vault>, owner: [u8; 32], binding: [u8; 32]) -> Result<Option<Answer>, CallError> {
    let taken = vault.work(move |store| store.take(&owner, &binding)).await;
    taken.map_err(|error: StoreError| {
        tracing::warn!(%error, "no answer of a person can be read");
        CallError::NotConfirmed(
            "keyglass cannot read whether a person confirmed it; tell the operator to look at its log".to_owned(),
        )
    })
}
