//! Whom a configuration would have forgotten for being silent is counted before it does: as many as would go, without a change to anything.

use std::cell::Cell;
use std::path::Path;
use std::time::Duration;

use weft::bounds::Inactive;
use weft::clock::Clock;
use weft::engine::{Engine, Settings, Stages, Terms};
use weft::erasure::forecast::forecast;
use weft::erasure::silence::inactive;
use weft::intake::Arrived;
use weft::status::Forecast;
use weft::vault::DataFolder;
use weft_domain::event::{Environment, Event};
use weft_domain::identity::Rules;
use weft_domain::input::{Arrival, Named};
use weft_domain::value::Timestamp;
use weft_domain::view::View;

const NOW: &str = "2026-06-30T12:00:00Z";
const DAY_MS: u64 = 86_400_000;

async fn start(data: &Path, terms: Terms) -> Engine {
    let clock = Clock::at(NOW.parse().expect("valid"));
    let settings = Settings { data: DataFolder::at(data), listen: None, terms, clock };
    Engine::start(settings, async |_| Ok(Stages::default()), |_| ()).await.expect("the engine starts")
}

/// Tells of visits: who, by type and value, and how many days ago.
async fn tell(engine: &Engine, visits: impl IntoIterator<Item = (Vec<(&'static str, String)>, i64)>) {
    let now: Timestamp = NOW.parse().expect("valid");
    let mut arrived = Arrived::default();
    for (number, (whom, days_ago)) in visits.into_iter().enumerate() {
        let whom =
            whom.iter().map(|(kind, value)| format!(r#"{{"type":"{kind}","value":"{value}"}}"#)).collect::<Vec<_>>().join(",");
        let occurred = now.plus_ms(-days_ago * DAY_MS as i64);
        let json =
            format!(r#"{{"type":"track","name":"Seen","message_id":"m{number}","occurred":"{occurred}","claims":[{whom}]}}"#);
        let mut event = Event::parse(json.as_bytes()).expect("valid");
        event.stamp(now, Environment::Production);
        arrived.push(&Arrival::Event { source: "web", named: Named::BySender, json: &event.to_json() });
    }
    engine.intake().append(arrived).await.expect("intake takes them");
    engine.caught_up().await;
    assert_eq!(engine.report().trouble, None);
}

/// 700 anonymous devices that were here today, 60 that were not for 100 days; 40 people who were not, 30 who have two devices of which one was
/// here today, and 20 whose only the address is known.
fn everybody() -> impl Iterator<Item = (Vec<(&'static str, String)>, i64)> {
    let device = |name: &str, number: u32| ("anonymous_id", format!("{name}-{number}"));
    let user = |name: &str, number: u32| ("user_id", format!("{name}-{number}"));
    let here = (0..700).map(move |number| (vec![device("here", number)], 0));
    let silent = (0..60).map(move |number| (vec![device("silent", number)], 100));
    let people = (0..40).map(move |number| (vec![user("silent", number)], 100));
    let long_ago = (0..30).map(move |number| (vec![user("two", number), device("first", number)], 100));
    let again = (0..30).map(move |number| (vec![user("two", number), device("second", number)], 0));
    let addresses = (0..20).map(|number| (vec![("email", format!("{number}@silent.example"))], 100));
    here.chain(silent).chain(people).chain(long_ago).chain(again).chain(addresses)
}

fn days(after: Option<u64>, anonymous_after: Option<u64>) -> Inactive {
    let ms = |days: Option<u64>| days.map(|days| days * DAY_MS);
    Inactive { after_ms: ms(after), anonymous_after_ms: ms(anonymous_after), at_once_max: 50 }
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_are_counted_as_would_go() {
    let root = tempfile::tempdir().expect("a folder");
    let engine = start(root.path(), Terms::default()).await;
    tell(&engine, everybody()).await;
    let now: Timestamp = NOW.parse().expect("valid");
    let rules = Rules::default();
    let check = async |terms: Inactive, known: u64, anonymous: u64| -> Forecast {
        let counted = engine.eraser().forecast(terms, rules.clone()).await.expect("counted");
        assert_eq!(
            (counted.profiles, counted.known, counted.anonymous, counted.at_least),
            (850, known, anonymous, false),
            "{terms:?}"
        );
        let found = inactive(&**engine.eraser().state(), engine.ledger(), &terms, now, usize::MAX).expect("readable");
        assert_eq!(counted.total(), found.len() as u64, "those are counted who would be found");
        counted
    };
    let both = check(days(Some(90), None), 40, 80).await;
    assert_eq!((both.known_before, both.anonymous_before), (Some(now.plus_ms(-90 * DAY_MS as i64)), both.known_before));
    // 120 by 50: two passes, an hour apart, and the last a day later.
    assert_eq!(both.last_pass, Some(now.plus_ms(25 * 3_600_000)));
    assert!(both.is_large(), "more than a tenth");
    let anonymous = check(days(None, Some(90)), 0, 80).await;
    assert_eq!((anonymous.known_before, anonymous.is_large()), (None, false));
    check(days(Some(400), Some(90)), 0, 80).await;
    check(days(Some(100), Some(100)), 40, 80).await;
    let none = check(days(Some(101), None), 0, 0).await;
    assert_eq!((none.last_pass, none.is_large()), (None, false));

    // By what is edited, whoever has an address is known.
    let mut edited = rules.clone();
    edited.identifiers.iter_mut().filter(|rule| rule.kind == "email").for_each(|rule| rule.login = true);
    let counted = engine.eraser().forecast(days(Some(90), Some(90)), edited).await.expect("counted");
    assert_eq!((counted.known, counted.anonymous), (60, 60));

    // Where there is no time for all, it says so: here for one piece of 500 claims.
    let (asked, terms) = (Cell::new(0), days(Some(90), None));
    let once = || asked.replace(asked.get() + 1) == 0;
    let counted = forecast(|| engine.ledger().state(), (&terms, &rules), now, once).expect("counted");
    assert!(counted.at_least && counted.profiles > 0 && counted.profiles <= 500, "{counted:?}");
    assert!(counted.total() < both.total(), "{counted:?}");
    assert_eq!(engine.ledger().state().totals().customers, 850, "nobody has gone");
    engine.stop().await.expect("an orderly stop");

    // Those who were counted go, and nobody is left to be counted.
    let mut forgetful = Terms::default();
    forgetful.bounds.inactive = Some(Inactive { at_once_max: 1_000, ..days(Some(90), None) });
    let engine = start(root.path(), forgetful).await;
    let asked = engine.eraser().forget_inactive().await.expect("looked").expect("there are some");
    let done = loop {
        let one = weft::erasure::find(engine.ledger(), &asked.id).expect("readable").expect("it is known");
        if one.completed.is_some() {
            break one;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(done.forgotten, Some(both.total()));
    let left = engine.eraser().forecast(days(Some(90), None), Rules::default()).await.expect("counted");
    assert_eq!((left.profiles, left.total(), left.last_pass), (730, 0, None));
    engine.stop().await.expect("an orderly stop");
}
