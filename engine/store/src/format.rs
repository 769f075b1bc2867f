//! How a row's value looks: one format byte, a checksum, the history sequence that wrote it, then postcard.
//!
//! sled does not notice damage by itself, so every value carries its own checksum (CRC-32C, RFC 3720 appendix B.4); and as
//! it can bring back an old value, which a checksum does not show, also the sequence number that wrote it. The body is
//! postcard (<https://postcard.jamesmunns.com/wire-format>). `docs/format.md` has the table of bytes.
//!
//! This module never knows what a row means. Next: [`crate::state`].

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::StoreError;

/// The version of this layout, the first byte of each value.
pub const ROW_FORMAT: u8 = 1;

/// The bytes in front of the body.
pub const ROW_HEADER_BYTES: usize = 13;

/// The largest value in bytes, header included. Rows have their own, lower bounds; this one keeps a leaf of sled (sixteen
/// values and the one that splits it) under the size at which sled would move it to a file of its own that it never syncs.
pub const ROW_BYTES_MAX: usize = 100_000;

/// The value's bytes. `seq` is the history sequence that wrote it.
///
/// Fails with [`StoreError::TooLarge`] past [`ROW_BYTES_MAX`], and with [`StoreError::Row`] where the type cannot be
/// written as postcard (a map or sequence of unknown length).
pub fn encode<T: Serialize>(seq: u64, value: &T) -> Result<Vec<u8>, StoreError> {
    let mut row = Vec::with_capacity(128);
    row.push(ROW_FORMAT);
    row.extend_from_slice(&[0; 4]);
    row.extend_from_slice(&seq.to_le_bytes());
    let mut row = postcard::to_extend(value, row).map_err(|_| StoreError::Row("the type has no postcard form"))?;
    if row.len() > ROW_BYTES_MAX {
        return Err(StoreError::TooLarge { what: "row", bytes: row.len(), limit: ROW_BYTES_MAX });
    }
    let crc = checksum(&row);
    row[1..5].copy_from_slice(&crc.to_le_bytes());
    Ok(row)
}

/// The sequence that wrote the value, and the value. Bytes left over are an error: they would be another type's.
pub fn decode<T: DeserializeOwned>(row: &[u8]) -> Result<(u64, T), StoreError> {
    let (seq, body) = open(row)?;
    match postcard::take_from_bytes(body) {
        Ok((value, [])) => Ok((seq, value)),
        Ok(_) => Err(StoreError::Row("the body is longer than its type")),
        Err(_) => Err(StoreError::Row("the body is not of this type")),
    }
}

/// The sequence that wrote the value, and its body, with the checksum verified.
pub fn open(row: &[u8]) -> Result<(u64, &[u8]), StoreError> {
    let (header, body) = row.split_first_chunk::<ROW_HEADER_BYTES>().ok_or(StoreError::Row("it is too short"))?;
    if header[0] != ROW_FORMAT {
        return Err(StoreError::Row("its format byte is unknown"));
    }
    let [_, crc @ .., s0, s1, s2, s3, s4, s5, s6, s7] = *header;
    if u32::from_le_bytes(crc) != checksum(row) {
        return Err(StoreError::Row("its checksum does not match"));
    }
    Ok((u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]), body))
}

/// Over everything but the checksum's own four bytes.
fn checksum(row: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&row[..1]), &row[5..])
}
