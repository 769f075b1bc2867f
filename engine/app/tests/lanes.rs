//! Lanes over a destination that answers by dice: every record comes to one end, nobody's records pass each other, and the cursor passes
//! nothing that is open, over restarts. Time is tokio's own and jumps to whatever is waited for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use weft::clock::Clock;
use weft::delivery::{Circuit, Filter, Lane, Standing};
use weft::engine::{Engine, Settings, Stages, Terms};
use weft::intake::Arrived;
use weft::letters::{Asked, Id, list};
use weft::retry::Earnest;
use weft::vault::{DataFolder, Vault};
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
        ordered: false,
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

/// Where the events are in history, and which its receipts say were refused at last: no place twice, none before its time, but for those that went again.
fn events_and_refusals(engine: &Engine) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let (mut events, mut refused, mut through) = (BTreeSet::new(), BTreeSet::new(), 0);
    let mut cursor = engine.ledger().history().cursor(0);
    while let Some(block) = cursor.next().expect("history can be read") {
        for (position, record) in block.records() {
            match Input::decode(record.kind, record.bytes).expect("history can be read") {
                Input::Event { .. } => drop(events.insert(position)),
                Input::Receipts(receipts) => {
                    assert!(receipts.through >= through, "{receipts:?} goes back behind {through}");
                    for at in &receipts.again {
                        assert!(*at < through && refused.remove(at), "{receipts:?} after {through}");
                    }
                    for one in &receipts.rejected {
                        if receipts.again.contains(&one.position) {
                            refused.insert(one.position);
                            continue;
                        }
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

/// The letters that wait durably.
fn letters(engine: &Engine) -> Vec<Id> {
    let durable = engine.ledger().history().durable_end();
    let letters = engine.ledger().state().letters((0, 0), usize::MAX).expect("state can be read");
    letters.into_iter().map(|((position, ordinal), _)| Id(position, ordinal)).filter(|id| id.0 < durable).collect()
}

/// The letters, once there are so many.
async fn letters_when(engine: &Engine, count: usize) -> Vec<Id> {
    loop {
        match letters(engine) {
            found if found.len() == count => return found,
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_refused_goes_again_alone_over_restarts_until_it_is_taken() {
    let mut rounds = 0;
    for (seed, concurrency) in [(11, 4), (12, 1), (13, 16)] {
        let folder = tempfile::tempdir().expect("a folder");
        let (lake, mut dice) = (Lake::new(seed), Dice(seed * 1_000));
        let mut told = 0;
        for life in 0..5 {
            let engine = start(folder.path(), &lake, concurrency).await;
            for _ in 0..3 {
                tell(&engine, &mut dice, told, 40).await;
                told += 40;
                tokio::time::sleep(Duration::from_millis(dice.below(2_000))).await;
                let waiting = letters(&engine);
                let outcome = engine.ways().retry(&waiting, None, Earnest::Go).await.expect("the engine runs");
                // One that was on its way may have come to its end meanwhile.
                assert!(outcome.kept.iter().all(|kept| kept.why == "there is no such dead letter"), "seed {seed}: {outcome:?}");
                assert_eq!(outcome.retried.len() + outcome.kept.len(), waiting.len(), "seed {seed}");
            }
            engine.settle().await;
            while life == 4 && !letters(&engine).is_empty() {
                engine.ways().retry(&letters(&engine), None, Earnest::Go).await.expect("the engine runs");
                engine.settle().await;
                rounds += 1;
            }
            if life == 4 {
                let (events, refused) = events_and_refusals(&engine);
                assert_eq!((events.len() as u64, refused.len()), (told, 0), "seed {seed}: nothing became a new event");
                let words = last_words(&lake.tries());
                assert!(events.iter().all(|at| words.get(at) == Some(&Verdict::Taken)), "seed {seed}");
                assert_eq!(engine.ledger().state().lane(LAKE).expect("state can be read").again, 0);
            }
            engine.stop().await.expect("an orderly stop");
        }
        let keys = lake.keys.lock().expect("nobody panicked").clone();
        assert!(keys.iter().any(|key| key.contains(":again-")), "seed {seed}");

        let data = DataFolder::at(&folder.path().join("data"));
        let hash = |vault: Vault| {
            let hash = vault.state_hash().expect("state can be read");
            vault.close().expect("an orderly stop");
            hash
        };
        let kept = hash(Vault::open(&data, |_| ()).expect("opens"));
        let tries = lake.tries().len();
        assert_eq!(hash(Vault::rebuild(&data, |_| ()).expect("is rebuilt")), kept, "seed {seed}");
        assert_eq!(lake.tries().len(), tries, "a rebuild sends nothing");
    }
    assert!(rounds > 0, "nothing is refused again");
}

#[tokio::test(start_paused = true)]
async fn to_ask_twice_is_to_ask_once_and_a_drop_ends_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = Lake::in_mood(Verdict::Refused);
    let engine = start(folder.path(), &lake, 4).await;
    tell(&engine, &mut Dice(1), 0, 5).await;
    let ids = letters_when(&engine, 5).await;
    assert_eq!(lake.tries().len(), 5);
    engine.ledger().log(Input::Command(Command::Pause { lane: LAKE.into() })).await.expect("is logged");
    for earnest in [Earnest::Look, Earnest::Go, Earnest::Go] {
        let outcome = engine.ways().retry(&ids, None, earnest).await.expect("the engine runs");
        assert_eq!(outcome.retried, ids);
    }
    let lane = || engine.ledger().state().lane(LAKE).expect("state can be read");
    assert_eq!((lane().again, lane().again_total, letters(&engine)), (5, 5, ids.clone()), "each waits for its end");
    let shown = list(|| engine.ledger().state(), engine.ledger().history(), &Asked::default()).expect("state can be read");
    assert!(shown.letters.iter().all(|letter| letter.again && letter.set_aside == NOON.parse().ok()), "{shown:?}");

    let drop = Command::DropLetters { letters: vec![(ids[1].0, ids[1].1)], reason: "a test".into() };
    engine.ledger().log(Input::Command(drop)).await.expect("is logged");
    assert_eq!((lane().again, letters(&engine).len()), (4, 4));
    lake.turn(Verdict::Taken);
    engine.stop().await.expect("an orderly stop");
    let engine = start(folder.path(), &lake, 4).await;
    engine.ledger().log(Input::Command(Command::Resume { lane: LAKE.into() })).await.expect("is logged");
    tokio::time::sleep(Duration::from_secs(1)).await;
    engine.settle().await;
    let words = last_words(&lake.tries());
    assert_eq!((lake.tries().len(), words.values().filter(|word| **word == Verdict::Taken).count()), (9, 4), "{words:?}");
    letters_when(&engine, 0).await;
    engine.stop().await.expect("an orderly stop");
}

#[tokio::test(start_paused = true)]
async fn what_goes_again_holds_up_nothing_and_is_held_up_by_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = Lake::in_mood(Verdict::Refused);
    let engine = start(folder.path(), &lake, 1).await;
    tell(&engine, &mut Dice(1), 0, 60).await;
    let ids = letters_when(&engine, 60).await;
    engine.ledger().log(Input::Command(Command::Pause { lane: LAKE.into() })).await.expect("is logged");
    engine.ways().retry(&ids, None, Earnest::Go).await.expect("the engine runs");
    let (before, end) = (lake.tries().len(), engine.ledger().history().durable_end());
    tell(&engine, &mut Dice(1), 60, 60).await;
    while engine.ledger().history().durable_end() < end + 60 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    lake.turn(Verdict::Taken);
    engine.ledger().log(Input::Command(Command::Resume { lane: LAKE.into() })).await.expect("is logged");
    tokio::time::sleep(Duration::from_secs(1)).await;
    engine.settle().await;
    let places: Vec<u64> = lake.tries()[before..].iter().map(|(at, _, _)| *at).collect();
    let (old, new): (Vec<u64>, Vec<u64>) = places.iter().partition(|at| **at < end);
    assert_eq!((old.len(), new.len()), (60, 60));
    assert!(old.is_sorted() && new.is_sorted(), "each in the order of history: {places:?}");
    let place_of = |at: u64| places.iter().position(|one| *one == at);
    assert!(place_of(old[0]) < place_of(new[59]) && place_of(new[0]) < place_of(old[59]), "by turns: {places:?}");
    let mixed = lake.keys.lock().expect("nobody panicked").iter().filter(|key| key.contains(":again-")).count();
    assert!(mixed >= 10, "in batches of their own");
    engine.stop().await.expect("an orderly stop");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_go_again_stays_and_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = Lake::in_mood(Verdict::Refused);
    let engine = start(folder.path(), &lake, 4).await;
    tell(&engine, &mut Dice(1), 0, 1).await;
    let ids = letters_when(&engine, 1).await;
    let why = async |edited: Option<&Bytes>| {
        let outcome = engine.ways().retry(&ids, edited, Earnest::Go).await.expect("the engine runs");
        outcome.kept.first().map(|kept| kept.why.clone()).unwrap_or_default()
    };
    let edited = Bytes::from_static(br#"{"type":"track","name":"Looked"}"#);
    assert!(why(Some(&edited)).await.contains("what is edited is another event"));
    let mut shown = engine.status().shown();
    shown.lanes[0].ordered = true;
    engine.status().show(shown);
    assert!(why(None).await.contains("in the order of history only"));
    engine.ledger().log(Input::Plan(Plan::default())).await.expect("is logged");
    assert!(why(None).await.contains("`lake` refused it, and is no destination of events now"));
    assert_eq!((lake.tries().len(), letters(&engine)), (1, ids.clone()));
    engine.stop().await.expect("an orderly stop");
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
    let [refused] = letters_when(&engine, 1).await[..] else { panic!("one profile was refused") };
    let letter = engine.ledger().state().letter((refused.0, refused.1)).expect("state can be read").expect("a letter");
    assert_eq!((&*letter.stage, &*letter.code), (LAKE, "denied"));

    let ids = [refused, Id(999_999, 0)];
    let looked = engine.ways().retry(&ids, None, Earnest::Look).await.expect("the engine runs");
    assert_eq!((looked.retried.len(), looked.kept.len()), (1, 1));
    assert_eq!(engine.ledger().state().totals().letters, 1, "it was only asked");
    lake.turn(Verdict::Taken);
    assert_eq!(engine.ways().retry(&ids, None, Earnest::Go).await.expect("the engine runs"), looked);
    engine.settle().await;
    let tries: Vec<(u64, Verdict)> = lake.tries().into_iter().map(|(at, _, verdict)| (at, verdict)).collect();
    assert_eq!(tries, [(0, Verdict::Refused), (1, Verdict::Taken)], "it has a number of its own");
    assert_eq!(engine.ledger().state().totals().letters, 0);
    engine.stop().await.expect("an orderly stop");
}
