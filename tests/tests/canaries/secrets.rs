//! The secrets that are planted, the ways in which a text is usually written, and the search for them.

use std::fs;
use std::path::Path;

use memchr::memmem::Finder;
use rcgen::KeyPair;
use weft_tests::root;

/// What the other side gives as a token: nobody wrote it down, and it is a secret all the same.
pub(crate) const GIVEN: &str = "canary-given/token+q=Zz9";

/// A secret.
pub(crate) struct Canary {
    /// Under which the workspace knows it.
    pub(crate) name: &'static str,
    /// What the workspace is given.
    pub(crate) text: String,
    /// What of it must not be seen: the text itself, or the parts of a key.
    parts: Vec<Vec<u8>>,
}

/// The secrets. Letters that are written otherwise in base64, in an address and in JSON are in each text.
pub(crate) fn plant() -> Vec<Canary> {
    let names = [
        "WEB_KEY",
        "BEARER",
        "PASSWORD",
        "HEADER",
        "CLIENT_SECRET",
        "REFRESH",
        "HMAC",
        "AWS_KEY",
        "AWS_SESSION",
        "EXTRA",
        "SIGNING",
        "CLIENT_ID",
        "PROXY",
        "SMTP",
        "SMTP_SHUT",
        "HELD",
    ];
    let text = |(number, name): (usize, &'static str)| {
        let text = format!("canary{number}/{}+q=Zz9", name.to_lowercase());
        Canary { name, parts: vec![text.clone().into_bytes()], text }
    };
    let mut canaries: Vec<Canary> = names.into_iter().enumerate().map(text).collect();
    // RSA is what JWTs are signed by, and nothing here makes such a key.
    let rsa = fs::read_to_string(root().join("engine/app/tests/egress/rsa-of-tests.pem")).expect("the key of other tests");
    canaries.push(Canary::key("RSA", rsa));
    canaries.push(Canary::key("TLS", KeyPair::generate().expect("a key").serialize_pem()));
    canaries
}

impl Canary {
    /// A private key in PEM.
    fn key(name: &'static str, text: String) -> Canary {
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = from_base64(&lines.concat());
        // What is public of it begins an RSA key and ends one of a curve: between a third and a half both are secret.
        let mut parts = vec![der[der.len() / 3..der.len() / 2].to_vec()];
        // The first line has no more than the kind of the key.
        parts.extend(lines.iter().skip(1).filter(|line| line.len() == 64).map(|line| line.as_bytes().to_vec()));
        Canary { name, text, parts }
    }
}

/// Ways in which bytes are written.
pub(crate) fn written(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let hex = |bytes: &mut dyn Iterator<Item = &u8>| bytes.map(|byte| format!("{byte:02x}")).collect::<String>();
    let numbers = |between: &str| bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(between);
    let percent = |byte: &u8| match byte {
        b'/' | b'+' | b'=' => format!("%{byte:02X}").into_bytes(),
        other => vec![*other],
    };
    let mut ways = vec![
        ("as it is", bytes.to_vec()),
        ("percent-encoded", bytes.iter().flat_map(percent).collect()),
        ("in hexadecimal", hex(&mut bytes.iter()).into_bytes()),
        ("in hexadecimal, backwards", hex(&mut bytes.iter().rev()).into_bytes()),
        ("backwards", bytes.iter().rev().copied().collect()),
        ("as numbers", numbers(",").into_bytes()),
        ("as numbers, apart", numbers(", ").into_bytes()),
    ];
    // In base64, what stands before decides which of three texts it is; the edges are mixed with the neighbours.
    for (shift, from) in [(0, 0), (1, 2), (2, 3)] {
        let encoded = base64(&[&vec![b' '; shift], bytes].concat());
        let inner = &encoded[from..encoded.len() - 4];
        ways.push(("in base64", inner.to_vec()));
        ways.push((
            "in base64 for addresses",
            inner
                .iter()
                .map(|byte| match byte {
                    b'+' => b'-',
                    b'/' => b'_',
                    other => *other,
                })
                .collect(),
        ));
    }
    ways
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// RFC 4648, section 4.
pub(crate) fn base64(bytes: &[u8]) -> Vec<u8> {
    let group = |three: &[u8]| {
        let bits = three.iter().fold(0, |bits, byte| bits << 8 | usize::from(*byte)) << (8 * (3 - three.len()));
        let letter = |place: usize| if place <= three.len() { ALPHABET[bits >> (18 - 6 * place) & 63] } else { b'=' };
        [letter(0), letter(1), letter(2), letter(3)]
    };
    bytes.chunks(3).flat_map(group).collect()
}

/// And back.
fn from_base64(text: &str) -> Vec<u8> {
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_usize, 0);
    for letter in text.bytes().filter(|letter| *letter != b'=') {
        let value = ALPHABET.iter().position(|known| *known == letter).expect("it is base64");
        (bits, held) = (bits << 6 | value, held + 6);
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 255) as u8);
        }
    }
    bytes
}

