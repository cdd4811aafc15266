//! The statements that capture values and end a call.
//!
//! Takes the function and its options. Returns statements that capture the arguments and fields on entry, and
//! statements that end the call with the value or the error. The value of a skipped or redacted argument is
//! never read. Types are not known here: the autoref dispatch of the runtime selects the best way of
//! capturing that each type offers, so no bound is added and generic code stays as it is.

use monitor_rules::redaction::{is_secret_argument, is_secret_result};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens as _, format_ident, quote, quote_spanned};
use syn::ext::IdentExt as _;
use syn::{Attribute, LitStr, ReturnType, Type};

use super::Expansion;
use crate::attributes::replaced;
use crate::function::{Shape, generated_name, generated_span, output_span};
use crate::options::{Field, Options};
use crate::returns::{self, Returns};

/// A call as the expansion names it. Methods are called by the path of their type: with method syntax, a method of the
/// same name that a trait of the user has for all types would be found first.
pub(super) struct CallPlace {
    /// The path of the type.
    ty: TokenStream,
    /// An expression for the receiver.
    receiver: TokenStream,
}

impl CallPlace {
    /// Returns the call of a method, with further arguments after the receiver.
    pub(super) fn method(&self, name: &str, arguments: &TokenStream) -> TokenStream {
        let Self { ty, receiver } = self;
        let name = format_ident!("{name}");
        if arguments.is_empty() {
            quote!(#ty::#name(#receiver))
        } else {
            quote!(#ty::#name(#receiver, #arguments))
        }
    }
}

/// An argument that gets an entry among the captured ones, redacted or not.
pub(super) struct Captured<'a> {
    /// The `#[cfg(…)]` attributes of the argument, which its capture needs as well.
    pub(super) cfg: Vec<Attribute>,
    /// The name as a string literal.
    pub(super) literal: LitStr,
    name: &'a Ident,
    redacted: bool,
    /// True if the type of the argument is a primitive one, so nothing has to be selected.
    is_primitive: bool,
    /// The place of the name on entry.
    bound: Bound,
}

/// The place of a captured name on entry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bound {
    /// The signature binds the user's name.
    BySignature,
    /// The signature binds a generated name of the same text.
    AsOuterName,
    /// The capture binds the name to a reference, because the pattern is bound in the future.
    ByReference,
}

