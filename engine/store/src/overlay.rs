//! State in memory over state in sled: what the fold reads and writes.
//!
//! A row that the fold touches stays here until the next commit, however often it changes, and is then written once; this is
//! where the engine's speed comes from. [`Overlay::freeze`] takes what changed since the last commit, as shared values, so that
//! a [`Frozen`] commit is encoded and written by another thread while the fold goes on; [`Overlay::settle`] then lets go of
//! rows that sled has. Readers look here first, so they see each event as soon as it is folded.
//!
//! The history position travels with the rows in one commit (invariant 2). Nothing here decides what a row says.

mod peek;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use weft_domain::attribute::{Standings, Tally};
use weft_domain::claim::{Claim, ClaimId, CustomerId, IdentifierId, Trained};
use weft_domain::plan::Plan;
use weft_domain::profile::{Entry, Node};
use weft_domain::value::Timestamp;
use weft_domain::view::{
    Again, Changes, Customer, IdentifierRow, Lane, Letter, Read, Rows, TallyId, Totals, View, ViewError, Window, WindowPage,
};

use crate::key;
use crate::rows::{Delivery, Filed, Held, Keys, Meta, OpenMatch, Piece, Row, Value};
use crate::rows::{
    again_key, again_of, changing_key, changing_of, claim_of, letter_of, open_match_of, timer_key, timer_of, value_key,
};
use crate::state::{Space, StateStore};
use crate::{StoreError, format};

pub use peek::{CommittedClaim, CommittedState, Peek};

/// State as the fold sees it.
pub struct Overlay {
    base: Arc<dyn StateStore>,
    rows_max: usize,
    epoch: u64,
    settled: u64,
    position: u64,
    intake_through: u64,
    identifiers: Table<IdentifierRow>,
    filed: Table<Filed>,
    pages: Table<Vec<Entry>>,
    customers: Table<Customer>,
    lanes: Table<Lane>,
    deliveries: Table<Delivery>,
    letters: Table<Letter>,
    again: Table<Again>,
    held: Table<Held>,
    open_matches: Table<OpenMatch>,
    /// All of it is held: whoever compares asks for it.
    model: Option<Arc<Trained>>,
    pieces: Table<Piece>,
    kv: Table<Value>,
    keys: Table<Keys>,
    tallies: Table<Tally>,
    timers: Timers<CustomerId>,
    changing: Timers<ClaimId>,
    standings: Arc<Standings>,
    window: Window,
    window_written: std::ops::Range<u64>,
    window_dirty_from: u64,
    plan: Arc<Plan>,
    clock: Timestamp,
    totals: Totals,
}

/// Timers by when they are due, and for whom. All are held: the writer asks for the next one at every turn, and must not wait for a
/// commit to learn that there is none. One takes some 50 bytes.
struct Timers<Id> {
    /// Those that are set, and those taken away since the last commit that is settled.
    all: BTreeMap<(Timestamp, Id), Timer>,
    /// Those that changed in this epoch.
    dirty: Vec<(Timestamp, Id)>,
    /// Those taken away.
    gone: Vec<(Timestamp, Id)>,
}

#[derive(Clone, Copy)]
struct Timer {
    set: bool,
    epoch: u64,
}

impl<Id: Copy + Ord> Timers<Id> {
    fn read(base: &dyn StateStore, space: Space, read: fn(&[u8]) -> Option<(Timestamp, Id)>) -> Result<Timers<Id>, StoreError> {
        let rows = base.scan(space, &[], None, usize::MAX)?;
        let timer = |(key, _): &(Vec<u8>, _)| {
            let id = read(key).ok_or(StoreError::Row("the key of a timer is malformed"))?;
            Ok((id, Timer { set: true, epoch: 0 }))
        };
        let all = rows.iter().map(timer).collect::<Result<_, StoreError>>()?;
        Ok(Timers { all, dirty: Vec::new(), gone: Vec::new() })
    }

    fn change(&mut self, epoch: u64, changes: BTreeMap<(Timestamp, Id), bool>) {
        for (id, set) in changes {
            let before = self.all.insert(id, Timer { set, epoch });
            if before.is_none_or(|before| before.epoch != epoch) {
                self.dirty.push(id);
            }
        }
    }

