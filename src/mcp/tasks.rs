//! Calls that go on behind an answer: the tasks of the extension `io.modelcontextprotocol/tasks` (MCP 2026-07-28), each
//! known to the caller alone who started it.
//!
//! The library keeps how a task is and carries it out. Here is who may ask for one, how many there may be, and what they
//! gave: results are kept as text, in so much memory and no more.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rmcp::{
    ErrorData,
    model::{CallToolResult, ContentBlock, CreateTaskResult, DetailedTask, InputResponses, TaskPayload},
    task_manager::{TaskContext, TaskFuture, TaskManager, TaskOptions},
};
use tokio_util::sync::CancellationToken;

use super::{
    drain::{GRACE, LINGER},
    in_flight::InFlight,
};
use crate::{caller::Principal, spec::TaskTerms};

/// How many tasks may be under way, and how many of them may be one caller's.
const MAX_RUNNING: (usize, usize) = (1_000, 100);
/// How many tasks are known, those that ended included, and how many of them may be one caller's.
const MAX_KNOWN: (usize, usize) = (10_000, 2_000);
/// How much of what tasks gave is kept, in bytes of JSON, and how much of it may be one caller's. The oldest goes first.
const MAX_KEPT_BYTES: (usize, usize) = (64 * 1024 * 1024, 16 * 1024 * 1024);

/// The tasks of one server.
#[derive(Default)]
pub(super) struct Tasks {
    manager: TaskManager,
    known: Arc<Mutex<HashMap<String, Known>>>,
}

/// What a task has to know of the server's end: that of a transport as a whole, since a task outlives its session.
#[derive(Clone, Debug, Default)]
pub(super) struct Departure {
    /// Counts every task under way.
    pub(super) in_flight: InFlight,
    /// Is cancelled when the server leaves. Nobody can answer a task's questions any more.
    pub(super) leaving: CancellationToken,
}

impl Departure {
    /// When the grace period ends. Waits until the server leaves.
    pub(super) async fn deadline(&self) -> tokio::time::Instant {
        self.leaving.cancelled().await;
        tokio::time::Instant::now() + GRACE
    }

    /// Waits until nothing is in flight. What outlasts the grace period is given up.
    pub(super) async fn over(&self, deadline: tokio::time::Instant, abort: &CancellationToken) {
        if tokio::time::timeout_at(deadline, self.in_flight.idle()).await.is_ok() {
            return;
        }
        if !abort.is_cancelled() {
            tracing::warn!("giving up tasks that outlasted the grace period");
            abort.cancel();
        }
        tokio::time::timeout(LINGER, self.in_flight.idle()).await.ok();
    }
}

/// A task that may be asked for.
struct Known {
    owner: Principal,
    /// When the library has forgotten it for sure.
    forgotten: Instant,
    ended: Option<Ended>,
}

/// What a task gave.
struct Ended {
    at: Instant,
    /// The result as JSON, until there is no room for it.
    result: Option<Box<str>>,
}

impl std::fmt::Debug for Tasks {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Tasks").field("known", &lock(&self.known).len()).finish_non_exhaustive()
    }
}

impl Tasks {
    /// Error: there is no room for another task of this caller.
    pub(super) fn check_room(&self, owner: &Principal) -> Result<(), ErrorData> {
        let mut known = lock(&self.known);
        let now = Instant::now();
        known.retain(|_, task| task.forgotten > now);
        let count = |is: &dyn Fn(&Known) -> bool| {
            let all = known.values().filter(|task| is(task));
            all.fold((0, 0), |(all, own), task| (all + 1, own + usize::from(task.owner == *owner)))
        };
        let is_full = |count: (usize, usize), most: (usize, usize)| count.0 >= most.0 || count.1 >= most.1;
        if is_full(count(&|task| task.ended.is_none()), MAX_RUNNING) {
            let message = "too many tasks are under way; wait for some or cancel them by `tasks/cancel`, then retry";
            return Err(ErrorData::internal_error(message, None));
        }
        if is_full(count(&|_| true), MAX_KNOWN) {
            let message = "too many tasks were begun of late; retry when older ones have expired";
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
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let options =
            TaskOptions::new().with_ttl_ms(ms(terms.ttl)).with_poll_interval_ms(ms(terms.poll_interval).max(1));
        let all = Arc::clone(&self.known);
        // Known before its id is: the client cannot ask for it earlier, nor can it end.
        let mut known = lock(&self.known);
        let task = self.manager.spawn(options, move |context| {
            let id = context.task_id().to_owned();
            let work = work(context);
            Box::pin(async move {
                let ending = Ending { all: &all, id: &id };
                let result = work.await?;
                ending.with(&result);
                // What it gave is kept here. The library would keep it as it is, which takes many times the memory.
                Ok(CallToolResult::success(Vec::new()))
            })
        });
        // It is failed when its time is over, and told of for as long again.
        let forgotten = Instant::now() + terms.ttl * 2 + Duration::from_secs(1);
        known.insert(task.task_id.clone(), Known { owner: owner.clone(), forgotten, ended: None });
        CreateTaskResult::new(task)
    }

    /// How a task is.
    pub(super) fn get(&self, id: &str, caller: &Principal) -> Result<DetailedTask, ErrorData> {
        let kept = self.own(id, caller, |task| task.ended.as_ref().map(|ended| ended.result.clone()))?;
        let mut task = self.manager.get_task(id).map_err(|_| unknown())?;
        if let TaskPayload::Completed { result } = &mut task.payload {
            let kept = kept.flatten().and_then(|text| serde_json::from_str(&text).ok());
            *result = kept.unwrap_or_else(gone);
        }
        Ok(task)
    }

    /// Hands answers to a task.
    pub(super) fn update(&self, id: &str, caller: &Principal, answers: InputResponses) -> Result<(), ErrorData> {
        self.own(id, caller, |_| ())?;
        self.manager.update_task(id, answers).map_err(|_| unknown())
    }

    /// Asks a task to end.
    pub(super) fn cancel(&self, id: &str, caller: &Principal) -> Result<(), ErrorData> {
        self.own(id, caller, |_| ())?;
        self.manager.cancel_task(id).map_err(|_| unknown())
    }

    /// Something of a task of this caller. Another's is as unknown as one that is not there.
    fn own<T>(&self, id: &str, caller: &Principal, of: impl FnOnce(&Known) -> T) -> Result<T, ErrorData> {
        lock(&self.known).get(id).filter(|task| task.owner == *caller).map(of).ok_or_else(unknown)
    }
}

/// Notes that a task is not under way any more, however it ends: aborted, too.
struct Ending<'a> {
    all: &'a Mutex<HashMap<String, Known>>,
    id: &'a str,
}

