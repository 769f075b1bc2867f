//! The rules of the state interface, for every implementation; and what is sled's alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use weft_store::StoreError;
use weft_store::format::{self, ROW_BYTES_MAX};
use weft_store::key::{Key, after, after_prefix};
use weft_store::state::{Change, Folder, MemoryState, Options, Sizes, Space, State, StateStore};

use crate::model::{Random, for_seeds};

fn options() -> Options {
    Options { cache_bytes: 8 << 20, ..Options::default() }
}

fn key(n: u64) -> Vec<u8> {
    Key::new(0).u64(n).finish()
}

fn row(seq: u64, text: &str) -> Vec<u8> {
    format::encode(seq, &text).unwrap()
}

fn put(space: Space, n: u64, seq: u64, text: &str) -> Change {
    (space, key(n), Some(row(seq, text)))
}

fn fresh(dir: &Path) -> (Folder, State) {
    let mut folder = Folder::open(dir, options()).unwrap();
    let state = folder.begin_rebuild().unwrap();
    folder.adopt(&state).unwrap();
    (folder, state)
}

/// Every implementation must pass.
fn check(rules: impl Fn(&dyn StateStore)) {
    rules(&MemoryState::new());
    let dir = tempfile::tempdir().unwrap();
    let (_folder, state) = fresh(dir.path());
    rules(&state);
    assert!(state.verify().is_ok());
}

#[test]
fn a_commit_is_seen_whole_with_its_position() {
    check(|state| {
        assert_eq!((state.position(), state.get(Space::Customer, &key(1)).unwrap()), (0, None));
        let rows = vec![put(Space::Customer, 1, 3, "Ann"), put(Space::Timer, 1, 4, "soon"), put(Space::Customer, 2, 4, "Bob")];
        state.commit(rows, 5).unwrap();
        assert_eq!(state.position(), 5);
        assert_eq!(state.get(Space::Customer, &key(1)).unwrap(), Some(row(3, "Ann")));
        assert_eq!(state.get(Space::Timer, &key(1)).unwrap(), Some(row(4, "soon")));
        assert_eq!(state.get(Space::Claim, &key(1)).unwrap(), None, "spaces do not mix");

        state.commit(vec![(Space::Customer, key(1), None), put(Space::Customer, 3, 6, "Cat")], 6).unwrap();
        assert_eq!(state.get(Space::Customer, &key(1)).unwrap(), None);
        state.commit(vec![(Space::Customer, key(9), None)], 6).unwrap();
        state.commit(Vec::new(), 7).unwrap();
        assert_eq!(state.position(), 7);
        let sizes = state.sizes().unwrap();
        let live = (3 * 10 + row(0, "Bob").len() + row(0, "Cat").len() + row(0, "soon").len()) as u64;
        assert_eq!((sizes.rows, sizes.live_bytes), (3, live));
    });
}

#[test]
fn the_last_change_of_a_key_counts() {
    check(|state| {
        let twice = vec![put(Space::Kv, 1, 1, "first"), (Space::Kv, key(1), None), put(Space::Kv, 1, 1, "last")];
        state.commit(twice, 1).unwrap();
        assert_eq!(state.get(Space::Kv, &key(1)).unwrap(), Some(row(1, "last")));
        assert_eq!(state.sizes().unwrap().rows, 1);
    });
}

#[test]
fn scans_go_by_key_and_by_page() {
    check(|state| {
        let rows = (0..2_500).map(|n| put(Space::Page, n * 2, 1, &n.to_string())).collect();
        state.commit(rows, 1).unwrap();
        state.commit(vec![put(Space::Window, 7, 1, "a neighbour")], 1).unwrap();
        let numbers = |from: &[u8], to: Option<&[u8]>, limit| {
            let rows = state.scan(Space::Page, from, to, limit).unwrap();
            rows.iter().map(|(key, _)| u64::from_be_bytes(key[2..].try_into().unwrap())).collect::<Vec<_>>()
        };
        assert_eq!(numbers(&[], None, 3), [0, 2, 4]);
        assert_eq!(numbers(&key(3), None, 2), [4, 6]);
        assert_eq!(numbers(&key(4), Some(&key(8)), 9), [4, 6]);
        assert_eq!(numbers(&after(&key(4)), Some(&key(8)), 9), [6]);
        assert_eq!(numbers(&key(8), Some(&key(8)), 9), [0; 0]);
        assert_eq!(numbers(&key(9), Some(&key(2)), 9), [0; 0]);
        assert_eq!(numbers(&[0, 1], None, 9), [0; 0]);
        assert_eq!(numbers(&[0, 0], after_prefix(&[0, 0]).as_deref(), usize::MAX).len(), 2_500);
        assert_eq!(numbers(&[], None, 0), [0; 0]);
    });
}

