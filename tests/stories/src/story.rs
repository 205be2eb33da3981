//! Reads a story: a comment, then steps, then files.

use modferry_format::ModuleVersion;
use modferry_harness::Outcome;
use modferry_harness::module::Module;

/// A whole story.
#[derive(Debug)]
pub struct Story {
    /// What is done and expected, in order.
    pub steps: Vec<Step>,
    /// Files of the working directory: name and content.
    pub files: Vec<(String, String)>,
    /// What the upstream offers.
    pub modules: Vec<Module>,
}

/// One line that does or expects something.
#[derive(Debug, Clone)]
pub struct Step {
    /// Line number in the story, from 1.
    pub line: usize,
    /// The line as it is written.
    pub text: String,
    /// Whether it begins with `!`: the opposite is expected.
    pub negated: bool,
    /// The words after that.
    pub words: Vec<Word>,
}

/// A word, whose variables are filled in when its step runs.
pub type Word = Vec<Piece>;

/// A piece of a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text that stands for itself.
    Text(String),
    /// `$NAME` or `${NAME}`.
    Variable(String),
}

impl Story {
    /// Reads the text; errors begin with the line number.
    pub fn parse(text: &str) -> Outcome<Self> {
        let mut steps = Vec::new();
        let mut files: Vec<(String, String)> = Vec::new();
        let mut has_comment = false;
        for (index, line) in text.lines().enumerate() {
            let number = index + 1;
            if let Some(name) = file_marker(line) {
                if files.iter().any(|(other, _)| other == name) {
                    return Err(format!("line {number}: a second file {name}"));
                }
                files.push((name.to_owned(), String::new()));
            } else if let Some((_, content)) = files.last_mut() {
                content.push_str(line);
                content.push('\n');
            } else if line.trim_start().starts_with('#') {
                has_comment = true;
            } else if !line.trim().is_empty() {
                if !has_comment {
                    return Err(format!("line {number}: a story begins with a comment that says what it shows"));
                }
                steps.push(Step::parse(line, number).map_err(|reason| format!("line {number}: {reason}"))?);
            }
        }
        if steps.is_empty() {
            return Err("line 1: a story has at least one step".to_owned());
        }
        let modules = upstream_modules(&mut files)?;
        Ok(Self { steps, files, modules })
    }
}

/// The name in a line `-- name --`.
fn file_marker(line: &str) -> Option<&str> {
    let name = line.strip_prefix("-- ")?.strip_suffix(" --")?.trim();
    (!name.is_empty()).then_some(name)
}

/// Takes the files below `upstream/MODULE@VERSION/` out and makes modules of them.
fn upstream_modules(files: &mut Vec<(String, String)>) -> Outcome<Vec<Module>> {
    let mut modules: Vec<Module> = Vec::new();
    let mut others = Vec::new();
    for (name, content) in files.drain(..) {
        let Some(path) = name.strip_prefix("upstream/") else {
            others.push((name, content));
            continue;
        };
        let (version, file) =
            split_module_file(path).ok_or_else(|| format!("{name}: not upstream/PATH@VERSION/FILE"))?;
        let version: ModuleVersion = version.parse().map_err(|error| format!("{name}: {error}"))?;
        let module = match modules.iter().position(|module| *module.version() == version) {
            Some(index) => modules.remove(index),
            None => Module::new(&version.to_string())?,
        };
        modules.push(module.file(file, content));
    }
    *files = others;
    Ok(modules)
}

/// `example.com/a@v1.0.0` and `sub/a.go` of `example.com/a@v1.0.0/sub/a.go`.
fn split_module_file(path: &str) -> Option<(&str, &str)> {
    let (module, rest) = path.split_once('@')?;
    let slash = module.len() + 1 + rest.find('/')?;
    Some((&path[..slash], &path[slash + 1..]))
}

impl Step {
    fn parse(line: &str, number: usize) -> Outcome<Self> {
        let mut words = words(line)?;
        let negated = words.first().is_some_and(|word| *word == [Piece::Text("!".to_owned())]);
        if negated {
            words.remove(0);
        }
        if words.is_empty() {
            return Err("nothing after the !".to_owned());
        }
        Ok(Self { line: number, text: line.trim().to_owned(), negated, words })
    }
}

