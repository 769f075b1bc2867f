//! Claims: statements that some identifiers belong to one person, and the ids that follow from them.
//!
//! A claim is kept for ever and can be retracted; customers are a function of the *set* of claims ([`crate::identity`]), so
//! neither the order in which events arrive nor an earlier merge leaves a trace (invariant 6). Events are filed under their
//! claim and stay there: a merge moves claims between customers and rewrites no event.

mod matched;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::event::{Identifier, Learnt};
use crate::limits;
use crate::value::Timestamp;

pub use self::matched::{Bits, Compared, Evidence, Match, Outcome, Proposal, Trained, pair};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 16]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                let wrong = || format!("`{}` is not an id of 32 hexadecimal digits", crate::value::Excerpt(text));
                if text.len() != 32 || !text.is_ascii() {
                    return Err(wrong());
                }
                let mut bytes = [0; 16];
                for (place, byte) in bytes.iter_mut().enumerate() {
                    *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).map_err(|_| wrong())?;
                }
                Ok($name(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() { serializer.collect_str(self) } else { self.0.serialize(serializer) }
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
                } else {
                    <[u8; 16]>::deserialize(deserializer).map($name)
                }
            }
        }
    };
}

id! {
    /// An identifier by its type and value: the first 128 bits of a SHA-256, so that nobody can make two meet.
    IdentifierId
}
id! {
    /// A claim by the identifiers that it joins.
    ClaimId
}
id! {
    /// A customer: the id of the earliest of the claims that make this person. Any claim's id therefore finds, by that
    /// claim, the customer whom it belongs to today, also after a merge.
    CustomerId
}

/// The first half of the SHA-256 of some parts, each preceded by its length so that no two lists of parts are alike.
fn digest(parts: impl IntoIterator<Item = impl AsRef<[u8]>>) -> [u8; 16] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.as_ref().len() as u32).to_be_bytes());
        hash.update(part.as_ref());
    }
    hash.finalize()[..16].try_into().expect("a SHA-256 has 32 bytes")
}

impl IdentifierId {
    /// The id of an identifier.
    #[must_use]
    pub fn of(kind: &str, value: &str) -> Self {
        IdentifierId(digest([kind, value]))
    }
}

impl ClaimId {
    /// The id of the claim that joins these identifiers, which are in ascending order.
    #[must_use]
    pub fn of(identifiers: &[Identifier]) -> Self {
        let learnt = |how: Learnt| match how {
            Learnt::Observed => "",
            Learnt::Alias => "alias",
            Learnt::Added => "added",
            // It is in no claim.
            Learnt::Removed => "removed",
        };
        ClaimId(digest(identifiers.iter().flat_map(|one| [&*one.kind, &*one.value, learnt(one.how)])))
    }
}

impl From<ClaimId> for CustomerId {
    fn from(claim: ClaimId) -> Self {
        CustomerId(claim.0)
    }
}

impl From<CustomerId> for ClaimId {
    fn from(customer: CustomerId) -> Self {
        ClaimId(customer.0)
    }
}

/// A 64-bit fingerprint of a message id, for the duplicate window and for breaking ties. Among the two million ids of the
/// window one takes another for itself with a probability of about 1 in 9,000,000,000,000.
#[must_use]
pub fn fingerprint(message_id: &str) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = digest([message_id]);
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// That some identifiers belong to one person, as events said, and what people said of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The identifiers, in ascending order, none twice.
    pub identifiers: Vec<Identifier>,
    /// The earliest event that says so of each source, the earliest of all first; never empty, and at most
    /// [`limits::CLAIM_SOURCES_MAX`] of them.
    pub witnesses: Vec<Witness>,
    /// Whether more sources say so than are kept.
    pub more_sources: bool,
    /// Why somebody took it back, whoever says so, where somebody did.
    pub retracted: Option<String>,
    /// The sources whose word for it was taken back, each with the reason.
    pub struck: BTreeMap<String, String>,
    /// What somebody decided of a claim that was held.
    pub verdict: Option<Verdict>,
    /// What is known of it and other claims by comparison, in the order of those; at most [`limits::CLAIM_MATCHES_MAX`].
    pub matches: Vec<Match>,
    /// The customer whom it belongs to: derived, kept so that an event finds its customer in one look.
    pub customer: CustomerId,
    /// Identifiers that the guards kept from joining here, with the reason: derived.
    pub set_aside: Vec<(Identifier, Guard)>,
}

