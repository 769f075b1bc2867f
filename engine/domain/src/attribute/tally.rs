//! What the events of one claim come to for one attribute in one stretch of time.
//!
//! Of a rolling window a tally holds a cell for each millisecond in which something occurred, so that it expires to the millisecond. One that
//! outgrows its row tells instants apart more coarsely: by the second, the minute, the hour, at last not at all. How coarse it is follows from what
//! was put in and not from the order, since a weight never falls and each grain is a multiple of the one before.

use serde::{Deserialize, Serialize};

use super::part::{Effect, Mark, Part};
use super::{Calculation, Meaning, Window};
use crate::limits;
use crate::value::Timestamp;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How coarsely it tells instants apart: a place in [`GRAINS_MS`], or past its end for not at all.
    grain: u8,
    /// The latest event in it, where no part says which event decides.
    latest: Option<Mark>,
    /// What was put in, by the beginning of the cell.
    cells: Vec<(i64, Part)>,
}

const GRAINS_MS: [i64; 4] = [1, 1_000, 60_000, 3_600_000];

impl Tally {
    /// A tally with nothing in it.
    #[must_use]
    pub fn new(meaning: &Meaning) -> Self {
        let grain = if matches!(meaning.window, Window::Within(_)) { 0 } else { GRAINS_MS.len() as u8 };
        Tally { grain, ..Tally::default() }
    }

    /// Puts what an event contributes in.
    pub fn take(&mut self, meaning: &Meaning, part: Part, mark: &Mark) -> Effect {
        if part.mark().is_none() && self.latest.as_ref().is_none_or(|latest| latest.order() < mark.order()) {
            self.latest = Some(mark.clone());
        }
        let effect = self.put(self.cell(meaning.window, mark.occurred.0), part, &meaning.calculation);
        self.fit(meaning);
        effect
    }

    /// Takes another tally of the same stretch in.
    pub fn merge(&mut self, meaning: &Meaning, other: Tally) {
        self.coarsen_to(other.grain, meaning);
        for (begin, part) in other.cells {
            self.put(self.cell(meaning.window, begin), part, &meaning.calculation);
        }
        if let Some(mark) = other.latest
            && self.latest.as_ref().is_none_or(|latest| latest.order() < mark.order())
        {
            self.latest = Some(mark);
        }
        self.fit(meaning);
    }

    /// What of it counts at `now`, and the latest event in it.
    pub fn counting(&self, window: Window, now: Timestamp) -> impl Iterator<Item = (&Part, Option<&Mark>)> {
        let cells = self
            .cells
            .iter()
            .filter(move |(begin, _)| !matches!(window, Window::Within(_)) || window.holds(Timestamp(*begin), now));
        cells.map(|(_, part)| (part, part.mark().or(self.latest.as_ref())))
    }

    /// When what it comes to changes by itself the next time after `now`: something leaves the window, or days in a row end.
    #[must_use]
    pub fn next_change(&self, meaning: &Meaning, now: Timestamp) -> Option<Timestamp> {
        let leaves = |begin: i64| match meaning.window {
            Window::Within(ms) => Some(Timestamp(begin).plus_ms(ms)),
            Window::Ever | Window::Since(_) => None,
        };
        let changes = self.cells.iter().filter_map(|(begin, part)| leaves(*begin).or_else(|| part.ends(&meaning.calculation)));
        changes.filter(|at| *at > now).min()
    }

    /// Whether it tells instants apart more coarsely than by the millisecond, in a window that expires.
    #[must_use]
    pub fn is_coarse(&self, window: Window) -> bool {
        matches!(window, Window::Within(_)) && self.grain > 0
    }

    /// Whether there are more different values in it than can be told apart.
    #[must_use]
    pub fn is_too_many(&self) -> bool {
        self.cells.iter().any(|(_, part)| part.is_too_many())
    }

    /// Where the cell of an instant begins: not before its stretch does.
    fn cell(&self, window: Window, at: i64) -> i64 {
        let stretch = window.begin(window.stretch(Timestamp(at)));
        GRAINS_MS.get(usize::from(self.grain)).map_or(stretch, |grain| (at.div_euclid(*grain) * grain).max(stretch))
    }

    fn put(&mut self, cell: i64, part: Part, calculation: &Calculation) -> Effect {
        match self.cells.binary_search_by_key(&cell, |(begin, _)| *begin) {
            Ok(place) => self.cells[place].1.merge(part, calculation),
            Err(place) => {
                self.cells.insert(place, (cell, part));
                Effect::Changed
            }
        }
    }

