//! Requests of people in the form of OpenDSR, through a running engine: taken once, followed, told over `https` under a signature that holds,
//! and kept without a word of who is meant.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use weft::clock::Clock;
use weft::config::connection::{Tls, rsa_key};
use weft::config::{Duration as Span, OpenDsr, Scope, Secret, Token};
use weft::engine::{Engine, Settings, Stages, Terms};
use weft::erasure;
use weft::intake::Arrived;
use weft::vault::DataFolder;
use weft_domain::event::{Environment, Event};
use weft_domain::explain::whose;
use weft_domain::input::{Arrival, Named};
use weft_domain::value::Timestamp;

const NOON: &str = "2026-03-01T12:00:00Z";
const DAY_MS: i64 = 86_400_000;
const KEY: &str = include_str!("egress/rsa-of-tests.pem");
const ANN: &str = "ann.marker@shop.example";

/// Who wants to hear of it: a server over TLS that remembers what it was told, and refuses the first few.
struct Controller {
    authority: CertificateDer<'static>,
    port: u16,
    told: Arc<Mutex<Vec<(String, Value)>>>,
}

impl Controller {
    async fn start(refuses: usize) -> Controller {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &authority).expect("signs");
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        let config = config.with_safe_default_protocol_versions().expect("versions").with_no_client_auth();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = config.with_single_cert(vec![certificate.der().clone()], key).expect("a certificate");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let (port, told) = (listener.local_addr().expect("an address").port(), Arc::new(Mutex::new(Vec::new())));
        let (acceptor, heard, left) = (TlsAcceptor::from(Arc::new(config)), told.clone(), Arc::new(AtomicUsize::new(refuses)));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, heard, left) = (acceptor.clone(), heard.clone(), left.clone());
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let Some((head, body)) = read(&mut stream).await else { return };
                    let refused = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok();
                    if !refused {
                        assert!(head.starts_with("POST /heard?of=it HTTP/1.1\r\n"), "{head}");
                        assert_eq!(header(&head, "x-opendsr-processor-domain"), "privacy.acme.example");
                        check_signature(&head, &body);
                        let body: Value = serde_json::from_slice(&body).expect("JSON");
                        heard
                            .lock()
                            .expect("no panic")
                            .push((body["request_status"].as_str().expect("a status").to_owned(), body));
                    }
                    let answer = if refused { "503 Later" } else { "202 Accepted" };
                    let _ = stream
                        .write_all(format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").as_bytes())
                        .await;
                    let _ = stream.shutdown().await;
                });
            }
        });
        Controller { authority: authority.der().clone(), port, told }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}/heard?of=it", self.port)
    }

    fn statuses(&self) -> Vec<String> {
        self.told.lock().expect("no panic").iter().map(|(status, _)| status.clone()).collect()
    }

    /// Waits until these were told, in this order. One may be told twice: a stop can come between a call and the note that it was made.
    async fn heard(&self, statuses: &[&str]) {
        let told = || {
            let mut told = self.statuses();
            told.dedup();
            told
        };
        for _ in 0..2_000 {
            if told().len() >= statuses.len() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(told(), statuses);
    }
}

async fn read(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end + 4]).into_owned();
            let length = header(&head, "content-length").parse::<usize>().unwrap_or(usize::MAX);
            if bytes.len() >= end + 4 + length {
                return Some((head, bytes[end + 4..].to_vec()));
            }
        }
        let mut piece = [0; 4096];
        match stream.read(&mut piece).await {
            Ok(read) if read > 0 => bytes.extend_from_slice(&piece[..read]),
            _ => return None,
        }
    }
}

fn header(head: &str, name: &str) -> String {
    let line = head.lines().find_map(|line| line.to_lowercase().starts_with(&format!("{name}: ")).then(|| line.to_owned()));
    line.map(|line| line[name.len() + 2..].to_owned()).unwrap_or_default()
}

