//! The records of a lane between being read and being noted: what waits, what is under way, and how far everything has come to an end.
//!
//! A record is in one place at a time: it waits, is under way, or has come to an end and waits for those before it. The lane's place
//! passes only what has come to an end without a gap, so that after a crash nothing is missing (invariant 3); what had come to an end
//! behind a gap goes out again, under the same name (invariant 5). It asks no plugin and no clock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use weft_domain::input::Rejected;

/// A record on its way out.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// The place in the stream.
    pub position: u64,
    /// The JSON.
    pub bytes: Bytes,
    /// Whose it is, as a fingerprint: none where it is nobody's, or where all go one after the other anyway.
    pub customer: Option<u64>,
    /// How often the destination was asked.
    pub attempts: u32,
    /// It is not tried before this.
    pub not_before: Option<Instant>,
    /// When it was read.
    pub gathered: Instant,
    /// The place of the command by which it goes again, where it does.
    pub again: Option<u64>,
}

/// In which order records go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// One batch after the other, in the order of the stream.
    Stream,
    /// Those of one customer one after the other; others pass them.
    Customer,
}

/// The bounds of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub records: usize,
    pub bytes: usize,
    /// How long one that is not full waits for more.
    pub wait: Duration,
}

/// What there is to do.
#[derive(Debug)]
pub(super) enum Next {
    /// A batch, whose records are under way from now on.
    Batch(Vec<Record>),
    /// Nothing before this time, unless something else happens.
    Nothing(Option<Instant>),
}

/// How far a lane has come since this was last asked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Progress {
    /// Everything before this place has come to an end.
    pub through: u64,
    /// How many records did.
    pub ended: usize,
    /// Those of them that came to nothing, in order.
    pub rejected: Vec<Rejected>,
}

/// The records of a lane.
pub(super) struct Queue {
    order: Order,
    waiting: BTreeMap<u64, Record>,
    under_way: BTreeMap<u64, usize>,
    busy: BTreeSet<u64>,
    /// Those that have come to an end behind one that has not, and how.
    ended: BTreeMap<u64, Option<Rejected>>,
    /// Bytes of what waits and is under way.
    bytes: usize,
    looked_at: u64,
    noted: u64,
}

impl Queue {
    /// Of a lane that stands at this place.
    pub(super) fn new(order: Order, through: u64) -> Self {
        let (looked_at, noted) = (through, through);
        let (waiting, under_way, busy, ended) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
        Queue { order, waiting, under_way, busy, ended, bytes: 0, looked_at, noted }
    }

    /// How many more records and bytes it takes, of so many at most. In the order of the stream it takes none while some of the last are
    /// open that were tried: the next batch comes when each record of the last has come to its end.
    pub(super) fn room(&self, records_max: usize, bytes_max: usize) -> (usize, usize) {
        let has_begun = !self.under_way.is_empty() || self.waiting.values().any(|record| record.attempts > 0);
        if self.order == Order::Stream && has_begun {
            return (0, 0);
        }
        let held = self.waiting.len() + self.under_way.len() + self.ended.len();
        (records_max.saturating_sub(held), bytes_max.saturating_sub(self.bytes))
    }

    /// Takes in what was read, up to a place.
    pub(super) fn admit(&mut self, records: Vec<Record>, looked_at: u64) {
        for record in records {
            self.bytes += record.bytes.len();
            self.waiting.insert(record.position, record);
        }
        self.looked_at = looked_at;
    }

    /// The next batch, where there is one. Nothing goes of those customers of whom something is under way `elsewhere`.
    pub(super) fn next(&mut self, now: Instant, bounds: Bounds, elsewhere: &BTreeSet<u64>) -> Next {
        let (mut chosen, mut bytes, mut is_full) = (Vec::new(), 0, false);
        let (mut held, mut soonest) = (BTreeSet::new(), None);
        for (position, record) in &self.waiting {
            let is_past = !chosen.is_empty() && bytes + record.bytes.len() > bounds.bytes;
            is_full = chosen.len() >= bounds.records || is_past;
            if is_full {
                break;
            }
            let waits = record.not_before.filter(|at| *at > now);
            let is_taken = |one| self.busy.contains(&one) || elsewhere.contains(&one) || held.contains(&one);
            let is_behind = record.customer.is_some_and(is_taken);
            held.extend(record.customer);
            if waits.is_none() && !is_behind {
                bytes += record.bytes.len();
                chosen.push(*position);
                continue;
            }
            soonest = soonest.into_iter().chain(waits).min();
            if self.order == Order::Stream {
                break;
            }
        }
        is_full |= chosen.len() >= bounds.records;
        let Some(first) = chosen.first().map(|position| &self.waiting[position]) else { return Next::Nothing(soonest) };
        let sent = first.gathered + bounds.wait;
        if !is_full && first.attempts == 0 && sent > now {
            return Next::Nothing(soonest.into_iter().chain([sent]).min());
        }
        let batch: Vec<Record> = chosen.iter().filter_map(|position| self.waiting.remove(position)).collect();
        for record in &batch {
            self.under_way.insert(record.position, record.bytes.len());
            self.busy.extend(record.customer);
        }
        Next::Batch(batch)
    }

