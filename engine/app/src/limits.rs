//! The bounds of what touches the world, with their reasons (invariant 9). Those of values are in [`weft_domain::limits`], those
//! of plugins in [`weft_host::limits`].

use std::time::Duration;

/// Orders that wait for the writer: a few batches, so that it never starves and memory stays small.
pub const WRITER_ORDERS_MAX: usize = 8;

/// How long the writer takes orders before it makes them durable: the most that a commit of the group delays anybody.
pub const WRITER_ROUND: Duration = Duration::from_millis(10);

/// How long the writer sleeps when nothing is due.
pub const WRITER_IDLE: Duration = Duration::from_secs(60);

/// Ticks between two rounds of orders, when more timers are due than one tick fires.
pub const TICKS_PER_ROUND_MAX: usize = 16;

/// How often state is committed: after a crash, about this much of history is folded again.
pub const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// Changed rows at which state is committed sooner: some 40 MB of memory.
pub const COMMIT_ROWS: usize = 50_000;

/// Changed rows at which the writer waits for the commit before: the bound on what memory holds that sled does not.
pub const COMMIT_ROWS_MAX: usize = 100_000;

/// Rows of each kind that memory keeps between commits, beside those that changed: who was there lately comes again. A claim with its
/// facts takes a kilobyte and more.
pub const ROWS_HELD: usize = 30_000;

/// Records and bytes that one barrier of the intake log makes durable together.
pub const INTAKE_GROUP_RECORDS_MAX: usize = 8_192;
/// See [`INTAKE_GROUP_RECORDS_MAX`]; a block of the log holds 16 MiB.
pub const INTAKE_GROUP_BYTES_MAX: usize = 8 << 20;

/// Requests that wait for the intake log. Past it the door answers 503.
pub const INTAKE_QUEUE_MAX: usize = 1_024;

/// Records of intake that may wait for the transforms before the door answers 503, unless the workspace says otherwise.
pub const INTAKE_LAG_RECORDS_MAX: u64 = 5_000_000;

/// Bytes of a request's body as it arrives, and after decompression. Segment's limit is 500 KB, a bulk import's a few MB.
pub const BODY_BYTES_MAX: usize = 4 << 20;
/// See [`BODY_BYTES_MAX`]: JSON shrinks five- to tenfold; what grows more is a bomb.
pub const BODY_INFLATED_BYTES_MAX: usize = 8 << 20;

/// Bytes of heads that are kept with what a source refused of one request, once for each part: with the parts they fit into a block of intake. Past
/// it a part is kept without, and cannot go through its source again.
pub const HEADS_KEPT_BYTES_MAX: usize = 2 << 20;

/// How long a sender may take over a request.
pub const REQUEST_TIME_MAX: Duration = Duration::from_secs(30);

/// Batches that transforms work on at once; their order is kept.
pub const TRANSFORM_BATCHES_MAX: usize = 3;

/// How long a stop waits for what has arrived to pass through.
pub const DRAIN_TIME_MAX: Duration = Duration::from_secs(30);

/// Tries of one delivery that the destination asks to have again, before it becomes a dead letter.
pub const DELIVERY_ATTEMPTS_MAX: u32 = 8;

/// The first wait before a delivery is tried again; it doubles, with jitter, up to [`DELIVERY_WAIT_MAX`].
pub const DELIVERY_WAIT: Duration = Duration::from_millis(500);
/// See [`DELIVERY_WAIT`].
pub const DELIVERY_WAIT_MAX: Duration = Duration::from_secs(300);

/// The longest wait that a destination may ask for: whoever has used up a quota of the day may be let in again within the hour.
pub const DELIVERY_ASKED_WAIT_MAX: Duration = Duration::from_secs(3_600);

/// A batch that takes so long is slow: fewer go at once from then on. It is half of what a call of a plugin may take.
pub const DELIVERY_SLOW: Duration = Duration::from_secs(10);

/// Parts of one split, however many commands it takes: a minute of the writer's time. Whoever has more takes a part of the time first.
pub const SPLIT_PARTS_MAX: usize = 100_000;

/// Parts of a split that a look at what would come of it plays: it holds in memory what they touch.
pub const SPLIT_PARTS_IMAGINED_MAX: usize = 10_000;

/// Claims that are looked at with one hold on state. The writer waits meanwhile.
pub const CLAIMS_LOOKED_AT_ONCE: usize = 500;

