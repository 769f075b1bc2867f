//! The source as the engine drives it, against APIs that page in the ways of real ones.
//!
//! Every event is read by the engine's own reader.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use rest::Rest;
use weft_domain::event::Event;
use weft_plugin::{Failure, FailureKind, Source, http, testing};

/// A page of an API: its status, headers and body.
type Answer = (u16, Vec<(&'static str, String)>, String);

/// An API that gives prepared answers, and notes what it was asked.
#[derive(Clone, Default)]
struct Api(Rc<RefCell<(VecDeque<Answer>, Vec<http::Request>)>>);

impl Api {
    /// In front of a plugin; what earlier polls emitted is gone.
    fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        testing::reset();
        let api = Api::default();
        api.0.borrow_mut().0.extend(answers);
        let peer = api.clone();
        testing::with(|double| {
            double.peer = Some(Box::new(move |request| {
                let (answers, asked) = &mut *peer.0.borrow_mut();
                asked.push(request);
                let (status, headers, body) = answers.pop_front().ok_or_else(|| Failure::unavailable("nothing prepared"))?;
                let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                Ok(http::Response { status, headers, body: body.into_bytes() })
            }));
        });
        api
    }

    fn targets(&self) -> Vec<String> {
        self.0.borrow().1.iter().map(|request| request.target.clone()).collect()
    }

    fn bodies(&self) -> Vec<String> {
        self.0.borrow().1.iter().map(|request| String::from_utf8_lossy(&request.body).into_owned()).collect()
    }
}

fn page(body: &str) -> Answer {
    (200, Vec::new(), body.to_owned())
}

fn status(status: u16) -> Answer {
    (status, Vec::new(), "no".into())
}

fn open(config: &str) -> Rest {
    let config = testing::config(config).unwrap_or_else(|problem| panic!("{problem:?}"));
    let problems = Rest::validate(&config);
    assert!(problems.is_empty(), "{problems:?}");
    Rest::open(config).expect("it opens")
}

/// Polls once, from the last state that was committed.
fn poll(config: &str, state: Option<&str>) -> Result<(), Failure> {
    open(config).poll(state.map(str::to_owned))
}

fn events() -> Vec<String> {
    let kept = |bytes: &Vec<u8>| {
        let event = Event::parse(bytes).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)));
        String::from_utf8(event.to_json()).expect("UTF-8")
    };
    testing::with(|double| double.emitted.iter().map(kept).collect())
}

fn ids() -> Vec<String> {
    let id = |event: &String| Some(event.split_once("\"message_id\":\"")?.1.split_once('"')?.0.to_owned());
    events().iter().map(|event| id(event).expect("an id")).collect()
}

fn checkpoints() -> Vec<String> {
    testing::with(|double| double.checkpoints.clone())
}

fn last_state() -> Option<String> {
    checkpoints().pop()
}

