//! Configuration that changes while events flow: good edits and bad ones, of every kind, with senders that never pause. None is lost, none is
//! doubled, and what is refused changes nothing.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use serde_json::Value;
use weft_tests::engine::{Engine, KEY, Workspace, binary, number, plugin};
use weft_tests::wire::Request;

/// Senders at once, and the calls of each request.
const SENDERS: usize = 3;
const CALLS: usize = 7;

/// Senders that send until they are told to stop; the message ids that were acknowledged.
struct Senders {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Vec<String>>>,
}

impl Senders {
    fn start(engine: &Engine) -> Senders {
        let stop = Arc::new(AtomicBool::new(false));
        let address = engine.address;
        let sender = |number: usize| {
            let stop = stop.clone();
            thread::spawn(move || {
                let mut acknowledged = Vec::new();
                for round in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let ids: Vec<String> = (0..CALLS).map(|call| format!("m-{number}-{round}-{call}")).collect();
                    let call = |id: &String| {
                        format!(
                            r#"{{"type":"track","event":"Looked","userId":"u{number}","messageId":"{id}","properties":{{"seen":1}}}}"#
                        )
                    };
                    let calls = ids.iter().map(call).collect::<Vec<_>>().join(",");
                    let body = format!(r#"{{"writeKey":"{KEY}","batch":[{calls}]}}"#);
                    let request = Request::post("/segment/v1/batch", body);
                    // As SDKs do: what was not taken is sent again, with the same ids.
                    while request.send(address).map_or(0, |answer| answer.status) != 200 {
                        sleep(Duration::from_millis(20));
                    }
                    acknowledged.extend(ids);
                }
                acknowledged
            })
        };
        let threads = (0..SENDERS).map(sender).collect();
        Senders { stop, threads }
    }

    fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        self.threads.into_iter().flat_map(|thread| thread.join().expect("a sender ends")).collect()
    }
}

