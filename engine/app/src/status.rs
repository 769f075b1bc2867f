//! What the engine says of itself: whether it takes anything, how far everything is, and how each lane is doing.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;
use weft_domain::attribute::{Attribute, Pass, Standings};
use weft_domain::claim::ClaimId;
use weft_domain::event::Environment;
use weft_domain::input::Stream;
use weft_domain::plan::Plan;
use weft_domain::problem::Problems;
use weft_domain::value::Timestamp;
use weft_domain::view::{Totals, View};
use weft_host::Source;

use crate::config::Change;
use crate::delivery;
use crate::driver;
use crate::intake::Intake;
use crate::matcher::{self, Matcher};
use crate::telemetry::{Metrics, Stage};
use crate::writer::Ledger;

/// What the engine says of itself.
#[derive(Default)]
pub struct Status {
    workspace: Mutex<String>,
    shown: Mutex<Shown>,
    intake: Option<Intake>,
    metrics: Arc<Metrics>,
    matcher: Option<Matcher>,
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
    /// Where it was only asked, and the files have customers who are silent be forgotten: how many these are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inactive: Option<Forecast>,
}

/// How many customers `retention.inactive_profiles` would have forgotten, of those that there are now.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct Forecast {
    /// How many customers were looked at.
    pub profiles: u64,
    /// How many would go of whom an identifier that proves a login is known.
    pub known: u64,
    /// When their latest events occurred, at the latest; none where they stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known_before: Option<Timestamp>,
    /// How many would go who are anonymous.
    pub anonymous: u64,
    /// When their latest events occurred, at the latest; none where they stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anonymous_before: Option<Timestamp>,
    /// About when the last pass would begin that takes some of them, if nobody comes back; none where nobody would go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_pass: Option<Timestamp>,
    /// Whether there may be more: there was no time to look at all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_least: bool,
}

impl Forecast {
    /// How many would go.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.known + self.anonymous
    }

    /// Whether so many would go that it is probably not meant: more than a tenth of those who were looked at.
    #[must_use]
    pub fn is_large(&self) -> bool {
        self.total() > self.profiles / 10
    }
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
    /// What the workspace is called.
    #[serde(default)]
    pub workspace: String,
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
    /// Attributes, and traits with a rule of their own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attributes: Vec<AttributeReport>,
    /// How customers are compared with each other, where they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matching: Option<matcher::Standing>,
}

/// An attribute, or a trait with a rule of its own.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
pub struct AttributeReport {
    /// Its name.
    pub name: String,
    /// Whether it is a trait.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_trait: bool,
    /// How much of what came before it has been gone through, in per cent; none where all has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub building: Option<u8>,
    /// Values that it could not use: of another type, or too long.
    pub unusable_total: u64,
    /// Windows of a claim that have so many events that they leave by the second, the minute or the hour.
    pub coarse_total: u64,
    /// Claims that have more different values than can be told apart.
    pub too_many_total: u64,
    /// Events from before it that history did not have any more.
    pub missing_total: u64,
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
    /// Of an engine without stages, for a workspace of this name.
    #[must_use]
    pub fn of(workspace: String, intake: Intake, metrics: Arc<Metrics>, matcher: Matcher) -> Self {
        let workspace = Mutex::new(workspace);
        Status { workspace, intake: Some(intake), metrics, matcher: Some(matcher), ..Status::default() }
    }

    /// What the workspace is called.
    #[must_use]
    pub fn workspace(&self) -> String {
        self.workspace.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Calls the workspace so from now on.
    pub fn rename(&self, workspace: String) {
        *self.workspace.lock().unwrap_or_else(PoisonError::into_inner) = workspace;
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

    /// What looks for customers who are one, where something does.
    #[must_use]
    pub fn matcher(&self) -> Option<&Matcher> {
        self.matcher.as_ref()
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
        let (plan, totals, through, standings) = {
            let state = ledger.state();
            (state.plan().clone(), state.totals(), state.position(), state.standings())
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
            workspace: self.workspace(),
            trouble: self.obstacle(),
            config: self.reloaded(),
            generation: plan.generation,
            totals,
            intake: Waiting {
                records: self.intake.as_ref().map_or(0, |intake| intake.reader().durable_end()),
                through: ledger.intake_through(),
            },
            history: Waiting { records: ledger.history().durable_end(), through },
            sources: shown.doors.iter().map(door).chain(shown.drivers.iter().map(driver)).collect(),
            lanes: shown.lanes.iter().map(lane).collect(),
            attributes: attributes(&plan, &standings),
            matching: self.matcher.as_ref().and_then(Matcher::standing),
        }
    }
}

/// Attributes by name, then traits.
fn attributes(plan: &Plan, standings: &Standings) -> Vec<AttributeReport> {
    let report = |Attribute { name, is_trait, id, .. }: &Attribute| {
        let standing = standings.attributes.get(id).copied().unwrap_or_default();
        let pass = standings.passes.iter().find(|pass| pass.attributes.contains(id));
        // Claims are hashes, and so come evenly.
        let done = |pass: &Pass| pass.after.map_or(0, |(ClaimId(bytes), _)| u32::from(bytes[0]) * 100 / 256);
        AttributeReport {
            name: name.clone(),
            is_trait: *is_trait,
            building: pass.map(|pass| u8::try_from(done(pass)).unwrap_or(99)),
            unusable_total: standing.unusable_total,
            coarse_total: standing.coarse_total,
            too_many_total: standing.too_many_total,
            missing_total: standing.missing_total,
        }
    };
    let mut reports: Vec<AttributeReport> = plan.attributes.iter().map(report).collect();
    reports.sort_by(|one, other| (one.is_trait, &one.name).cmp(&(other.is_trait, &other.name)));
    reports
}
