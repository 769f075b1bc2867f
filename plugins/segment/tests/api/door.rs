//! Paths, keys, sizes, answers.

use weft_plugin::{Body, Source, testing};

use super::{CONFIG, KEY, basic, codes, kept, open, post, request};

const TRACK: &str = r#"{"userId":"ann","event":"Signed Up"}"#;

#[test]
fn every_documented_path_takes_its_call() {
    let check = |path: &str, kind: &str| {
        let body = r#"{"userId":"ann","event":"e","groupId":"g","previousId":"p"}"#;
        for path in [format!("/v1/{path}"), format!("/v1/{path}/"), format!("/{path}"), format!("/{path}/")] {
            let received = post(&path, body);
            assert_eq!(
                (received.response.status, received.response.body.as_slice()),
                (200, &b"{\"success\":true}"[..]),
                "{path}"
            );
            assert!(kept(&received)[0].starts_with(&format!("{{\"type\":\"{kind}\"")), "{path}");
        }
    };
    for (path, kind) in [("identify", "identify"), ("track", "track"), ("page", "page"), ("screen", "screen"), ("group", "group")]
    {
        check(path, kind);
        check(&path[..1], kind);
    }
    check("alias", "alias");
    check("a", "alias");
    for path in ["/v1/batch", "/v1/b", "/v1/import", "/batch/", "/beacon/v1/batch"] {
        let received = post(path, r#"{"batch":[{"type":"track","userId":"ann","event":"e"}]}"#);
        assert_eq!((received.response.status, received.events.len()), (200, 1), "{path}");
    }
    for path in ["/", "/v1", "/v2/track", "/v1/m", "/v1/track/x", "/v1/projects//settings"] {
        assert_eq!(post(path, TRACK).response.status, 404, "{path}");
    }
    let wrong = open(CONFIG).receive(request("GET", "/v1/track", &[], b"")).expect("no failure");
    assert_eq!((wrong.response.status, wrong.response.headers.iter().any(|(_, value)| value == "POST, OPTIONS")), (405, true));
}

#[test]
fn a_key_may_stand_in_the_header_the_query_or_the_body() {
    let check = |target: &str, authorization: Option<&str>, body: &str, status: u16| {
        let headers: Vec<(&str, &str)> = authorization.iter().map(|value| ("authorization", *value)).collect();
        let received = open(CONFIG).receive(request("POST", target, &headers, body.as_bytes())).expect("no failure");
        assert_eq!(received.response.status, status, "{target} {authorization:?} {body}");
        let taken = if status == 200 { 1 } else { 0 };
        assert_eq!((received.events.len(), received.refused.len()), (taken, 0), "{target} {authorization:?} {body}");
    };
    let in_body = format!(r#"{{"userId":"ann","event":"e","writeKey":"{KEY}"}}"#);
    let batch = format!(r#"{{"writeKey":"{KEY}","batch":[{TRACK_TYPED}]}}"#);
    check("/v1/track", Some(&basic(KEY)), TRACK, 200);
    check("/v1/track", Some(&basic("other")), TRACK, 200);
    check("/v1/track", Some(basic(KEY).replace("Basic", "basic").trim_end_matches('=')), TRACK, 200);
    check("/v1/t", None, &in_body, 200);
    check("/v1/batch", None, &batch, 200);
    check(&format!("/v1/track?x=1&writeKey={KEY}"), None, TRACK, 200);
    check("/v1/track", Some(&basic("wrong")), &in_body, 401);
    check("/v1/track", Some(&basic("")), TRACK, 401);
    check("/v1/track", Some("Bearer abc"), TRACK, 401);
    check("/v1/track", Some("Basic ???"), TRACK, 401);
    check("/v1/track?writeKey=wrong", None, &in_body, 401);
    check("/v1/track", None, TRACK, 401);
    check("/v1/track", None, r#"{"userId":"ann","event":"e","writeKey":"wrong"}"#, 401);
    check("/v1/track", None, r#"{"userId":"ann","event":"e","writeKey":""}"#, 401);
    check("/v1/track", None, r#"{"userId":"ann","event":"e","writeKey":7}"#, 401);
    check("/v1/track", None, "not json", 401);
    check("/v1/track", None, &"x".repeat(40_000), 401);
}

const TRACK_TYPED: &str = r#"{"type":"track","userId":"ann","event":"e"}"#;

#[test]
fn the_content_type_does_not_matter() {
    for kind in ["application/json", "text/plain", "application/x-www-form-urlencoded", "application/json;charset=UTF-8", ""] {
        let headers = [("authorization", &*basic(KEY)), ("content-type", kind)];
        let received = open(CONFIG).receive(request("POST", "/v1/track", &headers, TRACK.as_bytes())).expect("no failure");
        assert_eq!(received.events.len(), 1, "{kind}");
    }
}

#[test]
fn a_body_that_cannot_be_taken_is_a_dead_letter_of_a_known_sender() {
    let check = |target: &str, body: &[u8], code: &str| {
        let received =
            open(CONFIG).receive(request("POST", target, &[("authorization", &basic(KEY))], body)).expect("no failure");
        assert_eq!((received.response.status, received.events.len()), (400, 0), "{code}");
        assert_eq!(codes(&received), [code]);
        assert_eq!(received.refused[0].bytes, None, "the whole body");
    };
    let many = format!(r#"{{"batch":[{}]}}"#, vec!["{}"; 2501].join(","));
    check("/v1/track", b"", "invalid_json");
    check("/v1/track", b"{\"userId\":\"ann\"", "invalid_json");
    check("/v1/track", b"[1]", "invalid_json");
    check("/v1/track", b"{\"userId\":\"\xff\",\"event\":\"e\"}", "invalid_json");
    check("/v1/track", &vec![b' '; 32 * 1024 + 1], "too_large");
    check("/v1/batch", &vec![b' '; 500 * 1024 + 1], "too_large");
    check("/v1/batch", many.as_bytes(), "too_many_calls");
    check("/v1/batch", b"{}", "no_batch");
    for batch in ["{\"a\":[{}]}", "1", "-1", "1.5", "true", "null", "\"x\""] {
        check("/v1/batch", format!("{{\"batch\":{batch}}}").as_bytes(), "no_batch");
    }
    let mut unreadable = request("POST", "/v1/batch", &[("authorization", &basic(KEY))], b"");
    unreadable.body = Body::Unreadable("corrupt gzip stream".into());
    assert_eq!(codes(&open(CONFIG).receive(unreadable.clone()).expect("no failure")), ["unreadable"]);
    unreadable.headers.clear();
    let received = open(CONFIG).receive(unreadable).expect("no failure");
    assert_eq!((received.response.status, received.refused.len()), (401, 0));
}

#[test]
fn a_refused_call_of_a_batch_can_be_given_again_with_what_the_batch_says() {
    let batch = format!(
        r#"{{"writeKey":"{KEY}","context":{{"ip":"192.0.2.7"}},"batch":[{TRACK_TYPED},{{"type":"track","event":"e"}}],"x":1}}"#
    );
    let received = open(CONFIG).receive(request("POST", "/v1/batch", &[], batch.as_bytes())).expect("no failure");
    let part = received.refused[0].bytes.clone().expect("a part");
    let want = r#"{"context":{"ip":"192.0.2.7"},"x":1,"batch":[{"type":"track","event":"e"}]}"#;
    assert_eq!(String::from_utf8_lossy(&part), want, "without the key");

    let give = |headers: &[(&str, &str)], body: &[u8]| {
        let received = open(CONFIG).receive(request("POST", "/v1/batch", headers, body)).expect("no failure");
        (received.response.status, codes(&received).join(" "))
    };
    assert_eq!(give(&[(":part", "1")], &part), (200, "no_identity".into()), "it is known, and still nobody's");
    assert_eq!(give(&[], &part), (401, String::new()));
    assert_eq!(give(&[(":part", "1"), ("authorization", &basic("wrong"))], &part), (401, String::new()));
}

#[test]
fn a_bad_call_of_a_batch_is_refused_alone_with_its_bytes() {
    let large = format!(r#"{{"type":"track","userId":"ann","event":"e","properties":{{"x":"{}"}}}}"#, "x".repeat(33_000));
    let bad = [
        (r#"{"type":"track","event":"e"}"#, "no_identity"),
        (r#"{"type":"track","userId":"","anonymousId":null,"event":"e"}"#, "no_identity"),
        (r#"{"type":"track","userId":"\u0000\u001f\u007f","event":"e"}"#, "no_identity"),
        (r#"{"type":"track","userId":" \t","anonymousId":"\u200b\ufeff","event":"e"}"#, "no_identity"),
        (r#"{"type":"group","userId":"ann","groupId":"\u0007"}"#, "no_group_id"),
        (r#"{"type":"alias","userId":"ann","previousId":"\u0007"}"#, "no_previous_id"),
        (r#"{"type":"track","userId":{"a":1},"event":"e"}"#, "bad_identifier"),
        (r#"{"type":"track","userId":"ann"}"#, "no_name"),
        (r#"{"type":"track","userId":"ann","event":7}"#, "no_name"),
        (r#"{"type":"dance","userId":"ann"}"#, "bad_type"),
        (r#"{"type":"record","userId":"ann"}"#, "bad_type"),
        (r#"{"userId":"ann"}"#, "bad_type"),
        ("7", "not_an_object"),
        (r#"[{"type":"track"}]"#, "not_an_object"),
        (r#"{"type":"page","userId":"ann","\ud800":1}"#, "invalid_json"),
        (r#"{"type":"page","userId":"ann","context":"here"}"#, "not_an_object"),
        (r#"{"type":"page","userId":"ann","context":[1]}"#, "not_an_object"),
        (r#"{"type":"page","userId":"ann","properties":[]}"#, "not_an_object"),
        (r#"{"type":"identify","userId":"ann","traits":"x"}"#, "not_an_object"),
        (r#"{"type":"page","userId":"ann","timestamp":"tomorrow"}"#, "bad_timestamp"),
        (r#"{"type":"page","userId":"ann","timestamp":true}"#, "bad_timestamp"),
        (r#"{"type":"page","userId":"ann","messageId":{}}"#, "bad_message_id"),
        (r#"{"type":"group","userId":"ann"}"#, "no_group_id"),
        (r#"{"type":"alias","userId":"ann"}"#, "no_previous_id"),
        (&large, "too_large"),
    ];
    let batch: Vec<&str> = bad.iter().map(|(call, _)| *call).chain([TRACK_TYPED]).collect();
    let received = post("/v1/batch", &format!("{{\"batch\":[{}]}}", batch.join(", ")));
    assert_eq!((received.response.status, received.events.len()), (200, 1));
    for (refused, (call, code)) in received.refused.iter().zip(bad) {
        assert_eq!(refused.rejection.code, code, "{call}");
        assert_eq!(refused.bytes.as_deref(), Some(format!(r#"{{"batch":[{call}]}}"#).as_bytes()));
    }
    assert_eq!(received.refused.len(), bad.len());

    // Who names somebody else besides is that one.
    let known = kept(&post("/v1/track", r#"{"userId":"\u0001","anonymousId":"a\u0001","event":"e"}"#));
    assert!(known[0].contains(r#""claims":[{"type":"anonymous_id","value":"a\u0001"}]"#), "{}", known[0]);

    let alone = post("/v1/track", r#"{"event":"e"}"#);
    assert_eq!((alone.response.status, codes(&alone)), (200, vec!["no_identity"]), "Segment answers 200");
    let empty = post("/v1/batch", r#"{"batch":[]}"#);
    assert_eq!((empty.response.status, empty.events.len(), empty.refused.len()), (200, 0, 0));
}

#[test]
fn browsers_are_let_in_from_every_origin() {
    let asked = [
        ("origin", "https://shop.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "authorization,content-type,x-own"),
    ];
    let received = open(CONFIG).receive(request("OPTIONS", "/v1/t", &asked, b"")).expect("no failure");
    let find = |name: &str| received.response.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str());
    assert_eq!(received.response.status, 204);
    assert_eq!(find("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!(find("access-control-allow-headers"), Some("authorization,content-type,x-own"));
    assert_eq!(find("access-control-allow-methods"), Some("GET, POST, OPTIONS"));
    assert_eq!(find("vary"), Some("Origin"));
    let odd = [("origin", "https://shop.example"), ("access-control-request-headers", "a\r\nset-cookie: x")];
    let received = open(CONFIG).receive(request("OPTIONS", "/v1/t", &odd, b"")).expect("no failure");
    assert!(received.response.headers.iter().all(|(_, value)| !value.contains('\n')));
    let denied =
        open(CONFIG).receive(request("POST", "/v1/t", &[("origin", "https://shop.example")], b"{}")).expect("no failure");
    assert!(
        denied.response.headers.iter().any(|(name, _)| name == "access-control-allow-origin"),
        "so that the page can read why"
    );
}

#[test]
fn browser_libraries_find_what_they_begin_with() {
    let get = |config: &str, target: &str, headers: &[(&str, &str)]| {
        let response = open(config).receive(request("GET", target, headers, b"")).expect("no failure").response;
        (response.status, String::from_utf8(response.body).expect("UTF-8"))
    };
    let public = r#"{"write_keys":["second"],"public_url":"http://localhost:8080/segment/"}"#;
    let (status, settings) = get(public, "/v1/projects/wk%5F123/settings", &[]);
    assert_eq!(status, 200);
    let settings: serde_json::Value = serde_json::from_str(&settings).expect("JSON");
    assert_eq!(settings["integrations"]["Segment.io"]["apiKey"], KEY);
    assert_eq!(settings["integrations"]["Segment.io"]["apiHost"], "localhost:8080/segment/v1");
    assert_eq!(settings["integrations"]["Segment.io"]["protocol"], "http");
    let (_, settings) = get(CONFIG, "/v1/projects/wk_123/settings", &[]);
    assert!(!settings.contains("apiHost"), "unknown without public_url");
    assert_eq!(get(CONFIG, "/v1/projects/wrong/settings", &[]).0, 404);
    for path in ["/analytics.js/v1/wk_123/analytics.min.js", "/analytics-next/bundles/ajs-destination.bundle.js"] {
        let (status, body) = get(CONFIG, path, &[]);
        assert_eq!((status, body.contains("does not serve the library")), (404, true), "{path}");
    }
    let (status, config) = get(CONFIG, "/sourceConfig/?p=npm&v=3", &[("authorization", &basic(KEY))]);
    let config: serde_json::Value = serde_json::from_str(&config).expect("JSON");
    assert_eq!(
        (status, config["source"]["enabled"].as_bool(), config["source"]["destinations"].as_array().map(Vec::len)),
        (200, Some(true), Some(0))
    );
    assert_eq!(get(CONFIG, "/sourceConfig?writeKey=wrong", &[]).0, 401);
}

#[test]
fn a_pixel_carries_one_call() {
    use base64::Engine as _;
    let pixel = |call: &str| {
        let data = base64::engine::general_purpose::STANDARD.encode(call).replace('+', "%2B").replace('=', "%3D");
        open(CONFIG).receive(request("GET", &format!("/v1/pixel/track?data={data}"), &[], b"")).expect("no failure")
    };
    let received = pixel(&format!(r#"{{"writeKey":"{KEY}","userId":"ann","event":"Email Opened"}}"#));
    assert_eq!(received.events.len(), 1);
    assert!(received.response.body.starts_with(b"GIF89a"));
    let received = pixel(r#"{"writeKey":"wrong","userId":"ann","event":"Email Opened"}"#);
    assert_eq!((received.response.status, received.events.len(), received.refused.len()), (200, 0, 0));
    let received = pixel(&format!(r#"{{"writeKey":"{KEY}"}}"#));
    assert_eq!(codes(&received), ["no_identity"]);
}

#[test]
fn a_configuration_is_checked() {
    let check = |json: &str, path: &str| {
        let config = testing::config::<segment::Config>(json).expect("of the right shape");
        assert_eq!(
            segment::Segment::validate(&config).iter().map(|problem| problem.path.as_str()).collect::<Vec<_>>(),
            [path],
            "{json}"
        );
    };
    check(r#"{"write_keys":[]}"#, "/write_keys");
    check(r#"{"write_keys":["k"],"public_url":"events.acme.example"}"#, "/public_url");
    check(r#"{"write_keys":["k"],"public_url":"https://events.acme.example/?a"}"#, "/public_url");
    for example in segment::Segment::ABOUT.examples {
        let config = testing::config::<segment::Config>(example.config).expect("an example works");
        assert!(segment::Segment::validate(&config).is_empty(), "{}", example.title);
    }
    let manifest: serde_json::Value = serde_json::from_str(&weft_plugin::manifest_of_source::<segment::Segment>()).expect("JSON");
    assert_eq!(manifest["name"], "segment");
    assert_eq!(manifest["config"]["properties"]["write_keys"]["items"]["format"], "secret");
}

/// Bytes changed, left out and doubled at random places, from a fixed seed.
#[test]
fn whatever_is_sent_the_answer_is_documented_and_events_are_events() {
    let calls = [
        include_str!("../../benches/track.json").trim_end(),
        r#"{"type":"identify","userId":42,"traits":{"email":"a@b.example","n":1e5,"x":[{"y":null}]},"context":{"traits":{"a":1},"consent":{"categoryPreferences":{"a":true}}}}"#,
        r#"{"type":"track","userId":"ann","event":"Order Completed","properties":{"products":[{"price":"1.5","quantity":-2,"position":0.1}]},"timestamp":1772357400}"#,
    ];
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let letters = br#"{}[]":,\u0e-+.19tn aZ"#;
    let mut source = open(CONFIG);
    let mut taken = 0;
    for round in 0..20_000 {
        let mut body = format!(r#"{{"batch":[{}]}}"#, calls[round % calls.len()]).into_bytes();
        for _ in 0..1 + random(3) {
            let place = random(body.len());
            match random(4) {
                0 => body[place] = letters[random(letters.len())],
                1 => drop(body.remove(place)),
                2 => body.insert(place, letters[random(letters.len())]),
                _ => body[place] = random(256) as u8,
            }
        }
        let received =
            source.receive(request("POST", "/v1/batch", &[("authorization", &basic(KEY))], &body)).expect("no failure");
        assert!(matches!(received.response.status, 200 | 400));
        taken += kept(&received).len();
    }
    assert!(taken > 1_000, "{taken} is too few to say anything");
}
