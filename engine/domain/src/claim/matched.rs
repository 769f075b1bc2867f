//! What the matcher says of two customers: that they are one person, may be, or are not, with the evidence.
//!
//! Comparing is done outside the fold, by a model of probabilities; what comes of it enters through history as a [`Proposal`] and is kept
//! with the claims of both ([`Match`]), where a person may decide otherwise. A customer's id is its earliest claim's, so that a match
//! of two customers is one of two claims, and stays true to them whatever becomes of the customers.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{ClaimId, Decision, Guard, Verdict};
use crate::limits;
use crate::value::Timestamp;

/// What the matcher concludes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// They are one person.
    Merge,
    /// They may be: a person is asked.
    Review,
    /// They are not, or nothing says that they are.
    Apart,
}

/// How much evidence weighs, in hundredths of a bit: each bit doubles the odds. In JSON, bits as a number of two decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(with = "f64")]
pub struct Bits(pub i32);

impl Bits {
    /// The nearest to so many bits. What is none, or past all sense, is at the ends.
    #[must_use]
    pub fn of(bits: f64) -> Self {
        Bits((bits * 100.0).round() as i32)
    }

    /// So many bits.
    #[must_use]
    pub fn get(self) -> f64 {
        f64::from(self.0) / 100.0
    }
}

impl Serialize for Bits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { self.get().serialize(serializer) } else { self.0.serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Bits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            f64::deserialize(deserializer).map(Bits::of)
        } else {
            i32::deserialize(deserializer).map(Bits)
        }
    }
}

/// What the outcome rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// The binary logarithm of the odds that the two are one person.
    pub weight: Bits,
    /// What of it is said before any field is looked at: two customers are hardly ever one person.
    pub prior: Bits,
    /// What of it is taken away because people of one household, or namesakes, look like this as well.
    pub shared: Bits,
    /// What each field that both have adds or takes away.
    pub fields: Vec<Compared>,
    /// The weight from which on two are one person, as the configuration had it then.
    pub merge_at: Bits,
    /// The version of the model: the place in history of the record that brought it. 0 is the one that Weft comes with.
    pub model: u64,
    /// When the two were compared.
    pub at: Timestamp,
}

impl Evidence {
    /// The evidence within the bounds of what is kept.
    #[must_use]
    pub(crate) fn bounded(&self) -> Evidence {
        let mut kept = self.clone();
        kept.fields.truncate(limits::EVIDENCE_FIELDS_MAX);
        for field in &mut kept.fields {
            for text in [&mut field.field, &mut field.level] {
                text.truncate(text.floor_char_boundary(limits::EVIDENCE_NAME_BYTES_MAX));
            }
        }
        kept
    }
}

/// What a field says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Compared {
    /// The field, or the part of a name.
    pub field: String,
    /// How alike the values are.
    pub level: String,
    /// What it adds.
    pub weight: Bits,
    /// The weight of all evidence if the two did not have this field.
    pub without: Bits,
}

impl Compared {
    /// Whether another thing would be concluded without this field: that two who are one person are not, or the other way round.
    #[must_use]
    pub fn decides(&self, evidence: &Evidence) -> bool {
        (evidence.weight >= evidence.merge_at) != (self.without >= evidence.merge_at)
    }
}

/// What the matcher has to say of two customers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The two customers, by their earliest claims.
    pub pair: [ClaimId; 2],
    /// What it concludes.
    pub outcome: Outcome,
    /// Why.
    pub evidence: Evidence,
}

/// What is known of a claim and another, as each of the two knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    /// The other claim.
    pub other: ClaimId,
    /// What the matcher concludes. [`Outcome::Apart`] is kept only where a person decided.
    pub outcome: Outcome,
    /// Why; none where a person said so and the matcher nothing.
    pub evidence: Option<Evidence>,
    /// What a person decided.
    pub verdict: Option<Verdict>,
    /// The guard that keeps the two apart all the same: derived.
    pub guard: Option<Guard>,
}

impl Match {
    /// Whether the two are one customer's because of this, unless a guard forbids it.
    #[must_use]
    pub fn joins(&self) -> bool {
        match &self.verdict {
            Some(verdict) => verdict.decision == Decision::Accept,
            None => self.outcome == Outcome::Merge,
        }
    }

    /// Whether a person is asked: the matcher is not sure, or is, and such a merge is to be decided by a person.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.verdict.is_none() && (self.outcome == Outcome::Review || self.guard == Some(Guard::Held))
    }

    /// Whether the two are one customer's because of this.
    #[must_use]
    pub fn is_joined(&self) -> bool {
        self.joins() && self.guard.is_none()
    }

    /// How much it weighs beside others: what a person said before what the matcher says.
    pub(crate) fn rank(&self) -> (bool, Bits) {
        (self.verdict.is_some(), self.evidence.as_ref().map_or(Bits(0), |evidence| evidence.weight))
    }
}

/// Two claims in the order in which a pair is known.
#[must_use]
pub fn pair(one: ClaimId, other: ClaimId) -> [ClaimId; 2] {
    [one.min(other), one.max(other)]
}

/// A model as the matcher learned it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trained {
    /// Its version: the place in history of the record that brought it.
    pub version: u64,
    /// When it was learned.
    pub at: Timestamp,
    /// The model, as JSON: the domain does not look into it.
    pub json: String,
}
