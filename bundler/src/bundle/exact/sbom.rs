//! A software bill of materials as a root: the Go modules that it names, by their package URLs.
//!
//! - CycloneDX: `purl` of components, nested ones and `metadata.component` too; of a package in a module
//!   (`pkg:golang/PATH@VERSION#SUB/PATH`) the module
//! - SPDX 2: references of the type `purl`; SPDX 3: `software_packageUrl`
//! - of `pkg:golang/PATH@VERSION?QUALIFIERS#SUBPATH` path and version count
//!
//! By the rules of package URLs, paths of Go are in lower case, and many tools keep to that though Go's are not. So where
//! the component's own name is the same but for case, it is taken for the path.

use crate::bundle::exact::{self, List};
use crate::byte_size::count;
use crate::error::{Error, ErrorKind, Result};
use modferry_format::ModuleVersion;
use modferry_format::carried::Files;
use modferry_format::header::RootKind;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::Path;

/// Largest file that is read, in bytes; one of 5,000 components with licenses has some 10 MiB.
const MAX_BYTES: u64 = 256 << 20;
/// What package URLs of Go modules begin with.
const GOLANG: &str = "pkg:golang/";
/// The standard library, which comes with the toolchain.
const STANDARD_LIBRARY: &str = "stdlib";

/// As much of all kinds of files as is read.
#[derive(Deserialize)]
struct Document {
    #[serde(rename = "bomFormat", default)]
    bom_format: Option<String>,
    #[serde(rename = "spdxVersion", default)]
    spdx_version: Option<String>,
    #[serde(default)]
    metadata: Option<Metadata>,
    #[serde(default)]
    components: Vec<Component>,
    #[serde(default)]
    packages: Vec<Package>,
    #[serde(rename = "@graph", default)]
    graph: Option<Vec<Element>>,
}

#[derive(Deserialize)]
struct Metadata {
    #[serde(default)]
    component: Option<Component>,
}

#[derive(Deserialize)]
struct Component {
    #[serde(default)]
    group: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    purl: String,
    #[serde(default)]
    components: Vec<Component>,
}

#[derive(Deserialize)]
struct Package {
    #[serde(default)]
    name: String,
    #[serde(rename = "externalRefs", default)]
    external_refs: Vec<Reference>,
}

#[derive(Deserialize)]
struct Reference {
    #[serde(rename = "referenceType", default)]
    kind: String,
    #[serde(rename = "referenceLocator", default)]
    locator: String,
}

#[derive(Deserialize)]
struct Element {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(rename = "software_packageUrl", default)]
    url: String,
}

