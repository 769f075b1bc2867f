//! Secrets are never shown: one is planted wherever one can stand, an engine goes through good days and bad ones, and whatever it has said,
//! answered or kept is searched for them, in every way in which a text is usually written.
//!
//! What is planted and how it is searched for is in `canaries/secrets.rs`, the other sides in `canaries/others.rs`: they refuse everything. What
//! another side says is its own affair, and is shown: these do not repeat the credentials.

#[path = "canaries/others.rs"]
mod others;
#[path = "canaries/secrets.rs"]
mod secrets;

use std::collections::BTreeSet;
use std::fs;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use weft_tests::engine::{Workspace, plugin};
use weft_tests::root;
use weft_tests::wire::Request;

use crate::others::{Refuses, mail, refusing, refusing_strangers};
use crate::secrets::{Canary, Seen, plant, written};

/// Connections of every kind of credentials, and a destination behind each.
fn outside(workspace: &Workspace, canaries: &[Canary]) -> Value {
    let address = refusing();
    let (token_url, shut_url) = (format!("http://{address}/token"), format!("http://{address}/refuse"));
    let jwt = |token_url: &str| json!({ "oauth2_jwt_bearer": { "token_url": token_url, "issuer": "me", "private_key": "${secret:RSA}" } });
    let auth = [
        ("bearer", json!({ "bearer": "${secret:BEARER}" })),
        ("basic", json!({ "basic": { "user": "shop", "password": "${secret:PASSWORD}" } })),
        ("header", json!({ "header": { "name": "X-Api-Key", "value": "${secret:HEADER}" } })),
        (
            "client",
            json!({ "oauth2_client_credentials": { "token_url": token_url, "client_id": "${secret:CLIENT_ID}", "client_secret": "${secret:CLIENT_SECRET}" } }),
        ),
        (
            "refresh",
            json!({ "oauth2_refresh_token": { "token_url": token_url, "client_id": "me", "refresh_token": "${secret:REFRESH}" } }),
        ),
        ("jwt", jwt(&token_url)),
        ("jwt-shut", jwt(&shut_url)),
        ("hmac", json!({ "hmac": { "secret": "${secret:HMAC}", "header": "X-Signature" } })),
        (
            "aws",
            json!({ "aws_v4": { "region": "eu", "service": "s3", "access_key_id": "AKID", "secret_access_key": "${secret:AWS_KEY}", "session_token": "${secret:AWS_SESSION}" } }),
        ),
    ];
    let (mut connections, mut destinations) = (json!({}), json!({}));
    for (name, auth) in auth {
        connections[name] = json!({ "base_url": format!("http://{address}/"), "auth": auth, "headers": { "x-extra": "${secret:EXTRA}" }, "retries": 0 });
        destinations[format!("to-{name}")] = json!({
            "plugin": "webhook-out", "connection": name, "from": { "events": "all" }, "retry": { "attempts": 1 },
            "config": { "path": "refuse", "signature": { "secret": "${secret:SIGNING}" } },
        });
    }
    connections["proxied"] =
        json!({ "base_url": "http://example.com/", "proxy": format!("http://me:${{secret:PROXY}}@{address}"), "retries": 0 });
    // One that takes our certificate, and one that is none whom we trust.
    let tls = &canaries.iter().find(|canary| canary.name == "TLS").expect("it is planted").text;
    let port = refusing_strangers(workspace.path(), tls).port();
    for (name, roots) in [("tls", json!("certs/ca.pem")), ("tls-strange", json!("certs/client.pem"))] {
        let tls = json!({ "roots": roots, "public_roots": false, "certificate": "certs/client.pem", "key": "${secret:TLS}" });
        connections[name] = json!({ "base_url": format!("https://localhost:{port}/"), "tls": tls, "retries": 0 });
    }
    for (name, connection, path) in [
        ("to-proxied", "proxied", "refuse"),
        ("to-down", "bearer", "down"),
        ("to-tls", "tls", "refuse"),
        ("to-tls-strange", "tls-strange", "refuse"),
    ] {
        destinations[name] = json!({
            "plugin": "webhook-out", "connection": connection, "from": { "events": "all" }, "retry": { "attempts": 2 }, "config": { "path": path },
        });
    }
    for (name, refuses, secret) in [("mail", Refuses::Recipients, "SMTP"), ("mail-shut", Refuses::Senders, "SMTP_SHUT")] {
        let auth = json!({ "basic": { "user": "shop", "password": format!("${{secret:{secret}}}") } });
        connections[name] =
            json!({ "base_url": format!("smtp://localhost:{}", mail(refuses).port()), "auth": auth, "timeout": "10s" });
        destinations[format!("to-{name}")] = json!({
            "plugin": "email", "connection": name, "from": { "events": "all" }, "retry": { "attempts": 1 },
            "config": { "from": "shop@acme.example", "to": "ann@acme.example", "subject": "Your order", "text": "Thank you" },
        });
    }
    destinations["clumsy"] = json!({
        "plugin": "clumsy", "from": { "events": "all" }, "retry": { "attempts": 1 }, "config": { "key": "${secret:HELD}" },
    });
    let plugins = json!({
        "webhook-out": { "path": plugin("webhook-out") },
        "email": { "path": plugin("email") },
        "clumsy": { "path": root().join("plugins/fixtures/clumsy.wat") },
    });
    json!({ "plugins": plugins, "connections": connections, "destinations": destinations })
}