impl Expansion<'_> {
    /// Returns the captured arguments in order.
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
                let redacted = listed(&options.redact)
                    || is_secret_argument(&text)
                    || argument.takes_from_secret(name)
                    || is_shown_as_secret(options, name);
                let cfg = cfg_attributes(&argument.attributes);
                let literal = LitStr::new(&text, Span::call_site());
                let is_primitive = argument.shape == Shape::Name && returns::is_primitive(&argument.ty);
                let bound = match argument.shape {
                    _ if !self.is_local(argument) => Bound::BySignature,
                    Shape::Pattern => Bound::ByReference,
                    Shape::Name | Shape::Wild => Bound::AsOuterName,
                };
                Some(Captured { cfg, literal, name, redacted, is_primitive, bound })
            })
        })
    }

    /// Returns whether the expansion mentions the argument to capture it.
    pub(super) fn captures(&self, name: &Ident) -> bool {
        self.captured_arguments().any(|captured| captured.name == name && !captured.redacted)
    }

    /// Returns whether arguments or fields are captured before the body.
    pub(super) fn captures_on_entry(&self) -> bool {
        !self.options.fields.is_empty() || self.captured_arguments().next().is_some()
    }

    /// Returns the entered call, a variable whose type is the `guard` of the runtime.
    pub(super) fn entered(&self, guard: &str) -> CallPlace {
        let call = &self.call;
        self.place(guard, quote!(&mut #call))
    }

    /// Returns a call whose type is the `guard` of the runtime.
    pub(super) fn place(&self, guard: &str, receiver: TokenStream) -> CallPlace {
        let private = &self.private;
        let guard = format_ident!("{guard}");
        CallPlace { ty: quote!(#private::#guard), receiver }
    }

    /// Returns statements that capture arguments and fields into `call`.
    pub(super) fn capture_on_entry(&self, call: &CallPlace) -> TokenStream {
        self.capture_renamed(call, Ident::clone)
    }

    /// Returns statements that capture arguments and fields into `call`, for arguments that `renamed` has given other
    /// names.
    pub(super) fn capture_renamed(&self, call: &CallPlace, renamed: fn(&Ident) -> Ident) -> TokenStream {
        let (private, dispatch) = (&self.private, self.dispatch_path());
        let arguments: Vec<TokenStream> = self
            .captured_arguments()
            .map(|Captured { cfg, name, redacted, is_primitive, bound, .. }| {
                // Rustc reports a bound with a lifetime at this span, the argument. The message ends with the name of
                // the macro.
                let place = generated_span(name.span());
                let name = if bound == Bound::AsOuterName { generated_name(name) } else { renamed(name) };
                if redacted {
                    quote!(#(#cfg)* #private::Writer::redacted(__monitor_writer);)
                } else if is_primitive {
                    quote!(#(#cfg)* #dispatch::primitive(&#name, __monitor_writer);)
                } else {
                    let dereferenced = (bound == Bound::ByReference).then(|| quote!(*));
                    quote_spanned! {place=>
                        #(#cfg)* #private::use_skip_if_this_fails!(#dereferenced #name, __monitor_writer);
                    }
                }
            })
            .collect();
        let mut tokens = TokenStream::new();
        if !arguments.is_empty() {
            let patterns = self.patterns_on_entry(|name| self.captures(name));
            let arguments = quote!(use #dispatch::traits::*; #patterns #(#arguments)*);
            tokens.extend(if self.is_async_call() {
                let args = call.method("args", &quote!(|__monitor_writer| { #arguments }));
                quote!(#args;)
            } else {
                let args = call.method("args", &TokenStream::new());
                let keep_args = call.method("keep_args", &quote!(__monitor_writer));
                quote! {
                    if let ::core::option::Option::Some(__monitor_writer) = #args {
                        #arguments
                        #keep_args;
                    }
                }
            });
        }
        let fields: Vec<TokenStream> = self.options.fields.iter().map(|field| self.field(field)).collect();
        if !fields.is_empty() {
            let mentioned = |name: &Ident| self.options.fields.iter().any(|field| field.mentions(name));
            let patterns = self.patterns_on_entry(mentioned);
            let fields = call.method("fields", &quote!(|__monitor_writer| { #patterns #(#fields)* }));
            tokens.extend(quote!(#fields;));
        }
        tokens
    }

    /// Returns statements that bind patterns of an `async fn` by reference for a capture on entry that uses some of
    /// their names, because the future binds the patterns later.
    fn patterns_on_entry(&self, uses: impl Fn(&Ident) -> bool) -> TokenStream {
        let arguments = self.function.arguments.iter();
        let needed = arguments.filter(|argument| {
            argument.shape == Shape::Pattern && argument.bindings.iter().any(&uses) && self.is_local(argument)
        });
        let statements = needed.map(|argument| {
            let (pattern, hidden, bindings) =
                (argument.pattern_of_reference(), &argument.hidden_name, &argument.bindings);
            let cfg = cfg_attributes(&argument.attributes);
            quote!(#(#cfg)* let #pattern = &#hidden; #(let _ = &#bindings;)*)
        });
        quote!(#(#statements)*)
    }

    /// Returns statements that capture a field. The user's expression stays outside of the block that imports
    /// the runtime's traits.
    fn field(&self, field: &Field) -> TokenStream {
        let private = &self.private;
        if is_secret_argument(&field.key.value()) {
            return quote!(#private::Writer::redacted(__monitor_writer););
        }
        let value = &field.value;
        let dispatch = self.dispatch_path();
        quote!({
            let __monitor_value = &(#value);
            {
                use #dispatch::traits::*;
                (&&&&&#dispatch::Value(__monitor_value)).__monitor_capture(__monitor_writer);
            }
        })
    }

    /// Returns the statements that end `call` by `result`, an expression for a reference to the returned value. The
    /// first part evaluates the user's `error_if` by itself, because that must not see the traits that the second part
    /// imports.
    pub(super) fn end(&self, call: &CallPlace, result: &TokenStream) -> (Option<TokenStream>, TokenStream) {
        let dispatch = self.dispatch_path();
        let private = &self.private;
        let capture = if self.returns_secret() {
            quote!({
                let _ = __monitor_value;
                #private::Writer::redacted(__monitor_writer)
            })
        } else if self.returned_type().is_some_and(returns::is_primitive) {
            quote!(#dispatch::primitive(__monitor_value, __monitor_writer))
        } else {
            let place = generated_span(output_span(&self.function.signature));
            quote_spanned!(place=> #private::use_no_result_if_this_fails!(__monitor_value, __monitor_writer))
        };
        let (ok, failure) = if self.options.no_result {
            (call.method("ok", &TokenStream::new()), None)
        } else {
            (self.end_with_method(call, "ok_with", Some(&capture)), Some(&capture))
        };
        let test = self.options.error_if.as_ref();
        if test.is_none() && self.returned_type().is_some_and(returns::cannot_fail) {
            let end = if self.options.no_result {
                if self.is_async_call() { ok } else { quote!(#ok;) }
            } else {
                quote!({ use #dispatch::traits::*; let __monitor_value = #result; #ok })
            };
            return (None, end);
        }
        let failure = self.end_with_method(call, "error", failure);
        let write = self.write_error();
        let error = self.end_with_method(call, "error", Some(&write));
        let failed = test.map(|test| quote!(let __monitor_failed = #private::holds(#result, #test);));
        let if_failed = test.map(|_| {
            quote! {
                #dispatch::Seen::Value(__monitor_value) if __monitor_failed => #failure,
            }
        });
        let end = quote!({
            use #dispatch::traits::*;
            match (&&&#dispatch::Returned(#result)).__monitor_probe() {
                #if_failed
                #dispatch::Seen::Value(__monitor_value) => #ok,
                #dispatch::Seen::Error(__monitor_error) => #error,
            }
        });
        (failed, end)
    }

    /// Returns the type of the returned value, if the signature names it. A type that looks like a future may be none.
    fn returned_type(&self) -> Option<&Type> {
        match (&self.returns, &self.function.signature.output) {
            (Returns::Future(_), _) | (_, ReturnType::Default) => None,
            (_, ReturnType::Type(_, ty)) => Some(ty),
        }
    }

    /// Returns whether the returned value is a secret by the name of its function. A `bool` and `()` hold none.
    fn returns_secret(&self) -> bool {
        let signature = &self.function.signature;
        let holds_nothing = match &signature.output {
            ReturnType::Default => true,
            ReturnType::Type(_, output) => {
                let text = output.to_token_stream().to_string().replace(' ', "");
                ["()", "bool", "Result<()", "Result<bool"].iter().any(|plain| {
                    text == *plain || text.starts_with(&format!("{plain},")) || text == format!("{plain}>")
                })
            }
        };
        !holds_nothing && is_secret_result(&signature.ident.unraw().to_string())
    }

    /// Returns the call that writes the error. The number of references decides where the runtime's autoref dispatch
    /// starts: with fewer references it skips the first ways of writing. Rustc selects an `impl` that holds only for
    /// some lifetimes as if it held for all, and then demands these lifetimes of the caller. So an error that may
    /// borrow is not written through `Error`, and with `no_result` only the name of its type is written.
    fn write_error(&self) -> TokenStream {
        let private = &self.private;
        let signature = &self.function.signature;
        let may_borrow = returns::error_may_borrow(signature, self.options.is_generic_impl);
        let hint = match (may_borrow, self.options.no_result) {
            (false, true) => format_ident!("show_the_lifetime_of_the_error_if_this_fails"),
            _ => format_ident!("use_no_result_if_this_fails"),
        };
        let references = match (may_borrow, self.options.no_result) {
            (true, true) => {
                return quote!(#private::dispatch::write_type_name(__monitor_error, __monitor_writer));
            }
            (true, false) => quote!(&&&&),
            (false, _) => quote!(&&&&&),
        };
        let place = generated_span(output_span(signature));
        quote_spanned!(place=> #private::#hint!(__monitor_error, __monitor_writer, #references))
    }

    /// Returns statements that end `call` by the method named `end`, with the value that `capture` writes.
    fn end_with_method(&self, call: &CallPlace, end: &str, capture: Option<&TokenStream>) -> TokenStream {
        if self.is_async_call() {
            let capture = capture.cloned().unwrap_or_else(|| quote!({}));
            return call.method(end, &quote!(|__monitor_writer| #capture));
        }
        let capture = capture.map(|capture| quote!(#capture;));
        let end = call.method(end, &TokenStream::new());
        let end_with = call.method("end_with", &quote!(__monitor_writer, __monitor_last));
        quote! {
            if let ::core::option::Option::Some((__monitor_writer, __monitor_last)) = #end {
                #capture
                #end_with;
            }
        }
    }

    /// Returns the closure that ends the call of a future.
    pub(super) fn end_of_future(&self, is_unit: bool) -> TokenStream {
        let finish = self.place("Finish", quote!(__monitor_finish));
        if is_unit && self.options.error_if.is_none() {
            let ok = finish.method("ok", &TokenStream::new());
            return quote!(|__monitor_finish, _| #ok);
        }
        let end = match self.end(&finish, &quote!(__monitor_result)) {
            (None, end) => end,
            (test, end) => quote!({ #test #end }),
        };
        quote!(|__monitor_finish, __monitor_result| #end)
    }

    /// Returns the path of the runtime's module that selects the way of capturing a value.
    fn dispatch_path(&self) -> TokenStream {
        let private = &self.private;
        quote!(#private::dispatch)
    }
}

/// Returns whether `fields(…)` shows the argument under the name of a secret, as in `fields(password = p)`.
fn is_shown_as_secret(options: &Options, name: &Ident) -> bool {
    options.fields.iter().any(|field| is_secret_argument(&field.key.value()) && field.mentions(name))
}

/// Returns the attributes that may remove the argument, without what else `#[cfg_attr]` adds to it.
pub(super) fn cfg_attributes(attributes: &[Attribute]) -> Vec<Attribute> {
    let without_others = |attribute| {
        replaced(attribute, &|meta| if meta.path().is_ident("cfg") { None } else { Some(Vec::new()) })
    };
    attributes.iter().filter(|attribute| is_cfg(attribute)).flat_map(without_others).collect()
}

/// Returns whether the attribute may remove the argument: `#[cfg]` or `#[cfg_attr]`.
pub(super) fn is_cfg(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr")
}
