//! Makes values of all types, through their parsers alone: what they refuse is drawn again.

use jiff::Timestamp;
use modferry_format::bundle_path::{Alias, ExtraPath};
use modferry_format::carried::{Carried, Files};
use modferry_format::database::{DatabaseName, Tile};
use modferry_format::go_sum::{Line, Subject};
use modferry_format::hash::H1Builder;
use modferry_format::header::{
    Counts, DRAFT, Database, FORMAT, Header, Level, LevelCost, Local, NotCarried, Observation, Root, RootKind,
};
use modferry_format::manifest::Entry;
use modferry_format::requires::{Head, Requires};
use modferry_format::{BundlePath, FileSha256, H1, ModulePath, ModuleVersion, Version};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::Union;
use std::collections::BTreeMap;
use std::str::FromStr;

/// Texts of this pattern that parse.
fn parsed<T: FromStr + std::fmt::Debug>(pattern: &'static str) -> impl Strategy<Value = T> + use<T> {
    pattern.prop_filter_map("refused", |text| text.parse().ok())
}

pub(crate) fn module_path() -> impl Strategy<Value = ModulePath> {
    prop_oneof![
        4 => parsed("[a-z][a-z0-9-]{0,4}\\.[a-z]{1,3}(/[A-Za-z0-9_~][A-Za-z0-9._~-]{0,6}){0,3}"),
        2 => parsed("[a-z]{1,4}\\.[a-z]{1,3}(/[A-Za-z]{1,3}){0,2}/v([2-9]|[1-9][0-9])"),
        1 => parsed("gopkg\\.in/[a-z]{1,3}\\.v[0-9](-unstable)?"),
    ]
}

pub(crate) fn version() -> impl Strategy<Value = Version> {
    const NUMBERS: &str = "v(0|1|2|[1-9][0-9]{0,2})\\.(0|[1-9][0-9]?)\\.(0|[1-9][0-9]?)(\\+incompatible)?";
    const PRE_RELEASE: &str =
        "v[0-3]\\.[0-2]\\.[0-2]-[0-9A-Za-z-]{1,3}(\\.(0|[1-9][0-9]{0,2}|[A-Za-z-]{1,2})){0,3}(\\+incompatible)?";
    const PSEUDO: &str = "v[0-2]\\.(0\\.0-|[0-1]\\.[0-1]-(rc\\.)?0\\.)20[0-2][0-9]{11}-[0-9a-f]{12}(\\+incompatible)?";
    prop_oneof![parsed(NUMBERS), parsed(PRE_RELEASE), parsed(PSEUDO)]
}

pub(crate) fn module_version() -> impl Strategy<Value = ModuleVersion> {
    (module_path(), version()).prop_filter_map("major", |(path, version)| {
        // Half of the paths have a suffix that few versions fit; give those the version that fits.
        let major = path.major_suffix().trim_start_matches(['/', '.']).trim_end_matches("-unstable").to_owned();
        let fitting = match version.as_str().split_once('.') {
            Some((_, rest)) if !major.is_empty() => format!("{major}.{rest}").parse().ok()?,
            _ => version,
        };
        ModuleVersion::new(path, fitting).ok()
    })
}

pub(crate) fn alias() -> impl Strategy<Value = Alias> {
    parsed("[A-Za-z0-9._~@+-]{1,12}")
}

pub(crate) fn extra_path() -> impl Strategy<Value = ExtraPath> {
    parsed("[a-z0-9]{1,6}(/[a-z0-9._~@+-]{1,8}){1,3}")
}

pub(crate) fn database_name() -> impl Strategy<Value = DatabaseName> {
    parsed("[a-z][a-z0-9.-]{0,8}(/[a-z0-9_~-]{1,5}){0,2}")
}

pub(crate) fn tile() -> impl Strategy<Value = Tile> {
    let index = prop_oneof![0..5_u64, 0..2_000_000_u64, 0..=i64::MAX as u64];
    (0..=Tile::MAX_LEVEL, index, 1..=Tile::FULL_WIDTH)
        .prop_filter_map("range", |(level, index, width)| Tile::new(level, index, width))
}

pub(crate) fn bundle_path() -> impl Strategy<Value = BundlePath> {
    let versions = module_version().prop_flat_map(|version| {
        let all = [BundlePath::Info(version.clone()), BundlePath::Mod(version.clone()), BundlePath::Zip(version)];
        Union::new(all.map(Just))
    });
    prop_oneof![
        module_path().prop_map(BundlePath::List),
        module_path().prop_map(BundlePath::Latest),
        versions,
        (module_path(), alias()).prop_map(|(module, alias)| BundlePath::Alias(module, alias)),
        database_name().prop_map(BundlePath::Supported),
        database_name().prop_map(BundlePath::Head),
        (database_name(), module_version()).prop_map(|(name, version)| BundlePath::Lookup(name, version)),
        (database_name(), tile()).prop_map(|(name, tile)| BundlePath::Tile(name, tile)),
        extra_path().prop_map(BundlePath::Extra),
    ]
}

pub(crate) fn sha256() -> impl Strategy<Value = FileSha256> {
    any::<[u8; 32]>().prop_map(FileSha256::from_digest)
}

