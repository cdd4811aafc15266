//! The stages: ticks → 5-minute bars → indicators → synergies. They are written once, inside a macro, and compiled
//! twice, with and without the attribute, so that the cost of the attribute can be measured.
//!
//! The attribute stands on two modules and therefore monitors every function in them. The stages that handle every
//! tick record no values. The other stages handle a bar or less, and record everything.

macro_rules! stages {
    ($module:ident $(, busy: #[$busy:meta], calm: #[$calm:meta])?) => {
        pub(crate) mod $module {
            use std::sync::{Arc, Mutex, PoisonError};

            use crate::bus::{Bus, Topic};
            use crate::market::{Event, Market};

            $(#[$busy])?
            mod busy {
                use crate::bus::Bus;
                use crate::market::{BAR_SECS, Bar, Event, Market, SYMBOLS, Tick};

                pub(crate) fn next_tick(market: &mut Market) -> Tick {
                    market.advance()
                }

                pub(crate) fn publish(bus: &Bus, event: &Event) {
                    bus.deliver(event);
                }

                #[derive(Default)]
                pub(crate) struct Bars {
                    open: [Option<Bar>; SYMBOLS],
                }

                impl Bars {
                    /// Adds a tick to its bar. Returns the previous bar if the tick begins a new one.
                    pub(crate) fn add(&mut self, tick: &Tick) -> Option<Bar> {
                        let start_s = tick.at_s - tick.at_s % BAR_SECS;
                        match &mut self.open[tick.symbol] {
                            Some(bar) if bar.start_s == start_s => {
                                bar.high = bar.high.max(tick.price);
                                bar.low = bar.low.min(tick.price);
                                bar.close = tick.price;
                                bar.volume += u64::from(tick.size);
                                bar.ticks += 1;
                                None
                            }
                            slot => slot.replace(Bar {
                                symbol: tick.symbol,
                                start_s,
                                open: tick.price,
                                high: tick.price,
                                low: tick.price,
                                close: tick.price,
                                volume: u64::from(tick.size),
                                ticks: 1,
                            }),
                        }
                    }
                }
            }

            $(#[$calm])?
            mod calm {
                use crate::market::{Bar, Direction, SYMBOLS, Signal, Synergy, ThinBar};

                #[derive(Default)]
                pub(crate) struct Indicators {
                    closes: [Vec<f64>; SYMBOLS],
                }

                impl Indicators {
                    /// Judges a bar by every indicator. A bar of less than 60 ticks is an error.
                    pub(crate) fn study(&mut self, bar: &Bar) -> Result<Vec<Signal>, ThinBar> {
                        if bar.ticks < 60 {
                            return Err(ThinBar { ticks: bar.ticks });
                        }
                        let closes = &mut self.closes[bar.symbol];
                        closes.push(bar.close);
                        let opinions = [
                            ("average", average(closes)),
                            ("strength", strength(closes)),
                            ("momentum", momentum(closes)),
                        ];
                        let signals = opinions.into_iter().filter_map(|(indicator, direction)| {
                            let (symbol, start_s) = (bar.symbol, bar.start_s);
                            direction.map(|direction| Signal { symbol, start_s, indicator, direction })
                        });
                        Ok(signals.collect())
                    }
                }

                /// Compares a short moving average with a long one.
                fn average(closes: &[f64]) -> Option<Direction> {
                    let mean = |bars: usize| {
                        let recent = closes.len().checked_sub(bars).map(|start| &closes[start..])?;
                        Some(recent.iter().sum::<f64>() / bars as f64)
                    };
                    direction(mean(3)? / mean(12)? - 1.0, 0.000_5)
                }

                /// Compares gains with losses over the last bars.
                fn strength(closes: &[f64]) -> Option<Direction> {
                    let recent = &closes[closes.len().checked_sub(8)?..];
                    let changes = || recent.windows(2).map(|pair| pair[1] - pair[0]);
                    let gains: f64 = changes().filter(|change| *change > 0.0).sum();
                    let moved: f64 = changes().map(f64::abs).sum();
                    direction(gains / moved.max(f64::MIN_POSITIVE) - 0.5, 0.15)
                }

                /// Returns the direction of the change over half an hour.
                fn momentum(closes: &[f64]) -> Option<Direction> {
                    let before = closes[closes.len().checked_sub(7)?];
                    direction(closes.last()? / before - 1.0, 0.001)
                }

                /// Returns the direction of a value whose distance from zero exceeds the threshold.
                fn direction(value: f64, threshold: f64) -> Option<Direction> {
                    if value > threshold {
                        Some(Direction::Up)
                    } else {
                        (value < -threshold).then_some(Direction::Down)
                    }
                }

                #[derive(Default)]
                pub(crate) struct Desk {
                    last: [Option<Synergy>; SYMBOLS],
                }

                impl Desk {
                    /// Counts the indicators that agree on a bar. The second and each further one make a synergy.
                    pub(crate) fn weigh(&mut self, signal: &Signal) -> Option<Synergy> {
                        let seen = self.last[signal.symbol].filter(|last| {
                            last.start_s == signal.start_s && last.direction == signal.direction
                        });
                        let indicators = seen.map_or(1, |last| last.indicators + 1);
                        let synergy = Synergy {
                            symbol: signal.symbol,
                            start_s: signal.start_s,
                            direction: signal.direction,
                            indicators,
                        };
                        self.last[signal.symbol] = Some(synergy);
                        (indicators >= 2).then_some(synergy)
                    }
                }
            }

            fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
                mutex.lock().unwrap_or_else(PoisonError::into_inner)
            }

            /// Makes a bus to which all stages are subscribed.
            pub(crate) fn new_bus() -> Arc<Bus> {
                let bus = Arc::new(Bus::default());
                let bars = Mutex::new(busy::Bars::default());
                bus.subscribe(Topic::Tick, move |bus, event| {
                    if let Event::Tick(tick) = event
                        && let Some(bar) = { lock(&bars).add(tick) }
                    {
                        busy::publish(bus, &Event::Bar(bar));
                    }
                });
                let indicators = Mutex::new(calm::Indicators::default());
                bus.subscribe(Topic::Bar, move |bus, event| {
                    if let Event::Bar(bar) = event
                        && let Ok(signals) = { lock(&indicators).study(bar) }
                    {
                        for signal in signals {
                            busy::publish(bus, &Event::Signal(signal));
                        }
                    }
                });
                let desk = Mutex::new(calm::Desk::default());
                bus.subscribe(Topic::Signal, move |bus, event| {
                    if let Event::Signal(signal) = event
                        && let Some(synergy) = { lock(&desk).weigh(signal) }
                    {
                        busy::publish(bus, &Event::Synergy(synergy));
                    }
                });
                bus
            }

            /// Publishes this number of ticks of the market.
            pub(crate) fn feed(bus: &Bus, market: &mut Market, ticks: u32) {
                for _ in 0..ticks {
                    let tick = busy::next_tick(market);
                    busy::publish(bus, &Event::Tick(tick));
                }
            }
        }
    };
}

stages!(plain);
stages!(
    recorded,
    busy: #[monitored::monitor(skip_all, no_result, group = "busy")],
    calm: #[monitored::monitor(group = "calm")]
);
