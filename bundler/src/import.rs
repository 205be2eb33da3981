//! `modferry import`: a bundle becomes part of a mirror, or the mirror stays as it was.
//!
//! 1. **lock** the mirror; a bundle that is committed already is done with
//! 2. **head**: the head files are staged and held to `BUNDLE`; format, trust and base are judged
//! 3. **room**: bytes and inodes of what is new are compared with what is free
//! 4. **stage**: manifest and content side by side; each new file is hashed while it is copied into staging, each zip is
//!    proved from its staged bytes, so what is published is what was proved, whatever the medium says next
//! 5. **judge**: what has another identity than in the mirror is an incident; nothing was published so far
//! 6. **publish**: in the order of `import/publish.rs`; from the first file on, the same command finishes the work
//!
//! A killed import leaves files in staging. The next one hashes them again before they count.

mod publish;
mod stage;

use crate::carrier::Carrier;
use crate::context::{Context, Event};
use crate::durable::Witness;
use crate::error::{Error, ErrorKind, Result};
use crate::head::header_error;
use crate::mirror::{Mirror, WhenLocked};
use modferry_format::go_sum::Subject;
use modferry_format::header::Header;
use modferry_format::requires::Requires;
use modferry_format::root::{BUNDLE, HeadFile, MAX_BUNDLE_BYTES, Root};
use modferry_format::{BundleId, FileSha256, Invalid};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What to allow and how to go about it.
pub struct Options<'a> {
    /// The mirror; an empty or missing directory becomes one.
    pub mirror: PathBuf,
    /// Take the bundle though nobody signed it.
    pub unsigned: bool,
    /// Patterns of modules to take without a record of a checksum database.
    pub no_record: Vec<String>,
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
    /// Files of the same identity in other bytes: those of the mirror were kept.
    pub kept: Vec<String>,
    /// Wall time, in seconds.
    pub seconds: f64,
}

/// Imports one bundle.
pub fn import(carrier: &dyn Carrier, options: &Options<'_>, context: &Context<'_>) -> Result<Summary> {
    let started = Instant::now();
    let (root, bytes) = read_root(carrier)?;
    let id = BundleId::of(&bytes);
    // Judged before the mirror is touched: a bundle that is not wanted must not even make an empty one.
    trust(carrier, &read_header(carrier, &root)?, options)?;
    let mut summary = Summary { id: id.to_string(), sha256: id.hex(), ..Summary::default() };
    let mirror = Mirror::open(&options.mirror, options.when_locked, options.witness, context)?;
    mirror.settle()?;
    if mirror.is_done(&id) {
        summary.already = true;
        mirror.durable().remove_staging(&crate::mirror::staging(&id))?;
        return Ok(summary);
    }
    let import = Import { carrier, mirror: &mirror, context };
    match import.stage(&id, &root, &bytes, &mut summary) {
        Ok((head, staged)) => {
            context.progress.event(Event::Step("publishing"));
            let published = publish::publish(&mirror, &head, staged, options, context, &mut summary);
            if published.as_ref().is_err_and(|error| error.kind == ErrorKind::NoSpace) {
                mirror.durable().remove_staging(&crate::mirror::staging(&id))?;
            }
            published?;
        }
        // What was cut off may wait in staging for the next try; what was judged not good, or fills the disk, must not.
        Err(error) if error.kind.exit_code() == 1 || error.kind == ErrorKind::NoSpace => {
            mirror.durable().remove_staging(&crate::mirror::staging(&id))?;
            return Err(error);
        }
        Err(error) => return Err(error),
    }
    summary.seconds = started.elapsed().as_secs_f64();
    Ok(summary)
}

/// One import under way.
struct Import<'a> {
    carrier: &'a dyn Carrier,
    mirror: &'a Mirror<'a>,
    context: &'a Context<'a>,
}

