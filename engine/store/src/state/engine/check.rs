//! Whether the rows in sled are those that were committed. Reads only; what it finds is the caller's to report.

use sled::{IVec, Tree};

use super::{MARKER, Marker, Space, damaged, failed, span};
use crate::{StoreError, format};

/// Places of each tree that a sample looks at.
const PROBES: u16 = 16;
/// Rows at each place.
const ROWS_PER_PROBE: usize = 16;

/// Reads rows of each space at the beginning, at the end, and here and there between.
pub(super) fn sample(tree: &Tree, marker: &Marker) -> Result<(), StoreError> {
    for space in Space::ALL {
        for row in tree.range(span(space, &[], None)).rev().take(ROWS_PER_PROBE) {
            check_row(row, marker)?;
        }
        let Some(first) = tree.range(span(space, &[], None)).next() else { continue };
        let (first, _) = first.map_err(sled)?;
        let partition = &first[1..first.len().min(1 + crate::key::PARTITION_BYTES)];
        for probe in 0..PROBES {
            // Behind the partition most keys begin with a hash or a number: this spreads over the former.
            let from = [partition, &[(probe * (256 / PROBES)) as u8]].concat();
            let from = if probe == 0 { &first[1..] } else { &from };
            for row in tree.range(span(space, from, None)).take(ROWS_PER_PROBE) {
                check_row(row, marker)?;
            }
        }
    }
    Ok(())
}

/// Reads every row, and compares what they come to with the marker. `visit` is told each key of the tree.
pub(super) fn all(tree: &Tree, marker: &Marker, mut visit: impl FnMut(&[u8])) -> Result<(), StoreError> {
    let mut found = Marker { rows: 0, live_bytes: 0, sum: 0, ..*marker };
    for row in tree.range(..MARKER) {
        let (key, value) = check_row(row, marker)?;
        found.count(&key, None, Some(&value));
        visit(&key);
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
