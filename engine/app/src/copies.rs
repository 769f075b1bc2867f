//! Copies of what is known of a person, written down for them to be fetched: the results of requests for access, a file each, and which
//! requests are still to be answered.
//!
//! A copy is of a person like everything else, so an erasure takes it away too ([`Copies::forget`]): beside each lie the keyed hashes of the
//! person's identifiers, by which it is found. Files are for nobody else to read. What is written into a copy is [`crate::access`]'s; when it
//! goes by itself, [`crate::rights`]'s.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Mutex, MutexGuard, mpsc};
use weft_domain::explain::Who;
use weft_store::files::{Files, OpenFile};

use crate::limits;
use crate::suppression::Print;

/// The folder of the copies.
pub struct Copies {
    folder: PathBuf,
    files: Arc<dyn Files>,
    writing: Mutex<()>,
}

/// How much a copy has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// Things that are known, a line each.
    pub lines: u64,
}

impl Copies {
    /// In this folder, which is made with the first of them.
    #[must_use]
    pub fn new(folder: &Path, files: Arc<dyn Files>) -> Copies {
        Copies { folder: folder.to_owned(), files, writing: Mutex::default() }
    }

    /// Where they are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Held by who writes a copy, from before it is looked what is known: an erasure waits for it, and then takes the copy away.
    pub async fn writing(&self) -> MutexGuard<'_, ()> {
        self.writing.lock().await
    }

    /// Writes down durably of whom a copy is wanted.
    ///
    /// # Errors
    /// [`io::Error`]; then nothing is wanted.
    pub fn want(&self, id: &str, whom: &[Who]) -> io::Result<()> {
        let whom: Vec<String> = whom.iter().map(Who::to_string).collect();
        self.put(&wanted(id), &serde_json::to_vec(&whom).expect("texts are JSON"))
    }

    /// Of whom a copy is wanted; none where none is.
    ///
    /// # Errors
    /// [`io::Error`], where that cannot be read.
    pub fn wanted(&self, id: &str) -> io::Result<Option<Vec<Who>>> {
        let Some(file) = self.existing(&wanted(id))? else { return Ok(None) };
        serde_json::from_slice(&whole(&*file)?).map(Some).map_err(io::Error::from)
    }

    /// The ids of all requests of which something is kept here.
    ///
    /// # Errors
    /// [`io::Error`], where the folder cannot be read.
    pub fn ids(&self) -> io::Result<BTreeSet<String>> {
        Ok(self.names()?.iter().filter_map(|name| Some(name.split_once('.')?.0.to_owned())).collect())
    }

    /// Writes a copy of these lines, of which the last says that it is whole. The hashes are those of the person's identifiers. Blocks: for a
    /// thread that may wait for the disk, while [`Copies::writing`] is held.
    ///
    /// # Errors
    /// [`io::Error`]; then there is no copy, also where the lines end too early.
    pub fn write(&self, id: &str, about: &BTreeSet<Print>, mut lines: mpsc::Receiver<Bytes>) -> io::Result<Written> {
        let about: Vec<String> = about.iter().map(|print| print.text()).collect();
        // First whose it is: what an erasure could not find must not be there.
        self.put(&format!("{id}.about"), about.join("\n").as_bytes())?;
        let (beside, path) = (self.folder.join(format!("{id}.new")), self.folder.join(format!("{id}.ndjson")));
        let file = self.create(&beside)?;
        let (mut offset, mut count, mut last) = (0, 0, Bytes::new());
        while let Some(line) = lines.blocking_recv() {
            file.write_at(&line, offset)?;
            (offset, count, last) = (offset + line.len() as u64, count + 1, line);
        }
        if !last.starts_with(br#"{"kind":"end""#) {
            self.files.remove(&beside)?;
            return Err(io::Error::other(String::from_utf8_lossy(&last).into_owned()));
        }
        file.sync_data()?;
        self.files.rename(&beside, &path)?;
        self.files.sync_dir(&self.folder)?;
        Ok(Written { lines: count - 1 })
    }

    /// A copy, to be read from its beginning; none where there is none any more. Blocks as it is read, in pieces.
    ///
    /// # Errors
    /// [`io::Error`], where it cannot be read.
    pub fn open(&self, id: &str) -> io::Result<Option<mpsc::Receiver<Bytes>>> {
        let Some(file) = self.existing(&format!("{id}.ndjson"))? else { return Ok(None) };
        let (out, pieces) = mpsc::channel(limits::TAIL_CHUNKS_WAITING_MAX);
        tokio::task::spawn_blocking(move || {
            let (mut offset, mut piece) = (0, vec![0; limits::CHUNK_BYTES]);
            // A reader who went away is no error. One that hears an end too early has fewer bytes than a whole copy, and no line `end`.
            while let Ok(read) = file.read_at(&mut piece, offset) {
                if read == 0 || out.blocking_send(Bytes::copy_from_slice(&piece[..read])).is_err() {
                    return;
                }
                offset += read as u64;
            }
        });
        Ok(Some(pieces))
    }

    /// Takes away all that there is of a request.
    ///
    /// # Errors
    /// [`io::Error`]; then some of it may still be there.
    pub fn remove(&self, id: &str) -> io::Result<()> {
        // Whose it is goes last.
        for kind in ["wanted", "new", "ndjson", "about"] {
            self.drop_file(&format!("{id}.{kind}"))?;
        }
        if self.folder_is_there()? { self.files.sync_dir(&self.folder) } else { Ok(()) }
    }

    /// Takes away of whom a copy was wanted, once it is written.
    ///
    /// # Errors
    /// [`io::Error`]; then it may still be there.
    pub fn no_longer_wanted(&self, id: &str) -> io::Result<()> {
        self.drop_file(&wanted(id))
    }

    /// Takes away every copy of a person, by the hashes of the identifiers. One that is being written is waited for.
    ///
    /// # Errors
    /// [`io::Error`]; then some may still be there.
    pub async fn forget(&self, person: &BTreeSet<Print>) -> io::Result<u64> {
        let _nobody_writes = self.writing().await;
        let mut count = 0;
        for name in self.names()? {
            let Some(id) = name.strip_suffix(".about") else { continue };
            let Some(file) = self.existing(&name)? else { continue };
            let text = String::from_utf8_lossy(&whole(&*file)?).into_owned();
            if text.lines().filter_map(Print::read).any(|print| person.contains(&print)) {
                for kind in ["new", "ndjson", "about"] {
                    self.drop_file(&format!("{id}.{kind}"))?;
                }
                self.files.sync_dir(&self.folder)?;
                count += 1;
            }
        }
        Ok(count)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        match self.files.list(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            names => names,
        }
    }

    fn folder_is_there(&self) -> io::Result<bool> {
        Ok(!self.names()?.is_empty() || self.folder.is_dir())
    }

    fn existing(&self, name: &str) -> io::Result<Option<Arc<dyn OpenFile>>> {
        match self.files.open_read(&self.folder.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            file => file.map(Some),
        }
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>> {
        self.files.create_dir(&self.folder)?;
        let file = self.files.create(path)?;
        // In tests there may be no such file on the disk.
        match std::fs::set_permissions(path, PermissionsExt::from_mode(0o600)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(file),
        }
    }

    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let beside = self.folder.join(format!("{name}.new"));
        let file = self.create(&beside)?;
        file.write_at(bytes, 0)?;
        file.sync_data()?;
        self.files.rename(&beside, &self.folder.join(name))?;
        self.files.sync_dir(&self.folder)
    }

    fn drop_file(&self, name: &str) -> io::Result<()> {
        match self.files.remove(&self.folder.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

fn wanted(id: &str) -> String {
    format!("{id}.wanted")
}

fn whole(file: &dyn OpenFile) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(file.len()?).unwrap_or(usize::MAX)];
    let length = file.read_at(&mut bytes, 0)?;
    bytes.truncate(length);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use weft_store::files::Disk;

    use super::*;

    fn print(digit: u8) -> Print {
        Print::read(&format!("{digit:x}").repeat(32)).expect("32 digits")
    }

    fn write(copies: &Copies, id: &str, of: u8, lines: &[&'static str]) -> io::Result<Written> {
        let (out, given) = mpsc::channel(8);
        lines.iter().for_each(|line| out.try_send(Bytes::from_static(line.as_bytes())).expect("there is room"));
        drop(out);
        std::thread::scope(|threads| {
            threads.spawn(|| copies.write(id, &BTreeSet::from([print(of)]), given)).join().expect("no panic")
        })
    }

    #[tokio::test]
    async fn a_copy_goes_with_the_person_and_one_that_is_not_whole_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let copies = Copies::new(&folder.path().join("rights"), Arc::new(Disk));
        assert_eq!(copies.ids().expect("readable"), BTreeSet::new());
        copies.remove("none").expect("nothing to remove");
        let whole = ["{\"kind\":\"profile\"}\n", "{\"kind\":\"end\"}\n"];
        assert_eq!(write(&copies, "a", 1, &whole).expect("written").lines, 1);
        write(&copies, "b", 2, &whole).expect("written");
        write(&copies, "c", 3, &["{\"kind\":\"profile\"}\n", "{\"kind\":\"error\"}\n"]).expect_err("not whole");
        let read = async |id: &str| {
            let mut pieces = copies.open(id).expect("readable")?;
            let mut bytes = Vec::new();
            while let Some(piece) = pieces.recv().await {
                bytes.extend_from_slice(&piece);
            }
            Some(String::from_utf8(bytes).expect("text"))
        };
        assert_eq!(read("a").await.as_deref(), Some("{\"kind\":\"profile\"}\n{\"kind\":\"end\"}\n"));
        assert_eq!(read("c").await, None);
        assert_eq!(copies.forget(&BTreeSet::from([print(1), print(9)])).await.expect("forgotten"), 1);
        assert_eq!((read("a").await, read("b").await.is_some()), (None, true));

        let ann = Who::Identifier("email".into(), "ann@shop.example".into());
        copies.want("d", std::slice::from_ref(&ann)).expect("wanted");
        let mode = std::fs::metadata(folder.path().join("rights/d.wanted")).expect("it is there").permissions().mode();
        assert_eq!((copies.wanted("d").expect("readable"), mode & 0o777), (Some(vec![ann]), 0o600));
        copies.remove("d").expect("removed");
        assert_eq!(copies.wanted("d").expect("readable"), None);
    }
}
