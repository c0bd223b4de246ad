//! Values in a job file: literals, templates, `var.…` and `local.…`.

use super::arithmetic;
use super::error::ParseError;
use super::shape::Kind;
use hcl::eval::{Context, Evaluate};
use hcl_edit::Span;
use hcl_edit::expr::{Expression, ObjectKey};
use hcl_edit::structure::{Block, Body, Structure};
use hcl_edit::template::{Element, Template};
use serde_json::{Map, Value};
use std::ops::Range;

pub(super) struct Reader<'a> {
    pub source: &'a str,
    context: Context<'static>,
}

impl<'a> Reader<'a> {
    /// A reader that knows the file's variables and locals.
    pub fn new(source: &'a str, body: &Body) -> Result<Self, ParseError> {
        let mut reader = Reader {
            source,
            context: Context::new(),
        };
        let named = |name: &'static str| {
            body.iter()
                .filter_map(Structure::as_block)
                .filter(move |b| b.ident.as_str() == name)
        };
        let mut variables = hcl::Map::new();
        for block in named("variable") {
            let (name, value) = reader.variable(block)?;
            variables.insert(name, value);
        }
        reader.context.declare_var("var", variables);
        let mut locals = hcl::Map::new();
        for attribute in named("locals")
            .flat_map(|b| b.body.iter())
            .filter_map(Structure::as_attribute)
        {
            let value = reader.value(&attribute.value)?;
            locals.insert(attribute.key.as_str().to_string(), reader.to_hcl(&value));
            reader.context.declare_var("local", locals.clone());
        }
        Ok(reader)
    }

    fn variable(&self, block: &Block) -> Result<(String, hcl::Value), ParseError> {
        let name = block.labels.first().map_or("", |l| l.as_str()).to_string();
        let default = block
            .body
            .iter()
            .filter_map(Structure::as_attribute)
            .find(|a| a.key.as_str() == "default");
        let Some(default) = default else {
            let detail =
                format!("The variable {name:?} has no default, and no value was given for it.");
            return Err(self.wrong(block.ident.span(), "Unset variable", detail));
        };
        let value = self.value(&default.value)?;
        Ok((name, self.to_hcl(&value)))
    }

    fn to_hcl(&self, value: &Value) -> hcl::Value {
        hcl::to_value(value).unwrap_or(hcl::Value::Null)
    }

    /// The expression's value, read as `kind`.
    pub fn typed(&self, expression: &Expression, kind: Kind) -> Result<Value, ParseError> {
        let value = self.value(expression)?;
        let span = expression.span();
        let expected = |what: &str| {
            self.wrong(
                span.clone(),
                "Incorrect attribute value type",
                format!("Inappropriate value: {what} required."),
            )
        };
        Ok(match (kind, value) {
            (_, Value::Null) => Value::Null,
            (Kind::Free, v) => v,
            (Kind::Text, v) => as_text(&v).ok_or_else(|| expected("string"))?.into(),
            (Kind::Int, Value::Number(n)) => match n.as_i64() {
                Some(whole) => whole.into(),
                None => {
                    let detail = "Unsuitable value: value must be a whole number, between -9223372036854775808 and 9223372036854775807";
                    return Err(self.wrong(span.clone(), "Unsuitable value type", detail));
                }
            },
            (Kind::Int, Value::String(s)) => s
                .trim()
                .parse::<i64>()
                .map_err(|_| expected("number"))?
                .into(),
            (Kind::Truth, Value::Bool(b)) => b.into(),
            (Kind::Truth, Value::String(s)) => {
                s.parse::<bool>().map_err(|_| expected("bool"))?.into()
            }
            (Kind::Nanos, Value::Number(n)) => n.into(),
            (Kind::Nanos, Value::String(s)) => {
                let detail = format!(
                    "{s:?} is not a duration; write it like \"90s\", \"1m30s\" or \"250ms\"."
                );
                go_duration(&s)
                    .ok_or_else(|| self.wrong(span.clone(), "Unsuitable value type", detail))?
                    .into()
            }
            (Kind::Texts, Value::Array(items)) => {
                let texts: Option<Vec<Value>> =
                    items.iter().map(|v| as_text(v).map(Value::from)).collect();
                texts.ok_or_else(|| expected("list of string"))?.into()
            }
            (Kind::TextMap, Value::Object(map)) => {
                let texts: Option<Map<String, Value>> = map
                    .into_iter()
                    .map(|(k, v)| Some((k, as_text(&v)?.into())))
                    .collect();
                texts.ok_or_else(|| expected("map of string"))?.into()
            }
            (kind, _) => return Err(expected(name_of(kind))),
        })
    }

    fn value(&self, expression: &Expression) -> Result<Value, ParseError> {
        Ok(match expression {
            Expression::Null(_) => Value::Null,
            Expression::Bool(b) => (*b.value()).into(),
            Expression::String(s) => s.value().as_str().into(),
            Expression::Array(array) => array
                .iter()
                .map(|e| self.value(e))
                .collect::<Result<Vec<_>, _>>()?
                .into(),
            Expression::Object(object) => {
                let mut map = Map::new();
                for (key, value) in object.iter() {
                    let key = match key {
                        ObjectKey::Ident(ident) => ident.as_str().to_string(),
                        ObjectKey::Expression(e) => as_text(&self.value(e)?).unwrap_or_default(),
                    };
                    map.insert(key, self.value(value.expr())?);
                }
                map.into()
            }
            Expression::StringTemplate(template) => self.template(template)?.into(),
            Expression::HeredocTemplate(heredoc) => {
                let mut heredoc = heredoc.clone();
                heredoc.dedent();
                self.template(&heredoc.template)?.into()
            }
            Expression::Parenthesis(inner) => self.value(inner.inner())?,
            other => self.evaluate(other)?,
        })
    }

    fn template(&self, template: &Template) -> Result<String, ParseError> {
        let mut out = String::new();
        for element in template.iter() {
            match element {
                Element::Literal(text) => out.push_str(text),
                Element::Interpolation(i) if is_ours(&i.expr) => {
                    out.push_str(&as_text(&self.value(&i.expr)?).unwrap_or_default())
                }
                Element::Interpolation(i) => {
                    let text = i.expr.span().and_then(|s| self.source.get(s)).unwrap_or("");
                    out.push_str(&format!("${{{}}}", text.trim()));
                }
                Element::Directive(d) => {
                    return Err(self.wrong(
                        d.span(),
                        "Unsupported template directive",
                        "Only ${…} is understood in a job file here.",
                    ));
                }
            }
        }
        Ok(out)
    }

    fn evaluate(&self, expression: &Expression) -> Result<Value, ParseError> {
        arithmetic::possible(expression, &self.context).map_err(|e| {
            let detail = format!("Error during operation: {}.", e.why);
            self.wrong(e.span, "Operation failed", detail)
        })?;
        let hcl: hcl::Expression = expression.clone().into();
        let value = hcl
            .evaluate(&self.context)
            .map_err(|e| self.wrong(expression.span(), "Unsuitable value", e.to_string()))?;
        serde_json::to_value(value)
            .map_err(|e| self.wrong(expression.span(), "Unsuitable value", e.to_string()))
    }

    fn wrong(
        &self,
        span: Option<Range<usize>>,
        summary: &str,
        detail: impl Into<String>,
    ) -> ParseError {
        ParseError::at(self.source, span.unwrap_or(0..0), summary, detail)
    }
}

