//! The table: read from its text, with the line of whatever is wrong with it.

use std::collections::BTreeMap;

use serde_json::value::to_raw_value;
use weft_plugin::{ConfigProblem, Fields, RawValue, document, string};

use crate::{Case, Config, Format};

/// Bytes of a table: what an instance holds twice over, beside a batch.
const BYTES_MAX: usize = 2 << 20;
const ROWS_MAX: usize = 50_000;
/// Bytes of a key: those of an identifier.
const KEY_BYTES_MAX: usize = 512;
/// Problems of one table that are told.
const TOLD_MAX: usize = 20;

/// A value of a row; none where it has none.
type Cell = Option<Box<RawValue>>;

/// Rows by their keys, with the cells of the columns that are asked for.
#[derive(Debug)]
pub(crate) struct Table {
    case: Case,
    rows: BTreeMap<String, Vec<Cell>>,
}

impl Table {
    /// Reads the columns of these names.
    ///
    /// # Errors
    /// All that is wrong with the table, to a bound.
    pub(crate) fn read(config: &Config, columns: &[&str]) -> Result<Self, Vec<ConfigProblem>> {
        let mut reader = Reader { case: config.case, rows: BTreeMap::new(), problems: Vec::new() };
        if config.table.len() > BYTES_MAX {
            reader.problem("/table", format!("the table has more than {BYTES_MAX} bytes"));
        } else {
            match config.format {
                Format::Csv => reader.csv(&config.table, &config.key, columns),
                Format::Ndjson => reader.ndjson(&config.table, &config.key, columns),
            }
            if reader.rows.is_empty() && reader.problems.is_empty() {
                reader.problem("/table", "the table has no rows");
            }
        }
        if reader.problems.is_empty() {
            let rows = reader.rows.into_iter().map(|(key, (_, cells))| (key, cells)).collect();
            return Ok(Table { case: reader.case, rows });
        }
        reader.problems.truncate(TOLD_MAX);
        Err(reader.problems)
    }

    /// The row of a key.
    pub(crate) fn row(&self, key: &str) -> Option<&[Cell]> {
        match self.case {
            Case::Sensitive => self.rows.get(key),
            Case::Ignored => self.rows.get(&key.to_lowercase()),
        }
        .map(Vec::as_slice)
    }
}

/// The text of a key, which a string and a number have.
pub(crate) fn key(value: &RawValue) -> Option<String> {
    match value.get().as_bytes().first()? {
        b'"' => string(value).map(|text| text.into_owned()),
        b'-' | b'0'..=b'9' => Some(value.get().to_owned()),
        _ => None,
    }
}

/// Reads rows, and gathers what is wrong with them.
struct Reader {
    case: Case,
    /// With the lines on which they are.
    rows: BTreeMap<String, (u64, Vec<Cell>)>,
    problems: Vec<ConfigProblem>,
}

impl Reader {
    fn problem(&mut self, at: &str, message: impl Into<String>) {
        if self.problems.len() <= TOLD_MAX {
            self.problems.push(ConfigProblem::at(at, message));
        }
    }

    fn csv(&mut self, text: &str, key: &str, columns: &[&str]) {
        let mut reader = csv::ReaderBuilder::new().from_reader(text.trim_start_matches('\u{feff}').as_bytes());
        let names: Vec<String> = match reader.headers() {
            Ok(names) => names.iter().map(|name| name.trim().to_owned()).collect(),
            Err(error) => return self.problem("/table", format!("the table cannot be read: {error}")),
        };
        let mut place = |at: &str, name: &str| {
            let place = names.iter().position(|known| known == name);
            if place.is_none() {
                let problem = ConfigProblem::at(at, format!("the table has no column `{name}`"));
                self.problems.push(problem.hint(format!("it has {}", names.join(", "))));
            }
            place
        };
        let key = place("/key", key);
        let columns: Vec<_> = columns.iter().map(|name| place("/add", name)).collect();
        let (Some(key), Some(columns)) = (key, columns.into_iter().collect::<Option<Vec<usize>>>()) else { return };
        for row in reader.records() {
            let row = match row {
                Ok(row) => row,
                Err(error) => {
                    let line = error.position().map_or(0, csv::Position::line);
                    self.problem("/table", format!("line {line} has not as many values as there are columns"));
                    continue;
                }
            };
            let line = row.position().map_or(0, csv::Position::line);
            let cell = |column: &usize| {
                let text = row.get(*column).filter(|text| !text.is_empty())?;
                to_raw_value(text).ok()
            };
            self.row(line, row.get(key).unwrap_or_default(), columns.iter().map(cell).collect());
        }
    }

    fn ndjson(&mut self, text: &str, key: &str, columns: &[&str]) {
        let mut seen = vec![false; columns.len()];
        for (line, text) in (1..).zip(text.lines()) {
            if text.trim().is_empty() {
                continue;
            }
            let Ok(fields) = document(text.as_bytes()) else {
                self.problem("/table", format!("line {line} is no JSON object"));
                continue;
            };
            let Some(key) = field(&fields, key).and_then(self::key) else {
                self.problem("/table", format!("line {line} has no `{key}` that is a string or a number"));
                continue;
            };
            let cells = columns.iter().zip(&mut seen).map(|(name, seen)| {
                let value = field(&fields, name);
                *seen |= value.is_some();
                value.filter(|value| value.get() != "null").map(ToOwned::to_owned)
            });
            let cells = cells.collect();
            self.row(line, &key, cells);
        }
        if self.rows.is_empty() {
            return;
        }
        for (name, _) in columns.iter().zip(seen).filter(|(_, seen)| !seen) {
            self.problem("/add", format!("no line of the table has `{name}`"));
        }
    }

    fn row(&mut self, line: u64, key: &str, cells: Vec<Cell>) {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return self.problem("/table", format!("the key on line {line} is empty, or longer than {KEY_BYTES_MAX} bytes"));
        }
        let known = match self.case {
            Case::Sensitive => key.to_owned(),
            Case::Ignored => key.to_lowercase(),
        };
        if let Some((first, _)) = self.rows.get(&known) {
            let message = format!("the key `{key}` on line {line} stands on line {first} already");
            return self.problem("/table", message);
        }
        if self.rows.len() == ROWS_MAX {
            return self.problem("/table", format!("the table has more than {ROWS_MAX} rows"));
        }
        self.rows.insert(known, (line, cells));
    }
}

fn field<'a>(fields: &Fields<'a>, name: &str) -> Option<&'a RawValue> {
    fields.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
}
