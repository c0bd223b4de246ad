//! Reads policies, configuration files and the environment, and says exactly where they are wrong; it starts nothing.
#![allow(clippy::disallowed_methods)] // the environment is read here and nowhere else

mod config;
mod env;
mod hcl;
mod policy;
mod theme;
mod upstream;

pub use config::{Config, GatewayConfig, parse_config, read_config};
pub use env::{access, cache_folder, found_socket, no_color, own_socket, secret, utf8};
pub use policy::{parse_policy, read_policy};
pub use theme::{Glyphs, LookError, keys, look, who};

use std::path::PathBuf;

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
    #[error("cannot read {path}: {source}")]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{0}")]
    Environment(String),
}
