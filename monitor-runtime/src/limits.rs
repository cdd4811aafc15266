//! Every bound and default of the recorder, each with its reason. Whatever grows is bounded by a name
//! in this file; nothing here is computed. The budget of a captured value is `capture::limits`.

use std::time::Duration;

const KIB: usize = 1024;
const MIB: u64 = 1024 * 1024;

/// Age at which rows go: a working day's incident is still there when someone looks.
pub const RETENTION: Duration = Duration::from_secs(6 * 3600);
/// A shorter retention would delete rows before a reader that polls once a second saw them.
pub const RETENTION_MIN: Duration = Duration::from_secs(1);
/// A hundred years; an `i64` of nanoseconds since 1970 still holds any moment minus this.
pub const RETENTION_MAX: Duration = Duration::from_secs(100 * 365 * 86_400);
/// Database and write-ahead log together: small beside any disk that runs services.
pub const MAX_DISK_BYTES: u64 = 512 * MIB;
/// Below this the schema, its indexes and one batch no longer fit beside the write-ahead log.
pub const MAX_DISK_BYTES_MIN: u64 = MIB;
/// Rings and backlog together.
pub const MAX_MEMORY_BYTES: u64 = 64 * MIB;
/// Below this there is no room for a few threads' rings and any backlog at all.
pub const MAX_MEMORY_BYTES_MIN: u64 = MIB;
/// Detail rows per second and function that the ladder aims for: enough to see single calls, little
/// enough that a hundred busy functions stay far below what the writer takes.
pub const MAX_RATE: u32 = 1000;
/// Share of the process's CPU time that the recorder may cost before it sinks functions.
pub const MAX_OVERHEAD: f64 = 0.01;
/// The first calls of a function in a process get a row whatever its rate: that it runs, and what it looks
/// like, is seen at once.
pub const FIRST_CALLS: u32 = 5;
/// Calls of which it is remembered what was decided when trees were thinned out, those under way and those
/// that ended each; between one and two times as many are. That takes 2 MiB.
pub const DECISIONS_MAX: usize = 16_384;
/// How long that is remembered of calls that have ended, for callees on other threads that outlive them;
/// at most twice as long.
pub const DECISIONS_AGE: Duration = Duration::from_secs(60);
/// Rows a second and function of calls that are slower than the function's own 99th percentile.
pub const SLOW_ROWS: u32 = 10;
/// Calls of the last seconds from which on a function has a 99th percentile worth the name.
pub const SLOW_CALLS_LEAST: u64 = 1000;
/// How far the coarse clock may lag behind, by which slow calls are noticed that are only counted: a
/// wake-up each costs a quarter of a percent of a core, and only while there are such calls.
pub const COARSE_PERIOD: Duration = Duration::from_millis(4);
/// The coarse clock standing still for this long is told: the recorder's thread got no processor, and calls that
/// were slow in that time may have gone unnoticed.
pub const COARSE_STOOD: Duration = Duration::from_millis(16);
/// How often the ladder looks at what functions cost.
pub const LADDER_INTERVAL: Duration = Duration::from_secs(1);
/// Its first look: what is very hot should not be timed for a whole second.
pub const LADDER_FIRST: Duration = Duration::from_millis(250);
/// How often what is known of a function's sampling is written where nothing but its figures changed.
pub const RATE_ROWS_INTERVAL: Duration = Duration::from_secs(5);
/// Pause between drains: under the time a person notices, and at about 30 µs of CPU a wake-up cheap.
pub const DRAIN_INTERVAL: Duration = Duration::from_millis(100);
/// A shorter pause is a busy loop.
pub const DRAIN_INTERVAL_MIN: Duration = Duration::from_millis(1);
/// A longer pause would leave rings full for most of it.
pub const DRAIN_INTERVAL_MAX: Duration = Duration::from_secs(60);
/// Most rows in a transaction. Past a few thousand the cost of the commit no longer shows in rows per
/// second, and a longer transaction only holds the write lock longer.
pub const BATCH_ROWS: usize = 4096;
/// A batch above this would hold the write lock of the store for seconds.
pub const BATCH_ROWS_MAX: usize = 1_000_000;
/// Pause between batches that are not full. Each changes a dozen pages beside those of its calls, and
/// each page is written whole: at 1000 calls a second, a batch every 100 ms wrote 460 bytes a row over
/// its life, one a second writes 120. The first batch after a pause goes at once.
pub const BATCH_INTERVAL: Duration = Duration::from_secs(1);
/// With at least so many calls waiting, which nobody follows by eye, the pause is twice as long: at 100
/// calls a second that writes 400 bytes a row instead of 620, at 1000 some 100.
pub const BATCH_ROWS_MANY: usize = 64;
/// Most bytes in a transaction: bounds the write-ahead log that one batch adds.
pub const BATCH_BYTES_MAX: usize = 4 * KIB * KIB;

