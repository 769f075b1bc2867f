//! Erased means gone (invariant 10): whatever state and the logs had of a person is found nowhere in the data folder, neither as it is
//! written nor through the readers; neighbours are as they were; and a crash at any step is made up for at the next start.

#[path = "erasure/witness.rs"]
mod witness;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path as FsPath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use weft::access::{self, Unknown};
use weft::bounds::{Bounds, Inactive};
use weft::clock::Clock;
use weft::engine::{Engine, Settings, Stages, Terms};
use weft::erasure::{self, Erasure, Progress};
use weft::events::Who;
use weft::intake::{Arrived, Origin};
use weft::vault::{DataFolder, Vault};
use weft_domain::attribute::{Attribute, Calculation, Meaning, Of, Window};
use weft_domain::claim::{Bits, ClaimId, Decision, Evidence, Guard, IdentifierId, Outcome, Proposal, pair};
use weft_domain::event::{Environment, Identifier};
use weft_domain::explain::{explain, whose};
use weft_domain::identity::{Quarantine, Rules};
use weft_domain::input::{Arrival, Command, ERASED, Input, Kv, Part, Receipts, Rejected, Stream, Withheld};
use weft_domain::path::Path;
use weft_domain::plan::Plan;
use weft_domain::portrait::portray;
use weft_domain::value::Timestamp;
use weft_domain::view::View;
use weft_store::StoreError;
use weft_store::files::Disk;
use weft_store::log::{Log, Options};
use weft_store::rows::Filed;
use weft_store::state::{Space, StateStore};

use witness::Witnessed;

const NOON: &str = "2026-03-01T12:00:00Z";

const SOON: &str = "2026-03-01T12:00:30Z";

/// By then every profile has rested.
const LATER: &str = "2026-03-01T12:01:00Z";

/// What only Ann's data has in it: identifiers, traits, properties, what is in dead letters and in plugins' stores, and why people said what
/// they said.
const ANNS: [&str; 9] = [
    "ann.marker@shop.example",
    "user-ann-4711",
    "anon-ann-0815",
    "Annagasse-Marker-12",
    "parcel-for-ann-9",
    "letter-of-ann-77",
    "kv-of-ann-33",
    "dropped-of-ann-55",
    "mistaken-for-ann",
];

/// What joined Ann's identifiers, or would have: their ids, and those of the identifiers, are hashes that anybody can guess.
const CLAIMS: [&[(&str, &str)]; 6] = [
    &[("anonymous_id", "anon-ann-0815"), ("user_id", "user-ann-4711")],
    &[("email", "ann.marker@shop.example"), ("user_id", "user-ann-4711")],
    &[("email", "carl.k@shop.example"), ("user_id", "user-ann-4711")],
    &[("email", "dora.k@shop.example"), ("user_id", "user-ann-4711")],
    &[("anonymous_id", "tablet-of-all"), ("user_id", "user-ann-4711")],
    &[("anonymous_id", "laptop-of-two"), ("user_id", "user-ann-4711")],
];

/// One of the crowd, on the laptop that is Ann's for as long as she is known.
const NEIGHBOUR: [(&str, &str); 2] = [("anonymous_id", "laptop-of-two"), ("user_id", "crowd-9")];

/// What only Bob's data has in it, some of it in the same records as Ann's.
const BOBS: [&str; 4] = ["bob.marker@shop.example", "Bobweg-Marker-3", "letter-of-bob-78", "kv-of-bob-34"];

const CARL: [(&str, &str); 2] = [("email", "carl.k@shop.example"), ("user_id", "carl-k")];

const DORA: [(&str, &str); 2] = [("email", "dora.k@shop.example"), ("user_id", "dora-k")];

const BOBS_PHONE: [(&str, &str); 2] = [("email", "bob.marker@shop.example"), ("phone", "+49-not-bobs")];

fn small() -> Options {
    Options { segment_bytes: 8 << 10 }
}

