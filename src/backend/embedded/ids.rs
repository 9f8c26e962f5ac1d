//! Ids: Runloop's, a prefix, `_` and 21 base-62 characters that sort by creation; and UUIDs.
//!
//! The last id is kept in the database and read inside the writing transaction, so ids rise strictly whatever the
//! clocks of several processes say, and no id comes back after its row was deleted.

use rusqlite::{Connection, OptionalExtension as _};

use super::{
    crypto::{CryptoError, DIGEST_BYTES, base_62},
    store::StoreError,
};

/// 8 characters of milliseconds are enough until the year 8888; 13 of chance follow.
const CHANCE: u128 = 62_u128.pow(13);
const LAST_MILLISECOND: u128 = 62_u128.pow(8) - 1;
/// How far an id may be above the last one where the clock does not tell them apart.
const STEP: u128 = 1 << 32;
/// The highest number that another can follow.
const LAST: u128 = 62_u128.pow(21) - 1 - STEP;

/// The next id with this prefix. Call it inside the transaction that writes the row. Error: [`StoreError::Damaged`]
/// where the last one is none that this program has written.
pub(super) fn next(connection: &Connection, prefix: &str, now_ms: i64) -> Result<String, StoreError> {
    let last = last(connection)?;
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| CryptoError::Random)?;
    let number = following(last, now_ms, u128::from_be_bytes(random));
    let sql =
        "INSERT INTO meta (key, value) VALUES ('last_id', ?1) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    connection.prepare_cached(sql)?.execute([number.to_be_bytes()])?;
    Ok(format!("{prefix}_{}", base_62::<21>(number)))
}

/// The number of the last id; 0 where there is none yet.
pub(super) fn last(connection: &Connection) -> Result<u128, StoreError> {
    let stored: Option<Vec<u8>> = connection
        .prepare_cached("SELECT value FROM meta WHERE key = 'last_id'")?
        .query_row([], |row| row.get(0))
        .optional()?;
    let Some(bytes) = stored else { return Ok(0) };
    let number = <[u8; 16]>::try_from(bytes).ok().map(u128::from_be_bytes);
    number.filter(|number| *number <= LAST).ok_or(StoreError::Damaged("meta"))
}

/// A random UUID (RFC 9562, section 5.4), as RunTools and Runtype name their keys.
pub(super) fn uuid() -> Result<String, CryptoError> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| CryptoError::Random)?;
    Ok(written(random, 4))
}

/// The UUID that stands for whatever has this digest, always the same (RFC 9562, section 5.8).
pub(super) fn uuid_of(digest: &[u8; DIGEST_BYTES]) -> String {
    written(digest.first_chunk().copied().unwrap_or_default(), 8)
}

fn written(bytes: [u8; 16], version: u128) -> String {
    let number = u128::from_be_bytes(bytes);
    let number = number & !(0xf << 76) & !(0x3 << 62) | version << 76 | 0x2 << 62;
    let digits = format!("{number:032x}");
    let parts = [0..8, 8..12, 12..16, 16..20, 20..32].map(|range| digits.get(range).unwrap_or_default());
    parts.join("-")
}

/// A number for this millisecond; where that would not be above the last one, a little above the last one.
fn following(last: u128, now_ms: i64, random: u128) -> u128 {
    let millisecond = u128::try_from(now_ms).unwrap_or(0).min(LAST_MILLISECOND);
    let fresh = (millisecond * CHANCE + random % CHANCE).min(LAST);
    if fresh > last { fresh } else { last.saturating_add(1 + random % STEP) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_strictly_even_when_the_clock_stands_or_goes_back() {
        let mut last = 0;
        for (now_ms, random) in [(5, 0), (5, 0), (5, u128::MAX), (4, 7), (i64::MIN, 0), (6, 0), (i64::MAX, 1)] {
            let next = following(last, now_ms, random);
            assert!(next > last, "{now_ms} {random}");
            assert!(base_62::<21>(next) > base_62::<21>(last));
            last = next;
        }
    }

    #[test]
    fn a_uuid_says_what_it_is_made_from() {
        for (uuid, version) in [(uuid().unwrap(), '4'), (uuid_of(&[0xff; 32]), '8'), (uuid_of(&[0; 32]), '8')] {
            let parts: Vec<&str> = uuid.split('-').collect();
            assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12], "{uuid}");
            assert!(parts[2].starts_with(version) && parts[3].starts_with(['8', '9', 'a', 'b']), "{uuid}");
        }
    }

    #[test]
    fn a_later_millisecond_sorts_after_an_earlier_one_whatever_chance_says() {
        assert!(following(0, 2, 0) > following(0, 1, CHANCE - 1));
        assert!(following(0, i64::MAX, CHANCE - 1) < 62_u128.pow(21));
    }
}
