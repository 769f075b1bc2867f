//! Configuration from the outside: what people write, and what they are told.
//!
//! `tests/config/invalid` and `tests/config/valid` hold workspaces, each a file or a folder; the `.txt` beside one is what is
//! said of it, to the letter. `WEFT_BLESS=1` rewrites these files and the generated schema; the diff is then the review.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde_json::json;
use weft::config::{self, Config, Environment, Origin, Refusal};
use weft::render::{self, Style};
use weft_domain::identity::{IdentifierRule, Rules};
use weft_domain::problem::{Code, Problems};
use weft_host::Manifest;

/// The secret of every test. It must never be seen.
const SECRET: &str = "hunter2";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn environment() -> Environment {
    [
        ("WEB_KEY", SECRET),
        ("SLACK_TOKEN", SECRET),
        ("TWO_LINES", "hunter2\nhunter2"),
        ("EMPTY", ""),
        ("HOST", "127.0.0.1"),
        ("LIMIT", "50"),
        ("RSA_KEY", include_str!("egress/rsa-of-tests.pem")),
    ]
    .into_iter()
    .collect()
}

/// Plugins that are not there: only their word for themselves.
fn manifest(name: &str) -> Result<Manifest, Refusal> {
    let secret = json!({ "type": "string", "format": "secret" });
    let (kind, config, more) = match name {
        "segment" | "Segment" => {
            let keys = json!({ "type": "array", "items": secret, "minItems": 1 });
            let config = json!({
                "type": "object",
                "properties": { "write_keys": keys, "label": { "type": "string" }, "cors": { "type": "boolean" } },
                "required": ["write_keys"],
                "additionalProperties": false,
            });
            ("source", config, json!({ "reads": ["receive"], "capabilities": ["crypto", "http"] }))
        }
        "shop" => {
            let hmac = json!({ "type": "object", "properties": { "kind": { "const": "hmac" }, "secret": secret }, "required": ["kind", "secret"], "additionalProperties": false });
            let open = json!({ "type": "object", "properties": { "kind": { "const": "open" } }, "required": ["kind"], "additionalProperties": false });
            let config = json!({ "type": "object", "properties": { "auth": { "oneOf": [hmac, open] } } });
            ("source", config, json!({ "reads": ["receive"] }))
        }
        "csv" => ("source", json!({ "type": "object" }), json!({ "reads": ["decode"] })),
        "crm" => ("source", json!({ "type": "object" }), json!({ "reads": ["poll"], "capabilities": ["http"] })),
        "normalize" => {
            let config = json!({
                "type": "object",
                "properties": {
                    "country": { "type": "string", "pattern": "^[A-Z]{2}$", "description": "an ISO 3166 code of two letters" },
                    "lower": { "type": "array", "items": { "type": "string" } },
                    "limit": { "type": "integer", "maximum": 100 },
                    "since": { "type": "string", "format": "date" },
                },
                "additionalProperties": false,
            });
            ("transform", config, json!({}))
        }
        "tracking-plan" => ("transform", json!({ "type": "object" }), json!({})),
        "slack" => {
            let config = json!({ "type": "object", "properties": { "channel": { "type": "string" } }, "required": ["channel"], "additionalProperties": false });
            ("destination", config, json!({ "accepts": ["events"], "capabilities": ["http"] }))
        }
        "email" => ("destination", json!({ "type": "object" }), json!({ "accepts": ["events"], "capabilities": ["email"] })),
        "file" | "file v2" | "all" => {
            let config = json!({
                "type": "object",
                "properties": { "folder": { "type": "string", "format": "folder" }, "format": { "enum": ["ndjson", "csv"] } },
                "required": ["folder"],
                "additionalProperties": false,
            });
            ("destination", config, json!({ "accepts": ["events", "profiles"], "capabilities": ["files"], "ordered": true }))
        }
        "broken" => ("source", json!({ "$ref": "https://elsewhere.example/schema.json" }), json!({ "reads": ["receive"] })),
        name => {
            let message = format!("there is no file for `{name}`");
            return Err(Refusal { code: Code::PLUGIN_NOT_FOUND, message, hint: Some("build it first".into()) });
        }
    };
    let mut manifest = json!({ "name": "test", "version": "1.0.0", "kind": kind, "contract": "1.0", "summary": "a plugin of a test", "config": config });
    for (key, value) in more.as_object().unwrap() {
        manifest[key] = value.clone();
    }
    Ok(serde_json::from_value(manifest).unwrap())
}

