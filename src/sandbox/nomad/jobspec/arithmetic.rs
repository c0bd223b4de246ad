//! Arithmetic in a job file, looked at before the HCL library does it: the library stops the process where a result does not fit.

use hcl::eval::{Context, Evaluate};
use hcl::{Number, Value};
use hcl_edit::Span;
use hcl_edit::expr::{BinaryOp, BinaryOperator, Expression};
use hcl_edit::visit::{Visit, visit_binary_op};
use std::ops::Range;

/// What cannot be computed, and where.
pub(super) struct Impossible {
    pub span: Option<Range<usize>>,
    pub why: String,
}

/// # Errors
/// The innermost sum, difference, product, quotient or remainder that is no number, does not fit into 64 bits, or is of something
/// known to a `for` alone. In a branch that is not taken too.
pub(super) fn possible(expression: &Expression, context: &Context) -> Result<(), Impossible> {
    let mut looker = Looker {
        context,
        found: None,
    };
    looker.visit_expr(expression);
    looker.found.map_or(Ok(()), Err)
}

struct Looker<'a> {
    context: &'a Context<'a>,
    found: Option<Impossible>,
}

impl Visit for Looker<'_> {
    fn visit_binary_op(&mut self, node: &BinaryOp) {
        // The operands first: only what was found possible is evaluated.
        visit_binary_op(self, node);
        let operator = *node.operator.value();
        if self.found.is_some() || !is_arithmetic(operator) {
            return;
        }
        let value = |e: &Expression| {
            let e: hcl::Expression = e.clone().into();
            e.evaluate(self.context).map_err(|e| e.to_string())
        };
        let found = match (value(&node.lhs_expr), value(&node.rhs_expr)) {
            (Ok(Value::Number(a)), Ok(Value::Number(b))) if !fits(&a, operator, &b) => Some(
                format!("{a} {} {b} is no number of 64 bits", operator.as_str()),
            ),
            (Err(why), _) | (_, Err(why)) => Some(why),
            // Operands that are no numbers are the library's to refuse.
            _ => None,
        };
        self.found = found.map(|why| Impossible {
            span: node.lhs_expr.span(),
            why,
        });
    }
}

fn is_arithmetic(operator: BinaryOperator) -> bool {
    use BinaryOperator::{Div, Minus, Mod, Mul, Plus};
    matches!(operator, Plus | Minus | Mul | Div | Mod)
}

fn fits(a: &Number, operator: BinaryOperator, b: &Number) -> bool {
    use BinaryOperator::{Div, Minus, Mod, Mul, Plus};
    if let (Some(a), Some(b)) = (a.as_i64(), b.as_i64()) {
        let result = match operator {
            Plus => a.checked_add(b),
            Minus => a.checked_sub(b),
            Mul => a.checked_mul(b),
            Mod => a.checked_rem(b),
            // Quotients are computed with fractions.
            _ => return b != 0,
        };
        return result.is_some();
    }
    let large = |n: &Number| n.as_u64().is_some() && n.as_i64().is_none();
    let (Some(x), Some(y)) = (a.as_f64(), b.as_f64()) else {
        return false;
    };
    match operator {
        Div => (x / y).is_finite(),
        // Whole numbers that are too large to have a sign.
        _ if large(a) || large(b) => false,
        Plus => (x + y).is_finite(),
        Minus => (x - y).is_finite(),
        Mul => (x * y).is_finite(),
        _ => (x % y).is_finite(),
    }
}
