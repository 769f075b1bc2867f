//! `weft plugin inspect`: what a plugin says of itself, and what its file says of it.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use weft_host::{Kind, Plugin};

use super::{Named, load, read};
use crate::command::{Failed, Output, print};
use crate::conformance::shown_size;
use crate::signature::{self, PublicKey};

/// What to look at.
#[derive(clap::Args)]
pub(in crate::command) struct Inspect {
    #[command(flatten)]
    named: Named,
    /// Show its documentation and examples too.
    #[arg(long)]
    docs: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(inspect: Inspect) -> Result<(), Failed> {
    let file = inspect.named.file()?;
    let signers = signature::signers(&read(&file)?).unwrap_or_default();
    let plugin = load(&file).await?;
    print(&match Output::of(inspect.json) {
        Output::Json => serde_json::to_string_pretty(&serde_json::json!({
            "file": file,
            "bytes": plugin.bytes(),
            "digest": format!("sha256:{}", plugin.digest()),
            "signed_by": signers.iter().map(PublicKey::to_string).collect::<Vec<_>>(),
            "imports": plugin.imports(),
            "limits": limits(&plugin).into_iter().collect::<Map<String, Value>>(),
            "manifest": plugin.manifest(),
        }))?,
        Output::People => text(&plugin, &signers, inspect.docs),
    });
    Ok(())
}

fn limits(plugin: &Plugin) -> Vec<(String, Value)> {
    let limits = plugin.limits();
    [
        ("memory_bytes", limits.memory_bytes),
        ("call_ms", limits.call_ms),
        ("batch_records", limits.batch_records.into()),
        ("batch_bytes", limits.batch_bytes),
        ("body_bytes", limits.body_bytes),
    ]
    .map(|(name, limit)| (name.to_owned(), Value::from(limit)))
    .to_vec()
}

fn text(plugin: &Plugin, signers: &[PublicKey], docs: bool) -> String {
    let manifest = plugin.manifest();
    let mut out = format!("{} {}, a {}: {}\n\n", manifest.name, manifest.version, manifest.kind, manifest.summary);
    let mut line = |name: &str, value: String| {
        writeln!(out, "{name:<12} {value}").expect("a string takes everything");
    };
    line("file", format!("{}, {}", plugin.path().display(), shown_size(plugin.bytes())));
    line("digest", format!("sha256:{}", plugin.digest()));
    match signers {
        [] => line("signed by", "nobody".into()),
        signers => signers.iter().for_each(|key| line("signed by", key.to_string())),
    }
    line("contract", manifest.contract.clone());
    let imports: Vec<&str> = plugin.imports().iter().map(|import| interface(import)).collect();
    line("imports", if imports.is_empty() { "nothing".into() } else { imports.join(", ") });
    let wants: Vec<&str> = manifest.capabilities.iter().map(|capability| capability.name()).collect();
    line("wants", if wants.is_empty() { "nothing but to log".into() } else { wants.join(", ") });
    match manifest.kind {
        Kind::Source => line("reads", words(&manifest.reads)),
        Kind::Destination => line("accepts", words(&manifest.accepts)),
        Kind::Transform => {}
    }
    let limits = plugin.limits();
    line("memory", format!("to {}", shown_size(limits.memory_bytes)));
    line("a call", format!("to {} ms", limits.call_ms));
    match manifest.kind {
        Kind::Source => line("a body", format!("to {}", shown_size(limits.body_bytes))),
        Kind::Transform | Kind::Destination => {
            line("a batch", format!("to {} records, {}", limits.batch_records, shown_size(limits.batch_bytes)));
        }
    }
    line("instances", if manifest.reuse { "serve many calls".into() } else { "are fresh for each call".into() });
    out.push_str("\nconfig:\n");
    let options = options(&manifest.config);
    out.push_str(if options.is_empty() { "  nothing to say\n" } else { &options });
    if docs {
        for example in &manifest.examples {
            let config = serde_json::to_string_pretty(&example.config).unwrap_or_default().replace('\n', "\n  ");
            write!(out, "\nexample: {}\n  {config}\n", example.title).expect("a string takes everything");
        }
        if let Some(docs) = &manifest.docs {
            write!(out, "\n{docs}").expect("a string takes everything");
        }
    } else if manifest.docs.is_some() || !manifest.examples.is_empty() {
        let examples = match manifest.examples.len() {
            0 => "documentation".to_owned(),
            1 => "an example and documentation".to_owned(),
            count => format!("{count} examples and documentation"),
        };
        writeln!(out, "\n{examples}: --docs").expect("a string takes everything");
    }
    out
}

fn words(list: &[impl serde::Serialize]) -> String {
    let names: Vec<String> =
        list.iter().map(|one| serde_json::to_value(one).unwrap_or_default()).map(|one| plain(&one)).collect();
    names.join(", ")
}

/// `weft:plugin/http@1.0.0` is `http`.
fn interface(import: &str) -> &str {
    let name = import.rsplit_once('/').map_or(import, |(_, name)| name);
    name.split_once('@').map_or(name, |(name, _)| name)
}

/// How deep options are shown; beneath that the schema itself is to be looked at (`--json`).
const DEPTH_MAX: usize = 4;

/// The options of a JSON Schema, a line each, with their descriptions.
fn options(schema: &Value) -> String {
    let mut out = String::new();
    describe(schema, schema, 0, &mut out);
    out
}

fn describe(root: &Value, schema: &Value, depth: usize, out: &mut String) {
    let schema = followed(root, schema);
    let required: Vec<&str> =
        schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let indent = "  ".repeat(depth + 1);
    for (name, option) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        let option = followed(root, option);
        let need = if required.contains(&&**name) { ", required" } else { "" };
        let default = option.get("default").filter(|default| !default.is_null());
        let default = default.map_or_else(String::new, |default| format!(", {} unless said", default));
        writeln!(out, "{indent}{name}: {}{need}{default}", kind(root, option)).expect("a string takes everything");
        for line in option.get("description").and_then(Value::as_str).into_iter().flat_map(str::lines) {
            writeln!(out, "{indent}    {line}").expect("a string takes everything");
        }
        if depth + 1 < DEPTH_MAX {
            describe(root, option, depth + 1, out);
            if let Some(items) = option.get("items") {
                describe(root, items, depth + 1, out);
            }
        }
    }
    for branch in ["oneOf", "anyOf"].into_iter().filter_map(|key| schema.get(key)?.as_array()) {
        let branches: Vec<&Value> =
            branch.iter().map(|one| followed(root, one)).filter(|one| one.get("properties").is_some()).collect();
        for (place, one) in branches.into_iter().enumerate() {
            let word = if place == 0 { "either" } else { "or" };
            writeln!(out, "{indent}{word}").expect("a string takes everything");
            if depth + 1 < DEPTH_MAX {
                describe(root, one, depth + 1, out);
            }
        }
    }
}

