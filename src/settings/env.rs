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
        Ok(text) => Ok(written(&text)),
        Err(source) => Err(Error::Read { path, source }),
    }
}

/// A file that is empty holds no token: nobody is let in by saying nothing.
fn written(text: &str) -> Option<SecretString> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.into())
}

/// The name of the API's socket in its folder, and that folder where the system's own services have theirs.
const SOCKET: &str = "api.sock";
const SYSTEM: &str = "/run/foreshadow";

fn of_user() -> Option<PathBuf> {
    Some(PathBuf::from(access("XDG_RUNTIME_DIR")?).join("foreshadow"))
}

/// Where the API is served unless the configuration says otherwise: in the folder that systemd gives a service
/// (`RUNTIME_DIRECTORY`), else the user's (`XDG_RUNTIME_DIR`), else, for root, the system's. `None` when there is none.
pub fn own_socket() -> Option<PathBuf> {
    let given = access("RUNTIME_DIRECTORY");
    let given = given.and_then(|all| all.split(':').next().map(PathBuf::from));
    let root = nix::unistd::geteuid().is_root();
    let system = || root.then(|| PathBuf::from(SYSTEM));
    let folder = given.or_else(of_user).or_else(system)?;
    Some(folder.join(SOCKET))
}

/// Where a foreshadow of this user or of the system serves its API, if one does.
pub fn found_socket() -> Option<PathBuf> {
    let folders = [of_user(), Some(PathBuf::from(SYSTEM))];
    let sockets = folders.into_iter().flatten().map(|f| f.join(SOCKET));
    sockets.into_iter().find(|s| s.exists())
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

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    #[test]
    fn a_token_is_what_stands_in_its_file_and_an_empty_file_holds_none() {
        let token = |text| written(text).map(|t| t.expose_secret().to_string());
        assert_eq!(token(" s3cret\n").as_deref(), Some("s3cret"));
        assert_eq!((token(""), token("\n")), (None, None));
    }
}