    fn due(&self, until: (Timestamp, Id), max: usize) -> Vec<(Timestamp, Id)> {
        self.all.range(..=until).filter(|(_, timer)| timer.set).map(|(id, _)| *id).take(max).collect()
    }

    /// What changed in this epoch.
    fn freeze(&mut self) -> Vec<((Timestamp, Id), bool)> {
        let is_set = |id: (Timestamp, Id)| (id, self.all.get(&id).is_some_and(|timer| timer.set));
        let changed: Vec<_> = self.dirty.drain(..).map(is_set).collect();
        self.gone.extend(changed.iter().filter(|(_, set)| !set).map(|(id, _)| *id));
        changed
    }

    /// Forgets those taken away that sled has forgotten.
    fn settle(&mut self, settled: u64) {
        let all = &mut self.all;
        self.gone.retain(|id| {
            let is_settled = all.get(id).is_none_or(|timer| timer.set || timer.epoch <= settled);
            if is_settled && all.get(id).is_some_and(|timer| !timer.set) {
                all.remove(id);
            }
            !is_settled
        });
    }
}

/// Rows of one kind: those read lately and those that sled does not have yet.
struct Table<R: Row> {
    rows: RefCell<HashMap<R::Id, InMemory<R>>>,
    dirty: Vec<R::Id>,
}

struct InMemory<R> {
    row: Option<Arc<R>>,
    /// The epoch of its last change, 0 if it is as sled has it.
    changed: u64,
    /// The epoch in which it was last read or changed.
    touched: u64,
}

impl<R: Row> Table<R> {
    fn new() -> Self {
        Table { rows: RefCell::default(), dirty: Vec::new() }
    }

    fn get(&self, base: &dyn StateStore, epoch: u64, id: &R::Id) -> Result<Option<Arc<R>>, StoreError> {
        if let Some(held) = self.rows.borrow_mut().get_mut(id) {
            held.touched = epoch;
            return Ok(held.row.clone());
        }
        let row = read::<R>(base, id)?;
        self.rows.borrow_mut().insert(id.clone(), InMemory { row: row.clone(), changed: 0, touched: epoch });
        Ok(row)
    }

    /// A row that does not stay in memory because of it.
    fn peek(&self, base: &dyn StateStore, id: &R::Id) -> Read<Option<Arc<R>>> {
        match self.rows.borrow().get(id) {
            Some(held) => Ok(held.row.clone()),
            None => read::<R>(base, id).map_err(unreadable),
        }
    }

    /// Rows from an id on, at most `max`, in the order of their ids. `of` reads an id from a key.
    fn from(&self, base: &dyn StateStore, from: &R::Id, max: usize, of: fn(&[u8]) -> Option<R::Id>) -> Read<Found<R>> {
        let rows = self.rows.borrow();
        let gone = rows.iter().filter(|(id, held)| **id >= *from && held.row.is_none()).count();
        let wanted = max.saturating_add(gone);
        let scan = base.scan(R::SPACE, &R::key(from), None, wanted).map_err(unreadable)?;
        let mut found = BTreeMap::new();
        for (key, bytes) in &scan {
            let id = of(key).ok_or_else(|| ViewError("the key of a row is malformed".into()))?;
            found.insert(id, Some(Arc::new(format::decode::<R>(bytes).map_err(unreadable)?.1)));
        }
        // Past what a full scan gave there may be more in sled, and it is enough as it is.
        let through = found.last_key_value().map(|(id, _)| id.clone()).filter(|_| scan.len() == wanted);
        let is_in = |id: &R::Id| *id >= *from && through.as_ref().is_none_or(|through| id <= through);
        for (id, held) in rows.iter().filter(|(id, _)| is_in(id)) {
            found.insert(id.clone(), held.row.clone());
        }
        Ok(found.into_iter().filter_map(|(id, row)| Some((id, row?))).take(max).collect())
    }

