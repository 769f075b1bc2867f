//! The log against its model, over power cuts.

use std::path::Path;
use std::sync::Arc;

use weft_store::StoreError;
use weft_store::files::{Cut, Faulty};
use weft_store::log::{BLOCK_BYTES_MAX, Log, Options, RECORD_BYTES_MAX, Record, TOMBSTONE, Verdict};

use crate::model::{DIR, Model, Random, for_seeds, open, read_all};

const CUTS: [Cut; 4] = [Cut::Lost, Cut::Torn, Cut::Reordered, Cut::Kept];

#[test]
fn what_was_synced_survives_any_power_cut_and_nothing_torn_is_served() {
    for_seeds(300, |seed| {
        let mut random = Random(seed);
        let bound = [6_000, 200_000][random.below(2)];
        let segment_bytes = 100 + random.below(bound) as u64;
        let mut model = Model::new(segment_bytes);
        for _ in 0..1 + random.below(4) {
            for _ in 0..random.below(40) {
                model.step(&mut random).unwrap();
            }
            let cut = CUTS[random.below(CUTS.len())];
            let after = model.disk.cut(cut, random.next());
            let (log, recovery) = open(&after, model.options).unwrap();
            assert_eq!((recovery.start, recovery.end), (model.start, log.end()));
            if cut == Cut::Kept {
                assert_eq!(recovery.torn, None, "a killed process leaves whole blocks");
            }
            model.reopened(after, log);
        }
    });
}

#[test]
fn an_opening_that_is_cut_itself_changes_nothing() {
    for_seeds(100, |seed| {
        let mut random = Random(seed);
        let mut model = Model::new(2_000);
        for _ in 0..20 {
            model.step(&mut random).unwrap();
        }
        let mut disk = model.disk.cut(CUTS[random.below(4)], random.next());
        for _ in 0..4 {
            let (log, _) = open(&disk, model.options).unwrap();
            model.reopened(disk.clone(), log);
            disk = disk.cut(CUTS[random.below(4)], random.next());
        }
        let (log, recovery) = open(&disk, model.options).unwrap();
        assert_eq!(recovery.torn, None, "an opening makes durable what it shows");
        model.reopened(disk, log);
    });
}

#[test]
fn a_log_is_one_process_alone() {
    let model = Model::new(1_000);
    assert!(matches!(open(&model.disk, model.options), Err(StoreError::Locked { .. })));
    let disk = model.disk.clone();
    drop(model);
    open(&disk, Options::default()).unwrap();

    let dir = tempfile::tempdir().unwrap();
    let files: Arc<weft_store::files::Disk> = Arc::default();
    let first = Log::open(files.clone(), dir.path(), Options::default()).unwrap();
    assert!(matches!(Log::open(files.clone(), dir.path(), Options::default()), Err(StoreError::Locked { .. })));
    drop(first);
    Log::open(files, dir.path(), Options::default()).unwrap();
}

#[test]
fn bounds_are_errors_that_change_nothing() {
    let mut model = Model::new(1 << 30);
    let long = vec![7; RECORD_BYTES_MAX + 1];
    let refused = |log: &mut Log, records: &[Record<'_>]| {
        let end = log.end();
        let error = log.append(records).unwrap_err();
        assert_eq!(log.end(), end);
        error.to_string()
    };
    let log = &mut model.log;
    assert_eq!(refused(log, &[Record { kind: 0, bytes: &long }]), "record of 8388609 bytes is past the limit of 8388608 bytes");
    let largest = Record { kind: 0, bytes: &long[..RECORD_BYTES_MAX] };
    assert_eq!(refused(log, &[largest; 2]), "block of 16777226 bytes is past the limit of 16777216 bytes");
    assert_eq!(refused(log, &[Record { kind: TOMBSTONE, bytes: &[] }]), "the kind of a tombstone is the log's own");
    assert_eq!(log.append(&[]).unwrap(), 0..0);

    let fitting = Record { kind: 0, bytes: &long[..BLOCK_BYTES_MAX / 2 - 5] };
    assert_eq!(log.append(&[fitting; 2]).unwrap(), 0..2);
    log.sync().unwrap();
    assert_eq!(read_all(&log.reader(), 0).unwrap(), vec![(0, fitting.bytes.to_vec()); 2]);
}

#[test]
fn readers_see_nothing_that_is_not_durable() {
    let mut model = Model::new(1_000);
    let reader = model.log.reader();
    model.append(vec![(1, b"a".to_vec())]).unwrap();
    assert_eq!(reader.durable_end(), 0);
    assert!(matches!(reader.record(0), Err(StoreError::PastEnd { asked: 0, end: 0 })));
    let mut cursor = reader.cursor(0);
    assert!(cursor.next().unwrap().is_none());
    model.sync().unwrap();
    assert_eq!(cursor.next().unwrap().unwrap().records().count(), 1);
    assert!(cursor.next().unwrap().is_none());
    assert_eq!(reader.record(0).unwrap().bytes, b"a");
    assert!(matches!(reader.record(1), Err(StoreError::PastEnd { asked: 1, end: 1 })));
}

#[test]
fn a_cursor_begins_in_the_middle_of_a_block_and_waits_past_the_end() {
    let mut model = Model::new(1_000);
    model.append((0..10).map(|n| (n, vec![n])).collect()).unwrap();
    model.sync().unwrap();
    let reader = model.log.reader();
    for from in 0..10 {
        let mut cursor = reader.cursor(from);
        let block = cursor.next().unwrap().unwrap();
        assert_eq!((block.first(), block.end(), block.len() as u64), (from, 10, 10 - from));
        assert_eq!(block.get(from).unwrap().kind, from as u8);
        assert_eq!(from.checked_sub(1).and_then(|before| block.get(before)), None);
    }
    let mut ahead = reader.cursor(12);
    assert!(ahead.next().unwrap().is_none());
    model.append((10..20).map(|n| (n, vec![n])).collect()).unwrap();
    model.sync().unwrap();
    assert_eq!(ahead.next().unwrap().unwrap().first(), 12);
}

