//! The engine: its parts put together, started and stopped.
//!
//! ```text
//! doors, drivers ─► intake ─► pipeline ─► writer ─► lanes          pages read the writer's state
//! ```
//!
//! A start opens the data folder, brings state up to the end of history, and only then opens doors and lanes. A stop closes the
//! doors first, lets what has arrived pass through, lets each lane finish the batch that it has in hand, and commits. What
//! each part does is in its own module; which plugins run is [`crate::assembly`]'s.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;

use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use weft_domain::input::{Input, Stream};
use weft_domain::plan::Plan;
use weft_domain::value::Timestamp;
use weft_domain::view::View;
use weft_store::StoreError;

use crate::api::{Pages, router};
use crate::bounds::Bounds;
use crate::clock::Clock;
use crate::config::{Making, OpenDsr, Token};
use crate::copies::Copies;
use crate::delivery::Lane;
use crate::door::{Door, Doors, Open, in_order};
use crate::driver::{Driver, Shore};
use crate::erasure::{self, EraseError, Eraser};
use crate::export::stream::Exports;
use crate::intake::Intake;
use crate::keeper::Keeper;
use crate::limits;
use crate::matcher::{Matcher, Rules};
use crate::pace::Pace;
use crate::pipeline::{self, Chains, PipelineError, Switch};
use crate::retry::Ways;
use crate::rights::Desk;
use crate::status::{LaneReport, Look, Report, ShownDriver, ShownLane, Status};
use crate::suppression::Suppression;
use crate::sweeper::Sweeper;
use crate::tail::Tails;
use crate::telemetry::Metrics;
use crate::vault::{DataFolder, Progress, Vault, VaultError};
use crate::writer::{Ledger, Writer, WriterError};

/// What an engine needs to know before its plugins.
#[derive(Clone)]
pub struct Settings {
    /// The data folder.
    pub data: DataFolder,
    /// Where to listen; none for an engine without doors, as in tests.
    pub listen: Option<SocketAddr>,
    /// What may change while it runs.
    pub terms: Terms,
    /// What time it is.
    pub clock: Clock,
}

/// What of a configuration is in force until the next one, beside its stages.
#[derive(Clone, Default)]
pub struct Terms {
    /// What the workspace is called; empty where nothing is asked by name.
    pub name: String,
    /// The rules of the fold.
    pub plan: Plan,
    /// By what customers are compared; nothing, where the plan says that they are not.
    pub matching: Option<Rules>,
    /// Who may read the engine's pages.
    pub tokens: Vec<Token>,
    /// Bounds that the operator sets.
    pub bounds: Bounds,
    /// How requests of people are taken, where they are.
    pub opendsr: Option<Arc<OpenDsr>>,
}

/// The plugins at work.
#[derive(Default)]
pub struct Stages {
    /// Sources with a door.
    pub doors: Vec<Door>,
    /// Sources that the engine reads by itself.
    pub drivers: Vec<Driver>,
    /// The transforms of each source.
    pub chains: Chains,
    /// Destinations.
    pub lanes: Vec<Lane>,
}

