//! Names that others gave, which a placeholder such as `…` replaces: quoted words and places.
//!
//! Takes the text at a quotation mark; gives the quoted word that ends at its partner. Takes the text at the beginning
//! of a word; gives the place that begins there. The scheme of a URL and the extension of a file stay, because they say
//! what the place is.

use super::words::{Piece, belongs_to_word, peek};

/// Quotation marks and their partners.
const QUOTES: [(&str, &[&str]); 14] = [
    ("\\\"", &["\\\""]),
    ("\\'", &["\\'"]),
    ("\"", &["\""]),
    ("'", &["'"]),
    ("`", &["`", "'"]),
    ("“", &["”", "“"]),
    ("”", &["”"]),
    ("‘", &["’"]),
    ("„", &["“", "”"]),
    ("«", &["»"]),
    ("»", &["«"]),
    ("‹", &["›"]),
    ("「", &["」"]),
    ("『", &["』"]),
];

/// Returns true for quotation marks that begin a quote even behind a letter.
pub(super) fn is_no_apostrophe(char: char) -> bool {
    matches!(char, '“' | '„' | '«' | '‹' | '「' | '『')
}

/// Reads a quoted word. Text in quotes that holds a space is not taken, because it is part of the wording of the
/// message. A mark after a letter is an apostrophe. `written` is the pattern before it.
pub(super) fn quote(rest: &str, before: char, written: &str) -> Option<Piece> {
    // The letter of `b"…"` and `r"…"` is part of the quote.
    let prefix = usize::from(rest.starts_with("b\"") || rest.starts_with("r\"") || rest.starts_with("b'"));
    let may_be_apostrophe = !rest.starts_with(is_no_apostrophe);
    if may_be_apostrophe && (belongs_to_word(before) || (prefix == 0 && before == '#')) {
        return None;
    }
    let rest = &rest[prefix..];
    let (open, closes) = QUOTES.iter().find(|(open, _)| rest.starts_with(open))?;
    let inside = peek(&rest[open.len()..]);
    let (length, close) = quoted_word(inside, closes, open.len() == 1)?;
    let end = open.len() + length + close.len();
    if *open == "\"" && is_key(&rest[end..], written) {
        return None;
    }
    Some(Piece { length: prefix + end, shown: format!("{open}…{close}") })
}

/// Returns the length of the word up to the closing mark, and that mark.
fn quoted_word<'a>(inside: &str, closes: &[&'a str], is_ascii: bool) -> Option<(usize, &'a str)> {
    let mut chars = inside.char_indices();
    while let Some((at, char)) = chars.next() {
        if char.is_whitespace() {
            return None;
        }
        if let Some(close) = closes.iter().find(|close| inside[at..].starts_with(**close)) {
            let after = inside[at + close.len()..].chars().next();
            if !is_ascii || after.is_none_or(|after| !belongs_to_word(after)) {
                return Some((at, close));
            }
        }
        if char == '\\' {
            chars.next();
        }
    }
    None
}

/// Returns true if a quoted word is the key of an entry in a JSON object, because a key is part of the wording of the
/// message. `after` is the text behind the word, and `written` the pattern before it.
fn is_key(after: &str, written: &str) -> bool {
    after.starts_with(':') && written.trim_end().ends_with(['{', ','])
}

/// The last labels by which the name of a host is recognized.
const TOP_LABELS: [&str; 42] = [
    "com",
    "org",
    "net",
    "io",
    "dev",
    "app",
    "ai",
    "co",
    "edu",
    "gov",
    "mil",
    "info",
    "biz",
    "local",
    "internal",
    "lan",
    "corp",
    "home",
    "svc",
    "example",
    "invalid",
    "localhost",
    "cloud",
    "eu",
    "uk",
    "de",
    "fr",
    "nl",
    "ru",
    "cn",
    "jp",
    "br",
    "au",
    "ca",
    "ch",
    "se",
    "es",
    "it",
    "pl",
    "me",
    "us",
    "cluster",
];

/// The longest extension of a file that stays.
const EXTENSION_BYTES_MAX: usize = 5;

/// Reads a place: a URL, a mail address, a host, or a path of Unix or Windows.
pub(super) fn place(rest: &str, before: char) -> Option<Piece> {
    let begins_place = |first: char| first.is_alphanumeric() || matches!(first, '/' | '.' | '~' | '\\' | '_');
    if matches!(before, '.' | '-' | '@') || belongs_to_word(before) || !rest.starts_with(begins_place) {
        return None;
    }
    let text = peek(rest);
    if !text.starts_with(char::is_alphanumeric) {
        return windows_path(text).or_else(|| unix_path(rest, before));
    }
    url(rest)
        .or_else(|| blob(text))
        .or_else(|| mail(text))
        .or_else(|| windows_path(text))
        .or_else(|| unix_path(rest, before))
        .or_else(|| host(rest))
}

