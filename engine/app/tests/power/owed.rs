//! What an engine owes: what it acknowledged, and what its logs say must follow. Reckoned here without the engine's pipeline.

use std::collections::{BTreeMap, BTreeSet};

use weft::writer::Ledger;
use weft_domain::claim::{ClaimId, CustomerId, IdentifierId};
use weft_domain::event::Event;
use weft_domain::explain::explain;
use weft_domain::input::{Arrival, Input, Named, Passed, event_json, positions_of};
use weft_domain::view::{Lane, View};
use weft_store::log::LogReader;
use weft_store::overlay::Overlay;

use crate::crowd::{Arriving, PLACE, SOURCE, identifiers};
use crate::outside::{LAKE, Told};

/// What becomes of a record of intake (invariant 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// An event with this message id.
    Event(String),
    Repetition,
    Dropped,
    /// A dead letter with this code and these bytes.
    Letter(String, Vec<u8>),
    /// How far a source has read.
    Position(Vec<u8>),
}

/// What both logs hold.
pub(crate) struct Logs {
    /// Intake.
    arrived: Vec<Arriving>,
    /// History.
    inputs: Vec<Input>,
    /// Its events, by their places.
    events: BTreeMap<u64, String>,
}

impl Logs {
    pub(crate) fn read(intake: &LogReader, history: &LogReader) -> Logs {
        let (mut inputs, mut events) = (Vec::new(), BTreeMap::new());
        for (position, (kind, bytes)) in (0..).zip(records(history)) {
            inputs.push(Input::decode(kind, &bytes).expect("history can be read"));
            events.extend(event_json(kind, &bytes).map(|json| (position, String::from_utf8_lossy(json).into_owned())));
        }
        Logs { arrived: records(intake), inputs, events }
    }

    /// How many records history holds.
    pub(crate) fn end(&self) -> u64 {
        self.inputs.len() as u64
    }

    /// What must become of each record of intake, in order.
    fn owed(&self) -> Vec<(u64, Fate)> {
        let (mut fates, mut known) = (Vec::new(), BTreeSet::new());
        for (place, (kind, bytes)) in (0..).zip(&self.arrived) {
            let (named, json) = match Arrival::decode(*kind, bytes).expect("intake can be read") {
                Arrival::Event { named, json, .. } => (named, json),
                Arrival::Refused { code, bytes, .. } => {
                    fates.push((place, Fate::Letter(code.to_owned(), bytes.to_vec())));
                    continue;
                }
                Arrival::Position { value, .. } => {
                    fates.push((place, Fate::Position(value.to_vec())));
                    continue;
                }
            };
            let letter = |code: &str| (place, Fate::Letter(code.to_owned(), json.to_vec()));
            let event = Event::parse(json).ok().and_then(|event| match named {
                Named::BySender => event.message_id,
                Named::ByPlace => Some(format!("{SOURCE}-{place}")),
            });
            match (&json[2..6], event) {
                (b"drop", _) => fates.push((place, Fate::Dropped)),
                (b"deny", _) => fates.push(letter("denied")),
                (b"twin", _) => fates.extend([letter("invalid_event"), letter("invalid_event")]),
                (_, None) => fates.push(letter("invalid_event")),
                (_, Some(id)) if !known.insert(id.clone()) => fates.push((place, Fate::Repetition)),
                (_, Some(id)) => fates.push((place, Fate::Event(id))),
            }
        }
        fates
    }

    /// What became of records of intake, in the order of history.
    fn became(&self) -> Vec<(u64, Fate)> {
        let fate = |input: &Input| {
            let fate = match input {
                Input::Event { event, .. } => Fate::Event(event.message_id.clone().unwrap_or_default()),
                Input::Passed { reason: Passed::Duplicate, .. } => Fate::Repetition,
                Input::Passed { reason: Passed::Dropped { .. }, .. } => Fate::Dropped,
                Input::DeadLetter(letter) => Fate::Letter(letter.code.clone(), letter.bytes.clone()),
                Input::Position { kv, .. } => Fate::Position(kv.value.clone().unwrap_or_default()),
                _ => return None,
            };
            Some((input.intake().expect("nothing else makes these"), fate))
        };
        self.inputs.iter().filter_map(fate).collect()
    }
}

fn records(log: &LogReader) -> Vec<Arriving> {
    assert_eq!(log.start(), 0, "nothing is trimmed here");
    let (mut cursor, mut records) = (log.cursor(0), Vec::new());
    while let Some(block) = cursor.next().expect("a log can be read") {
        records.extend(block.records().map(|(_, record)| (record.kind, record.bytes.to_vec())));
    }
    records
}

/// What was promised before the power went.
#[derive(Default)]
pub(crate) struct Promised {
    /// Records of intake that were acknowledged, and how often.
    arrived: BTreeMap<Arriving, usize>,
    /// Inputs that were acknowledged, by their places in history.
    inputs: BTreeMap<u64, Input>,
    /// How far history was seen to be durable.
    history: u64,
    /// Where the destination durably stood.
    lane: Lane,
}

impl Promised {
    pub(crate) fn arrived(&mut self, arriving: Vec<Arriving>) {
        for one in arriving {
            *self.arrived.entry(one).or_default() += 1;
        }
    }

    pub(crate) fn logged(&mut self, position: u64, input: Input) {
        self.inputs.insert(position, input);
    }

    /// Notes how far everything is durable now.
    pub(crate) fn look(&mut self, ledger: &Ledger) {
        let state = ledger.state();
        self.history = *ledger.durable().borrow();
        if state.position() <= self.history {
            self.lane = state.lane(LAKE).expect("state can be read");
        }
    }

