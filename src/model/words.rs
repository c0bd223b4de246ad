//! Numbers of things in words.

use std::fmt::Display;

/// `1 node`, `3 nodes`, `2 policies`.
pub fn counted(n: impl Display, one: &str) -> String {
    let n = n.to_string();
    let vowels = ['a', 'e', 'i', 'o', 'u'];
    match one.strip_suffix('y') {
        _ if n == "1" => format!("1 {one}"),
        Some(stem) if !stem.ends_with(vowels) && one != "standby" => format!("{n} {stem}ies"),
        _ => format!("{n} {one}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_told_as_one() {
        assert_eq!(counted(1, "node"), "1 node");
        assert_eq!(counted(0, "node"), "0 nodes");
        assert_eq!(counted(21, "node"), "21 nodes");
        assert_eq!(counted(2, "policy"), "2 policies");
        assert_eq!(counted(2, "day"), "2 days");
        assert_eq!(counted(2, "standby"), "2 standbys");
    }
}
