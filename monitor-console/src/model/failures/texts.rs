//! Texts that occur in many rows, each kept once as its bytes and named by a number.

use std::borrow::Cow;
use std::collections::HashMap;
use std::rc::Rc;

/// The number of a text.
pub(super) type Text = u32;

/// Texts by number.
#[derive(Debug, Default)]
pub(super) struct Texts {
    by_number: Vec<Rc<[u8]>>,
    numbers: HashMap<Rc<[u8]>, Text>,
    /// The text that was added last, because failures tend to repeat.
    last: Text,
}

impl Texts {
    /// Returns the number of a text, and adds the text if it is new.
    pub(super) fn add(&mut self, text: &[u8]) -> Text {
        if self.by_number.get(self.last as usize).is_some_and(|last| **last == *text) {
            return self.last;
        }
        self.last = self.numbers.get(text).copied().unwrap_or_else(|| {
            let number = Text::try_from(self.by_number.len()).unwrap_or(Text::MAX);
            let text: Rc<[u8]> = text.into();
            self.by_number.push(Rc::clone(&text));
            self.numbers.insert(text, number);
            number
        });
        self.last
    }

    /// Returns the text with this number. Bytes that are not UTF-8 are replaced.
    pub(super) fn get(&self, number: Text) -> Cow<'_, str> {
        self.by_number.get(number as usize).map_or("".into(), |text| String::from_utf8_lossy(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_one_number_and_need_not_be_utf_8() {
        let mut texts = Texts::default();
        let numbers = [b"a".as_slice(), b"b\xff", b"b\xff", b"a", b""].map(|text| texts.add(text));
        assert_eq!(numbers, [0, 1, 1, 0, 2]);
        assert_eq!(
            numbers.map(|number| texts.get(number).into_owned()),
            ["a", "b\u{fffd}", "b\u{fffd}", "a", ""]
        );
    }
}
