//! The transform as the engine sees it: canonical events in, outcomes out.

use tracking_plan::TrackingPlan;
use weft_domain::event::Event;
use weft_plugin::{Outcome, Transform, testing};

fn open(config: &str) -> TrackingPlan {
    let config = testing::config(config).expect("a valid configuration");
    assert_eq!(TrackingPlan::validate(&config), []);
    TrackingPlan::open(config).expect("it opens")
}

fn apply(config: &str, event: &str) -> Outcome {
    Event::parse(event.as_bytes()).expect("a canonical event");
    let outcome = open(config).apply_all(&[event.as_bytes().to_vec()]).expect("no failure").remove(0);
    if let Outcome::Replace(bytes) = &outcome {
        Event::parse(bytes).expect("still a canonical event");
    }
    outcome
}

/// Holds a value to a schema; the violations, of the value alone.
fn check(schema: &str, value: &str, want: &[&str]) {
    let config = format!(r#"{{"plan":{{"types":{{"page":{{"properties":{{"properties":{{"v":{schema}}}}}}}}}}}}}"#);
    let event = format!(r#"{{"type":"page","properties":{{"v":{value}}}}}"#);
    let want = match want {
        [] => Outcome::Keep,
        words => Outcome::reject(
            "plan_violated",
            words.iter().map(|words| format!("`properties.v{words}")).collect::<Vec<_>>().join("; "),
        ),
    };
    assert_eq!(apply(&config, &event), want, "{value} by {schema}");
}

#[test]
fn types_are_held_to() {
    check(r#"{"type":"number"}"#, "1.5", &[]);
    check(r#"{"type":"number"}"#, "\"1\"", &["` is a string, and is to be a number"]);
    check(r#"{"type":["string","null"]}"#, "null", &[]);
    check(r#"{"type":["string","null"]}"#, "[]", &["` is a list, and is to be a string or null"]);
    check(r#"{"type":"integer"}"#, "12.00", &[]);
    check(r#"{"type":"integer"}"#, "12.5", &["` is a number, and is to be an integer"]);
    check(r#"{"type":"boolean"}"#, "{}", &["` is an object, and is to be true or false"]);
    check("true", "1", &[]);
    check("{}", "1", &[]);
    check("false", "1", &["` is not in the plan"]);
}

#[test]
fn values_are_held_to() {
    check(r#"{"enum":["EUR",1.50,{"a":1,"b":[2]}]}"#, "\"\\u0045UR\"", &[]);
    check(r#"{"enum":["EUR",1.50,{"a":1,"b":[2]}]}"#, r#"{"b":[2.0],"a":1}"#, &[]);
    check(r#"{"enum":["EUR",1.5]}"#, "1.6", &["` is to be \"EUR\" or 1.5"]);
    check(r#"{"const":null}"#, "0", &["` is to be null"]);
    check(r#"{"minimum":0,"exclusiveMaximum":9007199254740993}"#, "9007199254740992", &[]);
    check(r#"{"minimum":0,"exclusiveMaximum":9007199254740993}"#, "9007199254740993.0", &["` is too large"]);
    check(r#"{"exclusiveMinimum":0,"maximum":1}"#, "0", &["` is too small"]);
    check(r#"{"minimum":1}"#, "\"0\"", &[]);
    check(r#"{"minLength":2,"maxLength":3,"pattern":"^[a-zü]+$"}"#, "\"üa\"", &[]);
    check(r#"{"minLength":2,"pattern":"^[a-z]+$"}"#, "\"1\"", &["` is too short", "` does not match ^[a-z]+$"]);
    check(r#"{"maxLength":3}"#, "\"abcd\"", &["` is too long"]);
}

#[test]
fn formats_are_held_to() {
    let formats = |format: &str, right: &[&str], wrong: &[&str]| {
        let schema = format!(r#"{{"format":"{format}"}}"#);
        right.iter().for_each(|text| check(&schema, &format!("\"{text}\""), &[]));
        wrong.iter().for_each(|text| check(&schema, &format!("\"{text}\""), &[&format!("` is no {format}")]));
    };
    formats(
        "date-time",
        &["2026-03-01T09:30:00Z", "2026-03-01T09:30:00.5+01:00"],
        &["2026-03-01T09:30:00", "2026-03-01 09:30:00Z", "1772357400", "2026-03-01", ""],
    );
    formats("date", &["2026-03-01"], &["2026-02-30", "1772357400", "2026-3-1"]);
    formats("email", &["ann@shop.example"], &["ann", "a@b@c.de", "ann @shop.example", "@a.de"]);
    formats("uri", &["https://shop.example/a?b", "mailto:a"], &["shop.example", "http://a b", ":x"]);
    formats("uuid", &["123e4567-e89b-12d3-a456-426614174000"], &["123e4567e89b12d3a456426614174000", "x"]);
}

#[test]
fn objects_and_lists_are_held_to() {
    let schema =
        r#"{"required":["a","b"],"properties":{"a":{"items":{"type":"number"},"minItems":2}},"additionalProperties":false}"#;
    check(schema, r#"{"a":[1,2],"b":1}"#, &[".b` is not in the plan"]);
    check(
        schema,
        r#"{"a":["x"],"c":1}"#,
        &[".b` is missing", ".a` has too few elements", ".a[0]` is a string, and is to be a number", ".c` is not in the plan"],
    );
    check(r#"{"additionalProperties":{"type":"string"},"properties":{"a":{}}}"#, r#"{"a":1,"b":"x"}"#, &[]);
    check(r#"{"maxItems":1}"#, "[1,2]", &["` has too many elements"]);
}

#[test]
fn schemas_are_combined() {
    check(r#"{"anyOf":[{"type":"string"},{"minimum":5}]}"#, "7", &[]);
    check(r#"{"anyOf":[{"type":"string"},{"minimum":5}]}"#, "3", &["` is none of what it may be"]);
    check(r#"{"oneOf":[{"type":"number"},{"minimum":5}]}"#, "7", &["` is not exactly one of what it may be"]);
    check(r#"{"allOf":[{"type":"number"},{"minimum":5}]}"#, "3", &["` is too small"]);
    check(r#"{"not":{"const":3}}"#, "3", &["` is what it may not be"]);
}

#[test]
fn many_violations_are_told_by_their_number() {
    let many = vec!["\"x\""; 60].join(",");
    let config = r#"{"plan":{"types":{"page":{"properties":{"properties":{"v":{"items":{"type":"number"}}}}}}}}"#;
    let Outcome::Reject(rejection) = apply(config, &format!(r#"{{"type":"page","properties":{{"v":[{many}]}}}}"#)) else {
        panic!("refused")
    };
    assert!(
        rejection.message.ends_with("`properties.v[49]` is a string, and is to be a number; and 10 more"),
        "{}",
        rejection.message
    );
}

#[test]
fn an_event_is_planned_by_its_name_or_its_type() {
    let config = |unplanned: &str| {
        format!(
            r#"{{"plan":{{"events":{{"A":{{"properties":false}}}},"types":{{"screen":{{"context":{{"required":["app"]}}}}}}}},"unplanned":"{unplanned}"}}"#
        )
    };
    let check = |unplanned: &str, event: &str, want: Outcome| assert_eq!(apply(&config(unplanned), event), want, "{event}");
    check("drop", r#"{"type":"track","name":"B"}"#, Outcome::Drop);
    check("allow", r#"{"type":"track","name":"B"}"#, Outcome::Keep);
    check("reject", r#"{"type":"track","name":"B"}"#, Outcome::reject("unplanned", "the plan has no event `B`"));
    check("reject", r#"{"type":"page","name":"B"}"#, Outcome::Keep);
    check("reject", r#"{"type":"page","name":"A"}"#, Outcome::reject("plan_violated", "`properties` is not in the plan"));
    check("reject", r#"{"type":"screen","name":"B"}"#, Outcome::reject("plan_violated", "`context.app` is missing"));
}

#[test]
fn a_plan_is_checked() {
    let check = |plan: &str, path: &str, message: &str| {
        let config = testing::config(&format!(r#"{{"plan":{plan}}}"#)).expect("of the right shape");
        let problems = TrackingPlan::validate(&config);
        let told: Vec<_> = problems.iter().map(|problem| (problem.path.as_str(), problem.message.as_str())).collect();
        assert_eq!(told, [(path, message)]);
        assert!(TrackingPlan::open(config).is_err());
    };
    let events = |schema: &str| format!(r#"{{"events":{{"A/B":{{"properties":{schema}}}}}}}"#);
    check("{}", "/plan", "the plan is empty");
    check(r#"{"types":{"tracks":{}}}"#, "/plan/types/tracks", "no type of events");
    check(&events(r#"{"type":"text"}"#), "/plan/events/A~1B/properties/type", "`type` cannot be this");
    check(
        &events(r#"{"properties":{"a":{"minimum":"1"}}}"#),
        "/plan/events/A~1B/properties/properties/a/minimum",
        "`minimum` cannot be this",
    );
    check(&events(r#"{"requried":[]}"#), "/plan/events/A~1B/properties/requried", "the keyword `requried` is not known here");
    check(
        &events(r##"{"items":{"$ref":"#/x"}}"##),
        "/plan/events/A~1B/properties/items/$ref",
        "the keyword `$ref` is not known here",
    );
    check(&events(r#"{"format":"ipv4"}"#), "/plan/events/A~1B/properties/format", "the format is not known here");
    check(
        &events(r#"{"pattern":"("}"#),
        "/plan/events/A~1B/properties/pattern",
        "no pattern: found open group without closing ')'",
    );
    check(&events("7"), "/plan/events/A~1B/properties", "a schema is an object, or true or false");
    let deep = format!("{}{{}}{}", r#"{"not":"#.repeat(70), "}".repeat(70));
    check(
        &events(&deep),
        &format!("/plan/events/A~1B/properties{}", "/not".repeat(65)),
        "a plan has at most 20000 schemas, 64 deep",
    );
    let manifest: serde_json::Value = serde_json::from_str(&weft_plugin::manifest_of_transform::<TrackingPlan>()).expect("JSON");
    assert_eq!((manifest["name"].as_str(), manifest["kind"].as_str()), (Some("tracking-plan"), Some("transform")));
}

#[test]
fn the_examples_are_as_they_say() {
    for (config, after) in [
        (include_str!("../examples/shop.json"), include_str!("../examples/events.shop.txt")),
        (include_str!("../examples/note.json"), include_str!("../examples/events.note.txt")),
    ] {
        let lines = include_str!("../examples/events.ndjson").lines().map(|event| match apply(config, event) {
            Outcome::Keep => event.to_owned(),
            Outcome::Replace(bytes) => String::from_utf8(bytes).expect("UTF-8"),
            Outcome::Reject(rejection) => format!("{}: {}", rejection.code, rejection.message),
            Outcome::Drop => "dropped".to_owned(),
            other => panic!("{other:?}"),
        });
        assert_eq!(lines.collect::<Vec<_>>().join("\n") + "\n", after);
    }
}
