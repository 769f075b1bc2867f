//! How table and event come together: once for an event, or once for each element of a list in it.

use weft_plugin::{Change, ConfigProblem, For, Path, RawValue, Record, Rejection};

use crate::table::{self, Table};
use crate::{Config, Existing, Missing};

/// A join, ready to be made.
#[derive(Debug)]
pub(crate) struct Join {
    only: Option<For>,
    table: Table,
    /// Where the elements are, each of which is joined by itself; none where the event is.
    each: Option<Path>,
    on: Path,
    /// Where the cells of a row are to be, and what is there instead where there is no row.
    add: Vec<(Path, Option<Box<RawValue>>)>,
    rejects: bool,
    existing: Existing,
    /// The path of the key as it was written.
    named: String,
}

/// Makes a join ready.
///
/// # Errors
/// All that is wrong with it.
pub(crate) fn compile(config: &Config) -> Result<Join, Vec<ConfigProblem>> {
    let mut problems = Vec::new();
    let on = Path::parse(&config.on).map_err(|error| problems.push(error.at("/on"))).ok();
    let (each, on) = match on.as_ref().map(|on| (on.is_many(), on.within_each())) {
        Some((true, Some((list, rest)))) if !rest.is_many() => (Some(list), Some(rest)),
        Some((true, _)) => {
            problems.push(
                ConfigProblem::at("/on", "it goes through one list, to a field of its elements").hint("such as products[].sku"),
            );
            (None, None)
        }
        _ => (None, on),
    };
    let mut add = Vec::new();
    for text in config.add.keys() {
        let at = format!("/add/{}", text.replace('~', "~0").replace('/', "~1"));
        match target(text, each.as_ref()) {
            Ok(path) => add.push((path, default(&config.missing, text))),
            Err(problem) => problems.push(ConfigProblem { path: at, ..problem }),
        }
    }
    if config.add.is_empty() {
        problems.push(ConfigProblem::at("/add", "nothing is added"));
    }
    if let Missing::Default(values) = &config.missing {
        for path in values.keys().filter(|path| !config.add.contains_key(*path)) {
            problems.push(ConfigProblem::at("/missing/default", format!("`{path}` is not among what is added")));
        }
    }
    let columns: Vec<&str> = config.add.values().map(String::as_str).collect();
    let table = Table::read(config, &columns).map_err(|more| problems.extend(more));
    match (table, on) {
        (Ok(table), Some(on)) if problems.is_empty() => Ok(Join {
            only: config.only.clone(),
            table,
            each,
            on,
            add,
            rejects: matches!(config.missing, Missing::Reject),
            existing: config.existing,
            named: config.on.clone(),
        }),
        _ => Err(problems),
    }
}

/// Where a cell is to be: within the event, or within each element of the list that the key is in.
fn target(text: &str, each: Option<&Path>) -> Result<Path, ConfigProblem> {
    let wrong = |message: String| ConfigProblem::at("", message);
    let path = Path::parse(text).map_err(|error| error.at(""))?;
    if path.is_the_engines() || matches!(path.top(), "type" | "message_id" | "claims") {
        return Err(wrong(format!("`{path}` is not for a table to say")).hint("such as properties.category or traits.segment"));
    }
    match (path.within_each(), each) {
        (Some((list, rest)), Some(each)) if list == *each && !rest.is_many() => Ok(rest),
        (_, Some(each)) => Err(wrong(format!("it is to be within `{each}`, as the key is"))),
        (None, None) if !path.is_many() => Ok(path),
        (_, None) => Err(wrong("it is many places, and there is one key".into()).hint("use the same list in `on`")),
    }
}

fn default(missing: &Missing, path: &str) -> Option<Box<RawValue>> {
    match missing {
        Missing::Default(values) => values.get(path).cloned(),
        Missing::Leave | Missing::Reject => None,
    }
}

impl Join {
    /// Adds what the table has.
    ///
    /// # Errors
    /// The table has no such key, and that is to be refused.
    pub(crate) fn apply(&self, event: &mut Record<'_>) -> Result<(), Rejection> {
        if self.only.as_ref().is_some_and(|only| !only.takes(event)) {
            return Ok(());
        }
        let Some(each) = &self.each else { return self.add(event) };
        let mut refused = None;
        event.change(each, |json| {
            let Some(mut element) = json.and_then(|json| Record::parse(json.as_bytes()).ok()) else { return Change::Keep };
            match self.add(&mut element) {
                Ok(()) if element.is_changed() => {
                    let text = String::from_utf8(element.to_bytes()).expect("a record is text");
                    Change::Set(RawValue::from_string(text).expect("a record is JSON"))
                }
                Ok(()) => Change::Keep,
                Err(rejection) => {
                    refused.get_or_insert(rejection);
                    Change::Keep
                }
            }
        });
        refused.map_or(Ok(()), Err)
    }

    /// Adds to an event, or to an element, what is in its row.
    fn add(&self, event: &mut Record<'_>) -> Result<(), Rejection> {
        let key = event.first(&self.on);
        let key = key.as_deref().and_then(|json| serde_json::from_str::<&RawValue>(json).ok()).and_then(table::key);
        let Some(key) = key else { return Ok(()) };
        let row = self.table.row(&key);
        if row.is_none() && self.rejects {
            return Err(Rejection::new("not_in_table", format!("the table has no key that is `{}` of this event", self.named)));
        }
        for (place, (path, default)) in self.add.iter().enumerate() {
            let Some(value) = row.map_or(default.as_ref(), |row| row[place].as_ref()) else { continue };
            event.change(path, |old| match old {
                Some(old) if old == value.get() || (self.existing == Existing::Keep && old != "null") => Change::Keep,
                _ => Change::Set(value.clone()),
            });
        }
        Ok(())
    }
}
