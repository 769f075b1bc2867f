//! Power cuts on sled's files: pages written since the last barrier arrive or do not, in any order. What opens must be a
//! state that was committed; anything else must be called damaged.

use std::collections::BTreeMap;
use std::time::Duration;

use weft_store::StoreError;
use weft_store::files::Image;
use weft_store::format;
use weft_store::key::Key;
use weft_store::state::{Change, Folder, MemoryState, Options, Space, StateStore};

use crate::model::{Random, for_seeds, seeds};

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
        let mut older = Image::of(dir.path()).unwrap();
        let (mut opened, mut damaged) = (0, 0);
        for position in 1..=12 {
            let changes = batch(&mut random, position);
            memory.commit(changes.clone(), position).unwrap();
            state.commit(changes, position).unwrap();
            committed.insert(position, memory.export_hash().unwrap());
            let newer = Image::of(dir.path()).unwrap();
            for _ in 0..images / 10 {
                let cut = tempfile::tempdir().unwrap();
                older.cut(&newer, random.next()).write(cut.path()).unwrap();
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
