//! Problems: what is wrong with something that a user wrote, where it stands, and how to mend it.
//!
//! A problem is data: `app` renders it for people or as JSON, and collects all of them before it gives up. It is not an
//! error of the engine, and it never carries the text of a secret. Each [`Code`] has a page in `docs/errors/`, and a test
//! that it has.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Problems that are listed at once. Whoever has more mends some first; a broken generator of YAML must not fill a terminal,
/// a log or an answer of the API.
pub const PROBLEMS_MAX: usize = 500;

/// Something that a user can mend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// What kind of problem it is: stable, for filters and for looking it up.
    pub code: Code,
    /// Whether it stops what was asked for.
    pub severity: Severity,
    /// What is wrong: lower case, no full stop.
    pub message: String,
    /// Where it is wrong, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    /// What would have been right there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// How it may be mended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Other places that belong to it, such as the first use of a name used twice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<Related>,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Nothing is done until it is mended.
    Error,
    /// It works, and probably not as meant.
    Warning,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Place {
    /// The file, as the user would name it.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// The place in the merged configuration, as a JSON pointer (RFC 6901). Empty for the whole of it.
    pub path: String,
    /// The line, or what of a long one is around the place. Secrets in it are blotted out, a tab is shown as an arrow.
    pub excerpt: String,
    /// Where in `excerpt` the place begins, in characters from 0.
    pub mark: u32,
    /// How many characters from there are meant; at least 1.
    pub width: u32,
}

/// Another place that belongs to a problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Related {
    /// What is there.
    pub message: String,
    /// Where that is.
    pub place: Place,
}

impl Problem {
    /// A problem that stops what was asked for.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Problem {
            code,
            severity: Severity::Error,
            message: message.into(),
            place: None,
            expected: None,
            hint: None,
            related: Vec::new(),
        }
    }

    /// A problem that stops nothing.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Problem { severity: Severity::Warning, ..Problem::error(code, message) }
    }

    /// The same problem, at a place.
    #[must_use]
    pub fn at(self, place: Place) -> Self {
        Problem { place: Some(place), ..self }
    }

    /// The same problem, with what would have been right.
    #[must_use]
    pub fn expected(self, expected: impl Into<String>) -> Self {
        Problem { expected: Some(expected.into()), ..self }
    }

    /// The same problem, with a way to mend it.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Problem { hint: Some(hint.into()), ..self }
    }

    /// The same problem, with another place that belongs to it.
    #[must_use]
    pub fn related(mut self, message: impl Into<String>, place: Place) -> Self {
        self.related.push(Related { message: message.into(), place });
        self
    }
}

/// One line: the place, the code and the message.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{}:{}:{}: ", place.file, place.line, place.column)?;
        }
        write!(f, "{} [{}]", self.message, self.code)
    }
}

/// All problems of one look at something, to a bound: what comes past it is counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problems {
    problems: Vec<Problem>,
    /// How many found no room.
    #[serde(default, skip_serializing_if = "is_zero")]
    more_total: u64,
    /// Whether an error found no room.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    more_errors: bool,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Problems {
    /// None so far.
    #[must_use]
    pub fn new() -> Self {
        Problems::default()
    }

    /// Adds one.
    pub fn push(&mut self, problem: Problem) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        } else {
            self.leave_out(1, problem.severity);
        }
    }

    /// Counts some that are not listed.
    pub fn leave_out(&mut self, count: u64, severity: Severity) {
        self.more_total += count;
        self.more_errors |= count > 0 && severity == Severity::Error;
    }

    /// Whether there is an error among them.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.more_errors || self.problems.iter().any(|problem| problem.severity == Severity::Error)
    }

    /// Whether there is nothing to say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// The problems, in the order of [`Problems::sort`] where that was called.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.problems.iter()
    }

    /// How many there are beyond those of [`Problems::iter`].
    #[must_use]
    pub fn more_total(&self) -> u64 {
        self.more_total
    }

    /// Sorts by file, line and column, what has no place first; what is said twice of the same place is said once.
    pub fn sort(&mut self) {
        let key = |problem: &Problem| problem.place.as_ref().map(|place| (place.file.clone(), place.line, place.column));
        self.problems.sort_by_cached_key(key);
        self.problems.dedup();
    }

    /// How many errors and how many warnings are listed.
    #[must_use]
    pub fn count(&self) -> (usize, usize) {
        let errors = self.problems.iter().filter(|problem| problem.severity == Severity::Error).count();
        (errors, self.problems.len() - errors)
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        let mut problems = Problems::new();
        problems.push(problem);
        problems
    }
}

impl Extend<Problem> for Problems {
    fn extend<T: IntoIterator<Item = Problem>>(&mut self, problems: T) {
        problems.into_iter().for_each(|problem| self.push(problem));
    }
}

