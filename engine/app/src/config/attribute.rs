//! From attributes and rules of traits, as they are written, to what the fold counts by.

use weft_conditions::Condition;
use weft_domain::attribute::{Attribute, Calculation, Meaning, Of, Streak, Window, Zone};
use weft_domain::limits::{ATTRIBUTES_MAX, WINDOW_MS};
use weft_domain::path::Path;
use weft_domain::problem::{Code, Problem};

use super::schema::one_of;
use super::source::{Report, Span, join};
use super::spec::WorkspaceSpec;
use super::spec::attribute::{AttributeSpec, EVENTS, Keep, PathText, Since, StreakSpec, TraitSpec};
use super::tree::Node;
use super::zone;

/// What an attribute may calculate, by its key.
const CALCULATIONS: [&str; 13] = [
    "count",
    "sum",
    "min",
    "max",
    "average",
    "most_frequent",
    "unique_count",
    "unique_list",
    "first",
    "last",
    "first_at",
    "last_at",
    "streak",
];

/// Values of a list where it is not said how many.
const LIST_USUAL: u32 = 100;

/// Reports what is wrong with attributes and with rules of traits.
pub(super) fn check(tree: &Node, spec: &WorkspaceSpec, report: &mut Report) {
    for (name, attribute) in &spec.attributes {
        Look { tree, path: join("/attributes", name), report }.attribute(name, attribute);
    }
    for (name, rule) in &spec.traits {
        Look { tree, path: join("/traits", name), report }.rule(name, rule);
    }
    let count = spec.attributes.len() + spec.traits.len();
    if count > ATTRIBUTES_MAX {
        let message = format!("there are {count} attributes and rules of traits, and {ATTRIBUTES_MAX} are allowed");
        let path = if spec.attributes.is_empty() { "/traits" } else { "/attributes" };
        Look { tree, path: path.to_owned(), report }.say("", Problem::error(Code::CONFIG_OUT_OF_RANGE, message));
    }
}

struct Look<'a> {
    tree: &'a Node,
    path: String,
    report: &'a mut Report,
}

impl Look<'_> {
    fn say(&mut self, key: &str, problem: Problem) {
        let path = if key.is_empty() { self.path.clone() } else { join(&self.path, key) };
        let span = self.tree.find(&path).map_or(Span::top(0), |(_, span)| span);
        self.report.add(span.at(path), problem);
    }

    fn refuse(&mut self, key: &str, message: impl Into<String>, hint: &str) {
        self.say(key, Problem::error(Code::CONFIG_REFUSED, message).hint(hint));
    }

    fn attribute(&mut self, name: &str, spec: &AttributeSpec) {
        let node = self.tree.find(&self.path).map(|(node, _)| node);
        let given: Vec<&str> = CALCULATIONS.into_iter().filter(|key| node.is_some_and(|node| node.get(key).is_some())).collect();
        match given[..] {
            [_] => (),
            [] => {
                let message = format!("the attribute `{name}` does not say what is calculated");
                self.say("", Problem::error(Code::CONFIG_MISSING_KEY, message).expected(one_of(&CALCULATIONS)));
            }
            [first, second, ..] => {
                let message = format!("the attribute `{name}` has both `{first}` and `{second}`, and it has one value");
                self.refuse(second, message, "make two attributes of it");
            }
        }
        if spec.within.is_some() && spec.since.is_some() {
            self.refuse("since", format!("the attribute `{name}` has both `within` and `since`"), "leave one of them");
        }
        if let Some(within) = spec.within
            && !i64::try_from(within.as_ms()).is_ok_and(|ms| WINDOW_MS.contains(&ms))
        {
            let problem = Problem::error(Code::CONFIG_OUT_OF_RANGE, format!("a window cannot be `{within}` long"));
            self.say("within", problem.expected("`1s` or more"));
        }
        if spec.within.is_some() && spec.streak.is_some() {
            self.refuse("within", "days in a row are not counted within a window", "take `within` away, or use `since`");
        }
        if spec.at_most.is_some() && spec.unique_list.is_none() {
            self.refuse("at_most", "only a `unique_list` keeps so many values at most", "take `at_most` away");
        }
    }

    fn rule(&mut self, name: &str, rule: &TraitSpec) {
        let trusts = rule.keep == Keep::MostTrusted;
        if trusts && rule.trust.is_empty() {
            let message = format!("the rule of the trait `{name}` does not say which sources are trusted");
            self.say("", Problem::error(Code::CONFIG_MISSING_KEY, message).expected("trust: sources, the most trusted first"));
        }
        if !trusts && !rule.trust.is_empty() {
            self.refuse("trust", "sources decide only what is kept of `most_trusted`", "write `keep: most_trusted`");
        }
        if rule.at_most.is_some() && !matches!(rule.keep, Keep::Set | Keep::List) {
            self.refuse("at_most", "only a `set` or a `list` keeps so many values at most", "take `at_most` away");
        }
    }
}

