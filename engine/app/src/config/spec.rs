//! The sections of a workspace as they are written.
//!
//! These types are the source of `schemas/workspace.schema.json`, by which a file is checked before it is read into them;
//! their docs are what an editor shows. Nothing here resolves anything: a name is a text, a secret is a handle. What the
//! engine works with is [`super::Config`].
//!
//! Sections in `spec/`: `connection.rs`, `stage.rs` (plugins, sources, transforms, destinations), `identity.rs`, `matching.rs`,
//! `attribute.rs` (attributes, traits), `rights.rs` (rights, retention), `scenario.rs` (tests).

/// The schema of a text, in place of what the type is made of.
macro_rules! text_schema {
    ($name:ident, $schema:tt) => {
        impl ::schemars::JsonSchema for $name {
            fn schema_name() -> ::std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(_: &mut ::schemars::SchemaGenerator) -> ::schemars::Schema {
                ::schemars::json_schema!($schema)
            }
        }
    };
}

pub mod attribute;
pub mod connection;
pub mod consent;
pub mod identity;
pub mod matching;
pub mod rights;
pub mod scenario;
pub mod stage;

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::units::Size;
use attribute::{AttributeSpec, TraitSpec};
use connection::ConnectionSpec;
use identity::IdentitySpec;
use rights::{RetentionSpec, RightsSpec};
use scenario::Scenario;
use stage::{DestinationSpec, KeyText, PluginSpec, SourceSpec, TransformSpec};

/// Every section and setting at the top of a file.
pub const SECTIONS: [&str; 20] = [
    "version",
    "name",
    "zone",
    "listen",
    "data",
    "limits",
    "erasure",
    "retention",
    "rights",
    "tokens",
    "trusted_keys",
    "plugins",
    "connections",
    "sources",
    "transforms",
    "identity",
    "attributes",
    "traits",
    "destinations",
    "tests",
];

/// The sections that are mappings of names, which may be spread over files.
pub const NAMED_SECTIONS: [&str; 8] =
    ["tokens", "plugins", "connections", "sources", "transforms", "attributes", "traits", "destinations"];

/// Names that may mean something of the engine's own where a name is expected.
pub const RESERVED_NAMES: [&str; 9] =
    ["all", "none", "any", "weft", "identity", "history", "intake", "best_channel", "best_hour"];

/// What a name looks like. The dot is kept for parts of a stage.
pub const NAME_PATTERN: &str = "^[a-z][a-z0-9_-]{0,62}$";

