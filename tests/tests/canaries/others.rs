//! The other sides: they let in whom they know, and refuse everything else. What they say repeats nothing.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use serde_json::json;

use crate::secrets::GIVEN;

/// Takes connections, each on a thread of its own.
fn serve(converse: impl Fn(TcpStream) -> Option<()> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let (address, converse) = (listener.local_addr().expect("it has one"), Arc::new(converse));
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let converse = converse.clone();
            thread::spawn(move || converse(stream));
        }
    });
    address
}

/// An API that gives tokens, and refuses everything else.
pub(crate) fn refusing() -> SocketAddr {
    serve(converse)
}

/// The same over TLS, for who has a certificate of the authority that is put into `certs/ca.pem`; the client's own, for this key, is put
/// into `certs/client.pem`.
pub(crate) fn refusing_strangers(folder: &Path, client_key: &str) -> SocketAddr {
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
    let certificate = |name: &str, key: &KeyPair| {
        let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        params.signed_by(key, &authority).expect("signs")
    };
    let client = certificate("client.example", &KeyPair::from_pem(client_key).expect("a key in PEM"));
    fs::create_dir_all(folder.join("certs")).expect("the folder takes a folder");
    fs::write(folder.join("certs/ca.pem"), authority.pem()).expect("the folder takes a file");
    fs::write(folder.join("certs/client.pem"), client.pem()).expect("the folder takes a file");

    let (key, provider) = (KeyPair::generate().expect("a key"), Arc::new(default_provider()));
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).expect("a root");
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build().expect("a verifier");
    let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("versions");
    let server = certificate("localhost", &key).der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = config.with_client_cert_verifier(verifier).with_single_cert(vec![server], key).expect("a certificate");
    let config = Arc::new(config);
    serve(move |stream| converse(StreamOwned::new(ServerConnection::new(config.clone()).ok()?, stream)))
}

fn converse(stream: impl Read + Write) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if let Some(value) = line.to_lowercase().strip_prefix("content-length: ") {
                length = value.trim().parse().ok()?;
            }
            if line.trim().is_empty() {
                break;
            }
            head.push_str(&line);
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).ok()?;
        let target = head.split(' ').nth(1)?.to_owned();
        let (status, answer) = if target.contains("token") {
            ("200 OK", json!({ "access_token": GIVEN, "token_type": "Bearer", "expires_in": 3600 }).to_string())
        } else if target.contains("down") {
            ("503 Service Unavailable", r#"{"error":"down"}"#.to_owned())
        } else {
            ("400 Bad Request", r#"{"error":"no"}"#.to_owned())
        };
        let size = answer.len();
        let head = format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {size}\r\n\r\n");
        stream.get_mut().write_all([head, answer].concat().as_bytes()).ok()?;
        stream.get_mut().flush().ok()?;
    }
}

/// Whom a mail server refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refuses {
    /// Whoever wants in.
    Senders,
    /// Whoever is written to.
    Recipients,
}

/// A mail server (RFC 5321, with AUTH of RFC 4954).
pub(crate) fn mail(refuses: Refuses) -> SocketAddr {
    serve(move |mut stream| {
        let mut lines = BufReader::new(stream.try_clone().ok()?);
        stream.write_all(b"220 localhost ready\r\n").ok()?;
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let verb: String = line.chars().take(4).collect::<String>().to_uppercase();
            let answer = match (&*verb, refuses) {
                ("EHLO", _) => "250-localhost\r\n250 AUTH PLAIN LOGIN",
                ("AUTH", Refuses::Senders) => "535 5.7.8 who are you",
                ("AUTH", Refuses::Recipients) => "235 2.7.0 welcome",
                ("RCPT", _) => "550 5.1.1 nobody of that name",
                ("QUIT", _) => "221 bye",
                _ => "250 fine",
            };
            stream.write_all(format!("{answer}\r\n").as_bytes()).ok()?;
        }
    })
}
