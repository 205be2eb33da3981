//! Lets the disk work while the processors do: what was written begins its way there before somebody waits for it.

use std::fs::File;

/// Files from this size on are sent to the disk as soon as they are written. Smaller ones the disk takes together: a
/// request for each would cost more than it gains.
const SEND_AHEAD_BYTES: u64 = 256 * 1024;

/// Begins to bring a file of so many bytes to the disk, without waiting. A failure is that of the later sync.
pub(crate) fn begin(file: &File, bytes: u64) {
    #[cfg(target_os = "linux")]
    if bytes >= SEND_AHEAD_BYTES {
        // The advice that its pages are not needed soon begins to write them, and drops none that is not written.
        let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (file, bytes, SEND_AHEAD_BYTES);
}
