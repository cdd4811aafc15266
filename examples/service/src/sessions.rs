//! The customers' shopping sessions.

use std::sync::{Mutex, PoisonError};

use monitored::monitor;

/// The memory of a session.
const SESSION_BYTES: usize = 32 * 1024;

/// All sessions since the start. Nothing removes one: this is the flaw behind the growing memory.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<Vec<(u64, Vec<u8>)>>);

#[monitor]
impl Sessions {
    /// Keeps a customer's session, and returns the number of sessions.
    pub(crate) fn remember(&self, customer: u64) -> usize {
        // A byte other than zero, because the system gives zeroed memory only on its first use.
        let session = vec![1; SESSION_BYTES];
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.push((customer, session));
        sessions.len()
    }
}
