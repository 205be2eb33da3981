//! Names and passwords from a netrc file, read as the go command reads it (cmd/go/internal/auth/netrc.go).

use crate::context::Environment;
use std::fmt;
use std::path::PathBuf;

/// Largest file that is read, in bytes; nobody writes one by hand.
const MAX_BYTES: u64 = 1 << 20;

/// The machines of a netrc file.
#[derive(Clone, Default)]
pub(crate) struct Netrc(Vec<Machine>);

#[derive(Clone, Default)]
struct Machine {
    host: String,
    login: String,
    password: String,
}

impl Netrc {
    /// Whether GOAUTH lets go look into a netrc file; it is the default.
    pub(crate) fn is_used(goauth: &str) -> bool {
        goauth.is_empty() || goauth.split(';').any(|way| way.trim() == "netrc")
    }

    /// The file that NETRC names, else the one in the home directory. Without a file nobody has a password, and one that
    /// cannot be read is passed over, as go does it.
    pub(crate) fn of(environment: &Environment) -> Self {
        let file = environment.get("NETRC").map(PathBuf::from).or_else(|| {
            let (home, name) = if cfg!(windows) { ("USERPROFILE", "_netrc") } else { ("HOME", ".netrc") };
            environment.get(home).map(|home| PathBuf::from(home).join(name))
        });
        let readable = file.filter(|file| file.metadata().is_ok_and(|meta| meta.is_file() && meta.len() <= MAX_BYTES));
        readable.and_then(|file| std::fs::read_to_string(file).ok()).map(|text| Self::parse(&text)).unwrap_or_default()
    }

    fn parse(text: &str) -> Self {
        let (mut machines, mut machine, mut is_macro) = (Vec::new(), Machine::default(), false);
        for line in text.lines() {
            if is_macro {
                // A macro ends with a blank line.
                is_macro = !line.is_empty();
                continue;
            }
            let fields: Vec<&str> = line.split_whitespace().collect();
            let mut pairs = fields.chunks_exact(2);
            for pair in &mut pairs {
                match pair[0] {
                    // A machine without both is replaced by the next one.
                    "machine" => machine = Machine { host: pair[1].to_owned(), ..Machine::default() },
                    "login" => machine.login = pair[1].to_owned(),
                    "password" => machine.password = pair[1].to_owned(),
                    "macdef" => is_macro = true,
                    _ => {}
                }
                if !machine.host.is_empty() && !machine.login.is_empty() && !machine.password.is_empty() {
                    machines.push(std::mem::take(&mut machine));
                }
            }
            // What comes after it is for every host, and go sends nobody a password that was not meant for it.
            if pairs.remainder() == ["default"] {
                break;
            }
        }
        Self(machines)
    }

    /// Login and password for this place, a host with the port as the URL has it and a path: of the machine that is the most of
    /// it, as loadCredential of go finds it. `host` alone is none for `host:8443`.
    pub(crate) fn credentials(&self, place: &str) -> Option<(&str, &str)> {
        let mut place = place.trim_end_matches('/');
        loop {
            if let Some(machine) = self.0.iter().find(|machine| machine.host == place) {
                return Some((&machine.login, &machine.password));
            }
            place = place.rsplit_once('/')?.0;
        }
    }
}

impl fmt::Debug for Netrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the passwords.
        f.debug_list().entries(self.0.iter().map(|machine| &machine.host)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_host_is_told_a_password() {
        // The file of go's own test, shortened.
        let netrc = Netrc::parse(
            "machine incomplete\npassword none\n\nmachine api.github.com\n  login user\n  password pwd\n\n\
             macdef ignore\n  machine macro.test login x password y\n\nmachine oneline login user password pwd\n\
             default\nlogin anonymous\npassword gopher@golang.org\nmachine after.test login a password b\n",
        );
        assert_eq!(netrc.credentials("api.github.com"), Some(("user", "pwd")));
        assert_eq!(netrc.credentials("oneline"), Some(("user", "pwd")));
        for host in ["incomplete", "github.com", "x.api.github.com", "macro.test", "after.test", "default", ""] {
            assert_eq!(netrc.credentials(host), None, "{host}");
        }
        assert_eq!(netrc.credentials("oneline/a/b"), Some(("user", "pwd")));
        assert_eq!(netrc.credentials("oneline:8443/a"), None);
        let netrc = Netrc::parse(
            "machine a.test:8443 login port password p\nmachine a.test/x login path password p\nmachine a.test login host password p\n",
        );
        for (place, login) in
            [("a.test:8443/x", "port"), ("a.test/x/y", "path"), ("a.test/y", "host"), ("a.test/", "host")]
        {
            assert_eq!(netrc.credentials(place), Some((login, "p")), "{place}");
        }
        assert!(!format!("{netrc:?}").contains("pwd"));
    }
}
