//! The power goes under a whole engine, again and again on the same folder (invariants 1 to 5).
//!
//! ```text
//! crowd ─► intake ─► transform ─► history ─► lanes ─► destination, which forgets nothing
//!             └─── on `Faulty` ────┘   └───► state: sled on the disk, of which `Image`s are taken
//! ```
//!
//! The logs' disk halts at a random operation, say between an append to history and its sync, and then holds what was synced and
//! any part of what was not. State is what a barrier had made durable, mixed page by page with what its files held at the cut; now
//! and then a sector of it is rubbish. What opens over both must keep every promise, be a fold of its own history, bring each record that
//! arrived to one end, bring to the destination again what it refused, and change nothing when it hears everything again. The plugins are fixtures in WebAssembly text.
//!
//! `WEFT_SEEDS=2000 cargo test -p weft --test power` tries so many seeds, `WEFT_SEED=7` that one alone.

#![expect(clippy::print_stderr, reason = "a test may speak")]

#[path = "power/crowd.rs"]
mod crowd;
#[path = "power/outside.rs"]
mod outside;
#[path = "power/owed.rs"]
mod owed;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use weft::clock::Clock;
use weft::engine::{Engine, Settings, Terms};
use weft::intake::{Arrived, Unavailable};
use weft::limits;
use weft::vault::{DataFolder, Vault};
use weft::writer::{Ledger, Order, catch_up};
use weft_domain::input::{Command, Input, Kv};
use weft_domain::plan::Plan;
use weft_domain::value::Timestamp;
use weft_domain::view::{LetterBytes, View};
use weft_store::files::{Cut, Failure, Faulty, Image};
use weft_store::log::Options;
use weft_store::overlay::Overlay;
use weft_store::state::{MemoryState, StateStore};

use crate::crowd::{Arriving, Dice, Said};
use crate::outside::{LAKE, Plugins, Told};
use crate::owed::{Everybody, Logs, Promised, claims};

/// Seeds of a quick run.
const SEEDS: u64 = 30;
/// How many of them at once.
const LIVES_AT_ONCE: usize = 4;
/// Power cuts in the life of a folder.
const CUTS: usize = 3;
/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;
/// How long anything may take that should come by itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// The seeds to try, unless the environment says otherwise.
fn seeds() -> Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse::<u64>().ok());
    match (number("WEFT_SEED"), number("WEFT_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => 0..count.unwrap_or(SEEDS),
    }
}

// More threads than cores: lives wait for sled where they stand.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn an_engine_whose_power_goes_again_and_again_keeps_what_it_acknowledged() {
    let cache = tempfile::tempdir().expect("a folder");
    let plugins = Arc::new(Plugins::load(cache.path()).await);
    let (mut seen, mut under_way) = (Seen::default(), VecDeque::new());
    for seed in seeds() {
        under_way.push_back((seed, tokio::spawn(live(seed, plugins.clone()))));
        if under_way.len() >= LIVES_AT_ONCE {
            seen = seen.and(ended(under_way.pop_front()).await);
        }
    }
    while !under_way.is_empty() {
        seen = seen.and(ended(under_way.pop_front()).await);
    }
    eprintln!("{seen:?}");
    let usual = seeds().count() as u64 >= SEEDS;
    let came_upon_all = [seen.states_kept, seen.states_damaged, seen.tails_torn, seen.refused].iter().all(|count| *count > 0);
    assert!(!usual || came_upon_all, "{seen:?}");
}

async fn ended(life: Option<(u64, JoinHandle<Seen>)>) -> Seen {
    let (seed, life) = life.expect("one is under way");
    life.await.unwrap_or_else(|panic| {
        eprintln!("failed with WEFT_SEED={seed}");
        std::panic::resume_unwind(panic.into_panic())
    })
}

/// What a run came upon.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    cuts: usize,
    states_kept: usize,
    states_damaged: usize,
    tails_torn: usize,
    refused: usize,
}

impl Seen {
    fn and(self, other: Seen) -> Seen {
        Seen {
            cuts: self.cuts + other.cuts,
            states_kept: self.states_kept + other.states_kept,
            states_damaged: self.states_damaged + other.states_damaged,
            tails_torn: self.tails_torn + other.tails_torn,
            refused: self.refused + other.refused,
        }
    }
}

/// The life of a folder, through some cuts to an orderly end.
async fn live(seed: u64, plugins: Arc<Plugins>) -> Seen {
    let mut machine = Machine::new(seed, plugins);
    for _ in 0..CUTS {
        let engine = machine.start().await;
        machine.catch_up(&engine).await;
        machine.work_until_the_power_goes(engine).await;
        machine.look_over();
    }
    let engine = machine.start().await;
    machine.catch_up(&engine).await;
    engine.stop().await.expect("an orderly stop");
    machine.rebuild();
    machine.seen
}

