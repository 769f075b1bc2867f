//! What is calculated: the part that one value adds, and how two parts become one, in whatever order they come.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::sum::Sum;
use super::{Calculation, Streak};
use crate::claim::fingerprint;
use crate::limits;
use crate::value::{Amount, Json, Timestamp};

/// The event that a value comes from. Marks are ordered by when the events occurred, then by their message ids' fingerprints, then by the
/// place of the value in the event: by nothing that has to do with arrival.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// When it occurred.
    pub occurred: Timestamp,
    /// The fingerprint of its message id.
    pub tie: u64,
    /// Which of the event's values.
    pub ordinal: u32,
    /// Its place in history.
    pub position: u64,
    /// The source that told it.
    pub source: Arc<str>,
}

/// What orders marks.
type Order = (Timestamp, u64, u32);

impl Mark {
    /// What orders it among others.
    #[must_use]
    pub fn order(&self) -> Order {
        (self.occurred, self.tie, self.ordinal)
    }
}

/// A value that the calculation cannot work with: of another type, or too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unusable;

/// What a value did to what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// It said nothing, or nothing that holds.
    Nothing,
    /// It said the same again, later: beside other claims that can change what holds.
    Renewed,
    /// It changed something.
    Changed,
}

/// What some values come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Part {
    /// How many.
    Count(u64),
    /// Their sum, and how many.
    Total(Sum, u64),
    /// The smallest or the largest, and the first event that said so.
    Extreme(Amount, Mark),
    /// The value that decides.
    Said(Json, Mark),
    /// Each value with how often it came and when it came last, sorted.
    Often(Vec<(Json, Often)>),
    /// More different values than can be told apart.
    TooMany,
    /// The smallest hashes of the values, sorted: all of them below [`limits::ATTRIBUTE_DISTINCT_MAX`], else a sample from which their
    /// number follows (Bar-Yossef et al., "Counting distinct elements in a data stream", 2002).
    Distinct(Vec<u64>),
    /// The values that came last, each with when, sorted; and when all before was taken away.
    Latest(Vec<(Json, Order)>, Option<Order>),
    /// Stretches of days, from the first to the last, sorted and apart.
    Days(Vec<(i32, i32)>),
    /// The values of the latest events, by their order; and when all before was taken away.
    Listed(Vec<(Mark, Json)>, Option<Order>),
}

/// How often a value came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Often {
    count: u64,
    last: Order,
}

/// The most that a mark takes in a row: its numbers, and the name of a source.
const MARK_BYTES: usize = 100;
/// The most that other things take: a number, and what orders.
const NUMBER_BYTES: usize = 20;
const ORDER_BYTES: usize = 25;

impl Part {
    /// What one value comes to. `value` is JSON; there is none where the event itself counts.
    ///
    /// # Errors
    /// [`Unusable`], where the calculation wants another type.
    pub fn of(calculation: &Calculation, value: Option<&str>, mark: Mark) -> Result<Part, Unusable> {
        let text = value.unwrap_or("null");
        Ok(match calculation {
            Calculation::Count => Part::Count(1),
            Calculation::Sum | Calculation::Average => Part::Total(number(text)?.into(), 1),
            Calculation::Min | Calculation::Max => Part::Extreme(Amount(number(text)?.0.normalize()), mark),
            Calculation::FirstAt | Calculation::LastAt => Part::Said(null(), mark),
            Calculation::First | Calculation::Last | Calculation::MostTrusted { .. } => Part::Said(short(text)?, mark),
            Calculation::MostFrequent => Part::Often(vec![(scalar(text)?, Often { count: 1, last: mark.order() })]),
            Calculation::UniqueCount => Part::Distinct(vec![fingerprint(scalar(text)?.text())]),
            Calculation::UniqueList { .. } if text == "null" => Part::Latest(Vec::new(), Some(mark.order())),
            Calculation::UniqueList { .. } => Part::Latest(vec![(scalar(text)?, mark.order())], None),
            Calculation::Streak { zone, .. } => {
                let day = zone.day(mark.occurred);
                Part::Days(vec![(day, day)])
            }
            Calculation::List { .. } if text == "null" => Part::Listed(Vec::new(), Some(mark.order())),
            Calculation::List { .. } => {
                let value = short(text)?;
                Part::Listed(vec![(mark, value)], None)
            }
        })
    }