#[test]
fn retention_removes_whole_segments_and_never_the_last() {
    let mut model = Model::new(1);
    for n in 0..10_u8 {
        model.append(vec![(n, vec![n]), (n, vec![n])]).unwrap();
    }
    model.sync().unwrap();
    let reader = model.log.reader();
    let mut behind = reader.cursor(0);
    assert_eq!(model.log.trim(5).unwrap(), 4);
    assert!(matches!(behind.next(), Err(StoreError::Trimmed { asked: 0, start: 4 })));
    assert!(matches!(reader.record(3), Err(StoreError::Trimmed { asked: 3, start: 4 })));
    assert_eq!(reader.record(4).unwrap().kind, 2);
    assert_eq!(model.log.trim(u64::MAX).unwrap(), 18);
    assert_eq!(reader.segments().len(), 1);
    model.start = 18;
    model.check();
}

#[test]
fn what_was_erased_is_served_no_more_to_cursors_already_open() {
    let mut model = Model::new(1 << 20);
    for n in 0..10_u8 {
        model.append(vec![(n, b"secret".to_vec())]).unwrap();
    }
    model.log.rotate().unwrap();
    let reader = model.log.reader();
    let mut cursor = reader.cursor(0);
    cursor.next().unwrap();
    reader.record(9).unwrap();
    model.log.rewrite(0, |_, _, _| Verdict::Tombstone).unwrap();
    while let Some(block) = cursor.next().unwrap() {
        assert!(block.records().all(|(_, record)| record == Record { kind: TOMBSTONE, bytes: &[] }));
    }
    assert_eq!(cursor.position(), 10);
    assert_eq!(reader.record(9).unwrap().kind, TOMBSTONE);
    assert!(matches!(model.log.rewrite(10, |_, _, _| Verdict::Keep), Err(StoreError::NoSuchSegment { first: 10 })));
}

#[test]
fn a_draft_counts_for_nothing_until_it_is_adopted() {
    let mut model = Model::new(1 << 20);
    model.append((0..6_u8).map(|n| (n, b"secret".to_vec())).collect()).unwrap();
    model.log.rotate().unwrap();
    let reader = model.log.reader();
    let verdict = |seq: u64, _: u8, _: &[u8]| match seq {
        1 => Verdict::Tombstone,
        2 => Verdict::Replace(b"less".to_vec()),
        _ => Verdict::Keep,
    };
    let (done, draft) = reader.draft(0, verdict).unwrap();
    assert_eq!((done.records, done.tombstones, done.replaced), (6, 1, 1));
    assert_eq!(reader.record(1).unwrap().bytes, b"secret");
    model.log.adopt(draft.expect("records change")).unwrap();
    let kinds: Vec<u8> = (0..6).map(|seq| reader.record(seq).unwrap().kind).collect();
    assert_eq!(kinds, [0, TOMBSTONE, 2, 3, 4, 5]);
    assert_eq!((&*reader.record(2).unwrap().bytes, &*reader.record(3).unwrap().bytes), (&b"less"[..], &b"secret"[..]));

    let (_, stale) = reader.draft(0, |seq, _, _| if seq == 3 { Verdict::Tombstone } else { Verdict::Keep }).unwrap();
    model.log.rewrite(0, |seq, _, _| if seq == 4 { Verdict::Tombstone } else { Verdict::Keep }).unwrap();
    assert!(matches!(model.log.adopt(stale.expect("a record changes")), Err(StoreError::Refused(_))));
    assert_eq!((reader.record(3).unwrap().kind, reader.record(4).unwrap().kind), (3, TOMBSTONE));
    assert!(reader.draft(0, |_, _, _| Verdict::Keep).unwrap().1.is_none(), "where every record stays there is none");
}

#[test]
fn leftovers_of_interrupted_work_are_removed_and_reported() {
    let model = Model::new(1_000);
    let disk = model.disk.clone();
    drop(model);
    use weft_store::files::Files;
    for name in ["00000000000000000000.new", "00000000000000000007.idx", "note.txt"] {
        disk.create(&Path::new(DIR).join(name)).unwrap();
    }
    let (_log, recovery) = open(&disk, Options::default()).unwrap();
    assert_eq!(recovery.leftovers, ["00000000000000000000.new", "00000000000000000007.idx"]);
    assert!(disk.list(Path::new(DIR)).unwrap().contains(&"note.txt".to_owned()), "what is not ours stays");
}

#[test]
fn a_missing_index_file_is_made_again() {
    use weft_store::files::Files;
    let mut model = Model::new(3_000);
    let mut random = Random(1);
    for _ in 0..50 {
        model.append(vec![(1, random.payload())]).unwrap();
    }
    model.sync().unwrap();
    let disk: Faulty = model.disk.cut(Cut::Kept, 0);
    for name in disk.list(Path::new(DIR)).unwrap() {
        if name.ends_with(".idx") {
            disk.remove(&Path::new(DIR).join(name)).unwrap();
        }
    }
    let (log, _) = open(&disk, model.options).unwrap();
    model.reopened(disk.clone(), log);
    let segments = model.log.reader().segments().len();
    let indexes = disk.list(Path::new(DIR)).unwrap().iter().filter(|name| name.ends_with(".idx")).count();
    assert_eq!(indexes, segments - 1);
}
