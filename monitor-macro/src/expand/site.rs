//! The call site: the `static` that describes a function.
//!
//! Takes the function and its options. Returns an expression for the call site, which holds everything that
//! is known before the first call: name, file, line, arguments, fields, and the options about sampling and
//! slow calls.

use proc_macro2::{Literal, TokenStream};
use quote::{ToTokens as _, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Expr, Lit, UnOp};

use super::Expansion;
use crate::function::generated_span;

impl Expansion<'_> {
    /// Returns an expression of type `&'static CallSite`. The static is in a block, so that two attributes on
    /// one function do not define it twice.
    pub(super) fn site(&self) -> TokenStream {
        let Self { private, options, .. } = self;
        let line = self.line();
        let names = |names: Vec<TokenStream>| {
            // An empty list of its own would be one more constant for rustc to evaluate.
            if names.is_empty() { quote!(#private::NO_NAMES) } else { quote!(&[#(#names),*]) }
        };
        let arguments = names(
            self.captured_arguments()
                .map(|captured| {
                    let (cfg, name) = (captured.cfg, captured.literal);
                    quote!(#(#cfg)* #name)
                })
                .collect(),
        );
        let fields = names(options.fields.iter().map(|field| field.key.to_token_stream()).collect());
        let mut settings = TokenStream::new();
        // The span is that of the option, so that rustc reports a wrong constant there.
        if let Some(name) = &options.name {
            settings.extend(quote_spanned!(generated_span(name.span())=> .name(#name)));
        }
        if let Some(group) = &options.group {
            settings.extend(quote_spanned!(generated_span(group.span())=> .group(#group)));
        }
        if let Some(rate) = &options.sample {
            let (place, rate) = (rate.span(), to_float(rate));
            settings.extend(quote_spanned!(generated_span(place)=> .sample(#rate)));
        }
        if let Some(slow) = &options.slow {
            settings.extend(quote_spanned!(generated_span(slow.span())=> .slow(#private::duration(#slow))));
        }
        quote!({
            static __MONITOR_SITE: #private::CallSite = {
                enum __MonitorPath {}
                #private::CallSite::new(&#private::describe(
                    ::core::any::type_name::<__MonitorPath>, ::core::file!(), #line,
                    #arguments, #fields
                )#settings)
            };
            &__MONITOR_SITE
        })
    }

    /// Returns the line of the `fn` token, because `line!()` would be the line of the attribute.
    fn line(&self) -> Literal {
        let span = self.function.signature.fn_token.span;
        // In a unit test, which is no run of the compiler, spans have no lines.
        let line = if proc_macro::is_available() { span.unwrap().line() } else { 0 };
        Literal::u32_suffixed(u32::try_from(line).unwrap_or(u32::MAX))
    }
}

/// Returns the rate as an `f64`, because users may write `sample = 1` for `sample = 1.0`.
fn to_float(rate: &Expr) -> TokenStream {
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
