//! The files of a workspace, places in them, and the report in which problems are collected.
//!
//! A finding keeps a span; excerpts are cut last, when it is known which parts of the files are secrets and must be
//! blotted out. Nothing here reads a disk.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::path::{Path, PathBuf};

use weft_domain::problem::{Place, Problem, Problems, Related, Severity};

use super::limits;

/// A place in a file: both from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
}

/// From a position to just before another, in one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The file's number in [`Sources`].
    pub file: u16,
    /// Where it begins.
    pub start: Position,
    /// Just after its end.
    pub end: Position,
}

/// A span, and the JSON pointer of what stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At {
    /// Where in the files.
    pub span: Span,
    /// Where in the merged configuration.
    pub path: String,
}

impl Span {
    /// The beginning of a file.
    #[must_use]
    pub fn top(file: u16) -> Self {
        let start = Position { line: 1, column: 1 };
        Span { file, start, end: start }
    }

    /// This span, as the place of what `path` points at.
    #[must_use]
    pub fn at(self, path: impl Into<String>) -> At {
        At { span: self, path: path.into() }
    }
}

/// The files that were read.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<File>,
}

#[derive(Clone, Debug)]
struct File {
    path: PathBuf,
    text: String,
    /// Where each line begins.
    lines: Vec<usize>,
    secrets: Vec<(Position, Position)>,
}

impl Sources {
    /// Takes a file in; its number. There are at most [`limits::FILES_MAX`].
    pub fn add(&mut self, path: PathBuf, text: String) -> u16 {
        let number = u16::try_from(self.files.len()).expect("the number of files is bounded below this");
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(place, _)| place + 1);
        let lines = std::iter::once(0).chain(breaks).collect();
        self.files.push(File { path, text, lines, secrets: Vec::new() });
        number
    }

    /// The text of a file.
    #[must_use]
    pub fn text(&self, file: u16) -> &str {
        self.files.get(usize::from(file)).map_or("", |file| &file.text)
    }

    /// A line of a file, from 1, without its break.
    #[must_use]
    pub fn line(&self, file: u16, number: u32) -> &str {
        self.files.get(usize::from(file)).map_or("", |file| file.line(number))
    }

    /// A file's path, as it was given.
    #[must_use]
    pub fn path(&self, file: u16) -> &Path {
        self.files.get(usize::from(file)).map_or(Path::new(""), |file| &file.path)
    }

    /// All files, with what is in them.
    pub fn all(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.files.iter().map(|file| (&*file.path, &*file.text))
    }

    /// The paths of all files.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.files.iter().map(|file| &*file.path)
    }

    /// From now on what stands there is shown as `[secret]`.
    pub fn hide(&mut self, span: Span) {
        if let Some(file) = self.files.get_mut(usize::from(span.file)) {
            file.secrets.push((span.start, span.end));
        }
    }

    /// The place, with the line that it is in.
    #[must_use]
    pub fn place(&self, at: &At) -> Place {
        let Position { line, column } = at.span.start;
        let file = self.files.get(usize::from(at.span.file));
        let text = file.map_or("", |file| file.line(line));
        let secrets = file.map_or(&[][..], |file| &file.secrets);
        let length = u32::try_from(text.trim_end().chars().count()).unwrap_or(u32::MAX);
        let end = if at.span.end.line == line { at.span.end.column } else { length + 1 };
        let excerpt = Excerpt::cut(text, line, column..end.max(column + 1), secrets);
        Place {
            file: self.path(at.span.file).display().to_string(),
            line,
            column,
            path: at.path.clone(),
            excerpt: excerpt.text,
            mark: excerpt.mark,
            width: excerpt.width,
        }
    }
}

impl File {
    /// A line, from 1, without its break. The mark that some editors put before the first line is no part of it.
    fn line(&self, number: u32) -> &str {
        let number = number as usize;
        let start = number.checked_sub(1).and_then(|place| self.lines.get(place)).copied().unwrap_or(self.text.len());
        let end = self.lines.get(number).copied().unwrap_or(self.text.len());
        self.text[start..end].trim_end_matches(['\n', '\r']).trim_start_matches('\u{feff}')
    }
}

