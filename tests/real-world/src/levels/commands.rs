//! The commands that each level promises, as lines for a shell in a fresh copy of the project.

use super::outside::Facts;
use super::projects::{Kind, Subject};
use super::sources::STAGING;
use super::{Judged, Level, Script};
use Level::{All, Build, Upgrade, UpgradeEach, Work};

/// All commands for a project, each with the least level that promises it.
pub(super) fn scripts(subject: &Subject, facts: &Facts) -> Vec<Script> {
    match subject.kind {
        Kind::Module => module(subject, facts),
        Kind::Workspace { alone, .. } => workspace(alone, facts),
        Kind::Tool { package, argument } => tool(package, subject.project.version, argument),
    }
}

fn module(subject: &Subject, facts: &Facts) -> Vec<Script> {
    // With -n go loads and plans all of it and compiles nothing; what it asks for is the same.
    let compiling = match subject.compiles {
        true => ["go build ./...", "go test -run ^$ ./...", "go vet ./..."],
        false => ["go build -n ./...", "go test -n ./...", "go vet -n ./..."],
    };
    let mut scripts = compiling.map(|line| exit(Build, line)).to_vec();
    let build =
        ["go list -deps ./...", "GOOS=windows go build -n ./...", "go mod download", "go mod verify", "go mod graph"];
    scripts.extend(build.map(|line| exit(Build, line)));
    scripts.push(exit(Work, "go mod tidy"));
    scripts.push(Script { judged: Judged::OrDifference, ..exit(Work, "go mod tidy -diff") });
    let work = [
        "go mod vendor && go build -n -mod=vendor ./...",
        "go mod why -m all",
        "go list -m all",
        "go list -m -u all",
        "go list -deps -test all",
        "rm go.sum && go mod tidy",
        "go work init . && go build -n ./...",
        "go work init . && go list -m all",
        "go work init . && go work sync",
    ];
    scripts.extend(work.map(|line| exit(Work, line)));
    scripts.push(got_again());
    scripts.extend(gets(facts));
    let all = ["go mod download all", "rm go.sum && go mod download all", "go work init . && go mod download"];
    scripts.extend(all.map(|line| exit(All, line)));
    scripts.extend(upgrades("", facts));
    scripts
}

/// Every module that go.mod requires, at the version that it has: that loads the package at the root of each.
fn got_again() -> Script {
    let paths = "go mod edit -print | awk '/^require \\(/{b=1;next} /^\\)/{b=0} b{print $1} /^require [^(]/{print $2}'";
    let versions =
        format!("go list -m -f '{{{{if not .Replace}}}}{{{{.Path}}}}@{{{{.Version}}}}{{{{end}}}}' $({paths})");
    let text = format!("go get $({versions})");
    Script { name: "go get of each required module, at its version".to_owned(), last: Some(Work), ..exit(Work, &text) }
}

/// What moves, adds or drops one requirement without anything that was not carried.
fn gets(facts: &Facts) -> Vec<Script> {
    let mut scripts = Vec::new();
    // Above level `all` the newest is another version than the one at hand, and a requirement that moves alone is what
    // `upgrade=each` promises.
    for module in [&facts.tagged, &facts.pseudo].into_iter().flatten() {
        scripts.push(Script { last: Some(All), ..exit(Work, &format!("go get {module}@latest")) });
    }
    if let Some(module) = &facts.tagged {
        scripts.push(exit(Work, &format!("go get {module}@none")));
    }
    if let Some(package) = &facts.unused {
        let text = format!(
            "mkdir newimport && printf 'package newimport\\n\\nimport _ \"{package}\"\\n' > newimport/new.go && \
             go build -n ./newimport"
        );
        scripts.push(Script { name: format!("import of {package}, `go build -n`"), ..exit(Work, &text) });
    }
    scripts
}

/// What moves requirements to newer versions, each to end with the same go.mod as with a network.
fn upgrades(variables: &str, facts: &Facts) -> Vec<Script> {
    // What `all` promises holds for the new requirements too.
    let then = " && go mod tidy && go mod download all";
    let line = |line: &str| line.replace("go ", &format!("{variables}go "));
    let compared = |level: Level, text: &str| Script { judged: Judged::ByGoMod, ..exit(level, &line(text)) };
    let mut scripts = Vec::new();
    for moved in ["go get -u ./...", "go get -u -t ./...", "go get -u=patch ./...", "go get -u=patch -t ./..."] {
        scripts.push(compared(Upgrade, moved));
        scripts.push(compared(Upgrade, &format!("{moved}{then}")));
    }
    for module in &facts.direct {
        scripts.push(compared(UpgradeEach, &format!("go get -u {module}{then}")));
        scripts.push(compared(UpgradeEach, &format!("go get {module}@latest{then}")));
    }
    scripts
}

