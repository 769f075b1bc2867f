//! Canonical forms of values that are not names, and their levels: e-mail addresses, telephone numbers, dates, postcodes,
//! streets, text, codes.
//!
//! A form is ASCII. Two values that mean the same have the same form, as far as that can be told without knowing the country.

use crate::text::{jaro_winkler, plain, within_one_edit};

/// What stands in files where nothing should.
const NOTHING: [&str; 14] = [
    "null",
    "none",
    "nil",
    "nan",
    "na",
    "n a",
    "unknown",
    "unbekannt",
    "undefined",
    "missing",
    "not available",
    "no email",
    "anonymous",
    "xxx",
];

/// Local parts of addresses that belong to an office: the same one at another domain says nothing.
const OFFICES: [&str; 18] = [
    "info",
    "contact",
    "office",
    "sales",
    "mail",
    "kontakt",
    "hello",
    "hi",
    "admin",
    "support",
    "shop",
    "service",
    "team",
    "billing",
    "accounts",
    "noreply",
    "webmaster",
    "post",
];

/// Digits at the end of a telephone number that are compared: what is the same however the country and the area are written.
const PHONE_DIGITS: usize = 8;

/// Whether a value stands for there being none.
pub(crate) fn is_nothing(text: &str) -> bool {
    let plain = plain(text);
    plain.is_empty() || NOTHING.contains(&&*plain)
}

/// `local@domain` in lower case, without a tag after `+`, and for Google's mail without dots; none for what has no `@`.
pub(crate) fn email(text: &str) -> Option<String> {
    let text = text.trim().trim_matches(['<', '>']).to_ascii_lowercase();
    let (local, domain) = text.rsplit_once('@')?;
    let local = local.split('+').next().unwrap_or_default();
    if local.is_empty() || domain.is_empty() || !text.is_ascii() {
        return None;
    }
    Some(match domain {
        "gmail.com" | "googlemail.com" => format!("{}@gmail.com", local.replace('.', "")),
        _ => format!("{local}@{domain}"),
    })
}

pub(crate) fn email_level(a: &str, b: &str) -> u8 {
    let (Some((local_a, domain_a)), Some((local_b, domain_b))) = (a.rsplit_once('@'), b.rsplit_once('@')) else { return 3 };
    if local_a == local_b {
        let tells = local_a.len() >= 4 && !OFFICES.contains(&local_a);
        return if domain_a == domain_b {
            0
        } else if tells {
            1
        } else {
            3
        };
    }
    let near = |a: &str, b: &str| within_one_edit(a.as_bytes(), b.as_bytes());
    if domain_a == domain_b && local_a.len().min(local_b.len()) >= 5 && near(local_a, local_b) { 2 } else { 3 }
}

/// The last eight digits, without an extension; none where there are fewer than six.
pub(crate) fn phone(text: &str) -> Option<String> {
    // A number that a spreadsheet has rounded: `1.61291E+10`.
    if text.contains("E+") || text.contains("e+") {
        return None;
    }
    let end = text.find(['x', 'X', 'e', 'E', ';', '/']).unwrap_or(text.len());
    let head = if text[..end].bytes().filter(u8::is_ascii_digit).count() >= 6 { &text[..end] } else { text };
    let digits: String = head.chars().filter(char::is_ascii_digit).collect();
    let digits = digits.trim_start_matches('0');
    let same = digits.bytes().all(|digit| Some(&digit) == digits.as_bytes().first());
    (digits.len() >= 6 && !same).then(|| digits[digits.len().saturating_sub(PHONE_DIGITS)..].to_owned())
}

pub(crate) fn phone_level(a: &str, b: &str) -> u8 {
    let last = |digits: &str| digits.len().checked_sub(7).map(|from| digits[from..].to_owned());
    if a == b {
        0
    } else if last(a).is_some() && last(a) == last(b) {
        1
    } else if within_one_edit(a.as_bytes(), b.as_bytes()) {
        2
    } else {
        3
    }
}