pub(crate) fn h1() -> impl Strategy<Value = H1> {
    any::<[u8; 32]>().prop_map(|digest| {
        let mut builder = H1Builder::default();
        builder.add("go.mod", digest);
        builder.finish()
    })
}

pub(crate) fn entry() -> impl Strategy<Value = Entry> {
    (bundle_path(), sha256(), any::<u64>()).prop_map(|(path, sha256, size)| Entry { path, sha256, size })
}

pub(crate) fn line() -> impl Strategy<Value = Line> {
    (module_version(), any::<bool>(), h1()).prop_map(|(version, zip, h1)| {
        let subject = if zip { Subject::Zip(version) } else { Subject::GoMod(version) };
        Line { subject, h1 }
    })
}

pub(crate) fn head() -> impl Strategy<Value = Head> {
    (database_name(), any::<u64>(), any::<[u8; 32]>()).prop_map(|(name, size, root)| Head { name, size, root })
}

pub(crate) fn requires() -> impl Strategy<Value = Requires> {
    (vec(line(), 0..6), vec(head(), 0..3)).prop_map(|(lines, heads)| {
        let lines: BTreeMap<Subject, Line> = lines.into_iter().map(|line| (line.subject.clone(), line)).collect();
        let heads: BTreeMap<DatabaseName, Head> = heads.into_iter().map(|head| (head.name.clone(), head)).collect();
        Requires { modules: lines.into_values().collect(), heads: heads.into_values().collect() }
    })
}

/// Times that RFC 3339 can write.
pub(crate) fn time() -> impl Strategy<Value = Timestamp> {
    (-62_167_219_200..253_402_207_200_i64, prop_oneof![Just(0), Just(500_000_000), 0..1_000_000_000])
        .prop_filter_map("range", |(second, nanosecond)| Timestamp::new(second, nanosecond).ok())
}

fn local() -> impl Strategy<Value = Local> {
    (".{0,8}", proptest::option::of(".{0,8}"), ".{0,8}", vec(".{0,8}", 0..3))
        .prop_map(|(module, replaces, go, requires)| Local { module, replaces, go, requires })
}

fn level() -> impl Strategy<Value = Level> {
    use Level::{All, Build, Upgrade, UpgradeEach, Work};
    proptest::sample::select(vec![Build, Work, All, Upgrade, UpgradeEach])
}

fn root() -> impl Strategy<Value = Root> {
    use RootKind::{Binary, GoMod, GoSum, Module, Sbom, Tool, Toolchain, Version, Workspace};
    let kinds = vec![Module, Workspace, GoMod, Version, Tool, Toolchain, GoSum, Binary, Sbom];
    let texts = || vec(".{0,8}", 0..3);
    let optional = || proptest::option::of(".{0,8}");
    let named = (proptest::sample::select(kinds), level(), ".{0,8}", optional(), optional(), ".{0,8}");
    (named, texts(), texts(), vec(local(), 0..3), texts(), texts()).prop_map(
        |((kind, level, module, version, package, go), requires, replaces, local, excludes, platforms)| Root {
            kind,
            level,
            module,
            version,
            go,
            requires,
            replaces,
            local,
            excludes,
            package,
            platforms,
        },
    )
}

pub(crate) fn header() -> impl Strategy<Value = Header> {
    let observation =
        (".{0,8}", ".{0,8}", ".{0,8}").prop_map(|(module, query, version)| Observation { module, query, version });
    let not_carried = (".{0,8}", ".{0,8}").prop_map(|(path, reason)| NotCarried { path, reason });
    let counts =
        any::<[u64; 4]>().prop_map(|[modules, versions, zips, files]| Counts { modules, versions, zips, files });
    let texts = (".{0,8}", ".{0,8}", ".{0,8}", vec(".{0,8}", 0..3), vec(".{0,8}", 0..3));
    let database =
        (".{0,8}", ".{0,8}", vec(".{0,8}", 0..3)).prop_map(|(key, head, served)| Database { key, head, served });
    let cost = (level(), any::<u64>(), proptest::option::of(any::<u64>()));
    let cost = cost.prop_map(|(level, zips, bytes)| LevelCost { level, zips, bytes });
    let files = proptest::sample::select(vec![Files::Whole, Files::Graph]);
    let lock = (vec(cost, 0..3), vec((module_version(), files), 0..5));
    let lists = (vec(root(), 0..3), vec(observation, 0..3), vec(not_carried, 0..3), vec(database, 0..3));
    (time(), texts, lists, counts, any::<u64>(), lock).prop_map(|(created, texts, lists, counts, bytes, lock)| Header {
        format: FORMAT,
        requires_features: Vec::new(),
        draft: DRAFT,
        channel: texts.0,
        created: created.to_string(),
        tool: texts.1,
        go: texts.2,
        roots: lists.0,
        base: texts.3,
        without_record: texts.4,
        databases: lists.3,
        observations: lists.1,
        not_carried: lists.2,
        counts,
        bytes,
        levels: lock.0,
        closure: Carried::lines(lock.1),
    })
}
