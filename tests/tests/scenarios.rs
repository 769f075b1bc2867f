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
    plays(&workspace.run("test"), 2);
}

/// Orders of one morning, one of them late, and what becomes of them as time passes.
const ATTRIBUTES: &str = r#"
attributes:
  spent:     { sum: properties.total, event: Order Completed }
  big:       { count: events, event: Order Completed, where: "event.properties.total > 20" }
  this_hour: { count: events, event: Order Completed, within: 1h }
  first:     { first: properties.total, event: Order Completed }
  skus:      { unique_list: "products[].sku" }
  days:      { streak: longest }
traits:
  plan: { keep: first }
  tags: { keep: set }
tests:
  - name: what somebody has spent follows both of two devices, and a late event
    given: &orders
      - { at: "09:00", event: Order Completed, user_id: ann, properties: { total: 19.90 }, products: [{ sku: b }, { sku: a }], traits: { plan: free, tags: [x, y] } }
      - { at: "09:30", event: Order Completed, anonymous_id: a1, properties: { total: 30.05 }, products: [{ sku: b }], traits: { plan: paid } }
      - { at: "08:45", event: Order Completed, user_id: ann, properties: { total: "0.05" }, traits: { tags: z } }
      - { at: "09:45", type: identify, user_id: ann, anonymous_id: a1 }
    expect:
      profiles:
        - user_id: ann
          attributes: { spent: 50, big: 1, this_hour: 2, first: "0.05", skus: [a, b], days: 1 }
          traits: { plan: free, tags: [x, y, z] }
  - name: what is older than the window does not count
    given: *orders
    until: "10:15"
    expect: { profiles: [{ user_id: ann, attributes: { this_hour: 1, spent: 50 } }] }
"#;

#[test]
fn what_events_come_to_can_be_expected() {
    let workspace = Workspace::create();
    let file = workspace.path().join("weft.yaml");
    let yaml = fs::read_to_string(&file).expect("there is a workspace");
    fs::write(&file, yaml + ATTRIBUTES).expect("the folder takes a file");
    plays(&workspace.run("test"), 2);
}

#[test]
fn the_transforms_together_do_what_their_example_says() {
    plays(&run_on(&root().join("pipelines/transforms"), "test"), 5);
}

#[test]
fn people_who_share_no_identifier_come_out_as_their_stories_say() {
    plays(&run_on(&root().join("pipelines/who-is-who"), "test"), 8);
}

/// Two lists that name people by numbers of their own, and what a person would see in them.
const MATCHING: &str = r#"
tests:
  - name: John Doe of the mailing list is John D. in the app, and Jane Doe is not
    given:
      - { at: "09:00", type: identify, user_id: list-1, traits: { name: John Doe, birth_date: 1980-03-04, mobile: "0170 5551234" } }
      - { at: "09:05", type: identify, anonymous_id: app-1, traits: { name: John D., mobile: "+49 170 5551234" } }
      - { at: "09:10", type: identify, anonymous_id: app-2, traits: { name: Jane Doe, mobile: "+49 170 5551234" } }
    expect:
      profiles:
        - { user_id: list-1, events: 2, traits: { birth_date: "1980-03-04" } }
        - { anonymous_id: app-1, events: 2 }
        - { anonymous_id: app-2, events: 1 }
"#;

#[test]
fn who_becomes_one_by_matching_can_be_expected() {
    let workspace = Workspace::create();
    let file = workspace.path().join("weft.yaml");
    let yaml = fs::read_to_string(&file).expect("there is a workspace");
    let matching = "identity:\n  matching: { compare: { name: person_name, birth_date: date, mobile: phone } }\n";
    fs::write(&file, yaml.replace("identity:\n", matching) + MATCHING).expect("the folder takes a file");
    plays(&workspace.run("test"), 1);
}

#[test]
fn consent_is_held_to_as_its_example_says() {
    plays(&run_on(&root().join("pipelines/consent"), "test"), 3);
}

/// Whether so many scenarios were played, and came out as they say.
fn plays(output: &std::process::Output, passed: usize) {
    let said = String::from_utf8_lossy(&output.stdout);
    let all = said.ends_with(&format!("{passed} passed, 0 failed\n"));
    assert!(output.status.success() && all, "{said}{}", String::from_utf8_lossy(&output.stderr));
}
