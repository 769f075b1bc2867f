//! From an error of validation to a problem: what is wrong in words, where, what would be right, and what was probably meant.
//!
//! No value of the instance is ever quoted but from texts that are no secrets: a secret is a handle here, and errors about
//! one are left to whoever looks where secrets may stand.

use std::collections::{BTreeSet, HashMap};

use jsonschema::ValidationError;
use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use serde_json::Value as Json;
use weft_domain::problem::{Code, Problem};
use weft_domain::value::Excerpt;

use super::super::source::{Report, Sources, Span, join};
use super::super::spec;
use super::super::tree::{Node, Origin, Text, Value};
use super::{format, nearest};

/// What is needed to explain the errors of one instance.
pub(super) struct Explainer<'a> {
    pub schema: &'a Json,
    pub node: &'a Node,
    /// Where the instance stands in the configuration.
    pub base: &'a str,
    pub sources: &'a Sources,
    /// What each pointer names: a section may have thousands of errors, and looking each up from the top takes its square.
    places: HashMap<String, (&'a Node, Span)>,
}

/// Names listed in one message; past that a page of documentation reads better.
const LISTED_MAX: usize = 12;

/// Words that other tools use for what is called otherwise here.
const SYNONYMS: [(&str, &str); 14] = [
    ("sinks", "destinations"),
    ("outputs", "destinations"),
    ("inputs", "sources"),
    ("input", "inputs"),
    ("processors", "transforms"),
    ("pipelines", "transforms"),
    ("type", "plugin"),
    ("kind", "plugin"),
    ("uses", "plugin"),
    ("url", "base_url"),
    ("endpoint", "base_url"),
    ("token", "bearer"),
    ("username", "user"),
    ("timezone", "zone"),
];

impl<'a> Explainer<'a> {
    /// An explainer of an instance that stands at `base`.
    pub(super) fn new(schema: &'a Json, node: &'a Node, base: &'a str, sources: &'a Sources) -> Self {
        let mut places = HashMap::new();
        index(node, node.span, String::new(), &mut places);
        Explainer { schema, node, base, sources, places }
    }

    fn find(&self, pointer: &str) -> Option<(&'a Node, Span)> {
        self.places.get(pointer).copied()
    }

