//! Why two are one customer, or what keeps them apart: the way from one to the other through the claims.
//!
//! Of all ways the one is taken on which the fewest guards stand. Where none stands on it, the two are one customer because of it.
//! Everything here is read from state and nothing is decided.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::claim::{Claim, ClaimId, CustomerId, IdentifierId};
use crate::event::Identifier;
use crate::explain::{Because, Matched, SetAside, Who, claims_of};
use crate::limits;
use crate::view::{Read, View};

/// Whether two are one customer, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Between {
    /// Whether they are.
    pub together: bool,
    /// The customer whom the first means; none where every claim had to set the identifier aside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub a: Option<CustomerId>,
    /// The customer whom the second means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub b: Option<CustomerId>,
    /// Why. Readers leave kinds of reasons out that they do not know: there will be more.
    pub reasons: Vec<Reason>,
}

/// A reason.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Reason {
    /// A claim on the way from the first to the second.
    Claim(Box<Link>),
    /// What comparing two claims on the way came to.
    Match(Box<Matched>),
    /// Somebody said that an identifier of the first and one of the second are not one person's.
    Separation(Separation),
    /// No claim names anything of both, nor do claims that hang together.
    NothingInCommon,
    /// Too many claims hang together to look for the way.
    TooMany,
}

/// A claim on the way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    /// The identifier through which the way comes to it; none where it begins here, or comes by a match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Identifier>,
    /// The identifier through which the way goes on; none where it ends here, or goes on by a match.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Identifier>,
    /// What of these the claim had to set aside: here the two are kept apart.
    pub kept_apart: Vec<SetAside>,
    /// The claim.
    #[serde(flatten)]
    pub because: Because,
}

/// A separation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Separation {
    /// The identifier of the first.
    pub a: Identifier,
    /// The one of the second.
    pub b: Identifier,
    /// Why.
    pub reason: String,
    /// The claim whose split says so; none where the two were named themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub of: Option<ClaimId>,
}

/// A place on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Identifier(IdentifierId),
    Claim(ClaimId),
}

/// Why two are one customer, or what keeps them apart; none where one of them is unknown.
///
/// # Errors
/// [`crate::view::ViewError`], where state cannot be read.
pub fn between(view: &impl View, a: &Who, b: &Who) -> Read<Option<Between>> {
    let (Some((from, of_a)), Some((to, of_b))) = (find(view, a)?, find(view, b)?) else { return Ok(None) };
    let mut search = Search { view, claims: BTreeMap::new(), came_from: BTreeMap::new() };
    let mut reasons = match search.way(from, to)? {
        Found::Way(way) => search.links(&way)?,
        Found::None => vec![Reason::NothingInCommon],
        Found::TooMany => vec![Reason::TooMany],
    };
    let together = of_a.is_some() && of_a == of_b;
    if !together {
        reasons.extend(separations(view, (from, of_a), (to, of_b))?.into_iter().map(Reason::Separation));
    }
    Ok(Some(Between { together, a: of_a, b: of_b, reasons }))
}

/// Where the way begins or ends, and whose that is.
fn find(view: &impl View, who: &Who) -> Read<Option<(Place, Option<CustomerId>)>> {
    Ok(match who {
        Who::Identifier(kind, value) => {
            let id = IdentifierId::of(kind, value);
            view.identifier(id)?.map(|row| (Place::Identifier(id), row.customer))
        }
        Who::Customer(id) => who.today(view)?.map(|customer| (Place::Claim((*id).into()), Some(customer))),
    })
}

/// What a way costs: guards first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Cost {
    guards: usize,
    steps: usize,
}

enum Found {
    Way(Vec<Place>),
    None,
    TooMany,
}

struct Search<'v, V> {
    view: &'v V,
    claims: BTreeMap<ClaimId, Arc<Claim>>,
    came_from: BTreeMap<Place, (Cost, Option<Place>)>,
}

