//! From the files of a workspace to a running engine, at the start and whenever they change: one path for both.
//!
//! ```text
//! a hint, a request, a minute ─► read everything anew ─► check ─► what differs? ─► prepare beside ─► take on, at a batch boundary
//!                                                          │          │ nothing        │
//!                                                       refused    unchanged        refused: what was in force goes on (invariant 8)
//! ```
//!
//! What the system tells of files is a hint and no more. A configuration is compared by what it says and by what its plugins are, so that a
//! file that was only touched or laid out anew changes nothing. Secrets that were changed are new for all who hold them as soon as they are
//! read, and no stage begins anew for that. The last configuration that was taken on is kept beside the data: where the files
//! are wrong at a start, it runs.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use weft_domain::problem::{Code, Problem, Problems, Severity};
use weft_host::Host;

use crate::assembly::{Connections, Plugins, check, settings, stages, terms};
use crate::bounds::Bounds;
use crate::clock::Clock;
use crate::config::{self, Change, ChangeKind, Config, Environment};
use crate::engine::{Engine, EngineError, Terms};
use crate::limits;
use crate::status::{Forecast, Look, Outcome, Reloaded};
use crate::vault::Progress;
use crate::watch::Watch;

/// Looks after the workspace of an engine.
pub struct Reloader {
    host: Host,
    workspace: PathBuf,
    environment: Environment,
    clock: Clock,
    connections: Connections,
    /// What is in force.
    config: Config,
    plugins: Plugins,
    /// What was last refused, so that it is told once.
    refused: Option<Problems>,
}

/// Why an engine cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its workspace is wrong, and nothing is kept that is right.
    #[error("the configuration is wrong")]
    Problems(Problems),
    /// Its parts do not start.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// Whether an engine may start with what is kept, where the files are wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// It starts with the last configuration that was taken on.
    LastGood,
    /// It does not start.
    None,
}

