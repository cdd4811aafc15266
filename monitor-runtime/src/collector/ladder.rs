//! Fidelity: which drained records become rows, and how much of each function is recorded from now on.
//!
//! In: drained records, tallies, CPU times. Out: records that are final, with the weight and the
//! reason that their rows will have; rates in force; an event for each change, and what the view
//! `rates` shows. How much is right, `sampling::ladder` and `sampling::thin` decide.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Collector, Function};
use crate::batch::RateRow;
use crate::call_site::CallSite;
use crate::clock::{advance_coarse, keep_coarse};
use crate::config::limits;
use crate::decode::Times;
use crate::layout::{flight, frame, ring};
use crate::os;
use crate::record::{Header, Kept, Outcome, Record, decode};
use crate::recovery::read_frames;
use crate::sampling::Source;
use crate::sampling::ladder::{Balance, Bounds, Costs, Load, Overhead, Place, Reason, Rung};
use crate::sampling::thin::{
    Allowance, Awaited, By, CALLEES_WHOLE_MAX, Drawn, Fates, Limited, Round, Thinned, UnderWay,
};
use crate::thread_rings::{self, RESERVED_SPANS};

/// Where a function stands, and what it did since the last look.
#[derive(Debug, Default)]
pub(super) struct Standing {
    rung: Rung,
    allowance: Allowance,
    /// Rows of its first calls so far.
    first: u32,
    slow: SlowLimit,
    /// As of the last look.
    calls_per_s: f64,
    pub(super) since: Counts,
    stored: Option<RateRow>,
    /// Whether rate or fidelity had changed when that was written.
    is_news: bool,
    due: Option<RateRow>,
}

impl Standing {
    pub(super) fn new(site: &CallSite) -> Self {
        let slow = SlowLimit { ns: site.slow_ns().unwrap_or(u64::MAX), ..SlowLimit::default() };
        Self { slow, ..Self::default() }
    }

    /// Counts one of the first calls; whether it was one.
    fn take_first(&mut self) -> bool {
        let is_first = self.first < limits::FIRST_CALLS;
        self.first += u32::from(is_first);
        is_first
    }
}

/// Calls counted since the last look.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) records: u64,
    pub(super) with_values: u64,
    /// Drawn, before they were thinned out.
    pub(super) drawn: u64,
    pub(super) rows: u64,
    pub(super) timed: u64,
    pub(super) counted: u64,
    pub(super) dropped: u64,
}

impl Counts {
    fn calls(&self) -> u64 {
        self.records + self.timed + self.counted + self.dropped
    }

    fn load(&self, seconds: f64) -> Load {
        let per_second = |count: u64| count as f64 / seconds;
        Load {
            calls: per_second(self.calls()),
            records: per_second(self.records),
            with_values: per_second(self.with_values),
            drawn: per_second(self.drawn),
            timed: per_second(self.timed + self.dropped),
            counted: per_second(self.counted),
        }
    }
}

/// From which duration on calls have a row for being slow.
#[derive(Debug, Clone, Copy)]
struct SlowLimit {
    ns: u64,
    /// What it was before this moment: by then calls that were not drawn were left out by it.
    since_ns: i64,
    before_ns: u64,
    /// Rows left this second, where the limit is the function's own percentile.
    left: u32,
}

impl Default for SlowLimit {
    fn default() -> Self {
        Self { ns: u64::MAX, since_ns: i64::MIN, before_ns: u64::MAX, left: u32::MAX }
    }
}

impl SlowLimit {
    fn set(&mut self, ns: u64, left: u32, now_ns: i64) {
        *self = Self { ns, since_ns: now_ns, before_ns: self.ns, left };
    }

    /// Whether a call is slow and may have a row for that.
    fn takes(&mut self, times: &Times) -> bool {
        let limit = if times.end_ns < self.since_ns { self.before_ns } else { self.ns };
        let takes = times.duration_ns >= limit && self.left > 0;
        if takes && self.left != u32::MAX {
            self.left -= 1;
        }
        takes
    }
}