/// The destinations to which the first event is lost, since they say no to it.
const LOSING: [&str; 12] = [
    "to-bearer",
    "to-basic",
    "to-header",
    "to-client",
    "to-refresh",
    "to-jwt",
    "to-hmac",
    "to-aws",
    "to-proxied",
    "to-tls",
    "to-mail",
    "clumsy",
];

/// Those at which it waits: the other side lets nobody in, is down, or is nobody whom we trust.
const WAITING: [&str; 4] = ["to-jwt-shut", "to-mail-shut", "to-down", "to-tls-strange"];

/// Everything that can be looked at while an engine runs.
fn look(workspace: &Workspace, engine: &weft_tests::engine::Engine, seen: &mut Seen) {
    let mut pages = vec![
        "/metrics".to_owned(),
        "/healthz".into(),
        "/readyz".into(),
        "/nothing".into(),
        "/segment/nothing".into(),
        "/api/v1/profiles/nobody".into(),
    ];
    for page in
        ["status", "config", "openapi.json", "dead-letters?limit=500", "profiles/user_id/ann", "profiles/user_id/ann/events"]
    {
        pages.push(format!("/api/v1/{page}"));
    }
    let letters = engine.page("/api/v1/dead-letters?limit=500").1;
    let ids = letters["letters"].as_array().into_iter().flatten().filter_map(|letter| letter["id"].as_str());
    pages.extend(ids.map(|id| format!("/api/v1/dead-letters/{id}")));
    for page in pages {
        seen.add(&page, engine.send(&Request::new("GET", &page)).body);
    }
    for arguments in [
        ["check"].as_slice(),
        &["check", "--json"],
        &["check", "--connect"],
        &["plan"],
        &["plan", "--json"],
        &["status"],
        &["status", "--json"],
        &["graph"],
        &["graph", "--svg"],
        &["graph", "--json"],
        &["top", "--once"],
        &["test"],
        &["reload"],
        &["reload", "--json"],
    ] {
        let output = workspace.ask_with(arguments);
        seen.add(&format!("{arguments:?}"), [output.stdout, output.stderr].concat());
    }
    for arguments in
        [["dlq", "list"].as_slice(), &["dlq", "list", "--json"], &["profile", "user_id:ann"], &["events", "user_id:ann"]]
    {
        let output = workspace.ask(arguments);
        seen.add(&format!("{arguments:?}"), [output.stdout, output.stderr].concat());
    }
}

