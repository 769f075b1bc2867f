//! What addresses and numbers look like within a text.
//!
//! By hand and not by patterns: what a number is, its check digit and its groups say better. Every finder goes through the text once, and from
//! each place where something may begin looks only as far as the longest such thing is: the time is linear in the text.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::Range;

use crate::Find;

/// Letters of an address before its `@`, and of a domain.
const LOCAL_MAX: usize = 64;
const DOMAIN_MAX: usize = 253;
/// Letters of a phone number with all that stands between its digits.
const PHONE_MAX: usize = 32;
/// Digits of it, by E.164.
const PHONE_DIGITS: std::ops::RangeInclusive<usize> = 8..=15;
const CARD_DIGITS_MAX: usize = 19;
/// The longest IPv6 address in text.
const IP_MAX: usize = 45;

/// Adds where in a text something of a kind is.
pub(crate) fn places(what: Find, text: &str, places: &mut Vec<Range<usize>>) {
    match what {
        Find::Email => emails(text, places),
        Find::Card => each(text, places, |byte| byte.is_ascii_digit(), card),
        Find::Ip => each(text, places, |byte| byte.is_ascii_hexdigit() || byte == b':', ip),
        Find::Phone => each(text, places, |byte| byte.is_ascii_digit() || byte == b'+' || byte == b'(', phone),
    }
}

/// Tries at every place where something may begin: after what is no part of a word. Only ASCII makes words here, since not every script
/// has spaces.
fn each(text: &str, places: &mut Vec<Range<usize>>, begins: fn(u8) -> bool, length: fn(&str) -> Option<usize>) {
    let bytes = text.as_bytes();
    let mut place = 0;
    while place < bytes.len() {
        let is_apart = place == 0 || (!is_word(text[..place].chars().next_back()) && !is_joint(bytes[place - 1]));
        match (begins(bytes[place]) && is_apart).then(|| length(&text[place..])).flatten() {
            Some(length) => {
                places.push(place..place + length);
                place += length;
            }
            None => {
                place += 1;
                while !text.is_char_boundary(place) {
                    place += 1;
                }
            }
        }
    }
}

