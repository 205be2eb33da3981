//! Patterns of module paths, as GONOSUMDB and GOPRIVATE have them (SPEC M56).
//!
//! A pattern is compared with as many leading elements of a path as it has itself: `example.com/team` and `example.com/*`
//! take everything below, `*` takes every module. Within an element it is a pattern of Go's `path.Match`.

use crate::invalid::Invalid;
use crate::module_path::ModulePath;
use alloc::vec::Vec;

/// Longest pattern, in bytes: as long as the longest module path.
pub const MAX_BYTES: usize = ModulePath::MAX_ESCAPED_BYTES;

/// The patterns of a list such as GONOSUMDB: separated by commas, empty ones passed over, and a slash at the end of one
/// does not count.
pub fn split(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(|glob| glob.strip_suffix('/').unwrap_or(glob)).filter(|glob| !glob.is_empty())
}

/// Whether one of the patterns of a list matches the path; for one path. [`Patterns`] reads a list once for many.
pub fn matches(list: &str, path: &str) -> bool {
    Patterns::new(list).match_path(path)
}

/// Whether a single pattern can be read; for whoever takes one from a user.
pub fn check(pattern: &str) -> Result<(), Invalid> {
    let invalid = |reason: &'static str| Err(Invalid::new("pattern", pattern, reason));
    if pattern.len() > MAX_BYTES {
        return invalid("longer than 640 bytes");
    }
    if pattern.contains(',') || pattern.chars().any(|c| c.is_control() || c == ' ') {
        return invalid("holds a comma, a space or a control character; say several patterns one by one");
    }
    // As it is matched: what a slash at its end completes is not complete without it.
    let Some(glob) = split(pattern).next() else { return invalid("empty") };
    if read(glob).is_none() {
        return invalid("[ or \\ without its end");
    }
    Ok(())
}

/// The patterns of a list, read once for many paths.
pub struct Patterns(Vec<(usize, Vec<Token>)>);

impl Patterns {
    /// Reads a list such as GONOSUMDB; a pattern that cannot be read matches nothing.
    pub fn new(list: &str) -> Self {
        Self(split(list).filter_map(|glob| Some((glob.matches('/').count() + 1, read(glob)?))).collect())
    }

    /// Whether one of them matches the path, as `module.MatchPrefixPatterns` of golang.org/x/mod says.
    pub fn match_path(&self, path: &str) -> bool {
        let text: Vec<char> = path.chars().collect();
        self.0.iter().any(|(elements, tokens)| {
            let ends = text.iter().enumerate().filter(|(_, c)| **c == '/').map(|(at, _)| at).chain([text.len()]);
            // None if the path has fewer elements than the pattern.
            ends.take(*elements).nth(elements - 1).is_some_and(|end| is_match(tokens, &text[..end]))
        })
    }
}

enum Token {
    /// `*`: any run without a slash.
    Run,
    /// `?`: one character that is no slash.
    Any,
    /// `[...]`: one character in a range, or with `^` in none.
    Class(bool, Vec<(char, char)>),
    /// The character itself.
    Char(char),
}

/// None for what `path.Match` calls a bad pattern.
fn read(glob: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = glob.chars().peekable();
    while let Some(c) = rest.next() {
        tokens.push(match c {
            '*' => Token::Run,
            '?' => Token::Any,
            '\\' => Token::Char(rest.next()?),
            '[' => {
                let is_negated = rest.next_if_eq(&'^').is_some();
                let mut ranges = Vec::new();
                let one = |rest: &mut core::iter::Peekable<core::str::Chars<'_>>| match rest.next()? {
                    '-' | ']' => None,
                    '\\' => rest.next(),
                    c => Some(c),
                };
                while ranges.is_empty() || rest.next_if_eq(&']').is_none() {
                    let low = one(&mut rest)?;
                    let high = if rest.next_if_eq(&'-').is_some() { one(&mut rest)? } else { low };
                    ranges.push((low, high));
                }
                Token::Class(is_negated, ranges)
            }
            c => Token::Char(c),
        });
    }
    Some(tokens)
}

/// Goes back to the last run only: what an earlier one could take, the last can take as well.
fn is_match(tokens: &[Token], text: &[char]) -> bool {
    let (mut token, mut at) = (0, 0);
    let mut last_run: Option<(usize, usize)> = None;
    while at < text.len() || token < tokens.len() {
        let is_one = match (tokens.get(token), text.get(at)) {
            (Some(Token::Run), _) => {
                last_run = Some((token, at));
                token += 1;
                continue;
            }
            (Some(Token::Any), Some(&c)) => c != '/',
            (Some(Token::Class(is_negated, ranges)), Some(&c)) => {
                ranges.iter().any(|&(low, high)| (low..=high).contains(&c)) != *is_negated
            }
            (Some(Token::Char(wanted)), Some(c)) => wanted == c,
            _ => false,
        };
        if is_one {
            (token, at) = (token + 1, at + 1);
            continue;
        }
        // The run takes one more, unless that is a slash.
        let Some((run, taken)) = last_run.filter(|&(_, taken)| text.get(taken).is_some_and(|&c| c != '/')) else {
            return false;
        };
        last_run = Some((run, taken + 1));
        (token, at) = (run + 1, taken + 1);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_match_as_they_do_for_go() {
        let yes = [
            ("*", "example.com/a/b"),
            ("example.com", "example.com/a"),
            ("example.com/", "example.com/a"),
            ("example.com/*", "example.com/a/b"),
            ("*.example.com", "git.example.com/a"),
            ("x,,*.corp/t?am", "git.corp/team/x"),
            ("a[b-d]e", "ace/x"),
            ("a[^b-d]e", "aze"),
            ("a\\*", "a*"),
            ("*a*b", "xaxaxb"),
            ("a[\\]]", "a]"),
        ];
        let no = [
            ("", "a"),
            (",", "a"),
            ("example.com/a/b", "example.com/a"),
            ("example.com", "example.community"),
            ("*.example.com", "example.com"),
            ("example.com/t?am", "example.com/teeam"),
            ("a[b-d]e", "aze"),
            ("[", "["),
            ("a\\", "a\\"),
            ("a[]b]", "ab"),
            ("[a-]", "a"),
            ("*a*b", "xaxaxbx"),
            ("?", "/"),
        ];
        for (pattern, path) in yes {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in no {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn bad_patterns_are_told_apart() {
        for bad in ["", "/", "a,b", "a b", "[", "[a", "a\\", "a\\/", "[]", "[a-]"] {
            assert!(check(bad).is_err(), "{bad}");
        }
        for good in ["*", "example.com/*", "a[b-c]", "a/"] {
            assert!(check(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn many_runs_take_no_time() {
        let (pattern, path) = ("*a".repeat(500), "a".repeat(600) + "b");
        assert!(!matches(&pattern, &path));
    }
}
