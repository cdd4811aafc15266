//! Expands `${VAR:default}` in the settings file, in two steps around the TOML parser. [`quote_bare`] puts
//! quotes around the references outside of strings, so that `max_rate = ${RATE:500}` parses. [`expand`] then
//! replaces the references within one parsed value.
//!
//! References are expanded after parsing, so that the content of a variable is never read as TOML; other `$`
//! and `\` stay as they are. Pure. The crate `subst` (0.3.8) is not used: it also expands `$NAME`, refuses
//! `$5` and `C:\temp`, and overflows the stack on defaults nested 10 000 deep.

/// The scanner's position relative to strings and comments.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Bare,
    Comment,
    /// Within a string: the quote that ends it, and whether a backslash escapes in it.
    Quoted(&'static str, bool),
}

/// Returns the text with quotes around the references outside of strings and comments.
pub(super) fn quote_bare(text: &str) -> String {
    let mut output = String::with_capacity(text.len() + 16);
    let mut place = Place::Bare;
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let taken = match place {
            Place::Bare if rest.starts_with("${") => {
                let length = reference_length(rest).unwrap_or(character.len_utf8());
                push_quoted(&mut output, &rest[..length]);
                rest = &rest[length..];
                continue;
            }
            Place::Quoted(_, true) if character == '\\' => {
                1 + rest[1..].chars().next().map_or(0, char::len_utf8)
            }
            _ => step(&mut place, rest, character),
        };
        output.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    output
}

/// Advances `place` by one token and returns the length of the token in bytes.
fn step(place: &mut Place, rest: &str, character: char) -> usize {
    const QUOTES: [(&str, bool); 4] = [("\"\"\"", true), ("'''", false), ("\"", true), ("'", false)];
    match *place {
        Place::Bare if character == '#' => *place = Place::Comment,
        Place::Bare => {
            if let Some(&(quote, escapes)) = QUOTES.iter().find(|(quote, _)| rest.starts_with(quote)) {
                *place = Place::Quoted(quote, escapes);
                return quote.len();
            }
        }
        Place::Comment if character == '\n' => *place = Place::Bare,
        Place::Quoted(quote, _) if rest.starts_with(quote) => {
            *place = Place::Bare;
            return quote.len();
        }
        // A one-line string without an end stops here, because the parser reports it.
        Place::Quoted(quote, _) if character == '\n' && quote.len() == 1 => *place = Place::Bare,
        Place::Comment | Place::Quoted(..) => {}
    }
    character.len_utf8()
}

fn push_quoted(output: &mut String, reference: &str) {
    output.push('"');
    for character in reference.chars() {
        if matches!(character, '"' | '\\') {
            output.push('\\');
        }
        output.push(character);
    }
    output.push('"');
}

/// The most levels of defaults within defaults.
const DEPTH_MAX: usize = 8;

/// Replaces every `${VAR}` and `${VAR:default}` of a value; `\${` stands for `${` itself, and `\}` for a
/// brace within a default.
///
/// # Errors
/// The reason, to be put after "it": a variable without value and default, or a broken reference.
pub fn expand(value: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    expand_within(value, variable, DEPTH_MAX)
}

fn expand_within(
    value: &str,
    variable: &dyn Fn(&str) -> Option<String>,
    depth: usize,
) -> Result<String, String> {
    let mut output = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(start) = rest.find("${") {
        if let Some(before) = rest[..start].strip_suffix('\\') {
            output.push_str(before);
            output.push_str("${");
            rest = &rest[start + 2..];
            continue;
        }
        output.push_str(&rest[..start]);
        let length = reference_length(&rest[start..]).ok_or("holds `${` without its `}`")?;
        let reference = &rest[start..start + length];
        output.push_str(&substitute(reference, variable, depth)?);
        rest = &rest[start + length..];
    }
    output.push_str(rest);
    Ok(output)
}

