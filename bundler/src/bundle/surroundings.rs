//! What lies beside a go.mod and will stop go inside, though it does not stop a bundle: a go.work of other modules, and a
//! `vendor` that is not whole. Both come with module zips.

use crate::error::Warning;
use std::fs;
use std::path::Path;

/// Names what in the directory will stop go inside, though it does not stop the bundle.
pub(crate) fn warnings_about(directory: &Path, name: &str) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn = |message: String, hint: &str| warnings.push(Warning::new(message, Some(hint)));
    if let Ok(text) = fs::read_to_string(directory.join("go.work")) {
        for member in members_of(&text).filter(|member| !directory.join(member).join("go.mod").is_file()) {
            warn(
                format!("{name}: go.work names {member}, where no go.mod is; go commands there will fail"),
                "a module zip carries the go.work of its repository but not the other modules: remove it, or set GOWORK=off",
            );
        }
    }
    let vendor = directory.join("vendor");
    let hint = "a module zip carries a stub of vendor: remove it, or build with -mod=mod";
    match fs::read_to_string(vendor.join("modules.txt")) {
        Ok(text) => {
            let mut packages = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
            if let Some(package) = packages.find(|package| !vendor.join(package).is_dir()) {
                warn(
                    format!(
                        "{name}: vendor does not have {package}, which its modules.txt names; go build there will fail"
                    ),
                    hint,
                );
            }
        }
        Err(_) if vendor.is_dir() => {
            warn(format!("{name}: vendor has no modules.txt; go build there will call it inconsistent"), hint);
        }
        Err(_) => {}
    }
    warnings
}

/// Whether every module that a go.work uses is there; a module zip carries the go.work of its repository, not the modules.
pub(crate) fn has_all_members(go_work: &Path) -> bool {
    let directory = go_work.parent().unwrap_or(Path::new("."));
    let Ok(text) = fs::read_to_string(go_work) else { return false };
    members_of(&text).all(|member| directory.join(member).join("go.mod").is_file())
}

/// The directories that a go.work uses, as they stand there.
pub(crate) fn members(go_work: &Path) -> Vec<String> {
    fs::read_to_string(go_work).map(|text| members_of(&text).collect()).unwrap_or_default()
}

/// Warns of a go.work above a module: go commands in the module use it.
pub(crate) fn workspace_above(directory: &Path) -> Option<Warning> {
    let absolute = std::path::absolute(directory).ok()?;
    let go_work = absolute.ancestors().skip(1).map(|above| above.join("go.work")).find(|file| file.is_file())?;
    let message = format!(
        "{}: go commands there use {}, and the bundle is for the module alone",
        directory.display(),
        go_work.display()
    );
    Some(Warning::new(message, Some("bundle the directory of the go.work; or set GOWORK=off here and inside")))
}

/// The modules that a go.mod or go.work replaces, with what it puts in their place: a module path, or a directory as it stands
/// there.
pub(crate) fn replacements(file: &Path) -> Vec<(String, String)> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let first = |words: &str| unquoted(words.trim().split([' ', '\t']).next().unwrap_or_default());
    lines_of("replace", &text)
        .filter_map(|line| line.split_once("=>").map(|(old, new)| (first(old), unquoted(new))))
        .collect()
}

/// Whether go takes what stands in the place of a module for a directory.
pub(crate) fn is_directory(new: &str) -> bool {
    matches!(new, "." | "..") || ["./", "../"].iter().any(|with| new.starts_with(with)) || Path::new(new).is_absolute()
}

/// The directories of the `use` lines of a go.work.
fn members_of(go_work: &str) -> impl Iterator<Item = String> {
    lines_of("use", go_work).map(|member| unquoted(&member)).filter(|member| !member.is_empty())
}

fn unquoted(word: &str) -> String {
    word.trim().trim_matches(['"', '`']).to_owned()
}

/// What follows a verb, on its line or in its block.
fn lines_of<'t>(verb: &'static str, text: &'t str) -> impl Iterator<Item = String> + 't {
    let mut is_inside = false;
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or_default().trim().to_owned());
    lines.filter_map(move |line| match line.as_str() {
        ")" => {
            is_inside = false;
            None
        }
        line if is_inside => Some(line.to_owned()),
        line => match line.strip_prefix(verb)? {
            rest if rest.trim_start() == "(" => {
                is_inside = true;
                None
            }
            rest if rest.starts_with([' ', '\t', '"', '`']) => Some(rest.trim_start().to_owned()),
            _ => None,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_work_members_are_read_from_lines_and_blocks() {
        let text = "go 1.26\nuse ./a // one\nuse (\n\t./b\n\t\"./c d\"\n)\nreplace x => y\n";
        assert_eq!(members_of(text).collect::<Vec<_>>(), ["./a", "./b", "./c d"]);
    }

    #[test]
    fn replacements_are_read_and_directories_told_from_modules() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("go.mod");
        let text = "replace a.test/a => ../a // why\nreplace (\n\ta.test/b v1.0.0 => \"./b c\"\n\ta.test/c => a.test/d v1.0.0\n\
                    \ta.test/e => /srv/e\n)\nrequire a.test/f v1.0.0\nreplace a.test/g => ..\n";
        fs::write(&file, text).unwrap();
        let replaced = replacements(&file);
        let old: Vec<&str> = replaced.iter().map(|(old, _)| old.as_str()).collect();
        assert_eq!(old, ["a.test/a", "a.test/b", "a.test/c", "a.test/e", "a.test/g"]);
        let new = replaced.iter().map(|(_, new)| new.as_str()).filter(|new| is_directory(new));
        assert_eq!(new.collect::<Vec<_>>(), ["../a", "./b c", "/srv/e", ".."]);
        assert!(replacements(&dir.path().join("none")).is_empty());
    }
}
