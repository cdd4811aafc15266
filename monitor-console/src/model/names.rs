//! Texts that occur in many rows, each kept once and named by a number.

use std::collections::HashMap;

/// The number of a text.
pub(crate) type Name = u32;

/// Texts by number.
#[derive(Debug, Default, Clone)]
pub(crate) struct Names {
    texts: Vec<String>,
    numbers: HashMap<String, Name>,
}

impl Names {
    /// Returns the number of a text, and adds the text if it is new.
    pub(crate) fn add(&mut self, text: &str) -> Name {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = Name::try_from(self.texts.len()).unwrap_or(Name::MAX);
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }

    /// Returns the text with this number.
    pub(crate) fn text(&self, number: Name) -> &str {
        self.texts.get(number as usize).map_or("", String::as_str)
    }
}
