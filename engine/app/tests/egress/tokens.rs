//! Tokens of OAuth 2.0 against a real token endpoint, which is a server of its own beside the one that requests go to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use tokio::time::{Instant, sleep};
use weft::clock::Clock;
use weft::config::connection::{ClientAuth, Grant, OAuth2, rsa_key};
use weft::egress::{Auth, Connection, ConnectionOptions, Secret};
use weft_domain::value::Timestamp;
use weft_host::{Failure, FailureKind};

use super::server::{Play, Server, answer, get, kind, options, request};

/// An RSA key that nothing but these tests knows.
const KEY: &str = include_str!("rsa-of-tests.pem");

/// No message may have one of these in it.
const CANARIES: [&str; 4] = ["s3cret-client", "s3cret-refresh", "s3cret-token", "BEGIN PRIVATE KEY"];

fn client() -> Grant {
    Grant::ClientCredentials { client_id: "id".into(), client_secret: "s3cret-client".into(), audience: None }
}

fn refresh() -> Grant {
    Grant::RefreshToken {
        client_id: "id".into(),
        client_secret: Some("s3cret-client".into()),
        refresh_token: "s3cret-refresh-0".into(),
    }
}

fn oauth2(server: &Server, grant: Grant) -> OAuth2 {
    OAuth2 {
        token_url: server.url("/oauth2/token").parse().expect("a url"),
        grant,
        client_auth: ClientAuth::Basic,
        scopes: Vec::new(),
        params: BTreeMap::new(),
    }
}

fn connect(api: &Server, oauth2: OAuth2) -> Arc<Connection> {
    let auth = Some(Auth::OAuth2(oauth2));
    Arc::new(Connection::new(ConnectionOptions { auth, ..options(&api.url("/api/")) }).expect("valid"))
}

