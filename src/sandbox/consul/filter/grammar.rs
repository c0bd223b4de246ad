//! The grammar of filter expressions, read as Consul's own parser reads it: an ordered choice that remembers
//! what it expected at the farthest place it came to, because the error says so.

use std::collections::BTreeSet;

/// What a comparison does; the names are those of Consul's errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    In,
    NotIn,
    IsEmpty,
    IsNotEmpty,
    Matches,
    NotMatches,
}

impl Operator {
    pub fn name(self) -> &'static str {
        match self {
            Operator::Equal => "Equal",
            Operator::NotEqual => "Not Equal",
            Operator::In => "In",
            Operator::NotIn => "Not In",
            Operator::IsEmpty => "Is Empty",
            Operator::IsNotEmpty => "Is Not Empty",
            Operator::Matches => "Matches",
            Operator::NotMatches => "Not Matches",
        }
    }
}

/// A parsed expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expression {
    Not(Box<Expression>),
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
    Match {
        selector: Vec<String>,
        operator: Operator,
        value: String,
    },
}

const SPACE: &str = "[ \\t\\r\\n]";

/// Reads a whole expression.
///
/// # Errors
/// The parser's sentence with line, column and offset.
pub(super) fn parse(text: &str) -> Result<Expression, String> {
    let mut reader = Reader {
        text,
        at: 0,
        farthest: 0,
        expected: BTreeSet::new(),
        refused: None,
    };
    let read = reader.input();
    match (read, reader.refused.take()) {
        (_, Some((at, rule, why))) => Err(format!("{}: rule {rule:?}: {why}", place(text, at))),
        (Some(expression), None) => Ok(expression),
        (None, None) => Err(reader.complaint()),
    }
}

fn place(text: &str, at: usize) -> String {
    let before = &text.as_bytes()[..at.min(text.len())];
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    let column = 1 + before
        .iter()
        .rev()
        .take_while(|byte| **byte != b'\n')
        .count();
    format!("{line}:{column} ({at})")
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
    farthest: usize,
    expected: BTreeSet<String>,
    /// Offset, rule and reason of an error that is no matter of what was expected.
    refused: Option<(usize, &'static str, &'static str)>,
}

