//! What the model of a client says it reads of a checksum database, which is what a bundle is held to before it is sealed,
//! is what the real go asks a server for: in every state in which it may come, tile by tile.

// The lint knows test functions, not what they call.
#![allow(clippy::unwrap_used)]

use modferry_format::ModuleVersion;
use modferry_format::database::Tile;
use modferry_format::header::Header;
use modferry_format::sumdb::client::{Client, reads};
use modferry_format::sumdb::head::Head;
use modferry_harness::built;
use modferry_harness::clean_home::CleanHome;
use modferry_harness::database::server::{Misbehaviour, Server};
use modferry_harness::database::{Log, NAME};
use modferry_harness::logging_server::LoggingServer;
use modferry_harness::module::Module;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How far the log is grown before each module is added; some share tiles, others have their own.
const MODULES: [(&str, u64); 7] = [
    ("example.com/early@v1.0.0", 5),
    ("example.com/Upper@v1.0.0", 130),
    ("example.com/second@v1.0.0", 700),
    ("example.com/middle@v1.0.0", 20_000),
    ("example.com/near@v1.0.0", 20_010),
    ("example.com/late@v1.0.0", 66_000),
    ("example.com/last@v1.0.0", 69_990),
];
/// Sizes at which machines were online: in the first tile, at its end, in the second level, at the end of a tile of that, and with
/// tiles open at all levels.
const EARLIER: [u64; 5] = [200, 256, 900, 65_536, 66_111];
const SIZE: u64 = 70_000;

/// A machine's GOPATH and GOMODCACHE.
#[derive(Clone)]
struct Machine(PathBuf);

impl Machine {
    fn copy(&self, to: &Path) -> Self {
        assert!(Command::new("cp").arg("-r").arg(&self.0).arg(to).status().unwrap().success());
        Self(to.to_owned())
    }

    fn head_file(&self) -> PathBuf {
        self.0.join("path/pkg/sumdb").join(NAME).join("latest")
    }

    fn cached(&self, what: &str) -> PathBuf {
        self.0.join("mod/cache/download/sumdb").join(NAME).join(what)
    }

    /// The tiles in its module cache.
    fn cached_tiles(&self) -> BTreeSet<Tile> {
        files_below(&self.cached("tile")).iter().map(|name| format!("tile/{name}").parse().unwrap()).collect()
    }

    /// Loses all but the head and the tiles: everything will be looked up again.
    fn forget_modules_and_lookups(&self) {
        fs::remove_dir_all(self.cached("lookup")).unwrap();
        fs::remove_dir_all(self.0.join("mod/cache/download/example.com")).unwrap();
    }

    fn forget_module_cache(&self) {
        fs::remove_dir_all(self.0.join("mod")).unwrap();
    }
}

fn files_below(directory: &Path) -> BTreeSet<String> {
    let entries = walkdir::WalkDir::new(directory).into_iter().flatten();
    let files = entries.filter(|entry| entry.file_type().is_file());
    files.map(|file| file.path().strip_prefix(directory).unwrap().display().to_string()).collect()
}

/// Tiles that were answered, tiles that were not, and lookups, of paths below a database.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    tiles: BTreeSet<Tile>,
    absent: BTreeSet<Tile>,
    lookups: BTreeSet<String>,
}

impl Asked {
    fn of(requests: impl IntoIterator<Item = (String, u16)>) -> Self {
        let mut asked = Self::default();
        for (path, status) in requests {
            match path.split_once('/') {
                Some(("lookup", name)) => {
                    assert_eq!(status, 200, "{path}");
                    asked.lookups.insert(name.to_owned());
                }
                Some(("tile", _)) => {
                    let tile = path.parse().unwrap_or_else(|error| panic!("{path}: {error}"));
                    if status == 200 {
                        asked.tiles.insert(tile)
                    } else {
                        asked.absent.insert(tile)
                    };
                }
                _ => assert_eq!((path.as_str(), status), ("supported", 200)),
            }
        }
        asked
    }

    /// It asked in vain only for beginnings of tiles that it then got whole.
    fn is_whole(&self) {
        let full = |tile: &Tile| Tile::new(tile.level(), tile.index(), Tile::FULL_WIDTH).unwrap();
        let lacking: Vec<&Tile> = self.absent.iter().filter(|tile| !self.tiles.contains(&full(tile))).collect();
        assert!(lacking.is_empty(), "{lacking:?}");
    }
}

