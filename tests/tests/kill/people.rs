//! Who sends what: a seeded crowd, whose every event is a pure function of the seed, its sender, its batch and its place there.
//!
//! So a batch that was not acknowledged can be made again, byte for byte, and one sender can repeat what another one sent.
//! Nothing here knows of engines; what is sent is Segment's JSON.

use std::collections::BTreeSet;

use serde_json::{Value, json};

/// People in the crowd.
pub(crate) const PEOPLE: u64 = 200;
/// Devices of a person, each an anonymous id.
const DEVICES: u64 = 3;
/// Events of a batch, at most.
const BATCH_EVENTS_MAX: u64 = 40;
/// People in one batch of the last word: Segment's batch holds 500 KB.
const LAST_WORD_PEOPLE: u64 = 25;

/// Numbers that look random and come out the same for the same seed: SplitMix64 (Steele, Lea, Flood, "Fast splittable
/// pseudorandom number generators", 2014).
pub(crate) struct Dice(u64);

impl Dice {
    /// Dice of a seed and of what they are thrown for.
    pub(crate) fn of(seed: u64, purpose: &[u64]) -> Self {
        let mut dice = Dice(seed);
        for part in purpose {
            dice.0 = dice.next() ^ part;
        }
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below a bound.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True so many times in a hundred.
    pub(crate) fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

/// What one request carries.
pub(crate) struct Batch {
    /// Its body.
    pub(crate) body: String,
    /// The message ids of the events in it, each once.
    pub(crate) ids: BTreeSet<String>,
    /// How many calls in it become dead letters.
    pub(crate) refused: u64,
}

impl Batch {
    fn of(calls: &[Value], refused: u64) -> Self {
        let ids =
            calls.iter().filter_map(|call| call["messageId"].as_str()).filter(|id| !id.starts_with("refused")).map(str::to_owned);
        Batch { ids: ids.collect(), body: json!({ "batch": calls }).to_string(), refused }
    }
}

/// The crowd of a seed.
#[derive(Clone, Copy)]
pub(crate) struct People {
    /// The seed.
    pub(crate) seed: u64,
}

impl People {
    /// A sender's batch of a number. Now and then it repeats an event of itself, of an earlier batch, or of the next sender's
    /// batch of that number, which may come at the same moment; now and then it has a call without an identity.
    pub(crate) fn batch(self, sender: u64, number: u64, senders: u64) -> Batch {
        let mut dice = Dice::of(self.seed, &[1, sender, number]);
        let mut calls: Vec<Value> = (0..=dice.below(BATCH_EVENTS_MAX)).map(|place| self.event(sender, number, place)).collect();
        // The first event of a batch is always there.
        if dice.percent(20) {
            calls.push(self.event(sender, number, 0));
        }
        if dice.percent(20) {
            calls.push(self.event(sender, dice.below(number + 1), 0));
        }
        if dice.percent(20) {
            calls.push(self.event((sender + 1) % senders, number, 0));
        }
        let refused = u64::from(dice.percent(5));
        if refused > 0 {
            calls.push(json!({ "type": "track", "event": "Nobody's", "messageId": format!("refused-{sender}-{number}") }));
        }
        Batch::of(&calls, refused)
    }

    /// The last word of everybody, later than everything else: on each device of theirs, who they are. After it there is one
    /// customer for each person, and nobody's profile is older than its events.
    pub(crate) fn last_word(self) -> Vec<Batch> {
        let people: Vec<u64> = (0..PEOPLE).collect();
        let of_person = |person: &u64| (0..DEVICES).map(|device| self.identify(*person, device)).collect::<Vec<_>>();
        people
            .chunks(LAST_WORD_PEOPLE as usize)
            .map(|some| Batch::of(&some.iter().flat_map(of_person).collect::<Vec<_>>(), 0))
            .collect()
    }

    /// A person's user id.
    pub(crate) fn user_id(person: u64) -> String {
        format!("u{person}")
    }

    fn identify(self, person: u64, device: u64) -> Value {
        json!({
            "type": "identify", "messageId": format!("last-{person}-{device}"), "timestamp": "2025-01-31T00:00:00Z",
            "userId": Self::user_id(person), "anonymousId": format!("d{person}-{device}"),
            "traits": { "email": format!("person{person}@example.com"), "settled": self.seed.to_string() },
        })
    }

    fn event(self, sender: u64, number: u64, place: u64) -> Value {
        let mut dice = Dice::of(self.seed, &[2, sender, number, place]);
        let (person, device) = (dice.below(PEOPLE), dice.below(DEVICES));
        // A laptop that two people share: the guard on user ids must keep them apart in every order of arrival.
        let owner = if dice.percent(3) { (person + 1) % PEOPLE } else { person };
        let (day, second) = (1 + dice.below(30), dice.below(86_400));
        let mut call = json!({
            "messageId": format!("m-{sender}-{number}-{place}"),
            "timestamp": format!("2025-01-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60),
            "anonymousId": format!("d{owner}-{device}"),
        });
        match dice.below(10) {
            0..3 => {
                let email = [format!("person{person}@example.com"), format!(" Person{person}@Example.COM")];
                let city = ["Bonn", "Ulm", "Kiel"];
                let phone = [format!("+4930{:07}", 2_312_500 + person), format!("030 {:07}", 2_312_500 + person)];
                call["type"] = "identify".into();
                call["userId"] = Self::user_id(person).into();
                call["traits"] = json!({
                    "email": email[dice.below(2) as usize], "phone": phone[dice.below(2) as usize], "visits": dice.below(50),
                    "city": city[dice.below(3) as usize],
                });
            }
            3..6 => {
                call["type"] = "track".into();
                call["event"] = "Order Completed".into();
                call["userId"] = Self::user_id(person).into();
                call["properties"] =
                    json!({ "total": dice.below(10_000) as f64 / 100.0, "order_id": format!("o-{sender}-{number}-{place}") });
            }
            _ => {
                call["type"] = "page".into();
                call["name"] = "Home".into();
                call["properties"] = json!({ "text": "x".repeat(dice.below(400) as usize) });
            }
        }
        call
    }
}
