//! One customer who changed: what is said of it and of those who are like it.
//!
//! Whoever is one person by a match is weighed again first: where a field changed, or a person took something apart, a match may hold no
//! more. Then the customer is compared with those who share a key with it. With the likeliest it becomes one, if it is likely enough, and comes
//! again as one customer with all that both say; so groups grow as they do for a file. About others a person is asked. What was said
//! before is said again only where it is another thing, and what a person decided is left alone.

use std::collections::BTreeMap;

use weft_domain::claim::{Bits, ClaimId, Compared, CustomerId, Evidence, Match, Outcome, Proposal, Verdict, fingerprint, pair};
use weft_domain::limits::CLAIM_MATCHES_MAX;
use weft_domain::value::Timestamp;
use weft_matching::cluster::contradict;
use weft_matching::{Model, Record};

use super::people::{Groups, Person};
use super::rules::Rules;
use crate::limits;

/// By what is judged.
pub(super) struct Judge<'a> {
    pub(super) rules: &'a Rules,
    pub(super) model: &'a Model,
    /// The version of the model.
    pub(super) version: u64,
    pub(super) now: Timestamp,
}

/// Somebody who may be the same person, and what was said of the two before: pairs of a claim of each.
pub(super) struct Other {
    pub(super) person: Person,
    pub(super) before: Vec<([ClaimId; 2], Match)>,
    /// Whether the two became one and were taken apart again so often that a person is to decide.
    pub(super) is_restless: bool,
}

/// Something to be said, and of whom beside the customer who is judged.
pub(super) struct Said {
    pub(super) proposal: Proposal,
    pub(super) of: CustomerId,
}

impl Judge<'_> {
    /// Takes back the match within a customer that holds the least, if there is one that would not be made today: all that was said of the same
    /// two sides. The sides of a match are what hangs together by identifiers, or all that further matches add to each; that which says
    /// more counts, so that what was added later does not take apart what was sure.
    pub(super) fn within(&self, person: &Person) -> Vec<Proposal> {
        // Of somebody who is not known whole it cannot be said what hangs together.
        if person.left_out > 0 {
            return Vec::new();
        }
        let groups = person.groups();
        let joints = joints(person, &groups);
        let mut worst: Option<(f64, Vec<Proposal>)> = None;
        // Where a person decided, that joins the two sides, whatever else was said.
        for (sides, matches) in joints.iter().filter(|(_, matches)| matches.iter().all(|one| one.verdict.is_none())) {
            let mut grown = groups.clone();
            joints.keys().filter(|others| *others != sides).for_each(|[one, other]| grown.join(*one, *other));
            let united = |groups: &Groups| sides.map(|side| person.united(groups, side));
            let weigh = |[one, other]: &[Record; 2]| self.model.weight(one, other);
            let (core, whole) = (united(&groups), united(&grown));
            let is_bridge = grown.find(sides[0]) != grown.find(sides[1]);
            let holds = if is_bridge { weigh(&core).max(weigh(&whole)) } else { weigh(&core) };
            if holds >= self.rules.merge || worst.as_ref().is_some_and(|(least, _)| *least <= holds) {
                continue;
            }
            // Of the sides as they are going to be compared from now on.
            let [one, other] = if is_bridge { whole } else { core };
            let evidence = self.model.explain(&one, &other);
            let outcome = if evidence.weight < self.rules.review { Outcome::Apart } else { Outcome::Review };
            let proposals = matches.iter().map(|one| self.proposal(one.pair, outcome, &evidence));
            worst = Some((holds, proposals.collect()));
        }
        worst.map(|(_, proposals)| proposals).unwrap_or_default()
    }

    /// What is to be said of a customer and others: at most one merge, and what is taken back; or questions, the likeliest first.
    pub(super) fn between(&self, person: &Person, others: &[Other]) -> Vec<Said> {
        let mut said = Vec::new();
        let mut open: Vec<(Outcome, f64, &Other)> = Vec::new();
        for other in others.iter().filter(|other| !other.before.iter().any(|(_, one)| one.verdict.is_some())) {
            let weight = self.model.weight(&person.record, &other.person.record);
            let outcome = self.outcome(person, other, weight);
            if outcome == Outcome::Apart {
                said.extend(other.before.iter().map(|(pair, _)| self.said(*pair, Outcome::Apart, person, other)));
            } else if !other.before.iter().any(|(_, one)| one.outcome == outcome) && has_room(person, other) {
                // What is said and not carried out is forbidden by a guard, for as long as it is said.
                open.push((outcome, weight, other));
            }
        }
        open.sort_by(|one, other| {
            one.0.cmp(&other.0).then(other.1.total_cmp(&one.1)).then(one.2.person.id.cmp(&other.2.person.id))
        });
        let wanted = match open.first() {
            Some((Outcome::Merge, ..)) => 1,
            _ => limits::MATCHING_REVIEWS_MAX,
        };
        said.extend(open.into_iter().take(wanted).map(|(outcome, _, other)| {
            // What was said of two is said again of the same two claims, in whatever customers they are today.
            let own = pair(person.id.into(), other.person.id.into());
            self.said(other.before.first().map_or(own, |(pair, _)| *pair), outcome, person, other)
        }));
        said
    }

    fn said(&self, pair: [ClaimId; 2], outcome: Outcome, person: &Person, other: &Other) -> Said {
        let evidence = self.model.explain(&person.record, &other.person.record);
        Said { proposal: self.proposal(pair, outcome, &evidence), of: other.person.id }
    }

    fn outcome(&self, person: &Person, other: &Other, weight: f64) -> Outcome {
        let (own, theirs) = (person.records(), other.person.records());
        let is_grown = own.len() + theirs.len() > 2;
        match weight {
            likely if likely < self.rules.review => Outcome::Apart,
            likely if likely < self.rules.merge || other.is_restless => Outcome::Review,
            _ if is_grown && contradict(self.model, &own, &theirs) => Outcome::Review,
            _ => Outcome::Merge,
        }
    }

    fn proposal(&self, pair: [ClaimId; 2], outcome: Outcome, found: &weft_matching::Evidence) -> Proposal {
        let fields = found.reasons.iter().map(|reason| Compared {
            field: reason.component.clone(),
            level: reason.level.clone(),
            weight: Bits::of(reason.weight),
            without: Bits::of(reason.without),
        });
        let evidence = Evidence {
            weight: Bits::of(found.weight),
            prior: Bits::of(found.prior),
            shared: Bits::of(found.shared),
            fields: fields.collect(),
            merge_at: Bits::of(self.rules.merge),
            model: self.version,
            at: self.now,
        };
        Proposal { pair, outcome, evidence }
    }
}

