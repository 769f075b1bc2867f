//! Just enough HTTP to load a server without being the load: one connection, one request at a time, bodies of known length.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

/// A connection that is kept.
pub(crate) struct Wire(BufReader<TcpStream>);

impl Wire {
    /// Connects; none where nobody listens.
    pub(crate) fn open(port: u16) -> Option<Wire> {
        let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
        stream.set_nodelay(true).ok()?;
        Some(Wire(BufReader::new(stream)))
    }

    /// What a page says.
    pub(crate) fn get(&mut self, path: &str) -> (u16, Vec<u8>) {
        self.exchange(format!("GET {path} HTTP/1.1\r\nhost: b\r\n\r\n").as_bytes())
    }

    /// Posts JSON to a page.
    pub(crate) fn post(&mut self, path: &str, body: &str) -> (u16, Vec<u8>) {
        let length = body.len();
        let head =
            format!("POST {path} HTTP/1.1\r\nhost: b\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
        self.exchange(&[head.as_bytes(), body.as_bytes()].concat())
    }

    /// Sends a batch to the Segment source as the user `key`.
    pub(crate) fn send_batch(&mut self, body: &str) -> (u16, Vec<u8>) {
        let length = body.len();
        let head = format!(
            "POST /s/v1/batch HTTP/1.1\r\nhost: b\r\ncontent-type: application/json\r\nauthorization: Basic a2V5Og==\r\ncontent-length: {length}\r\n\r\n"
        );
        self.exchange(&[head.as_bytes(), body.as_bytes()].concat())
    }

    fn exchange(&mut self, request: &[u8]) -> (u16, Vec<u8>) {
        self.0.get_mut().write_all(request).expect("the engine reads");
        let (mut line, mut status, mut length) = (String::new(), 0, 0);
        loop {
            line.clear();
            self.0.read_line(&mut line).expect("the engine answers");
            let lower = line.trim().to_ascii_lowercase();
            if let Some(rest) = lower.strip_prefix("http/1.1 ") {
                status = rest[..3].parse().unwrap_or(0);
            }
            if let Some(rest) = lower.strip_prefix("content-length:") {
                length = rest.trim().parse().unwrap_or(0);
            }
            if lower.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("the engine answers");
        (status, body)
    }
}
