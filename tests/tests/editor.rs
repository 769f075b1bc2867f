//! What an editor says while somebody writes a workspace: `yaml-language-server` from npm, which VS Code's YAML extension and most other editors
//! run, is given the schema that a workspace names in its first line, and asked for completion, mistakes and explanations.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use weft_tests::install::{node, skip};
use weft_tests::root;

/// A workspace that somebody is writing: at the mark, the next key is to come.
const WRITTEN: &str = "# yaml-language-server: $schema=.weft/workspace.schema.json
version: 1
name: shop
sources:
  web:
    ^
destinations:
  lake:
    plugin: file
    form: { events: all }
";

/// The server, spoken to in JSON-RPC with heads (Language Server Protocol 3.17).
struct Server {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    asked: u64,
    mistakes: Option<Value>,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts it over a folder.
    fn start(program: &Path, folder: &str) -> Server {
        let mut command = Command::new("node");
        command.arg(program).arg("--stdio").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().expect("it was started before");
        let (to, from) = (child.stdin.take().expect("piped"), BufReader::new(child.stdout.take().expect("piped")));
        let mut server = Server { child, to, from, asked: 0, mistakes: None };
        let capabilities = json!({
            "textDocument": { "completion": {}, "hover": { "contentFormat": ["markdown"] }, "publishDiagnostics": {} },
            "workspace": { "configuration": true },
        });
        server.ask("initialize", json!({ "processId": null, "rootUri": folder, "capabilities": capabilities }));
        server.tell("initialized", json!({}));
        server
    }

    fn send(&mut self, mut message: Value) {
        message["jsonrpc"] = "2.0".into();
        let text = message.to_string();
        write!(self.to, "Content-Length: {}\r\n\r\n{text}", text.len()).expect("it reads");
        self.to.flush().expect("it reads");
    }

    fn tell(&mut self, method: &str, params: Value) {
        self.send(json!({ "method": method, "params": params }));
    }

    /// Asks, and waits for the answer.
    fn ask(&mut self, method: &str, params: Value) -> Value {
        self.asked += 1;
        let id = self.asked;
        self.send(json!({ "id": id, "method": method, "params": params }));
        loop {
            let message = self.next();
            if message["id"] == id && message.get("method").is_none() {
                return message["result"].clone();
            }
        }
    }

    /// The mistakes that it finds.
    fn mistakes(&mut self) -> Value {
        loop {
            if let Some(mistakes) = self.mistakes.take() {
                return mistakes;
            }
            self.next();
        }
    }

    /// The next message. What it asks about the editor's settings is answered.
    fn next(&mut self) -> Value {
        let mut length = 0;
        loop {
            let mut line = String::new();
            assert!(self.from.read_line(&mut line).expect("it speaks") > 0, "the server ended");
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().expect("a number"),
                Some(_) => (),
                None => break,
            }
        }
        let mut body = vec![0; length];
        self.from.read_exact(&mut body).expect("it speaks");
        let message: Value = serde_json::from_slice(&body).expect("JSON");
        match message["method"].as_str() {
            Some("textDocument/publishDiagnostics") => self.mistakes = Some(message["params"]["diagnostics"].clone()),
            Some("workspace/configuration") => {
                let yaml = |item: &Value| match item["section"].as_str() {
                    Some("yaml") => json!({ "validate": true, "hover": true, "completion": true }),
                    _ => Value::Null,
                };
                let settings: Vec<Value> = message["params"]["items"].as_array().into_iter().flatten().map(yaml).collect();
                self.send(json!({ "id": message["id"], "result": settings }));
            }
            Some(_) if message.get("id").is_some() => self.send(json!({ "id": message["id"], "result": null })),
            _ => (),
        }
        message
    }
}

/// The line and the letter at which a text stands.
fn place(text: &str, what: &str) -> Value {
    let before = &text[..text.find(what).expect("it is there")];
    let line = before.rsplit('\n').next().unwrap_or_default();
    json!({ "line": before.matches('\n').count(), "character": line.len() })
}

#[test]
fn an_editor_completes_checks_and_explains_a_workspace() {
    let program = match node("yaml", &["yaml-language-server@2.0.0"]) {
        Ok(folder) => folder.join("node_modules/yaml-language-server/bin/yaml-language-server"),
        Err(why) => return skip("yaml-language-server", &why),
    };
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join(".weft")).expect("a folder");
    let schema = folder.path().join(".weft/workspace.schema.json");
    std::fs::copy(root().join("schemas/workspace.schema.json"), schema).expect("the schema is there");
    let text = WRITTEN.replace('^', "");
    let file = folder.path().join("weft.yaml");
    std::fs::write(&file, &text).expect("it can be written");
    let document = format!("file://{}", file.display());

    let mut server = Server::start(&program, &format!("file://{}", folder.path().display()));
    server.tell(
        "textDocument/didOpen",
        json!({ "textDocument": { "uri": document, "languageId": "yaml", "version": 1, "text": text } }),
    );

    let mistakes = server.mistakes();
    let said = |needle: &str| {
        mistakes.as_array().into_iter().flatten().find(|one| one["message"].as_str().is_some_and(|text| text.contains(needle)))
    };
    let misspelt = said("form").unwrap_or_else(|| panic!("the misspelt key is not flagged: {mistakes}"));
    assert_eq!(misspelt["range"]["start"], place(&text, "form:"), "{misspelt}");
    assert!(said("from").is_some(), "the key that is missing for it is named: {mistakes}");

    let at = |place: Value| json!({ "textDocument": { "uri": document }, "position": place });
    let offered = server.ask("textDocument/completion", at(place(WRITTEN, "^")));
    let offered = offered.get("items").unwrap_or(&offered).as_array().cloned().unwrap_or_default();
    let labels: Vec<&str> = offered.iter().filter_map(|item| item["label"].as_str()).collect();
    for key in ["plugin", "http", "file", "poll", "bucket", "connection", "config", "environment"] {
        assert!(labels.contains(&key), "`{key}` is not offered in a source: {labels:?}");
    }

    for (key, explanation) in [("sources", "Where events come from, by name."), ("version", "The version of this format")] {
        let shown = server.ask("textDocument/hover", at(place(&text, &format!("{key}:"))));
        let shown = shown["contents"]["value"].as_str().unwrap_or_default().to_owned();
        assert!(shown.contains(explanation), "{key}: {shown}");
    }
}
