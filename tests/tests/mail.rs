//! Mail, all the way: an event at the door, the destination `email`, and a mail server that nobody here wrote (aiosmtpd).
//!
//! The server is installed from its package index into `target/peers/`, once. A machine without Python or without a package index
//! says that it skips, and why.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};
use weft_tests::engine::{Engine, KEY, Workspace, free_address, number, plugin};
use weft_tests::install;
use weft_tests::wire::Request;

/// What is installed: one version, so that a run is the same tomorrow.
const SERVER: &str = "aiosmtpd==1.4.6";

/// What must not be in any message, log or page.
const CANARY: &str = "s3cret-smtp";

/// A message is there within so long.
const ARRIVAL_TIME_MAX: Duration = Duration::from_secs(30);

/// A mail server that runs, and what it took.
struct Postbox {
    child: Child,
    port: u16,
    /// The lines that it wrote.
    lines: PathBuf,
}

impl Postbox {
    fn start(python: &Path, folder: &Path, mode: &str) -> Postbox {
        let port = free_address(Ipv4Addr::LOCALHOST.into()).port();
        let lines = folder.join("box.ndjson");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/postbox.py");
        let mut command = Command::new(python);
        command.arg(script).arg(port.to_string()).arg(&lines).arg(mode);
        command.arg(folder.join("certs/server.pem")).arg(folder.join("server.key"));
        let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = piped.spawn().expect("it was started before");
        let mut said = String::new();
        let words = child.stdout.as_mut().expect("it is piped");
        BufReader::new(words).read_line(&mut said).expect("it says that it is ready");
        assert_eq!(said.trim(), "ready", "the mail server did not start");
        Postbox { child, port, lines }
    }

    fn messages(&self) -> Vec<Value> {
        let lines = fs::read_to_string(&self.lines).unwrap_or_default();
        lines.lines().map(|line| serde_json::from_str(line).expect("it writes JSON")).collect()
    }
}

impl Drop for Postbox {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// An authority in `certs/ca.pem`, and a certificate of it for `localhost`.
fn certify(folder: &Path) {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    let certificate = params.signed_by(&key, &authority).expect("signs");
    fs::create_dir(folder.join("certs")).expect("the folder takes a folder");
    let write = |name: &str, text: String| fs::write(folder.join(name), text).expect("the folder takes a file");
    write("certs/ca.pem", authority.pem());
    write("certs/server.pem", certificate.pem());
    write("server.key", key.serialize_pem());
}

/// A workspace that writes to each buyer through this server.
fn workspace(postbox: &Postbox, workspace: &Workspace, scheme: &str, tls: &str) {
    let path = workspace.path().join("weft.yaml");
    let yaml = fs::read_to_string(&path).expect("it is there");
    let yaml = yaml.replace("plugins:\n", &format!("plugins:\n  email: {{ path: \"{}\" }}\n", plugin("email").display()));
    let more = format!(
        r#"  buyers:
    plugin: email
    connection: smtp
    from: {{ events: [Order Completed] }}
    config:
      from: Acme Shop <shop@acme.example>
      to: "{{{{ event.properties.name }}}} <{{{{ event.claims.email }}}}>"
      subject: "{{{{ event.properties.subject }}}}"
      text: Your order of {{{{ event.properties.total }}}}
      html: <p>Thank you, {{{{ event.properties.name }}}}</p>
      headers: {{ List-Unsubscribe: "<https://acme.example/bye?u={{{{ event.claims.user_id }}}}>" }}
connections:
  smtp:
    base_url: {scheme}://localhost:{}
    auth: {{ basic: {{ user: shop, password: "${{secret:SMTP}}" }} }}
    timeout: 10s
{tls}"#,
        postbox.port
    );
    fs::write(&path, yaml + &more).expect("it takes a file");
    fs::write(workspace.path().join("secrets/SMTP"), CANARY).expect("it takes a file");
}

fn order(engine: &Engine, number: usize, name: &str, email: &str, subject: &str) {
    let call = json!({
        "type": "track", "event": "Order Completed", "userId": format!("u-{number}"), "messageId": format!("m-{number}"),
        "context": { "traits": { "email": email } },
        "properties": { "name": name, "total": 19.9, "subject": subject },
    });
    let request = Request::post("/segment/v1/track", call.to_string()).header("content-type", "application/json").key(KEY);
    assert_eq!(engine.send(&request).status, 200);
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < ARRIVAL_TIME_MAX, "{what} after {ARRIVAL_TIME_MAX:?}");
        sleep(Duration::from_millis(50));
    }
}

