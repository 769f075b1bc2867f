//! What comes back: read and inflated as it arrives, within the connection's bound, and how long the other side asks to wait.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use flate2::write::MultiGzDecoder;
use http_body_util::BodyExt;
use hyper::body::{Body, Bytes};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Response, StatusCode};
use weft_host::HttpResponse;

/// Why there is no answer, although one had begun.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BrokenAnswer {
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
    #[error("the answer has an encoding that was not asked for")]
    Encoding,
    #[error("the answer is no valid gzip")]
    Gzip,
    #[error("the answer broke off")]
    BrokeOff,
}

/// What stands in place of a secret.
const BLOT: &[u8] = b"[secret]";

/// Takes out of an answer what it repeats of the credentials that it was told, so that a plugin, and what it says in an error, never has them
/// (invariant 7). A token counts by itself, without the word before it.
pub(super) fn blot(answer: &mut HttpResponse, told: &[HeaderValue]) {
    for value in told {
        let whole = value.as_bytes();
        let bare = whole.iter().position(|byte| *byte == b' ').map_or(whole, |space| &whole[space + 1..]);
        // What is so short stands everywhere, and is no secret.
        if bare.len() < SECRET_BYTES_MIN {
            continue;
        }
        if let Some(clean) = without(&answer.body, bare) {
            answer.body = clean;
        }
        for (_, value) in &mut answer.headers {
            if let Some(clean) = without(value.as_bytes(), bare) {
                *value = String::from_utf8_lossy(&clean).into_owned();
            }
        }
    }
}

/// Bytes of a secret that is looked for in answers.
const SECRET_BYTES_MIN: usize = 6;

/// Bytes without a secret; none where it is not in them.
fn without(bytes: &[u8], secret: &[u8]) -> Option<Vec<u8>> {
    let places: Vec<usize> = memchr::memmem::find_iter(bytes, secret).collect();
    let (mut clean, mut from) = (Vec::with_capacity(bytes.len()), 0);
    for place in &places {
        clean.extend_from_slice(&bytes[from..*place]);
        clean.extend_from_slice(BLOT);
        from = place + secret.len();
    }
    clean.extend_from_slice(&bytes[from..]);
    (!places.is_empty()).then_some(clean)
}

/// Reads the whole answer.
pub(super) async fn read<B>(response: Response<B>, bytes_max: usize) -> Result<HttpResponse, BrokenAnswer>
where
    B: Body<Data = Bytes> + Unpin,
{
    let (mut head, mut body) = response.into_parts();
    if usize::try_from(body.size_hint().lower()).map_or(true, |declared| declared > bytes_max) {
        return Err(BrokenAnswer::TooLarge(bytes_max));
    }
    let is_gzip = is_gzip(&head.headers)?;
    let (mut sink, mut arrived) = (Sink::new(bytes_max), 0_usize);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| BrokenAnswer::BrokeOff)?.into_data() else { continue };
        arrived = arrived.saturating_add(data.len());
        // A chain of empty gzip members grows to nothing, for ever.
        if arrived > bytes_max {
            return Err(BrokenAnswer::TooLarge(bytes_max));
        }
        if is_gzip && matches!(sink, Sink::Plain(_)) && !data.is_empty() {
            sink = Sink::Gzip(Box::new(MultiGzDecoder::new(Bounded::new(bytes_max))));
        }
        sink.take(&data)?;
    }
    let was_inflated = matches!(sink, Sink::Gzip(_));
    let body = sink.finish()?;
    if was_inflated {
        head.headers.remove(header::CONTENT_ENCODING);
        head.headers.remove(header::CONTENT_LENGTH);
    }
    let text = |value: &header::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect();
    Ok(HttpResponse { status: head.status.as_u16(), headers, body })
}

/// How long the other side asks to wait, with a status that stands for that.
pub(super) fn patience(status: StatusCode, headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    if !matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        return None;
    }
    let text = |name| headers.get(name)?.to_str().ok();
    let after = text(header::RETRY_AFTER)?.trim();
    if !after.is_empty() && after.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(after.parse().unwrap_or(u64::MAX)));
    }
    let until = httpdate::parse_http_date(after).ok()?;
    // By the other side's clock, where it shows it: the two may differ.
    let now = text(header::DATE).and_then(|date| httpdate::parse_http_date(date).ok()).unwrap_or(now);
    Some(until.duration_since(now).unwrap_or(Duration::ZERO))
}

fn is_gzip(headers: &HeaderMap) -> Result<bool, BrokenAnswer> {
    let mut is_gzip = false;
    for value in headers.get_all(header::CONTENT_ENCODING) {
        for coding in value.to_str().map_err(|_| BrokenAnswer::Encoding)?.split(',') {
            match coding.trim().to_ascii_lowercase().as_str() {
                "" | "identity" => (),
                "gzip" | "x-gzip" if !is_gzip => is_gzip = true,
                _ => return Err(BrokenAnswer::Encoding),
            }
        }
    }
    Ok(is_gzip)
}

enum Sink {
    Plain(Bounded),
    Gzip(Box<MultiGzDecoder<Bounded>>),
}

impl Sink {
    fn new(bytes_max: usize) -> Sink {
        Sink::Plain(Bounded::new(bytes_max))
    }

    fn take(&mut self, data: &[u8]) -> Result<(), BrokenAnswer> {
        match self {
            Sink::Plain(bounded) => bounded.write_all(data).map_err(|_| bounded.too_large()),
            Sink::Gzip(decoder) => decoder.write_all(data).map_err(|_| gzip_error(decoder)),
        }
    }

