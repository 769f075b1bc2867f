//! The file operations that durability rests on, and no others.
//!
//! [`Files`] is what the log asks of a file system; [`Disk`] is the real one; [`Faulty`] keeps everything in memory and
//! can show what a disk may hold after the power went (DESIGN section 9), which a killed process never shows. [`Image`] shows
//! the same of a real folder, for what opens its files itself.
//!
//! Nothing here retries, buffers or caches: a caller must see each failure once, as it happened. The log ([`crate::log`])
//! is the next thing to read.

mod disk;
mod faulty;
mod image;

pub use disk::Disk;
pub use faulty::{Cut, Failure, Faulty};
pub use image::Image;

use std::io;
use std::path::Path;
use std::sync::Arc;

/// A file system, as far as the log needs one. Paths are those of the machine; folders are made by [`Files::create_dir`].
pub trait Files: std::fmt::Debug + Send + Sync + 'static {
    /// Makes the folder and its parents, and makes them durable. Not an error if it is there.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Makes an empty file, emptying what has that name. Its name is durable only after [`Files::sync_dir`].
    fn create(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>>;
    /// Opens a file for reading and writing. `NotFound` where there is none.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>>;
    /// Opens a file for reading only. `NotFound` where there is none.
    fn open_read(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>>;
    /// The names of the plain files in a folder, sorted. Names that are not UTF-8 are none of ours and left out.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Gives a file another name in the same folder, replacing what has it. Durable only after [`Files::sync_dir`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Takes a name away; open handles keep working. Durable only after [`Files::sync_dir`].
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a folder durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes the folder for one holder until the guard is dropped or the process ends. `WouldBlock` while another has it.
    fn lock(&self, dir: &Path) -> io::Result<Box<dyn Send + Sync>>;
}

/// An open file. Reads and writes say where, so that a handle can be shared between threads.
pub trait OpenFile: Send + Sync {
    /// Reads up to `buffer.len()` bytes from `offset`; fewer only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all bytes at `offset`, growing the file if need be. After an error, any part of them may have been written.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file holds no byte.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Cuts the file to `len` bytes. Durable only after [`OpenFile::sync_data`].
    fn truncate(&self, len: u64) -> io::Result<()>;
    /// A true barrier: when it returns, the bytes and the length survive a power cut. After an error, what the disk holds
    /// is unknown and a second call that succeeds proves nothing.
    fn sync_data(&self) -> io::Result<()>;
}
