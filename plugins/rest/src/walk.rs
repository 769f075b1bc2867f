//! A poll: from page to page, from where the last one stopped, and no further than there is something.
//!
//! A walk is all pages of one question. Its place is in the state after each page, so that what ends a poll (a failure, a crash, the
//! bound on pages) costs at most a page that is read twice. What the newest record was becomes the beginning of the next walk only
//! when this one is at its end: pages come in whatever order the API likes.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use weft_plugin::mapping::Scope;
use weft_plugin::{Failure, FailureKind, Outbox, RawValue, Rejection, hash, http, log, output};

use crate::Rest;
use crate::paging::{Next, Page};
use crate::request::Words;

/// Digits of a hash in an id: 96 bits, which do not meet by chance.
const ID_DIGITS: usize = 24;

/// Where the last poll stopped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct State {
    /// The newest that finished walks saw.
    #[serde(default)]
    newest: Option<i64>,
    /// The page that is next in a walk that is not finished.
    #[serde(default)]
    next: Option<Next>,
    /// The newest that this walk saw.
    #[serde(default)]
    seen: Option<i64>,
}

/// Reads what there is for now.
///
/// # Errors
/// The API does not answer, or not what the configuration says; or the engine did not take what was read.
pub(crate) fn poll(plugin: &Rest, state: Option<&str>) -> Result<(), Failure> {
    let unreadable = |error: serde_json::Error| Failure::internal(format!("the state cannot be read: {error}"));
    let before: State = state.map(serde_json::from_str).transpose().map_err(unreadable)?.unwrap_or_default();
    let mut walk = Walk { plugin, state: before.clone(), visited: BTreeSet::new(), last_page: None, outbox: Outbox::default() };
    for number in 0..plugin.pages_max {
        let answer = match walk.ask() {
            // An API forgets its own cursors and links after a while, and says so in whatever way.
            Err(failure) if number == 0 && failure.kind == FailureKind::Config && before.next.is_some() => {
                log::warn(&format!("the walk begins anew, since its next page is gone: {failure}"));
                walk.state = State { newest: before.newest, ..State::default() };
                walk.ask()?
            }
            answer => answer?,
        };
        let taken_before = walk.state.clone();
        let is_end = walk.page(&answer)?;
        // A poll that found nothing new leaves nothing to commit.
        if walk.state != taken_before || walk.last_page.is_some() {
            output::checkpoint(&serde_json::to_string(&walk.state).map_err(|error| Failure::internal(error.to_string()))?)?;
        }
        if is_end {
            return Ok(());
        }
    }
    Ok(())
}

/// Asks for the first page, and whether there are records where they should be.
///
/// # Errors
/// The API does not let us in, or does not answer what the configuration says.
pub(crate) fn check(plugin: &Rest) -> Result<(), Failure> {
    let mut walk = Walk { plugin, state: State::default(), visited: BTreeSet::new(), last_page: None, outbox: Outbox::default() };
    let answer = walk.ask()?;
    let payload = payload(&answer)?;
    payload.map_or(Ok(()), |payload| plugin.records(payload, &answer).map(drop))
}

/// A walk over pages.
struct Walk<'p> {
    plugin: &'p Rest,
    state: State,
    /// Pages of this poll, so that one which leads back is known.
    visited: BTreeSet<String>,
    /// What the records of the last page hash to, where there were some.
    last_page: Option<String>,
    outbox: Outbox,
}

