//! What a return type means for the way a function is wrapped, by its syntax alone.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens as _;
use syn::punctuated::Punctuated;
use syn::visit_mut::{self, VisitMut};
use syn::{
    AssocType, GenericArgument, Path, PathArguments, ReturnType, Token, Type, TypeInfer, TypeParamBound,
    TypePath,
};

/// A return type, seen as `#[monitor]` sees it.
pub(crate) enum Returns {
    /// `()`: there is nothing to see.
    Unit,
    /// `!`: it never returns.
    Never,
    /// `impl Fn…`: a closure takes the types of its arguments from here, and only where it is returned
    /// right out of the function; nothing could be seen of it but a name.
    Closure,
    /// Any other type, with `_` where it says `impl Trait`.
    Value(Box<Type>),
    /// A future, timed until it completes.
    Future(Box<FutureType>),
}

/// A return type that is a future.
pub(crate) struct FutureType {
    pub(crate) pointer: Pointer,
    /// The type as it may be written on a closure.
    pub(crate) nameable: Type,
    /// The future's output as it may be written on a closure.
    pub(crate) output: Type,
}

/// What a future is behind.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pointer {
    /// `impl Future`.
    None,
    /// `Box<dyn Future + Unpin>`.
    Box,
    /// `Pin<Box<dyn Future>>`, `BoxFuture`.
    PinBox,
}

/// Sees a function's return type.
pub(crate) fn returns(output: &ReturnType) -> Returns {
    let ReturnType::Type(_, ty) = output else { return Returns::Unit };
    let ty = plain(ty);
    match ty {
        Type::Never(_) => Returns::Never,
        Type::Tuple(tuple) if tuple.elems.is_empty() => Returns::Unit,
        Type::ImplTrait(opaque) if opaque.bounds.iter().any(is_function) => Returns::Closure,
        _ => match future(ty) {
            Some((pointer, output)) => {
                let output = nameable(&output);
                Returns::Future(Box::new(FutureType { pointer, nameable: nameable(ty), output }))
            }
            None => Returns::Value(Box::new(nameable(ty))),
        },
    }
}

/// Is this one of the traits that a closure has?
fn is_function(bound: &TypeParamBound) -> bool {
    const FUNCTIONS: [&str; 6] = ["Fn", "FnMut", "FnOnce", "AsyncFn", "AsyncFnMut", "AsyncFnOnce"];
    match bound {
        TypeParamBound::Trait(bound) => {
            bound.path.segments.last().is_some_and(|last| FUNCTIONS.iter().any(|name| last.ident == name))
        }
        _ => false,
    }
}

/// The type with `_` for each `impl Trait` in it, which may not be written within a body.
pub(crate) fn nameable(ty: &Type) -> Type {
    struct Infer;
    impl VisitMut for Infer {
        fn visit_type_mut(&mut self, ty: &mut Type) {
            if matches!(ty, Type::ImplTrait(_)) {
                *ty = infer();
            } else {
                visit_mut::visit_type_mut(self, ty);
            }
        }
    }
    let mut ty = ty.clone();
    Infer.visit_type_mut(&mut ty);
    ty
}

/// `_`.
fn infer() -> Type {
    Type::Infer(TypeInfer { attrs: Vec::new(), underscore_token: Token![_](Span::call_site()) })
}

/// The type with each of its `impl` tokens made ours: an opaque type captures lifetimes by the rules
/// of the edition that its `impl` token comes from, and those of an async fn capture all.
pub(crate) fn capturing_all(ty: &Type) -> TokenStream {
    struct Ours;
    impl VisitMut for Ours {
        fn visit_type_impl_trait_mut(&mut self, ty: &mut syn::TypeImplTrait) {
            ty.impl_token.span = Span::call_site();
            visit_mut::visit_type_impl_trait_mut(self, ty);
        }
    }
    let mut ty = ty.clone();
    Ours.visit_type_mut(&mut ty);
    ty.into_token_stream()
}

/// The type without parentheses and invisible groups around it.
fn plain(ty: &Type) -> &Type {
    match ty {
        Type::Paren(paren) => plain(&paren.elem),
        Type::Group(group) => plain(&group.elem),
        ty => ty,
    }
}

fn future(ty: &Type) -> Option<(Pointer, Type)> {
    match plain(ty) {
        Type::ImplTrait(future) => Some((Pointer::None, output(&future.bounds)?)),
        Type::Path(TypePath { qself: None, path, .. }) => {
            let last = path.segments.last()?;
            if last.ident == "BoxFuture" || last.ident == "LocalBoxFuture" {
                return Some((
                    Pointer::PinBox,
                    type_arguments(path).last().map_or_else(infer, |&output| output.clone()),
                ));
            }
            let [inner] = type_arguments(path)[..] else { return None };
            if last.ident == "Pin" {
                let Type::Path(TypePath { qself: None, path: boxed, .. }) = plain(inner) else { return None };
                Some((Pointer::PinBox, boxed_output(boxed)?))
            } else {
                Some((Pointer::Box, boxed_output(path)?))
            }
        }
        _ => None,
    }
}

/// The output of the future in a `Box<…>`.
fn boxed_output(path: &Path) -> Option<Type> {
    if path.segments.last()?.ident != "Box" {
        return None;
    }
    let [inner] = type_arguments(path)[..] else { return None };
    match plain(inner) {
        Type::TraitObject(object) => output(&object.bounds),
        Type::ImplTrait(future) => output(&future.bounds),
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

/// The output named by a bound `Future<Output = …>`, `_` where the bound does not name it. `None` where there is no such bound, or another
/// one that the future in our wrapper would not meet.
fn output(bounds: &Punctuated<TypeParamBound, Token![+]>) -> Option<Type> {
    let mut found = None;
    for bound in bounds {
        let TypeParamBound::Trait(bound) = bound else { continue };
        let last = bound.path.segments.last()?;
        match last.ident.to_string().as_str() {
            "Future" => {
                let PathArguments::AngleBracketed(arguments) = &last.arguments else {
                    found = Some(infer());
                    continue;
                };
                let output = arguments.args.iter().find_map(|argument| match argument {
                    GenericArgument::AssocType(AssocType { ident, ty, .. }) if ident == "Output" => Some(ty),
                    _ => None,
                });
                found = Some(output.cloned().unwrap_or_else(infer));
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

    use super::{Pointer, Returns, returns};

    fn seen(output: &str) -> Returns {
        returns(&parse_str(output).expect("a return type"))
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
            let Returns::Future(future) = seen(source) else { panic!("{source} is a future") };
            assert!(future.pointer == pointer, "{source}");
            assert_eq!(future.output.to_token_stream().to_string(), "u8");
        }
        for source in
            ["-> (impl Future<Output = u8>, u8)", "-> impl Future<Output = u8> + Clone", "-> Box<u8>"]
        {
            assert!(matches!(seen(source), Returns::Value(_)), "{source}");
        }
        assert!(matches!(seen("-> (())"), Returns::Unit));
        assert!(matches!(seen("-> !"), Returns::Never));
    }

    #[test]
    fn opaque_types_are_left_to_inference_at_any_depth() {
        let Returns::Value(ty) = seen("-> Result<Vec<impl Fn() -> u8>, (E, impl Copy)>") else {
            panic!("a value")
        };
        assert_eq!(ty.to_token_stream().to_string(), "Result < Vec < _ > , (E , _) >");
    }
}
