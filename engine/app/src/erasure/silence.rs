//! Customers who are silent: nothing was heard of them for so long that they are forgotten, as if they had never been, many in one pass.
//!
//! They go as those go who ask for it, but for two things. They may come again, so no hash of an identifier stays. And they may come back while
//! they are on their way out: each goes by an order that the fold carries out only if nothing has come to their claims since they were looked at,
//! and what comes after that look is somebody's who begins anew, whatever it names.

use std::collections::BTreeSet;

use weft_domain::claim::{ClaimId, CustomerId};
use weft_domain::explain::claims_of;
use weft_domain::identity::Rules;
use weft_domain::input::{Command, Erase, Input};
use weft_domain::value::Timestamp;
use weft_domain::view::{Read, View, ViewError};
use weft_store::format;
use weft_store::rows::Filed;
use weft_store::state::{Space, StateStore};

use super::job::{Job, Silent, Whom};
use super::person::Person;
use super::{EraseError, Eraser, Erasure, Progress, blocking, list, random_id, traces};
use crate::bounds::Inactive;
use crate::events::Who;
use crate::limits;
use crate::writer::Ledger;

/// Why they go, in the list of erasures.
const REASON: &str = "inactive profiles";

impl Eraser {
    /// Begins to forget those who are silent, where it is time and there are enough of them to be worth a pass: as many as may go in an hour, or
    /// any once a day. None where there is nothing to do.
    ///
    /// # Errors
    /// [`EraseError`]; then it is tried again.
    pub async fn forget_inactive(&self) -> Result<Option<Erasure>, EraseError> {
        let Some(terms) = self.bounds.borrow().inactive else { return Ok(None) };
        let now = self.clock.now();
        let last = last_pass(&list(&self.ledger)?);
        let since_ms = last.map_or(i64::MAX, |last| now.0.saturating_sub(last.0));
        if since_ms < limits::FORGETTING_REST_MS {
            return Ok(None);
        }
        self.ledger.commit().await;
        let (ledger, state) = (self.ledger.clone(), self.state.clone());
        let found = blocking(move || inactive(&*state, &ledger, &terms, now, terms.at_once_max)).await??;
        if found.is_empty() || (found.len() < terms.at_once_max && since_ms < limits::FORGETTING_REST_MS_MAX) {
            return Ok(None);
        }
        let mut waiting = self.waiting.lock().await;
        if waiting.values().any(|job| job.silent.is_some()) {
            return Ok(None);
        }
        let erasure = Erasure { forgotten: Some(0), ..Erasure::asked(random_id()?, REASON.into(), now) };
        let who = Whom::Several(found.into_iter().map(Whom::Customer).collect());
        let person = Person::salted(random_id()?);
        let job = Job { erasure: erasure.clone(), who, person, is_out_of_state: false, silent: Some(Vec::new()) };
        self.jobs.write_down(&job)?;
        self.tell(&erasure).await?;
        waiting.insert((erasure.requested, erasure.id.clone()), job);
        self.asked.notify_one();
        Ok(Some(erasure))
    }

    /// Takes those out of state who are silent still.
    pub(super) async fn forget_silent(&self, job: &mut Job) -> Result<(), EraseError> {
        if job.silent.as_ref().is_none_or(Vec::is_empty) {
            self.look_at_silent(job).await?;
        }
        let (Some(silent), Some(before)) = (&job.silent, job.person.before) else { return Ok(()) };
        {
            // No piece of a pass is made meanwhile: what is made from now on has no claim of theirs.
            let _between_pieces = self.passes.lock().await;
            for Silent { person, still } in silent {
                let claims = person.claims.iter().copied().collect();
                let erase = Erase { erasure: job.erasure.id.clone(), claims, still: still.clone(), ..Erase::default() };
                self.ledger.log(Input::Command(Command::Erase(Box::new(erase)))).await.ok_or(EraseError::Stopped)?;
            }
        }
        self.ledger.commit().await;
        let mut went = Vec::new();
        for one in silent {
            if has_gone(&self.ledger, one)? {
                went.push(&one.person);
            }
        }
        job.erasure.forgotten = Some(went.len() as u64);
        let mut all = Person::as_one(&went, &job.person.salt, before);
        let (ledger, state) = (self.ledger.clone(), self.state.clone());
        let gather = move || {
            traces::find(&mut [&mut all], ledger.history(), &*state)?;
            traces::find_reasons(&mut [&mut all], ledger.history(), &*state)?;
            Ok::<_, ViewError>(all)
        };
        let mut all = blocking(gather).await??;
        all.keep_only(&job.person);
        for command in all.commands_beside(&job.erasure.id) {
            self.ledger.log(Input::Command(Command::Erase(Box::new(command)))).await.ok_or(EraseError::Stopped)?;
        }
        self.let_go(&all).await?;
        (job.person, job.is_out_of_state) = (all, true);
        // What is known of those who came back goes from the file of the work, which is noted from here on.
        job.silent = Some(Vec::new());
        self.note(job).await
    }