/// Plays the story over one kind of line.
fn check(scheme: &str, mode: &str, tls: &str) {
    let python = match install::python("mail", &[SERVER]) {
        Ok(python) => python,
        Err(why) => return install::skip(&format!("mail over {mode}"), &why),
    };
    let folder = Workspace::create();
    certify(folder.path());
    let postbox = Postbox::start(&python, folder.path(), mode);
    workspace(&postbox, &folder, scheme, tls);

    let checked = folder.ask_with(&["check", "--connect"]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success(), "{said}{}", String::from_utf8_lossy(&checked.stderr));
    assert!(said.contains("ok      connection   smtp") && said.contains("ok      destination  buyers"), "{said}");

    let engine = folder.start();
    order(&engine, 1, "Doe, Änn <x@evil.example>", "ann@acme.example", "Your order\r\nBcc: bob@evil.example");
    order(&engine, 2, "Bob", "unknown@acme.example", "Your order");
    order(&engine, 3, "Carl", "carl@acme.example", "spam!");
    order(&engine, 4, "Eve", "eve@acme.example", "Your order");
    wait_for("two messages are not there", || postbox.messages().len() >= 2);
    wait_for("two dead letters are not there", || {
        let (_, status) = engine.page("/api/v1/status");
        number(&status, "/totals/letters") >= 2
    });
    let messages = postbox.messages();
    let to: Vec<&Value> = messages.iter().map(|message| &message["to"]).collect();
    assert_eq!(to, [&json!(["ann@acme.example"]), &json!(["eve@acme.example"])]);
    let ann = &messages[0];
    let header = |name: &str| ann["headers"][name].as_str().unwrap_or_default();
    assert_eq!(ann["from"], "shop@acme.example");
    assert_eq!(ann["encrypted"], mode != "plain");
    assert_eq!(header("from"), "Acme Shop <shop@acme.example>");
    assert_eq!(header("to"), "\"Doe, Änn <x@evil.example>\" <ann@acme.example>");
    assert_eq!(header("subject"), "Your order  Bcc: bob@evil.example");
    assert!(header("message-id").starts_with("<events.") && header("message-id").ends_with("@acme.example>"), "{ann}");
    assert_eq!(header("list-unsubscribe"), "<https://acme.example/bye?u=u-1>");
    assert_eq!(ann["text"].as_str().map(str::trim_end), Some("Your order of 19.9"));
    assert_eq!(ann["html"].as_str().map(str::trim_end), Some("<p>Thank you, Doe, Änn &lt;x@evil.example&gt;</p>"));
    let (_, letters) = engine.page("/api/v1/dead-letters");
    let mut codes: Vec<&str> =
        letters["letters"].as_array().expect("a list").iter().filter_map(|letter| letter["code"].as_str()).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["message_refused", "recipient_refused"], "{letters}");
    assert!(!letters.to_string().contains(CANARY));
    engine.stop();
    let log = fs::read_to_string(folder.path().join("engine.log")).expect("it has words");
    assert!(!log.contains(CANARY), "{log}");
}

#[test]
fn mail_goes_out_by_starttls_under_an_own_authority() {
    check("smtp", "starttls", "    tls: { roots: certs/ca.pem, public_roots: false }\n");
}

#[test]
fn mail_goes_out_encrypted_from_the_first_byte() {
    check("smtps", "smtps", "    tls: { roots: certs/ca.pem }\n");
}

#[test]
fn mail_goes_out_in_the_clear_to_this_machine() {
    check("smtp", "plain", "");
}

#[test]
fn a_server_that_is_not_trusted_or_does_not_let_us_in_fails_the_check() {
    let python = match install::python("mail", &[SERVER]) {
        Ok(python) => python,
        Err(why) => return install::skip("mail that is refused", &why),
    };
    let failing = |tls: &str, password: &str, want: &str| {
        let folder = Workspace::create();
        certify(folder.path());
        let postbox = Postbox::start(&python, folder.path(), "starttls");
        workspace(&postbox, &folder, "smtp", tls);
        fs::write(folder.path().join("secrets/SMTP"), password).expect("it takes a file");
        let checked = folder.ask_with(&["check", "--connect", "--json"]);
        assert_eq!(checked.status.code(), Some(1));
        let said: Value = serde_json::from_slice(&checked.stdout).expect("JSON");
        let outside = said["outside"].as_array().expect("a list");
        assert_eq!(outside.len(), 2, "{said}");
        for finding in outside {
            assert_eq!(finding["failed"]["kind"], want, "{said}");
        }
        let words = format!("{said}{}", String::from_utf8_lossy(&checked.stderr));
        assert!(!words.contains(password), "{words}");
    };
    failing("", CANARY, "unavailable");
    failing("    tls: { roots: certs/ca.pem }\n", "s3cret-other", "credentials");
}
