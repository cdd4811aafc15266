//! Keeps the user's item beside an error.
//!
//! Takes an item and the error about it. Returns both, the item as it was written, because without the item
//! every use of the function would be one more error and hide the one that matters.

use proc_macro2::TokenStream;
use syn::Error;

/// Returns the error at its span and the item unchanged.
pub(crate) fn keep_item(item: TokenStream, error: &Error) -> TokenStream {
    let mut tokens = error.to_compile_error();
    tokens.extend(item);
    tokens
}
