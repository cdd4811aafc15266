//! Reads a ring file that a dead process left, or that someone made. Whatever its words say, they are read to their
//! end, nothing is made of them that is larger than they are, and each record is found once.

use std::collections::HashMap;

use crate::input::Input;
use crate::record::Record;
use monitor_runtime::batch::RecoveryProgress;

use crate::recover::in_flight;
use crate::recover::records::Records;
use crate::ring::layout::{frame, ring};
use crate::ring::reader::Image;
use crate::ring_file;

/// The bytes of text that one byte of the file may become: a broken character becomes three.
const TEXT_PER_BYTE: usize = 3;

/// Reads the file as a recovery does, from the start and from where an earlier recovery stopped.
pub fn image(bytes: &[u8]) {
    let mut input = Input(bytes);
    let begun = input.byte();
    let words = ring_file::build(&mut input, b"/somewhere/shop.db");
    let length = words.len();
    let Ok(image) = Image::parse(words) else { return };
    let texts = image.sites.values().map(|site| {
        let lists = site.arguments.iter().chain(&site.fields).map(String::len);
        site.name.len() + site.file.len() + site.group.as_ref().map_or(0, String::len) + lists.sum::<usize>()
    });
    let texts: usize = texts.sum();
    assert!(texts <= length * 8 * TEXT_PER_BYTE, "{texts} bytes of text of {length} words");
    let frames: usize = image.rings.iter().map(|ring| ring.frames.len()).sum();
    assert!(frames <= image.rings.len() * ring::FRAMES_MAX && frames * frame::WORDS <= length);
    let flying = in_flight(&image);
    assert!(flying.iter().all(|call| image.sites.contains_key(&call.function) && call.start_ns >= 0));
    for args in flying.iter().filter_map(|call| call.args.as_deref()) {
        assert!(serde_json::from_str::<serde_json::Value>(args).is_ok_and(|args| args.is_object()), "{args}");
    }
    let first = find_calls(&image, &RecoveryProgress::default(), length);
    // An earlier recovery stopped here in each ring: earlier records are not found again.
    let came_to: HashMap<u32, u64> = first
        .iter()
        .filter(|(_, from, _)| from.wrapping_mul(31).wrapping_add(u64::from(begun)) % 3 == 0)
        .map(|(ring, _, to)| (*ring, *to))
        .collect();
    let done = RecoveryProgress { batch: u64::from(begun), begun: true, rings: came_to.clone() };
    for (ring, from, _) in find_calls(&image, &done, length) {
        assert!(came_to.get(&ring).is_none_or(|to| from >= *to), "{from} of ring {ring} is found again");
    }
}

/// Returns the places of all calls. Asserts that each can be read and lies behind the one before.
fn find_calls(image: &Image, done: &RecoveryProgress, length: usize) -> Vec<(u32, u64, u64)> {
    let records = Records::missing(image, done);
    let mut ends: HashMap<u32, u64> = HashMap::new();
    let mut used = 0;
    for place in &records.places {
        assert!(matches!(records.get(place), Some(Record::Call(..))), "{place:?} is no call");
        assert!(place.from < place.to, "{place:?} is empty");
        let end = ends.insert(place.ring, place.to);
        assert!(end.is_none_or(|end| end <= place.from), "{place:?} overlaps what ends at {end:?}");
        used += (place.to - place.from) as usize;
    }
    assert!(used <= length, "{used} words of records of {length}");
    records.places.iter().map(|place| (place.ring, place.from, place.to)).collect()
}
