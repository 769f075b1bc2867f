//! Identity by what people say of themselves: `identify` calls with names, addresses and numbers.
//!
//! Everybody is known by a user id; of each tenth there is a row of a mailing list besides, with a shorter name, another address, and the same number. The same
//! events go to an engine that compares nobody and to one that does: *folded* is the rate until all are in state, *compared* until nobody waits
//! to be compared any more. Then pages are asked, one request after the other over one connection.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::path::{Engine, SENDERS};
use crate::wire::Wire;

/// Events in a request.
const BATCH: usize = 100;
/// Requests of each kind whose time is taken.
const REQUESTS: usize = 1_000;
/// One person of so many is on the mailing list as well.
const LISTED: usize = 10;

/// No telephone among them: the row of the list is found by what it says, or not at all.
const IDENTITY: &str = "identity:\n  identifiers:\n    user_id: { limit: 1, login: true }\n    email: { limit: 5 }\n    anonymous_id: { limit: 100 }\n";
const MATCHING: &str =
    "  matching:\n    compare: { name: person_name, email: email, phone: phone, birthday: date, city: text, street: address }\n";

pub(crate) fn all(people: usize) {
    println!(
        "| matching | events | folded/s | compared/s | CPU µs/event, folded | CPU µs/event, all | customers | memory MB |\n|---|---|---|---|---|---|---|---|"
    );
    // So that all senders send as many, in whole requests.
    let people = people.next_multiple_of(SENDERS * BATCH * LISTED);
    drop(run("off", IDENTITY, people));
    let engine = run("on", &[IDENTITY, MATCHING].concat(), people);
    println!("\n| one request | p50 ms | p99 ms |\n|---|---|---|");
    pages(&engine, people);
}

/// Sends everybody, and waits until all is done.
fn run(what: &str, more: &str, people: usize) -> Engine {
    let engine = Engine::start(64, more);
    let events = people + people / LISTED;
    let share = events / SENDERS;
    let (started, cpu) = (Instant::now(), engine.cpu());
    let spawn = |sender: usize| {
        let port = engine.port;
        std::thread::spawn(move || send(port, sender * share..(sender + 1) * share, people))
    };
    let senders: Vec<_> = (0..SENDERS).map(spawn).collect();
    senders.into_iter().for_each(|sender| sender.join().expect("a sender ends"));
    let sent = (share * SENDERS) as u64;
    let folded = wait(&engine, |status| status["totals"]["events"].as_u64() == Some(sent));
    let (folded_in, folded_cpu) = (folded - started, engine.cpu() - cpu);
    // A profile is compared once it has rested, and that takes a tick.
    let compared = more.contains(MATCHING).then(|| wait(&engine, is_compared) - started);
    let rate = |took: Duration| format!("{:.0}", sent as f64 / took.as_secs_f64());
    let per_event = |cpu: Duration| cpu.as_secs_f64() * 1e6 / sent as f64;
    println!(
        "| {what} | {sent} | {} | {} | {:.1} | {:.1} | {} | {} |",
        rate(folded_in),
        compared.map_or_else(String::new, rate),
        per_event(folded_cpu),
        per_event(engine.cpu() - cpu),
        engine.status()["totals"]["customers"],
        engine.memory_mb()
    );
    engine
}

/// Whether nobody waits: all customers are found by what they say, and none has changed since.
fn is_compared(status: &Value) -> bool {
    let matching = &status["matching"];
    let found = matching["customers"].as_u64() == status["totals"]["customers"].as_u64();
    found && matching["waiting"] == 0 && matching["building"].is_null()
}

fn wait(engine: &Engine, is_so: impl Fn(&Value) -> bool) -> Instant {
    while !is_so(&engine.status()) {
        std::thread::sleep(Duration::from_millis(20));
    }
    Instant::now()
}

