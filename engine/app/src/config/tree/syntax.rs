//! What to say when the YAML parser refuses a file: its words, and the mistake that usually causes them.
//!
//! The parser's words are matched loosely: where a new version of it says something else, its own words are shown, and a
//! snapshot of `tests/config/invalid` changes.

use weft_domain::problem::{Code, Problem};

use super::super::source::Position;
use super::line;

/// What to say, and where.
pub(super) struct Told {
    pub problem: Problem,
    pub start: Position,
    pub end: Position,
    /// Whether the cause is a bracket or brace, which often lies lines before the parser noticed.
    pub is_about_brackets: bool,
}

/// Says what is wrong where the parser stopped with these words.
pub(super) fn explain(info: &str, text: &str, at: Position) -> Told {
    let here = line(text, at.line);
    let rest: String = here.chars().skip(at.column as usize - 1).collect();
    let word = rest.split([' ', '\t', ',', ']', '}']).next().unwrap_or_default();
    // In brackets an unquoted text ends with its entry.
    let ends: &[char] = if unclosed(text, at).is_some() { &[',', '}', ']'] } else { &[] };
    let meant = rest.split(ends).next().unwrap_or_default().trim_end();
    let told = |problem: Problem, start: Position, width: usize| {
        let end = Position { column: start.column + u32::try_from(width).unwrap_or(1), ..start };
        Told { problem, start, end, is_about_brackets: false }
    };
    let syntax = |message: &str| Problem::error(Code::YAML_SYNTAX, message);
    let is = |words: &str| info.contains(words);

    if is("tab")
        && let Some(place) = tab(text, at.line)
    {
        let problem = Problem::error(Code::YAML_TAB, "a tab stands where YAML wants spaces")
            .hint("indent with spaces, and set the editor to do so");
        return told(problem, place, 1);
    }
    let is_about_brackets = is("flow") || is("',' or") || is("illegal placement of ':'") || is("expected node content");
    if is_about_brackets && let Some(told) = brackets(text, at) {
        return told;
    }
    if is("misplaced bracket") {
        return Told { is_about_brackets: true, ..told(syntax("a bracket is closed that was not opened"), at, 1) };
    }
    if is("expected key") || is("expected '-' indicator") || is("invalid indentation") && !is("quoted") {
        let first = here.chars().take_while(|letter| *letter == ' ').count();
        let start = Position { column: u32::try_from(first + 1).unwrap_or(1), ..at };
        let hint = if is("'-'") {
            "items of a list begin with `- `, all at the same column"
        } else {
            "keys of one mapping begin at the same column"
        };
        let problem = Problem::error(Code::YAML_INDENTATION, "this line is indented unlike those that it belongs to").hint(hint);
        return told(problem, start, here.trim().chars().count());
    }
    if is("mapping values are not allowed") {
        return told(
            syntax("a colon and a space stand inside a text")
                .hint("put the text in quotes; a new key begins on a line of its own"),
            at,
            1,
        );
    }
    if is("quoted scalar") && (is("end of stream") || is("indentation")) {
        return told(syntax("this quote is not closed"), at, 1);
    }
    if is("trailing content") {
        let problem = syntax("there is more text after the closing quote")
            .hint("put all of it in quotes; a quote inside of '…' is written twice, as in 'it''s'");
        return told(problem, at, 1);
    }
    if is("escape") {
        let problem = syntax("a backslash in double quotes begins an escape, and this is none")
            .hint("put paths and regular expressions in single quotes, where a backslash is itself");
        return told(problem, at, meant.chars().count());
    }
    if is("unknown anchor") || is("anchor or alias") && rest.starts_with('*') {
        let message = if word.len() > 1 {
            format!("nothing before this is named `&{}`", &word[1..])
        } else {
            "`*` begins an alias, and no name follows".into()
        };
        let problem =
            Problem::error(Code::YAML_ALIAS, message).hint(format!("if it is meant as a text, put it in quotes: \"{word}\""));
        return told(problem, at, word.chars().count().max(1));
    }
    if is("block scalar") && rest.starts_with(['>', '|']) {
        let problem =
            syntax("`>` and `|` begin a text that stands on the lines below").hint(format!("put it in quotes: \"{meant}\""));
        return told(problem, at, meant.chars().count());
    }
    if is("unexpected character") {
        let first = rest.chars().next().unwrap_or(' ');
        let problem = syntax(&format!("a text cannot begin with `{first}`")).hint(format!("put it in quotes: \"{meant}\""));
        return told(problem, at, 1);
    }
    if is("block sequence entries") {
        return told(
            syntax("a list cannot begin on the line of its key").hint("begin it on the next line, or write [a, b]"),
            at,
            word.chars().count().max(1),
        );
    }
    if is("document start") || is("document end") {
        return told(syntax("there is more after the end of the configuration"), at, rest.trim_end().chars().count());
    }
    told(syntax(info), at, 1)
}

