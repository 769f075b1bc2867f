//! Records as lines.
//!
//! CSV is RFC 4180: commas, CRLF, quotes doubled within quotes, a line of names first. A spreadsheet runs a cell that begins
//! like a formula, and customers can choose their names: such texts get a `'` in front, as OWASP advises, unless the
//! configuration says that a program reads the file. Numbers are no texts, so that `-5` stays a number.

use std::borrow::Cow;

use weft_plugin::{Fields, string};

use crate::path::Path;
use crate::{Column, Formulas, NamedColumn};

/// Turns records into lines.
#[derive(Clone, Debug)]
pub(crate) enum Writer {
    /// One JSON document a line.
    Ndjson,
    /// One line of cells a record.
    Csv {
        /// The line of names.
        header: Vec<u8>,
        /// Where the cells are.
        paths: Vec<Path>,
        /// What becomes of formulas.
        formulas: Formulas,
    },
}

impl Writer {
    /// A writer of CSV. A path that is none, which `validate` refuses, makes an empty column.
    pub(crate) fn csv(columns: &[Column], formulas: Formulas) -> Self {
        let (mut header, mut paths) = (Vec::new(), Vec::new());
        for (place, column) in columns.iter().enumerate() {
            let (name, path) = match column {
                Column::Path(path) => (path, path),
                Column::Named(NamedColumn { name, path }) => (name, path),
            };
            if place > 0 {
                header.push(b',');
            }
            cell(&mut header, name);
            paths.extend(Path::parse(path));
        }
        header.extend_from_slice(b"\r\n");
        Writer::Csv { header, paths, formulas }
    }

    /// What a file of it is called.
    pub(crate) fn extension(&self) -> &'static str {
        match self {
            Writer::Ndjson => "ndjson",
            Writer::Csv { .. } => "csv",
        }
    }

    /// What a file begins with.
    pub(crate) fn header(&self) -> &[u8] {
        match self {
            Writer::Ndjson => b"",
            Writer::Csv { header, .. } => header,
        }
    }

    /// A number for what lines are like, by which a change of the format or of the columns is known. FNV-1a, 32 bits.
    pub(crate) fn shape(&self) -> u32 {
        let bytes = self.extension().bytes().chain(self.header().iter().copied());
        bytes.fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
    }

    /// Writes the line of a record, whose outermost fields are given, in place of what is in `line`.
    pub(crate) fn write(&self, record: &[u8], fields: &Fields<'_>, line: &mut Vec<u8>) {
        line.clear();
        match self {
            Writer::Ndjson => {
                // A line break in JSON can only stand between its parts. Most records have none, and are looked over and copied whole.
                let mut rest = record;
                while let Some(end) = memchr::memchr2(b'\n', b'\r', rest) {
                    line.extend_from_slice(&rest[..end]);
                    rest = &rest[end + 1..];
                }
                line.extend_from_slice(rest);
                line.push(b'\n');
            }
            Writer::Csv { paths, formulas, .. } => {
                for (place, path) in paths.iter().enumerate() {
                    if place > 0 {
                        line.push(b',');
                    }
                    let Some(value) = path.find(fields).filter(|value| value.get() != "null") else { continue };
                    match string(value) {
                        Some(text) => cell(line, &guarded(&text, *formulas)),
                        None => cell(line, value.get()),
                    }
                }
                line.extend_from_slice(b"\r\n");
            }
        }
    }
}

/// A text that no spreadsheet runs.
fn guarded(text: &str, formulas: Formulas) -> Cow<'_, str> {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠']);
    if formulas == Formulas::Guard && formula { Cow::Owned(format!("'{text}")) } else { Cow::Borrowed(text) }
}

/// Writes a cell, in quotes where it needs them.
fn cell(line: &mut Vec<u8>, text: &str) {
    let plain = !text.bytes().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n')) && text.trim() == text;
    if plain {
        line.extend_from_slice(text.as_bytes());
        return;
    }
    line.push(b'"');
    line.extend_from_slice(text.replace('"', "\"\"").as_bytes());
    line.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(writer: &Writer, record: &str) -> Vec<u8> {
        let mut line = b"the one before".to_vec();
        writer.write(record.as_bytes(), &weft_plugin::document(record.as_bytes()).expect("an object"), &mut line);
        line
    }

    #[test]
    fn records_become_cells() {
        let columns = ["name", "n", "deep.list", "none"].map(|path| Column::Path(path.into()));
        let check = |formulas: Formulas, record: &str, want: &str| {
            let line = line(&Writer::csv(&columns, formulas), record);
            assert_eq!(String::from_utf8(line).expect("UTF-8"), format!("{want}\r\n"), "{record}");
        };
        check(Formulas::Guard, r#"{"name":"Ann","n":-1.50,"deep":{"list":[1,"a"]},"none":null}"#, r#"Ann,-1.50,"[1,""a""]","#);
        check(Formulas::Guard, r#"{"name":"a,\"b\"\r\nc"}"#, "\"a,\"\"b\"\"\r\nc\",,,");
        check(Formulas::Guard, r#"{"name":" x "}"#, "\" x \",,,");
        check(Formulas::Guard, r#"{"name":"=1+1","n":"+49 170"}"#, "'=1+1,'+49 170,,");
        check(Formulas::Guard, r#"{"name":"\t=1"}"#, "'\t=1,,,");
        check(Formulas::Keep, r#"{"name":"=1+1"}"#, "=1+1,,,");
        check(Formulas::Guard, "{}", ",,,");
        let named = [Column::Named(NamedColumn { name: "a,b".into(), path: "x".into() }), Column::Path("/x".into())];
        assert_eq!(Writer::csv(&named, Formulas::Guard).header(), b"\"a,b\",/x\r\n");
    }

    #[test]
    fn a_record_is_one_line_of_ndjson() {
        assert_eq!(line(&Writer::Ndjson, "{\"a\":\n \"x\\n\"}\n"), b"{\"a\": \"x\\n\"}\n");
    }
}
