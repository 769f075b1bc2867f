//! An engine that is killed again and again while events come in owes what it acknowledged, and nothing else (invariants 1 to 5).
//!
//! ```text
//! senders ─► weft run ◄─ SIGKILL at a random moment: starting, listening, under load, draining after SIGTERM, rebuilding
//!    ▲          │
//!    └ no 200 ◄─┘ the same batch again
//! ```
//!
//! After each restart the senders rest, and the engine must know each acknowledged event once and have no dead letter but those
//! that were provoked. Some of the killed folders are looked over by `weft doctor`, and rebuilt. At the end what the destination
//! wrote is compared with what was acknowledged and with what the engine says of everybody, and a rebuild must change nothing and
//! send nothing. A kill says nothing about power: what a disk forgets is the matter of `app/tests/power.rs`.
//!
//! `WEFT_KILLS=300 WEFT_SEED=7 cargo test -p weft-tests --test kill`: so many kills, that seed. It wants a built engine (`cargo
//! build -p weft`, or `WEFT_BIN`) and built plugins (`cargo xtask plugins`, or `WEFT_PLUGINS_DIST`).

#[path = "kill/lake.rs"]
mod lake;
#[path = "kill/people.rs"]
mod people;
#[path = "kill/process.rs"]
mod process;
#[path = "kill/senders.rs"]
mod senders;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::people::{Dice, PEOPLE, People};
use crate::process::{Engine, Line, PATIENCE, Place};
use crate::senders::{Senders, Told};

/// Kills of a quick run.
const KILLS: u64 = 12;
/// Events of a customer that the engine shows at most: where there are more, they are counted and not looked at.
const EVENTS_SHOWN_MAX: u64 = 1_000;
/// How long a destination is watched that should be sent nothing: past the time that a changed profile rests.
const SILENCE: Duration = Duration::from_millis(1_500);

/// When an engine is killed.
#[derive(Clone, Copy, Debug)]
enum Moment {
    /// So long after it was started, whether it listens or not.
    Starting(Duration),
    /// As soon as it listens, with all that waited coming in.
    Listening,
    /// After so long under load.
    Loaded(Duration),
    /// After so long under load, and so long after SIGTERM.
    Draining(Duration, Duration),
    /// No engine but `weft rebuild`, so long after it was started: while state is folded anew, or swapped.
    Rebuilding(Duration),
}

impl Moment {
    fn of(dice: &mut Dice) -> Self {
        let mut ms = |least: u64, below: u64| Duration::from_millis(least + dice.below(below));
        let (start, load, drain, rebuild) = (ms(0, 500), ms(20, 1_800), ms(0, 250), ms(100, 1_500));
        match dice.below(100) {
            0..25 => Moment::Starting(start),
            25..35 => Moment::Listening,
            35..65 => Moment::Loaded(load),
            65..75 => Moment::Rebuilding(rebuild),
            _ => Moment::Draining(load / 2, drain),
        }
    }
}

#[test]
fn an_engine_that_is_killed_again_and_again_keeps_what_it_acknowledged() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let clock = || std::time::UNIX_EPOCH.elapsed().map_or(0, |since| since.subsec_nanos().into());
    let (seed, kills) = (number("WEFT_SEED").unwrap_or_else(clock), number("WEFT_KILLS").unwrap_or(KILLS));
    let folder = tempfile::tempdir().expect("a folder");
    let place = Place {
        workspace: folder.path().join("workspace"),
        log: folder.path().join("engine.log"),
        key: format!("key-{seed}-{}", std::process::id()),
    };
    write_workspace(&place.workspace);
    if let Err(what) = run(&place, People { seed }, kills) {
        let kept = folder.keep();
        panic!(
            "{what}\n\nthe engines printed at last:\n{}\n\nthe folder is kept: {}\nonce more: WEFT_SEED={seed} WEFT_KILLS={kills} cargo test -p weft-tests --test kill",
            place.last_lines(),
            kept.display(),
        );
    }
}

fn write_workspace(workspace: &Path) {
    let built = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/dist");
    let dist = std::env::var_os("WEFT_PLUGINS_DIST").map_or_else(built, PathBuf::from);
    std::fs::create_dir_all(workspace.join("plugins")).expect("a folder");
    // Copies: whoever builds plugins meanwhile changes nothing here.
    let plugin = |name: &str| {
        let (built, path) = (dist.join(format!("{name}.wasm")), format!("plugins/{name}.wasm"));
        std::fs::copy(&built, workspace.join(&path))
            .unwrap_or_else(|error| panic!("{}: {error}; the plugins are built by `cargo xtask plugins`", built.display()));
        format!("  {name}: {{ path: {path} }}\n")
    };
    let plugins: String = ["segment", "normalize", "file"].map(plugin).concat();
    std::fs::write(workspace.join("weft.yaml"), format!("version: 1\nplugins:\n{plugins}{WORKSPACE}")).expect("a file");
}

/// A workspace without its plugins. Port 0: each start listens where there is room.
const WORKSPACE: &str = r#"
name: kill
zone: Europe/Berlin
listen: "127.0.0.1:0"
sources:
  web: { plugin: segment, http: { path: /segment }, config: { write_keys: ["${secret:WEB_KEY}"] } }
