//! The events of the pipeline, and a market that generates the same ticks on every run.

use std::fmt;

use serde::Serialize;

/// The number of traded instruments.
pub(crate) const SYMBOLS: usize = 4;
/// The length of a bar.
pub(crate) const BAR_SECS: u32 = 300;

/// A single trade.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Tick {
    pub(crate) symbol: usize,
    pub(crate) at_s: u32,
    pub(crate) price: f64,
    pub(crate) size: u32,
}

/// The trades of one instrument within five minutes, summed up.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Bar {
    pub(crate) symbol: usize,
    pub(crate) start_s: u32,
    pub(crate) open: f64,
    pub(crate) high: f64,
    pub(crate) low: f64,
    pub(crate) close: f64,
    pub(crate) volume: u64,
    pub(crate) ticks: u32,
}

/// The direction in which an indicator expects the price to go.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) enum Direction {
    Up,
    Down,
}

/// An indicator's opinion after a bar.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Signal {
    pub(crate) symbol: usize,
    pub(crate) start_s: u32,
    pub(crate) indicator: &'static str,
    pub(crate) direction: Direction,
}

/// The agreement of several indicators on the same bar.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Synergy {
    pub(crate) symbol: usize,
    pub(crate) start_s: u32,
    pub(crate) direction: Direction,
    pub(crate) indicators: u32,
}

/// A bar made of too few trades to be trusted.
#[derive(Debug)]
pub(crate) struct ThinBar {
    pub(crate) ticks: u32,
}

impl fmt::Display for ThinBar {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "only {} trades in five minutes", self.ticks)
    }
}

impl std::error::Error for ThinBar {}

/// An event on the bus.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Event {
    Tick(Tick),
    Bar(Bar),
    Signal(Signal),
    Synergy(Synergy),
}

/// A source of ticks: a random walk with a fixed seed.
pub(crate) struct Market {
    random: u64,
    prices: [f64; SYMBOLS],
    ticks: u32,
}

impl Market {
    pub(crate) fn new() -> Self {
        Self { random: 0x5eed, prices: [100.0, 55.0, 240.0, 12.0], ticks: 0 }
    }

    /// Generates the next trade. The last instrument is traded in even hours, and hardly ever in odd hours, so that
    /// some bars are thin.
    pub(crate) fn advance(&mut self) -> Tick {
        let at_s = self.ticks / 8;
        let quiet = (at_s / 3600) % 2 == 1 && self.random_below(50) != 0;
        let symbol = self.random_below(if quiet { SYMBOLS - 1 } else { SYMBOLS } as u32) as usize;
        let step = (f64::from(self.random_below(2001)) - 1000.0) / 1_000_000.0;
        let trend = f64::from(at_s % 7200) / 7200.0 - 0.5;
        self.prices[symbol] *= 1.0 + step + trend * 0.000_02;
        self.ticks += 1;
        Tick { symbol, at_s, price: self.prices[symbol], size: 1 + self.random_below(100) }
    }

    /// Returns a pseudo-random number below `bound`.
    fn random_below(&mut self, bound: u32) -> u32 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let high = self.random >> 33;
        (high % u64::from(bound)) as u32
    }
}
