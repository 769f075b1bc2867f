//! The checks of transforms: pure, one outcome for each record, and nothing lost.

use std::collections::BTreeSet;

use bytes::Bytes;
use weft_domain::event::Event;
use weft_host::{Failure, Outcome, Transform};

use super::destination::silence;
use super::{ANSWERS, Bench, CUT, DEEP, DETERMINISTIC, EMPTY_BATCH, EVENTS, FULL_BATCH, GARBAGE, LARGE, OPEN, samples};
use crate::rehearsal::{Always, Props};

pub(super) async fn check(bench: &mut Bench<'_>) {
    let props = Props::new(bench.block, Always::new(silence()));
    let transform = match bench.plugin.transform(props.stage(bench.block)) {
        Ok(transform) => transform,
        Err(error) => return bench.judge(OPEN, Err(error.to_string())),
    };
    let opened = transform.open().await;
    let opens = opened.is_ok();
    bench.judge(OPEN, opened.map_err(|fault| format!("{fault} ({})", fault.code())));
    if opens {
        empty(bench, &transform).await;
        samples_of_all_kinds(bench, &transform).await;
        garbage(bench, &transform).await;
        hard(bench, &transform).await;
    }
    bench.found.use_up(transform.used());
}

pub(super) fn nobody() -> Failure {
    Failure::new(weft_host::FailureKind::Unavailable, "nobody is there")
}

async fn empty(bench: &mut Bench<'_>, transform: &Transform) {
    let answer = transform.apply_bare(&[]).await;
    let result = bench.lived("an empty batch", answer).and_then(|answer| match answer {
        Ok(_) => Ok(()),
        Err(failure) => Err(format!("an empty batch fails: {failure}")),
    });
    bench.judge(EMPTY_BATCH, result);
}

async fn apply(bench: &mut Bench<'_>, transform: &Transform, what: &str, records: &[Bytes]) -> Result<Vec<Outcome>, String> {
    let answer = transform.apply_bare(records).await;
    bench.lived(what, answer)?.map_err(|failure| format!("{what}: the whole batch fails: {failure}"))
}

async fn samples_of_all_kinds(bench: &mut Bench<'_>, transform: &Transform) {
    let records = samples::events();
    let first = match apply(bench, transform, "events of every kind", &records).await {
        Ok(first) => first,
        Err(message) => {
            bench.judge(ANSWERS, Err(message));
            for check in [EVENTS, DETERMINISTIC, CUT] {
                bench.skip(check, "the plugin gives no outcomes");
            }
            return;
        }
    };
    bench.judge(ANSWERS, Ok(()));
    bench.judge(EVENTS, are_events(&records, &first));
    let again = apply(bench, transform, "the same events again", &records).await;
    // And as the engine itself calls it: an instance that is kept must not remember.
    let mut result = again.and_then(|again| same(&records, &first, &again));
    for _ in 0..2 {
        let kept = transform.apply(&records).await;
        let kept = bench.lived("the same events once more", kept).and_then(|kept| kept.map_err(|failure| failure.to_string()));
        result = result.and(kept.and_then(|kept| same(&records, &first, &kept)));
    }
    bench.judge(DETERMINISTIC, result);
    let mut cut = Vec::new();
    for record in &records {
        match apply(bench, transform, "one event by itself", std::slice::from_ref(record)).await {
            Ok(outcomes) => cut.extend(outcomes),
            Err(message) => return bench.judge(CUT, Err(message)),
        }
    }
    let backwards: Vec<Bytes> = records.iter().rev().cloned().collect();
    let turned = apply(bench, transform, "the events the other way round", &backwards).await;
    let result = same(&records, &first, &cut).and_then(|()| {
        let turned: Vec<Outcome> = turned?.into_iter().rev().collect();
        same(&records, &first, &turned)
    });
    bench.judge(CUT, result);
}

fn same(records: &[Bytes], one: &[Outcome], other: &[Outcome]) -> Result<(), String> {
    match one.iter().zip(other).position(|(one, other)| one != other) {
        None => Ok(()),
        Some(at) => Err(format!("{} came to {} and then to {}", shown(&records[at]), outcome(&one[at]), outcome(&other[at]))),
    }
}

fn are_events(records: &[Bytes], outcomes: &[Outcome]) -> Result<(), String> {
    for (record, given) in records.iter().zip(outcomes) {
        let parts: &[Bytes] = match given {
            Outcome::Replace(one) => std::slice::from_ref(one),
            Outcome::Split(parts) => parts,
            Outcome::Keep | Outcome::Drop | Outcome::Reject(_) => &[],
        };
        let mut ids = BTreeSet::new();
        for (place, part) in parts.iter().enumerate() {
            let event = Event::parse(part).map_err(|error| format!("{} becomes {}: {error}", shown(record), shown(part)))?;
            let id = event.message_id.unwrap_or_default();
            if place > 0 && (id.is_empty() || !ids.insert(id.clone())) {
                return Err(format!("part {} of {} has no message_id of its own", place + 1, shown(record)));
            }
            ids.insert(id);
        }
    }
    Ok(())
}

/// Garbage must become a rejection. Kept is right too: the engine reads what is kept, and makes a dead letter of it.
async fn garbage(bench: &mut Bench<'_>, transform: &Transform) {
    let mut result = Ok(());
    for (what, bytes) in samples::garbage() {
        let outcomes = apply(bench, transform, what, &[bytes]).await;
        result = result.and(outcomes.and_then(|outcomes| match &outcomes[..] {
            [Outcome::Reject(_) | Outcome::Keep] => Ok(()),
            [other] => Err(format!("{what}: it came to {}", outcome(other))),
            _ => Err(format!("{what}: there is no outcome")),
        }));
    }
    bench.judge(GARBAGE, result);
}

async fn hard(bench: &mut Bench<'_>, transform: &Transform) {
    let deep = apply(bench, transform, "JSON 40,000 levels deep", &[samples::deep()]).await;
    bench.judge(DEEP, deep.map(drop));
    let limits = bench.limits();
    let large = apply(bench, transform, "an event as large as a batch may be", &[samples::large(limits.batch_bytes)]).await;
    bench.judge(LARGE, large.map(drop));
    let many = samples::many(limits.batch_records, limits.batch_bytes);
    let full = apply(bench, transform, "a full batch", &many).await;
    bench.judge(FULL_BATCH, full.map(drop));
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Keep => "keep".into(),
        Outcome::Drop => "drop".into(),
        Outcome::Replace(bytes) => format!("replace {}", shown(bytes)),
        Outcome::Split(parts) => format!("split into {}", parts.len()),
        Outcome::Reject(rejection) => format!("reject {} ({})", rejection.code, rejection.message),
    }
}

/// The beginning of a record.
pub(super) fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]);
    let cut: String = text.chars().take(120).collect();
    if cut.len() < bytes.len() { format!("`{cut}…`") } else { format!("`{cut}`") }
}
