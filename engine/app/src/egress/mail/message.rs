//! A message as it goes over the wire (RFC 5322, MIME), from what a plugin says.
//!
//! Addresses, names, the subject and headers are values here and never pieces of a text: what a sender chose for a name cannot become a
//! header, nor another recipient.

use lettre::address::{Address, Envelope};
use lettre::message::header::{HeaderName, HeaderValue, MessageId};
use lettre::message::{Mailbox, Message, MessageBuilder, MultiPart, SinglePart};
use weft_host::{Email, Mailbox as Named, Rejection};

/// Who it is from and for, and the message itself.
pub(super) fn written(email: Email) -> Result<(Envelope, Vec<u8>), Rejection> {
    let mut message = Message::builder().from(mailbox("the sender's", email.from)?);
    type Adding = fn(MessageBuilder, Mailbox) -> MessageBuilder;
    let lists: [(&str, Vec<Named>, Adding); 4] = [
        ("a recipient's", email.to, MessageBuilder::to),
        ("a recipient's", email.cc, MessageBuilder::cc),
        ("a recipient's", email.bcc, MessageBuilder::bcc),
        ("the answers'", email.reply_to, MessageBuilder::reply_to),
    ];
    for (whose, mailboxes, add) in lists {
        for named in mailboxes {
            message = add(message, mailbox(whose, named)?);
        }
    }
    plain("the subject", &email.subject)?;
    message = message.subject(email.subject);
    if let Some(id) = email.message_id {
        let is_id = id.split_once('@').is_some_and(|(left, right)| is_dotted(left) && is_dotted(right)) && id.len() <= 250;
        if !is_id {
            return Err(rejection("invalid_header", "the message id has no `@`, or more than letters, digits, dashes and dots"));
        }
        message = message.header(MessageId::from(format!("<{id}>")));
    }
    for (name, value) in email.headers {
        message = message.raw_header(header(name, value)?);
    }
    let built = match (email.text, email.html) {
        (Some(text), Some(html)) => message.multipart(MultiPart::alternative_plain_html(text, html)),
        (Some(text), None) => message.singlepart(SinglePart::plain(text)),
        (None, Some(html)) => message.singlepart(SinglePart::html(html)),
        (None, None) => return Err(rejection("empty_message", "the message has neither a text nor HTML")),
    };
    let built = built.map_err(|error| match error {
        lettre::error::Error::MissingTo => rejection("no_recipient", "the message has no recipient"),
        error => rejection("invalid_message", error.to_string()),
    })?;
    Ok((built.envelope().clone(), built.formatted()))
}

fn rejection(code: &str, message: impl Into<String>) -> Rejection {
    Rejection { code: code.to_owned(), message: message.into() }
}

fn mailbox(whose: &str, Named { name, address }: Named) -> Result<Mailbox, Rejection> {
    plain(&format!("{whose} name"), &name)?;
    // The parser knows quoted local parts; they are legal, and in practice somebody's trick.
    let is_simple = !address.contains(|char: char| char.is_whitespace() || char.is_control() || "\"(),:;<>[]\\".contains(char));
    let address = address.parse::<Address>().ok().filter(|_| is_simple);
    let address = address.ok_or_else(|| rejection("invalid_address", format!("{whose} address is none")))?;
    let name = name.trim();
    Ok(Mailbox::new((!name.is_empty()).then(|| name.to_owned()), address))
}

/// One line, which can stand in a header.
fn plain(what: &str, text: &str) -> Result<(), Rejection> {
    if text.contains(|char: char| char.is_control()) {
        return Err(rejection("invalid_header", format!("{what} has a line break or a control character in it")));
    }
    Ok(())
}

fn header(name: String, value: String) -> Result<HeaderValue, Rejection> {
    // Names that frame the message, route it, or say what the message's own fields say.
    const OURS: [&str; 16] = [
        "from",
        "sender",
        "to",
        "cc",
        "bcc",
        "reply-to",
        "subject",
        "date",
        "message-id",
        "mime-version",
        "return-path",
        "received",
        "dkim-signature",
        "content",
        "resent",
        "arc",
    ];
    let lower = name.to_ascii_lowercase();
    let is_ours = OURS.contains(&&*lower) || ["content-", "resent-", "arc-"].iter().any(|prefix| lower.starts_with(prefix));
    if is_ours {
        return Err(rejection("invalid_header", format!("the header `{lower}` is the host's to set")));
    }
    plain(&format!("the header `{lower}`"), &value)?;
    let bare = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let name = HeaderName::new_from_ascii(name).ok().filter(|_| bare);
    let name = name.ok_or_else(|| rejection("invalid_header", "a header's name is no name of a header"))?;
    Ok(HeaderValue::new(name, value))
}

