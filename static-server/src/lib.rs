//! Serves a bundle or a mirror of Go modules over HTTP, to an unmodified `go` and to whatever else asks.
//!
//! A request goes one way:
//!
//! 1. `http1` takes it from a connection,
//! 2. [`plan`] makes its target a [`BundlePath`](modferry_format::BundlePath), or refuses it,
//! 3. [`site`] looks what there is at that path, beneath its root and through no link; a narrow tile of a checksum
//!    database may be the beginning of a wider one,
//! 4. [`plan`] decides the answer from that and the request's conditions,
//! 5. `body` brings the bytes.
//!
//! Steps 2 and 4 know no socket and no file; another protocol is another step 1. Nothing is indexed and nothing is
//! kept, so a server starts at once and an import is seen by the next request. [`limits`] has every number.
//!
//! The library neither prints nor exits: [`run`] tells what happens to an [`Events`].

mod absence;
mod beneath;
mod body;
mod cut_tile;
mod deadlines;
mod entity_tag;
mod error;
mod event;
mod file_bytes;
mod http1;
pub mod limits;
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
pub use deadlines::Timeouts;
pub use entity_tag::EntityTag;
pub use error::{Error, ErrorKind, Result};
pub use event::{Event, Events};
pub use response::{Body, Response, Status};
pub use run::{Options, run};
pub use serve::{Settings, serve};
pub use shutdown::Shutdown;
pub use site::Site;
pub use target::{Prefix, Refused};