impl Import<'_> {
    /// Steps 2 to 5.
    fn stage(
        &self,
        id: &BundleId,
        root: &Root,
        bundle: &[u8],
        summary: &mut Summary,
    ) -> Result<(stage::Head, stage::Staged)> {
        self.context.progress.event(Event::Step("reading"));
        let head = stage::Head::stage(self.carrier, self.mirror, id, root, bundle)?;
        base(&head.requires, self.mirror)?;
        let plan = stage::Plan::make(&head, self.mirror)?;
        room(self.mirror, &plan)?;
        self.context.progress.event(Event::Step("staging"));
        let stage = stage::Stage { carrier: self.carrier, mirror: self.mirror, head: &head, context: self.context };
        let staged = stage.run()?;
        summary.kept = staged.judge(self.carrier, self.mirror)?;
        Ok((head, staged))
    }
}

fn read_root(carrier: &dyn Carrier) -> Result<(Root, Vec<u8>)> {
    let bytes = match carrier.head(BUNDLE) {
        Ok(Some(source)) => source.read_all(MAX_BUNDLE_BYTES),
        Ok(None) => {
            let message = format!("{}: is no bundle: it has no file named BUNDLE", carrier.name());
            return Err(Error::new(ErrorKind::BundleInvalid, message)
                .hint("name a bundle, then the mirror: modferry import BUNDLE... MIRROR"));
        }
        Err(error) => Err(error),
    };
    let bytes = bytes.map_err(|error| medium(carrier, BUNDLE, &error))?;
    let root = String::from_utf8_lossy(&bytes)
        .parse()
        .map_err(|invalid: Invalid| refuse(carrier, BUNDLE, &invalid.to_string()))?;
    Ok((root, bytes))
}

/// The error for a file of the bundle that cannot be read.
fn medium(carrier: &dyn Carrier, path: &str, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("{}: {path}: could not be read", carrier.name()))
        .because(error.to_string())
        .hint("copy the bundle again from where it came; the mirror is as it was")
}

/// The error for a file of the bundle that is not good.
fn refuse(carrier: &dyn Carrier, path: &str, reason: &str) -> Error {
    Error::new(ErrorKind::BundleInvalid, format!("{}: {path}: {reason}", carrier.name()))
        .hint("modferry verify names everything that is wrong with a bundle; the mirror is as it was")
}

/// Until signatures and the checksum database travel, both lacks must be accepted by name.
fn trust(carrier: &dyn Carrier, header: &Header, options: &Options<'_>) -> Result<()> {
    let is_allowed = |claim: &&String| options.no_record.iter().any(|allowed| allowed == *claim || allowed == "*");
    let claims: Vec<&str> =
        header.without_record.iter().filter(|claim| !is_allowed(claim)).map(String::as_str).collect();
    let mut lacks = Vec::new();
    if !options.unsigned {
        lacks.push("it is not signed".to_owned());
    }
    if !claims.is_empty() {
        lacks.push(format!("its modules have no record of a checksum database ({})", claims.join(" ")));
    }
    if lacks.is_empty() {
        return Ok(());
    }
    let message = format!("{}: {}, and nobody said that this is wanted", carrier.name(), lacks.join(", "));
    Err(Error::new(ErrorKind::Untrusted, message).hint(
        "--unsigned takes what only its own hashes vouch for (compare the bundle id with the one its maker names); \
         --no-record '*' takes modules that go will verify against go.sum only",
    ))
}

