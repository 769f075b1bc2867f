//! A handful of people, and nothing to learn from: what a model says of them that has seen nobody.

use weft_matching::model::probability;
use weft_matching::resolve::{Thresholds, resolve};
use weft_matching::{Field, Fields, Kind, Model, Record};

fn fields(list: &[(&str, Kind)]) -> Fields {
    Fields::new(list.iter().map(|(name, kind)| Field { name: (*name).into(), kind: *kind }).collect()).expect("fields are right")
}

fn all() -> Fields {
    fields(&[
        ("name", Kind::PersonName),
        ("birth_date", Kind::Date),
        ("email", Kind::Email),
        ("phone", Kind::Phone),
        ("street", Kind::Address),
        ("city", Kind::Text),
    ])
}

/// Resolves rows of the form `name|birth date|e-mail|phone|street|city`.
fn check(rows: &[&str], want: &[u32]) {
    let fields = all();
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.split('|').map(str::to_owned).collect()).collect();
    let mut records = Record::read_all(&fields, &rows);
    let found = resolve(&fields, &mut records, Some(Model::untrained(&fields)), Thresholds::default(), |_| ());
    assert_eq!(found.persons, want, "{rows:#?}\n{:#?}", found.pairs);
}

#[test]
fn it_holds_together_for_every_kind() {
    let every = fields(&[
        ("name", Kind::PersonName),
        ("given", Kind::GivenName),
        ("family", Kind::FamilyName),
        ("email", Kind::Email),
        ("phone", Kind::Phone),
        ("born", Kind::Date),
        ("postcode", Kind::Postcode),
        ("street", Kind::Address),
        ("city", Kind::Text),
        ("card", Kind::Code),
    ]);
    let model = Model::untrained(&every);
    assert_eq!(model.check(), Ok(()));
    for (component, learned) in every.components().iter().zip(&model.components) {
        for levels in learned.levels.iter().filter(|levels| !levels.is_empty()) {
            let sum: f64 = levels.iter().sum();
            assert!((sum - 1.0).abs() < 1e-9, "the levels of `{}` come to {sum}", component.name);
        }
    }
}

#[test]
fn john_doe_on_the_mailing_list_is_john_d_in_the_app() {
    check(&["John Doe||john.doe@acme.example|||Bonn", "John D.||john.doe@acme.example|||"], &[0, 0]);
    check(&["John Doe|||0170 5551234||", "John D.|||+49 170 5551234||"], &[0, 0]);
    check(&["John Doe|1980-03-04|||12 Harbour Road|Bonn", "Johnny Doe|1980-03-04||||Bonn"], &[0, 0]);
}

#[test]
fn who_shares_a_home_a_name_or_a_city_is_somebody_else() {
    check(
        &["John Doe|1980-03-04||0228 555123|12 Harbour Road|Bonn", "Jane Doe|1982-11-30||0228 555123|12 Harbour Road|Bonn"],
        &[0, 1],
    );
    check(&["John Doe|||0228 555123|12 Harbour Road|Bonn", "Jane Doe|||0228 555123|12 Harbour Road|Bonn"], &[0, 1]);
    check(&["John Doe||doe@acme.example|||", "Jane Doe||doe@acme.example|||"], &[0, 1]);
    check(&["John Doe||||12 Harbour Road|Bonn", "John D.|||||Bonn"], &[0, 1]);
    check(&["John Doe|1980-03-04||||Bonn", "John Dean|1975-06-21||||Bonn"], &[0, 1]);
    check(
        &["John Doe Sr|1950-01-17||0228 555123|12 Harbour Road|Bonn", "John Doe Jr|1980-03-04||0228 555123|12 Harbour Road|Bonn"],
        &[0, 1],
    );
    check(
        &["Anna Doe|2001-05-09||0228 555123|12 Harbour Road|Bonn", "Clara Doe|2001-05-09||0228 555123|12 Harbour Road|Bonn"],
        &[0, 1],
    );
}

#[test]
fn a_name_alone_is_not_even_a_question() {
    let fields = all();
    let model = Model::untrained(&fields);
    let probability = |rows: [&str; 2]| {
        let records = rows.map(|row| {
            let mut record = Record::read(&fields, row.split('|').enumerate().filter(|(_, text)| !text.is_empty()));
            model.weigh(&mut record);
            record
        });
        probability(model.weight(&records[0], &records[1]))
    };
    assert!(probability(["John Doe", "John Doe"]) < Thresholds::default().review_at);
    assert!(
        probability(["John Doe||||12 Harbour Road|Bonn", "John Doe||||12 Harbour Road|Bonn"]) > Thresholds::default().merge_at
    );
}
