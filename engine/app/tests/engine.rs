//! The engine without plugins: events put into intake become customers, survive every way of stopping, and can be folded anew
//! to the same state (invariants 1 to 5).

use std::path::Path;
use std::sync::Arc;

use weft::clock::Clock;
use weft::engine::{Engine, Settings, Stages, Terms};
use weft::intake::Arrived;
use weft::limits;
use weft::vault::{DataFolder, Vault};
use weft::writer::Full;
use weft_domain::event::{Environment, Event};
use weft_domain::explain::{explain, whose};
use weft_domain::input::{Arrival, Command, Input, Kv, Named};
use weft_domain::plan::Plan;
use weft_domain::value::Timestamp;
use weft_domain::view::View;
use weft_store::files::Disk;
use weft_store::log::{Log, Options, Record};

fn settings(data: &Path, clock: &Clock) -> Settings {
    Settings {
        data: DataFolder::at(data),
        listen: None,
        terms: Terms { plan: Plan { profile_lanes: vec!["lake".into()], ..Plan::default() }, ..Terms::default() },
        clock: clock.clone(),
    }
}

async fn start(data: &Path, clock: &Clock) -> Engine {
    Engine::start(settings(data, clock), async |_| Ok(Stages::default()), |_| ()).await.expect("the engine starts")
}

fn noon() -> Clock {
    Clock::at("2026-03-01T12:00:00Z".parse().expect("valid"))
}

/// Puts events into intake, as a door would.
async fn tell(engine: &Engine, events: &[&str], received: Timestamp) {
    let mut arrived = Arrived::default();
    for json in events {
        let mut event = Event::parse(json.as_bytes()).expect("a valid event");
        event.stamp(received, Environment::Production);
        let named = if event.message_id.is_some() { Named::BySender } else { Named::ByPlace };
        arrived.push(&Arrival::Event { source: "web", named, json: &event.to_json() });
    }
    engine.intake().append(arrived).await.expect("intake takes them");
    folded(engine).await;
}

async fn folded(engine: &Engine) {
    engine.caught_up().await;
    assert_eq!(engine.report().trouble, None);
}

fn names(engine: &Engine, kind: &str, value: &str) -> String {
    let state = engine.ledger().state();
    let Some(id) = whose(&*state, kind, value).expect("readable") else { return "nobody".into() };
    let explained = explain(&*state, id).expect("readable").expect("a customer");
    let identifiers: Vec<&str> = explained.profile.identifiers.iter().map(|one| &*one.value).collect();
    format!("{} {} events", identifiers.join(" "), explained.profile.events_total)
}

