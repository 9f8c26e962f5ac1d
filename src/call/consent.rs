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
    catalog::{CompiledTool, JsonObject, plan::Plan, risk::Risk},
    dry_run,
    error::CallError,
    mask::MASKED,
    policy::{
        self, Policy,
        glass::Seen,
        grants::Grant,
        inputs::Given,
        rules::Rule,
        store::{Answer, AskError, HandleId, Kept, Origin, Question, Shown, Store, StoreError, Subject},
        vault::Vault,
    },
    prose::invisible::{hidden, one_line},
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
const MAX_FORM_TEXT: usize = 4_000;
/// How long the object of a call may take to be read.
const SUBJECT_WAIT: Duration = Duration::from_secs(10);
/// How long a question waits on whose call was given up.
const GIVEN_UP_LIFE: Duration = Duration::from_secs(2 * 60);

/// How far a person was asked about a call that goes on later.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Stage {
    /// Not at all.
    #[default]
    #[serde(rename = "n")]
    None,
    /// The client has the question, as a form.
    #[serde(rename = "a")]
    Asked,
    /// The client was given the address of the page with the question.
    #[serde(rename = "o")]
    Opened,
    /// It was confirmed. With the handles of the secret values that a person gave, by their pointers.
    #[serde(rename = "c")]
    Confirmed(BTreeMap<String, String>),
}

impl Stage {
    pub(super) fn is_none(&self) -> bool {
        *self == Self::None
    }

