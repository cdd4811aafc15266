//! Turns a body into an expression, so that its value can be captured before it is returned.
//!
//! Takes the function and its return type. Returns the expression, the statements before it and the new
//! signature. Usually the expression calls a closure that takes the arguments as its own: patterns, `mut`,
//! lints about unused arguments and the order of drops then stay as they were. Three kinds of function cannot
//! have a closure, and their body becomes a labelled block (see `early_return`): `#[track_caller]` has no
//! effect inside a closure, a variadic argument cannot be passed to one, and neither can an argument under
//! `#[cfg]`.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Attribute, FnArg, Pat, Signature, Type};

use super::capture::is_cfg;
use super::lint_levels::{on_mentioned, sets_lint_level};
use super::{Expansion, early_return};
use crate::function::{Argument, Shape, generated_name, generated_span};
use crate::mentions::mentions;

/// The number of arguments up to which the runtime has a function `run0`, `run1`, …. More arguments become
/// one tuple.
const ARGUMENTS_MAX: usize = 6;

/// The body as an expression, with the parts of the function that depend on it.
pub(super) struct Body {
    pub(super) signature: Signature,
    /// The statements before the expression. They capture values on entry, or prepare for it if that happens
    /// inside.
    pub(super) before: TokenStream,
    /// True if the expression itself captures values on entry.
    pub(super) is_capturing: bool,
    pub(super) expression: TokenStream,
    /// True if the type of the expression has to be named.
    pub(super) needs_type: bool,
    /// The type of the call in the runtime.
    pub(super) guard: &'static str,
}

impl Expansion<'_> {
    /// Returns whether the body cannot be moved into a closure.
    fn is_closure_impossible(&self) -> bool {
        let function = self.function;
        function.is_track_caller()
            || function.signature.variadic.is_some()
            || function.arguments.iter().any(|argument| argument.attributes.iter().any(is_cfg))
    }

    /// Returns the body as an expression of type `ty`.
    pub(super) fn body(&self, ty: &Type) -> Body {
        if self.is_closure_impossible() {
            // A `return` that a macro hides ends the function without evaluating the expression to its end.
            return self.labelled_block(ty, self.guard("MayReturn"));
        }
        // A method of a trait may have inherited `#[track_caller]`, which has no effect inside a closure.
        if self.options.is_trait_impl
            && self.function.statements().is_some_and(|body| early_return::finds_all(&body))
        {
            return self.labelled_block(ty, self.guard("Call"));
        }
        self.closure(ty, self.guard("Call"))
    }

    /// Returns the type of the call: `guard`, unless the call ends when a future completes.
    fn guard(&self, guard: &'static str) -> &'static str {
        if self.is_async_call() { "AsyncCall" } else { guard }
    }

    fn labelled_block(&self, ty: &Type, guard: &'static str) -> Body {
        let capture = self.capture_on_entry(&self.entered(guard));
        let unused = self.unused_bindings(|_, name| self.captures(name));
        let block = match self.function.statements() {
            Some(statements) => {
                let may_diverge = early_return::may_diverge(&statements);
                let block = early_return::to_breaks(statements, ty, &self.private);
                if may_diverge { self.with_exit(&block, ty) } else { block }
            }
            None => self.function.body.clone(),
        };
        let block = self.function.braced(block);
        Body {
            signature: self.signature_of_mentioned(),
            before: quote!(#capture #unused),
            is_capturing: false,
            expression: quote!('__monitor_body: #block),
            needs_type: true,
            guard,
        }
    }

    /// Returns the body with an exit before it that is never taken. Without this exit, rustc would report the
    /// statements after a body that may not come to its end as unreachable.
    fn with_exit(&self, block: &TokenStream, ty: &Type) -> TokenStream {
        let private = &self.private;
        let block = self.function.nested_block(block.clone());
        quote! {
            if let ::core::option::Option::Some(__monitor_result) = #private::none::<#ty>() {
                break '__monitor_body __monitor_result;
            }
            #block
        }
    }

    fn closure(&self, ty: &Type, guard: &'static str) -> Body {
        let Self { function, private, call, .. } = self;
        let arguments = &function.arguments;
        // The bindings of a pattern, which a field may name as well, exist only inside the closure.
        let inside = arguments.iter().any(|argument| argument.shape == Shape::Pattern)
            || !self.options.fields.is_empty();
        let capture = if inside {
            self.capture_on_entry(&self.place(guard, quote!(__monitor_entered)))
        } else {
            self.capture_renamed(&self.entered(guard), generated_name)
        };
        let (before, within) = if inside {
            let unused = self.unused_bindings(|_, name| self.captures(name));
            (quote!(let __monitor_entered = &mut #call;), quote!(#capture #unused))
        } else {
            (capture, TokenStream::new())
        };
        let receiver_use = self.receiver_use();
        let block = if within.is_empty() && receiver_use.is_empty() {
            function.whole_body()
        } else {
            let body = function.nested_body();
            function.braced(quote!(#receiver_use #within #body))
        };
        // Rustc reports errors about the closure at the `fn` token.
        let moving = quote_spanned!(generated_span(function.signature.fn_token.span)=> move);
        let values: Vec<Ident> = arguments.iter().map(Argument::outer_name).collect();
        let expression = if arguments.len() <= ARGUMENTS_MAX {
            let run = format_ident!("run{}", arguments.len());
            let patterns = arguments.iter().map(|argument| {
                let lint_levels = argument.attributes.iter().filter(|attribute| sets_lint_level(attribute));
                let is_mentioned = inside && argument.bindings.iter().any(|name| self.captures(name));
                let lint_levels: Vec<Attribute> = if is_mentioned {
                    lint_levels.flat_map(on_mentioned).collect()
                } else {
                    lint_levels.cloned().collect()
                };
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
            is_capturing: inside,
            expression,
            needs_type: false,
            guard,
        }
    }

    /// Returns a statement that makes the closure capture `self` as a whole. From edition 2021 on, a closure
    /// captures only the fields of `self` that it mentions, and the other fields would be dropped in another
    /// order.
    fn receiver_use(&self) -> TokenStream {
        match self.function.owned_receiver() {
            Some(receiver) if mentions(&self.function.body, &receiver.self_token.into()) => {
                let receiver = receiver.self_token;
                quote!(let _ = &#receiver;)
            }
            _ => TokenStream::new(),
        }
    }

    /// Returns the signature with a plain name for each argument, which is passed on to the closure.
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
                    name.ident = argument.outer_name();
                }
                pattern => *pattern = hidden_pattern(&argument.hidden_name),
            }
        }
        signature
    }
}

impl Argument {
    /// Returns the pattern as an element of a tuple. `_` becomes a name, because an element that is not bound
    /// would be dropped last instead of in its order.
    fn pattern_in_tuple(&self) -> TokenStream {
        match self.shape {
            Shape::Wild => {
                let hidden = &self.hidden_name;
                quote!(#hidden)
            }
            Shape::Name | Shape::Pattern => {
                let pattern = &self.pattern;
                quote!(#pattern)
            }
        }
    }
}

/// Returns a plain name as a pattern.
pub(super) fn hidden_pattern(name: &Ident) -> Pat {
    Pat::Ident(syn::PatIdent {
        attrs: Vec::new(),
        by_ref: None,
        mutability: None,
        ident: name.clone(),
        subpat: None,
    })
}
