//! Runs a program in a network namespace of its own, where not even loopback is up.
//!
//! The weaker guard is [`NO_HTTP_FOR_GO`]: it needs no rights at all, but only the go command obeys it.

use crate::Outcome;
use std::ffi::OsStr;
use std::process::Command;
use std::sync::OnceLock;

/// A setting in GODEBUG with which `go` refuses every http request, and still reads `file://`.
pub const NO_HTTP_FOR_GO: &str = "cmdgonetlimit=0";

/// A command that will run `program` without a network; arguments and environment are the caller's to add.
///
/// A machine that allows no namespaces gives an error that says what is needed: a test that wants a proof must
/// not pass without it.
pub fn command(program: impl AsRef<OsStr>) -> Outcome<Command> {
    static FLAGS: OnceLock<Option<&'static str>> = OnceLock::new();
    // The first form needs no rights where user namespaces are allowed, the second works for root in most containers.
    let flags = FLAGS.get_or_init(|| ["-rn", "-n"].into_iter().find(|flags| works(flags)));
    let flags = flags.ok_or(
        "unshare: this machine lets neither `unshare -rn true` nor `unshare -n true` pass, so the network cannot be \
         denied; allow user namespaces (sysctl kernel.unprivileged_userns_clone=1) or run the tests as root",
    )?;
    let mut command = Command::new("unshare");
    command.args([flags, "--"]).arg(program);
    Ok(command)
}

fn works(flags: &str) -> bool {
    Command::new("unshare").args([flags, "--", "true"]).output().is_ok_and(|output| output.status.success())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn not_even_loopback_can_be_reached() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let connect = format!("exec 3<>/dev/tcp/127.0.0.1/{port}");
        let here = Command::new("bash").args(["-c", &connect]).output().unwrap();
        assert!(here.status.success(), "the check itself does not work: {here:?}");
        let there = command("bash").unwrap().args(["-c", &connect]).output().unwrap();
        assert!(!there.status.success(), "reached a listener from a place without network");
    }
}
