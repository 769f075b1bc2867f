//! Where records end: at the end of a line, or, within a list, where its item ends.
//!
//! What begins with `[` at the beginning of a line is a list, and each of its items is a record; every other line is one. Whether a record
//! is one depends on what it is, never on how the file was cut; whether it is JSON is asked elsewhere.

use serde::{Deserialize, Serialize};
use weft_plugin::Rejection;

/// The longest record, in bytes: longer than the longest event with its white space, and in base64 within a state.
pub(crate) const RECORD_BYTES_MAX: usize = 512 * 1024;

const MARK: &[u8] = b"\xef\xbb\xbf";

/// Where in a file the reading stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Place {
    /// In front of the first byte, where a byte order mark may be.
    #[default]
    Beginning,
    /// Between lines.
    Lines,
    /// Between items of a list.
    List,
    /// In a line whose beginning was refused.
    LongLine,
    /// In an item whose beginning was refused.
    LongItem(Scan),
}

/// What a scan for the end of an item must remember.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Scan {
    depth: u32,
    in_string: bool,
    is_escaped: bool,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'b> {
    /// A record.
    Record(&'b [u8]),
    /// The beginning of something that cannot be one.
    Broken(&'b [u8], Rejection),
    /// A record's end is not here: all that is not read yet is needed again.
    Open,
}

impl Place {
    /// Finds the next record behind `at`, which it moves.
    pub(crate) fn next<'b>(&mut self, input: &'b [u8], at: &mut usize, last: bool) -> Frame<'b> {
        loop {
            let rest = &input[*at..];
            match self {
                Place::Beginning if rest.len() < MARK.len() && MARK.starts_with(rest) && !last => return Frame::Open,
                Place::Beginning => {
                    *at += if rest.starts_with(MARK) { MARK.len() } else { 0 };
                    *self = Place::Lines;
                }
                Place::LongLine => match line_end(rest) {
                    Some(end) => {
                        *at += end;
                        *self = Place::Lines;
                    }
                    None => return all(input, at),
                },
                Place::LongItem(scan) => match scan.end(rest) {
                    Some(end) => {
                        *at += end;
                        *self = Place::List;
                    }
                    None => return all(input, at),
                },
                Place::Lines => {
                    *at += rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
                    match input.get(*at) {
                        None => return Frame::Open,
                        Some(b'[') => {
                            *at += 1;
                            *self = Place::List;
                        }
                        Some(_) => return self.line(input, at, last),
                    }
                }
                Place::List => {
                    *at += rest.iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == b',').count();
                    match input.get(*at) {
                        None => return Frame::Open,
                        Some(b']') => {
                            *at += 1;
                            *self = Place::Lines;
                        }
                        Some(_) => return self.item(input, at, last),
                    }
                }
            }
        }
    }

    fn line<'b>(&mut self, input: &'b [u8], at: &mut usize, last: bool) -> Frame<'b> {
        let rest = &input[*at..];
        match line_end(rest) {
            None if rest.len() <= RECORD_BYTES_MAX && !last => Frame::Open,
            end => {
                if end.is_none() && !last {
                    *self = Place::LongLine;
                }
                *at += end.unwrap_or(rest.len());
                record(&rest[..end.unwrap_or(rest.len())])
            }
        }
    }

    fn item<'b>(&mut self, input: &'b [u8], at: &mut usize, last: bool) -> Frame<'b> {
        let (rest, mut scan) = (&input[*at..], Scan::default());
        match scan.end(rest) {
            Some(end) => {
                *at += end;
                record(&rest[..end])
            }
            None if rest.len() > RECORD_BYTES_MAX => {
                *at = input.len();
                *self = Place::LongItem(scan);
                record(rest)
            }
            None if last => {
                *at = input.len();
                Frame::Broken(rest, Rejection::new("unclosed_list", "the file ends within this item of a list"))
            }
            None => Frame::Open,
        }
    }
}

impl Scan {
    /// The place of what ends an item: the comma or the bracket behind it. None where it is not here.
    fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        for (place, byte) in bytes.iter().enumerate() {
            match byte {
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' if self.in_string => self.is_escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b',' | b']' if self.depth == 0 => return Some(place),
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        None
    }
}

fn line_end(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

fn all<'b>(input: &[u8], at: &mut usize) -> Frame<'b> {
    *at = input.len();
    Frame::Open
}

fn record(bytes: &[u8]) -> Frame<'_> {
    if bytes.len() > RECORD_BYTES_MAX {
        let words = format!("it has more than {RECORD_BYTES_MAX} bytes, of which these are the first; the rest is passed over");
        return Frame::Broken(&bytes[..RECORD_BYTES_MAX], Rejection::new("record_too_large", words));
    }
    Frame::Record(bytes.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(input: &str) -> Vec<String> {
        let (mut place, mut at, mut found) = (Place::default(), 0, Vec::new());
        loop {
            match place.next(input.as_bytes(), &mut at, true) {
                Frame::Open => return found,
                Frame::Record(bytes) => found.push(String::from_utf8_lossy(bytes).into_owned()),
                Frame::Broken(bytes, why) => found.push(format!("{} {}", why.code, bytes.len())),
            }
        }
    }

    #[test]
    fn records_end_with_their_line_or_within_a_list() {
        let check = |input: &str, want: &[&str]| assert_eq!(frames(input), want, "{input:?}");
        check("", &[]);
        check("\n \r\n\t", &[]);
        check("{}\n\r\n {\"a\":1} \r\n2", &["{}", "{\"a\":1}", "2"]);
        check("\u{feff}{}\n", &["{}"]);
        check("[]", &[]);
        check("[{\"a\":[1,2]},\n {\"b\":\"],\\\"}\"}\n]\n", &["{\"a\":[1,2]}", "{\"b\":\"],\\\"}\"}"]);
        check("[1,[2,3]]\n{}\n[4]", &["1", "[2,3]", "{}", "4"]);
        check("[{},{\"a\":", &["{}", "unclosed_list 5"]);
        check("{}[1]", &["{}[1]"]);
        let long = "x".repeat(RECORD_BYTES_MAX);
        check(&format!("{long}\n{long}x\n1"), &[&long, "record_too_large 524288", "1"]);
        check(&format!("[{long}, {long}x, 1]"), &[&long, "record_too_large 524288", "1"]);
    }
}
