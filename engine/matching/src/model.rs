//! The model: how much each agreement says, and why.
//!
//! After Fellegi and Sunter ("A Theory for Record Linkage", 1969): a pattern has a likelihood among pairs of one person, and one
//! among pairs of strangers, and the weight of the evidence is the binary logarithm of their ratio. Two things are added.
//!
//! **Term frequencies** (Winkler, 1988): two strangers who share a value do so with the share that this value has, so that a shared `Xaver`
//! says more than a shared `Thomas`, and a switchboard's number hardly anything.
//!
//! **Households and namesakes.** Address, telephone and family name agree *together* among people of one home, and given with family name among
//! namesakes. Taken as independent they would outweigh what differs, and whole families would become one person. So there are further
//! classes of pairs beside strangers, in which some fields agree for a reason, as often as the data say, and the rest by chance:
//!
//! ```text
//! weight = log2  λ(match) ∏ match(level)  /  ∑ over the other classes  λ(class) ∏ class(level)          probability = 2^weight / (1 + 2^weight)
//! ```

use serde::{Deserialize, Serialize};

use crate::compare::{MISSING, Pattern, compare};
use crate::field::{Fields, Ladder};
use crate::record::Record;
use crate::work::threads;

/// What a pair of records can be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// One person.
    Match,
    /// Two people who share a home, a telephone, a family's mailbox.
    Household,
    /// Two people who share a name.
    Namesake,
    /// Two people who share nothing but by chance.
    Stranger,
}

/// A telephone number that is not known to be shared was given to a second owner, by chance, in one of ten cases; in records.
const ASSIGNED_TWICE: f64 = 0.1;

/// How the values of a component come to agree within a class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Agreement {
    /// As often as was learned.
    Learned,
    /// By chance, as among strangers, and in this share of pairs for a reason that is not learned: twins, father and son of one name.
    Chance(f64),
}

impl Class {
    /// Every class, in the order of [`Model::shares`] and [`Learned::levels`].
    pub const ALL: [Class; 4] = [Class::Match, Class::Household, Class::Namesake, Class::Stranger];

    /// How values come to agree.
    pub(crate) fn agreement(self, ladder: Ladder) -> Agreement {
        use Ladder as L;
        match (self, ladder) {
            (Class::Match, _) => Agreement::Learned,
            (Class::Household, L::Given | L::Date) => Agreement::Chance(0.03),
            (Class::Household, L::Order | L::Generation) => Agreement::Chance(0.0),
            (Class::Household, _) => Agreement::Learned,
            (Class::Namesake, L::Given | L::Family | L::Order | L::Text) => Agreement::Learned,
            (Class::Namesake, _) | (Class::Stranger, _) => Agreement::Chance(0.0),
        }
    }
}

/// What was learned of some fields, and how two records are weighed by it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// The fields that are compared.
    pub fields: Fields,
    /// How many records it was learned from.
    pub records_total: u64,
    /// The share of each class among all pairs, in the order of [`Class::ALL`].
    pub shares: [f64; 4],
    /// What was learned of each component, in the order of [`Fields::components`].
    pub components: Vec<Learned>,
}

/// What was learned of a component.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Learned {
    /// The share of each level among the pairs of each class, in the order of [`Class::ALL`].
    pub levels: [Vec<f64>; 4],
    /// Values that are frequent: their hashes, and the share of records that have them.
    pub frequent: Vec<(u64, f32)>,
    /// The share of records that a value has which is not among the frequent ones.
    pub rare: f32,
    /// The share from which on a value says nothing, because so many have it.
    pub share_max: f32,
}

/// How two records stand to each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The binary logarithm of the odds that the two are one person.
    pub weight: f64,
    /// The probability that they are.
    pub probability: f64,
    /// What is said before any field is looked at: that two records are hardly ever one person.
    pub prior: f64,
    /// What each component that both have adds or takes away.
    pub reasons: Vec<Reason>,
    /// What is taken away because people of one household, or namesakes, would look like this as well.
    pub shared: f64,
}

/// What a component adds to the weight.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// The component.
    pub component: String,
    /// Its level.
    pub level: String,
    /// The two values, in the form in which they were compared.
    pub values: (String, String),
    /// The binary logarithm of how much more often one person's records look so than two strangers'.
    pub weight: f64,
    /// The weight of all evidence if neither record had this component. It is no difference of weights: what a home or a name explains
    /// is another part of the whole then.
    pub without: f64,
}

/// What a level of a component says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Level {
    /// The component.
    pub component: String,
    /// The level.
    pub level: String,
    /// Its share among pairs of one person.
    pub matches: f64,
    /// Its share among strangers, over all values: a rare value says more, and a frequent one less.
    pub strangers: f64,
}

