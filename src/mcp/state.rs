//! What a client carries between the rounds of one call: sealed so that it can neither be read nor made by anybody else,
//! bound to who asked for what, short-lived and good for one use.
//!
//! MCP 2026-07-28, multi round-trip requests: whatever comes back is the client's word until it is proven to be ours.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chacha20poly1305::{
    KeyInit as _, XChaCha20Poly1305, XNonce,
    aead::{Aead as _, Payload},
};
use hmac::{Hmac, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::{call::client::Resume, clock::Clock};

/// How long a client may take to answer.
const LIFE: Duration = Duration::from_secs(15 * 60);
/// The largest state, in bytes before it is sealed: it travels with each round.
const MAX_STATE_BYTES: usize = 256 * 1024;
/// How many used states are remembered until they expire, of all principals and of one. Past that none is taken.
const MAX_USED: (usize, usize) = (200_000, 20_000);
const NONCE_BYTES: usize = 24;

/// Seals and opens states with one key.
#[derive(Debug)]
pub(super) struct Sealer {
    key: Zeroizing<[u8; 32]>,
    clock: Clock,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    nonces: HashSet<[u8; NONCE_BYTES]>,
    /// When each may be forgotten, in Unix milliseconds, and whose it is.
    expiries: BTreeSet<(i64, [u8; NONCE_BYTES], Vec<u8>)>,
    /// How many each principal has.
    counts: HashMap<Vec<u8>, usize>,
}

/// What a state is bound to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Binding<'a> {
    /// Who asked.
    pub(super) principal: &'a [u8],
    /// The method of the request.
    pub(super) method: &'a str,
    /// The tool, prompt or resource.
    pub(super) name: &'a str,
    /// With what.
    pub(super) arguments: &'a Value,
    /// What is done for it, as far as places in it matter.
    pub(super) plan: &'a str,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    /// Until when it is good, in Unix milliseconds.
    #[serde(rename = "e")]
    expires_ms: i64,
    #[serde(rename = "r")]
    resume: Resume,
}

/// Why a state is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum StateError {
    /// It was not sealed here, for this caller and this request.
    #[error(
        "this `requestState` is not one that was given for this request and caller, or the specs have changed since; \
         call again without `requestState` and `inputResponses`"
    )]
    Foreign,
    /// It is too old.
    #[error("this `requestState` has expired; call again without `requestState` and `inputResponses`")]
    Expired,
    /// It was used.
    #[error("this `requestState` was used already; call again without `requestState` and `inputResponses`")]
    Used,
    /// Too many were used of late.
    #[error("too many rounds of calls were answered of late; retry in a few minutes")]
    Crowded,
    /// There is too much to keep.
    #[error("the answers that this call would have to keep while it waits are too large; ask for less")]
    TooLarge,
    /// The machine has no randomness, or something else is broken here.
    #[error("keyglass could not keep the state of this call; tell the operator")]
    Broken,
}

impl Sealer {
    /// With the key that several processes share, or one of its own.
    ///
    /// # Errors
    ///
    /// The operating system has no randomness.
    pub(super) fn new(shared: Option<&SecretString>, clock: Clock) -> Result<Self, getrandom::Error> {
        let mut key = Zeroizing::new([0; 32]);
        match shared {
            Some(secret) => key.copy_from_slice(&derived(secret.expose_secret().as_bytes())),
            None => getrandom::fill(key.as_mut_slice())?,
        }
        Ok(Self { key, clock, used: Mutex::default() })
    }

    /// The state of a call that waits.
    pub(super) fn seal(&self, resume: Resume, binding: Binding<'_>) -> Result<String, StateError> {
        let life = i64::try_from(LIFE.as_millis()).unwrap_or(i64::MAX);
        let expires_ms = self.clock.now_ms().saturating_add(life);
        let plain = serde_json::to_vec(&Sealed { expires_ms, resume }).map_err(|_| StateError::Broken)?;
        if plain.len() > MAX_STATE_BYTES {
            return Err(StateError::TooLarge);
        }
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|_| StateError::Broken)?;
        let payload = Payload { msg: &plain, aad: &binding.digest() };
        let sealed = self.cipher().encrypt(XNonce::from(nonce).as_ref(), payload).map_err(|_| StateError::Broken)?;
        Ok(URL_SAFE_NO_PAD.encode([nonce.as_slice(), &sealed].concat()))
    }

    /// What was sealed, once.
    pub(super) fn open(&self, state: &str, binding: Binding<'_>) -> Result<Resume, StateError> {
        // A third more in base64, and what sealing adds.
        if state.len() > MAX_STATE_BYTES * 4 / 3 + 256 {
            return Err(StateError::Foreign);
        }
        let bytes = URL_SAFE_NO_PAD.decode(state).map_err(|_| StateError::Foreign)?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or(StateError::Foreign)?;
        let payload = Payload { msg: sealed, aad: &binding.digest() };
        let plain = self.cipher().decrypt(XNonce::from(*nonce).as_ref(), payload).map_err(|_| StateError::Foreign)?;
        let Sealed { expires_ms, resume } = serde_json::from_slice(&plain).map_err(|_| StateError::Foreign)?;
        let now = self.clock.now_ms();
        if now >= expires_ms {
            return Err(StateError::Expired);
        }
        self.use_up(*nonce, expires_ms, (now, binding.principal))?;
        Ok(resume)
    }

    fn use_up(
        &self,
        nonce: [u8; NONCE_BYTES],
        expires_ms: i64,
        (now, principal): (i64, &[u8]),
    ) -> Result<(), StateError> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let Used { nonces, expiries, counts } = &mut *used;
        while expiries.first().is_some_and(|(expiry, ..)| *expiry <= now) {
            let Some((_, old, whose)) = expiries.pop_first() else { break };
            nonces.remove(&old);
            if let Some(count) = counts.get_mut(&whose) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    counts.remove(&whose);
                }
            }
        }
        if nonces.contains(&nonce) {
            return Err(StateError::Used);
        }
        let own = counts.get(principal).copied().unwrap_or_default();
        if nonces.len() >= MAX_USED.0 || own >= MAX_USED.1 {
            return Err(StateError::Crowded);
        }
        nonces.insert(nonce);
        expiries.insert((expires_ms, nonce, principal.to_vec()));
        counts.insert(principal.to_vec(), own + 1);
        Ok(())
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new((&*self.key).into())
    }
}