/// One call of a customer's.
fn track(key: &str, id: &str) -> Request {
    let body = format!(r#"{{"writeKey":"{key}","event":"e","userId":"u","messageId":"{id}"}}"#);
    Request::post("/segment/v1/track", body)
}

/// Edits `weft.yaml` as an editor does: beside it, then in its place.
fn edit(workspace: &Workspace, change: impl FnOnce(String) -> String) {
    let path = workspace.path().join("weft.yaml");
    let (before, beside) = (fs::read_to_string(&path).expect("reads"), workspace.path().join(".weft.yaml.new"));
    let after = change(before.clone());
    assert_ne!(before, after, "the edit found its place");
    fs::write(&beside, after).expect("writes");
    fs::rename(beside, path).expect("renames");
}

/// Has the engine look now; the answer.
fn reload(engine: &Engine) -> (u16, Value) {
    let answer = engine.send(&Request::post("/api/v1/config/reload", ""));
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {}", answer.text())))
}

fn generation(engine: &Engine) -> u64 {
    number(&engine.page("/api/v1/config").1, "/generation")
}

/// Makes a good edit and sees it taken on, by the request or by the watch, whichever comes first.
fn good(workspace: &Workspace, engine: &Engine, change: impl FnOnce(String) -> String) {
    let before = generation(engine);
    edit(workspace, change);
    let (status, reloaded) = reload(engine);
    assert_eq!((status, number(&reloaded, "/generation")), (200, before + 1), "{reloaded}");
    sleep(Duration::from_millis(300));
}

/// Makes a bad edit, sees it refused with this code, and takes it back.
fn bad(workspace: &Workspace, engine: &Engine, code: &str, change: impl FnOnce(String) -> String) {
    let (before, right) = (generation(engine), fs::read_to_string(workspace.path().join("weft.yaml")).expect("reads"));
    edit(workspace, change);
    let (status, reloaded) = reload(engine);
    assert_eq!((status, &reloaded["outcome"]), (422, &Value::from("refused")), "{reloaded}");
    assert_eq!(reloaded.pointer("/problems/problems/0/code"), Some(&Value::from(code)), "{reloaded}");
    assert_eq!(generation(engine), before);
    let shown = engine.page("/api/v1/status").1;
    assert_eq!(shown.pointer("/config/outcome"), Some(&Value::from("refused")), "{shown}");
    edit(workspace, |_| right);
    assert_eq!((reload(engine).0, generation(engine)), (200, before));
}

#[test]
fn edits_under_load_lose_nothing_and_double_nothing() {
    let workspace = Workspace::create();
    let engine = workspace.start();
    let senders = Senders::start(&engine);
    sleep(Duration::from_millis(500));
    let path = |name: &str| plugin(name).display().to_string();

    // Another transform behind the first.
    good(&workspace, &engine, |yaml| {
        yaml.replace("  file:  ", &format!("  map: {{ path: \"{}\" }}\n  file:  ", path("map"))).replace(
            "identity:",
            "  mark: { plugin: map, inputs: [tidy], config: { steps: [{ set: { path: properties.marked, value: true } }] } }\nidentity:",
        )
    });
    bad(&workspace, &engine, "yaml/syntax", |yaml| yaml.replace("name: e2e", "name: [e2e"));
    bad(&workspace, &engine, "config/unknown-key", |yaml| yaml.replace("inputs: [web]", "inptus: [web]"));
    bad(&workspace, &engine, "reference/unknown", |yaml| yaml.replace("inputs: [tidy]", "inputs: [tidi]"));
    bad(&workspace, &engine, "reload/restart", |yaml| {
        yaml.replace("zone: Europe/Berlin", "zone: Europe/Berlin\ndata: elsewhere")
    });
    // Of a lane: it begins anew where it was.
    good(&workspace, &engine, |yaml| yaml.replace("config: { path: out }", "config: { path: out }, batch: { records: 50 }"));
    // Another lane beside it.
    good(&workspace, &engine, |yaml| {
        format!("{yaml}  pond: {{ plugin: file, from: {{ events: [Looked] }}, config: {{ path: pond }} }}\n")
    });
    // Of a door, and of who is who.
    good(&workspace, &engine, |yaml| yaml.replace("user_id:      { limit: 1", "user_id:      { limit: 2"));
    // A source that is read, from a file that is there.
    fs::create_dir(workspace.path().join("inbox")).expect("makes");
    let line = r#"{"type":"track","name":"Read","message_id":"from-a-file","claims":[{"type":"user_id","value":"reader"}]}"#;
    fs::write(workspace.path().join("inbox/a.ndjson"), format!("{line}\n")).expect("writes");
    good(&workspace, &engine, |yaml| {
        yaml.replace("  file:  ", &format!("  ndjson: {{ path: \"{}\" }}\n  file:  ", path("ndjson")))
            .replace("transforms:", "  list: { plugin: ndjson, file: { path: inbox/*.ndjson, rest: 100ms } }\ntransforms:")
    });
    // And away with what was added first.
    good(&workspace, &engine, |yaml| {
        let keep = |line: &&str| !line.contains("mark: {") && !line.contains("map: {") && !line.contains("pond: {");
        yaml.lines().filter(keep).map(|line| format!("{line}\n")).collect()
    });
    sleep(Duration::from_millis(500));
    let mut acknowledged = senders.stop();
    let began = Instant::now();
    while engine.profile("user_id", "reader").is_none() {
        assert!(began.elapsed() < Duration::from_secs(30), "the file is read");
        sleep(Duration::from_millis(50));
    }
    let _ = engine.settle();
    let last = generation(&engine);
    engine.stop();

    let written = workspace.written("events");
    let id = |event: &Value| event["message_id"].as_str().unwrap_or_default().to_owned();
    let mut arrived: Vec<String> = written.iter().map(id).collect();
    let marked = written.iter().filter(|event| event.pointer("/properties/marked").is_some()).count();
    acknowledged.push("from-a-file".into());
    acknowledged.sort();
    arrived.sort();
    assert!(acknowledged.len() > 500, "{} were acknowledged", acknowledged.len());
    assert!(acknowledged == arrived, "{} acknowledged, {} arrived", acknowledged.len(), arrived.len());
    assert!(marked > 0 && marked < arrived.len(), "{marked} of {} went through the transform that came and went", arrived.len());

    // The next start says the same, and so does a rebuild.
    let engine = workspace.start();
    assert_eq!(generation(&engine), last);
    engine.stop();
    let rebuilt = workspace.run("rebuild");
    assert!(String::from_utf8_lossy(&rebuilt.stdout).contains("the same state"), "{rebuilt:?}");
}

#[test]
fn a_secret_is_renewed_and_no_stage_begins_anew() {
    let workspace = Workspace::create();
    let engine = workspace.start();
    let call = |key: &str, id: &str| engine.send(&track(key, id)).status;
    assert_eq!((call(KEY, "1"), call("wk_new", "2")), (200, 401));
    let before = generation(&engine);
    fs::write(workspace.path().join("secrets/WEB_KEY"), "wk_new").expect("writes");
    let began = Instant::now();
    // Nobody asks: the folder is watched.
    while call("wk_new", "3") != 200 {
        assert!(began.elapsed() < Duration::from_secs(30), "the new key is known");
        sleep(Duration::from_millis(50));
    }
    assert_eq!((call(KEY, "4"), generation(&engine)), (401, before));
    engine.stop();
}

#[test]
fn a_start_with_wrong_files_runs_what_was_last_right() {
    let workspace = Workspace::create();
    let engine = workspace.start();
    good(&workspace, &engine, |yaml| yaml.replace("region: DE", "region: AT"));
    let last = generation(&engine);
    engine.stop();
    let right = fs::read_to_string(workspace.path().join("weft.yaml")).expect("reads");
    edit(&workspace, |yaml| yaml.replace("plugin: segment", "plugin: sgement"));

    let mut strict = Command::new(binary());
    let strict =
        strict.args(["run", "--strict"]).arg(workspace.path()).env("WEFT_CACHE", weft_tests::root().join("target/weft-cache"));
    let refused = strict.output().expect("starts");
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.stderr).contains("did you mean `segment`?"), "{refused:?}");

    // By a name that is relative, where what was kept says the whole path.
    let engine = workspace.start_by_name();
    assert_eq!(generation(&engine), last);
    assert_eq!(engine.send(&track(KEY, "1")).status, 200);
    let (_, config) = engine.page("/api/v1/config");
    assert_eq!(config.pointer("/last/outcome"), Some(&Value::from("refused")), "{config}");
    let told = workspace.run("reload");
    assert_eq!(told.status.code(), Some(2), "{told:?}");
    assert!(String::from_utf8_lossy(&told.stderr).contains("did you mean `segment`?"), "{told:?}");
    // Mended: the same as what runs.
    edit(&workspace, |_| right);
    let told = workspace.run("reload");
    let words = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.status.success() && words.contains("nothing is different"), "{told:?}");
    edit(&workspace, |yaml| yaml.replace("region: AT", "region: CH"));
    let plan = workspace.run("plan");
    assert!(
        String::from_utf8_lossy(&plan.stdout).contains("~ transforms.tidy (config)") || plan.stdout.ends_with(b"different\n"),
        "{plan:?}"
    );
    engine.stop();
}

