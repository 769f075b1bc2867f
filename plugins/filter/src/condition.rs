//! A condition: compiled, checked for what can be known without an event, and asked of events.
//!
//! CEL is the crate `cel`'s. What is checked here is ours: that a condition reads what an event has, calls what there is, and costs no more than
//! in proportion to the event.

use std::fmt;
use std::sync::Arc;

use cel::common::ast::{ComprehensionExpr, EntryExpr, Expr, IdedExpr};
use cel::{Context, Env, Program, Value};
use weft_plugin::{ConfigProblem, Fields, Path};

use crate::value::Object;

/// A condition that somebody wrote, and not a program that something made.
const SOURCE_BYTES_MAX: usize = 4096;
/// Parentheses, brackets and choices within each other: the parser descends through twenty calls for each.
const NESTED_MAX: usize = 24;

/// What a condition can call, beside operators. No patterns (`matches`) and no times: they would need libraries many times as large.
const FUNCTIONS: [&str; 12] =
    ["size", "contains", "startsWith", "endsWith", "string", "int", "uint", "double", "bool", "bytes", "type", "dyn"];
/// What `type(x)` may be compared to.
const TYPES: [&str; 10] = ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];
const EVENT: &str = "event";

/// A condition, ready to be asked.
pub(crate) struct Condition {
    program: Program,
    environment: Arc<Env>,
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// All that is wrong with it; the places are left empty.
    pub(crate) fn compile(source: &str) -> Result<Self, Vec<ConfigProblem>> {
        let wrong = |message: String| ConfigProblem::at("", message);
        if source.len() > SOURCE_BYTES_MAX {
            return Err(vec![wrong(format!("the condition is longer than {SOURCE_BYTES_MAX} bytes"))]);
        }
        if nested(source) > NESTED_MAX {
            return Err(vec![wrong(format!("the condition is nested deeper than {NESTED_MAX}"))]);
        }
        let environment = Env::stdlib();
        let program = environment.compile(source).map_err(|errors| {
            let place = |(line, column): (isize, isize)| match source.contains('\n') {
                true => format!("line {line}, column {column}"),
                false => format!("column {column}"),
            };
            let told = errors.errors.iter().map(|error| {
                let words = error.msg.strip_prefix("Syntax error: ").unwrap_or(&error.msg);
                let words = words.split_once(" expecting ").map_or(words, |(words, _)| words);
                wrong(format!("at {}: {}", place(error.pos), words.replace("'<EOF>'", "the end")))
            });
            told.collect::<Vec<_>>()
        })?;
        let mut reader = Reader::default();
        reader.read(program.expression());
        if reader.problems.is_empty() { Ok(Condition { program, environment: environment.into() }) } else { Err(reader.problems) }
    }

    /// Whether an event meets it.
    ///
    /// # Errors
    /// What it failed over, in words.
    pub(crate) fn is_met(&self, event: Fields<'_>) -> Result<bool, String> {
        let mut context = Context::with_env(self.environment.clone());
        context.add_variable_as_val(EVENT, Box::new(Object::of(event)));
        match self.program.execute(&context) {
            Ok(Value::Bool(met)) => Ok(met),
            Ok(_) => Err("the condition is neither true nor false".into()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Condition(…)")
    }
}

/// Goes through a condition and gathers what is wrong with it.
#[derive(Default)]
struct Reader {
    /// Names that macros bring: the element, and what is gathered.
    names: Vec<String>,
    /// Elements of the macros around.
    elements: Vec<String>,
    problems: Vec<ConfigProblem>,
}

impl Reader {
    fn read(&mut self, expression: &IdedExpr) {
        match &expression.expr {
            Expr::Ident(name) => self.name(name),
            Expr::Select(select) => match path(expression) {
                Some(path) => self.field(&path),
                None => self.read(&select.operand),
            },
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
            Expr::Struct(_) => self.problem("a condition makes no messages", None),
            Expr::Literal(_) | Expr::Unspecified => {}
        }
    }

    fn name(&mut self, name: &str) {
        if name == EVENT || TYPES.contains(&name) || self.names.iter().any(|known| known == name) {
            return;
        }
        let hint = if Path::parse(name).is_ok() {
            format!("did you mean event.{name}?")
        } else {
            "the event is `event`, as in event.properties.total".to_owned()
        };
        self.problem(format!("there is no `{name}`"), Some(hint));
    }

    fn field(&mut self, path: &str) {
        if path.starts_with("claims.") {
            let hint = "as in event.claims.exists(c, c.type == 'email')".to_owned();
            self.problem("`event.claims` is a list", Some(hint));
        } else if let Err(error) = Path::parse(path) {
            self.problem(error.message, error.hint);
        }
    }

    fn function(&mut self, name: &str) {
        let is_operator = name.starts_with(['_', '!', '-', '@']);
        if is_operator || FUNCTIONS.contains(&name) {
            return;
        }
        let near = FUNCTIONS
            .iter()
            .filter(|known| strsim::damerau_levenshtein(known, name) <= 2)
            .min_by_key(|known| strsim::damerau_levenshtein(known, name));
        let hint = match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are {}, has, all, exists, exists_one, map, filter", FUNCTIONS.join(", ")),
        };
        self.problem(format!("there is no function `{name}`"), Some(hint));
    }

    fn comprehension(&mut self, comprehension: &ComprehensionExpr) {
        let ComprehensionExpr { iter_range, iter_var, iter_var2, accu_var, accu_init, loop_cond, loop_step, result } =
            comprehension;
        self.read(iter_range);
        // Within another one it goes over a part of that one's element, so that all together go through the event once.
        if !self.elements.is_empty() && !self.elements.iter().any(|element| root(iter_range) == Some(element)) {
            let hint = "as in event.products.exists(p, p.properties.tags.exists(t, t == 'new'))".to_owned();
            self.problem("a macro within another one goes over a part of that one's element", Some(hint));
        }
        let (names, elements) = (self.names.len(), self.elements.len());
        self.names.extend([iter_var.clone(), accu_var.clone()]);
        self.names.extend(iter_var2.clone());
        self.elements.push(iter_var.clone());
        [accu_init, loop_cond, loop_step, result].into_iter().for_each(|part| self.read(part));
        self.names.truncate(names);
        self.elements.truncate(elements);
    }

    fn problem(&mut self, message: impl Into<String>, hint: Option<String>) {
        let problem = ConfigProblem { path: String::new(), message: message.into(), hint };
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
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

/// The path of what is read of the event: `properties.total` of `event.properties.total`.
fn path(expression: &IdedExpr) -> Option<String> {
    let Expr::Select(select) = &expression.expr else { return None };
    match &select.operand.expr {
        Expr::Ident(name) if name == EVENT => Some(select.field.clone()),
        _ => path(&select.operand).map(|above| format!("{above}.{}", select.field)),
    }
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
