//! What a rule does: read from the configuration once, taken by every event that it is for.

use std::borrow::Cow;
use std::ops::Range;

use regex_lite::{Regex, RegexBuilder};
use serde_json::value::to_raw_value;
use weft_plugin::{Change, ConfigProblem, For, Json, Path, RawValue, Record, Rejection, fields, hash, string};

use crate::{Action, Config, Find, Hash, Mask, find};

/// A compiled pattern, in bytes. What is looked for is short.
const PATTERN_BYTES_MAX: usize = 32 * 1024;
/// A text that patterns look at. Finding all of a pattern's places is, at worst, quadratic in it.
const TEXT_BYTES_MAX: usize = 32 * 1024;
/// Places of one text; with more of them the whole text is one.
const PLACES_MAX: usize = 256;
/// How deep objects and lists are looked into. Below it anything may be, so the event is refused.
const DEPTH_MAX: usize = 32;
/// Letters that a mask may leave at either end.
const SHOWN_MAX: usize = 64;

/// A rule, ready to be taken.
#[derive(Debug)]
pub(crate) struct Rule {
    only: Option<For>,
    paths: Vec<Path>,
    search: Search,
    within: Vec<Path>,
    action: Action,
}

/// What is looked for at any depth.
#[derive(Debug)]
struct Search {
    /// Names of fields, in lower case.
    names: Vec<String>,
    find: Vec<Find>,
    patterns: Vec<Regex>,
}

/// Makes the rules ready.
///
/// # Errors
/// All that is wrong with them.
pub(crate) fn compile(config: &Config) -> Result<Vec<Rule>, Vec<ConfigProblem>> {
    let mut problems = Vec::new();
    let rules = config.rules.iter().enumerate();
    let rules = rules.map(|(place, rule)| read(&format!("/rules/{place}"), rule, &mut problems)).collect();
    if problems.is_empty() { Ok(rules) } else { Err(problems) }
}

fn read(at: &str, rule: &crate::Rule, problems: &mut Vec<ConfigProblem>) -> Rule {
    if rule.paths.is_empty() && rule.find.is_empty() && rule.patterns.is_empty() {
        problems.push(ConfigProblem::at(at, "the rule looks for nothing").hint("it needs paths, find or patterns"));
    }
    let (mut paths, mut names, mut within, mut patterns) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (place, text) in rule.paths.iter().enumerate() {
        let at = format!("{at}/paths/{place}");
        match text.strip_prefix("*.") {
            Some(name) if !name.is_empty() && !name.contains(['.', '*', '[']) => names.push(name.to_lowercase()),
            Some(_) => problems.push(ConfigProblem::at(at, "`*.` is followed by one name").hint("such as *.email")),
            None => match Path::parse(text) {
                Err(error) => problems.push(error.at(at)),
                Ok(path) => {
                    problems.extend(forbidden(&path, &rule.action).map(|message| ConfigProblem::at(at, message)));
                    paths.push(path);
                }
            },
        }
    }
    for (place, text) in rule.within.iter().enumerate() {
        let at = format!("{at}/in/{place}");
        match Path::parse(text) {
            Err(error) => problems.push(error.at(at)),
            Ok(path) if matches!(path.top(), "name" | "traits" | "properties" | "products" | "context" | "group") => {
                within.push(path)
            }
            Ok(path) => {
                let problem = ConfigProblem::at(at, format!("`{path}` is no text to look into"));
                problems.push(problem.hint("name, traits, properties, products, context, group, or a part of one of them"));
            }
        }
    }
    for (place, pattern) in rule.patterns.iter().enumerate() {
        match RegexBuilder::new(pattern).size_limit(PATTERN_BYTES_MAX).build() {
            Ok(pattern) => patterns.push(pattern),
            Err(error) => problems.push(ConfigProblem::at(format!("{at}/patterns/{place}"), format!("no pattern: {error}"))),
        }
    }
    if let Action::Mask(Mask { first, last }) = rule.action
        && first.max(last) > SHOWN_MAX
    {
        problems.push(ConfigProblem::at(
            format!("{at}/action/mask"),
            format!("a mask shows at most {SHOWN_MAX} letters at either end"),
        ));
    }
    let search = Search { names, find: rule.find.clone(), patterns };
    Rule { only: rule.only.clone(), paths, search, within, action: rule.action.clone() }
}

