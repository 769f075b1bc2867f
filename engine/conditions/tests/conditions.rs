//! What conditions mean, what is wrong with wrong ones, and what they may cost.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use weft_conditions::{Condition, Place, json, limits};

/// `table.json`: conditions, and which events meet them. The engine's rules and the plugin `filter` are held to the same table.
#[derive(Deserialize)]
struct Table {
    events: BTreeMap<String, Box<RawValue>>,
    conditions: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    condition: String,
    /// The events that meet it.
    #[serde(default)]
    met: Vec<String>,
    /// The events over which it fails. All others do not meet it.
    #[serde(default)]
    fails: Vec<String>,
}

fn ask(condition: &str, event: &str) -> Result<bool, String> {
    Condition::parse(condition).expect(condition).ask(json::document(event).expect("an object"))
}

#[test]
fn conditions_mean_what_the_table_says() {
    let Table { events, conditions } = serde_json::from_str(include_str!("table.json")).expect("a table");
    for Row { condition, met, fails } in conditions {
        let named: Vec<&String> = met.iter().chain(&fails).filter(|name| !events.contains_key(*name)).collect();
        assert!(named.is_empty(), "{condition}: there are no events {named:?}");
        for (name, event) in &events {
            let want = (!fails.contains(name)).then(|| met.contains(name));
            assert_eq!(ask(&condition, event.get()).ok(), want, "{condition}: {name}");
            let fields = json::document(event.get()).expect("an object");
            assert_eq!(Condition::parse(&condition).expect("read before").is_met(fields), want == Some(true));
        }
    }
}