    /// A record is to be tried again.
    pub(super) fn again(&mut self, record: Record) {
        self.land(&record);
        self.bytes += record.bytes.len();
        self.waiting.insert(record.position, record);
    }

    /// A record has come to its end: delivered, or to nothing.
    pub(super) fn end(&mut self, record: &Record, rejected: Option<Rejected>) {
        self.land(record);
        self.ended.insert(record.position, rejected);
    }

    fn land(&mut self, record: &Record) {
        if let Some(bytes) = self.under_way.remove(&record.position) {
            self.bytes -= bytes;
        }
        if let Some(customer) = record.customer {
            self.busy.remove(&customer);
        }
    }

    /// The customers of whom something is under way.
    pub(super) fn busy(&self) -> &BTreeSet<u64> {
        &self.busy
    }

    /// How many records are open.
    pub(super) fn open(&self) -> usize {
        self.waiting.len() + self.under_way.len()
    }

    /// Whether the record of a place is open.
    pub(super) fn has(&self, position: u64) -> bool {
        self.waiting.contains_key(&position) || self.under_way.contains_key(&position)
    }

    /// Forgets those that wait and are not wanted any more.
    pub(super) fn keep(&mut self, wanted: impl Fn(&Record) -> bool) {
        let bytes = &mut self.bytes;
        self.waiting.retain(|_, record| {
            let is_wanted = wanted(record);
            if !is_wanted {
                *bytes -= record.bytes.len();
            }
            is_wanted
        });
    }

