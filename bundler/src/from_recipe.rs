//! The recipe and the command line, made one: what is said on the command line counts.
//!
//! - `--recipe FILE` is taken, else `modferry.toml` in the current directory if no root is named
//! - a flag takes the place of the recipe's member of that name, lists as a whole; roots that are named those of the recipe
//! - what stands in the recipe begins at its directory, what stands on the command line at the current one

use crate::cli::{self, Level};
use clap::ValueEnum;
use modferry::carrier::STREAM;
use modferry::context::{Context, Event};
use modferry::error::{Error, ErrorKind, Result};
use modferry::recipe::{MAX_BYTES, NAME, Recipe};
use std::fmt::Display;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The arguments with what a recipe adds, and where relative roots begin.
pub(crate) fn merged(arguments: &cli::Bundle, context: &Context<'_>) -> Result<(cli::Bundle, PathBuf)> {
    let here =
        std::env::current_dir().map_err(|error| Error::io(Path::new("."), "the current directory is gone", &error))?;
    let makes_something_else = arguments.like.is_some() || !arguments.bridge.is_empty();
    let file = match &arguments.recipe {
        Some(file) => file.clone(),
        None if !makes_something_else && arguments.roots.is_empty() && Path::new(NAME).is_file() => NAME.into(),
        None if !makes_something_else && Path::new(NAME).is_file() => {
            let note = format!("{NAME} is not used, for roots are named; --recipe {NAME} uses it");
            context.progress.event(Event::Note(&note));
            return Ok((arguments.clone(), here));
        }
        None => return Ok((arguments.clone(), here)),
    };
    let name = file.display().to_string();
    let recipe = Recipe::parse(&read(&file)?, &name)?;
    context.progress.event(Event::Note(&format!("recipe {name}")));
    let directory = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::new(),
    };
    let begin = if arguments.roots.is_empty() { here.join(&directory) } else { here };
    Ok((fill(arguments.clone(), recipe, &name, &directory)?, begin))
}

fn read(file: &Path) -> Result<String> {
    let failed = |error: &std::io::Error| Error::io(file, "the recipe could not be read", error);
    let mut text = String::new();
    let hint = "a recipe is a modferry.toml: roots, level, tools, toolchains, base, output";
    let open = File::open(file).map_err(|error| failed(&error).hint(hint))?;
    open.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|error| failed(&error))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(Error::new(ErrorKind::Usage, format!("{}: a recipe has at most 1 MiB", file.display())));
    }
    Ok(text)
}

fn fill(mut arguments: cli::Bundle, recipe: Recipe, name: &str, directory: &Path) -> Result<cli::Bundle> {
    let Recipe { roots, level, tools, toolchains, platforms, base, output, with_versions, newest, no_record, heads } =
        recipe;
    if output.as_deref() == Some(Path::new(STREAM)) {
        let message = format!("{name}: output: a recipe names a directory or NAME.tar");
        return Err(Error::new(ErrorKind::Usage, message).hint("standard output is for the command line: -o -"));
    }
    let level = level.map(|text| {
        Level::from_str(&text, false).map_err(|words| {
            let all: Vec<String> = Level::value_variants()
                .iter()
                .filter_map(|level| Some(level.to_possible_value()?.get_name().into()))
                .collect();
            Error::new(ErrorKind::Usage, format!("{name}: level {text:?}: is none"))
                .because(words)
                .hint(format!("it is one of {}", all.join(", ")))
        })
    });
    let beside = |path: PathBuf| directory.join(path);
    or(&mut arguments.roots, roots);
    or(&mut arguments.toolchain, parsed(&toolchains, "toolchains", name)?);
    let platforms = parsed(&platforms, "platforms", name)?;
    // Those of a recipe at level build go with it when the command line asks for another level.
    let by_hand = arguments.level.is_some_and(|level| level != Level::Build);
    if !by_hand || !arguments.toolchain.is_empty() {
        or(&mut arguments.platform, platforms);
    }
    or(&mut arguments.no_record, no_record);
    or(&mut arguments.tool, tools);
    or(&mut arguments.with_versions, parsed(&with_versions, "with-versions", name)?);
    arguments.newest |= newest;
    arguments.level = arguments.level.or(level.transpose()?);
    arguments.out = arguments.out.or(output.map(beside));
    arguments.heads = arguments.heads.or(heads.map(beside));
    if !arguments.without_checksum_database {
        arguments.base = arguments.base.or(base.map(beside));
    }
    Ok(arguments)
}

/// Takes the list of the recipe where the command line has none.
fn or<T>(list: &mut Vec<T>, of_recipe: Vec<T>) {
    if list.is_empty() {
        *list = of_recipe;
    }
}

fn parsed<T: FromStr<Err: Display>>(texts: &[String], member: &str, name: &str) -> Result<Vec<T>> {
    let parse = |text: &String| {
        text.parse().map_err(|words: T::Err| {
            let message = format!("{name}: {member}: {text:?} is none");
            Error::new(ErrorKind::Usage, message).because(format!("it should be {words}"))
        })
    };
    texts.iter().map(parse).collect()
}
