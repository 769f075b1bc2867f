//! The destination as the engine drives it: records in, requests and receipts out.

use std::cell::RefCell;
use std::rc::Rc;

use segment_calls::{Arrival, Calls, Ip};
use segment_out::SegmentOut;
use serde_json::{Value, json};
use weft_domain::event::Event;
use weft_plugin::{Batch, Destination, Failure, FailureKind, Receipt, Rejection, http, testing};

/// Segment as far as a test needs it: what it was asked, and what it answers to calls.
#[derive(Clone, Default)]
struct Segment(Rc<RefCell<Vec<Vec<Value>>>>);

impl Segment {
    /// That answers a request by its calls and its number.
    fn answering(answer: impl Fn(&[Value], usize) -> (u16, Vec<(&'static str, &'static str)>) + 'static) -> Self {
        testing::reset();
        let segment = Segment::default();
        let asked = segment.0.clone();
        testing::with(|double| {
            double.peer = Some(Box::new(move |request: http::Request| {
                assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "v1/batch"));
                assert!(request.body.len() <= 500_000, "Segment's bound");
                let body: Value = serde_json::from_slice(&request.body).expect("JSON");
                let calls = body["batch"].as_array().expect("a list").clone();
                let number = asked.borrow().len();
                asked.borrow_mut().push(calls.clone());
                let (status, headers) = answer(&calls, number);
                let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
                Ok(http::Response { status, headers, body: b"{}".to_vec() })
            }));
        });
        segment
    }

    fn taking_all() -> Self {
        Segment::answering(|_, _| (200, Vec::new()))
    }

    /// The calls of each request.
    fn requests(&self) -> Vec<Vec<Value>> {
        self.0.borrow().clone()
    }

    fn ids(&self) -> Vec<Vec<String>> {
        let id = |call: &Value| call["messageId"].as_str().expect("an id").to_owned();
        self.requests().iter().map(|calls| calls.iter().map(id).collect()).collect()
    }
}

fn open(config: &str) -> SegmentOut {
    let config = testing::config(config).unwrap_or_else(|problem| panic!("{problem:?}"));
    assert_eq!(SegmentOut::validate(&config), []);
    SegmentOut::open(config).expect("it opens")
}

fn deliver(config: &str, stream: &str, records: &[String]) -> Result<Vec<Receipt>, Failure> {
    let records: Vec<Vec<u8>> = records.iter().map(|record| record.clone().into_bytes()).collect();
    let positions = (100..).take(records.len()).collect();
    open(config).deliver(Batch { stream: stream.into(), key: "k".into(), records, positions })
}

/// The one call that a record becomes.
fn call(config: &str, stream: &str, record: &str) -> Value {
    let segment = Segment::taking_all();
    assert_eq!(deliver(config, stream, &[record.to_owned()]), Ok(vec![Receipt::Ok]), "{record}");
    segment.requests()[0][0].clone()
}

