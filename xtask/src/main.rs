//! `cargo xtask`: what it takes to work on Weft, as commands that do all of it and say what they do.
//!
//! Only the standard library and `anyhow`, so that the first command on a new machine starts in seconds. Nothing here is part of
//! the product: `weft` never calls it. Each command has a module; [`steps`] is what they share.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "talking to whoever runs it is what this program is for")]

mod steps;
mod plugins;
mod sample;
mod wire;
mod engine;
mod quickstart;
mod templates;
mod test;

use std::process::ExitCode;

use anyhow::{Result, bail};

const USAGE: &str = "\
usage: cargo xtask COMMAND

commands:
  quickstart [--keep]  build everything, run pipelines/quickstart, send it a month of a shop's events, show what came of it
                       (--keep: go on with the data of the last run)
  test [--full]        every test there is (--full: more seeds and more crashes, for a night)
  plugins              build the plugins and put them into plugins/dist
  templates            make a plugin of every kind in Rust, C, JavaScript and Python by the templates, build, check and test it
                       (needs clang, Node.js and Python with venv; seven minutes on two cores)
  sample               write pipelines/quickstart/events.ndjson anew; it comes out the same each time
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error}");
            error.chain().skip(1).for_each(|cause| eprintln!("  because: {cause}"));
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<()> {
    match words {
        ["quickstart"] => quickstart::all(quickstart::Data::Fresh),
        ["quickstart", "--keep"] => quickstart::all(quickstart::Data::Kept),
        ["test"] => test::all(test::Depth::Usual),
        ["test", "--full"] => test::all(test::Depth::Full),
        ["plugins"] => plugins::build().map(drop),
        ["templates"] => templates::all(templates::Which::All),
        ["sample"] => sample::write(),
        [] | ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => bail!("`{}` is no command of xtask\n\n{USAGE}", words.join(" ")),
    }
}
