//! What the app lends to a stage: the only ways out of the sandbox.
//!
//! Deny by default: every method answers "not lent" until it is written, so that a lender names exactly what it gives.
//! The sandbox asks a lender only for what the plugin's manifest asks for (invariant 7), after it has checked the bounds of
//! the contract; a lender never sees a name with a separator in it or a value that is too large.
//!
//! A lender bounds its own waits: time spent in these futures is not counted against the plugin's budget.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::{Failure, FailureKind, Rejection};

/// A future that a lender gives. The call into the plugin waits for it; dropping the call drops it.
pub type Lending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How loud a plugin's line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For the plugin's author.
    Debug,
    /// For whoever reads along.
    Info,
    /// For the operator, some day.
    Warn,
    /// For the operator, now. The SDK writes a panic's text at this level before it traps.
    Error,
}

/// A request that a plugin makes through its stage's connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRequest {
    /// Such as `POST`. Not checked here.
    pub method: String,
    /// A path and query relative to the connection's `base_url`. Not checked here.
    pub target: String,
    /// In the plugin's order.
    pub headers: Vec<(String, String)>,
    /// At most the stage's `body_bytes`.
    pub body: Vec<u8>,
    /// What the plugin asks for; the connection's own limit is the ceiling.
    pub timeout_ms: Option<u32>,
}

/// The answer, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpResponse {
    /// The HTTP status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Decompressed, within the connection's bound.
    pub body: Vec<u8>,
}

/// A person or a list that mail goes to or comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// Empty where there is none.
    pub name: String,
    /// Not checked here.
    pub address: String,
}

/// A message that a plugin sends through its stage's connection. Numbers and sizes are within the contract's bounds; nothing else is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    /// Who says that they wrote it.
    pub from: Mailbox,
    /// To whom.
    pub to: Vec<Mailbox>,
    /// Who is shown to have it as well.
    pub cc: Vec<Mailbox>,
    /// Who has it and is not shown.
    pub bcc: Vec<Mailbox>,
    /// To whom answers go.
    pub reply_to: Vec<Mailbox>,
    /// One line.
    pub subject: String,
    /// As plain text.
    pub text: Option<String>,
    /// As HTML.
    pub html: Option<String>,
    /// Further headers.
    pub headers: Vec<(String, String)>,
    /// Without angle brackets.
    pub message_id: Option<String>,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mailed {
    /// The server has taken it.
    Accepted,
    /// The server may take it later: not sooner than these milliseconds.
    Later(u64),
    /// Nobody ever takes it.
    Refused(Rejection),
}

/// An identifier, as an event would claim it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identifier {
    /// Its type, such as `email`.
    pub kind: String,
    /// Its value.
    pub value: String,
}

/// A customer, as a plugin hears of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The customer's id.
    pub customer: String,
    /// Whether the customer has an identifier by which people sign in.
    pub signs_in: bool,
    /// Which of those asked for are the customer's, by their places in the question.
    pub matched: Vec<u32>,
    /// The customer's identifiers, the strongest first.
    pub identifiers: Vec<Identifier>,
}

