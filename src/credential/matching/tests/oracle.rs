//! The matcher against a second one that follows the words of §3.1 without a thought for speed.

use super::*;

/// `*` by trying every length, which is what "any run of characters" says.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some((b'*', rest)) => (0..=text.len()).any(|length| glob(rest, &text[length..])),
        Some((first, rest)) => text.first() == Some(first) && glob(rest, &text[1..]),
    }
}

fn naive(key_host: &str, key_path: &str, host: &str, path: &str) -> bool {
    let (ours, theirs): (Vec<&str>, Vec<&str>) = (key_host.split('.').collect(), host.split('.').collect());
    ours.len() == theirs.len()
        && ours.iter().zip(&theirs).all(|(pattern, label)| glob(pattern.as_bytes(), label.as_bytes()))
        && format!("/{path}").starts_with(&format!("/{key_path}"))
}

/// Numbers that are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn word(&mut self, alphabet: &str, longest: usize) -> String {
        let length = 1 + self.below(longest);
        (0..length).map(|_| char::from(alphabet.as_bytes()[self.below(alphabet.len())])).collect()
    }

    fn joined(&mut self, alphabet: &str, separator: &str, most: usize) -> String {
        let parts = 1 + self.below(most);
        (0..parts).map(|_| self.word(alphabet, 4)).collect::<Vec<_>>().join(separator)
    }
}

#[test]
fn thousands_of_random_keys_match_as_the_words_of_the_rule_say() {
    let mut dice = Dice(1);
    let (mut matched, mut total) = (0, 0);
    for _ in 0..20_000 {
        let (host, path) = (format!("{}.ab", dice.joined("ab", ".", 2)), dice.joined("ab", "/", 3));
        let Ok(repository) = Repository::parse(&format!("{host}/{path}")) else { continue };
        let key_host = format!("{}.{}", dice.joined("ab*", ".", 2), dice.word("ab*", 2));
        let key_path = if dice.below(2) == 0 { String::new() } else { dice.joined("ab", "/", 2) };
        let key = Key::parse(&format!("{key_host}/{key_path}")).unwrap();
        let expected = naive(&key_host, &key_path, &host, &path);
        let found = key.matches(&Sought::of(&repository)).is_some();
        assert_eq!(found, expected, "{key} for {repository}");
        matched += usize::from(found);
        total += 1;
    }
    assert!(matched > 200 && total - matched > 200, "both answers are exercised: {matched} of {total}");
}

#[test]
fn every_spelling_of_a_key_means_the_same() {
    let mut dice = Dice(7);
    for _ in 0..500 {
        let (host, path) = (format!("{}.ab", dice.joined("ab*", ".", 2)), dice.joined("ab", "/", 2));
        let plain = Key::parse(&format!("{host}/{path}")).unwrap();
        for spelling in [
            format!("https://{host}/{path}"),
            format!("HTTPS://{}/{path}/", host.to_uppercase()),
            format!("http://{host}:80/v2/{path}//"),
            format!("{host}.:443/v1/{path}"),
            format!("https://user:secret@{host}/{path}?query#fragment"),
        ] {
            assert_eq!(Key::parse(&spelling).unwrap().pattern, plain.pattern, "{spelling}");
        }
    }
}

#[test]
fn random_texts_never_break_the_parser_and_sound_keys_stay_what_they_are() {
    let mut dice = Dice(42);
    for _ in 0..20_000 {
        let text = dice.word("ab.:/*[]@?#-1 ", 16);
        let Ok(key) = Key::parse(&text) else { continue };
        let Pattern { host, port, path } = key.pattern;
        let port = port.map_or_else(String::new, |port| format!(":{port}"));
        let again = Key::parse(&format!("{host}{port}/v2/{path}")).unwrap();
        assert_eq!(again.pattern.host, host, "{text}");
        assert_eq!(again.pattern.path, path, "{text}");
    }
}

#[test]
fn the_order_of_specificity_is_total_for_any_keys_of_one_target() {
    let repository = repository("a.b.example.com/ns/img");
    let sought = Sought::of(&repository);
    let mut fits: Vec<Specificity> =
        ["a.b.example.com", "*.b.example.com", "*.*.example.com", "a*.b.example.com"]
            .iter()
            .flat_map(|host| ["", "/n", "/ns", "/ns/i", "/ns/img"].map(|path| format!("{host}{path}")))
            .map(|key| Key::parse(&key).unwrap().matches(&sought).unwrap())
            .collect();
    fits.sort_unstable();
    let count = fits.len();
    fits.dedup();
    assert_eq!((fits.len(), count), (20, 20), "no two of these are equally specific");
}
