//! Which keys sled surely does not have: a new person is asked for under keys that nobody has, and each such question would
//! walk sled's tree and read a leaf from disk.
//!
//! A Bloom filter in layers, each twice the one before, about 10 bits for a key; one question in a hundred is asked in vain. It only
//! ever says "surely not", so losing it costs time and nothing else. Kept beside sled at an orderly close, filled again from sled
//! after any other. It never touches a row's value.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use fastbloom::AtomicBloomFilter;

const NAME: &str = "filter";
const MAGIC: [u8; 8] = *b"weftfltr";
/// Questions asked in vain.
const FALSE_POSITIVES: f64 = 0.01;
/// Keys that the first layer has room for: 1.2 MB.
const FIRST_LAYER_KEYS: u64 = 1 << 20;
const SEED: u128 = 0x7765_6674;

/// The filter of one state.
#[derive(Default)]
pub(super) struct Filter {
    layers: RwLock<Vec<Layer>>,
    /// Whether it knows all keys: until then it answers "perhaps".
    complete: AtomicBool,
}

struct Layer {
    bits: AtomicBloomFilter,
    keys: AtomicU64,
    keys_max: u64,
}

impl Filter {
    /// Notes a key. Before sled is told of it.
    pub(super) fn insert(&self, key: &[u8]) {
        let layers = self.layers.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(layer) = layers.last().filter(|layer| layer.keys.load(Ordering::Relaxed) < layer.keys_max) {
            if !layer.bits.insert(key) {
                layer.keys.fetch_add(1, Ordering::Relaxed);
            }
            return;
        }
        drop(layers);
        let mut layers = self.layers.write().unwrap_or_else(PoisonError::into_inner);
        let number = layers.len();
        // Another thread may have been quicker; then this layer is one more than needed, and no harm.
        layers.push(layer(number));
        drop(layers);
        self.insert(key);
    }

    /// Whether sled may have a key.
    pub(super) fn may_hold(&self, key: &[u8]) -> bool {
        !self.is_complete()
            || self.layers.read().unwrap_or_else(PoisonError::into_inner).iter().any(|layer| layer.bits.contains(key))
    }

    /// Whether it knows all keys.
    pub(super) fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    /// From now on it knows all keys.
    pub(super) fn complete(&self) {
        self.complete.store(true, Ordering::Release);
    }

    /// Keeps it beside sled, whose last commit was number `epoch`. What it takes on disk it takes in memory.
    pub(super) fn save(&self, dir: &Path, epoch: u64) -> std::io::Result<()> {
        if !self.is_complete() {
            return Ok(());
        }
        let layers = self.layers.read().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&epoch.to_le_bytes());
        for layer in layers.iter() {
            bytes.extend_from_slice(&layer.keys.load(Ordering::Relaxed).to_le_bytes());
            bytes.extend(layer.bits.iter().flat_map(u64::to_le_bytes));
        }
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        fs::write(dir.join(NAME), bytes)
    }

    /// The filter as it was kept, if it is that of the commit number `epoch`. It is not kept any longer.
    pub(super) fn load(dir: &Path, epoch: u64) -> Filter {
        let path = dir.join(NAME);
        let bytes = fs::read(&path).unwrap_or_default();
        // It will be out of date, and says so by its number.
        let _ = fs::remove_file(&path);
        match parse(&bytes, epoch) {
            Some(layers) => Filter { layers: RwLock::new(layers), complete: AtomicBool::new(true) },
            None => Filter::default(),
        }
    }
}

/// A new layer: each holds twice the keys of the one before.
fn layer(number: usize) -> Layer {
    let keys_max = FIRST_LAYER_KEYS << number;
    let bits = AtomicBloomFilter::with_false_pos(FALSE_POSITIVES).seed(&SEED).expected_items(keys_max as usize);
    Layer { bits, keys: AtomicU64::new(0), keys_max }
}

fn parse(bytes: &[u8], epoch: u64) -> Option<Vec<Layer>> {
    let (bytes, crc) = bytes.split_last_chunk::<4>()?;
    let (head, mut rest) = bytes.split_first_chunk::<16>()?;
    let known = head[..8] == MAGIC && head[8..] == epoch.to_le_bytes() && *crc == crc32c::crc32c(bytes).to_le_bytes();
    let mut layers = Vec::new();
    while known && !rest.is_empty() {
        let mut layer = layer(layers.len());
        let (keys, words) = rest.split_first_chunk()?;
        let (words, left) = words.split_at_checked(layer.bits.num_bits() / 8)?;
        let words: Vec<u64> = words.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect();
        layer.bits = AtomicBloomFilter::from_vec(words).seed(&SEED).hashes(layer.bits.num_hashes());
        layer.keys = AtomicU64::new(u64::from_le_bytes(*keys));
        rest = left;
        layers.push(layer);
    }
    known.then_some(layers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_in_is_never_denied_also_after_a_restart() {
        let dir = tempfile::tempdir().expect("a folder");
        let filter = Filter::default();
        assert!(filter.may_hold(b"nothing is known before it is complete"));
        filter.complete();
        let key = |number: u64| number.to_be_bytes();
        let all = FIRST_LAYER_KEYS + 100_000;
        (0..all).for_each(|number| filter.insert(&key(number)));
        filter.save(dir.path(), 7).expect("saves");
        let check = |filter: &Filter| {
            assert!((0..all).all(|number| filter.may_hold(&key(number))));
            let vain = (all..all + 100_000).filter(|number| filter.may_hold(&key(*number))).count();
            assert!(vain < 4_000, "{vain} of 100,000");
        };
        check(&filter);
        assert!(Filter::load(dir.path(), 8).may_hold(b"that of another commit counts for nothing"));
        filter.save(dir.path(), 7).expect("saves");
        check(&Filter::load(dir.path(), 7));
        assert!(!dir.path().join(NAME).exists());
    }
}
