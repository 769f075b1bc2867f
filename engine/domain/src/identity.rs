//! Who is who: the rules, and customers as a function of a set of claims under them.
//!
//! [`Rules`] say how identifiers are treated, [`Strategy`] names sets of them that others are known for, and [`partition`] divides the
//! claims of a component among customers. Nothing here reads a store: [`crate::resolve`] finds the component and acts on the outcome.

mod groups;
mod partition;
mod strategy;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::{Identifier, Learnt};
use crate::value::Timestamp;

pub use self::partition::{Placement, Separations, partition};
pub use self::strategy::Strategy;

/// How identifiers are treated. In YAML: `identity`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// The types that identify, the strongest first. Other types stay on the event and identify nobody.
    pub identifiers: Vec<IdentifierRule>,
    /// Values that identify nobody: exact, or `/regular expression/`.
    pub block: Vec<Pattern>,
    /// What becomes of an anonymous customer at a sign-in.
    #[serde(default)]
    pub on_login: OnLogin,
    /// Whose a known customer's device is when nobody is signed in on it.
    #[serde(default)]
    pub on_logout: OnLogout,
    /// How much may make one customer.
    #[serde(default)]
    pub merge_limit: MergeLimit,
    /// What is held until a person decides.
    #[serde(default)]
    pub quarantine: Quarantine,
}

/// What becomes of an anonymous customer when an event that carries a login identifier names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnLogin {
    /// It is the one who signs in: one customer, with the id of the earlier.
    #[default]
    Join,
    /// It stays apart: who signs in is another customer, without what came before.
    New,
    /// Who signs in is a new customer, with an id of its own and with what came before.
    NewWithHistory,
}

/// What an event is about that carries no login identifier and names a known customer's device alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnLogout {
    /// The known customer.
    #[default]
    Stay,
    /// An anonymous one, who has the device from then on.
    New,
}

/// How much may make one customer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MergeLimit {
    /// How many times two customers became one in it. None: as many as [`crate::limits::COMPONENT_CLAIMS_MAX`] allows.
    pub merges: Option<u32>,
    /// How many identifiers it has. None: the same.
    pub identifiers: Option<u32>,
}

/// Claims that are held instead of joining two customers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// Those that would join two known customers.
    pub known_with_known: bool,
    /// Those that would make a customer of more identifiers than this.
    pub larger_than: Option<u32>,
}

/// The rule for one type of identifier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentifierRule {
    /// The type's name.
    pub kind: String,
    /// How many of this type one customer may have.
    pub limit: Option<u32>,
    /// The limit holds for those that came to the customer within so many milliseconds before the claim (Segment's sliding
    /// window). None: for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within_ms: Option<u64>,
    /// Whether it proves a login. A customer who has one is known, and only an event that carries one joins a known
    /// customer with another (mParticle's login ids).
    pub login: bool,
    /// Whether a value that belongs to another customer goes to the one who signs in with it, where the two may not be one,
    /// instead of being set aside (mParticle's unique ids).
    #[serde(default)]
    pub unique: bool,
    /// Whether a customer keeps the first value for good, also against an alias (mParticle's immutable ids).
    #[serde(default)]
    pub immutable: bool,
    /// Whether it names a device or a browser, which several people may use one after the other.
    #[serde(default)]
    pub device: bool,
}

impl IdentifierRule {
    /// A type of which a customer may have any number, and which proves nothing.
    #[must_use]
    pub fn named(kind: &str) -> Self {
        IdentifierRule {
            kind: kind.to_owned(),
            limit: None,
            within_ms: None,
            login: false,
            unique: false,
            immutable: false,
            device: false,
        }
    }

    /// The instant after which identifiers count towards the limit of a claim made `at` this time, where the limit has a window.
    fn window_from(&self, at: Timestamp) -> Option<Timestamp> {
        let within = i64::try_from(self.within_ms?).unwrap_or(i64::MAX);
        Some(Timestamp(at.0.saturating_sub(within)))
    }
}

/// A value that identifies nobody.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    text: String,
    regex: Option<regex_lite::Regex>,
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let inner = text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')).filter(|inner| !inner.is_empty());
        let regex = match inner {
            Some(inner) => Some(regex_lite::Regex::new(inner).map_err(|error| format!("not a regular expression: {error}"))?),
            None => None,
        };
        Ok(Pattern { text, regex })
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.text
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl Pattern {
    fn matches(&self, value: &str) -> bool {
        self.regex.as_ref().map_or(self.text == value, |regex| regex.is_match(value))
    }
}

