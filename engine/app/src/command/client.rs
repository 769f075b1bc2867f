//! Asks a running engine. Nobody listening is an answer, not an error.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::http::request::Builder;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use crate::api::WORKSPACE;
use crate::config::{self, Config, Environment};
use crate::limits;

/// The engine of a workspace: where it listens, and what it is called, so that another one that listens there does nothing.
#[derive(Clone, Debug)]
pub(super) struct Engine {
    address: SocketAddr,
    workspace: Option<String>,
}

impl Engine {
    /// The engine of the workspace at a path, as far as its files can be read.
    pub(super) fn of(workspace: &Path) -> Engine {
        let environment = Environment::of_process();
        Engine { address: config::listen(workspace, &environment), workspace: config::name(workspace, &environment) }
    }

    /// The engine of a workspace whose configuration was read.
    pub(super) fn configured(config: &Config) -> Engine {
        Engine { address: config.listen, workspace: Some(config.name.clone()) }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

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

/// How long an engine may work before it answers: learning from as many customers as it does takes some minutes.
const WORK_TIME_MAX: Duration = Duration::from_secs(1_800);

/// Gets a page of the engine that listens there. The token of `WEFT_TOKEN` goes with it, where there is one.
pub(super) async fn get(engine: &Engine, path: &str) -> anyhow::Result<Answer> {
    exchange(engine, Request::get(path), Bytes::new()).await
}

/// Posts JSON to a page of the engine that listens there, as [`get`] gets one.
pub(super) async fn post(engine: &Engine, path: &str, json: &serde_json::Value) -> anyhow::Result<Answer> {
    let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
    exchange(engine, request, json.to_string().into()).await
}

/// Deletes what a page names, as [`get`] gets one.
pub(super) async fn delete(engine: &Engine, path: &str) -> anyhow::Result<Answer> {
    exchange(engine, Request::delete(path), Bytes::new()).await
}

/// Posts to a page that may have to work for minutes before it answers, as [`get`] gets one.
pub(super) async fn post_patiently(engine: &Engine, path: &str) -> anyhow::Result<Answer> {
    let Some(stream) = connect(engine).await else { return Ok(Answer::Nobody) };
    let asked = async { answer(ask(stream, engine, Request::post(path), Bytes::new()).await?).await };
    tokio::time::timeout(WORK_TIME_MAX, asked).await.context("the engine does not answer")?
}

/// Posts bytes as they are, as [`get`] gets a page.
pub(super) async fn post_bytes(engine: &Engine, path: &str, bytes: Bytes) -> anyhow::Result<Answer> {
    let request = Request::post(path).header(header::CONTENT_TYPE, "application/octet-stream");
    exchange(engine, request, bytes).await
}

/// Messages of server-sent events, as they come.
pub(super) struct Messages {
    body: Incoming,
    read: Vec<u8>,
}

/// A message of server-sent events.
pub(super) struct Message {
    /// What it is.
    pub(super) event: String,
    /// Its id, where it has one.
    pub(super) id: Option<String>,
    /// What it says.
    pub(super) data: String,
}

/// A tail says at least that it is still there within this; else the connection is dead.
const SILENCE_MAX: Duration = Duration::from_secs(3 * limits::TAIL_HEARTBEAT.as_secs());

/// Opens a page of server-sent events, after the message that came last; none where nobody listens.
pub(super) async fn follow(engine: &Engine, path: &str, last: Option<&str>) -> anyhow::Result<Option<Messages>> {
    let Some(stream) = connect(engine).await else { return Ok(None) };
    let request = last.map_or_else(|| Request::get(path), |last| Request::get(path).header("last-event-id", last));
    let asked = tokio::time::timeout(ANSWER_TIME_MAX, ask(stream, engine, request, Bytes::new())).await;
    let response = asked.context("the engine does not answer")??;
    match response.status() {
        StatusCode::OK => Ok(Some(Messages { body: response.into_body(), read: Vec::new() })),
        _ => match answer(response).await? {
            Answer::NotFound => bail!("the engine that runs is of a version without this page"),
            _ => bail!("the engine's answer cannot be read"),
        },
    }
}

/// A body that is read as it comes.
pub(super) struct Streamed {
    response: Response<Incoming>,
}

/// Opens a page whose body may be long; none where nobody listens.
pub(super) async fn stream(engine: &Engine, path: &str) -> anyhow::Result<Option<Streamed>> {
    let Some(stream) = connect(engine).await else { return Ok(None) };
    let asked = tokio::time::timeout(ANSWER_TIME_MAX, ask(stream, engine, Request::get(path), Bytes::new())).await;
    let response = asked.context("the engine does not answer")??;
    match response.status() {
        StatusCode::OK => Ok(Some(Streamed { response })),
        _ => match answer(response).await? {
            Answer::NotFound => bail!("the engine that runs is of a version without this page"),
            _ => bail!("the engine's answer cannot be read"),
        },
    }
}

impl Streamed {
    /// What a header says.
    pub(super) fn header(&self, name: &str) -> Option<String> {
        self.response.headers().get(name)?.to_str().ok().map(str::to_owned)
    }

    /// The next bytes; none at the end.
    ///
    /// # Errors
    /// It broke off.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        loop {
            let frame = tokio::time::timeout(ANSWER_TIME_MAX, self.response.body_mut().frame()).await;
            let Some(frame) = frame.context("the engine sends nothing more")? else { return Ok(None) };
            if let Ok(bytes) = frame.context("the connection broke")?.into_data() {
                return Ok(Some(bytes));
            }
        }
    }
}

