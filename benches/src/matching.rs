//! Matching in the stream: an engine without plugins in this process, people of a made-up town, and the same with matching off.
//!
//! *Folded* is the rate until state has all events, *compared* until every customer has been compared. Then some customers change, one
//! event each, and what comparing one took is the engine's own measure (`weft_matching_customer_seconds`): reading it and those who are like it from
//! state, the index, the weights; not the commit of the index, which is shared by a batch.

use std::path::Path;
use std::time::{Duration, Instant};

use weft::clock::Clock;
use weft::config::alone::document_of;
use weft::engine::{Engine, Settings, Stages, Terms};
use weft::intake::Arrived;
use weft::matcher::Rules;
use weft::vault::DataFolder;
use weft_domain::event::{Environment, Event, Identifier};
use weft_domain::input::{Arrival, Named};
use weft_domain::plan::Plan;

use crate::machine::{disk_bytes, memory_mb};

const FIELDS: &str = "compare:\n  name: person_name\n  born: date\n  email: email\n  phone: phone\n  street: address\n  city: text\ntrain: by_hand\n";

/// Customers who change at the end.
const CHANGED: usize = 2_000;

/// Events in one request's worth of intake.
const BATCH: usize = 500;

pub(crate) fn all(customers: usize) {
    println!(
        "| customers | matching | folded/s | compared/s | are one | µs a changed customer | index MB | memory MB |\n|---|---|---|---|---|---|---|---|"
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    for matching in [Matching::Off, Matching::On] {
        runtime.block_on(measure(customers, matching));
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Matching {
    Off,
    On,
}

async fn measure(customers: usize, matching: Matching) {
    let folder = tempfile::tempdir().expect("a folder for the data");
    let is_on = matching == Matching::On;
    let rules = document_of(Path::new("fields.yaml"), FIELDS).ok().and_then(|spec| Rules::of(&spec));
    let terms =
        Terms { plan: Plan { matching: is_on, ..Plan::default() }, matching: rules.filter(|_| is_on), ..Terms::default() };
    let settings = Settings { data: DataFolder::at(folder.path()), listen: None, terms, clock: Clock::Wall };
    let engine = Engine::start(settings, async |_| Ok(Stages::default()), |_| ()).await.expect("the engine starts");
    let began = Instant::now();
    tell(&engine, 0..customers, 0).await;
    let folded = began.elapsed();
    engine.settle().await;
    let compared = began.elapsed();
    let before = spent(&engine);
    let changed: Vec<usize> = (0..CHANGED).map(|nth| mix(nth as u64) as usize % customers).collect();
    tell(&engine, changed.into_iter(), 1).await;
    engine.settle().await;
    let (seconds, count) = spent(&engine);
    let each = (seconds - before.0) / (count - before.1).max(1.0);
    let rate = |took: Duration| customers as f64 / took.as_secs_f64();
    let standing = engine.matcher().standing().unwrap_or_default();
    let totals = engine.report().totals;
    assert_eq!(totals.customers + totals.matches_joined, customers as u64, "nobody is lost");
    println!(
        "| {customers} | {} | {:.0} | {} | {} | {} | {} | {} |",
        if is_on { "on" } else { "off" },
        rate(folded),
        if is_on { format!("{:.0}", rate(compared)) } else { String::new() },
        standing.merges_total,
        if is_on { format!("{:.0}", each * 1e6) } else { String::new() },
        disk_bytes(&folder.path().join("matching")) >> 20,
        memory_mb(std::process::id()),
    );
    engine.stop().await.expect("an orderly stop");
}

/// Seconds spent with comparing customers, and how many.
fn spent(engine: &Engine) -> (f64, f64) {
    let text = engine.metrics().text();
    let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0.0);
    (value("weft_matching_customer_seconds_sum"), value("weft_matching_customer_seconds_count"))
}

/// Tells of people by their numbers, and waits until all is folded.
async fn tell(engine: &Engine, people: impl Iterator<Item = usize>, version: u64) {
    let now = Clock::Wall.now();
    let mut people = people.peekable();
    while people.peek().is_some() {
        let mut arrived = Arrived::default();
        for person in people.by_ref().take(BATCH) {
            let mut event = Event::parse(&told_of(person, version)).expect("valid");
            event.claims = vec![Identifier::observed("user_id", &format!("u{person}"))];
            event.stamp(now, Environment::Production);
            arrived.push(&Arrival::Event { source: "crm", named: Named::ByPlace, json: &event.to_json() });
        }
        engine.intake().append(arrived).await.expect("intake takes them");
    }
    engine.caught_up().await;
}

/// What is told of a person: homes of two who share a street, a telephone and a name; one in eight is there twice, with something missing.
fn told_of(person: usize, version: u64) -> Vec<u8> {
    const SYLLABLES: [&str; 32] = [
        "an", "ber", "car", "dor", "em", "fri", "gus", "hed", "ig", "jut", "kas", "lor", "mor", "nad", "ot", "pet", "qui", "ros",
        "sim", "the", "ud", "ver", "wen", "zit", "bra", "cle", "dru", "fen", "gro", "hal", "kin", "lud",
    ];
    let is_second = person % 8 == 7;
    let who = (if is_second { person - 7 } else { person }) as u64;
    let home = who / 2;
    // Names are as uneven as people's are: the lower of two draws.
    let draw = |seed: u64, below: u64| (mix(seed) % below).min(mix(seed ^ 0x5555) % below);
    let word = |number: u64| {
        let syllable = |at: u32| SYLLABLES[(number >> (5 * at)) as usize % 32];
        format!("{}{}{}", syllable(0).to_uppercase(), syllable(1), syllable(2))
    };
    let (given, family) = (word(draw(3 * who + 1, 2_000)), word(1_000_000 + draw(3 * home + 2, 20_000)));
    let born = format!("{}-{:02}-{:02}", 1935 + mix(who) % 70, 1 + mix(who + 9) % 12, 1 + mix(who + 11) % 28);
    let street = format!("{} {} Street", 1 + mix(home) % 200, word(2_000_000 + mix(home + 5) % 3_000));
    let city = word(3_000_000 + mix(home + 3) % 400 + version);
    let email = format!("{}{who}@mail{}.example", given.to_lowercase(), who % 5);
    let phone = format!("0228 {:07}", mix(home + 17) % 10_000_000);
    let traits = if is_second {
        serde_json::json!({ "name": format!("{given} {}.", &family[..1]), "born": born, "email": email })
    } else {
        serde_json::json!({ "name": format!("{given} {family}"), "born": born, "email": email, "phone": phone, "street": street, "city": city })
    };
    serde_json::json!({ "type": "identify", "traits": traits }).to_string().into_bytes()
}

/// Spreads the bits of a number (the finaliser of SplitMix64).
fn mix(number: u64) -> u64 {
    let mut word = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
