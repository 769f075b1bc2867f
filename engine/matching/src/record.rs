//! Records as they are compared: the canonical form of each value, by component.

use crate::field::{Fields, Kind, Ladder};
use crate::form;
use crate::limits;
use crate::name::{self, Name};
use crate::text::hash;
use crate::work::in_pieces;

/// What is known of somebody, ready to be compared.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    text: Box<str>,
    values: Box<[Value]>,
    /// How many records it unites.
    pub(crate) count: u32,
    /// Whether the given and the family name are what an e-mail address tells, and no record of these has them written.
    pub(crate) told: [bool; 2],
}

/// A value: its form is a piece of the record's text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Value {
    /// What is compared for being the same, as a hash.
    pub(crate) hash: u64,
    /// The binary logarithm of the share of records that have it; see [`crate::Model::weigh`].
    pub(crate) frequency: f32,
    start: u16,
    len: u8,
    /// The place of its component among [`Fields::components`].
    pub(crate) component: u8,
}

impl Record {
    /// Reads a record from values, each with the place of its field among [`Fields::fields`]. Values that stand for nothing ("n/a")
    /// and values of another shape (a date that is none) are left out; past the bounds of [`limits`] they are cut.
    #[must_use]
    pub fn read<'a>(fields: &Fields, values: impl IntoIterator<Item = (usize, &'a str)>) -> Record {
        let mut record = Reading { text: String::new(), values: Vec::new() };
        let (mut given, mut family, mut whole) = ("", "", "");
        let mut emails = Vec::new();
        for (place, text) in values {
            let Some(field) = fields.fields().get(place).filter(|_| !form::is_nothing(text)) else { continue };
            let text = cut(text);
            let form = match field.kind {
                Kind::GivenName => {
                    given = text;
                    continue;
                }
                Kind::FamilyName => {
                    family = text;
                    continue;
                }
                Kind::PersonName => {
                    whole = text;
                    continue;
                }
                Kind::Email => form::email(text),
                Kind::Phone => form::phone(text),
                Kind::Date => form::date(text),
                Kind::Postcode => form::postcode(text),
                Kind::Address => form::address(text),
                Kind::Text => form::text(text),
                Kind::Code => form::code(text),
            };
            if let (Some(form), Some(component)) = (form, fields.place_of(&field.name)) {
                record.put(component, &form, &form);
                if field.kind == Kind::Email {
                    emails.push(form);
                }
            }
        }
        let mut name = name::read(given, family, whole);
        let written = name.clone();
        for email in &emails {
            name::complete(&mut name, email);
        }
        let told = [name.given != written.given, name.family != written.family];
        let Name { given, family, generation } = name;
        if let Some(component) = fields.place(Ladder::Given).filter(|_| !given.is_empty()) {
            record.put(component, &given, given.split(' ').next().unwrap_or_default());
        }
        if let Some(component) = fields.place(Ladder::Family).filter(|_| !family.is_empty()) {
            record.put(component, &family, &family.replace(' ', ""));
        }
        if let Some(component) = fields.place(Ladder::Whole).filter(|_| given.len() > 1 && family.len() > 1) {
            let first = given.split(' ').next().unwrap_or_default();
            record.put(component, "", &format!("{first} {}", family.replace(' ', "")));
        }
        if let (Some(component), Some(generation)) = (fields.place(Ladder::Generation), generation) {
            record.put(component, &generation.to_string(), "");
        }
        record.values.sort_by_key(|value| (value.component, value.hash));
        record.values.dedup_by_key(|value| (value.component, value.hash));
        Record { text: record.text.into(), values: record.values.into(), count: 1, told }
    }

    /// Reads many records, on all processors, each from the texts of all fields in their order; an empty text is no value.
    #[must_use]
    pub fn read_all(fields: &Fields, rows: &[Vec<String>]) -> Vec<Record> {
        let read = |row: &Vec<String>| {
            let values = row.iter().enumerate().filter(|(_, text)| !text.trim().is_empty());
            Record::read(fields, values.map(|(place, text)| (place, &**text)))
        };
        in_pieces(rows.len(), |from, to| rows[from..to].iter().map(read).collect::<Vec<_>>()).into_iter().flatten().collect()
    }

    /// The form of a value.
    pub(crate) fn form(&self, value: &Value) -> &str {
        &self.text[usize::from(value.start)..usize::from(value.start) + usize::from(value.len)]
    }

    /// The values, by component.
    pub(crate) fn values(&self) -> &[Value] {
        &self.values
    }

    /// The values, to note how frequent they are.
    pub(crate) fn values_mut(&mut self) -> &mut [Value] {
        &mut self.values
    }

    /// The values of one component.
    pub(crate) fn of(&self, component: u8) -> &[Value] {
        let from = self.values.iter().take_while(|value| value.component < component).count();
        let count = self.values[from..].iter().take_while(|value| value.component == component).count();
        &self.values[from..from + count]
    }

    /// All that several weighed records say, as one: every value of each component.
    #[must_use]
    pub fn unite<'a>(records: impl IntoIterator<Item = &'a Record>) -> Record {
        let mut all = Reading { text: String::new(), values: Vec::new() };
        let (mut count, mut told) = (0, [true; 2]);
        for record in records {
            count += record.count;
            told = [told[0] && record.told[0], told[1] && record.told[1]];
            for value in &record.values {
                let known = |one: &Value| (one.component, one.hash) == (value.component, value.hash);
                if let Some(place) = all.values.iter().position(known) {
                    // Of given names with one first name, the longest says the most.
                    if all.values[place].len >= value.len {
                        continue;
                    }
                    all.values.remove(place);
                }
                all.keep(record.form(value), value);
            }
        }
        all.values.sort_by_key(|value| (value.component, value.hash));
        Record { text: all.text.into(), values: all.values.into(), count, told }
    }

    /// The record as if nothing were known of one component.
    pub(crate) fn without(&self, component: u8) -> Record {
        let values = self.values.iter().filter(|value| value.component != component).copied().collect();
        Record { text: self.text.clone(), values, ..*self }
    }

    /// A hash of all that it says: another one is compared anew.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let places: Vec<[u8; 1]> = self.values.iter().map(|value| [value.component]).collect();
        let values = self.values.iter().zip(&places);
        let parts: Vec<&[u8]> = values.flat_map(|(value, place)| [&place[..], self.form(value).as_bytes()]).collect();
        hash(&parts)
    }

    /// Whether there is nothing to compare.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

struct Reading {
    text: String,
    values: Vec<Value>,
}

impl Reading {
    fn put(&mut self, component: u8, form: &str, same: &str) {
        self.keep(cut(form), &Value { hash: hash(&[same.as_bytes()]), frequency: 0.0, start: 0, len: 0, component });
    }

    fn keep(&mut self, form: &str, value: &Value) {
        let (Ok(start), Ok(len)) = (u16::try_from(self.text.len()), u8::try_from(form.len())) else { return };
        if self.values.len() < limits::VALUES_MAX {
            self.text.push_str(form);
            self.values.push(Value { start, len, ..*value });
        }
    }
}

/// A text without what is past its bound.
fn cut(text: &str) -> &str {
    let end = (0..=limits::VALUE_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}