fn load(path: &Path) -> Result<Config, Problems> {
    config::load(path, &environment(), &manifest)
}

/// The workspaces of a folder of `tests/config`.
fn cases(kind: &str) -> Vec<PathBuf> {
    let folder = root().join("tests/config").join(kind);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.is_dir() || path.extension().is_some_and(|extension| extension == "yaml"));
    paths.sort();
    paths
}

/// Compares a text with the file that holds it, or rewrites the file.
fn compare(path: &Path, text: &str, wrong: &mut Vec<String>) {
    if std::env::var_os("WEFT_BLESS").is_some() {
        return std::fs::write(path, text).unwrap();
    }
    let known = std::fs::read_to_string(path).unwrap_or_default();
    if known != text {
        wrong.push(format!("{}\n--- it says now\n{text}", path.display()));
    }
}

fn check(kind: &str, say: impl Fn(&Path, Result<Config, Problems>) -> Result<String, String>) {
    let mut wrong = Vec::new();
    for path in cases(kind) {
        let folder = format!("{}/", path.parent().unwrap().display());
        match say(&path, load(&path)) {
            Ok(text) => {
                let text = text.replace(&folder, "");
                assert!(!text.contains(SECRET), "{} shows a secret:\n{text}", path.display());
                compare(&path.with_extension("txt"), &text, &mut wrong);
            }
            Err(text) => wrong.push(format!("{}: {text}", path.display())),
        }
    }
    assert!(wrong.is_empty(), "{} differ; WEFT_BLESS=1 takes them as they are\n\n{}", wrong.len(), wrong.join("\n\n"));
}

#[test]
fn mistakes_are_named_and_placed() {
    check("invalid", |_, loaded| match loaded {
        Ok(_) => Err("is valid".into()),
        Err(problems) => Ok(render::text(&problems, Style::Plain)),
    });
}

#[test]
fn what_is_right_loads() {
    check("valid", |_, loaded| match loaded {
        Err(problems) => Err(render::text(&problems, Style::Plain)),
        Ok(config) => {
            assert!(!format!("{config:?}").contains(SECRET), "Debug shows a secret");
            Ok(format!("{}{}", render::text(&config.warnings, Style::Plain), summary(&config)))
        }
    });
}

