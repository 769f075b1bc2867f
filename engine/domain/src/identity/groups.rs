//! The groups that claims have made so far, and what the guards ask of them.
//!
//! What they ask is kept as counts, so that a claim costs the same in a large group as in a small one. Who walks the claims, and in
//! which order, is [`super::partition`].

use std::collections::BTreeMap;

use super::{IdentifierRule, OnLogin, Rules};
use crate::claim::{Decision, Guard};
use crate::event::{Identifier, Learnt};
use crate::value::Timestamp;

/// An identifier by its type and value.
pub(super) type Name<'a> = (&'a str, &'a str);

pub(super) fn name_of(identifier: &Identifier) -> Name<'_> {
    (&identifier.kind, &identifier.value)
}

/// The sides of separations that an identifier stands on: the number of each pair, and which of its two it is.
pub(super) type Sides<'a> = BTreeMap<Name<'a>, Vec<(usize, bool)>>;

/// An identifier that a claim would have join.
#[derive(Clone, Copy)]
pub(super) struct Joining<'a> {
    pub(super) one: &'a Identifier,
    /// Whether it leaves the group that has it, instead of bringing that group along.
    pub(super) leaves: bool,
}

/// What the guards want to know of the claim itself.
#[derive(Clone, Copy)]
pub(super) struct Asking {
    /// When the claim was made, by event time.
    pub(super) at: Timestamp,
    pub(super) decision: Option<Decision>,
    /// Whether two customers were compared, instead of being named together: then a sign-in is neither needed nor made.
    pub(super) compared: bool,
}

/// The groups so far.
pub(super) struct Groups<'a> {
    rules: &'a Rules,
    sides: Sides<'a>,
    groups: Vec<Group>,
    owners: BTreeMap<Name<'a>, Owner>,
}

/// What the guards ask of a group, or of what several would be together.
#[derive(Clone)]
struct Group {
    /// Identifiers that count towards the limit, by the place of their type among the rules.
    counts: Vec<usize>,
    /// All identifiers, in the same way.
    held: Vec<usize>,
    /// When each of those that count came, in the same way, where the limit has a window.
    came: Vec<Vec<Timestamp>>,
    /// How many times two groups became one here.
    merges: usize,
    /// Sides of separations.
    sides: Vec<(usize, bool)>,
    merged_into: Option<usize>,
}

/// The group that has an identifier.
#[derive(Clone, Copy)]
struct Owner {
    group: usize,
    /// An alias said that it is an earlier one: it does not count towards the limit.
    is_alias: bool,
    /// When it came to the group.
    since: Timestamp,
}

impl<'a> Groups<'a> {
    pub(super) fn new(rules: &'a Rules, sides: Sides<'a>) -> Self {
        Groups { rules, sides, groups: Vec::new(), owners: BTreeMap::new() }
    }

