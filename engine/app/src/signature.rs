//! Signatures of plugins: Ed25519 (RFC 8032) in custom sections at the end of the file, so that a plugin stays one file.
//!
//! ```text
//! component … │ 0x00 size │ "weft:signature" │ version 1 (1 byte) · public key (32) · signature (64) │ … more of these
//! ```
//!
//! What is signed is a sentence of ours and the SHA-256 of everything before the first of these sections; a section of this name that
//! something else follows is no signature. So a plugin can be signed by several keys, one after the other, and signing changes nothing that runs.
//! Keys are PKCS #8 in PEM, as OpenSSL writes them (RFC 8410); a public key is one line, `ed25519:` and base64. Why so:
//! `docs/decisions/0009-signatures-are-in-the-file.md`. Nothing here reads a disk.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use sha2::{Digest, Sha256};

/// The name of the sections.
const SECTION: &str = "weft:signature";

/// What comes before the digest in what is signed: a signature of something else is never one of a plugin.
const SENTENCE: &[u8] = b"weft plugin signature 1\n";

/// Signatures that are looked at: more keys than anybody rotates through.
const SIGNATURES_MAX: usize = 16;

/// What comes before the 32 bytes of a private key in PKCS #8 (RFC 8410, section 7).
const PKCS8_HEAD: [u8; 16] = [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// A key that others verify with.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ed25519:{}", BASE64.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "it is not `ed25519:` and 32 bytes in base64".to_owned();
        let bytes = BASE64.decode(text.trim().strip_prefix("ed25519:").ok_or_else(wrong)?).map_err(|_| wrong())?;
        Ok(PublicKey(bytes.try_into().map_err(|_| wrong())?))
    }
}

/// A key that signs.
pub struct PrivateKey(Ed25519KeyPair);

impl PrivateKey {
    /// A new key, and the PEM text to keep it in.
    ///
    /// # Errors
    /// Where the system gives no random bytes.
    pub fn generate() -> Result<(PrivateKey, String), String> {
        let mut seed = [0; 32];
        SystemRandom::new().fill(&mut seed).map_err(|_| "the system gives no random bytes".to_owned())?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| "the key cannot be made".to_owned())?;
        let document: Vec<u8> = PKCS8_HEAD.iter().chain(&seed).copied().collect();
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64.encode(document));
        Ok((PrivateKey(pair), pem))
    }

    /// A key out of its PEM text.
    ///
    /// # Errors
    /// Where the text is none.
    pub fn read(pem: &str) -> Result<PrivateKey, String> {
        let wrong = || "it is no private key of Ed25519 in PEM (`weft plugin key` makes one)".to_owned();
        let inside = pem.split("-----BEGIN PRIVATE KEY-----").nth(1).ok_or_else(wrong)?;
        let inside: String = inside.split("-----END").next().unwrap_or_default().split_whitespace().collect();
        let document = BASE64.decode(inside).map_err(|_| wrong())?;
        Ok(PrivateKey(Ed25519KeyPair::from_pkcs8_maybe_unchecked(&document).map_err(|_| wrong())?))
    }

    /// Its other half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let bytes = self.0.public_key().as_ref().try_into().expect("a public key of Ed25519 has 32 bytes");
        PublicKey(bytes)
    }
}

/// A plugin's file with one signature more. Signing again with the same key changes nothing.
///
/// # Errors
/// Where the file is no component, or has no room for a further signature.
pub fn sign(plugin: &[u8], key: &PrivateKey) -> Result<Vec<u8>, String> {
    let (content, signatures) = parts(plugin)?;
    let mut signed = plugin.to_vec();
    if signatures.iter().any(|signature| signature.key == key.public() && signature.holds(content)) {
        return Ok(signed);
    }
    if signatures.len() >= SIGNATURES_MAX {
        return Err(format!("it has {SIGNATURES_MAX} signatures already"));
    }
    let mut section = vec![u8::try_from(SECTION.len()).expect("it is a short name")];
    section.extend_from_slice(SECTION.as_bytes());
    section.push(1);
    section.extend_from_slice(&key.public().0);
    section.extend_from_slice(key.0.sign(&message(content)).as_ref());
    // 112 bytes: the length takes one.
    signed.push(0);
    signed.push(u8::try_from(section.len()).expect("it is shorter than 128 bytes"));
    signed.extend(section);
    Ok(signed)
}

/// The keys whose signatures of this plugin hold. A signature that does not hold is none.
///
/// # Errors
/// Where the file is no component.
pub fn signers(plugin: &[u8]) -> Result<Vec<PublicKey>, String> {
    let (content, signatures) = parts(plugin)?;
    Ok(signatures.into_iter().filter(|signature| signature.holds(content)).map(|signature| signature.key).collect())
}

/// The first of these keys by which the plugin is signed.
///
/// # Errors
/// Why there is none, as the end of a sentence.
pub fn verify(plugin: &[u8], keys: &[PublicKey]) -> Result<PublicKey, String> {
    let (content, signatures) = parts(plugin)?;
    let known: Vec<&Signature> = signatures.iter().filter(|signature| keys.contains(&signature.key)).collect();
    match known.iter().find(|signature| signature.holds(content)) {
        Some(signature) => Ok(signature.key),
        None if signatures.is_empty() => Err("is not signed".into()),
        None if known.is_empty() => {
            let others: Vec<String> = signatures.iter().map(|signature| signature.key.to_string()).collect();
            Err(format!("is signed by {}, which is not trusted here", others.join(", ")))
        }
        None => Err("was changed after it was signed".into()),
    }
}

