//! `weft top`: a screen that shows how the running engine is doing, anew every second.
//!
//! What is drawn is a function of two reports and the time between them ([`frame`]); the rest is the terminal's affair.

use std::fmt::{self, Write as _};
use std::io::{IsTerminal, Write as _};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow};
use crossterm::event::{Event, KeyCode, KeyEventKind, KeyModifiers};
use crossterm::terminal::{self, Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen};
use crossterm::{cursor, event, execute, queue};

use super::dlq::plain;
use super::{Failed, client, print};
use crate::render::Style;
use crate::status::{Outcome, Report, Waiting};

#[derive(clap::Args)]
pub(super) struct Top {
    /// The workspace: a folder, or its weft.yaml.
    #[arg(default_value = ".", value_parser = crate::command::there)]
    workspace: PathBuf,
    /// Print what the screen would show, after a second's look, and end.
    #[arg(long)]
    once: bool,
}

const EVERY: Duration = Duration::from_secs(1);

/// What one look has found, and when.
struct Look {
    report: Option<Report>,
    at: Instant,
}

pub(super) async fn run(top: Top) -> Result<(), Failed> {
    let engine = client::Engine::of(&top.workspace);
    let nobody = || anyhow!("no engine listens on {engine}: `weft run` starts it");
    let mut before = look(&engine).await?;
    if before.report.is_none() {
        return Err(nobody().into());
    }
    if top.once {
        tokio::time::sleep(EVERY).await;
        let now = look(&engine).await?;
        let report = now.report.as_ref().ok_or_else(nobody)?;
        print(&frame(&engine, report, before.since(&now), Style::Plain));
        return Ok(());
    }
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        return Err(anyhow!("this is no terminal: `weft top --once` prints one frame").into());
    }
    let _screen = Screen::open()?;
    let style = Style::of(&std::io::stdout());
    loop {
        // A page that cannot be had is looked for again: the screen says so, and stays.
        let now = look(&engine).await.unwrap_or_else(|_| Look { report: None, at: Instant::now() });
        let text = match &now.report {
            Some(report) => frame(&engine, report, before.since(&now), style),
            None => format!("weft {engine}  {}\n", style.paint(RED, "nobody answers; looking again")),
        };
        draw(&text)?;
        before = now;
        let until = Instant::now() + EVERY;
        let asked = tokio::task::spawn_blocking(move || asked_to_end(until)).await.context("the terminal cannot be read")?;
        if asked? {
            return Ok(());
        }
    }
}

async fn look(engine: &client::Engine) -> anyhow::Result<Look> {
    let report = match client::get(engine, "/api/v1/status").await? {
        client::Answer::Body(bytes) => Some(serde_json::from_slice(&bytes).context("the engine's answer cannot be read")?),
        _ => None,
    };
    Ok(Look { report, at: Instant::now() })
}

impl Look {
    /// This look, and how long before another it was.
    fn since(&self, now: &Look) -> Option<(&Report, Duration)> {
        Some((self.report.as_ref()?, now.at - self.at))
    }
}

/// The terminal while the screen is on; however that ends, it is as before.
struct Screen;

impl Screen {
    fn open() -> std::io::Result<Screen> {
        terminal::enable_raw_mode()?;
        let screen = Screen;
        execute!(std::io::stdout(), EnterAlternateScreen, cursor::Hide)?;
        Ok(screen)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nothing can be done about a terminal that has gone.
        let _ = execute!(std::io::stdout(), cursor::Show, LeaveAlternateScreen);
        let _ = terminal::disable_raw_mode();
    }
}

/// Waits for somebody to press q, Esc or Ctrl-C; another size is a reason to draw at once.
fn asked_to_end(until: Instant) -> std::io::Result<bool> {
    while event::poll(until.saturating_duration_since(Instant::now()))? {
        match event::read()? {
            Event::Key(key) if key.kind == KeyEventKind::Press => match key.code {
                KeyCode::Char('q') | KeyCode::Esc => return Ok(true),
                KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok(true),
                _ => (),
            },
            Event::Resize(..) => return Ok(false),
            _ => (),
        }
    }
    Ok(false)
}

