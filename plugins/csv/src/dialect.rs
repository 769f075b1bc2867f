//! Where rows and fields end: RFC 4180, as tolerant as real files need it.
//!
//! A row that is longer than its bound, or whose quote is still open at the end of the file, is most often one quote too many: its first
//! line alone is given up, and reading goes on behind that. Whether a row is one depends on what it is, never on how the file was cut.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};

use crate::config::Config;

/// The longest row, in bytes as UTF-8: longer than the longest event, and in base64 within a state with the header beside it.
pub(crate) const ROW_BYTES_MAX: usize = 384 * 1024;

/// What stands between fields where nothing says what does, the likelier first.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// The fields of one row, without their quotes.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    text: Vec<u8>,
    ends: Vec<usize>,
    count: usize,
}

impl Fields {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends[..self.count].iter().copied());
        starts.zip(&self.ends[..self.count]).map(|(start, end)| &self.text[start..*end])
    }

    fn make_room(&mut self) {
        const FIELDS_MIN: usize = 64;
        self.ends.resize((self.ends.len() * 2).max(FIELDS_MIN), 0);
    }
}

/// What stands at the beginning of some bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// A row of so many bytes, in front of its line break.
    Row(usize),
    /// A row whose end is not here.
    Open,
    /// A row that is too long, or whose quote is not closed.
    Broken,
}

/// One way to read rows. To be made once for each chunk: its tables cost as much as some dozens of rows.
#[derive(Debug)]
pub(crate) struct Dialect {
    pub(crate) delimiter: u8,
    reader: Reader,
}

impl Dialect {
    /// Of a valid configuration, with a delimiter that is its own or was found out.
    pub(crate) fn new(config: &Config, delimiter: u8) -> Self {
        let mut builder = ReaderBuilder::new();
        builder.delimiter(delimiter);
        match config.quote_byte().unwrap_or_default() {
            Some(quote) => builder.quote(quote),
            None => builder.quoting(false),
        };
        Dialect { delimiter, reader: builder.build() }
    }

    /// The one in which the first row has most of the names that are looked for, and then most fields. None where the row's end is
    /// not here.
    pub(crate) fn guess(config: &Config, input: &[u8], last: bool, names: impl Fn(&Fields) -> usize) -> Option<Self> {
        if let Ok(Some(delimiter)) = config.delimiter_byte() {
            return Some(Dialect::new(config, delimiter));
        }
        let mut best: Option<((usize, usize), Dialect)> = None;
        for delimiter in DELIMITERS {
            let (mut dialect, mut fields) = (Dialect::new(config, delimiter), Fields::default());
            let worth = match dialect.read(input, last, &mut fields) {
                Read::Open => return None,
                Read::Broken => (0, 0),
                Read::Row(_) => (names(&fields), fields.count),
            };
            if best.as_ref().is_none_or(|(most, _)| worth > *most) {
                best = Some((worth, dialect));
            }
        }
        best.map(|(_, dialect)| dialect)
    }

