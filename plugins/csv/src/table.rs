//! Goes through a file: its encoding, its delimiter, its header, then its rows; and keeps between chunks what it knows.

use serde::{Deserialize, Serialize};
use weft_plugin::{Failure, Leftover, Outbox, Rejection};

use crate::Csv;
use crate::config::Encoding;
use crate::dialect::{Dialect, Fields, ROW_BYTES_MAX, Read};
use crate::row::Bound;
use crate::text::{MARK_BYTES_MAX, by_mark, transcode};

/// The longest header, in bytes: it is in every state, beside the beginning of a row.
const HEADER_BYTES_MAX: usize = 64 * 1024;

/// The longest header that is kept with each row that is refused: a hundred columns. With a longer one a row is kept alone, and cannot be read again.
const HEADER_KEPT_BYTES_MAX: usize = 4 * 1024;

/// By which UTF-8 is known where something else is expected.
const UTF8_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

/// What is known of a file after some of its bytes.
#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    /// None before the mark can be seen.
    encoding: Option<Encoding>,
    /// The beginning of a letter, as it stands in the file.
    letter: Leftover,
    /// The beginning of a row, in UTF-8.
    row: Leftover,
    delimiter: Option<u8>,
    columns: Option<Vec<String>>,
    /// Rows so far, the header among them, as a spreadsheet counts them.
    rows: u64,
    /// Whether the end of a line is sought whose beginning was refused.
    skipping: bool,
}

/// Reads a chunk; the state for the next one.
///
/// # Errors
/// The file is none that the configuration describes, or the engine did not take what was read.
pub(crate) fn decode(plugin: &Csv, chunk: &[u8], last: bool, state: Option<&str>) -> Result<Option<String>, Failure> {
    let unreadable = |error: serde_json::Error| Failure::internal(format!("the state cannot be read: {error}"));
    let mut state: State = state.map(serde_json::from_str).transpose().map_err(unreadable)?.unwrap_or_default();
    let input = state.letters(plugin, chunk, last);
    let mut walk = Walk { plugin, input: &input, at: 0, last, state, dialect: None, bound: None, outbox: Outbox::default() };
    walk.go()?;
    walk.outbox.flush()?;
    if last {
        return Ok(None);
    }
    let mut state = walk.state;
    state.row = Leftover(input[walk.at..].to_vec());
    serde_json::to_string(&state).map(Some).map_err(|error| Failure::internal(error.to_string()))
}

impl State {
    /// The beginning of a row, and what the chunk adds to it.
    fn letters(&mut self, plugin: &Csv, chunk: &[u8], last: bool) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.letter.0);
        bytes.extend_from_slice(chunk);
        let mut input = std::mem::take(&mut self.row.0);
        let mut skip = 0;
        let encoding = match self.encoding {
            Some(encoding) => encoding,
            None if bytes.len() < MARK_BYTES_MAX && !last => {
                self.letter.0 = bytes;
                return input;
            }
            None => {
                let (encoding, mark) = by_mark(&bytes, plugin.config.encoding);
                (self.encoding, skip) = (Some(encoding), mark);
                encoding
            }
        };
        let read = skip + transcode(encoding, &bytes[skip..], last, &mut input);
        self.letter.0 = bytes.split_off(read);
        input
    }
}

/// A walk over the rows that a chunk completes.
struct Walk<'c> {
    plugin: &'c Csv,
    input: &'c [u8],
    at: usize,
    last: bool,
    state: State,
    dialect: Option<Dialect>,
    bound: Option<Bound>,
    outbox: Outbox,
}

