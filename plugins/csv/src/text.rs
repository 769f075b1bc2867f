//! From a file's bytes to UTF-8, chunk by chunk.
//!
//! A byte order mark decides before the configuration does. UTF-8 passes as it is, right or wrong: a row that is none is refused with
//! its bytes. Half a surrogate pair, which is no letter, becomes U+FFFD.

use crate::config::Encoding;

/// What Windows-1252 has from 0x80 on where ISO 8859-1 has control characters; the five that it leaves free stay those, as the
/// WHATWG's Encoding Standard has it.
const WINDOWS_1252: [char; 32] = [
    '€', '\u{81}', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\u{8d}', 'Ž', '\u{8f}', '\u{90}', '‘', '’', '“', '”',
    '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\u{9d}', 'ž', 'Ÿ',
];

/// The encoding by the mark at a file's beginning, and the mark's length.
pub(crate) fn by_mark(beginning: &[u8], otherwise: Encoding) -> (Encoding, usize) {
    match beginning {
        [0xef, 0xbb, 0xbf, ..] => (Encoding::Utf8, 3),
        [0xff, 0xfe, ..] => (Encoding::Utf16Le, 2),
        [0xfe, 0xff, ..] => (Encoding::Utf16Be, 2),
        _ => (otherwise, 0),
    }
}

/// Bytes that a mark has at most.
pub(crate) const MARK_BYTES_MAX: usize = 3;

/// Appends bytes as UTF-8, and returns how many it read: the beginning of a letter is left for the next chunk, unless this is the last.
pub(crate) fn transcode(encoding: Encoding, bytes: &[u8], last: bool, out: &mut Vec<u8>) -> usize {
    let read: fn([u8; 2]) -> u16 = match encoding {
        Encoding::Utf8 => {
            out.extend_from_slice(bytes);
            return bytes.len();
        }
        Encoding::Windows1252 => {
            bytes.iter().for_each(|byte| push(out, letter(*byte)));
            return bytes.len();
        }
        Encoding::Utf16Le => u16::from_le_bytes,
        Encoding::Utf16Be => u16::from_be_bytes,
    };
    let is_first_half = |unit: u16| (0xd800..0xdc00).contains(&unit);
    let mut whole = bytes.len() / 2 * 2;
    let mut units: Vec<u16> = bytes[..whole].chunks_exact(2).map(|pair| read([pair[0], pair[1]])).collect();
    if !last && units.last().copied().is_some_and(is_first_half) {
        units.pop();
        whole -= 2;
    }
    for letter in char::decode_utf16(units) {
        push(out, letter.unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    if last && whole < bytes.len() {
        push(out, char::REPLACEMENT_CHARACTER);
        whole = bytes.len();
    }
    whole
}

fn letter(byte: u8) -> char {
    match byte {
        0x80..=0x9f => WINDOWS_1252[usize::from(byte - 0x80)],
        byte => char::from(byte),
    }
}

fn push(out: &mut Vec<u8>, letter: char) {
    out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_letters_however_they_are_cut() {
        let check = |encoding: Encoding, bytes: &[u8], want: &str| {
            for cut in 0..=bytes.len() {
                let mut out = Vec::new();
                let read = transcode(encoding, &bytes[..cut], false, &mut out);
                transcode(encoding, &bytes[read..], true, &mut out);
                assert_eq!(String::from_utf8(out).as_deref(), Ok(want), "cut at {cut}");
            }
        };
        check(Encoding::Utf8, "añ€𝄞".as_bytes(), "añ€𝄞");
        check(Encoding::Windows1252, b"M\xfcller \x80 5\x96\x9f\x81", "Müller € 5–Ÿ\u{81}");
        let units: Vec<u16> = "añ€𝄞b".encode_utf16().collect();
        check(Encoding::Utf16Le, &units.iter().flat_map(|unit| unit.to_le_bytes()).collect::<Vec<_>>(), "añ€𝄞b");
        check(Encoding::Utf16Be, &units.iter().flat_map(|unit| unit.to_be_bytes()).collect::<Vec<_>>(), "añ€𝄞b");
        check(Encoding::Utf16Le, b"a\0\x34\xd8b\0c", "a\u{fffd}b\u{fffd}");
    }

    #[test]
    fn a_mark_goes_before_the_configuration() {
        assert_eq!(by_mark(b"\xef\xbb\xbfa", Encoding::Windows1252), (Encoding::Utf8, 3));
        assert_eq!(by_mark(b"\xff\xfea\0", Encoding::Utf8), (Encoding::Utf16Le, 2));
        assert_eq!(by_mark(b"\xfe\xff\0a", Encoding::Utf8), (Encoding::Utf16Be, 2));
        assert_eq!(by_mark(b"abc", Encoding::Windows1252), (Encoding::Windows1252, 0));
    }
}
