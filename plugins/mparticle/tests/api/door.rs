//! Paths, keys, sizes, answers.

use weft_plugin::{Body, Source, testing};

use super::{CONFIG, KEY, SECRET, WEB, answer, basic, codes, kept, open, page, request, server};

const BATCH: &str =
    r#"{"user_identities":{"customer_id":"ann"},"events":[{"event_type":"custom_event","data":{"event_name":"e"}}]}"#;

#[test]
fn every_documented_path_takes_its_request() {
    for path in ["/v2/events", "/v2/events/"] {
        let received = server(path, BATCH);
        assert_eq!((received.response.status, received.events.len(), received.response.body.len()), (202, 1, 0), "{path}");
    }
    assert_eq!(server("/v2/bulkevents", &format!("[{BATCH},{BATCH}]")).events.len(), 2);
    let old = BATCH.replace("\"event_name\"", "\"timestamp_unixtime_ms\":1700000000000,\"event_name\"");
    let received = server("/v2/bulkevents/historical", &format!("[{old}]"));
    assert_eq!((received.response.status, received.events.len(), codes(&received)), (202, 1, vec![]));
    for path in ["/v3/JS/web-key-1/events", "/webevents/v3/JS/web%2Dkey-1/events"] {
        let received = page(path, BATCH);
        assert_eq!((received.response.status, received.events.len()), (202, 1), "{path}");
    }
    for path in ["/", "/v2", "/v1/find", "/v3/JS/web-key-1", "/v2/web-key-1/events", "/v1/JS/web-key-1/events"] {
        assert_eq!(server(path, BATCH).response.status, 404, "{path}");
    }
    let wrong = open(CONFIG).receive(request("GET", "/v2/events", &[], b"")).expect("no failure").response;
    assert_eq!((wrong.status, wrong.headers.iter().any(|(_, value)| value == "POST, OPTIONS")), (405, true));
}

