//! Where a job file is wrong, as Nomad says it.

use std::ops::Range;

/// A fault in a job file. Prints as Nomad does: `input.hcl:LINE,FROM-TO: summary; detail`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("input.hcl:{line},{column}-{end_column}: {summary}; {detail}")]
pub struct ParseError {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// One past the last character.
    pub end_column: usize,
    pub summary: String,
    pub detail: String,
}

impl ParseError {
    /// A fault at a range of bytes of the source.
    pub fn at(
        source: &str,
        span: Range<usize>,
        summary: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        let start = floor(source, span.start);
        let end = floor(source, span.end.max(span.start));
        let line_start = source[..start].rfind('\n').map_or(0, |i| i + 1);
        let column = source[line_start..start].chars().count() + 1;
        let width = source[start..end]
            .lines()
            .next()
            .map_or(0, |l| l.chars().count());
        ParseError {
            line: source[..start].matches('\n').count() + 1,
            column,
            end_column: column + width.max(1),
            summary: summary.into(),
            detail: detail.into(),
        }
    }

    /// What the HCL parser could not read.
    pub(super) fn syntax(source: &str, error: &hcl_edit::parser::Error) -> Self {
        let at = floor(source, error.location().offset());
        if let Some(word) = lone_word(source, at) {
            return Self::at(
                source,
                word,
                "Argument or block definition required",
                "An argument or block definition is required here. To set an argument, use the equals sign \"=\" to introduce the argument value.",
            );
        }
        Self::at(
            source,
            at..at + 1,
            "Invalid syntax",
            error.message().replace('\n', ", "),
        )
    }
}

/// The identifier at or just before `at`, if it stands where an argument or a block should begin.
fn lone_word(source: &str, at: usize) -> Option<Range<usize>> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    let rest = &source[at..];
    let ahead = rest.len() - rest.trim_start_matches(is_word).len();
    let before = source[..at + ahead].trim_end();
    let start = before.trim_end_matches(is_word).len();
    let starts_item = before[..start]
        .trim_end_matches([' ', '\t'])
        .ends_with(['{', '}', '\n'])
        || before[..start].trim().is_empty();
    (start < before.len() && starts_item).then_some(start..before.len())
}

fn floor(source: &str, at: usize) -> usize {
    let mut at = at.min(source.len());
    while !source.is_char_boundary(at) {
        at -= 1;
    }
    at
}
