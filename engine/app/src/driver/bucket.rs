//! Reading the objects of an S3-compatible bucket: each once, in the order in which they were written.
//!
//! An object is known by its key and its tag, so that one that is replaced is read again. Marks of objects that were read are kept up to a
//! bound; before the newest of those that were forgotten, everything counts as read. A writer whose objects appear late, with an earlier
//! time than that, is therefore not heard: the bound is large enough for days of the usual exports.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::header;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::buffered::BufReader;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest as Request, HttpResponse as Response, HttpResponseBody,
    HttpService,
};
use object_store::path::Path;
use object_store::{ClientOptions, ObjectMeta, ObjectStore, RetryConfig};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use url::Url;
use weft_host::HttpRequest;

use super::content::open;
use super::files::hex;
use super::reading::{Ending, Mark, Reading};
use super::{Driver, Shore, wait_for};
use crate::egress::Connection;
use crate::limits;

/// Under this key: the time before which every object counts as read.
const SINCE: &str = "since";

/// A bucket, and which of its objects are read.
#[derive(Clone, Debug)]
pub struct Bucket {
    store: Arc<AmazonS3>,
    prefix: Option<Path>,
    suffix: String,
    every: Duration,
}

/// Why a bucket cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BucketError(String);

impl Bucket {
    /// The bucket at the address of a connection, `https://host/bucket/`. Requests go through the connection, which signs them.
    ///
    /// # Errors
    /// [`BucketError`], where the address is not that of a bucket.
    pub fn new(
        base_url: &Url,
        connection: Arc<Connection>,
        prefix: &str,
        suffix: &str,
        every: Duration,
    ) -> Result<Bucket, BucketError> {
        let bucket = base_url.path().trim_matches('/');
        if bucket.is_empty() || bucket.contains('/') {
            return Err(BucketError(format!(
                "`{base_url}` is not the address of a bucket: write `https://host/bucket/`, and what is below it as `prefix`"
            )));
        }
        let way = Through { bucket: format!("/{bucket}"), connection };
        let builder = AmazonS3Builder::new()
            .with_endpoint(base_url.origin().ascii_serialization())
            .with_bucket_name(bucket)
            .with_region("us-east-1")
            .with_virtual_hosted_style_request(false)
            .with_allow_http(base_url.scheme() == "http")
            // Both are the connection's.
            .with_skip_signature(true)
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .with_http_connector(way);
        let store = builder.build().map_err(|error| BucketError(error.to_string()))?;
        let prefix = Some(Path::from(prefix)).filter(|prefix| !prefix.as_ref().is_empty());
        Ok(Bucket { store: Arc::new(store), prefix, suffix: suffix.to_owned(), every })
    }

    /// The objects that are to be read and were written after a time, the oldest first.
    async fn list(&self, since_ms: i64) -> object_store::Result<Vec<ObjectMeta>> {
        let mut objects = Vec::new();
        let mut pages = self.store.list(self.prefix.as_ref());
        while let Some(object) = std::future::poll_fn(|context| pages.as_mut().poll_next(context)).await {
            let object = object?;
            let is_wanted = object.location.as_ref().ends_with(&self.suffix) && object.size > 0;
            if is_wanted && object.last_modified.timestamp_millis() > since_ms {
                objects.push(object);
            }
        }
        objects.sort_by(|one, other| (one.last_modified, &one.location).cmp(&(other.last_modified, &other.location)));
        Ok(objects)
    }
}

