//! Whether a call may go on: its secret arguments are had, and a person has confirmed it where the policy wants that.
//!
//! A person is asked by whatever way the client leaves: its own forms, a page that it opens, or, where it has neither or only
//! says so, by a question that waits in the store until somebody answers it in the console or a terminal. The first answer
//! counts. What was confirmed is the call that was shown: the same arguments, doing the same.

mod form;
mod questions;
mod shown;
mod told;

use std::{collections::BTreeMap, time::Duration};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

pub(crate) use self::form::{CONFIRM, REFUSE, is_confirmation};
use self::{
    form::{KEY, MOST_ROUNDS, Word, address, form, judged, judged_page, key},
    questions::{Waiting, look, settled},
    shown::grant,
};
use super::{
    CallContext, Environment,
    client::{Paused, Reply, Resume, Wants},
};
use crate::{
    audit::Decision,
    catalog::{CompiledTool, risk::Risk},
    error::CallError,
    policy::{
        self, Policy,
        inputs::Given,
        rules::Rule,
        store::{Answer, Question, QuestionId, Shown, State},
    },
    spec::{Capability, QuestionKind},
};

/// How long a call waits that was told to come again: some clients give up after a minute.
const REPEATED_WAIT: Duration = Duration::from_secs(20);
/// How long a client is not asked again that was asked about the same call, and where nobody decided: one that answers by
/// itself is not led round in circles, and a slip of a person costs them no more than that.
const ASKED_AGAIN_AFTER_MS: i64 = 30 * 1000;
/// How long a call waits whose client asks the person, or has opened the page for them.
const ASKED_WAIT: Duration = Duration::from_secs(9 * 60);
/// Who decided, in the audit log: whoever the client asked.
const BY_CLIENT: &str = "client";

