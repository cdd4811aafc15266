//! The call site: the `static` that stands for a function, and everything known before it is called.

use proc_macro2::{Literal, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Expr, Lit, UnOp};

use super::Expansion;
use crate::function::located_at;

impl Expansion<'_> {
    /// An expression of type `&'static CallSite`. The static lies in a block of its own, so that two
    /// attributes on one function do not define it twice.
    pub(super) fn site(&self) -> TokenStream {
        let Self { private, options, .. } = self;
        let line = self.line();
        let arguments = self.captured_arguments().map(|captured| {
            let (cfg, name) = (captured.cfg, captured.text);
            quote!(#(#cfg)* #name)
        });
        let fields = options.fields.iter().map(|field| &field.key);
        let mut settings = TokenStream::new();
        // What is wrong with a constant, rustc says where it is given.
        if let Some(name) = &options.name {
            settings.extend(quote_spanned!(located_at(name.span())=> .name(#name)));
        }
        if let Some(group) = &options.group {
            settings.extend(quote_spanned!(located_at(group.span())=> .group(#group)));
        }
        if let Some(rate) = &options.sample {
            let (place, rate) = (rate.span(), as_float(rate));
            settings.extend(quote_spanned!(located_at(place)=> .sample(#rate)));
        }
        if let Some(slow) = &options.slow {
            settings.extend(quote_spanned!(located_at(slow.span())=> .slow(#private::duration(#slow))));
        }
        quote!({
            static __MONITOR_SITE: #private::CallSite = {
                enum __MonitorPath {}
                #private::CallSite::new(&#private::describe(
                    ::core::any::type_name::<__MonitorPath>, ::core::file!(), #line,
                    &[#(#arguments),*], &[#(#fields),*]
                )#settings)
            };
            &__MONITOR_SITE
        })
    }

    /// The line of the `fn` token: `line!()` would be that of the attribute.
    fn line(&self) -> Literal {
        let span = self.function.signature.fn_token.span;
        // Outside of a compiler run, as in a unit test, there are no lines.
        let line = if proc_macro::is_available() { span.unwrap().line() } else { 0 };
        Literal::u32_suffixed(u32::try_from(line).unwrap_or(u32::MAX))
    }
}

/// `sample = 1` is as good as `sample = 1.0`.
fn as_float(rate: &Expr) -> TokenStream {
    match rate {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Int(integer) if integer.suffix().is_empty() => {
                let mut float = Literal::f64_unsuffixed(integer.base10_parse().unwrap_or(1.0));
                float.set_span(integer.span());
                quote!(#float)
            }
            _ => quote!(#rate),
        },
        Expr::Unary(unary) if matches!(unary.op, UnOp::Neg(_)) => quote!((#rate)),
        _ => quote!(#rate),
    }
}
