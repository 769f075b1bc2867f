//! Who is let in, and how much of a request: bounds at the listener, for pages and doors alike.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weft::bounds::Bounds;
use weft::clock::Clock;
use weft::engine::{Engine, Settings, Stages, Terms};
use weft::limits;
use weft::vault::DataFolder;

async fn start(data: &Path, bounds: Bounds) -> Engine {
    let settings = Settings {
        data: DataFolder::at(data),
        listen: Some("127.0.0.1:0".parse().expect("valid")),
        terms: Terms { bounds, ..Terms::default() },
        clock: Clock::Wall,
    };
    Engine::start(settings, async |_| Ok(Stages::default()), |_| ()).await.expect("the engine starts")
}

/// The answer to a request, head and body.
async fn send(engine: &Engine, request: &str) -> String {
    let mut stream = TcpStream::connect(engine.address().expect("it listens")).await.expect("connects");
    // The engine may answer, and close, before all is sent.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: weft\r\nconnection: close\r\n{headers}\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn who_makes_too_many_requests_is_asked_to_wait_at_pages_and_doors() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = start(folder.path(), Bounds { requests_max: Some(10), ..Bounds::default() }).await;
    for path in ["/api/v1/status", "/some/source"] {
        let mut refused = String::new();
        // Two seconds may share them; in three times as many, one second has too many.
        for _ in 0..60 {
            let answer = send(&engine, &get(path, "")).await;
            if answer.starts_with("HTTP/1.1 429") {
                refused = answer;
                break;
            }
        }
        assert!(refused.contains("retry-after: 1\r\n"), "{path}: {refused}");
        assert!(refused.contains("application/problem+json"), "{path}: {refused}");
    }
    assert!(engine.metrics().text().contains("weft_requests_too_many_total 2"));
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert!(send(&engine, &get("/api/v1/status", "")).await.starts_with("HTTP/1.1 200"), "a second later all is well");
    engine.stop().await.expect("an orderly stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_refused_for_many_requests_unless_the_workspace_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = start(folder.path(), Bounds::default()).await;
    for _ in 0..300 {
        assert!(send(&engine, &get("/healthz", "")).await.starts_with("HTTP/1.1 200"));
    }
    engine.stop().await.expect("an orderly stop");
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_have_a_bound() {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = start(folder.path(), Bounds::default()).await;
    let check = async |headers: String, status: &str| {
        let answer = send(&engine, &get("/healthz", &headers)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{} bytes: {answer}", headers.len());
    };
    check(format!("x: {}\r\n", "y".repeat(limits::HEAD_BYTES_MAX / 2)), "200").await;
    check(format!("x: {}\r\n", "y".repeat(2 * limits::HEAD_BYTES_MAX)), "431").await;
    check("x: y\r\n".repeat(limits::HEAD_LINES_MAX / 2), "200").await;
    check("x: y\r\n".repeat(limits::HEAD_LINES_MAX), "431").await;
    engine.stop().await.expect("an orderly stop");
}
