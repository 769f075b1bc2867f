//! A running engine: started as anybody would start it, asked over its API, stopped by the signal that an operator's tools send.

use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::steps::{QUICKSTART, shown};
use crate::wire;

/// Where the quickstart listens unless this variable says otherwise: its weft.yaml asks for it.
pub(crate) const LISTEN_VARIABLE: &str = "WEFT_LISTEN";
const LISTEN: &str = "127.0.0.1:8080";

/// The engine is up within so long: the first start compiles the plugins for this machine.
const START_TIME_MAX: Duration = Duration::from_secs(120);
/// It ends within so long of being told to: it finishes the batches under way.
const STOP_TIME_MAX: Duration = Duration::from_secs(60);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(100);

/// An engine that runs. Dropping it ends it, so that no failure leaves one behind.
pub(crate) struct Engine {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

/// Where to listen, and whether everybody who starts the engine by hand has to say so.
pub(crate) fn address() -> Result<(SocketAddr, bool)> {
    if let Ok(said) = std::env::var(LISTEN_VARIABLE) {
        return Ok((said.parse().with_context(|| format!("{LISTEN_VARIABLE} is `{said}`, which is no address and port"))?, true));
    }
    let usual: SocketAddr = LISTEN.parse().expect("it is an address and a port");
    // Somebody else may be there, who would be sent the events and asked the questions.
    if TcpListener::bind(usual).is_ok() {
        return Ok((usual, false));
    }
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).context("no port is free")?;
    println!("   {usual} is taken: this run listens at {free}");
    Ok((free, true))
}

impl Engine {
    /// Starts the engine on the quickstart and waits until it takes events.
    ///
    /// # Errors
    /// It does not start, or ends at once; what it says is on the terminal.
    pub(crate) fn start(root: &Path, address: SocketAddr) -> Result<Self> {
        let mut command = Command::new(root.join("target/release/weft"));
        command.current_dir(root).args(["run", QUICKSTART]).env(LISTEN_VARIABLE, address.to_string());
        println!("   $ {}", shown(&command));
        let child = command.spawn().with_context(|| format!("`{}` could not be started", shown(&command)))?;
        let mut engine = Engine { child, address };
        let began = Instant::now();
        loop {
            if let Some(status) = engine.child.try_wait().context("the engine cannot be waited for")? {
                bail!("the engine ended with {status} before it took events; its own words are above");
            }
            match wire::get(address, "/readyz") {
                Ok(answer) if answer.status == 200 => return Ok(engine),
                _ if began.elapsed() > START_TIME_MAX => {
                    bail!("the engine was not ready after {} s; its own words are above", START_TIME_MAX.as_secs())
                }
                _ => sleep(PAUSE),
            }
        }
    }

    /// How far everything is.
    ///
    /// # Errors
    /// The engine does not answer, or not with a status.
    pub(crate) fn status(&self) -> Result<Status> {
        let answer = wire::get(self.address, "/api/v1/status")?;
        if answer.status != 200 {
            bail!("the engine answered {} to a question about its status: {}", answer.status, answer.body);
        }
        Status::read(&answer.body).with_context(|| format!("the engine's status is not what was expected: {}", answer.body))
    }

    /// Stops it as an operator would, and waits for its end.
    ///
    /// # Errors
    /// It does not end, or not with success.
    pub(crate) fn stop(mut self) -> Result<()> {
        // The standard library sends no signals; every shell has it built in.
        Command::new("sh")
            .args(["-c", &format!("kill -TERM {}", self.child.id())])
            .status()
            .context("no signal could be sent")?;
        let status = self
            .ended_within(STOP_TIME_MAX)?
            .with_context(|| format!("the engine still ran {} s after SIGTERM", STOP_TIME_MAX.as_secs()))?;
        if !status.success() {
            bail!("the engine ended with {status}; its own words are above");
        }
        Ok(())
    }

    fn ended_within(&mut self, time: Duration) -> Result<Option<ExitStatus>> {
        let began = Instant::now();
        loop {
            let ended = self.child.try_wait().context("the engine cannot be waited for")?;
            if ended.is_some() || began.elapsed() > time {
                return Ok(ended);
            }
            sleep(PAUSE);
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            _ = self.child.kill();
            _ = self.child.wait();
        }
    }
}

/// `GET /api/v1/status`, as far as it is asked for here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) intake_records: u64,
    pub(crate) intake_through: u64,
    pub(crate) history_records: u64,
    pub(crate) history_through: u64,
    /// Events folded, none twice.
    pub(crate) events: u64,
    pub(crate) customers: u64,
    pub(crate) identifiers: u64,
    /// Dead letters.
    pub(crate) letters: u64,
    pub(crate) lanes: Vec<Lane>,
}

/// A destination's lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lane {
    pub(crate) name: String,
    /// `events` or `profiles`.
    pub(crate) stream: String,
    pub(crate) seen: u64,
    pub(crate) waiting: u64,
    pub(crate) delivered: u64,
}

