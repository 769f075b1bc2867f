//! Plain scalars by the core schema of YAML 1.2.2, section 10.3.2.

use super::Value;

/// What a plain scalar is; none for a text.
///
/// # Errors
/// In words, where it is a number that JSON cannot hold.
pub(super) fn resolve(text: &str) -> Result<Option<Value>, String> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Some(Value::Null)),
        "true" | "True" | "TRUE" => return Ok(Some(Value::Bool(true))),
        "false" | "False" | "FALSE" => return Ok(Some(Value::Bool(false))),
        _ => (),
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err(format!("`{text}` is a number that JSON does not have"));
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(digits) = text.strip_prefix(prefix)
            && !digits.is_empty()
            && digits.chars().all(|digit| digit.is_digit(radix))
        {
            let number = u64::from_str_radix(digits, radix).map_err(|_| format!("`{text}` is larger than 64 bits"))?;
            return Ok(Some(Value::Number(number.to_string())));
        }
    }
    let Some(json) = decimal(text.starts_with('-'), unsigned) else { return Ok(None) };
    // JSON readers hold such a number as a binary float, which ends at about 1.8e308.
    if serde_json::from_str::<serde_json::Value>(&json).is_err() {
        return Err(format!("`{text}` is out of the range of numbers"));
    }
    Ok(Some(Value::Number(json)))
}

/// `[0-9]*(\.[0-9]*)?([eE][-+]?[0-9]+)?` with a digit in it, as the JSON number that it is.
fn decimal(negative: bool, unsigned: &str) -> Option<String> {
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let fraction_digits = fraction.unwrap_or_default();
    let has_digits = !whole.is_empty() || !fraction_digits.is_empty();
    if !has_digits || !digits(whole) || !digits(fraction_digits) {
        return None;
    }
    if let Some(exponent) = exponent {
        let power = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        if power.is_empty() || !digits(power) {
            return None;
        }
    }
    let whole = whole.trim_start_matches('0');
    let mut json = String::with_capacity(unsigned.len() + 2);
    json.push_str(if negative { "-" } else { "" });
    json.push_str(if whole.is_empty() { "0" } else { whole });
    if !fraction_digits.is_empty() {
        json.push('.');
        json.push_str(fraction_digits);
    }
    if let Some(exponent) = exponent {
        json.push('e');
        json.push_str(exponent);
    }
    Some(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, want: Value) {
        assert_eq!(resolve(text), Ok(Some(want)), "{text}");
    }

    #[test]
    fn the_core_schema() {
        let number = |text: &str| Value::Number(text.into());
        check("", Value::Null);
        check("~", Value::Null);
        check("True", Value::Bool(true));
        check("12", number("12"));
        check("-0012", number("-12"));
        check("+3", number("3"));
        check("19.90", number("19.90"));
        check("1.", number("1"));
        check(".5", number("0.5"));
        check("1e3", number("1e3"));
        check("0x1F", number("31"));
        check("0o17", number("15"));
        check("123456789012345678901234567890", number("123456789012345678901234567890"));
    }

    #[test]
    fn what_only_looks_like_something_else_is_a_text() {
        for text in [
            "yes",
            "no",
            "on",
            "off",
            "12:30",
            "1_000",
            "2026-03-01",
            "0b1",
            "1.2.3",
            ".",
            "-",
            "+",
            "e3",
            "1e",
            "0x",
            "nUll",
            "5%",
        ] {
            assert_eq!(resolve(text), Ok(None), "{text}");
        }
    }

    #[test]
    fn numbers_that_json_cannot_hold_are_refused() {
        for text in [".inf", "-.INF", ".nan", "1e999", "0xFFFFFFFFFFFFFFFFF"] {
            assert!(resolve(text).is_err(), "{text}");
        }
    }
}