/// Profiles in one answer, unless asked otherwise: what a terminal shows without losing its head.
pub const PROFILES_SHOWN: usize = 50;
/// Profiles in one answer at most.
pub const PROFILES_SHOWN_MAX: usize = 1_000;
/// Bytes of profiles in one answer, past which it ends.
pub const PROFILES_BYTES_SHOWN_MAX: usize = 16 << 20;
/// Profiles that are made with one hold on state: about a millisecond, for which the writer waits.
pub const PROFILES_MADE_ONCE: usize = 32;
/// Claims that are read from sled at once on the way through all: some megabytes at most.
pub const CLAIMS_LISTED_ONCE: usize = 500;
/// Claims that are looked at for one answer, past which it ends, with whatever was found: about a second's work.
pub const CLAIMS_LISTED_MAX: usize = 20_000;
/// Fields that one request may name: all traits of a busy workspace, and more than a path should hold.
pub const FIELDS_MAX: usize = 200;
/// Records of history, one after the other, that may bear no time before nothing is known of when they came: commands and receipts
/// of a busy second.
pub const RECORDS_WITHOUT_TIME_MAX: u64 = 1_000;

/// Exports at once: each reads as fast as the disk and its reader let it.
pub const EXPORTS_MAX: usize = 4;
/// Profiles, or records of history, that an export reads at once.
pub const EXPORT_READ_ONCE: usize = 500;
/// Bytes of a piece of an export of events, give or take a block of history.
pub const EXPORT_PIECE_BYTES: usize = 256 << 10;
/// Pieces of an export that wait for a reader who is slower: with it, an export takes some megabytes, however much it shows.
pub const EXPORT_PIECES_WAITING_MAX: usize = 4;
/// How long an export waits for its reader to take a piece, before the reader is taken for gone.
pub const EXPORT_PATIENCE: Duration = Duration::from_secs(120);
/// The rest that an export takes between two pieces, so that whoever waits for state comes first.
pub const EXPORT_REST: Duration = Duration::from_millis(1);

/// Claims that are held in one answer, unless asked otherwise: what would come of each is shown with it.
pub const HELD_SHOWN: usize = 20;
/// Claims that are held in one answer at most.
pub const HELD_SHOWN_MAX: usize = 100;

/// Dead letters dropped by one command: some 20 KB of history.
pub const LETTERS_DROPPED_MAX: usize = 1_000;

/// Dead letters that go again by one request: with the largest that there are, plugins have some seconds of work.
pub const LETTERS_RETRIED_MAX: usize = 100;
/// Bytes past which what goes again enters intake before more of it is made: a block of the log holds four times as much.
pub const LETTERS_RETRIED_BYTES: usize = 4 << 20;

/// Keys in the small store of a stage: what a plugin maps there are lists, campaigns and products, of which there are thousands, not
/// customers or events. With values of a hundred bytes it is 10 MB; with the largest there are, 6 GB.
pub const KV_KEYS_MAX: u64 = 100_000;
/// Bytes of a key in the small store of a stage.
pub const KV_KEY_BYTES_MAX: usize = 512;
/// Bytes of a value in the small store of a stage.
pub const KV_VALUE_BYTES_MAX: usize = 64 << 10;

/// Bytes that sled holds and nobody needs, below which they are left to it: it uses them again.
pub const COMPACT_IDLE_BYTES_MIN: u64 = 512 << 20;
/// What sled holds, over what is needed, from which on state is copied into a compact one: copying reads what is needed, so a
/// quarter of the work is worth the other three.
pub const COMPACT_RATIO: u64 = 4;

/// How often logs and state are looked at for what may go.
pub const RETENTION_EVERY: Duration = Duration::from_secs(10);

/// Bytes of intake kept after they have reached history, unless the workspace says otherwise: what `replay` can reach.
pub const INTAKE_BYTES_MAX: u64 = 10 << 30;