/// Why a rule may not do this to what is at a path.
fn forbidden(path: &Path, action: &Action) -> Option<String> {
    let is_shared = matches!(action, Action::Mask(_) | Action::Replace(_));
    match path.top() {
        "type" | "received" | "claimed" => Some(format!("`{path}` is what the engine goes by")),
        "claims" if is_shared => {
            Some("identifiers that are masked or replaced alike make strangers one person; drop or hash them".into())
        }
        "claims" if path.claim().is_none() && *action != Action::Drop => Some("identifiers are hashed by their type".into()),
        _ => None,
    }
}

impl Rule {
    /// Takes the rule.
    ///
    /// # Errors
    /// Why the event is refused.
    pub(crate) fn take(&self, event: &mut Record<'_>) -> Result<(), Rejection> {
        if self.only.as_ref().is_some_and(|only| !only.takes(event)) {
            return Ok(());
        }
        let mut refused = None;
        let mut attempt = |path: &Path, redact: &dyn Fn(&RawValue) -> Result<Change, Rejection>| {
            event.change(path, |json| {
                let value = json.and_then(|json| serde_json::from_str::<&RawValue>(json).ok());
                value.map_or(Ok(Change::Keep), redact).unwrap_or_else(|rejection| {
                    refused.get_or_insert(rejection);
                    Change::Keep
                })
            });
        };
        for path in &self.paths {
            attempt(path, &|value| self.action.whole(value, DEPTH_MAX));
        }
        if !self.search.is_empty() {
            for path in &self.within {
                attempt(path, &|value| self.search.below(value, &self.action, DEPTH_MAX));
            }
        }
        refused.map_or(Ok(()), Err)
    }
}

impl Search {
    fn is_empty(&self) -> bool {
        self.names.is_empty() && self.find.is_empty() && self.patterns.is_empty()
    }

    /// A value without what is looked for.
    fn below(&self, value: &RawValue, action: &Action, depth: usize) -> Result<Change, Rejection> {
        descend(value, depth, &mut |name, value, depth| match name {
            Some(name) if self.names.iter().any(|known| *known == name.to_lowercase()) => action.whole(value, depth),
            _ => self.below(value, action, depth),
        })?
        .map_or_else(|| self.within_text(value, action), Ok)
    }

    fn within_text(&self, value: &RawValue, action: &Action) -> Result<Change, Rejection> {
        let Some(text) = text(value) else { return Ok(Change::Keep) };
        let places = self.places(&text)?;
        let is_all = |place: &Range<usize>| text[..place.start].trim().is_empty() && text[place.end..].trim().is_empty();
        if places.is_empty() {
            return Ok(Change::Keep);
        }
        if *action == Action::Drop && places.iter().any(is_all) {
            return Ok(Change::Remove);
        }
        let mut new = String::with_capacity(text.len());
        let mut from = 0;
        for place in places {
            new += &text[from..place.start];
            new += &action.text(&text[place.clone()]);
            from = place.end;
        }
        new += &text[from..];
        Ok(Change::text(&new))
    }

    /// Where in a text something is, in order and apart from each other.
    fn places(&self, text: &str) -> Result<Vec<Range<usize>>, Rejection> {
        let mut places = Vec::new();
        self.find.iter().for_each(|what| find::places(*what, text, &mut places));
        if !self.patterns.is_empty() && text.len() > TEXT_BYTES_MAX {
            let message = format!("a text has {} bytes, and patterns look at {TEXT_BYTES_MAX} at most", text.len());
            return Err(Rejection::new("text_too_long", message));
        }
        for pattern in &self.patterns {
            let found = pattern.find_iter(text).map(|found| found.range()).filter(|place| !place.is_empty());
            let before = places.len();
            places.extend(found.take(PLACES_MAX + 1));
            if places.len() - before > PLACES_MAX {
                return Ok(std::iter::once(0..text.len()).collect());
            }
        }
        places.sort_by_key(|place| (place.start, place.end));
        places.dedup_by(|next, last| {
            let overlap = next.start < last.end;
            if overlap {
                last.end = last.end.max(next.end);
            }
            overlap
        });
        Ok(places)
    }
}

