//! Every bound of matching, with its reason (invariant 9).

/// Components of a pattern. People have about ten fields that tell them apart; the bound keeps a pattern in a few words of memory.
pub const COMPONENTS_MAX: usize = 24;

/// Bytes of one value that are compared. Longer ones are cut: what follows is not what tells people apart.
pub const VALUE_BYTES_MAX: usize = 128;

/// Values of one record: several addresses or numbers of one person are compared each with each.
pub const VALUES_MAX: usize = 48;

/// Records of one block that are compared each with each. A block of more is of a value that tells nobody apart (a switchboard,
/// a date that stands for "unknown"): its pairs are left to other rules, and counted.
pub const BLOCK_RECORDS_MAX: usize = 100;

/// Pairs from which parameters are learned, about. Some eighty parameters are settled by far fewer.
pub const TRAINING_PAIRS: usize = 1 << 18;

/// Random pairs from which the agreement of strangers is counted, at most: what happens once in a hundred thousand is seen ten times.
pub const RANDOM_PAIRS_MAX: usize = 1 << 20;

/// Rounds of expectation and maximisation. It settles in about fifteen.
pub const ROUNDS_MAX: usize = 40;

/// Values of one component whose frequency a model remembers, the most frequent first.
pub const FREQUENCIES_MAX: usize = 20_000;

/// How often a value must occur for a model to remember it. What fewer share is known to be rare, and names nobody.
pub const FREQUENCY_COUNT_MIN: u32 = 3;

/// Pairs of records that are looked at when two clusters are compared; of larger clusters, so many are drawn.
pub const LINKAGE_PAIRS_MAX: usize = 256;

/// Records that may have one e-mail address, number or code, for it to say anything: more are not one person or home, but what is
/// typed where something must be (`test@example.com`), or a switchboard.
pub const ASSIGNED_RECORDS_MAX: u32 = 50;
