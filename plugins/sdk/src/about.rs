//! What a plugin says about itself, and the manifest that follows from it.
//!
//! The fields of the manifest are documented in `plugins/contract/README.md`; the engine checks them when it installs the plugin.

use schemars::JsonSchema;
use serde_json::{Map, Value, json};

/// What a plugin says about itself. Begin with [`crate::about!`], which takes the rest from `Cargo.toml`:
///
/// ```ignore
/// const ABOUT: About = About { reads: &[Reads::Receive], ..weft_plugin::about!() };
/// ```
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// Lower case letters, digits and dashes.
    pub name: &'static str,
    /// The plugin's own version.
    pub version: &'static str,
    /// One line for a list.
    pub summary: &'static str,
    /// Markdown, to be shown with the plugin: usually `include_str!("../README.md")`.
    pub docs: &'static str,
    /// What it wants to be lent. `log` is always lent, `output` belongs to every source.
    pub capabilities: &'static [Capability],
    /// The limits that it wants.
    pub limits: Limits,
    /// Whether an instance may serve many calls. The default is a fresh one for each, which costs a Rust plugin little.
    pub reuse: bool,
    /// Of a source: the calls that it has.
    pub reads: &'static [Reads],
    /// Of a destination: the streams that it takes, such as `events` and `profiles`.
    pub accepts: &'static [&'static str],
    /// Of a destination: whether it must get batches one after the other, in the order of their positions.
    pub ordered: bool,
    /// Configurations that work.
    pub examples: &'static [Example],
}

/// What a plugin may want to be lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// [`crate::http`]: sources and destinations.
    Http,
    /// [`crate::email`]: destinations.
    Email,
    /// [`crate::crypto`]: sources and destinations.
    Crypto,
    /// [`crate::kv`]: sources and destinations.
    Kv,
    /// [`crate::identity`]: sources.
    Identity,
    /// [`crate::files`]: destinations.
    Files,
}

/// Which calls a source has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// [`crate::Source::receive`].
    Receive,
    /// [`crate::Source::poll`].
    Poll,
    /// [`crate::Source::decode`].
    Decode,
}

/// Limits that a plugin wants; where it names none, the engine's own hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Linear memory of an instance, in bytes.
    pub memory_bytes: Option<u64>,
    /// Time of a call in the plugin itself, in milliseconds.
    pub call_ms: Option<u64>,
    /// Records in one batch.
    pub batch_records: Option<u32>,
    /// Bytes in one batch.
    pub batch_bytes: Option<u64>,
    /// Bytes of a request's body, either way.
    pub body_bytes: Option<u64>,
}

/// A configuration that works, to begin from.
#[derive(Clone, Copy, Debug)]
pub struct Example {
    /// What it shows, in a few words.
    pub title: &'static str,
    /// The block under `config:`, as JSON: usually `include_str!("../examples/….json")`.
    pub config: &'static str,
}

/// The version of the contract that this SDK speaks.
const CONTRACT: &str = "1.0";

impl About {
    /// For [`crate::about!`]: a plugin that wants and has nothing yet.
    #[doc(hidden)]
    #[must_use]
    pub const fn of(package: &'static str, version: &'static str, summary: &'static str) -> Self {
        let name = match package.as_bytes() {
            [b'w', b'e', b'f', b't', b'-', ..] => package.split_at(5).1,
            _ => package,
        };
        let limits = Limits { memory_bytes: None, call_ms: None, batch_records: None, batch_bytes: None, body_bytes: None };
        let (docs, capabilities, reads, accepts, examples) = ("", &[], &[], &[], &[]);
        About { name, version, summary, docs, capabilities, limits, reuse: false, reads, accepts, ordered: false, examples }
    }

    /// The manifest, as JSON text.
    pub(crate) fn manifest<C: JsonSchema>(&self, kind: &str) -> String {
        let capabilities: Vec<&str> = self
            .capabilities
            .iter()
            .map(|capability| match capability {
                Capability::Http => "http",
                Capability::Email => "email",
                Capability::Crypto => "crypto",
                Capability::Kv => "kv",
                Capability::Identity => "identity",
                Capability::Files => "files",
            })
            .collect();
        let reads: Vec<&str> = self
            .reads
            .iter()
            .map(|reads| match reads {
                Reads::Receive => "receive",
                Reads::Poll => "poll",
                Reads::Decode => "decode",
            })
            .collect();
        let examples: Vec<Value> = self
            .examples
            .iter()
            .map(|example| {
                let config: Value =
                    serde_json::from_str(example.config).expect("an example's config is JSON: a test of the plugin says so");
                json!({ "title": example.title, "config": config })
            })
            .collect();
        let mut manifest = json!({
            "name": self.name,
            "version": self.version,
            "kind": kind,
            "contract": CONTRACT,
            "summary": self.summary,
            "config": schemars::schema_for!(C),
            "capabilities": capabilities,
            "limits": self.limits.json(),
            "reuse": self.reuse,
        });
        let fields = manifest.as_object_mut().expect("it was written as an object");
        let mut some = |name: &str, value: Value, there: bool| {
            if there {
                fields.insert(name.to_owned(), value);
            }
        };
        some("reads", json!(reads), !reads.is_empty());
        some("accepts", json!(self.accepts), !self.accepts.is_empty());
        some("ordered", json!(true), self.ordered);
        some("docs", json!(self.docs), !self.docs.is_empty());
        some("examples", json!(examples), !examples.is_empty());
        manifest.to_string()
    }
}

impl Limits {
    fn json(&self) -> Value {
        let fields = [
            ("memory_bytes", self.memory_bytes),
            ("call_ms", self.call_ms),
            ("batch_records", self.batch_records.map(u64::from)),
            ("batch_bytes", self.batch_bytes),
            ("body_bytes", self.body_bytes),
        ];
        let wanted = fields.into_iter().filter_map(|(name, limit)| Some((name.to_owned(), Value::from(limit?))));
        Value::Object(wanted.collect::<Map<String, Value>>())
    }
}
