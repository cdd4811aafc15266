//! A tenth of the calls fails from the first minute to the last, so nothing has changed.

use monitored::monitor;

use crate::wait;

#[monitor]
fn charge(card: u32) -> Result<u32, String> {
    wait(1);
    if card.is_multiple_of(10) { Err(format!("card {card} was declined")) } else { Ok(card) }
}

pub(crate) fn run() {
    (0..300).for_each(|card| {
        let _ = charge(card);
    });
}
