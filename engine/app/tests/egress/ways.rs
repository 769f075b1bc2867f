//! The way there: proxies, certificates, headers of the configuration, and trying again.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use weft::config::connection::{Identity, Tls};
use weft::egress::{Auth, Connection, ConnectionOptions, EgressError, Secret};
use weft_host::{FailureKind, HttpRequest};

use super::server::{Play, Server, answer, get, kind, ok, options, play, request};

/// A server that tunnels (`CONNECT`) or passes on (a whole URL), and remembers what it was asked.
async fn proxy(wants: Option<&'static str>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("an address").to_string();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let seen = asked.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(pass_on(stream, seen.clone(), wants));
        }
    });
    (address, asked)
}

async fn pass_on(mut stream: TcpStream, asked: Arc<Mutex<Vec<String>>>, wants: Option<&'static str>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).expect("ASCII");
    asked.lock().expect("no panic").push(head.clone());
    let lower = head.to_lowercase();
    if wants.is_some_and(|wants| !lower.contains(&format!("proxy-authorization: {}\r\n", wants.to_lowercase()))) {
        let _ = stream.write_all(b"HTTP/1.1 407 Who are you\r\ncontent-length: 0\r\n\r\n").await;
        return;
    }
    let target = head.split(' ').nth(1).expect("a target").to_owned();
    if head.starts_with("CONNECT ") {
        let Ok(mut other) = TcpStream::connect(&target).await else {
            let _ = stream.write_all(b"HTTP/1.1 502 Nobody there\r\n\r\n").await;
            return;
        };
        stream.write_all(b"HTTP/1.1 200 Connection established\r\nvia: 1.1 test\r\n\r\n").await.expect("writes");
        let _ = copy_bidirectional(&mut stream, &mut other).await;
    } else {
        let answered = answer("200 OK", "", b"by way of the proxy");
        let _ = stream.write_all(&answered).await;
    }
}

/// An authority, and a server whose certificate is from it.
struct Trusted {
    authority: CertifiedIssuer<'static, KeyPair>,
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Trusted {
    /// A server that wants to know who its clients are if `knows_clients`.
    async fn start(knows_clients: bool) -> Trusted {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &authority).expect("signs");
        let provider = Arc::new(default_provider());
        let config =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions().expect("versions");
        let config = if knows_clients {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der().clone()).expect("a root");
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().expect("a verifier");
            config.with_client_cert_verifier(verifier)
        } else {
            config.with_no_client_auth()
        };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = config.with_single_cert(vec![certificate.der().clone()], key).expect("a certificate");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let (port, asked) = (listener.local_addr().expect("an address").port(), Arc::new(Mutex::new(Vec::new())));
        let (acceptor, seen) = (TlsAcceptor::from(Arc::new(config)), asked.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, seen) = (acceptor.clone(), seen.clone());
                tokio::spawn(async move {
                    if let Ok(stream) = acceptor.accept(stream).await {
                        play(stream, Arc::new(|_: &str| Play::Keep(answer("200 OK", "", b"in private"))), seen).await;
                    }
                });
            }
        });
        Trusted { authority, port, asked }
    }

    fn tls(&self) -> Tls {
        Tls { roots: vec![self.authority.der().clone()], public_roots: false, ..Tls::default() }
    }

    fn options(&self, tls: Tls) -> ConnectionOptions {
        ConnectionOptions { tls, ..options(&format!("https://localhost:{}/", self.port)) }
    }

    fn identity(&self) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["weft".to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &self.authority).expect("signs");
        Identity { certificates: vec![certificate.der().clone()], key: Secret::new(&key.serialize_pem()) }
    }
}

#[tokio::test]
async fn an_own_authority_is_trusted_where_the_configuration_names_it() {
    let server = Trusted::start(false).await;
    let check = async |tls: Tls, want: Result<u16, FailureKind>| {
        let connection = Connection::new(server.options(tls)).expect("valid");
        assert_eq!(connection.try_out().await.map_err(|failure| failure.kind), want.map(drop));
        let answer = connection.send(get("x")).await;
        assert_eq!(kind(&answer), want, "{answer:?}");
        answer.err().map(|failure| failure.message).unwrap_or_default()
    };
    check(server.tls(), Ok(200)).await;
    check(Tls { public_roots: true, ..server.tls() }, Ok(200)).await;
    let message = check(Tls::default(), Err(FailureKind::Unavailable)).await;
    assert!(message.contains("invalid peer certificate: UnknownIssuer"), "{message}");
    let other = Trusted::start(false).await;
    check(other.tls(), Err(FailureKind::Unavailable)).await;
}

