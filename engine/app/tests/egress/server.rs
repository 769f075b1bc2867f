//! A server that plays what it is told to, and what tests of a connection have in common.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::sleep;
use weft::egress::{Connection, ConnectionOptions};
use weft_host::{Failure, FailureKind, HttpRequest, HttpResponse};

/// What a server does with one request.
#[derive(Clone)]
pub(crate) enum Play {
    /// Answers with these bytes, and closes.
    Answer(Vec<u8>),
    /// Answers with these bytes, and keeps the socket for the next request.
    Keep(Vec<u8>),
    /// Answers a byte each time.
    Dribble(Vec<u8>, Duration),
    /// Closes without a word.
    HangUp,
}

pub(crate) fn answer(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
}

pub(crate) fn ok(body: &str) -> Play {
    Play::Answer(answer("200 OK", "", body.as_bytes()))
}

pub(crate) fn redirect(status: u16, location: &str) -> Play {
    Play::Answer(answer(&format!("{status} Elsewhere"), &format!("location: {location}\r\n"), b""))
}

/// A server that plays one after the other, then the last one for ever, and remembers what it was asked.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    pub(crate) sockets: Arc<AtomicUsize>,
}

impl Server {
    pub(crate) async fn start(plays: Vec<Play>) -> Server {
        let plays = Mutex::new(VecDeque::from(plays));
        Server::answering(move |_| {
            let mut plays = plays.lock().expect("no panic");
            let play = if plays.len() > 1 { plays.pop_front() } else { plays.front().cloned() };
            play.expect("a server has a play")
        })
        .await
    }

    /// A server that looks at each request, and remembers it.
    pub(crate) async fn answering(answer: impl Fn(&str) -> Play + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("an address");
        let (asked, sockets) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)));
        let answer = Arc::new(answer);
        let server = Server { address, asked: asked.clone(), sockets: sockets.clone() };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                sockets.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(play(stream, answer.clone(), asked.clone()));
            }
        });
        server
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The requests as they came, one text each.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic").clone()
    }

    pub(crate) fn first_lines(&self) -> Vec<String> {
        self.asked().iter().filter_map(|request| request.lines().next().map(str::to_owned)).collect()
    }
}

/// Answers on one socket until it closes.
pub(crate) async fn play(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: Arc<impl Fn(&str) -> Play>,
    asked: Arc<Mutex<Vec<String>>>,
) {
    while let Some(request) = read_request(&mut stream).await {
        asked.lock().expect("no panic").push(request.clone());
        match answer(&request) {
            // Whoever has heard enough closes while this is being written.
            Play::Answer(bytes) => return drop(stream.write_all(&bytes).await),
            Play::Keep(bytes) => stream.write_all(&bytes).await.expect("writes"),
            Play::Dribble(bytes, pause) => {
                for byte in bytes {
                    if stream.write_all(&[byte]).await.is_err() {
                        return;
                    }
                    sleep(pause).await;
                }
                return;
            }
            Play::HangUp => return,
        }
    }
}

/// A head, and as many bytes after it as it says.
pub(crate) async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok()).unwrap_or(0);
        if body.len() >= length {
            return Some(text);
        }
    }
}

pub(crate) fn options(base_url: &str) -> ConnectionOptions {
    ConnectionOptions { timeout: Duration::from_secs(5), ..ConnectionOptions::new("test", base_url.parse().expect("a url")) }
}

pub(crate) fn connection(base_url: &str) -> Connection {
    Connection::new(options(base_url)).expect("valid options")
}

pub(crate) fn request(method: &str, target: &str, body: &str) -> HttpRequest {
    HttpRequest { method: method.into(), target: target.into(), headers: Vec::new(), body: body.into(), timeout_ms: None }
}

pub(crate) fn get(target: &str) -> HttpRequest {
    request("GET", target, "")
}

pub(crate) fn kind(answer: &Result<HttpResponse, Failure>) -> Result<u16, FailureKind> {
    answer.as_ref().map(|answer| answer.status).map_err(|failure| failure.kind)
}