/// Whether the two claims by which customers are known have room for another match.
fn has_room(person: &Person, other: &Other) -> bool {
    let room = |one: &Person| one.place(one.id.into()).is_none_or(|place| one.parts[place].matches.len() < CLAIM_MATCHES_MAX);
    !other.before.is_empty() || (room(person) && room(&other.person))
}

/// A match between two claims of one customer.
struct Joint {
    pair: [ClaimId; 2],
    verdict: Option<Verdict>,
}

/// The matches because of which groups are one customer, by the two groups.
fn joints(person: &Person, groups: &Groups) -> BTreeMap<[usize; 2], Vec<Joint>> {
    let mut joints: BTreeMap<[usize; 2], Vec<Joint>> = BTreeMap::new();
    for (place, part) in person.parts.iter().enumerate() {
        // Both claims know of a match: it is looked at once.
        for one in part.matches.iter().filter(|one| part.id < one.other && one.is_joined()) {
            let Some(other) = person.place(one.other) else { continue };
            let (a, b) = (groups.find(place), groups.find(other));
            if a != b {
                let joint = Joint { pair: [part.id, one.other], verdict: one.verdict.clone() };
                joints.entry([a.min(b), a.max(b)]).or_default().push(joint);
            }
        }
    }
    joints
}

/// What was said before of a customer and others: the claim of the other, the pair, and the match.
pub(super) fn said_before(person: &Person) -> impl Iterator<Item = (ClaimId, [ClaimId; 2], &Match)> {
    person.parts.iter().flat_map(move |part| {
        let outside = part.matches.iter().filter(move |one| person.place(one.other).is_none());
        outside.map(|one| (one.other, pair(part.id, one.other), one))
    })
}

/// By what a change is noticed: what each claim says, and by what it was weighed.
pub(super) fn print(person: &Person, weighed_by: u64) -> u64 {
    let parts = person.parts.iter().map(|part| format!(" {}:{:x}", part.id, part.record.fingerprint()));
    fingerprint(&parts.fold(format!("{weighed_by:x}"), |text, part| text + &part))
}