impl Reloader {
    /// Starts the engine of a workspace. Where its files are wrong and an earlier configuration of theirs is kept, that one runs, and what is
    /// wrong is in the engine's status.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(
        host: Host,
        workspace: &Path,
        environment: Environment,
        fallback: Fallback,
        progress: impl FnMut(Progress),
    ) -> Result<(Reloader, Engine), StartError> {
        let (checked, refused) = match check(&host, workspace, &environment).await {
            Ok(checked) => (checked, None),
            Err(problems) => {
                let kept = kept_beside(workspace, &environment).filter(|_| fallback == Fallback::LastGood);
                let Some(kept) = kept else { return Err(StartError::Problems(problems)) };
                match check(&host, &kept, &environment).await {
                    Ok(checked) => (checked, Some(problems)),
                    Err(_) => return Err(StartError::Problems(problems)),
                }
            }
        };
        let (config, plugins) = checked;
        let clock = Clock::Wall;
        let mut connections = Connections::default();
        let made = async |ledger: &_| stages(&config, &plugins, ledger, &mut connections);
        let engine = Engine::start(settings(&config, clock.clone()), made, progress).await?;
        let workspace = workspace.to_owned();
        let mut reloader = Reloader { host, workspace, environment, clock, connections, config, plugins, refused: None };
        match refused {
            None => reloader.keep(&engine),
            Some(problems) => drop(reloader.refuse(&engine, Vec::new(), problems)),
        }
        Ok((reloader, engine))
    }

    /// What is in force.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Looks after the workspace for as long as it is polled.
    pub async fn run(&mut self, engine: &Engine) {
        let mut wanted = engine.wanted().unwrap_or_else(|| mpsc::channel(1).1);
        let mut watch = Watch::new();
        let mut hangup = signal(SignalKind::hangup()).ok();
        watch.only(self.folders());
        // What changed between the start and the watch is told by nobody.
        self.reload(engine).await;
        loop {
            watch.only(self.folders());
            let told = async {
                match &mut hangup {
                    Some(hangup) => drop(hangup.recv().await),
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = told => drop(self.reload(engine).await),
                Some(Look { apply, answer }) = wanted.recv() => {
                    let reloaded = if apply { self.reload(engine).await } else { self.plan(engine).await };
                    // Whoever asked may have gone away.
                    let _ = answer.send(reloaded);
                }
                () = watch.changed(limits::RELOAD_REST, limits::RELOAD_EVERY) => drop(self.reload(engine).await),
            }
        }
    }

    /// Reads everything anew, and takes on what is different.
    pub async fn reload(&mut self, engine: &Engine) -> Reloaded {
        // Before all else: a secret that was changed counts, whatever is wrong with the rest.
        let (renewed, _) = self.config.renew_secrets(&self.environment);
        if renewed > 0 {
            tracing::info!(renewed, "secrets were renewed");
        }
        let (config, plugins, changes) = match self.look().await {
            Ok(found) => found,
            Err((changes, problems)) => return self.refuse(engine, changes, problems),
        };
        if changes.is_empty() {
            let was_refused = self.refused.take().is_some();
            let unchanged = self.reloaded(engine, Outcome::Unchanged, changes, config.warnings.clone());
            if was_refused {
                engine.status().note_reload(unchanged.clone());
            }
            return unchanged;
        }
        match self.take_on(engine, &config, &plugins).await {
            Ok(generation) => {
                (self.config, self.plugins, self.refused) = (config, plugins, None);
                self.keep(engine);
                let shown: Vec<String> = changes.iter().map(ToString::to_string).collect();
                tracing::info!(generation, changes = shown.join(", "), "the configuration was taken on");
                let applied = self.reloaded(engine, Outcome::Applied, changes, self.config.warnings.clone());
                engine.status().note_reload(applied.clone());
                applied
            }
            Err(error) => {
                let mut problems = Problems::new();
                problems.push(unopened(&config, &error));
                self.refuse(engine, changes, problems)
            }
        }
    }

    /// Reads everything anew, and says what would be different, and whom it would have forgotten.
    pub async fn plan(&self, engine: &Engine) -> Reloaded {
        let (config, changes) = match self.look().await {
            Ok((config, _, changes)) => (config, changes),
            Err((changes, problems)) => return self.reloaded(engine, Outcome::Refused, changes, problems),
        };
        let planned = self.reloaded(engine, Outcome::Planned, changes, config.warnings.clone());
        let Terms { bounds: Bounds { inactive: Some(inactive), .. }, plan, .. } = terms(&config) else { return planned };
        let forecast = engine.eraser().forecast(inactive, plan.identity).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "it cannot be counted who is inactive");
            Forecast { at_least: true, ..Forecast::default() }
        });
        let mut problems = planned.problems;
        problems.extend(large(&config, &forecast));
        Reloaded { problems, inactive: Some(forecast), ..planned }
    }

    /// What the files say now, and what of it is different from what is in force.
    async fn look(&self) -> Result<(Config, Plugins, Vec<Change>), (Vec<Change>, Problems)> {
        let checked = check(&self.host, &self.workspace, &self.environment).await;
        let (config, plugins) = checked.map_err(|problems| (Vec::new(), problems))?;
        let changes = changes(&self.config, &self.plugins, &config, &plugins);
        let mut problems = Problems::new();
        for (setting, is_other) in [
            ("listen", config.listen != self.config.listen),
            ("data", is_elsewhere(&config.data, &self.config.data)),
            ("limits", config.limits.state_cache != self.config.limits.state_cache),
        ] {
            if is_other {
                let pointer = if setting == "limits" { "/limits/state_cache".to_owned() } else { format!("/{setting}") };
                let message = format!("`{}` cannot change while the engine runs", pointer[1..].replace('/', "."));
                let problem = Problem::error(Code::RELOAD_RESTART, message).hint("change it back, or restart the engine");
                problems.push(problem.at(config.place(&pointer)));
            }
        }
        if problems.has_errors() { Err((changes, problems)) } else { Ok((config, plugins, changes)) }
    }

    async fn take_on(&mut self, engine: &Engine, config: &Config, plugins: &Plugins) -> Result<u64, EngineError> {
        let before = self.connections.clone();
        let taken_on = match stages(config, plugins, engine.ledger(), &mut self.connections) {
            Ok(stages) => engine.adopt(terms(config), stages).await,
            Err(error) => Err(error),
        };
        if taken_on.is_err() {
            self.connections = before;
        }
        taken_on
    }

    /// Says that what the files say is not taken on, and tells it once.
    fn refuse(&mut self, engine: &Engine, changes: Vec<Change>, problems: Problems) -> Reloaded {
        let refused = self.reloaded(engine, Outcome::Refused, changes, problems.clone());
        if self.refused.as_ref() != Some(&problems) {
            // A line each: a log has no room for what `weft check` shows around it.
            for problem in problems.iter().filter(|problem| problem.severity == Severity::Error) {
                let Problem { code, message, place, expected, hint, .. } = problem;
                let place = place.as_ref().map(|place| format!("{}:{}:{}", place.file, place.line, place.column));
                tracing::error!(code = code.as_str(), place, expected, hint, "{message}");
            }
            let (errors, _) = problems.count();
            tracing::error!(errors, "the configuration is wrong, as `weft check` shows; what was in force goes on");
            engine.status().note_reload(refused.clone());
            self.refused = Some(problems);
        }
        refused
    }

    fn reloaded(&self, engine: &Engine, outcome: Outcome, changes: Vec<Change>, problems: Problems) -> Reloaded {
        let generation = engine.ledger().state().plan().generation;
        Reloaded { outcome, generation, at: self.clock.now(), changes, problems, inactive: None }
    }

    /// Keeps what is in force beside the data. What goes wrong with that is no reason not to run.
    fn keep(&self, engine: &Engine) {
        let generation = engine.ledger().state().plan().generation;
        let folder = self.config.data.join(KEPT);
        let (next, last) = (folder.join("next"), folder.join(LAST_GOOD));
        let kept = self.config.keep(&next, generation, self.clock.now(), &self.plugins.files()).and_then(|()| {
            if last.exists() {
                std::fs::remove_dir_all(&last)?;
            }
            std::fs::rename(&next, &last)
        });
        if let Err(error) = kept {
            tracing::warn!(%error, folder = %folder.display(), "the configuration in force cannot be kept for the next start");
        }
    }

    /// The folders of everything that was read.
    fn folders(&self) -> BTreeSet<PathBuf> {
        let plugins = self.plugins.files().into_values().map(|(_, path)| path);
        let files = self.config.files().map(Path::to_owned).chain(plugins);
        let folders = files.filter_map(|file| file.parent().map(Path::to_owned));
        let own = [config::folder(&self.workspace), self.config.secrets_folder(&self.environment)];
        let named = |folder: PathBuf| if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
        folders.chain(own).map(named).take(limits::FOLDERS_WATCHED_MAX).collect()
    }
}

