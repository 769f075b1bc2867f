//! Attributes: what a customer's events come to, such as what somebody has spent.
//!
//! An [`Attribute`] is a name and a [`Meaning`]: a calculation over the events that it selects. What the events of one claim come to is
//! kept in [`Tally`]s, which can be merged in any order; a customer's value is the merger of the claims' tallies, made when somebody asks.
//! So a merge of customers adds nothing up, an undone one leaves nothing behind, and a late event changes one tally (invariant 6).
//!
//! A tally is found by claim, by the hash of the meaning ([`AttributeId`]) and by a stretch of time: an attribute that is only renamed keeps its
//! tallies, one that means something else begins anew. `attribute/part.rs` has what is calculated, `attribute/tally.rs` how it is kept over
//! time, `attribute/sum.rs` exact sums. Who reads and writes tallies is [`crate::measure`].

mod part;
mod standing;
mod sum;
mod tally;

use std::fmt;

use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};
use weft_conditions::Condition;

pub use self::part::{Effect, Mark, Part, Unusable};
pub use self::standing::{Pass, Place, Standing, Standings, Stretches};
pub use self::sum::Sum;
pub use self::tally::Tally;

use crate::claim::fingerprint;
use crate::document::Document;
use crate::event::{Event, Kind};
use crate::limits;
use crate::path::Path;
use crate::value::{Json, Timestamp};

/// An attribute of customers. Two of the same meaning share what is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Attribute {
    /// What it is called in profiles.
    pub name: String,
    /// Whether it is the value of a trait of this name, and not an attribute.
    pub is_trait: bool,
    /// What it means.
    pub meaning: Meaning,
    /// The hash of its meaning.
    pub id: AttributeId,
}

/// An attribute as a plan in history has it.
#[derive(Clone, Serialize, Deserialize)]
struct Written {
    name: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_trait: bool,
    meaning: Meaning,
}

impl From<Written> for Attribute {
    fn from(Written { name, is_trait, meaning }: Written) -> Self {
        Attribute { name, is_trait, id: meaning.id(), meaning }
    }
}

impl From<Attribute> for Written {
    fn from(Attribute { name, is_trait, meaning, .. }: Attribute) -> Self {
        Written { name, is_trait, meaning }
    }
}

/// A meaning by its hash: 64 bits of a SHA-256. Of the two hundred that a workspace may have, two meet with a probability of 1 in 10¹⁵.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttributeId(pub u64);

impl fmt::Display for AttributeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for AttributeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AttributeId({self})")
    }
}

/// What an attribute means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meaning {
    /// What is calculated.
    pub calculation: Calculation,
    /// Of what.
    #[serde(default, skip_serializing_if = "Of::is_nothing")]
    pub of: Of,
    /// The names of the events that count, sorted; empty for all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
    /// The type of the events that count; none for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// What else must be true of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
    /// When they must have occurred.
    #[serde(default)]
    pub window: Window,
}

/// What is calculated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Calculation {
    /// How many events there are; of something, how many values.
    Count,
    /// The exact sum of numbers.
    Sum,
    /// The smallest number.
    Min,
    /// The largest number.
    Max,
    /// The mean of numbers, to ten decimals, half to even.
    Average,
    /// The value that occurs most often; of several, that which was seen last.
    MostFrequent,
    /// How many different values there are.
    UniqueCount,
    /// The different values, those seen last.
    UniqueList {
        /// So many at most.
        at_most: u32,
    },
    /// The value of the earliest event.
    First,
    /// The value of the latest event.
    Last,
    /// When the earliest event occurred.
    FirstAt,
    /// When the latest event occurred.
    LastAt,
    /// Days in a row, with an event each.
    Streak {
        /// Which days in a row.
        of: Streak,
        /// Where days begin.
        zone: Zone,
    },
    /// The latest value of the source that is trusted most.
    MostTrusted {
        /// Sources, the most trusted first. Others are trusted less than these, and all alike.
        sources: Vec<String>,
    },
    /// The values of the latest events, the earliest first.
    List {
        /// So many at most.
        at_most: u32,
    },
}

/// Which days in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Streak {
    /// Those that go on to this day, or to the day before.
    Current,
    /// The most that there ever were.
    Longest,
}

