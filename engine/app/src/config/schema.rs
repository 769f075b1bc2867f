//! Checking a part of the tree against a JSON Schema (2020-12), with every error at its place in the file.
//!
//! The same for the workspace's own schema and for those of plugins. Validation is `jsonschema`'s; here its errors become
//! problems (`schema/explain.rs`), our formats are known (`schema/format.rs`), and it is found out which texts are of which
//! format (`schema/leaves.rs`), so that a secret ends where its schema says that it is one.

mod explain;
mod format;
mod leaves;

use std::collections::BTreeSet;

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::types::JsonType;
use jsonschema::{Draft, PatternOptions, ValidationError, Validator};

use super::source::{Report, Sources};
use super::tree::{Node, Origin, Text, Value};

pub(super) use explain::{dotted, one_of};
pub(super) use format::{time_of_day, token_url, url};
pub(super) use leaves::Leaf;

/// A schema that is ready to check with.
pub(super) struct Schema {
    root: serde_json::Value,
    validator: Validator,
}

impl Schema {
    /// Makes a schema ready. Nothing is fetched: it must be whole.
    ///
    /// # Errors
    /// What is wrong with the schema, for its author.
    pub(super) fn compile(root: serde_json::Value) -> Result<Self, String> {
        leaves::check_supported(&root)?;
        let mut options = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .should_validate_formats(true)
            .should_ignore_unknown_formats(true);
        for format in format::ALL {
            options = options.with_format(format.name, |text: &str| (format.check)(text).is_ok());
        }
        // Linear in the text, whatever a plugin's author wrote.
        let options = options.with_pattern_options(PatternOptions::regex());
        let validator = options.build(&root).map_err(|error| match error.instance_path().as_str() {
            "" => error.to_string(),
            place => format!("at `{place}`: {error}"),
        })?;
        Ok(Schema { root, validator })
    }

    /// Checks a part of the tree that stands at `base`, and reports all that is wrong with it. What came from the
    /// environment becomes a number or a truth value where one is wanted.
    pub(super) fn check(&self, node: &mut Node, base: &str, sources: &Sources, report: &mut Report) {
        let coerced = {
            let instance = node.to_json();
            let errors: Vec<_> = self.validator.iter_errors(&instance).collect();
            self.coerce(node, &errors)
        };
        let instance = node.to_json();
        if !coerced && self.validator.is_valid(&instance) {
            return;
        }
        let errors: Vec<_> = self.validator.iter_errors(&instance).collect();
        explain::Explainer::new(&self.root, node, base, sources).report(&errors, report);
    }

    /// The formats that the schema gives to texts of this part of the tree.
    ///
    /// # Errors
    /// Where the schema is too deep to say.
    pub(super) fn formats(&self, node: &Node) -> Result<Vec<Leaf>, String> {
        leaves::find(&self.root, node)
    }

    /// Whether anything was changed.
    fn coerce(&self, node: &mut Node, errors: &[ValidationError<'_>]) -> bool {
        let mut from_environment = BTreeSet::new();
        node.scalars("", &mut |pointer, scalar| {
            if matches!(&scalar.value, Value::Text(Text { origin: Origin::Environment, .. })) {
                from_environment.insert(pointer.to_owned());
            }
        });
        let mut changed = false;
        for error in errors.iter().filter(|error| from_environment.contains(error.instance_path().as_str())) {
            let ValidationErrorKind::Type { kind } = error.kind() else { continue };
            let wants = |one: JsonType| match kind {
                TypeKind::Single(single) => *single == one,
                TypeKind::Multiple(several) => several.contains(one),
            };
            let Some(found) = node.find_mut(error.instance_path().as_str()) else { continue };
            let Value::Text(Text { text, origin: Origin::Environment }) = &found.value else { continue };
            let value = match super::tree::scalar_value(text) {
                Some(value @ Value::Bool(_)) if wants(JsonType::Boolean) => value,
                Some(value @ Value::Number(_)) if wants(JsonType::Number) || wants(JsonType::Integer) => value,
                _ => continue,
            };
            found.value = value;
            changed = true;
        }
        changed
    }
}

/// A name without what is easily written in another way.
pub(super) fn folded(name: &str) -> String {
    name.to_lowercase().replace(['-', '_', ' ', '.'], "")
}

/// The name among some that a wrong one was probably meant to be.
pub(crate) fn nearest<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wrong_folded = folded(wrong);
    let room = (wrong_folded.chars().count() / 3).clamp(1, 3);
    let distance = |name: &str| strsim::damerau_levenshtein(&folded(name), &wrong_folded);
    let close =
        names.into_iter().map(|name| (distance(name), name)).filter(|(distance, name)| *distance <= room && *name != wrong);
    close.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name() {
        let check = |wrong: &str, want: Option<&str>| {
            assert_eq!(nearest(wrong, ["plugin", "connection", "config", "base_url", "on_error"]), want, "{wrong}");
        };
        check("pulgin", Some("plugin"));
        check("plugins", Some("plugin"));
        check("baseUrl", Some("base_url"));
        check("on-error", Some("on_error"));
        check("conection", Some("connection"));
        check("url", None);
        check("something", None);
    }

    #[test]
    fn a_schema_that_refers_to_the_outside_or_is_none_is_refused() {
        let check = |schema: serde_json::Value, want: &str| {
            let error = Schema::compile(schema).err().expect("refused");
            assert!(error.contains(want), "{error}");
        };
        check(serde_json::json!({ "$ref": "https://example.com/schema.json" }), "https://example.com");
        check(serde_json::json!({ "type": "strnig" }), "strnig");
        check(serde_json::json!({ "$ref": "#/$defs/missing" }), "missing");
        check(serde_json::json!({ "properties": { "a": { "pattern": "(" } } }), "(");
    }

    #[test]
    fn a_schema_that_goes_round_in_circles_ends() {
        let check = |schema: serde_json::Value| {
            let mut sources = Sources::default();
            let file = sources.add("weft.yaml".into(), "a: { b: [c] }".into());
            let mut report = Report::default();
            let mut node =
                super::super::tree::parse(file, sources.text(file), &mut Default::default(), &mut report).expect("parses");
            if let Ok(schema) = Schema::compile(schema) {
                schema.check(&mut node, "", &sources, &mut report);
                let _ = schema.formats(&node);
            }
        };
        check(serde_json::json!({ "$ref": "#" }));
        check(serde_json::json!({ "allOf": [{ "$ref": "#" }, { "$ref": "#" }] }));
        check(
            serde_json::json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "$ref": "#/$defs/a" } } }),
        );
        check(serde_json::json!({ "additionalProperties": { "$ref": "#" }, "items": { "$ref": "#" } }));
    }
}