    /// Takes another part of the same calculation in.
    pub fn merge(&mut self, other: Part, calculation: &Calculation) -> Effect {
        let changed = |is_changed: bool, otherwise: Effect| if is_changed { Effect::Changed } else { otherwise };
        match (self, other) {
            (Part::Count(count), Part::Count(more)) => {
                *count = count.saturating_add(more);
                changed(more > 0, Effect::Nothing)
            }
            (Part::Total(sum, count), Part::Total(more, so_many)) => {
                (*sum, *count) = (sum.plus(more), count.saturating_add(so_many));
                changed(so_many > 0, Effect::Nothing)
            }
            (Part::Extreme(amount, mark), Part::Extreme(other, by)) => {
                let is_better = if *calculation == Calculation::Min { other < *amount } else { other > *amount };
                if !is_better && (other != *amount || by.order() >= mark.order()) {
                    return Effect::Nothing;
                }
                let effect = changed(is_better, Effect::Renewed);
                (*amount, *mark) = (other, by);
                effect
            }
            (Part::Said(value, mark), Part::Said(other, by)) => {
                if !wins(calculation, (&by, &other), (mark, value)) {
                    return Effect::Nothing;
                }
                let effect = changed(*value != other || by.occurred != mark.occurred && value.is_null(), Effect::Renewed);
                (*value, *mark) = (other, by);
                effect
            }
            (Part::Often(values), Part::Often(more)) => {
                let before = most_frequent(values).cloned();
                for (value, often) in more {
                    add(values, value, often, |known, more| {
                        *known = Often { count: known.count.saturating_add(more.count), last: known.last.max(more.last) };
                    });
                }
                changed(most_frequent(values) != before.as_ref(), Effect::Renewed)
            }
            (this @ (Part::Often(_) | Part::TooMany), Part::Often(_) | Part::TooMany) => {
                let effect = changed(*this != Part::TooMany, Effect::Nothing);
                *this = Part::TooMany;
                effect
            }
            (Part::Distinct(hashes), Part::Distinct(more)) => {
                let before = (hashes.len(), hashes.last().copied());
                for hash in more {
                    if let Err(place) = hashes.binary_search(&hash)
                        && place < limits::ATTRIBUTE_DISTINCT_MAX
                    {
                        hashes.insert(place, hash);
                        hashes.truncate(limits::ATTRIBUTE_DISTINCT_MAX);
                    }
                }
                changed(before != (hashes.len(), hashes.last().copied()), Effect::Nothing)
            }
            (Part::Latest(values, cleared), Part::Latest(more, other)) => {
                merge_latest((values, cleared), (more, other), calculation)
            }
            (Part::Days(stretches), Part::Days(more)) => {
                let before = stretches.clone();
                stretches.extend(more);
                join_days(stretches);
                changed(*stretches != before, Effect::Nothing)
            }
            (Part::Listed(values, cleared), Part::Listed(more, other)) => {
                let before = values.len();
                let mut is_new = other > *cleared;
                *cleared = (*cleared).max(other);
                for (mark, value) in more {
                    let place = values.binary_search_by(|(known, with)| (known.order(), with).cmp(&(mark.order(), &value)));
                    if let Err(place) = place {
                        is_new |= place < before || values.len() < at_most(calculation) || place == values.len();
                        values.insert(place, (mark, value));
                    }
                }
                values.retain(|(mark, _)| cleared.is_none_or(|cleared| mark.order() > cleared));
                let over = values.len().saturating_sub(at_most(calculation));
                values.drain(..over);
                changed(is_new, Effect::Nothing)
            }
            // Parts of one calculation are of one kind.
            _ => Effect::Nothing,
        }
    }

    /// Bytes that it takes in a row, at most. Never less when something is merged in, in whatever order: this is what decides how
    /// coarsely a tally tells instants apart.
    #[must_use]
    pub fn weight(&self) -> usize {
        const KEY_BYTES: usize = 11;
        KEY_BYTES
            + match self {
                Part::Count(_) => NUMBER_BYTES,
                Part::Total(..) => 3 * NUMBER_BYTES,
                Part::Extreme(..) => 2 * NUMBER_BYTES + MARK_BYTES,
                Part::Said(..) => limits::ATTRIBUTE_VALUE_BYTES_MAX + MARK_BYTES,
                Part::Often(values) => {
                    values.iter().map(|(value, _)| value.text().len() + NUMBER_BYTES + ORDER_BYTES).sum::<usize>()
                }
                Part::TooMany => 0,
                Part::Distinct(hashes) => 10 * hashes.len(),
                Part::Latest(values, _) => ORDER_BYTES + values.len() * (limits::ATTRIBUTE_VALUE_BYTES_MAX + ORDER_BYTES),
                // As many as the calendar has: it cannot outgrow a row before the year 2100.
                Part::Days(_) => 0,
                Part::Listed(values, _) => ORDER_BYTES + values.len() * (limits::ATTRIBUTE_VALUE_BYTES_MAX + MARK_BYTES),
            }
    }

