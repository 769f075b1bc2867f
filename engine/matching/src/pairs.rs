//! Candidates of a whole set of records: the pairs that share a key.

use crate::block::keys;
use crate::field::Fields;
use crate::limits::BLOCK_RECORDS_MAX;
use crate::record::Record;
use crate::work::in_pieces;

/// Two records that may be one person.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// The place of the one among the records.
    pub a: u32,
    /// The place of the other, which is higher.
    pub b: u32,
    /// The weight of the evidence.
    pub weight: f64,
}

/// Records by their keys.
pub struct Candidates {
    /// The keys of all records, one record's after another's; 0 where a block is too large to be used.
    keys: Vec<u64>,
    /// Where each record's keys begin.
    starts: Vec<u32>,
    /// (key, place in `keys`, record), sorted by key.
    blocks: Vec<(u64, u32, u32)>,
    /// How many blocks had more records than are compared each with each.
    pub blocks_skipped: u64,
}

/// How many blocks one piece of work has, roughly: small enough that threads end together.
const PIECES: usize = 512;

impl Candidates {
    /// Finds the keys of all records.
    #[must_use]
    pub fn of(fields: &Fields, records: &[Record]) -> Candidates {
        let mut all =
            Candidates { keys: Vec::new(), starts: Vec::with_capacity(records.len() + 1), blocks: Vec::new(), blocks_skipped: 0 };
        let found =
            in_pieces(records.len(), |from, to| records[from..to].iter().map(|record| keys(fields, record)).collect::<Vec<_>>());
        all.starts.push(0);
        for (record, keys) in (0..).zip(found.into_iter().flatten()) {
            for key in keys {
                all.blocks.push((key, all.keys.len() as u32, record));
                all.keys.push(key);
            }
            all.starts.push(all.keys.len() as u32);
        }
        all.blocks.sort_unstable();
        let Candidates { keys, blocks, blocks_skipped, .. } = &mut all;
        let mut from = 0;
        for block in blocks.chunk_by(|one, other| one.0 == other.0) {
            if block.len() > BLOCK_RECORDS_MAX {
                *blocks_skipped += 1;
                block.iter().for_each(|(_, place, _)| keys[*place as usize] = 0);
            }
            from += block.len();
        }
        debug_assert_eq!(from, blocks.len());
        blocks.retain(|(_, place, _)| keys[*place as usize] != 0);
        all
    }

    /// How many pairs there are, where those of several blocks count once for each.
    pub(crate) fn pairs_at_most(&self) -> u64 {
        let blocks = self.blocks.chunk_by(|one, other| one.0 == other.0);
        blocks.map(|block| (block.len() * (block.len() - 1) / 2) as u64).sum()
    }

    /// Gives every pair of records that share a key once, the lower first, and collects what is made of them, in an order that does not
    /// depend on how many threads there are.
    pub fn map<T: Send>(&self, take: impl Fn(u32, u32) -> Option<T> + Sync) -> Vec<T> {
        let borders: Vec<usize> = (0..=PIECES)
            .map(|piece| {
                let mut at = self.blocks.len() * piece / PIECES;
                while at > 0 && at < self.blocks.len() && self.blocks[at].0 == self.blocks[at - 1].0 {
                    at += 1;
                }
                at
            })
            .collect();
        let found = in_pieces(PIECES, |from, to| {
            let mut out = Vec::new();
            for block in self.blocks[borders[from]..borders[to]].chunk_by(|one, other| one.0 == other.0) {
                for (nth, (key, _, a)) in block.iter().enumerate() {
                    for (_, _, b) in &block[nth + 1..] {
                        if a != b && self.is_first(*key, *a, *b) {
                            out.extend(take(*a.min(b), *a.max(b)));
                        }
                    }
                }
            }
            out
        });
        found.into_iter().flatten().collect()
    }

    /// Whether a key is the first that two records share: a pair of several blocks counts in one.
    fn is_first(&self, key: u64, a: u32, b: u32) -> bool {
        let of = |record: u32| &self.keys[self.starts[record as usize] as usize..self.starts[record as usize + 1] as usize];
        let (a, b) = (of(a), of(b));
        a.iter().take_while(|one| **one != key).all(|one| *one == 0 || !b.contains(one))
    }
}
