//! An engine as a process of its own, and as much of HTTP/1.1 as it takes to talk to it.
//!
//! It is started, killed and told to stop as an operator, a kernel or an orchestrator would do it. What it prints to standard
//! error is appended to one file for all starts.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long an engine may take to start, to stop, and to answer, on a busy machine. Nothing is measured by it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Where things are.
pub(crate) struct Place {
    /// The workspace.
    pub(crate) workspace: PathBuf,
    /// What the engines print.
    pub(crate) log: PathBuf,
    /// The key of the source: other engines on this machine, which may get an address that was just given up, have another.
    pub(crate) key: String,
}

impl Place {
    /// A command of `weft`.
    fn weft(&self) -> Command {
        let built = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/debug/weft");
        let mut command = Command::new(std::env::var_os("WEFT_BIN").map_or_else(built, PathBuf::from));
        // Compiled once, for all runs.
        command.env("WEFT_CACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugins")).env("WEB_KEY", &self.key);
        command
    }

    /// Runs a command over the workspace to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Result<Output, String> {
        let mut command = self.weft();
        command.arg(arguments[0]).arg(&self.workspace).args(&arguments[1..]);
        let output =
            command.output().map_err(|error| format!("cannot run weft ({error}): `cargo build -p weft`, or set WEFT_BIN"))?;
        if output.status.success() {
            return Ok(output);
        }
        let (printed, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        Err(format!("`weft {}`: {}\n{printed}{said}", arguments.join(" "), output.status))
    }

    /// The last lines that engines printed.
    pub(crate) fn last_lines(&self) -> String {
        let text = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

/// A running engine; killed when it is dropped.
pub(crate) struct Engine {
    child: Child,
    address: Receiver<SocketAddr>,
}

impl Engine {
    /// Starts one with `run`, or another command that has the folder to itself.
    pub(crate) fn start(place: &Place, command: &str) -> Result<Engine, String> {
        let said = |error: std::io::Error| format!("cannot start the engine: {error}");
        let log = OpenOptions::new().create(true).append(true).open(&place.log).map_err(said)?;
        let mut process = place.weft();
        process.arg(command).arg(&place.workspace).stdout(Stdio::piped()).stderr(log);
        let mut child = process.spawn().map_err(said)?;
        let printed = BufReader::new(child.stdout.take().expect("it is piped"));
        let (found, address) = channel();
        std::thread::spawn(move || {
            for line in printed.lines().map_while(Result::ok) {
                let listens = line.split_once("listens on http://").and_then(|(_, rest)| rest.trim().parse().ok());
                // Nobody waits for the address of an engine that was killed.
                listens.map(|address| found.send(address));
            }
        });
        Ok(Engine { child, address })
    }

    /// Waits until it listens.
    pub(crate) fn address(&mut self) -> Result<SocketAddr, String> {
        self.address.recv_timeout(PATIENCE).map_err(|_| match self.child.try_wait() {
            Ok(Some(status)) => format!("the engine did not start: {status}"),
            _ => format!("the engine does not listen after {} s", PATIENCE.as_secs()),
        })
    }

    /// SIGKILL. How it ended, where it had ended by itself before.
    pub(crate) fn kill(mut self) -> Option<ExitStatus> {
        // Of a process that has ended already there is nothing to kill.
        let _ = self.child.kill();
        self.child.wait().ok().filter(|status| status.code().is_some())
    }

    /// SIGTERM: begin to stop.
    pub(crate) fn terminate(&self) -> Result<(), String> {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        sent.map_err(|error| error.to_string())?.success().then_some(()).ok_or("SIGTERM could not be sent".into())
    }

    /// SIGTERM, and the end of the process, which must be a good one.
    pub(crate) fn stop(mut self) -> Result<(), String> {
        self.terminate()?;
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            match self.child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => {
                    return Err(format!("after SIGTERM the engine ended with {status}"));
                }
                _ => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        Err(format!("the engine did not stop within {} s of SIGTERM", PATIENCE.as_secs()))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection that is kept.
pub(crate) struct Line {
    stream: BufReader<TcpStream>,
    address: SocketAddr,
}

impl Line {
    /// Connects.
    pub(crate) fn to(address: SocketAddr) -> std::io::Result<Line> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Line { stream: BufReader::new(stream), address })
    }

    /// Sends calls to the source: the status of the answer.
    pub(crate) fn post(&mut self, key: &str, body: &str) -> std::io::Result<u16> {
        let path = format!("/segment/v1/batch?writeKey={key}");
        let length = body.len();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {length}",
            self.address
        );
        self.ask(&format!("{head}\r\n\r\n{body}")).map(|(status, _)| status)
    }

    /// A page of the engine, which must be there.
    pub(crate) fn get(&mut self, path: &str) -> Result<Value, String> {
        let said = |error: std::io::Error| format!("GET {path}: {error}");
        let (status, body) = self.ask(&format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.address)).map_err(said)?;
        if status != 200 {
            return Err(format!("GET {path}: {status} {}", String::from_utf8_lossy(&body)));
        }
        serde_json::from_slice(&body).map_err(|error| format!("GET {path}: {error}"))
    }

    fn ask(&mut self, request: &str) -> std::io::Result<(u16, Vec<u8>)> {
        let odd = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, format!("an answer with {what}"));
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status =
            line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok()).ok_or_else(|| odd("no status"))?;
        let mut length = None;
        loop {
            line.clear();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(odd("an open end"));
            }
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().ok(),
                Some(_) => (),
                None => break,
            }
        }
        let mut body = vec![0; length.ok_or_else(|| odd("no length"))?];
        self.stream.read_exact(&mut body)?;
        Ok((status, body))
    }
}
