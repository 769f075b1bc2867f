//! A connection against real servers on this machine: what reaches them, what comes back, and what never leaves.

#[path = "egress/mail.rs"]
mod mail;
#[path = "egress/server.rs"]
mod server;
#[path = "egress/tokens.rs"]
mod tokens;
#[path = "egress/ways.rs"]
mod ways;

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::time::Instant;
use weft::egress::{Auth, Connection, ConnectionOptions, EgressError, RateLimit, Resolve, Resolving, Secret};
use weft_host::{FailureKind, HttpRequest};

use server::{Play, Server, answer, connection, get, kind, ok, options, redirect, request};

/// Answers with one list of addresses after the other, then with the last one for ever.
struct Script {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Script {
    fn new(answers: &[&[&str]]) -> Arc<Script> {
        let parse = |list: &&[&str]| list.iter().map(|address| address.parse().expect("an address")).collect();
        Arc::new(Script { answers: Mutex::new(answers.iter().map(parse).collect()), asked: AtomicUsize::new(0) })
    }
}

impl Resolve for Script {
    fn resolve<'a>(&'a self, _: &'a str) -> Resolving<'a> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut answers = self.answers.lock().expect("no panic");
        let next = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        Box::pin(std::future::ready(next.ok_or_else(|| io::Error::other("no such host"))))
    }
}

#[tokio::test]
async fn an_answer_of_any_status_is_an_answer() {
    for status in [200, 201, 204, 304, 400, 401, 404, 429, 500, 503] {
        let server = Server::start(vec![Play::Answer(answer(&format!("{status} X"), "X-Seen: yes\r\n", b""))]).await;
        let answer = connection(&server.url("/api")).send(request("POST", "things?a=1", "body")).await.expect("an answer");
        assert_eq!(answer.status, status);
        assert!(answer.headers.contains(&("x-seen".into(), "yes".into())), "{:?}", answer.headers);
        let asked = server.asked().remove(0);
        assert!(asked.starts_with("POST /api/things?a=1 HTTP/1.1\r\n") && asked.ends_with("\r\n\r\nbody"), "{asked}");
        assert!(asked.contains(&format!("host: {}\r\n", server.address)) && asked.contains("user-agent: weft/"), "{asked}");
    }
}

#[tokio::test]
async fn credentials_reach_the_server_and_no_message() {
    let check = async |auth: Auth, line: &str| {
        let server = Server::start(vec![ok("{}")]).await;
        let connection =
            Connection::new(ConnectionOptions { auth: Some(auth.clone()), ..options(&server.url("/")) }).expect("valid");
        connection.send(get("x")).await.expect("an answer");
        assert!(server.asked()[0].contains(line), "{}", server.asked()[0]);

        let dead = Connection::new(ConnectionOptions { auth: Some(auth), ..options("http://127.0.0.1:1/") }).expect("valid");
        let unreachable = dead.send(get("path?token=s3cret-target")).await.expect_err("nothing listens");
        let own = HttpRequest {
            headers: vec![("Authorization".into(), "s3cret-own".into()), ("x-api-key".into(), "s3cret-own".into())],
            ..get("x")
        };
        let own = connection.send(own).await.expect_err("the credentials are the host's");
        for shown in [unreachable.to_string(), own.to_string(), format!("{unreachable:?} {own:?} {connection:?} {dead:?}")] {
            assert!(!shown.contains("s3cret") && !shown.contains("czNjcmV0"), "{shown}");
        }
        assert_eq!((unreachable.kind, own.kind), (FailureKind::Unavailable, FailureKind::Rejected));
    };
    let secret = || Secret::from("s3cret");
    check(Auth::Bearer(secret()), "\r\nauthorization: Bearer s3cret\r\n").await;
    check(Auth::Basic { user: "u".into(), password: secret() }, "\r\nauthorization: Basic dTpzM2NyZXQ=\r\n").await;
    check(Auth::Header { name: "X-Api-Key".into(), value: secret() }, "\r\nx-api-key: s3cret\r\n").await;
    assert!(
        !format!("{:?}", ConnectionOptions { auth: Some(Auth::Bearer(secret())), ..options("http://a.example") })
            .contains("s3cret")
    );
}

