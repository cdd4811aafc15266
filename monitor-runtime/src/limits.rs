//! Holds every bound and default of the recorder, each with its reason. Everything that grows is bounded by a
//! constant in this file; nothing here is computed. The budget of a captured value is `capture::limits`.

use std::time::Duration;

const KIB: usize = 1024;
const MIB: u64 = 1024 * 1024;

/// The age at which rows are deleted, so that a working day's incident is still there when someone looks.
pub const RETENTION: Duration = Duration::from_secs(6 * 3600);
/// The shortest retention: a shorter one would delete rows before a reader that polls once a second saw them.
pub const RETENTION_MIN: Duration = Duration::from_secs(1);
/// The longest retention, a hundred years: an `i64` of nanoseconds since 1970 still holds any moment minus this.
pub const RETENTION_MAX: Duration = Duration::from_secs(100 * 365 * 86_400);
/// The bound on database and write-ahead log together, small beside any disk that runs services.
pub const MAX_DISK_BYTES: u64 = 512 * MIB;
/// The smallest bound on the disk: below it the schema, its indexes and one batch no longer fit beside the write-ahead
/// log.
pub const MAX_DISK_BYTES_MIN: u64 = MIB;
/// The most bytes of a text in the tables that control processes. The checks of these tables allow 500 characters, each
/// of at most four bytes.
pub const CONTROL_TEXT_BYTES_MAX: i64 = 2048;
/// The number of rates that a process takes from the table `sampling`, the latest ones: more than anybody sets by hand.
pub const SET_RATES_MAX: i64 = 1000;
/// The time for which the program's first call waits for the panic hook. Setting it takes some ten microseconds, unless
/// another thread is inside a hook of the program's just then.
pub const HOOK_WAIT_MAX: Duration = Duration::from_millis(50);
/// The bytes that are kept of a panic's message. With the panic's place they fill the kilobyte that an error's text may
/// have, and a message of megabytes costs no more than this.
pub const PANIC_TEXT_BYTES_MAX: usize = 3 * KIB / 4;
/// The bound on all memory whose size depends on load: see `accountant`.
pub const MAX_MEMORY_BYTES: u64 = 64 * MIB;
/// The smallest bound on memory: below it there is no room for a few threads' rings and any backlog at all.
pub const MAX_MEMORY_BYTES_MIN: u64 = MIB;
/// The rows per second and function that may be written: as many as fill the store's usual bound in ten minutes. A
/// process that uses one core reaches [`MAX_OVERHEAD`] before this rate, so the rate only bounds bursts and processes
/// with many cores.
pub const MAX_RATE: u32 = 10_000;
/// The share of one core, or of the process's CPU time if that is more, that the recorder may cost. Above this share
/// the ladder (`collect::ladder`) lowers functions: it records less of them.
pub const MAX_OVERHEAD: f64 = 0.01;
/// The number of first calls of a function in a process that get a row at any rate, so that a user sees at once that
/// the function runs and what its calls look like.
pub const FIRST_CALLS: u32 = 5;
/// The number of tail sampling's decisions that are remembered, for calls in flight and for ended calls each.
/// Between one and two times as many are kept, which takes 2 MiB. A tree that was removed with its root takes one
/// decision, so the memory holds the trees of the full rings of four threads if they have nine calls each.
pub const DECISIONS_MAX: usize = 16_384;
/// The time for which decisions about ended calls are remembered, for callees on other threads that outlive
/// them; at most twice as long.
pub const DECISIONS_AGE: Duration = Duration::from_secs(60);
/// The most calls under way that are remembered because callees of theirs have ended, some 200 bytes each. A program
/// with more requests under way than this loses counts of some trees, and an event reports that.
pub const PARENTS_MAX: usize = 16_384;
/// The time after which a call under way is forgotten if none of its callees ended. Its own record may never come,
/// because it was lost or its tree is not kept.
pub const PARENTS_AGE: Duration = Duration::from_secs(60);
/// The most functions whose calls are counted below one call under way. Calls of further functions are not counted: a
/// call with so many different callees is the main loop of a program rather than a call that repeats one callee.
pub const CALLEES_MAX: usize = 256;
/// The number of calls of one function below one caller that have a row each; the calls after them share one. A page of
/// a trace shows as many, and an N+1 query is plain to see by then.
pub const FOLD_AFTER: u32 = 64;
/// The time after which calls share another row if their caller goes on: a window of the view `latency`.
pub const FOLD_WINDOW: Duration = Duration::from_secs(10);
/// The most shared rows that calls are still being added to. Each takes some 300 bytes and has a copy in the ring file.
pub const FOLDS_MAX: usize = 1024;
/// The most bytes of arguments that are kept of the first of the calls that share a row: enough for a query's text.
pub const FOLD_ARGS_BYTES_MAX: usize = 512;
/// The most failed callees that are remembered of one call under way, each kind of failure of a function once.
pub const FAILED_CALLEES_MAX: usize = 8;
/// The most failed callees that are remembered of all calls under way, some 500 bytes each. A failure beyond this
/// number is shown as if it had begun in the call that passed it on, and an event reports this.
pub const FAILED_CALLEES_ALL_MAX: usize = 8192;
/// The most bytes of a failure's text that are compared with that of its caller: longer than most texts, and short
/// enough that many can be remembered.
pub const FAILURE_TEXT_BYTES_MAX: usize = 256;
/// The most bytes of the path of a failure: some ten functions.
pub const FAILURE_PATH_BYTES_MAX: usize = 256;
/// The causes of failures that wait for the rows of their calls, in each of two generations; each takes some 400 bytes.
pub const CAUSES_MAX: usize = 16_384;
/// The most pairs of a calling function and a called one that are known.
pub const EDGES_MAX: usize = 65_536;
/// The age from which a call under way is taken for a loop, such as `main` or a worker, and not for a request. Each
/// call that a loop makes begins a tree of its own.
pub const LOOP_AGE: Duration = Duration::from_secs(10);
/// The rows per second and function of calls that are slower than the function's own 99th percentile.
pub const SLOW_ROWS: u32 = 10;
/// The number of recent calls from which the 99th percentile of a function is meaningful.
pub const SLOW_CALLS_MIN: u64 = 1000;
/// The time by which the coarse clock may lag behind. The clock shows which calls are slow although they are
/// only counted. One wake-up per period costs a quarter of a percent of a core, and only while calls are
/// counted.
pub const COARSE_PERIOD: Duration = Duration::from_millis(4);
/// The shortest time without an advance of the coarse clock that is reported: the recorder's thread got no processor,
/// and slow calls in that time may have gone unnoticed.
pub const COARSE_STOOD: Duration = Duration::from_millis(16);
/// The interval at which the ladder examines the costs of functions and decides how much of each is recorded.
pub const LADDER_INTERVAL: Duration = Duration::from_secs(1);
/// The time until the ladder examines functions first. It is shorter than the interval, because a very hot function
/// should not be timed for a whole second.
pub const LADDER_FIRST: Duration = Duration::from_millis(250);
/// The interval at which a function's row about sampling is written if only its figures changed.
pub const RATE_ROWS_INTERVAL: Duration = Duration::from_secs(5);
/// The pause between drains under load, shorter than a person notices. A wake-up is cheap: it takes about 30 µs of CPU.
pub const DRAIN_INTERVAL: Duration = Duration::from_millis(100);
/// The longest pause between drains while calls come in, unless the drain interval is longer. With little load each
/// drain is followed by a batch, so a row is visible within two seconds, and the collector wakes up once in two seconds
/// instead of ten times a second.
pub const LIGHT_PAUSE: Duration = Duration::from_millis(1950);
/// The pause of the collector between two steps while nothing happens in the process. The first record in any ring ends
/// the pause. Counters of calls without a record, the tables that people control processes with, and the settings file
/// are read only after the pause.
pub const REST_PAUSE: Duration = Duration::from_secs(5);
/// The shortest pause between drains: a shorter one is a busy loop.
pub const DRAIN_INTERVAL_MIN: Duration = Duration::from_millis(1);
/// The longest pause between drains: a longer one would leave rings full for most of it.
pub const DRAIN_INTERVAL_MAX: Duration = Duration::from_secs(60);
/// The most rows in a transaction. Past a few thousand the cost of the commit no longer shows in rows per
/// second, and a longer transaction only holds the write lock longer.
pub const BATCH_ROWS: usize = 4096;
/// The largest setting of rows in a transaction: a batch above this would hold the write lock of the store for seconds.
pub const BATCH_ROWS_MAX: usize = 1_000_000;
/// The pause between batches that are not full, so that a row is visible within two seconds. Each batch changes some
/// pages beside those of its calls, and each page is written whole. The first batch after a pause is written at once.
pub const BATCH_INTERVAL: Duration = LIGHT_PAUSE;
/// The most bytes in a transaction, which bounds the write-ahead log of one batch.
pub const BATCH_BYTES_MAX: usize = 4 * KIB * KIB;

