//! Runs a model under loom. Takes a closure that starts threads and joins them. Returns the number of interleavings,
//! or the message of the first one that failed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::sync::{Weakened, with_weakened};

/// The result of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Explored {
    /// No interleaving failed, of this many.
    Held(usize),
    /// An interleaving failed, with this message.
    Failed(String),
}

/// The most preemptions in an interleaving. Bugs of ordering show with two; a third multiplies the time by ten.
const PREEMPTIONS_MAX: usize = 3;

pub(crate) fn explore(weakened: Weakened, model: impl Fn() + Sync + Send + 'static) -> Explored {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS_MAX);
    // The most atomic accesses of one execution. The default of a thousand is for smaller models.
    builder.max_branches = 20_000;
    let check = || {
        builder.check(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            model();
        });
    };
    match with_weakened(weakened, || catch_unwind(AssertUnwindSafe(check))) {
        Ok(()) => Explored::Held(runs.load(Ordering::Relaxed)),
        Err(panic) => Explored::Failed(panic_text(&*panic)),
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
