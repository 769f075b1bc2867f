//! Plugins, and the stages that they run in, as they are written.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use weft_domain::event::Environment;
use weft_domain::value::Json;

use super::super::units::{Duration, Size};
use super::consent::ConsentSpec;

/// A plugin's file, and what it is allowed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PluginSpec {
    /// The `.wasm` file, relative to the workspace. Instead of it: `url` or `oci`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1))]
    pub path: Option<String>,
    /// Where the `.wasm` file was downloaded from. `weft plugin add` pins it in `weft.lock`, and nothing else is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<PluginUrl>,
    /// The artifact of a registry that the `.wasm` file is in, such as `oci://ghcr.io/acme/clearbit:1.2.0`; pinned like `url`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oci: Option<Artifact>,
    /// The public key by which the file must be signed: `ed25519:…`. It goes before the workspace's `trusted_keys`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyText>,
    /// Narrows what the plugin's stages may reach. Without it, each reaches the connection that it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<AllowSpec>,
}

/// The address of a plugin's file: `https`, or `http` on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct PluginUrl(pub String);

/// `oci://`, a registry, a repository, and `:` with a tag or `@` with a digest.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Artifact(pub String);

/// A public key: `ed25519:` and base64.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct KeyText(pub String);

text_schema!(PluginUrl, { "type": "string", "format": "weft-plugin-url" });
text_schema!(Artifact, { "type": "string", "format": "weft-oci" });
text_schema!(KeyText, { "type": "string", "format": "weft-public-key" });

/// What a plugin may reach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AllowSpec {
    /// The connections that stages of this plugin may name.
    #[serde(default)]
    pub http: Vec<String>,
}

/// Where events come from.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceSpec {
    /// The plugin that understands the sender.
    pub plugin: String,
    /// Takes requests at a path of the listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpSpec>,
    /// Asks an API by a schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub poll: Option<PollSpec>,
    /// Reads files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<FileSpec>,
    /// Reads the objects of an S3-compatible bucket, at the address of the source's connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<BucketSpec>,
    /// The connection that the plugin's own requests go through, or where the bucket is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// What the plugin itself wants to know: see its documentation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "block")]
    pub config: Option<Json>,
    /// Where its events count, unless an event says otherwise.
    #[serde(default)]
    pub environment: Environment,
}

/// Requests at a path.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpSpec {
    /// The path, such as `/segment`. What follows it in a request is the plugin's.
    pub path: HttpPath,
}

/// When an API is asked: every so often, at times of the day, or by a schedule of five fields. What was missed meanwhile is asked for at the start.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PollSpec {
    /// So long after the last time, such as `15m`.
    Every(Duration),
    /// At these times of the day, such as `["03:00"]`, by the clocks of the workspace's `zone`.
    At(#[schemars(length(min = 1, max = 96))] Vec<TimeOfDay>),
    /// By the five fields of crontab(5), such as `"*/15 6-22 * * MON-FRI"`, by the clocks of the workspace's `zone`.
    Cron(CronText),
}

/// A time of the day.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct TimeOfDay(pub String);

/// Five fields.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct CronText(pub String);

text_schema!(CronText, { "type": "string", "format": "weft-cron" });
text_schema!(TimeOfDay, { "type": "string", "format": "weft-time" });

/// Files to be read. Packed ones (gzip, zstd) are unpacked, whatever their names are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSpec {
    /// The file, or files, relative to the workspace: `*`, `?`, `[…]` and `**` stand for what they stand for in a shell.
    #[schemars(length(min = 1))]
    pub path: String,
    /// Whether files are followed while they grow, as logs do. Otherwise each is read when it is complete, and again when what is in it is another.
    #[serde(default)]
    pub tail: bool,
    /// How long a file must not have changed before it counts as complete.
    #[serde(default = "default_rest")]
    pub rest: Duration,
    /// How often it is looked for files, where the system does not tell of them by itself.
    #[serde(default = "default_look")]
    pub every: Duration,
}

fn default_rest() -> Duration {
    Duration::from_ms(2_000)
}

fn default_look() -> Duration {
    Duration::from_ms(10_000)
}

