//! Times by five fields, as in crontab(5): minute, hour, day of the month, month, day of the week.
//!
//! What is written is checked here, field by field, so that a mistake can be named; `croner` finds the days. Clocks on the wall are all that it sees:
//! [`Cron::after`] says what a zone's clocks make of it.

use std::fmt;
use std::str::FromStr;

use croner::parser::{CronParser, Seconds, Year};
use croner::{CivilDateTime, CronDateTime, Resolution, Weekday};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use weft_domain::value::{Excerpt, Timestamp};

use super::zone;

/// When something is due, by the clocks on the wall.
#[derive(Clone)]
pub struct Cron {
    text: String,
    /// Apart, since it takes some 400 bytes and most sources have none.
    fields: Box<croner::Cron>,
}

/// A field, and what may stand in it.
struct Field {
    /// With its article.
    noun: &'static str,
    range: (u8, u8),
    /// Names of the values from the first on.
    names: &'static [&'static str],
}

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

const FIELDS: [Field; 5] = [
    Field { noun: "a minute", range: (0, 59), names: &[] },
    Field { noun: "an hour", range: (0, 23), names: &[] },
    Field { noun: "a day of the month", range: (1, 31), names: &[] },
    Field { noun: "a month", range: (1, 12), names: &MONTHS },
    // Sunday is 0, and 7 as well.
    Field { noun: "a day of the week", range: (0, 7), names: &DAYS },
];

/// What short names stand for in many crontabs.
const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * SUN"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

impl Cron {
    /// The first moment after another at which it is due; none where there is none for thousands of years.
    ///
    /// A time over which the clocks are put forward is due at the first moment after it, together with others of that gap. One that they show
    /// twice is due once, at the first.
    #[must_use]
    pub fn after(&self, moment: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let mut shown = Wall(zone.to_datetime(jiff::Timestamp::from_millisecond(moment.0).ok()?));
        loop {
            shown = self.fields.find_next_occurrence(&shown, false).ok()?;
            // While the clocks show an hour for the second time, all of it has been due already.
            let due = zone::first_from(shown.0, zone);
            if due > moment {
                return Some(due);
            }
        }
    }
}

impl FromStr for Cron {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let written = Excerpt(text);
        if let Some((_, fields)) = NICKNAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(text.trim())) {
            return Err(format!("`{written}` is not written in fields: write `{fields}`"));
        }
        let parts: Vec<&str> = text.split_whitespace().collect();
        let Ok(parts) = <[&str; 5]>::try_from(parts.as_slice()) else {
            let more = if parts.len() == 6 { ", and none for seconds" } else { "" };
            let order = "minute, hour, day of the month, month, day of the week";
            return Err(format!("`{written}` has {} fields, where there are five: {order}{more}", parts.len()));
        };
        let numbers: Vec<String> =
            parts.iter().zip(&FIELDS).map(|(part, field)| field.numbers(part)).collect::<Result<_, _>>()?;
        // As in crontab(5): where both fields for days say which, a day that one of them means is due.
        let one_is_open = parts[2].starts_with('*') || parts[4].starts_with('*');
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).dom_and_dow(one_is_open).build();
        let fields = parser.parse(&numbers.join(" ")).map_err(|_| format!("`{written}` is not a schedule"))?;
        if fields.find_next_occurrence(&Wall(jiff::civil::date(2000, 1, 1).at(0, 0, 0, 0)), true).is_err() {
            return Err(format!("`{written}` never comes: none of its months has such a day"));
        }
        Ok(Cron { text: text.to_owned(), fields: Box::new(fields) })
    }
}

impl Field {
    /// What was written, in numbers.
    fn numbers(&self, part: &str) -> Result<String, String> {
        let items: Vec<String> = part.split(',').map(|item| self.item(item)).collect::<Result<_, _>>()?;
        Ok(items.join(","))
    }

