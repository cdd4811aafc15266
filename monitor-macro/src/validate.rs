//! Finds every mistake in a use of the attribute before anything is expanded.
//!
//! Takes the options and, for a function, its signature. Returns one error that holds all mistakes, each at
//! the span of the tokens to change. Values that are not literals are constants: rustc checks them.

use proc_macro2::{Ident, TokenStream};
use syn::ext::IdentExt as _;
use syn::spanned::Spanned as _;
use syn::{Error, Expr, Lit, Result, Signature, UnOp};

use crate::function::arguments;
use crate::options::Options;

/// Checks the options that mean the same on every kind of item.
pub(crate) fn check_options(options: &Options) -> Result<()> {
    combine_errors([
        options.name.as_ref().map_or(Ok(()), |name| check_string(name, "name")),
        options.group.as_ref().map_or(Ok(()), |group| check_string(group, "group")),
        options.sample.as_ref().map_or(Ok(()), check_sample),
        options.slow.as_ref().map_or(Ok(()), check_slow),
    ])
}

/// Checks the signature of a function, and the options that name its arguments.
pub(crate) fn check_function(options: &Options, signature: &Signature) -> Result<()> {
    let names = options.skip.iter().chain(&options.redact);
    combine_errors(
        std::iter::once(check_not_const(signature)).chain(names.map(|name| check_argument(signature, name))),
    )
}

/// Refuses a `const fn`, because there is neither a clock nor memory to record in at compile time.
fn check_not_const(signature: &Signature) -> Result<()> {
    match &signature.constness {
        Some(constness) => Err(Error::new(
            constness.span(),
            "a `const fn` cannot be monitored, because it may run at compile time; \
             remove `const`, or the attribute",
        )),
        None => Ok(()),
    }
}

fn check_argument(signature: &Signature, name: &Ident) -> Result<()> {
    if has_argument(signature, name) {
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

/// Returns whether the signature binds `name`. `self` counts although it is never captured, because users of
/// `tracing` write `skip(self)` by habit.
pub(crate) fn has_argument(signature: &Signature, name: &Ident) -> bool {
    let is_self = name == "self" && signature.receiver().is_some();
    is_self
        || arguments(signature)
            .iter()
            .flat_map(|argument| &argument.bindings)
            .any(|binding| binding.unraw() == name.unraw())
}

fn check_string(value: &Expr, option: &str) -> Result<()> {
    match find_literal(value) {
        Some(Lit::Str(text)) if text.value().is_empty() => {
            Err(Error::new(text.span(), format!("`{option}` must not be empty")))
        }
        None | Some(Lit::Str(_)) => Ok(()),
        Some(other) => {
            Err(Error::new(other.span(), format!("`{option}` must be a string: `{option} = \"…\"`")))
        }
    }
}

fn check_sample(value: &Expr) -> Result<()> {
    let negative = matches!(value, Expr::Unary(unary) if matches!(unary.op, UnOp::Neg(_)));
    let rate = match find_literal(value) {
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

fn check_slow(value: &Expr) -> Result<()> {
    match find_literal(value) {
        None => Ok(()),
        Some(Lit::Str(text)) if is_duration(&text.value()) => Ok(()),
        Some(other) => Err(Error::new(
            other.span(),
            "`slow` must be a number and a unit (ns, us, ms, s, m, h, d), such as `slow = \"10ms\"`",
        )),
    }
}

/// Returns whether the runtime takes `text` as a duration: its nanoseconds have to fit 64 bits.
fn is_duration(text: &str) -> bool {
    monitor_rules::duration::parse(text).is_ok_and(|ns| u64::try_from(ns).is_ok())
}

fn find_literal(value: &Expr) -> Option<&Lit> {
    match value {
        Expr::Lit(literal) => Some(&literal.lit),
        Expr::Group(group) => find_literal(&group.expr),
        Expr::Paren(paren) => find_literal(&paren.expr),
        _ => None,
    }
}

/// Combines the errors among `results` into one.
pub(crate) fn combine_errors(results: impl IntoIterator<Item = Result<()>>) -> Result<()> {
    let errors = results.into_iter().filter_map(Result::err).reduce(|mut errors, error| {
        errors.combine(error);
        errors
    });
    errors.map_or(Ok(()), Err)
}

/// The error about an attribute on an item that cannot be monitored.
pub(crate) fn unsupported_item(item: &TokenStream) -> Error {
    error_at_start(item, "`#[monitor]` goes on a function, an `impl` block, a trait or an inline module")
}

/// The error about an attribute on the declaration of a function.
pub(crate) fn missing_body(head: &TokenStream) -> Error {
    error_at_start(head, "a function without a body cannot be monitored; put `#[monitor]` where its body is")
}

/// The error about an attribute on a naked function.
pub(crate) fn naked_function(head: &TokenStream) -> Error {
    error_at_start(
        head,
        "a naked function cannot be monitored, because it consists of its assembly alone; remove the attribute",
    )
}

/// Returns an error at the first three tokens of `item`, because the span of a whole item is an unstable
/// interface.
fn error_at_start(item: &TokenStream, text: &str) -> Error {
    let start: TokenStream = item.clone().into_iter().take(3).collect();
    Error::new_spanned(start, text)
}

#[cfg(test)]
mod tests {
    use super::is_duration;

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        for text in ["10ms", "1s", "0ns", "5us", "5µs", "2m", "6h", "1d", "1.5s", "1 s"] {
            assert!(is_duration(text), "{text}");
        }
        for text in ["", "10", "ms", "-1ms", "10 parsecs", "18446744073709551615s"] {
            assert!(!is_duration(text), "{text}");
        }
    }
}
