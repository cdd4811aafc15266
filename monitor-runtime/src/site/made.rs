//! Call sites that are made at run time, for calls that no expansion describes.
//!
//! Takes the facts about a call site; gives the site, the same one for the same facts. A site is never freed, so their
//! number is bounded; a request beyond the bound gets no site and is counted. The file does not know what the calls
//! are.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{CallSite, Description};
use crate::limits::MADE_SITES_MAX;
use crate::sync::lock;

/// The facts about a call site that is made at run time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SiteFacts {
    /// The name of the function, as it is shown.
    pub name: String,
    /// The source file; empty if it is not known.
    pub file: String,
    /// The line in the source file, or 0 if it is not known.
    pub line: u32,
    /// The group of the function.
    pub group: Option<String>,
}

/// The sites, by their facts.
static SITES: Mutex<BTreeMap<SiteFacts, &'static CallSite>> = Mutex::new(BTreeMap::new());
/// The number of requests for a site beyond the bound.
static REFUSED: AtomicU64 = AtomicU64::new(0);

/// Returns the site with these facts, made at the first request. Its first call runs `register`. Returns `None` beyond the
/// bound.
pub(crate) fn make(facts: SiteFacts, register: fn(&'static CallSite)) -> Option<&'static CallSite> {
    let mut sites = lock(&SITES);
    if let Some(site) = sites.get(&facts) {
        return Some(site);
    }
    if sites.len() >= MADE_SITES_MAX {
        REFUSED.fetch_add(1, Ordering::Relaxed);
        return None;
    }
    let leak = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
    let about = Description::new(|| "", leak(&facts.file), facts.line, &[], &[]).name(leak(&facts.name));
    let about = match &facts.group {
        Some(group) => about.group(leak(group)),
        None => about,
    };
    let site: &'static CallSite =
        Box::leak(Box::new(CallSite::new(Box::leak(Box::new(about.on_first_call(register))))));
    sites.insert(facts, site);
    Some(site)
}

/// Returns the number of call sites that were refused.
pub(crate) fn refused() -> u64 {
    REFUSED.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn sites_are_made_once_and_their_number_is_bounded() {
        let facts = |line| SiteFacts {
            name: "shop::order".to_owned(),
            file: "src/shop.rs".to_owned(),
            line,
            group: Some("shop".to_owned()),
        };
        let request = |line| make(facts(line), CallSite::switch_off);
        let first = request(1).unwrap();
        assert!(std::ptr::eq(first, request(1).unwrap()) && !std::ptr::eq(first, request(2).unwrap()));
        assert_eq!(
            (first.shown_name().as_str(), first.place(), first.group_name()),
            ("shop::order", ("src/shop.rs", 1), Some("shop"))
        );
        let before = refused();
        let made = (0..20_000).filter_map(request).count();
        assert!(made <= MADE_SITES_MAX && refused() - before == 20_000 - made as u64, "{made}");
        assert!(std::ptr::eq(first, request(1).unwrap()));
    }
}
