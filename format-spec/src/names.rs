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
    if let Some(bad) = element.chars().find(|&c| !allowed(c, of)) {
        return Err(format!("character {bad:?} is not allowed").into());
    }
    let stem = element.split('.').next().unwrap_or_default();
    if WINDOWS_DEVICE_NAMES.iter().any(|name| stem.eq_ignore_ascii_case(name)) {
        return Err(format!("{stem:?} is a device name on Windows").into());
    }
    if of == ElementOf::ModulePath
        && let Some((_, digits)) = stem.rsplit_once('~')
        && !digits.is_empty()
        && digits.bytes().all(|b| b.is_ascii_digit())
    {
        return Err("trailing tilde and digits look like a Windows short name".into());
    }
    Ok(())
}

fn allowed(c: char, of: ElementOf) -> bool {
    if c.is_ascii_alphanumeric() {
        return true;
    }
    match of {
        ElementOf::ModulePath => matches!(c, '-' | '.' | '_' | '~'),
        ElementOf::FilePath if c.is_ascii() => "!#$%&()+,-.=@[]^_{}~ ".contains(c),
        ElementOf::FilePath => c.general_category_group() == GeneralCategoryGroup::Letter,
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

/// Bytes of [`escape`]'s result, without making it.
pub(crate) fn escaped_len(text: &str) -> usize {
    text.len() + text.bytes().filter(u8::is_ascii_uppercase).count()
}

/// The inverse of [`escape`]; `None` for a text that no escaping gives.
pub(crate) fn unescape(escaped: &str) -> Option<String> {
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
