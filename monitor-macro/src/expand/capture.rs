//! What a call captures: its arguments, its fields, and on its end the value or the error.
//!
//! Types are not looked at here: the runtime's autoref dispatch picks the best way each type offers,
//! so no bound is added and generic code stays as it is.

use monitor_redaction::is_secret_argument;
use proc_macro2::{Ident, Span, TokenStream};
use quote::quote;
use syn::ext::IdentExt as _;
use syn::{Attribute, LitStr};

use super::{Expansion, ours};

/// An argument's name and how it is captured.
pub(super) struct Captured<'a> {
    /// `#[cfg(…)]` on the argument: what exists only with it is captured only with it.
    pub(super) cfg: Vec<&'a Attribute>,
    pub(super) text: LitStr,
    name: &'a Ident,
    redacted: bool,
}

impl Expansion<'_> {
    /// The arguments that are captured, in order.
    pub(super) fn captured_arguments(&self) -> impl Iterator<Item = Captured<'_>> {
        let options = self.options;
        let wanted = self.function.arguments.iter().filter(|_| !options.skip_all);
        wanted.flat_map(move |argument| {
            argument.bindings.iter().filter_map(move |name| {
                let listed = |names: &[Ident]| names.iter().any(|listed| listed.unraw() == name.unraw());
                if listed(&options.skip) {
                    return None;
                }
                let text = name.unraw().to_string();
                let redacted = listed(&options.redact) || is_secret_argument(&text);
                let cfg = argument.attributes.iter().filter(|attribute| is_cfg(attribute)).collect();
                Some(Captured { cfg, text: LitStr::new(&text, Span::call_site()), name, redacted })
            })
        })
    }

    /// Does the expansion itself use this argument to capture it?
    pub(super) fn captures(&self, name: &Ident) -> bool {
        self.captured_arguments().any(|captured| captured.name == name && !captured.redacted)
    }

    /// Is anything captured before the body?
    pub(super) fn captures_on_entry(&self) -> bool {
        !self.options.fields.is_empty() || self.captured_arguments().next().is_some()
    }

    /// Captures arguments and fields into `call`.
    pub(super) fn capture_on_entry(&self, call: &Ident) -> TokenStream {
        self.capture_by(call, Ident::clone)
    }

    /// The same, where the names of the arguments have become others.
    pub(super) fn capture_by(&self, call: &Ident, renamed: fn(&Ident) -> Ident) -> TokenStream {
        let via = self.via();
        let arguments: Vec<TokenStream> = self
            .captured_arguments()
            .map(|Captured { cfg, name, redacted, .. }| {
                let name = renamed(name);
                if redacted {
                    quote!(#(#cfg)* __monitor_writer.redacted();)
                } else {
                    quote!(#(#cfg)* (&&&&&#via::Value(&#name)).capture(__monitor_writer);)
                }
            })
            .collect();
        let patterns = self.patterns_taken_later();
        let mut tokens = TokenStream::new();
        if !arguments.is_empty() {
            let arguments = quote!(use #via::traits::*; #patterns #(#arguments)*);
            tokens.extend(if self.is_async_call() {
                quote!(#call.args(|__monitor_writer| { #arguments });)
            } else {
                quote! {
                    if let ::core::option::Option::Some(__monitor_writer) = #call.args() {
                        #arguments
                        #call.keep_args(__monitor_writer);
                    }
                }
            });
        }
        let fields: Vec<TokenStream> = self.options.fields.iter().map(|field| self.field(field)).collect();
        if !fields.is_empty() {
            tokens.extend(quote!(#call.fields(|__monitor_writer| { #patterns #(#fields)* });));
        }
        tokens
    }

    /// An `async fn` takes a pattern that borrows from its argument apart in its future; on entry only a
    /// look is taken.
    fn patterns_taken_later(&self) -> TokenStream {
        let is_async = self.function.signature.asyncness.is_some();
        let arguments = &self.function.arguments;
        let later = arguments.iter().filter(|argument| is_async && argument.binds_by_ref());
        let looks = later.map(|argument| {
            let (pattern, hidden, bindings) =
                (argument.pattern_by_ref(), &argument.hidden, &argument.bindings);
            quote!(let #pattern = #hidden; #(let _ = &#bindings;)*)
        });
        quote!(#(#looks)*)
    }

    /// The user's expression stays outside of the block that imports our traits.
    fn field(&self, field: &crate::options::Field) -> TokenStream {
        if is_secret_argument(&field.key.value()) {
            return quote!(__monitor_writer.redacted(););
        }
        let value = &field.value;
        let via = self.via();
        quote!({
            let __monitor_value = &(#value);
            {
                use #via::traits::*;
                (&&&&&#via::Value(__monitor_value)).capture(__monitor_writer);
            }
        })
    }

    /// Ends `call` by what `result`, a reference to what the function returned, shows. The user's own test
    /// comes before the block that imports our traits.
    pub(super) fn end(&self, call: &TokenStream, result: &TokenStream) -> (Option<TokenStream>, TokenStream) {
        let via = self.via();
        let private = &self.private;
        let capture = quote!((&&&&&#via::Value(__monitor_value)).capture(__monitor_writer));
        let (ok, failure) = if self.options.no_result {
            (quote!(#call.ok()), None)
        } else {
            (self.end_by(call, "ok_with", Some(&capture)), Some(&capture))
        };
        let failure = self.end_by(call, "error", failure);
        let write = quote!((&&&&&#via::ErrorValue(__monitor_error)).write(__monitor_writer));
        let error = self.end_by(call, "error", Some(&write));
        let test = self.options.error_if.as_ref();
        let failed = test.map(|test| quote!(let __monitor_failed = #private::holds(#result, #test);));
        let if_failed = test.map(|_| {
            quote! {
                #via::Seen::Value(__monitor_value) if __monitor_failed => #failure,
            }
        });
        let end = quote!({
            use #via::traits::*;
            match (&&&#via::Returned(#result)).probe() {
                #if_failed
                #via::Seen::Value(__monitor_value) => #ok,
                #via::Seen::Error(__monitor_error) => #error,
            }
        });
        (failed, end)
    }

    /// Ends `call` by one of its methods, with what `capture` writes.
    fn end_by(&self, call: &TokenStream, end: &str, capture: Option<&TokenStream>) -> TokenStream {
        let end = ours(end);
        if self.is_async_call() {
            let capture = capture.cloned().unwrap_or_else(|| quote!({}));
            return quote!(#call.#end(|__monitor_writer| #capture));
        }
        let capture = capture.map(|capture| quote!(#capture;));
        quote! {
            if let ::core::option::Option::Some((__monitor_writer, __monitor_last)) = #call.#end() {
                #capture
                #call.end_with(__monitor_writer, __monitor_last);
            }
        }
    }

    /// The closure that ends the call of a future.
    pub(super) fn end_of_future(&self, is_unit: bool) -> TokenStream {
        if is_unit && self.options.error_if.is_none() {
            return quote!(|__monitor_finish, _| __monitor_finish.ok());
        }
        let end = match self.end(&quote!(__monitor_finish), &quote!(__monitor_result)) {
            (None, end) => end,
            (test, end) => quote!({ #test #end }),
        };
        quote!(|__monitor_finish, __monitor_result| #end)
    }

    /// The module of the ways of capturing.
    fn via(&self) -> TokenStream {
        let private = &self.private;
        quote!(#private::dispatch)
    }
}

pub(super) fn is_cfg(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr")
}
