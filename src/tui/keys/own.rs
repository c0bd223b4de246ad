//! The key table as it is in force: its lines with an operator's own keys, where a file gives them.

use super::{Act, Binding, Key, TABLE};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error(
        "nothing is called `{word}`; did you mean `{near}`? there are {}",
        words()
    )]
    Word { word: String, near: &'static str },
    #[error(
        "`{word} = {text:?}`: `{part}` is no key; keys are a character, ctrl-x, f1 to f12, or one of {}, with blanks between them",
        NAMED.map(|n| n.0).join(", ")
    )]
    Key {
        word: String,
        text: String,
        part: String,
    },
    #[error("`{word}` has no key left; give it at least one")]
    None { word: String },
    #[error("`{key}` is asked for by `{a}` and by `{b}`; give one of them another key")]
    Conflict {
        key: String,
        a: &'static str,
        b: &'static str,
    },
}

/// Keys that have names, and how they are shown.
const NAMED: [(&str, KeyCode, &str); 15] = [
    ("enter", KeyCode::Enter, "Enter"),
    ("esc", KeyCode::Esc, "Esc"),
    ("tab", KeyCode::Tab, "Tab"),
    ("shift-tab", KeyCode::BackTab, "S-Tab"),
    ("space", KeyCode::Char(' '), "Space"),
    ("backspace", KeyCode::Backspace, "Backspace"),
    ("delete", KeyCode::Delete, "Del"),
    ("up", KeyCode::Up, "↑"),
    ("down", KeyCode::Down, "↓"),
    ("left", KeyCode::Left, "←"),
    ("right", KeyCode::Right, "→"),
    ("home", KeyCode::Home, "Home"),
    ("end", KeyCode::End, "End"),
    ("pageup", KeyCode::PageUp, "PgUp"),
    ("pagedown", KeyCode::PageDown, "PgDn"),
];

/// What an operator chose for a line, and how that is shown.
type Own = (Vec<Key>, String);

/// The keys in force; `default()` is the table as it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    own: Arc<BTreeMap<&'static str, Own>>,
}

impl Keys {
    /// The table with the keys of some words changed, as a file gives them: `word` and its keys with blanks between them.
    ///
    /// # Errors
    /// An unknown word, something that is no key, a word left without one, or a key that two words want.
    pub fn with<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Keys, KeyError> {
        let mut own = BTreeMap::new();
        for (word, text) in pairs {
            let line = TABLE.iter().find(|b| b.word == word);
            let line = line.ok_or_else(|| unknown(word))?;
            let read = |part: &str| {
                read(part).ok_or_else(|| KeyError::Key {
                    word: word.into(),
                    text: text.into(),
                    part: part.into(),
                })
            };
            let keys: Vec<Key> = text
                .split_whitespace()
                .map(read)
                .collect::<Result<_, _>>()?;
            if keys.is_empty() {
                return Err(KeyError::None { word: word.into() });
            }
            let shown: Vec<String> = keys.iter().map(shown).collect();
            own.insert(line.word, (keys, shown.join(" ")));
        }
        let keys = Keys { own: Arc::new(own) };
        match keys.conflict() {
            Some(conflict) => Err(conflict),
            None => Ok(keys),
        }
    }

    fn conflict(&self) -> Option<KeyError> {
        let mut taken: BTreeMap<String, &'static str> = BTreeMap::new();
        for line in TABLE {
            for key in self.of_line(line) {
                let before = taken.insert(shown(key), line.word);
                if let Some(a) = before.filter(|a| *a != line.word) {
                    let (key, b) = (shown(key), line.word);
                    return Some(KeyError::Conflict { key, a, b });
                }
            }
        }
        None
    }

    /// The keys of a line.
    pub fn of_line(&self, line: &'static Binding) -> &[Key] {
        self.own.get(line.word).map_or(line.keys, |own| &own.0)
    }

    /// The keys of a line as people read them.
    pub fn shown(&self, line: &'static Binding) -> &str {
        self.own.get(line.word).map_or(line.shown, |own| &own.1)
    }

    /// The first key that does it, as people read it.
    pub fn first(&self, act: Act) -> &str {
        let all = self.shown(of(act));
        all.split(' ').next().unwrap_or(all)
    }

    /// What a key asks for, if anything. Shift is part of the character, so it is not looked at there.
    pub fn lookup(&self, event: &KeyEvent) -> Option<&'static Binding> {
        let mut mods = event.modifiers;
        if matches!(event.code, KeyCode::Char(_)) {
            mods.remove(KeyModifiers::SHIFT);
        }
        let wanted = (event.code, mods);
        TABLE.iter().find(|b| self.of_line(b).contains(&wanted))
    }
}