    /// Reads a row. The input begins with neither a line break nor its end.
    pub(crate) fn read(&mut self, input: &[u8], last: bool, fields: &mut Fields) -> Read {
        let is_cut = input.len() > ROW_BYTES_MAX;
        let input = if is_cut { &input[..ROW_BYTES_MAX + 1] } else { input };
        // The text of fields is never longer than the row and a line break.
        if fields.text.len() <= input.len() {
            fields.text.resize(input.len() + 1, 0);
        }
        if fields.ends.is_empty() {
            fields.make_room();
        }
        self.reader.reset();
        let (mut done, mut read, written, count) = self.reader.read_record(input, &mut fields.text, &mut fields.ends);
        let mut count = count;
        if done == ReadRecordResult::InputEmpty && last && !is_cut {
            // A line break ends the last row as the end of the file does, unless it is within quotes.
            let (end, _, _, ends) = self.reader.read_record(b"\n", &mut fields.text[written..], &mut fields.ends[count..]);
            match end {
                ReadRecordResult::Record => (done, read, count) = (end, read + 1, count + ends),
                ReadRecordResult::OutputEndsFull => done = end,
                _ => return Read::Broken,
            }
        }
        match done {
            // Its line break is read as well.
            ReadRecordResult::Record if read - 1 > ROW_BYTES_MAX => Read::Broken,
            ReadRecordResult::Record => {
                fields.count = count;
                Read::Row(read - 1)
            }
            ReadRecordResult::OutputEndsFull | ReadRecordResult::OutputFull => {
                fields.make_room();
                self.read(input, last, fields)
            }
            ReadRecordResult::InputEmpty | ReadRecordResult::End if is_cut => Read::Broken,
            ReadRecordResult::InputEmpty | ReadRecordResult::End => Read::Open,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(config: &str) -> Config {
        weft_plugin::testing::config(config).expect("a configuration")
    }

    fn texts(fields: &Fields) -> Vec<String> {
        fields.iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect()
    }

    #[test]
    fn a_row_ends_where_it_ends() {
        let check = |input: &str, last: bool, want: Read, fields: &[&str]| {
            let mut found = Fields::default();
            let mut dialect = Dialect::new(&config("{}"), b',');
            assert_eq!(dialect.read(input.as_bytes(), last, &mut found), want, "{input:?}");
            if let Read::Row(_) = want {
                assert_eq!(texts(&found), fields, "{input:?}");
            }
        };
        check("a,b\nc", false, Read::Row(3), &["a", "b"]);
        check("a,b\r\nc", false, Read::Row(3), &["a", "b"]);
        check("a,b\rc", false, Read::Row(3), &["a", "b"]);
        check("a,b", false, Read::Open, &[]);
        check("a,b", true, Read::Row(3), &["a", "b"]);
        check("a,", true, Read::Row(2), &["a", ""]);
        check(",\n", true, Read::Row(1), &["", ""]);
        check("\"a\n,\"\"b\",c\n", false, Read::Row(10), &["a\n,\"b", "c"]);
        check("\"a\"", true, Read::Row(3), &["a"]);
        check("\"a\n", false, Read::Open, &[]);
        check("\"a\n", true, Read::Broken, &[]);
        check("a\"b\"c,d\n", false, Read::Row(7), &["a\"b\"c", "d"]);
        check("\"a\"b,c\n", false, Read::Row(6), &["ab", "c"]);
        let many = vec!["x"; 1000].join(",");
        check(&many, true, Read::Row(1999), &["x"; 1000]);
        let long = "x".repeat(ROW_BYTES_MAX);
        check(&long, true, Read::Row(ROW_BYTES_MAX), &[&long]);
        check(&format!("{long}\n"), false, Read::Row(ROW_BYTES_MAX), &[&long]);
        check(&long, false, Read::Open, &[]);
        check(&format!("{long}x"), false, Read::Broken, &[]);
        check(&format!("{long}x"), true, Read::Broken, &[]);
        check(&format!("{long}x\n"), true, Read::Broken, &[]);
    }

    #[test]
    fn the_delimiter_is_found_out_by_names_and_then_by_number() {
        let check = |row: &str, names: &[&str], want: Option<u8>| {
            let found = |fields: &Fields| texts(fields).iter().filter(|field| names.contains(&field.as_str())).count();
            let dialect = Dialect::guess(&config("{}"), row.as_bytes(), false, found);
            assert_eq!(dialect.map(|dialect| dialect.delimiter), want, "{row:?}");
        };
        check("a,b\n", &[], Some(b','));
        check("a;b\n", &[], Some(b';'));
        check("a\tb\n", &[], Some(b'\t'));
        check("a|b\n", &[], Some(b'|'));
        check("a\n", &[], Some(b','));
        check("Name;Sum, net, gross, all\n", &["Name"], Some(b';'));
        check("Name;Sum, net, gross, all\n", &[], Some(b','));
        check("\"a;b;c\",d\n", &[], Some(b','));
        check("a;b", &[], None);
    }

    #[test]
    fn quotes_can_be_others_or_none() {
        let check = |text: &str, row: &str, want: &[&str]| {
            let mut fields = Fields::default();
            Dialect::new(&config(text), b';').read(row.as_bytes(), true, &mut fields);
            assert_eq!(texts(&fields), want);
        };
        check(r#"{"delimiter":";","quote":"'"}"#, "'a;b';\"c\"", &["a;b", "\"c\""]);
        check(r#"{"delimiter":";","quote":""}"#, "\"a;b\"", &["\"a", "b\""]);
    }
}
