//! The checksum database: which part of it a bundle carries, and the proof that the part is genuine.
//!
//! A database is a log of records, one per module version, under a Merkle tree whose root is signed. A bundle carries the
//! records of its modules, one signed head, and the slice of the tree that leads from one to the other, so that the `go`
//! command verifies inside exactly as outside.
//!
//! - [`tree`]: which tiles a slice has; [`hash`]: the hashes in them
//! - [`key`]: the keys of databases; [`note`]: the notes that they sign; [`head`]: the signed size and root of the tree
//! - [`record`]: lookups, which are a record under the head of some tree
//! - [`prove`]: the proof, made when a bundle is sealed and again when it is imported; [`refused`]: what it finds wrong
//! - [`mirror`]: what a mirror has, and what may join it
//! - [`client`]: which tiles the `go` command reads, modelled apart from all of the above
//!
//! A type here is as far as its bytes have been checked: a [`head::Head`] has had its signature verified, a
//! [`record::Record`] names the module it is stored under, and that a record is in the log is what
//! [`prove::Prover`] says.

pub mod client;
pub mod hash;
pub mod head;
pub mod key;
pub mod mirror;
pub mod note;
pub mod prove;
pub mod record;
pub mod refused;
pub mod tree;