/// What a calculation takes from an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Of {
    /// The event as such.
    #[default]
    Nothing,
    /// The values at a path.
    Path(Path),
    /// The trait of this name; of a list, each element where the calculation keeps several values.
    Trait(String),
}

impl Of {
    fn is_nothing(&self) -> bool {
        *self == Of::Nothing
    }
}

/// When events must have occurred to count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// Ever.
    #[default]
    Ever,
    /// Less than so many milliseconds ago: at exactly so many they count no more.
    Within(i64),
    /// Then or later.
    Since(Timestamp),
}

/// A time zone by its IANA name. Its rules are those that this program was built with.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

impl TryFrom<String> for Zone {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let zone = TimeZoneDatabase::bundled().get(&name).map_err(|error| error.to_string())?;
        Ok(Zone { name, zone })
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.name
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl Zone {
    /// The day of an instant by the calendar on the wall, counted from 1970-01-01.
    #[must_use]
    pub fn day(&self, at: Timestamp) -> i32 {
        let Ok(instant) = jiff::Timestamp::from_millisecond(at.0) else { return 0 };
        let offset_ms = i64::from(self.zone.to_offset(instant).seconds()) * 1_000;
        i32::try_from((at.0.saturating_add(offset_ms)).div_euclid(DAY_MS)).unwrap_or(0)
    }

    /// When a day begins.
    #[must_use]
    pub fn begin(&self, day: i32) -> Timestamp {
        let shown = jiff::civil::date(1970, 1, 1).saturating_add(jiff::Span::new().days(day)).at(0, 0, 0, 0);
        let at = self.zone.to_ambiguous_timestamp(shown).compatible();
        Timestamp(at.map_or(i64::MAX, jiff::Timestamp::as_millisecond))
    }
}

const DAY_MS: i64 = 86_400_000;

impl Attribute {
    /// An attribute of this meaning.
    #[must_use]
    pub fn new(name: impl Into<String>, meaning: Meaning) -> Self {
        Attribute { name: name.into(), is_trait: false, id: meaning.id(), meaning }
    }

    /// What a trait says where more decides than the latest event.
    #[must_use]
    pub fn of_trait(name: impl Into<String>, calculation: Calculation) -> Self {
        let name = name.into();
        let of = Of::Trait(name.clone());
        let meaning = Meaning { calculation, of, events: Vec::new(), kind: None, condition: None, window: Window::default() };
        Attribute { is_trait: true, ..Attribute::new(name, meaning) }
    }
}

impl Meaning {
    fn id(&self) -> AttributeId {
        AttributeId(fingerprint(&serde_json::to_string(self).expect("a meaning has string keys")))
    }

    /// Whether an event counts, as far as can be seen without opening it.
    #[must_use]
    pub fn selects(&self, event: &Event) -> bool {
        let named = || event.name.as_ref().is_some_and(|name| self.events.binary_search(name).is_ok());
        let told = || if let Of::Trait(name) = &self.of { event.traits.contains_key(name) } else { true };
        self.kind.is_none_or(|kind| kind == event.kind) && (self.events.is_empty() || named()) && told()
    }

    /// What there is to say where no event counts: nothing at all, or that there are none.
    #[must_use]
    pub fn of_nothing(&self) -> Option<Json> {
        match self.calculation {
            Calculation::Count | Calculation::Sum | Calculation::UniqueCount | Calculation::Streak { .. } => {
                Json::parse("0").ok()
            }
            _ => None,
        }
    }

    /// Whether what it comes to can change without an event.
    #[must_use]
    pub fn changes_by_itself(&self) -> bool {
        matches!(self.window, Window::Within(_)) || matches!(self.calculation, Calculation::Streak { of: Streak::Current, .. })
    }

