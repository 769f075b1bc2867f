//! A web site for SDKs that run in pages, and a browser that visits it.
//!
//! The site lies at another origin than the engine, as sites do, so that preflights and answers across origins are tried as well. A page
//! asks for `/count` to know how many events the engine has, and tells its end by asking for `/done`, with what went wrong as its query.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;
use weft_tests::wire::split;

use crate::proxy::read_message;

/// A site of some files.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    done: Receiver<String>,
}

/// A browser that shows a page. Dropping it ends it.
pub(crate) struct Browser {
    child: Child,
    _profile: TempDir,
}

impl Site {
    /// Serves these files, each at a path, and what `count` says.
    pub(crate) fn start(files: Vec<(&'static str, PathBuf)>, count: impl Fn() -> Option<u64> + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let (tell, done) = channel();
        thread::spawn(move || {
            for mut line in listener.incoming().flatten() {
                let Some(request) = read_message(&mut line) else { continue };
                let Some((first, _, _)) = split(&request) else { continue };
                let target = first.split(' ').nth(1).unwrap_or_default();
                let (path, query) = target.split_once('?').unwrap_or((target, ""));
                let body = match path {
                    "/done" => Some(Vec::new()),
                    "/count" => count().map(|count| count.to_string().into_bytes()),
                    _ => files.iter().find(|(known, _)| *known == path).and_then(|(_, file)| fs::read(file).ok()),
                };
                _ = answer(&mut line, path, body);
                if path == "/done" {
                    _ = tell.send(query.to_owned());
                }
            }
        });
        Site { address, done }
    }

    /// Waits until a page says that it is done, and gives what it says went wrong, which is nothing where all went well.
    pub(crate) fn done(&self, at_most: Duration) -> Result<String, String> {
        self.done.recv_timeout(at_most).map_err(|_| format!("the page was not done after {at_most:?}"))
    }
}

fn answer(line: &mut TcpStream, path: &str, body: Option<Vec<u8>>) -> std::io::Result<()> {
    let kind = match Path::new(path).extension().and_then(|kind| kind.to_str()) {
        Some("js") => "text/javascript; charset=utf-8",
        _ => "text/html; charset=utf-8",
    };
    let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
    let body = body.unwrap_or_default();
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    line.write_all(&[head.as_bytes(), &body].concat())
}

impl Browser {
    /// Opens a page.
    pub(crate) fn open(program: &Path, address: &str) -> Self {
        let profile = tempfile::tempdir().expect("there is a folder for temporary files");
        // Without a sandbox of its own, which it refuses to have as root: the pages are ours. It looks for nobody on the network.
        let quiet = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ];
        let mut command = Command::new(program);
        command.args(quiet).arg(format!("--user-data-dir={}", profile.path().display())).arg(address);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap_or_else(|error| panic!("{} does not start: {error}", program.display()));
        Browser { child, _profile: profile }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}
