//! Transforms: what comes of a record that its plugin cannot take, and of its neighbours.

use std::sync::Arc;
use std::time::{Duration, Instant};

use weft_host::{FailureKind, Fault, HealthState, Level, Nothing, Outcome, Transform, WantedLimits};

use crate::support::{Bench, Notebook, bench, fixture, load, records, stage, with_manifest};

/// An outcome in a few letters.
fn brief(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Keep => "keep".to_owned(),
        Outcome::Drop => "drop".to_owned(),
        Outcome::Replace(bytes) => format!("replace {}", bytes.len()),
        Outcome::Split(parts) => format!("split {}", parts.len()),
        Outcome::Reject(rejection) => format!("reject {}", rejection.code),
    }
}

async fn transform(bench: &Bench, limits: WantedLimits) -> Transform {
    let mut stage = stage(Arc::new(Nothing));
    stage.limits = limits;
    load(bench, &fixture("transform.wat")).await.transform(stage).unwrap()
}

fn quick() -> WantedLimits {
    WantedLimits { call_ms: Some(100), memory_bytes: Some(32 << 20), ..WantedLimits::default() }
}

async fn check(transform: &Transform, texts: &[&str], expected: &[&str]) {
    let outcomes = transform.apply(&records(texts)).await.unwrap();
    assert_eq!(outcomes.iter().map(brief).collect::<Vec<_>>(), expected, "{texts:?}");
}

