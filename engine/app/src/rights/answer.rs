//! What is answered and told: the shapes of the framework, and the signature over their bytes.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::rand::SystemRandom;
use ring::signature::RSA_PKCS1_SHA256;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weft_domain::value::Timestamp;

use super::Status;
use crate::config::OpenDsr;
use crate::config::connection::rsa_key;

/// The version of the framework that these pages speak.
pub const VERSION: &str = "3.0";

/// That a request has been taken (section 7.3).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Receipt {
    /// Who the company is.
    pub controller_id: String,
    /// Until when it is expected to be completed.
    pub expected_completion_time: Timestamp,
    /// When it arrived.
    pub received_time: Timestamp,
    /// The request's body in base64. It is not kept.
    pub encoded_request: String,
    /// The request's id.
    pub subject_request_id: String,
    /// What its group is called, where it has one.
    pub group_id: Option<String>,
}

/// How far a request is (section 8.3).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Shown {
    /// Who the company is.
    pub controller_id: String,
    /// Until when it is expected to be completed; none of one that was cancelled.
    pub expected_completion_time: Option<Timestamp>,
    /// The request's id.
    pub subject_request_id: String,
    /// What its group is called, where it has one.
    pub group_id: Option<String>,
    /// How far it is.
    pub request_status: Status,
    /// The version of the framework.
    pub api_version: String,
    /// Where the result can be downloaded, as long as it can: lines of JSON.
    pub results_url: Option<String>,
    /// How many things are known, where the result is there.
    pub results_count: Option<u64>,
    /// Always none: there is nothing to say beyond what the framework has.
    pub extensions: Option<()>,
}

/// What is told of a change of status (section 8.6).
#[derive(Clone, Debug, Serialize)]
pub(super) struct Told {
    /// What is shown of it.
    #[serde(flatten)]
    pub shown: Shown,
    /// Where it is told, so that nobody can pass it on to another.
    pub status_callback_url: String,
}

/// That a request has been called off (section 9.2).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Cancellation {
    /// Who the company is.
    pub controller_id: String,
    /// None: it will not be completed.
    pub expected_completion_time: Option<Timestamp>,
    /// When it was called off.
    pub received_time: Timestamp,
    /// The request's id.
    pub subject_request_id: String,
    /// The version of the framework.
    pub api_version: String,
}

/// What is supported (section 6.3).
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Discovery {
    /// The version of the framework.
    pub api_version: String,
    /// Types of identities.
    pub supported_identities: Vec<SupportedIdentity>,
    /// Types of requests.
    pub supported_subject_request_types: Vec<super::Kind>,
    /// Where the certificate is by which signatures are checked.
    pub processor_certificate: String,
}

/// A type of identity.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SupportedIdentity {
    /// Its name.
    pub identity_type: String,
    /// How a value is written: `raw`.
    pub identity_format: String,
}

/// Why a request was refused (section 7.6).
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Refused {
    error: Wrong,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
struct Wrong {
    /// The status of the answer.
    code: u16,
    /// For people.
    message: String,
    /// Each thing that is wrong.
    errors: Vec<Detail>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Detail {
    domain: String,
    reason: String,
    message: String,
}

impl Detail {
    /// Something that a request says.
    pub(super) fn new(reason: &str, message: impl Into<String>) -> Detail {
        Detail { domain: "Validation".into(), reason: reason.into(), message: message.into() }
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }
}

/// Why a request is refused, with the status of the answer.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The status of the answer.
    pub code: u16,
    /// For people.
    pub message: String,
    /// Each thing that is wrong.
    pub details: Vec<Detail>,
}

impl Refusal {
    pub(super) fn new(code: u16, message: impl Into<String>) -> Refusal {
        Refusal { code, message: message.into(), details: Vec::new() }
    }

    /// As the framework writes it.
    #[must_use]
    pub fn shown(self) -> Refused {
        let Refusal { code, message, details: errors } = self;
        Refused { error: Wrong { code, message, errors } }
    }
}

/// The signature over the bytes of a body: RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, section 8.2), in base64.
///
/// # Errors
/// Why the key cannot sign, without a word of it.
pub fn signature(terms: &OpenDsr, body: &[u8]) -> Result<String, &'static str> {
    let key = rsa_key(&terms.key)?;
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), body, &mut signature).map_err(|_| "it cannot sign")?;
    Ok(BASE64_STANDARD.encode(signature))
}
