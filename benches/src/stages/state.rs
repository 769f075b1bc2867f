//! Commits of state to sled, over a state of some size.

use std::sync::Arc;

use weft::limits::ROWS_HELD;
use weft_domain::fold::fold;
use weft_domain::plan::Plan;
use weft_domain::view::View;
use weft_store::overlay::Overlay;
use weft_store::state::{Folder, Options, StateStore};

use super::tally::Tally;
use super::{CUSTOMERS_MANY, inputs};
use crate::machine::disk_bytes;

/// Customers in a commit.
const COMMIT: usize = 10_000;
/// Customers before anything is measured.
const CUSTOMERS: usize = 200_000;
/// Commits of each kind that are measured.
const COMMITS: usize = 5;

pub(super) fn all() {
    let folder = tempfile::tempdir().expect("a folder for the state");
    let state = Folder::open(folder.path(), Options::default()).and_then(|mut folder| folder.begin_rebuild());
    let state: Arc<dyn StateStore> = Arc::new(state.expect("a new state"));
    let overlay = Overlay::open(state.clone(), ROWS_HELD).expect("an empty state");
    let mut keeper = Keeper { state, overlay, rows: 0 };
    let mut unmeasured = Tally::of(COMMIT);
    for first in (0..CUSTOMERS).step_by(COMMIT) {
        keeper.commit(&mut unmeasured, first, CUSTOMERS_MANY);
    }

    let (mut tally, before) = (Tally::of(COMMIT), keeper.rows);
    let mut next = CUSTOMERS;
    for _ in 0..COMMITS {
        keeper.commit(&mut tally, next, CUSTOMERS_MANY);
        next += COMMIT;
    }
    let shown = keeper.shown(&tally, before);
    tally.print(&format!("sled: commit new customers, {CUSTOMERS} known"), &shown);
    assert_eq!(keeper.overlay.totals().customers, next as u64, "each event a new customer");

    // The same customers again, by the same numbers; only the events are others.
    let (mut tally, before) = (Tally::of(COMMIT), keeper.rows);
    for number in 0..COMMITS {
        keeper.commit(&mut tally, CUSTOMERS_MANY + number * COMMIT, CUSTOMERS_MANY);
    }
    let shown = keeper.shown(&tally, before);
    tally.print(&format!("sled: commit known customers, {next} known"), &shown);
    assert_eq!(keeper.overlay.totals().customers, next as u64, "nobody new");

    let sizes = keeper.state.sizes().expect("the state can be read");
    let each = |bytes: u64| bytes / next as u64;
    println!(
        "state of {next} customers: {} rows, {} bytes of keys and values each, {} bytes on disk each",
        sizes.rows,
        each(sizes.live_bytes),
        each(disk_bytes(folder.path()))
    );
}

/// The fold over a state, without history.
struct Keeper {
    state: Arc<dyn StateStore>,
    overlay: Overlay,
    rows: usize,
}

impl Keeper {
    /// Folds events, and commits what follows; the commit is what is counted.
    fn commit(&mut self, tally: &mut Tally, first: usize, customers: usize) {
        let plan = Plan::default();
        for input in inputs(first, customers, COMMIT) {
            let position = self.overlay.position();
            let changes = fold(&plan, &self.overlay, position, &input).expect("the state can be read");
            self.overlay.apply(position, input.intake(), changes).expect("the state can be read");
        }
        let mut committed = None;
        tally.round([()], |()| committed = Some(self.overlay.freeze().commit(&*self.state).expect("the disk takes it")));
        let committed = committed.expect("a round is done");
        assert_eq!(self.state.position(), self.overlay.position(), "the commit covers all of it");
        self.rows += committed.rows;
        self.overlay.settle(committed);
    }

    fn shown(&self, tally: &Tally, rows_before: usize) -> String {
        let rows = (self.rows - rows_before) as f64 / (COMMITS * COMMIT) as f64;
        format!("{rows:.1} rows each, {:.0} rows/s", rows * tally.records_per_second())
    }
}
