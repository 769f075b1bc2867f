//! A transform that writes identifiers, e-mail addresses, phone numbers, names and texts the way that makes equal ones equal.
//!
//! Identifiers are compared byte by byte: `Ann@Shop.example ` and `ann@shop.example` are two people unless somebody says
//! otherwise, once and for every source. An event in which nothing changes is kept as it is. Nothing is looked up, and no
//! event is dropped or refused: what cannot be an address or a number stays a trait and is no claim. `email.rs`, `phone.rs`
//! and `text.rs` hold the rules.
#![deny(clippy::unwrap_used)]

mod email;
mod phone;
mod region;
mod text;

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weft_plugin::{About, ConfigProblem, Example, Failure, Json, Outcome, RawValue, Record, Text, Transform, fields, log};

use crate::region::Region;

/// What is normalised. Without any of it: everything, by rules that change no meaning.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Which rules are on. Default: all.
    pub rules: Vec<Rule>,
    /// Types of identifiers, and names of traits, that are e-mail addresses.
    pub emails: Vec<String>,
    /// Types of identifiers, and names of traits, that are phone numbers.
    pub phones: Vec<String>,
    /// Names of traits that are people's names.
    pub names: Vec<String>,
    /// The ISO 3166-1 code of the country whose numbers are written without a calling code, such as `DE`. Without it, only
    /// numbers with a calling code are numbers.
    pub default_region: Option<String>,
    /// Domains at which `ann+shop@` is the identifier `ann@`, such as `gmail.com`. Traits keep the address as it is written to.
    pub drop_tags: Vec<String>,
    /// Domains at which `a.nn@` is the identifier `ann@`, such as `gmail.com`.
    pub drop_dots: Vec<String>,
    /// What becomes of names in capitals only.
    pub shouted_names: Shouted,
}

/// A rule that can be on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// E-mail addresses: trimmed, in lower case, the domain in ASCII. What is no address is no claim.
    Emails,
    /// Phone numbers: in E.164. What is no number is no claim.
    Phones,
    /// Names: composed (Unicode NFC), white space collapsed.
    Names,
    /// All strings of traits: composed (Unicode NFC) and trimmed.
    Texts,
    /// All other identifiers: white space, invisible letters and quotes around them taken away; empty ones dropped.
    Identifiers,
}

/// What becomes of `ANN DOE`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shouted {
    /// It stays.
    #[default]
    Keep,
    /// `Ann Doe`.
    Capitalize,
}

impl Default for Config {
    fn default() -> Self {
        let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Config {
            rules: vec![Rule::Emails, Rule::Phones, Rule::Names, Rule::Texts, Rule::Identifiers],
            emails: list(&["email"]),
            phones: list(&["phone"]),
            names: list(&["name", "first_name", "last_name", "firstName", "lastName"]),
            default_region: None,
            drop_tags: Vec::new(),
            drop_dots: Vec::new(),
            shouted_names: Shouted::Keep,
        }
    }
}

/// The plugin.
#[derive(Debug)]
pub struct Normalize {
    config: Config,
    email_rules: email::Rules,
    home: Option<&'static Region>,
    /// Claims of this batch that were no address, no number, or nothing at all.
    junk_claims: usize,
}

impl Transform for Normalize {
    const ABOUT: About = About {
        // Each batch begins anew (`apply_all`): an instance of its own would cost as much as a dozen events.
        reuse: true,
        docs: include_str!("../README.md"),
        examples: &[
            Example { title: "Everything, for a shop in Germany", config: include_str!("../examples/germany.json") },
            Example { title: "Identifiers only", config: include_str!("../examples/identifiers.json") },
        ],
        ..weft_plugin::about!()
    };
    type Config = Config;

    fn open(config: Config) -> Result<Self, Failure> {
        let home = config.default_region.as_deref().and_then(Region::of);
        let domains = |domains: &[String]| domains.iter().filter_map(|domain| email::ascii_domain(domain)).collect();
        let email_rules = email::Rules { drop_tags: domains(&config.drop_tags), drop_dots: domains(&config.drop_dots) };
        Ok(Normalize { config, email_rules, home, junk_claims: 0 })
    }

    fn validate(config: &Config) -> Vec<ConfigProblem> {
        let mut problems = Vec::new();
        if config.default_region.as_deref().is_some_and(|region| Region::of(region).is_none()) {
            let hint = "two capital letters, such as DE or US";
            problems.push(ConfigProblem::at("/default_region", "no such region in the telephone network").hint(hint));
        }
        for (list, domains) in [("drop_tags", &config.drop_tags), ("drop_dots", &config.drop_dots)] {
            for (place, domain) in domains.iter().enumerate() {
                if email::ascii_domain(domain).is_none() {
                    problems.push(ConfigProblem::at(format!("/{list}/{place}"), "no domain").hint("such as gmail.com"));
                }
            }
        }
        problems
    }

    fn apply(&mut self, mut record: Record<'_>) -> Outcome {
        let claims = record.get("claims").and_then(|claims| self.claims(&claims));
        let traits = record.get("traits").and_then(|traits| self.traits(&traits));
        let group_traits = record.get("group").filter(|group| group.contains("\"traits\"")).is_some().then(|| {
            let traits = record.get("group.traits")?;
            if self.on(Rule::Texts) { text::tidy_all(&traits) } else { None }
        });
        for (path, change) in [("claims", claims), ("traits", traits), ("group.traits", group_traits.flatten())] {
            if let Some(json) = change
                && let Err(error) = record.set(path, &json)
            {
                return Outcome::reject("not_json", error.to_string());
            }
        }
        record.into_outcome()
    }

