//! The destination between the engine and a peer: batches in, requests out, and what answers lead to.

use std::cell::RefCell;
use std::rc::Rc;

use webhook_out::WebhookOut;
use weft_plugin::{Batch, Destination, Failure, FailureKind, Receipt, http, testing};

type Sent = Rc<RefCell<Vec<http::Request>>>;

/// A destination, and what it sends to a peer that answers with these, and with 200 after them.
fn open(config: &str, answers: Vec<Result<http::Response, Failure>>) -> (WebhookOut, Sent) {
    testing::reset();
    let sent = Sent::default();
    let (seen, mut answers) = (sent.clone(), answers.into_iter());
    testing::with(|double| {
        double.secrets.insert("key".into(), b"hunter2".to_vec());
        double.peer = Some(Box::new(move |request| {
            seen.borrow_mut().push(request);
            answers.next().unwrap_or_else(|| Ok(answer(200, "")))
        }));
    });
    let config = testing::config(config).unwrap_or_else(|problem| panic!("{problem:?}"));
    let problems = WebhookOut::validate(&config);
    assert!(problems.is_empty(), "{problems:?}");
    (WebhookOut::open(config).expect("it opens"), sent)
}

fn answer(status: u16, body: &str) -> http::Response {
    http::Response { status, headers: vec![("retry-after".into(), "3".into())], body: body.into() }
}

fn batch(records: &[&str]) -> Batch {
    Batch {
        stream: "events".into(),
        key: "out:events:7".into(),
        records: records.iter().map(|record| record.as_bytes().to_vec()).collect(),
        positions: (7..).take(records.len()).collect(),
    }
}

fn header<'r>(request: &'r http::Request, name: &str) -> &'r str {
    request.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
}

const ONE: &str = r#"{"type":"track","name":"Order Completed","received":"2026-03-01T09:30:00.123Z","claims":[{"type":"email","value":"ann@shop.example"}],"properties":{"order_id":"A/1","total":19.90}}"#;
const TWO: &str = r#"{"type":"page","received":"2026-03-01T09:31:00.000Z"}"#;