/// Erasures that wait: for the pass under way, or for the time that they were given. Each is a small file and some kilobytes of memory.
pub const ERASURES_WAITING_MAX: usize = 20_000;
/// Erasures that go in one pass: what there is of all of them is in memory, some hundred bytes for each event.
pub const ERASURES_AT_ONCE: usize = 1_000;
/// How long it rests after those who are silent were forgotten: an hour, in which as many go as may.
pub const FORGETTING_REST_MS: i64 = 3_600_000;
/// How long it rests where fewer wait: a pass costs the same for one as for thousands.
pub const FORGETTING_REST_MS_MAX: i64 = 86_400_000;
/// Events of those who are forgotten in one pass: their places are in memory, some hundred MB.
pub const FORGOTTEN_EVENTS_AT_ONCE: usize = 2_000_000;
/// How long it is counted whom a configuration would have forgotten, for who waits at a terminal; what is counted by then is a lower bound.
pub const FORECAST_TIME_MAX: Duration = Duration::from_secs(10);
/// How often it is looked whether the time of an erasure has come.
pub const ERASURE_LOOK_EVERY: Duration = Duration::from_secs(1);
/// Rows of one kind that one command takes away for an erasure: some hundred KB of history, for as long as it takes.
pub const ERASED_AT_ONCE: usize = 10_000;
/// How often events of people who were erased are taken out of intake that were known only behind it. Each time seals a segment.
pub const SWEEP_EVERY: Duration = Duration::from_secs(600);
/// Places of such events that are remembered: some 5 MB.
pub const LATE_MAX: usize = 100_000;
/// How often an erasure looks again for what came while it gathered. Without suppression new events may come for ever.
pub const ERASURE_ROUNDS_MAX: usize = 5;
/// Erasures that are remembered after they are completed; the oldest are let go. A year of a hundred a day.
pub const ERASURES_REMEMBERED_MAX: usize = 36_500;
/// Bytes of a reason.
pub const ERASURE_REASON_BYTES_MAX: usize = 1_000;

/// Bytes of a request of OpenDSR: a hundred identities and ten addresses take some 20 KB.
pub const RIGHTS_REQUEST_BYTES_MAX: usize = 64 << 10;
/// Identities in one such request: a person has a dozen.
pub const IDENTITIES_MAX: usize = 100;
/// Bytes of the name of a regulation.
pub const REGULATION_BYTES_MAX: usize = 32;
/// Bytes of the name of a group of requests.
pub const GROUP_ID_BYTES_MAX: usize = 150;
/// Whom to tell of the status of one request: a company and those who work for it.
pub const CALLBACKS_MAX: usize = 10;
/// Bytes of an address that is told; longer ones are not taken everywhere.
pub const CALLBACK_URL_BYTES_MAX: usize = 2_048;
/// Callbacks under way at once: enough that slow ones hold up nobody.
pub const CALLBACKS_AT_ONCE: usize = 16;
/// How long a callback may take.
pub const CALLBACK_TIME_MAX: Duration = Duration::from_secs(15);
/// Bytes of an answer to a callback, of which only the status is looked at.
pub const CALLBACK_ANSWER_BYTES_MAX: usize = 64 << 10;
/// The first wait before a callback is made again; it doubles up to [`CALLBACK_WAIT_MAX`].
pub const CALLBACK_WAIT: Duration = Duration::from_secs(2);
/// See [`CALLBACK_WAIT`].
pub const CALLBACK_WAIT_MAX: Duration = Duration::from_secs(3_600);
/// How long it is tried to tell one change of status: longer than a weekend.
pub const CALLBACK_PATIENCE_MS: u64 = 4 * 86_400_000;
/// How often it is looked how far requests are.
pub const RIGHTS_LOOK_EVERY: Duration = Duration::from_millis(500);
/// Requests that are remembered, open ones and those that came to an end; the oldest of these are let go. Each takes a kilobyte.
pub const RIGHTS_REMEMBERED_MAX: usize = 36_500;
/// Requests in one answer, unless asked otherwise: what a terminal shows without losing its head.
pub const REQUESTS_SHOWN: usize = 50;
/// Requests in one answer at most: some hundred KB.
pub const REQUESTS_SHOWN_MAX: usize = 500;
/// How long a result is kept where the workspace says nothing any more.
pub const RESULTS_KEPT_MS: u64 = 7 * 86_400_000;

/// How often the engine looks whether its parts still run.
pub const WATCH_EVERY: Duration = Duration::from_millis(100);

/// How often it is looked whether everything has passed through: only by those who wait for it.
pub const SETTLE_EVERY: Duration = Duration::from_millis(2);

/// How long a sender may take over the head of a request, and how long an idle connection is kept.
pub const HEAD_TIME_MAX: Duration = Duration::from_secs(60);

/// Bytes of the head of a request, give or take one read of the socket: cookies and a long query take some kilobytes. Past it, 431.
pub const HEAD_BYTES_MAX: usize = 64 << 10;
/// Lines in the head of a request. Past it, 431.
pub const HEAD_LINES_MAX: usize = 100;

