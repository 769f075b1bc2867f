//! What a guest may call: the host's side of every import, in front of what is lent.
//!
//! Each function asks three things in this order: does the manifest ask for it, is the argument within the contract's bounds,
//! and then the lender. A secret's bytes are used here and go no further (invariant 7).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;
use wasmtime::ResourceLimiter;

use crate::contract::wit::imports::{crypto, email, files, http, identity, kv, log, output, types};
use crate::contract::{Capability, Email, Failure, FailureKind, Lent, Level, Limits, Output, Rejection};
use crate::limits;

/// How often a guest has made progress in a call: shared with the meter outside the store.
pub(crate) type Progress = Arc<AtomicU64>;

/// The most that any instance of a stage has used so far.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    pub(crate) memory_bytes: AtomicU64,
    pub(crate) call_us: AtomicU64,
}

/// What an instance is given.
#[derive(Clone)]
pub(crate) struct Grant {
    pub(crate) lent: Arc<dyn Lent>,
    pub(crate) capabilities: Vec<Capability>,
    pub(crate) memory_bytes: u64,
    pub(crate) body_bytes: u64,
    pub(crate) budget: Duration,
    pub(crate) usage: Arc<Usage>,
}

impl Grant {
    pub(crate) fn new(lent: Arc<dyn Lent>, capabilities: &[Capability], limits: &Limits) -> Self {
        Self {
            lent,
            capabilities: capabilities.to_vec(),
            memory_bytes: limits.memory_bytes,
            body_bytes: limits.body_bytes,
            budget: limits.call(),
            usage: Arc::default(),
        }
    }
}

/// The data of a store: what one instance may reach, and what it has used.
pub(crate) struct Guest {
    lent: Arc<dyn Lent>,
    capabilities: Vec<Capability>,
    body_bytes_max: usize,
    output: Option<Arc<dyn Output>>,
    progress: Progress,
    memory: Memory,
    log_lines: u32,
    log_lines_dropped: u64,
    last_error: Option<String>,
}

impl Guest {
    pub(crate) fn new(grant: &Grant) -> Self {
        Self {
            lent: Arc::clone(&grant.lent),
            capabilities: grant.capabilities.clone(),
            body_bytes_max: usize::try_from(grant.body_bytes).unwrap_or(usize::MAX),
            output: None,
            progress: Progress::default(),
            memory: Memory {
                bytes: 0,
                bytes_max: usize::try_from(grant.memory_bytes).unwrap_or(usize::MAX),
                refused: None,
                usage: Arc::clone(&grant.usage),
            },
            log_lines: 0,
            log_lines_dropped: 0,
            last_error: None,
        }
    }

    /// Before a call: its account of lines begins anew.
    pub(crate) fn begin(&mut self, output: Option<Arc<dyn Output>>) {
        self.output = output;
        self.log_lines = 0;
        self.last_error = None;
    }

    /// After a call: what was lent for it is taken back, and dropped lines are told.
    pub(crate) fn end(&mut self) {
        self.output = None;
        let dropped = std::mem::take(&mut self.log_lines_dropped);
        if dropped > 0 {
            self.lent.log(Level::Warn, &format!("{dropped} more lines of this call were not written"));
        }
    }

    /// The guest's last line at level `error` in this call.
    pub(crate) fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    /// How much memory it was refused in this call, if it was.
    pub(crate) fn memory_refused(&self) -> Option<usize> {
        self.memory.refused
    }

    /// How full its memory is.
    pub(crate) fn memory_percent(&self) -> u64 {
        (self.memory.bytes as u64).saturating_mul(100) / (self.memory.bytes_max as u64).max(1)
    }

    pub(crate) fn progress(&self) -> Progress {
        Arc::clone(&self.progress)
    }

    pub(crate) fn limiter(&mut self) -> &mut dyn ResourceLimiter {
        &mut self.memory
    }

    fn ask(&self, capability: Capability) -> Result<(), types::Failure> {
        if self.capabilities.contains(&capability) {
            return Ok(());
        }
        Err(Failure::new(FailureKind::Internal, format!("the manifest does not ask for `{}`", capability.name())).into())
    }

    /// For functions that cannot answer a failure.
    fn insist(&self, capability: Capability) -> wasmtime::Result<()> {
        if self.capabilities.contains(&capability) {
            return Ok(());
        }
        Err(Ungranted(capability.name()).into())
    }
}

/// A host function's word that the guest broke the contract; becomes `CrashKind::BrokenAnswer`.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Broken(pub(crate) String);

