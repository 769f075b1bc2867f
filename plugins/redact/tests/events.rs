//! The transform as the engine sees it: canonical events in, outcomes out.

use redact::Redact;
use weft_domain::event::Event;
use weft_plugin::{Outcome, Transform, testing};

fn open(config: &str) -> Redact {
    let config = testing::config(config).expect("a valid configuration");
    assert_eq!(Redact::validate(&config), []);
    Redact::open(config).expect("it opens")
}

fn apply(config: &str, event: &str) -> Outcome {
    Event::parse(event.as_bytes()).expect("a canonical event");
    let outcome = open(config).apply_all(&[event.as_bytes().to_vec()]).expect("no failure").remove(0);
    if let Outcome::Replace(bytes) = &outcome {
        Event::parse(bytes).expect("still a canonical event");
    }
    outcome
}

/// Gives an event to one rule, which is to find `from` and make it `to`; nothing where both are the same.
fn check(rule: &str, event: &str, from: &str, to: &str) {
    let outcome = apply(&format!(r#"{{"rules":[{rule}]}}"#), event);
    let want = event.replace(from, to);
    assert_eq!(outcome, if want == event { Outcome::Keep } else { Outcome::Replace(want.into_bytes()) }, "{rule}");
}

const EVENT: &str = r#"{"type":"identify","claims":[{"type":"email","value":"ann@shop.example"}],"traits":{"email":"ann@shop.example","age":41,"ok":true,"none":null,"tags":["ann@shop.example","x"]},"properties":{"Email":{"a":"ann@shop.example"},"note":"to ann@shop.example!"},"context":{"ip":"::1"}}"#;

#[test]
fn fields_are_dropped_masked_hashed_and_replaced() {
    check(r#"{"paths":["context.ip"],"action":"drop"}"#, EVENT, r#""ip":"::1""#, "");
    check(r#"{"paths":["traits.age"],"action":{"mask":{}}}"#, EVENT, "41", "\"**\"");
    check(
        r#"{"paths":["traits.tags"],"action":{"mask":{"first":1,"last":2}}}"#,
        EVENT,
        r#"["ann@shop.example","x"]"#,
        r#"["a*************le","*"]"#,
    );
    check(r#"{"paths":["traits.ok"],"action":{"replace":"-"}}"#, EVENT, "true", "\"-\"");
    check(r#"{"paths":["traits.none"],"action":{"replace":"-"}}"#, EVENT, "", "");
    check(r#"{"paths":["traits.none","traits.absent"],"action":{"hash":{}}}"#, EVENT, "", "");
    check(
        r#"{"paths":["properties.note"],"action":{"mask":{"first":10,"last":10}}}"#,
        EVENT,
        "to ann@shop.example!",
        "********************",
    );
    let hash = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b";
    check(
        r#"{"paths":["properties.n"],"action":{"hash":{}}}"#,
        r#"{"type":"page","properties":{"n":1}}"#,
        "1}",
        &format!("\"{hash}\"}}"),
    );
}

#[test]
fn identifiers_are_touched_only_where_a_path_names_them() {
    check(
        r#"{"paths":["*.email"],"action":"drop"}"#,
        r#"{"type":"page","claims":[{"type":"email","value":"a@b.de"}],"properties":{"deep":[{"EMAIL":1,"n":2}]}}"#,
        "\"EMAIL\":1,",
        "",
    );
    check(
        r#"{"paths":["*.value","*.type"],"find":["email"],"patterns":["ann"],"in":["properties.none"],"action":"drop"}"#,
        EVENT,
        "",
        "",
    );
    check(r#"{"paths":["claims.email"],"action":"drop"}"#, EVENT, r#"{"type":"email","value":"ann@shop.example"}"#, "");
    check(
        r#"{"paths":["claims.email"],"action":{"hash":{"salt":"s"}}}"#,
        r#"{"type":"page","claims":[{"type":"email","value":"x"}]}"#,
        "\"x\"",
        "\"cefb105ee22996fb167ed606478d2931b87aa3ab99b4b04b68c4fc16c8b49a30\"",
    );
}

#[test]
fn texts_lose_what_is_found_in_them() {
    check(r#"{"find":["email"],"in":["properties.note"],"action":"drop"}"#, EVENT, "to ann@shop.example!", "to !");
    check(
        r#"{"find":["email"],"in":["traits"],"action":"drop"}"#,
        EVENT,
        r#""email":"ann@shop.example","age":41,"ok":true,"none":null,"tags":["ann@shop.example","x"]"#,
        r#""age":41,"ok":true,"none":null,"tags":["x"]"#,
    );
    check(r#"{"find":["ip"],"action":{"replace":"0"}}"#, EVENT, "\"::1\"", "\"0\"");
    check(
        r#"{"find":["card"],"action":{"mask":{"last":4}}}"#,
        r#"{"type":"page","properties":{"n":4111111111111111}}"#,
        "4111111111111111",
        "\"************1111\"",
    );
    check(r#"{"find":["email"],"in":["name"],"action":{"replace":"-"}}"#, r#"{"type":"page","name":"a@b.de"}"#, "a@b.de", "-");
    // What overlaps is one place.
    check(
        r#"{"find":["email"],"patterns":["o ann","xam"],"in":["properties.note"],"action":{"replace":"-"}}"#,
        EVENT,
        "to ann@shop.example!",
        "t-!",
    );
    check(
        r#"{"patterns":["x*"],"in":["properties.note"],"action":{"replace":"-"}}"#,
        EVENT,
        "to ann@shop.example!",
        "to ann@shop.e-ample!",
    );
}

#[test]
fn what_is_too_much_is_refused_or_one_place() {
    let refused = |rule: &str, event: &str| match apply(&format!(r#"{{"rules":[{rule}]}}"#), event) {
        Outcome::Reject(rejection) => rejection.code,
        other => panic!("{other:?}"),
    };
    let page = |value: &str| format!(r#"{{"type":"page","properties":{{"p":{value}}}}}"#);
    let deep = page(&format!("{}1{}", "[".repeat(40), "]".repeat(40)));
    assert_eq!(refused(r#"{"find":["ip"],"action":"drop"}"#, &deep), "too_deep");
    assert_eq!(refused(r#"{"paths":["properties.p"],"action":{"mask":{}}}"#, &deep), "too_deep");
    let long = page(&format!("\"{}\"", "a ".repeat(20_000)));
    assert_eq!(refused(r#"{"patterns":["b"],"action":"drop"}"#, &long), "text_too_long");
    let many = page(&format!("\"{}\"", "a ".repeat(300)));
    check(r#"{"patterns":["a"],"action":{"replace":"-"}}"#, &many, &"a ".repeat(300), "-");
}

#[test]
fn a_rule_is_for_the_events_that_it_names() {
    let rule = r#"{"for":{"types":["page"]},"paths":["context.ip"],"action":"drop"}"#;
    check(rule, EVENT, "", "");
    check(rule, r#"{"type":"page","context":{"ip":"::1"}}"#, r#""ip":"::1""#, "");
}

#[test]
fn a_configuration_is_checked() {
    let check = |rule: &str, path: &str, message: &str| {
        let config = testing::config(&format!(r#"{{"rules":[{rule}]}}"#)).expect("of the right shape");
        let problems = Redact::validate(&config);
        assert_eq!((problems.len(), problems[0].path.as_str(), problems[0].message.as_str()), (1, path, message));
        assert!(Redact::open(config).is_err());
    };
    check(r#"{"action":"drop"}"#, "/rules/0", "the rule looks for nothing");
    check(r#"{"paths":["x","*.a"],"action":"drop"}"#, "/rules/0/paths/0", "an event has no `x`");
    check(r#"{"paths":["*.a.b"],"action":"drop"}"#, "/rules/0/paths/0", "`*.` is followed by one name");
    check(r#"{"paths":["type"],"action":"drop"}"#, "/rules/0/paths/0", "`type` is what the engine goes by");
    check(
        r#"{"paths":["claims.email"],"action":{"mask":{}}}"#,
        "/rules/0/paths/0",
        "identifiers that are masked or replaced alike make strangers one person; drop or hash them",
    );
    check(r#"{"paths":["claims"],"action":{"hash":{}}}"#, "/rules/0/paths/0", "identifiers are hashed by their type");
    check(r#"{"find":["ip"],"in":["claims"],"action":"drop"}"#, "/rules/0/in/0", "`claims` is no text to look into");
    check(r#"{"patterns":["("],"action":"drop"}"#, "/rules/0/patterns/0", "no pattern: found open group without closing ')'");
    check(
        r#"{"patterns":["(a{1000}){1000}"],"action":"drop"}"#,
        "/rules/0/patterns/0",
        "no pattern: compiled regex exceeded size limit",
    );
    check(
        r#"{"find":["ip"],"action":{"mask":{"last":65}}}"#,
        "/rules/0/action/mask",
        "a mask shows at most 64 letters at either end",
    );
    assert!(testing::config::<redact::Config>(r#"{"rules":[{"find":["ssn"],"action":"drop"}]}"#).is_err());
    let manifest: serde_json::Value = serde_json::from_str(&weft_plugin::manifest_of_transform::<Redact>()).expect("JSON");
    assert_eq!((manifest["name"].as_str(), manifest["kind"].as_str()), (Some("redact"), Some("transform")));
}

#[test]
fn the_examples_are_as_they_say() {
    for (config, after) in [
        (include_str!("../examples/texts.json"), include_str!("../examples/events.texts.ndjson")),
        (include_str!("../examples/fields.json"), include_str!("../examples/events.fields.ndjson")),
    ] {
        let lines = include_str!("../examples/events.ndjson").lines().map(|event| match apply(config, event) {
            Outcome::Keep => event.to_owned(),
            Outcome::Replace(bytes) => String::from_utf8(bytes).expect("UTF-8"),
            other => panic!("{other:?}"),
        });
        assert_eq!(lines.collect::<Vec<_>>().join("\n") + "\n", after);
    }
}