    fn put(&mut self, epoch: u64, id: R::Id, row: Option<Arc<R>>) {
        let held = InMemory { row, changed: epoch, touched: epoch };
        let before = self.rows.get_mut().insert(id.clone(), held);
        if before.is_none_or(|before| before.changed != epoch) {
            self.dirty.push(id);
        }
    }

    /// Changes a part of a row. The fold has looked at it, so it is at hand.
    fn change(&mut self, base: &dyn StateStore, epoch: u64, id: R::Id, change: impl FnOnce(&mut R)) -> Read<()>
    where
        R: Clone + Default,
    {
        let mut row = self.get(base, epoch, &id).map_err(unreadable)?.unwrap_or_default();
        change(Arc::make_mut(&mut row));
        self.put(epoch, id, Some(row));
        Ok(())
    }

    fn put_all(&mut self, epoch: u64, rows: Rows<R::Id, R>) {
        for (id, row) in rows {
            self.put(epoch, id, row);
        }
    }

    fn freeze(&mut self) -> Written<R> {
        let rows = self.rows.get_mut();
        let row = |id: R::Id| {
            let row = rows.get(&id).expect("a row that changed is held until it is settled").row.clone();
            (id, row)
        };
        self.dirty.drain(..).map(row).collect()
    }

    /// Lets go of rows that sled has and nobody touched lately, where there are more than `max`.
    fn shrink(&mut self, settled: u64, epoch: u64, max: usize) {
        let rows = self.rows.get_mut();
        if rows.len() > max {
            rows.retain(|_, held| held.changed > settled || held.touched >= epoch);
        }
        if rows.len() > max {
            rows.retain(|_, held| held.changed > settled);
        }
    }
}

fn read<R: Row>(base: &dyn StateStore, id: &R::Id) -> Result<Option<Arc<R>>, StoreError> {
    let Some(bytes) = base.get(R::SPACE, &R::key(id))? else { return Ok(None) };
    Ok(Some(Arc::new(format::decode::<R>(&bytes)?.1)))
}

/// Rows as a commit writes them; none takes a row away.
type Written<R> = Vec<(<R as Row>::Id, Option<Arc<R>>)>;

/// Rows by their ids, in order.
type Found<R> = Vec<(<R as Row>::Id, Arc<R>)>;

/// Dead letters, each with the place in history from which it follows and its ordinal there.
pub type Letters = Vec<((u64, u32), Arc<Letter>)>;

/// What changed between two commits. It is written by [`Frozen::commit`], on any thread.
pub struct Frozen {
    epoch: u64,
    position: u64,
    identifiers: Written<IdentifierRow>,
    filed: Written<Filed>,
    pages: Written<Vec<Entry>>,
    customers: Written<Customer>,
    lanes: Written<Lane>,
    deliveries: Written<Delivery>,
    letters: Written<Letter>,
    again: Written<Again>,
    held: Written<Held>,
    open_matches: Written<OpenMatch>,
    pieces: Written<Piece>,
    kv: Written<Value>,
    keys: Written<Keys>,
    tallies: Written<Tally>,
    timers: Vec<((Timestamp, CustomerId), bool)>,
    changing: Vec<((Timestamp, ClaimId), bool)>,
    window: Written<WindowPage>,
    meta: Meta,
}

/// What a commit puts and takes away.
type Batch = Vec<(Space, Vec<u8>, Option<Vec<u8>>)>;

