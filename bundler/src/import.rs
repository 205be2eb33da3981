//! `modferry import`: a bundle becomes part of a mirror, or the mirror stays as it was.
//!
//! 1. **lock** the mirror; a bundle that is committed already is done with
//! 2. **head**: the head files are staged and held to `BUNDLE`; format, trust and base are judged
//! 3. **room**: bytes and inodes of what is new are compared with what is free
//! 4. **stage**: manifest and content side by side; each new file is hashed, each zip proved, while it is copied into staging:
//!    every byte is read once, so what is published is what was proved, whatever the medium says next
//! 5. **log**: records, tiles and heads are proven to be of their database's log, and that log to be the mirror's
//! 6. **judge**: what has another identity than in the mirror is an incident; nothing was published so far
//! 7. **publish**: in the order of `import/publish.rs`; from the first file on, the same command finishes the work
//!
//! A killed import leaves files in staging. The next one hashes them again before they count.
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod bring;
mod databases;
mod derive;
mod head;
pub(crate) mod heads;
mod judge;
mod log;
mod plan;
mod publish;
mod stage;
mod verdict;
mod waiting;

pub use waiting::{Staged, waiting};

use crate::carrier::{Carrier, Opener, fault_of_carrier};
use crate::context::{Context, Event};
use crate::durable::Witness;
use crate::error::{Error, ErrorKind, Result, Warning};
use crate::mirror::{Mirror, TREE, WhenLocked, staging};
use crate::source::Source;
use databases::Databases;
use head::{Head, LineNumber};
use modferry_format::check;
use modferry_format::finding::FindingKind;
use modferry_format::header::{EVERY_MODULE, Header};
use modferry_format::root::{BUNDLE, HeadFile};
use modferry_format::sumdb::key::VerifierKey;
use modferry_format::{BundleId, BundlePath, FileSha256};
use plan::Plan;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;
use verdict::Keeps;

/// What to allow and how to go about it.
pub struct Options<'a> {
    /// The mirror; an empty or missing directory becomes one.
    pub mirror: PathBuf,
    /// Take the bundle though nobody signed it.
    pub unsigned: bool,
    /// Patterns of modules to take without a record of a checksum database.
    pub no_record: Vec<String>,
    /// Keys of databases to trust beside that of sum.golang.org.
    pub database_keys: Vec<VerifierKey>,
    /// Only say what would come of it: everything is done but publishing, and what was staged is removed.
    pub dry_run: bool,
    /// What to do while another import is under way.
    pub when_locked: WhenLocked,
    /// Who imports, for the journal.
    pub by: String,
    /// Sees every change before it is made; for tests.
    pub witness: Option<&'a dyn Witness>,
}

/// What an import came to.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Summary {
    /// The id of the bundle in its short form.
    pub id: String,
    /// All 64 digits of it.
    pub sha256: String,
    /// Whether the bundle was committed before, so that nothing had to be done.
    pub already: bool,
    /// Files published.
    pub new_files: u64,
    /// Their bytes.
    pub new_bytes: u64,
    /// Files that were in the mirror already.
    pub known_files: u64,
    /// Versions whose zip is new.
    pub new_versions: u64,
    /// Records of checksum databases that are new.
    pub new_records: u64,
    /// Tiles of checksum databases that are new.
    pub new_tiles: u64,
    /// Files of the same identity in other bytes: those of the mirror were kept.
    pub kept: Vec<String>,
    /// What in the mirror is not as imports leave it; the import went on around it.
    pub damaged: Vec<String>,
    /// Wall time, in seconds.
    pub seconds: f64,
}

