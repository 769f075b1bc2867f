//! What calls mean.

use weft_plugin::Source;

use super::{CONFIG, KEY, basic, kept, open, post, request};

fn check(target: &str, call: &str, want: &str) {
    let received = post(target, call);
    assert!(received.refused.is_empty(), "{call}: {:?}", received.refused);
    assert_eq!(kept(&received), [want], "{call}");
}

#[test]
fn a_track_of_a_browser() {
    check(
        "/v1/t",
        r#"{"timestamp":"2026-03-01T09:29:58.000Z","integrations":{"All":true},"type":"track","event":"Signed Up","properties":{"plan":"Pro – ✓", "n": 1.50},
            "context":{"page":{"path":"/","url":"https://shop.example/"},"userAgent":"Mozilla/5.0","locale":"de-DE","timezone":"Europe/Berlin",
            "campaign":{"source":"news"},"library":{"name":"analytics.js","version":"npm:next-1.84.3"},"userAgentData":{"mobile":false}},
            "anonymousId":"a-1","userId":null,"messageId":"ajs-next-1","writeKey":"wk_123","sentAt":"2026-03-01T09:29:59.000Z","_metadata":{"bundled":["Segment.io"]}}"#,
        r#"{"type":"track","name":"Signed Up","message_id":"ajs-next-1","occurred":"2026-03-01T09:29:58.000Z","sent":"2026-03-01T09:29:59.000Z","claims":[{"type":"anonymous_id","value":"a-1"}],"properties":{"plan":"Pro – ✓","n":1.50},"context":{"campaign":{"source":"news"},"page":{"path":"/","url":"https://shop.example/"},"zone":"Europe/Berlin","locale":"de-DE","ip":"203.0.113.9","user_agent":"Mozilla/5.0","library":{"name":"analytics.js","version":"npm:next-1.84.3"},"extra":{"integrations":{"All":true},"userAgentData":{"mobile":false}}}}"#,
    );
}

#[test]
fn an_identify_sets_traits_and_claims_what_they_name() {
    check(
        "/v1/identify",
        r#"{"userId":42,"anonymousId":"a-1","traits":{"email":"Ann@Shop.example","phone":491701234567,"name":"Ännchen","age":null,"plan":"pro"},
            "context":{"traits":{"plan":"free","city":"Köln"},"externalIds":[{"id":"g-1","type":"ga_client_id","collection":"users","encoding":"none"},
            {"id":"acc","type":"account","collection":"accounts"},{"id":"h","type":"email","encoding":"sha256"},{"id":7,"type":"crm_id"},{}],
            "consent":{"categoryPreferences":{"Advertising":false,"Analytics":true,"Odd":"maybe"}}}}"#,
        r#"{"type":"identify","claims":[{"type":"user_id","value":"42"},{"type":"anonymous_id","value":"a-1"},{"type":"email","value":"Ann@Shop.example"},{"type":"phone","value":"491701234567"},{"type":"ga_client_id","value":"g-1"},{"type":"crm_id","value":"7"}],"traits":{"age":null,"city":"Köln","email":"Ann@Shop.example","name":"Ännchen","phone":491701234567,"plan":"pro"},"consent":{"Advertising":false,"Analytics":true}}"#,
    );
    // What cannot be an address or a number stays a trait and claims nothing.
    check(
        "/v1/identify",
        r#"{"userId":"ann","traits":{"email":"none","phone":"n/a"}}"#,
        r#"{"type":"identify","claims":[{"type":"user_id","value":"ann"}],"traits":{"email":"none","phone":"n/a"}}"#,
    );
    // On another call the traits of the context claim, and change nothing.
    check(
        "/v1/track",
        r#"{"userId":"ann","event":"e","context":{"traits":{"email":"ann@shop.example","plan":"pro"}}}"#,
        r#"{"type":"track","name":"e","claims":[{"type":"user_id","value":"ann"},{"type":"email","value":"ann@shop.example"}],"context":{"extra":{"traits":{"email":"ann@shop.example","plan":"pro"}}}}"#,
    );
}

