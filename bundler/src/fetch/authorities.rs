//! The certificate authorities that TLS trusts: those of the system, and those that SSL_CERT_FILE and SSL_CERT_DIR name.
//!
//! Go takes the two variables in place of the system's file and of its directories, each for itself, so with one of them
//! set the other half of the system's store still counts. Here both add to the store: nothing that go trusts is missing.

use crate::context::Environment;
use rustls_native_certs::CertificateResult;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use ureq::tls::{Certificate, RootCerts};

/// The authorities of one environment, read when the first of its clients needs them, and once: there are some 140.
#[derive(Debug, Clone, Default)]
pub(crate) struct Authorities(Arc<OnceLock<RootCerts>>);

impl Authorities {
    /// Those of the environment that has this.
    pub(crate) fn of(environment: &Environment) -> RootCerts {
        let read = || RootCerts::new_with_certs(&of(environment));
        environment.authorities.0.get_or_init(read).clone()
    }
}

/// Where systems keep their authorities, as crypto/x509 of Go looks for them; of the files, the first that is there.
const FILES: [&str; 6] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// What could be read; files that cannot are passed over, as Go does it. A server that then has no known authority is
/// an error of its own.
fn of(environment: &Environment) -> Vec<Certificate<'static>> {
    let mut found = vec![system()];
    if let Some(file) = environment.get("SSL_CERT_FILE") {
        found.push(rustls_native_certs::load_certs_from_paths(Some(Path::new(file)), None));
    }
    if let Some(directories) = environment.get("SSL_CERT_DIR") {
        let directories = std::env::split_paths(directories).filter(|path: &PathBuf| path.is_dir());
        found.extend(directories.map(|path| rustls_native_certs::load_certs_from_paths(None, Some(&path))));
    }
    let mut found: Vec<_> = found.into_iter().flat_map(|result| result.certs).collect();
    found.sort_unstable_by(|a, b| a.as_ref().cmp(b.as_ref()));
    found.dedup();
    found.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect()
}

/// The crate's own search looks at the variables of the process where it is a matter of files; so files are named here,
/// and it is asked only where there is no such file: on macOS, Windows and systems of another make.
fn system() -> CertificateResult {
    let files = FILES.iter().map(Path::new);
    let file =
        if cfg!(any(windows, target_os = "macos")) { None } else { files.into_iter().find(|file| file.is_file()) };
    match file {
        Some(file) => rustls_native_certs::load_certs_from_paths(Some(file), None),
        None => rustls_native_certs::load_native_certs(),
    }
}
