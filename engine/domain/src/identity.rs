//! Who is who: customers as a function of a set of claims.
//!
//! [`partition`] walks the claims of one component of the graph from the earliest to the latest and lets each join what it
//! names, unless a guard objects; then the weakest identifier that stands in the way is set aside and the claim tries again,
//! much as Segment does. Since the walk is over a sorted set, the order of arrival does not matter (invariant 6), and leaving a claim out
//! gives exactly what would have been without it.
//!
//! Nothing here reads a store: [`crate::resolve`] finds the component and acts on the outcome.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::claim::{Claim, ClaimId, CustomerId, Guard};
use crate::event::{Identifier, Learnt};

/// How identifiers are treated. In YAML: `identity`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// The types that identify, the strongest first. Other types stay on the event and identify nobody.
    pub identifiers: Vec<IdentifierRule>,
    /// Values that identify nobody: exact, or `/regular expression/`.
    pub block: Vec<Pattern>,
}

/// The rule for one type of identifier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentifierRule {
    /// The type's name.
    pub kind: String,
    /// How many of this type one customer may have.
    pub limit: Option<u32>,
    /// Whether it proves a login. A customer who has one is known, and only an event that carries one joins a known
    /// customer with another (mParticle's login ids).
    pub login: bool,
}

/// A value that identifies nobody.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    text: String,
    regex: Option<regex_lite::Regex>,
}

impl TryFrom<String> for Pattern {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let inner = text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')).filter(|inner| !inner.is_empty());
        let regex = match inner {
            Some(inner) => Some(regex_lite::Regex::new(inner).map_err(|error| format!("not a regular expression: {error}"))?),
            None => None,
        };
        Ok(Pattern { text, regex })
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.text
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl Pattern {
    fn matches(&self, value: &str) -> bool {
        self.regex.as_ref().map_or(self.text == value, |regex| regex.is_match(value))
    }
}

impl Default for Rules {
    /// What a workspace without an `identity` section gets: Segment's types, and its suggested blocked values.
    fn default() -> Self {
        let rule = |kind: &str, limit, login| IdentifierRule { kind: kind.into(), limit: Some(limit), login };
        let block = ["null", "undefined", "anonymous", "-1", "/^[0-]*$/"];
        Rules {
            identifiers: vec![
                rule("user_id", 1, true),
                rule("email", 5, false),
                rule("phone", 5, false),
                rule("anonymous_id", 100, false),
            ],
            block: block.map(|text| Pattern::try_from(text.to_owned()).expect("these patterns are valid")).into(),
        }
    }
}

impl Rules {
    /// The place of a type among the priorities, 0 being the strongest; none for a type that identifies nobody.
    #[must_use]
    pub fn priority(&self, kind: &str) -> Option<usize> {
        self.identifiers.iter().position(|rule| rule.kind == kind)
    }

    /// Whether a value identifies nobody.
    #[must_use]
    pub fn blocks(&self, value: &str) -> bool {
        self.block.iter().any(|pattern| pattern.matches(value))
    }

    /// The identifiers of an event that identify somebody: of declared types, not blocked, sorted, none twice.
    #[must_use]
    pub fn identifying(&self, claims: &[Identifier]) -> Vec<Identifier> {
        let mut kept: Vec<Identifier> =
            claims.iter().filter(|one| self.priority(&one.kind).is_some() && !self.blocks(&one.value)).cloned().collect();
        kept.sort();
        kept.dedup_by(|later, first| later.kind == first.kind && later.value == first.value);
        kept
    }

    fn rule(&self, kind: &str) -> Option<&IdentifierRule> {
        self.identifiers.iter().find(|rule| rule.kind == kind)
    }

    fn is_login(&self, kind: &str) -> bool {
        self.rule(kind).is_some_and(|rule| rule.login)
    }
}

/// Where a claim ended up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The customer whom the claim belongs to.
    pub customer: CustomerId,
    /// The identifiers of the claim that the guards kept away from that customer.
    pub set_aside: Vec<(Identifier, Guard)>,
}

/// Divides the claims of a component among customers. One placement for each claim, in the order given, which is that of
/// the claims' witnesses, then their ids.
#[must_use]
pub fn partition(rules: &Rules, claims: &[(ClaimId, &Claim)]) -> Vec<Placement> {
    debug_assert!(claims.is_sorted_by_key(|(id, claim)| (&claim.witness, *id)), "claims come sorted");
    let mut groups = Groups { rules, groups: Vec::new(), owners: BTreeMap::new() };
    let placed: Vec<(usize, Vec<(Identifier, Guard)>)> = claims.iter().map(|(id, claim)| groups.place(*id, claim)).collect();
    placed
        .into_iter()
        .map(|(group, set_aside)| Placement { customer: groups.groups[groups.living(group)].customer, set_aside })
        .collect()
}

type Name<'a> = (&'a str, &'a str);

