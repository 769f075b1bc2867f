//! AWS Signature Version 4, as AWS's documentation "Create a signed AWS API request" has it, in the header `authorization`.
//!
//! Signed are the host, the content type, and every header that begins with `x-amz-`. The query is sent as it is signed: percent-encoded
//! to the letter, with `%20` in place of `+`.

use hmac::Hmac;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Request, Uri};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use sha2::{Digest, Sha256};
use weft_domain::value::Timestamp;

use super::hidden;
use super::signature::{hex, mac};
use crate::config::connection::AwsV4;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const CONTENT: HeaderName = HeaderName::from_static("x-amz-content-sha256");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// Whether signing sets this header, beside `authorization`.
pub(super) fn sets(name: &HeaderName) -> bool {
    [DATE, CONTENT, TOKEN].contains(name)
}

pub(super) fn sign(aws: &AwsV4, request: &mut Request<Full<Bytes>>, body: &[u8], now: Timestamp) -> Result<(), &'static str> {
    let date = date(now)?;
    if let Some(query) = request.uri().query() {
        let path_and_query = format!("{}?{}", request.uri().path(), sent_query(query));
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = Some(path_and_query.parse().map_err(|_| "the query cannot be sent")?);
        *request.uri_mut() = Uri::from_parts(parts).map_err(|_| "the query cannot be sent")?;
    }
    let payload = hex(&Sha256::digest(body));
    let host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
    let headers = request.headers_mut();
    headers.insert(DATE, HeaderValue::from_str(&date).map_err(|_| "the time is no header")?);
    headers.insert(CONTENT, HeaderValue::from_str(&payload).map_err(|_| "the hash is no header")?);
    if let Some(token) = &aws.session_token {
        headers.insert(TOKEN, hidden(&token.expose())?);
    }
    let mut signed = vec![("host".to_owned(), host)];
    for (name, value) in request.headers() {
        if *name == header::CONTENT_TYPE || name.as_str().starts_with("x-amz-") {
            let value = std::str::from_utf8(value.as_bytes()).map_err(|_| "a header to be signed is no text")?;
            signed.push((name.as_str().to_owned(), value.to_owned()));
        }
    }
    let uri = request.uri();
    let asked =
        Asked { method: request.method().as_str(), path: uri.path(), query: uri.query().unwrap_or_default(), payload: &payload };
    let value = hidden(authorization(aws, &asked, signed, &date).as_bytes())?;
    request.headers_mut().insert(header::AUTHORIZATION, value);
    Ok(())
}

/// What is signed of a request, beside its headers.
struct Asked<'a> {
    method: &'a str,
    path: &'a str,
    query: &'a str,
    /// The body's SHA-256 in hexadecimal.
    payload: &'a str,
}

/// The value of `authorization`. Headers have lower-case names, and come in any order.
fn authorization(aws: &AwsV4, asked: &Asked<'_>, mut headers: Vec<(String, String)>, date: &str) -> String {
    headers.sort_by(|one, other| one.0.cmp(&other.0));
    let names: Vec<&str> = headers.iter().map(|(name, _)| &**name).collect();
    let names = names.join(";");
    let lines: String = headers.iter().map(|(name, value)| format!("{name}:{}\n", squeezed(value))).collect();
    let path = canonical_path(asked.path, &aws.service);
    let query = canonical_query(asked.query);
    let canonical = format!("{}\n{path}\n{query}\n{lines}\n{names}\n{}", asked.method, asked.payload);
    let day = date.split('T').next().unwrap_or_default();
    let scope = format!("{day}/{}/{}/aws4_request", aws.region, aws.service);
    let to_sign = format!("{ALGORITHM}\n{date}\n{scope}\n{}", hex(&Sha256::digest(&canonical)));
    let mut key = [b"AWS4", &*aws.secret_access_key.expose()].concat();
    for part in [day, &aws.region, &aws.service, "aws4_request"] {
        key = mac::<Hmac<Sha256>>(&key, part.as_bytes());
    }
    let signature = hex(&mac::<Hmac<Sha256>>(&key, to_sign.as_bytes()));
    let id = aws.access_key_id.expose_text();
    format!("{ALGORITHM} Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}")
}

fn date(now: Timestamp) -> Result<String, &'static str> {
    let now = jiff::Timestamp::from_millisecond(now.0).map_err(|_| "the clock shows no time")?;
    Ok(now.strftime("%Y%m%dT%H%M%SZ").to_string())
}

/// A header's value without white space around it, and with one space where there are several.
fn squeezed(value: &str) -> String {
    value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

/// The path as it is sent, encoded once more and without empty segments; S3 alone takes it as it is.
fn canonical_path(path: &str, service: &str) -> String {
    if service == "s3" {
        return path.split('/').map(|segment| encode(&decode(segment))).collect::<Vec<_>>().join("/");
    }
    let mut canonical = String::new();
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        canonical.push('/');
        canonical.push_str(&encode(segment.as_bytes()));
    }
    if path.ends_with('/') || canonical.is_empty() {
        canonical.push('/');
    }
    canonical
}

fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let part = |text: &str| encode(&decode(&text.replace('+', "%20")));
        (part(name), part(value))
    })
}

fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = pairs(query).collect();
    pairs.sort();
    pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// The same pairs in the order in which they were given.
fn sent_query(query: &str) -> String {
    pairs(query).map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// All but unreserved characters (RFC 3986, section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn encode(bytes: &[u8]) -> String {
    percent_encode(bytes, RESERVED).to_string()
}

fn decode(text: &str) -> Vec<u8> {
    percent_decode_str(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn aws(service: &str) -> AwsV4 {
        AwsV4 {
            region: "us-east-1".into(),
            service: service.into(),
            access_key_id: "AKIDEXAMPLE".into(),
            secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".into(),
            session_token: None,
        }
    }

    /// The test suite that AWS publishes for Signature Version 4 (`aws-signing-test-suite/v4` of its library `aws-c-auth`): a request, what is to be
    /// signed of it, and the signature.
    #[test]
    fn the_published_test_suite_passes() {
        let check = |request: &str, headers: &[(&str, &str)], body: &str, want: &str| {
            let (method, target) = request.split_once(' ').expect("a method and a target");
            let (path, query) = target.split_once('?').unwrap_or((target, ""));
            let payload = hex(&Sha256::digest(body));
            let asked = Asked { method, path, query, payload: &payload };
            let always = [("host", "example.amazonaws.com"), ("x-amz-date", "20150830T123600Z")];
            let headers = always.iter().chain(headers).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let value = authorization(&aws("service"), &asked, headers.collect(), "20150830T123600Z");
            assert_eq!(value.rsplit_once("Signature=").expect("a signature").1, want, "{request}: {value}");
        };
        check("GET /", &[], "", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31");
        check("GET //example//", &[], "", "9a624bd73a37c9a373b5312afbebe7a714a789de108f0bdfe846570885f57e84");
        check("GET /example space/", &[], "", "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741");
        check("GET /ሴ", &[], "", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85");
        check(
            "GET /-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
            &[],
            "",
            "07ef7494c76fa4850883e2b006601f940f8a34d404d0cfa977f52a65bbf5f24f",
        );
        check(
            "GET /?Param-3=Value3&Param=Value2&%E1%88%B4=Value1",
            &[],
            "",
            "371d3713e185cc334048618a97f809c9ffe339c62934c032af5a0e595648fcac",
        );
        check("GET /?ሴ=bar", &[], "", "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04");
        let values = [("my-header1", " value1"), ("my-header2", " \"a   b   c\"")];
        check("GET /", &values, "", "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736");
        let token = [("x-amz-security-token", "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267")];
        check("GET /", &token, "", "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8");
        check("POST /", &[("my-header1", "value1")], "", "c5410059b04c1ee005303aed430f6e6645f61f4dc9e1461ec8f8916fdf18852c");
        let form = [
            ("content-length", "13"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("x-amz-content-sha256", "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"),
        ];
        check("POST /", &form, "Param1=value1", "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b");
    }

    #[test]
    fn paths_and_queries_are_written_in_one_way() {
        let check = |path: &str, service: &str, want: &str| assert_eq!(canonical_path(path, service), want, "{path}");
        check("/functions/arn%3Aaws/x", "lambda", "/functions/arn%253Aaws/x");
        check("", "lambda", "/");
        check("/a//b%20c/", "s3", "/a//b%20c/");
        check("/a+b", "s3", "/a%2Bb");
        assert_eq!(canonical_query("b=2&a=x+y&a=%2f&empty"), "a=%2F&a=x%20y&b=2&empty=");
        assert_eq!(sent_query("b=2&a=x+y"), "b=2&a=x%20y");
    }

    #[test]
    fn what_is_signed_is_sent() {
        let mut request =
            Request::put("https://bucket.s3.eu-central-1.amazonaws.com/a%20b?x=1+2").body(Full::default()).expect("a request");
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        let aws = AwsV4 { session_token: Some("s3cret-token".into()), ..aws("s3") };
        sign(&aws, &mut request, b"body", Timestamp(1_440_938_160_000)).expect("signs");
        let text = |name: &str| request.headers()[name].to_str().expect("ASCII").to_owned();
        assert_eq!(text("x-amz-date"), "20150830T123600Z");
        assert!(
            text("authorization")
                .contains("SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date;x-amz-security-token,")
        );
        assert_eq!((request.uri().query(), &*text("x-amz-security-token")), (Some("x=1%202"), "s3cret-token"));
        assert!(!format!("{request:?} {aws:?}").contains("s3cret"));
    }
}
