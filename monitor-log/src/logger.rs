//! The logger: it stores records up to a level, and hands records on.
//!
//! Takes records of the `log` macros; gives each to the recorder, as a line of the call that is current on the thread,
//! and to the wrapped logger. The file does not know how lines are bounded and stored.

use std::error::Error;
use std::fmt;

use log::kv::{self, Key, Value, VisitSource, VisitValue};
use log::{Level, LevelFilter, Log, Metadata, Record};
use monitor_runtime::bridge::{FieldValue, LineWriter, LogLevel, LogPlace, note_with};

/// A logger that stores each record with the call that is current on its thread.
pub struct Logger {
    level: LevelFilter,
    /// The logger that records are handed on to, and the level up to which it gets them.
    inner: Option<(Box<dyn Log>, LevelFilter)>,
}

impl Logger {
    pub(crate) fn new(level: LevelFilter, inner: Option<(Box<dyn Log>, LevelFilter)>) -> Self {
        Self { level, inner }
    }

    /// Returns the level up to which the logger, or the one that it wraps, takes records.
    #[must_use]
    pub fn max_level(&self) -> LevelFilter {
        self.inner.as_ref().map_or(self.level, |(_, inner)| self.level.max(*inner))
    }

    /// Returns the wrapped logger, if it takes records of this level.
    fn inner_for(&self, level: Level) -> Option<&dyn Log> {
        self.inner.as_ref().filter(|(_, most)| level <= *most).map(|(inner, _)| &**inner)
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let level = metadata.level();
        level <= self.level || self.inner_for(level).is_some_and(|inner| inner.enabled(metadata))
    }

    fn log(&self, record: &Record<'_>) {
        // The wrapped logger comes last, because its code may end the thread.
        if record.level() <= self.level {
            store(record);
        }
        if let Some(inner) = self.inner_for(record.level()) {
            inner.log(record);
        }
    }

    fn flush(&self) {
        if let Some((inner, _)) = &self.inner {
            inner.flush();
        }
    }
}

impl fmt::Debug for Logger {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner_level = self.inner.as_ref().map(|(_, level)| *level);
        formatter
            .debug_struct("Logger")
            .field("level", &self.level)
            .field("inner_level", &inner_level)
            .finish()
    }
}

fn store(record: &Record<'_>) {
    let place = LogPlace {
        level: to_log_level(record.level()),
        target: record.target(),
        file: record.file(),
        line: record.line(),
    };
    note_with(place, &mut |line| {
        line.body(*record.args());
        // A source that fails has already written the pairs before the failure, so the error is ignored.
        let _failed = record.key_values().visit(&mut Pairs { line });
    });
}

fn to_log_level(level: Level) -> LogLevel {
    match level {
        Level::Error => LogLevel::Error,
        Level::Warn => LogLevel::Warn,
        Level::Info => LogLevel::Info,
        Level::Debug => LogLevel::Debug,
        Level::Trace => LogLevel::Trace,
    }
}

/// A visitor that writes each pair as a field of a line.
struct Pairs<'l, 'w, 'b> {
    line: &'l mut LineWriter<'w, 'b>,
}

impl<'kvs> VisitSource<'kvs> for Pairs<'_, '_, '_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        value.visit(Field { name: key.as_str(), line: self.line })
    }
}

/// A visitor that writes a value as a field.
struct Field<'l, 'w, 'b> {
    name: &'l str,
    line: &'l mut LineWriter<'w, 'b>,
}

impl Field<'_, '_, '_> {
    #[expect(clippy::unnecessary_wraps, reason = "the functions of a visitor return results")]
    fn write(&mut self, value: FieldValue<'_>) -> Result<(), kv::Error> {
        self.line.field(self.name, value);
        Ok(())
    }
}

impl VisitValue<'_> for Field<'_, '_, '_> {
    fn visit_any(&mut self, value: Value<'_>) -> Result<(), kv::Error> {
        // If the program gave a value by its `Display`, the `Debug` of the value writes the same text.
        self.write(FieldValue::Debug(&value))
    }

    fn visit_null(&mut self) -> Result<(), kv::Error> {
        self.write(FieldValue::Null)
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), kv::Error> {
        self.write(FieldValue::Bool(value))
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), kv::Error> {
        self.write(FieldValue::I64(value))
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), kv::Error> {
        self.write(FieldValue::U64(value))
    }

    fn visit_i128(&mut self, value: i128) -> Result<(), kv::Error> {
        self.write(FieldValue::I128(value))
    }

    fn visit_u128(&mut self, value: u128) -> Result<(), kv::Error> {
        self.write(FieldValue::U128(value))
    }

    fn visit_f64(&mut self, value: f64) -> Result<(), kv::Error> {
        self.write(FieldValue::F64(value))
    }

    fn visit_str(&mut self, value: &str) -> Result<(), kv::Error> {
        self.write(FieldValue::Text(value))
    }
    fn visit_error(&mut self, error: &(dyn Error + 'static)) -> Result<(), kv::Error> {
        self.write(FieldValue::Error(error))
    }

    // The default hands an error that is borrowed to `visit_any`.
    fn visit_borrowed_error(&mut self, error: &(dyn Error + 'static)) -> Result<(), kv::Error> {
        self.write(FieldValue::Error(error))
    }
}
