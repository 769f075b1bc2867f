//! The checks of plugins notice what they are for: fixtures that keep the contract, each with one thing broken.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use weft::cases;
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
    conformance::check(&plugin, &[given], &[]).await
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
async fn a_destination_that_sends_mail_is_told_the_truth_by_a_server_and_tells_it() {
    check("mailer.wat", &[], &[]).await;
    // Whatever becomes of the message, it says that it is delivered; then, that it is to come again.
    let receipt =
        "(memory.copy (i32.add (local.get $receipts) (i32.mul (local.get $i) (i32.const 24))) (i32.const 136) (i32.const 24))";
    let always = |tag: u8| {
        format!("(i64.store (i32.add (local.get $receipts) (i32.mul (local.get $i) (i32.const 24))) (i64.const {tag}))")
    };
    check("mailer.wat", &[(receipt, &always(0))], &["outside"]).await;
    check("mailer.wat", &[(receipt, &always(1))], &["answers"]).await;
    // A message without an id.
    check("mailer.wat", &[("(i32.store8 (i32.const 344) (i32.const 1))", "")], &["again"]).await;
    // It never asks, and is content.
    check(
        "mailer.wat",
        &[(
            "(memory.copy (i32.const 0) (i32.const 128) (i32.const 40))\n      (i32.const 0)",
            "(i64.store (i32.const 0) (i64.const 0)) (i32.const 0)",
        )],
        &["outside"],
    )
    .await;
}

/// What became of the checks of polls with a source whose poll is altered, and a test that says that it ends well.
async fn polled(replace: &[(&str, &str)], want: &[&str]) {
    const EVENT: &str = r#"{"type":"track","name":"E","message_id":"m0"}"#;
    // It can be told from no other instance by what it remembers, unless that is altered.
    let event = format!("(data (i32.const 2048) {EVENT:?}) (global $manifest-length i32 (i32.const 220))");
    let emit = format!("(call $emit (call $one (i32.const 2048) (i32.const {}))", EVENT.len());
    let usual = [
        ("(global $manifest-length i32 (i32.const 207))", &*event),
        (r#"\"reads\":["#, r#"\"reuse\":true,\"reads\":["#),
        ("(call $emit (call $one (i32.const 540) (i32.const 1))", &emit),
    ];
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("polls.yaml"), "cases: [{ name: one, poll: {}, http: [], expect: {} }]").unwrap();
    let host = Host::new(HostOptions { instances_max: 16, ..HostOptions::new(folder.path()) }).unwrap();
    let text = altered("source.wat", &[&usual, replace].concat());
    let plugin = host.load_bytes(Path::new("source.wat"), text).await.unwrap();
    let Ok(suites) = cases::suites(folder.path()) else { panic!("the cases cannot be read") };
    let Ok(polls) = suites[0].good_polls(&plugin) else { panic!("the cases do not fit") };
    let found = conformance::check(&plugin, &[], &polls).await;
    let judged = |verdict: &Verdict| match verdict {
        Verdict::Passed => "passed".to_owned(),
        Verdict::Failed { message, .. } => message.clone(),
        Verdict::Skipped { .. } => "skipped".to_owned(),
    };
    let of_polls = found.findings.iter().filter(|finding| ["poll", "poll-again", "cancelled"].contains(&finding.check));
    let of_polls: Vec<String> = of_polls.map(|finding| format!("{}: {}", finding.check, judged(&finding.verdict))).collect();
    assert!(
        of_polls.len() == want.len() && of_polls.iter().zip(want).all(|(have, want)| have.starts_with(want)),
        "{of_polls:#?}"
    );
}

#[tokio::test]
async fn a_poll_of_a_plugins_own_tests_is_played_in_other_ways() {
    polled(&[], &["poll: passed", "poll-again: passed", "cancelled: passed"]).await;
    let other = [(r#"{\"type\":\"track\""#, r#"{\"tipe\":\"track\""#)];
    polled(&other, &["poll: it emits `{\"tipe\"", "poll-again: passed", "cancelled: passed"]).await;
    let nameless = [(r#"\"message_id\""#, r#"\"message_ix\""#)];
    polled(&nameless, &["poll: it emits", "poll-again: passed", "cancelled: passed"]).await;
    // The id is the number of the poll in the instance.
    let counts = "(i32.store8 (i32.const 2090) (i32.add (i32.const 48) (i32.load8_u (i32.const 800))))
      (i32.store8 (i32.const 800) (i32.add (i32.const 1) (i32.load8_u (i32.const 800))))
      (if (i32.and (local.get $some) (i32.ge_u (local.get $length) (i32.const 6)))";
    let counting = [("(if (i32.and (local.get $some) (i32.ge_u (local.get $length) (i32.const 6)))", counts)];
    polled(&counting, &["poll: passed", "poll-again: the same answers give `{", "cancelled: passed"]).await;
    // It goes on when it is told to stop.
    let deaf = [("(if (i32.load8_u (i32.const 128)) (then (return (call $failure (i32.const 136)))))", "")];
    polled(&deaf, &["poll: passed", "poll-again: passed", "cancelled: asked to stop, it ends as if"]).await;
    // It asks for what nobody expects.
    let silent = "(call $send (i32.const 516) (i32.const 4) (i32.const 520) (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 128))
      (if (i32.and (local.get $some) (i32.ge_u (local.get $length) (i32.const 6)))";
    polled(&[(counting[0].0, silent)], &["poll: request 1 is not expected: POST a/b", "poll: none of the polls"]).await;
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
