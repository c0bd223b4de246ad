//! Versions of Nomad and Consul, compared by their numbers.

use std::fmt;

/// A version without its suffixes (`-beta.1`, `+ent`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl Version {
    /// `None` when the text does not begin with two numbers.
    pub fn parse(text: &str) -> Option<Version> {
        let mut numbers = text
            .trim_start_matches('v')
            .split(['.', '-', '+', ' '])
            .map(str::parse::<u32>);
        let major = numbers.next()?.ok()?;
        let minor = numbers.next()?.ok()?;
        Some(Version(
            major,
            minor,
            numbers.next().and_then(Result::ok).unwrap_or(0),
        ))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}