/// A Weft workspace: what is collected, from where, whose it is, and where it goes.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Weft workspace")]
pub struct WorkspaceSpec {
    /// The version of this format.
    pub version: Version,
    /// The name of the workspace.
    pub name: Name,
    /// The IANA time zone of the company, such as `Europe/Berlin`. Times of day, as in `tests`, are meant in it.
    #[serde(default = "default_zone")]
    pub zone: Zone,
    /// The address that is listened on. One that others can reach requires tokens.
    #[serde(default = "default_listen")]
    pub listen: Listen,
    /// The folder of the logs and the state, relative to the workspace.
    #[serde(default = "default_data")]
    pub data: String,
    /// Bounds that the operator sets.
    #[serde(default)]
    pub limits: LimitsSpec,
    /// What happens after somebody was erased.
    #[serde(default)]
    pub erasure: ErasureSpec,
    /// How long is kept what nobody needs any more.
    #[serde(default)]
    pub retention: RetentionSpec,
    /// What people may ask of a company that knows them, beside what its own operators may.
    #[serde(default)]
    pub rights: RightsSpec,
    /// Who may use the API, by name.
    #[serde(default)]
    #[schemars(schema_with = "named::<TokenSpec>")]
    pub tokens: BTreeMap<String, TokenSpec>,
    /// Public keys, `ed25519:…`. Where there are some, only plugins that one of them signed are used.
    #[serde(default)]
    pub trusted_keys: Vec<KeyText>,
    /// Plugins by the name that stages use for them.
    #[serde(default)]
    #[schemars(schema_with = "named::<PluginSpec>")]
    pub plugins: BTreeMap<String, PluginSpec>,
    /// Addresses and credentials of the outside, by name. The only place for them: plugins never see a credential.
    #[serde(default)]
    #[schemars(schema_with = "named::<ConnectionSpec>")]
    pub connections: BTreeMap<String, ConnectionSpec>,
    /// Where events come from, by name.
    #[serde(default)]
    #[schemars(schema_with = "named::<SourceSpec>")]
    pub sources: BTreeMap<String, SourceSpec>,
    /// What is done with events before anything else, by name. What no transform reads flows into identity.
    #[serde(default)]
    #[schemars(schema_with = "named::<TransformSpec>")]
    pub transforms: BTreeMap<String, TransformSpec>,
    /// How it is worked out who is who.
    #[serde(default)]
    pub identity: IdentitySpec,
    /// What the events of a customer come to, by name: such as what somebody has spent.
    #[serde(default)]
    #[schemars(schema_with = "named::<AttributeSpec>")]
    pub attributes: BTreeMap<String, AttributeSpec>,
    /// Traits of which more decides than the latest event, by name.
    #[serde(default)]
    #[schemars(schema_with = "traits")]
    pub traits: BTreeMap<String, TraitSpec>,
    /// Where events and profiles go, by name.
    #[serde(default)]
    #[schemars(schema_with = "named::<DestinationSpec>")]
    pub destinations: BTreeMap<String, DestinationSpec>,
    /// Scenarios that `weft test` plays against this configuration.
    #[serde(default)]
    pub tests: Vec<Scenario>,
}

/// The version of the format: 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Version(pub u64);

/// A name: a lower case letter, then lower case letters, digits, `_` and `-`, to 63.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
pub struct Name(pub String);

/// An IANA time zone.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Zone(pub String);

/// An IP address and a port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Listen(pub String);

/// The handle of a secret that stays in the host.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct SecretText(pub String);

/// The handle of a text that may be a secret, and stays in the host like one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ValueText(pub String);

text_schema!(Version, { "const": 1 });
text_schema!(Name, { "type": "string", "pattern": NAME_PATTERN });
text_schema!(Zone, { "type": "string", "format": "weft-zone" });
text_schema!(Listen, { "type": "string", "format": "weft-listen" });
text_schema!(SecretText, { "type": "string", "format": "secret" });
text_schema!(ValueText, { "type": "string", "format": "weft-value" });

pub(super) fn default_zone() -> Zone {
    Zone("UTC".into())
}

pub(super) fn default_listen() -> Listen {
    Listen("127.0.0.1:8080".into())
}

pub(super) fn default_data() -> String {
    "data".into()
}

/// Bounds that the operator sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsSpec {
    /// How many events may wait for the transforms before senders are asked to wait.
    #[schemars(range(min = 1_000))]
    pub intake_lag: u64,
    /// How much of what came in is kept after it was worked on.
    pub intake_kept: Size,
    /// How much of history is kept, about; all of it where this is not given. Events that are let go are no longer shown, and
    /// can no longer be taken back. What a destination or a dead letter still needs is never let go.
    pub history_kept: Option<Size>,
    /// How much of state is kept in memory, beside what was touched lately; the process takes about twice as much. More helps where
    /// many customers come back at random.
    pub state_cache: Size,
    /// How many message ids are remembered, by which repetitions are known. Each takes about 24 bytes of memory.
    #[schemars(range(min = 1_000, max = 100_000_000))]
    pub duplicate_window: u32,
    /// How many requests one sender may make in a second; as many as it likes where this is not given. Further ones are answered with 429.
    /// A sender is an IP address, or of IPv6 a network of 64 bits: behind a proxy all are one, and the proxy is the place for this.
    #[schemars(range(min = 1))]
    pub requests_per_sender: Option<u32>,
}

