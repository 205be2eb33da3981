//! Level `upgrade`: what `go get -u` in its usual forms would choose today, each followed by `go mod tidy` and
//! `go mod download all`. Inside, the same commands then come to the same go.mod (closure.md 4).
//!
//! `upgrade=each` does so for every single requirement as well: a module that moves alone may select versions in between that no
//! common upgrade does.

use super::{Resolved, Resolver, mismatch};
use crate::bundle::ahead::Trees;
use crate::bundle::go_mod_json::GoModJson;
use crate::bundle::root::Root;
use crate::error::{Error, ErrorKind, Result, Warning};
use crate::go_command;
use modferry_format::ModuleVersion;
use modferry_format::header::Level;

/// Upgrades of everything. None of them covers another: without -t go leaves alone what only tests need, and comes to other
/// versions of the rest (`-u=patch` on controller-runtime v0.25.2: gomega v1.39.1 without, v1.39.0 with it).
const COMMON: [&[&str]; 4] = [
    &["get", "-u", "-t", "./..."],
    &["get", "-u", "./..."],
    &["get", "-u=patch", "-t", "./..."],
    &["get", "-u=patch", "./..."],
];

impl Resolver<'_> {
    pub(super) fn upgrade(&self, root: &Root, resolved: &mut Resolved) -> Result<()> {
        root.copy_packages(self)?;
        // What tidy and a workspace ask for, from the go.mod as it is.
        self.work(root, resolved)?;
        for arguments in COMMON {
            self.upgrade_if_it_goes(root, arguments, resolved)?;
        }
        if root.header.level == Level::UpgradeEach {
            for path in &root.direct {
                self.upgrade_if_it_goes(root, &["get", &format!("{path}@latest")], resolved)?;
                self.upgrade_if_it_goes(root, &["get", "-u", path], resolved)?;
            }
        }
        Ok(())
    }

    /// One upgrade; where it chooses what contradicts the checksum database, the others and the lower levels are carried.
    fn upgrade_if_it_goes(&self, root: &Root, arguments: &[&str], resolved: &mut Resolved) -> Result<()> {
        let Err(error) = self.upgrade_by(root, arguments, resolved) else { return Ok(()) };
        let (command, cause) = (arguments.join(" "), mismatch::told(&error));
        self.leave_out(error, &root.scratch, &mut resolved.mismatched)?;
        let message = format!("{}: go {command} chooses what cannot be verified: {cause}", root.name);
        resolved.warnings.push(Warning::new(message, Some("it fails with a network, too")));
        root.restore()
    }

    /// One upgrade, with everything that is asked for after it.
    fn upgrade_by(&self, root: &Root, arguments: &[&str], resolved: &mut Resolved) -> Result<()> {
        root.restore()?;
        let subject = format!("{}: go {} failed", root.name, arguments.join(" "));
        let output = self.plain.run(&root.scratch, arguments, &mut || {})?;
        if !output.status.success() {
            let error = go_command::explain(&subject, &output.stderr);
            if matches!(
                error.kind,
                ErrorKind::Network | ErrorKind::NoSpace | ErrorKind::HashConflict | ErrorKind::NoRecord
            ) {
                return Err(error);
            }
            // Inside it fails as it does here; the other upgrades, and the lower levels, are carried.
            let cause = error.causes.first().map_or_else(String::new, |cause| format!(": {cause}"));
            let hint = match error.kind {
                ErrorKind::GoTooOld => {
                    "what is newest needs a newer go than this one: name it with --go, and carry it with --toolchain"
                }
                _ => "it fails with a network, too",
            };
            resolved.warnings.push(Warning::new(format!("{subject}{cause}"), Some(hint)));
            return root.restore();
        }
        // Where the version that it would choose requires what is refused, go keeps the old one and says so.
        if output.stderr.contains(mismatch::SIGN) {
            let said = Error::new(ErrorKind::HashConflict, subject);
            let said = output.stderr.lines().fold(said, Error::because);
            self.leave_out(said, &root.scratch, &mut resolved.mismatched)?;
        }
        let upgraded = root.current()?;
        // Nothing else than the go.mod says what comes after it, and few upgrades of a single requirement come to one of their own.
        if !resolved.upgraded.insert(upgraded.clone()) {
            return root.restore();
        }
        let here = || root.put(&upgraded);
        let name = format!("{} after go {}", root.name, arguments.join(" "));
        // What go.mod names before it is tidied is what the command inside has to find in the lists.
        let json = GoModJson::read(self.plain, &root.scratch.join("go.mod"), &name)?;
        let named: Vec<ModuleVersion> = json.requires().filter_map(|require| require.text().parse().ok()).collect();
        if let Some(ahead) = self.ahead {
            ahead.fetch(&named, &[], &root.go_sum, Trees::Heads)?;
        }
        let refused = self.download(self.plain, &root.scratch, &name, &[], &named, &here)?;
        resolved.refused.extend(refused);
        root.put(&upgraded)?;
        let untidy = self.load_in(self.plain, &root.scratch, &name, &["mod", "tidy"], &here)?;
        let loaded = untidy.is_none();
        if root.is_of_user() {
            resolved.warnings.extend(untidy);
        }
        let listed = self.list_in(self.plain, &root.scratch, &name)?;
        let selected = listed.versions(&name)?;
        if let Some(ahead) = self.ahead {
            ahead.fetch(&selected, &[], &root.go_sum, Trees::Heads)?;
        }
        let tidied = root.current()?;
        let refused = self.download(self.plain, &root.scratch, &name, &["all"], &selected, &|| root.put(&tidied))?;
        resolved.refused.extend(refused);
        // A tidy that went to its end has loaded the same packages, and `go mod download all` every zip and go.mod they can be in.
        if !loaded {
            self.load_after(root, &tidied, &name)?;
        }
        root.restore()
    }

    /// The packages load with what was chosen.
    fn load_after(&self, root: &Root, go_mod: &[u8], name: &str) -> Result<()> {
        root.put(go_mod)?;
        let arguments = ["list", "-deps", "-test", "all"];
        self.load_in(self.plain, &root.scratch, name, &arguments, &|| root.put(go_mod)).map(drop)
    }
}
