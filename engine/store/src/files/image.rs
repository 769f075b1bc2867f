//! A real folder at one moment, and what a power cut may make of it: for tests of what opens its files itself, as sled does.
//!
//! Between two barriers a disk may hold of each page the older or the newer, of each new file all or nothing, and a removed file
//! still. An [`Image`] is taken after the older barrier, another one when the power goes; [`Image::cut`] mixes the two.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::faulty::{PAGE_BYTES, Random};

/// The folders and files of a folder, by their paths in it.
#[derive(Debug, Clone, Default)]
pub struct Image {
    folders: BTreeSet<PathBuf>,
    files: BTreeMap<PathBuf, Vec<u8>>,
}

impl Image {
    /// Reads a folder. Where somebody writes meanwhile, it has of each page what was there before or after.
    pub fn of(dir: &Path) -> io::Result<Image> {
        let (mut image, mut open) = (Image::default(), vec![PathBuf::new()]);
        while let Some(folder) = open.pop() {
            for entry in fs::read_dir(dir.join(&folder))? {
                let entry = entry?;
                let path = folder.join(entry.file_name());
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => open.push(path),
                    _ => match fs::read(entry.path()) {
                        Ok(bytes) => drop(image.files.insert(path, bytes)),
                        Err(error) if error.kind() == io::ErrorKind::NotFound => (),
                        Err(error) => return Err(error),
                    },
                }
            }
            image.folders.insert(folder);
        }
        Ok(image)
    }

    /// What the disk may hold where this was durable, and the power went at `newer`. The same seed gives the same image.
    pub fn cut(&self, newer: &Image, seed: u64) -> Image {
        let mut random = Random(seed);
        let newer_in_ten = random.below(11);
        let paths: BTreeSet<&PathBuf> = self.files.keys().chain(newer.files.keys()).collect();
        let mut files = BTreeMap::new();
        for path in paths {
            let bytes = match (self.files.get(path), newer.files.get(path)) {
                (Some(old), Some(new)) => mixed(old, new, newer_in_ten, &mut random),
                (Some(one), None) | (None, Some(one)) if random.below(2) == 0 => one.clone(),
                _ => continue,
            };
            files.insert(path.clone(), bytes);
        }
        Image { folders: self.folders.union(&newer.folders).cloned().collect(), files }
    }

    /// Writes it into a folder, which must be empty or not there. Pages of zeros become holes, as they mostly were.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        for folder in &self.folders {
            fs::create_dir_all(dir.join(folder))?;
        }
        for (path, bytes) in &self.files {
            let file = File::create_new(dir.join(path))?;
            file.set_len(bytes.len() as u64)?;
            for (page, bytes) in bytes.chunks(PAGE_BYTES).enumerate() {
                if bytes.iter().any(|byte| *byte != 0) {
                    file.write_all_at(bytes, (page * PAGE_BYTES) as u64)?;
                }
            }
        }
        Ok(())
    }
}

/// Of each page the older or the newer, and the length of either.
fn mixed(old: &[u8], new: &[u8], newer_in_ten: usize, random: &mut Random) -> Vec<u8> {
    let len = if random.below(2) == 0 { old.len() } else { new.len() };
    let mut bytes = old.to_vec();
    bytes.resize(len, 0);
    for start in (0..len.min(new.len())).step_by(PAGE_BYTES) {
        let end = (start + PAGE_BYTES).min(len).min(new.len());
        if random.below(10) < newer_in_ten {
            bytes[start..end].copy_from_slice(&new[start..end]);
        }
    }
    bytes
}
