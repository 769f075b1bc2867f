//! Sources: what is lent reaches the guest only as far as manifest and grant go, and no secret does.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use weft_host::{Body, Failure, FailureKind, Fault, HealthState, Lent, Nothing, Place, Received, Request, Source, WantedLimits};

use crate::support::{Basket, Bench, Notebook, bench, fixture, load, stage, with_manifest};

async fn source(bench: &Bench, lent: Arc<dyn Lent>) -> Source {
    let mut stage = stage(lent);
    stage.limits = WantedLimits { call_ms: Some(100), body_bytes: Some(1_000), ..WantedLimits::default() };
    load(bench, &fixture("source.wat")).await.source(stage).unwrap()
}

fn request(body: &str) -> Request {
    Request {
        method: "POST".to_owned(),
        path: "/".to_owned(),
        query: String::new(),
        headers: vec![("content-type".to_owned(), "text/plain".to_owned())],
        body: Body::Bytes(Bytes::copy_from_slice(body.as_bytes())),
        received_ms: 1_700_000_000_000,
        remote: "192.0.2.1".to_owned(),
    }
}

async fn receive(source: &Source, body: &str) -> Received {
    source.receive(request(body)).await.unwrap()
}

async fn check(source: &Source, body: &str, status: u16, answer: &[u8]) {
    let received = receive(source, body).await;
    assert_eq!((received.response.status, &received.response.body[..]), (status, answer), "{body}");
}

fn hex(bytes: &str) -> Vec<u8> {
    (0..bytes.len()).step_by(2).map(|at| u8::from_str_radix(&bytes[at..at + 2], 16).unwrap()).collect()
}

#[tokio::test]
async fn what_is_lent_works() {
    let bench = bench();
    let notebook = Arc::new(Notebook::default());
    let source = source(&bench, notebook.clone()).await;
    check(&source, "same:hush", 200, b"").await;
    check(&source, "same:hus", 401, b"").await;
    // From `openssl dgst -sha256 -hmac hush` and `sha1sum`.
    let mac = hex("5265106c9eefe100b44a618d1cff34e7fb1dcdbbd1227e7b9ef8a75a8d897215");
    check(&source, "sign:abc", 200, &mac).await;
    check(&source, "hash:abc", 200, &hex("a9993e364706816aba3e25717850c26c9cd0d89d")).await;
    check(&source, "send:hello", 204, b"hello").await;
    check(&source, "take", 404, b"").await;
    check(&source, "keep:this", 200, b"").await;
    check(&source, "take", 200, b"this").await;
    check(&source, "emit", 502, b"`output` is there in `poll` and `decode` only").await;
    assert_eq!(notebook.asked(), ["POST a/b"]);
}

#[tokio::test]
async fn what_is_asked_for_and_not_lent_answers_a_failure() {
    let bench = bench();
    let source = source(&bench, Arc::new(Nothing)).await;
    check(&source, "send:hello", 502, b"no connection is lent to this stage").await;
    check(&source, "keep:this", 502, b"no key-value namespace is lent to this stage").await;
    check(&source, "same:hush", 401, b"").await;
    check(&source, "sign:abc", 404, b"").await;
}

#[tokio::test]
async fn what_the_manifest_does_not_ask_for_is_refused_even_if_lent() {
    let bench = bench();
    let manifest = r#"{"name":"modest","version":"1.0.0","kind":"source","contract":"1.0","summary":"asks for nothing","config":{},"reads":["receive"]}"#;
    let plugin = load(&bench, &with_manifest(&bench, "source.wat", manifest)).await;
    let notebook = Arc::new(Notebook::default());
    let source = plugin.source(stage(notebook.clone())).unwrap();
    check(&source, "send:hello", 502, b"the manifest does not ask for `http`").await;
    check(&source, "keep:this", 502, b"the manifest does not ask for `kv`").await;
    for body in ["same:hush", "sign:abc", "hash:abc"] {
        let fault = source.receive(request(body)).await.unwrap_err();
        assert_eq!(fault.code(), "plugin_trapped");
        assert_eq!(fault.to_string(), "the plugin used `crypto`, for which its manifest does not ask");
    }
    assert!(notebook.asked().is_empty());
    assert!(notebook.keys.lock().unwrap().is_empty());
}