impl Frozen {
    /// Writes it: the rows and the history position, all or nothing, durable when this returns.
    ///
    /// # Errors
    /// [`StoreError`]; then the store must be opened again, and holds all of it or nothing.
    pub fn commit(self, base: &dyn StateStore) -> Result<Committed, StoreError> {
        let (position, mut batch) = (self.position, Batch::new());
        write(&mut batch, position, self.identifiers)?;
        write(&mut batch, position, self.filed)?;
        write(&mut batch, position, self.pages)?;
        write(&mut batch, position, self.customers)?;
        write(&mut batch, position, self.lanes)?;
        write(&mut batch, position, self.deliveries)?;
        write(&mut batch, position, self.letters)?;
        write(&mut batch, position, self.again)?;
        write(&mut batch, position, self.held)?;
        write(&mut batch, position, self.open_matches)?;
        write(&mut batch, position, self.pieces)?;
        write(&mut batch, position, self.kv)?;
        write(&mut batch, position, self.keys)?;
        write(&mut batch, position, self.tallies)?;
        write(&mut batch, position, self.window)?;
        write(&mut batch, position, vec![((), Some(Arc::new(self.meta)))])?;
        let timers = self.timers.iter().map(|(timer, set)| (Space::Timer, timer_key(timer), *set));
        let changing = self.changing.iter().map(|(timer, set)| (Space::Changing, changing_key(timer), *set));
        for (space, key, set) in timers.chain(changing) {
            let value = if set { Some(format::encode(position, &())?) } else { None };
            batch.push((space, key, value));
        }
        let rows = batch.len();
        base.commit(batch, position)?;
        Ok(Committed { epoch: self.epoch, position, rows })
    }
}

