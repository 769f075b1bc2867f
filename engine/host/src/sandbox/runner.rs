//! A stage's instances: a fresh one for each call, or a few kept between calls where the manifest asks for it.
//!
//! An instance is leased, used and given back; one that is not given back is gone, which is what happens after a crash and
//! when a call is dropped half way. Every crash is counted here; whether a call as a whole failed is said by `stage.rs`.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::bisect::{Freshness, Tried};
use super::engine::Engine;
use super::fault::{Crash, Fault, Trouble};
use super::health::{Health, Ticket, Ward};
use super::instance::{Exports, Grant, Instance, Prepared};
use crate::contract::{Lent, Limits, Manifest, WantedLimits};
use crate::limits;

/// What a stage is made from.
#[derive(Clone)]
pub struct Stage {
    /// Its name in the plan.
    pub name: String,
    /// The block under `config:` as JSON, with handles in place of secrets and folders.
    pub config: String,
    /// What it may reach.
    pub lent: Arc<dyn Lent>,
    /// The operator's limits, which go before the manifest's.
    pub limits: WantedLimits,
}

/// The most that an instance of a stage has used so far, beside its [`Limits`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// Linear memory, all memories of the instance together.
    pub memory_bytes: u64,
    /// Time of one call in the guest itself.
    pub call: Duration,
}

/// Whether instances are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeping {
    Kept,
    Dropped,
}

/// The instances of one stage.
pub(crate) struct Runner<E: Exports> {
    name: String,
    config: String,
    engine: Arc<Engine>,
    prepared: Prepared,
    indices: E::Indices,
    grant: Grant,
    limits: Limits,
    keeping: Keeping,
    idle: Mutex<Vec<Instance<E>>>,
    room: Semaphore,
    ward: Mutex<Ward>,
}

impl<E: Exports> Runner<E> {
    pub(crate) fn new(engine: Arc<Engine>, prepared: Prepared, manifest: &Manifest, stage: Stage) -> wasmtime::Result<Self> {
        let limits = Limits::resolve(manifest.kind, manifest.limits, stage.limits, Limits::ceiling(engine.memory_bytes_max()));
        Ok(Self {
            name: stage.name,
            config: stage.config,
            indices: prepared.indices::<E>()?,
            prepared,
            grant: Grant::new(stage.lent, &manifest.capabilities, &limits),
            limits,
            keeping: if manifest.reuse { Keeping::Kept } else { Keeping::Dropped },
            idle: Mutex::new(Vec::new()),
            room: Semaphore::new(limits::STAGE_INSTANCES_MAX),
            ward: Mutex::new(Ward::default()),
            engine,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The most that an instance has used so far.
    pub(crate) fn used(&self) -> Used {
        Used {
            memory_bytes: self.grant.usage.memory_bytes.load(Ordering::Relaxed),
            call: Duration::from_micros(self.grant.usage.call_us.load(Ordering::Relaxed)),
        }
    }

    pub(crate) fn health(&self) -> Health {
        self.ward().health(Instant::now())
    }

    /// Lets a call in, or answers that the stage is quarantined.
    pub(crate) fn admit(&self) -> Result<Ticket, Fault> {
        let now = Instant::now();
        self.ward()
            .admit(now)
            .map_err(|(until, last_fault)| Fault::Quarantined { wait: until.saturating_duration_since(now), last_fault })
    }

    /// Ends a call over a batch. If the plugin answered for no record of it, that is a crash, though each record has its end.
    pub(crate) fn settled<A>(&self, ticket: Ticket, tried: Result<Tried<A>, Trouble>) -> Result<Vec<A>, Fault> {
        match tried {
            Ok(Tried { answers, through: 0 }) => {
                self.ward().crashed(ticket, Instant::now());
                Ok(answers)
            }
            Ok(Tried { answers, .. }) => {
                self.succeeded(ticket);
                Ok(answers)
            }
            Err(trouble) => Err(self.fault(ticket, trouble)),
        }
    }

    /// A call gave something: the row of crashes ends.
    pub(crate) fn succeeded(&self, ticket: Ticket) {
        self.ward().succeeded(ticket);
    }

    /// Ends a call that gave nothing.
    pub(crate) fn fault(&self, ticket: Ticket, trouble: Trouble) -> Fault {
        match trouble {
            Trouble::Crash(crash) | Trouble::Start(crash) => {
                self.ward().crashed(ticket, Instant::now());
                Fault::Crash(crash)
            }
            // A plugin that can say what is wrong is in good health.
            Trouble::Failure(failure) => {
                self.succeeded(ticket);
                Fault::Failure(failure)
            }
        }
    }

    /// An opened instance, waited for while the stage or the pool is full.
    pub(crate) async fn lease(&self, freshness: Freshness) -> Result<Lease<'_, E>, Trouble> {
        let room = self.room.acquire().await.expect("the semaphore is never closed");
        let kept = match freshness {
            Freshness::AsAsked => self.idle().pop(),
            Freshness::Fresh => None,
        };
        let instance = match kept {
            Some(instance) => instance,
            None => match self.fresh().await {
                Ok(instance) => instance,
                Err(trouble) => return Err(self.noted(trouble)),
            },
        };
        Ok(Lease { runner: self, instance, _room: room })
    }

    async fn fresh(&self) -> Result<Instance<E>, Trouble> {
        let mut instance =
            Instance::new(&self.engine, &self.prepared, &self.indices, &self.grant).await.map_err(Trouble::Start)?;
        match instance.open(&self.config).await {
            Ok(()) => Ok(instance),
            Err(Trouble::Crash(crash) | Trouble::Start(crash)) => Err(Trouble::Start(crash)),
            Err(Trouble::Failure(failure)) => Err(Trouble::Failure(failure)),
        }
    }

    fn noted(&self, trouble: Trouble) -> Trouble {
        if let Trouble::Crash(Crash { message, .. }) | Trouble::Start(Crash { message, .. }) = &trouble {
            self.ward().note(message);
        }
        trouble
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Instance<E>>> {
        // Nothing panics while it is held; if something does, a list of instances is still a list of instances.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ward(&self) -> MutexGuard<'_, Ward> {
        self.ward.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An instance in use. The instance goes before its room does (fields drop in this order).
pub(crate) struct Lease<'runner, E: Exports> {
    runner: &'runner Runner<E>,
    pub(crate) instance: Instance<E>,
    _room: SemaphorePermit<'runner>,
}

impl<E: Exports> Lease<'_, E> {
    /// Gives the instance back after a call, unless the call crashed: then it is gone, and the crash is counted.
    pub(crate) fn end<T>(self, result: Result<T, Trouble>) -> Result<T, Trouble> {
        match result {
            Ok(_) | Err(Trouble::Failure(_)) => {
                let runner = self.runner;
                if runner.keeping == Keeping::Kept && self.instance.is_fit() && runner.engine.is_roomy() {
                    let mut idle = runner.idle();
                    if idle.len() < limits::STAGE_IDLE_MAX {
                        idle.push(self.instance);
                    }
                }
                result
            }
            Err(trouble) => Err(self.runner.noted(trouble)),
        }
    }
}
