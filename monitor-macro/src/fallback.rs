//! Keeps the user's item beside an error.
//!
//! Takes an item and the error about it. Returns both, the item as it was written, because without the item
//! every use of the function would be one more error and hide the one that matters.

use proc_macro2::{Group, TokenStream};
use quote::{quote, quote_spanned};
use syn::Error;

use crate::items::{Item, split_inner_attributes};

/// Returns the error at its span and the item unchanged.
pub(crate) fn keep_item(item: TokenStream, error: &Error) -> TokenStream {
    let mut tokens = error.to_compile_error();
    tokens.extend(item);
    tokens
}

/// Returns the function with a warning that it is not monitored, or `None` if its body does not parse. A use of a
/// deprecated function is the only warning that an attribute can raise.
pub(crate) fn warn_unread(item: &Item, body: &Group) -> Option<TokenStream> {
    let Item { attributes, head, .. } = item;
    let (inner_attributes, statements) = split_inner_attributes(body.stream()).ok()?;
    let place = head.clone().into_iter().next()?.span();
    let warning = quote_spanned! {place=>
        {
            #[deprecated(note = "`#[monitor]` cannot read the signature of this function, which is not monitored")]
            const fn not_monitored() {}
            not_monitored();
        }
    };
    let mut braces = Group::new(body.delimiter(), quote!(#(#inner_attributes)* #warning #statements));
    braces.set_span(body.span());
    Some(quote!(#(#attributes)* #head #braces))
}
