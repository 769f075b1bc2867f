//! What stands in YAML: the request, where records are, how pages follow each other, and where the last poll stopped.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use weft_plugin::mapping;

/// What is asked, how often for one poll, and what becomes of the records. A path is dotted (`customer.email`) or a JSON pointer
/// (`/customer/e.mail`), within a record; `$` begins at the whole answer.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Config {
    /// What is asked. Texts in it may have `{{ since }}`, `{{ cursor }}`, `{{ page }}`, `{{ offset }}` and `{{ size }}`.
    pub request: Request,
    /// A path to the list of records in an answer; without it, the answer is the list.
    #[serde(default)]
    pub records: Option<Records>,
    /// How pages follow each other. Without it, there is one.
    #[serde(default)]
    pub paging: Option<Paging>,
    /// How only what is new is asked for. Without it, everything is read anew at every poll.
    #[serde(default)]
    pub incremental: Option<Incremental>,
    /// Pages that one poll reads at most; the next one goes on behind them.
    #[serde(default = "pages_max")]
    #[schemars(range(min = 1, max = 10_000))]
    pub pages_max: u32,
    /// What a record becomes.
    #[serde(flatten)]
    pub mapping: mapping::Spec,
}

fn pages_max() -> u32 {
    1_000
}

/// What is asked. A parameter, header or field whose value is missing is left out, such as the cursor of the first page.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The method.
    #[serde(default)]
    pub method: Method,
    /// Below the connection's address, without a query.
    pub path: String,
    /// Parameters of the query.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Headers. Credentials belong to the connection.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Of `POST`: the body, as JSON. A text that is nothing but `{{ page }}` becomes the number.
    #[serde(default)]
    pub body: Option<Value>,
}

/// The methods that ask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// `GET`.
    #[default]
    Get,
    /// `POST`, where a search is one.
    Post,
}

/// Where the records are.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Records {
    /// There, always.
    Path(String),
    /// There, or nowhere.
    Perhaps(Perhaps),
}

/// A list that an answer may do without.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Perhaps {
    /// Its path.
    pub path: String,
    /// Whether an answer without it has no records, and is no mistake.
    #[serde(default)]
    pub optional: bool,
}

/// How pages follow each other.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Paging {
    /// A page says where the next one begins; the request says it again by `{{ cursor }}`.
    Cursor(Cursor),
    /// A page says the address of the next one.
    NextLink(NextLink),
    /// Pages have numbers; the request says `{{ page }}`.
    Page(Numbered),
    /// Records have; the request says `{{ offset }}`.
    Offset(Sized),
}

/// Where the next page begins.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// Its path in the answer.
    #[serde(default)]
    pub path: Option<String>,
    /// Or its path in the last record of a page.
    #[serde(default)]
    pub last: Option<String>,
    /// A path in the answer to what is true where there are more pages.
    #[serde(default)]
    pub more: Option<String>,
}

/// The address of the next page, whole or from its path on.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum NextLink {
    /// In the header `Link`, under `rel="next"` (RFC 8288).
    Header,
    /// At this path in the answer.
    #[serde(untagged)]
    Body(BodyLink),
}

/// An address in the answer.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BodyLink {
    /// Its path.
    pub path: String,
}

/// Pages with numbers.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Numbered {
    /// The number of the first.
    #[serde(default = "one")]
    pub start: u64,
    /// Records of a full page, where the API is told or known: a page with fewer is the last. Without it, an empty one is.
    #[serde(default)]
    pub size: Option<u32>,
    /// A path in the answer to what is true where there are more pages.
    #[serde(default)]
    pub more: Option<String>,
}

fn one() -> u64 {
    1
}

/// Records with numbers, from 0.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sized {
    /// Records of a full page: a page with fewer is the last.
    #[schemars(range(min = 1))]
    pub size: u32,
    /// A path in the answer to what is true where there are more pages.
    #[serde(default)]
    pub more: Option<String>,
}

/// How only what is new is asked for: the request says `{{ since }}`, the newest that earlier polls saw.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Incremental {
    /// A path in a record to what grows: a time of change, or a number.
    pub field: String,
    /// Where the first poll begins. Without it, `{{ since }}` is missing at first.
    #[serde(default)]
    pub start: Option<String>,
    /// How it is written in the request.
    #[serde(default)]
    pub format: Written,
    /// How far before the newest a poll begins, such as `5m`: APIs show changes late, and out of order.
    #[serde(default)]
    pub lookback: Option<String>,
}

/// How an instant is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Written {
    /// `2026-03-01T09:30:00.123Z`.
    #[default]
    Iso,
    /// `2026-03-01T09:30:00Z`, which is never later.
    IsoSeconds,
    /// Seconds since 1970.
    Seconds,
    /// Milliseconds since 1970.
    Milliseconds,
    /// It is no instant but a whole number that grows, such as an id.
    Number,
}
