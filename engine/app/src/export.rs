//! Everything there is, as lines of JSON: profiles by their ids, or events in the order in which they entered history.
//!
//! An export is made a piece at a time, each of whole lines, and holds no more than a piece, however much there is. Where each piece ends is a
//! place to go on from. What had come in when an export began is in it. A profile is as of the moment at which its line is made, and whole;
//! what comes meanwhile may be in it. Who streams it over HTTP is [`stream`]; `weft export` reads the data folder where no engine runs.

pub mod stream;

use std::fmt;
use std::ops::Deref;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use weft_domain::value::Timestamp;
use weft_domain::view::{Read, View, ViewError};
use weft_store::StoreError;
use weft_store::log::{Block, Cursor, LogReader};
use weft_store::overlay::Overlay;

use crate::events::Shown;
use crate::limits;
use crate::moment::position_at;
use crate::profiles::{self, Stretch};
use crate::selection::{Of, Selection, names_of};

/// Which profiles are exported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AskedProfiles {
    /// Those after this customer, to go on: the greatest `customer_id` that was read before, and behind a `-` the `weft-position` of then.
    pub after: Option<profiles::Cursor>,
    /// Those of whom something has changed since the engine took in what had come by then. Some may be among them of whom nothing has.
    pub since: Option<Timestamp>,
    /// The fields that are wanted, with commas between them; all, where there are none.
    pub fields: Option<String>,
}

/// Which events are exported.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AskedEvents {
    /// Those after this place in history: the last `position` that was read before, to go on.
    pub after: Option<u64>,
    /// Those that the engine took in then or later, to the second or so. Stretches that adjoin each other have each event once.
    pub since: Option<Timestamp>,
    /// Those that it took in before.
    pub until: Option<Timestamp>,
    /// The fields of the event that are wanted, with commas between them; all, where there are none.
    pub fields: Option<String>,
}

/// Why there is no export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// What was asked for is wrong.
    #[error("{0}")]
    Wrong(String),
    /// State or history cannot be read.
    #[error(transparent)]
    View(#[from] ViewError),
}

/// What is exported.
pub struct Export {
    rest: Rest,
    selection: Selection,
    /// Where history ended when it began: what came before is in it.
    pub position: u64,
    /// About how much there is in all: customers, or records of history.
    pub total: u64,
    /// How many records that were asked for history does not have any more.
    pub missing: u64,
}

enum Rest {
    Profiles(Stretch),
    Events(Box<Walk>),
    Nothing,
}

/// A way through history, from one place to another.
struct Walk {
    cursor: Cursor,
    from: u64,
    to: u64,
    block: Block,
}

/// A piece of an export.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// Whole lines.
    pub lines: Vec<u8>,
    /// How much of [`Export::total`] this piece took; more or less, where only some of it is wanted.
    pub done: u64,
}

/// An event as it is exported.
#[derive(Serialize)]
struct Line<'a> {
    position: u64,
    source: &'a str,
    event: &'a RawValue,
}

impl Export {
    /// Profiles, of which something has changed at the place `since` in history or behind it. Commit before, so that all customers are there.
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn profiles(state: &Overlay, since: u64, asked: &AskedProfiles) -> Result<Export, ExportError> {
        let selection = selected(asked.fields.as_deref(), Of::Profile(&names_of(&state.plan().attributes)))?;
        let rest = Rest::Profiles(Stretch { after: asked.after, since, most: limits::EXPORT_READ_ONCE });
        Ok(Export { rest, selection, position: state.position(), total: state.totals().customers, missing: 0 })
    }

    /// Events.
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn events(history: &LogReader, asked: &AskedEvents) -> Result<Export, ExportError> {
        let selection = selected(asked.fields.as_deref(), Of::Event)?;
        let (start, end) = (history.start(), history.durable_end());
        let since = asked.since.map_or(Ok(0), |since| position_at(history, since))?;
        let to = asked.until.map_or(Ok(end), |until| position_at(history, until))?.min(end);
        let wanted = asked.after.map_or(0, |after| after.saturating_add(1)).max(since);
        let from = wanted.max(start).min(to);
        let missing =
            if asked.after.is_some() || asked.since.is_some() { start.min(to).saturating_sub(wanted) } else { start.min(to) };
        let rest = Rest::Events(Box::new(Walk { cursor: history.cursor(from), from, to, block: Block::default() }));
        Ok(Export { rest, selection, position: to, total: to - from, missing })
    }

    /// The next piece, which may be empty; none at the end. `state` is a look at state.
    ///
    /// # Errors
    /// [`ViewError`], where state or history cannot be read.
    pub fn next<G: Deref<Target = Overlay>>(&mut self, state: impl Fn() -> G, now: Timestamp) -> Read<Option<Piece>> {
        match &mut self.rest {
            Rest::Nothing => Ok(None),
            Rest::Profiles(stretch) => {
                let list = profiles::page(state, now, *stretch, &self.selection)?;
                let mut lines = Vec::new();
                for profile in &list.profiles {
                    lines.extend_from_slice(profile.get().as_bytes());
                    lines.push(b'\n');
                }
                self.rest = match list.next {
                    Some(next) => Rest::Profiles(Stretch { after: Some(next), ..*stretch }),
                    None => Rest::Nothing,
                };
                Ok(Some(Piece { lines, done: list.profiles.len() as u64 }))
            }
            Rest::Events(walk) => {
                let piece = walk.next(&self.selection)?;
                if piece.is_none() {
                    self.rest = Rest::Nothing;
                }
                Ok(piece)
            }
        }
    }
}

impl Walk {
    /// The lines of the next blocks; none at the end.
    fn next(&mut self, selection: &Selection) -> Read<Option<Piece>> {
        let (begun, mut lines) = (self.cursor.position().max(self.from), Vec::new());
        while self.cursor.position() < self.to && lines.len() < limits::EXPORT_PIECE_BYTES {
            if !self.cursor.next_into(&mut self.block).map_err(unreadable)? {
                break;
            }
            for (position, record) in self.block.records().filter(|(position, _)| (self.from..self.to).contains(position)) {
                let Some(shown) = Shown::of(position, record.kind, record.bytes) else { continue };
                let event = selection.of(&shown.event).map_err(unwritable)?;
                let line = Line { position, source: &shown.source, event: &event };
                serde_json::to_writer(&mut lines, &line).map_err(unwritable)?;
                lines.push(b'\n');
            }
        }
        let done = self.cursor.position().min(self.to).saturating_sub(begun);
        Ok((done > 0).then_some(Piece { lines, done }))
    }
}

fn selected(fields: Option<&str>, of: Of<'_>) -> Result<Selection, ExportError> {
    fields.map_or_else(|| Ok(Selection::default()), |fields| Selection::parse(fields, of).map_err(ExportError::Wrong))
}

fn unreadable(error: StoreError) -> ViewError {
    ViewError(error.to_string())
}

fn unwritable(error: impl fmt::Display) -> ViewError {
    ViewError(error.to_string())
}
