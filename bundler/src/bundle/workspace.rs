//! A workspace as a root: a copy of its go.work, of the go.mod files of its members and of the heads of their Go files. go
//! writes into the copy; the user's tree is only read.

use crate::bundle::go_mod_json::{GoModJson, NameJson, ReplaceJson, sorted};
use crate::bundle::resolve::quoted;
use crate::bundle::root::{absolute, check_go_line, copy_go_mod, header_root, read_go_sum, replaced_by, write};
use crate::error::{Error, ErrorKind, Result};
use crate::go_command::Go;
use crate::skeleton;
use modferry_format::go_sum::GoSum;
use modferry_format::header::{Level, Local, Root as HeaderRoot, RootKind};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A go.work as `go work edit -json` prints it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GoWorkJson {
    #[serde(default)]
    go: String,
    #[serde(default, rename = "Use")]
    uses: Option<Vec<UseJson>>,
    #[serde(default)]
    replace: Option<Vec<ReplaceJson>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct UseJson {
    disk_path: String,
}

/// One module of it.
struct Member {
    /// Its copy.
    copy: PathBuf,
    /// The copy of its go.mod as it was made.
    go_mod: Vec<u8>,
}

/// A workspace with everything that the resolution needs.
pub(crate) struct Workspace {
    /// How messages name it.
    pub(crate) name: String,
    /// What goes into bundle.json.
    pub(crate) header: HeaderRoot,
    /// The directory of the copies.
    pub(crate) dir: PathBuf,
    /// The go.work in it.
    pub(crate) go_work: PathBuf,
    /// What the project has written down, in go.work.sum and the go.sum files of all members.
    pub(crate) go_sum: GoSum,
    /// The same file by file, with what each is called: go holds a module to all of them.
    pub(crate) sums: Vec<(String, GoSum)>,
    /// The go.mod files of the members in the user's tree.
    pub(crate) members: Vec<PathBuf>,
    copies: Vec<Member>,
}

impl Workspace {
    /// Copies a workspace into `dir`.
    pub(crate) fn open(file: &Path, level: Level, dir: PathBuf, go: &Go) -> Result<Self> {
        let directory = absolute(file.parent().unwrap_or(Path::new(".")))?;
        let name = file.parent().unwrap_or(file).display().to_string();
        let output = go.must(&directory, &["work", "edit", "-json", &absolute(file)?.to_string_lossy()], &name)?;
        let json: GoWorkJson = serde_json::from_slice(&output.stdout).map_err(|error| {
            Error::new(ErrorKind::GoFailed, format!("{name}: go work edit printed no JSON")).because(error.to_string())
        })?;
        check_go_line(&json.go, go, &name)?;
        let mut moved = BTreeMap::new();
        for (number, used) in json.uses.iter().flatten().enumerate() {
            let member = absolute(&directory.join(&used.disk_path))?;
            if !member.join("go.mod").is_file() {
                let message = format!("{name}: go.work names {}, where no go.mod is", used.disk_path);
                return Err(Error::new(ErrorKind::Root, message)
                    .hint("work from a whole checkout, or take the line out: go work edit -dropuse=DIR"));
            }
            moved.entry(member).or_insert_with(|| dir.join(format!("m{number}")));
        }
        if moved.is_empty() {
            return Err(Error::new(ErrorKind::Root, format!("{name}: go.work uses no module"))
                .hint("go work use DIR adds one; or name module directories as roots"));
        }
        let work_sum = sums_in(&file.with_extension("work.sum"))?;
        let (mut go_sum, mut sums) = (work_sum.clone(), vec![(format!("go.work.sum of {name}"), work_sum)]);
        let (mut copies, mut local) = (Vec::new(), Vec::<Local>::new());
        let (mut replaces, mut excludes) = (Vec::<String>::new(), Vec::new());
        for (member, copy) in &moved {
            fs::create_dir_all(copy).map_err(|error| Error::io(copy, "could not be made", &error))?;
            let name = member.display().to_string();
            let (json, replaced) = copy_go_mod(&member.join("go.mod"), copy, &name, &moved, go)?;
            skeleton::copy(member, copy)?;
            let of_member = sums_in(&member.join("go.sum"))?;
            go_sum.extend(of_member.clone());
            sums.push((format!("go.sum of {name}"), of_member));
            local.push(json.local_module(None));
            local.extend(replaced);
            let header = header_root(RootKind::Module, level, &json, None);
            replaces.extend(header.replaces);
            excludes.extend(header.excludes);
            let go_mod = copy.join("go.mod");
            let go_mod = fs::read(&go_mod).map_err(|error| Error::io(&go_mod, "could not be read", &error))?;
            copies.push(Member { copy: copy.clone(), go_mod });
        }
        let mut text = format!("go {}\n\n", if json.go.is_empty() { "1.18" } else { &json.go });
        copies.iter().for_each(|member| text.push_str(&format!("use {}\n", quoted(&member.copy))));
        for replace in json.replace.iter().flatten() {
            let old = replace.old.text();
            // go looks into go.work first: what it replaces at all versions goes before any line of a member.
            let is_covered = |other: &str| {
                let path = other.split('@').next().unwrap_or_default();
                other == old || (replace.old.version.is_empty() && path == replace.old.path)
            };
            local.retain(|other| !other.replaces.as_deref().is_some_and(is_covered));
            replaces.retain(|line| !is_covered(line.split(" => ").next().unwrap_or_default()));
            let written = old.replacen('@', " ", 1);
            if replace.new.version.is_empty() {
                let target = replaced_by(&directory, replace, "go.work", &name)?;
                let by = GoModJson::read(go, &target.join("go.mod"), &name)?;
                local.push(by.local_module(Some(old)));
                text.push_str(&format!("replace {written} => {}\n", quoted(moved.get(&target).unwrap_or(&target))));
            } else {
                let NameJson { path, version, .. } = &replace.new;
                text.push_str(&format!("replace {written} => {path} {version}\n"));
                replaces.push(format!("{old} => {path}@{version}"));
            }
        }
        let go_work = dir.join("go.work");
        write(&go_work, text.as_bytes())?;
        for list in [&mut replaces, &mut excludes] {
            list.sort();
            list.dedup();
        }
        local = sorted(local.into_iter());
        local.dedup();
        let header = HeaderRoot {
            kind: RootKind::Workspace,
            level,
            // A workspace has no module path.
            module: directory.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            version: None,
            go: json.go,
            requires: Vec::new(),
            replaces,
            local,
            excludes,
            package: None,
            platforms: Vec::new(),
        };
        let members = moved.into_keys().map(|member| member.join("go.mod")).collect();
        Ok(Self { name, header, dir, go_work, go_sum, sums, members, copies })
    }

    /// The packages of all members.
    pub(crate) fn patterns(&self) -> Vec<String> {
        let names = self.copies.iter().filter_map(|member| member.copy.file_name());
        names.map(|name| format!("./{}/...", name.to_string_lossy())).collect()
    }

    /// Puts the go.mod files back as they were made: `go work sync` rewrites them.
    pub(crate) fn restore(&self) -> Result<()> {
        self.copies.iter().try_for_each(|member| write(&member.copy.join("go.mod"), &member.go_mod))
    }
}

fn sums_in(file: &Path) -> Result<GoSum> {
    if file.is_file() { read_go_sum(file) } else { Ok(GoSum::default()) }
}
