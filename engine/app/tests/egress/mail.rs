//! A mailer against servers on this machine that say what a test has them say.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use weft::egress::{Auth, ConnectionOptions, EgressError, Mailer};
use weft_host::{Email, Failure, FailureKind, Mailbox, Mailed};

use super::Script;
use super::server::options;

type Heard = Arc<Mutex<Vec<String>>>;

/// A mail server that answers each line by `says`, and otherwise takes everything. The end of a message is the line `.`.
async fn server(says: impl Fn(&str, usize) -> Option<&'static str> + Send + Sync + 'static) -> (u16, Heard) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let (port, heard, says) = (listener.local_addr().expect("an address").port(), Heard::default(), Arc::new(says));
    let seen = heard.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(talk(stream, seen.clone(), says.clone()));
        }
    });
    (port, heard)
}

async fn talk(stream: TcpStream, heard: Heard, says: Arc<impl Fn(&str, usize) -> Option<&'static str>>) {
    let (read, mut write) = stream.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut is_content = false;
    if write.write_all(b"220 test\r\n").await.is_err() {
        return;
    }
    heard.lock().expect("no panic").push("(connected)".to_owned());
    while let Ok(Some(line)) = lines.next_line().await {
        if is_content && line != "." {
            continue;
        }
        let count = {
            let mut heard = heard.lock().expect("no panic");
            heard.push(line.clone());
            heard.iter().filter(|known| **known == line).count()
        };
        is_content = line == "DATA" && says(&line, count).is_none();
        let usual = match line.split(' ').next().unwrap_or_default() {
            "EHLO" => "250-test\r\n250-8BITMIME\r\n250 AUTH PLAIN LOGIN",
            "DATA" => "354 go on",
            "AUTH" => "235 welcome",
            "QUIT" => "221 bye",
            _ => "250 ok",
        };
        let answer = says(&line, count).unwrap_or(usual);
        if answer.is_empty() || write.write_all(format!("{answer}\r\n").as_bytes()).await.is_err() {
            return;
        }
    }
}

fn to(address: &str) -> Email {
    let mailbox = |address: &str| Mailbox { name: String::new(), address: address.into() };
    Email {
        from: mailbox("shop@acme.example"),
        to: vec![mailbox(address)],
        cc: Vec::new(),
        bcc: Vec::new(),
        reply_to: Vec::new(),
        subject: "Hello".into(),
        text: Some("Hello\n.\nAnn".into()),
        html: None,
        headers: Vec::new(),
        message_id: Some("events.7@acme.example".into()),
    }
}

fn mail_options(port: u16) -> ConnectionOptions {
    options(&format!("smtp://localhost:{port}"))
}

fn mailer(port: u16) -> Mailer {
    Mailer::with_resolver(mail_options(port), Script::new(&[&["127.0.0.1"]])).expect("valid options")
}

fn heard(heard: &Heard) -> Vec<String> {
    heard.lock().expect("no panic").clone()
}