/// A configuration of records that have ids.
fn with_ids(more: &str) -> String {
    format!(r#"{{{more},"event":"E","message_id":"id"}}"#)
}

#[test]
fn a_cursor_is_in_the_answer() {
    let config = with_ids(
        r#""request":{"path":"list","query":{"after":"{{ cursor }}"}},"records":"data","paging":{"cursor":{"path":"paging.next"}}"#,
    );
    let api = Api::new([
        page(r#"{"data":[{"id":"a"},{"id":"b"}],"paging":{"next":"x y"}}"#),
        page(r#"{"data":[{"id":"c"}],"paging":{"next":12}}"#),
        page(r#"{"data":[],"paging":{"next":null}}"#),
    ]);
    assert_eq!(poll(&config, None), Ok(()));
    assert_eq!(
        (ids(), api.targets()),
        (["a", "b", "c"].map(str::to_owned).to_vec(), ["list", "list?after=x%20y", "list?after=12"].map(str::to_owned).to_vec())
    );
    let want = [
        r#"{"newest":null,"next":{"cursor":"\"x y\""},"seen":null}"#,
        r#"{"newest":null,"next":{"cursor":"12"},"seen":null}"#,
        r#"{"newest":null,"next":null,"seen":null}"#,
    ];
    assert_eq!(checkpoints(), want);
}

#[test]
fn a_cursor_is_the_id_of_the_last_record_as_at_stripe() {
    let api = Api::new([
        page(
            r#"{"has_more":true,"data":[{"id":"evt_2","created":1772357400,"data":{"object":{"id":"in_2","customer":"cus_1","customer_email":"ann@shop.example","amount_paid":1990,"currency":"eur"}}}]}"#,
        ),
        page(r#"{"has_more":false,"data":[{"id":"evt_1","created":1772350000,"data":{"object":{"id":"in_1"}}}]}"#),
    ]);
    let config = include_str!("../examples/stripe.json");
    assert_eq!(poll(config, None), Ok(()));
    assert_eq!(
        events()[0],
        r#"{"type":"track","name":"Invoice Paid","message_id":"stripe/evt_2","occurred":"2026-03-01T09:30:00.000Z","claims":[{"type":"email","value":"ann@shop.example"},{"type":"stripe_id","value":"cus_1"}],"properties":{"amount_cents":1990,"currency":"eur","invoice":"in_2"}}"#
    );
    assert_eq!(
        api.targets(),
        ["v1/events?limit=100&type=invoice.paid", "v1/events?limit=100&starting_after=evt_2&type=invoice.paid"]
    );
    let state = last_state().expect("committed");
    assert_eq!(state, r#"{"newest":1772357400000,"next":null,"seen":null}"#);
    let api = Api::new([page(r#"{"has_more":false,"data":[]}"#)]);
    assert_eq!(poll(config, Some(&state)), Ok(()));
    assert_eq!(api.targets(), ["v1/events?created%5Bgte%5D=1772357100&limit=100&type=invoice.paid"]);
    assert_eq!(checkpoints(), [""; 0], "nothing new is nothing to commit");
}

#[test]
fn a_search_is_a_body_as_at_hubspot() {
    let config = include_str!("../examples/hubspot.json");
    let api = Api::new([
        page(
            r#"{"total":2,"results":[{"id":"7","properties":{"email":"ann@shop.example","firstname":"Ann","lastname":null,"lastmodifieddate":"2026-03-01T09:30:00.123Z"},"updatedAt":"2026-03-01T09:30:00.123Z"}],"paging":{"next":{"after":"1"}}}"#,
        ),
        page(r#"{"total":2,"results":[]}"#),
    ]);
    assert_eq!(poll(config, None), Ok(()));
    let body = |index: usize| -> serde_json::Value { serde_json::from_str(&api.bodies()[index]).expect("JSON") };
    assert_eq!(body(0).get("after"), None);
    assert_eq!(body(0)["filterGroups"][0]["filters"][0]["value"], 1_577_836_800_000_u64);
    assert_eq!((&body(1)["after"], &body(1)["limit"]), (&"1".into(), &100.into()));
    let request = api.0.borrow().1[0].clone();
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "crm/v3/objects/contacts/search"));
    assert!(request.headers.contains(&("content-type".into(), "application/json".into())));
    assert!(events()[0].contains(r#""traits":{"first_name":"Ann","last_name":null}"#), "{:?}", events());
    assert!(ids()[0].starts_with("rest/"), "a contact that changes is another event");
}

#[test]
fn the_next_page_has_an_address() {
    let api = Api::new([
        page(
            r#"{"done":false,"nextRecordsUrl":"/services/data/v61.0/query/01g-1","records":[{"Id":"1","Email":"a@b","SystemModstamp":"2026-03-01T09:30:00.000+0000"}]}"#,
        ),
        page(r#"{"done":true,"records":[{"Id":"2","SystemModstamp":"2026-03-01T09:29:00.000+0000"}]}"#),
    ]);
    assert_eq!(poll(include_str!("../examples/salesforce.json"), None), Ok(()));
    assert_eq!((events().len(), api.targets()[1].as_str()), (2, "services/data/v61.0/query/01g-1"));
    assert!(
        api.targets()[0].contains("WHERE%20SystemModstamp%20%3E%3D%202020-01-01T00%3A00%3A00Z%20ORDER"),
        "{:?}",
        api.targets()
    );
    assert_eq!(last_state().as_deref(), Some(r#"{"newest":1772357400000,"next":null,"seen":null}"#));

    let link = |address: &str, rel: &str| vec![("link", format!("<{address}>; rel=\"{rel}\""))];
    let api = Api::new([
        (
            200,
            link("https://acme.myshopify.example/admin/api/2025-07/customers.json?limit=250&page_info=abc", "next"),
            r#"{"customers":[{"id":1}]}"#.into(),
        ),
        (
            200,
            link("https://acme.myshopify.example/admin/api/2025-07/customers.json?page_info=x", "previous"),
            r#"{"customers":[{"id":2}]}"#.into(),
        ),
    ]);
    assert_eq!(poll(include_str!("../examples/shopify.json"), None), Ok(()));
    assert_eq!((events().len(), api.targets()[1].as_str()), (2, "admin/api/2025-07/customers.json?limit=250&page_info=abc"));

    let api = Api::new([
        (200, link("https://api.github.example/repositories/9/issues?page=2", "next"), "[{\"number\":1}]".into()),
        page("[]"),
    ]);
    assert_eq!(poll(include_str!("../examples/github.json"), None), Ok(()));
    assert_eq!((events().len(), api.targets()[1].as_str()), (1, "repositories/9/issues?page=2"));
}

#[test]
fn pages_and_records_have_numbers() {
    let paged = |more: &str| {
        with_ids(&format!(r#""request":{{"path":"l","query":{{"p":"{{{{ page }}}}"}}}},"paging":{{"page":{{{more}}}}}"#))
    };
    let check = |config: &str, answers: &[&str], want: &[&str]| {
        let api = Api::new(answers.iter().map(|body| page(body)));
        assert_eq!(poll(config, None), Ok(()));
        assert_eq!(api.targets(), want, "{config}");
    };
    let two = r#"[{"id":"a"},{"id":"b"}]"#;
    let other = r#"[{"id":"c"},{"id":"d"}]"#;
    check(&paged(r#""size":2"#), &[two, r#"[{"id":"c"}]"#], &["l?p=1", "l?p=2"]);
    check(&paged(r#""size":2,"start":0"#), &[two, other, "[]"], &["l?p=0", "l?p=1", "l?p=2"]);
    check(&paged(""), &[two, r#"[{"id":"c"}]"#, "[]"], &["l?p=1", "l?p=2", "l?p=3"]);
    let offset = |more: &str| {
        with_ids(&format!(
            r#""request":{{"path":"l","query":{{"o":"{{{{ offset }}}}","n":"{{{{ size }}}}"}}}},"records":"r","paging":{{"offset":{{"size":2{more}}}}}"#
        ))
    };
    let records = |list: &str, more: bool| format!(r#"{{"r":{list},"more":{more}}}"#);
    let (first, second) = (records(two, true), records(other, false));
    check(&offset(""), &[&first, &records("[]", true)], &["l?n=2&o=0", "l?n=2&o=2"]);
    check(&offset(r#","more":"more""#), &[&first, &second], &["l?n=2&o=0", "l?n=2&o=2"]);
    // A number is one in a body, too.
    let body = with_ids(
        r#""request":{"method":"POST","path":"l","body":{"page":"{{ page }}","q":["p{{ page }}"]}},"paging":{"page":{}}"#,
    );
    let api = Api::new([page("[]")]);
    assert_eq!((poll(&body, None), api.bodies()), (Ok(()), vec![r#"{"page":1,"q":["p1"]}"#.to_owned()]));
    // An answer may do without its list only where that is said.
    let api = Api::new([page("{}")]);
    assert_eq!(poll(include_str!("../examples/pages.json"), None), Ok(()));
    assert_eq!(api.targets(), ["api/products?page=1&per_page=50"]);
}

#[test]
fn a_poll_goes_on_where_the_last_one_stopped() {
    let config = with_ids(
        r#""request":{"path":"l","query":{"c":"{{ cursor }}","s":"{{ since }}"}},"records":"r","paging":{"cursor":{"path":"c"}},"incremental":{"field":"at","format":"seconds"},"pages_max":2"#,
    );
    let answer = |id: &str, at: u64, next: &str| page(&format!(r#"{{"r":[{{"id":"{id}","at":{at}}}],"c":"{next}"}}"#));
    let before = r#"{"newest":1772300000000}"#;
    let api = Api::new([answer("a", 1_772_357_400, "2"), status(503)]);
    assert_eq!(poll(&config, Some(before)).expect_err("down").kind, FailureKind::Unavailable);
    let state = last_state().expect("after each page");
    assert_eq!(api.targets(), ["l?s=1772300000", "l?c=2&s=1772300000"]);
    // Two pages, which is the bound; the beginning stays where it was.
    let api = Api::new([answer("b", 1_772_357_300, "3"), answer("c", 1_772_357_200, "4")]);
    assert_eq!(poll(&config, Some(&state)), Ok(()));
    assert_eq!(api.targets(), ["l?c=2&s=1772300000", "l?c=3&s=1772300000"]);
    let state = last_state().expect("after each page");
    let api = Api::new([answer("d", 1_772_357_100, "")]);
    assert_eq!(poll(&config, Some(&state)), Ok(()));
    assert_eq!(api.targets(), ["l?c=4&s=1772300000"]);
    assert_eq!(last_state().as_deref(), Some(r#"{"newest":1772357400000,"next":null,"seen":null}"#));
}

#[test]
fn a_page_that_is_gone_begins_the_walk_anew() {
    let config =
        with_ids(r#""request":{"path":"l","query":{"c":"{{ cursor }}"}},"records":"r","paging":{"cursor":{"path":"c"}}"#);
    let state = r#"{"newest":7,"next":{"cursor":"\"old\""},"seen":9}"#;
    let api = Api::new([status(410), page(r#"{"r":[{"id":"a"}]}"#)]);
    assert_eq!(poll(&config, Some(state)), Ok(()));
    assert_eq!((api.targets(), ids()), (vec!["l?c=old".to_owned(), "l".into()], vec!["a".to_owned()]));
    assert_eq!(last_state().as_deref(), Some(r#"{"newest":7,"next":null,"seen":null}"#));
    let _api = Api::new([status(410), status(410)]);
    assert_eq!(poll(&config, Some(state)).expect_err("once").kind, FailureKind::Config);
    let _api = Api::new([status(401)]);
    assert_eq!(poll(&config, Some(state)).expect_err("not for that").kind, FailureKind::Credentials);
}

#[test]
fn a_status_says_who_can_mend_it() {
    let check = |answer: Answer, kind: FailureKind, after: Option<u64>| {
        let shown = format!("{answer:?}");
        let _api = Api::new([answer]);
        let failure = poll(&with_ids(r#""request":{"path":"l"}"#), None).expect_err(&shown);
        assert_eq!((failure.kind, failure.retry_after_ms), (kind, after), "{shown}");
    };
    let with = |status: u16, name: &'static str, value: &str| (status, vec![(name, value.to_owned())], "no".to_owned());
    check(status(401), FailureKind::Credentials, None);
    check(status(403), FailureKind::Credentials, None);
    check(with(403, "x-ratelimit-remaining", "0"), FailureKind::RateLimited, None);
    check(with(403, "retry-after", "60"), FailureKind::RateLimited, Some(60_000));
    check(with(429, "retry-after", "7"), FailureKind::RateLimited, Some(7_000));
    check(status(429), FailureKind::RateLimited, None);
    check(with(503, "retry-after", "7"), FailureKind::Unavailable, Some(7_000));
    for unavailable in [408, 425, 500, 502] {
        check(status(unavailable), FailureKind::Unavailable, None);
    }
    for config in [301, 400, 404, 405, 410, 422] {
        check(status(config), FailureKind::Config, None);
    }
    check(page("<html>"), FailureKind::Unavailable, None);
    check(page(r#"{"errors":[{"message":"bad query"}]}"#), FailureKind::Config, None);
    let _api = Api::new([page(r#"{"errors":[{"message":"bad query"}]}"#)]);
    let failure = poll(&with_ids(r#""request":{"path":"l"},"records":"data.items""#), None).expect_err("no list");
    assert_eq!(
        failure.message,
        r#"there is no list where `records` says: the answer is 200: {"errors":[{"message":"bad query"}]}"#
    );
    for nothing in [204, 304] {
        let _api = Api::new([(nothing, Vec::new(), String::new())]);
        assert_eq!(poll(&with_ids(r#""request":{"path":"l"}"#), None), Ok(()));
    }
}

#[test]
fn an_api_that_goes_in_circles_is_found_out() {
    let cursor =
        with_ids(r#""request":{"path":"l","query":{"c":"{{ cursor }}"}},"records":"r","paging":{"cursor":{"path":"c"}}"#);
    let answer = |id: &str, next: &str| page(&format!(r#"{{"r":[{{"id":"{id}"}}],"c":"{next}"}}"#));
    let check = |config: &str, answers: Vec<Answer>, words: &str| {
        let _api = Api::new(answers);
        let failure = poll(config, None).expect_err(words);
        assert!(failure.kind == FailureKind::Config && failure.message.contains(words), "{failure}");
    };
    check(&cursor, vec![answer("a", "x"), answer("b", "x")], "in a circle");
    check(&cursor, vec![answer("a", "x"), answer("b", "y"), answer("c", "x")], "in a circle");
    let numbered = with_ids(r#""request":{"path":"l","query":{"p":"{{ page }}"}},"paging":{"page":{}}"#);
    check(&numbered, vec![page(r#"[{"id":"a"}]"#), page(r#"[{"id":"a"}]"#)], "the same page again");
}

#[test]
fn records_that_are_no_events_are_refused_and_unwanted_ones_left_out() {
    let config = r#"{"request":{"path":"l"},"only":{"status":"paid"},"event":"E","claims":{"id":"customer"}}"#;
    let records = r#"[{"status":"paid","customer":{}},{"status":"open"},{"status":"paid","customer":7}]"#;
    let _api = Api::new([page(records)]);
    assert_eq!(poll(config, None), Ok(()));
    let refused = testing::with(|double| double.refused.clone());
    assert_eq!((events().len(), refused[0].0.code.as_str()), (1, "bad_identifier"));
    assert_eq!(refused[0].1, br#"{"status":"paid","customer":{}}"#);
    let first = ids();
    let _api = Api::new([page(&records.replace("open", "void"))]);
    assert_eq!((poll(config, None), ids()), (Ok(()), first), "the same record is the same event");
}

#[test]
fn check_asks_for_one_page_and_emits_nothing() {
    let config = with_ids(r#""request":{"path":"l"},"records":"data""#);
    let check = |answer: Answer| {
        let _api = Api::new([answer]);
        let outcome = open(&config).check().map_err(|failure| failure.kind);
        assert_eq!((events(), checkpoints()), (Vec::new(), Vec::new()));
        outcome
    };
    assert_eq!(check(page(r#"{"data":[{"id":"a"}]}"#)), Ok(()));
    assert_eq!(check(page("{}")), Err(FailureKind::Config));
    assert_eq!(check(status(401)), Err(FailureKind::Credentials));
}

#[test]
fn mistakes_in_a_configuration_are_named_with_their_place() {
    let check = |config: &str, want: &[&str]| {
        let config = testing::config(config).unwrap_or_else(|problem| panic!("{config}: {problem:?}"));
        let paths: Vec<String> = Rest::validate(&config).into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths, want);
    };
    check(r#"{"request":{"path":"l"},"event":"E"}"#, &[]);
    check(r#"{"request":{"path":"l"}}"#, &["/event"]);
    check(r#"{"request":{"path":"https://a.example/l"},"event":"E"}"#, &["/request/path"]);
    check(r#"{"request":{"path":"l?x=1"},"event":"E"}"#, &["/request/path"]);
    check(r#"{"request":{"path":"l","query":{"a":"{{ cursor }}"}},"event":"E"}"#, &["/request/query/a"]);
    check(r#"{"request":{"path":"l","body":{"a":["{{ x"]}},"event":"E"}"#, &["/request/body/a/0", "/request/body"]);
    check(
        r#"{"request":{"path":"l","headers":{"Authorization":"x","a b":"y"}},"event":"E"}"#,
        &["/request/headers/Authorization", "/request/headers/a b"],
    );
    check(r#"{"request":{"path":"l"},"event":"E","paging":{"cursor":{"path":"c"}}}"#, &["/paging"]);
    check(r#"{"request":{"path":"l"},"event":"E","paging":{"cursor":{}}}"#, &["/paging/cursor"]);
    check(r#"{"request":{"path":"l"},"event":"E","paging":{"next_link":{"path":".."}}}"#, &["/paging/next_link/path"]);
    check(r#"{"request":{"path":"l"},"event":"E","incremental":{"field":"at"}}"#, &["/incremental"]);
    check(r#"{"request":{"path":"l"},"event":"E","records":"..","pages_max":0}"#, &["/records", "/pages_max"]);
    check(r#"{"request":{"path":"l"},"event":"E","claims":{"id":"$header.x"}}"#, &["/claims/id"]);
    let manifest: serde_json::Value = serde_json::from_str(&weft_plugin::manifest_of_source::<Rest>()).expect("JSON");
    assert_eq!(manifest["config"]["additionalProperties"], false);
    assert_eq!(manifest["capabilities"], serde_json::json!(["http"]));
    assert_eq!(
        poll(r#"{"request":{"path":"l"},"event":"E"}"#, Some("7")).expect_err("no state of ours").kind,
        FailureKind::Internal
    );
}