#[test]
fn what_breaks_the_rules_is_refused_without_any_effect() {
    let mut broken = row(1, "broken");
    *broken.last_mut().unwrap() ^= 1;
    let long = format::encode(1, &"x".repeat(ROW_BYTES_MAX - 20)).unwrap();
    let cases: Vec<(Vec<u8>, Vec<u8>, u64, &str)> = vec![
        (vec![1], row(1, ""), 10, "a key begins with its partition"),
        (vec![1; 601], row(1, ""), 10, "key of 601 bytes is past the limit of 600 bytes"),
        (key(1), b"no row".to_vec(), 10, "a row cannot be read: it is too short"),
        (key(1), broken, 10, "a row cannot be read: its checksum does not match"),
        (key(1), row(11, ""), 10, "a row cannot come from later in history than its commit"),
        (key(1), [long.clone(), vec![0; 100]].concat(), 10, "row of 100096 bytes is past the limit of 100000 bytes"),
        (key(1), row(1, ""), 8, "the history position cannot go back"),
    ];
    check(|state| {
        state.commit(vec![put(Space::Kv, 1, 9, "kept"), (Space::Kv, key(2), Some(long.clone()))], 9).unwrap();
        let hash = state.export_hash().unwrap();
        for (key, value, position, message) in &cases {
            let good = put(Space::Kv, 5, 1, "good");
            let error = state.commit(vec![good, (Space::Kv, key.clone(), Some(value.clone()))], *position).unwrap_err();
            assert_eq!(error.to_string(), *message);
        }
        assert_eq!((state.position(), state.export_hash().unwrap()), (9, hash));
        state.commit(vec![put(Space::Kv, 6, 10, "still works")], 10).unwrap();
    });
}

#[test]
fn an_export_is_the_same_for_every_way_to_the_same_rows() {
    for_seeds(6, |seed| {
        let dir = tempfile::tempdir().unwrap();
        let (mut folder, sled) = fresh(dir.path());
        let memory = MemoryState::new();
        let mut random = Random(seed);
        let mut pending = Vec::new();
        for seq in 1..400_u64 {
            let space = Space::ALL[1 + random.below(Space::ALL.len() - 1)];
            let n = random.below(60) as u64;
            let text = (random.below(5) > 0).then(|| "t".repeat(random.below(300)));
            // The one commits each change, the other many at a time, with other stamps.
            let change = |seq| (space, key(n), text.as_ref().map(|text| row(seq, text)));
            memory.commit(vec![change(seq)], seq).unwrap();
            pending.push(change(seq / 2));
            if random.below(30) == 0 {
                sled.commit(std::mem::take(&mut pending), seq).unwrap();
            }
        }
        sled.commit(pending, 399).unwrap();
        assert_eq!(sled.export_hash().unwrap(), memory.export_hash().unwrap());
        sled.commit(vec![put(Space::Meta, 0, 1, "about itself")], 399).unwrap();
        assert_eq!(sled.export_hash().unwrap(), memory.export_hash().unwrap());
        let rows = |state: &dyn StateStore| {
            let mut rows = Vec::new();
            let visit = &mut |space, key: &[u8], value: &[u8]| {
                rows.push((space, key.to_vec(), format::open(value)?.1.to_vec()));
                Ok(())
            };
            assert_eq!(state.export(visit).unwrap(), 399);
            rows
        };
        assert_eq!(rows(&sled)[1..], rows(&memory));
        assert!(rows(&sled).is_sorted());

        let copy = folder.compact(&sled).unwrap();
        assert_eq!(copy.export_hash().unwrap(), memory.export_hash().unwrap());
        sled_is_retired(&sled);
        memory.commit(vec![put(Space::Kv, 1, 400, "one more")], 400).unwrap();
        assert_ne!(copy.export_hash().unwrap(), memory.export_hash().unwrap());
        memory.commit(vec![(Space::Kv, key(1), None)], 401).unwrap();
    });
}

fn sled_is_retired(state: &State) {
    assert!(matches!(state.commit(vec![put(Space::Kv, 1, 400, "late")], 400), Err(StoreError::Retired)));
    assert!(state.get(Space::Kv, &key(1)).is_ok(), "what is retired can still be read");
}

fn numbers(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut numbers: Vec<String> = entries.filter(|name| name.parse::<u64>().is_ok()).collect();
    numbers.sort();
    numbers
}