    /// Checks what opened after the power went, before anything new came: no promise is broken, and what history says of intake is
    /// what it must say, as far as it got.
    pub(crate) fn check(&self, logs: &Logs, state: &Overlay, told: &Told) {
        let mut arrived: BTreeMap<&Arriving, usize> = BTreeMap::new();
        for one in &logs.arrived {
            *arrived.entry(one).or_default() += 1;
        }
        for (one, times) in &self.arrived {
            let kept = arrived.get(one).copied().unwrap_or_default();
            let text = String::from_utf8_lossy(&one.1);
            assert!(kept >= *times, "acknowledged {times} times, and {kept} times in intake: {text}");
        }
        assert!(logs.end() >= self.history, "{} records of history were durable, and there are {}", self.history, logs.end());
        for (position, input) in &self.inputs {
            assert_eq!(logs.inputs.get(*position as usize), Some(input), "an input that was acknowledged");
        }
        let (owed, became) = (logs.owed(), logs.became());
        assert_same("what history says of intake, as far as it got", &became, &owed[..became.len().min(owed.len())]);
        self.check_lane(logs, state, told);
    }

    /// No delivery that was durable is lost or has another number, and nothing was told that does not follow from history.
    fn check_lane(&self, logs: &Logs, state: &Overlay, told: &Told) {
        let (lane, promised) = (state.lane(LAKE).expect("state can be read"), &self.lane);
        assert!(lane.events_through >= promised.events_through, "{lane:?} was {promised:?}");
        assert!(lane.profiles_through >= promised.profiles_through, "{lane:?} was {promised:?}");
        assert!(lane.profiles_next >= promised.profiles_next, "{lane:?} was {promised:?}");
        for (position, text) in told.events.all() {
            assert_eq!(logs.events.get(&position), Some(&text), "an event that was told, and is not in history");
        }
        for (number, text) in told.profiles.all() {
            assert!(number < lane.profiles_next, "profile {number} was told, and does not follow: {text}");
            let waiting = state.delivery(LAKE, number).expect("state can be read");
            let wanted = (number >= lane.profiles_through).then_some(&*text);
            assert_eq!(waiting.as_deref(), wanted, "profile {number}, which was told before");
        }
    }
}

/// Everybody, as state knows them, and what else a repetition must not change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Everybody {
    people: BTreeMap<CustomerId, String>,
    totals: String,
    profiles_next: u64,
}

impl Everybody {
    /// Reads everybody, and checks a state that has caught up against the logs and the destination: each record of intake came to
    /// its end, each event is filed once, and each was told.
    pub(crate) fn check(logs: &Logs, state: &Overlay, told: &Told) -> Everybody {
        assert_same("what becomes of each record of intake", &logs.became(), &logs.owed());
        let events = &logs.events;
        let totals = state.totals();
        let letters = state.letters((0, 0), usize::MAX).expect("state can be read");
        let wanted = logs.inputs.iter().filter(|input| matches!(input, Input::DeadLetter(_))).count();
        assert_eq!((totals.events, totals.letters, letters.len()), (events.len() as u64, wanted as u64, wanted));

        let place = state.value(&positions_of(SOURCE), PLACE).expect("state can be read");
        let last =
            logs.owed().into_iter().rev().find_map(|(_, fate)| if let Fate::Position(value) = fate { Some(value) } else { None });
        assert_eq!(place.map(|place| place.0.clone()), last, "how far the source has read");

        let claims = claims(state);
        let (mut filed, mut customers) = (Vec::new(), BTreeSet::new());
        for claim in claims {
            let node = state.node(claim).expect("state can be read").expect("a claim has its facts");
            for number in 0..node.pages {
                let page = state.page(claim, number).expect("state can be read").expect("a full page is kept");
                filed.extend(page.iter().map(|entry| entry.position));
            }
            filed.extend(node.page.iter().map(|entry| entry.position));
            customers.extend(node.customer);
        }
        filed.sort_unstable();
        assert_same("the events that are filed", &filed, &events.keys().copied().collect::<Vec<u64>>());
        let mut total = 0;
        let person = |id: CustomerId| {
            let explained = explain(state, id).expect("state can be read").expect("a customer");
            total += explained.profile.events_total;
            (id, serde_json::to_string(&explained).expect("it has string keys"))
        };
        let people: BTreeMap<CustomerId, String> = customers.into_iter().map(person).collect();
        assert_eq!((total, totals.customers), (totals.events, people.len() as u64), "each event is somebody's");

        let lane = state.lane(LAKE).expect("state can be read");
        let (heard, wanted): (Vec<_>, Vec<_>) = (told.events.all().into_iter().collect(), events.clone().into_iter().collect());
        assert_same("the events that were told", &heard, &wanted);
        let numbers: Vec<u64> = told.profiles.all().into_keys().collect();
        assert_same("the profiles that were told", &numbers, &(0..lane.profiles_next).collect::<Vec<u64>>());
        Everybody { people, totals: format!("{totals:?}"), profiles_next: lane.profiles_next }
    }
}

/// Every claim that there is: each names an identifier of the crowd.
pub(crate) fn claims(state: &Overlay) -> BTreeSet<ClaimId> {
    let row = |(kind, value): (&str, String)| state.identifier(IdentifierId::of(kind, &value)).expect("state can be read");
    identifiers().into_iter().filter_map(row).flat_map(|row| row.claims.clone()).collect()
}

/// Compares two lists, and shows the first place where they part: they are long.
fn assert_same<T: std::fmt::Debug + PartialEq>(what: &str, have: &[T], want: &[T]) {
    let place = (0..have.len().max(want.len())).find(|place| have.get(*place) != want.get(*place));
    if let Some(place) = place {
        panic!("{what}, entry {place}: it is {:?} and must be {:?}", have.get(place), want.get(place));
    }
}
