//! Common Log Format (`%h %l %u %t "%r" %>s %b`) and Combined, which adds referer and user agent.

use super::{Logged, request_line, short};
use crate::model::Moment;
use regex::Regex;
use std::sync::LazyLock;

/// Time and request line; a quote within the request line is escaped. What comes after the size is not looked at.
static LINE: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"^\S+ \S+ .*?\[([^\]]*)\] "((?:[^"\\]|\\.)*)" (\d{3}|-) (\d+|-)(?:\s|$)"#)
        .unwrap_or_else(|_| unreachable!("a constant pattern"))
});

pub(super) fn read(line: &str) -> Result<Logged, String> {
    let parts = LINE.captures(line).ok_or_else(|| {
        format!(
            "`{}` is not `host ident user [time] \"request\" status size`",
            short(line)
        )
    })?;
    let at = time(&parts[1])?;
    let (method, path) = request_line(&unescaped(&parts[2]))?;
    Ok(Logged {
        at,
        method,
        path,
        body: None,
    })
}

/// `10/Oct/2000:13:55:36 -0700`.
fn time(text: &str) -> Result<Moment, String> {
    jiff::fmt::strtime::parse("%d/%b/%Y:%H:%M:%S %z", text)
        .and_then(|t| t.to_timestamp())
        .map(|t| Moment(t.as_millisecond()))
        .map_err(|_| {
            format!(
                "`{}` is no time such as 10/Oct/2000:13:55:36 -0700",
                short(text)
            )
        })
}

/// `\"` and `\\` as servers escape them; other escapes (`\x16`) are no part of a path and stay, to be refused there.
fn unescaped(text: &str) -> String {
    text.replace("\\\"", "\"").replace("\\\\", "\\")
}
