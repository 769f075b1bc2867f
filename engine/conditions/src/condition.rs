//! A condition: read, kept as its text, and asked of events.

use std::fmt;
use std::sync::{Arc, LazyLock};

use cel::{Context, Env, ParseError, Program, Value};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::check::{EVENT, check};
use crate::json::Fields;
use crate::limits::{CONDITION_BYTES_MAX, CONDITION_LINKS_MAX, CONDITION_NESTED_MAX};
use crate::mistake::{Mistake, Place};
use crate::shape::brief;
use crate::value::Object;

/// CEL's own functions and macros, for all conditions.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// A condition, ready to be asked. A copy costs a counter and the text; two are equal where their texts are.
#[derive(Clone)]
pub struct Condition {
    text: String,
    program: Arc<Program>,
}

impl Condition {
    /// Reads a condition that somebody wrote.
    ///
    /// # Errors
    /// All that is wrong with it, in the order of its text; of what is no CEL, where that begins, since what follows is noise.
    pub fn parse(text: &str) -> Result<Self, Vec<Mistake>> {
        let condition = Condition::compile(text)?;
        let mistakes = check(text, &condition.program);
        if mistakes.is_empty() { Ok(condition) } else { Err(mistakes) }
    }

    /// The condition as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether an event meets it; one over which it fails does not.
    #[must_use]
    pub fn is_met(&self, event: Fields<'_>) -> bool {
        self.ask(event).unwrap_or(false)
    }

    /// Whether an event meets it.
    ///
    /// # Errors
    /// What it failed over, in words: a field that the event lacks, something of another type, or of too much.
    pub fn ask(&self, event: Fields<'_>) -> Result<bool, String> {
        let mut context = Context::with_env(ENVIRONMENT.clone());
        context.add_variable_as_val(EVENT, Box::new(Object::of(event)));
        match self.program.execute(&context) {
            Ok(Value::Bool(met)) => Ok(met),
            Ok(_) => Err("the condition is neither true nor false".into()),
            Err(error) => Err(error.to_string()),
        }
    }

    fn compile(text: &str) -> Result<Self, Vec<Mistake>> {
        if text.len() > CONDITION_BYTES_MAX {
            return Err(vec![Mistake::new(format!("the condition is longer than {CONDITION_BYTES_MAX} bytes"))]);
        }
        if nested(text) > CONDITION_NESTED_MAX {
            return Err(vec![Mistake::new(format!("the condition is nested deeper than {CONDITION_NESTED_MAX}"))]);
        }
        if links(text) > CONDITION_LINKS_MAX {
            return Err(vec![Mistake::new(format!("the condition has more than {CONDITION_LINKS_MAX} operators"))]);
        }
        match ENVIRONMENT.compile(text) {
            Ok(program) => Ok(Condition { text: text.to_owned(), program: Arc::new(program) }),
            Err(errors) => {
                let first = errors.errors.first().map(|error| syntax(text, error));
                Err(vec![first.unwrap_or_else(|| Mistake::new("it is no condition in CEL"))])
            }
        }
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// What was written down before is read as it was then: a name that was right in its day is no mistake, whatever an event has today. A
/// condition that somebody writes is read by [`Condition::parse`].
impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Condition::compile(&text).map_err(|mistakes| D::Error::custom(&mistakes[0]))
    }
}

impl PartialEq for Condition {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Condition {}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Condition({:?})", self.text)
    }
}

/// An error of CEL's parser, in words for those who know no grammars.
fn syntax(text: &str, error: &ParseError) -> Mistake {
    let words = error.msg.strip_prefix("Syntax error: ").unwrap_or(&error.msg);
    let words = words.split_once(" expecting ").map_or(words, |(words, _)| words);
    let stray = ["extraneous input ", "mismatched input ", "no viable alternative at input ", "token recognition error at: "];
    let stray = stray.iter().find_map(|before| words.strip_prefix(before)?.strip_prefix('\'')?.strip_suffix('\''));
    let mistake = match stray.map(str::trim_end) {
        Some("<EOF>") => Mistake::new("it ends too early"),
        Some("=") => Mistake::new("`=` does not belong there").hint("did you mean `==`?"),
        Some(quoted) if quoted.starts_with(['\'', '"']) && !(quoted.len() > 1 && quoted.ends_with(&quoted[..1])) => {
            Mistake::new("a quote is not closed")
        }
        Some(stray) => Mistake::new(format!("`{}` does not belong there", brief(stray))),
        None => Mistake::new(words.replace("'<EOF>'", "the end")),
    };
    let number = |number: isize| usize::try_from(number).ok().filter(|number| *number > 0);
    let place = number(error.pos.0).zip(number(error.pos.1));
    mistake.at(place.map(|(line, column)| Place { line: text.contains('\n').then_some(line), column }))
}

/// How deep a condition is nested, or more: brackets in strings count as well.
fn nested(text: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest + text.matches('?').count()
}

/// How many operators and steps there are, or more: of strings only those are passed over in which nothing can be hidden.
fn links(text: &str) -> usize {
    let is_plain = !["\\", "//", "'''", "\"\"\""].iter().any(|odd| text.contains(odd));
    let (mut code, mut open) = (String::new(), None);
    for letter in text.chars() {
        match open {
            Some(quote) if letter == quote || letter == '\n' => open = None,
            Some(_) => {}
            None if is_plain && matches!(letter, '\'' | '"') => open = Some(letter),
            None => code.push(letter),
        }
    }
    let single = code.matches(['+', '-', '*', '/', '%', '.', '[']).count();
    let relations = code.split(|letter| !"<>=!".contains(letter)).filter(|run| !run.is_empty()).count();
    let memberships = code.split(|letter: char| !letter.is_alphanumeric() && letter != '_').filter(|word| *word == "in").count();
    single + relations + memberships
}
