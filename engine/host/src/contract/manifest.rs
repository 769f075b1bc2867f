//! What a plugin says about itself: the JSON that `describe` answers.
//!
//! Field by field in `plugins/contract/README.md`. A manifest is checked once, when it is read; what holds then is stated
//! in [`Manifest::parse`]. It says nothing that is granted: only what is asked for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{SUPPORTED, WantedLimits};
use crate::limits;

/// What a plugin does, and with that which world it implements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Bytes to events.
    Source,
    /// Events to events.
    Transform,
    /// Deliveries to the outside.
    Destination,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 3] = [Kind::Source, Kind::Transform, Kind::Destination];

    /// Its name, which is also the interface that a plugin of this kind exports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Source => "source",
            Kind::Transform => "transform",
            Kind::Destination => "destination",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// What a plugin may ask to be lent. `log` is always lent; `output` belongs to every source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// Requests through the stage's connection. Sources and destinations.
    Http,
    /// Messages through the stage's connection to a mail server. Destinations.
    Email,
    /// Comparing with and signing by a secret, and hashes. Sources and destinations.
    Crypto,
    /// A small durable namespace. Sources and destinations.
    Kv,
    /// Who is known by identifiers. Sources.
    Identity,
    /// Files in folders of the configuration. Destinations.
    Files,
}

impl Capability {
    /// Its name in the manifest, which is also the interface's.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Capability::Http => "http",
            Capability::Email => "email",
            Capability::Crypto => "crypto",
            Capability::Kv => "kv",
            Capability::Identity => "identity",
            Capability::Files => "files",
        }
    }

    /// Whether a plugin of this kind can have it: what its world imports.
    #[must_use]
    pub fn suits(self, kind: Kind) -> bool {
        match (self, kind) {
            (_, Kind::Transform)
            | (Capability::Email | Capability::Files, Kind::Source)
            | (Capability::Identity, Kind::Destination) => false,
            (_, Kind::Source | Kind::Destination) => true,
        }
    }
}

/// Which of a source's calls mean something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Reads {
    /// Requests at the source's path.
    Receive,
    /// An API, now and then.
    Poll,
    /// Files and streams of bytes.
    Decode,
}

/// What the records of a batch are; see "Streams" in the contract. Open, since streams may be added without a new contract:
/// a plugin is simply never given one that this engine does not have.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Stream(pub String);

impl Stream {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// A configuration that works, to begin from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Example {
    /// What it shows, in a few words.
    pub title: String,
    /// The block under `config:`.
    pub config: serde_json::Value,
}

/// A plugin's manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Lower case letters, digits and dashes, to 63; begins with a letter.
    pub name: String,
    /// The plugin's own version, such as `1.4.0`.
    pub version: String,
    /// Which world it implements.
    pub kind: Kind,
    /// The version of the contract it was built for, such as `1.0`.
    pub contract: String,
    /// One line for a list.
    pub summary: String,
    /// A JSON Schema (2020-12) of the block under `config:`. Strings of `format: secret` and `format: folder` reach the
    /// plugin as handles.
    pub config: serde_json::Value,
    /// What it asks to be lent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<Capability>,
    /// The limits it asks for.
    #[serde(default)]
    pub limits: WantedLimits,
    /// Whether its instances may serve many calls, which suits guests that are slow to start. Default: a fresh one each.
    #[serde(default)]
    pub reuse: bool,
    /// Of a source: the calls that mean something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<Reads>,
    /// Of a destination: the streams it takes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepts: Vec<Stream>,
    /// Of a destination: whether it must get batches one after the other, in the order of their positions.
    #[serde(default)]
    pub ordered: bool,
    /// Markdown, for `weft plugin inspect` and the dashboard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub docs: Option<String>,
    /// Configurations that work.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub examples: Vec<Example>,
}

