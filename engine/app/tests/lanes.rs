//! Lanes over a destination that answers by dice: every record comes to one end, nobody's records pass each other, and the cursor passes
//! nothing that is open, over restarts. Time is tokio's own and jumps to whatever is waited for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use weft::clock::Clock;
use weft::delivery::{Circuit, Filter, Lane, Standing};
use weft::engine::{Engine, Settings, Stages, Terms};
use weft::intake::Arrived;
use weft::letters::Id;
use weft::retry::{Earnest, retry};
use weft::vault::DataFolder;
use weft::writer::Ledger;
use weft_domain::event::{Environment, Event};
use weft_domain::input::{Arrival, Command, Input, Named, Stream};
use weft_domain::plan::Plan;
use weft_domain::value::Timestamp;
use weft_domain::view::{LetterBytes, View};
use weft_host::{Failure, FailureKind, Host, HostOptions, Lending, Lent, Stage, WantedLimits};

const NOON: &str = "2026-03-01T12:00:00.000Z";
const LAKE: &str = "lake";
const CUSTOMERS: u64 = 9;
const ATTEMPTS_MAX: u32 = 3;

/// SplitMix64: the same seed, the same numbers.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// What becomes of a record at one try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Taken,
    Again,
    Refused,
    /// The whole batch failed over it.
    Down,
}

/// The other side.
struct Lake {
    dice: Mutex<Dice>,
    /// What it says of everything, where it does not throw dice.
    mood: Mutex<Option<Verdict>>,
    /// Each try: the record's place, its customer, what became of it.
    tries: Mutex<Vec<(u64, String, Verdict)>>,
    keys: Mutex<Vec<String>>,
}

impl Lake {
    fn new(seed: u64) -> Arc<Lake> {
        let (mood, tries, keys) = (Mutex::default(), Mutex::default(), Mutex::default());
        Arc::new(Lake { dice: Mutex::new(Dice(seed)), mood, tries, keys })
    }

    fn tries(&self) -> Vec<(u64, String, Verdict)> {
        self.tries.lock().expect("nobody panicked").clone()
    }

    fn in_mood(verdict: Verdict) -> Arc<Lake> {
        let lake = Lake::new(0);
        lake.turn(verdict);
        lake
    }

    fn turn(&self, verdict: Verdict) {
        *self.mood.lock().expect("nobody panicked") = Some(verdict);
    }

    fn verdict(&self) -> Verdict {
        if let Some(verdict) = *self.mood.lock().expect("nobody panicked") {
            return verdict;
        }
        let mut dice = self.dice.lock().expect("nobody panicked");
        match dice.below(100) {
            0..15 => Verdict::Again,
            15..20 => Verdict::Refused,
            20..23 => Verdict::Down,
            _ => Verdict::Taken,
        }
    }
}

impl Lent for Lake {
    fn file_append(&self, _: &str, name: &str, at: u64, bytes: Vec<u8>) -> Lending<'_, Result<u64, Failure>> {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if name == "keys" {
            self.keys.lock().expect("nobody panicked").push(text);
            return Box::pin(std::future::ready(Ok(at)));
        }
        let verdict = self.verdict();
        let record: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let customer = record.pointer("/claims/0/value").or(record.get("customer_id"));
        let customer = customer.and_then(|one| one.as_str()).expect("a customer").to_owned();
        self.tries.lock().expect("nobody panicked").push((at, customer, verdict));
        let answer = match verdict {
            Verdict::Taken => Ok(at),
            Verdict::Again => Err(Failure::new(FailureKind::RateLimited, "later")),
            Verdict::Refused => Err(Failure::new(FailureKind::Rejected, "never")),
            Verdict::Down => Err(Failure::new(FailureKind::Unavailable, "away")),
        };
        Box::pin(std::future::ready(answer))
    }
}

async fn start(data: &Path, lake: &Arc<Lake>, concurrency: usize) -> Engine {
    start_of(Stream::Events, data, lake, concurrency, Clock::at(NOON.parse().expect("valid"))).await
}

async fn start_of(stream: Stream, data: &Path, lake: &Arc<Lake>, concurrency: usize, clock: Clock) -> Engine {
    let host = Host::new(HostOptions { instances_max: 16, ..HostOptions::new(data.join("cache")) }).expect("a sandbox");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/fixtures/destination.wat");
    let plugin = host.load(&fixture).await.expect("a plugin");
    let lent: Arc<dyn Lent> = lake.clone();
    let stage = Stage { name: LAKE.to_owned(), config: "{}".to_owned(), lent, limits: WantedLimits::default() };
    let lane = Lane {
        name: LAKE.to_owned(),
        stream,
        filter: Filter::default(),
        batch_records: 6,
        batch_bytes: 1 << 20,
        batch_wait: Duration::from_millis(20),
        concurrency,
        attempts_max: ATTEMPTS_MAX,
        destination: Arc::new(plugin.destination(stage).expect("a destination")),
        standing: Arc::default(),
        making: None,
    };
    let (mut plan, lanes) = (Plan::default(), vec![LAKE.to_owned()]);
    match stream {
        Stream::Events => plan.event_lanes = lanes,
        Stream::Profiles => plan.profile_lanes = lanes,
    }
    let settings =
        Settings { data: DataFolder::at(&data.join("data")), listen: None, terms: Terms { plan, ..Terms::default() }, clock };
    let stages = Stages { lanes: vec![lane], ..Stages::default() };
    Engine::start(settings, async |_: &Ledger| Ok(stages), |_| ()).await.expect("the engine starts")
}

