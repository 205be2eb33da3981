//! Runs stories: texts that say what a user does and what must come of it. Their syntax is in `README.md`.
//!
//! - [`story`] reads the text; [`stage`] sets it up in a directory of its own and goes through its steps
//! - `process` starts programs, `expect` judges what they printed, `files` touches what lies on the disk
//! - `plant` makes hostile zips and reseals bundles; `glob` finds files by pattern

mod expect;
mod files;
mod glob;
mod plant;
mod process;
pub mod stage;
pub mod story;

use modferry_harness::{Outcome, at};
use stage::{Place, Stage};
use std::fs;
use std::path::Path;
use story::Story;

/// Runs the story in this file; the error is a report of the step that failed.
pub fn run_file(path: &Path, place: &Place) -> Outcome<()> {
    let text = fs::read_to_string(path).map_err(at(path))?;
    let story = Story::parse(&text).map_err(at(path))?;
    Stage::set(&story, place)?.play(&story).map_err(|failure| format!("{}:{failure}", path.display()))
}