#[test]
fn each_record_is_a_request_of_its_own() {
    let (mut plugin, sent) = open(r#"{"path":"hook"}"#, vec![]);
    assert_eq!(plugin.deliver(batch(&[ONE, TWO])), Ok(vec![Receipt::Ok, Receipt::Ok]));
    let sent = sent.borrow();
    assert_eq!(sent.iter().map(|request| &*request.body).collect::<Vec<_>>(), [ONE.as_bytes(), TWO.as_bytes()]);
    assert_eq!((&*sent[0].method, &*sent[0].target), ("POST", "hook"));
    assert_eq!(header(&sent[0], "content-type"), "application/json");
    assert!(header(&sent[0], "idempotency-key").starts_with("events-7-"));
    assert_eq!(header(&sent[0], "x-weft-signature"), "");
}

#[test]
fn address_body_and_headers_are_what_the_configuration_says() {
    let config = r#"{"path":"orders/{{ event.properties.order_id }}.json?by={{ claims.email }}","method":"PUT","headers":{"Content-Type":"application/vnd.shop+json","X-Shop":"a"},"body":{"id":"properties.order_id","total":"event.properties.total","who":{"mail":"claims.email","tel":"claims.phone"}},"idempotency_header":"X-Key"}"#;
    let (mut plugin, sent) = open(config, vec![]);
    assert_eq!(plugin.deliver(batch(&[ONE])), Ok(vec![Receipt::Ok]));
    let request = &sent.borrow()[0];
    assert_eq!((&*request.method, &*request.target), ("PUT", "orders/A%2F1.json?by=ann%40shop.example"));
    let body = std::str::from_utf8(&request.body).expect("UTF-8");
    assert_eq!(body, r#"{"id":"A/1","total":19.90,"who":{"mail":"ann@shop.example"}}"#);
    assert_eq!((header(request, "content-type"), header(request, "x-shop")), ("application/vnd.shop+json", "a"));
    assert!(!header(request, "x-key").is_empty());
}

#[test]
fn a_record_that_would_lead_elsewhere_is_not_sent() {
    let check = |id: &str, code: &str| {
        let (mut plugin, sent) = open(r#"{"path":"orders/{{ properties.id }}"}"#, vec![]);
        let record = format!(r#"{{"properties":{{"id":{id}}}}}"#);
        let receipts = plugin.deliver(batch(&[&record])).expect("no failure");
        assert!(matches!(&receipts[..], [Receipt::Reject(rejection)] if rejection.code == code), "{id}: {receipts:?}");
        assert!(sent.borrow().is_empty());
    };
    check("null", "missing_value");
    check("\" \"", "missing_value");
    check("\"..\"", "bad_path");
    check("\"a/../b\"", "bad_path");
    check("\"a\\\\..\\\\b\"", "bad_path");
    check("\"..;x\"", "bad_path");
    check("\"%2e%2e\"", "bad_path");
    check(&format!("\"{}\"", "x".repeat(513)), "bad_path");
    let (mut plugin, sent) = open(r#"{"path":"orders/{{ properties.id }}"}"#, vec![]);
    assert_eq!(plugin.deliver(batch(&[r#"{"properties":{"id":"a..b c#?é"}}"#])), Ok(vec![Receipt::Ok]));
    assert_eq!(sent.borrow()[0].target, "orders/a..b%20c%23%3F%C3%A9");
}

#[test]
fn a_signature_covers_the_time_and_the_body() {
    let (mut plugin, sent) = open(r#"{"path":"","signature":{"secret":"key"}}"#, vec![]);
    plugin.deliver(batch(&[TWO])).expect("no failure");
    // printf '1772357460.{…}' | openssl dgst -sha256 -hmac hunter2
    assert_eq!(
        header(&sent.borrow()[0], "x-weft-signature"),
        "t=1772357460,v1=6c0f0b2ce98eb68f003706dd3118457d76b7805d9be42ceab2d32f918d7c07d5"
    );
}

#[test]
fn the_same_record_has_the_same_key_and_another_has_another() {
    let key = |record: &str| {
        let (mut plugin, sent) = open(r#"{"path":""}"#, vec![]);
        plugin.deliver(batch(&[record])).expect("no failure");
        sent.take().iter().map(|request| header(request, "idempotency-key").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(key(ONE), key(ONE));
    assert_ne!(key(ONE), key(TWO), "at the same position of another history");
}

#[test]
fn what_has_to_wait_holds_up_those_behind_it() {
    let ok = || Ok(answer(200, ""));
    // The first of a batch: none is delivered, and the engine waits without counting.
    let (mut plugin, sent) = open(r#"{"path":""}"#, vec![Ok(answer(429, "slow"))]);
    let failure = plugin.deliver(batch(&[ONE, TWO])).expect_err("it waits");
    assert_eq!((failure.kind, failure.retry_after_ms), (FailureKind::RateLimited, Some(3000)));
    assert_eq!(failure.message, "the answer is 429: slow");
    assert_eq!(sent.borrow().len(), 1);
    // A later one: what was delivered is not sent again, and what is behind is not sent before.
    let (mut plugin, sent) = open(r#"{"path":""}"#, vec![ok(), Ok(answer(503, ""))]);
    let receipts = plugin.deliver(batch(&[ONE, TWO, ONE])).expect("some are through");
    assert_eq!(receipts, [Receipt::Ok, Receipt::Retry(3000), Receipt::Retry(3000)]);
    assert_eq!(sent.borrow().len(), 2);
    let (mut plugin, _) = open(r#"{"path":""}"#, vec![ok(), Err(Failure::unavailable("gone"))]);
    assert_eq!(plugin.deliver(batch(&[ONE, TWO])), Ok(vec![Receipt::Ok, Receipt::Retry(0)]));
    let (mut plugin, _) = open(r#"{"path":""}"#, vec![Ok(answer(403, ""))]);
    assert_eq!(plugin.deliver(batch(&[ONE])).expect_err("it waits").kind, FailureKind::Credentials);
}

#[test]
fn a_record_that_is_not_taken_does_not_hold_up_those_behind_it() {
    let (mut plugin, sent) = open(r#"{"path":"","on_500":"reject"}"#, vec![Ok(answer(422, "no")), Ok(answer(500, ""))]);
    let receipts = plugin.deliver(batch(&[ONE, TWO, "[]", ONE])).expect("no failure");
    let codes = |receipt: &Receipt| match receipt {
        Receipt::Reject(rejection) => rejection.code.clone(),
        other => format!("{other:?}"),
    };
    assert_eq!(receipts.iter().map(codes).collect::<Vec<_>>(), ["http_422", "http_500", "not_json", "Ok"]);
    assert_eq!(sent.borrow().len(), 3);
}

#[test]
fn a_batch_is_one_request() {
    let config = r#"{"path":"import","send":"batch","body":{"kind":"type"},"signature":{"secret":"key"}}"#;
    let (mut plugin, sent) = open(config, vec![]);
    let receipts = plugin.deliver(batch(&[ONE, "?", TWO])).expect("no failure");
    assert!(matches!(&receipts[..], [Receipt::Ok, Receipt::Reject(_), Receipt::Ok]), "{receipts:?}");
    let sent = sent.borrow();
    assert_eq!(sent.len(), 1);
    assert_eq!(&*sent[0].body, br#"[{"kind":"track"},{"kind":"page"}]"#);
    assert!(header(&sent[0], "idempotency-key").starts_with("out:events:7-"));
    assert!(header(&sent[0], "x-weft-signature").starts_with("t=1772357460,"), "the newest record's time");
}

#[test]
fn a_batch_is_taken_or_refused_as_a_whole() {
    let config = r#"{"path":"","send":"batch"}"#;
    let (mut plugin, _) = open(config, vec![Ok(answer(400, "what?"))]);
    let refused = Receipt::reject("http_400", "the answer is 400: what?");
    assert_eq!(plugin.deliver(batch(&[ONE, TWO])), Ok(vec![refused.clone(), refused]));
    let (mut plugin, _) = open(config, vec![Ok(answer(500, ""))]);
    assert_eq!(plugin.deliver(batch(&[ONE, TWO])).expect_err("it waits").kind, FailureKind::Unavailable);
    let (mut plugin, sent) = open(config, vec![]);
    assert!(matches!(&plugin.deliver(batch(&["?"])).expect("no failure")[..], [Receipt::Reject(_)]));
    assert!(sent.borrow().is_empty(), "there was nothing to send");
}

#[test]
fn mistakes_in_a_configuration_are_named_with_their_place() {
    let check = |config: &str, want: &[&str]| {
        let config = testing::config(config).expect("it matches the schema");
        let paths: Vec<String> = WebhookOut::validate(&config).into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths, want);
    };
    check(r#"{"path":""}"#, &[]);
    check(r#"{"path":"a/{{ b"}"#, &["/path"]);
    check(r#"{"path":"https://shop.example/"}"#, &["/path"]);
    check(r#"{"path":"a b"}"#, &["/path"]);
    check(r#"{"path":"a/{{ b }}","send":"batch"}"#, &["/path"]);
    check(r#"{"path":"","body":"properties"}"#, &["/body"]);
    check(r#"{"path":"","body":{"a":"b","c/":{"d":".."}}}"#, &["/body/c~1/d"]);
    check(r#"{"path":"","headers":{"Host":"a"}}"#, &["/headers/Host"]);
    check(r#"{"path":"","headers":{"X":"a\nb"}}"#, &["/headers/X"]);
    check(r#"{"path":"","headers":{"idempotency-key":"1"}}"#, &["/headers/idempotency-key"]);
    check(r#"{"path":"","idempotency_header":""}"#, &["/idempotency_header"]);
}

#[test]
fn the_examples_send_what_they_say() {
    let check = |config: &str, target: &str, body: &str| {
        let (mut plugin, sent) = open(&config.replace("${secret:HOOK_SECRET}", "key"), vec![]);
        assert_eq!(plugin.deliver(batch(&[ONE.replace("A/1", "4711").as_str()])), Ok(vec![Receipt::Ok]));
        let sent = sent.borrow();
        assert_eq!((&*sent[0].target, std::str::from_utf8(&sent[0].body).expect("UTF-8")), (target, body));
    };
    let one = ONE.replace("A/1", "4711");
    check(include_str!("../examples/signed.json"), "hooks/weft", &one);
    let order = r#"{"customer":{"email":"ann@shop.example"},"id":"4711","total":19.90}"#;
    check(include_str!("../examples/order.json"), "orders/4711", order);
    check(include_str!("../examples/batch.json"), "v1/import?source=weft", &format!("[{one}]"));
}
