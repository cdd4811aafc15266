//! The body as an expression whose value can be looked at before it is returned.
//!
//! As a rule it becomes a closure that takes the arguments as *its* arguments: patterns, `mut`, lints
//! about unused ones and the order of drops are then just what they were. Two kinds of function
//! cannot have a closure: `#[track_caller]` stops at one, and a variadic argument does not go in.
//! Theirs becomes a labelled block (see `early_return`).

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::{Attribute, FnArg, Pat, Signature, Type};

use super::capture::is_cfg;
use super::{Expansion, early_return, ours};
use crate::function::{Argument, Shape, located_at};
use crate::mentions::mentions;

/// The most arguments for which the runtime has a `run`; more go in as one tuple.
const ARGUMENTS_MAX: usize = 6;

/// The body, ready to be put where its value is wanted.
pub(super) struct Body {
    pub(super) signature: Signature,
    /// What comes before it: captures on entry, or what they need where they are made within.
    pub(super) before: TokenStream,
    pub(super) captures_within: bool,
    pub(super) expression: TokenStream,
    /// Whether the function may end without passing the end of the expression.
    pub(super) may_return: bool,
}

impl Expansion<'_> {
    /// Must the body stay outside of a closure?
    pub(super) fn needs_no_closure(&self) -> bool {
        let function = self.function;
        function.is_tracked()
            || function.signature.variadic.is_some()
            || function.arguments.iter().any(|argument| argument.attributes.iter().any(is_cfg))
    }

    /// The body as an expression of type `ty`.
    pub(super) fn body(&self, ty: &Type) -> Body {
        if self.needs_no_closure() { self.block(ty) } else { self.closure(ty) }
    }

    fn block(&self, ty: &Type) -> Body {
        let call = &self.call;
        let capture = self.capture_on_entry(call);
        let unused = self.unused(|name| self.captures(name));
        let block = match self.function.statements() {
            Some(statements) => early_return::to_breaks(statements, ty, &self.private),
            None => self.function.body.clone(),
        };
        let block = self.function.in_braces(block);
        Body {
            signature: self.function.signature.clone(),
            before: quote!(#capture #unused),
            captures_within: false,
            expression: quote!('__monitor_body: #block),
            may_return: true,
        }
    }

    fn closure(&self, ty: &Type) -> Body {
        let Self { function, private, call, .. } = self;
        let arguments = &function.arguments;
        // What a pattern binds, and what a field may name, exists only within the closure.
        let inside = arguments.iter().any(|argument| argument.shape == Shape::Pattern)
            || !self.options.fields.is_empty();
        let entered = if inside { ours("__monitor_entered") } else { call.clone() };
        let capture = if inside {
            self.capture_on_entry(&entered)
        } else {
            self.capture_by(&entered, crate::function::ours)
        };
        let (before, within) = if inside {
            let unused = self.unused(|name| self.captures(name));
            (quote!(let __monitor_entered = &mut #call;), quote!(#capture #unused))
        } else {
            (capture, TokenStream::new())
        };
        let whole_receiver = self.whole_receiver();
        let block = if within.is_empty() && whole_receiver.is_empty() {
            function.whole_body()
        } else {
            let body = function.nested_body();
            function.in_braces(quote!(#whole_receiver #within #body))
        };
        // What rustc says about the closure it says about the function.
        let moving = quote_spanned!(located_at(function.signature.fn_token.span)=> move);
        let values: Vec<Ident> = arguments.iter().map(Argument::whole).collect();
        let expression = if arguments.len() <= ARGUMENTS_MAX {
            let run = ours(&format!("run{}", arguments.len()));
            let patterns = arguments.iter().map(|argument| {
                let lint_levels = argument.attributes.iter().filter(|attribute| sets_lint_level(attribute));
                let pattern = &argument.pattern;
                quote!(#(#lint_levels)* #pattern)
            });
            quote!(#private::#run(#(#values,)* #moving |#(#patterns),*| -> #ty #block))
        } else {
            let patterns = arguments.iter().map(Argument::pattern_in_tuple);
            quote!(#private::run1((#(#values),*), #moving |(#(#patterns),*)| -> #ty #block))
        };
        Body {
            signature: self.outer_signature(),
            before,
            captures_within: inside,
            expression,
            may_return: false,
        }
    }

    /// From edition 2021 on a closure captures only those fields of `self` that it mentions; the others
    /// would be dropped in another order.
    fn whole_receiver(&self) -> TokenStream {
        match self.function.owned_receiver() {
            Some(receiver) if mentions(&self.function.body, &receiver.self_token.into()) => {
                let receiver = receiver.self_token;
                quote!(let _ = &#receiver;)
            }
            _ => TokenStream::new(),
        }
    }

    /// The signature with a plain name for each argument, to be handed on to the closure.
    fn outer_signature(&self) -> Signature {
        let mut signature = self.function.signature.clone();
        let mut arguments = self.function.arguments.iter();
        for input in &mut signature.inputs {
            let FnArg::Typed(typed) = input else { continue };
            let Some(argument) = arguments.next() else { continue };
            typed.attrs.retain(|attribute| !sets_lint_level(attribute));
            match &mut *typed.pat {
                Pat::Ident(name) if argument.shape == Shape::Name => {
                    name.mutability = None;
                    name.ident = argument.whole();
                }
                pattern => *pattern = hidden_pattern(&argument.hidden),
            }
        }
        signature
    }
}

impl Argument {
    /// `_` binds nothing, and an element of a tuple that nothing binds is dropped last instead of in
    /// its turn.
    fn pattern_in_tuple(&self) -> TokenStream {
        match self.shape {
            Shape::Wild => {
                let hidden = &self.hidden;
                quote!(#hidden)
            }
            Shape::Name | Shape::Pattern => {
                let pattern = &self.pattern;
                quote!(#pattern)
            }
        }
    }
}

/// A plain name as a pattern.
pub(super) fn hidden_pattern(name: &Ident) -> Pat {
    Pat::Ident(syn::PatIdent {
        attrs: Vec::new(),
        by_ref: None,
        mutability: None,
        ident: name.clone(),
        subpat: None,
    })
}

/// Lint levels on an argument follow the pattern they are about.
pub(super) fn sets_lint_level(attribute: &Attribute) -> bool {
    ["allow", "expect", "warn", "deny", "forbid"].iter().any(|level| attribute.path().is_ident(level))
}