    /// One of the things that commas separate: `*`, a value, `from-to`, and the first and the last with `/step`.
    fn item(&self, item: &str) -> Result<String, String> {
        let (first, last) = self.range;
        let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
        let (numbers, is_range) = match range.split_once('-') {
            _ if range == "*" => ("*".to_owned(), true),
            None => (self.value(range)?.to_string(), false),
            Some((from, to)) => {
                let (from, mut end) = (self.value(from)?, self.value(to)?);
                if end == 0 && last == 7 {
                    end = 7;
                }
                if end < from {
                    return Err(format!("`{}` ends before it begins: write it as two, with a comma", Excerpt(range)));
                }
                (format!("{from}-{end}"), true)
            }
        };
        let Some(step) = step else { return Ok(numbers) };
        if !is_range {
            let hint = format!("write `{}-{last}/{}`", Excerpt(range), Excerpt(step));
            return Err(format!("in `{}` a step follows neither `*` nor a range: {hint}", Excerpt(item)));
        }
        match number(step) {
            Some(step) if (1..=last - first).contains(&step) => Ok(format!("{numbers}/{step}")),
            _ => Err(format!("`{}` is not a step from 1 to {} in `{}`", Excerpt(step), last - first, Excerpt(item))),
        }
    }

    fn value(&self, text: &str) -> Result<u8, String> {
        let (first, last) = self.range;
        let named = || self.names.iter().position(|name| name.eq_ignore_ascii_case(text));
        let value = number(text).or_else(|| u8::try_from(named()?).ok()?.checked_add(first));
        value.filter(|value| (first..=last).contains(value)).ok_or_else(|| {
            let names = match self.names {
                [one, .., other] => format!(", or {one} to {other}"),
                _ => String::new(),
            };
            format!("`{}` is not {}: {first} to {last}{names}", Excerpt(text), self.noun)
        })
    }
}

fn number(text: &str) -> Option<u8> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

/// Equal where it is written alike.
impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Cron {}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cron({:?})", self.text)
    }
}

/// What the clocks on the wall show, for `croner`: every time there is, once.
#[derive(Clone, Copy)]
struct Wall(DateTime);

impl CronDateTime for Wall {
    fn to_civil(&self) -> CivilDateTime {
        let part = |value: i8| u32::try_from(value).unwrap_or(0);
        let (date, time) = (self.0.date(), self.0.time());
        CivilDateTime::new(
            croner::CivilDate::from_parts_unchecked(i32::from(date.year()), part(date.month()), part(date.day())),
            croner::CivilTime::from_parts_unchecked(part(time.hour()), part(time.minute()), part(time.second())),
        )
    }

