//! Words, names and placeholders within a text.
//!
//! Takes the text at their start, or the text that ends with a name; gives their length, or the name. The file does not
//! know which names are those of secrets.

/// The bytes of the longest name before `=` that is looked at.
const NAME_BYTES_MAX: usize = 64;

/// Returns the length of the text up to the end of a word. Quotes, brackets and separators belong to the word where
/// more of the word follows at once: `hun,ter2` is one word, and `x,name=` begins with a word of one letter.
pub(super) fn word(text: &str) -> usize {
    let is_end = |at: usize, char: char| {
        let after = &text[at + char.len_utf8()..];
        match char {
            '&' | '\\' => true,
            ',' => !goes_on(after) || begins_assignment(after, false),
            ';' => !goes_on(after) || begins_assignment(after, true),
            '<' => at > 0 && (!goes_on(after) || is_tag(after)),
            '"' | '\'' | ')' | ']' | '}' | '>' | '`' | '|' => !goes_on(after),
            _ => char.is_whitespace(),
        }
    };
    text.char_indices().find(|(at, char)| is_end(*at, *char)).map_or(text.len(), |(at, _)| at)
}

/// Returns true if the text after a quote, bracket or separator continues the word before it.
fn goes_on(after: &str) -> bool {
    after.starts_with(|char: char| {
        char.is_alphanumeric()
            || matches!(char, '!' | '@' | '#' | '$' | '%' | '^' | '*' | '+' | '=' | '~' | '_')
    })
}

/// Returns true if the text begins with `name=`. A name of several words begins with a capital: `Initial Catalog=`.
fn begins_assignment(text: &str, may_have_words: bool) -> bool {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b' ');
    let length = text.bytes().take(NAME_BYTES_MAX).take_while(is_part).count();
    let (name, after) = text.split_at(length);
    let is_name = if name.contains(' ') {
        may_have_words && name.starts_with(|first: char| first.is_ascii_uppercase())
    } else {
        !name.is_empty()
    };
    // Base64 ends with one or two of these signs.
    let has_value = |value: &str| !value.is_empty() && !value.starts_with('=');
    is_name && after.strip_prefix('=').is_some_and(has_value)
}

/// Returns true if the text after `<` is the rest of a tag, as in `<br>`.
fn is_tag(after: &str) -> bool {
    after
        .find(|char: char| char == '>' || char.is_whitespace())
        .is_some_and(|end| after[end..].starts_with('>'))
}

/// Returns the name that a text ends with. The letter of an escape sequence (`\n`) is not a part of it.
pub(super) fn name_before(text: &str) -> &str {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let length = text.bytes().rev().take(NAME_BYTES_MAX).take_while(is_part).count();
    let (before, name) = text.split_at(text.len() - length);
    let is_escaped = before.ends_with('\\') && name.starts_with(['n', 'r', 't']);
    if is_escaped { &name[1..] } else { name }
}

/// Returns true if the first word of a text is a placeholder as a whole: `$NAME`, `${name}`, `<name>`, `%s` or
/// `%NAME%`.
pub(super) fn is_placeholder(text: &str) -> bool {
    placeholder(text).is_some_and(|length| word(&text[length..]) == 0)
}

/// Returns the length of the placeholder that a text begins with.
pub(super) fn placeholder(text: &str) -> Option<usize> {
    let run = |from: usize, is_part: fn(u8) -> bool| {
        text.bytes().skip(from).take_while(|byte| is_part(*byte)).count()
    };
    let is_capital = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b' ');
    let closed = |from: usize, length: usize, close: &str| {
        (length > 0 && text[from + length..].starts_with(close)).then_some(from + length + close.len())
    };
    match text.as_bytes() {
        [b'$', b'{', ..] => closed(2, run(2, is_name), "}"),
        [b'$', b'(', ..] => closed(2, run(2, |byte| !matches!(byte, b')' | b'"' | b'\'' | b'\n')), ")"),
        [b'$', ..] => Some(1 + run(1, is_capital)).filter(|length| *length > 1),
        [b'<', ..] => closed(1, run(1, is_name), ">"),
        [b'%', b'(' | b'{', ..] => {
            closed(2, run(2, is_name), if text.starts_with("%(") { ")s" } else { "}" })
        }
        [b'%', ..] => {
            let is_letter = text[1..].starts_with(|char: char| char.is_ascii_alphabetic());
            closed(1, run(1, is_capital), "%").or_else(|| is_letter.then_some(2))
        }
        _ => None,
    }
}