/// The signature over the very bytes of a body holds under the public key.
fn check_signature(head: &str, body: &[u8]) {
    let signature = BASE64_STANDARD.decode(header(head, "x-opendsr-signature")).expect("base64");
    let key = rsa_key(&KEY.into()).expect("an RSA key");
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public().as_ref().to_vec());
    key.verify(body, &signature).expect("the signature holds");
    let mut other = body.to_vec();
    other.push(b' ');
    key.verify(&other, &signature).expect_err("it is of these bytes alone");
}

fn terms(controller: &Controller) -> OpenDsr {
    let days = |days: u64| Span::from_ms(days * 86_400_000);
    let pairs = [("email", "email"), ("controller_customer_id", "user_id")];
    OpenDsr {
        domain: "privacy.acme.example".into(),
        controller: "acme".into(),
        key: Secret::new(KEY),
        certificate: "-----BEGIN CERTIFICATE-----\n".into(),
        identities: pairs.map(|(kind, here)| (kind.to_owned(), here.to_owned())).into(),
        identifiers: ["user_id", "email", "phone", "anonymous_id"].map(str::to_owned).into(),
        erasure_wait: days(0),
        complete_within: days(30),
        results_kept: days(7),
        tls: Tls { roots: vec![controller.authority.clone()], ..Tls::default() },
        proxy: None,
        allow_private: true,
        files: Vec::new(),
    }
}

fn token(text: &str, scope: Scope) -> Token {
    Token { hash: Sha256::digest(text).into(), scopes: vec![scope] }
}

struct Running {
    engine: Engine,
    clock: Clock,
}

async fn start(data: &Path, opendsr: Option<OpenDsr>) -> Running {
    let clock = Clock::at(NOON.parse().expect("valid"));
    let tokens = vec![token("t-read", Scope::Read), token("t-rights", Scope::Rights), token("t-admin", Scope::Admin)];
    let settings = Settings {
        data: DataFolder::at(data),
        listen: Some("127.0.0.1:0".parse().expect("valid")),
        terms: Terms { tokens, opendsr: opendsr.map(Arc::new), ..Terms::default() },
        clock: clock.clone(),
    };
    let engine = Engine::start(settings, async |_| Ok(Stages::default()), |_| ()).await.expect("the engine starts");
    Running { engine, clock }
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }
}

impl Running {
    async fn tell(&self, id: &str, email: &str) {
        let json = format!(
            r#"{{"type":"track","name":"Ordered","message_id":"{id}","claims":[{{"type":"email","value":"{email}"}}],"properties":{{"note":"parcel of {email}"}}}}"#
        );
        let mut event = Event::parse(json.as_bytes()).expect("valid");
        event.stamp(NOON.parse().expect("valid"), Environment::Production);
        let mut arrived = Arrived::default();
        arrived.push(&Arrival::Event { source: "web", named: Named::BySender, json: &event.to_json() });
        self.engine.intake().append(arrived).await.expect("intake takes it");
        self.engine.caught_up().await;
        assert_eq!(self.engine.report().trouble, None);
    }