/// A world with modules, a database and machines.
struct World {
    directory: tempfile::TempDir,
    home: CleanHome,
    log: Log,
    /// The log as it was at each size of [`EARLIER`].
    earlier: Vec<Log>,
}

impl World {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let go_cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-build");
        let home = CleanHome::create(directory.path(), &go_cache).unwrap();
        let (mut log, mut earlier) = (Log::default(), Vec::new());
        let mut grow = |log: &mut Log, to: u64| {
            for size in EARLIER.into_iter().filter(|&size| (log.size() + 1..=to).contains(&size)).collect::<Vec<_>>() {
                log.grow(size, "");
                earlier.push(log.clone());
            }
            log.grow(to, "");
        };
        for (text, size) in MODULES {
            grow(&mut log, size);
            let path = text.split('@').next().unwrap();
            let module = Module::new(text).unwrap().file("go.mod", format!("module {path}\n\ngo 1.21\n"));
            let module = module.file("p.go", "package p\n");
            home.upstream().publish(&module).unwrap();
            log.add(&module).unwrap();
        }
        grow(&mut log, SIZE);
        assert_eq!(earlier.iter().map(Log::size).collect::<Vec<_>>(), EARLIER);
        let world = Self { directory, home, log, earlier };
        world.project("app", &MODULES.map(|(text, _)| text));
        world.project("small", &[MODULES[0].0]);
        world
    }

    fn project(&self, name: &str, requires: &[&str]) {
        let directory = self.home.work().join(name);
        fs::create_dir(&directory).unwrap();
        let lines: String = requires.iter().map(|text| format!("require {}\n", text.replace('@', " "))).collect();
        fs::write(directory.join("go.mod"), format!("module example.com/{name}\n\ngo 1.21\n\n{lines}")).unwrap();
        let imports: String =
            requires.iter().map(|text| format!("import _ \"{}\"\n", text.split('@').next().unwrap())).collect();
        fs::write(directory.join("p.go"), format!("package p\n\n{imports}")).unwrap();
    }

    fn machine(&self, name: &str) -> PathBuf {
        self.directory.path().join("machines").join(name)
    }

    fn number(&self, lookup: &str) -> u64 {
        let lookup = lookup.replace("!upper", "Upper");
        self.log.id(&lookup.parse::<ModuleVersion>().unwrap()).unwrap()
    }

    /// Downloads a project from nothing but this, without a go.sum.
    fn download(&self, machine: &Machine, project: &str, goproxy: &str, gosumdb: &str) {
        let directory = self.home.work().join(project);
        let mut go = Command::new("go");
        go.args(["mod", "download", "all"]).current_dir(&directory).env_clear().envs(self.home.variables());
        // Http stays on loopback.
        go.env_remove("GONOSUMDB").env_remove("GODEBUG").env("GOPROXY", goproxy).env("GOSUMDB", gosumdb);
        go.env("GOPATH", machine.0.join("path")).env("GOMODCACHE", machine.0.join("mod"));
        let output = go.env("GOFLAGS", "-mod=mod -modcacherw").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        fs::remove_file(directory.join("go.sum")).unwrap();
    }

    /// A machine that was online when the log was so large. What it asked for and what it keeps is what the model says.
    fn was_online(&self, log: &Log) -> (Machine, BTreeSet<Tile>) {
        let machine = Machine(self.machine(&format!("online-{}", log.size())));
        let server = Server::start(log.clone(), Misbehaviour::default()).unwrap();
        self.download(&machine, "small", &self.home.upstream().proxy_url(), &server.gosumdb());
        let requests = server.log_of_requests().into_iter();
        let asked = Asked::of(requests.map(|(path, status)| (path.trim_start_matches('/').to_owned(), status)));
        let mut client = Client::start(0, BTreeSet::new(), |tile| log.tile(tile).is_some());
        client.lookup(self.number("example.com/early@v1.0.0"), log.size()).unwrap();
        let lookups = BTreeSet::from(["example.com/early@v1.0.0".to_owned()]);
        let expected = Asked { tiles: client.used().clone(), absent: BTreeSet::new(), lookups };
        assert_eq!(asked, expected, "online at {}", log.size());
        assert_eq!(machine.cached_tiles(), *client.cache(), "online at {}", log.size());
        assert_eq!(fs::read_to_string(machine.head_file()).unwrap(), log.note(log.size()));
        (machine, client.cache().clone())
    }

    /// A bundle of the project that knows the heads of these machines.
    fn bundle(&self, machines: &[(Machine, BTreeSet<Tile>)]) -> PathBuf {
        let bundle = self.home.work().join("b");
        let server = Server::start(self.log.clone(), Misbehaviour::default()).unwrap();
        let mut command = Command::new(built::modferry().unwrap());
        command.env_clear().envs(self.home.variables()).env_remove("GONOSUMDB").env_remove("GODEBUG");
        command.env("GOSUMDB", server.gosumdb()).current_dir(self.home.work());
        command.args(["bundle", "app", "--quiet", "-o"]).arg(&bundle);
        machines.iter().for_each(|(machine, _)| _ = command.arg("--client-latest").arg(machine.head_file()));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        bundle
    }
}

