//! The log on a real disk, read by some threads while another writes, rewrites and trims.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use weft_store::StoreError;
use weft_store::files::Disk;
use weft_store::log::{Log, LogReader, Options, Record, TOMBSTONE, Verdict};

const BATCHES: u64 = 400;
const RECORDS_PER_BATCH: u64 = 20;

fn payload(seq: u64) -> Vec<u8> {
    format!("record {seq} {}", "lorem ipsum ".repeat((seq % 40) as usize)).into_bytes()
}

fn check(seq: u64, record: Record<'_>) {
    if record.kind == TOMBSTONE {
        assert_eq!((seq % 10, record.bytes.len()), (3, 0), "only what was erased is a tombstone");
    } else {
        assert_eq!(record.bytes, payload(seq));
    }
}

fn write(dir: &Path, done: &AtomicBool, start: impl FnOnce(LogReader)) {
    let (mut log, _) = Log::open(Arc::new(Disk), dir, Options { segment_bytes: 200_000 }).unwrap();
    start(log.reader());
    for batch in 0..BATCHES {
        let payloads: Vec<Vec<u8>> = (0..RECORDS_PER_BATCH).map(|n| payload(batch * RECORDS_PER_BATCH + n)).collect();
        let records: Vec<Record<'_>> = payloads.iter().map(|bytes| Record { kind: 1, bytes }).collect();
        log.append(&records).unwrap();
        if batch % 3 == 0 {
            log.sync().unwrap();
        }
        if batch % 50 == 49 {
            let sealed: Vec<_> = log.reader().segments().into_iter().filter(|segment| segment.sealed).collect();
            for segment in sealed {
                let erase = |seq: u64, _, _: &[u8]| {
                    if seq % 10 == 3 { Verdict::Tombstone } else { Verdict::Keep }
                };
                log.rewrite(segment.first, erase).unwrap();
            }
        }
        if batch == 300 {
            log.trim(1_000).unwrap();
        }
    }
    log.close().unwrap();
    done.store(true, Ordering::Release);
}

fn follow(reader: &LogReader, done: &AtomicBool) {
    let mut cursor = reader.cursor(0);
    let mut seq = 0;
    loop {
        let finished = done.load(Ordering::Acquire);
        match cursor.next() {
            Ok(Some(block)) => {
                for (found, record) in block.records() {
                    assert_eq!(found, seq);
                    check(found, record);
                    seq += 1;
                }
            }
            Ok(None) if finished => break,
            Ok(None) => thread::yield_now(),
            Err(StoreError::Trimmed { start, .. }) => {
                seq = start;
                cursor.seek(start);
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(seq, BATCHES * RECORDS_PER_BATCH);
}

fn look_up(reader: &LogReader, done: &AtomicBool) {
    let mut n = 0_u64;
    while !done.load(Ordering::Acquire) {
        n = n.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let end = reader.durable_end();
        if end == 0 {
            continue;
        }
        let seq = (n >> 20) % end;
        match reader.record(seq) {
            Ok(record) => check(seq, Record { kind: record.kind, bytes: &record.bytes }),
            Err(StoreError::Trimmed { .. }) => assert!(seq < 1_000),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn readers_follow_a_writer_that_rotates_rewrites_and_trims() {
    let dir = tempfile::tempdir().unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let done = &done;
        write(dir.path(), done, |reader| {
            let (one, two) = (reader.clone(), reader.clone());
            scope.spawn(move || follow(&one, done));
            scope.spawn(move || look_up(&two, done));
            scope.spawn(move || follow(&reader, done));
        });
    });
    let (log, recovery) = Log::open(Arc::new(Disk), dir.path(), Options::default()).unwrap();
    assert_eq!((log.end(), recovery.torn), (BATCHES * RECORDS_PER_BATCH, None));
    assert_eq!(log.reader().verify().unwrap().damage, []);
}
