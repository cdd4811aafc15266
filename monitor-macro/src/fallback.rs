//! What the user gets beside an error: the item as it was written, so that nothing else breaks.
//! Without it each use of the function would be one more error, and hide the one that matters.

use proc_macro2::TokenStream;
use syn::Error;

/// The error at its span, and the item unchanged.
pub(crate) fn item_and_error(item: TokenStream, error: &Error) -> TokenStream {
    let mut tokens = error.to_compile_error();
    tokens.extend(item);
    tokens
}
