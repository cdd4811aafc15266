//! Texts begin like secrets and are none.

use monitored::monitor;

use crate::wait;

#[monitor]
fn note(text: &str) -> usize {
    wait(1);
    text.len()
}

pub(crate) fn run() {
    for text in [
        "AKIA is the beginning of a key",
        "Bearer of good news for everybody in the house",
        "eyJhbGciOiJIUzI1NiJ9",
        "-----BEGIN CERTIFICATE-----",
        "the key sk_live_ was left out",
    ] {
        note(text);
    }
}
