//! What a server that has all it needs is kept from, by the system: it was started with more rights than serving takes.
//!
//! After binding, and before the first byte of a client is read:
//!
//! 1. No program that is started gets more rights than this one (`no_new_privs`).
//! 2. Files are out of reach but those of what is served, for reading, and the access log's directory, where a log that was
//!    moved away is made again. Nothing is executed (Landlock, Linux 5.13).
//! 3. No socket is bound or connected any more; those that listen stay (Landlock, Linux 6.7).
//!
//! An old kernel has less of it, and says so. System calls themselves are for a filter of the service manager: see
//! `modferry-server.service` beside this crate.

use std::fmt;
use std::path::Path;

/// How far a process is confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confinement {
    /// In all that was wanted.
    Whole,
    /// In part: the kernel is older than some of it.
    Part,
    /// Not at all: the kernel does not have it, or it is switched off.
    Not,
}

impl fmt::Display for Confinement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Whole => "confined: no other files, no new sockets",
            Self::Part => "confined in part: this kernel keeps it from some files or sockets only",
            Self::Not => "not confined: this system has no Landlock",
        })
    }
}

/// Confines this thread, and those that it starts.
#[cfg(target_os = "linux")]
pub(crate) fn confine(served: &Path, log_directory: Option<&Path>, socket_directories: &[&Path]) -> Confinement {
    // It cannot be undone, and it can hardly fail; where it does, the rest is done all the same.
    let _ = rustix::thread::set_no_new_privs(true);
    landlock(served, log_directory, socket_directories).unwrap_or(Confinement::Not)
}

#[cfg(target_os = "linux")]
fn landlock(
    served: &Path,
    log_directory: Option<&Path>,
    socket_directories: &[&Path],
) -> Result<Confinement, landlock::RulesetError> {
    use landlock::{
        ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, path_beneath_rules,
    };
    // Newer ones have nothing for files or sockets that is used here.
    let known = ABI::V5;
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let append = AccessFs::WriteFile | AccessFs::MakeReg;
    let status = Ruleset::default()
        .handle_access(AccessFs::from_all(known))?
        .handle_access(AccessNet::from_all(known))?
        .create()?
        .add_rules(path_beneath_rules([served], read))?
        .add_rules(path_beneath_rules(log_directory, append))?
        // A socket is taken away by its name at the end.
        .add_rules(path_beneath_rules(socket_directories, AccessFs::RemoveFile))?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Confinement::Whole,
        RulesetStatus::PartiallyEnforced => Confinement::Part,
        RulesetStatus::NotEnforced => Confinement::Not,
    })
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn confine(_: &Path, _: Option<&Path>, _: &[&Path]) -> Confinement {
    Confinement::Not
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::fs;
    use std::io::ErrorKind::PermissionDenied;
    use std::net::TcpListener;

    #[test]
    fn what_is_served_can_be_read_and_the_rest_is_as_the_kernel_says() {
        let temp = tempfile::tempdir().unwrap();
        let (served, other, log) = (temp.path().join("served"), temp.path().join("other"), temp.path().join("log"));
        for directory in [&served, &other, &log] {
            fs::create_dir(directory).unwrap();
            fs::write(directory.join("file"), "text").unwrap();
        }
        // Only the thread is confined.
        let confined = std::thread::spawn(move || {
            let confinement = confine(&served, Some(&log), &[]);
            let denied = |tried: Result<(), std::io::Error>| tried.is_err_and(|error| error.kind() == PermissionDenied);
            assert_eq!(fs::read(served.join("file")).unwrap(), b"text");
            assert!(fs::read_dir(&served).is_ok());
            let append = fs::OpenOptions::new().create(true).append(true).open(log.join("new"));
            assert!(append.is_ok());
            let kept_from = [
                denied(fs::read(other.join("file")).map(drop)),
                denied(fs::write(served.join("file"), "x")),
                denied(fs::remove_file(served.join("file"))),
                denied(fs::read(log.join("file")).map(drop)),
            ];
            let bind = denied(TcpListener::bind("127.0.0.1:0").map(drop));
            match confinement {
                Confinement::Whole => assert!(kept_from == [true; 4] && bind, "{kept_from:?} {bind}"),
                Confinement::Part => assert!(kept_from[0], "{kept_from:?}"),
                Confinement::Not => assert!(kept_from == [false; 4] && !bind, "{kept_from:?} {bind}"),
            }
            let status = fs::read_to_string("/proc/thread-self/status");
            // Where it may be read at all.
            if let Ok(status) = status {
                assert!(status.contains("NoNewPrivs:\t1"));
            }
            confinement
        });
        confined.join().unwrap();
    }
}
