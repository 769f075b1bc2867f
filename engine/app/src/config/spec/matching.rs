//! How people are told apart who share no identifier, as it is written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use weft_matching::resolve::Thresholds;
use weft_matching::{Field, Fields, Kind};

/// Which fields tell people apart, and how sure is sure enough.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, try_from = "Written")]
#[schemars(title = "Weft matching", !try_from)]
pub struct MatchingSpec {
    /// The fields that are compared, by name, each with what it holds: `city: text`. All parts of a name together are one name.
    #[schemars(length(min = 1))]
    pub compare: BTreeMap<String, ComparedSpec>,
    /// The probability from which two are one person.
    #[serde(default = "merge_at")]
    #[schemars(range(min = 0.5, max = 0.999999))]
    pub merge_at: f64,
    /// The probability from which a person is asked.
    #[serde(default = "review_at")]
    #[schemars(range(min = 0.01, max = 0.999999))]
    pub review_at: f64,
}

/// What a field holds; or that, and where it is taken from.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum ComparedSpec {
    /// What it holds.
    Kind(Kind),
    /// What it holds, and from where.
    From(FromSpec),
}

/// What a field holds, and where it is taken from.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FromSpec {
    /// What it holds.
    pub kind: Kind,
    /// The columns or traits that it is taken from; of several, the texts one after the other: `[house_number, street]`.
    pub from: Names,
}

/// One name, or several.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Names {
    /// One.
    One(String),
    /// Several.
    Several(Vec<String>),
}

/// As it stands in the file, before it is known whether it holds together.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    compare: BTreeMap<String, ComparedSpec>,
    #[serde(default = "merge_at")]
    merge_at: f64,
    #[serde(default = "review_at")]
    review_at: f64,
}

fn merge_at() -> f64 {
    Thresholds::default().merge_at
}

fn review_at() -> f64 {
    Thresholds::default().review_at
}

impl TryFrom<Written> for MatchingSpec {
    type Error = String;

    fn try_from(Written { compare, merge_at, review_at }: Written) -> Result<Self, String> {
        if review_at > merge_at {
            return Err(format!(
                "`review_at` is {review_at}, and `merge_at` is {merge_at}: what is sure enough to merge is not asked about"
            ));
        }
        let spec = MatchingSpec { compare, merge_at, review_at };
        spec.fields().map(|_| spec)
    }
}

impl MatchingSpec {
    /// The fields, in the order of their names.
    ///
    /// # Errors
    /// What is wrong with them; reading refuses it before.
    pub fn fields(&self) -> Result<Fields, String> {
        let field = |(name, spec): (&String, &ComparedSpec)| Field { name: name.clone(), kind: spec.kind() };
        Fields::new(self.compare.iter().map(field).collect())
    }

    /// For each field, in the order of [`MatchingSpec::fields`], the columns or traits that it is taken from.
    #[must_use]
    pub fn origins(&self) -> Vec<Vec<String>> {
        let origin = |(name, spec): (&String, &ComparedSpec)| match spec {
            ComparedSpec::Kind(_) => vec![name.clone()],
            ComparedSpec::From(FromSpec { from: Names::One(from), .. }) => vec![from.clone()],
            ComparedSpec::From(FromSpec { from: Names::Several(from), .. }) => from.clone(),
        };
        self.compare.iter().map(origin).collect()
    }

    /// How sure is sure enough.
    #[must_use]
    pub fn thresholds(&self) -> Thresholds {
        Thresholds { merge_at: self.merge_at, review_at: self.review_at }
    }
}

impl ComparedSpec {
    fn kind(&self) -> Kind {
        match self {
            ComparedSpec::Kind(kind) => *kind,
            ComparedSpec::From(spec) => spec.kind,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn read(text: &str) -> Result<MatchingSpec, String> {
        crate::config::alone::document_of(Path::new("fields.yaml"), text).map_err(|problems| problems.to_string())
    }

    #[test]
    fn fields_and_their_origins_are_read() {
        let spec = read("compare:\n  name: person_name\n  street: { kind: address, from: [number, street] }\nmerge_at: 0.9\n")
            .expect("is right");
        assert_eq!(spec.origins(), [vec!["name".to_owned()], vec!["number".to_owned(), "street".to_owned()]]);
        assert_eq!((spec.merge_at, spec.review_at), (0.9, 0.5));
        assert_eq!(spec.fields().expect("are right").fields()[1].kind, Kind::Address);
    }

    #[test]
    fn what_does_not_hold_together_is_refused() {
        let check = |text: &str, want: &str| {
            let said = read(text).expect_err("is wrong");
            assert!(said.contains(want), "{said}");
        };
        check("compare: { city: text }\nmerge_at: 0.6\nreview_at: 0.8\n", "what is sure enough to merge is not asked about");
        check("compare: { city: txet }\n", "txet");
        check("compare: {}\n", "compare");
        check("compare: { city: text }\nmerge_at: 2\n", "merge_at");
        check("compare: { city: text }\nmerge: 0.9\n", "merge");
    }
}
