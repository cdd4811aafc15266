//! Wraps a function whose value is not captured: it returns `()`, `!` or a closure.
//!
//! Takes the function. Returns it with a guard before its body, which stays as it is. The guard ends the call
//! when it is dropped.

use quote::quote;

use super::{Expansion, Wrapped};

pub(super) fn wrap(expansion: &Expansion<'_>) -> Wrapped {
    let Expansion { function, private, call, .. } = expansion;
    let site = expansion.site();
    let enter = expansion.entry("Scope");
    let capture = expansion.capture_on_entry(&expansion.entered("Scope"));
    let unused = expansion.unused_bindings(|_, name| expansion.captures(name));
    // The body is a block, because clippy demands that items in it come before the generated statements.
    let block = function.nested_body();
    Wrapped {
        signature: expansion.signature_of_mentioned(),
        body: quote! {
            let mut __monitor_slot = #private::Slot::empty();
            let mut #call = #enter(&mut __monitor_slot, #site);
            #capture
            #unused
            #block
        },
    }
}
