//! Primitives, strings, and references, options and sequences of them: captured by copying.
//!
//! Comes in: a value whose type is known to hold no code of the user's. Goes out: tokens, in the shape that
//! [`super::serialize`] gives the same value. Nothing here can panic, so nothing is set up to contain a panic: a
//! number or a short string costs its copy.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

use super::Writer;
use super::draft::{Draft, Stopped};
use super::token;

/// A type captured without calling user code.
pub trait Direct {
    /// Captures a value that stands alone.
    fn capture(&self, writer: &mut Writer<'_>);
    /// Captures a value within another.
    ///
    /// # Errors
    /// The budget is used up, or the container around it is complete.
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped>;
}

impl Direct for u8 {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.scalar(|tape| tape.unsigned((*self).into()));
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.put(|tape| tape.unsigned((*self).into()))
    }
}

impl Direct for u16 {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.scalar(|tape| tape.unsigned((*self).into()));
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.put(|tape| tape.unsigned((*self).into()))
    }
}

impl Direct for u32 {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.scalar(|tape| tape.unsigned((*self).into()));
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.put(|tape| tape.unsigned((*self).into()))
    }
}

impl Direct for u64 {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.scalar(|tape| tape.unsigned(*self));
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.put(|tape| tape.unsigned(*self))
    }
}

impl Direct for usize {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.scalar(|tape| tape.unsigned(*self as u64));
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.put(|tape| tape.unsigned(*self as u64))
    }
}

impl Direct for i8 {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.scalar(|tape| tape.signed((*self).into()));
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.put(|tape| tape.signed((*self).into()))
    }
}

impl Direct for i16 {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.scalar(|tape| tape.signed((*self).into()));
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.put(|tape| tape.signed((*self).into()))
    }
}

impl Direct for i32 {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.scalar(|tape| tape.signed((*self).into()));
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.put(|tape| tape.signed((*self).into()))
    }
}

impl Direct for i64 {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.scalar(|tape| tape.signed(*self));
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.put(|tape| tape.signed(*self))
    }
}

impl Direct for isize {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.scalar(|tape| tape.signed(*self as i64));
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.put(|tape| tape.signed(*self as i64))
    }
}

impl Direct for u128 {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.scalar(|tape| tape.unsigned_wide(*self));
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.put(|tape| tape.unsigned_wide(*self))
    }
}

impl Direct for i128 {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.scalar(|tape| tape.signed_wide(*self));
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.put(|tape| tape.signed_wide(*self))
    }
}

impl Direct for f32 {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.scalar(|tape| tape.float(*self));
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.put(|tape| tape.float(*self))
    }
}

impl Direct for f64 {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.scalar(|tape| tape.double(*self));
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.put(|tape| tape.double(*self))
    }
}

impl Direct for bool {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.scalar(|tape| tape.boolean(*self));
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.put(|tape| tape.boolean(*self))
    }
}

impl Direct for () {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.scalar(|tape| tape.tag(token::NULL));
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.put(|tape| tape.tag(token::NULL))
    }
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
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        (**self).capture(writer);
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        (**self).write(draft)
    }
}

impl<T: Direct + ?Sized> Direct for &mut T {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        (**self).capture(writer);
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        (**self).write(draft)
    }
}

impl<T: Direct + ?Sized> Direct for Box<T> {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        (**self).capture(writer);
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        (**self).write(draft)
    }
}

impl<T: Direct + ?Sized> Direct for Rc<T> {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        (**self).capture(writer);
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        (**self).write(draft)
    }
}

impl<T: Direct + ?Sized> Direct for Arc<T> {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        (**self).capture(writer);
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        (**self).write(draft)
    }
}

impl<T: Direct + ToOwned + ?Sized> Direct for Cow<'_, T> {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        (**self).capture(writer);
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        (**self).write(draft)
    }
}

impl<T: Direct> Direct for Option<T> {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        match self {
            Some(value) => value.capture(writer),
            None => writer.scalar(|tape| tape.tag(token::NULL)),
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
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.value(|draft| self.write(draft));
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
    fn capture(&self, writer: &mut Writer<'_>) {
        self.as_slice().capture(writer);
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        self.as_slice().write(draft)
    }
}

impl<T: Direct> Direct for Vec<T> {
    fn capture(&self, writer: &mut Writer<'_>) {
        self.as_slice().capture(writer);
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        self.as_slice().write(draft)
    }
}