    /// What an event contributes: its values as parts, in their order, and how many values could not be used.
    #[must_use]
    pub fn parts(&self, document: &Document<'_>, event: &Event, mark: &Mark) -> (Vec<Part>, u64) {
        if self.condition.as_ref().is_some_and(|condition| !condition.is_met(document.fields())) {
            return (Vec::new(), 0);
        }
        let (mut parts, mut unusable, mut ordinal) = (Vec::new(), 0, 0);
        let mut take = |value: Option<&str>| {
            if parts.len() >= limits::ATTRIBUTE_VALUES_MAX {
                unusable += 1;
                return;
            }
            match Part::of(&self.calculation, value, Mark { ordinal, ..mark.clone() }) {
                Ok(part) => parts.push(part),
                Err(Unusable) => unusable += 1,
            }
            ordinal += 1;
        };
        match &self.of {
            Of::Nothing => take(None),
            Of::Path(path) => path.visit(document, &mut |value| take(Some(value.get()))),
            Of::Trait(name) => {
                let Some(value) = event.traits.get(name) else { return (parts, unusable) };
                let several = matches!(self.calculation, Calculation::List { .. } | Calculation::UniqueList { .. });
                match value.elements().filter(|_| several) {
                    Some(elements) => elements.iter().for_each(|element| take(Some(element.text()))),
                    None if value.is_null() && self.calculation == Calculation::First => (),
                    None => take(Some(value.text())),
                }
            }
        }
        (parts, unusable)
    }
}

impl Window {
    /// The stretch of time in which an instant is kept.
    #[must_use]
    pub fn stretch(self, occurred: Timestamp) -> i64 {
        match self {
            Window::Within(ms) => occurred.0.div_euclid(Self::length(ms)),
            Window::Ever | Window::Since(_) => 0,
        }
    }

    /// Where a stretch begins, in milliseconds.
    fn begin(self, stretch: i64) -> i64 {
        if let Window::Within(ms) = self { stretch.saturating_mul(Self::length(ms)) } else { 0 }
    }

    fn length(ms: i64) -> i64 {
        ms.div_euclid(limits::WINDOW_TALLIES).max(1)
    }

    /// Whether an event that occurred then counts at `now`.
    #[must_use]
    pub fn holds(self, occurred: Timestamp, now: Timestamp) -> bool {
        match self {
            Window::Ever => true,
            Window::Since(since) => occurred >= since,
            Window::Within(ms) => occurred.plus_ms(ms) > now,
        }
    }

    /// Whether nothing of a stretch counts any more.
    #[must_use]
    pub fn is_past(self, stretch: i64, now: Timestamp) -> bool {
        match self {
            Window::Within(ms) => Timestamp(self.begin(stretch + 1) - 1).plus_ms(ms) <= now,
            Window::Ever | Window::Since(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_on_the_wall() {
        let check = |zone: &str, at: &str, want: i32| {
            let zone = Zone::try_from(zone.to_owned()).expect("a zone");
            let at = at.parse().expect("valid");
            assert_eq!(zone.day(at), want, "{at}");
            assert!(zone.begin(want) <= at && at < zone.begin(want + 1), "{at}");
        };
        check("UTC", "1970-01-01T00:00:00Z", 0);
        check("UTC", "1969-12-31T23:59:59Z", -1);
        check("Europe/Berlin", "2026-03-28T23:00:00Z", 20_541);
        check("Europe/Berlin", "2026-03-29T21:59:59Z", 20_541);
        check("Europe/Berlin", "2026-03-29T22:00:00Z", 20_542);
        assert!(Zone::try_from("Berlin".to_owned()).is_err());
    }

    #[test]
    fn a_window_holds_to_the_millisecond() {
        let window = Window::Within(80);
        assert!(window.holds(Timestamp(100), Timestamp(179)) && !window.holds(Timestamp(100), Timestamp(180)));
        assert_eq!((window.stretch(Timestamp(99)), window.stretch(Timestamp(-1))), (9, -1));
        assert!(!window.is_past(9, Timestamp(178)) && window.is_past(9, Timestamp(179)));
    }

    #[test]
    fn a_meaning_keeps_its_hash_over_a_round_trip() {
        let attribute = Attribute::of_trait("email", Calculation::MostTrusted { sources: vec!["crm".into()] });
        let text = serde_json::to_string(&attribute).expect("serialises");
        assert_eq!(serde_json::from_str::<Attribute>(&text).expect("reads"), attribute);
        let zone = Zone::try_from("Europe/Berlin".to_owned()).expect("a zone");
        let streak = |of| Attribute::of_trait("x", Calculation::Streak { of, zone: zone.clone() });
        assert_ne!(streak(Streak::Current).id, streak(Streak::Longest).id);
    }
}
