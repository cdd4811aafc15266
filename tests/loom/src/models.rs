//! The models. Producer and consumer are both threads of their own, because loom interleaves nothing with a consumer
//! on the model's main thread.

use loom::thread;

use crate::explore::{Explored, explore};
use crate::record::{HEADER_WORDS, Outcome, Record, decode};
use crate::ring::layout::ring::HEAD;
use crate::ring::spsc::{Push, Ring};
use crate::sync::{AtomicU64, Weakened};
use crate::thread::countdown::Countdown;
use crate::thread::tally::{Spent, Tally, Unrecorded};

/// The words of eight bare records: the smallest ring in which a push may skip its look at the head.
const RING_WORDS: usize = 8 * HEADER_WORDS;

fn ring(words: usize) -> &'static Ring {
    incomplete_ring(words, words)
}

fn incomplete_ring(words: usize, ready: usize) -> &'static Ring {
    // The part of the control page that the ring itself uses.
    let control = Vec::leak((0..=HEAD).map(|_| AtomicU64::new(0)).collect());
    // The words between head and tail belong to the consumer, the rest to the producer.
    let words = Vec::leak((0..words).map(|_| AtomicU64::plain(0)).collect());
    Box::leak(Box::new(Ring::new(control, words, ready)))
}

/// Returns a header whose words name the record that they belong to.
fn header(number: u64, value_words: u64) -> [u64; HEADER_WORDS] {
    let mut words = [number; HEADER_WORDS];
    words[0] = (HEADER_WORDS as u64 + value_words) | number << 32;
    // The record has no bytes of arguments or fields.
    words[6] = 0;
    words
}

/// Returns the numbers of the records in these words. Asserts that each record is whole.
fn numbers(words: &[u64]) -> Vec<u64> {
    let mut numbers = Vec::new();
    let mut rest = words;
    while let Some((record, used)) = decode(rest) {
        if let Record::Call(read, values, _) = record {
            let number = u64::from(read.site);
            let header_words =
                [read.start, read.duration, read.span, read.parent, read.trace, read.self_ticks];
            assert!(header_words.iter().chain(values).all(|word| *word == number), "a torn record: {rest:?}");
            numbers.push(number);
        }
        rest = &rest[used..];
    }
    assert!(rest.is_empty(), "words that are no record: {rest:?}");
    numbers
}

fn drain(ring: &Ring) -> Vec<u64> {
    let mut words = Vec::new();
    ring.drain(|_, piece| piece.append_to(&mut words));
    numbers(&words)
}

/// Runs a producer and a consumer at once, and asserts that the consumer reads what the producer wrote: in two drains,
/// and a last one after both have ended.
fn run_at_once(ring: &'static Ring, produce: impl Fn(&Ring) -> Vec<u64> + Send + 'static) {
    let producer = thread::spawn(move || produce(ring));
    let consumer = thread::spawn(move || [drain(ring), drain(ring)].concat());
    let written = producer.join().expect("the producer ends");
    let mut read = consumer.join().expect("the consumer ends");
    read.extend(drain(ring));
    assert_eq!(read, written, "what was written is read, once and in order");
    assert_eq!(ring.pending(), 0);
}

/// Pushes a bare record, by the quick way where that is open. Returns the way it took.
fn push_bare(ring: &Ring, number: u64) -> Way {
    let header = header(number, 0);
    if let Some(room) = ring.room(0) {
        room.write(header, &[]);
        Way::Quick
    } else if ring.push(&header, &[]) == Push::Full {
        Way::None
    } else {
        Way::Slow
    }
}

/// Pushes a record with four words of values. Returns the way it took.
fn push_with_values(ring: &Ring, number: u64) -> Way {
    let (header, values) = (header(number, 4), [number.to_le_bytes(); 4]);
    if let Some(room) = ring.room_for_few(values.len()) {
        for (place, word) in (0..).zip(header) {
            room.put(place, word);
        }
        room.commit_few(header[HEADER_WORDS - 1], &values);
        Way::Quick
    } else if ring.push(&header, &values) == Push::Full {
        Way::None
    } else {
        Way::Slow
    }
}

/// The way of a record into the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Without a look at the head.
    Quick,
    Slow,
    /// There was no room.
    None,
}

/// Returns the numbers of the records that were written. Asserts that both ways of writing are among them: a model of
/// one says nothing about the other.
fn numbers_written(ways: &[(u64, Way)]) -> Vec<u64> {
    for way in [Way::Quick, Way::Slow] {
        assert!(ways.iter().any(|(_, taken)| *taken == way), "nothing went the {way:?} way: {ways:?}");
    }
    ways.iter().filter(|(_, way)| *way != Way::None).map(|(number, _)| *number).collect()
}

/// Pushes records of a header alone through a ring that holds some already and has no room for all.
#[must_use]
pub fn headers(weakened: Weakened) -> Explored {
    explore(weakened, || {
        let ring = ring(RING_WORDS);
        let before: Vec<u64> = (1..=5).filter(|number| push_bare(ring, *number) != Way::None).collect();
        run_at_once(ring, move |ring| {
            let ways: Vec<_> = (6..=10).map(|number| (number, push_bare(ring, number))).collect();
            [before.clone(), numbers_written(&ways)].concat()
        });
    })
}

/// Pushes records with values, one of which comes after a skip at the end of the ring.
#[must_use]
pub fn values(weakened: Weakened) -> Explored {
    explore(weakened, || {
        let ring = ring(2 * RING_WORDS);
        for number in 1..=8 {
            assert_ne!(push_with_values(ring, number), Way::None);
        }
        assert_eq!(drain(ring), (1..=8).collect::<Vec<_>>());
        run_at_once(ring, |ring| {
            let ways: Vec<_> = (9..=12).map(|number| (number, push_with_values(ring, number))).collect();
            numbers_written(&ways)
        });
    })
}

