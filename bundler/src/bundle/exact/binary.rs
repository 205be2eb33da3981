//! A program built by go as a root: exactly the modules that its build info names, replacements applied.
//!
//! Requirements that none of its packages needed are not in there, nor are those of tests.

use crate::bundle::exact::build_info::{self, Found, MAX_PROGRAM_BYTES, Module};
use crate::bundle::exact::{self, List};
use crate::error::{Error, ErrorKind, Result, Warning};
use modferry_format::ModuleVersion;
use modferry_format::carried::Files;
use modferry_format::go_sum::GoSum;
use modferry_format::header::{Local, RootKind};
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

/// The version of a module that was built from a directory.
const FROM_DIRECTORY: &str = "(devel)";

pub(super) fn read(file: &Path, name: &str) -> Result<List> {
    let open = File::open(file).map_err(|error| Error::io(file, "could not be read", &error))?;
    let found = build_info::find(&mut BufReader::new(open));
    let root_error = |message: &str| Error::new(ErrorKind::Root, format!("{name}: {message}"));
    match found.map_err(|error| Error::io(file, "could not be read", &error))? {
        Found::Texts { go, modules } => {
            let mut list = list(&go, &modules, name)?;
            if list.root.module.is_empty() {
                list.root.module = exact::file_name(file);
            }
            Ok(list)
        }
        Found::Old => Err(root_error("was built by a go before 1.18, whose build info is not read")
            .hint("build it with a newer go, or bundle the module that it was built from")),
        Found::Nothing => Err(root_error(&format!(
            "is a program, but has no build info of go in its first {} GiB",
            MAX_PROGRAM_BYTES >> 30
        ))
        .hint("a program that go did not build, or one that was packed afterwards; go version -m shows what it says")),
    }
}

fn list(go: &str, lines: &str, name: &str) -> Result<List> {
    let invalid = |reason: String| {
        Error::new(ErrorKind::Root, format!("{name}: its build info could not be understood"))
            .because(reason)
            .hint("go version -m shows it")
    };
    if lines.is_empty() {
        let message = format!("{name}: was built without modules, so it does not say from which");
        return Err(Error::new(ErrorKind::Root, message).hint("build it with go build in a module"));
    }
    let modules = build_info::parse(lines).map_err(invalid)?;
    let mut list = List::new(RootKind::Binary, modules.package);
    list.root.go = go.split(' ').next().unwrap_or_default().trim_start_matches("go").to_owned();
    let mut sums = String::new();
    for module in &modules.dependencies {
        let built = module.replaced_by.as_deref().unwrap_or(module);
        let named = format!("{}@{}", module.path, module.version);
        if built.version == FROM_DIRECTORY {
            list.warnings.push(from_directory(name, module, built));
            list.root.local.push(Local {
                module: if module.replaced_by.is_some() { String::new() } else { module.path.clone() },
                replaces: module.replaced_by.as_ref().map(|_| named),
                go: String::new(),
                requires: Vec::new(),
            });
            continue;
        }
        let text = format!("{}@{}", built.path, built.version);
        let version: ModuleVersion = text.parse().map_err(|error| invalid(format!("{text}: {error}")))?;
        if module.replaced_by.is_some() {
            list.root.replaces.push(format!("{named} => {text}"));
        }
        list.root.requires.push(named);
        sums.push_str(&format!("{} {} {}\n", built.path, built.version, built.h1));
        list.add(version, Files::Whole);
    }
    if let Some(main) = &modules.main {
        list.root.module.clone_from(&main.path);
        let built = main.replaced_by.as_deref().unwrap_or(main);
        // A checkout with changes is `+dirty`, which is no version that anybody could have published.
        if let Ok(version) = format!("{}@{}", built.path, built.version).parse::<ModuleVersion>() {
            sums.push_str(&format!("{} {} {}\n", built.path, built.version, built.h1));
            list.root.requires.push(version.to_string());
            list.main = Some(version.clone());
            list.add(version, Files::Whole);
        } else {
            list.notes.push(format!("its main module {} was built from a directory, and is not carried", main.path));
        }
    }
    // A module that was built with -mod=vendor has no hash: two fields say nothing.
    let sums: String = sums.lines().filter(|line| line.contains(" h1:")).map(|line| format!("{line}\n")).collect();
    list.sums = GoSum::parse(&sums).map_err(|error| invalid(error.to_string()))?;
    list.notes.push(format!(
        "exactly the {} modules that it was built from, by {go}; not the go.mod files of others, nor what only tests need",
        list.versions.len()
    ));
    list.root.requires.sort();
    list.root.replaces.sort();
    list.root.local.sort();
    Ok(list)
}

