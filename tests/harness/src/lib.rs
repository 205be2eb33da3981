//! What all tests of modferry share. Nothing here belongs to the product, and the product never depends on it.
//!
//! - [`module`] makes module versions, [`upstream`] a directory that `go` takes as its proxy
//! - [`raw_zip`] writes zips byte by byte, [`hostile`] uses it for the zips that a bundle must refuse
//! - [`raw_tar`] and [`hostile_tar`] do the same for tars
//! - [`built`] gives the program under test, [`clean_home`] the environment it runs in,
//!   [`no_network`] a place without a network
//! - [`database`] is a checksum database with a key of its own, and a server that can misbehave
//! - [`logging_server`] serves plain files and records what was asked
//! - [`proxy`] answers as a module proxy and misbehaves where it is told to, [`https`] stands in front of it with TLS
//! - [`synthetic_bundle`] makes whole bundles without go
//! - [`reseal`] makes a tampered bundle whole again, so that a test reaches the deeper checks
//!
//! Errors are sentences: a test prints them and fails, nobody tells them apart.

pub mod built;
pub mod clean_home;
pub mod database;
pub mod hostile;
pub mod hostile_tar;
pub mod https;
pub mod logging_server;
mod loopback;
pub mod module;
pub mod no_network;
pub mod proxy;
pub mod raw_tar;
pub mod raw_zip;
pub mod reseal;
pub mod synthetic_bundle;
pub mod upstream;

use std::fmt::Display;
use std::path::Path;

/// A result whose error is a sentence for the reader of a failed test.
pub type Outcome<T> = Result<T, String>;

/// Turns an error into a sentence that names the path it is about.
pub fn at<E: Display>(path: &Path) -> impl FnOnce(E) -> String {
    move |error| format!("{}: {error}", path.display())
}