/// Imports one bundle.
pub fn import(carrier: &dyn Carrier, options: &Options<'_>, context: &Context<'_>) -> Result<Summary> {
    let started = Instant::now();
    let (root, bytes) = head::read_root(carrier).map_err(|error| unread(carrier, error))?;
    let id = BundleId::of(&bytes);
    // Judged before the mirror is touched: a bundle that is not wanted must not even make an empty one.
    let header = head::read_header(carrier, &root).map_err(|error| unread(carrier, error))?;
    trust(carrier, &header, options)?;
    let mut summary = Summary { id: id.to_string(), sha256: id.hex(), ..Summary::default() };
    let mirror = Mirror::open(&options.mirror, options.when_locked, options.witness, context)?;
    mirror.settle()?;
    context.progress.event(Event::Step("reading"));
    let imported = Head::stage(carrier, &mirror, &id, &root, &bytes).and_then(|head| {
        let import = Import { carrier, mirror: &mirror, head: &head, options, context };
        import.run(&mut summary)
    });
    if let Err(error) = imported {
        let mut error = unread(carrier, error);
        // What was cut off may wait in staging for the next try; what was judged not good, or fills the disk, must not.
        let is_to_go = match error.kind {
            ErrorKind::BundleInvalid => true,
            // One that waits has perhaps no other copy: it goes only if the fault is its own.
            kind => !waiting::waits(&mirror, &id) && (kind.exit_code() == 1 || kind == ErrorKind::NoSpace),
        };
        if is_to_go {
            if let Err(left) = mirror.durable().remove_staging(&staging(&id)) {
                error = error.because(format!("{left}, so {} is left", staging(&id).display()));
            }
        } else if error.kept.is_none() {
            let staged = mirror.durable().full(&staging(&id));
            error.kept =
                Some(format!("what was copied so far, in {}: the same command goes on with it", staged.display()));
        }
        return Err(error);
    }
    summary.seconds = started.elapsed().as_secs_f64();
    for damage in &summary.damaged {
        let hint =
            "import the bundle again that brought it (ledger/@index.jsonl names it), or put the file back from a copy";
        context.progress.event(Event::Warning(&Warning::new(damage.clone(), Some(hint))));
    }
    Ok(summary)
}

/// Which bundle it is, and after which it was made.
#[derive(Debug, Default)]
pub struct Lineage {
    /// All 64 digits of its id.
    pub id: String,
    /// Those of the bundles that the mirror must have.
    pub base: Vec<String>,
}

/// Reads it from the head files alone.
pub fn lineage(carrier: &dyn Carrier) -> Result<Lineage> {
    let (root, bytes) = head::read_root(carrier)?;
    let header = head::read_header(carrier, &root)?;
    Ok(Lineage { id: BundleId::of(&bytes).hex(), base: header.base })
}

/// A bundle that could not be read is not bad for it: what seems to be missing or cut off then was never seen.
fn unread(carrier: &dyn Carrier, error: Error) -> Error {
    let failure = carrier.findings().into_iter().find(|finding| finding.kind == FindingKind::Unreadable);
    match failure {
        Some(failure) if error.kind == ErrorKind::BundleInvalid => {
            Error::new(ErrorKind::Io, format!("{}: {}", carrier.name(), failure.detail))
                .hint("copy the bundle again from where it came; the mirror is as it was")
        }
        _ => error,
    }
}

/// One import under way.
struct Import<'a> {
    carrier: &'a dyn Carrier,
    mirror: &'a Mirror<'a>,
    head: &'a Head,
    options: &'a Options<'a>,
    context: &'a Context<'a>,
}