transforms:
  tidy: { plugin: normalize, inputs: [web], config: { default_region: DE } }
identity:
  identifiers:
    user_id:      { limit: 1, login: true }
    email:        { limit: 5 }
    phone:        { limit: 5 }
    anonymous_id: { limit: 100 }
destinations:
  lake: { plugin: file, from: { events: all, profiles: all }, config: { path: out } }
"#;

fn run(place: &Place, people: People, kills: u64) -> Result<(), String> {
    // Compiles the plugins, so that kills hit the engine and not the compiler.
    place.run(&["check"])?;
    let senders = Senders::start(people, &place.key);
    for kill in 0..kills {
        let mut dice = Dice::of(people.seed, &[4, kill]);
        let moment = Moment::of(&mut dice);
        let started = Instant::now();
        kill_at(place, &senders, moment)
            .and_then(|()| if dice.percent(20) { look_over(place) } else { Ok(()) })
            .map_err(|what| format!("kill {kill} ({moment:?}, {} ms after its start): {what}", started.elapsed().as_millis()))?;
    }
    end(place, &senders, people)
}

/// Starts an engine, checks it if it gets so far, and kills it.
fn kill_at(place: &Place, senders: &Senders, moment: Moment) -> Result<(), String> {
    if let Moment::Rebuilding(after) = moment {
        let rebuild = Engine::start(place, "rebuild")?;
        std::thread::sleep(after);
        return match rebuild.kill() {
            Some(status) if !status.success() => Err(format!("the rebuild ended with {status}")),
            _ => Ok(()),
        };
    }
    let mut engine = Engine::start(place, "run")?;
    if let Moment::Starting(after) = moment {
        std::thread::sleep(after);
        return match engine.kill() {
            Some(status) => Err(format!("the engine ended by itself: {status}")),
            None => Ok(()),
        };
    }
    let address = engine.address()?;
    senders.point_at(Some(address));
    if let Moment::Loaded(load) | Moment::Draining(load, _) = moment {
        settle(address, &senders.rest()?)?;
        senders.send();
        std::thread::sleep(load);
    }
    if let Moment::Draining(_, drain) = moment {
        engine.terminate()?;
        std::thread::sleep(drain);
    }
    let ended = engine.kill();
    senders.point_at(None);
    match (moment, ended) {
        // It was told to, and was quick.
        (Moment::Draining(..), Some(status)) if status.success() => Ok(()),
        (_, Some(status)) => Err(format!("the engine ended by itself: {status}")),
        (_, None) => Ok(()),
    }
}

/// Waits until a condition holds; where it does not in time, what it said at last.
fn eventually<T>(mut holds: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    let until = Instant::now() + PATIENCE;
    loop {
        match holds() {
            Err(_) if Instant::now() < until => std::thread::sleep(Duration::from_millis(20)),
            settled => return settled,
        }
    }
}

/// Checks an engine whose senders rest: it has folded each acknowledged event once (invariants 1, 3 and 5), and its dead letters
/// are the ones that were provoked.
fn settle(address: SocketAddr, told: &Told) -> Result<(), String> {
    let mut line = Line::to(address).map_err(|error| error.to_string())?;
    let status = eventually(|| {
        let status = line.get("/api/v1/status")?;
        if is_unwell(&status) || is_settled(&status) { Ok(status) } else { Err(format!("it does not settle: {status}")) }
    })?;
    if is_unwell(&status) {
        return Err(format!("something is wrong: {status}"));
    }
    let (events, owed) = (status["totals"]["events"].as_u64(), told.acknowledged.len() as u64);
    if events != Some(owed) {
        return Err(format!("{owed} events were acknowledged, and the engine knows {events:?}: {status}"));
    }
    let letters = status["totals"]["letters"].as_u64().unwrap_or(0);
    if !(told.refused_acknowledged..=told.refused_sent).contains(&letters) {
        let (least, most) = (told.refused_acknowledged, told.refused_sent);
        return Err(format!("{letters} dead letters, and {least} to {most} were provoked: {status}"));
    }
    Ok(())
}

/// Whether a status says that something went wrong: nothing ever should.
fn is_unwell(status: &Value) -> bool {
    let unwell = |lane: &Value| lane["rejected_total"] != 0 || !lane["last_error"].is_null();
    !status["trouble"].is_null() || status["lanes"].as_array().is_none_or(|lanes| lanes.len() != 2 || lanes.iter().any(unwell))
}

/// Whether a status says that all that arrived has passed through: intake, history, lanes.
fn is_settled(status: &Value) -> bool {
    let done = |part: &str| status[part]["records"].is_u64() && status[part]["records"] == status[part]["through"];
    let told =
        |lane: &Value| lane["waiting"] == 0 && (lane["stream"] != "events" || lane["seen"] == status["history"]["records"]);
    done("intake") && done("history") && status["lanes"].as_array().is_some_and(|lanes| lanes.iter().all(told))
}

