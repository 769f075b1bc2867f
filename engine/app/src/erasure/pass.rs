//! A pass: everybody who is to be erased by then goes together, out of state, out of both logs, and out of what lies beside them.

use std::collections::BTreeSet;
use std::sync::Arc;

use weft_domain::input::{Command, Input};
use weft_domain::view::{View, ViewError};
use weft_store::StoreError;
use weft_store::log::{Rewritten, Verdict};

use super::job::Job;
use super::person::Person;
use super::{EraseError, Eraser, Progress, blocking, logs, traces};
use crate::events::Who;
use crate::limits;
use crate::suppression::{self, Held};

impl Eraser {
    /// Carries erasures out, all in one pass.
    pub(super) async fn carry_out(&self, mut jobs: Vec<Job>) -> Result<(), EraseError> {
        let done = self.work(&mut jobs).await;
        if let Err(error) = &done
            && !matches!(error, EraseError::Stopped)
        {
            for job in jobs.iter_mut().filter(|job| job.erasure.status != Progress::Completed) {
                job.erasure.trouble = Some(error.to_string());
                self.tell(&job.erasure).await?;
            }
        }
        done
    }

    async fn work(&self, jobs: &mut [Job]) -> Result<(), EraseError> {
        for job in &mut *jobs {
            job.erasure.trouble = None;
            self.tell(&job.erasure).await?;
        }
        // Whoever goes in one pass is taken out together: what names several of them is nobody's only then.
        match jobs {
            [job] if job.silent.is_some() && !job.is_out_of_state => self.forget_silent(job).await?,
            _ if jobs.iter().any(|job| !job.is_out_of_state) => self.take_out_of_state(jobs).await?,
            _ => (),
        }
        let state = self.state.clone();
        // First the base: a rebuild from here on begins with a copy that has nothing of them.
        blocking(move || state.keep_base().and_then(|_| state.compact())).await??;
        // Keys by which they were found are hashes of what was known.
        self.matcher.forget().await;
        let rewritten = self.rewrite_logs(Arc::new(Person::union(jobs.iter().map(|job| &job.person)))).await?;
        let together = jobs.len() as u64;
        for job in jobs {
            let mut removed = job.person.by_place();
            removed.extend([("history", rewritten.history), ("intake", rewritten.intake)]);
            job.erasure.removed = removed.into_iter().map(|(place, count)| (place.to_owned(), count)).collect();
            (job.erasure.status, job.erasure.completed) = (Progress::Completed, Some(self.clock.now()));
            job.erasure.together = together;
            if let Some(forgotten) = job.erasure.forgotten {
                self.metrics.profiles_forgotten.inc_by(forgotten);
            }
            self.tell(&job.erasure).await?;
            self.jobs.cross_out(&job.erasure.id)?;
            self.waiting.lock().await.remove(&(job.erasure.requested, job.erasure.id.clone()));
            tracing::info!(erasure = job.erasure.id, removed = ?job.erasure.removed, together, "a person was erased");
        }
        Ok(())
    }

    /// Suppresses the identifiers, and takes out of state what there is, until nothing comes any more.
    async fn take_out_of_state(&self, jobs: &mut [Job]) -> Result<(), EraseError> {
        for round in 0..limits::ERASURE_ROUNDS_MAX {
            self.ledger.commit().await;
            let found = self.gather(jobs).await?;
            // What an earlier try gathered may not have been taken out.
            if round > 0 && found == 0 {
                break;
            }
            for job in &mut *jobs {
                self.note(job).await?;
                job.erasure.suppressed = self.suppress(&job.erasure.id, &job.person).await?;
            }
            // What was in intake before reaches history now, or is left out there.
            self.wait_for_intake().await;
            // No piece of a pass is made meanwhile: what is made from now on has no claim of theirs.
            let _between_pieces = self.passes.lock().await;
            for job in &*jobs {
                for command in job.person.commands(&job.erasure.id) {
                    self.ledger.log(Input::Command(Command::Erase(Box::new(command)))).await.ok_or(EraseError::Stopped)?;
                }
            }
        }
        self.let_go(&Person::union(jobs.iter().map(|job| &job.person))).await?;
        for job in jobs {
            job.is_out_of_state = true;
            self.note(job).await?;
        }
        Ok(())
    }

    /// Has nothing hold on to people who are out of state.
    pub(super) async fn let_go(&self, all: &Person) -> Result<(), EraseError> {
        self.wait_for_passes(all).await;
        self.ledger.commit().await;
        // From now on nobody could write a copy of them any more.
        let prints = all.identifiers.iter().map(|(kind, value)| self.print(kind, value)).collect::<Result<BTreeSet<_>, _>>()?;
        let path = self.copies.folder().to_owned();
        self.copies.forget(&prints).await.map(drop).map_err(|error| EraseError::File { path, error })
    }

    /// Finds what there is of everybody. Counts what was not known before.
    async fn gather(&self, jobs: &mut [Job]) -> Result<usize, EraseError> {
        let take = |job: &mut Job| (Vec::<Who>::from(job.who.clone()), std::mem::take(&mut job.person));
        let mut people: Vec<(Vec<Who>, Person)> = jobs.iter_mut().map(take).collect();
        let (ledger, state) = (self.ledger.clone(), self.state.clone());
        let gather = move || {
            let mut found = 0;
            for (whom, person) in &mut people {
                found += match person.seen {
                    Some(seen) => person.gather_since(seen, &ledger)?,
                    None => person.gather(whom, &ledger)?,
                };
            }
            let mut each: Vec<&mut Person> = people.iter_mut().map(|(_, person)| person).collect();
            found += traces::find(&mut each, ledger.history(), &*state)?;
            found += traces::find_reasons(&mut each, ledger.history(), &*state)?;
            Ok::<_, ViewError>((people, found))
        };
        let (people, found) = blocking(gather).await??;
        jobs.iter_mut().zip(people).for_each(|(job, (_, person))| job.person = person);
        Ok(found)
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

    /// Waits until no pass through history stands at a claim of theirs.
    async fn wait_for_passes(&self, person: &Person) {
        let stands = || {
            let standings = self.ledger.state().standings();
            standings.passes.iter().filter_map(|pass| pass.after).any(|(claim, _)| person.claims.contains(&claim))
        };
        while stands() {
            tokio::time::sleep(limits::WATCH_EVERY / 10).await;
        }
    }

    /// Writes both logs anew without these people, intake first: which of its records are the person's is read from history.
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

    pub(super) async fn rewrite_intake(
        &self,
        gone: Arc<BTreeSet<u64>>,
        person: Arc<Person>,
        through: u64,
    ) -> Result<u64, EraseError> {
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
                    let is_named =
                        || person.before.is_none_or(|(_, before)| position < before) && logs::arrived_from(&names, kind, payload);
                    let is_gone = position < through && (gone.contains(&position) || is_named());
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
}

/// Records that are empty now or say less.
struct Counts {
    history: u64,
    intake: u64,
}

/// None where retention was faster.
fn unless_trimmed<T>(drafted: Result<(Rewritten, T), StoreError>) -> Result<Option<(Rewritten, T)>, StoreError> {
    match drafted {
        Err(StoreError::NoSuchSegment { .. }) => Ok(None),
        drafted => drafted.map(Some),
    }
}
