//! Erased means gone (invariant 10): whatever state and the logs had of a person is found nowhere in the data folder, neither as it is
//! written nor through the readers; neighbours are as they were; and a crash at any step is made up for at the next start.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use weft::bounds::Bounds;
use weft::clock::Clock;
use weft::engine::{Engine, Settings, Stages, Terms};
use weft::erasure::{self, Erasure, Progress};
use weft::events::Who;
use weft::intake::{Arrived, Origin};
use weft::vault::{DataFolder, Vault};
use weft_domain::event::Environment;
use weft_domain::explain::{explain, whose};
use weft_domain::input::{Arrival, Input, Kv, Receipts, Rejected, Stream};
use weft_domain::plan::Plan;
use weft_domain::value::Timestamp;
use weft_domain::view::View;
use weft_store::StoreError;
use weft_store::files::{Disk, Files, OpenFile};
use weft_store::log::{Log, Options};
use weft_store::state::{Space, StateStore};

const NOON: &str = "2026-03-01T12:00:00Z";

/// By then every profile has rested.
const LATER: &str = "2026-03-01T12:01:00Z";

/// What only Ann's data has in it: identifiers, traits, properties, what is in dead letters and in plugins' stores.
const ANNS: [&str; 8] = [
    "ann.marker@shop.example",
    "user-ann-4711",
    "anon-ann-0815",
    "Annagasse-Marker-12",
    "parcel-for-ann-9",
    "letter-of-ann-77",
    "kv-of-ann-33",
    "dropped-of-ann-55",
];

/// What only Bob's data has in it, some of it in the same records as Ann's.
const BOBS: [&str; 4] = ["bob.marker@shop.example", "Bobweg-Marker-3", "letter-of-bob-78", "kv-of-bob-34"];

fn small() -> Options {
    Options { segment_bytes: 8 << 10 }
}

fn settings(data: DataFolder, suppress: bool) -> Settings {
    let plan = Plan { profile_lanes: vec!["lake".into()], ..Plan::default() };
    let bounds = Bounds { suppress, ..Bounds::default() };
    let clock = Clock::at(LATER.parse().expect("valid"));
    Settings { data, listen: None, terms: Terms { plan, bounds, ..Terms::default() }, clock }
}

fn folder(root: &Path) -> DataFolder {
    DataFolder { log: small(), ..DataFolder::at(root) }
}

async fn start(data: DataFolder) -> Engine {
    Engine::start(settings(data, true), async |_| Ok(Stages::default()), |_| ()).await.expect("the engine starts")
}

/// Puts events into intake as a door does.
async fn tell(engine: &Engine, events: &[String]) {
    let mut arrived = Arrived::default();
    let at: Timestamp = NOON.parse().expect("valid");
    let suppression = engine.ledger().suppression();
    let origin = Origin { source: "web", environment: Environment::Production, at, suppression };
    events.iter().for_each(|json| origin.event(json.as_bytes(), &mut arrived));
    put(engine, arrived).await;
}

