//! What is read by itself, without a workspace around it: a plugin's block, and the small documents beside a workspace.
//!
//! The same trees, schemas and problems as for a workspace, so that a mistake is shown in the same way wherever it is made.

use std::path::Path;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use weft_domain::problem::{Code, Problem, Problems};
use weft_host::Manifest;

use super::placeholder;
use super::schema::Schema;
use super::secret::{Environment, Vault};
use super::settle::Ground;
use super::source::{Report, Sources, Span};
use super::tree::{self, Budget, Node, Value};
use super::{Block, build, limits};

/// A plugin's block as it stands in a file or in a manifest's example: its placeholders filled from `environment`, checked against the
/// plugin's schema, its secrets and folders taken out. Nothing is made on the disk.
///
/// # Errors
/// What is wrong with it, with places in the text.
pub fn block(name: &Path, text: &str, manifest: &Manifest, environment: &Environment) -> Result<Block, Problems> {
    let (mut report, mut sources) = (Report::default(), Sources::default());
    let file = sources.add(name.to_owned(), text.to_owned());
    let Some(mut node) = tree::parse(file, text, &mut Budget::default(), &mut report) else {
        return Err(report.finish(&sources));
    };
    let nowhere = Path::new("secrets-of-nobody");
    placeholder::fill(&mut node, &Vault { folder: nowhere.to_owned(), environment }, &mut report);
    let top = Span::top(file);
    let schema = match Schema::compile(manifest.config.clone()) {
        Ok(schema) => schema,
        Err(message) => {
            report.add(top.at(""), Problem::error(Code::PLUGIN_SCHEMA, format!("the plugin has a broken schema: {message}")));
            return Err(report.finish(&sources));
        }
    };
    if !matches!(node.value, Value::Map(_)) {
        let message = format!("a plugin's configuration is a mapping, and this is {}", node.value.noun());
        report.add(top.at(""), Problem::error(Code::CONFIG_WRONG_TYPE, message));
        return Err(report.finish(&sources));
    }
    // Folders are not looked at, only named: any ground will do.
    let ground = Ground { workspace: Path::new("workspace"), closed: Vec::new() };
    let block = build::block(&mut node, "", &schema, &ground, &mut sources, &mut report);
    let failed = report.has_errors();
    let problems = report.finish(&sources);
    match block {
        Some(block) if !failed => Ok(block),
        _ => Err(problems),
    }
}

/// The names of the secrets and variables that a text's placeholders ask for.
#[must_use]
pub fn asked_for(text: &str) -> Vec<String> {
    let marks = ["${secret:", "${env:"];
    let asked = marks.into_iter().flat_map(|mark| text.split(mark).skip(1));
    let names = asked.filter_map(|rest| rest.split(['}', ':']).next());
    names.filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Whether a plugin's schema can be used.
///
/// # Errors
/// What is wrong with it, for the plugin's author.
pub fn schema_holds(manifest: &Manifest) -> Result<(), String> {
    Schema::compile(manifest.config.clone()).map(drop)
}

/// Reads a document by its type's own schema: unknown keys, wrong types and misspelt values are shown as in a workspace.
///
/// # Errors
/// What is wrong with it.
pub fn document<T: DeserializeOwned + JsonSchema>(path: &Path) -> Result<T, Problems> {
    let unreadable = |message: String| {
        let problem = Problem::error(Code::YAML_UNREADABLE, format!("`{}` cannot be read: {message}", path.display()));
        Problems::from_iter([problem])
    };
    let bytes = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
    if bytes > limits::FILE_BYTES_MAX {
        return Err(unreadable(format!("it has more than {} bytes", limits::FILE_BYTES_MAX)));
    }
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(error.to_string()))?;
    document_of(path, &text)
}

/// As [`document`], of a text that was read.
///
/// # Errors
/// What is wrong with it.
pub fn document_of<T: DeserializeOwned + JsonSchema>(path: &Path, text: &str) -> Result<T, Problems> {
    let (mut report, mut sources) = (Report::default(), Sources::default());
    let file = sources.add(path.to_owned(), text.to_owned());
    let Some(mut node) = tree::parse(file, text, &mut Budget::default(), &mut report) else {
        return Err(report.finish(&sources));
    };
    let schema = Schema::compile(super::spec::schema_of::<T>()).expect("it is made from a type");
    schema.check(&mut node, "", &sources, &mut report);
    let read = read(&node);
    if !report.has_errors()
        && let Err(message) = &read
    {
        report.add(Span::top(file).at(""), Problem::error(Code::CONFIG_BAD_VALUE, message.clone()));
    }
    match read {
        Ok(read) if !report.has_errors() => Ok(read),
        _ => Err(report.finish(&sources)),
    }
}

fn read<T: DeserializeOwned>(node: &Node) -> Result<T, String> {
    serde_json::from_str(&node.to_json_text()).map_err(|error| error.to_string())
}
