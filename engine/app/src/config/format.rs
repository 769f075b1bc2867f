//! Formatting YAML: one way to write what a file says.
//!
//! Comments, the order of keys, blank lines between them and the meaning stay; indentation, quotes and the layout of brackets become those of
//! every other file. The work is done by `pretty_yaml`, and is not believed: what it gives is read by our own parser, and must be the same tree, with the
//! same comments in the same order. What is not proven so is a problem, and the text stays as it was. Nothing here writes.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use pretty_yaml::config::{FormatOptions, LanguageOptions, LayoutOptions};
use weft_domain::problem::{Code, Problem, Problems};

use super::inline;
use super::kept::Kept;
use super::limits;
use super::source::{Position, Report, Sources, Span, join};
use super::tree::{self, Budget, Node, Value};
use super::workspace;

/// Columns that a line in brackets may have before it is broken, as in the code: an event of a scenario mostly fits.
const WIDTH: usize = 130;

/// A file, as it is and as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its path, as it was given or found.
    pub path: PathBuf,
    /// What it holds.
    pub before: String,
    /// What it should hold: the same, where it is formatted.
    pub after: String,
}

impl Document {
    /// Whether it is not formatted.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        self.before != self.after
    }
}

/// Formats files by themselves, and of a folder all the YAML of the workspace there: its sections, and what its blocks name with `file:`.
/// What comes beside it are warnings.
///
/// # Errors
/// What is wrong with any of them.
pub fn files(paths: &[PathBuf]) -> Result<(Vec<Document>, Problems), Problems> {
    let mut formatting = Formatting::default();
    for path in paths {
        if path.is_dir() {
            formatting.workspace(path);
        } else {
            formatting.file(path);
        }
    }
    let failed = formatting.report.has_errors();
    let problems = formatting.report.finish(&formatting.sources);
    if failed { Err(problems) } else { Ok((formatting.documents, problems)) }
}

/// Formats a text. `name` is what it is called in problems.
///
/// # Errors
/// What is wrong with it.
pub fn text(name: &Path, text: String) -> Result<Document, Problems> {
    let mut formatting = Formatting::default();
    formatting.text(name.to_owned(), text);
    let problems = formatting.report.finish(&formatting.sources);
    formatting.documents.pop().ok_or(problems)
}

#[derive(Default)]
struct Formatting {
    /// The files that were named, wherever links lead.
    seen: BTreeSet<PathBuf>,
    sources: Sources,
    report: Report,
    documents: Vec<Document>,
}

impl Formatting {
    fn workspace(&mut self, folder: &Path) {
        if Kept::read(folder).is_some() {
            let message = format!("`{}` is a generation that an engine keeps", folder.display());
            self.report.add_nowhere(Problem::error(Code::YAML_FORMAT, message).hint("format the workspace itself"));
            return;
        }
        for path in workspace::files_of(folder, &mut self.report).unwrap_or_default() {
            let Some(tree) = self.file(&path) else { continue };
            let file = tree.span.file;
            let is_main = path.file_name().is_some_and(|name| name == workspace::MAIN_FILE);
            if !is_main && let Some(problem) = workspace::foreign(file, tree.entries(), &self.sources) {
                self.report.add(Span::top(file).at(""), problem);
            }
            let stages = ["sources", "transforms", "destinations"].into_iter().filter_map(|section| tree.get(section));
            let blocks = stages.flat_map(Node::entries).filter_map(|stage| stage.node.get("config"));
            // What lies elsewhere is somebody else's as well. What is missing is not a matter of form.
            let named = blocks.flat_map(inline::names).filter(|name| is_yaml_within(Path::new(name)));
            for path in named.map(|name| folder.join(name)).filter(|path| path.is_file()) {
                self.file(&path);
            }
        }
    }

    /// Formats a file, once however often it is named; the tree of what it holds.
    fn file(&mut self, path: &Path) -> Option<Node> {
        if !self.seen.insert(path.canonicalize().unwrap_or_else(|_| path.to_owned())) {
            return None;
        }
        if self.seen.len() > limits::FORMAT_FILES_MAX {
            if self.seen.len() == limits::FORMAT_FILES_MAX + 1 {
                let message = format!("more than {} files are to be formatted at once", limits::FORMAT_FILES_MAX);
                self.report.add_nowhere(Problem::error(Code::YAML_TOO_LARGE, message).hint("name fewer at a time"));
            }
            return None;
        }
        let text = workspace::read_text(path, &mut self.report)?;
        self.text(path.to_owned(), text)
    }

