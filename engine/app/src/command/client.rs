//! Asks a running engine. Nobody listening is an answer, not an error.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::http::request::Builder;
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// What came of asking.
pub(super) enum Answer {
    /// Nobody listens there.
    Nobody,
    /// There is no such thing.
    NotFound,
    /// The body of the answer.
    Body(Bytes),
}

/// How long an engine may take to answer: to take on another configuration, it lets go of stages that have something in hand.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(60);

/// Gets a page of the engine that listens there. The token of `WEFT_TOKEN` goes with it, where there is one.
pub(super) async fn get(address: SocketAddr, path: &str) -> anyhow::Result<Answer> {
    exchange(address, Request::get(path), Bytes::new()).await
}

/// Posts JSON to a page of the engine that listens there, as [`get`] gets one.
pub(super) async fn post(address: SocketAddr, path: &str, json: &serde_json::Value) -> anyhow::Result<Answer> {
    let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
    exchange(address, request, json.to_string().into()).await
}

/// Posts bytes as they are, as [`get`] gets a page.
pub(super) async fn post_bytes(address: SocketAddr, path: &str, bytes: Bytes) -> anyhow::Result<Answer> {
    let request = Request::post(path).header(header::CONTENT_TYPE, "application/octet-stream");
    exchange(address, request, bytes).await
}

async fn exchange(address: SocketAddr, request: Builder, body: Bytes) -> anyhow::Result<Answer> {
    let reachable = if address.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { address.ip() };
    let Ok(stream) = TcpStream::connect((reachable, address.port())).await else { return Ok(Answer::Nobody) };
    let asked = tokio::time::timeout(ANSWER_TIME_MAX, ask(stream, address, request, body)).await;
    asked.context("the engine does not answer")?
}

async fn ask(stream: TcpStream, address: SocketAddr, request: Builder, body: Bytes) -> anyhow::Result<Answer> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = request.header(header::HOST, address.to_string());
    if let Ok(token) = std::env::var("WEFT_TOKEN") {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    let response = sender.send_request(request.body(Full::new(body))?).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    match status {
        // What was asked for is refused, and the body says why.
        StatusCode::OK | StatusCode::UNPROCESSABLE_ENTITY => Ok(Answer::Body(body)),
        StatusCode::NOT_FOUND => Ok(Answer::NotFound),
        StatusCode::UNAUTHORIZED => bail!("the engine wants a token: set WEFT_TOKEN"),
        _ => bail!("the engine answered {status}: {}", String::from_utf8_lossy(&body)),
    }
}

/// A part of a path, percent-encoded (RFC 3986, section 2.1).
pub(super) fn escape(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let letter = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(letter).collect()
}