/// All that the ladder keeps for the process.
#[derive(Debug)]
pub(super) struct Ladder {
    pub(super) bounds: Bounds,
    costs: Costs,
    balance: Balance,
    looked: Duration,
    next: Duration,
    drained: Duration,
    own_cpu: Duration,
    process_cpu: Duration,
    seed: u64,
    fates: Fates,
    is_counting: bool,
    /// Calls that are only counted otherwise are timed: this thread may be held up.
    is_away: bool,
    /// For how long the coarse clock stood still since the last look, and was relied on.
    stood: Duration,
}

impl Ladder {
    pub(super) fn new(bounds: Bounds) -> Self {
        let now = crate::clock::monotonic();
        Self {
            bounds,
            costs: Costs::default(),
            balance: Balance::default(),
            looked: now,
            next: now + limits::LADDER_FIRST,
            drained: now,
            own_cpu: os::thread_cpu(),
            process_cpu: os::process_cpu(),
            seed: RandomState::new().build_hasher().finish(),
            fates: Fates::default(),
            is_counting: false,
            is_away: false,
            stood: Duration::ZERO,
        }
    }
}

impl Collector {
    /// Whether there are calls that rely on the coarse clock.
    pub(crate) fn is_counting(&self) -> bool {
        self.ladder.is_counting
    }

    /// Moves the coarse clock on, and takes note where it stood still for longer than a slow call may take to
    /// be noticed.
    pub(super) fn watch_clock(&mut self) {
        if self.ladder.is_away {
            return self.come_back();
        }
        let behind = keep_coarse();
        if behind >= limits::COARSE_STOOD && self.ladder.is_counting {
            self.ladder.stood += behind;
        }
    }

    /// From here on a disk may hold this thread up, and the coarse clock with it: what is only counted is timed
    /// until the clock is looked at again. Calls that are under way see it move.
    pub(super) fn go_away(&mut self) {
        if self.ladder.is_counting && !self.ladder.is_away {
            self.ladder.is_away = true;
            self.count_only(false);
            advance_coarse();
        }
    }

    /// The coarse clock can be relied on again.
    fn come_back(&mut self) {
        // First the clock: whoever relies on it is to see what it shows now.
        advance_coarse();
        self.count_only(true);
        self.ladder.is_away = false;
        // What was timed meanwhile speaks for itself, not for what is counted from now on.
        self.read_tallies();
    }

    /// Has the calls of functions that are only counted be that, or timed.
    fn count_only(&mut self, is_counted: bool) {
        let counted = self.functions.iter().flatten().filter(|function| function.standing.rung.is_counted);
        counted.for_each(|function| function.site.limit(function.site.cap(), is_counted));
    }

    /// Says for how long calls that are only counted could be slow without being noticed.
    fn tell_of_clock(&mut self) {
        let stood = std::mem::take(&mut self.ladder.stood);
        if !stood.is_zero() {
            let detail = format!(
                "the recorder was held up for {stood:.1?}: calls that were slow in it, of functions that are \
                 only counted, have no row"
            );
            self.event("slow", detail);
        }
    }

    /// Finds what is to be thinned out of drained records: none, where each function stays within its
    /// allowance and nothing was thinned out before that they belong to. A function that does not stay
    /// within it is recorded less from this moment on.
    pub(super) fn thin(&mut self, drained: &[(usize, Vec<u64>)], now: Duration) -> Option<Thinned> {
        let passed = now.saturating_sub(self.ladder.drained).as_secs_f64();
        self.ladder.drained = now;
        self.ladder.fates.age(now);
        let bounds = self.ladder.bounds;
        if bounds.rows_per_s.is_infinite() {
            return None;
        }
        let Survey { offered, awaited, arrived, is_concerned } = Survey::of(drained, &self.ladder.fates);
        let shares = self.share_out(&offered, passed);
        let under_way = if awaited.spans().is_empty() { HashMap::new() } else { self.under_way() };
        if shares.is_empty() && !is_concerned {
            self.ladder.fates.keep_all(&arrived, awaited.spans(), &under_way);
            return None;
        }
        let mut calls = Vec::new();
        each_call(drained, |call, _| calls.push(call));
        let Self { ladder, functions, .. } = &mut *self;
        let round = Round {
            shares: &shares,
            under_way: &under_way,
            take_first: |site: u32| {
                let function = functions.get_mut(site as usize).and_then(Option::as_mut);
                function.is_some_and(|function| function.standing.take_first())
            },
            seed: ladder.seed,
        };
        let thinned = ladder.fates.thin(calls, round);
        if self.ladder.fates.take_news() {
            self.lower_callers();
        }
        Some(thinned)
    }