#[tokio::test]
async fn a_client_shows_its_certificate() {
    let server = Trusted::start(true).await;
    let send = async |tls: Tls| Connection::new(server.options(tls)).expect("valid").send(get("x")).await;
    let identity = Some(server.identity());
    assert_eq!(kind(&send(Tls { identity, ..server.tls() }).await), Ok(200));
    assert_eq!(kind(&send(server.tls()).await), Err(FailureKind::Unavailable));
    let stranger = Some(Trusted::start(true).await.identity());
    assert_eq!(kind(&send(Tls { identity: stranger, ..server.tls() }).await), Err(FailureKind::Unavailable));
    let mut mixed = server.identity();
    mixed.key = server.identity().key;
    let error = Connection::new(server.options(Tls { identity: Some(mixed), ..server.tls() })).expect_err("refused");
    assert_eq!(error, EgressError::Tls("the certificate and its key do not belong together"));
}

#[tokio::test]
async fn https_goes_through_a_proxy_untouched() {
    let server = Trusted::start(false).await;
    let (address, asked) = proxy(Some("Basic d2VmdDpzM2NyZXQtcHJveHk=")).await;
    let proxied = |proxy: String| {
        let options = ConnectionOptions { proxy: Some(Secret::new(&proxy)), ..server.options(server.tls()) };
        Connection::new(options).expect("valid")
    };
    let connection = proxied(format!("http://weft:s3cret-proxy@{address}"));
    for _ in 0..2 {
        assert_eq!(connection.send(get("x")).await.expect("an answer").body, b"in private");
    }
    let heads = asked.lock().expect("no panic").clone();
    assert_eq!(heads.len(), 1, "the tunnel is kept");
    assert!(heads[0].starts_with(&format!("CONNECT localhost:{} HTTP/1.1\r\n", server.port)), "{}", heads[0]);
    assert!(!server.asked.lock().expect("no panic")[0].to_lowercase().contains("proxy-authorization"));

    let failure = proxied(format!("http://weft:s3cret-other@{address}")).send(get("x")).await.expect_err("is not let through");
    assert_eq!(failure.kind, FailureKind::Credentials);
    assert!(failure.message.contains("407") && !failure.message.contains("s3cret"), "{failure}");
}

