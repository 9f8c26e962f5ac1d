//! Replay: a creating request that comes again with the same `x-request-id` and body gets the first answer, instead of
//! making a second key.
//!
//! Runloop's clients repeat a POST up to five times when an answer is lost. Kept in memory alone, since answers hold new
//! keys; a process that was restarted in between runs the request again. Each answer is sealed with a key that comes from
//! the request, and is kept nowhere: without the same request nobody can open it, not even with all of the memory.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use http::HeaderMap;
use rusqlite::{Connection, named_params};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::OnceCell;
use zeroize::Zeroizing;

use super::{
    Embedded,
    auth::Caller,
    crypto::{CryptoError, DIGEST_BYTES, Key, KeyId},
    error::ApiError,
    keyring::Keyring,
    known_keys::KnownKeys,
};

/// How long an answer is kept: clients give up after about four minutes (six attempts of 30 s, 27 s of waiting).
const KEPT_MS: i64 = 10 * 60 * 1000;
/// How many answers are kept; the oldest go first.
const KEPT_ANSWERS: usize = 1024;
/// The header that names a request and its repetitions.
const REQUEST_ID: &str = "x-request-id";

/// Names one request: the caller's key, the route, the request id and the body, as one keyed digest. Another body gives
/// another name, so a request id used twice never gets a stranger's answer.
type RequestName = [u8; DIGEST_BYTES];

/// A request that may come again.
pub(super) struct Repeatable {
    name: RequestName,
    /// Seals its answer.
    key: Key,
}

/// Whether something is still there: a secret, or a key that works and that none took the place of.
const STILL_THERE: &str = "SELECT EXISTS (SELECT 1 FROM secrets WHERE id = :id)
                               OR EXISTS (SELECT 1 FROM keys WHERE id = :id AND digest = :digest
                                              AND revoked_at_ms IS NULL AND coalesce(expires_at_ms > :now_ms, true))";

/// A key or secret.
#[derive(Clone, Debug)]
pub(super) struct Thing {
    /// Its id.
    pub(super) id: String,
    /// The digest of a key: a key may be replaced under its id.
    pub(super) digest: Option<[u8; DIGEST_BYTES]>,
}

/// What a creating request made, and what it was answered.
pub(super) struct Made {
    /// What was made.
    pub(super) thing: Thing,
    /// The answer, which may hold a key.
    pub(super) answer: SecretString,
}

/// The same, the answer sealed.
#[derive(Clone)]
struct Sealed {
    thing: Thing,
    answer: Vec<u8>,
}

/// A sealed answer, once there is one.
type Cell = Arc<OnceCell<Sealed>>;

/// The answers that may be asked for again.
#[derive(Default)]
pub(super) struct Replays(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    answers: HashMap<RequestName, Cell>,
    oldest_first: VecDeque<(i64, RequestName)>,
}

impl Replays {
    /// The answer to this request: the one given before, or what `work` gives. Requests of one name that come while the
    /// first is at work wait for it. A refusal is not kept: it changed nothing, so the request may run again. So may one
    /// whose key or secret is gone since: the answer would speak of something that is not there.
    async fn answer<F, G>(
        &self,
        request: Option<Repeatable>,
        now_ms: i64,
        is_there: impl FnOnce(Thing) -> G,
        work: F,
    ) -> Result<SecretString, ApiError>
    where
        F: Future<Output = Result<Made, ApiError>> + Send + 'static,
        G: Future<Output = Result<bool, ApiError>>,
    {
        let Some(Repeatable { name, key }) = request else { return Ok(work.await?.answer) };
        let mut cell = self.cell(name, now_ms);
        if let Some(kept) = cell.get()
            && !is_there(kept.thing.clone()).await?
        {
            self.forget(name, &cell);
            cell = self.cell(name, now_ms);
        }
        let sealing = key.clone();
        let sealed = async move {
            let Made { thing, answer } = work.await?;
            Ok::<_, ApiError>(Sealed { thing, answer: sealing.seal(answer.expose_secret().as_bytes(), &[])? })
        };
        // On a task of its own: a client that hangs up takes its request's future along, and the key that was made
        // would be forgotten just when the client is about to ask again.
        let at_work = Arc::clone(&cell);
        let sealed = tokio::spawn(async move { at_work.get_or_try_init(|| sealed).await.cloned() })
            .await
            .map_err(|_| ApiError::internal("a creating request ended early"))?;
        if sealed.is_err() {
            self.forget_refused(name, &cell);
        }
        let sealed = sealed?;
        let answer = key.unseal(&sealed.answer, &[])?;
        Ok(SecretString::from(std::str::from_utf8(&answer).map_err(|_| CryptoError::Unseal)?))
    }