#[test]
fn a_rebuild_counts_only_once_it_is_adopted() {
    let dir = tempfile::tempdir().unwrap();
    let (mut folder, state) = fresh(dir.path());
    state.commit(vec![put(Space::Kv, 1, 1, "old")], 1).unwrap();
    let rebuilt = folder.begin_rebuild().unwrap();
    rebuilt.commit(vec![put(Space::Kv, 1, 1, "new")], 2).unwrap();
    assert_eq!(numbers(dir.path()), ["1", "2"]);
    drop((rebuilt, state, folder));

    let mut folder = Folder::open(dir.path(), options()).unwrap();
    assert_eq!(numbers(dir.path()), ["1"], "what an interrupted rebuild left is removed");
    let state = folder.open_current().unwrap().unwrap();
    assert_eq!(state.get(Space::Kv, &key(1)).unwrap(), Some(row(1, "old")));
    let rebuilt = folder.begin_rebuild().unwrap();
    rebuilt.commit(vec![put(Space::Kv, 1, 1, "new")], 2).unwrap();
    folder.adopt(&rebuilt).unwrap();
    sled_is_retired(&state);
    assert_eq!(state.get(Space::Kv, &key(1)).unwrap(), Some(row(1, "old")));
    drop(state);
    assert_eq!(numbers(dir.path()), ["3"], "the old one goes with its last handle");
    assert!(matches!(Folder::open(dir.path(), options()), Err(StoreError::Locked { .. })));
    rebuilt.close().unwrap();
    drop(folder);
    let mut folder = Folder::open(dir.path(), options()).unwrap();
    let state = folder.open_current().unwrap().unwrap();
    assert_eq!((state.position(), state.get(Space::Kv, &key(1)).unwrap()), (2, Some(row(1, "new"))));
}

#[test]
fn a_copy_takes_in_what_is_committed_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let (mut folder, state) = fresh(dir.path());
    let rows = (0..20_000).map(|n| put(Space::Customer, n, 1, &"c".repeat(100))).collect();
    state.commit(rows, 1).unwrap();
    let memory = MemoryState::new();
    state.export(&mut |space, key, value| memory.commit(vec![(space, key.to_vec(), Some(value.to_vec()))], 1)).unwrap();
    let state = Arc::new(state);
    let done = AtomicBool::new(false);
    let (copy, committed) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut position = 1;
            loop {
                assert!(!done.load(Ordering::Acquire), "the old state still takes commits");
                let n = position % 20_000;
                let change = if position % 3 == 0 { (Space::Customer, key(n), None) } else { put(Space::Customer, n, 2, "new") };
                match state.commit(vec![change.clone()], position + 1) {
                    Ok(()) => memory.commit(vec![change], position + 1).unwrap(),
                    Err(StoreError::Retired) => return position,
                    Err(error) => panic!("{error}"),
                }
                position += 1;
            }
        });
        let copied = folder.compact(&state);
        // Long enough for one more commit, which must find the state retired.
        std::thread::sleep(Duration::from_millis(500));
        done.store(true, Ordering::Release);
        let committed = writer.join().unwrap();
        (copied.unwrap(), committed)
    });
    assert!(committed > 1);
    assert_eq!(copy.position(), committed);
    assert_eq!(copy.export_hash().unwrap(), memory.export_hash().unwrap());
    let Sizes { rows, live_bytes, .. } = memory.sizes().unwrap();
    let sizes = copy.verify().unwrap();
    assert_eq!((sizes.rows, sizes.live_bytes), (rows, live_bytes));
}

#[test]
fn large_rows_stay_in_the_file_that_is_synced() {
    let dir = tempfile::tempdir().unwrap();
    let (_folder, state) = fresh(dir.path());
    let mut random = Random(1);
    for seq in 1..40 {
        let rows = (0..8).map(|_| {
            let body: Vec<u8> = vec![random.next() as u8; ROW_BYTES_MAX - 20];
            (Space::Customer, key(random.below(400) as u64), Some(format::encode(seq, &body).unwrap()))
        });
        state.commit(rows.collect(), seq).unwrap();
    }
    assert_eq!(fs::read_dir(dir.path().join("1/blobs")).unwrap().count(), 0);
}

/// Opens what a copy of the folder holds after `change`, as after a crash.
fn reopened(dir: &Path, change: impl FnOnce(&Path)) -> Result<Option<(State, tempfile::TempDir)>, StoreError> {
    let copy = tempfile::tempdir().unwrap();
    copy_folder(dir, copy.path());
    change(copy.path());
    let options = Options { open_wait: Duration::from_secs(20), ..options() };
    let state = Folder::open(copy.path(), options).unwrap().open_current()?;
    Ok(state.map(|state| (state, copy)))
}

pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_folder(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

#[test]
fn what_cannot_be_trusted_is_called_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let (_folder, state) = fresh(dir.path());
    state.commit((0..500).map(|n| put(Space::Customer, n, 1, &"row ".repeat(50))).collect(), 1).unwrap();
    let (sound, _copy) = reopened(dir.path(), |_| {}).unwrap().unwrap();
    assert_eq!((sound.position(), sound.sizes().unwrap().rows), (1, 500));

    type Damage = (&'static str, fn(PathBuf));
    let damage: [Damage; 7] = [
        ("db emptied", |dir| fs::write(dir.join("1/db"), []).unwrap()),
        ("db removed", |dir| fs::remove_file(dir.join("1/db")).unwrap()),
        ("conf torn", |dir| fs::write(dir.join("1/conf"), b"segm").unwrap()),
        ("state removed", |dir| fs::remove_dir_all(dir.join("1")).unwrap()),
        ("CURRENT torn", |dir| fs::write(dir.join("CURRENT"), b"weft-state 1 ").unwrap()),
        ("db zeroed", |dir| fs::write(dir.join("1/db"), vec![0; 100_000]).unwrap()),
        ("snapshot torn", |dir| {
            let names = fs::read_dir(dir.join("1")).unwrap().map(|entry| entry.unwrap().path());
            for path in names.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("snap.")) {
                fs::write(path, b"torn").unwrap();
            }
        }),
    ];
    for (name, change) in damage {
        match reopened(dir.path(), |copy| change(copy.to_owned())) {
            Err(StoreError::StateDamaged { .. }) => {}
            Ok(Some((state, _copy))) => {
                assert_eq!(state.sizes().unwrap().rows, 500, "{name}: rows were lost in silence");
            }
            Ok(None) => panic!("{name}: taken for a new folder"),
            Err(error) => panic!("{name}: {error}"),
        }
    }
}

/// Changes rows behind the store's back, as damage in sled's file can: each of them sound by itself.
fn tamper(dir: &Path, change: impl FnOnce(&sled::Tree)) {
    let db = sled::Config::new().path(dir.join("1")).segment_size(8 << 20).open().unwrap();
    change(&db.open_tree("weft").unwrap());
    db.flush().unwrap();
}

/// A customer's key as sled has it.
fn at(n: u64) -> Vec<u8> {
    [&[Space::Customer as u8], &*key(n)].concat()
}

#[test]
fn rows_that_are_sound_but_not_those_committed_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (_folder, state) = fresh(dir.path());
    state.commit(vec![put(Space::Customer, 1, 1, "old"), put(Space::Customer, 2, 1, "other")], 1).unwrap();
    state.commit(vec![put(Space::Customer, 1, 2, "new")], 2).unwrap();
    type Tampering = (&'static str, fn(&sled::Tree));
    let cases: [Tampering; 5] = [
        ("an old value", |tree| drop(tree.insert(at(1), row(1, "old")).unwrap())),
        ("a missing row", |tree| drop(tree.remove(at(2)).unwrap())),
        ("a row too many", |tree| drop(tree.insert(at(3), row(1, "old")).unwrap())),
        ("values exchanged", |tree| {
            let (one, two) = (tree.get(at(1)).unwrap().unwrap(), tree.get(at(2)).unwrap().unwrap());
            tree.insert(at(1), two).unwrap();
            tree.insert(at(2), one).unwrap();
        }),
        ("a flipped bit", |tree| {
            let mut bytes = tree.get(at(2)).unwrap().unwrap().to_vec();
            bytes[14] ^= 1;
            tree.insert(at(2), bytes).unwrap();
        }),
    ];
    assert!(reopened(dir.path(), |copy| tamper(copy, |_| {})).is_ok());
    for (name, change) in cases {
        let opened = reopened(dir.path(), |copy| tamper(copy, change));
        assert!(matches!(opened, Err(StoreError::StateDamaged { .. })), "{name}");
    }
}

#[test]
fn an_orderly_close_saves_the_long_check_once() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, state) = fresh(dir.path());
    state.commit(vec![put(Space::Customer, 1, 1, "row")], 1).unwrap();
    state.close().unwrap();
    drop(folder);
    assert!(dir.path().join("1/CLEAN").exists());
    let mut folder = Folder::open(dir.path(), options()).unwrap();
    let state = folder.open_current().unwrap().unwrap();
    assert!(!dir.path().join("1/CLEAN").exists(), "a crash from here on is one");
    assert_eq!(state.get(Space::Customer, &key(1)).unwrap(), Some(row(1, "row")));
}
