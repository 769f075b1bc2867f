//! The destination between the engine and its mailer: records in, messages out, and what outcomes lead to.

use std::cell::RefCell;
use std::rc::Rc;

use email::Email;
use weft_plugin::email::{Mailbox, Message, Outcome};
use weft_plugin::{Batch, Destination, Failure, FailureKind, Receipt, Rejection, testing};

type Sent = Rc<RefCell<Vec<Message>>>;

/// A destination, and what it sends to a mailer that answers with these, and takes everything after them.
fn open(config: &str, outcomes: Vec<Result<Outcome, Failure>>) -> (Email, Sent) {
    testing::reset();
    let sent = Sent::default();
    let (seen, mut outcomes) = (sent.clone(), outcomes.into_iter());
    testing::with(|double| {
        double.postman = Some(Box::new(move |message| {
            seen.borrow_mut().push(message);
            outcomes.next().unwrap_or(Ok(Outcome::Accepted))
        }));
    });
    let config = testing::config(config).unwrap_or_else(|problem| panic!("{problem:?}"));
    let problems = Email::validate(&config);
    assert!(problems.is_empty(), "{problems:?}");
    (Email::open(config).expect("it opens"), sent)
}

fn batch(records: &[&str]) -> Batch {
    Batch {
        stream: "events".into(),
        key: "mail:events:7".into(),
        records: records.iter().map(|record| record.as_bytes().to_vec()).collect(),
        positions: (7..).take(records.len()).collect(),
    }
}

fn sent(config: &str, record: &str) -> Message {
    let (mut plugin, sent) = open(config, vec![]);
    assert_eq!(plugin.deliver(batch(&[record])), Ok(vec![Receipt::Ok]), "{record}");
    sent.borrow_mut().remove(0)
}

fn mailbox(name: &str, address: &str) -> Mailbox {
    Mailbox { name: name.into(), address: address.into() }
}

const ORDER: &str = r#"{"type":"track","name":"Order Completed","claims":[{"type":"user_id","value":"u 1>"},{"type":"email","value":"ann@acme.example"}],"traits":{"name":"Ann <b>"},"properties":{"order_id":"4711","total":19.90,"currency":"EUR"}}"#;
const PLAIN: &str = r#"{"from":"shop@acme.example","to":"{{ claims.email }}","subject":"Hello","text":"Hello"}"#;

#[test]
fn the_examples_send_what_they_say() {
    let message = sent(include_str!("../examples/order.json"), ORDER);
    let id = message.message_id.clone().expect("an id");
    assert!(id.starts_with("events.7.") && id.ends_with("@acme.example"), "{id}");
    let html = "<p>Thank you, Ann &lt;b&gt;! Your order of <b>19.90 EUR</b> is on its way.</p>";
    let unsubscribe = "<https://acme.example/bye?u=u%201%3E>";
    let want = Message {
        from: mailbox("Acme Shop", "shop@acme.example"),
        to: vec![mailbox("Ann <b>", "ann@acme.example")],
        subject: "Your order 4711".into(),
        text: Some("Thank you! Your order of 19.90 EUR is on its way.".into()),
        html: Some(html.into()),
        headers: vec![
            ("List-Unsubscribe".into(), unsubscribe.into()),
            ("List-Unsubscribe-Post".into(), "List-Unsubscribe=One-Click".into()),
        ],
        message_id: message.message_id.clone(),
        ..Message::default()
    };
    assert_eq!(message, want);

    let lead = r#"{"claims":[{"type":"email","value":"ann@lead.example"}],"traits":{"name":"Ann","company":"Lead\r\nBcc: x","phone":"+49 30 1"}}"#;
    let message = sent(include_str!("../examples/team.json"), lead);
    assert_eq!(message.to, [mailbox("", "sales@acme.example")]);
    assert_eq!(message.reply_to, [mailbox("", "ann@lead.example")]);
    assert_eq!(message.subject, "Lead: Lead  Bcc: x");
}

