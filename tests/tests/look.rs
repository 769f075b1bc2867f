//! Looking at a running engine from the command line, as an operator types it: `weft events`, `weft tail`, `weft top`, `weft token`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use weft_tests::engine::{Engine, KEY, Workspace};
use weft_tests::wire::Request;

fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn track(engine: &Engine, user: &str, name: &str, at: &str) {
    let call = json!({ "type": "track", "userId": user, "event": name, "timestamp": at, "properties": { "total": 3 } });
    let answer = engine.send(&Request::post("/segment/v1/track", call.to_string().as_bytes()).key(KEY));
    assert_eq!(answer.status, 200, "{}", answer.text());
}

fn names(output: &Output) -> (Vec<String>, Value) {
    let (code, out, error) = said(output);
    assert_eq!(code, 0, "{error}");
    let list: Value = serde_json::from_str(&out).expect("JSON");
    let name = |one: &Value| one["event"]["name"].as_str().expect("a name").to_owned();
    (list["events"].as_array().expect("events").iter().map(name).collect(), list["next"].clone())
}

/// What every look at the events says, whether an engine runs or not.
fn look(workspace: &Workspace) -> Vec<String> {
    let all = workspace.ask(&["events", "user_id:ann", "--json"]);
    assert_eq!(names(&all).0, ["c", "b", "a"]);
    let (first, next) = names(&workspace.ask(&["events", "user_id:ann", "--json", "--order", "oldest", "--limit", "2"]));
    assert_eq!(first, ["a", "b"]);
    let next = next.as_str().expect("there is more");
    let rest = workspace.ask(&["events", "user_id:ann", "--json", "--order", "oldest", "--limit", "2", "--after", next]);
    assert_eq!(names(&rest), (vec!["c".into()], Value::Null));
    let (since, until) = ("2026-03-01T10:00:00Z", "2026-03-01T11:00:00+01:00");
    assert_eq!(names(&workspace.ask(&["events", "user_id:ann", "--json", "--since", since])).0, ["c", "b"]);
    assert_eq!(names(&workspace.ask(&["events", "user_id:ann", "--json", "--until", until])).0, ["a"]);

    let table = said(&workspace.ask(&["events", "user_id:ann", "--limit", "1"])).1;
    assert!(table.starts_with("2026-03-01T11:00:00.000Z  web"), "{table}");
    assert!(table.contains(r#"track "c"  user_id:ann  total=3"#) && table.contains("there are more: --after "), "{table}");
    let nobody = said(&workspace.ask(&["events", "user_id:bob"]));
    assert_eq!((nobody.0, &*nobody.2), (1, "error: nobody is known by `user_id:bob`\n"));
    let bad = said(&workspace.ask(&["events", "ann"]));
    assert!(bad.0 == 2 && bad.2.contains("neither TYPE:VALUE"), "{}", bad.2);
    vec![said(&all).1, table]
}

#[test]
fn a_running_engine_and_its_folder_show_the_same_events() {
    let workspace = Workspace::create();
    let engine = workspace.start();
    for (name, at) in [("b", "2026-03-01T10:00:00Z"), ("c", "2026-03-01T11:00:00Z"), ("a", "2026-03-01T09:00:00Z")] {
        track(&engine, "ann", name, at);
    }
    _ = engine.settle();
    let running = look(&workspace);

    let frame = said(&workspace.ask_with(&["top", "--once"]));
    assert_eq!(frame.0, 0, "{}", frame.2);
    let line =
        |begin: &str| frame.1.lines().find(|line| line.starts_with(begin)).unwrap_or_else(|| panic!("no {begin}: {}", frame.1));
    assert!(line("1 customers").contains("3 events"), "{}", frame.1);
    assert_eq!(line("web").split_whitespace().collect::<Vec<_>>(), ["web", "http", "/segment", "3", "0.0"]);
    let screen = said(&workspace.ask_with(&["top"]));
    assert!(screen.0 == 1 && screen.2.contains("this is no terminal"), "{}", screen.2);

    engine.stop();
    assert_eq!(look(&workspace), running);
    for command in [["top", "--once"].as_slice(), &["top"]] {
        let late = said(&workspace.ask_with(command));
        assert!(late.0 == 1 && late.2.contains("no engine listens on"), "{}", late.2);
    }
    let late = said(&workspace.ask(&["tail"]));
    assert!(late.0 == 1 && late.2.contains("no engine listens on"), "{}", late.2);
}

#[test]
fn another_workspaces_engine_at_the_same_address_is_left_alone() {
    let (here, there) = (Workspace::create(), Workspace::create());
    let engine = here.start();
    track(&engine, "ann", "a", "2026-03-01T09:00:00Z");
    _ = engine.settle();
    let yaml = there.path().join("weft.yaml");
    let text = fs::read_to_string(&yaml).expect("readable");
    let text = text.replace(&there.address().to_string(), &here.address().to_string());
    let asked = || {
        let commands: [&[&str]; 3] =
            [&["erase", "user_id:ann", "--reason", "asked"], &["dlq", "list"], &["profile", "user_id:ann"]];
        [commands.map(|command| there.ask(command)).as_slice(), &["status", "reload", "plan"].map(|command| there.run(command))]
            .concat()
    };
    fs::write(&yaml, text.replace("name: e2e", "name: other")).expect("is written");
    for output in asked() {
        let (code, out, error) = said(&output);
        assert!(code == 1 && error.contains("runs another workspace than the one that was named"), "{out}{error}");
    }
    assert!(engine.profile("user_id", "ann").is_some(), "nobody erased her");
    assert_eq!(said(&here.run("status")).0, 0);
    // One of the same name is the same workspace, as far as anybody can tell.
    fs::write(&yaml, text).expect("is written");
    assert_eq!(said(&there.run("status")).0, 0);
    engine.stop();
}

/// A `weft tail` that runs.
struct Tail {
    child: Child,
    lines: Receiver<String>,
}

impl Tail {
    fn start(workspace: &Workspace, arguments: &[&str]) -> Tail {
        let mut command = workspace.command(&[&["tail", "--json"], arguments].concat());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
        let out: BufReader<ChildStdout> = BufReader::new(child.stdout.take().expect("piped"));
        let (send, lines) = channel();
        thread::spawn(move || out.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Tail { child, lines }
    }

    /// The name of the next event.
    fn name(&self) -> String {
        let line = self.lines.recv_timeout(Duration::from_secs(30)).expect("something comes");
        let shown: Value = serde_json::from_str(&line).expect("JSON in each line");
        shown["event"]["name"].as_str().unwrap_or_else(|| panic!("no event: {line}")).to_owned()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_tail_shows_what_comes_and_goes_on_when_the_engine_comes_back() {
    let workspace = Workspace::create();
    let engine = workspace.start();
    let (all, ann) = (Tail::start(&workspace, &[]), Tail::start(&workspace, &["--customer", "user_id:ann"]));
    // Until both are there.
    let begun = |tail: &Tail, user: &str| {
        (0..100).any(|turn| {
            track(&engine, user, &format!("wake {turn}"), "2026-03-01T10:00:00Z");
            tail.lines.recv_timeout(Duration::from_millis(300)).is_ok()
        })
    };
    assert!(begun(&all, "bob") && begun(&ann, "ann"));
    track(&engine, "bob", "one", "2026-03-01T10:00:00Z");
    track(&engine, "ann", "two", "2026-03-01T10:00:00Z");
    let after_waking = |tail: &Tail| loop {
        let name = tail.name();
        if !name.starts_with("wake") {
            return name;
        }
    };
    assert_eq!((after_waking(&all), after_waking(&all), after_waking(&ann)), ("one".into(), "two".into(), "two".into()));
    engine.stop();

    let engine = workspace.start();
    track(&engine, "ann", "three", "2026-03-01T10:00:00Z");
    assert_eq!((all.name(), ann.name()), ("three".into(), "three".into()), "nothing is lost, and nothing comes twice");
    engine.stop();
}

#[test]
fn a_new_token_is_let_in_as_far_as_its_scopes_go() {
    let workspace = Workspace::create();
    let make = |scope: &str| -> (String, Value) {
        let made = said(&workspace.run_alone(&["token", "new", scope, "--scope", scope, "--json"]));
        assert_eq!(made.0, 0, "{}", made.2);
        let made: Value = serde_json::from_str(&made.1).expect("JSON");
        (made["token"].as_str().expect("a token").to_owned(), made["tokens"][scope].clone())
    };
    let ((reader, read), (admin, all)) = (make("read"), make("admin"));
    let tokens = json!({ "tokens": { "reader": read, "admin": all } });
    std::fs::write(workspace.path().join("tokens.yaml"), tokens.to_string()).expect("JSON is YAML");
    let engine = workspace.start();
    let status = |method: &'static str, path: &str, token: &str| {
        engine.send(&Request::new(method, path).header("authorization", &format!("Bearer {token}"))).status
    };
    assert_eq!(engine.send(&Request::new("GET", "/api/v1/status")).status, 401);
    assert_eq!(status("GET", "/api/v1/status", &reader), 200);
    assert_eq!(status("POST", "/api/v1/config/reload", &reader), 403);
    assert_eq!(status("POST", "/api/v1/config/reload", &admin), 200);
    assert_eq!(status("GET", "/api/v1/status", &format!("{reader}x")), 401);
    // A source's own path is its plugin's matter.
    track(&engine, "ann", "a", "2026-03-01T10:00:00Z");

    let twice = said(&workspace.run_alone(&["token", "new", "ci", "--scope", "read", "--scope", "admin"]));
    assert!(twice.1.starts_with("weft_") && twice.1.contains("tokens:\n  ci: { hash: \"sha256:"), "{}", twice.1);
    assert!(twice.1.ends_with("scopes: [read, admin] }\n"), "{}", twice.1);
    let bad = said(&workspace.run_alone(&["token", "new", "No Name", "--scope", "read"]));
    assert!(bad.0 == 1 && bad.2.contains("is not a name"), "{}", bad.2);
    let none = said(&workspace.run_alone(&["token", "new", "ci"]));
    assert!(none.0 == 2 && none.2.contains("--scope"), "{}", none.2);
    engine.terminate();
    assert!(engine.ended().success());
}
