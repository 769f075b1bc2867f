//! Formats of texts: what each looks like, and what is wrong with one that does not.
//!
//! Plugins may use these too. Formats of JSON Schema itself (`date-time`, `uri`, `email` …) are checked by `jsonschema`.

use std::net::SocketAddr;

use url::Url;
use weft_conditions::{Condition, Mistake};
use weft_domain::identity::Pattern;
use weft_domain::path::Path;
use weft_domain::value::Excerpt;

use super::super::connection::Template;
use super::super::cron::Cron;
use super::super::origin::Origin;
use super::super::spec::attribute::{EVENTS, Since};
use super::super::spec::scenario::Moment;
use super::super::units::{Duration, Rate, Size};
use super::super::zone;
use crate::signature::PublicKey;

/// A format.
pub(super) struct Format {
    /// Its name in a schema.
    pub name: &'static str,
    /// What is expected, as a noun with its article.
    pub noun: &'static str,
    /// Whether a text is of it; the error has a line for each thing that is wrong.
    pub check: fn(&str) -> Result<(), String>,
}

/// Every format of ours.
pub(super) static ALL: &[Format] = &[
    Format { name: "secret", noun: "a secret, such as \"${secret:NAME}\"", check: |_| Ok(()) },
    Format { name: "folder", noun: "a folder", check: |_| Ok(()) },
    Format {
        name: "weft-duration",
        noun: "a duration, such as `250ms`, `90s` or `1h30m`",
        check: |text| text.parse::<Duration>().map(drop),
    },
    Format { name: "weft-size", noun: "a size, such as `64 MiB`", check: |text| text.parse::<Size>().map(drop) },
    Format { name: "weft-rate", noun: "a rate, such as `10/s` or `50/min`", check: |text| text.parse::<Rate>().map(drop) },
    Format {
        name: "weft-moment",
        noun: "a moment: \"09:30\", `30m`, or a time such as `2026-03-01T09:30:00Z`",
        check: |text| text.parse::<Moment>().map(drop),
    },
    Format { name: "weft-time", noun: "a time of the day, such as \"03:00\"", check: |text| time_of_day(text).map(drop) },
    Format {
        name: "weft-cron",
        noun: "five fields, such as \"*/15 6-22 * * MON-FRI\"",
        check: |text| text.parse::<Cron>().map(drop),
    },
    Format { name: "weft-zone", noun: "an IANA time zone, such as `Europe/Berlin` or `UTC`", check: zone },
    Format { name: "weft-listen", noun: "an IP address and a port, such as `127.0.0.1:8080`", check: listen },
    Format { name: "weft-url", noun: "an address, such as `https://api.example.com/v1/`", check: |text| url(text).map(drop) },
    Format { name: "weft-value", noun: "a text, which may hold \"${secret:NAME}\"", check: |_| Ok(()) },
    Format {
        name: "weft-token-url",
        noun: "an address, such as `https://login.example.com/oauth2/token`",
        check: |text| token_url(text).map(drop),
    },
    Format {
        name: "weft-signed-text",
        noun: "a text with `{body}` in it, such as `{timestamp}.{body}`",
        check: |text| Template::signed(text).map(drop),
    },
    Format {
        name: "weft-signature-prefix",
        noun: "what stands before a signature, such as `sha256=`",
        check: |text| Template::prefix(text).map(drop),
    },
    Format { name: "weft-path", noun: "a path, such as `/segment`", check: path },
    Format { name: "weft-token-hash", noun: "`sha256:` and 64 hexadecimal digits", check: token_hash },
    Format {
        name: "weft-plugin-url",
        noun: "the address of a file, such as `https://plugins.example.com/clearbit-1.2.0.wasm`",
        check: |text| text.parse::<Origin>().and_then(|origin| origin.is_url()),
    },
    Format {
        name: "weft-oci",
        noun: "an artifact of a registry, such as `oci://ghcr.io/acme/clearbit:1.2.0`",
        check: |text| text.parse::<Origin>().and_then(|origin| origin.is_artifact()),
    },
    Format {
        name: "weft-public-key",
        noun: "a public key, `ed25519:` and base64: `weft plugin key` makes one",
        check: |text| text.parse::<PublicKey>().map(drop),
    },
    Format {
        name: "weft-event-path",
        noun: "a path into an event, such as `properties.total` or `products[].price`",
        check: |text| Path::try_from(text.to_owned()).map(drop),
    },
    Format {
        name: "weft-count",
        noun: "`events`, or a path into an event, such as `products[]`",
        check: |text| match text {
            EVENTS => Ok(()),
            "event" => Err("an event has no `event`: did you mean `events`?".into()),
            path => Path::try_from(path.to_owned()).map(drop),
        },
    },
    Format { name: "weft-condition", noun: "a condition in CEL, such as `event.properties.total > 100`", check: condition },
    Format {
        name: "weft-since",
        noun: "a day such as `2026-01-01`, or a time such as `2026-03-01T09:30:00Z`",
        check: |text| text.parse::<Since>().map(drop),
    },
    Format {
        name: "weft-pattern",
        noun: "a text, or a regular expression between slashes",
        check: |text| Pattern::try_from(text.to_owned()).map(drop),
    },
];

