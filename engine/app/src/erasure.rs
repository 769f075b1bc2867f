//! Erasure: everything that is known of a person goes, from state, both logs and what lies beside them (invariant 10).
//!
//! ```text
//! asked ─► gathered ─► out of state ─► state copied without old pages, as state and as base ─► index of matching anew
//!       ─► intake anew ─► history anew ─► done
//! ```
//!
//! All that wait go in one pass, since a pass copies state twice and reads both logs, however many people go. It is made beside everything
//! else: doors and lanes go on. What is to go is written into a file of the data folder before anything goes, so that an erasure that a crash
//! interrupts begins again at the next start and ends the same; every step may be done twice. Only the exchange of a segment, a rename, takes
//! place on the threads that own the logs.
//!
//! What stays: keyed hashes of the identifiers ([`crate::suppression`]), the erasure itself with its reason and counts, fingerprints of
//! message ids in the duplicate window (64 bits of a hash, forgotten with the window, without which a late repetition would count as
//! new), and what events of others say of the person.
//!
//! In it: `names` says what names a person, `person` and `traces` gather what there is, `job` writes it down until it is done, `pass` carries it
//! out, `logs` judges records, `silence` finds those whom nobody asks to forget, `forecast` counts them before.

pub mod forecast;
mod job;
mod logs;
pub(crate) mod names;
mod pass;
pub(crate) mod person;
pub mod silence;
pub(crate) mod traces;

use std::collections::BTreeMap;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use ring::rand::{SecureRandom, SystemRandom};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, Notify, watch};
use weft_domain::claim::CustomerId;
use weft_domain::input::Kv;
use weft_domain::value::Timestamp;
use weft_domain::view::ViewError;
use weft_store::StoreError;
use weft_store::files::Files;
use weft_store::overlay::Overlay;
use weft_store::state::Live;

use self::job::{Job, Jobs, Whom};
use self::person::Person;
use crate::bounds::InForce;
use crate::clock::Clock;
use crate::copies::Copies;
use crate::events::Who;
use crate::intake::Intake;
use crate::limits;
use crate::matcher::Matcher;
use crate::suppression::{self, Held, Print};
use crate::telemetry::Metrics;
use crate::writer::Ledger;

/// The stage under whose name erasures are kept, by their ids.
const REQUESTS: &str = "erasure/requests";

/// An erasure: what is kept of it names nobody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Erasure {
    /// Its id.
    pub id: String,
    /// How far it is.
    pub status: Progress,
    /// Why, in the words of who asked.
    pub reason: String,
    /// When it was asked for.
    pub requested: Timestamp,
    /// When nothing was left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<Timestamp>,
    /// How many identifiers are not taken any more.
    #[serde(default)]
    pub suppressed: u64,
    /// What went, by place: of state `claims`, `identifiers`, `events` of the index, `dead_letters`, `deliveries`, `values` of plugins; of the
    /// logs `history` and `intake`, whose records are empty now or say less, for all that went in the same pass.
    #[serde(default)]
    pub removed: BTreeMap<String, u64>,
    /// How many erasures went in the same pass, this one among them; 0 before.
    #[serde(default)]
    pub together: u64,
    /// Of customers who are forgotten for being silent, and of no other: how many they were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forgotten: Option<u64>,
    /// Until when it can be cancelled and waits, where it was asked to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_until: Option<Timestamp>,
    /// What keeps it from going on, where something does. It is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// How far an erasure is, in the words of OpenDSR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[clap(rename_all = "snake_case")]
pub enum Progress {
    /// It waits.
    Pending,
    /// It is under way.
    InProgress,
    /// It is done: of an erasure, nothing is left.
    Completed,
    /// It was called off before it began.
    Cancelled,
}

impl Progress {
    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Progress::Pending => "pending",
            Progress::InProgress => "in_progress",
            Progress::Completed => "completed",
            Progress::Cancelled => "cancelled",
        }
    }
}

