//! What the engine lends a plugin: functions that it answers.
//!
//! In the sandbox they are imports of the component; natively they are answered by [`crate::testing`]. A plugin that never calls
//! a function does not import its interface. What a plugin wants to call it must name in its
//! [`About::capabilities`](crate::About::capabilities), or the call fails.

pub(crate) mod config;

/// Lines in the engine's log, tagged with the stage. Lines longer than 4 KiB are cut, and past 100 in one call they are
/// counted only.
pub mod log {
    /// Who must act: nobody (`Debug`, `Info`), somebody who looks (`Warn`), somebody now (`Error`).
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Level {
        /// For the plugin's author.
        Debug,
        /// For the curious.
        Info,
        /// Something is odd, and work goes on.
        Warn,
        /// Something is broken.
        Error,
    }

    /// Writes a line.
    pub fn write(level: Level, message: &str) {
        super::engine::log(level, message);
    }

    /// [`Level::Debug`].
    pub fn debug(message: &str) {
        write(Level::Debug, message);
    }

    /// [`Level::Info`].
    pub fn info(message: &str) {
        write(Level::Info, message);
    }

    /// [`Level::Warn`].
    pub fn warn(message: &str) {
        write(Level::Warn, message);
    }

    /// [`Level::Error`].
    pub fn error(message: &str) {
        write(Level::Error, message);
    }
}

/// Requests through the stage's connection. The engine resolves, checks the address, adds credentials, applies the rate limit,
/// follows redirects within the same host only, and caps size and time.
pub mod http {
    use crate::contract::Failure;

    /// As much of an answer as a message should have, in letters.
    const EXCERPT_LETTERS_MAX: usize = 200;

    /// A request to the connection's host.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct Request {
        /// Such as `POST`.
        pub method: String,
        /// A path and query relative to the connection's `base_url`, such as `api/chat.postMessage?pretty=1`.
        pub target: String,
        /// Names in lower case. Credentials are the engine's to add.
        pub headers: Vec<(String, String)>,
        /// As it is sent.
        pub body: Vec<u8>,
        /// At most the connection's own limit.
        pub timeout_ms: Option<u32>,
    }

    /// An answer of any status.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct Response {
        /// Such as 200.
        pub status: u16,
        /// Names in lower case.
        pub headers: Vec<(String, String)>,
        /// Decompressed.
        pub body: Vec<u8>,
    }

    impl Request {
        /// A `GET`.
        pub fn get(target: impl Into<String>) -> Self {
            Request { method: "GET".into(), target: target.into(), ..Request::default() }
        }

        /// A `POST` of JSON text.
        pub fn post_json(target: impl Into<String>, json: impl Into<Vec<u8>>) -> Self {
            let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
            Request { method: "POST".into(), target: target.into(), headers, body: json.into(), timeout_ms: None }
        }

        /// The same request with one more header, whose name is in lower case.
        #[must_use]
        pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
            self.headers.push((name.to_owned(), value.into()));
            self
        }
    }

    impl Response {
        /// The first header of that name, which is in lower case.
        #[must_use]
        pub fn header(&self, name: &str) -> Option<&str> {
            self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
        }

        /// The status and the beginning of the body, in one line: for messages.
        #[must_use]
        pub fn excerpt(&self) -> String {
            let body = String::from_utf8_lossy(&self.body);
            let mut letters = body.trim().chars().map(|letter| if letter.is_control() { ' ' } else { letter });
            let beginning: String = letters.by_ref().take(EXCERPT_LETTERS_MAX).collect();
            let end = if letters.next().is_some() { "…" } else { "" };
            match beginning.is_empty() {
                true => format!("the answer is {}", self.status),
                false => format!("the answer is {}: {beginning}{end}", self.status),
            }
        }

        /// `Retry-After` in seconds. A date needs a clock: with 429 and 503 the engine, which has one, waits by itself.
        #[must_use]
        pub fn retry_after_ms(&self) -> Option<u64> {
            self.header("retry-after")?.trim().parse::<u64>().ok().map(|seconds| seconds.saturating_mul(1000))
        }
    }

    /// Appends a value to a target: all but the unreserved letters of RFC 3986 are percent-encoded, so that it stays one value.
    pub fn push_encoded(target: &mut String, value: &str) {
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                target.push(char::from(byte));
            } else {
                target.push_str(&format!("%{byte:02X}"));
            }
        }
    }

    /// Sends it, and waits for the answer.
    ///
    /// # Errors
    /// There was no answer. An answer of any status is `Ok`.
    pub fn send(request: Request) -> Result<Response, Failure> {
        super::engine::send(request)
    }
}

