//! Problems as people read them, and as JSON.
//!
//! ```text
//! error[config/unknown-key]: unknown key `pulgin` in `sources.web`
//!   --> weft.yaml:5:5
//!    |
//!  5 |     pulgin: segment
//!    |     ^^^^^^
//!    = expected: one of `plugin`, `http`
//!    = hint: did you mean `plugin`?
//! ```
//!
//! What failed comes first, in lower case and without a full stop; what to do about it has a line of its own. Nothing here
//! decides where it is written to.

use std::fmt::Write as _;

use weft_domain::problem::{Place, Problem, Problems, Severity};

/// Whether the reader can see colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Text alone: files, pipes, snapshots.
    Plain,
    /// With the colours of a terminal.
    Coloured,
}

impl Style {
    /// Colours for a terminal, unless `NO_COLOR` says otherwise (no-color.org).
    #[must_use]
    pub fn of(output: &impl std::io::IsTerminal) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if output.is_terminal() && !refused { Style::Coloured } else { Style::Plain }
    }

    /// A text in a colour of ECMA-48, such as `1;32`.
    #[must_use]
    pub fn paint(self, colour: &'static str, text: &str) -> String {
        match self {
            Style::Plain => text.to_owned(),
            Style::Coloured => format!("\x1b[{colour}m{text}\x1b[0m"),
        }
    }
}

const RED: &str = "1;31";
const YELLOW: &str = "1;33";
const BLUE: &str = "1;34";
const GREEN: &str = "1;32";

/// All problems for people, and a last line that counts them. Empty where there is none.
#[must_use]
pub fn text(problems: &Problems, style: Style) -> String {
    let mut out = String::new();
    for problem in problems {
        out.push_str(&one(problem, style));
        out.push('\n');
    }
    if problems.more_total() > 0 {
        put(&mut out, format_args!("and {} more, which are not shown\n\n", problems.more_total()));
    }
    if !problems.is_empty() {
        out.push_str(&tally(problems));
        out.push('\n');
    }
    out
}

/// All problems as JSON: the document of `--json`.
#[must_use]
pub fn json(problems: &Problems) -> String {
    serde_json::to_string_pretty(problems).expect("problems have string keys only")
}

/// One problem for people; the last line ends with a line break.
#[must_use]
pub fn one(problem: &Problem, style: Style) -> String {
    let (word, colour) = match problem.severity {
        Severity::Error => ("error", RED),
        Severity::Warning => ("warning", YELLOW),
    };
    let mut out = String::new();
    put(&mut out, format_args!("{}: {}\n", style.paint(colour, &format!("{word}[{}]", problem.code)), problem.message));
    let places = problem.place.iter().chain(problem.related.iter().map(|related| &related.place));
    let gutter = places.map(|place| place.line.to_string().len()).max().unwrap_or(1);
    if let Some(place) = &problem.place {
        excerpt(&mut out, place, gutter, style, colour);
    }
    let mut note = |name: &str, colour: &'static str, text: &str| {
        put(&mut out, format_args!("{:gutter$} {} {}: {text}\n", "", style.paint(BLUE, "="), style.paint(colour, name)));
    };
    if let Some(expected) = &problem.expected {
        note("expected", BLUE, expected);
    }
    if let Some(hint) = &problem.hint {
        note("hint", GREEN, hint);
    }
    for related in &problem.related {
        put(&mut out, format_args!("{:gutter$} {} {}\n", "", style.paint(BLUE, "="), related.message));
        excerpt(&mut out, &related.place, gutter, style, BLUE);
    }
    out
}

/// The place, the line, and a caret for each character that is meant.
fn excerpt(out: &mut String, place: &Place, gutter: usize, style: Style, colour: &'static str) {
    let bar = style.paint(BLUE, "|");
    let arrow = style.paint(BLUE, "-->");
    put(out, format_args!("{:gutter$}{arrow} {}:{}:{}\n", "", place.file, place.line, place.column));
    if place.excerpt.trim().is_empty() {
        return;
    }
    let number = style.paint(BLUE, &format!("{:>gutter$}", place.line));
    let carets = style.paint(colour, &"^".repeat(place.width as usize));
    put(out, format_args!("{:gutter$} {bar}\n", ""));
    put(out, format_args!("{number} {bar} {}\n", place.excerpt));
    put(out, format_args!("{:gutter$} {bar} {:mark$}{carets}\n", "", "", mark = place.mark as usize));
}

/// How many there are, as a sentence.
#[must_use]
pub fn tally(problems: &Problems) -> String {
    let counted = |count: usize, noun: &str| if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") };
    match problems.count() {
        (errors, 0) => counted(errors, "error"),
        (0, warnings) => counted(warnings, "warning"),
        (errors, warnings) => format!("{}, {}", counted(errors, "error"), counted(warnings, "warning")),
    }
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a string takes everything");
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_domain::problem::Code;

    fn place(line: u32, column: u32, excerpt: &str, width: u32) -> Place {
        Place { file: "weft.yaml".into(), line, column, path: String::new(), excerpt: excerpt.into(), mark: column - 1, width }
    }

    #[test]
    fn a_problem_is_shown_with_its_line_and_what_to_do() {
        let problem = Problem::error(Code::CONFIG_DUPLICATE_NAME, "the name `web` is used a second time")
            .at(place(12, 3, "  web: {}", 3))
            .expected("a name of its own")
            .hint("rename one")
            .related("it stands here first", place(4, 3, "  web:", 3));
        let want = "\
error[config/duplicate-name]: the name `web` is used a second time
  --> weft.yaml:12:3
   |
12 |   web: {}
   |   ^^^
   = expected: a name of its own
   = hint: rename one
   = it stands here first
  --> weft.yaml:4:3
   |
 4 |   web:
   |   ^^^
";
        assert_eq!(one(&problem, Style::Plain), want);
    }

    #[test]
    fn colours_change_nothing_but_the_colour() {
        let problem = Problem::warning(Code::SECRET_LITERAL, "the secret is written into the file")
            .at(place(1, 1, "a: [secret]", 1))
            .hint("x");
        let coloured = one(&problem, Style::Coloured);
        let mut plain = String::new();
        for (place, part) in coloured.split('\x1b').enumerate() {
            plain.push_str(if place == 0 { part } else { part.split_once('m').expect("an escape ends with m").1 });
        }
        assert_ne!(coloured, plain);
        assert_eq!(plain, one(&problem, Style::Plain));
    }

    #[test]
    fn problems_are_counted() {
        let check = |errors: usize, warnings: usize, want: &str| {
            let error = (0..errors).map(|number| Problem::error(Code::YAML_SYNTAX, number.to_string()));
            let warning = (0..warnings).map(|number| Problem::warning(Code::YAML_SYNTAX, number.to_string()));
            assert_eq!(tally(&error.chain(warning).collect()), want);
        };
        check(1, 0, "1 error");
        check(2, 1, "2 errors, 1 warning");
        check(0, 3, "3 warnings");
    }
}
