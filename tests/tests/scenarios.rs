//! `weft test`, as those who write a workspace type it.

use std::fs;

use weft_tests::engine::{Workspace, run_on};
use weft_tests::root;

/// The workspace's zone is Europe/Berlin, where it is 09:00 an hour before it is in UTC: what happened at 08:30 UTC came after.
const TIMES: &str = r#"
tests:
  - name: a time of day is the workspace's
    given:
      - { at: "09:00", type: identify, user_id: ann, traits: { city: Bonn } }
      - { at: "2026-01-01T08:30:00Z", type: identify, user_id: ann, traits: { city: Cologne } }
    expect: { profiles: [{ user_id: ann, traits: { city: Cologne } }] }
  - name: the first day begins at its midnight
    given:
      - { at: "00:01", type: identify, user_id: ann, traits: { street: Main } }
      - { at: "2025-12-31T23:00:30Z", type: identify, user_id: ann, traits: { street: Side } }
    expect: { profiles: [{ user_id: ann, traits: { street: Main } }] }
"#;

#[test]
fn times_of_day_are_those_of_the_workspaces_zone() {
    let workspace = Workspace::create();
    let file = workspace.path().join("weft.yaml");
    let yaml = fs::read_to_string(&file).expect("there is a workspace");
    fs::write(&file, yaml + TIMES).expect("the folder takes a file");
    let output = workspace.run("test");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.ends_with("2 passed, 0 failed\n"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn the_transforms_together_do_what_their_example_says() {
    let output = run_on(&root().join("pipelines/transforms"), "test");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.ends_with("5 passed, 0 failed\n"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
