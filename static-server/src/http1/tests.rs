#![allow(clippy::unwrap_used, reason = "what helps a test fails as the test does")]

use super::*;
use crate::limits::MAX_SMALL_BYTES;
use crate::site::Site;
use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::path::Path;

const LARGE: usize = MAX_SMALL_BYTES as usize + 1;

/// A mirror with large files.
fn site(root: &Path, files: usize) -> Site {
    // A name that is not there is not remembered by some file systems, and a thread that may wait would look for it.
    fs::create_dir_all(root.join("ledger/ex.org/a")).unwrap();
    fs::write(root.join("ledger/ex.org/a/@sums"), "").unwrap();
    fs::create_dir_all(root.join("download/ex.org/a/@v")).unwrap();
    for file in 0..files {
        fs::write(root.join(format!("download/ex.org/a/@v/v1.{file}.0.zip")), vec![b'z'; LARGE]).unwrap();
    }
    Site::open(root).unwrap()
}

/// How much of the answers has come, as another task of the same thread sees it at its turns, while one client is sent large
/// files that it has asked for all at once.
fn seen_beside(files: usize) -> BTreeSet<usize> {
    let temp = tempfile::tempdir().unwrap();
    let shared = Arc::new(Shared::alone(site(temp.path(), files)));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut theirs = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    for end in [&ours, &theirs] {
        end.set_nonblocking(true).unwrap();
    }
    // Room for all of it: a task whose socket is full lets others go on anyway.
    rustix::net::sockopt::set_socket_send_buffer_size(&ours, 8 * LARGE).unwrap();
    for file in 0..files {
        write!(theirs, "GET /ex.org/a/@v/v1.{file}.0.zip HTTP/1.1\r\nhost: a\r\n\r\n").unwrap();
    }
    theirs.shutdown(Shutdown::Write).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stream = Stream::Tcp(tokio::net::TcpStream::from_std(ours).unwrap());
        let other = tokio::spawn(async move {
            let (mut came, mut seen) = (Vec::new(), BTreeSet::new());
            // The end, or that nothing more is there for now.
            while theirs.read_to_end(&mut came).is_err() {
                seen.insert(came.len());
                yield_now().await;
            }
            assert!(came.len() > files * LARGE && came.ends_with(b"zzz"), "{} bytes", came.len());
            seen
        });
        tokio::spawn(connection(stream, None, shared, Activity::default())).await.unwrap();
        other.await.unwrap()
    })
}

#[test]
fn who_has_asked_for_many_files_at_once_lets_others_go_on_between_them() {
    // Two that both go on at once change places each time, so one of them may have two turns in a row.
    let seen = seen_beside(5);
    let is_between = |file: usize| seen.range(file * LARGE..file * LARGE + 2000).next().is_some();
    assert!((1..5).filter(|file| is_between(*file)).count() >= 2, "{seen:?}");
}
