//! Who is at the page: links that work once and soon, and the sessions that they open.
//!
//! A link proves that somebody reads what only the person sees: standard error, or a terminal. Knows no requests.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use secrecy::SecretString;

use crate::{access::is_same, clock::Clock, random::random_hex};

/// How long a link may be followed.
pub const LINK_LIFE: Duration = Duration::from_secs(10 * 60);
/// How long a session lasts without anybody at the page.
pub const SESSION_IDLE: Duration = Duration::from_secs(60 * 60);
/// How many sessions there are at most; for a further one that which was used least recently ends.
pub const MOST_SESSIONS: usize = 8;
/// How many links there are at most that nobody has followed; for a further one the oldest ends.
const MOST_LINKS: usize = 8;
/// How many wrong tokens are answered within a minute. Nobody guesses one of 256 bits: this keeps the log readable.
const MOST_FAILURES: usize = 30;
const MINUTE: Duration = Duration::from_secs(60);
/// How long a page may be quiet and still counts as open: it asks for news every second, less often in the background.
const QUIET: Duration = Duration::from_secs(90);
/// A link is shown again only while at least this is left of its life.
const WORTH_SHOWING: Duration = Duration::from_secs(5 * 60);

/// Links and sessions. Their `Debug` shows neither.
#[derive(Debug)]
pub(super) struct Sessions {
    clock: Clock,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// The oldest first.
    links: Vec<Proof>,
    sessions: Vec<Proof>,
    failures: Vec<Moment>,
}

/// What somebody has to show, and since when.
#[derive(Debug)]
struct Proof {
    secret: SecretString,
    since: Moment,
    /// When its page was last heard of.
    heard: Moment,
    /// Of a link: whether it was shown to the person, and may be again.
    shown: bool,
}

/// A moment by two clocks: one may be set back, the other stands still while the machine sleeps.
#[derive(Clone, Copy, Debug)]
struct Moment {
    now_ms: i64,
    passed_ms: i64,
}

/// Why a token opens no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is none, was used, or is too old.
    Unknown,
    /// Too many wrong ones came within the last minute.
    TooMany,
    /// The operating system has no randomness.
    Random,
}

impl Moment {
    fn of(clock: Clock) -> Self {
        Self { now_ms: clock.now_ms(), passed_ms: clock.passed_ms() }
    }

    /// Whether so much has passed since `earlier`, by either clock.
    fn is_past(self, earlier: Self, span: Duration) -> bool {
        let span = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        self.now_ms.saturating_sub(earlier.now_ms) >= span || self.passed_ms.saturating_sub(earlier.passed_ms) >= span
    }
}

