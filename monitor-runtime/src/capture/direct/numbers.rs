//! Numbers, booleans and `()`: one token each.
//!
//! Takes a value; gives its bytes, without an integer's leading zeros. This is the hot part of capture: it has no loop,
//! no call, and one branch, on whether there is room.

use super::Direct;
use crate::capture::value_writer::{Stopped, ValueWriter};
use crate::capture::{Writer, token};

impl Direct for u8 {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.unsigned((*self).into());
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        out.put(|buffer| buffer.unsigned((*self).into()))
    }
}

impl Direct for u16 {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.unsigned((*self).into());
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        out.put(|buffer| buffer.unsigned((*self).into()))
    }
}

impl Direct for u32 {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.unsigned((*self).into());
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        out.put(|buffer| buffer.unsigned((*self).into()))
    }
}

impl Direct for u64 {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.unsigned(*self);
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        out.put(|buffer| buffer.unsigned(*self))
    }
}

impl Direct for usize {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.unsigned(*self as u64);
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        out.put(|buffer| buffer.unsigned(*self as u64))
    }
}

impl Direct for i8 {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.signed((*self).into());
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        out.put(|buffer| buffer.signed((*self).into()))
    }
}

impl Direct for i16 {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.signed((*self).into());
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        out.put(|buffer| buffer.signed((*self).into()))
    }
}

impl Direct for i32 {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.signed((*self).into());
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        out.put(|buffer| buffer.signed((*self).into()))
    }
}

impl Direct for i64 {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.signed(*self);
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        out.put(|buffer| buffer.signed(*self))
    }
}

impl Direct for isize {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.signed(*self as i64);
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        out.put(|buffer| buffer.signed(*self as i64))
    }
}

impl Direct for u128 {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.scalar(|buffer| buffer.unsigned_wide(*self));
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        out.put(|buffer| buffer.unsigned_wide(*self))
    }
}

impl Direct for i128 {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.scalar(|buffer| buffer.signed_wide(*self));
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        out.put(|buffer| buffer.signed_wide(*self))
    }
}

impl Direct for f32 {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.scalar(|buffer| buffer.float_word(*self));
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        out.put(|buffer| buffer.float(*self))
    }
}

impl Direct for f64 {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.scalar(|buffer| buffer.double_words(*self));
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        out.put(|buffer| buffer.double(*self))
    }
}

impl Direct for bool {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.scalar(|buffer| buffer.boolean_word(*self));
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        out.put(|buffer| buffer.boolean(*self))
    }
}

impl Direct for () {
    #[inline]
    fn capture(&self, writer: &mut Writer<'_>) {
        writer.scalar(|buffer| buffer.tag_word(token::NULL));
    }
    fn write(&self, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
        out.put(|buffer| buffer.tag(token::NULL))
    }
}
