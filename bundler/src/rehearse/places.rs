//! Texts without places of this machine: what a rehearsal says is kept in bundles and read elsewhere.

use serde::{Deserialize, Serialize};

/// Shorter paths, such as `/`, say nothing of a machine and are in too many words.
const MIN_BYTES: usize = 3;

/// Directories with the names that stand for them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Places(Vec<(String, String)>);

impl Places {
    /// More of them. What has no name of its own is left as it is.
    pub(super) fn with<'a>(&self, places: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let new = places.into_iter().map(|(path, name)| (path.trim_end_matches('/').to_owned(), name.to_owned()));
        let mut all: Vec<_> = new.filter(|(path, _)| path.len() >= MIN_BYTES).chain(self.0.iter().cloned()).collect();
        // The innermost first: a home directory is around most others. Of two names the one that was given last.
        all.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
        Self(all)
    }

    /// The text with names in the place of directories.
    pub(super) fn hide(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (path, name)| replaced(&text, path, name))
    }
}

/// Replaces a path where it is a whole one or the beginning of one, and not a part of another name.
fn replaced(text: &str, path: &str, name: &str) -> String {
    let is_of_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(path) {
        let (before, after) = (&rest[..at], &rest[at + path.len()..]);
        let is_longer = after.chars().next().is_some_and(|c| is_of_name(c) && c != '.');
        let is_whole = !before.chars().next_back().or(out.chars().next_back()).is_some_and(is_of_name) && !is_longer;
        out.push_str(before);
        out.push_str(if is_whole { name } else { path });
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hides_whole_paths_innermost_first() {
        let places = Places::default().with([("/home/u", "~"), ("/home/u/work/", "$WORK"), ("/", "root")]);
        let places = places.with([("/home/u/work", ".")]);
        for (text, hidden) in [
            ("/home/u/work/a.go:1: x", "./a.go:1: x"),
            ("open /home/u: no", "open ~: no"),
            ("/home/user/x /home/u.", "/home/user/x ~."),
            ("file:///home/u/go, /srv/home/u", "file://~/go, /srv/home/u"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(places.hide(text), hidden);
        }
    }
}
