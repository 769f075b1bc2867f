//! Texts, names and identifiers: composed, and without what nobody sees.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};
use weft_plugin::{Json, RawValue, fields};

use crate::Shouted;

/// How deep values inside a trait are looked into: an address book's, not a document's.
const DEPTH_MAX: usize = 8;

/// A text composed and trimmed; borrowed where it is so already.
pub(crate) fn tidy(text: &str) -> Cow<'_, str> {
    let trimmed = text.trim();
    if is_nfc_quick(trimmed.chars()) == IsNormalized::Yes { Cow::Borrowed(trimmed) } else { Cow::Owned(trimmed.nfc().collect()) }
}

/// A JSON value with all its strings tidied, keys left as they are; none where they are so already.
pub(crate) fn tidy_all(json: &str) -> Option<Box<RawValue>> {
    tidy_within(serde_json::from_str(json).ok()?, DEPTH_MAX)
}

fn tidy_within(value: &RawValue, depth: usize) -> Option<Box<RawValue>> {
    match value.get().as_bytes().first()? {
        b'"' => {
            let text = weft_plugin::string(value)?;
            let tidied = tidy(&text);
            (tidied != text).then(|| serde_json::value::to_raw_value(&tidied).ok()).flatten()
        }
        b'{' if depth > 0 => {
            let fields = fields(value)?;
            let changes: Vec<_> = fields.iter().map(|(_, value)| tidy_within(value, depth - 1)).collect();
            changes.iter().any(Option::is_some).then_some(())?;
            let new = fields.iter().zip(&changes).map(|((name, old), new)| (name.as_ref(), new.as_deref().unwrap_or(old)));
            RawValue::from_string(Json::object(new).text().to_owned()).ok()
        }
        b'[' if depth > 0 => {
            let values: Vec<&RawValue> = serde_json::from_str(value.get()).ok()?;
            let changes: Vec<_> = values.iter().map(|value| tidy_within(value, depth - 1)).collect();
            changes.iter().any(Option::is_some).then_some(())?;
            let new: Vec<&RawValue> = values.iter().zip(&changes).map(|(old, new)| new.as_deref().unwrap_or(old)).collect();
            serde_json::value::to_raw_value(&new).ok()
        }
        _ => None,
    }
}

/// A name composed, its white space collapsed, and spoken calmly where that is asked for.
pub(crate) fn name(text: &str, shouted: Shouted) -> String {
    let tidied = tidy(text);
    let collapsed = tidied.split_whitespace().collect::<Vec<_>>().join(" ");
    let shouts =
        collapsed.chars().filter(|letter| letter.is_uppercase()).count() >= 2 && !collapsed.chars().any(char::is_lowercase);
    if shouted == Shouted::Keep || !shouts {
        return collapsed;
    }
    let mut begins = true;
    let calm = collapsed.chars().flat_map(|letter| {
        let spoken: Vec<char> = if begins { vec![letter] } else { letter.to_lowercase().collect() };
        begins = matches!(letter, ' ' | '-' | '\'' | '’' | '.');
        spoken
    });
    calm.collect()
}

/// An identifier without white space, invisible letters and quotes around it; inside it nothing is touched.
pub(crate) fn identifier(text: &str) -> Cow<'_, str> {
    const PAIRS: [(char, char); 8] =
        [('"', '"'), ('\'', '\''), ('“', '”'), ('„', '“'), ('‘', '’'), ('«', '»'), ('»', '«'), ('”', '”')];
    let invisible = |letter: char| {
        letter.is_whitespace() || letter.is_control() || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
    };
    let mut bare = text.trim_matches(invisible);
    while let Some((_, inner)) =
        PAIRS.iter().find_map(|(open, close)| Some((open, bare.strip_prefix(*open)?.strip_suffix(*close)?)))
    {
        bare = inner.trim_matches(invisible);
    }
    if is_nfc_quick(bare.chars()) == IsNormalized::Yes { Cow::Borrowed(bare) } else { Cow::Owned(bare.nfc().collect()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_composed_and_collapsed() {
        let check = |text: &str, kept: &str, calm: &str| {
            assert_eq!(name(text, Shouted::Keep), kept);
            assert_eq!(name(text, Shouted::Capitalize), calm);
        };
        check("  Ann \t Doe ", "Ann Doe", "Ann Doe");
        check("Jo\u{308}rg", "Jörg", "Jörg");
        check("ANN-MARIE O'BRIEN", "ANN-MARIE O'BRIEN", "Ann-Marie O'Brien");
        check("J.R.R. TOLKIEN", "J.R.R. TOLKIEN", "J.R.R. Tolkien");
        check("A", "A", "A");
        check("McDonald", "McDonald", "McDonald");
        check("ЖАННА Д'АРК", "ЖАННА Д'АРК", "Жанна Д'Арк");
        check("山田 太郎", "山田 太郎", "山田 太郎");
        check("", "", "");
    }

    #[test]
    fn identifiers_lose_what_is_around_them() {
        let check = |text: &str, want: &str| assert_eq!(identifier(text), want, "{text:?}");
        check(" ann\u{feff}", "ann");
        check("\u{200b}ann\n", "ann");
        check("“ann”", "ann");
        check("\" 'ann' \"", "ann");
        check("an n", "an n");
        check("\"", "\"");
        check("“”", "");
        check("\u{3000}", "");
        check("O'Neill'", "O'Neill'");
    }

    #[test]
    fn strings_are_tidied_wherever_they_stand() {
        let check = |json: &str, want: Option<&str>| assert_eq!(tidy_all(json).as_deref().map(RawValue::get), want, "{json}");
        check(r#""ok""#, None);
        check("12.50", None);
        check(r#"{"a":[1.50," x "],"b":{"c":"o\u0308"}}"#, Some(r#"{"a":[1.50,"x"],"b":{"c":"ö"}}"#));
        check(&format!("{}\" x\"{}", "[".repeat(9), "]".repeat(9)), None);
        check(&format!("{}{}", "[".repeat(4000), "]".repeat(4000)), None);
    }
}
