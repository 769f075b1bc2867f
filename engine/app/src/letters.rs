//! Dead letters, to be looked at: some of them in the order in which they came, or one with all its bytes.
//!
//! What a stage could not take waits in state with the reason; its bytes are mostly in history, and are read from there. A letter whose
//! place in history is not durable yet is not shown. Nothing here changes a letter. Who shows them is [`crate::api`], and `weft dlq`
//! where no engine runs.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use weft_domain::event::{Event, is_too_deep};
use weft_domain::input::{Input, event_json};
use weft_domain::value::{Excerpt, Timestamp};
use weft_domain::view::{Letter, LetterBytes, Read, View};
use weft_store::log::{LogReader, TOMBSTONE};
use weft_store::overlay::Overlay;

use crate::limits;

/// The id of a dead letter: the place in history from which it follows, and which of those that follow from there it is. As text
/// `1204-0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(with = "String")]
pub struct Id(pub u64, pub u32);

/// Which dead letters are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Those of this stage.
    pub stage: Option<String>,
    /// Those with this code.
    pub code: Option<String>,
    /// Those that were set aside then or later: a time of RFC 3339. One of which nobody noted the time is older than all others.
    pub since: Option<Timestamp>,
    /// Those that were set aside before.
    pub until: Option<Timestamp>,
    /// Those after this one.
    pub after: Option<Id>,
    /// So many at most; [`limits::LETTERS_SHOWN`] unless it is said, and never more than [`limits::LETTERS_SHOWN_MAX`].
    pub limit: Option<usize>,
}

/// Some dead letters, the oldest first.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct List {
    /// The letters.
    pub letters: Vec<Shown>,
    /// Where there may be more: what `after` must be to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Id>,
}

/// A dead letter.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Shown {
    /// Its id.
    pub id: Id,
    /// The stage that gave up.
    pub stage: String,
    /// A stable code.
    pub code: String,
    /// For people.
    pub message: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was set aside. Versions before this one did not note it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_aside: Option<Timestamp>,
    /// Whether it is on its way to the destination again: it waits until that has come to an end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub again: bool,
    /// When the engine received it, where the original is an event and so says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<Timestamp>,
    /// What the stage could not take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<Original>,
    /// Why the original is not here, where it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

/// What a stage could not take: in the first of these forms that keeps every byte of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Original {
    /// How many bytes it has as a whole.
    pub bytes: usize,
    /// A JSON object or list, nested no deeper than an event may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub json: Option<Box<RawValue>>,
    /// Any other UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Anything else, in base64 (RFC 4648, section 4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base64: Option<String>,
    /// Whether this is only its beginning.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shortened: bool,
}

/// The dead letters that are asked for. `look` is a short look at state.
///
/// # Errors
/// [`weft_domain::view::ViewError`], where state cannot be read.
pub fn list<G: Deref<Target = Overlay>>(look: impl Fn() -> G, history: &LogReader, asked: &Asked) -> Read<List> {
    let limit = asked.limit.unwrap_or(limits::LETTERS_SHOWN).clamp(1, limits::LETTERS_SHOWN_MAX);
    let durable = history.durable_end();
    let (mut letters, mut bytes_read, mut looked_at) = (Vec::new(), 0, 0);
    let mut last = asked.after;
    loop {
        let Some(from) = last.map_or(Some((0, 0)), Id::following) else { return Ok(List { letters, next: None }) };
        let found = look().letters(from, limits::LETTERS_LOOKED_AT_ONCE)?;
        for ((position, ordinal), letter) in &found {
            if *position >= durable {
                return Ok(List { letters, next: None });
            }
            if asked.wants(letter) {
                if letters.len() == limit || bytes_read > limits::LETTERS_BYTES_READ_MAX {
                    return Ok(List { letters, next: last });
                }
                let id = Id(*position, *ordinal);
                let again = is_on_its_way(&*look(), id, letter)?;
                let shown = show((id, again), letter, history, limits::LETTER_BYTES_SHOWN_MAX);
                bytes_read += shown.original.as_ref().map_or(0, |original| original.bytes);
                letters.push(shown);
            }
            last = Some(Id(*position, *ordinal));
        }
        looked_at += found.len();
        if found.len() < limits::LETTERS_LOOKED_AT_ONCE {
            return Ok(List { letters, next: None });
        }
        if looked_at >= limits::LETTERS_LOOKED_AT_MAX {
            return Ok(List { letters, next: last });
        }
    }
}

