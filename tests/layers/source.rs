//! What a source file says of itself: the paths that it names, how long its functions are, how long it is
//! without its tests. It reads tokens, so that comments and strings count for nothing and macros do count.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr as _;

use proc_macro2::{Delimiter, Group, Ident, LexError, TokenStream, TokenTree};

/// A path in the source, made absolute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) line: usize,
    /// From the root of this crate, or beginning with another crate's name.
    pub(crate) segments: Vec<String>,
    /// Whether it leads into another crate.
    pub(crate) external: bool,
}

/// A function with a body, tests apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    /// From `fn` to its closing brace.
    pub(crate) lines: usize,
}

/// A source file without its tests.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) paths: Vec<Path>,
    pub(crate) functions: Vec<Function>,
    pub(crate) lines: usize,
}

/// A path as it is written, with the module that it is written in.
struct Written {
    line: usize,
    segments: Vec<String>,
    module: Vec<String>,
}

#[derive(Default)]
struct Reader {
    /// Paths of `use`, and those in code.
    imported: Vec<Written>,
    inline: Vec<Written>,
    /// What `use` calls them here.
    names: BTreeMap<String, usize>,
    children: BTreeSet<Vec<String>>,
    functions: Vec<Function>,
    test_lines: usize,
}

impl Source {
    /// Reads the text of the file of `module`.
    pub(crate) fn read(module: &str, text: &str) -> Result<Self, LexError> {
        let module: Vec<String> =
            module.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect();
        let mut reader = Reader::default();
        reader.walk(&tokens(TokenStream::from_str(text)?), &module);
        let lines = text.lines().count() - reader.test_lines;
        Ok(Self { paths: reader.resolve(), functions: reader.functions, lines })
    }
}

impl Reader {
    fn walk(&mut self, tokens: &[TokenTree], module: &[String]) {
        let mut at = 0;
        while at < tokens.len() {
            at += self.item(&tokens[at..], at.checked_sub(1).map(|before| &tokens[before]), module);
        }
    }

    /// Reads what begins here; answers how many tokens that took.
    fn item(&mut self, rest: &[TokenTree], before: Option<&TokenTree>, module: &[String]) -> usize {
        match rest {
            [TokenTree::Punct(hash), TokenTree::Group(attribute), ..]
                if hash.as_char() == '#' && is_cfg_test(attribute) =>
            {
                self.skip_test(rest)
            }
            [TokenTree::Ident(word), TokenTree::Ident(name), next, ..] if word == "mod" => {
                let inner = [module, &[name.to_string()]].concat();
                self.children.insert(inner.clone());
                if let TokenTree::Group(body) = next {
                    self.walk(&tokens(body.stream()), &inner);
                }
                3
            }
            [TokenTree::Ident(word), ..] if word == "use" => {
                let end = rest.iter().position(|token| is_punct(token, ';')).unwrap_or(rest.len());
                self.use_tree(&rest[1..end], &[], module);
                end
            }
            [TokenTree::Ident(word), TokenTree::Ident(name), ..] if word == "fn" => {
                self.function(name, rest);
                1
            }
            [TokenTree::Ident(first), ..] if is_path(&rest[1..]) && !before.is_some_and(is_colon) => {
                let (segments, taken) = path(rest);
                let line = first.span().start().line;
                self.inline.push(Written { line, segments, module: module.to_vec() });
                taken
            }
            [TokenTree::Group(group), ..] => {
                self.walk(&tokens(group.stream()), module);
                1
            }
            _ => 1,
        }
    }

    /// Skips `#[cfg(test)]` and the item after it, which ends with a block or a semicolon.
    fn skip_test(&mut self, rest: &[TokenTree]) -> usize {
        let ends = |token: &TokenTree| is_punct(token, ';') || is_braces(token);
        let Some(end) = rest.iter().position(ends) else { return rest.len() };
        let (first, last) = (rest[0].span().start().line, rest[end].span().end().line);
        self.test_lines += last - first + 1;
        end + 1
    }