/// An event as a witness. Witnesses are ordered by the time at which they say it happened, then by their message ids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Witness {
    /// When the event occurred.
    pub occurred: Timestamp,
    /// Its message id.
    pub message_id: String,
    /// The source that told it.
    pub source: String,
}

/// What somebody decided of a claim that was held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Verdict {
    /// What.
    pub decision: Decision,
    /// Why, for the next person who asks.
    pub reason: String,
}

/// Whether a claim that was held may join customers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It may.
    Accept,
    /// It may not, whatever the rules say of it later.
    Refuse,
}

impl Decision {
    /// What was decided, as people say it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Decision::Accept => "one person",
            Decision::Refuse => "kept apart",
        }
    }
}

/// What an event added to a claim that was known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nothing.
    Nothing,
    /// Another source says so, or earlier than before, and nothing follows from it.
    Word,
    /// The claim's place among the others, or whether it holds.
    Place,
}

impl Claim {
    /// A claim as its first event makes it.
    #[must_use]
    pub fn new(identifiers: Vec<Identifier>, witness: Witness) -> Self {
        let customer = ClaimId::of(&identifiers).into();
        Claim {
            identifiers,
            witnesses: vec![witness],
            more_sources: false,
            retracted: None,
            struck: BTreeMap::new(),
            verdict: None,
            matches: Vec::new(),
            customer,
            set_aside: Vec::new(),
        }
    }

    /// The event that decides the claim's place among others: the earliest of a source whose word holds; of all, where none does.
    #[must_use]
    pub fn witness(&self) -> &Witness {
        let holds = |witness: &&Witness| !self.struck.contains_key(&witness.source);
        let earliest = self.witnesses.first().expect("a claim begins with a witness, and none is ever taken away");
        self.witnesses.iter().find(holds).unwrap_or(earliest)
    }

    /// The earliest event of a source whose word was taken back, where others still say so. What it told is its strongest
    /// identifier's all the same.
    #[must_use]
    pub fn struck_witness(&self) -> Option<&Witness> {
        let struck = |witness: &&Witness| self.struck.contains_key(&witness.source);
        self.witnesses.iter().find(struck).filter(|_| !self.is_retracted())
    }

    /// What is known of it and another by comparison.
    #[must_use]
    pub fn matched(&self, other: ClaimId) -> Option<&Match> {
        self.matches.binary_search_by_key(&other, |one| one.other).ok().map(|place| &self.matches[place])
    }

    /// Notes what is known of it and another; none forgets it.
    pub fn note(&mut self, other: ClaimId, known: Option<Match>) {
        match (self.matches.binary_search_by_key(&other, |one| one.other), known) {
            (Ok(place), Some(known)) => self.matches[place] = known,
            (Ok(place), None) => drop(self.matches.remove(place)),
            (Err(place), Some(known)) => self.matches.insert(place, known),
            (Err(_), None) => (),
        }
    }

    /// Whether it joins nothing: somebody took it back, or the word of every source that says so.
    #[must_use]
    pub fn is_retracted(&self) -> bool {
        let struck = || self.witnesses.iter().all(|witness| self.struck.contains_key(&witness.source));
        self.retracted.is_some() || (!self.more_sources && !self.struck.is_empty() && struck())
    }

    /// Takes an event as a witness. What is kept follows from the set of events, whatever their order.
    pub fn hear(&mut self, witness: Witness) -> Heard {
        let known = self.witnesses.iter().position(|one| one.source == witness.source);
        if known.is_some_and(|place| self.witnesses[place] <= witness) {
            return Heard::Nothing;
        }
        let place = |claim: &Claim| (claim.witness().clone(), claim.struck_witness().cloned(), claim.is_retracted());
        let before = place(self);
        let (kept, more) = (self.witnesses.clone(), self.more_sources);
        if let Some(place) = known {
            self.witnesses.remove(place);
        }
        self.witnesses.push(witness);
        self.witnesses.sort_unstable();
        self.more_sources |= self.witnesses.len() > limits::CLAIM_SOURCES_MAX;
        self.witnesses.truncate(limits::CLAIM_SOURCES_MAX);
        match (place(self) == before, self.witnesses == kept && self.more_sources == more) {
            (true, true) => Heard::Nothing,
            (true, false) => Heard::Word,
            (false, _) => Heard::Place,
        }
    }
}