#[test]
fn a_file_that_a_block_names_is_watched() {
    let workspace = Workspace::create();
    fs::create_dir(workspace.path().join("plans")).expect("makes");
    let plan = workspace.path().join("plans/steps.yaml");
    let steps = |value: &str| format!("- set: {{ path: properties.plan, value: {value} }}\n");
    fs::write(&plan, steps("one")).expect("writes");
    edit(&workspace, |yaml| {
        yaml.replace("  file:  ", &format!("  map: {{ path: \"{}\" }}\n  file:  ", plugin("map").display())).replace(
            "identity:",
            "  mark: { plugin: map, inputs: [tidy], config: { steps: { file: plans/steps.yaml } } }\nidentity:",
        )
    });
    let engine = workspace.start();
    let send = |id: &str| assert_eq!(engine.send(&track(KEY, id)).status, 200);
    send("1");
    let _ = engine.settle();
    let before = generation(&engine);
    fs::write(&plan, steps("two")).expect("writes");
    let began = Instant::now();
    while generation(&engine) == before {
        assert!(began.elapsed() < Duration::from_secs(30), "the file is watched");
        sleep(Duration::from_millis(50));
    }
    send("2");
    fs::write(&plan, "- sett: {}\n").expect("writes");
    let (status, refused) = reload(&engine);
    assert_eq!(status, 422, "{refused}");
    assert!(refused.to_string().contains("plans/steps.yaml") || refused.to_string().contains("steps"), "{refused}");
    send("3");
    let _ = engine.settle();
    engine.stop();
    let plans: Vec<Value> = workspace.written("events").iter().map(|event| event["properties"]["plan"].clone()).collect();
    assert_eq!(plans, ["one", "two", "two"]);
}

