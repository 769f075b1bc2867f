//! Looks for customers who are one person and share no identifier, while events flow.
//!
//! The fold knows nothing of it but a lane: it says which customer's profile changed, and takes in what is said of two customers
//! ([`Input::Match`]). Between the two this worker keeps an index of customers by the keys under which alike ones are found, compares those who
//! changed with those who share a key, by the same model as for files, and says what it makes of them. It is slow, or fails, or is not
//! there, without anybody else being held up (invariant 11).
//!
//! ```text
//! lane ─► customer, from state ─► keys ─► index ─► who shares them ─► weight ─► Input::Match     then the index, then a receipt
//! ```
//!
//! What was said is durable before the index is, and the index before the receipt, so that a crash has work done twice, and none left
//! out. What is said twice is said once: the match is known by then. Where fields, thresholds or the model change, or the index is gone, it walks through all
//! customers, a piece at a time.
//!
//! In it: `rules` is the configuration, `people` reads customers, `index` finds them, `judge` decides what is said, `learn` makes models.

mod index;
mod judge;
mod learn;
mod people;
mod rules;
mod work;

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use weft_domain::input::{Input, Model as Learned};
use weft_domain::plan::MATCHING_LANE;
use weft_domain::value::Timestamp;
use weft_domain::view::View;
use weft_matching::model::Level;

pub use self::learn::NotLearned;
pub use self::rules::Rules;
use self::work::{Desk, Tools, Trouble, Turn};
use crate::clock::Clock;
use crate::limits;
use crate::telemetry::{Metrics, Said};
use crate::writer::Ledger;

/// The matcher, as everybody else sees it.
#[derive(Clone)]
pub struct Matcher {
    rules: watch::Sender<Option<Arc<Rules>>>,
    wishes: mpsc::Sender<Wish>,
    standing: Arc<Mutex<Standing>>,
}

/// How matching is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Standing {
    /// Customers that are found by what they say.
    pub customers: u64,
    /// Customers whose profile changed and who wait to be compared.
    pub waiting: u64,
    /// How much of all customers has been walked through, in per cent, where fields, thresholds or the model are new, or the index is; none
    /// where all have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub building: Option<u8>,
    /// Pairs compared since the start.
    pub compared_total: u64,
    /// Said since the start: that two are one person.
    pub merges_total: u64,
    /// Said since the start: that a person is to decide.
    pub reviews_total: u64,
    /// Said since the start: that what was said holds no more.
    pub aparts_total: u64,
    /// Keys that so many share that nobody is compared because of them.
    pub keys_closed: u64,
    /// Customers and claims past the bounds that were not looked at since the start.
    pub left_out_total: u64,
    /// The model by which customers are compared.
    pub model: ModelStanding,
    /// Whether a model is being learned.
    pub learning: bool,
    /// What went wrong last; none since all went well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Whether there is nothing to do.
    #[serde(skip)]
    pub(crate) is_idle: bool,
    /// Whether nobody was compared for a while, so that the index does not know of all changes.
    #[serde(skip)]
    was_off: bool,
}

/// A model in use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ModelStanding {
    /// Its place in history; 0 for the one that Weft comes with, which has learned from nobody.
    pub version: u64,
    /// When it was learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned: Option<Timestamp>,
    /// From how many customers.
    pub records: u64,
}

/// A model, as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Shown {
    /// Which.
    #[serde(flatten)]
    pub model: ModelStanding,
    /// The share of pairs that are one person.
    pub share: f64,
    /// What each level of each field says.
    pub levels: Vec<ShownLevel>,
}

/// What a level of a field says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShownLevel {
    /// The field, or the part of a name.
    pub component: String,
    /// How alike two values are.
    pub level: String,
    /// Its share among pairs of one person.
    pub matches: f64,
    /// Its share among strangers.
    pub strangers: f64,
}

impl Shown {
    /// A model, wherever it is from.
    #[must_use]
    pub fn of(standing: ModelStanding, model: &weft_matching::Model) -> Shown {
        let level = |Level { component, level, matches, strangers }| ShownLevel { component, level, matches, strangers };
        Shown { model: standing, share: model.shares[0], levels: model.summary().into_iter().map(level).collect() }
    }
}

/// Something that the worker is asked for.
enum Wish {
    /// Learn a model, and say what was learned.
    Learn(oneshot::Sender<Result<Shown, NotLearned>>),
    /// Forget the index, and make it anew.
    Forget(oneshot::Sender<()>),
}

