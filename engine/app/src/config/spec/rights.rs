//! What people may ask of a company that knows them, and how long it knows somebody who is silent.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::super::units::Duration;
use super::{SecretText, ValueText};

/// Requests of people about what is known of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RightsSpec {
    /// Takes requests in the form of OpenDSR, under `/opendsr/v3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opendsr: Option<OpenDsrSpec>,
}

/// How requests are taken in the form of OpenDSR (formerly OpenGDPR).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenDsrSpec {
    /// The domain under which others reach the engine over `https`, and for which `certificate` was issued, such as `privacy.acme.example`.
    #[schemars(regex(pattern = DOMAIN_PATTERN), length(max = 253))]
    pub domain: String,
    /// The private key of `certificate`, RSA of 2048 bits or more, in PEM. Receipts, statuses and callbacks are signed with it.
    pub key: SecretText,
    /// A file in PEM with the certificate and those between it and its authority, relative to the workspace. It is shown to everybody who
    /// checks a signature.
    pub certificate: String,
    /// Who the company is in answers (`controller_id`); the name of the workspace unless it is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub controller: Option<String>,
    /// Types of identities in requests, and the type of identifier that each is here. Unless it is said: `controller_customer_id` is
    /// `user_id`, and the other types of OpenDSR are those of the same name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub identities: BTreeMap<String, String>,
    /// How long an erasure waits before it begins. As long it can be cancelled.
    #[serde(default = "default_erasure_wait")]
    pub erasure_wait: Duration,
    /// Until when a request is expected to be completed.
    #[serde(default = "default_complete_within")]
    pub complete_within: Duration,
    /// How long the result of a request for access can be downloaded. Then it is removed.
    #[serde(default = "default_results_kept")]
    pub results_kept: Duration,
    /// The way to those who want to hear of a request's status.
    #[serde(default)]
    pub callbacks: CallbacksSpec,
}

/// What a domain looks like: labels of RFC 1123, at least two.
const DOMAIN_PATTERN: &str = "^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";

fn default_erasure_wait() -> Duration {
    Duration::from_ms(0)
}

/// A month: Article 12(3) of the GDPR. The CCPA has 45 days.
fn default_complete_within() -> Duration {
    Duration::from_ms(30 * 86_400_000)
}

fn default_results_kept() -> Duration {
    Duration::from_ms(7 * 86_400_000)
}

/// The way to those who want to hear of a request's status. They are reached over `https` only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CallbacksSpec {
    /// A file in PEM with certificates of authorities to trust beside the public ones, relative to the workspace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roots: Option<String>,
    /// The HTTP proxy that everything goes through, such as `http://proxy.example:3128`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<ValueText>,
    /// Whether their addresses may lie in a private network. Whoever may send requests decides then which machine there is called.
    pub allow_private: bool,
}

/// How long is kept what nobody needs any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionSpec {
    /// Forgets customers of whom nothing was heard for a long time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inactive_profiles: Option<InactiveSpec>,
}

/// When a customer who is silent is forgotten, as if they had never been. They may come again, and begin anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct InactiveSpec {
    /// How long after the latest event; never where this is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Duration>,
    /// How long after the latest event of a customer who has no identifier that proves a login (`login: true`); `after` where this is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anonymous_after: Option<Duration>,
    /// How many are forgotten in an hour at most.
    #[serde(default = "default_per_hour")]
    #[schemars(range(min = 1, max = 100_000))]
    pub per_hour: u32,
}

fn default_per_hour() -> u32 {
    10_000
}