/// Whether the parser knows the value: all but names that Nomad's client fills in at run time.
fn is_ours(expression: &Expression) -> bool {
    let root = |e: &Expression| matches!(e, Expression::Variable(v) if ["var", "local"].contains(&v.as_str()));
    match expression {
        Expression::Variable(_) => root(expression),
        Expression::Traversal(t) => root(&t.expr),
        _ => true,
    }
}

fn as_text(v: &Value) -> Option<String> {
    match v {
        Value::String(s) => Some(s.clone()),
        Value::Number(n) => Some(n.to_string()),
        Value::Bool(b) => Some(b.to_string()),
        _ => None,
    }
}

fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Text => "string",
        Kind::Int => "number",
        Kind::Truth => "bool",
        Kind::Nanos => "duration",
        Kind::Texts => "list of string",
        Kind::TextMap | Kind::Free => "map",
    }
}

/// Go's `time.ParseDuration`, in nanoseconds.
pub(in super::super) fn go_duration(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut nanos = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let units = [
            ("ns", 1.0),
            ("us", 1e3),
            ("µs", 1e3),
            ("ms", 1e6),
            ("s", 1e9),
            ("m", 60e9),
            ("h", 3600e9),
        ];
        let (unit, size) = units.into_iter().find(|(unit, _)| rest.starts_with(unit))?;
        rest = &rest[unit.len()..];
        nanos += number * size;
    }
    (!text.is_empty()).then_some((sign * nanos) as i64)
}