impl Status {
    /// Reads it out of its JSON; none where something is not there.
    fn read(json: &str) -> Option<Self> {
        let (totals, intake, history) = (inside(json, "totals")?, inside(json, "intake")?, inside(json, "history")?);
        let lanes = json.split_once("\"lanes\":[")?.1;
        let lane = |json: &str| {
            Some(Lane {
                name: text(json, "name")?,
                stream: text(json, "stream")?,
                seen: number(json, "seen")?,
                waiting: number(json, "waiting")?,
                delivered: number(json, "delivered_total")?,
            })
        };
        Some(Status {
            intake_records: number(intake, "records")?,
            intake_through: number(intake, "through")?,
            history_records: number(history, "records")?,
            history_through: number(history, "through")?,
            events: number(totals, "events")?,
            customers: number(totals, "customers")?,
            identifiers: number(totals, "identifiers")?,
            letters: number(totals, "letters")?,
            lanes: lanes.split('{').skip(1).filter(|lane| lane.contains("\"stream\":")).map(lane).collect::<Option<_>>()?,
        })
    }

    /// What has come of everything: events, customers, dead letters, and what each lane has delivered.
    pub(crate) fn outcome(&self) -> (u64, u64, u64, Vec<u64>) {
        (self.events, self.customers, self.letters, self.lanes.iter().map(|lane| lane.delivered).collect())
    }

    /// Whether everything that came in has gone all the way.
    pub(crate) fn is_through(&self) -> bool {
        let done = |lane: &Lane| lane.waiting == 0 && (lane.stream != "events" || lane.seen >= self.history_records);
        self.intake_through == self.intake_records && self.history_through == self.history_records && self.lanes.iter().all(done)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "intake {}/{}, history {}/{}",
            self.intake_through, self.intake_records, self.history_through, self.history_records
        )?;
        for lane in &self.lanes {
            write!(f, ", {} ({}) {} delivered", lane.name, lane.stream, lane.delivered)?;
            if lane.waiting > 0 {
                write!(f, " {} wait", lane.waiting)?;
            }
        }
        Ok(())
    }
}

/// What follows a key in the engine's JSON, which is compact. In a string every quote has a backslash before it, so that this text
/// is a key wherever it is found.
fn after<'a>(json: &'a str, key: &str) -> Option<&'a str> {
    json.split_once(&format!("\"{key}\":")).map(|(_, rest)| rest)
}

/// The object of numbers under a key.
fn inside<'a>(json: &'a str, key: &str) -> Option<&'a str> {
    after(json, key)?.strip_prefix('{')?.split_once('}').map(|(inside, _)| inside)
}

fn number(json: &str, key: &str) -> Option<u64> {
    let rest = after(json, key)?;
    rest[..rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len())].parse().ok()
}

/// A name: it has nothing in it that JSON escapes.
fn text(json: &str, key: &str) -> Option<String> {
    Some(after(json, key)?.strip_prefix('"')?.split_once('"')?.0.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = concat!(
        r#"{"trouble":null,"generation":1,"totals":{"events":9,"customers":3,"claims":4,"identifiers":5,"letters":1},"#,
        r#""intake":{"records":11,"through":11},"history":{"records":14,"through":14},"#,
        r#""sources":[{"name":"web","path":"/segment"}],"lanes":["#,
        r#"{"name":"lake","stream":"events","through":14,"seen":14,"waiting":0,"delivered_total":9,"rejected_total":0,"#,
        r#""last_error":"it said {\"seen\":1}"},"#,
        r#"{"name":"lake","stream":"profiles","through":3,"seen":3,"waiting":0,"delivered_total":3,"rejected_total":0,"last_error":null}]}"#
    );

    #[test]
    fn a_status_is_read() {
        let status = Status::read(STATUS).expect("a status");
        assert_eq!((status.events, status.customers, status.letters), (9, 3, 1));
        assert_eq!((status.intake_records, status.history_records), (11, 14));
        let lanes: Vec<(&str, u64)> = status.lanes.iter().map(|lane| (&*lane.stream, lane.delivered)).collect();
        assert_eq!(lanes, [("events", 9), ("profiles", 3)]);
        assert_eq!(Status::read("{}"), None);
        assert_eq!(Status::read(&STATUS.replace("\"seen\":14,", "")), None);
    }

    #[test]
    fn all_is_through_when_nothing_waits_anywhere() {
        let check = |from: &str, to: &str, want: bool| {
            let json = STATUS.replacen(from, to, 1);
            assert_eq!(Status::read(&json).expect("a status").is_through(), want, "{from} → {to}");
        };
        check("", "", true);
        check(r#""intake":{"records":11"#, r#""intake":{"records":12"#, false);
        check(r#""history":{"records":14"#, r#""history":{"records":15"#, false);
        check(r#""seen":14"#, r#""seen":13"#, false);
        check(r#""seen":3,"waiting":0"#, r#""seen":3,"waiting":1"#, false);
        // The place of a lane of profiles is no place in history.
        check(r#""seen":3"#, r#""seen":2"#, true);
    }
}
