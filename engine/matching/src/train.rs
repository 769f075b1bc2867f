//! Learning a model from records without labels.
//!
//! How often strangers agree is counted over random pairs. How often one person's records agree, and those of one household, is learned by
//! expectation and maximisation (Dempster, Laird, Rubin 1977) over the candidates. A pair that is no candidate shares no key, and counts as strangers;
//! so the shares of the classes are shares of *all* pairs, and no blocking rule biases what is learned of the field that it looks at.

use crate::compare::{MISSING, Pattern, compare};
use crate::field::{Component, Fields, Ladder};
use crate::limits;
use crate::model::{Agreement, Class, Learned, Model, log2_sum};
use crate::pairs::Candidates;
use crate::record::Record;
use crate::text::mix;
use crate::work::in_pieces;

/// How much a guess at the beginning counts, in pairs: enough that an empty level does not become impossible.
const GUESS_PAIRS: f64 = 8.0;

/// The share that every level has at least: however clean a file is, people marry, mistype and use another name.
const SHARE_MIN: f64 = 0.001;

/// The largest share that a class has of all pairs: of the three together, something is left for strangers.
const SHARE_OF_ALL_MAX: f64 = 0.3;

/// How many pairs of each class there are for each record, as a guess at the beginning.
const GUESS_SHARES: [f64; 3] = [0.3, 0.5, 0.1];

/// Learns a model; the records are weighed by it afterwards.
pub(crate) fn train(fields: &Fields, records: &mut [Record], candidates: &Candidates) -> Model {
    let mut model = Model {
        fields: fields.clone(),
        records_total: records.len() as u64,
        shares: [0.0; 4],
        components: fields.components().iter().enumerate().map(|(place, one)| begin(place as u8, one, records)).collect(),
    };
    model.weigh_all(records);
    count_strangers(&mut model, records);
    let (sample, weight) = draw(&model, records, candidates);
    learn(&mut model, &sample, weight);
    model
}

/// What is known of a component before pairs are looked at: its frequencies, and guesses.
fn begin(component: u8, Component { ladder, .. }: &Component, records: &[Record]) -> Learned {
    let mut learned = Learned { levels: Class::ALL.map(|class| guess(class, *ladder)), ..Learned::default() };
    if ladder.weighs_frequency() {
        (learned.frequent, learned.rare, learned.share_max) = frequencies(component, *ladder, records);
    }
    learned
}

/// How levels are spread in a class, as a guess: from the most alike to the least, each a quarter as frequent as the one before it, and
/// what is left different.
fn guess(class: Class, ladder: Ladder) -> Vec<f64> {
    let count = ladder.levels().len();
    if count == 0 {
        return Vec::new();
    }
    let agree = match (class, ladder) {
        (_, Ladder::Generation) => return if class == Class::Match { vec![0.995, 0.005] } else { vec![0.5, 0.5] },
        (Class::Namesake, Ladder::Given | Ladder::Family) => 0.75,
        (Class::Namesake, _) | (Class::Household, Ladder::Code) => 0.1,
        _ => 0.75,
    };
    let mut levels: Vec<f64> = (0..count).map(|level| agree * 0.25f64.powi(level as i32)).collect();
    levels[count - 1] = 1.0 - levels[..count - 1].iter().sum::<f64>();
    levels
}

/// The frequent values of a component, sorted by hash, and the share of the others; and from which share on a value says nothing.
fn frequencies(component: u8, ladder: Ladder, records: &[Record]) -> (Vec<(u64, f32)>, f32, f32) {
    let mut hashes: Vec<u64> = records.iter().flat_map(|record| record.of(component)).map(|value| value.hash).collect();
    let total = hashes.len().max(1) as f32;
    hashes.sort_unstable();
    let mut counts: Vec<(u64, u32)> =
        hashes.chunk_by(|one, other| one == other).map(|same| (same[0], same.len() as u32)).collect();
    counts.sort_unstable_by_key(|(hash, count)| (std::cmp::Reverse(*count), *hash));
    let is_frequent =
        |(place, (_, count)): &(usize, &(u64, u32))| *place < limits::FREQUENCIES_MAX && *count >= limits::FREQUENCY_COUNT_MIN;
    let split = counts.iter().enumerate().take_while(is_frequent).count();
    // Of the rest, a value drawn from a record has on average this count.
    let (sum, squares) = counts[split..].iter().fold((0.0, 0.0), |(sum, squares), (_, count)| {
        let count = f64::from(*count);
        (sum + count, squares + count * count)
    });
    let rare = if sum > 0.0 { (squares / sum) as f32 / total } else { 1.0 / total };
    let mut frequent: Vec<(u64, f32)> = counts[..split].iter().map(|(hash, count)| (*hash, *count as f32 / total)).collect();
    frequent.sort_unstable_by_key(|(hash, _)| *hash);
    let most = if ladder.is_assigned() { limits::ASSIGNED_RECORDS_MAX as f32 / total } else { 1.0 };
    (frequent, rare, most)
}