/// A host function's word that the guest used what its manifest does not ask for, where no failure can be answered.
#[derive(Debug, thiserror::Error)]
#[error("the plugin used `{0}`, for which its manifest does not ask")]
pub(crate) struct Ungranted(pub(crate) &'static str);

/// Memory and tables of an instance, all together.
struct Memory {
    bytes: usize,
    bytes_max: usize,
    refused: Option<usize>,
    usage: Arc<Usage>,
}

impl ResourceLimiter for Memory {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let after = self.bytes.saturating_add(desired.saturating_sub(current));
        if after > self.bytes_max {
            self.refused = Some(after);
            return Ok(false);
        }
        self.bytes = after;
        self.usage.memory_bytes.fetch_max(after as u64, Ordering::Relaxed);
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= limits::TABLE_ELEMENTS_MAX)
    }

    fn instances(&self) -> usize {
        limits::CORE_INSTANCES_MAX as usize
    }

    fn tables(&self) -> usize {
        limits::TABLES_MAX as usize
    }

    fn memories(&self) -> usize {
        limits::MEMORIES_MAX as usize
    }
}

/// Cuts text to at most `bytes_max` bytes, at a character.
pub(crate) fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        text.truncate(text.floor_char_boundary(bytes_max));
    }
    text
}

fn refused<T>(message: impl Into<String>) -> wasmtime::Result<Result<T, types::Failure>> {
    Ok(Err(Failure::new(FailureKind::Rejected, message).into()))
}

fn answered<T>(answer: Result<T, Failure>) -> wasmtime::Result<Result<T, types::Failure>> {
    Ok(answer.map_err(Into::into))
}

/// Leaves the function with a failure for the guest.
macro_rules! tell {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(failure) => return Ok(Err(failure)),
        }
    };
}

impl types::Host for Guest {}

impl log::Host for Guest {
    async fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        let level = match level {
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        let message = cut(message, limits::LOG_LINE_BYTES_MAX);
        if self.log_lines < limits::LOG_LINES_PER_CALL_MAX {
            self.log_lines += 1;
            self.lent.log(level, &message);
        } else {
            self.log_lines_dropped += 1;
        }
        // Kept even when it is not written: it may be a panic's text.
        if level == Level::Error {
            self.last_error = Some(message);
        }
        Ok(())
    }
}

impl http::Host for Guest {
    async fn send(&mut self, request: http::Request) -> wasmtime::Result<Result<http::Response, types::Failure>> {
        tell!(self.ask(Capability::Http));
        if request.body.len() > self.body_bytes_max {
            return refused(format!("the request's body has more than {} bytes", self.body_bytes_max));
        }
        if request.headers.len() > limits::HEADERS_MAX {
            return refused(format!("the request has more than {} headers", limits::HEADERS_MAX));
        }
        answered(self.lent.http(request.into()).await.map(Into::into))
    }
}

impl email::Host for Guest {
    async fn send(&mut self, message: email::Message) -> wasmtime::Result<Result<email::Outcome, types::Failure>> {
        tell!(self.ask(Capability::Email));
        let message = Email::from(message);
        let recipients = message.to.len() + message.cc.len() + message.bcc.len();
        if recipients > limits::EMAIL_RECIPIENTS_MAX || message.reply_to.len() > limits::EMAIL_RECIPIENTS_MAX {
            return refused(format!("the message has more than {} recipients", limits::EMAIL_RECIPIENTS_MAX));
        }
        if message.headers.len() > limits::EMAIL_HEADERS_MAX {
            return refused(format!("the message has more than {} headers", limits::EMAIL_HEADERS_MAX));
        }
        let bodies = [&message.text, &message.html].into_iter().flatten().map(String::len).sum::<usize>();
        if bodies > self.body_bytes_max {
            return refused(format!("the message has more than {} bytes", self.body_bytes_max));
        }
        answered(self.lent.email(message).await.map(Into::into))
    }

    async fn check(&mut self) -> wasmtime::Result<Result<(), types::Failure>> {
        tell!(self.ask(Capability::Email));
        answered(self.lent.email_check().await)
    }
}

impl crypto::Host for Guest {
    async fn equals(&mut self, secret: String, candidate: Vec<u8>) -> wasmtime::Result<bool> {
        self.insist(Capability::Crypto)?;
        Ok(match self.lent.secret(&secret) {
            // Hashed first, so that not even the lengths differ in time.
            Some(secret) => Sha256::digest(&secret).ct_eq(&Sha256::digest(&candidate)).into(),
            None => false,
        })
    }

