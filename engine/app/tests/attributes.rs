//! Attributes of an engine with history: one that is new counts what was there before it, over restarts and a rebuild; and a profile can be
//! asked for as of any instant.

use std::path::Path;
use std::time::Duration;

use weft::clock::Clock;
use weft::engine::{Engine, Settings, Stages, Terms};
use weft::events::Who;
use weft::intake::Arrived;
use weft::past;
use weft::vault::{DataFolder, Vault};
use weft_domain::attribute::{Attribute, Calculation, Meaning, Of, Window};
use weft_domain::event::{Environment, Event};
use weft_domain::input::{Arrival, Named};
use weft_domain::plan::Plan;
use weft_domain::portrait::{Portrait, portray};
use weft_domain::value::Timestamp;
use weft_domain::view::View;

const DAY: i64 = 86_400_000;

fn noon() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().expect("valid")
}

fn spent(window: Window) -> Attribute {
    let of = Of::Path("properties.total".to_owned().try_into().expect("a path"));
    let events = vec!["Order Completed".to_owned()];
    Attribute::new("spent", Meaning { calculation: Calculation::Sum, of, events, kind: None, condition: None, window })
}

async fn start(data: &Path, clock: &Clock, attributes: Vec<Attribute>) -> Engine {
    let plan = Plan { profile_lanes: vec!["lake".into()], attributes, ..Plan::default() };
    let terms = Terms { plan, ..Terms::default() };
    let settings = Settings { data: DataFolder::at(data), listen: None, terms, clock: clock.clone() };
    Engine::start(settings, async |_| Ok(Stages::default()), |_| ()).await.expect("the engine starts")
}

/// Orders of people by their numbers, so many days ago each.
async fn order(engine: &Engine, clock: &Clock, orders: &[(usize, i64, &str)]) {
    let mut arrived = Arrived::default();
    for (person, days, total) in orders {
        let text = format!(
            r#"{{"type":"track","name":"Order Completed","occurred":"{}","claims":[{{"type":"user_id","value":"u{person}"}}],"traits":{{"last_total":{total}}},"properties":{{"total":{total}}}}}"#,
            clock.now().plus_ms(-days * DAY)
        );
        let mut event = Event::parse(text.as_bytes()).expect("a valid event");
        event.stamp(clock.now(), Environment::Production);
        arrived.push(&Arrival::Event { source: "shop", named: Named::ByPlace, json: &event.to_json() });
    }
    engine.intake().append(arrived).await.expect("intake takes them");
    engine.caught_up().await;
    assert_eq!(engine.report().trouble, None);
    engine.ledger().commit().await;
}

