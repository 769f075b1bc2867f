//! All customers by their ids, a page at a time.
//!
//! A page goes on after an id, so that nothing that happens between two pages moves what follows. Each customer is shown once, and whoever was
//! joined to another before their place came, with that one. Where the other's place had been read by then, it is shown again at the place of who
//! joined it, and the later word holds: so nothing is left out of the whole. What a page reads of state stays in no memory, and most
//! of it is read without the writer waiting: which claims there are is known as of the last commit, about a second ago, and what is shown of a
//! customer as of now.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use weft_domain::claim::{ClaimId, CustomerId};
use weft_domain::explain::{claims_of, today};
use weft_domain::portrait::profile;
use weft_domain::value::{Excerpt, Timestamp};
use weft_domain::view::{Read, ViewError};
use weft_store::overlay::{CommittedClaim, Overlay};

use crate::limits;
use crate::selection::Selection;

/// Which customers are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Those that follow this place: what `next` of the page before says.
    pub after: Option<Cursor>,
    /// So many at most; 50 unless it is said, and never more than 1,000. There may be fewer on a page that is not the last.
    pub limit: Option<usize>,
    /// Those of whom something has changed since the engine took in what had come by then. Some may be among them of whom nothing has.
    pub changed_since: Option<Timestamp>,
    /// The fields that are wanted, with commas between them, such as `traits.email,attributes`; all, where there are none.
    pub fields: Option<String>,
}

/// A place among all customers, and where history was when the reading began; where that is not said, it begins anew. As text
/// `5d0c8f…-1204`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(with = "String", rename = "ProfileCursor")]
pub struct Cursor {
    place: ClaimId,
    began: Option<u64>,
}

/// A page of customers.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Profiles")]
pub struct List {
    /// The profiles, by their ids, with the fields that were asked for.
    #[schemars(with = "Vec<serde_json::Map<String, serde_json::Value>>")]
    pub profiles: Vec<Box<RawValue>>,
    /// Where there may be more: what `after` must be to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Cursor>,
}

/// How much of all customers is read at once.
#[derive(Clone, Copy, Debug)]
pub struct Stretch {
    /// After which.
    pub after: Option<Cursor>,
    /// Those of whom something has changed at this place in history or behind it.
    pub since: u64,
    /// So many customers at most.
    pub most: usize,
}

/// The next page. `state` is a look at state.
///
/// # Errors
/// [`ViewError`], where state cannot be read.
pub fn page<G: Deref<Target = Overlay>>(
    state: impl Fn() -> G,
    now: Timestamp,
    stretch: Stretch,
    selection: &Selection,
) -> Read<List> {
    let (committed, position) = {
        let state = state();
        (state.committed(), state.position())
    };
    let began = stretch.after.and_then(|cursor| cursor.began).unwrap_or(position);
    let next = |place: ClaimId| Some(Cursor { place, began: Some(began) });
    let (mut profiles, mut again) = (Vec::new(), BTreeSet::new());
    let (mut bytes, mut looked, mut after) = (0, 0, stretch.after.map(|cursor| cursor.place));
    loop {
        let claims = committed.claims(after, limits::CLAIMS_LISTED_ONCE)?;
        let is_end = claims.len() < limits::CLAIMS_LISTED_ONCE;
        looked += claims.len();
        let makes = |claim: &&CommittedClaim| claim.customer == Some(claim.id.into());
        let mut meant = claims.iter().filter(|claim| makes(claim) || claim.written > began).peekable();
        while meant.peek().is_some() {
            let state = state();
            for claim in meant.by_ref().take(limits::PROFILES_MADE_ONCE) {
                let Some(id) = today(&state.peek(), CustomerId::from(claim.id))? else { continue };
                let is_wanted = match id.cmp(&claim.id.into()) {
                    Ordering::Equal => claim.written > stretch.since || has_changed(&state, id, stretch.since)?,
                    // Its own place has been read, and it may have been joined since.
                    Ordering::Less => state.customer_written(id)?.is_none_or(|written| written > began) && again.insert(id),
                    // Its own place comes, unless the claim that makes it is so new that this reading does not see it.
                    Ordering::Greater => !committed.has(id.into())? && again.insert(id),
                };
                if is_wanted && let Some(profile) = profile(state.plan(), &state.peek(), id, now)? {
                    let chosen = selection.of(&profile).map_err(|error| ViewError(error.to_string()))?;
                    bytes += chosen.get().len();
                    profiles.push(chosen);
                }
                if profiles.len() >= stretch.most || bytes >= limits::PROFILES_BYTES_SHOWN_MAX {
                    return Ok(List { profiles, next: next(claim.id) });
                }
            }
        }
        after = claims.last().map(|claim| claim.id).or(after);
        if is_end {
            return Ok(List { profiles, next: None });
        }
        if looked >= limits::CLAIMS_LISTED_MAX {
            return Ok(List { profiles, next: after.and_then(next) });
        }
    }
}

/// Whether a claim of the customer's was written since.
fn has_changed(state: &Overlay, id: CustomerId, since: u64) -> Read<bool> {
    if since == 0 {
        return Ok(true);
    }
    for claim in claims_of(&state.peek(), id)? {
        if state.written(claim)?.is_none_or(|written| written > since) {
            return Ok(true);
        }
    }
    Ok(false)
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.place.fmt(f)?;
        self.began.map_or(Ok(()), |began| write!(f, "-{began}"))
    }
}

impl FromStr for Cursor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (place, began) = text.split_once('-').map_or((text, None), |(place, began)| (place, Some(began)));
            Some(Cursor { place: place.parse().ok()?, began: began.map(str::parse).transpose().ok()? })
        };
        read()
            .ok_or_else(|| format!("`{}` is no place among customers: take what `next` says, or a customer's id", Excerpt(text)))
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
