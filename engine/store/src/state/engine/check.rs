//! Whether the rows in sled are those that were committed. Reads only; what it finds is the caller's to report.

use sled::{IVec, Tree};

use super::{Marker, Space, damaged, failed, fingerprint};
use crate::{StoreError, format};

/// Places of each tree that a sample looks at.
const PROBES: u16 = 16;
/// Rows at each place.
const ROWS_PER_PROBE: usize = 16;

/// Reads rows at the beginning, at the end, and here and there between.
pub(super) fn sample(trees: &[Tree], marker: &Marker) -> Result<(), StoreError> {
    for tree in trees {
        for row in tree.iter().rev().take(ROWS_PER_PROBE) {
            check_row(row, marker)?;
        }
        let Some(first) = tree.first().map_err(sled)? else {
            continue;
        };
        let partition = &first.0[..first.0.len().min(crate::key::PARTITION_BYTES)];
        for probe in 0..PROBES {
            // Behind the partition most keys begin with a hash or a number: this spreads over the former.
            let from = [partition, &[(probe * (256 / PROBES)) as u8]].concat();
            let from = if probe == 0 { first.0.to_vec() } else { from };
            for row in tree.range(from..).take(ROWS_PER_PROBE) {
                check_row(row, marker)?;
            }
        }
    }
    Ok(())
}

/// Reads every row and compares what they come to with the marker.
pub(super) fn all(trees: &[Tree], marker: &Marker) -> Result<(), StoreError> {
    let mut found = Marker { rows: 0, live_bytes: 0, sum: 0, ..*marker };
    for (space, tree) in Space::ALL.into_iter().zip(trees) {
        for row in tree.iter() {
            let (key, value) = check_row(row, marker)?;
            found.rows += 1;
            found.live_bytes += (key.len() + value.len()) as u64;
            found.sum = found.sum.wrapping_add(fingerprint(space, &key, &value));
        }
    }
    match found == *marker {
        true => Ok(()),
        false => Err(damaged(format!("its {} rows do not add up to its marker, which says {}", found.rows, marker.rows))),
    }
}

fn check_row(row: sled::Result<(IVec, IVec)>, marker: &Marker) -> Result<(IVec, IVec), StoreError> {
    let (key, value) = row.map_err(sled)?;
    let (seq, _) = format::open(&value).map_err(|error| damaged(error.to_string()))?;
    if seq > marker.position {
        return Err(damaged(format!("a row comes from {seq}, later than its position {}", marker.position)));
    }
    Ok((key, value))
}

fn sled(error: sled::Error) -> StoreError {
    failed(std::path::Path::new("the state"), error)
}