/// What to say of a configuration that would have so many forgotten that it is probably not meant; none where they are few.
#[must_use]
pub fn large(config: &Config, forecast: &Forecast) -> Option<Problem> {
    let at_least = if forecast.at_least { "at least " } else { "" };
    let message =
        format!("{at_least}{} of {} profiles are inactive, and would be forgotten", forecast.total(), forecast.profiles);
    let problem = Problem::warning(Code::RETENTION_LARGE, message).at(config.place("/retention/inactive_profiles"));
    forecast.is_large().then(|| problem.hint("what is forgotten does not come back: say a longer time where that is not meant"))
}

/// Whether two paths name two places. What was kept of a workspace names its folder from the root, which the workspace itself may not.
fn is_elsewhere(one: &Path, other: &Path) -> bool {
    match (std::path::absolute(one), std::path::absolute(other)) {
        (Ok(one), Ok(other)) => one != other,
        // There is no folder to begin from.
        _ => one != other,
    }
}

/// In the data folder: what was taken on.
const KEPT: &str = "generations";
/// In that folder: the last configuration that was taken on.
const LAST_GOOD: &str = "last-good";

/// The last configuration that an engine of a workspace took on, where one is kept. The data folder is where the files say, as far as they
/// can be read, or where it usually is.
#[must_use]
pub fn kept_beside(workspace: &Path, environment: &Environment) -> Option<PathBuf> {
    let data = config::data_folder(workspace, environment);
    let folder = data.join(KEPT).join(LAST_GOOD);
    let kept = config::Kept::read(&folder)?;
    let same = std::path::absolute(config::folder(workspace)).ok()? == kept.folder;
    same.then(|| if kept.main == config::MAIN_FILE { folder.clone() } else { folder.join(&kept.main) })
}

/// What is different from what is in force, plugins' files included.
fn changes(before: &Config, before_plugins: &Plugins, config: &Config, plugins: &Plugins) -> Vec<Change> {
    let mut changes = config.changes_since(Some(before));
    let (old, new) = (before_plugins.files(), plugins.files());
    for (name, (digest, _)) in &new {
        let is_other = old.get(name).is_some_and(|(before, _)| before != digest);
        let is_known = changes.iter().any(|change| change.section == "plugins" && change.name.as_ref() == Some(name));
        if is_other && !is_known {
            let (section, keys) = ("plugins".to_owned(), vec!["its file".to_owned()]);
            changes.push(Change { section, name: Some(name.clone()), kind: ChangeKind::Changed, keys });
        }
    }
    changes
}

/// What to say of a configuration whose parts do not begin.
fn unopened(config: &Config, error: &EngineError) -> Problem {
    let problem = Problem::error(Code::RELOAD_STAGE, error.to_string());
    let EngineError::Open { stage, .. } = error else { return problem };
    let sections = ["sources", "transforms", "destinations"];
    let place = sections.iter().map(|section| config.place(&format!("/{section}/{stage}"))).find(|place| place.line > 1);
    match place {
        Some(place) => problem.at(place),
        None => problem,
    }
}
