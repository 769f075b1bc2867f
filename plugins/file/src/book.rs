//! What makes a batch that comes twice appear once.
//!
//! The engine delivers at least once: a crash between the file and the receipt brings a batch again. Beside the files of a
//! stream lies a page, `events.state.json`, which says before anything is appended what is about to be:
//!
//! ```json
//! {"version":1,"number":7,"name":"events-2026-03-01-000007.ndjson","date":"2026-03-01","first":120,"at":4096,"end":8192, …}
//! ```
//!
//! Everything before position `first` is in the files, durably. Of file 7, `at` bytes belong to it; what is beyond is the
//! batch that begins at `first`, and is whole where the file has `end` bytes. The page is replaced atomically, then `append`
//! cuts the file to `at`: whatever a crash left there is gone. From this, for a batch that begins at position `p`:
//!
//! - records before `first` are there already, and are passed over;
//! - `p` is `first`: the same batch again, and it goes to the same place;
//! - `p` is after `first`: the last batch is through; it ends at `end`, or, where its bytes are not all there, the engine
//!   gave it up and it is cut off.
//!
//! The growing file is `….part`. A page that names a new file also names the one `before` it, which then gets its own name:
//! the page comes first, so that a batch that filled both is known to be in both. Renaming is made good when the page is
//! read. Positions must grow (the contract says so), and a folder has one writer.
//!
//! Two things begin a new file whatever its size: other columns or another format (`shape`), and a history that began anew. Of
//! that, positions alone would say that everything is there already. But a record that comes again is no younger than the
//! `latest` that was written; one that is, at a position that is taken, belongs to another history.

use serde::{Deserialize, Serialize};
use weft_plugin::{Failure, Folder, log};

use crate::Rotate;
use crate::format::Writer;

/// Bytes at which a run is full, and the most that a line may have: with the line that fills it a run stays within what the
/// engine appends at once, 16 MiB. Batches have a quarter of that; a CSV that names the same large value many times can have
/// more.
pub(crate) const RUN_BYTES_MAX: usize = 7 * 1024 * 1024;

/// The version of the page. It grows with a page that this one's readers would misread.
const VERSION: u32 = 1;

/// A growing file's last name.
const GROWING: &str = ".part";

/// The page of a stream, and what it says.
pub(crate) struct Book<'f> {
    folder: &'f Folder,
    stream: &'f str,
    writer: &'f Writer,
    rotate: &'f Rotate,
    page: Option<Page>,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Page {
    /// [`VERSION`]. The first pages had none.
    #[serde(default = "first_version")]
    version: u32,
    number: u64,
    /// The file's own name, without `.part`.
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    date: Option<String>,
    /// What its lines are like: see [`Writer::shape`].
    shape: u32,
    first: u64,
    at: u64,
    end: u64,
    /// The latest time of all records so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    latest: Option<String>,
    /// The file before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<Finished>,
}

/// What a page of any version says of itself.
#[derive(Deserialize)]
struct Cover {
    #[serde(default = "first_version")]
    version: u32,
}

fn first_version() -> u32 {
    1
}

/// A file that grows no more: its own name, and its length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Finished {
    name: String,
    bytes: u64,
}

/// Records that belong into one file and are appended at once.
pub(crate) struct Run {
    /// The position of the first of them.
    pub(crate) first: u64,
    /// The date of the first of them.
    pub(crate) date: Option<String>,
    /// The latest time of them.
    pub(crate) latest: Option<String>,
    /// Their lines.
    pub(crate) bytes: Vec<u8>,
}

impl Page {
    fn read(name: &str, bytes: &[u8]) -> Result<Self, Failure> {
        let unreadable = |error: serde_json::Error| {
            Failure::config(format!("`{name}` cannot be read ({error}): without it, what comes again would be written twice"))
        };
        // The cover first: a page of another version need not look like one of ours.
        let Cover { version } = serde_json::from_slice(bytes).map_err(unreadable)?;
        if version != VERSION {
            return Err(Failure::config(format!(
                "`{name}` has version {version}, and this plugin knows version {VERSION}: use the plugin that wrote it, or a newer one"
            )));
        }
        serde_json::from_slice(bytes).map_err(unreadable)
    }
}

impl<'f> Book<'f> {
    /// Reads the stream's page. `times` are those of the records that are to be written, by their positions.
    pub(crate) fn open<'t>(
        folder: &'f Folder,
        stream: &'f str,
        writer: &'f Writer,
        rotate: &'f Rotate,
        times: impl IntoIterator<Item = (u64, &'t Option<String>)>,
    ) -> Result<Self, Failure> {
        let name = format!("{stream}.state.json");
        let page = folder.read(&name)?.map(|bytes| Page::read(&name, &bytes)).transpose()?;
        let mut book = Book { folder, stream, writer, rotate, page };
        let Some(page) = &book.page else { return Ok(book) };
        if let Some(before) = &page.before {
            book.finish(before)?;
        }
        let anew = |(position, time): (u64, &Option<String>)| position <= page.first && is_later(time, &page.latest);
        if times.into_iter().any(anew) {
            log::warn(&format!("history began anew: `{}` is finished, and all that comes is written", page.name));
            let (name, end) = (page.name.clone(), book.end(page, book.size(page)?.unwrap_or(0)));
            book.finish(&Finished { name, bytes: end })?;
            book.page = None;
        }
        Ok(book)
    }

