//! `weft plugin`, as authors of plugins and those who install them type it: looked at, checked, signed, added, pinned, fetched.
//!
//! The registry is one of this file's own, over a real socket: it asks for a token, and gives its files by a redirect, as those in use do.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use weft_tests::engine::{binary, plugins};

/// What no recording may hold.
const TOKEN: &str = "xoxb-hush-hush";

struct Said {
    code: i32,
    out: String,
    error: String,
}

fn weft(folder: &Path, arguments: &[&str]) -> Said {
    let mut command = Command::new(binary());
    command.current_dir(folder).args(arguments);
    command.env_remove("WEFT_PLUGINS").env("DOCKER_CONFIG", folder.join("no-docker"));
    command.env("TOKEN", TOKEN).env("WEFT_REGISTRY_USER", "ann").env("WEFT_REGISTRY_PASSWORD", "hunter2");
    let output = command.output().expect("the engine starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code().unwrap_or(-1), out: text(&output.stdout), error: text(&output.stderr) }
}

/// It is done, and says this.
fn done(folder: &Path, arguments: &[&str], want: &str) -> String {
    let said = weft(folder, arguments);
    assert_eq!(said.code, 0, "{arguments:?}: {}{}", said.out, said.error);
    assert!(said.out.contains(want), "{arguments:?} says no `{want}`: {}", said.out);
    said.out
}

/// It is refused, in these words.
fn refused(folder: &Path, arguments: &[&str], want: &str) {
    let said = weft(folder, arguments);
    assert_ne!(said.code, 0, "{arguments:?}: {}", said.out);
    let all = format!("{}{}", said.out, said.error);
    assert!(all.contains(want), "{arguments:?} says no `{want}`: {all}");
}

/// A workspace with a destination of the plugin `file` from `place`, which is the rest of its line under `plugins:`.
fn workspace(plugins: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let yaml = format!("version: 1\nname: acme\n{plugins}");
    std::fs::write(folder.path().join("weft.yaml"), yaml).expect("writes");
    folder
}

fn dist(name: &str) -> PathBuf {
    plugins().join(format!("{name}.wasm"))
}

/// Every plugin that was built.
fn built() -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(plugins()).expect("they are built").map(|entry| entry.expect("reads").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "wasm"));
    assert!(paths.len() >= 10, "{paths:?}");
    paths.sort();
    paths
}

fn digest(json: &str) -> String {
    let value: Value = serde_json::from_str(json).expect("JSON");
    value["digest"].as_str().expect("a digest").to_owned()
}

#[test]
fn every_plugin_of_ours_keeps_the_contract() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut polls = 0;
    for path in built() {
        let name = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
        let tests = weft_tests::root().join("plugins").join(name).join("tests").display().to_string();
        let said = weft(folder.path(), &["plugin", "check", &path.display().to_string(), "--tests", &tests, "--json"]);
        assert_eq!(said.code, 0, "{}", said.out);
        let found: Value = serde_json::from_str(&said.out).expect("JSON");
        let passed = |finding: &&Value| finding["check"] == "poll-again" && finding["verdict"] == "passed";
        polls += found["findings"].as_array().into_iter().flatten().filter(passed).count();
    }
    assert!(polls >= 5, "only {polls} polls are played");
}

#[test]
fn a_plugin_is_shown_and_checked() {
    let folder = workspace(&format!("plugins: {{ slack: {{ path: {:?} }} }}\n", dist("slack")));
    let file = dist("slack").display().to_string();
    let shown = done(folder.path(), &["plugin", "inspect", &file], "slack 0.1.0, a destination: Posts a message");
    assert!(shown.contains("wants        http\n") && shown.contains("  text: string, required\n"), "{shown}");
    assert_eq!(shown, done(folder.path(), &["plugin", "inspect", "slack"], ""), "by its name too");
    refused(folder.path(), &["plugin", "inspect", "slakc"], "the workspace has slack");
    refused(folder.path(), &["plugin", "inspect", "no/such.wasm"], "there is no file `no/such.wasm`");

    let found: Value = serde_json::from_str(&done(folder.path(), &["plugin", "check", "slack", "--json"], "")).expect("JSON");
    assert_eq!(found["holds"], true);
    assert!(found["memory_bytes_max"].as_u64().is_some_and(|bytes| bytes > 0), "{found}");
    std::fs::write(folder.path().join("mine.yaml"), "text: hello\nchanel: C1\n").expect("writes");
    refused(folder.path(), &["plugin", "check", "slack", "--config", "mine.yaml"], "unknown key `chanel`");
    refused(folder.path(), &["plugin", "check", "weft.yaml"], "is no WebAssembly component");
}