pub(super) async fn run(
    driver: &Driver,
    bucket: &Bucket,
    shore: &Shore,
    mut stop: watch::Receiver<bool>,
    mut positions: BTreeMap<String, Vec<u8>>,
) {
    let since = positions.remove(SINCE).and_then(|since| serde_json::from_slice::<Mark>(&since).ok());
    let mut since_ms = since.map_or(i64::MIN, |since| since.seen_ms);
    let mut reading = Reading::new(driver, shore, stop.clone(), positions);
    driver.note(|standing| standing.finished = reading.marks.values().filter(|mark| mark.done).count() as u64);
    let mut tries = 0;
    loop {
        let wait = match bucket.list(since_ms).await {
            Ok(objects) => {
                if std::mem::take(&mut tries) > 0 {
                    driver.note(|standing| standing.last_error = None);
                }
                match round(&mut reading, bucket, &objects, &mut since_ms).await {
                    None => return,
                    Some(true) => bucket.every,
                    Some(false) => bucket.every.min(limits::DELIVERY_WAIT * 4),
                }
            }
            Err(error) => {
                tries += 1;
                let message = in_short(&error.to_string());
                let is_refused = message.contains("403") || message.contains("401");
                driver.complain("", if is_refused { "credentials" } else { "unavailable" }, &message, tries);
                crate::patience::backoff(tries).min(bucket.every.max(limits::DELIVERY_WAIT))
            }
        };
        let now = shore.clock.now();
        let next = now.plus_ms(i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
        driver.note(|standing| (standing.done_at, standing.next_at) = (Some(now), Some(next)));
        if !wait_for(wait, &mut stop).await {
            return;
        }
    }
}

/// What the other side says, without the XML around it (Amazon S3 API reference, "Error responses") and the library's own frame.
fn in_short(error: &str) -> String {
    let between = |from: &str, to: &str| Some(error.split_once(from)?.1.split_once(to)?.0.to_owned());
    let status = error.rsplit_once("status code: ").map(|(_, rest)| rest.split(':').next().unwrap_or(rest).to_owned());
    match (status, between("<Code>", "</Code>"), between("<Message>", "</Message>")) {
        (Some(status), Some(code), Some(message)) => format!("the bucket answers {status}: {code}: {message}"),
        _ => error.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

/// Reads what is new. Whether everything was read; none where the driver is to stop.
async fn round(reading: &mut Reading<'_>, bucket: &Bucket, objects: &[ObjectMeta], since_ms: &mut i64) -> Option<bool> {
    let mut all = true;
    for object in objects {
        let key = key_of(object);
        if reading.is_settled(&key) {
            continue;
        }
        if reading.is_resting(&key) {
            all = false;
            continue;
        }
        let mark = Mark { name: object.location.to_string(), ..reading.mark(&key) };
        let raw = BufReader::with_capacity(bucket.store.clone(), object, limits::CHUNK_BYTES * 4);
        let content = open(raw, mark.offset).await.map(|(_, content)| content);
        if !reading.read(&key, mark, content.map_err(io::Error::other), Ending::Final).await {
            return None;
        }
        all &= reading.is_settled(&key);
    }
    let written: BTreeMap<String, i64> =
        objects.iter().map(|object| (key_of(object), object.last_modified.timestamp_millis())).collect();
    forget(reading, &written, since_ms).await;
    Some(all)
}

/// Lets go of the marks of objects that are no longer there, and where there are still too many, of the oldest: before them everything counts
/// as read.
async fn forget(reading: &mut Reading<'_>, written: &BTreeMap<String, i64>, since_ms: &mut i64) {
    let gone: Vec<String> = reading.marks.keys().filter(|key| !written.contains_key(*key)).cloned().collect();
    for key in gone {
        reading.forget(&key).await;
    }
    let excess = reading.marks.len().saturating_sub(limits::MARKS_MAX);
    if excess == 0 {
        return;
    }
    // Objects of one moment go together, and only after everything before them was read.
    let mut oldest: Vec<(i64, String)> = written.iter().map(|(key, at)| (*at, key.clone())).collect();
    oldest.sort_unstable();
    let settled = oldest.iter().take_while(|(_, key)| reading.is_settled(key)).count();
    let Some(through) = oldest.get(settled.min(excess + limits::MARKS_MAX / 10).saturating_sub(1)).map(|(at, _)| *at) else {
        return;
    };
    if oldest.iter().any(|(at, key)| *at == through && !reading.is_settled(key)) {
        return;
    }
    let mark = Mark { name: "everything before".into(), seen_ms: through, done: true, ..Mark::default() };
    if reading.commit(SINCE, &mark).await.is_ok() {
        *since_ms = through;
        for (_, key) in oldest.iter().take_while(|(at, _)| *at <= through) {
            reading.forget(key).await;
        }
    }
}

/// The way to a bucket: requests of the library, sent through the connection.
#[derive(Clone, Debug)]
struct Through {
    /// Its path, behind which the connection puts every target.
    bucket: String,
    connection: Arc<Connection>,
}

/// What a connection says instead of an answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unanswered(String);

impl HttpConnector for Through {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait::async_trait]
impl HttpService for Through {
    async fn call(&self, request: Request) -> Result<Response, HttpError> {
        let failed = |kind, message: String| HttpError::new(kind, Unanswered(message));
        let (head, body) = request.into_parts();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let target = path.strip_prefix(&self.bucket).unwrap_or(path).trim_start_matches('/').to_owned();
        let headers = head.headers.iter().filter(|(name, _)| *name != header::HOST && *name != header::CONTENT_LENGTH);
        let headers = headers.filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())));
        let request = HttpRequest {
            method: head.method.as_str().to_owned(),
            target,
            headers: headers.collect(),
            body: body.as_bytes().map(|bytes| bytes.to_vec()).unwrap_or_default(),
            timeout_ms: None,
        };
        let answer =
            self.connection.send(request).await.map_err(|failure| failed(HttpErrorKind::Request, failure.to_string()))?;
        let mut response = hyper::Response::builder().status(answer.status);
        for (name, value) in &answer.headers {
            response = response.header(name, value);
        }
        let body = HttpResponseBody::from(bytes::Bytes::from(answer.body));
        response.body(body).map_err(|error| failed(HttpErrorKind::Decode, error.to_string()))
    }
}

/// An object's key and tag; where there is no tag, its time.
fn key_of(object: &ObjectMeta) -> String {
    let tag = object.e_tag.clone().unwrap_or_else(|| object.last_modified.to_rfc3339());
    hex(&Sha256::digest(format!("{}\n{tag}", object.location)))
}
