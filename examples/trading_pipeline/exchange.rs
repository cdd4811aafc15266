//! The exchange at which synergies are traded. The exchange is unreliable: requests time out, some are refused because
//! there are too many, and now and then it is away for a while. Requests for prices and for fees stand behind a guard
//! each, with a fallback of its own. An order is placed once, however often the desk sends it.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use monitored::monitor;
use monitored_guard::{Guard, Once, OnceError, Retry, Verdict, guards, once, once_figures};

use crate::market::Synergy;

/// Guards requests for prices. If they fail, the last price of the instrument stands in, provided that it is at most a
/// minute old, else a price that the program estimates itself.
static QUOTES: Guard = Guard::new("exchange quotes").pause(PAUSE).pause_max(PAUSE_MAX).retry(RETRY);
/// Guards requests for fees. If they fail, the highest fee stands in.
static FEES: Guard = Guard::new("exchange fees").pause(PAUSE).pause_max(PAUSE_MAX).retry(RETRY);

/// An exchange is away for minutes; the example does not want to wait for so long.
const PAUSE: Duration = Duration::from_millis(2);
const PAUSE_MAX: Duration = Duration::from_millis(16);
const RETRY: Retry = Retry::times(3).pause(Duration::from_micros(200));
/// The age above which nobody would trade at a price.
const QUOTE_AGE_MAX: Duration = Duration::from_secs(60);
const FEE_MAX: f64 = 0.002;
const DAY: Duration = Duration::from_secs(86_400);
/// The orders that are traded at most.
const ORDERS_MAX: usize = 60;

/// An error of the exchange.
#[derive(Debug)]
pub(crate) enum ExchangeError {
    TimedOut,
    Away,
    TooManyRequests,
    UnknownSymbol(usize),
}

impl fmt::Display for ExchangeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TimedOut => formatter.write_str("the request timed out"),
            Self::Away => formatter.write_str("connection refused"),
            Self::TooManyRequests => formatter.write_str("too many requests"),
            Self::UnknownSymbol(symbol) => write!(formatter, "there is no instrument {symbol}"),
        }
    }
}

impl std::error::Error for ExchangeError {}

/// Tells which errors are worth another try.
fn classify(error: &ExchangeError) -> Verdict {
    match error {
        ExchangeError::TimedOut | ExchangeError::Away => Verdict::Retry,
        ExchangeError::TooManyRequests => Verdict::Wait(Some(Duration::from_millis(1))),
        ExchangeError::UnknownSymbol(_) => Verdict::DoNotRetry,
    }
}

/// The exchange.
#[derive(Default)]
pub(crate) struct Exchange {
    requests: AtomicU32,
    orders: AtomicU32,
}

#[monitor(group = "exchange")]
impl Exchange {
    fn quote(&self, symbol: usize) -> Result<f64, ExchangeError> {
        self.answer()?;
        [100.0, 55.0, 240.0, 12.0].get(symbol).copied().ok_or(ExchangeError::UnknownSymbol(symbol))
    }

    fn fee(&self) -> Result<f64, ExchangeError> {
        self.answer()?;
        Ok(FEE_MAX / 2.0)
    }

    /// Places an order. Returns its number.
    fn place(&self, _symbol: usize, _price: f64) -> Result<u32, ExchangeError> {
        Ok(self.orders.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

impl Exchange {
    /// Answers a request: of a hundred, the first ten and twenty-five later ones find the exchange away, and others time out or
    /// are too many.
    fn answer(&self) -> Result<(), ExchangeError> {
        match self.requests.fetch_add(1, Ordering::Relaxed) % 100 {
            0..10 | 50..75 => Err(ExchangeError::Away),
            request if request % 11 == 5 => Err(ExchangeError::TimedOut),
            request if request % 17 == 3 => Err(ExchangeError::TooManyRequests),
            _ => Ok(()),
        }
    }
}

/// The numbers of orders by their end.
#[derive(Debug, Default)]
pub(crate) struct Traded {
    pub(crate) sent: u32,
    pub(crate) placed: u32,
    pub(crate) at_the_exchange: u32,
}

/// Trades the synergies. The desk is impatient, and sends each order twice.
pub(crate) fn trade(synergies: &[Synergy]) -> Traded {
    let exchange = Exchange::default();
    let run = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    let mut traded = Traded::default();
    for synergy in synergies.iter().take(ORDERS_MAX) {
        let symbol = synergy.symbol;
        let price = QUOTES
            .classify(classify)
            .call_retrying(|| exchange.quote(symbol))
            .or_cached(symbol, QUOTE_AGE_MAX)
            .or_else(|_| estimate_price(symbol));
        let Some(price) = price.ok() else { continue };
        let fee = FEES.classify(classify).call_retrying(|| exchange.fee()).or_value(FEE_MAX);
        let key = format!("{run}-{symbol}-{}-{}", synergy.start_s, synergy.indicators);
        for _ in 0..2 {
            traded.sent += 1;
            match once(&key, DAY, || exchange.place(symbol, price * (1.0 + fee))) {
                Ok(Once::First(_)) => traded.placed += 1,
                Ok(Once::Recorded(_)) | Err(OnceError::InProgress(_) | OnceError::InDoubt { .. }) => {}
                Err(why) => eprintln!("order {key}: {why}"),
            }
        }
    }
    traded.at_the_exchange = exchange.orders.into_inner();
    traded
}

/// Estimates a price without the exchange.
fn estimate_price(symbol: usize) -> Result<f64, ExchangeError> {
    [99.0, 54.0, 238.0, 11.5].get(symbol).copied().ok_or(ExchangeError::UnknownSymbol(symbol))
}

/// Says what was retried, blocked, answered from the cache and done once.
pub(crate) fn report(traded: &Traded) {
    for guard in guards() {
        println!(
            "{}: {} calls, {} failed; {} retried, {} blocked by the breaker, which opened {} times",
            guard.name, guard.calls, guard.failures, guard.retries, guard.rejected, guard.openings
        );
        println!(
            "    answered from the cache {}, by another function {}, by a fixed value {}",
            guard.fallbacks_cached, guard.fallbacks_function, guard.fallbacks_value
        );
    }
    let figures = once_figures();
    println!(
        "{} orders were sent, {} were placed once, {} were answered by the recorded result",
        traded.sent, figures.done, figures.recorded
    );
}
