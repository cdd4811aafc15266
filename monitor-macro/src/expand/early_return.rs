//! Turns each early return of a body into a break out of a labelled block around the body.
//!
//! Takes the statements of a function that cannot have a closure. Returns them with `return x` replaced by
//! `break '__monitor_body x`, and `x?` replaced by the match that `?` stands for. Closures, async blocks and
//! nested items keep their returns. A `return` inside a macro is replaced only if the arguments of the macro
//! parse as expressions. Otherwise it ends the function, and the call is counted as `ok` without a result.

use proc_macro2::{Span, TokenStream};
use quote::ToTokens as _;
use syn::punctuated::Punctuated;
use syn::visit_mut::{self, VisitMut};
use syn::{Expr, Item, Lifetime, Macro, Stmt, Token, Type, parse_quote};

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