    /// Reports all errors. What follows from another is left out: a missing key whose misspelling is there, a pattern that is
    /// only there for editors.
    pub(super) fn report(&self, errors: &[ValidationError<'_>], report: &mut Report) {
        let meant: BTreeSet<(String, String)> = errors.iter().flat_map(|error| self.keys_meant(error)).collect();
        let formats: BTreeSet<&str> = errors
            .iter()
            .filter(|error| matches!(error.kind(), Kind::Format { .. }))
            .map(|error| error.instance_path().as_str())
            .collect();
        // By the files themselves: an unclear text is not also of the wrong type.
        let unclear: Vec<bool> = errors.iter().map(|error| self.is_unclear(error, report)).collect();
        for (error, _) in errors.iter().zip(unclear).filter(|(_, unclear)| !unclear) {
            let pointer = error.instance_path().as_str();
            match error.kind() {
                Kind::Required { property } if meant.contains(&(pointer.to_owned(), text(property).to_owned())) => (),
                Kind::Pattern { .. } if formats.contains(pointer) => (),
                _ => self.explain(error, report),
            }
        }
    }

    /// Whether something else is wrong with the value that the error is about, and explains it.
    fn is_unclear(&self, error: &ValidationError<'_>, report: &Report) -> bool {
        let pointer = error.instance_path().as_str();
        let path = format!("{}{pointer}", self.base);
        let Some((node, _)) = self.find(pointer) else { return false };
        match error.kind() {
            Kind::PropertyNames { error } => {
                let key = error.instance();
                report.has_errors_under(&join(&path, text(key)))
            }
            Kind::Required { .. } => report.has_errors_under(&join(&path, "<<")),
            Kind::Type { .. } => report.has_errors_under(&path),
            _ => node.text().is_some() && report.has_errors_under(&path),
        }
    }

    /// The keys that unknown ones were probably meant to be, each with the pointer of its mapping.
    fn keys_meant(&self, error: &ValidationError<'_>) -> Vec<(String, String)> {
        let Some(unexpected) = unexpected(error.kind()) else { return Vec::new() };
        let known = self.keys_of(error);
        let meant = unexpected.iter().filter_map(|key| suggestion(key, &known));
        meant.map(|key| (error.instance_path().as_str().to_owned(), key.to_owned())).collect()
    }

    fn explain(&self, error: &ValidationError<'_>, report: &mut Report) {
        let pointer = error.instance_path().as_str();
        let Some((node, span)) = self.find(pointer) else { return };
        if matches!(node.value, Value::Text(Text { origin: Origin::Secret(_), .. })) {
            return;
        }
        let path = format!("{}{pointer}", self.base);
        let at = || self.top_or(span, &path).at(path.clone());
        let name = named(&path);
        let parent = self.parent(error);
        match error.kind() {
            Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
                self.unknown_keys(node, &path, unexpected, &self.keys_of(error), report);
            }
            Kind::Required { property } => report.add(at(), self.missing(&path, text(property), parent)),
            Kind::Type { kind } => report.add(at(), self.wrong_type(node, &name, parent, kind)),
            Kind::Enum { options } => {
                let options: Vec<String> = options.as_array().into_iter().flatten().map(shown).collect();
                report.add(at(), unknown_value(node, &name, &options));
            }
            Kind::Constant { expected_value } if path == "/version" => report.add(at(), version(node, expected_value)),
            Kind::Constant { expected_value } => report.add(at(), unknown_value(node, &name, &[shown(expected_value)])),
            Kind::Format { format } => {
                malformed(node, &name, format).into_iter().for_each(|problem| report.add(at(), problem));
            }
            Kind::Pattern { pattern } => report.add(at(), self.mismatch(node, &name, pattern, parent)),
            Kind::PropertyNames { error } => self.wrong_name(node, &path, error, report),
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => self.no_branch(node, &path, pointer, context, report),
            _ => report.add(at(), out_of_bounds(error, &name)),
        }
    }

    /// The schema that the failed keyword stands in.
    fn parent(&self, error: &ValidationError<'_>) -> &Json {
        let keyword = error.schema_path().as_str();
        let parent = keyword.rsplit_once('/').map_or("", |(parent, _)| parent);
        self.schema.pointer(parent).unwrap_or(&Json::Null)
    }

    fn keys_of(&self, error: &ValidationError<'_>) -> Vec<&str> {
        self.parent(error)
            .get("properties")
            .and_then(Json::as_object)
            .into_iter()
            .flat_map(|keys| keys.keys().map(String::as_str))
            .collect()
    }

    /// The span to show; of the whole configuration, its first line.
    fn top_or(&self, span: Span, path: &str) -> Span {
        if path.is_empty() { Span::top(span.file) } else { span }
    }

    fn unknown_keys(&self, node: &Node, path: &str, unexpected: &[String], known: &[&str], report: &mut Report) {
        let free: Vec<&str> = known.iter().copied().filter(|key| node.get(key).is_none()).collect();
        for key in unexpected {
            let Some(entry) = node.entry(key) else { continue };
            let place = if path.is_empty() { String::new() } else { format!(" in `{}`", dotted(path)) };
            let mut problem = Problem::error(Code::CONFIG_UNKNOWN_KEY, format!("unknown key `{}`{place}", Excerpt(key)));
            if !known.is_empty() {
                problem = problem.expected(one_of(if free.is_empty() { known } else { &free }));
            }
            if let Some(section) = self.section_left_empty(path, entry.span) {
                problem = problem.hint(format!("if it belongs to `{section}`, indent it and what is under it"));
            } else if let Some(meant) = suggestion(key, known) {
                let already = if node.get(meant).is_some() { ", which is there already" } else { "" };
                problem = problem.hint(format!("did you mean `{meant}`{already}?"));
            }
            report.add(entry.span.at(join(path, key)), problem);
        }
    }

