//! The table of all call sites by id.
//!
//! Takes sites when they are first called; gives each an id, and returns the site of an id. A site is never removed or
//! moved. The table has no lock, so that the child of a fork can continue it. The file does not look into a site.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::CallSite;
use crate::limits::SITES_MAX;

static NEXT_ID: AtomicU32 = AtomicU32::new(1);
const BLOCK: usize = 256;
static TABLE: [OnceLock<Box<[OnceLock<&'static CallSite>]>>; (SITES_MAX as usize).div_ceil(BLOCK)] =
    [const { OnceLock::new() }; (SITES_MAX as usize).div_ceil(BLOCK)];

/// Enters a site in the table. Returns its id; `None` when the table is full.
pub(super) fn add(site: &'static CallSite) -> Option<u32> {
    let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
    if id >= SITES_MAX {
        // The counter stays at the bound, so that it never wraps.
        NEXT_ID.store(SITES_MAX, Ordering::Relaxed);
        return None;
    }
    let block = &TABLE[id as usize / BLOCK];
    let block = block.get_or_init(|| (0..BLOCK).map(|_| OnceLock::new()).collect());
    let _ = block[id as usize % BLOCK].set(site);
    Some(id)
}

/// Returns the site with this id.
#[inline]
pub(crate) fn by_id(id: u32) -> Option<&'static CallSite> {
    TABLE.get(id as usize / BLOCK)?.get()?.get(id as usize % BLOCK)?.get().copied()
}

/// Returns all sites registered so far.
pub(crate) fn registered() -> impl Iterator<Item = &'static CallSite> {
    let numbers = 1..NEXT_ID.load(Ordering::Relaxed);
    numbers.filter_map(|id| by_id(id).filter(|site| site.id() == id))
}
