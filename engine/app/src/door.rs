//! The doors: requests at the paths of sources, and their answers.
//!
//! A request is read within its bounds, decompressed, given to the source's plugin, and what the plugin made of it is stamped and
//! made durable; only then is the sender answered (invariant 1). A plugin that breaks down, a full disk or too great a lag are
//! answered with 503 and `Retry-After`, for that source alone (invariant 11). Bytes that a plugin refuses from a sender whom it knows
//! are kept beside the events (invariant 3), with what is needed to give them to the plugin again: `kept` has the request's head.

mod kept;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::sync::watch;
use weft_domain::event::Environment;
use weft_domain::input::{Carrier, Head};
use weft_domain::value::Timestamp;
use weft_host::{Received, Source};

pub use self::kept::Secrets;
use crate::bounds::InForce;
use crate::clock::Clock;
use crate::intake::{Arrived, Intake, Origin};
use crate::limits;
use crate::suppression::Suppression;
use crate::telemetry::{Ending, Metrics, Stage};
use crate::writer::Ledger;

/// A source with a door.
pub struct Door {
    /// The stage's name.
    pub name: String,
    /// Where it listens: a path beginning with `/`, without one at its end.
    pub path: String,
    /// Where its events count unless they say otherwise.
    pub environment: Environment,
    /// The plugin at work.
    pub source: Source,
    /// The source's secrets, by handle: none of them is kept with a request.
    pub secrets: Secrets,
}

/// Doors that are open, the longest path first.
pub type Open = Arc<[Arc<Door>]>;

/// Doors in the order in which a request looks for its own: `/segment/eu` is no path of `/segment`.
#[must_use]
pub fn in_order(mut doors: Vec<Door>) -> Open {
    doors.sort_by_key(|door| std::cmp::Reverse(door.path.len()));
    doors.into_iter().map(Arc::new).collect()
}

/// All doors, and what stands behind them.
pub struct Doors {
    doors: watch::Receiver<Open>,
    intake: Intake,
    ledger: Ledger,
    clock: Clock,
    metrics: Arc<Metrics>,
    bounds: InForce,
    closed: AtomicBool,
}

impl Doors {
    /// The doors that are open at any time, until too much of intake waits for the transforms.
    #[must_use]
    pub fn new(
        doors: watch::Receiver<Open>,
        intake: Intake,
        ledger: Ledger,
        clock: Clock,
        metrics: Arc<Metrics>,
        bounds: InForce,
    ) -> Self {
        Doors { doors, intake, ledger, clock, metrics, bounds, closed: AtomicBool::new(false) }
    }

    /// Takes nothing more: the engine stops. Requests under way are finished.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    fn door(&self, path: &str) -> Option<(Arc<Door>, String)> {
        let doors = self.doors.borrow().clone();
        doors.iter().find_map(|door| {
            let rest = path.strip_prefix(&*door.path).filter(|rest| rest.is_empty() || rest.starts_with('/'))?;
            Some((door.clone(), if rest.is_empty() { "/".to_owned() } else { rest.to_owned() }))
        })
    }

    /// Why nothing can be taken now, where nothing can.
    fn obstacle(&self) -> Option<&'static str> {
        if self.closed.load(Ordering::Acquire) {
            return Some("the engine stops");
        }
        let waiting = self.intake.reader().durable_end().saturating_sub(self.ledger.intake_through());
        self.metrics.intake_waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
        (waiting > self.bounds.borrow().intake_lag_max).then_some("too many events wait for the transforms")
    }

    /// Gives a request to a source again, of which bytes are a dead letter: what the plugin makes of it now, and where that counts. The request is as old
    /// as it is, for a signature that must not be.
    ///
    /// # Errors
    /// In words, where it cannot be given, or the plugin does not answer.
    pub async fn receive_again(
        &self,
        source: &str,
        head: &Head,
        bytes: &Bytes,
        at: Timestamp,
    ) -> Result<(Received, Environment), String> {
        if let Some(obstacle) = self.obstacle() {
            return Err(format!("{obstacle}: try again"));
        }
        let doors = self.doors.borrow().clone();
        let door = doors.iter().find(|door| door.name == source);
        let door =
            door.ok_or_else(|| format!("it came to the source `{source}` by a request, and that source takes none now"))?;
        let Head { method, path, query, mut headers, remote, whole } = kept::restore(head, &door.secrets)?;
        let body = if whole {
            let encoding = headers.iter().find(|(name, _)| name == header::CONTENT_ENCODING.as_str());
            inflate(encoding.map_or("identity", |(_, value)| value), bytes)
        } else {
            headers.push((weft_host::PART.to_owned(), "1".to_owned()));
            Ok(bytes.clone())
        };
        let body = body.map_or_else(weft_host::Body::Unreadable, weft_host::Body::Bytes);
        let received_ms = u64::try_from(at.0).unwrap_or(0);
        let request = weft_host::Request { method, path, query, headers, body, received_ms, remote };
        let received = door.source.receive(request).await;
        received
            .map(|received| (received, door.environment))
            .map_err(|fault| format!("the source's plugin does not answer: {fault}"))
    }

    async fn receive(&self, door: &Door, request: weft_host::Request, original: Original) -> Response<Body> {
        if let Some(obstacle) = self.obstacle() {
            return busy(obstacle);
        }
        let received_at = Timestamp(i64::try_from(request.received_ms).unwrap_or(i64::MAX));
        let head = head_of(&request);
        let received = match door.source.receive(request).await {
            Ok(received) => received,
            Err(fault) => {
                tracing::warn!(stage = door.name, code = fault.code(), error = %fault, "source does not answer");
                return busy("the source's plugin does not answer");
            }
        };
        let arrived = stamp(door, &received, received_at, (head, &original), self.ledger.suppression());
        self.metrics.received.get_or_create(&Stage { stage: door.name.clone() }).inc_by(received.events.len() as u64);
        if !arrived.is_empty()
            && let Err(unavailable) = self.intake.append(arrived).await
        {
            tracing::error!(stage = door.name, error = %unavailable, "intake takes nothing");
            return busy("the events could not be made durable");
        }
        answer(received.response)
    }
}