/// Senders whose requests of a second are counted, some 5 MB; more cannot be told apart from a network that has them all.
pub const SENDERS_COUNTED_MAX: usize = 100_000;

/// Connections at once; more wait to be taken. Each costs a file descriptor and some 20 KB.
pub const CONNECTIONS_MAX: usize = 10_000;

/// How long a stop waits for requests under way. Their events are sent again by whoever gets no answer.
pub const GOODBYE_TIME_MAX: Duration = Duration::from_secs(5);

/// Dead letters in one answer, unless asked otherwise: what a terminal shows without losing its head.
pub const LETTERS_SHOWN: usize = 50;
/// Dead letters in one answer at most: with [`LETTER_BYTES_SHOWN_MAX`] of each, some megabytes.
pub const LETTERS_SHOWN_MAX: usize = 500;

/// Bytes of an original in a list: enough to know it again. All of it has a page of its own.
pub const LETTER_BYTES_SHOWN_MAX: usize = 2 << 10;

/// Bytes of originals that are read for one list: four requests of the largest size.
pub const LETTERS_BYTES_READ_MAX: usize = 4 * BODY_INFLATED_BYTES_MAX;

/// Dead letters that are looked at for one list, where most are not those that were asked for: some hundredths of a second.
pub const LETTERS_LOOKED_AT_MAX: usize = 20_000;
/// Of those, how many with one hold on state. The writer waits meanwhile.
pub const LETTERS_LOOKED_AT_ONCE: usize = 500;

/// Events of a customer in one answer, unless asked otherwise.
pub const EVENTS_SHOWN: usize = 50;
/// Events of a customer in one answer at most. Usual ones make a megabyte.
pub const EVENTS_SHOWN_MAX: usize = 1_000;
/// Bytes of events after which an answer ends, and says where to go on: a thousand of the largest would be a quarter of a gigabyte.
pub const EVENTS_BYTES_SHOWN_MAX: usize = 16 << 20;

/// Pages of a customer's index that are read with one hold on state, some 4,000 entries. The writer waits meanwhile.
pub const INDEX_PAGES_READ_ONCE: usize = 64;

/// Tails at once: people who look on, and not a way for programs to have all events. Each reads history for itself.
pub const TAILS_MAX: usize = 16;
/// Events that a tail sends in a second, unless asked otherwise: more than anybody reads.
pub const TAIL_EVENTS: u64 = 100;
/// Events that a tail sends in a second at most.
pub const TAIL_EVENTS_MAX: u64 = 10_000;
/// Records of history that a tail may be behind; past it, it goes on at this distance from the end, and says so. Some ten seconds of a busy engine.
pub const TAIL_BEHIND_RECORDS_MAX: u64 = 100_000;
/// Pieces of a tail that wait for its reader. Each is what is wanted of one block of history, of 16 MiB at most.
pub const TAIL_CHUNKS_WAITING_MAX: usize = 2;
/// How often a tail says what it left out.
pub const TAIL_TELL_EVERY: Duration = Duration::from_secs(1);
/// After so long without anything to say, a tail says that it is still there: proxies cut what is silent for a minute.
pub const TAIL_HEARTBEAT: Duration = Duration::from_secs(15);

/// Connections and stages that `weft check --connect` tries at once: enough that slow ones wait beside each other, and no burst at anybody's door.
pub const PROBES_AT_ONCE: usize = 8;

/// Bytes of a file or an object that a plugin decodes at once. After each, events and position are made durable together: at some 100 barriers a
/// second that is 25 MB a second, more than identity takes.
pub const CHUNK_BYTES: usize = 256 << 10;

/// Bytes of events that are held until a plugin says how far it has read: past it, they go to intake without a position.
pub const OUTPUT_HELD_BYTES_MAX: usize = 4 << 20;

/// Tries of a chunk over which a plugin crashes, before what it is a part of becomes a dead letter.
pub const DECODE_ATTEMPTS_MAX: u32 = 5;

/// Files or objects of one source that are remembered as read. A mark takes some 200 bytes of memory and of state.
pub const MARKS_MAX: usize = 10_000;

/// Files of one source that are looked at: each costs a call of the system in every round.
pub const FILES_FOUND_MAX: usize = 5_000;

/// Files of one source that are held open while they are followed. Each is a file descriptor, of which a process often has 1,024.
pub const FILES_FOLLOWED_MAX: usize = 128;

