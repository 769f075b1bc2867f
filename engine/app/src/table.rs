//! Rows of a file: CSV, ndjson, Parquet, the first two also compressed by gzip or zstd.
//!
//! For commands that work on a file as a whole. Sources have a way of their own, through a plugin's `decode` ([`crate::driver`]).

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::Value;
use weft_domain::value::Excerpt;

use crate::limits;

/// The longest row that is read. A row of a customer list has some hundred bytes.
const ROW_BYTES_MAX: usize = limits::TABLE_ROW_BYTES_MAX;

/// A file of rows.
pub struct Table {
    form: Form,
    columns: Option<Vec<String>>,
}

enum Form {
    Csv(Box<csv::Reader<Box<dyn Read>>>),
    Ndjson(BufReader<Box<dyn Read>>),
    Parquet(SerializedFileReader<File>),
}

impl Table {
    /// Opens a file of UTF-8; what is in it follows from its name: `.csv`, `.tsv`, `.ndjson`, `.jsonl`, each also with `.gz` or `.zst` behind it, and `.parquet`.
    ///
    /// # Errors
    /// The file cannot be read, its name says nothing of what is in it, or it has no header.
    pub fn open(path: &Path) -> anyhow::Result<Table> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_ascii_lowercase();
        let file = File::open(path).with_context(|| format!("`{}` cannot be opened", path.display()))?;
        let (inner, packed) = match name.rsplit_once('.') {
            Some((inner, "gz")) => (inner, Packed::Gzip),
            Some((inner, "zst")) => (inner, Packed::Zstd),
            _ => (&*name, Packed::No),
        };
        let extension = inner.rsplit_once('.').map_or("", |(_, extension)| extension);
        let bytes = |file| -> anyhow::Result<Box<dyn Read>> {
            Ok(match packed {
                Packed::No => Box::new(file),
                Packed::Gzip => Box::new(flate2::read::MultiGzDecoder::new(file)),
                Packed::Zstd => Box::new(zstd::Decoder::new(file)?),
            })
        };
        match (extension, packed) {
            ("csv" | "tsv", _) => {
                let of_header = || format!("the header of `{}`", path.display());
                let mut bytes = BufReader::new(bytes(file)?);
                let begin = bytes.fill_buf().with_context(|| format!("{} cannot be read", of_header()))?;
                let delimiter = if extension == "tsv" { b'\t' } else { separator(begin) };
                let bytes: Box<dyn Read> = Box::new(bytes);
                let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(bytes);
                let header = reader.headers().map_err(|error| unreadable(&of_header(), error))?;
                let columns = header.iter().map(|name| name.trim_start_matches('\u{feff}').trim().to_owned()).collect();
                Ok(Table { form: Form::Csv(Box::new(reader)), columns: Some(columns) })
            }
            ("ndjson" | "jsonl", _) => Ok(Table { form: Form::Ndjson(BufReader::new(bytes(file)?)), columns: None }),
            ("parquet", Packed::No) => {
                let reader =
                    SerializedFileReader::new(file).with_context(|| format!("`{}` is no Parquet file", path.display()))?;
                let fields = reader.metadata().file_metadata().schema().get_fields();
                let columns = fields.iter().map(|field| field.name().to_owned()).collect();
                Ok(Table { form: Form::Parquet(reader), columns: Some(columns) })
            }
            _ => bail!(
                "`{}`: the name says nothing of what is in it. It ends in .csv, .tsv, .ndjson or .jsonl, also with .gz or .zst behind it, or in .parquet",
                path.display()
            ),
        }
    }

    /// The names of the columns; none of ndjson, whose rows each have their own.
    #[must_use]
    pub fn columns(&self) -> Option<&[String]> {
        self.columns.as_deref()
    }

    /// Gives the wanted columns of every row, in the order of the rows; a value that a row does not have is empty. Of ndjson a column is a path: `address.city`.
    ///
    /// # Errors
    /// The file cannot be read on, or a row is not what the file's name says, with the row's number.
    pub fn each(self, wanted: &[String], mut take: impl FnMut(&[&str]) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let places: Vec<Option<usize>> = match &self.columns {
            Some(columns) => wanted.iter().map(|name| columns.iter().position(|column| column == name)).collect(),
            None => Vec::new(),
        };
        match self.form {
            Form::Csv(mut reader) => {
                let mut row = csv::StringRecord::new();
                let mut nth = 1u64;
                while reader.read_record(&mut row).map_err(|error| unreadable(&format!("row {nth}"), error))? {
                    if row.as_slice().len() > ROW_BYTES_MAX {
                        bail!("row {nth} has more than {ROW_BYTES_MAX} bytes: is a quotation mark missing?");
                    }
                    let values: Vec<&str> =
                        places.iter().map(|place| place.and_then(|place| row.get(place)).unwrap_or("")).collect();
                    take(&values)?;
                    nth += 1;
                }
                Ok(())
            }
            Form::Ndjson(reader) => each_json(reader, wanted, take),
            Form::Parquet(reader) => {
                for (nth, row) in (1u64..).zip(reader.get_row_iter(None)?) {
                    let row = row.with_context(|| format!("row {nth} cannot be read"))?;
                    let fields: Vec<String> = row.get_column_iter().map(|(_, field)| text_of(field)).collect();
                    let values: Vec<&str> = places.iter().map(|place| place.map_or("", |place| &*fields[place])).collect();
                    take(&values)?;
                }
                Ok(())
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Packed {
    No,
    Gzip,
    Zstd,
}

/// What stands between the columns of a `.csv`: a comma, or what a header without one has instead, as spreadsheets write it where the comma is
/// for decimals.
fn separator(begin: &[u8]) -> u8 {
    let header = begin.split(|byte| *byte == b'\n').next().unwrap_or_default();
    b",;\t".iter().copied().find(|one| header.contains(one)).unwrap_or(b',')
}

fn unreadable(what: &str, error: csv::Error) -> anyhow::Error {
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => anyhow!(
            "{what} is not UTF-8: write the file as UTF-8, or convert it: `iconv -f WINDOWS-1252 -t UTF-8`, where that is what it is in"
        ),
        _ => anyhow::Error::new(error).context(format!("{what} cannot be read")),
    }
}

fn each_json(
    mut reader: BufReader<Box<dyn Read>>,
    wanted: &[String],
    mut take: impl FnMut(&[&str]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut line = Vec::new();
    for nth in 1u64.. {
        line.clear();
        let mut bounded = (&mut reader).take(ROW_BYTES_MAX as u64 + 1);
        if bounded.read_until(b'\n', &mut line).with_context(|| format!("line {nth} cannot be read"))? == 0 {
            break;
        }
        if line.len() > ROW_BYTES_MAX {
            bail!("line {nth} has more than {ROW_BYTES_MAX} bytes");
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let row: Value = serde_json::from_slice(&line)
            .map_err(|error| anyhow!("line {nth} is not JSON: {error}: `{}`", Excerpt(&String::from_utf8_lossy(&line))))?;
        let values: Vec<String> = wanted.iter().map(|path| at(&row, path)).collect();
        take(&values.iter().map(|value| &**value).collect::<Vec<_>>())?;
    }
    Ok(())
}

/// What stands at a path of a row, as text.
fn at(row: &Value, path: &str) -> String {
    let found = row.get(path).or_else(|| path.split('.').try_fold(row, |row, step| row.get(step)));
    match found {
        Some(Value::String(text)) => text.clone(),
        None | Some(Value::Null) => String::new(),
        Some(other) => other.to_string(),
    }
}

fn text_of(field: &Field) -> String {
    match field {
        Field::Null => String::new(),
        Field::Str(text) => text.clone(),
        // `1980-03-04 +00:00` and the like: the day is all there is.
        Field::Date(_) => field.to_string().split(' ').next().unwrap_or_default().to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn rows(name: &str, bytes: &[u8], wanted: &[&str]) -> anyhow::Result<Vec<Vec<String>>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(name);
        std::fs::write(&path, bytes)?;
        let wanted: Vec<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
        let mut rows = Vec::new();
        Table::open(&path)?.each(&wanted, |values| {
            rows.push(values.iter().map(|value| (*value).to_owned()).collect());
            Ok(())
        })?;
        Ok(rows)
    }

    fn check(name: &str, bytes: &[u8], want: &[[&str; 2]]) {
        let found = rows(name, bytes, &["name", "city"]).unwrap_or_else(|error| panic!("{name}: {error:#}"));
        assert_eq!(found, want, "{name}");
    }

    #[test]
    fn rows_are_the_same_however_they_are_kept() {
        let want = [["Ann Doe", "Bonn"], ["Bob", ""]];
        let text = "\u{feff}city,name\nBonn,Ann Doe\n,Bob\n";
        check("people.csv", text.as_bytes(), &want);
        check("people.csv", "city;name\nBonn;Ann Doe\n;Bob\n".as_bytes(), &want);
        check("people.csv", "city\tname\nBonn\tAnn Doe\n\tBob\n".as_bytes(), &want);
        check("people.tsv", "city\tname\nBonn\tAnn Doe\n\tBob\n".as_bytes(), &want);
        check("people.ndjson", b"{\"name\":\"Ann Doe\",\"city\":\"Bonn\"}\n\n{\"name\":\"Bob\",\"city\":null}", &want);
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(text.as_bytes()).expect("in memory");
        check("people.csv.gz", &packed.finish().expect("in memory"), &want);
        check("people.csv.zst", &zstd::encode_all(text.as_bytes(), 0).expect("in memory"), &want);
    }

    #[test]
    fn parquet_is_read_by_its_columns() {
        use parquet::data_type::{ByteArray, ByteArrayType, Int32Type};
        use parquet::file::writer::SerializedFileWriter;
        let form = "message people { required binary name (STRING); optional binary city (STRING); required int32 born (DATE); }";
        let form = std::sync::Arc::new(parquet::schema::parser::parse_message_type(form).expect("is a schema"));
        let mut writer = SerializedFileWriter::new(Vec::new(), form, Default::default()).expect("in memory");
        let mut group = writer.next_row_group().expect("in memory");
        let text = |text: &str| ByteArray::from(text);
        for nth in 0..3 {
            let mut column = group.next_column().expect("in memory").expect("a column");
            let written = match nth {
                0 => column.typed::<ByteArrayType>().write_batch(&[text("Ann Doe"), text("Bob")], None, None),
                1 => column.typed::<ByteArrayType>().write_batch(&[text("Bonn")], Some(&[1, 0]), None),
                _ => column.typed::<Int32Type>().write_batch(&[3715, 0], None, None),
            };
            written.expect("in memory");
            column.close().expect("in memory");
        }
        group.close().expect("in memory");
        let bytes = writer.into_inner().expect("in memory");
        let found = rows("people.parquet", &bytes, &["city", "born", "name"]).expect("reads");
        assert_eq!(found, [["Bonn", "1980-03-04", "Ann Doe"], ["", "1970-01-01", "Bob"]]);
    }

    #[test]
    fn a_path_reaches_into_a_row() {
        let found = rows("a.jsonl", br#"{"a":{"b":7},"a.b":"own"}"#, &["a.b"]).expect("reads");
        assert_eq!(found, [["own"]], "a name with a dot comes first");
        let found = rows("a.jsonl", br#"{"a":{"b":7}}"#, &["a.b"]).expect("reads");
        assert_eq!(found, [["7"]]);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_row() {
        let check = |name: &str, bytes: &[u8], want: &str| {
            let error = rows(name, bytes, &["name"]).expect_err("is wrong");
            assert!(format!("{error:#}").contains(want), "{error:#}");
        };
        check("a.xls", b"", "the name says nothing");
        check("a.jsonl", b"{}\nno\n", "line 2 is not JSON");
        check("a.parquet", b"no", "is no Parquet file");
        check("a.csv", b"name\n\xff\n", "row 1 is not UTF-8");
    }
}
