//! A function that returns a future: the call is entered where the function is called and ends where
//! the future does.
//!
//! An `async fn` becomes a plain function around one `async move` block. Its arguments are captured by
//! that block and stored nowhere else; mentioned first and in reverse order, they are dropped in the
//! order of the original. The `impl` of its return type is ours, of edition 2024, and so captures
//! every lifetime, as an async fn does in every edition.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens as _, quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Expr, FnArg, ReturnType, Signature, Stmt, Type, parse_quote};

use super::body::hidden_pattern;
use super::capture::is_cfg;
use super::{Expansion, Wrapped};
use crate::function::{Argument, Shape, located_at};
use crate::returns::{FutureType, Pointer, Returns, capturing_all, nameable};

/// An `async fn`.
pub(super) fn of_async_fn(expansion: &Expansion<'_>) -> Wrapped {
    let Expansion { function, private, call, .. } = expansion;
    let mut signature = function.signature.clone();
    signature.asyncness = None;
    let output = Output::of(expansion);
    let full = &output.full;
    signature.output = parse_quote!(-> impl ::core::future::Future<Output = #full>);
    let mut arguments = function.arguments.iter();
    for input in &mut signature.inputs {
        let FnArg::Typed(typed) = input else { continue };
        let Some(argument) = arguments.next() else { continue };
        if argument.shape == Shape::Wild || argument.binds_by_ref() {
            *typed.pat = hidden_pattern(&argument.hidden);
        }
    }
    let site = expansion.site();
    let on_entry = expansion.capture_on_entry(call);
    let pin = output.nameable.map(|ty| pin(&ty, output.place, private));
    let kept = keep_arguments(expansion);
    let unused = expansion.unused(|_| true);
    let block = function.nested_body();
    let block = if function.arguments.iter().any(Argument::binds_by_ref) {
        // Its patterns are locals here, and what the body's last expression borrows from them must be gone
        // before they are: in an arm it is.
        quote!(match () { () => #block })
    } else {
        quote!(#block)
    };
    let end = expansion.end_of_future(output.is_unit);
    Wrapped {
        signature,
        body: quote! {
            let mut #call = #private::AsyncCall::enter(#site);
            #on_entry
            return #private::instrument(#call, async move { #pin #kept #unused #block }, #end);
        },
    }
}

/// The output of an `async fn`.
struct Output {
    /// As it stands in the signature.
    full: TokenStream,
    /// As it may stand in the body; `None` where there is nothing to say.
    nameable: Option<TokenStream>,
    /// Where it stands.
    place: Span,
    is_unit: bool,
}

impl Output {
    fn of(expansion: &Expansion<'_>) -> Self {
        let private = &expansion.private;
        let signature = &expansion.function.signature;
        let output = &signature.output;
        let place = place_of_output(signature);
        match (&expansion.returns, output) {
            (Returns::Never, _) => {
                // `!` may be written only where a function returns it. A first `return` of that type would
                // raise `unreachable_code`, and is not needed: there is nothing to coerce.
                let never = quote!(<fn() -> ! as #private::Function>::Output);
                Self { full: never, nameable: None, place, is_unit: true }
            }
            (Returns::Unit, _) | (_, ReturnType::Default) => {
                Self { full: quote!(()), nameable: Some(quote!(())), place, is_unit: true }
            }
            (_, ReturnType::Type(_, ty)) => {
                let nameable = match nameable(ty) {
                    Type::Infer(_) => None,
                    ty => Some(ty.into_token_stream()),
                };
                Self { full: capturing_all(ty), nameable, place, is_unit: false }
            }
        }
    }
}

/// Where the signature says what the function returns.
fn place_of_output(signature: &Signature) -> Span {
    match &signature.output {
        ReturnType::Default => signature.ident.span(),
        ReturnType::Type(_, ty) => ty.span(),
    }
}

/// A first `return`, never taken, from which an async block takes its type: later ones are coerced to it,
/// and errors point at what the user wrote, here and in the signature.
fn pin(ty: &TokenStream, place: Span, private: &TokenStream) -> TokenStream {
    quote_spanned! {located_at(place)=>
        if let ::core::option::Option::Some(__monitor_result) = #private::none::<#ty>() {
            return __monitor_result;
        }
    }
}

/// Has the async block capture every argument, whole, in the reverse of their order.
fn keep_arguments(expansion: &Expansion<'_>) -> TokenStream {
    let mut mentions = TokenStream::new();
    let mut patterns = TokenStream::new();
    for argument in expansion.function.arguments.iter().rev() {
        let cfg: Vec<_> = argument.attributes.iter().filter(|attribute| is_cfg(attribute)).collect();
        if argument.shape == Shape::Wild || argument.binds_by_ref() {
            let (hidden, pattern) = (&argument.hidden, &argument.pattern);
            mentions.extend(quote!(#(#cfg)* let _ = &#hidden;));
            if argument.shape == Shape::Pattern {
                // What comes later is dropped first.
                patterns = quote!(#(#cfg)* let #pattern = #hidden; #patterns);
            }
        } else {
            for name in argument.bindings.iter().rev() {
                mentions.extend(quote!(#(#cfg)* let _ = &#name;));
            }
        }
    }
    if let Some(receiver) = expansion.function.owned_receiver() {
        let receiver = receiver.self_token;
        mentions.extend(quote!(let _ = &#receiver;));
    }
    quote!(#mentions #patterns)
}

/// A function whose return type is a future.
pub(super) fn of_fn(expansion: &Expansion<'_>, ty: &FutureType) -> Wrapped {
    let is_unit = matches!(&ty.output, Type::Tuple(tuple) if tuple.elems.is_empty());
    let end = expansion.end_of_future(is_unit);
    if ty.pointer == Pointer::PinBox
        && let Some(wrapped) = inside_box(expansion, ty, &end)
    {
        return wrapped;
    }
    let Expansion { function, private, call, .. } = expansion;
    let site = expansion.site();
    let body = expansion.body(&ty.nameable);
    let (before, expression) = (&body.before, &body.expression);
    let annotation = if body.may_return {
        let ty = &ty.nameable;
        quote!(: #ty)
    } else {
        quote!()
    };
    // That it resolves to something else rustc says where this name stands.
    let future = Ident::new("__monitor_future", located_at(place_of_output(&function.signature)));
    let resolving = resolving_to(&ty.output, quote!(#future), private);
    let instrumented = quote!(#private::instrument(#call, #resolving, #end));
    let instrumented = match ty.pointer {
        Pointer::None => instrumented,
        Pointer::Box => quote!(#private::Box::new(#instrumented)),
        Pointer::PinBox => quote!(#private::Box::pin(#instrumented)),
    };
    // Where all of the body is one async block, nothing happens before the first poll.
    let (making, made) = match function.statements().as_deref() {
        Some([Stmt::Expr(Expr::Async(_), None)]) => (None, None),
        _ => (
            Some(quote!(let __monitor_making = #call.making();)),
            Some(quote!(#call.made(__monitor_making);)),
        ),
    };
    // What is captured before the body is not part of its time.
    let before = if body.captures_within { quote!(#making #before) } else { quote!(#before #making) };
    Wrapped {
        signature: body.signature,
        body: quote! {
            let mut #call = #private::AsyncCall::enter(#site);
            #before
            let #future #annotation = #expression;
            #made
            return #instrumented;
        },
    }
}

/// Tells the type of what `future` resolves to, before it is looked at.
fn resolving_to(output: &Type, future: TokenStream, private: &TokenStream) -> TokenStream {
    match output {
        Type::Infer(_) => future,
        output => quote!(#private::resolving_to::<#output, _>(#future)),
    }
}

/// Where all that a body does is `Box::pin(async …)`, as in what `#[async_trait]` makes, the future is
/// wrapped within its box; boxing it once more would be another allocation.
fn inside_box(expansion: &Expansion<'_>, ty: &FutureType, end: &TokenStream) -> Option<Wrapped> {
    let mut statements = expansion.function.statements()?;
    let [Stmt::Expr(Expr::Call(boxing), None)] = statements.as_mut_slice() else { return None };
    let Expr::Path(function) = &*boxing.func else { return None };
    let path: Vec<String> = function.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
    if !matches!(path.as_slice(), [.., ty, function] if ty == "Box" && function == "pin") {
        return None;
    }
    let Some(future @ Expr::Async(_)) = boxing.args.first_mut() else { return None };
    let Expansion { function, private, call, .. } = expansion;
    let resolving = resolving_to(&ty.output, future.to_token_stream(), private);
    *future = parse_quote!(#private::instrument(#call, #resolving, #end));
    let site = expansion.site();
    let capture = expansion.capture_on_entry(call);
    let unused = expansion.unused(|name| expansion.captures(name));
    let block = function.nested(quote!(#boxing));
    Some(Wrapped {
        signature: function.signature.clone(),
        body: quote! {
            let mut #call = #private::AsyncCall::enter(#site);
            #capture
            #unused
            #block
        },
    })
}
