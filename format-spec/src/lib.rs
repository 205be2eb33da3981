//! What is true of a modferry bundle: its values, its rules and its texts.
//!
//! `SPEC.md` beside this crate is the authority; the code cites its clauses as `SPEC M<n>`. The crate is
//! `no_std` so that it cannot name a file, a clock, a socket or the environment: whoever reads or writes
//! gives it bytes and takes bytes back.
//!
//! - names: [`ModulePath`], [`Version`], [`ModuleVersion`], and [`BundlePath`] for every file of a bundle
//! - hashes: [`FileSha256`], [`H1`], [`BundleId`], three types that cannot be mixed up
//! - texts: [`go_sum`], [`go_mod`], [`manifest`], [`requires`], [`root`], [`header`], [`info`], [`versions`]
//! - the checksum database: [`sumdb`]
//! - what go asks for: [`module_graph`]
//! - rules: [`zip_names`] for what a module zip may hold, [`patterns`] for modules without a record, [`check`] for what a bundle must be
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod bundle_path;
pub mod carried;
pub mod check;
pub mod database;
pub mod finding;
pub mod go_mod;
pub mod go_sum;
pub mod hash;
pub mod header;
pub mod info;
mod invalid;
pub mod json;
pub mod ledger;
pub mod manifest;
pub mod module_graph;
mod module_path;
mod module_version;
mod names;
pub mod patterns;
pub mod readme;
pub mod requires;
pub mod root;
pub mod sumdb;
mod version;
pub mod versions;
pub mod zip_names;

pub use bundle_path::{BundlePath, MediaType};
pub use finding::{Finding, FindingKind};
pub use hash::{BundleId, FileSha256, H1};
pub use invalid::Invalid;
pub use module_path::ModulePath;
pub use module_version::ModuleVersion;
pub use version::Version;
