//! Quantities with their units: durations (`90s`), sizes (`64 MiB`) and rates (`50/min`).
//!
//! Each reads from text, says what was wrong with it, and writes itself back in the largest unit that keeps it exact.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use weft_domain::value::Excerpt;

use super::limits;

/// A length of time, in milliseconds. Written `250ms`, `90s`, `15m`, `1h30m`, `7d`, `2w`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(u64);

/// A number of bytes. Written `512 B`, `64 KiB`, `1 GiB` in powers of 1024, or `64 kB`, `1 GB` in powers of 1000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(u64);

/// So many in a time. Written `10/s`, `50/min`, `1000/h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    count: u32,
    unit: usize,
}

const TIMES: [(&str, u64); 6] = [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

const SIZES: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

const PERIODS: [(&str, u64); 3] = [("s", 1_000), ("min", 60_000), ("h", 3_600_000)];

impl Duration {
    /// So many milliseconds.
    #[must_use]
    pub const fn from_ms(ms: u64) -> Self {
        Duration(ms)
    }

    /// In milliseconds.
    #[must_use]
    pub const fn as_ms(self) -> u64 {
        self.0
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> Self {
        std::time::Duration::from_millis(duration.0)
    }
}

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut rest = text.trim();
        let mut before: Option<usize> = None;
        let mut total: u64 = 0;
        if rest.is_empty() {
            return Err("a duration is empty".into());
        }
        while !rest.is_empty() {
            let (count, tail) = number(rest).ok_or_else(|| format!("`{}` is not a duration", Excerpt(text)))?;
            let (unit, tail) = word(tail);
            let Some(place) = TIMES.iter().position(|(name, _)| *name == unit) else {
                return Err(unit_of_time(text, count, unit));
            };
            if before.is_some_and(|before| before >= place) {
                return Err(format!("the units of `{}` do not go from large to small", Excerpt(text)));
            }
            total = count
                .parse::<u64>()
                .ok()
                .and_then(|count| count.checked_mul(TIMES[place].1))
                .and_then(|part| total.checked_add(part))
                .ok_or("the duration is too long")?;
            (before, rest) = (Some(place), tail.trim_start());
        }
        if total > limits::DURATION_MS_MAX { Err("the duration is longer than 10 years".into()) } else { Ok(Duration(total)) }
    }
}

/// What to say of a unit that is none.
fn unit_of_time(text: &str, count: &str, unit: &str) -> String {
    if unit.is_empty() {
        return format!("the duration `{}` has no unit", Excerpt(text));
    }
    let meant = match unit.to_ascii_lowercase().as_str() {
        "sec" | "secs" | "second" | "seconds" => "s",
        "min" | "mins" | "minute" | "minutes" => "m",
        "hr" | "hrs" | "hour" | "hours" => "h",
        "day" | "days" => "d",
        "week" | "weeks" => "w",
        "msec" | "millis" | "millisecond" | "milliseconds" => "ms",
        "month" | "months" | "mo" | "year" | "years" | "y" => {
            return format!("months and years differ in length: write `{}` in days", Excerpt(text));
        }
        _ if unit.starts_with('.') => return format!("`{}` has a fraction: write it in a smaller unit", Excerpt(text)),
        _ => return format!("`{}` is not a unit of time", Excerpt(unit)),
    };
    format!("`{}` is not a unit of time: write `{count}{meant}`", Excerpt(unit))
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, ms) = TIMES.iter().skip(1).find(|(_, ms)| self.0 != 0 && self.0.is_multiple_of(*ms)).unwrap_or(&("s", 1_000));
        write!(f, "{}{name}", self.0 / ms)
    }
}

impl Size {
    /// So many bytes.
    #[must_use]
    pub const fn from_bytes(bytes: u64) -> Self {
        Size(bytes)
    }

    /// In bytes.
    #[must_use]
    pub const fn as_bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (count, tail) = number(text.trim()).ok_or_else(|| format!("`{}` is not a size", Excerpt(text)))?;
        let unit = tail.trim();
        if unit.is_empty() {
            return Err(format!("the size `{}` has no unit", Excerpt(text)));
        }
        let Some((_, bytes)) = SIZES.iter().find(|(name, _)| *name == unit) else {
            let bare = |name: &str| name.to_ascii_lowercase().replace(['i', 'b'], "");
            let alike = |(name, _): &&(&str, u64)| *name != "B" && bare(name) == bare(unit);
            let meant: Vec<String> = SIZES.iter().filter(alike).map(|(name, _)| format!("`{count} {name}`")).collect();
            let advice = if meant.is_empty() { String::new() } else { format!(": write {}", meant.join(" or ")) };
            return Err(format!("`{}` is not a unit of size{advice}", Excerpt(unit)));
        };
        count
            .parse::<u64>()
            .ok()
            .and_then(|count| count.checked_mul(*bytes))
            .map(Size)
            .ok_or_else(|| "the size is too large".into())
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, bytes) = SIZES
            .iter()
            .filter(|(name, _)| name.contains('i'))
            .find(|(_, bytes)| self.0 != 0 && self.0.is_multiple_of(*bytes))
            .unwrap_or(&("B", 1));
        write!(f, "{} {name}", self.0 / bytes)
    }
}