/// Whether a line looks as if it were a key or an item of a list.
pub(super) fn looks_like_structure(content: &str) -> bool {
    if content.starts_with("- ") || content == "-" || content.ends_with(':') || content.contains(": ") {
        return true;
    }
    let Some((name, value)) = content.split_once(':') else { return false };
    !value.starts_with("//") && !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// The first tab in the indentation of a line or of the next.
fn tab(text: &str, number: u32) -> Option<Position> {
    (number..=number + 1).find_map(|number| {
        let indentation = line(text, number).chars().take_while(|letter| letter.is_whitespace());
        let before = indentation.take_while(|letter| *letter != '\t').count();
        let found = line(text, number).chars().nth(before) == Some('\t');
        found.then(|| Position { line: number, column: u32::try_from(before + 1).unwrap_or(1) })
    })
}

/// What to say of the bracket or brace that is open at a place, where one is.
fn brackets(text: &str, at: Position) -> Option<Told> {
    let until = if at.column == 1 && at.line == 1 { Position { line: u32::MAX, column: 1 } } else { at };
    // The parser may stop at the key of the line that a comment cut short: what is open is seen from the end.
    let end = Position { line: u32::MAX, column: 1 };
    let (open, start, comment) =
        unclosed(text, until).or_else(|| unclosed(text, end).filter(|(_, _, comment)| comment.is_some()))?;
    let close = if open == '{' { '}' } else { ']' };
    let told = |problem: Problem, start: Position| Told {
        problem,
        start,
        end: Position { column: start.column + 1, ..start },
        is_about_brackets: true,
    };
    if let Some(comment) = comment {
        let problem = Problem::error(
            Code::YAML_SYNTAX,
            format!("a `#` after a space begins a comment, and the `{open}` before it is never closed"),
        )
        .hint("put a text with a `#` in quotes");
        return Some(told(problem, comment));
    }
    if start.line == until.line {
        let problem = Problem::error(Code::YAML_SYNTAX, format!("a comma or `{close}` is missing here"))
            .hint("put a text with brackets, braces or `: ` in quotes");
        return Some(told(problem, at));
    }
    Some(told(
        Problem::error(Code::YAML_SYNTAX, format!("this `{open}` is not closed"))
            .expected(format!("`{close}` before the next key")),
        start,
    ))
}

/// The innermost bracket or brace that is open at a place, and the comment that began on its line after it.
fn unclosed(text: &str, until: Position) -> Option<(char, Position, Option<Position>)> {
    let mut open: Vec<(char, Position, Option<Position>)> = Vec::new();
    for (content, number) in text.lines().zip(1u32..) {
        let (mut quote, mut before) = (None, ' ');
        for (letter, column) in content.chars().zip(1u32..) {
            let place = Position { line: number, column };
            if place >= until {
                return open.pop();
            }
            match (quote, letter) {
                (Some(begun), _) if letter == begun && (before != '\\' || begun == '\'') => quote = None,
                (Some(_), _) => (),
                (None, '"' | '\'') if !before.is_alphanumeric() => quote = Some(letter),
                (None, '#') if before == ' ' => {
                    if let Some((_, start, comment)) = open.last_mut()
                        && start.line == number
                    {
                        *comment = Some(place);
                    }
                    break;
                }
                // In a plain text outside of brackets, brackets mean nothing: they open where a value can begin.
                (None, '{' | '[') if !open.is_empty() || matches!(before, ' ' | '{' | '[') => open.push((letter, place, None)),
                (None, '}' | ']') => drop(open.pop()),
                (None, _) => (),
            }
            before = letter;
        }
    }
    open.pop()
}