/// `yyyymmdd`, with `00` for a part that is not known. It reads `1980-03-04`, `19800304`, `4.3.1980`, `4-3-1980`, `3/4/1980` (month first,
/// unless that cannot be), `4 March 1980`, `March 4, 1980`, each with a time of day behind it or not.
pub(crate) fn date(text: &str) -> Option<String> {
    let text = text.trim();
    let text =
        text.split(['T', 't']).next().filter(|head| head.len() >= 8 && head.as_bytes()[0].is_ascii_digit()).unwrap_or(text);
    let mut numbers: Vec<(u32, usize)> = Vec::new();
    let mut named = None;
    let slash = text.contains('/');
    for word in text.split(|letter: char| !letter.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        match word.trim_end_matches(|letter: char| letter.is_ascii_alphabetic()).parse::<u32>() {
            Ok(number) if numbers.len() < 3 => numbers.push((number, word.len())),
            Ok(_) => (),
            Err(_) => named = named.or_else(|| month(word)),
        }
    }
    let plausible = |year: u32, month: u32, day: u32| {
        ((1850..=2100).contains(&year) && month <= 12 && day <= 31).then(|| format!("{year:04}{month:02}{day:02}"))
    };
    if let Some(month) = named {
        let year = numbers.iter().find(|(_, digits)| *digits == 4)?.0;
        let day = numbers.iter().find(|(number, digits)| *digits <= 4 && *number <= 31).map_or(0, |(number, _)| *number);
        return plausible(year, month, day);
    }
    match *numbers {
        [(whole, 8)] => plausible(whole / 10_000, whole / 100 % 100, whole % 100),
        [(year, 4)] => plausible(year, 0, 0),
        [(year, 4), (month, _)] => plausible(year, month, 0),
        [(year, 4), (a, _), (b, _)] => plausible(year, a, b).or_else(|| plausible(year, b, a)),
        [(a, _), (b, _), (year, 2 | 4)] => {
            let year = match year {
                0..=25 => 2000 + year,
                26..=99 => 1900 + year,
                _ => year,
            };
            let (first, second) = if slash { (a, b) } else { (b, a) };
            plausible(year, first, second).or_else(|| plausible(year, second, first))
        }
        _ => None,
    }
}

/// The number of an English or German month by the first three letters of its name.
fn month(word: &str) -> Option<u32> {
    const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let word = word.to_ascii_lowercase();
    let place = MONTHS.iter().position(|month| word.starts_with(month)).or(match word.get(..3) {
        Some("mai") => Some(4),
        Some("okt") => Some(9),
        Some("dez") => Some(11),
        Some("mrz") => Some(2),
        _ => None,
    });
    place.map(|place| place as u32 + 1)
}

pub(crate) fn date_level(a: &str, b: &str) -> u8 {
    if a == b {
        return 0;
    }
    let part = |date: &str, from, to| date.get(from..to).unwrap_or_default().to_owned();
    let parts = |date: &str| [part(date, 0, 4), part(date, 4, 6), part(date, 6, 8)];
    let ([year_a, month_a, day_a], [year_b, month_b, day_b]) = (parts(a), parts(b));
    let known = [&month_a, &day_a, &month_b, &day_b].iter().all(|part| **part != "00");
    if !known {
        return if year_a == year_b { 3 } else { 4 };
    }
    if within_one_edit(a.as_bytes(), b.as_bytes()) || (year_a == year_b && month_a == day_b && day_a == month_b) {
        return 1;
    }
    let equal = [year_a == year_b, month_a == month_b, day_a == day_b].iter().filter(|same| **same).count();
    if equal == 2 {
        2
    } else if year_a == year_b {
        3
    } else {
        4
    }
}

/// Letters and digits without spaces; of nine digits (`12345-6789`) the first five.
pub(crate) fn postcode(text: &str) -> Option<String> {
    let code: String = plain(text).chars().filter(|letter| *letter != ' ').collect();
    let zip = code.len() == 9 && code.bytes().all(|byte| byte.is_ascii_digit());
    (code.len() >= 3).then(|| if zip { code[..5].to_owned() } else { code })
}

