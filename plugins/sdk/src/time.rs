//! Instants, as senders write them and as the engine wants them.
//!
//! There is no clock in a sandbox: an instant comes from the sender, or from [`crate::Request::received_ms`].

use std::fmt;

use serde_json::value::RawValue;

/// An instant in milliseconds since 1970-01-01 UTC. Its text is RFC 3339 in UTC with three decimals, as in canonical events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// Below it a number is seconds, from it on milliseconds: as seconds it is the year 5138, as milliseconds March 1973.
const SECONDS_MAX: f64 = 1e11;
/// The first and last instants with a year of four digits.
const RANGE_MS: std::ops::RangeInclusive<i64> = -62_167_219_200_000..=253_402_300_799_999;
const DAY_MS: i64 = 86_400_000;

impl Timestamp {
    /// An instant by its milliseconds; none outside the years 0 to 9999.
    #[must_use]
    pub fn from_ms(ms: i64) -> Option<Self> {
        RANGE_MS.contains(&ms).then_some(Timestamp(ms))
    }

    /// Milliseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn ms(self) -> i64 {
        self.0
    }

    /// Reads ISO 8601 as SDKs write it: a date, or a date and a time separated by `T` or a space, with seconds and their
    /// fraction or without, with an offset (`Z`, `+02:00`, `+0200`, `+02`) or without, which then means UTC. Also a number
    /// of seconds or milliseconds since 1970 as text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Timestamp::parse_in(text, 0)
    }

    /// The same, where a time without an offset is one of a zone that is so many minutes ahead of UTC.
    #[must_use]
    pub fn parse_in(text: &str, zone_minutes: i64) -> Option<Self> {
        let text = text.trim();
        if text.len() >= 9 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return Timestamp::from_number(text.parse().ok()?);
        }
        let mut rest = Digits(text.as_bytes());
        let year = rest.number(4)?;
        rest.literal(b'-')?;
        let month = rest.number(2)?;
        rest.literal(b'-')?;
        let day = rest.number(2)?;
        let days = days_from_civil(year, month, day)?;
        if rest.0.is_empty() {
            return Timestamp::from_ms(days * DAY_MS - zone_minutes * 60_000);
        }
        let (b'T' | b't' | b' ') = rest.next()? else { return None };
        let hour = rest.number(2)?;
        rest.literal(b':')?;
        let minute = rest.number(2)?;
        let (mut second, mut ms) = (0, 0);
        if rest.literal(b':').is_some() {
            second = rest.number(2)?;
            if rest.literal(b'.').or_else(|| rest.literal(b',')).is_some() {
                ms = rest.fraction_ms()?;
            }
        }
        // A leap second is the second before it, as at the engine.
        let second = if second == 60 { 59 } else { second };
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let offset_minutes = rest.offset_minutes(zone_minutes)?;
        Timestamp::from_ms(days * DAY_MS + ((hour * 60 + minute - offset_minutes) * 60 + second) * 1000 + ms)
    }

    /// A number of seconds (to the year 5138) or of milliseconds since 1970.
    #[must_use]
    pub fn from_number(number: f64) -> Option<Self> {
        let ms = if number.abs() < SECONDS_MAX { number * 1000.0 } else { number };
        // The cast saturates, and what is out of range is refused after it.
        if ms.is_finite() { Timestamp::from_ms(ms.round() as i64) } else { None }
    }

    /// Reads a JSON string by [`Timestamp::parse`] or a JSON number by [`Timestamp::from_number`].
    #[must_use]
    pub fn from_json(raw: &RawValue) -> Option<Self> {
        let text = raw.get();
        match crate::json::string_of(text) {
            Some(text) => Timestamp::parse(&text),
            None => Timestamp::from_number(text.parse().ok()?),
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; TEXT_BYTES];
        f.write_str(self.write(&mut text))
    }
}

/// The length of an instant's text.
pub(crate) const TEXT_BYTES: usize = 24;

impl Timestamp {
    /// Its text. By hand, since the standard formatting of seven numbers costs more than all the rest of a small event.
    pub(crate) fn write(self, text: &mut [u8; TEXT_BYTES]) -> &str {
        let (days, ms) = (self.0.div_euclid(DAY_MS), self.0.rem_euclid(DAY_MS));
        let (year, month, day) = civil_from_days(days);
        text.copy_from_slice(b"0000-00-00T00:00:00.000Z");
        let parts = [
            (0, 4, year),
            (5, 2, month),
            (8, 2, day),
            (11, 2, ms / 3_600_000),
            (14, 2, ms / 60_000 % 60),
            (17, 2, ms / 1000 % 60),
            (20, 3, ms % 1000),
        ];
        for (start, width, mut number) in parts {
            for place in (start..start + width).rev() {
                text[place] = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
        std::str::from_utf8(text).expect("it holds ASCII digits and punctuation")
    }
}

/// What is left to read of a text.
struct Digits<'a>(&'a [u8]);

impl Digits<'_> {
    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn literal(&mut self, byte: u8) -> Option<()> {
        self.0 = self.0.strip_prefix(&[byte])?;
        Some(())
    }

