//! What stands around the engine: a transform and a destination, both fixtures, and what the destination was told. It is outside:
//! no power cut takes that away.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use weft::config::OnError;
use weft::delivery::{Filter, Lane};
use weft::engine::Stages;
use weft::pipeline::{Chains, Step};
use weft_domain::input::Stream;
use weft_host::{Failure, FailureKind, Host, HostOptions, Lending, Lent, Nothing, Plugin, Stage, WantedLimits};
use weft_store::files::Faulty;

use crate::crowd::{Dice, SOURCE};

/// The destination of both lanes.
pub(crate) const LAKE: &str = "lake";
/// Records of a batch: few, so that there are many receipts.
const BATCH_RECORDS: usize = 8;

/// The plugins, compiled.
pub(crate) struct Plugins {
    transform: Plugin,
    destination: Plugin,
}

impl Plugins {
    pub(crate) async fn load(cache: &Path) -> Plugins {
        let host = Host::new(HostOptions { instances_max: 32, ..HostOptions::new(cache) }).expect("a sandbox");
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/fixtures");
        let load = async |name: &str| host.load(&fixtures.join(name)).await.expect("a plugin");
        Plugins { transform: load("transform.wat").await, destination: load("destination.wat").await }
    }

    /// The stages of an engine, whose lanes tell `told`.
    pub(crate) fn stages(&self, told: &Told) -> Stages {
        let stage = |name: &str, lent: Arc<dyn Lent>| {
            let (name, config, limits) = (name.to_owned(), "{}".to_owned(), WantedLimits::default());
            Stage { name, config, lent, limits }
        };
        let transform = Arc::new(self.transform.transform(stage("tidy", Arc::new(Nothing))).expect("a transform"));
        let tidy = Step { name: "tidy".into(), transform, on_error: OnError::DeadLetter };
        let lane = |stream: Stream, told: &Arc<Stack>| {
            let destination = Arc::new(self.destination.destination(stage(LAKE, told.clone())).expect("a destination"));
            let (batch_bytes, batch_records) = (1 << 20, BATCH_RECORDS);
            let (name, filter, standing) = (LAKE.to_owned(), Filter::default(), Arc::default());
            let batch_wait = Duration::ZERO;
            // One lane keeps the order of the stream, the other that of each customer.
            let concurrency = if stream == Stream::Events { 4 } else { 1 };
            Lane {
                name,
                stream,
                filter,
                batch_records,
                batch_bytes,
                batch_wait,
                concurrency,
                attempts_max: 1,
                ordered: false,
                destination,
                standing,
                making: None,
            }
        };
        let lanes = vec![lane(Stream::Events, &told.events), lane(Stream::Profiles, &told.profiles)];
        Stages { chains: Chains::from([(SOURCE.to_owned(), vec![tidy])]), lanes, ..Stages::default() }
    }
}

/// What the destination was told.
#[derive(Default)]
pub(crate) struct Told {
    /// Events, by their place in history.
    pub(crate) events: Arc<Stack>,
    /// Profiles, by their numbers.
    pub(crate) profiles: Arc<Stack>,
}

impl Told {
    /// From now on the destination refuses one event in eight, or none.
    pub(crate) fn refuse_some(&self, moods: Option<Dice>) {
        self.events.held().moods = moods;
    }

    /// From that operation of the disk on, the power is gone, and nothing more arrives here.
    pub(crate) fn until(&self, disk: &Faulty, operation: u64) {
        for stack in [&self.events, &self.profiles] {
            stack.held().until = Some((disk.clone(), operation));
        }
    }
}

/// Records by what names them.
#[derive(Default)]
pub(crate) struct Stack(Mutex<Held>);

#[derive(Default)]
struct Held {
    records: BTreeMap<u64, String>,
    /// A name that meant two things.
    twice: Option<String>,
    until: Option<(Faulty, u64)>,
    /// Where it refuses some of what it is given.
    moods: Option<Dice>,
}

impl Stack {
    /// What is in it. Fails where a name ever meant two things (invariant 5).
    pub(crate) fn all(&self) -> BTreeMap<u64, String> {
        let held = self.held();
        assert_eq!(held.twice, None, "one name, two deliveries");
        held.records.clone()
    }

    fn put(&self, name: u64, text: String) {
        let held = &mut *self.held();
        if held.until.as_ref().is_some_and(|(disk, operation)| disk.operations() > *operation) {
            return;
        }
        match held.records.get(&name) {
            Some(before) if *before != text => held.twice = Some(format!("{name}: {before} and {text}")),
            _ => drop(held.records.insert(name, text)),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lent for Stack {
    fn file_append(&self, _: &str, name: &str, at: u64, bytes: Vec<u8>) -> Lending<'_, Result<u64, Failure>> {
        let end = at + bytes.len() as u64;
        if name == "out" {
            let is_refused = self.held().moods.as_mut().is_some_and(|moods| moods.below(8) == 0);
            if is_refused {
                return Box::pin(std::future::ready(Err(Failure::new(FailureKind::Rejected, "not today"))));
            }
            self.put(at, String::from_utf8_lossy(&bytes).into_owned());
        }
        Box::pin(std::future::ready(Ok(end)))
    }
}