impl Default for Rules {
    /// What a workspace without an `identity` section gets: Segment's types, and its suggested blocked values.
    fn default() -> Self {
        let rule = |kind: &str, limit| IdentifierRule { limit: Some(limit), ..IdentifierRule::named(kind) };
        let block = ["null", "undefined", "anonymous", "-1", "/^[0-]*$/"];
        Rules {
            identifiers: vec![
                IdentifierRule { login: true, ..rule("user_id", 1) },
                rule("email", 5),
                rule("phone", 5),
                IdentifierRule { device: true, ..rule("anonymous_id", 100) },
            ],
            block: block.map(|text| Pattern::try_from(text.to_owned()).expect("these patterns are valid")).into(),
            on_login: OnLogin::default(),
            on_logout: OnLogout::default(),
            merge_limit: MergeLimit::default(),
            quarantine: Quarantine::default(),
        }
    }
}

impl Rules {
    /// The place of a type among the priorities, 0 being the strongest; none for a type that identifies nobody.
    #[must_use]
    pub fn priority(&self, kind: &str) -> Option<usize> {
        self.identifiers.iter().position(|rule| rule.kind == kind)
    }

    /// Whether a value identifies nobody.
    #[must_use]
    pub fn blocks(&self, value: &str) -> bool {
        self.block.iter().any(|pattern| pattern.matches(value))
    }

    /// The identifiers of an event that identify somebody: of declared types, not blocked, not removed, sorted, none twice.
    #[must_use]
    pub fn identifying(&self, claims: &[Identifier]) -> Vec<Identifier> {
        let identifies =
            |one: &&Identifier| one.how != Learnt::Removed && self.priority(&one.kind).is_some() && !self.blocks(&one.value);
        let mut kept: Vec<Identifier> = claims.iter().filter(identifies).cloned().collect();
        kept.sort();
        kept.dedup_by(|later, first| later.kind == first.kind && later.value == first.value);
        kept
    }

    /// The identifier that decides where an event belongs.
    #[must_use]
    pub fn strongest<'a>(&self, identifiers: &'a [Identifier]) -> Option<&'a Identifier> {
        identifiers.iter().min_by_key(|one| self.strength(one))
    }

    /// What orders identifiers, the strongest first. What an event only says of the person is weaker than what it stands on.
    pub(crate) fn strength(&self, one: &Identifier) -> (bool, usize) {
        (one.how != Learnt::Observed, self.priority(&one.kind).unwrap_or(usize::MAX))
    }

    /// The rule for a type; none for one that identifies nobody.
    #[must_use]
    pub fn rule(&self, kind: &str) -> Option<&IdentifierRule> {
        self.identifiers.iter().find(|rule| rule.kind == kind)
    }

    fn is_login(&self, kind: &str) -> bool {
        self.rule(kind).is_some_and(|rule| rule.login)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocked_and_undeclared_identifiers_identify_nobody() {
        let rules = Rules::default();
        let identifier = |kind: &str, value: &str| Identifier { kind: kind.into(), value: value.into(), how: Learnt::Observed };
        let kept = rules.identifying(&[
            identifier("user_id", "00000000-0000-0000-0000-000000000000"),
            identifier("email", "null"),
            identifier("shoe_size", "42"),
            identifier("anonymous_id", "a1"),
            identifier("anonymous_id", "a1"),
        ]);
        assert_eq!(kept, [identifier("anonymous_id", "a1")]);
    }

    #[test]
    fn rules_of_an_earlier_plan_read_as_they_were_meant() {
        let text = r#"{"identifiers":[{"kind":"user_id","limit":1,"login":true}],"block":["null"]}"#;
        let rules: Rules = serde_json::from_str(text).expect("reads");
        let rule = IdentifierRule { limit: Some(1), login: true, ..IdentifierRule::named("user_id") };
        assert_eq!((rules.identifiers.as_slice(), rules.on_login, rules.on_logout), (&[rule][..], OnLogin::Join, OnLogout::Stay));
        assert_eq!((rules.merge_limit, rules.quarantine), (MergeLimit::default(), Quarantine::default()));
    }
}
