//! What people's records are like before anybody has looked at them: the model that serves until one is learned.
//!
//! The figures are rounded from what models learned of shops' and associations' lists (`benches/people`), and set so that a mistake is
//! rather a question too many than two people who become one. They know no names and no numbers: every value counts as a rather common one.

use crate::field::{Fields, Ladder};
use crate::limits::ASSIGNED_RECORDS_MAX;
use crate::model::{Class, Learned, Model};

/// How many records the figures are taken to be of.
const RECORDS: u64 = 10_000;

/// The shares of the classes among all pairs of so many records: three in ten records have another of the same person, every record has one of
/// its home, and one in ten thousand pairs is of namesakes.
const SHARES: [f64; 3] = [0.6 / RECORDS as f64, 1.0 / RECORDS as f64, 1e-4];

impl Model {
    /// A model of these fields that has learned from nothing.
    #[must_use]
    pub fn untrained(fields: &Fields) -> Model {
        let [one, home, namesakes] = SHARES;
        Model {
            fields: fields.clone(),
            records_total: RECORDS,
            shares: [one, home, namesakes, 1.0 - one - home - namesakes],
            components: fields.components().iter().map(|component| learned(component.ladder)).collect(),
        }
    }
}

fn learned(ladder: Ladder) -> Learned {
    let share_max = if ladder.is_assigned() { ASSIGNED_RECORDS_MAX as f32 / RECORDS as f32 } else { 1.0 };
    let share_max = if ladder.weighs_frequency() { share_max } else { 0.0 };
    Learned {
        levels: Class::ALL.map(|class| levels(class, ladder).to_vec()),
        frequent: Vec::new(),
        rare: rare(ladder),
        share_max,
    }
}

/// The share of records that have a value of which nothing is known.
fn rare(ladder: Ladder) -> f32 {
    match ladder {
        Ladder::Given => 0.004,
        Ladder::Family => 0.002,
        Ladder::Whole => 1e-5,
        Ladder::Order | Ladder::Generation => 0.0,
        Ladder::Email | Ladder::Phone | Ladder::Code => 1.0 / RECORDS as f32,
        Ladder::Date => 0.000_5,
        Ladder::Postcode => 0.002,
        Ladder::Address => 0.001,
        Ladder::Text => 0.03,
    }
}

/// How levels are spread in a class. Where a class agrees by chance ([`Class::agreement`]) it is as among strangers.
fn levels(class: Class, ladder: Ladder) -> &'static [f64] {
    use Class as C;
    use Ladder as L;
    match (class, ladder) {
        (C::Match, L::Given) => &[0.80, 0.06, 0.03, 0.04, 0.005, 0.02, 0.045],
        (C::Namesake, L::Given) => &[0.90, 0.04, 0.02, 0.02, 0.005, 0.005, 0.01],
        (_, L::Given) => &[0.004, 0.003, 0.004, 0.001, 0.001, 0.005, 0.982],
        (C::Match, L::Family) => &[0.82, 0.05, 0.03, 0.04, 0.01, 0.05],
        (C::Household, L::Family) => &[0.60, 0.05, 0.03, 0.02, 0.01, 0.29],
        (C::Namesake, L::Family) => &[0.92, 0.02, 0.02, 0.02, 0.01, 0.01],
        (_, L::Family) => &[0.002, 0.000_5, 0.004, 0.000_5, 0.003, 0.99],
        (_, L::Whole) => &[],
        (C::Match, L::Order) => &[0.97, 0.03],
        (C::Namesake, L::Order) => &[0.98, 0.02],
        (_, L::Order) => &[0.9999, 0.0001],
        (C::Match, L::Generation) => &[0.995, 0.005],
        (_, L::Generation) => &[0.5, 0.5],
        (C::Match, L::Email) => &[0.82, 0.02, 0.01, 0.15],
        (C::Household, L::Email) => &[0.05, 0.005, 0.002, 0.943],
        (_, L::Email) => &[0.000_1, 0.000_02, 0.000_02, 0.999_86],
        (C::Match, L::Phone) => &[0.80, 0.02, 0.02, 0.16],
        (C::Household, L::Phone) => &[0.25, 0.005, 0.005, 0.74],
        (_, L::Phone) => &[0.000_1, 0.000_02, 0.000_05, 0.999_83],
        (C::Match, L::Date) => &[0.88, 0.06, 0.02, 0.02, 0.02],
        (_, L::Date) => &[0.000_5, 0.001_5, 0.004, 0.014, 0.98],
        (C::Match, L::Postcode) => &[0.85, 0.03, 0.05, 0.07],
        (C::Household, L::Postcode) => &[0.96, 0.02, 0.01, 0.01],
        (_, L::Postcode) => &[0.002, 0.01, 0.025, 0.963],
        (C::Match, L::Address) => &[0.80, 0.06, 0.01, 0.13],
        (C::Household, L::Address) => &[0.94, 0.03, 0.01, 0.02],
        (_, L::Address) => &[0.001, 0.000_2, 0.002, 0.996_8],
        (C::Match, L::Text) => &[0.86, 0.05, 0.09],
        (C::Household, L::Text) => &[0.93, 0.04, 0.03],
        (C::Namesake, L::Text) => &[0.30, 0.02, 0.68],
        (_, L::Text) => &[0.03, 0.003, 0.967],
        (C::Match, L::Code) => &[0.70, 0.01, 0.29],
        (C::Household, L::Code) => &[0.10, 0.002, 0.898],
        (_, L::Code) => &[0.000_1, 0.000_02, 0.999_88],
    }
}