#[tokio::test]
async fn each_outcome_reaches_the_host_as_it_was_meant() {
    let bench = bench();
    let transform = transform(&bench, quick()).await;
    check(&transform, &[], &[]).await;
    check(
        &transform,
        &[r#"{"keep":1}"#, r#"{"drop":1}"#, r#"{"echo":1}"#, r#"{"twin":1}"#, r#"{"deny":1}"#, r#"{"any":1}"#],
        &["keep", "drop", "replace 10", "split 2", "reject denied", "keep"],
    )
    .await;
}

#[tokio::test]
async fn a_poison_record_is_found_and_its_neighbours_are_unharmed() {
    let bench = bench();
    let transform = transform(&bench, quick()).await;
    for (poison, code) in [
        ("trap", "plugin_trapped"),
        ("last", "plugin_trapped"),
        ("deep", "plugin_trapped"),
        ("spin", "plugin_timeout"),
        ("grow", "plugin_out_of_memory"),
        ("lies", "plugin_broken_answer"),
        ("wild", "plugin_broken_answer"),
        ("huge", "plugin_broken_answer"),
        ("many", "plugin_broken_answer"),
        ("mojo", "plugin_broken_answer"),
        ("code", "plugin_broken_answer"),
        ("fail", "plugin_failed"),
    ] {
        let poison = format!(r#"{{"{poison}":1}}"#);
        let code = format!("reject {code}");
        let texts = [r#"{"keep":1}"#, r#"{"drop":1}"#, r#"{"echo":1}"#, &poison, r#"{"keep":2}"#];
        check(&transform, &texts, &["keep", "drop", "replace 10", &code, "keep"]).await;
    }
    assert_eq!(transform.health().state, HealthState::Healthy);
}

#[tokio::test]
async fn bisection_finds_every_poison_and_nothing_else() {
    let bench = bench();
    let transform = transform(&bench, quick()).await;
    let poison = [0, 17, 18, 511, 999];
    let texts: Vec<&str> = (0..1000).map(|at| if poison.contains(&at) { r#"{"trap":1}"# } else { r#"{"keep":1}"# }).collect();
    let outcomes = transform.apply(&records(&texts)).await.unwrap();
    let rejected: Vec<usize> =
        outcomes.iter().enumerate().filter(|(_, outcome)| matches!(outcome, Outcome::Reject(_))).map(|(at, _)| at).collect();
    assert_eq!(rejected, poison);
}

#[tokio::test]
async fn a_plugin_that_crashes_over_everything_ends_within_its_bound() {
    let bench = bench();
    let transform = transform(&bench, quick()).await;
    let fault = transform.apply(&records(&[r#"{"trap":1}"#; 1000])).await.unwrap_err();
    assert_eq!(fault.code(), "plugin_trapped");
    // Two tries of the whole, and the bound of the bisection.
    assert_eq!(transform.health().traps_total, 2 + 64);
}

#[tokio::test]
async fn what_a_panic_said_is_in_the_rejection() {
    let bench = bench();
    let transform = transform(&bench, quick()).await;
    let outcomes = transform.apply(&records(&[r#"{"last":1}"#])).await.unwrap();
    let [Outcome::Reject(rejection)] = &outcomes[..] else {
        panic!("{outcomes:?}");
    };
    assert_eq!(
        rejection.message,
        "the plugin trapped: wasm `unreachable` instruction executed; its last error: panicked at guest.rs:7: no such thing"
    );
}

#[tokio::test]
async fn a_failure_that_is_no_crash_is_passed_on() {
    let bench = bench();
    let transform = transform(&bench, quick()).await;
    let fault = transform.apply(&records(&[r#"{"keep":1}"#, r#"{"conf":1}"#])).await.unwrap_err();
    assert!(
        matches!(&fault, Fault::Failure(failure) if failure.kind == FailureKind::Config && failure.message == "out of luck"),
        "{fault:?}"
    );
}

#[tokio::test]
async fn keep_copies_nothing_back() {
    let bench = bench();
    let transform = transform(&bench, quick()).await;
    let given = records(&[r#"{"keep":1}"#]);
    let outcomes = transform.apply(&given).await.unwrap();
    // The outcome holds no bytes at all: the caller's record is the event.
    assert!(matches!(outcomes[..], [Outcome::Keep]));
}

#[tokio::test]
async fn records_are_batched_within_the_stages_limits() {
    let bench = bench();
    let transform = transform(&bench, WantedLimits { batch_records: Some(2), batch_bytes: Some(25), ..quick() }).await;
    check(
        &transform,
        &[r#"{"keep":1}"#, r#"{"echo":1}"#, r#"{"keep":"12345678901234567890"}"#, r#"{"keep":1}"#],
        &["keep", "replace 10", "reject record_too_large", "keep"],
    )
    .await;
}

#[tokio::test]
async fn lines_are_bounded_and_the_rest_is_told() {
    let bench = bench();
    let notebook = Arc::new(Notebook::default());
    let plugin = load(&bench, &fixture("transform.wat")).await;
    let transform = plugin.transform(stage(notebook.clone())).unwrap();
    check(&transform, &[r#"{"loud":1}"#], &["keep"]).await;
    let lines = notebook.lines.lock().unwrap();
    assert_eq!(lines.len(), 101);
    assert_eq!(lines[0], (Level::Info, "it said so".to_owned()));
    assert_eq!(lines[100], (Level::Warn, "50 more lines of this call were not written".to_owned()));
}

/// One worker: if a guest that spins kept it, nothing else would run at all.
#[tokio::test(flavor = "current_thread")]
async fn a_guest_that_spins_delays_nobody_else() {
    let bench = bench();
    let spinner = Arc::new(transform(&bench, WantedLimits { call_ms: Some(2_000), ..quick() }).await);
    let neighbour = transform(&bench, quick()).await;
    let spinning = tokio::spawn({
        let spinner = Arc::clone(&spinner);
        async move { spinner.apply(&records(&[r#"{"spin":1}"#])).await }
    });
    tokio::task::yield_now().await;
    let mut slowest = Duration::ZERO;
    for _ in 0..20 {
        let began = Instant::now();
        check(&neighbour, &[r#"{"keep":1}"#], &["keep"]).await;
        slowest = slowest.max(began.elapsed());
    }
    assert!(!spinning.is_finished());
    // A tick for each time that the neighbour waits for its turn; far from the two seconds of the spinner.
    assert!(slowest < Duration::from_millis(500), "{slowest:?}");
    spinning.abort();
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_keeps_crashing_is_quarantined_and_released() {
    let bench = bench();
    let transform = transform(&bench, quick()).await;
    for _ in 0..5 {
        assert_eq!(transform.health().state, HealthState::Healthy);
        check(&transform, &[r#"{"trap":1}"#], &["reject plugin_trapped"]).await;
    }
    let Err(Fault::Quarantined { wait, last_fault }) = transform.apply(&records(&[r#"{"keep":1}"#])).await else {
        panic!("not quarantined");
    };
    assert_eq!(wait, Duration::from_secs(1));
    assert!(last_fault.contains("unreachable"), "{last_fault}");
    let health = transform.health();
    assert_eq!((health.state, health.traps_total), (HealthState::Quarantined, 10));

    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(transform.health().state, HealthState::OnTrial);
    // One more crash, and it is out for twice as long.
    check(&transform, &[r#"{"trap":1}"#], &["reject plugin_trapped"]).await;
    assert_eq!(transform.health().until.unwrap() - tokio::time::Instant::now(), Duration::from_secs(2));

    tokio::time::advance(Duration::from_secs(2)).await;
    check(&transform, &[r#"{"keep":1}"#], &["keep"]).await;
    assert_eq!(transform.health().state, HealthState::Healthy);
}

#[tokio::test]
async fn a_plugin_that_cannot_be_opened_blames_no_record() {
    let bench = bench();
    let plugin = load(&bench, &fixture("transform.wat")).await;
    for (config, code) in [(r#"{"trap":1}"#, "plugin_trapped"), (r#"{"spin":1}"#, "plugin_timeout")] {
        let mut stage = stage(Arc::new(Nothing));
        stage.config = config.to_owned();
        stage.limits = quick();
        let transform = plugin.transform(stage).unwrap();
        assert_eq!(transform.open().await.unwrap_err().code(), code);
        let fault = transform.apply(&records(&[r#"{"keep":1}"#, r#"{"keep":2}"#])).await.unwrap_err();
        assert_eq!(fault.code(), code);
        // Opened for `open`, and twice for the batch; the records were not taken apart.
        assert_eq!(transform.health().traps_total, 3);
    }
}

#[tokio::test]
async fn validate_tells_problems_and_survives_a_crash() {
    let bench = bench();
    let plugin = load(&bench, &fixture("transform.wat")).await;
    assert_eq!(plugin.validate("{}").await, Ok(()));
    let problems = plugin.validate(r#"{"deny":1}"#).await.unwrap_err();
    assert_eq!((problems[0].path.as_str(), problems[0].message.as_str()), ("/deny", "must not be denied"));
}

#[tokio::test]
async fn a_kept_instance_is_recycled_before_its_memory_is_full() {
    let bench = bench();
    let manifest =
        r#"{"name":"kept","version":"1.0.0","kind":"transform","contract":"1.0","summary":"kept","config":{},"reuse":true}"#;
    let plugin = load(&bench, &with_manifest(&bench, "transform.wat", manifest)).await;
    let mut stage = stage(Arc::new(Nothing));
    stage.limits = WantedLimits { memory_bytes: Some(1 << 20), ..quick() };
    let transform = plugin.transform(stage).unwrap();
    // The fixture never frees: 100 calls of 64 KB each would need six times its memory in one instance.
    let text = format!(r#"{{"keep":"{}"}}"#, "x".repeat(64 << 10));
    for _ in 0..100 {
        check(&transform, &[&text], &["keep"]).await;
    }
    assert_eq!(transform.health().traps_total, 0);
}

/// More stages that keep an instance than the pool has places.
#[tokio::test]
async fn idle_instances_do_not_starve_the_pool() {
    let bench = bench();
    let manifest =
        r#"{"name":"kept","version":"1.0.0","kind":"transform","contract":"1.0","summary":"kept","config":{},"reuse":true}"#;
    let plugin = load(&bench, &with_manifest(&bench, "transform.wat", manifest)).await;
    let mut stages = Vec::new();
    for _ in 0..40 {
        let transform = plugin.transform(stage(Arc::new(Nothing))).unwrap();
        let given = records(&[r#"{"keep":1}"#]);
        let applied = tokio::time::timeout(Duration::from_secs(10), transform.apply(&given));
        applied.await.expect("a place in the pool").unwrap();
        stages.push(transform);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn calls_run_at_once_and_wait_for_a_place() {
    let bench = bench();
    let transform = Arc::new(transform(&bench, WantedLimits { call_ms: Some(5_000), ..quick() }).await);
    let calls: Vec<_> = (0..200)
        .map(|_| {
            let transform = Arc::clone(&transform);
            tokio::spawn(async move { transform.apply(&records(&[r#"{"keep":1}"#, r#"{"twin":1}"#])).await })
        })
        .collect();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap().len(), 2);
    }
}
