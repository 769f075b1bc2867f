//! Erasure: everything that is known of a person goes, from state, both logs and what lies beside them (invariant 10).
//!
//! ```text
//! asked ─► gathered ─► out of state ─► state copied without old pages, as state and as base ─► index of matching anew
//!       ─► intake anew ─► history anew ─► done
//! ```
//!
//! One at a time, beside everything else: doors and lanes go on. What is to go is written into a file of the data folder before anything
//! goes, so that an erasure that a crash interrupts begins again at the next start and ends the same; every step may be done twice. Only
//! the exchange of a segment, a rename, takes place on the threads that own the logs.
//!
//! What stays: keyed hashes of the identifiers ([`crate::suppression`]), the erasure itself with its reason and counts, fingerprints of
//! message ids in the duplicate window (64 bits of a hash, forgotten with the window, without which a late repetition would count as
//! new), and what events of others say of the person.
//!
//! In it: `names` says what names a person, `person` gathers what there is, `job` writes it down until it is done, `logs` judges records.

mod job;
mod logs;
pub(crate) mod names;
pub(crate) mod person;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::rand::{SecureRandom, SystemRandom};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, Notify, watch};
use weft_domain::claim::CustomerId;
use weft_domain::input::{Command, Input, Kv};
use weft_domain::value::Timestamp;
use weft_domain::view::{View, ViewError};
use weft_store::StoreError;
use weft_store::files::Files;
use weft_store::log::{Rewritten, Verdict};
use weft_store::state::Live;

use self::job::{Job, Jobs, Whom};
use self::person::Person;
use crate::clock::Clock;
use crate::events::Who;
use crate::intake::Intake;
use crate::limits;
use crate::matcher::Matcher;
use crate::suppression::{self, Held, Print};
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
    /// logs `history` and `intake`, whose records are empty now or say less.
    #[serde(default)]
    pub removed: BTreeMap<String, u64>,
    /// What keeps it from going on, where something does. It is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