    async fn hmac(
        &mut self,
        secret: String,
        algorithm: crypto::Algorithm,
        message: Vec<u8>,
    ) -> wasmtime::Result<Option<Vec<u8>>> {
        self.insist(Capability::Crypto)?;
        Ok(self.lent.secret(&secret).map(|secret| match algorithm {
            crypto::Algorithm::Sha1 => sign::<Hmac<Sha1>>(&secret, &message),
            crypto::Algorithm::Sha256 => sign::<Hmac<Sha256>>(&secret, &message),
            crypto::Algorithm::Sha512 => sign::<Hmac<Sha512>>(&secret, &message),
        }))
    }

    async fn hash(&mut self, algorithm: crypto::Algorithm, message: Vec<u8>) -> wasmtime::Result<Vec<u8>> {
        self.insist(Capability::Crypto)?;
        Ok(match algorithm {
            crypto::Algorithm::Sha1 => Sha1::digest(&message).to_vec(),
            crypto::Algorithm::Sha256 => Sha256::digest(&message).to_vec(),
            crypto::Algorithm::Sha512 => Sha512::digest(&message).to_vec(),
        })
    }
}

fn sign<M: Mac + KeyInit>(secret: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = <M as KeyInit>::new_from_slice(secret).expect("HMAC takes a key of any length (RFC 2104)");
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}

impl Guest {
    fn key(&self, key: &str) -> Result<(), types::Failure> {
        self.ask(Capability::Kv)?;
        if key.is_empty() || key.len() > limits::KV_KEY_BYTES_MAX {
            return Err(Failure::new(
                FailureKind::Rejected,
                format!("a key has 1 to {} bytes, this one {}", limits::KV_KEY_BYTES_MAX, key.len()),
            )
            .into());
        }
        Ok(())
    }

    fn file(&self, names: &[&str]) -> Result<(), types::Failure> {
        self.ask(Capability::Files)?;
        match names.iter().find(|name| !is_file_name(name)) {
            None => Ok(()),
            Some(_) => Err(Failure::new(
                FailureKind::Rejected,
                "a file's name is plain: no separator, no leading dot, no control character, 1 to 255 bytes",
            )
            .into()),
        }
    }
}

/// Whether a name stays in its folder on every system that we know.
fn is_file_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= limits::FILE_NAME_BYTES_MAX
        && !name.starts_with('.')
        && !name.contains(['/', '\\', ':'])
        && !name.contains(char::is_control)
}

impl kv::Host for Guest {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, types::Failure>> {
        tell!(self.key(&key));
        answered(self.lent.kv_get(&key).await)
    }

    async fn set(&mut self, key: String, value: Vec<u8>) -> wasmtime::Result<Result<(), types::Failure>> {
        tell!(self.key(&key));
        if value.len() > limits::KV_VALUE_BYTES_MAX {
            return refused(format!("a value has at most {} bytes, this one {}", limits::KV_VALUE_BYTES_MAX, value.len()));
        }
        answered(self.lent.kv_set(&key, value).await)
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), types::Failure>> {
        tell!(self.key(&key));
        answered(self.lent.kv_delete(&key).await)
    }
}

impl identity::Host for Guest {
    async fn lookup(
        &mut self,
        identifiers: Vec<identity::Identifier>,
    ) -> wasmtime::Result<Result<Option<identity::Known>, types::Failure>> {
        tell!(self.ask(Capability::Identity));
        if identifiers.len() > limits::IDENTIFIERS_LOOKED_UP_MAX {
            let (most, asked) = (limits::IDENTIFIERS_LOOKED_UP_MAX, identifiers.len());
            return refused(format!("at most {most} identifiers are looked up at once, and these are {asked}"));
        }
        let identifiers = identifiers.into_iter().map(Into::into).collect();
        answered(self.lent.lookup(identifiers).await.map(|known| known.map(Into::into)))
    }
}

impl files::Host for Guest {
    async fn read(&mut self, folder: String, name: String) -> wasmtime::Result<Result<Option<Vec<u8>>, types::Failure>> {
        tell!(self.file(&[&name]));
        answered(self.lent.file_read(&folder, &name).await)
    }

    async fn size(&mut self, folder: String, name: String) -> wasmtime::Result<Result<Option<u64>, types::Failure>> {
        tell!(self.file(&[&name]));
        answered(self.lent.file_size(&folder, &name).await)
    }

