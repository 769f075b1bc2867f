//! Whether a condition that CEL can read asks for what an event has, calls what there is, and costs little.
//!
//! Cost is a question of macros alone: each goes over a place of the event, or over a part of the element that the macro around it is
//! at, and none over what `map` made. So all macros that stand within each other go over no more elements than the event has, however
//! they are written.

use cel::Program;
use cel::common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue};

use crate::mistake::{Mistake, Place};
use crate::shape::{self, Part, Step, brief, nearest};

/// What a condition can call, beside operators. No patterns (`matches`) and no times: a pattern can cost more than the event, and the time is
/// no part of a condition.
const FUNCTIONS: [&str; 12] =
    ["size", "contains", "startsWith", "endsWith", "string", "int", "uint", "double", "bool", "bytes", "type", "dyn"];
const MACROS: [&str; 6] = ["has", "all", "exists", "exists_one", "map", "filter"];
/// What `type(x)` may be compared to.
const TYPES: [&str; 10] = ["bool", "bytes", "double", "int", "list", "map", "null_type", "string", "type", "uint"];
/// `a[b]`, `a.?b` and `a[?b]`, as CEL calls them.
const INDEX: [&str; 3] = ["_[_]", "_?._", "_[?_]"];
const OVER_A_LIST: &str = "as in `event.products.exists(p, p.price > 100)`";
const WITHIN: &str = "as in `event.products.exists(p, p.properties.tags.exists(t, t == 'new'))`";

/// The name of the event in a condition.
pub(crate) const EVENT: &str = "event";

/// All that is wrong with a condition, in the order of its text.
pub(crate) fn check(text: &str, program: &Program) -> Vec<Mistake> {
    let mut reader = Reader { text, program, names: Vec::new(), elements: Vec::new(), mistakes: Vec::new() };
    reader.read(program.expression());
    reader.mistakes.sort_by_key(|mistake| mistake.place);
    reader.mistakes
}

/// Goes through a condition and gathers what is wrong with it.
struct Reader<'c> {
    text: &'c str,
    program: &'c Program,
    /// Names that macros bring (the element, and what is gathered), and what of an event is under them where that is known.
    names: Vec<(String, Option<&'static Part>)>,
    /// Elements of the macros around, the innermost last.
    elements: Vec<String>,
    mistakes: Vec<Mistake>,
}