/// How far an erasure is, in the words of OpenDSR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// It waits.
    Pending,
    /// It is under way.
    InProgress,
    /// Nothing is left.
    Completed,
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
        passes: Arc<Mutex<()>>,
    ) -> Result<Eraser, EraseError> {
        let jobs = Jobs::new(folder, files);
        let named = |job: Job| ((job.erasure.requested, job.erasure.id.clone()), job);
        let waiting = Mutex::new(jobs.left_over()?.into_iter().map(named).collect());
        Ok(Eraser { jobs, intake, ledger, state, matcher, clock, passes, waiting, asked: Notify::new() })
    }

    /// Asks for an erasure. When this returns it will be done, whatever happens to the process.
    ///
    /// # Errors
    /// [`EraseError`]; then nothing was asked for.
    pub async fn ask(&self, who: Who, reason: String) -> Result<Erasure, EraseError> {
        let whom = match who.clone() {
            Who::Identifier(kind, value) => Whom::Identifier(kind, value),
            Who::Customer(id) => match who.today(&*self.ledger.state())? {
                Some(today) => Whom::Customer(today),
                None => return Err(EraseError::Nobody(id)),
            },
        };
        self.forget_oldest().await?;
        let mut waiting = self.waiting.lock().await;
        if waiting.len() >= limits::ERASURES_WAITING_MAX {
            return Err(EraseError::TooMany);
        }
        let erasure = Erasure {
            id: random_id()?,
            status: Progress::Pending,
            reason,
            requested: self.clock.now(),
            completed: None,
            suppressed: 0,
            removed: BTreeMap::new(),
            trouble: None,
        };
        let job = Job { erasure: erasure.clone(), who: whom, person: Person::salted(random_id()?), is_out_of_state: false };
        self.jobs.write_down(&job)?;
        self.tell(&erasure).await?;
        waiting.insert((erasure.requested, erasure.id.clone()), job);
        self.asked.notify_one();
        Ok(erasure)
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
        loop {
            let work = async {
                match self.next().await {
                    Some(job) => self.carry_out(job).await,
                    None => self.sweep().await,
                }
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

    /// The job that was asked for first; none after a while without any.
    async fn next(&self) -> Option<Job> {
        let first = async || self.waiting.lock().await.first_key_value().map(|(_, job)| job.clone());
        if let Some(job) = first().await {
            return Some(job);
        }
        tokio::select! {
            () = self.asked.notified() => first().await,
            () = tokio::time::sleep(limits::SWEEP_EVERY) => None,
        }
    }

    async fn carry_out(&self, mut job: Job) -> Result<(), EraseError> {
        job.erasure.status = Progress::InProgress;
        let done = self.work(&mut job).await;
        if let Err(error) = &done
            && !matches!(error, EraseError::Stopped)
        {
            job.erasure.trouble = Some(error.to_string());
            self.tell(&job.erasure).await?;
        }
        done
    }

    async fn work(&self, job: &mut Job) -> Result<(), EraseError> {
        job.erasure.trouble = None;
        self.tell(&job.erasure).await?;
        if !job.is_out_of_state {
            self.take_out_of_state(job).await?;
        }
        let state = self.state.clone();
        // First the base: a rebuild from here on begins with a copy that has nothing of the person.
        blocking(move || state.keep_base().and_then(|_| state.compact())).await??;
        // Keys by which the person was found are hashes of what was known.
        self.matcher.forget().await;
        let rewritten = self.rewrite_logs(Arc::new(job.person.clone())).await?;
        let mut removed = job.person.by_place();
        removed.extend([("history", rewritten.history), ("intake", rewritten.intake)]);
        job.erasure.removed = removed.into_iter().map(|(place, count)| (place.to_owned(), count)).collect();
        (job.erasure.status, job.erasure.completed) = (Progress::Completed, Some(self.clock.now()));
        self.tell(&job.erasure).await?;
        self.jobs.cross_out(&job.erasure.id)?;
        self.waiting.lock().await.remove(&(job.erasure.requested, job.erasure.id.clone()));
        tracing::info!(erasure = job.erasure.id, removed = ?job.erasure.removed, "a person was erased");
        Ok(())
    }

    /// Suppresses the identifiers, and takes out of state what there is, until nothing comes any more.
    async fn take_out_of_state(&self, job: &mut Job) -> Result<(), EraseError> {
        for round in 0..limits::ERASURE_ROUNDS_MAX {
            self.ledger.commit().await;
            let (who, ledger, state) = (Who::from(job.who.clone()), self.ledger.clone(), self.state.clone());
            let mut person = std::mem::take(&mut job.person);
            let gather = move || {
                let found = person.gather(&who, &ledger, &*state)? + person.gather_reasons(&*state)?;
                Ok::<_, ViewError>((person, found))
            };
            let (person, found) = blocking(gather).await??;
            job.person = person;
            // What an earlier try gathered may not have been taken out.
            if round > 0 && found == 0 {
                break;
            }
            self.note(job).await?;
            job.erasure.suppressed = self.suppress(&job.erasure.id, &job.person).await?;
            // What was in intake before reaches history now, or is left out there.
            self.wait_for_intake().await;
            // No piece of a pass is made meanwhile: what is made from now on has no claim of the person.
            let _between_pieces = self.passes.lock().await;
            for command in job.person.commands(&job.erasure.id) {
                self.ledger.log(Input::Command(Command::Erase(Box::new(command)))).await.ok_or(EraseError::Stopped)?;
            }
        }
        self.wait_for_passes(&job.person).await;
        self.ledger.commit().await;
        job.is_out_of_state = true;
        self.note(job).await
    }

    async fn suppress(&self, erasure: &str, person: &Person) -> Result<u64, EraseError> {
        let mut prints = BTreeSet::new();
        for (kind, value) in &person.own {
            prints.insert(self.print(kind, value)?);
        }
        for print in &prints {
            let is_held = self.ledger.state().value(suppression::STAGE, &print.text())?.is_some();
            if !is_held {
                self.keep(suppression::STAGE, print.text(), Some(erasure.as_bytes().to_vec())).await?;
            }
        }
        let count = prints.len() as u64;
        self.ledger.suppression().hold(prints.into_iter().map(|print| (print, Held::Yes)));
        Ok(count)
    }

    /// Waits until what is in intake now has been folded.
    async fn wait_for_intake(&self) {
        let end = self.intake.reader().durable_end();
        while self.ledger.intake_through() < end {
            tokio::time::sleep(limits::WATCH_EVERY / 10).await;
        }
    }

    /// Waits until no pass through history stands at a claim of the person.
    async fn wait_for_passes(&self, person: &Person) {
        let stands = || {
            let standings = self.ledger.state().standings();
            standings.passes.iter().filter_map(|pass| pass.after).any(|(claim, _)| person.claims.contains(&claim))
        };
        while stands() {
            tokio::time::sleep(limits::WATCH_EVERY / 10).await;
        }
    }

    /// Writes both logs anew without the person, intake first: which of its records are the person's is read from history.
    async fn rewrite_logs(&self, person: Arc<Person>) -> Result<Counts, EraseError> {
        if !self.ledger.rotate().await || !self.intake.rotate().await {
            return Err(EraseError::Stopped);
        }
        let (history, of_history) = (self.ledger.history().clone(), person.clone());
        let found = blocking(move || logs::look_over(&history, &of_history)).await??;
        let through = self.ledger.intake_through();
        let intake = self.rewrite_intake(Arc::new(found.intake), person.clone(), through).await?;
        let mut history = 0;
        for first in found.segments {
            let (reader, person) = (self.ledger.history().clone(), person.clone());
            let drafted = blocking(move || {
                let names = person.names();
                reader.draft(first, |position, kind, payload| logs::judge(&person, &names, position, kind, payload))
            });
            let Some((done, draft)) = unless_trimmed(drafted.await?)? else { continue };
            history += done.tombstones + done.replaced;
            if let Some(draft) = draft {
                self.ledger.adopt(draft).await.ok_or(EraseError::Stopped)??;
            }
        }
        Ok(Counts { history, intake })
    }

    async fn rewrite_intake(&self, gone: Arc<BTreeSet<u64>>, person: Arc<Person>, through: u64) -> Result<u64, EraseError> {
        let mut count = 0;
        for segment in self.intake.reader().segments().into_iter().filter(|segment| segment.sealed) {
            if person.identifiers.is_empty() && gone.range(segment.first..segment.end).next().is_none() {
                continue;
            }
            let (reader, gone, person) = (self.intake.reader().clone(), gone.clone(), person.clone());
            let drafted = blocking(move || {
                let names = person.names();
                reader.draft(segment.first, |position, kind, payload| {
                    // What has not reached history is left to be left out there.
                    let is_gone = position < through && (gone.contains(&position) || logs::arrived_from(&names, kind, payload));
                    if is_gone { Verdict::Tombstone } else { Verdict::Keep }
                })
            });
            let Some((done, draft)) = unless_trimmed(drafted.await?)? else { continue };
            count += done.tombstones;
            if let Some(draft) = draft {
                self.intake.adopt(draft).await.ok_or(EraseError::Stopped)??;
            }
        }
        Ok(count)
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
        let done = kept.iter().filter(|erasure| erasure.status == Progress::Completed);
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

/// Records that are empty now or say less.
struct Counts {
    history: u64,
    intake: u64,
}

/// Erasures by id, as state knows them.
///
/// # Errors
/// [`ViewError`], where state cannot be read.
pub fn list(ledger: &Ledger) -> Result<Vec<Erasure>, ViewError> {
    let values = ledger.state().values(REQUESTS)?;
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

/// None where retention was faster.
fn unless_trimmed<T>(drafted: Result<(Rewritten, T), StoreError>) -> Result<Option<(Rewritten, T)>, StoreError> {
    match drafted {
        Err(StoreError::NoSuchSegment { .. }) => Ok(None),
        drafted => drafted.map(Some),
    }
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