/// The functions that a program may have; further functions are not monitored. A thread's tallies are twelve
/// blocks, the first of 32 functions and each twice as large as the one before.
pub const SITES_MAX: u32 = 32 * ((1 << 12) - 1);
/// The size of a thread's ring: 4096 calls. The ring stays in the cache: a ring of 2 MiB cost 4 ns more a call.
pub const RING_BYTES: usize = 256 * KIB;
/// The size of a thread's second ring, for bursts that overrun the first before the collector wakes up: 32 000
/// calls. Its memory is touched only when that happens.
pub const BURST_BYTES: usize = 2048 * KIB;
/// The size of the smallest ring, which a thread gets when memory runs short: 256 calls.
pub const RING_BYTES_MIN: usize = 16 * KIB;
/// The size of a thread's scratch memory for values of calls in flight: at the usual 100 bytes a call, 600
/// nested calls.
pub const SCRATCH_BYTES: usize = 64 * KIB;
/// The size of a thread's scratch memory when memory runs short: the values of 40 usual calls under way, and the
/// longest values that one more call may have.
pub const SCRATCH_BYTES_MIN: usize = VALUES_BYTES_MAX + 4 * KIB;
/// The most bytes of one call's values; arguments, extra fields and the result may each take this much.
pub const VALUES_BYTES_MAX: usize = 16 * KIB;
/// The number of calls in a batch from which the statistics (figures) of its functions are written with it. They change
/// six pages of the database, which is little compared with so many rows.
pub const FIGURES_ROWS: usize = 256;
/// The most functions whose figures are written with every such batch. If the figures of more functions change, they
/// are written once a second.
pub const FIGURES_AT_ONCE: usize = 32;
/// The pause between writes of the figures when many functions are busy.
pub const FIGURES_INTERVAL_MANY: Duration = Duration::from_secs(1);
/// The pause between writes of the figures while batches are smaller. When the calls stop, the remaining figures are
/// written at once. At 40 calls a second, a row costs 385 bytes of writing with this pause, and 600 if every batch
/// carried the figures.
pub const FIGURES_INTERVAL: Duration = Duration::from_secs(15);
/// The shortest pause between two copies of the write-ahead log into the database (checkpoints) while nothing happens.
/// Without the pause, a program with a request now and then would write each page twice and wait for the disk after
/// each request.
pub const COPY_INTERVAL: Duration = Duration::from_secs(60);
/// The pause between steps of retention that find no row to delete.
pub const RETAIN_INTERVAL: Duration = Duration::from_secs(5);
/// The bytes of a user's ring files above which the oldest ones that dead processes left for other stores are deleted.
/// This is the default memory of one process, so that a test run of hundreds of programs leaves no more behind than one
/// program takes.
pub const DEAD_RINGS_BYTES_MAX: u64 = 64 * MIB;
/// The interval at which a process looks for records that dead processes left for its store.
pub const RECOVER_INTERVAL: Duration = Duration::from_secs(10);
/// The age from which a process does work that does not pay in a short life: it opens the store, measures the cost of
/// calls, and looks at tables and settings that people control it with. A process that ends earlier writes everything
/// in one go at its end.
pub const SETTLED_AGE: Duration = Duration::from_millis(100);
/// The pause before the collector's first step. A short program ends within this pause, before any other step. A second
/// thread, or a ring that fills up, ends the pause.
pub const FIRST_STEP: Duration = Duration::from_millis(10);
/// The longest time for which the collector does nothing but drain because rings fill up. A thread that fills its ring
/// again and again would otherwise keep the collector from counting tallies, writing batches and lowering functions, and
/// a kill would lose the counts of all that was drained since.
pub const DRAIN_ALONE_MAX: Duration = Duration::from_millis(100);
/// The age up to which a process does not copy the write-ahead log into the database at its end, because the copy waits
/// for the disk three times. A later process copies the log, at the latest when it holds [`SHORT_LOG_BYTES`].
pub const SHORT_LIFE: Duration = Duration::from_secs(1);
/// The bytes of the write-ahead log from which even a short process copies the log into the database and deletes
/// expired rows: about one in twenty short processes does so. A process that opens the store alone reads the log once,
/// which takes a millisecond for this much.
pub const SHORT_LOG_BYTES: u64 = MIB;
/// The most batches that wait for a subscriber; a subscriber that is further behind misses some.
pub const SUBSCRIBER_BATCHES_MAX: usize = 256;
/// Records are delivered to subscribers once they have this many bytes, without waiting for the end of the drain.
pub const DELIVERY_BYTES: usize = 16 * KIB;
/// The number of times that the recorder's thread is restarted within a minute after a panic of its own.
pub const COLLECTOR_RESTARTS_MAX: u32 = 3;
/// The number of distinct functions: past this (names made at run time) the rest is counted under `other`.
pub const FUNCTIONS_MAX: usize = 65_536;

