//! End to end over HTTP: a load generator in a process of its own, a release engine, one transform, one file destination.
//!
//! For each size of batch it sends events of distinct customers through the real door, waits until the destination has the last,
//! kills the engine, and opens it again. Every acknowledgement is durable, and duplicates are looked for. It prints one row of
//! `docs/benchmarks.md` for each size. It asserts nothing about time. A batch of the public API has 500 KB at most, so 500 of
//! these events is about the largest.
//!
//! `cargo xtask plugins && cargo build --release && cargo run --release -p weft-benches -- [EVENTS] [CUSTOMERS] [BATCH…]`

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Connections of the load generator: enough to keep group commit busy, few enough for two cores.
const SENDERS: usize = 8;

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let events = numbers.first().copied().unwrap_or(200_000);
    let customers = numbers.get(1).copied().unwrap_or(1_000_000);
    let batches = if numbers.len() > 2 { numbers[2..].to_vec() } else { vec![1, 100, 500] };
    say("| batch | events | acknowledged/s | delivered/s | p50 ms | p99 ms | memory MB | reopen s |");
    say("|---|---|---|---|---|---|---|---|");
    for batch in batches {
        // One event a request is bounded by requests, not by events: a tenth of them tells as much.
        let events = if batch == 1 { events / 10 } else { events };
        say(&measure(events, customers, batch));
    }
}

#[allow(clippy::print_stdout)]
fn say(line: &str) {
    println!("{line}");
}

fn root() -> PathBuf {
    let now = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let folder = now.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).to_owned());
    folder.parent().expect("the crate is in the repository").to_owned()
}

