//! Runs every story in `scripts/` as a test of its own: `cargo test -p modferry-stories NAME` runs those with NAME in
//! their names.

use libtest_mimic::{Arguments, Failed, Trial};
use modferry_harness::built;
use modferry_stories::run_file;
use modferry_stories::stage::Place;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Stories wait for `go`, which uses several processors itself.
const THREADS: usize = 2;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts");
    let trials = stories(&scripts).into_iter().map(trial).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// The story files, sorted.
fn stories(scripts: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(scripts).expect("the folder scripts stands beside Cargo.toml");
    let paths = entries.map(|entry| entry.expect("the folder scripts can be read").path());
    let mut stories: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|end| end == "txt")).collect();
    stories.sort();
    stories
}

fn trial(path: PathBuf) -> Trial {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Trial::test(name, move || {
        let go_cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-build");
        let place = Place { modferry: built::modferry()?.to_owned(), go_cache };
        run_file(&path, &place).map_err(Failed::from)
    })
}
