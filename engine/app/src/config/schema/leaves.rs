//! Which texts of an instance a schema gives a format to.
//!
//! `jsonschema` says whether an instance is valid; this says what a valid one means. Where a schema leaves it open (a union
//! whose branches all fit, a pattern of keys), every format that may apply is given: a text that may be a secret is one.
//! The instance is bounded; the schema is a plugin's, so the depth and the steps of the walk are bounded too.

use std::cell::Cell;

use serde_json::{Map, Value as Json};

use super::super::limits;
use super::super::source::join;
use super::super::tree::{Node, Value};

/// A scalar and a format that the schema gives it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) struct Leaf {
    /// A JSON pointer into the instance.
    pub pointer: String,
    /// The format.
    pub format: String,
}

/// Every text with a format, sorted, none twice.
pub(super) fn find(root: &Json, node: &Node) -> Result<Vec<Leaf>, String> {
    let mut walk = Walk { root, found: Vec::new(), steps: Cell::new(0) };
    walk.visit(root, node, "", 0)?;
    walk.found.sort();
    walk.found.dedup();
    Ok(walk.found)
}

/// Refuses references that this walk does not follow, and that would hide a secret from it.
pub(super) fn check_supported(schema: &Json) -> Result<(), String> {
    fn visit(schema: &Json, is_root: bool) -> Result<(), String> {
        let Json::Object(object) = schema else {
            return schema.as_array().into_iter().flatten().try_for_each(|item| visit(item, false));
        };
        for (key, value) in object {
            match (&**key, value.as_str()) {
                ("$ref", Some(target)) if target != "#" && !target.starts_with("#/") => {
                    return Err(format!("it refers to `{target}`, and only references within the schema (`#/…`) are followed"));
                }
                ("$dynamicRef" | "$recursiveRef", Some(_)) => return Err(format!("it uses `{key}`, which is not supported")),
                ("$id", Some(_)) if !is_root => {
                    return Err("it has a schema with an `$id` of its own inside, which is not supported".into());
                }
                _ => visit(value, false)?,
            }
        }
        Ok(())
    }
    visit(schema, true)
}

struct Walk<'a> {
    root: &'a Json,
    found: Vec<Leaf>,
    steps: Cell<usize>,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, schema: &'a Json, node: &Node, pointer: &str, depth: usize) -> Result<(), String> {
        if depth > limits::SCHEMA_DEPTH_MAX || !self.steps_left() {
            return Err("its schemas refer to each other too deeply".into());
        }
        let Json::Object(object) = schema else { return Ok(()) };
        if let (Value::Text(_) | Value::Number(_) | Value::Bool(_), Some(format)) =
            (&node.value, object.get("format").and_then(Json::as_str))
        {
            self.found.push(Leaf { pointer: pointer.to_owned(), format: format.to_owned() });
        }
        self.visit_same(object, node, pointer, depth + 1)?;
        match &node.value {
            Value::Map(entries) => {
                for entry in entries {
                    let inside = join(pointer, &entry.key);
                    for schema in of_key(object, &entry.key) {
                        self.visit(schema, &entry.node, &inside, depth + 1)?;
                    }
                }
            }
            Value::List(items) => {
                for (place, item) in items.iter().enumerate() {
                    let inside = join(pointer, &place.to_string());
                    for schema in of_item(object, place) {
                        self.visit(schema, item, &inside, depth + 1)?;
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) => (),
        }
        Ok(())
    }

    fn steps_left(&self) -> bool {
        self.steps.set(self.steps.get() + 1);
        self.steps.get() <= limits::SCHEMA_STEPS_MAX
    }

    /// Schemas that apply to the same part of the instance.
    fn visit_same(&mut self, object: &'a Map<String, Json>, node: &Node, pointer: &str, depth: usize) -> Result<(), String> {
        if let Some(target) = object.get("$ref").and_then(Json::as_str).and_then(|target| target.strip_prefix('#'))
            && let Some(schema) = self.root.pointer(target)
        {
            self.visit(schema, node, pointer, depth)?;
        }
        for schema in object.get("allOf").and_then(Json::as_array).into_iter().flatten() {
            self.visit(schema, node, pointer, depth)?;
        }
        for union in ["anyOf", "oneOf"] {
            let Some(branches) = object.get(union).and_then(Json::as_array) else { continue };
            let any = branches.iter().any(|branch| self.is_plausible(branch, node, 0));
            for branch in branches {
                if !any || self.is_plausible(branch, node, 0) {
                    self.visit(branch, node, pointer, depth)?;
                }
            }
        }
        if let Some(condition) = object.get("if") {
            let branch = if self.is_plausible(condition, node, 0) { "then" } else { "else" };
            self.visit(condition, node, pointer, depth)?;
            if let Some(schema) = object.get(branch) {
                self.visit(schema, node, pointer, depth)?;
            }
        }
        for (key, schema) in object.get("dependentSchemas").and_then(Json::as_object).into_iter().flatten() {
            if node.get(key).is_some() {
                self.visit(schema, node, pointer, depth)?;
            }
        }
        Ok(())
    }

    /// Whether a part of the instance could be meant for a schema: by its type, its constants and its keys.
    fn is_plausible(&self, schema: &Json, node: &Node, depth: usize) -> bool {
        let Json::Object(object) = schema else { return schema != &Json::Bool(false) };
        if depth > limits::SCHEMA_DEPTH_MAX || !self.steps_left() {
            return true;
        }
        if let Some(target) = object.get("$ref").and_then(Json::as_str).and_then(|target| target.strip_prefix('#'))
            && let Some(schema) = self.root.pointer(target)
            && !self.is_plausible(schema, node, depth + 1)
        {
            return false;
        }
        let names: &[&str] = match &node.value {
            Value::Null => &["null"],
            Value::Bool(_) => &["boolean"],
            Value::Number(_) => &["number", "integer"],
            Value::Text(_) => &["string"],
            Value::List(_) => &["array"],
            Value::Map(_) => &["object"],
        };
        let is_type = |name: &Json| name.as_str().is_some_and(|name| names.contains(&name));
        let fits_type = match object.get("type") {
            Some(Json::Array(names)) => names.iter().any(is_type),
            Some(name) => is_type(name),
            None => true,
        };
        let fits_const = object.get("const").is_none_or(|value| *value == node.to_json());
        let fits_enum = object.get("enum").and_then(Json::as_array).is_none_or(|values| values.contains(&node.to_json()));
        let required = object.get("required").and_then(Json::as_array);
        let has = |key: &Json| key.as_str().is_none_or(|key| node.get(key).is_some());
        let fits_required = !matches!(node.value, Value::Map(_)) || required.is_none_or(|keys| keys.iter().all(has));
        let properties = object.get("properties").and_then(Json::as_object);
        let is_constant = |schema: &&Json| schema.get("const").is_some() || schema.get("enum").is_some();
        let fits_properties = node.entries().iter().all(|entry| {
            let schema = properties.and_then(|properties| properties.get(&entry.key)).filter(is_constant);
            schema.is_none_or(|schema| self.is_plausible(schema, &entry.node, depth + 1))
        });
        fits_type && fits_const && fits_enum && fits_required && fits_properties
    }
}