/// What the bundle counts on must be in the mirror.
fn base(requires: &Requires, mirror: &Mirror<'_>) -> Result<()> {
    let mut missing = Vec::new();
    for line in &requires.modules {
        let version = line.subject.version();
        let name = match &line.subject {
            Subject::Zip(_) => format!("@v/{}.zip", version.version().escaped()),
            Subject::GoMod(_) => format!("@v/{}.mod", version.version().escaped()),
        };
        if mirror.ledger(version.path())?.get(&name).and_then(|known| known.h1) != Some(line.h1) {
            missing.push(line.to_string());
        }
    }
    missing.extend(requires.heads.iter().map(ToString::to_string));
    if missing.is_empty() {
        return Ok(());
    }
    let error = Error::new(
        ErrorKind::BundleInvalid,
        format!("bundle: needs {} things that this mirror does not have", missing.len()),
    );
    let error = missing.into_iter().take(10).fold(error, Error::because);
    Err(error.hint("import the bundle that it was made after first, or make a full one"))
}

/// Share of the file system that an import leaves free, in percent: what a database or a log beside it needs to live.
const RESERVE_PERCENT: u64 = 3;

/// Files and directories that every import makes beside those of its content: head files and their directories.
#[cfg(unix)]
const HEAD_INODES: u64 = 32;

#[cfg(unix)]
fn room(mirror: &Mirror<'_>, plan: &stage::Plan) -> Result<()> {
    let stat = rustix::fs::statvfs(mirror.path())
        .map_err(|error| Error::io(mirror.path(), "its free space could not be found", &error.into()))?;
    let block = stat.f_frsize.max(1);
    // Each file takes whole blocks; its directory entries come on top.
    let needed = plan.new_bytes + (plan.new_files + plan.new_dirs) * block;
    let free = (stat.f_bavail * block).saturating_sub(stat.f_blocks * block / 100 * RESERVE_PERCENT);
    let error = |what: String| {
        Error::new(ErrorKind::NoSpace, format!("{}: not enough room: {what}", mirror.path().display()))
            .hint("free some, or put the mirror on a larger file system; the mirror is as it was")
    };
    if needed > free {
        return Err(error(format!(
            "{needed} bytes are needed, {free} are free after a reserve of {RESERVE_PERCENT} %"
        )));
    }
    let inodes = plan.new_files + plan.new_dirs + HEAD_INODES;
    // A file system without a count of its own says 0 of 0.
    if stat.f_files > 0 && inodes > stat.f_favail {
        return Err(error(format!("{inodes} inodes are needed, {} are free", stat.f_favail)));
    }
    Ok(())
}

#[cfg(not(unix))]
fn room(_: &Mirror<'_>, _: &stage::Plan) -> Result<()> {
    Ok(())
}

/// Reads the header; a format that is not known ends everything.
fn read_header(carrier: &dyn Carrier, root: &Root) -> Result<Header> {
    let file = HeadFile::BundleJson;
    let bytes = match carrier.head(file.name()) {
        Ok(Some(source)) => source.read_all(file.max_bytes()).map_err(|error| medium(carrier, file.name(), &error))?,
        Ok(None) => return Err(refuse(carrier, file.name(), "missing")),
        Err(error) => return Err(medium(carrier, file.name(), &error)),
    };
    let header = Header::parse(&bytes).map_err(|error| header_error(carrier, &error))?;
    let hash = FileSha256::of(&bytes);
    if hash != root.sum(file) {
        return Err(refuse(carrier, file.name(), &format!("has sha256 {hash}, BUNDLE states {}", root.sum(file))));
    }
    Ok(header)
}

/// Where the copies of the head files are staged.
fn staged_head(id: &BundleId, name: &str) -> PathBuf {
    crate::mirror::staging(id).join("head").join(name)
}

/// All files that belong into the evidence, in the order of a carrier, without signatures.
fn head_names() -> impl Iterator<Item = &'static str> {
    std::iter::once(BUNDLE).chain(HeadFile::ALL.iter().map(|file| file.name()))
}

/// Where a file of the content is staged.
fn staged_file(id: &BundleId, path: &str) -> PathBuf {
    crate::mirror::staging(id).join("files").join(path)
}

/// Where a changing file waits to be put in place.
fn staged_change(id: &BundleId, path: &Path) -> PathBuf {
    crate::mirror::staging(id).join("changes").join(path)
}
