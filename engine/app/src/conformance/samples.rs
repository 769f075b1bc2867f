//! What plugins are given by the checks: events of every kind, profiles, and what nobody should send.

use bytes::Bytes;

/// Canonical events of every kind, with all that an event may have somewhere among them.
const EVENTS: [&str; 8] = [
    r#"{"type":"track","name":"Order Completed","message_id":"check-1","occurred":"2026-03-01T09:30:00.000Z","received":"2026-03-01T09:30:01.000Z","environment":"production","claims":[{"type":"user_id","value":"u-1"},{"type":"email","value":" Ann@Example.COM"}],"properties":{"order_id":"4711","total":19.90,"currency":"EUR","items":[{"sku":"a","n":1},{"sku":"b","n":2}],"note":"Grüße, 日本 \u0001"},"products":[{"id":"p-1","name":"Lamp","price":"9.95","quantity":2}],"context":{"ip":"203.0.113.7","locale":"de-DE","page":{"url":"https://shop.example/cart?x=1"}},"consent":{"marketing":true}}"#,
    r#"{"type":"page","name":"Home","message_id":"check-2","occurred":"2026-03-01T09:30:02.000Z","received":"2026-03-01T09:30:02.000Z","environment":"production","claims":[{"type":"anonymous_id","value":"web-1"}],"context":{"page":{"url":"https://shop.example/","title":"Home"}}}"#,
    r#"{"type":"screen","message_id":"check-3","occurred":"2026-03-01T09:30:03.000Z","received":"2026-03-01T09:30:03.000Z","environment":"development","claims":[{"type":"anonymous_id","value":"app-1"}]}"#,
    r#"{"type":"identify","message_id":"check-4","occurred":"2026-03-01T09:30:04.000Z","received":"2026-03-01T09:30:04.000Z","environment":"production","claims":[{"type":"user_id","value":"u-1"},{"type":"anonymous_id","value":"web-1"}],"traits":{"email":"ann@example.com","phone":"030 23125 001","name":"Ann Roe","age":41,"vip":false,"nothing":null,"address":{"city":"Köln"}}}"#,
    r#"{"type":"group","message_id":"check-5","occurred":"2026-03-01T09:30:05.000Z","received":"2026-03-01T09:30:05.000Z","environment":"production","claims":[{"type":"user_id","value":"u-1"}],"group":{"id":"acme","traits":{"name":"Acme"}}}"#,
    r#"{"type":"alias","message_id":"check-6","occurred":"2026-03-01T09:30:06.000Z","received":"2026-03-01T09:30:06.000Z","environment":"production","claims":[{"type":"user_id","value":"u-1"},{"type":"user_id","value":"old-1","how":"alias"}]}"#,
    r#"{"type":"record","name":"ad_cost","message_id":"check-7","occurred":"2026-03-01T00:00:00.000Z","received":"2026-03-01T09:30:07.000Z","environment":"production","properties":{"campaign":"brand","cost":"12345678901234567890.12"}}"#,
    // Of a name that nobody has heard of, about nobody, with next to nothing in it.
    r#"{"type":"track","name":"Something That Nobody Has Heard Of","message_id":"check-8","occurred":"2026-03-01T09:30:08.000Z","received":"2026-03-01T09:30:08.000Z","environment":"production"}"#,
];

/// What a destination of profiles gets.
const PROFILES: [&str; 3] = [
    r#"{"customer_id":"5f0c1d2e3a4b5c6d7e8f901234567890","identifiers":[{"type":"user_id","value":"u-1"},{"type":"email","value":"ann@example.com"}],"traits":{"name":"Ann Roe","age":41},"consent":{"marketing":true},"events_total":3}"#,
    r#"{"customer_id":"5f0c1d2e3a4b5c6d7e8f901234567891"}"#,
    r#"{"customer_id":"5f0c1d2e3a4b5c6d7e8f901234567892","merged_into":"5f0c1d2e3a4b5c6d7e8f901234567890"}"#,
];

pub(super) fn events() -> Vec<Bytes> {
    EVENTS.iter().map(|event| Bytes::from_static(event.as_bytes())).collect()
}

/// Records of a stream that this engine has; events for one that it has not.
pub(super) fn records(stream: &str) -> Vec<Bytes> {
    match stream {
        "profiles" => PROFILES.iter().map(|profile| Bytes::from_static(profile.as_bytes())).collect(),
        _ => events(),
    }
}

/// Bytes that are no record, each with what it is.
pub(super) fn garbage() -> Vec<(&'static str, Bytes)> {
    let of = |bytes: &'static [u8]| Bytes::from_static(bytes);
    vec![
        ("nothing at all", of(b"")),
        ("bytes that are not UTF-8", of(b"\xff\xfe{\x80\"type\":\"track\"}")),
        ("half of a JSON document", of(br#"{"type":"track","name":"Ord"#)),
        ("text", of(b"id,email\n1,ann@example.com\n")),
        ("a JSON number", of(b"7")),
        ("JSON null", of(b"null")),
        ("a JSON list", of(br#"[{"type":"track"}]"#)),
        ("bytes of zero", of(&[0; 64])),
    ]
}

/// JSON whose depth brings down what descends into it without a bound.
pub(super) fn deep() -> Bytes {
    let levels = 20_000;
    let mut text = String::from(r#"{"type":"track","name":"Deep","message_id":"deep","properties":"#);
    text.push_str(&r#"{"a":["#.repeat(levels));
    text.push('1');
    text.push_str(&"]}".repeat(levels));
    text.push('}');
    Bytes::from(text)
}

/// A track event of so many bytes.
pub(super) fn large(bytes: u64) -> Bytes {
    let head = r#"{"type":"track","name":"Large","message_id":"large","occurred":"2026-03-01T09:30:00.000Z","received":"2026-03-01T09:30:00.000Z","environment":"production","claims":[{"type":"user_id","value":"u-1"}],"properties":{"text":""#;
    let tail = r#""}}"#;
    let room = usize::try_from(bytes).unwrap_or(usize::MAX).saturating_sub(head.len() + tail.len());
    Bytes::from(format!("{head}{}{tail}", "all work and no play ".repeat(room / 21)))
}

/// Events with message ids of their own, as many as fit.
pub(super) fn many(records: u32, bytes: u64) -> Vec<Bytes> {
    let (mut left, mut made) = (bytes, Vec::new());
    for number in 0..records {
        let event = EVENTS[number as usize % EVENTS.len()].replace("\"check-", &format!("\"check-{number}-"));
        let Some(after) = left.checked_sub(event.len() as u64) else { break };
        left = after;
        made.push(Bytes::from(event));
    }
    made
}
