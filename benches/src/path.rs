//! End to end over HTTP.
//!
//! Events are `track` calls as an SDK sends them, each with a user id and an anonymous id. *Acknowledged* is the rate of durable
//! acknowledgements, *delivered* the rate until the destination has the last event, *CPU* what the engine's process used for one
//! event (all its threads, the load generator not counted): of the three it depends least on what else the machine does.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::calls;
use crate::machine::{cpu, disk_bytes, memory_mb, root};
use crate::wire::Wire;

/// Connections of the load generator: enough to keep group commit busy, few enough for two cores.
pub(crate) const SENDERS: usize = 8;

/// Events sent in one go.
struct Load {
    /// The number of the first: it makes the message ids.
    first: usize,
    events: usize,
    /// Customers that they are drawn from.
    customers: usize,
    batch: usize,
}

/// Batches of 1, 100 and 1,000, nearly every event of a customer whom nobody knows, each in an engine of its own.
pub(crate) fn end_to_end(events: usize) {
    println!("{HEAD}");
    for batch in [1, 100, 1_000] {
        // One event a request is bounded by requests, not by events: a tenth of them tells as much.
        let events = if batch == 1 { events / 10 } else { events };
        let mut engine = Engine::start(64, "");
        engine.measure("each a new customer", &Load { first: 0, events, customers: 10_000_000, batch });
        engine.reopen();
    }
}

/// Until so many customers are known, and then events of them.
pub(crate) fn million(customers: usize, events: usize, cache_mib: usize) {
    println!("{HEAD}");
    let mut engine = Engine::start(cache_mib, "");
    engine.measure("each a new customer", &Load { first: 0, events: customers, customers, batch: 100 });
    engine.reopen();
    engine.measure("of known customers, any", &Load { first: customers, events, customers, batch: 100 });
    let few = customers / 50;
    engine.measure("of known customers, 2 % of them", &Load { first: customers + events, events, customers: few, batch: 100 });
    engine.reopen();
}

const HEAD: &str = "| events | batch | number | acknowledged/s | delivered/s | p50 ms | p99 ms | CPU µs/event | memory MB | disk MB: intake, history, state |\n|---|---|---|---|---|---|---|---|---|---|";

/// An engine in a process of its own, which ends with this.
pub(crate) struct Engine {
    folder: tempfile::TempDir,
    pub(crate) port: u16,
    process: Child,
    sent: u64,
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Engine {
    /// Starts one with some MiB of cache, and more of configuration.
    pub(crate) fn start(cache_mib: usize, more: &str) -> Engine {
        let folder = tempfile::tempdir().expect("a folder for the data");
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr()).expect("a free port").port();
        let plugin = |name: &str| root().join(format!("plugins/dist/{name}.wasm")).display().to_string();
        let yaml = format!(
            "version: 1\nname: bench\nlisten: 127.0.0.1:{port}\nlimits: {{ state_cache: {cache_mib} MiB }}\n\
             plugins:\n  segment: {{ path: {} }}\n  normalize: {{ path: {} }}\n  file: {{ path: {} }}\n\
             sources:\n  web: {{ plugin: segment, http: {{ path: /s }}, config: {{ write_keys: [key] }} }}\n\
             transforms:\n  tidy: {{ plugin: normalize, inputs: [web] }}\n\
             destinations:\n  lake: {{ plugin: file, from: {{ events: all }}, config: {{ path: out }} }}\n{more}",
            plugin("segment"),
            plugin("normalize"),
            plugin("file")
        );
        std::fs::write(folder.path().join("weft.yaml"), yaml).expect("the workspace is written");
        let process = run(folder.path());
        wait_ready(port);
        Engine { folder, port, process, sent: 0 }
    }

    fn measure(&mut self, what: &str, load: &Load) {
        let share = load.events / SENDERS / load.batch * load.batch;
        let (sent, before) = ((share * SENDERS) as u64, self.delivered());
        let (started, cpu) = (Instant::now(), self.cpu());
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let (port, load) = (self.port, Load { first: load.first + sender * share, events: share, ..*load });
                std::thread::spawn(move || send(port, &load))
            })
            .collect();
        let mut waits: Vec<Duration> = senders.into_iter().flat_map(|sender| sender.join().expect("a sender ends")).collect();
        let acknowledged = started.elapsed();
        while self.delivered() < before + sent {
            std::thread::sleep(Duration::from_millis(20));
        }
        let (delivered, cpu) = (started.elapsed(), self.cpu() - cpu);
        self.sent += sent;
        let folded = self.status()["totals"]["events"].as_u64();
        assert_eq!((self.delivered() - before, folded), (sent, Some(self.sent)), "each event once");
        waits.sort();
        let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        let rate = |took: Duration| sent as f64 / took.as_secs_f64();
        let disk = ["intake", "history", "state"]
            .map(|part| (disk_bytes(&self.folder.path().join("data").join(part)) >> 20).to_string());
        println!(
            "| {what} | {} | {sent} | {:.0} | {:.0} | {:.1} | {:.1} | {:.1} | {} | {} |",
            load.batch,
            rate(acknowledged),
            rate(delivered),
            at(0.5),
            at(0.99),
            cpu.as_secs_f64() * 1e6 / sent as f64,
            memory_mb(self.process.id()),
            disk.join(", ")
        );
    }

    /// Kills the engine, opens it again, and looks whether anything is missing.
    fn reopen(&mut self) {
        self.process.kill().and_then(|()| self.process.wait()).expect("it ends");
        let opened = Instant::now();
        self.process = run(self.folder.path());
        wait_ready(self.port);
        let took = opened.elapsed();
        let totals = self.status()["totals"].clone();
        assert_eq!(totals["events"].as_u64(), Some(self.sent), "nothing was lost");
        println!("killed and opened again with {} customers: ready after {:.2} s", totals["customers"], took.as_secs_f64());
    }

    pub(crate) fn status(&self) -> serde_json::Value {
        let (_, body) = Wire::open(self.port).expect("the engine listens").get("/api/v1/status");
        serde_json::from_slice(&body).expect("status is JSON")
    }

    fn delivered(&self) -> u64 {
        self.status()["lanes"][0]["delivered_total"].as_u64().unwrap_or(0)
    }

    /// The memory that it has in use.
    pub(crate) fn memory_mb(&self) -> u64 {
        memory_mb(self.process.id())
    }

    /// The time that all threads of the engine have run.
    pub(crate) fn cpu(&self) -> Duration {
        cpu(&self.process.id().to_string())
    }
}

fn run(folder: &Path) -> Child {
    let mut command = Command::new(root().join("target/release/weft"));
    command.arg("run").arg(folder).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("the release engine is built: `cargo build --release`")
}

fn wait_ready(port: u16) {
    let until = Instant::now() + Duration::from_secs(300);
    while Instant::now() < until {
        if Wire::open(port).is_some_and(|mut wire| wire.get("/readyz").0 == 200) {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("the engine does not become ready");
}

/// Sends events over one connection; how long each request took.
fn send(port: u16, load: &Load) -> Vec<Duration> {
    let mut wire = Wire::open(port).expect("the engine listens");
    let mut waits = Vec::with_capacity(load.events / load.batch);
    for start in (load.first..load.first + load.events).step_by(load.batch) {
        let body = calls::body(start, load.customers, load.batch);
        let asked = Instant::now();
        let (status, answer) = wire.send_batch(&body);
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
        waits.push(asked.elapsed());
    }
    waits
}
