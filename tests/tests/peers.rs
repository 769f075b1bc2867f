//! SDKs that nobody here wrote, against a running engine, over a line that fails: what they mean arrives, and once.
//!
//! Clients of Segment, RudderStack and mParticle for Python, Node and web pages are installed from their package indexes
//! (`tests/src/install.rs`). Each tells a story: `peers/story.*` and `peers/rudder.html` in Segment's calls, `peers/batches.*` in mParticle's
//! batches, `peers/shop.html` as a page of mParticle's, and `peers/identity.html` asks of whom it was told. The line (`peers/proxy.rs`) answers 503, then 429 with `Retry-After`, and loses
//! answers: it hands events to the engine and tells the client 503, so that the client sends events again that are there. Who there must
//! be then, `peers/people.rs` says.

#[path = "peers/people.rs"]
mod people;
#[path = "peers/proxy.rs"]
mod proxy;
#[path = "peers/site.rs"]
mod site;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use weft_tests::engine::{Engine, KEY, Protocol, SECRET, Workspace, number};
use weft_tests::install::{self, chromium, skip};
use weft_tests::wire::Request;

use crate::proxy::{Fault, Proxy};
use crate::site::{Browser, Site};

/// What is installed for Python: one version each, so that a run is the same tomorrow.
const PYTHON: [&str; 3] = ["segment-analytics-python==2.4.0", "mparticle==0.16.1", "rudder-sdk-python==2.1.9"];

/// What is installed for Node and for pages.
const NODE: [&str; 6] = [
    "@segment/analytics-node@3.1.0",
    "@segment/analytics-next@1.84.3",
    "@rudderstack/rudder-sdk-node@3.0.13",
    "@rudderstack/analytics-js@3.34.1",
    "@mparticle/web-sdk@2.68.0",
    "mparticle@1.0.8",
];

fn python() -> Result<PathBuf, String> {
    install::python("py", &PYTHON)
}

fn node() -> Result<PathBuf, String> {
    install::node("js", &NODE)
}

/// An SDK tells its story within so long, with all its waiting between tries.
const STORY_TIME_MAX: Duration = Duration::from_secs(120);
/// How long a page is watched once all is there: past the next time that an SDK would send something again.
const SILENCE: Duration = Duration::from_secs(2);

/// For SDKs that send again whatever they send first, until it went through.
const AT_FIRST: [Fault; 4] = [Fault::Unavailable, Fault::TooMany, Fault::AnswerLost, Fault::AnswerLost];
/// For SDKs that send a thing at a time: each of four is lost once.
const EACH_ONCE: [Fault; 10] = [
    Fault::Unavailable,
    Fault::AnswerLost,
    Fault::None,
    Fault::AnswerLost,
    Fault::TooMany,
    Fault::None,
    Fault::AnswerLost,
    Fault::None,
    Fault::AnswerLost,
    Fault::None,
];

/// Calls of the story in Segment's calls: Ann's 6, Bob's 6, Carl's 20.
const CALLS: u64 = 32;
/// Events of the story in mParticle's batches: Ann's 5, Bob's 4, Carl's 20.
const BATCHED: u64 = 29;
/// Events of the story of mParticle's page: Ann's 15, Bob's 12.
const SHOPPED: u64 = 27;

/// How bodies come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Plain,
    Gzip,
}

/// A story, and what must come of it.
struct Story {
    protocol: Protocol,
    faults: &'static [Fault],
    /// What the engine answers whoever brings events.
    answer: u16,
    encoding: Encoding,
    events: u64,
    /// Those among them that are identity calls, which the line lets through.
    identity_calls: u64,
    people: fn(&Engine, &str),
}

const IN_CALLS: Story = Story {
    protocol: Protocol::Segment,
    faults: &AT_FIRST,
    answer: 200,
    encoding: Encoding::Plain,
    events: CALLS,
    identity_calls: 0,
    people: people::of_calls,
};
const IN_BATCHES: Story = Story {
    protocol: Protocol::MParticle,
    faults: &EACH_ONCE,
    answer: 202,
    encoding: Encoding::Plain,
    events: BATCHED,
    identity_calls: 0,
    people: people::of_batches,
};