    /// Whether nothing is open.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_empty()
    }

    /// The place before which everything has come to an end.
    pub(super) fn through(&self) -> u64 {
        let open = [self.waiting.keys().next(), self.under_way.keys().next()];
        open.into_iter().flatten().min().copied().unwrap_or(self.looked_at)
    }

    /// The place that was noted last.
    pub(super) fn noted(&self) -> u64 {
        self.noted
    }

    /// Those that have come to an end since this was last asked, by their places, and how: of records that are no stream, and of which each
    /// is noted by itself.
    pub(super) fn take_ended(&mut self) -> BTreeMap<u64, Option<Rejected>> {
        std::mem::take(&mut self.ended)
    }

    /// How far it has come, where that is to be noted: records have come to an end, or so many places were passed over that hold
    /// nothing for this lane. Noting each of those would make another.
    pub(super) fn progress(&mut self, passed_max: u64) -> Option<Progress> {
        let through = self.through();
        let behind = self.ended.split_off(&through);
        let before = std::mem::replace(&mut self.ended, behind);
        if before.is_empty() && through - self.noted < passed_max {
            return None;
        }
        self.noted = through;
        Some(Progress { through, ended: before.len(), rejected: before.into_values().flatten().collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { records: 2, bytes: 1_000, wait: Duration::ZERO };

    fn queue(order: Order, customers: &[u64], now: Instant) -> Queue {
        let record = |(position, customer): (u64, &u64)| Record {
            position,
            bytes: Bytes::from_static(b"{}"),
            customer: Some(*customer),
            attempts: 0,
            not_before: None,
            gathered: now,
            again: None,
        };
        let mut queue = Queue::new(order, 0);
        queue.admit((0..).zip(customers).map(record).collect(), customers.len() as u64);
        queue
    }

    fn batch(queue: &mut Queue, now: Instant) -> Vec<Record> {
        match queue.next(now, BOUNDS, &BTreeSet::new()) {
            Next::Batch(batch) => batch,
            Next::Nothing(_) => Vec::new(),
        }
    }

    fn places(batch: &[Record]) -> Vec<u64> {
        batch.iter().map(|record| record.position).collect()
    }

    #[test]
    fn customers_pass_each_other_and_nobody_passes_himself() {
        let now = Instant::now();
        let mut queue = queue(Order::Customer, &[1, 1, 2, 1, 3], now);
        let (first, second) = (batch(&mut queue, now), batch(&mut queue, now));
        assert_eq!((places(&first), places(&second)), (vec![0, 2], vec![4]));
        assert_eq!(places(&batch(&mut queue, now)), [0_u64; 0]);
        let waits = Record { not_before: Some(now + Duration::from_secs(1)), attempts: 1, ..first[0].clone() };
        queue.again(waits);
        queue.end(&first[1], None);
        queue.end(&second[0], None);
        assert_eq!(places(&batch(&mut queue, now)), [0_u64; 0], "it comes after the one that waits");
        assert_eq!(queue.progress(100), None, "nothing passes the one that waits");
        let last = batch(&mut queue, now + Duration::from_secs(1));
        assert_eq!(places(&last), [0]);
        queue.end(&last[0], None);
        assert_eq!(queue.progress(100), Some(Progress { through: 1, ended: 1, rejected: Vec::new() }));
        let next = batch(&mut queue, now);
        assert_eq!(places(&next), [1]);
        queue.end(&next[0], None);
        assert_eq!(queue.progress(100), Some(Progress { through: 3, ended: 2, rejected: Vec::new() }));
    }

    #[test]
    fn what_goes_again_meets_nothing_of_its_customer_and_is_noted_by_itself() {
        let now = Instant::now();
        let mut again = queue(Order::Customer, &[1, 2, 3], now);
        let Next::Batch(first) = again.next(now, BOUNDS, &BTreeSet::from([1])) else { panic!("two may go") };
        assert_eq!((places(&first), again.busy()), (vec![1, 2], &BTreeSet::from([2, 3])));
        again.end(&first[1], None);
        assert_eq!(again.take_ended(), BTreeMap::from([(2, None)]), "whatever is open before it");
        assert_eq!((again.take_ended(), again.open()), (BTreeMap::new(), 2));
        again.keep(|record| record.position != 0);
        assert!(!again.has(0) && again.has(1));
        assert_eq!(places(&batch(&mut again, now)), [0_u64; 0], "nobody wants it any more");
    }

    #[test]
    fn the_order_of_the_stream_is_kept_by_waiting() {
        let now = Instant::now();
        let mut queue = queue(Order::Stream, &[1, 2, 3], now);
        let first = batch(&mut queue, now);
        assert_eq!((places(&first), queue.room(10, 10)), (vec![0, 1], (0, 0)));
        queue.again(Record { not_before: Some(now + Duration::from_secs(1)), attempts: 1, ..first[0].clone() });
        queue.end(&first[1], None);
        assert!(
            matches!(queue.next(now, BOUNDS, &BTreeSet::new()), Next::Nothing(Some(at)) if at == now + Duration::from_secs(1))
        );
        assert_eq!(queue.room(10, 10), (0, 0));
    }

    #[test]
    fn a_batch_waits_to_be_full_for_a_while() {
        let now = Instant::now();
        let wait = Duration::from_secs(1);
        let patient = Bounds { wait, ..BOUNDS };
        let mut queue = queue(Order::Stream, &[1], now);
        assert!(matches!(queue.next(now, patient, &BTreeSet::new()), Next::Nothing(Some(at)) if at == now + wait));
        assert!(matches!(queue.next(now + wait, patient, &BTreeSet::new()), Next::Batch(_)));
        let mut queue = self::queue(Order::Stream, &[1, 2], now);
        assert!(matches!(queue.next(now, patient, &BTreeSet::new()), Next::Batch(batch) if batch.len() == 2));
    }

    #[test]
    fn what_holds_nothing_is_noted_now_and_then() {
        let mut queue = Queue::new(Order::Stream, 5);
        queue.admit(Vec::new(), 50);
        assert_eq!(queue.progress(100), None);
        queue.admit(Vec::new(), 105);
        assert_eq!(queue.progress(100), Some(Progress { through: 105, ended: 0, rejected: Vec::new() }));
        assert_eq!(queue.progress(100), None);
    }
}