struct Signature {
    key: PublicKey,
    bytes: [u8; 64],
}

impl Signature {
    fn holds(&self, content: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.key.0).verify(&message(content), &self.bytes).is_ok()
    }
}

fn message(content: &[u8]) -> Vec<u8> {
    [SENTENCE, &Sha256::digest(content)].concat()
}

/// What a file's signatures are of, and the signatures.
fn parts(plugin: &[u8]) -> Result<(&[u8], Vec<Signature>), String> {
    if !plugin.starts_with(b"\0asm\x0d\0\x01\0") {
        return Err("is no WebAssembly component".into());
    }
    let torn = || "is torn: a section is longer than the file".to_owned();
    let (mut at, mut end, mut signatures) = (8, plugin.len(), Vec::new());
    while at < plugin.len() {
        let (size, length) = leb128(&plugin[at + 1..]).ok_or_else(torn)?;
        let begin = at + 1 + length;
        let next = begin.checked_add(size).filter(|next| *next <= plugin.len()).ok_or_else(torn)?;
        let signature = (plugin[at] == 0).then(|| signature(&plugin[begin..next])).flatten();
        match signature {
            Some(signature) if signatures.len() < SIGNATURES_MAX => {
                if signatures.is_empty() {
                    end = at;
                }
                signatures.push(signature);
            }
            // What a section follows that is none of ours was no signature.
            _ => (end, signatures) = (plugin.len(), Vec::new()),
        }
        at = next;
    }
    Ok((&plugin[..end], signatures))
}

fn signature(section: &[u8]) -> Option<Signature> {
    let (length, rest) = section.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    let (version, rest) = rest.split_first()?;
    let (key, signature) = rest.split_at_checked(32)?;
    (name == SECTION.as_bytes() && *version == 1)
        .then_some(Signature { key: PublicKey(key.try_into().ok()?), bytes: signature.try_into().ok()? })
}

/// An unsigned number of WebAssembly (section 5.2.2), and the bytes that it takes.
fn leb128(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0_u64;
    for (place, byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(value).ok()?, place + 1));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A component with one custom section.
    const PLUGIN: &[u8] = b"\0asm\x0d\0\x01\0\0\x05\x04name";

    fn key() -> PrivateKey {
        PrivateKey::generate().expect("random bytes").0
    }

    #[test]
    fn what_a_key_signed_is_verified_with_its_other_half_alone() {
        let (mine, other) = (key(), key());
        let signed = sign(PLUGIN, &mine).expect("signs");
        assert_eq!(verify(&signed, &[other.public(), mine.public()]), Ok(mine.public()));
        assert!(verify(&signed, &[other.public()]).expect_err("not trusted").contains("not trusted here"));
        assert_eq!(verify(PLUGIN, &[mine.public()]), Err("is not signed".into()));
        assert_eq!(sign(&signed, &mine).expect("signs"), signed, "a second time changes nothing");
    }

    #[test]
    fn several_keys_sign_the_same_content() {
        let keys = [key(), key(), key()];
        let mut signed = PLUGIN.to_vec();
        for key in &keys {
            signed = sign(&signed, key).expect("signs");
        }
        assert_eq!(signers(&signed), Ok(keys.iter().map(PrivateKey::public).collect()));
    }

    #[test]
    fn no_byte_can_be_changed_and_nothing_can_be_added() {
        let mine = key();
        let signed = sign(PLUGIN, &mine).expect("signs");
        for at in 0..signed.len() {
            let mut changed = signed.clone();
            changed[at] ^= 1;
            assert!(verify(&changed, &[mine.public()]).is_err(), "byte {at}");
        }
        let mut longer = signed.clone();
        longer.extend(b"\0\x05\x04evil");
        assert_eq!(verify(&longer, &[mine.public()]), Err("is not signed".into()));
        for length in 0..signed.len() {
            assert!(verify(&signed[..length], &[mine.public()]).is_err(), "cut to {length}");
        }
    }

    #[test]
    fn keys_are_read_as_they_are_written() {
        let (key, pem) = PrivateKey::generate().expect("random bytes");
        assert_eq!(PrivateKey::read(&pem).expect("reads").public(), key.public());
        assert_eq!(key.public().to_string().parse(), Ok(key.public()));
        assert!(PrivateKey::read("ssh-ed25519 AAAA").is_err());
        assert!("ed25519:AAAA".parse::<PublicKey>().is_err());
    }

    /// A key of this test alone, made by `openssl genpkey -algorithm ed25519`; the other half by `openssl pkey -pubout`.
    #[test]
    fn keys_of_openssl_are_keys() {
        let pem = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIKaJb70nARb6ErvuQ+IAgGFDfrQbcPc6oWKa1s1rOQqF\n-----END PRIVATE KEY-----\n";
        let public = PrivateKey::read(pem).expect("reads").public();
        assert_eq!(public.to_string(), "ed25519:U2EnRsOMYZQkyCcyggYYjAf6nWeDRP4E0MComU+SckY=");
    }
}
