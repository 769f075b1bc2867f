//! What differs between two configurations.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::Config;
use super::spec::NAMED_SECTIONS;
use super::tree::{Entry, Node};

/// Settings that nothing else depends on, compared as they are written.
const SETTINGS: [&str; 8] = ["name", "zone", "listen", "data", "limits", "erasure", "identity", "trusted_keys"];

/// A difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Change {
    /// The section or setting, such as `destinations`.
    pub section: String,
    /// The name in it; none for a setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What became of it.
    pub kind: ChangeKind,
    /// Of what has changed: which of its keys, as far as they are written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
}

/// What became of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is another.
    Changed,
    /// It is gone.
    Removed,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.kind {
            ChangeKind::Added => '+',
            ChangeKind::Changed => '~',
            ChangeKind::Removed => '-',
        };
        write!(f, "{sign} {}", self.section)?;
        if let Some(name) = &self.name {
            write!(f, ".{name}")?;
        }
        if self.keys.is_empty() { Ok(()) } else { write!(f, " ({})", self.keys.join(", ")) }
    }
}

impl Config {
    /// What is different in `self` from `before`; everything is new where there was nothing. Scenarios are no difference: the engine
    /// does nothing with them.
    #[must_use]
    pub fn changes_since(&self, before: Option<&Config>) -> Vec<Change> {
        let mut changes = Vec::new();
        let empty = Node::empty_map(super::source::Span::top(0));
        let old = before.map_or(&empty, |before| &before.tree);
        for setting in SETTINGS {
            let kind = match (old.entry(setting), self.tree.entry(setting)) {
                (None, None) => continue,
                (None, Some(_)) => ChangeKind::Added,
                (Some(_), None) => ChangeKind::Removed,
                (Some(old), Some(new)) if old.node.to_json() == new.node.to_json() => continue,
                (Some(_), Some(_)) => ChangeKind::Changed,
            };
            changes.push(Change { section: setting.to_owned(), name: None, kind, keys: Vec::new() });
        }
        for section in NAMED_SECTIONS {
            let entries = |tree: &'_ Node| -> Vec<Entry> { tree.get(section).map_or(&[][..], Node::entries).to_vec() };
            let (old, new) = (entries(old), entries(&self.tree));
            let names: BTreeSet<&str> = old.iter().chain(&new).map(|entry| &*entry.key).collect();
            for name in names {
                let find = |entries: &'_ [Entry]| entries.iter().find(|entry| entry.key == name).map(|entry| entry.node.clone());
                let (kind, keys) = match (find(&old), find(&new)) {
                    (Some(old), Some(new)) => {
                        let mut keys = differing(&old, &new);
                        if before.is_some_and(|before| self.secrets_differ(before, section, name)) {
                            keys.push("secrets".into());
                        }
                        if keys.is_empty() {
                            continue;
                        }
                        (ChangeKind::Changed, keys)
                    }
                    (None, _) => (ChangeKind::Added, Vec::new()),
                    (_, None) => (ChangeKind::Removed, Vec::new()),
                };
                changes.push(Change { section: section.to_owned(), name: Some(name.to_owned()), kind, keys });
            }
        }
        changes
    }

    /// Whether what is secret of an entry is another, though it is written in the same way.
    fn secrets_differ(&self, before: &Config, section: &str, name: &str) -> bool {
        match section {
            "connections" => {
                self.connections.get(name).map(|one| one.secrets()) != before.connections.get(name).map(|one| one.secrets())
            }
            "sources" => {
                self.sources.get(name).map(|one| &one.block.secrets) != before.sources.get(name).map(|one| &one.block.secrets)
            }
            "destinations" => {
                self.destinations.get(name).map(|one| &one.block.secrets)
                    != before.destinations.get(name).map(|one| &one.block.secrets)
            }
            _ => false,
        }
    }
}

/// The keys of two mappings whose values differ.
fn differing(old: &Node, new: &Node) -> Vec<String> {
    let keys: BTreeSet<&str> = old.entries().iter().chain(new.entries()).map(|entry| &*entry.key).collect();
    let json = |node: &Node, key: &str| node.get(key).map(Node::to_json);
    let keys: Vec<String> = keys.into_iter().filter(|key| json(old, key) != json(new, key)).map(str::to_owned).collect();
    // A text in place of a mapping, or the like.
    if keys.is_empty() && old.to_json() != new.to_json() { vec!["everything".into()] } else { keys }
}
