//! Asks for the infos, and go.mod files, that commands have left out: those of versions that are only in the graph, and of
//! versions whose zip was loaded by `go mod tidy` or `go work sync`.
//!
//! A go.mod of the build list that upstream does not give stops few commands of go: `go list -m` names a version by its info
//! alone. It says nothing of it either, so it is asked for once more to hear why.

use super::{Listed, Refused, Resolver};
use crate::bundle::root::write;
use crate::error::{ErrorKind, Result};
use crate::go_command;
use crate::jobs;
use crate::module_cache;
use modferry_format::ModuleVersion;
use std::path::Path;

/// Most children that ask for infos at the same time; as many as a child has workers for downloads.
const INFO_CHILDREN: usize = 16;

impl Resolver<'_> {
    /// Gives the versions for which upstream has none.
    pub(crate) fn fill(&self, scratch: &Path) -> Result<Vec<Refused>> {
        if let Some(ahead) = self.ahead {
            ahead.fetch_infos(self.sources)?;
        }
        let versions = module_cache::versions(self.module_cache)?;
        let lacking: Vec<&ModuleVersion> = versions
            .iter()
            .filter(|(_, files)| {
                (files.info.is_none() && files.go_mod.is_some()) || (files.zip.is_some() && files.go_mod.is_none())
            })
            .map(|(version, _)| version)
            .collect();
        if lacking.is_empty() {
            return Ok(Vec::new());
        }
        let chunk = lacking.len().div_ceil(INFO_CHILDREN).max(8);
        let chunks: Vec<Vec<String>> =
            lacking.chunks(chunk).map(|chunk| chunk.iter().map(ToString::to_string).collect()).collect();
        let asked = jobs::map(INFO_CHILDREN, chunks, |(): &mut (), chunk| {
            let mut arguments = vec!["list", "-m", "-e", "-json"];
            arguments.extend(chunk.iter().map(String::as_str));
            let output = self.with_sources.run(scratch, &arguments, &mut || {})?;
            let listed: Vec<Listed> = go_command::json_stream(&output.stdout, "infos")?;
            if listed.is_empty() {
                return Err(go_command::explain("infos of the graph: go list failed", &output.stderr));
            }
            Ok(listed)
        });
        let mut refused = Vec::new();
        for (_, listed) in asked {
            for module in listed? {
                if let (Some(problem), Ok(version)) =
                    (module.error, format!("{}@{}", module.path, module.version).parse())
                {
                    refused.push(Refused { version, words: problem.err });
                }
            }
        }
        refused.sort();
        Ok(refused)
    }

    /// Asks for the go.mod files of these versions, one by one; gives those that upstream does not have.
    pub(crate) fn go_mods(&self, versions: &[ModuleVersion], scratch: &Path) -> Result<Vec<Refused>> {
        let mut refused = Vec::new();
        for version in versions {
            let (path, number) = (version.path(), version.version());
            let text = format!("module modferry.invalid/graph\n\ngo 1.17\n\nrequire {path} {number}\n");
            write(&scratch.join("go.mod"), text.as_bytes())?;
            let output = self.plain.run(scratch, &["mod", "graph"], &mut || {})?;
            let (is_there, words) = (output.status.success(), output.stderr);
            if is_there {
                continue;
            }
            let error = go_command::explain(&format!("{version}: its go.mod could not be fetched"), &words);
            match error.kind {
                ErrorKind::NotFound | ErrorKind::GoFailed => refused.push(Refused { version: version.clone(), words }),
                _ => return Err(error),
            }
        }
        Ok(refused)
    }
}
