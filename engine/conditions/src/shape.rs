//! What a canonical event has, and where: what stands at its top, in its context, in a product.
//!
//! Paths and conditions are both checked against it, so that what one refuses the other does not take. `docs/events.md` is the same for
//! people.

use std::fmt;

/// A part of an event: a field, or an element of a list.
#[derive(Debug)]
pub struct Part {
    /// What it is called, for messages.
    name: &'static str,
    holds: Holds,
}

#[derive(Debug)]
enum Holds {
    /// A text, a number, a time.
    Value,
    /// An object whose names are the sender's: what is below them, nobody knows.
    Names,
    /// An object of these fields and no others; it is called so in a sentence.
    Parts(&'static str, &'static [Part]),
    /// A list of such elements.
    List(&'static Part),
}

/// One step down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A field of an object.
    Field(String),
    /// An element of a list, from 0.
    Element(usize),
    /// Every element of a list.
    Each,
}

/// Why a step leads to where an event has nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// What is wrong, in lower case, without a full stop.
    pub message: String,
    /// What was probably meant.
    pub hint: Option<String>,
    /// The list that was taken for an object.
    pub list: Option<&'static str>,
}

/// The whole event.
pub static EVENT: Part = Part {
    name: "event",
    holds: Holds::Parts(
        "an event",
        &[
            value("type"),
            value("name"),
            value("message_id"),
            value("occurred"),
            value("sent"),
            value("received"),
            value("claimed"),
            value("environment"),
            list("claims", &IDENTIFIER),
            names("traits"),
            names("properties"),
            list("products", &PRODUCT),
            parts("context", "the context", &CONTEXT),
            names("consent"),
            parts("group", "a group", &[value("id"), names("traits")]),
            parts("in_response_to", "an answer", &[value("delivery"), value("action")]),
        ],
    ),
};
static IDENTIFIER: Part = parts("claims", "an identifier", &[value("type"), value("value"), value("how")]);
static PRODUCT: Part = parts(
    "products",
    "a product",
    &[
        value("id"),
        value("sku"),
        value("name"),
        value("brand"),
        value("category"),
        value("variant"),
        value("price"),
        value("quantity"),
        value("coupon"),
        value("position"),
        names("properties"),
    ],
);
static CONTEXT: [Part; 11] = [
    names("device"),
    names("app"),
    names("place"),
    names("campaign"),
    names("page"),
    value("zone"),
    value("locale"),
    value("ip"),
    value("user_agent"),
    names("library"),
    names("extra"),
];

/// What others call it, without case, `-` and `_`, and where it is here.
const ELSEWHERE: [(&str, &str); 9] = [
    ("event", "name"),
    ("timestamp", "occurred"),
    ("userid", "claims"),
    ("anonymousid", "claims"),
    ("identifiers", "claims"),
    ("email", "traits.email"),
    ("phone", "traits.phone"),
    ("url", "context.page.url"),
    ("ip", "context.ip"),
];

const fn value(name: &'static str) -> Part {
    Part { name, holds: Holds::Value }
}

const fn names(name: &'static str) -> Part {
    Part { name, holds: Holds::Names }
}

const fn parts(name: &'static str, noun: &'static str, parts: &'static [Part]) -> Part {
    Part { name, holds: Holds::Parts(noun, parts) }
}

const fn list(name: &'static str, of: &'static Part) -> Part {
    Part { name, holds: Holds::List(of) }
}

