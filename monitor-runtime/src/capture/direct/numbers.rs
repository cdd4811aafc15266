//! Numbers, truth values and `()`: one token each.
//!
//! Comes in: a value. Goes out: its bytes, of an integer only those that count. This is the hot end of capture: no
//! loop, no call, and one branch on whether there is room.

use super::Direct;
use crate::capture::value_writer::{Draft, Stopped};
use crate::capture::{Writer, token};

impl Direct for u8 {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.unsigned((*self).into());
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.put(|tape| tape.unsigned((*self).into()))
    }
}

impl Direct for u16 {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.unsigned((*self).into());
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.put(|tape| tape.unsigned((*self).into()))
    }
}

impl Direct for u32 {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.unsigned((*self).into());
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.put(|tape| tape.unsigned((*self).into()))
    }
}

impl Direct for u64 {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.unsigned(*self);
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.put(|tape| tape.unsigned(*self))
    }
}

impl Direct for usize {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.unsigned(*self as u64);
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.put(|tape| tape.unsigned(*self as u64))
    }
}

impl Direct for i8 {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.signed((*self).into());
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.put(|tape| tape.signed((*self).into()))
    }
}

impl Direct for i16 {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.signed((*self).into());
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.put(|tape| tape.signed((*self).into()))
    }
}

impl Direct for i32 {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.signed((*self).into());
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.put(|tape| tape.signed((*self).into()))
    }
}

impl Direct for i64 {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.signed(*self);
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.put(|tape| tape.signed(*self))
    }
}

impl Direct for isize {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.signed(*self as i64);
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
        writer.scalar(|tape| tape.float_word(*self));
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.put(|tape| tape.float(*self))
    }
}

impl Direct for f64 {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.scalar(|tape| tape.double_words(*self));
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.put(|tape| tape.double(*self))
    }
}

impl Direct for bool {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.scalar(|tape| tape.boolean_word(*self));
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.put(|tape| tape.boolean(*self))
    }
}

impl Direct for () {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.scalar(|tape| tape.tag_word(token::NULL));
    }
    fn write(&self, draft: &mut Draft<'_>) -> Result<(), Stopped> {
        draft.put(|tape| tape.tag(token::NULL))
    }
}
