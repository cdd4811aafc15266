//! A function as the expansion needs it.
//!
//! Takes an item that is a function. Gives its signature in parts, its arguments with the names they bind,
//! and its body as tokens, which are parsed only where the expansion needs the statements. The options are
//! not known here.

use monitor_rules::redaction::{is_secret_argument, is_secret_type};
use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident};
use syn::ext::IdentExt as _;
use syn::parse::{ParseStream, Parser as _};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::visit_mut::{self, VisitMut};
use syn::{
    Attribute, Block, FnArg, Pat, PatType, Receiver, ReceiverKind, Result, ReturnType, Signature, Stmt,
    Token, Type, Visibility,
};

use crate::items::{Item, Kind, split_inner_attributes};
use crate::mentions::{assigns, mentions};
use crate::{raw_words, trait_objects};

/// A function with a body.
pub(crate) struct Function {
    pub(crate) attributes: Vec<Attribute>,
    /// The visibility, and `default` where specialization is on.
    pub(crate) qualifiers: TokenStream,
    pub(crate) signature: Signature,
    pub(crate) arguments: Vec<Argument>,
    /// The attributes `#![…]` at the start of the body.
    pub(crate) inner_attributes: Vec<Attribute>,
    pub(crate) body: TokenStream,
    /// The body in its braces, as the user wrote it.
    block: Group,
}

/// An argument other than the receiver.
pub(crate) struct Argument {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) pattern: Pat,
    pub(crate) ty: Type,
    pub(crate) shape: Shape,
    /// The names that the pattern binds, in its order.
    pub(crate) bindings: Vec<Ident>,
    /// The bindings that the pattern takes out of a field or type with the name of a secret.
    secret_bindings: Vec<Ident>,
    /// A generated name for the whole argument where the pattern has none.
    pub(crate) hidden_name: Ident,
}

/// The syntax of an argument.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `a` or `mut a`.
    Name,
    /// `_`.
    Wild,
    /// Any other pattern.
    Pattern,
}

impl Function {
    /// Parses a function. The caller has checked that the item is one and has this body.
    pub(crate) fn parse(item: &Item, body: &Group) -> Result<Self> {
        debug_assert!(item.kind == Kind::Function);
        let (qualifiers, mut signature) = parse_function_head(&item.head)?;
        let (inner_attributes, body_tokens) = split_inner_attributes(body.stream())?;
        replace_unused_underscores(&mut signature, &body_tokens);
        Ok(Self {
            attributes: item.attributes.clone(),
            qualifiers,
            arguments: arguments(&signature),
            signature,
            inner_attributes,
            body: body_tokens,
            block: body.clone(),
        })
    }

    /// Returns `tokens` inside the braces of the user's own body, so that rustc and clippy see the extent of
    /// the body.
    pub(crate) fn braced(&self, tokens: TokenStream) -> Group {
        let mut group = Group::new(Delimiter::Brace, tokens);
        group.set_span(self.block.span());
        group
    }

    /// Returns `tokens` as a block to put after generated statements. The braces have the place of the user's
    /// braces, but count as generated, because rustc may otherwise report them as unused.
    pub(crate) fn nested_block(&self, tokens: TokenStream) -> Group {
        let mut group = Group::new(Delimiter::Brace, tokens);
        group.set_span(generated_span(self.block.span()));
        group
    }

    /// Returns the body as a block to put after generated statements.
    pub(crate) fn nested_body(&self) -> Group {
        if self.statements().is_none() {
            // Rustc has reported a body that does not parse once. It reports the body again unless the tokens
            // are the same.
            return self.block.clone();
        }
        self.nested_block(self.body.clone())
    }

    /// Returns the body as the user wrote it, without its inner attributes.
    pub(crate) fn whole_body(&self) -> Group {
        if self.inner_attributes.is_empty() { self.block.clone() } else { self.braced(self.body.clone()) }
    }

    /// Returns the statements of the body, if syn can parse them.
    pub(crate) fn statements(&self) -> Option<Vec<Stmt>> {
        Block::parse_within.parse2(self.body.clone()).ok()
    }

    /// Returns `self` in any of its forms.
    pub(crate) fn receiver(&self) -> Option<&Receiver> {
        self.signature.receiver()
    }

    /// Returns `self` if it is a value, which is dropped with the call, and not a reference.
    pub(crate) fn owned_receiver(&self) -> Option<&Receiver> {
        self.receiver().filter(|receiver| !matches!(receiver.kind, ReceiverKind::Reference(..)))
    }

