//! Who sends what: a few people with too many identifiers, seeded. Nothing here knows of engines.

use weft_domain::event::{Environment, Event};
use weft_domain::input::{Arrival, Named};
use weft_domain::value::Timestamp;

/// The source that everything comes from.
pub(crate) const SOURCE: &str = "web";
/// The people, and the devices that they share.
const PEOPLE: usize = 6;
const DEVICES: usize = 14;

/// Numbers that look random and come out the same for the same seed: SplitMix64 (Steele, Lea, Flood, "Fast splittable
/// pseudorandom number generators", 2014).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    pub(crate) fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// What a sender says.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    /// An event, which may be no good.
    Event(String),
    /// Bytes that the source plugin could not make an event of.
    Rubbish(String),
    /// How far the source has read.
    Place(String),
}

/// What the source's position is a position in.
pub(crate) const PLACE: &str = "a.csv";

/// A record of the intake log: its kind and its bytes.
pub(crate) type Arriving = (u8, Vec<u8>);

impl Said {
    /// Something new. `serial` makes it unlike everything that was said before.
    pub(crate) fn new(serial: u64, dice: &mut Dice) -> Self {
        let number = dice.below(100);
        match number {
            0..3 => return Said::Rubbish(format!("rubbish {serial}")),
            3..6 => return Said::Event(format!(r#"{{"drop":{serial}}}"#)),
            6..9 => return Said::Event(format!(r#"{{"deny":{serial}}}"#)),
            9..11 => return Said::Event(format!(r#"{{"twin":{serial}}}"#)),
            13..17 => return Said::Place(format!(r#"{{"offset":{serial}}}"#)),
            11..13 => return Said::Event(format!(r#"{{"type":"nothing like it","message_id":"m{serial}"}}"#)),
            _ => (),
        }
        let name = if number < 25 { String::new() } else { format!(r#""message_id":"m{serial}","#) };
        let claim = |(kind, value): &(&str, String)| format!(r#"{{"type":"{kind}","value":"{value}"}}"#);
        let known = identifiers();
        let (people, others) = known.split_at(PEOPLE);
        let mut claims = vec![claim(dice.one_of(others))];
        if dice.below(3) == 0 {
            claims.push(claim(dice.one_of(people)));
        }
        let claims = claims.join(",");
        Said::Event(if dice.below(3) == 0 {
            // Long now and then, so that a commit of state takes many pages.
            let (trait_name, more) = (dice.below(3), "more ".repeat(*dice.one_of(&[0, 1, 10, 400])));
            let traits = format!(r#"{{"mood{trait_name}":"{more}{serial}"}}"#);
            format!(r#"{{"type":"identify",{name}"claims":[{claims}],"traits":{traits}}}"#)
        } else {
            format!(r#"{{"type":"track","name":"Looked",{name}"claims":[{claims}],"properties":{{"serial":{serial}}}}}"#)
        })
    }

    /// Whether it is an event that is known by its message id when it is said again.
    pub(crate) fn has_name(&self) -> bool {
        matches!(self, Said::Event(json) if Event::parse(json.as_bytes()).is_ok_and(|event| event.message_id.is_some()))
    }

    /// What a door makes of it, and puts into intake with `take`.
    pub(crate) fn arrive(&self, now: Timestamp, take: impl FnOnce(&Arrival<'_>)) {
        match self {
            Said::Rubbish(text) => {
                take(&Arrival::Refused {
                    source: SOURCE,
                    code: "rubbish",
                    message: "no event",
                    coming: "",
                    bytes: text.as_bytes(),
                });
            }
            Said::Place(value) => take(&Arrival::Position { source: SOURCE, key: PLACE, value: value.as_bytes() }),
            Said::Event(json) => match Event::parse(json.as_bytes()) {
                Ok(mut event) => {
                    event.stamp(now, Environment::Production);
                    let named = if event.message_id.is_some() { Named::BySender } else { Named::ByPlace };
                    take(&Arrival::Event { source: SOURCE, named, json: &event.to_json() });
                }
                Err(_) => take(&Arrival::Event { source: SOURCE, named: Named::BySender, json: json.as_bytes() }),
            },
        }
    }
}

/// Every identifier that anybody has: user ids first.
pub(crate) fn identifiers() -> Vec<(&'static str, String)> {
    let people = (0..PEOPLE).map(|number| ("user_id", format!("u{number}")));
    let addresses = (0..PEOPLE).map(|number| ("email", format!("e{number}@example.com")));
    people.chain(addresses).chain((0..DEVICES).map(|number| ("anonymous_id", format!("a{number}")))).collect()
}