fn is_word(letter: Option<char>) -> bool {
    letter.is_some_and(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// What ties what follows to what is before it, as in a path or a version.
fn is_joint(byte: u8) -> bool {
    matches!(byte, b'.' | b'-' | b'+')
}

/// Whether what is before ends where the rest begins, and is not the beginning of something longer.
fn ends(rest: &str) -> bool {
    let mut letters = rest.chars();
    let (next, after) = (letters.next(), letters.next());
    !(is_word(next) || matches!(next, Some('-' | '.' | ':')) && is_word(after))
}

fn emails(text: &str, places: &mut Vec<Range<usize>>) {
    let is_local = |letter: char| letter.is_alphanumeric() || matches!(letter, '.' | '_' | '+' | '-' | '\'');
    let is_domain = |letter: char| letter.is_alphanumeric() || matches!(letter, '.' | '-');
    let mut free = 0;
    for (at, sign) in text.match_indices(['@', '%']) {
        let sign = match sign {
            "@" => 1,
            _ if text[at..].starts_with("%40") => 3,
            _ => continue,
        };
        let before = &text[free..at];
        let local: usize = before.chars().rev().take(LOCAL_MAX).take_while(|letter| is_local(*letter)).map(char::len_utf8).sum();
        let local = before[before.len() - local..].trim_start_matches(|letter: char| !letter.is_alphanumeric()).len();
        let after = &text[at + sign..];
        let domain: usize = after.chars().take(DOMAIN_MAX).take_while(|letter| is_domain(*letter)).map(char::len_utf8).sum();
        let domain = after[..domain].trim_end_matches(['.', '-']);
        let is_name = domain.rsplit_once('.').is_some_and(|(above, top)| {
            !above.is_empty() && top.chars().count() >= 2 && top.starts_with(char::is_alphabetic) && !domain.contains("..")
        });
        if local > 0 && is_name {
            free = at + sign + domain.len();
            places.push(at - local..free);
        }
    }
}

/// The longest card number that the text begins with: digits, alone or in groups with a space or a dash between.
fn card(text: &str) -> Option<usize> {
    let mut digits = Vec::with_capacity(CARD_DIGITS_MAX);
    let mut found = None;
    let mut bytes = text.bytes().enumerate().peekable();
    while let Some((place, byte)) = bytes.next() {
        match byte {
            b'0'..=b'9' if digits.len() < CARD_DIGITS_MAX => digits.push(byte - b'0'),
            b' ' | b'-' if bytes.peek().is_some_and(|(_, next)| next.is_ascii_digit()) => continue,
            _ => break,
        }
        let is_last_of_group = !bytes.peek().is_some_and(|(_, next)| next.is_ascii_digit());
        if is_last_of_group && is_card(&digits) && !is_word(text[place + 1..].chars().next()) {
            found = Some(place + 1);
        }
    }
    found
}

fn is_card(digits: &[u8]) -> bool {
    let network = match digits {
        [4, ..] => matches!(digits.len(), 13 | 16 | 19),
        [3, 4 | 7, ..] => digits.len() == 15,
        [3, ..] => matches!(digits.len(), 14 | 16),
        [2 | 5, ..] => digits.len() == 16,
        [6, ..] => matches!(digits.len(), 16..=19),
        _ => false,
    };
    let luhn = digits.iter().rev().enumerate().map(|(place, digit)| match (place % 2, digit * 2) {
        (0, _) => u32::from(*digit),
        (_, twice) => u32::from(twice / 10 + twice % 10),
    });
    network && luhn.sum::<u32>() % 10 == 0
}

fn ip(text: &str) -> Option<usize> {
    let length = text.bytes().take(IP_MAX + 1).take_while(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.')).count();
    let whole = text[..length].trim_end_matches('.');
    // An address of version 4 may have a port behind it.
    let four = whole.split(':').next().unwrap_or_default();
    let found = if four.contains('.') && four.parse::<Ipv4Addr>().is_ok() {
        four
    } else {
        let six = if whole.ends_with("::") { whole } else { whole.trim_end_matches(':') };
        (six.len() > 2 && six.parse::<Ipv6Addr>().is_ok()).then_some(six)?
    };
    let rest = &text[found.len()..];
    (ends(rest) || rest.starts_with(':')).then_some(found.len())
}

fn phone(text: &str) -> Option<usize> {
    let is_between = |byte: u8| matches!(byte, b' ' | b'-' | b'.' | b'/' | b'(' | b')');
    let begins_with_plus = usize::from(text.starts_with('+'));
    let length =
        text.bytes().skip(begins_with_plus).take(PHONE_MAX).take_while(|byte| byte.is_ascii_digit() || is_between(*byte)).count();
    let mut whole = &text[..begins_with_plus + length];
    // What follows may be a year, a price or another number: groups are given up from the end until a number is left.
    while !whole.is_empty() {
        whole = whole.trim_end_matches(|letter: char| !letter.is_ascii_digit());
        if is_phone(whole) && ends(&text[whole.len()..]) {
            return Some(whole.len());
        }
        whole = &whole[..whole.rfind(|letter: char| !letter.is_ascii_digit()).unwrap_or_default()];
    }
    None
}

/// Whether digits and what is between them are in a form in which phone numbers are written, and dates and amounts are not.
fn is_phone(text: &str) -> bool {
    let groups: Vec<usize> =
        text.split(|letter: char| !letter.is_ascii_digit()).map(str::len).filter(|digits| *digits > 0).collect();
    let digits: usize = groups.iter().sum();
    // `--`, `. .`: what is between two groups is one sign, or a parenthesis with a space or a dash beside it.
    let is_loose = ["  ", "--", "..", "//", ". ", " .", " /", "/ "].iter().any(|pair| text.contains(pair));
    if !PHONE_DIGITS.contains(&digits) || is_loose || text.matches('(').count() != text.matches(')').count() {
        return false;
    }
    let is_international = text.starts_with('+') && !text.starts_with("+0") || text.starts_with("00") && !text.starts_with("000");
    // 030 23125001, (030) 231 25 001, 0170/1234567; 01 23 45 67 89.
    let is_national = text.trim_start_matches('(').starts_with('0')
        && !text.trim_start_matches('(').starts_with("00")
        && digits >= 9
        && groups.len() > 1
        && (groups[0] >= 3 || groups.iter().all(|digits| *digits == 2));
    // (415) 555-0132, 415-555-0132.
    let is_american = groups == [3, 3, 4] || groups == [1, 3, 3, 4] && text.starts_with('1');
    is_international || is_national || is_american
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found stands between `<` and `>`.
    fn check(what: Find, marked: &[&str]) {
        for marked in marked {
            let text = marked.replace(['<', '>'], "");
            let mut found = Vec::new();
            places(what, &text, &mut found);
            let mut shown = text.clone();
            for place in found.iter().rev() {
                shown.insert(place.end, '>');
                shown.insert(place.start, '<');
            }
            assert_eq!(shown, *marked);
        }
    }

    #[test]
    fn addresses_are_found() {
        check(
            Find::Email,
            &[
                "<ann@shop.example>",
                "Write to <ann.d+x@shop.co.uk>, or to <o'neill@x-y.example>.",
                "https://x.example/?email=<ann%40shop.example>&b=100%",
                "mailto:<jörg@bücher.example>!",
                "'<ann@shop.example>' (<a@b.de>;<c@d.de>)",
                "<a@b.de>@c.de",
                "ann@localhost, @ann, ann@, ann@1.2, ann@shop..example, a @ b.de",
                "é@",
                "",
            ],
        );
        check(Find::Email, &[&format!("{}@", "a".repeat(100)), &"@".repeat(100), &"%40".repeat(100)]);
    }

    #[test]
    fn cards_are_found_by_their_check_digit() {
        check(
            Find::Card,
            &[
                "<4111111111111111>",
                "card <4111 1111 1111 1111> 12/27",
                "<5555-5555-5555-4444>, <378282246310005>, <6011111111111117>, <30569309025904>",
                "4111111111111112, 1772357400123, 0000000000000000",
                "x4111111111111111, 4111111111111111x, 41111111111111111111111",
                "4111  1111  1111  1111",
                "ü<4111111111111111>",
            ],
        );
    }

    #[test]
    fn addresses_of_machines_are_found() {
        check(
            Find::Ip,
            &[
                "from <203.0.113.7>:443, <10.0.0.1>.",
                "<2001:db8::1> <::1> [<fe80::1>]:80 <::ffff:192.0.2.1>",
                "1.2.3, 1.2.3.4.5, 256.1.1.1, 09:30:00, v1.2.3.4, Vec::new, ::, a:b, 2026-03-01T09:30:00",
                "é<203.0.113.7>",
            ],
        );
    }

    #[test]
    fn phone_numbers_are_found_in_their_usual_forms() {
        check(
            Find::Phone,
            &[
                "<+49 170 1234567>, <+1 (415) 555-0132>, <0049 30 23125001>",
                "call <030 23125001> or <0170/1234567>, <(030) 231 25 001>, <(415) 555-0132>, <415-555-0132>",
                "<01 23 45 67 89>",
                "tel:<+491701234567>;<+33 1 23 45 67 89>, 2026",
                "2026-03-01, 01.03.2026 09:30, 1772357400123, 4711, 12.50, 1 000 000 000, 10 000 000 000, 192.168.0.1",
                "+1, +0 123 456 789, 000 123 456 789, a+491701234567, 030 23125001x, id-030-23125001",
                "12345678901, 0123456789",
            ],
        );
    }

    #[test]
    fn a_long_text_takes_no_longer_than_its_length() {
        for piece in ["1", "1 ", "4111 ", "a@", "+", "(", "0", "1.", ":", "a:", "@", "ü", "%40"] {
            let text = piece.repeat(50_000 / piece.len());
            for what in [Find::Email, Find::Phone, Find::Card, Find::Ip] {
                places(what, &text, &mut Vec::new());
            }
        }
    }
}