/// A data folder with its disks, and all that outlives a cut because it is outside.
struct Machine {
    root: tempfile::TempDir,
    /// What the logs are on.
    disk: Faulty,
    /// The operation at which it halts.
    halt: u64,
    /// At which they begin new segments.
    segment_bytes: u64,
    clock: Clock,
    dice: Dice,
    plugins: Arc<Plugins>,
    told: Told,
    promised: Promised,
    /// Everything that was ever said.
    said: Vec<Said>,
    /// What was said and not acknowledged: it must be said again.
    unanswered: Vec<Said>,
    seen: Seen,
}

/// A request that waits for its answer.
struct Request {
    said: Vec<Said>,
    arriving: Vec<Arriving>,
    answer: JoinHandle<Result<(), Unavailable>>,
}

impl Machine {
    fn new(seed: u64, plugins: Arc<Plugins>) -> Self {
        Machine {
            root: tempfile::tempdir().expect("a folder"),
            disk: Faulty::new(),
            halt: u64::MAX,
            segment_bytes: if seed.is_multiple_of(2) { Options::default().segment_bytes } else { 10_000 },
            clock: Clock::at("2026-03-01T12:00:00Z".parse().expect("valid")),
            dice: Dice(seed),
            plugins,
            told: Told::default(),
            promised: Promised::default(),
            said: Vec::new(),
            unanswered: Vec::new(),
            seen: Seen::default(),
        }
    }

    fn state(&self) -> PathBuf {
        self.root.path().join("state")
    }

    fn data(&self) -> DataFolder {
        let log = Options { segment_bytes: self.segment_bytes };
        DataFolder { files: Arc::new(self.disk.clone()), log, ..DataFolder::at(self.root.path()) }
    }

    fn has_halted(&self) -> bool {
        self.disk.operations() > self.halt
    }

    async fn start(&self) -> Engine {
        self.told.until(&self.disk, self.halt);
        let lake = vec![LAKE.to_owned()];
        let settings = Settings {
            data: self.data(),
            listen: None,
            terms: Terms { plan: Plan { event_lanes: lake.clone(), profile_lanes: lake, ..Plan::default() }, ..Terms::default() },
            clock: self.clock.clone(),
        };
        let stages = async |_: &Ledger| Ok(self.plugins.stages(&self.told));
        Engine::start(settings, stages, |_| ()).await.expect("the engine starts")
    }

    /// Says again what was not acknowledged, lets everything pass through, has what was refused go again, and checks it; then says everything again, of which
    /// nothing may follow.
    async fn catch_up(&mut self, engine: &Engine) {
        self.told.refuse_some(None);
        let unanswered = std::mem::take(&mut self.unanswered);
        self.tell(engine, unanswered).await;
        self.settle(engine).await;
        let refused = refused_events(engine);
        self.seen.refused += refused.len();
        engine.ledger().log(Input::Command(Command::DeliverAgain { letters: refused })).await.expect("the disk is well");
        self.settle(engine).await;
        let before = self.check(engine);
        let again = self.said.iter().filter(|said| said.has_name()).cloned().collect();
        self.tell(engine, again).await;
        self.settle(engine).await;
        assert_eq!(self.check(engine), before, "everything was said again");
    }

    async fn tell(&mut self, engine: &Engine, said: Vec<Said>) {
        let request = self.send(engine, said);
        self.answered(request).await;
        assert_eq!(self.unanswered.len(), 0, "the disk is well");
    }

    fn send(&self, engine: &Engine, said: Vec<Said>) -> Request {
        let (mut arrived, mut arriving) = (Arrived::default(), Vec::new());
        for one in &said {
            one.arrive(self.clock.now(), |arrival| {
                let mut bytes = Vec::new();
                arriving.push((arrival.encode(&mut bytes), bytes));
                arrived.push(arrival);
            });
        }
        let intake = engine.intake().clone();
        Request { said, arriving, answer: tokio::spawn(async move { intake.append(arrived).await }) }
    }

    async fn answered(&mut self, request: Request) {
        let answer = timeout(PATIENCE, request.answer).await.expect("an answer comes").expect("nothing panics");
        match answer {
            Ok(()) => self.promised.arrived(request.arriving),
            Err(_) => self.unanswered.extend(request.said),
        }
    }

