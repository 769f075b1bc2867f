//! What is compared, how sure is sure enough, and when is learned: the configuration's words, ready to be used.

use serde_json::json;
use weft_domain::claim::fingerprint;
use weft_domain::profile::Node;
use weft_matching::model::weight;
use weft_matching::{Fields, Record, block};

use crate::config::MatchingSpec;

/// The rules of matching.
#[derive(Clone, Debug)]
pub struct Rules {
    /// The fields that are compared.
    pub(super) fields: Fields,
    /// For each of them, where it is taken from.
    origins: Vec<Vec<Origin>>,
    /// The weight from which two are one person.
    pub(super) merge: f64,
    /// The weight from which a person is asked.
    pub(super) review: f64,
    /// When is learned by itself, where it is.
    pub(super) schedule: Option<Schedule>,
    /// Says which index is of use: that of the same fields, origins and rules of keys.
    pub(super) indexed_by: u64,
    thresholds: [u64; 2],
}

/// When the engine learns by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    /// From how many customers on.
    pub(super) after: u64,
    /// How often after that, in milliseconds.
    pub(super) every_ms: i64,
}

/// Where the text of a field is taken from: a type of identifier, a trait, or a place in a trait.
#[derive(Clone, Debug)]
struct Origin {
    name: String,
    /// Where a dot divides the name: the trait, and the fields within it.
    within: Option<(String, Vec<String>)>,
}

impl Rules {
    /// The rules of a configuration that was checked; none where its fields do not hold together all the same.
    #[must_use]
    pub fn of(spec: &MatchingSpec) -> Option<Rules> {
        let fields = spec.fields().ok()?;
        let (thresholds, origins) = (spec.thresholds(), spec.origins());
        let indexed_by = json!([fields.fields(), origins, block::RULES_VERSION]).to_string();
        let schedule = spec.train.schedule().map(|schedule| Schedule {
            after: schedule.after,
            every_ms: i64::try_from(schedule.every.as_ms()).unwrap_or(i64::MAX),
        });
        Some(Rules {
            fields,
            origins: origins.into_iter().map(|names| names.into_iter().map(Origin::of).collect()).collect(),
            merge: weight(thresholds.merge_at),
            review: weight(thresholds.review_at.min(thresholds.merge_at)),
            schedule,
            indexed_by: fingerprint(&indexed_by),
            thresholds: [thresholds.merge_at.to_bits(), thresholds.review_at.to_bits()],
        })
    }

    /// Says by what customers were weighed: a model of this version, these fields and these thresholds.
    pub(super) fn weighed_by(&self, model: u64) -> u64 {
        fingerprint(&json!([self.indexed_by, self.thresholds, model]).to_string())
    }

    /// What a claim says of the fields.
    pub(super) fn record(&self, node: &Node) -> Record {
        let mut values: Vec<(usize, String)> = Vec::new();
        for (place, origins) in self.origins.iter().enumerate() {
            match &origins[..] {
                [one] => values.extend(one.texts(node).into_iter().map(|text| (place, text))),
                several => {
                    let first = |origin: &Origin| origin.texts(node).into_iter().next();
                    let parts: Vec<String> = several.iter().filter_map(first).collect();
                    values.push((place, parts.join(" ")));
                }
            }
        }
        Record::read(
            &self.fields,
            values.iter().map(|(place, text)| (*place, &**text)).filter(|(_, text)| !text.trim().is_empty()),
        )
    }
}

impl Origin {
    fn of(name: String) -> Origin {
        let within = name.split_once('.').map(|(first, rest)| (first.to_owned(), rest.split('.').map(str::to_owned).collect()));
        Origin { name, within }
    }

    /// What a claim has there: the values of an identifier's type, or of a trait.
    fn texts(&self, node: &Node) -> Vec<String> {
        let named = node.identifiers.iter().filter(|one| one.kind == self.name);
        let mut texts: Vec<String> = named.map(|one| one.value.clone()).collect();
        if let Some(fact) = node.traits.get(&self.name) {
            push(&mut texts, serde_json::from_str(fact.value.text()).ok().as_ref());
        } else if let Some((name, path)) = &self.within
            && let Some(fact) = node.traits.get(name)
        {
            let value: Option<serde_json::Value> = serde_json::from_str(fact.value.text()).ok();
            let found = path.iter().try_fold(value.as_ref(), |value, field| Some(value?.get(field)));
            push(&mut texts, found.flatten());
        }
        texts
    }
}

/// The texts of a value: of a list those of its elements.
fn push(texts: &mut Vec<String>, value: Option<&serde_json::Value>) {
    use serde_json::Value as V;
    match value {
        Some(V::String(text)) => texts.push(text.clone()),
        Some(V::Number(number)) => texts.push(number.to_string()),
        Some(V::Array(list)) => list.iter().filter(|one| !one.is_array()).for_each(|one| push(texts, Some(one))),
        _ => (),
    }
}

#[cfg(test)]
mod tests {
    use weft_domain::event::{Event, Identifier};
    use weft_domain::profile::Told;

    use super::*;

    #[test]
    fn fields_are_taken_from_identifiers_traits_and_places_in_them() {
        let yaml = "compare: { name: person_name, email: email, street: { kind: address, from: [address.number, address.street] }, \
                    phone: { kind: phone, from: mobile }, card: code }";
        let spec = crate::config::alone::document_of(std::path::Path::new("fields.yaml"), yaml).expect("is right");
        let rules = Rules::of(&spec).expect("are right");
        let event = r#"{"type":"identify","traits":{"name":"John Doe","address":{"street":"Harbour Road","number":12},"mobile":["0170 5551234","0171 5551234"],"card":4711}}"#;
        let event = Event::parse(event.as_bytes()).expect("is right");
        let mut node = Node { identifiers: vec![Identifier::observed("email", "j@doe.example")], ..Node::default() };
        node.learn(&Told { event: &event, source: "web", position: 0, tie: 0 });
        let read = |texts: &[(usize, &str)]| Record::read(&rules.fields, texts.iter().copied());
        // Fields are in the order of their names.
        let want = read(&[
            (0, "4711"),
            (1, "j@doe.example"),
            (2, "John Doe"),
            (3, "0170 5551234"),
            (3, "0171 5551234"),
            (4, "12 Harbour Road"),
        ]);
        assert_eq!(rules.record(&node), want);
        assert_ne!(rules.weighed_by(0), rules.weighed_by(1));
    }
}
