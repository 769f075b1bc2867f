//! The source as the engine drives it: files in, in chunks of any cut, canonical events and refused rows out.
//!
//! Every event is read by the engine's own reader, and compared in the text that the engine keeps.

use csv::Csv;
use weft_domain::event::Event;
use weft_plugin::{Failure, FailureKind, Source, testing};

const LIST: &str = r#"{"email":"E-Mail","name":"Name"}"#;

/// What became of a file: events as the engine keeps them, and what was refused.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    events: Vec<String>,
    refused: Vec<(String, String, Vec<u8>)>,
}

fn open(config: &str) -> Csv {
    let config = testing::config(config).unwrap_or_else(|problem| panic!("{problem:?}"));
    let problems = Csv::validate(&config);
    assert!(problems.is_empty(), "{problems:?}");
    Csv::open(config).expect("it opens")
}

/// Reads chunks, each with a plugin of its own, as the engine may.
fn read_chunks<'c>(config: &str, chunks: impl IntoIterator<Item = &'c [u8]>) -> Result<Outcome, Failure> {
    testing::reset();
    let mut state = None;
    for chunk in chunks {
        state = open(config).decode(chunk.to_vec(), false, state)?;
        assert!(state.as_ref().is_some_and(|state| state.len() < 1024 * 1024), "the contract's bound");
    }
    assert_eq!(open(config).decode(Vec::new(), true, state)?, None);
    Ok(testing::with(|double| Outcome {
        events: double.emitted.iter().map(|bytes| kept(bytes)).collect(),
        refused: double.refused.iter().map(|(why, bytes)| (why.code.clone(), why.message.clone(), bytes.clone())).collect(),
    }))
}

fn kept(bytes: &[u8]) -> String {
    let event = Event::parse(bytes).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(bytes)));
    String::from_utf8(event.to_json()).expect("UTF-8")
}

fn read(config: &str, file: &[u8]) -> Outcome {
    read_chunks(config, [file]).unwrap_or_else(|failure| panic!("{failure}"))
}

/// Its events without their ids.
fn events(config: &str, file: &[u8]) -> Vec<String> {
    let read = read(config, file);
    assert_eq!(read.refused, []);
    read.events.iter().map(|event| without_id(event)).collect()
}

