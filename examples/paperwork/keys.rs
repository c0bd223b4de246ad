//! Every key that the readers of policies and configurations ask for, with the type and the range that they hold it to: from the readers themselves.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::Path;

pub const BEGIN: &str = "<!-- keys: made by `just keys` -->\n";
pub const END: &str = "<!-- end of keys -->\n";
/// Files with readers, and what they read.
const READERS: [(&str, &str); 4] = [
    ("src/settings/policy.rs", "policy"),
    ("src/settings/policy/load.rs", "policy"),
    ("src/settings/upstream.rs", "policy"),
    ("src/settings/config.rs", "configuration"),
];
/// How a key is asked for, and what it then must be.
const KINDS: [(&str, &str); 9] = [
    ("string", "string"),
    ("strings", "list of strings"),
    ("one_of", "one of"),
    ("boolean", "true or false"),
    ("number", "number"),
    ("numbers", "list of numbers"),
    ("time", "time"),
    ("block", "block"),
    ("blocks", "blocks, any number"),
];

/// Rows of a table, sorted by key.
pub fn table(root: &Path) -> std::io::Result<String> {
    let mut rows = BTreeSet::new();
    for (file, of) in READERS {
        let source = std::fs::read_to_string(root.join(file))?;
        let code = source.split("#[cfg(test)]").next().unwrap_or(&source);
        // Line breaks of the formatter mean nothing.
        let code: String = code
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .replace("( ", "(")
            .replace(" .", ".");
        for (call, kind) in KINDS {
            for rest in code.split(&format!(".{call}(\"")).skip(1) {
                let Some((key, after)) = rest.split_once('"') else {
                    continue;
                };
                let held = argument(after).map_or(String::new(), |a| format!(", {a}"));
                rows.insert(format!("| `{key}` | {of} | {kind}{held} |"));
            }
        }
    }
    let mut out = String::from("| key | of | must be |\n|---|---|---|\n");
    for row in rows {
        // Writing into a string cannot fail.
        let _ = writeln!(out, "{row}");
    }
    Ok(out)
}

/// The second argument of a call: a range, or names to choose from.
fn argument(after: &str) -> Option<String> {
    let rest = after.strip_prefix(", ")?;
    let names = rest
        .strip_prefix("&[")
        .and_then(|list| list.split_once(']'));
    if let Some((names, _)) = names {
        return Some(format!("`{}`", names.trim().trim_end_matches(',')));
    }
    let (range, _) = rest.split_once(')')?;
    let (low, high) = range.split_once("..=")?;
    Some(format!(
        "{} to {}",
        low.trim(),
        high.trim().trim_end_matches(',')
    ))
}

/// The text with the table between its marks; `None` where it has no marks.
pub fn put(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}