const VISIT: &str = r#"{"type":"page","message_id":"m1","claims":[{"type":"anonymous_id","value":"a1"}]}"#;
const SIGN_UP: &str = r#"{"type":"identify","message_id":"m2","claims":[{"type":"anonymous_id","value":"a1"},{"type":"user_id","value":"ann"}],"traits":{"city":"Bonn"}}"#;
const PHONE: &str = r#"{"type":"track","name":"Opened","message_id":"m3","claims":[{"type":"anonymous_id","value":"a2"},{"type":"user_id","value":"ann"}]}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_visitor_on_two_devices_is_one_customer_after_any_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = noon();
    let engine = start(folder.path(), &clock).await;
    tell(&engine, &[VISIT, VISIT], clock.now()).await;
    assert_eq!(names(&engine, "anonymous_id", "a1"), "a1 1 events");
    tell(&engine, &[SIGN_UP, PHONE], clock.now()).await;
    assert_eq!(names(&engine, "anonymous_id", "a1"), "a1 a2 ann 3 events");
    engine.stop().await.expect("an orderly stop");

    let engine = start(folder.path(), &clock).await;
    assert_eq!(names(&engine, "anonymous_id", "a2"), "a1 a2 ann 3 events");
    tell(&engine, &[VISIT, SIGN_UP, PHONE], clock.now()).await;
    assert_eq!(names(&engine, "user_id", "ann"), "a1 a2 ann 3 events", "repetitions are known after a restart");
    engine.stop().await.expect("an orderly stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_gives_the_same_state() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = noon();
    for round in 0..3 {
        let engine = start(folder.path(), &clock).await;
        let event = |place: usize| {
            let (person, device) = (place % 97, place % 291);
            format!(
                r#"{{"type":"identify","message_id":"r{round}-{place}","claims":[{{"type":"user_id","value":"u{person}"}},{{"type":"anonymous_id","value":"a{device}"}}],"traits":{{"visits":{place}}}}}"#
            )
        };
        let events: Vec<String> = (0..2_000).map(event).collect();
        let events: Vec<&str> = events.iter().map(String::as_str).collect();
        for chunk in events.chunks(300) {
            tell(&engine, chunk, clock.now()).await;
            clock.set(clock.now().plus_ms(700));
        }
        let claim = engine.ledger().state().identifier(weft_domain::claim::IdentifierId::of("user_id", "u1"));
        let claim = claim.expect("readable").expect("u1 is known").claims[0];
        engine.ledger().log(Input::Command(Command::Retract { claim, reason: "a test".into() })).await.expect("logged");
        engine.ledger().commit().await;
        engine.stop().await.expect("an orderly stop");
    }
    let kept = Vault::open(&DataFolder::at(folder.path()), |_| ()).expect("opens");
    let (hash, position) = (kept.state_hash().expect("readable"), kept.overlay.position());
    drop(kept);
    let rebuilt = Vault::rebuild(&DataFolder::at(folder.path()), |_| ()).expect("rebuilds");
    assert_eq!((rebuilt.state_hash().expect("readable"), rebuilt.overlay.position()), (hash, position));
    assert!(rebuilt.overlay.totals().customers >= 97 && position > 6_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_or_damaged_state_is_rebuilt_at_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = noon();
    let engine = start(folder.path(), &clock).await;
    tell(&engine, &[VISIT, SIGN_UP, PHONE], clock.now()).await;
    engine.stop().await.expect("an orderly stop");

    std::fs::remove_dir_all(folder.path().join("state")).expect("state is lost");
    let engine = start(folder.path(), &clock).await;
    assert_eq!(names(&engine, "user_id", "ann"), "a1 a2 ann 3 events");
    engine.stop().await.expect("an orderly stop");

    std::fs::write(folder.path().join("state/CURRENT"), "rubbish").expect("state is damaged");
    let engine = start(folder.path(), &clock).await;
    assert!(engine.notes().iter().any(|note| note.contains("damaged")), "{:?}", engine.notes());
    assert_eq!(names(&engine, "user_id", "ann"), "a1 a2 ann 3 events");
    engine.stop().await.expect("an orderly stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_profiles_wait_for_their_destination_once_they_rest() {
    let folder = tempfile::tempdir().expect("a folder");
    let clock = noon();
    let engine = start(folder.path(), &clock).await;
    tell(&engine, &[VISIT, SIGN_UP], clock.now()).await;
    let waiting = |engine: &Engine| engine.ledger().state().lane("lake").expect("readable").profiles_next;
    assert_eq!(waiting(&engine), 0);
    clock.set(clock.now().plus_ms(2_000));
    while waiting(&engine) == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    let told = engine.ledger().state().delivery("lake", 0).expect("readable").expect("a delivery");
    assert!(told.contains(r#""traits":{"city":"Bonn"}"#), "{told}");
    assert_eq!(waiting(&engine), 1, "one customer, one delivery");
    engine.stop().await.expect("an orderly stop");
}

fn kv(stage: &str, key: &str, value: Option<&str>) -> Kv {
    Kv { stage: stage.into(), key: key.into(), value: value.map(|value| value.as_bytes().to_vec()) }
}

fn keys(engine: &Engine, stage: &str) -> u64 {
    engine.ledger().state().keys(stage).expect("readable")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_of_a_small_store_are_counted_exactly() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = start(folder.path(), &noon()).await;
    let changes = [
        ("a", Some("1"), 1),
        ("a", Some("2"), 1),
        ("b", Some("1"), 2),
        ("a", None, 1),
        ("a", None, 1),
        ("never", None, 1),
        ("a", Some("3"), 2),
    ];
    for (key, value, want) in changes {
        engine.ledger().keep(kv("crm", key, value)).await.expect("logged").expect("there is room");
        assert_eq!(keys(&engine, "crm"), want, "{key} {value:?}");
    }
    engine.ledger().keep(kv("erp", "a", Some("x"))).await.expect("logged").expect("there is room");
    engine.stop().await.expect("an orderly stop");
    for _ in 0..2 {
        let engine = start(folder.path(), &noon()).await;
        assert_eq!((keys(&engine, "crm"), keys(&engine, "erp"), keys(&engine, "lake")), (2, 1, 0));
        engine.stop().await.expect("an orderly stop");
        std::fs::remove_dir_all(folder.path().join("state")).expect("state is lost");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_of_a_small_store_are_bounded() {
    let folder = tempfile::tempdir().expect("a folder");
    // A history in which a stage has set all the keys that it may have.
    let (mut history, _) =
        Log::open(Arc::new(Disk), &DataFolder::at(folder.path()).history(), Options::default()).expect("opens");
    let numbers: Vec<u64> = (0..limits::KV_KEYS_MAX).collect();
    for numbers in numbers.chunks(10_000) {
        let encode = |number: &u64| {
            let mut bytes = Vec::new();
            (Input::Kv(kv("crm", &number.to_string(), Some("x"))).encode(&mut bytes), bytes)
        };
        let records: Vec<(u8, Vec<u8>)> = numbers.iter().map(encode).collect();
        let records: Vec<Record<'_>> = records.iter().map(|(kind, bytes)| Record { kind: *kind, bytes }).collect();
        history.append(&records).expect("history takes them");
    }
    history.close().expect("closes");

    let engine = start(folder.path(), &noon()).await;
    let full = async |engine: &Engine, key: &str| {
        assert_eq!(keys(engine, "crm"), limits::KV_KEYS_MAX);
        let end = engine.ledger().history().durable_end();
        assert_eq!(engine.ledger().keep(kv("crm", key, Some("x"))).await, Some(Err(Full)));
        assert_eq!(engine.ledger().history().durable_end(), end, "what is refused leaves no trace");
    };
    full(&engine, "one more").await;
    engine.ledger().keep(kv("crm", "7", Some("anew"))).await.expect("logged").expect("a key that is there needs no room");
    engine.ledger().keep(kv("erp", "one", Some("x"))).await.expect("logged").expect("each stage has a bound of its own");
    engine.stop().await.expect("an orderly stop");

    let engine = start(folder.path(), &noon()).await;
    full(&engine, "one more").await;
    engine.ledger().keep(kv("crm", "8", None)).await.expect("logged").expect("deleting needs no room");
    engine.ledger().keep(kv("crm", "one more", Some("x"))).await.expect("logged").expect("there is room again");
    full(&engine, "8").await;
    engine.stop().await.expect("an orderly stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_key_and_the_largest_value_are_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let (stage, key) = ("s".repeat(63), "k".repeat(limits::KV_KEY_BYTES_MAX));
    let value = vec![7; limits::KV_VALUE_BYTES_MAX];
    let engine = start(folder.path(), &noon()).await;
    let kv = Kv { stage: stage.clone(), key: key.clone(), value: Some(value.clone()) };
    engine.ledger().log(Input::Kv(kv)).await.expect("logged");
    engine.ledger().commit().await;
    engine.stop().await.expect("an orderly stop");
    let engine = start(folder.path(), &noon()).await;
    let kept = engine.ledger().state().value(&stage, &key).expect("readable").expect("is there");
    assert_eq!(kept.0, value);
    engine.stop().await.expect("an orderly stop");
}
