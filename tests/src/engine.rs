//! A running engine: a workspace of its own, the binary that users run, started and stopped as an operator would.
//!
//! It knows the engine by its door and its pages alone: no crate of it is linked. Dropping an [`Engine`] ends it, so that no failure
//! leaves one behind; what it said is shown where the test fails.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::root;
use crate::wire::{Answer, Request};

/// The write key of every workspace here; at mParticle's protocol, a web page's key.
pub const KEY: &str = "wk_e2e";
/// The secret of the key `server`, at mParticle's protocol.
pub const SECRET: &str = "s3cret_e2e";

/// The engine is up within so long: the first start compiles the plugins for this machine, and others build beside it.
const START_TIME_MAX: Duration = Duration::from_secs(180);
/// It ends within so long of being told to.
const STOP_TIME_MAX: Duration = Duration::from_secs(20);
/// What has come in is through within so long.
const SETTLE_TIME_MAX: Duration = Duration::from_secs(60);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(20);
/// Lines of the engine's own words that a failing test shows.
const LOG_LINES_SHOWN: usize = 40;

/// A folder with a `weft.yaml`, an address of its own, and what runs leave there.
pub struct Workspace {
    folder: TempDir,
    address: SocketAddr,
    /// Variables that whatever runs here finds in its environment.
    pub variables: Vec<(String, String)>,
}

/// What a workspace's source speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Segment's, at `/segment`.
    Segment,
    /// mParticle's, at `/mparticle`.
    MParticle,
}

/// An engine that runs.
pub struct Engine {
    child: Child,
    log: PathBuf,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Protocol {
    /// The name of the plugin, which is the path as well, and its configuration.
    fn source(self) -> (&'static str, &'static str) {
        match self {
            Protocol::Segment => ("segment", r#"{ write_keys: ["${secret:WEB_KEY}"] }"#),
            Protocol::MParticle => (
                "mparticle",
                r#"{ keys: { server: "${secret:SERVER_SECRET}", page: { key: "${secret:WEB_KEY}", search: true } } }"#,
            ),
        }
    }
}

/// An address at which nobody listens, for whoever will. Its port is below those that the system gives to outgoing connections: one of these
/// would otherwise take it before its owner does.
///
/// # Panics
/// No port is free, or the address is not one of this machine.
#[must_use]
pub fn free_address(ip: IpAddr) -> SocketAddr {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 20_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let begin = std::process::id().wrapping_mul(97);
    for _ in 0..COUNT {
        let nth = begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let address = SocketAddr::new(ip, (FIRST + nth) as u16);
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
    panic!("no port of {ip} is free");
}

impl Workspace {
    /// The quickstart's shape: a source at `/segment` that knows [`KEY`], a transform, who is who, and files in `out/`.
    ///
    /// # Panics
    /// The plugins are not built.
    #[must_use]
    pub fn create() -> Self {
        Workspace::of(Protocol::Segment)
    }

    /// The same with a source of that protocol, at a path of its name.
    ///
    /// # Panics
    /// The plugins are not built.
    #[must_use]
    pub fn of(protocol: Protocol) -> Self {
        Workspace::at(protocol, Ipv4Addr::LOCALHOST.into())
    }

    /// The same with a listener at this address.
    ///
    /// # Panics
    /// The plugins are not built, or the address is not one of this machine.
    #[must_use]
    pub fn at(protocol: Protocol, ip: IpAddr) -> Self {
        let folder = tempfile::tempdir().expect("there is a folder for temporary files");
        let address = free_address(ip);
        let path = |name: &str| plugin(name).display().to_string();
        let (source, config) = protocol.source();
        let yaml = format!(
            r#"version: 1
name: e2e
zone: Europe/Berlin
listen: "{address}"
plugins:
  {source}: {{ path: "{}" }}
  normalize: {{ path: "{}" }}
  file:      {{ path: "{}" }}
sources:
  web:
    plugin: {source}
    http: {{ path: /{source} }}
    config: {config}
transforms:
  tidy: {{ plugin: normalize, inputs: [web], config: {{ default_region: DE }} }}
identity:
  identifiers:
    user_id:      {{ limit: 1, login: true }}
    email:        {{ limit: 5 }}
    phone:        {{ limit: 5 }}
    anonymous_id: {{ limit: 100 }}
    mpid:         {{ limit: 100 }}
    other:        {{ limit: 5 }}
destinations:
  lake: {{ plugin: file, from: {{ events: all, profiles: all }}, config: {{ path: out }} }}
"#,
            path(source),
            path("normalize"),
            path("file"),
        );
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("the folder takes a file");
        fs::create_dir(folder.path().join("secrets")).expect("the folder takes a folder");
        write("weft.yaml", &yaml);
        write("secrets/WEB_KEY", KEY);
        write("secrets/SERVER_SECRET", SECRET);
        Workspace { folder, address, variables: Vec::new() }
    }

    /// Where its engine listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the engine and waits until it takes events.
    ///
    /// # Panics
    /// It does not get there.
    #[must_use]
    pub fn start(&self) -> Engine {
        self.launch(self.weft("run"))
    }

    /// The same for who types the workspace's name in the folder that it lies in.
    ///
    /// # Panics
    /// It does not get there.
    #[must_use]
    pub fn start_by_name(&self) -> Engine {
        let (folder, name) =
            (self.path().parent().expect("it lies in a folder"), self.path().file_name().expect("it has a name"));
        let mut command = bare();
        command.current_dir(folder).arg("run").arg(name).envs(self.variables.clone());
        self.launch(command)
    }

    fn launch(&self, mut command: Command) -> Engine {
        let log = self.path().join("engine.log");
        let words = fs::File::options().create(true).append(true).open(&log).expect("the folder takes a file");
        command.stdout(Stdio::null()).stderr(words);
        let child = command.spawn().unwrap_or_else(|error| panic!("`weft run` does not start: {error}"));
        let mut engine = Engine { child, log, address: self.address };
        let began = Instant::now();
        loop {
            if let Some(status) = engine.child.try_wait().expect("a child can be waited for") {
                panic!("the engine ended with {status} before it took events");
            }
            match Request::new("GET", "/readyz").send(self.address) {
                Ok(answer) if answer.status == 200 => return engine,
                _ => assert!(began.elapsed() < START_TIME_MAX, "the engine was not ready after {START_TIME_MAX:?}"),
            }
            sleep(PAUSE);
        }
    }

    /// Runs a command such as `doctor` on the workspace, to its end.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn run(&self, command: &str) -> Output {
        self.weft(command).output().unwrap_or_else(|error| panic!("`weft {command}` does not start: {error}"))
    }

    /// Runs a command that names its workspace, such as `dlq list`, to its end.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn ask(&self, arguments: &[&str]) -> Output {
        let output = self.command(arguments).output();
        output.unwrap_or_else(|error| panic!("`weft {}` does not start: {error}", arguments.join(" ")))
    }

    /// A command that names its workspace, to be run.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = bare();
        command.args(arguments).arg("--workspace").arg(self.path()).envs(self.variables.clone());
        command
    }