/// What events come to: the first attribute from the beginning, the second since a later start.
fn plan(attributes: usize) -> Plan {
    let of = Of::Path(Path::try_from("properties.note".to_owned()).expect("a path"));
    let (calculation, window) = (Calculation::UniqueList { at_most: 9 }, Window::Within(90 * 24 * 3_600_000));
    let notes = Meaning { calculation, of, events: Vec::new(), kind: None, condition: None, window };
    let known = [Attribute::new("notes", notes), Attribute::of_trait("street", Calculation::UniqueList { at_most: 9 })];
    let mut attributes = known[..attributes].to_vec();
    attributes.sort_by_key(|attribute| attribute.id);
    let mut identity = Rules { quarantine: Quarantine { known_with_known: true, larger_than: None }, ..Rules::default() };
    identity.identifiers[0].limit = Some(2);
    Plan { profile_lanes: vec!["lake".into()], attributes, identity, ..Plan::default() }
}

fn settings(data: DataFolder, suppress: bool, attributes: usize) -> Settings {
    let plan = plan(attributes);
    let bounds = Bounds { suppress, ..Bounds::default() };
    let clock = Clock::at(LATER.parse().expect("valid"));
    Settings { data, listen: None, terms: Terms { plan, bounds, ..Terms::default() }, clock }
}

fn folder(root: &FsPath) -> DataFolder {
    DataFolder { log: small(), ..DataFolder::at(root) }
}

