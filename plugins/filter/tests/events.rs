//! The transform as the engine sees it: canonical events in, outcomes out.

use std::collections::BTreeMap;

use filter::{Config, Filter, OnFailure};
use serde::Deserialize;
use weft_domain::event::Event;
use weft_plugin::{Outcome, RawValue, Transform, testing};

fn open(config: Config) -> Filter {
    assert_eq!(Filter::validate(&config), []);
    Filter::open(config).expect("it opens")
}

fn keep(condition: &str) -> Config {
    Config { keep: Some(condition.to_owned()), ..Config::default() }
}

fn apply(config: Config, event: &str) -> Outcome {
    Event::parse(event.as_bytes()).expect("a canonical event");
    open(config).apply_all(&[event.as_bytes().to_vec()]).expect("no failure").remove(0)
}

/// The table that the engine's conditions are held to as well.
#[derive(Deserialize)]
struct Table {
    events: BTreeMap<String, Box<RawValue>>,
    conditions: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    condition: String,
    #[serde(default)]
    met: Vec<String>,
    #[serde(default)]
    fails: Vec<String>,
}

#[test]
fn a_condition_means_what_it_means_in_the_engine() {
    let table = include_str!("../../../engine/conditions/tests/table.json");
    let Table { events, conditions } = serde_json::from_str(table).expect("a table");
    for Row { condition, met, fails } in conditions {
        for (name, event) in &events {
            let outcome = apply(Config { on_failure: OnFailure::Reject, ..keep(&condition) }, event.get());
            match (met.contains(name), fails.contains(name)) {
                (true, _) => assert_eq!(outcome, Outcome::Keep, "{condition}: {name}"),
                (_, true) => assert!(matches!(outcome, Outcome::Reject(_)), "{condition}: {name}"),
                _ => assert_eq!(outcome, Outcome::Drop, "{condition}: {name}"),
            }
        }
    }
}

#[test]
fn what_is_absent_does_not_meet_a_condition() {
    let page = r#"{"type":"page"}"#;
    for condition in
        ["event.properties.total > 1", "event.name == 'x'", "event.type > 1", "event.type", "1 / 0 == 1", "int(event.type) == 1"]
    {
        assert_eq!(apply(keep(condition), page), Outcome::Drop, "{condition}");
        let drop = Config { drop: Some(condition.to_owned()), ..Config::default() };
        assert_eq!(apply(drop, page), Outcome::Keep, "{condition}");
        let reject = Config { on_failure: OnFailure::Reject, ..keep(condition) };
        assert!(matches!(apply(reject, page), Outcome::Reject(rejection) if rejection.code == "condition_failed"), "{condition}");
    }
    // What is absent does not matter where the rest decides.
    assert_eq!(apply(keep("event.properties.total > 1 || event.type == 'page'"), page), Outcome::Keep);
    assert_eq!(apply(keep("!has(event.properties)"), page), Outcome::Keep);
    let reject = Config { on_failure: OnFailure::Reject, ..keep("event.properties.total > 1") };
    assert_eq!(apply(reject, page), Outcome::reject("condition_failed", "No such key: properties"));
}

#[test]
fn what_meets_a_condition_is_dropped_where_it_says_so() {
    let drop = |condition: &str| Config { drop: Some(condition.to_owned()), ..Config::default() };
    assert_eq!(apply(drop("event.type == 'page'"), r#"{"type":"page"}"#), Outcome::Drop);
    assert_eq!(apply(drop("event.type == 'page'"), r#"{"type":"screen"}"#), Outcome::Keep);
}

#[test]
fn a_condition_is_checked() {
    let check = |condition: &str, message: &str, hint: &str| {
        let problems = Filter::validate(&keep(condition));
        let told: Vec<_> = problems
            .iter()
            .map(|problem| (problem.path.as_str(), problem.message.as_str(), problem.hint.as_deref().unwrap_or_default()))
            .collect();
        assert_eq!(told, [("/keep", message, hint)], "{condition}");
        assert!(Filter::open(keep(condition)).is_err());
    };
    check("event.name == ", "it ends too early, at column 15 of the condition", "");
    let unknown = "an event has no `propertys`, at column 7 of the condition";
    check("event.propertys.total > 1", unknown, "did you mean `properties`?");
    check("name == 'x'", "there is no `name`, at column 1 of the condition", "did you mean `event.name`?");
    let drop = Config { drop: Some("event.nmae == 'x' && event.product == []".to_owned()), ..Config::default() };
    let paths: Vec<String> = Filter::validate(&drop).into_iter().map(|problem| problem.path).collect();
    assert_eq!(paths, ["/drop", "/drop"], "both mistakes, where they are");
    let told = |json: &str| Filter::validate(&testing::config(json).expect("of the right shape"))[0].message.clone();
    assert_eq!(told("{}"), "there is no condition");
    assert_eq!(told(r#"{"keep":"true","drop":"true"}"#), "there are two conditions");
    let manifest: serde_json::Value = serde_json::from_str(&weft_plugin::manifest_of_transform::<Filter>()).expect("JSON");
    assert_eq!((manifest["name"].as_str(), manifest["kind"].as_str()), (Some("filter"), Some("transform")));
}

#[test]
fn what_is_no_object_is_rejected() {
    let outcomes = open(keep("true")).apply_all(&[b"[]".to_vec(), b"{\"type\":".to_vec()]).expect("no failure");
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Outcome::Reject(rejection) if rejection.code == "not_json")));
}

#[test]
fn the_examples_are_as_they_say() {
    for (config, kept) in [
        (include_str!("../examples/orders.json"), include_str!("../examples/events.orders.ndjson")),
        (include_str!("../examples/robots.json"), include_str!("../examples/events.robots.ndjson")),
    ] {
        let config: Config = testing::config(config).expect("valid");
        let events = include_str!("../examples/events.ndjson").lines();
        let is_kept = |event: &&str| apply(config.clone(), event) == Outcome::Keep;
        assert_eq!(events.filter(is_kept).map(|event| format!("{event}\n")).collect::<String>(), kept);
    }
}