    /// Lowers callers to whom they call at once, as soon as it is known whom: else their trees lacked callees
    /// until the next drain.
    fn lower_callers(&mut self) {
        let Self { functions, ladder, .. } = self;
        let before: Vec<Rung> = functions.iter_mut().flatten().map(Function::hear_brake).collect();
        keep_trees_whole(functions, &ladder.fates);
        self.tell_rungs(before);
    }

    /// Puts rungs into force where they have changed since, and says so.
    fn tell_rungs(&mut self, before: Vec<Rung>) {
        let changes = self.functions.iter_mut().flatten().zip(before);
        let changes = changes.filter_map(|(function, before)| function.change_rung(before)).collect();
        self.tell_changes(changes);
    }

    /// Finds which share of the rows offered may stay, by function: of those that are offered too many, and
    /// of those busy enough to give some for whole trees. The former are recorded less from now on.
    fn share_out(&mut self, offered: &HashMap<u32, Offered>, passed: f64) -> HashMap<u32, f64> {
        let bounds = self.ladder.bounds;
        let seconds = passed.max(self.drain_interval.as_secs_f64());
        let mut shares = HashMap::new();
        // One that was called first since the step began has no more than its allowance either.
        if offered.keys().any(|site| self.function(*site).is_none()) {
            self.meet_functions();
        }
        for function in self.functions.iter_mut().flatten() {
            function.standing.allowance.fill(passed, bounds.rows_per_s);
            if let Some(Offered { rows, .. }) = offered.get(&function.site.id()) {
                shares.insert(function.site.id(), function.standing.allowance.take(*rows));
            }
        }
        if shares.values().all(|share| *share >= 1.0) {
            return HashMap::new();
        }
        let Self { functions, ladder, .. } = self;
        let before: Vec<Rung> = functions.iter_mut().flatten().map(Function::hear_brake).collect();
        for function in functions.iter_mut().flatten() {
            let id = function.site.id();
            if let Some(Offered { calls, .. }) = offered.get(&id)
                && shares.get(&id).is_some_and(|share| *share < 1.0)
            {
                // Of what came in a moment not so many may follow.
                function.standing.rung.brake(calls / seconds, &bounds);
            }
        }
        keep_trees_whole(functions, &ladder.fates);
        self.tell_rungs(before);
        shares.retain(|site, share| {
            let rows = offered.get(site).map_or(0, |offered| offered.rows);
            *share < 1.0 || rows as f64 * CALLEES_WHOLE_MAX >= bounds.rows_per_s * seconds
        });
        shares
    }

    /// The calls that have begun and not ended, as far as frames and slots show them.
    fn under_way(&self) -> HashMap<u64, UnderWay> {
        let mut calls = HashMap::new();
        for slot in self.rings.flights.slots() {
            let site = slot[flight::SITE].load(Ordering::Acquire) as u32;
            let span = slot[flight::SPAN].load(Ordering::Relaxed);
            calls.insert(span, UnderWay { site, parent: 0 });
        }
        for state in self.rings.all() {
            let page = state.page.words;
            let depth = page[ring::DEPTH].load(Ordering::Acquire);
            if depth == 0 {
                continue;
            }
            let words = &page[ring::FRAMES..ring::FRAMES + ring::FRAMES_MAX * frame::WORDS];
            let words: Vec<u64> = words.iter().map(|word| word.load(Ordering::Relaxed)).collect();
            let mut parent = 0;
            for frame in read_frames(&words, u32::try_from(depth).unwrap_or(0)) {
                calls.insert(frame.span, UnderWay { site: frame.site, parent });
                parent = frame.span;
            }
        }
        // Not those below a call that was not drawn.
        calls.retain(|span, _| *span > RESERVED_SPANS);
        calls
    }

