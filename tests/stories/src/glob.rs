//! Finds files by pattern: `*` is any part of one name, `**/` any folders or none.

use modferry_harness::Outcome;
use regex::Regex;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// All paths that match, sorted; a pattern without `*` matches the path itself, where it exists.
pub(crate) fn find(pattern: &Path) -> Outcome<Vec<PathBuf>> {
    let text = pattern.to_str().ok_or("a pattern is UTF-8")?;
    let Some(star) = text.find('*') else {
        return Ok(pattern.symlink_metadata().map(|_| pattern.to_owned()).into_iter().collect());
    };
    // The walk begins at the last folder that is written out.
    let start = text[..star].rfind('/').map_or(Path::new("."), |slash| Path::new(&text[..slash]));
    let escaped = regex::escape(text).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*");
    let regex = Regex::new(&format!("^(?:{escaped})$")).map_err(|error| error.to_string())?;
    let mut found: Vec<PathBuf> = WalkDir::new(start)
        .into_iter()
        // What vanishes during the walk, because a program is at work, was not there.
        .filter_map(Result::ok)
        .map(walkdir::DirEntry::into_path)
        .filter(|path| path.to_str().is_some_and(|path| regex.is_match(path)))
        .collect();
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn stars_stay_within_a_name_and_double_stars_do_not() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("a/b")).unwrap();
        for name in ["x.zip", "a/y.zip", "a/b/z.zip", ".x.partial-1"] {
            fs::write(at(name), "").unwrap();
        }
        let found = |pattern: &str| find(&at(pattern)).unwrap();
        assert_eq!(found("*.zip"), [at("x.zip")]);
        assert_eq!(found("*/*.zip"), [at("a/y.zip")]);
        assert_eq!(found("**/*.zip"), [at("a/b/z.zip"), at("a/y.zip"), at("x.zip")]);
        assert_eq!(found(".x.partial-*"), [at(".x.partial-1")]);
        assert_eq!(found("a/y.zip"), [at("a/y.zip")]);
        assert!(found("a/nothing").is_empty());
        assert!(found("nothing/*").is_empty());
    }
}
