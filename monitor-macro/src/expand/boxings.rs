//! Finds the boxes that a function returns.
//!
//! Takes the statements of a function that returns a boxed future. For each `Box::pin(…)` or `Box::new(…)` that is the
//! value of the body or of a `return`, calls a closure with the content of the box, which the closure may replace.
//! Closures, async blocks and nested items have returns of their own. A macro that is not known may hide a `return`.

use syn::visit_mut::{self, VisitMut};
use syn::{Expr, Item, Macro, Stmt};

/// Macros that are known to contain no `return`. Any other macro may hide one.
const KNOWN: [&str; 24] = [
    "assert",
    "assert_eq",
    "assert_ne",
    "debug_assert",
    "debug_assert_eq",
    "debug_assert_ne",
    "dbg",
    "debug",
    "eprint",
    "eprintln",
    "error",
    "format",
    "info",
    "log",
    "matches",
    "print",
    "println",
    "trace",
    "vec",
    "warn",
    "write",
    "writeln",
    "concat",
    "env",
];
/// Macros that have no value.
const DIVERGING: [&str; 4] = ["panic", "todo", "unimplemented", "unreachable"];

/// Calls `replace` with the content of each box that the function returns. Returns false if the function may
/// return anything but a box made on the spot. The statements are incomplete then.
pub(super) fn replace(
    statements: &mut [Stmt],
    constructor: &'static str,
    replace: &mut dyn FnMut(&mut Expr),
) -> bool {
    let mut boxings = Boxings { constructor, replace, is_complete: true };
    // The contents are replaced last, because the replacement is not the user's code.
    for statement in &mut *statements {
        boxings.visit_stmt_mut(statement);
    }
    boxings.tail(statements);
    boxings.is_complete
}

struct Boxings<'a> {
    constructor: &'static str,
    replace: &'a mut dyn FnMut(&mut Expr),
    is_complete: bool,
}

impl Boxings<'_> {
    /// Finds the boxes in the value of a block.
    fn tail(&mut self, statements: &mut [Stmt]) {
        match statements.last_mut() {
            Some(Stmt::Expr(value, None)) => self.value(value),
            Some(Stmt::Expr(Expr::Return(_), Some(_))) => {}
            Some(Stmt::Macro(invocation)) if is_named(&invocation.mac, &DIVERGING) => {}
            _ => self.is_complete = false,
        }
    }

    /// Finds the boxes in a value that the function returns.
    fn value(&mut self, value: &mut Expr) {
        match value {
            Expr::Call(call) if is_constructor(&call.func, self.constructor) && call.args.len() == 1 => {
                call.args.iter_mut().for_each(&mut *self.replace);
            }
            Expr::Block(block) if block.label.is_none() => self.tail(&mut block.block.stmts),
            Expr::Unsafe(block) => self.tail(&mut block.block.stmts),
            Expr::If(branches) => {
                self.tail(&mut branches.then_branch.stmts);
                match &mut branches.else_branch {
                    Some((_, otherwise)) => self.value(otherwise),
                    None => self.is_complete = false,
                }
            }
            Expr::Match(branches) => branches.arms.iter_mut().for_each(|arm| self.value(&mut arm.body)),
            Expr::Paren(paren) => self.value(&mut paren.expr),
            Expr::Group(group) => self.value(&mut group.expr),
            Expr::Macro(invocation) if is_named(&invocation.mac, &DIVERGING) => {}
            // The search for returns has already handled this `return`.
            Expr::Return(_) => {}
            _ => self.is_complete = false,
        }
    }
}

impl VisitMut for Boxings<'_> {
    fn visit_expr_mut(&mut self, expression: &mut Expr) {
        match expression {
            Expr::Closure(_) | Expr::Async(_) | Expr::Const(_) | Expr::TryBlock(_) => {}
            Expr::Return(returned) => match &mut returned.expr {
                Some(value) => {
                    visit_mut::visit_expr_mut(self, value);
                    self.value(value);
                }
                None => self.is_complete = false,
            },
            Expr::Try(_) => self.is_complete = false,
            _ => visit_mut::visit_expr_mut(self, expression),
        }
    }

    fn visit_macro_mut(&mut self, invocation: &mut Macro) {
        let hides_return = crate::mentions::mentions(
            &invocation.tokens,
            &proc_macro2::Ident::new("return", proc_macro2::Span::call_site()),
        );
        self.is_complete &= !hides_return && does_not_return(invocation);
    }

    fn visit_item_mut(&mut self, _: &mut Item) {}
}

/// Returns whether the macro is known not to return from the function around it.
pub(super) fn does_not_return(invocation: &Macro) -> bool {
    is_named(invocation, &KNOWN) || is_named(invocation, &DIVERGING)
}

fn is_named(invocation: &Macro, names: &[&str]) -> bool {
    let last = invocation.path.segments.last();
    last.is_some_and(|last| names.iter().any(|name| last.ident == name))
}

/// Returns whether the path ends with `Box::pin` or `Box::new`.
fn is_constructor(function: &Expr, constructor: &str) -> bool {
    let Expr::Path(function) = function else { return false };
    let mut segments = function.path.segments.iter().rev();
    segments.next().is_some_and(|last| last.ident == constructor)
        && segments.next().is_some_and(|boxed| boxed.ident == "Box")
}
