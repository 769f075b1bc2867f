//! A request as it arrives, checked: who is meant by it, what is wanted, and who wants to hear of it.
//!
//! Identities are taken as the framework has them (a list, sections 5 and 7) and as mParticle's third version has them (a mapping by type).
//! What is wrong is said for every field, and never with a word of who is meant: errors must not name anybody (section 7.6).

use std::net::IpAddr;

use serde_json::{Map, Value};
use url::{Host, Url};
use weft_domain::value::{Excerpt, Timestamp};

use super::Kind;
use super::answer::Detail;
use crate::config::OpenDsr;
use crate::egress::Class;
use crate::limits;

/// A request.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub id: String,
    pub kind: Kind,
    pub regulation: String,
    pub group: Option<String>,
    pub submitted: Timestamp,
    /// Types of identifiers of the workspace, and values.
    pub whom: Vec<(String, String)>,
    pub callbacks: Vec<String>,
    /// Whether an erasure is not to wait.
    pub skips_wait: bool,
}

impl Request {
    /// Reads one, or says everything that is wrong with it.
    pub(super) fn read(body: &[u8], terms: &OpenDsr) -> Result<Request, Vec<Detail>> {
        let json: Result<Map<String, Value>, _> = serde_json::from_slice(body);
        let Ok(json) = json else { return Err(vec![Detail::new("Malformed", "the body is not a JSON object")]) };
        let mut look = Look { json: &json, terms, wrong: Vec::new() };
        let id = look.id();
        let kind = look.kind();
        let regulation = look.regulation();
        let submitted = look.submitted();
        let group = look.group();
        let callbacks = look.callbacks();
        let (extension, skips_wait) = look.extension();
        let whom = look.whom(extension);
        look.version();
        match (id, kind, regulation, submitted) {
            (Some(id), Some(kind), Some(regulation), Some(submitted)) if look.wrong.is_empty() => {
                Ok(Request { id, kind, regulation, group, submitted, whom, callbacks, skips_wait })
            }
            _ => Err(look.wrong),
        }
    }
}

/// Whether a text is a UUID of version 4 in small letters (RFC 9562, section 5.4).
pub(super) fn is_id(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    let bytes = text.as_bytes();
    bytes.len() == 36
        && bytes.iter().enumerate().all(|(place, byte)| match place {
            8 | 13 | 18 | 23 => *byte == b'-',
            14 => *byte == b'4',
            19 => matches!(byte, b'8' | b'9' | b'a' | b'b'),
            _ => is_digit(*byte),
        })
}

/// Where a status is told: `https`, and no address that is not public unless that is allowed.
pub(super) fn callback(text: &str, terms: &OpenDsr) -> Result<Url, &'static str> {
    if text.len() > limits::CALLBACK_URL_BYTES_MAX {
        return Err("it is too long");
    }
    let url = Url::parse(text).map_err(|_| "it is no url")?;
    if url.scheme() != "https" {
        return Err("it does not begin with `https://`");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it has credentials in it");
    }
    if url.fragment().is_some() {
        return Err("it has a fragment");
    }
    let is_private = match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => Class::of(IpAddr::V4(address)).is_some(),
        Some(Host::Ipv6(address)) => Class::of(IpAddr::V6(address)).is_some(),
        None => return Err("it names no host"),
    };
    // What a name stands for is looked at again whenever a socket is opened.
    if is_private && !terms.allow_private { Err("its address is not public") } else { Ok(url) }
}

struct Look<'a> {
    json: &'a Map<String, Value>,
    terms: &'a OpenDsr,
    wrong: Vec<Detail>,
}

impl<'a> Look<'a> {
    fn say(&mut self, reason: &'static str, message: impl Into<String>) {
        self.wrong.push(Detail::new(reason, message));
    }

