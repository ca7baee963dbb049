//! Globs of the operator over namespaces and repositories: `*` is any run without `/`, `**` any run, and the
//! whole text must fit (credentials specification §8.3).
//!
//! Guarantees: the time grows with the product of both lengths and no faster, whatever the glob is.

/// Whether `glob` fits the whole of `text`.
pub(super) fn matches(glob: &str, text: &str) -> bool {
    let tokens = tokens(glob);
    // Which prefixes of the text the tokens so far can have consumed.
    let mut reached = vec![false; text.len() + 1];
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    for token in tokens {
        reached = token.advance(&reached, text.as_bytes());
    }
    reached.last().copied().unwrap_or_default()
}

#[derive(Clone, Copy)]
enum Token {
    Byte(u8),
    Segment,
    Anything,
}

impl Token {
    fn advance(self, reached: &[bool], text: &[u8]) -> Vec<bool> {
        let mut next = vec![false; reached.len()];
        let mut open = false;
        for (at, slot) in next.iter_mut().enumerate() {
            let before =
                at.checked_sub(1).and_then(|before| Some((*text.get(before)?, *reached.get(before)?)));
            let here = reached.get(at).copied().unwrap_or_default();
            *slot = match self {
                Self::Byte(wanted) => before == Some((wanted, true)),
                Self::Anything => open || here,
                Self::Segment => (open && before.is_some_and(|(byte, _)| byte != b'/')) || here,
            };
            open = *slot;
        }
        next
    }
}

fn tokens(glob: &str) -> Vec<Token> {
    let mut tokens = Vec::with_capacity(glob.len());
    for byte in glob.bytes() {
        match (byte, tokens.last()) {
            (b'*', Some(Token::Segment)) => {
                tokens.pop();
                tokens.push(Token::Anything);
            }
            (b'*', Some(Token::Anything)) => {}
            (b'*', _) => tokens.push(Token::Segment),
            (byte, _) => tokens.push(Token::Byte(byte)),
        }
    }
    tokens
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_what_they_should() {
        for (glob, text, fits) in [
            ("team-a", "team-a", true),
            ("team-a", "team-ab", false),
            ("team-*", "team-", true),
            ("team-*", "team-a", true),
            ("*", "anything", true),
            ("*", "", true),
            ("", "", true),
            ("", "a", false),
            ("registry.test/*", "registry.test/app", true),
            ("registry.test/*", "registry.test/team/app", false),
            ("registry.test/**", "registry.test/team/app", true),
            ("registry.test/**/app", "registry.test/a/b/app", true),
            ("registry.test/*/app", "registry.test/a/b/app", false),
            ("**", "a/b/c", true),
            ("***", "a/b/c", true),
            ("*.test/**", "registry.test/x", true),
            ("*a*b*", "xaxbx", true),
            ("*a*b*", "xbxax", false),
            ("r?g", "reg", false),
        ] {
            assert_eq!(matches(glob, text), fits, "{glob} {text}");
        }
    }

    #[test]
    fn a_hostile_glob_costs_no_more_than_a_table() {
        let (glob, text) = ("a*".repeat(200), "a".repeat(2000));
        assert!(matches(&glob, &text));
        assert!(!matches(&format!("{glob}b"), &text));
    }
}
