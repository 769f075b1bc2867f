//! Sources that the engine reads by itself: what is read, what is not read twice, and what follows a file through its rotations.
//!
//! The plugin is `plugins/fixtures/source.wat`, which emits each chunk as it is: a file with one event in it is one event.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use weft::clock::Clock;
use weft::driver::{Driver, Files, Reads, Schedule, Standing};
use weft::engine::{Engine, Settings, Stages, Terms};
use weft::vault::DataFolder;
use weft_domain::value::Timestamp;
use weft_domain::view::View;
use weft_host::{Host, HostOptions, Nothing, Plugin, Stage, WantedLimits};

const NAME: &str = "list";

struct World {
    folder: tempfile::TempDir,
    plugin: Plugin,
    clock: Clock,
}

impl World {
    async fn new() -> World {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("inbox")).expect("makes");
        let host =
            Host::new(HostOptions { instances_max: 8, ..HostOptions::new(folder.path().join("cache")) }).expect("a sandbox");
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/fixtures/source.wat");
        let plugin = host.load(&fixture).await.expect("a plugin");
        World { folder, plugin, clock: Clock::Wall }
    }

    async fn start(&self, reads: Reads) -> (Engine, Arc<std::sync::Mutex<Standing>>) {
        let (config, limits) = ("{}".to_owned(), WantedLimits::default());
        let stage = Stage { name: NAME.into(), config, lent: Arc::new(Nothing), limits };
        let driver = Driver {
            name: NAME.into(),
            environment: weft_domain::event::Environment::default(),
            source: Arc::new(self.plugin.source(stage).expect("a source")),
            fingerprint: "1".into(),
            making: None,
            reads,
            standing: Arc::default(),
        };
        let standing = driver.standing.clone();
        let data = DataFolder::at(&self.folder.path().join("data"));
        let settings = Settings { data, listen: None, terms: Terms::default(), clock: self.clock.clone() };
        let stages = async |_: &_| Ok(Stages { drivers: vec![driver], ..Stages::default() });
        (Engine::start(settings, stages, |_| ()).await.expect("the engine starts"), standing)
    }

    fn files(&self, pattern: &str, tail: bool) -> Reads {
        let pattern = self.folder.path().join("inbox").join(pattern).display().to_string();
        let (rest, every) = (Duration::from_millis(100), Duration::from_millis(200));
        Reads::Files(Files { pattern, closed: Vec::new(), tail, rest, every })
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join("inbox").join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).expect("writes");
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(self.path(name)).expect("opens");
        file.write_all(text.as_bytes()).expect("writes");
    }

    fn rename(&self, from: &str, to: &str) {
        std::fs::rename(self.path(from), self.path(to)).expect("renames");
    }
}