impl Default for LimitsSpec {
    fn default() -> Self {
        LimitsSpec {
            intake_lag: 5_000_000,
            intake_kept: Size::from_bytes(10 << 30),
            history_kept: None,
            state_cache: Size::from_bytes(64 << 20),
            duplicate_window: u32::try_from(weft_domain::limits::DUPLICATE_WINDOW_EVENTS).expect("it is two million"),
            requests_per_sender: None,
        }
    }
}

/// What happens after somebody was erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ErasureSpec {
    /// Whether events that name an identifier of somebody who was erased are left out, and counted. Where they are not, such an event
    /// begins the person anew.
    pub suppress: bool,
}

impl Default for ErasureSpec {
    fn default() -> Self {
        ErasureSpec { suppress: true }
    }
}

/// A token of the API.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenSpec {
    /// `sha256:` and the SHA-256 of the token in hexadecimal. The token itself is stored nowhere.
    pub hash: TokenHash,
    /// What may be done with it.
    #[schemars(length(min = 1))]
    pub scopes: Vec<Scope>,
}

/// `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct TokenHash(pub String);

text_schema!(TokenHash, { "type": "string", "format": "weft-token-hash" });

/// What may be done with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Send events.
    Ingest,
    /// Look at profiles, deliveries and status.
    Read,
    /// Send requests of people about what is known of them (OpenDSR), follow them, and call them off.
    Rights,
    /// Everything else: reload, replay, erase.
    Admin,
}

/// The schema of a mapping of names.
pub(super) fn named<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    let value = generator.subschema_for::<T>();
    json_schema!({
        "type": "object",
        "propertyNames": { "pattern": NAME_PATTERN },
        "additionalProperties": value,
        "default": {},
    })
}

/// The schema of a mapping of traits, whose names are the senders'.
fn traits(generator: &mut SchemaGenerator) -> Schema {
    let value = generator.subschema_for::<TraitSpec>();
    let name = json_schema!({ "minLength": 1, "maxLength": weft_domain::limits::TRAIT_NAME_BYTES_MAX });
    json_schema!({ "type": "object", "propertyNames": name, "additionalProperties": value, "default": {} })
}

/// The JSON Schema (2020-12) of a workspace: what `schemas/workspace.schema.json` holds.
///
/// That a key may be absent is said by `required` alone: a key that is there has a value, and `null` is none.
#[must_use]
pub fn schema() -> serde_json::Value {
    schema_of::<WorkspaceSpec>()
}

/// The JSON Schema of a document in the same style.
pub(super) fn schema_of<T: JsonSchema>() -> serde_json::Value {
    let generator = schemars::generate::SchemaSettings::draft2020_12()
        .with_transform(schemars::transform::RecursiveTransform(plain))
        .into_generator();
    serde_json::Value::from(generator.into_root_schema_for::<T>())
}

/// Takes `null` out of what a value may be, and formats of Rust's own.
pub fn plain(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(serde_json::Value::Array(types)) = object.get_mut("type") {
        types.retain(|one| one != "null");
        if let [only] = &types[..] {
            let only = only.clone();
            object.insert("type".into(), only);
        }
    }
    if object.get("default").is_some_and(serde_json::Value::is_null) {
        object.remove("default");
    }
    if object.get("format").and_then(|format| format.as_str()).is_some_and(|format| format.starts_with("uint")) {
        object.remove("format");
    }
    if let Some(serde_json::Value::Array(branches)) = object.get_mut("anyOf") {
        branches.retain(|one| one.get("type").is_none_or(|kind| kind != "null"));
        if let [serde_json::Value::Object(only)] = &branches[..] {
            let only = only.clone();
            object.remove("anyOf");
            for (key, value) in only {
                object.entry(key).or_insert(value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_sections_is_that_of_the_schema() {
        let schema = schema();
        let mut listed = SECTIONS.to_vec();
        listed.sort_unstable();
        let properties: Vec<&str> = schema["properties"].as_object().expect("an object").keys().map(String::as_str).collect();
        assert_eq!(properties, listed);
        assert!(NAMED_SECTIONS.iter().all(|name| SECTIONS.contains(name)));
        assert!(!schema.to_string().contains("\"null\""), "a key that is there has a value");
    }
}
