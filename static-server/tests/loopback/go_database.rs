//! The real `go` proves modules by a checksum database that a mirror serves, whatever head it comes with.

use crate::support::{Running, start};
use modferry_format::database::Tile;
use modferry_harness::clean_home::CleanHome;
use modferry_harness::database::Log;
use modferry_harness::module::Module;
use modferry_harness::upstream::Upstream;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A user of `go` beside a mirror with a checksum database.
struct User {
    home: CleanHome,
    log: Log,
    server: Running,
}

impl User {
    fn mirror(home: &CleanHome) -> PathBuf {
        home.work().join("mirror")
    }

    /// The database in the mirror is of all records of the log, and of no tree before.
    fn import(&self) {
        let database = Self::mirror(&self.home).join("download/sumdb").join(self.log.name());
        let _ = fs::remove_dir_all(&database);
        self.log.write(&database, &[]).unwrap();
    }

    /// Where `go` keeps the head, and where it keeps records and tiles.
    fn kept(&self) -> [PathBuf; 2] {
        [self.home.root().join("gopath/pkg/sumdb"), self.home.root().join("modcache/cache/download/sumdb")]
    }

    /// Downloads a module version that was not downloaded before; what `go` says when that fails.
    fn download(&self, version: &str) -> Result<(), String> {
        let mut go = Command::new("go");
        go.args(["mod", "download", version]).current_dir(self.home.work());
        go.env_clear().envs(self.home.variables()).env("GOPROXY", format!("http://{}", self.server.address));
        go.envs([("GODEBUG", ""), ("GONOSUMDB", ""), ("GOFLAGS", "-modcacherw")]).env("GOSUMDB", self.log.key());
        let output = go.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(said) }
    }
}

#[test]
fn go_goes_on_from_an_old_head_and_is_told_what_to_do_with_a_foreign_one() {
    let temp = tempfile::tempdir().unwrap();
    let home = CleanHome::create(temp.path(), &Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-build")).unwrap();
    let mirror = User::mirror(&home);
    fs::create_dir_all(mirror.join("ledger")).unwrap();
    let [a, b, c, d] = ["a", "b", "c", "d"].map(|name| Module::new(&format!("example.com/{name}@v1.0.0")).unwrap());
    for module in [&a, &b, &c, &d] {
        Upstream::at(mirror.join("download")).publish(module).unwrap();
    }
    let mut user = User { home, log: Log::default(), server: start(&mirror) };
    user.log.grow(300, "");
    user.log.add(&a).unwrap();
    user.import();
    user.download("example.com/a@v1.0.0").unwrap();

    // Another import brings a newer head with wider tiles only. To join the two, `go` needs a tile as wide as the tree
    // was: it asks for that width, then for the full tile, and neither is a file.
    user.log.grow(420, "");
    user.log.add(&b).unwrap();
    user.import();
    let [head, tiles] = user.kept();
    fs::remove_dir_all(&tiles).unwrap();
    let narrow = Tile::new(0, 1, 301 - 256).unwrap();
    let file = mirror.join("download/sumdb").join(user.log.name()).join(narrow.to_string());
    assert!(!file.exists() && file.with_file_name("165").is_file());
    user.download("example.com/b@v1.0.0").unwrap();
    let proven = fs::read(tiles.join(user.log.name()).join(narrow.to_string())).unwrap();
    assert_eq!(Some(proven), user.log.tile(narrow));

    // A client that has met the database outside holds a head that is newer than all that was imported.
    user.log.add(&c).unwrap();
    user.import();
    user.log.grow(1000, "");
    let latest = head.join(user.log.name()).join("latest");
    fs::write(&latest, user.log.note(1000)).unwrap();
    let said = user.download("example.com/c@v1.0.0").unwrap_err();
    for words in ["404 Not Found", "not in this mirror: tile/8/", "if sum.example.com/log was used elsewhere before"] {
        assert!(said.contains(words), "{said}");
    }
    // What it says helps.
    let hint = said.lines().find(|line| line.contains("was used elsewhere")).unwrap();
    for (place, kept) in
        ["$(go env GOPATH)/pkg/sumdb", "$(go env GOMODCACHE)/cache/download/sumdb"].iter().zip(user.kept())
    {
        assert!(hint.contains(place), "{said}");
        fs::remove_dir_all(kept).unwrap();
    }
    user.download("example.com/c@v1.0.0").unwrap();

    // A module that came without a record is not proven.
    let said = user.download("example.com/d@v1.0.0").unwrap_err();
    let words = "the record of example.com/d@v1.0.0 in sum.example.com/log is not in this mirror";
    assert!(said.contains(words), "{said}");
}
