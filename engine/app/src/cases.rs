//! A plugin's own tests: what it is given, what the other side answers, and what must come of it, as `tests/*.yaml` beside the plugin.
//!
//! ```yaml
//! config: { channel: "#sales", text: "{{ event.name }}" }
//! cases:
//!   - name: an order is posted
//!     deliver: { records: [{ type: track, name: Order Completed }] }
//!     http:
//!       - ask: { method: POST, target: chat.postMessage, body: { text: Order Completed } }
//!         answer: { status: 200, body: { ok: true } }
//!     expect: { receipts: [ok] }
//! ```
//!
//! A case runs in the real sandbox. Nothing leaves it: requests are answered by the exchanges that the case has, in their order, and one that is not
//! expected fails the case. With a connection they are made for real and written down, secrets blotted out ([`record`]). The page is
//! `docs/plugin-tests.md`. `cases/format.rs` is the format, `cases/compare.rs` what fits an expectation, `cases/script.rs` the other side.

mod compare;
mod format;
mod script;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use weft_domain::problem::{Code, Problem, Problems};
use weft_host::{Batch, Destination, Failure, Fault, Kind, Outcome, Output, Place, Plugin, Receipt, Received, Source, Transform};

use crate::config::alone::{self, document};
use crate::config::{Block, Environment};
use crate::rehearsal::{Basket, Peer, Props};
use compare::Came;
pub use format::{Case, CaseFile, Exchanges};
use format::{Deliver, Exchange, Given, Http, Sent};
pub use script::{Recorder, Script};

/// When requests of a case arrive that does not say it: 2026-03-01T09:30:00Z.
const NOW_MS: u64 = 1_772_357_400_000;

/// A file of cases, and where it is.
pub struct Suite {
    /// The file.
    pub path: PathBuf,
    file: CaseFile,
}

/// What came of a case.
#[derive(Debug)]
pub struct Ended {
    /// What did not come out as expected; empty where all did.
    pub failures: Vec<String>,
    /// What the plugin logged.
    pub lines: Vec<String>,
}

/// A poll of which its author says that it ends well: all that it takes to play it in other ways than the author does.
pub struct GoodPoll {
    /// The case's name.
    pub name: String,
    /// The configuration.
    pub block: Block,
    /// What the last poll left behind.
    pub state: Option<String>,
    exchanges: Vec<Exchange>,
}

impl GoodPoll {
    /// The other side, which plays its part so many times.
    #[must_use]
    pub fn peer(&self, times: usize) -> Arc<Script> {
        Script::new(std::iter::repeat_n(&self.exchanges, times).flatten().cloned().collect())
    }
}

/// The suites of a folder: its `*.yaml`, sorted by name.
///
/// # Errors
/// What is wrong with one of them.
pub fn suites(folder: &Path) -> Result<Vec<Suite>, Problems> {
    let unreadable = |error: std::io::Error| {
        let problem = Problem::error(Code::YAML_UNREADABLE, format!("the folder `{}` cannot be read: {error}", folder.display()));
        Problems::from_iter([problem])
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.extension().is_some_and(|extension| extension == "yaml") && path.is_file() {
            paths.push(path);
        }
    }
    paths.sort();
    paths.into_iter().map(|path| Ok(Suite { file: document(&path)?, path })).collect()
}

impl Suite {
    /// Its cases, in order.
    #[must_use]
    pub fn cases(&self) -> &[Case] {
        &self.file.cases
    }

    /// Plays a case against the exchanges that it has.
    ///
    /// # Errors
    /// What is wrong with the case itself.
    pub async fn play(&self, plugin: &Plugin, case: &Case) -> Result<Ended, Problems> {
        let script = Script::new(self.exchanges(case)?);
        let (mut failures, lines) = self.run(plugin, case, script.clone()).await?;
        // What was asked and not expected explains the rest.
        failures.splice(0..0, script.failures());
        Ok(Ended { failures, lines })
    }

    /// Its polls that are to end well.
    ///
    /// # Errors
    /// What is wrong with a case.
    pub fn good_polls(&self, plugin: &Plugin) -> Result<Vec<GoodPoll>, Problems> {
        let mut polls = Vec::new();
        for case in &self.file.cases {
            let (Given::Poll(poll), None) = (&case.given, &case.expect.failure) else { continue };
            let state = poll.state.as_ref().map(|state| state.text().to_owned());
            let (block, exchanges) = (self.block(plugin, case)?, self.exchanges(case)?);
            polls.push(GoodPoll { name: case.name.clone(), block, state, exchanges });
        }
        Ok(polls)
    }

    fn exchanges(&self, case: &Case) -> Result<Vec<Exchange>, Problems> {
        match &case.http {
            None => Ok(Vec::new()),
            Some(Http::Exchanges(exchanges)) => Ok(exchanges.clone()),
            Some(Http::File(name)) => Ok(document::<Exchanges>(&self.recording(name))?.exchanges),
        }
    }

    /// Plays a case whose exchanges are in a file against a real connection, and writes them there. None where the case has no such file.
    ///
    /// # Errors
    /// What is wrong with the case itself.
    pub async fn record(
        &self,
        plugin: &Plugin,
        case: &Case,
        recorder: &Arc<Recorder>,
    ) -> Result<Option<(Ended, PathBuf, String)>, Problems> {
        let Some(Http::File(name)) = &case.http else { return Ok(None) };
        let (mut failures, lines) = self.run(plugin, case, recorder.clone()).await?;
        let (text, unwritable) = recorder.take(case.secrets.values().chain(self.file.secrets.values()));
        failures.extend(unwritable);
        Ok(Some((Ended { failures, lines }, self.recording(name), text)))
    }

