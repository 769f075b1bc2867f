//! SDKs that nobody here wrote, against a running engine, over a line that fails: what they mean arrives, and once.
//!
//! Segment's own clients for Python and Node are installed from their package indexes into `target/peers/`, once. Each tells the story
//! of `peers/story.py`, through a proxy that answers 503, then 429 with `Retry-After`, and then loses answers: it hands a batch to
//! the engine and tells the client 503, so that the client sends events again that are there. A machine without an interpreter or
//! without a package index says that it skips, and why.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weft_tests::engine::{Engine, KEY, Workspace, number};
use weft_tests::root;
use weft_tests::wire::split;

/// What is installed: a version each, so that a run is the same tomorrow.
const PYTHON_SDK: &str = "segment-analytics-python==2.4.0";
const NODE_SDK: &str = "@segment/analytics-node@3.1.0";

/// An SDK tells its story within so long, with all its waiting between tries.
const STORY_TIME_MAX: Duration = Duration::from_secs(120);

/// What the proxy does to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// 503 at once: the engine hears nothing of it.
    Unavailable,
    /// 429 with `Retry-After: 1`: the engine hears nothing of it.
    TooMany,
    /// The engine takes the batch, and the sender is told 503.
    AnswerLost,
}

/// Before everything goes through.
const FAULTS: [Fault; 4] = [Fault::Unavailable, Fault::TooMany, Fault::AnswerLost, Fault::AnswerLost];

/// A proxy that fails as [`FAULTS`] says, and notes what the engine was given.
struct Proxy {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    requests: usize,
    /// Status codes that the engine itself answered with.
    answers: BTreeMap<u16, usize>,
    /// How often the engine was given each message, by its id.
    handed: BTreeMap<String, usize>,
    gzipped: usize,
}

impl Proxy {
    fn start(engine: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let seen = Arc::<Mutex<Seen>>::default();
        let shared = seen.clone();
        // It ends with the process: a test's proxy has nothing to put in order.
        thread::spawn(move || {
            for line in listener.incoming().flatten() {
                let shared = shared.clone();
                thread::spawn(move || pass(line, engine, &shared));
            }
        });
        Proxy { address, seen }
    }
}

/// Passes one request on, or not, and closes the line.
fn pass(mut line: TcpStream, engine: SocketAddr, seen: &Mutex<Seen>) -> Option<()> {
    let request = read_message(&mut line)?;
    let fault = {
        let mut seen = seen.lock().expect("no thread panics with it");
        let fault = FAULTS.get(seen.requests).copied();
        seen.requests += 1;
        fault
    };
    let answer = match fault {
        Some(Fault::Unavailable) => refusal("503 Service Unavailable", ""),
        Some(Fault::TooMany) => refusal("429 Too Many Requests", "retry-after: 1\r\n"),
        Some(Fault::AnswerLost) => {
            hand_on(&request, engine, seen)?;
            refusal("503 Service Unavailable", "")
        }
        None => hand_on(&request, engine, seen)?,
    };
    line.write_all(&answer).ok()
}

fn refusal(status: &str, header: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{header}content-length: 0\r\nconnection: close\r\n\r\n").into_bytes()
}

/// Gives a request to the engine, and its answer back with the line's end said.
fn hand_on(request: &[u8], engine: SocketAddr, seen: &Mutex<Seen>) -> Option<Vec<u8>> {
    let mut line = TcpStream::connect(engine).ok()?;
    line.write_all(request).ok()?;
    let answer = read_message(&mut line)?;
    let (first, _, body) = split(&answer)?;
    let mut seen = seen.lock().expect("no thread panics with it");
    *seen.answers.entry(first.get(9..12)?.parse().ok()?).or_default() += 1;
    let (messages, is_gzip) = messages_of(request);
    seen.gzipped += usize::from(is_gzip);
    for id in messages {
        *seen.handed.entry(id).or_default() += 1;
    }
    let head = first.strip_prefix("HTTP/1.1 ")?;
    let mut passed = format!("HTTP/1.1 {head}\r\ncontent-type: application/json\r\nconnection: close\r\n").into_bytes();
    passed.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    passed.extend_from_slice(body);
    Some(passed)
}

/// A message with a length (RFC 9112, 6.3), or in chunks, as it came.
fn read_message(line: &mut TcpStream) -> Option<Vec<u8>> {
    line.set_read_timeout(Some(Duration::from_secs(60))).ok()?;
    let (mut bytes, mut piece) = (Vec::new(), [0; 16 * 1024]);
    loop {
        if let Some((_, headers, body)) = split(&bytes) {
            let header = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
            let length = header("content-length").map_or(0, |length| length.parse().unwrap_or(0));
            let is_whole = match header("transfer-encoding") {
                Some(_) => body.ends_with(b"0\r\n\r\n"),
                None => body.len() >= length,
            };
            if is_whole {
                return Some(bytes);
            }
        }
        match line.read(&mut piece).ok()? {
            0 => return None,
            count => bytes.extend_from_slice(&piece[..count]),
        }
    }
}

