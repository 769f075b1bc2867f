//! What is known of a customer: the facts of each claim's events, and the profile as their union.
//!
//! Facts are kept for each claim apart ([`Node`]) and united when somebody asks ([`Profile::unite`]). So a merge adds nothing
//! up, an undone merge leaves nothing behind, and both cost the same as reading. For each fact the latest event wins, by the
//! time at which it occurred and not by arrival.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::attribute::{AttributeId, Effect, Stretches};
use crate::claim::CustomerId;
use crate::consent::{Given, Proof, Purpose, Purposes};
use crate::event::{Event, Identifier, Learnt};
use crate::limits;
use crate::value::{Json, Timestamp};

/// What the events of one claim say, and where to find them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The customer whom the claim belongs to; none before the first event.
    pub customer: Option<CustomerId>,
    /// The claim's identifiers, without those that were set aside.
    pub identifiers: Vec<Identifier>,
    /// The facts, by name.
    pub traits: BTreeMap<String, Fact>,
    /// What was said of purposes.
    pub consent: BTreeMap<Purpose, Said>,
    /// Groups that the person belongs to (`true`).
    pub groups: BTreeMap<String, Fact>,
    /// Facts that found no room ([`limits::NODE_TRAITS_MAX`]).
    pub refused_total: u64,
    /// When the earliest event occurred.
    pub first_seen: Timestamp,
    /// When the latest event occurred.
    pub last_seen: Timestamp,
    /// How many events there are.
    pub events_total: u64,
    /// How many pages of the index are full and stand in rows of their own.
    pub pages: u32,
    /// The page that is not full yet.
    pub page: Vec<Entry>,
    /// The place in history of the event that was filed first.
    pub began: u64,
    /// Which tallies there are of its events, by attribute.
    pub tallies: BTreeMap<AttributeId, Stretches>,
    /// When what they come to changes the next time without an event.
    pub changes_at: Option<Timestamp>,
}

/// An entry of the history index: an event of the claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Entry {
    /// When it occurred.
    pub occurred: Timestamp,
    /// Its place in history.
    pub position: u64,
}

/// A fact, with where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fact {
    /// The value; null where the fact was taken away.
    pub value: Json,
    /// When the event that said so occurred.
    pub occurred: Timestamp,
    /// The source that told it.
    pub source: String,
    /// The event's place in history.
    pub position: u64,
    /// Decides between events of the same instant: the fingerprint of the message id.
    pub tie: u64,
}

impl Fact {
    fn wins_over(&self, other: &Fact) -> bool {
        (self.occurred, self.tie, &self.value) > (other.occurred, other.tie, &other.value)
    }
}

/// What was said of a purpose: the latest time that somebody agreed, and the latest that somebody refused. The later of the two holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// The agreement. The value of the fact is the [`Proof`], null where there is none; so of the refusal.
    pub granted: Option<Fact>,
    /// The refusal.
    pub refused: Option<Fact>,
}

impl Said {
    /// What holds, agreed (`true`) or refused, and what says so; none where nothing was said. Of both at the same time, it is refused.
    #[must_use]
    pub fn holds(&self) -> Option<(bool, &Fact)> {
        let order = |fact: &Fact| (fact.occurred, fact.tie);
        match (&self.granted, &self.refused) {
            (Some(granted), Some(refused)) if order(granted) > order(refused) => Some((true, granted)),
            (_, Some(refused)) => Some((false, refused)),
            (Some(granted), None) => Some((true, granted)),
            (None, None) => None,
        }
    }

    /// Takes in what somebody else knows of the same purpose.
    fn unite(&mut self, other: &Said) {
        for (mine, theirs) in [(&mut self.granted, &other.granted), (&mut self.refused, &other.refused)] {
            if let Some(theirs) = theirs.as_ref().filter(|theirs| mine.as_ref().is_none_or(|mine| theirs.wins_over(mine))) {
                *mine = Some(theirs.clone());
            }
        }
    }
}

/// What somebody said of purposes, by what the events of their claims say.
#[must_use]
pub fn said(nodes: &[&Node]) -> BTreeMap<Purpose, Said> {
    let mut all: BTreeMap<Purpose, Said> = BTreeMap::new();
    for (purpose, said) in nodes.iter().flat_map(|node| &node.consent) {
        all.entry(purpose.clone()).or_default().unite(said);
    }
    all
}