/// What keys can be given to: the words of the table.
pub fn words() -> String {
    let all: Vec<&str> = TABLE.iter().map(|b| b.word).collect();
    all.join(", ")
}

/// The line that does `act`.
pub fn of(act: Act) -> &'static Binding {
    let found = TABLE.iter().find(|b| b.act == act);
    found.unwrap_or(&TABLE[TABLE.len() - 1])
}

fn unknown(word: &str) -> KeyError {
    let like = |b: &Binding| strsim::jaro_winkler(b.word, word);
    let near = TABLE.iter().max_by(|a, b| like(a).total_cmp(&like(b)));
    KeyError::Word {
        word: word.into(),
        near: near.map_or("help", |b| b.word),
    }
}

fn read(text: &str) -> Option<Key> {
    let plain = |code| Some((code, KeyModifiers::NONE));
    let mut chars = text.chars();
    if let (Some(c), None) = (chars.next(), chars.next()) {
        return plain(KeyCode::Char(c));
    }
    if let Some((_, code, _)) = NAMED.iter().find(|n| n.0 == text) {
        return plain(*code);
    }
    if let Some(c) = text.strip_prefix("ctrl-") {
        let mut chars = c.chars();
        // Terminals send Tab for ctrl-i and Enter for ctrl-m.
        return match (chars.next(), chars.next()) {
            (Some(c @ 'a'..='z'), None) if !matches!(c, 'i' | 'm') => {
                Some((KeyCode::Char(c), KeyModifiers::CONTROL))
            }
            _ => None,
        };
    }
    let n: u8 = text.strip_prefix('f')?.parse().ok()?;
    (1..=12)
        .contains(&n)
        .then_some((KeyCode::F(n), KeyModifiers::NONE))
}

fn shown((code, mods): &Key) -> String {
    let named = NAMED.iter().find(|n| n.1 == *code);
    match (named, code) {
        (Some((_, _, name)), _) => (*name).to_string(),
        (None, KeyCode::Char(c)) if mods.contains(KeyModifiers::CONTROL) => format!("^{c}"),
        (None, KeyCode::Char(c)) => c.to_string(),
        (None, other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(keys: &Keys, code: KeyCode, mods: KeyModifiers) -> Option<&'static str> {
        keys.lookup(&KeyEvent::new(code, mods)).map(|b| b.word)
    }

    #[test]
    fn a_word_takes_the_keys_it_is_given_and_gives_up_its_own() {
        let keys = Keys::with([("hold", "ctrl-o f9"), ("filter", "space")]).unwrap();
        let none = KeyModifiers::NONE;
        let ctrl = KeyModifiers::CONTROL;
        assert_eq!(pressed(&keys, KeyCode::Char('o'), ctrl), Some("hold"));
        assert_eq!(pressed(&keys, KeyCode::F(9), none), Some("hold"));
        assert_eq!(pressed(&keys, KeyCode::Char('H'), none), None);
        assert_eq!(pressed(&keys, KeyCode::Char(' '), none), Some("filter"));
        assert_eq!(pressed(&keys, KeyCode::Char('q'), none), Some("quit"));
        assert_eq!(keys.shown(of(Act::Hold)), "^o F9");
        assert_eq!(keys.first(Act::Filter), "Space");
    }

    #[test]
    fn what_cannot_be_bound_is_told_with_what_can() {
        let told = |word, text| Keys::with([(word, text)]).unwrap_err().to_string();
        let unknown = told("hodl", "x");
        assert!(
            unknown.contains("did you mean `hold`? there are down, up,"),
            "{unknown}"
        );
        assert!(told("hold", "hyper-x").contains("`hyper-x` is no key; keys are a character"));
        assert!(told("hold", "ctrl-i").contains("is no key"), "that is Tab");
        assert!(told("hold", " ").contains("no key left"));
    }

    #[test]
    fn a_key_that_two_words_want_is_refused_and_swapping_two_is_not() {
        let clash = Keys::with([("hold", "x")]).unwrap_err().to_string();
        let told = "`x` is asked for by `hold` and by `shadow`; give one of them another key";
        assert_eq!(clash, told);
        assert!(Keys::with([("hold", "x"), ("shadow", "H")]).is_ok());
        assert!(Keys::with([("hold", "z z")]).is_ok(), "twice is once");
    }
}
