//! The source as the engine drives it: files in, in chunks of any cut, canonical events and refused records out.
//!
//! Every event is read by the engine's own reader, and compared in the text that the engine keeps.

use ndjson::Ndjson;
use weft_domain::event::Event;
use weft_plugin::{FailureKind, Source, testing};

/// What became of a file: events as the engine keeps them, and what was refused.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    events: Vec<String>,
    refused: Vec<(String, String, Vec<u8>)>,
}

fn open(config: &str) -> Ndjson {
    let config = testing::config(config).unwrap_or_else(|problem| panic!("{problem:?}"));
    let problems = Ndjson::validate(&config);
    assert!(problems.is_empty(), "{problems:?}");
    Ndjson::open(config).expect("it opens")
}

/// Reads chunks, each with a plugin of its own, as the engine may.
fn read_chunks<'c>(config: &str, chunks: impl IntoIterator<Item = &'c [u8]>) -> Outcome {
    testing::reset();
    let mut state = None;
    for chunk in chunks {
        state = open(config).decode(chunk.to_vec(), false, state).expect("no failure");
        assert!(state.as_ref().is_some_and(|state| state.len() < 1024 * 1024), "the contract's bound");
    }
    assert_eq!(open(config).decode(Vec::new(), true, state), Ok(None));
    testing::with(|double| Outcome {
        events: double.emitted.iter().map(|bytes| kept(bytes)).collect(),
        refused: double.refused.iter().map(|(why, bytes)| (why.code.clone(), why.message.clone(), bytes.clone())).collect(),
    })
}

fn kept(bytes: &[u8]) -> String {
    let event = Event::parse(bytes).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)));
    String::from_utf8(event.to_json()).expect("UTF-8")
}

fn read(config: &str, file: &str) -> Outcome {
    read_chunks(config, [file.as_bytes()])
}

fn codes(outcome: &Outcome) -> Vec<(&str, &str)> {
    outcome.refused.iter().map(|(code, _, bytes)| (code.as_str(), std::str::from_utf8(bytes).unwrap_or("?"))).collect()
}

/// What is random is so by a seed alone.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).expect("few sides")
    }
}

#[test]
fn canonical_events_pass_without_what_is_not_to_be_said_again() {
    let file = concat!(
        r#"{"type":"page","name":"Start","message_id":"m-1","properties":{"a":1.10}}"#,
        "\n",
        r#"{"type":"page","message_id":"m-2","occurred":"2026-03-01T09:30:00.000Z","sent":"2026-03-01T09:30:01.000Z","received":"2026-03-01T09:30:02.000Z","claimed":"2026-03-01T09:00:00.000Z"}"#,
    );
    let want = [
        r#"{"type":"page","name":"Start","message_id":"m-1","properties":{"a":1.10}}"#,
        r#"{"type":"page","message_id":"m-2","occurred":"2026-03-01T09:30:00.000Z"}"#,
    ];
    assert_eq!(read("{}", file), Outcome { events: want.map(str::to_owned).to_vec(), refused: Vec::new() });
}

#[test]
fn a_record_without_an_id_has_the_same_one_whenever_it_is_read() {
    let ids = |file: &str| -> Vec<String> {
        let id = |event: &String| Some(event.split_once("\"message_id\":\"")?.1.split_once('"')?.0.to_owned());
        read("{}", file).events.iter().map(|event| id(event).expect("an id")).collect()
    };
    let first = ids("{\"type\":\"page\"}\n{\"type\":\"page\"}\n");
    assert!(first[0].starts_with("ndjson/") && first[0].ends_with("/1") && first[1].ends_with("/2"), "{first:?}");
    assert_eq!(ids("[{\"type\":\"page\"},{\"type\":\"page\"}]"), first);
    assert_eq!(ids("{\"type\":\"page\"}\r\n\r\n{\"type\":\"page\"}\r\n{\"type\":\"screen\"}")[..2], first);
}

