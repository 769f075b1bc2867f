//! The checks of plugins notice what they are for: fixtures that keep the contract, each with one thing broken.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use weft::conformance::{self, CHECKS, Conformance, Given, Verdict};
use weft_host::{Host, HostOptions};

/// A fixture's text, with every given text replaced.
fn altered(fixture: &str, replace: &[(&str, &str)]) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/fixtures").join(fixture);
    let mut text = std::fs::read_to_string(path).unwrap();
    for (from, to) in replace {
        assert!(text.contains(from), "{fixture} has no {from}");
        text = text.replace(from, to);
    }
    text.into_bytes()
}

async fn found(fixture: &str, replace: &[(&str, &str)]) -> Conformance {
    let cache = tempfile::tempdir().unwrap();
    let host = Host::new(HostOptions { instances_max: 16, ..HostOptions::new(cache.path()) }).unwrap();
    let plugin = host.load_bytes(Path::new(fixture), altered(fixture, replace)).await.unwrap();
    let given = Given { title: "nothing".into(), text: "{}".into() };
    conformance::check(&plugin, &[given]).await
}

async fn check(fixture: &str, replace: &[(&str, &str)], want: &[&str]) {
    let found = found(fixture, replace).await;
    let failed = |verdict: &Verdict| matches!(verdict, Verdict::Failed { .. });
    let failed: Vec<&str> =
        found.findings.iter().filter(|finding| failed(&finding.verdict)).map(|finding| finding.check).collect();
    // The fixtures' schemas are open.
    let want: Vec<&str> = std::iter::once("schema").chain(want.iter().copied()).collect();
    assert_eq!(failed, want, "{fixture} with {replace:?}: {:#?}", found.findings);
    assert!(found.used.memory_bytes > 0, "{fixture}: its memory was measured");
}

/// What the sample events begin with, `type`, as the fixtures read it.
const TYPE: &str = "0x65707974";

#[tokio::test]
async fn a_transform_that_keeps_the_contract_passes() {
    check("transform.wat", &[], &[]).await;
}

#[tokio::test]
async fn a_transform_that_breaks_the_contract_fails_in_what_it_breaks() {
    // It drops what it cannot read.
    check("transform.wat", &[("0x706f7264", TYPE)], &["garbage"]).await;
    // It splits without new message ids.
    check("transform.wat", &[("0x6e697774", TYPE)], &["events", "garbage"]).await;
    // One outcome too few.
    check("transform.wat", &[("0x7365696c", TYPE)], &["answers", "garbage", "deep", "large", "full-batch"]).await;
    // It asks for memory without end.
    check("transform.wat", &[("0x776f7267", TYPE)], &["answers", "garbage", "deep", "large", "full-batch", "limits"]).await;
    // The fourth of a batch is dropped, whatever it is.
    let by_place = [("(i32.eq (local.get $word) (i32.const 0x706f7264))", "(i32.eq (local.get $i) (i32.const 3))")];
    check("transform.wat", &by_place, &["cut"]).await;
    // An instance that is kept remembers that it was called.
    let remembers = [
        (r#"\"reuse\":false"#, r#"\"reuse\":true "#),
        ("(i32.eq (local.get $word) (i32.const 0x706f7264))", "(i32.load (i32.const 804))"),
        (
            "(block $done",
            "(i32.store (i32.const 804) (i32.load (i32.const 800))) (i32.store (i32.const 800) (i32.const 1)) (block $done",
        ),
    ];
    check("transform.wat", &remembers, &["deterministic"]).await;
}

#[tokio::test]
async fn a_destination_that_breaks_the_contract_fails_in_what_it_breaks() {
    check("destination.wat", &[("0x70617274", TYPE)], &["answers", "again", "garbage", "deep", "large", "full-batch"]).await;
}

#[tokio::test]
async fn a_source_that_breaks_the_contract_fails_in_what_it_breaks() {
    // It traps over a body that begins with `{"ty`.
    let found = found("source.wat", &[("0x70617274", "0x7974227b")]).await;
    let failed = |name: &str| {
        found.findings.iter().any(|finding| finding.check == name && matches!(finding.verdict, Verdict::Failed { .. }))
    };
    assert!(failed("garbage") && failed("deep") && failed("large"), "{:#?}", found.findings);
}

#[test]
fn every_check_is_explained() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/plugin-checks.md");
    let page = std::fs::read_to_string(page).unwrap();
    let listed: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let names: Vec<&str> = CHECKS.iter().map(|check| check.name).collect();
    assert_eq!(listed, names);
}