    /// Returns whether the body assigns to an argument that the expansion moves into a closure or an async
    /// block. Rustc takes such an argument for a captured variable, and reports the assignment as unused
    /// although a destructor may read it. An argument of an `async fn` for which `is_local` holds is none.
    pub(crate) fn assigns_to_captured(&self, is_local: impl Fn(&Argument) -> bool) -> bool {
        let is_receiver_assigned = self.owned_receiver().is_some_and(|receiver| {
            receiver.mutability.is_some() && assigns(&self.body, &receiver.self_token.into())
        });
        let is_async = self.signature.asyncness.is_some();
        let captured = self.arguments.iter().filter(|argument| !is_local(argument));
        let mut bindings = captured.flat_map(|argument| &argument.bindings);
        is_receiver_assigned || is_async && bindings.any(|name| assigns(&self.body, name))
    }

    /// Returns whether the function is `#[track_caller]`: directly, under `cfg_attr`, or inherited from the
    /// traits `Index` and `IndexMut`, the only ones of the standard library that have it.
    pub(crate) fn is_track_caller(&self) -> bool {
        let name = Ident::new("track_caller", Span::call_site());
        let is_declared = self.attributes.iter().any(|attribute| {
            let path = attribute.path();
            path.is_ident("track_caller")
                || path.is_ident("cfg_attr") && mentions(&attribute.meta.to_token_stream(), &name)
        });
        is_declared || self.is_index()
    }

    /// Returns whether the function has the signature of `Index::index` or `IndexMut::index_mut`.
    fn is_index(&self) -> bool {
        let Signature { ident, inputs, output, asyncness, .. } = &self.signature;
        let is_reference = matches!(output, ReturnType::Type(_, ty) if matches!(**ty, Type::Reference(_)));
        let is_borrowed =
            self.receiver().is_some_and(|receiver| matches!(receiver.kind, ReceiverKind::Reference(..)));
        let is_named = ident == "index" || ident == "index_mut";
        is_named && is_reference && is_borrowed && inputs.len() == 2 && asyncness.is_none()
    }
}

/// Parses the head of a function, also where it has a bare trait object of edition 2018, or a name of edition 2015 that
/// is a keyword by now.
pub(crate) fn parse_function_head(head: &TokenStream) -> Result<(TokenStream, Signature)> {
    let older = || raw_words::with_raw_names(trait_objects::with_dyn(head.clone()));
    parse_head
        .parse2(head.clone())
        .or_else(|error| parse_head.parse2(trait_objects::with_dyn(head.clone())).map_err(|_| error))
        .or_else(|error| parse_head.parse2(older()).map_err(|_| error))
}

/// Parses the head of a function: the visibility with `default`, and the signature.
pub(crate) fn parse_head(input: ParseStream<'_>) -> Result<(TokenStream, Signature)> {
    let mut qualifiers = input.parse::<Visibility>()?.into_token_stream();
    if input.peek(Token![default]) {
        input.parse::<Token![default]>()?.to_tokens(&mut qualifiers);
    }
    Ok((qualifiers, input.parse()?))
}

/// Replaces each `_name` that the body does not mention by a generated name. The expansion uses the argument
/// to capture it, and clippy's `used_underscore_binding` would blame the user for that.
fn replace_unused_underscores(signature: &mut Signature, body: &TokenStream) {
    struct Replace<'a>(&'a TokenStream);
    impl VisitMut for Replace<'_> {
        fn visit_pat_ident_mut(&mut self, pattern: &mut syn::PatIdent) {
            if pattern.ident.to_string().starts_with('_') && !mentions(self.0, &pattern.ident) {
                pattern.ident = generated_name(&pattern.ident);
            }
            visit_mut::visit_pat_ident_mut(self, pattern);
        }
    }
    for input in &mut signature.inputs {
        if let FnArg::Typed(typed) = input {
            Replace(body).visit_pat_mut(&mut typed.pat);
        }
    }
}

/// Returns the arguments of a signature, without its receiver.
pub(crate) fn arguments(signature: &Signature) -> Vec<Argument> {
    let typed = signature.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(typed) => Some(typed),
        FnArg::Receiver(_) => None,
    });
    typed.enumerate().map(|(index, typed)| Argument::new(index, typed)).collect()
}

