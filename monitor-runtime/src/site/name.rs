//! The names of functions as their users write them, from the compiler's names.
//!
//! Takes the compiler's path of an item nested in a function; gives the path of the function. The file does not know sites.

/// Returns the path that a user would write, from the compiler's name of the item nested in the function. The recorder's
/// own last segments, closures and generic arguments are removed, and the type replaces an impl block
/// (`shop::<impl shop::Book for shop::Ledger<_>>::insert` → `shop::Ledger::insert`).
pub(super) fn shown_path(path: &str) -> String {
    let mut shown: Vec<String> = Vec::new();
    for segment in split_path(path) {
        if segment.starts_with("__Monitor") || segment.starts_with("__MONITOR") || segment.starts_with("{{") {
            continue;
        }
        match segment.strip_prefix('<').and_then(|inner| inner.strip_suffix('>')) {
            // A generic argument list of the segment before it.
            Some(inner) if !inner.starts_with("impl ") && !inner.contains(" as ") && !shown.is_empty() => {}
            Some(inner) => shown = vec![type_of_impl(inner)],
            None => shown.push(without_generics(segment)),
        }
    }
    shown.join("::")
}

/// Returns the type that an impl block is for: `impl a::T for b::S<_>`, `b::S as a::T`, `impl b::S`.
fn type_of_impl(inner: &str) -> String {
    let inner = inner.strip_prefix("impl ").unwrap_or(inner);
    let subject = match (find_outside(inner, " for "), find_outside(inner, " as ")) {
        (Some(at), _) => &inner[at + " for ".len()..],
        (None, Some(at)) => &inner[..at],
        (None, None) => inner,
    };
    let subject =
        subject.trim_start_matches(['&', '*']).trim_start_matches("mut ").trim_start_matches("dyn ");
    split_path(subject).into_iter().map(without_generics).collect::<Vec<_>>().join("::")
}

/// Splits at `::` outside of angle brackets, parentheses and square brackets.
fn split_path(path: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = path;
    while let Some(at) = find_outside(rest, "::") {
        parts.push(&rest[..at]);
        rest = &rest[at + 2..];
    }
    parts.push(rest);
    parts
}

fn find_outside(text: &str, needle: &str) -> Option<usize> {
    let mut depth = 0_i32;
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        if depth == 0 && bytes[at..].starts_with(needle.as_bytes()) {
            return Some(at);
        }
        match byte {
            b'<' | b'(' | b'[' => depth += 1,
            // The arrow of a function type closes nothing.
            b'>' if at > 0 && bytes[at - 1] == b'-' => {}
            b'>' | b')' | b']' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn without_generics(segment: &str) -> String {
    segment.split('<').next().unwrap_or(segment).to_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_path_is_shown_as_a_user_would_write_it() {
        let tail = "__MONITOR_SITE::__MonitorPath";
        for (path, shown) in [
            ("shop::orders::place", "shop::orders::place"),
            ("shop::orders::OrderBook::insert", "shop::orders::OrderBook::insert"),
            ("shop::io::<impl shop::OrderBook<_>>::load", "shop::OrderBook::load"),
            ("shop::io::<impl shop::Store for shop::OrderBook<u8, _>>::load", "shop::OrderBook::load"),
            ("shop::io::<impl shop::Store for alloc::vec::Vec<shop::A::B>>::load", "alloc::vec::Vec::load"),
            ("shop::io::<impl shop::Store for &str>::load", "str::load"),
            ("<shop::OrderBook as shop::Store>::load", "shop::OrderBook::load"),
            ("shop::Foo<u8>::z::{{closure}}", "shop::Foo::z"),
            ("shop::Foo<fn() -> u8>::z", "shop::Foo::z"),
            ("shop::Store::load", "shop::Store::load"),
        ] {
            assert_eq!(super::shown_path(&format!("{path}::{tail}")), shown, "{path}");
        }
    }
}