fn workspace(alone: &str, facts: &Facts) -> Vec<Script> {
    let members: Vec<String> =
        facts.members.iter().map(|member| format!("{}/...", member.trim_end_matches('/'))).collect();
    let members = members.join(" ");
    // A dozen patterns say nothing to the reader of a table.
    let on_members = |level: Level, line: &str| Script {
        name: line.replace("MEMBERS", "./member/..."),
        ..exit(level, &line.replace("MEMBERS", &members))
    };
    let build = [
        "go build -n MEMBERS",
        "go test -n MEMBERS",
        "go vet -n MEMBERS",
        "go list -deps MEMBERS",
        "GOOS=windows go build -n MEMBERS",
        // In a workspace it gets the whole build list, which every level has for it.
        "go mod download",
        "go mod verify",
        "go mod graph",
        "GOWORK=off go mod download",
        "GOWORK=off go build -n ./...",
    ];
    let mut scripts: Vec<Script> = build.iter().map(|line| on_members(Build, line)).collect();
    let work = [
        "go list -deps -test MEMBERS",
        "go list -deps -test all",
        "go list -m all",
        "go list -m -u all",
        "go mod why -m all",
        "go work sync",
        "go work vendor && go build -n -mod=vendor MEMBERS",
        "go mod tidy",
        "rm go.sum go.work.sum && go mod tidy",
        "GOWORK=off go list -m all",
        "GOWORK=off go list -deps -test all",
    ];
    scripts.extend(work.iter().map(|line| on_members(Work, line)));
    scripts.push(Script { judged: Judged::OrDifference, ..exit(Work, "GOWORK=off go mod tidy -diff") });
    scripts.extend(gets(facts));
    let in_one = |level: Level, line: &str| Script {
        name: format!("in {alone}: {line}"),
        ..exit(level, &format!("cd {STAGING}/{alone} && {line}"))
    };
    let member = [
        "go build -n ./...",
        "GOWORK=off go build -n ./...",
        "GOWORK=off go test -n ./...",
        "GOWORK=off go list -deps -test all",
        "GOWORK=off go list -m all",
        "GOWORK=off go mod tidy",
    ];
    scripts.extend(member.iter().map(|line| in_one(Work, line)));
    scripts.push(exit(All, "GOWORK=off go mod download all"));
    scripts.push(in_one(All, "GOWORK=off go mod download all"));
    scripts.extend(upgrades("GOWORK=off ", facts));
    scripts
}

fn tool(package: &str, version: &str, argument: &str) -> Vec<Script> {
    let name = package.rsplit('/').next().unwrap_or(package);
    let build = [
        format!("go install {package}@{version}"),
        format!("go run {package}@{version} {argument}"),
        format!("GOOS=windows go install -n {package}@{version}"),
    ];
    let fresh = "go mod init example.com/fresh";
    let get = format!("go get -tool {package}@{version}");
    let after_get = [
        format!("go tool {name} {argument}"),
        "go mod tidy".to_owned(),
        "go mod vendor && go build -n -mod=vendor tool".to_owned(),
        "go mod download".to_owned(),
        "go list -m all".to_owned(),
        "go list -m -u all".to_owned(),
        "go mod tidy && go list -deps -test all".to_owned(),
        "go work init . && go build -n tool".to_owned(),
        "go work init . && go work sync".to_owned(),
    ];
    // All of these begin alike.
    let in_fresh = |level: Level, line: &str| {
        let name = format!("{get} && {line}");
        Script { text: format!("{fresh} && {name}"), name, ..exit(level, "") }
    };
    let mut scripts: Vec<Script> = build.iter().map(|line| exit(Build, line)).collect();
    scripts.push(exit(Work, &format!("go install {package}@latest")));
    scripts.extend(after_get.iter().map(|line| in_fresh(Work, line)));
    scripts.push(in_fresh(All, "go mod download all"));
    scripts
}

/// A line that is judged by how it exits, and is its own name.
fn exit(level: Level, line: &str) -> Script {
    Script { name: line.to_owned(), text: line.to_owned(), level, last: None, judged: Judged::ByExit }
}
