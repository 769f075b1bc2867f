//! One instance of a plugin, and its calls: each under a budget, each answer checked before anybody sees it.
//!
//! After a crash the instance must not be used again: whoever holds it drops it. Nothing here tries anything twice; see
//! `sandbox/runner.rs`.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::Store;
use wasmtime::component::{Component, InstancePre};

use super::engine::Engine;
use super::fault::{Crash, CrashKind, Trouble};
pub(crate) use super::guest::Grant;
use super::guest::{Guest, Progress, Usage, cut, document, documents, rejection_fits, state_fits};
use crate::contract::wit::exports;
use crate::contract::{
    Batch, Body, ConfigProblem, Failure, Kind, Outcome, Output, Receipt, Received, Refused, Request, Response,
};
use crate::limits;

/// A component that fits its kind's world: its imports are linked, its exports are found.
#[derive(Clone)]
pub(crate) struct Prepared {
    pre: InstancePre<Guest>,
    plugin: exports::plugin::GuestIndices,
}

impl Prepared {
    /// Links a component. Fails where it imports what the kind's world does not have, or has not what it exports.
    pub(crate) fn new(engine: &Engine, component: &Component, kind: Kind) -> wasmtime::Result<Self> {
        let pre = engine.linker(kind).instantiate_pre(component)?;
        match kind {
            Kind::Source => exports::source::Guest::indices(&pre).map(drop)?,
            Kind::Transform => exports::transform::Guest::indices(&pre).map(drop)?,
            Kind::Destination => exports::destination::Guest::indices(&pre).map(drop)?,
        }
        Ok(Self { plugin: exports::plugin::GuestIndices::new(&pre)?, pre })
    }

    pub(crate) fn indices<E: Exports>(&self) -> wasmtime::Result<E::Indices> {
        E::indices(&self.pre)
    }
}

/// The exports of a kind's own interface.
pub(crate) trait Exports: Sized + Send + Sync + 'static {
    /// Where they are in the component.
    type Indices: Clone + Send + Sync + 'static;
    fn indices(pre: &InstancePre<Guest>) -> wasmtime::Result<Self::Indices>;
    fn load(
        indices: &Self::Indices,
        store: &mut Store<Guest>,
        instance: &wasmtime::component::Instance,
    ) -> wasmtime::Result<Self>;
}

macro_rules! exports {
    ($interface:ident) => {
        impl Exports for exports::$interface::Guest {
            type Indices = exports::$interface::GuestIndices;
            fn indices(pre: &InstancePre<Guest>) -> wasmtime::Result<Self::Indices> {
                exports::$interface::GuestIndices::new(pre)
            }
            fn load(
                indices: &Self::Indices,
                store: &mut Store<Guest>,
                instance: &wasmtime::component::Instance,
            ) -> wasmtime::Result<Self> {
                indices.load(store, instance)
            }
        }
    };
}
exports!(source);
exports!(transform);
exports!(destination);

/// For `describe` and `validate`, which need nothing of a kind's own.
pub(crate) struct Bare;

impl Exports for Bare {
    type Indices = ();
    fn indices(_: &InstancePre<Guest>) -> wasmtime::Result<()> {
        Ok(())
    }
    fn load((): &(), _: &mut Store<Guest>, _: &wasmtime::component::Instance) -> wasmtime::Result<Self> {
        Ok(Bare)
    }
}

/// A running guest. Dropping it frees its memory, then its place in the pool (fields drop in this order).
pub(crate) struct Instance<E> {
    store: Store<Guest>,
    plugin: exports::plugin::Guest,
    exports: E,
    progress: Progress,
    usage: Arc<Usage>,
    budget: Duration,
    calls: u32,
    _place: OwnedSemaphorePermit,
}