    fn civil_weekday(&self) -> Weekday {
        Weekday::from_days_from_sunday(u32::try_from(self.0.weekday().to_sunday_zero_offset()).unwrap_or(0))
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, croner::errors::CronError> {
        let part = |value: u32| i8::try_from(value).ok();
        let shown = || {
            let (year, month, day) = (i16::try_from(civil.year()).ok()?, part(civil.month())?, part(civil.day())?);
            DateTime::new(year, month, day, part(civil.hour())?, part(civil.minute())?, part(civil.second())?, 0).ok()
        };
        shown().map(|shown| Resolution::Single(Wall(shown))).ok_or(croner::errors::CronError::InvalidDate)
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        self.0.checked_add(jiff::SignedDuration::from_secs(seconds)).ok().map(Wall)
    }

    fn cmp_instant(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    /// The next moments after one, one after the other.
    fn check(cron: &str, zone_name: &str, from: &str, want: &[&str]) {
        let (cron, zone) = (cron.parse::<Cron>().expect("a schedule"), zone::find(zone_name).expect("a zone"));
        let due: Vec<Timestamp> =
            std::iter::successors(cron.after(at(from), &zone), |last| cron.after(*last, &zone)).take(want.len()).collect();
        assert_eq!(due, want.iter().map(|text| at(text)).collect::<Vec<_>>(), "{cron}");
    }

    #[test]
    fn it_is_due_at_what_its_fields_say() {
        let want = ["2026-03-06T05:00:00Z", "2026-03-06T05:15:00Z", "2026-03-06T05:30:00Z"];
        check("*/15 6-22 * * MON-FRI", "Europe/Berlin", "2026-03-05T21:50:00Z", &want);
        check("*/15 6-22 * * mon-fri", "Europe/Berlin", "2026-03-06T21:46:00Z", &["2026-03-09T05:00:00Z"]);
        check("0 0 1 JAN *", "UTC", "2026-01-01T00:00:00Z", &["2027-01-01T00:00:00Z"]);
        check("30 4 29 2 *", "UTC", "2026-01-01T00:00:00Z", &["2028-02-29T04:30:00Z", "2032-02-29T04:30:00Z"]);
        check("0 12 * * 0", "UTC", "2026-03-01T12:00:00Z", &["2026-03-08T12:00:00Z"]);
        check("0 12 * * 7", "UTC", "2026-03-01T12:00:00Z", &["2026-03-08T12:00:00Z"]);
        check("0 12 * * SAT-SUN", "UTC", "2026-03-01T12:00:00Z", &["2026-03-07T12:00:00Z", "2026-03-08T12:00:00Z"]);
        check("5,10-20/5 3 * * *", "UTC", "2026-03-01T03:05:00Z", &["2026-03-01T03:10:00Z", "2026-03-01T03:15:00Z"]);
        // A moment that has begun is not due again, and one a moment ago is past.
        check("0 3 * * *", "UTC", "2026-03-01T02:59:59.999Z", &["2026-03-01T03:00:00Z"]);
        check("0 3 * * *", "UTC", "2026-03-01T03:00:00.001Z", &["2026-03-02T03:00:00Z"]);
    }

    #[test]
    fn a_day_is_one_of_either_field_or_of_both_where_one_is_open() {
        check("0 0 13 * FRI", "UTC", "2026-03-02T00:00:00Z", &["2026-03-06T00:00:00Z", "2026-03-13T00:00:00Z"]);
        check("0 0 14 * FRI", "UTC", "2026-03-12T00:00:00Z", &["2026-03-13T00:00:00Z", "2026-03-14T00:00:00Z"]);
        check("0 0 */2 * FRI", "UTC", "2026-03-02T00:00:00Z", &["2026-03-13T00:00:00Z", "2026-03-27T00:00:00Z"]);
    }

    #[test]
    fn what_the_clocks_skip_comes_after_and_what_they_repeat_comes_once() {
        // 02:00 becomes 03:00 on 29 March, at 01:00 UTC.
        check("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", &["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
        let want = ["2026-03-29T00:45:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:15:00Z"];
        check("*/15 * * * *", "Europe/Berlin", "2026-03-29T00:30:00Z", &want);
        // 03:00 becomes 02:00 on 25 October, at 01:00 UTC.
        check("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
        check("30 2 * * *", "Europe/Berlin", "2026-10-25T01:10:00Z", &["2026-10-26T01:30:00Z"]);
        let want = ["2026-10-25T00:30:00Z", "2026-10-25T02:00:00Z", "2026-10-25T02:30:00Z"];
        check("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", &want);
        // Midnight itself is skipped, and a whole day was.
        check("0 0 * * *", "America/Santiago", "2026-09-05T12:00:00Z", &["2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"]);
        check("0 9 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z", &["2011-12-30T10:00:00Z", "2012-12-29T19:00:00Z"]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |text: &str, want: &str| assert_eq!(text.parse::<Cron>().expect_err(text), want);
        let order = "minute, hour, day of the month, month, day of the week";
        check("0 3 * *", &format!("`0 3 * *` has 4 fields, where there are five: {order}"));
        check("0 0 3 * * *", &format!("`0 0 3 * * *` has 6 fields, where there are five: {order}, and none for seconds"));
        check("", &format!("`` has 0 fields, where there are five: {order}"));
        check("@daily", "`@daily` is not written in fields: write `0 0 * * *`");
        check("60 * * * *", "`60` is not a minute: 0 to 59");
        check("0 24 * * *", "`24` is not an hour: 0 to 23");
        check("0 0 0 * *", "`0` is not a day of the month: 1 to 31");
        check("0 0 L * *", "`L` is not a day of the month: 1 to 31");
        check("0 0 * MAI *", "`MAI` is not a month: 1 to 12, or JAN to DEC");
        check("0 0 * * 8", "`8` is not a day of the week: 0 to 7, or SUN to SAT");
        check("0 0 * * MONDAY", "`MONDAY` is not a day of the week: 0 to 7, or SUN to SAT");
        check("0 0 ? * MON", "`?` is not a day of the month: 1 to 31");
        check("0 22-6 * * *", "`22-6` ends before it begins: write it as two, with a comma");
        check("5/10 * * * *", "in `5/10` a step follows neither `*` nor a range: write `5-59/10`");
        check("*/90 * * * *", "`90` is not a step from 1 to 59 in `*/90`");
        check("*/0 * * * *", "`0` is not a step from 1 to 59 in `*/0`");
        check("1,,2 * * * *", "`` is not a minute: 0 to 59");
        check("-5 * * * *", "`` is not a minute: 0 to 59");
        check("0 0 30 2 *", "`0 0 30 2 *` never comes: none of its months has such a day");
        check("0 0 31 4,6 *", "`0 0 31 4,6 *` never comes: none of its months has such a day");
    }
}