/// Why an engine cannot start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The data folder.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The listener.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
    /// A plugin.
    #[error(transparent)]
    Stage(#[from] weft_host::HostError),
    /// A plugin does not begin with its configuration.
    #[error("the stage `{stage}` does not open: {fault}")]
    Open {
        /// The stage.
        stage: String,
        /// What the plugin said.
        fault: weft_host::Fault,
    },
    /// The writer.
    #[error(transparent)]
    Writer(#[from] WriterError),
    /// What is left of an erasure.
    #[error("erasure: {0}")]
    Erasure(#[from] EraseError),
    /// A log.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The pipeline.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// A part of the engine panicked.
    #[error("a part of the engine failed: {0}")]
    Broken(String),
}

/// A running engine.
pub struct Engine {
    ledger: Ledger,
    intake: Intake,
    status: Arc<Status>,
    metrics: Arc<Metrics>,
    clock: Clock,
    address: Option<SocketAddr>,
    doors: Arc<Doors>,
    writer: Writer,
    intake_thread: JoinHandle<Result<(), StoreError>>,
    open: watch::Sender<Open>,
    tokens: watch::Sender<Arc<[Token]>>,
    bounds: watch::Sender<Bounds>,
    switches: mpsc::Sender<Switch>,
    looks: mpsc::Sender<Look>,
    wanted: std::sync::Mutex<Option<mpsc::Receiver<Look>>>,
    crew: Mutex<Crew>,
    stop_server: watch::Sender<bool>,
    stop_pipeline: watch::Sender<bool>,
    stop_keeper: watch::Sender<bool>,
    server: JoinSet<()>,
    pipeline: JoinSet<()>,
    keeping: JoinSet<()>,
    notes: Vec<String>,
    keeper: Arc<Keeper>,
    matcher: Matcher,
    eraser: Arc<Eraser>,
    desk: Arc<Desk>,
    opendsr: watch::Sender<Option<Arc<OpenDsr>>>,
}

/// What runs for each stage.
#[derive(Default)]
struct Crew {
    lanes: BTreeMap<(String, Stream), Hand>,
    drivers: BTreeMap<String, Hand>,
}

/// A stage at work, on a task of its own.
struct Hand {
    making: Option<Arc<Making>>,
    stop: watch::Sender<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Hand {
    /// Whether it would be the same if it were made of this.
    fn is_of(&self, making: Option<&Arc<Making>>) -> bool {
        making.is_some() && self.making.as_ref() == making
    }

    /// Lets it finish what it has in hand, within the bound; then it is ended.
    async fn dismiss(mut self) {
        self.stop.send_replace(true);
        if tokio::time::timeout(limits::DRAIN_TIME_MAX, &mut self.task).await.is_err() {
            tracing::warn!("a stage did not end in time and is cut off; nothing that was acknowledged is lost");
            self.task.abort();
        }
    }
}

impl Engine {
    /// Starts an engine. `stages` makes its plugins ready once there is a ledger to lend them.
    ///
    /// # Errors
    /// [`EngineError`]; then nothing runs.
    pub async fn start(
        settings: Settings,
        stages: impl AsyncFnOnce(&Ledger) -> Result<Stages, EngineError>,
        progress: impl FnMut(Progress),
    ) -> Result<Engine, EngineError> {
        let vault = Vault::open(&settings.data, progress)?;
        let listener = match settings.listen {
            Some(address) => Some(TcpListener::bind(address).await.map_err(|error| EngineError::Listen { address, error })?),
            None => None,
        };
        let metrics = Metrics::shared();
        let (intake, intake_thread) = Intake::start(vault.intake, metrics.clone());
        let in_force = vault.overlay.plan().clone();
        let state = vault.state;
        let erasures = settings.data.erasures();
        let opened = Suppression::open(&erasures, metrics.clone());
        let suppression = Arc::new(opened.map_err(|error| EraseError::File { path: erasures.join("key"), error })?);
        suppression.set_in_force(settings.terms.bounds.suppress);
        let (clock, counted) = (settings.clock.clone(), metrics.clone());
        let writer = Writer::start(vault.history, vault.overlay, state.clone(), clock, counted, suppression);
        let ledger = writer.ledger().clone();
        erasure::restore(&ledger).map_err(EraseError::from)?;
        let (clock, rules) = (settings.clock.clone(), settings.terms.matching.clone());
        let (matcher, matching) = Matcher::new(ledger.clone(), clock, metrics.clone(), settings.data.matching(), rules);
        let parts = (intake.clone(), ledger.clone(), state.clone(), matcher.clone());
        let passes = Arc::default();
        let (files, clock) = (settings.data.files.clone(), settings.clock.clone());
        let copies = Arc::new(Copies::new(&settings.data.copies(), files.clone()));
        let (bounds, bounds_in_force) = watch::channel(settings.terms.bounds);
        let told = (bounds_in_force.clone(), metrics.clone());
        let eraser = Eraser::new(&erasures, files, parts, clock.clone(), copies.clone(), told, Arc::clone(&passes))?;
        let eraser = Arc::new(eraser);
        let (opendsr, rights) = watch::channel(settings.terms.opendsr.clone());
        let desk = Arc::new(Desk::new(eraser.clone(), ledger.clone(), copies, clock, metrics.clone(), rights)?);
        let stages = stages(&ledger).await?;
        open_all(&stages, &Crew::default()).await?;
        let Terms { name, mut plan, tokens, .. } = settings.terms;
        if in_force.generation == 0 || !plan.says_the_same(&in_force) {
            plan.generation = in_force.generation + 1;
            ledger.log(Input::Plan(plan)).await;
        }
        let (open, opened) = watch::channel(Open::default());
        let clock = settings.clock;
        let doors = Doors::new(opened, intake.clone(), ledger.clone(), clock.clone(), metrics.clone(), bounds_in_force.clone());
        let keeper = Keeper { intake: intake.clone(), ledger: ledger.clone(), state, bounds: bounds_in_force };
        let (switches, switched) = mpsc::channel(1);
        let (looks, wanted) = mpsc::channel(limits::LOOKS_WAITING_MAX);
        let mut engine = Engine {
            address: listener.as_ref().and_then(|listener| listener.local_addr().ok()),
            doors: Arc::new(doors),
            status: Arc::new(Status::of(name, intake.clone(), metrics.clone(), matcher.clone())),
            ledger,
            intake,
            metrics,
            clock,
            writer,
            intake_thread,
            open,
            tokens: watch::channel(tokens.into()).0,
            bounds,
            switches,
            looks,
            wanted: std::sync::Mutex::new(Some(wanted)),
            crew: Mutex::default(),
            stop_server: watch::channel(false).0,
            stop_pipeline: watch::channel(false).0,
            stop_keeper: watch::channel(false).0,
            server: JoinSet::new(),
            pipeline: JoinSet::new(),
            keeping: JoinSet::new(),
            notes: vault.notes,
            keeper: Arc::new(keeper),
            matcher,
            eraser,
            desk,
            opendsr,
        };
        engine.run_pipeline(stages.chains.clone(), switched);
        engine.keeping.spawn(engine.keeper.clone().run(engine.stop_keeper.subscribe()));
        let sweeper = Sweeper { ledger: engine.ledger.clone(), clock: engine.clock.clone(), passes };
        engine.keeping.spawn(sweeper.run(engine.stop_keeper.subscribe()));
        engine.keeping.spawn(matching.run(engine.stop_keeper.subscribe()));
        engine.keeping.spawn(engine.eraser.clone().run(engine.stop_keeper.subscribe()));
        engine.keeping.spawn(engine.desk.clone().run(engine.stop_keeper.subscribe()));
        engine.staff(&mut *engine.crew.lock().await, stages).await;
        if let Some(listener) = listener {
            engine.serve(listener);
        }
        Ok(engine)
    }

    /// Takes on other terms and other stages, as one transaction: all that is new is opened beside what runs; then, at the boundary of a
    /// batch, the plan enters history and the transforms change with it; then doors, lanes and drivers change, of which those that would
    /// be the same go on. What is refused changes nothing (invariant 8). The generation that is in force now.
    ///
    /// # Errors
    /// [`EngineError::Open`], where a stage does not open; [`EngineError::Broken`], where the engine has ended.
    pub async fn adopt(&self, terms: Terms, stages: Stages) -> Result<u64, EngineError> {
        let mut crew = self.crew.lock().await;
        open_all(&stages, &crew).await?;
        let Terms { name, mut plan, matching, tokens, bounds, opendsr } = terms;
        plan.generation = self.ledger.state().plan().generation + 1;
        let generation = plan.generation;
        let (done, switched) = oneshot::channel();
        let switch = Switch { chains: Arc::new(stages.chains.clone()), plan, done };
        let ended = || EngineError::Broken("the pipeline has ended".into());
        self.switches.send(switch).await.map_err(|_| ended())?;
        switched.await.map_err(|_| ended())?;
        self.status.rename(name);
        self.matcher.adopt(matching);
        self.tokens.send_replace(tokens.into());
        self.bounds.send_replace(bounds);
        self.opendsr.send_replace(opendsr);
        self.ledger.suppression().set_in_force(bounds.suppress);
        self.staff(&mut crew, stages).await;
        Ok(generation)
    }

    /// Opens these doors, and has these lanes and drivers run and no others. Those that would be the same go on.
    async fn staff(&self, crew: &mut Crew, stages: Stages) {
        let mut shown = self.status.shown();
        shown.doors = stages.doors.iter().map(|door| (door.name.clone(), door.path.clone())).collect();
        self.open.send_replace(in_order(stages.doors));

        let key = |lane: &Lane| (lane.name.clone(), lane.stream);
        let lanes: BTreeMap<_, _> = stages.lanes.into_iter().map(|lane| (key(&lane), lane)).collect();
        let drivers: BTreeMap<_, _> = stages.drivers.into_iter().map(|driver| (driver.name.clone(), driver)).collect();
        let gone = take_other(&mut crew.lanes, |key| lanes.get(key).map(|lane| lane.making.as_ref()));
        let gone = gone.chain(take_other(&mut crew.drivers, |key| drivers.get(key).map(|driver| driver.making.as_ref())));
        let mut leaving: JoinSet<()> = gone.map(Hand::dismiss).collect();
        if !leaving.is_empty() {
            while leaving.join_next().await.is_some() {}
            // What they told the writer last is where the next ones begin.
            self.ledger.commit().await;
        }
        shown.lanes.retain(|lane| crew.lanes.contains_key(&(lane.name.clone(), lane.stream)));
        shown.drivers.retain(|driver| crew.drivers.contains_key(&driver.name));
        for (key, lane) in lanes {
            if let Entry::Vacant(free) = crew.lanes.entry(key) {
                let (name, stream) = free.key().clone();
                let (ordered, standing) = (lane.ordered, lane.standing.clone());
                shown.lanes.push(ShownLane { name, stream, ordered, standing });
                free.insert(self.run_lane(lane));
            }
        }
        for (name, driver) in drivers {
            if let Entry::Vacant(free) = crew.drivers.entry(name) {
                let (reads, standing) = (driver.reads.name(), driver.standing.clone());
                let (name, environment, source) = (free.key().clone(), driver.environment, driver.source.clone());
                shown.drivers.push(ShownDriver { name, reads, environment, source, standing });
                free.insert(self.run_driver(driver));
            }
        }
        shown.lanes.sort_by(|one, other| (&one.name, one.stream).cmp(&(&other.name, other.stream)));
        shown.drivers.sort_by(|one, other| one.name.cmp(&other.name));
        self.status.show(shown);
    }

    fn run_pipeline(&mut self, chains: Chains, switches: mpsc::Receiver<Switch>) {
        let run = pipeline::run(
            self.intake.reader().clone(),
            self.intake.durable(),
            Arc::new(chains),
            self.ledger.clone(),
            switches,
            (self.clock.clone(), self.stop_pipeline.subscribe()),
        );
        let status = self.status.clone();
        self.pipeline.spawn(async move {
            if let Err(error) = run.await {
                status.trouble(error.to_string());
            }
        });
    }

    fn run_lane(&self, lane: Lane) -> Hand {
        let (name, making, status) = (lane.name.clone(), lane.making.clone(), self.status.clone());
        let (stop, stopped) = watch::channel(false);
        let run = lane.run(self.ledger.clone(), self.metrics.clone(), self.clock.clone(), stopped);
        let task = tokio::spawn(async move {
            if let Err(error) = run.await {
                status.trouble(format!("the lane of `{name}` cannot read history: {error}"));
            }
        });
        Hand { making, stop, task }
    }

    fn run_driver(&self, driver: Driver) -> Hand {
        let making = driver.making.clone();
        let (stop, stopped) = watch::channel(false);
        let shore = Shore {
            intake: self.intake.clone(),
            ledger: self.ledger.clone(),
            clock: self.clock.clone(),
            metrics: self.metrics.clone(),
            bounds: self.bounds.subscribe(),
        };
        Hand { making, stop, task: tokio::spawn(driver.run(shore, stopped)) }
    }

    fn serve(&mut self, listener: TcpListener) {
        let (ledger, metrics, status) = (self.ledger.clone(), self.metrics.clone(), self.status.clone());
        let (tokens, looks) = (self.tokens.subscribe(), self.looks.clone());
        let (tails, bounds) = (Tails::new(self.stop_server.subscribe()), self.bounds.subscribe());
        let exports = Exports::new(self.stop_server.subscribe());
        let (doors, clock) = (self.doors.clone(), self.clock.clone());
        let (pace, eraser, desk) = (Pace::default(), self.eraser.clone(), self.desk.clone());
        let pages =
            Arc::new(Pages { ledger, metrics, status, tokens, looks, tails, exports, bounds, pace, eraser, desk, doors, clock });
        let router = router(pages);
        self.server.spawn(crate::listener::serve(listener, router, self.stop_server.subscribe()));
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// What the pages want looked at in the workspace; for whoever looks after that, once.
    #[must_use]
    pub fn wanted(&self) -> Option<mpsc::Receiver<Look>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// What it says of itself, and where that is noted.
    #[must_use]
    pub fn status(&self) -> &Arc<Status> {
        &self.status
    }

    /// What a crash had left behind.
    #[must_use]
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// State and history.
    #[must_use]
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The way into the intake log, for events that come through no door.
    #[must_use]
    pub fn intake(&self) -> &Intake {
        &self.intake
    }

    /// What dead letters go through.
    #[must_use]
    pub fn ways(&self) -> Ways<'_> {
        let Engine { intake, ledger, status, doors, clock, .. } = self;
        Ways { intake, ledger, status, doors, clock }
    }

    /// What looks for customers who are one.
    #[must_use]
    pub fn matcher(&self) -> &Matcher {
        &self.matcher
    }

    /// What looks after what is kept; it looks by itself now and then.
    #[must_use]
    pub fn keeper(&self) -> &Arc<Keeper> {
        &self.keeper
    }

    /// What carries erasures out.
    #[must_use]
    pub fn eraser(&self) -> &Arc<Eraser> {
        &self.eraser
    }

    /// What takes requests of people.
    #[must_use]
    pub fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    /// Metrics.
    #[must_use]
    pub fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// What it says of itself.
    #[must_use]
    pub fn report(&self) -> Report {
        self.status.report(&self.ledger)
    }

    /// Waits until the engine cannot go on: a part of it failed, and what it was.
    pub async fn failed(&self) -> String {
        loop {
            if let Some(trouble) = self.status.obstacle() {
                return trouble;
            }
            if self.writer.is_finished() {
                self.status.trouble("the writer ended".into());
            }
            if self.intake_thread.is_finished() {
                self.status.trouble("the intake log takes nothing more".into());
            }
            tokio::time::sleep(limits::WATCH_EVERY).await;
        }
    }

    /// Waits until what has arrived is folded, durably: whatever shows it shows it from then on. Timers, lanes and matching may have work
    /// to do yet ([`Engine::settle`]).
    pub async fn caught_up(&self) {
        while self.status.obstacle().is_none() && !self.is_caught_up() {
            tokio::time::sleep(limits::SETTLE_EVERY).await;
        }
    }

    /// Whether it is ([`Engine::caught_up`]).
    #[must_use]
    pub fn is_caught_up(&self) -> bool {
        let arrived = self.ledger.intake_through() >= self.intake.reader().durable_end();
        // While nothing can be folded: what was folded need not be durable, and nobody is shown it before it is.
        let state = self.ledger.state();
        arrived && state.position() == self.ledger.history().durable_end()
    }

    /// Waits until what has arrived has passed through everything, durably: pipeline, fold, timers, lanes.
    pub async fn settle(&self) {
        while !self.is_settled() {
            tokio::time::sleep(limits::SETTLE_EVERY).await;
        }
    }

    fn is_settled(&self) -> bool {
        let report = self.report();
        if report.trouble.is_some() {
            return true;
        }
        if !self.matcher.is_idle(&self.ledger) {
            return false;
        }
        // Once nothing can be folded any more: what was folded since the report need not be durable, and nobody is shown it before it is.
        let state = self.ledger.state();
        let end = self.ledger.history().durable_end();
        let timers = state.due(Timestamp(i64::MAX), 1).is_ok_and(|due| !due.is_empty());
        let told = |lane: &LaneReport| match &*lane.stream {
            _ if lane.standing.paused.is_some() => true,
            "events" => {
                let again = state.lane(&lane.name).is_ok_and(|lane| lane.again > 0);
                lane.standing.seen >= end && !again
            }
            _ => state.lane(&lane.name).is_ok_and(|lane| lane.profiles_through == lane.profiles_next),
        };
        let arrived = report.intake.through >= report.intake.records && state.position() == end;
        arrived && !timers && report.lanes.iter().all(told)
    }

    /// Stops: doors first, then what has arrived passes through, then everything is committed.
    ///
    /// # Errors
    /// [`EngineError`], for the first part that failed, now or before.
    pub async fn stop(mut self) -> Result<(), EngineError> {
        self.doors.close();
        self.stop_server.send_replace(true);
        join(&mut self.server).await;
        let Crew { lanes, drivers } = std::mem::take(self.crew.get_mut());
        dismiss(drivers.into_values()).await;
        self.stop_pipeline.send_replace(true);
        join(&mut self.pipeline).await;
        dismiss(lanes.into_values()).await;
        self.stop_keeper.send_replace(true);
        join(&mut self.keeping).await;
        let Engine { ledger, intake, status, doors, writer, intake_thread, keeper, eraser, desk, matcher, .. } = self;
        let trouble = status.obstacle();
        let state = keeper.state.clone();
        drop((ledger, intake, status, doors, keeper, eraser, desk, matcher));
        let ended = tokio::task::spawn_blocking(move || {
            let writer = writer.stop().map_err(EngineError::from);
            let intake = intake_thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            writer.and(intake.map_err(EngineError::from))?;
            state.close().map_err(EngineError::from)
        });
        ended.await.map_err(|panic| EngineError::Broken(panic.to_string()))??;
        trouble.map_or(Ok(()), |trouble| Err(EngineError::Broken(trouble)))
    }
}

/// Opens what does not run already: whether each plugin takes its configuration.
async fn open_all(stages: &Stages, crew: &Crew) -> Result<(), EngineError> {
    let failed = |stage: &str, fault: weft_host::Fault| EngineError::Open { stage: stage.to_owned(), fault };
    for door in &stages.doors {
        door.source.open().await.map_err(|fault| failed(&door.name, fault))?;
    }
    for step in stages.chains.values().flatten() {
        step.transform.open().await.map_err(|fault| failed(&step.name, fault))?;
    }
    let is_new = |hand: Option<&Hand>, making: &Option<Arc<Making>>| hand.is_none_or(|hand| !hand.is_of(making.as_ref()));
    for lane in &stages.lanes {
        if is_new(crew.lanes.get(&(lane.name.clone(), lane.stream)), &lane.making) {
            lane.destination.open().await.map_err(|fault| failed(&lane.name, fault))?;
        }
    }
    for driver in &stages.drivers {
        if is_new(crew.drivers.get(&driver.name), &driver.making) {
            driver.source.open().await.map_err(|fault| failed(&driver.name, fault))?;
        }
    }
    Ok(())
}

/// Takes out those who are not wanted any more, or not as they are.
fn take_other<'a, K: Ord + Clone + 'a>(
    hands: &'a mut BTreeMap<K, Hand>,
    wanted: impl Fn(&K) -> Option<Option<&'a Arc<Making>>> + 'a,
) -> impl Iterator<Item = Hand> + 'a {
    hands.extract_if(.., move |key, hand| !wanted(key).is_some_and(|making| hand.is_of(making))).map(|(_, hand)| hand)
}

async fn dismiss(hands: impl Iterator<Item = Hand>) {
    let mut leaving: JoinSet<()> = hands.map(Hand::dismiss).collect();
    while leaving.join_next().await.is_some() {}
}

/// Waits for tasks to end by themselves, within the bound; then they are ended.
async fn join(tasks: &mut JoinSet<()>) {
    let all = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(limits::DRAIN_TIME_MAX, all).await.is_err() {
        tracing::warn!("a part of the engine did not end in time and is cut off; nothing that was acknowledged is lost");
        tasks.shutdown().await;
    }
}
