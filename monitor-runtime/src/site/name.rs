//! The names of functions as their users write them, from the compiler's names.
//!
//! Takes the compiler's path of an item nested in a function; gives the path of the function. The file does not know sites.

/// Returns the path that a user would write, from the compiler's name of the item nested in the function. The recorder's
/// own last segments, closures and type parameters are removed, and the type replaces an impl block
/// (`shop::<impl shop::Book for shop::Ledger<_>>::insert` → `shop::Ledger::insert`). Where several impl blocks have a
/// function of this name, the name tells them apart (`shop::<u32 as Book>::insert`, `shop::Ledger<u8>::insert`).
pub(super) fn shown_path(path: &str) -> String {
    let mut shown: Vec<String> = Vec::new();
    for segment in split_path(path) {
        if segment.starts_with("__Monitor") || segment.starts_with("__MONITOR") || segment.starts_with("{{") {
            continue;
        }
        match segment.strip_prefix('<').and_then(|inner| inner.strip_suffix('>')) {
            // A generic argument list of the segment before it.
            Some(inner) if !inner.starts_with("impl ") && !inner.contains(" as ") && !shown.is_empty() => {
                if let (Some(last), true) = (shown.last_mut(), has_concrete(inner)) {
                    last.push_str(&shorten_arguments(&format!("<{inner}>")));
                }
            }
            Some(inner) => shown = vec![shown_impl(inner, &shown)],
            None => shown.push(shown_segment(segment)),
        }
    }
    shown.join("::")
}

/// Returns the name of an impl block in this module: `impl a::T for b::S<_>`, `b::S as a::T`, `impl b::S`.
fn shown_impl(inner: &str, module: &[String]) -> String {
    let (subject, implemented) = split_impl(inner);
    let subject = subject.trim_start_matches(['&', '*']).trim_start_matches("mut ");
    let subject = subject.strip_prefix("dyn ").unwrap_or(subject);
    let path = split_path(subject);
    let shown: Vec<String> = path.iter().map(|segment| shown_segment(segment)).collect();
    let Some(implemented) = implemented else { return shown.join("::") };
    let trait_path = split_path(implemented);
    let trait_name = trait_path.last().copied().unwrap_or_default();
    let is_foreign = path.len() == 1 || is_std(path[0]);
    // A type has one impl of a trait without arguments. The traits of formatting all have a function of the same name.
    let is_one_of_many = has_arguments(trait_name) || implemented.starts_with("core::fmt::");
    if !is_foreign && !is_one_of_many {
        return shown.join("::");
    }
    let (module, name) = match (is_foreign, shown.split_last()) {
        (false, Some((name, module))) => (module.to_vec(), name.clone()),
        _ if module.is_empty() => {
            let module = trait_path.iter().take(trait_path.len() - 1).map(|segment| (*segment).to_owned());
            (module.collect(), shorten_arguments(path.last().copied().unwrap_or_default()))
        }
        _ => (module.to_vec(), shorten_arguments(path.last().copied().unwrap_or_default())),
    };
    let shown = format!("<{name} as {}>", shorten_arguments(trait_name));
    if module.is_empty() { shown } else { format!("{}::{shown}", module.join("::")) }
}

/// Returns the type that an impl block is for, and the trait.
fn split_impl(inner: &str) -> (&str, Option<&str>) {
    let inner = inner.strip_prefix("impl ").unwrap_or(inner);
    match (find_outside(inner, " for "), find_outside(inner, " as ")) {
        (Some(at), _) => (&inner[at + " for ".len()..], Some(&inner[..at])),
        (None, Some(at)) => (&inner[..at], Some(&inner[at + " as ".len()..])),
        (None, None) => (inner, None),
    }
}

fn is_std(krate: &str) -> bool {
    matches!(krate, "core" | "alloc" | "std")
}

fn has_arguments(segment: &str) -> bool {
    segment.contains('<')
}

/// Returns whether one of the generic arguments is a concrete type. Type parameters, which the compiler shows as `_`,
/// are none.
fn has_concrete(arguments: &str) -> bool {
    arguments.chars().any(char::is_alphanumeric)
}

/// Returns a segment of a path with its generic arguments, if one of them is a type.
fn shown_segment(segment: &str) -> String {
    match segment.split_once('<') {
        Some((name, arguments)) if !has_concrete(arguments) => name.to_owned(),
        _ => shorten_arguments(segment),
    }
}

/// Returns the text with at most the last two segments of each path in it.
fn shorten_arguments(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|sign: char| !(sign.is_alphanumeric() || sign == '_' || sign == ':'));
        let (path, after) = rest.split_at(end.unwrap_or(rest.len()));
        let segments: Vec<&str> = path.split("::").collect();
        let first = segments.len().saturating_sub(2);
        shown.push_str(&segments[first..].join("::"));
        let sign = after.chars().next().map_or(0, char::len_utf8);
        shown.push_str(&after[..sign]);
        rest = &after[sign..];
    }
    shown
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

#[cfg(test)]
mod tests {
    #[test]
    fn a_path_is_shown_as_a_user_would_write_it() {
        let tail = "__MONITOR_SITE::__MonitorPath";
        for (path, shown) in [
            ("shop::orders::place", "shop::orders::place"),
            ("shop::orders::OrderBook::insert", "shop::orders::OrderBook::insert"),
            ("shop::io::<impl shop::OrderBook<_>>::load", "shop::OrderBook::load"),
            ("shop::io::<impl shop::Store for shop::OrderBook<u8, _>>::load", "shop::OrderBook<u8, _>::load"),
            ("shop::io::<impl shop::Store for shop::OrderBook<'_, _>>::load", "shop::OrderBook::load"),
            (
                "shop::io::<impl shop::Store for alloc::vec::Vec<shop::A::B>>::load",
                "shop::io::<Vec<A::B> as Store>::load",
            ),
            ("shop::io::<impl shop::Store for &str>::load", "shop::io::<str as Store>::load"),
            ("<u32 as shop::Store>::load", "shop::<u32 as Store>::load"),
            ("<_ as shop::io::Store>::load", "shop::io::<_ as Store>::load"),
            ("<alloc::boxed::Box<_> as shop::Store<u8>>::load", "shop::<Box<_> as Store<u8>>::load"),
            ("<shop::OrderBook as shop::Store>::load", "shop::OrderBook::load"),
            ("<shop::OrderBook<_> as shop::Store>::load", "shop::OrderBook::load"),
            ("<shop::OrderBook as core::clone::Clone>::clone", "shop::OrderBook::clone"),
            ("<shop::orders::Order as core::fmt::Display>::fmt", "shop::orders::<Order as Display>::fmt"),
            (
                "<shop::Fault as core::convert::From<std::io::error::Error>>::from",
                "shop::<Fault as From<error::Error>>::from",
            ),
            ("shop::Foo<u8>::z::{{closure}}", "shop::Foo<u8>::z"),
            ("shop::Foo<_>::z", "shop::Foo::z"),
            ("shop::Foo<alloc::string::String>::z", "shop::Foo<string::String>::z"),
            ("shop::Foo<fn() -> u8>::z", "shop::Foo<fn() -> u8>::z"),
            ("shop::Store::load", "shop::Store::load"),
        ] {
            assert_eq!(super::shown_path(&format!("{path}::{tail}")), shown, "{path}");
        }
    }
}
