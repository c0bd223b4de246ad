//! Reads HCL blocks with the place of everything in hand: wrong types, missing and unknown keys are told with line and column.

use super::Error;
use crate::model::Span as Time;
use hcl_edit::Span as _;
use hcl_edit::expr::Expression;
use hcl_edit::structure::{Block, Body, Structure};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ops::Range;

/// A parsed file.
pub struct Document {
    file: String,
    text: String,
    body: Body,
}

impl Document {
    pub fn parse(file: &str, text: &str) -> Result<Document, Error> {
        let body = hcl_edit::parser::parse_body(text).map_err(|e| Error::At {
            file: file.to_string(),
            line: e.location().line(),
            column: e.location().column(),
            message: format!("{} in `{}`", e.message(), e.line().trim()),
        })?;
        Ok(Document {
            file: file.to_string(),
            text: text.to_string(),
            body,
        })
    }
    pub fn root(&self) -> Section<'_> {
        Section {
            document: self,
            body: &self.body,
            name: "the file".to_string(),
            label: None,
            span: 0..0,
            asked: RefCell::default(),
        }
    }
    /// Line and column, from 1.
    fn place(&self, span: &Range<usize>) -> (usize, usize) {
        let before = &self.text[..span.start.min(self.text.len())];
        let begins = before.rfind('\n').map_or(0, |i| i + 1);
        (before.matches('\n').count() + 1, before.len() - begins + 1)
    }
    fn error(&self, span: Range<usize>, message: String) -> Error {
        let (line, column) = self.place(&span);
        Error::At {
            file: self.file.clone(),
            line,
            column,
            message,
        }
    }
}

