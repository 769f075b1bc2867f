//! Who sent a request: the schemes by which senders sign.
//!
//! Secrets stay with the engine, which computes every HMAC and compares every key; what it computed is compared with what was
//! sent without leaving early. The time that a signature covers is held against the request's time of arrival.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use schemars::JsonSchema;
use serde::Deserialize;
use weft_plugin::crypto::Algorithm;
use weft_plugin::{Failure, Request, Secret};

/// How old a signature may be where the configuration does not say: what Stripe and Slack advise.
const TOLERANCE_SECONDS: u32 = 300;

/// How senders are known. Where several secrets are named, any of them will do: so that one can be replaced.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(tag = "scheme", rename_all = "snake_case", deny_unknown_fields)]
pub enum Signature {
    /// Not at all: whoever knows the address can send.
    None {},
    /// `X-Hub-Signature-256`: HMAC-SHA256 of the body, as GitHub signs.
    Github {
        /// The webhook's secret.
        #[schemars(length(min = 1))]
        secrets: Vec<Secret>,
    },
    /// `Stripe-Signature`: HMAC-SHA256 of time and body, as Stripe signs.
    Stripe {
        /// The endpoint's signing secret, `whsec_…`.
        #[schemars(length(min = 1))]
        secrets: Vec<Secret>,
        /// How far the signature's time may be from ours.
        #[serde(default = "tolerance_seconds")]
        tolerance_seconds: u32,
    },
    /// `X-Slack-Signature`: HMAC-SHA256 of version, time and body, as Slack signs.
    Slack {
        /// The app's signing secret.
        #[schemars(length(min = 1))]
        secrets: Vec<Secret>,
        /// How far the signature's time may be from ours.
        #[serde(default = "tolerance_seconds")]
        tolerance_seconds: u32,
    },
    /// `X-Shopify-Hmac-Sha256`: HMAC-SHA256 of the body, as Shopify signs.
    Shopify {
        /// The app's client secret, or the one under Settings, Notifications.
        #[schemars(length(min = 1))]
        secrets: Vec<Secret>,
    },
    /// `Authorization: Bearer …` with a token that both sides know.
    Bearer {
        /// The token.
        #[schemars(length(min = 1))]
        secrets: Vec<Secret>,
    },
    /// A header that holds what both sides know.
    Header {
        /// The header's name.
        #[schemars(length(min = 1))]
        name: String,
        /// Its value.
        #[schemars(length(min = 1))]
        secrets: Vec<Secret>,
    },
}

fn tolerance_seconds() -> u32 {
    TOLERANCE_SECONDS
}

/// What is known of a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sender {
    Known,
    /// And why, for the sender: nothing that helps to guess.
    Unknown(&'static str),
}

impl Signature {
    /// Its secrets.
    pub(crate) fn secrets(&self) -> &[Secret] {
        match self {
            Signature::None {} => &[],
            Signature::Github { secrets }
            | Signature::Stripe { secrets, .. }
            | Signature::Slack { secrets, .. }
            | Signature::Shopify { secrets }
            | Signature::Bearer { secrets }
            | Signature::Header { secrets, .. } => secrets,
        }
    }

    /// Whether the sender can be known without the body.
    pub(crate) fn is_without_body(&self) -> bool {
        matches!(self, Signature::None {} | Signature::Bearer { .. } | Signature::Header { .. })
    }

