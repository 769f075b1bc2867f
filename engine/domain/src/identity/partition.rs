//! Customers as a function of a set of claims.
//!
//! [`partition`] walks the claims of one component of the graph from the earliest to the latest and lets each join what it
//! names, unless a guard objects; then the weakest identifier that stands in the way is set aside and the claim tries again,
//! much as Segment does. Then customers who look alike become one, where the matcher or a person says so and no guard objects, the surest
//! match first. At the end each claim is the customer's who has its strongest identifier. Since the walk is over a sorted set,
//! the order of arrival does not matter (invariant 6), and leaving a claim out gives exactly what would have been without it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::groups::{Asking, Groups, Joining, Sides, name_of};
use super::{OnLogin, OnLogout, Rules};
use crate::claim::{Claim, ClaimId, CustomerId, Guard, IdentifierId, Witness};
use crate::event::Identifier;

/// Where a claim ended up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The customer whom the claim belongs to.
    pub customer: CustomerId,
    /// The identifiers of the claim that the guards kept away from that customer.
    pub set_aside: Vec<(Identifier, Guard)>,
    /// The matches of the claim that a guard keeps from making one customer: the other claim, and the guard.
    pub kept_apart: Vec<(ClaimId, Guard)>,
}

/// Pairs of identifiers of which somebody said that they are not one person's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Separations(BTreeSet<(IdentifierId, IdentifierId)>);

impl Separations {
    /// Notes a pair, in whichever order.
    pub fn insert(&mut self, one: IdentifierId, other: IdentifierId) {
        self.0.insert((one.min(other), one.max(other)));
    }

    /// The pairs that each of these identifiers is one side of.
    fn sides<'a>(&self, claims: &[(ClaimId, &'a Claim)]) -> Sides<'a> {
        let mut sides = Sides::new();
        if self.0.is_empty() {
            return sides;
        }
        for one in claims.iter().flat_map(|(_, claim)| &claim.identifiers) {
            let id = IdentifierId::of(&one.kind, &one.value);
            let side =
                |(pair, (a, b)): (usize, &(IdentifierId, IdentifierId))| (*a == id || *b == id).then_some((pair, *b == id));
            let on: Vec<_> = self.0.iter().enumerate().filter_map(side).collect();
            if !on.is_empty() {
                sides.insert(name_of(one), on);
            }
        }
        sides
    }
}

/// Divides the claims of a component among customers. One placement for each claim, in the order given, which is that of
/// the claims' witnesses, then their ids.
#[must_use]
pub fn partition(rules: &Rules, claims: &[(ClaimId, &Claim)], separations: &Separations) -> Vec<Placement> {
    debug_assert!(claims.is_sorted_by_key(|(id, claim)| (claim.witness(), *id)), "claims come sorted");
    let mut walk = Walk { rules, groups: Groups::new(rules, separations.sides(claims)), alone: BTreeSet::new() };
    let steps = steps(claims);
    let mut placed: Vec<Option<Placed<'_>>> = claims.iter().map(|_| None).collect();
    for step in &steps {
        let claim = claims[step.place].1;
        match step.says {
            Says::Strongest => walk.mention(claim, step.at),
            Says::All => placed[step.place] = Some(walk.place(claim, step.at)),
        }
    }
    let placed: Vec<Placed<'_>> = placed.into_iter().map(|one| one.expect("each claim has a step that says all")).collect();
    let kept_apart = walk.compare(claims, &placed);
    let mut placements = walk.settle(claims, &steps, placed);
    for (place, other, guard) in kept_apart {
        placements[place].kept_apart.push((other, guard));
    }
    placements
}

/// A stop of the walk.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Step<'a> {
    at: &'a Witness,
    id: ClaimId,
    says: Says,
    /// Which claim it is.
    place: usize,
}

/// What of a claim is said at a stop.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Says {
    /// Its strongest identifier: all that is left of what a source told whose word was taken back.
    Strongest,
    /// All of it.
    All,
}

