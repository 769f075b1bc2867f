//! The source as its senders see it: requests in, answers and canonical events out.
//!
//! Every event is read by the engine's own reader, and compared in the text that the engine keeps.

use weft_domain::event::Event;
use weft_plugin::{Body, Received, Request, Source, testing};

/// When requests arrive, where a test does not say.
const NOW_MS: u64 = 1_772_357_400_000;

/// A source; the secrets that tests name.
fn open(config: &str) -> webhook::Webhook {
    testing::reset();
    testing::with(|double| {
        for (handle, secret) in [
            ("old", "something else"),
            ("key", "hunter2"),
            ("github", "It's a Secret to Everybody"),
            ("stripe", "whsec_test_secret"),
            ("slack", "8f742231b10e8888abcd99yyyzzz85a5"),
            ("shopify", "hush"),
        ] {
            double.secrets.insert(handle.into(), secret.as_bytes().to_vec());
        }
    });
    let config = testing::config(config).unwrap_or_else(|problem| panic!("{problem:?}"));
    let problems = webhook::Webhook::validate(&config);
    assert!(problems.is_empty(), "{problems:?}");
    webhook::Webhook::open(config).expect("it opens")
}

fn request(headers: &[(&str, &str)], body: &str) -> Request {
    Request {
        method: "POST".into(),
        path: "/".into(),
        query: String::new(),
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        body: Body::Bytes(body.into()),
        received_ms: NOW_MS,
        remote: "203.0.113.9".into(),
    }
}

fn receive(config: &str, request: Request) -> Received {
    open(config).receive(request).expect("no failure")
}

/// What an open source with this mapping makes of a body.
fn map(mapping: &str, body: &str) -> Received {
    receive(&format!(r#"{{"signature":{{"scheme":"none"}},{mapping}}}"#), request(&[("x-topic", "paid"), ("x-id", "7")], body))
}

/// The events as the engine keeps them.
fn kept(received: &Received) -> Vec<String> {
    let text = |bytes: &Vec<u8>| {
        let event = Event::parse(bytes).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)));
        String::from_utf8(event.to_json()).expect("UTF-8")
    };
    received.events.iter().map(text).collect()
}

fn codes(received: &Received) -> Vec<&str> {
    received.refused.iter().map(|refused| refused.rejection.code.as_str()).collect()
}

