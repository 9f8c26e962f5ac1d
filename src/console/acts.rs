//! What a person does that has to be written down first: deciding on a call, seeing a secret. Nothing of that is done that
//! cannot be written down where there has to be an audit log, and nothing is written down that could not have been done.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use secrecy::SecretString;

use super::trail::Act;
use crate::{
    audit::AuditError,
    policy::store::{Decision, DecisionError, HandleError, HandleId, Question, QuestionId, Store, StoreError},
};

/// Writes down what a person is about to do. Error: it is not on the disk, and has to be.
pub type Tell<'a> = &'a (dyn Fn(Act<'_>) -> BoxFuture<'static, Result<(), AuditError>> + Send + Sync);

/// Why nothing was done.
#[derive(Debug, thiserror::Error)]
pub enum ActError<E: std::error::Error> {
    /// It could not be written down before.
    #[error("{0}, and nothing is done that is not written down (`required` in the section `audit` of the settings)")]
    Unwritten(AuditError),
    /// It cannot be done.
    #[error(transparent)]
    Refused(E),
}

/// Decides on a question that waits.
pub async fn decide(
    store: &Arc<Store>,
    id: QuestionId,
    decision: Decision,
    tell: Tell<'_>,
) -> Result<Question, ActError<DecisionError>> {
    let found = stored(store, |store| Ok(store.waiting()?)).await.map_err(ActError::Refused)?;
    let question = found.into_iter().find(|question| question.id == id);
    let question = question.ok_or(ActError::Refused(DecisionError::Unknown))?;
    let state = decision.state(&question.shown).map_err(ActError::Refused)?;
    let question = Question { state, ..question };
    tell(Act::Decided(&question)).await.map_err(ActError::Unwritten)?;
    match stored(store, move |store| store.decide(&id, decision)).await {
        Ok(question) => Ok(question),
        Err(error) => {
            // Somebody else was quicker, or the store cannot be used. Where that cannot be told either, the line before it
            // is left: it says too much rather than too little.
            tell(Act::NotDone(&Act::Decided(&question))).await.ok();
            Err(ActError::Refused(error))
        }
    }
}

/// The value of a handle, for a person, once.
pub async fn reveal(store: &Arc<Store>, id: &HandleId, tell: Tell<'_>) -> Result<SecretString, ActError<HandleError>> {
    let handles = stored(store, |store| Ok(store.handles()?)).await.map_err(ActError::Refused)?;
    match handles.into_iter().find(|handle| handle.id == *id).map(|handle| handle.revealed_at_ms) {
        None => return Err(ActError::Refused(HandleError::Unknown)),
        Some(Some(_)) => return Err(ActError::Refused(HandleError::Revealed)),
        Some(None) => {}
    }
    tell(Act::Revealed(id)).await.map_err(ActError::Unwritten)?;
    let revealed = id.clone();
    match stored(store, move |store| store.reveal(&revealed)).await {
        Ok(value) => Ok(value),
        Err(error) => {
            tell(Act::NotDone(&Act::Revealed(id))).await.ok();
            Err(ActError::Refused(error))
        }
    }
}

/// Works with the store on a thread that may wait for the disk.
async fn stored<T: Send + 'static, E: From<StoreError> + Send + 'static>(
    store: &Arc<Store>,
    work: impl FnOnce(&Store) -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    let store = Arc::clone(store);
    let done = tokio::task::spawn_blocking(move || work(&store)).await;
    done.unwrap_or_else(|_| Err(StoreError::Damaged.into()))
}