impl<V: View> Search<'_, V> {
    /// The way on which the fewest guards stand, and of those one with the fewest claims (Dijkstra's algorithm).
    fn way(&mut self, from: Place, to: Place) -> Read<Found> {
        let mut open = BTreeSet::from([(Cost::default(), from)]);
        self.came_from.insert(from, (Cost::default(), None));
        while let Some((cost, place)) = open.pop_first() {
            if place == to {
                return Ok(Found::Way(self.back_from(to)));
            }
            if self.claims.len() > limits::COMPONENT_CLAIMS_MAX {
                return Ok(Found::TooMany);
            }
            for (next, past) in self.neighbours(place)? {
                let cost = Cost { guards: cost.guards + usize::from(past), steps: cost.steps + 1 };
                if self.came_from.get(&next).is_none_or(|(known, _)| cost < *known) {
                    self.came_from.insert(next, (cost, Some(place)));
                    open.insert((cost, next));
                }
            }
        }
        Ok(Found::None)
    }

    /// What is next to a place, and whether a guard stands between.
    fn neighbours(&mut self, place: Place) -> Read<Vec<(Place, bool)>> {
        let mut next = Vec::new();
        match place {
            Place::Claim(id) => {
                let Some(claim) = self.claim(id)? else { return Ok(next) };
                for one in &claim.identifiers {
                    next.push((Place::Identifier(IdentifierId::of(&one.kind, &one.value)), is_aside(&claim, one)));
                }
                next.extend(claim.matches.iter().map(|known| (Place::Claim(known.other), !known.is_joined())));
            }
            Place::Identifier(id) => {
                let Some(row) = self.view.identifier(id)? else { return Ok(next) };
                for claim_id in &row.claims {
                    let Some(claim) = self.claim(*claim_id)? else { continue };
                    let named = claim.identifiers.iter().find(|one| (&one.kind, &one.value) == (&row.kind, &row.value));
                    next.push((Place::Claim(*claim_id), named.is_some_and(|one| is_aside(&claim, one))));
                }
            }
        }
        Ok(next)
    }

    fn claim(&mut self, id: ClaimId) -> Read<Option<Arc<Claim>>> {
        if let Some(known) = self.claims.get(&id) {
            return Ok(Some(known.clone()));
        }
        let claim = self.view.claim(id)?;
        self.claims.extend(claim.clone().map(|claim| (id, claim)));
        Ok(claim)
    }

    fn back_from(&self, to: Place) -> Vec<Place> {
        let mut way = vec![to];
        while let Some((_, Some(before))) = way.last().and_then(|last| self.came_from.get(last)) {
            way.push(*before);
        }
        way.reverse();
        way
    }

    /// The claims of a way, each with what leads to it and from it.
    fn links(&self, way: &[Place]) -> Read<Vec<Reason>> {
        let mut links = Vec::new();
        for (number, place) in way.iter().enumerate() {
            let Place::Claim(id) = place else { continue };
            let Some(claim) = self.claims.get(id) else { continue };
            let named = |place: Option<&Place>| {
                let is_it = |one: &&Identifier| place == Some(&Place::Identifier(IdentifierId::of(&one.kind, &one.value)));
                claim.identifiers.iter().find(is_it).cloned()
            };
            let from = number.checked_sub(1).and_then(|before| named(way.get(before)));
            let to = named(way.get(number + 1));
            let events_total = self.view.node(*id)?.map_or(0, |node| node.events_total);
            let because = Because::of(*id, claim, events_total);
            let on_the_way = |aside: &&SetAside| [&from, &to].into_iter().flatten().any(|one| *one == aside.identifier);
            let kept_apart = because.set_aside.iter().filter(on_the_way).cloned().collect();
            links.push(Reason::Claim(Box::new(Link { from, to, kept_apart, because })));
            if let Some(Place::Claim(next)) = way.get(number + 1) {
                links.extend(claim.matched(*next).map(|known| Reason::Match(Box::new(Matched::of(*id, known)))));
            }
        }
        Ok(links)
    }
}

fn is_aside(claim: &Claim, one: &Identifier) -> bool {
    claim.set_aside.iter().any(|(aside, _)| aside == one)
}

/// What was separated of what the two have.
fn separations(
    view: &impl View,
    (a, of_a): (Place, Option<CustomerId>),
    (b, of_b): (Place, Option<CustomerId>),
) -> Read<Vec<Separation>> {
    let (mine, others) = (identifiers_of(view, a, of_a)?, identifiers_of(view, b, of_b)?);
    let mut found = Vec::new();
    for id in &mine {
        let Some(row) = view.identifier(*id)? else { continue };
        for apart in row.apart.iter().filter(|apart| others.contains(&apart.other)) {
            let Some(other) = view.identifier(apart.other)? else { continue };
            let (a, b) = (Identifier::observed(&row.kind, &row.value), Identifier::observed(&other.kind, &other.value));
            found.push(Separation { a, b, reason: apart.reason.clone(), of: apart.of });
        }
    }
    Ok(found)
}

/// The identifiers of a customer, and the one by which it was asked for.
fn identifiers_of(view: &impl View, place: Place, customer: Option<CustomerId>) -> Read<BTreeSet<IdentifierId>> {
    let mut ids: BTreeSet<IdentifierId> = match place {
        Place::Identifier(id) => [id].into(),
        Place::Claim(_) => BTreeSet::new(),
    };
    let claims = customer.map_or(Ok(Vec::new()), |customer| claims_of(view, customer))?;
    for claim in claims {
        let node = view.node(claim)?;
        ids.extend(node.iter().flat_map(|node| &node.identifiers).map(|one| IdentifierId::of(&one.kind, &one.value)));
    }
    Ok(ids)
}