    fn finish(self) -> Result<Vec<u8>, BrokenAnswer> {
        match self {
            Sink::Plain(bounded) => Ok(bounded.bytes),
            Sink::Gzip(mut decoder) => {
                decoder.try_finish().map_err(|_| gzip_error(&decoder))?;
                Ok(std::mem::take(&mut decoder.get_mut().bytes))
            }
        }
    }
}

fn gzip_error(decoder: &MultiGzDecoder<Bounded>) -> BrokenAnswer {
    let bounded = decoder.get_ref();
    if bounded.is_over { bounded.too_large() } else { BrokenAnswer::Gzip }
}

/// Bytes up to a bound.
struct Bounded {
    bytes: Vec<u8>,
    bytes_max: usize,
    is_over: bool,
}

impl Bounded {
    fn new(bytes_max: usize) -> Bounded {
        Bounded { bytes: Vec::new(), bytes_max, is_over: false }
    }

    fn too_large(&self) -> BrokenAnswer {
        BrokenAnswer::TooLarge(self.bytes_max)
    }
}

impl Write for Bounded {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if data.len() > self.bytes_max - self.bytes.len() {
            self.is_over = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use http_body_util::Full;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).expect("compresses");
        encoder.finish().expect("compresses")
    }

    #[test]
    fn an_answer_that_repeats_credentials_is_blotted() {
        let told = [HeaderValue::from_static("Bearer t0ken-of-the-shop"), HeaderValue::from_static("k")];
        let headers = vec![("x-echo".to_owned(), "Bearer t0ken-of-the-shop".to_owned())];
        let mut answer = HttpResponse { status: 503, headers, body: b"<t0ken-of-the-shop> k, t0ken-of-the-shop".to_vec() };
        blot(&mut answer, &told);
        assert_eq!(String::from_utf8_lossy(&answer.body), "<[secret]> k, [secret]");
        assert_eq!(answer.headers[0].1, "Bearer [secret]");
    }

    #[tokio::test]
    async fn a_body_is_inflated_within_its_bound() {
        let check = async |coding: &str, body: &[u8], want: Result<&[u8], BrokenAnswer>| {
            let response =
                Response::builder().header("content-encoding", coding).body(Full::from(body.to_vec())).expect("a response");
            let read = read(response, 1_000).await;
            assert_eq!(
                read.as_ref().map(|answer| &*answer.body),
                want.as_ref().map(|body| *body),
                "{coding} {} bytes",
                body.len()
            );
        };
        let text = b"a".repeat(1_000);
        check("identity", b"plain", Ok(b"plain")).await;
        check("gzip", &gzip(b"plain"), Ok(b"plain")).await;
        check("X-GZIP", &gzip(b"plain"), Ok(b"plain")).await;
        check("gzip", &gzip(b""), Ok(b"")).await;
        check("gzip", b"", Ok(b"")).await;
        check("gzip", &[gzip(b"one "), gzip(b"two")].concat(), Ok(b"one two")).await;
        check("gzip", &gzip(&text), Ok(&text)).await;
        check("gzip", &gzip(&b"a".repeat(1_001)), Err(BrokenAnswer::TooLarge(1_000))).await;
        check("gzip", &gzip(&b"a".repeat(1 << 20)), Err(BrokenAnswer::TooLarge(1_000))).await;
        check("gzip", &gzip(b"").repeat(60), Err(BrokenAnswer::TooLarge(1_000))).await;
        check("identity", &b"a".repeat(1_001), Err(BrokenAnswer::TooLarge(1_000))).await;
        check("gzip", b"not gzip at all", Err(BrokenAnswer::Gzip)).await;
        let whole = gzip(b"broken in the middle");
        for length in 1..whole.len() {
            check("gzip", &whole[..length], Err(BrokenAnswer::Gzip)).await;
        }
        check("br", b"x", Err(BrokenAnswer::Encoding)).await;
        check("gzip, gzip", &gzip(&gzip(b"x")), Err(BrokenAnswer::Encoding)).await;
    }

    #[test]
    fn patience_is_read_in_seconds_and_as_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let check = |status: u16, after: &str, date: &str, want: Option<u64>| {
            let mut headers = HeaderMap::new();
            headers.insert("retry-after", after.parse().expect("a value"));
            headers.insert("date", date.parse().expect("a value"));
            let status = StatusCode::from_u16(status).expect("a status");
            assert_eq!(patience(status, &headers, now).map(|wait| wait.as_secs()), want, "{status} {after} {date}");
        };
        check(429, "30", "", Some(30));
        check(503, " 0 ", "", Some(0));
        check(429, "99999999999999999999999", "", Some(u64::MAX));
        check(429, "Sun, 06 Nov 1994 08:49:47 GMT", "", Some(10));
        check(429, "Sunday, 06-Nov-94 08:49:47 GMT", "", Some(10));
        check(429, "Sun Nov  6 08:49:47 1994", "", Some(10));
        check(429, "Sun, 06 Nov 1994 08:49:00 GMT", "", Some(0));
        // The other side's clock is an hour late.
        check(429, "Sun, 06 Nov 1994 07:49:47 GMT", "Sun, 06 Nov 1994 07:49:37 GMT", Some(10));
        check(429, "-1", "", None);
        check(429, "soon", "", None);
        check(200, "30", "", None);
        check(500, "30", "", None);
    }
}