    /// A text that must be there.
    fn text(&mut self, key: &str) -> Option<&'a str> {
        match self.json.get(key) {
            Some(Value::String(text)) => return Some(text),
            None | Some(Value::Null) => self.say("MissingField", format!("`{key}` is required")),
            Some(_) => self.say("InvalidField", format!("`{key}` is not a text")),
        }
        None
    }

    fn id(&mut self) -> Option<String> {
        let id = self.text("subject_request_id")?;
        if is_id(id) {
            return Some(id.to_owned());
        }
        self.say("InvalidField", "`subject_request_id` is not a UUID of version 4 in small letters");
        None
    }

    fn kind(&mut self) -> Option<Kind> {
        let text = self.text("subject_request_type")?;
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == text);
        if kind.is_none() {
            self.say("UnsupportedRequestType", "`subject_request_type` is none of `access`, `erasure` and `portability`");
        }
        kind
    }

    fn regulation(&mut self) -> Option<String> {
        let text = self.text("regulation")?;
        let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
        if !text.is_empty() && text.len() <= limits::REGULATION_BYTES_MAX && text.bytes().all(is_word) {
            return Some(text.to_owned());
        }
        self.say("InvalidField", "`regulation` is not the name of one in small letters, such as `gdpr` or `ccpa`");
        None
    }

    fn submitted(&mut self) -> Option<Timestamp> {
        let submitted = self.text("submitted_time")?.parse().ok();
        if submitted.is_none() {
            self.say("InvalidField", "`submitted_time` is not a time of RFC 3339, such as `2026-03-01T09:30:00Z`");
        }
        submitted
    }

    fn group(&mut self) -> Option<String> {
        match self.json.get("group_id") {
            None | Some(Value::Null) => None,
            Some(Value::String(group)) if group.len() <= limits::GROUP_ID_BYTES_MAX => Some(group.clone()),
            Some(_) => {
                self.say("InvalidField", format!("`group_id` is not a text of {} bytes at most", limits::GROUP_ID_BYTES_MAX));
                None
            }
        }
    }

    fn version(&mut self) {
        let is_known = match self.json.get("api_version") {
            None | Some(Value::Null) => true,
            Some(Value::String(version)) => version.split('.').next() == Some("3"),
            Some(_) => false,
        };
        if !is_known {
            self.say("UnsupportedVersion", "`api_version` is not `3.0`, which these pages speak");
        }
    }

    fn callbacks(&mut self) -> Vec<String> {
        let urls = match self.json.get("status_callback_urls") {
            None | Some(Value::Null) => return Vec::new(),
            Some(Value::Array(urls)) if urls.len() <= limits::CALLBACKS_MAX => urls,
            Some(_) => {
                self.say("InvalidField", format!("`status_callback_urls` is not a list of {} at most", limits::CALLBACKS_MAX));
                return Vec::new();
            }
        };
        let mut good = Vec::new();
        for (place, url) in urls.iter().enumerate() {
            match url.as_str().ok_or("it is not a text").and_then(|url| callback(url, self.terms)) {
                Ok(url) if good.iter().any(|known| known == url.as_str()) => (),
                Ok(url) => good.push(url.into()),
                Err(reason) => self.say("InvalidCallback", format!("`status_callback_urls[{place}]` cannot be used: {reason}")),
            }
        }
        good
    }

    /// What stands under our own domain: identities by the names of the workspace, and whether to wait.
    fn extension(&mut self) -> (Option<&'a Value>, bool) {
        let extensions = match self.json.get("extensions") {
            None | Some(Value::Null) => return (None, false),
            Some(Value::Object(extensions)) => extensions,
            Some(_) => {
                self.say("InvalidField", "`extensions` is not an object");
                return (None, false);
            }
        };
        // What is meant for others is theirs.
        let Some(own) = extensions.get(&self.terms.domain) else { return (None, false) };
        let Some(own) = own.as_object() else {
            self.say("InvalidField", "the extension is not an object");
            return (None, false);
        };
        for key in own.keys().filter(|key| !["subject_identities", "skip_waiting_period"].contains(&&***key)) {
            self.say("InvalidField", format!("the extension has no `{}`", Excerpt(key)));
        }
        let skips_wait = own.get("skip_waiting_period").is_some_and(|skips| {
            if !skips.is_boolean() {
                self.wrong.push(Detail::new("InvalidField", "`skip_waiting_period` is neither `true` nor `false`"));
            }
            skips == &Value::Bool(true)
        });
        (own.get("subject_identities"), skips_wait)
    }

    fn whom(&mut self, extension: Option<&'a Value>) -> Vec<(String, String)> {
        let terms = self.terms;
        let mut whom = Vec::new();
        for (written, identities) in [("subject_identities", self.json.get("subject_identities")), ("the extension's", extension)]
        {
            let is_own = written != "subject_identities";
            for (kind, value, format) in self.identities(written, identities) {
                let here =
                    if is_own { terms.identifiers.iter().find(|here| **here == kind) } else { terms.identities.get(&kind) };
                let Some(here) = here else {
                    self.say("UnsupportedIdentity", format!("identities of the type `{}` are not supported", Excerpt(&kind)));
                    continue;
                };
                if format != "raw" {
                    self.say("UnsupportedIdentity", format!("the identity of the type `{}` is not `raw`", Excerpt(&kind)));
                } else if value.trim().is_empty() || value.len() > weft_domain::limits::IDENTIFIER_VALUE_BYTES_MAX {
                    self.say("InvalidField", format!("the identity of the type `{}` is empty or too long", Excerpt(&kind)));
                } else {
                    whom.push((here.clone(), value));
                }
            }
        }
        if whom.len() > limits::IDENTITIES_MAX {
            self.say("InvalidField", format!("there are more than {} identities", limits::IDENTITIES_MAX));
        }
        if whom.is_empty() && self.wrong.is_empty() {
            self.say("MissingField", "`subject_identities` is required, and must not be empty");
        }
        whom
    }

    /// Type, value and format of each, from either way to write them.
    fn identities(&mut self, written: &str, identities: Option<&Value>) -> Vec<(String, String, String)> {
        let text = |object: &Value, key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
        let (read, count): (Vec<_>, usize) = match identities {
            None | Some(Value::Null) => return Vec::new(),
            Some(Value::Array(list)) => {
                let one = |one: &Value| {
                    Some((text(one, "identity_type")?, text(one, "identity_value")?, text(one, "identity_format")?))
                };
                (list.iter().filter_map(one).collect(), list.len())
            }
            Some(Value::Object(by_type)) => {
                let one = |(kind, one): (&String, &Value)| {
                    let format = if one.get("encoding").is_some() { text(one, "encoding")? } else { "raw".to_owned() };
                    Some((kind.clone(), text(one, "value")?, format))
                };
                (by_type.iter().filter_map(one).collect(), by_type.len())
            }
            Some(_) => (Vec::new(), 1),
        };
        if read.len() < count {
            self.say(
                "InvalidField",
                format!("`{written}` has an identity without type, value or format: `{{ \"identity_type\": …, \"identity_value\": …, \"identity_format\": \"raw\" }}`"),
            );
        }
        read
    }
}