    /// Who sent a request with this body.
    ///
    /// # Errors
    /// The engine does not know the secret.
    pub(crate) fn sender(&self, request: &Request, body: &[u8]) -> Result<Sender, Failure> {
        let wrong = Sender::Unknown("the signature is missing or wrong");
        // What was signed was the whole, and that was looked at when it came.
        if request.is_part() && !self.is_without_body() {
            return Ok(Sender::Known);
        }
        let header = |name: &str| request.header(name).map(str::trim).unwrap_or_default();
        let is_right = match self {
            Signature::None {} => true,
            Signature::Github { secrets } => {
                let Some(sent) = header("x-hub-signature-256").strip_prefix("sha256=") else { return Ok(wrong) };
                is_signed(secrets, &[body], hex, |ours| same_hex(ours, sent))?
            }
            Signature::Shopify { secrets } => {
                let sent = header("x-shopify-hmac-sha256");
                is_signed(secrets, &[body], |mac| BASE64_STANDARD.encode(mac), |ours| same(ours.as_bytes(), sent.as_bytes()))?
            }
            Signature::Stripe { secrets, tolerance_seconds } => {
                // `t=1492774577,v1=…,v1=…,v0=…`: several of `v1` while a secret is being replaced.
                let parts = || header("stripe-signature").split(',').filter_map(|part| part.trim().split_once('='));
                let Some((_, time)) = parts().find(|(name, _)| *name == "t") else { return Ok(wrong) };
                let one_of = |ours: &str| {
                    parts().filter(|(name, _)| *name == "v1").fold(false, |found, (_, sent)| same_hex(ours, sent) | found)
                };
                let is_right = is_signed(secrets, &[time.as_bytes(), b".", body], hex, one_of)?;
                return Ok(timely(is_right, time, request.received_ms, *tolerance_seconds));
            }
            Signature::Slack { secrets, tolerance_seconds } => {
                let time = header("x-slack-request-timestamp");
                let Some(sent) = header("x-slack-signature").strip_prefix("v0=") else { return Ok(wrong) };
                let message: [&[u8]; 4] = [b"v0:", time.as_bytes(), b":", body];
                let is_right = is_signed(secrets, &message, hex, |ours| same_hex(ours, sent))?;
                return Ok(timely(is_right, time, request.received_ms, *tolerance_seconds));
            }
            Signature::Bearer { secrets } => {
                let sent = header("authorization").split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
                is_one_of(secrets, sent.map_or("", |(_, token)| token.trim_start()))
            }
            Signature::Header { name, secrets } => is_one_of(secrets, header(&name.to_ascii_lowercase())),
        };
        Ok(if is_right { Sender::Known } else { wrong })
    }
}

/// Whether what was sent is one of the secrets. All are asked, so that the time does not say which.
fn is_one_of(secrets: &[Secret], sent: &str) -> bool {
    !sent.is_empty() & secrets.iter().fold(false, |found, secret| secret.equals(sent.as_bytes()) | found)
}

/// Whether the HMAC-SHA256 of a message under one of the secrets, written in some way, is the one that was sent.
fn is_signed(
    secrets: &[Secret],
    message: &[&[u8]],
    write: impl Fn(&[u8]) -> String,
    is_sent: impl Fn(&str) -> bool,
) -> Result<bool, Failure> {
    let message = message.concat();
    let mut found = false;
    for secret in secrets {
        found |= is_sent(&write(&secret.hmac(Algorithm::Sha256, &message)?));
    }
    Ok(found)
}

/// A signature covers its time, so the time is looked at only where the signature is right.
fn timely(is_right: bool, time: &str, received_ms: u64, tolerance_seconds: u32) -> Sender {
    let is_near = |time: u64| (received_ms / 1000).abs_diff(time) <= u64::from(tolerance_seconds);
    match (is_right, time.parse()) {
        (true, Ok(time)) if is_near(time) => Sender::Known,
        (true, Ok(_)) => Sender::Unknown("the signature's time is too far from ours"),
        _ => Sender::Unknown("the signature is missing or wrong"),
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|half| char::from(DIGITS[usize::from(half)])).collect()
}

fn same_hex(ours: &str, sent: &str) -> bool {
    same(ours.as_bytes(), sent.to_ascii_lowercase().as_bytes())
}

/// Whether two texts are the same, in a time that depends on the second's length only.
fn same(ours: &[u8], sent: &[u8]) -> bool {
    let differ = ours.iter().zip(sent).fold(0, |differ, (one, other)| std::hint::black_box(differ | (one ^ other)));
    ours.len() == sent.len() && differ == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_the_same_or_not() {
        assert!(same(b"abc", b"abc") && same(b"", b""));
        assert!(!same(b"abc", b"abd") && !same(b"abc", b"ab") && !same(b"ab", b"abc") && !same(b"abc", b""));
        assert!(same_hex(&hex(&[0x0f, 0xa0]), "0FA0"));
    }
}
