//! The models. Producer and consumer are both threads of their own: with the consumer on the model's
//! main thread loom sees nothing to interleave.

use loom::thread;

use crate::explore::{Explored, explore};
use crate::record::{HEADER_WORDS, Outcome, Record, decode};
use crate::ring::layout::ring::HEAD;
use crate::ring::spsc::{Push, Ring};
use crate::sync::{AtomicU64, Ordering, Weakened};
use crate::thread::countdown::Countdown;
use crate::thread::tally::{Tally, Unrecorded};

/// Room for eight bare records: the smallest ring in which a push may do without a look at the head.
const RING_WORDS: usize = 8 * HEADER_WORDS;

fn ring(words: usize) -> &'static Ring {
    incomplete_ring(words, words)
}

fn incomplete_ring(words: usize, ready: usize) -> &'static Ring {
    // Of the control page only what the ring itself uses.
    let control = Vec::leak((0..=HEAD).map(|_| AtomicU64::new(0)).collect());
    // What lies between head and tail is the consumer's, the rest the producer's.
    let words = Vec::leak((0..words).map(|_| AtomicU64::plain(0)).collect());
    Box::leak(Box::new(Ring::new(control, words, ready)))
}

/// A header whose words say which record they belong to.
fn header(number: u64, value_words: u64) -> [u64; HEADER_WORDS] {
    let mut words = [number; HEADER_WORDS];
    words[0] = (HEADER_WORDS as u64 + value_words) | number << 32;
    // No bytes of arguments or fields.
    words[6] = 0;
    words
}

/// The numbers of the records in these words, each of which must be whole.
fn numbers(words: &[u64]) -> Vec<u64> {
    let mut numbers = Vec::new();
    let mut rest = words;
    while let Some((record, used)) = decode(rest) {
        if let Record::Call(read, values, _) = record {
            let number = u64::from(read.site);
            let of_header = [read.start, read.duration, read.span, read.parent, read.trace, read.busy];
            assert!(of_header.iter().chain(values).all(|word| *word == number), "a torn record: {rest:?}");
            numbers.push(number);
        }
        rest = &rest[used..];
    }
    assert!(rest.is_empty(), "words that are no record: {rest:?}");
    numbers
}

fn drained(ring: &Ring) -> Vec<u64> {
    let mut words = Vec::new();
    ring.drain(|_, piece| piece.append_to(&mut words));
    numbers(&words)
}

/// What the producer wrote and the consumer read, in two sweeps and a last one behind both.
fn meet(ring: &'static Ring, produce: impl Fn(&Ring) -> Vec<u64> + Send + 'static) {
    let producer = thread::spawn(move || produce(ring));
    let consumer = thread::spawn(move || [drained(ring), drained(ring)].concat());
    let written = producer.join().expect("the producer ends");
    let mut read = consumer.join().expect("the consumer ends");
    read.extend(drained(ring));
    assert_eq!(read, written, "what was written is read, once and in order");
    assert_eq!(ring.pending(), 0);
}

/// A bare record in the ring, by the quick way where that is open. Whether it is written, and how.
fn push_bare(ring: &Ring, number: u64) -> Way {
    let header = header(number, 0);
    if let Some(room) = ring.room(0) {
        room.write_header(header);
        Way::Quick
    } else if ring.push(&header, &[]) == Push::Full {
        Way::None
    } else {
        Way::Slow
    }
}

/// A record with four words of values.
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

/// How a record went into the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Without a look at the head.
    Quick,
    Slow,
    /// There was no room.
    None,
}

/// The numbers of what was written. Both ways of writing have to be among them: a model of one says
/// nothing of the other.
fn written(ways: &[(u64, Way)]) -> Vec<u64> {
    for way in [Way::Quick, Way::Slow] {
        assert!(ways.iter().any(|(_, taken)| *taken == way), "nothing went the {way:?} way: {ways:?}");
    }
    ways.iter().filter(|(_, way)| *way != Way::None).map(|(number, _)| *number).collect()
}

/// Records of a header alone, through a ring that holds some already and has no room for all.
#[must_use]
pub fn headers(what: Weakened) -> Explored {
    explore(what, || {
        let ring = ring(RING_WORDS);
        let before: Vec<u64> = (1..=5).filter(|number| push_bare(ring, *number) != Way::None).collect();
        meet(ring, move |ring| {
            let ways: Vec<_> = (6..=10).map(|number| (number, push_bare(ring, number))).collect();
            [before.clone(), written(&ways)].concat()
        });
    })
}

/// Records with values, of which one finds its place behind a skip at the end of the ring.
#[must_use]
pub fn values(what: Weakened) -> Explored {
    explore(what, || {
        let ring = ring(2 * RING_WORDS);
        for number in 1..=8 {
            assert_ne!(push_with_values(ring, number), Way::None);
        }
        assert_eq!(drained(ring), (1..=8).collect::<Vec<_>>());
        meet(ring, |ring| {
            let ways: Vec<_> = (9..=12).map(|number| (number, push_with_values(ring, number))).collect();
            written(&ways)
        });
    })
}

