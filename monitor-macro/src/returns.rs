//! Classifies return types.
//!
//! Takes the return type of a function. Returns its class, which decides how the function is wrapped. Only
//! the syntax of the type is known: a type alias is not resolved.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens as _;
use syn::punctuated::Punctuated;
use syn::visit_mut::{self, VisitMut};
use syn::{
    AssocType, GenericArgument, Path, PathArguments, ReturnType, Token, Type, TypeInfer, TypeParamBound,
    TypePath,
};

/// The classes of return types.
pub(crate) enum Returns {
    /// `()`: there is no value to capture.
    Unit,
    /// `!`: the function never returns.
    Never,
    /// `impl Fn…`: the value is not captured, because only the name of its type could be, and because the
    /// arguments of the closure take their types from here only if the closure is returned directly.
    Closure,
    /// Any other type, with `_` in place of `impl Trait`.
    Value(Box<Type>),
    /// A future, whose call ends when it completes.
    Future(Box<FutureType>),
}

/// A return type that is a future.
pub(crate) struct FutureType {
    pub(crate) pointer: Pointer,
    /// The type, with `_` in place of `impl Trait`, as a closure may return it.
    pub(crate) nameable: Type,
    /// The output of the future, with `_` in place of `impl Trait`.
    pub(crate) output: Type,
}

/// The pointer around a future.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pointer {
    /// `impl Future`.
    None,
    /// `Box<dyn Future + Unpin>`.
    Box,
    /// `Pin<Box<dyn Future>>`, `BoxFuture`.
    PinBox,
}

/// Returns the class of a return type.
pub(crate) fn classify(output: &ReturnType) -> Returns {
    let ReturnType::Type(_, ty) = output else { return Returns::Unit };
    let ty = strip_groups(ty);
    match ty {
        Type::Never(_) => Returns::Never,
        Type::Tuple(tuple) if tuple.elems.is_empty() => Returns::Unit,
        Type::ImplTrait(opaque) if opaque.bounds.iter().any(is_function) => Returns::Closure,
        _ => match find_future(ty) {
            Some((pointer, output)) => {
                let output = to_nameable(&output);
                Returns::Future(Box::new(FutureType { pointer, nameable: to_nameable(ty), output }))
            }
            None => Returns::Value(Box::new(to_nameable(ty))),
        },
    }
}

/// Returns whether the bound is one of the traits of closures.
fn is_function(bound: &TypeParamBound) -> bool {
    const FUNCTIONS: [&str; 6] = ["Fn", "FnMut", "FnOnce", "AsyncFn", "AsyncFnMut", "AsyncFnOnce"];
    match bound {
        TypeParamBound::Trait(bound) => {
            bound.path.segments.last().is_some_and(|last| FUNCTIONS.iter().any(|name| last.ident == name))
        }
        _ => false,
    }
}

/// Returns the type with `_` in place of each `impl Trait`, which is not allowed inside a body.
pub(crate) fn to_nameable(ty: &Type) -> Type {
    struct Infer;
    impl VisitMut for Infer {
        fn visit_type_mut(&mut self, ty: &mut Type) {
            if matches!(ty, Type::ImplTrait(_)) {
                *ty = inferred_type();
            } else {
                visit_mut::visit_type_mut(self, ty);
            }
        }
    }
    let mut ty = ty.clone();
    Infer.visit_type_mut(&mut ty);
    ty
}

/// Returns the type `_`.
fn inferred_type() -> Type {
    Type::Infer(TypeInfer { attrs: Vec::new(), underscore_token: Token![_](Span::call_site()) })
}

/// Returns the type with each of its `impl` tokens replaced by a generated one. An opaque type captures
/// lifetimes by the rules of the edition of its `impl` token. The edition of this crate captures all
/// lifetimes, as an `async fn` does.
pub(crate) fn to_capturing_all(ty: &Type) -> TokenStream {
    struct Replace;
    impl VisitMut for Replace {
        fn visit_type_impl_trait_mut(&mut self, ty: &mut syn::TypeImplTrait) {
            ty.impl_token.span = Span::call_site();
            visit_mut::visit_type_impl_trait_mut(self, ty);
        }
    }
    let mut ty = ty.clone();
    Replace.visit_type_mut(&mut ty);
    ty.into_token_stream()
}

/// Removes parentheses and invisible groups around the type.
fn strip_groups(ty: &Type) -> &Type {
    match ty {
        Type::Paren(paren) => strip_groups(&paren.elem),
        Type::Group(group) => strip_groups(&group.elem),
        ty => ty,
    }
}

