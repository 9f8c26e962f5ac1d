//! When keys were last used: known to the minute, and written behind the answers.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::store::StoreError;

/// How exact it is: a use within this time of the last one that was written is not written.
const EXACT_TO_MS: i64 = 60 * 1000;

/// How many keys are kept before those are forgotten that were not used lately.
const MANY_KEYS: usize = 4_096;

/// The uses that this process has written, by key id.
#[derive(Debug, Default)]
pub(super) struct Uses(Mutex<HashMap<String, i64>>);

impl Uses {
    /// Whether this use is to be written: the first one in a while.
    pub(super) fn note(&self, key_id: &str, now_ms: i64) -> bool {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get_mut(key_id) {
            Some(last) if now_ms.saturating_sub(*last) < EXACT_TO_MS => false,
            Some(last) => {
                *last = now_ms;
                true
            }
            None => {
                if known.len() >= MANY_KEYS {
                    // An older one tells nothing any more: the next use is written in any case.
                    known.retain(|_, last| now_ms.saturating_sub(*last) < EXACT_TO_MS);
                }
                known.insert(key_id.to_owned(), now_ms);
                true
            }
        }
    }
}

/// Writes a use.
pub(super) fn write(connection: &Connection, key_id: &str, now_ms: i64) -> Result<(), StoreError> {
    // A key that is gone meanwhile has no use to write; another process may have written a later one.
    connection.execute(
        "INSERT INTO key_uses (key_id, last_used_ms) SELECT id, ?2 FROM keys WHERE id = ?1
         ON CONFLICT (key_id) DO UPDATE SET last_used_ms = max(last_used_ms, excluded.last_used_ms)",
        params![key_id, now_ms],
    )?;
    Ok(())
}

/// When a key was last used, in Unix milliseconds, to the minute.
pub(super) fn last(connection: &Connection, key_id: &str) -> Result<Option<i64>, StoreError> {
    let find = "SELECT last_used_ms FROM key_uses WHERE key_id = ?1";
    Ok(connection.prepare_cached(find)?.query_row([key_id], |row| row.get(0)).optional()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_written_once_a_minute() {
        let uses = Uses::default();
        let written = [0, 1, EXACT_TO_MS - 1, EXACT_TO_MS, EXACT_TO_MS + 1, -5].map(|now| uses.note("a", now));
        assert_eq!(written, [true, false, false, true, false, false]);
        assert!(uses.note("b", 1));
        for number in 0..MANY_KEYS {
            uses.note(&number.to_string(), 0);
        }
        assert!(uses.note("last", 10 * EXACT_TO_MS));
        assert_eq!(uses.0.lock().unwrap().len(), 1);
    }
}
