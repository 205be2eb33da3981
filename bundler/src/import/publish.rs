//! Makes what is staged part of the mirror, in an order that leaves nothing half visible at any instant.
//!
//! 1. everything staged is on the disk
//! 2. the evidence gets its name in `bundles/`, without `done`: under way
//! 3. tiles get their names, tree heads their line in a ledger; then lookups, go.mod files, zips, infos get their names in `download/`, none ever replaced;
//!    a directory that is not there yet comes whole
//! 4. all of that is on the disk
//! 5. ledgers, then `list` and `@latest` of every module of the bundle, and the heads of checksum databases
//! 6. all of that is on the disk
//! 7. `done` commits the bundle, and the journal gets its line
//!
//! Killed after any step, the same command finishes: what has its name already is known by its bytes, and what is derived
//! is derived again from what is there.

use super::databases::Databases;
use super::derive::Changes;
use super::head::{Head, LineNumber};
use super::judge::Judgement;
use super::stage::{Facts, State};
use super::{Options, Summary, head_names, staged_change, staged_file, staged_head, staged_tree};
use crate::beneath::Kind;
use crate::context::{Context, Event};
use crate::durable::Published;
use crate::error::{Error, ErrorKind, Result};
use crate::jobs;
use crate::mirror::{DONE, JournalLine, Mirror, evidence, hash_of, staging};
use modferry_format::BundlePath;
use modferry_format::database::Tile;
use modferry_format::manifest::Entry;
use modferry_prove::tape;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is published, and what is known of it.
pub(crate) struct Publish<'a> {
    pub(crate) mirror: &'a Mirror<'a>,
    pub(crate) head: &'a Head,
    pub(crate) facts: &'a Facts,
    pub(crate) judgement: &'a Judgement,
    pub(crate) databases: &'a Databases<'a>,
    /// Files of modules of the bundle that are published when it is done.
    pub(crate) published: u64,
    /// The bundle is committed already, and something of it was lost since.
    pub(crate) is_repair: bool,
    /// An earlier import has left something in staging: else the tree there has just what is to be published.
    pub(crate) is_resumed: bool,
    pub(crate) options: &'a Options<'a>,
    pub(crate) context: &'a Context<'a>,
}

