//! Digests for transforms, to which [`crate::crypto`] is not lent: computed by the plugin itself, over what it was given in the clear.
//!
//! A salt stands in the configuration and is no secret: who has it can try addresses and numbers until one fits. It keeps digests of one
//! workspace from being looked up in another's, and that is all.

use std::fmt::Write;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// SHA-256 of a text as 64 hexadecimal digits; with a salt HMAC-SHA-256 (RFC 2104) with the salt as its key, as
/// `openssl dgst -sha256 -hmac SALT` computes it.
#[must_use]
pub fn sha256(text: &str, salt: Option<&str>) -> String {
    match salt {
        None => hex(&Sha256::digest(text)),
        Some(salt) => {
            let mut mac = Hmac::<Sha256>::new_from_slice(salt.as_bytes()).expect("HMAC takes keys of any length");
            mac.update(text.as_bytes());
            hex(&mac.finalize().into_bytes())
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_standards() {
        // FIPS 180-4, "abc"; RFC 4231, test case 2.
        assert_eq!(sha256("abc", None), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(
            sha256("what do ya want for nothing?", Some("Jefe")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