/// Answers tokens by number, each with these further fields.
async fn endpoint(more: &'static str) -> Server {
    let count = AtomicUsize::new(0);
    Server::answering(move |_| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        token(&format!(r#""access_token":"s3cret-token-{number}","token_type":"Bearer"{more}"#))
    })
    .await
}

fn token(fields: &str) -> Play {
    Play::Answer(answer("200 OK", "content-type: application/json\r\n", format!("{{{fields}}}").as_bytes()))
}

fn refusal(status: &str, error: &str) -> Play {
    Play::Answer(answer(status, "", format!(r#"{{"error":"{error}","error_description":"it is so"}}"#).as_bytes()))
}

/// Lets in whom `lets_in` does, and says 401 to all others.
async fn api(lets_in: impl Fn(&str) -> bool + Send + Sync + 'static) -> Server {
    Server::answering(move |request| {
        let status = if lets_in(request) { "200 OK" } else { "401 Unauthorized" };
        Play::Answer(answer(status, "", b""))
    })
    .await
}

fn bearer(request: &str) -> &str {
    request.lines().find_map(|line| line.strip_prefix("authorization: Bearer ")).unwrap_or("none")
}

fn bearers(server: &Server) -> Vec<String> {
    server.asked().iter().map(|request| bearer(request).to_owned()).collect()
}

fn quiet(failure: &Failure) {
    let shown = format!("{failure} {failure:?}");
    assert!(CANARIES.iter().all(|canary| !shown.contains(canary)), "{shown}");
}

#[tokio::test]
async fn a_token_is_had_once_and_used_until_shortly_before_its_end() {
    let (tokens, api) = (endpoint(r#","expires_in":2"#).await, api(|_| true).await);
    let connection = connect(&api, oauth2(&tokens, client()));
    for _ in 0..3 {
        assert_eq!(kind(&connection.send(get("x")).await), Ok(200));
    }
    assert_eq!(bearers(&api), ["s3cret-token-0"; 3]);
    sleep(Duration::from_millis(1_700)).await;
    assert_eq!(kind(&connection.send(get("x")).await), Ok(200));
    assert_eq!(bearers(&api)[3], "s3cret-token-1");
    assert_eq!(tokens.asked().len(), 2);
    assert!(!format!("{connection:?}").contains("s3cret"));
}

#[tokio::test]
async fn fifty_requests_at_once_ask_for_one_token() {
    let tokens = Server::answering(|_| {
        let Play::Answer(bytes) = token(r#""access_token":"s3cret-token","expires_in":3600"#) else { unreachable!() };
        Play::Dribble(bytes, Duration::from_millis(2))
    })
    .await;
    let api = api(|request| bearer(request) == "s3cret-token").await;
    let connection = connect(&api, oauth2(&tokens, client()));
    let sending: Vec<_> = (0..50)
        .map(|_| {
            let connection = connection.clone();
            tokio::spawn(async move { connection.send(request("POST", "x", "body")).await })
        })
        .collect();
    for sent in sending {
        assert_eq!(kind(&sent.await.expect("ends")), Ok(200));
    }
    assert_eq!((tokens.asked().len(), api.asked().len()), (1, 50));
}

#[tokio::test]
async fn fifty_requests_at_once_are_refused_by_one_answer() {
    let tokens = Server::answering(|_| {
        let Play::Answer(bytes) = refusal("401 Unauthorized", "invalid_client") else { unreachable!() };
        Play::Dribble(bytes, Duration::from_millis(2))
    })
    .await;
    let api = api(|_| true).await;
    let connection = connect(&api, oauth2(&tokens, client()));
    let sending: Vec<_> = (0..50)
        .map(|_| {
            let connection = connection.clone();
            tokio::spawn(async move { connection.send(get("x")).await })
        })
        .collect();
    for sent in sending {
        assert_eq!(kind(&sent.await.expect("ends")), Err(FailureKind::Credentials));
    }
    assert_eq!((tokens.asked().len(), api.asked().len()), (1, 0));
}

#[tokio::test]
async fn who_gives_up_leaves_the_token_to_the_next() {
    let tokens = Server::answering(|_| {
        let Play::Answer(bytes) = token(r#""access_token":"s3cret-token","refresh_token":"s3cret-refresh-1""#) else {
            unreachable!()
        };
        Play::Dribble(bytes, Duration::from_millis(2))
    })
    .await;
    let api = api(|_| true).await;
    let connection = connect(&api, oauth2(&tokens, refresh()));
    let mut hasty = get("x");
    hasty.timeout_ms = Some(20);
    assert_eq!(kind(&connection.send(hasty).await), Err(FailureKind::Unavailable));
    assert_eq!(kind(&connection.send(get("x")).await), Ok(200));
    assert_eq!(tokens.asked().len(), 1);
}

#[tokio::test]
async fn a_refused_token_is_had_anew_once() {
    let tokens = endpoint(r#","expires_in":3600"#).await;
    let api = api(|request| bearer(request) == "s3cret-token-1").await;
    let connection = connect(&api, oauth2(&tokens, client()));
    // A `POST` too: who is not let in has changed nothing.
    assert_eq!(kind(&connection.send(request("POST", "x", "body")).await), Ok(200));
    assert_eq!(bearers(&api), ["s3cret-token-0", "s3cret-token-1"]);
    assert!(api.asked().iter().all(|asked| asked.ends_with("\r\n\r\nbody")));
    assert_eq!(kind(&connection.send(get("x")).await), Ok(200));
    assert_eq!(tokens.asked().len(), 2);
}

#[tokio::test]
async fn where_tokens_are_not_the_trouble_they_are_left_alone() {
    let (tokens, api) = (endpoint("").await, api(|_| false).await);
    let connection = connect(&api, oauth2(&tokens, client()));
    for _ in 0..5 {
        assert_eq!(kind(&connection.send(get("x")).await), Ok(401));
    }
    assert_eq!((tokens.asked().len(), api.asked().len()), (2, 6));
}

#[tokio::test]
async fn a_refresh_token_that_comes_along_takes_the_old_ones_place() {
    let count = AtomicUsize::new(0);
    let tokens = Server::answering(move |request| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        // Each is good for one use.
        if !request.contains(&format!("refresh_token=s3cret-refresh-{number}&"))
            && !request.ends_with(&format!("=s3cret-refresh-{number}"))
        {
            return refusal("400 Bad Request", "invalid_grant");
        }
        let next = number + 1;
        token(&format!(r#""access_token":"s3cret-token-{number}","expires_in":0,"refresh_token":"s3cret-refresh-{next}""#))
    })
    .await;
    let api = api(|_| true).await;
    let connection = connect(&api, oauth2(&tokens, refresh()));
    for _ in 0..3 {
        assert_eq!(kind(&connection.send(get("x")).await), Ok(200));
    }
    assert_eq!(bearers(&api), ["s3cret-token-0", "s3cret-token-1", "s3cret-token-2"]);
}

#[tokio::test]
async fn a_client_shows_itself_as_the_configuration_says() {
    let check = async |grant: Grant, client_auth: ClientAuth, head: &str, body: &str| {
        let (tokens, api) = (endpoint("").await, api(|_| true).await);
        let scopes = vec!["one".into(), "two".into()];
        let params = [("resource".to_owned(), "https://a.example/".to_owned())].into();
        let connection = connect(&api, OAuth2 { client_auth, scopes, params, ..oauth2(&tokens, grant) });
        assert_eq!(kind(&connection.send(get("x")).await), Ok(200));
        let asked = tokens.asked().remove(0);
        assert!(asked.starts_with("POST /oauth2/token HTTP/1.1\r\n"), "{asked}");
        assert_eq!(asked.contains("\r\nauthorization: Basic "), !head.is_empty(), "{asked}");
        assert!(asked.contains(head) && asked.ends_with(&format!("\r\n\r\n{body}")), "{asked}");
    };
    let (rest, audience) = ("scope=one+two&resource=https%3A%2F%2Fa.example%2F", Some("https://api.example/".to_owned()));
    // Encoded as a form before base64: `i%26d:s%3A1`.
    let odd = || Grant::ClientCredentials { client_id: "i&d".into(), client_secret: "s:1".into(), audience: audience.clone() };
    let body = format!("grant_type=client_credentials&audience=https%3A%2F%2Fapi.example%2F&{rest}");
    check(odd(), ClientAuth::Basic, "authorization: Basic aSUyNmQ6cyUzQTE=\r\n", &body).await;
    check(odd(), ClientAuth::Body, "", &format!("{body}&client_id=i%26d&client_secret=s%3A1")).await;
    let public = Grant::RefreshToken { client_id: "id".into(), client_secret: None, refresh_token: "r".into() };
    check(public, ClientAuth::Basic, "", &format!("grant_type=refresh_token&refresh_token=r&{rest}&client_id=id")).await;
}

#[tokio::test]
async fn an_assertion_is_signed_and_says_who_for_whom_and_until_when() {
    let check = async |key: &str, subject: Option<&str>, audience: Option<&str>, scopes: &[&str], claims: serde_json::Value| {
        let (tokens, api) = (endpoint("").await, api(|_| true).await);
        let grant = Grant::JwtBearer {
            issuer: "who@acme.example".into(),
            subject: subject.map(Secret::new),
            audience: audience.map(str::to_owned),
            private_key: key.into(),
            key_id: Some("k1".into()),
        };
        let oauth2 = OAuth2 { scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(), ..oauth2(&tokens, grant) };
        let auth = Some(Auth::OAuth2(oauth2));
        let clock = Clock::at(Timestamp(1_700_000_000_000));
        let connection = Connection::new(ConnectionOptions { auth, clock, ..options(&api.url("/")) }).expect("valid");
        assert_eq!(kind(&connection.send(get("x")).await), Ok(200));

        let asked = tokens.asked().remove(0);
        let form: BTreeMap<String, String> =
            url::form_urlencoded::parse(asked.split("\r\n\r\n").nth(1).expect("a body").as_bytes()).into_owned().collect();
        assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
        let (signed, signature) = form["assertion"].rsplit_once('.').expect("three parts");
        let (head, body) = signed.split_once('.').expect("three parts");
        let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).expect("base64url");
        let json = |text: &str| serde_json::from_slice::<serde_json::Value>(&decode(text)).expect("json");
        assert_eq!(json(head), serde_json::json!({ "alg": "RS256", "typ": "JWT", "kid": "k1" }));
        let mut want = claims;
        want["iss"] = "who@acme.example".into();
        want["iat"] = 1_700_000_000.into();
        want["exp"] = 1_700_000_180.into();
        if audience.is_none() {
            want["aud"] = tokens.url("/oauth2/token").into();
        }
        assert_eq!(json(body), want);
        let key = rsa_key(&KEY.into()).expect("a key");
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public().as_ref())
            .verify(signed.as_bytes(), &decode(signature))
            .expect("the signature is good");
    };
    // As Salesforce wants it, then as Google does, with the key as it stands in Google's JSON.
    let salesforce = serde_json::json!({ "sub": "ann@acme.example", "aud": "https://login.salesforce.com" });
    check(KEY, Some("ann@acme.example"), Some("https://login.salesforce.com"), &[], salesforce).await;
    let google = serde_json::json!({ "scope": "https://www.googleapis.com/auth/firebase.messaging a" });
    check(&KEY.replace('\n', "\\n"), None, None, &["https://www.googleapis.com/auth/firebase.messaging", "a"], google).await;
}

#[tokio::test]
async fn why_there_is_no_token_says_who_can_mend_it() {
    let check = async |play: Play, grant: Grant, want: FailureKind, says: &str| {
        let (tokens, api) = (Server::start(vec![play]).await, api(|_| true).await);
        let failure = connect(&api, oauth2(&tokens, grant)).send(get("x")).await.expect_err("there is no token");
        assert_eq!(failure.kind, want, "{failure}");
        assert!(failure.message.contains(says) && failure.message.contains("the token endpoint of `test`"), "{failure}");
        quiet(&failure);
        assert!(api.asked().is_empty());
        failure
    };
    use FailureKind::{Config, Credentials, RateLimited, Unavailable};
    check(refusal("401 Unauthorized", "invalid_client"), client(), Credentials, "invalid_client (it is so)").await;
    check(refusal("400 Bad Request", "invalid_grant"), refresh(), Credentials, "invalid_grant").await;
    check(refusal("400 Bad Request", "unauthorized_client"), client(), Credentials, "unauthorized_client").await;
    check(refusal("400 Bad Request", "invalid_scope"), client(), Config, "invalid_scope").await;
    check(refusal("400 Bad Request", "temporarily_unavailable"), client(), Unavailable, "temporarily_unavailable").await;
    check(refusal("400 Bad Request", "it says s3cret-client"), client(), Config, "it answers 400").await;
    check(Play::Answer(answer("500 X", "", b"oops")), client(), Unavailable, "it answers 500").await;
    check(Play::Answer(answer("403 X", "", b"oops")), client(), Credentials, "it answers 403").await;
    check(Play::Answer(answer("404 X", "", b"oops")), client(), Config, "it answers 404").await;
    check(Play::Answer(answer("302 X", "location: /elsewhere\r\n", b"")), client(), Config, "redirects").await;
    check(Play::Answer(answer("200 OK", "", b"<html>")), client(), Config, "without an `access_token`").await;
    check(token(r#""access_token":"x","token_type":"mac""#), client(), Config, "no bearer tokens").await;
    check(token(r#""access_token":"x\ny""#), client(), Unavailable, "no header can carry").await;
    let echo = Play::Answer(answer("400 X", "", br#"{"error":"invalid_grant","error_description":"s3cret-refresh-0 is over"}"#));
    check(echo, refresh(), Credentials, "invalid_grant").await;
    let patience = Play::Answer(answer("429 X", "retry-after: 60\r\n", b""));
    let failure = check(patience, client(), RateLimited, "patience").await;
    assert!(failure.retry_after_ms.is_some_and(|ms| (59_000..=60_000).contains(&ms)), "{failure:?}");
}

#[tokio::test]
async fn an_endpoint_that_asks_for_patience_or_is_not_there_is_left_alone() {
    let patience = Play::Answer(answer("429 X", "retry-after: 60\r\n", b""));
    let (tokens, api) = (Server::start(vec![patience]).await, api(|_| true).await);
    let connection = connect(&api, oauth2(&tokens, client()));
    for _ in 0..3 {
        assert_eq!(kind(&connection.send(get("x")).await), Err(FailureKind::RateLimited));
    }
    assert_eq!(tokens.asked().len(), 1);

    let mut nowhere = oauth2(&tokens, client());
    nowhere.token_url = "http://127.0.0.1:1/token".parse().expect("a url");
    let failure = connect(&api, nowhere.clone()).send(get("x")).await.expect_err("nothing listens");
    assert_eq!(failure.kind, FailureKind::Unavailable);
    quiet(&failure);
    // Its address is checked like any other.
    nowhere.token_url = "http://10.0.0.1/token".parse().expect("a url");
    let failure = connect(&api, nowhere).send(get("x")).await.expect_err("is private");
    assert_eq!(failure.kind, FailureKind::Config);
    assert!(failure.message.contains("10.0.0.1"), "{failure}");
    let start = Instant::now();
    assert_eq!(connect(&api, oauth2(&api, client())).try_out().await.map_err(|failure| failure.kind), Err(FailureKind::Config));
    assert!(start.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_key_that_cannot_sign_is_found_at_the_start() {
    let check = |key: &str, want: &str| {
        let error = rsa_key(&key.into()).map(drop).expect_err("no key");
        assert!(error.contains(want) && !error.contains("s3cret"), "{error}");
    };
    check("s3cret", "no private key in PEM");
    check(&KEY[..KEY.len() / 2], "no private key in PEM");
    check("-----BEGIN ENCRYPTED PRIVATE KEY-----\ns3cret\n-----END ENCRYPTED PRIVATE KEY-----", "passphrase");
    check(&rcgen::KeyPair::generate().expect("a key").serialize_pem(), "no RSA key");
}
