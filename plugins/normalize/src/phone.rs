//! Phone numbers in E.164, by a compact approach.
//!
//! libphonenumber as a crate makes the component 2.3 MB larger and costs 90 ms and more at the first call of an instance,
//! which for this plugin is every batch. What tells customers apart needs less: calling codes, prefixes and lengths
//! ([`crate::region`], 10 KB). It does not know which numbers are assigned, nor Argentina's `15` and Brazil's carrier codes
//! within a national number. A test compares it with what libphonenumber reads from its own examples of every region.

use crate::region::{REGIONS, Region};

/// Digits of a number in E.164 with its calling code (ITU-T E.164, 6).
const DIGITS_MAX: usize = 15;
/// More than any number with its punctuation has; what is longer is not looked at.
const TEXT_BYTES_MAX: usize = 64;

/// The number in E.164, such as `+491701234567`; none where it is none, has an extension, or does not say of which country
/// it is and `home` is not known either.
pub(crate) fn e164(text: &str, home: Option<&Region>) -> Option<String> {
    let written = Written::read(text)?;
    let digits = written.digits.as_str();
    if written.plus {
        return international(digits);
    }
    let abroad = home.map_or("00", |home| home.abroad);
    if let Some(number) = digits.strip_prefix(abroad).and_then(international) {
        return Some(number);
    }
    let home = home?;
    // `49 170 1234567`: the code without its plus. Where a trunk prefix is written, a number without it is more likely this
    // than a number of the country that begins with the country's own code.
    let coded = || international(digits).filter(|number| number[1..].starts_with(&home.code.to_string()));
    let within = || national(digits, home).and_then(|number| number_of(home.code, number));
    if home.trunk == "0" && !digits.starts_with('0') { coded().or_else(within) } else { within().or_else(coded) }
}

/// A number as somebody wrote it.
struct Written {
    plus: bool,
    digits: String,
}

impl Written {
    fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let text = text.strip_prefix("tel:").unwrap_or(text);
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        // `+49 (0)170 …`: the trunk prefix that one leaves out from abroad.
        let text =
            if text.starts_with(['+', '＋']) || text.starts_with("00") { text.replacen("(0)", "", 1) } else { text.to_owned() };
        let (mut plus, mut digits) = (false, String::with_capacity(DIGITS_MAX));
        for letter in text.chars() {
            match letter {
                '+' | '＋' if digits.is_empty() && !plus => plus = true,
                '0'..='9' => digits.push(letter),
                // Full-width, Arabic-Indic, extended Arabic-Indic, Devanagari.
                '\u{ff10}'..='\u{ff19}' => digits.push(digit(letter, '\u{ff10}')),
                '\u{660}'..='\u{669}' => digits.push(digit(letter, '\u{660}')),
                '\u{6f0}'..='\u{6f9}' => digits.push(digit(letter, '\u{6f0}')),
                '\u{966}'..='\u{96f}' => digits.push(digit(letter, '\u{966}')),
                '-' | '.' | '/' | '(' | ')' | '[' | ']' | '\u{2010}'..='\u{2015}' | '\u{b7}' | '\u{2212}' | '~' => {}
                // Marks of direction, which are copied along with numbers.
                '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' => {}
                letter if letter.is_whitespace() => {}
                _ => return None,
            }
        }
        // A number of one digit over and over is what people type into a field that they must not leave empty.
        let junk = digits.bytes().all(|byte| Some(&byte) == digits.as_bytes().first());
        (!junk).then_some(Written { plus, digits })
    }
}

fn digit(letter: char, zero: char) -> char {
    char::from(b'0' + (u32::from(letter) - u32::from(zero)) as u8)
}

