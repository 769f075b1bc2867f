//! What is in a file or an object: its bytes, unpacked where it is packed, from some place on.

use std::io;

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeek, AsyncSeekExt, BufReader};

/// Bytes, one after the other.
pub(super) type Content = Box<dyn AsyncRead + Send + Unpin>;

/// How content is packed: told by its first bytes and never by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    /// RFC 1952: it begins with 1f 8b.
    Gzip,
    /// RFC 8878: it begins with 28 b5 2f fd.
    Zstd,
}

impl Packing {
    fn of(head: &[u8]) -> Packing {
        match head {
            [0x1f, 0x8b, ..] => Packing::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Packing::Zstd,
            _ => Packing::Plain,
        }
    }
}

/// Opens what `raw` has, `offset` unpacked bytes after its beginning. What is packed is read up to there.
pub(super) async fn open<R>(mut raw: R, offset: u64) -> io::Result<(Packing, Content)>
where
    R: AsyncRead + AsyncSeek + Send + Unpin + 'static,
{
    let mut head = Vec::new();
    (&mut raw).take(4).read_to_end(&mut head).await?;
    let packing = Packing::of(&head);
    let start = if packing == Packing::Plain { offset } else { 0 };
    raw.seek(io::SeekFrom::Start(start)).await?;
    let mut content: Content = match packing {
        Packing::Plain => return Ok((packing, Box::new(raw))),
        Packing::Gzip => {
            let mut decoder = GzipDecoder::new(BufReader::new(raw));
            decoder.multiple_members(true);
            Box::new(decoder)
        }
        Packing::Zstd => {
            let mut decoder = ZstdDecoder::new(BufReader::new(raw));
            decoder.multiple_members(true);
            Box::new(decoder)
        }
    };
    let skipped = tokio::io::copy(&mut (&mut content).take(offset), &mut tokio::io::sink()).await?;
    if skipped < offset {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("it has {skipped} bytes unpacked, and had {offset}")));
    }
    Ok((packing, content))
}

/// As many bytes as there are, up to `bytes_max`; none at the end.
pub(super) async fn chunk(content: &mut Content, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut chunk = Vec::with_capacity(bytes_max);
    content.take(bytes_max as u64).read_to_end(&mut chunk).await?;
    Ok(chunk)
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[tokio::test]
    async fn content_is_the_same_however_it_is_packed() {
        let text: Vec<u8> = (0..20_000_u32).flat_map(|number| format!("line {number}\n").into_bytes()).collect();
        let gzip = |bytes: &[u8]| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(bytes).expect("memory takes it");
            encoder.finish().expect("memory takes it")
        };
        let (one, two) = text.split_at(100_000);
        let check = async |packed: Vec<u8>, want: Packing| {
            for offset in [0, 1, 70_000, text.len()] {
                let (packing, mut content) = open(Cursor::new(packed.clone()), offset as u64).await.expect("opens");
                let mut got = Vec::new();
                loop {
                    let chunk = chunk(&mut content, 4_096).await.expect("reads");
                    if chunk.is_empty() {
                        break;
                    }
                    got.extend(chunk);
                }
                assert!(packing == want && got == text[offset..], "{want:?} from {offset}");
            }
            let past = open(Cursor::new(packed), text.len() as u64 + 1).await;
            assert!(want == Packing::Plain || past.is_err(), "{want:?}");
        };
        check(text.clone(), Packing::Plain).await;
        check(gzip(&text), Packing::Gzip).await;
        check([gzip(one), gzip(two)].concat(), Packing::Gzip).await;
        check(zstd::stream::encode_all(&*text, 1).expect("packs"), Packing::Zstd).await;
        let broken = gzip(&text)[..1_000].to_vec();
        let (_, mut content) = open(Cursor::new(broken), 0).await.expect("opens");
        assert!(content.read_to_end(&mut Vec::new()).await.is_err(), "a torn file is not taken for a short one");
    }
}
