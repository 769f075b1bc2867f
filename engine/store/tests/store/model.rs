//! What the tests share: seeds, a small random source, and a log with the list of what it must hold.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use weft_store::files::Faulty;
use weft_store::log::{Log, LogReader, Options, Record, Recovery, TOMBSTONE, Verdict};

pub(crate) const DIR: &str = "/log";

/// The seeds to try: `quick` of them, unless the environment says otherwise.
pub(crate) fn seeds(quick: u64) -> Range<u64> {
    let number = |name| std::env::var(name).ok().and_then(|text: String| text.parse::<u64>().ok());
    match (number("WEFT_SEED"), number("WEFT_SEEDS")) {
        (Some(seed), _) => seed..seed + 1,
        (None, count) => 0..count.unwrap_or(quick),
    }
}

/// Runs `test` for each seed, and names the seed that failed.
pub(crate) fn for_seeds(quick: u64, test: impl Fn(u64) + std::panic::RefUnwindSafe) {
    for seed in seeds(quick) {
        if let Err(panic) = std::panic::catch_unwind(|| test(seed)) {
            eprintln!("failed with WEFT_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}

pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    /// A payload: mostly short, sometimes long, sometimes one that compresses.
    pub(crate) fn payload(&mut self) -> Vec<u8> {
        match self.below(12) {
            0 => Vec::new(),
            1 => vec![b'x'; self.below(20_000)],
            2 => (0..self.below(9_000)).map(|_| self.next() as u8).collect(),
            _ => format!("{{\"n\":{},\"pad\":\"{}\"}}", self.next(), "ab".repeat(self.below(60))).into_bytes(),
        }
    }
}

/// A log on a simulated disk, and what it must hold.
pub(crate) struct Model {
    pub(crate) disk: Faulty,
    pub(crate) log: Log,
    pub(crate) options: Options,
    /// Every record appended, by number; those before `start` were trimmed.
    pub(crate) records: Vec<(u8, Vec<u8>)>,
    pub(crate) start: u64,
    pub(crate) durable: u64,
    /// Whether the last step was, or tried to be, a rewrite.
    pub(crate) erasing: bool,
}

pub(crate) fn open(disk: &Faulty, options: Options) -> Result<(Log, Recovery), weft_store::StoreError> {
    Log::open(Arc::new(disk.clone()), Path::new(DIR), options)
}

impl Model {
    pub(crate) fn new(segment_bytes: u64) -> Model {
        let disk = Faulty::new();
        let options = Options { segment_bytes };
        let (log, _) = open(&disk, options).unwrap();
        Model { disk, log, options, records: Vec::new(), start: 0, durable: 0, erasing: false }
    }

    /// Does one thing at random. On failure the model knows what may have happened.
    pub(crate) fn step(&mut self, random: &mut Random) -> Result<(), weft_store::StoreError> {
        self.erasing = false;
        match random.below(20) {
            0..10 => {
                let count = 1 + random.below(5);
                let new: Vec<(u8, Vec<u8>)> = (0..count).map(|_| (random.below(255) as u8, random.payload())).collect();
                self.append(new)?;
            }
            10..16 => self.sync()?,
            16 => {
                self.log.rotate()?;
                self.durable = self.log.durable_end();
            }
            17 => {
                let before = random.below(self.durable as usize + 1) as u64;
                let trimmed = self.log.trim(before)?;
                assert!(trimmed <= before.max(self.start), "trim went too far");
                self.start = trimmed;
            }
            _ => self.erase(random)?,
        }
        Ok(())
    }

    pub(crate) fn append(&mut self, new: Vec<(u8, Vec<u8>)>) -> Result<(), weft_store::StoreError> {
        let records: Vec<Record<'_>> = new.iter().map(|(kind, bytes)| Record { kind: *kind, bytes }).collect();
        let first = self.records.len() as u64;
        let range = self.log.append(&records)?;
        assert_eq!(range, first..first + new.len() as u64, "numbers are dense");
        self.records.extend(new);
        self.durable = self.durable.max(self.log.durable_end());
        Ok(())
    }

    pub(crate) fn sync(&mut self) -> Result<(), weft_store::StoreError> {
        self.log.sync()?;
        self.durable = self.records.len() as u64;
        assert_eq!(self.log.durable_end(), self.durable);
        Ok(())
    }

    /// Erases some records of a sealed segment.
    pub(crate) fn erase(&mut self, random: &mut Random) -> Result<(), weft_store::StoreError> {
        self.erasing = true;
        let sealed: Vec<_> = self.log.reader().segments().into_iter().filter(|segment| segment.sealed).collect();
        if sealed.is_empty() {
            return Ok(());
        }
        let segment = sealed[random.below(sealed.len())];
        let salt = random.next();
        let doomed = |seq: u64| Random(seq ^ salt).below(4) == 0;
        let records = &self.records;
        let done = self.log.rewrite(segment.first, |seq, kind, bytes| {
            assert_eq!((kind, bytes), (records[seq as usize].0, records[seq as usize].1.as_slice()));
            if doomed(seq) { Verdict::Tombstone } else { Verdict::Keep }
        })?;
        assert_eq!(done.records, segment.end - segment.first);
        for seq in (segment.first..segment.end).filter(|seq| doomed(*seq)) {
            self.records[seq as usize] = (TOMBSTONE, Vec::new());
        }
        Ok(())
    }

    /// Takes over what came out of an opening, and compares.
    pub(crate) fn reopened(&mut self, disk: Faulty, log: Log) {
        (self.disk, self.log) = (disk, log);
        let end = self.log.end();
        assert!(end >= self.durable, "{} was durable, the log ends at {end}", self.durable);
        assert!(end <= self.records.len() as u64, "the log holds more than was appended");
        self.records.truncate(end as usize);
        self.durable = end;
        self.check();
    }

    /// Everything is there, in order, by number, and nothing else.
    pub(crate) fn check(&self) {
        let reader = self.log.reader();
        assert_eq!((reader.start(), reader.durable_end()), (self.start, self.durable));
        assert_eq!(read_all(&reader, self.start).unwrap(), self.records[self.start as usize..self.durable as usize]);
        for seq in (self.start..self.durable).step_by(7) {
            let record = reader.record(seq).unwrap();
            assert_eq!((record.kind, &record.bytes), (self.records[seq as usize].0, &self.records[seq as usize].1));
        }
        let report = reader.verify().unwrap();
        assert_eq!(report.damage, []);
        assert_eq!((report.start, report.end), (self.start, self.durable));
        assert_eq!(report.records, self.durable - self.start);
    }
}

/// Reads to the durable end, and sees that numbers are dense.
pub(crate) fn read_all(reader: &LogReader, from: u64) -> Result<Vec<(u8, Vec<u8>)>, weft_store::StoreError> {
    let mut cursor = reader.cursor(from);
    let mut records = Vec::new();
    while let Some(block) = cursor.next()? {
        assert!(!block.is_empty());
        for (seq, record) in block.records() {
            assert_eq!(seq, from + records.len() as u64);
            records.push((record.kind, record.bytes.to_vec()));
        }
    }
    assert_eq!(cursor.position(), from + records.len() as u64);
    Ok(records)
}
