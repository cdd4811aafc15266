//! A function as the expansion needs it: its signature in parts, its arguments with the names they
//! bind, its body as tokens.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream};
use quote::{ToTokens, format_ident};
use syn::ext::IdentExt as _;
use syn::parse::{ParseStream, Parser as _};
use syn::visit::{self, Visit};
use syn::visit_mut::{self, VisitMut};
use syn::{
    Attribute, Block, FnArg, Pat, PatType, Receiver, ReceiverKind, Result, Signature, Stmt, Token, Visibility,
};

use crate::items::{Item, Kind};
use crate::mentions::mentions;

/// A function with a body.
pub(crate) struct Function {
    pub(crate) attributes: Vec<Attribute>,
    /// `pub`, and `default` where specialization is on.
    pub(crate) qualifiers: TokenStream,
    pub(crate) signature: Signature,
    pub(crate) arguments: Vec<Argument>,
    /// `#![…]` at the start of the body.
    pub(crate) inner_attributes: Vec<Attribute>,
    pub(crate) body: TokenStream,
    /// The body in its braces, as the user wrote it.
    block: Group,
}

/// One argument other than the receiver.
pub(crate) struct Argument {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) pattern: Pat,
    pub(crate) shape: Shape,
    /// What the pattern binds, in its order.
    pub(crate) bindings: Vec<Ident>,
    /// A name for the whole argument where the pattern has none.
    pub(crate) hidden: Ident,
}

/// How an argument is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `a` or `mut a`.
    Name,
    /// `_`.
    Wild,
    /// Anything else.
    Pattern,
}

impl Function {
    /// Reads a function; an item that is none, or has no body, must be told apart before.
    pub(crate) fn parse(item: &Item, body: &Group) -> Result<Self> {
        debug_assert!(item.kind == Kind::Function);
        let (qualifiers, mut signature) = head.parse2(item.head.clone())?;
        let (inner_attributes, body_tokens) = inner.parse2(body.stream())?;
        own_unused_underscores(&mut signature, &body_tokens);
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

    /// `tokens` in the braces of the user's own body, so that rustc and clippy see its extent.
    pub(crate) fn in_braces(&self, tokens: TokenStream) -> Group {
        let mut group = Group::new(Delimiter::Brace, tokens);
        group.set_span(self.block.span());
        group
    }

    /// `tokens` as a block of its own, behind statements of ours. Its braces lie where the user's do, but
    /// count as ours: otherwise rustc may call them unused.
    pub(crate) fn nested(&self, tokens: TokenStream) -> Group {
        let mut group = Group::new(Delimiter::Brace, tokens);
        group.set_span(located_at(self.block.span()));
        group
    }

    /// The body as a block of its own, behind statements of ours.
    pub(crate) fn nested_body(&self) -> Group {
        if self.statements().is_none() {
            // What does not parse rustc has reported once, and reports again unless it is the same.
            return self.block.clone();
        }
        self.nested(self.body.clone())
    }

    /// The body as the user wrote it, all but its inner attributes.
    pub(crate) fn whole_body(&self) -> Group {
        if self.inner_attributes.is_empty() { self.block.clone() } else { self.in_braces(self.body.clone()) }
    }

    /// The body's statements, where syn can read them.
    pub(crate) fn statements(&self) -> Option<Vec<Stmt>> {
        Block::parse_within.parse2(self.body.clone()).ok()
    }

    /// `self` in any of its forms.
    pub(crate) fn receiver(&self) -> Option<&Receiver> {
        self.signature.receiver()
    }

    /// `self` as a value that is dropped with the call, not a mere reference.
    pub(crate) fn owned_receiver(&self) -> Option<&Receiver> {
        self.receiver().filter(|receiver| !matches!(receiver.kind, ReceiverKind::Reference(..)))
    }

    /// Is the caller's place handed on, `#[track_caller]`, if only under some condition?
    pub(crate) fn is_tracked(&self) -> bool {
        let name = Ident::new("track_caller", Span::call_site());
        self.attributes.iter().any(|attribute| {
            let path = attribute.path();
            path.is_ident("track_caller")
                || path.is_ident("cfg_attr") && mentions(&attribute.meta.to_token_stream(), &name)
        })
    }
}

/// The visibility (and `default`) and the signature.
pub(crate) fn head(input: ParseStream<'_>) -> Result<(TokenStream, Signature)> {
    let mut qualifiers = input.parse::<Visibility>()?.into_token_stream();
    if input.peek(Token![default]) {
        input.parse::<Token![default]>()?.to_tokens(&mut qualifiers);
    }
    Ok((qualifiers, input.parse()?))
}

/// Makes each `_name` that the body does not mention a name of ours. The expansion uses it to capture
/// it, and clippy's `used_underscore_binding` would blame the user for that.
fn own_unused_underscores(signature: &mut Signature, body: &TokenStream) {
    struct Own<'a>(&'a TokenStream);
    impl VisitMut for Own<'_> {
        fn visit_pat_ident_mut(&mut self, pattern: &mut syn::PatIdent) {
            if pattern.ident.to_string().starts_with('_') && !mentions(self.0, &pattern.ident) {
                pattern.ident = ours(&pattern.ident);
            }
            visit_mut::visit_pat_ident_mut(self, pattern);
        }
    }
    for input in &mut signature.inputs {
        if let FnArg::Typed(typed) = input {
            Own(body).visit_pat_mut(&mut typed.pat);
        }
    }
}

