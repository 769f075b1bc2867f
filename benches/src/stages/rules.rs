//! What is done with an event outside of plugins: read, written, folded.

use std::sync::Arc;

use weft_domain::fold::fold;
use weft_domain::input::{Input, Receipts, Stream, Withheld};
use weft_domain::limits::PROFILE_SETTLE_MS;
use weft_domain::plan::Plan;
use weft_domain::value::Json;
use weft_domain::view::{Changes, Memory, View};
use weft_store::overlay::Overlay;
use weft_store::state::MemoryState;

use super::tally::measure;
use super::{CUSTOMERS_MANY, NOW, inputs, received, stamp};

/// Events in a batch.
const BATCH: usize = 100;
/// Customers where they are known.
const CUSTOMERS_FEW: usize = 20_000;

pub(super) fn all() {
    texts();
    folds();
}

fn texts() {
    let events = received(0, CUSTOMERS_MANY, BATCH);
    let want: usize = events.iter().map(|json| stamp(json).to_json().len()).sum();
    let tally = measure(
        BATCH,
        || (),
        |()| assert_eq!(events.iter().map(|json| stamp(json).to_json().len()).sum::<usize>(), want, "the same every time"),
    );
    tally.print("the door: parse an event, stamp, to JSON", &format!("{} bytes each", want / BATCH));

    let inputs = inputs(0, CUSTOMERS_MANY, BATCH);
    let encode = |input: &Input| {
        let mut payload = Vec::with_capacity(1_024);
        (input.encode(&mut payload), payload)
    };
    let records: Vec<(u8, Vec<u8>)> = inputs.iter().map(encode).collect();
    let tally = measure(BATCH, || (), |()| assert!(inputs.iter().zip(&records).all(|(input, record)| encode(input) == *record)));
    tally.print("an input of history: encode", "");
    let decode = |(kind, payload): &(u8, Vec<u8>)| Input::decode(*kind, payload).expect("it was encoded");
    let decoded: Vec<Input> = records.iter().map(decode).collect();
    assert_eq!(decoded, inputs, "what was encoded reads back");
    let tally =
        measure(BATCH, || (), |()| assert_eq!(records.iter().map(decode).filter_map(|input| input.intake()).count(), BATCH));
    tally.print("an input of history: decode", "");
}

fn folds() {
    new_customers("fold, each a new customer", "state in plain maps", Memory::default());
    new_customers("fold, each a new customer", "the overlay", overlay());
    known_customers("fold, known customers", "state in plain maps", Memory::default());
    known_customers("fold, known customers", "the overlay", overlay());
    with_profiles("fold, known customers, each told to a profile lane", "state in plain maps", Memory::default());
    with_profiles("fold, known customers, each told to a profile lane", "the overlay", overlay());
}

fn overlay() -> Overlay {
    Overlay::open(Arc::new(MemoryState::new()), 100_000).expect("an empty state")
}

/// A view that carries out what follows.
trait World: View {
    fn carry_out(&mut self, position: u64, intake: Option<u64>, changes: Changes);
}

impl World for Memory {
    fn carry_out(&mut self, _: u64, _: Option<u64>, changes: Changes) {
        self.apply(changes);
    }
}

impl World for Overlay {
    fn carry_out(&mut self, position: u64, intake: Option<u64>, changes: Changes) {
        self.apply(position, intake, changes).expect("memory can be read");
    }
}

/// History as it grows: the plan in force, and the next place.
struct History {
    plan: Plan,
    position: u64,
}

impl History {
    fn of(plan: Plan) -> History {
        History { plan, position: 0 }
    }

    /// Folds one input; true where more timers are due.
    fn take(&mut self, world: &mut impl World, input: &Input) -> bool {
        let changes = fold(&self.plan, &*world, self.position, input).expect("memory can be read");
        let more_due = changes.more_due;
        world.carry_out(self.position, input.intake(), changes);
        self.position += 1;
        more_due
    }
}

/// Gives the next batch of events at each call.
fn batches(customers: usize, mut next: usize) -> impl FnMut() -> Vec<Input> {
    move || {
        next += BATCH;
        inputs(next - BATCH, customers, BATCH)
    }
}

fn new_customers(what: &str, beside: &str, mut world: impl World) {
    let mut history = History::of(Plan::default());
    let tally = measure(BATCH, batches(CUSTOMERS_MANY, 0), |batch| {
        for input in &batch {
            history.take(&mut world, input);
        }
    });
    let totals = world.totals();
    assert_eq!((totals.events, totals.customers), (history.position, history.position), "each event, each a customer");
    tally.print(what, beside);
}

fn known_customers(what: &str, beside: &str, mut world: impl World) {
    let mut history = History::of(Plan::default());
    for input in inputs(0, CUSTOMERS_FEW, CUSTOMERS_FEW) {
        history.take(&mut world, &input);
    }
    let tally = measure(BATCH, batches(CUSTOMERS_FEW, CUSTOMERS_FEW), |batch| {
        for input in &batch {
            history.take(&mut world, input);
        }
    });
    let totals = world.totals();
    assert_eq!((totals.events, totals.customers), (history.position, CUSTOMERS_FEW as u64), "each event, nobody new");
    tally.print(what, beside);
}

/// Each batch of events is followed by the tick that tells of its customers, and by the receipt of what was told.
fn with_profiles(what: &str, beside: &str, mut world: impl World) {
    const LANE: &str = "crm";
    let mut history = History::of(Plan { profile_lanes: vec![LANE.into()], ..Plan::default() });
    let (mut told_before, mut now) = (0, NOW);
    let mut turn = |batch: &[Input]| {
        for input in batch {
            history.take(&mut world, input);
        }
        now = now.plus_ms(PROFILE_SETTLE_MS);
        while history.take(&mut world, &Input::Tick(now)) {}
        let through = world.lane(LANE).expect("memory can be read").profiles_next;
        let receipts = Receipts {
            lane: LANE.into(),
            stream: Stream::Profiles,
            through,
            rejected: Vec::new(),
            again: Vec::new(),
            at: None,
            withheld: Withheld::default(),
        };
        history.take(&mut world, &Input::Receipts(receipts));
        through - std::mem::replace(&mut told_before, through)
    };
    turn(&inputs(0, CUSTOMERS_FEW, CUSTOMERS_FEW));
    let mut batches = batches(CUSTOMERS_FEW, CUSTOMERS_FEW);
    let changing = || batches().into_iter().map(change_profile).collect::<Vec<_>>();
    let tally = measure(BATCH, changing, |batch| {
        assert_eq!(turn(&batch), BATCH as u64, "each customer is told of once");
    });
    assert_eq!(world.totals().customers, CUSTOMERS_FEW as u64, "nobody new");
    tally.print(what, beside);
}

/// Nobody is told of a profile that says what it said before, so the event says something new, and later than all others did.
fn change_profile(input: Input) -> Input {
    let Input::Event { source, intake, mut event } = input else { unreachable!("the bench sends events") };
    event.occurred = Some(NOW.plus_ms(i64::try_from(intake).expect("few events")));
    event.traits.insert("last_call".into(), Json::parse(&intake.to_string()).expect("a number is JSON"));
    Input::Event { source, intake, event }
}
