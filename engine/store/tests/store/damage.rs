//! Bytes that change behind the log's back: found, placed, and passed over only on request.

use std::path::{Path, PathBuf};

use weft_store::files::{Cut, Faulty, Files};
use weft_store::log::{Options, TOMBSTONE, repair, verify};
use weft_store::{Damage, StoreError};

use crate::model::{DIR, Model, Random, for_seeds, open, read_all};

/// A log of several segments that was closed in order, and its records.
fn closed(random: &mut Random) -> (Faulty, Options, Vec<(u8, Vec<u8>)>) {
    let mut model = Model::new(500 + random.below(8_000) as u64);
    for _ in 0..20 + random.below(30) {
        model.append((0..1 + random.below(4)).map(|_| (random.below(255) as u8, random.payload())).collect()).unwrap();
        if random.below(2) == 0 {
            model.sync().unwrap();
        }
    }
    let Model { disk, log, options, records, .. } = model;
    log.close().unwrap();
    (disk.cut(Cut::Lost, 0), options, records)
}

fn segments(disk: &Faulty) -> Vec<PathBuf> {
    let names = disk.list(Path::new(DIR)).unwrap();
    names.iter().filter(|name| name.ends_with(".log")).map(|name| Path::new(DIR).join(name)).collect()
}

/// The first damage that opening and reading come upon; none where every record is served as it was.
fn first_damage(disk: &Faulty, options: Options, records: &[(u8, Vec<u8>)]) -> Option<Damage> {
    let reader = match open(disk, options) {
        Ok((log, _)) => log.reader(),
        Err(StoreError::Damaged(damage)) => return Some(damage),
        Err(error) => panic!("{error}"),
    };
    let mut cursor = reader.cursor(0);
    loop {
        match cursor.next() {
            Ok(Some(block)) => {
                for (seq, record) in block.records() {
                    let known = &records[seq as usize];
                    assert_eq!((record.kind, record.bytes), (known.0, known.1.as_slice()), "a wrong record was served");
                }
            }
            Ok(None) => break,
            Err(StoreError::Damaged(damage)) => {
                assert!(matches!(cursor.next(), Err(StoreError::Damaged(again)) if again == damage), "it stays damaged");
                assert!(matches!(reader.record(damage.first), Err(StoreError::Damaged(_))));
                return Some(damage);
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(cursor.position(), records.len() as u64, "records are missing in silence");
    None
}

#[test]
fn damage_is_reported_with_its_place_and_repaired_only_on_request() {
    for_seeds(200, |seed| {
        let mut random = Random(seed);
        let (disk, options, records) = closed(&mut random);
        let paths = segments(&disk);
        let path = &paths[random.below(paths.len())];
        let mut changed = None;
        disk.damage(path, |bytes| {
            let before = bytes.clone();
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[at..].iter_mut().take(3_000).for_each(|byte| *byte = 0),
                1 => bytes.truncate(at),
                2 => drop(bytes.splice(at..at, *b"inserted")),
                _ => bytes[at] ^= 1 << random.below(8),
            }
            changed = (*bytes != before).then(|| bytes.iter().zip(&before).take_while(|(now, then)| now == then).count());
        })
        .unwrap();
        let Some(at) = changed else { return };
        let name = path.file_name().unwrap().to_str().unwrap();
        let last = path == paths.last().unwrap();
        // A last segment cut short at its very end looks like a torn tail, which nothing vouches for.
        let copy = disk.cut(Cut::Kept, 0);
        let truncated_last = last && verify(&copy, Path::new(DIR)).unwrap().damage.is_empty();
        let Some(damage) = (!truncated_last).then(|| first_damage(&copy, options, &records)).flatten() else {
            return;
        };
        assert_eq!(damage.segment, name);
        assert!(damage.offset <= at as u64, "the place is at or before the byte that changed");
        assert!(damage.first <= records.len() as u64);

        let report = verify(&disk, Path::new(DIR)).unwrap();
        assert_eq!((report.damage[0].segment.as_str(), report.damage[0].first), (name, damage.first));
        let lost = repair(&disk, Path::new(DIR)).unwrap();
        assert_eq!(lost, report.damage);
        let (log, _) = open(&disk, options).unwrap();
        let found = read_all(&log.reader(), 0).unwrap();
        for (seq, record) in found.iter().enumerate() {
            let gone = lost.iter().any(|l| (l.first..l.end.unwrap()).contains(&(seq as u64)));
            match gone {
                true => assert_eq!(*record, (TOMBSTONE, Vec::new())),
                false => assert_eq!(*record, records[seq], "a repair changed record {seq}"),
            }
        }
        if !last {
            assert_eq!(found.len(), records.len(), "numbers stay");
        }
        assert_eq!(log.reader().verify().unwrap().damage, []);
        assert_eq!(repair(&disk.cut(Cut::Kept, 0), Path::new(DIR)).unwrap(), [], "a repair leaves nothing to repair");
    });
}

#[test]
fn every_flipped_bit_of_a_closed_log_is_found() {
    let (disk, options, records) = closed(&mut Random(3));
    let mut random = Random(4);
    for path in segments(&disk) {
        let len = disk.open(&path).unwrap().len().unwrap() as usize;
        // The closing block at the end of the last segment holds no record.
        for at in (0..len.saturating_sub(56)).step_by(1 + len / 300) {
            let disk = disk.cut(Cut::Kept, 0);
            disk.damage(&path, |bytes| bytes[at] ^= 1 << random.below(8)).unwrap();
            let damage = first_damage(&disk, options, &records).unwrap_or_else(|| panic!("byte {at} of {path:?}"));
            assert!(damage.offset <= at as u64 && Path::new(DIR).join(&damage.segment) == path);
        }
    }
}

#[test]
fn a_missing_segment_is_damage_and_its_numbers_stay() {
    let (disk, options, records) = closed(&mut Random(5));
    let paths = segments(&disk);
    disk.remove(&paths[1]).unwrap();
    let damage = first_damage(&disk, options, &records).unwrap();
    assert_eq!((damage.what, Path::new(DIR).join(&damage.segment)), ("records are missing", paths[0].clone()));
    let lost = repair(&disk, Path::new(DIR)).unwrap();
    assert_eq!(lost, [damage]);
    let (log, _) = open(&disk, options).unwrap();
    assert_eq!(log.end(), records.len() as u64);
    assert_eq!(log.reader().record(lost[0].first).unwrap().kind, TOMBSTONE);
}

#[test]
fn a_segment_of_another_log_is_damage() {
    let (disk, options, _) = closed(&mut Random(6));
    let (other, _, _) = closed(&mut Random(6));
    let path = &segments(&disk)[1];
    let mut bytes = Vec::new();
    other.damage(path, |other| bytes = other.clone()).unwrap();
    disk.damage(path, |ours| *ours = bytes).unwrap();
    assert!(matches!(open(&disk, options), Err(StoreError::Damaged(damage)) if damage.offset == 0));
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let (disk, options, _) = closed(&mut Random(7));
    disk.damage(&segments(&disk)[0], |bytes| {
        bytes[8] = 2;
        let crc = crc32c::crc32c(&bytes[..36]);
        bytes[36..40].copy_from_slice(&crc.to_le_bytes());
    })
    .unwrap();
    assert!(matches!(open(&disk, options), Err(StoreError::Version { found: 2, known: 1, .. })));
}

#[test]
fn a_payload_that_looks_like_a_block_does_not_turn_a_torn_tail_into_damage() {
    let mut model = Model::new(1 << 20);
    let forged = [b"WfB\xf7\x01\0\0\0".as_slice(), &[0xff; 48]].concat();
    model.append(vec![(1, vec![1])]).unwrap();
    model.sync().unwrap();
    model.append(vec![(1, forged.repeat(3)), (1, vec![2; 100])]).unwrap();
    let whole = model.disk.cut(Cut::Kept, 0);
    whole.damage(&segments(&whole)[0], |bytes| bytes.truncate(bytes.len() - 1)).unwrap();
    let (log, recovery) = open(&whole, model.options).unwrap();
    assert_eq!(log.end(), 1);
    assert_eq!(recovery.torn.unwrap().what, "a block is cut short");
}

#[test]
fn blocks_of_one_barrier_that_arrive_out_of_order_are_a_torn_tail() {
    let mut random = Random(8);
    let mut model = Model::new(1 << 20);
    model.append(vec![(1, vec![1])]).unwrap();
    model.sync().unwrap();
    for _ in 0..3 {
        let noise: Vec<u8> = (0..9_000).map(|_| random.next() as u8).collect();
        model.append(vec![(2, noise)]).unwrap();
    }
    let lose_a_page = |disk: Faulty| {
        disk.damage(&segments(&disk)[0], |bytes| bytes[4096..8192].fill(0)).unwrap();
        disk
    };
    let (log, recovery) = open(&lose_a_page(model.disk.cut(Cut::Kept, 0)), model.options).unwrap();
    assert_eq!((log.end(), recovery.torn.unwrap().first), (1, 1));

    // The same bytes are damage once they had been synced, which the next block says.
    model.sync().unwrap();
    model.append(vec![(3, vec![3])]).unwrap();
    let opened = open(&lose_a_page(model.disk.cut(Cut::Kept, 0)), model.options);
    assert!(matches!(opened, Err(StoreError::Damaged(damage)) if (damage.first, damage.end) == (1, Some(2))));
}

#[test]
fn a_block_from_another_past_of_the_same_log_is_damage() {
    let mut model = Model::new(1 << 20);
    model.append(vec![(1, b"the same".to_vec())]).unwrap();
    model.sync().unwrap();
    let start = model.disk.open(&segments(&model.disk)[0]).unwrap().len().unwrap() as usize;
    let past = |bytes: &[u8]| {
        let disk = model.disk.cut(Cut::Kept, 0);
        let (log, _) = open(&disk, model.options).unwrap();
        let mut fork = Model::new(1);
        fork.log = log;
        for bytes in [bytes, b"after"] {
            fork.log.append(&[weft_store::log::Record { kind: 1, bytes }]).unwrap();
            fork.log.sync().unwrap();
        }
        fork.log.close().unwrap();
        disk
    };
    let (one, other) = (past(b"one"), past(b"two"));
    let mut foreign = Vec::new();
    let path = &segments(&one)[0];
    other.damage(path, |bytes| foreign = bytes[start..start + 56 + 12 + 5 + 3].to_vec()).unwrap();
    one.damage(path, |bytes| bytes[start..start + foreign.len()].copy_from_slice(&foreign)).unwrap();
    assert!(matches!(open(&one, model.options), Err(StoreError::Damaged(damage)) if damage.first == 2));
}
