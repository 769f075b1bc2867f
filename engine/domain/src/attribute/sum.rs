//! Exact sums: whatever is added, in whatever order, the last digit is right.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::value::Amount;

/// A sum of decimals. An [`Amount`] has to 28 decimals and is below 8·10²⁸, so its whole and the rest of it, each added up by itself as an
/// integer, lose nothing before some 10⁹ of them have been added; a decimal type of 28 digits would round, and then the order would matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// The wholes.
    whole: i128,
    /// The rests, in units of 10⁻²⁸.
    rest: i128,
}

const UNIT: i128 = 10_i128.pow(28);
/// What the last decimal of a mean is in units of 10⁻²⁸: ten decimals.
const MEAN_UNIT: i128 = 10_i128.pow(18);

impl From<Amount> for Sum {
    fn from(Amount(decimal): Amount) -> Self {
        let one = 10_i128.pow(decimal.scale());
        Sum { whole: decimal.mantissa() / one, rest: decimal.mantissa() % one * (UNIT / one) }
    }
}

impl Sum {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Sum) -> Sum {
        Sum { whole: self.whole.saturating_add(other.whole), rest: self.rest.saturating_add(other.rest) }
    }

    /// The mean of so many, to ten decimals, half to even. None of none.
    #[must_use]
    pub fn mean(self, count: u64) -> Option<Sum> {
        let count = i128::from(count);
        if count == 0 {
            return None;
        }
        let Sum { whole, rest } = self.carried();
        let (quotient, remainder) = (whole.div_euclid(count), whole.rem_euclid(count));
        let (above, unit) = (remainder.saturating_mul(UNIT).saturating_add(rest), count.saturating_mul(MEAN_UNIT));
        let (digits, left) = (above.div_euclid(unit), above.rem_euclid(unit));
        let up = left.saturating_mul(2) > unit || (left.saturating_mul(2) == unit && digits % 2 != 0);
        Some(Sum { whole: quotient, rest: (digits + i128::from(up)) * MEAN_UNIT })
    }

    /// The same with a rest of 0 or more and below one.
    fn carried(self) -> Sum {
        Sum { whole: self.whole.saturating_add(self.rest.div_euclid(UNIT)), rest: self.rest.rem_euclid(UNIT) }
    }
}

impl fmt::Display for Sum {
    /// A number of JSON, without needless zeros.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sum { mut whole, mut rest } = self.carried();
        let is_negative = whole < 0;
        if is_negative && rest > 0 {
            (whole, rest) = (whole + 1, UNIT - rest);
        }
        let sign = if is_negative { "-" } else { "" };
        let decimals = format!("{rest:028}");
        match decimals.trim_end_matches('0') {
            "" => write!(f, "{sign}{}", whole.unsigned_abs()),
            decimals => write!(f, "{sign}{}.{decimals}", whole.unsigned_abs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(amounts: &[&str]) -> Sum {
        let amount = |text: &&str| Sum::from(text.parse::<Amount>().expect("an amount"));
        amounts.iter().map(amount).fold(Sum::default(), Sum::plus)
    }

    #[test]
    fn sums_are_exact() {
        let check = |amounts: &[&str], want: &str| {
            assert_eq!(sum(amounts).to_string(), want);
            let turned: Vec<&str> = amounts.iter().rev().copied().collect();
            assert_eq!(sum(&turned), sum(amounts));
        };
        check(&[], "0");
        check(&["0.1", "0.2"], "0.3");
        check(&["19.90", "-20"], "-0.1");
        check(&["-0.5", "-0.5"], "-1");
        check(&["7", "-7.0"], "0");
        check(&["-1.25"], "-1.25");
        check(
            &["79228162514264337593543950335", "0.0000000000000000000000000001"],
            "79228162514264337593543950335.0000000000000000000000000001",
        );
    }

    #[test]
    fn means_are_rounded_half_to_even() {
        let check = |amounts: &[&str], want: &str| {
            assert_eq!(sum(amounts).mean(amounts.len() as u64).expect("not none").to_string(), want);
        };
        check(&["1", "2"], "1.5");
        check(&["1", "1", "2"], "1.3333333333");
        check(&["-1", "-1", "-2"], "-1.3333333333");
        check(&["2", "2", "1"], "1.6666666667");
        check(&["0.0000000001", "0"], "0");
        check(&["0.0000000003", "0"], "0.0000000002");
        check(&["5", "-5"], "0");
        assert_eq!(sum(&[]).mean(0), None);
    }
}
