//! Secrets have names that are redacted.

use monitored::monitor;

use crate::wait;

#[monitor]
fn log_in(user: &str, password: &str, token: &str) -> usize {
    wait(1);
    user.len() + password.len() + token.len()
}

pub(crate) fn run() {
    for _ in 0..5 {
        log_in(
            "ada",
            "AKIAIOSFODNN7EXAMPLE",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
        );
    }
}
