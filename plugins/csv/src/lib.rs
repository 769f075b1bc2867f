//! A source of rows: CSV files in whatever dialect, and which columns make the event.
//!
//! It keeps nothing: what is left of a row that a chunk does not end is in the state that it hands back. `text.rs` makes UTF-8
//! of bytes, `dialect.rs` finds where rows and fields end, `table.rs` goes through a file, `row.rs` makes events, `cast.rs` values. The
//! configuration, option by option, is in README.md.
#![deny(clippy::unwrap_used)]

mod cast;
mod config;
mod dialect;
mod row;
mod table;
mod text;

use weft_plugin::{About, ConfigProblem, Example, Failure, Reads, Source};

pub use crate::config::Config;
use crate::row::Mapping;

/// The plugin.
#[derive(Debug)]
pub struct Csv {
    config: Config,
    mapping: Mapping,
}

impl Source for Csv {
    const ABOUT: About = About {
        reads: &[Reads::Decode],
        docs: include_str!("../README.md"),
        examples: &[
            Example { title: "A mailing list", config: include_str!("../examples/mailing-list.json") },
            Example { title: "Orders from a German spreadsheet", config: include_str!("../examples/orders.json") },
            Example { title: "Costs of advertisements, without a header", config: include_str!("../examples/costs.json") },
        ],
        ..weft_plugin::about!()
    };
    type Config = Config;

    fn open(config: Config) -> Result<Self, Failure> {
        let first = |problems: Vec<ConfigProblem>| {
            Failure::config(problems.into_iter().next().map_or_else(String::new, |problem| problem.message))
        };
        let mapping = Mapping::read(&config).map_err(first)?;
        Ok(Csv { config, mapping })
    }

    fn validate(config: &Config) -> Vec<ConfigProblem> {
        let mut problems = config.problems();
        problems.extend(Mapping::read(config).err().unwrap_or_default());
        problems
    }

    fn decode(&mut self, chunk: Vec<u8>, last: bool, state: Option<String>) -> Result<Option<String>, Failure> {
        table::decode(self, &chunk, last, state.as_deref())
    }
}

weft_plugin::source!(Csv);
