//! A disk that shows what a killed process would leave, at every step of the work.

use std::fs;
use std::io;
use std::path::{Path as FsPath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use weft_store::files::{Disk, Files, OpenFile};

use super::files;

/// The disk, of which a copy is made at every change of a name, as a killed process would leave it.
#[derive(Debug)]
pub(crate) struct Witnessed {
    pub(crate) root: PathBuf,
    pub(crate) copies: PathBuf,
    pub(crate) taken: Mutex<Option<usize>>,
}

impl Witnessed {
    fn copy(&self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(number) = taken.as_mut() else { return };
        let to = self.copies.join(number.to_string());
        for path in files(&self.root) {
            let beside = to.join(path.strip_prefix(&self.root).expect("it is inside"));
            fs::create_dir_all(beside.parent().expect("it has one")).expect("made");
            // What goes while it is copied would be gone.
            let _ = fs::copy(&path, &beside);
        }
        *number += 1;
    }
}

impl Files for Witnessed {
    fn create_dir(&self, dir: &FsPath) -> io::Result<()> {
        Disk.create_dir(dir)
    }
    fn create(&self, path: &FsPath) -> io::Result<Arc<dyn OpenFile>> {
        self.copy();
        Disk.create(path)
    }
    fn open(&self, path: &FsPath) -> io::Result<Arc<dyn OpenFile>> {
        Disk.open(path)
    }
    fn open_read(&self, path: &FsPath) -> io::Result<Arc<dyn OpenFile>> {
        Disk.open_read(path)
    }
    fn list(&self, dir: &FsPath) -> io::Result<Vec<String>> {
        Disk.list(dir)
    }
    fn rename(&self, from: &FsPath, to: &FsPath) -> io::Result<()> {
        self.copy();
        Disk.rename(from, to)
    }
    fn remove(&self, path: &FsPath) -> io::Result<()> {
        self.copy();
        Disk.remove(path)
    }
    fn sync_dir(&self, dir: &FsPath) -> io::Result<()> {
        Disk.sync_dir(dir)
    }
    fn lock(&self, dir: &FsPath) -> io::Result<Box<dyn Send + Sync>> {
        Disk.lock(dir)
    }
}
