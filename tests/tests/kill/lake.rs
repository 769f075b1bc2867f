//! What the destination wrote: every event once, every profile as often as it changed.
//!
//! It only reads. A file that is being written may end within a line: who looks at a running engine looks again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

/// The files of a stream, in the order in which they were begun, with their bytes.
fn files(out: &Path, stream: &str) -> Result<Vec<(String, String)>, String> {
    let said = |error: std::io::Error| format!("{}: {error}", out.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(out).map_err(said)? {
        let name = entry.map_err(said)?.file_name().to_string_lossy().into_owned();
        if name.starts_with(&format!("{stream}-")) {
            names.push(name);
        }
    }
    names.sort();
    names.into_iter().map(|name| Ok((name.clone(), std::fs::read_to_string(out.join(&name)).map_err(said)?))).collect()
}

/// Everything in the folder, by name: two looks are equal where nothing was written between them.
pub(crate) fn everything(out: &Path) -> Result<BTreeMap<String, Vec<u8>>, String> {
    let said = |error: std::io::Error| format!("{}: {error}", out.display());
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(out).map_err(said)? {
        let entry = entry.map_err(said)?;
        found.insert(entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path()).map_err(said)?);
    }
    Ok(found)
}

/// A line and where it stands.
struct Line {
    place: String,
    text: String,
    value: Value,
}

fn lines(out: &Path, stream: &str) -> Result<Vec<Line>, String> {
    let mut lines = Vec::new();
    for (name, text) in files(out, stream)? {
        for (number, line) in text.lines().enumerate() {
            let place = format!("{name}:{}", number + 1);
            let value = serde_json::from_str(line).map_err(|error| format!("{place}: {error}: {line}"))?;
            lines.push(Line { place, text: line.to_owned(), value });
        }
    }
    Ok(lines)
}

/// Checks that events were written once each, and all of those that were acknowledged and no others (invariants 3 and 5).
pub(crate) fn has_each_event_once(out: &Path, acknowledged: &BTreeSet<String>) -> Result<(), String> {
    let mut places: BTreeMap<String, String> = BTreeMap::new();
    for line in lines(out, "events")? {
        let id = line.value["message_id"].as_str().unwrap_or_default().to_owned();
        if !acknowledged.contains(&id) {
            return Err(format!("{}: nobody sent `{id}`", line.place));
        }
        if let Some(first) = places.insert(id.clone(), line.place.clone()) {
            return Err(format!("the event `{id}` was written twice: {first} and {}", line.place));
        }
    }
    match acknowledged.iter().find(|id| !places.contains_key(*id)) {
        Some(id) => {
            Err(format!("the event `{id}` was acknowledged and not written; {} of {} were", places.len(), acknowledged.len()))
        }
        None => Ok(()),
    }
}

/// Checks that the last line of each customer says what the engine says of it, that those who are no more were said to be
/// somebody else, and that no delivery was written twice: since each follows from a new event, no two are alike.
pub(crate) fn has_the_latest_profiles(out: &Path, profiles: &BTreeMap<String, Value>) -> Result<(), String> {
    let (mut last, mut written): (BTreeMap<String, Line>, BTreeMap<String, String>) = Default::default();
    for line in lines(out, "profiles")? {
        let is_alive = line.value.get("merged_into").is_none();
        if let Some(first) = written.insert(line.text.clone(), line.place.clone()).filter(|_| is_alive) {
            return Err(format!("a profile was written twice: {first} and {}: {}", line.place, line.text));
        }
        last.insert(line.value["customer_id"].as_str().unwrap_or_default().to_owned(), line);
    }
    for (id, profile) in profiles {
        match last.remove(id) {
            None => return Err(format!("the customer {id} was never written")),
            Some(line) if line.value != *profile => {
                return Err(format!(
                    "{}: the last line of a customer is {}, and the engine says {profile}",
                    line.place, line.text
                ));
            }
            Some(_) => (),
        }
    }
    match last.values().find(|line| line.value.get("merged_into").is_none()) {
        Some(line) => Err(format!("{}: the last line of a customer who is no more: {}", line.place, line.text)),
        None => Ok(()),
    }
}
