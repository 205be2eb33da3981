//! The servers that are compared, each started anew for each run.

use modferry_harness::{Outcome, at};
use nix::time::ClockId;
use nix::unistd::Pid;
use std::cell::Cell;
use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Settings of nginx.
pub(super) struct Nginx {
    pub(super) name: &'static str,
    /// What stands in the block `http`.
    pub(super) http: &'static str,
    pub(super) workers: usize,
}

/// nginx as people run it.
pub(super) const NGINX_USUAL: Nginx =
    Nginx { name: "nginx, usual", http: "sendfile on; access_log access.log;", workers: 2 };
/// The settings that were found best for small files; no single one wins both.
pub(super) const NGINX_SMALL: Nginx = Nginx {
    name: "nginx, best for small files",
    http: "sendfile off; access_log off; open_file_cache max=15000; open_file_cache_valid 60s;",
    workers: 2,
};
/// And for zips.
pub(super) const NGINX_ZIPS: Nginx = Nginx {
    name: "nginx, best for zips",
    http: "sendfile on; tcp_nopush off; access_log off; open_file_cache max=15000;",
    workers: 2,
};

/// A server that can be started.
pub(crate) struct Contender {
    pub(super) name: String,
    kind: Kind,
}

enum Kind {
    Modferry { server: PathBuf, arguments: Vec<String> },
    Nginx { directory: PathBuf, tree: PathBuf, http: String, workers: usize },
}

thread_local! {
    /// A port is not used twice: connections of the run before may linger on it.
    static PORT: Cell<u16> = const { Cell::new(18_100) };
}

impl Contender {
    pub(crate) fn modferry(server: &Path, tree: &Path, arguments: &[&str]) -> Self {
        let tree = tree.display().to_string();
        let arguments = std::iter::once(tree.as_str()).chain(arguments.iter().copied()).map(str::to_owned).collect();
        Self { name: "modferry-server".to_owned(), kind: Kind::Modferry { server: server.to_owned(), arguments } }
    }

    pub(super) fn nginx(directory: &Path, tree: &Path, nginx: &Nginx) -> Self {
        let (directory, tree) = (directory.to_owned(), tree.to_owned());
        let kind = Kind::Nginx { directory, tree, http: nginx.http.to_owned(), workers: nginx.workers };
        Self { name: nginx.name.to_owned(), kind }
    }

    pub(super) fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    /// Starts it and waits until it listens.
    pub(crate) fn start(&self) -> Outcome<Running> {
        let port = PORT.replace(PORT.get() + 1);
        let command = match &self.kind {
            Kind::Modferry { server, arguments } => {
                let mut command = Command::new(server);
                command.args(arguments).args(["--listen", &format!("127.0.0.1:{port}")]);
                command
            }
            Kind::Nginx { directory, tree, http, workers } => {
                let prefix = directory.join(format!("nginx-{port}"));
                fs::create_dir_all(&prefix).map_err(at(&prefix))?;
                let conf = prefix.join("nginx.conf");
                let text = format!(
                    "daemon off; worker_processes {workers}; pid nginx.pid; error_log error.log;\n\
                     events {{ worker_connections 9000; }}\n\
                     http {{ default_type application/octet-stream; keepalive_requests 100000000; {http}\n\
                     server {{ listen 127.0.0.1:{port} backlog=1024; root {}/download; }} }}\n",
                    tree.display()
                );
                fs::write(&conf, text).map_err(at(&conf))?;
                let mut command = Command::new("nginx");
                command.arg("-p").arg(&prefix).args(["-e", "error.log", "-c"]).arg(&conf);
                command
            }
        };
        Running::start(command, port)
    }
}

/// A server that is ended when dropped.
pub(crate) struct Running {
    child: Child,
    pub(crate) port: u16,
}

impl Running {
    fn start(mut command: Command, port: u16) -> Outcome<Self> {
        let child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{command:?}: {error}"))?;
        let mut running = Self { child, port };
        let deadline = Instant::now() + Duration::from_secs(10);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = running.child.try_wait().map_err(|error| error.to_string())?;
            if ended.is_some() || Instant::now() > deadline {
                return Err(format!("{command:?}: does not listen ({ended:?})"));
            }
            thread::sleep(Duration::from_micros(200));
        }
        Ok(running)
    }

    /// Seconds of CPU so far, with its children.
    pub(super) fn cpu(&self) -> Outcome<f64> {
        self.sum(cpu_seconds)
    }

    /// Resident memory in MiB, with its children.
    pub(super) fn rss_mib(&self) -> Outcome<f64> {
        self.sum(rss_mib)
    }

    /// Adds a figure up over the process and its children.
    fn sum(&self, figure: fn(u32) -> Option<f64>) -> Outcome<f64> {
        let parent = self.child.id();
        let path = format!("/proc/{parent}/task/{parent}/children");
        let children = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let pids = children.split_whitespace().filter_map(|pid| pid.parse().ok()).chain([parent]);
        pids.map(|pid| figure(pid).ok_or_else(|| format!("/proc/{pid}: no accounting"))).sum()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SIGTERM, so that nginx ends its workers.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// User and system time to the nanosecond, with that of threads that have ended.
fn cpu_seconds(pid: u32) -> Option<f64> {
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(pid.try_into().ok()?)).ok()?;
    Some(Duration::from(clock.now().ok()?).as_secs_f64())
}

fn rss_mib(pid: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").trim().parse::<f64>().ok().map(|kib| kib / 1024.0)
}
