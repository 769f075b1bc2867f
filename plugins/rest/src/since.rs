//! The newest that was seen, and how a request says it.

use serde_json::Value;
use weft_plugin::place::{Place, plain, word};
use weft_plugin::{ConfigProblem, RawValue, Timestamp};

use crate::config::{Incremental, Written};

/// The configuration's `incremental`, read.
#[derive(Debug)]
pub(crate) struct Since {
    field: Place,
    format: Written,
    start: Option<i64>,
    lookback: i64,
}

impl Since {
    /// Reads it.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub(crate) fn read(incremental: &Incremental) -> Result<Self, Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        let mut wrong = |at: &str, message: String, hint: &str| {
            problems.push(ConfigProblem::at(format!("/incremental/{at}"), message).hint(hint));
        };
        let field = Place::parse(&incremental.field);
        if field.is_none() {
            wrong("field", format!("`{}` is no path", incremental.field), "such as updated_at");
        }
        let format = incremental.format;
        let start = incremental.start.as_deref().map(|start| measure(start, format));
        if start == Some(None) {
            let hint = if format == Written::Number { "a whole number" } else { "such as 2025-01-01T00:00:00Z" };
            wrong("start", "this is nothing to begin from".into(), hint);
        }
        let lookback = incremental.lookback.as_deref().map(|lookback| match format {
            Written::Number => lookback.parse().ok().filter(|number| *number >= 0),
            _ => duration_ms(lookback),
        });
        if lookback == Some(None) {
            let hint = if format == Written::Number { "a whole number" } else { "such as 30s, 5m, 2h or 1d" };
            wrong("lookback", "this is no span".into(), hint);
        }
        let (start, lookback) = (start.flatten(), lookback.flatten().unwrap_or(0));
        field.filter(|_| problems.is_empty()).map(|field| Since { field, format, start, lookback }).ok_or(problems)
    }

    /// What a record has of it; none where it has nothing of the kind.
    pub(crate) fn of(&self, record: &RawValue) -> Option<i64> {
        let value = self.field.find(record)?;
        match self.format {
            Written::Number => measure(&word(value)?, self.format),
            _ => measure(&plain(value), self.format),
        }
    }

    /// How a request says it, with what polls saw so far; none at a first poll that begins at the beginning.
    pub(crate) fn word(&self, newest: Option<i64>) -> Option<Value> {
        // What was given to begin with is meant as it is.
        let at = newest.map(|newest| newest.saturating_sub(self.lookback)).or(self.start)?;
        Some(match self.format {
            Written::Iso => Value::String(Timestamp::from_ms(at)?.to_string()),
            Written::IsoSeconds => Value::String(format!("{}Z", Timestamp::from_ms(at)?.to_string().split('.').next()?)),
            Written::Seconds => at.div_euclid(1000).into(),
            Written::Milliseconds | Written::Number => at.into(),
        })
    }
}

/// A text as milliseconds since 1970, or as a number.
fn measure(text: &str, format: Written) -> Option<i64> {
    match format {
        Written::Number => text.trim().parse().ok(),
        _ => Timestamp::parse(text).map(Timestamp::ms),
    }
}

/// `30s`, `5m`, `2h`, `1d`.
fn duration_ms(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at(text.len().checked_sub(1).filter(|at| text.is_char_boundary(*at))?);
    let unit_ms = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u32>().ok().map(|number| i64::from(number) * unit_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn since(config: &str) -> Since {
        Since::read(&serde_json::from_str(config).expect("a configuration")).expect("valid")
    }

    #[test]
    fn a_request_says_the_newest_less_a_span() {
        let check = |format: &str, newest: Option<i64>, want: &str| {
            let config = format!(r#"{{"field":"at","format":"{format}","start":"2025-01-01T00:00:00Z","lookback":"5m"}}"#);
            assert_eq!(since(&config).word(newest).map(|word| word.to_string()).as_deref(), Some(want), "{format}");
        };
        check("iso", None, "\"2025-01-01T00:00:00.000Z\"");
        check("iso", Some(1_772_357_400_123), "\"2026-03-01T09:25:00.123Z\"");
        check("iso_seconds", Some(1_772_357_400_999), "\"2026-03-01T09:25:00Z\"");
        check("seconds", Some(1_772_357_400_999), "1772357100");
        check("milliseconds", Some(1_772_357_400_999), "1772357100999");
        let number = since(r#"{"field":"id","format":"number","start":"7","lookback":"10"}"#);
        assert_eq!((number.word(None), number.word(Some(100))), (Some(7.into()), Some(90.into())));
        assert_eq!(since(r#"{"field":"at"}"#).word(None), None);
    }

    #[test]
    fn records_have_it_as_text_or_number() {
        let check = |config: &str, record: &str, want: Option<i64>| {
            assert_eq!(since(config).of(serde_json::from_str(record).expect("JSON")), want, "{record}");
        };
        check(r#"{"field":"a.at"}"#, r#"{"a":{"at":"2026-03-01T09:30:00Z"}}"#, Some(1_772_357_400_000));
        check(r#"{"field":"at"}"#, r#"{"at":1772357400}"#, Some(1_772_357_400_000));
        check(r#"{"field":"at"}"#, r#"{"at":"never"}"#, None);
        check(r#"{"field":"at"}"#, "{}", None);
        check(r#"{"field":"id","format":"number"}"#, r#"{"id":9007199254740993}"#, Some(9_007_199_254_740_993));
        check(r#"{"field":"id","format":"number"}"#, r#"{"id":"12"}"#, Some(12));
    }

    #[test]
    fn mistakes_are_named() {
        let check = |config: &str, want: &[&str]| {
            let problems = Since::read(&serde_json::from_str(config).expect("a configuration")).expect_err(config);
            assert_eq!(problems.into_iter().map(|problem| problem.path).collect::<Vec<_>>(), want);
        };
        check(
            r#"{"field":"","start":"soon","lookback":"5"}"#,
            &["/incremental/field", "/incremental/start", "/incremental/lookback"],
        );
        check(
            r#"{"field":"id","format":"number","start":"x","lookback":"5m"}"#,
            &["/incremental/start", "/incremental/lookback"],
        );
        check(r#"{"field":"at","lookback":"é"}"#, &["/incremental/lookback"]);
        check(r#"{"field":"at","lookback":""}"#, &["/incremental/lookback"]);
    }
}
