//! The targets, by the part of the recorder that they feed.

mod ring;
mod image;
mod recovery;
mod tokens;
mod serializer;
mod settings;

pub use image::image;
pub use recovery::ring_file;
pub use ring::words;
pub use serializer::serializer;
pub use settings::{rates, settings};
pub use tokens::tokens;

/// Asserts that this is JSON.
#[track_caller]
fn assert_json(text: &str) {
    let parsed = serde_json::from_str::<serde_json::Value>(text);
    assert!(parsed.is_ok(), "{parsed:?}: {text:?}");
}