    /// What it comes to at `now`; none where there is nothing to say.
    #[must_use]
    pub fn value(&self, calculation: &Calculation, now: Timestamp) -> Option<Json> {
        let parsed = |text: String| Json::parse(&text).ok();
        match self {
            Part::Count(count) => parsed(count.to_string()),
            Part::Total(sum, count) if *calculation == Calculation::Average => parsed(sum.mean(*count)?.to_string()),
            Part::Total(sum, _) => parsed(sum.to_string()),
            Part::Extreme(amount, _) => parsed(amount.0.to_string()),
            Part::Said(_, mark) if matches!(calculation, Calculation::FirstAt | Calculation::LastAt) => {
                Some(Json::string(&mark.occurred.to_string()))
            }
            Part::Said(value, _) => Some(value.clone()).filter(|value| !value.is_null()),
            Part::Often(values) => most_frequent(values).cloned(),
            Part::TooMany => None,
            Part::Distinct(hashes) => parsed(distinct(hashes).to_string()),
            Part::Latest(values, _) if values.is_empty() => None,
            Part::Latest(values, _) => parsed(list(values.iter().map(|(value, _)| value))),
            Part::Days(stretches) => parsed(streak(stretches, calculation, now).to_string()),
            Part::Listed(values, _) if values.is_empty() => None,
            Part::Listed(values, _) => parsed(list(values.iter().map(|(_, value)| value))),
        }
    }

    /// The event that decides it, where one does.
    #[must_use]
    pub fn mark(&self) -> Option<&Mark> {
        match self {
            Part::Extreme(_, mark) | Part::Said(_, mark) => Some(mark),
            Part::Listed(values, _) => values.last().map(|(mark, _)| mark),
            _ => None,
        }
    }

    /// Whether there are more different values than can be told apart.
    #[must_use]
    pub fn is_too_many(&self) -> bool {
        *self == Part::TooMany
    }

    /// Whether its value is an estimate.
    #[must_use]
    pub fn is_estimate(&self) -> bool {
        matches!(self, Part::Distinct(hashes) if hashes.len() >= limits::ATTRIBUTE_DISTINCT_MAX)
    }

    /// When its value becomes another one by itself; none where it does not.
    #[must_use]
    pub fn ends(&self, calculation: &Calculation) -> Option<Timestamp> {
        let (Part::Days(stretches), Calculation::Streak { of: Streak::Current, zone }) = (self, calculation) else { return None };
        stretches.last().map(|(_, last)| zone.begin(last.saturating_add(2)))
    }
}

/// Whether of two things that were said the first decides.
fn wins(calculation: &Calculation, (mark, value): (&Mark, &Json), (other, with): (&Mark, &Json)) -> bool {
    match calculation {
        Calculation::First | Calculation::FirstAt => (mark.order(), value) < (other.order(), with),
        Calculation::MostTrusted { sources } => {
            let rank = |mark: &Mark| sources.iter().position(|source| **source == *mark.source).unwrap_or(sources.len());
            (std::cmp::Reverse(rank(mark)), mark.order(), value) > (std::cmp::Reverse(rank(other)), other.order(), with)
        }
        _ => (mark.order(), value) > (other.order(), with),
    }
}

fn merge_latest(
    (values, cleared): (&mut Vec<(Json, Order)>, &mut Option<Order>),
    (more, other): (Vec<(Json, Order)>, Option<Order>),
    calculation: &Calculation,
) -> Effect {
    let names = |values: &[(Json, Order)]| values.iter().map(|(value, _)| fingerprint(value.text())).collect::<Vec<_>>();
    let before = names(values);
    *cleared = (*cleared).max(other);
    for (value, last) in more {
        add(values, value, last, |known, last| *known = (*known).max(last));
    }
    values.retain(|(_, last)| cleared.is_none_or(|cleared| *last > cleared));
    while values.len() > at_most(calculation) {
        let oldest = values.iter().enumerate().min_by_key(|(_, (value, last))| (*last, value.clone())).map(|(place, _)| place);
        values.remove(oldest.expect("there are more than none"));
    }
    if names(values) == before { Effect::Renewed } else { Effect::Changed }
}

