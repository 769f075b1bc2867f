//! A source of records that any HTTP API has: declared in YAML, polled page by page, from where the last poll stopped.
//!
//! It keeps nothing but its state: which page is next, and the newest that it saw. `request.rs` makes requests, `paging.rs` finds the next
//! page, `since.rs` what is new, `walk.rs` goes through them; the SDK's `mapping` makes the events. Credentials, rates and retries are the
//! connection's and the engine's.
#![deny(clippy::unwrap_used)]

mod config;
mod paging;
mod request;
mod since;
mod walk;

use weft_plugin::mapping::{Headers, Mapping};
use weft_plugin::place::Place;
use weft_plugin::{About, Capability, ConfigProblem, Example, Failure, RawValue, Reads, Source, http};

pub use crate::config::Config;
use crate::config::Records;
use crate::paging::Pages;
use crate::request::Maker;
use crate::since::Since;

/// The plugin.
#[derive(Debug)]
pub struct Rest {
    maker: Maker,
    records: Place,
    /// Whether an answer may do without them.
    records_optional: bool,
    pages: Pages,
    pages_max: u32,
    since: Option<Since>,
    mapping: Mapping,
}

impl Source for Rest {
    const ABOUT: About = About {
        reads: &[Reads::Poll],
        capabilities: &[Capability::Http],
        docs: include_str!("../README.md"),
        examples: &[
            Example { title: "Invoices of Stripe", config: include_str!("../examples/stripe.json") },
            Example { title: "Contacts of HubSpot", config: include_str!("../examples/hubspot.json") },
            Example { title: "Contacts of Salesforce", config: include_str!("../examples/salesforce.json") },
            Example { title: "Customers of Shopify", config: include_str!("../examples/shopify.json") },
            Example { title: "Issues of GitHub", config: include_str!("../examples/github.json") },
            Example { title: "Pages with numbers", config: include_str!("../examples/pages.json") },
        ],
        ..weft_plugin::about!()
    };
    type Config = Config;

    fn open(config: Config) -> Result<Self, Failure> {
        let first =
            |problems: Vec<ConfigProblem>| problems.into_iter().next().map_or_else(String::new, |problem| problem.message);
        Rest::read(&config).map_err(|problems| Failure::config(first(problems)))
    }

    fn validate(config: &Config) -> Vec<ConfigProblem> {
        Rest::read(config).err().unwrap_or_default()
    }

    fn check(&mut self) -> Result<(), Failure> {
        walk::check(self)
    }

    fn poll(&mut self, state: Option<String>) -> Result<(), Failure> {
        walk::poll(self, state.as_deref())
    }
}

impl Rest {
    /// Reads a configuration.
    fn read(config: &Config) -> Result<Self, Vec<ConfigProblem>> {
        let mut problems = Vec::new();
        let pages = noted(Pages::read(config.paging.as_ref()), &mut problems);
        let since = config.incremental.as_ref().map(Since::read).and_then(|since| noted(since, &mut problems));
        let paging_words = pages.as_ref().map(Pages::words).unwrap_or_default();
        let mut words = paging_words.to_vec();
        words.extend(config.incremental.as_ref().map(|_| "since"));
        let maker = noted(Maker::read(&config.request, &words), &mut problems);
        if let Some(maker) = &maker {
            // Without it, every page would be the first one.
            let unsaid = paging_words.iter().find(|word| **word != "size" && !maker.says(word));
            problems.extend(unsaid.map(|word| {
                let problem =
                    ConfigProblem::at("/paging", format!("the request does not say which page: `{{{{ {word} }}}}` is nowhere"));
                problem.hint(format!("such as `query: {{ {word}: \"{{{{ {word} }}}}\" }}`"))
            }));
            if config.incremental.is_some() && !maker.says("since") {
                let hint = "such as `query: { updated_since: \"{{ since }}\" }`";
                problems.push(ConfigProblem::at("/incremental", "the request does not say `{{ since }}`").hint(hint));
            }
        }
        let (path, records_optional) = match &config.records {
            None => (None, false),
            Some(Records::Path(path)) => (Some(path), false),
            Some(Records::Perhaps(perhaps)) => (Some(&perhaps.path), perhaps.optional),
        };
        let records = path.map_or(Some(Place::default()), |path| match path.strip_prefix('$') {
            Some("") => Some(Place::default()),
            Some(rest) => rest.strip_prefix('.').and_then(Place::parse),
            None => Place::parse(path),
        });
        if records.is_none() {
            let hint = "such as data.items; left out where the answer is the list";
            problems.push(ConfigProblem::at("/records", "this is no path").hint(hint));
        }
        if config.pages_max == 0 {
            problems.push(ConfigProblem::at("/pages_max", "no page would ever be read"));
        }
        let mapping = noted(Mapping::read(&config.mapping, Headers::None), &mut problems);
        match (maker, records, pages, mapping) {
            (Some(maker), Some(records), Some(pages), Some(mapping)) if problems.is_empty() => {
                Ok(Rest { maker, records, records_optional, pages, pages_max: config.pages_max, since, mapping })
            }
            _ => Err(problems),
        }
    }

    /// The records of an answer.
    fn records<'a>(&self, payload: &'a RawValue, answer: &http::Response) -> Result<Vec<&'a RawValue>, Failure> {
        let found = self.records.find(payload).filter(|list| list.get() != "null");
        match found.map(|list| serde_json::from_str(list.get())) {
            Some(Ok(records)) => Ok(records),
            None if self.records_optional => Ok(Vec::new()),
            _ => Err(Failure::config(format!("there is no list where `records` says: {}", answer.excerpt()))),
        }
    }
}

/// What was read; or none, and what is wrong with it noted.
fn noted<T>(read: Result<T, Vec<ConfigProblem>>, problems: &mut Vec<ConfigProblem>) -> Option<T> {
    read.map_err(|wrong| problems.extend(wrong)).ok()
}

weft_plugin::source!(Rest);