/// The matcher at work.
pub struct Worker {
    ledger: Ledger,
    clock: Clock,
    metrics: Arc<Metrics>,
    folder: PathBuf,
    rules: watch::Receiver<Option<Arc<Rules>>>,
    wishes: mpsc::Receiver<Wish>,
    standing: Arc<Mutex<Standing>>,
    desk: Option<Desk>,
    learning: Option<oneshot::Receiver<Result<String, NotLearned>>>,
    learners: Vec<oneshot::Sender<Result<Shown, NotLearned>>>,
    /// How many people there were when it last learned by itself since the start.
    people_then: u64,
    /// When it is tried again to learn by itself.
    not_before: Option<Instant>,
}

impl Matcher {
    /// A matcher, and who does its work in this folder.
    #[must_use]
    pub fn new(ledger: Ledger, clock: Clock, metrics: Arc<Metrics>, folder: PathBuf, rules: Option<Rules>) -> (Matcher, Worker) {
        let (rules, in_force) = watch::channel(rules.map(Arc::new));
        let (wishes, wished) = mpsc::channel(limits::MATCHING_WISHES_MAX);
        let standing = Arc::new(Mutex::new(Standing::default()));
        let worker = Worker {
            ledger,
            clock,
            metrics,
            folder,
            rules: in_force,
            wishes: wished,
            standing: standing.clone(),
            desk: None,
            learning: None,
            learners: Vec::new(),
            people_then: 0,
            not_before: None,
        };
        (Matcher { rules, wishes, standing }, worker)
    }

    /// Other rules from now on; none for none.
    pub fn adopt(&self, rules: Option<Rules>) {
        let is_off = rules.is_none();
        self.rules.send_replace(rules.map(Arc::new));
        self.note(|standing| (standing.is_idle, standing.was_off) = (false, standing.was_off || is_off));
    }