#[test]
fn a_plugin_is_signed_and_only_the_signed_one_is_run() {
    let folder = workspace("");
    let at = folder.path();
    std::fs::copy(dist("file"), at.join("file.wasm")).expect("copies");
    done(at, &["plugin", "key", "mine"], "mine.key");
    done(at, &["plugin", "key", "other"], "other.pub");
    refused(at, &["plugin", "key", "mine"], "a key is never overwritten");
    refused(at, &["plugin", "verify", "file.wasm", "--key", "mine.pub"], "is not signed");
    done(at, &["plugin", "sign", "file.wasm", "--key", "mine.key"], "is signed by ed25519:");
    done(at, &["plugin", "verify", "file.wasm", "--key", "mine.pub"], "is signed by ed25519:");
    refused(at, &["plugin", "verify", "file.wasm", "--key", "other.pub"], "not trusted here");
    done(at, &["plugin", "check", "file.wasm"], " 0 failed");

    let workspace = |key: &str, path: &str| {
        let key = std::fs::read_to_string(at.join(key)).expect("reads");
        let yaml = format!(
            "version: 1\nname: acme\ntrusted_keys: [\"{}\"]\nplugins: {{ file: {{ path: {path:?} }} }}\ndestinations: {{ lake: {{ plugin: file, from: {{ events: all }}, config: {{ path: out }} }} }}\n",
            key.trim()
        );
        std::fs::write(at.join("weft.yaml"), yaml).expect("writes");
    };
    workspace("mine.pub", "file.wasm");
    done(at, &["check"], "in order");
    workspace("other.pub", "file.wasm");
    refused(at, &["check"], "error[plugin/signature]");
    workspace("mine.pub", &dist("file").display().to_string());
    refused(at, &["check"], "is not signed");
}

#[test]
fn a_file_is_added_and_pinned_and_another_in_its_place_is_refused() {
    let folder = workspace("# what runs here\nplugins:\n  # ours\n  old: { path: old.wasm }\n");
    let at = folder.path();
    std::fs::copy(dist("filter"), at.join("old.wasm")).expect("copies");
    std::fs::copy(dist("file"), at.join("lake.wasm")).expect("copies");
    refused(at, &["plugin", "add", "lake.wasm"], "nobody is there to say yes");
    assert!(!at.join("weft.lock").exists());
    let said = done(at, &["plugin", "add", "lake.wasm", "--name", "lake", "--yes"], "file 0.1.0, a destination");
    assert!(said.contains("to read and write in the folders of its configuration"), "{said}");
    let yaml = std::fs::read_to_string(at.join("weft.yaml")).expect("reads");
    assert!(yaml.contains("  # ours\n  lake: { path: \"lake.wasm\" }\n  old: { path: old.wasm }\n"), "{yaml}");
    // The lock is new: what was there before is in it as well.
    let lock = std::fs::read_to_string(at.join("weft.lock")).expect("reads");
    assert!(lock.contains("  lake:\n") && lock.contains("  old:\n"), "{lock}");
    done(at, &["check"], "in order");

    std::fs::copy(dist("slack"), at.join("lake.wasm")).expect("copies");
    refused(at, &["check"], "error[plugin/digest]");
    done(at, &["plugin", "lock"], "lake: 0.1.0 sha256:");
    done(at, &["check"], "in order");
    let more = format!("{yaml}  third: {{ path: lake.wasm }}\n");
    std::fs::write(at.join("weft.yaml"), more).expect("writes");
    refused(at, &["check"], "error[plugin/unpinned]");
}