async fn built(engine: &Engine) {
    while !engine.ledger().state().standings().passes.is_empty() {
        assert_eq!(engine.report().trouble, None);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn who(person: usize) -> Who {
    Who::Identifier("user_id".into(), format!("u{person}"))
}

fn value(portrait: &Portrait, name: &str) -> Option<String> {
    portrait.explained.profile.attributes.get(name).map(|value| value.text().to_owned())
}

fn now(engine: &Engine, clock: &Clock, person: usize) -> Option<String> {
    let state = engine.ledger().state();
    let id = who(person).today(&*state).expect("readable").expect("a customer");
    let portrait = portray(state.plan(), &*state, id, clock.now()).expect("readable").expect("a customer");
    value(&portrait, "spent")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_attribute_counts_what_was_there_before_it() {
    const PEOPLE: usize = 700;
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::at(noon());
    let engine = start(folder.path(), &clock, Vec::new()).await;
    // More than a page of the index for one of them, so that full pages are read as well.
    let mut orders: Vec<(usize, i64, &str)> = (0..PEOPLE).map(|person| (person, 10, "1.10")).collect();
    orders.extend((0..200).map(|_| (7, 3, "0.01")));
    order(&engine, &clock, &orders).await;
    engine.stop().await.expect("an orderly stop");

    // Stopped while it is being built, or not: what is left is done by the next one, and what comes meanwhile counts once.
    let engine = start(folder.path(), &clock, vec![spent(Window::Ever)]).await;
    order(&engine, &clock, &[(7, 0, "5"), (PEOPLE, 0, "9.99")]).await;
    engine.stop().await.expect("an orderly stop");
    let engine = start(folder.path(), &clock, vec![spent(Window::Ever)]).await;
    built(&engine).await;
    for person in 0..=PEOPLE {
        let want = if person == 7 { "8.1" } else { ["1.1", "9.99"][person / PEOPLE] };
        assert_eq!(now(&engine, &clock, person).as_deref(), Some(want), "u{person}");
    }
    let report = engine.report();
    assert_eq!(report.attributes.len(), 1);
    assert_eq!((report.attributes[0].building, report.attributes[0].missing_total), (None, 0));
    clock.set(clock.now().plus_ms(5_000));
    engine.settle().await;
    // Destinations heard of it: of the last delivery of each, what the profile says.
    let told = {
        let state = engine.ledger().state();
        let last = state.lane("lake").expect("readable").profiles_next;
        (0..last)
            .filter_map(|number| state.delivery("lake", number).expect("readable"))
            .filter(|text| text.contains(r#""spent":1.1"#))
            .count()
    };
    assert!(told >= PEOPLE - 1, "{told}");
    engine.stop().await.expect("an orderly stop");

    // Another window is another meaning: what was kept of the other is taken away.
    let engine = start(folder.path(), &clock, vec![spent(Window::Within(5 * DAY))]).await;
    built(&engine).await;
    assert_eq!(now(&engine, &clock, 0).as_deref(), Some("0"));
    assert_eq!(now(&engine, &clock, 7).as_deref(), Some("7"));
    clock.set(clock.now().plus_ms(2 * DAY));
    assert_eq!(now(&engine, &clock, 7).as_deref(), Some("5"), "what left the window does not count");
    engine.settle().await;
    engine.ledger().commit().await;
    engine.stop().await.expect("an orderly stop");

    let kept = Vault::open(&DataFolder::at(folder.path()), |_| ()).expect("opens");
    let hash = kept.state_hash().expect("readable");
    drop(kept);
    let rebuilt = Vault::rebuild(&DataFolder::at(folder.path()), |_| ()).expect("rebuilds");
    assert_eq!(rebuilt.state_hash().expect("readable"), hash);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_can_be_asked_for_as_of_any_instant() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = Clock::at(noon());
    let attributes = vec![spent(Window::Within(5 * DAY)), Attribute::of_trait("last_total", Calculation::First)];
    let mut sorted = attributes.clone();
    sorted.sort_by_key(|attribute| attribute.id);
    let engine = start(folder.path(), &clock, sorted).await;
    order(&engine, &clock, &[(1, 20, "1"), (1, 16, "2")]).await;
    // It came late, and counts from when it occurred.
    order(&engine, &clock, &[(1, 18, "4"), (1, 0, "8")]).await;
    let check = |days: i64, want: Option<(&str, &str, u64)>| {
        let at = noon().plus_ms(-days * DAY);
        let ledger = engine.ledger();
        let portrait = past::portray(|| ledger.state(), ledger.history(), &who(1), at).expect("readable");
        let found = portrait.as_ref().map(|portrait| {
            let profile = &portrait.explained.profile;
            assert_eq!(portrait.more.as_of, Some(at));
            (value(portrait, "spent").unwrap_or_default(), profile.traits["last_total"].text(), profile.events_total)
        });
        assert_eq!(found.as_ref().map(|(spent, first, events)| (&**spent, *first, *events)), want, "{days} days ago");
    };
    check(21, None);
    check(20, Some(("1", "1", 1)));
    check(17, Some(("5", "1", 2)));
    check(16, Some(("7", "1", 3)));
    check(15, Some(("6", "1", 3)));
    check(1, Some(("0", "1", 3)));
    check(0, Some(("8", "1", 4)));
    engine.stop().await.expect("an orderly stop");
}