impl Messages {
    /// The next message; none where the connection has ended.
    pub(super) async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some(end) = self.read.windows(2).position(|two| two == b"\n\n") {
                let text: Vec<u8> = self.read.drain(..end + 2).collect();
                match Message::of(&String::from_utf8_lossy(&text)) {
                    Some(message) => return Some(message),
                    None => continue,
                }
            }
            let frame = tokio::time::timeout(SILENCE_MAX, self.body.frame()).await.ok()??.ok()?;
            self.read.extend_from_slice(frame.into_data().ok()?.as_ref());
        }
    }
}

impl Message {
    /// A message; none where there are only comments.
    fn of(text: &str) -> Option<Message> {
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
        Some(Message { event: field("event: ")?, id: field("id: "), data: field("data: ")? })
    }
}

async fn connect(engine: &Engine) -> Option<TcpStream> {
    let address = engine.address;
    let reachable = if address.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { address.ip() };
    TcpStream::connect((reachable, address.port())).await.ok()
}

async fn exchange(engine: &Engine, request: Builder, body: Bytes) -> anyhow::Result<Answer> {
    let Some(stream) = connect(engine).await else { return Ok(Answer::Nobody) };
    let asked = async { answer(ask(stream, engine, request, body).await?).await };
    tokio::time::timeout(ANSWER_TIME_MAX, asked).await.context("the engine does not answer")?
}

async fn ask(stream: TcpStream, engine: &Engine, request: Builder, body: Bytes) -> anyhow::Result<Response<Incoming>> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut request = request.header(header::HOST, engine.address.to_string());
    if let Some(workspace) = &engine.workspace {
        request = request.header(WORKSPACE, workspace);
    }
    if let Ok(token) = std::env::var("WEFT_TOKEN") {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    Ok(sender.send_request(request.body(Full::new(body))?).await?)
}

async fn answer(response: Response<Incoming>) -> anyhow::Result<Answer> {
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    match status {
        // What was asked for is refused, and the body says why.
        StatusCode::OK | StatusCode::CREATED | StatusCode::ACCEPTED | StatusCode::UNPROCESSABLE_ENTITY => Ok(Answer::Body(body)),
        StatusCode::NOT_FOUND => Ok(Answer::NotFound),
        StatusCode::UNAUTHORIZED => bail!("the engine wants a token: set WEFT_TOKEN"),
        // What was asked for was wrong, and nothing was done: the engine says why in one sentence.
        StatusCode::BAD_REQUEST | StatusCode::MISDIRECTED_REQUEST | StatusCode::CONFLICT | StatusCode::GONE => {
            let why: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
            // In a problem of RFC 9457, or in an error of OpenDSR.
            let why = why["detail"].as_str().or(why["error"]["message"].as_str()).map(str::to_owned);
            bail!(why.unwrap_or_else(|| format!("the engine answered {status}: {}", String::from_utf8_lossy(&body))))
        }
        _ => bail!("the engine answered {status}: {}", String::from_utf8_lossy(&body)),
    }
}

/// A part of a path, percent-encoded (RFC 3986, section 2.1).
pub(super) fn escape(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let letter = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(letter).collect()
}