    /// Becomes as coarse as it must to fit a row.
    fn fit(&mut self, meaning: &Meaning) {
        while self.cells.iter().map(|(_, part)| part.weight()).sum::<usize>() > limits::TALLY_WEIGHT_MAX {
            if self.cells.len() > 1 {
                self.coarsen_to(self.grain + 1, meaning);
            } else {
                // Only different values with their counts grow without end in one cell.
                self.cells.iter_mut().for_each(|(_, part)| *part = Part::TooMany);
            }
        }
    }

    fn coarsen_to(&mut self, grain: u8, meaning: &Meaning) {
        if grain <= self.grain {
            return;
        }
        self.grain = grain;
        for (begin, part) in std::mem::take(&mut self.cells) {
            self.put(self.cell(meaning.window, begin), part, &meaning.calculation);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::Of;

    fn meaning(calculation: Calculation, window: Window) -> Meaning {
        Meaning { calculation, of: Of::Nothing, events: Vec::new(), kind: None, condition: None, window }
    }

    fn mark(at: i64, tie: u64) -> Mark {
        Mark { occurred: Timestamp(at), tie, ordinal: 0, position: tie, source: "web".into() }
    }

    fn count(tally: &Tally, meaning: &Meaning, now: i64) -> u64 {
        let counts = tally.counting(meaning.window, Timestamp(now)).map(|(part, _)| match part {
            Part::Count(count) => *count,
            _ => 0,
        });
        counts.sum()
    }

    #[test]
    fn a_full_tally_counts_all_and_tells_instants_apart_more_coarsely() {
        const HOUR: i64 = 3_600_000;
        let meaning = meaning(Calculation::Count, Window::Within(80 * HOUR));
        let events: Vec<i64> = (0..10_000).map(|number| 10 * HOUR + number * 3_001).collect();
        let tally = |order: &mut dyn Iterator<Item = &i64>| {
            let mut tally = Tally::new(&meaning);
            for at in order {
                tally.take(&meaning, Part::Count(1), &mark(*at, *at as u64));
            }
            tally
        };
        let (one, other) = (tally(&mut events.iter()), tally(&mut events.iter().rev()));
        assert_eq!(one, other, "the order of arrival does not matter");
        assert!(one.is_coarse(meaning.window));
        let bytes = serde_json::to_vec(&one).expect("serialises").len();
        assert!(bytes < limits::TALLY_WEIGHT_MAX, "{bytes}");
        assert_eq!(count(&one, &meaning, 20 * HOUR), 10_000);
        // To the minute: half of them left at most a minute ago.
        let now = events[5_000] + 80 * HOUR;
        assert!((4_979..=5_000).contains(&count(&one, &meaning, now)), "{}", count(&one, &meaning, now));
        let halves = [tally(&mut events.iter().take(4_000)), tally(&mut events.iter().skip(4_000))];
        let [mut half, rest] = halves;
        half.merge(&meaning, rest);
        assert_eq!(half, one);
    }

    #[test]
    fn more_different_values_than_a_row_holds_are_said_to_be_too_many() {
        let meaning = meaning(Calculation::MostFrequent, Window::Ever);
        let mut tally = Tally::new(&meaning);
        for number in 0..3_000 {
            let value = format!("\"value number {number}\"");
            let part = Part::of(&meaning.calculation, Some(&value), mark(0, number)).expect("usable");
            tally.take(&meaning, part, &mark(0, number));
        }
        assert_eq!(tally.cells, [(0, Part::TooMany)]);
    }

    #[test]
    fn it_is_known_when_something_leaves_the_window() {
        let meaning = meaning(Calculation::Count, Window::Within(8_000));
        let mut tally = Tally::new(&meaning);
        for at in [10, 500, 500] {
            tally.take(&meaning, Part::Count(1), &mark(at, 0));
        }
        assert_eq!(tally.next_change(&meaning, Timestamp(600)), Some(Timestamp(8_010)));
        assert_eq!(tally.next_change(&meaning, Timestamp(8_010)), Some(Timestamp(8_500)));
        assert_eq!(tally.next_change(&meaning, Timestamp(8_500)), None);
        assert_eq!([8_009, 8_010, 8_499, 8_500].map(|now| count(&tally, &meaning, now)), [3, 2, 2, 0]);
    }
}