    /// Decides what becomes of a record, for good: its header says why it is kept and with which weight;
    /// `None` where it has no row.
    pub(super) fn fate(
        &mut self,
        mut header: Header,
        times: &Times,
        thinned: Option<&Thinned>,
    ) -> Option<Header> {
        let function = self.function(header.site)?;
        let standing = &mut function.standing;
        let fate = thinned.map(|thinned| thinned.of(header.span));
        let share = fate.map_or(1.0, |fate| fate.probability);
        if header.outcome == Outcome::Ok {
            if standing.slow.takes(times) {
                (header.kept, header.weight) = (Kept::Slow, 1.0);
            } else if header.kept == Kept::Slow {
                return None;
            } else if header.kept == Kept::Sampled {
                standing.since.drawn += 1;
                if fate.is_none() {
                    standing.take_first();
                }
                if fate.is_some_and(|fate| fate.is_first) {
                    header.kept = Kept::First;
                } else if share > 0.0 {
                    header.weight = (f64::from(header.weight) / share) as f32;
                } else {
                    return None;
                }
            }
        }
        standing.since.rows += 1;
        let root = fate.map_or(0, |fate| if share > 0.0 { fate.root } else { header.span });
        if root != 0 {
            // The tree that it was part of is gone, or its caller's is.
            header.trace = root;
            header.parent = if root == header.span { 0 } else { header.parent };
        }
        Some(header)
    }

    /// Once a second: finds how much of each function is to be recorded.
    pub(super) fn climb(&mut self, now: Duration) {
        if now < self.ladder.next {
            return;
        }
        self.ladder.next = now + limits::LADDER_INTERVAL;
        self.tell_of_clock();
        let seconds = now.saturating_sub(self.ladder.looked).as_secs_f64().max(PASSED_LEAST);
        self.ladder.looked = now;
        let overhead = self.overhead(seconds);
        let now_ns = self.now_ns();
        let Self { ladder, functions, health, .. } = self;
        let before: Vec<Rung> = functions.iter_mut().flatten().map(Function::hear_brake).collect();
        let mut records = 0.0;
        let mut places = Vec::with_capacity(before.len());
        let mut rows = Vec::with_capacity(before.len());
        for function in functions.iter_mut().flatten() {
            let counts = std::mem::take(&mut function.standing.since);
            let (load, (asked, _)) = (counts.load(seconds), function.site.asked());
            records += load.records;
            rows.push((load, counts.rows as f64 / seconds));
            function.standing.calls_per_s = load.calls;
            function.standing.rung.adapt(&load, asked, &ladder.bounds);
            places.push(Place { rung: &mut function.standing.rung, load, asked });
        }
        if records > RECORDS_TO_MEASURE {
            // What this thread does besides, its wake-ups among it, is little then.
            ladder.costs.drained = f64::midpoint(ladder.costs.drained, overhead.collector / records);
        }
        let (total, _) = ladder.balance.keep(&mut places, &ladder.costs, overhead, &ladder.bounds);
        keep_trees_whole(functions, &ladder.fates);
        let percent_of = |ns: f64| 100.0 * ns / overhead.process.max(1.0);
        health.cost_pct = percent_of(total);
        health.budget_pct = 100.0 * ladder.bounds.overhead;
        let mut changes = Vec::new();
        ladder.is_counting = false;
        for (at, function) in functions.iter_mut().flatten().enumerate() {
            changes.extend(before.get(at).and_then(|before| function.change_rung(*before)));
            ladder.is_counting |= function.standing.rung.is_counted;
        }
        let percentiles: Vec<_> =
            functions.iter().flatten().map(|function| function.percentile(functions)).collect();
        for (at, function) in functions.iter_mut().flatten().enumerate() {
            let (load, rows_per_s) = rows.get(at).copied().unwrap_or_default();
            function.find_slow_limit(now_ns, percentiles.get(at).copied().flatten());
            let cost = load.in_all(&ladder.costs);
            let row = RateRow {
                at_ns: now_ns,
                rows_per_s,
                calls_per_s: load.calls,
                ns_per_call: if load.calls > 0.0 { cost / load.calls } else { 0.0 },
                cpu_pct: percent_of(cost),
                ..function.rate_row(&ladder.bounds)
            };
            function.tell(row);
        }
        self.tell_changes(changes);
    }