/// The memory that a step of the collector needs for names, texts and rows, which it does not request piece by piece. A
/// step begins only while the machine has as much.
pub const STEP_BYTES: usize = 64 * KIB;

/// The consecutive failures of the store that open the breaker: one or two may be chance.
pub const BREAKER_FAILURES: u32 = 3;
/// The pause before the store is tried again: long enough for a disk to be cleaned, short enough that the
/// backlog usually holds what happens meanwhile.
pub const BREAKER_PAUSE: Duration = Duration::from_secs(30);
/// The call sites that bridges may make at run time: a program has some thousand call sites of spans, and this many
/// take 3 MB.
pub const MADE_SITES_MAX: usize = 10_000;
/// The number of guards of a program that have a row. A guard is a `static`, so programs have a few.
pub const GUARDS_MAX: usize = 1000;

/// The series of metrics that a process may have: more tags than this are a mistake, such as an id of a request in a
/// tag.
pub const METRIC_SERIES_MAX: usize = 10_000;
/// The rows of metrics in a batch; the others go with the next batches.
pub const METRIC_ROWS_MAX: usize = 10_000;

/// The pause before a failed write is tried again. It doubles with each try, and half of it is random.
pub const RETRY_FAILED_MIN: Duration = Duration::from_millis(200);
/// The longest pause before a failed write is tried again; only a breaker that a person holds closed reaches this
/// pause, because otherwise the breaker opens first.
pub const RETRY_FAILED_MAX: Duration = Duration::from_secs(10);
/// The first pause if another process was writing, which takes a few milliseconds.
pub const RETRY_BUSY_MIN: Duration = Duration::from_millis(5);
/// The longest pause before a lock that others hold is requested again.
pub const RETRY_BUSY_MAX: Duration = Duration::from_millis(400);
/// The most bytes of the reason why a breaker is held, and of the name of the person who holds it.
pub const REASON_BYTES_MAX: usize = 500;

