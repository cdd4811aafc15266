//! The accountant of memory: code asks it for permission before it allocates memory whose size depends on load.
//!
//! Takes a part of the recorder and a number of bytes; gives permission, or a refusal, which it counts. Each part has a
//! share of its own that no other part can use. Beyond its share, a part draws on the memory that all parts have in
//! common, up to a bound of its own. So the sum over all parts never exceeds `MONITOR_MAX_MEMORY`, and no part can
//! starve another. The accountant takes no lock and no memory. It does not know what the bytes are used for, and does
//! not count memory of a fixed size, such as SQLite's cache and the stacks of threads.

use std::sync::atomic::{AtomicIsize, AtomicU64, AtomicUsize, Ordering};

/// The parts of the recorder whose memory depends on load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Part {
    /// The rings that threads write records to.
    Rings,
    /// The states of threads, each with the page that holds its calls under way; and names of threads.
    Threads,
    /// The values of calls in flight, which threads capture.
    Scratch,
    /// The captured values of async calls, which travel with their futures.
    AsyncValues,
    /// Counters and histograms of calls without a record, by thread and function.
    Tallies,
    /// Failures on their way past a full ring.
    Overflow,
    /// The records of a drain, until they are counted.
    Drain,
    /// Records that wait for the store.
    Backlog,
    /// Copies of waiting records in the ring file.
    Journal,
    /// The rows of the batch under way.
    Batch,
    /// Statistics of functions, and kinds of failure.
    Functions,
    /// Callers whose callees have ended, rows that calls share, and causes of failures.
    Trees,
    /// Records that wait for subscribers.
    Subscribers,
    /// The part of a dead process's ring file that is being recovered.
    Recovery,
    /// The series of the program's metrics.
    Metrics,
}

impl Part {
    /// All parts, in the order of their numbers.
    pub const ALL: [Self; 15] = [
        Self::Rings,
        Self::Threads,
        Self::Scratch,
        Self::AsyncValues,
        Self::Tallies,
        Self::Overflow,
        Self::Drain,
        Self::Backlog,
        Self::Journal,
        Self::Batch,
        Self::Functions,
        Self::Trees,
        Self::Subscribers,
        Self::Recovery,
        Self::Metrics,
    ];

    /// Returns the word for the part that is shown to users.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rings => "rings",
            Self::Threads => "threads",
            Self::Scratch => "scratch",
            Self::AsyncValues => "async_values",
            Self::Tallies => "tallies",
            Self::Overflow => "overflow",
            Self::Drain => "drain",
            Self::Backlog => "backlog",
            Self::Journal => "journal",
            Self::Batch => "batch",
            Self::Functions => "functions",
            Self::Trees => "trees",
            Self::Subscribers => "subscribers",
            Self::Recovery => "recovery",
            Self::Metrics => "metrics",
        }
    }

    /// Returns the part's own share, and the most that the part may hold, both in [`UNITS`]. The own shares of all
    /// parts add up to half of the memory.
    const fn shares(self) -> (usize, usize) {
        match self {
            // Room, at the default bound, for fifty threads with rings of the usual sizes and five hundred more with
            // the smallest rings.
            Self::Rings => (6, 16),
            // Room for four thousand threads at the default bound. The calls of a thread without a state are only
            // counted, which is the worst effect of a lack of memory, so this part has the largest share of its own.
            Self::Threads => (8, 32),
            // Room, at the default bound, for fifty threads with scratch memory of the usual size and two hundred more
            // with the smallest size.
            Self::Scratch | Self::AsyncValues => (1, 8),
            // Threads for whose tables there is no room share one.
            Self::Tallies => (1, 6),
            Self::Overflow | Self::Recovery => (2, 8),
            // A drain works in pieces that fit into its share, and a batch ends at its share, so neither ever needs
            // more.
            Self::Drain | Self::Batch => (2, 2),
            Self::Backlog => (3, 14),
            Self::Journal => (2, 12),
            Self::Functions | Self::Trees => (1, 12),
            Self::Subscribers => (0, 4),
            // Room for ten thousand counters at the default bound, or for four thousand histograms.
            Self::Metrics => (0, 12),
        }
    }
}

/// The number of equal pieces in which shares are stated.
const UNITS: usize = 64;

const _: () = {
    let (mut at, mut own) = (0, 0);
    while at < Part::ALL.len() {
        assert!(Part::ALL[at] as usize == at);
        own += Part::ALL[at].shares().0;
        at += 1;
    }
    assert!(own == UNITS / 2);
};

/// The bytes of a part.
#[derive(Debug, Default)]
struct Account {
    own: usize,
    max: usize,
    used: AtomicUsize,
    refused: AtomicU64,
}

