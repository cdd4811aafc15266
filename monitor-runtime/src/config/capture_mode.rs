//! The setting `capture`: which values of a call are captured.

/// The values of a call that are captured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CaptureMode {
    /// Arguments, results and error texts.
    #[default]
    All,
    /// Arguments and error texts.
    Args,
    /// Error texts.
    Errors,
    /// Nothing: a row holds the outcome and the times alone.
    None,
}

impl CaptureMode {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "all" => Ok(Self::All),
            "args" => Ok(Self::Args),
            "errors" => Ok(Self::Errors),
            "none" => Ok(Self::None),
            _ => Err("is no such mode".into()),
        }
    }
    /// Returns whether arguments and extra fields are captured.
    #[must_use]
    pub const fn args(self) -> bool {
        matches!(self, Self::All | Self::Args)
    }
    /// Returns whether results are captured.
    #[must_use]
    pub const fn results(self) -> bool {
        matches!(self, Self::All)
    }
    /// Returns whether error texts and panic messages are captured.
    #[must_use]
    pub const fn errors(self) -> bool {
        !matches!(self, Self::None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capture_modes_say_what_they_take() {
        let taken = |mode: CaptureMode| (mode.args(), mode.results(), mode.errors());
        assert_eq!(taken(CaptureMode::All), (true, true, true));
        assert_eq!(taken(CaptureMode::Args), (true, false, true));
        assert_eq!(taken(CaptureMode::Errors), (false, false, true));
        assert_eq!(taken(CaptureMode::None), (false, false, false));
    }
}