fn from_directory(name: &str, module: &Module, built: &Module) -> Warning {
    let path = &module.path;
    let message = match &module.replaced_by {
        Some(_) => {
            format!("{name}: {path} was built from the directory {}: its source must travel on its own", built.path)
        }
        None => format!("{name}: {path} was built from a directory: its source must travel on its own"),
    };
    Warning::new(message, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::exact::build_info::tests::{LINES, program};
    use modferry_format::go_sum::Subject;

    const H1: &str = "h1:8niJSrMCucZPwiVC6/xVzybD9e3BXZnSfvU3A8DQICU=";

    #[test]
    fn what_was_built_is_listed() {
        let lines = format!(
            "path\ta.test/app/cmd\nmod\ta.test/app\tv1.0.0-pre+dirty\t\ndep\ta.test/dep\tv1.0.0\t{H1}\n\
             dep\ta.test/old\tv1.1.0\n=>\ta.test/new\tv1.2.0\t{H1}\ndep\ta.test/here\tv0.1.0\n=>\t../here\t(devel)\t\n\
             dep\ta.test/member\t(devel)\t\ndep\ta.test/vendored\tv1.0.0\t\n"
        );
        let list = list("go1.26.8 X:x", &lines, "server").unwrap();
        let named: Vec<_> = list.versions.keys().map(ToString::to_string).collect();
        assert_eq!(named, ["a.test/dep@v1.0.0", "a.test/new@v1.2.0", "a.test/vendored@v1.0.0"]);
        assert_eq!((list.root.module.as_str(), list.root.go.as_str(), list.main), ("a.test/app", "1.26.8", None));
        assert_eq!(list.root.replaces, ["a.test/old@v1.1.0 => a.test/new@v1.2.0"]);
        let local: Vec<_> = list.root.local.iter().map(|l| (l.module.as_str(), l.replaces.as_deref())).collect();
        assert_eq!(local, [("", Some("a.test/here@v0.1.0")), ("a.test/member", None)]);
        assert_eq!(list.warnings.len(), 2);
        let stated = |version: &str| list.sums.expected(&Subject::Zip(version.parse().unwrap())).len();
        assert_eq!((stated("a.test/new@v1.2.0"), stated("a.test/vendored@v1.0.0")), (1, 0));
    }

    #[test]
    fn a_main_module_with_a_version_is_carried_too() {
        let list = list("go1.26.8", &format!("mod\ta.test/app\tv1.0.0\t{H1}\n"), "server").unwrap();
        assert_eq!(list.main.unwrap().to_string(), "a.test/app@v1.0.0");
        assert_eq!(list.versions.len(), 1);
    }

    #[test]
    fn hostile_programs_are_errors() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("p");
        let kind = |bytes: &[u8]| {
            std::fs::write(&file, bytes).unwrap();
            read(&file, "p").map(|list| list.versions.len()).map_err(|error| error.kind)
        };
        assert_eq!(kind(&program(0, "go1.26.8", LINES)), Ok(2));
        assert_eq!(kind(b"\x7fELF"), Err(ErrorKind::Root));
        for lines in
            ["dep\ta\n", "dep\t../x\tv1.0.0\t\n", "dep\ta.test/a\tlatest\t\n", "dep\ta.test/a\tv2.0.0\t\n", "x"]
        {
            let result = kind(&program(0, "go1.26.8", &format!("{lines}\n")));
            assert!(result == Err(ErrorKind::Root) || lines == "x", "{lines}: {result:?}");
        }
        let good = program(0, "go1.26.8", LINES);
        for place in 0..good.len() {
            let mut bad = good.clone();
            bad[place] ^= 0x41;
            let _ = kind(&bad);
        }
    }
}
