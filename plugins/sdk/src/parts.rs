//! Parts of a body, each as a body of its own: what a source refuses of a list, so that it means the same when it is given to the source again.

/// Bytes that the parts of one body may have together beyond what they had there: with the events they stay within what one answer may hold.
const ADDED_BYTES_MAX: usize = 4 << 20;

/// What stands around the items of a list in a body.
///
/// ```
/// use weft_plugin::Parts;
///
/// let mut parts = Parts::around(r#"{"of":"all","list":["#, "]}");
/// assert_eq!(parts.alone("{}", 0), br#"{"of":"all","list":[{}]}"#);
/// assert_eq!(parts.alone("{}", 2), br#"{"of":"all","list":[null,null,{}]}"#);
/// ```
#[derive(Clone, Debug)]
pub struct Parts {
    before: String,
    after: String,
    left: usize,
}

impl Parts {
    /// The body up to the first item of its list, and from the end of the last on.
    #[must_use]
    pub fn around(before: impl Into<String>, after: impl Into<String>) -> Self {
        Parts { before: before.into(), after: after.into(), left: ADDED_BYTES_MAX }
    }

    /// A body with this item alone, behind so many of `null` where its number counts. Where the parts of this body have grown too large already, the item
    /// by itself: it is kept, and must be edited to go again.
    #[must_use]
    pub fn alone(&mut self, item: &str, nulls: usize) -> Vec<u8> {
        const NULL: &str = "null,";
        let added = self.before.len() + self.after.len() + nulls * NULL.len();
        match self.left.checked_sub(added) {
            None => item.as_bytes().to_vec(),
            Some(left) => {
                self.left = left;
                [&self.before, &*NULL.repeat(nulls), item, &self.after].concat().into_bytes()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_body_are_not_much_more_than_the_body() {
        let mut parts = Parts::around("x".repeat(1 << 20), "");
        let lengths: Vec<usize> = (0..6).map(|_| parts.alone("{}", 0).len()).collect();
        assert_eq!(lengths, [(1 << 20) + 2, (1 << 20) + 2, (1 << 20) + 2, (1 << 20) + 2, 2, 2]);
    }
}
