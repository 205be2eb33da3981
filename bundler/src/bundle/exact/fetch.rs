//! Fetches exact versions into the child's module cache, without go: info, go.mod, and zip where it is wanted.
//!
//! 1. info and go.mod: from directories of exact versions (the user's module cache, what an earlier run has left), else
//!    from the proxies of GOPROXY in their order, as go falls from one to the next
//! 2. zips: as they are for resolved roots, see `ahead`; one that did not come is asked for once more, now to learn why
//! 3. what no proxy may or can give (GONOPROXY, `direct`) go gets from its origin, if there is a go command
//!
//! Here nobody judges what comes: hashes are compared where the bundle is sealed, with all that is stated about them. Of
//! local files only those are taken that agree with what is stated, for others may have better ones.

use crate::bundle::ahead::{Ahead, Trees, requests};
use crate::bundle::resolve::Refused;
use crate::bundle::seal;
use crate::bundle::small_file::{self, Text};
use crate::context::{Context, Event};
use crate::error::{Error, ErrorKind, Result};
use crate::fetch::proxy_list::Entry;
use crate::fetch::remote::{Base, Passed};
use crate::go_command::{self, Go};
use crate::jobs;
use crate::module_cache;
use crate::source::Source;
use modferry_format::carried::Files;
use modferry_format::go_sum::{GoSum, Subject};
use modferry_format::info::Info;
use modferry_format::sumdb::record::{self, Lookup};
use modferry_format::zip_names::MAX_ZIP_BYTES;
use modferry_format::{H1, ModuleVersion, go_mod, patterns};
use modferry_prove::Prover;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Versions that one go command is asked for: a command line has an end.
const AT_ONCE: usize = 200;

/// What it takes to fetch exact versions.
pub(crate) struct Exactly<'a> {
    /// None leaves all to go.
    pub(crate) ahead: Option<&'a Ahead<'a>>,
    /// May be one that is not there.
    pub(crate) go: &'a Go,
    /// Directories of exact versions.
    pub(crate) sources: &'a [PathBuf],
    pub(crate) module_cache: &'a Path,
    /// Where go runs.
    pub(crate) scratch: PathBuf,
    pub(crate) context: &'a Context<'a>,
}

/// What is wanted.
pub(crate) struct Wanted<'a> {
    /// Who wants it, for messages.
    pub(crate) name: &'a str,
    pub(crate) versions: &'a BTreeMap<ModuleVersion, Files>,
    /// Who says something about hashes, and what.
    pub(crate) stated: (&'a str, &'a GoSum),
    /// Versions whose info is not asked for.
    pub(crate) without_info: &'a BTreeSet<ModuleVersion>,
    /// A version that perhaps was never published.
    pub(crate) may_be_missing: Option<&'a ModuleVersion>,
}

/// What came of it, beside the files.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    /// Versions of the graph whose info upstream does not have.
    pub(crate) without_info: Vec<Refused>,
    /// The version that may be missing, if it is.
    pub(crate) missing: Option<ModuleVersion>,
    /// Whether something was left to go.
    pub(crate) by_go: bool,
}