impl Binding<'_> {
    fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for part in [self.principal, self.method.as_bytes(), self.name.as_bytes(), self.plan.as_bytes()] {
            digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            digest.update(part);
        }
        // The order of members says nothing, and a client may change it.
        let mut arguments = self.arguments.clone();
        arguments.sort_all_objects();
        digest.update(arguments.to_string());
        digest.finalize().into()
    }
}

fn derived(secret: &[u8]) -> [u8; 32] {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else { return Sha256::digest(secret).into() };
    mac.update(b"keyglass request state 1");
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn binding<'a>(principal: &'a str, name: &'a str, arguments: &'a Value) -> Binding<'a> {
        Binding { principal: principal.as_bytes(), method: "tools/call", name, arguments, plan: "ask" }
    }

    fn resume() -> Resume {
        let answers = json!({"list": {"secret": "canary-state"}});
        Resume { step: 1, answers: answers.as_object().unwrap().clone(), ..Resume::default() }
    }

    fn sealer() -> Sealer {
        Sealer::new(None, Clock::System).unwrap()
    }

    #[test]
    fn a_state_opens_once_for_its_own_request() {
        let (sealer, arguments) = (sealer(), json!({"a": 1, "b": {"c": 2, "d": 3}}));
        let state = sealer.seal(resume(), binding("p", "t", &arguments)).unwrap();
        assert!(!state.contains("canary") && !state.contains(URL_SAFE_NO_PAD.encode("canary-state").get(..8).unwrap()));
        let reordered = json!({"b": {"d": 3, "c": 2}, "a": 1});
        assert_eq!(sealer.open(&state, binding("p", "t", &reordered)), Ok(resume()));
        assert_eq!(sealer.open(&state, binding("p", "t", &arguments)), Err(StateError::Used));
    }

    #[test]
    fn a_state_expires() {
        static TIME: crate::clock::ManualClock = crate::clock::ManualClock::at(1_000);
        let sealer = Sealer::new(None, Clock::Manual(&TIME)).unwrap();
        let arguments = json!({"a": 1});
        let states = [(); 2].map(|()| sealer.seal(resume(), binding("p", "t", &arguments)).unwrap());
        TIME.pass(i64::try_from(LIFE.as_millis()).unwrap() - 1);
        assert_eq!(sealer.open(&states[0], binding("p", "t", &arguments)), Ok(resume()));
        TIME.pass(1);
        assert_eq!(sealer.open(&states[1], binding("p", "t", &arguments)), Err(StateError::Expired));
        assert_eq!(
            sealer.open(&states[0], binding("p", "t", &arguments)),
            Err(StateError::Expired),
            "nor is one twice"
        );
    }

    #[test]
    fn a_state_of_anything_else_is_refused() {
        let (sealer, arguments) = (sealer(), json!({"a": 1}));
        let state = sealer.seal(resume(), binding("p", "t", &arguments)).unwrap();
        let other_arguments = json!({"a": 2});
        for binding in [
            binding("q", "t", &arguments),
            binding("p", "u", &arguments),
            binding("p", "t", &other_arguments),
            Binding { method: "prompts/get", ..binding("p", "t", &arguments) },
            Binding { plan: "other", ..binding("p", "t", &arguments) },
            Binding { principal: b"pt", name: "", ..binding("p", "t", &arguments) },
        ] {
            assert_eq!(sealer.open(&state, binding), Err(StateError::Foreign), "{binding:?}");
        }
        let own = binding("p", "t", &arguments);
        for tampered in
            [format!("{state}-TAMPERED"), format!("A{state}"), state.get(1..).unwrap().to_owned(), String::new()]
        {
            assert_eq!(sealer.open(&tampered, own), Err(StateError::Foreign));
        }
        assert_eq!(self::sealer().open(&state, own), Err(StateError::Foreign), "another key");
        assert_eq!(sealer.open(&state, own), Ok(resume()), "refusals use nothing up");
    }

    #[test]
    fn processes_with_one_key_open_each_others_states() {
        let secret = SecretString::from("canary-key-of-thirty-two-bytes-or-more".to_owned());
        let sealers = [(); 2].map(|()| Sealer::new(Some(&secret), Clock::System).unwrap());
        let state = sealers[0].seal(resume(), binding("p", "t", &Value::Null)).unwrap();
        assert_eq!(sealers[1].open(&state, binding("p", "t", &Value::Null)), Ok(resume()));
        assert!(!format!("{:?}", sealers[0]).contains("canary"));
    }

    #[test]
    fn what_is_too_large_is_not_kept() {
        let answers = json!({"list": "x".repeat(MAX_STATE_BYTES)});
        let resume = Resume { answers: answers.as_object().unwrap().clone(), ..Resume::default() };
        assert_eq!(sealer().seal(resume, binding("p", "t", &Value::Null)), Err(StateError::TooLarge));
    }
}
