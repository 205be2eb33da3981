//! The real `go` builds from a bundle that is served, and every file of the bundle comes out as it went in.

use crate::support::{Running, start, start_with};
use modferry_format::{BundlePath, FileSha256, MediaType};
use modferry_harness::built;
use modferry_harness::clean_home::CleanHome;
use modferry_harness::module::Module;
use modferry_server::{Kind, Prefix, Settings, Site};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// A project, a bundle of it that the real program made, and an environment to use it in.
struct Workshop {
    home: CleanHome,
    _temp: TempDir,
}

impl Workshop {
    fn open() -> Self {
        let temp = tempfile::tempdir().unwrap();
        // Compiled packages of the standard library are made once for all runs.
        let home = CleanHome::create(temp.path(), &Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-build")).unwrap();
        let upper = Module::new("example.com/Upper@v1.0.0-RC1")
            .unwrap()
            .file("go.mod", "module example.com/Upper\n\ngo 1.21\n\nrequire example.com/old/v3 v3.1.0\n")
            .file("upper.go", "package upper\n\nimport \"example.com/old/v3\"\n\nvar Text = old.Text\n")
            .file("large.txt", String::from_utf8_lossy(&crate::support::noise(300_000)).into_owned());
        let old = Module::new("example.com/old/v3@v3.1.0")
            .unwrap()
            .file("go.mod", "module example.com/old/v3\n\ngo 1.21\n")
            .file("old.go", "package old\n\nvar Text = \"built\"\n");
        let plus = Module::new("example.com/plus@v2.0.0+incompatible").unwrap().file("plus.go", "package plus\n");
        for module in [upper, old, plus] {
            home.upstream().publish(&module).unwrap();
        }
        let project = home.work().join("project");
        fs::create_dir_all(&project).unwrap();
        let go_mod = "module example.com/project\n\ngo 1.21\n\nrequire (\n\texample.com/Upper v1.0.0-RC1\n\
                      \texample.com/plus v2.0.0+incompatible\n)\n\nrequire example.com/old/v3 v3.1.0 // indirect\n";
        fs::write(project.join("go.mod"), go_mod).unwrap();
        let main = "package main\n\nimport (\n\t\"example.com/Upper\"\n\t_ \"example.com/plus\"\n)\n\n\
                    func main() { print(upper.Text) }\n";
        fs::write(project.join("main.go"), main).unwrap();
        let workshop = Self { home, _temp: temp };
        let mut bundle = Command::new(built::modferry().unwrap());
        bundle.args(["bundle", "--quiet", "-o"]).arg(workshop.bundle());
        workshop.run(&mut bundle, &[]);
        workshop
    }

    fn bundle(&self) -> PathBuf {
        self.home.work().join("bundle")
    }

    /// Runs a command in the project; it must succeed.
    fn run(&self, command: &mut Command, variables: &[(&str, &str)]) {
        let command = command.current_dir(self.home.work().join("project"));
        let output = command.env_clear().envs(self.home.variables()).envs(variables.iter().copied()).output().unwrap();
        assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Runs `go` with these arguments, from nothing but the server and an empty module cache.
    fn go(&self, proxy: &str, work: &[&[&str]], cache: &str) {
        let cache = self.home.root().join(cache).display().to_string();
        let variables =
            [("GOPROXY", proxy), ("GODEBUG", ""), ("GOMODCACHE", &cache), ("GOFLAGS", "-mod=mod -modcacherw")];
        for arguments in work {
            self.run(Command::new("go").args(*arguments), &variables);
        }
    }
}

#[test]
fn go_builds_from_a_served_bundle_and_every_file_is_what_it_was() {
    let workshop = Workshop::open();
    let bundle = workshop.bundle();
    assert_eq!(Site::open(&bundle).unwrap().kind(), Kind::Bundle);
    let server = start(&bundle);
    let work: &[&[&str]] = &[
        &["mod", "download", "all"],
        &["build", "-o", "program", "."],
        &["list", "-m", "-versions", "example.com/Upper"],
        &["list", "-m", "example.com/plus@latest"],
        &["mod", "verify"],
    ];
    workshop.go(&format!("http://{}", server.address), work, "first");
    every_file(&bundle, &server, &Prefix::default());

    let prefix: Prefix = "/team/go".parse().unwrap();
    let server = start_with(&bundle, Settings { prefix: prefix.clone(), ..Settings::default() });
    workshop.go(&format!("http://{}/team/go/", server.address), &[&["mod", "download", "all"]], "second");
    every_file(&bundle, &server, &prefix);
}

/// Asks for each file of the manifest, and compares it with the disk and with the manifest.
fn every_file(bundle: &Path, server: &Running, prefix: &Prefix) {
    let mut client = server.connect();
    let mut kinds = BTreeMap::new();
    for line in fs::read_to_string(bundle.join("SHA256SUMS")).unwrap().lines() {
        let (sum, path) = line.split_once("  ").unwrap();
        let parsed: BundlePath = path.parse().unwrap();
        let bytes = fs::read(bundle.join(path)).unwrap();
        // As `go` writes it, and as it is.
        let target = prefix.target(&parsed).unwrap();
        for target in [target.replace('!', "%21"), target] {
            let got = client.ask("GET", &target, "");
            assert!(got.status == 200 && got.whole && got.body == bytes, "{target}: {}", got.status);
            assert_eq!(got.field("etag"), format!("\"{sum}\""), "{target}");
            assert_eq!(FileSha256::of(&got.body).to_string(), sum);
        }
        *kinds.entry(parsed.media_type()).or_insert(0) += usize::from(bytes.len() > 64 * 1024) + 1;
    }
    assert!(kinds.len() == 3 && kinds[&MediaType::Zip] > 3, "{kinds:?}");
    for name in ["BUNDLE", "bundle.json", "SHA256SUMS", "README.txt", "download/", ""] {
        for target in [format!("{prefix}/{name}"), format!("{prefix}/../{name}"), format!("{prefix}/%2e%2e/{name}")] {
            assert_eq!(client.ask("GET", &target, "").status, 404, "{target}");
        }
    }
    let missing = client.ask("GET", &format!("{prefix}/example.com/%21upper/@v/v1.9.0.info"), "");
    assert_eq!(missing.text(), "not in this bundle: example.com/Upper@v1.9.0 (.info)\nhere: newest is v1.0.0-RC1\n");
}

#[test]
fn what_was_left_out_is_said_with_the_reason() {
    let workshop = Workshop::open();
    let path = workshop.bundle().join("bundle.json");
    let json = fs::read_to_string(&path).unwrap();
    let left = r#""not_carried": [{"path":"download/example.com/plus/@v/v1.0.0.zip","reason":"upstream said 410"}]"#;
    let changed = json.replace(r#""not_carried": []"#, left);
    assert_ne!(changed, json);
    // The file itself is read-only.
    fs::remove_file(&path).unwrap();
    fs::write(&path, changed).unwrap();
    let server = start(&workshop.bundle());
    assert_eq!(
        server.get("/example.com/plus/@v/v1.0.0.zip").text(),
        "not in this bundle: example.com/plus@v1.0.0 (.zip)\nleft out: upstream said 410\n\
         here: newest is v2.0.0+incompatible\n"
    );
}
