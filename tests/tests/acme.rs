//! `pipelines/acme`, run as it is: every source tells something, and every destination of it hears of it. The outside is one listener that
//! plays the CRM behind OAuth 2, Slack, the warehouse and the analytics.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use serde_json::Value;
use weft_tests::engine::{binary, free_address, plugins, run_on};
use weft_tests::root;
use weft_tests::wire::Request;

/// What must come comes within so long.
const ARRIVAL_TIME_MAX: Duration = Duration::from_secs(60);

/// An order as Shopify tells it, and its HMAC-SHA256 under the workspace's secret, in base64.
const ORDER: &str = r#"{"id":4501,"created_at":"2026-03-08T11:00:00+01:00","total_price":"37.90","currency":"EUR","cart_token":"c1","customer":{"id":70,"email":"ann@example.com","first_name":"Ann"}}"#;
const ORDER_SIGNATURE: &str = "mXGvbaLCtGmhBzXgyCbtak6CZxW3HftoPcLJ8oUyqus=";

#[derive(Clone, Debug)]
struct Asked {
    line: String,
    head: String,
    body: String,
}

/// Plays the outside; what it was asked.
#[derive(Clone, Default)]
struct Outside(Arc<Mutex<Vec<Asked>>>);

impl Outside {
    fn start() -> (Outside, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let outside = Outside::default();
        let heard = outside.clone();
        thread::spawn(move || {
            for line in listener.incoming().flatten() {
                let heard = heard.clone();
                thread::spawn(move || while heard.answer(&line).is_some() {});
            }
        });
        (outside, address)
    }

    fn answer(&self, stream: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream);
        let (mut line, mut head) = (String::new(), String::new());
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            if header.trim().is_empty() {
                break;
            }
            head.push_str(&header.to_ascii_lowercase());
        }
        let length = head.lines().find_map(|header| header.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let asked = Asked { line: line.trim().to_owned(), head, body: String::from_utf8_lossy(&body).into_owned() };
        let answer = respond(&asked);
        self.0.lock().expect("whole").push(asked);
        let (status, text) = answer;
        let mut stream = stream;
        write!(stream, "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{text}", text.len()).ok()
    }

    fn asked(&self, beginning: &str) -> Vec<Asked> {
        self.0.lock().expect("whole").iter().filter(|asked| asked.line.starts_with(beginning)).cloned().collect()
    }

    fn wait_for(&self, beginning: &str, is_it: impl Fn(&Asked) -> bool) {
        let began = Instant::now();
        while !self.asked(beginning).iter().any(&is_it) {
            assert!(began.elapsed() < ARRIVAL_TIME_MAX, "nothing like that at {beginning}: {:#?}", self.0.lock().expect("whole"));
            sleep(Duration::from_millis(50));
        }
    }
}