impl Reader<'_> {
    /// Reads an expression, and says which part of the event it is, where that is known.
    fn read(&mut self, expression: &IdedExpr) -> Option<&'static Part> {
        match &expression.expr {
            Expr::Ident(name) => self.name(expression.id, name),
            Expr::Select(select) => {
                let above = self.read(&select.operand);
                self.step(expression.id, above, &Step::Field(select.field.clone()))
            }
            Expr::Call(call) if INDEX.contains(&&*call.func_name) => self.index(expression.id, call),
            Expr::Call(call) => {
                self.call(expression.id, call);
                None
            }
            Expr::Comprehension(comprehension) => {
                let range = self.comprehension(expression.id, comprehension);
                range.filter(|_| is_filter(comprehension))
            }
            Expr::List(list) => {
                self.read_all(&list.elements);
                None
            }
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        self.read(&entry.key);
                        self.read(&entry.value);
                    }
                }
                None
            }
            Expr::Struct(_) => {
                self.say(expression.id, Mistake::new("a condition makes no messages"));
                None
            }
            Expr::Literal(_) | Expr::Unspecified => None,
        }
    }

    fn read_all<'e>(&mut self, expressions: impl IntoIterator<Item = &'e IdedExpr>) {
        for expression in expressions {
            self.read(expression);
        }
    }

    fn name(&mut self, id: u64, name: &str) -> Option<&'static Part> {
        if let Some((_, part)) = self.names.iter().rev().find(|(known, _)| known == name) {
            return *part;
        }
        if name == EVENT {
            return Some(&shape::EVENT);
        }
        if !TYPES.contains(&name) {
            let hint = match (nearest(name, &[EVENT]), shape::EVENT.meant(name)) {
                (Some(event), _) => format!("did you mean `{event}`?"),
                (None, Some(meant)) => format!("did you mean `event.{meant}`?"),
                (None, None) => "the event is `event`, as in `event.properties.total`".to_owned(),
            };
            self.say(id, Mistake::new(format!("there is no `{}`", brief(name))).hint(hint));
        }
        None
    }

    fn step(&mut self, id: u64, above: Option<&'static Part>, step: &Step) -> Option<&'static Part> {
        above?.step(step).unwrap_or_else(|wrong| {
            let hint = match wrong.list {
                Some("claims") => Some("as in `event.claims.exists(c, c.type == 'email')`".to_owned()),
                Some(_) => Some(OVER_A_LIST.to_owned()),
                None => wrong.hint,
            };
            self.say(id, Mistake { hint, ..Mistake::new(wrong.message) });
            None
        })
    }

    fn index(&mut self, id: u64, call: &CallExpr) -> Option<&'static Part> {
        let [of, key] = &call.args[..] else { return None };
        let above = self.read(of);
        self.read(key);
        match &key.expr {
            Expr::Literal(LiteralValue::String(name)) => self.step(id, above, &Step::Field(name.inner().to_owned())),
            Expr::Literal(LiteralValue::Int(_) | LiteralValue::UInt(_)) => self.step(id, above, &Step::Each),
            _ => above?.each(),
        }
    }

    fn call(&mut self, id: u64, call: &CallExpr) {
        self.read_all(call.target.as_deref());
        let name = &*call.func_name;
        let is_operator = name.starts_with(['_', '!', '-', '@']);
        if is_operator || FUNCTIONS.contains(&name) {
            self.read_all(&call.args);
            return;
        }
        // What its arguments mean, nobody knows: they are not looked at.
        let (what, hint) = match name {
            "has" => ("`has` asks for a field".to_owned(), "as in `has(event.properties.total)`".to_owned()),
            name if MACROS.contains(&name) => {
                (format!("`{name}` is called on a list, with a name and what is asked of each"), OVER_A_LIST.to_owned())
            }
            name => {
                let known = [&FUNCTIONS[..], &MACROS[..]].concat();
                let hint = match nearest(name, &known) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("there are {}", known.join(", ")),
                };
                (format!("there is no function `{}`", brief(name)), hint)
            }
        };
        self.say(id, Mistake::new(what).hint(hint));
    }

    /// Reads a macro; returns what it goes over, where that is known.
    fn comprehension(&mut self, id: u64, comprehension: &ComprehensionExpr) -> Option<&'static Part> {
        let ComprehensionExpr { iter_range, iter_var, iter_var2, accu_var, accu_init, loop_cond, loop_step, result } =
            comprehension;
        let range = self.read(iter_range);
        match self.elements.last() {
            Some(element) if root(iter_range) != Some(element) => {
                let what = "a macro within another one goes over a part of that one's element";
                self.say(id, Mistake::new(what).hint(WITHIN));
            }
            None if is_made(iter_range) => {
                self.say(id, Mistake::new("a macro does not go over what `map` made").hint(OVER_A_LIST));
            }
            _ => {}
        }
        let (names, elements) = (self.names.len(), self.elements.len());
        let element = range.filter(|_| iter_var2.is_none()).and_then(|part| part.each());
        self.names.extend([(iter_var.clone(), element), (accu_var.clone(), None)]);
        self.names.extend(iter_var2.clone().map(|name| (name, None)));
        self.elements.push(iter_var.clone());
        self.read_all([accu_init, loop_cond, loop_step, result]);
        self.names.truncate(names);
        self.elements.truncate(elements);
        range
    }

    fn say(&mut self, id: u64, mistake: Mistake) {
        let mistake = mistake.at(self.place(id));
        if !self.mistakes.contains(&mistake) {
            self.mistakes.push(mistake);
        }
    }

    /// Where the name stands that an expression is about: CEL says where its dot, its bracket or its parenthesis is, and of what a macro made, where
    /// the macro is.
    fn place(&self, id: u64) -> Option<Place> {
        let (start, _) = self.program.source_info().offset_for(id)?;
        let (before, after) = self.text.split_at_checked(usize::try_from(start).ok()?)?;
        let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let offset = match after.starts_with('(') {
            true => before.trim_end().trim_end_matches(is_name).len(),
            false => self.text.len() - after.trim_start_matches(['.', '?', ' ', '\n', '\r', '\t']).len(),
        };
        Some(Place::of(self.text, offset))
    }
}

/// The name that a chain of fields and elements begins with, also of what `filter` left.
fn root(expression: &IdedExpr) -> Option<&String> {
    match &expression.expr {
        Expr::Ident(name) => Some(name),
        Expr::Select(select) => root(&select.operand),
        Expr::Call(call) if INDEX.contains(&&*call.func_name) => root(call.args.first()?),
        Expr::Comprehension(comprehension) if is_filter(comprehension) => root(&comprehension.iter_range),
        _ => None,
    }
}

/// Whether there may be something in a value that the event does not have.
fn is_made(expression: &IdedExpr) -> bool {
    match &expression.expr {
        Expr::Select(select) => is_made(&select.operand),
        Expr::Call(call) => call.target.iter().map(|target| &**target).chain(&call.args).any(is_made),
        Expr::Comprehension(comprehension) => !is_filter(comprehension) || is_made(&comprehension.iter_range),
        Expr::List(list) => list.elements.iter().any(is_made),
        Expr::Map(map) => map.entries.iter().any(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => is_made(&entry.key) || is_made(&entry.value),
            EntryExpr::StructField(_) => false,
        }),
        _ => false,
    }
}

/// Whether a macro gives elements as they are: it adds to its list the element alone, under a choice.
fn is_filter(comprehension: &ComprehensionExpr) -> bool {
    let Expr::Call(choice) = &comprehension.loop_step.expr else { return false };
    let [_, taken, _] = &choice.args[..] else { return false };
    let Expr::Call(added) = &taken.expr else { return false };
    let [_, list] = &added.args[..] else { return false };
    matches!(&list.expr, Expr::List(list) if matches!(&list.elements[..], [IdedExpr { expr: Expr::Ident(name), .. }] if *name == comprehension.iter_var))
}