impl Reader<'_> {
    fn complaint(&self) -> String {
        let mut wanted: Vec<&str> = self
            .expected
            .iter()
            .map(String::as_str)
            .filter(|want| *want != "EOF")
            .collect();
        if self.expected.contains("EOF") {
            wanted.push("EOF");
        }
        let list = match wanted.split_last() {
            None => String::new(),
            Some((only, [])) => (*only).to_owned(),
            Some((last, others)) => format!("{} or {last}", others.join(", ")),
        };
        format!(
            "{}: no match found, expected: {list}",
            place(self.text, self.farthest)
        )
    }

    fn missed(&mut self, wanted: &str) {
        if self.at > self.farthest {
            self.farthest = self.at;
            self.expected.clear();
        }
        if self.at == self.farthest {
            self.expected.insert(wanted.to_owned());
        }
    }

    fn refuse(&mut self, rule: &'static str, why: &'static str) {
        self.refused.get_or_insert((self.at, rule, why));
    }

    fn rest(&self) -> &str {
        &self.text[self.at..]
    }

    fn literal(&mut self, wanted: &str) -> Option<()> {
        if self.rest().starts_with(wanted) {
            self.at += wanted.len();
            return Some(());
        }
        self.missed(&format!("{wanted:?}"));
        None
    }

    fn one(&mut self, shown: &str, of: impl Fn(char) -> bool) -> Option<()> {
        match self.rest().chars().next().filter(|next| of(*next)) {
            Some(next) => {
                self.at += next.len_utf8();
                Some(())
            }
            None => {
                self.missed(shown);
                None
            }
        }
    }

    fn space(&mut self) -> Option<()> {
        let is_space = |next: char| matches!(next, ' ' | '\t' | '\r' | '\n');
        self.one(SPACE, is_space)?;
        while self.one(SPACE, is_space).is_some() {}
        Some(())
    }

    fn maybe_space(&mut self) -> Option<()> {
        self.space();
        Some(())
    }

    fn end(&mut self) -> Option<()> {
        if self.rest().is_empty() {
            return Some(());
        }
        self.missed("EOF");
        None
    }

    /// Tries a rule; a failure gives back what it had read.
    fn attempt<T>(&mut self, rule: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let start = self.at;
        let read = rule(self);
        if read.is_none() {
            self.at = start;
        }
        read
    }

    fn input(&mut self) -> Option<Expression> {
        let grouped = self.attempt(|this| {
            this.maybe_space()?;
            this.literal("(")?;
            this.maybe_space()?;
            let inner = this.or()?;
            this.maybe_space()?;
            this.literal(")")?;
            this.maybe_space()?;
            this.end()?;
            Some(inner)
        });
        if grouped.is_some() {
            return grouped;
        }
        self.attempt(|this| {
            this.maybe_space()?;
            let inner = this.or()?;
            this.maybe_space()?;
            this.end()?;
            Some(inner)
        })
    }

    fn or(&mut self) -> Option<Expression> {
        let left = self.and()?;
        let right = self.attempt(|this| {
            this.space()?;
            this.literal("or")?;
            this.space()?;
            this.or()
        });
        Some(match right {
            Some(right) => Expression::Or(Box::new(left), Box::new(right)),
            None => left,
        })
    }

    fn and(&mut self) -> Option<Expression> {
        let left = self.not()?;
        let right = self.attempt(|this| {
            this.space()?;
            this.literal("and")?;
            this.space()?;
            this.and()
        });
        Some(match right {
            Some(right) => Expression::And(Box::new(left), Box::new(right)),
            None => left,
        })
    }

    fn not(&mut self) -> Option<Expression> {
        let negated = self.attempt(|this| {
            this.literal("not")?;
            this.space()?;
            this.not()
        });
        match negated {
            Some(inner) => Some(Expression::Not(Box::new(inner))),
            None => self.group(),
        }
    }

    fn group(&mut self) -> Option<Expression> {
        let grouped = self.attempt(|this| {
            this.literal("(")?;
            this.maybe_space()?;
            let inner = this.or()?;
            this.maybe_space()?;
            if this.literal(")").is_none() {
                this.refuse("grouping", "Unmatched parentheses");
                return None;
            }
            Some(inner)
        });
        match grouped {
            Some(inner) => Some(inner),
            None => self
                .attempt(Self::selector_first)
                .or_else(|| self.attempt(Self::value_first)),
        }
    }

    fn selector_first(&mut self) -> Option<Expression> {
        let selector = self.selector()?;
        let compared = self.attempt(|this| {
            let operator = this.comparison()?;
            Some((operator, this.value()?))
        });
        let (operator, value) = match compared {
            Some(both) => both,
            None => (self.emptiness()?, String::new()),
        };
        Some(Expression::Match {
            selector,
            operator,
            value,
        })
    }

    fn value_first(&mut self) -> Option<Expression> {
        let value = self.value()?;
        let operator = self.worded(
            &[(&["in"], Operator::In), (&["not", "in"], Operator::NotIn)],
            true,
        )?;
        let selector = self.selector()?;
        Some(Expression::Match {
            selector,
            operator,
            value,
        })
    }

    fn comparison(&mut self) -> Option<Operator> {
        for (sign, operator) in [("==", Operator::Equal), ("!=", Operator::NotEqual)] {
            let found = self.attempt(|this| {
                this.maybe_space()?;
                this.literal(sign)?;
                this.maybe_space()
            });
            if found.is_some() {
                return Some(operator);
            }
        }
        let words: [(&[&str], Operator); 4] = [
            (&["contains"], Operator::In),
            (&["not", "contains"], Operator::NotIn),
            (&["matches"], Operator::Matches),
            (&["not", "matches"], Operator::NotMatches),
        ];
        self.worded(&words, true)
    }

    fn emptiness(&mut self) -> Option<Operator> {
        let words: [(&[&str], Operator); 2] = [
            (&["is", "empty"], Operator::IsEmpty),
            (&["is", "not", "empty"], Operator::IsNotEmpty),
        ];
        self.worded(&words, false)
    }

    /// One of several operators of words, each behind a space, and a space behind the last where `closed`.
    fn worded(&mut self, choices: &[(&[&str], Operator)], closed: bool) -> Option<Operator> {
        choices.iter().find_map(|(words, operator)| {
            self.attempt(|this| {
                for word in *words {
                    this.space()?;
                    this.literal(word)?;
                }
                if closed {
                    this.space()?;
                }
                Some(*operator)
            })
        })
    }

    fn selector(&mut self) -> Option<Vec<String>> {
        self.attempt(|this| {
            let mut path = vec![this.identifier()?];
            loop {
                let next = this.attempt(|this| {
                    this.literal(".")?;
                    this.identifier()
                });
                let next = next.or_else(|| {
                    this.attempt(|this| {
                        this.literal("[")?;
                        this.maybe_space()?;
                        let Some(key) = this.string() else {
                            this.refuse("index", "Invalid index");
                            return None;
                        };
                        this.maybe_space()?;
                        this.literal("]")?;
                        Some(key)
                    })
                });
                match next {
                    Some(part) => path.push(part),
                    None => return Some(path),
                }
            }
        })
    }

    fn identifier(&mut self) -> Option<String> {
        let start = self.at;
        self.one("[a-zA-Z]", |next| next.is_ascii_alphabetic())?;
        while self
            .one("[a-zA-Z0-9_]", |next| {
                next.is_ascii_alphanumeric() || next == '_'
            })
            .is_some()
        {}
        Some(self.text[start..self.at].to_owned())
    }

    fn value(&mut self) -> Option<String> {
        if let Some(path) = self.selector() {
            return Some(path.join("."));
        }
        self.attempt(Self::number)
            .or_else(|| self.attempt(Self::string))
    }

    fn number(&mut self) -> Option<String> {
        let start = self.at;
        self.literal("-");
        if self.literal("0").is_none() {
            self.one("[1-9]", |next| matches!(next, '1'..='9'))?;
            while self.one("[0-9]", |next| next.is_ascii_digit()).is_some() {}
        }
        self.attempt(|this| {
            this.literal(".")?;
            this.one("[0-9]", |next| next.is_ascii_digit())?;
            while this.one("[0-9]", |next| next.is_ascii_digit()).is_some() {}
            Some(())
        });
        let end = self.at;
        let closed = self.space().is_some() || self.end().is_some() || self.literal(")").is_some();
        self.at = end;
        if !closed {
            self.refuse("number", "Invalid number literal");
        }
        Some(self.text[start..end].to_owned())
    }

    fn string(&mut self) -> Option<String> {
        for quote in ["`", "\""] {
            if self.literal(quote).is_none() {
                continue;
            }
            let start = self.at;
            match self.rest().find(quote) {
                Some(length) => {
                    self.at += length + 1;
                    return Some(self.text[start..start + length].to_owned());
                }
                None => {
                    self.at = self.text.len();
                    self.refuse("string", "Unterminated string literal");
                    return None;
                }
            }
        }
        None
    }
}