/// What somebody agreed to and refused, by what the events of their claims say.
#[must_use]
pub fn given(nodes: &[&Node]) -> Given {
    said(nodes).into_iter().filter_map(|(purpose, said)| said.holds().map(|(granted, _)| (purpose, granted))).collect()
}

/// An event as the profile sees it.
pub struct Told<'a> {
    /// The event.
    pub event: &'a Event,
    /// The source that told it.
    pub source: &'a str,
    /// Its place in history.
    pub position: u64,
    /// The fingerprint of its message id.
    pub tie: u64,
}

impl Node {
    /// Takes an event in.
    pub fn learn(&mut self, told: &Told<'_>) -> Effect {
        let occurred = told.event.occurred();
        self.first_seen = if self.events_total == 0 { occurred } else { self.first_seen.min(occurred) };
        self.last_seen = if self.events_total == 0 { occurred } else { self.last_seen.max(occurred) };
        self.began = if self.events_total == 0 { told.position } else { self.began };
        self.events_total += 1;
        let fact = |value: Json| {
            let source = told.source.to_owned();
            Fact { value, occurred, source, position: told.position, tie: told.tie }
        };
        let yes = || Json::parse("true").expect("`true` is JSON");
        let mut effect = Effect::Nothing;
        for (name, value) in &told.event.traits {
            effect = effect.max(self.keep(Shelf::Traits, name, fact(value.clone())));
        }
        for (purpose, statement) in &told.event.consent.0 {
            // A sender may repeat long after what was said once; nobody said anything after it was told.
            let at = statement.at.map_or(occurred, |at| at.min(occurred));
            let said = Fact { occurred: at, ..fact(proof(&statement.proof)) };
            effect = effect.max(self.hear(purpose, statement.granted, said));
        }
        if let Some(group) = &told.event.group {
            effect = effect.max(self.keep(Shelf::Groups, &group.id, fact(yes())));
        }
        effect
    }

    /// What its facts take in a row, roughly.
    fn bytes(&self) -> usize {
        let facts = [&self.traits, &self.groups].into_iter().flatten().map(|(name, fact)| weight(name, fact));
        let said = self.consent.iter().flat_map(|(purpose, said)| {
            [&said.granted, &said.refused].into_iter().flatten().map(|fact| weight(&purpose.name, fact))
        });
        facts.chain(said).sum()
    }

    fn keep(&mut self, shelf: Shelf, name: &str, fact: Fact) -> Effect {
        let (count, bytes) = (self.traits.len() + self.groups.len(), self.bytes());
        let facts = match shelf {
            Shelf::Traits => &mut self.traits,
            Shelf::Groups => &mut self.groups,
        };
        let known = facts.get(name);
        if known.is_some_and(|known| !fact.wins_over(known)) {
            return Effect::Nothing;
        }
        let freed = known.map_or(0, |known| weight(name, known));
        let full = bytes - freed + weight(name, &fact) > limits::NODE_TRAITS_BYTES_MAX;
        if full || (known.is_none() && count >= limits::NODE_TRAITS_MAX) {
            self.refused_total += 1;
            return Effect::Nothing;
        }
        let same = known.is_some_and(|known| known.value == fact.value);
        facts.insert(name.to_owned(), fact);
        if same { Effect::Renewed } else { Effect::Changed }
    }

    /// Notes that somebody agreed or refused. What somebody said is kept where there is no room for traits any more, without what proves it; a
    /// purpose too many is refused and counted.
    fn hear(&mut self, purpose: &Purpose, granted: bool, mut fact: Fact) -> Effect {
        if self.consent.len() >= limits::PURPOSES_MAX && !self.consent.contains_key(purpose) {
            self.refused_total += 1;
            return Effect::Nothing;
        }
        if self.bytes() + weight(&purpose.name, &fact) > limits::NODE_TRAITS_BYTES_MAX {
            fact.value = proof(&Proof::default());
        }
        let known = self.consent.entry(purpose.clone()).or_default();
        let before = known.holds().map(|(granted, _)| granted);
        let place = if granted { &mut known.granted } else { &mut known.refused };
        if place.as_ref().is_some_and(|known| !fact.wins_over(known)) {
            return Effect::Nothing;
        }
        *place = Some(fact);
        if known.holds().map(|(granted, _)| granted) == before { Effect::Renewed } else { Effect::Changed }
    }
}