impl<E: Exports> Instance<E> {
    /// Makes an instance, under the budget of one call, since a guest may run code in being made.
    pub(crate) async fn new(engine: &Engine, prepared: &Prepared, indices: &E::Indices, grant: &Grant) -> Result<Self, Crash> {
        let place = engine.place().await;
        let guest = Guest::new(grant);
        let progress = guest.progress();
        let mut store = Store::new(engine.wasmtime(), guest);
        store.limiter(Guest::limiter);
        store.set_hostcall_fuel(limits::BORDER_BYTES_MAX);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        let made = metered(prepared.pre.instantiate_async(&mut store), grant.budget, &progress, &grant.usage).await;
        let instance = settle(&mut store, grant.budget, made)?;
        let loaded =
            prepared.plugin.load(&mut store, &instance).and_then(|plugin| Ok((plugin, E::load(indices, &mut store, &instance)?)));
        let (plugin, exports) = loaded.map_err(|error| Crash::classify(&error, store.data()))?;
        Ok(Self {
            store,
            plugin,
            exports,
            progress,
            usage: Arc::clone(&grant.usage),
            budget: grant.budget,
            calls: 0,
            _place: place,
        })
    }

    /// Whether it may serve another call: few calls so far, and memory that is not nearly full.
    pub(crate) fn is_fit(&self) -> bool {
        self.calls < limits::REUSE_CALLS_MAX && self.store.data().memory_percent() < limits::REUSE_MEMORY_PERCENT_MAX
    }

    fn begin(&mut self, output: Option<Arc<dyn Output>>) {
        self.calls = self.calls.saturating_add(1);
        self.store.data_mut().begin(output);
        // The epoch went on while the instance was idle.
        self.store.set_epoch_deadline(1);
    }

    /// The manifest, as text.
    pub(crate) async fn describe(&mut self) -> Result<String, Crash> {
        self.begin(None);
        let call = metered(self.plugin.call_describe(&mut self.store), self.budget, &self.progress, &self.usage).await;
        settle(&mut self.store, self.budget, call)
    }

    /// What the plugin finds wrong with a configuration.
    pub(crate) async fn validate(&mut self, config: &str) -> Result<Vec<ConfigProblem>, Crash> {
        self.begin(None);
        let call = metered(self.plugin.call_validate(&mut self.store, config), self.budget, &self.progress, &self.usage).await;
        Ok(match settle(&mut self.store, self.budget, call)? {
            Ok(()) => Vec::new(),
            Err(problems) => problems
                .into_iter()
                .take(limits::CONFIG_PROBLEMS_MAX)
                .map(|problem| ConfigProblem {
                    path: cut(problem.path, limits::MESSAGE_BYTES_MAX),
                    message: cut(problem.message, limits::MESSAGE_BYTES_MAX),
                    hint: problem.hint.map(|hint| cut(hint, limits::MESSAGE_BYTES_MAX)),
                })
                .collect(),
        })
    }

    /// Gives the instance its configuration.
    pub(crate) async fn open(&mut self, config: &str) -> Result<(), Trouble> {
        self.begin(None);
        let call = metered(self.plugin.call_open(&mut self.store, config), self.budget, &self.progress, &self.usage).await;
        settle(&mut self.store, self.budget, call)?.map_err(told)
    }

    /// Whether the outside lets it in.
    pub(crate) async fn check(&mut self) -> Result<(), Trouble> {
        self.begin(None);
        let call = metered(self.plugin.call_check(&mut self.store), self.budget, &self.progress, &self.usage).await;
        settle(&mut self.store, self.budget, call)?.map_err(told)
    }
}

impl Instance<exports::source::Guest> {
    pub(crate) async fn receive(&mut self, request: &Request) -> Result<Received, Trouble> {
        let headers: Vec<(&str, &str)> = request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let lowered = exports::source::Request {
            method: &request.method,
            path: &request.path,
            query: &request.query,
            headers: &headers,
            body: match &request.body {
                Body::Bytes(bytes) => exports::source::Body::Bytes(bytes),
                Body::Unreadable(why) => exports::source::Body::Unreadable(why),
            },
            received_ms: request.received_ms,
            remote: &request.remote,
        };
        self.begin(None);
        let call = metered(self.exports.call_receive(&mut self.store, lowered), self.budget, &self.progress, &self.usage).await;
        let received = settle(&mut self.store, self.budget, call)?.map_err(told)?;
        Ok(received_fits(received)?)
    }

    pub(crate) async fn poll(&mut self, state: Option<&str>, output: Arc<dyn Output>) -> Result<(), Trouble> {
        self.begin(Some(output));
        let call = metered(self.exports.call_poll(&mut self.store, state), self.budget, &self.progress, &self.usage).await;
        settle(&mut self.store, self.budget, call)?.map_err(told)
    }

