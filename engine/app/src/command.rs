//! The commands of `weft`: what is typed, and what is shown.
//!
//! A command talks to the running engine's pages where there is one, and opens the data folder itself where there is none: the
//! store admits one process. Exit codes: 0 done, 1 it did not work or did not hold, 2 the configuration or the call is wrong.

mod client;
mod destination;
mod dlq;
mod dsr;
mod erase;
mod events;
mod export;
mod fmt;
mod identity;
mod tail;
mod init;
mod reload;
mod plugin;
mod profiles;
mod show;
mod token;
mod top;

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use clap::{CommandFactory, Parser, Subcommand};
use weft_domain::explain::Who;
use weft_domain::portrait::{Portrait, portray};
use weft_domain::problem::Problems;
use weft_domain::value::Timestamp;
use weft_host::{Host, HostOptions};
use weft_store::files::Disk;
use weft_store::state::StateStore;

use crate::assembly::{Plugins, check};
use crate::clock::Clock;
use crate::config::{self, Config, Environment};
use crate::graph::Graph;
use crate::past;
use crate::probe::probe;
use crate::reload::{Fallback, Reloader, StartError};
use crate::render::{self, Style};
use crate::scenario::play;
use crate::selection::{Of, Selection, names_of};
use crate::vault::{DataFolder, Progress, Vault};

