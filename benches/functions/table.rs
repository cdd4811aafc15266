//! Ten thousand functions, each monitored and not: what calls cost when their call sites, counts and
//! code no longer lie in the caches. Each returns something else, so that the compiler merges none.

use std::hint::black_box;
use std::sync::atomic::AtomicU32;

use monitor_benches::Case;

pub(crate) const ONE: &str = "1 function, by pointer";
pub(crate) const HUNDRED: &str = "100 functions by turns";
pub(crate) const ALL: &str = "10 000 functions by turns";
pub(crate) const READS_ONE: &str = "two counter reads, 1 function by pointer";
pub(crate) const READS_ALL: &str = "two counter reads, 10 000 functions by turns";

pub(crate) const WORD_ONE: &str = "the same and a word of its own, 1 function by pointer";
pub(crate) const WORD_ALL: &str = "the same and a word of its own, 10 000 functions by turns";

pub(crate) fn cases() -> [Case; 7] {
    let case = |name, without, with| Case { name, calls: PASS, without, with };
    [
        case(READS_ONE, turns::<Without, 1>, turns::<Reads, 1>),
        case(READS_ALL, turns::<Without, 10_000>, turns::<Reads, 10_000>),
        case(WORD_ONE, turns::<Without, 1>, turns::<Word, 1>),
        case(WORD_ALL, turns::<Without, 10_000>, turns::<Word, 10_000>),
        case(ONE, turns::<Without, 1>, turns::<With, 1>),
        case(HUNDRED, turns::<Without, 100>, turns::<With, 100>),
        case(ALL, turns::<Without, 10_000>, turns::<With, 10_000>),
    ]
}

/// Calls in a pass: as many as there are functions, so that one pass that is not measured leaves in the caches
/// what stays there of a program that does nothing else.
pub(crate) const PASS: u32 = 10_000;

/// Calls `N` of the functions, each once before any is called again, in an order that no prefetcher
/// follows: a linear congruence of full period for 1, 100 and 10 000.
fn turns<K: Kind, const N: usize>(passes: u32) {
    let functions = K::TABLE.as_flattened().as_flattened().as_flattened();
    let mut place = 0;
    for _ in 0..passes * PASS {
        black_box(functions[place](black_box(1)));
        place = (place * 1_441 + 2_531) % N;
    }
}

type Function = fn(u64) -> u64;
type Table = [[[[Function; 10]; 10]; 10]; 10];

trait Kind {
    const TABLE: &'static Table;
}

struct With;

impl Kind for With {
    const TABLE: &'static Table = &WITH;
}

/// What remains of any recorder: each function reads the counter twice, and nothing else.
struct Reads;

impl Kind for Reads {
    const TABLE: &'static Table = &READS;
}

/// The least that a recorder of functions needs that can be told apart and switched off: each function looks at a
/// word of its own besides, in a cache line that it shares with no other.
struct Word;

impl Kind for Word {
    const TABLE: &'static Table = &WORDS;
}

/// What the word says where a function is switched off.
const OFF: u32 = 1;

#[repr(align(64))]
struct Line(AtomicU32);

struct Without;

impl Kind for Without {
    const TABLE: &'static Table = &WITHOUT;
}

/// Ten modules, each with what another macro puts into it, and tables of what they hold.
macro_rules! ten {
    ($inner:ident, $element:ty) => {
        ten!(@ $inner, $element, _0 = 0, _1 = 1, _2 = 2, _3 = 3, _4 = 4, _5 = 5, _6 = 6, _7 = 7, _8 = 8, _9 = 9);
    };
    (@ $inner:ident, $element:ty, $($digit:ident = $value:literal),*) => {
        $(mod $digit {
            const HERE: u64 = super::HERE * 10 + $value;
            $inner!();
        })*
        pub(super) const WITH: [$element; 10] = [$($digit::WITH),*];
        pub(super) const WITHOUT: [$element; 10] = [$($digit::WITHOUT),*];
        pub(super) const READS: [$element; 10] = [$($digit::READS),*];
        pub(super) const WORDS: [$element; 10] = [$($digit::WORDS),*];
    };
}

macro_rules! function {
    () => {
        #[monitored::monitor(skip_all, no_result)]
        #[inline(never)]
        fn with(number: u64) -> u64 {
            ::std::hint::black_box(number) + HERE
        }

        #[inline(never)]
        fn without(number: u64) -> u64 {
            ::std::hint::black_box(number) + HERE
        }

        #[inline(never)]
        fn reads(number: u64) -> u64 {
            let start = ::monitor_benches::floor::counter();
            let result = ::std::hint::black_box(number) + HERE;
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
            let result = ::std::hint::black_box(number) + HERE;
            ::std::hint::black_box(::monitor_benches::floor::counter().wrapping_sub(start) + u64::from(word));
            result
        }

        pub(super) const WORDS: fn(u64) -> u64 = word;
        pub(super) const READS: fn(u64) -> u64 = reads;
        pub(super) const WITH: fn(u64) -> u64 = with;
        pub(super) const WITHOUT: fn(u64) -> u64 = without;
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

const HERE: u64 = 0;
ten!(hundreds, [[[fn(u64) -> u64; 10]; 10]; 10]);