/// Looks a folder over in which no engine runs: the doctor finds nothing, and history folds to the state that there is
/// (invariants 2 and 4), with nothing sent.
fn look_over(place: &Place) -> Result<(), String> {
    let out = place.workspace.join("out");
    let written = if out.is_dir() { lake::everything(&out)? } else { BTreeMap::new() };
    place.run(&["doctor"])?;
    let rebuilt = place.run(&["rebuild", "--json"])?;
    let rebuilt: Value = serde_json::from_slice(&rebuilt.stdout).map_err(|error| format!("what rebuild says: {error}"))?;
    if rebuilt["same"] != true {
        return Err(format!("history folds to another state than there is: {rebuilt}"));
    }
    if out.is_dir() && lake::everything(&out)? != written {
        return Err("a rebuild wrote to the destination".into());
    }
    Ok(())
}

/// Everybody's last word, a last kill, and the account.
fn end(place: &Place, senders: &Senders, people: People) -> Result<(), String> {
    let mut engine = Engine::start(place, "run")?;
    senders.point_at(Some(engine.address()?));
    senders.rest()?;
    for batch in people.last_word() {
        senders.say(people, &place.key, &batch)?;
    }
    if let Some(status) = engine.kill() {
        return Err(format!("the engine ended by itself: {status}"));
    }

    let mut engine = Engine::start(place, "run")?;
    let address = engine.address()?;
    let told = senders.rest()?;
    settle(address, &told)?;
    has_everybody(address, &told.acknowledged)?;
    let out = place.workspace.join("out");
    eventually(|| lake::has_each_event_once(&out, &told.acknowledged))?;
    // Profiles rest for a moment before destinations hear of them.
    eventually(|| lake::has_the_latest_profiles(&out, &profiles(address)?))?;
    settle(address, &told)?;
    let before = profiles(address)?;
    engine.stop()?;
    look_over(place)?;

    // The state that was folded anew is lived with: everything is known, and nothing is sent again.
    let written = lake::everything(&out)?;
    let mut engine = Engine::start(place, "run")?;
    let address = engine.address()?;
    std::thread::sleep(SILENCE);
    settle(address, &told)?;
    if profiles(address)? != before {
        return Err("profiles are others after a rebuild".into());
    }
    engine.stop()?;
    if lake::everything(&out)? != written {
        return Err("an engine that was rebuilt wrote to the destination again".into());
    }
    place.run(&["doctor"])?;
    let lost = told.tries_lost;
    report(&format!(
        "seed {}: {} requests with {} events, {lost} tries lost",
        people.seed,
        told.requests,
        told.acknowledged.len()
    ));
    Ok(())
}

/// Everybody's profile, by customer.
fn profiles(address: SocketAddr) -> Result<BTreeMap<String, Value>, String> {
    let mut line = Line::to(address).map_err(|error| error.to_string())?;
    let mut profiles = BTreeMap::new();
    for person in 0..PEOPLE {
        let mut explained = line.get(&format!("/api/v1/profiles/user_id/{}", People::user_id(person)))?;
        let profile = explained["profile"].take();
        profiles.insert(profile["customer_id"].as_str().unwrap_or_default().to_owned(), profile);
    }
    Ok(profiles)
}

/// Checks that each person is one customer, and that every acknowledged event is some customer's, once.
fn has_everybody(address: SocketAddr, acknowledged: &BTreeSet<String>) -> Result<(), String> {
    let mut line = Line::to(address).map_err(|error| error.to_string())?;
    let profiles = profiles(address)?;
    let customers = line.get("/api/v1/status")?["totals"]["customers"].take();
    if profiles.len() as u64 != PEOPLE || customers != PEOPLE {
        return Err(format!("{PEOPLE} people are {} customers with a user id, of {customers}", profiles.len()));
    }
    let count = |profile: &Value| profile["events_total"].as_u64().unwrap_or(0);
    let total: u64 = profiles.values().map(count).sum();
    if total != acknowledged.len() as u64 {
        return Err(format!("{} events were acknowledged, and customers have {total}", acknowledged.len()));
    }
    if profiles.values().any(|profile| count(profile) > EVENTS_SHOWN_MAX) {
        return Ok(());
    }
    let mut shown = BTreeSet::new();
    for person in 0..PEOPLE {
        let events =
            line.get(&format!("/api/v1/profiles/user_id/{}/events?limit={EVENTS_SHOWN_MAX}", People::user_id(person)))?;
        for event in events["events"].as_array().into_iter().flatten() {
            let id = event["event"]["message_id"].as_str().unwrap_or_default();
            if !acknowledged.contains(id) || !shown.insert(id.to_owned()) {
                return Err(format!("the event `{id}` of u{person} was not acknowledged, or is there twice"));
            }
        }
    }
    match acknowledged.difference(&shown).next() {
        Some(id) => Err(format!("the event `{id}` was acknowledged, and is not in history")),
        None => Ok(()),
    }
}

/// A line for those who run this with `--nocapture`.
#[expect(clippy::print_stderr, reason = "it is a test that speaks")]
fn report(what: &str) {
    eprintln!("{what}");
}
