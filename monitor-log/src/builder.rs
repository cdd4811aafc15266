//! The levels of a logger, and the logger that it hands records on to.
//!
//! Takes levels and another logger; gives a [`Logger`], or makes it the logger of the program. The file does not know
//! how a record is stored.

use std::fmt;

use log::{LevelFilter, Log, SetLoggerError};

use crate::Logger;

/// The settings of a [`Logger`]: see [`builder`] and [`wrap`].
#[must_use = "a builder does nothing until its logger is made"]
pub struct Builder {
    level: LevelFilter,
    inner: Option<Box<dyn Log>>,
    inner_level: LevelFilter,
}

/// Returns a builder of a logger that stores warnings and errors, and hands records on to no other logger.
pub fn builder() -> Builder {
    Builder { level: LevelFilter::Warn, inner: None, inner_level: LevelFilter::Trace }
}

/// Installs a logger that stores warnings and errors as the logger of the program.
///
/// # Errors
/// [`SetLoggerError`] if the program has a logger already: [`wrap`] that logger instead.
pub fn init() -> Result<(), SetLoggerError> {
    builder().init()
}

/// Returns a builder of a logger that stores warnings and errors, and hands all records on to this logger, whose output stays
/// as it is.
///
/// ```
/// struct Stderr;
///
/// impl log::Log for Stderr {
///     fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
///         metadata.level() <= log::Level::Info
///     }
///     fn log(&self, record: &log::Record<'_>) {
///         if self.enabled(record.metadata()) {
///             eprintln!("{}: {}", record.level(), record.args());
///         }
///     }
///     fn flush(&self) {}
/// }
///
/// monitored_log::wrap(Box::new(Stderr)).inner_level(log::LevelFilter::Info).init()?;
/// log::warn!("the disk is nearly full");
/// # Ok::<(), log::SetLoggerError>(())
/// ```
pub fn wrap(inner: Box<dyn Log>) -> Builder {
    Builder { inner: Some(inner), ..builder() }
}

impl Builder {
    /// Sets the level up to which records are stored: warnings and errors by default.
    pub fn level(self, level: LevelFilter) -> Self {
        Self { level, ..self }
    }

    /// Sets the level up to which records are handed on to the wrapped logger: all by default, so that the wrapped logger decides.
    /// The macros of `log` cost nothing beyond the higher one of both levels, so a program that logs much at `debug` or `trace`
    /// names the level of its logger here: `env_logger`'s is `logger.filter()`.
    pub fn inner_level(self, level: LevelFilter) -> Self {
        Self { inner_level: level, ..self }
    }

    /// Returns the logger, for a program that combines loggers itself. The program then sets [`log::set_max_level`], for example to
    /// [`Logger::max_level`].
    #[must_use]
    pub fn build(self) -> Logger {
        let Self { level, inner, inner_level } = self;
        Logger::new(level, inner.map(|inner| (inner, inner_level)))
    }

    /// Installs the logger as that of the program, and sets the level up to which the macros of `log` call it.
    ///
    /// # Errors
    /// [`SetLoggerError`] if the program has a logger already.
    pub fn init(self) -> Result<(), SetLoggerError> {
        let logger = self.build();
        let max_level = logger.max_level();
        log::set_boxed_logger(Box::new(logger))?;
        log::set_max_level(max_level);
        Ok(())
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Builder")
            .field("level", &self.level)
            .field("wraps", &self.inner.is_some())
            .field("inner_level", &self.inner_level)
            .finish()
    }
}