const IN_A_PAGE: Story = Story {
    protocol: Protocol::MParticle,
    faults: &AT_FIRST,
    answer: 202,
    encoding: Encoding::Plain,
    events: SHOPPED,
    identity_calls: 3,
    people: people::of_a_page,
};

impl Story {
    /// Lets an SDK tell it to an engine behind a proxy, and looks at what came of it. `tell` is given the line's address and the engine.
    fn check(&self, prefix: &str, tell: impl FnOnce(&str, &Engine)) {
        let workspace = Workspace::of(self.protocol);
        let engine = workspace.start();
        let proxy = Proxy::start(engine.address, self.faults);
        tell(&format!("http://{}", proxy.address), &engine);

        let (handed, repeated) = {
            let seen = proxy.seen.lock().expect("no thread panicked");
            assert!(seen.requests >= self.faults.len(), "{} requests: not every fault was met", seen.requests);
            let all = seen.answers.values().sum::<usize>();
            assert_eq!(seen.answers, BTreeMap::from([(self.answer, all)]), "the engine takes whatever an SDK sends");
            assert_eq!(seen.gzipped, if self.encoding == Encoding::Gzip { all } else { 0 });
            (seen.handed.len() as u64, seen.handed.values().filter(|count| **count > 1).count())
        };
        assert!(repeated > 0, "no event came twice: the proxy tests nothing");
        assert_eq!(handed + self.identity_calls, self.events, "the SDK sent every event");

        let status = engine.settle();
        let totals = (number(&status, "/totals/events"), number(&status, "/totals/letters"));
        assert_eq!(totals, (self.events, 0), "each counts once: {}", letters(&engine));
        (self.people)(&engine, prefix);
        engine.stop();
        let written = workspace.written("events");
        let ids: BTreeSet<&str> = written.iter().filter_map(|event| event["message_id"].as_str()).collect();
        assert_eq!((written.len() as u64, ids.len() as u64), (self.events, self.events), "each is in the files exactly once");
    }

    /// The same with a program that tells it, to its end. `client` makes the command from the line's address and the prefix.
    fn check_program(&self, prefix: &str, client: impl FnOnce(&str, &str) -> Command) {
        self.check(prefix, |line, _| run(&mut client(line, prefix)));
    }
}

/// Runs a program to its end, which must be a good one.
fn run(command: &mut Command) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it was started before");
    let began = Instant::now();
    while child.try_wait().expect("a child can be waited for").is_none() {
        if began.elapsed() > STORY_TIME_MAX {
            _ = child.kill();
            panic!("the SDK was not done after {STORY_TIME_MAX:?}");
        }
        thread::sleep(Duration::from_millis(50));
    }
    let output = child.wait_with_output().expect("its words can be read");
    assert!(output.status.success(), "the SDK gave up: {}", String::from_utf8_lossy(&output.stderr));
}

/// The first thing that could not be taken, for a test that fails.
fn letters(engine: &Engine) -> String {
    engine.page("/api/v1/dead-letters?limit=1").1.to_string()
}

/// Lets a page tell a story: a file of ours that loads a file of a package.
fn check_page(story: &Story, prefix: &str, page: &str, sdk: &str) {
    let (folder, program) = match (node(), chromium()) {
        (Ok(folder), Ok(program)) => (folder, program),
        (Err(why), _) | (_, Err(why)) => return skip("SDKs for pages", &why),
    };
    story.check(prefix, |line, engine| {
        let files = vec![("/", script(page)), ("/sdk.js", folder.join("node_modules").join(sdk))];
        let address = engine.address;
        let count = move || {
            let answer = Request::new("GET", "/api/v1/status").send(address).ok()?;
            serde_json::from_slice::<Value>(&answer.body).ok()?.pointer("/totals/events")?.as_u64()
        };
        let site = Site::start(files, count);
        let browser = Browser::open(&program, &format!("http://{}/?line={line}&key={KEY}&prefix={prefix}", site.address));
        let failed = site.done(STORY_TIME_MAX).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(failed, "", "the page failed");
        // What a page sends when it is left comes after that.
        let began = Instant::now();
        while count().is_none_or(|count| count < story.events) && began.elapsed() < STORY_TIME_MAX {
            thread::sleep(Duration::from_millis(50));
        }
        thread::sleep(SILENCE);
        drop(browser);
    });
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers").join(name)
}

