//! Values captured by their `Serialize`.
//!
//! Takes the calls that a `Serialize` makes; gives tokens, in the shape that `serde_json` gives the same value:
//! externally tagged variants, `null` for unit and `None`, newtypes as their content. It differs where JSON has no
//! representation: `NaN` and the infinities are strings, and any value may be a key. The content of a type or variant
//! with a secret name (`Password("x")`) is redacted like the value of a field. The file does not know the budget.

use std::any::type_name;
use std::fmt::{self, Display};

use serde::ser::{
    Error, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use super::containers::{Entries, Sequence};
use super::locks;
use super::secret::is_secret_type;
use super::token;
use super::value_writer::{Stopped, ValueWriter};

impl Display for Stopped {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the capture of this value has ended")
    }
}

impl std::error::Error for Stopped {}

impl Error for Stopped {
    fn custom<T: Display>(_message: T) -> Self {
        Self
    }
}

/// Writes a value by its `Serialize`, unless that would wait for a lock.
pub(super) fn write<T: Serialize + ?Sized>(value: &T, out: &mut ValueWriter<'_>) -> Result<(), Stopped> {
    let type_name = type_name::<T>();
    if locks::is_taken_to_serialize(type_name) {
        return out.name(token::NAME, type_name);
    }
    value.serialize(out)
}

/// The content of a variant, inside a map whose only key is the variant's tag.
#[derive(Debug)]
pub struct Tagged<C> {
    content: C,
}

/// Opens the map that holds a variant's tag, and writes the tag.
fn open_tag(out: &mut ValueWriter<'_>, variant: &str) -> Result<(), Stopped> {
    out.open(token::MAP, None)?;
    out.string(variant)
}

impl<'d, 'b> Serializer for &'d mut ValueWriter<'b> {
    type Ok = ();
    type Error = Stopped;
    type SerializeSeq = Sequence<'d, 'b>;
    type SerializeTuple = Sequence<'d, 'b>;
    type SerializeTupleStruct = Sequence<'d, 'b>;
    type SerializeTupleVariant = Tagged<Sequence<'d, 'b>>;
    type SerializeMap = Entries<'d, 'b>;
    type SerializeStruct = Entries<'d, 'b>;
    type SerializeStructVariant = Tagged<Entries<'d, 'b>>;