    /// Makes room again where there is no answer, and nobody else waits for one: refusals must not push answers out.
    fn forget_refused(&self, name: RequestName, cell: &Cell) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // The caller's and the kept one; more are only ever made under this lock.
        let alone = Arc::strong_count(cell) <= 2 && cell.get().is_none();
        if alone && kept.answers.get(&name).is_some_and(|known| Arc::ptr_eq(known, cell)) {
            kept.answers.remove(&name);
            kept.oldest_first.retain(|(_, known)| *known != name);
        }
    }

    /// Forgets this answer, unless another one has taken its place.
    fn forget(&self, name: RequestName, cell: &Cell) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.answers.get(&name).is_some_and(|known| Arc::ptr_eq(known, cell)) {
            kept.answers.remove(&name);
            kept.oldest_first.retain(|(_, known)| *known != name);
        }
    }

    fn cell(&self, name: RequestName, now_ms: i64) -> Cell {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stale = |since: i64| now_ms.saturating_sub(since) >= KEPT_MS;
        while kept.oldest_first.front().is_some_and(|(since, _)| stale(*since))
            || kept.oldest_first.len() >= KEPT_ANSWERS && !kept.answers.contains_key(&name)
        {
            let Some((_, oldest)) = kept.oldest_first.pop_front() else { break };
            kept.answers.remove(&oldest);
        }
        if let Some(cell) = kept.answers.get(&name) {
            return Arc::clone(cell);
        }
        let cell = Cell::default();
        kept.answers.insert(name, Arc::clone(&cell));
        kept.oldest_first.push_back((now_ms, name));
        cell
    }
}

impl fmt::Debug for Replays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Replays([redacted])")
    }
}

/// Runs a creating request, or gives the answer that it got before; see [`Replays`]. Such an answer too goes only to a
/// caller whose key is still good.
pub(super) async fn once(
    backend: &Embedded,
    caller: &Caller,
    request: Option<Repeatable>,
    work: impl Future<Output = Result<Made, ApiError>> + Send + 'static,
) -> Result<SecretString, ApiError> {
    let is_there = async |Thing { id, digest }: Thing| {
        let (caller, at) = (caller.clone(), backend.clone());
        let find = move |connection: &Connection, _: &mut KnownKeys| {
            caller.again(connection, at.keyring(), at.clock().now_ms())?;
            let now_ms = at.clock().now_ms();
            let parameters = named_params! { ":id": id, ":digest": digest, ":now_ms": now_ms };
            Ok(connection.prepare_cached(STILL_THERE)?.query_row(parameters, |row| row.get::<_, bool>(0))?)
        };
        backend.store().find(find).await
    };
    backend.replays().answer(request, backend.clock().now_ms(), is_there, work).await
}