#[test]
fn no_secret_is_said_answered_or_kept() {
    let (mut workspace, canaries) = (Workspace::create(), plant());
    // Half of them are files, half are variables.
    for (number, Canary { name, text, .. }) in canaries.iter().enumerate() {
        // As a part of an address it has to be written as one.
        let percent = || String::from_utf8(written(text.as_bytes()).swap_remove(1).1).expect("it is ASCII");
        let text = if *name == "PROXY" { percent() } else { text.clone() };
        let file = workspace.path().join("secrets").join(name);
        if number % 2 == 0 {
            fs::write(file, text).expect("the folder takes a file");
        } else {
            _ = fs::remove_file(file);
            workspace.variables.push(((*name).to_owned(), text));
        }
    }
    workspace
        .variables
        .push(("WEFT_LOG".into(), "info,weft=debug,hyper=debug,hyper_util=debug,rustls=debug,lettre=debug".into()));
    let others = workspace.path().join("outside.yaml");
    let good = outside(&workspace, &canaries);
    fs::write(&others, good.to_string()).expect("JSON is YAML");

    let mut seen = Seen::default();
    let engine = workspace.start();
    let key = &canaries[0].text;
    let send = |key: &str, body: &str| engine.send(&Request::post("/segment/v1/track", body.as_bytes()).key(key));
    let call =
        |event: &str| json!({ "type": "track", "userId": "ann", "event": event, "properties": { "total": 3 } }).to_string();
    let taken = send(key, &call("Order Completed"));
    assert_eq!(taken.status, 200, "{}", taken.text());
    for body in ["{", r#"{"type":"track"}"#, &call(&"long ".repeat(500))] {
        seen.add("an answer", send(key, body).body);
    }
    // A key that is nearly right is the sender's own text, and is not looked for: but the answer to it must not tell the right one.
    seen.add("an answer to a wrong key", send("wrong", &call("Lost")).body);

    // Each destination has refused by now, and said so.
    let lost = || {
        let letters = engine.page("/api/v1/dead-letters?limit=500").1;
        let letters = letters["letters"].as_array().cloned().unwrap_or_default();
        letters.iter().filter_map(|letter| letter["stage"].as_str().map(str::to_owned)).collect::<BTreeSet<String>>()
    };
    let wanted: BTreeSet<String> = LOSING.map(str::to_owned).into();
    for _ in 0..300 {
        if lost().is_superset(&wanted) {
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    let missing: Vec<String> = wanted.difference(&lost()).cloned().collect();
    assert!(missing.is_empty(), "nothing is lost to {missing:?}: {}", engine.page("/api/v1/status").1);
    let status = engine.page("/api/v1/status").1;
    for name in WAITING {
        let waits = |lane: &&Value| lane["name"] == name && lane["circuit"] == "open" && lane["last_error"].is_string();
        assert!(status["lanes"].as_array().into_iter().flatten().any(|lane| waits(&lane)), "{name} does not wait: {status}");
    }
    let fallen = engine.page("/api/v1/dead-letters?stage=clumsy").1.to_string();
    assert!(fallen.contains("secret:/key"), "it did not fall with the secret in its hands: {fallen}");
    look(&workspace, &engine, &mut seen);

    // A reload that is refused, by each connection, and one that is taken.
    let mut bad = good.clone();
    for (name, connection) in bad["connections"].as_object_mut().expect("connections") {
        connection["rate_limit"] = json!(format!("often, for {name}"));
        connection["base_url"] = json!("https://me:${secret:PASSWORD}@example.com/");
    }
    fs::write(&others, bad.to_string()).expect("JSON is YAML");
    look(&workspace, &engine, &mut seen);
    // Secrets that are no keys, where keys are wanted.
    let mut bad = good.clone();
    bad["connections"]["jwt"]["auth"]["oauth2_jwt_bearer"]["private_key"] = json!("${secret:SMTP}");
    bad["connections"]["jwt-shut"]["auth"]["oauth2_jwt_bearer"]["private_key"] = json!("${secret:TLS}");
    bad["connections"]["tls"]["tls"]["key"] = json!("${secret:SMTP}");
    bad["connections"]["tls-strange"]["tls"]["key"] = json!("${secret:RSA}");
    fs::write(&others, bad.to_string()).expect("JSON is YAML");
    look(&workspace, &engine, &mut seen);
    let mut other = good.clone();
    other["connections"]["bearer"]["auth"] = json!({ "bearer": "${secret:HEADER}" });
    fs::write(&others, other.to_string()).expect("JSON is YAML");
    look(&workspace, &engine, &mut seen);
    engine.stop();

    for arguments in [["doctor"].as_slice(), &["doctor", "--json"], &["plan"], &["rebuild"]] {
        let output = workspace.ask_with(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        seen.add(&format!("{arguments:?}"), [output.stdout, output.stderr].concat());
    }
    for kept in ["data", "out", ".weft"] {
        seen.folder(&workspace.path().join(kept));
    }
    seen.add("what the engine said", fs::read(workspace.path().join("engine.log")).expect("it said something"));
    let bytes: usize = seen.0.iter().map(|(_, bytes)| bytes.len()).sum();
    assert!(seen.0.len() > 80 && bytes > 100_000, "{} places, {bytes} bytes", seen.0.len());
    let found = seen.found(&canaries);
    assert!(found.is_empty(), "{} times:\n{}", found.len(), found.join("\n"));
}
