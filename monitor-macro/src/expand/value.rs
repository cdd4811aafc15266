//! Wraps a function that returns a value.
//!
//! Takes the function and its return type. Returns a body that runs the user's body, ends the call by the
//! value, and returns the value.

use quote::quote;
use syn::Type;

use super::{Expansion, Wrapped};

pub(super) fn wrap(expansion: &Expansion<'_>, ty: &Type) -> Wrapped {
    let Expansion { private, call, .. } = expansion;
    let site = expansion.site();
    let body = expansion.body(ty);
    let enter = expansion.entry(body.guard);
    let annotation = body.needs_type.then(|| quote!(: #ty));
    let (test, end) = expansion.end(&expansion.entered(body.guard), &quote!(&__monitor_result));
    let allowed = expansion.allowed_assignments();
    let (before, expression) = (body.before, body.expression);
    Wrapped {
        signature: body.signature,
        body: quote! {
            let mut __monitor_slot = #private::Slot::empty();
            let mut #call = #enter(&mut __monitor_slot, #site);
            #before
            #allowed
            let __monitor_result #annotation = #expression;
            #test
            #end
            return __monitor_result;
        },
    }
}
