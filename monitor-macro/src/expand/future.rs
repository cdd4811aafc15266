//! Wraps a function that returns a future. The call is entered when the function is called, and ends when the
//! future completes.
//!
//! Takes the function. Returns a plain function whose future is instrumented. The body of an `async fn`
//! becomes one `async move` block. The block captures the arguments, and they are stored nowhere else. It
//! mentions them first and in reverse order, so that they are dropped in the order of the original. From the
//! first pattern on, arguments become local variables of the block as they do in an `async fn`, because a part
//! that a pattern does not bind is dropped right after the bindings of this pattern. The `impl` in the new
//! return type is a generated token of edition 2024 and so captures every lifetime, as an `async fn` does in
//! every edition.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens as _, quote, quote_spanned};
use syn::{Attribute, Expr, FnArg, ReturnType, Stmt, Type, parse_quote};

use super::body::hidden_pattern;
use super::capture::{cfg_attributes, is_cfg};
use super::lint_levels::{on_mentioned, sets_lint_level};
use super::{Expansion, Wrapped, boxings};
use crate::function::{Argument, Function, Shape, generated_span, output_span};
use crate::returns::{FutureType, Pointer, Returns, may_be_future, to_capturing_all, to_nameable};

/// Wraps an `async fn`.
pub(super) fn wrap_async_fn(expansion: &Expansion<'_>) -> Wrapped {
    let Expansion { function, private, call, .. } = expansion;
    let mut signature = function.signature.clone();
    signature.asyncness = None;
    let output = Output::new(expansion);
    let full = &output.full;
    signature.output = parse_quote!(-> impl ::core::future::Future<Output = #full>);
    let mut arguments = function.arguments.iter();
    for input in &mut signature.inputs {
        let FnArg::Typed(typed) = input else { continue };
        let Some(argument) = arguments.next() else { continue };
        if expansion.is_local(argument) {
            typed.attrs = cfg_attributes(&argument.attributes);
            *typed.pat = hidden_pattern(&argument.outer_name());
        } else {
            typed.attrs = typed.attrs.iter().flat_map(on_mentioned).collect();
            if argument.shape == Shape::Wild {
                *typed.pat = hidden_pattern(&argument.hidden_name);
            }
        }
    }
    let site = expansion.site();
    let on_entry = expansion.capture_on_entry(&expansion.entered("AsyncCall"));
    let fixed_output = output.nameable.map(|ty| fix_output(&ty, output.span, private));
    let kept = keep_arguments(expansion);
    let unused = expansion.unused_bindings(|argument, _| !expansion.is_local(argument));
    let block = function.nested_body();
    let block = if output.may_be_future {
        // A future as the value of an async block would raise clippy's `async_yields_async`. The first branch is never
        // taken. Without it, rustc would report the `return` of a body that does not come to its end as unreachable.
        // A branch drops its temporaries before the patterns, as the match arm below does.
        quote!(return if false { #private::unreached() } else #block;)
    } else if function.arguments.iter().any(|argument| expansion.is_local(argument)) {
        // The patterns are local variables of the async block. Temporaries in the last expression of the body
        // may borrow from them and must be dropped first, which a match arm does.
        quote!(match () { () => #block })
    } else {
        quote!(#block)
    };
    let end = expansion.end_of_future(output.is_unit);
    let allowed = expansion.allowed_assignments();
    Wrapped {
        signature,
        body: quote! {
            let mut #call = #private::AsyncCall::enter(#site);
            #on_entry
            #allowed
            return #private::instrument(#call, async move { #fixed_output #kept #unused #block }, #end);
        },
    }
}

/// The output of an `async fn`.
struct Output {
    /// The type for the signature.
    full: TokenStream,
    /// The type as it may be written in a body. `None` for `_`, which says nothing, and for `!`, which is not allowed
    /// there.
    nameable: Option<TokenStream>,
    /// The place of the output in the signature.
    span: Span,
    is_unit: bool,
    may_be_future: bool,
}

impl Output {
    fn new(expansion: &Expansion<'_>) -> Self {
        let private = &expansion.private;
        let signature = &expansion.function.signature;
        let output = &signature.output;
        let span = output_span(signature);
        match (&expansion.returns, output) {
            (Returns::Never, _) => {
                // `!` is allowed only as the return type of a function. A first `return` of this type would
                // raise `unreachable_code`. It is not needed, because there is no value to coerce.
                let never = quote!(<fn() -> ! as #private::Function>::Output);
                Self { full: never, nameable: None, span, is_unit: true, may_be_future: false }
            }
            (Returns::Unit, _) | (_, ReturnType::Default) => {
                let nameable = Some(quote!(()));
                Self { full: quote!(()), nameable, span, is_unit: true, may_be_future: false }
            }
            (_, ReturnType::Type(_, ty)) => {
                let nameable = match to_nameable(ty) {
                    Type::Infer(_) => None,
                    ty => Some(ty.into_token_stream()),
                };
                let may_be_future = may_be_future(ty);
                Self { full: to_capturing_all(ty), nameable, span, is_unit: false, may_be_future }
            }
        }
    }
}

/// Returns a first `return` that is never executed, which fixes the output type of an async block. Later
/// returns are coerced to this type, and errors point at the user's tokens in the body and in the signature.
fn fix_output(ty: &TokenStream, span: Span, private: &TokenStream) -> TokenStream {
    quote_spanned! {generated_span(span)=>
        if let ::core::option::Option::Some(__monitor_result) = #private::none::<#ty>() {
            return __monitor_result;
        }
    }
}

/// Returns statements that make the async block capture every argument as a whole, in reverse order, and statements
/// that make local variables of the arguments that have to be some.
fn keep_arguments(expansion: &Expansion<'_>) -> TokenStream {
    let mut mentions = TokenStream::new();
    let mut locals = TokenStream::new();
    for argument in expansion.function.arguments.iter().rev() {
        let cfg = cfg_attributes(&argument.attributes);
        if expansion.is_local(argument) {
            let outer = argument.outer_name();
            mentions.extend(quote!(#(#cfg)* let _ = &#outer;));
            // The local variables are declared in the order of the arguments, so that the last one is dropped first.
            let local = local(expansion, argument);
            locals = quote!(#local #locals);
        } else if argument.shape == Shape::Wild {
            let hidden = &argument.hidden_name;
            mentions.extend(quote!(#(#cfg)* let _ = &#hidden;));
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
    quote!(#mentions #locals)
}

/// Returns statements that make local variables of an argument.
fn local(expansion: &Expansion<'_>, argument: &Argument) -> TokenStream {
    let is_own = |attribute: &&Attribute| sets_lint_level(attribute) || is_cfg(attribute);
    let attributes = argument.attributes.iter().filter(is_own);
    let cfg = cfg_attributes(&argument.attributes);
    let (pattern, outer) = (&argument.pattern, argument.outer_name());
    let binding = quote!(#(#attributes)* let #pattern = #outer;);
    match argument.shape {
        Shape::Name => binding,
        Shape::Wild => quote!(#(#cfg)* let #outer = #outer;),
        // The argument of the first pattern stays captured. The parts that the pattern leaves unbound are dropped in
        // their turn all the same: the local variables are dropped before them, and the arguments before this one after.
        Shape::Pattern if expansion.is_first_local(argument) => binding,
        Shape::Pattern => quote!(#(#cfg)* let #outer = #outer; #binding),
    }
}

impl Expansion<'_> {
    /// Returns whether the argument becomes a local variable of the future of an `async fn`: it is a pattern, or stands
    /// behind one. The future alone binds such an argument. The expressions of `fields` need the bindings on entry as
    /// the user wrote them, so an argument that they mention stays bound in the signature.
    pub(super) fn is_local(&self, argument: &Argument) -> bool {
        let mut locals = self.function.arguments.iter().skip_while(|argument| !self.is_first_local(argument));
        locals.any(|local| std::ptr::eq(local, argument)) && self.can_be_local(argument)
    }

    /// Returns whether the argument is the first pattern that the future alone binds.
    fn is_first_local(&self, argument: &Argument) -> bool {
        let is_bound_inside =
            |argument: &&Argument| argument.shape == Shape::Pattern && self.can_be_local(argument);
        let first = self.function.arguments.iter().find(is_bound_inside);
        self.function.signature.asyncness.is_some()
            && first.is_some_and(|first| std::ptr::eq(first, argument))
    }

    /// Returns whether no field mentions the argument. A pattern with `ref` cannot be bound on entry in any case, and
    /// fields see a reference where it has none.
    fn can_be_local(&self, argument: &Argument) -> bool {
        let is_mentioned = |name| self.options.fields.iter().any(|field| field.mentions(name));
        argument.binds_by_ref() || !argument.bindings.iter().any(is_mentioned)
    }
}

/// Wraps a function whose return type looks like a future.
pub(super) fn wrap_fn(expansion: &Expansion<'_>, ty: &FutureType) -> Wrapped {
    let is_unit = matches!(&ty.output, Type::Tuple(tuple) if tuple.elems.is_empty());
    let end = expansion.end_of_future(is_unit);
    if let Some(wrapped) = wrap_boxings(expansion, ty, &end) {
        return wrapped;
    }
    let Expansion { function, private, call, .. } = expansion;
    let site = expansion.site();
    let body = expansion.body(&ty.nameable);
    let (before, expression) = (&body.before, &body.expression);
    let allowed = expansion.allowed_assignments();
    let annotation = if body.needs_type {
        let ty = &ty.nameable;
        quote!(: #ty)
    } else {
        quote!()
    };
    // Rustc reports a wrong output of the future at the span of this name.
    let future = Ident::new("__monitor_future", generated_span(output_span(&function.signature)));
    let instrumented = instrument(expansion, ty.is_opaque.then_some(&ty.output), &future, &end);
    let instrumented = match ty.pointer {
        Pointer::Box if ty.is_opaque => quote!(#private::Box::new(#instrumented)),
        Pointer::PinBox if ty.is_opaque => quote!(#private::Box::pin(#instrumented)),
        _ => instrumented,
    };
    // A body that is one async block does nothing before the first poll, so the making of the future is not
    // timed.
    let (making, made) = match function.statements().as_deref() {
        Some([Stmt::Expr(Expr::Async(_), None)]) => (None, None),
        _ => (
            Some(quote!(let __monitor_making = #private::AsyncCall::making(&mut #call);)),
            Some(quote!(#private::AsyncCall::made(&mut #call, __monitor_making);)),
        ),
    };
    // The time of the body does not include the captures before it.
    let before = if body.is_capturing { quote!(#making #before) } else { quote!(#before #making) };
    Wrapped {
        signature: body.signature,
        body: quote! {
            let mut #call = #private::AsyncCall::enter(#site);
            #before
            #allowed
            let #future #annotation = #expression;
            #made
            return #instrumented;
        },
    }
}

/// Returns an expression that wraps the value named `future`. The runtime selects by the type of the value
/// whether it is a future that can be wrapped. A future may be wrapped in another type if its `output` is given.
fn instrument(
    expansion: &Expansion<'_>,
    output: Option<&Type>,
    future: &Ident,
    end: &TokenStream,
) -> TokenStream {
    let Expansion { private, call, .. } = expansion;
    let (kind, output) = match output {
        Some(output) => (quote!(opaque), quote!(#output)),
        None => (quote!(boxed), quote!(())),
    };
    quote!({
        use #private::returned::traits::*;
        (&&#private::returned::#kind(&#future)).__monitor_instrument::<#output, _>(#call, #future, #end)
    })
}

/// Wraps a function all of whose exits are `Box::pin(…)` or `Box::new(…)`, as `#[async_trait]` generates them.
/// The future is instrumented inside its box, because a second box would be one more allocation, and because
/// its type would need an output that lives as long as the box. Returns `None` for any other body.
fn wrap_boxings(expansion: &Expansion<'_>, ty: &FutureType, end: &TokenStream) -> Option<Wrapped> {
    let (mut statements, constructor) = boxing(expansion.function, ty)?;
    let Expansion { function, private, call, .. } = expansion;
    // A body that only makes a box around an async block does nothing before the first poll.
    let is_block = matches!(statements.as_slice(), [Stmt::Expr(Expr::Call(boxing), None)]
        if matches!(boxing.args.first(), Some(Expr::Async(_))));
    let (making, made) = if is_block {
        (None, quote!())
    } else {
        let making = quote!(let __monitor_making = #private::AsyncCall::making(&mut #call););
        (Some(making), quote!(#private::AsyncCall::made(&mut #call, __monitor_making);))
    };
    boxings::replace(&mut statements, constructor, &mut |future| {
        *future = if let Expr::Async(_) = future {
            let resolving = fix_future_output(&ty.output, future.to_token_stream(), private);
            let call = if is_block { quote!(#call) } else { quote!({ #made #call }) };
            parse_quote!(#private::instrument(#call, #resolving, #end))
        } else {
            let name = Ident::new("__monitor_future", generated_span(output_span(&function.signature)));
            let instrumented = instrument(expansion, Some(&ty.output), &name, end);
            // The temporaries of the expression live on in a `match`, as they do in the user's body.
            parse_quote!(match #future { #name => { #made #instrumented } })
        };
    });
    let site = expansion.site();
    let capture = expansion.capture_on_entry(&expansion.entered("AsyncCall"));
    let unused = expansion.unused_bindings(|_, name| expansion.captures(name));
    let block = function.nested_block(quote!(#(#statements)*));
    Some(Wrapped {
        signature: expansion.signature_of_mentioned(),
        body: quote! {
            let mut #call = #private::AsyncCall::enter(#site);
            #capture
            #making
            #unused
            #block
        },
    })
}

/// Returns the statements of the function and the name of the constructor of boxes, if each exit of the
/// function calls the constructor.
fn boxing(function: &Function, ty: &FutureType) -> Option<(Vec<Stmt>, &'static str)> {
    let constructor = match ty.pointer {
        Pointer::None => return None,
        Pointer::Box => "new",
        Pointer::PinBox => "pin",
    };
    let mut statements = function.statements()?;
    boxings::replace(&mut statements, constructor, &mut |_| {}).then_some((statements, constructor))
}

/// Returns whether the call can end when the future completes. A boxed future that some exit of the function
/// does not box itself goes into a second box, which is not possible for every output.
pub(super) fn can_be_instrumented(function: &Function, ty: &FutureType) -> bool {
    !ty.may_not_be_boxed_again(&function.signature) || boxing(function, ty).is_some()
}

/// Returns `future` with its output type fixed, so that the type is known where the value is captured.
fn fix_future_output(output: &Type, future: TokenStream, private: &TokenStream) -> TokenStream {
    match output {
        Type::Infer(_) => future,
        output => quote!(#private::resolving_to::<#output, _>(#future)),
    }
}
