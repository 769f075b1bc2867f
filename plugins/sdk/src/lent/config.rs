//! Handles that the engine puts into a configuration: secrets and folders.
//!
//! In a plugin's schema they are strings of `format: secret` and `format: folder`. The value never enters the sandbox; the
//! handle is given back to the engine, which knows what it stands for.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::crypto::Algorithm;
use super::engine;
use crate::contract::Failure;

/// A secret of the configuration, which the plugin can use and cannot see. Wants [`crate::Capability::Crypto`].
#[derive(Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Whether the secret is `candidate`, in a time that does not depend on where they differ.
    #[must_use]
    pub fn equals(&self, candidate: &[u8]) -> bool {
        engine::equals(&self.0, candidate)
    }

    /// HMAC (RFC 2104) of the message under the secret.
    ///
    /// # Errors
    /// The engine does not know the secret: the configuration is wrong.
    pub fn hmac(&self, algorithm: Algorithm, message: &[u8]) -> Result<Vec<u8>, Failure> {
        engine::hmac(&self.0, algorithm, message).ok_or_else(|| Failure::config("the secret of the configuration is not there"))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "secret" })
    }
}

/// A folder of the configuration. Wants [`crate::Capability::Files`]. Names in it are plain file names: no separator, no
/// leading dot, to 255 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(transparent)]
pub struct Folder(String);

impl Folder {
    /// The whole file, to 1 MiB; none where there is no such file.
    ///
    /// # Errors
    /// It cannot be read, or is longer.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        engine::read(&self.0, name)
    }

    /// The file's length in bytes; none where there is no such file.
    ///
    /// # Errors
    /// The folder cannot be looked into.
    pub fn size(&self, name: &str) -> Result<Option<u64>, Failure> {
        engine::size(&self.0, name)
    }

    /// Replaces the file as a whole, durably: readers see the old bytes or the new ones.
    ///
    /// # Errors
    /// It could not be written; the old bytes are still there.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Failure> {
        engine::write(&self.0, name, bytes)
    }

    /// Cuts the file to `at` bytes (it is made if absent), appends, and makes it durable. The new length. Repeating the call
    /// changes nothing, which is what makes an append idempotent.
    ///
    /// # Errors
    /// It could not be written, or `at` is past its end.
    pub fn append(&self, name: &str, at: u64, bytes: &[u8]) -> Result<u64, Failure> {
        engine::append(&self.0, name, at, bytes)
    }

    /// Gives the file another name, durably, replacing what has that name.
    ///
    /// # Errors
    /// It still has its old name.
    pub fn rename(&self, from: &str, to: &str) -> Result<(), Failure> {
        engine::rename(&self.0, from, to)
    }

    /// Names in the folder, sorted.
    ///
    /// # Errors
    /// The folder cannot be looked into.
    pub fn list(&self) -> Result<Vec<String>, Failure> {
        engine::list(&self.0)
    }
}

impl JsonSchema for Folder {
    fn schema_name() -> Cow<'static, str> {
        "Folder".into()
    }
    fn inline_schema() -> bool {
        true
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "folder" })
    }
}