/// What a configuration came to, for people who review a change.
fn summary(config: &Config) -> String {
    let mut out = String::new();
    let line = |out: &mut String, text: String| writeln!(out, "{text}").unwrap();
    line(&mut out, format!("{} {} listens on {}, data in {}", config.name, config.zone, config.listen, config.data.display()));
    for (name, connection) in &config.connections {
        let private = if connection.allow_private { " private" } else { "" };
        line(
            &mut out,
            format!("connection {name}: {} {:?} {}{private}", connection.base_url, connection.auth, connection.timeout),
        );
        let headers: Vec<&String> = connection.headers.iter().map(|(name, _)| name).collect();
        let files: Vec<String> = connection.tls.files.iter().map(|path| path.display().to_string()).collect();
        let more = format!(" headers {headers:?} retries {} proxy {:?} files {files:?}", connection.retries, connection.proxy);
        if more != " headers [] retries 2 proxy None files []" {
            line(&mut out, more);
        }
    }
    let block = |block: &config::Block| {
        let folders: Vec<String> = block.folders.iter().map(|(handle, path)| format!("{handle}={}", path.display())).collect();
        let secrets: Vec<&String> = block.secrets.keys().collect();
        format!("{} secrets {secrets:?} folders {folders:?}", block.json)
    };
    for (name, source) in &config.sources {
        let chain = config.chain(name).join(" > ");
        line(&mut out, format!("source {name}: {:?} {:?} [{chain}] {}", source.reads, source.environment, block(&source.block)));
    }
    for (name, transform) in &config.transforms {
        line(&mut out, format!("transform {name}: {:?} {}", transform.on_error, block(&transform.block)));
    }
    for (name, destination) in &config.destinations {
        let (records, bytes) = (destination.batch_records_max, destination.batch_bytes_max);
        let fed = format!("{:?} {:?} {:?}", destination.events, destination.profiles, destination.environment);
        let (wait, concurrency) = (destination.batch_wait, destination.concurrency);
        let pace =
            if (wait.is_zero(), concurrency) == (true, 1) { String::new() } else { format!(" {concurrency} at once, {wait:?}") };
        line(&mut out, format!("destination {name}: {fed} {records}/{bytes}{pace} {}", block(&destination.block)));
    }
    if let Some(opendsr) = &config.opendsr {
        let (wait, within, kept) = (opendsr.erasure_wait, opendsr.complete_within, opendsr.results_kept);
        let files: Vec<String> = opendsr.files.iter().map(|path| path.display().to_string()).collect();
        let of = format!("{} at {} {:?}", opendsr.controller, opendsr.domain, opendsr.key);
        line(
            &mut out,
            format!("opendsr {of} waits {wait}, within {within}, kept {kept} {:?} files {files:?}", opendsr.identities),
        );
    }
    if let Some(inactive) = &config.inactive {
        line(&mut out, format!("inactive {:?} {:?} {} in an hour", inactive.after, inactive.anonymous_after, inactive.per_hour));
    }
    for (name, rule) in &config.plan(0).consent {
        line(&mut out, format!("consent {name}: {}", serde_json::to_string(rule).unwrap()));
    }
    let rule = |rule: &IdentifierRule| {
        let limit = rule.limit.map_or_else(String::new, |limit| format!(" {limit}"));
        let within = rule.within_ms.map_or_else(String::new, |ms| format!("/{ms}ms"));
        let flags = [(rule.login, " login"), (rule.unique, " unique"), (rule.immutable, " immutable"), (rule.device, " device")];
        let flags: String = flags.into_iter().filter(|(is, _)| *is).map(|(_, name)| name).collect();
        format!("{}{limit}{within}{flags}", rule.kind)
    };
    let identifiers: Vec<String> = config.identity.identifiers.iter().map(rule).collect();
    line(&mut out, format!("identifiers {}", identifiers.join(", ")));
    let Rules { on_login, on_logout, merge_limit, quarantine, .. } = &config.identity;
    let more = format!("{on_login:?} {on_logout:?} {merge_limit:?} {quarantine:?}");
    let usual = Rules::default();
    if more != format!("{:?} {:?} {:?} {:?}", usual.on_login, usual.on_logout, usual.merge_limit, usual.quarantine) {
        line(&mut out, format!("identity {more}"));
    }
    if let Some(matching) = &config.matching {
        line(&mut out, format!("matching {}", serde_json::to_string(matching).unwrap()));
    }
    let mut attributes: Vec<_> = config.attributes.iter().collect();
    attributes.sort_by_key(|attribute| (attribute.is_trait, &attribute.name));
    for attribute in attributes {
        let what = if attribute.is_trait { "trait" } else { "attribute" };
        let meaning = serde_json::to_string(&attribute.meaning).unwrap();
        line(&mut out, format!("{what} {}: {meaning}", attribute.name));
    }
    for test in &config.tests {
        line(&mut out, format!("test {}", serde_json::to_string(test).unwrap()));
    }
    out
}

#[test]
fn the_file_and_its_folder_are_the_same_workspace() {
    let folder = root().join("tests/config/valid/several-files");
    let by_folder = load(&folder).unwrap();
    let by_file = load(&folder.join("weft.yaml")).unwrap();
    assert_eq!(by_folder.sources, by_file.sources);
    assert_eq!(by_folder.files().count(), 4);
}

#[test]
fn plugins_are_named_in_a_first_look_even_where_the_rest_is_wrong() {
    let path = root().join("tests/config/invalid/unknown-references.yaml");
    let named = config::plugins(&path, &environment()).unwrap();
    let names: Vec<&str> = named.iter().map(|plugin| &*plugin.name).collect();
    assert_eq!(names, ["segment", "normalize", "slack"]);
    let file = Origin::File { path: path.with_file_name("segment.wasm"), written: "segment.wasm".into() };
    assert_eq!(named[0].origin, file);
    assert!(config::plugins(&root().join("tests/config/invalid/unclosed-brace.yaml"), &environment()).is_err());
    assert!(config::plugins(Path::new("/nowhere/at/all"), &environment()).is_err());
}

