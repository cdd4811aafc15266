//! The pieces of a message, and its words: names and codes, which stay in the pattern, and ids, which a placeholder
//! replaces.
//!
//! Takes the text at a letter or digit; gives the word, and its pattern. An id may be a part of a word (`task-<uuid>`),
//! which is split at hyphens and underscores. Nothing looks further ahead than [`peek`] shows. The file does not know
//! the words around, except that the last one announced a code.

/// The bytes that are looked at ahead of a place, so that no text is read more often than this many times.
const AHEAD_BYTES: usize = 256;

/// A piece of a message for which a placeholder stands.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) length: usize,
    pub(super) shown: String,
}

impl Piece {
    pub(super) fn number(length: usize) -> Self {
        Self { length, shown: "#".to_owned() }
    }
}

/// Returns true for the characters of which words consist.
pub(super) fn belongs_to_word(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '_')
}

/// Returns the first [`AHEAD_BYTES`] bytes of a text, or up to three fewer, so that no character is split.
pub(super) fn peek(text: &str) -> &str {
    let mut end = text.len().min(AHEAD_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// The letters and digits of the shortest mixture that is an id.
const MIXED_MIN: usize = 6;
/// The letters and digits of the suffix that a cluster gives its pods.
const POD_SUFFIX: usize = 5;
/// The hexadecimal digits of the hash of a symbol.
const SYMBOL_HASH: usize = 16;
/// The bytes of the longest code that stays.
const CODE_BYTES_MAX: usize = 10;
/// The digits of the longest number that is a code.
const CODE_DIGITS_MAX: usize = 5;

/// The words that announce a code.
const ANNOUNCE: [&str; 16] = [
    "code",
    "codes",
    "status",
    "exit",
    "exited",
    "error",
    "errno",
    "sqlstate",
    "signal",
    "hresult",
    "http",
    "rc",
    "exitcode",
    "statuscode",
    "errorcode",
    "err",
];
/// The words that may stand between a word that announces a code and the code.
const FILLERS: [&str; 9] = ["is", "was", "of", "with", "code", "status", "state", "number", "non-zero"];
/// The words before `code` that make it an id, because it differs between customers or products: `zip code 90210`.
const OTHER_CODES: [&str; 11] = [
    "zip",
    "postal",
    "post",
    "bar",
    "promo",
    "coupon",
    "discount",
    "product",
    "tracking",
    "verification",
    "area",
];

/// The role of a number that comes next. A number that is a code stays in the pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Code {
    No,
    /// The last word announces a code.
    Announced,
    /// The last word announces a code, but may as well introduce a sentence: `error: 3 tests failed`.
    AfterColon,
    /// The last word means that the word `code` announces an id and not a code: `zip code 90210`.
    Refused,
}

/// Returns the word that the text begins with. A hyphen before a letter or digit belongs to it, and so does a percent
/// escape.
pub(super) fn take(text: &str) -> &str {
    let text = peek(text);
    let mut chars = text.char_indices().peekable();
    while let Some((at, char)) = chars.next() {
        let joins = char == '-' && chars.peek().is_some_and(|(_, next)| next.is_alphanumeric());
        let escape = char == '%' && is_escape(&text[at..]);
        if !(belongs_to_word(char) || joins || escape) {
            return &text[..at];
        }
    }
    text
}

fn is_escape(text: &str) -> bool {
    let digits = text.as_bytes().get(1..3);
    digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

/// Returns the length of the id with hyphens that the text begins with: a UUID or a license key.
pub(super) fn long_id(text: &str) -> Option<usize> {
    let word = take(text);
    uuid(word).filter(|length| *length == word.len()).or_else(|| is_key(word).then_some(word.len()))
}

/// Returns the pattern of a word.
pub(super) fn shown(word: &str) -> String {
    if word.contains('%') || is_key(word) || is_padded(word) {
        return "#".to_owned();
    }
    let mut shown = String::with_capacity(word.len());
    let mut rest = word;
    let mut had_id = false;
    while !rest.is_empty() {
        if let Some(length) = uuid(rest) {
            push_id(&mut shown);
            rest = &rest[length..];
            had_id = true;
            continue;
        }
        let end = rest.find(['-', '_']).unwrap_or(rest.len());
        let (segment, after) = rest.split_at(end);
        if is_id(segment)
            || (had_id && is_pod_suffix(segment))
            || (end < word.len() && is_mixed_pod_suffix(segment))
        {
            push_id(&mut shown);
            had_id = true;
        } else {
            push_segment(&mut shown, segment);
        }
        let joint = after.len().min(1);
        shown.push_str(&after[..joint]);
        rest = &after[joint..];
    }
    shown
}

/// Appends the placeholder of an id. Ids that follow each other are one.
fn push_id(shown: &mut String) {
    if let Some(before) = shown.strip_suffix(['-', '_']).filter(|before| before.ends_with('#')) {
        shown.truncate(before.len());
    } else {
        shown.push('#');
    }
}

/// Returns the length of the UUID that the text begins with.
fn uuid(text: &str) -> Option<usize> {
    let bytes = text.as_bytes().get(..36)?;
    let fits = bytes.iter().enumerate().all(|(at, byte)| match at {
        8 | 13 | 18 | 23 => matches!(byte, b'-' | b'_'),
        _ => byte.is_ascii_hexdigit(),
    });
    (fits && text.as_bytes().get(36).is_none_or(|next| !next.is_ascii_alphanumeric())).then_some(36)
}

/// Returns true for a mixture of letters and digits that nobody gave as a name.
fn is_id(segment: &str) -> bool {
    let (letters, digits) = count(segment);
    if letters == 0 || digits == 0 || letters + digits != segment.len() || segment.len() < MIXED_MIN {
        return false;
    }
    // The hash at the end of a symbol's name begins with an `h`.
    let hash = segment.strip_prefix('h').filter(|hash| hash.len() == SYMBOL_HASH).unwrap_or(segment);
    let is_hexadecimal = hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_numbered_name = segment.trim_end_matches(|char: char| char.is_ascii_digit()).len() == letters;
    is_hexadecimal || !is_numbered_name
}

fn count(segment: &str) -> (usize, usize) {
    let letters = segment.bytes().filter(u8::is_ascii_alphabetic).count();
    (letters, segment.bytes().filter(u8::is_ascii_digit).count())
}

fn is_pod_suffix(segment: &str) -> bool {
    segment.len() == POD_SUFFIX
        && segment
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (byte.is_ascii_lowercase() && !b"aeiou".contains(&byte)))
}

fn is_mixed_pod_suffix(segment: &str) -> bool {
    let (letters, digits) = count(segment);
    let is_numbered_name = segment.trim_end_matches(|char: char| char.is_ascii_digit()).len() == letters;
    is_pod_suffix(segment) && letters > 0 && digits > 0 && !is_numbered_name
}

/// Returns true for a license key or the like: at least three groups of the same length of capitals and digits.
fn is_key(word: &str) -> bool {
    let mut groups = word.split('-');
    let length = groups.next().map_or(0, str::len);
    let is_same = |group: &str| group.len() == length;
    length >= 4
        && groups.clone().count() >= 2
        && groups.all(is_same)
        && word.bytes().any(|byte| byte.is_ascii_digit())
        && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-')
}

/// Returns true for a long word in which capitals and small letters change so often that nobody gave it as a name.
fn is_padded(word: &str) -> bool {
    /// The letters of the shortest word that is tested.
    const LETTERS_MIN: usize = 16;
    if word.len() < LETTERS_MIN
        || !word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    {
        return false;
    }
    let rises = word
        .as_bytes()
        .windows(2)
        .filter(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
        .count();
    rises * 5 >= word.len()
}

/// Appends a segment that is not an id. Its letters stay, and its runs of digits become `#` (`row17` becomes `row#`).
fn push_segment(shown: &mut String, segment: &str) {
    let mut in_number = false;
    for char in segment.chars() {
        if !char.is_numeric() {
            shown.push(char);
        } else if !in_number {
            shown.push('#');
        }
        in_number = char.is_numeric();
    }
}

/// Returns the role of a number that follows `word`. `code` is the role of a number that would follow the word before.
pub(super) fn announces(word: &str, code: Code) -> Code {
    let (before, last) = split_last(word);
    let last = last.to_ascii_lowercase();
    let is_other = OTHER_CODES.contains(&before.to_ascii_lowercase().as_str());
    if ANNOUNCE.contains(&last.as_str()) {
        return if is_other || code == Code::Refused { Code::No } else { Code::Announced };
    }
    if OTHER_CODES.contains(&last.as_str()) {
        return Code::Refused;
    }
    if !FILLERS.contains(&word.to_ascii_lowercase().as_str()) {
        return Code::No;
    }
    code
}

/// Splits the last part off a name: at an underscore, a hyphen, or before a capital.
fn split_last(word: &str) -> (&str, &str) {
    if let Some((before, last)) = word.rsplit_once(['_', '-']) {
        return (before, last);
    }
    let is_camel =
        |at: usize| word.as_bytes()[at - 1].is_ascii_lowercase() && word.as_bytes()[at].is_ascii_uppercase();
    match (1..word.len()).rev().find(|at| is_camel(*at)) {
        Some(at) if word.is_char_boundary(at) => word.split_at(at),
        _ => ("", word),
    }
}

/// Returns the length of the code that the text begins with: a short number, or the likes of `42P01` and `0x80070005`.
pub(super) fn code(text: &str, code: Code) -> Option<usize> {
    let length = text.find(|char: char| !belongs_to_word(char)).unwrap_or(text.len());
    let word = &text[..length];
    let is_alone = !text[length..].starts_with(['.', ',', ':', '-', '/', '%'])
        || text[length + 1..].chars().next().is_none_or(|next| !belongs_to_word(next));
    let (letters, digits) = count(word);
    let is_code = match code {
        Code::No | Code::Refused => false,
        Code::AfterColon => letters == 0 && digits == 3,
        Code::Announced if letters == 0 => digits <= CODE_DIGITS_MAX,
        Code::Announced => {
            let is_upper = word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
            let is_hexadecimal = word.starts_with("0x") && word.len() <= CODE_BYTES_MAX;
            is_hexadecimal || (is_upper && digits > 0 && word.len() <= CODE_DIGITS_MAX)
        }
    };
    (is_code && digits > 0 && is_alone && letters + digits == word.len()).then_some(length)
}