/// That a signature lets its request in, and that nothing is kept of one that is wrong.
fn check_signature(signature: &str, headers: &[(&str, &str)], body: &str, received_ms: u64, let_in: bool) {
    let config = format!(r#"{{"signature":{signature},"event":"E","properties":"none"}}"#);
    let request = Request { received_ms, ..request(headers, body) };
    let received = receive(&config, request);
    let took_nothing = received.events.is_empty() && received.refused.is_empty();
    let is_401 = received.response.status == 401;
    assert_eq!((is_401, took_nothing), (!let_in, !let_in), "{signature} {headers:?} {received:?}");
}

#[test]
fn github_s_signature_is_that_of_its_documentation() {
    let check = |header: &str, sent: &str, body: &str, let_in: bool| {
        check_signature(r#"{"scheme":"github","secrets":["old","github"]}"#, &[(header, sent)], body, NOW_MS, let_in);
    };
    // https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
    let right = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    check("x-hub-signature-256", right, "Hello, World!", true);
    check("x-hub-signature-256", &right.to_uppercase().replace("SHA", "sha"), "Hello, World!", true);
    check("x-hub-signature-256", right, "Hello, World?", false);
    check("x-hub-signature-256", &right[7..], "Hello, World!", false);
    check("x-hub-signature-256", &right[..70], "Hello, World!", false);
    check("x-hub-signature-256", "sha256=", "Hello, World!", false);
    check("x-hub-signature", right, "Hello, World!", false);
}

#[test]
fn slack_s_signature_is_that_of_its_documentation() {
    // https://docs.slack.dev/authentication/verifying-requests-from-slack
    let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let right = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
    let check = |time: &str, sent: &str, received_s: u64, let_in: bool| {
        let headers = [("x-slack-request-timestamp", time), ("x-slack-signature", sent)];
        check_signature(r#"{"scheme":"slack","secrets":["slack"]}"#, &headers, body, received_s * 1000, let_in);
    };
    check("1531420618", right, 1_531_420_618, true);
    check("1531420618", right, 1_531_420_918, true);
    check("1531420618", right, 1_531_420_319, true);
    check("1531420618", right, 1_531_420_919, false);
    check("1531420618", right, 1_531_420_000, false);
    check("1531420619", right, 1_531_420_619, false);
    check("", right, 1_531_420_618, false);
    check("1531420618", &right.replace("v0=", "v1="), 1_531_420_618, false);
}

#[test]
fn stripe_s_signature_covers_its_time() {
    // The message is `t.body`: https://docs.stripe.com/webhooks#verify-manually. Computed with `openssl dgst`.
    let right = "799c4ba7bb339f3c8601adfd112f0e477c930a268be1243d341abb8286501c2f";
    let check = |header: &str, received_s: u64, let_in: bool| {
        let signature = r#"{"scheme":"stripe","secrets":["old","stripe"],"tolerance_seconds":60}"#;
        check_signature(signature, &[("stripe-signature", header)], r#"{"id":"evt_1"}"#, received_s * 1000, let_in);
    };
    check(&format!("t=1492774577,v1={right}"), 1_492_774_577, true);
    check(&format!("t=1492774577, v1={}, v1={right}, v0=0", "0".repeat(64)), 1_492_774_637, true);
    check(&format!("t=1492774577,v1={right}"), 1_492_774_638, false);
    check(&format!("t=1492774578,v1={right}"), 1_492_774_577, false);
    check(&format!("t=1492774577,v0={right}"), 1_492_774_577, false);
    check(&format!("v1={right}"), 1_492_774_577, false);
    check("t=1492774577", 1_492_774_577, false);
    check("", 1_492_774_577, false);
}

#[test]
fn shopify_s_signature_is_in_base64() {
    // https://shopify.dev/docs/apps/build/webhooks/subscribe/https. Computed with `openssl dgst`.
    let right = "qBvrsZF7RfB1iS6BX6IHqJTp5L911P7intnPeTPsH0I=";
    let check = |sent: &str, let_in: bool| {
        let headers = [("x-shopify-hmac-sha256", sent)];
        check_signature(
            r#"{"scheme":"shopify","secrets":["shopify"]}"#,
            &headers,
            r#"{"id":820982911946154508}"#,
            NOW_MS,
            let_in,
        );
    };
    check(right, true);
    check(&right.to_lowercase(), false);
    check("", false);
}

#[test]
fn tokens_and_headers_are_compared_with_the_secret() {
    let check = |signature: &str, header: &str, sent: &str, let_in: bool| {
        check_signature(signature, &[(header, sent)], "{}", NOW_MS, let_in);
    };
    let bearer = r#"{"scheme":"bearer","secrets":["old","key"]}"#;
    check(bearer, "authorization", "Bearer hunter2", true);
    check(bearer, "authorization", "bearer hunter2", true);
    check(bearer, "authorization", "Bearer hunter3", false);
    check(bearer, "authorization", "Basic hunter2", false);
    check(bearer, "authorization", "Bearer ", false);
    check(bearer, "x-other", "Bearer hunter2", false);
    let header = r#"{"scheme":"header","name":"X-Key","secrets":["key"]}"#;
    check(header, "x-key", "hunter2", true);
    check(header, "x-key", "", false);
    check(header, "x-other", "hunter2", false);
    check(r#"{"scheme":"none"}"#, "x-other", "", true);
}

#[test]
fn a_payload_becomes_an_event() {
    let check = |mapping: &str, body: &str, want: &str| assert_eq!(kept(&map(mapping, body)), [want], "{mapping}");
    check(
        r#""event":"Order Paid","message_id":{"path":"id","prefix":"shop/"},"occurred":"at","claims":{"email":"who.mail","user_id":"who.id","phone":"who.tel","none":"who.none"},"traits":{"name":"who.name","gone":"who.gone","not":"who.not"},"properties":{"total":"sum","topic":"$header.x-topic","not":"not"}"#,
        r#"{"id":7,"at":1772357398,"who":{"mail":"Ann@Shop.example","id":42,"tel":null,"none":" ","name":"Ann","gone":null},"sum":19.90}"#,
        r#"{"type":"track","name":"Order Paid","message_id":"shop/7","occurred":"2026-03-01T09:29:58.000Z","claims":[{"type":"email","value":"Ann@Shop.example"},{"type":"user_id","value":"42"}],"traits":{"gone":null,"name":"Ann"},"properties":{"topic":"paid","total":19.90}}"#,
    );
    check(r#""event":"E""#, r#"{"a":1.50,"b":{}}"#, r#"{"type":"track","name":"E","properties":{"a":1.50,"b":{}}}"#);
    check(r#""event":"E""#, "\u{feff}{}", r#"{"type":"track","name":"E","properties":{}}"#);
    check(
        r#""type":{"path":"kind"},"event":{"path":"$header.x-topic","prefix":"Order "},"properties":"none""#,
        r#"{"kind":"record"}"#,
        r#"{"type":"record","name":"Order paid"}"#,
    );
    check(r#""type":"identify","traits":"all","properties":"none""#, r#"{"n":1}"#, r#"{"type":"identify","traits":{"n":1}}"#);
}

#[test]
fn a_list_becomes_its_events() {
    let properties = r#""properties":{"n":"n","of":"$.of"}"#;
    let received = map(
        &format!(r#""event":"E","each":"list","message_id":"$header.x-id",{properties}"#),
        r#"{"of":"all","list":[{"n":1},{"n":2}]}"#,
    );
    let want = [
        r#"{"type":"track","name":"E","message_id":"7/0","properties":{"n":1,"of":"all"}}"#,
        r#"{"type":"track","name":"E","message_id":"7/1","properties":{"n":2,"of":"all"}}"#,
    ];
    assert_eq!(kept(&received), want);
    let received = map(r#""event":"E","each":"$","message_id":"id","properties":"none""#, r#"[{"id":"a"},{"id":"b"}]"#);
    let want = [r#"{"type":"track","name":"E","message_id":"a"}"#, r#"{"type":"track","name":"E","message_id":"b"}"#];
    assert_eq!(kept(&received), want);
    assert_eq!(map(r#""event":"E","each":"list""#, r#"{"list":[]}"#).response.status, 200);
}

#[test]
fn one_bad_item_does_not_cost_its_neighbours() {
    let received = map(r#""event":"E","each":"$","claims":{"id":"id"},"properties":"none""#, r#"[{"id":1},{"id":{}}, {"id":3}]"#);
    assert_eq!((received.response.status, received.events.len()), (200, 2));
    assert_eq!(codes(&received), ["bad_identifier"]);
    assert_eq!(received.refused[0].bytes.as_deref(), Some(&br#"[{"id":{}}]"#[..]));
}

#[test]
fn a_refused_item_can_be_given_again_by_itself() {
    let github = |mapping: &str| format!(r#"{{"signature":{{"scheme":"github","secrets":["github"]}},"each":"list",{mapping}}}"#);
    let body = r#"{"of": "all", "list" : [{"n":1,"id":1}, {"n":2,"id":{}},{"n":3,"id":3}], "end":[]}"#;
    let signature = weft_plugin::hash::sha256(body, Some("It's a Secret to Everybody"));
    let signed = [("x-hub-signature-256", &*format!("sha256={signature}")), ("x-id", "7")];
    let before = github(r#""event":"E","message_id":"$header.x-id","claims":{"id":"id"},"properties":{"of":"$.of"}"#);
    let received = receive(&before, request(&signed, body));
    assert_eq!((received.events.len(), codes(&received)), (2, vec!["bad_identifier"]));
    let part = String::from_utf8(received.refused[0].bytes.clone().expect("a part")).expect("UTF-8");
    assert_eq!(part, r#"{"of": "all", "list" : [null,{"n":2,"id":{}}], "end":[]}"#);

    let mended = github(r#""event":"E","message_id":"$header.x-id","claims":{"id":"n"},"properties":{"of":"$.of"}"#);
    let again = receive(&mended, request(&[&[(":part", "1")], &signed[..]].concat(), &part));
    let want = r#"{"type":"track","name":"E","message_id":"7/1","claims":[{"type":"id","value":"2"}],"properties":{"of":"all"}}"#;
    assert_eq!(kept(&again), [want]);
    let stranger = receive(&mended, request(&signed, &part));
    assert_eq!((stranger.response.status, stranger.events.len()), (401, 0), "who says that it is a part must be the engine");
}

#[test]
fn a_token_is_asked_for_again_with_a_part() {
    let config = r#"{"signature":{"scheme":"bearer","secrets":["key"]},"event":"E","each":"$","properties":"none"}"#;
    let part = |token: &str| receive(config, request(&[(":part", "1"), ("authorization", token)], "[{}]")).response.status;
    assert_eq!((part("Bearer hunter2"), part("Bearer hunter3")), (200, 401));
}

#[test]
fn only_what_is_meant_makes_events() {
    let check = |only: &str, body: &str, wanted: bool| {
        let received = map(&format!(r#""event":"E","properties":"none","only":{only}"#), body);
        assert_eq!((received.response.status, received.events.len()), (200, usize::from(wanted)), "{only} {body}");
        assert!(received.refused.is_empty());
    };
    check(r#"{"a.b":"x"}"#, r#"{"a":{"b":"x"}}"#, true);
    check(r#"{"a.b":"x"}"#, r#"{"a":{"b":"y"}}"#, false);
    check(r#"{"a.b":"x"}"#, "{}", false);
    check(r#"{"a":["x",true]}"#, r#"{"a":true}"#, true);
    check(r#"{"a":1}"#, r#"{"a":1.0}"#, true);
    check(r#"{"a":1}"#, r#"{"a":"1"}"#, false);
    check(r#"{"a":null}"#, "{}", true);
    check(r#"{"a":null}"#, r#"{"a":0}"#, false);
    check(r#"{"$header.x-topic":"paid","a":1}"#, r#"{"a":1}"#, true);
    check(r#"{"$header.x-topic":"paid","a":1}"#, r#"{"a":2}"#, false);
}

#[test]
fn what_cannot_be_taken_is_kept_and_the_sender_is_told() {
    let check = |mapping: &str, body: &str, status: u16, code: &str| {
        let received = map(mapping, body);
        assert_eq!((received.response.status, codes(&received)), (status, vec![code]), "{body}");
        assert!(received.events.is_empty() && received.refused[0].bytes.is_none(), "the whole body");
        assert_eq!(received.response.headers[0].1, "application/problem+json");
        let problem: serde_json::Value = serde_json::from_slice(&received.response.body).expect("JSON");
        assert!(problem["status"] == status && problem["detail"].is_string(), "{problem}");
    };
    check(r#""event":"E""#, "{", 400, "invalid_json");
    check(r#""event":"E""#, "", 400, "invalid_json");
    check(r#""event":"E""#, "payload=%7B%7D", 400, "invalid_json");
    check(r#""event":"E""#, "[]", 422, "not_an_object");
    check(r#""event":"E","each":"list""#, r#"{"list":{}}"#, 422, "no_list");
    check(r#""event":"E","each":"$""#, &format!("[{}1]", "1,".repeat(10_000)), 422, "too_many_events");
    check(r#""event":{"path":"name"}"#, "{}", 422, "no_name");
    check(r#""event":{"path":"name"}"#, r#"{"name":[]}"#, 422, "bad_name");
    check(r#""event":"E","type":{"path":"type"}"#, r#"{"type":"alias"}"#, 422, "bad_type");
    check(r#""event":"E","occurred":"at""#, r#"{"at":"yesterday"}"#, 422, "bad_timestamp");
    check(r#""event":"E","message_id":"id""#, r#"{"id":{}}"#, 422, "bad_message_id");
    check(r#""event":"E","claims":{"id":"id"}"#, r#"{"id":[1]}"#, 422, "bad_identifier");
}

#[test]
fn a_list_that_is_not_there_matters_only_where_it_is_meant() {
    let mapping = r#""event":"E","each":"list","only":{"$.type":"many"}"#;
    assert_eq!(map(mapping, r#"{"type":"ping"}"#), map(r#""event":"E","each":"list""#, r#"{"list":[]}"#));
    assert_eq!(codes(&map(mapping, r#"{"type":"many"}"#)), ["no_list"]);
}

#[test]
fn a_challenge_is_answered_where_the_configuration_says_so_and_the_sender_is_known() {
    let config = |challenge: &str| {
        format!(r#"{{"signature":{{"scheme":"bearer","secrets":["key"]}},"challenge":"{challenge}","event":"E"}}"#)
    };
    let body = r#"{"type":"url_verification","challenge":"3eZ\"b"}"#;
    let known = [("authorization", "Bearer hunter2")];
    let received = receive(&config("url_verification"), request(&known, body));
    assert_eq!((received.response.status, &*received.response.body), (200, &br#"{"challenge":"3eZ\"b"}"#[..]));
    assert!(received.events.is_empty());
    assert_eq!(receive(&config("url_verification"), request(&[], body)).response.status, 401);
    assert_eq!(receive(&config("none"), request(&known, body)).events.len(), 1);
    assert_eq!(receive(&config("url_verification"), request(&known, r#"{"challenge":"x"}"#)).events.len(), 1);
}

#[test]
fn what_the_engine_cannot_read_is_kept_where_the_sender_is_known() {
    let check = |signature: &str, headers: &[(&str, &str)], status: u16, want: &[&str]| {
        let config = format!(r#"{{"signature":{signature},"event":"E"}}"#);
        let received = receive(&config, Request { body: Body::Unreadable("a broken gzip".into()), ..request(headers, "") });
        assert_eq!((received.response.status, codes(&received)), (status, want.to_vec()), "{signature}");
    };
    check(r#"{"scheme":"none"}"#, &[], 400, &["unreadable"]);
    check(r#"{"scheme":"bearer","secrets":["key"]}"#, &[("authorization", "Bearer hunter2")], 400, &["unreadable"]);
    check(r#"{"scheme":"bearer","secrets":["key"]}"#, &[], 401, &[]);
    check(r#"{"scheme":"github","secrets":["key"]}"#, &[], 400, &[]);
}

#[test]
fn other_methods_are_not_taken() {
    let get = Request { method: "GET".into(), ..request(&[], "{}") };
    let received = receive(r#"{"signature":{"scheme":"none"},"event":"E"}"#, get);
    assert_eq!((received.response.status, received.events.len()), (405, 0));
}

#[test]
fn mistakes_in_a_configuration_are_named_with_their_place() {
    let check = |config: &str, want: &[&str]| {
        let config = testing::config(config).expect("it matches the schema");
        let paths: Vec<String> = webhook::Webhook::validate(&config).into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths, want);
    };
    check(r#"{"signature":{"scheme":"none"}}"#, &["/event"]);
    check(r#"{"signature":{"scheme":"none"},"event":""}"#, &["/event"]);
    check(r#"{"signature":{"scheme":"none"},"type":"page"}"#, &[]);
    check(r#"{"signature":{"scheme":"github","secrets":[]},"event":"E"}"#, &["/signature/secrets"]);
    check(
        r#"{"signature":{"scheme":"none"},"event":{"path":"."},"each":"$header.x","only":{"a/":1,"":1},"message_id":"..","claims":{"e/m":"a."}}"#,
        &["/only/", "/event/path", "/message_id", "/claims/e~1m", "/each"],
    );
    assert!(testing::config::<webhook::Config>(r#"{"event":"E"}"#).is_err(), "no signature has to be said");
}

#[test]
fn the_examples_become_events() {
    let check = |config: &str, headers: &[(&str, &str)], body: &str, want: &str| {
        // The same mapping without its signature: those have tests of their own.
        let mut config: serde_json::Value = serde_json::from_str(config).expect("JSON");
        config["signature"] = serde_json::json!({ "scheme": "none" });
        assert_eq!(kept(&receive(&config.to_string(), request(headers, body))), [want]);
    };
    check(
        include_str!("../examples/stripe.json"),
        &[],
        r#"{"id":"evt_1","type":"invoice.paid","created":1772357398,"data":{"object":{"id":"in_1","customer":"cus_1","customer_email":"ann@shop.example","amount_paid":1990,"currency":"eur"}}}"#,
        r#"{"type":"track","name":"Invoice Paid","message_id":"stripe/evt_1","occurred":"2026-03-01T09:29:58.000Z","claims":[{"type":"email","value":"ann@shop.example"},{"type":"stripe_id","value":"cus_1"}],"properties":{"amount_cents":1990,"currency":"eur","invoice":"in_1"}}"#,
    );
    check(
        include_str!("../examples/shopify.json"),
        &[("x-shopify-topic", "orders/paid"), ("x-shopify-event-id", "98880550")],
        r#"{"id":4711,"processed_at":"2026-03-01T10:29:58+01:00","customer":{"id":42,"email":"ann@shop.example"},"total_price":"19.90","currency":"EUR"}"#,
        r#"{"type":"track","name":"Order Completed","message_id":"shopify/98880550","occurred":"2026-03-01T09:29:58.000Z","claims":[{"type":"email","value":"ann@shop.example"},{"type":"shopify_id","value":"42"}],"properties":{"currency":"EUR","order_id":4711,"total":"19.90"}}"#,
    );
    check(
        include_str!("../examples/github.json"),
        &[("x-github-event", "issues"), ("x-github-delivery", "72d3162e")],
        r#"{"action":"opened","sender":{"login":"ann"},"repository":{"full_name":"shop/site"}}"#,
        r#"{"type":"track","name":"GitHub issues","message_id":"github/72d3162e","claims":[{"type":"github_login","value":"ann"}],"properties":{"action":"opened","repository":"shop/site"}}"#,
    );
    check(
        include_str!("../examples/slack.json"),
        &[],
        r#"{"type":"event_callback","event_id":"Ev1","event_time":1772357398,"event":{"type":"message","user":"U1","channel":"C1"}}"#,
        r#"{"type":"track","name":"Slack Message","message_id":"slack/Ev1","occurred":"2026-03-01T09:29:58.000Z","claims":[{"type":"slack_id","value":"U1"}],"properties":{"channel":"C1"}}"#,
    );
    check(
        include_str!("../examples/list.json"),
        &[],
        r#"{"account":{"name":"Acme"},"contacts":[{"id":42,"version":"42-3","email":"ann@shop.example","name":"Ann","updated_at":"2026-03-01T09:29:58Z"}]}"#,
        r#"{"type":"identify","message_id":"crm/42-3","occurred":"2026-03-01T09:29:58.000Z","claims":[{"type":"email","value":"ann@shop.example"},{"type":"user_id","value":"42"}],"traits":{"account":"Acme","name":"Ann"}}"#,
    );
}

#[test]
fn the_schema_refuses_options_that_there_are_not() {
    let manifest: serde_json::Value = serde_json::from_str(&weft_plugin::manifest_of_source::<webhook::Webhook>()).expect("JSON");
    assert_eq!(manifest["config"]["additionalProperties"], false, "{}", manifest["config"]);
    assert!(manifest["config"]["properties"]["claims"].is_object());
}
