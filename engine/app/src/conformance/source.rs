//! The checks of sources: strangers get nothing in, garbage is answered, and the other side may be as it likes.

use std::sync::Arc;

use bytes::Bytes;
use weft_host::{Body, Capability, FailureKind, Output, Place, Reads, Received, Request, Source};

use super::destination::{adversity, content, silence};
use super::{Bench, CANCELLED, DEEP, GARBAGE, LARGE, OPEN, OUTSIDE, STRANGERS, UNREADABLE, reads, samples};
use crate::rehearsal::{Always, Basket, Props, Reply, Stopping};

fn source(bench: &Bench<'_>, reply: Reply) -> Result<(Source, Arc<Always>), String> {
    let peer = Always::new(reply);
    let props = Props::new(bench.block, peer.clone());
    Ok((bench.plugin.source(props.stage(bench.block)).map_err(|error| error.to_string())?, peer))
}

pub(super) async fn check(bench: &mut Bench<'_>) {
    let stand = match source(bench, silence()) {
        Ok((source, _)) => source,
        Err(message) => return bench.judge(OPEN, Err(message)),
    };
    let opened = stand.open().await;
    let opens = opened.is_ok();
    bench.judge(OPEN, opened.map_err(|fault| format!("{fault} ({})", fault.code())));
    if !opens {
        return;
    }
    if reads(bench.manifest(), Reads::Receive) {
        receive(bench, &stand).await;
    }
    if reads(bench.manifest(), Reads::Poll) {
        poll(bench).await;
    }
    if reads(bench.manifest(), Reads::Decode) {
        decode(bench, &stand).await;
    }
    bench.found.use_up(stand.used());
}

fn request(method: &str, path: &str, headers: &[(&str, &str)], body: Bytes) -> Request {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: String::new(),
        headers,
        body: Body::Bytes(body),
        received_ms: 1_772_357_400_000,
        remote: "203.0.113.7".to_owned(),
    }
}

/// What a stranger may try to be let in with.
fn credentials() -> Vec<Vec<(&'static str, &'static str)>> {
    vec![
        vec![],
        vec![("authorization", "Basic d3Jvbmc6")],
        vec![("authorization", "Bearer wrong")],
        vec![("authorization", "\u{fffd}")],
        vec![("x-api-key", "wrong"), ("x-signature", "00"), ("x-hub-signature-256", "sha256=00")],
        vec![
            ("stripe-signature", "t=1772357400,v1=00"),
            ("x-slack-signature", "v0=00"),
            ("x-slack-request-timestamp", "1772357400"),
        ],
        vec![("x-shopify-hmac-sha256", "AAAA"), ("content-type", "application/json")],
    ]
}

async fn received(bench: &mut Bench<'_>, source: &Source, what: &str, request: &Request) -> Result<Received, String> {
    let answer = source.receive_bare(request).await;
    bench.lived(what, answer)?.map_err(|failure| format!("{what}: the call fails, where the sender is to be answered: {failure}"))
}

async fn receive(bench: &mut Bench<'_>, source: &Source) {
    let result = garbage(bench, source).await;
    bench.judge(GARBAGE, result);
    if bench.block.secrets.is_empty() {
        bench.skip(STRANGERS, "this configuration has no secret to know senders by");
    } else {
        let result = strangers(bench, source).await;
        bench.judge(STRANGERS, result);
    }
    let mut unreadable = request("POST", "/", &[("content-encoding", "gzip")], Bytes::new());
    unreadable.body = Body::Unreadable("the body is no gzip".to_owned());
    let result = received(bench, source, "a body that cannot be read", &unreadable).await;
    bench.judge(UNREADABLE, result.and_then(|received| refused(&received, "a body that cannot be read")));
    let json = [("content-type", "application/json")];
    let deep = received(bench, source, "JSON 40,000 levels deep", &request("POST", "/", &json, samples::deep())).await;
    bench.judge(DEEP, deep.map(drop));
    let body = samples::large(bench.limits().body_bytes);
    let large = received(bench, source, "a body as large as one may be", &request("POST", "/", &json, body)).await;
    bench.judge(LARGE, large.map(drop));
}

/// Answered with 4xx and nothing kept.
fn refused(received: &Received, what: &str) -> Result<(), String> {
    let status = received.response.status;
    if !received.events.is_empty() {
        return Err(format!("{what}: it gives {} events", received.events.len()));
    }
    if !(400..500).contains(&status) {
        return Err(format!("{what}: it is answered with {status}"));
    }
    Ok(())
}

async fn garbage(bench: &mut Bench<'_>, source: &Source) -> Result<(), String> {
    for (what, bytes) in samples::garbage() {
        for (method, path) in [("POST", "/"), ("PUT", "/no/such/path"), ("BREW", "/%00/../..")] {
            let received = received(bench, source, what, &request(method, path, &[], bytes.clone())).await?;
            // Of a sender who is known, what cannot be read is kept as it is and acknowledged.
            if received.events.is_empty() && !received.refused.is_empty() {
                continue;
            }
            if received.events.is_empty() {
                refused(&received, &format!("{method} {path} with {what}"))?;
            }
        }
    }
    Ok(())
}

