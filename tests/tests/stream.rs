//! Matching while events flow, with the engine killed again and again: who is who comes out as if nothing had happened, once.
//!
//! It wants a built engine and built plugins.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weft_tests::engine::{Engine, KEY, Workspace, number};
use weft_tests::wire::Request;

/// People, each of them a customer of the shop and a visitor of the app.
const PEOPLE: usize = 80;
/// How often the engine is killed.
const KILLS: usize = 8;

const MATCHING: &str = "  matching:
    compare: { name: person_name, birth_date: date, street: address, card: code }
    train: { after: 100, every: 7d }
";

fn workspace() -> Workspace {
    let workspace = Workspace::create();
    let file = workspace.path().join("weft.yaml");
    let yaml = fs::read_to_string(&file).expect("there is a workspace");
    fs::write(&file, yaml.replace("identity:\n", &format!("identity:\n{MATCHING}"))).expect("the folder takes a file");
    workspace
}

/// What the shop and the app tell of somebody, who is John Doe to the one and John D. to the other.
fn told(person: usize) -> [Value; 2] {
    let given = ["John", "Berta", "Carl", "Dora", "Emil", "Frieda", "Gustav", "Hedwig"][person % 8];
    let family = ["Amsel", "Birke", "Csonka", "Drossel", "Eiche", "Fink", "Gruber"][person % 7];
    let born = format!("19{:02}-{:02}-{:02}", 30 + person % 70, 1 + person % 12, 1 + person * 7 % 28);
    let card = format!("{:08}", 10_000_019 + person * 700_001);
    let shop =
        json!({ "name": format!("{given} {family}"), "birth_date": born, "street": format!("{person} Mill Lane"), "card": card });
    let app = json!({ "name": format!("{given} {}.", &family[..1]), "birth_date": born, "card": card });
    [
        json!({ "type": "identify", "messageId": format!("shop-{person}"), "userId": format!("u{person}"), "traits": shop }),
        json!({ "type": "identify", "messageId": format!("app-{person}"), "anonymousId": format!("d{person}"), "traits": app }),
    ]
}

/// Sends until it is acknowledged; false where the engine is gone.
fn send(engine: &Engine, call: &Value) -> bool {
    let request = Request::post("/segment/v1/identify", call.to_string()).key(KEY);
    request.send(engine.address).is_ok_and(|answer| answer.status == 200)
}

/// Waits until everybody has been compared, and gives the status.
fn compared(engine: &Engine) -> Value {
    let began = Instant::now();
    loop {
        let status = engine.settle();
        let matching = &status["matching"];
        let rests = number(matching, "/waiting") == 0 && matching["building"].is_null() && matching["learning"] == false;
        let is_done = |count: u64| count == PEOPLE as u64;
        if rests && is_done(number(&status, "/totals/customers")) && is_done(number(matching, "/customers")) {
            return status;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "not compared: {status}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn who_is_who_comes_out_the_same_however_often_the_engine_is_killed() {
    let workspace = workspace();
    let calls: Vec<Value> = (0..PEOPLE).flat_map(told).collect();
    let mut waiting: Vec<&Value> = calls.iter().collect();
    let seed = std::time::UNIX_EPOCH.elapsed().map_or(7, |since| u64::from(since.subsec_nanos()));
    for kill in 0..KILLS {
        let engine = workspace.start();
        let share = waiting.len().div_ceil(KILLS - kill);
        let now: Vec<&Value> = waiting.drain(..share).collect();
        waiting.extend(now.into_iter().filter(|call| !send(&engine, call)));
        // A profile rests for a second; then it is compared.
        let wait = (seed >> kill) % 1_800;
        std::thread::sleep(Duration::from_millis(wait));
        drop(engine);
    }
    let engine = workspace.start();
    assert!(waiting.iter().all(|call| send(&engine, call)), "seed {seed}");
    let status = compared(&engine);
    let totals = &status["totals"];
    let expected = (2 * PEOPLE as u64, PEOPLE as u64);
    assert_eq!((number(totals, "/events"), number(totals, "/matches_joined")), expected, "seed {seed}: {status}");
    for person in 0..PEOPLE {
        let by = |kind: &str, id: String| engine.profile(kind, &id).expect("is known")["profile"]["customer_id"].clone();
        assert_eq!(by("user_id", format!("u{person}")), by("anonymous_id", format!("d{person}")), "seed {seed}, person {person}");
    }
    engine.stop();

    // What was said is known: nothing is said again, with the index or without it; and state can be made anew.
    for lose in [false, true] {
        if lose {
            fs::remove_dir_all(workspace.path().join("data/matching")).expect("is removed");
        }
        let engine = workspace.start();
        let status = compared(&engine);
        let said = ["merges_total", "aparts_total"].map(|name| number(&status, &format!("/matching/{name}")));
        assert_eq!(said, [0, 0], "seed {seed}: {status}");
        engine.stop();
    }
    let rebuilt = workspace.run("rebuild");
    assert!(rebuilt.status.success(), "seed {seed}: {}", String::from_utf8_lossy(&rebuilt.stderr));
    let engine = workspace.start();
    assert_eq!(number(&compared(&engine), "/totals/matches_joined"), PEOPLE as u64, "seed {seed}");
    engine.stop();
}

#[test]
fn the_engine_says_what_it_learned_and_how_it_compares() {
    let workspace = workspace();
    let engine = workspace.start();
    let said = |arguments: &[&str]| {
        let output = workspace.ask(arguments);
        (
            output.status.success(),
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
        )
    };
    let (shown, text) = said(&["identity", "model"]);
    assert!(shown && text.starts_with("the model that Weft comes with"), "{text}");
    let (learned, text) = said(&["identity", "train"]);
    assert!(!learned && text.contains("from fewer than 100 nothing is learned"), "{text}");
    assert!((0..PEOPLE).flat_map(told).all(|call| send(&engine, &call)));
    compared(&engine);
    let (learned, text) = said(&["identity", "train"]);
    assert!(learned && text.contains(&format!("from {} customers", 2 * PEOPLE)), "{text}");
    assert!(text.contains("given name") && text.contains("card"), "{text}");
    let (shown, again) = said(&["identity", "model"]);
    assert!(shown && again == text, "{again}");
    // It is in use from the next look on.
    let began = Instant::now();
    while number(&compared(&engine), "/matching/model/version") == 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "the model is not used");
    }
    let status = workspace.ask_with(&["status"]);
    let text = String::from_utf8_lossy(&status.stdout);
    assert!(text.contains(&format!("{PEOPLE} customers, 0 waiting")) && text.contains("by the model of record"), "{text}");
    engine.stop();
}
