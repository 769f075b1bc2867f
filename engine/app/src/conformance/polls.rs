//! The checks of sources that poll, against what the plugin's own tests say that the other side answers.
//!
//! The tests say what must come of a poll; here nothing is compared with that, but a poll with itself and with the contract.

use std::sync::Arc;

use bytes::Bytes;
use weft_domain::event::Event;
use weft_host::{FailureKind, Output, Plugin, Source};

use super::transform::shown;
use super::{Bench, CANCELLED, Conformance, POLL, POLL_AGAIN};
use crate::cases::{GoodPoll, Script};
use crate::rehearsal::{Basket, Props, Stopping};

/// Plays each poll as it is written, again, and to somebody who stops at its first event.
pub(super) async fn check(plugin: &Plugin, polls: &[GoodPoll], found: &mut Conformance) {
    if polls.is_empty() {
        let why = "it has no tests with a poll that ends well: --tests FOLDER names them (docs/plugin-tests.md)";
        return [POLL, POLL_AGAIN].into_iter().for_each(|check| found.skip(check, None, why));
    }
    let mut emitted = 0;
    for poll in polls {
        let mut bench = Bench { plugin, block: &poll.block, title: &poll.name, found };
        match first(&mut bench, poll).await {
            Ok(events) => {
                bench.judge(POLL, are_known_again(&events));
                let again = again(&mut bench, poll, &events).await;
                bench.judge(POLL_AGAIN, again);
                let stopped = if events.is_empty() { Ok(()) } else { stopped(&mut bench, poll).await };
                bench.judge(CANCELLED, stopped);
                emitted += events.len();
            }
            Err(message) => bench.judge(POLL, Err(message)),
        }
    }
    if emitted == 0 {
        found.judge(POLL, None, Err("none of the polls of its tests emits an event".into()));
    }
}

/// A source, and an other side that plays its part so many times.
fn scripted(bench: &Bench<'_>, poll: &GoodPoll, times: usize) -> Result<(Source, Arc<Script>), String> {
    let peer = poll.peer(times);
    let props = Props::new(bench.block, peer.clone());
    let source = bench.plugin.source(props.stage(bench.block)).map_err(|error| error.to_string())?;
    Ok((source, peer))
}

/// The events of a poll that ends well.
async fn played(bench: &mut Bench<'_>, poll: &GoodPoll, source: &Source) -> Result<Vec<Bytes>, String> {
    let basket = Arc::new(Basket::default());
    let ended = source.poll(poll.state.as_deref(), Arc::clone(&basket) as Arc<dyn Output>).await;
    bench.found.use_up(source.used());
    bench.lived("the poll", ended)?.map_err(|failure| format!("its test says that it ends well, and it fails: {failure}"))?;
    Ok(basket.events())
}

/// The events of a poll that ends well and asks what its author expects.
async fn first(bench: &mut Bench<'_>, poll: &GoodPoll) -> Result<Vec<Bytes>, String> {
    let (source, peer) = scripted(bench, poll, 1)?;
    let events = played(bench, poll, &source).await;
    match peer.failures().first() {
        // It explains how the poll ended.
        Some(difference) => Err(format!("{difference}: `weft plugin test` shows all of it")),
        None => events,
    }
}

/// Canonical events that the engine knows again when they come again.
fn are_known_again(events: &[Bytes]) -> Result<(), String> {
    for bytes in events {
        let event = Event::parse(bytes).map_err(|error| format!("it emits {}: {error}", shown(bytes)))?;
        if event.message_id.is_none() {
            return Err(format!("{} has no message_id: after a crash it would count twice", shown(bytes)));
        }
    }
    Ok(())
}

/// The same poll twice more, as after a crash that loses what it emitted: on an instance that may be another, or remember the first.
async fn again(bench: &mut Bench<'_>, poll: &GoodPoll, events: &[Bytes]) -> Result<(), String> {
    let (source, _) = scripted(bench, poll, 2)?;
    for _ in 0..2 {
        let more = played(bench, poll, &source).await?;
        same(events, &more)?;
    }
    Ok(())
}

fn same(one: &[Bytes], other: &[Bytes]) -> Result<(), String> {
    if one.len() != other.len() {
        return Err(format!("the same answers give {} events, and {} the second time", one.len(), other.len()));
    }
    match one.iter().zip(other).find(|(one, other)| one != other) {
        None => Ok(()),
        Some((one, other)) => Err(format!("the same answers give {}, and {} the second time", shown(one), shown(other))),
    }
}

/// The engine stops when the first event comes.
async fn stopped(bench: &mut Bench<'_>, poll: &GoodPoll) -> Result<(), String> {
    let (source, _) = scripted(bench, poll, 1)?;
    let ended = source.poll(poll.state.as_deref(), Arc::new(Stopping)).await;
    match bench.lived("a poll that is asked to stop", ended)? {
        Err(failure) if failure.kind == FailureKind::Cancelled => Ok(()),
        Err(failure) => Err(format!("asked to stop, it fails otherwise than it was told: {failure}")),
        Ok(()) => Err("asked to stop, it ends as if there were no more".into()),
    }
}
