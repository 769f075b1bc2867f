//! A condition means over an event of the fold what it means over the event's JSON (invariant 12): the table of the crate of conditions, once more.

use std::collections::BTreeMap;

use serde::Deserialize;
use weft_conditions::Condition;
use weft_domain::document::Document;
use weft_domain::event::Event;
use weft_domain::value::Json;

#[derive(Deserialize)]
struct Table {
    events: BTreeMap<String, Json>,
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
fn conditions_mean_what_the_table_says() {
    let Table { events, conditions } = serde_json::from_str(include_str!("../../conditions/tests/table.json")).expect("a table");
    for (name, event) in &events {
        let event = Event::parse(event.text().as_bytes()).expect("a canonical event");
        let document = Document::of(&event);
        for Row { condition, met, fails } in &conditions {
            let read = Condition::parse(condition).expect(condition);
            let want = (!fails.contains(name)).then(|| met.contains(name));
            assert_eq!(read.ask(document.fields()).ok(), want, "{condition}: {name}");
        }
    }
}

#[test]
fn what_a_condition_is_checked_against_is_what_an_event_has() {
    let schema = schemars::schema_for!(Event);
    let schema = schema.as_value();
    let mut found = Vec::new();
    gather(schema, schema, "event", 4, &mut found);
    for place in ["event.claims[0].how", "event.context.user_agent", "event.group.traits", "event.products[0].coupon"] {
        assert!(found.iter().any(|found| found == place), "{place} is not in {found:?}");
    }
    for place in &found {
        if let Err(mistakes) = Condition::parse(&format!("{place} == 1")) {
            panic!("{place}: {}", mistakes[0]);
        }
    }
    // And nothing else: every part that messages list is a place of the schema.
    for (above, wrong) in [
        ("event", "x9"),
        ("event.context", "x9"),
        ("event.products[0]", "x9"),
        ("event.claims[0]", "x9"),
        ("event.group", "x9"),
        ("event.in_response_to", "x9"),
    ] {
        let mistakes = Condition::parse(&format!("{above}.{wrong} == 1")).expect_err("nothing there");
        let hint = mistakes[0].hint.clone().expect("what it has");
        let mut told: Vec<String> =
            hint.trim_start_matches("it has ").split(", ").map(|name| format!("{above}.{name}")).collect();
        let is_below = |place: &&String| place.rsplit_once('.').is_some_and(|(before, _)| before == above);
        let mut known: Vec<String> = found.iter().filter(is_below).cloned().collect();
        told.sort();
        known.sort();
        assert_eq!(told, known);
    }
}

/// The places that the schema of an event has, as conditions write them.
fn gather(root: &serde_json::Value, schema: &serde_json::Value, place: &str, depth: usize, found: &mut Vec<String>) {
    if depth == 0 {
        return;
    }
    let target = schema["$ref"].as_str().and_then(|target| root.pointer(target.trim_start_matches('#')));
    target.iter().for_each(|target| gather(root, target, place, depth, found));
    schema["anyOf"].as_array().into_iter().flatten().for_each(|branch| gather(root, branch, place, depth, found));
    if schema["items"].is_object() {
        gather(root, &schema["items"], &format!("{place}[0]"), depth, found);
    }
    for (name, part) in schema["properties"].as_object().into_iter().flatten() {
        let place = format!("{place}.{name}");
        gather(root, part, &place, depth - 1, found);
        found.push(place);
    }
}
