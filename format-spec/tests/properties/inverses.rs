//! Text to value and value to text are inverses, in both directions.

use crate::strategies::*;
use modferry_format::bundle_path::{Alias, ExtraPath};
use modferry_format::database::{DatabaseName, Tile};
use modferry_format::go_sum::Line;
use modferry_format::header::Header;
use modferry_format::info::Info;
use modferry_format::manifest::Reader;
use modferry_format::requires::{Head, Requires};
use modferry_format::root::Root;
use modferry_format::{BundlePath, FileSha256, H1, ModulePath, ModuleVersion, Version};
use proptest::prelude::*;
use std::fmt::{Debug, Display};
use std::str::FromStr;

/// A value, printed, parses as itself.
fn print_then_parse<T: FromStr<Err: Debug + PartialEq> + Display + Debug + PartialEq>(value: &T) {
    assert_eq!(value.to_string().parse::<T>().as_ref(), Ok(value));
}

/// A text that parses prints as itself.
fn parse_then_print<T: FromStr + Display>(text: &str) {
    if let Ok(value) = text.parse::<T>() {
        assert_eq!(value.to_string(), text);
    }
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn module_paths(path in module_path()) {
        print_then_parse(&path);
        prop_assert_eq!(ModulePath::from_escaped(&path.escaped()), Ok(path));
    }

    #[test]
    fn versions(version in version()) {
        print_then_parse(&version);
        prop_assert_eq!(Version::from_escaped(&version.escaped()), Ok(version));
    }

    #[test]
    fn module_versions(version in module_version()) {
        print_then_parse(&version);
    }

    #[test]
    fn names_of_files(path in bundle_path()) {
        print_then_parse(&path);
    }

    #[test]
    fn parts_of_names(tile in tile(), alias in alias(), extra in extra_path(), database in database_name()) {
        print_then_parse(&tile);
        print_then_parse(&alias);
        print_then_parse(&extra);
        print_then_parse(&database);
    }

    #[test]
    fn hashes(sha256 in sha256(), h1 in h1()) {
        print_then_parse(&sha256);
        print_then_parse(&h1);
    }

    #[test]
    fn lines_and_heads(line in line(), head in head()) {
        print_then_parse(&line);
        print_then_parse(&head);
    }

    #[test]
    fn requirements(requires in requires()) {
        print_then_parse(&requires);
    }

    #[test]
    fn roots(sums in proptest::array::uniform5(sha256())) {
        print_then_parse(&Root::new(sums));
    }

    #[test]
    fn entries(entry in entry()) {
        let (sums, sizes) = (entry.sums_line(), entry.sizes_line());
        let read = Reader::default().entry(sums.trim_end_matches('\n'), sizes.trim_end_matches('\n'));
        prop_assert_eq!(read, Ok(entry));
    }

    #[test]
    fn headers(header in header()) {
        prop_assert_eq!(Header::parse(header.to_json().as_bytes()), Ok(header));
    }

    /// However a proxy spells it: its canonical spelling is read as the same, and is canonical.
    #[test]
    fn infos(version in version(), time in proptest::option::of(time()), zone in -14..=14_i8) {
        let time = time.map(|time| {
            let offset = jiff::tz::Offset::from_hours(zone).unwrap();
            format!(",\"Time\":\"{}\"", time.display_with_offset(offset))
        });
        let upstream = format!(" {{\"Origin\":{{}},\"Version\":\"{version}\"{} }}\n", time.unwrap_or_default());
        // A zone can carry the first and last days out of the four digits of a year.
        if let Ok(info) = Info::from_upstream(upstream.as_bytes()) {
            prop_assert_eq!(info.version(), &version);
            prop_assert_eq!(Info::from_canonical(info.to_canonical().as_bytes()), Ok(info));
        } else {
            prop_assert!(upstream.contains("\"-"), "{}", upstream);
        }
    }

    #[test]
    fn texts_that_parse(
        path in "[a-zA-Z0-9./~_-]{1,10}",
        version in "v[0-9a-zA-Z.+-]{1,10}",
        query in "[a-zA-Z0-9.+@~_-]{0,6}",
        hex in "[0-9a-fA-F]{63,65}",
        base64 in "h1:[A-Za-z0-9+/]{42,43}={0,2}",
        tile in "tile/8/[0-9]/(x?[0-9]{1,4}/){0,2}[0-9]{1,4}(\\.p/[0-9]{1,3})?",
        file in "(download|extra)/[a-z!.]{1,5}/(sumdb/|@v/|@latest|v2/@v/)?[a-z!.@/0-9]{1,8}(\\.info|\\.mod|\\.zip)?",
        info in "\\{\"Version\":\"v1\\.[0-9]\\.0\"(,\"Time\":\"20[0-9]{2}-0[1-9]-[0-2][0-9]T00:00:00(\\.[0-9]{1,2})?Z\")?\\}\n?",
    ) {
        parse_then_print::<ModulePath>(&format!("a.b/{path}"));
        parse_then_print::<Version>(&version);
        parse_then_print::<ModuleVersion>(&format!("a.b/c@{version}"));
        parse_then_print::<Alias>(&query);
        parse_then_print::<ExtraPath>(&path);
        parse_then_print::<DatabaseName>(&path);
        parse_then_print::<FileSha256>(&hex);
        parse_then_print::<H1>(&base64);
        parse_then_print::<Line>(&format!("a.b/c {version} {base64}"));
        parse_then_print::<Head>(&format!("a.b {query} {}", &base64[3..]));
        parse_then_print::<Requires>(&format!("[modules]\na.b/c {version} {base64}\n"));
        parse_then_print::<Tile>(&tile);
        parse_then_print::<BundlePath>(&file);
        if let Ok(read) = ModulePath::from_escaped(&path) {
            prop_assert_eq!(read.escaped(), path);
        }
        if let Ok(read) = Info::from_canonical(info.as_bytes()) {
            prop_assert_eq!(read.to_canonical(), info);
        }
    }
}