    /// Lets everything pass through, whatever the timers wait for.
    async fn settle(&self, engine: &Engine) {
        let run_down = async {
            loop {
                let next = engine.ledger().state().due(Timestamp(i64::MAX), 1).ok().and_then(|due| due.first().copied());
                if let Some((due, _)) = next {
                    self.clock.set(due.max(self.clock.now()));
                }
                sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            () = engine.settle() => (),
            () = run_down => (),
            () = sleep(PATIENCE) => panic!("it does not settle: {:?}", engine.report()),
        }
        assert_eq!(engine.report().trouble, None);
    }

    fn check(&self, engine: &Engine) -> Everybody {
        let logs = Logs::read(engine.intake().reader(), engine.ledger().history());
        Everybody::check(&logs, &engine.ledger().state(), &self.told)
    }

    /// Does one thing after another until the disk halts, and cuts the power.
    async fn work_until_the_power_goes(&mut self, engine: Engine) {
        engine.ledger().commit().await;
        let mut durable = Image::of(&self.state()).expect("state can be read");
        self.halt = self.disk.operations() + 1 + self.dice.below(80) as u64;
        self.disk.fail(self.halt, Failure::Halt);
        self.told.until(&self.disk, self.halt);
        self.told.refuse_some(Some(Dice(self.dice.next())));
        let mut under_way: Vec<Request> = Vec::new();
        let until = Instant::now() + PATIENCE;
        while !self.has_halted() {
            assert!(Instant::now() < until, "it never comes to operation {}: {:?}", self.halt, engine.report());
            match self.dice.below(20) {
                0..9 => {
                    let said = self.speak();
                    under_way.push(self.send(&engine, said));
                }
                9..12 => {
                    for request in under_way.drain(..) {
                        self.answered(request).await;
                    }
                }
                12..14 => self.clock.set(self.clock.now().plus_ms(self.dice.below(1_500) as i64)),
                14 => {
                    engine.ledger().commit().await;
                    // Where the disk has halted, it is not known what became of the commit.
                    if !self.has_halted() {
                        durable = Image::of(&self.state()).expect("state can be read");
                    }
                }
                15..17 => drop(engine.ledger().order(Order::Commit(tokio::sync::oneshot::channel().0)).await),
                17 => self.order(&engine).await,
                18 if self.dice.below(3) == 0 => {
                    let state = engine.keeper().state.clone();
                    let compacted = tokio::task::spawn_blocking(move || state.compact()).await.expect("it does not panic");
                    compacted.expect("state is compacted, whatever the logs' disk does");
                    durable = Image::of(&self.state()).expect("state can be read");
                }
                _ => sleep(Duration::from_millis(self.dice.below(4) as u64)).await,
            }
            self.promised.look(engine.ledger());
        }
        // The committer may be at work while the logs' disk hangs.
        sleep(Duration::from_millis(*self.dice.one_of(&[0, 0, 2, 30]))).await;
        let newer = Image::of(&self.state()).expect("state can be read");
        for request in under_way {
            self.answered(request).await;
        }
        self.promised.look(engine.ledger());
        let _ = engine.stop().await;
        self.cut(&durable, &newer);
    }

    /// Something to say: mostly new, now and then something that was said before.
    fn speak(&mut self) -> Vec<Said> {
        let count = 1 + self.dice.below(12);
        for _ in 0..count {
            let serial = self.said.len() as u64;
            let one = if serial > 0 && self.dice.below(6) == 0 {
                self.said[self.dice.below(self.said.len())].clone()
            } else {
                Said::new(serial, &mut self.dice)
            };
            self.said.push(one);
        }
        self.said[self.said.len() - count..].to_vec()
    }

    /// An input that comes through no door, acknowledged or not.
    async fn order(&mut self, engine: &Engine) {
        let known = claims(&engine.ledger().state());
        let claim = known.into_iter().nth(self.dice.below(30));
        let input = match (self.dice.below(5), claim) {
            (3.., _) => Input::Command(Command::DeliverAgain { letters: refused_events(engine) }),
            (0, Some(claim)) => Input::Command(Command::Retract { claim, reason: "a test".into() }),
            (1, Some(claim)) => Input::Command(Command::Restore { claim }),
            _ => {
                let (stage, key) = ("tidy".to_owned(), format!("k{}", self.dice.below(5)));
                let value = (self.dice.below(4) > 0).then(|| self.dice.next().to_le_bytes().to_vec());
                Input::Kv(Kv { stage, key, value })
            }
        };
        if let Some(position) = engine.ledger().log(input.clone()).await {
            self.promised.logged(position, input);
        }
    }

    /// The power goes: of each disk what it may hold now.
    fn cut(&mut self, durable: &Image, newer: &Image) {
        self.seen.cuts += 1;
        self.cut_logs();
        self.wait_for_sled();
        let state = match self.dice.below(8) {
            0 => durable.clone(),
            1..4 => newer.clone(),
            _ => durable.cut(newer, self.dice.next()),
        };
        fs::remove_dir_all(self.state()).expect("the folder is ours");
        state.write(&self.state()).expect("there is room");
        if self.dice.below(5) == 0 {
            self.spoil_a_sector();
        }
    }

    /// What no barrier helps against: a sector of state's files that was being written when the power went reads as rubbish.
    fn spoil_a_sector(&mut self) {
        for folder in fs::read_dir(self.state()).expect("the folder is ours") {
            let path = folder.expect("the folder is ours").path().join("db");
            let Ok(db) = File::options().write(true).open(path) else { continue };
            // Behind this there is nothing yet: sled's file grows by whole segments.
            let used = db.metadata().expect("it is there").len().min(100_000);
            let sector = self.dice.below(1 + used as usize / SECTOR_BYTES) * SECTOR_BYTES;
            db.write_all_at(&[0xa5; SECTOR_BYTES], sector as u64).expect("there is room");
        }
    }

    fn cut_logs(&mut self) {
        let cut = *self.dice.one_of(&[Cut::Lost, Cut::Torn, Cut::Torn, Cut::Reordered, Cut::Reordered, Cut::Kept]);
        self.disk = self.disk.cut(cut, self.dice.next());
        self.halt = u64::MAX;
    }

    /// Waits until sled, which closes its files on threads of its own, has let go of them.
    fn wait_for_sled(&self) {
        for folder in fs::read_dir(self.state()).expect("the folder is ours") {
            let Ok(db) = File::open(folder.expect("the folder is ours").path().join("db")) else { continue };
            let until = Instant::now() + PATIENCE;
            while db.try_lock().is_err() {
                assert!(Instant::now() < until, "sled does not let go");
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// Opens what the cut left, before anything new comes, and checks it. The power may go again meanwhile.
    fn look_over(&mut self) {
        while self.dice.below(4) == 0 {
            self.halt = self.dice.below(8) as u64;
            self.disk.fail(self.halt, Failure::Halt);
            match Vault::open(&self.data(), |_| ()) {
                Ok(vault) => self.note(&vault.notes),
                Err(error) => assert!(self.has_halted(), "{error}"),
            }
            self.cut_logs();
            self.wait_for_sled();
        }
        let vault = Vault::open(&self.data(), |_| ()).expect("what a cut leaves can be opened");
        self.note(&vault.notes);
        let logs = Logs::read(&vault.intake.reader(), &vault.history.reader());
        self.promised.check(&logs, &vault.overlay, &self.told);
        check_against_history(&vault);
        drop(vault);
        self.wait_for_sled();
    }

    fn note(&mut self, notes: &[String]) {
        let has = |what: &str| notes.iter().any(|note| note.contains(what));
        assert!(!has("state knows"), "state was committed before its history was durable: {notes:?}");
        self.seen.tails_torn += usize::from(has("cut off"));
        if has("it is rebuilt") { self.seen.states_damaged += 1 } else { self.seen.states_kept += 1 }
    }

    /// After an orderly end nothing is found, and all of history folds to the state that there is.
    fn rebuild(&self) {
        self.wait_for_sled();
        let kept = Vault::open(&self.data(), |_| ()).expect("it opens");
        assert_eq!(kept.notes, [""; 0], "after an orderly end");
        check_against_history(&kept);
        let hash = kept.state_hash().expect("state can be read");
        drop(kept);
        self.wait_for_sled();
        let rebuilt = Vault::rebuild(&self.data(), |_| ()).expect("it rebuilds");
        assert_eq!(rebuilt.state_hash().expect("state can be read"), hash, "a rebuild gives the same state");
    }
}

/// The letters of events that the destination refused.
fn refused_events(engine: &Engine) -> Vec<(u64, u32)> {
    let letters = engine.ledger().state().letters((0, 0), usize::MAX).expect("state can be read");
    letters.into_iter().filter(|(_, letter)| matches!(letter.bytes, LetterBytes::Event(_))).map(|(id, _)| id).collect()
}

/// Checks that state is a fresh fold of history, to its end (invariants 2 and 4): here over a map instead of sled.
fn check_against_history(vault: &Vault) {
    let memory = Arc::new(MemoryState::new());
    let mut overlay = Overlay::open(memory.clone(), limits::ROWS_HELD).expect("a map can be read");
    catch_up(&vault.history.reader(), &mut overlay, &*memory, |_, _| ()).expect("history can be folded");
    assert_eq!(vault.state.position(), vault.history.durable_end());
    let (state, fold) = (vault.state.export_hash(), memory.export_hash());
    assert_eq!(state.expect("state can be read"), fold.expect("a map can be read"), "state is another than history folds to");
}
