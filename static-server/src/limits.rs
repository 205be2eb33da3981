//! Every number that bounds what a client, a file or the system can make this server do.
//!
//! The numbers of time and connections stand between the defaults of nginx, Caddy and hyper; where they differ from
//! all three the comment says why.

use std::time::Duration;

/// Longest request target below the prefix, in bytes. The longest path of a bundle (1024 bytes) needs this much when
/// each of its `!` comes as `%21`, as `go` sends it.
pub const MAX_TARGET_BYTES: usize = 2 * 1024;
/// Largest request head, in bytes; more is answered with 431. Caddy takes 16 kB, nginx up to 4 lines of 8 kB.
pub const MAX_HEAD_BYTES: usize = 16 * 1024;
/// Most header lines of a request; more is answered with 431. `go` sends 4, a browser about 20.
pub const MAX_HEADERS: usize = 64;

/// Time for a whole request head, from its first byte, or from the connection's start until there is one. nginx gives
/// 60 seconds; a head is one packet, and a slow one is an attack.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Time that a connection may wait for its next request. nginx gives 75 seconds, `go` itself gives up after 90.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Time that a client may take no byte of its answer. The same as nginx and Caddy; there is no limit for the whole, so
/// that 500 MB go over a slow line too.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Time that running answers get after the signal to stop, unless the user says otherwise.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(30);

/// Most connections at once; at the cap the others wait in the system's queue. [`run`](crate::run) lowers it
/// to half of the files that the process may open: each is a socket, and may need a file.
pub const MAX_CONNECTIONS: usize = 4096;
/// Most connections of one address, unless the user says otherwise; more are answered with 503 and closed. Build farms stand
/// behind one address, and a `go` command opens a dozen; nginx and Caddy have no limit.
pub const MAX_CONNECTIONS_PER_ADDRESS: usize = 256;
/// Files that are open beside those of connections: the standard streams, listeners, and what a runtime needs.
pub const FILES_APART: usize = 32;
/// Most threads; beyond it the network is what is slow.
pub const MAX_THREADS: usize = 16;
/// Most threads that wait for a disk, for each thread that serves.
pub const MAX_DISK_THREADS: usize = 16;
/// Looks for files that one such thread is left with, before another one helps.
pub(crate) const LOOKS_PER_THREAD: usize = 16;
/// What has waited for such a thread this long gets another one: those there are wait for a disk, which takes as long.
pub(crate) const OVERDUE_AFTER: Duration = Duration::from_millis(5);
/// A thread gives its answers together, at most this long after the first of them: some ten looks that wait for no disk.
pub(crate) const ANSWER_EVERY: Duration = Duration::from_micros(200);
/// Pause when the system has no descriptors or memory for a connection: `accept` would fail again at once, and a loop
/// without a pause keeps a processor busy. nginx pauses 500 ms, Go 5 ms to 1 s.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// That the system has run out of something is told at most this often.
pub const SHORTAGE_REPORT_EVERY: Duration = Duration::from_secs(1);

/// Memory for small files, unless the user says otherwise, in bytes; all that is kept of a file is counted. As much as holds
/// 200,000 `.info` of 60 bytes and `.mod` of 90.
pub const DEFAULT_CACHE_BYTES: u64 = 64 * 1024 * 1024;
/// Most large files that are kept open, of those that the process may open an eighth at most: the zips of one large project.
pub const MAX_KEPT_FILES: usize = 512;
/// What can change, or can go, is kept this long without looking at it again: an import is seen within that time. nginx does
/// so for 60 seconds (`open_file_cache_valid`).
pub const RECHECK_AFTER: Duration = Duration::from_secs(1);
/// Least and longest time between two looks for connections that have waited too long.
pub(crate) const SWEEP_EVERY: std::ops::RangeInclusive<Duration> = Duration::from_millis(20)..=Duration::from_secs(1);

/// Largest immutable file that is read in one piece, hashed for its ETag and sent with its head, in bytes. Up to here all of that
/// costs less than to find its line in a manifest, whose hash is the same, and to have the system send it; beyond it, with memory
/// that has to be had first, it costs more (`tests/bench`, the real client).
pub const MAX_SMALL_BYTES: u64 = 16 * 1024;
/// Largest file of those that change that is read whole, in bytes, so that its head and its bytes belong together:
/// 40,000 versions of one module.
pub const MAX_CHANGING_BYTES: u64 = 1024 * 1024;
/// What is read of a large file at once where it cannot be sent from the system's own memory, in bytes; with
/// [`MAX_CONNECTIONS`] transfers and two windows each, 1 GiB.
pub const WINDOW_BYTES: u64 = 128 * 1024;
/// What is sent of a large file from the system's own memory before others get their turn, in bytes: as nginx does it
/// (`sendfile_max_chunk`). Small files wait for it; less costs more turns.
pub const SEND_WINDOW_BYTES: u64 = 2 * 1024 * 1024;
/// Most of a large file that is taken to be in the system's memory because its last byte is, in bytes.
#[cfg(target_os = "linux")]
pub(crate) const MAX_WARM_STRETCH_BYTES: u64 = 16 * 1024 * 1024;
/// Largest body that is copied behind its head and sent with it in one piece, in bytes; a larger one is sent from where it
/// lies.
pub(crate) const MAX_COPIED_BYTES: usize = 16 * 1024;
/// Answers to requests that came without waiting are sent together once they are this large, in bytes.
pub(crate) const MAX_GATHERED_BYTES: usize = 64 * 1024;
/// What is taken and thrown away of a client whose request was refused before it was read, in bytes; without that it might
/// not get the refusal.
pub(crate) const MAX_LINGER_BYTES: usize = 256 * 1024;
/// Access log that a thread gathers before it is written, in bytes; what is less is written every second.
pub(crate) const LOG_CHUNK_BYTES: usize = 32 * 1024;
/// How often the rest of it is.
pub(crate) const LOG_EVERY: Duration = Duration::from_secs(1);
/// Chunks of the access log that may wait for a disk; beyond it lines are dropped and the loss is told.
pub(crate) const MAX_LOG_CHUNKS: usize = 64;
/// Most names that are read of the directory with the partial tiles of one place. 255 widths are possible; as many
/// again are left for what an interrupted import has left behind.
pub const MAX_TILE_DIRECTORY_NAMES: usize = 512;
/// Largest `list` that is read to say in a 404 which version is the newest, in bytes.
pub const MAX_LIST_BYTES_FOR_HINT: u64 = 64 * 1024;
/// Most of somebody else's words that stand in a 404, in characters. `go` shows 8 lines or 648 bytes.
pub const MAX_QUOTED_CHARS: usize = 200;

/// How many connections there may be, and how many files kept open: as many as wanted, and no more than the files that
/// this process may open suffice for. That limit is raised first as far as the system lets us.
#[cfg(unix)]
pub(crate) fn descriptors(wanted: usize) -> (usize, usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // A failure leaves the limit as it is.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let files = getrlimit(Resource::Nofile).current.and_then(|files| usize::try_from(files).ok());
    let kept = files.map_or(MAX_KEPT_FILES, |files| MAX_KEPT_FILES.min(files / 8));
    let connections = files.map_or(wanted, |files| wanted.min(files / 2).min(files.saturating_sub(FILES_APART + kept)));
    (connections.max(1), kept)
}

#[cfg(not(unix))]
pub(crate) fn descriptors(wanted: usize) -> (usize, usize) {
    (wanted, MAX_KEPT_FILES)
}