fn send(port: u16, numbers: std::ops::Range<usize>, people: usize) {
    let mut wire = Wire::open(port).expect("the engine listens");
    for first in numbers.step_by(BATCH) {
        let calls: Vec<String> = (first..first + BATCH).map(|number| identify(number, people)).collect();
        let body = format!(r#"{{"batch":[{}],"sentAt":"2026-11-24T12:00:00.000Z","writeKey":"key"}}"#, calls.join(","));
        let (status, answer) = wire.send_batch(&body);
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
    }
}

/// The call of a number: people first, then the rows of the list.
fn identify(number: usize, people: usize) -> String {
    let is_listed = number >= people;
    let person = Person::of(if is_listed { (number - people) * LISTED } else { number });
    let Person { number: of, given, family, .. } = &person;
    let call = if is_listed {
        let name = format!("{}. {family}", &given[..1]);
        json!({ "anonymousId": format!("list-{of}"), "traits": { "name": name, "phone": person.phone(), "city": person.city(), "email": format!("{family}.{of}@list.example") } })
    } else {
        json!({ "userId": format!("user-{of}"), "traits": {
            "name": format!("{given} {family}"), "phone": person.phone(), "city": person.city(), "email": format!("{given}.{family}{of}@mail.example"),
            "birthday": person.birthday(), "street": format!("{family}weg {}", 1 + of % 97)
        } })
    };
    let mut call = call;
    call["type"] = "identify".into();
    call["messageId"] = format!("m-{number}").into();
    call["timestamp"] = "2026-11-24T11:59:59.123Z".into();
    call.to_string()
}

/// Somebody, the same for the same number. Names are as frequent as their place in the list says, as among people.
struct Person {
    number: usize,
    given: String,
    family: String,
    dice: u64,
}

impl Person {
    fn of(number: usize) -> Person {
        let dice = mix(number as u64);
        let (given, family) = (name(rare(dice, 300), "aeiou"), name(300 + rare(mix(dice), 6_000), "oeaui"));
        Person { number, given, family, dice }
    }

    fn phone(&self) -> String {
        format!("+49 17{:09}", mix(self.dice ^ 1) % 1_000_000_000)
    }

    fn birthday(&self) -> String {
        let dice = mix(self.dice ^ 2);
        format!("{}-{:02}-{:02}", 1940 + dice % 66, 1 + (dice >> 8) % 12, 1 + (dice >> 16) % 28)
    }

    fn city(&self) -> String {
        name(rare(mix(self.dice ^ 3), 2_000) + 10_000, "uoaei")
    }
}

/// One of so many: the first about as often as all from the tenth to the thirtieth.
fn rare(dice: u64, many: usize) -> usize {
    let share = (dice >> 11) as f64 / (1u64 << 53) as f64;
    ((many as f64).powf(share) - 1.0) as usize
}

/// A word for a number.
fn name(number: usize, vowels: &str) -> String {
    let (consonants, vowels) = (b"bdfgklmnprstvz", vowels.as_bytes());
    let mut left = number + 30;
    let mut word = String::new();
    while left > 0 {
        word.push(char::from(consonants[left % consonants.len()]));
        word.push(char::from(vowels[left / consonants.len() % vowels.len()]));
        left /= consonants.len() * vowels.len();
    }
    word[..1].to_uppercase() + &word[1..]
}

/// A number without any order (SplitMix64).
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// Asks for people and pairs all over.
fn pages(engine: &Engine, people: usize) {
    let listed = |number: usize| (number * 7_919 % (people / LISTED)) * LISTED;
    let mut wire = Wire::open(engine.port).expect("the engine listens");
    time("read a profile", |number| wire.get(&format!("/api/v1/profiles/user_id/user-{}", number * 7_919 % people)));
    let mut wire = Wire::open(engine.port).expect("the engine listens");
    time("explain two who are matched", |number| {
        wire.get(&format!("/api/v1/explain?a=user_id:user-{0}&b=anonymous_id:list-{0}", listed(number)))
    });
    let mut wire = Wire::open(engine.port).expect("the engine listens");
    time("what would come of a split", |number| {
        let one = format!("anonymous_id:list-{}", listed(number));
        wire.post("/api/v1/identity/split", &json!({ "identifiers": [one], "dry_run": true }).to_string())
    });
    let mut wire = Wire::open(engine.port).expect("the engine listens");
    let before = engine.status()["totals"]["customers"].as_u64();
    time("split, durable and folded", |number| {
        let one = format!("anonymous_id:list-{}", listed(number));
        wire.post("/api/v1/identity/split", &json!({ "identifiers": [one], "reason": "a bench" }).to_string())
    });
    assert_ne!(engine.status()["totals"]["customers"].as_u64(), before, "they are split");
}

/// Prints how long a request takes. Somebody who was not matched cannot be split: of what is asked, nine in ten must be answered.
fn time(what: &str, mut ask: impl FnMut(usize) -> (u16, Vec<u8>)) {
    let (mut took, mut answered) = (Vec::with_capacity(REQUESTS), 0);
    for number in 0..REQUESTS {
        let asked = Instant::now();
        let (status, body) = ask(number);
        took.push(asked.elapsed());
        assert!(matches!(status, 200 | 404 | 409), "{status}: {}", String::from_utf8_lossy(&body));
        answered += usize::from(status == 200);
    }
    assert!(answered * 10 >= REQUESTS * 9, "{what}: {answered} of {REQUESTS} were answered");
    took.sort();
    let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    println!("| {what} | {:.2} | {:.2} |", at(0.5), at(0.99));
}
