//! Everything that is wrong with a use of the attribute, found before anything is expanded.
//!
//! In: options and, for a function, its signature. Out: one error holding all mistakes, each at the
//! span of what must change. Values that are no literals are left to rustc: they are constants.

use proc_macro2::{Ident, TokenStream};
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{Error, Expr, Lit, Result, Signature, UnOp};

use crate::function::arguments;
use crate::options::Options;

/// Checks the options that mean the same wherever the attribute stands.
pub(crate) fn options(options: &Options) -> Result<()> {
    all([
        options.name.as_ref().map_or(Ok(()), |name| text(name, "name")),
        options.group.as_ref().map_or(Ok(()), |group| text(group, "group")),
        options.sample.as_ref().map_or(Ok(()), sample),
        options.slow.as_ref().map_or(Ok(()), slow),
    ])
}

/// Checks what only makes sense together with the signature.
pub(crate) fn function(options: &Options, signature: &Signature) -> Result<()> {
    let names = options.skip.iter().chain(&options.redact);
    all(std::iter::once(not_const(signature)).chain(names.map(|name| has_argument(signature, name))))
}

/// `const fn` may run where there is neither clock nor memory to record in.
fn not_const(signature: &Signature) -> Result<()> {
    match &signature.constness {
        Some(constness) => Err(Error::new(
            constness.span(),
            "a `const fn` cannot be monitored, because it may run at compile time; \
             remove `const`, or the attribute",
        )),
        None => Ok(()),
    }
}

fn has_argument(signature: &Signature, name: &Ident) -> Result<()> {
    if names_argument(signature, name) {
        return Ok(());
    }
    let arguments = arguments(signature);
    let bound: Vec<String> = arguments
        .iter()
        .flat_map(|argument| &argument.bindings)
        .map(|binding| format!("`{}`", binding.unraw()))
        .collect();
    let known = match bound.as_slice() {
        [] => String::from("it has none"),
        bound => format!("it has {}", bound.join(", ")),
    };
    let text = format!("`{}` has no argument `{}`; {known}", signature.ident.unraw(), name.unraw());
    Err(Error::new(name.span(), text))
}

/// Does the signature bind `name`? `self` counts, though it is never captured: `skip(self)` is what
/// users of `tracing` write by habit.
pub(crate) fn names_argument(signature: &Signature, name: &Ident) -> bool {
    let is_self = name == "self" && signature.receiver().is_some();
    is_self
        || arguments(signature)
            .iter()
            .flat_map(|argument| &argument.bindings)
            .any(|binding| binding.unraw() == name.unraw())
}

fn text(value: &Expr, option: &str) -> Result<()> {
    match literal(value) {
        Some(Lit::Str(text)) if text.value().is_empty() => {
            Err(Error::new(text.span(), format!("`{option}` must not be empty")))
        }
        None | Some(Lit::Str(_)) => Ok(()),
        Some(other) => {
            Err(Error::new(other.span(), format!("`{option}` must be a text: `{option} = \"…\"`")))
        }
    }
}

fn sample(value: &Expr) -> Result<()> {
    let negative = matches!(value, Expr::Unary(unary) if matches!(unary.op, UnOp::Neg(_)));
    let rate = match literal(value) {
        None if negative => None,
        None => return Ok(()),
        Some(Lit::Float(rate)) => rate.base10_parse::<f64>().ok(),
        Some(Lit::Int(rate)) => rate.base10_parse::<f64>().ok(),
        Some(_) => None,
    };
    match rate {
        Some(rate) if (0.0..=1.0).contains(&rate) => Ok(()),
        _ => Err(Error::new_spanned(value, "`sample` must be a number from 0 to 1, such as `sample = 0.01`")),
    }
}

fn slow(value: &Expr) -> Result<()> {
    match literal(value) {
        None => Ok(()),
        Some(Lit::Str(text)) if is_duration(&text.value()) => Ok(()),
        Some(other) => Err(Error::new(
            other.span(),
            "`slow` must be a whole number and a unit (ns, us, ms, s, m, h), such as `slow = \"10ms\"`",
        )),
    }
}

fn literal(value: &Expr) -> Option<&Lit> {
    match value {
        Expr::Lit(literal) => Some(&literal.lit),
        Expr::Group(group) => literal(&group.expr),
        Expr::Paren(paren) => literal(&paren.expr),
        _ => None,
    }
}

/// The same texts that the runtime's `duration` reads.
fn is_duration(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_ns: u64 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return false,
    };
    number.parse::<u64>().is_ok_and(|number| number.checked_mul(unit_ns).is_some())
}

/// All errors in one.
pub(crate) fn all(results: impl IntoIterator<Item = Result<()>>) -> Result<()> {
    let errors = results.into_iter().filter_map(Result::err).reduce(|mut errors, error| {
        errors.combine(error);
        errors
    });
    errors.map_or(Ok(()), Err)
}

/// The attribute stands on something that cannot be monitored.
pub(crate) fn not_an_item(item: &TokenStream) -> Error {
    at_start(item, "`#[monitor]` goes on a function, an `impl` block, a trait or an inline module")
}

/// The attribute stands on a declaration.
pub(crate) fn no_body(head: &TokenStream) -> Error {
    at_start(head, "a function without a body cannot be monitored; put `#[monitor]` where its body is")
}

/// The attribute stands on a naked function.
pub(crate) fn naked(head: &TokenStream) -> Error {
    at_start(head, "a naked function consists of its assembly alone, and cannot be monitored")
}

/// The span of a whole item would need an unstable interface; its first tokens tell as much.
fn at_start(item: &TokenStream, text: &str) -> Error {
    let start: TokenStream = item.clone().into_iter().take(3).collect();
    Error::new_spanned(start, text)
}

#[cfg(test)]
mod tests {
    use super::is_duration;

    #[test]
    fn a_duration_is_a_whole_number_and_a_unit() {
        for text in ["10ms", "1s", "0ns", "5us", "5µs", "2m", "6h"] {
            assert!(is_duration(text), "{text}");
        }
        for text in ["", "10", "ms", "1.5s", "-1ms", "1 s", "10 parsecs", "18446744073709551615s"] {
            assert!(!is_duration(text), "{text}");
        }
    }
}
