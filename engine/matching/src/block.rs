//! Under which keys a record is found: two records are compared where they share one.
//!
//! Each rule is a guess at what stays when the rest changes: an address of mail, a number, a date with a name, a name with a
//! place. A pair that is one person shares several, so that no single slip hides it; the keys are hashes, so that an index of them names
//! nobody.

use crate::field::{Fields, Ladder};
use crate::name::root;
use crate::record::{Record, Value};
use crate::text::{hash, sound};

/// Counts the rules: an index of keys that other rules gave is of no use.
pub const RULES_VERSION: u32 = 1;

/// The keys of a record, in the order of the rules; none twice.
#[must_use]
pub fn keys(fields: &Fields, record: &Record) -> Vec<u64> {
    let mut keys = Keys(Vec::with_capacity(24));
    let of = |ladder| -> &[Value] { fields.place(ladder).map_or(&[], |place| record.of(place)) };
    let form = |value: &Value| record.form(value).as_bytes();
    let all = |ladder: Ladder| {
        let places = fields.components().iter().enumerate().filter(move |(_, one)| one.ladder == ladder);
        places.flat_map(|(place, _)| record.of(place as u8).iter().map(move |value| (place as u8, value)))
    };

    for (place, code) in all(Ladder::Code) {
        keys.put(0, &[&[place], form(code)]);
    }
    for (_, email) in all(Ladder::Email) {
        keys.put(1, &[form(email)]);
    }
    for (_, phone) in all(Ladder::Phone) {
        keys.put(2, &[form(phone)]);
    }
    for (_, email) in all(Ladder::Email) {
        let local = record.form(email).split('@').next().unwrap_or_default();
        if local.len() >= 6 {
            keys.put(3, &[local.as_bytes()]);
        }
    }

    let given = of(Ladder::Given).first().map(|value| record.form(value));
    let family = of(Ladder::Family).first().map(|value| record.form(value));
    let root = given.map(root).unwrap_or_default().to_be_bytes();
    let initial = given.map_or(0, |given| given.as_bytes()[0]);
    let full_given = given.is_some_and(|given| given.split(' ').next().is_some_and(|first| first.len() > 1));
    let full_family = family.is_some_and(|family| family.len() > 1);
    let sound = family.map(last_word).map(sound).unwrap_or_default();
    let begins = family.map_or(0, |family| family.as_bytes()[0]);

    for (place, date) in all(Ladder::Date) {
        let date = form(date);
        if full_family {
            keys.put(4, &[&[place], date, &sound]);
        }
        if full_given {
            keys.put(5, &[&[place], date, &root]);
        }
        if full_given && full_family && date.len() == 8 {
            keys.put(6, &[&[place], &date[..4], &root, &sound]);
            keys.put(7, &[&[place], &date[4..], &root, &sound]);
        }
        for (_, postcode) in all(Ladder::Postcode) {
            keys.put(8, &[&[place], date, form(postcode)]);
        }
    }
    if let (Some(given), Some(family), true, true) = (given, family, full_given, full_family) {
        // The same key whichever of the two stands in which field.
        let first = given.split(' ').next().unwrap_or_default();
        let (low, high) = if first < family { (first, family) } else { (family, first) };
        keys.put(9, &[low.as_bytes(), high.as_bytes()]);
        keys.put(10, &[&root, &sound]);
    }
    for (_, postcode) in all(Ladder::Postcode) {
        if full_given {
            keys.put(11, &[form(postcode), &root]);
        }
        if full_family {
            keys.put(12, &[form(postcode), &sound, &[initial]]);
        }
    }
    for (place, text) in all(Ladder::Text) {
        if full_given && full_family {
            keys.put(13, &[&[place], form(text), &root, &sound]);
        }
        if full_given && begins != 0 {
            keys.put(14, &[&[place], form(text), &root, &[begins]]);
        }
    }
    for (_, address) in all(Ladder::Address) {
        keys.put(15, &[form(address)]);
    }
    keys.0
}

fn last_word(family: &str) -> &[u8] {
    family.rsplit(' ').next().unwrap_or_default().as_bytes()
}

struct Keys(Vec<u64>);

impl Keys {
    fn put(&mut self, rule: u8, parts: &[&[u8]]) {
        let mut all: [&[u8]; 6] = [&[]; 6];
        let rule = [rule];
        all[0] = &rule;
        all[1..=parts.len()].copy_from_slice(parts);
        let key = hash(&all[..=parts.len()]);
        if !self.0.contains(&key) {
            self.0.push(key);
        }
    }
}
