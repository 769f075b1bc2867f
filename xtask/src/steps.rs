//! What the commands share: where things are, and running a program so that its failure explains itself.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// The workspace of the quickstart, from the root of the repository.
pub(crate) const QUICKSTART: &str = "pipelines/quickstart";

/// The root of the repository: the folder above this crate's. Cargo says where that is now; where this was built may have moved.
pub(crate) fn root() -> PathBuf {
    let now = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let folder = now.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).to_owned());
    folder.parent().expect("xtask lies in the root's folder").to_owned()
}

/// Says what begins.
pub(crate) fn step(what: &str) {
    println!("\n── {what}");
}

/// Cargo of this toolchain, in a folder. What the command line of `cargo xtask` set for this process is taken away again. It builds into `target` of that
/// folder, whatever the user's settings are: there the README, the tests and what is printed here look for it.
pub(crate) fn cargo(folder: &Path) -> Command {
    // Cargo names itself to what it runs; another of the same name may come first on the path.
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(folder).env("CARGO_TARGET_DIR", folder.join("target"));
    without_cargos_own(&mut command);
    command
}

/// Takes away what cargo tells a program that it runs about its package: a build that sees them is never fresh.
pub(crate) fn without_cargos_own(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text == "CARGO_PRIMARY_PACKAGE" {
            command.env_remove(name);
        }
    }
}

/// Runs a command to its end; what it says goes where this program's words go.
///
/// # Errors
/// It could not be started, or ended with anything but success. `hint` says what to do about it.
pub(crate) fn run(command: &mut Command, hint: &str) -> Result<()> {
    println!("   $ {}", shown(command));
    let status = command.status().with_context(|| format!("`{}` could not be started", shown(command)))?;
    if !status.success() {
        bail!("`{}` ended with {status}\n  hint: {hint}", shown(command));
    }
    Ok(())
}

/// A command as one would type it, without the folder of the repository.
pub(crate) fn shown(command: &Command) -> String {
    let root = root().display().to_string();
    let word = |word: &std::ffi::OsStr| word.to_string_lossy().replace(&format!("{root}/"), "");
    let program = Path::new(command.get_program());
    // A path outside the repository says nothing to a reader: its last part does.
    let program =
        if program.starts_with(&root) { word(program.as_os_str()) } else { word(program.file_name().unwrap_or_default()) };
    std::iter::once(program).chain(command.get_args().map(word)).collect::<Vec<_>>().join(" ")
}

/// A time for people.
pub(crate) fn seconds(time: Duration) -> String {
    if time.as_secs() < 90 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {} s", time.as_secs() / 60, time.as_secs() % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let check = |program: &str, argument: &str, want: &str| {
            let mut command = Command::new(root().join(program));
            command.arg(root().join(argument)).arg("--workspace");
            assert_eq!(shown(&command), want);
        };
        check("target/debug/weft", "pipelines/quickstart", "target/debug/weft pipelines/quickstart --workspace");
        check("/usr/bin/cargo", "test", "cargo test --workspace");
    }

    #[test]
    fn times_are_written_for_people() {
        let check = |ms: u64, want: &str| assert_eq!(seconds(Duration::from_millis(ms)), want);
        check(1_234, "1.2 s");
        check(89_900, "89.9 s");
        check(125_000, "2 min 5 s");
    }
}
