//! Reads policies, configuration files and the environment, and says exactly where they are wrong; it starts nothing.
#![allow(clippy::disallowed_methods)] // the environment is read here and nowhere else

mod config;
mod env;
mod hcl;
mod policies;
mod policy;
mod theme;
mod upstream;

pub use config::{Config, GatewayConfig, parse_config, read_config};
pub use env::{access, cache_folder, found_socket, no_color, own_socket, secret, utf8};
pub use policies::{policies_of, read_policies};
pub use policy::{parse_policy, read_policy};
pub use theme::{Glyphs, LookError, keys, look, who};

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// What is wrong with a file, and where. The edge prints it as `file:line:column: …` and exits with 64.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{file}:{line}:{column}: {message}")]
    At {
        file: String,
        line: usize,
        column: usize,
        message: String,
    },
    #[error("cannot read {path}: {source}; {}", remedy(source.kind()))]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{file}: workload {workload} has a policy in another file already; keep one of them")]
    Twice { file: PathBuf, workload: String },
    #[error("{0}")]
    Environment(String),
}

/// The text of a file.
///
/// # Errors
/// `Read`, with the path that was tried and what to do.
pub fn read_text(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::Read {
        path: path.to_path_buf(),
        source,
    })
}

/// What to do about a file that cannot be read.
pub fn remedy(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::NotFound => "create it, or correct the path",
        ErrorKind::IsADirectory => "name a file in that folder",
        ErrorKind::PermissionDenied => "let this user read it",
        ErrorKind::InvalidData => "it must be text in UTF-8",
        _ => "see that it is a file that can be read",
    }
}