/// Counts how strangers agree, over random pairs.
fn count_strangers(model: &mut Model, records: &[Record]) {
    let count = records.len() as u64;
    let ladders: Vec<Ladder> = model.fields.components().iter().map(|one| one.ladder).collect();
    let levels = |ladder: &Ladder| vec![0u64; ladder.levels().len()];
    let fields = &model.fields;
    let pairs = (count * count.saturating_sub(1) / 2).min(limits::RANDOM_PAIRS_MAX as u64);
    let counted = in_pieces(pairs as usize, |from, to| {
        let mut seen: Vec<Vec<u64>> = ladders.iter().map(levels).collect();
        for nth in from as u64..to as u64 {
            let (a, b) = (mix(2 * nth + 1) % count, mix(2 * nth + 2) % count);
            if a == b {
                continue;
            }
            let pattern = compare(fields, &records[a as usize], &records[b as usize]);
            for (seen, level) in seen.iter_mut().zip(pattern.levels) {
                if level != MISSING {
                    seen[usize::from(level)] += 1;
                }
            }
        }
        seen
    });
    for (place, (learned, ladder)) in model.components.iter_mut().zip(&ladders).enumerate() {
        if *ladder == Ladder::Generation {
            continue;
        }
        let mut seen = vec![0.5; ladder.levels().len()];
        for piece in &counted {
            seen.iter_mut().zip(&piece[place]).for_each(|(sum, count)| *sum += *count as f64);
        }
        let total: f64 = seen.iter().sum();
        learned.levels[3] = seen.iter().map(|count| count / total).collect();
    }
}

/// Draws candidates, and says for how many each stands.
fn draw(model: &Model, records: &[Record], candidates: &Candidates) -> (Vec<Pattern>, f64) {
    let every = candidates.pairs_at_most() / limits::TRAINING_PAIRS as u64 + 1;
    let sample = candidates.map(|a, b| {
        let drawn = every == 1 || mix(u64::from(a) << 32 | u64::from(b)).is_multiple_of(every);
        drawn.then(|| compare(&model.fields, &records[a as usize], &records[b as usize]))
    });
    (sample, every as f64)
}

/// Expectation and maximisation, until the shares of the classes rest.
fn learn(model: &mut Model, sample: &[Pattern], weight: f64) {
    let records = model.records_total as f64;
    let pairs = (records * (records - 1.0) / 2.0).max(1.0);
    set_shares(model, GUESS_SHARES.map(|share| share * records), pairs);
    let guesses = model.components.clone();
    let ladders: Vec<Ladder> = model.fields.components().iter().map(|one| one.ladder).collect();
    for _ in 0..limits::ROUNDS_MAX {
        let shared = &*model;
        let sums = in_pieces(sample.len(), |from, to| expect(shared, &sample[from..to]));
        let mut all = Sums::of(&ladders);
        sums.iter().for_each(|one| all.add(one));
        let before = model.shares;
        set_shares(model, [0, 1, 2].map(|class| all.classes[class] * weight), pairs);
        for (place, (learned, ladder)) in model.components.iter_mut().zip(&ladders).enumerate() {
            for (class, levels) in learned.levels.iter_mut().enumerate().take(3) {
                if *ladder != Ladder::Generation && Class::ALL[class].agreement(*ladder) == Agreement::Learned {
                    *levels = share(&all.levels[place][class], &guesses[place].levels[class], weight);
                }
            }
        }
        if model.shares.iter().zip(before).all(|(after, before)| (after / before).ln().abs() < 1e-4) {
            break;
        }
    }
}

/// Sets the shares of the classes by how many pairs there are of each, none being impossible.
fn set_shares(model: &mut Model, counts: [f64; 3], pairs: f64) {
    // Half a pair, but where there is hardly a pair at all.
    let least = (0.5 / pairs).min(SHARE_OF_ALL_MAX);
    let [one, home, namesakes] = counts.map(|count| (count / pairs).clamp(least, SHARE_OF_ALL_MAX));
    model.shares = [one, home, namesakes, 1.0 - one - home - namesakes];
}

/// The shares of levels by their counts, beside a guess that counts for a few pairs.
fn share(counts: &[f64], guess: &[f64], weight: f64) -> Vec<f64> {
    let total: f64 = counts.iter().sum::<f64>() * weight + GUESS_PAIRS;
    let shares = counts.iter().zip(guess).map(|(count, guess)| (count * weight + guess * GUESS_PAIRS) / total);
    shares.map(|share| share.max(SHARE_MIN)).collect()
}

/// How many pairs of a sample are expected in each class but strangers, and at each level of it.
struct Sums {
    classes: [f64; 3],
    /// By component, class, level.
    levels: Vec<[Vec<f64>; 3]>,
}

impl Sums {
    fn of(ladders: &[Ladder]) -> Sums {
        let levels = ladders.iter().map(|one| [(); 3].map(|()| vec![0.0; one.levels().len()])).collect();
        Sums { classes: [0.0; 3], levels }
    }

    fn add(&mut self, other: &Sums) {
        self.classes.iter_mut().zip(other.classes).for_each(|(sum, one)| *sum += one);
        for (mine, theirs) in self.levels.iter_mut().flatten().zip(other.levels.iter().flatten()) {
            mine.iter_mut().zip(theirs).for_each(|(sum, one)| *sum += one);
        }
    }
}

fn expect(model: &Model, sample: &[Pattern]) -> Sums {
    let ladders: Vec<Ladder> = model.fields.components().iter().map(|one| one.ladder).collect();
    let mut sums = Sums::of(&ladders);
    for pattern in sample {
        let classes = model.likelihoods(pattern);
        let all = log2_sum(classes);
        let expected: [f64; 3] = std::array::from_fn(|class| (classes[class] - all).exp2());
        sums.classes.iter_mut().zip(expected).for_each(|(sum, one)| *sum += one);
        for (levels, level) in sums.levels.iter_mut().zip(pattern.levels) {
            if level != MISSING {
                levels.iter_mut().zip(expected).for_each(|(levels, one)| levels[usize::from(level)] += one);
            }
        }
    }
    sums
}
