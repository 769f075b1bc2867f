//! `weft dsr`, as a privacy desk types it: requests of people are made, listed, shown, called off, and their results fetched, with a token of the
//! scope `rights` and no other.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weft_tests::engine::{KEY, Workspace, binary};
use weft_tests::root;
use weft_tests::wire::Request;

/// The SHA-256 of `t-rights`, `t-read` and `t-admin`.
const TOKENS: &str = "
tokens:
  desk:  { hash: \"sha256:0b30ff4f230cbb5273aec2193ea02c942b33f4ab430761205b2b55c104d382a0\", scopes: [rights] }
  look:  { hash: \"sha256:37b8d57153bffdf023160736edb4fcb922a1b6b6ce2dba953f4b571880757b47\", scopes: [read] }
  admin: { hash: \"sha256:c140b9ee332d67f84953aae63edc037a10d217685d2d98161ecb34696eb4e2a4\", scopes: [admin] }
";

const RIGHTS: &str = "
rights:
  opendsr:
    domain: privacy.acme.example
    key: \"${secret:PRIVACY_KEY}\"
    certificate: privacy.pem
    erasure_wait: 7d
";

/// A workspace that takes requests, whose commands have this token.
fn workspace(token: &str) -> Workspace {
    let mut workspace = Workspace::create();
    let path = workspace.path().join("weft.yaml");
    let yaml = fs::read_to_string(&path).expect("it is there");
    fs::write(&path, format!("{yaml}{TOKENS}{RIGHTS}")).expect("the folder takes a file");
    let copy = |from: &str, to: &str| fs::copy(root().join(from), workspace.path().join(to)).expect("the folder takes a file");
    copy("engine/app/tests/egress/rsa-of-tests.pem", "secrets/PRIVACY_KEY");
    copy("tests/config/valid/rights/privacy.pem", "privacy.pem");
    workspace.variables.push(("WEFT_TOKEN".into(), token.into()));
    workspace
}

fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn dsr(workspace: &Workspace, arguments: &[&str]) -> (i32, String, String) {
    said(&workspace.ask(&[&["dsr"], arguments].concat()))
}

fn dsr_json(workspace: &Workspace, arguments: &[&str]) -> Value {
    let (code, out, error) = dsr(workspace, &[arguments, &["--json"]].concat());
    assert_eq!(code, 0, "{error}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}"))
}

/// Makes a request; its id.
fn make(workspace: &Workspace, arguments: &[&str]) -> String {
    dsr_json(workspace, arguments)["subject_request_id"].as_str().expect("a receipt").to_owned()
}

fn until(workspace: &Workspace, id: &str, status: &str) -> Value {
    let began = Instant::now();
    loop {
        let known = dsr_json(workspace, &["show", id]);
        if known["status"] == status {
            return known;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "{known}");
        sleep(Duration::from_millis(100));
    }
}

fn ids(list: &Value) -> Vec<&str> {
    let requests = list["requests"].as_array().expect("a list").iter();
    requests.map(|one| one["id"].as_str().expect("an id")).collect()
}

#[test]
fn a_desk_works_on_requests_from_the_command_line() {
    let workspace = workspace("t-rights");
    let engine = workspace.start();
    let call = json!({ "type": "track", "userId": "ann", "event": "Ordered", "properties": { "note": "parcel of ann" } });
    assert_eq!(engine.send(&Request::post("/segment/v1/track", call.to_string()).key(KEY)).status, 200);
    let is_known = |who: &str| {
        let mut command = workspace.command(&["profile", who]);
        command.env("WEFT_TOKEN", "t-admin").output().expect("it starts").status.success()
    };
    let began = Instant::now();
    while !is_known("user_id:ann") {
        assert!(began.elapsed() < Duration::from_secs(30), "she has ordered");
        sleep(Duration::from_millis(50));
    }
    assert_eq!(dsr(&workspace, &["list"]).1, "no such request is known\n");

    // A copy, fetched into a file that is its owner's alone.
    let access = make(&workspace, &["access", "user_id:ann", "email:ann@example.com", "--group", "march & april"]);
    let known = until(&workspace, &access, "completed");
    assert_eq!((&known["kind"], &known["regulation"], &known["result"]["lines"]), (&json!("access"), &json!("gdpr"), &json!(2)));
    let file = workspace.path().join("ann.ndjson");
    fs::write(&file, "what was there").expect("the folder takes a file");
    let out = file.display().to_string();
    let fetched = dsr(&workspace, &["result", &access, "--out", &out]);
    assert_eq!((fetched.0, &*fetched.1), (0, &*format!("2 things are known: {out}\n")), "{}", fetched.2);
    let text = fs::read_to_string(&file).expect("it is there");
    assert!(text.contains("parcel of ann") && text.lines().last().expect("lines").starts_with(r#"{"kind":"end""#), "{text}");
    assert_eq!(fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);
    let page = dsr(&workspace, &["show", &access]).1;
    assert!(
        page.contains("  status      completed\n") && page.contains(&format!("`weft dsr result {access} --out FILE`")),
        "{page}"
    );

    // An erasure that waits is called off; one that does not wait is done, and takes the copy with it.
    let asked_at = "2026-02-28T09:30:00.000Z";
    let waiting = make(&workspace, &["erasure", "user_id:ann", "--regulation", "ccpa", "--submitted", asked_at]);
    let known = dsr_json(&workspace, &["show", &waiting]);
    assert_eq!((&known["status"], &known["submitted"]), (&json!("pending"), &json!(asked_at)), "{known}");
    assert!(known["waits_until"].as_str() > known["received"].as_str(), "{known}");
    let unfinished = dsr(&workspace, &["result", &waiting, "--out", &out]);
    assert!(unfinished.0 == 1 && unfinished.2.contains("an erasure has no result"), "{}", unfinished.2);
    let cancelled = dsr(&workspace, &["cancel", &waiting]);
    assert_eq!(
        (cancelled.0, &*cancelled.1),
        (0, &*format!("the request {waiting} for erasure is cancelled\n")),
        "{}",
        cancelled.2
    );
    let taken = dsr(&workspace, &["erasure", "user_id:ann", "--skip-wait"]).1;
    assert!(taken.starts_with("the request ") && taken.contains(" for erasure is taken, and due by 20"), "{taken}");
    let erasure = taken.split(' ').nth(2).expect("it says its id").to_owned();
    until(&workspace, &erasure, "completed");
    assert!(!is_known("user_id:ann"));
    let late = dsr(&workspace, &["cancel", &erasure]);
    assert_eq!((late.0, &*late.2), (1, "error: the request has begun: only one that is pending can be cancelled\n"));
    let gone = dsr(&workspace, &["result", &access, "--out", &out]);
    assert!(gone.0 == 1 && gone.2.contains("is not kept any more"), "{}", gone.2);

    let portability = make(&workspace, &["portability", "email:nobody@example.com"]);
    until(&workspace, &portability, "completed");
    let all = dsr_json(&workspace, &["list"]);
    assert_eq!(ids(&all), [&*portability, &*erasure, &*waiting, &*access]);
    let first = dsr_json(&workspace, &["list", "--limit", "3"]);
    let rest = dsr_json(&workspace, &["list", "--after", first["next"].as_str().expect("there is more")]);
    assert_eq!(ids(&rest), [&*access]);
    assert_eq!(ids(&dsr_json(&workspace, &["list", "--status", "cancelled"])), [&*waiting]);
    assert_eq!(ids(&dsr_json(&workspace, &["list", "--group", "march & april"])), [&*access]);
    let table = dsr(&workspace, &["list"]).1;
    let lines: Vec<&str> = table.lines().collect();
    assert!(lines.len() == 5 && lines[0].starts_with("id ") && lines[4].ends_with("  march & april"), "{table}");
    assert!(lines[3].starts_with(&format!("{waiting}  erasure      cancelled  ")), "{table}");
    engine.stop();
    let late = dsr(&workspace, &["list"]);
    assert!(late.0 == 1 && late.2.contains("no engine listens on"), "{}", late.2);
}

#[test]
fn what_is_wrong_is_said() {
    let workspace = workspace("t-rights");
    let engine = workspace.start();
    let check = |arguments: &[&str], code: i32, want: &str| {
        let (got, out, error) = dsr(&workspace, arguments);
        assert!(got == code && error.contains(want), "{arguments:?}: {got} {out} {error}");
    };
    let id = "a7551968-d5d6-44b2-9831-815ac9017798";
    check(&["show", id], 1, &format!("error: the engine that runs knows no request `{id}`"));
    check(&["cancel", "../status"], 1, "knows no request `../status`");
    check(&["access"], 2, "<IDENTITY>");
    check(&["access", "email=ann@example.com"], 2, "it is not TYPE:VALUE");
    check(&["access", "00000000000000000000000000000007"], 2, "a request names people by identifiers");
    check(&["list", "--status", "done"], 2, "in_progress");
    check(&["access", "fax:1"], 1, "identities of the type `fax` are not supported");
    check(&["access", "email:a@b.example", "--regulation", "General Data"], 1, "`regulation` is not the name of one");
    check(&["access", "email:a@b.example", "--id", "1"], 1, "the request 1 for access: `subject_request_id` is not a UUID");
    assert_eq!(make(&workspace, &["access", "email:a@b.example", "--id", id]), id);
    check(&["erasure", "email:a@b.example", "--id", id], 1, "another request has this `subject_request_id`");
    let folder = workspace.path().join("nowhere/a.ndjson").display().to_string();
    until(&workspace, id, "completed");
    check(&["result", id, "--out", &folder], 1, "cannot write to ");
    let mut command = workspace.command(&["dsr", "list"]);
    let refused = said(&command.env("WEFT_TOKEN", "t-read").output().expect("it starts"));
    assert!(refused.0 == 1 && refused.2.contains("scopes do not have what the page needs"), "{}", refused.2);

    // Where no requests are taken any more, those that were are still seen.
    let path = workspace.path().join("weft.yaml");
    let yaml = fs::read_to_string(&path).expect("it is there");
    fs::write(&path, yaml.replace(RIGHTS, "")).expect("the folder takes a file");
    let mut reload = Command::new(binary());
    let reload = reload.arg("reload").arg(workspace.path()).env("WEFT_TOKEN", "t-admin").output().expect("it starts");
    assert!(reload.status.success(), "{reload:?}");
    check(&["access", "email:a@b.example"], 1, "takes no requests of people: its workspace has no `rights.opendsr`");
    assert_eq!(ids(&dsr_json(&workspace, &["list"])), [id]);
    engine.stop();
}