fn without_id(event: &str) -> String {
    let Some((before, rest)) = event.split_once("\"message_id\":\"") else { return event.to_owned() };
    let (_, after) = rest.split_once("\",").expect("a string");
    format!("{before}{after}")
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
fn a_mailing_list_needs_two_lines_of_configuration() {
    let file = "Name;E-Mail;Notiz\nAnn Doe;ann@shop.example;x\n\"Doe; John\";john@shop.example;\n";
    let want = [
        r#"{"type":"identify","claims":[{"type":"email","value":"ann@shop.example"}],"traits":{"email":"ann@shop.example","name":"Ann Doe"}}"#,
        r#"{"type":"identify","claims":[{"type":"email","value":"john@shop.example"}],"traits":{"email":"john@shop.example","name":"Doe; John"}}"#,
    ];
    assert_eq!(events(LIST, file.as_bytes()), want);
}

#[test]
fn any_cut_of_a_file_gives_the_same_events() {
    let long = "x".repeat(390 * 1024);
    let utf16: Vec<u8> =
        "\u{feff}Name\tE-Mail\r\nAñn 𝄞\ta@b\r\n\"x\r\ny\"\tc@d\r\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let files: [(&str, Vec<u8>); 7] = [
        (LIST, "\u{feff}E-Mail,Name\r\na@b,\"A\r\nB \"\"q\"\"\"\r\n\r\n,nobody\r\nc@d,Ü\r\ne@f\r\ng@h,G".into()),
        (LIST, b"Name|E-Mail\nM\xfcller|m@b\nOk|o@b\n".to_vec()),
        (r#"{"email":"E-Mail","name":"Name","encoding":"windows-1252"}"#, b"Name|E-Mail\nM\xfcller \x80|m@b\n".to_vec()),
        (LIST, utf16),
        (LIST, b"E-Mail,Name\na@b,\"open\nc@d,C\ne@f,E\n".to_vec()),
        (LIST, format!("E-Mail,Name\na@b,A\nb@b,{long}\nc@b,C\n").into_bytes()),
        (r#"{"email":"E-Mail","rest":"properties","type":"track","event":"E"}"#, b"E-Mail;b;b;\na@b;1;2;;;\n;;;\n".to_vec()),
    ];
    for (config, file) in &files {
        let whole = read(config, file);
        assert!(!whole.events.is_empty());
        for seed in 1..if file.len() > 1000 { 8 } else { 60 } {
            let (mut dice, mut rest, mut chunks) = (Dice(seed), &file[..], Vec::new());
            let longest = if file.len() > 1000 { 100_000 } else { 1 + dice.throw(12) };
            while !rest.is_empty() {
                let (chunk, behind) = rest.split_at(dice.throw(longest + 1).min(rest.len()));
                chunks.push(chunk);
                rest = behind;
            }
            let cut = read_chunks(config, chunks).unwrap_or_else(|failure| panic!("seed {seed}: {failure}"));
            assert_eq!(cut, whole, "seed {seed}: {}", String::from_utf8_lossy(&file[..file.len().min(60)]));
        }
    }
}

#[test]
fn encodings_are_those_of_the_mark_or_of_the_configuration() {
    let want = r#"{"type":"identify","claims":[{"type":"email","value":"m@b"}],"traits":{"email":"m@b","name":"Müller"}}"#;
    let utf16 = |read: fn(u16) -> [u8; 2], mark: &str| -> Vec<u8> {
        format!("{mark}Name,E-Mail\nMüller,m@b").encode_utf16().flat_map(read).collect()
    };
    let with = |encoding: &str| format!(r#"{{"email":"E-Mail","name":"Name","encoding":"{encoding}"}}"#);
    assert_eq!(events(LIST, "\u{feff}Name,E-Mail\nMüller,m@b".as_bytes()), [want]);
    assert_eq!(events(LIST, &utf16(u16::to_le_bytes, "\u{feff}")), [want]);
    assert_eq!(events(LIST, &utf16(u16::to_be_bytes, "\u{feff}")), [want]);
    assert_eq!(events(&with("utf-16be"), &utf16(u16::to_be_bytes, "")), [want]);
    assert_eq!(events(&with("windows-1252"), b"Name,E-Mail\nM\xfcller,m@b"), [want]);
    assert_eq!(events(&with("windows-1252"), "\u{feff}Name,E-Mail\nMüller,m@b".as_bytes()), [want]);
}

#[test]
fn bad_rows_are_refused_with_their_bytes_and_the_others_are_read() {
    let check = |file: &[u8], events: usize, want: &[(&str, &str)]| {
        let read = read(LIST, file);
        let codes = codes(&read).into_iter().map(|(code, bytes)| (code, bytes.strip_prefix("E-Mail,Name\n").unwrap_or(bytes)));
        assert_eq!((read.events.len(), codes.collect()), (events, want.to_vec()), "{read:?}");
    };
    check(b"E-Mail,Name\na@b\nc@d,C\n", 1, &[("ragged_row", "a@b")]);
    check(b"E-Mail,Name\na@b,A,x\nc@d,C,,\n", 1, &[("ragged_row", "a@b,A,x")]);
    check(b"E-Mail,Name\n,\n,A\n ,\nc@d,C\n", 1, &[("no_identity", ",A")]);
    check(b"E-Mail,Name\na@b,M\xfcller\nc@d,C\n", 1, &[("not_utf8", "?")]);
    check(b"E-Mail,Name\na@b,\"A\nc@d,C\n", 1, &[("unclosed_quote", "a@b,\"A")]);
    check(b"E-Mail,Name\na@b,\"A", 0, &[("unclosed_quote", "a@b,\"A")]);
    let (long, quoted) = ("x".repeat(400 * 1024), format!("\"{}", "x\n".repeat(200 * 1024)));
    let read = read(LIST, format!("E-Mail,Name\na@b,{long}\nc@d,C\n").as_bytes());
    assert_eq!((read.events.len(), read.refused[0].0.as_str(), read.refused[0].2.len()), (1, "row_too_long", 12 + 384 * 1024));
    assert_eq!(read.refused[0].1, "row 2: it has more than 393216 bytes, of which these are the first; the line is passed over");
    let read = self::read(LIST, format!("E-Mail,Name\na@b,{quoted}\nc@d,C\n").as_bytes());
    assert_eq!((read.events.len(), codes(&read)[0]), (1, ("unclosed_quote", "E-Mail,Name\na@b,\"x")));
    let numbers = r#"{"email":"E-Mail","traits":{"age":{"column":"Age","as":"number"}}}"#;
    let read = self::read(numbers, b"E-Mail,Age\na@b,old\n");
    assert_eq!(read.refused[0].1, "row 2: `Age` is not a number: old");
    let read = self::read(LIST, format!("E-Mail,Name\n{}@b,A\n", "x".repeat(513)).as_bytes());
    assert_eq!(read.refused[0].0, "identifier_too_long");
}

#[test]
fn a_refused_row_can_be_read_again_by_itself() {
    let check = |before: &str, file: &[u8], part: &[u8], mended: &str| {
        let refused = read(before, file).refused;
        assert_eq!(refused[0].2, part, "{}", String::from_utf8_lossy(&refused[0].2));
        let read = self::read(mended, part);
        assert_eq!((read.events.len(), read.refused.len()), (1, 0), "{read:?}");
        assert!(read.events[0].contains("old") && read.events[0].contains("a@b"), "{read:?}");
    };
    let number = r#""email":"E-Mail","traits":{"a":{"column":"A, \"B\"","as":"number"}}"#;
    let text = r#""email":"E-Mail","traits":{"a":"A, \"B\""}"#;
    let of = |mapping: &str, more: &str| format!("{{{mapping}{more}}}");
    let header = "\"A, \"\"B\"\"\",E-Mail\n";
    check(
        &of(number, ""),
        format!("{header}1,c@d\r\nold,a@b\r\n").as_bytes(),
        format!("{header}old,a@b").as_bytes(),
        &of(text, ""),
    );
    let windows = r#","encoding":"windows-1252""#;
    let (file, part) = (b"E-Mail;A, \"B\"\na@b;old \xfc\n", "\u{feff}E-Mail;\"A, \"\"B\"\"\"\na@b;old ü");
    check(&of(number, windows), &file[..], part.as_bytes(), &of(text, windows));
    let columns = r#","columns":["E-Mail","A, \"B\""]"#;
    check(&of(number, columns), b"a@b,old\n", b"a@b,old", &of(text, columns));
    // It was not UTF-8 as nobody had said what it is.
    let (file, part) = (b"E-Mail,A,B\na@b,old,\xfc\n", b"E-Mail,A,B\na@b,old,\xfc");
    let last = r#""email":"E-Mail","traits":{"a":"A"}"#;
    check(&of(last, ""), &file[..], &part[..], &of(last, windows));
}

#[test]
fn a_row_has_the_same_id_whenever_the_file_is_read() {
    let ids = |config: &str, file: &str| -> Vec<String> {
        let id = |event: &String| Some(event.split_once("\"message_id\":\"")?.1.split_once('"')?.0.to_owned());
        read(config, file.as_bytes()).events.iter().map(|event| id(event).expect("an id")).collect()
    };
    let first = ids(LIST, "E-Mail,Name\na@b,A\na@b,A\nc@d,C\n");
    assert!(first[0] != first[1] && first[0].starts_with("csv/") && first[0].ends_with("/2"), "{first:?}");
    assert_eq!(ids(LIST, "E-Mail,Name\na@b,A\na@b,A\nc@d,C\n"), first);
    assert_eq!(ids(LIST, "\u{feff}E-Mail;Name\r\n\"a@b\";A\r\na@b;A\r\nc@d;C"), first, "another dialect, the same rows");
    assert_eq!(ids(LIST, "E-Mail,Name\na@b,A\na@b,A\nc@d,C\ne@f,E\n")[..3], first, "a file that has grown");
    assert_ne!(ids(LIST, "E-Mail,Name\na@b,B\na@b,A\nc@d,C\n")[0], first[0]);
    let named = r#"{"email":"E-Mail","message_id":{"column":"Id","prefix":"crm/"}}"#;
    assert_eq!(ids(named, "E-Mail,Id\na@b,7\n"), ["crm/7"]);
    assert_eq!(read(named, b"E-Mail,Id\na@b,\n").refused[0].0, "bad_message_id");
}

#[test]
fn a_file_that_is_not_the_one_described_fails_with_what_it_has() {
    let check = |config: &str, file: &[u8], want: &str| {
        let failure = read_chunks(config, [file]).expect_err(want);
        assert_eq!((failure.kind, failure.message.as_str()), (FailureKind::Config, want));
    };
    check(LIST, b"Email;Name\n", "the file has no column `E-Mail`; did you mean `Email`?");
    check(LIST, b"a;b;c\n", "the file has no column `E-Mail`; it has a, b, c");
    check(LIST, b"E-Mail,Name,Name\n", "the file has two columns `Name`");
    check(LIST, b"E-Mail,N\xfcme\n", "the header is not UTF-8: name the file's `encoding`");
    let no_header = "the first row is no header: it has more than 65536 bytes, or a quote in it is not closed";
    check(LIST, b"\"E-Mail,Name\n", no_header);
    check(LIST, &b"x".repeat(70_000), no_header);
    check(LIST, &b"x".repeat(500_000), no_header);
    assert_eq!(read(LIST, b""), Outcome::default());
    assert_eq!(read(LIST, b"E-Mail,Name"), Outcome::default());
    let failure = open(LIST).decode(Vec::new(), false, Some("[]".into())).expect_err("no state of ours");
    assert_eq!(failure.kind, FailureKind::Internal);
}

#[test]
fn what_is_empty_says_nothing_or_takes_away() {
    let file = b"E-Mail,Name,Plan\na@b,,NULL\n";
    let config = |more: &str| format!(r#"{{"email":"E-Mail","name":"Name","plan":"Plan"{more}}}"#);
    let claims = r#""claims":[{"type":"email","value":"a@b"}]"#;
    let event = |traits: &str| [format!(r#"{{"type":"identify",{claims},"traits":{traits}}}"#)];
    assert_eq!(events(&config(""), file), event(r#"{"email":"a@b","plan":"NULL"}"#));
    assert_eq!(events(&config(r#","absent":["NULL"]"#), file), event(r#"{"email":"a@b"}"#));
    let both = config(r#","absent":["NULL"],"empty":"null""#);
    assert_eq!(events(&both, file), event(r#"{"email":"a@b","name":null,"plan":null}"#));
}

#[test]
fn columns_that_nothing_names_go_where_rest_says() {
    let file = b"E-Mail, Name ,,Name\na@b, A ,x,B\n";
    let config = |rest: &str| format!(r#"{{"email":"E-Mail","rest":"{rest}","trim":true}}"#);
    let event = |rest: &str| format!(r#"{{"type":"identify","claims":[{{"type":"email","value":"a@b"}}],{rest}}}"#);
    let traits = r#""traits":{"Name":"A","Name_4":"B","column_3":"x","email":"a@b"}"#;
    assert_eq!(events(&config("drop"), file), [event(r#""traits":{"email":"a@b"}"#)]);
    assert_eq!(events(&config("traits"), file), [event(traits)]);
    let properties = r#""traits":{"email":"a@b"},"properties":{"Name":"A","column_3":"x","Name_4":"B"}"#;
    assert_eq!(events(&config("properties"), file), [event(properties)]);
    let untrimmed = r#"{"email":"E-Mail","traits":{"n":"Name"},"trim":false}"#;
    assert_eq!(events(untrimmed, b"E-Mail,Name\na@b, A \n"), [event(r#""traits":{"email":"a@b","n":" A "}"#)]);
}

#[test]
fn mistakes_in_a_configuration_are_named_with_their_place() {
    let check = |config: &str, want: &[&str]| {
        let config = testing::config(config).unwrap_or_else(|problem| panic!("{config}: {problem:?}"));
        let paths: Vec<String> = Csv::validate(&config).into_iter().map(|problem| problem.path).collect();
        assert_eq!(paths, want);
    };
    check("{}", &[""]);
    check(r#"{"rest":"traits"}"#, &[]);
    check(r#"{"email":"E","delimeter":";"}"#, &["/delimeter"]);
    check(r#"{"email":"E","header":"no"}"#, &["/header"]);
    check(r#"{"email":"E","rent":"Miete"}"#, &[]);
    check(r#"{"email":"E","delimiter":"ab","quote":"ab"}"#, &["/delimiter", "/quote"]);
    check(r#"{"email":"E","delimiter":"'","quote":"'"}"#, &["/quote"]);
    check(r#"{"email":"E","columns":[]}"#, &["/columns", "/columns"]);
    check(r#"{"email":"E","columns":["E","E"]}"#, &["/columns/1"]);
    check(r#"{"email":"E","columns":["F"]}"#, &["/columns"]);
    check(r#"{"email":"E","zone":"Europe/Berlin"}"#, &["/zone"]);
    check(r#"{"email":"E","type":"track"}"#, &["/event"]);
    check(r#"{"email":"E","type":"record"}"#, &["/claims"]);
    check(r#"{"email":"E","occurred":{"value":1}}"#, &["/occurred"]);
    check(
        r#"{"email":"E","traits":{"a/b":{"column":"A","as":"date","formats":["%d.%m.%Y","DD"],"separator":""}}}"#,
        &["/traits/a~1b/formats/1", "/traits/a~1b/separator"],
    );
    assert!(testing::config::<csv::Config>(r#"{"email":7}"#).is_err(), "a column is named by text");
}

#[test]
fn the_examples_read_their_files() {
    let check = |config: &str, file: &[u8], want: &str| assert_eq!(read(config, file).events, [want]);
    assert_eq!(events(include_str!("../examples/mailing-list.json"), b"E-Mail,Name\na@b,A").len(), 1);
    check(
        include_str!("../examples/orders.json"),
        b"Bestellung;Datum;E-Mail;Summe;Schlagworte\r\n4711;01.03.2026 10:30;ann@shop.example;1.019,90;neu/M\xfcnchen\r\n",
        r#"{"type":"track","name":"Order Completed","message_id":"shop/order/4711","occurred":"2026-03-01T09:30:00.000Z","claims":[{"type":"email","value":"ann@shop.example"}],"properties":{"currency":"EUR","order_id":"4711","tags":["neu","München"],"total":1019.90}}"#,
    );
    let costs = events(include_str!("../examples/costs.json"), b"20260301\tspring\t120.50\t311\n");
    let want = r#"{"type":"record","name":"ad_cost","occurred":"2026-03-01T00:00:00.000Z","properties":{"clicks":311,"cost":120.50,"campaign":"spring"}}"#;
    assert_eq!(costs, [want]);
}

#[test]
fn the_schema_takes_columns_and_refuses_what_is_none() {
    let manifest: serde_json::Value = serde_json::from_str(&weft_plugin::manifest_of_source::<Csv>()).expect("JSON");
    assert_eq!((&manifest["name"], &manifest["reads"]), (&"csv".into(), &serde_json::json!(["decode"])));
    assert_eq!(manifest["config"]["additionalProperties"]["type"], "string", "{}", manifest["config"]);
}
