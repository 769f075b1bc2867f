//! What Weft does in a second, on this machine. It asserts that nothing was lost or doubled, and nothing about time.
//!
//! - `end-to-end` ([`path`]): a load generator in a process of its own, a release engine behind its HTTP door, one transform, one
//!   file destination, durable acknowledgements; then a kill and an opening.
//! - `million`: the same until a million customers are known; memory, disk, opening; then events of customers who are known.
//! - `matching` ([`matching`]): customers compared while events flow, in this process; what comparing one costs among many.
//! - `identity` ([`identity`]): people with names, addresses and numbers, with matching off and on; then how long it takes to read, explain and
//!   split.
//! - `stages` ([`stages`]): each stage alone, and each plugin's stage against the same code native.
//!
//! `cargo xtask plugins && cargo build --release && cargo run --release -p weft-benches -- end-to-end`
//!
//! `docs/benchmarks.md` keeps the figures.
#![allow(clippy::print_stdout, reason = "it prints rows of a table")]

mod calls;
mod identity;
mod machine;
mod matching;
mod path;
mod stages;
mod wire;

/// The engine's: what is compared with the sandbox is compared as it would run in the engine.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize, usual: usize| words.get(place).and_then(|word| word.parse().ok()).unwrap_or(usual);
    match words.first().map(String::as_str) {
        Some("end-to-end") => path::end_to_end(number(1, 200_000)),
        Some("million") => path::million(number(1, 1_000_000), number(2, 300_000), number(3, 64)),
        Some("matching") => matching::all(number(1, 100_000)),
        Some("identity") => identity::all(number(1, 50_000)),
        Some("stages") => stages::all(words.get(1).map(String::as_str)),
        _ => println!(
            "end-to-end [EVENTS] | million [CUSTOMERS] [EVENTS OF KNOWN CUSTOMERS] [MIB OF STATE'S CACHE] | identity [PEOPLE] | matching [CUSTOMERS] | stages [logs | rules | plugins | state]"
        ),
    }
}