async fn strangers(bench: &mut Bench<'_>, source: &Source) -> Result<(), String> {
    let bodies = [
        Bytes::from_static(br#"{"userId":"u-1","type":"track","event":"Order Completed","batch":[{"type":"track"}],"id":"1"}"#),
        samples::garbage().swap_remove(1).1,
    ];
    for headers in credentials() {
        for path in ["/", "/v1/track", "/v1/batch"] {
            for body in &bodies {
                let named: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
                let what =
                    format!("POST {path} with {}", if named.is_empty() { "no credentials".into() } else { named.join(", ") });
                let received = received(bench, source, &what, &request("POST", path, &headers, body.clone())).await?;
                refused(&received, &what)?;
                if !received.refused.is_empty() {
                    return Err(format!("{what}: its bytes are kept as a dead letter, though nobody knows whose they are"));
                }
            }
        }
    }
    Ok(())
}

async fn poll(bench: &mut Bench<'_>) {
    if !bench.manifest().asks_for(Capability::Http) {
        return bench.skip(OUTSIDE, "the plugin makes no requests");
    }
    let result = outside(bench).await;
    bench.judge(OUTSIDE, result);
    let result = match source(bench, content()) {
        Ok((source, _)) => match source.poll(None, Arc::new(Stopping)).await {
            Err(weft_host::Fault::Failure(failure)) if failure.kind != FailureKind::Cancelled => {
                // It found nothing to emit in an answer that is none of its API's; that is its own business.
                Ok(())
            }
            answer => bench.lived("a poll that is asked to stop", answer).map(drop),
        },
        Err(message) => Err(message),
    };
    bench.judge(CANCELLED, result);
}

async fn outside(bench: &mut Bench<'_>) -> Result<(), String> {
    for (what, reply) in adversity(bench.manifest()) {
        let is_refusal = !matches!(&reply.http, Ok(answer) if answer.status < 300);
        let (source, peer) = source(bench, reply)?;
        let basket = Arc::new(Basket::default());
        let polled = source.poll(None, Arc::clone(&basket) as Arc<dyn Output>).await;
        bench.found.use_up(source.used());
        let polled = bench.lived(what, polled)?;
        let asked = !peer.take().is_empty();
        if asked && is_refusal && polled.is_ok() {
            return Err(format!("after `{what}` the poll ends as if there were no more"));
        }
        if is_refusal && basket.state().is_some() {
            return Err(format!("after `{what}` a new state is proposed"));
        }
        if is_refusal && !basket.events().is_empty() {
            return Err(format!("after `{what}` it emits events"));
        }
    }
    Ok(())
}

async fn decode(bench: &mut Bench<'_>, source: &Source) {
    let mut chunks = samples::garbage();
    chunks.push(("no bytes", Bytes::new()));
    let mut result = Ok(());
    for (what, chunk) in chunks {
        // What is emitted here may be no canonical event: of garbage the engine makes dead letters.
        result = result.and(decoded(bench, source, what, &chunk).await.map(drop));
    }
    bench.judge(GARBAGE, result);
    let deep = decoded(bench, source, "JSON 40,000 levels deep", &samples::deep()).await;
    bench.judge(DEEP, deep.map(drop));
    let large = decoded(bench, source, "a long chunk", &samples::large(1 << 20)).await;
    bench.judge(LARGE, large.map(drop));
}

/// A file in one chunk, and again in two with a cut in the middle of a character or a record: the same events.
async fn decoded(bench: &mut Bench<'_>, source: &Source, what: &str, bytes: &[u8]) -> Result<Vec<Bytes>, String> {
    let whole = pieces(bench, source, what, &[bytes]).await?;
    let (head, tail) = bytes.split_at(bytes.len() / 2);
    let cut = pieces(bench, source, what, &[head, tail]).await?;
    if whole != cut {
        return Err(format!("{what}: in one chunk it gives {} events, in two {}", whole.len(), cut.len()));
    }
    Ok(whole)
}

async fn pieces(bench: &mut Bench<'_>, source: &Source, what: &str, chunks: &[&[u8]]) -> Result<Vec<Bytes>, String> {
    let basket = Arc::new(Basket::default());
    let mut state: Option<String> = None;
    for (number, chunk) in chunks.iter().enumerate() {
        let place = if number + 1 == chunks.len() { Place::Last } else { Place::Middle };
        let read = source.decode(chunk, place, state.as_deref(), Arc::clone(&basket) as Arc<dyn Output>).await;
        match bench.lived(what, read)? {
            Ok(next) => state = next,
            // It says that this is no file of its kind.
            Err(_) => break,
        }
    }
    Ok(basket.events())
}