impl Walk<'_> {
    /// Asks for the page that is next.
    fn ask(&mut self) -> Result<http::Response, Failure> {
        let here = self.here();
        let target = if let Some(Next::Link(target)) = &here { Some(target.as_str()) } else { None };
        let request = self.plugin.maker.request(&self.words(here.as_ref()), target)?;
        let answer = http::send(request).map_err(|failure| match failure.kind {
            // There was an answer, which is too large: asking again would bring it again.
            FailureKind::Rejected => Failure::config(format!("{}; ask for smaller pages", failure.message)),
            _ => failure,
        })?;
        read(answer)
    }

    /// Takes a page, and says whether it was the last.
    fn page(&mut self, answer: &http::Response) -> Result<bool, Failure> {
        let Some(payload) = payload(answer)? else { return Ok(self.end()) };
        let records = self.plugin.records(payload, answer)?;
        self.take(payload, &records)?;
        let here = self.here();
        let page = Page { answer, payload, records: records.len(), last: records.last().copied() };
        let path = self.plugin.maker.path(&self.words(here.as_ref()))?;
        let Some(next) = self.plugin.pages.next(page, here.as_ref(), &path)? else { return Ok(self.end()) };
        let name = serde_json::to_string(&next).map_err(|error| Failure::internal(error.to_string()))?;
        if Some(&next) == here.as_ref() || !self.visited.insert(name) {
            return Err(Failure::config("the api leads from page to page in a circle: is the cursor in the request?"));
        }
        self.state.next = Some(next);
        Ok(false)
    }

    /// Makes events of records.
    fn take(&mut self, payload: &RawValue, records: &[&RawValue]) -> Result<(), Failure> {
        let mut all = String::new();
        for (place, item) in records.iter().enumerate() {
            let digits = hash::sha256(item.get(), None);
            all.push_str(&digits);
            if let Some(since) = &self.plugin.since {
                self.state.seen = self.state.seen.max(since.of(item));
            }
            let scope = Scope { headers: &[], payload, item };
            if self.plugin.mapping.is_wanted(&scope) {
                self.outbox.put(self.event(&scope, place, &digits), item.get().as_bytes())?;
            }
        }
        let page = (!records.is_empty()).then(|| hash::sha256(&all, None));
        if page.is_some() && page == self.last_page {
            return Err(Failure::config("the api gives the same page again: does it know the parameter that says which?"));
        }
        self.last_page = page;
        self.outbox.flush()
    }

    fn event(&self, scope: &Scope<'_>, place: usize, digits: &str) -> Result<Vec<u8>, Rejection> {
        let mut event = self.plugin.mapping.event(scope, Some(place))?;
        if event.message_id.is_none() {
            event.message_id = Some(format!("rest/{}", &digits[..ID_DIGITS]).into());
        }
        event.finish()
    }

    /// Ends the walk.
    fn end(&mut self) -> bool {
        let newest = self.state.newest.max(self.state.seen);
        self.state = State { newest, next: None, seen: None };
        true
    }

    fn here(&self) -> Option<Next> {
        self.state.next.clone().or_else(|| self.plugin.pages.first())
    }

    fn words(&self, here: Option<&Next>) -> Words {
        let mut words = Words::default();
        if let Some(since) = self.plugin.since.as_ref().and_then(|since| since.word(self.state.newest)) {
            words.set("since", since);
        }
        if let Some(size) = self.plugin.pages.size() {
            words.set("size", size.into());
        }
        match here {
            Some(Next::Cursor(json)) => words.set("cursor", serde_json::from_str(json).unwrap_or_default()),
            Some(Next::Page(number)) => words.set("page", (*number).into()),
            Some(Next::Offset(number)) => words.set("offset", (*number).into()),
            Some(Next::Link(_)) | None => {}
        }
        words
    }
}

/// What a status means.
fn read(answer: http::Response) -> Result<http::Response, Failure> {
    let words = answer.excerpt();
    let after = answer.retry_after_ms();
    let is_exhausted = after.is_some() || answer.header("x-ratelimit-remaining").is_some_and(|left| left.trim() == "0");
    Err(match answer.status {
        200..=299 | 304 => return Ok(answer),
        // GitHub's way to ask for patience.
        403 if is_exhausted => Failure::rate_limited(words, after),
        401 | 403 => Failure::credentials(words),
        429 => Failure::rate_limited(words, after),
        408 | 425 | 500.. => Failure { retry_after_ms: after, ..Failure::unavailable(words) },
        _ => Failure::config(words),
    })
}

/// The JSON of an answer; none where it says that there is nothing.
fn payload(answer: &http::Response) -> Result<Option<&RawValue>, Failure> {
    if matches!(answer.status, 204 | 304) {
        return Ok(None);
    }
    let text = std::str::from_utf8(&answer.body).unwrap_or_default().trim_start_matches('\u{feff}');
    match serde_json::from_str(text) {
        Ok(payload) => Ok(Some(payload)),
        // A proxy's page, most often, that goes away.
        Err(_) => Err(Failure::unavailable(format!("{}, which is no JSON", answer.excerpt()))),
    }
}