fn measure(events: usize, customers: usize, batch: usize) -> String {
    let folder = tempfile::tempdir().expect("a folder for the data");
    let port = free_port();
    let dist = root().join("plugins/dist");
    let plugin = |name: &str| dist.join(format!("{name}.wasm")).display().to_string();
    let yaml = format!(
        "version: 1\nname: bench\nlisten: 127.0.0.1:{port}\n\
         plugins:\n  segment: {{ path: {} }}\n  normalize: {{ path: {} }}\n  file: {{ path: {} }}\n\
         sources:\n  web: {{ plugin: segment, http: {{ path: /s }}, config: {{ write_keys: [key] }} }}\n\
         transforms:\n  tidy: {{ plugin: normalize, inputs: [web] }}\n\
         destinations:\n  lake: {{ plugin: file, from: {{ events: all }}, config: {{ path: out }} }}\n",
        plugin("segment"),
        plugin("normalize"),
        plugin("file")
    );
    std::fs::write(folder.path().join("weft.yaml"), yaml).expect("the workspace is written");
    let engine = start(folder.path());
    wait_ready(port);
    let started = Instant::now();
    let share = events / SENDERS / batch * batch;
    let senders: Vec<_> =
        (0..SENDERS).map(|sender| std::thread::spawn(move || send(port, sender * share, share, customers, batch))).collect();
    let mut waits: Vec<Duration> = senders.into_iter().flat_map(|sender| sender.join().expect("a sender ends")).collect();
    let acknowledged = started.elapsed();
    let sent = (share * SENDERS) as u64;
    let delivered_total = loop {
        let lane = &status(port)["lanes"][0];
        let delivered = lane["delivered_total"].as_u64().unwrap_or(0);
        if delivered >= sent {
            break delivered;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let delivered = started.elapsed();
    let folded = status(port)["totals"]["events"].as_u64();
    assert_eq!((delivered_total, folded), (sent, Some(sent)), "each event once");
    let memory = memory_mb(engine.id());
    kill(engine);
    let opened = Instant::now();
    let engine = start(folder.path());
    wait_ready(port);
    let reopen = opened.elapsed();
    assert_eq!(status(port)["totals"]["events"].as_u64(), Some(sent), "nothing was lost");
    kill(engine);
    waits.sort();
    let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    let rate = |took: Duration| sent as f64 / took.as_secs_f64();
    format!(
        "| {batch} | {sent} | {:.0} | {:.0} | {:.1} | {:.1} | {memory} | {:.2} |",
        rate(acknowledged),
        rate(delivered),
        at(0.5),
        at(0.99),
        reopen.as_secs_f64()
    )
}

fn start(folder: &Path) -> Child {
    let weft = root().join("target/release/weft");
    let mut command = Command::new(weft);
    command.arg("run").arg(folder).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("the release engine is built: `cargo build --release`")
}

fn kill(mut engine: Child) {
    engine.kill().expect("it runs");
    engine.wait().expect("it ends");
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

fn wait_ready(port: u16) {
    let until = Instant::now() + Duration::from_secs(120);
    while Instant::now() < until {
        if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
            let mut wire = BufReader::new(stream);
            if exchange(&mut wire, b"GET /readyz HTTP/1.1\r\nhost: b\r\n\r\n").0 == 200 {
                return;
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("the engine does not become ready");
}

fn status(port: u16) -> serde_json::Value {
    let mut wire = BufReader::new(TcpStream::connect(("127.0.0.1", port)).expect("the engine listens"));
    let (_, body) = exchange(&mut wire, b"GET /api/v1/status HTTP/1.1\r\nhost: b\r\n\r\n");
    serde_json::from_slice(&body).expect("status is JSON")
}

/// Sends events in batches over one connection; how long each request took.
fn send(port: u16, first: usize, count: usize, customers: usize, batch: usize) -> Vec<Duration> {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("the engine listens");
    stream.set_nodelay(true).expect("a socket");
    let mut wire = BufReader::new(stream);
    let mut waits = Vec::with_capacity(count / batch);
    for start in (first..first + count).step_by(batch) {
        let events: Vec<String> = (start..start + batch).map(|number| event(number, customers)).collect();
        let body = format!(r#"{{"batch":[{}],"sentAt":"2026-11-24T12:00:00.000Z","writeKey":"key"}}"#, events.join(","));
        let head = format!(
            "POST /s/v1/batch HTTP/1.1\r\nhost: b\r\ncontent-type: application/json\r\nauthorization: Basic a2V5Og==\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let request = [head.as_bytes(), body.as_bytes()].concat();
        let asked = Instant::now();
        let (status, answer) = exchange(&mut wire, &request);
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
        waits.push(asked.elapsed());
    }
    waits
}

/// A track call of some 800 bytes, as an SDK sends it.
fn event(number: usize, customers: usize) -> String {
    let customer = number.wrapping_mul(2_654_435_761) % customers;
    format!(
        r#"{{"type":"track","event":"Product Viewed","messageId":"node-next-1761302400000-{number:012}","anonymousId":"5b1c7e0a-{customer:08}","userId":"user-{customer}","timestamp":"2026-11-24T11:59:59.123Z","properties":{{"product_id":"p-{}","sku":"G-32-{}","category":"Games","name":"Monopoly: 3rd Edition","brand":"Hasbro","variant":"200 pieces","price":18.99,"quantity":1,"coupon":"MAYDEALS","currency":"EUR","position":3,"value":18.99,"url":"https://shop.example/product/path","image_url":"https://shop.example/product/path.jpg"}},"context":{{"library":{{"name":"@segment/analytics-node","version":"3.1.0"}},"ip":"192.0.2.7","locale":"en-GB","page":{{"path":"/product","referrer":"https://search.example/","title":"Product","url":"https://shop.example/product"}},"userAgent":"Mozilla/5.0 (X11; Linux x86_64)"}}}}"#,
        number % 5_000,
        number % 977
    )
}

fn exchange(wire: &mut BufReader<TcpStream>, request: &[u8]) -> (u16, Vec<u8>) {
    wire.get_mut().write_all(request).expect("the engine reads");
    let (mut line, mut status, mut length) = (String::new(), 0, 0);
    loop {
        line.clear();
        wire.read_line(&mut line).expect("the engine answers");
        let lower = line.trim().to_ascii_lowercase();
        if let Some(rest) = lower.strip_prefix("http/1.1 ") {
            status = rest[..3].parse().unwrap_or(0);
        }
        if let Some(rest) = lower.strip_prefix("content-length:") {
            length = rest.trim().parse().unwrap_or(0);
        }
        if lower.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    wire.read_exact(&mut body).expect("the engine answers");
    (status, body)
}

fn memory_mb(process: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap_or(0) / 1024
}
