//! Names and passwords from a netrc file, read as the go command reads it (cmd/go/internal/auth/netrc.go).

use crate::context::Environment;
use crate::fetch::goauth::{self, ForPrefix};
use std::fmt;
use std::path::PathBuf;

/// Largest file that is read, in bytes; nobody writes one by hand.
const MAX_BYTES: u64 = 1 << 20;

/// The machines of a netrc file; [`super::credentials`] finds the one for a URL.
#[derive(Clone, Default)]
pub(crate) struct Netrc(Vec<Machine>);

#[derive(Clone, Default)]
struct Machine {
    host: String,
    login: String,
    password: String,
}

impl Netrc {
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

    /// The login of each machine, by its name, which may end in a port and a path. Of two for one machine the earlier comes
    /// last, and so counts.
    pub(super) fn headers(&self) -> Vec<ForPrefix> {
        let machines = self.0.iter().rev();
        let headers = |machine: &Machine| goauth::basic(&machine.login, &machine.password);
        machines.filter_map(|machine| Some((goauth::prefix(&machine.host).to_owned(), headers(machine)?))).collect()
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
    fn only_machines_with_both_count() {
        // The file of go's own test, shortened.
        let netrc = Netrc::parse(
            "machine incomplete\npassword none\n\nmachine api.github.com\n  login user\n  password pwd\n\n\
             macdef ignore\n  machine macro.test login x password y\n\nmachine oneline login user password pwd\n\
             default\nlogin anonymous\npassword gopher@golang.org\nmachine after.test login a password b\n",
        );
        let machines: Vec<_> =
            netrc.0.iter().map(|machine| (&*machine.host, &*machine.login, &*machine.password)).collect();
        assert_eq!(machines, [("api.github.com", "user", "pwd"), ("oneline", "user", "pwd")]);
        let basic = goauth::basic("user", "pwd").unwrap();
        assert_eq!(netrc.headers(), [("oneline".to_owned(), basic.clone()), ("api.github.com".to_owned(), basic)]);
        assert!(!format!("{netrc:?}").contains("pwd"));
    }
}
