//! The state of one rule for one subject: inactive → pending → firing → recovering → inactive.
//!
//! Takes the number of a window, and whether the rule holds in it; gives the next state. A window without a value
//! leaves the state as it is, so that missing values do not resolve an alert.

/// The state of a rule for a subject. Windows are numbered from the Unix epoch, in tens of seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum State {
    /// The rule does not hold.
    #[default]
    Inactive,
    /// The rule holds, but not for long enough.
    Pending {
        /// The first window in which the rule held.
        since: i64,
    },
    /// The rule has held for long enough.
    Firing {
        /// The window in which the rule began to fire.
        since: i64,
    },
    /// The rule no longer holds, but has not stayed so for long enough.
    Recovering {
        /// The window in which the rule began to fire.
        since: i64,
        /// The first window in which the rule did not hold.
        from: i64,
    },
}

impl State {
    /// Returns the state after a window; `holds` is `None` if the window has no value for the rule.
    #[must_use]
    pub(super) fn step(
        self,
        (for_windows, keep_windows): (i64, i64),
        window: i64,
        holds: Option<bool>,
    ) -> Self {
        let Some(holds) = holds else { return self };
        match (self, holds) {
            (Self::Inactive, true) if for_windows == 0 => Self::Firing { since: window },
            (Self::Inactive, true) => Self::Pending { since: window },
            (Self::Inactive | Self::Pending { .. }, false) => Self::Inactive,
            (Self::Pending { since }, true) if window - since >= for_windows => {
                Self::Firing { since: window }
            }
            (Self::Pending { since }, true) => Self::Pending { since },
            (Self::Firing { since } | Self::Recovering { since, .. }, true) => Self::Firing { since },
            (Self::Firing { .. }, false) if keep_windows == 0 => Self::Inactive,
            (Self::Firing { since }, false) => Self::Recovering { since, from: window },
            (Self::Recovering { from, .. }, false) if window - from >= keep_windows => Self::Inactive,
            (Self::Recovering { since, from }, false) => Self::Recovering { since, from },
        }
    }

    /// Returns the window in which the rule began to fire, if it is firing or recovering, and `None` otherwise.
    #[must_use]
    pub fn firing_since(self) -> Option<i64> {
        match self {
            Self::Firing { since } | Self::Recovering { since, .. } => Some(since),
            Self::Inactive | Self::Pending { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps through windows: the rule holds in `#`, does not hold in `.`, and has no value in a blank. Returns a
    /// letter for each state.
    fn run(times: (i64, i64), windows: &str) -> String {
        let mut state = State::default();
        let step = |(at, window): (usize, char)| {
            let holds = match window {
                '#' => Some(true),
                '.' => Some(false),
                _ => None,
            };
            state = state.step(times, at.cast_signed() as i64, holds);
            match state {
                State::Inactive => 'i',
                State::Pending { .. } => 'p',
                State::Firing { .. } => 'F',
                State::Recovering { .. } => 'r',
            }
        };
        windows.chars().enumerate().map(step).collect()
    }

    #[test]
    fn an_alert_fires_after_its_time_and_recovers_after_its_time() {
        for (times, windows, states) in [
            ((0, 0), ".#.#", "iFiF"),
            ((2, 0), "##.###.", "ppippFi"),
            ((2, 2), "###...#", "ppFrrip"),
            ((2, 2), "###..#...", "ppFrrFrri"),
            // Windows without a value neither resolve an alert nor end its waiting.
            ((2, 2), "# ##  . .", "ppFFFFrri"),
            ((0, 3), "#.#.#.#.", "FrFrFrFr"),
        ] {
            assert_eq!(run(times, windows), states, "{windows}");
        }
    }
}
