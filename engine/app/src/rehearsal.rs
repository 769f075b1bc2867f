//! A plugin at work with everything outside played in memory: its secrets, folders, small store, and who answers its requests.
//!
//! For those who look at a plugin by itself ([`crate::conformance`], [`crate::cases`]): the sandbox is the real one, and nothing leaves the
//! process unless the [`Peer`] lets it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use weft_host::{
    Email, Failure, FailureKind, HttpRequest, HttpResponse, Identifier, Known, Lending, Lent, Level, Mailed, Output, Rejection,
    Stage, WantedLimits,
};

use crate::config::Block;

/// Lines of a plugin's log that are kept for whoever looks at it.
const LINES_MAX: usize = 1_000;

/// The longest file of a rehearsal, and how many keys its small store has: what a check writes is far below, and what runs wild ends here.
const FILE_BYTES_MAX: usize = 64 << 20;
const KEYS_MAX: usize = 10_000;

/// Who answers a plugin's requests, and takes its mail.
pub trait Peer: Send + Sync + 'static {
    /// One answer.
    fn answer(&self, request: HttpRequest) -> Lending<'_, Result<HttpResponse, Failure>>;

    /// What becomes of a message. Unless it is said otherwise, there is no mail server.
    fn mail(&self, message: Email) -> Lending<'_, Result<Mailed, Failure>> {
        let _ = message;
        ready(Err(no_mail_server()))
    }

    /// Whether the mail server lets us in.
    fn mail_check(&self) -> Lending<'_, Result<(), Failure>> {
        ready(Err(no_mail_server()))
    }
}

fn no_mail_server() -> Failure {
    Failure::new(FailureKind::Unavailable, "no mail server is played here")
}

/// A folder's files by name.
pub type Folder = BTreeMap<String, Vec<u8>>;

/// What is lent to one stage, and what became of it.
pub struct Props {
    secrets: BTreeMap<String, Arc<[u8]>>,
    folders: Vec<String>,
    peer: Arc<dyn Peer>,
    files: Mutex<BTreeMap<String, Folder>>,
    values: Mutex<BTreeMap<String, Vec<u8>>>,
    lines: Mutex<Vec<(Level, String)>>,
}

impl Props {
    /// For a stage with this block.
    #[must_use]
    pub fn new(block: &Block, peer: Arc<dyn Peer>) -> Arc<Props> {
        Arc::new(Props {
            secrets: block.secrets.iter().map(|(handle, secret)| (handle.clone(), (*secret.expose()).into())).collect(),
            folders: block.folders.keys().cloned().collect(),
            peer,
            files: Mutex::default(),
            values: Mutex::default(),
            lines: Mutex::default(),
        })
    }

    /// The stage that uses these.
    #[must_use]
    pub fn stage(self: &Arc<Self>, block: &Block) -> Stage {
        Stage {
            name: "rehearsal".to_owned(),
            config: block.json.clone(),
            lent: Arc::clone(self) as Arc<dyn Lent>,
            limits: WantedLimits::default(),
        }
    }

    /// The folders by their handles, as the plugin left them.
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, Folder> {
        held(&self.files).clone()
    }

    /// What the plugin logged, the first [`LINES_MAX`] lines.
    #[must_use]
    pub fn lines(&self) -> Vec<(Level, String)> {
        held(&self.lines).clone()
    }

    fn with_folder<'a, T: Send + 'a>(
        &self,
        folder: &str,
        work: impl FnOnce(&mut Folder) -> Result<T, Failure>,
    ) -> Lending<'a, Result<T, Failure>> {
        let done = if self.folders.iter().any(|known| known == folder) {
            work(held(&self.files).entry(folder.to_owned()).or_default())
        } else {
            Err(Failure::new(FailureKind::Config, "the folder is not lent to this stage"))
        };
        ready(done)
    }
}

/// What is shared stays readable after a panic elsewhere: it is only data.
fn held<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn ready<'a, T: Send + 'a>(value: T) -> Lending<'a, T> {
    Box::pin(std::future::ready(value))
}

