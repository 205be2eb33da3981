//! Files of signed tree heads: what a bundler remembers, what a client has stored, what a mirror asks a bridge for.
//!
//! Signed notes one after the other, as they stand in `sumdb/NAME/latest`, with or without blank lines between: such a file
//! is made and joined with `cat`. A note begins with its first line, which is the same in all of them.

use crate::error::{Error, ErrorKind, Result};
use modferry_format::sumdb::head::Head;
use modferry_format::sumdb::key::VerifierKey;
use modferry_format::sumdb::note::NotOpened;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;
use tempfile::NamedTempFile;

/// What each note begins with.
const FIRST_LINE: &str = "go.sum database tree\n";
/// Largest file that is read, in bytes: some 80,000 heads.
const MAX_BYTES: u64 = 16 << 20;

/// The heads in a file that the key has signed, in their order. Notes of other databases are passed over, for one file
/// may serve several; a wrong signature is an error, and so is a file that is not there unless it `may_be_missing`.
pub(crate) fn read(file: &Path, key: &VerifierKey, may_be_missing: bool) -> Result<Vec<Head>> {
    let text = match text(file) {
        Err(error) if may_be_missing && error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.map_err(|error| Error::io(file, "the tree heads could not be read", &error))?,
    };
    let wrong = |number: usize, error: NotOpened| {
        Error::new(ErrorKind::Usage, format!("{}: note {number} is no tree head of {}", file.display(), key.name()))
            .because(error.to_string())
            .hint("the file has signed notes one after the other, as in GOPATH/pkg/sumdb/NAME/latest")
    };
    let mut heads: Vec<Head> = Vec::new();
    for (number, note) in notes(&text).enumerate() {
        match Head::open(note.as_bytes(), key) {
            Ok(head) if head.size() == 0 || heads.contains(&head) => {}
            Ok(head) => heads.push(head),
            Err(NotOpened::NotSigned(_)) => {}
            Err(error) => return Err(wrong(number + 1, error)),
        }
    }
    Ok(heads)
}

/// Adds a head to a file, which is replaced as a whole; nothing happens if it is there.
pub(crate) fn add(file: &Path, head: &Head) -> Result<()> {
    let failed = |error: &io::Error| Error::io(file, "the tree head could not be kept", error);
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Two bundlers at once must both be remembered.
    let lock = || {
        fs::create_dir_all(parent)?;
        let lock = File::create(file.with_extension("lock"))?;
        lock.lock().map(|()| lock)
    };
    let _lock = lock().map_err(|error| failed(&error))?;
    let mut text = match text(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        text => text.map_err(|error| failed(&error))?,
    };
    if notes(&text).any(|note| note == head.note()) {
        return Ok(());
    }
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(head.note());
    let write = || {
        let mut aside = NamedTempFile::new_in(parent)?;
        aside.write_all(text.as_bytes())?;
        aside.as_file().sync_all()?;
        aside.persist(file).map(drop).map_err(|error| error.error)
    };
    write().map_err(|error| failed(&error))
}

fn text(file: &Path) -> io::Result<String> {
    let mut text = String::new();
    let size = File::open(file)?.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if size as u64 > MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {MAX_BYTES} bytes")));
    }
    Ok(text)
}

/// The notes of a text, each without blank lines around it. What stands before the first is a note that will not open.
pub(crate) fn notes(text: &str) -> impl Iterator<Item = &str> {
    let mut starts: Vec<usize> = text.match_indices(FIRST_LINE).map(|(at, _)| at).collect();
    starts.retain(|&at| at == 0 || text.as_bytes()[at - 1] == b'\n');
    if !text[..starts.first().copied().unwrap_or(text.len())].trim().is_empty() {
        starts.insert(0, 0);
    }
    let ends: Vec<usize> = starts.iter().skip(1).copied().chain([text.len()]).collect();
    // A note ends in one newline.
    starts.into_iter().zip(ends).map(|(start, end)| {
        let note = text[start..end].trim_end_matches('\n');
        &text[start..(start + note.len() + 1).min(end)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTE: &str = "go.sum database tree\n63096908\n8lHrQPRYe4KT4WQ9/Qk8/taKnD6IRHbFgfN7vQE2Y54=\n\n— sum.golang.org Az3gri/oVBN1jAhNZ/iS+W31psFAWRT20/GyrhpU6taFwulQGetBkH5S7wpGXdS935jiIGiUUAXBVHzT/P6fYhqAmAk=\n";

    #[test]
    fn notes_are_joined_and_taken_apart() {
        let dir = tempfile::tempdir().unwrap();
        let (file, key) = (dir.path().join("state/heads"), VerifierKey::sum_golang_org());
        assert!(read(&file, &key, true).unwrap().is_empty());
        assert!(read(&file, &key, false).is_err());
        let head = Head::open(NOTE.as_bytes(), &key).unwrap();
        add(&file, &head).unwrap();
        add(&file, &head).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), NOTE);
        fs::write(&file, format!("\n{NOTE}{NOTE}\n\n{NOTE}")).unwrap();
        assert_eq!(notes(&fs::read_to_string(&file).unwrap()).collect::<Vec<_>>(), [NOTE; 3]);
        assert_eq!(read(&file, &key, false).unwrap(), [head]);
    }

    #[test]
    fn what_is_no_note_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let (file, key) = (dir.path().join("heads"), VerifierKey::sum_golang_org());
        for bad in ["hello\n", &format!("hello\n{NOTE}"), &NOTE.replace("63096908", "63096909"), &NOTE[..100]] {
            fs::write(&file, bad).unwrap();
            assert!(read(&file, &key, false).is_err(), "{bad}");
        }
        fs::write(&file, NOTE.replace("sum.golang.org", "other.test")).unwrap();
        assert!(read(&file, &key, false).unwrap().is_empty());
    }
}