impl Rate {
    /// How many.
    #[must_use]
    pub fn count(self) -> u32 {
        self.count
    }

    /// In how long, in milliseconds.
    #[must_use]
    pub fn period_ms(self) -> u64 {
        PERIODS[self.unit].1
    }
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{}` is not a rate", Excerpt(text));
        let (count, unit) = text.split_once('/').ok_or_else(wrong)?;
        let count: u32 = count.trim().parse().map_err(|_| wrong())?;
        if count == 0 {
            return Err("a rate of 0 lets nothing through".into());
        }
        let unit = match unit.trim() {
            "s" | "sec" | "second" => 0,
            "min" | "m" | "minute" => 1,
            "h" | "hour" => 2,
            _ => return Err(wrong()),
        };
        Ok(Rate { count, unit })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, PERIODS[self.unit].0)
    }
}

fn number(text: &str) -> Option<(&str, &str)> {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

fn word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    let end = text
        .char_indices()
        .find(|(place, letter)| letter.is_ascii_digit() && !text[..*place].contains('.') || letter.is_whitespace());
    text.split_at(end.map_or(text.len(), |(place, _)| place))
}

macro_rules! quantity {
    ($name:ident, $format:literal, $pattern:literal, $about:literal, $examples:expr) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "format": $format, "pattern": $pattern, "description": $about, "examples": $examples })
            }
        }
    };
}

// The patterns are for editors and a little wider than the parsers, which have the last word.
quantity!(
    Duration,
    "weft-duration",
    r"^\s*[0-9]+\s*[a-z]+(\s*[0-9]+\s*[a-z]+)*\s*$",
    "A duration with its unit: ms, s, m, h, d or w.",
    ["250ms", "90s", "1h30m"]
);
quantity!(
    Size,
    "weft-size",
    r"^\s*[0-9]+\s*[A-Za-z]+\s*$",
    "A size with its unit: B, KiB, MiB, GiB, TiB, or kB, MB, GB, TB.",
    ["64 MiB"]
);
quantity!(
    Rate,
    "weft-rate",
    r"^\s*[0-9]+\s*/\s*[a-z]+\s*$",
    "A rate: how many in a second (s), minute (min) or hour (h).",
    ["50/min"]
);

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a text as `T`; what it writes back, or what was wrong.
    fn check<T: FromStr<Err = String> + fmt::Display>(text: &str, want: &str) {
        let got = text.parse::<T>().map_or_else(|error| error, |value| value.to_string());
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn durations() {
        check::<Duration>("1h", "1h");
        check::<Duration>("90s", "90s");
        check::<Duration>("250ms", "250ms");
        check::<Duration>("1h30m", "90m");
        check::<Duration>("1h 30m", "90m");
        check::<Duration>("2w", "14d");
        check::<Duration>("0s", "0s");
        check::<Duration>("90", "the duration `90` has no unit");
        check::<Duration>("15 min", "`min` is not a unit of time: write `15m`");
        check::<Duration>("2 months", "months and years differ in length: write `2 months` in days");
        check::<Duration>("1.5h", "`1.5h` has a fraction: write it in a smaller unit");
        check::<Duration>("30m1h", "the units of `30m1h` do not go from large to small");
        check::<Duration>("soon", "`soon` is not a duration");
        check::<Duration>("", "a duration is empty");
        check::<Duration>("99999999999999999999d", "the duration is too long");
        check::<Duration>("9000000000d", "the duration is longer than 10 years");
    }

    #[test]
    fn sizes() {
        check::<Size>("64 MiB", "64 MiB");
        check::<Size>("64MiB", "64 MiB");
        check::<Size>("1 GB", "1000000000 B");
        check::<Size>("0 B", "0 B");
        check::<Size>("64", "the size `64` has no unit");
        check::<Size>("64 mb", "`mb` is not a unit of size: write `64 MiB` or `64 MB`");
        check::<Size>("64M", "`M` is not a unit of size: write `64 MiB` or `64 MB`");
        check::<Size>("64 lots", "`lots` is not a unit of size");
        check::<Size>("many", "`many` is not a size");
        check::<Size>("99999999999 TiB", "the size is too large");
    }

    #[test]
    fn rates() {
        check::<Rate>("50/min", "50/min");
        check::<Rate>("10 / s", "10/s");
        check::<Rate>("0/s", "a rate of 0 lets nothing through");
        check::<Rate>("50", "`50` is not a rate");
        check::<Rate>("50/fortnight", "`50/fortnight` is not a rate");
        assert_eq!("3/h".parse::<Rate>().map(Rate::period_ms), Ok(3_600_000));
    }
}