impl FromIterator<Problem> for Problems {
    fn from_iter<T: IntoIterator<Item = Problem>>(problems: T) -> Self {
        let mut list = Problems::new();
        list.extend(problems);
        list
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.problems.into_iter()
    }
}

impl<'a> IntoIterator for &'a Problems {
    type Item = &'a Problem;
    type IntoIter = std::slice::Iter<'a, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// One line for each problem.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, problem) in self.problems.iter().enumerate() {
            let line_break = if place == 0 { "" } else { "\n" };
            write!(f, "{line_break}{problem}")?;
        }
        if self.more_total > 0 { write!(f, "\nand {} more", self.more_total) } else { Ok(()) }
    }
}

impl std::error::Error for Problems {}

/// What kind of problem it is. The codes are a closed list, [`Code::ALL`]: a new one needs a page.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(&'static str);

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $title:literal;)*) => {
        impl Code {
            $(#[doc = $title] pub const $name: Code = Code($code);)*

            /// Every code with its title, which is also the title of its page.
            pub const ALL: &'static [(Code, &'static str)] = &[$((Code::$name, $title),)*];
        }
    };
}

codes! {
    YAML_UNREADABLE = "yaml/unreadable", "The file cannot be read";
    YAML_SYNTAX = "yaml/syntax", "The file is not YAML";
    YAML_TAB = "yaml/tab", "A tab is used for indentation";
    YAML_INDENTATION = "yaml/indentation", "The indentation does not add up";
    YAML_FOLDED_LINES = "yaml/folded-lines", "Several lines became one text";
    YAML_DUPLICATE_KEY = "yaml/duplicate-key", "A key stands twice in the same mapping";
    YAML_KEY = "yaml/key", "A key is not a plain text";
    YAML_MERGE_KEY = "yaml/merge-key", "Merge keys are not supported";
    YAML_TAG = "yaml/tag", "A tag that means nothing here";
    YAML_ALIAS = "yaml/alias", "An alias without an anchor";
    YAML_SEVERAL_DOCUMENTS = "yaml/several-documents", "A file holds more than one document";
    YAML_NUMBER = "yaml/number", "A number that cannot be kept as it is written";
    YAML_TOO_LARGE = "yaml/too-large", "The configuration is larger than allowed";
    YAML_FORMAT = "yaml/format", "A file that cannot be formatted safely";

    CONFIG_NOT_FOUND = "config/not-found", "There is no workspace at this path";
    CONFIG_FILE_IGNORED = "config/file-ignored", "A file in the workspace is not read";
    CONFIG_FOREIGN_FILE = "config/foreign-file", "A YAML file in the workspace is not Weft's";
    CONFIG_VERSION = "config/version", "The version is missing or unknown";
    CONFIG_DUPLICATE_NAME = "config/duplicate-name", "A name or a section stands in two files";
    CONFIG_NAME = "config/name", "A name that cannot be used";
    CONFIG_UNKNOWN_KEY = "config/unknown-key", "A key that nothing reads";
    CONFIG_MISSING_KEY = "config/missing-key", "A key that is needed is missing";
    CONFIG_WRONG_TYPE = "config/wrong-type", "A value of the wrong type";
    CONFIG_UNKNOWN_VALUE = "config/unknown-value", "A value that is not one of those allowed";
    CONFIG_BAD_VALUE = "config/bad-value", "A value that is not well formed";
    CONFIG_OUT_OF_RANGE = "config/out-of-range", "A value that is too large, too small, too long or too short";
    CONFIG_REFUSED = "config/refused", "A value that breaks a rule of its schema";
    CONFIG_LISTEN = "config/listen", "An address that others reach, without tokens";
    CONFIG_FOLDER = "config/folder", "A folder that may not be used";
    CONFIG_FILE = "config/file", "A file that a plugin's block names and that cannot be used";

    RELOAD_RESTART = "reload/restart", "A change that needs a restart";
    RELOAD_STAGE = "reload/stage", "A stage does not begin with its new configuration";

    RETENTION_LARGE = "retention/large", "Many profiles would be forgotten";

    PLACEHOLDER_SYNTAX = "placeholder/syntax", "A placeholder that cannot be understood";
    PLACEHOLDER_IN_KEY = "placeholder/in-key", "A placeholder stands in a key";
    PLACEHOLDER_UNSET = "placeholder/unset", "A variable of the environment is not set";

    SECRET_UNSET = "secret/unset", "A secret is not there";
    SECRET_UNREADABLE = "secret/unreadable", "A secret cannot be read";
    SECRET_EMPTY = "secret/empty", "A secret is empty";
    SECRET_MISPLACED = "secret/misplaced", "A secret stands where it would not stay secret";
    SECRET_LITERAL = "secret/literal", "A secret is written into the file";
    SECRET_CLEARTEXT = "secret/cleartext", "A secret would travel without encryption";

    CONNECTION_UNFIT = "connection/unfit", "Parts of a connection do not fit together";
    CONNECTION_FILE = "connection/file", "A certificate's file cannot be used";
    CONNECTION_KEY = "connection/key", "A private key cannot be used";

    REFERENCE_UNKNOWN = "reference/unknown", "A name that nothing has";
    REFERENCE_CYCLE = "reference/cycle", "Transforms wait for each other";
    REFERENCE_FORK = "reference/fork", "Two transforms read the same stage";
    REFERENCE_KIND = "reference/kind", "A plugin of the wrong kind";
    REFERENCE_CONFLICT = "reference/conflict", "Two sources on one path";
    REFERENCE_UNFIT = "reference/unfit", "A stage and its plugin do not fit";
    REFERENCE_NOT_ALLOWED = "reference/not-allowed", "A plugin may not use this connection";
    REFERENCE_UNUSED = "reference/unused", "Something that nothing uses";

    PLUGIN_NOT_FOUND = "plugin/not-found", "The plugin's file is not there";
    PLUGIN_NOT_FETCHED = "plugin/not-fetched", "A pinned plugin was not fetched yet";
    PLUGIN_UNPINNED = "plugin/unpinned", "A plugin is not pinned as it is used";
    PLUGIN_DIGEST = "plugin/digest", "The plugin's file is not the one that is pinned";
    PLUGIN_SIGNATURE = "plugin/signature", "The plugin is not signed by a trusted key";
    PLUGIN_UNUSABLE = "plugin/unusable", "The plugin cannot be loaded";
    PLUGIN_SCHEMA = "plugin/schema", "The plugin's own schema is broken";
    PLUGIN_CONFIG = "plugin/config", "The plugin refuses its configuration";
}