/// The groups so far. What the guards ask is kept as counts, so that a claim costs the same in a large component as in a
/// small one.
struct Groups<'a> {
    rules: &'a Rules,
    groups: Vec<Group>,
    owners: BTreeMap<Name<'a>, Owner>,
}

struct Group {
    customer: CustomerId,
    /// Identifiers that count towards the limit, by the place of their type among the rules.
    counts: Vec<usize>,
    is_known: bool,
    merged_into: Option<usize>,
}

/// The group that has an identifier.
#[derive(Clone, Copy)]
struct Owner {
    group: usize,
    /// An alias said that it is an earlier one: it does not count towards the limit.
    is_alias: bool,
}

impl<'a> Groups<'a> {
    /// Lets a claim join what it names, as far as the guards allow.
    fn place(&mut self, id: ClaimId, claim: &'a Claim) -> (usize, Vec<(Identifier, Guard)>) {
        let mut joining: Vec<&'a Identifier> = claim.identifiers.iter().collect();
        joining.sort_by_key(|one| (one.how == Learnt::Alias, self.rules.priority(&one.kind).unwrap_or(usize::MAX)));
        let mut set_aside = Vec::new();
        while joining.len() > 1 {
            let objection = if claim.retracted.is_some() { Some(Guard::Retracted) } else { self.objection(&joining) };
            let Some(guard) = objection else { break };
            set_aside.push((joining.remove(self.to_set_aside(&joining)).clone(), guard));
        }
        (self.join(id, &joining), set_aside)
    }

