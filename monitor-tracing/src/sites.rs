//! The call sites of spans: the recorder's description of each callsite, made when the first span of the callsite
//! begins.
//!
//! Takes the metadata of a callsite, which is a `static`, so its address identifies it; gives the recorder's site. A thread finds
//! the sites that it used last without a lock. The file does not know spans.

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock};

use monitor_runtime::bridge::{self, SiteFacts};
use tracing_core::Metadata;

use crate::fields::may_fail;

/// A callsite of spans.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site {
    /// The recorder's call site, to which the calls of these spans belong.
    pub(crate) call: bridge::Site,
    pub(crate) fields: Fields,
}

/// The fields that the spans of a callsite have. The value is a whole word, because a copy of a site with padding was
/// read back across the borders of its stores, which took the processor 4 ns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Fields {
    None,
    Some,
    /// The spans have fields, and one of these may say that the span failed.
    WithFailure,
}

impl Fields {
    fn of(metadata: &Metadata<'_>) -> Self {
        let fields = metadata.fields();
        match fields.is_empty() {
            true => Self::None,
            false if fields.iter().any(|field| may_fail(field.name())) => Self::WithFailure,
            false => Self::Some,
        }
    }
}

/// A function that returns the name of the recorded function for the spans of a callsite.
pub(crate) type Name = Box<dyn Fn(&Metadata<'_>) -> String + Send + Sync>;

/// The call sites of one layer.
#[derive(Debug)]
pub(crate) struct Sites {
    /// The number of the layer, because layers may name the same callsite differently.
    layer: usize,
    /// The sites by the address of the metadata; `None` for one beyond the recorder's bound.
    known: RwLock<HashMap<usize, Option<Site>>>,
}

/// The callsites that a thread remembers. Their memory is 3 KiB.
const REMEMBERED: usize = 64;

/// A remembered callsite.
struct Remembered {
    /// The address of the callsite's metadata; 0 for none.
    address: Cell<usize>,
    layer: Cell<usize>,
    site: Cell<Option<Site>>,
}

impl Remembered {
    const fn none() -> Self {
        Self { address: Cell::new(0), layer: Cell::new(0), site: Cell::new(None) }
    }
}

thread_local! {
    /// The callsites that the thread used last. Const and without `Drop`, so an access is one load.
    static LAST_USED: [Remembered; REMEMBERED] = const { [const { Remembered::none() }; REMEMBERED] };
}

impl Sites {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        Self { layer: NEXT.fetch_add(1, Ordering::Relaxed), known: RwLock::default() }
    }

    /// Returns the site of this callsite; `None` if the callsite is not recorded.
    #[inline]
    pub(crate) fn find(&self, metadata: &'static Metadata<'static>, name: Option<&Name>) -> Option<Site> {
        let address = std::ptr::from_ref(metadata).addr();
        // Metadata takes more than 64 bytes, so callsites next to each other differ in these bits.
        let place = (address >> 6) % REMEMBERED;
        // The closure is this small because the compiler then inlines it.
        let remembered = LAST_USED.with(|sites| {
            let last = &sites[place];
            (last.address.get() == address && last.layer.get() == self.layer).then(|| last.site.get())
        });
        remembered.unwrap_or_else(|| self.find_or_make(address, place, metadata, name))
    }

    /// Returns the site of a callsite that this thread does not remember, and remembers it at this place.
    #[cold]
    fn find_or_make(
        &self,
        address: usize,
        place: usize,
        metadata: &Metadata<'_>,
        name: Option<&Name>,
    ) -> Option<Site> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&address).copied();
        let site = known.unwrap_or_else(|| self.make(address, metadata, name));
        LAST_USED.with(|sites| {
            sites[place].address.set(address);
            sites[place].layer.set(self.layer);
            sites[place].site.set(site);
        });
        site
    }

    fn make(&self, address: usize, metadata: &Metadata<'_>, name: Option<&Name>) -> Option<Site> {
        let site = make(metadata, name);
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(address, site);
        site
    }
}

fn make(metadata: &Metadata<'_>, name: Option<&Name>) -> Option<Site> {
    let facts = SiteFacts {
        name: name.map_or_else(|| default_name(metadata), |name| name(metadata)),
        file: metadata.file().unwrap_or_default().to_owned(),
        line: metadata.line().unwrap_or(0),
        group: metadata.target().split("::").next().filter(|group| !group.is_empty()).map(str::to_owned),
    };
    Some(Site { call: bridge::site(facts)?, fields: Fields::of(metadata) })
}

/// Returns the path of the span: its target and its name, unless the name is a path already.
fn default_name(metadata: &Metadata<'_>) -> String {
    match (metadata.target(), metadata.name()) {
        ("", name) => name.to_owned(),
        (_, name) if name.contains("::") => name.to_owned(),
        (target, name) => format!("{target}::{name}"),
    }
}