    async fn ask(&self, verb: &str, path: &str, authorization: &str, body: &str) -> Answer {
        let mut stream = TcpStream::connect(self.engine.address().expect("it listens")).await.expect("connects");
        let head = format!(
            "{verb} {path} HTTP/1.1\r\nhost: weft\r\nconnection: close\r\nauthorization: {authorization}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + body).as_bytes()).await.expect("sends");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("is answered");
        let end = answer.windows(4).position(|part| part == b"\r\n\r\n").expect("has a head") + 4;
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("has a status");
        Answer { status, head, body: answer[end..].to_vec() }
    }

    /// Asks a page of requests; its answer must be signed.
    async fn opendsr(&self, verb: &str, path: &str, body: &str) -> (u16, Value) {
        let answer = self.ask(verb, &format!("/opendsr/v3{path}"), "Bearer t-rights", body).await;
        check_signature(&answer.head, &answer.body);
        assert_eq!(header(&answer.head, "x-opendsr-processor-domain"), "privacy.acme.example");
        (answer.status, answer.json())
    }

    async fn until(&self, id: &str, status: &str) -> Value {
        for _ in 0..2_000 {
            let (_, shown) = self.opendsr("GET", &format!("/requests/{id}"), "").await;
            if shown["request_status"] == status {
                return shown;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{id} does not become {status}");
    }

    fn knows(&self, email: &str) -> bool {
        whose(&*self.engine.ledger().state(), "email", email).expect("readable").is_some()
    }

    fn advance(&self, ms: i64) {
        self.clock.set(Timestamp(self.clock.now().0 + ms));
    }

    async fn stop(self) {
        self.engine.stop().await.expect("an orderly stop");
    }
}

fn id(number: u32) -> String {
    format!("a7551968-d5d6-44b2-9831-{number:012x}")
}

fn request(number: u32, kind: &str, controller: &Controller) -> Value {
    json!({
        "regulation": "gdpr",
        "subject_request_id": id(number),
        "subject_request_type": kind,
        "submitted_time": "2026-02-28T09:30:00+01:00",
        "subject_identities": [{ "identity_type": "email", "identity_value": ANN, "identity_format": "raw" }],
        "api_version": "3.0",
        "status_callback_urls": [controller.url()],
    })
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_is_done_once_told_in_order_and_kept_without_a_name() {
    let root = tempfile::tempdir().expect("a folder");
    let controller = Controller::start(2).await;
    let running = start(root.path(), Some(terms(&controller))).await;
    running.tell("m1", ANN).await;
    running.tell("m2", "bob@shop.example").await;
    let body = request(1, "erasure", &controller).to_string();
    let (status, receipt) = running.opendsr("POST", "/requests", &body).await;
    assert_eq!(status, 201, "{receipt}");
    assert_eq!(receipt["subject_request_id"], id(1));
    assert_eq!((&receipt["received_time"], &receipt["controller_id"]), (&json!("2026-03-01T12:00:00.000Z"), &json!("acme")));
    assert_eq!(receipt["expected_completion_time"], "2026-03-31T12:00:00.000Z");
    let encoded = BASE64_STANDARD.decode(receipt["encoded_request"].as_str().expect("a text")).expect("base64");
    assert_eq!(encoded, body.as_bytes());

    controller.heard(&["pending", "in_progress", "completed"]).await;
    let told = controller.told.lock().expect("no panic").clone();
    assert!(told.iter().all(|(_, told)| told["status_callback_url"] == controller.url() && told["subject_request_id"] == id(1)));
    assert!(!running.knows(ANN) && running.knows("bob@shop.example"));
    let shown = running.until(&id(1), "completed").await;
    assert_eq!((&shown["results_url"], &shown["api_version"]), (&Value::Null, &json!("3.0")));
    let erased = erasure::find(running.engine.ledger(), &id(1)).expect("readable").expect("it has the request's id");
    assert_eq!((erased.removed["events"], erased.suppressed, &*erased.reason), (1, 1, "OpenDSR, gdpr"));

    // Sent again it is the same; another under the same id is not taken; what is done cannot be called off.
    running.advance(1_000);
    assert_eq!(running.opendsr("POST", "/requests", &body).await, (201, receipt));
    let (status, refused) = running.opendsr("POST", "/requests", &body.replace("gdpr", "ccpa")).await;
    assert_eq!((status, &refused["error"]["code"]), (409, &json!(409)));
    let (status, refused) = running.opendsr("DELETE", &format!("/requests/{}", id(1)), "").await;
    assert_eq!((status, &refused["error"]["code"]), (400, &json!(400)));
    assert_eq!(erasure::list(running.engine.ledger()).expect("readable").len(), 1);
    assert!(running.engine.metrics().text().contains(r#"weft_rights_requests_total{kind="erasure",status="completed"} 1"#));

    let kept = running.engine.ledger().state().values("rights/requests").expect("readable");
    let kept: Vec<String> = kept.values().map(|value| String::from_utf8_lossy(&value.0).into_owned()).collect();
    assert!(kept.len() == 1 && !kept[0].contains("ann.marker"), "{kept:?}");
    assert_eq!((files(&root.path().join("erasure")), files(&root.path().join("rights"))), (vec!["key".to_owned()], Vec::new()));
    running.stop().await;
    controller.heard(&["pending", "in_progress", "completed"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_result_of_a_request_for_access_is_there_for_a_while_and_goes_with_the_person() {
    let root = tempfile::tempdir().expect("a folder");
    let controller = Controller::start(0).await;
    let running = start(root.path(), Some(terms(&controller))).await;
    running.tell("m1", ANN).await;
    for (number, kind) in [(1, "access"), (2, "portability")] {
        let (status, _) = running.opendsr("POST", "/requests", &request(number, kind, &controller).to_string()).await;
        assert_eq!(status, 201);
    }
    let fetch = async |running: &Running, url: &str| {
        let path = url.strip_prefix("https://privacy.acme.example").expect("at our domain").to_owned();
        running.ask("GET", &path, "", "").await
    };
    let shown = running.until(&id(1), "completed").await;
    assert_eq!(shown["results_count"], 2, "{shown}");
    let url = shown["results_url"].as_str().expect("an address").to_owned();
    let result = fetch(&running, &url).await;
    let text = String::from_utf8_lossy(&result.body).into_owned();
    assert_eq!(result.status, 200, "{text}");
    assert_eq!(header(&result.head, "cache-control"), "no-store");
    assert!(text.contains("parcel of ann.marker@shop.example") && text.contains(r#"{"kind":"end""#), "{text}");
    let guessed = format!("{}{}", &url[..url.len() - 1], if url.ends_with('0') { '1' } else { '0' });
    assert_eq!(fetch(&running, &guessed).await.status, 404);
    let other = running.until(&id(2), "completed").await["results_url"].as_str().expect("an address").to_owned();
    assert_ne!(url[url.len() - 32..], other[other.len() - 32..]);
    let told = controller.told.lock().expect("no panic").clone();
    let completed = told.iter().find(|(status, told)| status == "completed" && told["subject_request_id"] == id(1));
    assert!(completed.is_none_or(|(_, told)| told["results_url"] == url.as_str()));

    // It outlives a restart, and goes when its time is over.
    running.stop().await;
    let running = start(root.path(), Some(terms(&controller))).await;
    assert_eq!(fetch(&running, &url).await.body, result.body);
    running.advance(7 * DAY_MS);
    assert_eq!(fetch(&running, &url).await.status, 410);
    for _ in 0..500 {
        if files(&root.path().join("rights")).is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(files(&root.path().join("rights")), Vec::<String>::new());
    assert_eq!(running.until(&id(1), "completed").await["results_url"], Value::Null);

    // One that is there when the person is erased goes with the person.
    running.opendsr("POST", "/requests", &request(3, "access", &controller).to_string()).await;
    let url = running.until(&id(3), "completed").await["results_url"].as_str().expect("an address").to_owned();
    assert_eq!(fetch(&running, &url).await.status, 200);
    running.opendsr("POST", "/requests", &request(4, "erasure", &controller).to_string()).await;
    running.until(&id(4), "completed").await;
    assert_eq!(fetch(&running, &url).await.status, 410);
    assert_eq!(files(&root.path().join("rights")), Vec::<String>::new());
    // Of somebody who is unknown, the answer is that there is nothing.
    running.opendsr("POST", "/requests", &request(5, "access", &controller).to_string()).await;
    assert_eq!(running.until(&id(5), "completed").await["results_count"], 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erasure_that_waits_can_be_called_off_also_after_a_restart() {
    let root = tempfile::tempdir().expect("a folder");
    let controller = Controller::start(0).await;
    let waits = |controller: &Controller| OpenDsr { erasure_wait: Span::from_ms(7 * 86_400_000), ..terms(controller) };
    let running = start(root.path(), Some(waits(&controller))).await;
    running.tell("m1", ANN).await;
    running.tell("m2", "bob@shop.example").await;
    let mut first = request(1, "erasure", &controller);
    first["group_id"] = json!("march");
    let (status, _) = running.opendsr("POST", "/requests", &first.to_string()).await;
    assert_eq!(status, 201);
    controller.heard(&["pending"]).await;
    running.stop().await;

    let running = start(root.path(), Some(waits(&controller))).await;
    let (_, group) = running.opendsr("GET", "/requests?group_id=march", "").await;
    assert_eq!((group[0]["request_status"].as_str(), group.as_array().map(Vec::len)), (Some("pending"), Some(1)));
    let (status, cancelled) = running.opendsr("DELETE", &format!("/requests/{}", id(1)), "").await;
    assert_eq!((status, &cancelled["expected_completion_time"]), (202, &Value::Null), "{cancelled}");
    assert_eq!(running.opendsr("DELETE", &format!("/requests/{}", id(1)), "").await.0, 202, "twice is as good as once");
    controller.heard(&["pending", "cancelled"]).await;
    running.advance(8 * DAY_MS);

    // One that is not to wait, of somebody named as the workspace names them, as mParticle writes it; and one whose wait is over.
    let mut second = request(2, "erasure", &controller);
    second["subject_identities"] = json!({ "email": { "value": "bob@shop.example", "encoding": "raw" } });
    second["status_callback_urls"] = Value::Null;
    let phone = json!({ "phone": { "value": "+49 1", "encoding": "raw" } });
    second["extensions"] = json!({ "privacy.acme.example": { "skip_waiting_period": true, "subject_identities": phone }, "opendsr.mparticle.com": 1 });
    running.opendsr("POST", "/requests", &second.to_string()).await;
    running.until(&id(2), "completed").await;
    assert!(running.knows(ANN) && !running.knows("bob@shop.example"));
    let third = request(3, "erasure", &controller).to_string();
    running.opendsr("POST", "/requests", &third).await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert!(running.knows(ANN), "it waits");
    running.advance(8 * DAY_MS);
    running.until(&id(3), "completed").await;
    assert!(!running.knows(ANN));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_stop_interrupts_goes_on_at_the_next_start() {
    let root = tempfile::tempdir().expect("a folder");
    // Whoever is to be told is not there yet: the first tries are refused.
    let controller = Controller::start(1).await;
    let running = start(root.path(), Some(terms(&controller))).await;
    running.tell("m1", ANN).await;
    running.opendsr("POST", "/requests", &request(1, "access", &controller).to_string()).await;
    running.stop().await;
    let running = start(root.path(), Some(terms(&controller))).await;
    running.until(&id(1), "completed").await;
    controller.heard(&["pending", "in_progress", "completed"]).await;
    running.stop().await;

    // Of what was never answered nothing is left; what is wanted while nobody can sign is done all the same, and told later.
    fs::write(root.path().join("rights").join(format!("{}.wanted", id(7))), format!(r#"["email:{ANN}"]"#)).expect("written");
    let running = start(root.path(), Some(terms(&controller))).await;
    assert!(!files(&root.path().join("rights")).iter().any(|name| name.starts_with(&id(7))));
    running.opendsr("POST", "/requests", &request(2, "erasure", &controller).to_string()).await;
    running.stop().await;
    let running = start(root.path(), None).await;
    while erasure::find(running.engine.ledger(), &id(2)).expect("readable").is_none_or(|one| one.completed.is_none()) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(running.ask("GET", "/opendsr/v3/discovery", "", "").await.status, 404);
    running.stop().await;
    let running = start(root.path(), Some(terms(&controller))).await;
    let all = ["pending", "in_progress", "completed", "pending", "in_progress", "completed"];
    controller.heard(&all).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_and_what_is_supported() {
    let root = tempfile::tempdir().expect("a folder");
    let controller = Controller::start(0).await;
    let running = start(root.path(), Some(terms(&controller))).await;
    let (_, discovery) = running.opendsr("GET", "/discovery", "").await;
    let raw = |kind: &str| json!({ "identity_type": kind, "identity_format": "raw" });
    assert_eq!(discovery["supported_identities"], json!([raw("controller_customer_id"), raw("email")]));
    assert_eq!(discovery["supported_subject_request_types"], json!(["access", "erasure", "portability"]));
    assert_eq!(discovery["processor_certificate"], "https://privacy.acme.example/opendsr/v3/certificate");
    let certificate = running.ask("GET", "/opendsr/v3/certificate", "", "").await;
    assert_eq!(certificate.body, b"-----BEGIN CERTIFICATE-----\n");

    let path = format!("/opendsr/v3/requests/{}", id(1));
    let basic = format!("Basic {}", BASE64_STANDARD.encode("anybody:t-rights"));
    let wrong = format!("Basic {}", BASE64_STANDARD.encode("t-rights:wrong"));
    let cases =
        [("Bearer t-rights", 404), ("Bearer t-admin", 404), (&*basic, 404), ("Bearer t-read", 403), (&*wrong, 401), ("", 401)];
    for (authorization, want) in cases {
        for verb in ["GET", "DELETE"] {
            assert_eq!(running.ask(verb, &path, authorization, "").await.status, want, "{verb} with {authorization}");
        }
    }
    // The scope is for nothing else.
    assert_eq!(running.ask("GET", "/api/v1/status", "Bearer t-rights", "").await.status, 403);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_request_is_said_without_naming_anybody() {
    let root = tempfile::tempdir().expect("a folder");
    let controller = Controller::start(0).await;
    let running = start(root.path(), Some(OpenDsr { allow_private: false, ..terms(&controller) })).await;
    let good = || {
        let mut good = request(1, "erasure", &controller);
        good["status_callback_urls"] = json!(["https://controller.example/heard"]);
        good
    };
    let check = async |key: &str, value: Value, want: &str| {
        let mut body = good();
        body[key] = value;
        let (status, refused) = running.opendsr("POST", "/requests", &body.to_string()).await;
        let error = &refused["error"];
        assert_eq!((status, &error["code"]), (400, &json!(400)), "{key}: {refused}");
        let message = error["message"].as_str().expect("a message");
        assert!(message.contains(want) && error["errors"][0]["domain"] == "Validation", "{key}: {refused}");
        assert!(!refused.to_string().contains("ann.marker"), "{refused}");
    };
    let identity =
        |kind: &str, format: &str| json!([{ "identity_type": kind, "identity_value": ANN, "identity_format": format }]);
    check("subject_request_id", Value::Null, "`subject_request_id` is required").await;
    check("subject_request_id", json!(id(1).to_uppercase()), "not a UUID of version 4").await;
    check("subject_request_id", json!("../../../../../../../../../etc/passwd"), "not a UUID of version 4").await;
    check("subject_request_type", json!("rectification"), "none of `access`").await;
    check("regulation", Value::Null, "`regulation` is required").await;
    check("regulation", json!("General Data"), "not the name of one").await;
    check("submitted_time", json!("yesterday"), "not a time of RFC 3339").await;
    check("api_version", json!("1.0"), "not `3.0`").await;
    check("group_id", json!(7), "`group_id` is not a text").await;
    check("subject_identities", json!([]), "must not be empty").await;
    check("subject_identities", identity("email", "sha256"), "is not `raw`").await;
    check("subject_identities", identity("roku_publisher_id", "raw"), "`roku_publisher_id` are not supported").await;
    check("subject_identities", json!([{ "identity_type": "email" }]), "without type, value or format").await;
    check("subject_identities", json!({ "email": { "value": ANN, "encoding": "md5" } }), "is not `raw`").await;
    check("subject_identities", json!({ "email": { "value": " " } }), "empty or too long").await;
    check("extensions", json!({ "privacy.acme.example": { "mpids": [1] } }), "has no `mpids`").await;
    check("status_callback_urls", json!("https://controller.example"), "not a list").await;
    for (url, want) in [
        ("http://controller.example/x", "does not begin with `https://`"),
        ("https://localhost/x", "not public"),
        ("https://127.0.0.1/x", "not public"),
        ("https://[::1]/x", "not public"),
        ("https://169.254.169.254/latest", "not public"),
        ("https://10.0.0.7/x", "not public"),
        ("https://0x7f000001/x", "not public"),
        ("https://ann:secret@controller.example/x", "credentials"),
        ("https://", "no url"),
    ] {
        check("status_callback_urls", json!([url]), want).await;
    }
    let (status, refused) = running.opendsr("POST", "/requests", "not json").await;
    assert_eq!((status, &refused["error"]["message"]), (400, &json!("the body is not a JSON object")));
    let (status, _) = running.opendsr("POST", "/requests", &" ".repeat(70_000)).await;
    assert_eq!(status, 400);
    assert_eq!(erasure::list(running.engine.ledger()).expect("readable").len(), 0, "nothing was begun");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_work_on_requests_see_all_of_them() {
    let root = tempfile::tempdir().expect("a folder");
    let controller = Controller::start(usize::MAX).await;
    let waits = OpenDsr { erasure_wait: Span::from_ms(7 * 86_400_000), ..terms(&controller) };
    let running = start(root.path(), Some(waits)).await;
    running.tell("m1", ANN).await;
    let path = "/api/v1/rights/requests";
    let page = async |running: &Running, query: &str| {
        let answer = running.ask("GET", &format!("{path}{query}"), "Bearer t-rights", "").await;
        assert_eq!(answer.status, 200, "{query}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()
    };
    let ids = |list: &Value| -> Vec<String> {
        let requests = list["requests"].as_array().expect("a list").iter();
        requests.map(|one| one["id"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!(page(&running, "").await, json!({ "requests": [] }));
    // 3 and 4 arrive in the same millisecond.
    for (number, kind, later_ms) in [(1, "erasure", 1_000), (2, "access", 1_000), (3, "erasure", 0), (4, "erasure", 0)] {
        let mut request = request(number, kind, &controller);
        if number > 2 {
            request["group_id"] = json!("march & april");
            request["status_callback_urls"] = Value::Null;
        }
        assert_eq!(running.opendsr("POST", "/requests", &request.to_string()).await.0, 201);
        running.until(&id(number), if kind == "access" { "completed" } else { "pending" }).await;
        running.advance(later_ms);
    }
    assert_eq!(running.opendsr("DELETE", &format!("/requests/{}", id(4)), "").await.0, 202);

    let all = page(&running, "").await;
    assert_eq!((ids(&all), all.get("next")), (vec![id(4), id(3), id(2), id(1)], None));
    let first = page(&running, "?limit=1").await;
    let next = |list: &Value| list["next"].as_str().expect("there are more").to_owned();
    let second = page(&running, &format!("?limit=2&after={}", next(&first))).await;
    assert_eq!((ids(&first), ids(&second)), (vec![id(4)], vec![id(3), id(2)]));
    let last = page(&running, &format!("?limit=2&after={}", next(&second))).await;
    assert_eq!((ids(&last), last.get("next")), (vec![id(1)], None));
    assert_eq!(ids(&page(&running, "?status=pending").await), [id(3), id(1)]);
    assert_eq!(ids(&page(&running, "?status=cancelled&group=march%20%26%20april").await), [id(4)]);
    assert_eq!(ids(&page(&running, "?group=april").await), Vec::<String>::new());
    for wrong in ["?status=done", "?after=1", "?after=1-2", "?limit=many", "?kind=access"] {
        assert_eq!(running.ask("GET", &format!("{path}{wrong}"), "Bearer t-rights", "").await.status, 400, "{wrong}");
    }
    assert_eq!(running.ask("GET", path, "Bearer t-read", "").await.status, 403);

    let erasure = page(&running, &format!("/{}", id(1))).await;
    let noon = "2026-03-01T12:00:00.000Z";
    let want = json!({
        "id": id(1), "kind": "erasure", "status": "pending", "regulation": "gdpr", "submitted": "2026-02-28T08:30:00.000Z", "received": noon,
        "due": "2026-03-31T12:00:00.000Z", "waits_until": "2026-03-08T12:00:00.000Z", "changes": [{ "status": "pending", "at": noon }],
        "callbacks": 1, "callbacks_waiting": 1,
    });
    assert_eq!(erasure, want);
    let access = page(&running, &format!("/{}", id(2))).await;
    assert_eq!(access["result"], json!({ "lines": 2, "until": "2026-03-08T12:00:01.000Z" }), "{access}");
    assert_eq!(access["changes"].as_array().map(Vec::len), Some(3));
    let cancelled = page(&running, &format!("/{}", id(4))).await;
    assert_eq!((cancelled.get("due"), cancelled.get("waits_until")), (None, None), "{cancelled}");
    assert!(!all.to_string().contains("ann.marker"), "{all}");
    let unknown = running.ask("GET", &format!("{path}/{}", id(9)), "Bearer t-rights", "").await;
    assert_eq!((unknown.status, unknown.json()["detail"].as_str()), (404, Some("there is no such request")));
    running.stop().await;

    // Also where no more are taken.
    let running = start(root.path(), None).await;
    assert_eq!(page(&running, &format!("/{}", id(1))).await, want);
    assert_eq!(ids(&page(&running, "?status=completed").await), [id(2)]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slash_at_the_end_is_the_same_page_of_opendsr_and_of_no_other() {
    let root = tempfile::tempdir().expect("a folder");
    let controller = Controller::start(0).await;
    let running = start(root.path(), Some(OpenDsr { erasure_wait: Span::from_ms(60_000), ..terms(&controller) })).await;
    running.tell("m1", ANN).await;
    let (status, receipt) = running.opendsr("POST", "/requests/", &request(1, "erasure", &controller).to_string()).await;
    assert_eq!((status, &receipt["subject_request_id"]), (201, &json!(id(1))));
    let mut access = request(2, "access", &controller);
    access["group_id"] = json!("march");
    assert_eq!(running.opendsr("POST", "/requests/", &access.to_string()).await.0, 201);
    let url = running.until(&id(2), "completed").await["results_url"].as_str().expect("an address").to_owned();
    for page in ["/discovery", "/requests?group_id=march", &format!("/requests/{}", id(1))] {
        let with = match page.split_once('?') {
            Some((page, query)) => format!("{page}/?{query}"),
            None => format!("{page}/"),
        };
        let (status, answer) = running.opendsr("GET", page, "").await;
        assert_eq!((status, &answer), (200, &running.opendsr("GET", &with, "").await.1), "{with}");
    }
    let path = url.strip_prefix("https://privacy.acme.example").expect("at our domain");
    for path in [path.to_owned(), "/opendsr/v3/certificate".to_owned()] {
        assert_eq!(running.ask("GET", &format!("{path}/"), "", "").await.body, running.ask("GET", &path, "", "").await.body);
    }
    let one = format!("/requests/{}/", id(1));
    assert_eq!(running.ask("GET", &format!("/opendsr/v3{one}"), "Bearer t-read", "").await.status, 403, "it is guarded as well");
    assert_eq!(running.opendsr("DELETE", &one, "").await.0, 202);
    assert_eq!(running.ask("GET", "/api/v1/status/", "Bearer t-read", "").await.status, 404);
    running.stop().await;
}
