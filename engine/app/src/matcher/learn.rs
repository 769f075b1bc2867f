//! Learning how much each field says, from the customers that there are.
//!
//! What is learned from are groups of claims that hang together by identifiers, and not customers: of those whom matching made one
//! each side is a record of its own, so that a model learns from the pairs that it is for. Where there are many customers, so many are drawn
//! by hash. It works on one thread, and reads state in short looks.

use tokio::runtime::Handle;
use tokio::sync::watch;
use weft_domain::claim::{ClaimId, CustomerId};
use weft_domain::limits::MODEL_BYTES_MAX;
use weft_domain::view::{View, ViewError};
use weft_matching::resolve::learn as learn_from;
use weft_matching::work::on_one_thread;
use weft_matching::{Model, Record};

use super::people::{Person, whose};
use super::rules::Rules;
use crate::limits;
use crate::writer::Ledger;

/// Why nothing was learned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotLearned {
    /// Nobody is compared.
    #[error("nobody is compared here: the workspace has no `identity.matching`")]
    Off,
    /// There are too few people.
    #[error("{0} customers have something to compare, and from fewer than {min} nothing is learned", min = limits::TRAINING_CUSTOMERS_MIN)]
    TooFew(usize),
    /// State cannot be read.
    #[error(transparent)]
    Unread(#[from] ViewError),
    /// What was learned does not hold together.
    #[error("what was learned is not used: {0}")]
    Unsound(String),
    /// Matching has got other fields meanwhile.
    #[error("other fields are compared since, and what was learned is not of them: learn again")]
    OtherFields,
    /// The engine ends.
    #[error("the engine ends")]
    Ended,
}

/// Learns a model: as JSON, for history.
///
/// # Errors
/// [`NotLearned`].
pub(super) fn learn(ledger: Ledger, rules: &Rules, stop: &watch::Receiver<bool>) -> Result<String, NotLearned> {
    let mut records = draw(&ledger, rules, stop)?;
    // Nothing holds state while it takes its time.
    drop(ledger);
    if records.len() < limits::TRAINING_CUSTOMERS_MIN {
        return Err(NotLearned::TooFew(records.len()));
    }
    let mut model = on_one_thread(|| learn_from(&rules.fields, &mut records, |_| ()));
    model.check().map_err(NotLearned::Unsound)?;
    // What is left out counts as a value that hardly anybody has, so the rarest go first.
    let mut kept = weft_matching::limits::FREQUENCIES_MAX;
    loop {
        let json = serde_json::to_string(&model).map_err(|error| NotLearned::Unsound(error.to_string()))?;
        if json.len() <= MODEL_BYTES_MAX {
            return Ok(json);
        }
        kept /= 2;
        model.keep_frequent(kept);
    }
}

/// The records of customers, of so many as are learned from.
fn draw(ledger: &Ledger, rules: &Rules, stop: &watch::Receiver<bool>) -> Result<Vec<Record>, NotLearned> {
    // Then sled has every claim that there is, and claims are looked for there.
    Handle::current().block_on(ledger.commit());
    let untrained = Model::untrained(&rules.fields);
    let customers = ledger.state().totals().customers.max(1);
    // Ids are hashes: those that end below a share of all ends are a share of customers.
    let below = u128::from(u64::MAX) * u128::from(limits::TRAINING_CUSTOMERS_MAX.min(customers)) / u128::from(customers);
    let is_drawn = |claim: &ClaimId| {
        let [.., a, b, c, d, e, f, g, h] = claim.0;
        u128::from(u64::from_be_bytes([a, b, c, d, e, f, g, h])) <= below
    };
    let (mut records, mut after, mut read) = (Vec::new(), None, 0);
    loop {
        let claims = ledger.state().committed_claims(after, limits::CLAIMS_LOOKED_AT_ONCE)?;
        for claim in claims.iter().filter(|claim| is_drawn(claim)) {
            let id = CustomerId::from(*claim);
            let person = {
                let state = ledger.state();
                if whose(&*state, *claim)? != Some(id) {
                    continue;
                }
                Person::read(&*state, id, rules, &untrained)?
            };
            let Some(person) = person else { continue };
            let groups = person.groups();
            records.extend(groups.firsts().map(|first| person.united(&groups, first)).filter(|record| !record.is_empty()));
        }
        if *stop.borrow() {
            return Err(NotLearned::Ended);
        }
        after = claims.last().copied();
        read += claims.len();
        if read >= limits::ROWS_HELD {
            // State holds what was read until its next commit, and where nothing comes in there is none.
            Handle::current().block_on(ledger.commit());
            read = 0;
        }
        if claims.len() < limits::CLAIMS_LOOKED_AT_ONCE {
            return Ok(records);
        }
    }
}