    /// Whether the record of a position is in a file for certain.
    pub(crate) fn has(&self, position: u64) -> bool {
        self.page.as_ref().is_some_and(|page| position < page.first)
    }

    /// Whether a record of a date goes where a run goes, and with it.
    pub(crate) fn belongs(&self, run: &Run, date: &Option<String>) -> bool {
        !is_later(date, &run.date) && run.bytes.len() < RUN_BYTES_MAX
    }

    /// Appends a run: to the file that it went to before, if it did, else to the growing file or, where that is finished, to
    /// the next.
    pub(crate) fn write(&mut self, run: Run) -> Result<(), Failure> {
        let Place { number, name, date, at, before, latest } = match self.page.take() {
            None => self.next(self.number_after_all()?, &run, None, None),
            Some(page) => self.place(page, &run)?,
        };
        let mut bytes = run.bytes;
        if at == 0 {
            bytes.splice(..0, self.writer.header().iter().copied());
        }
        let latest = if is_later(&latest, &run.latest) || run.latest.is_none() { latest } else { run.latest };
        let (first, end, shape) = (run.first, at + bytes.len() as u64, self.writer.shape());
        let page = Page { version: VERSION, number, name, date, shape, first, at, end, latest, before };
        let text = serde_json::to_vec(&page).expect("a page is numbers and texts");
        self.folder.write(&format!("{}.state.json", self.stream), &text)?;
        if let Some(before) = &page.before {
            self.finish(before)?;
        }
        self.folder.append(&growing(&page.name), page.at, &bytes)?;
        self.page = Some(page);
        Ok(())
    }

    fn place(&self, page: Page, run: &Run) -> Result<Place, Failure> {
        let size = self.size(&page)?;
        let again = run.first == page.first;
        let at = if again { page.at } else { self.end(&page, size.unwrap_or(0)) };
        // Where somebody took the growing file away, or cut it, what they left is theirs.
        let there = if again { size.unwrap_or(0) >= at } else { size.is_some() };
        if !there {
            return Ok(self.next(page.number + 1, run, None, page.latest));
        }
        let full = !again && (at >= self.rotate.size.0 || is_later(&run.date, &page.date));
        if full || page.shape != self.writer.shape() {
            let before = size.map(|_| Finished { name: page.name, bytes: at });
            return Ok(self.next(page.number + 1, run, before, page.latest));
        }
        // The file before may still have to get its name, where this very run began the file.
        let before = if again { page.before } else { None };
        Ok(Place { number: page.number, name: page.name, date: page.date, at, before, latest: page.latest })
    }

    /// A new file.
    fn next(&self, number: u64, run: &Run, before: Option<Finished>, latest: Option<String>) -> Place {
        let date = run.date.as_ref().map_or(String::new(), |date| format!("{date}-"));
        let name = format!("{}-{date}{number:06}.{}", self.stream, self.writer.extension());
        Place { number, name, date: run.date.clone(), at: 0, before, latest }
    }

    fn size(&self, page: &Page) -> Result<Option<u64>, Failure> {
        self.folder.size(&growing(&page.name))
    }

    /// Where a growing file of this size ends, without what does not belong to it.
    fn end(&self, page: &Page, size: u64) -> u64 {
        if size >= page.end { page.end } else { page.at.min(size) }
    }

    /// Gives a file its own name, without what does not belong to it; does nothing where it has it.
    fn finish(&self, file: &Finished) -> Result<(), Failure> {
        let growing = growing(&file.name);
        let Some(size) = self.folder.size(&growing)? else { return Ok(()) };
        if size > file.bytes {
            self.folder.append(&growing, file.bytes, b"")?;
        }
        self.folder.rename(&growing, &file.name)
    }

    /// The number after the highest that a file of this stream has: without a page nothing of them is known, and none may be
    /// replaced.
    fn number_after_all(&self) -> Result<u64, Failure> {
        let number_of = |name: &String| {
            let rest = name.strip_prefix(self.stream)?.strip_prefix('-')?;
            let rest = rest.strip_suffix(GROWING).unwrap_or(rest);
            let (stem, _) = rest.split_once('.')?;
            stem.rsplit('-').next()?.parse::<u64>().ok()
        };
        Ok(self.folder.list()?.iter().filter_map(number_of).max().unwrap_or(0) + 1)
    }
}

/// Where a run goes.
struct Place {
    number: u64,
    name: String,
    date: Option<String>,
    at: u64,
    before: Option<Finished>,
    latest: Option<String>,
}

fn growing(name: &str) -> String {
    format!("{name}{GROWING}")
}

/// Whether a date, or a time, is after another. Nothing is after a record that has none, nor is such a record after anything.
fn is_later(date: &Option<String>, than: &Option<String>) -> bool {
    match (date, than) {
        (Some(date), Some(than)) => date > than,
        _ => false,
    }
}
