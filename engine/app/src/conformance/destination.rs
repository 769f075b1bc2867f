//! The checks of destinations: a receipt for each record, the same when tried again, and the truth about the other side.

use std::sync::Arc;

use bytes::Bytes;
use weft_host::{
    Batch, Capability, Destination, Email, Failure, FailureKind, HttpResponse, Mailed, Manifest, Receipt, Rejection,
};

use super::transform::nobody;
use super::{AGAIN, ANSWERS, Bench, DEEP, EMPTY_BATCH, FULL_BATCH, GARBAGE, LARGE, OPEN, OUTSIDE, samples};
use crate::rehearsal::{Always, Asked, Props, Reply};

/// A destination with props of its own.
struct Stand {
    props: Arc<Props>,
    peer: Arc<Always>,
    destination: Destination,
}

impl Stand {
    fn new(bench: &Bench<'_>, reply: Reply) -> Result<Stand, String> {
        let peer = Always::new(reply);
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

/// What most APIs say when they are content, and a mail server that takes everything.
pub(super) fn content() -> Reply {
    Reply { http: answered(200, r#"{"ok":true}"#), mail: Ok(Mailed::Accepted) }
}

/// Nobody is there.
pub(super) fn silence() -> Reply {
    Reply { http: Err(nobody()), mail: Err(nobody()) }
}

fn answered(status: u16, body: &str) -> Result<HttpResponse, Failure> {
    let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
    Ok(HttpResponse { status, headers, body: body.as_bytes().to_vec() })
}

/// What the other side may do instead: of each kind that the plugin asks for.
pub(super) fn adversity(manifest: &Manifest) -> Vec<(&'static str, Reply)> {
    let mut all = Vec::new();
    if manifest.asks_for(Capability::Http) {
        all.extend(bad_answers().into_iter().map(|(what, http)| (what, Reply { http, ..content() })));
    }
    if manifest.asks_for(Capability::Email) {
        all.extend(bad_mail().into_iter().map(|(what, mail)| (what, Reply { mail, ..content() })));
    }
    all
}

fn bad_answers() -> Vec<(&'static str, Result<HttpResponse, Failure>)> {
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
        ("no turn in time", Err(no_turn())),
    ]
}

fn bad_mail() -> Vec<(&'static str, Result<Mailed, Failure>)> {
    let refusal = Rejection { code: "recipient_refused".into(), message: "no such user here".into() };
    vec![
        ("a recipient that is not taken for now", Ok(Mailed::Later(30_000))),
        ("a recipient that is refused", Ok(Mailed::Refused(refusal))),
        ("a password that is not taken", Err(Failure::new(FailureKind::Credentials, "who are you"))),
        ("no mail server", Err(nobody())),
        ("no turn at the mail server in time", Err(no_turn())),
    ]
}

fn no_turn() -> Failure {
    Failure { retry_after_ms: Some(1_500), ..Failure::new(FailureKind::RateLimited, "no turn") }
}

/// Whether the other side said so to what it was asked, and took nothing.
fn refuses(reply: &Reply, asked: &Asked) -> bool {
    match asked {
        Asked::Request(_) => !matches!(&reply.http, Ok(answer) if answer.status < 300),
        Asked::Message(_) => reply.mail != Ok(Mailed::Accepted),
        // It lets us in, and says of each message what it does with it.
        Asked::LetIn => reply.mail.is_err(),
    }
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
        answers = answers.and(delivered.and_then(|answer| taken(&answer, &stand.peer.take())));
    }
    bench.judge(ANSWERS, answers);
    let again = again(bench, &first).await;
    bench.judge(AGAIN, again);
    hard(bench, &first).await;
    if adversity(bench.manifest()).is_empty() {
        bench.skip(OUTSIDE, "the plugin makes no requests and sends no mail");
    } else {
        let result = outside(bench, &first).await;
        bench.judge(OUTSIDE, result);
    }
}

/// The messages among what was asked.
fn messages(asked: &[Asked]) -> impl Iterator<Item = &Email> {
    asked.iter().filter_map(|asked| if let Asked::Message(message) = asked { Some(&**message) } else { None })
}

/// Of mail it is known what content means, which of an API only its plugin knows: what the server took is delivered.
fn taken(answer: &Result<Vec<Receipt>, Failure>, asked: &[Asked]) -> Result<(), String> {
    let count = messages(asked).count();
    if count == 0 {
        return Ok(());
    }
    let receipts =
        answer.as_ref().map_err(|failure| format!("the mail server takes every message, and the batch fails: {failure}"))?;
    if let Some(place) = receipts.iter().position(|receipt| matches!(receipt, Receipt::Retry(_))) {
        return Err(format!("the mail server takes every message, and record {} is to come again", place + 1));
    }
    if !receipts.contains(&Receipt::Ok) {
        return Err(format!("the mail server takes {count} messages, and no receipt is `ok`"));
    }
    Ok(())
}

/// The same batch twice: the same requests and messages, the same files.
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
    if messages(&asked).any(|message| message.message_id.is_none()) {
        return Err("a message has no `message-id`, so that its reader cannot know it again".into());
    }
    if !asked_again.is_empty() && asked != asked_again {
        let at = asked.iter().zip(&asked_again).position(|(one, other)| one != other);
        return Err(match at {
            Some(at) => {
                format!(
                    "request or message {} of the same batch differs the second time, so the other side cannot know it again",
                    at + 1
                )
            }
            None => {
                format!("the same batch makes {} requests or messages, and {} the second time", asked.len(), asked_again.len())
            }
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
    for (what, reply) in adversity(bench.manifest()) {
        let stand = Stand::new(bench, reply.clone())?;
        let delivered = stand.deliver(bench, what, &batch(stream, fitting(bench, stream))).await?;
        let is_refused = |asked: Vec<Asked>| !asked.is_empty() && asked.iter().all(|asked| refuses(&reply, asked));
        let was_refused = is_refused(stand.peer.take());
        if let Ok(receipts) = &delivered
            && was_refused
            && receipts.contains(&Receipt::Ok)
        {
            return Err(format!("to `{what}` it answers `ok`, though the other side took nothing"));
        }
        let checked = stand.destination.check().await;
        if let Ok(Ok(())) = bench.lived(&format!("check, {what}"), checked)
            && is_refused(stand.peer.take())
        {
            return Err(format!("`check` is content with `{what}`"));
        }
    }
    Ok(())
}
