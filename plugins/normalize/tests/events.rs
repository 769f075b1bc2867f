//! The transform as the engine sees it: canonical events in, outcomes out.

use weft_domain::event::Event;
use weft_plugin::{Outcome, Transform, testing};

fn open(config: &str) -> normalize::Normalize {
    testing::reset();
    let config = testing::config(config).expect("a valid configuration");
    assert!(normalize::Normalize::validate(&config).is_empty());
    normalize::Normalize::open(config).expect("it opens")
}

fn apply(config: &str, event: &str) -> Option<String> {
    Event::parse(event.as_bytes()).expect("a canonical event");
    let outcome = open(config).apply_all(&[event.as_bytes().to_vec()]).expect("no failure").remove(0);
    match outcome {
        Outcome::Keep => None,
        Outcome::Replace(bytes) => {
            Event::parse(&bytes).expect("still a canonical event");
            Some(String::from_utf8(bytes).expect("UTF-8"))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_as_it_should_be_is_kept() {
    let check = |event: &str| assert_eq!(apply("{}", event), None, "{event}");
    check(r#"{"type":"page"}"#);
    check(r#"{"type":"track","name":" e ","properties":{"email":" A@B.example "}}"#);
    check(
        r#"{"type":"identify","claims":[{"type":"email","value":"ann@shop.example"},{"type":"user_id","value":"Ann"}],"traits":{"email":"ann@shop.example","phone":"+491701234567","name":"Ann Doe","age":7.50,"tags":["a"]}}"#,
    );
    check(r#"{"type":"identify","traits":{"email":"none","phone":"n/a"}}"#);
}

#[test]
fn equal_people_become_equal() {
    let check = |config: &str, event: &str, want: &str| assert_eq!(apply(config, event).as_deref(), Some(want), "{event}");
    check(
        r#"{"default_region":"DE"}"#,
        r#"{"type":"identify","claims":[{"type":"email","value":" Ann@Shop.Example"},{"type":"phone","value":"0170 1234567"},{"type":"user_id","value":"“42”"}],"traits":{"email":" Ann@Shop.Example","phone":491701234567,"name":"Ann  Doe","city":" Ko\u0308ln ","n":1.50}}"#,
        r#"{"type":"identify","claims":[{"type":"email","value":"ann@shop.example"},{"type":"phone","value":"+491701234567"},{"type":"user_id","value":"42"}],"traits":{"email":"ann@shop.example","phone":"+491701234567","name":"Ann Doe","city":"Köln","n":1.50}}"#,
    );
    // Junk is no claim, and stays a trait.
    check(
        "{}",
        r#"{"type":"identify","claims":[{"type":"email","value":"none"},{"type":"phone","value":"0170 1234567"},{"type":"id","value":" "}],"traits":{"email":"none","phone":"0170 1234567"}}"#,
        r#"{"type":"identify","claims":[],"traits":{"email":"none","phone":"0170 1234567"}}"#,
    );
    // Two spellings of one identifier are one; that it was observed outweighs that it was said.
    check(
        r#"{"drop_tags":["gmail.com"],"drop_dots":["gmail.com"]}"#,
        r#"{"type":"alias","claims":[{"type":"email","value":"a.nn@gmail.com","how":"alias"},{"type":"email","value":"ANN+x@gmail.com"}],"traits":{"email":"A.nn+x@gmail.com"}}"#,
        r#"{"type":"alias","claims":[{"type":"email","value":"ann@gmail.com"}],"traits":{"email":"a.nn+x@gmail.com"}}"#,
    );
    check(
        r#"{"drop_dots":["gmail.com"]}"#,
        r#"{"type":"identify","claims":[{"type":"email","value":"Ann@gmail.com","how":"added"},{"type":"email","value":"a.nn@gmail.com","how":"removed"},{"type":"email","value":"B@b.example","how":"removed"}]}"#,
        r#"{"type":"identify","claims":[{"type":"email","value":"ann@gmail.com","how":"added"},{"type":"email","value":"b@b.example","how":"removed"}]}"#,
    );
    check(
        "{}",
        r#"{"type":"alias","claims":[{"type":"email","value":"A@b.example","how":"alias"}]}"#,
        r#"{"type":"alias","claims":[{"type":"email","value":"a@b.example","how":"alias"}]}"#,
    );
    check(
        r#"{"shouted_names":"capitalize"}"#,
        r#"{"type":"group","traits":{"first_name":"ANN"},"group":{"id":"g","traits":{"name":" Acme "}}}"#,
        r#"{"type":"group","traits":{"first_name":"ANN"},"group":{"id":"g","traits":{"name":"Acme"}}}"#.replace("\"ANN\"", "\"Ann\"").as_str(),
    );
}

#[test]
fn only_the_rules_that_are_on_are_applied() {
    let event = r#"{"type":"identify","claims":[{"type":"email","value":"A@b.example"},{"type":"id","value":" x "}],"traits":{"name":" a  b "}}"#;
    let check = |rules: &str, want: Option<&str>| {
        assert_eq!(apply(&format!(r#"{{"rules":{rules}}}"#), event).as_deref(), want, "{rules}")
    };
    check("[]", None);
    check(r#"["phones"]"#, None);
    check(r#"["emails"]"#, Some(&event.replace("A@b", "a@b")));
    check(r#"["identifiers"]"#, Some(&event.replace(" x ", "x")));
    check(r#"["names"]"#, Some(&event.replace(" a  b ", "a b")));
    check(r#"["texts"]"#, Some(&event.replace(" a  b ", "a  b")));
}

#[test]
fn a_record_that_is_no_object_is_refused_and_the_others_are_not() {
    let outcomes =
        open("{}").apply_all(&[b"[]".to_vec(), br#"{"type":"page"}"#.to_vec(), br#"{"claims":7,"traits":[]}"#.to_vec()]);
    let outcomes = outcomes.expect("no failure");
    assert!(matches!(&outcomes[0], Outcome::Reject(rejection) if rejection.code == "not_json"));
    assert_eq!(outcomes[1..], [Outcome::Keep, Outcome::Keep]);
}

#[test]
fn what_was_left_out_is_said_once_for_a_batch() {
    let event = br#"{"type":"page","claims":[{"type":"email","value":"none"}]}"#.to_vec();
    let mut plugin = open("{}");
    plugin.apply_all(&[event.clone(), event]).expect("no failure");
    testing::with(|double| {
        assert_eq!(double.logged.len(), 1);
        assert!(double.logged[0].1.starts_with("2 claims"));
    });
}

#[test]
fn a_configuration_is_checked() {
    let check = |json: &str, path: &str| {
        let config = testing::config(json).expect("of the right shape");
        assert_eq!(normalize::Normalize::validate(&config)[0].path, path);
    };
    check(r#"{"default_region":"XX"}"#, "/default_region");
    check(r#"{"drop_tags":["gmail.com","gmail"]}"#, "/drop_tags/1");
    assert!(testing::config::<normalize::Config>(r#"{"colour":1}"#).is_err());
    for example in normalize::Normalize::ABOUT.examples {
        open(example.config);
    }
    let manifest: serde_json::Value =
        serde_json::from_str(&weft_plugin::manifest_of_transform::<normalize::Normalize>()).expect("JSON");
    assert_eq!((manifest["name"].as_str(), manifest["kind"].as_str()), (Some("normalize"), Some("transform")));
}

#[test]
fn the_example_is_as_it_says() {
    let config = include_str!("../examples/germany.json");
    let events = include_str!("../examples/events.ndjson").lines();
    let after: Vec<String> = events.map(|event| apply(config, event).unwrap_or_else(|| event.to_owned())).collect();
    assert_eq!(after.join("\n") + "\n", include_str!("../examples/events.germany.ndjson"));
}