    /// CPU time used a second, by the recorder's thread and by all.
    fn overhead(&mut self, seconds: f64) -> Overhead {
        let (own, process) = (os::thread_cpu(), os::process_cpu());
        let ladder = &mut self.ladder;
        let per_second = |from: Duration, to: Duration| to.saturating_sub(from).as_nanos() as f64 / seconds;
        let overhead = Overhead {
            process: per_second(ladder.process_cpu, process),
            collector: per_second(ladder.own_cpu, own),
        };
        (ladder.own_cpu, ladder.process_cpu) = (own, process);
        overhead
    }

    /// Measures what calls cost, if that has not been done.
    pub(super) fn calibrate(&mut self) {
        if self.health.overhead_ns_per_call == 0.0
            && let Some(costs) = thread_rings::borrowed(crate::health::measure_costs)
        {
            self.health.overhead_ns_per_call = costs.recorded;
            self.ladder.costs = costs;
        }
    }

    fn tell_changes(&mut self, changes: Vec<String>) {
        for change in changes {
            self.event("rate", change);
        }
    }

    /// What is to be written of the sampling of functions.
    pub(super) fn next_rates(&mut self) -> Vec<RateRow> {
        self.functions.iter_mut().flatten().filter_map(|function| function.standing.due.take()).collect()
    }
}

impl Function {
    /// Takes over how its callers have braked; returns where it stood before.
    fn hear_brake(&mut self) -> Rung {
        let before = self.standing.rung;
        let cap = self.site.cap();
        if cap < before.limit() {
            self.standing.rung.cap = cap;
            self.standing.rung.reason = Reason::Overrun;
        }
        before
    }

    /// Puts a rung into force; says what changed since it was that one.
    fn change_rung(&mut self, before: Rung) -> Option<String> {
        let rung = self.standing.rung;
        let now_alone = matches!(rung.reason, Reason::CountingAlone { .. });
        let was_alone = matches!(before.reason, Reason::CountingAlone { .. });
        let (asked, _) = self.site.asked();
        self.site.limit(rung.limit(), rung.is_counted);
        let [from, to] = [before, rung].map(|rung| asked.min(rung.limit()));
        let [from_rung, to_rung] =
            [(from, before), (to, rung)].map(|(rate, rung)| fidelity(rate, rung.is_counted));
        if from.to_bits() == to.to_bits() && from_rung == to_rung && now_alone <= was_alone {
            return None;
        }
        let fidelity =
            if from_rung == to_rung { to_rung.to_owned() } else { format!("{from_rung} -> {to_rung}") };
        let rate =
            if from.to_bits() == to.to_bits() { rate(to) } else { format!("{} -> {}", rate(from), rate(to)) };
        let why = why(&rung, self.site.asked().1);
        Some(format!("{}: {fidelity}, rate {rate}: {why}", self.name))
    }

    /// Finds from which duration on calls are kept for being slow, and tells the hot side.
    fn find_slow_limit(&mut self, now_ns: i64, percentile: Option<u64>) {
        let is_counted = self.standing.rung.is_counted;
        let coarse_ns = limits::COARSE_PERIOD.as_nanos() as u64;
        let least = if is_counted { coarse_ns } else { 0 };
        let slow = &mut self.standing.slow;
        if let Some(own) = self.site.slow_ns() {
            slow.set(own.max(least), u32::MAX, now_ns);
            // The coarse clock may be as much behind at the start as at the end.
            self.site.set_slow_limit(if is_counted { own.max(least) } else { own / 2 });
            return;
        }
        slow.set(percentile.unwrap_or(u64::MAX).max(least), limits::SLOW_ROWS, now_ns);
        self.site.set_slow_limit(slow.ns);
    }

    /// The function's own percentile, where slow calls have a row for that: at rate 1 they have one as it is,
    /// and at rate 0 none was asked for.
    fn percentile(&self, all: &[Option<Self>]) -> Option<u64> {
        let is_sampled = self.site.rate() > 0.0 && self.site.rate() < 1.0;
        let counted = all.get(self.counted_as as usize)?.as_ref().filter(|_| is_sampled)?;
        counted.figures.slow_limit(self.standing.calls_per_s)
    }

