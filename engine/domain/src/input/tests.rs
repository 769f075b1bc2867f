//! Records of both logs read back, those of older versions too.

use super::*;
use crate::attribute::{self, Attribute, Calculation, Mark, Streak, Zone};
use crate::claim::{Bits, Compared, Evidence, Outcome};

#[test]
fn every_input_reads_back() {
    let check = |input: Input| {
        let mut payload = Vec::new();
        let kind = input.encode(&mut payload);
        assert_eq!(Input::decode(kind, &payload).as_ref(), Ok(&input));
        for length in 0..payload.len() {
            let _ = Input::decode(kind, &payload[..length]);
        }
    };
    let event = Event::parse(br#"{"type":"track","name":"x","message_id":"m"}"#).expect("valid");
    check(Input::Event { source: "web".into(), intake: 7, event: Box::new(event) });
    check(Input::Passed { intake: 8, reason: Passed::Duplicate });
    check(Input::Passed { intake: 8, reason: Passed::Dropped { stage: "tidy".into() } });
    let (code, message) = ("plugin_trapped".to_owned(), "unreachable".to_owned());
    check(Input::Passed { intake: 8, reason: Passed::Suppressed });
    check(Input::DeadLetter(DeadLetter {
        stage: "tidy".into(),
        code,
        message,
        source: Some("web".into()),
        intake: Some(3),
        at: Some(Timestamp(7)),
        carrier: Some(Carrier::Request(head())),
        bytes: vec![0, 255],
    }));
    check(Input::Tick(Timestamp(-1)));
    let rejected = Rejected { position: 1, code: "x".into(), message: "y".into(), attempts: 3 };
    let (lane, stream, at) = ("lake".to_owned(), Stream::Events, Some(Timestamp(8)));
    let by_reason = BTreeMap::from([("gdpr/ads refused".to_owned(), 2)]);
    let withheld = Withheld { by_reason, profiles: vec![3] };
    check(Input::Receipts(Receipts { lane, stream, through: 9, rejected: vec![rejected], again: vec![1, 4], at, withheld }));
    check(Input::Plan(Plan::default()));
    check(Input::Command(Command::Retract { claim: ClaimId([7; 16]), reason: "two people".into() }));
    let (claim, one, other) = (ClaimId([7; 16]), IdentifierId([8; 16]), IdentifierId([9; 16]));
    let parts = vec![
        Part::Claim { claim },
        Part::Word { claim, source: "list".into() },
        Part::Pair { one, other, of: None },
        Part::Pair { one, other, of: Some(claim) },
    ];
    check(Input::Command(Command::Split { parts: parts.clone(), reason: "two people".into() }));
    check(Input::Command(Command::Rejoin { parts }));
    check(Input::Command(Command::Decide { claim, decision: Some(Decision::Refuse), reason: "two people".into() }));
    check(Input::Command(Command::Decide { claim, decision: None, reason: String::new() }));
    check(Input::Command(Command::Pause { lane: "lake".into() }));
    check(Input::Command(Command::TellAgain { letters: vec![(7, 0)] }));
    check(Input::Command(Command::DeliverAgain { letters: vec![(7, 0), (8, 1)] }));
    check(Input::Command(Command::Resume { lane: "lake".into() }));
    check(Input::Command(Command::DropLetters { letters: vec![(7, 0), (u64::MAX, 3)], reason: "seen to".into() }));
    check(Input::Command(Command::Erase(Box::new(Erase {
        erasure: "e1".into(),
        claims: vec![ClaimId([7; 16])],
        still: vec![(3, 2)],
        letters: vec![(7, 0)],
        reworded: vec![(8, 1)],
        reasons: vec!["ann@x is his sister".into()],
        reasoned_claims: vec![claim],
        reasoned_identifiers: vec![IdentifierId([3; 16])],
        deliveries: vec![("lake".into(), 3)],
        values: vec![("crm".into(), "k".into())],
    }))));
    let kv = |value| Kv { stage: positions_of("crm"), key: "k".into(), value };
    check(Input::Kv(kv(Some(vec![1]))));
    check(Input::Position { intake: 9, kv: kv(Some(vec![1])) });
    check(Input::Position { intake: 9, kv: kv(None) });
    let zone = Zone::try_from("Europe/Berlin".to_owned()).expect("a zone");
    let streak = Attribute::of_trait("days", Calculation::Streak { of: Streak::Current, zone });
    let attribute = Attribute::of_trait("spent", Calculation::Sum);
    let mark = Mark { occurred: Timestamp(7), tie: u64::MAX, ordinal: 1, position: 3, source: "web".into() };
    let tallies =
        [(Calculation::Sum, "79228162514264337593543950335"), (Calculation::Max, "1.50"), (Calculation::MostFrequent, "\"a\"")];
    let tallies = tallies.into_iter().map(|(calculation, value)| {
        let attribute = Attribute::of_trait("x", calculation);
        let mut tally = Tally::new(&attribute.meaning);
        let part = attribute::Part::of(&attribute.meaning.calculation, Some(value), mark.clone()).expect("usable");
        tally.take(&attribute.meaning, part, &mark);
        (attribute.id, -1, tally)
    });
    let swept = Swept { claim: ClaimId([7; 16]), tallies: tallies.collect(), unusable: vec![(attribute.id, 2)] };
    let after = Some((ClaimId([6; 16]), attribute.id));
    check(Input::Sweep(Sweep { since: 3, after, through: None, claims: vec![swept], missing: 1 }));
    check(Input::Plan(Plan { attributes: vec![attribute, streak], ..Plan::default() }));
    let pair = [ClaimId([1; 16]), claim];
    check(Input::Command(Command::DecideMatch { pair, decision: Some(Decision::Accept), reason: "asked".into() }));
    check(Input::Command(Command::Rejoin { parts: vec![Part::Match { pair }] }));
    check(Input::Model(Model { at: Timestamp(7), json: "{}".into() }));
    let compared = Compared { field: "name".into(), level: "same".into(), weight: Bits(1203), without: Bits(-1210) };
    let (weight, prior, shared) = (Bits(-7), Bits(-1234), Bits(0));
    let evidence = Evidence { weight, prior, shared, fields: vec![compared], merge_at: Bits(250), model: 3, at: Timestamp(7) };
    check(Input::Match(Proposal { pair, outcome: Outcome::Review, evidence }));
    assert!(Input::decode(99, b"").is_err());
}

fn head() -> Head {
    let headers = vec![("content-type".to_owned(), "text/plain".to_owned())];
    let (method, path, query, remote) = ("POST".to_owned(), "/v1".to_owned(), "a=b".to_owned(), "127.0.0.1".to_owned());
    Head { method, path, query, headers, remote, whole: true }
}

#[test]
fn records_of_older_versions_read_back() {
    let text = |text: &str| [&(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat();
    let refused = [text("web"), text("bad"), text("it is bad"), b"{".to_vec()].concat();
    let want = Arrival::Refused { source: "web", code: "bad", message: "it is bad", coming: "", bytes: b"{" };
    assert_eq!(Arrival::decode(3, &refused), Ok(want));
    let letter =
        [text(r#"{"stage":"web","code":"bad","message":"it is bad","source":"web","intake":3}"#), b"{".to_vec()].concat();
    let Ok(Input::DeadLetter(letter)) = Input::decode(3, &letter) else { panic!("it cannot be read") };
    assert_eq!((letter.at, letter.carrier, &*letter.bytes), (None, None, &b"{"[..]));
    let receipts = Input::decode(5, br#"{"lane":"lake","stream":"events","through":9,"rejected":[]}"#);
    assert!(matches!(receipts, Ok(Input::Receipts(Receipts { at: None, again, .. })) if again.is_empty()));
}

#[test]
fn arrivals_read_back_and_places_name_events() {
    let mut payload = Vec::new();
    let arrival = Arrival::Event { source: "web", named: Named::ByPlace, json: br#"{"type":"page"}"# };
    let kind = arrival.encode(&mut payload);
    assert_eq!(Arrival::decode(kind, &payload), Ok(arrival));
    let mut payload = Vec::new();
    let coming = Coming { at: Some(Timestamp(7)), carrier: Some(Carrier::Request(head())) };
    let coming = serde_json::to_string(&coming).expect("it has string keys");
    let refused = Arrival::Refused { source: "web", code: "bad", message: "it is bad", coming: &coming, bytes: b"{" };
    let kind = refused.encode(&mut payload);
    assert_eq!(Arrival::decode(kind, &payload), Ok(refused));
    let mut payload = Vec::new();
    let position = Arrival::Position { source: "list", key: "a.csv", value: b"{}" };
    let kind = position.encode(&mut payload);
    assert_eq!(Arrival::decode(kind, &payload), Ok(position));
    let named = name_by_place("web", 12, br#"{"type":"page"}"#);
    assert_eq!(Event::parse(&named).expect("valid").message_id.as_deref(), Some("web-12"));
}
