//! Calls that go on behind an answer: the tasks of the extension `io.modelcontextprotocol/tasks` (MCP 2026-07-28), each
//! known to the caller alone who started it.
//!
//! The library keeps what a task is and carries it out; here is who may ask for one, and how many there may be.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use rmcp::{
    ErrorData,
    model::{CreateTaskResult, DetailedTask, InputResponses},
    task_manager::{TaskContext, TaskFuture, TaskManager, TaskOptions},
};

use crate::{caller::Principal, spec::TaskTerms};

/// How many tasks are kept, running ones and those whose outcome may still be asked for.
const MAX_TASKS: usize = 1_000;
/// How many of them may be one caller's.
const MAX_TASKS_EACH: usize = 100;

/// The tasks of one server.
#[derive(Default)]
pub(super) struct Tasks {
    manager: TaskManager,
    /// Whose each task is.
    owners: Mutex<HashMap<String, Principal>>,
}

impl std::fmt::Debug for Tasks {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tasks").field("kept", &self.owners().len()).finish_non_exhaustive()
    }
}

impl Tasks {
    /// Error: there is no room for another task of this caller.
    pub(super) fn check_room(&self, owner: &Principal) -> Result<(), ErrorData> {
        let mut owners = self.owners();
        if owners.len() >= MAX_TASKS || own(&owners, owner) >= MAX_TASKS_EACH {
            // Those whose outcome is not kept any more.
            owners.retain(|id, _| self.manager.get_task(id).is_ok());
        }
        if owners.len() >= MAX_TASKS || own(&owners, owner) >= MAX_TASKS_EACH {
            let message =
                "too many tasks are kept; cancel some by `tasks/cancel`, or retry when older ones have expired";
            return Err(ErrorData::internal_error(message, None));
        }
        Ok(())
    }

    /// Starts a task.
    pub(super) fn start(
        &self,
        owner: &Principal,
        terms: TaskTerms,
        work: impl FnOnce(TaskContext) -> TaskFuture,
    ) -> CreateTaskResult {
        let ms = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let options =
            TaskOptions::new().with_ttl_ms(ms(terms.ttl)).with_poll_interval_ms(ms(terms.poll_interval).max(1));
        // Known before its id is: the client cannot ask for it earlier.
        let mut owners = self.owners();
        let task = self.manager.spawn(options, work);
        owners.insert(task.task_id.clone(), owner.clone());
        CreateTaskResult::new(task)
    }

    /// How a task is.
    pub(super) fn get(&self, id: &str, caller: &Principal) -> Result<DetailedTask, ErrorData> {
        self.check_owner(id, caller)?;
        self.manager.get_task(id).map_err(|_| unknown())
    }

    /// Hands answers to a task.
    pub(super) fn update(&self, id: &str, caller: &Principal, answers: InputResponses) -> Result<(), ErrorData> {
        self.check_owner(id, caller)?;
        self.manager.update_task(id, answers).map_err(|_| unknown())
    }

    /// Asks a task to end.
    pub(super) fn cancel(&self, id: &str, caller: &Principal) -> Result<(), ErrorData> {
        self.check_owner(id, caller)?;
        self.manager.cancel_task(id).map_err(|_| unknown())
    }

    fn check_owner(&self, id: &str, caller: &Principal) -> Result<(), ErrorData> {
        // Another's task is as unknown as one that is not there.
        let is_own = self.owners().get(id).is_some_and(|owner| owner == caller);
        if is_own { Ok(()) } else { Err(unknown()) }
    }

    fn owners(&self) -> MutexGuard<'_, HashMap<String, Principal>> {
        // The map is whole after every statement made under the lock.
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn own(owners: &HashMap<String, Principal>, owner: &Principal) -> usize {
    owners.values().filter(|other| *other == owner).count()
}

fn unknown() -> ErrorData {
    ErrorData::invalid_params("no task of yours has this `taskId`: it never was, or its outcome has expired", None)
}