#[test]
fn a_key_is_of_use_to_whom_it_belongs() {
    let check = |path: &str, headers: &[(&str, &str)], status: u16| {
        let body = if path.contains("v1") { r#"{"known_identities":{"email":"a@b.example"}}"# } else { BATCH };
        let received = open(CONFIG).receive(request("POST", path, headers, body.as_bytes())).expect("no failure");
        let is_taken = status < 300;
        assert_eq!((received.response.status, !received.events.is_empty()), (status, is_taken), "{path} {headers:?}");
        assert_eq!(received.refused.len(), 0, "nothing of a stranger is kept");
    };
    let of = |key: &str, secret: &str| basic(key, secret);
    check("/v2/events", &[("authorization", &of(KEY, SECRET))], 202);
    check("/v2/events", &[("authorization", &of("lab-1", "l4b"))], 202);
    check("/v2/events", &[], 401);
    check("/v2/events", &[("authorization", &of(KEY, "wrong"))], 403);
    check("/v2/events", &[("authorization", &of(KEY, ""))], 403);
    check("/v2/events", &[("authorization", &of("lab-1", SECRET))], 403);
    check("/v2/events", &[("authorization", &of("lab", "l4b"))], 403);
    check("/v2/events", &[("authorization", "Bearer x")], 403);
    // A page's key has no secret: it is no server's, not even with an empty one.
    check("/v2/events", &[("authorization", &of(WEB, ""))], 403);
    check("/v2/events", &[("x-mp-key", WEB)], 401);
    // A server's key is of no use without its secret.
    check("/v3/JS/shop/events", &[], 403);
    check("/v3/JS/lab-1/events", &[], 403);
    check("/v3/JS/wrong/events", &[], 403);
    check("/v1/identify", &[("x-mp-key", WEB)], 200);
    check("/identity/v1/identify", &[("authorization", &of(KEY, SECRET))], 200);
    check("/v1/identify", &[("x-mp-key", KEY)], 401);
    check("/v1/identify", &[("x-mp-key", "wrong")], 401);
    check("/v1/identify", &[], 401);
}

#[test]
fn a_key_may_decide_the_environment() {
    let of = |config: &str, key: &str, secret: &str, batch: &str| {
        let headers = [("authorization", &*basic(key, secret))];
        kept(&open(config).receive(request("POST", "/v2/events", &headers, batch.as_bytes())).expect("no failure")).remove(0)
    };
    let said = |name: &str| BATCH.replacen('{', &format!("{{\"environment\":\"{name}\","), 1);
    let check = |text: &str, want: Option<&str>| {
        let event: serde_json::Value = serde_json::from_str(text).expect("JSON");
        assert_eq!(event["environment"].as_str(), want, "{text}");
    };
    check(&of(CONFIG, KEY, SECRET, BATCH), None);
    check(&of(CONFIG, KEY, SECRET, &said("development")), Some("development"));
    check(&of(CONFIG, KEY, SECRET, &said("production")), Some("production"));
    check(&of(CONFIG, KEY, SECRET, &said("unknown")), None);
    check(&of(CONFIG, "lab-1", "l4b", &said("production")), Some("development"));
}

#[test]
fn what_cannot_be_taken_is_a_dead_letter_of_a_known_sender() {
    let check = |path: &str, body: &[u8], code: &str| {
        let headers = [("authorization", &*basic(KEY, SECRET))];
        let received = open(CONFIG).receive(request("POST", path, &headers, body)).expect("no failure");
        assert_eq!((received.response.status, received.events.len()), (400, 0), "{code}");
        assert_eq!(codes(&received), [code], "{}", String::from_utf8_lossy(&body[..body.len().min(200)]));
        assert_eq!(received.refused[0].bytes, None, "the whole body");
        let told = answer(&received);
        let errors = if path.contains("v1") { &told["Errors"] } else { &told["errors"] };
        assert_eq!((errors[0]["code"].as_str(), errors[0]["message"].is_string()), (Some("BAD_REQUEST"), true), "{told}");
    };
    let events = "/v2/events";
    check(events, b"", "invalid_json");
    check(events, b"{\"events\":", "invalid_json");
    check(events, b"{\"a\":\"\xff\"}", "invalid_json");
    check(events, b"[1]", "not_an_object");
    check(events, b"{}", "no_identity");
    check(events, br#"{"user_identities":{"email":" "},"mpid":0,"mp_deviceid":""}"#, "no_identity");
    check(events, br#"{"device_info":{"ios_advertising_id":"00000000-0000-0000-0000-000000000000"}}"#, "no_identity");
    check(events, br#"{"user_identities":["a"]}"#, "not_an_object");
    check(events, br#"{"user_identities":{"email":{}}}"#, "bad_identity");
    check(events, br#"{"mpid":"1","events":{}}"#, "not_a_list");
    check(events, br#"{"mpid":"1","user_attributes":[]}"#, "not_an_object");
    check(events, br#"{"mpid":"1","deleted_user_attributes":[7]}"#, "bad_attribute");
    check(events, br#"{"mpid":"1","timestamp_unixtime_ms":"soon"}"#, "bad_timestamp");
    check(events, br#"{"mpid":"1","consent_state":{"gdpr":{"ads":true}}}"#, "not_an_object");
    check(events, &vec![b' '; 256 * 1024 + 1], "too_large");
    let many = format!("{{\"mpid\":\"1\",\"events\":[{}]}}", vec!["{}"; 10_001].join(","));
    check(events, many.as_bytes(), "too_many_events");
    check("/v2/bulkevents", b"{}", "not_a_list");
    check("/v2/bulkevents", format!("[{}]", vec!["{}"; 101].join(",")).as_bytes(), "too_many_batches");
    check("/v1/login", b"{}", "no_identity");
    check("/v1/login", b"[]", "not_an_object");
    check("/v1/7/modify", b"{}", "no_identity");
    check("/v1/7/modify", br#"{"identity_changes":[{"new_value":"x"}]}"#, "bad_identity");
    check("/v1/seven/modify", br#"{"identity_changes":[{"identity_type":"email"}]}"#, "bad_identity");

    let mut unreadable = request("POST", events, &[("authorization", &basic(KEY, SECRET))], b"");
    unreadable.body = Body::Unreadable("corrupt gzip stream".into());
    assert_eq!(codes(&open(CONFIG).receive(unreadable.clone()).expect("no failure")), ["unreadable"]);
    unreadable.headers.clear();
    let received = open(CONFIG).receive(unreadable).expect("no failure");
    assert_eq!((received.response.status, received.refused.len()), (401, 0));
}

#[test]
fn bad_events_are_refused_with_their_batch_and_good_ones_taken() {
    let events = [
        r#"{"event_type":"custom_event","data":{"event_name":"good"}}"#,
        r#"{"event_type":"custom_event","data":{}}"#,
        r#"{"event_type":"dance","data":{}}"#,
        r#"{"event_type":"custom_event","data":{"event_name":""}}"#,
        "7",
    ];
    let body = format!(r#"{{"mpid":"7","api_key":"k","user_attributes":{{"plan":"pro"}},"events":[{}]}}"#, events.join(","));
    let received = server("/v2/events", &body);
    assert_eq!((received.response.status, received.events.len()), (202, 1));
    assert!(kept(&received)[0].contains(r#""traits":{"plan":"pro"}"#), "{:?}", kept(&received));
    let letters: Vec<(&str, String)> = received
        .refused
        .iter()
        .map(|refused| (&*refused.rejection.code, String::from_utf8(refused.bytes.clone().expect("bytes")).expect("UTF-8")))
        .collect();
    let with = |events: &str| format!(r#"{{"mpid":"7","user_attributes":{{"plan":"pro"}},"events":[{events}]}}"#);
    let want = [
        ("bad_event_type", with(events[2])),
        ("no_name", with(&format!("{},{}", events[1], events[3]))),
        ("not_an_object", with("7")),
    ];
    assert_eq!(letters, want, "each a batch that could be sent again");
    assert!(received.refused[1].rejection.message.contains("2 events"));

    // A batch of a bulk fails alone.
    let received = server("/v2/bulkevents", &format!(r#"[{{}},{BATCH},7]"#));
    assert_eq!(
        (received.response.status, received.events.len(), codes(&received)),
        (202, 1, vec!["no_identity", "not_an_object"])
    );
    assert_eq!(received.refused[1].bytes.as_deref(), Some(&b"7"[..]));

    // What is said of the person and passes a limit does not take the event with it.
    let long = format!(r#"{{"mpid":"7","user_attributes":{{"a":"{}"}},"events":[{}]}}"#, "x".repeat(9_000), events[0]);
    let received = server("/v2/events", &long);
    assert_eq!((received.events.len(), codes(&received)), (1, vec!["trait_too_long"]));
    assert!(received.refused[0].bytes.as_ref().is_some_and(|bytes| bytes.ends_with(b"\"events\":[]}")));
}

#[test]
fn the_past_is_told_by_its_own_rules() {
    let check = |events: &str, want: &[&str]| {
        let received = server("/v2/bulkevents/historical", &format!(r#"[{{"mpid":"7","events":[{events}]}}]"#));
        assert_eq!((received.response.status, codes(&received)), (202, want.to_vec()), "{events}");
        assert_eq!(received.events.is_empty(), !want.is_empty());
    };
    let event = |ms: i64| format!(r#"{{"event_type":"session_start","data":{{"timestamp_unixtime_ms":{ms}}}}}"#);
    check(&event(super::RECEIVED_MS as i64 - 72 * 3_600_000), &[]);
    check(&event(super::RECEIVED_MS as i64 - 72 * 3_600_000 + 1), &["not_historical"]);
    check(&format!("{},{}", event(1_700_000_000_000), r#"{"event_type":"session_start"}"#), &["no_timestamp"]);
    check("", &["no_events"]);
}

#[test]
fn a_request_does_not_become_more_than_the_engine_takes() {
    let device = format!(r#""device_info":{{"note":"{}"}}"#, "x".repeat(100_000));
    let event = r#"{"event_type":"custom_event","data":{"event_name":"e"}}"#;
    let body = format!(r#"{{"mpid":"7",{device},"events":[{}]}}"#, vec![event; 1_000].join(","));
    let received = server("/v2/events", &body);
    let made: usize = received.events.iter().map(Vec::len).sum();
    assert!(made <= 24 << 20 && received.events.len() > 200, "{made} bytes");
    assert_eq!(codes(&received), ["too_large"]);
    let bytes = received.refused[0].bytes.as_ref().expect("bytes");
    let kept: serde_json::Value = serde_json::from_slice(bytes).expect("JSON");
    assert_eq!(kept["events"].as_array().map(Vec::len), Some(1_000 - received.events.len()), "none is lost");
}

#[test]
fn browsers_are_let_in_from_every_origin() {
    let asked = [("origin", "https://shop.example"), ("access-control-request-headers", "content-type,x-mp-key")];
    let received = open(CONFIG).receive(request("OPTIONS", "/v1/identify", &asked, b"")).expect("no failure");
    let find = |name: &str| received.response.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str());
    assert_eq!(received.response.status, 204);
    assert_eq!(find("access-control-allow-origin"), Some("https://shop.example"));
    assert_eq!(find("access-control-allow-headers"), Some("content-type,x-mp-key"));
    assert_eq!(find("access-control-allow-methods"), Some("GET, POST, OPTIONS"));
    let denied = open(CONFIG).receive(request("POST", "/v1/identify", &asked, b"{}")).expect("no failure").response;
    assert!(denied.headers.iter().any(|(name, _)| name == "access-control-allow-origin"), "so that the page can read why");
}

#[test]
fn the_sdk_finds_what_it_begins_with() {
    let get = |path: &str| open(CONFIG).receive(request("GET", path, &[], b"")).expect("no failure");
    for path in ["/JS/v2/web-key-1/config?env=0", "/tags/JS/v2/web-key-1/config?env=1&plan_id=x"] {
        let received = get(path);
        let settings = answer(&received);
        assert_eq!((received.response.status, settings["workspaceToken"].as_str()), (200, Some("site")), "{path}");
        assert_eq!(settings["kitConfigs"], serde_json::json!([]));
    }
    assert_eq!(get("/JS/v2/wrong/config").response.status, 403);
    assert_eq!(get("/JS/v2/shop/config").response.status, 403);
}

#[test]
fn a_configuration_is_checked() {
    let check = |json: &str, problems: usize| {
        let config = testing::config::<mparticle::Config>(json).expect("of the right shape");
        let found: Vec<_> = mparticle::MParticle::validate(&config).into_iter().map(|problem| problem.path).collect();
        assert_eq!(found, vec!["/keys"; problems], "{json}");
    };
    check(r#"{"keys":{}}"#, 1);
    check(r#"{"keys":{"":"s"}}"#, 1);
    check(&format!(r#"{{"keys":{{"{}":"s"}}}}"#, "x".repeat(65)), 1);
    check(CONFIG, 0);
    assert!(testing::config::<mparticle::Config>(r#"{"keys":{"a":{"sercet":"s"}}}"#).is_err());
    for example in mparticle::MParticle::ABOUT.examples {
        let config = testing::config::<mparticle::Config>(example.config).expect("an example works");
        assert!(mparticle::MParticle::validate(&config).is_empty(), "{}", example.title);
    }
    let manifest = weft_plugin::manifest_of_source::<mparticle::MParticle>();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).expect("JSON");
    let text = manifest["config"].to_string();
    assert_eq!((manifest["name"].as_str(), text.matches("\"format\":\"secret\"").count()), (Some("mparticle"), 3), "{text}");
}

/// Bytes changed, left out and doubled at random places, from a fixed seed.
#[test]
fn whatever_is_sent_the_answer_is_documented_and_events_are_events() {
    let batches = [
        include_str!("../../examples/purchase.json").trim_end(),
        r#"{"mpid":"7","mp_deviceid":"d","consent_state":{"gdpr":{"a":{"consented":true}}},"user_attributes":{"$age":7,"b":["c"]},"events":[{"event_type":"screen_view","data":{"screen_name":"s","location":{"latitude":1}}},{"event_type":"user_attribute_change","data":{"user_attribute_name":"a","new":"b"}}]}"#,
    ];
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    let letters = br#"{}[]":,\u0e-+.19tn aZ"#;
    let (mut source, mut taken) = (open(CONFIG), 0);
    for round in 0..20_000 {
        let mut body = batches[round % batches.len()].as_bytes().to_vec();
        for _ in 0..1 + random(3) {
            let place = random(body.len());
            match random(4) {
                0 => body[place] = letters[random(letters.len())],
                1 => drop(body.remove(place)),
                2 => body.insert(place, letters[random(letters.len())]),
                _ => body[place] = random(256) as u8,
            }
        }
        let path = ["/v2/events", "/v3/JS/web-key-1/events"][round % 3 % 2];
        let received =
            source.receive(request("POST", path, &[("authorization", &basic(KEY, SECRET))], &body)).expect("no failure");
        assert!(matches!(received.response.status, 202 | 400));
        assert!(received.response.status == 202 || !received.refused.is_empty());
        taken += kept(&received).len();
    }
    assert!(taken > 1_000, "{taken} is too few to say anything");
}