#[test]
fn the_own_tests_of_our_plugins_pass() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut played = 0;
    for path in built() {
        let name = path.file_stem().expect("a file has a name").to_string_lossy().into_owned();
        let tests = weft_tests::root().join("plugins").join(name).join("tests");
        let is_yaml = |entry: &std::fs::DirEntry| entry.path().extension().is_some_and(|extension| extension == "yaml");
        if std::fs::read_dir(&tests).into_iter().flatten().flatten().any(|entry| is_yaml(&entry)) {
            let (file, tests) = (path.display().to_string(), tests.display().to_string());
            done(folder.path(), &["plugin", "test", &file, "--tests", &tests], " 0 failed");
            played += 1;
        }
    }
    assert!(played >= 4, "only {played} plugins have tests");
}

#[test]
fn a_case_that_does_not_hold_says_what_came_instead() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    let file = dist("slack").display().to_string();
    let check = |case: &str, want: &[&str]| {
        let text = format!("config: {{ channel: \"#a\", text: hello }}\ncases:\n  - {{ name: it, {case} }}\n");
        std::fs::write(at.join("it.yaml"), text).expect("writes");
        for want in want {
            refused(at, &["plugin", "test", &file, "--tests", "."], want);
        }
    };
    let ask = "ask: { method: POST, target: chat.postMessage }";
    check(
        "deliver: { records: [{ type: page }] }, expect: {}",
        &["request 1 is not expected: POST chat.postMessage", "unavailable"],
    );
    check(
        &format!("deliver: {{ records: [] }}, http: [{{ {ask} }}], expect: {{}}"),
        &["request 1 is not made: POST chat.postMessage"],
    );
    check(
        "deliver: { records: [{ type: page }] }, http: [{ ask: { method: POST, target: chat.postMessage, body: { text: bye } }, answer: { body: { ok: true } } }], expect: { receipts: [{ reject: no }] }",
        &["request 1: the body: `text`: expected \"bye\", and it is \"hello\"", "receipt 1: it is ok"],
    );
    check("poll: {}, expect: {}", &["a destination is not called so"]);
    check("deliver: { recrods: [] }, expect: {}", &["did you mean `records`?"]);
    check("expect: {}", &["has not exactly one of `apply`"]);
}