    /// The section just above a line at the top, where it has no content: the line was probably meant to be in it.
    fn section_left_empty(&self, path: &str, span: Span) -> Option<&str> {
        if !path.is_empty() {
            return None;
        }
        let above = self.node.entries().iter().filter(|entry| entry.span.file == span.file && entry.span.start < span.start);
        let above = above.max_by_key(|entry| entry.span.start)?;
        let is_section = spec::NAMED_SECTIONS.contains(&&*above.key);
        (is_section && above.node.was_left_empty()).then_some(&*above.key)
    }

    fn missing(&self, path: &str, key: &str, parent: &Json) -> Problem {
        if join(path, key) == "/version" {
            return Problem::error(Code::CONFIG_VERSION, "the workspace does not say which version of the format it is in")
                .hint("write `version: 1` as the first line of `weft.yaml`");
        }
        let place = if path.is_empty() { "the workspace".into() } else { format!("`{}`", dotted(path)) };
        let schema = parent.get("properties").and_then(|keys| keys.get(key)).unwrap_or(&Json::Null);
        let problem = Problem::error(Code::CONFIG_MISSING_KEY, format!("the key `{}` is missing in {place}", Excerpt(key)));
        match self.describe(schema) {
            Some(wanted) => problem.expected(format!("{}: {wanted}", Excerpt(key))),
            None => problem,
        }
    }

    fn wrong_type(&self, node: &Node, name: &str, parent: &Json, kind: &TypeKind) -> Problem {
        let types: Vec<&str> = match kind {
            TypeKind::Single(one) => vec![one.as_str()],
            TypeKind::Multiple(several) => several.iter().map(|one| one.as_str()).collect(),
        };
        let wanted = self.describe(parent).unwrap_or_else(|| types.iter().map(|one| noun(one)).collect::<Vec<_>>().join(" or "));
        let problem = Problem::error(Code::CONFIG_WRONG_TYPE, format!("{name} is {}", node.value.noun())).expected(wanted);
        match self.type_hint(node, &types, parent) {
            Some(hint) => problem.hint(hint),
            None => problem,
        }
    }

    /// The slip that usually leads to a value of the wrong type.
    fn type_hint(&self, node: &Node, types: &[&str], parent: &Json) -> Option<String> {
        let wants = |name: &str| types.contains(&name);
        let unit = match parent.get("format").and_then(Json::as_str) {
            Some("weft-duration") => Some("s"),
            Some("weft-size") => Some(" MiB"),
            Some("weft-rate") => Some("/min"),
            _ => None,
        };
        let written = self.written(node);
        let known = parent.get("format").and_then(Json::as_str).and_then(format::find);
        match &node.value {
            Value::Null if wants("string") && !written.is_empty() => Some(format!("put it in quotes: \"{written}\"")),
            Value::Null if self.comment_follows(node) => {
                Some("a `#` after a space begins a comment: put a text with a `#` in quotes".into())
            }
            Value::Null => Some("write a value, or leave it out altogether".into()),
            Value::Number(_) | Value::Bool(_) if known.is_some_and(|known| known.name == "secret") => {
                Some("put it in quotes".into())
            }
            Value::Number(_) if wants("string") => Some(match (unit, known.and_then(|known| (known.check)(&written).err())) {
                (Some(unit), _) => format!("add the unit: `{written}{unit}`"),
                (None, Some(wrong)) => wrong.rsplit_once(": ").map_or(&*wrong, |(_, advice)| advice).to_owned(),
                (None, None) => format!("put it in quotes: \"{written}\""),
            }),
            Value::Bool(_) if wants("string") => Some(format!("put it in quotes: \"{written}\"")),
            Value::Text(Text { text, .. }) if wants("boolean") => {
                let word = text.to_ascii_lowercase();
                let yes = matches!(&*word, "yes" | "on" | "true" | "y");
                let no = matches!(&*word, "no" | "off" | "false" | "n");
                (yes || no).then(|| format!("write `{yes}`, without quotes"))
            }
            Value::Text(Text { text, .. }) if wants("integer") || wants("number") => {
                let is_number = matches!(super::super::tree::scalar_value(text), Some(Value::Number(_)));
                is_number.then(|| "take the quotes away".into())
            }
            Value::Text(Text { text, .. }) if wants("array") => Some(format!("make it a list: [{}]", Excerpt(text))),
            Value::Text(Text { text, .. })
                if wants("object") && text.contains(':') && !text.contains(": ") && !text.contains("://") =>
            {
                Some("a space belongs after the colon".into())
            }
            Value::List(_) if wants("object") => {
                Some("take the `- ` away: it is a mapping, each name with a colon after it".into())
            }
            Value::Map(_) if wants("array") => Some("each item of a list begins with `- `".into()),
            _ => None,
        }
    }

