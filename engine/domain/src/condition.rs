//! Conditions over events in CEL, the Common Expression Language: compiled once, pure, and bounded by the event.
//!
//! CEL is the crate `cel`'s. What is checked here is ours: that a condition reads what an event has, calls what there is, and costs
//! no more than in proportion to the event: there are no clocks and no patterns in it, and macros do not multiply. A condition that
//! fails over an event, such as one that reads a field which the event lacks, is not met. `condition/value.rs` shows CEL an event's JSON.

mod value;

use std::fmt;
use std::sync::Arc;

use cel::common::ast::{ComprehensionExpr, EntryExpr, Expr, IdedExpr};
use cel::{Context, Env, Program, Value};
use serde::{Deserialize, Serialize};

use self::value::Object;
use crate::document::Document;
use crate::limits;
use crate::path::{is_field, nearest};

/// What a condition can call, beside operators. No patterns (`matches`) and no times: a pattern can cost more than the event, and the
/// time is an input of the fold and not of a condition.
const FUNCTIONS: [&str; 12] =
    ["size", "contains", "startsWith", "endsWith", "string", "int", "uint", "double", "bool", "bytes", "type", "dyn"];
/// What `type(x)` may be compared to.
const TYPES: [&str; 10] = ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];
const EVENT: &str = "event";

/// A condition, ready to be asked.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Condition {
    text: String,
    program: Arc<Program>,
    environment: Arc<Env>,
}

impl TryFrom<String> for Condition {
    type Error = String;

    /// Reads a condition; the error says the first thing that is wrong with it.
    fn try_from(text: String) -> Result<Self, String> {
        if text.len() > limits::CONDITION_BYTES_MAX {
            return Err(format!("the condition is longer than {} bytes", limits::CONDITION_BYTES_MAX));
        }
        if nested(&text) > limits::CONDITION_NESTED_MAX {
            return Err(format!("the condition is nested deeper than {}", limits::CONDITION_NESTED_MAX));
        }
        let environment = Env::stdlib();
        let program = environment.compile(&text).map_err(|errors| match errors.errors.first() {
            None => "it is no condition in CEL".to_owned(),
            Some(error) => {
                let words = error.msg.strip_prefix("Syntax error: ").unwrap_or(&error.msg);
                let words = words.split_once(" expecting ").map_or(words, |(words, _)| words).replace("'<EOF>'", "the end");
                let (line, column) = error.pos;
                match text.contains('\n') {
                    true => format!("no condition in CEL, at its line {line}, column {column}: {words}"),
                    false => format!("no condition in CEL, at its column {column}: {words}"),
                }
            }
        })?;
        let mut reader = Reader::default();
        reader.read(program.expression());
        match reader.problems.into_iter().next() {
            Some(problem) => Err(problem),
            None => Ok(Condition { text, program: Arc::new(program), environment: environment.into() }),
        }
    }
}

