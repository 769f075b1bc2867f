//! How alike two records are: for each component a level, from the same to different.

use crate::field::{Fields, Ladder};
use crate::form;
use crate::limits::COMPONENTS_MAX;
use crate::name::{family_level, given_level};
use crate::record::{Record, Value};

/// The level of a component that one of the two records has no value for: it says nothing.
pub const MISSING: u8 = u8::MAX;

/// How alike two records are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pattern {
    /// The level of each component, or [`MISSING`].
    pub levels: [u8; COMPONENTS_MAX],
    /// For a component at its first level, the binary logarithm of the share of records that have the value which both have.
    pub frequency: [f32; COMPONENTS_MAX],
    /// How many records the two stand for.
    pub(crate) count: u32,
    /// For each component, the places of the two values that were compared.
    pub(crate) values: [(u8, u8); COMPONENTS_MAX],
}

/// The level of given names from which they do not fit.
const GIVEN_ALIKE: u8 = 5;
/// The level of family names from which they do not fit.
const FAMILY_ALIKE: u8 = 4;

/// Compares two records. Of several values of a component the two most alike count, and of equally alike ones the rarest.
#[must_use]
pub fn compare(fields: &Fields, a: &Record, b: &Record) -> Pattern {
    let mut pattern = Pattern {
        levels: [MISSING; COMPONENTS_MAX],
        frequency: [0.0; COMPONENTS_MAX],
        count: a.count + b.count,
        values: [(0, 0); COMPONENTS_MAX],
    };
    let (all_a, all_b) = (a.values(), b.values());
    let (mut from_a, mut from_b) = (0, 0);
    while from_a < all_a.len() && from_b < all_b.len() {
        let (component, other) = (all_a[from_a].component, all_b[from_b].component);
        if component != other {
            *(if component < other { &mut from_a } else { &mut from_b }) += 1;
            continue;
        }
        let end =
            |values: &[Value], from: usize| from + values[from..].iter().take_while(|value| value.component == component).count();
        let (end_a, end_b) = (end(all_a, from_a), end(all_b, from_b));
        let place = usize::from(component);
        let ladder = fields.components()[place].ladder;
        if ladder == Ladder::Whole {
            let shared = |one: &&Value| all_b[from_b..end_b].iter().any(|other| other.hash == one.hash);
            pattern.frequency[place] =
                all_a[from_a..end_a].iter().filter(shared).map(|one| one.frequency).reduce(f32::max).unwrap_or(0.0);
            (from_a, from_b) = (end_a, end_b);
            continue;
        }
        let mut best = (MISSING, 0.0, (0, 0));
        for (nth_a, one) in (from_a..).zip(&all_a[from_a..end_a]) {
            for (nth_b, another) in (from_b..).zip(&all_b[from_b..end_b]) {
                if one.frequency == f32::INFINITY || another.frequency == f32::INFINITY {
                    continue;
                }
                let level = level(ladder, (a.form(one), one), (b.form(another), another));
                let frequency = if level == 0 { one.frequency.max(another.frequency) } else { 0.0 };
                if (level, frequency) < (best.0, best.1) {
                    best = (level, frequency, (nth_a as u8, nth_b as u8));
                }
            }
        }
        if ladder == Ladder::Email && matches!(best.0, 1 | 2) {
            let local = a.form(&all_a[usize::from(best.2.0)]).split('@').next().unwrap_or_default();
            if is_made_of_the_name(fields, a, local) || is_made_of_the_name(fields, b, local) {
                best.0 = MISSING;
            }
        }
        (pattern.levels[place], pattern.frequency[place], pattern.values[place]) = best;
        (from_a, from_b) = (end_a, end_b);
    }
    set_order(fields, a, b, &mut pattern);
    let same_email = |place: usize| fields.components()[place].ladder == Ladder::Email && pattern.levels[place] == 0;
    if (0..fields.components().len()).any(same_email) {
        // What the address tells of the name is not news beside the address.
        for (part, ladder) in [Ladder::Given, Ladder::Family].into_iter().enumerate() {
            if let Some(place) = fields.place(ladder).filter(|_| a.told[part] || b.told[part]) {
                pattern.levels[usize::from(place)] = MISSING;
            }
        }
    }
    pattern
}

/// Whether an address is made of somebody's name, as namesakes have it at another domain: then being nearly the same says nothing
/// that the name does not.
fn is_made_of_the_name(fields: &Fields, record: &Record, local: &str) -> bool {
    let local: String = local.chars().filter(char::is_ascii_alphabetic).collect();
    [Ladder::Given, Ladder::Family].into_iter().filter_map(|ladder| fields.place(ladder)).any(|place| {
        let words = record.of(place).iter().flat_map(|value| record.form(value).split(' '));
        words.filter(|word| word.len() > 2).any(|word| local.contains(word))
    })
}

fn level(ladder: Ladder, (a, value_a): (&str, &Value), (b, value_b): (&str, &Value)) -> u8 {
    match ladder {
        Ladder::Given => given_level(a, b),
        Ladder::Family => family_level(a, b),
        Ladder::Generation => u8::from(a != b),
        Ladder::Order | Ladder::Whole => MISSING,
        _ if value_a.hash == value_b.hash => 0,
        Ladder::Email => form::email_level(a, b),
        Ladder::Phone => form::phone_level(a, b),
        Ladder::Date => form::date_level(a, b),
        Ladder::Postcode => form::postcode_level(a, b),
        Ladder::Address => form::address_level(a, b),
        Ladder::Text => form::text_level(a, b),
        Ladder::Code => form::code_level(a, b),
    }
}

/// Given and family name in each other's places: where neither fits as it stands and both fit exchanged, the pattern is that of the
/// exchanged names, and says so.
fn set_order(fields: &Fields, a: &Record, b: &Record, pattern: &mut Pattern) {
    let (Some(given), Some(family), Some(order)) =
        (fields.place(Ladder::Given), fields.place(Ladder::Family), fields.place(Ladder::Order))
    else {
        return;
    };
    let (at_given, at_family, at_order) = (usize::from(given), usize::from(family), usize::from(order));
    if pattern.levels[at_given] == MISSING || pattern.levels[at_family] == MISSING {
        return;
    }
    pattern.levels[at_order] = 0;
    if pattern.levels[at_given] < GIVEN_ALIKE || pattern.levels[at_family] < FAMILY_ALIKE {
        return;
    }
    // The name that this record has as a given name, that one has as a family name; and the other way round.
    let crossed = |one: &Record, other: &Record, level: fn(&str, &str) -> u8| {
        let pairs = one.of(given).iter().flat_map(|a| other.of(family).iter().map(move |b| (a, b)));
        let alike = pairs.map(|(a, b)| (level(one.form(a), other.form(b)), a.frequency.max(b.frequency)));
        alike.min_by(|one, other| one.partial_cmp(other).unwrap_or(std::cmp::Ordering::Equal)).unwrap_or((MISSING, 0.0))
    };
    let (first, last) = (crossed(a, b, given_level), crossed(b, a, family_level));
    if first.0 < GIVEN_ALIKE && last.0 < FAMILY_ALIKE {
        (pattern.levels[at_given], pattern.levels[at_family], pattern.levels[at_order]) = (first.0, last.0, 1);
        // A value has a frequency as each of the two; the more common one is the careful choice.
        pattern.frequency[at_given] = if first.0 == 0 { first.1 } else { 0.0 };
        pattern.frequency[at_family] = if last.0 == 0 { last.1 } else { 0.0 };
    }
}
