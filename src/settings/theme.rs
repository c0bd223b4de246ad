//! How the terminal looks and which keys it takes: a theme by name or file, the glyphs that it can show, a file of keys.

use super::env::{access, no_color, utf8};
use crate::tui::keys::{KeyError, Keys, words};
use crate::tui::look::Look;
use crate::tui::theme::{NAMES, Theme, ThemeError};
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Debug, thiserror::Error)]
pub enum LookError {
    #[error("there is no theme `{name}` and no such file; there are {}", NAMES.join(", "))]
    Theme { name: String },
    #[error("{file}: it has lines such as `bad = \"#ff7b85\"` and nothing else: {why}")]
    File { file: String, why: String },
    #[error("{file}: {source}")]
    Colours { file: String, source: ThemeError },
    #[error("{file}: it has lines such as `hold = \"ctrl-o f9\"` and nothing else: {why}")]
    KeyFile { file: String, why: String },
    #[error("{file}: {source}")]
    Keys { file: String, source: KeyError },
    #[error(
        "cannot read the keys {file}; is it there, and may you read it? it has lines such as `hold = \"ctrl-o f9\"`, for the words {}",
        words()
    )]
    ReadKeys {
        file: String,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot read the theme {file}; may you read it?")]
    Read {
        file: String,
        #[source]
        source: std::io::Error,
    },
}

/// Which characters lines are drawn with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Glyphs {
    /// By the locale and the terminal's name.
    #[default]
    Auto,
    Braille,
    Blocks,
    Ascii,
}

/// The look that a name or file of a theme, the glyphs, the locale and NO_COLOR make.
///
/// # Errors
/// A theme that is neither a name nor a file, or a file that is none; the text says which and what it may have.
pub fn look(theme: Option<&str>, glyphs: Glyphs) -> Result<Look, LookError> {
    // The console of Linux has no braille in its font.
    let console = access("TERM").is_some_and(|t| t == "linux");
    let glyphs = match glyphs {
        Glyphs::Auto if !utf8() => Glyphs::Ascii,
        Glyphs::Auto if console => Glyphs::Blocks,
        Glyphs::Auto => Glyphs::Braille,
        chosen => chosen,
    };
    Ok(Look {
        color: !no_color(),
        ascii: glyphs == Glyphs::Ascii,
        blocks: glyphs == Glyphs::Blocks,
        theme: theme.map_or(Ok(Theme::default()), find)?,
    })
}

fn find(name: &str) -> Result<Theme, LookError> {
    if let Some(theme) = Theme::named(name) {
        return Ok(theme);
    }
    let path = Path::new(name);
    if !path.is_file() {
        return Err(LookError::Theme { name: name.into() });
    }
    let text = std::fs::read_to_string(path).map_err(|source| LookError::Read {
        file: name.into(),
        source,
    })?;
    parse(name, &text)
}

/// The key table with the keys that a file gives: `word = "keys"` a line.
///
/// # Errors
/// A file that cannot be read or is none, or keys that cannot be bound; the text says which and what could be.
pub fn keys(file: &str) -> Result<Keys, LookError> {
    let text = std::fs::read_to_string(file).map_err(|source| LookError::ReadKeys {
        file: file.into(),
        source,
    })?;
    let pairs: BTreeMap<String, String> = hcl::from_str(&text).map_err(|e| LookError::KeyFile {
        file: file.into(),
        why: e.to_string(),
    })?;
    let pairs = pairs.iter().map(|(k, v)| (k.as_str(), v.as_str()));
    Keys::with(pairs).map_err(|source| LookError::Keys {
        file: file.into(),
        source,
    })
}

/// Who sits at this terminal.
pub fn who() -> String {
    let known = || nix::unistd::User::from_uid(nix::unistd::getuid()).ok()?;
    access("SUDO_USER")
        .or_else(|| access("USER"))
        .or_else(|| known().map(|user| user.name))
        .unwrap_or_else(|| "an operator".into())
}

/// A theme's file: `key = "#rrggbb"` a line.
fn parse(file: &str, text: &str) -> Result<Theme, LookError> {
    let pairs: BTreeMap<String, String> = hcl::from_str(text).map_err(|e| LookError::File {
        file: file.into(),
        why: e.to_string(),
    })?;
    let pairs = pairs.iter().map(|(k, v)| (k.as_str(), v.as_str()));
    Theme::with(pairs).map_err(|source| LookError::Colours {
        file: file.into(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_theme_comes_by_name_or_from_a_file() {
        assert_eq!(find("light").unwrap(), Theme::named("light").unwrap());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mine.hcl");
        std::fs::write(&file, "# mine\nbad = \"#ff88aa\"\nground = \"#000000\"\n").unwrap();
        let mine = find(file.to_str().unwrap()).unwrap();
        assert_eq!(mine.tones[8], ratatui::style::Color::Rgb(255, 136, 170));
    }

    #[test]
    fn keys_come_from_a_file_and_what_is_wrong_with_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.hcl");
        let told = |text: &str| {
            std::fs::write(&file, text).unwrap();
            keys(file.to_str().unwrap()).map_err(|e| e.to_string())
        };
        let mine = told("# mine\nhold = \"ctrl-o\"\nnext-match = \"f3\"\n").unwrap();
        assert_eq!(mine.first(crate::tui::keys::Act::Next), "F3");
        let broken = told("hold = ").unwrap_err();
        assert!(broken.contains("it has lines such as"), "{broken}");
        let clash = told("hold = \"x\"").unwrap_err();
        assert!(clash.contains("keys.hcl: `x` is asked for by `hold` and by `shadow`"));
        let none = keys("nowhere.hcl").unwrap_err().to_string();
        assert!(none.contains("nowhere.hcl; is it there"), "{none}");
        assert!(none.contains("for the words down, up, "), "{none}");
        let unknown = told("nope = \"x\"").unwrap_err();
        assert!(unknown.contains("nothing is called `nope`"), "{unknown}");
    }

    #[test]
    fn what_is_wrong_with_a_theme_is_told_with_what_would_be_right() {
        let told = |text: &str| parse("mine.hcl", text).unwrap_err().to_string();
        let unknown = find("drak").unwrap_err().to_string();
        assert!(unknown.contains("default, dark, light"), "{unknown}");
        assert!(told("god = \"#ffffff\"").contains("did you mean `good`?"));
        assert!(told("bad = \"red\"").contains("#rrggbb"));
        let faint = told("dim = \"#333333\"");
        assert!(faint.contains("dim on ground has a contrast of"), "{faint}");
        assert!(told("bad {\n}").starts_with("mine.hcl: "));
    }
}