/// So many events of customers by turns, as a door would take them.
async fn tell(engine: &Engine, dice: &mut Dice, from: u64, count: u64) {
    let mut arrived = Arrived::default();
    for number in from..from + count {
        let customer = dice.below(CUSTOMERS);
        let json = format!(
            r#"{{"type":"track","name":"Looked","message_id":"m{number}","claims":[{{"type":"user_id","value":"u{customer}"}}]}}"#
        );
        let mut event = Event::parse(json.as_bytes()).expect("an event");
        event.stamp(NOON.parse().expect("valid"), Environment::Production);
        arrived.push(&Arrival::Event { source: "web", named: Named::BySender, json: &event.to_json() });
    }
    engine.intake().append(arrived).await.expect("intake takes them");
}

fn standing(engine: &Engine) -> Standing {
    engine.report().lanes[0].standing.clone()
}

/// Where the events are in history, and what its receipts say: no place twice, none before its time.
fn events_and_refusals(engine: &Engine) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let (mut events, mut refused, mut through) = (BTreeSet::new(), BTreeSet::new(), 0);
    let mut cursor = engine.ledger().history().cursor(0);
    while let Some(block) = cursor.next().expect("history can be read") {
        for (position, record) in block.records() {
            match Input::decode(record.kind, record.bytes).expect("history can be read") {
                Input::Event { .. } => drop(events.insert(position)),
                Input::Receipts(receipts) => {
                    assert!(receipts.through >= through, "{receipts:?} goes back behind {through}");
                    for one in &receipts.rejected {
                        assert!((through..receipts.through).contains(&one.position), "{receipts:?} after {through}");
                        assert!(refused.insert(one.position), "refused twice: {one:?}");
                    }
                    through = receipts.through;
                }
                _ => (),
            }
        }
    }
    (events, refused)
}

/// What came of the tries so far, by place: the last word on each.
fn last_words(tries: &[(u64, String, Verdict)]) -> BTreeMap<u64, Verdict> {
    tries.iter().map(|(at, _, verdict)| (*at, *verdict)).collect()
}