/// What has been seen, and where.
#[derive(Default)]
pub(crate) struct Seen(pub(crate) Vec<(String, Vec<u8>)>);

impl Seen {
    pub(crate) fn add(&mut self, place: &str, bytes: impl Into<Vec<u8>>) {
        self.0.push((place.to_owned(), bytes.into()));
    }

    pub(crate) fn folder(&mut self, folder: &Path) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                self.folder(&path);
            } else {
                self.add(&path.display().to_string(), fs::read(&path).expect("it can be read"));
            }
        }
    }

    /// Every place where a secret stands.
    pub(crate) fn found(&self, canaries: &[Canary]) -> Vec<String> {
        let parts = canaries.iter().flat_map(|canary| canary.parts.iter().map(|part| (canary.name, &**part)));
        let mut found = Vec::new();
        for (name, part) in parts.chain([("GIVEN", GIVEN.as_bytes())]) {
            for (way, needle) in written(part) {
                let finder = Finder::new(&needle);
                for (place, bytes) in &self.0 {
                    let Some(at) = finder.find(bytes) else { continue };
                    let around = &bytes[at.saturating_sub(160)..bytes.len().min(at + needle.len() + 40)];
                    found.push(format!("{name} {way} in {place}: …{}…", String::from_utf8_lossy(around)));
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_for_would_be_found() {
        let canaries = plant();
        for canary in &canaries {
            for (way, text) in canary.parts.iter().flat_map(|part| written(part)) {
                let mut seen = Seen::default();
                seen.add("here", [b"before ", &*text, b" after"].concat());
                assert!(!seen.found(&canaries).is_empty(), "{} {way}", canary.name);
                seen.0[0].1.truncate(9);
                assert!(seen.found(&canaries).is_empty(), "{} {way}", canary.name);
            }
        }
        // Within a longer text it is mixed with its neighbours.
        let secret = &canaries[1].text;
        let mut seen = Seen::default();
        seen.add("here", base64(format!("user:{secret}").as_bytes()));
        assert!(!seen.found(&canaries).is_empty());
    }

    #[test]
    fn keys_are_looked_for_by_their_lines_and_by_their_numbers() {
        let canaries = plant();
        let of = |name: &str| canaries.iter().find(|canary| canary.name == name).expect("it is planted");
        // Of 2048 bits: some 1,200 bytes.
        assert!(of("RSA").parts.len() > 20 && of("RSA").parts[0].len() > 100, "{}", of("RSA").parts.len());
        // Of P-256: 32 of 138 bytes are secret.
        assert!(of("TLS").parts.len() > 1 && of("TLS").parts[0].len() > 16, "{}", of("TLS").parts.len());
        assert_eq!(from_base64(&String::from_utf8(base64(b"any length")).expect("ASCII")), b"any length");
    }
}
