//! Keys of rows: fixed-width parts, big endian, so that their order as bytes is their order as values.
//!
//! Every key begins with a partition of two bytes (DESIGN section 8: state can one day be spread over machines). This
//! module never knows what the parts mean; [`crate::state::Space`] says which kind of row a key belongs to.

/// The longest key in bytes: the name of a stage and a key of its small store, 63 and 512, and what is around them. sled keeps whole
/// keys in its index pages, which live in memory.
pub const KEY_BYTES_MAX: usize = 600;

/// The bytes of the partition at the front of each key.
pub const PARTITION_BYTES: usize = 2;

/// A key being built.
///
/// ```
/// let key = weft_store::key::Key::new(0).u64(7).u8(1).finish();
/// assert_eq!(key, [0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 1]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Key(Vec<u8>);

impl Key {
    /// Begins a key of that partition.
    pub fn new(partition: u16) -> Key {
        Key(Vec::with_capacity(32)).append(&partition.to_be_bytes())
    }

    /// One byte.
    pub fn u8(self, part: u8) -> Key {
        self.append(&[part])
    }

    /// Two bytes.
    pub fn u16(self, part: u16) -> Key {
        self.append(&part.to_be_bytes())
    }

    /// Four bytes.
    pub fn u32(self, part: u32) -> Key {
        self.append(&part.to_be_bytes())
    }

    /// Eight bytes.
    pub fn u64(self, part: u64) -> Key {
        self.append(&part.to_be_bytes())
    }

    /// Eight bytes whose order is that of the signed number: the sign bit is turned over.
    pub fn i64(self, part: i64) -> Key {
        self.append(&(part as u64 ^ (1 << 63)).to_be_bytes())
    }

    /// Sixteen bytes.
    pub fn u128(self, part: u128) -> Key {
        self.append(&part.to_be_bytes())
    }

    /// Bytes as they are. Where another part follows, they must have a fixed width, or the order is lost.
    pub fn bytes(self, part: &[u8]) -> Key {
        self.append(part)
    }

    /// The key.
    pub fn finish(self) -> Vec<u8> {
        self.0
    }

    fn append(mut self, part: &[u8]) -> Key {
        self.0.extend_from_slice(part);
        self
    }
}

/// Takes a key apart again, from the front. A part is none where the key is too short.
///
/// ```
/// let key = weft_store::key::Key::new(3).i64(-1).finish();
/// let mut parts = weft_store::key::Parts::new(&key);
/// assert_eq!((parts.u16(), parts.i64(), parts.rest()), (Some(3), Some(-1), &[][..]));
/// ```
#[derive(Debug, Clone)]
pub struct Parts<'a>(&'a [u8]);

impl<'a> Parts<'a> {
    /// Begins at the partition.
    pub fn new(key: &'a [u8]) -> Parts<'a> {
        Parts(key)
    }

    /// One byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.take().map(u8::from_be_bytes)
    }

    /// Two bytes.
    pub fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_be_bytes)
    }

    /// Four bytes.
    pub fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    /// Eight bytes written by [`Key::i64`].
    pub fn i64(&mut self) -> Option<i64> {
        self.u64().map(|part| (part ^ (1 << 63)) as i64)
    }

    /// Sixteen bytes.
    pub fn u128(&mut self) -> Option<u128> {
        self.take().map(u128::from_be_bytes)
    }

    /// What has not been taken.
    pub fn rest(self) -> &'a [u8] {
        self.0
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (part, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*part)
    }
}

/// The first key that does not begin with `prefix`, to end a range; none where there is no such key.
///
/// ```
/// use weft_store::key::after_prefix;
/// assert_eq!(after_prefix(&[0, 7]), Some(vec![0, 8]));
/// assert_eq!(after_prefix(&[1, 0xff]), Some(vec![2]));
/// assert_eq!(after_prefix(&[0xff]), None);
/// ```
pub fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

/// The first key after `key`, to go on where a page of a scan ended.
pub fn after(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}
