//! People who are hard to tell apart, in a town of others: who becomes one person, and who does not.
//!
//! The town is drawn by hash, so that frequencies are learned from something; the people of a test stand in it.

use weft_matching::resolve::{Resolution, Thresholds, resolve};
use weft_matching::{Field, Fields, Kind, Record};

const GIVEN: [&str; 24] = [
    "John", "Berta", "Carl", "Dora", "Emil", "Frieda", "Gustav", "Hedwig", "Igor", "Jutta", "Kaspar", "Lore", "Moritz", "Nadja",
    "Otto", "Petra", "Quirin", "Rosa", "Simon", "Thea", "Udo", "Vera", "Wenzel", "Zita",
];
const FAMILY: [&str; 30] = [
    "Amsel",
    "Birnbaum",
    "Csonka",
    "Drossel",
    "Eichhorn",
    "Fink",
    "Gruber",
    "Habicht",
    "Igel",
    "Jaeger",
    "Krause",
    "Lerche",
    "Meise",
    "Nachtigall",
    "Oppermann",
    "Pirol",
    "Quast",
    "Rabe",
    "Sperling",
    "Taube",
    "Uhl",
    "Vogt",
    "Wachtel",
    "Ybarra",
    "Zeisig",
    "Dachs",
    "Fuchs",
    "Hirsch",
    "Luchs",
    "Marder",
];

fn fields() -> Fields {
    let field = |(name, kind): (&str, Kind)| Field { name: name.into(), kind };
    let list = [
        ("name", Kind::PersonName),
        ("birth_date", Kind::Date),
        ("email", Kind::Email),
        ("phone", Kind::Phone),
        ("street", Kind::Address),
        ("city", Kind::Text),
    ];
    Fields::new(list.map(field).into()).expect("fields are right")
}

/// Draws a number below a bound.
fn draw(seed: &mut u64, below: usize) -> usize {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut word = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((word ^ (word >> 31)) % below as u64) as usize
}

/// A town of 600 people in 300 homes, of whom two in three have a second record with something missing.
fn town() -> Vec<Vec<String>> {
    let mut seed = 7;
    let mut rows = Vec::new();
    for home in 0..300 {
        let family = FAMILY[draw(&mut seed, FAMILY.len())];
        let street = format!("{} {}", FAMILY[draw(&mut seed, FAMILY.len())], "street");
        let street = format!("{} {street}", 1 + draw(&mut seed, 90));
        let landline = format!("0228 {}", 100_000 + draw(&mut seed, 800_000));
        let city = ["Bonn", "Köln", "Trier", "Mainz"][home % 4];
        for member in 0..2 {
            let given = GIVEN[draw(&mut seed, GIVEN.len())];
            let born = format!("{}-{:02}-{:02}", 1940 + draw(&mut seed, 60), 1 + draw(&mut seed, 12), 1 + draw(&mut seed, 28));
            let email = format!("{}{}@mail{}.example", given.to_lowercase(), draw(&mut seed, 10_000), member);
            let row = |gaps: &[usize]| {
                let all =
                    [format!("{given} {family}"), born.clone(), email.clone(), landline.clone(), street.clone(), city.to_owned()];
                all.into_iter()
                    .enumerate()
                    .map(|(place, text)| if gaps.contains(&place) { String::new() } else { text })
                    .collect()
            };
            rows.push(row(&[]));
            match draw(&mut seed, 3) {
                0 => rows.push(row(&[1, 3])),
                1 => rows.push(row(&[2, 4])),
                _ => (),
            }
        }
    }
    rows
}

/// Resolves rows of the form `name|birth date|e-mail|phone|street|city` in the town, and says which of them are one person.
fn check(rows: &[&str], want: &[usize]) {
    let found = resolved(rows);
    let first = found.persons.len() - rows.len();
    let persons = &found.persons[first..];
    let shown: Vec<usize> = persons.iter().map(|one| persons.iter().position(|other| other == one).expect("itself")).collect();
    let pairs: Vec<_> = found.pairs.iter().filter(|pair| pair.a as usize >= first).collect();
    assert_eq!(shown, want, "{rows:#?}\n{pairs:#?}");
}

