//! The models. Producer and consumer are both threads of their own, because loom interleaves nothing with a consumer
//! on the model's main thread.

use loom::thread;

use crate::accountant::Accountant;
use crate::explore::{Explored, explore};
use crate::guard::machine::{End, Machine};
use crate::guard::{self, PAUSE};
use crate::record::{HEADER_WORDS, Outcome, Record, decode};
use crate::ring::layout::ring::READ;
use crate::ring::spsc::{Push, Ring};
use crate::sync::{AtomicU64, Weakened};
use crate::thread::countdown::Countdown;
use crate::thread::fold_slot::Versioned;
use crate::thread::tally::{Spent, Tally, Unrecorded};

/// Returns accounts without memory. No histogram is then made: it is counted as the rest of a tally is, and hundreds of atomics
/// more would take the models from a second to minutes.
fn no_memory() -> Accountant {
    Accountant::new(0)
}

/// The words of eight bare records: the smallest ring in which a push may skip its look at the head.
const RING_WORDS: usize = 8 * HEADER_WORDS;

fn ring(words: usize) -> &'static Ring {
    incomplete_ring(words, words)
}

fn incomplete_ring(words: usize, ready: usize) -> &'static Ring {
    // The part of the control page that the ring itself uses.
    let control = Vec::leak((0..=READ).map(|_| AtomicU64::new(0)).collect());
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
    if let Some(room) = ring.room(values.len()) {
        for (place, word) in (0..).zip(header) {
            room.put(place, word);
        }
        room.commit_values(header[HEADER_WORDS - 1], &values);
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
        let countdown = Countdown::with_words(zeros());
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
        let countdown = Countdown::with_words(zeros());
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
    const CALLS: u64 = 2;
    explore(weakened, || {
        let tally = tally_of_zeros();
        let owner = thread::spawn(move || {
            for ticks in 1..=CALLS {
                tally.count(Outcome::Ok, Unrecorded::SampledOut, spent(ticks), &no_memory());
            }
        });
        // The reader reads once beside the owner, so each word may have any of the values that the owner gave it.
        let reader = thread::spawn(move || read_counts(tally));
        owner.join().expect("the owner ends");
        let (before, now) = (reader.join().expect("the reader ends"), read_counts(tally));
        assert!(now.0 >= before.0 && now.1 >= before.1, "{before:?} {now:?}");
        assert_eq!(now, (CALLS, (1..=CALLS).sum()));
        assert_eq!(tally.take_max_ticks(), CALLS);
    })
}

/// Returns words that live as long as the model's threads.
fn zeros<const N: usize>() -> &'static [AtomicU64; N] {
    Box::leak(Box::new(std::array::from_fn(|_| AtomicU64::new(0))))
}

/// Returns a tally that has counted nothing.
fn tally_of_zeros() -> Tally {
    Tally::with_words(zeros(), Box::leak(Box::default()))
}

/// Returns the times of a call that only its duration is known of.
fn spent(duration: u64) -> Spent {
    Spent { duration, ..Spent::default() }
}

/// Reads the counters once: each further reading would multiply the interleavings.
fn read_counts(tally: Tally) -> (u64, u64) {
    let counts = tally.read_once();
    (counts.calls()[0], counts.sums().durations)
}

/// Plants a bug: two threads count in a table as if each were its owner.
#[must_use]
pub fn tally_of_two_owners() -> Explored {
    explore(Weakened::Nothing, || {
        let tally = tally_of_zeros();
        let count = || {
            thread::spawn(move || tally.count(Outcome::Ok, Unrecorded::SampledOut, spent(1), &no_memory()))
        };
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
        let tally = tally_of_zeros();
        let count = |ticks: u64| {
            thread::spawn(move || {
                tally.count_shared(Outcome::Error, Unrecorded::RingFull, spent(ticks), &no_memory())
            })
        };
        let (one, two) = (count(5), count(7));
        one.join().expect("the first ends");
        two.join().expect("the second ends");
        assert_eq!(tally.read().calls()[Outcome::Error as usize], 2);
        assert_eq!(tally.read().unrecorded()[Unrecorded::RingFull as usize], 2);
        assert_eq!(tally.read().sums().durations, 12);
        assert_eq!(tally.take_max_ticks(), 7);
    })
}

/// One thread changes two words, while another thread reads them twice. Each reading gives both words of one version,
/// with the number of that version, or nothing. The second reading gives no older words than the first.
#[must_use]
pub fn versioned(weakened: Weakened) -> Explored {
    explore(weakened, || {
        let words: &'static Versioned<2> = Box::leak(Box::new(Versioned::new()));
        let owner = thread::spawn(move || (1..=2).for_each(|number| words.put([number; 2])));
        let reader = thread::spawn(move || [words.read(), words.read()]);
        owner.join().expect("the owner ends");
        let mut last = 0;
        for ([first, second], version) in reader.join().expect("the reader ends").into_iter().flatten() {
            assert_eq!(first, second, "torn words");
            assert_eq!(version, 2 * first, "words of another version");
            assert!(first >= last, "older words than before");
            last = first;
        }
        assert_eq!(words.read(), Some(([2; 2], 4)));
    })
}

/// Two calls arrive at a guard whose pause is over. A call that tries writes to memory that only one thread may touch at a time,
/// and gives up, so that the other may try. At least one of them tries.
pub fn one_try_at_a_time(weakened: Weakened) -> Explored {
    explore(weakened, || {
        let machine: &'static Machine = Box::leak(Box::new(guard::opened()));
        let memory: &'static AtomicU64 = Box::leak(Box::new(AtomicU64::plain(0)));
        let arrive = move || {
            let ticket = machine.admit(PAUSE).0.ok()?;
            assert!(ticket.is_try, "a call is let through that does not try");
            memory.store(1, std::sync::atomic::Ordering::Relaxed);
            machine.end(ticket, PAUSE, End::Nothing);
            Some(())
        };
        let calls = [thread::spawn(arrive), thread::spawn(arrive)];
        let tries = calls.map(|call| call.join().expect("a call ends"));
        assert!(tries.iter().any(Option::is_some), "nobody tries");
    })
}

/// Two calls arrive at a guard whose pause is over, and the part is back: one call tries and closes the breaker, and the other is
/// turned away or comes after it.
pub fn one_try_closes(weakened: Weakened) -> Explored {
    explore(weakened, || {
        let machine: &'static Machine = Box::leak(Box::new(guard::opened()));
        let arrive = move || {
            let ticket = machine.admit_fast().or_else(|| machine.admit(PAUSE).0.ok())?;
            if !machine.succeed_fast(ticket) {
                machine.end(ticket, PAUSE, End::Success);
            }
            Some(ticket.is_try)
        };
        let calls = [thread::spawn(arrive), thread::spawn(arrive)];
        let tries = calls.map(|call| call.join().expect("a call ends"));
        assert_eq!(tries.iter().filter(|is_try| **is_try == Some(true)).count(), 1, "{tries:?}");
        assert!(machine.admit_fast().is_some(), "the breaker is closed");
    })
}

/// A call opens the breaker while another arrives, which passes or is told how long the pause is.
pub fn pause_of_an_opening(weakened: Weakened) -> Explored {
    explore(weakened, || {
        let machine: &'static Machine = Box::leak(Box::new(guard::closed()));
        let failing = thread::spawn(|| guard::fail(machine));
        let arriving = thread::spawn(|| guard::retry_in(machine));
        failing.join().expect("the call ends");
        let left = arriving.join().expect("the call ends");
        assert!(left.is_none_or(|left| left == PAUSE), "a pause of {left:?}");
    })
}