/// Draws over what is there, so that nothing flickers. What does not fit is cut off.
fn draw(text: &str) -> std::io::Result<()> {
    let (width, height) = terminal::size()?;
    let mut out = std::io::stdout().lock();
    queue!(out, cursor::MoveTo(0, 0))?;
    for line in text.lines().take(usize::from(height.max(1)) - 1) {
        write!(out, "{}", cut(line, usize::from(width)))?;
        queue!(out, Clear(ClearType::UntilNewLine))?;
        write!(out, "\r\n")?;
    }
    queue!(out, Clear(ClearType::FromCursorDown))?;
    out.flush()
}

/// The beginning of a line of so many letters; colours take no room, and end with it.
fn cut(line: &str, width: usize) -> String {
    let (mut text, mut letters, mut in_colour) = (String::new(), 0, false);
    for letter in line.chars() {
        match letter {
            '\x1b' => in_colour = true,
            _ if in_colour => in_colour = letter != 'm',
            _ if letters == width => continue,
            _ => letters += 1,
        }
        text.push(letter);
    }
    text
}

/// One of the logs in a report.
type Log = fn(&Report) -> Waiting;

const RED: &str = "1;31";
const YELLOW: &str = "1;33";
const GREEN: &str = "1;32";
const BOLD: &str = "1";

/// What the screen shows of a report, with rates where there is one before it.
fn frame(engine: &impl fmt::Display, report: &Report, before: Option<(&Report, Duration)>, style: Style) -> String {
    // After another start, counts begin anew, and there is no rate.
    let rate = |now: u64, then: Option<u64>| match (then, before) {
        (Some(then), Some((_, time))) if now >= then => format!("{:.1}", (now - then) as f64 / time.as_secs_f64().max(0.001)),
        _ => "-".to_owned(),
    };
    let old = before.map(|(report, _)| report);
    let standing = match &report.trouble {
        Some(trouble) => style.paint(RED, &format!("IN TROUBLE: {}", plain(trouble))),
        None => style.paint(GREEN, "runs"),
    };
    let mut text = format!("{} {engine}  {standing}  generation {}\n", style.paint(BOLD, "weft"), report.generation);
    if let Some(config) = report.config.as_ref().filter(|config| config.outcome == Outcome::Refused) {
        let said = format!("the workspace's files were refused at {}: `weft plan` says why", config.at);
        let _ = writeln!(text, "{}", style.paint(YELLOW, &said));
    }
    let totals = &report.totals;
    let _ = writeln!(
        text,
        "{} customers, {} identifiers, {} events, {} dead letters\n",
        totals.customers, totals.identifiers, totals.events, totals.letters
    );
    let _ =
        writeln!(text, "{}", style.paint(BOLD, &format!("{:<42}{:>12}{:>12}{:>12}", "log", "records", "waiting", "a second")));
    let logs: [(&str, Log); 2] = [("intake", |report| report.intake), ("history", |report| report.history)];
    for (name, log) in logs {
        let Waiting { records, through } = log(report);
        let waiting = records.saturating_sub(through);
        let _ = writeln!(text, "{name:<42}{records:>12}{waiting:>12}{:>12}", rate(records, old.map(|old| log(old).records)));
    }
    let _ = writeln!(text, "\n{}", style.paint(BOLD, &format!("{:<42}{:>12}{:>24}", "source", "events", "a second")));
    for source in &report.sources {
        let then = old.and_then(|old| old.sources.iter().find(|one| one.name == source.name)).map(|one| one.taken_total);
        let way = source.path.as_deref().unwrap_or_default();
        let name = format!("{:<20} {} {way}", source.name, source.reads);
        let _ = writeln!(text, "{name:<42}{:>12}{:>24}", source.taken_total, rate(source.taken_total, then));
        if let Some(error) = source.standing.as_ref().and_then(|standing| standing.last_error.as_ref()) {
            let _ = writeln!(text, "  {}", style.paint(RED, &plain(error).replace(['\n', '\t'], " ")));
        }
    }
    let head = format!("{:<30}{:>12}{:>12}{:>12}{:>12}", "destination", "delivered", "refused", "waiting", "a second");
    let _ = writeln!(text, "\n{}", style.paint(BOLD, &head));
    for lane in &report.lanes {
        let same = |old: &&Report| old.lanes.iter().find(|one| (&one.name, &one.stream) == (&lane.name, &lane.stream)).cloned();
        let then = old.as_ref().and_then(same).map(|lane| lane.standing.delivered_total);
        let (name, standing) = (format!("{:<20} {}", lane.name, lane.stream), &lane.standing);
        let (delivered, refused, waiting) = (standing.delivered_total, standing.rejected_total, standing.waiting);
        let _ = writeln!(text, "{name:<30}{delivered:>12}{refused:>12}{waiting:>12}{:>12}", rate(delivered, then));
        if let Some(error) = &standing.last_error {
            let _ = writeln!(text, "  {}", style.paint(RED, &plain(error).replace(['\n', '\t'], " ")));
        }
    }
    text.push_str("\nq ends\n");
    text
}

