//! The attribute `#[monitor]`.

use proc_macro::TokenStream;

/// Placeholder.
#[proc_macro_attribute]
pub fn monitor(_options: TokenStream, item: TokenStream) -> TokenStream {
    item
}
