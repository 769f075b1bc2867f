//! Names of persons: reading them, and telling how alike two are.
//!
//! A whole name is cut into given names and a family name, since "John D." beside "John Doe" is an initial that fits and beside
//! "Jane Doe" another given name; a similarity over the whole string cannot tell the two apart.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::text::{hash, jaro_winkler, plain, within_one_edit};

/// Words before a name that are not part of it.
const TITLES: [&str; 24] = [
    "mr", "mrs", "ms", "miss", "mx", "dr", "prof", "sir", "dame", "rev", "herr", "frau", "mme", "mlle", "monsieur", "madame",
    "senor", "senora", "sr", "sra", "ing", "dipl", "mag", "phd",
];

/// Words with which a family name of several words begins.
const PARTICLES: [&str; 29] = [
    "van", "von", "der", "den", "de", "del", "della", "di", "da", "dos", "das", "do", "du", "la", "le", "las", "los", "ter",
    "ten", "te", "zu", "zum", "zur", "vom", "bin", "ibn", "al", "el", "af",
];

/// What is typed where a name must be.
const NOBODY: [&str; 10] =
    ["test", "tester", "testing", "testuser", "testkunde", "testmann", "asdf", "qwerty", "mustermann", "musterfrau"];

/// Similarity of Jaro and Winkler from which two names are nearly the same: a slip of the pen.
const NEARLY: f64 = 0.92;
/// Similarity from which two names are alike.
const ALIKE: f64 = 0.80;

static VARIANTS: LazyLock<HashMap<&'static str, Vec<u16>>> = LazyLock::new(|| {
    let mut variants: HashMap<&str, Vec<u16>> = HashMap::new();
    let lines = include_str!("nicknames.txt").lines().filter(|line| !line.starts_with('#'));
    for (group, line) in lines.enumerate() {
        for name in line.split_whitespace() {
            variants.entry(name).or_default().push(group as u16);
        }
    }
    variants
});

/// A name that was read. All parts are plain text, and empty where they are not there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Name {
    /// Given names, the first first.
    pub(crate) given: String,
    /// The family name, particles included.
    pub(crate) family: String,
    /// Senior, junior, the third.
    pub(crate) generation: Option<u8>,
}

/// A name with what an e-mail address tells of it: `pedro.vogel@…` tells the family name of Pedro and of Pedro V., the given name of
/// Vogel, and both of somebody without a name.
pub(crate) fn complete(name: &mut Name, email: &str) {
    let local = email.split('@').next().unwrap_or_default().trim_end_matches(|letter: char| letter.is_ascii_digit());
    let is_name = |part: &str| part.len() > 2 && part.bytes().all(|byte| byte.is_ascii_alphabetic());
    let rest = |known: &str| {
        let rest = match local.strip_prefix(known) {
            Some(rest) => rest.trim_start_matches(SEPARATORS),
            None => local.strip_suffix(known)?.trim_end_matches(SEPARATORS),
        };
        is_name(rest).then(|| rest.to_owned())
    };
    let known = |part: &str| part.len() > 2;
    let first = name.given.split(' ').next().unwrap_or_default();
    if known(first) && name.family.len() <= 1 {
        if let Some(family) = rest(first).filter(|family| family.starts_with(&*name.family)) {
            name.family = family;
        }
    } else if known(&name.family) && first.len() <= 1 {
        if let Some(given) = rest(&name.family).filter(|given| given.starts_with(first)) {
            name.given = given;
        }
    } else if first.is_empty()
        && name.family.is_empty()
        && let Some((given, family)) = local.split_once(SEPARATORS)
        && is_name(given)
        && is_name(family)
    {
        (name.given, name.family) = (given.to_owned(), family.to_owned());
    }
}

/// What stands between the parts of a name in an e-mail address.
const SEPARATORS: [char; 3] = ['.', '_', '-'];

/// Reads a name from its fields: the given names, the family name, and the whole of it, each where there is one.
pub(crate) fn read(given: &str, family: &str, whole: &str) -> Name {
    let (given, family) = (given.trim(), family.trim());
    let part = match (given.is_empty(), family.is_empty()) {
        (false, false) => {
            let (given, first) = without_extras(&plain(given));
            let (family, second) = without_extras(&plain(family));
            return Name { given, family, generation: second.or(first) };
        }
        // A whole name in one of two fields.
        (false, true) => given,
        (true, false) if family.contains([' ', ',']) && whole.trim().is_empty() && !begins_with_particle(family) => family,
        (true, false) if whole.trim().is_empty() => {
            let (family, generation) = without_extras(&plain(family));
            return Name { given: String::new(), family, generation };
        }
        _ => whole,
    };
    if !whole.trim().is_empty() { read_whole(whole) } else { read_whole(part) }
}

