//! Keys and rows: order, round trips, and bytes that are not what was written.

use std::collections::BTreeMap;

use proptest::prelude::*;
use weft_store::StoreError;
use weft_store::format::{ROW_BYTES_MAX, ROW_FORMAT, decode, encode, open};
use weft_store::key::{Key, Parts, after, after_prefix};

type Value = (Option<String>, Vec<i64>, BTreeMap<String, u128>);

proptest! {
    #[test]
    fn keys_sort_as_their_parts(a in any::<(u16, u8, i64, u32, u128)>(), b in any::<(u16, u8, i64, u32, u128)>()) {
        let key = |(p, a, b, c, d): (u16, u8, i64, u32, u128)| Key::new(p).u8(a).i64(b).u32(c).u128(d).finish();
        prop_assert_eq!(key(a).cmp(&key(b)), a.cmp(&b));
        let bytes = key(a);
        let mut parts = Parts::new(&bytes);
        let back = (parts.u16(), parts.u8(), parts.i64(), parts.u32(), parts.u128());
        prop_assert_eq!(back, (Some(a.0), Some(a.1), Some(a.2), Some(a.3), Some(a.4)));
        prop_assert_eq!(parts.u8(), None);
    }

    #[test]
    fn the_ends_of_ranges_lie_where_they_should(prefix in prop::collection::vec(any::<u8>(), 0..4), key in prop::collection::vec(any::<u8>(), 0..6)) {
        let inside = key >= prefix && after_prefix(&prefix).is_none_or(|end| key < end);
        prop_assert_eq!(inside, key.starts_with(&prefix));
        prop_assert!(after(&key) > key);
        prop_assert!(prefix <= key || after(&key) <= prefix, "nothing fits between a key and the one after it");
    }

    #[test]
    fn rows_come_back_as_they_were(seq in any::<u64>(), value in any::<Value>()) {
        let row = encode(seq, &value).unwrap();
        prop_assert_eq!(decode::<Value>(&row).unwrap(), (seq, value));
    }

    #[test]
    fn a_changed_row_is_never_taken_for_a_sound_one(seq in any::<u64>(), body in prop::collection::vec(any::<u8>(), 0..200), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let mut row = encode(seq, &body).unwrap();
        let at = at.index(row.len());
        row[at] ^= 1 << bit;
        prop_assert!(open(&row).is_err());
        prop_assert!(open(&row[..at]).is_err());
    }
}

#[test]
fn what_is_not_a_row_says_why() {
    let row = encode(7, &("text", 1_u8)).unwrap();
    let [mut other, mut flipped] = [row.clone(), row.clone()];
    other[0] = ROW_FORMAT + 1;
    flipped[13] ^= 1;
    let cases: [(&[u8], &str); 4] = [
        (&row[..12], "it is too short"),
        (&other, "its format byte is unknown"),
        (&flipped, "its checksum does not match"),
        (&row, "the body is longer than its type"),
    ];
    for (bytes, why) in cases {
        assert!(matches!(decode::<String>(bytes), Err(StoreError::Row(said)) if said == why), "{why}");
    }
    assert!(matches!(decode::<[u64; 30]>(&row), Err(StoreError::Row("the body is not of this type"))));
    let longest = vec![0_u8; ROW_BYTES_MAX - 16];
    assert_eq!(encode(0, &longest).unwrap().len(), ROW_BYTES_MAX);
    let too_long = encode(0, &[longest.as_slice(), &[0]].concat());
    assert!(matches!(too_long, Err(StoreError::TooLarge { what: "row", bytes, .. }) if bytes == ROW_BYTES_MAX + 1));
}