/// The most rules of a sampling setting. They are matched once per function, not per call.
pub const SAMPLING_RULES_MAX: usize = 1000;
/// The most bytes of a sampling pattern, longer than any path of a function.
pub const PATTERN_BYTES_MAX: usize = 512;
/// The shortest interval at which the tables `sampling` and `breaker` are read, so that what is set from outside holds
/// within a second under load. With little load they are read with each drain, at rest every five seconds.
pub const RATES_INTERVAL: Duration = Duration::from_millis(500);
/// The shortest interval at which the settings file is checked. A change applies at the second of two checks, this far
/// apart, that find the file in the same state.
pub const CONFIG_INTERVAL: Duration = Duration::from_millis(250);
/// The interval at which the process's own resources are sampled.
pub const RESOURCES_INTERVAL: Duration = Duration::from_secs(10);
/// The age at which a process's resources are first sampled. If it ends before, reading its threads and files takes
/// more time than such a sample is worth.
pub const RESOURCES_FIRST: Duration = Duration::from_secs(1);
/// The interval at which the recorder reports its health while it changes. A report goes with a batch that is due
/// anyway, and when the calls end.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(12);
/// The interval at which a process reports although nothing changed, so that a reader in another container, who cannot
/// see the process, does not take it for dead: half of the silence after which it would.
pub const LIFE_SIGN_INTERVAL: Duration = Duration::from_secs(300);
/// The most kinds of failure that are folded side by side, some 300 bytes each; further kinds are counted under
/// `other`.
pub const FOLDED_KINDS_MAX: usize = 10_000;
/// The bytes of the longest name of a program that the name of its store takes over. File systems allow 255, and a
/// store's files have endings of up to 30.
pub const STORE_NAME_BYTES_MAX: usize = 200;
/// The most blocks of span ids that the store's writer remembers, 40 bytes each: those of threads that ran lately.
pub const SPAN_BLOCKS_KNOWN_MAX: usize = 16_384;
/// The most entries of forgotten threads, and of forgotten blocks of span ids, that the store's writer keeps until
/// their rows expire, 16 bytes each. An entry stands for half of the threads or blocks that are remembered. Beyond this
/// number, the newest entry grows, and its rows expire together.
pub const FORGOTTEN_ROWS_MAX: usize = 4096;
/// The most kinds of failure of one function, so that a function whose messages all differ leaves room to the others.
pub const FUNCTION_KINDS_MAX: usize = 500;
/// The kinds of failure that every function may have even when [`FOLDED_KINDS_MAX`] is reached, so that the first
/// failures of a function always have a kind of their own.
pub const FUNCTION_KINDS_SURE: usize = 16;
/// The most threads remembered by name, 250 bytes each. Past this bound, threads without a ring are forgotten; the
/// store first forgets the threads without a name of their own whose last call is the oldest. A forgotten thread
/// with a name is shown as `thread-<id>` if it calls again.
pub const THREADS_KNOWN_MAX: usize = 8_192;
/// The longest time for which the end of the program waits for the last rows.
pub const EXIT_DRAIN_MAX: Duration = Duration::from_secs(2);