pub(crate) fn postcode_level(a: &str, b: &str) -> u8 {
    let area = |code: &str| code[..code.len().div_ceil(2)].to_owned();
    if a == b {
        0
    } else if within_one_edit(a.as_bytes(), b.as_bytes()) {
        1
    } else if area(a) == area(b) {
        2
    } else {
        3
    }
}

/// `number|words`: the house number, and the street in plain words with what is usually abbreviated abbreviated.
pub(crate) fn address(text: &str) -> Option<String> {
    let plain = plain(text);
    let mut number = "";
    let mut words: Vec<String> = Vec::new();
    for word in plain.split(' ') {
        if word.as_bytes().first().is_some_and(u8::is_ascii_digit) {
            if number.is_empty() {
                number = word;
            }
            continue;
        }
        let short = match word {
            "street" | "str" | "strasse" => "st",
            "road" => "rd",
            "avenue" | "av" => "ave",
            "boulevard" => "blvd",
            "drive" => "dr",
            "lane" => "ln",
            "court" => "ct",
            "place" | "platz" => "pl",
            "square" => "sq",
            "apt" | "apartment" | "unit" | "flat" | "no" | "nr" => continue,
            other => other,
        };
        words.push(match short.strip_suffix("strasse").or_else(|| short.strip_suffix("str")).filter(|stem| stem.len() > 2) {
            Some(stem) => format!("{stem}st"),
            None => short.to_owned(),
        });
    }
    let words = words.join(" ");
    (!words.is_empty() || !number.is_empty()).then(|| format!("{number}|{words}"))
}

pub(crate) fn address_level(a: &str, b: &str) -> u8 {
    if a == b {
        return 0;
    }
    let (number_a, street_a) = a.split_once('|').unwrap_or(("", a));
    let (number_b, street_b) = b.split_once('|').unwrap_or(("", b));
    let alike = street_a == street_b || jaro_winkler(street_a.as_bytes(), street_b.as_bytes(), 0.9) > 0.0;
    if !alike {
        return 3;
    }
    let missing = number_a.is_empty() || number_b.is_empty();
    if missing || within_one_edit(number_a.as_bytes(), number_b.as_bytes()) && (number_a == number_b || street_a == street_b) {
        1
    } else {
        2
    }
}

pub(crate) fn text(text: &str) -> Option<String> {
    Some(plain(text)).filter(|plain| !plain.is_empty())
}

pub(crate) fn text_level(a: &str, b: &str) -> u8 {
    let near = || {
        let short = a.len().min(b.len()) < 4;
        let (less, more) = if a.len() < b.len() { (a, b) } else { (b, a) };
        (!short && within_one_edit(a.as_bytes(), b.as_bytes()))
            || jaro_winkler(a.as_bytes(), b.as_bytes(), 0.92) > 0.0
            || less.split(' ').all(|word| more.split(' ').any(|other| other == word))
    };
    if a == b {
        0
    } else if near() {
        1
    } else {
        2
    }
}

/// Letters and digits alone.
pub(crate) fn code(text: &str) -> Option<String> {
    let code: String = plain(text).chars().filter(|letter| *letter != ' ').collect();
    (!code.is_empty()).then_some(code)
}