    fn recording(&self, name: &str) -> PathBuf {
        self.path.parent().unwrap_or(Path::new(".")).join(name)
    }

    async fn run(&self, plugin: &Plugin, case: &Case, peer: Arc<dyn Peer>) -> Result<(Vec<String>, Vec<String>), Problems> {
        let block = self.block(plugin, case)?;
        if let Err(problems) = plugin.validate(&block.json).await {
            let told =
                problems.iter().map(|problem| format!("the configuration is refused at `{}`: {}", problem.path, problem.message));
            return Ok((told.collect(), Vec::new()));
        }
        let props = Props::new(&block, peer);
        let came = match (plugin.kind(), &case.given) {
            (Kind::Transform, Given::Apply(records)) => match plugin.transform(props.stage(&block)) {
                Ok(stage) => apply(&stage, records).await,
                Err(error) => Err(error.to_string()),
            },
            (Kind::Destination, given @ (Given::Deliver(_) | Given::Check)) => match plugin.destination(props.stage(&block)) {
                Ok(stage) => deliver(&stage, given).await,
                Err(error) => Err(error.to_string()),
            },
            (Kind::Source, given) => match plugin.source(props.stage(&block)) {
                Ok(stage) => read(&stage, given).await,
                Err(error) => Err(error.to_string()),
            },
            (kind, _) => Err(format!("a {kind} is not called so")),
        };
        let failures = match came {
            Ok(came) => compare::failures(&case.expect, &came, &props.files()),
            Err(message) => vec![message],
        };
        let lines = props.lines().into_iter().map(|(level, line)| format!("{level:?}: {line}").to_lowercase()).collect();
        Ok((failures, lines))
    }

    fn block(&self, plugin: &Plugin, case: &Case) -> Result<Block, Problems> {
        let text =
            case.config.as_ref().or(self.file.config.as_ref()).map_or_else(|| "{}".to_owned(), |config| config.text().to_owned());
        let known = |name: &String| case.secrets.get(name).or_else(|| self.file.secrets.get(name)).cloned();
        let value =
            |name: String| (name.clone(), known(&name).unwrap_or_else(|| format!("secret-of-{}", name.to_ascii_lowercase())));
        let environment: Environment = alone::asked_for(&text).into_iter().map(value).collect();
        alone::block(&self.path, &text, plugin.manifest(), &environment)
    }
}

/// What a call came to: an answer, or the plugin's failure. A crash is neither.
fn lived<T>(answer: Result<T, Fault>) -> Result<Result<T, Failure>, String> {
    match answer {
        Ok(answer) => Ok(Ok(answer)),
        Err(Fault::Failure(failure)) => Ok(Err(failure)),
        Err(fault) => Err(format!("{fault} ({})", fault.code())),
    }
}

async fn apply(stage: &Transform, records: &[Sent]) -> Result<Came, String> {
    let records: Vec<Bytes> = records.iter().map(Sent::bytes).collect();
    Ok(match lived(stage.apply_bare(&records).await)? {
        Ok(outcomes) => Came { outcomes, ..Came::default() },
        Err(failure) => failed(failure),
    })
}

async fn deliver(stage: &Destination, given: &Given) -> Result<Came, String> {
    let Given::Deliver(Deliver { stream, key, records, first_position }) = given else {
        return Ok(lived(stage.check().await)?.map_or_else(failed, |()| Came::default()));
    };
    let records: Vec<Bytes> = records.iter().map(Sent::bytes).collect();
    let positions = (*first_position..).take(records.len()).collect();
    let batch = Batch { stream: stream.clone(), key: key.clone(), records, positions };
    Ok(match lived(stage.deliver_bare(&batch).await)? {
        Ok(receipts) => Came { receipts, ..Came::default() },
        Err(failure) => failed(failure),
    })
}

async fn read(stage: &Source, given: &Given) -> Result<Came, String> {
    let basket = Arc::new(Basket::default());
    let output = || Arc::clone(&basket) as Arc<dyn Output>;
    let answer = match given {
        Given::Receive(request) => {
            let received = lived(stage.receive_bare(&request.request(NOW_MS)).await)?;
            return Ok(received.map_or_else(failed, |received| Came { received: Some(received), ..Came::default() }));
        }
        Given::Poll(poll) => {
            let state = poll.state.as_ref().map(|state| state.text());
            lived(stage.poll(state, output()).await)?.map(|()| None)
        }
        Given::Decode(chunks) => decode(stage, chunks, &output()).await?,
        Given::Check => lived(stage.check().await)?.map(|()| None),
        Given::Apply(_) | Given::Deliver(_) => return Err("a source is not called so".into()),
    };
    let (state, failure) = match answer {
        Ok(state) => (state.or_else(|| basket.state()), None),
        Err(failure) => (basket.state(), Some(failure)),
    };
    let refused = basket.refused().into_iter().map(|(rejection, _)| rejection.code).collect();
    Ok(Came { events: basket.events(), refused, state, failure, ..Came::default() })
}

async fn decode(stage: &Source, chunks: &[String], output: &Arc<dyn Output>) -> Result<Result<Option<String>, Failure>, String> {
    let mut state: Option<String> = None;
    for (number, chunk) in chunks.iter().enumerate() {
        let place = if number + 1 == chunks.len() { Place::Last } else { Place::Middle };
        match lived(stage.decode(chunk.as_bytes(), place, state.as_deref(), output.clone()).await)? {
            Ok(next) => state = next,
            Err(failure) => return Ok(Err(failure)),
        }
    }
    Ok(Ok(state))
}

fn failed(failure: Failure) -> Came {
    Came { failure: Some(failure), ..Came::default() }
}