    fn function(&mut self, name: &Ident, rest: &[TokenTree]) {
        let end = rest.iter().find(|token| is_punct(token, ';') || is_braces(token));
        let Some(TokenTree::Group(body)) = end else { return };
        let line = rest[0].span().start().line;
        let lines = body.span_close().end().line - line + 1;
        self.functions.push(Function { name: name.to_string(), line, lines });
    }

    fn use_tree(&mut self, tree: &[TokenTree], prefix: &[String], module: &[String]) {
        let (segments, taken) = path(tree);
        let segments = [prefix, &segments].concat();
        if let Some(TokenTree::Group(group)) = tree.get(taken) {
            for branch in tokens(group.stream()).split(|token| is_punct(token, ',')) {
                self.use_tree(branch, &segments, module);
            }
        } else if let Some(first) = tree.first() {
            let renamed =
                tree.get(taken).filter(|word| matches!(word, TokenTree::Ident(word) if word == "as"));
            let name = renamed.and(tree.get(taken + 1)).map(ToString::to_string);
            let named = |name: &String| name != "self";
            let own = segments.iter().rev().find(|name| named(name)).cloned();
            self.names.extend(name.or(own).map(|name| (name, self.imported.len())));
            let segments = segments.iter().enumerate().filter(|(at, name)| *at == 0 || named(name));
            let segments = segments.map(|(_, name)| name.clone()).collect();
            let line = first.span().start().line;
            self.imported.push(Written { line, segments, module: module.to_vec() });
        }
    }

    fn resolve(&self) -> Vec<Path> {
        let imported: Vec<Path> = self.imported.iter().map(|written| self.absolute(written)).collect();
        let inline = self.inline.iter().map(|written| {
            let import = written.segments.first().and_then(|name| self.names.get(name));
            match import.map(|at| &imported[*at]) {
                Some(import) => Path {
                    line: written.line,
                    segments: [import.segments.as_slice(), &written.segments[1..]].concat(),
                    external: import.external,
                },
                None => self.absolute(written),
            }
        });
        let inline: Vec<Path> = inline.collect();
        imported.into_iter().chain(inline).collect()
    }

    fn absolute(&self, written: &Written) -> Path {
        let mut module = written.module.clone();
        let mut rest = written.segments.as_slice();
        let mut external = false;
        match rest.first().map(String::as_str) {
            Some("crate" | "hallmark") => {
                module.clear();
                rest = &rest[1..];
            }
            Some("self") => rest = &rest[1..],
            Some("super") => {}
            Some(name) if self.children.contains(&[module.as_slice(), &[name.to_owned()]].concat()) => {}
            _ => {
                module.clear();
                external = true;
            }
        }
        while rest.first().is_some_and(|name| name == "super") {
            module.pop();
            rest = &rest[1..];
        }
        Path { line: written.line, segments: [&module, rest].concat(), external }
    }
}

fn tokens(stream: TokenStream) -> Vec<TokenTree> {
    stream.into_iter().collect()
}

/// The segments of the path that begins here, and how many tokens they and the `::` between take.
fn path(tokens: &[TokenTree]) -> (Vec<String>, usize) {
    let mut segments = Vec::new();
    let mut at = 0;
    // A path may begin with `::`.
    while tokens.get(at).is_some_and(is_colon) {
        at += 1;
    }
    while let Some(TokenTree::Ident(name)) = tokens.get(at) {
        segments.push(name.to_string());
        at += 1;
        if !is_path(&tokens[at..]) {
            break;
        }
        at += 2;
    }
    (segments, at)
}

fn is_path(tokens: &[TokenTree]) -> bool {
    matches!(tokens, [first, second, ..] if is_colon(first) && is_colon(second))
}

fn is_colon(token: &TokenTree) -> bool {
    is_punct(token, ':')
}

fn is_punct(token: &TokenTree, wanted: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == wanted)
}

fn is_braces(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace)
}

fn is_cfg_test(attribute: &Group) -> bool {
    attribute.stream().to_string().replace(' ', "") == "cfg(test)"
}