/// The rule that kept an identifier from joining.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// One customer would have had more identifiers of a type than its limit.
    Limit,
    /// The event carried no login identifier, and would have joined a known customer with another.
    LoginGate,
    /// The claim was retracted.
    Retracted,
    /// Somebody said that two of the identifiers are not one person's.
    Separated,
    /// The customer was anonymous, and a sign-in begins a new one.
    OnLogin,
    /// One customer would have had a second value of a type that is immutable.
    Immutable,
    /// One customer would have been made of more merges, or had more identifiers, than may be.
    MergeLimit,
    /// The claim would have joined customers of whom a person is to decide.
    Held,
    /// A person decided that the claim joins no customers.
    Refused,
    /// The identifier has gone to another customer since.
    Moved,
}

impl Guard {
    /// Its name, as YAML, JSON and the documentation have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Guard::Limit => "limit",
            Guard::LoginGate => "login_gate",
            Guard::Retracted => "retracted",
            Guard::Separated => "separated",
            Guard::OnLogin => "on_login",
            Guard::Immutable => "immutable",
            Guard::MergeLimit => "merge_limit",
            Guard::Held => "held",
            Guard::Refused => "refused",
            Guard::Moved => "moved",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_do_not_collide_over_borders_and_read_back() {
        assert_ne!(IdentifierId::of("ab", "c"), IdentifierId::of("a", "bc"));
        let id = IdentifierId::of("email", "ann@example.com");
        assert_eq!(id.to_string().parse(), Ok(id));
        assert!("zz".parse::<ClaimId>().is_err());
        assert!("é123456789012345678901234567890".parse::<ClaimId>().is_err());
    }

    /// Events are written `source@second`; what they add, in their order.
    fn heard(told: &[&str], struck: &[&str]) -> (Claim, Vec<Heard>) {
        let witness = |text: &&str| {
            let (source, at) = text.split_once('@').expect("source@second");
            let occurred = Timestamp(at.parse().expect("a number"));
            Witness { occurred, message_id: format!("m{at}"), source: source.to_owned() }
        };
        let mut claim = Claim::new(Vec::new(), witness(&told[0]));
        claim.struck = struck.iter().map(|source| ((*source).to_owned(), "wrong".to_owned())).collect();
        let heard = told[1..].iter().map(|one| claim.hear(witness(one))).collect();
        (claim, heard)
    }

    #[test]
    fn a_claim_keeps_the_earliest_event_of_each_source() {
        let (claim, said) = heard(&["web@5", "web@6", "crm@7", "crm@4", "crm@5"], &[]);
        assert_eq!(said, [Heard::Nothing, Heard::Word, Heard::Place, Heard::Nothing]);
        let kept: Vec<(&str, i64)> = claim.witnesses.iter().map(|one| (&*one.source, one.occurred.0)).collect();
        assert_eq!(kept, [("crm", 4), ("web", 5)]);
        assert_eq!(claim.witness().source, "crm");
    }

    #[test]
    fn what_one_source_says_stands_where_another_is_struck() {
        let (claim, _) = heard(&["list@1", "web@5"], &["list"]);
        assert_eq!((claim.witness().occurred.0, claim.is_retracted()), (5, false));
        assert_eq!(claim.struck_witness().map(|one| one.occurred.0), Some(1));
        let (claim, _) = heard(&["list@1"], &["list"]);
        assert_eq!((claim.witness().occurred.0, claim.is_retracted()), (1, true));
        assert_eq!(claim.struck_witness(), None);
        let (_, said) = heard(&["list@1", "web@5"], &["list"]);
        assert_eq!(said, [Heard::Place], "it holds again");
    }

    #[test]
    fn of_too_many_sources_the_earliest_are_kept_in_any_order() {
        let mut told: Vec<String> = (0..12).map(|place| format!("s{place}@{}", (place * 7) % 12)).collect();
        let one = heard(&told.iter().map(|text| &**text).collect::<Vec<_>>(), &[]).0;
        told.reverse();
        let other = heard(&told.iter().map(|text| &**text).collect::<Vec<_>>(), &[]).0;
        assert_eq!(one.witnesses, other.witnesses);
        assert!(one.more_sources && other.more_sources && one.witnesses.len() == limits::CLAIM_SOURCES_MAX);
        let all: Vec<String> = (0..12).map(|place| format!("s{place}")).collect();
        let struck = Claim { struck: all.into_iter().map(|source| (source, String::new())).collect(), ..one };
        assert!(!struck.is_retracted(), "a source that is not kept may say so too");
    }
}