/// Returns the length of the text up to what cannot be part of a URL or path. A mark that ends a sentence is not part
/// of it.
fn extent(text: &str, ends: &[char]) -> usize {
    let mut end = text.len();
    for (at, char) in text.char_indices() {
        let after = text[at + char.len_utf8()..].chars().next();
        let ends_sentence = matches!(char, ',' | ';' | ':') && after.is_none_or(char::is_whitespace);
        if char.is_whitespace() || char.is_control() || ends_sentence || ends.contains(&char) {
            end = at;
            break;
        }
    }
    text[..end].trim_end_matches(['.', '!', '?', ',', ';', ':']).len()
}

const ENDS_OF_URL: [char; 11] = ['"', '\'', '`', '<', '>', ')', ']', '}', '|', '”', '»'];
const ENDS_OF_PATH: [char; 17] =
    ['"', '\'', '`', '<', '>', '(', ')', '[', ']', '{', '}', '|', ':', ',', ';', '”', '»'];

fn url(rest: &str) -> Option<Piece> {
    let text = peek(rest);
    let scheme = text.find(|char: char| !char.is_ascii_alphanumeric() && !matches!(char, '+' | '.' | '-'))?;
    let is_scheme = text.starts_with(|first: char| first.is_ascii_alphabetic());
    if !is_scheme || !text[scheme..].starts_with("://") {
        return None;
    }
    let length = scheme + 3 + extent(&rest[scheme + 3..], &ENDS_OF_URL);
    Some(Piece { length, shown: format!("{}://…", &text[..scheme]) })
}

/// Reads bytes in base64 that have a mark which no name has.
fn blob(text: &str) -> Option<Piece> {
    /// The characters of the shortest text that is read as base64.
    const CHARS_MIN: usize = 20;
    let is_part = |char: char| char.is_ascii_alphanumeric() || matches!(char, '+' | '/' | '_' | '-');
    let end = text.find(|char: char| !is_part(char)).unwrap_or(text.len());
    let run = &text[..end];
    let padding = text[end..].len() - text[end..].trim_start_matches('=').len();
    let has = |test: fn(&u8) -> bool| run.bytes().any(|byte| test(&byte));
    let is_mixed = has(u8::is_ascii_lowercase) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_digit);
    let is_marked = run.contains('+') || (1..=2).contains(&padding);
    let goes_on = text[end + padding..].starts_with(['.', ':', '%']);
    let starts_well = run.starts_with(|first: char| first.is_ascii_alphanumeric());
    (run.len() >= CHARS_MIN && is_mixed && is_marked && !goes_on && starts_well)
        .then(|| Piece::number(end + padding.min(2)))
}

fn mail(text: &str) -> Option<Piece> {
    let is_part = |char: char| char.is_alphanumeric() || matches!(char, '.' | '_' | '+' | '-');
    let at = text.find(|char: char| !is_part(char)).filter(|at| *at > 0 && text[*at..].starts_with('@'))?;
    let domain = &text[at + 1..];
    let length = domain
        .find(|char: char| !char.is_alphanumeric() && !matches!(char, '.' | '-'))
        .unwrap_or(domain.len());
    let domain = domain[..length].trim_end_matches(['.', '-']);
    domain.contains('.').then(|| Piece { length: at + 1 + domain.len(), shown: "…@…".to_owned() })
}