struct Excerpt {
    text: String,
    mark: u32,
    width: u32,
}

impl Excerpt {
    /// The part of a line around some columns, without what is secret.
    fn cut(text: &str, line: u32, columns: std::ops::Range<u32>, secrets: &[(Position, Position)]) -> Self {
        let mut shown: Vec<char> = Vec::new();
        let (mut mark, mut end, mut hiding) = (None, None, false);
        // Of a long line only what is near can be shown. A secret that begins before is hidden all the same.
        let near = u32::try_from(2 * limits::EXCERPT_CHARS_MAX).unwrap_or(u32::MAX);
        let first = columns.start.saturating_sub(near).max(1);
        let letters = text.trim_end().chars().skip(first as usize - 1).take(4 * limits::EXCERPT_CHARS_MAX);
        for (letter, column) in letters.zip(first..) {
            if column >= columns.start {
                mark.get_or_insert(shown.len());
            }
            if column >= columns.end {
                end.get_or_insert(shown.len());
            }
            let position = Position { line, column };
            if secrets.iter().any(|(from, to)| (*from..*to).contains(&position)) {
                if !hiding {
                    shown.extend("[secret]".chars());
                }
                hiding = true;
            } else {
                hiding = false;
                shown.push(if letter == '\t' { '→' } else { letter });
            }
        }
        let mark = mark.unwrap_or(shown.len());
        let end = end.unwrap_or(shown.len()).max(mark + 1);
        let first = if end > limits::EXCERPT_CHARS_MAX { mark.saturating_sub(limits::EXCERPT_CHARS_MAX / 3) } else { 0 };
        let cut = shown.len() > first + limits::EXCERPT_CHARS_MAX;
        let mut part: String = if first > 0 { "…".into() } else { String::new() };
        part.extend(shown.iter().skip(first + usize::from(first > 0)).take(limits::EXCERPT_CHARS_MAX));
        if cut {
            part.push('…');
        }
        let small = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let room = (first + limits::EXCERPT_CHARS_MAX + 1).saturating_sub(mark).max(1);
        Excerpt { text: part, mark: small(mark - first), width: small((end - mark).min(room)) }
    }
}

/// Problems as they are found, their places still spans.
#[derive(Debug, Default)]
pub struct Report {
    findings: Vec<Finding>,
    /// How many found no room, and how many of them are errors.
    more: (u64, u64),
    /// The pointers of all errors, also of those that found no room: what is wrong is not looked at again.
    wrong: BTreeSet<String>,
}

#[derive(Debug)]
struct Finding {
    problem: Problem,
    at: Option<At>,
    related: Vec<(String, At)>,
}

impl Report {
    /// Adds a problem at a place.
    pub fn add(&mut self, at: At, problem: Problem) {
        self.keep(Finding { problem, at: Some(at), related: Vec::new() });
    }

    /// Adds a problem that has no place in a file.
    pub fn add_nowhere(&mut self, problem: Problem) {
        self.keep(Finding { problem, at: None, related: Vec::new() });
    }

    /// Adds a problem at a place that another place has to do with.
    pub fn add_with(&mut self, at: At, problem: Problem, message: impl Into<String>, other: At) {
        self.keep(Finding { problem, at: Some(at), related: vec![(message.into(), other)] });
    }

    /// Adds all that another report has.
    pub fn extend(&mut self, other: Report) {
        self.wrong.extend(other.wrong);
        other.findings.into_iter().for_each(|finding| self.keep(finding));
        self.more = (self.more.0 + other.more.0, self.more.1 + other.more.1);
    }

    fn keep(&mut self, finding: Finding) {
        if let (Severity::Error, Some(at)) = (finding.problem.severity, &finding.at) {
            self.wrong.insert(at.path.clone());
        }
        if self.findings.len() < limits::FINDINGS_MAX {
            return self.findings.push(finding);
        }
        self.more.0 += 1;
        self.more.1 += u64::from(finding.problem.severity == Severity::Error);
    }

    /// Whether something is wrong with what this pointer names, or with a part of it.
    #[must_use]
    pub fn has_errors_under(&self, path: &str) -> bool {
        let inside = format!("{path}/");
        let next = self.wrong.range::<str, _>((Bound::Included(&*inside), Bound::Unbounded)).next();
        self.wrong.contains(path) || next.is_some_and(|next| next.starts_with(&inside))
    }