#[tokio::test]
async fn one_connection_takes_one_message_after_the_other() {
    let (port, said) = server(|_, _| None).await;
    let mailer = mailer(port);
    for _ in 0..2 {
        assert_eq!(mailer.send(to("ann@acme.example")).await, Ok(Mailed::Accepted));
    }
    let message = ["MAIL FROM:<shop@acme.example>", "RCPT TO:<ann@acme.example>", "DATA", "."];
    let want: Vec<&str> = ["(connected)", "EHLO localhost"].into_iter().chain(message).chain(["RSET"]).chain(message).collect();
    assert_eq!(heard(&said), want);
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_meanwhile_is_no_failure() {
    let (port, said) = server(|line, count| (line == "RSET" && count == 1).then_some("")).await;
    let mailer = mailer(port);
    for _ in 0..2 {
        assert_eq!(mailer.send(to("ann@acme.example")).await, Ok(Mailed::Accepted));
    }
    assert_eq!(heard(&said).iter().filter(|line| *line == "(connected)").count(), 2);
}

#[tokio::test]
async fn what_the_server_says_decides_who_waits_and_who_can_mend_it() {
    enum Want {
        Later,
        Refused(&'static str),
        Failed(FailureKind),
    }
    let check = async |command: &'static str, answer: &'static str, want: Want| {
        let (port, said) = server(move |line, _| line.starts_with(command).then_some(answer)).await;
        let auth = Some(Auth::Basic { user: "u".into(), password: "s3cret".into() });
        let options = ConnectionOptions { auth, timeout: Duration::from_secs(2), ..mail_options(port) };
        let mailer = Mailer::with_resolver(options, Script::new(&[&["127.0.0.1"]])).expect("valid options");
        let mailed = mailer.send(to("ann@acme.example")).await;
        let shown = format!("{mailed:?} {mailer:?}");
        assert!(!shown.contains("s3cret") && !shown.contains("AHUAczNjcmV0"), "{shown}");
        match (&mailed, want) {
            (Ok(Mailed::Later(60_000)), Want::Later) => (),
            (Ok(Mailed::Refused(rejection)), Want::Refused(code)) => assert_eq!(rejection.code, code, "{command} {answer}"),
            (Err(failure), Want::Failed(kind)) => assert_eq!(failure.kind, kind, "{command} {answer}: {failure}"),
            _ => panic!("{command} {answer}: {mailed:?}"),
        }
        assert!(heard(&said).iter().filter(|line| *line == ".").count() <= 1);
        mailed.err()
    };
    use FailureKind::{Config, Credentials, RateLimited, Unavailable};
    check("RCPT", "550 5.1.1 no such user", Want::Refused("recipient_refused")).await;
    check("RCPT", "450 4.2.0 greylisted", Want::Later).await;
    check("RCPT", "452 4.2.2 mailbox full", Want::Later).await;
    check("RCPT", "450 4.7.1 too fast", Want::Failed(RateLimited)).await;
    check("DATA", "554 5.7.1 no", Want::Refused("message_refused")).await;
    check(".", "552 5.3.4 too large", Want::Refused("message_refused")).await;
    check(".", "451 4.3.0 try again", Want::Later).await;
    let failure = check(".", "454 Throttling failure", Want::Failed(RateLimited)).await.expect("a failure");
    assert_eq!(failure.retry_after_ms, Some(30_000));
    check("RCPT", "421 4.3.2 closing", Want::Failed(RateLimited)).await;
    check("MAIL", "550 5.7.1 not your address", Want::Failed(Config)).await;
    check("MAIL", "530 5.7.0 who are you", Want::Failed(Credentials)).await;
    check("MAIL", "451 4.3.0 later", Want::Failed(Unavailable)).await;
    check("AUTH", "535 5.7.8 AHUAczNjcmV0 is wrong", Want::Failed(Credentials)).await;
    check("AUTH", "454 4.7.0 not now", Want::Failed(RateLimited)).await;
    check("EHLO", "250 test", Want::Failed(Config)).await;
    check("EHLO", "554 go away", Want::Failed(Unavailable)).await;
    // Nobody knows whether it is there.
    check(".", "", Want::Failed(Unavailable)).await;
    check("EHLO", "HTTP/1.1 400 what", Want::Failed(Unavailable)).await;
}

#[tokio::test]
async fn a_message_goes_to_all_its_recipients_or_to_none() {
    let (port, said) = server(|line, _| (line == "RCPT TO:<bob@acme.example>").then_some("550 5.1.1 no such user")).await;
    let mut email = to("ann@acme.example");
    email.cc.push(Mailbox { name: "Bob".into(), address: "bob@acme.example".into() });
    let mailed = mailer(port).send(email).await;
    assert!(matches!(&mailed, Ok(Mailed::Refused(rejection)) if rejection.message.contains("no such user")), "{mailed:?}");
    assert!(!heard(&said).contains(&"DATA".to_owned()));
}

#[tokio::test]
async fn a_server_that_asks_for_patience_is_left_alone_by_all() {
    let (port, said) = server(|line, _| line.starts_with("MAIL").then_some("421 4.7.0 too fast")).await;
    let mailer = mailer(port);
    for _ in 0..3 {
        let failure = mailer.send(to("ann@acme.example")).await.expect_err("it waits");
        assert_eq!(failure.kind, FailureKind::RateLimited);
    }
    assert_eq!(heard(&said).iter().filter(|line| line.starts_with("MAIL")).count(), 1);
}

#[tokio::test]
async fn nothing_is_said_in_the_clear_except_to_this_machine() {
    let (port, said) = server(|_, _| None).await;
    let send = async |url: &str, grants: &[&str]| -> Result<Mailed, Failure> {
        let auth = Some(Auth::Basic { user: "u".into(), password: "s3cret".into() });
        let allow_private = grants.iter().map(|grant| grant.parse().expect("a network")).collect();
        let options = ConnectionOptions { auth, allow_private, ..options(&format!("{url}:{port}")) };
        let mailer = Mailer::with_resolver(options, Script::new(&[&["127.0.0.1"]])).expect("valid options");
        mailer.send(to("ann@acme.example")).await
    };
    let failure = send("smtp://mail.example", &["127.0.0.1"]).await.expect_err("offers no encryption");
    assert_eq!(failure.kind, FailureKind::Config);
    assert!(failure.message.contains("STARTTLS"), "{failure}");
    assert_eq!(heard(&said), ["(connected)", "EHLO localhost"]);
    assert_eq!(send("smtp://localhost", &[]).await, Ok(Mailed::Accepted));
    // Its address is checked like any other.
    let failure = send("smtp://mail.example", &[]).await.expect_err("is not dialled");
    assert_eq!(failure.kind, FailureKind::Config);
    assert!(failure.message.contains("allow_private"), "{failure}");
    let start = Instant::now();
    let failure = send("smtps://localhost", &[]).await.expect_err("speaks no TLS");
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert!(start.elapsed() < Duration::from_secs(8));
}

#[test]
fn options_that_no_mail_server_has_are_refused() {
    let check = |options: ConnectionOptions, want: EgressError| assert_eq!(Mailer::new(options).expect_err("refused"), want);
    let auth = Some(Auth::Bearer("s3cret".into()));
    check(ConnectionOptions { auth, ..mail_options(25) }, EgressError::Auth("a mail server takes a user and a password"));
    check(ConnectionOptions { timeout: Duration::ZERO, ..mail_options(25) }, EgressError::Timeout);
    assert!(matches!(Mailer::new(options("https://a.example/")), Err(EgressError::BaseUrl(_))));
}