    /// Runs a command that has no workspace, to its end.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn run_alone(&self, arguments: &[&str]) -> Output {
        let output = bare().args(arguments).output();
        output.unwrap_or_else(|error| panic!("`weft {}` does not start: {error}", arguments.join(" ")))
    }

    /// Runs a command such as `check --connect`, which ends with its workspace, to its end.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn ask_with(&self, arguments: &[&str]) -> Output {
        let mut command = bare();
        command.args(arguments).arg(self.path()).envs(self.variables.clone());
        command.output().unwrap_or_else(|error| panic!("`weft {}` does not start: {error}", arguments.join(" ")))
    }

    /// Every record that the destination wrote of a stream (`events`, `profiles`), in the order of the files and within each.
    ///
    /// # Panics
    /// A file cannot be read, or a line is no JSON.
    #[must_use]
    pub fn written(&self, stream: &str) -> Vec<Value> {
        let Ok(entries) = fs::read_dir(self.path().join("out")) else {
            return Vec::new();
        };
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a folder can be read").path()).collect();
        let is_of_stream = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with(&format!("{stream}-")) && name.contains(".ndjson")
        };
        files.retain(is_of_stream);
        files.sort();
        let lines = |path: &PathBuf| fs::read_to_string(path).expect("what was written is UTF-8");
        let record = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("no JSON ({error}): {line}"));
        files.iter().flat_map(|path| lines(path).lines().map(record).collect::<Vec<_>>()).collect()
    }

    fn weft(&self, verb: &str) -> Command {
        let mut command = bare();
        command.arg(verb).arg(self.path()).envs(self.variables.clone());
        command
    }
}

