//! Power cuts on sled's files: pages written since the last barrier arrive or do not, in any order. What opens must be a
//! state that was committed; anything else must be called damaged.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use weft_store::StoreError;
use weft_store::format;
use weft_store::key::Key;
use weft_store::state::{Change, Folder, MemoryState, Options, Space, StateStore};

use crate::model::{Random, for_seeds, seeds};

const PAGE_BYTES: usize = 4096;

/// The bytes of every file in a folder.
type Image = BTreeMap<PathBuf, Vec<u8>>;

fn image(dir: &Path) -> Image {
    let mut files = Image::new();
    for folder in ["1", "1/blobs", ""] {
        for entry in fs::read_dir(dir.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                files.insert(path.strip_prefix(dir).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// What the disk may hold between two barriers: of each page the older or the newer, of each new file all or nothing.
fn mixed(old: &Image, new: &Image, random: &mut Random) -> Image {
    let newer_in_ten = random.below(11);
    let mut files = Image::new();
    for (path, new) in new {
        let Some(old) = old.get(path) else {
            if random.below(2) == 0 {
                files.insert(path.clone(), new.clone());
            }
            continue;
        };
        let len = if random.below(2) == 0 { old.len() } else { new.len() };
        let mut bytes = old.clone();
        bytes.resize(len, 0);
        for start in (0..len.min(new.len())).step_by(PAGE_BYTES) {
            let end = (start + PAGE_BYTES).min(len).min(new.len());
            if random.below(10) < newer_in_ten {
                bytes[start..end].copy_from_slice(&new[start..end]);
            }
        }
        files.insert(path.clone(), bytes);
    }
    files
}

fn write(files: &Image, dir: &Path) {
    fs::create_dir_all(dir.join("1/blobs")).unwrap();
    for (path, bytes) in files {
        fs::write(dir.join(path), bytes).unwrap();
    }
}

fn batch(random: &mut Random, position: u64) -> Vec<Change> {
    let count = 1 + random.below(60);
    let changes = (0..count).map(|_| {
        let space = [Space::Customer, Space::Timer, Space::Identifier][random.below(3)];
        let key = Key::new(0).u64(random.below(300) as u64).finish();
        let body = vec![random.next() as u8; random.below(3_000)];
        let value = (random.below(5) > 0).then(|| format::encode(position, &body).unwrap());
        (space, key, value)
    });
    changes.collect()
}

#[test]
fn what_opens_after_a_power_cut_was_committed_and_everything_else_is_damaged() {
    let images = seeds(1).end.clamp(20, 200);
    for_seeds(4, |seed| {
        let mut random = Random(seed);
        let dir = tempfile::tempdir().unwrap();
        let options = Options { cache_bytes: 8 << 20, flush_every: Duration::from_millis(50), ..Options::default() };
        let mut folder = Folder::open(dir.path(), options).unwrap();
        let state = folder.begin_rebuild().unwrap();
        folder.adopt(&state).unwrap();
        let memory = MemoryState::new();
        // The hash of the state after each commit, by position.
        let mut committed = BTreeMap::from([(0, memory.export_hash().unwrap())]);
        let mut older = image(dir.path());
        let (mut opened, mut damaged) = (0, 0);
        for position in 1..=12 {
            let changes = batch(&mut random, position);
            memory.commit(changes.clone(), position).unwrap();
            state.commit(changes, position).unwrap();
            committed.insert(position, memory.export_hash().unwrap());
            let newer = image(dir.path());
            for _ in 0..images / 10 {
                let cut = tempfile::tempdir().unwrap();
                write(&mixed(&older, &newer, &mut random), cut.path());
                match Folder::open(cut.path(), options).unwrap().open_current() {
                    Ok(Some(found)) => {
                        assert!(found.position() + 1 >= position, "the last barrier's commit is lost");
                        assert_eq!(committed.get(&found.position()), Some(&found.export_hash().unwrap()), "silently wrong");
                        opened += 1;
                    }
                    Err(StoreError::StateDamaged { .. }) => damaged += 1,
                    Ok(None) => panic!("taken for a new folder"),
                    Err(error) => panic!("{error}"),
                }
            }
            older = newer;
        }
        assert!(opened > 0, "no image opened at all, {damaged} were damaged");
        eprintln!("seed {seed}: {opened} images opened, {damaged} were called damaged");
    });
}
