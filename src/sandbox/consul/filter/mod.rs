//! `?filter=`: expressions over the fields of an answer, as Consul's go-bexpr evaluates them.

mod fields;
mod grammar;

use regex::Regex;
use serde::Serialize;
use serde_json::Value;

use fields::Kind;
pub use fields::{CHECK, Field, HEALTH, INSTANCE, NODE, SERVICE};
use grammar::{Expression, Operator};

/// A filter that fits the fields of what it is used on.
#[derive(Debug)]
pub struct Filter {
    test: Test,
}

#[derive(Debug)]
enum Test {
    Not(Box<Test>),
    And(Box<Test>, Box<Test>),
    Or(Box<Test>, Box<Test>),
    One(Condition),
}

#[derive(Debug)]
struct Condition {
    path: Vec<String>,
    /// Which part of the path is a map's free key.
    free: Option<usize>,
    kind: Kind,
    operator: Operator,
    value: Operand,
}

#[derive(Debug)]
enum Operand {
    Nothing,
    Text(String),
    Json(Value),
    Pattern(Regex),
}

impl Filter {
    /// Reads an expression over `fields`; an empty one filters nothing.
    ///
    /// # Errors
    /// Consul's sentence: what was expected where, a selector that is not there, an operator that does not fit it.
    pub fn read(text: &str, fields: &[Field]) -> Result<Option<Filter>, String> {
        if text.is_empty() {
            return Ok(None);
        }
        let test = check(grammar::parse(text)?, fields)?;
        Ok(Some(Filter { test }))
    }

    /// True when the record's JSON satisfies the expression.
    pub fn keeps(&self, record: &impl Serialize) -> bool {
        serde_json::to_value(record).is_ok_and(|record| self.test.holds(&record))
    }
}

fn check(expression: Expression, fields: &[Field]) -> Result<Test, String> {
    Ok(match expression {
        Expression::Not(inner) => Test::Not(Box::new(check(*inner, fields)?)),
        Expression::And(left, right) => Test::And(
            Box::new(check(*left, fields)?),
            Box::new(check(*right, fields)?),
        ),
        Expression::Or(left, right) => Test::Or(
            Box::new(check(*left, fields)?),
            Box::new(check(*right, fields)?),
        ),
        Expression::Match {
            selector,
            operator,
            value,
        } => Test::One(condition(selector, operator, value, fields)?),
    })
}

fn condition(
    path: Vec<String>,
    operator: Operator,
    value: String,
    fields: &[Field],
) -> Result<Condition, String> {
    let (kind, free) = fields::kind_of(&path, fields)?;
    let selector = path.join(".");
    if !kind.takes(operator) {
        return Err(format!(
            "Invalid match operator {:?} for selector {selector:?}",
            operator.name()
        ));
    }
    let unfit = |parser: &str| {
        format!(
            "Failed to coerce value {value:?} for selector {selector:?}: strconv.{parser}: parsing {value:?}: invalid syntax"
        )
    };
    let value = match (operator, kind) {
        (Operator::IsEmpty | Operator::IsNotEmpty, _) => Operand::Nothing,
        (Operator::Matches | Operator::NotMatches, _) => {
            Operand::Pattern(Regex::new(&value).map_err(|error| bad_pattern(&value, &error))?)
        }
        (_, Kind::Int) => Operand::Json(Value::from(
            value.parse::<i64>().map_err(|_| unfit("ParseInt"))?,
        )),
        (_, Kind::Bool) => match value.as_str() {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Operand::Json(Value::from(true)),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Operand::Json(Value::from(false)),
            _ => return Err(unfit("ParseBool")),
        },
        _ => Operand::Text(value),
    };
    Ok(Condition {
        path,
        free,
        kind,
        operator,
        value,
    })
}

fn bad_pattern(pattern: &str, error: &regex::Error) -> String {
    // Go names the open bracket; of others the parser here has its own words.
    let open = pattern
        .rfind('[')
        .filter(|at| !pattern[*at..].contains(']'));
    let why = match open {
        Some(at) => format!("missing closing ]: `{}`", &pattern[at..]),
        None => error
            .to_string()
            .lines()
            .last()
            .unwrap_or_default()
            .to_owned(),
    };
    format!("Failed to compile regular expression {pattern:?}: error parsing regexp: {why}")
}

