//! Ten thousand functions in four forms: plain, monitored, with two counter reads, and with two counter reads and a
//! word. Their call sites, counts and code do not fit into the caches. Each function returns another value, so that
//! the compiler merges none of them.

use std::hint::black_box;
use std::sync::atomic::AtomicU32;

use monitor_benches::Case;

pub(crate) const ONE: &str = "1 function, by pointer";
pub(crate) const HUNDRED: &str = "100 functions in turn";
pub(crate) const ALL: &str = "10 000 functions in turn";
pub(crate) const READS_ONE: &str = "two counter reads, 1 function by pointer";
pub(crate) const READS_ALL: &str = "two counter reads, 10 000 functions in turn";
pub(crate) const WORD_ONE: &str = "two counter reads and a word, 1 function by pointer";
pub(crate) const WORD_ALL: &str = "two counter reads and a word, 10 000 functions in turn";

pub(crate) fn cases() -> [Case; 7] {
    let case = |name, baseline, measured| Case { name, calls: PASS, baseline, measured };
    [
        case(READS_ONE, call_in_turn::<Plain, 1>, call_in_turn::<Reads, 1>),
        case(READS_ALL, call_in_turn::<Plain, 10_000>, call_in_turn::<Reads, 10_000>),
        case(WORD_ONE, call_in_turn::<Plain, 1>, call_in_turn::<Word, 1>),
        case(WORD_ALL, call_in_turn::<Plain, 10_000>, call_in_turn::<Word, 10_000>),
        case(ONE, call_in_turn::<Plain, 1>, call_in_turn::<Monitored, 1>),
        case(HUNDRED, call_in_turn::<Plain, 100>, call_in_turn::<Monitored, 100>),
        case(ALL, call_in_turn::<Plain, 10_000>, call_in_turn::<Monitored, 10_000>),
    ]
}

/// Calls in a pass: one for each function. After one pass that is not measured the caches are in the state in
/// which a program that does nothing else leaves them.
pub(crate) const PASS: u32 = 10_000;

/// Calls the first `N` functions in turn: each once before any is called again. The order is one that no
/// prefetcher follows, a linear congruence with full period for 1, 100 and 10 000.
fn call_in_turn<K: Kind, const N: usize>(passes: u32) {
    let functions = K::TABLE.as_flattened().as_flattened().as_flattened();
    let mut place = 0;
    for _ in 0..passes * PASS {
        black_box(functions[place](black_box(1)));
        place = (place * 1_441 + 2_531) % N;
    }
}

type Function = fn(u64) -> u64;
type Table = [[[[Function; 10]; 10]; 10]; 10];

/// A form of the functions, and the table of all functions in that form.
trait Kind {
    const TABLE: &'static Table;
}

/// The monitored functions.
struct Monitored;

impl Kind for Monitored {
    const TABLE: &'static Table = &MONITORED;
}

/// The least work of any recorder that times calls: each function reads the counter twice.
struct Reads;

impl Kind for Reads {
    const TABLE: &'static Table = &READS;
}

/// The least work of a recorder that can switch single functions off: each function reads the counter twice, and
/// loads a word of its own from a cache line that it shares with no other function.
struct Word;

impl Kind for Word {
    const TABLE: &'static Table = &WORDS;
}

/// The word of a function that is switched off.
const OFF: u32 = 1;

#[repr(align(64))]
struct Line(AtomicU32);

/// The functions without any attribute or measurement.
struct Plain;

impl Kind for Plain {
    const TABLE: &'static Table = &PLAIN;
}

/// Makes ten modules, fills each by the macro `$inner`, and makes tables of the functions that they hold. Four
/// levels of this macro make ten thousand functions, whose decimal digits are the modules' names.
macro_rules! ten {
    ($inner:ident, $element:ty) => {
        ten!(@ $inner, $element, _0 = 0, _1 = 1, _2 = 2, _3 = 3, _4 = 4, _5 = 5, _6 = 6, _7 = 7, _8 = 8, _9 = 9);
    };
    (@ $inner:ident, $element:ty, $($digit:ident = $value:literal),*) => {
        $(mod $digit {
            const NUMBER: u64 = super::NUMBER * 10 + $value;
            $inner!();
        })*
        pub(super) const MONITORED: [$element; 10] = [$($digit::MONITORED),*];
        pub(super) const PLAIN: [$element; 10] = [$($digit::PLAIN),*];
        pub(super) const READS: [$element; 10] = [$($digit::READS),*];
        pub(super) const WORDS: [$element; 10] = [$($digit::WORDS),*];
    };
}

macro_rules! function {
    () => {
        #[monitored::monitor(skip_all, no_result)]
        #[inline(never)]
        fn monitored(number: u64) -> u64 {
            ::std::hint::black_box(number) + NUMBER
        }

        #[inline(never)]
        fn plain(number: u64) -> u64 {
            ::std::hint::black_box(number) + NUMBER
        }

        #[inline(never)]
        fn reads(number: u64) -> u64 {
            let start = ::monitor_benches::floor::counter();
            let result = ::std::hint::black_box(number) + NUMBER;
            ::std::hint::black_box(::monitor_benches::floor::counter().wrapping_sub(start));
            result
        }

        #[inline(never)]
        fn word(number: u64) -> u64 {
            static LINE: crate::table::Line = crate::table::Line(::std::sync::atomic::AtomicU32::new(0));
            let word = ::std::hint::black_box(&LINE).0.load(::std::sync::atomic::Ordering::Relaxed);
            if word == crate::table::OFF {
                return number;
            }
            let start = ::monitor_benches::floor::counter();
            let result = ::std::hint::black_box(number) + NUMBER;
            ::std::hint::black_box(::monitor_benches::floor::counter().wrapping_sub(start) + u64::from(word));
            result
        }

        pub(super) const WORDS: fn(u64) -> u64 = word;
        pub(super) const READS: fn(u64) -> u64 = reads;
        pub(super) const MONITORED: fn(u64) -> u64 = monitored;
        pub(super) const PLAIN: fn(u64) -> u64 = plain;
    };
}

macro_rules! ones {
    () => {
        ten!(function, fn(u64) -> u64);
    };
}

macro_rules! tens {
    () => {
        ten!(ones, [fn(u64) -> u64; 10]);
    };
}

macro_rules! hundreds {
    () => {
        ten!(tens, [[fn(u64) -> u64; 10]; 10]);
    };
}

const NUMBER: u64 = 0;
ten!(hundreds, [[[fn(u64) -> u64; 10]; 10]; 10]);