/// The message ids in a request, and whether it was compressed.
fn messages_of(request: &[u8]) -> (Vec<String>, bool) {
    let Some((_, headers, body)) = split(request) else {
        return (Vec::new(), false);
    };
    let has = |name: &str, value: &str| headers.iter().any(|(known, said)| known == name && said.eq_ignore_ascii_case(value));
    let body =
        if has("transfer-encoding", "chunked") { weft_tests::wire::unchunked(body).unwrap_or_default() } else { body.to_vec() };
    let is_gzip = has("content-encoding", "gzip");
    let mut json = Vec::new();
    if is_gzip {
        flate2::read::GzDecoder::new(&*body).read_to_end(&mut json).expect("the SDK's gzip is gzip");
    } else {
        json = body;
    }
    let batch: Value = serde_json::from_slice(&json).expect("the SDK's JSON is JSON");
    let id = |call: &Value| call["messageId"].as_str().expect("SDKs number their messages").to_owned();
    (batch["batch"].as_array().expect("SDKs send batches").iter().map(id).collect(), is_gzip)
}

/// Says that a test does not run, and why.
fn skip(what: &str, why: &str) {
    #[expect(clippy::print_stderr, reason = "a test that is skipped says so, or nobody would know")]
    {
        eprintln!("SKIPPED: {what}: {why}");
    }
}

/// The interpreter with Segment's SDK in it, or why there is none.
fn python() -> Result<PathBuf, String> {
    static FOUND: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let found = || {
        let folder = root().join("target/peers/py");
        let python = folder.join("bin/python");
        let sdk = Path::new("-c");
        let is_there = || quiet(Command::new(&python).arg(sdk).arg("import segment.analytics.client")).is_ok();
        if is_there() {
            return Ok(python);
        }
        quiet(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
        quiet(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PYTHON_SDK]))?;
        is_there().then_some(python).ok_or_else(|| format!("{PYTHON_SDK} was installed and cannot be imported"))
    };
    FOUND.get_or_init(found).clone()
}