/// Whether a file that begins so may be one.
pub(super) fn is_json(start: &[u8]) -> bool {
    without_mark(start).iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

pub(super) fn read(file: &Path, name: &str) -> Result<List> {
    let text = exact::text(file, MAX_BYTES)?;
    let mut list = parse(without_mark(text.as_bytes()), name)?;
    if list.root.module.is_empty() {
        list.root.module = exact::file_name(file);
    }
    Ok(list)
}

fn parse(bytes: &[u8], name: &str) -> Result<List> {
    let hint = "a root in JSON is a software bill of materials: CycloneDX, or SPDX 2 or 3";
    let document: Document = serde_json::from_slice(bytes).map_err(|error| {
        Error::new(ErrorKind::Root, format!("{name}: could not be understood")).because(error.to_string()).hint(hint)
    })?;
    let mut named = Named {
        list: List::new(RootKind::Sbom, String::new()),
        seen: BTreeSet::new(),
        others: 0,
        unversioned: Vec::new(),
    };
    match (document.bom_format.as_deref(), document.spdx_version, document.graph) {
        (Some("CycloneDX"), ..) => {
            if let Some(main) = document.metadata.and_then(|metadata| metadata.component) {
                named.main(&main);
            }
            document.components.iter().try_for_each(|component| named.component(component, name))?;
        }
        (_, Some(_), _) => {
            for package in &document.packages {
                let purl = package.external_refs.iter().find(|reference| reference.kind == "purl");
                named.add(purl.map_or("", |reference| &reference.locator), &package.name, name)?;
            }
        }
        (_, _, Some(graph)) => {
            for element in graph.iter().filter(|element| element.kind == "software_Package" || !element.url.is_empty())
            {
                named.add(&element.url, &element.name, name)?;
            }
        }
        _ => {
            let message =
                format!("{name}: is no bill of materials: neither bomFormat nor spdxVersion nor @graph is in it");
            return Err(Error::new(ErrorKind::Root, message).hint(hint));
        }
    }
    Ok(named.finish())
}

struct Named {
    list: List,
    seen: BTreeSet<String>,
    /// Components that are no Go modules.
    others: u64,
    /// Go modules without a version.
    unversioned: Vec<String>,
}

impl Named {
    fn main(&mut self, main: &Component) {
        self.list.root.module = full_name(main);
        let version = module(&main.purl, &full_name(main)).and_then(|(path, version)| version_of(&path, &version));
        match version {
            Some(Ok(version)) => {
                self.list.root.module = version.path().to_string();
                self.list.main = Some(version.clone());
                self.list.add(version, Files::Whole);
            }
            _ => self
                .list
                .notes
                .push(format!("{}, which it is about, has no version and is not carried", full_name(main))),
        }
    }

    fn component(&mut self, component: &Component, name: &str) -> Result<()> {
        self.add(&component.purl, &full_name(component), name)?;
        component.components.iter().try_for_each(|nested| self.component(nested, name))
    }

    fn add(&mut self, purl: &str, component: &str, name: &str) -> Result<()> {
        let Some((path, version)) = module(purl, component) else {
            self.others += 1;
            return Ok(());
        };
        // Its packages are named apart, with the same module.
        if path == STANDARD_LIBRARY || !self.seen.insert(format!("{path}@{version}")) {
            return Ok(());
        }
        match version_of(&path, &version) {
            Some(Ok(version)) => self.list.add(version, Files::Whole),
            None => self.unversioned.push(path),
            Some(Err(reason)) => {
                let message = format!("{name}: {purl} cannot be carried");
                return Err(Error::new(ErrorKind::Root, message)
                    .because(reason)
                    .hint("a package URL of a Go module is pkg:golang/PATH@VERSION"));
            }
        }
        Ok(())
    }

    fn finish(self) -> List {
        let mut list = self.list;
        if let Some(first) = self.unversioned.first() {
            let more = if self.unversioned.len() == 1 {
                String::new()
            } else {
                format!(" and {} more", self.unversioned.len() - 1)
            };
            list.notes.push(format!("{first}{more} without a version: not carried"));
        }
        if self.others > 0 {
            list.notes.push(format!("{} of other kinds are passed over", count(self.others, "component")));
        }
        list.notes.push(format!(
            "exactly the {} that it names; not the go.mod files of others",
            count(list.versions.len() as u64, "module version")
        ));
        list.root.requires = list.versions.keys().map(ToString::to_string).collect();
        list
    }
}

fn full_name(component: &Component) -> String {
    match component.group.as_str() {
        "" => component.name.clone(),
        group => format!("{group}/{}", component.name),
    }
}

/// Module path and version of a package URL; none if it is no Go module. The version is empty where there is none.
fn module(purl: &str, component: &str) -> Option<(String, String)> {
    // The scheme and the type may be in any case.
    let (start, rest) = (purl.get(..GOLANG.len())?, purl.get(GOLANG.len()..)?);
    if !start.eq_ignore_ascii_case(GOLANG) {
        return None;
    }
    let rest = rest.split('#').next().unwrap_or_default();
    let rest = rest.split('?').next().unwrap_or_default();
    let (path, version) = rest.rsplit_once('@').unwrap_or((rest, ""));
    let path = decoded(path.trim_matches('/'))?;
    let path = if component.eq_ignore_ascii_case(&path) { component.to_owned() } else { path };
    Some((path, decoded(version)?))
}

/// The version; none where there is none that anybody could have published, a reason where it cannot be understood.
fn version_of(path: &str, version: &str) -> Option<std::result::Result<ModuleVersion, String>> {
    if version.is_empty() || version == "(devel)" || version.eq_ignore_ascii_case("unknown") {
        return None;
    }
    // Some tools leave the v out.
    let v = if version.starts_with(|c: char| c.is_ascii_digit()) { "v" } else { "" };
    Some(format!("{path}@{v}{version}").parse().map_err(|error: modferry_format::Invalid| error.to_string()))
}

/// A text with its percent escapes read; none if they are broken.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        if byte != b'%' {
            bytes.push(byte);
            rest = after;
            continue;
        }
        let digits = after.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = &after[2..];
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(list: &List) -> Vec<String> {
        list.versions.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn package_urls_are_read() {
        let read = |purl: &str, name: &str| module(purl, name).map(|(path, version)| format!("{path} {version}"));
        let ok = |text: &str| Some(text.to_owned());
        assert_eq!(read("pkg:golang/a.test/b@v1.0.0", ""), ok("a.test/b v1.0.0"));
        assert_eq!(read("pkg:golang/a.test/b@v1.0.0?type=module&goos=linux#sub/p", ""), ok("a.test/b v1.0.0"));
        assert_eq!(read("pkg:golang/a.test/b@v2.0.0%2Bincompatible", ""), ok("a.test/b v2.0.0+incompatible"));
        assert_eq!(read("PKG:Golang/a.test%2Fb@v1.0.0", ""), ok("a.test/b v1.0.0"));
        assert_eq!(read("pkg:golang/a.test/burntsushi@v1.0.0", "a.test/BurntSushi"), ok("a.test/BurntSushi v1.0.0"));
        assert_eq!(read("pkg:golang/a.test/b", ""), ok("a.test/b "));
        assert_eq!(read("pkg:golang/a@v%", ""), None);
        for other in ["", "pkg:npm/a@1.0.0", "pkg:golan", "pkg:golangä/x@v1.0.0", "äääääääääääää"] {
            assert_eq!(read(other, ""), None, "{other}");
        }
    }

    #[test]
    fn cyclone_dx_names_modules() {
        let text = r#"{"bomFormat":"CycloneDX","specVersion":"1.6","metadata":{"component":{"name":"app","purl":"pkg:golang/a.test/app"}},
            "components":[
              {"name":"a.test/B","purl":"pkg:golang/a.test/b@v1.0.0?type=module","evidence":{"confidence":0.5},
               "components":[{"name":"a.test/b/sub","purl":"pkg:golang/a.test/B@v1.0.0#sub"},{"group":"a.test","name":"c","purl":"pkg:golang/a.test/c@1.2.0"}]},
              {"name":"std","purl":"pkg:golang/stdlib@1.22.1"},{"name":"x","purl":"pkg:npm/x@1.0.0"},{"name":"os"},
              {"name":"d","purl":"pkg:golang/a.test/d@(devel)"}]}"#;
        let list = parse(text.as_bytes(), "sbom").unwrap();
        assert_eq!(named(&list), ["a.test/B@v1.0.0", "a.test/c@v1.2.0"]);
        let notes = list.notes.join("\n");
        assert!(notes.contains("app, which it is about") && notes.contains("2 components of other kinds"), "{notes}");
        assert!(notes.contains("a.test/d without a version"), "{notes}");
        assert_eq!((list.main, list.root.module.as_str()), (None, "app"));
    }

    #[test]
    fn spdx_names_modules() {
        let text = r#"{"spdxVersion":"SPDX-2.3","packages":[
            {"name":"a.test/b","externalRefs":[{"referenceType":"cpe23Type","referenceLocator":"cpe"},{"referenceType":"purl","referenceLocator":"pkg:golang/a.test/b@v1.0.0"}]},
            {"name":"x","externalRefs":[]},{"name":"y"}]}"#;
        let list = parse(text.as_bytes(), "sbom").unwrap();
        assert_eq!(named(&list), ["a.test/b@v1.0.0"]);
        assert!(list.notes[0].contains("2 components"), "{:?}", list.notes);
        let text = r#"{"@context":"x","@graph":[{"type":"software_Package","name":"b","software_packageUrl":"pkg:golang/a.test/b@v1.0.0"},{"type":"Person","name":"p"}]}"#;
        assert_eq!(named(&parse(text.as_bytes(), "sbom").unwrap()), ["a.test/b@v1.0.0"]);
    }

    #[test]
    fn what_cannot_be_carried_is_an_error() {
        let one = |purl: &str| format!(r#"{{"bomFormat":"CycloneDX","components":[{{"purl":"{purl}"}}]}}"#);
        for purl in
            ["pkg:golang/a.test/b@main", "pkg:golang/a.test/b@v2.0.0", "pkg:golang/../x@v1.0.0", "pkg:golang/@v1.0.0"]
        {
            assert_eq!(parse(one(purl).as_bytes(), "sbom").unwrap_err().kind, ErrorKind::Root, "{purl}");
        }
        for text in ["{}", "[]", "", "{\"bomFormat\":\"CycloneDX\",\"components\":7}", "{\"a\":1"] {
            assert_eq!(parse(text.as_bytes(), "sbom").unwrap_err().kind, ErrorKind::Root, "{text}");
        }
    }

    #[test]
    fn no_cut_and_no_flip_does_harm() {
        let good = br#"{"bomFormat":"CycloneDX","components":[{"name":"b","purl":"pkg:golang/a.test/b@v1.0.0%2Bincompatible"}]}"#;
        for place in 0..good.len() {
            let _ = parse(&good[..place], "sbom");
            for flip in [1, 0x20, 0x80, 0xff] {
                let mut bad = good.to_vec();
                bad[place] ^= flip;
                let _ = parse(&bad, "sbom");
            }
        }
        let deep = format!(r#"{{"bomFormat":"CycloneDX","components":{}"#, r#"[{"components":"#.repeat(100_000));
        assert!(parse(deep.as_bytes(), "sbom").is_err());
    }
}
