//! Each plugin's stage in the sandbox, through the host as the engine runs it, against the same code native.
//!
//! What the sandbox costs is all in the figure: JSON copied in and out, UTF-8 looked over, epochs, and, for a stage that keeps no
//! instance between calls, a new instance for each batch. Natively a plugin is opened once. Both have their folder in memory,
//! so that files are compared without a disk; a row of its own has the disk.

mod lender;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Runtime;
use weft_host::{Body, Host, HostOptions, Lent, Outcome, Plugin, Receipt, Request, Stage, WantedLimits};
use weft_plugin::{Destination as _, Source as _, Transform as _, testing};

use self::lender::{FOLDER, Lender, on_disk};
use super::tally::{compare, measure};
use super::{CUSTOMERS_MANY, SEGMENT_CONFIG, request, segment, stamped};
use crate::machine::root;

const NORMALIZE_CONFIG: &str = "{}";
const FILE_CONFIG: &str = r#"{"path":"out"}"#;

pub(super) fn all() {
    let cache = tempfile::tempdir().expect("a folder for compiled code");
    let bench = Bench {
        runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime"),
        host: Host::new(HostOptions::new(cache.path())).expect("a sandbox"),
    };
    bench.instances();
    for batch in [1, 100, 500] {
        bench.source(batch);
    }
    for batch in [64, 256] {
        bench.transform("normalize, nothing to change", batch, |json| json);
        bench.transform("normalize, each event changed", batch, |json| json.replace("\"user-", "\" user-"));
    }
    // What the lane makes of a full backlog: the plugin's own bound on records.
    for batch in [64, 1_024] {
        bench.destination(batch);
        bench.destination_on_disk(batch);
    }
}

struct Bench {
    runtime: Runtime,
    host: Host,
}

impl Bench {
    fn plugin(&self, name: &str) -> Plugin {
        let path = root().join("plugins/dist").join(format!("{name}.wasm"));
        self.runtime.block_on(self.host.load(&path)).expect("the plugins are built: `cargo xtask plugins`")
    }

    /// What a call pays that gets a new instance: `validate` always does.
    fn instances(&self) {
        let plugin = self.plugin("normalize");
        let tally =
            measure(1, || (), |()| assert_eq!(self.runtime.block_on(plugin.validate(NORMALIZE_CONFIG)), Ok(()), "it is valid"));
        tally.print("normalize: an instance made, asked once, dropped", "each batch without `reuse`");
    }

    fn source(&self, batch: usize) {
        let stage = self.plugin("segment").source(stage(SEGMENT_CONFIG, Lender::new())).expect("it is a source");
        let request = request(0, CUSTOMERS_MANY, batch);
        let in_sandbox = lowered(&request);
        let mut native = segment();

        let (there, here) = (self.runtime.block_on(stage.receive(in_sandbox.clone())), native.receive(request.clone()));
        let (there, here) = (there.expect("it answers"), here.expect("no failure"));
        assert_eq!((there.events.len(), there.response.status), (batch, 200));
        assert!(there.events == here.events && there.response.body == here.response.body, "the same in the sandbox as natively");

        compare(
            "segment: receive a batch",
            batch,
            (
                || in_sandbox.clone(),
                |request| assert_eq!(self.runtime.block_on(stage.receive(request)).expect("it answers").events.len(), batch),
            ),
            (|| request.clone(), |request| assert_eq!(native.receive(request).expect("no failure").events.len(), batch)),
        );
    }

    fn transform(&self, what: &str, batch: usize, change: fn(String) -> String) {
        let stage = self.plugin("normalize").transform(stage(NORMALIZE_CONFIG, Lender::new())).expect("it is a transform");
        let mut native = normalize::Normalize::open(testing::config(NORMALIZE_CONFIG).expect("valid")).expect("it opens");
        let records = events(batch, change);
        let in_sandbox: Vec<Bytes> = records.iter().map(|record| Bytes::copy_from_slice(record)).collect();

        let there = self.runtime.block_on(stage.apply(&in_sandbox)).expect("it answers");
        let there: Vec<_> = there.into_iter().map(raised).collect();
        assert_eq!(there, native.apply_all(&records).expect("no failure"), "the same in the sandbox as natively");

        compare(
            what,
            batch,
            (|| (), |()| assert_eq!(self.runtime.block_on(stage.apply(&in_sandbox)).expect("it answers").len(), batch)),
            (|| (), |()| assert_eq!(native.apply_all(&records).expect("no failure").len(), batch)),
        );
    }

