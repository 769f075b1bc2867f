//! `weft dlq`, as an operator types it: the same answers from the engine that runs and from the data folder when it does not.

use std::process::Output;
use std::thread::sleep;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;
use weft_tests::engine::{KEY, Workspace, plugin};
use weft_tests::wire::Request;

/// What is sent and is no event: nobody's, no JSON, and bytes that no text has.
const NOBODY: &str = r#"{"type":"track","event":"e"}"#;
const BROKEN: &[u8] = b"{\"type\":\xff";

fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn json(output: &Output) -> Value {
    let (code, out, error) = said(output);
    assert_eq!(code, 0, "{error}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

/// What every command says of the two letters.
fn look(workspace: &Workspace) -> Vec<String> {
    let list = json(&workspace.ask(&["dlq", "list", "--json"]));
    let letters = list["letters"].as_array().expect("a list");
    let ids: Vec<&str> = letters.iter().map(|letter| letter["id"].as_str().expect("an id")).collect();
    assert_eq!(ids.len(), 2, "{list}");
    assert_eq!(json(&workspace.ask(&["dlq", "show", ids[1], "--json"])), letters[1]);

    let raw = workspace.ask(&["dlq", "show", ids[0], "--raw"]);
    assert_eq!(raw.stdout, NOBODY.as_bytes());
    let raw = workspace.ask(&["dlq", "show", ids[1], "--raw"]);
    assert_eq!(raw.stdout, BROKEN, "byte for byte");

    let first = json(&workspace.ask(&["dlq", "list", "--json", "--limit", "1"]));
    assert_eq!((&first["letters"][0]["code"], &first["next"]), (&Value::from("no_identity"), &Value::from(ids[0])));
    let rest = json(&workspace.ask(&["dlq", "list", "--json", "--after", ids[0]]));
    assert_eq!((&rest["letters"][0]["code"], rest.get("next")), (&Value::from("invalid_json"), None));
    let some = json(&workspace.ask(&["dlq", "list", "--json", "--stage", "web", "--code", "invalid_json"]));
    assert_eq!(some["letters"], rest["letters"]);
    let lately = json(&workspace.ask(&["dlq", "list", "--json", "--since", "1h", "--code", "invalid_json"]));
    assert_eq!(lately["letters"], rest["letters"]);
    let long_ago = json(&workspace.ask(&["dlq", "list", "--json", "--until", "1h"]));
    assert_eq!(long_ago["letters"], Value::Array(Vec::new()));
    let never = said(&workspace.ask(&["dlq", "list", "--since", "yesterday"]));
    assert!(never.0 == 2 && never.2.contains("or how long ago, such as 2h, is wanted"), "{}", never.2);
    let none = said(&workspace.ask(&["dlq", "list", "--stage", "nobody"]));
    assert_eq!((none.0, &*none.1), (0, "no such dead letter waits\n"));

    let unknown = said(&workspace.ask(&["dlq", "show", "999999-0"]));
    assert_eq!((unknown.0, &*unknown.2), (1, "error: there is no dead letter `999999-0`\n"));
    let bad = said(&workspace.ask(&["dlq", "show", "first"]));
    assert_eq!(bad.0, 2, "{}", bad.2);
    assert!(bad.2.contains("`first` is not the id of a dead letter, such as 1204-0"), "{}", bad.2);

    let table = said(&workspace.ask(&["dlq", "list"])).1;
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines[0].starts_with("id") && lines[0].ends_with("message"), "{table}");
    assert!(lines[1].starts_with(ids[0]) && lines[1].contains("  web    no_identity "), "{table}");
    let page = said(&workspace.ask(&["dlq", "show", ids[0]])).1;
    assert!(page.ends_with(&format!("original  {} bytes\n\n{NOBODY}\n", NOBODY.len())), "{page}");
    vec![list.to_string(), table, page]
}

#[test]
fn a_running_engine_and_its_folder_show_the_same_letters() {
    let workspace = Workspace::create();
    let engine = workspace.start();
    for body in [NOBODY.as_bytes(), BROKEN] {
        _ = engine.send(&Request::post("/segment/v1/track", body).key(KEY));
    }
    _ = engine.settle();
    let running = look(&workspace);
    engine.stop();
    assert_eq!(look(&workspace), running);
    assert!(workspace.run("rebuild").status.success());
    assert_eq!(look(&workspace), running);
}

#[test]
fn dropped_letters_are_gone_for_good_and_no_others() {
    let workspace = Workspace::create();
    let engine = workspace.start();
    for body in [NOBODY.as_bytes(), BROKEN, NOBODY.as_bytes(), NOBODY.as_bytes()] {
        _ = engine.send(&Request::post("/segment/v1/track", body).key(KEY));
    }
    _ = engine.settle();
    let waiting = || {
        let list = json(&workspace.ask(&["dlq", "list", "--json"]));
        let letters = list["letters"].as_array().expect("a list").iter();
        letters.map(|letter| letter["id"].as_str().expect("an id").to_owned()).collect::<Vec<_>>()
    };
    let ids = waiting();
    assert_eq!(ids.len(), 4);
    let drop = |arguments: &[&str]| {
        json(&workspace.ask(&[&["dlq", "drop", "--json", "--reason", "a test"], arguments].concat()))["dropped"].clone()
    };
    assert_eq!(drop(&[&ids[2], "999999-0"]), 1, "that which is there");
    assert_eq!(waiting(), [&*ids[0], &*ids[1], &*ids[3]]);
    assert_eq!(engine.settle()["totals"]["letters"], 3);
    assert_eq!(drop(&["--stage", "web", "--code", "no_identity"]), 2);
    assert_eq!(waiting(), [&*ids[1]]);
    let none = said(&workspace.ask(&["dlq", "drop", "--reason", "which?"]));
    assert_eq!(none.0, 2, "{}", none.2);
    engine.stop();
    assert_eq!(waiting(), [&*ids[1]]);
    let late = said(&workspace.ask(&["dlq", "drop", "--reason", "a test", &ids[1]]));
    assert!(late.0 == 1 && late.2.contains("no engine listens on"), "{}", late.2);
    assert!(workspace.run("rebuild").status.success());
    assert_eq!(waiting(), [&*ids[1]]);
}

#[test]
fn a_letter_goes_again_once_its_bytes_are_an_event() {
    let workspace = Workspace::create();
    let engine = workspace.start();
    for body in [NOBODY.as_bytes(), NOBODY.as_bytes()] {
        _ = engine.send(&Request::post("/segment/v1/track", body).key(KEY));
    }
    _ = engine.settle();
    let list = json(&workspace.ask(&["dlq", "list", "--json"]));
    let id = list["letters"][0]["id"].as_str().expect("an id").to_owned();

    let stays = said(&workspace.ask(&["dlq", "retry", "--stage", "web"]));
    assert_eq!(stays.0, 1, "{}", stays.2);
    assert!(stays.1.starts_with("0 dead letters go again\n"), "{}", stays.1);
    assert!(stays.1.contains(&format!("{id} stays: its source refuses it again: ")), "{}", stays.1);
    assert!(stays.1.contains("(no_identity)"), "{}", stays.1);
    let unknown = said(&workspace.ask(&["dlq", "retry", "999999-0"])).1;
    assert!(unknown.contains("999999-0 stays: there is no such dead letter"), "{unknown}");

    let file = workspace.path().join("mended.json");
    let event = r#"{"type":"track","name":"Looked","claims":[{"type":"email","value":" ANN@Example.com"}]}"#;
    std::fs::write(&file, event).expect("the folder takes a file");
    let with = file.display().to_string();
    let went = said(&workspace.ask(&["dlq", "edit", &id, "--with", &with]));
    assert_eq!((went.0, &*went.1), (0, "1 dead letters go again\n"), "{}", went.2);
    assert_eq!(engine.settle()["totals"]["letters"], 1);
    let profile = engine.profile("email", "ann@example.com").expect("the transforms had it");
    assert_eq!(profile["profile"]["events_total"], 1, "{profile}");
    let gone = said(&workspace.ask(&["dlq", "edit", &id, "--with", &with])).1;
    assert!(gone.contains("there is no such dead letter"), "{gone}");
    engine.stop();
}

/// A workspace with a source of webhooks beside the other: signed like Stripe's, for a time that is soon over, each order an event.
fn with_hooks(workspace: &Workspace, occurred: &str) {
    let path = workspace.path().join("weft.yaml");
    let before = std::fs::read_to_string(&path).expect("it is there");
    let (head, tail) = before.split_once("sources:\n").expect("it has sources");
    let (_, web) = tail.split_once("  web:\n").expect("it has a source");
    let known = format!("plugins:\n  webhook: {{ path: \"{}\" }}\n", plugin("webhook").display());
    let head = if head.contains("  webhook:") { head.to_owned() } else { head.replace("plugins:\n", &known) };
    let hooks = format!(
        r#"
  hooks:
    plugin: webhook
    http: {{ path: /hooks }}
    config:
      signature: {{ scheme: stripe, secrets: ["${{secret:HOOK}}"], tolerance_seconds: 2 }}
      each: orders
      event: Ordered
      message_id: batch_id
      occurred: {occurred}
      claims: {{ email: mail }}
"#
    );
    std::fs::write(&path, format!("{head}sources:{hooks}  web:\n{web}")).expect("the folder takes a file");
    std::fs::write(workspace.path().join("secrets/HOOK"), HOOK).expect("the folder takes a file");
}

const HOOK: &str = "whsec_e2e";

/// A body that is signed now.
fn signed(body: &str) -> Request {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later").as_secs();
    let mut mac = Hmac::<Sha256>::new_from_slice(HOOK.as_bytes()).expect("HMAC takes keys of any length");
    mac.update(format!("{now}.{body}").as_bytes());
    let mac: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    Request::post("/hooks", body).header("stripe-signature", &format!("t={now},v1={mac}"))
}

#[test]
fn what_a_source_refused_goes_through_it_again_once_it_is_mended() {
    let workspace = Workspace::create();
    with_hooks(&workspace, "created");
    let engine = workspace.start();
    let orders = r#"{"batch":1,"orders":[
        {"mail":"ann@example.com","created":"2026-03-01T09:30:00Z"},
        {"mail":"ben@example.com","created":{"at":"2026-03-01T09:30:00Z"}}]}"#;
    assert_eq!(engine.send(&signed(orders)).status, 200, "one of them is an event");
    let whole = r#"{"orders":[{"mail":"eve@example.com","created":{"at":"2026-03-01T09:30:00Z"}}]}"#;
    assert_eq!(engine.send(&signed(whole)).status, 422);
    let forged = Request::post("/hooks", orders).header("stripe-signature", "t=1,v1=00").header("x-part", "1");
    assert_eq!(engine.send(&forged).status, 401);
    assert_eq!(engine.settle()["totals"]["letters"], 2, "of a stranger nothing is kept");
    assert_eq!(engine.profile("email", "ann@example.com").expect("she has ordered")["profile"]["events_total"], 1);

    // The signatures are too old by then.
    sleep(Duration::from_secs(4));
    let stays = said(&workspace.ask(&["dlq", "retry", "--stage", "hooks"]));
    assert_eq!((stays.0, stays.1.matches("its source refuses it again").count()), (1, 2), "{}", stays.1);
    with_hooks(&workspace, "created.at");
    let reloaded = said(&workspace.run("reload"));
    assert_eq!(reloaded.0, 0, "{} {}", reloaded.1, reloaded.2);
    let would = said(&workspace.ask(&["dlq", "retry", "--stage", "hooks", "--since", "1h", "--dry-run"]));
    assert_eq!(would.1, "2 dead letters would go again\n");
    let went = said(&workspace.ask(&["dlq", "retry", "--stage", "hooks", "--since", "1h"]));
    assert_eq!((went.0, &*went.1), (0, "2 dead letters go again\n"), "{}", went.2);
    assert_eq!(engine.settle()["totals"]["letters"], 0);
    for (who, events) in [("ann", 1), ("ben", 1), ("eve", 1)] {
        let profile = engine.profile("email", &format!("{who}@example.com")).expect("everybody has ordered");
        assert_eq!(profile["profile"]["events_total"], events, "{who}: {profile}");
    }
    let list = json(&workspace.ask(&["events", "email:ben@example.com", "--json"]));
    let event = &list["events"][0]["event"];
    assert_eq!((&event["source"], &event["occurred"]), (&Value::Null, &Value::from("2026-03-01T09:30:00.000Z")), "{list}");
    engine.stop();
}
