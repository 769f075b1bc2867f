//! From pairs to persons.
//!
//! Not by closure: a chain of likely pairs would tie a household together through its shared number. The two most alike groups become
//! one, then the next, where *all that the one's records say together* looks like all that the other's say; so that weak signs of several
//! records add up. And *on average over all pairs of records of both* they must not contradict, so that a mistake does not spread.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use crate::limits::LINKAGE_PAIRS_MAX;
use crate::model::Model;
use crate::pairs::Pair;
use crate::record::Record;
use crate::text::mix;

/// How far one pair of records counts for or against, in bits: a chain of evidence is not outweighed by one field that was typed wrongly.
const WEIGHT_MAX: f64 = 12.0;

/// The mean weight below which records contradict one another. Somebody who moved, married and changed the number has records that look like
/// different people's; two people's look far more so.
const CONTRADICTION: f64 = -3.0;

/// Groups records, given pairs of them that are worth a look, and the weight from which two groups are one person. Gives for each record the lowest
/// of its group.
pub(crate) fn cluster(model: &Model, records: &[Record], pairs: &[Pair], merge: f64) -> Vec<u32> {
    let mut groups = Groups::of(model, records, pairs);
    let mut next: BinaryHeap<Proposal> = pairs
        .iter()
        .filter(|pair| pair.weight >= merge)
        .map(|pair| Proposal { weight: pair.weight, a: pair.a, b: pair.b, versions: (0, 0) })
        .collect();
    while let Some(proposal) = next.pop() {
        let Proposal { a, b, versions, .. } = proposal;
        if groups.version(a) != Some(versions.0) || groups.version(b) != Some(versions.1) {
            continue;
        }
        if versions != (0, 0) && groups.contradict(a, b) {
            continue;
        }
        let into = groups.join(a, b);
        for neighbour in groups.neighbours(into) {
            let weight = groups.weight(into, neighbour);
            if weight >= merge {
                let (a, b) = (into.min(neighbour), into.max(neighbour));
                let versions = (groups.versions[a as usize], groups.versions[b as usize]);
                next.push(Proposal { weight, a, b, versions });
            }
        }
    }
    (0..records.len() as u32).map(|record| groups.find(record)).collect()
}

/// Two groups that may be one person, as they were when they were compared.
struct Proposal {
    weight: f64,
    a: u32,
    b: u32,
    versions: (u32, u32),
}

impl Ord for Proposal {
    fn cmp(&self, other: &Self) -> Ordering {
        self.weight.total_cmp(&other.weight).then((other.a, other.b).cmp(&(self.a, self.b)))
    }
}

impl PartialOrd for Proposal {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Proposal {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Proposal {}

/// Groups by their lowest record.
struct Groups<'a> {
    model: &'a Model,
    records: &'a [Record],
    /// The group into which a group went; itself where it is one.
    into: Vec<u32>,
    /// How often a group has grown.
    versions: Vec<u32>,
    /// The groups that share a candidate pair with a group, perhaps as they were before they went into others.
    near: Vec<Vec<u32>>,
    /// Of groups of more than one record: the records, and what they say together.
    grown: HashMap<u32, (Vec<u32>, Record)>,
}

impl<'a> Groups<'a> {
    fn of(model: &'a Model, records: &'a [Record], pairs: &[Pair]) -> Self {
        let mut near = vec![Vec::new(); records.len()];
        for pair in pairs {
            near[pair.a as usize].push(pair.b);
            near[pair.b as usize].push(pair.a);
        }
        let into = (0..records.len() as u32).collect();
        Groups { model, records, into, versions: vec![0; records.len()], near, grown: HashMap::new() }
    }

    fn find(&self, mut record: u32) -> u32 {
        while self.into[record as usize] != record {
            record = self.into[record as usize];
        }
        record
    }

    /// The version of a group; none where it went into another.
    fn version(&self, group: u32) -> Option<u32> {
        (self.into[group as usize] == group).then(|| self.versions[group as usize])
    }

    fn neighbours(&mut self, group: u32) -> Vec<u32> {
        let mut near: Vec<u32> =
            self.near[group as usize].iter().map(|one| self.find(*one)).filter(|one| *one != group).collect();
        near.sort_unstable();
        near.dedup();
        self.near[group as usize].clone_from(&near);
        near
    }

    fn record(&self, group: u32) -> &Record {
        self.grown.get(&group).map_or(&self.records[group as usize], |(_, record)| record)
    }

    fn members(&self, group: u32) -> Vec<u32> {
        self.grown.get(&group).map_or_else(|| vec![group], |(members, _)| members.clone())
    }

    /// The weight of all that two groups say.
    fn weight(&self, a: u32, b: u32) -> f64 {
        self.model.weight(self.record(a), self.record(b))
    }

    fn contradict(&self, a: u32, b: u32) -> bool {
        let records = |group| self.members(group).into_iter().map(|one| &self.records[one as usize]).collect::<Vec<_>>();
        contradict(self.model, &records(a), &records(b))
    }

    fn join(&mut self, a: u32, b: u32) -> u32 {
        let (a, b) = (a.min(b), a.max(b));
        let united = Record::unite([self.record(a), self.record(b)]);
        let (mut members, more) = (self.members(a), self.members(b));
        members.extend(more);
        self.grown.remove(&b);
        self.grown.insert(a, (members, united));
        let near = std::mem::take(&mut self.near[b as usize]);
        self.near[a as usize].extend(near);
        self.into[b as usize] = a;
        self.versions[a as usize] += 1;
        a
    }
}

/// Whether the weighed records of two groups contradict each other on average over all pairs of them, so that they are not one person whatever all
/// of the one say together with all of the other.
#[must_use]
pub fn contradict(model: &Model, a: &[&Record], b: &[&Record]) -> bool {
    let total = a.len() * b.len();
    let drawn = total.min(LINKAGE_PAIRS_MAX);
    let mut sum = 0.0;
    for nth in 0..drawn {
        let nth = if drawn == total { nth } else { mix(nth as u64) as usize % total };
        let (one, other) = (a[nth / b.len()], b[nth % b.len()]);
        sum += model.weight(one, other).clamp(-WEIGHT_MAX, WEIGHT_MAX);
    }
    sum / (drawn.max(1) as f64) < CONTRADICTION
}