/// What a request that carries a request id is known again by.
pub(super) fn repeatable(
    keyring: &Keyring,
    caller: &Caller,
    route: &str,
    headers: &HeaderMap,
    body: &[u8],
) -> Option<Repeatable> {
    let request_id = headers.get(REQUEST_ID).map(http::HeaderValue::as_bytes).filter(|id| !id.is_empty())?;
    let parts = [caller.key_id().as_bytes(), route.as_bytes(), request_id, body];
    let key = Zeroizing::new(keyring.digest("answer to a request", &parts));
    Some(Repeatable { name: keyring.digest("request", &parts), key: Key::new(KeyId::default(), key) })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::FutureExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Counter(Arc<AtomicUsize>);

    impl Counter {
        async fn next(self) -> Result<Made, ApiError> {
            tokio::task::yield_now().await;
            let number = (self.0.fetch_add(1, Ordering::SeqCst) + 1).to_string();
            let thing = Thing { id: number.clone(), digest: None };
            Ok(Made { thing, answer: SecretString::from(number) })
        }
    }

    fn request(number: usize) -> Repeatable {
        let mut name = [0; DIGEST_BYTES];
        name[..8].copy_from_slice(&number.to_be_bytes());
        Repeatable { name, key: Key::new(KeyId::default(), Zeroizing::new(name)) }
    }

    async fn ask(replays: &Replays, counter: &Counter, request: Option<Repeatable>, now_ms: i64) -> String {
        let answer = replays.answer(request, now_ms, async |_| Ok(true), counter.clone().next()).await;
        answer.unwrap().expose_secret().to_owned()
    }

    #[tokio::test]
    async fn a_name_gets_its_first_answer_until_it_is_stale() {
        let (replays, counter) = (Replays::default(), Counter::default());
        assert_eq!(ask(&replays, &counter, Some(request(1)), 0).await, "1");
        assert_eq!(ask(&replays, &counter, Some(request(1)), KEPT_MS - 1).await, "1");
        assert_eq!(ask(&replays, &counter, Some(request(2)), KEPT_MS - 1).await, "2");
        assert_eq!(ask(&replays, &counter, Some(request(1)), KEPT_MS).await, "3");
        assert_eq!(ask(&replays, &counter, None, KEPT_MS).await, "4");
        assert_eq!(ask(&replays, &counter, None, KEPT_MS).await, "5");
    }

    #[tokio::test]
    async fn the_number_of_kept_answers_is_bounded() {
        let (replays, counter) = (Replays::default(), Counter::default());
        for number in 0..=KEPT_ANSWERS {
            ask(&replays, &counter, Some(request(number)), 0).await;
        }
        assert_eq!(replays.0.lock().unwrap().answers.len(), KEPT_ANSWERS);
        assert_eq!(replays.0.lock().unwrap().oldest_first.len(), KEPT_ANSWERS);
        assert_eq!(ask(&replays, &counter, Some(request(KEPT_ANSWERS)), 0).await, (KEPT_ANSWERS + 1).to_string());
        assert_eq!(ask(&replays, &counter, Some(request(0)), 0).await, (KEPT_ANSWERS + 2).to_string());
    }

    #[tokio::test]
    async fn requests_at_the_same_time_share_one_answer() {
        let (replays, counter) = (Replays::default(), Counter::default());
        let same = || ask(&replays, &counter, Some(request(1)), 0);
        let answers = tokio::join!(same(), same(), same());
        assert_eq!(answers, ("1".to_owned(), "1".to_owned(), "1".to_owned()));
    }

    #[tokio::test]
    async fn work_goes_on_when_the_client_hangs_up() {
        let (replays, counter) = (Replays::default(), Counter::default());
        assert!(ask(&replays, &counter, Some(request(1)), 0).now_or_never().is_none());
        assert_eq!(ask(&replays, &counter, Some(request(1)), 0).await, "1");
    }

    #[tokio::test]
    async fn a_refusal_is_not_kept() {
        let (replays, counter) = (Replays::default(), Counter::default());
        let no = async { Err(ApiError::invalid("no")) };
        assert!(replays.answer(Some(request(1)), 0, async |_| Ok(true), no).await.is_err());
        assert!(replays.0.lock().unwrap().oldest_first.is_empty(), "it takes no room");
        assert_eq!(ask(&replays, &counter, Some(request(1)), 0).await, "1");
    }
}
