//! Requests as those look at them who work on them: all that are remembered, the newest first, a page at a time, or one. They are shown also where
//! the workspace takes no more.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use weft_domain::value::{Excerpt, Timestamp};
use weft_domain::view::Read;

use super::{Change, Desk, Kind, Record, Status, request};
use crate::erasure;
use crate::limits;

/// Which requests are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Those that are so far.
    pub status: Option<Status>,
    /// Those of this group.
    pub group: Option<String>,
    /// Those after this one.
    pub after: Option<Place>,
    /// So many at most; [`limits::REQUESTS_SHOWN`] unless it is said, and never more than [`limits::REQUESTS_SHOWN_MAX`].
    pub limit: Option<usize>,
}

/// A place in the list: when a request was received, and its id. As text `MILLISECONDS-ID`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, JsonSchema)]
#[schemars(with = "String")]
pub struct Place(Timestamp, String);

/// Some requests, the newest first.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RightsRequests")]
pub struct List {
    /// The requests.
    pub requests: Vec<Known>,
    /// Where there are more: what `after` must be to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Place>,
}

/// What is known of a request: nothing of who is meant.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RightsRequest")]
pub struct Known {
    /// Its id.
    pub id: String,
    /// What is wanted.
    pub kind: Kind,
    /// How far it is.
    pub status: Status,
    /// By which regulation.
    pub regulation: String,
    /// What its group is called, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// When the person asked, as the request says.
    pub submitted: Timestamp,
    /// When it arrived.
    pub received: Timestamp,
    /// Until when it is expected to be completed; none of one that was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Timestamp>,
    /// Until when an erasure waits and can be cancelled, where it is pending and was given a wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_until: Option<Timestamp>,
    /// What keeps an erasure from going on, where something does. It is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// What became of it, first that it was taken.
    pub changes: Vec<Change>,
    /// How many want to hear of its changes.
    pub callbacks: usize,
    /// How many of these have not heard of all yet.
    pub callbacks_waiting: usize,
    /// The result, as long as it can be downloaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<Kept>,
}

/// A result that can be downloaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "RightsResult")]
pub struct Kept {
    /// How many things are known.
    pub lines: u64,
    /// Until when it can be downloaded.
    pub until: Timestamp,
}

impl Desk {
    /// The requests that are asked for.
    ///
    /// # Errors
    /// [`weft_domain::view::ViewError`], where it cannot be read how far an erasure is.
    pub async fn list(&self, asked: &Asked) -> Read<List> {
        let limit = asked.limit.unwrap_or(limits::REQUESTS_SHOWN).clamp(1, limits::REQUESTS_SHOWN_MAX);
        let (found, more) = {
            let records = self.records.lock().await;
            let mut wanted: Vec<&Record> = records.values().filter(|record| asked.wants(record)).collect();
            wanted.sort_unstable_by(|one, other| (other.received, &other.id).cmp(&(one.received, &one.id)));
            let found: Vec<Record> = wanted.iter().take(limit).map(|record| (*record).clone()).collect();
            (found, wanted.len() > limit)
        };
        let next = found.last().filter(|_| more).map(Record::place);
        let requests = found.iter().map(|record| self.known(record)).collect::<Read<_>>()?;
        Ok(List { requests, next })
    }

    /// A request; none where there is none of this id.
    ///
    /// # Errors
    /// As for [`Desk::list`].
    pub async fn find(&self, id: &str) -> Read<Option<Known>> {
        let record = self.records.lock().await.get(id).cloned();
        record.map(|record| self.known(&record)).transpose()
    }

    fn known(&self, record: &Record) -> Read<Known> {
        let status = record.status();
        let under_way = record.kind == Kind::Erasure && record.is_open();
        let erasure = if under_way { erasure::find(&self.ledger, &record.id)? } else { None };
        let (waits_until, trouble) = erasure.map_or((None, None), |erasure| (erasure.waits_until, erasure.trouble));
        let kept = record.result.filter(|result| !result.is_gone && result.until > self.clock.now());
        Ok(Known {
            id: record.id.clone(),
            kind: record.kind,
            status,
            regulation: record.regulation.clone(),
            group: record.group.clone(),
            submitted: record.submitted,
            received: record.received,
            due: (status != Status::Cancelled).then_some(record.expected),
            waits_until: waits_until.filter(|_| status == Status::Pending),
            trouble,
            changes: record.changes.clone(),
            callbacks: record.callbacks.len(),
            callbacks_waiting: record.callbacks.iter().filter(|callback| callback.told < record.changes.len()).count(),
            result: kept.map(|result| Kept { lines: result.lines, until: result.until }),
        })
    }
}

impl Record {
    fn place(&self) -> Place {
        Place(self.received, self.id.clone())
    }
}

impl Asked {
    fn wants(&self, record: &Record) -> bool {
        self.status.is_none_or(|status| status == record.status())
            && self.group.as_ref().is_none_or(|group| record.group.as_ref() == Some(group))
            && self.after.as_ref().is_none_or(|Place(received, id)| (record.received, &record.id) < (*received, id))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0.0, self.1)
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let (received, id) = text.split_once('-')?;
            Some(Place(Timestamp(received.parse().ok()?), request::is_id(id).then(|| id.to_owned())?))
        };
        read().ok_or_else(|| format!("`{}` is no place among requests: take what `next` says", Excerpt(text)))
    }
}

impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