#[tokio::test]
async fn events_and_refused_bytes_come_with_the_answer() {
    let bench = bench();
    let source = source(&bench, Arc::new(Nothing)).await;
    let received = receive(&source, r#"evnt:{"a":1}"#).await;
    assert_eq!(received.events, [Bytes::from_static(br#"{"a":1}"#)]);
    let received = receive(&source, "deny").await;
    assert_eq!(received.response.status, 400);
    assert_eq!((received.refused[0].rejection.code.as_str(), received.refused[0].bytes.as_ref()), ("denied", None));
}

#[tokio::test]
async fn a_body_past_the_limit_reaches_the_plugin_as_unreadable() {
    let bench = bench();
    let source = source(&bench, Arc::new(Nothing)).await;
    check(&source, &"x".repeat(1_001), 413, b"the body has 1001 bytes, more than 1000").await;
}

#[tokio::test]
async fn faults_are_told_apart() {
    let bench = bench();
    let source = source(&bench, Arc::new(Nothing)).await;
    for (body, code) in
        [("trap", "plugin_trapped"), ("stat", "plugin_broken_answer"), ("evnt:", "plugin_broken_answer"), ("conf", "config")]
    {
        assert_eq!(source.receive(request(body)).await.unwrap_err().code(), code, "{body}");
    }
    // A plugin that can say what is wrong is in good health: the row of crashes ends.
    assert_eq!(source.health().state, HealthState::Healthy);
}

#[tokio::test]
async fn a_poll_emits_and_checkpoints_in_order() {
    let bench = bench();
    let source = source(&bench, Arc::new(Nothing)).await;
    let basket = Arc::new(Basket::default());
    source.poll(None, basket.clone()).await.unwrap();
    assert_eq!(*basket.taken.lock().unwrap(), ["1", r#"state {"at":1}"#]);
}

#[tokio::test]
async fn what_a_poll_refuses_keeps_its_place() {
    let bench = bench();
    let source = source(&bench, Arc::new(Nothing)).await;
    let basket = Arc::new(Basket::default());
    source.poll(Some(r#"{"deny":1}"#), basket.clone()).await.unwrap();
    assert_eq!(*basket.taken.lock().unwrap(), ["denied \u{fffd}\u{fffd}", "1", r#"state {"at":1}"#]);
}

#[tokio::test]
async fn a_poll_that_is_cancelled_returns() {
    let bench = bench();
    let source = source(&bench, Arc::new(Nothing)).await;
    let basket =
        Arc::new(Basket { stop: Some((1_000, Failure::new(FailureKind::Cancelled, "shutting down"))), ..Basket::default() });
    let fault = source.poll(Some(r#"{"ever":1}"#), basket.clone()).await.unwrap_err();
    assert_eq!(fault, Fault::Failure(Failure::new(FailureKind::Cancelled, "shutting down")));
    assert_eq!(basket.taken.lock().unwrap().len(), 1_000);
}

#[tokio::test]
async fn a_poll_that_breaks_down_is_not_tried_again() {
    let bench = bench();
    let source = source(&bench, Arc::new(Nothing)).await;
    for (state, code, taken) in [
        (r#"{"trap":1}"#, "plugin_trapped", 1),
        (r#"{"spin":1}"#, "plugin_timeout", 0),
        (r#"{"text":1}"#, "plugin_broken_answer", 0),
        (r#"{"mojo":1}"#, "plugin_broken_answer", 0),
    ] {
        let basket = Arc::new(Basket::default());
        assert_eq!(source.poll(Some(state), basket.clone()).await.unwrap_err().code(), code, "{state}");
        assert_eq!(basket.taken.lock().unwrap().len(), taken, "{state}");
    }
    assert_eq!(source.health().traps_total, 4);
}

#[tokio::test]
async fn decoding_hands_the_state_back() {
    let bench = bench();
    let source = source(&bench, Arc::new(Nothing)).await;
    let basket = Arc::new(Basket::default());
    let state = source.decode(b"ab", Place::Middle, None, basket.clone()).await.unwrap();
    assert_eq!(state.as_deref(), Some(r#"{"n":1}"#));
    let state = source.decode(b"", Place::Last, state.as_deref(), basket.clone()).await.unwrap();
    assert_eq!(state, None);
    assert_eq!(*basket.taken.lock().unwrap(), ["ab"]);
}

/// Time in a lender is not the plugin's.
#[tokio::test]
async fn waiting_for_what_is_lent_costs_no_budget() {
    struct Slow;
    impl Lent for Slow {
        fn http(&self, request: weft_host::HttpRequest) -> weft_host::Lending<'_, Result<weft_host::HttpResponse, Failure>> {
            Box::pin(async move {
                tokio::time::sleep(Duration::from_millis(400)).await;
                Ok(weft_host::HttpResponse { status: 200, headers: Vec::new(), body: request.body })
            })
        }
    }
    let bench = bench();
    let source = source(&bench, Arc::new(Slow)).await;
    assert_eq!(source.limits().call_ms, 100);
    check(&source, "send:hello", 200, b"hello").await;
}