    pub(crate) async fn decode(
        &mut self,
        chunk: &[u8],
        last: bool,
        state: Option<&str>,
        output: Arc<dyn Output>,
    ) -> Result<Option<String>, Trouble> {
        self.begin(Some(output));
        let call =
            metered(self.exports.call_decode(&mut self.store, chunk, last, state), self.budget, &self.progress, &self.usage)
                .await;
        let state = settle(&mut self.store, self.budget, call)?.map_err(told)?;
        if let Some(state) = &state {
            state_fits(state).map_err(Crash::broken)?;
        }
        Ok(state)
    }
}

impl Instance<exports::transform::Guest> {
    pub(crate) async fn apply(&mut self, records: &[Bytes]) -> Result<Vec<Outcome>, Trouble> {
        let lowered: Vec<&[u8]> = records.iter().map(|record| &record[..]).collect();
        self.begin(None);
        let call = metered(self.exports.call_apply(&mut self.store, &lowered), self.budget, &self.progress, &self.usage).await;
        let outcomes = settle(&mut self.store, self.budget, call)?.map_err(told)?;
        Ok(outcomes_fit(outcomes, records)?)
    }
}

impl Instance<exports::destination::Guest> {
    pub(crate) async fn deliver(
        &mut self,
        batch: &Batch,
        key: &str,
        part: std::ops::Range<usize>,
    ) -> Result<Vec<Receipt>, Trouble> {
        let records: Vec<&[u8]> = batch.records[part.clone()].iter().map(|record| &record[..]).collect();
        let lowered = exports::destination::Batch {
            stream: &batch.stream,
            key,
            records: &records,
            positions: &batch.positions[part.clone()],
        };
        self.begin(None);
        let call = metered(self.exports.call_deliver(&mut self.store, lowered), self.budget, &self.progress, &self.usage).await;
        let receipts = settle(&mut self.store, self.budget, call)?.map_err(told)?;
        count_fits(receipts.len(), part.len(), "receipt")?;
        receipts
            .into_iter()
            .map(|receipt| {
                Ok(match receipt {
                    exports::destination::Receipt::Ok => Receipt::Ok,
                    exports::destination::Receipt::Retry(after_ms) => Receipt::Retry(after_ms),
                    exports::destination::Receipt::Reject(rejection) => {
                        Receipt::Reject(rejection_fits(rejection.into()).map_err(Crash::broken)?)
                    }
                })
            })
            .collect()
    }
}

/// The budget of a call is gone.
struct Overrun;

