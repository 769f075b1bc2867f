//! The transform as the engine sees it: canonical events in, outcomes out.

use map::Map;
use weft_domain::event::Event;
use weft_plugin::{Outcome, Transform, testing};

fn open(config: &str) -> Map {
    let config = testing::config(config).expect("a valid configuration");
    assert_eq!(Map::validate(&config), []);
    Map::open(config).expect("it opens")
}

fn apply(config: &str, event: &str) -> Outcome {
    Event::parse(event.as_bytes()).expect("a canonical event");
    let outcome = open(config).apply_all(&[event.as_bytes().to_vec()]).expect("no failure").remove(0);
    if let Outcome::Replace(bytes) = &outcome {
        Event::parse(bytes).expect("still a canonical event");
    }
    outcome
}

/// Takes one step with an event; an empty `want` is an event that is kept.
fn check(step: &str, event: &str, want: &str) {
    let outcome = apply(&format!(r#"{{"steps":[{step}]}}"#), event);
    let want = if want.is_empty() { Outcome::Keep } else { Outcome::Replace(want.as_bytes().to_vec()) };
    assert_eq!(outcome, want, "{step}");
}

fn check_refused(step: &str, event: &str, code: &str, message: &str) {
    match apply(&format!(r#"{{"steps":[{step}]}}"#), event) {
        Outcome::Reject(rejection) => assert_eq!((rejection.code.as_str(), rejection.message.as_str()), (code, message)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn values_move_to_other_places() {
    let rename = |from: &str, to: &str| format!(r#"{{"rename":{{"from":"{from}","to":"{to}"}}}}"#);
    let event = r#"{"type":"page","properties":{"orderId":1.50,"b":2}}"#;
    check(&rename("properties.orderId", "properties.order_id"), event, r#"{"type":"page","properties":{"b":2,"order_id":1.50}}"#);
    check(&rename("properties.orderId", "properties.b"), event, r#"{"type":"page","properties":{"b":1.50}}"#);
    check(
        &rename("properties.b", "context.extra.b"),
        event,
        r#"{"type":"page","properties":{"orderId":1.50},"context":{"extra":{"b":2}}}"#,
    );
    check(&rename("properties.none", "properties.b"), event, "");
    check(
        &rename("properties.orderId", "claims.order"),
        event,
        r#"{"type":"page","properties":{"b":2},"claims":[{"type":"order","value":"1.50"}]}"#,
    );
    let event = r#"{"type":"alias","claims":[{"type":"uid","value":"1","how":"alias"},{"type":"uid","value":"2"}]}"#;
    check(&rename("claims.uid", "claims.user_id"), event, &event.replace("uid", "user_id"));
    check(&rename("claims.uid", "properties.uid"), event, r#"{"type":"alias","claims":[],"properties":{"uid":"1"}}"#);
    check_refused(
        &rename("traits.a", "claims.a"),
        r#"{"type":"identify","traits":{"a":[1]}}"#,
        "not_an_identifier",
        "what was to be `claims.a` is neither a string nor a number",
    );
}

#[test]
fn values_are_written_and_copied() {
    let event = r#"{"type":"identify","claims":[{"type":"email","value":"a"},{"type":"email","value":"b"}],"traits":{"email":"b","none":null,"empty":""}}"#;
    check(
        r#"{"set":{"path":"properties.n","value":12345678901234567890.10}}"#,
        r#"{"type":"page"}"#,
        r#"{"type":"page","properties":{"n":12345678901234567890.10}}"#,
    );
    check(r#"{"set":{"path":"traits.plan","value":null}}"#, r#"{"type":"page"}"#, r#"{"type":"page","traits":{"plan":null}}"#);
    check(
        r#"{"set":{"path":"claims.email","from":"traits.email"}}"#,
        event,
        &event.replace(r#"{"type":"email","value":"a"},"#, ""),
    );
    check(r#"{"set":{"path":"claims.phone","from":"traits.none"}}"#, event, "");
    check(r#"{"set":{"path":"claims.phone","from":"traits.empty"}}"#, event, "");
    check(r#"{"set":{"path":"traits.x","from":"traits.y"}}"#, event, "");
    check(r#"{"set":{"path":"traits.email","value":"b"}}"#, event, "");
    check(r#"{"default":{"path":"traits.email","value":"c"}}"#, event, "");
    check(r#"{"default":{"path":"traits.none","value":"c"}}"#, event, &event.replace("null", "\"c\""));
    check(r#"{"default":{"path":"claims.email","value":"c"}}"#, event, "");
    check(
        r#"{"default":{"path":"claims.id","value":7}}"#,
        r#"{"type":"page"}"#,
        r#"{"type":"page","claims":[{"type":"id","value":"7"}]}"#,
    );
    let products = r#"{"type":"page","products":[{"id":"1","price":2},{"id":"2"}]}"#;
    check(
        r#"{"default":{"path":"products[].price","value":0.00}}"#,
        products,
        &products.replace("\"2\"", "\"2\",\"price\":0.00"),
    );
}

#[test]
fn less_is_left() {
    let event = r#"{"type":"page","claims":[{"type":"a","value":"1"},{"type":"b","value":"2"}],"properties":{"a":1,"b":{"c":2}},"context":{"ip":"::1"}}"#;
    check(
        r#"{"drop":["context.ip","claims.a","properties.b.c"]}"#,
        event,
        r#"{"type":"page","claims":[{"type":"b","value":"2"}],"properties":{"a":1,"b":{}},"context":{}}"#,
    );
    check(r#"{"drop":["traits"]}"#, event, "");
    check(r#"{"keep":{"in":"properties","names":["a","z"]}}"#, event, &event.replace(r#","b":{"c":2}"#, ""));
    check(r#"{"keep":{"in":"claims","names":["b"]}}"#, event, &event.replace(r#"{"type":"a","value":"1"},"#, ""));
    check(r#"{"keep":{"in":"properties","names":["a","b"]}}"#, event, "");
    check(r#"{"keep":{"in":"properties.a","names":[]}}"#, event, "");
}

#[test]
fn values_are_cast_or_not() {
    let event = r#"{"type":"page","properties":{"n":"19.90","word":"x","list":["1","x"],"none":null}}"#;
    let cast = |path: &str, more: &str| format!(r#"{{"cast":{{"paths":["{path}"],"to":"number"{more}}}}}"#);
    check(&cast("properties.n", ""), event, &event.replace("\"19.90\"", "19.90"));
    check(&cast("properties.none", ""), event, "");
    check(&cast("properties.absent", ""), event, "");
    check(&cast("properties.list[]", r#","otherwise":"drop""#), event, &event.replace(r#"["1","x"]"#, "[1]"));
    check(&cast("properties.list[]", r#","otherwise":"leave""#), event, &event.replace(r#""1""#, "1"));
    check_refused(&cast("properties.word", ""), event, "not_castable", "`properties.word` is a string that is no number");
    check_refused(&cast("properties.list", ""), event, "not_castable", "`properties.list` is a list that is no number");
}

#[test]
fn values_are_hashed() {
    let event = r#"{"type":"identify","claims":[{"type":"email","value":"abc"}],"traits":{"n":1,"empty":"","list":[]}}"#;
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    check(r#"{"hash":{"paths":["claims.email","traits.empty"]}}"#, event, &event.replace("abc", abc));
    let outcome = apply(r#"{"steps":[{"hash":{"paths":["claims.email"],"salt":"a"}}]}"#, event);
    assert!(
        matches!(outcome, Outcome::Replace(bytes) if !String::from_utf8_lossy(&bytes).contains("ba7816")),
        "a salt changes it"
    );
    check_refused(
        r#"{"hash":{"paths":["traits.list"]}}"#,
        event,
        "not_hashable",
        "`traits.list` is a list, which has no text to hash",
    );
}

#[test]
fn strings_are_written_in_other_ways() {
    let event = r#"{"type":"page","name":" Straße ","properties":{"n":1}}"#;
    check(r#"{"lower":["name"]}"#, event, &event.replace("S", "s"));
    check(r#"{"upper":["name"]}"#, event, &event.replace("Straße", "STRASSE"));
    check(r#"{"trim":["name"]}"#, event, &event.replace(" Straße ", "Straße"));
    check(r#"{"trim":["properties.n","properties"]}"#, event, "");
}

#[test]
fn a_step_is_for_the_events_that_it_names() {
    let step = r#"{"for":{"names":["A"]},"drop":["properties.x"]}"#;
    check(step, r#"{"type":"page","name":"A","properties":{"x":1}}"#, r#"{"type":"page","name":"A","properties":{}}"#);
    check(step, r#"{"type":"page","name":"B","properties":{"x":1}}"#, "");
}

#[test]
fn a_configuration_is_checked() {
    let check = |step: &str, path: &str, message: &str| {
        let config = testing::config(&format!(r#"{{"steps":[{{"drop":["name"]}},{step}]}}"#)).expect("of the right shape");
        let problems = Map::validate(&config);
        assert_eq!(
            problems.iter().map(|problem| (problem.path.as_str(), problem.message.as_str())).collect::<Vec<_>>(),
            [(path, message)]
        );
        assert!(Map::open(config).is_err());
    };
    check("{}", "/steps/1", "the step does nothing");
    check(r#"{"lower":["name"],"trim":["name"]}"#, "/steps/1", "the step does several things, whose order nobody knows");
    check(r#"{"drop":["name","propertys.a"]}"#, "/steps/1/drop/1", "an event has no `propertys`");
    check(r#"{"drop":["type"]}"#, "/steps/1/drop/0", "an event needs its type");
    check(r#"{"drop":[]}"#, "/steps/1/drop", "there is no path");
    check(r#"{"rename":{"from":"type","to":"name"}}"#, "/steps/1/rename/from", "an event needs its type");
    check(r#"{"rename":{"from":"name","to":"name"}}"#, "/steps/1/rename", "both paths are the same");
    check(
        r#"{"rename":{"from":"products[].id","to":"name"}}"#,
        "/steps/1/rename/from",
        "`products[].id` is many places, and one is wanted",
    );
    check(r#"{"set":{"path":"received","value":1}}"#, "/steps/1/set/path", "only the engine sets `received`");
    check(r#"{"set":{"path":"name"}}"#, "/steps/1/set", "it needs `value` or `from`, and one of them");
    check(r#"{"set":{"path":"name","value":"a","from":"name"}}"#, "/steps/1/set", "it needs `value` or `from`, and one of them");
    check(r#"{"set":{"path":"claims.id","value":""}}"#, "/steps/1/set/value", "an identifier is a string, and not empty");
    check(r#"{"cast":{"paths":["claims.id"],"to":"number"}}"#, "/steps/1/cast/paths/0", "an identifier is always a string");
    assert_eq!(testing::config::<map::Config>(r#"{"steps":[{"dorp":[]}]}"#).expect_err("no such step").path, "/steps/0/dorp");
    let manifest: serde_json::Value = serde_json::from_str(&weft_plugin::manifest_of_transform::<Map>()).expect("JSON");
    assert_eq!((manifest["name"].as_str(), manifest["kind"].as_str()), (Some("map"), Some("transform")));
}

#[test]
fn what_is_no_event_does_not_break_it() {
    let config = include_str!("../examples/shop.json");
    let odd = [
        r#"[]"#,
        r#"{"claims":7,"traits":[],"properties":"x","products":{"price":1},"context":null,"name":[]}"#,
        r#"{"type":"identify","claims":[[],{"type":"email"},{"value":1}],"traits":{"email":"\ud83d\ude00"}}"#,
    ];
    let outcomes = open(config).apply_all(&odd.map(|event| event.as_bytes().to_vec())).expect("no failure");
    assert!(matches!(&outcomes[0], Outcome::Reject(rejection) if rejection.code == "not_json"));
    assert!(outcomes[1..].iter().all(|outcome| !matches!(outcome, Outcome::Drop)));
}

#[test]
fn the_examples_are_as_they_say() {
    for (config, after) in [
        (include_str!("../examples/shop.json"), include_str!("../examples/events.shop.txt")),
        (include_str!("../examples/hash.json"), include_str!("../examples/events.hash.ndjson")),
    ] {
        let lines = include_str!("../examples/events.ndjson").lines().map(|event| match apply(config, event) {
            Outcome::Keep => event.to_owned(),
            Outcome::Replace(bytes) => String::from_utf8(bytes).expect("UTF-8"),
            Outcome::Reject(rejection) => format!("{}: {}", rejection.code, rejection.message),
            other => panic!("{other:?}"),
        });
        assert_eq!(lines.collect::<Vec<_>>().join("\n") + "\n", after);
    }
}
