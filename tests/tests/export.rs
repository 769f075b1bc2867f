//! Taking everything out from the command line, as an operator types it: `weft profiles`, `weft profile --fields`, `weft export`.

use std::io::Read;
use std::process::Output;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weft_tests::engine::{Engine, KEY, Workspace};
use weft_tests::wire::Request;

fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn identify(engine: &Engine, user: &str, city: &str) {
    let call = json!({ "type": "identify", "userId": user, "traits": { "city": city, "email": format!("{user}@example.com") } });
    let answer = engine.send(&Request::post("/segment/v1/identify", call.to_string().as_bytes()).key(KEY));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// What every look at all customers says, whether an engine runs or not.
fn look(workspace: &Workspace) -> Vec<String> {
    let (code, out, error) = said(&workspace.ask(&["profiles", "--json", "--limit", "2"]));
    assert_eq!(code, 0, "{error}");
    let list: Value = serde_json::from_str(&out).expect("JSON");
    let next = list["next"].as_str().expect("there is more");
    let (_, rest, _) = said(&workspace.ask(&["profiles", "--after", next, "--fields", "traits.city,events_total"]));
    assert!(rest.contains("  events_total=1") && rest.contains("  traits.city=") && !rest.contains("email"), "{rest}");
    let (code, out, _) = said(&workspace.ask(&["profile", "user_id:ann", "--fields", "traits.city,identifiers"]));
    assert_eq!(code, 0);
    assert!(out.contains("traits.city              Bonn\n") && out.contains("user_id                  ann"), "{out}");
    let (code, _, error) = said(&workspace.ask(&["profile", "user_id:ann", "--fields", "trait"]));
    assert_eq!((code, &*error), (1, "error: a profile has no field `trait`: did you mean `traits`?\n"));

    let (code, profiles, error) = said(&workspace.ask(&["export", "profiles"]));
    assert_eq!(code, 0, "{error}");
    assert!(error.contains("profiles: 3 lines"), "{error}");
    let (_, events, error) = said(&workspace.ask(&["export", "events", "--fields", "traits.city"]));
    assert!(error.contains("events: 3 lines"), "{error}");
    let cities: Vec<Value> = lines(&events).iter().map(|line| line["event"]["traits"]["city"].clone()).collect();
    assert_eq!(cities, ["Bonn", "Ulm", "Kiel"]);
    let position = lines(&events)[1]["position"].to_string();
    let rest = said(&workspace.ask(&["export", "events", "--after", &position, "--fields", "traits.city"])).1;
    assert_eq!(events.lines().last(), rest.lines().last());
    assert_eq!((lines(&profiles).len(), lines(&rest).len()), (3, 1));

    let file = workspace.path().join("all.ndjson.gz");
    let output = workspace.ask(&["export", "profiles", "--output", file.to_str().expect("UTF-8")]);
    assert_eq!(said(&output).0, 0, "{}", said(&output).2);
    let mut text = String::new();
    let packed = std::fs::File::open(&file).expect("the file is there");
    flate2::read::GzDecoder::new(packed).read_to_string(&mut text).expect("it is whole");
    assert_eq!(text, profiles);
    vec![profiles, events]
}

#[test]
fn a_running_engine_and_its_folder_give_the_same() {
    let workspace = Workspace::create();
    let engine = workspace.start();
    for (user, city) in [("ann", "Bonn"), ("bob", "Ulm"), ("cy", "Kiel")] {
        identify(&engine, user, city);
    }
    let _ = engine.settle();
    // A list shows who is there about a second later.
    let began = Instant::now();
    while engine.page("/api/v1/profiles").1["profiles"].as_array().map(Vec::len) != Some(3) {
        assert!(began.elapsed() < Duration::from_secs(20), "the third is never listed");
        sleep(Duration::from_millis(20));
    }
    let running = look(&workspace);
    engine.stop();
    assert_eq!(look(&workspace), running);
}