    /// The guard that forbids these identifiers to be one customer's, where one does.
    pub(super) fn objection(&self, joining: &[Joining<'a>], asking: Asking) -> Option<Guard> {
        let touched = self.touched(joining);
        let merges = touched.len() > 1;
        let known = touched.iter().filter(|group| self.is_known(**group)).count();
        let signed_in = joining.iter().any(|one| self.rules.is_login(&one.one.kind));
        let one = self.together(&touched, joining, asking.at);
        if one.sides.iter().any(|(pair, side)| one.sides.contains(&(*pair, !side))) {
            return Some(Guard::Separated);
        }
        // Who says an alias means two people, and did not just type somebody's address.
        let said_outright = joining.iter().any(|one| one.one.how == Learnt::Alias);
        if merges && !signed_in && !said_outright && known > 0 && !asking.compared {
            return Some(Guard::LoginGate);
        }
        if self.rules.on_login == OnLogin::New && signed_in && known < touched.len() && !asking.compared {
            return Some(Guard::OnLogin);
        }
        let rules = || self.rules.identifiers.iter().enumerate();
        if rules().any(|(place, rule)| rule.immutable && one.held[place] > 1) {
            return Some(Guard::Immutable);
        }
        if rules().any(|(place, rule)| rule.limit.is_some_and(|limit| one.counted(place, rule, asking.at) > limit as usize)) {
            return Some(Guard::Limit);
        }
        self.past_merge_limit(&touched, &one).then_some(Guard::MergeLimit).or_else(|| {
            let quarantine = &self.rules.quarantine;
            let held = (quarantine.known_with_known && known > 1)
                || quarantine.larger_than.is_some_and(|most| one.identifiers() > most as usize);
            match asking.decision {
                Some(Decision::Refuse) if merges => Some(Guard::Refused),
                None if merges && held => Some(Guard::Held),
                _ => None,
            }
        })
    }

    /// Whether what has grown by this is made of more than may be.
    fn past_merge_limit(&self, touched: &[usize], one: &Group) -> bool {
        let before: usize = touched.iter().map(|group| self.groups[*group].identifiers()).max().unwrap_or(0);
        let limit = &self.rules.merge_limit;
        let merged = touched.len() > 1 && limit.merges.is_some_and(|most| one.merges > most as usize);
        merged || (one.identifiers() > before && limit.identifiers.is_some_and(|most| one.identifiers() > most as usize))
    }

    /// Whether an identifier goes to who signs in with it, instead of being set aside: it is unique, and another customer's.
    pub(super) fn may_leave(&self, joining: &[Joining<'a>], place: usize, guard: Guard) -> bool {
        let Joining { one, leaves } = joining[place];
        let others = || joining.iter().enumerate().filter(|(other, _)| *other != place);
        let signed_in = others().any(|(_, other)| self.rules.is_login(&other.one.kind));
        let unique = self.rules.rule(&one.kind).is_some_and(|rule| rule.unique && !rule.immutable);
        let hard = !matches!(guard, Guard::Limit | Guard::Immutable);
        !leaves && unique && signed_in && !hard && self.owners.contains_key(&name_of(one))
    }

    /// Has known customers' devices leave them, where the claim names nothing else and nobody is signed in.
    pub(super) fn sign_out(&self, joining: &mut [Joining<'a>]) {
        let is_device = |one: &Joining<'a>| self.rules.rule(&one.one.kind).is_some_and(|rule| rule.device);
        if !joining.iter().all(is_device) {
            return;
        }
        for one in joining {
            one.leaves = self.owner(one.one).is_some_and(|group| self.is_known(group));
        }
    }

    /// Makes these identifiers one group's, and says which.
    pub(super) fn join(&mut self, joining: &[Joining<'a>], at: Timestamp) -> usize {
        for one in joining.iter().filter(|one| one.leaves) {
            self.take_away(one.one);
        }
        let touched = self.touched(joining);
        let one = self.together(&touched, joining, at);
        // Groups were made in the order of their earliest claims.
        let group = touched.first().copied().unwrap_or(self.groups.len());
        match self.groups.get_mut(group) {
            Some(known) => *known = one,
            None => self.groups.push(one),
        }
        for other in touched.iter().skip(1) {
            self.groups[*other].merged_into = Some(group);
        }
        for Joining { one, .. } in joining {
            let owner = self.owners.entry(name_of(one)).or_insert(Owner { group, is_alias: false, since: at });
            owner.group = group;
            owner.is_alias |= one.how == Learnt::Alias;
        }
        group
    }

    /// The group that has an identifier.
    pub(super) fn owner(&self, identifier: &Identifier) -> Option<usize> {
        self.owners.get(&name_of(identifier)).map(|owner| self.living(owner.group))
    }

    /// Whether a group has a login identifier.
    pub(super) fn is_known(&self, group: usize) -> bool {
        self.rules.identifiers.iter().zip(&self.groups[group].held).any(|(rule, held)| rule.login && *held > 0)
    }

    fn take_away(&mut self, identifier: &'a Identifier) {
        let name = name_of(identifier);
        let (Some(owner), Some(place)) = (self.owners.get(&name).copied(), self.rules.priority(&identifier.kind)) else { return };
        let group = self.living(owner.group);
        self.owners.remove(&name);
        let group = &mut self.groups[group];
        group.held[place] -= 1;
        if !owner.is_alias {
            group.uncount(place, owner.since);
        }
        for side in self.sides.get(&name).into_iter().flatten() {
            group.sides.retain(|one| one != side);
        }
    }

    /// What these groups and these identifiers would be as one.
    fn together(&self, touched: &[usize], joining: &[Joining<'a>], at: Timestamp) -> Group {
        let mut one = self.groups.get(touched.first().copied().unwrap_or(usize::MAX)).cloned().unwrap_or_else(|| self.empty());
        for other in touched.iter().skip(1) {
            one.add(&self.groups[*other]);
        }
        one.merges += touched.len().saturating_sub(1);
        for Joining { one: identifier, leaves } in joining {
            let Some(place) = self.rules.priority(&identifier.kind) else { continue };
            let owner = self.owners.get(&name_of(identifier)).filter(|_| !leaves);
            if owner.is_none() {
                one.held[place] += 1;
                one.sides.extend(self.sides.get(&name_of(identifier)).into_iter().flatten());
            }
            match (owner, identifier.how) {
                (None, Learnt::Observed | Learnt::Added) => one.count(place, &self.rules.identifiers[place], at),
                (Some(owner), Learnt::Alias) if !owner.is_alias => one.uncount(place, owner.since),
                _ => (),
            }
        }
        one
    }

    fn empty(&self) -> Group {
        let types = self.rules.identifiers.len();
        let (counts, held, came) = (vec![0; types], vec![0; types], vec![Vec::new(); types]);
        Group { counts, held, came, merges: 0, sides: Vec::new(), merged_into: None }
    }

    /// The groups that own any of these identifiers, the oldest first.
    fn touched(&self, joining: &[Joining<'a>]) -> Vec<usize> {
        let mut touched: Vec<usize> = joining.iter().filter(|one| !one.leaves).filter_map(|one| self.owner(one.one)).collect();
        touched.sort_unstable();
        touched.dedup();
        touched
    }

    /// What a group has become.
    pub(super) fn living(&self, mut group: usize) -> usize {
        while let Some(into) = self.groups[group].merged_into {
            group = into;
        }
        group
    }
}

impl Group {
    fn add(&mut self, other: &Group) {
        self.counts.iter_mut().zip(&other.counts).for_each(|(sum, count)| *sum += count);
        self.held.iter_mut().zip(&other.held).for_each(|(sum, count)| *sum += count);
        self.came.iter_mut().zip(&other.came).for_each(|(all, came)| all.extend(came));
        self.merges += other.merges;
        self.sides.extend(&other.sides);
    }

    /// Counts one more of a type. Those that no window will hold any more are let go: claims come in the order of their times.
    fn count(&mut self, place: usize, rule: &IdentifierRule, at: Timestamp) {
        self.counts[place] += 1;
        if let Some(since) = rule.window_from(at) {
            self.came[place].retain(|came| *came > since);
            self.came[place].push(at);
        }
    }

    fn uncount(&mut self, place: usize, since: Timestamp) {
        self.counts[place] -= 1;
        if let Some(one) = self.came[place].iter().position(|came| *came == since) {
            self.came[place].swap_remove(one);
        }
    }

    /// How many of a type count towards its limit when a claim is made.
    fn counted(&self, place: usize, rule: &IdentifierRule, at: Timestamp) -> usize {
        let Some(since) = rule.window_from(at) else { return self.counts[place] };
        self.came[place].iter().filter(|came| **came > since).count()
    }

    fn identifiers(&self) -> usize {
        self.held.iter().sum()
    }
}