fn steps<'a>(claims: &[(ClaimId, &'a Claim)]) -> Vec<Step<'a>> {
    let mut steps = Vec::with_capacity(claims.len());
    for (place, (id, claim)) in claims.iter().enumerate() {
        steps.extend(claim.struck_witness().map(|at| Step { at, id: *id, says: Says::Strongest, place }));
        steps.push(Step { at: claim.witness(), id: *id, says: Says::All, place });
    }
    steps.sort_unstable();
    steps
}

/// A claim that has been placed: its strongest identifier first.
struct Placed<'a> {
    /// The group that it joined.
    group: usize,
    kept: Vec<&'a Identifier>,
    set_aside: Vec<(Identifier, Guard)>,
}

struct Walk<'a> {
    rules: &'a Rules,
    groups: Groups<'a>,
    /// Identifiers that have been mentioned alone.
    alone: BTreeSet<&'a Identifier>,
}

impl<'a> Walk<'a> {
    /// The identifiers of a claim, the strongest first.
    fn joining(&self, claim: &'a Claim) -> Vec<Joining<'a>> {
        let mut joining: Vec<Joining<'a>> = claim.identifiers.iter().map(|one| Joining { one, leaves: false }).collect();
        joining.sort_by_key(|joining| self.rules.strength(joining.one));
        joining
    }

    /// Lets a claim's strongest identifier be somebody's.
    fn mention(&mut self, claim: &'a Claim, at: &Witness) {
        let mut joining = self.joining(claim);
        joining.truncate(1);
        self.sign_out(&mut joining);
        self.groups.join(&joining, at.occurred);
    }

    /// Lets a claim join what it names, as far as the guards allow.
    fn place(&mut self, claim: &'a Claim, at: &Witness) -> Placed<'a> {
        let mut joining = self.joining(claim);
        let mut set_aside = Vec::new();
        if claim.is_retracted() {
            let others = joining.drain(1.min(joining.len())..).rev();
            set_aside.extend(others.map(|other| (other.one.clone(), Guard::Retracted)));
        }
        let decision = claim.verdict.as_ref().map(|verdict| verdict.decision);
        let asking = Asking { at: at.occurred, decision, compared: false };
        self.sign_out(&mut joining);
        while joining.len() > 1 {
            let Some(guard) = self.groups.objection(&joining, asking) else { break };
            let place = self.to_set_aside(&joining, asking);
            if self.groups.may_leave(&joining, place, guard) && self.would_do(&joining, place, asking) {
                joining[place].leaves = true;
            } else {
                set_aside.push((joining.remove(place).one.clone(), guard));
            }
        }
        let group = self.groups.join(&joining, at.occurred);
        Placed { group, kept: joining.iter().map(|joining| joining.one).collect(), set_aside }
    }

    /// Lets customers become one who look alike, as far as the guards allow: what a person said first, then what weighs most. For each match
    /// that a guard forbids, the place of each of its claims, the other claim, and the guard.
    fn compare(&mut self, claims: &[(ClaimId, &'a Claim)], placed: &[Placed<'a>]) -> Vec<(usize, ClaimId, Guard)> {
        if claims.iter().all(|(_, claim)| claim.matches.is_empty()) {
            return Vec::new();
        }
        let places: BTreeMap<ClaimId, usize> = claims.iter().enumerate().map(|(place, (id, _))| (*id, place)).collect();
        let mut matches: Vec<_> = Vec::new();
        for (place, (id, claim)) in claims.iter().enumerate() {
            let known = claim.matches.iter().filter(|one| one.joins() && one.other > *id);
            matches.extend(known.filter_map(|one| Some((one, [place, *places.get(&one.other)?]))));
        }
        matches.sort_by_key(|(one, [place, other])| (Reverse(one.rank()), claims[*place].0, claims[*other].0));
        let mut kept_apart = Vec::new();
        for (one, pair) in matches {
            let owner = |place: usize| placed[place].kept.first().and_then(|strongest| self.groups.owner(strongest));
            if owner(pair[0]) == owner(pair[1]) {
                continue;
            }
            let joining: Vec<Joining<'a>> =
                pair.iter().filter_map(|place| placed[*place].kept.first()).map(|one| Joining { one, leaves: false }).collect();
            let at = pair.map(|place| claims[place].1.witness().occurred);
            let decision = one.verdict.as_ref().map(|verdict| verdict.decision);
            let asking = Asking { at: at[0].max(at[1]), decision, compared: true };
            match self.groups.objection(&joining, asking) {
                Some(guard) => {
                    kept_apart.push((pair[0], claims[pair[1]].0, guard));
                    kept_apart.push((pair[1], claims[pair[0]].0, guard));
                }
                None => drop(self.groups.join(&joining, asking.at)),
            }
        }
        kept_apart
    }

    /// Has devices leave those who signed out on them. Who mentions one identifier alone says so once: a claim that was taken back
    /// is then as if its events had been filed under that identifier's own claim.
    fn sign_out(&mut self, joining: &mut [Joining<'a>]) {
        let repeats = joining.len() == 1 && !self.alone.insert(joining[0].one);
        if self.rules.on_logout == OnLogout::New && !repeats {
            self.groups.sign_out(joining);
        }
    }

    /// The place of the identifier to set aside: the weakest whose absence satisfies the guards; where no single one does,
    /// the weakest. The strongest always stays.
    fn to_set_aside(&self, joining: &[Joining<'a>], asking: Asking) -> usize {
        let satisfies = |place: &usize| self.groups.objection(&without(joining, *place), asking).is_none();
        let weakest = || (1..joining.len()).rev().find(|place| !joining[*place].leaves).unwrap_or(joining.len() - 1);
        (1..joining.len()).rev().find(satisfies).unwrap_or_else(weakest)
    }

    /// Whether an identifier that leaves whoever has it is in nobody's way any more, as if it were not there.
    fn would_do(&self, joining: &[Joining<'a>], place: usize, asking: Asking) -> bool {
        let mut leaving = joining.to_vec();
        leaving[place].leaves = true;
        self.groups.objection(&leaving, asking) == self.groups.objection(&without(joining, place), asking)
    }

    /// Whose each claim is at the end: the customer's who has its strongest identifier. What it names besides and another has
    /// by now is set aside. A customer's id is that of its earliest claim, of those that did not come with an identifier from
    /// another; where a sign-in begins a customer, of its earliest claim that carries one.
    fn settle(&self, claims: &[(ClaimId, &Claim)], steps: &[Step<'_>], placed: Vec<Placed<'a>>) -> Vec<Placement> {
        let strongest = |one: &Placed<'_>| one.kept.first().and_then(|strongest| self.groups.owner(strongest));
        let of: Vec<Option<usize>> = placed.iter().map(strongest).collect();
        let mut named: BTreeMap<usize, (Rank, ClaimId)> = BTreeMap::new();
        for Step { id, place, .. } in steps {
            let (Some(group), placed) = (of[*place], &placed[*place]) else { continue };
            let signs_in = |one: &&Identifier| self.rules.is_login(&one.kind) && self.groups.owner(one) == Some(group);
            let rank = match self.rules.on_login {
                _ if self.groups.living(placed.group) != group => Rank::Came,
                OnLogin::NewWithHistory if !placed.kept.iter().any(signs_in) => Rank::Stayed,
                _ => Rank::Makes,
            };
            if named.get(&group).is_none_or(|(known, _)| rank < *known) {
                named.insert(group, (rank, *id));
            }
        }
        let settled = claims.iter().zip(placed).zip(of).map(|(((id, _), mut one), group)| {
            let named = group.and_then(|group| named.get(&group)).map(|(_, id)| id);
            let elsewhere = one.kept.iter().filter(|kept| self.groups.owner(kept) != group);
            one.set_aside.extend(elsewhere.map(|kept| (Identifier::clone(kept), Guard::Moved)));
            Placement { customer: (*named.unwrap_or(id)).into(), set_aside: one.set_aside, kept_apart: Vec::new() }
        });
        settled.collect()
    }
}

/// How well a claim names its customer, the best first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// It is one of those that make the customer.
    Makes,
    /// It is there from before a sign-in made the customer.
    Stayed,
    /// It came with an identifier that another had.
    Came,
}

fn without<'a>(joining: &[Joining<'a>], place: usize) -> Vec<Joining<'a>> {
    let mut without = joining.to_vec();
    without.remove(place);
    without
}

#[cfg(test)]
mod tests;