/// Weft: a customer data engine that a company runs itself.
#[derive(Parser)]
#[command(name = "weft", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write a workspace that runs.
    Init(init::Init),
    /// Check a workspace: its YAML, its plugins and what each says of its own configuration.
    Check(Check),
    /// Run a workspace until SIGTERM or Ctrl-C, and take on what changes in its files meanwhile.
    Run {
        #[command(flatten)]
        workspace: Workspace,
        /// Do not start with the last configuration that was right, where the files are wrong.
        #[arg(long)]
        strict: bool,
    },
    /// Have the running engine look at its workspace now, and take on what is different.
    Reload(Workspace),
    /// Say what the workspace would change in the running engine, or what has changed since one ran.
    Plan(Workspace),
    /// Play the `tests:` of a workspace.
    Test(Workspace),
    /// Show a customer, and why it is one.
    Profile {
        /// `TYPE:VALUE`, such as `email:ann@example.com`, or a customer's id.
        who: Who,
        /// As of an instant that is past: a time of RFC 3339, such as 2026-03-01T12:00Z.
        #[arg(long, value_name = "TIME")]
        as_of: Option<Timestamp>,
        /// Only these fields, such as traits.email,attributes,identifiers, and nothing of why it is one.
        #[arg(long, value_name = "FIELDS")]
        fields: Option<String>,
        /// The workspace: a folder, or its weft.yaml.
        #[arg(long, default_value = ".", value_parser = there)]
        workspace: PathBuf,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// List all customers by their ids.
    Profiles(profiles::Profiles),
    /// Write all profiles or all events as lines of JSON.
    Export {
        #[command(subcommand)]
        what: export::What,
    },
    /// Show a customer's events by time.
    Events(events::Events),
    /// Show events as they come, until Ctrl-C. The engine must run.
    Tail(tail::Tail),
    /// Look at dead letters: what a stage could not take.
    Dlq {
        #[command(subcommand)]
        command: dlq::Dlq,
    },
    /// Work on requests of people: list them, make one or call one off, fetch a result. The engine must run.
    Dsr {
        #[command(subcommand)]
        command: dsr::Dsr,
    },
    /// Erase a person from everywhere, say how far that is, or take events of theirs again. The engine must run.
    Erase(erase::Erase),
    /// Print everything that is known of a person, as lines of JSON. The engine must run.
    Access(erase::Access),
    /// Pause a destination, or let it go on.
    Destination {
        #[command(subcommand)]
        command: destination::Destination,
    },
    /// Say why two are one customer, or what keeps them apart; with one word, what a code means, such as `config/unknown-key`.
    Explain {
        /// `TYPE:VALUE`, such as `email:ann@example.com`, or a customer's id; or a code.
        what: String,
        /// The other one.
        other: Option<Who>,
        /// The workspace: a folder, or its weft.yaml.
        #[arg(long, default_value = ".", value_parser = there, requires = "other")]
        workspace: PathBuf,
        /// Print JSON.
        #[arg(long, requires = "other")]
        json: bool,
    },
    /// Look at claims that are held, decide them, take apart what is not one person's; find out which rows of a file are one person.
    Identity {
        #[command(subcommand)]
        command: identity::Identity,
    },
    /// Format YAML: comments, order and meaning stay, and nothing is written unless that is proven.
    Fmt(fmt::Fmt),
    /// Look a data folder over: logs, state, disk. The engine must not be running.
    Doctor(Workspace),
    /// Throw state away and fold history anew. The engine must not be running. Nothing is sent.
    Rebuild(Workspace),
    /// Say how the running engine is doing: how far everything is, and each destination.
    Status(Workspace),
    /// Watch how the running engine is doing: a screen with rates, anew every second. q ends it.
    Top(top::Top),
    /// Draw what flows from where to where: Mermaid, or a picture.
    Graph {
        /// The workspace: a folder, or its weft.yaml.
        #[arg(default_value = ".", value_parser = there)]
        workspace: PathBuf,
        /// Print an SVG picture.
        #[arg(long, conflicts_with = "json")]
        svg: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make, look at, check, sign and add plugins.
    Plugin {
        #[command(subcommand)]
        command: plugin::Command,
    },
    /// Make tokens of the API.
    Token {
        #[command(subcommand)]
        command: token::Token,
    },
    /// Print the JSON Schema of a workspace, or the OpenAPI document of the engine's pages.
    Schema {
        /// Which.
        #[arg(value_enum, default_value_t = SchemaOf::Workspace)]
        of: SchemaOf,
    },
    /// Print what makes a shell complete the command line: `source <(weft completions bash)`.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// What is written down.
#[derive(Clone, Copy, clap::ValueEnum)]
enum SchemaOf {
    /// A workspace.
    Workspace,
    /// The engine's pages.
    Openapi,
}

#[derive(clap::Args)]
struct Check {
    #[command(flatten)]
    workspace: Workspace,
    /// Reach out as well: have tokens, open connections, ask each plugin whether it is let in. Nothing is sent. For operators and CI.
    #[arg(long)]
    connect: bool,
}

#[derive(clap::Args)]
struct Workspace {
    /// The workspace: a folder, or its weft.yaml.
    #[arg(default_value = ".", value_parser = there)]
    workspace: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A workspace that is there: of another, nobody could say which engine is its own.
fn there(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.exists() { Ok(path) } else { Err("there is no such folder or file".to_owned()) }
}

/// Why a command failed.
enum Failed {
    /// The configuration is wrong.
    Problems(Problems, Output),
    /// The configuration is wrong, and it has been shown how.
    Refused,
    /// Something did not hold; it has been shown.
    Shown,
    /// Anything else.
    Other(anyhow::Error),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Output {
    People,
    Json,
}

impl Output {
    fn of(json: bool) -> Self {
        if json { Output::Json } else { Output::People }
    }
}

impl Workspace {
    fn output(&self) -> Output {
        Output::of(self.json)
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Failed::Other(error.into())
    }
}

/// Runs a command.
pub async fn run(cli: Cli) -> ExitCode {
    let done = match cli.command {
        Command::Init(init) => init::run(init).await,
        Command::Check(Check { workspace, connect: false }) => check_workspace(&workspace).await,
        Command::Check(Check { workspace, connect: true }) => check_outside(&workspace).await,
        Command::Run { workspace, strict } => serve(&workspace, strict).await,
        Command::Reload(workspace) => reload::reload(&workspace.workspace, workspace.output()).await,
        Command::Plan(workspace) => reload::plan(&workspace.workspace, workspace.output()).await,
        Command::Test(workspace) => test(&workspace).await,
        Command::Profile { who, as_of, fields, workspace, json } => {
            profile(&who, as_of, fields.as_deref(), &workspace, Output::of(json)).await
        }
        Command::Profiles(profiles) => profiles::run(profiles).await,
        Command::Export { what } => export::run(what).await,
        Command::Events(events) => events::run(events).await,
        Command::Tail(tail) => tail::run(tail).await,
        Command::Dlq { command } => dlq::run(command).await,
        Command::Dsr { command } => dsr::run(command).await,
        Command::Erase(erase) => erase::run(erase).await,
        Command::Access(access) => erase::access(access).await,
        Command::Destination { command } => destination::run(command).await,
        Command::Explain { what, other: None, .. } => show::code(&what).map(|text| print(&text)).map_err(Failed::Other),
        Command::Explain { what, other: Some(b), workspace, json } => match what.parse::<Who>() {
            Ok(a) => identity::explain(&a, &b, &workspace, Output::of(json)).await,
            Err(message) => Err(Failed::Other(anyhow!(message))),
        },
        Command::Identity { command } => identity::run(command).await,
        Command::Fmt(fmt) => fmt::run(&fmt),
        Command::Doctor(workspace) => doctor(&workspace).await,
        Command::Rebuild(workspace) => rebuild(&workspace).await,
        Command::Top(top) => top::run(top).await,
        Command::Status(workspace) => status(&workspace).await,
        Command::Graph { workspace, svg, json } => graph(&workspace, svg, Output::of(json)).await,
        Command::Plugin { command } => plugin::run(command).await,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "weft", &mut std::io::stdout());
            Ok(())
        }
        Command::Token { command } => token::run(command),
        Command::Schema { of } => {
            print(&match of {
                SchemaOf::Workspace => config::schema_text(),
                SchemaOf::Openapi => crate::api::openapi::text(),
            });
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed::Shown) => ExitCode::from(1),
        Err(Failed::Refused) => ExitCode::from(2),
        Err(Failed::Other(error)) => {
            complain(&format!("error: {error:#}"));
            ExitCode::from(1)
        }
        Err(Failed::Problems(problems, Output::Json)) => {
            print(&render::json(&problems));
            ExitCode::from(2)
        }
        Err(Failed::Problems(problems, Output::People)) => {
            complain(&render::text(&problems, Style::of(&std::io::stderr())));
            ExitCode::from(2)
        }
    }
}

/// To standard output; a reader that went away is no error.
fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
}

/// To standard output, to the last byte.
fn put(text: &str) {
    let _ = write!(std::io::stdout(), "{text}").and_then(|()| std::io::stdout().flush());
}

/// To standard error: what is said about the work, and not its result.
fn complain(text: &str) {
    if text.is_empty() {
        return;
    }
    let _ = writeln!(std::io::stderr(), "{}", text.trim_end());
}

/// Replaces a file as a whole: who reads it meanwhile sees the old bytes or the new ones. A symbolic link stays one.
fn replace(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut beside = tempfile::NamedTempFile::new_in(folder).with_context(|| format!("cannot write to {}", folder.display()))?;
    beside.write_all(bytes).and_then(|()| beside.as_file().sync_data())?;
    let mode = std::fs::metadata(path).map_or_else(|_| readable(), |metadata| metadata.permissions());
    beside.as_file().set_permissions(mode)?;
    beside.persist(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

/// What a new file may be: everybody's to read.
fn readable() -> std::fs::Permissions {
    std::os::unix::fs::PermissionsExt::from_mode(0o644)
}

fn host() -> anyhow::Result<Host> {
    let cache = std::env::var_os("WEFT_CACHE").map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    let usual = || std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home).map(|cache| cache.join("weft/plugins"));
    let folder = cache.or_else(usual).ok_or_else(|| anyhow!("there is no folder for compiled plugins: set WEFT_CACHE"))?;
    Ok(Host::new(HostOptions::new(folder))?)
}

async fn load(workspace: &Path, output: Output) -> Result<(Config, Plugins), Failed> {
    let loaded = check(&host()?, workspace, &Environment::of_process()).await;
    loaded.map_err(|problems| Failed::Problems(problems, output))
}

async fn check_workspace(workspace: &Workspace) -> Result<(), Failed> {
    let (config, _) = load(&workspace.workspace, workspace.output()).await?;
    match workspace.output() {
        Output::Json => print(&render::json(&config.warnings)),
        Output::People => {
            complain(&render::text(&config.warnings, Style::of(&std::io::stderr())));
            print(&format!(
                "{}: {} sources, {} transforms, {} destinations, {} tests: in order",
                config.name,
                config.sources.len(),
                config.transforms.len(),
                config.destinations.len(),
                config.tests.len()
            ));
        }
    }
    Ok(())
}

/// Checks a workspace, and then what it names outside.
async fn check_outside(workspace: &Workspace) -> Result<(), Failed> {
    show::start_logging();
    let (config, plugins) = load(&workspace.workspace, workspace.output()).await?;
    let findings = probe(&config, &plugins).await?;
    match workspace.output() {
        Output::Json => {
            print(&serde_json::to_string_pretty(&serde_json::json!({ "problems": config.warnings, "outside": findings }))?);
        }
        Output::People => {
            complain(&render::text(&config.warnings, Style::of(&std::io::stderr())));
            print(&show::findings(&config.name, &findings));
        }
    }
    if findings.iter().all(|finding| finding.failed.is_none()) { Ok(()) } else { Err(Failed::Shown) }
}

async fn serve(workspace: &Workspace, strict: bool) -> Result<(), Failed> {
    show::start_logging();
    let told_to_stop = told_to_stop();
    let fallback = if strict { Fallback::None } else { Fallback::LastGood };
    let environment = Environment::of_process();
    let started = Reloader::start(host()?, &workspace.workspace, environment, fallback, report_progress()).await;
    let (mut reloader, engine) = started.map_err(|error| match error {
        StartError::Problems(problems) => Failed::Problems(problems, workspace.output()),
        StartError::Engine(error) => Failed::Other(error.into()),
    })?;
    let style = Style::of(&std::io::stderr());
    match engine.status().reloaded() {
        Some(refused) => {
            complain(&render::text(&refused.problems, style));
            complain(&format!(
                "what was last in force runs instead, generation {}; `--strict` would not start",
                refused.generation
            ));
        }
        None => complain(&render::text(&reloader.config().warnings, style)),
    }
    for note in engine.notes() {
        tracing::warn!(note, "put right at the start");
    }
    if let Some(address) = engine.address() {
        print(&format!("{} listens on http://{address}", reloader.config().name));
        for source in engine.report().sources {
            match &source.path {
                Some(path) => print(&format!("  source {:<14} http://{address}{path}", source.name)),
                None => print(&format!("  source {:<14} {}", source.name, source.reads)),
            }
        }
        print(&format!("  profiles              http://{address}/api/v1/profiles/TYPE/VALUE"));
        print(&format!("  status                http://{address}/api/v1/status"));
    }
    let failed = tokio::select! {
        () = told_to_stop => None,
        trouble = engine.failed() => Some(trouble),
        () = reloader.run(&engine) => None,
    };
    drop(reloader);
    complain("stopping: what has arrived passes through first");
    let stopped = engine.stop().await;
    match failed {
        Some(trouble) => Err(anyhow!("the engine ended by itself: {trouble}").into()),
        None => Ok(stopped?),
    }
}

/// Says how far a long step is, on one line of a terminal, or now and then in a log.
fn report_progress() -> impl FnMut(Progress) {
    report_progress_of(10_000)
}

/// The same for a step of at least so many records.
fn report_progress_of(records_min: u64) -> impl FnMut(Progress) {
    let mut said = std::time::Instant::now();
    move |progress: Progress| {
        let finished = progress.done >= progress.all;
        if said.elapsed().as_millis() < 500 && !finished || progress.all < records_min {
            return;
        }
        said = std::time::Instant::now();
        let percent = 100 * progress.done / progress.all.max(1);
        let line = format!("{}: {percent} % ({} of {} records)", progress.doing, progress.done, progress.all);
        if std::io::stderr().is_terminal() {
            let _ = write!(std::io::stderr(), "\r\x1b[K{line}{}", if finished { "\n" } else { "" });
        } else {
            complain(&line);
        }
    }
}

/// Whether somebody wants the engine to stop: SIGTERM and Ctrl-C count from when this is called.
fn told_to_stop() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    async move {
        let (Ok(mut terminate), Ok(mut interrupt)) = signals else { return std::future::pending().await };
        tokio::select! { _ = terminate.recv() => (), _ = interrupt.recv() => () }
    }
}

async fn test(workspace: &Workspace) -> Result<(), Failed> {
    let (config, plugins) = load(&workspace.workspace, workspace.output()).await?;
    let (mut passed, mut failed, mut outcomes) = (0, 0, Vec::new());
    for scenario in &config.tests {
        let failures = play(&config, &plugins, scenario).await?;
        let verdict = if failures.is_empty() { "ok" } else { "FAILED" };
        (passed, failed) = if failures.is_empty() { (passed + 1, failed) } else { (passed, failed + 1) };
        if workspace.output() == Output::People {
            print(&format!("test {} ... {verdict}", scenario.name));
            failures.iter().for_each(|failure| print(&format!("    {failure}")));
        }
        outcomes.push(serde_json::json!({ "name": scenario.name, "failures": failures }));
    }
    match workspace.output() {
        Output::Json => print(&serde_json::json!({ "tests": outcomes }).to_string()),
        Output::People => print(&format!("{passed} passed, {failed} failed")),
    }
    if failed == 0 { Ok(()) } else { Err(Failed::Shown) }
}

async fn profile(
    who: &Who,
    as_of: Option<Timestamp>,
    fields: Option<&str>,
    workspace: &Path,
    output: Output,
) -> Result<(), Failed> {
    let (config, _) = load(workspace, output).await?;
    let attributes = names_of(&config.attributes);
    let selection = fields.map(|fields| Selection::parse(fields, Of::Profile(&attributes))).transpose();
    let selection = selection.map_err(|message| anyhow!(message))?;
    let mut path = match who {
        Who::Identifier(kind, value) => format!("/api/v1/profiles/{}/{}", client::escape(kind), client::escape(value)),
        Who::Customer(id) => format!("/api/v1/profiles/{id}"),
    };
    path.extend(as_of.map(|at| format!("?as_of={at}")));
    let found: Option<Portrait> = match client::get(&client::Engine::configured(&config), &path).await? {
        client::Answer::Nobody => ask_the_folder(&config, who, as_of)?,
        client::Answer::NotFound => None,
        client::Answer::Body(bytes) => Some(serde_json::from_slice(&bytes).context("the engine's answer cannot be read")?),
    };
    let then = as_of.map(|at| format!(" as of {at}")).unwrap_or_default();
    let Some(portrait) = found else { return Err(anyhow!("nobody is known by `{who}`{then}").into()) };
    if let Some(selection) = selection {
        let chosen = serde_json::from_str(selection.of(&portrait.explained.profile)?.get())?;
        match output {
            Output::Json => print(&serde_json::to_string_pretty(&chosen)?),
            Output::People => {
                profiles::said(&chosen).iter().for_each(|(name, value)| print(&dlq::plain(&format!("{name:<24} {value}"))));
            }
        }
        return Ok(());
    }
    match output {
        Output::Json => print(&serde_json::to_string_pretty(&portrait)?),
        Output::People => print(&show::portrait(&portrait)),
    }
    Ok(())
}

fn ask_the_folder(config: &Config, who: &Who, as_of: Option<Timestamp>) -> anyhow::Result<Option<Portrait>> {
    let vault = Vault::open(&DataFolder::at(&config.data), report_progress())?;
    let found = match as_of {
        Some(at) => past::portray(|| &vault.overlay, &vault.history.reader(), who, at)?,
        None => match who.today(&vault.overlay)? {
            Some(id) => portray(vault.overlay.plan(), &vault.overlay, id, Clock::Wall.now())?,
            None => None,
        },
    };
    vault.close()?;
    Ok(found)
}

async fn status(workspace: &Workspace) -> Result<(), Failed> {
    let engine = client::Engine::of(&workspace.workspace);
    let client::Answer::Body(bytes) = client::get(&engine, "/api/v1/status").await? else {
        return Err(anyhow!("no engine listens on {engine}: `weft run` starts it").into());
    };
    match workspace.output() {
        Output::Json => print(&String::from_utf8_lossy(&bytes)),
        Output::People => print(&show::status(&serde_json::from_slice(&bytes).context("the engine's answer cannot be read")?)),
    }
    Ok(())
}

async fn graph(workspace: &Path, svg: bool, output: Output) -> Result<(), Failed> {
    let (config, _) = load(workspace, output).await?;
    let graph = Graph::of(&config);
    print(&match output {
        Output::Json => serde_json::to_string_pretty(&graph)?,
        Output::People if svg => graph.svg(&config.name),
        Output::People => graph.mermaid(),
    });
    Ok(())
}

async fn doctor(workspace: &Workspace) -> Result<(), Failed> {
    let (config, _) = load(&workspace.workspace, workspace.output()).await?;
    let data = DataFolder::at(&config.data);
    let mut findings = show::Findings::default();
    for (name, dir) in [("intake log", data.intake()), ("history log", data.history())] {
        if !dir.is_dir() {
            findings.note(name, "not there yet");
            continue;
        }
        findings.log(name, &weft_store::log::verify(&Disk, &dir)?);
    }
    if findings.is_sound() && data.history().is_dir() {
        let vault = Vault::open(&data, report_progress())?;
        vault.notes.iter().for_each(|note| findings.note("start", note));
        match vault.state.verify() {
            Ok(sizes) => findings.state(&sizes, vault.state.position(), vault.overlay.position()),
            Err(error) => findings.bad("state", &error.to_string()),
        }
        if let Some(position) = vault.state.base_position() {
            findings.note("base", &format!("a copy of state as of {position} records of history, to rebuild from"));
        }
        vault.close()?;
    }
    print(&if workspace.json { findings.json() } else { findings.text() });
    if findings.is_sound() { Ok(()) } else { Err(Failed::Shown) }
}

async fn rebuild(workspace: &Workspace) -> Result<(), Failed> {
    let (config, _) = load(&workspace.workspace, workspace.output()).await?;
    let data = DataFolder::at(&config.data);
    let before = Vault::open(&data, report_progress())?;
    let old = before.state_hash()?;
    before.close()?;
    let vault = Vault::rebuild(&data, report_progress())?;
    let (new, position) = (vault.state_hash()?, vault.overlay.position());
    vault.close()?;
    let same = old == new;
    match workspace.output() {
        Output::Json => {
            print(&serde_json::json!({ "position": position, "before": old, "after": new, "same": same }).to_string())
        }
        Output::People if same => print(&format!("rebuilt from {position} records of history: the same state, {new}")),
        Output::People => print(&format!("rebuilt from {position} records of history: {new}; before it was {old}")),
    }
    Ok(())
}
