//! `weft plugin check`: the checks of [`crate::conformance`], and what they found.

use std::path::PathBuf;

use anyhow::Context;

use super::{Home, Named, host};
use crate::cases::suites;
use crate::command::{Failed, Output, print};
use crate::conformance::{self, Conformance, Finding, Given, Verdict};

/// What to check, and with what.
#[derive(clap::Args)]
pub(in crate::command) struct Check {
    #[command(flatten)]
    named: Named,
    /// A configuration (YAML or JSON) to check with, beside the examples of the manifest. May be given more than once.
    #[arg(long)]
    config: Vec<PathBuf>,
    /// The folder of the plugin's own tests, whose polls are played; unless it is said, `tests` in the folder of a plugin in its `dist`.
    #[arg(long)]
    tests: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(check: Check) -> Result<(), Failed> {
    let file = check.named.file()?;
    let mut given = Vec::new();
    for path in &check.config {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        given.push(Given { title: path.display().to_string(), text });
    }
    let output = Output::of(check.json);
    let tests = check.tests.or_else(|| Home::tests_of_built(&file).filter(|folder| folder.is_dir()));
    let suites = tests.map_or_else(|| Ok(Vec::new()), |folder| suites(&folder));
    let suites = suites.map_err(|problems| Failed::Problems(problems, output))?;
    Home::note_changes(&file);
    let loaded = host()?.load(&file).await;
    let (found, limits, name) = match &loaded {
        Ok(plugin) => {
            let manifest = plugin.manifest();
            let name = format!("{} {}, a {}", manifest.name, manifest.version, manifest.kind);
            let mut polls = Vec::new();
            for suite in &suites {
                polls.extend(suite.good_polls(plugin).map_err(|problems| Failed::Problems(problems, output))?);
            }
            (conformance::check(plugin, &given, &polls).await, Some(plugin.limits()), name)
        }
        Err(error) => (Conformance::of_no_plugin(error.to_string()), None, file.display().to_string()),
    };
    match output {
        Output::Json => print(&serde_json::to_string_pretty(&serde_json::json!({
            "file": file,
            "holds": found.holds(),
            "findings": found.findings,
            "memory_bytes_max": found.used.memory_bytes,
            "call_us_max": u64::try_from(found.used.call.as_micros()).unwrap_or(u64::MAX),
        }))?),
        Output::People => {
            print(&format!("{name}\n\n{}", table(&found.findings)));
            if let Some(limits) = limits {
                print(&format!("\n{}", conformance::used(&found, &limits)));
            }
            print(&tally(&found.findings));
        }
    }
    if found.holds() { Ok(()) } else { Err(Failed::Shown) }
}

/// The findings by configuration.
fn table(findings: &[Finding]) -> String {
    let mut out = String::new();
    let mut config: Option<&str> = None;
    for finding in findings {
        let indent = if finding.config.is_some() { "  " } else { "" };
        if finding.config.as_deref() != config && finding.config.is_some() {
            out.push_str(&format!("with \"{}\"\n", finding.config.as_deref().unwrap_or_default()));
        }
        config = finding.config.as_deref();
        let (word, more) = match &finding.verdict {
            Verdict::Passed => ("ok", String::new()),
            Verdict::Skipped { message } => ("-", format!("  {message}")),
            Verdict::Failed { message, hint } => ("FAILED", format!("\n{indent}    {message}\n{indent}    hint: {hint}")),
        };
        out.push_str(&format!("{indent}{:<14} {word}{more}\n", finding.check));
    }
    out
}

fn tally(findings: &[Finding]) -> String {
    let count = |is: fn(&Verdict) -> bool| findings.iter().filter(|finding| is(&finding.verdict)).count();
    let failed = count(|verdict| matches!(verdict, Verdict::Failed { .. }));
    let passed = count(|verdict| *verdict == Verdict::Passed);
    format!("{passed} passed, {failed} failed, {} not asked", findings.len() - passed - failed)
}
