//! The lint levels of arguments, such as `#[expect(unused_variables)]`.
//!
//! Takes the attributes of an argument. Returns those for the argument in its place, and those for the second binding
//! of an unused name, which lets rustc report the name although the expansion mentions it. An `#[expect]` of a report
//! on unused variables is fulfilled by the second binding alone, so the argument gets an `#[allow]` for it. Types are
//! not known here.

use proc_macro2::{Ident, Span};
use syn::punctuated::Punctuated;
use syn::{Attribute, FnArg, Meta, Signature, Token, parse_quote};

use super::Expansion;
use crate::attributes::replaced;

/// Returns whether the attribute sets a lint level. On an argument it moves along with the pattern.
pub(super) fn sets_lint_level(attribute: &Attribute) -> bool {
    ["allow", "expect", "warn", "deny", "forbid"].iter().any(|level| attribute.path().is_ident(level))
}

impl Expansion<'_> {
    /// Returns the signature with the attributes that arguments need if the expansion mentions those that it captures.
    pub(super) fn signature_of_mentioned(&self) -> Signature {
        let mut signature = self.function.signature.clone();
        let mut arguments = self.function.arguments.iter();
        for input in &mut signature.inputs {
            let FnArg::Typed(typed) = input else { continue };
            let Some(argument) = arguments.next() else { continue };
            if argument.bindings.iter().any(|name| self.captures(name)) {
                typed.attrs = typed.attrs.iter().flat_map(on_mentioned).collect();
            }
        }
        signature
    }
}

/// Returns the attribute for an argument that the expansion mentions.
pub(super) fn on_mentioned(attribute: &Attribute) -> Vec<Attribute> {
    replaced(attribute, &|meta| {
        let (lints, others, reason) = expected(meta)?;
        let allow = (!lints.is_empty()).then(|| list("allow", &lints, &reason));
        let expect = (!others.is_empty()).then(|| list("expect", &others, &reason));
        Some(allow.into_iter().chain(expect).collect())
    })
}

/// Returns the attribute for the second binding of an unused name.
pub(super) fn on_second_binding(attribute: &Attribute) -> Vec<Attribute> {
    replaced(attribute, &|meta| {
        let (lints, _, reason) = expected(meta)?;
        Some((!lints.is_empty()).then(|| list("expect", &lints, &reason)).into_iter().collect())
    })
}

/// Returns the parts of an `#[expect]`: the lints or groups of lints of unused variables, the others, and the reason.
fn expected(meta: &Meta) -> Option<(Vec<Meta>, Vec<Meta>, Vec<Meta>)> {
    let Meta::List(list) = meta else { return None };
    if !list.path.is_ident("expect") {
        return None;
    }
    let metas = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).ok()?;
    let (lints, reason): (Vec<Meta>, Vec<Meta>) =
        metas.into_iter().partition(|meta| matches!(meta, Meta::Path(_)));
    let is_of_unused =
        |lint: &Meta| lint.path().is_ident("unused_variables") || lint.path().is_ident("unused");
    let (unused, others) = lints.into_iter().partition(is_of_unused);
    Some((unused, others, reason))
}

/// Returns `level(lints, reason)` with a generated level, because clippy's `allow_attributes` would blame the user for
/// an `allow`.
fn list(level: &str, lints: &[Meta], reason: &[Meta]) -> Meta {
    let level = Ident::new(level, Span::call_site());
    let metas = lints.iter().chain(reason);
    Meta::List(parse_quote!(#level(#(#metas),*)))
}