/// How far a person was asked about a call that goes on later.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Stage {
    /// Not at all.
    #[default]
    #[serde(rename = "n")]
    None,
    /// The client has the question, as a form.
    #[serde(rename = "a")]
    Asked {
        /// The same question in the store, which is used up by the answer. None where it could not be kept.
        #[serde(rename = "q", default, skip_serializing_if = "Option::is_none")]
        question: Option<QuestionId>,
        /// For the first, second, … time.
        #[serde(rename = "n")]
        round: u8,
    },
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
        matches!(self, Self::Asked { .. } | Self::Opened)
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
    let now_ms = environment.clock.now_ms();
    if tool.risk.class == Risk::Grant
        && let Some(excess) = grant(tool, arguments, now_ms).excess(policy.ceiling(), now_ms)
    {
        environment.recording.decided(Decision::Denied, Some("policy".to_owned()));
        return Err(CallError::Denied(excess));
    }
    let confirmed_by = context.confirmed_by.filter(|_| rule == Rule::Ask);
    if let Some(by) = confirmed_by {
        environment.recording.decided(Decision::Confirmed, Some(by.to_owned()));
    }
    let needs_word = rule == Rule::Ask && confirmed_by.is_none();
    // Most calls are never asked about, and pay for no digest.
    let bound = || (context.principal.binding(), policy::binding(tool, arguments));
    if !needs_word && given.wanted.is_empty() {
        if confirmed_by.is_some() {
            // It may have been made before without that word, and have left a question.
            let (owner, binding) = bound();
            settled(policy.vault().filter(|vault| vault.is_there()), owner, binding).await;
        }
        return Ok(Consent::Given(given, Stage::None));
    }
    let (owner, binding) = bound();
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
        let answers = &self.context.continuation.answers;
        let word = match &stage {
            Stage::Asked { round, .. } => {
                answers.get(&key(*round)).map(|answer| judged(answer, self.words().as_deref()))
            }
            Stage::Opened => answers.get(KEY).map(judged_page),
            Stage::None | Stage::Confirmed(_) => None,
        };
        // Whatever was said elsewhere.
        match word {
            Some(Word::Refused) => return Err(self.refused().await),
            Some(Word::Declined) => return Err(self.declined().await),
            _ => {}
        }
        // Somebody may have answered already, in another place or another process.
        let mut waiting = None;
        if let Some(vault) = self.policy().vault() {
            waiting = look(vault, self.owner, self.binding).await?;
            if waiting.as_ref().is_some_and(|question| question.state != State::Waiting) {
                waiting = None;
                if let Some(answer) = self.taken().await? {
                    return self.answered(answer).await;
                }
            }
        }
        match (word, stage) {
            (Some(Word::Confirmed), Stage::Asked { question, .. }) => {
                // Where the state of a call is carried by its client, and perhaps twice, the store says what is used.
                if question.is_none() || self.used_up(question).await? {
                    return self.go(BTreeMap::new(), BTreeMap::new(), BY_CLIENT);
                }
                return self.ask(1, None).await;
            }
            (Some(Word::Unfit(wrong)), Stage::Asked { round, .. }) if round < MOST_ROUNDS => {
                return self.ask(round + 1, Some(wrong)).await;
            }
            (Some(Word::Unfit(wrong)), _) => return Err(self.unfit(&wrong).await),
            (Some(Word::Elsewhere), _) => return self.waited(ASKED_WAIT).await,
            (Some(_), _) => {
                self.pass_on().await;
                return Err(self.waits().await);
            }
            (None, _) => {}
        }
        if waiting.is_some_and(|question| self.is_left_to_others(&question)) {
            return self.waited(REPEATED_WAIT).await;
        }
        self.ask(1, None).await
    }

    /// Whether the client is not asked about a question that waits.
    fn is_left_to_others(&self, question: &Question) -> bool {
        if !self.can_ask() {
            return true;
        }
        let now_ms = self.environment.clock.now_ms();
        let is_recent = |at_ms: i64| (0..ASKED_AGAIN_AFTER_MS).contains(&now_ms.saturating_sub(at_ms));
        // Whoever sits at the terminal has just asked for it.
        !self.context.is_person && question.passed_on_at_ms.is_some_and(is_recent)
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
        self.given.with(entered.clone()).check(self.tool)
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

    /// Asks the client for the first, second, … time; before that it was told of what is wrong.
    async fn ask(self, mut round: u8, mut wrong: Option<String>) -> Result<Consent<'a>, CallError> {
        let shown = self.shown().await;
        let mut waiting =
            Waiting { vault: self.policy().vault(), owner: self.owner, binding: self.binding, over: false };
        loop {
            match self.asked(&shown, (round, wrong.as_deref()), &mut waiting).await? {
                Heard::Paused(paused) => return Ok(Consent::Paused(paused)),
                Heard::Answer(answer) => return self.answered(answer).await,
                Heard::Word(Word::Confirmed) => {
                    // The first answer counts. A question that is gone was used up by another call like this one.
                    if !self.used_up(None).await?
                        && let Some(answer) = self.taken().await?
                    {
                        return self.answered(answer).await;
                    }
                    return self.go(BTreeMap::new(), BTreeMap::new(), BY_CLIENT);
                }
                Heard::Word(Word::Refused) => return Err(self.refused().await),
                Heard::Word(Word::Declined) => return Err(self.declined().await),
                Heard::Word(Word::Unfit(why)) if round < MOST_ROUNDS => {
                    (round, wrong) = (round + 1, Some(why));
                    waiting.over = false;
                }
                Heard::Word(Word::Unfit(why)) => return Err(self.unfit(&why).await),
                Heard::Word(Word::Elsewhere) => return Err(self.waits().await),
                Heard::Word(Word::None) => {
                    self.pass_on().await;
                    return Err(self.waits().await);
                }
            }
        }
    }

    /// Asks the client once, and listens whether somebody answers elsewhere before.
    async fn asked(
        &self,
        shown: &Shown,
        (round, wrong): (u8, Option<&str>),
        waiting: &mut Waiting<'_>,
    ) -> Result<Heard, CallError> {
        let client = &self.context.client;
        let question = self.put(shown.clone()).await;
        // A person confirms what they have seen all of, and nothing else.
        let form = if self.has_form() { form(shown, self.words().as_deref(), (round, wrong)) } else { None };
        let asked = if form.is_some() {
            form
        } else if client.has(Capability::ElicitationUrl)
            && let (Ok(Some(question)), Some(desk)) = (&question, self.policy().desk())
        {
            let page = desk.needed().await;
            page.map(|page| address(&format!("{page}#/waiting/{}", question.id), shown))
        } else {
            None
        };
        let Some(asked) = asked else {
            waiting.over = true;
            return Err(match question {
                Ok(_) if self.has_form() => {
                    // It is not asked again: the next call waits for who answers elsewhere.
                    self.pass_on().await;
                    self.too_long().await
                }
                Ok(_) => self.waits().await,
                Err(error) => self.nowhere(&error),
            });
        };
        let is_form = asked.kind == QuestionKind::Form;
        let deadline = Instant::now() + ASKED_WAIT;
        let mut kept = Some(shown.clone());
        let mut asking = client.ask(vec![asked.clone()]);
        let reply = loop {
            let decided = tokio::select! {
                biased;
                reply = &mut asking => break Some(reply),
                decided = self.elsewhere(deadline, &mut kept) => decided?,
            };
            if !decided {
                break None;
            }
            if let Some(answer) = self.taken().await? {
                waiting.over = true;
                return Ok(Heard::Answer(answer));
            }
        };
        let word = match reply {
            Some(Ok(Reply::Later)) => {
                waiting.over = true;
                let question = question.ok().flatten().map(|question| question.id);
                let consent = if is_form { Stage::Asked { question, round } } else { Stage::Opened };
                let at = Resume { consent, ..Resume::default() };
                self.environment.recording.decided(Decision::Asked, Some(BY_CLIENT.to_owned()));
                let wants = Wants::Answers { questions: vec![asked], needs_state: true };
                return Ok(Heard::Paused(Box::new(Paused { at, wants })));
            }
            Some(Ok(Reply::Answers(answers))) => answers.get(&asked.key).map_or(Word::None, |answer| {
                if is_form { judged(answer, self.words().as_deref()) } else { judged_page(answer) }
            }),
            // Whoever gives up gives the whole call up.
            Some(Err(CallError::Cancelled)) => return Err(CallError::Cancelled),
            // It said that it could ask, and cannot, or nobody answered.
            Some(Err(_)) | None => Word::None,
        };
        if matches!(word, Word::Elsewhere)
            && let Some(answer) = self.answer_within(ASKED_WAIT).await?
        {
            waiting.over = true;
            return Ok(Heard::Answer(answer));
        }
        waiting.over = true;
        Ok(Heard::Word(word))
    }

    /// The answer of somebody elsewhere within this time.
    async fn answer_within(&self, patience: Duration) -> Result<Option<Answer>, CallError> {
        let (deadline, mut shown) = (Instant::now() + patience, None);
        while self.elsewhere(deadline, &mut shown).await? {
            if let Some(answer) = self.taken().await? {
                return Ok(Some(answer));
            }
        }
        Ok(None)
    }

    /// Waits so long, and no longer, for somebody to answer elsewhere.
    async fn waited(self, patience: Duration) -> Result<Consent<'a>, CallError> {
        if self.policy().vault().is_none() {
            return Err(self.waits().await);
        }
        match self.answer_within(patience).await? {
            Some(answer) => self.answered(answer).await,
            None => Err(self.waits().await),
        }
    }
}

/// What came of asking a client.
enum Heard {
    /// It answers later.
    Paused(Box<Paused>),
    /// Somebody answered elsewhere.
    Answer(Answer),
    /// It answered.
    Word(Word),
}
