//! A process killed at any moment, on a real disk: both logs' rules and the state's at once. It proves nothing about what a
//! disk keeps (`power` and `log` do), but that whatever a dead process leaves behind opens again.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use weft_store::files::Disk;
use weft_store::format;
use weft_store::key::Key;
use weft_store::log::{Log, Options, Record};
use weft_store::state::{self, Folder, MemoryState, Space, State, StateStore};

use crate::model::{Random, seeds};

const FOLDER: &str = "WEFT_KILLED_FOLDER";
const RECORDS_PER_BATCH: u64 = 20;

/// What follows from a record: a counter for each of some customers.
fn fold(state: &dyn StateStore, seq: u64) -> (Space, Vec<u8>, Option<Vec<u8>>) {
    let key = Key::new(0).u64(seq % 50).finish();
    let count = state.get(Space::Customer, &key).unwrap().map_or(0, |row| format::decode::<u64>(&row).unwrap().1);
    let value = (!seq.is_multiple_of(11)).then(|| format::encode(seq, &(count + seq)).unwrap());
    (Space::Customer, key, value)
}

fn open(dir: &Path) -> (Log, Folder, State) {
    let (log, _) = Log::open(Arc::new(Disk), &dir.join("log"), Options { segment_bytes: 20_000 }).unwrap();
    let options = state::Options { cache_bytes: 8 << 20, flush_every: Duration::from_millis(20), ..Default::default() };
    let mut folder = Folder::open(&dir.join("state"), options).unwrap();
    let state = folder.open_current().unwrap().unwrap_or_else(|| {
        let state = folder.begin_rebuild().unwrap();
        folder.adopt(&state).unwrap();
        state
    });
    (log, folder, state)
}

#[test]
#[ignore = "the child of the test below"]
fn child() {
    let Some(dir) = std::env::var_os(FOLDER) else {
        return;
    };
    let (mut log, mut folder, mut state) = open(Path::new(&dir));
    for round in 0.. {
        let first = log.end();
        let payloads: Vec<String> = (first..first + RECORDS_PER_BATCH).map(|seq| format!("record {seq}")).collect();
        let records: Vec<Record<'_>> = payloads.iter().map(|text| Record { kind: 1, bytes: text.as_bytes() }).collect();
        log.append(&records).unwrap();
        log.sync().unwrap();
        println!("\nacknowledged {}", log.end());
        if round % 4 == 0 {
            // No customer occurs twice in so few records.
            for from in (state.position()..log.end()).step_by(25) {
                let to = (from + 25).min(log.end());
                let changes = (from..to).map(|seq| fold(&state, seq)).collect();
                state.commit(changes, to).unwrap();
            }
            println!("\ncommitted {}", state.position());
        }
        if round % 20 == 19 {
            state = folder.compact(&state).unwrap();
        }
    }
}

#[test]
fn a_killed_process_loses_nothing_that_it_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(7);
    let (mut acknowledged, mut committed) = (0, 0);
    for _ in 0..seeds(1).end.clamp(8, 200) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "kill::child", "--ignored", "--nocapture"])
            .env(FOLDER, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(random.below(700) as u64));
        child.kill().unwrap();
        child.wait().unwrap();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let number = |prefix| line.strip_prefix(prefix).and_then(|number: &str| number.parse::<u64>().ok());
            acknowledged = acknowledged.max(number("acknowledged ").unwrap_or(0));
            committed = committed.max(number("committed ").unwrap_or(0));
        }
        let (log, _folder, state) = open(dir.path());
        assert!(log.end() >= acknowledged && log.end() % RECORDS_PER_BATCH == 0);
        assert!(state.position() >= committed && state.position() <= log.end());
        let reader = log.reader();
        for seq in 0..log.end() {
            assert_eq!(reader.record(seq).unwrap().bytes, format!("record {seq}").into_bytes());
        }
        let fresh = MemoryState::new();
        for seq in 0..state.position() {
            fresh.commit(vec![fold(&fresh, seq)], seq + 1).unwrap();
        }
        assert_eq!(state.export_hash().unwrap(), fresh.export_hash().unwrap(), "invariant 4");
    }
    assert!(acknowledged > 0 && committed > 0);
}