/// An event as a line; long enough for a file to be known by.
fn event(id: &str) -> String {
    format!(r#"{{"type":"track","name":"Read","message_id":"{id}","claims":[{{"type":"user_id","value":"{id}"}}]}}"#) + "\n"
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

/// Waits until so many events are folded; then a while longer, in which no more may come.
async fn events(engine: &Engine, want: u64) {
    let folded = || engine.ledger().state().totals().events;
    for _ in 0..500 {
        if folded() >= want {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(folded(), want, "{:?}", engine.report());
}

async fn know(engine: &Engine, id: &str) {
    let known = weft_domain::explain::whose(&*engine.ledger().state(), "user_id", id).expect("reads");
    assert!(known.is_some(), "{id}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_complete_file_is_read_once_whatever_it_is_called() {
    let world = World::new().await;
    world.write("a.json", event("a").as_bytes());
    world.write("b.json", &gzip(&event("b")));
    world.write("c.json", &zstd::encode_all(event("c").as_bytes(), 1).expect("packs"));
    world.write(".hidden.json", event("hidden").as_bytes());
    let (engine, standing) = world.start(world.files("*.json", false)).await;
    events(&engine, 3).await;
    for id in ["a", "b", "c"] {
        know(&engine, id).await;
    }
    // Renamed, copied, touched: it is the same.
    world.rename("a.json", "d.json");
    std::fs::copy(world.path("d.json"), world.path("e.json")).expect("copies");
    world.write("b.json", &gzip(&event("b")));
    events(&engine, 3).await;
    // Replaced: it is another.
    world.write("d.json", event("d").as_bytes());
    events(&engine, 4).await;
    know(&engine, "d").await;
    assert_eq!(standing.lock().expect("whole").finished, 4);
    engine.stop().await.expect("stops");

    let (engine, standing) = world.start(world.files("*.json", false)).await;
    world.write("f.json", event("f").as_bytes());
    events(&engine, 5).await;
    let now = standing.lock().expect("whole").clone();
    assert_eq!((now.events_total, now.finished), (1, 5));
    engine.stop().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_file_harms_no_other_and_is_read_once_it_is_whole() {
    let world = World::new().await;
    let whole = gzip(&event("torn"));
    world.write("a.json", &whole[..whole.len() - 9]);
    world.write("b.json", event("b").as_bytes());
    let (engine, standing) = world.start(world.files("*.json", false)).await;
    events(&engine, 1).await;
    let error = standing.lock().expect("whole").last_error.clone().expect("an error");
    assert!(error.contains("a.json"), "{error}");
    world.write("a.json", &whole);
    events(&engine, 2).await;
    engine.stop().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_growing_file_is_followed_through_its_rotations() {
    let world = World::new().await;
    let (engine, _) = world.start(world.files("app.log*", true)).await;
    world.append("app.log", &event("1"));
    events(&engine, 1).await;
    world.append("app.log", &event("2"));
    events(&engine, 2).await;
    // Rotated by renaming, and written once more under its new name.
    world.rename("app.log", "app.log.1");
    world.append("app.log.1", &event("3"));
    world.append("app.log", &event("4"));
    events(&engine, 4).await;
    engine.stop().await.expect("stops");

    // While nothing runs: more is written, rotated again, and packed.
    world.append("app.log", &event("5"));
    let old = std::fs::read_to_string(world.path("app.log.1")).expect("reads");
    world.write("app.log.2.gz", &gzip(&old));
    std::fs::remove_file(world.path("app.log.1")).expect("removes");
    let (engine, _) = world.start(world.files("app.log*", true)).await;
    events(&engine, 5).await;
    // Copied and cut, as logrotate's copytruncate does.
    std::fs::copy(world.path("app.log"), world.path("app.log.1")).expect("copies");
    events(&engine, 5).await;
    world.write("app.log", b"");
    events(&engine, 5).await;
    world.append("app.log", &event("6"));
    events(&engine, 6).await;
    // Out of sight: what it still has is read.
    world.append("app.log", &event("7"));
    world.rename("app.log", "gone.txt");
    events(&engine, 7).await;
    engine.stop().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_is_asked_by_its_schedule_and_goes_on_where_it_was() {
    let mut world = World::new().await;
    let start: Timestamp = "2026-03-01T12:00:00Z".parse().expect("valid");
    world.clock = Clock::at(start);
    let letters = |engine: &Engine| engine.ledger().state().totals().letters;
    let polled = async |engine: &Engine, standing: &std::sync::Mutex<Standing>, at: Timestamp, next: Timestamp| {
        for _ in 0..500 {
            let now = standing.lock().expect("whole").clone();
            if now.done_at == Some(at) && now.next_at == Some(next) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let now = standing.lock().expect("whole").clone();
        assert_eq!((now.done_at, now.next_at), (Some(at), Some(next)), "{now:?}");
        engine.settle().await;
    };
    let hour = |hours: i64| start.plus_ms(hours * 3_600_000);
    let every = Schedule::Every(3_600_000);
    let (engine, standing) = world.start(Reads::Api(every.clone())).await;
    // Each poll emits `1`, which is no event, and checkpoints a state.
    polled(&engine, &standing, start, hour(1)).await;
    assert_eq!(letters(&engine), 1);
    let state = engine.ledger().state().value("list/position", "state").expect("reads").expect("a state");
    assert_eq!(state.0, br#"{"at":1}"#);
    world.clock.set(hour(1));
    polled(&engine, &standing, hour(1), hour(2)).await;
    assert_eq!(letters(&engine), 2);
    engine.stop().await.expect("stops");

    // Three were missed: one poll catches up.
    world.clock.set(hour(5));
    let (engine, standing) = world.start(Reads::Api(every.clone())).await;
    polled(&engine, &standing, hour(5), hour(6)).await;
    assert_eq!(letters(&engine), 3);
    engine.stop().await.expect("stops");

    // None was missed: the next one waits.
    let (engine, standing) = world.start(Reads::Api(every)).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let now = standing.lock().expect("whole").clone();
    assert_eq!((now.done_at, now.next_at), (None, Some(hour(6))));
    engine.stop().await.expect("stops");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_is_polled_by_five_fields_and_what_was_missed_is_caught_up_with_once() {
    let mut world = World::new().await;
    let at = |text: &str| text.parse::<Timestamp>().expect("valid");
    // Friday evening in Berlin; on Sunday the clocks are put forward from 02:00 to 03:00.
    let start = at("2026-03-27T20:50:00Z");
    world.clock = Clock::at(start);
    let zone = weft::config::zone::find("Europe/Berlin").expect("a zone");
    let schedule = |cron: &str| Reads::Api(Schedule::Cron { cron: cron.parse().expect("five fields"), zone: zone.clone() });
    let polled = async |engine: &Engine, standing: &std::sync::Mutex<Standing>, done: &str, next: &str, polls: u64| {
        let want = (Some(at(done)), Some(at(next)));
        let now = || standing.lock().expect("whole").clone();
        for _ in 0..500 {
            if (now().done_at, now().next_at) == want {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!((now().done_at, now().next_at), want, "{:?}", now());
        engine.settle().await;
        // Each poll emits `1`, which is no event.
        assert_eq!(engine.ledger().state().totals().letters, polls);
    };
    let (engine, standing) = world.start(schedule("30 2,21 * * *")).await;
    polled(&engine, &standing, "2026-03-27T20:50:00Z", "2026-03-28T01:30:00Z", 1).await;
    world.clock.set(at("2026-03-28T01:29:59.999Z"));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(standing.lock().expect("whole").done_at, Some(start));
    world.clock.set(at("2026-03-28T01:30:00Z"));
    polled(&engine, &standing, "2026-03-28T01:30:00Z", "2026-03-28T20:30:00Z", 2).await;
    world.clock.set(at("2026-03-28T20:30:00Z"));
    polled(&engine, &standing, "2026-03-28T20:30:00Z", "2026-03-29T01:00:00Z", 3).await;
    engine.stop().await.expect("stops");

    // Nothing ran for days: one poll for all that was missed, and none for what comes after it until it is due.
    world.clock.set(at("2026-04-01T10:00:00Z"));
    let (engine, standing) = world.start(schedule("30 2,21 * * *")).await;
    polled(&engine, &standing, "2026-04-01T10:00:00Z", "2026-04-01T19:30:00Z", 4).await;
    engine.stop().await.expect("stops");

    // Another schedule counts from the last poll on.
    let (engine, standing) = world.start(schedule("*/15 9-17 * * MON-FRI")).await;
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        if standing.lock().expect("whole").next_at.is_some() {
            break;
        }
    }
    let now = standing.lock().expect("whole").clone();
    assert_eq!((now.done_at, now.next_at), (None, Some(at("2026-04-01T10:15:00Z"))));
    engine.stop().await.expect("stops");
}
