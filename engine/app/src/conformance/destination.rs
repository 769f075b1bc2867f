//! The checks of destinations: a receipt for each record, the same when tried again, and the truth about the other side.

use bytes::Bytes;
use weft_host::{Batch, Capability, Destination, Failure, FailureKind, HttpResponse, Receipt};

use super::transform::nobody;
use super::{AGAIN, ANSWERS, Bench, DEEP, EMPTY_BATCH, FULL_BATCH, GARBAGE, LARGE, OPEN, OUTSIDE, samples};
use crate::rehearsal::{Always, Props};
use std::sync::Arc;

/// A destination with props of its own.
struct Stand {
    props: Arc<Props>,
    peer: Arc<Always>,
    destination: Destination,
}

impl Stand {
    fn new(bench: &Bench<'_>, answer: Result<HttpResponse, Failure>) -> Result<Stand, String> {
        let peer = Always::new(answer);
        let props = Props::new(bench.block, peer.clone());
        let destination = bench.plugin.destination(props.stage(bench.block)).map_err(|error| error.to_string())?;
        Ok(Stand { props, peer, destination })
    }

    async fn deliver(&self, bench: &mut Bench<'_>, what: &str, batch: &Batch) -> Result<Result<Vec<Receipt>, Failure>, String> {
        let answer = self.destination.deliver_bare(batch).await;
        bench.found.use_up(self.destination.used());
        bench.lived(what, answer)
    }
}

