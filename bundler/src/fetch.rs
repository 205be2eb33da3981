//! Fetches over HTTP and from files, as the go command would: one client for all that is not fetched by go itself.
//!
//! - [`client`]: one request, with `proxies`, `credentials`, `authorities` and `addresses`
//! - `credentials`: what GOAUTH has for a URL, by its methods in `goauth` and `netrc`
//! - [`remote`]: asks a place until there is an answer
//! - [`proxy_list`]: the entries of GOPROXY

mod addresses;
pub(crate) mod authorities;
pub(crate) mod client;
mod credentials;
mod goauth;
mod netrc;
mod proxies;
pub(crate) mod proxy_list;
pub(crate) mod remote;

pub use remote::Patience;
