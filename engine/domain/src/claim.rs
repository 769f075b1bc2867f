//! Claims: statements that some identifiers belong to one person, and the ids that follow from them.
//!
//! A claim is kept for ever and can be retracted; customers are a function of the *set* of claims ([`crate::identity`]), so
//! neither the order in which events arrive nor an earlier merge leaves a trace (invariant 6). Events are filed under their
//! claim and stay there: a merge moves claims between customers and rewrites no event.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

use crate::event::{Identifier, Learnt};
use crate::value::Timestamp;

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

/// That some identifiers belong to one person, as an event said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The identifiers, in ascending order, none twice.
    pub identifiers: Vec<Identifier>,
    /// The earliest event that says so.
    pub witness: Witness,
    /// Why somebody took it back, where somebody did.
    pub retracted: Option<String>,
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
}
