//! Classifies return types.
//!
//! Takes the return type of a function. Returns its class, which decides how the function is wrapped. Only
//! the syntax of the type is known: a type alias is not resolved, and a type or a trait of the user may have
//! the name of a standard one. The class of futures therefore means that the type looks like a future. The
//! expansion leaves it to the traits of the runtime whether it is one.

use proc_macro2::{Ident, Span, TokenStream};
use quote::ToTokens as _;
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::visit_mut::{self, VisitMut};
use syn::{
    AssocType, GenericArgument, GenericParam, Generics, Lifetime, Path, PathArguments, PredicateType,
    ReceiverKind, ReturnType, Signature, Token, Type, TypeInfer, TypeParamBound, TypePath, WherePredicate,
    parse_quote,
};

/// The classes of return types.
pub(crate) enum Returns {
    /// `()`: there is no value to capture.
    Unit,
    /// `!`: the function never returns.
    Never,
    /// `impl Fn…`, or a tuple that holds one: the value is not captured, because only the name of its type could be, and
    /// because the arguments of the closure take their types from the return type only if the closure is returned
    /// directly.
    Closure,
    /// Any other type, with `_` in place of `impl Trait`.
    Value(Box<Type>),
    /// A type that looks like a future, whose call ends when it completes.
    Future(Box<FutureType>),
}

/// A return type that looks like a future.
pub(crate) struct FutureType {
    pub(crate) pointer: Pointer,
    /// The type with `_` in place of each `impl Trait`, because the return type of a closure cannot name `impl Trait`.
    pub(crate) nameable: Type,
    /// The output of the future, with `_` in place of `impl Trait`.
    pub(crate) output: Type,
    /// True if the future is an `impl Future`, in a box or not, so the wrapper may be of another type.
    pub(crate) is_opaque: bool,
    /// The types that the output consists of.
    parts: Vec<Type>,
    /// The lifetime that everything in the box outlives, if it is not `'static`.
    lifetime: Option<Lifetime>,
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
            Some(future) => Returns::Future(Box::new(future)),
            None => Returns::Value(Box::new(to_nameable(ty))),
        },
    }
}

/// Returns whether the type is a primitive one, or a reference to one. No other type has such a name, not even by an alias,
/// because rustc warns of types in lower case.
pub(crate) fn is_primitive(ty: &Type) -> bool {
    match strip_groups(ty) {
        Type::Reference(reference) => is_primitive(&reference.elem),
        Type::Path(TypePath { qself: None, path, .. }) => {
            path.get_ident().is_some_and(|name| name != "String" && is_known_type(name))
        }
        _ => false,
    }
}

/// Returns whether the type holds no error. If a type of the user has one of these names but is a `Result`, calls that
/// return it are always recorded as successes.
pub(crate) fn cannot_fail(ty: &Type) -> bool {
    const NAMES: [&str; 12] = [
        "Arc", "BTreeMap", "BTreeSet", "Cow", "Duration", "HashMap", "HashSet", "Option", "PathBuf", "Rc",
        "String", "Vec",
    ];
    match strip_groups(ty) {
        Type::Reference(_) | Type::Tuple(_) | Type::Array(_) | Type::Ptr(_) | Type::ImplTrait(_) => true,
        Type::Path(TypePath { qself: None, path, .. }) => {
            let last = path.segments.last();
            is_primitive(ty) || last.is_some_and(|last| NAMES.iter().any(|name| last.ident == name))
        }
        _ => false,
    }
}

/// Returns whether the output is a tuple that holds an `impl Fn…`. Such a tuple has no `Debug`, and the arguments of
/// the closure take their types from the return type only if the tuple is returned directly.
pub(crate) fn is_tuple_with_closure(output: &ReturnType) -> bool {
    fn holds_closure(ty: &Type) -> bool {
        match strip_groups(ty) {
            Type::Tuple(tuple) => tuple.elems.iter().any(holds_closure),
            Type::ImplTrait(opaque) => opaque.bounds.iter().any(is_function),
            _ => false,
        }
    }
    matches!(output, ReturnType::Type(_, ty) if matches!(strip_groups(ty), Type::Tuple(_)) && holds_closure(ty))
}