    fn text(&mut self, path: PathBuf, text: String) -> Option<Node> {
        let file = self.sources.add(path.clone(), text);
        let before = self.sources.text(file);
        let mut own = Report::default();
        let tree = tree::parse(file, before, &mut Budget::default(), &mut own);
        let is_wrong = own.has_errors();
        self.report.extend(own);
        let tree = tree.filter(|_| !is_wrong)?;
        match formatted(before, &tree) {
            Ok(after) => self.documents.push(Document { path, before: before.to_owned(), after }),
            Err(Unproven { at, why }) => {
                let problem =
                    Problem::error(Code::YAML_FORMAT, why).hint("the file stays as it is; write this part in another way");
                self.report.add(Span { file, start: at, end: at }.at(""), problem);
            }
        }
        Some(tree)
    }
}

/// Whether a name is that of a YAML file in or below the folder that it begins from.
fn is_yaml_within(name: &Path) -> bool {
    let is_yaml = name.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    is_yaml && name.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// Why a text stays as it is, and where.
#[derive(Debug, PartialEq, Eq)]
struct Unproven {
    at: Position,
    why: String,
}

const TOP: Position = Position { line: 1, column: 1 };

/// A text as it should be written. Line breaks stay those of its first line, and so does the mark that some editors put before it.
fn formatted(before: &str, tree: &Node) -> Result<String, Unproven> {
    let (mark, text) = before.strip_prefix('\u{feff}').map_or(("", before), |text| ("\u{feff}", text));
    if text.trim().is_empty() {
        return Ok(before.to_owned());
    }
    let is_windows = text.find('\n').is_some_and(|end| text[..end].ends_with('\r'));
    let after = settled(text.replace("\r\n", "\n"))?;
    let after = format!("{mark}{}", if is_windows { after.replace('\n', "\r\n") } else { after });
    prove(before, tree, &after)?;
    Ok(after)
}

/// Formats a text until it stays as it is.
fn settled(mut text: String) -> Result<String, Unproven> {
    for _ in 0..limits::FORMAT_ROUNDS_MAX {
        within_columns(&text)?;
        let written = pretty_yaml::format_text(&text, &options()).map_err(|error| Unproven {
            at: position(&text, error.offset()),
            why: "this is YAML that the formatter does not know".into(),
        })?;
        let written = comments_of_the_empty(&text, written);
        if written == text {
            return Ok(text);
        }
        text = written;
    }
    Err(Unproven { at: TOP, why: "formatting it does not come to an end".into() })
}

fn options() -> FormatOptions {
    FormatOptions {
        layout: LayoutOptions { print_width: WIDTH, ..LayoutOptions::default() },
        language: LanguageOptions {
            // What is JSON stays JSON.
            trailing_comma: false,
            // No comment has a line break: what would leave an entry as it is works for some places only, and is not offered.
            ignore_comment_directive: "\n".into(),
            ..LanguageOptions::default()
        },
    }
}

/// Checks that no line begins too far to the right. In a text of several lines it could, and is not worth telling apart.
fn within_columns(text: &str) -> Result<(), Unproven> {
    for (line, number) in text.lines().zip(1u32..) {
        let mut rest = line.trim_start();
        while let Some(within) = rest.strip_prefix("- ").or_else(|| rest.strip_prefix("? ")) {
            rest = within.trim_start();
        }
        let columns = line.len() - rest.len();
        if columns > limits::FORMAT_COLUMNS_MAX && !rest.is_empty() {
            let column = u32::try_from(columns).unwrap_or(u32::MAX).saturating_add(1);
            let why = format!("this begins more than {} columns in", limits::FORMAT_COLUMNS_MAX);
            return Err(Unproven { at: Position { line: number, column }, why });
        }
    }
    Ok(())
}

/// Puts comments below a key without a value back under it. The formatter counts them to what follows, and an entry that was commented out
/// would come back in another place.
fn comments_of_the_empty(before: &str, after: String) -> String {
    let empty = |text: &str| {
        let tree = tree::parse(0, text, &mut Budget::default(), &mut Report::default());
        let mut keys = Vec::new();
        tree.inspect(|tree| empty_keys(tree, &mut keys));
        keys
    };
    let (old_keys, new_keys) = (empty(before), empty(&after));
    if old_keys.is_empty() || old_keys.len() != new_keys.len() {
        return after;
    }
    let old: Vec<&str> = before.lines().collect();
    let mut new: Vec<String> = after.lines().map(str::to_owned).collect();
    for (old_key, new_key) in old_keys.into_iter().zip(new_keys) {
        let below = |line: &&&str| line.trim().is_empty() || line.trim_start().starts_with('#');
        let comments = old.iter().skip(old_key.line as usize).take_while(below).filter(|line| !line.trim().is_empty());
        let deeper = comments.take_while(|line| line.len() - line.trim_start().len() >= old_key.column as usize).count();
        let indent = " ".repeat(new_key.column as usize + 1);
        let lines = new.iter_mut().skip(new_key.line as usize).filter(|line| !line.trim().is_empty());
        for line in lines.take_while(|line| line.trim_start().starts_with('#')).take(deeper) {
            *line = format!("{indent}{}", line.trim_start());
        }
    }
    new.iter().map(|line| format!("{line}\n")).collect()
}

/// Where the keys stand that have no value, in the order of the file.
fn empty_keys(node: &Node, keys: &mut Vec<Position>) {
    for entry in node.entries() {
        if entry.node.value == Value::Null {
            keys.push(entry.span.start);
        }
        empty_keys(&entry.node, keys);
    }
    node.items().iter().for_each(|item| empty_keys(item, keys));
}

/// Checks that a text says what another says: the same values in the same order, and the same comments.
fn prove(before: &str, tree: &Node, after: &str) -> Result<(), Unproven> {
    let refuse = |at: Position, why: String| Err(Unproven { at, why });
    let mut report = Report::default();
    let read = tree::parse(0, after, &mut Budget::default(), &mut report).filter(|_| !report.has_errors());
    let Some(read) = read else { return refuse(TOP, "formatted, it could not be read any more".into()) };
    if let Some((at, path)) = difference(tree, &read, "") {
        let what = if path.is_empty() { "it".into() } else { format!("`{path}`") };
        return refuse(at, format!("formatted, {what} would not mean the same"));
    }
    if comments(before) != comments(after) {
        return refuse(TOP, "formatted, it would not have the same comments".into());
    }
    Ok(())
}

/// The first value that is another in a second tree: its place in the first, and its JSON pointer.
fn difference(one: &Node, other: &Node, path: &str) -> Option<(Position, String)> {
    match (&one.value, &other.value) {
        (Value::List(items), Value::List(others)) if items.len() == others.len() => {
            let mut pairs = items.iter().zip(others).enumerate();
            pairs.find_map(|(place, (one, other))| difference(one, other, &join(path, &place.to_string())))
        }
        (Value::Map(entries), Value::Map(others)) if entries.len() == others.len() => {
            entries.iter().zip(others).find_map(|(one, other)| {
                let path = join(path, &one.key);
                if one.key == other.key { difference(&one.node, &other.node, &path) } else { Some((one.span.start, path)) }
            })
        }
        (Value::List(_) | Value::Map(_), _) | (_, Value::List(_) | Value::Map(_)) => Some((one.span.start, path.to_owned())),
        (one_value, other_value) => (one_value != other_value).then(|| (one.span.start, path.to_owned())),
    }
}

/// The comments of a text, in their order; none where it cannot be read.
fn comments(text: &str) -> Option<Vec<String>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    let tree = yaml_parser::parse(&text).ok()?;
    let tokens = tree.descendants_with_tokens().filter_map(|element| element.into_token());
    let comments = tokens.filter(|token| token.kind() == yaml_parser::SyntaxKind::COMMENT);
    Some(comments.map(|comment| comment.text().trim_end().to_owned()).collect())
}

