//! Whatever goes wrong between two calls to the engine: each record is in the files once, and in order.

use weft_plugin::testing::{Crash, How, reset, survive, with};
use weft_plugin::{Batch, Destination, Failure, Receipt, testing};

use file::File;

const FOLDER: &str = "out";

fn config(rest: &str) -> String {
    format!(r#"{{"path":"{FOLDER}"{rest}}}"#)
}

fn open(config: &str) -> File {
    let config = testing::config(config).expect("a valid configuration");
    assert!(File::validate(&config).is_empty());
    File::open(config).expect("it opens")
}

/// Records 1 to 12: the date changes within the second batch, and a file of 100 bytes is full after two of them.
fn batches() -> Vec<Batch> {
    let dates = |position: u64| if position <= 5 { "2026-03-01" } else { "2026-03-02" };
    let record = |position: u64| format!(r#"{{"id":{position},"received":"{}T09:00:00.000Z"}}"#, dates(position)).into_bytes();
    let batch = |positions: std::ops::RangeInclusive<u64>| Batch {
        stream: "events".into(),
        key: format!("{positions:?}"),
        records: positions.clone().map(record).collect(),
        positions: positions.collect(),
    };
    vec![batch(1..=3), batch(4..=7), batch(8..=8), batch(9..=12)]
}

/// A fresh instance delivers a batch, as the engine does it.
fn deliver(config: &str, batch: &Batch) -> Option<Result<Vec<Receipt>, Failure>> {
    survive(|| open(config).deliver(batch.clone()))
}

/// Delivers until a batch is through.
fn deliver_all(config: &str, batches: &[Batch]) {
    for batch in batches {
        let through = (0..8).find_map(|_| deliver(config, batch)?.ok());
        assert_eq!(through, Some(vec![Receipt::Ok; batch.records.len()]));
    }
}

fn files() -> Vec<(String, String)> {
    with(|double| {
        let files = double.folders.get(FOLDER).cloned().unwrap_or_default();
        files.into_iter().map(|(name, bytes)| (name, String::from_utf8(bytes).expect("UTF-8"))).collect()
    })
}

/// The ids in all files of a stream, in the order of the files.
fn ids(stream: &str) -> Vec<u64> {
    let mut files = files();
    files.retain(|(name, _)| name.starts_with(&format!("{stream}-")));
    let number = |name: &str| name.split('.').next().and_then(|stem| stem.rsplit('-').next()).map(str::to_owned);
    files.sort_by_key(|(name, _)| number(name));
    let id = |line: &str| {
        let digits: String = line.trim_start_matches("{\"id\":").chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u64>().ok()
    };
    files.iter().flat_map(|(_, text)| text.lines().filter_map(id).collect::<Vec<_>>()).collect()
}

const ALL: [u64; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
const CONFIGS: [&str; 3] = [
    r#","rotate":{"size":"100B"}"#,
    r#","format":"csv","columns":["id","received"],"rotate":{"size":"100B","every":"hour"}"#,
    r#","rotate":{"every":"never"}"#,
];

#[test]
fn a_crash_at_any_call_leaves_each_record_once() {
    for rest in CONFIGS {
        let config = config(rest);
        reset();
        deliver_all(&config, &batches());
        assert_eq!(ids("events"), ALL, "{rest}");
        let changes = with(|double| double.changes);
        let undisturbed = files();
        assert!(changes >= 8, "{changes} calls are worth crashing at");
        for at_change in 1..=changes {
            for how in How::ALL {
                reset();
                with(|double| double.crash = Some(Crash { at_change, how }));
                deliver_all(&config, &batches());
                assert_eq!(files(), undisturbed, "{rest}, {how:?} at {at_change}");
            }
        }
    }
}

#[test]
fn two_crashes_leave_each_record_once() {
    for rest in CONFIGS {
        let config = config(rest);
        for first in 1..=12 {
            for then in 1..=6 {
                for (how, how_then) in How::ALL.into_iter().flat_map(|how| How::ALL.map(|then| (how, then))) {
                    reset();
                    with(|double| double.crash = Some(Crash { at_change: first, how }));
                    for batch in batches() {
                        let mut through = false;
                        for _ in 0..8 {
                            through = matches!(deliver(&config, &batch), Some(Ok(_)));
                            if through {
                                break;
                            }
                            // The second crash: at some later change.
                            with(|double| {
                                if double.crash.is_some_and(|crash| crash.at_change == first) {
                                    double.crash = Some(Crash { at_change: double.changes + then, how: how_then });
                                }
                            });
                        }
                        assert!(through);
                    }
                    assert_eq!(ids("events"), ALL, "{rest}, {how:?} at {first}, {how_then:?} {then} later");
                }
            }
        }
    }
}

#[test]
fn a_batch_whose_receipts_were_lost_comes_again_and_changes_nothing() {
    for rest in CONFIGS {
        let config = config(rest);
        reset();
        for batch in batches() {
            deliver_all(&config, std::slice::from_ref(&batch));
            let once = files();
            deliver_all(&config, &[batch.clone(), batch]);
            assert_eq!(files(), once, "{rest}");
        }
        // Even all of them, from the beginning; and cut in another way, as the engine does around a record that traps.
        let whole = ids("events");
        deliver_all(&config, &batches()[..3]);
        assert_eq!(ids("events"), whole, "{rest}");
    }
}

#[test]
fn a_batch_may_come_again_in_parts() {
    let config = config(CONFIGS[0]);
    reset();
    deliver_all(&config, &batches()[..1]);
    with(|double| double.crash = Some(Crash { at_change: double.changes + 2, how: How::DiesAmid }));
    assert!(deliver(&config, &batches()[1]).is_none());
    for place in 0..4 {
        let Batch { stream, key, records, positions } = batches().remove(1);
        let part = Batch { stream, key, records: vec![records[place].clone()], positions: vec![positions[place]] };
        deliver_all(&config, &[part]);
    }
    deliver_all(&config, &batches()[2..]);
    assert_eq!(ids("events"), ALL);
}

#[test]
fn a_batch_that_was_given_up_is_not_left_in_half() {
    let config = config(r#","rotate":{"every":"never"}"#);
    reset();
    deliver_all(&config, &batches()[..1]);
    with(|double| double.crash = Some(Crash { at_change: double.changes + 2, how: How::DiesAmid }));
    assert!(deliver(&config, &batches()[1]).is_none());
    deliver_all(&config, &batches()[2..]);
    assert_eq!(ids("events"), [1, 2, 3, 8, 9, 10, 11, 12]);
}

#[test]
fn files_are_named_and_finished_by_date_and_size() {
    reset();
    deliver_all(&config(CONFIGS[0]), &batches());
    let names: Vec<String> = files().into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "events-2026-03-01-000001.ndjson",
            "events-2026-03-01-000002.ndjson",
            "events-2026-03-02-000003.ndjson",
            "events-2026-03-02-000004.ndjson.part",
            "events.state.json"
        ]
    );
    reset();
    deliver_all(&config(CONFIGS[1]), &batches()[..1]);
    assert_eq!(files()[0].0, "events-2026-03-01T09-000001.csv.part");
    assert_eq!(
        files()[0].1,
        "id,received\r\n1,2026-03-01T09:00:00.000Z\r\n2,2026-03-01T09:00:00.000Z\r\n3,2026-03-01T09:00:00.000Z\r\n"
    );
}

#[test]
fn streams_do_not_touch_each_other_and_what_was_there_stays() {
    let config = config(r#","rotate":{"every":"never"}"#);
    reset();
    with(|double| {
        double
            .folders
            .entry(FOLDER.into())
            .or_default()
            .insert("events-2026-01-01-000041.ndjson".into(), b"{\"id\":0}\n".to_vec())
    });
    deliver_all(&config, &batches());
    deliver_all(&config, &batches().into_iter().map(|batch| Batch { stream: "profiles".into(), ..batch }).collect::<Vec<_>>());
    assert_eq!(ids("profiles"), ALL);
    assert_eq!(ids("events")[0], 0);
    assert!(files().iter().any(|(name, _)| name == "events-000042.ndjson.part"), "{:?}", files());
}

#[test]
fn a_file_that_somebody_took_away_is_not_missed() {
    let config = config(r#","rotate":{"every":"never"}"#);
    reset();
    deliver_all(&config, &batches()[..2]);
    with(|double| double.folders.get_mut(FOLDER).expect("there").retain(|name, _| name.ends_with(".json")));
    deliver_all(&config, &batches()[1..]);
    assert_eq!(ids("events"), [4, 5, 6, 7, 8, 9, 10, 11, 12]);
    assert!(files().iter().any(|(name, _)| name == "events-000002.ndjson.part"));
}

/// The same positions, a day and more later.
fn anew() -> Vec<Batch> {
    let later = |record: Vec<u8>| {
        let text = String::from_utf8(record).expect("UTF-8").replace("2026-03-", "2026-04-").replace("{\"id\":", "{\"id\":9");
        text.into_bytes()
    };
    batches().into_iter().map(|batch| Batch { records: batch.records.into_iter().map(later).collect(), ..batch }).collect()
}

#[test]
fn a_history_that_began_anew_is_not_taken_for_what_was_written() {
    let config = config(r#","rotate":{"every":"never"}"#);
    for written in 1..=4 {
        reset();
        deliver_all(&config, &batches()[..written]);
        let before = ids("events");
        let changes = with(|double| double.changes);
        for at_change in [0, 1, 2, 3, 4, 5] {
            for how in How::ALL {
                reset();
                deliver_all(&config, &batches()[..written]);
                with(|double| double.crash = Some(Crash { at_change: changes + at_change, how }));
                deliver_all(&config, &anew());
                let new = [91, 92, 93, 94, 95, 96, 97, 98, 99, 910, 911, 912];
                assert_eq!(ids("events"), [&before[..], &new].concat(), "{written} written, {how:?} at {at_change}");
            }
        }
        assert!(files().iter().any(|(name, _)| name == "events-000001.ndjson"), "the old file is finished");
        assert!(with(|double| double.logged.iter().any(|(_, line)| line.contains("began anew"))));
    }
}

#[test]
fn other_columns_begin_another_file() {
    let csv = |columns: &str| config(&format!(r#","format":"csv","columns":{columns}"#));
    for (change, name) in [(csv(r#"["id"]"#), "csv"), (config(""), "ndjson")] {
        for at_change in 0..5 {
            reset();
            deliver_all(&csv(r#"["id","received"]"#), &batches()[..1]);
            with(|double| double.crash = Some(Crash { at_change: double.changes + at_change, how: How::DiesAfter }));
            deliver_all(&change, &batches()[1..2]);
            let names: Vec<String> = files().into_iter().map(|(name, _)| name).collect();
            assert_eq!(names[..2], ["events-2026-03-01-000001.csv".to_owned(), format!("events-2026-03-01-000002.{name}")]);
            assert_eq!(files()[0].1.lines().count(), 4, "a line of names and three records");
        }
    }
}

#[test]
fn a_record_that_is_not_json_is_refused_alone() {
    reset();
    let batch = Batch {
        stream: "events".into(),
        key: "k".into(),
        records: vec![b"{".to_vec(), b"{\"id\":2}".to_vec()],
        positions: vec![1, 2],
    };
    let receipts = open(&config("")).deliver(batch).expect("no failure");
    assert!(matches!(&receipts[0], Receipt::Reject(rejection) if rejection.code == "not_json"));
    assert_eq!((receipts[1].clone(), ids("events")), (Receipt::Ok, vec![2]));
}

fn put_page(page: &[u8]) {
    with(|double| double.folders.entry(FOLDER.into()).or_default().insert("events.state.json".into(), page.to_vec()));
}

#[test]
fn a_page_that_cannot_be_read_stops_the_stage() {
    let check = |page: &str, want: &str| {
        reset();
        put_page(page.as_bytes());
        let failure = open(&config("")).deliver(batches().remove(0)).expect_err("a page that is none of ours");
        assert_eq!(failure.kind, weft_plugin::FailureKind::Config);
        assert!(failure.message.contains(want), "{page}: {failure:?}");
        assert_eq!(files(), [("events.state.json".to_owned(), page.to_owned())], "nothing is written");
    };
    check("{", "cannot be read");
    check("{}", "cannot be read");
    check(r#"{"version":"1"}"#, "cannot be read");
    check(r#"{"version":2,"files":[]}"#, "has version 2, and this plugin knows version 1");
    check(r#"{"version":0}"#, "has version 0");
}

#[test]
fn a_page_says_its_version_and_one_without_is_of_the_first() {
    reset();
    let config = config("");
    deliver_all(&config, &batches()[..2]);
    let page = files().pop().expect("a page").1;
    let old = page.replace("\"version\":1,", "");
    assert!(page.starts_with("{\"version\":1,") && old.starts_with("{\"number\""), "{page}");
    put_page(old.as_bytes());
    deliver_all(&config, &batches()[1..]);
    assert_eq!(ids("events"), ALL);
    assert!(files().pop().expect("a page").1.starts_with("{\"version\":1,"));
}

#[test]
fn a_configuration_is_checked() {
    let check = |rest: &str, path: &str| {
        let config = testing::config(&config(rest)).expect("of the right shape");
        assert_eq!(File::validate(&config).iter().map(|problem| problem.path.as_str()).collect::<Vec<_>>(), [path], "{rest}");
    };
    check(r#","format":"csv""#, "/columns");
    check(r#","columns":["a"]"#, "/columns");
    check(r#","format":"csv","columns":["a",{"name":"x","path":"a..b"}]"#, "/columns/1");
    check(r#","rotate":{"size":"0B"}"#, "/rotate/size");
    let problem = testing::config::<file::Config>(&config(r#","rotate":{"size":64}"#)).expect_err("no unit");
    assert_eq!(problem.path, "/rotate/size");
    for size in ["64", "64mb", "MiB", "99999999999999GiB", ""] {
        assert!(testing::config::<file::Config>(&config(&format!(r#","rotate":{{"size":"{size}"}}"#))).is_err(), "{size}");
    }
    for example in File::ABOUT.examples {
        open(example.config);
    }
    let manifest: serde_json::Value = serde_json::from_str(&weft_plugin::manifest_of_destination::<File>()).expect("JSON");
    assert_eq!(manifest["config"]["properties"]["path"]["format"], "folder");
    assert_eq!(manifest["accepts"], serde_json::json!(["events", "profiles"]));
}

#[test]
fn the_example_is_as_it_says() {
    reset();
    let records: Vec<Vec<u8>> = include_str!("../examples/events.ndjson").lines().map(|line| line.as_bytes().to_vec()).collect();
    let positions = (0..records.len() as u64).collect();
    let batch = Batch { stream: "events".into(), key: "k".into(), records, positions };
    open(&include_str!("../examples/csv.json").replace("out/", FOLDER)).deliver(batch).expect("no failure");
    assert_eq!(files()[0].1, include_str!("../examples/events.csv"));
}