impl Test {
    fn holds(&self, record: &Value) -> bool {
        match self {
            Test::Not(inner) => !inner.holds(record),
            Test::And(left, right) => left.holds(record) && right.holds(record),
            Test::Or(left, right) => left.holds(record) || right.holds(record),
            Test::One(condition) => condition.holds(record, &condition.path),
        }
    }
}

impl Condition {
    /// Of a list of records, one that holds is enough.
    fn holds(&self, at: &Value, path: &[String]) -> bool {
        let Some((first, rest)) = path.split_first() else {
            return self.compares(at);
        };
        if let Value::Array(items) = at {
            return items.iter().any(|item| self.holds(item, path));
        }
        match at.get(first) {
            Some(inner) => self.holds(inner, rest),
            // A field that JSON leaves out is empty; what a map has not is nothing at all, whatever is asked of it.
            None if self
                .free
                .is_none_or(|free| free < self.path.len() - path.len()) =>
            {
                self.compares(&Value::Null)
            }
            None => !matches!(
                self.operator,
                Operator::Equal | Operator::In | Operator::IsEmpty
            ),
        }
    }

    fn compares(&self, found: &Value) -> bool {
        match self.operator {
            Operator::Equal => self.equals(found),
            Operator::NotEqual => !self.equals(found),
            Operator::In => self.contains(found),
            Operator::NotIn => !self.contains(found),
            Operator::IsEmpty => is_empty(found),
            Operator::IsNotEmpty => !is_empty(found),
            Operator::Matches => self.matches(found),
            Operator::NotMatches => !self.matches(found),
        }
    }

    fn equals(&self, found: &Value) -> bool {
        match &self.value {
            Operand::Text(text) => found.as_str().unwrap_or("") == text,
            Operand::Json(value) => match (found, self.kind) {
                (Value::Null, Kind::Int) => value.as_i64() == Some(0),
                (Value::Null, _) => value.as_bool() == Some(false),
                _ => found == value,
            },
            _ => false,
        }
    }

    fn contains(&self, found: &Value) -> bool {
        let Operand::Text(text) = &self.value else {
            return false;
        };
        match found {
            Value::Array(items) => items.iter().any(|item| item.as_str() == Some(text)),
            Value::Object(fields) => fields.contains_key(text),
            other => other.as_str().unwrap_or("").contains(text.as_str()),
        }
    }

    fn matches(&self, found: &Value) -> bool {
        match &self.value {
            Operand::Pattern(pattern) => pattern.is_match(found.as_str().unwrap_or("")),
            _ => false,
        }
    }
}

fn is_empty(found: &Value) -> bool {
    match found {
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_select_by_fields_lists_and_maps() {
        let record = serde_json::json!({
            "Node": {"Node": "a", "Meta": {"k": "v"}}, "Service": {"ID": "w1", "Port": 80, "Tags": ["x"]},
            "Checks": [{"Status": "passing"}, {"Status": "warning"}],
        });
        for (text, holds) in [
            ("Service.ID == w1 and Service.Port == 80", true),
            ("Service.ID == w2 or x in Service.Tags", true),
            ("not (Service.Tags contains x)", false),
            ("Node.Meta.k == v and Node.Meta.other != v", true),
            ("Checks.Status == warning", true),
            ("Checks.Status != passing", true),
            ("Service.ID matches \"^w[0-9]$\"", true),
            ("Service.Meta is empty", true),
        ] {
            let filter = Filter::read(text, HEALTH).unwrap().unwrap();
            assert_eq!(filter.keeps(&record), holds, "{text}");
        }
    }

    #[test]
    fn an_expression_that_breaks_off_says_where_and_what_was_expected() {
        let said = Filter::read("Service.ID =", HEALTH).unwrap_err();
        assert_eq!(
            said,
            r#"1:12 (11): no match found, expected: "!=", "==", "contains", "in", "is", "matches", "not" or [ \t\r\n]"#
        );
    }
}