    /// A scalar as it stands in the file.
    fn written(&self, node: &Node) -> String {
        let (start, end) = (node.span.start, node.span.end);
        let line = self.sources.line(node.span.file, start.line);
        let length = if start.line == end.line { end.column.saturating_sub(start.column) } else { 0 };
        line.chars().skip(start.column as usize - 1).take(length as usize).collect()
    }

    /// Whether there is nothing but a comment after the key of an empty value.
    fn comment_follows(&self, node: &Node) -> bool {
        let start = node.span.start;
        let line = self.sources.line(node.span.file, start.line);
        line.split_once(": ").is_some_and(|(_, rest)| rest.trim_start().starts_with('#') && !rest.trim_start().starts_with("# "))
    }

    fn mismatch(&self, node: &Node, name: &str, pattern: &str, parent: &Json) -> Problem {
        let shown = node.text().map(|text| format!("`{}` ", Excerpt(text))).unwrap_or_default();
        if pattern == spec::NAME_PATTERN {
            return not_a_name(node.text().unwrap_or_default());
        }
        let wanted = self
            .describe(parent)
            .filter(|_| parent.get("format").is_some())
            .or_else(|| parent.get("description").and_then(Json::as_str).map(as_noun));
        Problem::error(Code::CONFIG_BAD_VALUE, format!("{shown}is not well formed for {name}"))
            .expected(wanted.unwrap_or_else(|| format!("a text that matches `{pattern}`")))
    }

    fn wrong_name(&self, node: &Node, path: &str, error: &ValidationError<'_>, report: &mut Report) {
        let instance = error.instance();
        let key = instance.as_str().unwrap_or_default();
        let Some(entry) = node.entry(key) else { return };
        let problem = match error.kind() {
            Kind::Pattern { pattern } if pattern == spec::NAME_PATTERN => not_a_name(key),
            Kind::Pattern { pattern } if pattern == spec::connection::HEADER_PATTERN => {
                Problem::error(Code::CONFIG_NAME, format!("`{}` cannot be the name of a header", Excerpt(key)))
                    .expected("letters, digits and dashes, such as `X-Tenant`")
            }
            _ => Problem::error(Code::CONFIG_NAME, format!("the key `{}` is not allowed here", Excerpt(key)))
                .expected(error.masked_with("a key").to_string()),
        };
        report.add(entry.span.at(join(path, key)), problem);
    }