/// Messages through the stage's connection to a mail server. The engine writes the message, so that no text can become a header or
/// another recipient, and sees to encryption, credentials and the rate limit.
pub mod email {
    use crate::contract::{Failure, Rejection};

    /// A person or a list.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct Mailbox {
        /// Such as `Ann`; empty where there is none.
        pub name: String,
        /// Such as `ann@acme.example`.
        pub address: String,
    }

    /// A message.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
    pub struct Message {
        /// Who says that they wrote it.
        pub from: Mailbox,
        /// To whom. With `cc` and `bcc` to 100: all of them have it, or none.
        pub to: Vec<Mailbox>,
        /// Who is shown to have it as well.
        pub cc: Vec<Mailbox>,
        /// Who has it and is not shown.
        pub bcc: Vec<Mailbox>,
        /// To whom answers go.
        pub reply_to: Vec<Mailbox>,
        /// One line.
        pub subject: String,
        /// As plain text. At least one of this and the next.
        pub text: Option<String>,
        /// As HTML.
        pub html: Option<String>,
        /// Further headers, such as `List-Unsubscribe`, to 32.
        pub headers: Vec<(String, String)>,
        /// Without angle brackets; the same whenever the same message is sent again.
        pub message_id: Option<String>,
    }

    /// What became of it.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub enum Outcome {
        /// The server has taken it.
        Accepted,
        /// The server may take it later: not sooner than these milliseconds.
        Later(u64),
        /// Nobody ever takes it.
        Refused(Rejection),
    }

    /// Sends it, and waits until the server has taken it.
    ///
    /// # Errors
    /// The server takes no message for now, or nobody knows whether it took this one.
    pub fn send(message: Message) -> Result<Outcome, Failure> {
        super::engine::mail(message)
    }

    /// Whether the server is there and lets us in. Sends nothing.
    ///
    /// # Errors
    /// It is not, or does not.
    pub fn check() -> Result<(), Failure> {
        super::engine::mail_check()
    }
}

/// Hashes. What needs a secret is on [`crate::Secret`].
pub mod crypto {
    /// A hash function.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Algorithm {
        /// SHA-1, for old webhooks only.
        Sha1,
        /// SHA-256.
        Sha256,
        /// SHA-512.
        Sha512,
    }

    /// The hash of a message.
    #[must_use]
    pub fn hash(algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
        super::engine::hash(algorithm, message)
    }
}

/// A small durable namespace of the stage's own: keys to 512 bytes, values to 64 KiB, 100,000 keys.
pub mod kv {
    use crate::contract::Failure;

    /// The value under a key.
    ///
    /// # Errors
    /// The namespace cannot be read.
    pub fn get(key: &str) -> Result<Option<Vec<u8>>, Failure> {
        super::engine::kv_get(key)
    }

    /// Keeps a value under a key; durable when it returns.
    ///
    /// # Errors
    /// It could not be kept.
    pub fn set(key: &str, value: &[u8]) -> Result<(), Failure> {
        super::engine::kv_set(key, value)
    }

