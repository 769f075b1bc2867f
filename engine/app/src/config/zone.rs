//! Time zones by their IANA names, from the list that this program was built with: a workspace means the same on every machine,
//! whatever the system knows.

use std::sync::LazyLock;

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use weft_domain::value::Timestamp;

use super::schema::{folded, nearest};

static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| DATABASE.available().map(|name| name.as_str().to_owned()).collect());

/// Whether this is the name of a zone, letter for letter.
pub(super) fn is_known(name: &str) -> bool {
    NAMES.iter().any(|known| known == name)
}

/// The zone that a wrong name was probably meant to be: the nearest, or that of the city.
pub(super) fn meant(name: &str) -> Option<&'static str> {
    let names = || NAMES.iter().map(String::as_str);
    let is_of_city = |known: &&str| known.rsplit_once('/').is_some_and(|(_, city)| folded(city) == folded(name));
    nearest(name, names()).or_else(|| names().find(is_of_city))
}

/// The zone of this name. A [`super::Config`] has none that is not known.
#[must_use]
pub fn find(name: &str) -> Option<TimeZone> {
    DATABASE.get(name).ok()
}

/// A time of a day, in milliseconds since midnight by the clocks on the wall. A time that the zone's clocks skip is as much later as they
/// are put forward (02:30 is 03:30); of one that they show twice, it is the first (RFC 5545, section 3.3.5).
#[must_use]
pub fn instant(day: Date, clock_ms: u64, zone: &TimeZone) -> Timestamp {
    let time = jiff::SignedDuration::from_millis(i64::try_from(clock_ms).unwrap_or(i64::MAX));
    let shown = day.at(0, 0, 0, 0).saturating_add(time);
    let at = zone.to_ambiguous_timestamp(shown).compatible();
    Timestamp(at.map_or(i64::MAX, jiff::Timestamp::as_millisecond))
}

/// When a zone's clocks first show a time, or, where they skip it, when they have skipped it.
pub(super) fn first_from(shown: DateTime, zone: &TimeZone) -> Timestamp {
    let ambiguous = zone.to_ambiguous_timestamp(shown);
    let is_skipped = matches!(ambiguous.offset(), AmbiguousOffset::Gap { .. });
    // Read as if the clocks had not been put forward yet, a time that is skipped comes after they were; read as if they had, before.
    let first = ambiguous.earlier().ok().and_then(|before| {
        if is_skipped { zone.following(before).next().map(|change| change.timestamp()) } else { Some(before) }
    });
    Timestamp(first.map_or(i64::MAX, jiff::Timestamp::as_millisecond))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_zone_is_recognised() {
        let check = |wrong: &str, want: Option<&str>| {
            assert!(!is_known(wrong), "{wrong}");
            assert_eq!(meant(wrong), want, "{wrong}");
        };
        check("Europe/Berlinn", Some("Europe/Berlin"));
        check("Europ/Berlin", Some("Europe/Berlin"));
        check("europe/berlin", Some("Europe/Berlin"));
        check("America/New York", Some("America/New_York"));
        check("Berlin", Some("Europe/Berlin"));
        check("new york", Some("America/New_York"));
        check("utc", Some("UTC"));
        check("+02:00", None);
        check("", None);
        for name in ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+1", "Asia/Kolkata"] {
            assert!(is_known(name) && find(name).is_some(), "{name}");
        }
        assert!(NAMES.len() > 400);
    }

    #[test]
    fn a_time_of_day_is_what_the_clocks_on_the_wall_show() {
        let check = |zone: &str, (month, day): (i8, i8), (hour, minute): (u64, u64), want: &str| {
            let zone = find(zone).expect("a zone");
            let at = instant(jiff::civil::date(2026, month, day), (hour * 60 + minute) * 60_000, &zone);
            assert_eq!(at.to_string(), want);
        };
        check("UTC", (1, 1), (9, 0), "2026-01-01T09:00:00.000Z");
        check("Europe/Berlin", (1, 1), (9, 0), "2026-01-01T08:00:00.000Z");
        check("Europe/Berlin", (1, 1), (0, 0), "2025-12-31T23:00:00.000Z");
        check("Asia/Kolkata", (1, 1), (9, 0), "2026-01-01T03:30:00.000Z");
        check("America/New_York", (7, 1), (23, 59), "2026-07-02T03:59:00.000Z");
        // Put forward from 02:00 to 03:00, and back from 03:00 to 02:00.
        check("Europe/Berlin", (3, 29), (1, 59), "2026-03-29T00:59:00.000Z");
        check("Europe/Berlin", (3, 29), (2, 30), "2026-03-29T01:30:00.000Z");
        check("Europe/Berlin", (3, 29), (3, 30), "2026-03-29T01:30:00.000Z");
        check("Europe/Berlin", (10, 25), (2, 30), "2026-10-25T00:30:00.000Z");
    }
}
