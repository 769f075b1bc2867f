//! What the matcher says, and what state keeps of it.

use std::sync::Arc;

use weft_domain::claim::{Claim, ClaimId, Verdict};
use weft_domain::input::Input;
use weft_domain::value::Timestamp;
use weft_store::overlay::Overlay;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    Merge,
    Review,
    Apart,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    pub field: String,
    pub level: String,
    pub weight: i32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    pub other: ClaimId,
    pub outcome: Outcome,
    pub weight: i32,
    pub model: u64,
    pub verdict: Option<Verdict>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    pub pair: [ClaimId; 2],
    pub outcome: Outcome,
    pub weight: i32,
    pub prior: i32,
    pub shared: i32,
    pub model: u64,
    pub at: Timestamp,
    pub fields: Vec<Compared>,
}

pub const MATCHING_LANE: &str = "#matching";

pub(super) fn matches_of(_: &Claim) -> &[Match] {
    &[]
}

pub(super) fn input_of(_: Proposal) -> Input {
    Input::Tick(Timestamp(0))
}

pub(super) fn model_input(_: String) -> Input {
    Input::Tick(Timestamp(0))
}

pub(super) fn model_of(_: &Overlay) -> Option<(u64, Arc<str>)> {
    None
}