/// A text in pieces of at most [`Piece::BYTES`].
fn pieces_of(mut text: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (piece, rest) = text.split_at(text.floor_char_boundary(Piece::BYTES));
        text = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

/// The model again, from its pieces.
fn read_model(base: &dyn StateStore, meta: &Meta) -> Result<Option<Trained>, StoreError> {
    let Some((version, at, pieces)) = meta.model else { return Ok(None) };
    let mut json = String::new();
    for number in 0..pieces {
        json.push_str(&read::<Piece>(base, &number)?.unwrap_or_default().0);
    }
    Ok(Some(Trained { version, at, json }))
}

fn write<R: Row>(batch: &mut Batch, position: u64, rows: Written<R>) -> Result<(), StoreError> {
    for (id, row) in rows {
        let value = row.map(|row| format::encode(position, &*row)).transpose()?;
        batch.push((R::SPACE, R::key(&id), value));
    }
    Ok(())
}

/// A commit that is durable.
#[derive(Clone, Copy, Debug)]
pub struct Committed {
    epoch: u64,
    /// The history position that it covers.
    pub position: u64,
    /// Rows put and taken away.
    pub rows: usize,
}

impl Overlay {
    /// Opens state for the fold. It holds about `rows_max` rows of each kind in memory, and more only between commits.
    ///
    /// # Errors
    /// [`StoreError`], where the few rows that are always held cannot be read.
    pub fn open(base: Arc<dyn StateStore>, rows_max: usize) -> Result<Self, StoreError> {
        let meta = read::<Meta>(&*base, &())?.unwrap_or_default();
        let plan = meta.plan().unwrap_or_default();
        let mut pages = Vec::new();
        let scan = base.scan(Space::Window, &[], None, usize::MAX)?;
        for (_, bytes) in &scan {
            pages.push(format::decode::<WindowPage>(bytes)?.1);
        }
        let timers = Timers::read(&*base, Space::Timer, timer_of)?;
        let changing = Timers::read(&*base, Space::Changing, changing_of)?;
        let model = read_model(&*base, &meta)?.map(Arc::new);
        let window = Window::restore(pages, meta.remembered_total, plan.duplicate_window_events);
        let written = window.pages();
        Ok(Overlay {
            position: base.position(),
            intake_through: meta.intake_through,
            base,
            rows_max,
            epoch: 1,
            settled: 0,
            identifiers: Table::new(),
            filed: Table::new(),
            pages: Table::new(),
            customers: Table::new(),
            lanes: Table::new(),
            deliveries: Table::new(),
            letters: Table::new(),
            again: Table::new(),
            held: Table::new(),
            open_matches: Table::new(),
            model,
            pieces: Table::new(),
            kv: Table::new(),
            keys: Table::new(),
            tallies: Table::new(),
            timers,
            changing,
            standings: meta.standings.clone(),
            window_dirty_from: meta.remembered_total,
            window,
            window_written: written,
            plan: Arc::new(plan),
            clock: meta.clock,
            totals: meta.totals,
        })
    }

    /// The place in history up to which state has been folded.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The record of intake before which all have reached history.
    #[must_use]
    pub fn intake_through(&self) -> u64 {
        self.intake_through
    }

    /// The rules in force.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Carries out what follows from the input at `position`, which answers for the record `intake` where it came from there.
    ///
    /// # Errors
    /// [`ViewError`], where state cannot be read.
    pub fn apply(&mut self, position: u64, intake: Option<u64>, changes: Changes) -> Read<()> {
        let epoch = self.epoch;
        self.identifiers.put_all(epoch, changes.identifiers);
        let claims_gone = changes.claims.iter().filter(|(_, claim)| claim.is_none()).map(|(id, _)| *id);
        let nodes_gone = changes.nodes.iter().filter(|(_, node)| node.is_none()).map(|(id, _)| *id);
        let emptied: Vec<ClaimId> = claims_gone.chain(nodes_gone).collect();
        for (id, claim) in changes.claims {
            self.filed.change(&*self.base, epoch, id, |filed| filed.claim = claim)?;
        }
        for (id, node) in changes.nodes {
            self.filed.change(&*self.base, epoch, id, |filed| filed.node = node)?;
        }
        for id in emptied {
            let filed = self.filed.get(&*self.base, epoch, &id).map_err(unreadable)?;
            if filed.is_some_and(|filed| *filed == Filed::default()) {
                self.filed.put(epoch, id, None);
            }
        }
        self.customers.put_all(epoch, changes.customers);
        self.letters.put_all(epoch, changes.letters);
        self.pages.put_all(epoch, changes.pages);
        self.again.put_all(epoch, changes.again);
        for (claim, held) in changes.held {
            self.held.put(epoch, claim, held.then(|| Arc::new(Held)));
        }
        for (pair, open) in changes.open_matches {
            self.open_matches.put(epoch, pair, open.then(|| Arc::new(OpenMatch)));
        }
        if let Some(model) = changes.model {
            self.learn(epoch, model);
        }
        for (name, lane) in changes.lanes {
            self.lanes.put(epoch, name, Some(Arc::new(lane)));
        }
        for (id, text) in changes.deliveries {
            self.deliveries.put(epoch, id, text.map(|text| Arc::new(Delivery { text, position })));
        }
        for (id, value) in changes.kv {
            self.kv.put(epoch, id, value.map(|value| Arc::new(Value(value))));
        }
        for (stage, count) in changes.keys {
            self.keys.put(epoch, stage, Some(Arc::new(Keys(count))));
        }
        self.tallies.put_all(epoch, changes.tallies);
        self.timers.change(epoch, changes.timers);
        self.changing.change(epoch, changes.changing);
        self.standings = changes.standings.unwrap_or_else(|| self.standings.clone());
        self.plan = changes.plan.unwrap_or_else(|| self.plan.clone());
        if let Some(fingerprint) = changes.remember {
            self.window.remember(fingerprint, self.plan.duplicate_window_events);
        }
        self.clock = changes.clock.unwrap_or(self.clock);
        self.totals = changes.totals.unwrap_or(self.totals);
        self.position = position + 1;
        if let Some(intake) = intake {
            self.intake_through = self.intake_through.max(intake + 1);
        }
        Ok(())
    }

    /// Puts a model in the place of the one before.
    fn learn(&mut self, epoch: u64, model: Arc<Trained>) {
        let before = self.model.as_ref().map_or(0, |model| pieces_of(&model.json).count());
        let mut number = 0;
        for piece in pieces_of(&model.json) {
            self.pieces.put(epoch, number, Some(Arc::new(Piece(piece.to_owned()))));
            number += 1;
        }
        (number..before as u32).for_each(|gone| self.pieces.put(epoch, gone, None));
        self.model = Some(model);
    }

    /// The model of the matcher; none where none was learned.
    #[must_use]
    pub fn model(&self) -> Option<&Arc<Trained>> {
        self.model.as_ref()
    }

    /// Takes what changed since the last time, for one commit. Until that commit is settled nothing of it is let go.
    pub fn freeze(&mut self) -> Frozen {
        let epoch = self.epoch;
        self.epoch += 1;
        let pages = self.window.pages();
        let page_of = |count: u64| count / weft_domain::limits::WINDOW_PAGE_ENTRIES as u64;
        let gone = self.window_written.start..pages.start.min(self.window_written.end);
        let changed = page_of(self.window_dirty_from).max(pages.start)..pages.end;
        let window = gone.map(|number| (number, None));
        let window = window.chain(changed.map(|number| (number, Some(Arc::new(self.window.page(number))))));
        let window = if self.window_dirty_from == self.window.remembered_total() { Vec::new() } else { window.collect() };
        (self.window_written, self.window_dirty_from) = (pages, self.window.remembered_total());
        Frozen {
            epoch,
            position: self.position,
            identifiers: self.identifiers.freeze(),
            filed: self.filed.freeze(),
            pages: self.pages.freeze(),
            customers: self.customers.freeze(),
            lanes: self.lanes.freeze(),
            deliveries: self.deliveries.freeze(),
            letters: self.letters.freeze(),
            again: self.again.freeze(),
            held: self.held.freeze(),
            open_matches: self.open_matches.freeze(),
            pieces: self.pieces.freeze(),
            kv: self.kv.freeze(),
            keys: self.keys.freeze(),
            tallies: self.tallies.freeze(),
            timers: self.timers.freeze(),
            changing: self.changing.freeze(),
            window,
            meta: Meta {
                plan: serde_json::to_string(&*self.plan).expect("a plan has string keys"),
                clock: self.clock,
                totals: self.totals,
                remembered_total: self.window.remembered_total(),
                intake_through: self.intake_through,
                standings: self.standings.clone(),
                model: self.model.as_ref().map(|model| (model.version, model.at, pieces_of(&model.json).count() as u32)),
            },
        }
    }

    /// Lets go of what a commit made durable.
    pub fn settle(&mut self, committed: Committed) {
        self.settled = committed.epoch;
        let (settled, epoch, max) = (self.settled, self.epoch, self.rows_max);
        self.identifiers.shrink(settled, epoch, max);
        self.filed.shrink(settled, epoch, max);
        self.pages.shrink(settled, epoch, 0);
        self.customers.shrink(settled, epoch, max);
        self.lanes.shrink(settled, epoch, max);
        self.deliveries.shrink(settled, epoch, max);
        self.letters.shrink(settled, epoch, max);
        self.again.shrink(settled, epoch, max);
        self.held.shrink(settled, epoch, max);
        self.open_matches.shrink(settled, epoch, max);
        self.pieces.shrink(settled, epoch, 0);
        // A value may have 64 KiB, and who wants it soon again is rare.
        self.kv.shrink(settled, epoch, 0);
        self.keys.shrink(settled, epoch, max);
        self.tallies.shrink(settled, epoch, max);
        self.timers.settle(settled);
        self.changing.settle(settled);
    }

    /// How many rows changed since the last [`Overlay::freeze`].
    #[must_use]
    pub fn dirty(&self) -> usize {
        let Overlay { identifiers, filed, customers, deliveries, letters, again, tallies, .. } = self;
        let of_people = identifiers.dirty.len() + filed.dirty.len() + customers.dirty.len() + tallies.dirty.len();
        of_people + deliveries.dirty.len() + letters.dirty.len() + again.dirty.len()
    }

    /// A full page of the history index.
    ///
    /// # Errors
    /// [`ViewError`], where state cannot be read; so for the two below.
    pub fn page(&self, claim: ClaimId, number: u32) -> Read<Option<Arc<Vec<Entry>>>> {
        self.pages.get(&*self.base, self.epoch, &(claim, number)).map_err(unreadable)
    }

    /// Claims that had been committed, those after one of them, at most `max`, in ascending order.
    #[allow(clippy::missing_errors_doc)]
    pub fn committed_claims(&self, after: Option<ClaimId>, max: usize) -> Read<Vec<ClaimId>> {
        let from = after.map_or_else(Vec::new, |claim| key::after(&Filed::key(&claim)));
        let rows = self.base.scan(Space::Claim, &from, None, max).map_err(unreadable)?;
        let claim = |(key, _): &(Vec<u8>, _)| claim_of(key).ok_or_else(|| ViewError("the key of a claim is malformed".into()));
        rows.iter().map(claim).collect()
    }

    /// A profile delivery that waits, with the place in history from which it follows.
    #[allow(clippy::missing_errors_doc)]
    pub fn waiting(&self, lane: &str, number: u64) -> Read<Option<Arc<Delivery>>> {
        self.deliveries.get(&*self.base, self.epoch, &(lane.to_owned(), number)).map_err(unreadable)
    }

    /// A value of a stage's own small store.
    #[allow(clippy::missing_errors_doc)]
    pub fn value(&self, stage: &str, key: &str) -> Read<Option<Arc<Value>>> {
        self.kv.get(&*self.base, self.epoch, &(stage.to_owned(), key.to_owned())).map_err(unreadable)
    }

    /// All values of a stage's own small store, by key.
    #[allow(clippy::missing_errors_doc)]
    pub fn values(&self, stage: &str) -> Read<BTreeMap<String, Arc<Value>>> {
        let mut found = BTreeMap::new();
        let begins = value_key(stage, "");
        // The row under the empty key is the count of the others.
        let (mut from, to) = (key::after(&begins), key::after_prefix(&begins));
        loop {
            let rows = self.base.scan(Space::Kv, &from, to.as_deref(), SCAN_ROWS).map_err(unreadable)?;
            for (key, bytes) in &rows {
                let name = String::from_utf8(key[begins.len()..].to_vec());
                let name = name.map_err(|_| ViewError("the key of a value is not UTF-8".into()))?;
                found.insert(name, Some(Arc::new(format::decode::<Value>(bytes).map_err(unreadable)?.1)));
            }
            match rows.last() {
                Some((last, _)) if rows.len() == SCAN_ROWS => from = key::after(last),
                _ => break,
            }
        }
        for ((_, name), held) in self.kv.rows.borrow().iter().filter(|((of, _), _)| of == stage) {
            found.insert(name.clone(), held.row.clone());
        }
        Ok(found.into_iter().filter_map(|(name, row)| Some((name, row?))).collect())
    }

    /// The events that a destination is to have again, by their places in history: at least the first `max` of them.
    #[allow(clippy::missing_errors_doc)]
    pub fn all_again(&self, lane: &str, max: usize) -> Read<BTreeMap<u64, Arc<Again>>> {
        let held = self.again.rows.borrow();
        let of_lane = || held.iter().filter(|((of, _), _)| of == lane);
        let wanted = max.saturating_add(of_lane().filter(|(_, held)| held.row.is_none()).count());
        let begins = again_key(lane);
        let scan = self.base.scan(Space::Again, &begins, key::after_prefix(&begins).as_deref(), wanted).map_err(unreadable)?;
        let mut found = BTreeMap::new();
        for (key, bytes) in &scan {
            let position =
                again_of(key, &begins).ok_or_else(|| ViewError("the key of an event to be had again is malformed".into()))?;
            found.insert(position, Some(Arc::new(format::decode::<Again>(bytes).map_err(unreadable)?.1)));
        }
        for ((_, position), held) in of_lane() {
            found.insert(*position, held.row.clone());
        }
        Ok(found.into_iter().filter_map(|(position, row)| Some((position, row?))).collect())
    }

    /// Dead letters from an id on, at most `max`, in the order in which they came.
    #[allow(clippy::missing_errors_doc)]
    pub fn letters(&self, from: (u64, u32), max: usize) -> Read<Letters> {
        self.letters.from(&*self.base, &from, max, letter_of)
    }

    /// Claims from an id on, at most `max`, in the order of their ids.
    #[allow(clippy::missing_errors_doc)]
    pub fn claims(&self, from: ClaimId, max: usize) -> Read<Vec<(ClaimId, Arc<Claim>)>> {
        let filed = self.filed.from(&*self.base, &from, max, claim_of)?;
        Ok(filed.into_iter().filter_map(|(id, filed)| Some((id, filed.claim.clone()?))).collect())
    }

    /// Matches that wait for a person, from a pair on, at most `max`, in the order of their claims.
    #[allow(clippy::missing_errors_doc)]
    pub fn open_matches(&self, from: [ClaimId; 2], max: usize) -> Read<Vec<[ClaimId; 2]>> {
        Ok(self.open_matches.from(&*self.base, &from, max, open_match_of)?.into_iter().map(|(pair, _)| pair).collect())
    }

    /// Claims that are held, from an id on, at most `max`, in the order of their ids.
    #[allow(clippy::missing_errors_doc)]
    pub fn held(&self, from: ClaimId, max: usize) -> Read<Vec<ClaimId>> {
        Ok(self.held.from(&*self.base, &from, max, claim_of)?.into_iter().map(|(id, _)| id).collect())
    }
}

/// Rows that are read at once where all are wanted: a page or two of memory.
const SCAN_ROWS: usize = 1_000;

fn unreadable(error: StoreError) -> ViewError {
    ViewError(error.to_string())
}

impl View for Overlay {
    fn identifier(&self, id: IdentifierId) -> Read<Option<Arc<IdentifierRow>>> {
        self.identifiers.get(&*self.base, self.epoch, &id).map_err(unreadable)
    }
    fn claim(&self, id: ClaimId) -> Read<Option<Arc<Claim>>> {
        Ok(self.filed.get(&*self.base, self.epoch, &id).map_err(unreadable)?.and_then(|filed| filed.claim.clone()))
    }
    fn node(&self, id: ClaimId) -> Read<Option<Arc<Node>>> {
        Ok(self.filed.get(&*self.base, self.epoch, &id).map_err(unreadable)?.and_then(|filed| filed.node.clone()))
    }
    fn customer(&self, id: CustomerId) -> Read<Option<Arc<Customer>>> {
        self.customers.get(&*self.base, self.epoch, &id).map_err(unreadable)
    }
    fn due(&self, now: Timestamp, max: usize) -> Read<Vec<(Timestamp, CustomerId)>> {
        Ok(self.timers.due((now, CustomerId([255; 16])), max))
    }
    fn tally(&self, id: TallyId) -> Read<Option<Arc<Tally>>> {
        self.tallies.get(&*self.base, self.epoch, &id).map_err(unreadable)
    }
    fn changing(&self, now: Timestamp, max: usize) -> Read<Vec<(Timestamp, ClaimId)>> {
        Ok(self.changing.due((now, ClaimId([255; 16])), max))
    }
    fn standings(&self) -> Arc<Standings> {
        self.standings.clone()
    }
    fn lane(&self, name: &str) -> Read<Lane> {
        let row = self.lanes.get(&*self.base, self.epoch, &name.to_owned()).map_err(unreadable)?;
        Ok(row.map(|row| Lane::clone(&row)).unwrap_or_default())
    }
    fn delivery(&self, lane: &str, number: u64) -> Read<Option<Arc<str>>> {
        Ok(self.waiting(lane, number)?.map(|row| row.text.clone()))
    }
    fn has_key(&self, stage: &str, key: &str) -> Read<bool> {
        Ok(self.value(stage, key)?.is_some())
    }
    fn keys(&self, stage: &str) -> Read<u64> {
        let row = self.keys.get(&*self.base, self.epoch, &stage.to_owned()).map_err(unreadable)?;
        Ok(row.map_or(0, |keys| keys.0))
    }
    fn letter(&self, id: (u64, u32)) -> Read<Option<Arc<Letter>>> {
        self.letters.get(&*self.base, self.epoch, &id).map_err(unreadable)
    }
    fn again(&self, lane: &str, position: u64) -> Read<Option<Arc<Again>>> {
        self.again.get(&*self.base, self.epoch, &(lane.to_owned(), position)).map_err(unreadable)
    }
    fn repeated(&self, fingerprint: u64) -> bool {
        self.window.holds(fingerprint)
    }
    fn clock(&self) -> Timestamp {
        self.clock
    }
    fn totals(&self) -> Totals {
        self.totals
    }
}