/// Splits a line at spaces; single quotes keep everything between them, `''` inside them is one quote, and a `#`
/// at the start of a word begins a comment.
fn words(line: &str) -> Outcome<Vec<Word>> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() && !rest.starts_with('#') {
        let mut word = Word::new();
        while let Some(next) = rest.chars().next().filter(|c| !c.is_whitespace()) {
            let (piece, after) = match next {
                '\'' => quoted(&rest[1..])?,
                '$' => variable(&rest[1..])?,
                _ => {
                    let end = rest.find(|c: char| c.is_whitespace() || c == '\'' || c == '$').unwrap_or(rest.len());
                    (Piece::Text(rest[..end].to_owned()), &rest[end..])
                }
            };
            word.push(piece);
            rest = after;
        }
        words.push(word);
        rest = rest.trim_start();
    }
    Ok(words)
}

fn quoted(text: &str) -> Outcome<(Piece, &str)> {
    let mut content = String::new();
    let mut rest = text;
    loop {
        let end = rest.find('\'').ok_or("a quote that is never closed")?;
        content.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('\'') {
            Some(after) => {
                content.push('\'');
                rest = after;
            }
            None => return Ok((Piece::Text(content), rest)),
        }
    }
}

fn variable(text: &str) -> Outcome<(Piece, &str)> {
    let (name, rest) = match text.strip_prefix('{') {
        Some(braced) => braced.split_once('}').ok_or("a ${ that is never closed")?,
        None => {
            let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
            text.split_at(end)
        }
    };
    if name.is_empty() {
        return Err("a $ without a name; a dollar sign itself stands in single quotes".to_owned());
    }
    Ok((Piece::Variable(name.to_owned()), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Word {
        vec![Piece::Text(text.to_owned())]
    }

    #[test]
    fn words_are_split_at_spaces_and_kept_together_by_quotes() {
        let variable = |name: &str| Piece::Variable(name.to_owned());
        assert_eq!(words("cp a  b # why").unwrap(), [text("cp"), text("a"), text("b")]);
        assert_eq!(words("stdout 'a b$'").unwrap(), [text("stdout"), text("a b$")]);
        assert_eq!(words("append f 'it''s'").unwrap(), [text("append"), text("f"), text("it's")]);
        assert_eq!(words("append f ''").unwrap(), [text("append"), text("f"), text("")]);
        let word = vec![Piece::Text("a".to_owned()), variable("WORK"), Piece::Text("/b".to_owned())];
        assert_eq!(words("a$WORK/b").unwrap(), std::slice::from_ref(&word));
        assert_eq!(words("a${WORK}/b").unwrap(), [word]);
        for bad in ["a 'b", "a $", "a ${b", "a ${}"] {
            assert!(words(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_story_has_steps_files_and_modules() {
        let story = Story::parse(
            "# Shows it.\n\n! go build\nexists a\n-- app/a.go --\npackage a\n\n-- upstream/example.com/A@v1.0.0/x/a.go --\n\
             package x\n-- upstream/example.com/A@v1.0.0/go.mod --\nmodule example.com/A\n",
        )
        .unwrap();
        assert_eq!((story.steps[0].line, story.steps[0].negated, story.steps[0].words.len()), (3, true, 2));
        assert_eq!(story.steps[1].text, "exists a");
        assert_eq!(story.files, [("app/a.go".to_owned(), "package a\n\n".to_owned())]);
        assert_eq!(story.modules.len(), 1);
        assert_eq!(story.modules[0].version().to_string(), "example.com/A@v1.0.0");
        assert_eq!(story.modules[0].go_mod(), b"module example.com/A\n");
    }

    #[test]
    fn mistakes_are_named_with_their_line() {
        let error = |text: &str| Story::parse(text).unwrap_err();
        assert!(error("exists a\n").starts_with("line 1: a story begins with a comment"));
        assert!(error("# Only this.\n").contains("at least one step"));
        assert!(error("# A.\nexists a\n!\n").starts_with("line 3: nothing after"));
        assert!(error("# A.\nexists 'a\n").starts_with("line 2: a quote"));
        assert!(error("# A.\nexists a\n-- f --\n-- f --\n").starts_with("line 4: a second file f"));
        assert!(
            error("# A.\nexists a\n-- upstream/example.com/a/go.mod --\n").contains("not upstream/PATH@VERSION/FILE")
        );
        assert!(error("# A.\nexists a\n-- upstream/example.com/a@1/go.mod --\n").contains("version"));
    }
}