/// Returns the value of the variable of one whole reference, or its expanded default.
fn substitute(
    reference: &str,
    variable: &dyn Fn(&str) -> Option<String>,
    depth: usize,
) -> Result<String, String> {
    let inside = &reference[2..reference.len() - 1];
    let (name, default) = match inside.split_once(':') {
        Some((name, default)) => (name, Some(default)),
        None => (inside, None),
    };
    let is_name_character = |character: char| character.is_ascii_alphanumeric() || character == '_';
    if name.is_empty() || !name.chars().all(is_name_character) {
        return Err("holds a `${…}` that cannot be read".into());
    }
    match (variable(name), default) {
        (Some(value), _) => Ok(value),
        (None, Some(_)) if depth == 0 => Err(format!("holds defaults nested deeper than {DEPTH_MAX}")),
        (None, Some(default)) => Ok(expand_within(default, variable, depth - 1)?.replace("\\}", "}")),
        (None, None) => {
            Err(format!("needs the variable `{}`, which is not set", super::parse::quote_value(name)))
        }
    }
}

/// Returns the length in bytes of the reference at the start of `text`, including its closing brace; `None` if the line
/// ends before that brace.
fn reference_length(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0_usize, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'$' if bytes.get(at + 1) == Some(&b'{') => {
                depth += 1;
                at += 1;
            }
            b'}' if depth == 1 => return Some(at + 1),
            b'}' => depth -= 1,
            b'\n' => return None,
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "HOME" => Some("/home/ada".into()),
            "QUOTE" => Some("a\"b\\c".into()),
            _ => None,
        }
    }

    #[test]
    fn references_are_replaced_by_the_variable_or_the_default() {
        for (value, expanded) in [
            ("${HOME}/x.db", "/home/ada/x.db"),
            ("${NONE:/tmp}/x.db", "/tmp/x.db"),
            ("${HOME:/tmp}", "/home/ada"),
            ("${NONE:${HOME}/deep}", "/home/ada/deep"),
            ("${NONE:}", ""),
            ("costs $5 and C:\\temp", "costs $5 and C:\\temp"),
            ("\\${HOME}", "${HOME}"),
            ("${NONE:a\\}b}", "a}b"),
            ("${NONE:C:\\temp}", "C:\\temp"),
            ("${QUOTE}", "a\"b\\c"),
            ("é${HOME}é", "é/home/adaé"),
        ] {
            assert_eq!(expand(value, &lookup).unwrap(), expanded, "{value}");
        }
    }

    #[test]
    fn broken_references_say_what_is_wrong() {
        assert_eq!(expand("${NONE}", &lookup).unwrap_err(), "needs the variable `NONE`, which is not set");
        assert_eq!(expand("${HOME", &lookup).unwrap_err(), "holds `${` without its `}`");
        assert_eq!(expand("${}", &lookup).unwrap_err(), "holds a `${…}` that cannot be read");
        let deep = format!("{}x{}", "${NONE:".repeat(10_000), "}".repeat(10_000));
        assert_eq!(expand(&deep, &lookup).unwrap_err(), "holds defaults nested deeper than 8");
    }

    #[test]
    fn bare_references_become_strings_and_others_stay() {
        for (text, quoted) in [
            ("rate = ${R:5} # why ${not}\n", "rate = \"${R:5}\" # why ${not}\n"),
            ("a = \"${X}\"", "a = \"${X}\""),
            ("a = '${X}'\nb=${Y}", "a = '${X}'\nb=\"${Y}\""),
            ("a = \"\\\"${X}\"\nb = ${Y}", "a = \"\\\"${X}\"\nb = \"${Y}\""),
            ("a = '''${X}\n'''\nb = ${Y}", "a = '''${X}\n'''\nb = \"${Y}\""),
            ("a = ${Y:say \"hi\"}", "a = \"${Y:say \\\"hi\\\"}\""),
            ("a = \"unfinished\nb = ${Y}", "a = \"unfinished\nb = \"${Y}\""),
            ("a = ${unfinished\nb = 1", "a = \"$\"{unfinished\nb = 1"),
            ("# don't\nb = ${Y}", "# don't\nb = \"${Y}\""),
        ] {
            assert_eq!(quote_bare(text), quoted, "{text}");
        }
    }
}
