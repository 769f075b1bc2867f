//! What is sent: the configuration's texts, with a record's values in their places.
//!
//! A value stays a value. In HTML it is escaped, in an address of a header (`<https://…>`) percent-encoded, and wherever there is one line it
//! has no line break. Names and addresses go to the engine apart, which writes them so that neither becomes the other.

use std::fmt::Write;

use weft_plugin::place::plain;
use weft_plugin::template::{Part, Template};
use weft_plugin::{ConfigProblem, Fields, Rejection, email, hash};

use crate::Config;

/// The templates of a message.
#[derive(Debug)]
pub(crate) struct Message {
    from: Person,
    to: Person,
    cc: Vec<Person>,
    bcc: Vec<Person>,
    reply_to: Option<Person>,
    subject: Template,
    text: Option<Template>,
    html: Option<Template>,
    headers: Vec<(String, Template)>,
    /// Tells this destination's messages from another's of the same record.
    mark: String,
}

/// `Name <address>`, or an address alone.
#[derive(Debug)]
struct Person {
    name: Template,
    address: Template,
}

impl Message {
    /// Reads the templates of a configuration.
    pub(crate) fn read(config: &Config, problems: &mut Vec<ConfigProblem>) -> Self {
        let mut people = |list: &[String], at: &str| -> Vec<Person> {
            list.iter().enumerate().map(|(place, text)| Person::read(text, &format!("{at}/{place}"), problems)).collect()
        };
        let (cc, bcc) = (people(&config.cc, "/cc"), people(&config.bcc, "/bcc"));
        let from = Person::read(&config.from, "/from", problems);
        let to = Person::read(&config.to, "/to", problems);
        let reply_to = config.reply_to.as_ref().map(|text| Person::read(text, "/reply_to", problems));
        let mut headers = Vec::new();
        for (name, value) in &config.headers {
            let at = format!("/headers/{}", name.replace('~', "~0").replace('/', "~1"));
            headers.push((name.clone(), template(value, &at, problems)));
        }
        let parts = [Some(&config.to), Some(&config.subject), config.text.as_ref(), config.html.as_ref()];
        let all: String = parts.into_iter().flatten().map(|part| format!("{}:{part}", part.len())).collect();
        Message {
            from,
            to,
            cc,
            bcc,
            reply_to,
            subject: template(&config.subject, "/subject", problems),
            text: config.text.as_ref().map(|text| template(text, "/text", problems)),
            html: config.html.as_ref().map(|html| template(html, "/html", problems)),
            headers,
            mark: hash::sha256(&all, None).chars().take(12).collect(),
        }
    }

    /// The message of a record, which stands at this position of this stream.
    pub(crate) fn of(&self, record: &Fields<'_>, stream: &str, position: u64) -> Result<email::Message, Rejection> {
        let from = self.from.of(record);
        let to = self.to.of(record);
        if to.address.is_empty() {
            return Err(Rejection::new("no_address", "the record has no address where `to` looks for one"));
        }
        // Whom a record does not name does not get it; the others do.
        let people = |people: &[Person]| {
            people.iter().map(|person| person.of(record)).filter(|person| !person.address.is_empty()).collect()
        };
        let domain = from.address.rsplit_once('@').map_or("", |(_, domain)| domain);
        let is_domain = !domain.is_empty() && domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
        let domain = if is_domain { domain } else { "weft.invalid" };
        Ok(email::Message {
            message_id: Some(format!("{stream}.{position}.{}@{domain}", self.mark)),
            from,
            to: vec![to],
            cc: people(&self.cc),
            bcc: people(&self.bcc),
            reply_to: people(self.reply_to.as_slice()),
            subject: fill(&self.subject, record, push_line),
            text: self.text.as_ref().map(|text| fill(text, record, String::push_str)),
            html: self.html.as_ref().map(|html| fill(html, record, push_html)),
            headers: self.headers.iter().map(|(name, value)| (name.clone(), fill(value, record, push_header))).collect(),
        })
    }
}

impl Person {
    /// Takes name and address apart before values come in: a name with a `<` in it is still a name.
    fn read(text: &str, at: &str, problems: &mut Vec<ConfigProblem>) -> Self {
        let (name, address) = match text.trim().strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
            Some((name, address)) => (name.trim(), address.trim()),
            None => ("", text.trim()),
        };
        let name = name.strip_prefix('"').and_then(|name| name.strip_suffix('"')).unwrap_or(name);
        if !address.contains(['@', '{']) {
            problems.push(ConfigProblem::at(at, format!("`{address}` is no address")).hint("such as Ann <ann@acme.example>"));
        }
        Person { name: template(name, at, problems), address: template(address, at, problems) }
    }

    fn of(&self, record: &Fields<'_>) -> email::Mailbox {
        let line = |template: &Template| fill(template, record, push_line).trim().to_owned();
        email::Mailbox { name: line(&self.name), address: line(&self.address) }
    }
}

fn template(text: &str, at: &str, problems: &mut Vec<ConfigProblem>) -> Template {
    Template::parse(text).unwrap_or_else(|message| {
        problems.push(ConfigProblem::at(at, message).hint("such as {{ event.properties.total }}"));
        Template::default()
    })
}

/// A template's text for a record; what is missing leaves nothing.
fn fill(template: &Template, record: &Fields<'_>, push: fn(&mut String, &str)) -> String {
    let mut text = String::new();
    for part in template.parts() {
        match part {
            Part::Text(fixed) => text.push_str(fixed),
            Part::Value(path) => push(&mut text, &path.find_in(record).map(plain).unwrap_or_default()),
        }
    }
    text
}

/// A value in one line: a line break in it is a space.
fn push_line(text: &mut String, value: &str) {
    text.extend(value.chars().map(|letter| if letter.is_control() { ' ' } else { letter }));
}

/// A value in a header: within `<…>` it is a part of an address, and can neither end it nor begin another.
fn push_header(text: &mut String, value: &str) {
    let is_open = text.rfind('<').is_some_and(|open| text.rfind('>').is_none_or(|close| close < open));
    if !is_open {
        return push_line(text, value);
    }
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => text.push(char::from(byte)),
            byte => {
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
}

/// A value between tags or in an attribute in quotes.
fn push_html(text: &mut String, value: &str) {
    for letter in value.chars() {
        match letter {
            '&' => text.push_str("&amp;"),
            '<' => text.push_str("&lt;"),
            '>' => text.push_str("&gt;"),
            '"' => text.push_str("&quot;"),
            '\'' => text.push_str("&#39;"),
            letter => text.push(letter),
        }
    }
}