#[test]
fn the_same_record_makes_the_same_id_and_another_message_another() {
    let id = |config: &str, position: usize| {
        let (mut plugin, sent) = open(config, vec![]);
        plugin.deliver(batch(&[ORDER; 3])).expect("no failure");
        let sent = sent.borrow();
        sent[position].message_id.clone().expect("an id")
    };
    let other = PLAIN.replace("\"subject\":\"Hello\"", "\"subject\":\"Hi\"");
    assert_eq!(id(PLAIN, 1), id(PLAIN, 1));
    assert_ne!(id(PLAIN, 1), id(PLAIN, 2));
    assert_ne!(id(PLAIN, 1), id(&other, 1));
    // An id has to stand in a header.
    let odd = PLAIN.replace("shop@acme.example", "{{ traits.name }}@a b");
    assert!(id(&odd, 0).ends_with("@weft.invalid"));
}

#[test]
fn outcomes_become_receipts_and_hold_up_nobody_else() {
    let refused = Outcome::Refused(Rejection::new("recipient_refused", "550 no such user"));
    let outcomes = vec![Ok(Outcome::Later(60_000)), Ok(refused), Ok(Outcome::Accepted)];
    let (mut plugin, sent) = open(PLAIN, outcomes);
    let receipts = plugin.deliver(batch(&[ORDER, ORDER, "7", r#"{"type":"track"}"#, ORDER])).expect("no failure");
    let code = |receipt: &Receipt| match receipt {
        Receipt::Reject(rejection) => rejection.code.clone(),
        other => format!("{other:?}"),
    };
    let codes: Vec<String> = receipts.iter().map(code).collect();
    assert_eq!(codes, ["Retry(60000)", "recipient_refused", "not_json", "no_address", "Ok"]);
    assert_eq!(sent.borrow().len(), 3);
}

#[test]
fn a_server_that_has_to_be_waited_for_holds_up_all() {
    let limited = || Err(Failure::rate_limited("too fast", Some(30_000)));
    let (mut plugin, sent) = open(PLAIN, vec![limited()]);
    let failure = plugin.deliver(batch(&[ORDER, ORDER])).expect_err("it waits");
    assert_eq!((failure.kind, failure.retry_after_ms), (FailureKind::RateLimited, Some(30_000)));
    assert_eq!(sent.borrow().len(), 1);
    let (mut plugin, sent) = open(PLAIN, vec![Ok(Outcome::Accepted), limited()]);
    let receipts = plugin.deliver(batch(&[ORDER, ORDER, ORDER])).expect("one is sent");
    assert_eq!(receipts, [Receipt::Ok, Receipt::Retry(30_000), Receipt::Retry(30_000)]);
    assert_eq!(sent.borrow().len(), 2);
}

#[test]
fn a_check_asks_the_server_and_sends_nothing() {
    let (mut plugin, sent) = open(PLAIN, vec![]);
    assert_eq!((plugin.check(), sent.borrow().len()), (Ok(()), 0));
    testing::reset();
    assert_eq!(plugin.check().expect_err("nobody is there").kind, FailureKind::Unavailable);
}

#[test]
fn people_without_an_address_are_left_out_of_copies() {
    let config = r#"{"from":"a@acme.example","to":"b@acme.example","cc":["{{ traits.boss }}","\"C, D\" <c@acme.example>"],"bcc":["{{ claims.email }}"],"subject":"x","html":"<i title=\"{{ traits.name }}\">"}"#;
    let message = sent(config, ORDER);
    assert_eq!(message.cc, [mailbox("C, D", "c@acme.example")]);
    assert_eq!(message.bcc, [mailbox("", "ann@acme.example")]);
    assert_eq!(message.html.as_deref(), Some("<i title=\"Ann &lt;b&gt;\">"));
}

#[test]
fn mistakes_in_a_configuration_are_named_with_their_place() {
    let check = |config: &str, want: &[&str]| {
        let config = testing::config(config).expect("it matches the schema");
        let paths: Vec<String> = Email::validate(&config).into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths, want);
    };
    check(r#"{"from":"a@b","to":"c@d","subject":"x"}"#, &[""]);
    check(r#"{"from":"a","to":"Ann <ann>","cc":["x"],"subject":"x","text":"x"}"#, &["/cc/0", "/from", "/to"]);
    check(
        r#"{"from":"a@b","to":"{{ x","reply_to":"{{ a b }}","subject":"{{","text":"{{ }}","html":"{{"}"#,
        &["/to", "/reply_to", "/subject", "/text", "/html"],
    );
    check(
        r#"{"from":"a@b","to":"c@d","subject":"x","text":"x","headers":{"X A":"1","X-B":"{{"}}"#,
        &["/headers/X-B", "/headers/X A"],
    );
}
