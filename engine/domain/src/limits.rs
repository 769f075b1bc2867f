//! Every bound of the engine, in one place, with its reason (invariant 9).
//!
//! Reaching a bound is an error or a metric, never silence. What an operator may change is in the workspace's `limits`; these
//! are the defaults and the hard ends.

/// Bytes of one canonical event. mParticle takes batches of 128 KB and Segment calls of 32 KB; the rest is for records of
/// a CRM. It stays far below what a block of the log holds.
pub const EVENT_BYTES_MAX: usize = 256 * 1024;

/// Levels of nesting in one event. Most readers of JSON stop at 100 to 512 levels; nobody downstream must choke on what we took.
pub const EVENT_DEPTH_MAX: usize = 64;

/// Identifiers in one event. SDKs send two to five; the limit keeps one hostile event from touching thousands of rows.
pub const EVENT_IDENTIFIERS_MAX: usize = 32;

/// Traits in one event. mParticle's documented limit is 100 user attributes in a batch; Segment refuses profiles past 300.
pub const EVENT_TRAITS_MAX: usize = 300;

/// Products in one event. A cart of more is a catalogue.
pub const EVENT_PRODUCTS_MAX: usize = 500;

/// Bytes of an event's name. mParticle cuts names at 256 characters.
pub const EVENT_NAME_BYTES_MAX: usize = 512;

/// Bytes of a message id. Segment documents fewer than 100 characters.
pub const MESSAGE_ID_BYTES_MAX: usize = 256;

/// Bytes of an identifier's type and of its value.
pub const IDENTIFIER_TYPE_BYTES_MAX: usize = 64;
/// Bytes of an identifier's value: longer than any e-mail address (254) or push token in use.
pub const IDENTIFIER_VALUE_BYTES_MAX: usize = 512;

/// Bytes of a trait's name.
pub const TRAIT_NAME_BYTES_MAX: usize = 256;

/// Bytes of one trait's value as JSON. mParticle's limit is 4,096 characters.
pub const TRAIT_VALUE_BYTES_MAX: usize = 8 * 1024;

/// Traits that one set of identifiers keeps, and the bytes that they may take together. A row of the store stays below
/// 100 KB, past which sled moves it to a file that it never syncs.
pub const NODE_TRAITS_MAX: usize = 500;
/// See [`NODE_TRAITS_MAX`].
pub const NODE_TRAITS_BYTES_MAX: usize = 48 * 1024;

/// Purposes that somebody can have agreed to or refused, by one set of identifiers. mParticle's customers have a handful.
pub const PURPOSES_MAX: usize = 64;
/// Bytes of the name of a purpose, and of a regulation. See [`PURPOSES_MAX`]: each stands in a row twice.
pub const PURPOSE_NAME_BYTES_MAX: usize = 128;
/// Bytes of each text that says in what consent was given. See [`PURPOSES_MAX`].
pub const PROOF_BYTES_MAX: usize = 256;

/// What can be missing at one destination and is counted apart, in its row. A configuration asks for a few purposes, and each can be refused or not said.
pub const WITHHELD_REASONS_MAX: usize = 64;

/// Claims that may name one identifier. Past it the identifier joins nothing new: a kiosk's device id, or the address
/// `test@test.com`, would otherwise tie everybody together and make each event slower than the last.
pub const IDENTIFIER_CLAIMS_MAX: usize = 256;

/// Claims of one component of the identity graph that are looked at together: what one hostile event can cost. Segment stops
/// after 100 merges of a profile.
pub const COMPONENT_CLAIMS_MAX: usize = 512;

/// Sources whose word for a claim is kept apart, so that what one of them said can be taken back without the others. Past it the
/// earliest stay, and the claim is never retracted by its sources. A workspace has a dozen; two or three say the same.
pub const CLAIM_SOURCES_MAX: usize = 8;

/// Identifiers from which one may be separated. Each takes some hundred bytes of a row, with the reason.
pub const SEPARATIONS_MAX: usize = 128;

/// Identifiers of a customer that somebody who looks one up is told. A person has some ten; a shared device may have gathered thousands.
pub const IDENTIFIERS_TOLD_MAX: usize = 1_000;

/// Other claims with which one may be matched by comparison. Each takes some three hundred bytes of the claim's row, with the evidence. A
/// person is in a few lists, and every match makes the next one a match with the customer whom it made.
pub const CLAIM_MATCHES_MAX: usize = 24;