fn check_python(sdk: &str, prefix: &str, encoding: Encoding) {
    match python() {
        Err(why) => skip("the SDKs for Python", &why),
        Ok(python) => Story { encoding, ..IN_CALLS }.check_program(prefix, |line, prefix| {
            let mut command = Command::new(python);
            let encoding = if encoding == Encoding::Gzip { "gzip" } else { "json" };
            command.arg(script("story.py")).args([sdk, &format!("{line}/segment"), KEY, prefix, encoding]);
            command
        }),
    }
}

fn check_node(sdk: &str, prefix: &str, encoding: Encoding) {
    match node() {
        Err(why) => skip("the SDKs for Node", &why),
        Ok(folder) => Story { encoding, ..IN_CALLS }.check_program(prefix, |line, prefix| {
            let mut command = Command::new("node");
            command.current_dir(folder).arg(script("story.mjs")).args([sdk, line, KEY, prefix]);
            command
        }),
    }
}

#[test]
fn segments_sdk_for_python_is_understood_and_heard_once() {
    check_python("segment", "py", Encoding::Plain);
}

#[test]
fn segments_sdk_for_python_is_understood_with_gzip() {
    check_python("segment", "pyz", Encoding::Gzip);
}

#[test]
fn segments_sdk_for_node_is_understood_and_heard_once() {
    check_node("segment", "js", Encoding::Plain);
}

#[test]
fn rudderstacks_sdk_for_python_is_understood_and_heard_once() {
    check_python("rudder", "rpy", Encoding::Gzip);
}

#[test]
fn rudderstacks_sdk_for_node_is_understood_and_heard_once() {
    check_node("rudder", "rjs", Encoding::Gzip);
}

#[test]
fn mparticles_sdk_for_python_is_understood_and_heard_once() {
    match python() {
        Err(why) => skip("mParticle's SDK for Python", &why),
        Ok(python) => IN_BATCHES.check_program("mpy", |line, prefix| {
            let mut command = Command::new(python);
            command.arg(script("batches.py")).args([line, "server", SECRET, prefix]);
            command
        }),
    }
}

#[test]
fn mparticles_sdk_for_node_is_understood_and_heard_once() {
    match node() {
        Err(why) => skip("mParticle's SDK for Node", &why),
        Ok(folder) => IN_BATCHES.check_program("mjs", |line, prefix| {
            let mut command = Command::new("node");
            command.current_dir(folder).arg(script("batches.mjs")).args([line, "server", SECRET, prefix]);
            command
        }),
    }
}

#[test]
fn segments_sdk_for_pages_is_understood_and_heard_once() {
    check_page(&IN_CALLS, "web", "story.html", "@segment/analytics-next/dist/umd/index.js");
}

#[test]
fn mparticles_sdk_for_pages_is_understood_and_heard_once() {
    check_page(&IN_A_PAGE, "mweb", "shop.html", "@mparticle/web-sdk/dist/mparticle.js");
}

#[test]
fn mparticles_sdk_for_pages_finds_out_who_is_who() {
    let (folder, program) = match (node(), chromium()) {
        (Ok(folder), Ok(program)) => (folder, program),
        (Err(why), _) | (_, Err(why)) => return skip("mParticle's SDK for pages", &why),
    };
    let engine_of = Workspace::of(Protocol::MParticle);
    let engine = engine_of.start();
    let sdk = folder.join("node_modules/@mparticle/web-sdk/dist/mparticle.js");
    let site = Site::start(vec![("/", script("identity.html")), ("/sdk.js", sdk)], || None);
    let page = format!("http://{}/?line=http://{}&key={KEY}&prefix=who", site.address, engine.address);
    let browser = Browser::open(&program, &page);
    let failed = site.done(STORY_TIME_MAX).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(failed, "", "the page failed");
    drop(browser);
    people::of_calls_about_identity(&engine, "who");
    engine.stop();
}

#[test]
fn rudderstacks_sdk_for_pages_is_understood_and_heard_once() {
    let story = Story { people: people::of_calls_without_screens, ..IN_CALLS };
    check_page(&story, "rweb", "rudder.html", "@rudderstack/analytics-js/dist/npm/modern/bundled/umd/index.js");
}