impl Lent for Props {
    fn log(&self, level: Level, message: &str) {
        let mut lines = held(&self.lines);
        if lines.len() < LINES_MAX {
            lines.push((level, message.to_owned()));
        }
    }

    fn http(&self, request: HttpRequest) -> Lending<'_, Result<HttpResponse, Failure>> {
        self.peer.answer(request)
    }

    fn email(&self, message: Email) -> Lending<'_, Result<Mailed, Failure>> {
        self.peer.mail(message)
    }

    fn email_check(&self) -> Lending<'_, Result<(), Failure>> {
        self.peer.mail_check()
    }

    fn secret(&self, handle: &str) -> Option<Arc<[u8]>> {
        self.secrets.get(handle).cloned()
    }

    fn kv_get(&self, key: &str) -> Lending<'_, Result<Option<Vec<u8>>, Failure>> {
        ready(Ok(held(&self.values).get(key).cloned()))
    }

    fn kv_set(&self, key: &str, value: Vec<u8>) -> Lending<'_, Result<(), Failure>> {
        let mut values = held(&self.values);
        if values.len() >= KEYS_MAX && !values.contains_key(key) {
            return ready(Err(Failure::new(FailureKind::Rejected, "the small store is full")));
        }
        values.insert(key.to_owned(), value);
        ready(Ok(()))
    }

    fn kv_delete(&self, key: &str) -> Lending<'_, Result<(), Failure>> {
        held(&self.values).remove(key);
        ready(Ok(()))
    }

    /// Nobody is known: what a source answers then must hold as well.
    fn lookup(&self, _: Vec<Identifier>) -> Lending<'_, Result<Option<Known>, Failure>> {
        ready(Ok(None))
    }

    fn file_read(&self, folder: &str, name: &str) -> Lending<'_, Result<Option<Vec<u8>>, Failure>> {
        self.with_folder(folder, |files| Ok(files.get(name).cloned()))
    }

    fn file_size(&self, folder: &str, name: &str) -> Lending<'_, Result<Option<u64>, Failure>> {
        self.with_folder(folder, |files| Ok(files.get(name).map(|bytes| bytes.len() as u64)))
    }

    fn file_write(&self, folder: &str, name: &str, bytes: Vec<u8>) -> Lending<'_, Result<(), Failure>> {
        self.with_folder(folder, |files| {
            files.insert(name.to_owned(), bytes);
            Ok(())
        })
    }

    fn file_append(&self, folder: &str, name: &str, at: u64, bytes: Vec<u8>) -> Lending<'_, Result<u64, Failure>> {
        self.with_folder(folder, |files| {
            let file = files.entry(name.to_owned()).or_default();
            let length = file.len() as u64;
            let Some(at) = usize::try_from(at).ok().filter(|at| *at <= file.len()) else {
                let message = format!("cannot append at {at}: the file has {length} bytes");
                return Err(Failure::new(FailureKind::Unavailable, message));
            };
            if at + bytes.len() > FILE_BYTES_MAX {
                return Err(Failure::new(FailureKind::Unavailable, "the disk of a rehearsal is full"));
            }
            file.truncate(at);
            file.extend(bytes);
            Ok(file.len() as u64)
        })
    }

    fn file_rename(&self, folder: &str, from: &str, to: &str) -> Lending<'_, Result<(), Failure>> {
        self.with_folder(folder, |files| match files.remove(from) {
            Some(bytes) => {
                files.insert(to.to_owned(), bytes);
                Ok(())
            }
            None => Err(Failure::new(FailureKind::Unavailable, format!("{from}: there is no such file"))),
        })
    }

    fn file_list(&self, folder: &str) -> Lending<'_, Result<Vec<String>, Failure>> {
        self.with_folder(folder, |files| Ok(files.keys().filter(|name| !name.starts_with('.')).cloned().collect()))
    }
}

