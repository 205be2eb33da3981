//! The short way: the whole of a file, asked for without conditions. No answer is planned, and of what is kept not even a path is
//! parsed; the bytes are those that the long way gives.

use super::head::Head;
use super::render::{self, Connection, Whole};
use super::{Conversation, Ends, Turn, at_once};
use crate::answering::{self, Looked, Part};
use crate::cache::{Kept, Key, Used};
use crate::entity_tag::EntityTag;
use crate::file_bytes::Patience;
use crate::limits::MAX_COPIED_BYTES;
use crate::modified::Modified;
use crate::plan::{Class, Resource};
use crate::response::Status;
use crate::site::{FileBytes, Found};
use crate::target::Prefix;
use modferry_format::BundlePath;
use std::sync::Arc;
use std::time::Instant;

/// Longest target that takes the short way, in bytes.
const MAX_SHORT_TARGET_BYTES: usize = 512;

impl Conversation {
    /// Adds the answer to a request for a file without conditions, without a plan, which costs more. `false` where it is not that
    /// simple; then what was found is there.
    pub(super) fn answer_plainly(&mut self, head: &Head<'_>, goes_on: bool, turn: &mut Turn<'_>) -> bool {
        let mut unescaped = [0; MAX_SHORT_TARGET_BYTES];
        let Some(text) = self.shared.prefix.key(head.target, &mut unescaped) else { return false };
        let key = self.shared.cache.key(text);
        let mut is_known = true;
        // Who could wait has said all there is to say.
        if self.found.is_none() {
            match self.answer_shortly(head, text, key, goes_on, turn) {
                Used::Fresh(true) => return true,
                Used::Fresh(false) | Used::Stale => {}
                Used::Unknown => is_known = false,
            }
        }
        let Some((path, named)) = Prefix::named(text) else { return false };
        self.version = head.version;
        let found = self.found.take().or_else(|| {
            let known = is_known.then(|| self.shared.cache.known(key, Instant::now)).flatten();
            at_once(answering::find_named(&self.shared, &path, &named, key, known, Patience::Now))
        });
        let Some(found) = found else {
            turn.cold = Some(path);
            return true;
        };
        let is_answered = match &found {
            Ok(Looked::Ready(kept)) => add_kept(kept, text, head, goes_on, turn)
                .map(|size| self.note_answer(head, Status::Ok, size, turn))
                .is_some(),
            Ok(Looked::Found(found)) => self.answer_found(head, &path, found, goes_on, turn),
            Err(_) => false,
        };
        if !is_answered {
            self.found = Some(found);
        }
        is_answered
    }

    /// Adds the answer to a request for a whole file that is kept, without looking at anything else.
    fn answer_shortly(
        &mut self,
        head: &Head<'_>,
        text: &[u8],
        key: Key<'_>,
        goes_on: bool,
        turn: &mut Turn<'_>,
    ) -> Used<bool> {
        let size = match self.shared.cache.with(key, Instant::now, |kept| add_kept(kept, text, head, goes_on, turn)) {
            Used::Fresh(Some(size)) => size,
            Used::Fresh(None) => return Used::Fresh(false),
            Used::Stale => return Used::Stale,
            Used::Unknown => return Used::Unknown,
        };
        self.version = head.version;
        self.note_answer(head, Status::Ok, size, turn);
        Used::Fresh(true)
    }

    /// The same for a small file that was just found.
    fn answer_found(
        &mut self,
        head: &Head<'_>,
        path: &BundlePath,
        found: &Found,
        goes_on: bool,
        turn: &mut Turn<'_>,
    ) -> bool {
        let Found { resource: Resource::Here { size, tag, modified }, bytes: FileBytes::Read(bytes), .. } = found
        else {
            return false;
        };
        let (mut tag_text, mut date_text, size) = (EntityTag::NO_TEXT, Modified::NO_TEXT, *size);
        let tag = tag.map_or(&[][..], |tag| tag.text(&mut tag_text));
        let modified = modified.as_ref().map_or(&[][..], |modified| modified.text(&mut date_text));
        let file = Whole { class: Class::of(path), tag, modified, size };
        let connection = Connection::after(head.version, goes_on, false);
        render::head_of_whole(&file, head.version, connection, turn.date, turn.now, turn.output);
        if bytes.len() <= MAX_COPIED_BYTES {
            turn.output.extend_from_slice(bytes);
        } else {
            turn.body = bytes.clone();
        }
        if !goes_on {
            turn.ends = Ends::Closes;
        }
        self.note_answer(head, Status::Ok, size, turn);
        true
    }
}

/// Adds the answer with the whole of a file that is kept under this path; its size.
fn add_kept(kept: &Kept, text: &[u8], head: &Head<'_>, goes_on: bool, turn: &mut Turn<'_>) -> Option<u64> {
    let connection = Connection::after(head.version, goes_on, false);
    let Turn { output, date, now, body, part, ends, .. } = turn;
    if let Some(file) = kept.file() {
        let path = str::from_utf8(text).ok().and_then(|text| format!("download{text}").parse().ok())?;
        *part = Some((Part { file: Arc::clone(file), bytes: 0..kept.size, path }, None));
    }
    render::head_of_whole(&kept.into(), head.version, connection, date, *now, output);
    match kept.bytes() {
        Some(bytes) if bytes.len() <= MAX_COPIED_BYTES => output.extend_from_slice(bytes),
        Some(_) => *body = kept.shared_bytes(),
        None => {}
    }
    if !goes_on {
        *ends = Ends::Closes;
    }
    Some(kept.size)
}