impl Import<'_> {
    /// Steps 3 to 7.
    fn run(&self, summary: &mut Summary) -> Result<()> {
        let (mirror, head, options, context) = (self.mirror, self.head, self.options, self.context);
        let mut databases = Databases::open(self.carrier.name(), &head.header, options, mirror)?;
        plan::base(head, mirror, &databases, context)?;
        let is_repair = mirror.done(&head.id.hex())?.is_some();
        if !is_repair {
            mirror.hold_to_limit()?;
        }
        let plan = Plan::make(head, mirror, is_repair, context)?;
        databases.judge_missing(self.carrier.name(), &head.header, &plan, options)?;
        if is_repair && plan.is_there() && databases.are_known(&head.header) {
            let (facts, judgement) = (stage::Facts::default(), judge::Judgement::default());
            let changes = derive::Changes::derive(mirror, head, &facts, &judgement, &databases, context)?;
            if !changes.is_empty() && !self.options.dry_run {
                // A list was lost since.
                mirror.durable().sync()?;
                changes.apply(mirror, context)?;
                mirror.durable().sync()?;
            }
            summary.damaged = changes.damaged;
            summary.already = true;
            return mirror.durable().remove_staging(&staging(&head.id));
        }
        plan::room(mirror, &plan)?;
        context.progress.event(Event::Step("staging"));
        let keeps_texts = databases.may_need_bridge(&head.header);
        let stage = stage::Stage { carrier: self.carrier, mirror, head, keeps_texts, context };
        // Tried while zips are on their way. What is refused is judged once more, when all of the bundle is in staging.
        let early = |is_staged: &dyn Fn(LineNumber) -> bool, carried: &check::Databases| {
            databases.prove(self.carrier, head, is_staged, carried, Keeps::Nothing).ok()
        };
        let (mut facts, carried, early) = stage.run(early)?;
        context.progress.event(Event::Step("judging"));
        let is_staged = |number| facts.of(number).state == stage::State::Staged;
        let proven = match early {
            Some(proven) => proven,
            None => databases.prove(self.carrier, head, &is_staged, &carried, Keeps::Evidence)?,
        };
        databases.add(proven, &head.id)?;
        databases.hold_to_covered(self.carrier, head, &facts)?;
        let judgement = judge::judge(head, &mut facts, self.carrier, mirror, context)?;
        if self.options.dry_run {
            summary.known_files = plan.known_files;
            summary.new_files = plan.published - plan.known_files - judgement.kept.len() as u64;
            summary.kept = judgement.kept;
            // What waits there was not put there by this run.
            if waiting::waits(mirror, &head.id) {
                return Ok(());
            }
            return mirror.durable().remove_staging(&staging(&head.id));
        }
        context.progress.event(Event::Step("publishing"));
        let (facts, judgement, databases, published) = (&facts, &judgement, &databases, plan.published);
        let is_resumed = plan.is_resumed;
        publish::Publish {
            mirror,
            head,
            facts,
            judgement,
            databases,
            published,
            is_repair,
            is_resumed,
            options,
            context,
        }
        .run(summary)?;
        summary.kept.clone_from(&judgement.kept);
        Ok(())
    }
}

/// Copies `size` bytes into staging and gives the copy, to be read; a file that has more of them is cut off one byte later,
/// for its hash is wrong anyway. `see` gets every byte that is written.
fn copy(
    carrier: &dyn Carrier,
    name: &str,
    size: u64,
    bytes: Opener,
    mirror: &Mirror<'_>,
    to: &Path,
    mut see: impl FnMut(&[u8]),
) -> Result<Source> {
    let mut writer = mirror.durable().create(to)?;
    // A failure of the mirror's own disk is another thing than one of the medium.
    let (mut own, mut left) = (None, size + 1);
    let passed = bytes.pass(&mut |part| {
        let part = &part[..part.len().min(usize::try_from(left).unwrap_or(usize::MAX))];
        left -= part.len() as u64;
        see(part);
        writer.write_all(part).map_err(|error| {
            own = Some(error);
            io::Error::other("the copy failed")
        })?;
        if left == 0 { Err(io::Error::other(GREW)) } else { Ok(()) }
    });
    match (own, passed) {
        (Some(own), _) => return Err(own),
        (None, Err(_)) if left == 0 => {}
        (None, Err(error)) => return Err(medium(carrier, name, &fault_of_carrier(error)?)),
        (None, Ok(())) => {}
    }
    Ok(Source::whole(writer.finish()?, size + 1 - left))
}

