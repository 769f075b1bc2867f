//! What the engine says of itself: whether it takes anything, how far everything is, and how each lane is doing.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;
use weft_domain::event::Environment;
use weft_domain::input::Stream;
use weft_domain::problem::Problems;
use weft_domain::value::Timestamp;
use weft_domain::view::{Totals, View};
use weft_host::Source;

use crate::config::Change;
use crate::delivery;
use crate::driver;
use crate::intake::Intake;
use crate::telemetry::{Metrics, Stage};
use crate::writer::Ledger;

/// What the engine says of itself.
#[derive(Default)]
pub struct Status {
    shown: Mutex<Shown>,
    intake: Option<Intake>,
    metrics: Arc<Metrics>,
    trouble: Mutex<Option<String>>,
    reloaded: Mutex<Option<Reloaded>>,
}

/// What came of looking at the workspace's files.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Reloaded {
    /// What came of it.
    pub outcome: Outcome,
    /// The generation in force.
    pub generation: u64,
    /// When.
    pub at: Timestamp,
    /// What was different from what is in force.
    pub changes: Vec<Change>,
    /// What is wrong, or probably not meant.
    pub problems: Problems,
}

/// What came of looking at the workspace's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is in force.
    Applied,
    /// Nothing was different.
    Unchanged,
    /// It is wrong: what was in force goes on.
    Refused,
    /// It would be taken on; it was only asked.
    Planned,
}

/// Somebody wants the workspace's files looked at.
pub struct Look {
    /// Whether what is found is taken on, or only told.
    pub apply: bool,
    /// Told what came of it.
    pub answer: oneshot::Sender<Reloaded>,
}

/// The stages that are shown.
#[derive(Clone, Default)]
pub struct Shown {
    /// Sources with a door, and their paths.
    pub doors: Vec<(String, String)>,
    /// Sources that are read.
    pub drivers: Vec<ShownDriver>,
    /// Destinations.
    pub lanes: Vec<ShownLane>,
}

/// A destination's lane that is shown.
#[derive(Clone)]
pub struct ShownLane {
    /// The destination's name.
    pub name: String,
    /// What it is fed with.
    pub stream: Stream,
    /// Whether its plugin must have records in the order of their places.
    pub ordered: bool,
    /// How it is doing.
    pub standing: Arc<Mutex<delivery::Standing>>,
}

/// A source's driver that is shown.
#[derive(Clone)]
pub struct ShownDriver {
    /// The source's name.
    pub name: String,
    /// What it reads, as in YAML.
    pub reads: &'static str,
    /// Where its events count unless they say otherwise.
    pub environment: Environment,
    /// The plugin at work.
    pub source: Arc<Source>,
    /// How it is doing.
    pub standing: Arc<Mutex<driver::Standing>>,
}

/// [`Status`] at one moment.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Report {
    /// Why the engine takes nothing, where it does not.
    pub trouble: Option<String>,
    /// What came of looking at the workspace's files, the last time that something was different or wrong.
    #[serde(default)]
    pub config: Option<Reloaded>,
    /// The generation of the plan in force.
    pub generation: u64,
    /// Counts of state.
    pub totals: Totals,
    /// Records of intake, and how many of them the fold has seen.
    pub intake: Waiting,
    /// Records of history, and how many of them are folded.
    pub history: Waiting,
    /// Sources with a path, and sources that are read.
    pub sources: Vec<SourceReport>,
    /// Destinations.
    pub lanes: Vec<LaneReport>,
}

/// How far something is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Waiting {
    /// Records in all.
    pub records: u64,
    /// Records before which all are done.
    pub through: u64,
}

/// A source.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct SourceReport {
    /// Its name.
    pub name: String,
    /// How events come in: `http`, `poll`, `file` or `bucket`.
    pub reads: String,
    /// Where it listens, where it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Events taken since the start.
    #[serde(default)]
    pub taken_total: u64,
    /// How it is doing, where it is read.
    #[serde(flatten)]
    pub standing: Option<driver::Standing>,
}

/// A destination's lane.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct LaneReport {
    /// The destination's name.
    pub name: String,
    /// `events` or `profiles`.
    pub stream: String,
    /// How it is doing.
    #[serde(flatten)]
    pub standing: delivery::Standing,
}

impl Status {
    /// Of an engine without stages.
    #[must_use]
    pub fn of(intake: Intake, metrics: Arc<Metrics>) -> Self {
        Status { intake: Some(intake), metrics, ..Status::default() }
    }

    /// The stages that are shown.
    #[must_use]
    pub fn shown(&self) -> Shown {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Shows these stages from now on.
    pub fn show(&self, shown: Shown) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = shown;
    }

    /// The way into the intake log.
    #[must_use]
    pub fn intake(&self) -> Option<&Intake> {
        self.intake.as_ref()
    }

    /// Whether a source of this name is at work.
    #[must_use]
    pub fn has_source(&self, name: &str) -> bool {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.doors.iter().any(|(door, _)| door == name) || shown.drivers.iter().any(|driver| driver.name == name)
    }

    /// Whether a destination's plugin must have records in the order of their places.
    #[must_use]
    pub fn is_ordered(&self, destination: &str) -> bool {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.lanes.iter().any(|lane| lane.name == destination && lane.ordered)
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

    /// What came of looking at the workspace's files.
    #[must_use]
    pub fn reloaded(&self) -> Option<Reloaded> {
        self.reloaded.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes what came of looking at the workspace's files.
    pub fn note_reload(&self, reloaded: Reloaded) {
        *self.reloaded.lock().unwrap_or_else(PoisonError::into_inner) = Some(reloaded);
    }

    /// All of it, now.
    #[must_use]
    pub fn report(&self, ledger: &Ledger) -> Report {
        let (generation, totals, through) = {
            let state = ledger.state();
            (state.plan().generation, state.totals(), state.position())
        };
        let shown = self.shown();
        let lane = |lane: &ShownLane| LaneReport {
            name: lane.name.clone(),
            stream: lane.stream.name().to_owned(),
            standing: lane.standing.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        };
        let door = |(name, path): &(String, String)| {
            let (name, reads, path) = (name.clone(), "http".to_owned(), Some(path.clone()));
            let taken_total = self.metrics.received.get_or_create(&Stage { stage: name.clone() }).get();
            SourceReport { name, reads, path, taken_total, standing: None }
        };
        let driver = |driver: &ShownDriver| {
            let standing = driver.standing.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let (name, reads, taken_total) = (driver.name.clone(), driver.reads.to_owned(), standing.events_total);
            SourceReport { name, reads, path: None, taken_total, standing: Some(standing) }
        };
        Report {
            trouble: self.obstacle(),
            config: self.reloaded(),
            generation,
            totals,
            intake: Waiting {
                records: self.intake.as_ref().map_or(0, |intake| intake.reader().durable_end()),
                through: ledger.intake_through(),
            },
            history: Waiting { records: ledger.history().durable_end(), through },
            sources: shown.doors.iter().map(door).chain(shown.drivers.iter().map(driver)).collect(),
            lanes: shown.lanes.iter().map(lane).collect(),
        }
    }
}