/// Why an erasure cannot be asked for, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// There is no such customer.
    #[error("there is no customer {0}")]
    Nobody(CustomerId),
    /// There are too many.
    #[error("{} erasures wait already", limits::ERASURES_WAITING_MAX)]
    TooMany,
    /// The engine stops.
    #[error("the engine stops")]
    Stopped,
    /// State cannot be read.
    #[error(transparent)]
    View(#[from] ViewError),
    /// The disk fails, or a log is damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file of the work cannot be written.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// A worker panicked.
    #[error("the work failed: {0}")]
    Broken(String),
}

/// Carries erasures out.
pub struct Eraser {
    jobs: Jobs,
    intake: Intake,
    ledger: Ledger,
    state: Arc<Live>,
    matcher: Matcher,
    clock: Clock,
    copies: Arc<Copies>,
    bounds: InForce,
    metrics: Arc<Metrics>,
    passes: Arc<Mutex<()>>,
    waiting: Mutex<BTreeMap<(Timestamp, String), Job>>,
    asked: Notify,
}

impl Eraser {
    /// With what an earlier run had not finished. `folder` is where that is written down; `passes` is held by who makes a piece of a
    /// pass through history ([`crate::sweeper`]).
    ///
    /// # Errors
    /// [`EraseError`], where it cannot be read.
    pub fn new(
        folder: &Path,
        files: Arc<dyn Files>,
        (intake, ledger, state, matcher): (Intake, Ledger, Arc<Live>, Matcher),
        clock: Clock,
        copies: Arc<Copies>,
        (bounds, metrics): (InForce, Arc<Metrics>),
        passes: Arc<Mutex<()>>,
    ) -> Result<Eraser, EraseError> {
        let jobs = Jobs::new(folder, files);
        let mut waiting = BTreeMap::new();
        for job in jobs.left_over()? {
            if find(&ledger, &job.erasure.id)?.is_some_and(|known| known.status == Progress::Cancelled) {
                jobs.cross_out(&job.erasure.id)?;
                continue;
            }
            waiting.insert((job.erasure.requested, job.erasure.id.clone()), job);
        }
        let waiting = Mutex::new(waiting);
        Ok(Eraser { jobs, intake, ledger, state, matcher, clock, copies, bounds, metrics, passes, waiting, asked: Notify::new() })
    }

    /// Asks for an erasure of whoever these are, as one person. When this returns it will be done, whatever happens to the process.
    ///
    /// # Errors
    /// [`EraseError`]; then nothing was asked for.
    pub async fn ask(&self, whom: &[Who], reason: String) -> Result<Erasure, EraseError> {
        self.ask_as(random_id()?, whom, reason, None).await
    }

    /// The same under an id that was given, and not before an instant. Asked again under the same id it is the same erasure.
    ///
    /// # Errors
    /// [`EraseError`]; then nothing was asked for.
    pub async fn ask_as(
        &self,
        id: String,
        whom: &[Who],
        reason: String,
        waits_until: Option<Timestamp>,
    ) -> Result<Erasure, EraseError> {
        let today = |who: &Who| match who {
            Who::Identifier(kind, value) => Ok(Whom::Identifier(kind.clone(), value.clone())),
            Who::Customer(id) => match who.today(&*self.ledger.state())? {
                Some(today) => Ok(Whom::Customer(today)),
                None => Err(EraseError::Nobody(*id)),
            },
        };
        let whom = whom.iter().map(today).collect::<Result<Vec<Whom>, EraseError>>()?;
        if let Some(known) = find(&self.ledger, &id)? {
            return Ok(known);
        }
        self.forget_oldest().await?;
        let mut waiting = self.waiting.lock().await;
        if let Some(known) = waiting.values().find(|job| job.erasure.id == id) {
            return Ok(known.erasure.clone());
        }
        if waiting.len() >= limits::ERASURES_WAITING_MAX {
            return Err(EraseError::TooMany);
        }
        let erasure = Erasure { waits_until, ..Erasure::asked(id, reason, self.clock.now()) };
        let person = Person::salted(random_id()?);
        let job = Job { erasure: erasure.clone(), who: Whom::Several(whom), person, is_out_of_state: false, silent: None };
        self.jobs.write_down(&job)?;
        self.tell(&erasure).await?;
        waiting.insert((erasure.requested, erasure.id.clone()), job);
        self.asked.notify_one();
        Ok(erasure)
    }

