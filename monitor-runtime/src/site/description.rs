//! The description of a monitored function, as its expansion states it.
//!
//! Takes the attribute's options and the function's path, place and names; gives them unchanged. A description never
//! changes. The file knows the site only as the argument of the function that the first call runs.

use super::CallSite;

/// The facts about a monitored function that are known before it is called.
#[derive(Debug)]
pub struct Description {
    pub(super) path: fn() -> &'static str,
    pub(super) file: &'static str,
    pub(super) line: u32,
    pub(super) arguments: &'static [&'static str],
    pub(super) fields: &'static [&'static str],
    pub(super) name: Option<&'static str>,
    pub(super) group: Option<&'static str>,
    pub(super) sample: Option<f64>,
    pub(super) slow_ns: Option<u64>,
    /// Runs on the function's first call: registers the site with the recorder of the process, or switches it off.
    pub(super) on_first_call: fn(&'static CallSite),
}

impl Description {
    /// Describes a function. `path` is `type_name` of a type nested in the function (or in the initializer of its
    /// static). `arguments` and `fields` name, in order, the values that the expansion captures, redacted ones included.
    #[must_use]
    pub const fn new(
        path: fn() -> &'static str,
        file: &'static str,
        line: u32,
        arguments: &'static [&'static str],
        fields: &'static [&'static str],
    ) -> Self {
        Self { path, file, line, arguments, fields, ..Self::NONE }
    }

    /// The description of no function.
    pub(super) const NONE: Self = Self {
        path: || "",
        file: "",
        line: 0,
        arguments: &[],
        fields: &[],
        name: None,
        group: None,
        sample: None,
        slow_ns: None,
        on_first_call: CallSite::switch_off,
    };

    /// Makes the function's first call run `register`. Without it the first call switches the function off.
    #[must_use]
    pub(crate) const fn on_first_call(self, register: fn(&'static CallSite)) -> Self {
        Self { on_first_call: register, ..self }
    }

    /// Sets the option `name`.
    #[must_use]
    pub const fn name(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }

    /// Sets the option `group`.
    #[must_use]
    pub const fn group(mut self, group: &'static str) -> Self {
        self.group = Some(group);
        self
    }

    /// Sets the option `sample`.
    ///
    /// # Panics
    /// Panics at compile time when the rate lies outside 0 to 1.
    #[must_use]
    pub const fn sample(mut self, rate: f64) -> Self {
        assert!(rate >= 0.0 && rate <= 1.0, "`sample` must lie between 0 and 1");
        self.sample = Some(rate);
        self
    }

    /// Sets the option `slow`, in nanoseconds; see [`crate::private::duration`].
    #[must_use]
    pub const fn slow(mut self, nanoseconds: u64) -> Self {
        self.slow_ns = Some(nanoseconds);
        self
    }
}
