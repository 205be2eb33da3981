//! The library on loopback, as clients see it: byte by byte, and through the real `go`.

#![allow(clippy::unwrap_used, reason = "what helps a test fails as the test does")]

mod answers;
mod connections;
mod fronts;
mod go_command;
mod go_database;
#[cfg(unix)]
mod program;
mod support;
mod tiles;
#[cfg(target_os = "linux")]
mod treatment;