    async fn write(&mut self, folder: String, name: String, bytes: Vec<u8>) -> wasmtime::Result<Result<(), types::Failure>> {
        tell!(self.file(&[&name]));
        if bytes.len() > limits::FILE_WHOLE_BYTES_MAX {
            return refused(format!("a file is written whole up to {} bytes", limits::FILE_WHOLE_BYTES_MAX));
        }
        answered(self.lent.file_write(&folder, &name, bytes).await)
    }

    async fn append(
        &mut self,
        folder: String,
        name: String,
        at: u64,
        bytes: Vec<u8>,
    ) -> wasmtime::Result<Result<u64, types::Failure>> {
        tell!(self.file(&[&name]));
        if bytes.len() > limits::FILE_APPEND_BYTES_MAX {
            return refused(format!("at most {} bytes are appended at once", limits::FILE_APPEND_BYTES_MAX));
        }
        answered(self.lent.file_append(&folder, &name, at, bytes).await)
    }

    async fn rename(&mut self, folder: String, from: String, to: String) -> wasmtime::Result<Result<(), types::Failure>> {
        tell!(self.file(&[&from, &to]));
        answered(self.lent.file_rename(&folder, &from, &to).await)
    }

    async fn list(&mut self, folder: String) -> wasmtime::Result<Result<Vec<String>, types::Failure>> {
        tell!(self.file(&[]));
        answered(self.lent.file_list(&folder).await)
    }
}

impl output::Host for Guest {
    async fn emit(&mut self, events: Vec<Vec<u8>>) -> wasmtime::Result<Result<(), types::Failure>> {
        let Some(output) = self.output.clone() else {
            return nowhere();
        };
        let events = documents(events, "event").map_err(Broken)?;
        let events_some = !events.is_empty();
        let answer = output.emit(events).await;
        if events_some && answer.is_ok() {
            self.progress.fetch_add(1, Ordering::Relaxed);
        }
        answered(answer)
    }

    async fn refuse(&mut self, records: Vec<output::Refused>) -> wasmtime::Result<Result<(), types::Failure>> {
        let Some(output) = self.output.clone() else {
            return nowhere();
        };
        let refused = refused_fit(records).map_err(Broken)?;
        let refused_some = !refused.is_empty();
        let answer = output.refuse(refused).await;
        if refused_some && answer.is_ok() {
            self.progress.fetch_add(1, Ordering::Relaxed);
        }
        answered(answer)
    }

    async fn checkpoint(&mut self, state: String) -> wasmtime::Result<Result<(), types::Failure>> {
        let Some(output) = self.output.clone() else {
            return nowhere();
        };
        state_fits(&state).map_err(Broken)?;
        answered(output.checkpoint(state).await)
    }
}

fn nowhere() -> wasmtime::Result<Result<(), types::Failure>> {
    Ok(Err(Failure::new(FailureKind::Internal, "`output` is there in `poll` and `decode` only").into()))
}

/// Takes over documents that a guest gave: not too many, not empty, UTF-8. Whether they are JSON is asked by who parses them.
pub(crate) fn documents(documents: Vec<Vec<u8>>, what: &str) -> Result<Vec<Bytes>, String> {
    if documents.len() > limits::EVENTS_PER_CALL_MAX {
        return Err(format!("the plugin gave {} {what}s at once, more than {}", documents.len(), limits::EVENTS_PER_CALL_MAX));
    }
    documents.into_iter().map(|bytes| document(bytes, what)).collect()
}

/// Takes over one document.
pub(crate) fn document(bytes: Vec<u8>, what: &str) -> Result<Bytes, String> {
    if bytes.is_empty() {
        return Err(format!("the plugin gave an empty {what}"));
    }
    match std::str::from_utf8(&bytes) {
        Ok(_) => Ok(Bytes::from(bytes)),
        Err(error) => Err(format!("the plugin gave an {what} that is not UTF-8: {error}")),
    }
}

/// Takes over what a guest refused: not too many, not too long.
fn refused_fit(records: Vec<output::Refused>) -> Result<Vec<(Rejection, Bytes)>, String> {
    if records.len() > limits::EVENTS_PER_CALL_MAX {
        return Err(format!("the plugin refused {} records at once, more than {}", records.len(), limits::EVENTS_PER_CALL_MAX));
    }
    let fits = |refused: output::Refused| {
        if refused.bytes.len() > limits::REFUSED_BYTES_MAX {
            return Err(format!("the plugin refused {} bytes, more than {}", refused.bytes.len(), limits::REFUSED_BYTES_MAX));
        }
        Ok((rejection_fits(refused.rejection.into())?, Bytes::from(refused.bytes)))
    };
    records.into_iter().map(fits).collect()
}