fn begins_with_particle(family: &str) -> bool {
    plain(family).split(' ').next().is_some_and(|word| PARTICLES.contains(&word))
}

fn read_whole(whole: &str) -> Name {
    if let Some((family, given)) = whole.split_once(',') {
        let (rest, generation) = without_extras(&plain(given));
        if !rest.is_empty() && generation_of(&rest).is_none() {
            let (family, other) = without_extras(&plain(family));
            return Name { given: rest, family, generation: generation.or(other) };
        }
    }
    let (words, generation) = without_extras(&plain(whole));
    let words: Vec<&str> = words.split(' ').filter(|word| !word.is_empty()).collect();
    let Some((last, before)) = words.split_last() else { return Name { generation, ..Name::default() } };
    if before.is_empty() {
        return Name { given: (*last).to_owned(), family: String::new(), generation };
    }
    let begins = before.iter().skip(1).position(|word| PARTICLES.contains(word)).map_or(before.len(), |place| place + 1);
    Name { given: words[..begins].join(" "), family: words[begins..].join(" "), generation }
}

/// A name without titles and without what tells the generation, and the generation.
fn without_extras(plain: &str) -> (String, Option<u8>) {
    let mut words: Vec<&str> = plain.split(' ').filter(|word| !NOBODY.contains(word)).collect();
    let mut generation = None;
    while words.len() > 1 && TITLES.contains(&words[0]) {
        words.remove(0);
    }
    while words.len() > 1 {
        let last = words[words.len() - 1];
        let told = generation_of(last);
        if told.is_none() && !["phd", "md", "mba", "esq"].contains(&last) {
            break;
        }
        generation = generation.or(told);
        words.pop();
    }
    (words.join(" "), generation)
}

fn generation_of(word: &str) -> Option<u8> {
    match word {
        "sr" | "senior" => Some(1),
        "jr" | "junior" | "jun" | "ii" => Some(2),
        "iii" => Some(3),
        "iv" => Some(4),
        _ => None,
    }
}

/// The full form that a given name stands for, where the table knows one; else the name itself. A key for looking things up, not
/// an equality.
pub(crate) fn root(given: &str) -> u64 {
    let first = given.split(' ').next().unwrap_or_default();
    match VARIANTS.get(first) {
        Some(groups) => hash(&[b"root", &groups[0].to_be_bytes()]),
        None => hash(&[first.as_bytes()]),
    }
}

/// The level of [`crate::field::Ladder::Given`] of two given names.
pub(crate) fn given_level(a: &str, b: &str) -> u8 {
    let (first_a, rest_a) = a.split_once(' ').unwrap_or((a, ""));
    let (first_b, rest_b) = b.split_once(' ').unwrap_or((b, ""));
    if first_a == first_b {
        return match (first_a.len(), middles_fit(rest_a, rest_b)) {
            (1, _) => 2,
            (_, true) => 0,
            _ => 3,
        };
    }
    if first_a.len() == 1 || first_b.len() == 1 {
        return if first_a.as_bytes()[..1] == first_b.as_bytes()[..1] { 2 } else { 6 };
    }
    if let (Some(a), Some(b)) = (VARIANTS.get(first_a), VARIANTS.get(first_b))
        && a.iter().any(|group| b.contains(group))
    {
        return 1;
    }
    let similar = jaro_winkler(first_a.as_bytes(), first_b.as_bytes(), ALIKE);
    let short = first_a.len().min(first_b.len()) < 4;
    if similar >= NEARLY || (!short && within_one_edit(first_a.as_bytes(), first_b.as_bytes())) {
        return 3;
    }
    let words = |name: &'_ str| name.split(' ').filter(|word| word.len() > 2).map(str::to_owned).collect::<Vec<_>>();
    if (!rest_a.is_empty() || !rest_b.is_empty()) && words(a).iter().any(|word| words(b).contains(word)) {
        return 4;
    }
    if similar >= ALIKE { 5 } else { 6 }
}

