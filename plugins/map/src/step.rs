//! What a step does: read from the configuration once, taken by every event that it is for.

use std::borrow::Cow;

use serde_json::value::to_raw_value;
use weft_plugin::{Change, ConfigProblem, For, Json, Path, RawValue, Record, Rejection, fields, hash, string};

use crate::cast::{Otherwise, To};
use crate::{Config, Write};

/// A step, ready to be taken.
#[derive(Debug)]
pub(crate) struct Step {
    only: Option<For>,
    action: Action,
}

#[derive(Debug)]
enum Action {
    Rename { from: Path, to: Path },
    Set { to: Path, value: Value },
    Default { to: Path, value: Value },
    Drop(Vec<Path>),
    Keep { within: Path, names: Vec<String> },
    Cast { paths: Vec<Path>, to: To, otherwise: Otherwise },
    Hash { paths: Vec<Path>, salt: Option<String> },
    Write { paths: Vec<Path>, how: Writing },
}

#[derive(Debug)]
enum Value {
    Literal(Box<RawValue>),
    Copy(Path),
}

/// How strings are written.
#[derive(Clone, Copy, Debug)]
enum Writing {
    Lower,
    Upper,
    Trimmed,
}

/// Makes the steps ready.
///
/// # Errors
/// All that is wrong with them.
pub(crate) fn compile(config: &Config) -> Result<Vec<Step>, Vec<ConfigProblem>> {
    let mut reader = Reader::default();
    let steps = config.steps.iter().enumerate().filter_map(|(place, step)| {
        let action = reader.action(&format!("/steps/{place}"), step)?;
        Some(Step { only: step.only.clone(), action })
    });
    let steps = steps.collect();
    if reader.problems.is_empty() { Ok(steps) } else { Err(reader.problems) }
}

/// Reads paths, and gathers what is wrong with them.
#[derive(Default)]
struct Reader {
    problems: Vec<ConfigProblem>,
}

impl Reader {
    fn action(&mut self, at: &str, step: &crate::Step) -> Option<Action> {
        let crate::Step { only: _, rename, set, default, drop, keep, cast, hash, lower, upper, trim } = step;
        let mut actions = Vec::new();
        let mut there = 0;
        let mut found = |action: Option<Action>| {
            there += 1;
            actions.extend(action);
        };
        if let Some(rename) = rename {
            found(self.rename(&format!("{at}/rename"), rename));
        }
        if let Some(set) = set {
            found(self.write(&format!("{at}/set"), set).map(|(to, value)| Action::Set { to, value }));
        }
        if let Some(default) = default {
            found(self.write(&format!("{at}/default"), default).map(|(to, value)| Action::Default { to, value }));
        }
        if let Some(paths) = drop {
            found(self.drop(&format!("{at}/drop"), paths));
        }
        if let Some(keep) = keep {
            found(
                self.path(&format!("{at}/keep/in"), &keep.within)
                    .map(|within| Action::Keep { within, names: keep.names.clone() }),
            );
        }
        if let Some(cast) = cast {
            found(self.cast(&format!("{at}/cast"), cast));
        }
        if let Some(hash) = hash {
            let paths = self.places(&format!("{at}/hash/paths"), &hash.paths);
            found(paths.map(|paths| Action::Hash { paths, salt: hash.salt.clone() }));
        }
        for (name, paths, how) in
            [("lower", lower, Writing::Lower), ("upper", upper, Writing::Upper), ("trim", trim, Writing::Trimmed)]
        {
            if let Some(paths) = paths {
                found(self.places(&format!("{at}/{name}"), paths).map(|paths| Action::Write { paths, how }));
            }
        }
        if there != 1 {
            let message =
                if there == 0 { "the step does nothing" } else { "the step does several things, whose order nobody knows" };
            let hint = "one of rename, set, default, drop, keep, cast, hash, lower, upper, trim; make each a step of its own";
            self.problems.push(ConfigProblem::at(at, message).hint(hint));
            return None;
        }
        actions.pop()
    }

    fn rename(&mut self, at: &str, rename: &crate::Rename) -> Option<Action> {
        let from = self.single(&format!("{at}/from"), &rename.from);
        let to = self.target(&format!("{at}/to"), &rename.to).and_then(|to| self.one(&format!("{at}/to"), to));
        let (from, to) = (from?, to?);
        if from.text() == "type" {
            self.problems.push(ConfigProblem::at(format!("{at}/from"), "an event needs its type").hint("copy it, by `set`"));
        }
        if from == to {
            self.problems.push(ConfigProblem::at(at, "both paths are the same"));
        }
        Some(Action::Rename { from, to })
    }

    fn write(&mut self, at: &str, write: &Write) -> Option<(Path, Value)> {
        let to = self.target(&format!("{at}/path"), &write.path);
        let value = match (&write.value, &write.from) {
            (Some(value), None) => Some(Value::Literal(value.clone())),
            (None, Some(from)) => self.single(&format!("{at}/from"), from).map(Value::Copy),
            _ => {
                self.problems.push(ConfigProblem::at(at, "it needs `value` or `from`, and one of them"));
                None
            }
        };
        let (to, value) = (to?, value?);
        if let (true, Value::Literal(value)) = (to.claim().is_some(), &value)
            && !matches!(identifier(value.get()), Ok(Some(_)))
        {
            self.problems.push(ConfigProblem::at(format!("{at}/value"), "an identifier is a string, and not empty"));
        }
        Some((to, value))
    }

