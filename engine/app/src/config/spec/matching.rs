//! How people are told apart who share no identifier, as it is written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weft_matching::resolve::Thresholds;
use weft_matching::{Field, Fields, Kind};

use super::super::units::Duration;

/// How often a running engine may learn.
const TRAIN_EVERY_MIN_MS: u64 = 3_600_000;

/// Which fields tell people apart, and how sure is sure enough.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Weft matching")]
pub struct MatchingSpec {
    /// The fields that are compared, by name, each with what it holds: `city: text`. All parts of a name together are one name. A field is a
    /// trait or a type of identifier, in a file a column.
    #[schemars(length(min = 1))]
    pub compare: BTreeMap<String, ComparedSpec>,
    /// The probability from which two are one person.
    #[serde(default = "merge_at")]
    #[schemars(range(min = 0.5, max = 0.999999))]
    pub merge_at: f64,
    /// The probability from which a person is asked.
    #[serde(default = "review_at")]
    #[schemars(range(min = 0.01, max = 0.999999))]
    pub review_at: f64,
    /// When a running engine learns how much each field says. Files are learned from when somebody asks.
    #[serde(default)]
    pub train: TrainSpec,
}

/// When a running engine learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum TrainSpec {
    /// Only when somebody asks: `weft identity train`.
    ByHand(ByHand),
    /// By itself.
    ByItself(ScheduleSpec),
}

/// Only when somebody asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ByHand {
    /// Only when somebody asks: `weft identity train`.
    ByHand,
}

/// When a running engine learns by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSpec {
    /// From how many customers on; until then a model serves that has learned from nobody.
    #[serde(default = "train_after")]
    #[schemars(range(min = 100, max = 1_000_000_000))]
    pub after: u64,
    /// How often after that; sooner where there are twice as many people as the last model was learned from.
    #[serde(default = "train_every")]
    pub every: Duration,
}

impl Default for TrainSpec {
    fn default() -> Self {
        TrainSpec::ByItself(ScheduleSpec { after: train_after(), every: train_every() })
    }
}

impl TrainSpec {
    /// When, where it is by itself.
    #[must_use]
    pub fn schedule(self) -> Option<ScheduleSpec> {
        match self {
            TrainSpec::ByHand(ByHand::ByHand) => None,
            TrainSpec::ByItself(schedule) => Some(schedule),
        }
    }
}

/// What a field holds; or that, and where it is taken from.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ComparedSpec {
    /// What it holds.
    Kind(Kind),
    /// What it holds, and from where.
    From(FromSpec),
}

/// What a field holds, and where it is taken from.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FromSpec {
    /// What it holds.
    pub kind: Kind,
    /// The columns or traits that it is taken from; of several, the texts one after the other: `[house_number, street]`.
    pub from: Names,
}

/// One name, or several.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Names {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

fn merge_at() -> f64 {
    Thresholds::default().merge_at
}

fn review_at() -> f64 {
    Thresholds::default().review_at
}

/// Some hundred pairs of one person each are among so many customers: enough to say how often each field agrees.
fn train_after() -> u64 {
    1_000
}

/// What people write of themselves changes slowly, and a new model weighs every customer again.
fn train_every() -> Duration {
    Duration::from_ms(7 * 24 * 3_600_000)
}

/// What does not hold together, though each part is well formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The key.
    pub key: &'static str,
    /// What is wrong, for people.
    pub message: String,
}

impl MatchingSpec {
    /// Whether it holds together.
    ///
    /// # Errors
    /// [`Wrong`], what does not.
    pub fn check(&self) -> Result<(), Wrong> {
        let wrong = |key, message| Err(Wrong { key, message });
        if self.review_at > self.merge_at {
            let (review, merge) = (self.review_at, self.merge_at);
            let message = format!(
                "`review_at` is {review}, and `merge_at` is {merge}: what is sure enough to merge is not asked about, so `review_at` has to be the smaller one"
            );
            return wrong("review_at", message);
        }
        if self.train.schedule().is_some_and(|schedule| schedule.every.as_ms() < TRAIN_EVERY_MIN_MS) {
            return wrong(
                "train",
                "to learn more often than once an hour says nothing new: every customer is weighed again each time".into(),
            );
        }
        if let Some((name, _)) = self.compare.keys().zip(self.origins()).find(|(_, from)| from.is_empty()) {
            return wrong("compare", format!("`{name}` is taken from nothing: name what it is taken from, or leave `from` out"));
        }
        self.fields().map(drop).or_else(|message| wrong("compare", message))
    }

