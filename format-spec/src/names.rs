//! Rules on path elements that module paths, versions and the files of a module zip share.
//!
//! They mirror `checkElem` of golang.org/x/mod/module, which also keeps names usable on Windows.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// What a path element belongs to; Go's rules differ a little between the two.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ElementOf {
    ModulePath,
    FilePath,
}

/// Device names that Windows does not allow as the part of a name before its first dot, in any case.
const WINDOWS_DEVICE_NAMES: [&str; 22] = [
    "con", "prn", "aux", "nul", "com1", "com2", "com3", "com4", "com5", "com6", "com7", "com8", "com9", "lpt1", "lpt2",
    "lpt3", "lpt4", "lpt5", "lpt6", "lpt7", "lpt8", "lpt9",
];

/// Checks one element; the error is the reason alone.
pub(crate) fn check_element(element: &str, of: ElementOf) -> Result<(), Cow<'static, str>> {
    if element.is_empty() {
        return Err("empty path element".into());
    }
    if element.bytes().all(|b| b == b'.') {
        return Err("path element of dots only".into());
    }
    if of == ElementOf::ModulePath && element.starts_with('.') {
        return Err("leading dot in path element".into());
    }
    if element.ends_with('.') {
        return Err("trailing dot in path element".into());
    }
    let table = match of {
        ElementOf::ModulePath => &IN_MODULE_PATHS,
        ElementOf::FilePath => &IN_FILE_PATHS,
    };
    // Names are looked at by the thousand, and nearly all of them are good ASCII.
    if !element.bytes().all(|b| table[usize::from(b)])
        && let Some(bad) = element.chars().find(|&c| !allowed(c, of, table))
    {
        return Err(format!("character {bad:?} is not allowed").into());
    }
    let stem = split_once(element, b'.').map_or(element, |(stem, _)| stem);
    if matches!(stem.len(), 3 | 4) && WINDOWS_DEVICE_NAMES.iter().any(|name| stem.eq_ignore_ascii_case(name)) {
        return Err(format!("{stem:?} is a device name on Windows").into());
    }
    if of == ElementOf::ModulePath {
        let without_digits = stem.trim_end_matches(|c: char| c.is_ascii_digit());
        if without_digits.len() < stem.len() && without_digits.ends_with('~') {
            return Err("trailing tilde and digits look like a Windows short name".into());
        }
    }
    Ok(())
}

/// ASCII characters that may stand in an element of a module path.
const IN_MODULE_PATHS: [bool; 256] = alphanumeric_and(b"-._~");
/// ASCII characters that may stand in the name of a file.
const IN_FILE_PATHS: [bool; 256] = alphanumeric_and(b"!#$%&()+,-.=@[]^_{}~ ");

/// By its code, whether a character is a letter, a digit or one of these; all of them ASCII.
pub(crate) const fn alphanumeric_and(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut code = 0_u8;
    while code < 128 {
        table[code as usize] = code.is_ascii_alphanumeric();
        code += 1;
    }
    let mut at = 0;
    while at < others.len() {
        table[others[at] as usize] = true;
        at += 1;
    }
    table
}

/// The parts of a text between the places where this ASCII character stands, as `split` gives them; what stands in a path is
/// short, and the search of the standard library takes longer to begin than this one to end.
pub(crate) fn split(text: &str, at: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    core::iter::from_fn(move || {
        let text = rest.take()?;
        Some(match split_once(text, at) {
            Some((part, behind)) => {
                rest = Some(behind);
                part
            }
            None => text,
        })
    })
}

/// What stands before the first of this ASCII character, and behind it.
pub(crate) fn split_once(text: &str, at: u8) -> Option<(&str, &str)> {
    let place = text.bytes().position(|b| b == at)?;
    Some((&text[..place], &text[place + 1..]))
}

fn allowed(c: char, of: ElementOf, table: &[bool; 256]) -> bool {
    match u8::try_from(c) {
        Ok(code) if c.is_ascii() => table[usize::from(code)],
        _ => of == ElementOf::FilePath && c.general_category_group() == GeneralCategoryGroup::Letter,
    }
}

/// Go's escaping for case-insensitive file systems: each `A` to `Z` becomes `!` and its lower-case letter.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii_uppercase() {
            escaped.push('!');
            escaped.push(c.to_ascii_lowercase());
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Whether a text has more bytes than this when it is escaped.
pub(crate) fn is_longer_escaped(text: &str, most: usize) -> bool {
    // Escaping makes no text more than twice as long.
    text.len() > most / 2 && escaped_len(text) > most
}

/// Bytes of [`escape`]'s result, without making it.
pub(crate) fn escaped_len(text: &str) -> usize {
    text.len() + text.bytes().filter(u8::is_ascii_uppercase).count()
}

/// The inverse of [`escape`]; `None` for a text that no escaping gives.
pub(crate) fn unescape(escaped: &str) -> Option<String> {
    let is_itself = |b: u8| b.is_ascii() && !b.is_ascii_uppercase() && b != b'!';
    // All of them at once takes less time than one after the other.
    if escaped.bytes().fold(true, |all, b| all & is_itself(b)) {
        return Some(escaped.into());
    }
    let mut text = String::with_capacity(escaped.len());
    let mut chars = escaped.chars();
    while let Some(c) = chars.next() {
        match c {
            '!' => match chars.next() {
                Some(lower) if lower.is_ascii_lowercase() => text.push(lower.to_ascii_uppercase()),
                _ => return None,
            },
            c if c.is_ascii_uppercase() || !c.is_ascii() => return None,
            c => text.push(c),
        }
    }
    Some(text)
}