/// Whether further given names can be of one person: one has none, or the first of them fit.
fn middles_fit(a: &str, b: &str) -> bool {
    let (a, b) = (a.split(' ').next().unwrap_or_default(), b.split(' ').next().unwrap_or_default());
    if a.is_empty() || b.is_empty() || a == b {
        return true;
    }
    if a.len() == 1 || b.len() == 1 {
        return a.as_bytes()[0] == b.as_bytes()[0];
    }
    jaro_winkler(a.as_bytes(), b.as_bytes(), ALIKE) >= ALIKE
}

/// The level of [`crate::field::Ladder::Family`] of two family names.
pub(crate) fn family_level(a: &str, b: &str) -> u8 {
    if a == b {
        return if a.len() == 1 { 2 } else { 0 };
    }
    if a.len() == 1 || b.len() == 1 {
        return if a.as_bytes()[..1] == b.as_bytes()[..1] { 2 } else { 5 };
    }
    if a.contains(' ') || b.contains(' ') {
        if a.bytes().filter(|byte| *byte != b' ').eq(b.bytes().filter(|byte| *byte != b' ')) {
            return 0;
        }
        let (words_a, words_b) = (core(a), core(b));
        if words_a.iter().any(|word| word.len() > 2 && words_b.contains(word)) {
            return 1;
        }
        return spelling_level(words_a.concat().as_bytes(), words_b.concat().as_bytes());
    }
    spelling_level(a.as_bytes(), b.as_bytes())
}

/// The words of a family name that are not particles; all, where there is no other.
fn core(family: &str) -> Vec<&str> {
    let words: Vec<&str> = family.split(' ').filter(|word| !PARTICLES.contains(word)).collect();
    if words.is_empty() { family.split(' ').collect() } else { words }
}

fn spelling_level(a: &[u8], b: &[u8]) -> u8 {
    let similar = jaro_winkler(a, b, ALIKE);
    let short = a.len().min(b.len()) < 4;
    if similar >= NEARLY || (!short && within_one_edit(a, b)) {
        return 3;
    }
    if similar >= ALIKE { 4 } else { 5 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_names_are_cut_into_parts() {
        let check = |whole: &str, given: &str, family: &str| {
            let name = read("", "", whole);
            assert_eq!((&*name.given, &*name.family), (given, family), "{whole}");
        };
        check("John Doe", "john", "doe");
        check("Doe, John D.", "john d", "doe");
        check("Dr. John D. Doe, Jr.", "john d", "doe");
        check("John D.", "john", "d");
        check("Ludwig van der Rohe", "ludwig", "van der rohe");
        check("Van Morrison", "van", "morrison");
        check("Anna", "anna", "");
        check("…", "", "");
    }

    #[test]
    fn names_are_read_from_the_fields_that_there_are() {
        let check = |given: &str, family: &str, whole: &str, want: (&str, &str)| {
            let name = read(given, family, whole);
            assert_eq!((&*name.given, &*name.family), want, "{given}|{family}|{whole}");
        };
        check("John", "Doe", "J. Doe", ("john", "doe"));
        check("John", "", "John Doe", ("john", "doe"));
        check("John Doe", "", "", ("john", "doe"));
        check("", "John Doe", "", ("john", "doe"));
        check("", "van Dyke", "", ("", "van dyke"));
        check("", "Doe", "", ("", "doe"));
        assert_eq!(read("John", "Doe Sr", "").generation, Some(1));
    }

    #[test]
    fn given_names_stand_on_a_ladder() {
        let check = |a: &str, b: &str, want: usize| {
            assert_eq!(given_level(a, b), want as u8, "{a} {b}");
            assert_eq!(given_level(b, a), want as u8, "{b} {a}");
        };
        check("john", "john", 0);
        check("john d", "john", 0);
        check("john d", "john david", 0);
        check("john", "jack", 1);
        check("robert", "bob", 1);
        check("j", "john", 2);
        check("anna maria", "anna luise", 3);
        check("stephany", "stephani", 3);
        check("anna maria", "maria", 4);
        check("john", "jane", 6);
        check("john", "dean", 6);
    }

    #[test]
    fn family_names_stand_on_a_ladder() {
        let check = |a: &str, b: &str, want: usize| {
            assert_eq!(family_level(a, b), want as u8, "{a} {b}");
            assert_eq!(family_level(b, a), want as u8, "{b} {a}");
        };
        check("doe", "doe", 0);
        check("van der berg", "vander berg", 0);
        check("smith jones", "jones", 1);
        check("van berg", "van dyke", 5);
        check("d", "doe", 2);
        check("d", "smith", 5);
        check("schmidt", "schmitt", 3);
        check("smith", "jones", 5);
    }
}
