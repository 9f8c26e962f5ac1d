//! Times as a person reads and writes them, in UTC.

use chrono::{DateTime, Datelike as _, NaiveDate, NaiveTime};

const MINUTE_MS: i64 = 60 * 1000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// A time in Unix milliseconds, to the second.
pub(super) fn shown(ms: i64) -> String {
    DateTime::from_timestamp_millis(ms)
        .map_or_else(|| format!("{ms} ms"), |time| time.format("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// A time in Unix milliseconds as programs write it (RFC 3339). Error: it is beyond what can be written.
pub(super) fn written(ms: i64) -> Result<String, String> {
    let time = DateTime::from_timestamp_millis(ms).filter(|time| time.year() <= 9999);
    let time = time.ok_or("the time is beyond the year 9999; leave it out for none")?;
    Ok(time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
}

/// Unix milliseconds of a time: `90d`, `12h` or `30m` from now, a day, which means its beginning, or a time of RFC 3339.
pub(super) fn parse(text: &str, now_ms: i64) -> Result<i64, String> {
    let units = [('d', DAY_MS), ('h', HOUR_MS), ('m', MINUTE_MS)];
    let span = units.into_iter().find_map(|(unit, ms)| {
        let number: i64 = text.strip_suffix(unit)?.parse().ok().filter(|number| *number > 0)?;
        now_ms.checked_add(number.checked_mul(ms)?)
    });
    let day = || {
        let day: NaiveDate = text.parse().ok()?;
        Some(day.and_time(NaiveTime::MIN).and_utc().timestamp_millis())
    };
    let time = || Some(DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis());
    span.or_else(day).or_else(time).ok_or_else(|| {
        format!("`{text}` is no time; expected `90d`, `12h`, `30m`, `2030-01-31` or `2030-01-31T12:00:00Z`")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_shown() {
        let now = 1_800_000_000_000;
        assert_eq!(shown(now), "2027-01-15 08:00:00Z");
        assert_eq!(written(now + 7).as_deref(), Ok("2027-01-15T08:00:00.007Z"));
        assert!(written(i64::MAX / 1_000).is_err() && written(i64::MAX).is_err());
        assert_eq!(shown(i64::MAX), format!("{} ms", i64::MAX));
        for (text, expected) in [
            ("2d", now + 2 * DAY_MS),
            ("36h", now + 36 * HOUR_MS),
            ("5m", now + 5 * MINUTE_MS),
            ("2027-01-15", now - 8 * HOUR_MS),
            ("2027-01-15T08:00:00Z", now),
            ("2027-01-15T10:00:00+02:00", now),
        ] {
            assert_eq!(parse(text, now), Ok(expected), "{text}");
        }
        for wrong in ["", "d", "0d", "-1d", "tomorrow", "2027-02-30", "9223372036854775807d"] {
            assert!(parse(wrong, now).expect_err(wrong).contains("90d"));
        }
    }
}