impl Publish<'_> {
    /// Does all of it.
    pub(crate) fn run(&self, summary: &mut Summary) -> Result<()> {
        let durable = self.mirror.durable();
        durable.sync()?;
        // At this point a crash leaves staging, and the mirror as it was.
        self.publish_evidence()?;
        durable.sync()?;
        // At this point a crash leaves evidence without `done`.
        if self.is_resumed {
            self.publish_singly()?;
        } else {
            self.move_tree(&staged_tree(&self.head.id))?;
        }
        // At this point a crash leaves whole files that no ledger and no list names.
        let changes =
            Changes::derive(self.mirror, self.head, self.facts, self.judgement, self.databases, self.context)?;
        durable.sync()?;
        changes.apply(self.mirror, self.context)?;
        durable.sync()?;
        // A ledger that names more than the bundle has is for verify to find.
        let known = self.published.saturating_sub(changes.new_files);
        if !self.is_repair {
            self.commit(&changes, known)?;
        }
        durable.remove_staging(&staging(&self.head.id))?;
        summary.new_files = changes.new_files;
        summary.new_bytes = changes.new_bytes;
        (summary.new_records, summary.new_tiles) = (changes.new_records, changes.new_tiles);
        summary.new_versions = changes.new_versions.len() as u64;
        summary.known_files = known;
        summary.damaged = changes.damaged;
        Ok(())
    }

    /// Puts the heads into their ledgers, with their tiles on the disk and before any lookup that carries one: whatever
    /// bundle comes next is joined to them, though this import may be killed here.
    fn write_heads(&self) -> Result<()> {
        let durable = self.mirror.durable();
        let ledgers: Vec<_> = self.databases.derived(&self.head.id).into_iter().filter(|it| it.is_ledger).collect();
        if ledgers.is_empty() {
            return Ok(());
        }
        durable.sync()?;
        for (number, ledger) in ledgers.iter().enumerate() {
            let aside = staged_change(&self.head.id, &format!("heads-{number}"));
            durable.replace(&ledger.path, &ledger.bytes, &aside)?;
        }
        durable.sync()
    }

    /// Gives the head files and extras their place in `bundles/`; an import that was killed may have done so.
    fn publish_evidence(&self) -> Result<()> {
        let (durable, id) = (self.mirror.durable(), &self.head.id);
        for name in head_names() {
            let (staged, place) = (staged_head(id, name), evidence(id).join(name));
            if durable.publish(&staged, &place)? == Published::Exists && !self.is_same(&staged, &place)? {
                return Err(
                    durable.stranger(&place, "is another file than that of the bundle whose id its directory has")
                );
            }
        }
        self.each_in(State::Extra, |number, entry| {
            let place = evidence(id).join(entry.path.to_string());
            durable.publish(&staged_file(id, number, &entry.path), &place).map(|_| ())
        })
    }

    /// Does something with every file that is in a state; most bundles have none in some.
    fn each_in(&self, state: State, mut act: impl FnMut(LineNumber, &Entry) -> Result<()>) -> Result<()> {
        if self.facts.count(state) == 0 {
            return Ok(());
        }
        self.head.entries(
            |number, entry| {
                if self.facts.of(number).state == state { act(number, &entry) } else { Ok(()) }
            },
        )
    }

    /// Whether two files of the mirror have the same bytes.
    fn is_same(&self, one: &Path, other: &Path) -> Result<bool> {
        let hash = |path: &Path| {
            let source = self.mirror.durable().files().open(path);
            let hash = source.and_then(|source| tape::hash(&source, source.size()));
            hash.map_err(|error| Error::io(&self.mirror.durable().full(path), "could not be read", &error))
        };
        Ok(hash(one)? == hash(other)?)
    }

    /// Gives their names to directories where it can, for each name costs its time: the kernel moves one thing at a time from
    /// directory to directory. The order is that of the phases; what is in a directory of its own comes at one instant.
    fn move_tree(&self, tree: &Path) -> Result<()> {
        let durable = self.mirror.durable();
        // The mirror has the same in other bytes.
        self.each_in(State::Kept, |number, entry| {
            durable.remove_staging(&staged_file(&self.head.id, number, &entry.path))
        })?;
        let places =
            |what: &'static str| self.databases.names().map(move |name| format!("download/sumdb/{name}/{what}"));
        places("tile").try_for_each(|place| self.move_below(tree, Path::new(&place), ""))?;
        for place in places("supported") {
            let staged = tree.join(&place);
            if durable.files().kind(&staged).is_ok_and(|kind| kind.is_some()) {
                self.publish_one(&staged, Path::new(&place))?;
            }
        }
        self.write_heads()?;
        places("lookup").try_for_each(|place| self.move_below(tree, Path::new(&place), ""))?;
        // Those of directories that are there already, one kind after the other.
        [".mod", ".zip", ".info"].iter().try_for_each(|ending| self.move_below(tree, Path::new("download"), ending))
    }

    /// Moves what is below a directory of the tree and not yet in the mirror: directories whole, single files with this ending.
    fn move_below(&self, tree: &Path, below: &Path, ending: &str) -> Result<()> {
        let (durable, from) = (self.mirror.durable(), tree.join(below));
        let failed = |error: &io::Error| Error::io(&durable.full(&from), "could not be read", error);
        let kind = |path: &Path| durable.files().kind(path).map_err(|error| failed(&error));
        match (kind(&from)?, kind(below)?) {
            (None, _) => return Ok(()),
            (Some(_), None) => return self.publish_one(&from, below),
            (Some(_), Some(Kind::Directory)) => {}
            (Some(_), Some(_)) => return Err(durable.stranger(below, "is no directory")),
        }
        let mut entries = durable.files().entries(&from).map_err(|error| failed(&error))?;
        // The levels of tiles from the top, so that each tile finds those above it: a verify meanwhile shall find no fault.
        entries.sort_unstable_by(|(one, _), (other, _)| other.cmp(one));
        for (name, kind) in entries {
            let place = below.join(&name);
            match kind {
                // Databases are no modules; theirs are where they belong.
                Kind::Directory if place == Path::new("download/sumdb") => {}
                Kind::Directory => self.move_below(tree, &place, ending)?,
                _ if name.to_string_lossy().ends_with(ending) => self.publish_one(&from.join(&name), &place)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Gives a file or directory its name, which is free.
    fn publish_one(&self, from: &Path, place: &Path) -> Result<()> {
        if self.mirror.durable().publish(from, place)? == Published::New {
            return Ok(());
        }
        // Whatever was there before is judged, and the lock is ours.
        let message = format!("{}: appeared in the mirror during the import", place.display());
        Err(Error::new(ErrorKind::Incident, message)
            .hint("only modferry may write into a mirror; find out what else does, then import again"))
    }

    /// Gives each file its name by itself: of what an import that was killed has left, some may lie there that is published since.
    fn publish_singly(&self) -> Result<()> {
        let done = AtomicU64::new(0);
        // From the top, as above.
        for level in (0..=Tile::MAX_LEVEL).rev() {
            self.publish_phase(&|path| matches!(path, BundlePath::Tile(_, tile) if tile.level() == level), &done)?;
        }
        self.publish_phase(&|path| matches!(path, BundlePath::Supported(_)), &done)?;
        self.write_heads()?;
        for phase in [is_lookup as fn(&BundlePath) -> bool, is_mod, is_zip, is_info] {
            self.publish_phase(&phase, &done)?;
        }
        Ok(())
    }

    /// Gives their names to all files of one kind, on several threads: most of it is waiting for the file system.
    fn publish_phase(&self, is_meant: &dyn Fn(&BundlePath) -> bool, done: &AtomicU64) -> Result<()> {
        let total = self.facts.count(State::Staged);
        let publish = |(path, bytes): (String, u64)| {
            self.publish_one(&staged_tree(&self.head.id).join(&path), Path::new(&path))?;
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            self.context.progress.event(Event::Progress { done, total, bytes, current: &path });
            Ok(())
        };
        let produce = |hand: &mut dyn FnMut((String, u64)) -> Result<()>| {
            self.head.entries(|number, entry| {
                if self.facts.of(number).state == State::Staged && is_meant(&entry.path) {
                    hand((entry.path.to_string(), entry.size))?;
                }
                Ok(())
            })
        };
        jobs::feed(self.context.jobs, produce, publish)
    }

    /// The commit: index and `done`, then journal and state, which can be made again from the `done` files.
    fn commit(&self, changes: &Changes, known: u64) -> Result<()> {
        let (durable, id) = (self.mirror.durable(), &self.head.id);
        let imported = self.context.now.to_string();
        if !changes.new_versions.is_empty() {
            // An import that was killed here writes them twice; whoever reads the index takes each version once.
            durable.append(Path::new("ledger/@index.jsonl"), &changes.index(&imported, id))?;
        }
        let before = self.mirror.last_journal_line()?;
        let line = || JournalLine {
            bundle: id.hex(),
            imported,
            by: self.options.by.clone(),
            tool: concat!("modferry ", env!("CARGO_PKG_VERSION")).to_owned(),
            unsigned: self.options.unsigned,
            no_record: self.databases.no_record(),
            databases: self.databases.keys(),
            new_files: changes.new_files,
            known_files: known,
            new_bytes: changes.new_bytes,
            previous: before.as_deref().map(hash_of).unwrap_or_default(),
        };
        // One whose `done` was damaged since stands in the journal already, and later lines name that line.
        let text = match self.mirror.journal_line_of(&id.hex())? {
            Some(text) => text,
            None => line().text()?,
        };
        durable.replace(&evidence(id).join(DONE), format!("{text}\n").as_bytes(), &staged_change(id, DONE))?;
        durable.sync()?;
        // At this point the bundle is committed, whatever happens next.
        self.mirror.settle()
    }
}

fn is_lookup(path: &BundlePath) -> bool {
    matches!(path, BundlePath::Lookup(..))
}

fn is_mod(path: &BundlePath) -> bool {
    matches!(path, BundlePath::Mod(_))
}

fn is_zip(path: &BundlePath) -> bool {
    matches!(path, BundlePath::Zip(_))
}

fn is_info(path: &BundlePath) -> bool {
    matches!(path, BundlePath::Info(_))
}