    /// How it is doing; none where nobody is compared.
    #[must_use]
    pub fn standing(&self) -> Option<Standing> {
        let is_on = self.rules.borrow().is_some();
        is_on.then(|| self.standing.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Whether nothing is left to compare, as far as state is folded.
    #[must_use]
    pub fn is_idle(&self, ledger: &Ledger) -> bool {
        let Some(standing) = self.standing() else { return true };
        let lane = ledger.state().lane(MATCHING_LANE);
        standing.is_idle && lane.is_ok_and(|lane| lane.profiles_through == lane.profiles_next)
    }

    /// The model in use; none where nobody is compared.
    #[must_use]
    pub fn model(&self, ledger: &Ledger) -> Option<Shown> {
        let rules = self.rules.borrow().clone()?;
        let trained = ledger.state().model().cloned();
        let used = work::model_of(trained.as_deref(), &rules);
        Some(Shown::of(used.standing, &used.model))
    }

    /// Learns a model now. What was learned, once it is a part of history.
    ///
    /// # Errors
    /// [`NotLearned`].
    pub async fn learn(&self) -> Result<Shown, NotLearned> {
        if self.rules.borrow().is_none() {
            return Err(NotLearned::Off);
        }
        let (answer, answered) = oneshot::channel();
        self.wishes.send(Wish::Learn(answer)).await.map_err(|_| NotLearned::Ended)?;
        answered.await.unwrap_or(Err(NotLearned::Ended))
    }

    /// Forgets the index: it is made anew from state. Nothing is in it that state has let go before this was asked.
    pub async fn forget(&self) {
        let (answer, answered) = oneshot::channel();
        if self.wishes.send(Wish::Forget(answer)).await.is_ok() {
            let _ = answered.await;
        }
    }

    fn note(&self, change: impl FnOnce(&mut Standing)) {
        change(&mut self.standing.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// What came of waiting.
enum Woken {
    Stop,
    Rules,
    Durable,
    Wish(Wish),
    Learned(Result<String, NotLearned>),
    Time,
}

impl Worker {
    /// Works until it is told to stop, or the engine ends.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut durable = self.ledger.durable();
        while !*stop.borrow() {
            let was_off = std::mem::take(&mut self.standing.lock().unwrap_or_else(PoisonError::into_inner).was_off);
            if was_off {
                self.put_away().await;
            }
            let rules = self.rules.borrow_and_update().clone();
            durable.borrow_and_update();
            let turn = match rules {
                None => {
                    self.put_away().await;
                    None
                }
                Some(rules) => {
                    let turn = self.turn(rules.clone()).await;
                    self.learn_in_time(&rules, &stop);
                    Some(turn)
                }
            };
            match self.wait(turn, &mut durable, &mut stop).await {
                Woken::Stop => break,
                Woken::Rules | Woken::Durable | Woken::Time => (),
                Woken::Wish(Wish::Learn(answer)) => {
                    self.learners.push(answer);
                    self.begin_learning(&stop);
                }
                Woken::Wish(Wish::Forget(answer)) => {
                    self.note(|standing| standing.is_idle = false);
                    self.put_away().await;
                    // Nobody may be waiting any more.
                    let _ = answer.send(());
                }
                Woken::Learned(learned) => self.take_in(learned).await,
            }
        }
        let ended = self.desk.take().map(|desk| tokio::task::spawn_blocking(move || desk.close()));
        if let Some(ended) = ended
            && let Ok(Err(error)) = ended.await
        {
            tracing::warn!(%error, "the index of matching was not closed in order");
        }
    }

    /// Waits until there is something to do; `turn` is what came of the last piece of work, where there is any.
    async fn wait(&mut self, turn: Option<Turn>, durable: &mut watch::Receiver<u64>, stop: &mut watch::Receiver<bool>) -> Woken {
        let pause = match turn {
            // Wishes are heard between two pieces all the same.
            Some(Turn::Go) => Duration::ZERO,
            Some(Turn::Rest(rest)) => rest,
            Some(Turn::Idle) | None => limits::MATCHING_LOOK_EVERY,
        };
        let hears = turn == Some(Turn::Idle);
        let learning = async {
            match &mut self.learning {
                Some(learned) => {
                    learned.await.unwrap_or_else(|_| Err(NotLearned::Unsound("learning ended before its time".into())))
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => Woken::Stop,
            changed = self.rules.changed() => if changed.is_ok() { Woken::Rules } else { Woken::Stop },
            wish = self.wishes.recv() => wish.map_or(Woken::Stop, Woken::Wish),
            learned = learning => Woken::Learned(learned),
            changed = durable.changed(), if hears => if changed.is_ok() { Woken::Durable } else { Woken::Stop },
            () = tokio::time::sleep(pause), if turn.is_some() => Woken::Time,
        }
    }

    /// Does a piece of the work, on a thread that may wait.
    async fn turn(&mut self, rules: Arc<Rules>) -> Turn {
        let desk = self.desk.take();
        let (ledger, clock, metrics) = (self.ledger.clone(), self.clock.clone(), self.metrics.clone());
        let tools = Tools { ledger, clock, metrics, standing: self.standing.clone() };
        let folder = self.folder.clone();
        let work = move || -> Result<(Desk, Turn), Trouble> {
            let mut desk = match desk {
                Some(desk) => desk.adopt(&folder, rules)?,
                None => Desk::open(&folder, rules, tools)?,
            };
            let turn = desk.turn()?;
            Ok((desk, turn))
        };
        // Where something fails, what was not kept of the index is let go, and is done again.
        let failed = match tokio::task::spawn_blocking(work).await {
            Ok(Ok((desk, turn))) => {
                self.desk = Some(desk);
                self.went_well(turn);
                return turn;
            }
            Ok(Err(Trouble::Ended)) => return Turn::Rest(limits::MATCHING_REST),
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic.to_string(),
        };
        tracing::warn!(error = failed, "customers cannot be compared, and are compared later");
        self.metrics.matching.failures.inc();
        self.note(|standing| standing.last_error = Some(failed));
        Turn::Rest(limits::MATCHING_REST)
    }

    fn went_well(&self, turn: Turn) {
        let mut standing = self.standing.lock().unwrap_or_else(PoisonError::into_inner);
        standing.last_error = None;
        // Whoever adopts other rules sends them first, and then says that there is something to do.
        standing.is_idle = turn == Turn::Idle && !self.rules.has_changed().unwrap_or(true);
        count(&self.metrics, &standing);
    }

    /// Nobody is compared, or the index is to be forgotten: it goes.
    async fn put_away(&mut self) {
        let (desk, folder) = (self.desk.take(), self.folder.clone());
        let away = move || match desk {
            Some(desk) => desk.destroy(),
            None => index::forget(&folder),
        };
        let failed = match tokio::task::spawn_blocking(away).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(panic) => panic.to_string(),
        };
        tracing::error!(error = failed, folder = %self.folder.display(), "the index of matching cannot be removed");
        self.note(|standing| standing.last_error = Some(failed));
    }

    /// Begins to learn where it is time to.
    fn learn_in_time(&mut self, rules: &Rules, stop: &watch::Receiver<bool>) {
        let Some(schedule) = rules.schedule.filter(|_| self.learning.is_none()) else { return };
        if self.not_before.is_some_and(|not_before| Instant::now() < not_before) {
            return;
        }
        let totals = self.ledger.state().totals();
        let learned = self.desk.as_ref().map(Desk::learned).unwrap_or_default();
        let is_old = learned.learned.is_none_or(|at| at.plus_ms(schedule.every_ms) <= self.clock.now());
        // Of those who are one by a match each is learned from for itself.
        let people = totals.customers + totals.matches_joined;
        let most = limits::TRAINING_CUSTOMERS_MAX;
        // Not all have something to learn from, so what there was last time counts as well.
        let before = learned.records.max(self.people_then);
        let has_grown = before < most && people.min(most) >= before.saturating_mul(limits::TRAINING_GROWTH);
        if totals.customers >= schedule.after && (is_old || has_grown) {
            self.people_then = people;
            self.begin_learning(stop);
        }
    }

    fn begin_learning(&mut self, stop: &watch::Receiver<bool>) {
        let rules = self.rules.borrow().clone();
        match rules {
            _ if self.learning.is_some() => (),
            None => self.answer(&Err(NotLearned::Off)),
            Some(rules) => {
                let (ledger, stop, runtime) = (self.ledger.clone(), stop.clone(), Handle::current());
                let (answer, learned) = oneshot::channel();
                // A thread that nobody waits for at a stop: what it has learned by then counts for nothing.
                let learn = move || {
                    let _runtime = runtime.enter();
                    let _ = answer.send(learn::learn(ledger, &rules, &stop));
                };
                match std::thread::Builder::new().name("learner".into()).spawn(learn) {
                    Ok(_) => {
                        tracing::info!("learns how much each field of `identity.matching` says");
                        self.note(|standing| standing.learning = true);
                        self.learning = Some(learned);
                    }
                    Err(error) => self.answer(&Err(NotLearned::Unsound(error.to_string()))),
                }
            }
        }
    }

    /// Makes what was learned a part of history, and tells those who wait for it.
    async fn take_in(&mut self, learned: Result<String, NotLearned>) {
        self.learning = None;
        self.note(|standing| (standing.learning, standing.is_idle) = (false, false));
        let logged = match learned {
            Err(error) => Err(error),
            Ok(json) => {
                let logged = self.ledger.log(Input::Model(Learned { at: self.clock.now(), json })).await;
                logged.ok_or(NotLearned::Ended)
            }
        };
        let shown = logged.and_then(|version| {
            let rules = self.rules.borrow().clone().ok_or(NotLearned::Off)?;
            let used = work::model_of(self.ledger.state().model().map(|model| &**model), &rules);
            // Fields may have changed meanwhile: then it is of no use.
            if used.standing.version == version {
                Ok(Shown::of(used.standing, &used.model))
            } else {
                Err(NotLearned::OtherFields)
            }
        });
        match &shown {
            Ok(shown) => tracing::info!(version = shown.model.version, records = shown.model.records, "has learned a model"),
            Err(error) => {
                tracing::warn!(%error, "no model was learned");
                self.not_before = Some(Instant::now() + limits::TRAINING_RETRY);
            }
        }
        self.answer(&shown);
    }

    fn answer(&mut self, shown: &Result<Shown, NotLearned>) {
        for learner in self.learners.drain(..) {
            // Nobody may be waiting any more.
            let _ = learner.send(shown.clone());
        }
    }

    fn note(&self, change: impl FnOnce(&mut Standing)) {
        change(&mut self.standing.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Tells metrics how matching is doing.
fn count(metrics: &Metrics, standing: &Standing) {
    let all = &metrics.matching;
    let gauges = [
        (&all.customers, standing.customers),
        (&all.waiting, standing.waiting),
        (&all.keys_closed, standing.keys_closed),
        (&all.model_version, standing.model.version),
        (&all.model_learned, standing.model.learned.map_or(0, |at| u64::try_from(at.0 / 1_000).unwrap_or(0))),
    ];
    for (gauge, count) in gauges {
        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
    // They count since the start, as the standing does.
    let counters = [(&all.compared, standing.compared_total), (&all.left_out, standing.left_out_total)];
    for (counter, total) in counters {
        counter.inner().store(total, Ordering::Relaxed);
    }
    let said = [("merge", standing.merges_total), ("review", standing.reviews_total), ("apart", standing.aparts_total)];
    for (outcome, total) in said {
        all.said.get_or_create(&Said { outcome: outcome.to_owned() }).inner().store(total, Ordering::Relaxed);
    }
}
