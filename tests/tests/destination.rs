//! `weft destination`, as an operator types it.

use std::thread::sleep;
use std::time::Duration;

use weft_tests::engine::{KEY, Workspace};
use weft_tests::wire::Request;

#[test]
fn a_paused_destination_waits_over_a_restart_and_loses_nothing() {
    let workspace = Workspace::create();
    let say = |arguments: &[&str]| {
        let output = workspace.ask(&[&["destination"], arguments].concat());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
    };
    let late = say(&["pause", "lake"]);
    assert!(late.0 == 1 && late.2.contains("no engine listens on"), "{}", late.2);

    let engine = workspace.start();
    let unknown = say(&["pause", "sea"]);
    assert!(unknown.0 == 1 && unknown.2.contains("has no destination `sea`"), "{}", unknown.2);
    let paused = say(&["pause", "lake"]);
    assert!(paused.0 == 0 && paused.1.contains("`lake` is paused since "), "{paused:?}");
    assert_eq!(say(&["pause", "lake"]).1, paused.1, "asked twice, it is paused since the first time");
    let body = br#"{"type":"track","event":"Looked","userId":"ann","messageId":"m1"}"#;
    assert_eq!(engine.send(&Request::post("/segment/v1/track", body).key(KEY)).status, 200);
    sleep(Duration::from_secs(2));
    assert_eq!(workspace.written("events").len(), 0);
    let status = workspace.run("status");
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    assert!(status.contains("paused since "), "{status}");
    engine.stop();

    let engine = workspace.start();
    sleep(Duration::from_secs(1));
    assert_eq!(workspace.written("events").len(), 0);
    let resumed = say(&["resume", "lake"]);
    assert_eq!((resumed.0, &*resumed.1), (0, "`lake` is given what waits for it\n"), "{}", resumed.2);
    _ = engine.settle();
    assert_eq!(workspace.written("events").len(), 1);
    engine.stop();
}