/// Fields of a comparison that are kept as evidence, and bytes of the name of each and of its level. See [`CLAIM_MATCHES_MAX`].
pub const EVIDENCE_FIELDS_MAX: usize = 24;
/// See [`EVIDENCE_FIELDS_MAX`].
pub const EVIDENCE_NAME_BYTES_MAX: usize = 64;

/// Bytes of a model as JSON: its most frequent values are most of it, and it is one record of history.
pub const MODEL_BYTES_MAX: usize = 6 << 20;

/// Bytes of the reason that somebody gives for a decision: two sentences. Reasons stand in rows, many beside each other.
pub const REASON_BYTES_MAX: usize = 400;

/// Parts of one command that splits: each may touch a component, and a step must end soon. A split of more is several commands.
pub const SPLIT_PARTS_MAX: usize = 256;

/// Merges that may make one customer, where the workspace sets a bound: as many as a component can hold.
pub const MERGES_MAX: u32 = COMPONENT_CLAIMS_MAX as u32;

/// Identifiers that one customer may have, where the workspace sets a bound: as many as a component can hold.
pub const CUSTOMER_IDENTIFIERS_MAX: u32 = (COMPONENT_CLAIMS_MAX * EVENT_IDENTIFIERS_MAX) as u32;

/// Customers that a look at what would come of a command shows, and identifiers, traits of each. The rest is counted.
pub const IMPACT_SHOWN_MAX: usize = 50;

/// Entries of a page of the history index: one store operation for so many events of one customer.
pub const INDEX_PAGE_ENTRIES: usize = 64;

/// Message ids that the duplicate window remembers, unless the workspace says otherwise. Eight bytes each, so 16 MB, and
/// about twice that for the table that finds them. At 23 events a second it is a day, which is what Segment aims at.
pub const DUPLICATE_WINDOW_EVENTS: usize = 2 * 1024 * 1024;

/// Message ids in one row of the duplicate window: 32 KB, well inside a row's bound.
pub const WINDOW_PAGE_ENTRIES: usize = 4_096;

/// Timers that one tick fires. A million due at once become many ticks of the same time, not one endless step.
pub const TICK_TIMERS_MAX: usize = 1_000;

/// How long a changed profile rests before destinations hear of it: the calls of one page view become one delivery.
pub const PROFILE_SETTLE_MS: i64 = 1_000;

/// The earliest time that an event may have occurred: 2000-01-01. Before it, the sender's clock was never set.
pub const OCCURRED_MS_MIN: i64 = 946_684_800_000;

/// Bytes of a profile as one delivery: a row of the store holds 100 KB.
pub const PROFILE_BYTES_MAX: usize = 90 * 1024;

/// Bytes of a path into an event, and the steps of one: longer is nothing that somebody wrote.
pub const PATH_BYTES_MAX: usize = 512;
/// See [`PATH_BYTES_MAX`].
pub const PATH_STEPS_MAX: usize = 16;

/// Attributes, and traits with a rule of their own, of one workspace. Each is looked at for every event.
pub const ATTRIBUTES_MAX: usize = 200;

/// Names of events that one attribute selects.
pub const ATTRIBUTE_EVENTS_MAX: usize = 100;

/// Values that one attribute takes out of one event: twice as many as an event has products. The rest is passed over and counted.
pub const ATTRIBUTE_VALUES_MAX: usize = 1_000;

/// Bytes of a value that is kept as such (`first`, `most_frequent`, `unique_list` …). Longer ones are passed over and counted: a value
/// that is compared and listed is a name, and a row has to hold many.
pub const ATTRIBUTE_VALUE_BYTES_MAX: usize = 256;

/// Values of a list (`unique_list`, and traits that keep a list or a set): its `at_most` says how many, to this. mParticle keeps 100.
pub const ATTRIBUTE_LIST_MAX: usize = 200;

/// Different values that `unique_count` tells apart exactly: eight bytes of hash each, so that they fit a row. Past it, it estimates, with a
/// standard error of 1.1 % (1/√8190).
pub const ATTRIBUTE_DISTINCT_MAX: usize = 8_192;

/// Weight of a tally in bytes, by the most that its parts can take: a row of the store holds 100,000. A tally of a rolling window that
/// outgrows it tells instants apart more coarsely.
pub const TALLY_WEIGHT_MAX: usize = 84_000;

/// Stretches that a rolling window is divided into: a late event changes one tally, and a window reads nine at most.
pub const WINDOW_TALLIES: i64 = 8;

/// The shortest and the longest rolling window, in milliseconds: less than a second is below what a profile rests, and ten years are
/// what a duration can be.
pub const WINDOW_MS: std::ops::RangeInclusive<i64> = 1_000..=10 * 366 * 86_400_000;
