//! Many functions, called in turn. They share their code and have call sites of their own, made as the attribute
//! makes them. The benchmark `functions` measures functions with code of their own, which fills the caches.

use std::hint::black_box;
use std::time::Duration;

use monitor_benches::{Figures, Options, floor, median, ns_per_call};
use monitored::__private::{Call, CallSite, Slot, describe};

use crate::memory::resident_mib;
use crate::{CALL, FLOOR, Result, drain_ms};

/// Calls in a burst, far fewer than a ring holds.
const BURST: usize = 2000;

/// Measures calls of this number of functions in turn.
pub(crate) fn call_in_turn(functions: usize, options: &Options) -> Result<Figures> {
    let sites: Vec<&'static CallSite> = (1..=functions).map(site).collect::<Result<_>>()?;
    call(sites[0]);
    monitored::flush(Duration::from_secs(10))?;
    let before = resident_mib()?;
    let (mut costs, mut floors) = (Vec::new(), Vec::new());
    let [reads, _] = floor::cases();
    // Each function is called at least twice, so that no first call of a function is measured.
    let bursts = options.amount(200, 12).max(2 * functions / BURST);
    let mut turns = sites.iter().cycle();
    for burst in 0..bursts {
        let with = ns_per_call(BURST, || call(turns.next().copied().unwrap_or(sites[0])));
        let without = ns_per_call(BURST, || _ = black_box(plain(black_box(1))));
        let reads = ns_per_call(1, || (reads.measured)(2000)) - ns_per_call(1, || (reads.baseline)(2000));
        if burst * BURST >= functions {
            costs.push(with - without);
            floors.push(reads / 2000.0);
        }
        monitored::flush(Duration::from_secs(10))?;
    }
    (0..BURST).for_each(|_| call(turns.next().copied().unwrap_or(sites[0])));
    let drain = drain_ms()?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok(Figures::from([
        (CALL.to_owned(), median(&costs)),
        (FLOOR.to_owned(), median(&floors)),
        ("MiB memory".to_owned(), resident_mib()? - before),
        (format!("ms to drain {BURST} calls"), drain),
        ("rows lost".to_owned(), monitored::health().dropped.total() as f64),
    ]))
}

/// Makes the call site of a function; `line` tells it from the others.
fn site(line: usize) -> Result<&'static CallSite> {
    enum Location {}
    let line = u32::try_from(line)?;
    let path = std::any::type_name::<Location>;
    let about = Box::leak(Box::new(describe(path, "src/orders.rs", line, &[], &[])));
    Ok(Box::leak(Box::new(CallSite::new(about))))
}

/// Makes a monitored call, as the expansion of the attribute does.
#[inline(never)]
fn call(site: &'static CallSite) {
    let mut slot = Slot::empty();
    let mut call = Call::<1>::enter(&mut slot, site);
    black_box(plain(black_box(1)));
    call.ok();
}

#[inline(never)]
fn plain(number: u64) -> u64 {
    black_box(number) + 1
}
