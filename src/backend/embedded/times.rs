//! Times as texts (RFC 3339), as RunTools and Runtype write them; everything else here counts Unix milliseconds.

/// The last millisecond of the year 9999: what comes later has no text.
pub(super) const LATEST_MS: i64 = 253_402_300_799_999;
/// A day, in milliseconds.
pub(super) const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// A time in Unix milliseconds as a text in UTC; one before 1970 or after 9999 as the nearest that has a text.
pub(super) fn to_text(time_ms: i64) -> String {
    let time_ms = time_ms.clamp(0, LATEST_MS);
    let (day, rest) = (time_ms / DAY_MS, time_ms % DAY_MS);
    let (year, month, day) = date_of(day);
    let (hour, minute, second) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", rest % 1000)
}

/// The Unix milliseconds of a text of RFC 3339; what is finer than that is cut off. `None` where it is no such text, or is
/// a leap second, which Unix time does not have.
pub(super) fn from_text(text: &str) -> Option<i64> {
    let (date, rest) = text.split_once(['T', 't'])?;
    let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
    let (time, offset_minutes) = match rest.strip_suffix(['Z', 'z']) {
        Some(time) => (time, 0),
        None => {
            let (time, offset) = rest.split_at_checked(rest.rfind(['+', '-'])?)?;
            let sign = if offset.starts_with('-') { -1 } else { 1 };
            let [hours, minutes] = numbers(offset.get(1..)?, ':', [2, 2])?;
            if hours > 23 || minutes > 59 {
                return None;
            }
            (time, sign * (hours * 60 + minutes))
        }
    };
    let (time, milliseconds) = match time.split_once('.') {
        None => (time, 0),
        Some((time, fraction)) => {
            if fraction.is_empty() || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
                return None;
            }
            let digits: String = fraction.chars().chain("00".chars()).take(3).collect();
            (time, digits.parse::<i64>().ok()?)
        }
    };
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_to(year, month, day);
    if date_of(days) != (year, month, day) {
        return None;
    }
    Some(days * DAY_MS + (hour * 60 + minute - offset_minutes) * 60_000 + second * 1000 + milliseconds)
}

/// So many numbers with a sign between them, each of so many digits.
fn numbers<const COUNT: usize>(text: &str, between: char, widths: [usize; COUNT]) -> Option<[i64; COUNT]> {
    let mut parts = text.split(between);
    let mut found = [0; COUNT];
    for (number, width) in found.iter_mut().zip(widths) {
        let digits = parts.next().filter(|part| part.len() == width)?;
        *number = digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok())??;
    }
    parts.next().is_none().then_some(found)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Source: H. Hinnant, "chrono-compatible low-level date
/// algorithms", which counts years from March, so that the leap day is the last one.
fn days_to(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + day_of_year - 719_468
}

/// The date that is so many days after 1970-01-01. Source: as for [`days_to`].
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_to_the_millisecond() {
        let cases = [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2027-01-15T08:00:00.000Z", Some(1_800_000_000_000)),
            ("2027-01-15T09:30:00.5+01:30", Some(1_800_000_000_500)),
            ("2027-01-14t23:00:00.1239-09:00", Some(1_800_000_000_123)),
            ("2028-02-29T00:00:00Z", Some(1_835_395_200_000)),
            ("9999-12-31T23:59:59.999Z", Some(LATEST_MS)),
            ("2027-02-29T00:00:00Z", None),
            ("2027-13-01T00:00:00Z", None),
            ("2027-00-01T00:00:00Z", None),
            ("2027-01-00T00:00:00Z", None),
            ("2027-01-15T24:00:00Z", None),
            ("2027-01-15T08:60:00Z", None),
            ("2027-01-15T08:00:60Z", None),
            ("2027-01-15T08:00:00", None),
            ("2027-01-15T08:00Z", None),
            ("2027-01-15 08:00:00Z", None),
            ("2027-01-15T08:00:00.Z", None),
            ("2027-01-15T08:00:00+1:00", None),
            ("2027-01-15T08:00:00+24:00", None),
            ("2027-1-15T08:00:00Z", None),
            ("+027-01-15T08:00:00Z", None),
            ("2027-01-15", None),
            ("1800000000000", None),
            ("", None),
        ];
        for (text, expected) in cases {
            assert_eq!(from_text(text), expected, "{text}");
        }
    }

    #[test]
    fn every_day_comes_back_from_its_text() {
        for day in (0..=LATEST_MS / DAY_MS).step_by(13) {
            let time = day * DAY_MS + 45_296_789;
            assert_eq!(from_text(&to_text(time)), Some(time));
        }
        assert_eq!(to_text(1_800_000_000_123), "2027-01-15T08:00:00.123Z");
        assert_eq!(to_text(i64::MAX), "9999-12-31T23:59:59.999Z");
        assert_eq!(to_text(-1), "1970-01-01T00:00:00.000Z");
    }
}