#[test]
fn the_real_go_reads_what_the_model_says() {
    let world = World::new();
    fs::create_dir(world.directory.path().join("machines")).unwrap();
    let machines: Vec<_> = world.earlier.iter().map(|log| world.was_online(log)).collect();
    let bundle = world.bundle(&machines);
    let database = bundle.join("download/sumdb").join(NAME);
    let tiles: BTreeSet<Tile> =
        files_below(&database.join("tile")).iter().map(|name| format!("tile/{name}").parse().unwrap()).collect();
    let has = |tile: Tile| tiles.contains(&tile);
    let server = LoggingServer::start(&bundle.join("download")).unwrap();
    let key = world.log.key();
    let asked_by = |machine: &Machine| {
        world.download(machine, "app", &server.url(), &key);
        let prefix = format!("sumdb/{NAME}/");
        let requests = server.take_log().into_iter();
        let asked = Asked::of(
            requests.filter_map(|request| Some((request.path.strip_prefix(&prefix)?.to_owned(), request.status))),
        );
        asked.is_whole();
        assert_eq!(fs::read_to_string(machine.head_file()).unwrap(), world.log.note(SIZE));
        asked
    };
    let all_lookups = files_below(&database.join("lookup"));
    assert_eq!(all_lookups.len(), MODULES.len());
    let lookups: Vec<(u64, u64)> = all_lookups.iter().map(|name| (world.number(name), SIZE)).collect();
    let mut read_by_any = BTreeSet::new();
    let mut is_as_modelled = |machine: &Machine, stored: u64, cache: &BTreeSet<Tile>, state: &str| {
        let asked = asked_by(machine);
        let mut client = Client::start(stored, cache.clone(), has);
        lookups.iter().for_each(|&(id, head)| client.lookup(id, head).unwrap());
        assert_eq!(client.missing(), &BTreeSet::new(), "{state} at {stored}");
        assert_eq!((&asked.tiles, &asked.lookups), (client.used(), &all_lookups), "{state} at {stored}");
        assert!(machine.cached_tiles().is_superset(client.cache()), "{state} at {stored}");
        read_by_any.extend(asked.tiles);
    };
    is_as_modelled(&Machine(world.machine("none")), 0, &BTreeSet::new(), "without a head");
    for (machine, cache) in &machines {
        let stored =
            Head::open(&fs::read(machine.head_file()).unwrap(), &world.log.verifier().unwrap()).unwrap().size();
        let kept = machine.copy(&world.machine(&format!("kept-{stored}")));
        kept.forget_modules_and_lookups();
        is_as_modelled(&kept, stored, cache, "with its tiles");
        let wiped = machine.copy(&world.machine(&format!("wiped-{stored}")));
        wiped.forget_module_cache();
        is_as_modelled(&wiped, stored, &BTreeSet::new(), "without its cache");
    }
    // One that keeps all of it looks up what it does not know yet, and in an order that is its own; it asks for nothing that
    // no other does.
    for (machine, _) in &machines {
        let asked = asked_by(machine);
        assert!(asked.tiles.is_subset(&tiles), "{asked:?}");
        assert_eq!(asked.lookups.len(), MODULES.len() - 1, "{asked:?}");
    }
    // Before it was sealed, the bundle was held to all clients at once: no tile is missing, and none is there that no go reads.
    let header = Header::parse(&fs::read(bundle.join("bundle.json")).unwrap()).unwrap();
    let verifier = world.log.verifier().unwrap();
    let served = header.databases[0].served.iter().map(|note| Head::open(note.as_bytes(), &verifier).unwrap().size());
    let served: BTreeSet<u64> = served.collect();
    assert_eq!(served, BTreeSet::from(EARLIER));
    let modelled = reads(&served, &lookups, has).unwrap();
    assert_eq!((&modelled.used, &modelled.missing), (&tiles, &BTreeSet::new()));
    assert_eq!(read_by_any, tiles, "left: what some go has read; right: the tiles of the bundle");
}