    /// The part of the row that does not come from a look's figures.
    fn rate_row(&self, bounds: &Bounds) -> RateRow {
        let (asked, source) = self.site.asked();
        let rung = &self.standing.rung;
        let in_force = asked.min(rung.limit());
        let why = match rung.reason {
            Reason::AsAsked => why(rung, source),
            Reason::Rows { .. } | Reason::Overrun => {
                format!("{}, MONITOR_MAX_RATE={}", why(rung, source), bounds.rows_per_s)
            }
            _ => format!("{}, MONITOR_MAX_OVERHEAD={}%", why(rung, source), bounds.overhead * 100.0),
        };
        RateRow {
            function: self.site.id(),
            asked,
            rate: in_force,
            fidelity: fidelity(in_force, rung.is_counted),
            why,
            ..RateRow::default()
        }
    }

    /// Has a row written, if it says something new.
    fn tell(&mut self, row: RateRow) {
        let says_something_new = self.standing.stored.as_ref().is_none_or(|last| {
            let same = (last.asked.to_bits(), last.rate.to_bits(), last.fidelity)
                == (row.asked.to_bits(), row.rate.to_bits(), row.fidelity);
            let moved = |a: f64, b: f64| (a - b).abs() > 0.1 * a.max(b);
            // By the same clock for all functions, so that their rows, which share pages, go in one batch.
            let period = |row: &RateRow| row.at_ns.div_euclid(limits::RATE_ROWS_INTERVAL.as_nanos() as i64);
            let aged = period(&row) > period(last);
            // The figures beside a change are those of the time before it.
            !same
                || self.standing.is_news
                || aged
                    && (moved(last.calls_per_s, row.calls_per_s) || moved(last.rows_per_s, row.rows_per_s))
        });
        if says_something_new {
            let rate = |row: &RateRow| (row.rate.to_bits(), row.fidelity);
            self.standing.is_news = self.standing.stored.as_ref().is_none_or(|last| rate(last) != rate(&row));
            self.standing.stored = Some(row.clone());
            self.standing.due = Some(row);
        }
    }
}

/// Lowers the rates of functions that are recorded less than was asked for to those of what they call.
fn keep_trees_whole(functions: &mut [Option<Function>], fates: &Fates) {
    let mut sunk = HashMap::new();
    for function in functions.iter().flatten() {
        let (rate, calls) = (function.standing.rung.cap, function.standing.calls_per_s);
        if rate < function.site.asked().0 {
            sunk.insert(function.site.id(), Limited { rate, calls });
        }
    }
    let lowered = fates.lowered(&sunk);
    for function in functions.iter_mut().flatten() {
        let limited = lowered.get(&function.site.id());
        function.standing.rung.whole = limited.map_or(1.0, |limited| limited.rate);
    }
}

/// How much is recorded of a function, in a word.
fn fidelity(rate: f64, is_counted: bool) -> &'static str {
    match is_counted {
        _ if rate >= 1.0 => "recorded",
        true => "counted",
        false => "timed",
    }
}

fn why(rung: &Rung, source: Source) -> String {
    match rung.reason {
        _ if rung.whole < rung.cap => {
            "what it calls is called more often than rows may be written, and trees are kept whole".to_owned()
        }
        Reason::AsAsked => format!("as asked by {}", source.as_str()),
        Reason::Rows { calls } => format!("{} calls/s are more than rows may be written", count(calls)),
        Reason::Overrun => "calls came faster than they could be collected".to_owned(),
        Reason::Overhead { percent } => format!("recording more would cost about {percent:.1} % of the CPU"),
        Reason::CountingAlone { percent } => format!("counting alone costs {percent:.1} % of the CPU"),
    }
}