/// The format of this name, where it is ours.
pub(super) fn find(name: &str) -> Option<&'static Format> {
    ALL.iter().find(|format| format.name == name)
}

/// A time of the day such as `03:00`, in milliseconds since midnight.
pub(in super::super) fn time_of_day(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{}` is not a time of the day", Excerpt(text));
    let (hour, minute) = text.split_once(':').filter(|(_, minute)| minute.len() == 2).ok_or_else(wrong)?;
    let number = |digits: &str, below: u64| {
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|number| is_number && *number < below)
    };
    let (hour, minute): (u64, u64) = number(hour, 24).zip(number(minute, 60)).ok_or_else(wrong)?;
    Ok((hour * 60 + minute) * 60_000)
}

fn condition(text: &str) -> Result<(), String> {
    let lines = |mistakes: Vec<Mistake>| mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    Condition::parse(text).map(drop).map_err(lines)
}

fn zone(text: &str) -> Result<(), String> {
    if zone::is_known(text) { Ok(()) } else { Err(format!("`{}` is not the name of a time zone", Excerpt(text))) }
}

/// What a text that is not of a format was probably meant to be, where there is a list to look it up in.
pub(super) fn meant(format: &str, text: &str) -> Option<&'static str> {
    if format == "weft-zone" { zone::meant(text) } else { None }
}

fn listen(text: &str) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("`{}` is not an address to listen on{why}", Excerpt(text)));
    if text.parse::<SocketAddr>().is_ok() {
        return Ok(());
    }
    match text.rsplit_once(':') {
        Some(("", port)) if port.parse::<u16>().is_ok() => {
            wrong(&format!(": write `0.0.0.0:{port}` for every address of this machine"))
        }
        Some(("localhost", port)) if port.parse::<u16>().is_ok() => wrong(&format!(": write `127.0.0.1:{port}`")),
        None if text.parse::<u16>().is_ok() => wrong(&format!(": write `127.0.0.1:{text}`")),
        None => wrong(": it has no port"),
        Some(_) => wrong(""),
    }
}

/// The address of a connection.
pub(in super::super) fn url(text: &str) -> Result<Url, String> {
    let url = address(text)?;
    // Not shown from here on: it may hold credentials.
    match url.scheme() {
        "http" | "https" => (),
        "smtp" | "smtps" if !matches!(url.path(), "" | "/") => return Err("the address of a mail server has no path".into()),
        "smtp" | "smtps" if url.host_str().is_none_or(str::is_empty) => return Err("the address names no host".into()),
        "smtp" | "smtps" => (),
        scheme => {
            return Err(format!("`{scheme}://` is not supported, only `https://`, `http://`, `smtp://` and `smtps://` are"));
        }
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("an address that others are relative to has no `?` and no `#`".into());
    }
    Ok(url)
}

/// The address of a token endpoint.
pub(in super::super) fn token_url(text: &str) -> Result<Url, String> {
    let url = address(text)?;
    match url.scheme() {
        "http" | "https" if url.fragment().is_none() => Ok(url),
        "http" | "https" => Err("the address of a token endpoint has no `#`".into()),
        scheme => Err(format!("`{scheme}://` is not supported, only `https://` and `http://` are")),
    }
}