/// Puts a value into a sorted list, or takes it together with what is there.
fn add<T>(values: &mut Vec<(Json, T)>, value: Json, with: T, merge: impl FnOnce(&mut T, T)) {
    match values.binary_search_by(|(known, _)| known.cmp(&value)) {
        Ok(place) => merge(&mut values[place].1, with),
        Err(place) => values.insert(place, (value, with)),
    }
}

fn most_frequent(values: &[(Json, Often)]) -> Option<&Json> {
    values.iter().max_by_key(|(value, often)| (often.count, often.last, value)).map(|(value, _)| value)
}

/// How many different values there are, by the smallest of their hashes: where `k` hashes of 64 bits are below `h`, there are about
/// (k − 1) · 2⁶⁴ / h in all.
fn distinct(hashes: &[u64]) -> u128 {
    match hashes.last() {
        Some(largest) if hashes.len() >= limits::ATTRIBUTE_DISTINCT_MAX => {
            ((hashes.len() as u128 - 1) << 64) / (u128::from(*largest) + 1)
        }
        _ => hashes.len() as u128,
    }
}

fn streak(stretches: &[(i32, i32)], calculation: &Calculation, now: Timestamp) -> i32 {
    let length = |(first, last): &(i32, i32)| last - first + 1;
    match calculation {
        Calculation::Streak { of: Streak::Current, zone } => {
            let today = zone.day(now);
            stretches.last().filter(|(_, last)| *last >= today - 1).map_or(0, length)
        }
        _ => stretches.iter().map(length).max().unwrap_or(0),
    }
}

/// Sorts stretches of days, and makes one of those that meet.
fn join_days(stretches: &mut Vec<(i32, i32)>) {
    stretches.sort_unstable();
    let mut joined: Vec<(i32, i32)> = Vec::with_capacity(stretches.len());
    for (first, last) in stretches.drain(..) {
        match joined.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => joined.push((first, last)),
        }
    }
    *stretches = joined;
}

fn at_most(calculation: &Calculation) -> usize {
    match calculation {
        Calculation::UniqueList { at_most } | Calculation::List { at_most } => *at_most as usize,
        _ => limits::ATTRIBUTE_LIST_MAX,
    }
    .min(limits::ATTRIBUTE_LIST_MAX)
}

fn list<'a>(values: impl Iterator<Item = &'a Json>) -> String {
    format!("[{}]", values.map(Json::text).collect::<Vec<_>>().join(","))
}

fn null() -> Json {
    Json::parse("null").expect("`null` is JSON")
}

/// A number, or a string of digits, since shops send both.
fn number(text: &str) -> Result<Amount, Unusable> {
    let is_number = text.starts_with(|first: char| first.is_ascii_digit() || first == '-');
    let string = if is_number { None } else { Json::parse(text).ok().and_then(|json| json.as_string()) };
    if is_number { text.parse().map_err(|_| Unusable) } else { string.and_then(|text| text.trim().parse().ok()).ok_or(Unusable) }
}

/// A string, number or truth value, written in one way: `1.0` is `1`, and `"\u0041"` is `"A"`.
fn scalar(text: &str) -> Result<Json, Unusable> {
    match text.as_bytes().first() {
        Some(b'{' | b'[' | b'n') | None => Err(Unusable),
        _ => short(text),
    }
}