impl Sessions {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, held: Mutex::default() }
    }

    /// A link to be shown to the person, and whether it was made just now: one that nobody has followed is good for a time.
    pub(super) fn shown_link(&self) -> Result<(SecretString, bool), getrandom::Error> {
        let now = Moment::of(self.clock);
        let is_good = |link: &&Proof| link.shown && !now.is_past(link.since, LINK_LIFE - WORTH_SHOWING);
        let known = self.lock().links.iter().rev().find(is_good).map(|link| link.secret.clone());
        match known {
            Some(link) => Ok((link, false)),
            None => Ok((self.make_link(true)?, true)),
        }
    }

    /// A new link.
    pub(super) fn new_link(&self) -> Result<SecretString, getrandom::Error> {
        self.make_link(false)
    }

    fn make_link(&self, shown: bool) -> Result<SecretString, getrandom::Error> {
        let secret = SecretString::from(random_hex::<32>()?);
        let now = Moment::of(self.clock);
        let mut held = self.lock();
        held.links.push(Proof { secret: secret.clone(), since: now, heard: now, shown });
        if held.links.len() > MOST_LINKS {
            held.links.remove(0);
        }
        Ok(secret)
    }

    /// Opens a session for whoever shows the token of a link, which is used up by this. Wrong ones keep nobody out who has a
    /// good one.
    pub(super) fn open(&self, token: &SecretString) -> Result<SecretString, Refused> {
        let now = Moment::of(self.clock);
        let mut held = self.lock();
        held.links.retain(|link| !now.is_past(link.since, LINK_LIFE));
        let Some(place) = place_of(&held.links, token) else {
            held.failures.retain(|failure| !now.is_past(*failure, MINUTE));
            if held.failures.len() >= MOST_FAILURES {
                return Err(Refused::TooMany);
            }
            held.failures.push(now);
            return Err(Refused::Unknown);
        };
        let key = SecretString::from(random_hex::<32>().map_err(|_| Refused::Random)?);
        held.links.remove(place);
        held.sessions.retain(|session| !now.is_past(session.since, SESSION_IDLE));
        if held.sessions.len() >= MOST_SESSIONS {
            let oldest = held.sessions.iter().enumerate().min_by_key(|(_, session)| session.since.passed_ms);
            if let Some(place) = oldest.map(|(place, _)| place) {
                held.sessions.remove(place);
            }
        }
        held.sessions.push(Proof { secret: key.clone(), since: now, heard: now, shown: true });
        Ok(key)
    }

    /// Whether this key is that of a session. With `used` it lasts on from now; a page that only looks for news does not
    /// keep it alive.
    pub(super) fn knows(&self, key: &SecretString, used: bool) -> bool {
        let now = Moment::of(self.clock);
        let mut held = self.lock();
        held.sessions.retain(|session| !now.is_past(session.since, SESSION_IDLE));
        let place = place_of(&held.sessions, key);
        let Some(session) = place.and_then(|place| held.sessions.get_mut(place)) else { return false };
        session.heard = now;
        if used {
            session.since = now;
        }
        true
    }

    /// Ends a session.
    pub(super) fn close(&self, key: &SecretString) {
        let mut held = self.lock();
        if let Some(place) = place_of(&held.sessions, key) {
            held.sessions.remove(place);
        }
    }

    /// Whether a page is open.
    pub(super) fn is_watched(&self) -> bool {
        let now = Moment::of(self.clock);
        let is_open = |session: &Proof| !now.is_past(session.since, SESSION_IDLE) && !now.is_past(session.heard, QUIET);
        self.lock().sessions.iter().any(is_open)
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where in a list what was shown stands. Looks at every entry, so that the time tells nothing.
fn place_of(list: &[Proof], shown: &SecretString) -> Option<usize> {
    use secrecy::ExposeSecret as _;

    list.iter().enumerate().fold(None, |found, (place, proof)| {
        if bool::from(is_same(proof.secret.expose_secret(), Some(shown))) { Some(place) } else { found }
    })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::clock::ManualClock;

    fn ms(span: Duration) -> i64 {
        i64::try_from(span.as_millis()).unwrap()
    }

    #[test]
    fn a_link_opens_one_session_and_soon() {
        static TIME: ManualClock = ManualClock::at(1_000);
        let sessions = Sessions::new(Clock::Manual(&TIME));
        let (link, is_new) = sessions.shown_link().unwrap();
        assert!(is_new && link.expose_secret().len() == 64);
        let (again, is_new) = sessions.shown_link().unwrap();
        assert!(!is_new && again.expose_secret() == link.expose_secret(), "one that is good yet is not made anew");
        let key = sessions.open(&link).unwrap();
        assert_ne!(key.expose_secret(), link.expose_secret());
        assert_eq!(sessions.open(&link).unwrap_err(), Refused::Unknown, "once");
        assert!(sessions.knows(&key, true) && !sessions.knows(&link, true));
        let late = sessions.new_link().unwrap();
        TIME.pass(ms(LINK_LIFE) - 1);
        assert!(sessions.shown_link().unwrap().1, "one that is about to end is shown to nobody");
        let just = sessions.new_link().unwrap();
        TIME.pass(1);
        assert_eq!(sessions.open(&late).unwrap_err(), Refused::Unknown, "late");
        assert!(sessions.open(&just).is_ok());
        let slept = sessions.new_link().unwrap();
        TIME.set_ahead(ms(LINK_LIFE));
        assert_eq!(sessions.open(&slept).unwrap_err(), Refused::Unknown, "the machine slept meanwhile");
        let back = sessions.new_link().unwrap();
        TIME.set_ahead(-1_000_000_000);
        TIME.pass(ms(LINK_LIFE));
        assert_eq!(sessions.open(&back).unwrap_err(), Refused::Unknown, "the clock was set back meanwhile");
    }

    #[test]
    fn a_session_ends_when_nobody_is_there() {
        static TIME: ManualClock = ManualClock::at(1_000);
        let sessions = Sessions::new(Clock::Manual(&TIME));
        let key = sessions.open(&sessions.new_link().unwrap()).unwrap();
        TIME.pass(ms(SESSION_IDLE) - 1);
        assert!(sessions.knows(&key, true));
        TIME.pass(ms(SESSION_IDLE) - 1);
        assert!(sessions.knows(&key, false) && sessions.is_watched());
        TIME.pass(1);
        assert!(!sessions.knows(&key, true), "looking for news is no use");
        assert!(!sessions.is_watched());
        let key = sessions.open(&sessions.new_link().unwrap()).unwrap();
        assert!(sessions.is_watched());
        TIME.pass(ms(QUIET));
        assert!(!sessions.is_watched() && sessions.knows(&key, true));
        sessions.close(&key);
        assert!(!sessions.knows(&key, true));
    }

    #[test]
    fn there_are_only_so_many() {
        let sessions = Sessions::new(Clock::Fixed(1_000));
        let keys: Vec<SecretString> =
            (0..=MOST_SESSIONS).map(|_| sessions.open(&sessions.new_link().unwrap()).unwrap()).collect();
        assert!(!sessions.knows(&keys[0], true), "the oldest went");
        assert!(keys[1..].iter().all(|key| sessions.knows(key, true)));
        let links: Vec<SecretString> = (0..=MOST_LINKS).map(|_| sessions.new_link().unwrap()).collect();
        assert_eq!(sessions.open(&links[0]).unwrap_err(), Refused::Unknown);
        for _ in 1..MOST_FAILURES {
            assert_eq!(sessions.open(&"no token".into()).unwrap_err(), Refused::Unknown);
        }
        assert_eq!(sessions.open(&"no token".into()).unwrap_err(), Refused::TooMany);
        assert!(sessions.open(&links[1]).is_ok(), "a good one is taken all the same");
        assert!(!format!("{sessions:?}").contains(links[2].expose_secret()));
    }
}