fn resolved(rows: &[&str]) -> Resolution {
    let fields = fields();
    let mut all = town();
    all.extend(rows.iter().map(|row| row.split('|').map(str::to_owned).collect()));
    let mut records = Record::read_all(&fields, &all);
    resolve(&fields, &mut records, None, Thresholds::default(), |_| ())
}

#[test]
fn john_doe_on_the_mailing_list_is_john_d_in_the_app() {
    check(&["John Doe||john.doe@acme.example||12 Harbour Road|Bonn", "John D.|1980-03-04|john.doe@acme.example|||"], &[0, 0]);
    check(&["John Doe|1980-03-04||0170 5551234|12 Harbour Road|Bonn", "John D.|1980-03-04||+49 170 5551234||Bonn"], &[0, 0]);
}

#[test]
fn an_initial_and_a_city_are_not_enough() {
    check(&["John Doe||||12 Harbour Road|Bonn", "John D.|||||Bonn"], &[0, 1]);
}

#[test]
fn jane_doe_at_the_same_address_is_somebody_else() {
    check(
        &["John Doe|1980-03-04||0170 5551234|12 Harbour Road|Bonn", "Jane Doe|1982-11-30||0170 5551234|12 Harbour Road|Bonn"],
        &[0, 1],
    );
}

#[test]
fn john_dean_with_the_same_initials_is_somebody_else() {
    check(
        &["John Doe|1980-03-04|||12 Harbour Road|Bonn", "John Dean|1975-06-21|||40 Hill Street|Bonn", "J. D.|||||Bonn"],
        &[0, 1, 2],
    );
}

#[test]
fn father_and_son_of_one_name_stay_two() {
    check(
        &[
            "John Doe Sr|1950-01-17||0228 555123|12 Harbour Road|Bonn",
            "John Doe Jr|1980-03-04||0228 555123|12 Harbour Road|Bonn",
            "John Doe|1980-03-04||0228 555123|12 Harbour Road|Bonn",
        ],
        &[0, 1, 1],
    );
}

#[test]
fn twins_stay_two() {
    check(
        &[
            "Anna Doe|2001-05-09||0228 555123|12 Harbour Road|Bonn",
            "Clara Doe|2001-05-09||0228 555123|12 Harbour Road|Bonn",
            "Clara Doe|2001-05-09|clara@doe.example|||",
        ],
        &[0, 1, 1],
    );
}

#[test]
fn a_family_with_one_telephone_stays_a_family() {
    check(
        &[
            "John Doe|1980-03-04|john@doe.example|0228 555123|12 Harbour Road|Bonn",
            "Jane Doe|1982-11-30|jane@doe.example|0228 555123|12 Harbour Road|Bonn",
            "Tim Doe|2010-07-07||0228 555123|12 Harbour Road|Bonn",
            "Jane Doe||jane@doe.example|||",
            "Johnny Doe|1980-03-04||0228 555123||Bonn",
        ],
        &[0, 1, 2, 1, 0],
    );
}

#[test]
fn what_two_records_cannot_say_three_say_together() {
    // The first and the last share little, and each shares more with the one between them.
    check(
        &[
            "Xaver Querfurt|1971-09-13|xaver@querfurt.example||4 Mill Lane|Trier",
            "Xaver Querfurt|1971-09-13|xaver@querfurt.example|0170 9998877||",
            "X. Querfurt|||0170 9998877||Trier",
        ],
        &[0, 0, 0],
    );
}

#[test]
fn the_same_comes_out_however_the_rows_are_ordered() {
    let rows = ["John Doe|1980-03-04|j@doe.example|||Bonn", "Jon Doe|1980-03-04||||Bonn", "J. Doe||j@doe.example|||"];
    let persons = |order: [usize; 3]| {
        let found = resolved(&order.map(|place| rows[place]));
        let own = &found.persons[found.persons.len() - 3..];
        let same = |a: usize, b: usize| {
            let at = |row: usize| own[order.iter().position(|one| *one == row).expect("is there")];
            at(a) == at(b)
        };
        [same(0, 1), same(1, 2), same(0, 2)]
    };
    let first = persons([0, 1, 2]);
    assert_eq!(first, persons([2, 1, 0]));
    assert_eq!(first, persons([1, 2, 0]));
}

