//! The log on a disk that fails in the middle of something: every step of it in turn.

use weft_store::StoreError;
use weft_store::files::{Cut, Failure, Faulty};
use weft_store::log::{Options, TOMBSTONE, Verdict};

use crate::model::{Model, Random, for_seeds, open, read_all};

const CUTS: [Cut; 4] = [Cut::Lost, Cut::Torn, Cut::Reordered, Cut::Kept];

#[test]
fn a_failed_disk_poisons_the_log_and_opening_again_shows_only_what_is_durable() {
    for_seeds(200, |seed| {
        let mut random = Random(seed);
        let mut model = Model::new(100 + random.below(4_000) as u64);
        for _ in 0..random.below(20) {
            model.step(&mut random).unwrap();
        }
        let failure = [Failure::Io, Failure::NoSpace, Failure::Short, Failure::Halt][random.below(4)];
        model.disk.fail(model.disk.operations() + random.below(12) as u64, failure);
        let failed = (0..60).find_map(|_| model.step(&mut random).err());
        let Some(error) = failed else { return };
        assert!(matches!(error, StoreError::Io { .. }), "{error}");
        let poisoned = matches!(model.log.append(&[]), Err(StoreError::Poisoned { .. }));
        // A rewrite that failed before its swap has touched nothing of the log itself.
        assert!(poisoned || model.erasing);
        assert_eq!(poisoned, matches!(model.log.rotate(), Err(StoreError::Poisoned { .. })));
        if failure == Failure::Halt {
            return;
        }
        // The same disk, page cache and all, is opened again: what a failed sync left in memory must become durable.
        let Model { disk, log, options, mut records, durable, start, .. } = model;
        drop(log);
        let (log, _) = open(&disk, options).unwrap();
        let end = log.end();
        assert!(end >= durable, "{durable} was durable, the log ends at {end}");
        let cut = disk.cut(Cut::Lost, random.next());
        drop(log);
        let (log, recovery) = open(&cut, options).unwrap();
        assert_eq!((recovery.torn, log.end()), (None, end), "what an opening shows survives a power cut");
        let found = read_all(&log.reader(), log.reader().start()).unwrap();
        assert!(log.reader().start() >= start);
        records.truncate(end as usize);
        let known = &records[log.reader().start() as usize..];
        // A block whose append failed may be there whole; it was never acknowledged.
        assert!(found.len() >= known.len());
        for (found, known) in found.iter().zip(known) {
            assert!(found == known || found.0 == TOMBSTONE, "a record changed");
        }
    });
}

/// Runs a procedure on copies of one prepared log, stops it at each of its steps in turn, cuts the power in every way, and
/// hands over what an opening makes of it.
fn check(prepare: impl Fn() -> Model, procedure: impl Fn(&mut Model) -> Result<(), StoreError>, sound: impl Fn(&Model, &Faulty)) {
    let steps = {
        let mut model = prepare();
        let before = model.disk.operations();
        procedure(&mut model).unwrap();
        model.disk.operations() - before
    };
    assert!(steps > 0);
    for step in 0..steps {
        let mut model = prepare();
        model.disk.fail(model.disk.operations() + step, Failure::Halt);
        procedure(&mut model).unwrap_err();
        for cut in CUTS {
            for seed in 0..20 {
                sound(&model, &model.disk.cut(cut, seed));
            }
        }
    }
}

fn five_segments() -> Model {
    let mut model = Model::new(1);
    for n in 0..10_u8 {
        model.append(vec![(n, vec![n; 100]), (n, vec![n; 300])]).unwrap();
        model.sync().unwrap();
    }
    model
}

#[test]
fn a_rewrite_that_is_stopped_leaves_the_old_segment_or_the_new_one() {
    check(
        five_segments,
        |model| model.log.rewrite(4, |seq, _, _| if seq == 5 { Verdict::Tombstone } else { Verdict::Keep }).map(|_| ()),
        |model, disk| {
            let (log, _) = open(disk, model.options).unwrap();
            let found = read_all(&log.reader(), 0).unwrap();
            assert_eq!(found.len(), model.records.len());
            for (seq, record) in found.iter().enumerate() {
                let erased = seq == 5 && *record == (TOMBSTONE, Vec::new());
                assert!(erased || *record == model.records[seq], "record {seq}");
            }
        },
    );
}

#[test]
fn a_trim_that_is_stopped_leaves_a_log_without_a_gap() {
    check(
        five_segments,
        |model| model.log.trim(12).map(|_| ()),
        |model, disk| {
            let (log, recovery) = open(disk, model.options).unwrap();
            assert!(recovery.start <= 12 && recovery.start % 2 == 0);
            assert_eq!(read_all(&log.reader(), recovery.start).unwrap(), model.records[recovery.start as usize..]);
        },
    );
}

#[test]
fn a_rotation_that_is_stopped_loses_nothing() {
    check(
        || {
            let mut model = Model::new(1 << 20);
            model.append(vec![(1, vec![1; 5_000]), (2, vec![2])]).unwrap();
            model.sync().unwrap();
            model
        },
        |model| {
            model.log.rotate()?;
            model.append(vec![(3, vec![3])])?;
            model.sync()
        },
        |model, disk| {
            let (mut log, _) = open(disk, model.options).unwrap();
            let found = read_all(&log.reader(), 0).unwrap();
            assert_eq!(found[..2], model.records[..2]);
            assert!(found.len() == 2 || found[2..] == [(3, vec![3])]);
            log.append(&[weft_store::log::Record { kind: 9, bytes: b"goes on" }]).unwrap();
            log.sync().unwrap();
        },
    );
}

#[test]
fn the_first_opening_that_is_stopped_can_be_repeated() {
    for step in 0..4 {
        for cut in CUTS {
            for seed in 0..50 {
                let disk = Faulty::new();
                disk.fail(step, Failure::Halt);
                assert!(open(&disk, Options::default()).is_err());
                let (log, recovery) = open(&disk.cut(cut, seed), Options::default()).unwrap();
                assert_eq!((log.end(), recovery.torn), (0, None));
            }
        }
    }
}

#[test]
fn a_full_disk_loses_nothing_that_was_synced() {
    for capacity in [200, 1_000, 1_037, 5_000, 20_000] {
        let mut model = Model::new(1_500);
        model.disk.set_capacity(Some(capacity));
        let mut random = Random(capacity as u64);
        let error = loop {
            let appended = model.append(vec![(1, random.payload())]).and_then(|()| model.sync());
            if let Err(error) = appended {
                break error;
            }
        };
        let full = matches!(&error, StoreError::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull);
        assert!(full, "{error}");
        assert!(matches!(model.log.sync(), Err(StoreError::Poisoned { .. })));
        let disk = model.disk.clone();
        disk.set_capacity(None);
        drop(std::mem::replace(&mut model.log, Model::new(1).log));
        let (log, _) = open(&disk, model.options).unwrap();
        model.records.truncate(log.end() as usize);
        model.reopened(disk, log);
        model.append(vec![(2, b"there is room again".to_vec())]).unwrap();
        model.sync().unwrap();
        model.check();
    }
}