/// Rings may take this share of the memory, a half; the backlog gets the rest, less the room for one batch under way
/// and for failures that found no room in their rings.
pub const RINGS_SHARE: usize = 2;
/// Failures that travel around a full ring may take this share of the memory, an eighth.
pub const OVERFLOW_SHARE: usize = 8;
/// Functions a program may have; calls of any further function are not monitored. A thread's tallies are twelve
/// blocks, the first of 32 functions and each twice as large as the one before.
pub const SITES_MAX: u32 = 32 * ((1 << 12) - 1);
/// One thread's ring: 4096 calls. It stays in the cache: a ring of 2 MiB cost 4 ns more a call.
pub const RING_BYTES: usize = 256 * KIB;
/// A thread's second ring, for bursts that overrun the first before the collector has woken up: 32 000
/// calls. Its memory is touched only when that happens.
pub const BURST_BYTES: usize = 2048 * KIB;
/// The smallest ring, when memory runs short: 256 calls.
pub const RING_BYTES_MIN: usize = 16 * KIB;
/// A thread's scratch memory for values of calls under way: at the usual 100 bytes a call, 600 deep.
pub const ARENA_BYTES: usize = 64 * KIB;
/// The values of one call; arguments, extra fields and the result take at most this each.
pub const VALUES_BYTES_MAX: usize = 16 * KIB;
/// Counters and histograms of calls that leave no record, over all threads: 3 KiB a function that a
/// thread samples out. Past it, threads share one table.
pub const TALLY_BYTES_MAX: usize = 32 * KIB * KIB;
/// Functions whose figures go into every batch; when more change, figures are written once a second.
pub const FIGURES_AT_ONCE: usize = 32;
/// Pause between writes of the figures when many functions are busy.
pub const FIGURES_INTERVAL: Duration = Duration::from_secs(1);
/// Pause between steps of retention that find nothing to do.
pub const RETAIN_INTERVAL: Duration = Duration::from_secs(5);
/// How often a process looks for what others on its store left when they died.
pub const RECOVER_INTERVAL: Duration = Duration::from_secs(10);
/// Records waiting for a subscriber; when it is this far behind, it misses some.
pub const SUBSCRIBER_BATCHES_MAX: usize = 256;
/// How often the recorder's thread is restarted within a minute after a panic of its own.
pub const COLLECTOR_RESTARTS_MAX: u32 = 3;
/// Distinct functions: past this (names made at run time) the rest is counted under `other`.
pub const FUNCTIONS_MAX: usize = 65_536;

/// Consecutive failures of the store that open the breaker: one or two may be chance.
pub const BREAKER_FAILURES: u32 = 3;
/// Pause before the store is tried again: long enough for a disk to be cleaned, short enough that the
/// backlog usually holds what happens meanwhile.
pub const BREAKER_PAUSE: Duration = Duration::from_secs(30);

/// Pause before a write that failed is tried again; it doubles with each try, half of it left to chance.
pub const RETRY_FAILED_MIN: Duration = Duration::from_millis(200);
/// The longest such pause: what a breaker that is held closed comes to.
pub const RETRY_FAILED_MAX: Duration = Duration::from_secs(10);
/// The same where another process was writing, which takes a few milliseconds.
pub const RETRY_BUSY_MIN: Duration = Duration::from_millis(5);
/// The longest pause after which a lock held by others is asked for again.
pub const RETRY_BUSY_MAX: Duration = Duration::from_millis(400);
/// Bytes of a reason for which a breaker is held, and of the name of whoever holds it.
pub const REASON_BYTES_MAX: usize = 500;

/// Rules of a sampling setting; they are walked once per function, not per call.
pub const SAMPLING_RULES_MAX: usize = 1000;
/// Bytes of a sampling pattern: longer than any path of a function.
pub const PATTERN_BYTES_MAX: usize = 512;
/// How often the table `sampling` is looked at: a rate set from outside holds within a second.
pub const RATES_INTERVAL: Duration = Duration::from_millis(500);
/// How often the settings file is looked at: what has changed and settled holds after two looks.
pub const CONFIG_INTERVAL: Duration = Duration::from_millis(250);
/// How often the process's own resources are sampled.
pub const RESOURCES_INTERVAL: Duration = Duration::from_secs(10);
/// How often the recorder reports of itself while there is something new: what a person looks at is
/// then at most a second old. A report goes with the batch that is due anyway.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Kinds of failure that are folded side by side; the rest is counted under `other`.
pub const FOLDED_KINDS_MAX: usize = 10_000;
/// Threads remembered by name at most, 250 bytes each. Beyond it those that have no ring are forgotten, and by
/// the store those without a name of their own that called longest ago, before others; should one with a name call
/// again it is shown as `thread-<id>`.
pub const THREADS_KNOWN_MAX: usize = 8_192;
/// How long the end of the program may wait for the last rows.
pub const EXIT_DRAIN_MAX: Duration = Duration::from_secs(2);

/// Bytes of the settings file: a hundred times what all settings take.
pub const CONFIG_FILE_BYTES_MAX: u64 = 256 * 1024;
/// Characters of a bad value that a warning repeats.
pub const WARNING_VALUE_CHARS_MAX: usize = 80;
/// Bytes of a service name.
pub const SERVICE_BYTES_MAX: usize = 200;