#[test]
fn a_problem_of_a_plugin_stands_where_its_block_does() {
    let config = load(&root().join("tests/config/valid/acme.yaml")).unwrap();
    let check = |path: &str, line: u32, column: u32, excerpt: &str| {
        let found = weft_host::ConfigProblem { path: path.into(), message: "it is wrong".into(), hint: None };
        let problem = config.plugin_problem("destinations", "team", &found);
        let place = problem.place.unwrap();
        assert_eq!((place.line, place.column), (line, column), "{path}");
        assert!(place.excerpt.contains(excerpt), "{}", place.excerpt);
        assert_eq!(place.path, format!("/destinations/team/config{path}"));
    };
    check("/channel", 49, 101, "#sales");
    check("/no/such/thing", 49, 82, "team");
}

#[test]
fn a_handle_means_nothing_to_another_stage() {
    let config = load(&root().join("tests/config/valid/acme.yaml")).unwrap();
    let app = &config.sources["app"].block;
    assert_eq!(app.secrets["secret:/write_keys/0"].expose_text(), "key-hunter2");
    assert_ne!(app.secrets, config.sources["web"].block.secrets);
    assert!(config.destinations["team"].block.secrets.is_empty());
}

#[test]
fn secrets_that_change_are_new_for_all_who_hold_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weft.yaml");
    let yaml = [
        "version: 1\nname: acme\nplugins: { segment: { path: segment.wasm } }\n",
        "connections: { crm: { base_url: https://crm.example/, auth: { bearer: \"key-${secret:KEY}\" } } }\n",
        "sources: { web: { plugin: segment, connection: crm, http: { path: /web }, config: { write_keys: [\"${secret:KEY}\"] } } }\n",
    ];
    std::fs::write(&path, yaml.concat()).unwrap();
    let secrets = folder.path().join("secrets");
    std::fs::create_dir(&secrets).unwrap();
    let write = |text: &str| std::fs::write(secrets.join("KEY"), text).unwrap();
    write("one");
    let known = environment();
    let config = config::load(&path, &known, &manifest).unwrap();
    assert_eq!(config.secrets_folder(&known), secrets);
    let lent = config.sources["web"].block.secrets["secret:/write_keys/0"].clone();
    let Some(config::Auth::Bearer(sent)) = config.connections["crm"].auth.clone() else { panic!("not a bearer") };
    let check = |renewed: usize, says: &str, want: &str| {
        let (count, problems) = config.renew_secrets(&known);
        assert_eq!((count, lent.expose_text(), sent.expose_text()), (renewed, want.to_owned(), format!("key-{want}")));
        assert_eq!(problems.is_empty(), says.is_empty(), "{problems}");
        assert!(problems.to_string().contains(says), "{problems}");
    };
    check(0, "", "one");
    write("two\n");
    check(2, "", "two");
    // Half written, or gone for a moment: what was there stays.
    write("");
    check(0, "weft.yaml:4:71: the secret `KEY` is empty [secret/empty]", "two");
    std::fs::remove_file(secrets.join("KEY")).unwrap();
    check(0, "secret/unset", "two");
    write("three");
    check(2, "", "three");
    // What goes on after a reload holds the secrets of the configuration before: it is enough to read the files again.
    write("four");
    let next = config::load(&path, &known, &manifest).unwrap();
    assert_eq!((lent.expose_text(), sent.expose_text()), ("four".to_owned(), "key-four".to_owned()));
    assert_eq!((next.changes_since(Some(&config)), next.renew_secrets(&known).0), (Vec::new(), 0));
}

#[test]
fn an_alias_bomb_and_deep_nesting_end() {
    let check = |text: String, code: Code| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weft.yaml");
        std::fs::write(&path, text).unwrap();
        let problems = load(&path).unwrap_err();
        assert!(problems.iter().any(|problem| problem.code == code), "{problems}");
    };
    let mut bomb = String::from("version: 1\nname: acme\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let before = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(bomb, "a{level}: &a{level} [{before}]").unwrap();
    }
    check(bomb, Code::YAML_TOO_LARGE);
    check(format!("version: 1\na: {}", "[".repeat(200)), Code::YAML_TOO_LARGE);
    let deep: String = (0..200).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    check(deep, Code::YAML_TOO_LARGE);
    check("a: ".repeat(100_000), Code::YAML_SYNTAX);
}

