//! Destinations: receipts, keys and positions, also when a batch has to be taken apart.

use std::sync::Arc;

use weft_host::{Batch, Destination, FailureKind, Fault, Nothing, Receipt, WantedLimits};

use crate::support::{Bench, Notebook, bench, fixture, load, records, stage};

async fn destination(bench: &Bench, notebook: &Arc<Notebook>) -> Destination {
    let mut stage = stage(notebook.clone());
    stage.limits = WantedLimits { batch_records: Some(8), ..WantedLimits::default() };
    load(bench, &fixture("destination.wat")).await.destination(stage).unwrap()
}

fn batch(texts: &[&str]) -> Batch {
    Batch {
        stream: "events".to_owned(),
        key: "b1".to_owned(),
        records: records(texts),
        positions: (0..texts.len() as u64).map(|at| 100 + at).collect(),
    }
}

fn brief(receipt: &Receipt) -> String {
    match receipt {
        Receipt::Ok => "ok".to_owned(),
        Receipt::Retry(after_ms) => format!("retry {after_ms}"),
        Receipt::Reject(rejection) => format!("reject {}", rejection.code),
    }
}

async fn check(texts: &[&str], receipts: &[&str], asked: &[&str]) {
    let bench = bench();
    let notebook = Arc::new(Notebook::default());
    let destination = destination(&bench, &notebook).await;
    let given = destination.deliver(&batch(texts)).await.unwrap();
    assert_eq!(given.iter().map(brief).collect::<Vec<_>>(), receipts);
    assert_eq!(notebook.asked(), asked);
}

#[tokio::test]
async fn each_receipt_reaches_the_host_as_it_was_meant() {
    check(
        &[r#"{"okay":1}"#, r#"{"late":1}"#, r#"{"deny":1}"#],
        &["ok", "retry 1500", "reject denied"],
        &[
            "append lake/keys@0 b1",
            r#"append lake/out@100 {"okay":1}"#,
            r#"append lake/out@101 {"late":1}"#,
            r#"append lake/out@102 {"deny":1}"#,
        ],
    )
    .await;
}

#[tokio::test]
async fn a_batch_is_taken_apart_in_order_under_keys_of_its_own() {
    check(
        &[r#"{"okay":1}"#, r#"{"trap":1}"#, r#"{"okay":2}"#],
        &["ok", "reject plugin_trapped", "ok"],
        &[
            // Twice as a whole, under the same key.
            "append lake/keys@0 b1",
            r#"append lake/out@100 {"okay":1}"#,
            "append lake/keys@0 b1",
            r#"append lake/out@100 {"okay":1}"#,
            // Then in parts, from the first record to the last.
            "append lake/keys@0 b1/0-1",
            r#"append lake/out@100 {"okay":1}"#,
            "append lake/keys@0 b1/1-3",
            "append lake/keys@0 b1/1-2",
            "append lake/keys@0 b1/2-3",
            r#"append lake/out@102 {"okay":2}"#,
        ],
    )
    .await;
}

#[tokio::test]
async fn when_the_other_side_fails_half_way_what_was_delivered_stays_delivered() {
    let bench = bench();
    let notebook = Arc::new(Notebook::default());
    let destination = destination(&bench, &notebook).await;
    let texts = [r#"{"okay":1}"#, r#"{"okay":2}"#, r#"{"trap":1}"#, r#"{"down":1}"#];
    let given = destination.deliver(&batch(&texts)).await.unwrap();
    assert_eq!(given.iter().map(brief).collect::<Vec<_>>(), ["ok", "ok", "reject plugin_trapped", "retry 250"]);
}

#[tokio::test]
async fn a_failure_is_passed_on_with_its_time_to_wait() {
    let bench = bench();
    let notebook = Arc::new(Notebook::default());
    let destination = destination(&bench, &notebook).await;
    let Err(Fault::Failure(failure)) = destination.deliver(&batch(&[r#"{"okay":1}"#, r#"{"down":1}"#])).await else {
        panic!("no failure");
    };
    assert_eq!((failure.kind, failure.retry_after_ms), (FailureKind::Unavailable, Some(250)));
    // Tried once: how often is the lane's to say.
    assert_eq!(notebook.asked().iter().filter(|line| line.contains("keys")).count(), 1);
}

#[tokio::test]
async fn a_file_outside_its_folder_is_refused_before_the_lender_is_asked() {
    let bench = bench();
    let notebook = Arc::new(Notebook::default());
    let destination = destination(&bench, &notebook).await;
    let Err(Fault::Failure(failure)) = destination.deliver(&batch(&[r#"{"away":1}"#])).await else {
        panic!("no failure");
    };
    assert_eq!(failure.kind, FailureKind::Rejected);
    assert_eq!(notebook.asked(), ["append lake/keys@0 b1"]);
}

#[tokio::test]
async fn a_batch_past_the_limits_is_not_delivered() {
    let bench = bench();
    let plugin = load(&bench, &fixture("destination.wat")).await;
    let destination = plugin.destination(stage(Arc::new(Nothing))).unwrap();
    let many = [r#"{"okay":1}"#; 1_025];
    let mut uneven = batch(&[r#"{"okay":1}"#]);
    uneven.positions.clear();
    for batch in [batch(&many), uneven] {
        assert_eq!(destination.deliver(&batch).await.unwrap_err().code(), "bad_batch");
    }
}