    /// Explains why no branch of a union fits: by the branch that was probably meant, or by all of them.
    fn no_branch(&self, node: &Node, path: &str, pointer: &str, context: &[Vec<ValidationError<'static>>], report: &mut Report) {
        let is_here = |error: &ValidationError<'_>| error.instance_path().as_str() == pointer;
        let other_kind = |error: &ValidationError<'_>| {
            let is_other = matches!(error.kind(), Kind::Type { .. } | Kind::Constant { .. } | Kind::Enum { .. });
            is_here(error) && (is_other || is_of_no_type(error))
        };
        let other_tag = |error: &ValidationError<'_>| {
            let inside = error.instance_path().as_str().strip_prefix(pointer).unwrap_or_default();
            inside.matches('/').count() == 1 && matches!(error.kind(), Kind::Constant { .. })
        };
        let right_kind: Vec<&Vec<_>> = context.iter().filter(|errors| !errors.iter().any(other_kind)).collect();
        let missing = |errors: &[ValidationError<'_>]| {
            errors.iter().any(|error| is_here(error) && matches!(error.kind(), Kind::Required { .. }))
        };
        let meant: Vec<&&Vec<_>> = right_kind.iter().filter(|errors| !errors.iter().any(other_tag) && !missing(errors)).collect();
        match (&meant[..], &right_kind[..]) {
            ([errors], _) => return self.report(errors, report),
            ([], [errors]) => return self.report(errors, report),
            _ => (),
        }
        // Every branch wants another constant under the same key: that key says which branch is meant.
        let by_tag: Vec<&ValidationError<'_>> =
            right_kind.iter().filter_map(|errors| errors.iter().find(|error| other_tag(error))).collect();
        let tag = by_tag.first().map(|error| error.instance_path().as_str());
        if let Some(tag) = tag
            && by_tag.len() == right_kind.len()
            && by_tag.iter().all(|error| error.instance_path().as_str() == tag)
            && let Some((node, span)) = self.find(tag)
        {
            let path = format!("{}{tag}", self.base);
            let options: Vec<String> = by_tag.iter().flat_map(|error| constants(error)).collect();
            return report.add(span.at(&path), unknown_value(node, &named(&path), &options));
        }
        let Some((_, span)) = self.find(pointer) else { return };
        let at = || span.at(path);
        let name = named(path);
        let tags = |errors: &Vec<ValidationError<'static>>| -> Vec<String> {
            let schema = errors.first().map(|error| self.parent(error)).unwrap_or(&Json::Null);
            schema
                .get("required")
                .and_then(Json::as_array)
                .into_iter()
                .flatten()
                .filter_map(Json::as_str)
                .map(str::to_owned)
                .collect()
        };
        let alternatives: BTreeSet<String> = right_kind.iter().flat_map(|errors| tags(errors)).collect();
        let alternatives: Vec<&str> = alternatives.iter().map(String::as_str).collect();
        if !right_kind.is_empty() && !alternatives.is_empty() {
            let unknown: Vec<String> =
                node.entries().iter().map(|entry| entry.key.clone()).filter(|key| !alternatives.contains(&&**key)).collect();
            let known = node.entries().iter().filter(|entry| alternatives.contains(&&*entry.key)).count();
            if known > 1 {
                let problem = Problem::error(Code::CONFIG_REFUSED, format!("{name} says several things that exclude each other"));
                return report.add(at(), problem.expected(one_of(&alternatives)));
            }
            if !unknown.is_empty() {
                return self.unknown_keys(node, path, &unknown, &alternatives, report);
            }
            let problem = Problem::error(Code::CONFIG_MISSING_KEY, format!("{name} is empty")).expected(one_of(&alternatives));
            return report.add(at(), problem);
        }
        // The branches are of other kinds: constants and types.
        let constants: Vec<String> = context.iter().flatten().filter(|error| is_here(error)).flat_map(constants).collect();
        let types: BTreeSet<String> =
            context.iter().flatten().filter(|error| is_here(error)).filter_map(|error| self.wanted_type(error)).collect();
        let required: Vec<Vec<String>> = context.iter().filter(|errors| errors.iter().any(other_kind)).map(&tags).collect();
        let shared = required.first().into_iter().flatten().find(|key| required.iter().all(|keys| keys.contains(key)));
        let tags: Vec<&String> = shared.map_or_else(|| required.iter().flatten().collect(), |key| vec![key]);
        if constants.is_empty() && types.iter().eq(["a mapping"]) && !tags.is_empty() {
            let problem = Problem::error(Code::CONFIG_WRONG_TYPE, format!("{name} is {}", node.value.noun()));
            return report.add(at(), problem.expected(format!("a mapping with {}", one_of(&tags))));
        }
        // A type that is made of constants has them named already.
        let types_beside = types.iter().filter(|noun| constants.is_empty() || !noun.starts_with('`'));
        let wanted: Vec<String> = constants.iter().map(|one| format!("`{one}`")).chain(types_beside.cloned()).collect();
        let problem = match (&node.value, constants.is_empty()) {
            (Value::Text(_), false) => unknown_value(node, &name, &constants),
            _ => Problem::error(Code::CONFIG_WRONG_TYPE, format!("{name} is {}", node.value.noun())),
        };
        let hint = match &node.value {
            Value::Text(Text { text, .. }) if types.contains("a list") && problem.hint.is_none() => {
                Some(format!("make it a list: [{}]", Excerpt(text)))
            }
            _ => None,
        };
        let problem = problem.expected(if types.is_empty() { one_of(&constants) } else { wanted.join(" or ") });
        report.add(
            at(),
            match hint {
                Some(hint) => problem.hint(hint),
                None => problem,
            },
        );
    }

    fn wanted_type(&self, error: &ValidationError<'_>) -> Option<String> {
        match error.kind() {
            Kind::Type { .. } => self.describe(self.parent(error)),
            _ => None,
        }
    }

    /// What a schema wants, as a noun with its article.
    fn describe(&self, schema: &Json) -> Option<String> {
        let mut schema = schema;
        for _ in 0..super::super::limits::SCHEMA_DEPTH_MAX {
            let Some(target) = schema.get("$ref").and_then(Json::as_str).and_then(|target| target.strip_prefix('#')) else {
                break;
            };
            schema = self.schema.pointer(target)?;
        }
        if let Some(value) = schema.get("const") {
            return Some(format!("`{}`", shown(value)));
        }
        if let Some(values) = schema.get("enum").and_then(Json::as_array) {
            let values: Vec<String> = values.iter().map(shown).collect();
            return Some(one_of(&values));
        }
        if let Some(format) = schema.get("format").and_then(Json::as_str).and_then(format::find) {
            return Some(format.noun.into());
        }
        match schema.get("type") {
            Some(Json::String(name)) => Some(noun(name).into()),
            Some(Json::Array(names)) => Some(names.iter().filter_map(Json::as_str).map(noun).collect::<Vec<_>>().join(" or ")),
            _ => {
                let branches = schema.get("anyOf").or_else(|| schema.get("oneOf"))?.as_array()?;
                let constants: Vec<String> = branches.iter().filter_map(|branch| branch.get("const")).map(shown).collect();
                if constants.len() == branches.len() {
                    return Some(one_of(&constants));
                }
                let nouns: Option<BTreeSet<String>> = branches
                    .iter()
                    .map(|branch| {
                        branch
                            .get("const")
                            .map(|value| format!("`{}`", shown(value)))
                            .or_else(|| Some(noun(branch.get("type")?.as_str()?).into()))
                    })
                    .collect();
                nouns.map(|nouns| nouns.into_iter().collect::<Vec<_>>().join(" or "))
            }
        }
    }
}