fn is_dotted(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, address: &str) -> Named {
        Named { name: name.into(), address: address.into() }
    }

    fn email() -> Email {
        Email {
            from: named("Shop", "shop@acme.example"),
            to: vec![named("", "ann@acme.example")],
            cc: Vec::new(),
            bcc: Vec::new(),
            reply_to: Vec::new(),
            subject: "Hello".into(),
            text: Some("Hello Ann".into()),
            html: None,
            headers: Vec::new(),
            message_id: Some("events.7@acme.example".into()),
        }
    }

    #[test]
    fn a_message_says_what_the_plugin_says() {
        let bcc = vec![named("", "hidden@acme.example")];
        let headers = vec![("List-Unsubscribe".to_owned(), "<https://acme.example/bye?u=1>".to_owned())];
        let html = Some("<p>Grüße</p>".to_owned());
        let to = vec![named("Doe, Jö", "ann@acme.example")];
        let (envelope, bytes) = written(Email { bcc, headers, html, to, ..email() }).expect("a message");
        let recipients: Vec<String> = envelope.to().iter().map(ToString::to_string).collect();
        assert_eq!(recipients, ["ann@acme.example", "hidden@acme.example"]);
        let text = String::from_utf8(bytes).expect("ASCII");
        assert!(text.is_ascii() && !text.contains("hidden"), "{text}");
        for line in [
            "From: Shop <shop@acme.example>\r\n",
            "Subject: Hello\r\n",
            "Message-ID: <events.7@acme.example>\r\n",
            "List-Unsubscribe: <https://acme.example/bye?u=1>\r\n",
            "Content-Type: multipart/alternative;",
            "Date: ",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        assert!(text.contains("<ann@acme.example>\r\n") && !text.contains("Doe, J\u{f6}"), "{text}");
    }

    #[test]
    fn nothing_can_become_a_header_or_a_recipient() {
        let check = |email: Email, code: &str| {
            let shown = format!("{email:?}");
            assert_eq!(written(email).map(|(_, bytes)| String::from_utf8(bytes)).expect_err(&shown).code, code, "{shown}");
        };
        for address in [
            "",
            "ann",
            "ann@acme.example, bob@evil.example",
            "ann@acme.example\r\nBcc: bob@evil.example",
            "Ann <ann@acme.example>",
            "<ann@acme.example>",
            "\"ann\nbob\"@acme.example",
            "\"ann bob\"@acme.example",
            "ann@acme.example> SIZE=1",
            "@acme.example",
            "ann@",
        ] {
            check(Email { to: vec![named("", address)], ..email() }, "invalid_address");
            check(Email { from: named("", address), ..email() }, "invalid_address");
        }
        check(Email { to: vec![named("Ann\r\nBcc: bob@evil.example", "ann@acme.example")], ..email() }, "invalid_header");
        check(Email { subject: "Hello\nBcc: bob@evil.example".into(), ..email() }, "invalid_header");
        for (name, value) in [
            ("X-A", "1\r\nBcc: bob@evil.example"),
            ("X-A\r\nBcc", "bob@evil.example"),
            ("X A", "1"),
            ("", "1"),
            ("Bcc", "bob@evil.example"),
            ("SENDER", "bob@evil.example"),
            ("Content-Type", "text/html"),
        ] {
            check(Email { headers: vec![(name.into(), value.into())], ..email() }, "invalid_header");
        }
        for id in ["7", "a@b>\r\nX: y", "@", "a b@c"] {
            check(Email { message_id: Some(id.into()), ..email() }, "invalid_header");
        }
        check(Email { to: Vec::new(), ..email() }, "no_recipient");
        check(Email { text: None, ..email() }, "empty_message");
        // A name may look like an address; it stays a name.
        let (envelope, bytes) =
            written(Email { to: vec![named("Bob <bob@evil.example>,", "ann@acme.example")], ..email() }).expect("a message");
        assert_eq!(envelope.to().len(), 1);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(text.contains(" <ann@acme.example>\r\n") && !text.contains("bob@evil.example>"), "{text}");
    }
}