/// A body as it arrived.
enum Original {
    Whole(Bytes),
    /// Only its beginning: more than may be.
    Beginning(Bytes),
}

/// What a plugin made of a request, as records of intake.
fn stamp(
    door: &Door,
    received: &Received,
    at: Timestamp,
    (head, original): (Head, &Original),
    suppression: &Suppression,
) -> Arrived {
    let mut arrived = Arrived::default();
    let origin = Origin { source: &door.name, environment: door.environment, at, suppression };
    for json in &received.events {
        origin.event(json, &mut arrived);
    }
    let (bytes, is_whole) = match original {
        Original::Whole(bytes) => (bytes, true),
        Original::Beginning(bytes) => (bytes, false),
    };
    let kept = |whole: bool| kept::keep(&Head { whole, ..head.clone() }, &door.secrets);
    let has_whole = is_whole && received.refused.iter().any(|refused| refused.bytes.is_none());
    let has_parts = received.refused.iter().any(|refused| refused.bytes.is_some());
    let (of_whole, of_part) = (has_whole.then(|| kept(true)).flatten(), has_parts.then(|| kept(false)).flatten());
    let mut kept_bytes = 0;
    for refused in &received.refused {
        let kept = if refused.bytes.is_none() { &of_whole } else { &of_part };
        let kept = kept.as_ref().filter(|_| kept_bytes <= limits::HEADS_KEPT_BYTES_MAX);
        kept_bytes += kept.map_or(0, bytes_of);
        let reason = (&*refused.rejection.code, &*refused.rejection.message);
        let bytes = refused.bytes.as_ref().unwrap_or(bytes);
        origin.refuse(reason, kept.cloned().map(Carrier::Request), bytes, &mut arrived);
    }
    arrived
}

fn bytes_of(head: &Head) -> usize {
    let headers: usize = head.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    headers + head.path.len() + head.query.len()
}

fn head_of(request: &weft_host::Request) -> Head {
    let weft_host::Request { method, path, query, headers, remote, .. } = request;
    let (method, path, query) = (method.clone(), path.clone(), query.clone());
    Head { method, path, query, headers: headers.clone(), remote: remote.clone(), whole: true }
}