/// A ring that is closed by its producer, as a thread does that turns to its ring for bursts.
#[must_use]
pub fn closing(what: Weakened) -> Explored {
    explore(what, || {
        meet(ring(RING_WORDS), |ring| {
            let ways: Vec<_> = (1..=3).map(|number| (number, push_bare(ring, number))).collect();
            ring.close();
            assert!(ring.room(0).is_none(), "a closed ring takes the slow way");
            assert_ne!(push_bare(ring, 4), Way::None);
            [written(&ways), vec![4]].concat()
        });
    })
}

/// A ring of which the producer may use a part, while the collector has the rest made ready and drains.
#[must_use]
pub fn completing(what: Weakened) -> Explored {
    explore(what, || {
        let ring = incomplete_ring(RING_WORDS, 2 * HEADER_WORDS);
        let producer = thread::spawn(move || {
            let numbers = (1..=3).filter(|number| push_bare(ring, *number) != Way::None);
            numbers.collect::<Vec<u64>>()
        });
        let collector = thread::spawn(move || {
            ring.complete();
            drained(ring)
        });
        let written = producer.join().expect("the producer ends");
        let mut read = collector.join().expect("the collector ends");
        read.extend(drained(ring));
        assert_eq!(read, written, "what was written is read, once and in order");
        assert!(written.starts_with(&[1, 2]), "what is ready is used: {written:?}");
        assert_ne!(push_bare(ring, 4), Way::None);
        assert_eq!(drained(ring), [4]);
    })
}

/// Calls counted where they begin, of which one fails, while the collector reads: neither number goes back.
#[must_use]
pub fn countdown(what: Weakened) -> Explored {
    explore(what, || {
        let countdown: &'static Countdown = Box::leak(Box::default());
        countdown.set_gap(1, 2);
        let owner = thread::spawn(move || {
            let left_out = (0..3).filter(|_| countdown.leave_out(1)).count();
            countdown.take_back();
            countdown.set_gap(2, 1);
            left_out + usize::from(countdown.leave_out(2)) + usize::from(countdown.leave_out(1))
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

/// A bug: two threads count down in a table as if each were its owner.
#[must_use]
pub fn countdown_of_two_owners() -> Explored {
    explore(Weakened::Nothing, || {
        let countdown: &'static Countdown = Box::leak(Box::default());
        countdown.set_gap(1, 9);
        let count = || thread::spawn(move || countdown.leave_out(1));
        let (one, two) = (count(), count());
        one.join().expect("the first ends");
        two.join().expect("the second ends");
        assert_eq!(countdown.counted(), 2, "no call is lost");
    })
}

/// Calls counted by their thread while the collector takes differences: what it sees never goes back,
/// and in the end it has seen every call once.
#[must_use]
pub fn tally(what: Weakened) -> Explored {
    const CALLS: u64 = 3;
    explore(what, || {
        let tally: &'static Tally = Box::leak(Box::default());
        let owner = thread::spawn(move || {
            for ticks in 1..=CALLS {
                tally.count(Outcome::Ok, Unrecorded::SampledOut, ticks);
            }
        });
        let reader = thread::spawn(move || {
            let (before, now) = (seen(tally), seen(tally));
            assert!(now.0 >= before.0 && now.1 >= before.1, "{before:?} {now:?}");
        });
        owner.join().expect("the owner ends");
        reader.join().expect("the reader ends");
        assert_eq!(seen(tally), (CALLS, (1..=CALLS).sum()));
        assert_eq!(tally.max_ticks.load(Ordering::Relaxed), CALLS);
    })
}

fn seen(tally: &Tally) -> (u64, u64) {
    (tally.calls[0].load(Ordering::Relaxed), tally.total_ticks.load(Ordering::Relaxed))
}

/// A bug: two threads count in a table as if each were its owner.
#[must_use]
pub fn tally_of_two_owners() -> Explored {
    explore(Weakened::Nothing, || {
        let tally: &'static Tally = Box::leak(Box::default());
        let count = || thread::spawn(move || tally.count(Outcome::Ok, Unrecorded::SampledOut, 1));
        let (one, two) = (count(), count());
        one.join().expect("the first ends");
        two.join().expect("the second ends");
        assert_eq!(seen(tally), (2, 2), "no call is lost");
    })
}

/// Calls counted by two threads in the table that they share for want of memory.
#[must_use]
pub fn shared_tally(what: Weakened) -> Explored {
    explore(what, || {
        let tally: &'static Tally = Box::leak(Box::default());
        let count = |ticks: u64| {
            thread::spawn(move || tally.count_shared(Outcome::Error, Unrecorded::RingFull, ticks))
        };
        let (one, two) = (count(5), count(7));
        one.join().expect("the first ends");
        two.join().expect("the second ends");
        assert_eq!(tally.calls[Outcome::Error as usize].load(Ordering::Relaxed), 2);
        assert_eq!(tally.unrecorded[Unrecorded::RingFull as usize].load(Ordering::Relaxed), 2);
        assert_eq!(tally.total_ticks.load(Ordering::Relaxed), 12);
        assert_eq!(tally.max_ticks.load(Ordering::Relaxed), 7);
    })
}