#[test]
fn what_a_real_peer_says_is_recorded_without_what_is_secret() {
    let peer = Registry::start();
    let echo = format!(r#"{{"ok":true,"token":"{TOKEN}"}}"#);
    peer.put("/api/chat.postMessage", echo.as_bytes());
    let folder = workspace(&format!(
        "connections: {{ slack: {{ base_url: \"http://{}/api/\", auth: {{ bearer: \"${{secret:TOKEN}}\" }} }} }}\n",
        peer.address
    ));
    let at = folder.path();
    std::fs::create_dir(at.join("tests")).expect("makes");
    let case = "cases:\n  - name: it is posted\n    config: { channel: \"#a\", text: hello }\n    deliver: { records: [{ type: page }] }\n    http: recorded/it.yaml\n    expect: { receipts: [ok] }\n";
    std::fs::write(at.join("tests/posts.yaml"), case).expect("writes");
    let file = dist("slack").display().to_string();
    let test = ["plugin", "test", &file, "--tests", "tests"];
    refused(at, &test, "cannot be read");
    done(at, &[&test[..], &["--record", "--connection", "slack"]].concat(), "1 passed, 0 failed");
    assert_eq!(peer.asked(), [format!("/api/chat.postMessage Bearer {TOKEN}")]);
    let recorded = std::fs::read_to_string(at.join("tests/recorded/it.yaml")).expect("it was written");
    assert!(!recorded.contains(TOKEN) && recorded.contains(r#""token":"[secret]""#), "{recorded}");
    done(at, &test, "1 passed, 0 failed");
    assert_eq!(peer.asked(), Vec::<String>::new());
}

#[test]
fn sources_that_are_newer_than_what_is_tested_are_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    for name in ["dist", "src/parts", "tests"] {
        std::fs::create_dir_all(at.join(name)).expect("makes");
    }
    let case = "cases: [{ name: one, config: { channel: a, text: b }, deliver: { records: [] }, expect: { receipts: [] } }]";
    std::fs::write(at.join("tests/one.yaml"), case).expect("writes");
    let source = at.join("src/parts/one.rs");
    std::fs::write(&source, "").expect("writes");
    std::fs::copy(dist("slack"), at.join("dist/slack.wasm")).expect("copies");
    let said = || {
        ["test", "check"].map(|verb| {
            let said = weft(at, &["plugin", verb, "dist/slack.wasm"]);
            assert_eq!(said.code, 0, "{}{}", said.out, said.error);
            said.error
        })
    };
    assert_eq!(said(), ["", ""]);
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
    std::fs::File::options().write(true).open(&source).and_then(|file| file.set_modified(later)).expect("it is ours");
    let want = "note: src/parts/one.rs was changed after dist/slack.wasm was built: `weft plugin build` builds it\n";
    assert_eq!(said(), [want, want]);
}

/// Files by their paths: media type and bytes.
type Files = BTreeMap<String, (String, Vec<u8>)>;

/// What a registry and a web server at one address have, and who asked for what.
struct Registry {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
    files: Arc<Mutex<Files>>,
}

impl Registry {
    fn start() -> Registry {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let registry = Registry { address: address.clone(), asked: Arc::default(), files: Arc::default() };
        let (asked, files) = (registry.asked.clone(), registry.files.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                answer(stream, &address, &asked, &files);
            }
        });
        registry
    }

    /// Puts a plugin under a tag.
    fn push(&self, tag: &str, digest: &str, bytes: &[u8], media_type: &str) {
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": { "mediaType": "application/vnd.wasm.config.v0+json", "digest": digest, "size": 2 },
            "layers": [{ "mediaType": media_type, "digest": digest, "size": bytes.len() }],
        });
        let mut files = self.files.lock().expect("nobody panicked");
        files.insert(
            format!("/v2/acme/file/manifests/{tag}"),
            ("application/vnd.oci.image.manifest.v1+json".into(), manifest.to_string().into()),
        );
        files.insert(format!("/storage/{digest}"), ("application/octet-stream".into(), bytes.to_vec()));
    }

    fn put(&self, path: &str, bytes: &[u8]) {
        self.files.lock().expect("nobody panicked").insert(path.into(), ("application/wasm".into(), bytes.to_vec()));
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().expect("nobody panicked"))
    }
}