    fn number(&mut self, digits: usize) -> Option<i64> {
        let (number, rest) = self.0.split_at_checked(digits)?;
        self.0 = rest;
        number.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
    }

    /// One digit or more; what is finer than a millisecond is cut.
    fn fraction_ms(&mut self) -> Option<i64> {
        let digits = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (fraction, rest) = self.0.split_at(digits);
        self.0 = rest;
        let place = |index: usize, worth: i64| fraction.get(index).map_or(0, |byte| i64::from(byte - b'0') * worth);
        (digits > 0).then(|| place(0, 100) + place(1, 10) + place(2, 1))
    }

    /// The offset that stands there, or the zone's.
    fn offset_minutes(&mut self, zone_minutes: i64) -> Option<i64> {
        // Python's `str(datetime)` and some databases put a space before the offset.
        let _ = self.literal(b' ');
        let sign = match self.0 {
            [] => return Some(zone_minutes),
            [b'Z' | b'z'] => return Some(0),
            b"UTC" | b"GMT" => return Some(0),
            [b'+', ..] => 1,
            [b'-', ..] => -1,
            _ => return None,
        };
        self.next();
        let hours = self.number(2)?;
        let _ = self.literal(b':');
        let minutes = if self.0.is_empty() { 0 } else { self.number(2)? };
        (self.0.is_empty() && hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes))
    }
}

/// Days since 1970-01-01 of a date of the proleptic Gregorian calendar; none where there is no such date. The algorithm is Howard
/// Hinnant's `days_from_civil`.
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=days_in_month).contains(&day) {
        return None;
    }
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// The inverse: `civil_from_days`.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days - era * 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_as_senders_write_them() {
        let check =
            |text: &str, want: &str| assert_eq!(Timestamp::parse(text).map(|at| at.to_string()).as_deref(), Some(want), "{text}");
        check("2026-03-01T09:30:00.000Z", "2026-03-01T09:30:00.000Z");
        check("2026-03-01T09:30:00Z", "2026-03-01T09:30:00.000Z");
        check("2026-03-01T09:30Z", "2026-03-01T09:30:00.000Z");
        check("2026-03-01T10:30:00.123456+01:00", "2026-03-01T09:30:00.123Z");
        check("2026-03-01T10:30:00+0100", "2026-03-01T09:30:00.000Z");
        check("2026-03-01 04:30:00-05", "2026-03-01T09:30:00.000Z");
        check("2026-03-01T09:30:00.1", "2026-03-01T09:30:00.100Z");
        check("2026-03-01 09:30:00 +00:00", "2026-03-01T09:30:00.000Z");
        check("2026-03-01 09:30:00 UTC", "2026-03-01T09:30:00.000Z");
        check("2024-02-29", "2024-02-29T00:00:00.000Z");
        check("2026-12-31T23:59:60Z", "2026-12-31T23:59:59.000Z");
        check("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z");
        check("0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000Z");
        check("1772357400", "2026-03-01T09:30:00.000Z");
        check("1772357400123", "2026-03-01T09:30:00.123Z");
        check("1772357400.5", "2026-03-01T09:30:00.500Z");
    }

    #[test]
    fn a_time_without_an_offset_is_of_a_zone() {
        let check = |text: &str, want: &str| {
            assert_eq!(Timestamp::parse_in(text, 120).map(|at| at.to_string()).as_deref(), Some(want), "{text}");
        };
        check("2026-03-01T09:30:00", "2026-03-01T07:30:00.000Z");
        check("2026-03-01", "2026-02-28T22:00:00.000Z");
        check("2026-03-01T09:30:00Z", "2026-03-01T09:30:00.000Z");
        check("2026-03-01T09:30:00-01:00", "2026-03-01T10:30:00.000Z");
        check("1772357400", "2026-03-01T09:30:00.000Z");
    }

    #[test]
    fn what_is_no_instant_is_none() {
        for text in [
            "",
            "yesterday",
            "2026-02-29",
            "2026-13-01",
            "2026-03-01T24:00:00Z",
            "2026-03-01T09:30:00+25:00",
            "2026-03-01T09:30:00.Z",
            "2026-03-01T09:30:00Zx",
            "12345",
            "2026-03-01T",
            "é026-03-01",
            "99999999999999999999",
            "0000-01-01T00:00:00+01:00",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
        for number in [f64::NAN, f64::INFINITY, -1e30] {
            assert_eq!(Timestamp::from_number(number), None, "{number}");
        }
    }

    #[test]
    fn the_engine_reads_what_is_written() {
        for ms in (-62_167_219_200_000..253_402_300_799_999).step_by(99_999_999_997) {
            let text = Timestamp::from_ms(ms).expect("in range").to_string();
            let read: weft_domain::value::Timestamp = text.parse().expect("the engine reads it");
            assert_eq!(read.0, ms, "{text}");
            assert_eq!(Timestamp::parse(&text).map(Timestamp::ms), Some(ms), "{text}");
        }
    }
}
