//! Just enough of Rust's grammar to read paths: words without comments and literals, and what `use` trees name.

/// An identifier or a mark.
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    pub text: String,
    pub line: usize,
}

/// A path as its segments; `from_crate` when it starts at the crate's root, which is then not a segment.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    pub line: usize,
    pub from_crate: bool,
    pub segments: Vec<String>,
}

/// Identifiers, `::` and single marks; comments, strings and characters are left out.
pub fn words(text: &str) -> Vec<Word> {
    let chars: Vec<char> = text.chars().collect();
    let mut words = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < chars.len() {
        let next = chars.get(at + 1).copied().unwrap_or(' ');
        let end = match chars[at] {
            '/' if next == '/' => line_end(&chars, at),
            '/' if next == '*' => comment_end(&chars, at),
            '"' => string_end(&chars, at),
            '\'' => quote_end(&chars, at),
            'r' | 'b' | 'c' if raw_end(&chars, at).is_some() => {
                raw_end(&chars, at).unwrap_or(at + 1)
            }
            c if c.is_alphanumeric() || c == '_' => {
                let end = word_end(&chars, at);
                words.push(Word {
                    text: chars[at..end].iter().collect(),
                    line,
                });
                end
            }
            ':' if next == ':' => {
                words.push(Word {
                    text: "::".to_owned(),
                    line,
                });
                at + 2
            }
            c => {
                if !c.is_whitespace() {
                    words.push(Word {
                        text: c.to_string(),
                        line,
                    });
                }
                at + 1
            }
        };
        line += chars[at..end.min(chars.len())]
            .iter()
            .filter(|c| **c == '\n')
            .count();
        at = end;
    }
    words
}

fn word_end(chars: &[char], at: usize) -> usize {
    let length = chars[at..]
        .iter()
        .take_while(|c| c.is_alphanumeric() || **c == '_')
        .count();
    at + length
}

fn line_end(chars: &[char], at: usize) -> usize {
    at + chars[at..].iter().take_while(|c| **c != '\n').count()
}

fn comment_end(chars: &[char], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0);
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => (at, depth) = (at + 2, depth + 1),
            ('*', '/') => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    chars.len()
}

fn string_end(chars: &[char], start: usize) -> usize {
    let mut at = start + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

/// The end of a character literal; a lifetime ends after its quote.
fn quote_end(chars: &[char], at: usize) -> usize {
    match (chars.get(at + 1), chars.get(at + 2)) {
        (Some('\\'), _) => {
            let from = at + 3;
            from + chars.iter().skip(from).take_while(|c| **c != '\'').count() + 1
        }
        (Some(_), Some('\'')) => at + 3,
        _ => at + 1,
    }
}

/// The end of a raw string that begins here, if one does.
fn raw_end(chars: &[char], at: usize) -> Option<usize> {
    if at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_') {
        return None;
    }
    let prefix = chars[at..]
        .iter()
        .take_while(|c| matches!(c, 'r' | 'b' | 'c'))
        .count();
    let hashes = chars[at + prefix..]
        .iter()
        .take_while(|c| **c == '#')
        .count();
    let raw = chars[at..at + prefix].contains(&'r');
    let open = at + prefix + hashes;
    if !raw || chars.get(open) != Some(&'"') {
        return None;
    }
    let closes = |quote: &usize| {
        chars[*quote] == '"'
            && chars[quote + 1..]
                .iter()
                .take(hashes)
                .filter(|c| **c == '#')
                .count()
                == hashes
    };
    Some(
        (open + 1..chars.len())
            .find(closes)
            .map_or(chars.len(), |quote| quote + 1 + hashes),
    )
}

/// Every path of two or more segments, use trees spread out; `depth` is how many modules deep the text lies.
pub fn paths(words: &[Word], depth: usize) -> Vec<Named> {
    let mut found = Vec::new();
    // One entry for each open brace: whether it opened a module.
    let mut braces: Vec<bool> = Vec::new();
    let mut at = 0;
    while at < words.len() {
        match text(words, at) {
            "{" => braces.push(at >= 2 && text(words, at - 2) == "mod"),
            "}" => drop(braces.pop()),
            _ => {}
        }
        let inside = depth + braces.iter().filter(|module| **module).count();
        let continues = at > 0 && text(words, at - 1) == "::";
        let line = words[at].line;
        let root = text(words, at) == "crate" || (text(words, at) == "super" && inside == 1);
        if root && text(words, at + 1) == "as" && !continues {
            found.push(Named {
                line,
                from_crate: true,
                segments: vec!["*".to_owned()],
            });
        }
        if is_name(text(words, at)) && text(words, at + 1) == "::" && !continues {
            let mut trees = Vec::new();
            at = tree(words, at, &mut Vec::new(), &mut trees);
            found.extend(
                trees
                    .into_iter()
                    .filter_map(|segments| rooted(line, segments, inside)),
            );
        } else {
            at += 1;
        }
    }
    found
}

fn text(words: &[Word], at: usize) -> &str {
    words.get(at).map_or("", |word| word.text.as_str())
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Reads one path or use tree; returns where it ends.
fn tree(
    words: &[Word],
    start: usize,
    prefix: &mut Vec<String>,
    found: &mut Vec<Vec<String>>,
) -> usize {
    let (mut at, length) = (start, prefix.len());
    loop {
        match text(words, at) {
            "{" => {
                at += 1;
                while at < words.len() && text(words, at) != "}" {
                    at = if text(words, at) == "," {
                        at + 1
                    } else {
                        tree(words, at, prefix, found)
                    };
                }
                at += 1;
                break;
            }
            word if is_name(word) || word == "*" => {
                prefix.push(word.to_owned());
                at += 1;
                if text(words, at) != "::" {
                    found.push(prefix.clone());
                    break;
                }
                at += 1;
            }
            // A turbofish or the like: the path so far is what is named.
            _ => {
                found.push(prefix.clone());
                at += 1;
                break;
            }
        }
    }
    prefix.truncate(length);
    if text(words, at) == "as" { at + 2 } else { at }
}

/// Resolves `crate`, the crate's own name, `self` and `super`; none for a path that stays inside its room.
fn rooted(line: usize, segments: Vec<String>, depth: usize) -> Option<Named> {
    let mut rest: Vec<String> = segments
        .into_iter()
        .skip_while(|segment| segment == "self")
        .collect();
    let first = rest.first()?.clone();
    if first == "crate" || first == "foreshadow" {
        rest.remove(0);
        return Some(Named {
            line,
            from_crate: true,
            segments: rest,
        });
    }
    let supers = rest
        .iter()
        .take_while(|segment| *segment == "super")
        .count();
    if supers == 0 {
        return Some(Named {
            line,
            from_crate: false,
            segments: rest,
        });
    }
    (supers >= depth).then(|| Named {
        line,
        from_crate: true,
        segments: rest.split_off(supers),
    })
}