/// Returns whether a value of the type may be a future itself, by the names in it.
pub(crate) fn may_be_future(ty: &Type) -> bool {
    match strip_groups(ty) {
        Type::Reference(reference) => reference.mutability.is_some() && may_be_future(&reference.elem),
        Type::ImplTrait(opaque) => !opaque.bounds.iter().any(is_function),
        Type::Path(TypePath { path, .. }) => {
            let is_result = path.segments.last().is_some_and(|last| last.ident == "Result");
            !is_result && !cannot_fail(ty)
        }
        Type::Tuple(_) | Type::Array(_) | Type::Slice(_) | Type::Ptr(_) | Type::Never(_) => false,
        _ => true,
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

/// Returns the future that `ty` looks like.
fn find_future(ty: &Type) -> Option<FutureType> {
    let ty = strip_groups(ty);
    let future = |pointer, Bounds { output, lifetime, .. }: Bounds, is_opaque| {
        let parts = output.iter().cloned().collect();
        let output = output.map_or_else(inferred_type, |output| to_nameable(&output));
        FutureType { pointer, nameable: to_nameable(ty), output, is_opaque, parts, lifetime }
    };
    match ty {
        Type::ImplTrait(opaque) => Some(future(Pointer::None, find_output(&opaque.bounds)?, true)),
        Type::Path(TypePath { qself: None, path, .. }) => {
            let last = path.segments.last()?;
            if last.ident == "BoxFuture" || last.ident == "LocalBoxFuture" {
                let nameable = to_nameable(ty);
                let parts = type_arguments(path).into_iter().cloned().collect();
                // An alias of the user may have any number of parameters, so their positions do not show which one is
                // the output.
                let output = parse_quote!(<#nameable as ::core::future::Future>::Output);
                let (pointer, lifetime) = (Pointer::PinBox, lifetime_argument(path));
                return Some(FutureType { pointer, nameable, output, is_opaque: false, parts, lifetime });
            }
            let [inner] = type_arguments(path)[..] else { return None };
            if last.ident == "Pin" {
                let Type::Path(TypePath { qself: None, path: boxed, .. }) = strip_groups(inner) else {
                    return None;
                };
                let (bounds, is_opaque) = find_boxed(boxed)?;
                Some(future(Pointer::PinBox, bounds, is_opaque))
            } else {
                // A future in a box is a future only if it is `Unpin`.
                let (bounds, is_opaque) = find_boxed(path).filter(|(bounds, _)| bounds.is_unpin)?;
                Some(future(Pointer::Box, bounds, is_opaque))
            }
        }
        _ => None,
    }
}

/// Returns the bounds of the future in a `Box<…>`, and whether it is an `impl Future`.
fn find_boxed(path: &Path) -> Option<(Bounds, bool)> {
    if path.segments.last()?.ident != "Box" {
        return None;
    }
    let [inner] = type_arguments(path)[..] else { return None };
    match strip_groups(inner) {
        Type::TraitObject(object) => Some((find_output(&object.bounds)?, false)),
        Type::ImplTrait(future) => Some((find_output(&future.bounds)?, true)),
        _ => None,
    }
}

fn lifetime_argument(path: &Path) -> Option<Lifetime> {
    let Some(PathArguments::AngleBracketed(arguments)) = path.segments.last().map(|last| &last.arguments)
    else {
        return None;
    };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Lifetime(lifetime) if lifetime.ident != "static" => Some(lifetime.clone()),
        _ => None,
    })
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

/// The facts that the bounds of a future contain.
struct Bounds {
    output: Option<Type>,
    lifetime: Option<Lifetime>,
    is_unpin: bool,
}

/// Returns the facts that the bounds contain. Returns `None` if no bound looks like the standard `Future`, or if the
/// wrapper of the future would not meet one of the other bounds.
fn find_output(bounds: &Punctuated<TypeParamBound, Token![+]>) -> Option<Bounds> {
    let mut is_future = false;
    let mut found = Bounds { output: None, lifetime: None, is_unpin: false };
    for bound in bounds {
        let bound = match bound {
            TypeParamBound::Trait(bound) => bound,
            TypeParamBound::Lifetime(lifetime) if lifetime.ident != "static" => {
                found.lifetime = Some(lifetime.clone());
                continue;
            }
            _ => continue,
        };
        let last = bound.path.segments.last()?;
        match last.ident.to_string().as_str() {
            "Future" => {
                is_future = true;
                let PathArguments::AngleBracketed(arguments) = &last.arguments else { continue };
                for argument in &arguments.args {
                    match argument {
                        GenericArgument::AssocType(AssocType { ident, ty, .. }) if ident == "Output" => {
                            found.output = Some(ty.clone());
                        }
                        GenericArgument::Constraint(constraint) if constraint.ident == "Output" => {}
                        // This is another trait of the same name, such as the `Future` of `futures` 0.1.
                        _ => return None,
                    }
                }
            }
            "Unpin" => found.is_unpin = true,
            "Send" | "Sync" | "Sized" => {}
            _ => return None,
        }
    }
    is_future.then_some(found)
}

impl FutureType {
    /// Returns whether a box around this boxed future might need a bound that the function does not have.
    /// The type of the future names the output, so an output that is generic or borrows must outlive whatever
    /// the box outlives. A generic parameter of an `impl` block cannot be seen, so a short name in upper case
    /// counts as one.
    pub(crate) fn may_not_be_boxed_again(&self, signature: &Signature) -> bool {
        let mut names = Names { future: self, signature, is_bound: true };
        self.parts.iter().for_each(|part| names.visit_type(part));
        self.pointer != Pointer::None && !self.is_opaque && !names.is_bound
    }

    /// Returns whether a type parameter is known to outlive what the box outlives.
    fn outlives(&self, parameter: &Ident, signature: &Signature) -> bool {
        let Generics { params, where_clause, .. } = &signature.generics;
        let is_lifetime = |bound: &TypeParamBound| match bound {
            TypeParamBound::Lifetime(bound) => {
                bound.ident == "static" || Some(bound) == self.lifetime.as_ref()
            }
            _ => false,
        };
        let mut is_own = false;
        for param in params {
            if let GenericParam::Type(param) = param
                && param.ident == *parameter
            {
                is_own = true;
                if param.bounds.iter().any(is_lifetime) {
                    return true;
                }
            }
        }
        let mut predicates = where_clause.iter().flat_map(|clause| &clause.predicates);
        let is_declared = predicates.any(|predicate| match predicate {
            WherePredicate::Type(PredicateType { bounded_ty: Type::Path(ty), bounds, .. }) => {
                ty.path.is_ident(parameter) && bounds.iter().any(is_lifetime)
            }
            _ => false,
        });
        // The parameters of the type outlive a reference to it.
        let is_borrowed =
            signature.receiver().is_some_and(|receiver| matches!(receiver.kind, ReceiverKind::Reference(..)));
        is_declared || !is_own && self.lifetime.is_some() && is_borrowed
    }
}

/// Returns whether the name may be that of a type parameter that is not `'static`. A parameter of an `impl` block
/// cannot be seen, so a short name in upper case counts as one.
fn may_be_parameter(name: &Ident, generics: &Generics) -> bool {
    let text = name.to_string();
    let is_short = text.len() <= 2 && text.starts_with(|first: char| first.is_ascii_uppercase());
    text == "Self" || is_short || generics.type_params().any(|parameter| parameter.ident == *name)
}

/// Returns whether the type of the error is generic or borrows. Its `impl Error` may then hold for some
/// lifetimes only, and rustc selects it for all of them. An error that is itself a parameter has the bounds
/// that the function declares. An error such as `Self::Error` has the parameters of the `impl` block, if it has any.
pub(crate) fn error_may_borrow(signature: &Signature, is_generic_impl: bool) -> bool {
    let mut errors =
        Errors { generics: &signature.generics, is_generic_impl, has_result: false, borrows: false };
    errors.visit_return_type(&signature.output);
    if errors.has_result {
        return errors.borrows;
    }
    // An alias of another name than `Result` hides which of its arguments belong to the error.
    match &signature.output {
        ReturnType::Type(_, ty) if matches!(strip_groups(ty), Type::Path(_)) => errors.borrows(ty),
        _ => false,
    }
}

/// The search for types of errors.
struct Errors<'a> {
    generics: &'a Generics,
    is_generic_impl: bool,
    has_result: bool,
    borrows: bool,
}

impl Errors<'_> {
    /// Returns whether the arguments of a type borrow or are parameters.
    fn borrows(&self, ty: &Type) -> bool {
        let mut arguments =
            Arguments { generics: self.generics, is_any_name: self.has_result, borrows: false };
        let Type::Path(TypePath { qself, path, .. }) = strip_groups(ty) else { return false };
        if let Some(qself) = qself {
            arguments.visit_type(&qself.ty);
        }
        path.segments.iter().for_each(|segment| arguments.visit_path_arguments(&segment.arguments));
        let is_own = path.segments.first().is_some_and(|first| first.ident == "Self");
        arguments.borrows || is_own && self.is_generic_impl
    }
}