/// A dead letter with all its bytes, where there is one of this id. `look` as for [`list`].
///
/// # Errors
/// [`weft_domain::view::ViewError`], where state cannot be read.
pub fn find<G: Deref<Target = Overlay>>(look: impl Fn() -> G, history: &LogReader, id: Id) -> Read<Option<Shown>> {
    let letter = look().letter((id.0, id.1))?.filter(|_| id.0 < history.durable_end());
    let Some(letter) = letter else { return Ok(None) };
    let again = is_on_its_way(&*look(), id, &letter)?;
    Ok(Some(show((id, again), &letter, history, usize::MAX)))
}

/// Whether a letter's event is on its way to the destination again.
pub(crate) fn is_on_its_way(view: &impl View, id: Id, letter: &Letter) -> Read<bool> {
    let LetterBytes::Event(position) = letter.bytes else { return Ok(false) };
    Ok(view.again(&letter.stage, position)?.is_some_and(|again| again.letter == (id.0, id.1)))
}

fn show((id, again): (Id, bool), letter: &Letter, history: &LogReader, bytes_max: usize) -> Shown {
    let Letter { stage, code, message, attempts, at, bytes } = letter.clone();
    let read = original(history, bytes);
    let (received, original, missing) = match read {
        Ok(bytes) => (received(&letter.bytes, &bytes), Some(Original::of(&bytes, bytes_max)), None),
        Err(missing) => (None, None, Some(missing)),
    };
    Shown { id, stage, code, message, attempts, set_aside: at, again, received, original, missing }
}

/// The bytes of a dead letter, or why they are not there.
fn original(history: &LogReader, bytes: LetterBytes) -> Result<Vec<u8>, String> {
    let position = match bytes {
        LetterBytes::Here(text) => return Ok(text.into_bytes()),
        LetterBytes::Record(position) | LetterBytes::Event(position) => position,
    };
    let record = history.record(position).map_err(|error| error.to_string())?;
    if record.kind == TOMBSTONE {
        return Err(erased(position));
    }
    if let Some(json) = event_json(record.kind, &record.bytes) {
        return Ok(json.to_vec());
    }
    match Input::decode(record.kind, &record.bytes) {
        Ok(Input::DeadLetter(letter)) => Ok(letter.bytes),
        Ok(_) => Err(format!("record {position} of history is something else")),
        Err(unreadable) => Err(format!("record {position} of history: {unreadable}")),
    }
}

/// Why the bytes of a record are not there.
pub(crate) fn erased(position: u64) -> String {
    format!("record {position} of history was erased")
}

/// When an event was received. Of anything else nobody noted it, and a sender's own word for it would be worth nothing.
fn received(place: &LetterBytes, bytes: &[u8]) -> Option<Timestamp> {
    match place {
        LetterBytes::Here(_) => None,
        LetterBytes::Record(_) | LetterBytes::Event(_) => Event::parse(bytes).ok()?.received,
    }
}

impl Asked {
    /// Whether only some of them are asked for.
    #[must_use]
    pub fn is_narrow(&self) -> bool {
        *self != Asked { limit: self.limit, ..Asked::default() }
    }

    fn wants(&self, letter: &Letter) -> bool {
        self.stage.as_ref().is_none_or(|stage| *stage == letter.stage)
            && self.code.as_ref().is_none_or(|code| *code == letter.code)
            && self.since.is_none_or(|since| letter.at.is_some_and(|at| at >= since))
            && self.until.is_none_or(|until| letter.at.is_none_or(|at| at < until))
    }
}

impl Original {
    /// Bytes as they are shown, at most so many of them.
    fn of(bytes: &[u8], max: usize) -> Self {
        let shortened = bytes.len() > max;
        let whole = Original { bytes: bytes.len(), shortened, ..Original::default() };
        match std::str::from_utf8(bytes) {
            Ok(text) if shortened => Original { text: Some(text[..text.floor_char_boundary(max)].to_owned()), ..whole },
            Ok(text) => match embedded(text) {
                Some(json) => Original { json: Some(json), ..whole },
                None => Original { text: Some(text.to_owned()), ..whole },
            },
            Err(_) => Original { base64: Some(STANDARD.encode(&bytes[..bytes.len().min(max)])), ..whole },
        }
    }