    fn drop(&mut self, at: &str, paths: &[String]) -> Option<Action> {
        let paths = self.places(at, paths)?;
        if let Some(place) = paths.iter().position(|path| path.text() == "type") {
            self.problems.push(ConfigProblem::at(format!("{at}/{place}"), "an event needs its type"));
        }
        Some(Action::Drop(paths))
    }

    fn cast(&mut self, at: &str, cast: &crate::Cast) -> Option<Action> {
        let paths = self.places(&format!("{at}/paths"), &cast.paths)?;
        if let Some(place) = paths.iter().position(|path| path.claim().is_some()) {
            self.problems.push(ConfigProblem::at(format!("{at}/paths/{place}"), "an identifier is always a string"));
        }
        Some(Action::Cast { paths, to: cast.to, otherwise: cast.otherwise })
    }

    fn path(&mut self, at: &str, text: &str) -> Option<Path> {
        Path::parse(text).map_err(|error| self.problems.push(error.at(at))).ok()
    }

    /// A path that may be written to.
    fn target(&mut self, at: &str, text: &str) -> Option<Path> {
        let path = self.path(at, text)?;
        if path.is_the_engines() {
            self.problems.push(ConfigProblem::at(at, format!("only the engine sets `{path}`")));
            return None;
        }
        Some(path)
    }

    /// A path to one place.
    fn single(&mut self, at: &str, text: &str) -> Option<Path> {
        let path = self.path(at, text)?;
        self.one(at, path)
    }

    fn one(&mut self, at: &str, path: Path) -> Option<Path> {
        if path.is_many() {
            let problem = ConfigProblem::at(at, format!("`{path}` is many places, and one is wanted"));
            self.problems.push(problem.hint("[0] is the first element"));
            return None;
        }
        Some(path)
    }

    fn places(&mut self, at: &str, texts: &[String]) -> Option<Vec<Path>> {
        if texts.is_empty() {
            self.problems.push(ConfigProblem::at(at, "there is no path"));
            return None;
        }
        let paths: Vec<_> = texts.iter().enumerate().map(|(place, text)| self.target(&format!("{at}/{place}"), text)).collect();
        paths.into_iter().collect()
    }
}

impl Step {
    /// Takes the step.
    ///
    /// # Errors
    /// Why the event is refused.
    pub(crate) fn take(&self, event: &mut Record<'_>) -> Result<(), Rejection> {
        if self.only.as_ref().is_some_and(|only| !only.takes(event)) {
            return Ok(());
        }
        match &self.action {
            Action::Rename { from, to } => rename(event, from, to),
            Action::Set { to, value } => match value.of(event) {
                Some(value) => put(event, to, &value),
                None => Ok(()),
            },
            Action::Default { to, value } => match value.of(event) {
                Some(value) => put_where_none(event, to, &value),
                None => Ok(()),
            },
            Action::Drop(paths) => {
                paths.iter().for_each(|path| event.change(path, |_| Change::Remove));
                Ok(())
            }
            Action::Keep { within, names } => {
                event.change(within, |json| json.and_then(|json| without_others(json, names)).map_or(Change::Keep, Change::Set));
                Ok(())
            }
            Action::Cast { paths, to, otherwise } => paths.iter().try_for_each(|path| cast(event, path, *to, *otherwise)),
            Action::Hash { paths, salt } => paths.iter().try_for_each(|path| digest(event, path, salt.as_deref())),
            Action::Write { paths, how } => {
                paths.iter().for_each(|path| event.change(path, |json| json.map_or(Change::Keep, |json| how.write(json))));
                Ok(())
            }
        }
    }
}

impl Value {
    fn of<'v>(&'v self, event: &mut Record<'_>) -> Option<Cow<'v, str>> {
        match self {
            Value::Literal(value) => Some(Cow::Borrowed(value.get())),
            Value::Copy(from) => event.first(from).map(Cow::Owned),
        }
    }
}

fn rename(event: &mut Record<'_>, from: &Path, to: &Path) -> Result<(), Rejection> {
    if let (Some(from), Some(to)) = (from.claim(), to.claim()) {
        // Every identifier of the type gets the new one, and stays what it is otherwise.
        let types = Path::parse("claims[].type").expect("it is a path");
        event.change(&types, |json| match json.and_then(text) {
            Some(kind) if kind == from => Change::text(to),
            _ => Change::Keep,
        });
        return Ok(());
    }
    let Some(value) = event.first(from) else { return Ok(()) };
    event.change(from, |_| Change::Remove);
    put(event, to, &value)
}