/// A rejection has a code to count by, and a message that is not too long.
pub(crate) fn rejection_fits(rejection: Rejection) -> Result<Rejection, String> {
    if rejection.code.is_empty()
        || rejection.code.len() > limits::CODE_BYTES_MAX
        || !rejection.code.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
    {
        return Err(format!(
            "the plugin's rejection has a code that is not 1 to {} letters in snake case",
            limits::CODE_BYTES_MAX
        ));
    }
    Ok(Rejection { code: rejection.code, message: cut(rejection.message, limits::MESSAGE_BYTES_MAX) })
}

/// A state is JSON and small.
pub(crate) fn state_fits(state: &str) -> Result<(), String> {
    if state.len() > limits::STATE_BYTES_MAX {
        return Err(format!("the plugin's state has {} bytes, more than {}", state.len(), limits::STATE_BYTES_MAX));
    }
    serde_json::from_str::<serde::de::IgnoredAny>(state)
        .map(|_| ())
        .map_err(|error| format!("the plugin's state is not JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_stays_in_its_folder() {
        let longest = "x".repeat(limits::FILE_NAME_BYTES_MAX);
        for name in ["a", "part-0001.ndjson", "ümlaut", "a..b", "with space", &longest] {
            assert!(is_file_name(name), "{name}");
        }
        let longer = "x".repeat(limits::FILE_NAME_BYTES_MAX + 1);
        for name in ["", ".", "..", ".hidden", "a/b", "/a", "a\\b", "c:a", "a\0", "a\nb", &longer] {
            assert!(!is_file_name(name), "{name:?}");
        }
    }

    #[test]
    fn text_is_cut_at_a_character() {
        for (text, bytes_max, expected) in [("abc", 3, "abc"), ("abc", 2, "ab"), ("aé", 2, "a"), ("é", 0, "")] {
            assert_eq!(cut(text.to_owned(), bytes_max), expected);
        }
    }

    #[test]
    fn documents_are_utf_8_and_not_too_many() {
        let of = |bytes: &[u8]| document(bytes.to_vec(), "event").is_ok();
        assert!(of(b"{}"));
        assert!(!of(b"") && !of(b"\xff"));
        assert!(documents(vec![b"1".to_vec(); limits::EVENTS_PER_CALL_MAX], "event").is_ok());
        assert!(documents(vec![b"1".to_vec(); limits::EVENTS_PER_CALL_MAX + 1], "event").is_err());
    }

    #[test]
    fn what_is_refused_has_a_code_and_is_not_too_long() {
        let refused = |code: &str, bytes: usize| output::Refused {
            rejection: types::Rejection { code: code.to_owned(), message: "no".to_owned() },
            bytes: vec![0xff; bytes],
        };
        assert_eq!(refused_fit(vec![refused("a_1", limits::REFUSED_BYTES_MAX)]).unwrap()[0].0.code, "a_1");
        assert!(refused_fit(vec![refused("a", limits::REFUSED_BYTES_MAX + 1)]).is_err());
        assert!(refused_fit(vec![refused("A", 1)]).is_err() && refused_fit(vec![refused("", 1)]).is_err());
        assert!(refused_fit((0..=limits::EVENTS_PER_CALL_MAX).map(|_| refused("a", 1)).collect()).is_err());
    }

    #[test]
    fn a_state_is_json_and_small() {
        assert!(state_fits(r#"{"cursor":"x"}"#).is_ok());
        assert!(state_fits("cursor").is_err() && state_fits("{} {}").is_err());
        assert!(state_fits(&format!("\"{}\"", "x".repeat(limits::STATE_BYTES_MAX))).is_err());
    }

    #[test]
    fn all_memories_of_an_instance_share_one_bound() {
        let mut memory = Memory { bytes: 0, bytes_max: 100, refused: None, usage: Arc::default() };
        for (current, desired, is_granted) in [(0, 60, true), (0, 30, true), (30, 40, true), (60, 61, false)] {
            assert_eq!(memory.memory_growing(current, desired, None).unwrap(), is_granted);
        }
        assert_eq!((memory.bytes, memory.refused), (100, Some(101)));
    }
}