impl Code {
    /// The code, such as `config/unknown-key`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0
    }

    /// In a few words, what it means.
    #[must_use]
    pub fn title(self) -> &'static str {
        Code::ALL.iter().find(|(code, _)| *code == self).map_or("", |(_, title)| title)
    }

    /// Its page, from the root of the repository.
    #[must_use]
    pub fn page(self) -> String {
        format!("docs/errors/{}.md", self.0)
    }

    /// The code of this text, where it is one.
    #[must_use]
    pub fn find(text: &str) -> Option<Code> {
        Code::ALL.iter().map(|(code, _)| *code).find(|code| code.0 == text)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0)
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Code::find(&text).ok_or_else(|| D::Error::custom(format!("`{}` is not a code", crate::value::Excerpt(&text))))
    }
}

impl JsonSchema for Code {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Code".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let codes: Vec<&str> = Code::ALL.iter().map(|(code, _)| code.0).collect();
        json_schema!({ "type": "string", "enum": codes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_slugs_in_namespaces_and_none_stands_twice() {
        let slug = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        for (place, (code, title)) in Code::ALL.iter().enumerate() {
            let (namespace, name) = code.0.split_once('/').expect("a namespace");
            assert!(slug(namespace) && slug(name), "{code}");
            assert!(!title.is_empty() && !title.ends_with('.'), "{code}");
            assert!(Code::ALL[..place].iter().all(|(earlier, _)| earlier != code), "{code} stands twice");
        }
    }

    #[test]
    fn a_problem_is_the_same_after_a_round_trip() {
        let place = Place {
            file: "weft.yaml".into(),
            line: 3,
            column: 5,
            path: "/sources/web".into(),
            excerpt: "    a: b".into(),
            mark: 4,
            width: 1,
        };
        let problem = Problem::error(Code::CONFIG_UNKNOWN_KEY, "unknown key `a`")
            .at(place.clone())
            .hint("did you mean `b`?")
            .related("here", place);
        let json = serde_json::to_string(&problem).expect("serialises");
        assert_eq!(serde_json::from_str::<Problem>(&json).expect("reads"), problem);
        assert_eq!(problem.to_string(), "weft.yaml:3:5: unknown key `a` [config/unknown-key]");
        assert!(serde_json::from_str::<Code>("\"config/nonsense\"").is_err());
    }

    #[test]
    fn past_the_bound_problems_are_counted_and_errors_still_count() {
        let mut problems = Problems::new();
        for _ in 0..PROBLEMS_MAX {
            problems.push(Problem::warning(Code::SECRET_LITERAL, "a warning"));
        }
        assert!(!problems.has_errors());
        problems.push(Problem::error(Code::SECRET_UNSET, "an error"));
        assert!(problems.has_errors());
        assert_eq!((problems.iter().count(), problems.more_total()), (PROBLEMS_MAX, 1));
    }
}