/// The attributes of a workspace in which nothing is wrong, by their ids.
pub(super) fn build(spec: &WorkspaceSpec) -> Result<Vec<Attribute>, String> {
    let attributes = spec.attributes.iter().map(|(name, attribute)| Ok(Attribute::new(name, meaning(attribute, &spec.zone.0)?)));
    let mut attributes = attributes.collect::<Result<Vec<Attribute>, String>>()?;
    attributes.extend(spec.traits.iter().filter_map(|(name, rule)| Some(Attribute::of_trait(name, calculation(rule)?))));
    attributes.sort_by(|one, other| (one.id, &one.name).cmp(&(other.id, &other.name)));
    Ok(attributes)
}

fn meaning(spec: &AttributeSpec, zone: &str) -> Result<Meaning, String> {
    let path = |text: &String| Path::try_from(text.clone()).map(Of::Path);
    let at = |text: &PathText| path(&text.0);
    let (calculation, of) = match spec {
        AttributeSpec { count: Some(counted), .. } if counted.0 == EVENTS => (Calculation::Count, Of::Nothing),
        AttributeSpec { count: Some(counted), .. } => (Calculation::Count, path(&counted.0)?),
        AttributeSpec { sum: Some(text), .. } => (Calculation::Sum, at(text)?),
        AttributeSpec { min: Some(text), .. } => (Calculation::Min, at(text)?),
        AttributeSpec { max: Some(text), .. } => (Calculation::Max, at(text)?),
        AttributeSpec { average: Some(text), .. } => (Calculation::Average, at(text)?),
        AttributeSpec { most_frequent: Some(text), .. } => (Calculation::MostFrequent, at(text)?),
        AttributeSpec { unique_count: Some(text), .. } => (Calculation::UniqueCount, at(text)?),
        AttributeSpec { unique_list: Some(text), .. } => {
            (Calculation::UniqueList { at_most: spec.at_most.unwrap_or(LIST_USUAL) }, at(text)?)
        }
        AttributeSpec { first: Some(text), .. } => (Calculation::First, at(text)?),
        AttributeSpec { last: Some(text), .. } => (Calculation::Last, at(text)?),
        AttributeSpec { first_at: Some(_), .. } => (Calculation::FirstAt, Of::Nothing),
        AttributeSpec { last_at: Some(_), .. } => (Calculation::LastAt, Of::Nothing),
        AttributeSpec { streak: Some(streak), .. } => {
            let of = match streak {
                StreakSpec::Current => Streak::Current,
                StreakSpec::Longest => Streak::Longest,
            };
            (Calculation::Streak { of, zone: Zone::try_from(zone.to_owned())? }, Of::Nothing)
        }
        _ => return Err("it is not said what is calculated".into()),
    };
    Ok(Meaning {
        calculation,
        of,
        events: spec.event.as_ref().map_or_else(Vec::new, |names| names.sorted()),
        kind: spec.kind,
        condition: spec.condition.as_ref().map(|text| condition(&text.0)).transpose()?,
        window: window(spec, zone)?,
    })
}

fn condition(text: &str) -> Result<Condition, String> {
    Condition::parse(text).map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

fn window(spec: &AttributeSpec, zone: &str) -> Result<Window, String> {
    if let Some(within) = spec.within {
        return Ok(Window::Within(i64::try_from(within.as_ms()).unwrap_or(i64::MAX)));
    }
    let Some(since) = &spec.since else { return Ok(Window::Ever) };
    let zone = zone::find(zone).ok_or("there is no such zone")?;
    Ok(Window::Since(match since.0.parse()? {
        Since::Day(day) => zone::instant(day, 0, &zone),
        Since::Instant(instant) => instant,
    }))
}

/// What decides a trait; none where the latest event does, as of every other.
fn calculation(rule: &TraitSpec) -> Option<Calculation> {
    let at_most = rule.at_most.unwrap_or(LIST_USUAL);
    Some(match rule.keep {
        Keep::Last => return None,
        Keep::First => Calculation::First,
        Keep::MostTrusted => Calculation::MostTrusted { sources: rule.trust.clone() },
        Keep::Set => Calculation::UniqueList { at_most },
        Keep::List => Calculation::List { at_most },
    })
}