impl Visit<'_> for Errors<'_> {
    fn visit_path(&mut self, path: &Path) {
        let last = path.segments.last();
        if last.is_some_and(|last| last.ident.to_string().ends_with("Result")) {
            let types = type_arguments(path);
            // An alias with a lifetime has it for its error too.
            let has_lifetime = last.is_some_and(|last| has_lifetime(&last.arguments));
            self.has_result |= !types.is_empty() || has_lifetime;
            self.borrows |= has_lifetime || types.iter().skip(1).any(|error| self.borrows(error));
        }
        visit::visit_path(self, path);
    }
}

/// Returns whether one of the arguments is a lifetime other than `'static`.
fn has_lifetime(arguments: &PathArguments) -> bool {
    let PathArguments::AngleBracketed(arguments) = arguments else { return false };
    let is_short = |argument: &GenericArgument| matches!(argument, GenericArgument::Lifetime(it) if it.ident != "static");
    arguments.args.iter().any(is_short)
}

/// The search for lifetimes and parameters in the arguments of a type.
struct Arguments<'a> {
    generics: &'a Generics,
    /// True if a name such as `T` is taken for a type parameter unless it is a type of the standard library. The macro does not
    /// see the parameters of an `impl` block around the function.
    is_any_name: bool,
    borrows: bool,
}