#[test]
fn hardly_any_rows_are_resolved_as_well() {
    let fields = fields();
    for rows in [town()[..0].to_vec(), town()[..1].to_vec(), town()[..2].to_vec(), town()[..3].to_vec()] {
        let mut records = Record::read_all(&fields, &rows);
        let found = resolve(&fields, &mut records, None, Thresholds::default(), |_| ());
        assert_eq!(found.persons, (0..rows.len() as u32).collect::<Vec<_>>(), "strangers stay strangers");
    }
}

#[test]
fn a_model_reads_back_and_weighs_the_same() {
    let found = resolved(&["John Doe|1980-03-04|j@doe.example|||Bonn"]);
    let text = serde_json::to_string(&found.model).expect("is JSON");
    let read: weft_matching::Model = serde_json::from_str(&text).expect("reads back");
    assert_eq!(read.check(), Ok(()));
    let rows = town();
    let mut records = Record::read_all(&read.fields, &rows[..2]);
    records.iter_mut().for_each(|record| read.weigh(record));
    let evidence = read.explain(&records[0], &records[1]);
    let sum = evidence.prior + evidence.shared + evidence.reasons.iter().map(|reason| reason.weight).sum::<f64>();
    assert!((sum - evidence.weight).abs() < 1e-6, "the parts of an explanation add up: {sum} and {}", evidence.weight);
    assert_eq!(evidence.weight, read.weight(&records[0], &records[1]));
}

#[test]
fn an_explanation_says_what_each_field_decides() {
    let rows =
        ["John Doe|1980-03-04|john@doe.example|0170 5551234||Bonn", "John D.|1980-03-04|j.d@mail.example|0170 5551234||Bonn"];
    let model = resolved(&rows).model;
    let explain = |rows: [&str; 2]| {
        let all: Vec<Vec<String>> = rows.iter().map(|row| row.split('|').map(str::to_owned).collect()).collect();
        let mut records = Record::read_all(&model.fields, &all);
        records.iter_mut().for_each(|record| model.weigh(record));
        model.explain(&records[0], &records[1])
    };
    let evidence = explain(rows);
    let without = |name: &str| evidence.reasons.iter().find(|reason| reason.component == name).expect("is compared").without;
    // As if the two did not have it, exactly.
    let lacking = |place: usize| {
        let lack = |row: &str| {
            let mut values: Vec<&str> = row.split('|').collect();
            values[place] = "";
            values.join("|")
        };
        let rows = rows.map(lack);
        explain([&rows[0], &rows[1]]).weight
    };
    for (place, name) in [(1, "birth_date"), (2, "email"), (3, "phone"), (5, "city")] {
        assert_eq!(without(name), lacking(place), "{name}: {evidence:#?}");
    }
    assert!(without("birth_date") < evidence.weight && without("email") > evidence.weight, "{evidence:#?}");
    assert!(evidence.reasons.iter().all(|reason| reason.without != evidence.weight), "each says something: {evidence:#?}");
}

#[test]
fn a_model_that_forgets_rare_values_says_less_and_holds_together() {
    let model = resolved(&[]).model;
    let mut small = model.clone();
    small.keep_frequent(5);
    assert_eq!(small.check(), Ok(()));
    for (before, after) in model.components.iter().zip(&small.components) {
        assert!(after.frequent.len() <= 5 && after.rare >= before.rare);
        assert!(after.frequent.iter().all(|value| before.frequent.contains(value) && value.1 >= after.rare));
    }
}

#[test]
fn a_model_that_does_not_hold_together_is_refused() {
    let model = resolved(&[]).model;
    let check = |change: fn(&mut weft_matching::Model), want: &str| {
        let mut broken = model.clone();
        change(&mut broken);
        let said = broken.check().expect_err("is broken");
        assert!(said.contains(want), "{said}");
    };
    check(|model| model.components.truncate(2), "components");
    check(|model| model.shares[0] = f64::NAN, "shares");
    check(|model| model.components[0].levels[1].truncate(1), "levels");
    check(|model| model.components[0].frequent = vec![(2, 0.1), (1, 0.1)], "out of order");
}
