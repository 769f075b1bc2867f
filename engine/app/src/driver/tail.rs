//! Following files while they grow.
//!
//! A file is known by how it begins, whatever its name is now: one that was rotated is read on where it was left, also where it was packed
//! meanwhile, and a new one of the old name is begun. It is held open, so that one that leaves the pattern is still read to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};
use tokio::fs::File;

use super::content::{Content, Packing, chunk, open};
use super::files::{Files, Found, Settled, hex, inode};
use super::reading::{Ending, Head, Mark, Reading};
use crate::limits;

/// Bytes by which a file is known: as many as make it unlikely that another begins alike.
const HEAD_BYTES: usize = 1_024;

/// Bytes that a file must have before it is begun, unless it rests: what two files have in common for sure is shorter.
const HEAD_BYTES_MIN: usize = 64;

/// Files that are held open, by the keys of their marks.
#[derive(Default)]
pub(super) struct Followed(BTreeMap<String, File>);

/// A file of this round, and how it begins.
struct Beginning<'a> {
    found: &'a Found,
    packing: Packing,
    bytes: Vec<u8>,
}

pub(super) async fn round(reading: &mut Reading<'_>, files: &Files, found: &[Found], followed: &mut Followed) -> Settled {
    let mut settled = Settled::All;
    let mut beginnings = Vec::with_capacity(found.len());
    for found in found {
        match beginning(&found.path).await {
            Ok((packing, bytes)) => beginnings.push(Beginning { found, packing, bytes }),
            Err(error) => {
                reading.driver.complain(&found.path.display().to_string(), "unreadable", &error, 1);
                settled = Settled::Later;
            }
        }
    }
    let keys = assign(&reading.marks, &beginnings);
    for (beginning, known) in beginnings.iter().zip(&keys) {
        let key = match known {
            Known::As(key) => key.clone(),
            Known::Copy => continue,
            Known::Not if is_begun(beginning, files) => {
                format!("{}-{}", digest(&beginning.bytes), inode(&beginning.found.metadata))
            }
            Known::Not => {
                settled = Settled::Later;
                continue;
            }
        };
        if reading.is_resting(&key) {
            settled = Settled::Later;
        } else if !follow(reading, &key, beginning, followed).await {
            return Settled::Stopped;
        }
    }
    let here: BTreeSet<&str> =
        keys.iter().filter_map(|known| if let Known::As(key) = known { Some(&**key) } else { None }).collect();
    let begun: BTreeSet<String> = followed.0.keys().cloned().collect();
    for key in begun {
        let is_here = here.contains(&*key) || beginnings.iter().any(|one| key.starts_with(&digest(&one.bytes)));
        if !is_here && !take_leave(reading, &key, followed).await {
            return Settled::Stopped;
        }
    }
    reading.forget_oldest(|key| here.contains(key)).await;
    settled
}

/// Reads on in a file. False where the driver is to stop.
async fn follow(reading: &mut Reading<'_>, key: &str, beginning: &Beginning<'_>, followed: &mut Followed) -> bool {
    let Beginning { found, packing, bytes } = beginning;
    let mut mark = Mark { name: found.path.display().to_string(), ..reading.mark(key) };
    let is_packed = *packing != Packing::Plain;
    let length = found.metadata.len();
    if !is_packed && length < mark.offset {
        tracing::info!(stage = reading.driver.name, file = mark.name, "the file was cut, and is read from its beginning");
        mark = Mark { name: mark.name, ..Mark::default() };
    }
    let is_settled = reading.is_settled(key) && (is_packed || mark.refused_by.is_some());
    if is_settled || !is_packed && length == mark.offset {
        return true;
    }
    if mark.head.as_ref().is_none_or(|head| head.bytes < bytes.len() as u64) {
        mark.head = Some(Head { bytes: bytes.len() as u64, digest: digest(bytes), inode: inode(&found.metadata) });
    }
    let file = match File::open(&found.path).await {
        Ok(file) => file,
        Err(error) => return reading.read(key, mark, Err(error), Ending::Open).await,
    };
    if !is_packed
        && followed.0.len() < limits::FILES_FOLLOWED_MAX
        && let Ok(file) = file.try_clone().await
    {
        followed.0.insert(key.to_owned(), file);
    }
    let content = open(file, mark.offset).await.map(|(_, content)| content);
    reading.read(key, mark, content, if is_packed { Ending::Final } else { Ending::Open }).await
}

/// Reads a file that is no longer there to its end. False where the driver is to stop.
async fn take_leave(reading: &mut Reading<'_>, key: &str, followed: &mut Followed) -> bool {
    let Some(file) = followed.0.remove(key) else { return true };
    if reading.is_settled(key) {
        return true;
    }
    let mark = reading.mark(key);
    let content = open(file, mark.offset).await.map(|(_, content)| content);
    reading.read(key, mark, content, Ending::Final).await
}

/// What is known of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Known {
    /// The mark of this key is its.
    As(String),
    /// It begins like one that has its mark: a copy, which may become the only one.
    Copy,
    /// Nothing.
    Not,
}

/// Which mark belongs to which file: to the same file on the disk first, then to one that begins alike.
fn assign(marks: &BTreeMap<String, Mark>, beginnings: &[Beginning<'_>]) -> Vec<Known> {
    let candidates = |beginning: &Beginning<'_>| -> Vec<(bool, u64, String)> {
        let mut digests: BTreeMap<u64, String> = BTreeMap::new();
        let number = inode(&beginning.found.metadata);
        let mut fitting: Vec<(bool, u64, String)> = marks
            .iter()
            .filter_map(|(key, mark)| {
                let head = mark.head.as_ref()?;
                let begins = beginning.bytes.get(..usize::try_from(head.bytes).ok()?)?;
                let digest = digests.entry(head.bytes).or_insert_with(|| digest(begins));
                (*digest == head.digest).then(|| (head.inode == number, head.bytes, key.clone()))
            })
            .collect();
        fitting.sort_unstable();
        fitting.reverse();
        fitting
    };
    let candidates: Vec<_> = beginnings.iter().map(candidates).collect();
    let mut keys = vec![Known::Not; beginnings.len()];
    let mut taken: BTreeSet<&str> = BTreeSet::new();
    for same in [true, false] {
        for (place, fitting) in candidates.iter().enumerate() {
            if matches!(keys[place], Known::As(_)) {
                continue;
            }
            let free = fitting.iter().find(|(is_same, _, key)| *is_same == same && !taken.contains(&**key));
            keys[place] = match free {
                Some((_, _, key)) => {
                    taken.insert(key);
                    Known::As(key.clone())
                }
                None if fitting.is_empty() => Known::Not,
                None => Known::Copy,
            };
        }
    }
    keys
}

fn is_begun(beginning: &Beginning<'_>, files: &Files) -> bool {
    let rests = || beginning.found.metadata.modified().is_ok_and(|at| at.elapsed().is_ok_and(|age| age >= files.rest));
    beginning.bytes.len() >= HEAD_BYTES_MIN || !beginning.bytes.is_empty() && rests()
}

async fn beginning(path: &Path) -> io::Result<(Packing, Vec<u8>)> {
    let (packing, mut content): (Packing, Content) = open(File::open(path).await?, 0).await?;
    Ok((packing, chunk(&mut content, HEAD_BYTES).await?))
}

fn digest(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