    /// The place of the identifier to set aside: the weakest whose absence satisfies the guards; where no single one does,
    /// the weakest. The strongest always stays.
    fn to_set_aside(&self, joining: &[&'a Identifier]) -> usize {
        let satisfies = |place: &usize| {
            let mut without = joining.to_vec();
            without.remove(*place);
            self.objection(&without).is_none()
        };
        (1..joining.len()).rev().find(satisfies).unwrap_or(joining.len() - 1)
    }

    /// The guard that forbids these identifiers to be one customer's, where one does.
    fn objection(&self, joining: &[&'a Identifier]) -> Option<Guard> {
        let touched = self.touched(joining);
        let signed_in = joining.iter().any(|one| self.rules.is_login(&one.kind));
        if touched.len() > 1 && !signed_in && touched.iter().any(|group| self.groups[*group].is_known) {
            return Some(Guard::LoginGate);
        }
        let counts = self.counts(&touched, joining);
        let over = |(rule, count): (&IdentifierRule, &usize)| rule.limit.is_some_and(|limit| *count > limit as usize);
        self.rules.identifiers.iter().zip(&counts).any(over).then_some(Guard::Limit)
    }

    /// How many identifiers of each type would count, if these groups and these identifiers were one.
    fn counts(&self, touched: &[usize], joining: &[&'a Identifier]) -> Vec<usize> {
        let mut counts = vec![0; self.rules.identifiers.len()];
        for group in touched {
            counts.iter_mut().zip(&self.groups[*group].counts).for_each(|(sum, count)| *sum += count);
        }
        for one in joining {
            let Some(place) = self.rules.priority(&one.kind) else { continue };
            match (self.owners.get(&name_of(one)), one.how) {
                (None, Learnt::Observed) => counts[place] += 1,
                (Some(owner), Learnt::Alias) if !owner.is_alias => counts[place] -= 1,
                _ => (),
            }
        }
        counts
    }

    /// The groups that own any of these identifiers, the oldest first.
    fn touched(&self, joining: &[&'a Identifier]) -> Vec<usize> {
        let owner = |one: &&'a Identifier| self.owners.get(&name_of(one)).map(|owner| self.living(owner.group));
        let mut touched: Vec<usize> = joining.iter().filter_map(owner).collect();
        touched.sort_unstable();
        touched.dedup();
        touched
    }

    /// Makes these identifiers one group's, and says which.
    fn join(&mut self, id: ClaimId, joining: &[&'a Identifier]) -> usize {
        let touched = self.touched(joining);
        let counts = self.counts(&touched, joining);
        // Groups were made in the order of their earliest claims: the first one's id is that of the earliest claim of all.
        let group = touched.first().copied().unwrap_or_else(|| {
            self.groups.push(Group { customer: id.into(), counts: Vec::new(), is_known: false, merged_into: None });
            self.groups.len() - 1
        });
        for other in touched.iter().skip(1) {
            self.groups[*other].merged_into = Some(group);
            self.groups[group].is_known |= self.groups[*other].is_known;
        }
        self.groups[group].counts = counts;
        for one in joining {
            self.groups[group].is_known |= self.rules.is_login(&one.kind);
            let owner = self.owners.entry(name_of(one)).or_insert(Owner { group, is_alias: false });
            owner.group = group;
            owner.is_alias |= one.how == Learnt::Alias;
        }
        group
    }

    fn living(&self, mut group: usize) -> usize {
        while let Some(into) = self.groups[group].merged_into {
            group = into;
        }
        group
    }
}

fn name_of(identifier: &Identifier) -> Name<'_> {
    (&identifier.kind, &identifier.value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::Witness;
    use crate::value::Timestamp;

    /// Claims are written `u:ann a:1`, one event each, in the order of their times; `!` retracts one, `~` marks an alias.
    /// The outcome lists customers by their claims' places, with what was set aside.
    fn check(claims: &[&str], want: &str) {
        let rules = Rules::default();
        let read = |(place, text): (usize, &&str)| {
            let retracted = text.starts_with('!').then(|| "a mistake".to_owned());
            let identifier = |word: &str| {
                let (how, word) = word.strip_prefix('~').map_or((Learnt::Observed, word), |rest| (Learnt::Alias, rest));
                let (kind, value) = word.split_once(':').expect("kind:value");
                let kind = match kind {
                    "u" => "user_id",
                    "e" => "email",
                    "p" => "phone",
                    _ => "anonymous_id",
                };
                Identifier { kind: kind.into(), value: value.into(), how }
            };
            let mut identifiers: Vec<_> = text.trim_start_matches('!').split(' ').map(identifier).collect();
            identifiers.sort();
            let id = ClaimId::of(&identifiers);
            let witness = Witness { occurred: Timestamp(place as i64), message_id: format!("m{place}"), source: "web".into() };
            (id, Claim { identifiers, witness, retracted, customer: id.into(), set_aside: Vec::new() })
        };
        let claims: Vec<(ClaimId, Claim)> = claims.iter().enumerate().map(read).collect();
        let sorted: Vec<(ClaimId, &Claim)> = claims.iter().map(|(id, claim)| (*id, claim)).collect();
        let placements = partition(&rules, &sorted);
        let place_of =
            |customer: CustomerId| claims.iter().position(|(id, _)| CustomerId::from(*id) == customer).expect("a claim's id");
        let shown: Vec<String> = placements
            .iter()
            .map(|one| {
                let aside: Vec<String> = one.set_aside.iter().map(|(id, guard)| format!("-{}({guard:?})", id.value)).collect();
                format!("{}{}", place_of(one.customer), aside.concat())
            })
            .collect();
        assert_eq!(shown.join(" "), want, "{:?}", placements);
    }

    #[test]
    fn an_anonymous_visitor_becomes_known() {
        check(&["a:1", "a:1 u:ann", "a:2", "a:2 u:ann e:ann@x"], "0 0 0 0");
    }

    #[test]
    fn segments_worked_case_sets_the_email_aside() {
        check(&["u:A e:x", "u:B e:x"], "0 1-x(Limit)");
    }

    #[test]
    fn only_what_stands_in_the_way_is_set_aside() {
        check(&["u:A e:x", "u:B e:x a:9", "a:9"], "0 1-x(Limit) 1");
    }

    #[test]
    fn a_shared_device_does_not_glue_people_together() {
        check(&["a:1 u:ann", "a:1 u:bob", "a:1", "u:bob"], "0 1-1(Limit) 0 1");
    }

    #[test]
    fn without_a_login_nobody_joins_a_known_customer() {
        check(&["u:ann e:ann@x", "a:9", "a:9 e:ann@x"], "0 1 0-9(LoginGate)");
        check(&["u:ann e:ann@x", "a:9", "a:9 e:ann@x u:ann"], "0 0 0");
        check(&["e:ann@x", "a:9", "a:9 e:ann@x"], "0 0 0");
    }

    #[test]
    fn an_alias_joins_two_user_ids() {
        check(&["u:old e:o@x", "u:new", "u:new u:old"], "0 1 1-old(Limit)");
        check(&["u:old e:o@x", "u:new", "u:new ~u:old"], "0 0 0");
        check(&["u:old", "u:new ~u:old", "u:new u:third"], "0 0 0-third(Limit)");
    }

    #[test]
    fn a_retracted_claim_joins_nothing() {
        check(&["u:ann e:1@x", "a:1", "!a:1 u:ann", "a:1"], "0 1 0-1(Retracted) 1");
    }

    #[test]
    fn blocked_and_undeclared_identifiers_identify_nobody() {
        let rules = Rules::default();
        let identifier = |kind: &str, value: &str| Identifier { kind: kind.into(), value: value.into(), how: Learnt::Observed };
        let kept = rules.identifying(&[
            identifier("user_id", "00000000-0000-0000-0000-000000000000"),
            identifier("email", "null"),
            identifier("shoe_size", "42"),
            identifier("anonymous_id", "a1"),
            identifier("anonymous_id", "a1"),
        ]);
        assert_eq!(kept, [identifier("anonymous_id", "a1")]);
    }
}
