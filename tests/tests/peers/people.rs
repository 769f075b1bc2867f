//! Who there must be once an SDK has told its story, as the engine's pages show it.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use weft_tests::engine::{Engine, number};

/// Who there must be after the story of `story.mjs`, `story.py` and `story.html`.
pub(crate) fn of_calls(engine: &Engine, prefix: &str) {
    calls(engine, prefix, ["group", "identify", "page", "screen", "track", "track"], 20);
}

/// Who there must be after the story of `rudder.html`.
pub(crate) fn of_calls_without_screens(engine: &Engine, prefix: &str) {
    calls(engine, prefix, ["group", "identify", "page", "page", "track", "track"], 19);
}

/// Who there must be where Ann's events are of these types, and Carl clicked so often.
fn calls(engine: &Engine, prefix: &str, types: [&str; 6], clicks: u64) {
    let (name, email) = (|name: &str| format!("{prefix}-{name}"), |name: &str| format!("{prefix}-{name}@example.com"));
    let all = |kind: &str, value: &str, events: u64| whoever(engine, kind, value, events);
    let ann = all("user_id", &name("ann"), 6);
    assert_eq!(all("anonymous_id", &name("laptop"), 6)["customer_id"], ann["customer_id"], "what she did before is hers");
    assert_eq!(all("email", &email("ann"), 6)["customer_id"], ann["customer_id"]);
    let traits = json!({ "name": "Änn Doe", "email": email("ann"), "phone": "+493023125001", "vip": true });
    for (trait_name, value) in traits.as_object().expect("an object") {
        assert_eq!(ann["traits"][trait_name], *value, "{trait_name}");
    }
    assert_eq!(ann["groups"], json!([name("acme")]));
    let mut kinds = identifiers(&ann);
    kinds.sort();
    let want =
        [("anonymous_id", name("laptop")), ("email", email("ann")), ("phone", "+493023125001".into()), ("user_id", name("ann"))];
    assert_eq!(kinds, want.map(|(kind, value)| (kind.to_owned(), value)));

    let of_ann = events(engine, "user_id", &name("ann"));
    let mut found: Vec<&str> = of_ann.iter().filter_map(|event| event["type"].as_str()).collect();
    found.sort_unstable();
    assert_eq!(found, types);
    let order = of_ann.iter().find(|event| event["name"] == "Order Completed").expect("her order");
    // The SDKs' clocks are this machine's: what they say of the time is corrected by their way alone.
    assert!(order["occurred"].as_str().is_some_and(|at| at.starts_with("2026-03-01T1")), "{order}");
    assert_eq!(order["properties"]["total"].to_string(), "29.9", "a sum stays the decimal that it was");
    assert_eq!(order["products"].as_array().map(Vec::len), Some(1), "{order}");

    let bob = all("user_id", &name("bob"), 6);
    assert_eq!(all("user_id", &name("bobby"), 6)["customer_id"], bob["customer_id"], "an alias is one person");
    assert_eq!(all("email", &email("bob"), 6)["customer_id"], bob["customer_id"]);
    all("user_id", &name("carl"), 20);
    let of_carl = events(engine, "user_id", &name("carl"));
    let clicked = of_carl.iter().filter(|event| event["name"] == "Clicked").map(|event| number(event, "/properties/number"));
    assert_eq!(clicked.collect::<BTreeSet<u64>>(), (0..clicks).collect());
    assert_eq!(number(&engine.settle(), "/totals/customers"), 3);
}