#[test]
fn the_other_calls() {
    check(
        "/v1/page",
        r#"{"anonymousId":"a","name":"Home","category":"Shop","properties":{"title":"x"}}"#,
        r#"{"type":"page","name":"Home","claims":[{"type":"anonymous_id","value":"a"}],"properties":{"title":"x"},"context":{"extra":{"category":"Shop"}}}"#,
    );
    check(
        "/v1/page",
        r#"{"anonymousId":"a","properties":{},"integrations":{}}"#,
        r#"{"type":"page","claims":[{"type":"anonymous_id","value":"a"}]}"#,
    );
    check(
        "/v1/screen",
        r#"{"anonymousId":"a","name":"Cart","context":{"device":{"id":"d-1","model":"Pixel"},"os":{"name":"Android"},"screen":{"width":1},"app":{"version":"2"},"location":{"city":"Köln"},"network":{"wifi":true}}}"#,
        r#"{"type":"screen","name":"Cart","claims":[{"type":"anonymous_id","value":"a"}],"context":{"device":{"id":"d-1","model":"Pixel","os":{"name":"Android"},"screen":{"width":1}},"app":{"version":"2"},"place":{"city":"Köln"},"extra":{"network":{"wifi":true}}}}"#,
    );
    check(
        "/v1/group",
        r#"{"userId":"ann","groupId":7,"traits":{"name":"Acme","email":"office@acme.example"}}"#,
        r#"{"type":"group","claims":[{"type":"user_id","value":"ann"}],"group":{"id":"7","traits":{"email":"office@acme.example","name":"Acme"}}}"#,
    );
    check(
        "/v1/alias",
        r#"{"userId":"new","previousId":"old"}"#,
        r#"{"type":"alias","claims":[{"type":"user_id","value":"new"},{"type":"user_id","value":"old","how":"alias"},{"type":"anonymous_id","value":"old","how":"alias"}]}"#,
    );
    check(
        "/v1/alias",
        r#"{"userId":"new","previousId":"a-1","anonymousId":"a-1"}"#,
        r#"{"type":"alias","claims":[{"type":"user_id","value":"new"},{"type":"anonymous_id","value":"a-1"}]}"#,
    );
    check("/v1/alias", r#"{"userId":"a","previousId":"a"}"#, r#"{"type":"alias","claims":[{"type":"user_id","value":"a"}]}"#);
    check(
        "/v1/alias",
        r#"{"previousId":"old"}"#,
        r#"{"type":"alias","claims":[{"type":"user_id","value":"old","how":"alias"},{"type":"anonymous_id","value":"old","how":"alias"}]}"#,
    );
}

#[test]
fn products_of_commerce() {
    check(
        "/v1/track",
        r#"{"userId":"ann","event":"Order Completed","properties":{"order_id":"o-1","total":27.50,"products":[
            {"product_id":507,"sku":"45","name":"Monopoly","price":"19.00","quantity":1,"position":1,"url":"https://shop.example/p"},
            {"id":"505","price":"$3","quantity":null,"name":{"en":"Uno"}}]}}"#,
        r#"{"type":"track","name":"Order Completed","claims":[{"type":"user_id","value":"ann"}],"properties":{"order_id":"o-1","total":27.50},"products":[{"id":"507","sku":"45","name":"Monopoly","price":19.00,"quantity":1,"position":1,"properties":{"url":"https://shop.example/p"}},{"id":"505","properties":{"price":"$3","name":{"en":"Uno"}}}]}"#,
    );
    check(
        "/v1/track",
        r#"{"userId":"ann","event":"Product Viewed","properties":{"product_id":"507","category":"Games","price":19}}"#,
        r#"{"type":"track","name":"Product Viewed","claims":[{"type":"user_id","value":"ann"}],"properties":{"product_id":"507","category":"Games","price":19},"products":[{"id":"507","category":"Games","price":19}]}"#,
    );
    check(
        "/v1/track",
        r#"{"userId":"ann","event":"Odd","properties":{"products":["a",{"product_id":"b"}]}}"#,
        r#"{"type":"track","name":"Odd","claims":[{"type":"user_id","value":"ann"}],"properties":{"products":["a",{"product_id":"b"}]}}"#,
    );
}