impl Argument {
    fn new(index: usize, typed: &PatType) -> Self {
        let mut bindings = Bindings::default();
        bindings.visit_pat(&typed.pat);
        let shape = match &*typed.pat {
            Pat::Ident(name) if name.by_ref.is_none() && name.subpat.is_none() && is_binding(&name.ident) => {
                Shape::Name
            }
            Pat::Wild(_) => Shape::Wild,
            _ => Shape::Pattern,
        };
        Self {
            attributes: typed.attrs.clone(),
            pattern: (*typed.pat).clone(),
            ty: (*typed.ty).clone(),
            shape,
            bindings: bindings.names,
            secret_bindings: bindings.secrets,
            hidden_name: format_ident!("__monitor_argument{}", index, span = Span::call_site()),
        }
    }

    /// Returns the name of the whole argument in the signature where its pattern has moved into a closure.
    /// Documentation shows the user's name, but the name is a generated one: the user's code cannot refer to
    /// it.
    pub(crate) fn outer_name(&self) -> Ident {
        match (self.shape, self.bindings.first()) {
            (Shape::Name, Some(name)) => generated_name(name),
            _ => self.hidden_name.clone(),
        }
    }

    /// Returns whether the pattern takes the binding out of a secret, as `pw` in `Login { password: pw, .. }` and in
    /// `Password(pw)`.
    pub(crate) fn takes_from_secret(&self, binding: &Ident) -> bool {
        self.secret_bindings.contains(binding)
    }

    /// Returns the pattern without its `&`, `ref` and `mut`. It matches a reference to the argument in every edition,
    /// moves nothing out of the argument, and binds each name to a reference. Its brackets count as generated, because
    /// clippy's `pattern_type_mismatch` would blame the user for it.
    pub(crate) fn pattern_of_reference(&self) -> TokenStream {
        struct Strip;
        impl VisitMut for Strip {
            fn visit_pat_mut(&mut self, pattern: &mut Pat) {
                while let Pat::Reference(reference) = pattern {
                    *pattern = (*reference.pat).clone();
                }
                visit_mut::visit_pat_mut(self, pattern);
            }

            fn visit_pat_ident_mut(&mut self, pattern: &mut syn::PatIdent) {
                pattern.by_ref = None;
                pattern.mutability = None;
                visit_mut::visit_pat_ident_mut(self, pattern);
            }
        }
        let mut pattern = self.pattern.clone();
        Strip.visit_pat_mut(&mut pattern);
        with_generated_brackets(pattern.into_token_stream())
    }

    /// Returns whether the pattern borrows from the argument (`ref x`).
    pub(crate) fn binds_by_ref(&self) -> bool {
        struct ByRef(bool);
        impl Visit<'_> for ByRef {
            fn visit_pat_ident(&mut self, pattern: &syn::PatIdent) {
                self.0 |= pattern.by_ref.is_some();
                visit::visit_pat_ident(self, pattern);
            }
        }
        let mut by_ref = ByRef(false);
        by_ref.visit_pat(&self.pattern);
        by_ref.0
    }
}

/// Returns an identifier with the text of `name` at the same place in the source. Lints do not report its use, because
/// its span says that a macro made it.
pub(crate) fn generated_name(name: &Ident) -> Ident {
    let mut generated = name.clone();
    generated.set_span(generated_span(name.span()));
    generated
}

/// Returns the tokens with generated brackets of all kinds around the same content.
fn with_generated_brackets(tokens: TokenStream) -> TokenStream {
    let trees = tokens.into_iter().map(|tree| match tree {
        TokenTree::Group(group) => {
            let mut generated = Group::new(group.delimiter(), with_generated_brackets(group.stream()));
            generated.set_span(generated_span(group.span()));
            TokenTree::Group(generated)
        }
        tree => tree,
    });
    trees.collect()
}

/// Returns a span for generated tokens that shows a place in the user's code.
pub(crate) fn generated_span(place: Span) -> Span {
    Span::call_site().located_at(place)
}

/// Returns the place in the signature that names the output.
pub(crate) fn output_span(signature: &Signature) -> Span {
    match &signature.output {
        ReturnType::Default => signature.ident.span(),
        ReturnType::Type(_, ty) => ty.span(),
    }
}

/// Returns whether `name` in a pattern is a binding and not a unit struct or a constant, whose names begin
/// with an upper case letter by convention.
fn is_binding(name: &Ident) -> bool {
    !name.unraw().to_string().starts_with(char::is_uppercase)
}

/// The names that a pattern binds.
#[derive(Default)]
struct Bindings {
    names: Vec<Ident>,
    /// The names of which a field or type around them has the name of a secret.
    secrets: Vec<Ident>,
    /// True within a field or type with the name of a secret.
    under_secret: bool,
}