/// Digits that begin with a calling code.
fn international(digits: &str) -> Option<String> {
    let (code, rest) = (1..=3).find_map(|length| {
        let (code, rest) = digits.split_at_checked(length)?;
        let code: u16 = code.parse().ok()?;
        REGIONS.binary_search_by_key(&code, |region| region.code).ok().map(|_| (code, rest))
    })?;
    let mut regions = REGIONS.iter().filter(|region| region.code == code);
    let main = regions.next()?;
    let lengths = regions.fold(main.lengths, |lengths, region| lengths | region.lengths);
    let number = national(rest, &Region { lengths, ..*main })?;
    number_of(code, number)
}

/// A number within a region without its trunk prefix; none where it would have a wrong length.
fn national<'d>(digits: &'d str, region: &Region) -> Option<&'d str> {
    let fits = |number: &str| number.len() < 32 && region.lengths & (1 << number.len()) != 0;
    let whole = fits(digits).then_some(digits);
    let stripped = digits.strip_prefix(region.trunk).filter(|number| !region.trunk.is_empty() && fits(number));
    // No number begins with the trunk prefix 0; with another, such as Russia's 8, many do.
    if region.trunk == "0" { stripped.or(whole) } else { whole.or(stripped) }
}

fn number_of(code: u16, number: &str) -> Option<String> {
    let number = format!("+{code}{number}");
    (number.len() <= DIGITS_MAX + 1).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_people_write_them() {
        let check = |text: &str, home: &str, want: &str| {
            let number = e164(text, Region::of(home));
            assert_eq!(number.as_deref(), (!want.is_empty()).then_some(want), "{text} in {home}");
        };
        check("+49 170 1234567", "", "+491701234567");
        check("+49 (0)170 / 123-45.67", "US", "+491701234567");
        check("+49 0170 1234567", "", "+491701234567");
        check("0049 170 1234567", "", "+491701234567");
        check("011 49 170 1234567", "US", "+491701234567");
        check("0170 1234567", "DE", "+491701234567");
        check("0170 1234567", "", "");
        check("(415) 555-2671", "US", "+14155552671");
        check("1-415-555-2671", "US", "+14155552671");
        check("8 (912) 345-67-89", "RU", "+79123456789");
        check("8442 12 34 56", "RU", "+78442123456");
        check("+7 8442 12 34 56", "", "+78442123456");
        check("06 6982 0000", "IT", "+390669820000");
        check("+39 06 6982 0000", "", "+390669820000");
        check("06 1 234 5678", "HU", "+3612345678");
        check("tel:+1-415-555-2671", "", "+14155552671");
        check("＋４９ 170 1234567", "", "+491701234567");
        check("٠١٠٠ ١٢٣٤٥٦٧", "EG", "+201001234567");
        check("1 868 291 1234", "US", "+18682911234");
        for junk in
            ["", "n/a", "0000000000", "+", "12", "+49 170 1234567 x12", "1-800-FLOWERS", "+999 1234567", "+1 415", "++49170", "é"]
        {
            check(junk, "DE", "");
        }
        check(&"1".repeat(65), "DE", "");
    }

    #[test]
    fn regions_are_sorted_so_that_they_are_found() {
        assert!(REGIONS.is_sorted_by_key(|region| region.code));
        assert_eq!(Region::of("DE").map(|region| region.code), Some(49));
        assert_eq!(Region::of("de"), None);
        let clash = REGIONS
            .iter()
            .any(|a| REGIONS.iter().any(|b| a.code != b.code && b.code.to_string().starts_with(&a.code.to_string())));
        assert!(!clash, "a code would begin another");
    }

    #[test]
    fn libphonenumber_reads_its_examples_alike() {
        let examples = include_str!("../tests/phones.tsv").lines().map(|line| line.split('\t').collect::<Vec<_>>());
        let differ: Vec<String> = examples
            .filter(|example| e164(example[1], Region::of(example[0])).as_deref() != Some(example[2]))
            .map(|example| format!("{} {} {} {:?}", example[0], example[1], example[2], e164(example[1], Region::of(example[0]))))
            .collect();
        assert_eq!(differ, ["AR 011 15-2345-6789 +5491123456789 None"], "Argentina's `15` needs its list of area codes");
    }
}