/// Whether a value is of no type that a union within a union wants.
fn is_of_no_type(error: &ValidationError<'_>) -> bool {
    match error.kind() {
        Kind::Type { .. } => true,
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            let here = error.instance_path().as_str();
            let is_here = |one: &ValidationError<'_>| one.instance_path().as_str() == here && is_of_no_type(one);
            context.iter().all(|errors| errors.iter().any(is_here))
        }
        _ => false,
    }
}

/// A description as the end of a sentence.
fn as_noun(description: &str) -> String {
    let text = description.trim().trim_end_matches('.');
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_lowercase().to_string()).unwrap_or_default();
    // A word in capitals stays one.
    if letters.clone().next().is_some_and(char::is_uppercase) { text.into() } else { format!("{first}{}", letters.as_str()) }
}

/// Every value by its pointer, with the span to show for it.
fn index<'a>(node: &'a Node, span: Span, pointer: String, places: &mut HashMap<String, (&'a Node, Span)>) {
    match &node.value {
        Value::Map(entries) => {
            for entry in entries {
                index(&entry.node, entry.node.shown(entry.span), join(&pointer, &entry.key), places);
            }
        }
        Value::List(items) => {
            for (place, item) in items.iter().enumerate() {
                index(item, item.span, join(&pointer, &place.to_string()), places);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => (),
    }
    places.insert(pointer, (node, span));
}

fn unexpected(kind: &Kind) -> Option<&[String]> {
    match kind {
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => Some(unexpected),
        _ => None,
    }
}

fn suggestion<'a>(key: &str, known: &[&'a str]) -> Option<&'a str> {
    let synonym = SYNONYMS.iter().filter(|(word, _)| *word == key).find_map(|(_, ours)| known.iter().find(|name| *name == ours));
    nearest(key, known.iter().copied()).or(synonym.copied())
}

