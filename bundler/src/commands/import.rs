//! `import`: one bundle after the other, each after those that it counts on.

use super::{open, output_error};
use crate::cli;
use crate::console::Console;
use modferry::byte_size::{ByteSize, count};
use modferry::context::{Context, Event};
use modferry::error::{Error, ErrorKind, Result, Warning};
use modferry::import;
use modferry::mirror::{self, WhenLocked};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Imports what the arguments name, and says what came of it.
pub(super) fn run(arguments: &cli::Import, context: &Context<'_>, console: &Console) -> Result<ExitCode> {
    let (imported, failed) = import_all(arguments, context)?;
    let text: String = imported.iter().map(|summary| import_text(summary, arguments.dry_run)).collect();
    let Some(error) = failed else {
        return console
            .result(&json!({ "ok": true, "bundles": imported }), &text)
            .map(|()| ExitCode::SUCCESS)
            .map_err(|error| output_error(&error));
    };
    // Those before the one that failed are in the mirror, and whoever asked must learn of it.
    let code = ExitCode::from(error.kind.exit_code());
    let json = json!({ "ok": false, "error": error, "bundles": imported });
    console.result(&json, &text).map_err(|error| output_error(&error))?;
    console.told(&error);
    Ok(code)
}

/// Imports one bundle after the other; the first that is refused ends it, those before it are in the mirror.
fn import_all(arguments: &cli::Import, context: &Context<'_>) -> Result<(Vec<import::Summary>, Option<Error>)> {
    let mut imported = Vec::new();
    let Some((mirror, bundles)) = arguments.paths.split_last() else { return Ok((imported, None)) };
    clear_umask();
    let user = ["SUDO_USER", "USER", "USERNAME"].iter().find_map(|name| context.environment.get(name));
    let mut options = import::Options {
        mirror: mirror.clone(),
        unsigned: arguments.unsigned,
        no_record: arguments.no_record.clone(),
        database_keys: arguments.database_key.clone(),
        dry_run: arguments.dry_run,
        when_locked: if arguments.no_wait { WhenLocked::Fail } else { WhenLocked::Wait },
        by: user.map_or_else(number_of_user, |user| user.to_string_lossy().into_owned()),
        witness: None,
    };
    // A dry run must not make a mirror: it judges against an empty one beside the place.
    let empty = (arguments.dry_run && !mirror::is_mirror(mirror)).then(|| beside(mirror)).transpose()?;
    if let Some(empty) = &empty {
        options.mirror = empty.path().to_owned();
    }
    for bundle in bundles {
        lie_apart(bundle, mirror)?;
    }
    for bundle in in_order(bundles) {
        match open(bundle).and_then(|bundle| import::import(bundle.as_ref(), &options, context)) {
            Ok(summary) => imported.push(summary),
            Err(error) => return Ok((imported, Some(error))),
        }
        if !options.dry_run {
            imported.extend(import_waiting(&options, context)?);
        }
    }
    Ok((imported, None))
}

/// The bundles as they were named, but each after those of them that it counts on: `*.tar` names them by the alphabet.
fn in_order(bundles: &[PathBuf]) -> Vec<&PathBuf> {
    if bundles.len() == 1 {
        return bundles.iter().collect();
    }
    let mut named: Vec<_> = bundles.iter().map(|path| (path, lineage(path).unwrap_or_default())).collect();
    let mut ordered = Vec::with_capacity(named.len());
    while !named.is_empty() {
        let waits = |base: &[String]| named.iter().any(|(_, other)| base.contains(&other.id));
        // A circle cannot be: a bundle names its base by a hash. What pretends to be one stays as it was named.
        let next = named.iter().position(|(_, lineage)| !waits(&lineage.base)).unwrap_or(0);
        ordered.push(named.remove(next).0);
    }
    ordered
}

/// Id and base of a bundle that can be read more than once; of others, and of what is no good bundle, their import will say it.
fn lineage(path: &Path) -> Option<import::Lineage> {
    let can_be_read_again = path.metadata().is_ok_and(|meta| meta.is_dir() || meta.is_file());
    can_be_read_again.then(|| open(path).and_then(|bundle| import::lineage(&*bundle)).ok()).flatten()
}

/// How the system names whoever has no name in the environment, as in a container.
fn number_of_user() -> String {
    #[cfg(unix)]
    return format!("uid {}", rustix::process::getuid().as_raw());
    #[cfg(not(unix))]
    "unknown".to_owned()
}

/// Bundles that waited in staging for a bridge may have it now.
fn import_waiting(options: &import::Options<'_>, context: &Context<'_>) -> Result<Vec<import::Summary>> {
    let mut imported = Vec::new();
    for staged in import::waiting(&options.mirror)? {
        match import::import(&staged, options, context) {
            Ok(summary) => imported.push(summary),
            Err(error) if error.kind == ErrorKind::Interrupted => return Err(error),
            // It was not asked for; what was is done.
            Err(error) => {
                context.progress.event(Event::Warning(&Warning::new(error.message.clone(), error.hint.as_deref())))
            }
        }
    }
    Ok(imported)
}

/// A bundle in the staging of the mirror would be taken for what an import has left there, and be removed; a mirror in a bundle
/// would be part of it.
fn lie_apart(bundle: &Path, mirror: &Path) -> Result<()> {
    let Ok(place) = bundle.canonicalize() else { return Ok(()) };
    // Of a mirror that is not there yet, the place where it would be made.
    let above = mirror.ancestors().map(|above| if above == Path::new("") { Path::new(".") } else { above });
    let mut above = above.filter_map(|above| above.canonicalize().ok());
    if mirror.join("staging").canonicalize().is_ok_and(|staging| place.starts_with(staging)) {
        let message =
            format!("{}: lies in the staging of the mirror, where only modferry puts anything", bundle.display());
        return Err(Error::new(ErrorKind::Usage, message).hint("move it out of the mirror, then import it"));
    }
    if above.next().is_some_and(|mirror| mirror.starts_with(&place)) {
        let message = format!("{}: would lie in the bundle {}", mirror.display(), bundle.display());
        return Err(Error::new(ErrorKind::Usage, message).hint("name another place for the mirror"));
    }
    Ok(())
}

/// A directory that goes away again, on the file system where a mirror would be made.
fn beside(mirror: &Path) -> Result<tempfile::TempDir> {
    let there = mirror.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("."));
    tempfile::tempdir_in(there)
        .map_err(|error| Error::io(there, "a directory for the dry run could not be made", &error))
}

/// What is made in a mirror has its mode from the start, whatever the umask of the user is.
fn clear_umask() {
    #[cfg(unix)]
    rustix::process::umask(rustix::fs::Mode::empty());
}

fn import_text(summary: &import::Summary, dry_run: bool) -> String {
    let id = &summary.id;
    if summary.already {
        return format!("bundle {id}: in the mirror already\n");
    }
    if dry_run {
        let mut text = format!(
            "bundle {id}: good; {} would be published, {} there already\n",
            count(summary.new_files, "file"),
            summary.known_files
        );
        text.extend(
            summary.kept.iter().map(|path| format!("would keep {path}: the mirror has the same in other bytes\n")),
        );
        return text;
    }
    let mut text = format!(
        "bundle {id}: {} published ({}, {}), {} there already, {:.1} s\n",
        count(summary.new_files, "file"),
        count(summary.new_versions, "version"),
        ByteSize(summary.new_bytes),
        summary.known_files,
        summary.seconds
    );
    for path in &summary.kept {
        text.push_str(&format!("kept {path}: the mirror has the same module in other bytes\n"));
    }
    text
}
