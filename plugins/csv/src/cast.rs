//! What the text of a field is: numbers, days, instants, lists. By its text: no number passes through binary floating point.

use jiff::civil::Date;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::Offset;
use serde_json::value::{RawValue, to_raw_value};
use weft_plugin::Timestamp;

use crate::config::{Cast, Decimal, Typed};

/// Makes JSON of texts.
#[derive(Clone, Debug)]
pub(crate) struct Caster {
    cast: Cast,
    formats: Vec<String>,
    decimal: Decimal,
    separator: String,
    zone_minutes: i64,
}

impl Caster {
    pub(crate) fn text() -> Self {
        Caster { cast: Cast::Text, formats: Vec::new(), decimal: Decimal::Point, separator: String::new(), zone_minutes: 0 }
    }

    pub(crate) fn new(typed: &Typed, zone_minutes: i64) -> Self {
        let (formats, separator) = (typed.formats.clone(), typed.separator.clone());
        Caster { cast: typed.cast, formats, decimal: typed.decimal, separator, zone_minutes }
    }

    /// The text as JSON; none where it is not what it should be.
    pub(crate) fn json(&self, text: &str) -> Option<Box<RawValue>> {
        match self.cast {
            Cast::Text => to_raw_value(text).ok(),
            Cast::Number => RawValue::from_string(number(text, self.decimal)?).ok(),
            Cast::Bool => RawValue::from_string(boolean(text)?.to_string()).ok(),
            Cast::Date => to_raw_value(&self.date(text)?.to_string()).ok(),
            Cast::Time => to_raw_value(&self.instant(text)?.to_string()).ok(),
            Cast::List => {
                let items = text.split(&*self.separator).map(str::trim).filter(|item| !item.is_empty());
                to_raw_value(&items.collect::<Vec<_>>()).ok()
            }
            Cast::Json => RawValue::from_string(text.to_owned()).ok(),
        }
    }

    /// What it should be, with an article.
    pub(crate) fn what(&self) -> &'static str {
        match self.cast {
            Cast::Text => "text",
            Cast::Number => "a number",
            Cast::Bool => "a truth value",
            Cast::Date => "a date",
            Cast::Time => "a time",
            Cast::List => "a list",
            Cast::Json => "JSON",
        }
    }

    fn date(&self, text: &str) -> Option<Date> {
        if self.formats.is_empty() {
            return text.parse().ok();
        }
        self.formats.iter().find_map(|format| BrokenDownTime::parse(format, text).ok()?.to_date().ok())
    }

    /// The instant that a text is, whatever the column is cast to.
    pub(crate) fn instant(&self, text: &str) -> Option<Timestamp> {
        if self.formats.is_empty() {
            return Timestamp::parse_in(text, self.zone_minutes);
        }
        self.formats.iter().find_map(|format| {
            let read = BrokenDownTime::parse(format, text).ok()?;
            let at = match read.to_timestamp() {
                Ok(at) => at,
                // There is no offset in it.
                Err(_) => {
                    let zone = Offset::from_seconds(i32::try_from(self.zone_minutes * 60).ok()?).ok()?;
                    zone.to_timestamp(read.to_datetime().ok()?).ok()?
                }
            };
            Timestamp::from_ms(at.as_millisecond())
        })
    }
}

/// Whether a format can be read by.
pub(crate) fn is_format(format: &str) -> bool {
    // What is written by a format is read by it, and nothing else shows a wrong one before there is a text.
    let written = BrokenDownTime::from(jiff::Timestamp::UNIX_EPOCH).to_string(format);
    format.contains('%') && written.is_ok_and(|text| BrokenDownTime::parse(format, text).is_ok())
}

/// The minutes that a zone is ahead of UTC: `UTC`, `+02:00`, `-0330`.
pub(crate) fn zone_minutes(zone: &str) -> Option<i64> {
    const NOON: &str = "2000-01-01T12:00:00";
    if !(zone.starts_with(['+', '-']) || matches!(zone, "UTC" | "GMT" | "Z")) {
        return None;
    }
    let noon = Timestamp::parse(NOON)?.ms();
    Timestamp::parse(&format!("{NOON}{zone}")).map(|there| (noon - there.ms()) / 60_000)
}

fn boolean(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "true" | "yes" | "y" | "on" | "1" | "t" => Some(true),
        "false" | "no" | "n" | "off" | "0" | "f" => Some(false),
        _ => None,
    }
}