/// Takes what a source emits.
#[derive(Default)]
pub struct Basket {
    events: Mutex<Vec<Bytes>>,
    refused: Mutex<Vec<(Rejection, Bytes)>>,
    state: Mutex<Option<String>>,
}

impl Basket {
    /// What was emitted, in order.
    #[must_use]
    pub fn events(&self) -> Vec<Bytes> {
        held(&self.events).clone()
    }

    /// What could not become an event, in order.
    #[must_use]
    pub fn refused(&self) -> Vec<(Rejection, Bytes)> {
        held(&self.refused).clone()
    }

    /// The last state that was proposed.
    #[must_use]
    pub fn state(&self) -> Option<String> {
        held(&self.state).clone()
    }
}

impl Output for Basket {
    fn emit(&self, events: Vec<Bytes>) -> Lending<'_, Result<(), Failure>> {
        held(&self.events).extend(events);
        ready(Ok(()))
    }

    fn refuse(&self, refused: Vec<(Rejection, Bytes)>) -> Lending<'_, Result<(), Failure>> {
        held(&self.refused).extend(refused);
        ready(Ok(()))
    }

    fn checkpoint(&self, state: String) -> Lending<'_, Result<(), Failure>> {
        *held(&self.state) = Some(state);
        ready(Ok(()))
    }
}

/// Asks the plugin to stop at its first event.
pub struct Stopping;

impl Output for Stopping {
    fn emit(&self, _: Vec<Bytes>) -> Lending<'_, Result<(), Failure>> {
        ready(Err(Failure::new(FailureKind::Cancelled, "the engine stops")))
    }

    fn refuse(&self, _: Vec<(Rejection, Bytes)>) -> Lending<'_, Result<(), Failure>> {
        ready(Err(Failure::new(FailureKind::Cancelled, "the engine stops")))
    }

    fn checkpoint(&self, _: String) -> Lending<'_, Result<(), Failure>> {
        ready(Err(Failure::new(FailureKind::Cancelled, "the engine stops")))
    }
}

/// What a peer says to everything.
#[derive(Clone, Debug)]
pub struct Reply {
    /// To each request.
    pub http: Result<HttpResponse, Failure>,
    /// To each message.
    pub mail: Result<Mailed, Failure>,
}

/// What a peer was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A request.
    Request(HttpRequest),
    /// To deliver a message.
    Message(Box<Email>),
    /// Whether the mail server lets us in.
    LetIn,
}

/// Says the same to everything, and writes down what was asked.
pub struct Always {
    reply: Reply,
    asked: Mutex<Vec<Asked>>,
}

impl Always {
    /// A peer that says this.
    #[must_use]
    pub fn new(reply: Reply) -> Arc<Always> {
        Arc::new(Always { reply, asked: Mutex::default() })
    }

    /// What it was asked since it was last looked at.
    #[must_use]
    pub fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut *held(&self.asked))
    }

    /// Writes down what is asked; a failure where it is too much.
    fn note(&self, what: Asked) -> Result<(), Failure> {
        let mut asked = held(&self.asked);
        if asked.len() == ASKED_MAX {
            return Err(Failure::new(FailureKind::Cancelled, "the engine stops"));
        }
        asked.push(what);
        Ok(())
    }
}

/// What one call may ask of a peer that says the same to everything. A plugin that follows pages that never end is stopped here.
const ASKED_MAX: usize = 200;

impl Peer for Always {
    fn answer(&self, request: HttpRequest) -> Lending<'_, Result<HttpResponse, Failure>> {
        let noted = self.note(Asked::Request(request));
        ready(noted.and_then(|()| self.reply.http.clone()))
    }

    fn mail(&self, message: Email) -> Lending<'_, Result<Mailed, Failure>> {
        let noted = self.note(Asked::Message(Box::new(message)));
        ready(noted.and_then(|()| self.reply.mail.clone()))
    }

    fn mail_check(&self) -> Lending<'_, Result<(), Failure>> {
        let noted = self.note(Asked::LetIn);
        ready(noted.and_then(|()| self.reply.mail.clone().map(drop)))
    }
}