/// Folders of one source that are watched; further ones are looked at now and then.
pub const FOLDERS_WATCHED_MAX: usize = 256;

/// Requests to look at the workspace's files that wait for the one under way.
pub const LOOKS_WAITING_MAX: usize = 8;

/// How long the workspace's files must have been quiet before they are looked at: editors and tools write several, one after the other.
pub const RELOAD_REST: Duration = Duration::from_millis(300);
/// How often they are looked at without a hint from the system.
pub const RELOAD_EVERY: Duration = Duration::from_secs(60);

/// Claims, events and bytes of one piece of a pass through history for new attributes: some tenths of a second of reading, and a record far
/// below what a log takes (8 MiB), also when the last tally in it is as large as one can be.
pub const SWEEP_CLAIMS_MAX: usize = 256;
/// See [`SWEEP_CLAIMS_MAX`].
pub const SWEEP_EVENTS_MAX: usize = 4_096;
/// See [`SWEEP_CLAIMS_MAX`].
pub const SWEEP_BYTES_MAX: usize = 1 << 20;

/// How long the pass through history rests when something could not be read.
pub const SWEEP_REST: Duration = Duration::from_secs(5);

/// Events that a profile of the past is made of at most: a minute of reading, in which the answer is waited for.
pub const PAST_EVENTS_MAX: usize = 500_000;

/// Bytes of one row of a file that a command reads. A row of a customer list has some hundred.
pub const TABLE_ROW_BYTES_MAX: usize = 1024 * 1024;

/// Customers whose profile changed that are matched in one go: what one commit of the index and one receipt are for.
pub const MATCHING_BATCH: usize = 256;

/// Claims that a walk through all customers looks at in one go: some tenths of a second.
pub const MATCHING_WALK_CLAIMS: usize = 256;

/// Claims of a customer that are read to compare it: as many as identifiers can tie together.
pub const MATCHING_CLAIMS_MAX: usize = weft_domain::limits::COMPONENT_CLAIMS_MAX;

/// Customers with whom one is compared, those who share the most keys first: a person has some ten who are alike, and this is a
/// millisecond or two.
pub const MATCHING_CANDIDATES_MAX: usize = 200;

/// Questions about one customer that are asked at once: what a person looks at in one sitting.
pub const MATCHING_REVIEWS_MAX: usize = 8;

/// How often two are taken apart that matching had made one, before it only asks: evidence that turns so often does not settle it.
pub const MATCHING_TURNS_MAX: u8 = 3;

/// Pairs that have turned and are remembered for one customer. Each takes 33 bytes of its row.
pub const MATCHING_TURNS_KEPT_MAX: usize = 32;

/// Rounds in which customers are compared of whom others became one meanwhile, or with whom they may not become one. Each is a barrier of
/// history.
pub const MATCHING_ROUNDS_MAX: usize = 16;

/// What the index of matching may cache; sled takes about twice as much. Half of what state has: its rows are small.
pub const MATCHING_CACHE_BYTES: u64 = 32 << 20;

/// How long matching lets changed customers gather, where fewer wait than it takes at once: each time costs a barrier of the index and one of history.
pub const MATCHING_GATHER: Duration = Duration::from_millis(100);

/// How long matching rests when something could not be read or kept.
pub const MATCHING_REST: Duration = Duration::from_secs(5);

/// The longest rest between two pieces of a walk, each of which is followed by one as long as it took: half of a processor's time.
pub const MATCHING_WALK_REST_MAX: Duration = Duration::from_millis(500);

/// Customers from whom a model is learned, drawn by hash where there are more: in memory some 400 bytes each and as many for the pairs.
pub const TRAINING_CUSTOMERS_MAX: u64 = 200_000;

/// Customers without whom nothing is learned: from fewer, a share of pairs is a guess.
pub const TRAINING_CUSTOMERS_MIN: usize = 100;

/// How many times as many people as a model was learned from there must be for another to be learned before its time: what is rare among a
/// thousand is not among ten thousand, and all weighing together is then no more than twice the last.
pub const TRAINING_GROWTH: u64 = 2;

/// How long until it is tried again to learn by itself, where that failed.
pub const TRAINING_RETRY: Duration = Duration::from_secs(3_600);

/// Wishes to learn, or to forget, that wait for the matcher.
pub const MATCHING_WISHES_MAX: usize = 8;

/// How often the matcher looks whether it is time to learn, where nothing happens.
pub const MATCHING_LOOK_EVERY: Duration = Duration::from_secs(60);
