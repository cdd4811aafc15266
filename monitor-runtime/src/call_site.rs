//! The static identity of a monitored function; its id is given out on its first call.

/// One monitored function: a `static` in its expansion.
#[derive(Debug)]
pub struct CallSite {
    path: fn() -> &'static str,
    file: &'static str,
    line: u32,
    arguments: &'static [&'static str],
    fields: &'static [&'static str],
    name: Option<&'static str>,
    group: Option<&'static str>,
    sample: Option<f64>,
    slow_ns: Option<u64>,
}

impl CallSite {
    /// `path` is `fn __monitor_path() -> &'static str { path_of(__monitor_path) }`, nested in the
    /// monitored function (or in the initializer of its static); `arguments` and `fields` name, in
    /// order, the values that the expansion captures (redacted ones included).
    #[must_use]
    pub const fn new(
        path: fn() -> &'static str,
        file: &'static str,
        line: u32,
        arguments: &'static [&'static str],
        fields: &'static [&'static str],
    ) -> Self {
        Self { path, file, line, arguments, fields, name: None, group: None, sample: None, slow_ns: None }
    }
    /// The option `name`.
    #[must_use]
    pub const fn name(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }
    /// The option `group`.
    #[must_use]
    pub const fn group(mut self, group: &'static str) -> Self {
        self.group = Some(group);
        self
    }
    /// The option `sample`; panics at compile time outside 0 to 1.
    #[must_use]
    pub const fn sample(mut self, rate: f64) -> Self {
        assert!(rate >= 0.0 && rate <= 1.0, "`sample` must lie between 0 and 1");
        self.sample = Some(rate);
        self
    }
    /// The option `slow`, in nanoseconds; see [`duration`].
    #[must_use]
    pub const fn slow(mut self, nanoseconds: u64) -> Self {
        self.slow_ns = Some(nanoseconds);
        self
    }
}

/// Reads a duration such as `10ms` into nanoseconds, at compile time (`ns`, `us`, `µs`, `ms`, `s`, `m`, `h`).
#[must_use]
pub const fn duration(_text: &str) -> u64 {
    0
}

/// The path of the function item handed in: `shop::orders::OrderBook::insert::__monitor_path`.
pub fn path_of<T>(_function: T) -> &'static str {
    std::any::type_name::<T>()
}
