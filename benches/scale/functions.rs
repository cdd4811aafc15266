//! Many functions, called by turns. They share their code and differ in their call sites, made as the
//! attribute makes them: what the code of ten thousand functions costs the caches is measured by
//! `functions`.

use std::hint::black_box;
use std::time::Duration;

use monitor_benches::{Figures, Options, Spread, floor, ns_per_call, seconds};
use monitored::__private::{Call, CallSite, Slot, describe};

use crate::memory::resident_mib;
use crate::{CALL, FLOOR, Result};

/// Calls in a burst: well below what a ring holds.
const BURST: usize = 2000;

/// Calls so many functions by turns.
pub(crate) fn by_turns(functions: usize, options: &Options) -> Result<Figures> {
    let sites: Vec<&'static CallSite> = (1..=functions).map(site).collect::<Result<_>>()?;
    call(sites[0]);
    monitored::flush(Duration::from_secs(10))?;
    let before = resident_mib()?;
    let (mut costs, mut floors) = (Vec::new(), Vec::new());
    let [reads, _] = floor::cases();
    // Each function at least twice, so that none is called for the first time in what is measured.
    let bursts = options.amount(200, 12).max(2 * functions / BURST);
    let mut turns = sites.iter().cycle();
    for burst in 0..bursts {
        let with = ns_per_call(BURST, || call(turns.next().copied().unwrap_or(sites[0])));
        let without = ns_per_call(BURST, || _ = black_box(plain(black_box(1))));
        let reads = ns_per_call(1, || (reads.with)(2000)) - ns_per_call(1, || (reads.without)(2000));
        if burst * BURST >= functions {
            costs.push(with - without);
            floors.push(reads / 2000.0);
        }
        monitored::flush(Duration::from_secs(10))?;
    }
    (0..BURST).for_each(|_| call(turns.next().copied().unwrap_or(sites[0])));
    let mut drained = Ok(());
    let drain = seconds(|| drained = monitored::flush(Duration::from_mins(1)));
    drained?;
    let median = |values: &[f64]| Spread::of(values).map_or(f64::NAN, |spread| spread.median);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    Ok(Figures::from([
        (CALL.to_owned(), median(&costs)),
        (FLOOR.to_owned(), median(&floors)),
        ("MiB memory".to_owned(), resident_mib()? - before),
        (format!("ms to drain {BURST} calls"), drain * 1e3),
        ("rows lost".to_owned(), monitored::health().dropped.total() as f64),
    ]))
}

fn site(line: usize) -> Result<&'static CallSite> {
    enum Here {}
    let line = u32::try_from(line)?;
    let path = std::any::type_name::<Here>;
    let about = Box::leak(Box::new(describe(path, "src/orders.rs", line, &[], &[])));
    Ok(Box::leak(Box::new(CallSite::new(about))))
}

#[inline(never)]
fn call(site: &'static CallSite) {
    let mut slot = Slot::empty();
    let mut call = Call::enter(&mut slot, site);
    black_box(plain(black_box(1)));
    call.ok();
}

#[inline(never)]
fn plain(number: u64) -> u64 {
    black_box(number) + 1
}