impl Ending<'_> {
    /// The same, with what it gave.
    fn with(&self, result: &CallToolResult) {
        let text = serde_json::to_string(result).ok().map(String::into_boxed_str);
        self.note(text);
        keep_within(&mut lock(self.all), self.id);
    }

    fn note(&self, result: Option<Box<str>>) {
        if let Some(task) = lock(self.all).get_mut(self.id)
            && task.ended.is_none()
        {
            task.ended = Some(Ended { at: Instant::now(), result });
        }
    }
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.note(None);
    }
}

/// Lets go of the oldest results, those of the owner of this task first, until what is kept has room.
fn keep_within(known: &mut HashMap<String, Known>, id: &str) {
    let Some(owner) = known.get(id).map(|task| task.owner.clone()) else { return };
    for (most, of_owner) in [(MAX_KEPT_BYTES.1, true), (MAX_KEPT_BYTES.0, false)] {
        let counts = |task: &Known| !of_owner || task.owner == owner;
        let size =
            |task: &Known| task.ended.as_ref().and_then(|ended| ended.result.as_ref()).map_or(0, |result| result.len());
        let mut kept: usize = known.values().filter(|task| counts(task)).map(size).sum();
        while kept > most {
            let oldest = known.values_mut().filter(|task| counts(task) && size(task) > 0);
            let Some(oldest) = oldest.min_by_key(|task| task.ended.as_ref().map(|ended| ended.at)) else { break };
            kept = kept.saturating_sub(size(oldest));
            if let Some(ended) = &mut oldest.ended {
                ended.result = None;
            }
        }
    }
}

/// In the place of a result that is not kept any more.
fn gone() -> serde_json::Map<String, serde_json::Value> {
    let text = "the task was carried out, but its result is not kept any more, since newer ones took its room; look what \
                it did before you begin it again";
    let result = serde_json::to_value(CallToolResult::error(vec![ContentBlock::text(text)]));
    result.ok().and_then(|result| result.as_object().cloned()).unwrap_or_default()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is in there is whole after every statement made under the lock.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unknown() -> ErrorData {
    ErrorData::invalid_params("no task of yours has this `taskId`: it never was, or its outcome has expired", None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::caller::Caller;

    const TERMS: TaskTerms =
        TaskTerms { required: false, ttl: Duration::from_secs(60), poll_interval: Duration::from_secs(1) };

    fn giving(text: String) -> impl FnOnce(TaskContext) -> TaskFuture {
        move |_| Box::pin(async move { Ok(CallToolResult::success(vec![ContentBlock::text(text)])) })
    }

    fn waiting(context: TaskContext) -> TaskFuture {
        Box::pin(async move {
            context.cancelled().await;
            Err(rmcp::task_manager::TaskExit::Cancelled)
        })
    }

    async fn ended(tasks: &Tasks, id: &str, caller: &Principal) -> serde_json::Value {
        for _ in 0..1_000 {
            let task = serde_json::to_value(tasks.get(id, caller).unwrap()).unwrap();
            if task["status"] != "working" {
                return task;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("it does not end");
    }

    #[tokio::test]
    async fn results_are_kept_in_so_much_memory() {
        let (tasks, owner) = (Tasks::default(), Caller::local().principal);
        let large = MAX_KEPT_BYTES.1 / 3;
        let mut ids = Vec::new();
        for number in 0..4 {
            let id = tasks.start(&owner, TERMS, giving(format!("{number}{}", "x".repeat(large)))).task.task_id;
            ended(&tasks, &id, &owner).await;
            ids.push(id);
        }
        let first = ended(&tasks, &ids[0], &owner).await;
        assert_eq!(first["result"]["isError"], true, "the oldest made room");
        assert!(
            ended(&tasks, &ids[3], &owner).await["result"]["content"][0]["text"].as_str().unwrap().starts_with('3')
        );
    }

    #[tokio::test]
    async fn tasks_that_ended_make_room() {
        let (tasks, owner, other) = (Tasks::default(), Caller::local().principal, Caller::anonymous().principal);
        let ids: Vec<String> = (0..MAX_RUNNING.1).map(|_| tasks.start(&owner, TERMS, waiting).task.task_id).collect();
        tasks.check_room(&owner).unwrap_err();
        tasks.check_room(&other).unwrap();
        tasks.cancel(&ids[0], &other).unwrap_err();
        tasks.cancel(&ids[0], &owner).unwrap();
        assert_eq!(ended(&tasks, &ids[0], &owner).await["status"], "cancelled");
        for _ in 0..1_000 {
            if tasks.check_room(&owner).is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("there is no room");
    }
}