fn address(text: &str) -> Result<Url, String> {
    let shown = Excerpt(text);
    let url = Url::parse(text).map_err(|error| match error {
        url::ParseError::RelativeUrlWithoutBase => format!("`{shown}` does not begin with `https://`"),
        error => format!("`{shown}` is not an address: {error}"),
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("an address must not hold credentials: put them under `auth`".into());
    }
    Ok(url)
}

fn path(text: &str) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("`{}` {why}", Excerpt(text)));
    let segments = text.strip_prefix('/').map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    match segments {
        None => wrong("does not begin with `/`"),
        Some("") => wrong("is the dashboard's"),
        Some(segments) => {
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
            let plain = |segment: &str| !segment.is_empty() && segment != "." && segment != ".." && segment.bytes().all(fits);
            if !segments.split('/').all(plain) {
                return wrong("may hold letters, digits, `-`, `_`, `.` and `~` between its slashes");
            }
            let first = segments.split('/').next().unwrap_or_default();
            if RESERVED_PATHS.contains(&first) { wrong("belongs to the engine itself") } else { Ok(()) }
        }
    }
}

/// What the engine answers itself.
const RESERVED_PATHS: [&str; 7] = ["api", "assets", "dashboard", "healthz", "metrics", "opendsr", "readyz"];

fn token_hash(text: &str) -> Result<(), String> {
    let digits = text.strip_prefix("sha256:").ok_or_else(|| String::from("the hash of a token begins with `sha256:`"))?;
    let is_hex = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hex { Ok(()) } else { Err("after `sha256:` there must be 64 hexadecimal digits".into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, text: &str, want: &str) {
        let format = find(name).expect("a format");
        let got = (format.check)(text).err().unwrap_or_default();
        assert_eq!(got, want, "{text}");
    }

    #[test]
    fn addresses() {
        check("weft-url", "https://slack.com/api/", "");
        check("weft-url", "http://127.0.0.1:9000", "");
        check("weft-url", "slack.com/api", "`slack.com/api` does not begin with `https://`");
        check("weft-url", "smtp://mail.example:587", "");
        check("weft-url", "smtps://mail.example/", "");
        check("weft-url", "smtp://mail.example/x", "the address of a mail server has no path");
        check("weft-url", "smtp:///", "the address names no host");
        check("weft-url", "ftp://x", "`ftp://` is not supported, only `https://`, `http://`, `smtp://` and `smtps://` are");
        check("weft-token-url", "https://login.example/token?tenant=1", "");
        check("weft-token-url", "smtp://x", "`smtp://` is not supported, only `https://` and `http://` are");
        check("weft-url", "https://me:pw@x/", "an address must not hold credentials: put them under `auth`");
        check("weft-url", "https://x/?a=1", "an address that others are relative to has no `?` and no `#`");
    }

    #[test]
    fn listeners() {
        check("weft-listen", "[::1]:80", "");
        check("weft-listen", "8080", "`8080` is not an address to listen on: write `127.0.0.1:8080`");
        check(
            "weft-listen",
            ":8080",
            "`:8080` is not an address to listen on: write `0.0.0.0:8080` for every address of this machine",
        );
        check("weft-listen", "localhost:8080", "`localhost:8080` is not an address to listen on: write `127.0.0.1:8080`");
        check("weft-listen", "127.0.0.1", "`127.0.0.1` is not an address to listen on: it has no port");
    }

    #[test]
    fn paths() {
        check("weft-path", "/segment", "");
        check("weft-path", "/hooks/shop.v1/", "");
        check("weft-path", "segment", "`segment` does not begin with `/`");
        check("weft-path", "/", "`/` is the dashboard's");
        check("weft-path", "/api/x", "`/api/x` belongs to the engine itself");
        check("weft-path", "/apis", "");
        check("weft-path", "/a//b", "`/a//b` may hold letters, digits, `-`, `_`, `.` and `~` between its slashes");
        check("weft-path", "/a/../b", "`/a/../b` may hold letters, digits, `-`, `_`, `.` and `~` between its slashes");
    }

    #[test]
    fn zones() {
        check("weft-zone", "Europe/Berlin", "");
        check("weft-zone", "Etc/GMT+1", "");
        check("weft-zone", "UTC", "");
        check("weft-zone", "Europe/Berlinn", "`Europe/Berlinn` is not the name of a time zone");
        check("weft-zone", "CEST", "`CEST` is not the name of a time zone");
        check("weft-zone", "+02:00", "`+02:00` is not the name of a time zone");
    }
}
