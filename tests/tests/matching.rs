//! `weft identity resolve`, `train` and `compare`, as somebody types them with a list of people in hand.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use weft_tests::engine::binary;

const FIELDS: &str =
    "compare:\n  Name: person_name\n  Born: date\n  Mail: email\n  Street: { kind: address, from: [No, Road] }\n  City: text\n";

fn weft(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(binary()).current_dir(folder).args(arguments).output().expect("weft starts")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A list of 800 rows about 500 people, among them John Doe of the mailing list, who is John D. in the app, and Jane Doe.
fn list() -> String {
    const GIVEN: [&str; 12] =
        ["John", "Berta", "Carl", "Dora", "Emil", "Frieda", "Gustav", "Hedwig", "Igor", "Jutta", "Kaspar", "Lore"];
    const FAMILY: [&str; 11] =
        ["Amsel", "Birke", "Csonka", "Drossel", "Eiche", "Fink", "Gruber", "Habicht", "Igel", "Jaeger", "Krause"];
    let mut text = "Key,Name,Born,Mail,No,Road,City\n".to_owned();
    for nth in 0..500 {
        let (given, family) = (GIVEN[nth * 7 % 12], FAMILY[nth * 5 % 11]);
        let born = format!("{}-{:02}-{:02}", 1940 + nth * 13 % 60, 1 + nth * 5 % 12, 1 + nth * 11 % 28);
        let (mail, road) = (format!("{}{nth}@mail.example", given.to_lowercase()), FAMILY[nth * 3 % 11]);
        let city = ["Bonn", "Trier", "Mainz"][nth % 3];
        let _ = writeln!(text, "crm-{nth},{given} {family},{born},{mail},{},{road} Street,{city}", nth % 97);
        match nth % 5 {
            0 | 1 => drop(writeln!(text, "app-{nth},{given} {}.,{born},{mail},,,", &family[..1])),
            2 => drop(writeln!(text, "shop-{nth},\"{family}, {given}\",,{mail},{},{road} St,{city}", nth % 97)),
            _ => (),
        }
    }
    text.push_str("list-doe,John Doe,,john.doe@acme.example,12,Harbour Road,Bonn\n");
    text.push_str("app-doe,John D.,1980-03-04,john.doe@acme.example,,,\n");
    text.push_str("list-jane,Jane Doe,1982-11-30,,12,Harbour Road,Bonn\n");
    text
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("people.csv"), list()).expect("writes");
    std::fs::write(folder.path().join("fields.yaml"), FIELDS).expect("writes");
    folder
}

const LIST: [&str; 4] = ["people.csv", "--fields", "fields.yaml", "--id"];

fn call<'a>(command: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["identity", command], &LIST[..], &["Key"], more].concat()
}

#[test]
fn a_list_is_resolved_and_every_pair_can_be_explained() {
    let folder = folder();
    let done = weft(folder.path(), &call("resolve", &["--clusters", "who.csv", "--pairs", "pairs.csv", "--json"]));
    assert!(done.status.success(), "{}", said(&done));
    let summary: Value = serde_json::from_slice(&done.stdout).expect("is JSON");
    assert_eq!(summary["rows"], 803, "{summary}");
    assert_eq!(summary["persons"], 502, "{summary}");

    let who = std::fs::read_to_string(folder.path().join("who.csv")).expect("is there");
    let cluster = |id: &str| {
        let line = who.lines().find(|line| line.starts_with(&format!("{id},"))).expect("every row is there");
        line.split(',').nth(1).expect("a cluster").to_owned()
    };
    assert_eq!(who.lines().count(), 804);
    assert_eq!((cluster("list-doe"), cluster("app-doe")), ("list-doe".into(), "list-doe".into()));
    assert_eq!(cluster("list-jane"), "list-jane");

    let pairs = std::fs::read_to_string(folder.path().join("pairs.csv")).expect("is there");
    assert!(pairs.starts_with("id_a,id_b,weight,probability\n"), "{pairs:.200}");
    assert!(pairs.lines().any(|line| line.starts_with("list-doe,app-doe,")), "the pair that decided");

    let why = weft(folder.path(), &call("compare", &["list-doe", "app-doe"]));
    let text = said(&why);
    assert!(why.status.success() && text.starts_with("one person"), "{text}");
    assert!(text.contains("john | john") && text.contains("john.doe@acme.example | john.doe@acme.example"), "{text}");
    let why = weft(folder.path(), &call("compare", &["list-doe", "list-jane", "--json"]));
    let evidence: Value = serde_json::from_slice(&why.stdout).expect("is JSON");
    assert!(evidence["probability"].as_f64().expect("a number") < 0.5, "{evidence}");
}

#[test]
fn a_model_is_learned_once_and_used_again() {
    let folder = folder();
    let trained = weft(folder.path(), &call("train", &["--model", "model.json"]));
    assert!(trained.status.success() && said(&trained).contains("learned from 803 rows"), "{}", said(&trained));
    let fresh = weft(folder.path(), &call("resolve", &[]));
    let again = weft(folder.path(), &call("resolve", &["--model", "model.json"]));
    assert!(again.status.success(), "{}", said(&again));
    assert_eq!(fresh.stdout, again.stdout, "the model of the same rows says the same");

    std::fs::write(folder.path().join("fields.yaml"), FIELDS.replace("  City: text\n", "")).expect("writes");
    let other = weft(folder.path(), &call("resolve", &["--model", "model.json"]));
    assert_eq!((other.status.code(), other.stdout.len()), (Some(1), 0));
    assert!(said(&other).contains("was learned from other fields"), "{}", said(&other));
    std::fs::write(folder.path().join("model.json"), "{}").expect("writes");
    assert!(said(&weft(folder.path(), &call("resolve", &["--model", "model.json"]))).contains("is no model"));
}

#[test]
fn mistakes_are_said_and_nothing_is_written() {
    let folder = folder();
    let check = |fields: &str, arguments: &[&str], code: i32, want: &str| {
        std::fs::write(folder.path().join("fields.yaml"), fields).expect("writes");
        let output = weft(folder.path(), arguments);
        let text = said(&output);
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains(want), "wants `{want}`:\n{text}");
        assert!(!folder.path().join("who.csv").exists());
    };
    let resolve = call("resolve", &["--clusters", "who.csv"]);
    check("compare: { Nmae: person_name }", &resolve, 1, "did you mean `Name`?");
    check("compare: { Name: persn_name }", &resolve, 2, "persn_name");
    check(
        "compare: { Name: person_name }\nmerge_at: 0.7\nreview_at: 0.9",
        &resolve,
        2,
        "`review_at` is 0.9, and `merge_at` is 0.7",
    );
    check("compare: {}", &resolve, 2, "compare");
    check("compare:\n  Name: person_name\n merge_at: 1", &resolve, 2, "fields.yaml");
    check(FIELDS, &["identity", "resolve", "people.xls", "--fields", "fields.yaml"], 1, "people.xls");
    check(FIELDS, &["identity", "resolve", "people.csv", "--fields", "none.yaml"], 2, "none.yaml");
    check(FIELDS, &call("compare", &["list-doe", "nobody"]), 1, "no row with the id `nobody`");
}