/// Runs a call and measures the time that it runs itself: what passes between the polls, while it waits for what is lent or
/// for its turn, is not counted. Progress gives it the whole budget anew.
async fn metered<T>(call: impl Future<Output = T>, budget: Duration, progress: &Progress, usage: &Usage) -> Result<T, Overrun> {
    let mut call = pin!(call);
    let mut spent = Duration::ZERO;
    let mut seen = progress.load(Ordering::Relaxed);
    poll_fn(move |context| {
        let began = Instant::now();
        let polled = call.as_mut().poll(context);
        spent += began.elapsed();
        usage.call_us.fetch_max(u64::try_from(spent.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
        if let Poll::Ready(answer) = polled {
            return Poll::Ready(Ok(answer));
        }
        let now = progress.load(Ordering::Relaxed);
        if now != seen {
            seen = now;
            spent = Duration::ZERO;
        }
        if spent >= budget {
            return Poll::Ready(Err(Overrun));
        }
        Poll::Pending
    })
    .await
}

/// Ends a call: what went wrong is classified, and what was lent for it is taken back.
fn settle<T>(store: &mut Store<Guest>, budget: Duration, call: Result<wasmtime::Result<T>, Overrun>) -> Result<T, Crash> {
    let result = match call {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(Crash::classify(&error, store.data())),
        Err(Overrun) => Err(Crash::new(CrashKind::Timeout, format!("the plugin ran for more than {} ms", budget.as_millis()))),
    };
    store.data_mut().end();
    result
}

/// A failure as the guest tells it, cut to size.
fn told(failure: crate::contract::wit::imports::types::Failure) -> Trouble {
    let mut failure = Failure::from(failure);
    failure.message = cut(failure.message, limits::MESSAGE_BYTES_MAX);
    failure.into()
}

fn count_fits(given: usize, wanted: usize, what: &str) -> Result<(), Crash> {
    if given == wanted {
        return Ok(());
    }
    Err(Crash::broken(format!("the plugin answered {given} {what}s for {wanted} records")))
}

fn outcomes_fit(outcomes: Vec<exports::transform::Outcome>, records: &[Bytes]) -> Result<Vec<Outcome>, Crash> {
    use exports::transform::Outcome as Answer;
    count_fits(outcomes.len(), records.len(), "outcome")?;
    let input: usize = records.iter().map(Bytes::len).sum();
    let mut left = input.saturating_mul(limits::OUTPUT_GROWTH_MAX).max(limits::OUTPUT_BYTES_MIN);
    let mut take = |bytes: Vec<u8>| {
        left = left.checked_sub(bytes.len()).ok_or_else(|| {
            Crash::broken(format!("the plugin gave more than {} times its {input} bytes of input", limits::OUTPUT_GROWTH_MAX))
        })?;
        document(bytes, "event").map_err(Crash::broken)
    };
    outcomes
        .into_iter()
        .map(|outcome| {
            Ok(match outcome {
                Answer::Keep => Outcome::Keep,
                Answer::Drop => Outcome::Drop,
                Answer::Replace(bytes) => Outcome::Replace(take(bytes)?),
                Answer::Split(parts) => {
                    if parts.len() > limits::SPLIT_RECORDS_MAX {
                        return Err(Crash::broken(format!(
                            "the plugin split a record into {}, more than {}",
                            parts.len(),
                            limits::SPLIT_RECORDS_MAX
                        )));
                    }
                    Outcome::Split(parts.into_iter().map(&mut take).collect::<Result<_, _>>()?)
                }
                Answer::Reject(rejection) => Outcome::Reject(rejection_fits(rejection.into()).map_err(Crash::broken)?),
            })
        })
        .collect()
}

fn received_fits(received: exports::source::Received) -> Result<Received, Crash> {
    let response = received.response;
    if !(200..=599).contains(&response.status) {
        return Err(Crash::broken(format!(
            "the plugin answered with the status {}, which is none to end a request with",
            response.status
        )));
    }
    if response.headers.len() > limits::HEADERS_MAX || received.refused.len() > limits::EVENTS_PER_CALL_MAX {
        return Err(Crash::broken("the plugin's answer has too many headers or refused records"));
    }
    Ok(Received {
        response: Response { status: response.status, headers: response.headers, body: response.body.into() },
        events: documents(received.events, "event").map_err(Crash::broken)?,
        refused: received
            .refused
            .into_iter()
            .map(|refused| {
                Ok(Refused {
                    rejection: rejection_fits(refused.rejection.into()).map_err(Crash::broken)?,
                    bytes: refused.bytes.map(Bytes::from),
                })
            })
            .collect::<Result<_, Crash>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A call of so many polls, each of which takes 10 ms; it makes progress in every `every`-th of them.
    fn call(polls: u32, every: u32, progress: &Progress) -> impl Future<Output = ()> {
        let progress = Arc::clone(progress);
        let mut done = 0;
        poll_fn(move |context| {
            std::thread::sleep(Duration::from_millis(10));
            done += 1;
            if done % every == 0 {
                progress.fetch_add(1, Ordering::Relaxed);
            }
            if done == polls {
                return Poll::Ready(());
            }
            context.waker().wake_by_ref();
            Poll::Pending
        })
    }

    async fn check(polls: u32, every: u32, is_within: bool) {
        let progress = Progress::default();
        let ended = metered(call(polls, every, &progress), Duration::from_millis(95), &progress, &Usage::default()).await;
        assert_eq!(ended.is_ok(), is_within, "{polls} polls with progress in every {every}th");
    }

    #[tokio::test]
    async fn progress_gives_a_call_its_budget_anew() {
        check(3, u32::MAX, true).await;
        check(30, u32::MAX, false).await;
        check(30, 3, true).await;
        check(30, 20, false).await;
    }

    #[tokio::test]
    async fn time_between_the_polls_is_not_the_plugins() {
        let progress = Progress::default();
        let waiting = tokio::time::sleep(Duration::from_millis(200));
        assert!(metered(waiting, Duration::from_millis(50), &progress, &Usage::default()).await.is_ok());
    }
}
