//! The engine: its parts put together, started and stopped.
//!
//! ```text
//! doors ─► intake ─► pipeline ─► writer ─► lanes          pages read the writer's state
//! ```
//!
//! A start opens the data folder, brings state up to the end of history, and only then opens doors and lanes. A stop closes the
//! doors first, lets what has arrived pass through, lets each lane finish the batch that it has in hand, and commits. What
//! each part does is in its own module; which plugins run is [`crate::assembly`]'s.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use weft_domain::input::Input;
use weft_domain::plan::Plan;
use weft_domain::value::Timestamp;
use weft_domain::view::View;
use weft_store::StoreError;

use crate::api::{Pages, router};
use crate::clock::Clock;
use crate::config::Token;
use crate::delivery::Lane;
use crate::door::{Door, Doors};
use crate::intake::Intake;
use crate::keeper::Keeper;
use crate::limits;
use crate::pipeline::{self, Chains, PipelineError};
use crate::status::{LaneReport, Report, Status};
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
    /// The rules of the fold.
    pub plan: Plan,
    /// Who may read the engine's pages.
    pub tokens: Vec<Token>,
    /// Records of intake that may wait before the doors answer 503.
    pub intake_lag_max: u64,
    /// Bytes of the intake log kept after they have reached history.
    pub intake_bytes_max: u64,
    /// Bytes of history kept; none for all of it.
    pub history_bytes_max: Option<u64>,
    /// What time it is.
    pub clock: Clock,
}

/// The plugins at work.
#[derive(Default)]
pub struct Stages {
    /// Sources with a door.
    pub doors: Vec<Door>,
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
    /// The writer.
    #[error(transparent)]
    Writer(#[from] WriterError),
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
    address: Option<SocketAddr>,
    doors: Arc<Doors>,
    writer: Writer,
    intake_thread: JoinHandle<Result<(), StoreError>>,
    stop_server: watch::Sender<bool>,
    stop_pipeline: watch::Sender<bool>,
    stop_lanes: watch::Sender<bool>,
    server: JoinSet<()>,
    pipeline: JoinSet<()>,
    lanes: JoinSet<()>,
    notes: Vec<String>,
    keeper: Arc<Keeper>,
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
        let writer = Writer::start(vault.history, vault.overlay, state.clone(), settings.clock.clone(), metrics.clone());
        let ledger = writer.ledger().clone();
        let mut plan = settings.plan;
        if in_force.generation == 0 || !plan.says_the_same(&in_force) {
            plan.generation = in_force.generation + 1;
            ledger.log(Input::Plan(plan)).await;
        }
        let stages = stages(&ledger).await?;
        let status = Arc::new(Status::of(&stages.lanes, &stages.doors, intake.clone()));
        let doors =
            Doors::open(stages.doors, intake.clone(), ledger.clone(), settings.clock, metrics.clone(), settings.intake_lag_max);
        let keeper = Keeper {
            intake: intake.clone(),
            ledger: ledger.clone(),
            state,
            intake_bytes_max: settings.intake_bytes_max,
            history_bytes_max: settings.history_bytes_max,
        };
        let mut engine = Engine {
            address: listener.as_ref().and_then(|listener| listener.local_addr().ok()),
            doors: Arc::new(doors),
            ledger,
            intake,
            status,
            metrics,
            writer,
            intake_thread,
            stop_server: watch::channel(false).0,
            stop_pipeline: watch::channel(false).0,
            stop_lanes: watch::channel(false).0,
            server: JoinSet::new(),
            pipeline: JoinSet::new(),
            lanes: JoinSet::new(),
            notes: vault.notes,
            keeper: Arc::new(keeper),
        };
        engine.run_pipeline(stages.chains);
        engine.lanes.spawn(engine.keeper.clone().run(engine.stop_lanes.subscribe()));
        engine.run_lanes(stages.lanes);
        if let Some(listener) = listener {
            engine.serve(listener, settings.tokens);
        }
        Ok(engine)
    }

    fn run_pipeline(&mut self, chains: Chains) {
        let run = pipeline::run(
            self.intake.reader().clone(),
            self.intake.durable(),
            Arc::new(chains),
            self.ledger.clone(),
            self.stop_pipeline.subscribe(),
        );
        let status = self.status.clone();
        self.pipeline.spawn(async move {
            if let Err(error) = run.await {
                status.trouble(error.to_string());
            }
        });
    }

    fn run_lanes(&mut self, lanes: Vec<Lane>) {
        for lane in lanes {
            let (name, status) = (lane.name.clone(), self.status.clone());
            let run = lane.run(self.ledger.clone(), self.metrics.clone(), self.stop_lanes.subscribe());
            self.lanes.spawn(async move {
                if let Err(error) = run.await {
                    status.trouble(format!("the lane of `{name}` cannot read history: {error}"));
                }
            });
        }
    }

    fn serve(&mut self, listener: TcpListener, tokens: Vec<Token>) {
        let (ledger, metrics, status) = (self.ledger.clone(), self.metrics.clone(), self.status.clone());
        let pages = Arc::new(Pages { ledger, metrics, status, tokens });
        let router = router(pages, self.doors.clone());
        self.server.spawn(crate::listener::serve(listener, router, self.stop_server.subscribe()));
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address
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

    /// What looks after what is kept; it looks by itself now and then.
    #[must_use]
    pub fn keeper(&self) -> &Arc<Keeper> {
        &self.keeper
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

    /// Waits until what has arrived has passed through everything: pipeline, fold, timers, lanes.
    pub async fn settle(&self) {
        while !self.is_settled() {
            tokio::time::sleep(limits::WATCH_EVERY / 10).await;
        }
    }

    fn is_settled(&self) -> bool {
        let report = self.report();
        if report.trouble.is_some() {
            return true;
        }
        let state = self.ledger.state();
        let timers = state.due(Timestamp(i64::MAX), 1).is_ok_and(|due| !due.is_empty());
        let told = |lane: &LaneReport| match &*lane.stream {
            "events" => lane.standing.seen >= report.history.records,
            _ => state.lane(&lane.name).is_ok_and(|lane| lane.profiles_through == lane.profiles_next),
        };
        let arrived = report.intake.through >= report.intake.records && report.history.through == report.history.records;
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
        self.stop_pipeline.send_replace(true);
        join(&mut self.pipeline).await;
        self.stop_lanes.send_replace(true);
        join(&mut self.lanes).await;
        let Engine { ledger, intake, status, doors, writer, intake_thread, keeper, .. } = self;
        let trouble = status.obstacle();
        let state = keeper.state.clone();
        drop((ledger, intake, status, doors, keeper));
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

/// Waits for tasks to end by themselves, within the bound; then they are ended.
async fn join(tasks: &mut JoinSet<()>) {
    let all = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(limits::DRAIN_TIME_MAX, all).await.is_err() {
        tracing::warn!("a part of the engine did not end in time and is cut off; nothing that was acknowledged is lost");
        tasks.shutdown().await;
    }
}
