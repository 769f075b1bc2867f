//! What is wrong with a condition: in words, with what was probably meant, and where in its text.

use std::fmt;

/// Something that is wrong with a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// What is wrong, in lower case, without a full stop and without the place.
    pub what: String,
    /// What was probably meant, or what to write instead.
    pub hint: Option<String>,
    /// Where in the text; none where it is about all of it.
    pub place: Option<Place>,
}

/// A place in the text of a condition. Lines and columns count from 1, columns in letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line; none where the condition has one line only.
    pub line: Option<usize>,
    /// The column in the line.
    pub column: usize,
}

impl Mistake {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Mistake { what: what.into(), hint: None, place: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn at(mut self, place: Option<Place>) -> Self {
        self.place = place;
        self
    }

    /// What is wrong and where, for those who show the hint by itself.
    #[must_use]
    pub fn message(&self) -> String {
        match self.place {
            Some(place) => format!("{}, at {place} of the condition", self.what),
            None => self.what.clone(),
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())?;
        self.hint.iter().try_for_each(|hint| write!(f, ": {hint}"))
    }
}

impl std::error::Error for Mistake {}

impl Place {
    /// The place of the byte at an offset.
    pub(crate) fn of(text: &str, offset: usize) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Place { line: text.contains('\n').then(|| before.matches('\n').count() + 1), column }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.line.iter().try_for_each(|line| write!(f, "line {line}, "))?;
        write!(f, "column {}", self.column)
    }
}