/// A number as JSON has it: without a plus, leading zeros and what stands between thousands.
fn number(text: &str, decimal: Decimal) -> Option<String> {
    let (mark, other) = match decimal {
        Decimal::Point => ('.', ','),
        Decimal::Comma => (',', '.'),
    };
    let (sign, rest) = match text.strip_prefix(['-', '\u{2212}']) {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) =
        rest.split_once(['e', 'E']).map_or((rest, None), |(mantissa, exponent)| (mantissa, Some(exponent)));
    let (whole, fraction) = mantissa.split_once(mark).map_or((mantissa, ""), |(whole, fraction)| (whole, fraction));
    let is_group_mark = |letter: char| letter == other || matches!(letter, ' ' | '\'' | '’' | '\u{a0}' | '\u{2009}' | '\u{202f}');
    let groups: Vec<&str> = whole.split(is_group_mark).collect();
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (first, others) = groups.split_first()?;
    let is_grouped = others.is_empty() || (matches!(first.len(), 1..=3) && others.iter().all(|group| group.len() == 3));
    if !is_grouped || !groups.iter().all(|group| digits(group)) || !digits(fraction) {
        return None;
    }
    let whole = groups.concat();
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let mut number = format!("{sign}{}", if whole.is_empty() { "0" } else { whole });
    if !fraction.is_empty() {
        number += &format!(".{fraction}");
    }
    if let Some(exponent) = exponent {
        let power = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if power.is_empty() || !digits(power) {
            return None;
        }
        number += &format!("e{exponent}");
    }
    Some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caster(column: &str, zone_minutes: i64) -> Caster {
        let column = format!(r#"{{"column":"c",{column}}}"#);
        Caster::new(&serde_json::from_str(&column).expect("a column"), zone_minutes)
    }

    #[test]
    fn numbers_keep_their_digits() {
        let check = |text: &str, decimal: Decimal, want: Option<&str>| {
            assert_eq!(number(text, decimal).as_deref(), want, "{text}");
        };
        check("19.90", Decimal::Point, Some("19.90"));
        check("1,234,567.50", Decimal::Point, Some("1234567.50"));
        check("1.234.567,50", Decimal::Comma, Some("1234567.50"));
        check("1 234,5", Decimal::Comma, Some("1234.5"));
        check("1'234.5", Decimal::Point, Some("1234.5"));
        check("-0,5", Decimal::Comma, Some("-0.5"));
        check("\u{2212}7", Decimal::Point, Some("-7"));
        check("+007", Decimal::Point, Some("7"));
        check(".5", Decimal::Point, Some("0.5"));
        check("5.", Decimal::Point, Some("5"));
        check("000", Decimal::Point, Some("0"));
        check("1e-3", Decimal::Point, Some("1e-3"));
        check("12345678901234567890.123", Decimal::Point, Some("12345678901234567890.123"));
        for wrong in ["", "-", ".", "abc", "1,23", "12,3456", "1234,567", "1.2.3", "1e", "1e+", "€ 5", "5 %", "0x1F", "--1", "١"]
        {
            check(wrong, Decimal::Point, None);
        }
        check("19.90", Decimal::Comma, None);
    }

    #[test]
    fn texts_become_what_the_column_says() {
        let check = |column: &str, text: &str, want: Option<&str>| {
            assert_eq!(caster(column, 60).json(text).as_deref().map(RawValue::get), want, "{column} {text}");
        };
        check(r#""as":"text""#, "a\"b", Some(r#""a\"b""#));
        check(r#""as":"bool""#, "Yes", Some("true"));
        check(r#""as":"bool""#, "0", Some("false"));
        check(r#""as":"bool""#, "maybe", None);
        check(r#""as":"date""#, "2026-03-01", Some("\"2026-03-01\""));
        check(r#""as":"date""#, "01.03.2026", None);
        check(r#""as":"date","formats":["%Y","%d.%m.%Y"]"#, "01.03.2026", Some("\"2026-03-01\""));
        check(r#""as":"date","formats":["%d.%m.%Y"]"#, "31.02.2026", None);
        check(r#""as":"time""#, "2026-03-01 10:30", Some("\"2026-03-01T09:30:00.000Z\""));
        check(r#""as":"time""#, "2026-03-01T10:30:00Z", Some("\"2026-03-01T10:30:00.000Z\""));
        check(r#""as":"time""#, "1772357400", Some("\"2026-03-01T09:30:00.000Z\""));
        check(r#""as":"time","formats":["%d.%m.%Y %H:%M"]"#, "01.03.2026 10:30", Some("\"2026-03-01T09:30:00.000Z\""));
        check(r#""as":"time","formats":["%d.%m.%Y"]"#, "01.03.2026", Some("\"2026-02-28T23:00:00.000Z\""));
        check(r#""as":"time","formats":["%m/%d/%Y %I:%M %p"]"#, "3/1/2026 1:05 PM", Some("\"2026-03-01T12:05:00.000Z\""));
        check(
            r#""as":"time","formats":["%d/%b/%Y:%H:%M:%S %z"]"#,
            "01/Mar/2026:10:30:00 +0200",
            Some("\"2026-03-01T08:30:00.000Z\""),
        );
        check(r#""as":"list""#, "a, b,,c ", Some(r#"["a","b","c"]"#));
        check(r#""as":"list","separator":";""#, "a;b", Some(r#"["a","b"]"#));
        check(r#""as":"json""#, r#"{"a":[1]}"#, Some(r#"{"a":[1]}"#));
        check(r#""as":"json""#, "{", None);
    }

    #[test]
    fn formats_and_zones_are_known_before_a_text_is() {
        assert!(["%d.%m.%Y", "%m/%d/%Y %I:%M %p", "%s", "%d/%b/%Y:%H:%M:%S %z"].into_iter().all(is_format));
        assert!(!["", "DD.MM.YYYY", "%", "%d.%ö"].into_iter().any(is_format));
        let check = |zone: &str, want: Option<i64>| assert_eq!(zone_minutes(zone), want, "{zone}");
        check("UTC", Some(0));
        check("Z", Some(0));
        check("+02:00", Some(120));
        check("-0330", Some(-210));
        check("Europe/Berlin", None);
        check("", None);
        check(".5", None);
    }
}
