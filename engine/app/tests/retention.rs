//! What is let go: the oldest history, once a base stands for it; and the space that sled does not give back. State stays what
//! history says (invariant 4), and nothing that somebody has yet to read is let go (invariant 3).

use std::path::Path;
use std::sync::Arc;

use weft::bounds::Bounds;
use weft::clock::Clock;
use weft::engine::{Engine, Settings, Stages, Terms};
use weft::intake::Arrived;
use weft::vault::{DataFolder, Vault, VaultError};
use weft_domain::claim::IdentifierId;
use weft_domain::event::{Environment, Event};
use weft_domain::input::{Arrival, DeadLetter, Input, Named, Receipts, Stream, Withheld};
use weft_domain::plan::Plan;
use weft_domain::view::View;
use weft_store::log::Options;

/// Small segments, so that there are many.
fn data(root: &Path) -> DataFolder {
    DataFolder { log: Options { segment_bytes: 16 << 10 }, ..DataFolder::at(root) }
}

const KEPT: u64 = 100 << 10;

async fn start(root: &Path, event_lanes: &[&str]) -> Engine {
    let event_lanes = event_lanes.iter().map(|name| (*name).to_owned()).collect();
    let settings = Settings {
        data: data(root),
        listen: None,
        terms: Terms {
            plan: Plan { event_lanes, ..Plan::default() },
            bounds: Bounds { history_bytes_max: Some(KEPT), ..Bounds::default() },
            ..Terms::default()
        },
        clock: Clock::at("2026-03-01T12:00:00Z".parse().expect("valid")),
    };
    Engine::start(settings, async |_| Ok(Stages::default()), |_| ()).await.expect("the engine starts")
}

/// Folds so many events of so many people, with values that do not compress.
async fn tell(engine: &Engine, events: std::ops::Range<usize>) {
    let chunks: Vec<usize> = events.collect();
    for chunk in chunks.chunks(100) {
        let mut arrived = Arrived::default();
        for number in chunk {
            let noise = |part: usize| IdentifierId::of("noise", &format!("{number}/{part}")).to_string();
            let noise: String = (0..10).map(noise).collect();
            let json = format!(
                r#"{{"type":"identify","message_id":"m{number}","claims":[{{"type":"user_id","value":"u{}"}},{{"type":"email","value":"{}@x.example"}}],"traits":{{"note":"{noise}"}}}}"#,
                number % 50,
                number % 40,
            );
            let mut event = Event::parse(json.as_bytes()).expect("a valid event");
            event.stamp("2026-03-01T12:00:00Z".parse().expect("valid"), Environment::Production);
            arrived.push(&Arrival::Event { source: "web", named: Named::BySender, json: &event.to_json() });
        }
        engine.intake().append(arrived).await.expect("intake takes them");
    }
    engine.caught_up().await;
    assert_eq!(engine.report().trouble, None);
    engine.ledger().commit().await;
}

/// Has the keeper look, and the writer do what it was asked.
async fn look(engine: &Engine) -> (u64, u64) {
    engine.keeper().look().await;
    engine.ledger().commit().await;
    (engine.ledger().history().start(), engine.ledger().history().bytes())
}

fn hash(root: &Path) -> String {
    let vault = Vault::open(&data(root), |_| ()).expect("opens");
    let hash = vault.state_hash().expect("readable");
    vault.close().expect("closes");
    hash
}

#[tokio::test(flavor = "multi_thread")]
async fn history_is_let_go_and_state_can_still_be_rebuilt() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = start(folder.path(), &["lake"]).await;
    tell(&engine, 0..6_000).await;
    let (first, all) = look(&engine).await;
    assert_eq!(first, 0, "the lane has seen nothing yet");
    assert!(all > 3 * KEPT, "{all} bytes");

    let receipts = |through| {
        Input::Receipts(Receipts {
            lane: "lake".into(),
            stream: Stream::Events,
            through,
            rejected: Vec::new(),
            again: Vec::new(),
            at: None,
            withheld: Withheld::default(),
        })
    };
    engine.ledger().log(receipts(2_000)).await.expect("logged");
    let (first, _) = look(&engine).await;
    assert!((1_000..=2_000).contains(&first), "up to where the lane is, by whole segments: {first}");
    let end = engine.ledger().history().durable_end();
    engine.ledger().log(receipts(end)).await.expect("logged");
    let (first, kept) = look(&engine).await;
    assert!(kept <= KEPT + (64 << 10) && first > 2_000, "{kept} bytes from {first}");
    assert!(engine.keeper().state.base_position().is_some_and(|base| base >= first));
    tell(&engine, 6_000..6_500).await;
    engine.stop().await.expect("an orderly stop");

    let before = hash(folder.path());
    let vault = Vault::rebuild(&data(folder.path()), |_| ()).expect("rebuilds from the base");
    assert_eq!(vault.state_hash().expect("readable"), before);
    vault.close().expect("closes");
    std::fs::remove_file(folder.path().join("state/CURRENT")).expect("state is lost");
    assert_eq!(hash(folder.path()), before, "rebuilt from the base at a start");

    std::fs::remove_file(folder.path().join("state/CURRENT")).expect("state is lost");
    std::fs::remove_file(folder.path().join("state/BASE")).expect("and the base with it");
    let refused = Vault::open(&data(folder.path()), |_| ()).err().expect("there is nothing to rebuild from");
    assert!(matches!(refused, VaultError::NoBase { start, .. } if start >= first), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_letter_came_from_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = start(folder.path(), &[]).await;
    tell(&engine, 0..2_000).await;
    let (stage, code, message) = ("tidy".to_owned(), "bad".to_owned(), "it is bad".to_owned());
    let letter =
        DeadLetter { stage, code, message, source: None, intake: None, at: None, carrier: None, bytes: b"the original".to_vec() };
    let position = engine.ledger().log(Input::DeadLetter(letter)).await.expect("logged");
    tell(&engine, 2_000..6_000).await;
    let (first, _) = look(&engine).await;
    assert!(first > 0 && first <= position, "{first}");
    assert!(engine.ledger().history().record(position).is_ok());
    engine.stop().await.expect("an orderly stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn state_is_compacted_under_whoever_writes_and_reads_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = start(folder.path(), &[]).await;
    tell(&engine, 0..500).await;
    let state = Arc::downgrade(&engine.keeper().state);
    let compacting = tokio::task::spawn_blocking(move || {
        for _ in 0..4 {
            state.upgrade().expect("the engine runs").compact().expect("compacts");
        }
    });
    let mut told = 500;
    while !compacting.is_finished() || told < 2_000 {
        tell(&engine, told..told + 100).await;
        told += 100;
    }
    compacting.await.expect("compacted");
    tell(&engine, told..told + 100).await;
    engine.stop().await.expect("an orderly stop");
    let states = std::fs::read_dir(folder.path().join("state")).expect("there").filter_map(Result::ok);
    let states: Vec<_> = states.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name()).collect();
    assert_eq!(states.len(), 1, "{states:?}");
    let kept = hash(folder.path());
    let vault = Vault::rebuild(&data(folder.path()), |_| ()).expect("rebuilds");
    assert_eq!((vault.overlay.totals().events, vault.state_hash().expect("readable")), (told as u64 + 100, kept));
}