#[test]
fn a_large_workspace_is_read_whole_and_its_problems_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weft.yaml");
    let mut text = String::from("version: 1\nname: acme\nconnections:\n");
    for number in 0..2_000 {
        writeln!(text, "  c{number}: {{ base_url: \"https://c{number}.example/\", timeout: 30 }}").unwrap();
    }
    std::fs::write(&path, &text).unwrap();
    let problems = load(&path).unwrap_err();
    assert_eq!(problems.iter().count() as u64 + problems.more_total(), 2_000);
    assert!(problems.iter().all(|problem| problem.code == Code::CONFIG_WRONG_TYPE));
    assert_eq!(problems.iter().next().unwrap().place.as_ref().unwrap().line, 4);
}

/// Every file cut short at every place, and with each of some letters in the place of each of its own: none may panic, show
/// the secret, or give a place outside of the file.
#[test]
fn broken_files_are_reported_and_nothing_worse() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weft.yaml");
    let look = |text: &str| {
        std::fs::write(&path, text).unwrap();
        let problems = match load(&path) {
            Ok(config) => config.warnings,
            Err(problems) => problems,
        };
        let shown = render::text(&problems, Style::Plain);
        assert!(text.contains(SECRET) || !shown.contains(SECRET), "{text}\n{shown}");
        for place in problems.iter().filter_map(|problem| problem.place.as_ref()) {
            assert!(place.line as usize <= text.lines().count().max(1), "{text}\n{shown}");
        }
    };
    for case in cases("valid").iter().chain(&cases("invalid")).filter(|case| case.is_file()) {
        let text = std::fs::read_to_string(case).unwrap();
        let places: Vec<usize> = text.char_indices().map(|(place, _)| place).collect();
        let step = places.len().div_ceil(40).max(1);
        for (turn, place) in places.iter().step_by(step).enumerate() {
            look(&text[..*place]);
            let letter = ["\t", "{", "]", ": ", "\n", "\"", "&", "*a", "#", "!", "${", "\u{0}", "- ", "é"][turn % 14];
            look(&format!("{}{letter}{}", &text[..*place], &text[*place..]));
        }
    }
}

#[test]
fn the_schema_of_a_workspace_is_fresh() {
    let mut wrong = Vec::new();
    compare(&root().join("schemas/workspace.schema.json"), &config::schema_text(), &mut wrong);
    assert!(wrong.is_empty(), "schemas/workspace.schema.json is not what the types say; WEFT_BLESS=1 writes it");
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let folder = root().join("docs/errors");
    let mut pages = BTreeSet::new();
    for namespace in std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        for page in std::fs::read_dir(&namespace).unwrap().map(|entry| entry.unwrap().path()) {
            let name = page.strip_prefix(&folder).unwrap().with_extension("");
            pages.insert(name.to_str().unwrap().to_owned());
        }
    }
    let codes: BTreeSet<String> = Code::ALL.iter().map(|(code, _)| code.to_string()).collect();
    assert_eq!(codes, pages, "left: codes, right: pages");
    let index = std::fs::read_to_string(folder.join("README.md")).unwrap();
    for (code, title) in Code::ALL {
        let page = std::fs::read_to_string(root().join(code.page())).unwrap();
        assert!(page.starts_with(&format!("# {title}\n\n`{code}`\n")), "{} begins with its title and its code", code.page());
        assert!(page.contains("## Mend it\n"), "{} says how to mend it", code.page());
        assert!(index.contains(&format!("[`{code}`]({code}.md)")), "docs/errors/README.md lists {code}");
    }
}

#[test]
fn problems_read_back_from_json() {
    let problems = load(&root().join("tests/config/invalid/unknown-references.yaml")).unwrap_err();
    let read: Problems = serde_json::from_str(&render::json(&problems)).unwrap();
    assert_eq!(read, problems);
}

#[test]
fn the_picture_of_a_workspace_has_every_stage_and_flow() {
    let config = load(&root().join("tests/config/valid/acme.yaml")).unwrap();
    let graph = weft::graph::Graph::of(&config);
    let mut wrong = Vec::new();
    compare(&root().join("tests/config/valid/acme.mmd"), &graph.mermaid(), &mut wrong);
    compare(&root().join("tests/config/valid/acme.svg"), &graph.svg(&config.name), &mut wrong);
    assert!(wrong.is_empty(), "WEFT_BLESS=1 takes it as it is\n\n{}", wrong.join("\n\n"));
    let columns: Vec<(&str, usize)> = graph.stages.iter().map(|stage| (&*stage.name, stage.column)).collect();
    assert_eq!(columns, [("app", 0), ("web", 0), ("tidy", 1), ("guard", 2), ("identity", 3), ("lake", 4), ("team", 4)]);
}
