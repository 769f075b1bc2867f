//! Calls put together into requests that Segment takes, and what becomes of each.
//!
//! Segment answers for a request as a whole. Where it refuses one, the request is taken apart until the call to blame stands alone; order is
//! kept, and a call that has to wait holds up those behind it.

use weft_plugin::{Batch, Failure, FailureKind, Receipt, Rejection, http};

use crate::Config;
use crate::call::call;

/// Bytes of a call: Segment's 32 KB, by the narrower meaning of the word.
pub(crate) const CALL_BYTES_MAX: usize = 32_000;
/// Bytes of a request: Segment's 500 KB, likewise.
const REQUEST_BYTES_MAX: usize = 500_000;
/// Calls in a request: Segment's bound.
const REQUEST_CALLS_MAX: usize = 2_500;
/// Requests that taking refused ones apart may cost in one delivery: two bad calls of a full request cost some forty. What is not tried
/// by then comes again.
const SPLITS_MAX: u32 = 48;

const BEFORE: &str = "{\"batch\":[";
const AFTER: &str = "]}";

/// A call, and the place of its record in the batch.
struct Made {
    place: usize,
    text: String,
}

/// What became of a request.
enum Fate {
    Taken,
    /// Something in it is not taken.
    Refused(Rejection),
    Waits(Failure),
}

/// One receipt for each record.
///
/// # Errors
/// None of the batch went through, and it has to wait.
pub(crate) fn deliver(config: &Config, batch: &Batch) -> Result<Vec<Receipt>, Failure> {
    let mut calls = Vec::new();
    let mut receipts: Vec<Option<Receipt>> = vec![None; batch.records.len()];
    for (place, (record, position)) in batch.records.iter().zip(&batch.positions).enumerate() {
        match call(config, &batch.stream, record, *position) {
            Ok(Some(text)) => calls.push(Made { place, text }),
            // There is nothing to say to Segment.
            Ok(None) => receipts[place] = Some(Receipt::Ok),
            Err(rejection) => receipts[place] = Some(Receipt::Reject(rejection)),
        }
    }
    let mut splits_left = SPLITS_MAX;
    let mut any_taken = false;
    let mut waiting: Vec<&[Made]> = parts(&calls);
    // Taken from the end.
    waiting.reverse();
    while let Some(part) = waiting.pop() {
        match send(config, part) {
            Fate::Taken => {
                any_taken = true;
                part.iter().for_each(|made| receipts[made.place] = Some(Receipt::Ok));
            }
            Fate::Refused(rejection) => match part {
                [alone] => receipts[alone.place] = Some(Receipt::Reject(rejection)),
                _ if splits_left > 0 => {
                    splits_left -= 1;
                    let (first, second) = part.split_at(part.len() / 2);
                    waiting.extend([second, first]);
                }
                // Here it ends for now: those without a receipt come again.
                _ => break,
            },
            Fate::Waits(failure) if !any_taken => return Err(failure),
            Fate::Waits(failure) => {
                let wait = Receipt::Retry(failure.retry_after_ms.unwrap_or(0));
                return Ok(receipts.into_iter().map(|receipt| receipt.unwrap_or_else(|| wait.clone())).collect());
            }
        }
    }
    Ok(receipts.into_iter().map(|receipt| receipt.unwrap_or(Receipt::Retry(0))).collect())
}

/// Calls in order, as many together as a request takes.
fn parts(calls: &[Made]) -> Vec<&[Made]> {
    let (mut parts, mut start, mut bytes) = (Vec::new(), 0, BEFORE.len() + AFTER.len());
    for (place, made) in calls.iter().enumerate() {
        let more = made.text.len() + 1;
        if place > start && (bytes + more > REQUEST_BYTES_MAX || place - start == REQUEST_CALLS_MAX) {
            parts.push(&calls[start..place]);
            (start, bytes) = (place, BEFORE.len() + AFTER.len());
        }
        bytes += more;
    }
    if start < calls.len() {
        parts.push(&calls[start..]);
    }
    parts
}

fn send(config: &Config, part: &[Made]) -> Fate {
    let texts: Vec<&str> = part.iter().map(|made| made.text.as_str()).collect();
    let answer = match http::send(http::Request::post_json(&*config.path, format!("{BEFORE}{}{AFTER}", texts.join(",")))) {
        Ok(answer) => answer,
        // There was an answer, which is too large to be one of Segment's.
        Err(failure) if failure.kind == FailureKind::Rejected => return Fate::Waits(Failure::config(failure.message)),
        Err(failure) => return Fate::Waits(failure),
    };
    let words = answer.excerpt();
    let after = answer.retry_after_ms();
    match answer.status {
        200..=299 => Fate::Taken,
        400 | 413 | 422 => Fate::Refused(Rejection::new(format!("http_{}", answer.status), words)),
        401 | 403 => Fate::Waits(Failure::credentials(words)),
        429 => Fate::Waits(Failure::rate_limited(words, after)),
        408 | 425 | 500.. => Fate::Waits(Failure { retry_after_ms: after, ..Failure::unavailable(words) }),
        // No call is to blame for an address that is none.
        _ => Fate::Waits(Failure::config(words)),
    }
}
