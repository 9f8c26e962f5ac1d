//! The question in the store, which somebody answers in the console or a terminal, and what a person entered there.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use secrecy::SecretString;
use tokio::time::Instant;

use super::Case;
use crate::{
    error::CallError,
    policy::{
        store::{Answer, AskError, HandleId, Kept, Origin, Question, QuestionId, Shown, State, Store, StoreError},
        vault::Vault,
    },
};

/// How long a question waits for a person.
const QUESTION_LIFE: Duration = Duration::from_secs(15 * 60);
/// How often it is looked whether somebody answered elsewhere.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How long a question waits on whose call was given up.
const GIVEN_UP_LIFE: Duration = Duration::from_secs(2 * 60);

impl Case<'_> {
    /// Puts the question where somebody may answer it in the console or a terminal. None where there is no such place.
    pub(super) async fn put(&self, shown: Shown) -> Result<Option<Question>, AskError> {
        let Some(vault) = self.policy().vault() else { return Ok(None) };
        let (owner, binding) = (self.owner, self.binding);
        let asked = vault.work(move |store| store.ask(&owner, &binding, shown, QUESTION_LIFE)).await;
        asked.inspect_err(|error| tracing::warn!(%error, "a question cannot be kept for a person")).map(Some)
    }

    /// Waits until somebody decided in the console or a terminal, or the time is over, and says whether they did. What is
    /// `shown` there is made where it is not given. May be dropped at any time: no answer is used up by this.
    pub(super) async fn elsewhere(&self, deadline: Instant, shown: &mut Option<Shown>) -> Result<bool, CallError> {
        let Some(vault) = self.policy().vault() else {
            // Nobody can answer there.
            tokio::time::sleep_until(deadline).await;
            return Ok(false);
        };
        while Instant::now() < deadline {
            match look(vault, self.owner, self.binding).await? {
                Some(question) if question.state == State::Waiting => *shown = Some(question.shown),
                Some(_) => return Ok(true),
                // Its answer was for another call like this one, or its time is over: this one has a question of its own.
                None => {
                    let again = match &*shown {
                        Some(shown) => shown.clone(),
                        None => self.shown().await,
                    };
                    // Where it cannot be kept the client's own question is left.
                    if self.put(again.clone()).await.is_err() {
                        tokio::time::sleep_until(deadline).await;
                        return Ok(false);
                    }
                    *shown = Some(again);
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(false)
    }

    /// The answer of somebody elsewhere, which is this call's from now on. None where there is none, or another call like
    /// this one has it.
    pub(super) async fn taken(&self) -> Result<Option<Answer>, CallError> {
        let Some(vault) = self.policy().vault() else { return Ok(None) };
        let (owner, binding) = (self.owner, self.binding);
        let taken = vault.work(move |store| store.take(&owner, &binding)).await.map_err(unreadable)?;
        Ok(taken.filter(|answer| !matches!(answer, Answer::Waiting(_))))
    }

    /// Uses the question up for a word that came by the client. False where it does not wait any more: the first answer
    /// counts, and each once.
    pub(super) async fn used_up(&self, id: Option<QuestionId>) -> Result<bool, CallError> {
        let Some(vault) = self.policy().vault() else { return Ok(true) };
        let (owner, binding) = (self.owner, self.binding);
        vault.work(move |store| store.use_up(&owner, &binding, id.as_ref())).await.map_err(unreadable)
    }

    /// The question that waits beside the client's own is answered by that.
    pub(super) async fn settle(&self) {
        settled(self.policy().vault(), self.owner, self.binding).await;
    }

    /// The client was asked and nobody decided there: it is not asked again, the question waits for somebody elsewhere.
    pub(super) async fn pass_on(&self) {
        let (owner, binding) = (self.owner, self.binding);
        tell(self.policy().vault(), move |store| store.pass_on(&owner, &binding)).await;
    }

    /// Handles of what a person entered.
    pub(super) async fn kept(&self, entered: &BTreeMap<String, SecretString>) -> BTreeMap<String, String> {
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

    pub(super) async fn opened(
        &self,
        handles: &BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, SecretString>, CallError> {
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
pub(super) struct Waiting<'a> {
    pub(super) vault: Option<&'a Arc<Vault>>,
    pub(super) owner: [u8; 32],
    pub(super) binding: [u8; 32],
    pub(super) over: bool,
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

/// The question about a call, however far it is.
pub(super) async fn look(
    vault: &Arc<Vault>,
    owner: [u8; 32],
    binding: [u8; 32],
) -> Result<Option<Question>, CallError> {
    vault.work(move |store| store.look(&owner, &binding)).await.map_err(unreadable)
}

/// The question about a call is answered by another way.
pub(super) async fn settled(vault: Option<&Arc<Vault>>, owner: [u8; 32], binding: [u8; 32]) {
    tell(vault, move |store| store.settle(&owner, &binding)).await;
}

/// Tells the store what became of a question.
async fn tell(vault: Option<&Arc<Vault>>, what: impl FnOnce(&Store) -> Result<(), StoreError> + Send + 'static) {
    let Some(vault) = vault else { return };
    if let Err(error) = vault.work(what).await {
        tracing::warn!(%error, "what became of a question cannot be kept");
    }
}

fn unreadable(error: StoreError) -> CallError {
    tracing::warn!(%error, "no answer of a person can be read");
    CallError::NotConfirmed(
        "keyglass cannot read whether a person confirmed it; tell the operator to look at its log".to_owned(),
    )
}