/// The position of a byte.
fn position(text: &str, byte: usize) -> Position {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    let small = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Position { line: small(before.matches('\n').count() + 1), column: small(line.chars().count() + 1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(before: &str) -> Result<String, Problems> {
        text(Path::new("weft.yaml"), before.to_owned()).map(|document| document.after)
    }

    #[test]
    fn what_is_written_in_many_ways_becomes_one() {
        let check = |before: &str, want: &str| {
            let after = format(before).expect("it can be formatted");
            assert_eq!(after, want);
            assert_eq!(format(&after).expect("it still can"), after, "the second time it is another");
        };
        check("a:   1", "a: 1\n");
        check("a:\n    - x\n    -   y # why\n", "a:\n  - x\n  - y # why\n");
        check("a:\n- x\n", "a:\n  - x\n");
        check("a: {b: 1,c: [ x,y ]}\n", "a: { b: 1, c: [x, y] }\n");
        check("a: 'x'\nb: 'say \"x\"'\nc: 19.90\n", "a: \"x\"\nb: 'say \"x\"'\nc: 19.90\n");
        check("# top\n\n\n\na: 1   # one\n  # two\nb: 2\n\n# end\n", "# top\n\na: 1 # one\n# two\nb: 2\n\n# end\n");
        check("a: |\n    x\n      y\n\n    z\nb: 1\n", "a: |\n  x\n    y\n\n  z\nb: 1\n");
        check("a: &x { b: 1 }\nc: *x\n", "a: &x { b: 1 }\nc: *x\n");
        check("{\n\t\"a\": 1,\n\t\"b\": []\n}\n", "{\n  \"a\": 1,\n  \"b\": []\n}\n");
        check("", "");
        check("# nothing yet\n", "# nothing yet\n");
    }

    #[test]
    fn line_breaks_and_a_mark_before_the_text_stay() {
        let check = |before: &str, want: &str| assert_eq!(format(before).as_deref(), Ok(want));
        check("a:   1\r\nb: |\r\n  x\r\n  y\r\n", "a: 1\r\nb: |\r\n  x\r\n  y\r\n");
        check("\u{feff}a:   1\n", "\u{feff}a: 1\n");
    }

    #[test]
    fn what_was_commented_out_stays_under_its_section() {
        let before = "plugins:\n    # segment: { path: segment.wasm }\n\n    # more\n# not in it\nsources:   # none\n  # web:\n  #   plugin: x\ntests:\n";
        let after = "plugins:\n  # segment: { path: segment.wasm }\n\n  # more\n# not in it\nsources: # none\n  # web:\n  #   plugin: x\ntests:\n";
        assert_eq!(format(before).as_deref(), Ok(after));
        assert_eq!(format(after).as_deref(), Ok(after));
        let last = "a:\n  b:\n    c:\n      # d: 1\n  e: 1\nf:\n  # g: 1\n";
        assert_eq!(format(last).as_deref(), Ok(last));
    }

    #[test]
    fn what_would_mean_something_else_is_refused() {
        let check = |before: &str, after: &str, want: Result<(), (u32, &str)>| {
            let tree = tree::parse(0, before, &mut Budget::default(), &mut Report::default()).expect("it is YAML");
            let proven = prove(before, &tree, after);
            match want {
                Ok(()) => assert_eq!(proven, Ok(())),
                Err((line, part)) => {
                    let unproven = proven.expect_err("it is not the same");
                    assert!(unproven.at.line == line && unproven.why.contains(part), "{unproven:?}");
                }
            }
        };
        check("a: 1\nb:  [x]\n", "a: 1\nb:\n  - x\n", Ok(()));
        check("a: 1\nb: 2\n", "a: 1\nb: \"2\"\n", Err((2, "`/b` would not mean the same")));
        check("a: 1\nb: 2\n", "b: 2\na: 1\n", Err((1, "`/a`")));
        check("a: 1\nb: 2\n", "a: 1\n", Err((1, "it would not mean")));
        check("a:\n  - { c: 19.90 }\n", "a:\n  - { c: 19.9 }\n", Err((2, "`/a/0/c`")));
        check("a: 1.0\n", "a: [\n", Err((1, "could not be read")));
        check("a: 1 # one\n", "a: 1\n", Err((1, "comments")));
        check("# one\n# two\na: 1\n", "# two\n# one\na: 1\n", Err((1, "comments")));
    }

    #[test]
    fn what_is_wrong_or_beyond_it_is_said_with_its_place() {
        let check = |before: &str, code: Code, line: u32| {
            let problems = format(before).expect_err("it cannot be formatted");
            let problem = problems.iter().next().expect("there is one");
            assert_eq!((problem.code, problem.place.as_ref().map(|place| place.line)), (code, Some(line)), "{problem:?}");
        };
        check("a: 1\na: 2\n", Code::YAML_DUPLICATE_KEY, 2);
        check("a: [1\n", Code::YAML_SYNTAX, 1);
        check(&format!("a: {{ b: 1,\n{}c: 2 }}\n", " ".repeat(64)), Code::YAML_FORMAT, 2);
        check(&format!("a:\n  {}b\n", "- ".repeat(32)), Code::YAML_FORMAT, 2);
    }
}