fn answer(stream: TcpStream, address: &str, asked: &Mutex<Vec<String>>, files: &Mutex<BTreeMap<String, (String, Vec<u8>)>>) {
    let mut reader = BufReader::new(stream.try_clone().expect("clones"));
    let (mut first, mut authorization, mut length) = (String::new(), String::new(), 0);
    reader.read_line(&mut first).expect("reads");
    for line in reader.by_ref().lines() {
        let line = line.expect("reads");
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("authorization: ") {
            authorization = line[line.len() - value.len()..].to_owned();
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length: ") {
            length = value.parse().expect("a length");
        }
    }
    reader.read_exact(&mut vec![0; length]).expect("the body comes");
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    asked.lock().expect("nobody panicked").push(format!("{path} {authorization}").trim().to_owned());
    let ok = |kind: &str, body: &[u8]| (format!("200 OK\r\ncontent-type: {kind}"), body.to_vec());
    let (head, body) = if path.starts_with("/token?") {
        match authorization.as_str() {
            // ann:hunter2
            "Basic YW5uOmh1bnRlcjI=" => ok("application/json", br#"{"token":"t-1"}"#),
            _ => ("403 Forbidden".into(), Vec::new()),
        }
    } else if path.starts_with("/v2/") && authorization != "Bearer t-1" {
        let challenge =
            format!("Bearer realm=\"http://{address}/token\",service=\"registry\",scope=\"repository:acme/file:pull\"");
        (format!("401 Unauthorized\r\nwww-authenticate: {challenge}"), Vec::new())
    } else if let Some((_, digest)) = path.split_once("/v2/acme/file/blobs/").filter(|(before, _)| before.is_empty()) {
        // Another host, as far as a client can tell: credentials must not come along.
        let port = address.rsplit_once(':').map_or("", |(_, port)| port);
        (format!("307 Temporary Redirect\r\nlocation: http://localhost:{port}/storage/{digest}"), Vec::new())
    } else {
        match files.lock().expect("nobody panicked").get(&path) {
            Some((kind, bytes)) => ok(kind, bytes),
            None => ("404 Not Found".into(), Vec::new()),
        }
    };
    let mut stream = stream;
    let head = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    // A client that has seen enough may be gone.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}

#[test]
fn an_artifact_is_added_once_and_never_asked_for_again() {
    let folder = workspace("");
    let at = folder.path();
    let registry = Registry::start();
    let bytes = std::fs::read(dist("file")).expect("it is built");
    let file = digest(&done(at, &["plugin", "inspect", &dist("file").display().to_string(), "--json"], ""));
    registry.push("1.0", &file, &bytes, "application/wasm");
    let from = format!("oci://{}/acme/file:1.0", registry.address);
    done(at, &["plugin", "add", &from, "--yes"], "pinned in");
    let asked = registry.asked();
    let storage = asked.iter().find(|line| line.starts_with("/storage/")).expect("the file was fetched");
    assert_eq!(storage, &format!("/storage/{file}"), "credentials went to where the file lies");
    done(at, &["check"], "in order");

    // The registry is not needed any more, and a tag that moves changes nothing.
    let other = std::fs::read(dist("slack")).expect("it is built");
    let slack = digest(&done(at, &["plugin", "inspect", &dist("slack").display().to_string(), "--json"], ""));
    registry.push("1.0", &slack, &other, "application/wasm");
    done(at, &["check"], "in order");
    assert_eq!(registry.asked(), Vec::<String>::new(), "a check asks nobody");
    std::fs::remove_dir_all(at.join(".weft")).expect("removes");
    refused(at, &["check"], "error[plugin/not-fetched]");
    done(at, &["plugin", "fetch"], "1 fetched, 0 failed");
    done(at, &["check"], "in order");
    done(at, &["plugin", "fetch"], "0 fetched, 0 failed");

    // What the registry gives in its place is not taken.
    std::fs::remove_dir_all(at.join(".weft")).expect("removes");
    registry.put(&format!("/storage/{file}"), b"something else");
    refused(at, &["plugin", "fetch"], "has the digest sha256:");
    refused(at, &["plugin", "add", &format!("oci://{}/acme/file:2.0", registry.address), "--name", "b", "--yes"], "404");
    registry.push("3.0", &slack, &other, "application/vnd.oci.image.layer.v1.tar+gzip");
    let image = format!("oci://{}/acme/file:3.0", registry.address);
    refused(at, &["plugin", "add", &image, "--name", "b", "--yes"], "not exactly one layer of `application/wasm`");
}

#[test]
fn an_address_is_added_and_pinned() {
    let folder = workspace("");
    let at = folder.path();
    let registry = Registry::start();
    registry.put("/filter.wasm", &std::fs::read(dist("filter")).expect("it is built"));
    let from = format!("http://{}/filter.wasm", registry.address);
    done(at, &["plugin", "add", &from, "--yes"], "wants      nothing but to log");
    done(at, &["check"], "in order");
    registry.put("/filter.wasm", b"something else");
    std::fs::remove_dir_all(at.join(".weft")).expect("removes");
    refused(at, &["plugin", "fetch"], "has the digest sha256:");
    refused(at, &["plugin", "add", "http://plugins.example.com/x.wasm", "--yes"], "by `https://`");
    refused(at, &["plugin", "add", &format!("http://{}/none.wasm", registry.address), "--yes"], "answers 404");
}