fn version(node: &Node, expected: &Json) -> Problem {
    let problem = Problem::error(Code::CONFIG_VERSION, "this engine does not read this version of the format")
        .expected(format!("`{}`", shown(expected)));
    match node.text() {
        Some("1") => problem.hint("take the quotes away"),
        _ => problem,
    }
}

fn unknown_value(node: &Node, name: &str, options: &[String]) -> Problem {
    let Some(text) = node.text() else {
        return Problem::error(Code::CONFIG_WRONG_TYPE, format!("{name} is {}", node.value.noun())).expected(one_of(options));
    };
    let problem =
        Problem::error(Code::CONFIG_UNKNOWN_VALUE, format!("{name} cannot be `{}`", Excerpt(text))).expected(one_of(options));
    match nearest(text, options.iter().map(String::as_str)) {
        Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
        None => problem,
    }
}

/// All that is wrong with a text for its format.
fn malformed(node: &Node, name: &str, format: &str) -> Vec<Problem> {
    let text = node.text().unwrap_or_default();
    match format::find(format) {
        Some(known) => {
            let wrong = (known.check)(text).err().unwrap_or_else(|| format!("{name} is not well formed"));
            let problem = |message: &str| {
                let problem = Problem::error(Code::CONFIG_BAD_VALUE, message).expected(known.noun);
                match format::meant(format, text) {
                    Some(meant) => problem.hint(format!("did you mean `{meant}`?")),
                    None => problem,
                }
            };
            wrong.lines().map(problem).collect()
        }
        None => {
            let noun = match format {
                "date-time" => "a time, such as `2026-03-01T09:30:00Z`".to_owned(),
                "date" => "a date, such as `2026-03-01`".to_owned(),
                "email" => "an e-mail address".to_owned(),
                "uri" => "an address, such as `https://example.com/`".to_owned(),
                other => format!("a text of the format `{}`", Excerpt(other)),
            };
            let message = format!("`{}` is not well formed for {name}", Excerpt(text));
            vec![Problem::error(Code::CONFIG_BAD_VALUE, message).expected(noun)]
        }
    }
}

fn not_a_name(name: &str) -> Problem {
    let problem = Problem::error(Code::CONFIG_NAME, format!("`{}` cannot be a name", Excerpt(name)))
        .expected("a lower case letter, then lower case letters, digits, `-` and `_`, to 63");
    let slug: String = name
        .to_lowercase()
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || letter == '_' { letter } else { '-' })
        .collect();
    let slug = slug
        .trim_matches(|letter: char| !letter.is_ascii_alphanumeric())
        .trim_start_matches(|letter: char| !letter.is_ascii_lowercase());
    if slug.is_empty() || slug.len() > 63 { problem } else { problem.hint(format!("write `{slug}`")) }
}

