//! The plan: which schemas an event is held to.

use std::collections::BTreeMap;

use weft_plugin::{ConfigProblem, Kind, RawValue, Record};

use crate::schema::{Found, Reader, Schema};

/// A plan, ready to hold events to.
#[derive(Debug)]
pub(crate) struct Plan {
    events: BTreeMap<String, Parts>,
    types: BTreeMap<String, Parts>,
}

/// Schemas of parts of an event, by the part's name.
#[derive(Debug)]
pub(crate) struct Parts(Vec<(&'static str, Schema)>);

/// Makes a plan ready.
///
/// # Errors
/// All that is wrong with it.
pub(crate) fn compile(plan: &crate::Plan) -> Result<Plan, Vec<ConfigProblem>> {
    let mut reader = Reader::default();
    if plan.events.is_empty() && plan.types.is_empty() {
        reader.problem("/plan", "the plan is empty");
    }
    for name in plan.types.keys() {
        if Kind::of(name).is_none() {
            let hint = "track, page, screen, identify, group, alias or record";
            reader.problems.push(ConfigProblem::at(format!("/plan/types/{}", escaped(name)), "no type of events").hint(hint));
        }
    }
    let mut all = |list: &str, parts: &BTreeMap<String, crate::Parts>| {
        let read = parts.iter().map(|(name, parts)| {
            let at = format!("/plan/{list}/{}", escaped(name));
            let crate::Parts { properties, traits, products, context } = parts;
            let parts = [("properties", properties), ("traits", traits), ("products", products), ("context", context)];
            let schemas = parts
                .into_iter()
                .filter_map(|(part, schema)| Some((part, reader.schema(&format!("{at}/{part}"), schema.as_deref()?))));
            (name.clone(), Parts(schemas.collect()))
        });
        read.collect::<BTreeMap<_, _>>()
    };
    let plan = Plan { events: all("events", &plan.events), types: all("types", &plan.types) };
    if reader.problems.is_empty() { Ok(plan) } else { Err(reader.problems) }
}

/// A name within a JSON pointer.
pub(crate) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

impl Plan {
    /// What an event is held to; none where the plan does not know it.
    pub(crate) fn of(&self, kind: &str, name: &str) -> Option<&Parts> {
        self.events.get(name).or_else(|| self.types.get(kind))
    }
}

impl Parts {
    /// How an event violates them. A part that is absent is an empty one.
    pub(crate) fn check(&self, event: &mut Record<'_>) -> Found {
        let mut found = Found::default();
        for (part, schema) in &self.0 {
            let text = event.get(part);
            let value = text.as_deref().and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
            match value {
                Some(value) => schema.check(value, part, &mut found),
                None => schema.check(empty(part), part, &mut found),
            }
        }
        found
    }
}

fn empty(part: &str) -> &'static RawValue {
    let text = if part == "products" { "[]" } else { "{}" };
    serde_json::from_str(text).expect("it is JSON")
}