/// A rate with three digits.
fn rate(rate: f64) -> String {
    if rate <= 0.0 {
        return "0".to_owned();
    }
    let digits = (2 - rate.log10().floor() as i32).clamp(0, 12) as usize;
    let text = format!("{rate:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A large number, shortened.
fn count(number: f64) -> String {
    match number {
        _ if number >= 1e6 => format!("{:.1} million", number / 1e6),
        _ if number >= 1e4 => format!("{:.0} thousand", number / 1e3),
        _ => format!("{number:.0}"),
    }
}

/// Calls of a function that were drawn.
#[derive(Debug, Clone, Copy, Default)]
struct Offered {
    rows: u64,
    /// What these stand for: they were drawn at different rates, where one was lowered meanwhile.
    calls: f64,
}

/// What there is in a drain.
#[derive(Default)]
struct Survey {
    /// By function.
    offered: HashMap<u32, Offered>,
    awaited: Awaited,
    /// Calls that were awaited.
    arrived: Vec<u64>,
    /// Whether something was thinned out before that these calls belong to.
    is_concerned: bool,
}

impl Survey {
    fn of(drained: &[(usize, Vec<u64>)], fates: &Fates) -> Self {
        let mut survey = Self::default();
        let mut last = (0, Offered::default());
        let mut add = |(site, more): (u32, Offered)| {
            let sum = survey.offered.entry(site).or_default();
            (sum.rows, sum.calls) = (sum.rows + more.rows, sum.calls + more.calls);
        };
        each_call(drained, |call, weight| {
            survey.awaited.pass(&call);
            survey.is_concerned |= fates.concern(&call);
            if fates.awaits(call.span) {
                survey.arrived.push(call.span);
            }
            if !matches!(call.by, By::Certainty | By::Chance) {
                return;
            }
            if call.site != last.0 {
                add(std::mem::replace(&mut last, (call.site, Offered::default())));
            }
            last.1.rows += 1;
            last.1.calls += f64::from(weight);
        });
        add(last);
        survey
    }
}

/// Hands over the calls of a drain and their weights.
fn each_call(drained: &[(usize, Vec<u64>)], mut found: impl FnMut(Drawn, f32)) {
    for (_, words) in drained {
        let mut at = 0;
        while let Some((record, used)) = words.get(at..).and_then(decode) {
            if let Record::Call(header, ..) = record {
                let by = match header.kept {
                    Kept::Sampled if crate::guard::is_certain(header.weight) => By::Certainty,
                    Kept::Sampled => By::Chance,
                    Kept::First => By::BeingFirst,
                    Kept::Failed | Kept::Slow => By::Itself,
                };
                let Header { site, span, parent, trace, start, .. } = header;
                found(Drawn { site, span, parent, trace, start, by }, header.weight);
            }
            at += used;
        }
    }
}

/// Less time than this says nothing of how much there is in a second.
const PASSED_LEAST: f64 = 1e-4;
/// So many records a second make this thread's time their own.
const RECORDS_TO_MEASURE: f64 = 10_000.0;

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(limit: &mut SlowLimit, duration_ns: u64, end_ns: i64) -> bool {
        let start_ns = end_ns - duration_ns.cast_signed();
        limit.takes(&Times { start_ns, end_ns, duration_ns, busy_ns: duration_ns })
    }

    #[test]
    fn no_more_calls_a_look_have_rows_for_being_slower_than_usual_than_may() {
        let mut limit = SlowLimit::default();
        assert!(!takes(&mut limit, u64::MAX / 4, 10), "there is no limit yet");
        limit.set(1000, limits::SLOW_ROWS, 100);
        assert!(!takes(&mut limit, 999, 110));
        assert!(!takes(&mut limit, 5000, 90), "it ended before the limit held");
        let taken = (0..1_000).filter(|call| takes(&mut limit, 1000 + call, 200)).count();
        assert_eq!(taken, limits::SLOW_ROWS as usize);
        limit.set(2000, limits::SLOW_ROWS, 1_000_000);
        assert!(takes(&mut limit, 1500, 999_999) && !takes(&mut limit, 1500, 1_000_001));
        assert!(takes(&mut limit, 2000, 1_000_001));
    }

    #[test]
    fn all_calls_past_a_stated_limit_have_rows() {
        let mut limit = SlowLimit::default();
        limit.set(1000, u32::MAX, 100);
        assert!((0..100_000).all(|call| takes(&mut limit, 1000 + call, 200)));
    }
}