pub(crate) fn code_level(a: &str, b: &str) -> u8 {
    if a == b {
        0
    } else if a.len().min(b.len()) >= 6 && within_one_edit(a.as_bytes(), b.as_bytes()) {
        1
    } else {
        2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_however_they_are_written() {
        let check = |text: &str, want: Option<&str>| assert_eq!(date(text).as_deref(), want, "{text}");
        check("1980-03-04", Some("19800304"));
        check("1980-03-04T00:00:00Z", Some("19800304"));
        check("1980-03-04 00:00:00", Some("19800304"));
        check("19800304", Some("19800304"));
        check("4.3.1980", Some("19800304"));
        check("04-03-1980", Some("19800304"));
        check("3/4/1980", Some("19800304"));
        check("25/12/1980", Some("19801225"));
        check("4 March 1980", Some("19800304"));
        check("March 4th, 1980", Some("19800304"));
        check("4.3.80", Some("19800304"));
        check("1980", Some("19800000"));
        check("1980-03", Some("19800300"));
        check("soon", None);
        check("99999999", None);
    }

    #[test]
    fn dates_stand_on_a_ladder() {
        let check = |a: &str, b: &str, want: u8| assert_eq!((date_level(a, b), date_level(b, a)), (want, want), "{a} {b}");
        check("19800304", "19800304", 0);
        check("19800304", "19800403", 1);
        check("19800304", "19800305", 1);
        check("19800304", "19810304", 1);
        check("19800304", "19800326", 2);
        check("19800304", "19801126", 3);
        check("19800304", "19800000", 3);
        check("19800304", "19751126", 4);
    }

    #[test]
    fn numbers_are_the_same_however_they_are_dialled() {
        let check = |a: &str, b: &str, want: u8| {
            let (a, b) = (phone(a).expect("a number"), phone(b).expect("a number"));
            assert_eq!(phone_level(&a, &b), want, "{a} {b}");
        };
        check("+49 30 123456", "030 / 123456", 0);
        check("(212) 555-1234", "+1 212 555 1234 x12", 0);
        check("2125551234", "2135551234", 1);
        check("2125551234", "2125551243", 2);
        check("2125551234", "2129991234", 3);
        assert_eq!(phone("none"), None);
        assert_eq!(phone("000000000"), None);
    }

    #[test]
    fn addresses_of_mail_stand_on_a_ladder() {
        let check = |a: &str, b: &str, want: u8| {
            let (a, b) = (email(a).expect("an address"), email(b).expect("an address"));
            assert_eq!(email_level(&a, &b), want, "{a} {b}");
        };
        check("Ann.Doe@x.example", "ann.doe+news@X.example", 0);
        check("a.n.n@googlemail.com", "ann@gmail.com", 0);
        check("ann.doe@x.example", "ann.doe@y.example", 1);
        check("info@x.example", "info@y.example", 3);
        check("ann.doe@x.example", "ann.dow@x.example", 2);
        check("ann.doe@x.example", "bob@x.example", 3);
        assert_eq!(email("nobody"), None);
    }

    #[test]
    fn streets_are_the_same_however_they_are_shortened() {
        let check = |a: &str, b: &str, want: u8| {
            let (a, b) = (address(a).expect("a street"), address(b).expect("a street"));
            assert_eq!(address_level(&a, &b), want, "{a} {b}");
        };
        check("12 Main Street", "Main St. 12", 0);
        check("Hauptstraße 7", "Hauptstr. 7", 0);
        check("12 Main St", "12 Mian St", 1);
        check("12 Main St", "13 Main St", 1);
        check("12 Main St", "345 Main St", 2);
        check("12 Main St", "12 Oak Ave", 3);
    }

    #[test]
    fn postcodes_stand_on_a_ladder() {
        assert_eq!(postcode("SW1A 1AA").as_deref(), Some("sw1a1aa"));
        assert_eq!(postcode("12345-6789").as_deref(), Some("12345"));
        assert_eq!(postcode_level("53111", "53111"), 0);
        assert_eq!(postcode_level("53111", "53113"), 1);
        assert_eq!(postcode_level("53111", "53198"), 2);
        assert_eq!(postcode_level("53111", "10115"), 3);
    }

    #[test]
    fn what_stands_for_nothing_is_nothing() {
        for text in ["", " ", "N/A", "null", "-", "Unknown"] {
            assert!(is_nothing(text), "{text}");
        }
        assert!(!is_nothing("Nan Smith"));
    }
}