impl Bindings {
    /// Visits a part of the pattern, which belongs to a secret if `is_secret` is true.
    fn visit_under(&mut self, is_secret: bool, visit: impl FnOnce(&mut Self)) {
        let outer = self.under_secret;
        self.under_secret |= is_secret;
        visit(self);
        self.under_secret = outer;
    }
}

impl Visit<'_> for Bindings {
    fn visit_pat_ident(&mut self, pattern: &syn::PatIdent) {
        if is_binding(&pattern.ident) || pattern.subpat.is_some() {
            self.names.push(pattern.ident.clone());
            if self.under_secret {
                self.secrets.push(pattern.ident.clone());
            }
        }
        visit::visit_pat_ident(self, pattern);
    }

    fn visit_field_pat(&mut self, field: &syn::FieldPat) {
        let is_secret = match &field.member {
            syn::Member::Named(name) => is_secret_argument(&name.unraw().to_string()),
            syn::Member::Unnamed(_) => false,
        };
        self.visit_under(is_secret, |bindings| visit::visit_field_pat(bindings, field));
    }

    fn visit_pat_struct(&mut self, pattern: &syn::PatStruct) {
        let is_secret = is_of_secret_type(&pattern.path);
        self.visit_under(is_secret, |bindings| visit::visit_pat_struct(bindings, pattern));
    }

    fn visit_pat_tuple_struct(&mut self, pattern: &syn::PatTupleStruct) {
        let is_secret = is_of_secret_type(&pattern.path);
        self.visit_under(is_secret, |bindings| visit::visit_pat_tuple_struct(bindings, pattern));
    }

    /// Takes the names from one case only, because `A(x) | B(x)` binds `x` once. A name is a secret if it is one in any
    /// of the cases.
    fn visit_pat_or(&mut self, pattern: &syn::PatOr) {
        let mut cases = pattern.cases.iter();
        if let Some(first) = cases.next() {
            self.visit_pat(first);
        }
        let bound = self.names.len();
        for case in cases {
            self.visit_pat(case);
        }
        self.names.truncate(bound);
    }

    /// Skips a constant expression in a pattern, because it binds nothing.
    fn visit_expr(&mut self, _: &syn::Expr) {}
}

/// Returns whether the path of a struct or variant ends with the name of a secret: `Auth::Password`.
fn is_of_secret_type(path: &syn::Path) -> bool {
    path.segments.last().is_some_and(|last| is_secret_type(&last.ident.unraw().to_string()))
}

#[cfg(test)]
mod tests {
    use super::{Function, arguments};
    use crate::items;

    /// Returns the bindings of a function's arguments; those out of a secret with an exclamation mark.
    fn bound(head: &str) -> String {
        let item = items::cut_single(format!("{head} {{}}").parse().expect("tokens")).expect("an item");
        let function = Function::parse(&item, item.body().expect("a body")).expect("a function");
        let mut shown = Vec::new();
        for argument in arguments(&function.signature) {
            for name in &argument.bindings {
                let mark = if argument.takes_from_secret(name) { "!" } else { "" };
                shown.push(format!("{name}{mark}"));
            }
        }
        shown.join(" ")
    }

    #[test]
    fn what_a_pattern_takes_out_of_a_secret_is_known() {
        for (head, expected) in [
            ("fn f(Login { user, password: pw }: Login)", "user pw!"),
            ("fn f(&Login { ref user, r#password: ref pw, .. }: &Login)", "user pw!"),
            ("fn f(Password(p): Password, n: u8)", "p! n"),
            ("fn f(&auth::Password(ref p): &auth::Password)", "p!"),
            ("fn f(ApiKey { value }: ApiKey)", "value!"),
            ("fn f(ApiKey { 0: value }: ApiKey)", "value!"),
            ("fn f((Some(Password(p)), n): (Option<Password>, u8))", "p! n"),
            ("fn f(Login { password: Some(Inner { a, b: [c, ..] }), d }: Login)", "a! c! d"),
            ("fn f((Auth::Basic(p) | Auth::Password(p)): Auth)", "p!"),
            ("fn f(Login { password: whole @ Secret(inner), n }: Login)", "whole! inner! n"),
            ("fn f(Token(t): Token, Json(body): Json<Body>, Point { x, y }: Point)", "t body x y"),
            ("fn f(Login { author: a, passenger: b }: Login, (c, d): (u8, u8))", "a b c d"),
        ] {
            assert_eq!(bound(head), expected, "{head}");
        }
    }
}