    fn destination(&self, batch: usize) {
        let lender = Lender::new();
        let stage = self.plugin("file").destination(stage(FILE_CONFIG, lender.clone())).expect("it is a destination");
        testing::reset();
        let mut native = file::File::open(testing::config(FILE_CONFIG).expect("valid")).expect("it opens");
        let records = events(batch, |json| json);
        let in_sandbox: Vec<Bytes> = records.iter().map(|record| Bytes::copy_from_slice(record)).collect();
        let deliver = |batch: weft_host::Batch| {
            let receipts = self.runtime.block_on(stage.deliver(&batch)).expect("it takes them");
            assert!(receipts.len() == batch.records.len() && receipts.iter().all(|receipt| *receipt == Receipt::Ok));
            lender.forget_finished();
        };
        let mut deliver_native = |batch: weft_plugin::Batch| {
            let records = batch.records.len();
            let receipts = native.deliver(batch).expect("no failure");
            assert!(receipts.len() == records && receipts.iter().all(|receipt| *receipt == weft_plugin::Receipt::Ok));
            testing::with(|double| {
                double.folders.get_mut(FOLDER).expect("it was written to").retain(|name, _| lender::is_growing(name));
            });
        };

        let (mut next, mut next_native) = (Positions::default(), Positions::default());
        for _ in 0..3 {
            deliver(lowered_batch(&in_sandbox, next.take(batch)));
            deliver_native(batch_of(&records, next_native.take(batch)));
        }
        let written = testing::with(|double| double.folders.get(FOLDER).cloned().expect("it was written to"));
        assert_eq!(lender.files(), written, "the same in the sandbox as natively");

        compare(
            "file: deliver, the folder in memory",
            batch,
            (|| lowered_batch(&in_sandbox, next.take(batch)), deliver),
            (|| batch_of(&records, next_native.take(batch)), &mut deliver_native),
        );
    }

    fn destination_on_disk(&self, batch: usize) {
        let folder = tempfile::tempdir().expect("a folder for the files");
        let (desk, writer) = on_disk(folder.path());
        let stage = self.plugin("file").destination(stage(FILE_CONFIG, desk)).expect("it is a destination");
        let records: Vec<Bytes> = events(batch, |json| json).into_iter().map(Bytes::from).collect();
        let mut next = Positions::default();
        let tally = measure(
            batch,
            || lowered_batch(&records, next.take(batch)),
            |batch| drop(self.runtime.block_on(stage.deliver(&batch)).expect("it takes them")),
        );
        assert!(disk_holds(&folder.path().join(FOLDER), next.0, &records), "every record is in the files");
        tally.print("file: deliver, the folder on the disk", "two files and a folder made durable");
        writer.stop().expect("it had nothing to do");
    }
}

fn stage(config: &str, lent: Arc<dyn Lent>) -> Stage {
    Stage { name: "bench".into(), config: config.into(), lent, limits: WantedLimits::default() }
}

/// Events as history has them.
fn events(count: usize, change: fn(String) -> String) -> Vec<Vec<u8>> {
    let text = |event: weft_domain::event::Event| String::from_utf8(event.to_json()).expect("JSON is text");
    stamped(0, CUSTOMERS_MANY, count).into_iter().map(|event| change(text(event)).into_bytes()).collect()
}

/// Places in history: they only grow.
#[derive(Default)]
struct Positions(u64);

impl Positions {
    fn take(&mut self, count: usize) -> Vec<u64> {
        let first = self.0;
        self.0 += count as u64;
        (first..self.0).collect()
    }
}

fn batch_of(records: &[Vec<u8>], positions: Vec<u64>) -> weft_plugin::Batch {
    weft_plugin::Batch { stream: "events".into(), key: "key".into(), records: records.to_vec(), positions }
}

fn lowered_batch(records: &[Bytes], positions: Vec<u64>) -> weft_host::Batch {
    weft_host::Batch { stream: "events".into(), key: "key".into(), records: records.to_vec(), positions }
}

/// A request as the engine hands it over.
fn lowered(request: &weft_plugin::Request) -> Request {
    let weft_plugin::Request { method, path, query, headers, body, received_ms, remote } = request.clone();
    let weft_plugin::Body::Bytes(body) = body else { unreachable!("the bench sends bytes") };
    Request { method, path, query, headers, body: Body::Bytes(body.into()), received_ms, remote }
}

/// An outcome as the plugin gave it.
fn raised(outcome: Outcome) -> weft_plugin::Outcome {
    use weft_plugin::Outcome as Given;
    match outcome {
        Outcome::Keep => Given::Keep,
        Outcome::Drop => Given::Drop,
        Outcome::Replace(json) => Given::Replace(json.to_vec()),
        Outcome::Split(parts) => Given::Split(parts.iter().map(|part| part.to_vec()).collect()),
        Outcome::Reject(rejection) => Given::reject(rejection.code, rejection.message),
    }
}

/// Whether the files of a folder hold the records again and again, so many in all.
fn disk_holds(folder: &Path, count: u64, records: &[Bytes]) -> bool {
    let files = std::fs::read_dir(folder).expect("it was written to").map(|entry| entry.expect("it can be read").path());
    let lines = files.filter(|path| path.to_string_lossy().contains("ndjson"));
    let bytes: u64 = lines.map(|path| path.metadata().expect("it is there").len()).sum();
    let round: u64 = records.iter().map(|record| record.len() as u64 + 1).sum();
    bytes == round * (count / records.len() as u64)
}