/// The schemas of a key's value. A pattern of keys is taken to fit.
fn of_key<'a>(object: &'a Map<String, Json>, key: &str) -> Vec<&'a Json> {
    let named = object.get("properties").and_then(|properties| properties.get(key));
    let patterns = object.get("patternProperties").and_then(Json::as_object).into_iter().flat_map(Map::values);
    let others = ["additionalProperties", "unevaluatedProperties"].into_iter().filter_map(|keyword| object.get(keyword));
    let others = others.filter(|_| named.is_none());
    named.into_iter().chain(patterns).chain(others).collect()
}

/// The schemas of an item.
fn of_item(object: &Map<String, Json>, place: usize) -> Vec<&Json> {
    let prefix = object.get("prefixItems").and_then(Json::as_array);
    if let Some(schema) = prefix.and_then(|schemas| schemas.get(place)) {
        return vec![schema];
    }
    ["items", "contains", "unevaluatedItems"].into_iter().filter_map(|keyword| object.get(keyword)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::source::{Report, Sources};
    use super::super::super::tree;
    use super::*;
    use serde_json::json;

    /// The pointers of the texts that a schema calls secrets.
    fn check(schema: Json, yaml: &str, want: &[&str]) {
        let mut sources = Sources::default();
        let file = sources.add("weft.yaml".into(), yaml.into());
        let node = tree::parse(file, yaml, &mut Default::default(), &mut Report::default()).expect("parses");
        let found = find(&schema, &node).expect("ends");
        let secrets: Vec<&str> = found.iter().filter(|leaf| leaf.format == "secret").map(|leaf| &*leaf.pointer).collect();
        assert_eq!(secrets, want, "{schema}");
    }

    #[test]
    fn a_secret_is_found_wherever_a_schema_can_put_it() {
        let secret = json!({ "type": "string", "format": "secret" });
        check(json!({ "properties": { "a": secret } }), "a: x", &["/a"]);
        check(json!({ "properties": { "a": { "$ref": "#/$defs/s" } }, "$defs": { "s": secret } }), "a: x", &["/a"]);
        check(json!({ "properties": { "a": { "items": secret } } }), "a: [x, y]", &["/a/0", "/a/1"]);
        check(json!({ "properties": { "a": { "prefixItems": [true, secret] } } }), "a: [x, y, z]", &["/a/1"]);
        check(json!({ "additionalProperties": { "additionalProperties": secret } }), "a: { b/c: x }", &["/a/b~1c"]);
        check(json!({ "patternProperties": { "^a": secret } }), "a: x", &["/a"]);
        check(json!({ "allOf": [{ "properties": { "a": secret } }] }), "a: x", &["/a"]);
        check(
            json!({ "if": { "properties": { "b": { "const": 1 } } }, "then": { "properties": { "a": secret } } }),
            "{a: x, b: 1}",
            &["/a"],
        );
        check(
            json!({ "if": { "properties": { "b": { "const": 1 } } }, "then": { "properties": { "a": secret } } }),
            "{a: x, b: 2}",
            &[],
        );
        check(json!({ "dependentSchemas": { "b": { "properties": { "a": secret } } } }), "{a: x, b: 2}", &["/a"]);
    }

    #[test]
    fn a_union_takes_the_branch_that_fits_and_all_where_none_does() {
        let secret = json!({ "type": "string", "format": "secret" });
        let branch =
            |kind: &str, schema: &Json| json!({ "properties": { "kind": { "const": kind }, "a": schema }, "required": ["kind"] });
        let union = json!({ "oneOf": [branch("open", &json!({ "type": "string" })), branch("closed", &secret)] });
        check(union.clone(), "{kind: open, a: x}", &[]);
        check(union.clone(), "{kind: closed, a: x}", &["/a"]);
        check(union, "{kind: other, a: x}", &["/a"]);
        check(json!({ "properties": { "a": { "anyOf": [secret, { "type": "array", "items": secret }] } } }), "a: [x]", &["/a/0"]);
    }
}