#[tokio::test]
async fn http_is_told_to_a_proxy_as_a_whole() {
    let (address, asked) = proxy(Some("Basic d2VmdDpzM2NyZXQtcHJveHk=")).await;
    let proxy = Some(Secret::new(&format!("http://weft:s3cret-proxy@{address}")));
    let auth = Some(Auth::Bearer("s3cret".into()));
    // Nobody here knows this name: the proxy does.
    let options = ConnectionOptions { proxy, auth, ..options("http://crm.invalid/api/") };
    let answer = Connection::new(options).expect("valid").send(get("x?a=1")).await.expect("an answer");
    assert_eq!(answer.body, b"by way of the proxy");
    let head = asked.lock().expect("no panic")[0].clone();
    assert!(head.starts_with("GET http://crm.invalid/api/x?a=1 HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("host: crm.invalid\r\n") && head.contains("authorization: Bearer s3cret\r\n"), "{head}");
}

#[tokio::test]
async fn what_is_wrong_with_a_proxy_is_told_and_its_address_is_checked() {
    let check = async |base_url: &str, proxy: &str, want: FailureKind, says: &str| {
        let options = ConnectionOptions { proxy: Some(Secret::new(proxy)), ..options(base_url) };
        let failure = Connection::new(options).expect("valid").send(get("x")).await.expect_err("does not get there");
        assert_eq!(failure.kind, want, "{failure}");
        assert!(failure.message.contains(says) && !failure.message.contains("s3cret"), "{failure}");
    };
    check("https://crm.example/", "http://u:s3cret@10.0.0.1:3128", FailureKind::Config, "10.0.0.1 is 10.0.0.1, a private").await;
    check("https://crm.example/", "http://u:s3cret@169.254.169.254", FailureKind::Config, "metadata").await;
    check("https://crm.example/", "http://u:s3cret@127.0.0.1:1", FailureKind::Unavailable, "127.0.0.1 cannot be reached").await;
    let (address, _) = proxy(None).await;
    let there = format!("http://{address}");
    // Also where the proxy would go there.
    check("http://169.254.169.254/", &there, FailureKind::Config, "metadata").await;
    check("https://127.0.0.1:1/", &there, FailureKind::Unavailable, "it answers 502").await;
    let silent = Server::start(vec![Play::Answer(b"SSH-2.0-OpenSSH\r\n\r\n".to_vec())]).await;
    check("https://crm.example/", &silent.url(""), FailureKind::Unavailable, "does not answer as a proxy does").await;
    for wrong in ["proxy:3128", "https://proxy:3128", "socks5://proxy", "http://proxy/path", ""] {
        let options = ConnectionOptions { proxy: Some(Secret::new(wrong)), ..options("https://crm.example/") };
        assert!(matches!(Connection::new(options), Err(EgressError::Proxy(_))), "{wrong}");
    }
}

#[tokio::test]
async fn headers_of_the_configuration_are_on_each_request_and_stay_at_home() {
    let elsewhere = Play::Answer(answer("302 Found", "location: /out\r\n", b""));
    let server = Server::start(vec![ok(""), elsewhere, ok("")]).await;
    let headers =
        vec![("X-Tenant".to_owned(), Secret::new("s3cret-tenant")), ("Accept".to_owned(), Secret::new("application/vnd.a+json"))];
    let connection = Connection::new(ConnectionOptions { headers, ..options(&server.url("/api/")) }).expect("valid");
    let own = HttpRequest { headers: vec![("accept".into(), "text/plain".into())], ..get("x") };
    assert_eq!(kind(&connection.send(own).await), Ok(200));
    let asked = server.asked().remove(0);
    assert!(
        asked.contains("\r\nx-tenant: s3cret-tenant\r\n") && asked.contains("\r\naccept: application/vnd.a+json\r\n"),
        "{asked}"
    );
    assert!(!asked.contains("text/plain") && !format!("{connection:?}").contains("s3cret"));
    assert_eq!(kind(&connection.send(get("x")).await), Ok(200));
    assert!(!server.asked()[2].contains("s3cret"), "out of the base path nothing goes along");

    let check = |name: &str, value: &str| {
        let headers = vec![(name.to_owned(), Secret::new(value))];
        let auth = Some(Auth::Bearer("s3cret".into()));
        let made = Connection::new(ConnectionOptions { headers, auth, ..options("https://a.example/") });
        assert!(matches!(made, Err(EgressError::Header(_))), "{name}");
    };
    check("host", "x");
    check("Authorization", "x");
    check("x y", "x");
    check("x-a", "1\r\nx-b: 2");
}

#[tokio::test]
async fn who_is_busy_is_asked_again_where_that_changes_nothing() {
    let busy = |status: &str, more: &str| Play::Answer(answer(status, more, b""));
    let check = async |method: &str, play: Play, retries: u32, want: u16, tries: usize| {
        let server = Server::start(vec![play.clone(), play, ok("")]).await;
        let connection = Connection::new(ConnectionOptions { retries, ..options(&server.url("/")) }).expect("valid");
        let answer = connection.send(request(method, "x", "")).await;
        assert_eq!((kind(&answer), server.asked().len()), (Ok(want), tries), "{method}");
    };
    for status in [429, 502, 503, 504] {
        let play = || busy(&format!("{status} X"), "");
        check("GET", play(), 2, 200, 3).await;
        check("GET", play(), 1, status, 2).await;
        check("PUT", play(), 0, status, 1).await;
        check("POST", play(), 2, status, 1).await;
    }
    check("GET", busy("500 X", ""), 2, 500, 1).await;
    // Longer than the request has: the answer goes to the plugin.
    check("GET", busy("503 X", "retry-after: 60\r\n"), 2, 503, 1).await;
    let start = Instant::now();
    check("GET", busy("429 X", "retry-after: 1\r\n"), 2, 200, 3).await;
    assert!(start.elapsed() >= Duration::from_secs(2), "a second each: {:?}", start.elapsed());
}

#[tokio::test]
async fn what_was_not_sent_is_sent_again_whatever_it_is() {
    // Nothing listens for a moment.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let connection = Connection::new(ConnectionOptions { retries: 5, ..options(&format!("http://{address}/")) }).expect("valid");
    let late = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        let listener = TcpListener::bind(address).await.expect("binds again");
        let (stream, _) = listener.accept().await.expect("accepts");
        play(stream, Arc::new(|_: &str| ok("")), Arc::default()).await;
    };
    let (answer, ()) = tokio::join!(connection.send(request("POST", "x", "body")), late);
    assert_eq!(kind(&answer), Ok(200));
}

#[tokio::test]
async fn one_stage_that_is_told_to_wait_makes_all_wait() {
    let busy = Play::Answer(answer("429 X", "retry-after: 1\r\n", b""));
    let server = Server::start(vec![busy, ok("")]).await;
    let connection = Arc::new(Connection::new(ConnectionOptions { retries: 0, ..options(&server.url("/")) }).expect("valid"));
    assert_eq!(kind(&connection.send(request("POST", "x", "")).await), Ok(429));
    let start = Instant::now();
    let others: Vec<_> = (0..3)
        .map(|_| {
            let connection = connection.clone();
            tokio::spawn(async move { connection.send(request("POST", "x", "")).await })
        })
        .collect();
    for other in others {
        assert_eq!(kind(&other.await.expect("ends")), Ok(200));
    }
    assert!(start.elapsed() >= Duration::from_millis(950), "{:?}", start.elapsed());
    assert_eq!(server.sockets.load(Ordering::SeqCst), 4);
}
