//! What the engine says of itself: whether it takes anything, how far everything is, and how each lane is doing.

use std::sync::{Arc, Mutex, PoisonError};

use weft_domain::view::{Totals, View};

use crate::delivery::{Lane, Standing};
use crate::door::Door;
use crate::intake::Intake;
use crate::writer::Ledger;

/// What the engine says of itself.
#[derive(Default)]
pub struct Status {
    lanes: Vec<(String, &'static str, Arc<Mutex<Standing>>)>,
    doors: Vec<(String, String)>,
    intake: Option<Intake>,
    trouble: Mutex<Option<String>>,
}

/// [`Status`] at one moment.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Report {
    /// Why the engine takes nothing, where it does not.
    pub trouble: Option<String>,
    /// The generation of the plan in force.
    pub generation: u64,
    /// Counts of state.
    pub totals: Totals,
    /// Records of intake, and how many of them the fold has seen.
    pub intake: Waiting,
    /// Records of history, and how many of them are folded.
    pub history: Waiting,
    /// Sources and their paths.
    pub sources: Vec<SourceReport>,
    /// Destinations.
    pub lanes: Vec<LaneReport>,
}

/// How far something is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Waiting {
    /// Records in all.
    pub records: u64,
    /// Records before which all are done.
    pub through: u64,
}

/// A source.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct SourceReport {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub path: String,
}

/// A destination's lane.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct LaneReport {
    /// The destination's name.
    pub name: String,
    /// `events` or `profiles`.
    pub stream: String,
    /// How it is doing.
    #[serde(flatten)]
    pub standing: Standing,
}

impl Status {
    /// Of an engine with these lanes and doors.
    #[must_use]
    pub fn of(lanes: &[Lane], doors: &[Door], intake: Intake) -> Self {
        let standing = |lane: &Lane| (lane.name.clone(), lane.stream.name(), lane.standing.clone());
        Status {
            lanes: lanes.iter().map(standing).collect(),
            doors: doors.iter().map(|door| (door.name.clone(), door.path.clone())).collect(),
            intake: Some(intake),
            trouble: Mutex::new(None),
        }
    }

    /// Why the engine takes nothing, where it does not.
    #[must_use]
    pub fn obstacle(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes why the engine takes nothing more; the first reason stays.
    pub fn trouble(&self, what: String) {
        tracing::error!(error = what, "the engine is in trouble");
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(what);
    }

    /// All of it, now.
    #[must_use]
    pub fn report(&self, ledger: &Ledger) -> Report {
        let (generation, totals, through) = {
            let state = ledger.state();
            (state.plan().generation, state.totals(), state.position())
        };
        let lane = |(name, stream, standing): &(String, &'static str, Arc<Mutex<Standing>>)| LaneReport {
            name: name.clone(),
            stream: (*stream).to_owned(),
            standing: standing.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        Report {
            trouble: self.obstacle(),
            generation,
            totals,
            intake: Waiting {
                records: self.intake.as_ref().map_or(0, |intake| intake.reader().durable_end()),
                through: ledger.intake_through(),
            },
            history: Waiting { records: ledger.history().durable_end(), through },
            sources: self.doors.iter().map(|(name, path)| SourceReport { name: name.clone(), path: path.clone() }).collect(),
            lanes: self.lanes.iter().map(lane).collect(),
        }
    }
}