impl Visit<'_> for Arguments<'_> {
    fn visit_lifetime(&mut self, lifetime: &Lifetime) {
        self.borrows |= lifetime.ident != "static";
    }

    fn visit_type_reference(&mut self, reference: &syn::TypeReference) {
        self.borrows |= reference.lifetime.is_none();
        visit::visit_type_reference(self, reference);
    }

    /// Passes over the name of a trait, which is no parameter.
    fn visit_trait_bound(&mut self, bound: &syn::TraitBound) {
        bound.path.segments.iter().for_each(|segment| self.visit_path_arguments(&segment.arguments));
    }

    fn visit_path(&mut self, path: &Path) {
        let first = path.segments.first();
        self.borrows |= first.is_some_and(|first| may_be_parameter(&first.ident, self.generics));
        self.borrows |= self.is_any_name && path.get_ident().is_some_and(|name| !is_known_type(name));
        visit::visit_path(self, path);
    }
}

/// Returns whether the name is that of a type without parameters. By convention no type parameter has such a name.
fn is_known_type(name: &Ident) -> bool {
    const KNOWN: [&str; 18] = [
        "bool", "char", "str", "String", "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32",
        "i64", "i128", "isize", "f32", "f64",
    ];
    KNOWN.iter().any(|known| name == known)
}

/// The search for names in an output that are not known to live long enough.
struct Names<'a> {
    future: &'a FutureType,
    signature: &'a Signature,
    is_bound: bool,
}

