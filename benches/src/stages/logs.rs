//! The intake log: appending with a barrier for each batch, and reading back.

use std::sync::Arc;
use std::time::Duration;

use weft_domain::input::{Arrival, Named};
use weft_store::files::Disk;
use weft_store::log::{Block, Log, Options, Record};

use super::tally::{Tally, measure};
use super::{CUSTOMERS_MANY, stamped};

pub(super) fn all() {
    let payloads: Vec<(u8, Vec<u8>)> = stamped(0, CUSTOMERS_MANY, 1_000).iter().map(|event| payload(&event.to_json())).collect();
    for batch in [1, 100, 1_000] {
        let folder = tempfile::tempdir().expect("a folder for the log");
        let (mut log, _) = Log::open(Arc::new(Disk), folder.path(), Options::default()).expect("a new log");
        let (mut next, mut bytes) = (0, 0);
        let tally = measure(
            batch,
            || {
                next = (next + batch) % payloads.len();
                next
            },
            |first| {
                let batch = (first..first + batch).map(|place| &payloads[place % payloads.len()]);
                let records: Vec<Record<'_>> = batch.map(|(kind, bytes)| Record { kind: *kind, bytes }).collect();
                bytes += records.iter().map(|record| record.bytes.len()).sum::<usize>();
                log.append(&records).and_then(|_| log.sync()).expect("the disk takes it");
            },
        );
        let of_each = bytes as f64 / log.end() as f64;
        let beside = |tally: &Tally| format!("{:.1} MB/s", of_each * tally.records_per_second() / 1e6);
        let shown = beside(&tally);
        tally.print("intake log: append, `fdatasync`", &shown);
        let read = read_back(&log, batch, bytes);
        let shown = beside(&read);
        read.print("intake log: read back, block by block", &shown);
    }
}

/// Reads the whole log, again and again, and checks that all of it came.
fn read_back(log: &Log, batch: usize, bytes: usize) -> Tally {
    let mut tally = Tally::of(batch);
    while tally.spent() < Duration::from_secs(2) {
        let (mut cursor, mut block) = (log.reader().cursor(0), Block::default());
        let blocks = log.end() as usize / batch;
        let (mut records, mut read) = (0, 0);
        tally.round(0..blocks, |_| {
            assert!(cursor.next_into(&mut block).expect("the log is whole"), "another block");
            records += block.len();
            read += block.records().map(|(_, record)| record.bytes.len()).sum::<usize>();
        });
        assert_eq!((records as u64, read), (log.end(), bytes), "everything came back");
    }
    tally
}

fn payload(json: &[u8]) -> (u8, Vec<u8>) {
    let mut payload = Vec::new();
    let kind = Arrival::Event { source: "web", named: Named::BySender, json }.encode(&mut payload);
    (kind, payload)
}