#[tokio::test]
async fn nothing_is_sent_for_a_request_that_the_connection_does_not_send() {
    let server = Server::start(vec![ok("")]).await;
    let connection = connection(&server.url("/api/"));
    let header = |name: &str, value: &str| HttpRequest { headers: vec![(name.into(), value.into())], ..get("x") };
    let requests = [
        get("../admin"),
        get("%2e%2e/admin"),
        get("//evil.example/"),
        get("\\\\evil.example\\"),
        get("https://evil.example/"),
        get("x HTTP/1.1\r\nhost: evil.example"),
        header("host", "evil.example"),
        header("content-length", "0"),
        header("transfer-encoding", "chunked"),
        header("x-a", "1\r\nx-b: 2"),
        request("CONNECT", "x", ""),
        request("TRACE", "x", ""),
        request("GET /evil HTTP/1.1\r\n", "x", ""),
        request("", "x", ""),
    ];
    for request in requests {
        let shown = format!("{request:?}");
        assert_eq!(kind(&connection.send(request).await), Err(FailureKind::Rejected), "{shown}");
    }
    assert_eq!(server.sockets.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_address_that_is_not_public_is_not_dialled() {
    let check = async |base_url: &str, grants: &[&str], resolved: &[&str], want: Result<u16, FailureKind>| {
        let server = Server::start(vec![ok("")]).await;
        let base_url = base_url.replace("PORT", &server.address.port().to_string());
        let allow_private = grants.iter().map(|grant| grant.parse().expect("a network")).collect();
        let options = ConnectionOptions { allow_private, ..options(&base_url) };
        let connection = Connection::with_resolver(options, Script::new(&[resolved])).expect("valid");
        let answer = connection.send(get("x")).await;
        assert_eq!(kind(&answer), want, "{base_url} as {resolved:?} with {grants:?}: {answer:?}");
        assert_eq!(server.sockets.load(Ordering::SeqCst), usize::from(want.is_ok()));
    };
    let config = Err(FailureKind::Config);
    check("http://localhost:PORT", &[], &["127.0.0.1"], Ok(200)).await;
    check("http://127.0.0.1:PORT", &[], &[], Ok(200)).await;
    check("http://[::ffff:127.0.0.1]:PORT", &[], &[], Ok(200)).await;
    check("http://api.example:PORT", &[], &["127.0.0.1"], config).await;
    check("http://api.example:PORT", &["127.0.0.1"], &["127.0.0.1"], Ok(200)).await;
    check("http://api.example:PORT", &["127.0.0.0/8"], &["::ffff:127.0.0.1"], Ok(200)).await;
    check("http://localhost:PORT", &[], &["10.0.0.1"], config).await;
    check("http://10.0.0.1:PORT", &[], &[], config).await;
    check("http://169.254.169.254", &["169.254.0.0/16"], &[], config).await;
    check("http://[64:ff9b::7f00:1]:PORT", &[], &[], config).await;
    check("http://[2002:7f00:1::]:PORT", &[], &[], config).await;
    check("http://0.0.0.0:PORT", &["0.0.0.0/0"], &[], config).await;
    // A single forbidden address refuses the name, whatever the others are.
    check("http://api.example:PORT", &[], &["93.184.216.34", "10.0.0.1"], config).await;
    check("http://api.example:PORT", &["127.0.0.1"], &["127.0.0.1", "::1"], config).await;
    check("http://api.example:PORT", &[], &[], Err(FailureKind::Unavailable)).await;
}

#[tokio::test]
async fn a_name_that_resolves_elsewhere_a_moment_later_does_not_get_past_the_check() {
    let server = Server::start(vec![ok("")]).await;
    let allow_private = vec!["127.0.0.1".parse().expect("a network")];
    let options = ConnectionOptions { allow_private, ..options(&format!("http://rebound.example:{}/", server.address.port())) };
    let script = Script::new(&[&["127.0.0.1"], &["10.0.0.1"]]);
    let connection = Connection::with_resolver(options, script.clone()).expect("valid");

    assert_eq!(kind(&connection.send(get("x")).await), Ok(200));
    assert_eq!(script.asked.load(Ordering::SeqCst), 1, "the checked address is the one that is dialled");
    let rebound = connection.send(get("x")).await.expect_err("the server closed the first socket; the second leads elsewhere");
    assert_eq!(rebound.kind, FailureKind::Config);
    assert!(rebound.message.contains("10.0.0.1") && rebound.message.contains("private"), "{rebound}");
    assert_eq!(script.asked.load(Ordering::SeqCst), 2, "what is forbidden is not tried again");
}

#[tokio::test]
async fn redirects_stay_at_the_host() {
    let check = async |first: Play, want: Result<u16, FailureKind>, lines: &[&str]| {
        let server = Server::start(vec![first, ok("")]).await;
        let answer = connection(&server.url("/api/")).send(get("x")).await;
        assert_eq!(kind(&answer), want, "{answer:?}");
        assert_eq!(server.first_lines(), lines);
    };
    let (first, there) = ("GET /api/x HTTP/1.1", "GET /api/there HTTP/1.1");
    for status in [301, 302, 303, 307, 308] {
        check(redirect(status, "there"), Ok(200), &[first, there]).await;
    }
    check(redirect(302, "/out"), Ok(200), &[first, "GET /out HTTP/1.1"]).await;
    check(redirect(302, "http://localhost/api/x"), Err(FailureKind::Unavailable), &[first]).await;
    check(redirect(302, "//10.0.0.1/latest"), Err(FailureKind::Unavailable), &[first]).await;
    check(redirect(308, "https://evil.example/"), Err(FailureKind::Config), &[first]).await;
    check(redirect(302, "file:///etc/passwd"), Err(FailureKind::Unavailable), &[first]).await;
    // The same address, but not the port that was granted with it.
    check(redirect(302, "http://127.0.0.1:1/"), Err(FailureKind::Config), &[first]).await;
    check(redirect(304, "there"), Ok(304), &[first]).await;
    check(Play::Answer(answer("302 Found", "", b"")), Ok(302), &[first]).await;
    let server = Server::start(vec![redirect(302, "again")]).await;
    assert_eq!(kind(&connection(&server.url("/")).send(get("x")).await), Err(FailureKind::Unavailable));
    assert_eq!(server.asked().len(), 6, "the first and five more");
}

#[tokio::test]
async fn body_and_credentials_follow_only_to_where_the_plugin_could_send_them() {
    let check = async |method: &str, status: u16, location: &str, want: Option<(&str, bool, bool)>| {
        let server = Server::start(vec![redirect(status, location), ok("")]).await;
        let auth = Some(Auth::Bearer("s3cret".into()));
        let connection = Connection::new(ConnectionOptions { auth, ..options(&server.url("/api/")) }).expect("valid");
        let headers =
            vec![("x-own".into(), "key".into()), ("content-type".into(), "text/plain".into()), ("accept".into(), "a/b".into())];
        let body = if method == "GET" { "" } else { "the body" };
        let answer = connection.send(HttpRequest { headers, ..request(method, "x", body) }).await;
        assert_eq!(answer.is_ok(), want.is_some(), "{method} {status} {location}: {answer:?}");
        let second = server.asked().into_iter().nth(1);
        let seen = second.as_deref().map(|second| {
            assert_eq!(second.contains("s3cret"), second.contains("x-own"), "{second}");
            assert!(second.contains("accept: a/b"), "{second}");
            (second.split(' ').next().unwrap_or_default(), second.contains("s3cret"), second.ends_with("the body"))
        });
        assert_eq!(seen, want, "{method} {status} {location}");
    };
    check("GET", 302, "there", Some(("GET", true, false))).await;
    check("GET", 302, "/out", Some(("GET", false, false))).await;
    check("POST", 303, "there", Some(("GET", true, false))).await;
    check("POST", 302, "there", Some(("GET", true, false))).await;
    check("POST", 302, "/out", Some(("GET", false, false))).await;
    check("POST", 307, "there", Some(("POST", true, true))).await;
    check("POST", 308, "/api/there", Some(("POST", true, true))).await;
    check("PUT", 301, "there", Some(("PUT", true, true))).await;
    check("POST", 307, "/out", None).await;
    check("PUT", 302, "/out", None).await;
    check("DELETE", 302, "/out", None).await;
}

#[tokio::test]
async fn who_was_led_outside_comes_back_without_credentials() {
    let server = Server::start(vec![redirect(302, "/out"), redirect(302, "/api/admin"), ok("")]).await;
    let auth = Some(Auth::Bearer("s3cret".into()));
    let connection = Connection::new(ConnectionOptions { auth, ..options(&server.url("/api/")) }).expect("valid");
    connection.send(get("x")).await.expect("an answer");
    let has_secret: Vec<bool> = server.asked().iter().map(|asked| asked.contains("s3cret")).collect();
    assert_eq!(has_secret, [true, false, false]);
}

#[tokio::test]
async fn a_slow_answer_ends_with_the_requests_time() {
    let check = async |play: Play, timeout_ms: Option<u32>| {
        let server = Server::start(vec![play]).await;
        let options = ConnectionOptions { timeout: Duration::from_millis(300), ..options(&server.url("/")) };
        let connection = Connection::new(options).expect("valid");
        let start = Instant::now();
        let answer = connection.send(HttpRequest { timeout_ms, ..get("x") }).await;
        assert_eq!(kind(&answer), Err(FailureKind::Unavailable), "{answer:?}");
        let least = Duration::from_millis(timeout_ms.unwrap_or(300).min(300).into());
        assert!(start.elapsed() >= least && start.elapsed() < least + Duration::from_secs(2), "{:?}", start.elapsed());
    };
    let pause = Duration::from_millis(40);
    let slow_body = answer("200 OK", "", &b"x".repeat(1_000));
    check(Play::Dribble(b"HTTP/1.1 200 OK\r\nx-slow: lorem ipsum dolor sit amet\r\n\r\n".to_vec(), pause), None).await;
    check(Play::Dribble(slow_body.clone(), Duration::from_millis(5)), None).await;
    check(Play::Dribble(slow_body.clone(), pause), Some(100)).await;
    // A plugin may ask for less, not for more.
    check(Play::Dribble(slow_body, pause), Some(60_000)).await;
}

#[tokio::test]
async fn a_broken_answer_is_no_answer() {
    let check = async |bytes: &[u8]| {
        let server = Server::start(vec![Play::Answer(bytes.to_vec())]).await;
        let answer = connection(&server.url("/")).send(get("x")).await;
        assert_eq!(
            kind(&answer),
            Err(FailureKind::Unavailable),
            "{}: {answer:?}",
            String::from_utf8_lossy(&bytes[..bytes.len().min(60)])
        );
    };
    check(b"SSH-2.0-OpenSSH_9.6\r\n").await;
    check(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nshort").await;
    check(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab").await;
    check(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n").await;
    check(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\n\r\nplain").await;
    check(b"HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 5\r\n\r\nplain").await;
    check(format!("HTTP/1.1 200 OK\r\n{}\r\n", "x-many: 1\r\n".repeat(200)).as_bytes()).await;
    check(format!("HTTP/1.1 200 OK\r\nx-long: {}\r\n\r\n", "x".repeat(200_000)).as_bytes()).await;
}

#[tokio::test]
async fn a_large_answer_is_refused_before_it_is_kept() {
    const MAX: usize = 10_000;
    let check = async |bytes: Vec<u8>, want: Result<usize, FailureKind>| {
        let server = Server::start(vec![Play::Answer(bytes)]).await;
        let connection =
            Connection::new(ConnectionOptions { answer_bytes_max: MAX, ..options(&server.url("/")) }).expect("valid");
        let answer = connection.send(get("x")).await;
        assert_eq!(answer.as_ref().map(|answer| answer.body.len()).map_err(|failure| failure.kind), want);
    };
    let gzip = |length: usize| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&vec![0; length]).expect("compresses");
        answer("200 OK", "content-encoding: gzip\r\n", &encoder.finish().expect("compresses"))
    };
    let chunked = |chunks: usize| {
        let chunk = format!("3e8\r\n{}\r\n", "x".repeat(1_000));
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{}0\r\n\r\n", chunk.repeat(chunks)).into_bytes()
    };
    check(answer("200 OK", "", &[b'x'; MAX]), Ok(MAX)).await;
    check(answer("200 OK", "", &[b'x'; MAX + 1]), Err(FailureKind::Rejected)).await;
    check(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999\r\n\r\n".to_vec(), Err(FailureKind::Rejected)).await;
    check(chunked(10), Ok(MAX)).await;
    check(chunked(11), Err(FailureKind::Rejected)).await;
    check([b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'x'; MAX + 1]].concat(), Err(FailureKind::Rejected)).await;
    check(gzip(MAX), Ok(MAX)).await;
    check(gzip(MAX + 1), Err(FailureKind::Rejected)).await;
    check(gzip(100 << 20), Err(FailureKind::Rejected)).await;
    // Empty members, one after the other, that inflate to nothing.
    let mut member = GzEncoder::new(Vec::new(), Compression::best()).finish().expect("compresses");
    member = member.repeat(MAX / member.len() + 1);
    check([b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\n".to_vec(), member].concat(), Err(FailureKind::Rejected)).await;
}

#[tokio::test]
async fn an_inflated_answer_says_nothing_of_how_it_came() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(b"{\"ok\":true}").expect("compresses");
    let bytes = answer("200 OK", "content-encoding: gzip\r\n", &encoder.finish().expect("compresses"));
    let server = Server::start(vec![Play::Answer(bytes)]).await;
    let answer = connection(&server.url("/")).send(get("x")).await.expect("an answer");
    assert_eq!(answer.body, b"{\"ok\":true}");
    assert!(
        !answer.headers.iter().any(|(name, _)| name == "content-encoding" || name == "content-length"),
        "{:?}",
        answer.headers
    );
    assert!(server.asked()[0].contains("accept-encoding: gzip\r\n"));
    // A `HEAD` describes a body that does not come.
    let head =
        Server::start(vec![Play::Answer(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 500\r\n\r\n".to_vec())])
            .await;
    assert_eq!(kind(&connection(&head.url("/")).send(request("HEAD", "x", "")).await), Ok(200));
}

#[tokio::test]
async fn only_what_changes_nothing_twice_is_tried_again() {
    let check = async |method: &str, key: Option<&str>, hang_ups: usize, want: Result<u16, FailureKind>, tries: usize| {
        let server = Server::start([vec![Play::HangUp; hang_ups], vec![ok("")]].concat()).await;
        let headers = key.map(|key| ("Idempotency-Key".to_owned(), key.to_owned())).into_iter().collect();
        let answer = connection(&server.url("/")).send(HttpRequest { headers, ..request(method, "x", "body") }).await;
        assert_eq!(kind(&answer), want, "{method} {key:?}: {answer:?}");
        assert_eq!(server.asked().len(), tries, "{method} {key:?}");
    };
    let unavailable = Err(FailureKind::Unavailable);
    for method in ["GET", "PUT", "DELETE"] {
        check(method, None, 2, Ok(200), 3).await;
        check(method, None, 3, unavailable, 3).await;
    }
    for method in ["POST", "PATCH"] {
        check(method, None, 1, unavailable, 1).await;
        check(method, Some("k1"), 2, Ok(200), 3).await;
    }
}

#[tokio::test]
async fn an_answer_that_is_no_success_is_not_tried_again() {
    let server = Server::start(vec![Play::Answer(answer("500 X", "", b"")), ok("")]).await;
    assert_eq!(kind(&connection(&server.url("/")).send(get("x")).await), Ok(500));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn one_socket_serves_one_request_after_the_other() {
    let server = Server::start(vec![Play::Keep(answer("200 OK", "", b"one"))]).await;
    let connection = connection(&server.url("/"));
    for _ in 0..5 {
        connection.send(request("POST", "x", "body")).await.expect("an answer");
    }
    assert_eq!(server.sockets.load(Ordering::SeqCst), 1);
    assert_eq!(server.asked().len(), 5);
}

#[tokio::test]
async fn a_rate_is_kept_by_all_who_share_the_connection() {
    let server = Server::start(vec![ok("")]).await;
    let rate_limit = Some(RateLimit { count: NonZeroU32::new(5).expect("more than none"), per: Duration::from_millis(500) });
    let connection = Arc::new(Connection::new(ConnectionOptions { rate_limit, ..options(&server.url("/")) }).expect("valid"));
    let start = Instant::now();
    let senders: Vec<_> = (0..10)
        .map(|_| {
            tokio::spawn({
                let connection = connection.clone();
                async move { connection.send(get("x")).await }
            })
        })
        .collect();
    for sender in senders {
        assert_eq!(kind(&sender.await.expect("ends")), Ok(200));
    }
    assert!(start.elapsed() >= Duration::from_millis(500), "five at once, then one each 100 ms: {:?}", start.elapsed());

    assert_eq!(server.asked().len(), 10);
}

#[tokio::test]
async fn whose_turn_does_not_come_in_time_is_told_when_it_would() {
    let server = Server::start(vec![ok("")]).await;
    let rate_limit = Some(RateLimit { count: NonZeroU32::MIN, per: Duration::from_secs(60) });
    let connection = Connection::new(ConnectionOptions { rate_limit, ..options(&server.url("/")) }).expect("valid");
    assert_eq!(kind(&connection.send(get("x")).await), Ok(200));
    let failure = connection.send(get("x")).await.expect_err("a minute is longer than the time-out");
    assert_eq!(failure.kind, FailureKind::RateLimited);
    assert!(failure.retry_after_ms.is_some_and(|ms| (50_000..=60_000).contains(&ms)), "{failure:?}");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn patience_that_is_asked_for_stills_the_connection() {
    let asks = Play::Answer(answer("429 Slow down", "retry-after: 60\r\n", b"slow down"));
    let server = Server::start(vec![asks, ok("")]).await;
    let connection = connection(&server.url("/"));
    let answer = connection.send(get("x")).await.expect("a 429 is an answer");
    assert_eq!((answer.status, &*answer.body), (429, &b"slow down"[..]));
    let failure = connection.send(get("x")).await.expect_err("a minute is longer than the time-out");
    assert_eq!(failure.kind, FailureKind::RateLimited);
    assert!(failure.retry_after_ms.is_some_and(|ms| (50_000..=60_000).contains(&ms)), "{failure:?}");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn https_is_spoken_under_the_name_of_the_host_and_never_given_up() {
    let server = Server::start(vec![ok("in the clear")]).await;
    let base_url = format!("https://localhost:{}/", server.address.port());
    let auth = Some(Auth::Bearer("s3cret".into()));
    let connection = Connection::with_resolver(ConnectionOptions { auth, ..options(&base_url) }, Script::new(&[&["127.0.0.1"]]))
        .expect("valid");
    let hello = tokio::time::timeout(Duration::from_secs(1), connection.send(get("x"))).await;
    assert!(hello.is_err(), "the server waits for a request that never comes in the clear");
    assert!(server.asked().is_empty());

    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let base_url = format!("https://localhost:{}/", listener.local_addr().expect("an address").port());
    let connection = Connection::with_resolver(options(&base_url), Script::new(&[&["127.0.0.1"]])).expect("valid");
    let server = async {
        let (mut stream, _) = listener.accept().await.expect("accepts");
        let mut hello = vec![0; 2_048];
        let read = stream.read(&mut hello).await.expect("reads");
        hello.truncate(read);
        hello
    };
    let (hello, answer) = tokio::join!(server, connection.send(request("POST", "x", "")));
    assert_eq!(hello[0], 22, "a TLS handshake record (RFC 8446, section 5.1)");
    assert!(hello.windows(9).any(|window| window == b"localhost"), "the server's name is in the hello");
    assert_eq!(kind(&answer), Err(FailureKind::Unavailable));
}

#[tokio::test]
async fn variables_for_proxies_are_not_looked_at() {
    let proxy = Server::start(vec![ok("proxied")]).await;
    let mut again = std::process::Command::new(std::env::current_exe().expect("a path"));
    again.args(["--exact", "an_answer_of_any_status_is_an_answer"]);
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"] {
        again.env(name, proxy.url("/"));
    }
    let status = tokio::task::spawn_blocking(move || again.stdout(std::process::Stdio::null()).status())
        .await
        .expect("ends")
        .expect("runs");
    assert!(status.success());
    assert_eq!(proxy.sockets.load(Ordering::SeqCst), 0);
}

#[test]
fn options_that_do_not_hold_together_are_refused() {
    let check = |options: ConnectionOptions, want: EgressError| assert_eq!(Connection::new(options).expect_err("refused"), want);
    let rate = |per| Some(RateLimit { count: NonZeroU32::MIN, per });
    let good = || options("https://a.example/");
    check(ConnectionOptions { timeout: Duration::ZERO, ..good() }, EgressError::Timeout);
    check(ConnectionOptions { timeout: Duration::MAX, ..good() }, EgressError::Timeout);
    check(ConnectionOptions { rate_limit: rate(Duration::ZERO), ..good() }, EgressError::RateLimit);
    check(ConnectionOptions { rate_limit: rate(Duration::MAX), ..good() }, EgressError::RateLimit);
    check(ConnectionOptions { auth: Some(Auth::Bearer("".into())), ..good() }, EgressError::Auth("the token is empty"));
    assert!(matches!(Connection::new(options("ftp://a.example/")), Err(EgressError::BaseUrl(_))));
}