impl Engine {
    /// Sends a request.
    ///
    /// # Panics
    /// No answer comes.
    #[must_use]
    pub fn send(&self, request: &Request) -> Answer {
        request.send(self.address).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Asks for a page of JSON.
    ///
    /// # Panics
    /// The page is no JSON.
    #[must_use]
    pub fn page(&self, path: &str) -> (u16, Value) {
        let answer = self.send(&Request::new("GET", path));
        let json = serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{path}: {error}: {}", answer.text()));
        (answer.status, json)
    }

    /// A profile as its page shows it, with facts and claims; none where nobody is known by that.
    ///
    /// # Panics
    /// The page answers neither 200 nor 404.
    #[must_use]
    pub fn profile(&self, kind: &str, value: &str) -> Option<Value> {
        match self.page(&format!("/api/v1/profiles/{kind}/{value}")) {
            (200, page) => Some(page),
            (404, _) => None,
            (status, page) => panic!("the profile of {kind} {value}: {status}: {page}"),
        }
    }

    /// Waits until all that has come in has gone all the way, into the profiles and out of every lane, and gives the status.
    ///
    /// # Panics
    /// It does not.
    #[must_use]
    pub fn settle(&self) -> Value {
        let began = Instant::now();
        loop {
            let (_, status) = self.page("/api/v1/status");
            if is_through(&status) {
                return status;
            }
            assert!(began.elapsed() < SETTLE_TIME_MAX, "not through after {SETTLE_TIME_MAX:?}: {status}");
            sleep(PAUSE);
        }
    }

    /// Asks it to end, as `systemctl stop` or a scheduler does.
    ///
    /// # Panics
    /// There is no shell.
    pub fn terminate(&self) {
        // The standard library sends no signals; every shell has it built in.
        let sent = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status();
        assert!(sent.expect("there is a shell").success(), "the engine was not there any more");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// It goes on.
    #[must_use]
    pub fn ended(mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(began.elapsed() < STOP_TIME_MAX, "the engine still runs {STOP_TIME_MAX:?} after SIGTERM");
            sleep(PAUSE);
        }
    }

    /// Asks it to end, and waits until it has.
    ///
    /// # Panics
    /// It goes on, or does not leave with 0.
    pub fn stop(self) {
        self.terminate();
        let status = self.ended();
        assert!(status.success(), "the engine ended with {status}");
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            _ = self.child.kill();
            _ = self.child.wait();
        }
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            let shown = &lines[lines.len().saturating_sub(LOG_LINES_SHOWN)..];
            #[expect(clippy::print_stderr, reason = "a failing test shows what the engine said")]
            {
                eprintln!("the engine's own words:\n{}", shown.join("\n"));
            }
        }
    }
}

/// A number in a status, by its path; 0 where there is none.
#[must_use]
pub fn number(json: &Value, pointer: &str) -> u64 {
    json.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

fn is_through(status: &Value) -> bool {
    let equal = |part: &str| number(status, &format!("/{part}/records")) == number(status, &format!("/{part}/through"));
    let records = number(status, "/history/records");
    let is_done =
        |lane: &Value| number(lane, "/waiting") == 0 && (lane["stream"] != "events" || number(lane, "/seen") >= records);
    equal("intake") && equal("history") && status["lanes"].as_array().is_some_and(|lanes| lanes.iter().all(is_done))
}

/// Runs a command such as `test` on a workspace of the repository, to its end.
///
/// # Panics
/// It cannot be started.
#[must_use]
pub fn run_on(workspace: &Path, command: &str) -> Output {
    let mut weft = bare();
    weft.arg(command).arg(workspace);
    weft.output().unwrap_or_else(|error| panic!("`weft {command}` does not start: {error}"))
}

fn bare() -> Command {
    let mut command = Command::new(binary());
    // Compiled plugins are shared by all tests, and are not left in anybody's home.
    command.env("WEFT_CACHE", root().join("target/weft-cache")).env("WEFT_LOG", "warn");
    command
}

/// The engine that is tested: `WEFT_BIN`, else that of a debug build.
///
/// # Panics
/// It is not built.
#[must_use]
pub fn binary() -> PathBuf {
    let path = std::env::var_os("WEFT_BIN").map_or_else(|| root().join("target/debug/weft"), PathBuf::from);
    assert!(path.is_file(), "there is no engine at {}: `cargo build -p weft`", path.display());
    path
}

/// The folder of the built plugins.
#[must_use]
pub fn plugins() -> PathBuf {
    std::env::var_os("WEFT_PLUGINS_DIST").map_or_else(|| root().join("plugins/dist"), PathBuf::from)
}

/// A built plugin.
///
/// # Panics
/// It is not built.
#[must_use]
pub fn plugin(name: &str) -> PathBuf {
    let path = plugins().join(format!("{name}.wasm"));
    assert!(path.is_file(), "there is no plugin at {}: `cargo xtask plugins`", path.display());
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_is_through_when_nothing_waits_anywhere() {
        let status = |intake: u64, seen: u64, waiting: u64| {
            serde_json::json!({
                "intake": { "records": intake, "through": 3 },
                "history": { "records": 5, "through": 5 },
                "lanes": [{ "stream": "events", "seen": seen, "waiting": 0 }, { "stream": "profiles", "seen": 1, "waiting": waiting }],
            })
        };
        assert!(is_through(&status(3, 5, 0)));
        assert!(!is_through(&status(4, 5, 0)));
        assert!(!is_through(&status(3, 4, 0)));
        assert!(!is_through(&status(3, 5, 1)));
        assert!(!is_through(&Value::Null));
    }
}