impl Account {
    /// Returns the bytes of the common memory that a part takes if it holds `used` bytes.
    fn shared_bytes(&self, used: usize) -> isize {
        used.saturating_sub(self.own).cast_signed()
    }
}

/// The memory that a part holds, and how often it was refused more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartMemory {
    /// The part.
    pub part: Part,
    /// The bytes that the part holds.
    pub bytes: u64,
    /// The number of times that the part was refused memory since start.
    pub refused: u64,
}

/// The accounts of all parts.
#[derive(Debug)]
pub(crate) struct Accountant {
    accounts: [Account; Part::ALL.len()],
    /// The free bytes of the common memory. The number is below zero for a moment while a part is being refused, and
    /// while a part that took memory without asking has not made room again.
    shared: AtomicIsize,
}

impl Accountant {
    /// Returns accounts that together hold at most this many bytes.
    pub(crate) fn new(bound: usize) -> Self {
        // A bound that no machine can reach is lowered, so that sums with it do not overflow.
        let bound = bound.min(isize::MAX.cast_unsigned() / 2);
        let bytes = |units: usize| (bound as u128 * units as u128 / UNITS as u128) as usize;
        let accounts = Part::ALL.map(|part| {
            let (own, max) = part.shares();
            Account { own: bytes(own), max: bytes(max), ..Account::default() }
        });
        let own: usize = accounts.iter().map(|account| account.own).sum();
        Self { accounts, shared: AtomicIsize::new((bound - own).cast_signed()) }
    }

    /// Returns accounts of which one part may hold this many bytes, and the others anything.
    #[cfg(test)]
    pub(crate) fn of_part(part: Part, bytes: usize) -> &'static Self {
        Self::new(usize::MAX).with_part(part, bytes)
    }

    /// Returns these accounts, of which one part may hold this many bytes at most.
    #[cfg(test)]
    pub(crate) fn with_part(mut self, part: Part, bytes: usize) -> &'static Self {
        let account = &mut self.accounts[part as usize];
        (account.own, account.max) = (account.own.min(bytes), bytes);
        Box::leak(Box::new(self))
    }

    /// Returns accounts that never refuse.
    #[cfg(test)]
    pub(crate) fn boundless() -> &'static Self {
        Box::leak(Box::new(Self::new(usize::MAX)))
    }

    /// Takes bytes for a part. Returns false, and counts the refusal, if there is no room.
    pub(crate) fn take(&self, part: Part, bytes: usize) -> bool {
        let account = &self.accounts[part as usize];
        let before = account.used.fetch_add(bytes, Ordering::Relaxed);
        let shared = account.shared_bytes(before.saturating_add(bytes)) - account.shared_bytes(before);
        let has_room = before.saturating_add(bytes) <= account.max
            && (shared == 0 || self.shared.fetch_sub(shared, Ordering::Relaxed) >= shared);
        if has_room {
            return true;
        }
        if before.saturating_add(bytes) <= account.max {
            self.shared.fetch_add(shared, Ordering::Relaxed);
        }
        // The two changes of `used` take different numbers of shared bytes if another taker came in between.
        let now = account.used.fetch_sub(bytes, Ordering::Relaxed);
        let given = account.shared_bytes(now) - account.shared_bytes(now.saturating_sub(bytes));
        if given != shared {
            self.shared.fetch_add(given - shared, Ordering::Relaxed);
        }
        self.note_refused(part);
        false
    }

    /// Counts that a part was refused memory, by [`Self::take`] or by the caller.
    pub(crate) fn note_refused(&self, part: Part) {
        self.accounts[part as usize].refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds bytes that a part already holds, even beyond its limit. A part above its limit has to make room next.
    pub(crate) fn add(&self, part: Part, bytes: usize) {
        let account = &self.accounts[part as usize];
        let before = account.used.fetch_add(bytes, Ordering::Relaxed);
        let shared = account.shared_bytes(before.saturating_add(bytes)) - account.shared_bytes(before);
        self.shared.fetch_sub(shared, Ordering::Relaxed);
    }

    /// Gives back bytes of a part.
    pub(crate) fn give_back(&self, part: Part, bytes: usize) {
        let account = &self.accounts[part as usize];
        let before = account.used.fetch_sub(bytes, Ordering::Relaxed);
        let shared = account.shared_bytes(before) - account.shared_bytes(before.saturating_sub(bytes));
        self.shared.fetch_add(shared, Ordering::Relaxed);
    }

    /// Sets the number of bytes that a part holds. This is for parts with a single owner, because the number is read
    /// and changed in two steps.
    pub(crate) fn set(&self, part: Part, bytes: usize) {
        let used = self.used(part);
        if bytes > used {
            self.add(part, bytes - used);
        } else if bytes < used {
            self.give_back(part, used - bytes);
        }
    }

    /// Returns the bytes that a part holds.
    pub(crate) fn used(&self, part: Part) -> usize {
        self.accounts[part as usize].used.load(Ordering::Relaxed)
    }

    /// Returns the bytes that a part may hold at the moment: its own share and what is left of the common memory, at
    /// most the part's bound.
    pub(crate) fn limit(&self, part: Part) -> usize {
        let account = &self.accounts[part as usize];
        let beyond = account.shared_bytes(self.used(part)) + self.shared.load(Ordering::Relaxed);
        account.own.saturating_add(beyond.max(0).cast_unsigned()).min(account.max)
    }

    /// Returns how many items of `bytes_each` fit into the memory of a part divided by `share`, at most `max`.
    pub(crate) fn count_within(&self, part: Part, share: usize, bytes_each: usize, max: usize) -> usize {
        (self.limit(part) / share / bytes_each.max(1)).min(max)
    }

    /// Returns the bytes that a part may still take at the moment.
    pub(crate) fn room(&self, part: Part) -> usize {
        self.limit(part).saturating_sub(self.used(part))
    }

    /// Returns what each part holds.
    pub(crate) fn holdings(&self) -> [PartMemory; Part::ALL.len()] {
        Part::ALL.map(|part| PartMemory {
            part,
            bytes: self.used(part) as u64,
            refused: self.accounts[part as usize].refused.load(Ordering::Relaxed),
        })
    }

    /// Takes bytes for a part until the returned value is dropped. Returns `None` if there is no room.
    pub(crate) fn hold(&'static self, part: Part, bytes: usize) -> Option<Holding> {
        self.take(part, bytes).then(|| Holding { accountant: self, part, bytes })
    }
}