/// What most APIs say when they are content.
pub(super) fn content() -> Result<HttpResponse, Failure> {
    answered(200, r#"{"ok":true}"#)
}

fn answered(status: u16, body: &str) -> Result<HttpResponse, Failure> {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    Ok(HttpResponse { status, headers, body: body.as_bytes().to_vec() })
}

/// What the other side may do instead.
pub(super) fn adversity() -> Vec<(&'static str, Result<HttpResponse, Failure>)> {
    let mut patience = answered(429, r#"{"error":"slow down"}"#);
    if let Ok(patience) = &mut patience {
        patience.headers.push(("retry-after".to_owned(), "30".to_owned()));
    }
    vec![
        ("401 Unauthorized", answered(401, r#"{"error":"who are you"}"#)),
        ("429 with retry-after: 30", patience),
        ("500", answered(500, "<html>oops</html>")),
        ("503 without a body", answered(503, "")),
        ("200 with bytes that are not UTF-8", Ok(HttpResponse { status: 200, headers: Vec::new(), body: vec![0xff, 0, 0xfe] })),
        ("200 with JSON that is very deep", answered(200, &"[".repeat(50_000))),
        ("no answer", Err(nobody())),
        ("no turn in time", Err(Failure { retry_after_ms: Some(1_500), ..Failure::new(FailureKind::RateLimited, "no turn") })),
    ]
}

fn batch(stream: &str, records: Vec<Bytes>) -> Batch {
    let positions = (0..records.len() as u64).map(|place| 1_000 + place).collect();
    Batch { stream: stream.to_owned(), key: format!("check:{stream}:1000"), records, positions }
}

/// The first so many of the samples, which a destination of small batches takes.
fn fitting(bench: &Bench<'_>, stream: &str) -> Vec<Bytes> {
    let mut records = samples::records(stream);
    records.truncate(bench.limits().batch_records as usize);
    records
}

pub(super) async fn check(bench: &mut Bench<'_>) {
    let stand = match Stand::new(bench, content()) {
        Ok(stand) => stand,
        Err(message) => return bench.judge(OPEN, Err(message)),
    };
    let opened = stand.destination.open().await;
    let opens = opened.is_ok();
    bench.judge(OPEN, opened.map_err(|fault| format!("{fault} ({})", fault.code())));
    if !opens {
        return;
    }
    let streams: Vec<String> = bench.manifest().accepts.iter().map(|stream| stream.0.clone()).collect();
    let first = streams.first().cloned().unwrap_or_default();
    let empty = stand.deliver(bench, "an empty batch", &batch(&first, Vec::new())).await;
    bench.judge(EMPTY_BATCH, empty.and_then(|answer| answer.map(drop).map_err(|failure| format!("it fails: {failure}"))));
    let mut answers = Ok(());
    for stream in &streams {
        let delivered = stand.deliver(bench, stream, &batch(stream, fitting(bench, stream))).await;
        answers = answers.and(delivered.map(drop));
    }
    bench.judge(ANSWERS, answers);
    let again = again(bench, &first).await;
    bench.judge(AGAIN, again);
    hard(bench, &first).await;
    if bench.manifest().asks_for(Capability::Http) {
        let result = outside(bench, &first).await;
        bench.judge(OUTSIDE, result);
    } else {
        bench.skip(OUTSIDE, "the plugin makes no requests");
    }
}

/// The same batch twice: the same requests, the same files.
async fn again(bench: &mut Bench<'_>, stream: &str) -> Result<(), String> {
    let stand = Stand::new(bench, content())?;
    let batch = batch(stream, fitting(bench, stream));
    let first = stand.deliver(bench, "a batch", &batch).await?;
    let (asked, files) = (stand.peer.take(), stand.props.files());
    let second = stand.deliver(bench, "the same batch again", &batch).await?;
    if first != second {
        return Err("the same batch is answered in another way the second time".into());
    }
    let asked_again = stand.peer.take();
    if !asked_again.is_empty() && asked != asked_again {
        let at = asked.iter().zip(&asked_again).position(|(one, other)| one != other);
        return Err(match at {
            Some(at) => {
                format!("request {} of the same batch differs the second time, so the other side cannot know it again", at + 1)
            }
            None => format!("the same batch makes {} requests, and {} the second time", asked.len(), asked_again.len()),
        });
    }
    let files_again = stand.props.files();
    for (folder, before) in &files {
        let after = files_again.get(folder);
        let changed = before.iter().find(|(name, bytes)| after.is_none_or(|after| after.get(*name) != Some(bytes)));
        if let Some((name, _)) = changed {
            return Err(format!("the file `{name}` changes when the same batch comes again"));
        }
        if after.is_some_and(|after| after.len() != before.len()) {
            return Err("the same batch makes another file when it comes again".into());
        }
    }
    Ok(())
}

async fn hard(bench: &mut Bench<'_>, stream: &str) {
    let mut result = Ok(());
    for (what, bytes) in samples::garbage() {
        result = result.and(one(bench, what, stream, bytes).await);
    }
    bench.judge(GARBAGE, result);
    let deep = one(bench, "JSON 40,000 levels deep", stream, samples::deep()).await;
    bench.judge(DEEP, deep);
    let limits = bench.limits();
    let large = one(bench, "a record as large as a batch may be", stream, samples::large(limits.batch_bytes)).await;
    bench.judge(LARGE, large);
    let full = match Stand::new(bench, content()) {
        Ok(stand) if stream == "events" => {
            let many = samples::many(limits.batch_records, limits.batch_bytes);
            stand.deliver(bench, "a full batch", &batch(stream, many)).await.map(drop)
        }
        Ok(_) => return bench.skip(FULL_BATCH, "the plugin takes no events"),
        Err(message) => Err(message),
    };
    bench.judge(FULL_BATCH, full);
}

async fn one(bench: &mut Bench<'_>, what: &str, stream: &str, bytes: Bytes) -> Result<(), String> {
    let stand = Stand::new(bench, content())?;
    stand.deliver(bench, what, &batch(stream, vec![bytes])).await.map(drop)
}

async fn outside(bench: &mut Bench<'_>, stream: &str) -> Result<(), String> {
    for (what, answer) in adversity() {
        let is_refusal = !matches!(&answer, Ok(answer) if answer.status < 300);
        let stand = Stand::new(bench, answer)?;
        let delivered = stand.deliver(bench, what, &batch(stream, fitting(bench, stream))).await?;
        let asked = !stand.peer.take().is_empty();
        if let Ok(receipts) = &delivered
            && asked
            && is_refusal
            && receipts.contains(&Receipt::Ok)
        {
            return Err(format!("to `{what}` it answers `ok`, though the other side took nothing"));
        }
        let checked = stand.destination.check().await;
        if let Ok(Ok(())) = bench.lived(&format!("check, {what}"), checked)
            && is_refusal
            && !stand.peer.take().is_empty()
        {
            return Err(format!("`check` is content with `{what}`"));
        }
    }
    Ok(())
}
