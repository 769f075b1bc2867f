//! The bounds of a stage's calls: asked for by the plugin's manifest, overridden by the operator, bounded by the host.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Kind;
use crate::limits;

/// Limits that somebody asks for: a plugin in its manifest, an operator for a stage. What is absent is left to the next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WantedLimits {
    /// Linear memory of an instance, in bytes. Default 64 MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Time of a call in the guest itself, in milliseconds. Default 1,000 for transforms, else 10,000.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub call_ms: Option<u64>,
    /// Records in one batch. Default 1,024.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_records: Option<u32>,
    /// Bytes in one batch. Default 4 MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_bytes: Option<u64>,
    /// Bytes of a request's body, either way. Default 8 MiB.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_bytes: Option<u64>,
}

/// Bounds of one stage's calls, resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory of an instance, all its memories together.
    pub memory_bytes: u64,
    /// Time that a call may spend in the guest itself; waiting for what is lent is not counted. `poll` and `decode` get it
    /// anew with every batch of events they emit.
    pub call_ms: u64,
    /// Records in one batch to `apply` or `deliver`.
    pub batch_records: u32,
    /// Bytes in one batch, and therefore the largest record.
    pub batch_bytes: u64,
    /// The largest body of a request to a source, and of a plugin's own request.
    pub body_bytes: u64,
}

impl Limits {
    /// What a plugin of this kind gets if nobody says otherwise.
    #[must_use]
    pub fn default_for(kind: Kind) -> Self {
        Self {
            memory_bytes: 64 << 20,
            // A transform only computes, and at 1,024 records a call is a few milliseconds. A source or a destination
            // parses bodies and pages of megabytes.
            call_ms: match kind {
                Kind::Transform => 1_000,
                Kind::Source | Kind::Destination => 10_000,
            },
            batch_records: 1_024,
            batch_bytes: 4 << 20,
            body_bytes: 8 << 20,
        }
    }

    /// The ceilings that no manifest and no operator passes; `memory_bytes` is the host's pool slot.
    #[must_use]
    pub fn ceiling(memory_bytes: u64) -> Self {
        Self {
            memory_bytes,
            call_ms: limits::CALL_MS_MAX,
            batch_records: limits::BATCH_RECORDS_MAX,
            batch_bytes: limits::BATCH_BYTES_MAX,
            body_bytes: limits::BODY_BYTES_MAX,
        }
    }

    /// The operator's word over the manifest's over the default, within the ceiling and never zero.
    #[must_use]
    pub fn resolve(kind: Kind, manifest: WantedLimits, operator: WantedLimits, ceiling: Limits) -> Self {
        fn pick<T: Ord + From<u8>>(operator: Option<T>, manifest: Option<T>, default: T, ceiling: T) -> T {
            operator.or(manifest).unwrap_or(default).min(ceiling).max(T::from(1))
        }
        let default = Self::default_for(kind);
        Self {
            memory_bytes: pick(operator.memory_bytes, manifest.memory_bytes, default.memory_bytes, ceiling.memory_bytes),
            call_ms: pick(operator.call_ms, manifest.call_ms, default.call_ms, ceiling.call_ms),
            batch_records: pick(operator.batch_records, manifest.batch_records, default.batch_records, ceiling.batch_records),
            batch_bytes: pick(operator.batch_bytes, manifest.batch_bytes, default.batch_bytes, ceiling.batch_bytes),
            body_bytes: pick(operator.body_bytes, manifest.body_bytes, default.body_bytes, ceiling.body_bytes),
        }
    }

    /// The budget of a call.
    #[must_use]
    pub fn call(&self) -> Duration {
        Duration::from_millis(self.call_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(manifest: Option<u64>, operator: Option<u64>, expected: u64) {
        let of = |memory_bytes| WantedLimits { memory_bytes, ..WantedLimits::default() };
        let limits = Limits::resolve(Kind::Transform, of(manifest), of(operator), Limits::ceiling(256 << 20));
        assert_eq!(limits.memory_bytes, expected, "manifest {manifest:?}, operator {operator:?}");
    }

    #[test]
    fn the_operator_goes_before_the_manifest_and_nobody_past_the_ceiling() {
        check(None, None, 64 << 20);
        check(Some(8 << 20), None, 8 << 20);
        check(Some(8 << 20), Some(16 << 20), 16 << 20);
        check(Some(16 << 20), Some(8 << 20), 8 << 20);
        check(Some(u64::MAX), None, 256 << 20);
        check(None, Some(u64::MAX), 256 << 20);
        check(None, Some(0), 1);
    }
}
