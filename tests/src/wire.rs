//! As much of HTTP/1.1 (RFC 9112) as tests need to knock at a door as badly as anybody could: bytes out, an answer back.
//!
//! No library between the test and the wire, so that a broken length or a body that breaks off can be sent. No TLS, no redirects, no
//! compression, one request for each connection. What answers is started by [`crate::engine`].

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// An answer is awaited so long: the engine answers once events are durable, which takes milliseconds, also on a busy machine.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    method: &'static str,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    framing: Framing,
}

/// How a body's length is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By `content-length`.
    Length,
    /// In chunks (RFC 9112, 7.1).
    Chunks,
    /// By a `content-length` that promises this many bytes more than come: the sender dies.
    Short(usize),
}

/// Names in lower case and their values, in their order.
pub type Headers = Vec<(String, String)>;

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Such as 200.
    pub status: u16,
    /// As they were sent.
    pub headers: Headers,
    /// Without its framing.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without a body.
    #[must_use]
    pub fn new(method: &'static str, target: &str) -> Self {
        Request { method, target: target.to_owned(), headers: Vec::new(), body: Vec::new(), framing: Framing::Length }
    }

    /// A POST, of JSON unless a header says otherwise.
    #[must_use]
    pub fn post(target: &str, body: impl Into<Vec<u8>>) -> Self {
        Request { body: body.into(), ..Request::new("POST", target) }
    }

    /// With a header more.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a user and no password (RFC 7617), which is how SDKs send a write key.
    #[must_use]
    pub fn key(self, key: &str) -> Self {
        let credentials = base64(format!("{key}:").as_bytes());
        self.header("authorization", &format!("Basic {credentials}"))
    }

    /// With its length said in another way.
    #[must_use]
    pub fn framed(mut self, framing: Framing) -> Self {
        self.framing = framing;
        self
    }

    /// Its body as a text.
    #[must_use]
    pub fn body_text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Sends it over a connection of its own.
    ///
    /// # Errors
    /// Nobody listens, or the connection ends without an answer.
    pub fn send(&self, address: SocketAddr) -> std::io::Result<Answer> {
        let mut line = TcpStream::connect(address)?;
        line.set_read_timeout(Some(ANSWER_TIME_MAX))?;
        line.set_write_timeout(Some(ANSWER_TIME_MAX))?;
        // Who is refused early may not get rid of all that it has to say: what counts is what it hears.
        let written = line.write_all(&self.bytes(address));
        if matches!(self.framing, Framing::Short(_)) {
            line.shutdown(Shutdown::Write)?;
        }
        let mut answer = Vec::new();
        let read = line.read_to_end(&mut answer);
        Answer::parse(&answer).ok_or_else(|| {
            let why = written.err().or(read.err()).map_or_else(|| "the line was closed".to_owned(), |error| error.to_string());
            std::io::Error::other(format!("no answer but {} bytes: {why}", answer.len()))
        })
    }

    fn bytes(&self, address: SocketAddr) -> Vec<u8> {
        let mut bytes =
            format!("{} {} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n", self.method, self.target).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        let length = |missing: usize| format!("content-length: {}\r\n\r\n", self.body.len() + missing).into_bytes();
        match self.framing {
            Framing::Length if self.method == "GET" => bytes.extend_from_slice(b"\r\n"),
            Framing::Length => bytes.extend(length(0)),
            Framing::Short(missing) => bytes.extend(length(missing)),
            Framing::Chunks => bytes.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n"),
        }
        if self.framing == Framing::Chunks {
            for piece in self.body.chunks(7) {
                bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                bytes.extend_from_slice(piece);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
        } else {
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }
}

impl Answer {
    /// The first value of a header, by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as a text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (status, headers, body) = split(bytes)?;
        let status = status.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
        let mut answer = Answer { status, headers, body: body.to_vec() };
        if answer.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            answer.body = unchunked(body)?;
        }
        Some(answer)
    }
}

/// A head and what follows it: the first line, the headers by their names in lower case, the rest. None where the head is not
/// finished.
#[must_use]
pub fn split(bytes: &[u8]) -> Option<(String, Headers, &[u8])> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let first = lines.next()?.to_owned();
    let header =
        |line: &str| line.split_once(':').map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned()));
    Some((first, lines.filter_map(header).collect(), &bytes[end + 4..]))
}

/// A body that came in pieces, each behind its length in hexadecimal; none where it is not whole.
#[must_use]
pub fn unchunked(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let length = std::str::from_utf8(&rest[..end]).ok()?.split(';').next()?.trim();
        let length = usize::from_str_radix(length, 16).ok()?;
        let piece = rest.get(end + 2..)?.get(..length)?;
        if length == 0 {
            return Some(body);
        }
        body.extend_from_slice(piece);
        rest = rest.get(end + 2 + length + 2..)?;
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
        check("fo", "Zm8=");
        check("foo", "Zm9v");
        check("foob", "Zm9vYg==");
    }

    #[test]
    fn answers_are_read() {
        let check = |bytes: &str, want: Option<(u16, &str)>| {
            let got = Answer::parse(bytes.as_bytes());
            let got = got.map(|answer| (answer.status, answer.text()));
            assert_eq!(got, want.map(|(status, body)| (status, body.to_owned())), "{bytes:?}");
        };
        check("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", Some((200, "ok")));
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", Some((200, "abcde")));
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc", None);
        check("HTTP/1.1 200", None);
    }

    #[test]
    fn a_body_in_chunks_is_the_body() {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let bytes = Request::post("/", "a body of more than one piece").framed(Framing::Chunks).bytes(address);
        let (first, headers, body) = split(&bytes).expect("a head");
        assert_eq!(first, "POST / HTTP/1.1");
        assert!(headers.contains(&("transfer-encoding".to_owned(), "chunked".to_owned())));
        assert_eq!(unchunked(body).expect("whole"), b"a body of more than one piece");
    }
}