#[cfg(test)]
mod tests {
    use weft_domain::view::Totals;

    use super::*;
    use crate::delivery::Standing;
    use crate::status::{LaneReport, SourceReport};

    fn report(taken: u64, delivered: u64, last_error: Option<&str>) -> Report {
        let standing = Standing {
            delivered_total: delivered,
            waiting: taken - delivered,
            last_error: last_error.map(str::to_owned),
            ..Standing::default()
        };
        Report {
            workspace: "shop".into(),
            trouble: None,
            config: None,
            generation: 3,
            totals: Totals { customers: 2, identifiers: 5, events: taken, letters: 1, ..Totals::default() },
            intake: Waiting { records: taken, through: taken },
            history: Waiting { records: taken + 1, through: taken },
            sources: vec![SourceReport {
                name: "web".into(),
                reads: "http".into(),
                path: Some("/segment".into()),
                taken_total: taken,
                standing: None,
            }],
            lanes: vec![LaneReport { name: "lake".into(), stream: "events".into(), standing }],
            attributes: Vec::new(),
            matching: None,
        }
    }

    #[test]
    fn a_frame_has_rates_and_what_went_wrong() {
        let engine = "127.0.0.1:8080";
        let (then, now) = (report(100, 50, None), report(300, 60, Some("503\n\x1b[2J")));
        let text = frame(&engine, &now, Some((&then, Duration::from_secs(2))), Style::Plain);
        let want = [
            "weft 127.0.0.1:8080  runs  generation 3",
            "2 customers, 5 identifiers, 300 events, 1 dead letters",
            "",
            "log                                            records     waiting    a second",
            "intake                                             300           0       100.0",
            "history                                            301           1       100.0",
            "",
            "source                                          events                a second",
            "web                  http /segment                 300                   100.0",
            "",
            "destination                      delivered     refused     waiting    a second",
            "lake                 events             60           0         240         5.0",
            "  503 \\u{1b}[2J",
            "",
            "q ends",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), want);
        let restarted = frame(&engine, &report(7, 7, None), Some((&now, Duration::from_secs(1))), Style::Plain);
        assert!(restarted.lines().any(|line| line.starts_with("web") && line.ends_with(" -")), "{restarted}");
    }

    #[test]
    fn lines_are_cut_by_what_is_seen_of_them() {
        assert_eq!(cut("\x1b[1mabcdef\x1b[0m", 3), "\x1b[1mabc\x1b[0m");
        assert_eq!(cut("äöü", 2), "äö");
    }
}
