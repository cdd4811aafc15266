//! A function that returns nothing, never, or nothing to look at: a guard before its body is enough.

use quote::quote;

use super::{Expansion, Wrapped};

pub(super) fn wrap(expansion: &Expansion<'_>) -> Wrapped {
    let Expansion { function, private, call, .. } = expansion;
    let site = expansion.site();
    let enter = expansion.enter();
    let capture = expansion.capture_on_entry(call);
    let unused = expansion.unused(|name| expansion.captures(name));
    // In a block of its own: clippy would have items in it stand before our statements.
    let block = function.nested_body();
    Wrapped {
        signature: function.signature.clone(),
        body: quote! {
            let mut __monitor_slot = #private::Slot::empty();
            let mut #call = #private::Scope::#enter(&mut __monitor_slot, #site);
            #capture
            #unused
            #block
        },
    }
}
