//! The bounds of a configuration, each with its reason (invariant 9). Reaching one is a problem with a place.

/// Bytes of one file. A thousand pipelines written out take less than one; more is generated, or not YAML.
pub const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Files of a workspace.
pub const FILES_MAX: usize = 256;

/// Values in all files together, aliases counted as what they stand for: the end of "billion laughs".
pub const NODES_MAX: usize = 200_000;

/// Problems that are kept before they are sorted: some more than are shown, so that those shown are the first by place.
pub const FINDINGS_MAX: usize = 4 * weft_domain::problem::PROBLEMS_MAX;

/// Mappings and lists inside each other. The deepest thing that makes sense here is a JSON document in a test.
pub const DEPTH_MAX: usize = 64;

/// Files that are formatted at once: all of them are in memory until it is known that none is wrong.
pub const FORMAT_FILES_MAX: usize = 10_000;

/// Columns before the first letter of a line that is formatted: the formatter's parser keeps the columns that are in use as bits of a number of 64.
pub const FORMAT_COLUMNS_MAX: usize = 63;

/// Times that a text is formatted until it stays as it is. The second time it nearly always does; what needs more goes round in circles.
pub const FORMAT_ROUNDS_MAX: usize = 4;

/// Bytes of one text after substitution: a variable of the environment is not a place for documents.
pub const TEXT_BYTES_MAX: usize = 256 * 1024;

/// Bytes of a secret: a private key in PEM takes 4 KB.
pub const SECRET_BYTES_MAX: u64 = 64 * 1024;

/// `$ref`s followed and schemas nested while looking for the formats of a plugin's block. A plugin wrote the schema.
pub const SCHEMA_DEPTH_MAX: usize = 96;

/// Steps of that look: twenty for each value that may be. Unions in unions could otherwise take for ever.
pub const SCHEMA_STEPS_MAX: usize = 4_000_000;

/// Characters of an excerpt: what a terminal shows in one line or two.
pub const EXCERPT_CHARS_MAX: usize = 140;

/// The longest duration that can be written. Longer is a slip, and sums of milliseconds stay far from their end.
pub const DURATION_MS_MAX: u64 = 10 * 366 * 24 * 60 * 60 * 1000;

/// The shortest and the longest wait for an answer: less is a slip of the unit, and longer work is polled for.
pub const TIMEOUT_MS: std::ops::RangeInclusive<u64> = 10..=600_000;

/// The bytes of state's cache: less than the least makes every look-up a read of the disk, more than the most is a slip of the unit.
pub const STATE_CACHE_BYTES: std::ops::RangeInclusive<u64> = 16 << 20..=256 << 30;

/// The bytes of a destination's batch: at least one event of the largest size, at most what is handed to a plugin at once.
pub const BATCH_BYTES: std::ops::RangeInclusive<u64> = 256 * 1024..=4 * 1024 * 1024;

/// How often it is looked for what is new, at most: each look costs the other side, or the disk, a call.
pub const LOOK_EVERY_MS_MIN: u64 = 1_000;

/// The bytes of a file that a plugin's block names: tables and plans have some megabytes, and each instance of the plugin is given them anew.
pub const INLINED_BYTES_MAX: u64 = 8 << 20;

/// How long the result of a request for access can be had: time enough to fetch it, and no archive.
pub const RESULTS_KEPT_MS: std::ops::RangeInclusive<u64> = 3_600_000..=90 * 86_400_000;

/// After how long somebody is inactive, at least: less is a slip of the unit, and would take people between two visits.
pub const INACTIVE_MS_MIN: u64 = 86_400_000;
