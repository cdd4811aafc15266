//! Turns each early return of a body into a break out of a labelled block around the body.
//!
//! Takes the statements of a function that cannot have a closure. Returns them with `return x` replaced by
//! `break '__monitor_body x`, and `x?` replaced by the match that `?` stands for. Closures, async blocks and
//! nested items keep their returns. A `return` inside a macro is replaced only if the arguments of the macro
//! parse as expressions. Otherwise it ends the function, and the call is counted as `ok` without a result.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens as _;
use syn::punctuated::Punctuated;
use syn::visit::Visit;
use syn::visit_mut::{self, VisitMut};
use syn::{Expr, Item, Lifetime, Macro, Stmt, Token, Type, parse_quote};

use super::boxings::does_not_return;

/// Returns the statements with each early return replaced by a break to the label `'__monitor_body`.
pub(super) fn to_breaks(statements: Vec<Stmt>, ty: &Type, private: &TokenStream) -> TokenStream {
    let mut rewrite = Rewrite { ty, private, label: Lifetime::new("'__monitor_body", Span::call_site()) };
    let mut tokens = TokenStream::new();
    for mut statement in statements {
        rewrite.visit_stmt_mut(&mut statement);
        statement.to_tokens(&mut tokens);
    }
    tokens
}

/// Returns whether the statements may not come to their end, by the syntax of the last one.
pub(super) fn may_diverge(statements: &[Stmt]) -> bool {
    match statements.last() {
        Some(Stmt::Expr(last, _)) => {
            matches!(
                last,
                Expr::Call(_) | Expr::MethodCall(_) | Expr::Macro(_) | Expr::Loop(_) | Expr::Return(_)
            ) || matches!(last, Expr::Block(_) | Expr::Unsafe(_) | Expr::If(_) | Expr::Match(_))
        }
        Some(Stmt::Macro(_)) => true,
        Some(Stmt::Local(_) | Stmt::Item(_)) | None => false,
    }
}

/// Returns whether [`to_breaks`] finds every early return: each macro in the statements is one that does not return.
pub(super) fn finds_all(statements: &[Stmt]) -> bool {
    let mut macros = UnknownMacros(false);
    for statement in statements {
        macros.visit_stmt(statement);
    }
    !macros.0
}

/// The search for macros that may return.
struct UnknownMacros(bool);

impl Visit<'_> for UnknownMacros {
    fn visit_macro(&mut self, invocation: &Macro) {
        let returning = ["return", "?"].iter().any(|sign| invocation.tokens.to_string().contains(sign));
        self.0 |= returning || !does_not_return(invocation);
    }

    fn visit_expr_closure(&mut self, _: &syn::ExprClosure) {}

    fn visit_expr_async(&mut self, _: &syn::ExprAsync) {}

    fn visit_item(&mut self, _: &Item) {}
}

struct Rewrite<'a> {
    ty: &'a Type,
    private: &'a TokenStream,
    label: Lifetime,
}

impl VisitMut for Rewrite<'_> {
    fn visit_expr_mut(&mut self, expression: &mut Expr) {
        match expression {
            Expr::Closure(_) | Expr::Async(_) | Expr::Const(_) | Expr::TryBlock(_) => return,
            _ => visit_mut::visit_expr_mut(self, expression),
        }
        let Self { ty, private, label } = self;
        match expression {
            Expr::Return(returned) => {
                let value = &returned.expr;
                *expression = match value {
                    Some(value) => parse_quote!(break #label #value),
                    None => parse_quote!(break #label ()),
                };
            }
            Expr::Try(tried) => {
                let operand = &tried.expr;
                let question = &tried.question_token;
                // The closure always returns early: the operator `?` in it converts the error.
                *expression = parse_quote! {
                    match #private::Branch::branch(#operand) {
                        ::core::ops::ControlFlow::Continue(__monitor_value) => __monitor_value,
                        ::core::ops::ControlFlow::Break(__monitor_residual) => break #label #private::run0(
                            move || -> #ty { match __monitor_residual #question {} }
                        ),
                    }
                };
            }
            _ => {}
        }
    }

    fn visit_macro_mut(&mut self, invocation: &mut Macro) {
        let parse = Punctuated::<Expr, Token![,]>::parse_terminated;
        let Ok(mut arguments) = invocation.parse_body_with(parse) else { return };
        for argument in &mut arguments {
            self.visit_expr_mut(argument);
        }
        invocation.tokens = arguments.into_token_stream();
    }

    fn visit_item_mut(&mut self, _: &mut Item) {}
}
