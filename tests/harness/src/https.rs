//! HTTPS in front of another server of the tests, with a certificate of an authority that no system knows, and a proxy
//! that tunnels to it.
//!
//! The certificates in `tls/` are valid for `localhost`, `127.0.0.1` and [`HOST`], for a hundred years; the key of the
//! authority was thrown away.

use crate::loopback::Loopback;
use crate::{Outcome, at};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

const AUTHORITY: &str = include_str!("tls/authority.pem");
const CERTIFICATE: &str = include_str!("tls/server.pem");
const KEY: &str = include_str!("tls/server.key");
/// A name in the certificate that no resolver knows; it is reached by way of [`Tunnel`].
pub const HOST: &str = "modules.example.com";
/// Longest head of a request.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Writes the authority to a file, as SSL_CERT_FILE names one.
pub fn authority(directory: &Path) -> Outcome<PathBuf> {
    let file = directory.join("authority.pem");
    std::fs::write(&file, AUTHORITY).map_err(at(&file))?;
    Ok(file)
}

/// A server that speaks TLS to its clients, and plain HTTP to another one, a connection for each request.
pub struct Https(Loopback);

impl Https {
    /// In front of the server at this `http://` URL.
    pub fn before(url: &str) -> Outcome<Self> {
        let behind = address_of(url)?;
        let words = |error: &dyn std::fmt::Display| format!("certificate of the tests: {error}");
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(CERTIFICATE.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| words(&error))?;
        let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).map_err(|error| words(&error))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key));
        let config = Arc::new(config.map_err(|error| words(&error))?);
        Loopback::start_raw(move |stream| {
            // A client that does not trust us goes away, which is no matter of the server's.
            let _ = serve(stream, &config, behind);
        })
        .map(Self)
    }

    /// Its URL, without a slash at its end.
    pub fn url(&self) -> String {
        format!("https://localhost:{}", self.0.address().port())
    }

    /// The same with a name and a password in it.
    pub fn url_with_login(&self, login: &str) -> String {
        format!("https://{login}@localhost:{}", self.0.address().port())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }
}

fn serve(stream: &TcpStream, config: &Arc<ServerConfig>, behind: SocketAddr) -> io::Result<()> {
    let connection = ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
    let mut client = StreamOwned::new(connection, stream);
    loop {
        let Some(head) = head(&mut client)? else { return Ok(()) };
        let mut server = TcpStream::connect(behind)?;
        server.write_all(&head)?;
        // The servers of the tests read until the client is done.
        server.shutdown(Shutdown::Write)?;
        io::copy(&mut server, &mut client)?;
        client.flush()?;
    }
}

/// The bytes of a head, up to its blank line; none where the client is done.
fn head(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let (mut bytes, mut byte) = (Vec::new(), [0]);
    while !bytes.ends_with(b"\r\n\r\n") {
        if bytes.len() > MAX_HEAD_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        match from.read(&mut byte) {
            Ok(1) => bytes.push(byte[0]),
            _ => return Ok(None),
        }
    }
    Ok(Some(bytes))
}

/// An HTTP proxy that takes CONNECT alone, and leads every tunnel to one place.
pub struct Tunnel {
    listener: Loopback,
    targets: Arc<Mutex<Vec<String>>>,
}

impl Tunnel {
    /// To this place, whatever clients ask for.
    pub fn to(place: SocketAddr) -> Outcome<Self> {
        let targets = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&targets);
        let listener = Loopback::start_raw(move |stream| {
            let _ = tunnel(stream, place, &seen);
        })?;
        Ok(Self { listener, targets })
    }

    /// Its URL, as HTTPS_PROXY has it.
    pub fn url(&self) -> String {
        format!("http://{}", self.listener.address())
    }

    /// What was asked for, `host:port` each.
    pub fn targets(&self) -> Vec<String> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn tunnel(mut client: &TcpStream, place: SocketAddr, seen: &Mutex<Vec<String>>) -> io::Result<()> {
    let Some(head) = head(&mut client)? else { return Ok(()) };
    let head = String::from_utf8_lossy(&head).into_owned();
    let Some(target) = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()) else {
        return client.write_all(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n");
    };
    seen.lock().unwrap_or_else(PoisonError::into_inner).push(target.to_owned());
    let server = TcpStream::connect(place)?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let pass = |mut from: &TcpStream, mut to: &TcpStream| {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    };
    thread::scope(|scope| {
        scope.spawn(|| pass(client, &server));
        pass(&server, client);
    });
    Ok(())
}

fn address_of(url: &str) -> Outcome<SocketAddr> {
    let text = url.trim_start_matches("http://");
    text.parse().map_err(|error| format!("{url}: {error}"))
}
