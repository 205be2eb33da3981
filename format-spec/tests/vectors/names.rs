//! Names: module paths, versions, files of a bundle.

use crate::vector_file::{Row, VectorFile};
use modferry_format::database::{DatabaseName, Tile};
use modferry_format::root::is_signature_name;
use modferry_format::{BundlePath, Invalid, ModulePath, ModuleVersion, Version, patterns};
use std::fmt::{Debug, Display};
use std::str::FromStr;

/// Parses a cell, which need not be UTF-8, and holds the result to printing the same text again.
fn parse<T: FromStr<Err = Invalid> + Display + Debug>(row: &Row<'_>, column: &str) -> Option<T> {
    // Whoever reads a text decodes UTF-8 first; what is none is refused before any parser sees it.
    let Ok(text) = std::str::from_utf8(row.bytes(column)) else {
        return row.judge(Err::<T, _>("not UTF-8"));
    };
    let value = row.judge(text.parse::<T>())?;
    assert_eq!(value.to_string(), text, "{}: printed again", row.place);
    Some(value)
}

pub(crate) fn module_path(file: &VectorFile) {
    for row in file.rows() {
        if let Some(path) = parse::<ModulePath>(&row, "path") {
            assert_eq!(path.escaped(), row.text("escaped"), "{}", row.place);
            assert_eq!(path.major_suffix(), row.text("suffix"), "{}", row.place);
            assert_eq!(ModulePath::from_escaped(row.text("escaped")), Ok(path), "{}", row.place);
        }
    }
}

pub(crate) fn version(file: &VectorFile) {
    for row in file.rows() {
        if let Some(version) = parse::<Version>(&row, "version") {
            assert_eq!(version.escaped(), row.text("escaped"), "{}", row.place);
            let kind = match (version.is_pseudo(), version.is_pre_release()) {
                (true, true) => "pseudo",
                (false, true) => "pre-release",
                (false, false) => "release",
                (true, false) => panic!("{}: a pseudo-version that is a release", row.place),
            };
            assert_eq!(kind, row.text("kind"), "{}", row.place);
            assert_eq!(Version::from_escaped(row.text("escaped")), Ok(version), "{}", row.place);
        }
    }
}

pub(crate) fn pseudo_version(file: &VectorFile) {
    for row in file.rows() {
        let version: Version = row.text("version").parse().unwrap();
        let timestamp = version.pseudo_timestamp();
        assert_eq!(timestamp.is_some(), version.is_pseudo());
        if let Some(timestamp) = row.judge(timestamp.ok_or("no pseudo-version")) {
            assert_eq!(timestamp, row.text("timestamp"), "{}", row.place);
        }
    }
}

pub(crate) fn version_order(file: &VectorFile) {
    let rows = file.rows();
    let versions: Vec<Version> = rows.iter().map(|row| row.text("version").parse().unwrap()).collect();
    for (i, a) in versions.iter().enumerate() {
        for (k, b) in versions.iter().enumerate() {
            assert_eq!(a.cmp(b), i.cmp(&k), "{a} and {b}");
        }
    }
}

pub(crate) fn module_version(file: &VectorFile) {
    for row in file.rows() {
        parse::<ModuleVersion>(&row, "module-version");
    }
}

pub(crate) fn escaping(file: &VectorFile) {
    for row in file.rows() {
        let escaped = String::from_utf8_lossy(row.bytes("escaped"));
        if file.name.ends_with("paths.txt") {
            if let Some(path) = row.judge(ModulePath::from_escaped(&escaped)) {
                assert_eq!(path.as_str(), row.text("path"), "{}", row.place);
                assert_eq!(path.escaped(), escaped, "{}", row.place);
            }
        } else if let Some(version) = row.judge(Version::from_escaped(&escaped)) {
            assert_eq!(version.as_str(), row.text("version"), "{}", row.place);
            assert_eq!(version.escaped(), escaped, "{}", row.place);
        }
    }
}

pub(crate) fn tile(file: &VectorFile) {
    for row in file.rows() {
        if let Some(tile) = parse::<Tile>(&row, "tile") {
            let parts = [tile.level().to_string(), tile.index().to_string(), tile.width().to_string()];
            assert_eq!(parts, ["level", "index", "width"].map(|column| row.text(column)), "{}", row.place);
            assert_eq!(Tile::new(tile.level(), tile.index(), tile.width()), Some(tile), "{}", row.place);
        }
    }
}

pub(crate) fn database_name(file: &VectorFile) {
    for row in file.rows() {
        parse::<DatabaseName>(&row, "name");
    }
}

pub(crate) fn bundle_path(file: &VectorFile) {
    for row in file.rows() {
        if let Some(path) = parse::<BundlePath>(&row, "path") {
            let yes = |is: bool| if is { "yes" } else { "no" };
            let is = [kind(&path), yes(path.is_immutable()), yes(path.is_served()), path.media_type().as_str()];
            assert_eq!(
                is,
                ["kind", "immutable", "served", "media-type"].map(|column| row.text(column)),
                "{}",
                row.place
            );
        }
    }
}

fn kind(path: &BundlePath) -> &'static str {
    match path {
        BundlePath::List(_) => "list",
        BundlePath::Latest(_) => "latest",
        BundlePath::Info(_) => "info",
        BundlePath::Mod(_) => "mod",
        BundlePath::Zip(_) => "zip",
        BundlePath::Alias(..) => "alias",
        BundlePath::Supported(_) => "supported",
        BundlePath::Head(_) => "head",
        BundlePath::Lookup(..) => "lookup",
        BundlePath::Tile(..) => "tile",
        BundlePath::Extra(_) => "extra",
        _ => "unknown",
    }
}

pub(crate) fn signature_name(file: &VectorFile) {
    for row in file.rows() {
        row.judge(is_signature_name(row.text("name")).then_some(()).ok_or("not the name of a signature"));
    }
}

pub(crate) fn patterns(file: &VectorFile) {
    for row in file.rows() {
        if file.name.ends_with("claims.txt") {
            row.judge(patterns::check(row.text("pattern")));
        } else {
            let matches = if patterns::matches(row.text("list"), row.text("path")) { "yes" } else { "no" };
            assert_eq!(matches, row.text("matches"), "{}", row.place);
        }
    }
}
