//! Every bound of this crate, with its reason (invariant 9).
//!
//! These protect the host whatever anybody asks for. What a plugin asks for in its manifest, and an operator overrides for a
//! stage, is [`crate::Limits`], whose ceilings are here too.

use std::time::Duration;

/// How often the epoch moves: a guest that computes gives the executor back this often. 10 ms is short beside any
/// deadline that people notice and long beside the cost of a yield (about a microsecond).
pub const TICK: Duration = Duration::from_millis(10);

/// The largest plugin file. Python guests are near 20 MB; four times that is room, not an invitation.
pub const PLUGIN_BYTES_MAX: u64 = 80 << 20;

/// Memory for `describe`, which only has to write a manifest down.
pub const DESCRIBE_MEMORY_BYTES: u64 = 16 << 20;

/// Own time for `describe`.
pub const DESCRIBE_MS: u64 = 1_000;

/// The largest manifest: a schema with its documentation is some tens of KB.
pub const MANIFEST_BYTES_MAX: usize = 1 << 20;

/// A line of a plugin's log is cut here.
pub const LOG_LINE_BYTES_MAX: usize = 4 << 10;

/// Lines that one call may write; the rest are counted.
pub const LOG_LINES_PER_CALL_MAX: u32 = 100;

/// The longest key in a stage's namespace.
pub const KV_KEY_BYTES_MAX: usize = 512;

/// The largest value in a stage's namespace.
pub const KV_VALUE_BYTES_MAX: usize = 64 << 10;

/// Identifiers that a plugin looks up at once: mParticle's calls name some thirty types.
pub const IDENTIFIERS_LOOKED_UP_MAX: usize = 100;

/// The longest file name (what common file systems allow).
pub const FILE_NAME_BYTES_MAX: usize = 255;

/// The largest file that a guest may read or write as a whole.
pub const FILE_WHOLE_BYTES_MAX: usize = 1 << 20;

/// The largest piece that a guest may append at once: a batch as written by any format fits.
pub const FILE_APPEND_BYTES_MAX: usize = 16 << 20;

/// Headers in one request or answer, either way; what common servers allow.
pub const HEADERS_MAX: usize = 100;

/// Recipients of a message. RFC 5321, section 4.5.3.1.8, has servers take at least a hundred; a message to a person has one.
pub const EMAIL_RECIPIENTS_MAX: usize = 100;

/// Further headers of a message: mailing software sets some five.
pub const EMAIL_HEADERS_MAX: usize = 32;

/// The longest code of a rejection; longer ones are a broken answer, since codes are for counting.
pub const CODE_BYTES_MAX: usize = 64;

/// Messages, hints and reasons from a guest are cut here.
pub const MESSAGE_BYTES_MAX: usize = 4 << 10;

/// Problems that one `validate` may report; the rest are dropped, since nobody reads more at once.
pub const CONFIG_PROBLEMS_MAX: usize = 100;

/// The largest state that a source may hand back: it is written with every checkpoint.
pub const STATE_BYTES_MAX: usize = 1 << 20;

/// How much larger than its input a transform's output may be in all, for enrichment; and never less than
/// [`OUTPUT_BYTES_MIN`].
pub const OUTPUT_GROWTH_MAX: usize = 8;

/// What a transform may always give, however small its input is.
pub const OUTPUT_BYTES_MIN: usize = 1 << 20;

/// The most records that one record may be split into: an order into its lines, a cart into its products.
pub const SPLIT_RECORDS_MAX: usize = 1_000;

/// The most events that one call of `receive` or of `emit` may give.
pub const EVENTS_PER_CALL_MAX: usize = 10_000;

/// The longest bytes that a source may refuse through `output`: twice the longest event with its mark-up, and far below a
/// record of a log.
pub const REFUSED_BYTES_MAX: usize = 1 << 20;

/// What a guest may hand to the host in one call, in bytes as the host holds them. Above every bound here, so that they
/// answer first; a guest that points thousands of list entries at the same memory meets this one.
pub const BORDER_BYTES_MAX: usize = 96 << 20;

/// Table entries of an instance (function pointers): the largest real guest has some tens of thousands.
pub const TABLE_ELEMENTS_MAX: usize = 100_000;

/// Core instances, memories and tables inside one component. JavaScript and Python guests have some; Rust guests one.
pub const CORE_INSTANCES_MAX: u32 = 64;
/// See [`CORE_INSTANCES_MAX`].
pub const MEMORIES_MAX: u32 = 2;
/// See [`CORE_INSTANCES_MAX`].
pub const TABLES_MAX: u32 = 32;

/// Crashes without a record coming through between them, after which a stage is quarantined: few enough to notice soon,
/// more than a run of bad luck.
pub const CRASHES_IN_A_ROW_MAX: u32 = 5;

/// The first quarantine; each further one is twice as long, up to [`QUARANTINE_MAX`].
pub const QUARANTINE_MIN: Duration = Duration::from_secs(1);

/// The longest quarantine: an operator who has mended the outside waits no longer than this.
pub const QUARANTINE_MAX: Duration = Duration::from_secs(300);

/// Crashes that taking one batch apart may cost. Two poison records in a batch of 1,024 cost some 24; past this the
/// plugin, not the records, is what is broken.
pub const BISECT_CRASHES_MAX: u32 = 64;

/// Timeouts among them: each burns a whole budget. Enough for two records that spin in a batch of 1,024.
pub const BISECT_TIMEOUTS_MAX: u32 = 24;

/// Instances that one stage may have at once, so that one stage cannot take the whole pool.
pub const STAGE_INSTANCES_MAX: usize = 8;

/// Instances that a stage with `reuse` keeps open between calls: they hold places in the pool.
pub const STAGE_IDLE_MAX: usize = 2;

/// The part of the pool, in percent, that idle instances never hold: it is for those who have none.
pub const PLACES_FREE_PERCENT_MIN: usize = 25;

/// Calls after which an instance is recycled: whatever leaks in the guest leaks so long.
pub const REUSE_CALLS_MAX: u32 = 1_000;

/// The part of its memory, in percent, above which an instance is recycled: linear memory never shrinks.
pub const REUSE_MEMORY_PERCENT_MAX: u64 = 75;

/// The longest budget that a call may have.
pub const CALL_MS_MAX: u64 = 60_000;

/// The most records in a batch: outcomes are held in memory at once.
pub const BATCH_RECORDS_MAX: u32 = 10_000;

/// The most bytes in a batch: a batch crosses the border as a whole, and is copied into the guest.
pub const BATCH_BYTES_MAX: u64 = 16 << 20;

/// The largest body of a request: it is held in memory as a whole.
pub const BODY_BYTES_MAX: u64 = 32 << 20;

/// Files that the cache of compiled code keeps, the newest; two for each plugin.
pub const CACHE_FILES_MAX: usize = 128;

/// Writing a file of the cache takes no longer; what is older was left by a crash.
pub const CACHE_WRITE_MAX: Duration = Duration::from_secs(3_600);
