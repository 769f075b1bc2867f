//! An engine that others can reach: at an address of this machine's own that is not loopback, found when the test runs. Without tokens it does not
//! start; with them, nobody sees anything without one.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use weft_tests::engine::{KEY, Protocol, Workspace, binary};
use weft_tests::wire::{Answer, Request};

/// An engine that does not start says so within this.
const REFUSAL_TIME_MAX: Duration = Duration::from_secs(60);

/// The addresses by which this machine would reach others, one for each version of IP; none where it has no network. A datagram's
/// socket that is connected sends nothing: the system only looks up the way to an address, here to two that are for documents (RFC 5737, RFC 3849).
fn own_addresses() -> Vec<IpAddr> {
    let ways = [("0.0.0.0:0", "198.51.100.1:9"), ("[::]:0", "[2001:db8::1]:9")];
    let own = ways.into_iter().filter_map(|(from, to)| {
        let socket = UdpSocket::bind(from).ok()?;
        socket.connect(to).ok()?;
        Some(socket.local_addr().ok()?.ip())
    });
    own.filter(|ip| !ip.is_loopback() && !ip.is_unspecified() && TcpListener::bind((*ip, 0)).is_ok()).collect()
}

#[expect(clippy::print_stderr, reason = "a test that is skipped says so, or nobody would know")]
fn skipped() {
    eprintln!("SKIPPED: this machine has no address but loopback");
}

/// What an engine says that does not start, and its exit code.
fn refusal(workspace: &Workspace) -> (Option<i32>, String) {
    let log = workspace.path().join("refusal.log");
    let words = std::fs::File::create(&log).expect("the folder takes a file");
    let mut command = Command::new(binary());
    command.arg("run").arg(workspace.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(words);
    let mut child = command.spawn().expect("weft starts");
    let began = Instant::now();
    let status = loop {
        match child.try_wait().expect("a child can be waited for") {
            Some(status) => break Some(status),
            None if began.elapsed() > REFUSAL_TIME_MAX => break None,
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    if status.is_none() {
        _ = child.kill();
        _ = child.wait();
    }
    (status.and_then(|status| status.code()), std::fs::read_to_string(&log).unwrap_or_default())
}

/// A token of this scope, and its entry for the workspace.
fn token(workspace: &Workspace, scope: &str) -> (String, Value) {
    let made = workspace.run_alone(&["token", "new", scope, "--scope", scope, "--json"]);
    let made: Value = serde_json::from_slice(&made.stdout).expect("JSON");
    (made["token"].as_str().expect("a token").to_owned(), made["tokens"][scope].clone())
}

#[test]
fn without_tokens_an_engine_that_others_can_reach_does_not_start() {
    let own = own_addresses();
    if own.is_empty() {
        return skipped();
    }
    for ip in own.into_iter().chain([IpAddr::V4(Ipv4Addr::UNSPECIFIED)]) {
        let workspace = Workspace::at(Protocol::Segment, ip);
        let (code, said) = refusal(&workspace);
        assert_eq!(code, Some(2), "{ip}: {said}");
        assert!(said.contains("error[config/listen]") && said.contains(&workspace.address().to_string()), "{said}");
        assert!(said.contains("weft.yaml:4:9") && said.contains("declare `tokens`"), "{said}");
        assert!(TcpStream::connect(workspace.address()).is_err(), "{ip}: somebody listens all the same");
        assert!(!workspace.path().join("data").exists(), "{ip}: it made its data folder");
    }
}

#[test]
fn with_tokens_others_are_served_who_have_one() {
    let own = own_addresses();
    if own.is_empty() {
        return skipped();
    }
    // Where it listens at every address, it is asked at the first of its own.
    let everywhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let v4 = own.iter().find(|ip| ip.is_ipv4()).map(|ip| (everywhere, *ip));
    for (listens, ip) in own.iter().map(|ip| (*ip, *ip)).chain(v4) {
        served(listens, ip);
    }
}

fn served(listens: IpAddr, ip: IpAddr) {
    let mut workspace = Workspace::at(Protocol::Segment, listens);
    let ((reader, read), (admin, all)) = (token(&workspace, "read"), token(&workspace, "admin"));
    let tokens = workspace.path().join("tokens.yaml");
    std::fs::write(&tokens, json!({ "tokens": { "read": read, "admin": all } }).to_string()).expect("JSON is YAML");
    let engine = workspace.start();
    let address = SocketAddr::new(ip, engine.address.port());
    let send = |request: Request| -> Answer { request.send(address).unwrap_or_else(|error| panic!("{address}: {error}")) };
    let bearer = |request: Request, token: &str| request.header("authorization", &format!("Bearer {token}"));
    let get = |path: &str| Request::new("GET", path);

    let pages =
        ["/api/v1/status", "/api/v1/config", "/api/v1/dead-letters", "/api/v1/profiles/user_id/ann", "/api/v1/tail", "/metrics"];
    for path in pages {
        let refused = send(get(path));
        assert_eq!(refused.status, 401, "{address}{path}: {}", refused.text());
        assert!(
            refused.headers.iter().any(|(name, value)| name == "www-authenticate" && value.contains("Bearer")),
            "{refused:?}"
        );
        assert_eq!(send(bearer(get(path), "weft_nobody-made-this-one")).status, 401, "{address}{path}");
    }
    assert_eq!(send(Request::post("/api/v1/config/reload", "")).status, 401);
    assert_eq!(send(bearer(Request::post("/api/v1/config/reload", ""), &reader)).status, 403);

    // Senders have their own keys, and those who only ask whether it is there need none.
    let track = json!({ "userId": "ann", "event": "Order Completed", "messageId": "m-1" }).to_string();
    assert_eq!(send(Request::post("/segment/v1/track", track.clone())).status, 401);
    assert_eq!(send(Request::post("/segment/v1/track", track).key(KEY)).status, 200);
    assert_eq!((send(get("/healthz")).status, send(get("/readyz")).status), (200, 200));

    // The event is through once its profile is there, for who may look.
    let began = Instant::now();
    while send(bearer(get("/api/v1/profiles/user_id/ann"), &reader)).status != 200 {
        assert!(began.elapsed() < REFUSAL_TIME_MAX, "{address}: the event does not come through");
        std::thread::sleep(Duration::from_millis(20));
    }
    for path in ["/api/v1/status", "/api/v1/config", "/api/v1/dead-letters", "/metrics"] {
        assert_eq!(send(bearer(get(path), &reader)).status, 200, "{address}{path}");
    }

    // Commands are others as well.
    let asked = workspace.ask_with(&["status"]);
    assert!(!asked.status.success(), "{}", String::from_utf8_lossy(&asked.stdout));
    workspace.variables.push(("WEFT_TOKEN".into(), admin));
    let asked = workspace.ask_with(&["status"]);
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));

    // Tokens cannot be taken away from under it.
    std::fs::remove_file(&tokens).expect("it was there");
    let reloaded = workspace.ask_with(&["reload"]);
    let said = String::from_utf8_lossy(&reloaded.stderr).into_owned() + &String::from_utf8_lossy(&reloaded.stdout);
    assert!(reloaded.status.code() == Some(2) && said.contains("config/listen"), "{said}");
    assert_eq!((send(get("/api/v1/status")).status, send(bearer(get("/api/v1/status"), &reader)).status), (401, 200));
    engine.stop();
}
