//! Serves a bundle or a mirror of Go modules over HTTP, to an unmodified `go` and to whatever else asks.
//!
//! A request goes one way:
//!
//! 1. a front takes it from a connection: `http1`, our own, or `hyper_front`,
//! 2. [`plan`] makes its target a [`BundlePath`](modferry_format::BundlePath), or refuses it,
//! 3. `cache` knows what there is at that path, or [`site`] looks, beneath its root and through no link; a narrow tile of
//!    a checksum database may be the beginning of a wider one,
//! 4. [`plan`] decides the answer from that and the request's conditions,
//! 5. the front brings the bytes: `http1` in one piece with the head, or from the system's own memory.
//!
//! Steps 2 and 4 know no socket and no file; another protocol is another step 1. Nothing is indexed, so a server starts at
//! once, and what can change is looked at again within a second. [`limits`] has every number.
//!
//! The library neither prints nor exits: [`run`] tells what happens to an [`Events`].

mod absence;
mod access_log;
mod answering;
mod beneath;
mod body;
mod cache;
mod confine;
mod connections;
mod cut_tile;
mod disk_queue;
mod entity_tag;
mod error;
mod event;
mod file_bytes;
mod http1;
mod hyper_front;
pub mod limits;
mod listener;
pub mod modified;
pub mod plan;
mod range;
mod response;
mod run;
mod serve;
mod shutdown;
pub mod site;
mod sorted_lines;
mod target;

pub use absence::{Absence, Database, Kind, Newest};
pub use access_log::{AccessLog, LogFormat};
pub use confine::Confinement;
pub use connections::Timeouts;
pub use entity_tag::EntityTag;
pub use error::{Error, ErrorKind, Result};
pub use event::{Event, Events};
pub use listener::{Address, Listener};
pub use response::{Body, Response, Status};
pub use run::{Options, run};
pub use serve::{Front, Settings, serve};
pub use shutdown::Shutdown;
pub use site::Site;
pub use target::{Prefix, Refused};
