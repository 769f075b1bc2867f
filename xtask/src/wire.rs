//! As much of HTTP/1.1 (RFC 9112) as it takes to talk to an engine on this machine: one request, one answer, then the line is closed.
//!
//! No TLS, no redirects, no compression. The quickstart sends its events by the same door as any SDK would.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// An answer of the engine is awaited so long: it answers once the events are durable, which takes milliseconds.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// What was answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Such as 200.
    pub(crate) status: u16,
    /// As it was sent.
    pub(crate) body: String,
}

/// Asks for a page.
///
/// # Errors
/// Nobody listens there, or what answers does not speak HTTP.
pub(crate) fn get(address: SocketAddr, path: &str) -> Result<Answer> {
    exchange(address, &format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"), "")
}

/// Sends JSON, with a user and no password (RFC 7617), which is how Segment's SDKs send their write key.
///
/// # Errors
/// As [`get`].
pub(crate) fn post(address: SocketAddr, path: &str, user: &str, json: &str) -> Result<Answer> {
    let mut head = format!("POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\n");
    let credentials = base64(format!("{user}:").as_bytes());
    write!(head, "authorization: Basic {credentials}\r\ncontent-length: {}\r\n\r\n", json.len())
        .expect("a string takes every write");
    exchange(address, &head, json)
}

fn exchange(address: SocketAddr, head: &str, body: &str) -> Result<Answer> {
    let mut line =
        TcpStream::connect_timeout(&address, Duration::from_secs(2)).with_context(|| format!("nobody listens at {address}"))?;
    line.set_read_timeout(Some(ANSWER_TIME_MAX)).and_then(|()| line.set_write_timeout(Some(ANSWER_TIME_MAX)))?;
    let mut answer = Vec::new();
    line.write_all(head.as_bytes())
        .and_then(|()| line.write_all(body.as_bytes()))
        .and_then(|()| line.read_to_end(&mut answer))
        .with_context(|| format!("the talk with {address} broke off"))?;
    read(&answer)
}

fn read(bytes: &[u8]) -> Result<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n").context("an answer without an end of its head")?;
    let status =
        head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).context("an answer that is not HTTP/1.1")?;
    let is_chunked = head.lines().any(|line| line.eq_ignore_ascii_case("transfer-encoding: chunked"));
    Ok(Answer { status, body: if is_chunked { unchunked(body)? } else { body.to_owned() } })
}

/// A body that came in pieces, each behind its length in hexadecimal (RFC 9112, 7.1).
fn unchunked(mut rest: &str) -> Result<String> {
    let mut body = String::new();
    loop {
        let (length, tail) = rest.split_once("\r\n").context("a piece of an answer without its length")?;
        let length = usize::from_str_radix(length.split(';').next().unwrap_or_default().trim(), 16)
            .context("a length that is no number")?;
        let Some(piece) = tail.get(..length) else { bail!("an answer that ends within a piece") };
        if length == 0 {
            return Ok(body);
        }
        body.push_str(piece);
        rest = tail.get(length + 2..).unwrap_or_default();
    }
}

/// Base64 with padding (RFC 4648, 4).
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |place: usize| u32::from(three.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        let check = |plain: &str, want: &str| assert_eq!(base64(plain.as_bytes()), want);
        // RFC 4648, section 10.
        check("", "");
        check("f", "Zg==");
        check("fo", "Zm8=");
        check("foo", "Zm9v");
        check("foob", "Zm9vYg==");
        check("fooba", "Zm9vYmE=");
        check("foobar", "Zm9vYmFy");
    }

    #[test]
    fn answers_are_read() {
        let check = |bytes: &str, want: Option<(u16, &str)>| {
            let got = read(bytes.as_bytes()).ok();
            assert_eq!(got.as_ref().map(|answer| (answer.status, &*answer.body)), want, "{bytes:?}");
        };
        check("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Some((200, "ok")));
        check("HTTP/1.1 503 Service Unavailable\r\n\r\n", Some((503, "")));
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", Some((200, "abcde")));
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc", None);
        check("SSH-2.0-OpenSSH\r\n\r\n", None);
        check("HTTP/1.1 200", None);
    }
}
