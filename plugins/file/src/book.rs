//! What makes a batch that comes twice appear once.
//!
//! The engine delivers at least once: a crash between the file and the receipt brings a batch again. Beside the files of a
//! stream lies a page, `events.state.json`, which says before anything is appended what is about to be:
//!
//! ```json
//! {"number":7,"date":"2026-03-01","first":120,"at":4096,"end":8192}
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

use serde::{Deserialize, Serialize};
use weft_plugin::{Failure, Folder};

use crate::Rotate;

/// Bytes at which a run is full, and the most that a line may have: with the line that fills it a run stays within what the
/// engine appends at once, 16 MiB. Batches have a quarter of that; a CSV that names the same large value many times can have
/// more.
pub(crate) const RUN_BYTES_MAX: usize = 7 * 1024 * 1024;

/// A growing file's last name.
const GROWING: &str = ".part";

/// The page of a stream, and what it says.
pub(crate) struct Book<'f> {
    folder: &'f Folder,
    stream: &'f str,
    extension: &'static str,
    rotate: &'f Rotate,
    page: Option<Page>,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Page {
    number: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    date: Option<String>,
    first: u64,
    at: u64,
    end: u64,
    /// The file before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<Finished>,
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
    /// Their lines.
    pub(crate) bytes: Vec<u8>,
}

impl<'f> Book<'f> {
    /// Reads the stream's page.
    pub(crate) fn open(
        folder: &'f Folder,
        stream: &'f str,
        extension: &'static str,
        rotate: &'f Rotate,
    ) -> Result<Self, Failure> {
        let name = format!("{stream}.state.json");
        let page: Option<Page> = match folder.read(&name)? {
            None => None,
            Some(bytes) => Some(serde_json::from_slice(&bytes).map_err(|error| {
                Failure::config(format!("`{name}` cannot be read ({error}): without it, what comes again would be written twice"))
            })?),
        };
        let book = Book { folder, stream, extension, rotate, page };
        if let Some(before) = book.page.as_ref().and_then(|page| page.before.as_ref()) {
            book.finish(before)?;
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
    pub(crate) fn write(&mut self, run: Run, header: &[u8]) -> Result<(), Failure> {
        let place = match self.page.take() {
            None => Place { number: self.number_after_all()?, date: run.date, at: 0, before: None },
            Some(page) => self.place(page, &run)?,
        };
        let mut bytes = if place.at == 0 { header.to_vec() } else { Vec::new() };
        bytes.extend_from_slice(&run.bytes);
        let Place { number, date, at, before } = place;
        let page = Page { number, date, first: run.first, at, end: at + bytes.len() as u64, before };
        let text = serde_json::to_vec(&page).expect("a page is numbers and texts");
        self.folder.write(&format!("{}.state.json", self.stream), &text)?;
        if let Some(before) = &page.before {
            self.finish(before)?;
        }
        self.folder.append(&self.growing(&page), page.at, &bytes)?;
        self.page = Some(page);
        Ok(())
    }

    fn place(&self, page: Page, run: &Run) -> Result<Place, Failure> {
        let next = |before| Place { number: page.number + 1, date: run.date.clone(), at: 0, before };
        let size = self.folder.size(&self.growing(&page))?;
        if run.first == page.first {
            // Where somebody took the growing file away, or cut it, what they left is theirs.
            let there = size.unwrap_or(0) >= page.at;
            return Ok(if there {
                Place { number: page.number, date: page.date, at: page.at, before: page.before }
            } else {
                next(None)
            });
        }
        let Some(size) = size else { return Ok(next(None)) };
        let at = if size >= page.end { page.end } else { page.at.min(size) };
        if at >= self.rotate.size.0 || is_later(&run.date, &page.date) {
            return Ok(next(Some(Finished { name: self.finished(&page), bytes: at })));
        }
        Ok(Place { number: page.number, date: page.date, at, before: None })
    }

    /// Gives a file its own name, without what does not belong to it; does nothing where it has it.
    fn finish(&self, file: &Finished) -> Result<(), Failure> {
        let growing = format!("{}{GROWING}", file.name);
        let Some(size) = self.folder.size(&growing)? else { return Ok(()) };
        if size > file.bytes {
            self.folder.append(&growing, file.bytes, b"")?;
        }
        self.folder.rename(&growing, &file.name)
    }

    /// `events-2026-03-01-000007.ndjson`.
    fn finished(&self, page: &Page) -> String {
        let date = page.date.as_ref().map_or(String::new(), |date| format!("{date}-"));
        format!("{}-{date}{:06}.{}", self.stream, page.number, self.extension)
    }

    fn growing(&self, page: &Page) -> String {
        format!("{}{GROWING}", self.finished(page))
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
    date: Option<String>,
    at: u64,
    before: Option<Finished>,
}

/// Whether a date finishes the file of another. A record without one goes where its neighbours go, and so does one that
/// comes late.
fn is_later(date: &Option<String>, than: &Option<String>) -> bool {
    match (date, than) {
        (Some(date), Some(than)) => date > than,
        _ => false,
    }
}