/// What became of info and go.mod of a version.
enum Texts {
    All,
    WithoutInfo(String),
    Absent(Error),
    LeftToGo(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answered {
    path: String,
    #[serde(default)]
    version: String,
    error: Option<serde_json::Value>,
}

impl Exactly<'_> {
    /// Fetches all of it.
    pub(crate) fn fetch(&self, wanted: &Wanted<'_>) -> Result<Fetched> {
        let mut fetched = Fetched::default();
        let mut left: BTreeMap<ModuleVersion, String> = BTreeMap::new();
        let Some(ahead) = self.ahead else {
            left.extend(wanted.versions.keys().map(|version| (version.clone(), "all is left to go".to_owned())));
            self.by_go(left, wanted, &mut fetched)?;
            return Ok(fetched);
        };
        let mut absent: Vec<(ModuleVersion, Error)> = Vec::new();
        for (version, texts) in self.all_texts(ahead, wanted)? {
            match texts {
                Texts::All => {}
                Texts::WithoutInfo(words) => fetched.without_info.push(Refused { version, words }),
                Texts::Absent(error) => absent.push((version, error)),
                Texts::LeftToGo(why) => drop(left.insert(version, why)),
            }
        }
        if let Some(main) = wanted.may_be_missing
            && absent.iter().any(|(version, _)| version == main)
        {
            absent.retain(|(version, _)| version != main);
            fetched.missing = Some(main.clone());
        }
        if !absent.is_empty() {
            let (_, first) = absent.remove(0);
            return Err(first.because_each(absent.iter().map(|(version, _)| format!("nor {version}"))));
        }
        let whole: Vec<ModuleVersion> = wanted
            .versions
            .iter()
            .filter(|(version, files)| {
                **files == Files::Whole && !left.contains_key(version) && fetched.missing.as_ref() != Some(version)
            })
            .map(|(version, _)| version.clone())
            .collect();
        ahead.fetch(&whole, self.sources, wanted.stated.1, Trees::None)?;
        let mut prover = Prover::default();
        for version in whole {
            if !module_cache::zip_file(self.module_cache, &version).exists()
                && let Some(why) = ahead.reader.stoppable(|| self.zip(ahead, &mut prover, &version, wanted))?
            {
                left.insert(version, why);
            }
        }
        self.by_go(left, wanted, &mut fetched)?;
        Ok(fetched)
    }

    /// Step 1.
    fn all_texts(&self, ahead: &Ahead<'_>, wanted: &Wanted<'_>) -> Result<Vec<(ModuleVersion, Texts)>> {
        let versions: Vec<ModuleVersion> = wanted.versions.keys().cloned().collect();
        let (done, total) = (AtomicU64::new(0), versions.len() as u64);
        let one = |(): &mut (), version: &ModuleVersion| {
            self.context.interrupt.check()?;
            let texts = self.texts(ahead, version, wanted);
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            let (bytes, current) = (ahead.reader.bytes(), version.to_string());
            self.context.progress.event(Event::Progress { done, total, bytes, current: &current });
            texts
        };
        let results = ahead.reader.stoppable(|| jobs::map(requests(self.context), versions, one));
        results.into_iter().map(|(version, texts)| Ok((version, texts?))).collect()
    }

    fn texts(&self, ahead: &Ahead<'_>, version: &ModuleVersion, wanted: &Wanted<'_>) -> Result<Texts> {
        let zip = module_cache::zip_file(self.module_cache, version);
        let folder = zip.parent().unwrap_or(self.module_cache);
        fs::create_dir_all(folder).map_err(|error| Error::io(folder, "could not be made", &error))?;
        let place = |suffix: &str| folder.join(format!("{}.{suffix}", version.version().escaped()));
        let write = |place: &Path, bytes: &[u8]| {
            fs::write(place, bytes).map_err(|error| Error::io(place, "could not be written", &error))
        };
        if !place("mod").exists() {
            let expected = self.expected_go_mod(ahead, version, wanted.stated.1);
            let is_good = |bytes: &[u8]| expected.is_empty() || expected.contains(&H1::of_go_mod(bytes));
            match small_file::fetch(ahead, self.sources, version, "mod", go_mod::MAX_BYTES, &is_good)? {
                Text::Found(bytes) => write(&place("mod"), &bytes)?,
                Text::LeftToGo(why) => return Ok(Texts::LeftToGo(why)),
                Text::Absent(words) => return Ok(Texts::Absent(absent(wanted, version, "go.mod", &words))),
            }
        }
        if !place("info").exists() && !wanted.without_info.contains(version) {
            let is_good = |bytes: &[u8]| small_file::is_info_of(version, bytes);
            let is_whole = wanted.versions.get(version) == Some(&Files::Whole);
            match small_file::fetch(ahead, self.sources, version, "info", Info::MAX_BYTES, &is_good)? {
                Text::Found(bytes) => write(&place("info"), &bytes)?,
                Text::LeftToGo(why) if is_whole || self.go.is_there() => return Ok(Texts::LeftToGo(why)),
                Text::Absent(words) if is_whole => return Ok(Texts::Absent(absent(wanted, version, "info", &words))),
                Text::Absent(words) | Text::LeftToGo(words) => return Ok(Texts::WithoutInfo(words)),
            }
        }
        Ok(Texts::All)
    }

    /// Step 2 for a zip that did not come ahead: asks once more and installs it, or says why not; gives the reason if it is
    /// left to go.
    fn zip(
        &self,
        ahead: &Ahead<'_>,
        prover: &mut Prover,
        version: &ModuleVersion,
        wanted: &Wanted<'_>,
    ) -> Result<Option<String>> {
        if patterns::matches(&ahead.not_by_proxy, version.path().as_str()) {
            return Ok(Some("GONOPROXY names it, so no proxy is asked".to_owned()));
        }
        let place = module_cache::zip_file(self.module_cache, version);
        let partial = place.with_extension("zip-exact");
        let failed = |error: &io::Error| Error::io(&partial, "could not be written", error);
        let (path, mut said) = (small_file::path(version, "zip"), String::from("GOPROXY names no proxy"));
        for Entry { url, may_fail } in &ahead.proxies.entries {
            let base = Base::parse(url)?;
            let mut file = File::create(&partial).map_err(|error| failed(&error))?;
            match ahead.reader.pass(&base, &small_file::on_the_wire(&base, &path), MAX_ZIP_BYTES, &mut file, 1) {
                Ok(Passed::All(size)) => {
                    let file = File::open(&partial).map_err(|error| failed(&error))?;
                    let proof = prover.prove(version, &Source::whole(file, size), size, None);
                    let h1 = seal::accept(version, proof.map_err(|error| failed(&error))?.h1)?;
                    let subject = Subject::Zip(version.clone());
                    let statements = vec![(wanted.stated.0.to_owned(), wanted.stated.1.clone())];
                    seal::agree(&subject, h1, &statements)?;
                    let finish = || {
                        fs::write(place.with_extension("ziphash"), h1.to_string())?;
                        fs::rename(&partial, &place)
                    };
                    return finish().map(|()| None).map_err(|error| Error::io(&place, "could not be written", &error));
                }
                Ok(Passed::Absent(words)) => said = format!("{}: {words}", base.shown(&path)),
                Err(error) if *may_fail && error.kind != ErrorKind::Interrupted => said = error.message,
                Err(error) => return Err(error),
            }
        }
        if ahead.proxies.is_direct { Ok(Some(said)) } else { Err(absent(wanted, version, "zip", &said)) }
    }

    /// Step 3.
    fn by_go(&self, left: BTreeMap<ModuleVersion, String>, wanted: &Wanted<'_>, fetched: &mut Fetched) -> Result<()> {
        let Some((first, why)) = left.first_key_value() else { return Ok(()) };
        if !self.go.is_there() {
            let message = format!("{}: {first} has to come from its origin, which takes a go command", wanted.name);
            return Err(Error::new(ErrorKind::GoMissing, message).because(why).hint(
                "put go on PATH, let modferry bring one (--go 1.26.8), or name a proxy that has the module: GOPROXY",
            ));
        }
        fetched.by_go = true;
        let (main, others): (Vec<_>, Vec<_>) =
            left.into_keys().partition(|version| wanted.may_be_missing == Some(version));
        let is_whole = |version: &ModuleVersion| wanted.versions.get(version) == Some(&Files::Whole);
        let (whole, graph): (Vec<_>, Vec<_>) = others.into_iter().partition(is_whole);
        let mut answers = Vec::new();
        for (versions, command) in [(whole, &["mod", "download", "-json"][..]), (graph, &["list", "-m", "-e", "-json"])]
        {
            for chunk in versions.chunks(AT_ONCE) {
                answers.extend(self.ask_go(chunk, command)?);
            }
        }
        for (version, words) in answers {
            let files = wanted.versions.get(&version);
            let place = module_cache::zip_file(self.module_cache, &version);
            if files == Some(&Files::Graph) && place.with_extension("mod").exists() {
                fetched.without_info.push(Refused { version, words });
                continue;
            }
            return Err(go_command::explain(&format!("{}: {version} could not be fetched", wanted.name), &words));
        }
        if let (Some(version), None) = (main.first(), &fetched.missing)
            && let Some((version, words)) = self.ask_go(&main, &["mod", "download", "-json"])?.pop().or_else(|| {
                let is_there = module_cache::zip_file(self.module_cache, version).exists();
                (!is_there).then(|| (version.clone(), String::new()))
            })
        {
            let error = go_command::explain(&format!("{}: {version} could not be fetched", wanted.name), &words);
            if matches!(error.kind, ErrorKind::Network | ErrorKind::NoSpace | ErrorKind::HashConflict) {
                return Err(error);
            }
            fetched.missing = Some(version);
        }
        Ok(())
    }

    /// Asks go for versions; gives those that it did not get, with its words.
    fn ask_go(&self, versions: &[ModuleVersion], command: &[&str]) -> Result<Vec<(ModuleVersion, String)>> {
        for version in versions {
            // Taken for unpacked, so that it is not.
            let dir = module_cache::extracted_dir(self.module_cache, version);
            fs::create_dir_all(&dir).map_err(|error| Error::io(&dir, "could not be made", &error))?;
        }
        let names: Vec<String> = versions.iter().map(ToString::to_string).collect();
        let arguments: Vec<&str> = command.iter().copied().chain(names.iter().map(String::as_str)).collect();
        let output = self.go.run(&self.scratch, &arguments, &mut || {})?;
        let answers: Vec<Answered> = go_command::json_stream(&output.stdout, "exact versions")?;
        if answers.is_empty() && !output.status.success() {
            return Err(go_command::explain(&format!("go {} failed", command.join(" ")), &output.stderr));
        }
        let failed = answers.into_iter().filter_map(|answer| {
            // A text for `mod download`, an object for `list`.
            let words = match answer.error? {
                serde_json::Value::String(words) => words,
                other => other.get("Err").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned(),
            };
            Some((format!("{}@{}", answer.path, answer.version).parse().ok()?, words))
        });
        Ok(failed.collect())
    }

    /// What is stated about a go.mod: by the list, and by lookups that go has made on this machine.
    fn expected_go_mod(&self, ahead: &Ahead<'_>, version: &ModuleVersion, stated: &GoSum) -> Vec<H1> {
        let mut expected = stated.expected(&Subject::GoMod(version.clone())).to_vec();
        if let Some(name) = &ahead.database {
            let lookup = format!("sumdb/{name}/lookup/{}@{}", version.path().escaped(), version.version().escaped());
            let read = |source: &PathBuf| small_file::read(&source.join(&lookup), record::MAX_BYTES as u64);
            let lookups = self.sources.iter().filter_map(read).filter_map(|bytes| Lookup::parse(&bytes, version).ok());
            expected.extend(lookups.map(|lookup| lookup.record.go_mod));
        }
        expected
    }
}

/// The error for a file that no proxy has.
fn absent(wanted: &Wanted<'_>, version: &ModuleVersion, what: &str, words: &str) -> Error {
    let message = format!("{}: {version}: no proxy of GOPROXY has its {what}", wanted.name);
    Error::new(ErrorKind::NotFound, message)
        .because(words)
        .hint("a private module belongs into GOPRIVATE, a proxy that has it into GOPROXY")
}
