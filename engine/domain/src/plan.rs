//! The plan: what of the configuration the fold needs to know.
//!
//! It enters history as a record, so that a rebuild years later folds each event under the rules of its day. It holds no
//! address, no secret and nothing of plugins: `app` keeps those.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::attribute::{Attribute, AttributeId};
use crate::consent::Rule;
use crate::identity::Rules;
use crate::limits;

/// The rules in force from some place in history on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Counts the plans of this history, from 1.
    pub generation: u64,
    /// Who is who.
    pub identity: Rules,
    /// The destinations that follow events, by name, sorted. A new one begins where its plan stands in history.
    pub event_lanes: Vec<String>,
    /// The destinations that hear of changed profiles, by name, sorted.
    pub profile_lanes: Vec<String>,
    /// How many message ids the duplicate window remembers.
    pub duplicate_window_events: usize,
    /// What events come to, and traits of which more decides than the latest event; sorted by their ids, then by their names.
    #[serde(default)]
    pub attributes: Vec<Attribute>,
    /// Whether customers are compared with each other: then the matcher hears of changed profiles, as a destination does.
    #[serde(default)]
    pub matching: bool,
    /// What somebody must have agreed to before a destination is told of them, by destination. Nothing is asked for any other.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub consent: BTreeMap<String, Rule>,
}

/// The lane of the matcher. No destination has such a name.
pub const MATCHING_LANE: &str = "#matching";

impl Default for Plan {
    /// The plan before the first: default identity, no destination.
    fn default() -> Self {
        Plan {
            generation: 0,
            identity: Rules::default(),
            event_lanes: Vec::new(),
            profile_lanes: Vec::new(),
            duplicate_window_events: limits::DUPLICATE_WINDOW_EVENTS,
            attributes: Vec::new(),
            matching: false,
            consent: BTreeMap::new(),
        }
    }
}

impl Plan {
    /// Whether two plans say the same, whatever their generation.
    #[must_use]
    pub fn says_the_same(&self, other: &Plan) -> bool {
        *self == Plan { generation: self.generation, ..other.clone() }
    }

    /// Whether anybody hears of changed profiles.
    #[must_use]
    pub fn tells_of_profiles(&self) -> bool {
        self.matching || !self.profile_lanes.is_empty()
    }

    /// The attributes, one of each meaning.
    pub fn meanings(&self) -> impl Iterator<Item = &Attribute> {
        self.attributes.chunk_by(|one, other| one.id == other.id).filter_map(|alike| alike.first())
    }

    /// An attribute of this meaning.
    #[must_use]
    pub fn meaning(&self, id: AttributeId) -> Option<&Attribute> {
        let place = self.attributes.binary_search_by_key(&id, |attribute| attribute.id).ok()?;
        self.attributes.get(place)
    }
}