fn windows_path(text: &str) -> Option<Piece> {
    let bytes = text.as_bytes();
    let has_drive = matches!(bytes, [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic());
    let is_share = text.starts_with("\\\\") && text[2..].starts_with(|char: char| char.is_alphanumeric());
    if !has_drive && !is_share {
        return None;
    }
    if has_drive && bytes[2] == b'/' && bytes.get(3) == Some(&b'/') {
        return None;
    }
    let skipped = 2;
    let mut end = skipped + extent(&text[skipped..], &ENDS_OF_PATH);
    // A folder may have a space in its name: `C:\Program Files\x`.
    while let Some(more) = text[end..].strip_prefix(' ') {
        let length = extent(more, &ENDS_OF_PATH);
        if !more[..length].contains('\\') {
            break;
        }
        end += 1 + length;
    }
    let path = &text[..end];
    let has_folders = has_drive || path[2..].contains('\\');
    has_folders.then(|| Piece { length: end, shown: format!("/…{}", extension(path)) })
}

fn unix_path(rest: &str, before: char) -> Option<Piece> {
    let is_rooted = ["/", "./", "../", "~/"].iter().any(|root| {
        let after = rest.strip_prefix(root).and_then(|after| after.chars().next());
        after
            .is_some_and(|after| belongs_to_word(after) || matches!(after, '.' | '-' | '~' | '%' | '{' | ':'))
    });
    if is_rooted && !matches!(before, '#' | ')' | ']' | '/' | '<') {
        let end = extent(rest, &ENDS_OF_PATH);
        return (end > 1).then(|| Piece { length: end, shown: format!("/…{}", extension(&rest[..end])) });
    }
    if !rest.starts_with(belongs_to_word) {
        return None;
    }
    // A path that begins with a name is distinguished from `and/or` by its depth or its extension.
    let is_part =
        |char: char| belongs_to_word(char) || matches!(char, '.' | '-' | '/' | '~' | '+' | '@' | '%');
    let text = peek(rest);
    let end = text.find(|char: char| !is_part(char)).unwrap_or(text.len());
    let text = text[..end].trim_end_matches(['.', '-', '/']);
    if !text.contains('/') || text.starts_with(['/', '%', '.', '-']) || text.contains("//") {
        return None;
    }
    let has_letters = text.bytes().any(|byte| byte.is_ascii_alphabetic());
    let is_path = text.matches('/').count() > 1 || !extension(text).is_empty();
    let host_first = text.split('/').next().is_some_and(is_host);
    (is_path && has_letters && !host_first)
        .then(|| Piece { length: text.len(), shown: format!("/…{}", extension(text)) })
}

/// Returns the extension of a path's last segment with the dot before it, or an empty text if the segment has none.
fn extension(path: &str) -> &str {
    let last = path.rsplit(['/', '\\']).next().unwrap_or(path);
    let Some(point) = last.rfind('.') else { return "" };
    let name = &last[point + 1..];
    let is_extension = (1..=EXTENSION_BYTES_MAX).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && name.bytes().any(|byte| byte.is_ascii_lowercase())
        && last[..point].bytes().any(|byte| byte.is_ascii_alphanumeric());
    if is_extension { &last[point..] } else { "" }
}

/// Reads the name of a host with its port and path.
fn host(rest: &str) -> Option<Piece> {
    let text = peek(rest);
    let length = text
        .find(|char: char| !char.is_ascii_alphanumeric() && !matches!(char, '.' | '-' | '_'))
        .unwrap_or(text.len());
    let name = text[..length].trim_end_matches(['.', '-']);
    let after = &text[name.len()..];
    let port = after.strip_prefix(':').map_or(0, |port| port.bytes().take_while(u8::is_ascii_digit).count());
    let is_labelled = name.contains('.') && name.starts_with(|first: char| first.is_ascii_alphanumeric());
    let has_letters = name.bytes().any(|byte| byte.is_ascii_alphabetic());
    if !(is_host(name) || (is_labelled && has_letters && (2..=5).contains(&port) && !is_file(name))) {
        return None;
    }
    let mut end = name.len() + if port > 0 { 1 + port } else { 0 };
    if rest[end..].starts_with('/') {
        end += extent(&rest[end..], &ENDS_OF_URL);
    }
    Some(Piece { length: end, shown: "…".to_owned() })
}

fn is_host(name: &str) -> bool {
    if name == "localhost" {
        return true;
    }
    let Some((first, last)) = name.rsplit_once('.') else { return false };
    let is_label = |label: &str| !label.is_empty() && !label.starts_with('-');
    let is_lower = |label: &str| label.bytes().all(|byte| !byte.is_ascii_uppercase());
    TOP_LABELS.contains(&last)
        && first.split('.').all(is_label)
        && (is_lower(first) || first.contains('.') || first.contains('-'))
}

/// Returns true for the name of a source file, which a line number may follow as a port follows a host.
fn is_file(name: &str) -> bool {
    const SOURCES: [&str; 18] = [
        "rs", "c", "h", "cc", "cpp", "hpp", "go", "py", "js", "ts", "jsx", "tsx", "java", "kt", "rb", "php",
        "ex", "toml",
    ];
    name.matches('.').count() == 1 && name.rsplit('.').next().is_some_and(|ending| SOURCES.contains(&ending))
}