#[tokio::test(start_paused = true)]
async fn every_record_comes_to_one_end_and_nobody_is_passed_by_himself() {
    for (seed, concurrency) in [(1, 4), (2, 4), (3, 16), (4, 2), (5, 1), (6, 1)] {
        let folder = tempfile::tempdir().expect("a folder");
        let (lake, mut dice) = (Lake::new(seed), Dice(seed * 1_000));
        let mut told = 0;
        for life in 0..4 {
            let engine = start(folder.path(), &lake, concurrency).await;
            let before = lake.tries().len();
            tell(&engine, &mut dice, told, 60).await;
            told += 60;
            if life == 3 {
                engine.settle().await;
            } else {
                tokio::time::sleep(Duration::from_millis(dice.below(3_000))).await;
            }
            let through = engine.ledger().state().lane(LAKE).expect("state can be read").events_through;
            let tries = lake.tries();
            let words = last_words(&tries);
            for at in events_and_refusals(&engine).0.range(..through) {
                assert!(words.get(at).is_some_and(|word| *word != Verdict::Down), "seed {seed}: {at} is open before {through}");
            }
            if concurrency > 1 {
                let mut places: BTreeMap<&str, u64> = BTreeMap::new();
                for (at, customer, _) in &tries[before..] {
                    let last = places.insert(customer, *at).unwrap_or(0);
                    assert!(last <= *at, "seed {seed}: {customer}'s {at} came after {last}");
                }
            }
            if life == 3 {
                let (events, refused) = events_and_refusals(&engine);
                assert_eq!(events.len() as u64, told);
                let not_taken = |at: &u64| words.get(at) != Some(&Verdict::Taken);
                assert_eq!(refused, events.into_iter().filter(not_taken).collect::<BTreeSet<u64>>(), "seed {seed}");
                let letters = engine.ledger().state().letters((0, 0), usize::MAX).expect("state can be read");
                let named = |bytes: &LetterBytes| if let LetterBytes::Event(at) = bytes { Some(*at) } else { None };
                let kept: Vec<u64> = letters.iter().filter_map(|(_, letter)| named(&letter.bytes)).collect();
                assert_eq!(kept.len(), refused.len(), "seed {seed}");
                assert_eq!(kept.into_iter().collect::<BTreeSet<u64>>(), refused, "seed {seed}");
            }
            engine.stop().await.expect("an orderly stop");
        }
        let words: Vec<Verdict> = lake.tries().into_iter().map(|(_, _, verdict)| verdict).collect();
        for word in [Verdict::Taken, Verdict::Again, Verdict::Refused, Verdict::Down] {
            assert!(words.contains(&word), "seed {seed} never says {word:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_down_is_left_alone_and_asked_for_one_record_first() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = Lake::in_mood(Verdict::Down);
    let engine = start(folder.path(), &lake, 1).await;
    tell(&engine, &mut Dice(1), 0, 20).await;
    while standing(&engine).circuit != Circuit::Open {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let shown = standing(&engine);
    assert!(shown.since.is_some() && shown.next_try > shown.since, "{shown:?}");
    assert_eq!(shown.last_error.as_deref(), Some("away"));
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(
        lake.keys.lock().expect("nobody panicked").len() < 20,
        "it is asked less and less: {:?}",
        lake.keys.lock().expect("nobody panicked")
    );
    lake.turn(Verdict::Taken);
    let asked = lake.keys.lock().expect("nobody panicked").len();
    engine.settle().await;
    let keys = lake.keys.lock().expect("nobody panicked")[asked..].to_vec();
    let sizes: Vec<&str> = keys.iter().filter_map(|key| key.rsplit(':').next()).collect();
    assert_eq!(sizes, ["1", "6", "6", "6", "1"], "{keys:?}");
    assert_eq!((standing(&engine).circuit, standing(&engine).since), (Circuit::Closed, None));
    engine.stop().await.expect("an orderly stop");
}

#[tokio::test(start_paused = true)]
async fn a_paused_destination_is_given_nothing_until_it_is_resumed() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = Lake::in_mood(Verdict::Taken);
    let engine = start(folder.path(), &lake, 4).await;
    engine.ledger().log(Input::Command(Command::Pause { lane: LAKE.into() })).await.expect("is logged");
    tell(&engine, &mut Dice(1), 0, 20).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    engine.settle().await;
    assert!(standing(&engine).paused.is_some());
    engine.stop().await.expect("an orderly stop");
    let engine = start(folder.path(), &lake, 4).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(lake.tries(), []);
    assert!(standing(&engine).paused.is_some(), "it outlives a restart");
    engine.ledger().log(Input::Command(Command::Resume { lane: LAKE.into() })).await.expect("is logged");
    while lake.tries().len() < 20 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    engine.settle().await;
    assert_eq!(standing(&engine).delivered_total, 20);
    engine.stop().await.expect("an orderly stop");
}

#[tokio::test(start_paused = true)]
async fn a_profile_that_was_refused_is_told_again_as_it_is_now() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = Lake::in_mood(Verdict::Refused);
    let clock = Clock::at(NOON.parse().expect("valid"));
    let engine = start_of(Stream::Profiles, folder.path(), &lake, 2, clock.clone()).await;
    let now = NOON.parse().expect("valid");
    let settled = async || {
        while engine.ledger().state().lane(LAKE).expect("state can be read").profiles_next == 0 {
            let due = engine.ledger().state().due(Timestamp(i64::MAX), 1).expect("state can be read");
            if let Some((due, _)) = due.first() {
                clock.set(*due);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        engine.settle().await;
    };
    tell(&engine, &mut Dice(1), 0, 1).await;
    settled().await;
    let letters = engine.ledger().state().letters((0, 0), 10).expect("state can be read");
    let [((position, ordinal), letter)] = &letters[..] else { panic!("{letters:?}") };
    assert_eq!((&*letter.stage, &*letter.code), (LAKE, "denied"));

    let ids = [Id(*position, *ordinal), Id(999_999, 0)];
    let way = (engine.intake(), engine.ledger());
    let looked = retry(way, &ids, None, |_| true, (now, Earnest::Look)).await.expect("the engine runs");
    assert_eq!((looked.retried.len(), looked.kept.len()), (1, 1));
    assert_eq!(engine.ledger().state().totals().letters, 1, "it was only asked");
    lake.turn(Verdict::Taken);
    assert_eq!(retry(way, &ids, None, |_| true, (now, Earnest::Go)).await.expect("the engine runs"), looked);
    engine.settle().await;
    let tries: Vec<(u64, Verdict)> = lake.tries().into_iter().map(|(at, _, verdict)| (at, verdict)).collect();
    assert_eq!(tries, [(0, Verdict::Refused), (1, Verdict::Taken)], "it has a number of its own");
    assert_eq!(engine.ledger().state().totals().letters, 0);
    engine.stop().await.expect("an orderly stop");
}