fn inner(input: ParseStream<'_>) -> Result<(Vec<Attribute>, TokenStream)> {
    Ok((Attribute::parse_inner(input)?, input.parse()?))
}

/// The arguments of a signature, without its receiver.
pub(crate) fn arguments(signature: &Signature) -> Vec<Argument> {
    let typed = signature.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(typed) => Some(typed),
        FnArg::Receiver(_) => None,
    });
    typed.enumerate().map(|(index, typed)| Argument::new(index, typed)).collect()
}

impl Argument {
    fn new(index: usize, typed: &PatType) -> Self {
        let mut bindings = Bindings(Vec::new());
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
            shape,
            bindings: bindings.0,
            hidden: format_ident!("__monitor_argument{}", index, span = Span::call_site()),
        }
    }

    /// The name of the whole argument where its pattern has moved into a closure: that of the user, for
    /// the sake of documentation, but not to be taken for it.
    pub(crate) fn whole(&self) -> Ident {
        match (self.shape, self.bindings.first()) {
            (Shape::Name, Some(name)) => ours(name),
            _ => self.hidden.clone(),
        }
    }

    /// The pattern with every binding by reference: it looks at the argument and takes nothing.
    pub(crate) fn pattern_by_ref(&self) -> Pat {
        struct ByRef;
        impl VisitMut for ByRef {
            fn visit_pat_ident_mut(&mut self, pattern: &mut syn::PatIdent) {
                if is_binding(&pattern.ident) {
                    pattern.by_ref = Some(Token![ref](Span::call_site()));
                    pattern.mutability = None;
                }
                visit_mut::visit_pat_ident_mut(self, pattern);
            }
        }
        let mut pattern = self.pattern.clone();
        ByRef.visit_pat_mut(&mut pattern);
        pattern
    }

    /// Does the pattern borrow from the argument (`ref x`)?
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

/// The same name at the same place, but one of ours: lints do not blame the user for what happens to it.
pub(crate) fn ours(name: &Ident) -> Ident {
    let mut ours = name.clone();
    ours.set_span(located_at(name.span()));
    ours
}

/// A span for tokens of ours that shows a place of the user's.
pub(crate) fn located_at(place: Span) -> Span {
    Span::call_site().located_at(place)
}

/// A unit struct or a constant is a pattern too, and binds nothing; by convention it begins upper case.
fn is_binding(name: &Ident) -> bool {
    !name.unraw().to_string().starts_with(char::is_uppercase)
}

struct Bindings(Vec<Ident>);

impl Visit<'_> for Bindings {
    fn visit_pat_ident(&mut self, pattern: &syn::PatIdent) {
        if is_binding(&pattern.ident) || pattern.subpat.is_some() {
            self.0.push(pattern.ident.clone());
        }
        visit::visit_pat_ident(self, pattern);
    }

    /// `A(x) | B(x)` binds `x` once.
    fn visit_pat_or(&mut self, pattern: &syn::PatOr) {
        if let Some(first) = pattern.cases.first() {
            self.visit_pat(first);
        }
    }

    /// A constant expression in a pattern binds nothing.
    fn visit_expr(&mut self, _: &syn::Expr) {}
}