#[test]
fn a_plan_says_whom_it_would_have_forgotten() {
    let workspace = Workspace::create();
    let engine = workspace.start();
    let visit = |user: &str, named: &str, at: &str| {
        let call = format!(r#"{{"writeKey":"{KEY}","event":"e","{named}":"{user}","messageId":"{user}","timestamp":"{at}"}}"#);
        assert_eq!(engine.send(&Request::post("/segment/v1/track", call)).status, 200);
    };
    let plan = || {
        let planned = workspace.run("plan");
        assert!(planned.status.success(), "{planned:?}");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&planned.stdout), text(&planned.stderr))
    };
    visit("long-ago", "userId", "2020-01-01T12:00:00Z");
    visit("device", "anonymousId", "2020-01-01T12:00:00Z");
    (0..10).for_each(|number| visit(&format!("now-{number}"), "userId", "2999-01-01T12:00:00Z"));
    let _ = engine.settle();
    assert!(!plan().0.contains("inactive"), "nobody is to be forgotten");
    edit(&workspace, |yaml| format!("{yaml}retention: {{ inactive_profiles: {{ after: 400d }} }}\n"));
    let (told, warned) = plan();
    assert!(
        told.contains("\ninactive profiles: 2 of 12 would be forgotten\n  known      1: their latest events are of 20"),
        "{told}"
    );
    assert!(told.contains("\n  anonymous  1: ") && told.contains("\n  the last of them about 20"), "{told}");
    assert!(warned.contains("warning[retention/large]: 2 of 12 profiles are inactive, and would be forgotten"), "{warned}");
    assert!(warned.contains("retention: { inactive_profiles:"), "{warned}");
    let planned = engine.send(&Request::post("/api/v1/config/reload?dry_run=true", ""));
    let planned: Value = serde_json::from_slice(&planned.body).expect("JSON");
    let counts = ["profiles", "known", "anonymous"].map(|count| number(&planned["inactive"], &format!("/{count}")));
    assert_eq!((counts, planned["inactive"].get("at_least")), ([12, 1, 1], None), "{planned}");
    edit(&workspace, |yaml| yaml.replace("{ after: 400d }", "{ anonymous_after: 400d }"));
    let (told, warned) = plan();
    assert!(
        told.contains("\ninactive profiles: 1 of 12 would be forgotten\n  anonymous  1: ") && !told.contains("known  "),
        "{told}"
    );
    assert_eq!(warned, "", "less than a tenth");

    // The same where no engine runs; nobody has gone by that.
    engine.stop();
    let (told, warned) = plan();
    assert!(told.starts_with("no engine runs; since the engine last ran") && warned.is_empty(), "{told} {warned}");
    assert!(told.contains("\ninactive profiles: 1 of 12 would be forgotten\n  anonymous  1: "), "{told}");
    edit(&workspace, |yaml| yaml.replace("{ anonymous_after: 400d }", "{ after: 400d }"));
    let (told, warned) = plan();
    assert!(told.contains(" retention\ninactive profiles: 2 of 12") && warned.contains("[retention/large]"), "{told} {warned}");
    let fresh = Workspace::create();
    edit(&fresh, |yaml| format!("{yaml}retention: {{ inactive_profiles: {{ after: 400d }} }}\n"));
    assert!(fresh.run("plan").status.success() && !fresh.path().join("data").exists(), "a plan makes no data folder");
}
