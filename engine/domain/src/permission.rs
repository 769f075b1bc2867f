//! Whether a destination may be told of somebody, at the moment at which it would be: by what the person has said by then.
//!
//! It is asked when a delivery is about to leave and never before, so that a withdrawal holds for whatever waits ([`crate::consent`] has the
//! rules, the plan says whose they are). Everything here is read and nothing is decided for good: who was withheld today may be told of
//! tomorrow.

use serde::Deserialize;

use crate::claim::{ClaimId, CustomerId};
use crate::consent::{Given, Missing, Rule};
use crate::event::{Event, Kind};
use crate::explain::{claims_of, today, whose};
use crate::identity::Rules;
use crate::profile::given;
use crate::view::{Read, View};

/// What becomes of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permission {
    /// It leaves.
    Granted,
    /// It does not leave.
    Withheld(Missing),
}

impl Permission {
    fn of(judged: Result<(), Missing>) -> Self {
        judged.map_or_else(Permission::Withheld, |()| Permission::Granted)
    }
}

/// What becomes of an event that a destination would be told of. It is judged by whom it is about; one about nobody by what it says itself,
/// and a fact without a person leaves.
///
/// # Errors
/// [`crate::view::ViewError`], where state cannot be read; so for all of these.
pub fn of_event(rule: &Rule, view: &impl View, rules: &Rules, event: &Event) -> Read<Permission> {
    let identifiers = rules.identifying(&event.claims);
    let customer = match view.claim(ClaimId::of(&identifiers)).map(|claim| claim.map(|claim| claim.customer))? {
        Some(customer) => Some(customer),
        // A claim that had to shrink is not known by what the event says.
        None => first(&identifiers, |one| whose(view, &one.kind, &one.value))?,
    };
    let said = match customer {
        Some(customer) => given_by(view, customer)?,
        None if identifiers.is_empty() && event.kind == Kind::Record => return Ok(Permission::Granted),
        None => event.consent.0.iter().map(|(purpose, said)| (purpose.clone(), said.granted)).collect(),
    };
    Ok(Permission::of(rule.judge(&said)))
}

/// What becomes of a profile that a destination would be told, as the fold wrote it down. That somebody turned out to be another counts
/// as of that one. That somebody is to be taken away leaves: the destination has the profile, or it would not have been written down.
#[allow(clippy::missing_errors_doc)]
pub fn of_profile(rule: &Rule, view: &impl View, told: &[u8]) -> Read<Permission> {
    #[derive(Deserialize)]
    struct Named {
        customer_id: CustomerId,
        merged_into: Option<CustomerId>,
        #[serde(default)]
        withdrawn: bool,
    }
    let said = match serde_json::from_slice(told) {
        Ok(Named { withdrawn: true, .. }) => return Ok(Permission::Granted),
        Ok(Named { customer_id, merged_into, .. }) => {
            let id = merged_into.unwrap_or(customer_id);
            given_by(view, today(view, id)?.unwrap_or(id))?
        }
        // What names nobody is of nobody who agreed.
        Err(_) => Given::new(),
    };
    Ok(Permission::of(rule.judge(&said)))
}

/// What a customer agreed to and refused.
#[allow(clippy::missing_errors_doc)]
pub fn given_by(view: &impl View, customer: CustomerId) -> Read<Given> {
    let nodes = claims_of(view, customer)?.iter().map(|claim| view.node(*claim)).collect::<Read<Vec<_>>>()?;
    Ok(given(&nodes.iter().filter_map(|node| node.as_deref()).collect::<Vec<_>>()))
}

fn first<'a, T: 'a, U>(of: impl IntoIterator<Item = &'a T>, look: impl Fn(&'a T) -> Read<Option<U>>) -> Read<Option<U>> {
    of.into_iter().find_map(|one| look(one).transpose()).transpose()
}