#[test]
fn what_a_condition_fails_over_is_told() {
    let check = |condition: &str, event: &str, want: &str| assert_eq!(ask(condition, event), Err(want.to_owned()), "{condition}");
    check("event.properties.total > 1", r#"{"type":"page"}"#, "No such key: properties");
    check("event.type", r#"{"type":"page"}"#, "the condition is neither true nor false");
    let of = |list: &str| format!(r#"{{"properties":{{"list":{list}}}}}"#);
    let long = of(&format!("[{}]", ["1"; limits::ELEMENTS_MAX + 1].join(",")));
    check("event.properties.list.all(x, x == 1)", &long, "Error executing function 'event': a list is too long");
    let deep = of(&format!("{}{}", "[".repeat(40), "]".repeat(40)));
    check("size(event.properties.list) == 1", &deep, "Error executing function 'event': it is too deep");
    assert_eq!(ask("has(event.properties)", &deep), Ok(true), "nobody looked there");
    check("event.properties.list != ''", &of(r#""\ud800""#), "Error executing function 'event': a string is no text");
    check("event.properties.list != {}", &of(r#"{"\ud800":1}"#), "Error executing function 'event': a name is no text");
}

#[test]
fn mistakes_are_told_with_their_place() {
    let check = |text: &str, want: &[&str]| {
        let told: Vec<String> = Condition::parse(text).expect_err(text).iter().map(ToString::to_string).collect();
        assert_eq!(told, want, "{text}");
    };
    let at = |column: usize, what: &str, hint: &str| match hint {
        "" => format!("{what}, at column {column} of the condition"),
        hint => format!("{what}, at column {column} of the condition: {hint}"),
    };
    let one = |text: &str, column: usize, what: &str, hint: &str| check(text, &[&at(column, what, hint)]);
    // What is no CEL.
    one("", 1, "it ends too early", "");
    one("event.name == ", 15, "it ends too early", "");
    one("event.name == 'é')", 18, "`)` does not belong there", "");
    one("(event.name", 12, "missing ')' at the end", "");
    one("has(event)", 5, "invalid argument to has() macro", "");
    one("event.name = 'x'", 12, "`=` does not belong there", "did you mean `==`?");
    one("event.name == \"x", 15, "a quote is not closed", "");
    // What an event does not have.
    one("event.propertis.total > 5", 7, "an event has no `propertis`", "did you mean `properties`?");
    one("event['propertis'] == 1", 6, "an event has no `propertis`", "did you mean `properties`?");
    one("event.?propertis == 1", 8, "an event has no `propertis`", "did you mean `properties`?");
    one("'é' == event . nmae", 16, "an event has no `nmae`", "did you mean `name`?");
    one("has(event.context.pages)", 1, "the context has no `pages`", "did you mean `page`?");
    one("event.context.ip.v4 == '1'", 18, "`ip` has no parts", "");
    one("event.properties[0] == 1", 17, "`properties` is an object", "its parts have names");
    one("event.claims.email == 'a'", 14, "`claims` is a list", "as in `event.claims.exists(c, c.type == 'email')`");
    one("event.products.price > 1", 16, "`products` is a list", "as in `event.products.exists(p, p.price > 100)`");
    one("event.products[0].prize > 1", 19, "a product has no `prize`", "did you mean `price`?");
    one("event.products.exists(p, p.prize > 3)", 28, "a product has no `prize`", "did you mean `price`?");
    one("event.products.filter(p, p.price > 3).all(q, q.prize > 1)", 48, "a product has no `prize`", "did you mean `price`?");
    // What there is not.
    one("properties.total > 5", 1, "there is no `properties`", "did you mean `event.properties`?");
    one("nmae == 'x'", 1, "there is no `nmae`", "did you mean `event.name`?");
    one("evnt.name == 'x'", 1, "there is no `evnt`", "did you mean `event`?");
    one("a == 'x'", 1, "there is no `a`", "the event is `event`, as in `event.properties.total`");
    one("event.name.startswith('x')", 12, "there is no function `startswith`", "did you mean `startsWith`?");
    one("event.products.exist(p, p.price > 1)", 16, "there is no function `exist`", "did you mean `exists`?");
    let all = "there are size, contains, startsWith, endsWith, string, int, uint, double, bool, bytes, type, dyn, has, all, exists, exists_one, map, filter";
    one("event.name.matches('x')", 12, "there is no function `matches`", all);
    let called = "`exists` is called on a list, with a name and what is asked of each";
    one("event.products.exists(p)", 16, called, "as in `event.products.exists(p, p.price > 100)`");
    one("Foo{a: 1}", 4, "a condition makes no messages", "");
    // All of it at once, in the order of the text, and none twice.
    check(
        "event.nmae == 'x'\n  || size(evnt) > event.nmae",
        &[
            "an event has no `nmae`, at line 1, column 7 of the condition: did you mean `name`?",
            "there is no `evnt`, at line 2, column 11 of the condition: did you mean `event`?",
            "an event has no `nmae`, at line 2, column 25 of the condition: did you mean `name`?",
        ],
    );
    let mistakes = Condition::parse("event.type ==\n ==").expect_err("no CEL");
    assert_eq!(mistakes[0].place, Some(Place { line: Some(2), column: 2 }));
}

#[test]
fn macros_do_not_multiply() {
    let refused = |text: &str, want: &str| {
        let mistakes = Condition::parse(text).expect_err(text);
        assert_eq!(mistakes.iter().map(|mistake| &*mistake.what).collect::<Vec<_>>(), [want], "{text}");
    };
    let within = "a macro within another one goes over a part of that one's element";
    refused("event.products.exists(p, event.products.exists(q, p.id == q.id))", within);
    refused("event.products.exists(p, [p, p].exists(q, q.id == '1'))", within);
    // Each over the same list of one element: three of them would look a thousand million times.
    let same = "event.products.exists(p, p.properties.a.exists(x, p.properties.a.exists(y, x == y)))";
    refused(same, within);
    let made = "a macro does not go over what `map` made";
    refused("event.products.map(p, event).exists(e, e.products.exists(q, q.id == '1'))", made);
    refused("event.products.map(p, [p, p]).map(p, [p, p]).size() > 1", made);
    refused("[event.products.map(p, p)][0].exists(p, p.id == '1')", made);
    for right in [
        "event.products.exists(p, p.properties.tags.exists(t, t.names.exists(n, n == 'a')))",
        "event.products.exists(p, p.properties.tags.exists(t, t == '1') && p.properties.sizes.exists(s, s == 'm'))",
        "event.products.exists(p, p.properties.tags.filter(t, t != '').exists(t, t == '1'))",
        "event.products.filter(p, p.price > 1).map(p, p.price) == [1]",
        "(event.properties.a + event.properties.b).exists(x, x == 1)",
        "[event.properties.a, event.properties.b].exists(x, x > 1)",
    ] {
        assert!(Condition::parse(right).is_ok(), "{right}");
    }
}

#[test]
fn what_is_too_much_is_refused() {
    let check = |text: String, want: &str| {
        let mistakes = Condition::parse(&text).expect_err("too much");
        assert_eq!(mistakes.iter().map(ToString::to_string).collect::<Vec<_>>(), [want]);
    };
    check(format!("event.name == '{}'", "x".repeat(4096)), "the condition is longer than 4096 bytes");
    check(format!("{}true{}", "(".repeat(25), ")".repeat(25)), "the condition is nested deeper than 24");
    check(format!("{}1 == 1", "1+".repeat(500)), "the condition has more than 500 operators");
    check(format!("{}true", "1 in ".repeat(501)), "the condition has more than 500 operators");
    check(format!("event.properties{} == 1", "[0]".repeat(500)), "the condition has more than 500 operators");
    // What CEL may take for code is counted, also where it may be a string.
    check(format!(r"'\' + {}'", "1+".repeat(500)), "the condition has more than 500 operators");
    let names = vec!["'a.b-c/d'"; 400].join(",");
    assert!(Condition::parse(&format!("event.name in [{names}]")).is_ok(), "strings are no operators");
}

#[test]
fn the_longest_conditions_take_little_of_a_stack() {
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(|| {
        for text in [
            format!("{}true{}", "(".repeat(24), ")".repeat(24)),
            format!("{}true", "!".repeat(4000)),
            format!("event.properties.a{} == 1", "[0]".repeat(490)),
            format!("event.properties{} == 1", ".a".repeat(490)),
            format!("{}1 == 1", "1+".repeat(499)),
            format!("{}1 == 1{}", "(1+".repeat(20), ")".repeat(20) + &"+1".repeat(470)),
            format!("{}1", "1 in ".repeat(500)),
            format!("{}true", "true||".repeat(600)),
        ] {
            let condition = Condition::parse(&text).expect(&text);
            let again = condition.ask(json::document(r#"{"properties":{"a":[]}}"#).expect("an object"));
            assert!(again != Ok(true) || text.ends_with("true") || text.contains("(true"), "{text}");
        }
    });
    thread.expect("a thread").join().expect("it ends");
}

#[test]
fn what_was_written_down_is_read_as_it_was() {
    let read = |text: &str| serde_json::from_value::<Condition>(text.into());
    // As if `zones` and `lower` had been there once.
    for text in ["event.zones == 1", "event.name.lower() == 'x'", "event.products.map(p, p).exists(p, p.price > 1)"] {
        assert!(Condition::parse(text).is_err());
        let condition = read(text).expect("it could be read once");
        assert_eq!(serde_json::to_value(&condition).expect("JSON"), text);
        assert_eq!((condition.text(), &condition), (text, &condition.clone()));
    }
    assert_eq!(read("event.name ==").expect_err("no CEL").to_string(), "it ends too early, at column 14 of the condition");
    assert!(read(&"1+".repeat(1000)).is_err(), "it could not be asked");
}