/// Bytes that a part holds until this is dropped.
#[derive(Debug)]
pub(crate) struct Holding {
    accountant: &'static Accountant,
    part: Part,
    bytes: usize,
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.accountant.give_back(self.part, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: usize = 64 << 20;

    fn total(accountant: &Accountant) -> u64 {
        accountant.holdings().iter().map(|held| held.bytes).sum()
    }

    #[test]
    fn all_parts_together_never_hold_more_than_the_bound() {
        let accountant = Accountant::new(BOUND);
        for part in Part::ALL {
            while accountant.take(part, 4096) {}
            assert!(accountant.used(part) <= accountant.limit(part), "{part:?}");
        }
        assert!(total(&accountant) <= BOUND as u64);
        assert!(total(&accountant) > (BOUND - (1 << 20)) as u64, "little is left unused");
    }

    #[test]
    fn a_part_has_its_own_share_whatever_the_others_hold() {
        for part in Part::ALL {
            let accountant = Accountant::new(BOUND);
            for other in Part::ALL.iter().filter(|other| **other != part) {
                while accountant.take(*other, 4096) {}
            }
            let own = part.shares().0 * (BOUND / UNITS);
            assert!(own == 0 || accountant.take(part, own), "{part:?}");
            assert!(total(&accountant) <= BOUND as u64);
        }
    }

    #[test]
    fn what_is_given_back_can_be_taken_by_others_and_a_refusal_changes_nothing() {
        let accountant = Accountant::new(BOUND);
        let free = |accountant: &Accountant| Part::ALL.map(|part| accountant.room(part));
        let before = free(&accountant);
        assert!(!accountant.take(Part::Tallies, BOUND));
        assert_eq!(free(&accountant), before);
        accountant.add(Part::Backlog, BOUND / 2);
        assert!(accountant.used(Part::Backlog) > accountant.limit(Part::Backlog), "it has to make room");
        accountant.set(Part::Backlog, BOUND / 8);
        assert_eq!(accountant.used(Part::Backlog), BOUND / 8);
        accountant.set(Part::Backlog, 0);
        assert_eq!(free(&accountant), before);
        assert_eq!(accountant.holdings()[Part::Tallies as usize].refused, 1);
    }

    #[test]
    fn threads_that_ask_at_once_leave_the_accounts_as_they_were() {
        let accountant: &'static Accountant = Box::leak(Box::new(Accountant::new(1 << 20)));
        let before = Part::ALL.map(|part| accountant.room(part));
        let ask = move |seed: usize| {
            for at in 0..20_000 {
                let part = Part::ALL[(seed + at) % Part::ALL.len()];
                let held = accountant.hold(part, (at * 7919) % 40_000);
                let other = accountant.hold(part, 16_384);
                drop((held, other));
            }
        };
        let threads: Vec<_> = (0..4).map(|seed| std::thread::spawn(move || ask(seed))).collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(Part::ALL.map(|part| accountant.room(part)), before);
        assert_eq!(total(accountant), 0);
    }
}