    /// The fields, in the order of their names.
    ///
    /// # Errors
    /// What is wrong with them, which [`MatchingSpec::check`] tells as well.
    pub fn fields(&self) -> Result<Fields, String> {
        let field = |(name, spec): (&String, &ComparedSpec)| Field { name: name.clone(), kind: spec.kind() };
        Fields::new(self.compare.iter().map(field).collect())
    }

    /// For each field, in the order of [`MatchingSpec::fields`], the columns or traits that it is taken from.
    #[must_use]
    pub fn origins(&self) -> Vec<Vec<String>> {
        let origin = |(name, spec): (&String, &ComparedSpec)| match spec {
            ComparedSpec::Kind(_) => vec![name.clone()],
            ComparedSpec::From(FromSpec { from: Names::One(from), .. }) => vec![from.clone()],
            ComparedSpec::From(FromSpec { from: Names::Several(from), .. }) => from.clone(),
        };
        self.compare.iter().map(origin).collect()
    }

    /// How sure is sure enough.
    #[must_use]
    pub fn thresholds(&self) -> Thresholds {
        Thresholds { merge_at: self.merge_at, review_at: self.review_at }
    }
}

impl ComparedSpec {
    fn kind(&self) -> Kind {
        match self {
            ComparedSpec::Kind(kind) => *kind,
            ComparedSpec::From(spec) => spec.kind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn read(text: &str) -> Result<MatchingSpec, String> {
        let read: Result<MatchingSpec, _> = crate::config::alone::document_of(Path::new("fields.yaml"), text);
        let spec = read.map_err(|problems| problems.to_string())?;
        spec.check().map_err(|wrong| format!("{}: {}", wrong.key, wrong.message)).map(|()| spec)
    }

    #[test]
    fn fields_and_their_origins_are_read() {
        let spec = read("compare:\n  name: person_name\n  street: { kind: address, from: [number, street] }\nmerge_at: 0.9\n")
            .expect("is right");
        assert_eq!(spec.origins(), [vec!["name".to_owned()], vec!["number".to_owned(), "street".to_owned()]]);
        assert_eq!((spec.merge_at, spec.review_at), (0.9, 0.5));
        assert_eq!(spec.fields().expect("are right").fields()[1].kind, Kind::Address);
    }

    #[test]
    fn when_to_learn_is_said_in_part_or_not_at_all() {
        let schedule = |text: &str| {
            let train = read(&format!("compare: {{ city: text }}\n{text}")).expect("is right").train;
            train.schedule().map(|schedule| (schedule.after, schedule.every.as_ms() / 3_600_000))
        };
        assert_eq!(schedule(""), Some((1_000, 168)));
        assert_eq!(schedule("train: { after: 5000 }\n"), Some((5_000, 168)));
        assert_eq!(schedule("train: { every: 1d }\n"), Some((1_000, 24)));
        assert_eq!(schedule("train: by_hand\n"), None);
    }

    #[test]
    fn what_does_not_hold_together_is_refused() {
        let check = |text: &str, want: &str| {
            let said = read(text).expect_err("is wrong");
            assert!(said.contains(want), "{said}");
        };
        check("compare: { city: text }\nmerge_at: 0.6\nreview_at: 0.8\n", "what is sure enough to merge is not asked about");
        check("compare: { city: txet }\n", "txet");
        check("compare: {}\n", "compare");
        check("compare: { city: { kind: text, from: [] } }\n", "`city` is taken from nothing");
        check("compare: { city: text }\nmerge_at: 2\n", "merge_at");
        check("compare: { city: text }\nmerge: 0.9\n", "merge");
        check("compare: { city: text }\ntrain: { every: 5m }\n", "once an hour");
    }
}