    fn apply_all(&mut self, records: &[Vec<u8>]) -> Result<Vec<Outcome>, Failure> {
        self.junk_claims = 0;
        let each = |record: &Vec<u8>| Record::parse(record).map_or_else(Outcome::Reject, |record| self.apply(record));
        let outcomes = records.iter().map(each).collect();
        if self.junk_claims > 0 {
            log::info(&format!(
                "{} claims were no e-mail address, no phone number or nothing at all, and were left out",
                self.junk_claims
            ));
        }
        Ok(outcomes)
    }
}

/// An identifier as it stands in an event.
#[derive(Clone, Deserialize, Serialize)]
struct Claim<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    value: Text<'a>,
    #[serde(default, borrow, skip_serializing_if = "Option::is_none")]
    how: Option<&'a RawValue>,
}

fn is_removed(claim: &Claim<'_>) -> bool {
    claim.how.is_some_and(|how| how.get() == r#""removed""#)
}

impl Normalize {
    fn on(&self, rule: Rule) -> bool {
        self.config.rules.contains(&rule)
    }

    /// The claims as they should be; none where they are so already, or are no claims.
    fn claims(&mut self, text: &str) -> Option<Box<RawValue>> {
        let claims: Vec<Claim> = serde_json::from_str(text).ok()?;
        let mut kept: Vec<Claim> = Vec::with_capacity(claims.len());
        let mut changed = false;
        for claim in &claims {
            let Some(value) = self.identifier(&claim.kind.0, &claim.value.0) else {
                changed = true;
                continue;
            };
            changed |= value != claim.value.0;
            // Two spellings may have become one. What was observed says more than what was only said to be earlier, and what was
            // removed in one spelling and is there in another was not removed.
            match kept.iter_mut().find(|known| known.kind == claim.kind && known.value.0 == value) {
                Some(known) => {
                    changed = true;
                    known.how = if is_removed(known) { claim.how } else { known.how.filter(|_| claim.how.is_some()) };
                }
                None => kept.push(Claim { kind: claim.kind.clone(), value: Text(value), how: claim.how }),
            }
        }
        changed.then(|| serde_json::value::to_raw_value(&kept).ok()).flatten()
    }

    /// The value of an identifier as it should be; none where it should not be one.
    fn identifier<'v>(&mut self, kind: &str, value: &'v str) -> Option<Cow<'v, str>> {
        let among = |names: &[String]| names.iter().any(|name| name == kind);
        let read = if self.on(Rule::Emails) && among(&self.config.emails) {
            email::address(value).map(|address| email::identifier(&address, &self.email_rules))
        } else if self.on(Rule::Phones) && among(&self.config.phones) {
            phone::e164(value, self.home)
        } else if self.on(Rule::Identifiers) {
            let bare = Some(text::identifier(value)).filter(|value| !value.is_empty());
            self.junk_claims += usize::from(bare.is_none());
            return bare;
        } else {
            return Some(Cow::Borrowed(value));
        };
        self.junk_claims += usize::from(read.is_none());
        read.map(Cow::Owned)
    }

    /// The traits as they should be; none where they are so already.
    fn traits(&self, traits: &str) -> Option<Box<RawValue>> {
        let traits = fields(serde_json::from_str(traits).ok()?)?;
        let changes: Vec<Option<Box<RawValue>>> = traits.iter().map(|(name, value)| self.fact(name, value)).collect();
        if changes.iter().all(Option::is_none) {
            return None;
        }
        let new = traits.iter().zip(&changes).map(|((name, old), new)| (name.as_ref(), new.as_deref().unwrap_or(old)));
        RawValue::from_string(Json::object(new).text().to_owned()).ok()
    }

    /// The value of a trait as it should be; none where it is so already.
    fn fact(&self, name: &str, value: &RawValue) -> Option<Box<RawValue>> {
        let among = |names: &[String]| names.iter().any(|known| known == name);
        let string = weft_plugin::string(value);
        let read = if self.on(Rule::Emails) && among(&self.config.emails) {
            string.as_deref().and_then(email::address)
        } else if self.on(Rule::Phones) && among(&self.config.phones) {
            // A number that came as a JSON number is one all the same; only its digits are known.
            let number = value.get().starts_with(|first: char| first.is_ascii_digit()).then(|| Cow::Borrowed(value.get()));
            string.as_deref().or(number.as_deref()).and_then(|number| phone::e164(number, self.home))
        } else if self.on(Rule::Names) && among(&self.config.names) {
            string.as_deref().map(|name| text::name(name, self.config.shouted_names))
        } else {
            None
        };
        match read {
            Some(new) => (string.as_deref() != Some(new.as_str())).then(|| serde_json::value::to_raw_value(&new).ok()).flatten(),
            None if self.on(Rule::Texts) => text::tidy_all(value.get()),
            None => None,
        }
    }
}

weft_plugin::transform!(Normalize);