fn proof(proof: &Proof) -> Json {
    let text = if proof.is_empty() { "null".to_owned() } else { serde_json::to_string(proof).expect("a proof is JSON") };
    Json::parse(&text).expect("it was made so")
}

#[derive(Clone, Copy)]
enum Shelf {
    Traits,
    Groups,
}

/// Bytes that a fact takes in a row, roughly.
fn weight(name: &str, fact: &Fact) -> usize {
    const REST: usize = 24;
    name.len() + fact.value.text().len() + fact.source.len() + REST
}

/// A customer as others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Profile {
    /// The customer's id, 32 hexadecimal digits.
    #[schemars(with = "String")]
    pub customer_id: CustomerId,
    /// The identifiers, without those that guards set aside.
    pub identifiers: Vec<Identifier>,
    /// What is true of the person.
    pub traits: BTreeMap<String, Json>,
    /// Purposes agreed to or refused.
    pub consent: Purposes<bool>,
    /// Groups that the person belongs to.
    pub groups: Vec<String>,
    /// When the earliest event occurred.
    pub first_seen: Timestamp,
    /// When the latest event occurred.
    pub last_seen: Timestamp,
    /// How many events there are.
    pub events_total: u64,
    /// What the events come to, for each attribute of the workspace that has a value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Json>,
}

/// Of several statements of the same fact, the one that holds.
#[must_use]
pub fn latest<'a>(shelves: impl IntoIterator<Item = &'a BTreeMap<String, Fact>>) -> BTreeMap<&'a str, &'a Fact> {
    let mut held: BTreeMap<&str, &Fact> = BTreeMap::new();
    for (name, fact) in shelves.into_iter().flatten() {
        match held.get(&**name) {
            Some(known) if !fact.wins_over(known) => (),
            _ => drop(held.insert(name, fact)),
        }
    }
    held
}