    /// Forgets a key.
    ///
    /// # Errors
    /// It could not be forgotten.
    pub fn delete(key: &str) -> Result<(), Failure> {
        super::engine::kv_delete(key)
    }
}

/// Who is known. It only reads, as of what the engine has taken in by then.
pub mod identity {
    use crate::contract::Failure;

    /// Identifiers that [`lookup`] takes at once.
    pub const IDENTIFIERS_MAX: usize = 100;

    /// An identifier, as an event would claim it.
    #[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
    pub struct Identifier {
        /// Its type, such as `email`.
        pub kind: String,
        /// Its value.
        pub value: String,
    }

    /// A customer.
    #[derive(Clone, Debug, Default, PartialEq, Eq)]
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

    /// The customer who has the strongest of these identifiers that anybody has; none where nobody has any. Nobody is made.
    ///
    /// # Errors
    /// They are too many, or the engine cannot look them up now.
    pub fn lookup(identifiers: Vec<Identifier>) -> Result<Option<Known>, Failure> {
        super::engine::lookup(identifiers)
    }
}

/// Files in folders that the configuration names: see [`crate::Folder`].
pub mod files {
    /// The length of the longest name, in bytes. A name has no separator and no leading dot.
    pub const NAME_BYTES_MAX: usize = 255;
    /// What [`crate::Folder::read`] gives at most.
    pub const READ_BYTES_MAX: usize = 1024 * 1024;
}

/// Where [`crate::Source::poll`] and [`crate::Source::decode`] put what they read.
pub mod output {
    use crate::contract::{Failure, Rejection};

    /// Records that [`emit`] and [`refuse`] take in one call.
    pub const RECORDS_MAX: usize = 10_000;
    /// Bytes that [`refuse`] takes of one record.
    pub const REFUSED_BYTES_MAX: usize = 1024 * 1024;

    /// Canonical events, one JSON document each. Returns when the engine has taken them: this is the back-pressure.
    ///
    /// # Errors
    /// [`crate::FailureKind::Cancelled`] asks the plugin to return soon; others say that the events were not taken.
    pub fn emit(events: Vec<Vec<u8>>) -> Result<(), Failure> {
        super::engine::emit(events)
    }

    /// What could not become an event: why, and its bytes. Each becomes a dead letter.
    ///
    /// # Errors
    /// As [`emit`].
    pub fn refuse(refused: Vec<(Rejection, Vec<u8>)>) -> Result<(), Failure> {
        super::engine::refuse(refused)
    }

    /// Everything emitted and refused so far is covered by this state, a JSON text. The engine commits it together with those.
    ///
    /// # Errors
    /// It could not be kept.
    pub fn checkpoint(state: &str) -> Result<(), Failure> {
        super::engine::checkpoint(state)
    }
}

#[cfg(target_arch = "wasm32")]
pub(crate) use crate::guest::engine;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use crate::testing::engine;

#[cfg(test)]
mod tests {
    use super::http::{Response, push_encoded};

    #[test]
    fn a_message_has_the_beginning_of_an_answer_in_one_line() {
        let body = format!(" a\n\u{1b}{}", "é".repeat(300));
        let answer = |headers: &[(&str, &str)]| Response {
            status: 400,
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            body: body.clone().into_bytes(),
        };
        assert_eq!(answer(&[]).excerpt(), format!("the answer is 400: a  {}…", "é".repeat(197)));
        assert_eq!(Response { status: 204, ..Response::default() }.excerpt(), "the answer is 204");
        assert_eq!(answer(&[("retry-after", " 7")]).retry_after_ms(), Some(7000));
        assert_eq!(answer(&[("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT")]).retry_after_ms(), None);
    }

    #[test]
    fn a_value_stays_one_in_a_target() {
        let mut target = "a?b=".to_owned();
        push_encoded(&mut target, "é /?&=%+~");
        assert_eq!(target, "a?b=%C3%A9%20%2F%3F%26%3D%25%2B~");
    }
}
