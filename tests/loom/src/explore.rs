//! Runs a model under loom. In: a closure that starts threads and joins them. Out: how many
//! interleavings there were, or what the first failing one said.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::sync::{Weakened, weakened};

/// What came of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Explored {
    /// No interleaving failed, out of this many.
    Held(usize),
    /// One failed, with this text.
    Failed(String),
}

/// Tries all interleavings with at most this many preemptions. Bugs of ordering show with two; a
/// third multiplies the time by ten.
const PREEMPTIONS_MAX: usize = 3;

pub(crate) fn explore(what: Weakened, model: impl Fn() + Sync + Send + 'static) -> Explored {
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&runs);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS_MAX);
    // Accesses of an execution; the usual thousand is for smaller things.
    builder.max_branches = 20_000;
    let check = || {
        builder.check(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            model();
        });
    };
    match weakened(what, || catch_unwind(AssertUnwindSafe(check))) {
        Ok(()) => Explored::Held(runs.load(Ordering::Relaxed)),
        Err(panic) => Explored::Failed(text_of(&*panic)),
    }
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default()
}