/// Who there must be after the story of `batches.mjs` and `batches.py`.
pub(crate) fn of_batches(engine: &Engine, prefix: &str) {
    let (name, email) = (|name: &str| format!("{prefix}-{name}"), |name: &str| format!("{prefix}-{name}@example.com"));
    let ann = whoever(engine, "user_id", &name("ann"), 5);
    assert_eq!(
        whoever(engine, "anonymous_id", &name("laptop"), 5)["customer_id"],
        ann["customer_id"],
        "what she did before is hers"
    );
    assert_eq!(whoever(engine, "phone", "+493023125001", 5)["customer_id"], ann["customer_id"]);
    let traits = json!({ "first_name": "Änn", "email": email("ann"), "phone": "+493023125001", "vip": "true" });
    assert_eq!((&ann["traits"], &ann["consent"]), (&traits, &json!({ "gdpr": { "marketing": true } })));
    let of_ann = events(engine, "user_id", &name("ann"));
    assert_eq!(named(&of_ann), ["Home", "Order Completed", "Product Searched", "Session Started", "Thanks"]);
    let order = of_ann.iter().find(|event| event["name"] == "Order Completed").expect("her order");
    assert_eq!(order["occurred"], "2026-03-01T12:00:00.000Z");
    assert_eq!(order["properties"].to_string(), r#"{"currency":"EUR","order_id":"o-1","total":29.9}"#);
    assert_eq!(order["products"][0].to_string(), r#"{"id":"p-102","price":14.95,"quantity":2}"#);

    let bob = whoever(engine, "user_id", &name("bob"), 4);
    assert_eq!(whoever(engine, "email", &email("bob"), 4)["customer_id"], bob["customer_id"]);
    assert_eq!(bob["traits"], json!({ "email": email("bob"), "plan": "pro" }));
    assert_eq!(
        named(&events(engine, "user_id", &name("bob"))),
        ["Product Viewed", "Product Viewed", "Product Viewed", "identify"]
    );
    whoever(engine, "user_id", &name("carl"), 20);
    let of_carl = events(engine, "user_id", &name("carl"));
    let clicks: BTreeSet<&str> = of_carl.iter().filter_map(|event| event["properties"]["number"].as_str()).collect();
    assert_eq!(clicks.len(), 20, "{clicks:?}");
    assert_eq!(number(&engine.settle(), "/totals/customers"), 3);
}

/// Who there must be after the story of `shop.html`.
pub(crate) fn of_a_page(engine: &Engine, prefix: &str) {
    let (name, email) = (|name: &str| format!("{prefix}-{name}"), |name: &str| format!("{prefix}-{name}"));
    let ann = whoever(engine, "user_id", &name("ann"), 15);
    assert_eq!(whoever(engine, "email", &email("ann@work.example"), 15)["customer_id"], ann["customer_id"]);
    assert!(engine.profile("email", &email("ann@example.com")).is_none(), "she has changed her address");
    let traits = json!({ "email": email("ann@work.example"), "first_name": "Änn", "phone": "+493023125001", "vip": true });
    assert_eq!((&ann["traits"], &ann["consent"]), (&traits, &json!({ "gdpr": { "marketing": true } })));
    let of_ann = events(engine, "user_id", &name("ann"));
    let mut want =
        ["Application Opened", "Home", "Order Completed", "Product Searched", "Product Viewed", "Promotion Clicked"].to_vec();
    // Her identities and attributes as they came to be, and the calls that named her.
    want.extend(["Session Started"].iter().chain(&["identify"; 8]));
    assert_eq!(named(&of_ann), want);
    let home = of_ann.iter().find(|event| event["name"] == "Home").expect("the page");
    assert_eq!((&home["type"], &home["properties"]), (&json!("page"), &json!({ "section": "shop" })));
    let order = of_ann.iter().find(|event| event["name"] == "Order Completed").expect("her order");
    assert_eq!(order["properties"].to_string(), r#"{"currency":"EUR","order_id":"o-1","tax":4.77,"total":29.9}"#);
    assert_eq!(order["products"][0]["category"], "Games");
    // By the device's mpid and by hers: she is one, before and after.
    let mpids = identifiers(&ann).into_iter().filter(|(kind, _)| kind == "mpid").count();
    assert_eq!(mpids, 2, "{ann}");

    let bob = whoever(engine, "user_id", &name("bob"), 12);
    assert_ne!(bob["customer_id"], ann["customer_id"], "he sits at the same browser, and is another");
    assert_eq!(events(engine, "user_id", &name("bob")).iter().filter(|event| event["name"] == "Clicked").count(), 10);
    assert_eq!(number(&engine.settle(), "/totals/customers"), 2);
}

/// Who there must be after the story of `identity.html`: Ann by her new address alone, with what two other mpids were.
pub(crate) fn of_calls_about_identity(engine: &Engine, prefix: &str) {
    let page = engine.profile("user_id", &format!("{prefix}-ann")).expect("Ann is known");
    let of = |kind: &str| {
        let all = identifiers(&page["profile"]).into_iter();
        all.filter(|(of, _)| of == kind).map(|(_, value)| value).collect::<Vec<_>>()
    };
    assert_eq!(of("email"), [format!("{prefix}-new@example.com")]);
    assert_eq!(of("other"), [format!("{prefix}-card"), format!("{prefix}-leaflet")]);
    assert!(of("mpid").len() >= 3, "{page}");
    assert!(engine.profile("email", &format!("{prefix}-old@example.com")).is_none());
    // Asked again, she is still so: the address that was changed is set aside by each claim that names it.
    let claims = page["claims"].as_array().expect("claims");
    let aside = claims.iter().filter_map(|claim| claim["set_aside"].as_array()).flatten().map(|aside| &aside["guard"]);
    assert!(aside.clone().count() > 0 && aside.into_iter().all(|guard| guard == "separated"), "{page}");
    // The alias and the wrong search left one dead letter: what is said may be said right, what is asked is not kept.
    assert_eq!(number(&engine.settle(), "/totals/letters"), 1);
}

fn identifiers(profile: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = profile["identifiers"].as_array().expect("a profile has identifiers");
    list.iter().map(|identifier| (text(&identifier["type"]), text(&identifier["value"]))).collect()
}

/// Whoever is known by an identifier, with so many events.
fn whoever(engine: &Engine, kind: &str, value: &str, events: u64) -> Value {
    let page = engine.profile(kind, value).unwrap_or_else(|| panic!("nobody is known by {kind} {value}"));
    assert_eq!(number(&page, "/profile/events_total"), events, "{value}");
    page["profile"].clone()
}

/// The events of whoever is known by an identifier, the latest first.
fn events(engine: &Engine, kind: &str, value: &str) -> Vec<Value> {
    let page = engine.page(&format!("/api/v1/profiles/{kind}/{value}/events")).1;
    let events = page["events"].as_array().unwrap_or_else(|| panic!("no events of {value}: {page}"));
    events.iter().map(|event| event["event"].clone()).collect()
}

/// The names of events, or their types where they have none, sorted.
fn named(events: &[Value]) -> Vec<&str> {
    let mut names: Vec<&str> = events.iter().filter_map(|event| event["name"].as_str().or(event["type"].as_str())).collect();
    names.sort_unstable();
    names
}