fn respond(asked: &Asked) -> (&'static str, String) {
    let contact = |id: &str, name: &str, email: &str| {
        format!(r#"{{"id":"{id}","name":"{name}","email":"{email}","company":"Doe & Sons","updated_at":"2026-03-01T08:00:00Z"}}"#)
    };
    let target = asked.line.split(' ').nth(1).unwrap_or_default();
    let text = match target.split('?').next().unwrap_or_default() {
        "/oauth2/token" => r#"{"access_token":"crm-token","token_type":"bearer","expires_in":3600}"#.to_owned(),
        "/crm/contacts" if !asked.head.contains("authorization: bearer crm-token") => return ("401 Unauthorized", "{}".into()),
        "/crm/contacts" if target.contains("cursor=2") => {
            format!(r#"{{"contacts":[{}]}}"#, contact("0032", "Ann Doe", "ann@example.com"))
        }
        "/crm/contacts" => format!(r#"{{"contacts":[{}],"next":"2"}}"#, contact("0031", "John Doe", "john.doe@example.com")),
        "/api/chat.postMessage" => r#"{"ok":true,"channel":"C1","ts":"1.2"}"#.to_owned(),
        "/warehouse/orders" => "{}".to_owned(),
        "/v1/batch" => r#"{"success":true}"#.to_owned(),
        _ => return ("404 Not Found", "{}".into()),
    };
    ("200 OK", text)
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("the folder takes a folder");
    for entry in fs::read_dir(from).expect("it can be read").flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            if name != "out" && name != "data" {
                copy(&path, &to.join(name));
            }
        } else {
            fs::copy(path, to.join(name)).expect("it can be copied");
        }
    }
}

fn page(address: SocketAddr, path: &str) -> Option<Value> {
    let answer = Request::new("GET", path).send(address).ok().filter(|answer| answer.status == 200)?;
    serde_json::from_slice(&answer.body).ok()
}

fn wait_for_profile(address: SocketAddr, who: &str, is_it: impl Fn(&Value) -> bool) {
    let began = Instant::now();
    loop {
        let found = page(address, &format!("/api/v1/profiles/{who}"));
        if found.as_ref().is_some_and(&is_it) {
            return;
        }
        assert!(began.elapsed() < ARRIVAL_TIME_MAX, "{who}: {found:?}; {:?}", page(address, "/api/v1/status"));
        sleep(Duration::from_millis(100));
    }
}

#[test]
fn every_source_tells_and_every_destination_hears() {
    let folder = tempfile::tempdir().expect("there is a folder for temporary files");
    copy(&root().join("pipelines/acme"), folder.path());
    let plugins_yaml = folder.path().join("plugins.yaml");
    let yaml = fs::read_to_string(&plugins_yaml).expect("it is there");
    fs::write(&plugins_yaml, yaml.replace("../../plugins/dist", &plugins().display().to_string())).expect("it takes a file");
    let (outside, elsewhere) = Outside::start();
    let address = free_address(Ipv4Addr::LOCALHOST.into());
    let mut command = Command::new(binary());
    command.arg("run").arg(folder.path()).env("WEFT_CACHE", root().join("target/weft-cache")).env("WEFT_LOG", "warn");
    command.env("WEFT_LISTEN", address.to_string()).env("ACME_OUTSIDE", format!("http://{elsewhere}"));
    // Nobody takes mail: that destination waits, and delays no other.
    command.env("ACME_SMTP", "smtp://127.0.0.1:1");
    let log = fs::File::create(folder.path().join("log")).expect("it takes a file");
    let _running = Running(command.stdout(Stdio::null()).stderr(log).spawn().expect("it starts"));
    let began = Instant::now();
    while Request::new("GET", "/readyz").send(address).map_or(0, |answer| answer.status) != 200 {
        let log = fs::read_to_string(folder.path().join("log")).unwrap_or_default();
        assert!(began.elapsed() < Duration::from_secs(180), "the engine is not ready: {log}");
        sleep(Duration::from_millis(100));
    }

    let post = |request: Request| assert_eq!(request.send(address).map_or(0, |answer| answer.status), 200);
    let visit = r#"{"writeKey":"wk_acme","batch":[
        {"type":"track","event":"Add To Cart","anonymousId":"laptop","messageId":"w1","properties":{"product_id":"p-102","cart_id":"c1"}},
        {"type":"identify","anonymousId":"laptop","userId":"ann","messageId":"w2","traits":{"email":" Ann@Example.COM"}}]}"#;
    post(Request::post("/segment/v1/batch", visit));
    post(
        Request::post("/shopify", ORDER)
            .header("x-shopify-topic", "orders/create")
            .header("x-shopify-hmac-sha256", ORDER_SIGNATURE),
    );

    // The site, the order and the CRM are one customer; the list and the CRM another, and the fair and the list a third.
    wait_for_profile(address, "user_id/ann", |ann| {
        let says = ann.to_string();
        says.contains("ann@example.com") && says.contains("0032") && says.contains("\"70\"") && says.contains("Berlin")
    });
    wait_for_profile(address, "email/john.doe@example.com", |john| john.to_string().contains("Doe & Sons"));
    wait_for_profile(address, "email/max@example.com", |max| max.to_string().contains("Spring fair"));

    outside.wait_for("POST /api/chat.postMessage", |asked| {
        asked.head.contains("authorization: bearer xoxb-acme") && asked.body.contains("Ann ordered for 37.9")
    });
    outside.wait_for("POST /warehouse/orders", |asked| {
        asked.head.contains("x-acme-signature: sha256=") && asked.body.contains("4501")
    });
    outside.wait_for("POST /v1/batch", |asked| asked.body.contains("Product Added") && asked.body.contains("Tea"));
    assert!(outside.asked("GET /crm/contacts").len() >= 2, "the pages were asked for");
    let told = outside.asked("POST /api/chat.postMessage").len();
    assert_eq!(told, 1, "an order is told once");

    // Another list in the place of the old one.
    let list = "Name;E-Mail;Ort;Newsletter\nJohn Doe;john.doe@example.com;Bonn;no\n";
    fs::write(folder.path().join("lists/mailing-list.csv"), list).expect("it takes a file");
    wait_for_profile(address, "email/john.doe@example.com", |john| john.to_string().contains("Bonn"));
    let status = page(address, "/api/v1/status").expect("a page").to_string();
    assert!(status.contains("confirmations"), "{status}");
}

#[test]
fn its_stories_come_out_as_they_are_told() {
    let output = run_on(&root().join("pipelines/acme"), "test");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.ends_with("6 passed, 0 failed\n"),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