/// The longest time for which the first monitored call waits for the recorder's thread to start. In a child that was
/// forked past the C library, or between a fork and an exec, that thread may wait for ever for a lock of the standard
/// library which another thread of the parent held; the child then records nothing.
pub const START_WAIT_MAX: Duration = Duration::from_secs(5);

/// The most bytes of the settings file, a hundred times the size of all settings.
pub const CONFIG_FILE_BYTES_MAX: u64 = 256 * 1024;
/// The time within which the settings file is read, or given up: more than the busiest machine takes, and short enough
/// for a program whose settings file is on a mount that does not answer.
pub const CONFIG_FILE_WAIT_MAX: Duration = Duration::from_secs(1);
/// The most characters of a bad value that a warning repeats.
pub const WARNING_VALUE_CHARS_MAX: usize = 80;
/// The most bytes of a service name.
pub const SERVICE_BYTES_MAX: usize = 200;
/// The most log lines of one place (level, target, file and line) that get a row each in a second. Further lines are
/// only counted, and the next row of the place holds their number: nobody reads more than a hundred similar lines a
/// second.
pub const LOG_LINES_PER_S: u32 = 100;
/// The most places in the source that log lines come from; further places share an entry for each level. Programs have
/// some hundreds.
pub const LOG_PLACES_MAX: usize = 4096;
/// The most bytes of the target of a place.
pub const LOG_TARGET_BYTES_MAX: usize = 256;
/// The most bytes of the name of a place's source file.
pub const LOG_FILE_BYTES_MAX: usize = 256;
/// The share of the bound on the store that log lines may take: one part in this many. The oldest go first, because the
/// calls are what the store is for.
pub const LOG_DISK_SHARE: u64 = 10;
/// The most calls that the store's writer remembers because they have emitted a log line and their own rows are still
/// to come.
pub const LOG_SPANS_KNOWN_MAX: usize = 16_384;
/// The most alerts of a process that fire at the same time. Beyond this number, one alert for each rule counts the
/// rest, because nobody reads more than a hundred.
pub const ALERTS_MAX: usize = 100;
/// The rules on alerts that a process takes over from the store.
pub const ALERT_RULES_MAX: usize = 200;
/// The alerts that a store keeps after they have ended.
pub const ALERTS_KEPT: i64 = 1000;
