//! Matches by comparison, for people: what each field says, and what was decided.

use std::fmt::Write as _;

use weft_domain::claim::{Bits, Outcome};
use weft_domain::explain::Matched;

use super::super::dlq::plain;

/// A match, field by field with weights.
pub(in crate::command) fn matched(one: &Matched) -> String {
    let [a, b] = one.pair;
    let so = match (one.joined, one.outcome) {
        (true, _) => "they look like one person",
        (false, Outcome::Merge) => "they look like one person, and are kept apart all the same",
        (false, Outcome::Review) => "they may be one person",
        (false, Outcome::Apart) => "nothing says that they are one person",
    };
    let mut text = format!("  {a} and {b}: {so}");
    if let Some(evidence) = &one.evidence {
        let _ = writeln!(text, " ({:.1} % likely)", 100.0 * probability(evidence.weight));
        let mut said = |weight: Bits, what: &str| writeln!(text, "  {:>+28.1}  {what}", weight.get());
        let _ = said(evidence.prior, "two customers are hardly ever one person");
        for field in &evidence.fields {
            let _ = said(field.weight, &format!("{:<16} {}", plain(&field.field), field.level));
        }
        if evidence.shared.get() < -0.05 {
            let _ = said(evidence.shared, "people of one household, or namesakes, look like this as well");
        }
        let model = match evidence.model {
            0 => "the model that Weft comes with".to_owned(),
            version => format!("the model of record {version} of history"),
        };
        let _ = said(evidence.weight, &format!("together: bits, each doubles the odds; compared {} by {model}", evidence.at));
    } else {
        text.push('\n');
    }
    if let Some(guard) = one.guard {
        let _ = writeln!(text, "{:30}KEPT APART by a guard ({})", "", guard.name());
    }
    if let Some(verdict) = &one.verdict {
        let _ = writeln!(text, "{:30}decided: {:?}, {}", "", verdict.decision, plain(&verdict.reason));
    }
    text
}

/// The probability that a weight stands for.
pub(super) fn probability(weight: Bits) -> f64 {
    weft_matching::model::probability(weight.get())
}
