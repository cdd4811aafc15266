//! Captures a type whose `Serialize` does what the bytes say: wrong lengths, calls in the wrong order, errors, panics,
//! depth, and secrets among the rest.

use std::cell::RefCell;
use std::panic::resume_unwind;

use monitor_runtime::capture::dispatch::{Capture as _, Value};
use monitor_runtime::capture::{Limits, Writer, to_json, to_json_value};
use serde::ser::{
    Error as _, SerializeMap as _, SerializeSeq as _, SerializeStruct as _, SerializeStructVariant as _,
    SerializeTuple as _,
};
use serde::{Serialize, Serializer};

use super::assert_json;
use crate::input::Input;

const CANARY: &str = "hunter2-canary";
const NAMES: [&str; 6] = ["id", "user", "password", "api_key", "nested", "sessionToken"];
/// The depth at which a hostile value ends. Without a bound, the code that makes the value would overflow its own stack.
const DEPTH_MAX: u32 = 100;

/// A value that is made while it is read.
struct Hostile<'a, 'b>(&'a RefCell<Input<'b>>, u32);

/// Captures a hostile value between two others, into memory of any size.
pub fn serializer(bytes: &[u8]) {
    let mut input = Input(bytes);
    let size = usize::from(input.byte()) * 8;
    let mut limits = Limits::new(|| 0, 1);
    limits.depth = 1 + input.below(5) as u32;
    limits.items = limits.items_kept + input.below(40);
    limits.entries = 1 + input.below(12);
    limits.string_chars = input.below(80);
    limits.value_bytes = 16 + 4 * usize::from(input.byte());
    let input = RefCell::new(input);
    let mut memory = vec![0xEE; size];
    let mut writer = Writer::new(&mut memory, &limits);
    (&&&&&Value(&7_u8)).__monitor_capture(&mut writer);
    (&&&&&Value(&Hostile(&input, 0))).__monitor_capture(&mut writer);
    (&&&&&Value(&"after")).__monitor_capture(&mut writer);
    let length = writer.finish();
    assert!(length <= size);
    let tokens = &memory[..length];
    let args = to_json(tokens, &["before", "hostile", "after"]);
    assert_json(&args);
    assert_json(&to_json_value(tokens));
    assert!(!args.contains("unreadable"), "{args} {tokens:?}");
    let canary = CANARY.as_bytes();
    assert!(!memory.windows(canary.len()).any(|window| window == canary), "a secret was captured: {args}");
}

impl Hostile<'_, '_> {
    fn byte(&self) -> u8 {
        self.0.borrow_mut().byte()
    }

    fn word(&self) -> u64 {
        self.0.borrow_mut().word()
    }

    fn below(&self, end: usize) -> usize {
        self.0.borrow_mut().below(end)
    }

    fn text(&self) -> String {
        self.0.borrow_mut().text()
    }

    fn inner(&self) -> Self {
        Hostile(self.0, self.1 + 1)
    }

    fn length(&self) -> Option<usize> {
        [None, Some(0), Some(3), Some(usize::MAX)][self.below(4)]
    }

    fn name(&self) -> &'static str {
        NAMES[self.below(NAMES.len())]
    }
}

/// Returns true if a field of this name holds the secret.
fn is_secret(name: &str) -> bool {
    ["password", "api_key", "sessionToken"].contains(&name)
}

impl Serialize for Hostile<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.1 > DEPTH_MAX || self.0.borrow().is_empty() {
            return serializer.serialize_unit();
        }
        match self.below(22) {
            0 => serializer.serialize_bool(self.byte() & 1 == 1),
            1 => serializer.serialize_u64(self.word()),
            2 => serializer.serialize_i128(i128::from(self.word()) << self.below(64)),
            3 => serializer.serialize_f64(f64::from_bits(self.word())),
            4 => serializer.serialize_char(char::from(self.byte())),
            5 => serializer.serialize_str(&self.text()),
            6 => serializer.serialize_bytes(self.text().as_bytes()),
            7 => serializer.serialize_none(),
            8 => serializer.serialize_some(&self.inner()),
            9 => serializer.serialize_unit_variant(self.name(), 0, self.name()),
            10 => serializer.serialize_newtype_struct("Wrapper", &self.inner()),
            11 => serializer.serialize_newtype_variant("Enum", 1, "Variant", &self.inner()),
            12 => serializer.collect_str(&self.text()),
            13 => Err(S::Error::custom(self.text())),
            14 => resume_unwind(Box::new("told to")),
            15 | 16 => self.sequence(serializer),
            17 => self.tuple(serializer),
            18 => self.map(serializer),
            19 => self.variant(serializer),
            _ => self.structure(serializer),
        }
    }
}

impl Hostile<'_, '_> {
    fn sequence<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(self.length())?;
        for _ in 0..self.byte() {
            // Some types ignore errors.
            if sequence.serialize_element(&self.inner()).is_err() && self.byte() & 1 == 0 {
                return Err(S::Error::custom("stopped"));
            }
        }
        sequence.end()
    }

    fn tuple<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(self.below(4))?;
        for _ in 0..self.below(6) {
            tuple.serialize_element(&self.inner())?;
        }
        tuple.end()
    }

    fn map<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(self.length())?;
        for _ in 0..self.below(20) {
            match self.below(6) {
                0 => map.serialize_key(&self.inner())?,
                1 => map.serialize_value(&self.inner())?,
                2 => {
                    map.serialize_key("password")?;
                    map.serialize_value(CANARY)?;
                }
                3 => map.serialize_entry(&self.text(), &self.inner())?,
                _ => map.serialize_entry(self.name(), &self.inner())?,
            }
        }
        map.end()
    }

    fn structure<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut structure = serializer.serialize_struct("Thing", self.length().unwrap_or(1))?;
        for _ in 0..self.below(20) {
            let name = self.name();
            if is_secret(name) {
                structure.serialize_field(name, CANARY)?;
            } else {
                structure.serialize_field(name, &self.inner())?;
            }
        }
        structure.end()
    }

    fn variant<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut variant = serializer.serialize_struct_variant("Enum", 2, "Login", 2)?;
        variant.serialize_field("user", &self.inner())?;
        variant.serialize_field("password", CANARY)?;
        variant.end()
    }
}
