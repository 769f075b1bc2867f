//! The destination between the engine and Slack: records in, messages out, and what answers lead to.

use std::cell::RefCell;
use std::rc::Rc;

use slack::Slack;
use weft_plugin::{Batch, Destination, Failure, FailureKind, Receipt, http, testing};

type Sent = Rc<RefCell<Vec<http::Request>>>;

/// A destination, and what it sends to a Slack that answers with these, and is content after them.
fn open(config: &str, answers: Vec<http::Response>) -> (Slack, Sent) {
    testing::reset();
    let sent = Sent::default();
    let (seen, mut answers) = (sent.clone(), answers.into_iter());
    testing::with(|double| {
        double.peer = Some(Box::new(move |request| {
            seen.borrow_mut().push(request);
            Ok(answers.next().unwrap_or_else(|| answer(200, r#"{"ok":true}"#)))
        }));
    });
    let config = testing::config(config).unwrap_or_else(|problem| panic!("{problem:?}"));
    let problems = Slack::validate(&config);
    assert!(problems.is_empty(), "{problems:?}");
    (Slack::open(config).expect("it opens"), sent)
}

fn answer(status: u16, body: &str) -> http::Response {
    http::Response { status, headers: vec![("retry-after".into(), "30".into())], body: body.into() }
}

fn batch(records: &[&str]) -> Batch {
    Batch {
        stream: "events".into(),
        key: "team:events:7".into(),
        records: records.iter().map(|record| record.as_bytes().to_vec()).collect(),
        positions: (7..).take(records.len()).collect(),
    }
}

/// What is posted for a record.
fn posted(config: &str, record: &str) -> (String, String) {
    let (mut plugin, sent) = open(config, vec![]);
    assert_eq!(plugin.deliver(batch(&[record])), Ok(vec![Receipt::Ok]));
    let request = sent.borrow_mut().remove(0);
    assert_eq!(request.method, "POST");
    assert_eq!(request.headers, [("content-type".to_owned(), "application/json; charset=utf-8".to_owned())]);
    (request.target, String::from_utf8(request.body).expect("UTF-8"))
}

const ORDER: &str = r#"{"type":"track","name":"Order Completed","claims":[{"type":"email","value":"ann@shop.example"}],"properties":{"order_id":"4711","total":19.90,"currency":"EUR"}}"#;
const LINE: &str = r##"{"channel":"#sales","text":"{{ event.name }}"}"##;

#[test]
fn the_examples_post_what_they_say() {
    let check = |config: &str, record: &str, target: &str, message: &str| {
        assert_eq!(posted(config, record), (target.to_owned(), message.to_owned()));
    };
    check(
        include_str!("../examples/line.json"),
        ORDER,
        "chat.postMessage",
        r##"{"channel":"#sales","text":"New order of 19.90 EUR by ann@shop.example"}"##,
    );
    check(
        include_str!("../examples/blocks.json"),
        ORDER,
        "chat.postMessage",
        r#"{"blocks":[{"text":{"text":"New order","type":"plain_text"},"type":"header"},{"text":{"text":"*4711*\n19.90 EUR","type":"mrkdwn"},"type":"section"}],"channel":"C0123456789","text":"New order 4711"}"#,
    );
    check(
        include_str!("../examples/incoming.json"),
        r#"{"customer_id":"5f","traits":{"name":"Ann"}}"#,
        "services/T000/B000/XXXX",
        r#"{"text":"Ann was seen"}"#,
    );
}

#[test]
fn a_value_cannot_become_markup() {
    let check = |name: &str, want: &str| {
        let config = r#"{"channel":"{{ event.to }}","text":"<https://shop.example|{{ event.name }}> & more"}"#;
        let (_, message) = posted(config, &format!(r#"{{"to":"C&1","name":{name}}}"#));
        let message: serde_json::Value = serde_json::from_str(&message).expect("JSON");
        assert_eq!(message["text"], format!("<https://shop.example|{want}> & more"));
        assert_eq!(message["channel"], "C&1");
    };
    check(r#""<!channel> & <@U1>""#, "&lt;!channel&gt; &amp; &lt;@U1&gt;");
    check(r#""\u003c!here\u003e\n\"é\"""#, "&lt;!here&gt;\n\"é\"");
    check(r#""&lt;""#, "&amp;lt;");
    check(r#"{"a":"<"}"#, r#"{"a":"&lt;"}"#);
    check("null", "");
    check("true", "true");
}

#[test]
fn a_message_that_has_to_wait_holds_up_those_behind_it() {
    let limited = || answer(429, r#"{"ok":false,"error":"ratelimited"}"#);
    let (mut plugin, sent) = open(LINE, vec![limited()]);
    let failure = plugin.deliver(batch(&[ORDER, ORDER])).expect_err("it waits");
    assert_eq!((failure.kind, failure.retry_after_ms), (FailureKind::RateLimited, Some(30_000)));
    assert_eq!(sent.borrow().len(), 1);
    let (mut plugin, sent) = open(LINE, vec![answer(200, r#"{"ok":true}"#), limited()]);
    let receipts = plugin.deliver(batch(&[ORDER, ORDER, ORDER])).expect("one is posted");
    assert_eq!(receipts, [Receipt::Ok, Receipt::Retry(30_000), Receipt::Retry(30_000)]);
    assert_eq!(sent.borrow().len(), 2);
}

#[test]
fn a_message_that_is_refused_does_not_hold_up_those_behind_it() {
    let (mut plugin, sent) = open(LINE, vec![answer(200, r#"{"ok":false,"error":"channel_not_found"}"#)]);
    let receipts = plugin.deliver(batch(&[ORDER, "7", ORDER])).expect("no failure");
    let code = |receipt: &Receipt| match receipt {
        Receipt::Reject(rejection) => rejection.code.clone(),
        other => format!("{other:?}"),
    };
    assert_eq!(receipts.iter().map(code).collect::<Vec<_>>(), ["channel_not_found", "not_json", "Ok"]);
    assert_eq!(sent.borrow().len(), 2);
}

#[test]
fn a_check_asks_whether_the_token_is_good_and_posts_nothing() {
    let (mut plugin, sent) = open(LINE, vec![answer(200, r#"{"ok":false,"error":"invalid_auth"}"#)]);
    assert_eq!(plugin.check().expect_err("it is not").kind, FailureKind::Credentials);
    assert_eq!(plugin.check(), Ok::<(), Failure>(()));
    assert!(sent.borrow().iter().all(|request| request.target == "auth.test"));
    let (mut plugin, sent) = open(r#"{"incoming_webhook":"/services/T/B/X","text":"a"}"#, vec![]);
    assert_eq!((plugin.check(), sent.borrow().len()), (Ok(()), 0));
}

#[test]
fn mistakes_in_a_configuration_are_named_with_their_place() {
    let check = |config: &str, want: &[&str]| {
        let config = testing::config(config).expect("it matches the schema");
        let paths: Vec<String> = Slack::validate(&config).into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths, want);
    };
    check(r#"{"text":"a"}"#, &[""]);
    check(r##"{"text":" ","channel":"#a"}"##, &["/text"]);
    check(r#"{"text":"a","channel":""}"#, &["/channel"]);
    check(r##"{"text":"a","channel":"#a","incoming_webhook":"services/T/B/X"}"##, &["/channel"]);
    check(r#"{"text":"a","incoming_webhook":"https://hooks.slack.com/services/T/B/X"}"#, &["/incoming_webhook"]);
    check(
        r#"{"text":"{{","channel":"{{ }}","blocks":[{"type":"section","fields":[{"text":"{{ a..b }}"}]}]}"#,
        &["/channel", "/text", "/blocks/0/fields/0/text"],
    );
}