impl Walk<'_> {
    fn go(&mut self) -> Result<(), Failure> {
        let mut fields = Fields::default();
        loop {
            if self.state.skipping && !self.skip_line() {
                return Ok(());
            }
            while matches!(self.input.get(self.at), Some(b'\r' | b'\n')) {
                self.at += 1;
            }
            if self.at == self.input.len() || !self.begin()? {
                return Ok(());
            }
            let Some(dialect) = &mut self.dialect else { return Ok(()) };
            match dialect.read(&self.input[self.at..], self.last, &mut fields) {
                Read::Open => return Ok(()),
                Read::Broken => self.give_up_line()?,
                Read::Row(bytes) => {
                    let bytes = &self.input[self.at..self.at + bytes];
                    self.row(&fields, bytes)?;
                    self.at += bytes.len();
                }
            }
        }
    }

    /// Finds out the delimiter, and binds the columns; false where the first row's end is not here.
    fn begin(&mut self) -> Result<bool, Failure> {
        if self.dialect.is_none() {
            let (mapping, config) = (&self.plugin.mapping, &self.plugin.config);
            self.dialect = match self.state.delimiter {
                Some(delimiter) => Some(Dialect::new(config, delimiter)),
                None => Dialect::guess(config, &self.input[self.at..], self.last, |fields| match &config.columns {
                    None => mapping.known(&names(fields).iter().map(String::as_str).collect::<Vec<_>>()),
                    // There is no header: the right one gives as many fields as there are names.
                    Some(columns) => usize::from(fields.iter().count() == columns.len()),
                }),
            };
            self.state.delimiter = self.dialect.as_ref().map(|dialect| dialect.delimiter);
        }
        if self.state.columns.is_none() {
            self.state.columns.clone_from(&self.plugin.config.columns);
        }
        if let (None, Some(columns)) = (&self.bound, &self.state.columns) {
            self.bound = Some(self.plugin.mapping.bind(columns)?);
        }
        Ok(self.dialect.is_some())
    }

    fn row(&mut self, fields: &Fields, bytes: &[u8]) -> Result<(), Failure> {
        self.state.rows += 1;
        let (Some(bound), Some(columns)) = (&self.bound, &self.state.columns) else {
            return self.header(fields, bytes);
        };
        let number = self.state.rows;
        let texts: Result<Vec<&str>, _> = fields.iter().map(std::str::from_utf8).collect();
        let made = texts
            .map_err(|_| Rejection::new("not_utf8", "it is not UTF-8: name the file's `encoding`"))
            .and_then(|texts| level(texts, columns.len()))
            .and_then(|texts| self.plugin.mapping.event(bound, &texts, number));
        match made {
            Ok(None) => Ok(()),
            Ok(Some(event)) => self.outbox.put(Ok(event), bytes),
            Err(why) => {
                let alone = self.alone(bytes);
                self.outbox.put(Err(of_row(number, why)), &alone)
            }
        }
    }

    /// A row as a file of its own, with the header in front where the file had one: so it means the same when it is read again.
    fn alone(&self, row: &[u8]) -> Vec<u8> {
        let config = &self.plugin.config;
        // What is here is UTF-8 already, or was to be.
        let mut file = if config.encoding == Encoding::Utf8 { Vec::new() } else { UTF8_MARK.to_vec() };
        let names = self.state.columns.iter().flatten().filter(|_| config.columns.is_none());
        let (quote, delimiter) = (config.quote_byte().unwrap_or_default(), self.state.delimiter.unwrap_or(b','));
        let header: Vec<Vec<u8>> = names.map(|name| quoted(name, delimiter, quote)).collect();
        let header = header.join(&delimiter);
        if !header.is_empty() && header.len() <= HEADER_KEPT_BYTES_MAX {
            file.extend_from_slice(&header);
            file.push(b'\n');
        }
        file.extend_from_slice(row);
        file
    }

    fn header(&mut self, fields: &Fields, bytes: &[u8]) -> Result<(), Failure> {
        if std::str::from_utf8(bytes).is_err() {
            return Err(Failure::config("the header is not UTF-8: name the file's `encoding`"));
        }
        if bytes.len() > HEADER_BYTES_MAX {
            return Err(no_header());
        }
        let names = names(fields);
        self.bound = Some(self.plugin.mapping.bind(&names)?);
        self.state.columns = Some(names);
        Ok(())
    }

    /// Refuses the line at whose beginning a row is that cannot be read.
    fn give_up_line(&mut self) -> Result<(), Failure> {
        if self.state.columns.is_none() {
            return Err(no_header());
        }
        self.state.rows += 1;
        let rest = &self.input[self.at..];
        let window = &rest[..rest.len().min(ROW_BYTES_MAX + 1)];
        let end = window.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        let (bytes, why) = match end {
            None if window.len() > ROW_BYTES_MAX => {
                self.state.skipping = true;
                let words =
                    format!("it has more than {ROW_BYTES_MAX} bytes, of which these are the first; the line is passed over");
                (ROW_BYTES_MAX, Rejection::new("row_too_long", words))
            }
            end => {
                let words = "a quote in it is not closed, in this line or soon after it; what follows it is read line by line";
                (end.unwrap_or(window.len()), Rejection::new("unclosed_quote", words))
            }
        };
        let alone = self.alone(&rest[..bytes]);
        self.outbox.put(Err(of_row(self.state.rows, why)), &alone)?;
        self.at += bytes;
        Ok(())
    }

    /// Goes to the end of the line; false where it is not here.
    fn skip_line(&mut self) -> bool {
        let end = self.input[self.at..].iter().position(|byte| matches!(byte, b'\r' | b'\n'));
        self.at = end.map_or(self.input.len(), |end| self.at + end);
        self.state.skipping = end.is_none();
        !self.state.skipping
    }
}

/// A column's name as a header has it.
fn quoted(name: &str, delimiter: u8, quote: Option<u8>) -> Vec<u8> {
    let Some(quote) = quote else { return name.as_bytes().to_vec() };
    let is_special = |byte: u8| byte == quote || byte == delimiter || matches!(byte, b'\r' | b'\n');
    if !name.bytes().any(is_special) {
        return name.as_bytes().to_vec();
    }
    let mut text = vec![quote];
    for byte in name.bytes() {
        if byte == quote {
            text.push(quote);
        }
        text.push(byte);
    }
    text.push(quote);
    text
}

fn names(fields: &Fields) -> Vec<String> {
    fields.iter().map(|field| String::from_utf8_lossy(field).trim().to_owned()).collect()
}

fn no_header() -> Failure {
    let words = format!("the first row is no header: it has more than {HEADER_BYTES_MAX} bytes, or a quote in it is not closed");
    Failure::config(words)
}

fn of_row(number: u64, why: Rejection) -> Rejection {
    Rejection { message: format!("row {number}: {}", why.message), ..why }
}

/// As many fields as there are columns; empty ones behind them are a spreadsheet's way to end a row.
fn level(mut fields: Vec<&str>, columns: usize) -> Result<Vec<&str>, Rejection> {
    let count = fields.len();
    while fields.len() > columns && fields.last().is_some_and(|field| field.trim().is_empty()) {
        fields.pop();
    }
    if fields.len() != columns && fields.iter().any(|field| !field.trim().is_empty()) {
        return Err(Rejection::new("ragged_row", format!("it has {count} fields, and there are {columns} columns")));
    }
    Ok(fields)
}
