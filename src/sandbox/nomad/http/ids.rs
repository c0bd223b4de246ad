//! Whether what is asked for may be an ID, as Nomad judges.

use super::Request;
use crate::sandbox::nomad::jobs::Refusal;

/// Nomad looks an ID up as a UUID before it looks for it.
pub fn check_uuid(id: &str, what: &str) -> Result<(), Refusal> {
    if id.len() == 36 {
        return Ok(());
    }
    Err(Refusal::new(
        500,
        format!("{what} lookup failed: index error: UUID must be 36 characters"),
    ))
}

/// IDs are looked up by whole bytes.
pub fn check_prefix(r: &Request<'_>, what: &str) -> Result<(), Refusal> {
    let prefix = r.query.get("prefix").unwrap_or("");
    let hyphens = prefix.matches('-').count();
    let odd = prefix.chars().find(|c| !c.is_ascii_hexdigit() && *c != '-');
    let why = match odd {
        _ if hyphens > 4 => "UUID should have maximum of 4 hyphens".to_string(),
        _ if !(prefix.len() - hyphens).is_multiple_of(2) => {
            "Input (without hyphens) must be even length".into()
        }
        Some(c) => format!(
            "Invalid UUID: encoding/hex: invalid byte: U+{:04X} '{c}'",
            u32::from(c)
        ),
        None => return Ok(()),
    };
    Err(Refusal::new(500, format!("{what}index error: {why}")))
}