    /// Whether something is wrong with this pointer's own place, or with the mapping or list that it is in, the whole of the
    /// configuration left aside.
    #[must_use]
    pub fn has_errors_above(&self, path: &str) -> bool {
        let ends = path.match_indices('/').map(|(end, _)| end).chain([path.len()]);
        ends.filter(|end| *end > 0).any(|end| self.wrong.contains(&path[..end]))
    }

    /// Whether anything is wrong.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.more.1 > 0 || self.errors().next().is_some()
    }

    fn errors(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.problem.severity == Severity::Error)
    }

    /// The problems with their places, sorted.
    #[must_use]
    pub fn finish(self, sources: &Sources) -> Problems {
        let placed = self.findings.into_iter().map(|finding| {
            let related =
                finding.related.iter().map(|(message, at)| Related { message: message.clone(), place: sources.place(at) });
            let place = finding.at.as_ref().map(|at| sources.place(at));
            Problem { place, related: related.collect(), ..finding.problem }
        });
        // Sorted before the bound cuts: what is listed is what stands first, not what was found first.
        let mut placed: Vec<Problem> = placed.collect();
        placed.sort_by_cached_key(|problem| problem.place.as_ref().map(|place| (place.file.clone(), place.line, place.column)));
        placed.dedup();
        let mut problems: Problems = placed.into_iter().collect();
        problems.leave_out(self.more.0 - self.more.1, Severity::Warning);
        problems.leave_out(self.more.1, Severity::Error);
        problems
    }
}

/// A JSON pointer (RFC 6901) and one step more.
#[must_use]
pub fn join(path: &str, step: &str) -> String {
    format!("{path}/{}", step.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, columns: std::ops::Range<u32>, secret: Option<std::ops::Range<u32>>, want: (&str, u32, u32)) {
        let mut sources = Sources::default();
        let file = sources.add("weft.yaml".into(), format!("first\n{line}\nlast"));
        let span = |range: std::ops::Range<u32>| {
            let position = |column| Position { line: 2, column };
            Span { file, start: position(range.start), end: position(range.end) }
        };
        if let Some(secret) = secret {
            sources.hide(span(secret));
        }
        let place = sources.place(&span(columns).at(""));
        assert_eq!((&*place.excerpt, place.mark, place.width), want);
    }

    #[test]
    fn an_excerpt_marks_what_is_meant() {
        check("a: bc", 4..6, None, ("a: bc", 3, 2));
        check("\ta: bc  ", 1..2, None, ("→a: bc", 0, 1));
        check("ä: bc", 9..9, None, ("ä: bc", 5, 1));
    }

    #[test]
    fn an_excerpt_never_shows_a_secret() {
        check("{ key: abc, x: 1 }", 13..14, Some(8..11), ("{ key: [secret], x: 1 }", 17, 1));
        check("{ key: abc }", 8..11, Some(8..11), ("{ key: [secret] }", 7, 8));
    }

    #[test]
    fn an_excerpt_of_a_long_line_is_a_part_of_it() {
        let line = format!("{}x{}", "a".repeat(1000), "b".repeat(1000));
        let mut sources = Sources::default();
        let file = sources.add("weft.yaml".into(), line);
        let position = |column| Position { line: 1, column };
        let place = sources.place(&Span { file, start: position(1001), end: position(1002) }.at(""));
        assert_eq!(place.excerpt.chars().nth(place.mark as usize), Some('x'));
        assert!(place.excerpt.chars().count() <= limits::EXCERPT_CHARS_MAX + 2);
    }

    #[test]
    fn an_error_is_under_its_own_names_only() {
        let mut report = Report::default();
        report.add(Span::top(0).at("/sources/web/http"), Problem::error(weft_domain::problem::Code::CONFIG_NAME, "x"));
        assert!(report.has_errors_under("/sources/web"));
        assert!(!report.has_errors_under("/sources/we"));
        assert!(report.has_errors_above("/sources/web/http/path"));
        assert!(!report.has_errors_above("/sources/web"));
    }
}
