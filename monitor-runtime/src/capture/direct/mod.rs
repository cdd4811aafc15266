//! Types captured in a way of our own: primitives, strings and paths, references, options and sequences of them, by
//! copying; locks, without waiting for them.
//!
//! Comes in: a value of such a type. Goes out: tokens, in the shape that `serialize` gives the same value,
//! save for paths that are no Unicode and for locks. Where no code of the user's is called nothing can panic, and
//! nothing is set up to contain a panic: a number or a short string costs its copy.

use std::any::type_name;
use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex, RwLock};

use super::value_writer::{Draft, Stopped};
use super::{Writer, token};

mod numbers;

/// A type captured in a way of our own.
pub trait Direct {
    /// Whether capturing it calls code of the user's.
    const CALLS_USER_CODE: bool = false;
    /// Captures a value that stands alone.
    fn capture(&self, writer: &mut Writer<'_>);
    /// Captures a value within another.
    ///
    /// # Errors
    /// The budget is used up, or the container around it is complete.
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped>;
}

impl Direct for char {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.string(self.encode_utf8(&mut [0; 4]));
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.string(self.encode_utf8(&mut [0; 4]))
    }
}

impl Direct for str {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.string(self);
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.string(self)
    }
}

impl Direct for String {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.string(self);
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.string(self)
    }
}

impl<T: Direct + ?Sized> Direct for &T {
    const CALLS_USER_CODE: bool = T::CALLS_USER_CODE;
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        (**self).capture(writer);
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        (**self).write(draft)
    }
}

impl<T: Direct + ?Sized> Direct for &mut T {
    const CALLS_USER_CODE: bool = T::CALLS_USER_CODE;
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        (**self).capture(writer);
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        (**self).write(draft)
    }
}

impl<T: Direct + ?Sized> Direct for Box<T> {
    const CALLS_USER_CODE: bool = T::CALLS_USER_CODE;
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        (**self).capture(writer);
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        (**self).write(draft)
    }
}

impl<T: Direct + ?Sized> Direct for Rc<T> {
    const CALLS_USER_CODE: bool = T::CALLS_USER_CODE;
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        (**self).capture(writer);
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        (**self).write(draft)
    }
}

impl<T: Direct + ?Sized> Direct for Arc<T> {
    const CALLS_USER_CODE: bool = T::CALLS_USER_CODE;
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        (**self).capture(writer);
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        (**self).write(draft)
    }
}

impl<T: Direct + ToOwned + ?Sized> Direct for Cow<'_, T> {
    const CALLS_USER_CODE: bool = T::CALLS_USER_CODE;
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        (**self).capture(writer);
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        (**self).write(draft)
    }
}

impl<T: Direct> Direct for Option<T> {
    const CALLS_USER_CODE: bool = T::CALLS_USER_CODE;
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        match self {
            Some(value) => value.capture(writer),
            None => writer.scalar(|tape| tape.tag_word(token::NULL)),
        }
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        match self {
            Some(value) => value.write(draft),
            None => draft.put(|tape| tape.tag(token::NULL)),
        }
    }
}

impl<T: Direct> Direct for [T] {
    const CALLS_USER_CODE: bool = T::CALLS_USER_CODE;
    fn capture(&self, writer: &mut Writer<'_>) {
        if T::CALLS_USER_CODE {
            writer.user_value(type_name::<Self>(), &mut |draft| self.write(draft));
        } else {
            writer.value(|draft| self.write(draft));
        }
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        let limits = draft.limits();
        let items = if self.len() > limits.items {
            draft.open(token::SEQUENCE_CUT, Some(self.len() as u64))?;
            self.get(..limits.items_kept).unwrap_or_default()
        } else {
            draft.open(token::SEQUENCE, None)?;
            self
        };
        for item in items {
            let before = draft.mark();
            let outcome = item.write(draft);
            draft.settle(before, outcome, "")?;
        }
        draft.close();
        Ok(())
    }
}

impl<T: Direct, const N: usize> Direct for [T; N] {
    const CALLS_USER_CODE: bool = T::CALLS_USER_CODE;
    fn capture(&self, writer: &mut Writer<'_>) {
        self.as_slice().capture(writer);
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        self.as_slice().write(draft)
    }
}

impl<T: Direct> Direct for Vec<T> {
    const CALLS_USER_CODE: bool = T::CALLS_USER_CODE;
    fn capture(&self, writer: &mut Writer<'_>) {
        self.as_slice().capture(writer);
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        self.as_slice().write(draft)
    }
}

impl Direct for OsStr {
    fn capture(&self, writer: &mut Writer<'_>) {
        match self.to_str() {
            Some(text) => writer.string(text),
            None => writer.value(|draft| self.write(draft)),
        }
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        match self.to_str() {
            Some(text) => draft.string(text),
            None => draft.text(draft.limits().string_chars, format_args!("{}", self.display())),
        }
    }
}

impl Direct for OsString {
    fn capture(&self, writer: &mut Writer<'_>) {
        self.as_os_str().capture(writer);
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        self.as_os_str().write(draft)
    }
}

impl Direct for Path {
    fn capture(&self, writer: &mut Writer<'_>) {
        self.as_os_str().capture(writer);
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        self.as_os_str().write(draft)
    }
}

impl Direct for PathBuf {
    fn capture(&self, writer: &mut Writer<'_>) {
        self.as_os_str().capture(writer);
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        self.as_os_str().write(draft)
    }
}

impl<T: Debug + ?Sized> Direct for Mutex<T> {
    const CALLS_USER_CODE: bool = true;
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.user_value(type_name::<Self>(), &mut |draft| draft.debug(&self));
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.debug(&self)
    }
}

impl<T: Debug + ?Sized> Direct for RwLock<T> {
    const CALLS_USER_CODE: bool = true;
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.user_value(type_name::<Self>(), &mut |draft| draft.debug(&self));
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.debug(&self)
    }
}