impl Action {
    /// What becomes of a field's value: of an object or a list, of everything in it.
    fn whole(&self, value: &RawValue, depth: usize) -> Result<Change, Rejection> {
        match self {
            Action::Drop => return Ok(Change::Remove),
            Action::Replace(_) if value.get() == "null" => return Ok(Change::Keep),
            Action::Replace(text) => return Ok(Change::text(text)),
            Action::Mask(_) | Action::Hash(_) => {}
        }
        if let Some(change) = descend(value, depth, &mut |_, value, depth| self.whole(value, depth))? {
            return Ok(change);
        }
        Ok(text(value).filter(|text| !text.is_empty()).map_or(Change::Keep, |text| Change::text(&self.text(&text))))
    }

    /// What becomes of a text.
    fn text<'t>(&'t self, text: &str) -> Cow<'t, str> {
        match self {
            Action::Drop => Cow::Borrowed(""),
            Action::Replace(new) => Cow::Borrowed(new),
            Action::Hash(Hash { salt }) => Cow::Owned(hash::sha256(text, salt.as_deref())),
            Action::Mask(Mask { first, last }) => {
                let letters = text.chars().count();
                let shown = if first + last < letters { (*first, letters - last) } else { (0, letters) };
                let masked = text.chars().enumerate();
                Cow::Owned(masked.map(|(place, letter)| if place < shown.0 || place >= shown.1 { letter } else { '*' }).collect())
            }
        }
    }
}

/// Says what becomes of a field or an element: by its name where it has one, its value, and how deep it may be looked into.
type Ask<'f> = dyn FnMut(Option<&str>, &RawValue, usize) -> Result<Change, Rejection> + 'f;

/// Changes what is in an object or a list; none where the value is neither.
fn descend(value: &RawValue, depth: usize, ask: &mut Ask<'_>) -> Result<Option<Change>, Rejection> {
    if !value.get().starts_with(['{', '[']) {
        return Ok(None);
    }
    let Some(depth) = depth.checked_sub(1) else {
        return Err(Rejection::new(
            "too_deep",
            format!("objects and lists are looked into {DEPTH_MAX} deep, and this one goes on"),
        ));
    };
    let (names, values): (Option<Vec<_>>, Vec<&RawValue>) = match fields(value) {
        Some(fields) => {
            let (names, values) = fields.into_iter().unzip();
            (Some(names), values)
        }
        None => (None, serde_json::from_str(value.get()).unwrap_or_default()),
    };
    let name = |place: usize| names.as_ref().map(|names: &Vec<Cow<'_, str>>| names[place].as_ref());
    let changes = values.iter().enumerate().map(|(place, value)| ask(name(place), value, depth));
    let changes = changes.collect::<Result<Vec<_>, _>>()?;
    if changes.iter().all(|change| matches!(change, Change::Keep)) {
        return Ok(Some(Change::Keep));
    }
    let kept = values.iter().zip(&changes).enumerate().filter_map(|(place, (old, change))| match change {
        Change::Keep => Some((place, *old)),
        Change::Set(new) => Some((place, new.as_ref())),
        Change::Remove => None,
    });
    Ok(Some(Change::Set(match names {
        Some(_) => {
            let object = Json::object(kept.map(|(place, value)| (name(place).unwrap_or_default(), value)));
            RawValue::from_string(object.text().to_owned()).expect("an object of values is JSON")
        }
        None => to_raw_value(&kept.map(|(_, value)| value).collect::<Vec<_>>()).expect("a list of values is JSON"),
    })))
}

/// The text of a string, a number or a truth value.
fn text(value: &RawValue) -> Option<Cow<'_, str>> {
    match value.get().as_bytes().first()? {
        b'"' => string(value),
        b'{' | b'[' | b'n' => None,
        _ => Some(Cow::Borrowed(value.get())),
    }
}