impl Model {
    /// Notes at each value of a record how frequent it is by this model. To be done before the record is compared.
    pub fn weigh(&self, record: &mut Record) {
        for value in record.values_mut() {
            let Some(learned) = self.components.get(usize::from(value.component)) else { continue };
            let found = learned.frequent.binary_search_by_key(&value.hash, |(hash, _)| *hash);
            let share = found.map_or(learned.rare, |place| learned.frequent[place].1);
            value.frequency = if share > learned.share_max { f32::INFINITY } else { share.log2() };
        }
    }

    /// [`Model::weigh`] of many records, on all processors.
    pub fn weigh_all(&self, records: &mut [Record]) {
        let threads = threads();
        if threads == 1 {
            return records.iter_mut().for_each(|record| self.weigh(record));
        }
        let size = records.len().div_ceil(threads).max(1);
        std::thread::scope(|scope| {
            for part in records.chunks_mut(size) {
                scope.spawn(move || part.iter_mut().for_each(|record| self.weigh(record)));
            }
        });
    }

    /// Whether it holds together: a model comes from a file that anybody may have written.
    ///
    /// # Errors
    /// What does not, for people.
    pub fn check(&self) -> Result<(), String> {
        let components = self.fields.components();
        if self.components.len() != components.len() {
            return Err(format!("it has {} components, and its fields have {}", self.components.len(), components.len()));
        }
        let is_share = |share: &f64| (0.0..=1.0).contains(share);
        if self.records_total == 0 || !self.shares.iter().all(|share| is_share(share) && *share > 0.0) {
            return Err("the shares of its classes are none".into());
        }
        for (component, learned) in components.iter().zip(&self.components) {
            let count = component.ladder.levels().len();
            if learned.levels.iter().any(|levels| levels.len() != count || !levels.iter().all(is_share)) {
                return Err(format!("`{}` does not have {count} levels with a share each", component.name));
            }
            if !component.ladder.weighs_frequency() {
                continue;
            }
            let sorted = learned.frequent.is_sorted_by(|one, other| one.0 < other.0);
            let is_frequency = |share: f32| share > 0.0 && share <= 1.0;
            if !sorted || !is_frequency(learned.rare) || !learned.frequent.iter().all(|(_, share)| is_frequency(*share)) {
                return Err(format!("the frequencies of `{}` are out of order", component.name));
            }
        }
        Ok(())
    }

    /// Forgets all but so many frequent values of each component, the rarest first: for a model that must be small. What is forgotten
    /// counts as the most common of the rare ones, since that errs on the side of saying less.
    pub fn keep_frequent(&mut self, max: usize) {
        for learned in self.components.iter_mut().filter(|learned| learned.frequent.len() > max) {
            learned.frequent.sort_unstable_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
            let most = learned.frequent[max..].first().map_or(learned.rare, |(_, share)| *share);
            learned.rare = learned.rare.max(most);
            learned.frequent.truncate(max);
            learned.frequent.sort_unstable_by_key(|(hash, _)| *hash);
        }
    }

    /// What was learned of each level of each component: how much it says.
    #[must_use]
    pub fn summary(&self) -> Vec<Level> {
        let components = self.fields.components().iter().zip(&self.components);
        components
            .flat_map(|(component, learned)| {
                component.ladder.levels().iter().enumerate().map(|(level, name)| Level {
                    component: component.name.clone(),
                    level: (*name).to_owned(),
                    matches: learned.levels[0][level],
                    strangers: learned.levels[3][level],
                })
            })
            .collect()
    }

    /// The weight of the evidence that two weighed records are of one person.
    #[must_use]
    pub fn weight(&self, a: &Record, b: &Record) -> f64 {
        self.weight_of(&compare(&self.fields, a, b))
    }

    /// The weight of a pattern.
    #[must_use]
    pub fn weight_of(&self, pattern: &Pattern) -> f64 {
        let [one, others @ ..] = self.likelihoods(pattern);
        one - log2_sum(others)
    }