impl Visit<'_> for Names<'_> {
    fn visit_lifetime(&mut self, lifetime: &Lifetime) {
        self.is_bound &= lifetime.ident == "static" || Some(lifetime) == self.future.lifetime.as_ref();
    }

    fn visit_type_reference(&mut self, reference: &syn::TypeReference) {
        if reference.lifetime.is_none() {
            self.is_bound &= self.future.lifetime.as_ref().is_some_and(|lifetime| lifetime.ident == "_");
        }
        visit::visit_type_reference(self, reference);
    }

    fn visit_path(&mut self, path: &Path) {
        if let Some(first) = path.segments.first()
            && path.leading_colon.is_none()
        {
            let name = &first.ident;
            if may_be_parameter(name, &self.signature.generics) {
                self.is_bound &= self.future.outlives(name, self.signature);
            }
        }
        visit::visit_path(self, path);
    }
}

#[cfg(test)]
mod tests {
    use quote::ToTokens as _;
    use syn::parse_str;

    use super::{Pointer, Returns, classify, error_may_borrow};

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
            ("-> Box<dyn Future<Output = u8> + Unpin>", Pointer::Box),
        ] {
            let Returns::Future(future) = classify_text(source) else { panic!("{source} is a future") };
            assert!(future.pointer == pointer, "{source}");
            assert_eq!(future.output.to_token_stream().to_string(), "u8");
        }
        let Returns::Future(future) = classify_text("-> (BoxFuture<'static, u8>)") else {
            panic!("a future")
        };
        assert!(future.pointer == Pointer::PinBox);
        for source in [
            "-> (impl Future<Output = u8>, u8)",
            "-> impl Future<Output = u8> + Clone",
            "-> impl Future<Item = u8, Error = ()>",
            "-> Box<dyn Future<Output = u8>>",
            "-> Box<u8>",
        ] {
            assert!(matches!(classify_text(source), Returns::Value(_)), "{source}");
        }
        assert!(matches!(classify_text("-> (())"), Returns::Unit));
        assert!(matches!(classify_text("-> !"), Returns::Never));
    }

    #[test]
    fn an_error_that_may_have_a_lifetime_of_the_caller_is_found() {
        for (function, is_generic_impl, expected) in [
            ("fn a() -> Result<u8, E>", true, false),
            ("fn a<T>() -> Result<T, E>", true, false),
            ("fn a() -> io::Result<Item>", true, false),
            ("fn a() -> Result<u8, Box<dyn Error + Send>>", true, false),
            ("fn a() -> Result<u8, SendError<u8>>", true, false),
            ("fn a<T>() -> Result<u8, T>", true, false),
            ("fn a() -> Result<u8, Self::Error>", false, false),
            ("fn a() -> Option<Item>", true, false),
            ("fn a() -> Result<u8, Self::Error>", true, true),
            ("fn a() -> Result<u8, Self>", true, true),
            ("fn a() -> Result<u8, E<Item>>", false, true),
            ("fn a() -> Result<u8, E<'_>>", false, true),
            ("fn a() -> Result<u8, <X<'a> as T>::Error>", false, true),
            ("fn a() -> Poll<Option<Result<u8, E<&str>>>>", false, true),
            ("fn a() -> PResult<'_, u8>", false, true),
            ("fn a<T>() -> Answer<T>", false, true),
            ("fn a() -> Answer<'_>", false, true),
            ("fn a() -> BoxFuture<'a, Result<u8, E>>", false, false),
        ] {
            let signature = parse_str(function).expect("a signature");
            assert_eq!(error_may_borrow(&signature, is_generic_impl), expected, "{function}");
        }
    }

    #[test]
    fn opaque_types_are_left_to_inference_at_any_depth() {
        let Returns::Value(ty) = classify_text("-> Result<Vec<impl Fn() -> u8>, (E, impl Copy)>") else {
            panic!("a value")
        };
        assert_eq!(ty.to_token_stream().to_string(), "Result < Vec < _ > , (E , _) >");
    }
}