async fn begin(data: DataFolder, suppress: bool, attributes: usize) -> Engine {
    let stages = async |_: &_| Ok(Stages::default());
    let engine = Engine::start(settings(data, suppress, attributes), stages, |_| ()).await.expect("the engine starts");
    while !engine.ledger().state().standings().passes.is_empty() {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    engine
}

async fn start(data: DataFolder) -> Engine {
    begin(data, true, 2).await
}

/// Puts events into intake as a door does.
async fn tell(engine: &Engine, events: &[String]) {
    tell_at(engine, events, NOON).await;
}

async fn tell_at(engine: &Engine, events: &[String], at: &str) {
    let mut arrived = Arrived::default();
    let at: Timestamp = at.parse().expect("valid");
    let suppression = engine.ledger().suppression();
    let origin = Origin { source: "web", environment: Environment::Production, at, suppression };
    events.iter().for_each(|json| origin.event(json.as_bytes(), &mut arrived));
    put(engine, arrived).await;
}

async fn put(engine: &Engine, arrived: Arrived) {
    if !arrived.is_empty() {
        engine.intake().append(arrived).await.expect("intake takes them");
    }
    engine.caught_up().await;
    assert_eq!(engine.report().trouble, None);
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
    live_with(engine, Ann::Comes).await;
}

/// Whether Ann is in the shop, or nobody has ever heard of her.
#[derive(Clone, Copy, PartialEq)]
enum Ann {
    Comes,
    IsUnknown,
}

async fn live_with(engine: &Engine, ann: Ann) {
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
    let said = |id: &str, claim: &[(&str, &str)]| {
        let one = |(kind, value): &(&str, &str)| format!(r#"{{"type":"{kind}","value":"{value}"}}"#);
        let claims: Vec<String> = claim.iter().map(one).collect();
        format!(r#"{{"type":"identify","message_id":"{id}","claims":[{}]}}"#, claims.join(","))
    };
    // Carl and Dora are known, and so is Ann: what would make them one waits. Bob has used the tablet, and a phone that is not his.
    events.push(said("k1", &CARL));
    events.push(said("k2", &DORA));
    events.push(said("k3", &[("anonymous_id", "tablet-of-all"), ("email", "bob.marker@shop.example")]));
    events.push(said("k4", &BOBS_PHONE));
    events.extend(["k5", "k6", "k7", "k8"].into_iter().zip(&CLAIMS[2..]).map(|(id, claim)| said(id, claim)));
    events.retain(|json| ann == Ann::Comes || !json.contains("user-ann-4711"));
    for some in events.chunks(25) {
        tell(engine, some).await;
    }
    tell_at(engine, &[said("k9", &NEIGHBOUR)], SOON).await;
    decide(engine, ann).await;
    if ann == Ann::IsUnknown {
        engine.ledger().commit().await;
        return;
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
    let receipts = Receipts {
        lane: "lake".into(),
        stream: Stream::Profiles,
        through: 1,
        rejected,
        again: Vec::new(),
        at: None,
        withheld: Withheld::default(),
    };
    while engine.ledger().state().lane("lake").expect("readable").profiles_next < 2 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    engine.ledger().log(Input::Receipts(receipts)).await.expect("logged");
    engine.ledger().commit().await;
}

/// What people say of who is who, some of it about Ann, some of it only with her name in the reason.
async fn decide(engine: &Engine, ann: Ann) {
    let order = async |command: Command| {
        engine.ledger().log(Input::Command(command)).await.expect("logged");
    };
    let why = match ann {
        Ann::Comes => "mistaken-for-ann: it is ann.marker@shop.example's",
        Ann::IsUnknown => ERASED,
    };
    let (bob, carl) = (id("email", "bob.marker@shop.example"), id("user_id", "carl-k"));
    order(Command::Retract { claim: claim(&BOBS_PHONE), reason: why.into() }).await;
    let parts = vec![Part::Pair { one: bob, other: carl, of: None }];
    order(Command::Split { parts, reason: why.into() }).await;
    let decide_match = |one, other, reason: &str| Command::DecideMatch {
        pair: pair(one, other),
        decision: Some(Decision::Refuse),
        reason: reason.into(),
    };
    order(decide_match(claim(&CARL), claim(&DORA), why)).await;
    if ann == Ann::IsUnknown {
        return;
    }
    let reason = || "two people".to_owned();
    order(Command::Decide { claim: claim(CLAIMS[3]), decision: Some(Decision::Refuse), reason: why.into() }).await;
    let (shared, her) = (id("anonymous_id", "tablet-of-all"), id("user_id", "user-ann-4711"));
    let split = claim(CLAIMS[4]);
    let parts = vec![Part::Claim { claim: split }, Part::Pair { one: her, other: shared, of: Some(split) }];
    order(Command::Split { parts, reason: reason() }).await;
    let mail = id("email", "ann.marker@shop.example");
    let apart = |other| Part::Pair { one: mail, other, of: None };
    // One command is about others as well, and one is taken back.
    let word = Part::Word { claim: claim(&BOBS_PHONE), source: "crm".into() };
    order(Command::Split { parts: vec![apart(bob), word], reason: reason() }).await;
    order(Command::Split { parts: vec![apart(carl)], reason: reason() }).await;
    order(Command::Rejoin { parts: vec![apart(carl)] }).await;
    let word = vec![Part::Word { claim: claim(CLAIMS[1]), source: "web".into() }];
    order(Command::Split { parts: word.clone(), reason: reason() }).await;
    order(Command::Rejoin { parts: word }).await;
    order(decide_match(claim(CLAIMS[1]), claim(&CARL), "two people")).await;
    let (weight, at) = (Bits(120), NOON.parse().expect("valid"));
    let evidence = Evidence { weight, prior: Bits(0), shared: Bits(0), fields: Vec::new(), merge_at: Bits(0), model: 0, at };
    let proposal = Proposal { pair: pair(claim(CLAIMS[0]), claim(&DORA)), outcome: Outcome::Review, evidence };
    engine.ledger().log(Input::Match(proposal)).await.expect("logged");
    let state = engine.ledger().state();
    assert_eq!(state.open_matches([ClaimId([0; 16]); 2], 9).expect("readable").len(), 1);
    let waits = state.claim(claim(CLAIMS[2])).expect("readable").expect("it is there");
    assert!(waits.set_aside.iter().any(|(_, guard)| *guard == Guard::Held), "{waits:?}");
    let of_bob = state.identifier(bob).expect("readable").expect("it is there");
    assert_eq!(of_bob.apart.len(), 2, "{of_bob:?}");
}

/// Waits until an erasure is completed and nothing of the work lies beside the logs any more.
async fn erased(engine: &Engine, root: &FsPath, id: &str) -> Erasure {
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

fn id(kind: &str, value: &str) -> IdentifierId {
    IdentifierId::of(kind, value)
}

fn claim(identifiers: &[(&str, &str)]) -> ClaimId {
    ClaimId::of(&identifiers.iter().map(|(kind, value)| Identifier::observed(kind, value)).collect::<Vec<_>>())
}

/// The ids of everything of Ann's, by what they are of.
fn guessable() -> BTreeMap<String, [u8; 16]> {
    let claims = CLAIMS.iter().map(|identifiers| (format!("{identifiers:?}"), claim(identifiers).0));
    let hers = [("anonymous_id", "anon-ann-0815"), ("user_id", "user-ann-4711"), ("email", "ann.marker@shop.example")];
    claims.chain(hers.iter().map(|(kind, value)| ((*value).to_owned(), id(kind, value).0))).collect()
}

/// Every file of a folder.
fn files(root: &FsPath) -> Vec<PathBuf> {
    let mut found = Vec::new();
    // What goes while it is looked at is gone.
    for entry in fs::read_dir(root).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

/// Where each needle and each id is: in the bytes of the files, in the records of either log, and in the rows of state. State is searched as any JSON
/// or row would show it, regardless of case.
fn search(root: &FsPath, needles: &[&str], ids: &BTreeMap<String, [u8; 16]>) -> BTreeMap<String, Vec<String>> {
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
    for (place, bytes) in &haystack {
        let text = String::from_utf8_lossy(bytes).to_lowercase();
        for needle in needles.iter().filter(|needle| text.contains(&needle.to_lowercase())) {
            found.entry((*needle).to_owned()).or_default().push(place.clone());
        }
        for what in ids.iter().filter(|(_, id)| stands_in(id, bytes, &text)).map(|(what, _)| what) {
            found.entry(format!("the id of {what}")).or_default().push(place.clone());
        }
    }
    found
}

/// Whether an id stands in bytes, as it is in a row or as JSON shows it.
fn stands_in(id: &[u8; 16], bytes: &[u8], text: &str) -> bool {
    let mut rest = bytes;
    while let Some(place) = rest.iter().position(|byte| *byte == id[0]) {
        if rest[place..].starts_with(id) {
            return true;
        }
        rest = &rest[place + 1..];
    }
    text.contains(&ClaimId(*id).to_string())
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

fn check_gone(root: &FsPath) {
    let found = search(root, &ANNS, &guessable());
    assert!(found.is_empty(), "{found:#?}");
    let found = search(root, &BOBS, &BTreeMap::new());
    assert_eq!(found.len(), BOBS.len(), "{found:#?}");

    let vault = Vault::open(&folder(root), |_| ()).expect("opens");
    let (kept, hash) = (people(&vault), vault.state_hash().expect("readable"));
    assert_eq!(whose(&vault.overlay, "user_id", "user-ann-4711").expect("readable"), None);
    let bob = whose(&vault.overlay, "email", "bob.marker@shop.example").expect("readable").expect("Bob is known");
    let explained = explain(&vault.overlay, bob).expect("readable").expect("a customer");
    assert_eq!((explained.profile.events_total, explained.profile.traits.len()), (3, 1));
    let [laptop, neighbour] = NEIGHBOUR.map(|(kind, value)| whose(&vault.overlay, kind, value).expect("readable"));
    let neighbour = neighbour.expect("who shared something with her stays");
    assert_eq!(laptop, Some(neighbour), "what they shared is the neighbour's");
    assert_eq!(explain(&vault.overlay, neighbour).expect("readable").expect("a customer").profile.events_total, 5);
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
    let engine = begin(folder(root.path()), true, 1).await;
    live(&engine).await;
    engine.stop().await.expect("an orderly stop");
    let before = search(root.path(), &ANNS, &guessable());
    assert_eq!(before.len(), ANNS.len() + guessable().len(), "{before:#?}");

    // By now there is an attribute of which a pass through history made a record.
    let engine = start(folder(root.path())).await;
    let asked = engine.eraser().ask(&[ann()], "she asked for it".into()).await.expect("asked");
    assert_eq!(asked.status, Progress::Pending);
    let done = erased(&engine, root.path(), &asked.id).await;
    assert_eq!((done.suppressed, done.removed["events"]), (3, 12), "{done:?}");
    assert!(done.removed["history"] > 8 && done.removed["intake"] > 8, "{done:?}");
    engine.stop().await.expect("an orderly stop");
    check_gone(root.path());

    // And it is as if nobody had ever heard of her.
    let elsewhere = tempfile::tempdir().expect("a folder");
    let engine = begin(folder(elsewhere.path()), true, 1).await;
    live_with(&engine, Ann::IsUnknown).await;
    engine.stop().await.expect("an orderly stop");
    let engine = start(folder(elsewhere.path())).await;
    engine.stop().await.expect("an orderly stop");
    let (erased, unheard) = (known(root.path()), known(elsewhere.path()));
    assert!(erased.len() > 35, "{erased:#?}");
    assert_eq!(erased, unheard);
}

/// What state says of people, wherever in history it is from.
fn known(root: &FsPath) -> Vec<String> {
    let vault = Vault::open(&folder(root), |_| ()).expect("opens");
    let (state, mut known) = (&vault.overlay, Vec::new());
    let customers = RefCell::new(BTreeSet::new());
    let visit = &mut |space: Space, key: &[u8], value: &[u8]| {
        match space {
            Space::Identifier | Space::Held | Space::OpenMatch => {
                known.push(format!("{space:?} {key:?} {:?}", weft_store::format::open(value)?.1))
            }
            Space::Claim => {
                let filed: Filed = weft_store::format::decode(value)?.1;
                known.push(format!("{:?}", filed.claim));
                customers.borrow_mut().extend(filed.node.and_then(|node| node.customer));
            }
            _ => (),
        }
        Ok::<(), StoreError>(())
    };
    vault.state.export(visit).expect("readable");
    let now = LATER.parse().expect("valid");
    for customer in customers.take() {
        let portrait = portray(state.plan(), state, customer, now).expect("readable").expect("a customer");
        let mut json = serde_json::to_value(&portrait).expect("JSON");
        without_places(&mut json);
        known.push(json.to_string());
    }
    let totals = state.totals();
    known.push(format!("{} {} {} {}", totals.customers, totals.claims, totals.claims_held, totals.matches_open));
    vault.close().expect("closes");
    known
}

/// Takes away where in history something is from.
fn without_places(json: &mut serde_json::Value) {
    match json {
        serde_json::Value::Object(entries) => {
            entries.remove("position");
            entries.values_mut().for_each(without_places);
        }
        serde_json::Value::Array(elements) => elements.iter_mut().for_each(without_places),
        _ => (),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_wait_go_in_one_pass_and_what_only_they_share_goes_with_them() {
    let root = tempfile::tempdir().expect("a folder");
    let engine = start(folder(root.path())).await;
    live(&engine).await;
    let mut asked = Vec::new();
    let crowd = |number| Who::Identifier("user_id".into(), format!("crowd-{number}"));
    // Two more identifiers of one person, and one who waits and is called off.
    let at = LATER.parse::<Timestamp>().expect("valid");
    let wait = Some(Timestamp(at.0 + 60_000));
    let waits = engine.eraser().ask_as("w1".into(), &[crowd(7)], "she asked for it".into(), wait).await.expect("asked");
    for whom in [vec![ann()], vec![crowd(1)], vec![crowd(2), crowd(3)], vec![crowd(2)]] {
        asked.push(engine.eraser().ask(&whom, "they asked for it".into()).await.expect("asked").id);
    }
    let again = engine.eraser().ask_as("w1".into(), &[ann()], "again".into(), None).await.expect("asked");
    assert_eq!(again, waits, "the same id is the same erasure");
    let mut done = Vec::new();
    for id in &asked {
        while erasure::find(engine.ledger(), id).expect("readable").is_none_or(|one| one.completed.is_none()) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        done.push(erasure::find(engine.ledger(), id).expect("readable").expect("it was asked for"));
    }
    // Whoever asked while a pass had not begun went with it: four in three passes at the most.
    assert!(done.iter().any(|one| one.together >= 2), "{done:#?}");
    assert_eq!(done.iter().map(|one| one.removed["events"]).take(3).collect::<Vec<_>>(), [12, 4, 8]);

    let cancelled = engine.eraser().cancel("w1").await.expect("noted").expect("it had not begun");
    assert_eq!(cancelled.status, Progress::Cancelled);
    assert_eq!(engine.eraser().cancel("w1").await.expect("looked"), None);
    assert_eq!(engine.eraser().cancel(&asked[0]).await.expect("looked"), None, "what is done cannot be called off");
    assert_eq!(files(&root.path().join("erasure")), [root.path().join("erasure/key")]);
    let known = whose(&*engine.ledger().state(), "user_id", "crowd-7").expect("readable");
    assert!(known.is_some());
    engine.stop().await.expect("an orderly stop");
    let mut gone = ANNS.to_vec();
    gone.extend(["letter-of-bob-78"]);
    let found = search(root.path(), &gone, &guessable());
    assert!(found.is_empty(), "{found:#?}");

    let vault = Vault::open(&folder(root.path()), |_| ()).expect("opens");
    let (kept, hash) = (people(&vault), vault.state_hash().expect("readable"));
    vault.close().expect("closes");
    let vault = Vault::rebuild(&folder(root.path()), |_| ()).expect("folds what there is");
    assert_eq!(vault.state_hash().expect("readable"), hash);
    vault.close().expect("closes");
    fs::remove_dir_all(root.path().join("state")).expect("removed");
    let vault = Vault::open(&folder(root.path()), |_| ()).expect("folds the rewritten history from its beginning");
    assert_eq!(people(&vault), kept);
    vault.close().expect("closes");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_come_again_begins_anew() {
    let root = tempfile::tempdir().expect("a folder");
    let engine = begin(folder(root.path()), false, 2).await;
    live(&engine).await;
    let asked = engine.eraser().ask(&[ann()], "she asked for it".into()).await.expect("asked");
    erased(&engine, root.path(), &asked.id).await;
    tell(&engine, &[anns_visit("late-1")]).await;
    let portrait = {
        let state = engine.ledger().state();
        let customer = whose(&*state, "user_id", "user-ann-4711").expect("readable").expect("she is known again");
        portray(state.plan(), &*state, customer, LATER.parse().expect("valid")).expect("readable").expect("her")
    };
    let profile = &portrait.explained.profile;
    assert_eq!((profile.events_total, profile.identifiers.len(), profile.attributes.get("notes")), (1, 2, None));
    assert_eq!(profile.traits["street"].text(), r#"["Annagasse-Marker-12"]"#);
    engine.stop().await.expect("an orderly stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_known_of_somebody_can_be_read() {
    let root = tempfile::tempdir().expect("a folder");
    let engine = start(folder(root.path())).await;
    live(&engine).await;
    // It was a mistake that the neighbour used her laptop: what the neighbour did is not hers to know for that.
    let mistake = Command::Retract { claim: claim(&NEIGHBOUR), reason: "two people".into() };
    engine.ledger().log(Input::Command(mistake)).await.expect("logged");
    engine.ledger().commit().await;
    let (ledger, now) = (engine.ledger().clone(), LATER.parse().expect("valid"));
    let state = engine.eraser().state().clone();
    let opened = tokio::task::spawn_blocking(move || access::open(vec![ann()], Unknown::IsNone, now, ledger, &*state))
        .await
        .expect("no panic");
    let mut known = opened.expect("readable").expect("something is known");
    assert_eq!(known.identifiers.len(), 4);
    let mut bytes = Vec::new();
    while let Some(line) = known.lines.recv().await {
        bytes.extend_from_slice(&line);
    }
    let text = String::from_utf8(bytes).expect("text");
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for line in &lines {
        *counts.entry(line["kind"].as_str().expect("a kind")).or_default() += 1;
    }
    // The letter that is of several people is not shown to one of them.
    let want = [("dead_letter", 1), ("delivery", counts["delivery"]), ("end", 1), ("event", 12), ("profile", 1), ("value", 1)];
    assert_eq!(counts, BTreeMap::from(want), "{text}");
    assert_eq!(lines[0]["profile"]["profile"]["attributes"]["notes"], serde_json::json!(["parcel-for-ann-9"]));
    assert_eq!(lines[0]["profile"]["claims"].as_array().map(Vec::len), Some(6));
    for hers in ANNS.iter().filter(|needle| **needle != "dropped-of-ann-55") {
        assert!(text.to_lowercase().contains(&hers.to_lowercase()), "{hers}");
    }
    for bobs in BOBS {
        assert!(!text.contains(bobs), "{bobs}: {:?}", text.lines().find(|line| line.contains(bobs)));
    }
    engine.stop().await.expect("an orderly stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_erased_and_comes_again_is_left_out_until_that_is_lifted() {
    let root = tempfile::tempdir().expect("a folder");
    let engine = start(folder(root.path())).await;
    live(&engine).await;
    let asked = engine.eraser().ask(&[ann()], "she asked for it".into()).await.expect("asked");
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

/// Two days later, when whoever was not heard of since is forgotten.
const DAYS_LATER: &str = "2026-03-03T12:00:00Z";

async fn forgetful(data: DataFolder) -> Engine {
    let mut settings = settings(data, true, 2);
    settings.clock = Clock::at(DAYS_LATER.parse().expect("valid"));
    let day_ms = 86_400_000;
    settings.terms.bounds.inactive = Some(Inactive { after_ms: Some(day_ms), anonymous_after_ms: None, at_once_max: 1_000 });
    Engine::start(settings, async |_: &_| Ok(Stages::default()), |_| ()).await.expect("the engine starts")
}

/// All but Bob are silent, and are forgotten.
async fn all_but_bob(root: &FsPath) {
    let engine = start(folder(root)).await;
    live(&engine).await;
    engine.stop().await.expect("an orderly stop");
    let engine = forgetful(folder(root)).await;
    let visit = bobs_visit("b9").replacen("{\"type\"", &format!("{{\"occurred\":\"{DAYS_LATER}\",\"type\""), 1);
    tell_at(&engine, &[visit], DAYS_LATER).await;
    engine.stop().await.expect("an orderly stop");
}

fn check_forgotten(root: &FsPath) {
    let found = search(root, &ANNS, &guessable());
    assert!(found.is_empty(), "{found:#?}");
    // The letter that was Bob's by its name was of one of the crowd.
    let found = search(root, &BOBS, &BTreeMap::new());
    assert_eq!(found.len(), BOBS.len() - 1, "{found:#?}");
    let vault = Vault::open(&folder(root), |_| ()).expect("opens");
    let (kept, hash) = (people(&vault), vault.state_hash().expect("readable"));
    assert_eq!(whose(&vault.overlay, "user_id", "crowd-1").expect("readable"), None);
    assert!(whose(&vault.overlay, "email", "bob.marker@shop.example").expect("readable").is_some());
    vault.close().expect("closes");
    let vault = Vault::rebuild(&folder(root), |_| ()).expect("folds what there is");
    assert_eq!(vault.state_hash().expect("readable"), hash);
    vault.close().expect("closes");
    fs::remove_dir_all(root.join("state")).expect("removed");
    let vault = Vault::open(&folder(root), |_| ()).expect("folds the rewritten history from its beginning");
    assert_eq!(people(&vault), kept);
    vault.close().expect("closes");
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_are_silent_go_in_one_pass_and_may_come_again() {
    let root = tempfile::tempdir().expect("a folder");
    all_but_bob(root.path()).await;
    let engine = forgetful(folder(root.path())).await;
    let customers = |engine: &Engine| engine.ledger().state().totals().customers;
    let before = customers(&engine);
    let asked = engine.eraser().forget_inactive().await.expect("looked").expect("there are some");
    let done = erased(&engine, root.path(), &asked.id).await;
    let forgotten = before - customers(&engine);
    assert!(forgotten > 30, "{forgotten} of {before}");
    assert_eq!((done.forgotten, done.suppressed, &*done.reason), (Some(forgotten), 0, "inactive profiles"));
    assert_eq!(customers(&engine), 1, "Bob is left");
    assert!(engine.metrics().text().contains(&format!("weft_profiles_forgotten_total {forgotten}")));
    assert_eq!(engine.eraser().forget_inactive().await.expect("looked"), None, "it rests");
    engine.stop().await.expect("an orderly stop");
    check_forgotten(root.path());

    let engine = forgetful(folder(root.path())).await;
    tell(&engine, &[anns_visit("again-1")]).await;
    let explained = {
        let state = engine.ledger().state();
        let ann = whose(&*state, "user_id", "user-ann-4711").expect("readable").expect("she is known again");
        explain(&*state, ann).expect("readable").expect("a customer")
    };
    assert_eq!((explained.profile.events_total, explained.profile.identifiers.len()), (1, 2));
    engine.stop().await.expect("an orderly stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_while_the_silent_are_forgotten_is_made_up_for_and_who_comes_back_meanwhile_stays() {
    let (root, copies) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    all_but_bob(root.path()).await;
    let (here, copies) = (root.path().to_owned(), copies.path().to_owned());
    let disk = Arc::new(Witnessed { root: here, copies: copies.clone(), taken: Mutex::new(None) });
    let engine = forgetful(DataFolder { files: disk.clone(), ..folder(root.path()) }).await;
    *disk.taken.lock().unwrap_or_else(PoisonError::into_inner) = Some(0);
    let asked = engine.eraser().forget_inactive().await.expect("looked").expect("there are some");
    erased(&engine, root.path(), &asked.id).await;
    let taken = disk.taken.lock().unwrap_or_else(PoisonError::into_inner).take().expect("it counted");
    engine.stop().await.expect("an orderly stop");
    let mut resumed = 0;
    for number in (0..taken).step_by(taken.div_ceil(8)) {
        let copy = copies.join(number.to_string());
        let engine = forgetful(folder(&copy)).await;
        if erasure::find(engine.ledger(), &asked.id).expect("readable").is_some() {
            // Whoever comes now is somebody who stays, whether the one before has gone yet or not.
            let visit = r#"{"type":"track","name":"Seen","message_id":"back-1","occurred":"2026-03-03T12:00:00Z","claims":[{"type":"user_id","value":"crowd-2"}]}"#;
            tell_at(&engine, &[visit.to_owned()], DAYS_LATER).await;
            erased(&engine, &copy, &asked.id).await;
            assert!(whose(&*engine.ledger().state(), "user_id", "crowd-2").expect("readable").is_some(), "{number}");
            engine.stop().await.expect("an orderly stop");
            check_forgotten(&copy);
            let vault = Vault::open(&folder(&copy), |_| ()).expect("opens");
            let back = whose(&vault.overlay, "user_id", "crowd-2").expect("readable");
            assert!(back.is_some(), "{number}: what came back is in history");
            vault.close().expect("closes");
            resumed += 1;
        } else {
            engine.stop().await.expect("an orderly stop");
        }
        fs::remove_dir_all(&copy).expect("removed");
    }
    assert!(resumed >= 4, "only {resumed} of {taken} were resumed");
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
    let asked = engine.eraser().ask(&[ann()], "she asked for it".into()).await.expect("asked");
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