/// A small event of that id.
fn page(id: &str) -> String {
    format!(r#"{{"type":"page","message_id":"{id}","claims":[{{"type":"user_id","value":"ann"}}]}}"#)
}

fn code(receipt: &Receipt) -> &str {
    if let Receipt::Reject(Rejection { code, .. }) = receipt { code } else { "" }
}

#[test]
fn an_event_is_the_call_that_it_would_have_been() {
    let event = r#"{"type":"track","name":"Order Completed","message_id":"m-1","occurred":"2026-03-01T09:30:00.000Z","sent":"2026-03-01T09:30:01.000Z","received":"2026-03-01T09:30:02.000Z","environment":"production","claims":[{"type":"anonymous_id","value":"a-1"},{"type":"user_id","value":"ann"},{"type":"email","value":"ann@shop.example"},{"type":"crm_id","value":"7"}],"properties":{"total":19.90},"products":[{"id":"p","price":9.95,"properties":{"gift":true}}],"context":{"device":{"model":"X","os":{"name":"iOS"}},"place":{"city":"Ulm"},"zone":"Europe/Berlin","user_agent":"UA","page":{"url":"u"},"extra":{"integrations":{"All":true},"direct":true}},"consent":{"ads":false}}"#;
    let want = json!({
        "type": "track",
        "messageId": "m-1",
        "timestamp": "2026-03-01T09:30:00.000Z",
        "userId": "ann",
        "anonymousId": "a-1",
        "event": "Order Completed",
        "properties": { "total": 19.90, "products": [{ "product_id": "p", "price": 9.95, "gift": true }] },
        "integrations": { "All": true },
        "context": {
            "externalIds": [{ "id": "7", "type": "crm_id", "collection": "users", "encoding": "none" }],
            "traits": { "email": "ann@shop.example" },
            "device": { "model": "X" },
            "os": { "name": "iOS" },
            "location": { "city": "Ulm" },
            "timezone": "Europe/Berlin",
            "userAgent": "UA",
            "page": { "url": "u" },
            "direct": true,
            "consent": { "categoryPreferences": { "ads": false } }
        }
    });
    assert_eq!(call("{}", "events", event), want);
}

#[test]
fn what_the_source_takes_apart_is_put_together_again() {
    let check = |sent: &str| {
        let event = |text: &str| {
            let (call, kind) = segment_calls::typed(text).expect("a call");
            let calls = Calls { arrival: Arrival::Kept, ip: Ip::Sent, envelope: None };
            let bytes = segment_calls::event(&call, kind, &calls).and_then(|event| event.finish()).expect("an event");
            String::from_utf8(Event::parse(&bytes).expect("an event").to_json()).expect("UTF-8")
        };
        let first = event(sent);
        let again = call("{}", "events", &first);
        assert_eq!(serde_json::from_str::<Value>(&event(&again.to_string())).ok(), serde_json::from_str(&first).ok(), "{again}");
    };
    check(
        r#"{"type":"track","event":"Order Completed","userId":"ann","anonymousId":"a","messageId":"1","timestamp":"2026-03-01T09:30:00Z","properties":{"total":19.90,"products":[{"product_id":"p","sku":"s","price":"9.95","gift":true}]},"context":{"ip":"203.0.113.9","locale":"de-DE","device":{"id":"d"},"screen":{"width":3},"app":{"name":"n"},"campaign":{"name":"c"},"traits":{"email":"a@b.example","plan":"pro"},"library":{"name":"analytics-node"},"externalIds":[{"id":"7","type":"crm_id","collection":"users","encoding":"none"}]},"integrations":{"All":false}}"#,
    );
    check(
        r#"{"type":"track","event":"Product Viewed","userId":"ann","messageId":"2","properties":{"product_id":"p","category":"Games"}}"#,
    );
    check(r#"{"type":"identify","userId":"ann","messageId":"3","traits":{"email":"a@b.example","age":7,"nickname":null}}"#);
    check(r#"{"type":"page","anonymousId":"a","messageId":"4","name":"Home","category":"Docs","properties":{"url":"u"}}"#);
    check(r#"{"type":"screen","anonymousId":"a","messageId":"5","name":"Start"}"#);
    check(r#"{"type":"group","userId":"ann","messageId":"6","groupId":"g","traits":{"plan":"pro"}}"#);
    check(r#"{"type":"alias","userId":"ann","messageId":"7","previousId":"old"}"#);
}

#[test]
fn a_profile_is_an_identify() {
    let profile = r#"{"customer_id":"5f0c","identifiers":[{"type":"email","value":"ann@shop.example"},{"type":"user_id","value":"ann"}],"traits":{"email":"ann@shop.example","name":"Ann"},"consent":{"marketing":true,"gdpr":{"ads":{"granted":true,"document":"v3"},"mail":false},"ccpa":{"ads":false}},"groups":[],"last_seen":"2026-03-01T09:30:00.000Z","events_total":42}"#;
    let call = call("{}", "profiles", profile);
    assert!(call["messageId"].as_str().is_some_and(|id| id.starts_with("weft-profile-100-")), "{call}");
    assert_eq!(
        (&call["type"], &call["userId"], &call["timestamp"]),
        (&json!("identify"), &json!("ann"), &json!("2026-03-01T09:30:00.000Z"))
    );
    assert_eq!(call["traits"], json!({ "email": "ann@shop.example", "name": "Ann" }));
    assert_eq!(
        call["context"],
        json!({ "consent": { "categoryPreferences": { "ads": false, "mail": false, "marketing": true } } })
    );
    let segment = Segment::taking_all();
    let merged = r#"{"customer_id":"5f0c","merged_into":"77aa"}"#.to_owned();
    assert_eq!(deliver("{}", "profiles", &[merged]), Ok(vec![Receipt::Ok]));
    assert_eq!(segment.requests().len(), 0);
}

#[test]
fn who_somebody_is_at_segment_is_configured() {
    let event = r#"{"type":"page","message_id":"1","claims":[{"type":"email","value":"a@b.example"}],"context":{"extra":{"integrations":{"All":true}}}}"#;
    let call = call(include_str!("../examples/email.json"), "events", event);
    assert_eq!((&call["userId"], &call["integrations"]), (&json!("a@b.example"), &json!({ "All": true, "Amplitude": true })));
}

#[test]
fn what_segment_has_no_call_for_is_refused_and_its_neighbours_go_on() {
    let segment = Segment::taking_all();
    let long =
        format!(r#"{{"type":"page","claims":[{{"type":"user_id","value":"a"}}],"properties":{{"x":"{}"}}}}"#, "x".repeat(32_000));
    let records = [
        page("1"),
        r#"{"type":"record","name":"ad_cost"}"#.into(),
        r#"{"type":"page","claims":[{"type":"email","value":"a@b"}]}"#.into(),
        long,
        "{".into(),
        r#"{"type":"alias","claims":[{"type":"user_id","value":"a"}]}"#.into(),
        page("2"),
    ];
    let receipts = deliver("{}", "events", &records).expect("receipts");
    let codes: Vec<&str> = receipts.iter().map(code).collect();
    assert_eq!(codes, ["", "no_person", "no_identity", "too_large", "unreadable", "no_previous_id", ""]);
    assert_eq!(segment.ids(), [["1", "2"]]);
}

#[test]
fn ids_are_kept_as_far_as_segment_takes_them() {
    let id = |id: &str| call("{}", "events", &page(id))["messageId"].as_str().expect("an id").to_owned();
    let longest = "x".repeat(99);
    assert_eq!(id(&longest), longest);
    let long = "x".repeat(100);
    assert!(id(&long).starts_with("weft-") && id(&long).len() < 100 && id(&long) == id(&long), "{}", id(&long));
    let without = call("{}", "events", r#"{"type":"page","claims":[{"type":"user_id","value":"a"}]}"#);
    assert!(without["messageId"].as_str().is_some_and(|id| id.starts_with("weft-event-100-")), "{without}");
}

#[test]
fn requests_are_as_full_as_segment_takes_them() {
    let wide = |id: usize| {
        format!(
            r#"{{"type":"page","message_id":"{id}","claims":[{{"type":"user_id","value":"a"}}],"properties":{{"x":"{}"}}}}"#,
            "x".repeat(30_000)
        )
    };
    let segment = Segment::taking_all();
    let records: Vec<String> = (0..40).map(wide).collect();
    assert_eq!(deliver("{}", "events", &records), Ok(vec![Receipt::Ok; 40]));
    assert_eq!(segment.requests().iter().map(Vec::len).collect::<Vec<_>>(), [16, 16, 8]);
    let segment = Segment::taking_all();
    let records: Vec<String> = (0..3_000).map(|id| page(&id.to_string())).collect();
    assert_eq!(deliver("{}", "events", &records).map(|receipts| receipts.len()), Ok(3_000));
    assert_eq!(segment.requests().iter().map(Vec::len).collect::<Vec<_>>(), [2_500, 500]);
}

#[test]
fn a_refused_request_is_taken_apart_until_the_call_to_blame_stands_alone() {
    let is_bad = |call: &Value| call["messageId"].as_str().is_some_and(|id| id.starts_with("bad"));
    let segment = Segment::answering(move |calls, _| (if calls.iter().any(is_bad) { 400 } else { 200 }, Vec::new()));
    let records: Vec<String> = ["1", "2", "bad", "4", "5"].iter().map(|id| page(id)).collect();
    let receipts = deliver("{}", "events", &records).expect("receipts");
    assert_eq!(receipts.iter().map(code).collect::<Vec<_>>(), ["", "", "http_400", "", ""]);
    let taken: Vec<String> = segment.ids().into_iter().filter(|ids| !ids.contains(&"bad".to_owned())).flatten().collect();
    assert_eq!(taken, ["1", "2", "4", "5"], "in order, and each once");
    // Where everything is refused, it is not gone through to the end at once.
    let segment = Segment::answering(|_, _| (400, Vec::new()));
    let records: Vec<String> = (0..1_000).map(|id| page(&id.to_string())).collect();
    let receipts = deliver("{}", "events", &records).expect("receipts");
    let refused = receipts.iter().filter(|receipt| code(receipt) == "http_400").count();
    assert!(refused > 0 && receipts.iter().all(|receipt| code(receipt) == "http_400" || *receipt == Receipt::Retry(0)));
    assert!(segment.requests().len() < 120, "{}", segment.requests().len());
}

#[test]
fn a_status_says_what_becomes_of_a_batch() {
    let check = |status: u16, headers: &[(&'static str, &'static str)], kind: FailureKind, after: Option<u64>| {
        let headers = headers.to_vec();
        let _segment = Segment::answering(move |_, _| (status, headers.clone()));
        let failure = deliver("{}", "events", &[page("1")]).expect_err("it waits");
        assert_eq!((failure.kind, failure.retry_after_ms), (kind, after), "{status}");
    };
    check(401, &[], FailureKind::Credentials, None);
    check(403, &[], FailureKind::Credentials, None);
    check(404, &[], FailureKind::Config, None);
    check(429, &[("retry-after", "7")], FailureKind::RateLimited, Some(7_000));
    check(500, &[], FailureKind::Unavailable, None);
    check(503, &[("retry-after", "7")], FailureKind::Unavailable, Some(7_000));
    // What went through is not sent again.
    let _segment =
        Segment::answering(|_, number| if number == 0 { (200, Vec::new()) } else { (429, vec![("retry-after", "7")]) });
    let records: Vec<String> = (0..2_600).map(|id| page(&id.to_string())).collect();
    let receipts = deliver("{}", "events", &records).expect("receipts");
    assert_eq!(receipts[2_499..2_501], [Receipt::Ok, Receipt::Retry(7_000)]);
}

#[test]
fn mistakes_in_a_configuration_are_named_with_their_place() {
    let check = |config: &str, want: &[&str]| {
        let config = testing::config(config).expect("it matches the schema");
        let paths: Vec<String> = SegmentOut::validate(&config).into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths, want);
    };
    check(r#"{"path":"https://api.segment.io/v1/batch"}"#, &["/path"]);
    check(r#"{"path":"","user_id":[],"anonymous_id":[]}"#, &["/path", "/user_id"]);
    assert!(testing::config::<segment_out::Config>(r#"{"write_key":"x"}"#).is_err(), "the key is the connection's");
}
