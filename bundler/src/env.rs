//! `modferry env`: the go settings with which the stock go command uses a bundle and nothing else.

use crate::carrier::{Directory, STREAM};
use crate::error::{Error, ErrorKind, Result};
use crate::go_command::file_url;
use crate::head::Head;
use crate::mirror;
use modferry_format::header::{EVERY_MODULE, Header};
use modferry_format::sumdb::key::VerifierKey;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

/// In which form the settings are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Lines for a shell, the other forms beside them as comments.
    All,
    /// `export NAME='value'`
    Shell,
    /// `go env -w NAME=value`
    Go,
    /// `ENV NAME="value"`
    Docker,
    /// `NAME=value`, as CI systems read variables from files
    Ci,
}

/// The settings, in the order in which they are shown.
#[derive(Debug, Clone, Serialize)]
pub struct GoSettings {
    /// Names and values.
    pub env: Vec<Setting>,
    /// Whether they are for an address, where nobody can tell what comes without a record.
    #[serde(skip)]
    is_served: bool,
    /// Whether toolchains are carried.
    #[serde(skip)]
    has_toolchains: bool,
}

/// One variable of `go env`.
#[derive(Debug, Clone, Serialize)]
pub struct Setting {
    /// Such as `GOPROXY`.
    pub name: &'static str,
    /// May be empty.
    pub value: String,
    /// Why it is set.
    pub reason: &'static str,
}

/// What cannot be told of an address.
const SERVED: &str = "\
# if the mirror has modules without a record of the checksum database, GONOSUMDB must name them:
#   modferry env MIRROR, where the mirror lies, says which
#   and where GOPRIVATE names them too: export GONOPROXY=none
# if it has no toolchains: export GOTOOLCHAIN=local
";

/// What to do where toolchains are carried.
const WITH_TOOLCHAINS: &str = "\
# toolchains are carried: go takes the one that a go.mod asks for, or GOTOOLCHAIN names (go list -m -versions go)
";

/// For machines that come in from outside.
const RESET: &str = "\
# a machine that has used the checksum database elsewhere may miss a tile of it here (reading .../sumdb/.../tile/...):
#   rm -rf \"$(go env GOPATH)/pkg/sumdb\" \"$(go env GOMODCACHE)/cache/download/sumdb\"
#   both, for each brings the other's tree head back; or bundle with --client-latest
";

/// The settings for a bundle or mirror in a directory, or for one that is served at an address.
pub fn env(path: &Path) -> Result<GoSettings> {
    if let Some(url) = path.to_str().filter(|text| text.starts_with("http://") || text.starts_with("https://")) {
        return served(url);
    }
    if path == Path::new(STREAM) || path.is_file() {
        let message = format!("{}: go reads modules from a directory or a server, not out of a tar", path.display());
        return Err(Error::new(ErrorKind::Usage, message).hint("unpack it: mkdir DIR && tar -xf NAME.tar -C DIR"));
    }
    if !path.exists() {
        let message = format!("{}: is neither a directory nor an address", path.display());
        return Err(Error::new(ErrorKind::Usage, message).hint("an address begins with http:// or https://"));
    }
    let (mut patterns, mut keys) = (BTreeSet::new(), BTreeSet::new());
    if mirror::is_mirror(path) {
        for line in mirror::read_journal(path)? {
            patterns.extend(line.no_record);
            keys.extend(line.databases);
        }
    } else {
        let header = Head::read(&Directory::open(path)?)?.header;
        if let Some(base) = header.base.first() {
            let message = format!("{}: counts on bundle {base}, so go cannot use it alone", path.display());
            return Err(Error::new(ErrorKind::Usage, message)
                .hint("import both into a mirror, and ask for the settings of that: modferry env MIRROR"));
        }
        patterns.extend(header.without_record);
        keys.extend(header.databases.into_iter().map(|database| database.key));
    }
    let has_toolchains = path.join("download").join(TOOLCHAINS).is_file();
    let path = path.canonicalize().map_err(|error| Error::io(path, "its full path could not be found", &error))?;
    Ok(settings(file_url(&path.join("download")), &patterns, &keys, has_toolchains))
}

/// The settings for a tree that becomes a bundle with this header.
pub(crate) fn of_header(header: &Header, tree: &Path) -> GoSettings {
    let patterns = header.without_record.iter().cloned().collect();
    let keys = header.databases.iter().map(|database| database.key.clone()).collect();
    let download = tree.join("download");
    settings(file_url(&download), &patterns, &keys, download.join(TOOLCHAINS).is_file())
}

/// What a mirror holds without a record is written down beside it, and not served.
fn served(url: &str) -> Result<GoSettings> {
    let host = url.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
    // `,` and `|` would split GOPROXY; a question mark or space never reaches the server.
    if host.is_empty() || url.contains([',', '|', ' ', '?', '#', '\'', '"']) || url.chars().any(char::is_control) {
        let message = format!("{}: is no address that GOPROXY can have", url.escape_debug());
        return Err(Error::new(ErrorKind::Usage, message).hint("such as http://mirror.example:8077"));
    }
    Ok(GoSettings {
        is_served: true,
        has_toolchains: false,
        // There may be toolchains; without one, go says what it misses.
        ..settings(url.trim_end_matches('/').to_owned(), &BTreeSet::new(), &BTreeSet::new(), true)
    })
}