/// One block, or the file itself. It notes what it was asked for, so that what nobody asked for can be told.
pub struct Section<'a> {
    document: &'a Document,
    body: &'a Body,
    name: String,
    label: Option<String>,
    span: Range<usize>,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Section<'a> {
    pub fn label(&self) -> Result<&str, Error> {
        self.label.as_deref().ok_or_else(|| {
            self.wrong(format!(
                "{} needs a name: {} \"…\" {{ … }}",
                self.name, self.name
            ))
        })
    }
    pub fn wrong(&self, message: String) -> Error {
        self.document.error(self.span.clone(), message)
    }

    /// A path in the file, from the file's own folder.
    pub fn beside(&self, path: &str) -> String {
        let folder = std::path::Path::new(&self.document.file).parent();
        let joined = folder.map_or_else(|| path.into(), |f| f.join(path));
        joined.display().to_string()
    }

    pub fn blocks(&self, name: &'static str) -> Vec<Section<'a>> {
        self.asked.borrow_mut().insert(name);
        let of = |block: &'a Block| Section {
            document: self.document,
            body: &block.body,
            name: name.to_string(),
            label: block.labels.first().map(|l| l.as_str().to_string()),
            span: block.span().unwrap_or(0..0),
            asked: RefCell::default(),
        };
        self.body
            .blocks()
            .filter(|b| b.has_ident(name))
            .map(of)
            .collect()
    }
    /// The block of that name, if there is one; a second one is an error.
    pub fn block(&self, name: &'static str) -> Result<Option<Section<'a>>, Error> {
        let mut found = self.blocks(name);
        match found.len() {
            0 | 1 => Ok(found.pop()),
            _ => Err(found[1].wrong(format!("a second block {name}; one is expected"))),
        }
    }

    fn expression(&self, key: &'static str) -> Option<&'a Expression> {
        self.asked.borrow_mut().insert(key);
        self.body.get_attribute(key).map(|a| &a.value)
    }
    fn expected(&self, key: &str, value: &Expression, what: &str) -> Error {
        let span = value.span().unwrap_or(self.span.clone());
        self.document.error(span, format!("{key} must be {what}"))
    }
    fn span_of(&self, key: &'static str) -> Range<usize> {
        let value = self.expression(key).and_then(|e| e.span());
        value.unwrap_or(self.span.clone())
    }
    pub fn bad(&self, key: &'static str, message: String) -> Error {
        self.document.error(self.span_of(key), message)
    }
    /// Line and column of a key's value.
    pub fn place(&self, key: &'static str) -> (usize, usize) {
        self.document.place(&self.span_of(key))
    }
    pub fn missing(&self, key: &str, what: &str) -> Error {
        self.wrong(format!("{} lacks {key} ({what})", self.name))
    }

    pub fn string(&self, key: &'static str) -> Result<Option<String>, Error> {
        self.expression(key)
            .map(|e| {
                e.as_str()
                    .map(str::to_string)
                    .ok_or_else(|| self.expected(key, e, "a string"))
            })
            .transpose()
    }
    /// One of some names; another is an error that suggests the nearest.
    pub fn one_of(
        &self,
        key: &'static str,
        names: &[&'static str],
    ) -> Result<Option<&'static str>, Error> {
        let Some(given) = self.string(key)? else {
            return Ok(None);
        };
        let known = names.iter().find(|n| **n == given);
        known.map(|n| Some(*n)).ok_or_else(|| {
            let all = names.join("\", \"");
            let hint = nearest(&given, names.iter().copied())
                .map_or_else(String::new, |n| format!("; did you mean \"{n}\"?"));
            self.bad(
                key,
                format!("{key} must be one of \"{all}\", not \"{given}\"{hint}"),
            )
        })
    }
    /// One string, or a list of them.
    pub fn one_or_more(&self, key: &'static str) -> Result<Option<Vec<String>>, Error> {
        match self.expression(key) {
            Some(e) if e.is_array() => self.strings(key),
            _ => Ok(self.string(key)?.map(|one| vec![one])),
        }
    }
    pub fn strings(&self, key: &'static str) -> Result<Option<Vec<String>>, Error> {
        let what = "a list of strings";
        let Some(e) = self.expression(key) else {
            return Ok(None);
        };
        let list = e.as_array().ok_or_else(|| self.expected(key, e, what))?;
        list.iter()
            .map(|item| {
                item.as_str()
                    .map(str::to_string)
                    .ok_or_else(|| self.expected(key, item, what))
            })
            .collect::<Result<Vec<_>, _>>()
            .map(Some)
    }
    /// The folder of the file: paths in it are meant from there.
    pub fn folder(&self) -> &std::path::Path {
        let file = std::path::Path::new(&self.document.file);
        file.parent().unwrap_or(std::path::Path::new(""))
    }
    pub fn boolean(&self, key: &'static str) -> Result<Option<bool>, Error> {
        self.expression(key)
            .map(|e| {
                e.as_bool()
                    .ok_or_else(|| self.expected(key, e, "true or false"))
            })
            .transpose()
    }
    pub fn number(
        &self,
        key: &'static str,
        range: std::ops::RangeInclusive<f64>,
    ) -> Result<Option<f64>, Error> {
        let Some(e) = self.expression(key) else {
            return Ok(None);
        };
        let what = format!("a number from {} to {}", range.start(), range.end());
        let n = e
            .as_number()
            .and_then(|n| n.as_f64())
            .ok_or_else(|| self.expected(key, e, &what))?;
        range
            .contains(&n)
            .then_some(Some(n))
            .ok_or_else(|| self.expected(key, e, &format!("{what}, not {n}")))
    }
    pub fn numbers(
        &self,
        key: &'static str,
        range: std::ops::RangeInclusive<f64>,
    ) -> Result<Option<Vec<f64>>, Error> {
        let Some(e) = self.expression(key) else {
            return Ok(None);
        };
        let what = format!(
            "a list of numbers from {} to {}",
            range.start(),
            range.end()
        );
        let list = e.as_array().ok_or_else(|| self.expected(key, e, &what))?;
        list.iter()
            .map(|item| {
                item.as_number()
                    .and_then(|n| n.as_f64())
                    .filter(|n| range.contains(n))
                    .ok_or_else(|| self.expected(key, item, &what))
            })
            .collect::<Result<Vec<_>, _>>()
            .map(Some)
    }
    /// A length of time as Nomad writes it: `"1m30s"`, `"250ms"`, `"24h"`.
    pub fn time(&self, key: &'static str) -> Result<Option<Time>, Error> {
        let Some(e) = self.expression(key) else {
            return Ok(None);
        };
        e.as_str().and_then(duration).map(Some).ok_or_else(|| {
            self.expected(
                key,
                e,
                "a length of time such as \"30s\", \"5m\" or \"1h30m\"",
            )
        })
    }

    /// Everything in the section was asked for, or this says what was not, and what was probably meant.
    pub fn finish(&self) -> Result<(), Error> {
        let asked = self.asked.borrow();
        for item in self.body.iter() {
            let (ident, span) = match item {
                Structure::Attribute(a) => (a.key.as_str(), a.key.span().or_else(|| a.span())),
                Structure::Block(b) => (b.ident.as_str(), b.ident.span().or_else(|| b.span())),
            };
            if asked.contains(ident) {
                continue;
            }
            let hint = nearest(ident, asked.iter().copied()).map_or_else(
                || {
                    format!(
                        "known here: {}",
                        asked.iter().copied().collect::<Vec<_>>().join(", ")
                    )
                },
                |k| format!("did you mean {k}?"),
            );
            let message = format!("{} has no {ident}; {hint}", self.name);
            return Err(self.document.error(span.unwrap_or(0..0), message));
        }
        Ok(())
    }
}

/// What was probably meant.
fn nearest(given: &str, names: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    names
        .map(|k| (strsim::jaro_winkler(k, given), k))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(likeness, _)| *likeness > 0.75)
        .map(|(_, k)| k)
}

/// Parses Go's notation of durations (`h`, `m`, `s`, `ms`), and `d` for days.
fn duration(text: &str) -> Option<Time> {
    let mut rest = text.trim();
    let mut total = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let n: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let letters = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        total += n * match &rest[..letters] {
            "ms" => 1.0,
            "s" => 1_000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            "d" => 86_400_000.0,
            _ => return None,
        };
        rest = &rest[letters..];
    }
    Some(Time(total.round() as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_nomad_writes_them() {
        for (text, ms) in [
            ("30s", 30_000),
            ("1m30s", 90_000),
            ("250ms", 250),
            ("1.5h", 5_400_000),
            ("7d", 604_800_000),
        ] {
            assert_eq!(duration(text), Some(Time(ms)), "{text}");
        }
        for text in ["", "30", "s", "5x", "-3s"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