#[test]
fn times_ids_and_what_has_no_place() {
    let check = |fields: &str, want: &str| {
        check(
            "/v1/page",
            &format!(r#"{{"userId":"ann",{fields}}}"#),
            &format!(r#"{{"type":"page",{want}}}"#).replace("CLAIMS", r#""claims":[{"type":"user_id","value":"ann"}]"#),
        );
    };
    check(r#""timestamp":"2026-03-01T09:30:00.123456+00:00""#, r#""occurred":"2026-03-01T09:30:00.123Z",CLAIMS"#);
    check(r#""timestamp":"2026-03-01T09:30:00""#, r#""occurred":"2026-03-01T09:30:00.000Z",CLAIMS"#);
    check(r#""timestamp":1772357400"#, r#""occurred":"2026-03-01T09:30:00.000Z",CLAIMS"#);
    check(r#""timestamp":1772357400123"#, r#""occurred":"2026-03-01T09:30:00.123Z",CLAIMS"#);
    check(r#""timestamp":"","sentAt":"whenever""#, "CLAIMS");
    check(r#""timestamp":null,"sentAt":null,"messageId":null,"context":null,"properties":null"#, "CLAIMS");
    check(
        r#""timestamp":"2026-03-01T10:00:00Z","originalTimestamp":"2026-03-01T09:30:00Z","sentAt":"2026-03-01T09:30:05Z""#,
        r#""occurred":"2026-03-01T10:00:00.000Z",CLAIMS"#,
    );
    check(
        r#""timestamp":"","originalTimestamp":"2026-03-01T09:30:00Z","sentAt":"2026-03-01T09:30:05Z""#,
        r#""occurred":"2026-03-01T09:30:00.000Z","sent":"2026-03-01T09:30:05.000Z",CLAIMS"#,
    );
    check(r#""messageId":17"#, r#""message_id":"17",CLAIMS"#);
    check(
        r#""channel":"web","context":{"device":"phone","timezone":7,"consent":{"purposes":[1]},"traits":{"a":1}}"#,
        r#"CLAIMS,"context":{"extra":{"traits":{"a":1},"device":"phone","timezone":7,"consent":{"purposes":[1]},"channel":"web"}}"#,
    );
    check(r#""us\u0065rId":"ann","name":"A\u0021""#, r#""name":"A!",CLAIMS"#);
}

#[test]
fn what_a_batch_says_holds_for_its_calls() {
    let received = post(
        "/v1/batch",
        r#"{"sentAt":"2026-03-01T09:30:00Z","context":{"library":{"name":"analytics-python"}},"integrations":{"A":false},"batch":[
            {"type":"page","userId":"a"},{"type":"page","userId":"b","sentAt":"2026-03-01T09:31:00Z","context":{"locale":"de"},"integrations":{"A":true}}]}"#,
    );
    assert_eq!(
        kept(&received),
        [
            r#"{"type":"page","sent":"2026-03-01T09:30:00.000Z","claims":[{"type":"user_id","value":"a"}],"context":{"library":{"name":"analytics-python"},"extra":{"integrations":{"A":false}}}}"#,
            r#"{"type":"page","sent":"2026-03-01T09:31:00.000Z","claims":[{"type":"user_id","value":"b"}],"context":{"locale":"de","extra":{"integrations":{"A":true}}}}"#,
        ]
    );
}

#[test]
fn the_senders_address_is_kept_as_the_configuration_says() {
    let check = |ip: &str, context: &str, want: Option<&str>| {
        let config = CONFIG.replace('}', &format!(r#","ip":"{ip}"}}"#));
        let body = format!(r#"{{"userId":"ann","context":{context}}}"#);
        let request = request("POST", "/v1/page", &[("authorization", &basic(KEY))], body.as_bytes());
        let event = kept(&open(&config).receive(request).expect("no failure")).remove(0);
        let event: serde_json::Value = serde_json::from_str(&event).expect("JSON");
        assert_eq!(event["context"]["ip"].as_str(), want, "{ip} {context}");
    };
    let browser = r#"{"library":{"name":"analytics.js"}}"#;
    check("client", browser, Some("203.0.113.9"));
    check("client", r#"{"library":{"name":"analytics-node"}}"#, None);
    check("client", r#"{"ip":"0.0.0.0","library":{"name":"analytics.js"}}"#, Some("0.0.0.0"));
    check("sent", browser, None);
    check("sent", r#"{"ip":"198.51.100.7"}"#, Some("198.51.100.7"));
    check("never", r#"{"ip":"198.51.100.7"}"#, None);
}

#[test]
fn the_example_is_as_it_says() {
    let received = post("/v1/batch", include_str!("../../examples/batch.json"));
    assert_eq!(kept(&received).join("\n") + "\n", include_str!("../../examples/batch.events.ndjson"));
    assert_eq!(super::codes(&received), ["no_identity"]);
}
