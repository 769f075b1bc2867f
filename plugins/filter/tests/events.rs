//! The transform as the engine sees it: canonical events in, outcomes out.

use filter::{Config, Filter};
use weft_domain::event::Event;
use weft_plugin::{Outcome, Transform, testing};

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

const EVENT: &str = r#"{"type":"track","name":"Order Completed","claims":[{"type":"email","value":"ann@shop.example"}],"properties":{"total":"37.90","n":12,"big":18446744073709551615,"tax":1.5,"none":null,"ok":true,"list":[1,2.0,"x",[3]],"Ä\n":{"b":1,"a":2}},"products":[{"id":"1","price":3},{"id":"2","price":18.95,"properties":{"tags":["new"]}}],"context":{"page":{"url":"https://shop.example/a"}}}"#;

#[test]
fn conditions_read_events() {
    let check = |condition: &str, want: bool| {
        assert_eq!(apply(keep(condition), EVENT), if want { Outcome::Keep } else { Outcome::Drop }, "{condition}");
    };
    check("event.name == 'Order Completed' && double(event.properties.total) > 10.0", true);
    check("event.properties.n > 10", true);
    check("event.properties.n > 11.5 && event.properties.n == 12u", true);
    check("event.properties.tax * 2.0 == 3.0", true);
    check("event.properties.big == 18446744073709551615u", true);
    check("event.properties.none == null", true);
    check("event.properties.ok", true);
    check("!event.properties.ok", false);
    check("event.properties.list == [1, 2.0, 'x', [3]]", true);
    check("event.properties.list[2] == 'x' && size(event.properties.list) == 4", true);
    check("event.properties['Ä\\n'].map(k, k) == ['b', 'a']", true);
    check("event.properties['Ä\\n'] == {'a': 2, 'b': 1} && {'a': 2} != event.properties['Ä\\n']", true);
    check("event.claims.exists(c, c.type == 'email' && c.value.endsWith('.example'))", true);
    check("event.products.all(p, p.price > 2)", true);
    check("event.products.exists(p, has(p.properties) && p.properties.tags.exists(t, t == 'new'))", true);
    check("event.products.filter(p, p.price > 10.0).size() == 1", true);
    check("event.context.page.url.startsWith('https://') && event.context.page.url.contains('shop')", true);
    check("event.type in ['page', 'screen']", false);
    check("'n' in event.properties && !('m' in event.properties)", true);
    check("type(event.properties.n) == int && type(event.properties) == map", true);
    check("has(event.properties.n) ? event.properties.n == 12 : true", true);
    check("true", true);
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
        let reject = Config { on_failure: filter::OnFailure::Reject, ..keep(condition) };
        assert!(matches!(apply(reject, page), Outcome::Reject(rejection) if rejection.code == "condition_failed"), "{condition}");
    }
    // What is absent does not matter where the rest decides.
    assert_eq!(apply(keep("event.properties.total > 1 || event.type == 'page'"), page), Outcome::Keep);
    assert_eq!(apply(keep("!has(event.properties)"), page), Outcome::Keep);
    let reject = Config { on_failure: filter::OnFailure::Reject, ..keep("event.properties.total > 1") };
    assert_eq!(apply(reject, page), Outcome::reject("condition_failed", "No such key: properties"));
}

#[test]
fn what_meets_a_condition_is_dropped_where_it_says_so() {
    let drop = |condition: &str| Config { drop: Some(condition.to_owned()), ..Config::default() };
    assert_eq!(apply(drop("event.type == 'page'"), r#"{"type":"page"}"#), Outcome::Drop);
    assert_eq!(apply(drop("event.type == 'page'"), r#"{"type":"screen"}"#), Outcome::Keep);
}

#[test]
fn what_is_too_much_fails() {
    let event = |list: String| format!(r#"{{"type":"page","properties":{{"list":{list}}}}}"#);
    let reject = |condition: &str| Config { on_failure: filter::OnFailure::Reject, ..keep(condition) };
    let message = |outcome: Outcome| match outcome {
        Outcome::Reject(rejection) => rejection.message,
        other => panic!("{other:?}"),
    };
    let long = event(format!("[{}]", vec!["1"; 1001].join(",")));
    assert!(message(apply(reject("event.properties.list.all(x, x == 1)"), &long)).ends_with("a list is too long"));
    let deep = event(format!("{}{}", "[".repeat(40), "]".repeat(40)));
    assert!(message(apply(reject("size(event.properties.list) == 1"), &deep)).ends_with("it is too deep"));
    assert_eq!(apply(keep("event.type == 'page'"), &deep), Outcome::Keep, "nobody looked there");
    assert!(matches!(open(keep("true")).apply_all(&[b"[]".to_vec()]).expect("no failure")[0], Outcome::Reject(_)));
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
    check("event.name == ", "at column 15: mismatched input the end", "");
    check("event.propertys.total > 1", "an event has no `propertys`", "did you mean `properties`?");
    check("has(event.context.pages)", "the context has no `pages`", "did you mean `page`?");
    check("event.claims.email == 'a'", "`event.claims` is a list", "as in event.claims.exists(c, c.type == 'email')");
    check("event.products.price > 1", "`products` is a list", "such as products[].price");
    check("name == 'x'", "there is no `name`", "did you mean event.name?");
    check("evnt.name == 'x'", "there is no `evnt`", "the event is `event`, as in event.properties.total");
    check("event.name.startswith('x')", "there is no function `startswith`", "did you mean `startsWith`?");
    check(
        "event.name.matches('x')",
        "there is no function `matches`",
        "there are size, contains, startsWith, endsWith, string, int, uint, double, bool, bytes, type, dyn, has, all, exists, exists_one, map, filter",
    );
    check(
        "event.products.all(p, event.products.all(q, p.id != q.id))",
        "a macro within another one goes over a part of that one's element",
        "as in event.products.exists(p, p.properties.tags.exists(t, t == 'new'))",
    );
    check(&format!("event.name == '{}'", "x".repeat(4096)), "the condition is longer than 4096 bytes", "");
    let told = |json: &str| Filter::validate(&testing::config(json).expect("of the right shape"))[0].message.clone();
    assert_eq!(told("{}"), "there is no condition");
    assert_eq!(told(r#"{"keep":"true","drop":"true"}"#), "there are two conditions");
    assert!(told(r#"{"keep":"true &&\n  || true"}"#).starts_with("at line 2, column 3: "));
    assert_eq!(
        told(&format!(r#"{{"keep":"{}true{}"}}"#, "(".repeat(25), ")".repeat(25))),
        "the condition is nested deeper than 24"
    );
    let manifest: serde_json::Value = serde_json::from_str(&weft_plugin::manifest_of_transform::<Filter>()).expect("JSON");
    assert_eq!((manifest["name"].as_str(), manifest["kind"].as_str()), (Some("filter"), Some("transform")));
}

#[test]
fn long_and_nested_conditions_fit_on_the_stack() {
    // Unoptimised, the parser takes several times what it takes in the sandbox.
    let thread = std::thread::Builder::new().stack_size(64 << 20).spawn(|| {
        open(keep(&format!("{}true{}", "(".repeat(24), ")".repeat(24))));
        open(keep(&format!("{}true", "!".repeat(4000))));
        open(keep(&format!("event.properties{} == 1", "[0]".repeat(1000))));
        open(keep(&format!("{}1 == 1", "1+".repeat(2000))));
    });
    thread.expect("a thread").join().expect("it ends");
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