impl From<Condition> for String {
    fn from(condition: Condition) -> Self {
        condition.text
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

impl Condition {
    /// Whether an event meets it.
    #[must_use]
    pub fn is_met(&self, document: &Document<'_>) -> bool {
        let mut context = Context::with_env(self.environment.clone());
        context.add_variable_as_val(EVENT, Box::new(Object::of(document.fields())));
        matches!(self.program.execute(&context), Ok(Value::Bool(true)))
    }
}

/// Goes through a condition and gathers what is wrong with it.
#[derive(Default)]
struct Reader {
    /// Names that macros bring: the element, and what is gathered.
    names: Vec<String>,
    /// Elements of the macros around.
    elements: Vec<String>,
    problems: Vec<String>,
}

impl Reader {
    fn read(&mut self, expression: &IdedExpr) {
        match &expression.expr {
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => {
                if matches!(&select.operand.expr, Expr::Ident(name) if name == EVENT) {
                    self.problems.extend(is_field("an event", &select.field).err());
                } else {
                    self.read(&select.operand);
                }
            }
            Expr::Call(call) => {
                self.function(&call.func_name);
                call.target.iter().for_each(|target| self.read(target));
                call.args.iter().for_each(|argument| self.read(argument));
            }
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::List(list) => list.elements.iter().for_each(|element| self.read(element)),
            Expr::Map(map) => map.entries.iter().for_each(|entry| {
                if let EntryExpr::MapEntry(entry) = &entry.expr {
                    self.read(&entry.key);
                    self.read(&entry.value);
                }
            }),
            Expr::Struct(_) => self.problems.push("a condition makes no messages".into()),
            Expr::Literal(_) | Expr::Unspecified => {}
        }
    }

    fn name(&mut self, name: &str) {
        if name == EVENT || TYPES.contains(&name) || self.names.iter().any(|known| known == name) {
            return;
        }
        let hint = match is_field("an event", name) {
            Ok(()) => format!("did you mean `event.{name}`?"),
            Err(_) => "the event is `event`, as in `event.properties.total`".to_owned(),
        };
        self.problems.push(format!("there is no `{name}`: {hint}"));
    }

    fn function(&mut self, name: &str) {
        let is_operator = name.starts_with(['_', '!', '-', '@']);
        if is_operator || FUNCTIONS.contains(&name) {
            return;
        }
        let hint = match nearest(name, &FUNCTIONS) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are {}, has, all, exists, exists_one, map, filter", FUNCTIONS.join(", ")),
        };
        self.problems.push(format!("there is no function `{name}`: {hint}"));
    }

    fn comprehension(&mut self, comprehension: &ComprehensionExpr) {
        let ComprehensionExpr { iter_range, iter_var, iter_var2, accu_var, accu_init, loop_cond, loop_step, result } =
            comprehension;
        self.read(iter_range);
        // Within another one it goes over a part of that one's element, so that all together go through the event once.
        if !self.elements.is_empty() && !self.elements.iter().any(|element| root(iter_range) == Some(element)) {
            let words = "a macro within another one goes over a part of that one's element: as in";
            self.problems.push(format!("{words} `event.products.exists(p, p.properties.tags.exists(t, t == 'new'))`"));
        }
        let (names, elements) = (self.names.len(), self.elements.len());
        self.names.extend([iter_var.clone(), accu_var.clone()]);
        self.names.extend(iter_var2.clone());
        self.elements.push(iter_var.clone());
        [accu_init, loop_cond, loop_step, result].into_iter().for_each(|part| self.read(part));
        self.names.truncate(names);
        self.elements.truncate(elements);
    }
}

/// How deep a condition is nested, or more: brackets in strings count as well.
fn nested(source: &str) -> usize {
    let (mut depth, mut deepest) = (0usize, 0);
    for byte in source.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest + source.matches('?').count()
}

/// The name that a chain of fields and elements begins with.
fn root(expression: &IdedExpr) -> Option<&String> {
    match &expression.expr {
        Expr::Ident(name) => Some(name),
        Expr::Select(select) => root(&select.operand),
        Expr::Call(call) if call.func_name == "_[_]" => root(call.args.first()?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    #[test]
    fn conditions_read_events() {
        let event = r#"{"type":"track","name":"Order Completed","claims":[{"type":"email","value":"ann@shop.example"}],"properties":{"total":"37.90","n":12,"tax":1.5,"none":null,"ok":true,"list":[1,2.0,"x"]},"products":[{"id":"1","price":3},{"id":"2","price":18.95,"properties":{"tags":["new"]}}],"context":{"page":{"url":"https://shop.example/a"}}}"#;
        let event = Event::parse(event.as_bytes()).expect("valid");
        let check = |text: &str, want: bool| {
            let condition = Condition::try_from(text.to_owned()).expect(text);
            assert_eq!(condition.is_met(&Document::of(&event)), want, "{text}");
        };
        check("event.name == 'Order Completed' && double(event.properties.total) > 10.0", true);
        check("event.properties.n > 11.5", true);
        check("event.properties.none == null && !has(event.properties.more)", true);
        check("event.properties.more > 1", false);
        check("event.properties.n", false);
        check("event.properties.list[2] == 'x' && size(event.properties.list) == 3", true);
        check("event.products.exists(p, has(p.properties) && p.properties.tags.exists(t, t == 'new'))", true);
        check("event.products.all(p, p.price > 3)", false);
        check("event.context.page.url.startsWith('https://')", true);
        check("event.type in ['page', 'screen']", false);
    }

    #[test]
    fn a_wrong_condition_is_refused() {
        let check =
            |text: &str, want: &str| assert_eq!(Condition::try_from(text.to_owned()).err().as_deref(), Some(want), "{text}");
        check("properties.total > 5", "there is no `properties`: did you mean `event.properties`?");
        check("event.propertis.total > 5", "an event has no `propertis`: did you mean `properties`?");
        check("event.name.startswith('x')", "there is no function `startswith`: did you mean `startsWith`?");
        check("event.name == ", "no condition in CEL, at its column 15: mismatched input the end");
        let nested = "a macro within another one goes over a part of that one's element: as in `event.products.exists(p, p.properties.tags.exists(t, t == 'new'))`";
        check("event.products.exists(p, event.products.exists(q, p.id == q.id))", nested);
        check(&"x".repeat(5_000), "the condition is longer than 4096 bytes");
        check(&"(".repeat(30), "the condition is nested deeper than 24");
    }
}