/// Writes a value at a place, over what is there.
fn put(event: &mut Record<'_>, to: &Path, json: &str) -> Result<(), Rejection> {
    if to.claim().is_none() {
        event.change(to, |old| if old == Some(json) { Change::Keep } else { Change::Set(raw(json)) });
        return Ok(());
    }
    let Some(value) = identifier(json).map_err(|()| no_identifier(to))? else { return Ok(()) };
    // Of the identifiers of this type there is to be one.
    let mut is_first = true;
    event.change(to, |old| match (std::mem::replace(&mut is_first, false), old) {
        (true, Some(old)) if old == value.get() => Change::Keep,
        (true, _) => Change::Set(value.clone()),
        (false, _) => Change::Remove,
    });
    Ok(())
}

fn put_where_none(event: &mut Record<'_>, to: &Path, json: &str) -> Result<(), Rejection> {
    let value = if to.claim().is_none() { Some(raw(json)) } else { identifier(json).map_err(|()| no_identifier(to))? };
    let Some(value) = value else { return Ok(()) };
    event.change(to, |old| if old.is_none_or(|old| old == "null") { Change::Set(value.clone()) } else { Change::Keep });
    Ok(())
}

/// The string that a value is as an identifier; none where it says nothing.
fn identifier(json: &str) -> Result<Option<Box<RawValue>>, ()> {
    match json.as_bytes().first() {
        Some(b'"') if json == "\"\"" => Ok(None),
        Some(b'"') => Ok(Some(raw(json))),
        Some(b'-' | b'0'..=b'9') => Ok(Some(to_raw_value(json).expect("a string is always JSON"))),
        _ if json == "null" => Ok(None),
        _ => Err(()),
    }
}

fn no_identifier(to: &Path) -> Rejection {
    Rejection::new("not_an_identifier", format!("what was to be `{to}` is neither a string nor a number"))
}

/// An object with some of its fields, or identifiers of some types; none where it is neither, or has no others.
fn without_others(json: &str, names: &[String]) -> Option<Box<RawValue>> {
    let whole: &RawValue = serde_json::from_str(json).ok()?;
    let stays = |name: &str| names.iter().any(|known| known == name);
    if let Some(fields) = fields(whole) {
        let kept = || fields.iter().filter(|(name, _)| stays(name)).map(|(name, value)| (name.as_ref(), *value));
        return (kept().count() < fields.len()).then(|| raw(Json::object(kept()).text()));
    }
    let claims: Vec<&RawValue> = serde_json::from_str(json).ok()?;
    let is_kept = |claim: &&&RawValue| {
        let fields = fields(claim).unwrap_or_default();
        fields.iter().any(|(name, value)| name == "type" && string(value).is_some_and(|kind| stays(&kind)))
    };
    let kept: Vec<&RawValue> = claims.iter().filter(is_kept).copied().collect();
    (kept.len() < claims.len()).then(|| to_raw_value(&kept).expect("a list of values is JSON"))
}

fn cast(event: &mut Record<'_>, path: &Path, to: To, otherwise: Otherwise) -> Result<(), Rejection> {
    let mut refused = None;
    event.change(path, |json| match json {
        None | Some("null") => Change::Keep,
        Some(json) => match (to.cast(json), otherwise) {
            (Some(new), _) if new == json => Change::Keep,
            (Some(new), _) => Change::Set(raw(&new)),
            (None, Otherwise::Leave) => Change::Keep,
            (None, Otherwise::Drop) => Change::Remove,
            (None, Otherwise::Reject) => {
                let message = format!("`{path}` is {} that is no {}", kind(json), to.name());
                refused.get_or_insert(Rejection::new("not_castable", message));
                Change::Keep
            }
        },
    });
    refused.map_or(Ok(()), Err)
}

fn digest(event: &mut Record<'_>, path: &Path, salt: Option<&str>) -> Result<(), Rejection> {
    let mut refused = None;
    event.change(path, |json| match json {
        None | Some("null" | "\"\"") => Change::Keep,
        Some(json) => match text(json) {
            Some(text) => Change::text(&hash::sha256(&text, salt)),
            None => {
                let message = format!("`{path}` is {}, which has no text to hash", kind(json));
                refused.get_or_insert(Rejection::new("not_hashable", message));
                Change::Keep
            }
        },
    });
    refused.map_or(Ok(()), Err)
}

impl Writing {
    fn write(self, json: &str) -> Change {
        let Some(old) = json.starts_with('"').then(|| text(json)).flatten() else { return Change::Keep };
        let new = match self {
            Writing::Lower => old.to_lowercase(),
            Writing::Upper => old.to_uppercase(),
            Writing::Trimmed => old.trim().to_owned(),
        };
        if new == old { Change::Keep } else { Change::text(&new) }
    }
}

/// The text of a string, a number or a truth value.
fn text(json: &str) -> Option<Cow<'_, str>> {
    match json.as_bytes().first()? {
        b'"' => Json::parse(json).ok()?.as_str().map(|text| Cow::Owned(text.into_owned())),
        b'{' | b'[' | b'n' => None,
        _ => Some(Cow::Borrowed(json)),
    }
}

/// What kind of value a JSON text is, in words.
fn kind(json: &str) -> &'static str {
    match json.as_bytes().first() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b't' | b'f') => "a truth value",
        Some(b'n') => "null",
        _ => "a number",
    }
}

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).expect("it is the text of a value")
}