/// A value that is short enough to be kept, written in one way where it is a scalar.
fn short(text: &str) -> Result<Json, Unusable> {
    let json = match text.as_bytes().first() {
        Some(b'"') => Json::parse(text).ok().and_then(|json| json.as_string()).map(|text| Json::string(&text)),
        Some(b'0'..=b'9' | b'-') => {
            let amount = text.parse::<Amount>().map_or_else(|_| text.to_owned(), |Amount(amount)| amount.normalize().to_string());
            Json::parse(&amount).ok()
        }
        _ => Json::parse(text).ok(),
    };
    json.filter(|json| json.text().len() <= limits::ATTRIBUTE_VALUE_BYTES_MAX).ok_or(Unusable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(at: i64, tie: u64, source: &str) -> Mark {
        Mark { occurred: Timestamp(at), tie, ordinal: 0, position: 0, source: source.into() }
    }

    /// Merges values in every turn, and as two halves; what they come to must always be the same.
    fn check(calculation: &Calculation, values: &[&str], want: Option<&str>) {
        let part = |place: usize| {
            let source = ["web", "crm"][place % 2];
            Part::of(calculation, Some(values[place]), mark(place as i64 / 2, place as u64, source)).expect("usable")
        };
        for turn in 0..values.len() {
            for split in 0..=values.len() {
                let mut halves: [Option<Part>; 2] = [None, None];
                for step in 0..values.len() {
                    let place = (turn + step) % values.len();
                    match &mut halves[usize::from(step >= split)] {
                        Some(half) => drop(half.merge(part(place), calculation)),
                        none => *none = Some(part(place)),
                    }
                }
                let [one, other] = halves;
                let whole = match (one, other) {
                    (Some(mut one), Some(other)) => {
                        one.merge(other, calculation);
                        one
                    }
                    (one, other) => one.or(other).expect("there are values"),
                };
                let value = whole.value(calculation, Timestamp(100));
                assert_eq!(value.as_ref().map(Json::text), want, "turn {turn}, split {split}");
            }
        }
    }

    #[test]
    fn parts_merge_in_any_order() {
        check(&Calculation::Count, &["1", "1", "1"], Some("3"));
        check(&Calculation::Sum, &["0.1", "\"0.2\"", "-1e1"], Some("-9.7"));
        check(&Calculation::Average, &["1", "2", "4"], Some("2.3333333333"));
        check(&Calculation::Min, &["3", "1.50", "\"2\""], Some("1.5"));
        check(&Calculation::Max, &["3", "1.50", "\"2\""], Some("3"));
        check(&Calculation::First, &["\"a\"", "\"b\"", "{\"c\":1}"], Some("\"a\""));
        check(&Calculation::Last, &["\"a\"", "\"b\"", "{\"c\":1}"], Some("{\"c\":1}"));
        check(&Calculation::LastAt, &["1", "2", "3"], Some("\"1970-01-01T00:00:00.001Z\""));
        // As often as the other, and seen later.
        check(&Calculation::MostFrequent, &["\"a\"", "\"b\"", "\"\\u0062\"", "\"a\"", "\"c\""], Some("\"a\""));
        check(&Calculation::UniqueCount, &["1", "1.0", "\"1\"", "true"], Some("3"));
        check(&Calculation::UniqueList { at_most: 2 }, &["\"c\"", "\"b\"", "\"a\"", "\"b\""], Some("[\"a\",\"b\"]"));
        check(&Calculation::UniqueList { at_most: 9 }, &["\"c\"", "null", "\"a\""], Some("[\"a\"]"));
        check(&Calculation::List { at_most: 2 }, &["\"c\"", "\"b\"", "\"a\"", "\"b\""], Some("[\"a\",\"b\"]"));
        check(&Calculation::List { at_most: 2 }, &["\"c\"", "\"b\"", "null"], None);
        check(&Calculation::MostTrusted { sources: vec!["web".into()] }, &["1", "2", "3", "4"], Some("3"));
        check(&Calculation::MostTrusted { sources: vec!["crm".into(), "web".into()] }, &["1", "2", "3"], Some("2"));
    }

    #[test]
    fn values_of_another_type_are_unusable() {
        let check = |calculation: Calculation, value: &str| {
            assert_eq!(Part::of(&calculation, Some(value), mark(0, 0, "web")), Err(Unusable), "{value}");
        };
        check(Calculation::Sum, "\"twelve\"");
        check(Calculation::Sum, "[1]");
        check(Calculation::Sum, "123456789012345678901234567890");
        check(Calculation::Max, "true");
        check(Calculation::MostFrequent, "{}");
        check(Calculation::UniqueCount, "[]");
        check(Calculation::Last, &format!("{:?}", "x".repeat(limits::ATTRIBUTE_VALUE_BYTES_MAX)));
    }

    #[test]
    fn past_its_bound_a_count_of_different_values_is_an_estimate() {
        let mut part = Part::Distinct(Vec::new());
        let mut other = part.clone();
        let calculation = Calculation::UniqueCount;
        for number in 0..100_000_u32 {
            let one = Part::of(&calculation, Some(&number.to_string()), mark(0, 0, "web")).expect("usable");
            if number % 3 == 0 {
                other.merge(one, &calculation)
            } else {
                part.merge(one, &calculation)
            };
        }
        assert!(part.is_estimate());
        part.merge(other, &calculation);
        let Some(value) = part.value(&calculation, Timestamp(0)) else { panic!("a number") };
        let estimate: u64 = value.text().parse().expect("a number");
        assert!((97_000..103_000).contains(&estimate), "{estimate}");
    }

    #[test]
    fn days_in_a_row() {
        let mut days = vec![(5, 5), (1, 2), (3, 3), (9, 9), (2, 2)];
        join_days(&mut days);
        assert_eq!(days, [(1, 3), (5, 5), (9, 9)]);
    }
}
