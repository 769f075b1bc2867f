//! Connections as they are written: addresses, credentials, rates, and the way there.

use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::super::units::{Duration, Rate};
use super::{SecretText, ValueText};

/// An address of the outside, and how to be let in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectionSpec {
    /// What every request begins with, such as `https://slack.com/api/`.
    pub base_url: BaseUrl,
    /// The credentials, which the host adds to each request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthSpec>,
    /// Headers of each request, in place of what the plugin says there. Their values may hold secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "headers")]
    pub headers: BTreeMap<String, ValueText>,
    /// How many requests are sent at most, by all stages together that name this connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<Rate>,
    /// How long an answer may take, waits and retries included.
    #[serde(default = "default_timeout")]
    pub timeout: Duration,
    /// How often a request is tried again where that changes nothing: nothing of it was sent, or it is a GET, HEAD, PUT or DELETE, or
    /// has an `Idempotency-Key`, and there was no answer or one of 429, 502, 503 or 504.
    #[serde(default = "default_retries")]
    #[schemars(range(max = 5))]
    pub retries: u32,
    /// The HTTP proxy that everything goes through, such as `http://proxy.example:3128`, or with a user and a secret,
    /// `"http://weft:${secret:PROXY}@proxy.example:3128"`. Variables such as `HTTPS_PROXY` are not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy: Option<ValueText>,
    /// Whom to trust, and who one is, in TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<TlsSpec>,
    /// Whether its address may lie in a private network. That opens the way into it: whoever decides where the name of `base_url` leads
    /// decides which machine at this port the plugin's requests reach. A cloud's metadata address stays closed.
    #[serde(default)]
    pub allow_private: bool,
}

fn default_timeout() -> Duration {
    Duration::from_ms(30_000)
}

fn default_retries() -> u32 {
    2
}

/// The schema of headers by name.
fn headers(generator: &mut SchemaGenerator) -> Schema {
    let value = generator.subschema_for::<ValueText>();
    json_schema!({
        "type": "object",
        "propertyNames": { "pattern": HEADER_PATTERN },
        "additionalProperties": value,
        "maxProperties": 32,
    })
}

/// What the name of a header looks like (RFC 9110, section 5.1).
pub const HEADER_PATTERN: &str = "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$";

/// An `http` or `https` address that requests begin with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct BaseUrl(pub String);

text_schema!(BaseUrl, { "type": "string", "format": "weft-url" });

/// The `http` or `https` address where tokens are had. Nothing but tokens is asked for there.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct TokenUrl(pub String);

text_schema!(TokenUrl, { "type": "string", "format": "weft-token-url" });

/// How to be let in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum AuthSpec {
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer(SecretText),
    /// `Authorization: Basic …` (RFC 7617).
    Basic(BasicSpec),
    /// A header of any name.
    Header(HeaderSpec),
    /// A bearer token that is had for a client's id and secret (RFC 6749, section 4.4).
    #[serde(rename = "oauth2_client_credentials")]
    ClientCredentials(ClientCredentialsSpec),
    /// A bearer token that is had for a refresh token (RFC 6749, section 6). One that comes with it takes the old one's place while the
    /// process lives; it is not stored.
    #[serde(rename = "oauth2_refresh_token")]
    RefreshToken(RefreshTokenSpec),
    /// A bearer token that is had for an assertion, signed with a private key by RS256 (RFC 7523): Salesforce's JWT flow, Google's
    /// service accounts.
    #[serde(rename = "oauth2_jwt_bearer")]
    JwtBearer(JwtBearerSpec),
    /// A signature of each request under a shared secret (HMAC, RFC 2104).
    Hmac(HmacSpec),
    /// AWS Signature Version 4.
    AwsV4(AwsV4Spec),
}

/// A user and a password.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicSpec {
    /// The user; may be empty, and has no colon.
    #[schemars(regex(pattern = "^[^:]*$"))]
    pub user: String,
    /// The password.
    pub password: SecretText,
}

/// A header that holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderSpec {
    /// The header's name, such as `X-Api-Key`.
    #[schemars(regex(pattern = HEADER_PATTERN))]
    pub name: String,
    /// Its value.
    pub value: SecretText,
}

/// What a token is had for: a client's id and secret.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClientCredentialsSpec {
    /// Where tokens are had. It may be at another host than `base_url`.
    pub token_url: TokenUrl,
    /// The client's id.
    pub client_id: ValueText,
    /// The client's secret.
    pub client_secret: SecretText,
    /// What the token is to be good for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Whom the token is for, where the server wants to know (Auth0 does).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Further parameters that the server wants, by name, such as `resource` or `account_id`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// Where id and secret go: into a header, or among the parameters.
    #[serde(default)]
    pub client_auth: ClientAuth,
}