/// Errors about how much or how many, and what is left.
fn out_of_bounds(error: &ValidationError<'_>, name: &str) -> Problem {
    let range = |message: String| Problem::error(Code::CONFIG_OUT_OF_RANGE, message);
    let counted = |count: u64, noun: &str| if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") };
    match error.kind() {
        Kind::Minimum { limit } => range(format!("{name} is too small")).expected(format!("at least {limit}")),
        Kind::Maximum { limit } => range(format!("{name} is too large")).expected(format!("at most {limit}")),
        Kind::ExclusiveMinimum { limit } => range(format!("{name} is too small")).expected(format!("more than {limit}")),
        Kind::ExclusiveMaximum { limit } => range(format!("{name} is too large")).expected(format!("less than {limit}")),
        Kind::MinLength { limit: 1 } => range(format!("{name} is an empty text")),
        Kind::MinLength { limit } => {
            range(format!("{name} is too short")).expected(format!("at least {}", counted(*limit, "character")))
        }
        Kind::MaxLength { limit } => {
            range(format!("{name} is too long")).expected(format!("at most {}", counted(*limit, "character")))
        }
        Kind::MinItems { limit: 1 } => range(format!("{name} is an empty list")).expected("one item or more"),
        Kind::MinItems { limit } => range(format!("{name} has too few items")).expected(format!("at least {limit}")),
        Kind::MaxItems { limit } => range(format!("{name} has too many items")).expected(format!("at most {limit}")),
        Kind::AdditionalItems { limit } => range(format!("{name} has too many items")).expected(format!("at most {limit}")),
        Kind::MinProperties { limit: 1 } => range(format!("{name} is an empty mapping")).expected("one key or more"),
        Kind::MinProperties { limit } => range(format!("{name} has too few keys")).expected(format!("at least {limit}")),
        Kind::MaxProperties { limit } => range(format!("{name} has too many keys")).expected(format!("at most {limit}")),
        Kind::UniqueItems => Problem::error(Code::CONFIG_REFUSED, format!("{name} holds the same item twice")),
        Kind::FalseSchema => Problem::error(Code::CONFIG_REFUSED, format!("{name} may not be set")),
        Kind::OneOfMultipleValid { .. } => {
            Problem::error(Code::CONFIG_REFUSED, format!("{name} fits several alternatives at once"))
        }
        kind => Problem::error(Code::CONFIG_REFUSED, format!("{name} breaks the rule `{}` of its schema", kind.keyword())),
    }
}

fn constants(error: &ValidationError<'_>) -> Vec<String> {
    match error.kind() {
        Kind::Constant { expected_value } => vec![shown(expected_value)],
        Kind::Enum { options } => options.as_array().into_iter().flatten().map(shown).collect(),
        _ => Vec::new(),
    }
}

/// A value of a schema, as one would write it.
fn shown(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn text(value: &Json) -> &str {
    value.as_str().unwrap_or_default()
}

fn noun(json_type: &str) -> &'static str {
    match json_type {
        "string" => "a text",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "`true` or `false`",
        "array" => "a list",
        "object" => "a mapping",
        _ => "nothing",
    }
}

pub(in super::super) fn one_of(names: &[impl AsRef<str>]) -> String {
    let listed: Vec<String> = names.iter().take(LISTED_MAX).map(|name| format!("`{}`", name.as_ref())).collect();
    let more = if names.len() > LISTED_MAX { ", …" } else { "" };
    if let [only] = &listed[..] { only.clone() } else { format!("one of {}{more}", listed.join(", ")) }
}

/// What a pointer names, as the subject of a sentence.
fn named(path: &str) -> String {
    let Some((parent, last)) = path.rsplit_once('/') else { return "the workspace".into() };
    match last.parse::<usize>() {
        Ok(place) if !parent.is_empty() => format!("item {} of `{}`", place + 1, dotted(parent)),
        _ => format!("`{}`", dotted(path)),
    }
}

/// A pointer as people write it: `sources.web.config`, `tests[2].given`.
pub(in super::super) fn dotted(path: &str) -> String {
    let mut out = String::new();
    for step in path.split('/').skip(1) {
        let step = step.replace("~1", "/").replace("~0", "~");
        match step.parse::<usize>() {
            Ok(place) if !out.is_empty() => out.push_str(&format!("[{place}]")),
            _ if out.is_empty() => out.push_str(&step),
            _ => {
                out.push('.');
                out.push_str(&step);
            }
        }
    }
    Excerpt(&out).to_string()
}