    /// Calls an erasure off that has not begun. None where it has, or there is none of this id.
    ///
    /// # Errors
    /// [`EraseError`], where that cannot be noted; then it may yet be done.
    pub async fn cancel(&self, id: &str) -> Result<Option<Erasure>, EraseError> {
        let mut waiting = self.waiting.lock().await;
        let is_it = |job: &Job| job.erasure.id == id && job.erasure.status == Progress::Pending;
        let Some((key, job)) = waiting.iter().find(|(_, job)| is_it(job)) else { return Ok(None) };
        let (key, erasure) = (key.clone(), Erasure { status: Progress::Cancelled, ..job.erasure.clone() });
        // In this order: what is cancelled in state is crossed out at the next start as well.
        self.tell(&erasure).await?;
        self.jobs.cross_out(id)?;
        waiting.remove(&key);
        Ok(Some(erasure))
    }

    /// Has events of an identifier taken again. False where it was not suppressed.
    ///
    /// # Errors
    /// [`EraseError`], where that cannot be noted.
    pub async fn lift(&self, kind: &str, value: &str) -> Result<bool, EraseError> {
        let print = self.print(kind, value)?;
        let key = print.text();
        let is_held = self.ledger.state().value(suppression::STAGE, &key)?.is_some();
        if is_held {
            self.keep(suppression::STAGE, key, None).await?;
            self.ledger.suppression().hold([(print, Held::No)]);
        }
        Ok(is_held)
    }

    /// State as sled has it.
    #[must_use]
    pub fn state(&self) -> &Arc<Live> {
        &self.state
    }