/// The folder with Segment's SDK for Node in it, or why there is none.
fn node() -> Result<PathBuf, String> {
    let folder = root().join("target/peers/js");
    quiet(Command::new("node").arg("--version"))?;
    if folder.join("node_modules/@segment/analytics-node/package.json").is_file() {
        return Ok(folder);
    }
    fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    fs::write(folder.join("package.json"), r#"{"private":true}"#).map_err(|error| error.to_string())?;
    quiet(Command::new("npm").current_dir(&folder).args(["install", "--no-audit", "--no-fund", "--silent", NODE_SDK]))?;
    Ok(folder)
}

/// Runs a command to its end; an error says what it was and what it said.
fn quiet(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("`{program}` cannot be started: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(format!("`{program}` ended with {}: {}", output.status, words.lines().last().unwrap_or("without a word")))
}

/// Lets an SDK tell its story, to its end.
fn tell(command: &mut Command) -> Output {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it was started before");
    let began = Instant::now();
    while child.try_wait().expect("a child can be waited for").is_none() {
        if began.elapsed() > STORY_TIME_MAX {
            _ = child.kill();
            panic!("the SDK was not done after {STORY_TIME_MAX:?}");
        }
        thread::sleep(Duration::from_millis(50));
    }
    child.wait_with_output().expect("its words can be read")
}

/// How bodies come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Plain,
    Gzip,
}

/// Runs an SDK against an engine behind a proxy, and looks at what came of it. `client` makes the command from the host and the prefix.
fn check(prefix: &str, encoding: Encoding, client: impl FnOnce(&str, &str) -> Command) {
    let workspace = Workspace::create();
    let engine = workspace.start();
    let proxy = Proxy::start(engine.address);
    let output = tell(&mut client(&format!("http://{}", proxy.address), prefix));
    assert!(output.status.success(), "the SDK gave up: {}", String::from_utf8_lossy(&output.stderr));

    let (handed, repeated) = {
        let seen = proxy.seen.lock().expect("no thread panicked");
        assert!(seen.requests > FAULTS.len(), "{} requests: not every fault was met", seen.requests);
        let all = seen.answers.values().sum::<usize>();
        assert_eq!(seen.answers, BTreeMap::from([(200, all)]), "the engine takes whatever an SDK sends");
        assert_eq!(seen.gzipped, if encoding == Encoding::Gzip { all } else { 0 });
        (seen.handed.len() as u64, seen.handed.values().filter(|count| **count > 1).count())
    };
    assert!(repeated > 0, "no message came twice: the proxy tests nothing");
    assert_eq!(handed, EVENTS, "the SDK sent every call");

    let status = engine.settle();
    assert_eq!((number(&status, "/totals/events"), number(&status, "/totals/letters")), (EVENTS, 0), "each call counts once");
    people(&engine, prefix);
    engine.stop();
    let written = workspace.written("events");
    let ids: BTreeSet<&str> = written.iter().filter_map(|event| event["message_id"].as_str()).collect();
    assert_eq!((written.len() as u64, ids.len() as u64), (EVENTS, EVENTS), "each call is in the files exactly once");
}

/// Calls of the story: Ann's 6, Bob's 6, Carl's 20.
const EVENTS: u64 = 32;

/// Who there must be after the story.
fn people(engine: &Engine, prefix: &str) {
    let name = |name: &str| format!("{prefix}-{name}");
    let email = |name: &str| format!("{prefix}-{name}@example.com");
    let all = |kind: &str, value: &str, events: u64| {
        let page = engine.profile(kind, value).unwrap_or_else(|| panic!("nobody is known by {kind} {value}"));
        assert_eq!(number(&page, "/profile/events_total"), events, "{value}");
        page["profile"].clone()
    };
    let ann = all("user_id", &name("ann"), 6);
    assert_eq!(all("anonymous_id", &name("laptop"), 6)["customer_id"], ann["customer_id"], "what she did before is hers");
    assert_eq!(all("email", &email("ann"), 6)["customer_id"], ann["customer_id"]);
    let traits = json!({ "name": "Änn Doe", "email": email("ann"), "phone": "+493023125001", "vip": true });
    for (trait_name, value) in traits.as_object().expect("an object") {
        assert_eq!(ann["traits"][trait_name], *value, "{trait_name}");
    }
    assert_eq!(ann["groups"], json!([name("acme")]));
    let mut kinds = identifiers(&ann);
    kinds.sort();
    let want =
        [("anonymous_id", name("laptop")), ("email", email("ann")), ("phone", "+493023125001".into()), ("user_id", name("ann"))];
    assert_eq!(kinds, want.map(|(kind, value)| (kind.to_owned(), value)));

    let events = |kind: &str, value: &str| match engine.page(&format!("/api/v1/profiles/{kind}/{value}/events")).1 {
        Value::Array(events) => events,
        other => panic!("no events of {value}: {other}"),
    };
    let of_ann = events("user_id", &name("ann"));
    let mut types: Vec<&str> = of_ann.iter().filter_map(|event| event["type"].as_str()).collect();
    types.sort_unstable();
    assert_eq!(types, ["group", "identify", "page", "screen", "track", "track"]);
    let order = of_ann.iter().find(|event| event["name"] == "Order Completed").expect("her order");
    // The SDKs' clocks are this machine's: what they say of the time is corrected by their way alone.
    assert!(order["occurred"].as_str().is_some_and(|at| at.starts_with("2026-03-01T1")), "{order}");
    assert_eq!(order["properties"]["total"].to_string(), "29.9", "a sum stays the decimal that it was");
    assert_eq!(order["products"].as_array().map(Vec::len), Some(1), "{order}");

    let bob = all("user_id", &name("bob"), 6);
    assert_eq!(all("user_id", &name("bobby"), 6)["customer_id"], bob["customer_id"], "an alias is one person");
    assert_eq!(all("email", &email("bob"), 6)["customer_id"], bob["customer_id"]);
    all("user_id", &name("carl"), 20);
    let carl: BTreeSet<u64> = events("user_id", &name("carl")).iter().map(|event| number(event, "/properties/number")).collect();
    assert_eq!(carl, (0..20).collect());
    assert_eq!(number(&engine.settle(), "/totals/customers"), 3);
}

fn identifiers(profile: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let list = profile["identifiers"].as_array().expect("a profile has identifiers");
    list.iter().map(|identifier| (text(&identifier["type"]), text(&identifier["value"]))).collect()
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(name)
}

fn check_python(prefix: &str, encoding: Encoding) {
    match python() {
        Err(why) => skip("Segment's SDK for Python", &why),
        Ok(python) => check(prefix, encoding, |host, prefix| {
            let mut command = Command::new(python);
            let encoding = if encoding == Encoding::Gzip { "gzip" } else { "json" };
            command.arg(script("story.py")).args([&format!("{host}/segment"), KEY, prefix, encoding]);
            command
        }),
    }
}

#[test]
fn segments_sdk_for_python_is_understood_and_heard_once() {
    check_python("py", Encoding::Plain);
}

#[test]
fn segments_sdk_for_python_is_understood_with_gzip() {
    check_python("pyz", Encoding::Gzip);
}

#[test]
fn segments_sdk_for_node_is_understood_and_heard_once() {
    match node() {
        Err(why) => skip("Segment's SDK for Node", &why),
        Ok(folder) => check("js", Encoding::Plain, |host, prefix| {
            let mut command = Command::new("node");
            command.current_dir(folder).arg(script("story.mjs")).args([host, KEY, prefix]);
            command
        }),
    }
}
