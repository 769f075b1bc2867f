//! What a source reads, handed to the engine in lots.
//!
//! A call of [`crate::output::emit`] for each event would cost more than the event, and one for a whole file more memory than there
//! is. Between calls of `poll` and `decode` nothing stays here: end each with [`Outbox::flush`].

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::contract::{Failure, Rejection};
use crate::lent::output;

/// Records of a lot: as many as the engine hands a transform at once.
const LOT_RECORDS_MAX: usize = 1_024;
/// Bytes of a lot, by the same measure; a lot may pass it by one record.
const LOT_BYTES_MAX: usize = 1024 * 1024;

/// Events, and bytes that are none, on their way to the engine.
#[derive(Debug, Default)]
pub struct Outbox {
    events: Vec<Vec<u8>>,
    refused: Vec<(Rejection, Vec<u8>)>,
    bytes: usize,
}

impl Outbox {
    /// Takes what was made of some bytes: an event, or why there is none. Of bytes that are too long for a dead letter the beginning
    /// is kept, and the message says so.
    ///
    /// # Errors
    /// The engine did not take a lot that became full.
    pub fn put(&mut self, made: Result<Vec<u8>, Rejection>, bytes: &[u8]) -> Result<(), Failure> {
        match made {
            Ok(event) => {
                self.bytes += event.len();
                self.events.push(event);
            }
            Err(mut why) => {
                let kept = &bytes[..bytes.len().min(output::REFUSED_BYTES_MAX)];
                if kept.len() < bytes.len() {
                    why.message += &format!("; of its {} bytes these are the first {}", bytes.len(), kept.len());
                }
                self.bytes += kept.len();
                self.refused.push((why, kept.to_vec()));
            }
        }
        let is_full = self.bytes >= LOT_BYTES_MAX || self.events.len() + self.refused.len() >= LOT_RECORDS_MAX;
        if is_full { self.flush() } else { Ok(()) }
    }

    /// Hands over what is here.
    ///
    /// # Errors
    /// The engine did not take it.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.bytes = 0;
        if !self.events.is_empty() {
            output::emit(std::mem::take(&mut self.events))?;
        }
        if !self.refused.is_empty() {
            output::refuse(std::mem::take(&mut self.refused))?;
        }
        Ok(())
    }
}

/// Bytes in a state, which is JSON: the beginning of a record whose end has not been read. In JSON they are base64 without padding.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftover(pub Vec<u8>);

impl Leftover {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Leftover {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD_NO_PAD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Leftover {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD_NO_PAD.decode(text).map(Leftover).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn taken() -> (usize, usize) {
        testing::with(|double| (double.emitted.len(), double.refused.len()))
    }

    #[test]
    fn lots_are_full_by_number_or_by_size() {
        testing::reset();
        let mut outbox = Outbox::default();
        let why = || Rejection::new("bad", "no");
        for _ in 1..LOT_RECORDS_MAX {
            outbox.put(Ok(b"{}".to_vec()), b"").expect("taken");
        }
        assert_eq!(taken(), (0, 0));
        outbox.put(Err(why()), b"x").expect("taken");
        assert_eq!(taken(), (LOT_RECORDS_MAX - 1, 1));
        outbox.put(Err(why()), &vec![b'x'; LOT_BYTES_MAX]).expect("taken");
        assert_eq!(taken(), (LOT_RECORDS_MAX - 1, 2));
        outbox.put(Ok(b"{}".to_vec()), b"").expect("taken");
        outbox.flush().expect("taken");
        assert_eq!(taken(), (LOT_RECORDS_MAX, 2));
    }

    #[test]
    fn what_is_too_long_for_a_dead_letter_says_so() {
        testing::reset();
        let mut outbox = Outbox::default();
        outbox.put(Err(Rejection::new("bad", "no")), &vec![b'x'; output::REFUSED_BYTES_MAX + 1]).expect("taken");
        let (why, bytes) = testing::with(|double| double.refused.pop()).expect("refused");
        assert_eq!(bytes.len(), output::REFUSED_BYTES_MAX);
        assert_eq!(why.message, "no; of its 1048577 bytes these are the first 1048576");
    }

    #[test]
    fn any_bytes_pass_through_a_state() {
        for bytes in [&b""[..], b"a", b"\xff\xfe\0", b"abcd"] {
            let json = serde_json::to_string(&Leftover(bytes.to_vec())).expect("JSON");
            assert_eq!(serde_json::from_str::<Leftover>(&json).expect("read"), Leftover(bytes.to_vec()));
        }
        assert!(serde_json::from_str::<Leftover>("\"%\"").is_err());
    }
}