/// What the app lends to one stage.
pub trait Lent: Send + Sync + 'static {
    /// A line, already cut to [`crate::limits::LOG_LINE_BYTES_MAX`]. Must not block.
    fn log(&self, level: Level, message: &str) {
        let _ = (level, message);
    }

    /// Sends a request through the stage's connection.
    fn http(&self, request: HttpRequest) -> Lending<'_, Result<HttpResponse, Failure>> {
        let _ = request;
        not_lent("no connection is lent to this stage")
    }

    /// Sends a message through the stage's connection.
    fn email(&self, message: Email) -> Lending<'_, Result<Mailed, Failure>> {
        let _ = message;
        not_lent("no connection to a mail server is lent to this stage")
    }

    /// Whether the mail server of the stage's connection is there and lets us in.
    fn email_check(&self) -> Lending<'_, Result<(), Failure>> {
        not_lent("no connection to a mail server is lent to this stage")
    }

    /// The secret behind a handle of this stage's configuration. It stays in the host: the sandbox compares with it and
    /// signs with it.
    fn secret(&self, handle: &str) -> Option<Arc<[u8]>> {
        let _ = handle;
        None
    }

    /// The value of a key in the stage's namespace.
    fn kv_get(&self, key: &str) -> Lending<'_, Result<Option<Vec<u8>>, Failure>> {
        let _ = key;
        not_lent("no key-value namespace is lent to this stage")
    }

    /// Sets a key; durable when it returns. The lender bounds the number of keys.
    fn kv_set(&self, key: &str, value: Vec<u8>) -> Lending<'_, Result<(), Failure>> {
        let _ = (key, value);
        not_lent("no key-value namespace is lent to this stage")
    }

    /// Deletes a key; deleting what is not there is no failure.
    fn kv_delete(&self, key: &str) -> Lending<'_, Result<(), Failure>> {
        let _ = key;
        not_lent("no key-value namespace is lent to this stage")
    }

    /// The customer who has the strongest of these identifiers that anybody has.
    fn lookup(&self, identifiers: Vec<Identifier>) -> Lending<'_, Result<Option<Known>, Failure>> {
        let _ = identifiers;
        not_lent("nobody is looked up for this stage")
    }

    /// The whole file; `None` where there is no such file.
    fn file_read(&self, folder: &str, name: &str) -> Lending<'_, Result<Option<Vec<u8>>, Failure>> {
        let _ = (folder, name);
        not_lent("no folder is lent to this stage")
    }

    /// A file's length in bytes; `None` where there is no such file.
    fn file_size(&self, folder: &str, name: &str) -> Lending<'_, Result<Option<u64>, Failure>> {
        let _ = (folder, name);
        not_lent("no folder is lent to this stage")
    }

    /// Replaces a file as a whole, durably and atomically.
    fn file_write(&self, folder: &str, name: &str, bytes: Vec<u8>) -> Lending<'_, Result<(), Failure>> {
        let _ = (folder, name, bytes);
        not_lent("no folder is lent to this stage")
    }

    /// Cuts a file to `at`, appends, makes it durable; the new length.
    fn file_append(&self, folder: &str, name: &str, at: u64, bytes: Vec<u8>) -> Lending<'_, Result<u64, Failure>> {
        let _ = (folder, name, at, bytes);
        not_lent("no folder is lent to this stage")
    }

    /// Gives a file another name, durably, replacing what has that name.
    fn file_rename(&self, folder: &str, from: &str, to: &str) -> Lending<'_, Result<(), Failure>> {
        let _ = (folder, from, to);
        not_lent("no folder is lent to this stage")
    }

    /// The names in a folder, sorted.
    fn file_list(&self, folder: &str) -> Lending<'_, Result<Vec<String>, Failure>> {
        let _ = folder;
        not_lent("no folder is lent to this stage")
    }
}

/// Where one `poll` or `decode` puts what it reads. Given to the call and not to the stage, since several may run at once.
pub trait Output: Send + Sync + 'static {
    /// Takes events (UTF-8 has been checked, JSON has not). The plugin waits until the future is done: this is the
    /// back-pressure. Answer a failure of kind `cancelled` to ask the plugin to return.
    fn emit(&self, events: Vec<bytes::Bytes>) -> Lending<'_, Result<(), Failure>>;

    /// Takes what could not become an event: why, and its bytes. Each becomes a dead letter, in its place among the events.
    fn refuse(&self, refused: Vec<(Rejection, bytes::Bytes)>) -> Lending<'_, Result<(), Failure>>;

    /// Everything emitted and refused so far in this call is covered by this state (JSON text, checked). Commit both or neither.
    fn checkpoint(&self, state: String) -> Lending<'_, Result<(), Failure>>;
}

/// Lends nothing, and keeps no line.
#[derive(Debug, Clone, Copy, Default)]
pub struct Nothing;

impl Lent for Nothing {}

fn not_lent<'a, T: Send + 'a>(message: &'static str) -> Lending<'a, Result<T, Failure>> {
    Box::pin(std::future::ready(Err(Failure::new(FailureKind::Config, message))))
}