/// Closes a ring by its producer, as a thread does that turns to its ring for bursts.
#[must_use]
pub fn closing(weakened: Weakened) -> Explored {
    explore(weakened, || {
        run_at_once(ring(RING_WORDS), |ring| {
            let ways: Vec<_> = (1..=3).map(|number| (number, push_bare(ring, number))).collect();
            ring.close();
            assert!(ring.room(0).is_none(), "a closed ring takes the slow way");
            assert_ne!(push_bare(ring, 4), Way::None);
            [numbers_written(&ways), vec![4]].concat()
        });
    })
}

/// Lets the producer use a part of a ring while the collector makes the rest ready and drains.
#[must_use]
pub fn completing(weakened: Weakened) -> Explored {
    explore(weakened, || {
        let ring = incomplete_ring(RING_WORDS, 2 * HEADER_WORDS);
        let producer = thread::spawn(move || {
            let numbers = (1..=3).filter(|number| push_bare(ring, *number) != Way::None);
            numbers.collect::<Vec<u64>>()
        });
        let collector = thread::spawn(move || {
            ring.complete();
            drain(ring)
        });
        let written = producer.join().expect("the producer ends");
        let mut read = collector.join().expect("the collector ends");
        read.extend(drain(ring));
        assert_eq!(read, written, "what was written is read, once and in order");
        assert!(written.starts_with(&[1, 2]), "what is ready is used: {written:?}");
        assert_ne!(push_bare(ring, 4), Way::None);
        assert_eq!(drain(ring), [4]);
    })
}

/// Counts calls at their beginning, one of which fails, while the collector reads: neither number decreases.
#[must_use]
pub fn countdown(weakened: Weakened) -> Explored {
    explore(weakened, || {
        let countdown: &'static Countdown = Box::leak(Box::default());
        countdown.set_gap(1, 2);
        let owner = thread::spawn(move || {
            let left_out = (0..3).filter(|_| countdown.skip_counted(1)).count();
            countdown.note_recorded();
            countdown.set_gap(2, 1);
            left_out + usize::from(countdown.skip_counted(2)) + usize::from(countdown.skip_counted(1))
        });
        let reader = thread::spawn(move || {
            let (before, now) = (countdown.counted(), countdown.counted());
            assert!(now >= before && countdown.failed() <= 1, "{before} {now}");
        });
        assert_eq!(owner.join().expect("the owner ends"), 3);
        reader.join().expect("the reader ends");
        assert_eq!((countdown.counted(), countdown.failed()), (3, 1));
    })
}

/// Plants a bug: two threads count down in a table as if each were its owner.
#[must_use]
pub fn countdown_of_two_owners() -> Explored {
    explore(Weakened::Nothing, || {
        let countdown: &'static Countdown = Box::leak(Box::default());
        countdown.set_gap(1, 9);
        let count = || thread::spawn(move || countdown.skip_counted(1));
        let (one, two) = (count(), count());
        one.join().expect("the first ends");
        two.join().expect("the second ends");
        assert_eq!(countdown.counted(), 2, "no call is lost");
    })
}

/// Counts calls on their thread while the collector takes differences: what it sees never decreases, and in the end it
/// has seen every call once.
#[must_use]
pub fn tally(weakened: Weakened) -> Explored {
    const CALLS: u64 = 3;
    explore(weakened, || {
        let tally: &'static Tally = Box::leak(Box::default());
        let owner = thread::spawn(move || {
            for ticks in 1..=CALLS {
                tally.count(Outcome::Ok, Unrecorded::SampledOut, spent(ticks));
            }
        });
        let reader = thread::spawn(move || {
            let (before, now) = (read_counts(tally), read_counts(tally));
            assert!(now.0 >= before.0 && now.1 >= before.1, "{before:?} {now:?}");
        });
        owner.join().expect("the owner ends");
        reader.join().expect("the reader ends");
        assert_eq!(read_counts(tally), (CALLS, (1..=CALLS).sum()));
        assert_eq!(tally.take_max_ticks(), CALLS);
    })
}

/// Returns the times of a call that only its duration is known of.
fn spent(duration: u64) -> Spent {
    Spent { duration, ..Spent::default() }
}

fn read_counts(tally: &Tally) -> (u64, u64) {
    (tally.calls()[0], tally.sums().durations)
}

/// Plants a bug: two threads count in a table as if each were its owner.
#[must_use]
pub fn tally_of_two_owners() -> Explored {
    explore(Weakened::Nothing, || {
        let tally: &'static Tally = Box::leak(Box::default());
        let count = || thread::spawn(move || tally.count(Outcome::Ok, Unrecorded::SampledOut, spent(1)));
        let (one, two) = (count(), count());
        one.join().expect("the first ends");
        two.join().expect("the second ends");
        assert_eq!(read_counts(tally), (2, 2), "no call is lost");
    })
}

/// Counts calls of two threads in the table that they share for want of memory.
#[must_use]
pub fn shared_tally(weakened: Weakened) -> Explored {
    explore(weakened, || {
        let tally: &'static Tally = Box::leak(Box::default());
        let count = |ticks: u64| {
            thread::spawn(move || tally.count_shared(Outcome::Error, Unrecorded::RingFull, spent(ticks)))
        };
        let (one, two) = (count(5), count(7));
        one.join().expect("the first ends");
        two.join().expect("the second ends");
        assert_eq!(tally.calls()[Outcome::Error as usize], 2);
        assert_eq!(tally.unrecorded()[Unrecorded::RingFull as usize], 2);
        assert_eq!(tally.sums().durations, 12);
        assert_eq!(tally.take_max_ticks(), 7);
    })
}