impl Part {
    /// What is one step down; none where nobody knows before an event comes.
    ///
    /// # Errors
    /// Nothing can be there.
    pub fn step(&'static self, step: &Step) -> Result<Option<&'static Part>, Wrong> {
        match (&self.holds, step) {
            (Holds::Parts(_, parts), Step::Field(name)) => match parts.iter().find(|part| part.name == name) {
                Some(part) => Ok(Some(part)),
                None => Err(self.lacks(name)),
            },
            (Holds::Names, Step::Field(_)) => Ok(None),
            (Holds::List(part), Step::Element(_) | Step::Each) => Ok(Some(part)),
            (Holds::List(_), Step::Field(_)) => {
                let hint = format!("write `{}[]` for all of them", self.name);
                Err(Wrong { list: Some(self.name), ..Wrong::new(format!("`{}` is a list", self.name), Some(hint)) })
            }
            (Holds::Parts(..) | Holds::Names, Step::Element(_) | Step::Each) => {
                Err(Wrong::new(format!("{} is an object", self.noun()), Some("its parts have names".into())))
            }
            (Holds::Value, _) => Err(Wrong::new(format!("`{}` has no parts", self.name), None)),
        }
    }

    /// The elements; none where it is no list.
    #[must_use]
    pub fn each(&'static self) -> Option<&'static Part> {
        if let Holds::List(part) = self.holds { Some(part) } else { None }
    }

    /// The fields that it always may have, by their names; none where their names are the sender's, or it is no object.
    #[must_use]
    pub fn fields(&'static self) -> Option<Vec<&'static str>> {
        if let Holds::Parts(_, parts) = &self.holds { Some(parts.iter().map(|part| part.name).collect()) } else { None }
    }

    /// What a name that is not there was probably meant to be, as a path from here.
    #[must_use]
    pub fn meant(&'static self, name: &str) -> Option<&'static str> {
        let Holds::Parts(_, parts) = &self.holds else { return None };
        let known: Vec<&str> = parts.iter().map(|part| part.name).collect();
        let folded = folded(name);
        let there = ELSEWHERE.iter().filter(|_| std::ptr::eq(self, &EVENT)).find(|(there, _)| *there == folded);
        there.map(|(_, here)| *here).or_else(|| nearest(name, &known))
    }

    fn lacks(&'static self, name: &str) -> Wrong {
        let hint = match (self.meant(name), self.fields()) {
            (Some(meant), _) => Some(format!("did you mean `{meant}`?")),
            (None, fields) => fields.map(|fields| format!("it has {}", fields.join(", "))),
        };
        Wrong::new(format!("{} has no `{}`", self.noun(), brief(name)), hint)
    }

    fn noun(&self) -> String {
        if let Holds::Parts(noun, _) = self.holds { noun.to_owned() } else { format!("`{}`", self.name) }
    }
}

impl Wrong {
    fn new(message: String, hint: Option<String>) -> Self {
        Wrong { message, hint, list: None }
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.hint.iter().try_for_each(|hint| write!(f, ": {hint}"))
    }
}

/// Whether a place, by the steps from the top, is one that an event may have.
///
/// # Errors
/// What is wrong with the first step that leads nowhere.
pub fn check(steps: &[Step]) -> Result<(), Wrong> {
    let mut part = Some(&EVENT);
    for step in steps {
        let Some(known) = part else { return Ok(()) };
        part = known.step(step)?;
    }
    Ok(())
}

/// The name that a wrong one was probably meant to be: a third of its letters may be wrong, and how it is cut into words and in which case
/// it is does not matter.
#[must_use]
pub fn nearest<'n>(wrong: &str, names: &[&'n str]) -> Option<&'n str> {
    let wrong = folded(wrong);
    let room = (wrong.chars().count() / 3).clamp(1, 3);
    let near = names.iter().map(|name| (strsim::damerau_levenshtein(&wrong, &folded(name)), *name)).min()?;
    (near.0 <= room).then_some(near.1)
}

/// The beginning of a text that somebody wrote, short enough for a message.
pub(crate) fn brief(text: &str) -> String {
    const LETTERS: usize = 60;
    let mut short = String::new();
    for letter in text.chars().take(LETTERS) {
        if letter.is_control() { short.extend(letter.escape_debug()) } else { short.push(letter) }
    }
    if text.chars().nth(LETTERS).is_some() {
        short.push('…');
    }
    short
}

fn folded(name: &str) -> String {
    name.to_lowercase().replace(['-', '_'], "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_found_again() {
        let functions = ["size", "startsWith", "endsWith", "exists"];
        let check = |wrong: &str, want: Option<&str>| assert_eq!(nearest(wrong, &functions), want, "{wrong}");
        check("startswith", Some("startsWith"));
        check("starts_with", Some("startsWith"));
        check("ENDSWITH", Some("endsWith"));
        check("exist", Some("exists"));
        check("sise", Some("size"));
        check("matches", None);
        check("if", None);
        check("", None);
    }

    #[test]
    fn where_an_event_has_nothing_is_told() {
        let steps = |text: &str| -> Vec<Step> {
            let step = |text: &str| match text {
                "[]" => Step::Each,
                name => name.parse().map_or_else(|_| Step::Field(name.to_owned()), Step::Element),
            };
            text.split(' ').map(step).collect()
        };
        let told = |text: &str, want: &str| {
            assert_eq!(check(&steps(text)).map_err(|wrong| wrong.to_string()), Err(want.to_owned()), "{text}");
        };
        told("propertis total", "an event has no `propertis`: did you mean `properties`?");
        told("messageId", "an event has no `messageId`: did you mean `message_id`?");
        told("userId", "an event has no `userId`: did you mean `claims`?");
        told("url", "an event has no `url`: did you mean `context.page.url`?");
        told("context pgae", "the context has no `pgae`: did you mean `page`?");
        told(
            "context timestamp",
            "the context has no `timestamp`: it has device, app, place, campaign, page, zone, locale, ip, user_agent, library, extra",
        );
        told("products price", "`products` is a list: write `products[]` for all of them");
        told("products [] prize", "a product has no `prize`: did you mean `price`?");
        told("products [] []", "a product is an object: its parts have names");
        told("products 1 price cents", "`price` has no parts");
        told("claims 0 kind", "an identifier has no `kind`: it has type, value, how");
        told("properties []", "`properties` is an object: its parts have names");
        told("group name", "a group has no `name`: it has id, traits");
        told("name first", "`name` has no parts");
        for right in [
            "properties a b []",
            "products [] properties a",
            "context extra a",
            "group traits a",
            "claims 3",
            "consent gdpr marketing",
        ] {
            assert_eq!(check(&steps(right)), Ok(()), "{right}");
        }
    }
}