    fn serialize_bool(self, value: bool) -> Result<(), Stopped> {
        self.put(|buffer| buffer.boolean(value))
    }
    fn serialize_i8(self, value: i8) -> Result<(), Stopped> {
        self.serialize_i64(value.into())
    }
    fn serialize_i16(self, value: i16) -> Result<(), Stopped> {
        self.serialize_i64(value.into())
    }
    fn serialize_i32(self, value: i32) -> Result<(), Stopped> {
        self.serialize_i64(value.into())
    }
    fn serialize_i64(self, value: i64) -> Result<(), Stopped> {
        self.put(|buffer| buffer.signed(value))
    }
    fn serialize_i128(self, value: i128) -> Result<(), Stopped> {
        self.put(|buffer| buffer.signed_wide(value))
    }
    fn serialize_u8(self, value: u8) -> Result<(), Stopped> {
        self.serialize_u64(value.into())
    }
    fn serialize_u16(self, value: u16) -> Result<(), Stopped> {
        self.serialize_u64(value.into())
    }
    fn serialize_u32(self, value: u32) -> Result<(), Stopped> {
        self.serialize_u64(value.into())
    }
    fn serialize_u64(self, value: u64) -> Result<(), Stopped> {
        self.put(|buffer| buffer.unsigned(value))
    }
    fn serialize_u128(self, value: u128) -> Result<(), Stopped> {
        self.put(|buffer| buffer.unsigned_wide(value))
    }
    fn serialize_f32(self, value: f32) -> Result<(), Stopped> {
        self.put(|buffer| buffer.float(value))
    }
    fn serialize_f64(self, value: f64) -> Result<(), Stopped> {
        self.put(|buffer| buffer.double(value))
    }
    fn serialize_char(self, value: char) -> Result<(), Stopped> {
        self.string(value.encode_utf8(&mut [0; 4]))
    }
    fn serialize_str(self, value: &str) -> Result<(), Stopped> {
        self.string(value)
    }
    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), Stopped> {
        let chars_max = self.limits().string_chars;
        self.text(chars_max, format_args!("{value}"))
    }
    fn serialize_bytes(self, value: &[u8]) -> Result<(), Stopped> {
        let mut sequence = Sequence::open(self, Some(value.len()))?;
        for &byte in value {
            sequence.item("u8", |out| out.serialize_u8(byte))?;
        }
        Sequence::end(sequence)
    }
    fn serialize_none(self) -> Result<(), Stopped> {
        self.serialize_unit()
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Stopped> {
        self.wrapped(|out| write(value, out))
    }
    fn serialize_unit(self) -> Result<(), Stopped> {
        self.put(|buffer| buffer.tag(token::NULL))
    }
    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Stopped> {
        self.serialize_unit()
    }
    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Result<(), Stopped> {
        self.string(variant)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Stopped> {
        if is_secret_type(name) {
            return Err(self.redacted());
        }
        self.wrapped(|out| write(value, out))
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Stopped> {
        open_tag(self, variant)?;
        if is_secret_type(variant) {
            return Err(self.redacted());
        }
        let before = self.mark();
        let outcome = write(value, self);
        self.settle(before, outcome, type_name::<T>())?;
        self.close();
        Ok(())
    }
    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, Stopped> {
        Sequence::open(self, len)
    }
    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, Stopped> {
        Sequence::open_tuple(self, len)
    }
    fn serialize_tuple_struct(
        self,
        name: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleStruct, Stopped> {
        if is_secret_type(name) {
            return Err(self.redacted());
        }
        Sequence::open(self, Some(len))
    }
    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, Stopped> {
        open_tag(self, variant)?;
        if is_secret_type(variant) {
            return Err(self.redacted());
        }
        Ok(Tagged { content: Sequence::open(self, Some(len))? })
    }
    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, Stopped> {
        Entries::open(self, len)
    }
    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeStruct, Stopped> {
        // `serde_json` passes its arbitrary-precision numbers and raw values to itself in such structs.
        if name.starts_with("$serde_json::private::") {
            return Ok(Entries::open_transparent(self));
        }
        if is_secret_type(name) {
            return Err(self.redacted());
        }
        Entries::open(self, Some(len))
    }
    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, Stopped> {
        open_tag(self, variant)?;
        if is_secret_type(variant) {
            return Err(self.redacted());
        }
        Ok(Tagged { content: Entries::open(self, Some(len))? })
    }
}

impl SerializeSeq for Sequence<'_, '_> {
    type Ok = ();
    type Error = Stopped;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stopped> {
        self.item(type_name::<T>(), |out| write(value, out))
    }
    fn end(self) -> Result<(), Stopped> {
        Sequence::end(self)
    }
}

impl SerializeTuple for Sequence<'_, '_> {
    type Ok = ();
    type Error = Stopped;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stopped> {
        self.item(type_name::<T>(), |out| write(value, out))
    }
    fn end(self) -> Result<(), Stopped> {
        Sequence::end(self)
    }
}

impl SerializeTupleStruct for Sequence<'_, '_> {
    type Ok = ();
    type Error = Stopped;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stopped> {
        self.item(type_name::<T>(), |out| write(value, out))
    }
    fn end(self) -> Result<(), Stopped> {
        Sequence::end(self)
    }
}

impl SerializeTupleVariant for Tagged<Sequence<'_, '_>> {
    type Ok = ();
    type Error = Stopped;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stopped> {
        self.content.item(type_name::<T>(), |out| write(value, out))
    }
    fn end(self) -> Result<(), Stopped> {
        self.content.end_with_tag()
    }
}

impl SerializeMap for Entries<'_, '_> {
    type Ok = ();
    type Error = Stopped;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Stopped> {
        self.key(type_name::<T>(), |out| write(key, out))
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stopped> {
        self.value(type_name::<T>(), |out| write(value, out))
    }
    fn end(self) -> Result<(), Stopped> {
        Entries::end(self)
    }
}

impl SerializeStruct for Entries<'_, '_> {
    type Ok = ();
    type Error = Stopped;
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Stopped> {
        self.field(key, type_name::<T>(), |out| write(value, out))
    }
    fn end(self) -> Result<(), Stopped> {
        Entries::end(self)
    }
}

impl SerializeStructVariant for Tagged<Entries<'_, '_>> {
    type Ok = ();
    type Error = Stopped;
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<(), Stopped> {
        self.content.field(key, type_name::<T>(), |out| write(value, out))
    }
    fn end(self) -> Result<(), Stopped> {
        self.content.end_with_tag()
    }
}
