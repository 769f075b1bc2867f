//! Numbers by their digits: no two that differ become equal in binary floating point, and `0.10` is `0.1`.

use std::cmp::Ordering;

/// Exponents past these are no number that anybody meant.
const EXPONENT_MAX: i64 = 1_000_000;

/// A JSON number: digits without zeros at either end, and how many of them stand before the point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    is_negative: bool,
    digits: Vec<u8>,
    point: i64,
}

impl Number {
    /// Reads a JSON number; none where the text is something else.
    pub(crate) fn read(json: &str) -> Option<Self> {
        let (is_negative, rest) = json.strip_prefix('-').map_or((false, json), |rest| (true, rest));
        if !rest.starts_with(|first: char| first.is_ascii_digit()) {
            return None;
        }
        let (digits, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
        let exponent: i64 = exponent.parse().ok()?;
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let digits = format!("{whole}{fraction}");
        let from_first = digits.trim_start_matches('0');
        let point = whole.len() as i64 - (digits.len() - from_first.len()) as i64 + exponent.clamp(-EXPONENT_MAX, EXPONENT_MAX);
        let digits = from_first.trim_end_matches('0').as_bytes().to_vec();
        if digits.is_empty() {
            return Some(Number { is_negative: false, digits, point: 0 });
        }
        Some(Number { is_negative, digits, point })
    }

    /// Whether it has no fraction.
    pub(crate) fn is_whole(&self) -> bool {
        self.digits.len() as i64 <= self.point || self.digits.is_empty()
    }

    fn magnitude(&self, other: &Self) -> Ordering {
        match (self.digits.is_empty(), other.digits.is_empty()) {
            (false, false) => self.point.cmp(&other.point).then_with(|| self.digits.cmp(&other.digits)),
            (one, two) => two.cmp(&one),
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.is_negative, other.is_negative) {
            (false, false) => self.magnitude(other),
            (true, true) => other.magnitude(self),
            (one, two) => two.cmp(&one),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_in_order() {
        let order = [
            "-1e3",
            "-12",
            "-1.5",
            "-1",
            "-0.1",
            "0",
            "1e-5",
            "0.1",
            "0.11",
            "0.9",
            "1",
            "1.0000000000000000000001",
            "9",
            "10",
            "9007199254740992",
            "9007199254740993",
            "1e20",
            "1e999999999",
        ];
        for (one, a) in order.iter().enumerate() {
            for (two, b) in order.iter().enumerate() {
                let read = |text: &str| Number::read(text).expect("a number");
                assert_eq!(read(a).cmp(&read(b)), one.cmp(&two), "{a} {b}");
            }
        }
    }

    #[test]
    fn equal_numbers_are_equal_however_they_are_written() {
        for (a, b) in [("1", "1.00"), ("0", "-0.0"), ("100", "1E2"), ("0.10", "1e-1"), ("-12.50", "-1.25e+1")] {
            assert_eq!(Number::read(a), Number::read(b), "{a} {b}");
        }
        for text in ["", "x", "\"1\"", "null", "-", "1e99999999999999999999"] {
            assert_eq!(Number::read(text), None, "{text}");
        }
        let whole = |text: &str| Number::read(text).expect("a number").is_whole();
        assert!(whole("0") && whole("1.00") && whole("12e1") && whole("1.5e1") && whole("100"));
        assert!(!whole("1.5") && !whole("1e-1") && !whole("0.10"));
    }
}
