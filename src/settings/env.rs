//! The environment: addresses and tokens under the names that HashiCorp's own tools use.

use super::Error;
use secrecy::SecretString;
use std::env;
use std::path::PathBuf;

/// The value of a variable; an empty one counts as unset, as HashiCorp's tools have it.
pub fn access(name: &str) -> Option<String> {
    env::var(name).ok().filter(|v| !v.is_empty())
}

/// A secret from the file that `NAME_FILE` names, else from `NAME`; never from a flag.
pub fn secret(name: &str) -> Result<Option<SecretString>, Error> {
    let Some(path) = access(&format!("{name}_FILE")).map(PathBuf::from) else {
        return Ok(access(name).map(Into::into));
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim().into())),
        Err(source) => Err(Error::Read { path, source }),
    }
}

pub fn no_color() -> bool {
    access("NO_COLOR").is_some()
}

/// Whether the terminal's locale can show more than ASCII.
pub fn utf8() -> bool {
    ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|n| access(n))
        .is_some_and(|v| v.to_ascii_lowercase().replace('-', "").contains("utf8"))
}

/// Where `tests/setup` unpacks the real Consul.
pub fn cache_folder() -> Option<PathBuf> {
    access("FORESHADOW_CACHE").map(PathBuf::from)
}