/// Where a client's id and secret go (RFC 6749, section 2.3.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// Into the header `Authorization: Basic …`.
    #[default]
    Basic,
    /// Among the parameters, as `client_id` and `client_secret`.
    Body,
}

/// What a token is had for: a refresh token.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RefreshTokenSpec {
    /// Where tokens are had. It may be at another host than `base_url`.
    pub token_url: TokenUrl,
    /// The client's id.
    pub client_id: ValueText,
    /// The client's secret; public clients have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<SecretText>,
    /// The refresh token.
    pub refresh_token: SecretText,
    /// The scopes to ask for, where they are to be fewer than were granted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Where id and secret go: into a header, or among the parameters. Without a secret the id always goes among the parameters.
    #[serde(default)]
    pub client_auth: ClientAuth,
}

/// What a token is had for: an assertion that is signed with a private key.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JwtBearerSpec {
    /// Where tokens are had. It may be at another host than `base_url`.
    pub token_url: TokenUrl,
    /// Who signs (`iss`): the client's id at Salesforce, the account's e-mail address at Google.
    pub issuer: ValueText,
    /// For whom one acts (`sub`): the user's name at Salesforce; at Google only with domain-wide delegation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<ValueText>,
    /// Whom the assertion is for (`aud`): `https://login.salesforce.com` at Salesforce. Without it: the `token_url`, as Google wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// What the token is to be good for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// The RSA key, in PEM. Line breaks may be written as `\n`, as in Google's JSON.
    pub private_key: SecretText,
    /// The key's id (`kid`), where the server wants to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
}

/// A signature of each request under a shared secret.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HmacSpec {
    /// The shared secret.
    pub secret: SecretText,
    /// The hash.
    #[serde(default)]
    pub algorithm: HmacAlgorithm,
    /// The header that carries the signature, such as `X-Signature`.
    #[schemars(regex(pattern = HEADER_PATTERN))]
    pub header: String,
    /// What is signed: a text with `{body}`, and perhaps `{timestamp}`, `{method}` and `{target}` (path and query), such as
    /// `{timestamp}.{body}` for a receiver that checks as Stripe's do, or `v0:{timestamp}:{body}` for Slack's way.
    #[serde(default = "default_signs")]
    pub signs: SignedText,
    /// How the signature is written.
    #[serde(default)]
    pub encoding: HmacEncoding,
    /// What stands before the signature in the header, such as `sha256=`. May have `{timestamp}` in it, as Stripe's `t={timestamp},v1=`.
    #[serde(default)]
    pub prefix: PrefixText,
    /// A header that carries the time in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = HEADER_PATTERN))]
    pub timestamp_header: Option<String>,
}

fn default_signs() -> SignedText {
    SignedText("{body}".into())
}

/// What is signed, with places for parts of the request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct SignedText(pub String);

/// What stands before a signature, perhaps with a place for the time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub struct PrefixText(pub String);

text_schema!(SignedText, { "type": "string", "format": "weft-signed-text" });
text_schema!(PrefixText, { "type": "string", "format": "weft-signature-prefix" });

/// The hash of an HMAC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HmacAlgorithm {
    /// HMAC-SHA-256.
    #[default]
    Sha256,
    /// HMAC-SHA-1, for receivers that know no other.
    Sha1,
    /// HMAC-SHA-512.
    Sha512,
}

/// How a signature is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HmacEncoding {
    /// In hexadecimal digits, lower case.
    #[default]
    Hex,
    /// In base64, with padding.
    Base64,
}

/// AWS Signature Version 4.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AwsV4Spec {
    /// The region, such as `eu-central-1`.
    pub region: String,
    /// The service as signatures name it, such as `s3`, `kinesis` or `execute-api`.
    pub service: String,
    /// The access key's id.
    pub access_key_id: ValueText,
    /// The access key.
    pub secret_access_key: SecretText,
    /// The token of temporary credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token: Option<SecretText>,
}

/// Whom to trust, and who one is, in TLS.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct TlsSpec {
    /// A file in PEM with certificates of authorities to trust, relative to the workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roots: Option<String>,
    /// Whether the public authorities (Mozilla's list, built in) are trusted too.
    #[serde(default = "default_public_roots")]
    pub public_roots: bool,
    /// A file in PEM with the client's own certificate and those between it and its authority, relative to the workspace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// The private key of `certificate`, in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<SecretText>,
}

fn default_public_roots() -> bool {
    true
}
