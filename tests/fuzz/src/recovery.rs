//! What reads a ring file, as the runtime has it.

#[path = "../../../monitor-runtime/src/recovery/image.rs"]
#[allow(dead_code, reason = "a module of another crate, of which targets use a part")]
pub(crate) mod image;
#[path = "../../../monitor-runtime/src/recovery/records.rs"]
#[allow(dead_code, reason = "as above")]
pub(crate) mod records;
#[path = "../../../monitor-runtime/src/recovery/flights.rs"]
#[allow(dead_code, reason = "as above")]
pub(crate) mod flights;

/// The calls that were under way.
pub(crate) fn under_way(image: &image::Image) -> Vec<flights::Flying> {
    flights::of(image)
}
