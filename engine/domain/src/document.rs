//! An event's JSON, opened only where somebody looks.
//!
//! [`crate::path`] takes values out of it and a [`weft_conditions::Condition`] asks about them. Both read the event as it stands in the logs, so that
//! what a configuration names is what `docs/events.md` describes. Nothing is copied but names and strings with escapes in them.

use std::cell::OnceCell;

use weft_conditions::json;
pub use weft_conditions::json::{Fields, elements, fields, string};

use crate::event::Event;

/// An event that is written down as JSON when somebody first looks into it, and then once.
pub struct Document<'e> {
    event: &'e Event,
    json: OnceCell<String>,
}

impl<'e> Document<'e> {
    /// The document of an event.
    #[must_use]
    pub fn of(event: &'e Event) -> Self {
        Document { event, json: OnceCell::new() }
    }

    /// What stands at the top of the event.
    #[must_use]
    pub fn fields(&self) -> Fields<'_> {
        let write = || String::from_utf8(self.event.to_json()).expect("serde_json writes UTF-8");
        json::document(self.json.get_or_init(write)).unwrap_or_default()
    }
}