impl Profile {
    /// The profile of a customer: the union of what its claims' events say. What they come to is [`crate::measure`]'s to add.
    #[must_use]
    pub fn unite(customer_id: CustomerId, nodes: &[&Node]) -> Profile {
        let mut identifiers: Vec<Identifier> = nodes.iter().flat_map(|node| &node.identifiers).cloned().collect();
        identifiers.sort();
        identifiers.dedup_by(|later, first| later.kind == first.kind && later.value == first.value);
        // It is the person's, however that was said.
        identifiers.iter_mut().filter(|one| one.how == Learnt::Added).for_each(|one| one.how = Learnt::Observed);
        let present = |shelf: fn(&Node) -> &BTreeMap<String, Fact>| {
            latest(nodes.iter().map(|node| shelf(node))).into_iter().filter(|(_, fact)| !fact.value.is_null())
        };
        let seen = nodes.iter().filter(|node| node.events_total > 0);
        Profile {
            customer_id,
            identifiers,
            traits: present(|node| &node.traits).map(|(name, fact)| (name.to_owned(), fact.value.clone())).collect(),
            consent: Purposes(given(nodes)),
            groups: present(|node| &node.groups).map(|(name, _)| name.to_owned()).collect(),
            first_seen: seen.clone().map(|node| node.first_seen).min().unwrap_or_default(),
            last_seen: seen.map(|node| node.last_seen).max().unwrap_or_default(),
            events_total: nodes.iter().map(|node| node.events_total).sum(),
            attributes: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Learns identify events, each an instant and a JSON object of traits, in every order and split over two nodes in
    /// every way; the profile must always be the same.
    fn check(events: &[(i64, &str)], want: &str) {
        let told: Vec<Event> = events
            .iter()
            .map(|(at, traits)| {
                let mut event = Event::parse(format!(r#"{{"type":"identify","traits":{traits}}}"#).as_bytes()).expect("valid");
                event.occurred = Some(Timestamp(*at));
                event
            })
            .collect();
        for turn in 0..told.len() {
            for split in 0..1 << told.len() {
                let mut nodes = [Node::default(), Node::default()];
                for step in 0..told.len() {
                    let place = (turn + step) % told.len();
                    let told = Told { event: &told[place], source: "web", position: step as u64, tie: place as u64 };
                    nodes[split >> place & 1].learn(&told);
                }
                let profile = Profile::unite(CustomerId([0; 16]), &[&nodes[0], &nodes[1]]);
                assert_eq!(serde_json::to_string(&profile.traits).expect("serialises"), want, "turn {turn}, split {split}");
                assert_eq!(profile.events_total, told.len() as u64);
                assert_eq!(profile.last_seen.0, events.iter().map(|(at, _)| *at).max().expect("events"));
            }
        }
    }

    #[test]
    fn the_latest_event_decides_each_trait() {
        check(&[(1, r#"{"city":"Bonn","age":3}"#), (2, r#"{"city":"Ulm"}"#)], r#"{"age":3,"city":"Ulm"}"#);
        check(&[(1, r#"{"city":"Bonn"}"#), (2, r#"{"city":null}"#), (3, "{}")], "{}");
        check(&[(5, r#"{"a":1}"#), (5, r#"{"a":2}"#), (4, r#"{"a":3}"#)], r#"{"a":2}"#);
    }

    #[test]
    fn the_latest_word_on_a_purpose_holds_whatever_came_first() {
        // Each an instant, a message id and what it says; `at` is when it was said.
        let said = [
            (10, 1, r#"{"gdpr":{"ads":true}}"#),
            (20, 2, r#"{"gdpr":{"ads":false}}"#),
            // Repeated later, and said before that.
            (30, 3, r#"{"gdpr":{"ads":{"granted":true,"at":"1970-01-01T00:00:00.015Z"}},"ads":true}"#),
            (20, 4, r#"{"ads":false,"gdpr":{"mail":true}}"#),
        ];
        let told: Vec<Event> = said
            .iter()
            .map(|(at, _, consent)| {
                let json = format!(r#"{{"type":"identify","consent":{consent}}}"#);
                let mut event = Event::parse(json.as_bytes()).expect("valid");
                event.occurred = Some(Timestamp(*at));
                event
            })
            .collect();
        for turn in 0..told.len() {
            for split in 0..1 << told.len() {
                let mut nodes = [Node::default(), Node::default()];
                for step in 0..told.len() {
                    let place = (turn + step) % told.len();
                    let told = Told { event: &told[place], source: "web", position: step as u64, tie: said[place].1 };
                    nodes[split >> place & 1].learn(&told);
                }
                let profile = Profile::unite(CustomerId([0; 16]), &[&nodes[0], &nodes[1]]);
                let json = serde_json::to_string(&profile.consent).expect("JSON");
                assert_eq!(json, r#"{"ads":true,"gdpr":{"ads":false,"mail":true}}"#, "turn {turn}, split {split}");
            }
        }
    }

    #[test]
    fn a_refusal_finds_room_where_traits_do_not() {
        let mut node = Node::default();
        let learn = |node: &mut Node, json: &str| {
            let event = Event::parse(json.as_bytes()).expect("valid");
            node.learn(&Told { event: &event, source: "web", position: 0, tie: 0 });
        };
        let long = "x".repeat(8_000);
        for place in 0..10 {
            learn(&mut node, &format!(r#"{{"type":"identify","traits":{{"t{place}":"{long}"}}}}"#));
        }
        let refused = node.refused_total;
        assert!(refused > 0);
        let document = "d".repeat(200);
        learn(
            &mut node,
            &format!(r#"{{"type":"identify","consent":{{"gdpr":{{"ads":{{"granted":false,"document":"{document}"}}}}}}}}"#),
        );
        assert_eq!((given(&[&node]).get(&Purpose::of(Some("gdpr"), "ads")), node.refused_total), (Some(&false), refused));
        for place in 0..limits::PURPOSES_MAX + 2 {
            learn(&mut node, &format!(r#"{{"type":"identify","consent":{{"p{place}":true}}}}"#));
        }
        assert_eq!((node.consent.len(), node.refused_total), (limits::PURPOSES_MAX, refused + 3));
    }

    #[test]
    fn what_finds_no_room_is_counted() {
        let mut node = Node::default();
        for place in 0..limits::NODE_TRAITS_MAX + 3 {
            let event = Event::parse(format!(r#"{{"type":"identify","traits":{{"t{place}":1}}}}"#).as_bytes()).expect("valid");
            node.learn(&Told { event: &event, source: "web", position: 0, tie: 0 });
        }
        assert_eq!((node.traits.len(), node.refused_total), (limits::NODE_TRAITS_MAX, 3));
    }
}