    /// Works until it is told to stop; what is not done then is done after the next start.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut swept = Instant::now();
        loop {
            let work = async {
                let jobs = self.next().await;
                if !jobs.is_empty() {
                    return self.carry_out(jobs).await;
                }
                if swept.elapsed() < limits::SWEEP_EVERY {
                    return Ok(());
                }
                swept = Instant::now();
                self.sweep().await?;
                self.forget_inactive().await.map(drop)
            };
            let done = tokio::select! {
                done = work => done,
                () = stopped(&mut stop) => return,
            };
            let Err(error) = done else { continue };
            tracing::warn!(%error, "an erasure cannot go on; it is tried again");
            tokio::select! {
                () = tokio::time::sleep(limits::RETENTION_EVERY) => (),
                () = stopped(&mut stop) => return,
            }
        }
    }

    /// The jobs whose time has come, those that were asked for first before others; none after a while without any. From now on they cannot
    /// be called off.
    async fn next(&self) -> Vec<Job> {
        let due = async || {
            let (now, mut waiting) = (self.clock.now(), self.waiting.lock().await);
            let is_due = |job: &Job| job.erasure.waits_until.is_none_or(|until| until <= now);
            // Who asked goes before who is silent; these go by themselves, since what comes of them later is not theirs.
            let is_asked = waiting.values().any(|job| is_due(job) && job.silent.is_none());
            let at_once = if is_asked { limits::ERASURES_AT_ONCE } else { 1 };
            let due = waiting.values_mut().filter(|job| is_due(job) && job.silent.is_none() == is_asked);
            let begin = |job: &mut Job| {
                job.erasure.status = Progress::InProgress;
                job.clone()
            };
            due.take(at_once).map(begin).collect::<Vec<Job>>()
        };
        let jobs = due().await;
        if !jobs.is_empty() {
            return jobs;
        }
        tokio::select! {
            () = self.asked.notified() => due().await,
            () = tokio::time::sleep(limits::ERASURE_LOOK_EVERY) => Vec::new(),
        }
    }

    /// Takes out of intake what was known to be of somebody erased only after it had got there. Done by itself now and then.
    ///
    /// # Errors
    /// [`EraseError`]; then it is tried again.
    pub async fn sweep(&self) -> Result<(), EraseError> {
        let late = self.ledger.suppression().take_late();
        if late.is_empty() {
            return Ok(());
        }
        let swept = async {
            if !self.intake.rotate().await {
                return Err(EraseError::Stopped);
            }
            self.rewrite_intake(Arc::new(late.clone()), Arc::default(), u64::MAX).await
        };
        match swept.await {
            Ok(records) => tracing::info!(records, "took events of people who were erased out of intake"),
            Err(error) => {
                late.iter().for_each(|place| self.ledger.suppression().note_late(*place));
                return Err(error);
            }
        }
        Ok(())
    }

    fn print(&self, kind: &str, value: &str) -> Result<Print, EraseError> {
        let path = self.jobs.folder().join("key");
        self.ledger.suppression().print(kind, value).map_err(|error| EraseError::File { path, error })
    }

    /// Lets go of the oldest erasures that are completed, past the bound. The hashes of their identifiers stay.
    async fn forget_oldest(&self) -> Result<(), EraseError> {
        let kept = list(&self.ledger)?;
        let done = kept.iter().filter(|erasure| matches!(erasure.status, Progress::Completed | Progress::Cancelled));
        for erasure in done.take(kept.len().saturating_sub(limits::ERASURES_REMEMBERED_MAX)) {
            self.keep(REQUESTS, erasure.id.clone(), None).await?;
        }
        Ok(())
    }

    async fn tell(&self, erasure: &Erasure) -> Result<(), EraseError> {
        let json = serde_json::to_vec(erasure).expect("an erasure has string keys");
        self.keep(REQUESTS, erasure.id.clone(), Some(json)).await
    }

    async fn keep(&self, stage: &str, key: String, value: Option<Vec<u8>>) -> Result<(), EraseError> {
        let kv = Kv { stage: stage.to_owned(), key, value };
        // What the engine keeps itself is never full.
        self.ledger.keep(kv).await.map(drop).ok_or(EraseError::Stopped)
    }

    /// Has a job go on from here, also after a crash.
    async fn note(&self, job: &Job) -> Result<(), EraseError> {
        self.jobs.write_down(job)?;
        self.waiting.lock().await.insert((job.erasure.requested, job.erasure.id.clone()), job.clone());
        Ok(())
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Who tells it has gone away: that is a stop as well.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Erasures by id, as state knows them.
///
/// # Errors
/// [`ViewError`], where state cannot be read.
pub fn list(ledger: &Ledger) -> Result<Vec<Erasure>, ViewError> {
    list_in(|| ledger.state())
}

/// The same by looks at state, which is not held while they are read.
fn list_in<G: Deref<Target = Overlay>>(look: impl Fn() -> G) -> Result<Vec<Erasure>, ViewError> {
    let values = look().values(REQUESTS)?;
    let mut erasures: Vec<Erasure> = values.values().filter_map(|value| serde_json::from_slice(&value.0).ok()).collect();
    erasures.sort_by(|one, other| (one.requested, &one.id).cmp(&(other.requested, &other.id)));
    Ok(erasures)
}

/// The erasure of an id; none where there is none.
///
/// # Errors
/// [`ViewError`], where state cannot be read.
pub fn find(ledger: &Ledger, id: &str) -> Result<Option<Erasure>, ViewError> {
    let value = ledger.state().value(REQUESTS, id)?;
    Ok(value.and_then(|value| serde_json::from_slice(&value.0).ok()))
}

/// Takes in whom state knows to be suppressed.
///
/// # Errors
/// [`ViewError`], where state cannot be read.
pub fn restore(ledger: &Ledger) -> Result<(), ViewError> {
    let values = ledger.state().values(suppression::STAGE)?;
    ledger.suppression().hold(values.keys().filter_map(|text| Print::read(text)).map(|print| (print, Held::Yes)));
    Ok(())
}

/// Work that may wait for the disk, on a thread that may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, EraseError> {
    tokio::task::spawn_blocking(work).await.map_err(|panic| EraseError::Broken(panic.to_string()))
}

fn random_id() -> Result<String, EraseError> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| EraseError::Broken("the system gives no random bytes".into()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