    /// The bytes again; of a shortened one their beginning.
    ///
    /// # Errors
    /// In words, where this was not written by [`Original::of`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, String> {
        match self {
            Original { json: Some(json), .. } => Ok(json.get().as_bytes().to_vec()),
            Original { text: Some(text), .. } => Ok(text.as_bytes().to_vec()),
            Original { base64: Some(base64), .. } => STANDARD.decode(base64).map_err(|error| error.to_string()),
            _ => Err("the original has no form".into()),
        }
    }
}

/// A text as JSON that can stand in an answer: one that every reader of the answer can read, and of which no byte is lost.
fn embedded(text: &str) -> Option<Box<RawValue>> {
    let is_nested = text.starts_with('{') && text.ends_with('}') || text.starts_with('[') && text.ends_with(']');
    if !is_nested || is_too_deep(text.as_bytes()) || serde_json::from_str::<serde_json::Value>(text).is_err() {
        return None;
    }
    RawValue::from_string(text.to_owned()).ok()
}

impl Id {
    /// The first that may come after it.
    fn following(self) -> Option<(u64, u32)> {
        let Id(position, ordinal) = self;
        ordinal.checked_add(1).map(|ordinal| (position, ordinal)).or(position.checked_add(1).map(|position| (position, 0)))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}

impl FromStr for Id {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('-').and_then(|(position, ordinal)| Some(Id(position.parse().ok()?, ordinal.parse().ok()?)));
        // One letter has one name: no signs, no zeros in front.
        parts
            .filter(|id| id.to_string() == text)
            .ok_or_else(|| format!("`{}` is not the id of a dead letter, such as 1204-0", Excerpt(text)))
    }
}

impl Serialize for Id {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        std::borrow::Cow::<'de, str>::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_and_have_one_spelling() {
        let check = |text: &str, want: Option<Id>| assert_eq!(text.parse().ok(), want, "{text}");
        check("0-0", Some(Id(0, 0)));
        check("1204-3", Some(Id(1_204, 3)));
        check("18446744073709551615-4294967295", Some(Id(u64::MAX, u32::MAX)));
        for text in ["", "1", "1-", "-1", "1-2-3", "+1-0", "01-0", "1-00", " 1-0", "1-4294967296", "18446744073709551616-0"] {
            check(text, None);
        }
        assert_eq!(Id(7, u32::MAX).following(), Some((8, 0)));
        assert_eq!(Id(u64::MAX, u32::MAX).following(), None);
    }

    #[test]
    fn an_original_is_shown_in_a_form_that_keeps_every_byte() {
        let check = |bytes: &[u8], want: &str| {
            let original = Original::of(bytes, usize::MAX);
            let json = serde_json::to_string(&original).expect("serialises");
            assert_eq!(json, format!(r#"{{"bytes":{},{want}}}"#, bytes.len()));
            let read: Original = serde_json::from_str(&json).expect("reads back");
            assert_eq!(read.to_bytes().as_deref(), Ok(bytes));
        };
        check(b"{ \"a\": 1.0,\n \"a\": 2 }", "\"json\":{ \"a\": 1.0,\n \"a\": 2 }");
        check(b"[]", r#""json":[]"#);
        check(b"{} ", r#""text":"{} ""#);
        check(b"null", r#""text":"null""#);
        check(b"", r#""text":"""#);
        check(b"{\"a\":", r#""text":"{\"a\":""#);
        check("grün\0".as_bytes(), r#""text":"grün\u0000""#);
        check(b"[1e999]", r#""text":"[1e999]""#);
        check(b"\xff\x00", r#""base64":"/wA=""#);
        let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
        check(deep.as_bytes(), &format!(r#""text":"{deep}""#));
    }

    #[test]
    fn a_long_original_is_cut_between_letters() {
        let check = |bytes: &[u8], max: usize, want: &[u8]| {
            let original = Original::of(bytes, max);
            assert!(original.shortened && original.bytes == bytes.len(), "{original:?}");
            assert_eq!(original.to_bytes().as_deref(), Ok(want));
        };
        check("grün".as_bytes(), 3, b"gr");
        check(b"[1,2,3]", 6, b"[1,2,3");
        check(b"\xff\xfe\xfd", 2, b"\xff\xfe");
    }
}