/// Answers a request at a source's path; 404 where there is none.
pub async fn knock(
    State(doors): State<Arc<Doors>>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Some((door, path)) = doors.door(parts.uri.path()) else {
        return problem(StatusCode::NOT_FOUND, "there is no source and no page at this path");
    };
    let received_ms = u64::try_from(doors.clock.now().0).unwrap_or(0);
    let (original, body) = match tokio::time::timeout(limits::REQUEST_TIME_MAX, read(body)).await {
        Err(_) => return problem(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"),
        Ok(Err(_)) => return problem(StatusCode::BAD_REQUEST, "the body broke off"),
        Ok(Ok(Read::Whole(original))) => {
            let encoding = parts.headers.get(header::CONTENT_ENCODING).map_or(Ok("identity"), HeaderValue::to_str);
            let encoding = encoding.map_err(|_| "the content-encoding cannot be read".to_owned());
            let body = match encoding.and_then(|encoding| inflate(encoding, &original)) {
                Ok(bytes) => weft_host::Body::Bytes(bytes),
                Err(message) => weft_host::Body::Unreadable(message),
            };
            (Original::Whole(original), body)
        }
        Ok(Ok(Read::TooLong(beginning))) => {
            let max = limits::BODY_BYTES_MAX;
            let message = format!("the body has more than {max} bytes; only the first {max} are kept");
            (Original::Beginning(beginning), weft_host::Body::Unreadable(message))
        }
    };
    let request = weft_host::Request {
        method: parts.method.as_str().to_owned(),
        path,
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: headers(&parts.headers),
        body,
        received_ms,
        remote: remote.ip().to_string(),
    };
    let response = doors.receive(&door, request, original).await;
    let ending = Ending { stage: door.name.clone(), outcome: response.status().as_u16().to_string() };
    doors.metrics.requests.get_or_create(&ending).inc();
    response
}

/// A body within its bound, or the beginning of one that is not.
enum Read {
    Whole(Bytes),
    TooLong(Bytes),
}

async fn read(mut body: Body) -> Result<Read, axum::Error> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        let room = limits::BODY_BYTES_MAX - bytes.len();
        bytes.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            return Ok(Read::TooLong(bytes.freeze()));
        }
    }
    Ok(Read::Whole(bytes.freeze()))
}

fn headers(headers: &HeaderMap) -> Vec<(String, String)> {
    let readable = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    headers.iter().map(readable).collect()
}

/// Takes the compression off a body, within the bound on what it may grow to.
fn inflate(encoding: &str, body: &Bytes) -> Result<Bytes, String> {
    let encoding = encoding.trim().to_ascii_lowercase();
    let mut inflated = Vec::new();
    let bound = limits::BODY_INFLATED_BYTES_MAX as u64 + 1;
    let read = match &*encoding {
        "identity" | "" => return Ok(body.clone()),
        "gzip" | "x-gzip" => flate2::read::MultiGzDecoder::new(&**body).take(bound).read_to_end(&mut inflated),
        "deflate" => flate2::read::ZlibDecoder::new(&**body).take(bound).read_to_end(&mut inflated),
        _ => return Err(format!("the content-encoding `{}` is not known", weft_domain::value::Excerpt(&encoding))),
    };
    match read {
        Err(_) => Err(format!("the body is not {encoding}, though content-encoding says so")),
        Ok(length) if length as u64 >= bound => {
            Err(format!("the body grows past {} bytes when it is decompressed", limits::BODY_INFLATED_BYTES_MAX))
        }
        Ok(_) => Ok(inflated.into()),
    }
}

fn answer(response: weft_host::Response) -> Response<Body> {
    let mut answer = Response::new(Body::from(response.body));
    *answer.status_mut() = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in response.headers {
        let name = HeaderName::try_from(name);
        let value = HeaderValue::try_from(value);
        if let (Ok(name), Ok(value)) = (name, value) {
            answer.headers_mut().append(name, value);
        }
    }
    answer
}

/// 503: the sender keeps its events and comes again.
fn busy(why: &str) -> Response<Body> {
    let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, why);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    // A browser hides an answer without it from its scripts, which then could not know to come again.
    response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

/// An answer of the engine's own, as RFC 9457 has it.
pub fn problem(status: StatusCode, detail: &str) -> Response<Body> {
    let body = BTreeMap::from([
        ("title", serde_json::Value::from(status.canonical_reason().unwrap_or("error"))),
        ("status", status.as_u16().into()),
        ("detail", detail.into()),
    ]);
    let mut response = Response::new(Body::from(serde_json::to_vec(&body).expect("texts and numbers are JSON")));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Bytes {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).expect("memory takes it");
        encoder.finish().expect("memory takes it").into()
    }

    #[test]
    fn bodies_are_inflated_within_their_bound() {
        let check = |encoding: &str, body: Bytes, want: Result<&[u8], &str>| match (inflate(encoding, &body), want) {
            (Ok(bytes), Ok(want)) => assert_eq!(&*bytes, want),
            (Err(message), Err(want)) => assert!(message.contains(want), "{message}"),
            (got, want) => panic!("{encoding}: {got:?}, not {want:?}"),
        };
        check("identity", Bytes::from_static(b"{}"), Ok(b"{}"));
        check("gzip", gzip(b"{}"), Ok(b"{}"));
        check("GZIP", gzip(b"{}"), Ok(b"{}"));
        check("gzip", Bytes::from_static(b"{}"), Err("is not gzip"));
        check("gzip", gzip(b"{}").slice(..10), Err("is not gzip"));
        check("br", Bytes::from_static(b"{}"), Err("not known"));
        let bomb = gzip(&vec![b'0'; 64 << 20]);
        assert!(bomb.len() < 100_000);
        check("gzip", bomb, Err("grows past"));
    }
}