/// Returns the pointer around the future that `ty` is, and the output of the future.
fn find_future(ty: &Type) -> Option<(Pointer, Type)> {
    match strip_groups(ty) {
        Type::ImplTrait(future) => Some((Pointer::None, find_output(&future.bounds)?)),
        Type::Path(TypePath { qself: None, path, .. }) => {
            let last = path.segments.last()?;
            if last.ident == "BoxFuture" || last.ident == "LocalBoxFuture" {
                return Some((
                    Pointer::PinBox,
                    type_arguments(path).last().map_or_else(inferred_type, |&output| output.clone()),
                ));
            }
            let [inner] = type_arguments(path)[..] else { return None };
            if last.ident == "Pin" {
                let Type::Path(TypePath { qself: None, path: boxed, .. }) = strip_groups(inner) else {
                    return None;
                };
                Some((Pointer::PinBox, find_boxed_output(boxed)?))
            } else {
                Some((Pointer::Box, find_boxed_output(path)?))
            }
        }
        _ => None,
    }
}

/// Returns the output of the future in a `Box<…>`.
fn find_boxed_output(path: &Path) -> Option<Type> {
    if path.segments.last()?.ident != "Box" {
        return None;
    }
    let [inner] = type_arguments(path)[..] else { return None };
    match strip_groups(inner) {
        Type::TraitObject(object) => find_output(&object.bounds),
        Type::ImplTrait(future) => find_output(&future.bounds),
        _ => None,
    }
}

fn type_arguments(path: &Path) -> Vec<&Type> {
    let Some(PathArguments::AngleBracketed(arguments)) = path.segments.last().map(|last| &last.arguments)
    else {
        return Vec::new();
    };
    let types = arguments.args.iter().filter_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    });
    types.collect()
}

/// Returns the output named by a bound `Future<Output = …>`, or `_` if the bound does not name it. Returns
/// `None` if no bound is `Future`, or if the wrapper of the future would not meet one of the other bounds.
fn find_output(bounds: &Punctuated<TypeParamBound, Token![+]>) -> Option<Type> {
    let mut found = None;
    for bound in bounds {
        let TypeParamBound::Trait(bound) = bound else { continue };
        let last = bound.path.segments.last()?;
        match last.ident.to_string().as_str() {
            "Future" => {
                let PathArguments::AngleBracketed(arguments) = &last.arguments else {
                    found = Some(inferred_type());
                    continue;
                };
                let output = arguments.args.iter().find_map(|argument| match argument {
                    GenericArgument::AssocType(AssocType { ident, ty, .. }) if ident == "Output" => Some(ty),
                    _ => None,
                });
                found = Some(output.cloned().unwrap_or_else(inferred_type));
            }
            "Send" | "Sync" | "Unpin" | "Sized" => {}
            _ => return None,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use quote::ToTokens as _;
    use syn::parse_str;

    use super::{Pointer, Returns, classify};

    fn classify_text(output: &str) -> Returns {
        classify(&parse_str(output).expect("a return type"))
    }

    #[test]
    fn futures_are_told_from_other_types() {
        for (source, pointer) in [
            ("-> impl Future<Output = u8> + Send + 'static", Pointer::None),
            (
                "-> ::core::pin::Pin<Box<dyn ::core::future::Future<Output = u8> + Send + 'a>>",
                Pointer::PinBox,
            ),
            ("-> (BoxFuture<'static, u8>)", Pointer::PinBox),
            ("-> Box<dyn Future<Output = u8> + Unpin>", Pointer::Box),
        ] {
            let Returns::Future(future) = classify_text(source) else { panic!("{source} is a future") };
            assert!(future.pointer == pointer, "{source}");
            assert_eq!(future.output.to_token_stream().to_string(), "u8");
        }
        for source in
            ["-> (impl Future<Output = u8>, u8)", "-> impl Future<Output = u8> + Clone", "-> Box<u8>"]
        {
            assert!(matches!(classify_text(source), Returns::Value(_)), "{source}");
        }
        assert!(matches!(classify_text("-> (())"), Returns::Unit));
        assert!(matches!(classify_text("-> !"), Returns::Never));
    }

    #[test]
    fn opaque_types_are_left_to_inference_at_any_depth() {
        let Returns::Value(ty) = classify_text("-> Result<Vec<impl Fn() -> u8>, (E, impl Copy)>") else {
            panic!("a value")
        };
        assert_eq!(ty.to_token_stream().to_string(), "Result < Vec < _ > , (E , _) >");
    }
}
