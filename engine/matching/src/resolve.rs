//! A whole set of records at once: candidates, a model where there is none, weights, groups.

use serde::{Deserialize, Serialize};

use crate::cluster::cluster;
use crate::field::Fields;
use crate::model::{Model, weight};
use crate::pairs::Candidates;
pub use crate::pairs::Pair;
use crate::record::Record;
use crate::train::train;

/// From which probabilities on pairs are one person, or a question for people.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Thresholds {
    /// From here on, two records are one person.
    pub merge_at: f64,
    /// From here on, somebody is asked.
    pub review_at: f64,
}

impl Default for Thresholds {
    fn default() -> Self {
        Thresholds { merge_at: 0.85, review_at: 0.5 }
    }
}

/// What came of a set of records.
#[derive(Debug)]
pub struct Resolution {
    /// The model by which they were compared.
    pub model: Model,
    /// Pairs at or above the threshold of review, the heaviest first.
    pub pairs: Vec<Pair>,
    /// For each record the lowest record of its person.
    pub persons: Vec<u32>,
    /// How many pairs were compared.
    pub compared_total: u64,
    /// How many keys were shared by too many records to compare them.
    pub blocks_skipped: u64,
}

/// A part of the work, for whoever shows how far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Finding candidates.
    Candidates,
    /// Learning a model.
    Training,
    /// Weighing the candidates.
    Weighing,
    /// Grouping.
    Grouping,
}

/// The weight from which a pair may still become one person by what further records say.
const WORTH_A_LOOK: f64 = -6.0;

/// Learns a model from records, and weighs them by it.
pub fn learn(fields: &Fields, records: &mut [Record], mut progress: impl FnMut(Stage)) -> Model {
    progress(Stage::Candidates);
    let candidates = Candidates::of(fields, records);
    progress(Stage::Training);
    train(fields, records, &candidates)
}

/// Resolves a set of records by a model, or by one that is learned from them.
pub fn resolve(
    fields: &Fields,
    records: &mut [Record],
    model: Option<Model>,
    thresholds: Thresholds,
    mut progress: impl FnMut(Stage),
) -> Resolution {
    progress(Stage::Candidates);
    let candidates = Candidates::of(fields, records);
    progress(Stage::Training);
    let model = match model {
        Some(model) => {
            model.weigh_all(records);
            model
        }
        None => train(fields, records, &candidates),
    };
    progress(Stage::Weighing);
    let records = &*records;
    let compared = std::sync::atomic::AtomicU64::new(0);
    let mut pairs = candidates.map(|a, b| {
        compared.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let weight = model.weight(&records[a as usize], &records[b as usize]);
        (weight >= WORTH_A_LOOK).then_some(Pair { a, b, weight })
    });
    pairs.sort_unstable_by(|one, other| other.weight.total_cmp(&one.weight).then((one.a, one.b).cmp(&(other.a, other.b))));
    progress(Stage::Grouping);
    let merge = weight(thresholds.merge_at);
    let persons = cluster(&model, records, &pairs, merge);
    let review = weight(thresholds.review_at.min(thresholds.merge_at));
    pairs.truncate(pairs.partition_point(|pair| pair.weight >= review));
    let blocks_skipped = candidates.blocks_skipped;
    Resolution { model, pairs, persons, compared_total: compared.into_inner(), blocks_skipped }
}