/// What every bundle and mirror with a toolchain has.
const TOOLCHAINS: &str = "golang.org/toolchain/@v/list";

fn settings(
    proxy: String,
    without_record: &BTreeSet<String>,
    keys: &BTreeSet<String>,
    has_toolchains: bool,
) -> GoSettings {
    let setting = |name, value, reason| Setting { name, value, reason };
    let mut env = vec![setting("GOPROXY", proxy, "everything comes from there, and from nowhere else")];
    if !without_record.is_empty() {
        let patterns: Vec<&str> = without_record.iter().map(String::as_str).collect();
        // What takes everything leaves nothing to the others.
        let patterns = if patterns.contains(&EVERY_MODULE) { EVERY_MODULE.to_owned() } else { patterns.join(",") };
        env.push(setting(
            "GONOSUMDB",
            patterns,
            "carried without a record of the checksum database; go.sum still counts",
        ));
    }
    // Go uses one database; where there is that of sum.golang.org too, it is its default.
    if let Some(key) = keys.first().filter(|key| keys.len() == 1 && *key != VerifierKey::SUM_GOLANG_ORG) {
        env.push(setting("GOSUMDB", key.clone(), "the checksum database that its modules are verified against"));
    }
    // GOPRIVATE alone would send go to the origin of a module, past the bundle. Not for a bundle without such modules: with any
    // value of it, go cannot look for a patch any more (`go get M@patch`, 1.21 to 1.27: what is asked first then is nobody).
    if !without_record.is_empty() {
        env.push(setting(
            "GONOPROXY",
            "none".to_owned(),
            "private modules come from there too, even where GOPRIVATE names them; but no go get M@patch then",
        ));
    }
    // Said in both cases: what an earlier shell or `go env -w` has set must not stay.
    if has_toolchains {
        env.push(setting(
            "GOTOOLCHAIN",
            "auto".to_owned(),
            "go takes the toolchain that is asked for, if it is carried",
        ));
    } else {
        env.push(setting("GOTOOLCHAIN", "local".to_owned(), "no toolchain is carried"));
    }
    GoSettings { env, is_served: false, has_toolchains }
}

impl GoSettings {
    /// The text in one form; every form ends each line with a newline.
    pub fn text(&self, form: Form) -> String {
        match form {
            Form::All => [
                self.lines(|setting| {
                    format!("export {}={}  # {}", setting.name, shell(&setting.value), setting.reason)
                }),
                "# for every shell of this user:\n".to_owned(),
                comment(&self.text(Form::Go)),
                "# in a Dockerfile:\n".to_owned(),
                comment(&self.text(Form::Docker)),
                "# in the variables of a CI job:\n".to_owned(),
                comment(&self.text(Form::Ci)),
                if self.has_toolchains { WITH_TOOLCHAINS.to_owned() } else { String::new() },
                if self.is_served { SERVED.to_owned() } else { String::new() },
                RESET.to_owned(),
            ]
            .concat(),
            Form::Shell => self.lines(|setting| format!("export {}={}", setting.name, shell(&setting.value))),
            Form::Go => {
                self.lines(|setting| format!("go env -w {}", shell(&format!("{}={}", setting.name, setting.value))))
            }
            Form::Docker => self.lines(|setting| format!("ENV {}={}", setting.name, docker(&setting.value))),
            Form::Ci => self.lines(|setting| format!("{}={}", setting.name, setting.value)),
        }
    }

    /// Names and values, for `--json`.
    pub fn map(&self) -> BTreeMap<&str, &str> {
        self.env.iter().map(|setting| (setting.name, setting.value.as_str())).collect()
    }

    fn lines(&self, line: impl Fn(&Setting) -> String) -> String {
        self.env.iter().map(|setting| line(setting) + "\n").collect()
    }
}

impl fmt::Display for GoSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(Form::All))
    }
}

fn comment(text: &str) -> String {
    text.lines().map(|line| format!("#   {line}\n")).collect()
}

/// Quoted for a POSIX shell; a value with a newline cannot come up, URLs escape it.
fn shell(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

/// Quoted for a Dockerfile, where a dollar would begin a variable.
fn docker(value: &str) -> String {
    let escaped: String =
        value.chars().flat_map(|c| if matches!(c, '"' | '\\' | '$') { vec!['\\', c] } else { vec![c] }).collect();
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_hold_whatever_a_path_has() {
        assert_eq!(shell("a'b $c"), r"'a'\''b $c'");
        assert_eq!(docker(r#"a"b$c"#), r#""a\"b\$c""#);
    }
}