/// Objects of a bucket to be read, each once. Packed ones (gzip, zstd) are unpacked, whatever their keys are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BucketSpec {
    /// The folder of the objects, such as `exports/orders/`; all of the bucket where it is empty.
    pub prefix: String,
    /// What the keys end with, such as `.csv.gz`.
    pub suffix: String,
    /// How often it is looked for new objects.
    pub every: Duration,
}

impl Default for BucketSpec {
    fn default() -> Self {
        BucketSpec { prefix: String::new(), suffix: String::new(), every: Duration::from_ms(300_000) }
    }
}

/// A path of the listener.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct HttpPath(pub String);

text_schema!(HttpPath, { "type": "string", "format": "weft-path" });

/// What is done with events.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TransformSpec {
    /// The plugin that does it.
    pub plugin: String,
    /// The sources and transforms that it reads.
    #[schemars(length(min = 1))]
    pub inputs: Vec<String>,
    /// What the plugin itself wants to know: see its documentation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "block")]
    pub config: Option<Json>,
    /// What happens to an event that the plugin fails on, after its retries.
    #[serde(default)]
    pub on_error: OnError,
}

/// What happens to an event that a transform fails on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnError {
    /// It is kept as a dead letter, with its bytes and the reason, and can be replayed.
    #[default]
    DeadLetter,
    /// It goes on as it was.
    Pass,
    /// The pipeline waits until somebody acts.
    Stop,
}

/// Where events and profiles go.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DestinationSpec {
    /// The plugin that speaks to it.
    pub plugin: String,
    /// The connection that the plugin's requests go through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<String>,
    /// What it is fed with.
    pub from: FeedSpec,
    /// What somebody must have agreed to before anything about them is delivered here. Without it, nothing is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consent: Option<ConsentSpec>,
    /// What the plugin itself wants to know: see its documentation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "block")]
    pub config: Option<Json>,
    /// How a failed delivery is tried again.
    #[serde(default)]
    pub retry: RetrySpec,
    /// How deliveries are put together.
    #[serde(default)]
    pub batch: BatchSpec,
    /// How many batches may be under way at once. With one, everything arrives in order; with more, what concerns one customer does.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 16))]
    pub concurrency: u32,
    /// Where the events count that it is fed with: those of development stay away from what customers see.
    #[serde(default)]
    pub environment: Environment,
}

/// What a destination is fed with: at least one of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct FeedSpec {
    /// Events, as they come out of the transforms: `all`, or the names of some, such as `[Order Completed]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<EventsSpec>,
    /// Profiles, whenever they change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profiles: Option<All>,
}

/// All events, or some by name.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum EventsSpec {
    /// Every event.
    All(All),
    /// Events of these names.
    Named(Vec<String>),
}

impl JsonSchema for EventsSpec {
    fn schema_name() -> Cow<'static, str> {
        "EventsSpec".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "const": "all" },
                { "type": "array", "items": { "type": "string", "minLength": 1 }, "minItems": 1 },
            ],
        })
    }
}

/// The word `all`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum All {
    /// Everything there is.
    All,
}

/// How a delivery is tried again that the destination asks to have again. The waits between grow, with jitter. While the
/// destination is not there at all, its deliveries wait and no attempt counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetrySpec {
    /// Attempts before a delivery becomes a dead letter.
    #[schemars(range(min = 1, max = 100))]
    pub attempts: u32,
}

impl Default for RetrySpec {
    fn default() -> Self {
        RetrySpec { attempts: 8 }
    }
}

/// How deliveries are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BatchSpec {
    /// The most deliveries in one.
    #[schemars(range(min = 1, max = 1_024))]
    pub records: u32,
    /// The most bytes in one.
    pub bytes: Size,
    /// How long one that is not full waits for more.
    pub wait: Duration,
}

impl Default for BatchSpec {
    fn default() -> Self {
        BatchSpec { records: 500, bytes: Size::from_bytes(1 << 20), wait: Duration::from_ms(0) }
    }
}

fn one() -> u32 {
    1
}

/// The schema of a plugin's block: the plugin's own, which is checked later.
fn block(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object" })
}
