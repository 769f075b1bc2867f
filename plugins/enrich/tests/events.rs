//! The transform as the engine sees it: canonical events in, outcomes out.

use enrich::Enrich;
use weft_domain::event::Event;
use weft_plugin::{Outcome, Transform, testing};

fn open(config: &str) -> Enrich {
    let config = testing::config(config).expect("a valid configuration");
    assert_eq!(Enrich::validate(&config), []);
    Enrich::open(config).expect("it opens")
}

fn apply(config: &str, event: &str) -> Outcome {
    Event::parse(event.as_bytes()).expect("a canonical event");
    let outcome = open(config).apply_all(&[event.as_bytes().to_vec()]).expect("no failure").remove(0);
    if let Outcome::Replace(bytes) = &outcome {
        Event::parse(bytes).expect("still a canonical event");
    }
    outcome
}

/// A join of countries to properties, and more options.
fn countries(more: &str) -> String {
    format!(
        r#"{{"table":"code,name\nDE,Germany\nCH,\n1,One\n","key":"code","on":"properties.code","add":{{"properties.country":"name"}}{more}}}"#
    )
}

fn check(more: &str, properties: &str, want: &str) {
    let event = |properties: &str| format!(r#"{{"type":"page","properties":{{{properties}}}}}"#);
    let want = if want == properties { Outcome::Keep } else { Outcome::Replace(event(want).into_bytes()) };
    assert_eq!(apply(&countries(more), &event(properties)), want, "{more} {properties}");
}

#[test]
fn what_the_table_has_is_added() {
    check("", r#""code":"DE","n":1.50"#, r#""code":"DE","n":1.50,"country":"Germany""#);
    check("", r#""code":1"#, r#""code":1,"country":"One""#);
    check("", r#""code":"DE","country":"Germany""#, r#""code":"DE","country":"Germany""#);
    check("", r#""code":"DE","country":"x""#, r#""code":"DE","country":"Germany""#);
    check(r#","existing":"keep""#, r#""code":"DE","country":"x""#, r#""code":"DE","country":"x""#);
    check(r#","existing":"keep""#, r#""code":"DE","country":null"#, r#""code":"DE","country":"Germany""#);
    for left in
        [r#""code":"CH""#, r#""code":"de""#, r#""code":"FR""#, r#""code":["DE"]"#, r#""code":null"#, r#""code":1.0"#, r#""n":1"#]
    {
        check("", left, left);
    }
    check(r#","case":"ignored""#, r#""code":"de""#, r#""code":"de","country":"Germany""#);
    check(r#","for":{"types":["track"]}"#, r#""code":"DE""#, r#""code":"DE""#);
}

#[test]
fn what_the_table_has_not_is_left_defaulted_or_refused() {
    let default = r#","missing":{"default":{"properties.country":7}}"#;
    check(default, r#""code":"FR""#, r#""code":"FR","country":7"#);
    check(default, r#""code":"CH""#, r#""code":"CH""#);
    check(default, r#""n":1"#, r#""n":1"#);
    let outcome = apply(&countries(r#","missing":"reject""#), r#"{"type":"page","properties":{"code":"FR"}}"#);
    assert_eq!(outcome, Outcome::reject("not_in_table", "the table has no key that is `properties.code` of this event"));
    assert_eq!(apply(&countries(r#","missing":"reject""#), r#"{"type":"page"}"#), Outcome::Keep);
}

#[test]
fn a_configuration_is_checked() {
    let check = |config: &str, path: &str, message: &str| {
        let config = testing::config(config).expect("of the right shape");
        let problems = Enrich::validate(&config);
        let told: Vec<_> = problems.iter().map(|problem| (problem.path.as_str(), problem.message.as_str())).collect();
        assert_eq!(told, [(path, message)]);
        assert!(Enrich::open(config).is_err());
    };
    let join = |on: &str, to: &str| format!(r#"{{"table":"k,v\na,b\n","key":"k","on":"{on}","add":{{"{to}":"v"}}}}"#);
    check(&join("propertys.a", "properties.b"), "/on", "an event has no `propertys`");
    check(&join("properties.a", "context.x/y"), "/add/context.x~1y", "the context has no `x/y`");
    check(&join("properties.a", "claims.b"), "/add/claims.b", "`claims.b` is not for a table to say");
    check(&join("properties.a", "products[].id"), "/add/products[].id", "it is many places, and there is one key");
    check(&join("products[].id", "properties.a"), "/add/properties.a", "it is to be within `products[]`, as the key is");
    check(&join("products[]", "properties.a"), "/on", "it goes through one list, to a field of its elements");
    let table =
        |table: &str, more: &str| format!(r#"{{"table":"{table}","key":"k","on":"name","add":{{"properties.v":"v"}}{more}}}"#);
    check(&table("k,w\\na,b\\n", ""), "/add", "the table has no column `v`");
    check(&table("l,v\\na,b\\n", ""), "/key", "the table has no column `k`");
    check(&table("k,v\\na,b\\n\\n\\\"x\\ny\\\",1\\na,c\\n", ""), "/table", "the key `a` on line 6 stands on line 2 already");
    check(&table("k,v\\na,b\\nA,c\\n", r#","case":"ignored""#), "/table", "the key `A` on line 3 stands on line 2 already");
    check(&table("k,v\\na,b,c\\n", ""), "/table", "line 2 has not as many values as there are columns");
    check(&table("k,v\\n,b\\n", ""), "/table", "the key on line 2 is empty, or longer than 512 bytes");
    check(&table("k,v\\n", ""), "/table", "the table has no rows");
    check(&table("{}", r#","format":"ndjson""#), "/table", "line 1 has no `k` that is a string or a number");
    check(&table(r#"{\"k\":1}"#, r#","format":"ndjson""#), "/add", "no line of the table has `v`");
    check(
        &table("k,v\\na,b\\n", r#","missing":{"default":{"name":1}}"#),
        "/missing/default",
        "`name` is not among what is added",
    );
    let rows: String = (0..=50_000).map(|row| format!("{row},x\\n")).collect();
    check(&table(&format!("k,v\\n{rows}"), ""), "/table", "the table has more than 50000 rows");
    check(&table(&format!("k,v\\na,{}\\n", "x".repeat(2 << 20)), ""), "/table", "the table has more than 2097152 bytes");
    let manifest: serde_json::Value = serde_json::from_str(&weft_plugin::manifest_of_transform::<Enrich>()).expect("JSON");
    assert_eq!((manifest["name"].as_str(), manifest["kind"].as_str()), (Some("enrich"), Some("transform")));
}

#[test]
fn the_examples_are_as_they_say() {
    for (config, after) in [
        (include_str!("../examples/products.json"), include_str!("../examples/events.products.ndjson")),
        (include_str!("../examples/accounts.json"), include_str!("../examples/events.accounts.ndjson")),
    ] {
        let lines = include_str!("../examples/events.ndjson").lines().map(|event| match apply(config, event) {
            Outcome::Keep => event.to_owned(),
            Outcome::Replace(bytes) => String::from_utf8(bytes).expect("UTF-8"),
            other => panic!("{other:?}"),
        });
        assert_eq!(lines.collect::<Vec<_>>().join("\n") + "\n", after);
    }
}
