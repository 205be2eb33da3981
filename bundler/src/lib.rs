//! Makes it happen: the commands of modferry, without a terminal.
//!
//! Nothing in here prints, exits or looks at the process around it: the environment, the clock, progress and
//! interruption come in through [`context::Context`]. `main.rs` is the shell around it.
//!
//! - commands: [`bundle`], [`verify`], [`verify_closure`], [`verify_mirror`], [`show`], [`why`], [`env`], [`import`],
//!   [`rehearse`], [`record`]
//! - a bundle's bytes: [`carrier`], [`head`], [`manifest_reader`], [`source`]
//! - modules: `modferry_prove` proves zips, [`module_cache`] reads go's cache, [`go_command`] runs go
//! - checksum databases: [`database`] fetches the part of one that proves a set of module versions
//! - recipes: [`recipe`] reads modferry.toml
//! - mirrors: [`mirror`] is the tree, [`durable`] the only way to change it, `beneath` reaches files without following links
//! - work: [`work_space`], [`work_queue`], [`jobs`], [`leftovers`], `large_file`

mod beneath;
pub mod bundle;
pub mod byte_size;
pub mod carrier;
mod child;
pub mod context;
pub mod database;
pub mod durable;
pub mod env;
pub mod error;
mod fetch;
mod findings;
pub mod go_command;
mod go_source;
pub mod head;
mod heads_file;
pub mod import;
pub mod jobs;
mod large_file;
pub mod leftovers;
mod lines;
mod listing;
pub mod manifest_reader;
pub mod mirror;
pub mod module_cache;
pub mod no_network;
pub mod recipe;
pub mod record;
pub mod rehearse;
pub mod show;
mod skeleton;
pub mod source;
mod tile_spool;
pub mod verify;
pub mod verify_closure;
pub mod verify_mirror;
pub mod why;
pub mod work_queue;
pub mod work_space;