    /// Looks at them once more, each by themselves, and at what else names any of them; from then on it is known who comes back.
    async fn look_at_silent(&self, job: &mut Job) -> Result<(), EraseError> {
        let (terms, now) = (self.bounds.borrow().inactive, self.clock.now());
        self.ledger.commit().await;
        let before = (self.ledger.state().position(), self.ledger.intake_through());
        let (whom, salt) = (Vec::<Who>::from(job.who.clone()), job.person.salt.clone());
        let (ledger, state) = (self.ledger.clone(), self.state.clone());
        let gather = move || {
            let (mut silent, mut events) = (Vec::new(), 0);
            for who in whom {
                let Some(one) = terms.map(|terms| look_at(&who, &ledger, &terms, now)).transpose()?.flatten() else { continue };
                events += one.person.events.len();
                silent.push(one);
                if events >= limits::FORGOTTEN_EVENTS_AT_ONCE {
                    break;
                }
            }
            let people: Vec<&Person> = silent.iter().map(|one| &one.person).collect();
            let mut all = Person::as_one(&people, &salt, before);
            traces::find(&mut [&mut all], ledger.history(), &*state)?;
            traces::find_reasons(&mut [&mut all], ledger.history(), &*state)?;
            all.letters.retain(|(position, _)| *position < before.0);
            all.reworded.retain(|(position, _)| *position < before.0);
            Ok::<_, ViewError>((silent, all))
        };
        let (silent, all) = blocking(gather).await??;
        (job.silent, job.person) = (Some(silent), all);
        self.note(job).await
    }
}

impl Erasure {
    /// One that waits.
    pub(super) fn asked(id: String, reason: String, requested: Timestamp) -> Erasure {
        let (status, removed) = (Progress::Pending, std::collections::BTreeMap::new());
        let (completed, forgotten, waits_until, trouble) = (None, None, None, None);
        Erasure { id, status, reason, requested, completed, suppressed: 0, removed, together: 0, forgotten, waits_until, trouble }
    }
}

/// When it was begun last to forget those who are silent; none where it never was.
pub(super) fn last_pass(erasures: &[Erasure]) -> Option<Timestamp> {
    erasures.iter().filter(|one| one.forgotten.is_some()).map(|one| one.requested).max()
}

/// Customers of whom nothing was heard for so long, at most so many.
///
/// # Errors
/// [`ViewError`], where state cannot be read.
pub fn inactive(
    state: &dyn StateStore,
    ledger: &Ledger,
    terms: &Inactive,
    now: Timestamp,
    max: usize,
) -> Read<BTreeSet<CustomerId>> {
    let mut found = BTreeSet::new();
    traces::each(state, Space::Claim, |_, bytes| {
        let filed: Filed = format::decode(bytes).map_err(traces::unreadable)?.1;
        let Some((customer, last_seen)) = filed.node.and_then(|node| Some((node.customer?, node.last_seen))) else {
            return Ok(());
        };
        let may_be = terms.is_silent(last_seen, now, true) || terms.is_silent(last_seen, now, false);
        if found.len() < max && may_be && !found.contains(&customer) {
            let claims = claims_of(&*ledger.state(), customer)?;
            if is_silent(claims, ledger, terms, now)? {
                found.insert(customer);
            }
        }
        Ok(())
    })?;
    Ok(found)
}

/// Whether nothing was heard of any of these claims for so long.
fn is_silent(claims: impl IntoIterator<Item = ClaimId>, ledger: &Ledger, terms: &Inactive, now: Timestamp) -> Read<bool> {
    let state = ledger.state();
    let heard = last_heard(claims, &*state, &state.plan().identity)?;
    Ok(heard.is_some_and(|(last, is_known)| terms.is_silent(last, now, is_known)))
}

/// When something was heard last of these claims, and whether they are of somebody known: with an identifier that proves a login. None where
/// nothing was.
pub(super) fn last_heard(
    claims: impl IntoIterator<Item = ClaimId>,
    view: &impl View,
    identity: &Rules,
) -> Read<Option<(Timestamp, bool)>> {
    let proves = |kind: &str| identity.identifiers.iter().any(|rule| rule.login && rule.kind == kind);
    let (mut last, mut is_known) = (None, false);
    for claim in claims {
        let Some(node) = view.node(claim)? else { continue };
        is_known |= node.identifiers.iter().any(|one| proves(&one.kind));
        last = last.max(Some(node.last_seen));
    }
    Ok(last.map(|last| (last, is_known)))
}

/// Somebody who is silent still, with how the claims stand; none otherwise.
fn look_at(who: &Who, ledger: &Ledger, terms: &Inactive, now: Timestamp) -> Read<Option<Silent>> {
    let mut person = Person::default();
    person.gather(std::slice::from_ref(who), ledger)?;
    let mut still = Vec::with_capacity(person.claims.len());
    for claim in &person.claims {
        let Some(node) = ledger.state().node(*claim)? else { return Ok(None) };
        still.push((node.began, node.events_total));
    }
    let claims = person.claims.clone();
    // Once more: what had come by the time that it was seen how the claims stand is among what was gathered.
    person.gather(std::slice::from_ref(who), ledger)?;
    let is_silent = claims == person.claims && !claims.is_empty() && is_silent(claims, ledger, terms, now)?;
    Ok(is_silent.then_some(Silent { person, still }))
}

/// Whether somebody was taken out of state, also where there is somebody of the same claims again: no event has the place of another.
fn has_gone(ledger: &Ledger, silent: &Silent) -> Read<bool> {
    for (claim, (began, _)) in silent.person.claims.iter().zip(&silent.still) {
        if ledger.state().node(*claim)?.is_some_and(|node| node.began == *began) {
            return Ok(false);
        }
    }
    Ok(true)
}