/// What is wrong with a manifest: for the plugin's author.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestProblem {
    /// Not JSON, or not of this shape.
    #[error("the manifest cannot be read: {0}")]
    Shape(String),
    /// A contract that this engine does not support.
    #[error("the manifest names contract `{contract}`; this engine supports {}", SUPPORTED.join(", "))]
    Contract {
        /// What it names.
        contract: String,
    },
    /// What it says of itself is not what it is.
    #[error("the manifest says that this is a {said}, but the component exports `{exported}`")]
    Kind {
        /// By the manifest.
        said: Kind,
        /// By the component's exports.
        exported: Kind,
    },
    /// A field that breaks its own rule.
    #[error("`{field}` in the manifest {rule}")]
    Field {
        /// The field.
        field: &'static str,
        /// What holds for it, as the end of a sentence.
        rule: String,
    },
}

impl Manifest {
    /// Reads a manifest of a component that exports `exported`. Afterwards: the contract is supported, the kind is the
    /// component's, the name is fit for a path, `config` is an object, capabilities suit the kind, a source reads and a
    /// destination accepts something, and nothing else does.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn parse(json: &str, exported: Kind) -> Result<Self, ManifestProblem> {
        if json.len() > limits::MANIFEST_BYTES_MAX {
            return Err(ManifestProblem::Shape(format!("it has {} bytes, more than {}", json.len(), limits::MANIFEST_BYTES_MAX)));
        }
        let value: serde_json::Value = serde_json::from_str(json).map_err(|error| ManifestProblem::Shape(error.to_string()))?;
        // The version is looked at before the shape: a newer contract may have another.
        if let Some(contract) = value.get("contract").and_then(serde_json::Value::as_str)
            && !SUPPORTED.contains(&contract)
        {
            return Err(ManifestProblem::Contract { contract: contract.chars().take(32).collect() });
        }
        let manifest: Self = serde_json::from_value(value).map_err(|error| ManifestProblem::Shape(error.to_string()))?;
        manifest.check(exported)?;
        Ok(manifest)
    }

    fn check(&self, exported: Kind) -> Result<(), ManifestProblem> {
        let field = |field, rule: &str| Err(ManifestProblem::Field { field, rule: rule.to_owned() });
        if self.kind != exported {
            return Err(ManifestProblem::Kind { said: self.kind, exported });
        }
        if !is_name(&self.name) {
            return field("name", "must be lower case letters, digits and dashes, to 63, beginning with a letter");
        }
        if self.version.is_empty() || self.version.len() > 64 || !self.version.bytes().all(|byte| byte.is_ascii_graphic()) {
            return field("version", "must be a version such as `1.4.0`, to 64 bytes");
        }
        if self.summary.is_empty() || self.summary.len() > 300 || self.summary.contains('\n') {
            return field("summary", "must be one line, to 300 bytes");
        }
        if !self.config.is_object() {
            return field("config", "must be a JSON Schema, which is an object");
        }
        if let Some(capability) = self.capabilities.iter().find(|capability| !capability.suits(self.kind)) {
            return Err(ManifestProblem::Field {
                field: "capabilities",
                rule: format!("asks for `{}`, which is never lent to a {}", capability.name(), self.kind),
            });
        }
        match self.kind {
            Kind::Source if self.reads.is_empty() => field("reads", "must say which of `receive`, `poll`, `decode` it has"),
            Kind::Destination if self.accepts.is_empty() => field("accepts", "must name the streams that it takes"),
            Kind::Transform | Kind::Destination if !self.reads.is_empty() => field("reads", "is for sources"),
            Kind::Source | Kind::Transform if !self.accepts.is_empty() => field("accepts", "is for destinations"),
            Kind::Source | Kind::Transform if self.ordered => field("ordered", "is for destinations"),
            Kind::Source | Kind::Transform | Kind::Destination => Ok(()),
        }
    }

    /// Whether it asks for this.
    #[must_use]
    pub fn asks_for(&self, capability: Capability) -> bool {
        self.capabilities.contains(&capability)
    }

    /// The JSON Schema of a manifest, for `schemas/`.
    #[must_use]
    pub fn schema() -> schemars::Schema {
        schemars::schema_for!(Manifest)
    }
}

fn is_name(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}
