//! The OpenAPI document (version 3.1.0) of the pages, made of the table of routes and of the types that they read and write.

use axum::http::StatusCode;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::routes::{Answer, Route, Verb, all};
use crate::config::{Scope, plain};

/// The document.
#[must_use]
pub fn document() -> Value {
    let settings =
        |path: &str| SchemaSettings::draft2020_12().with(|settings| settings.definitions_path = path.to_owned().into());
    let mut given = settings("/components/schemas").for_serialize().into_generator();
    let mut paths = Map::new();
    for route in all() {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[verb(&route)] = operation(&route, &mut given);
    }
    let mut schemas = given.take_definitions(true);
    schemas.insert("Problem".into(), problem());
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Weft",
            "version": "1",
            "summary": "The pages of a Weft engine.",
            "description": "Paths of sources are not here: what they take is their plugins' matter. Where the workspace declares \
                `tokens`, a page wants one whose scopes have the one that the page names, or `admin`.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer", "description": "A token of the workspace: `weft token new` makes one." } },
        },
    })
}

/// The document as text: what `schemas/openapi.json` holds.
#[must_use]
pub fn text() -> String {
    let text = serde_json::to_string_pretty(&document()).expect("a document has string keys");
    format!("{text}\n")
}

fn verb(route: &Route) -> &'static str {
    match route.verb {
        Verb::Get => "get",
        Verb::Post => "post",
        Verb::Delete => "delete",
    }
}

fn operation(route: &Route, given: &mut SchemaGenerator) -> Value {
    let mut answers = Map::new();
    let content = match &route.answer {
        Answer::Json(shape) => json!({ "application/json": { "schema": shape(given) } }),
        Answer::Text(kind) => json!({ *kind: { "schema": { "type": "string" } } }),
    };
    answers.insert(route.status.to_string(), json!({ "description": "What was asked for", "content": content.clone() }));
    let guarded: &[u16] = if route.scope.is_some() { &[401, 403, 421] } else { &[] };
    for status in route.refusals.iter().chain(guarded).chain(&[429]) {
        let why = StatusCode::from_u16(*status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Refused");
        // A refused configuration is an answer like one that is taken on.
        let content = if *status == 422 && route.name == "reload" {
            content.clone()
        } else if let Some(refusal) = route.refusal.filter(|_| route.refusals.contains(status)) {
            json!({ "application/json": { "schema": refusal(given) } })
        } else {
            json!({ "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } })
        };
        answers.insert(status.to_string(), json!({ "description": why, "content": content }));
    }
    let mut operation = json!({
        "operationId": route.name,
        "summary": route.summary,
        "parameters": parameters(route),
        "responses": answers,
    });
    if let Some(scope) = route.scope {
        let scope = match scope {
            Scope::Ingest => "ingest",
            Scope::Read => "read",
            Scope::Rights => "rights",
            Scope::Admin => "admin",
        };
        operation["description"] = format!("Wants a token of the scope `{scope}`, where there are tokens.").into();
        // Without tokens, nothing is wanted.
        operation["security"] = json!([{ "token": [] }, {}]);
        operation["x-weft-scope"] = scope.into();
    }
    if let Some(body) = route.body {
        operation["requestBody"] = json!({
            "required": true,
            "content": { "application/json": { "schema": body(&mut taken()) } },
        });
    }
    operation
}

/// The parts of the path, and the keys of the query.
fn parameters(route: &Route) -> Vec<Value> {
    let parts = route.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = |name: &str| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } });
    let mut parameters: Vec<Value> = parts.map(in_path).collect();
    let query = route.query.map(|query| Value::from(query(&mut taken()))).unwrap_or_default();
    for (name, schema) in query["properties"].as_object().into_iter().flatten() {
        let mut schema = schema.clone();
        let description = schema.as_object_mut().and_then(|schema| schema.remove("description")).unwrap_or_default();
        parameters.push(json!({ "name": name, "in": "query", "description": description, "schema": schema }));
    }
    parameters
}

/// Writes what is taken: each schema stands where it is used, and what may be left out is not written as null.
fn taken() -> SchemaGenerator {
    SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .with_transform(schemars::transform::RecursiveTransform(plain))
        .into_generator()
}

/// A problem of RFC 9457, as [`crate::door::problem`] writes it.
fn problem() -> Value {
    json!({
        "type": "object",
        "description": "Why something was refused (RFC 9457).",
        "required": ["title", "status", "detail"],
        "properties": {
            "title": { "type": "string" },
            "status": { "type": "integer" },
            "detail": { "type": "string", "description": "What was wrong, for people." },
        },
    })
}
