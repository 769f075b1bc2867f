//! How long a stage takes: rounds of batches that are made ready beforehand.

use std::time::{Duration, Instant};

use crate::machine::cpu;

pub(super) const HEAD: &str = "| stage | records in a batch | records/s | p50 µs/batch | p99 µs/batch | CPU µs/record | native: ratio, or what else |\n|---|---|---|---|---|---|---|";

const WARM_UP: Duration = Duration::from_millis(300);
/// Long enough for a clock of CPU time that goes by hundredths of a second.
const ROUND: Duration = Duration::from_millis(200);
const ALL: Duration = Duration::from_secs(2);
/// Batches made ready at once: they are in memory.
const BATCHES_MAX: usize = 20_000;

/// What was measured of one stage.
pub(super) struct Tally {
    records: usize,
    waits: Vec<Duration>,
    cpu: Duration,
}

impl Tally {
    /// Of batches of so many records.
    pub(super) fn of(records: usize) -> Tally {
        Tally { records, waits: Vec::new(), cpu: Duration::ZERO }
    }

    /// Does the work over batches and adds it up. Making them is not counted.
    pub(super) fn round<T>(&mut self, batches: impl IntoIterator<Item = T>, mut work: impl FnMut(T)) {
        let batches: Vec<T> = batches.into_iter().collect();
        self.waits.reserve(batches.len());
        let before = cpu("self");
        for batch in batches {
            let began = Instant::now();
            work(batch);
            self.waits.push(began.elapsed());
        }
        self.cpu += cpu("self") - before;
    }

    pub(super) fn batches(&self) -> usize {
        self.waits.len()
    }

    pub(super) fn spent(&self) -> Duration {
        self.waits.iter().sum()
    }

    pub(super) fn records_per_second(&self) -> f64 {
        (self.records * self.waits.len()) as f64 / self.spent().as_secs_f64()
    }

    pub(super) fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / (self.records * self.waits.len()) as f64
    }

    /// Prints its row.
    pub(super) fn print(mut self, what: &str, beside: &str) {
        self.waits.sort();
        let at = |share: f64| self.waits[((self.waits.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e6;
        println!(
            "| {what} | {} | {:.0} | {:.0} | {:.0} | {:.2} | {beside} |",
            self.records,
            self.records_per_second(),
            at(0.5),
            at(0.99),
            self.cpu_us()
        );
    }
}

/// Measures a stage: how a batch is made, and the work over it.
pub(super) fn measure<T>(records: usize, mut make: impl FnMut() -> T, mut work: impl FnMut(T)) -> Tally {
    let batches = warm_up(&mut make, &mut work);
    let mut tally = Tally::of(records);
    while tally.spent() < ALL {
        tally.round((0..batches).map(|_| make()), &mut work);
    }
    tally
}

/// Measures a stage in the sandbox and the same code natively, by turns, and prints what the first costs beside the second.
pub(super) fn compare<T, U>(
    what: &str,
    records: usize,
    (mut make, mut work): (impl FnMut() -> T, impl FnMut(T)),
    (mut make_native, mut work_native): (impl FnMut() -> U, impl FnMut(U)),
) {
    let (batches, batches_native) = (warm_up(&mut make, &mut work), warm_up(&mut make_native, &mut work_native));
    let (mut tally, mut native) = (Tally::of(records), Tally::of(records));
    while tally.spent() < ALL {
        tally.round((0..batches).map(|_| make()), &mut work);
        native.round((0..batches_native).map(|_| make_native()), &mut work_native);
    }
    let beside = format!("native {:.2}: {:.2}", native.cpu_us(), tally.cpu_us() / native.cpu_us());
    tally.print(what, &beside);
}

/// Works until everything is warm; how many batches a round has.
fn warm_up<T>(make: &mut impl FnMut() -> T, work: &mut impl FnMut(T)) -> usize {
    let mut tally = Tally::of(1);
    while tally.spent() < WARM_UP && tally.batches() < BATCHES_MAX {
        tally.round([make()], &mut *work);
    }
    let each = tally.spent() / tally.batches() as u32;
    usize::try_from(ROUND.as_nanos() / each.as_nanos().max(1)).unwrap_or(usize::MAX).clamp(1, BATCHES_MAX)
}
