//! Types that are captured without their traits: primitives, strings and paths, references, options and sequences of
//! these, by copying; locks, by their names, because a look at the content takes the lock.
//!
//! Takes a value of such a type; gives tokens, in the shape that `serialize` gives the same value, except for paths
//! that are not Unicode and for locks. No user code is called and nothing can panic, so no sandbox is set up: a
//! number or a short string costs its copy. The file does not know the budget of time.

use std::any::type_name;
use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex, RwLock};

use super::value_writer::{Stopped, ValueWriter};
use super::{Writer, token};

mod numbers;

/// A type that is captured without its own traits.
pub trait Direct {
    /// Captures a value that stands alone.
    fn capture(&self, writer: &mut Writer<'_>);
    /// Captures a value within another.
    ///
    /// # Errors
    /// Returns `Stopped` if the budget is used up, or if the value ended early and is complete as it stands. In the
    /// second case the container around the value goes on.
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped>;
}

impl Direct for char {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.string(self.encode_utf8(&mut [0; 4]));
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        out.string(self.encode_utf8(&mut [0; 4]))
    }
}

impl Direct for str {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.string(self);
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        out.string(self)
    }
}

impl Direct for String {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.string(self);
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        out.string(self)
    }
}

impl<T: Direct + ?Sized> Direct for &T {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        (**self).capture(writer);
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        (**self).write(out)
    }
}

impl<T: Direct + ?Sized> Direct for &mut T {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        (**self).capture(writer);
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        (**self).write(out)
    }
}

impl<T: Direct + ?Sized> Direct for Box<T> {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        (**self).capture(writer);
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        (**self).write(out)
    }
}

impl<T: Direct + ?Sized> Direct for Rc<T> {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        (**self).capture(writer);
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        (**self).write(out)
    }
}

impl<T: Direct + ?Sized> Direct for Arc<T> {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        (**self).capture(writer);
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        (**self).write(out)
    }
}

impl<T: Direct + ToOwned + ?Sized> Direct for Cow<'_, T> {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        (**self).capture(writer);
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        (**self).write(out)
    }
}

impl<T: Direct> Direct for Option<T> {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        match self {
            Some(value) => value.capture(writer),
            None => writer.scalar(|buffer| buffer.tag_word(token::NULL)),
        }
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        match self {
            Some(value) => value.write(out),
            None => out.put(|buffer| buffer.tag(token::NULL)),
        }
    }
}

impl<T: Direct> Direct for [T] {
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.value(|out| self.write(out));
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        let limits = out.limits();
        let items = if self.len() > limits.items {
            out.open(token::SEQUENCE_CUT, Some(self.len() as u64))?;
            self.get(..limits.items_kept).unwrap_or_default()
        } else {
            out.open(token::SEQUENCE, None)?;
            self
        };
        for item in items {
            let before = out.mark();
            let outcome = item.write(out);
            out.settle(before, outcome, "")?;
        }
        out.close();
        Ok(())
    }
}

impl<T: Direct, const N: usize> Direct for [T; N] {
    fn capture(&self, writer: &mut Writer<'_>) {
        self.as_slice().capture(writer);
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        self.as_slice().write(out)
    }
}

impl<T: Direct> Direct for Vec<T> {
    fn capture(&self, writer: &mut Writer<'_>) {
        self.as_slice().capture(writer);
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        self.as_slice().write(out)
    }
}

impl Direct for OsStr {
    fn capture(&self, writer: &mut Writer<'_>) {
        match self.to_str() {
            Some(text) => writer.string(text),
            None => writer.value(|out| self.write(out)),
        }
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        match self.to_str() {
            Some(text) => out.string(text),
            None => out.text(out.limits().string_chars, format_args!("{}", self.display())),
        }
    }
}

impl Direct for OsString {
    fn capture(&self, writer: &mut Writer<'_>) {
        self.as_os_str().capture(writer);
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        self.as_os_str().write(out)
    }
}

impl Direct for Path {
    fn capture(&self, writer: &mut Writer<'_>) {
        self.as_os_str().capture(writer);
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        self.as_os_str().write(out)
    }
}

impl Direct for PathBuf {
    fn capture(&self, writer: &mut Writer<'_>) {
        self.as_os_str().capture(writer);
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        self.as_os_str().write(out)
    }
}

impl<T: ?Sized> Direct for Mutex<T> {
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.type_name(token::NAME, type_name::<Self>());
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        out.name(token::NAME, type_name::<Self>())
    }
}

impl<T: ?Sized> Direct for RwLock<T> {
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.type_name(token::NAME, type_name::<Self>());
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        out.name(token::NAME, type_name::<Self>())
    }
}
