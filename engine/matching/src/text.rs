//! Plain forms of text: lower case, without accents, ASCII; and how far two of them are apart.

/// The plain form: transliterated to ASCII, lower case, every run of other signs one space.
pub(crate) fn plain(text: &str) -> String {
    let ascii = if text.is_ascii() { std::borrow::Cow::Borrowed(text) } else { deunicode::deunicode(text).into() };
    let mut out = String::with_capacity(ascii.len());
    for letter in ascii.chars() {
        if letter == '\'' || letter == '`' {
            continue;
        }
        if letter.is_ascii_alphanumeric() {
            out.push(letter.to_ascii_lowercase());
        } else if !out.is_empty() && !out.ends_with(' ') {
            out.push(' ');
        }
    }
    out.truncate(out.trim_end().len());
    out
}

/// A hash of bytes (FNV-1a, then mixed): the same on every machine and for ever, since models and indexes keep it.
pub(crate) fn hash(parts: &[&[u8]]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for part in parts {
        for byte in *part {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        hash = (hash ^ 0xff).wrapping_mul(0x0100_0000_01b3);
    }
    mix(hash)
}

/// Spreads the bits of a number (the finaliser of SplitMix64).
pub(crate) fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// Whether one insertion, deletion, substitution or exchange of neighbours makes one the other (a Damerau-Levenshtein distance of
/// at most 1).
pub(crate) fn within_one_edit(a: &[u8], b: &[u8]) -> bool {
    let (a, b) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if b.len() - a.len() > 1 {
        return false;
    }
    let start = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[start..], &b[start..]);
    let end = a.iter().rev().zip(b.iter().rev()).take_while(|(x, y)| x == y).count();
    let (a, b) = (&a[..a.len() - end], &b[..b.len() - end]);
    matches!((a, b), ([] | [_], [] | [_])) || matches!((a, b), ([w, x], [y, z]) if w == z && x == y)
}

/// The similarity of Jaro and Winkler, or 0 where it is below `least`.
pub(crate) fn jaro_winkler(a: &[u8], b: &[u8], least: f64) -> f64 {
    let arguments = rapidfuzz::distance::jaro_winkler::Args::default().score_cutoff(least);
    rapidfuzz::distance::jaro_winkler::similarity_with_args(a.iter().copied(), b.iter().copied(), &arguments).unwrap_or(0.0)
}

/// How a word sounds, roughly: its first letter, then its consonants, alike ones as one, none twice in a row.
pub(crate) fn sound(word: &[u8]) -> [u8; 6] {
    let mut out = [0; 6];
    let mut length = 0;
    let mut last = 0;
    for (place, letter) in word.iter().enumerate() {
        let next = word.get(place + 1).copied().unwrap_or(0);
        let alike = match letter {
            b'p' if next == b'h' => b'f',
            b'v' | b'f' | b'w' => b'f',
            b'c' if matches!(next, b'e' | b'i' | b'y') => b's',
            b'c' | b'k' | b'q' | b'g' => b'k',
            b'x' | b'z' | b's' => b's',
            b'd' | b't' => b't',
            b'm' | b'n' => b'n',
            b'b' | b'p' => b'p',
            b'j' => b'j',
            b'a' | b'e' | b'i' | b'o' | b'u' | b'y' | b'h' | b' ' => {
                last = 0;
                if place == 0 { b'a' } else { continue }
            }
            other => *other,
        };
        if alike == last {
            continue;
        }
        last = alike;
        out[length] = alike;
        length += 1;
        if length == out.len() {
            break;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_forms() {
        let check = |text: &str, want: &str| assert_eq!(plain(text), want, "{text}");
        check("  José  MÜLLER-Lüdenscheidt ", "jose muller ludenscheidt");
        check("O'Brien", "obrien");
        check("Straße 12/a", "strasse 12 a");
        check("Дмитрий", "dmitrii");
        check("…", "");
    }

    #[test]
    fn edits() {
        let check = |a: &str, b: &str, want: bool| {
            assert_eq!(within_one_edit(a.as_bytes(), b.as_bytes()), want, "{a} {b}");
            assert_eq!(within_one_edit(b.as_bytes(), a.as_bytes()), want, "{b} {a}");
        };
        check("anna", "anna", true);
        check("anna", "ana", true);
        check("anna", "anne", true);
        check("anna", "nana", true);
        check("anna", "annabel", false);
        check("19800304", "19800403", false);
        check("abcd", "badc", false);
        check("", "a", true);
    }

    #[test]
    fn similarities_are_those_of_the_textbook() {
        let check = |a: &str, b: &str, want: f64| {
            let found = jaro_winkler(a.as_bytes(), b.as_bytes(), 0.0);
            assert!((found - want).abs() < 0.0001, "{a} {b}: {found}");
        };
        check("martha", "marhta", 0.9611);
        check("dixon", "dicksonx", 0.8133);
        check("dwayne", "duane", 0.8400);
    }

    #[test]
    fn what_sounds_alike_is_alike() {
        let check = |a: &str, b: &str| assert_eq!(sound(a.as_bytes()), sound(b.as_bytes()), "{a} {b}");
        check("meier", "mayer");
        check("stephen", "steven");
        check("schmidt", "schmitt");
        check("philip", "filip");
        check("clark", "klark");
    }
}