/// The same, and the hash of what was written.
fn copy_hashed(
    carrier: &dyn Carrier,
    name: &str,
    size: u64,
    bytes: Opener,
    mirror: &Mirror<'_>,
    to: &Path,
) -> Result<(FileSha256, Source)> {
    let mut sha256 = Sha256::new();
    let source = copy(carrier, name, size, bytes, mirror, to, |part| sha256.update(part))?;
    Ok((FileSha256::from_digest(sha256.finalize().into()), source))
}

/// Ends the reading of a file that grew since it was looked at.
const GREW: &str = "has more bytes than when it was looked at";

/// The error for a file of the bundle that cannot be read.
fn medium(carrier: &dyn Carrier, path: &str, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("{}: {path}: could not be read", carrier.name()))
        .because(error.to_string())
        .hint("copy the bundle again from where it came; the mirror is as it was")
}

/// The error for a file of the bundle that is not good.
fn refuse(carrier: &dyn Carrier, path: &str, reason: &str) -> Error {
    // What is wrong with the carrier itself has its name already.
    let subject = if path == carrier.name() { path.to_owned() } else { format!("{}: {path}", carrier.name()) };
    Error::new(ErrorKind::BundleInvalid, format!("{subject}: {reason}"))
        .hint("modferry verify names everything that is wrong with a bundle; the mirror is as it was")
}

/// What can be judged of a header alone, before anything is copied.
fn trust(carrier: &dyn Carrier, header: &Header, options: &Options<'_>) -> Result<()> {
    let untrusted = |reason: &str, hint: &str| {
        Err(Error::new(
            ErrorKind::Untrusted,
            format!("{}: {reason}, and nobody said that this is wanted", carrier.name()),
        )
        .hint(hint))
    };
    let lacks_records = header.without_record == [EVERY_MODULE] && options.no_record.is_empty();
    let unsigned =
        "--unsigned takes what only its own hashes vouch for (compare the bundle id with the one its maker names)";
    match (options.unsigned, lacks_records) {
        (false, false) => untrusted("it is not signed", unsigned),
        (true, true) => untrusted("its modules have no record of a checksum database (*)", NO_RECORD_HINT),
        (false, true) => untrusted(
            "it is not signed, its modules have no record of a checksum database (*)",
            &format!("{unsigned}; {NO_RECORD_HINT}"),
        ),
        (true, false) => databases::trusted_keys(carrier.name(), header, options).map(drop),
    }
}

/// What to do about modules without a record.
const NO_RECORD_HINT: &str = "--no-record '*' (or a narrower pattern, as in GONOSUMDB) takes modules that go will verify \
                              against go.sum only";

/// Where the copies of the head files are staged.
fn staged_head(id: &BundleId, name: &str) -> PathBuf {
    staging(id).join("head").join(name)
}

/// All files that belong into the evidence, in the order of a carrier, without signatures.
fn head_names() -> impl Iterator<Item = &'static str> {
    std::iter::once(BUNDLE).chain(HeadFile::ALL.iter().map(|file| file.name()))
}

/// Where what gets published is staged, under the names that it gets.
fn staged_tree(id: &BundleId) -> PathBuf {
    staging(id).join(TREE)
}

/// Where a file of the content is staged: in the tree if it gets published, else by the number of its line in the manifest,
/// which is the same each time.
fn staged_file(id: &BundleId, number: LineNumber, path: &BundlePath) -> PathBuf {
    if plan::is_published(path) {
        staged_tree(id).join(path.to_string())
    } else {
        staged_files(id).join(number.to_string())
    }
}

/// Where the others are staged.
fn staged_files(id: &BundleId) -> PathBuf {
    staging(id).join("files")
}

/// Where a file that changes waits to be put in place.
fn staged_change(id: &BundleId, name: &str) -> PathBuf {
    staging(id).join("changes").join(name)
}