    /// Whether the call stopped for that, and not on its way.
    pub(super) fn is_asked(&self) -> bool {
        matches!(self, Self::Asked | Self::Opened)
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
            return self.go(entered, handles, "before");
        }
        let answer = self.context.continuation.answers.get(KEY);
        let word = answer.and_then(|answer| match stage {
            Stage::Asked => Some(judged(answer, self.words().as_deref())),
            Stage::Opened => Some(judged_page(answer)),
            Stage::None | Stage::Confirmed(_) => None,
        });
        // Whatever was said elsewhere.
        if matches!(word, Some(Word::Refused)) {
            return Err(self.refused().await);
        }
        // Somebody may have answered already, in another place or another process.
        let mut waiting = None;
        if let Some(vault) = self.policy().vault() {
            match taken(vault, self.owner, self.binding).await? {
                Some(Answer::Waiting(question)) => waiting = Some(question),
                Some(answer) => return self.answered(answer).await,
                None => {}
            }
        }
        match word {
            Some(Word::Confirmed) => {
                self.settle().await;
                return self.go(BTreeMap::new(), BTreeMap::new(), BY_CLIENT);
            }
            Some(Word::Elsewhere) => return self.waited(ASKED_WAIT).await,
            Some(Word::None | Word::Refused) => {
                self.pass_on().await;
                return Err(self.waits().await);
            }
            None => {}
        }
        if waiting.is_some_and(|question| question.is_passed_on || !self.can_ask()) {
            return self.waited(REPEATED_WAIT).await;
        }
        self.ask().await
    }

    fn policy(&self) -> &'a Policy {
        self.environment.policy
    }

    /// The call goes on, as somebody confirmed it.
    fn go(
        self,
        entered: BTreeMap<String, SecretString>,
        handles: BTreeMap<String, String>,
        by: &str,
    ) -> Result<Consent<'a>, CallError> {
        // What stands in for a value must never be sent.
        if self.given.wanted.iter().any(|entry| !entered.contains_key(&entry.pointer)) {
            return Err(CallError::NotConfirmed(
                "a secret value that a person has to give is missing; call again from the start".to_owned(),
            ));
        }
        self.environment.recording.decided(Decision::Confirmed, Some(by.to_owned()));
        let mut given = self.given;
        given.enter(entered);
        Ok(Consent::Given(given, Stage::Confirmed(handles)))
    }

    /// The same after an answer from elsewhere.
    async fn answered(self, answer: Answer) -> Result<Consent<'a>, CallError> {
        match answer {
            Answer::Confirmed { by, entered } => {
                // What a person entered stays here by a handle of its own, should the call stop on the way.
                let handles = self.kept(&entered).await;
                self.given_check(&entered)?;
                self.go(entered, handles, &by)
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

    /// Whether the client has a form for the question. A form is no place for a secret (MCP 2025-11-25, elicitation).
    fn has_form(&self) -> bool {
        self.given.wanted.is_empty() && self.context.client.has(Capability::Elicitation)
    }

    /// Whether the client may bring a person to the question.
    fn can_ask(&self) -> bool {
        let has_page = self.context.client.has(Capability::ElicitationUrl) && self.policy().desk().is_some();
        self.has_form() || has_page
    }

    async fn ask(self) -> Result<Consent<'a>, CallError> {
        let client = &self.context.client;
        let shown = self.shown().await;
        let question = self.put(shown.clone()).await;
        let asked = if self.has_form() {
            Some(form(&shown, self.words().as_deref()))
        } else if client.has(Capability::ElicitationUrl)
            && let (Ok(Some(question)), Some(desk)) = (&question, self.policy().desk())
        {
            let page = desk.needed().await;
            page.map(|page| address(&format!("{page}#/waiting/{}", question.id), &shown))
        } else {
            None
        };
        let Some(asked) = asked else {
            return Err(match question {
                Ok(_) => self.waits().await,
                Err(error) => self.nowhere(&error),
            });
        };
        let mut waiting =
            Waiting { vault: self.policy().vault(), owner: self.owner, binding: self.binding, over: false };
        let is_form = asked.kind == QuestionKind::Form;
        let asking = client.ask(vec![asked.clone()]);
        let reply = tokio::select! {
            // One that answers later leaves nothing to look for: an answer that is taken and dropped would be lost.
            biased;
            reply = asking => Some(reply),
            answer = self.elsewhere(ASKED_WAIT, Some(shown)) => match answer? {
                Some(answer) => {
                    waiting.over = true;
                    return self.answered(answer).await;
                }
                None => None,
            },
        };
        let word = match reply {
            Some(Ok(Reply::Later)) => {
                waiting.over = true;
                let consent = if is_form { Stage::Asked } else { Stage::Opened };
                let at = Resume { consent, ..Resume::default() };
                self.environment.recording.decided(Decision::Asked, Some(BY_CLIENT.to_owned()));
                let wants = Wants::Answers { questions: vec![asked], needs_state: true };
                return Ok(Consent::Paused(Box::new(Paused { at, wants })));
            }
            Some(Ok(Reply::Answers(answers))) => answers.get(KEY).map_or(Word::None, |answer| {
                if is_form { judged(answer, self.words().as_deref()) } else { judged_page(answer) }
            }),
            // Whoever gives up gives the whole call up.
            Some(Err(CallError::Cancelled)) => return Err(CallError::Cancelled),
            // It said that it could ask, and cannot, or nobody answered.
            Some(Err(_)) | None => Word::None,
        };
        if matches!(word, Word::Elsewhere) {
            let answer = self.elsewhere(ASKED_WAIT, None).await?;
            waiting.over = true;
            return match answer {
                Some(answer) => self.answered(answer).await,
                None => Err(self.waits().await),
            };
        }
        waiting.over = true;
        match word {
            Word::Confirmed => {
                self.settle().await;
                self.go(BTreeMap::new(), BTreeMap::new(), BY_CLIENT)
            }
            Word::Refused => Err(self.refused().await),
            Word::None | Word::Elsewhere => {
                self.pass_on().await;
                Err(self.waits().await)
            }
        }
    }

    /// Puts the question where somebody may answer it in the console or a terminal. None where there is no such place.
    async fn put(&self, shown: Shown) -> Result<Option<Question>, AskError> {
        let Some(vault) = self.policy().vault() else { return Ok(None) };
        let (owner, binding) = (self.owner, self.binding);
        let asked = vault.work(move |store| store.ask(&owner, &binding, shown, QUESTION_LIFE)).await;
        asked.inspect_err(|error| tracing::warn!(%error, "a question cannot be kept for a person")).map(Some)
    }

    /// Waits so long, and no longer, for somebody to answer elsewhere.
    async fn waited(self, patience: Duration) -> Result<Consent<'a>, CallError> {
        if self.policy().vault().is_none() {
            return Err(self.waits().await);
        }
        match self.elsewhere(patience, None).await? {
            Some(answer) => self.answered(answer).await,
            None => Err(self.waits().await),
        }
    }

    /// Waits for an answer in the console or a terminal. What is `shown` there is made where it is not given.
    async fn elsewhere(&self, patience: Duration, mut shown: Option<Shown>) -> Result<Option<Answer>, CallError> {
        let Some(vault) = self.policy().vault() else {
            // Nobody can answer there.
            tokio::time::sleep(patience).await;
            return Ok(None);
        };
        let deadline = tokio::time::Instant::now() + patience;
        while tokio::time::Instant::now() < deadline {
            match taken(vault, self.owner, self.binding).await? {
                Some(Answer::Waiting(question)) => shown = Some(question.shown),
                Some(answer) => return Ok(Some(answer)),
                // Its answer was for another call like this one, or its time is over: this one has a question of its own.
                None => {
                    let again = match shown.take() {
                        Some(shown) => shown,
                        None => self.shown().await,
                    };
                    // Where it cannot be kept the client's own question is left.
                    if self.put(again.clone()).await.is_err() {
                        tokio::time::sleep_until(deadline).await;
                        return Ok(None);
                    }
                    shown = Some(again);
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(None)
    }

    /// The question that waits beside the client's own is answered by that.
    async fn settle(&self) {
        let (owner, binding) = (self.owner, self.binding);
        self.tell(move |store| store.settle(&owner, &binding)).await;
    }

    /// The client was asked and nobody decided there: it is not asked again, the question waits for somebody elsewhere.
    async fn pass_on(&self) {
        let (owner, binding) = (self.owner, self.binding);
        self.tell(move |store| store.pass_on(&owner, &binding)).await;
    }

    /// Tells the store what became of a question.
    async fn tell(&self, what: impl FnOnce(&Store) -> Result<(), StoreError> + Send + 'static) {
        let Some(vault) = self.policy().vault() else { return };
        if let Err(error) = vault.work(what).await {
            tracing::warn!(%error, "what became of a question cannot be kept");
        }
    }

    async fn refused(&self) -> CallError {
        self.environment.recording.decided(Decision::Declined, Some(BY_CLIENT.to_owned()));
        self.pass_on().await;
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

    /// Why nobody can be asked anywhere.
    fn nowhere(&self, error: &AskError) -> CallError {
        self.environment.recording.decided(Decision::Denied, None);
        CallError::NotConfirmed(match error {
            AskError::TooMany => format!(
                "and nobody was asked: {error}; ask the person to decide on some of them by `keyglass approve` or in \
                 keyglass's console, then call again"
            ),
            AskError::Store(_) => {
                "and nobody was asked: keyglass cannot keep the question; tell the operator to look at its log"
                    .to_owned()
            }
        })
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
        let masked = || Value::Object(tool.input.replace_secrets(given, MASKED));
        let request = match dry_run::dry_run(tool, given.clone()) {
            // What later steps send depends on answers, but all of it is made of the arguments.
            Ok(request) if matches!(tool.plan, Plan::Steps(_)) => {
                format!("{}\n# the arguments of all steps:\n{:#}\n", request.to_text(dry_run::Format::Http), masked())
            }
            Ok(request) => request.to_text(dry_run::Format::Http),
            Err(_) => format!("{}\n\n{:#}\n", tool.plan.summary(), masked()),
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
            client: one_line(&context.client.name().unwrap_or_default()),
            request,
            subject,
            notes: grant.iter().flat_map(Grant::notes).map(|note| one_line(&note)).collect(),
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
        // The operator has a person asked about that as well, or lets nobody read it.
        if matches!(environment.policy.rule(reader), Rule::Ask | Rule::Deny) {
            return None;
        }
        let context = CallContext {
            caller_key: context.caller_key.clone(),
            principal: context.principal.clone(),
            ..CallContext::new(format!("{}-about", context.request_id))
        };
        // What is read for the person is no part of the call.
        let recording = Recording::off();
        let environment = Environment { recording: &recording, ..*environment };
        let reading = Box::pin(super::attempt(reader, arguments, environment, &context));
        let output = tokio::time::timeout(SUBJECT_WAIT, reading).await.ok()?.ok()?;
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

/// A question that waits while a call is under way. Dropped before that is over, somebody gave the call up: the question
/// goes soon, but not at once, since whoever was about to answer does so, and some clients call again.
struct Waiting<'a> {
    vault: Option<&'a Arc<Vault>>,
    owner: [u8; 32],
    binding: [u8; 32],
    over: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let (Some(vault), false, Ok(runtime)) = (self.vault, self.over, tokio::runtime::Handle::try_current()) else {
            return;
        };
        let (vault, owner, binding) = (Arc::clone(vault), self.owner, self.binding);
        runtime.spawn(async move {
            let told: Result<(), StoreError> =
                vault.work(move |store| store.shorten(&owner, &binding, GIVEN_UP_LIFE)).await;
            if let Err(error) = told {
                tracing::warn!(%error, "a question goes on waiting whose call was given up");
            }
        });
    }
}

/// What a person says of a call.
enum Word {
    Confirmed,
    Refused,
    /// They say it elsewhere.
    Elsewhere,
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

/// The answer of a client that was asked to open the page. It decides nothing.
fn judged_page(answer: &Value) -> Word {
    match answer.get("action").and_then(Value::as_str) {
        Some("accept") => Word::Elsewhere,
        Some("decline") => Word::Refused,
        _ => Word::None,
    }
}

/// The question as a form of the client.
fn form(shown: &Shown, words: Option<&str>) -> Asked {
    let mut lines = vec![
        format!("{}: may this be carried out?", shown.title),
        format!("Tool `{}`, risk: {} ({}).", shown.tool, shown.risk, shown.reason),
        format!("Request:\n{}", in_form(&shown.request)),
    ];
    if let Some(subject) = &shown.subject {
        lines.push(format!("It is about:\n{}", in_form(&subject.value.to_string())));
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

/// A text that others wrote, so that no line of it looks like one of ours, and nothing in it goes unseen.
fn in_form(text: &str) -> String {
    let mut text = text.trim_end().to_owned();
    for hidden in hidden(&text) {
        text = text.replace(hidden, &hidden.escape_unicode().to_string());
    }
    let rest = text.chars().count().saturating_sub(MAX_FORM_TEXT);
    let mut shown: String = shorten(&text, MAX_FORM_TEXT).lines().map(|line| format!("  {line}\n")).collect();
    if rest > 0 {
        shown.push_str(&format!("({rest} more characters are not shown here; `keyglass approve` shows all of them)\n"));
    }
    shown.trim_end().to_owned()
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