#[test]
fn segment_s_archives_are_calls_whose_clock_was_corrected_already() {
    let config = r#"{"format":"segment"}"#;
    let file = concat!(
        r#"{"type":"track","event":"Order Completed","userId":"ann","messageId":"s-1","timestamp":"2025-03-01T09:30:00Z","originalTimestamp":"2025-03-01T07:00:00Z","sentAt":"2025-03-01T07:00:01Z","receivedAt":"2025-03-01T09:30:01Z","writeKey":"wk","properties":{"total":9.90}}"#,
        "\n",
        r#"{"type":"identify","traits":{}}"#,
        "\n",
        r#"{"type":"record","userId":"ann"}"#,
    );
    let read = read(config, file);
    let want = r#"{"type":"track","name":"Order Completed","message_id":"s-1","occurred":"2025-03-01T09:30:00.000Z","claims":[{"type":"user_id","value":"ann"}],"properties":{"total":9.90}}"#;
    assert_eq!(read.events, [want]);
    assert_eq!(codes(&read).iter().map(|(code, _)| *code).collect::<Vec<_>>(), ["no_identity", "bad_type"]);
    assert_eq!(self::read(config, r#"{"type":"page","anonymousId":"a","messageId":""}"#).events.len(), 1, "it gets an id");
}

#[test]
fn any_json_becomes_events_by_a_mapping() {
    let config = include_str!("../examples/orders.json");
    let file = r#"[
        {"id":4711,"status":"paid","paid_at":"2026-03-01T10:30:00+01:00","customer":{"id":42,"email":"ann@shop.example"},"amount":{"value":19.90,"currency":"EUR"}},
        {"id":4712,"status":"open"},
        {"id":4713,"status":"paid","paid_at":"yesterday"},
        {"status":"paid"}
    ]"#;
    let read = read(config, file);
    let want = r#"{"type":"track","name":"Order Completed","message_id":"shop/order/4711","occurred":"2026-03-01T09:30:00.000Z","claims":[{"type":"email","value":"ann@shop.example"},{"type":"user_id","value":"42"}],"properties":{"currency":"EUR","order_id":4711,"total":19.90}}"#;
    assert_eq!(read.events[0], want);
    assert!(read.events.len() == 2 && read.events[1].contains(r#""message_id":"ndjson/"#), "{read:?}");
    assert_eq!(read.refused[0].1, "record 3: `occurred` is no time: \"yesterday\"");
}

#[test]
fn what_is_no_record_is_refused_and_its_neighbours_are_read() {
    let check = |file: &[u8], events: usize, want: &[(&str, &str)]| {
        let read = read_chunks("{}", [file]);
        assert_eq!((read.events.len(), codes(&read)), (events, want.to_vec()), "{read:?}");
    };
    let page = r#"{"type":"page"}"#;
    check(format!("{page}\n{{\n{page}\n").as_bytes(), 2, &[("invalid_json", "{")]);
    check(format!("{page}\n7\n[8,{page}]\n").as_bytes(), 2, &[("not_an_object", "7"), ("not_an_object", "8")]);
    check(b"\"M\xfcller\"\n", 0, &[("invalid_json", "?")]);
    check(format!("[{page},{{\"type\":").as_bytes(), 1, &[("unclosed_list", "{\"type\":")]);
    let log = testing::with(|double| double.logged.clone());
    assert!(log.iter().any(|(_, line)| line.contains("cut off")), "{log:?}");
    let long = "x".repeat(600 * 1024);
    let read = read("{}", &format!("{page}\n\"{long}\"\n{page}\n"));
    assert_eq!((read.events.len(), read.refused[0].2.len()), (2, 512 * 1024));
}

#[test]
fn any_cut_of_a_file_gives_the_same_events() {
    let long = "x".repeat(530 * 1024);
    let page = r#"{"type":"page","name":"Stärt 𝄞","message_id":"m"}"#;
    let files = [
        format!("\u{feff}{page}\r\n\r\n{{\n{page}\n{{\"type\":\"screen\"}}"),
        format!(" [\n{page} ,{page},\"a\\\"],\", {{\"type\":\"screen\"}}\n] \n{page}\n[]\n[{page}"),
        format!("{page}\n\"{long}\"\n{page}\n[\"{long},]\",{page}]\n{page}"),
        format!("[{page},\"{long}"),
    ];
    for file in &files {
        let whole = read("{}", file);
        assert!(!whole.events.is_empty());
        for seed in 1..if file.len() > 1000 { 8 } else { 60 } {
            let (mut dice, mut rest, mut chunks) = (Dice(seed), file.as_bytes(), Vec::new());
            let longest = if file.len() > 1000 { 200_000 } else { 1 + dice.throw(12) };
            while !rest.is_empty() {
                let (chunk, behind) = rest.split_at(dice.throw(longest + 1).min(rest.len()));
                chunks.push(chunk);
                rest = behind;
            }
            assert_eq!(read_chunks("{}", chunks), whole, "seed {seed}: {}", &file[..60]);
        }
    }
}

#[test]
fn mistakes_in_a_configuration_are_named_with_their_place() {
    let check = |config: &str, want: &[&str]| {
        let config = testing::config(config).expect("it matches the schema");
        let paths: Vec<String> = Ndjson::validate(&config).into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths, want);
    };
    check(r#"{"event":"E"}"#, &["/format"]);
    check(r#"{"format":"segment","claims":{"email":"e"}}"#, &["/format"]);
    check(r#"{"format":"json"}"#, &["/event"]);
    check(r#"{"format":"json","event":"E","claims":{"id":"$header.x"}}"#, &["/claims/id"]);
    check(r#"{"format":"json","event":"E","claims":{"id":"$.x"}}"#, &[]);
    let manifest: serde_json::Value = serde_json::from_str(&weft_plugin::manifest_of_source::<Ndjson>()).expect("JSON");
    assert_eq!(manifest["config"]["additionalProperties"], false);
    let failure = open("{}").decode(Vec::new(), false, Some("7".into())).expect_err("no state of ours");
    assert_eq!(failure.kind, FailureKind::Internal);
}