/// What a reference within the schema stands for.
fn followed<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let mut schema = schema;
    for _ in 0..DEPTH_MAX {
        let Some(target) = schema.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#')) else { break };
        let Some(next) = root.pointer(target) else { break };
        schema = next;
    }
    schema
}

/// What a value may be, in words.
fn kind(root: &Value, schema: &Value) -> String {
    let schema = followed(root, schema);
    let list = |values: &[Value]| values.iter().map(plain).collect::<Vec<_>>().join(" | ");
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return list(values);
    }
    if let Some(value) = schema.get("const") {
        return plain(value);
    }
    if let Some(format) = schema.get("format").and_then(Value::as_str).filter(|format| ["secret", "folder"].contains(format)) {
        return format.to_owned();
    }
    match schema.get("type") {
        Some(Value::String(one)) if one == "array" => match schema.get("items") {
            Some(items) => format!("list of {}", kind(root, items)),
            None => "list".into(),
        },
        Some(Value::String(one)) => one.clone(),
        Some(Value::Array(several)) => list(&several.iter().filter(|one| *one != "null").cloned().collect::<Vec<_>>()),
        _ => {
            let branches = ["oneOf", "anyOf"].into_iter().filter_map(|key| schema.get(key)?.as_array()).flatten();
            let mut kinds: Vec<String> = branches.map(|one| kind(root, one)).filter(|one| one != "null").collect();
            kinds.dedup();
            if kinds.is_empty() { "anything".into() } else { kinds.join(" | ") }
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_shown_as_people_write_them() {
        let schema = serde_json::json!({
            "$defs": { "Auth": { "type": "object", "properties": { "key": { "type": "string", "format": "secret" } }, "required": ["key"] } },
            "properties": {
                "auth": { "$ref": "#/$defs/Auth", "description": "ignored beside a reference" },
                "mode": { "enum": ["fast", "slow"], "default": "fast", "description": "How it works." },
                "tags": { "type": "array", "items": { "type": ["string", "null"] } },
            },
            "required": ["auth"],
        });
        let want = "  auth: object, required\n    key: secret, required\n  mode: fast | slow, \"fast\" unless said\n      How it works.\n  tags: list of string\n";
        assert_eq!(options(&schema), want);
    }
}