async fn put(engine: &Engine, arrived: Arrived) {
    if !arrived.is_empty() {
        engine.intake().append(arrived).await.expect("intake takes them");
    }
    while engine.ledger().intake_through() < engine.intake().reader().durable_end() {
        assert_eq!(engine.report().trouble, None);
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn anns_visit(id: &str) -> String {
    format!(
        r#"{{"type":"identify","message_id":"{id}","claims":[{{"type":"anonymous_id","value":"anon-ann-0815"}},{{"type":"user_id","value":"user-ann-4711"}}],"traits":{{"street":"Annagasse-Marker-12"}}}}"#
    )
}

fn bobs_visit(id: &str) -> String {
    format!(
        r#"{{"type":"identify","message_id":"{id}","claims":[{{"type":"email","value":"bob.marker@shop.example"}}],"traits":{{"street":"Bobweg-Marker-3"}}}}"#
    )
}

/// A shop in which Ann has left traces everywhere, among others.
async fn live(engine: &Engine) {
    let mut events = vec![anns_visit("a1"), bobs_visit("b1"), anns_visit("a1")];
    events.push(r#"{"type":"track","name":"Ordered","message_id":"a2","claims":[{"type":"user_id","value":"user-ann-4711"},{"type":"email","value":"ann.marker@shop.example"}],"properties":{"note":"parcel-for-ann-9"}}"#.into());
    for number in 0..120 {
        events.push(format!(
            r#"{{"type":"track","name":"Seen","message_id":"c{number}","claims":[{{"type":"user_id","value":"crowd-{}"}}],"properties":{{"page":"page-{number}"}}}}"#,
            number % 30
        ));
        if number % 20 == 0 {
            events.push(anns_visit(&format!("a-{number}")));
        }
    }
    for some in events.chunks(25) {
        tell(engine, some).await;
    }
    let mut arrived = Arrived::default();
    let batch = br#"{"batch":[{"userId":"user-ann-4711","x":"letter-of-ann-77"},{"userId":"crowd-1","x":"letter-of-bob-78"}]}"#;
    let (source, code) = ("web", "invalid");
    arrived.push(&Arrival::Refused { source, code, message: "no", coming: "", bytes: batch });
    let alone = br#"{"email":"Ann.Marker@shop.example","x":"letter-of-ann-77"}"#;
    arrived.push(&Arrival::Refused { source, code, message: "cannot take ann.marker@shop.example", coming: "", bytes: alone });
    put(engine, arrived).await;
    let keep = async |key: &str, value: &str| {
        let kv = Kv { stage: "crm".into(), key: key.into(), value: Some(value.as_bytes().to_vec()) };
        engine.ledger().keep(kv).await.expect("the writer works").expect("there is room");
    };
    keep("user-ann-4711", "kv-of-ann-33").await;
    keep("contact", r#"{"email":"ann.marker@shop.example","at":"kv-of-ann-33"}"#).await;
    keep("contact", r#"{"email":"bob.marker@shop.example","at":"kv-of-bob-34"}"#).await;
    keep("gone", r#"{"user_id":"user-ann-4711","at":"dropped-of-ann-55"}"#).await;
    let gone = Kv { stage: "crm".into(), key: "gone".into(), value: None };
    engine.ledger().keep(gone).await.expect("the writer works").expect("taken away");
    // Profiles wait for the destination, and it refused the first of them with a word about Ann.
    let message = "no such street: ann.marker@shop.example".to_owned();
    let rejected = vec![Rejected { position: 0, code: "refused".into(), message, attempts: 1 }];
    let receipts = Receipts { lane: "lake".into(), stream: Stream::Profiles, through: 1, rejected, again: Vec::new(), at: None };
    while engine.ledger().state().lane("lake").expect("readable").profiles_next < 2 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    engine.ledger().log(Input::Receipts(receipts)).await.expect("logged");
    engine.ledger().commit().await;
}

/// Waits until an erasure is completed and nothing of the work lies beside the logs any more.
async fn erased(engine: &Engine, root: &Path, id: &str) -> Erasure {
    let key = [root.join("erasure/key")];
    for _ in 0..3_000 {
        let found = erasure::find(engine.ledger(), id).expect("readable").expect("it was asked for");
        assert_eq!(found.trouble, None);
        if found.status == Progress::Completed && files(&root.join("erasure")) == key {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the erasure does not end");
}

fn ann() -> Who {
    Who::Identifier("email".into(), "ann.marker@shop.example".into())
}

/// Every file of a folder.
fn files(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    // What goes while it is looked at is gone.
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// Where each needle is: in the bytes of the files, in the records of either log, and in the rows of state. State is searched as any JSON
/// or row would show it, regardless of case.
fn search(root: &Path, needles: &[&str]) -> BTreeMap<String, Vec<String>> {
    let mut haystack: Vec<(String, Vec<u8>)> =
        files(root).into_iter().map(|path| (path.display().to_string(), fs::read(&path).unwrap_or_default())).collect();
    for name in ["intake", "history"] {
        let (log, _) = Log::open(Arc::new(Disk), &root.join(name), small()).expect("opens");
        let mut cursor = log.reader().cursor(log.reader().start());
        while let Some(block) = cursor.next().expect("readable") {
            for (position, record) in block.records() {
                haystack.push((format!("{name} {position}"), record.bytes.to_vec()));
                // A value is written as numbers, which would hide what it says.
                if let Ok(Input::Kv(Kv { value: Some(value), .. })) = Input::decode(record.kind, record.bytes) {
                    haystack.push((format!("{name} {position}, its value"), value));
                }
            }
        }
        log.close().expect("closes");
    }
    let vault = Vault::open(&folder(root), |_| ()).expect("opens");
    vault
        .state
        .export(&mut |space, key, value| {
            haystack.push((format!("{space:?}"), [key, b" ", value].concat()));
            Ok(())
        })
        .expect("readable");
    vault.close().expect("closes");
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for needle in needles {
        let wanted = needle.to_lowercase();
        for (place, bytes) in &haystack {
            if String::from_utf8_lossy(bytes).to_lowercase().contains(&wanted) {
                found.entry((*needle).to_owned()).or_default().push(place.clone());
            }
        }
    }
    found
}

/// All rows of a state but those of the duplicate window, of destinations and of the counts.
fn people(vault: &Vault) -> Vec<String> {
    let mut rows = Vec::new();
    let visit = &mut |space: Space, key: &[u8], value: &[u8]| {
        if ![Space::Delivery, Space::Lane, Space::Meta, Space::Window].contains(&space) {
            rows.push(format!("{space:?} {key:?} {:?}", weft_store::format::open(value)?.1));
        }
        Ok::<(), StoreError>(())
    };
    vault.state.export(visit).expect("readable");
    rows
}

fn check_gone(root: &Path) {
    let found = search(root, &ANNS);
    assert!(found.is_empty(), "{found:#?}");
    let found = search(root, &BOBS);
    assert_eq!(found.len(), BOBS.len(), "{found:#?}");

    let vault = Vault::open(&folder(root), |_| ()).expect("opens");
    let (kept, hash) = (people(&vault), vault.state_hash().expect("readable"));
    assert_eq!(whose(&vault.overlay, "user_id", "user-ann-4711").expect("readable"), None);
    let bob = whose(&vault.overlay, "email", "bob.marker@shop.example").expect("readable").expect("Bob is known");
    let explained = explain(&vault.overlay, bob).expect("readable").expect("a customer");
    assert_eq!((explained.profile.events_total, explained.profile.traits.len()), (1, 1));
    vault.close().expect("closes");

    let vault = Vault::rebuild(&folder(root), |_| ()).expect("folds what there is");
    assert_eq!(vault.state_hash().expect("readable"), hash, "a rebuild begins with the base, and gives the same");
    vault.close().expect("closes");

    fs::remove_dir_all(root.join("state")).expect("removed");
    let vault = Vault::open(&folder(root), |_| ()).expect("folds the rewritten history from its beginning");
    assert_eq!(people(&vault), kept, "what is known of people is what the rewritten history says");
    vault.close().expect("closes");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_erased_is_found_nowhere_and_neighbours_are_intact() {
    let root = tempfile::tempdir().expect("a folder");
    let engine = start(folder(root.path())).await;
    live(&engine).await;
    engine.stop().await.expect("an orderly stop");
    let before = search(root.path(), &ANNS);
    assert_eq!(before.len(), ANNS.len(), "{before:#?}");

    let engine = start(folder(root.path())).await;
    let asked = engine.eraser().ask(ann(), "she asked for it".into()).await.expect("asked");
    assert_eq!(asked.status, Progress::Pending);
    let done = erased(&engine, root.path(), &asked.id).await;
    assert_eq!((done.suppressed, done.removed["events"]), (3, 8), "{done:?}");
    assert!(done.removed["history"] > 8 && done.removed["intake"] > 8, "{done:?}");
    engine.stop().await.expect("an orderly stop");
    check_gone(root.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_erased_and_comes_again_is_left_out_until_that_is_lifted() {
    let root = tempfile::tempdir().expect("a folder");
    let engine = start(folder(root.path())).await;
    live(&engine).await;
    let asked = engine.eraser().ask(ann(), "she asked for it".into()).await.expect("asked");
    erased(&engine, root.path(), &asked.id).await;
    let before = engine.intake().reader().durable_end();
    let known = |engine: &Engine| whose(&*engine.ledger().state(), "user_id", "user-ann-4711").expect("readable").is_some();
    tell(&engine, &[anns_visit("late-1")]).await;
    assert!(!known(&engine) && engine.intake().reader().durable_end() == before, "no byte is kept");

    // One that was in intake already, or whose identifier a transform brings, is left out before history.
    let mut arrived = Arrived::default();
    let json = anns_visit("late-2");
    arrived.push(&Arrival::Event { source: "web", named: weft_domain::input::Named::BySender, json: json.as_bytes() });
    put(&engine, arrived).await;
    assert!(!known(&engine));
    let kept = |engine: &Engine| {
        let record = engine.intake().reader().record(before).expect("readable");
        String::from_utf8_lossy(&record.bytes).contains("late-2")
    };
    assert!(kept(&engine));
    engine.eraser().sweep().await.expect("swept");
    assert!(!kept(&engine), "it does not stay in intake");
    engine.stop().await.expect("an orderly stop");

    let engine = start(folder(root.path())).await;
    tell(&engine, &[anns_visit("late-3")]).await;
    assert!(!known(&engine), "it is known after a restart");
    assert!(engine.eraser().lift("user_id", "user-ann-4711").await.expect("noted"));
    assert!(engine.eraser().lift("anonymous_id", "anon-ann-0815").await.expect("noted"));
    assert!(!engine.eraser().lift("anonymous_id", "anon-ann-0815").await.expect("noted"));
    tell(&engine, &[anns_visit("late-4")]).await;
    assert!(known(&engine));
    engine.stop().await.expect("an orderly stop");
}

/// The disk, of which a copy is made at every change of a name, as a killed process would leave it.
#[derive(Debug)]
struct Witnessed {
    root: PathBuf,
    copies: PathBuf,
    taken: Mutex<Option<usize>>,
}

impl Witnessed {
    fn copy(&self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(number) = taken.as_mut() else { return };
        let to = self.copies.join(number.to_string());
        for path in files(&self.root) {
            let beside = to.join(path.strip_prefix(&self.root).expect("it is inside"));
            fs::create_dir_all(beside.parent().expect("it has one")).expect("made");
            // What goes while it is copied would be gone.
            let _ = fs::copy(&path, &beside);
        }
        *number += 1;
    }
}

impl Files for Witnessed {
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        Disk.create_dir(dir)
    }
    fn create(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>> {
        self.copy();
        Disk.create(path)
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>> {
        Disk.open(path)
    }
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>> {
        Disk.open_read(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        Disk.list(dir)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.copy();
        Disk.rename(from, to)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.copy();
        Disk.remove(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        Disk.sync_dir(dir)
    }
    fn lock(&self, dir: &Path) -> io::Result<Box<dyn Send + Sync>> {
        Disk.lock(dir)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_at_any_step_is_made_up_for_at_the_next_start() {
    let (root, copies) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let engine = start(folder(root.path())).await;
    live(&engine).await;
    engine.stop().await.expect("an orderly stop");

    let (here, copies) = (root.path().to_owned(), copies.path().to_owned());
    let disk = Arc::new(Witnessed { root: here, copies: copies.clone(), taken: Mutex::new(None) });
    let engine = start(DataFolder { files: disk.clone(), ..folder(root.path()) }).await;
    *disk.taken.lock().unwrap_or_else(PoisonError::into_inner) = Some(0);
    let asked = engine.eraser().ask(ann(), "she asked for it".into()).await.expect("asked");
    erased(&engine, root.path(), &asked.id).await;
    let taken = disk.taken.lock().unwrap_or_else(PoisonError::into_inner).take().expect("it counted");
    engine.stop().await.expect("an orderly stop");
    assert!(taken > 12, "only {taken} steps were seen");

    let mut resumed = 0;
    // Each costs some seconds: enough of them to be in every step.
    for number in (0..taken).step_by(taken.div_ceil(16)) {
        let copy = copies.join(number.to_string());
        let engine = start(folder(&copy)).await;
        // Before the work was written down, nobody was promised anything.
        if erasure::find(engine.ledger(), &asked.id).expect("readable").is_some() {
            erased(&engine, &copy, &asked.id).await;
            engine.stop().await.expect("an orderly stop");
            check_gone(&copy);
            resumed += 1;
        } else {
            engine.stop().await.expect("an orderly stop");
        }
        fs::remove_dir_all(&copy).expect("removed");
    }
    assert!(resumed >= 7, "only {resumed} of {taken} were resumed");
}