    /// The weight of two weighed records, and what it is made of.
    #[must_use]
    pub fn explain(&self, a: &Record, b: &Record) -> Evidence {
        let pattern = compare(&self.fields, a, b);
        let [one, others @ ..] = self.likelihoods(&pattern);
        let prior = self.shares[0].log2() - self.shares[3].log2();
        let mut reasons = Vec::new();
        for (place, component) in self.fields.components().iter().enumerate() {
            let level = pattern.levels[place];
            let Some(name) = component.ladder.levels().get(usize::from(level)) else { continue };
            let [one, .., strangers] = self.component(place, &pattern);
            let (nth_a, nth_b) = pattern.values[place];
            let shown = |record: &Record, nth: u8| {
                record.values().get(usize::from(nth)).map_or("", |value| record.form(value)).to_owned()
            };
            let values = if component.ladder == Ladder::Order { Default::default() } else { (shown(a, nth_a), shown(b, nth_b)) };
            reasons.push(Reason {
                component: component.name.clone(),
                level: (*name).to_owned(),
                values,
                weight: one.log2() - strangers.log2(),
                without: self.weight_without(place, a, b),
            });
        }
        let other = log2_sum(others);
        let weight = one - other;
        Evidence { weight, probability: probability(weight), prior, reasons, shared: others[2] - other }
    }

    /// The weight of two weighed records as if neither had a component.
    fn weight_without(&self, place: usize, a: &Record, b: &Record) -> f64 {
        let component = place as u8;
        let mut pattern = compare(&self.fields, &a.without(component), &b.without(component));
        // The order of names is read off two components, and is none of a record's own.
        pattern.levels[place] = MISSING;
        self.weight_of(&pattern)
    }

    /// The binary logarithms of share and likelihood in each class.
    pub(crate) fn likelihoods(&self, pattern: &Pattern) -> [f64; 4] {
        let mut product = self.shares;
        let mut logarithm = [0.0; 4];
        for place in 0..self.components.len() {
            if pattern.levels[place] == MISSING {
                continue;
            }
            for ((product, logarithm), factor) in product.iter_mut().zip(&mut logarithm).zip(self.component(place, pattern)) {
                *product *= factor;
                // Far from where a float ends.
                if *product < 1e-200 {
                    *logarithm += product.log2();
                    *product = 1.0;
                }
            }
        }
        product[3] *= self.lift(pattern);
        std::array::from_fn(|class| logarithm[class] + product[class].log2())
    }

    /// How much more often strangers share the whole name of a pattern than they would if given and family names were
    /// independent, as they are not among people of one origin. Of the records with this name, those of the person herself do not count.
    fn lift(&self, pattern: &Pattern) -> f64 {
        let place = |ladder| self.fields.place(ladder).map(usize::from);
        let (Some(given), Some(family), Some(whole)) = (place(Ladder::Given), place(Ladder::Family), place(Ladder::Whole)) else {
            return 1.0;
        };
        if pattern.levels[given] != 0 || pattern.levels[family] != 0 || pattern.frequency[whole] == 0.0 {
            return 1.0;
        }
        let share = |place: usize| f64::from(pattern.frequency[place].exp2());
        ((share(whole) - self.own(pattern)) / (share(given) * share(family))).max(1.0)
    }

    /// The share of all records that are taken to be of the person of a pattern: those that the two stand for, and at least twice as many as
    /// a record has besides itself on average, since it is people of many records that a shared value is about.
    fn own(&self, pattern: &Pattern) -> f64 {
        let records = self.records_total as f64;
        (2.0 * self.shares[0] + 1.0 / records).max(f64::from(pattern.count) / records)
    }

    /// How often pairs of each class show what the pattern shows of a component that both have.
    fn component(&self, place: usize, pattern: &Pattern) -> [f64; 4] {
        let learned = &self.components[place];
        let level = usize::from(pattern.levels[place]);
        let ladder = self.fields.components()[place].ladder;
        let chance = match level {
            // Who shares an address with nobody but herself shares it with no stranger: her own records do not count.
            0 if ladder.is_assigned() => {
                let others = f64::from(pattern.frequency[place].exp2()) - self.own(pattern);
                others.max(ASSIGNED_TWICE / self.records_total as f64)
            }
            0 if ladder.weighs_frequency() => f64::from(pattern.frequency[place].exp2()),
            _ => learned.levels[3][level],
        };
        std::array::from_fn(|class| match Class::ALL[class].agreement(ladder) {
            Agreement::Learned => learned.levels[class][level],
            Agreement::Chance(reason) => (1.0 - reason) * chance + if level == 0 { reason } else { 0.0 },
        })
    }
}

/// The probability of a weight.
#[must_use]
pub fn probability(weight: f64) -> f64 {
    1.0 / (1.0 + (-weight).exp2())
}

/// The weight of a probability.
#[must_use]
pub fn weight(probability: f64) -> f64 {
    (probability / (1.0 - probability)).log2()
}

/// The binary logarithm of a sum of numbers given by theirs.
pub(crate) fn log2_sum<const N: usize>(logarithms: [f64; N]) -> f64 {
    let high = logarithms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    high + logarithms.iter().map(|one| (one - high).exp2()).sum::<f64>().log2()
}
