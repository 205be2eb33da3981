#![allow(clippy::unwrap_used, reason = "what helps a test fails as the test does")]

use super::*;
use crate::file_bytes::Patience;
use crate::site::Site;
use modferry_format::ledger::{Ledger, Line};
use modferry_format::{BundleId, FileSha256};
use std::fs;
use std::path::Path;
use std::time::Duration;

const MOD: &str = "/ex.org/a/@v/v1.0.0.mod";
const LIST: &str = "/ex.org/a/@v/list";

fn site(root: &Path) -> Site {
    fs::create_dir_all(root.join("ledger")).unwrap();
    fs::create_dir_all(root.join("download/ex.org/a/@v")).unwrap();
    fs::write(root.join("download").join(&MOD[1..]), "module ex.org/a\n").unwrap();
    fs::write(root.join("download").join(&LIST[1..]), "v1.0.0\n").unwrap();
    let zip = vec![1; 70_000];
    fs::write(root.join("download/ex.org/a/@v/v1.0.0.zip"), &zip).unwrap();
    let mut ledger = Ledger::default();
    ledger.add(Line {
        sha256: FileSha256::of(&zip),
        size: 70_000,
        h1: None,
        bundle: BundleId::of(b"bundle"),
        name: "@v/v1.0.0.zip".to_owned(),
    });
    fs::create_dir_all(root.join("ledger/ex.org/a")).unwrap();
    fs::write(root.join("ledger/ex.org/a/@sums"), ledger.to_string()).unwrap();
    Site::open(root).unwrap()
}

fn path(key: &str) -> BundlePath {
    format!("download{key}").parse().unwrap()
}

fn kept(site: &Site, key: &str, now: Instant) -> Kept {
    let path = path(key);
    let any = Key { text: key.as_bytes(), hash: 0 };
    Kept::new(
        &path,
        any,
        &site.look(&path, &path.to_string(), Patience::Wait).unwrap(),
        Kept::goes(&path).then_some(now),
    )
    .unwrap()
}

/// One of `bytes` bytes that was never a file.
fn made(key: &str, bytes: usize) -> Kept {
    Kept {
        text: [key.as_bytes(), &vec![b'x'; bytes]].concat().into(),
        key_bytes: u16::try_from(key.len()).unwrap(),
        tag_bytes: 0,
        has_date: false,
        class: Class::of(&path(MOD)),
        size: bytes as u64,
        apart: None,
    }
}

/// Whether something fresh is kept under a key.
fn is_used(cache: &Cache, key: Key<'_>, now: Instant) -> bool {
    matches!(cache.with(key, || now, |_| ()), Used::Fresh(()))
}

/// Keeps it under its own key.
fn keep(cache: &Cache, kept: Kept) {
    let text = kept.key().to_vec();
    cache.keep(cache.key(&text), kept);
}

#[test]
fn what_is_kept_is_what_was_found() {
    let temp = tempfile::tempdir().unwrap();
    let (site, cache, now) = (site(temp.path()), Cache::new(1 << 20, 64), Instant::now());
    for key in [MOD, LIST, "/ex.org/a/@v/v1.0.0.zip"] {
        let found = site.look(&path(key), &path(key).to_string(), Patience::Wait).unwrap();
        keep(&cache, kept(&site, key, now));
        let Some(Known::Fresh(kept)) = cache.known(cache.key(key.as_bytes()), || now) else { panic!("{key}") };
        assert_eq!(kept.found().resource, found.resource, "{key}");
        match (&kept.found().bytes, &found.bytes) {
            (FileBytes::Read(kept), FileBytes::Read(found)) => assert_eq!(kept, found),
            (FileBytes::File(_), FileBytes::File(_)) => {}
            other => panic!("{key}: {other:?}"),
        }
        assert!(!is_used(&cache, cache.key(&key.as_bytes()[1..]), now));
        cache.forget(cache.key(key.as_bytes()));
        assert!(cache.known(cache.key(key.as_bytes()), || now).is_none());
    }
}

#[test]
fn what_can_change_or_go_is_fresh_for_a_second_and_the_rest_for_good() {
    let temp = tempfile::tempdir().unwrap();
    let (site, cache, now) = (site(temp.path()), Cache::new(1 << 20, 64), Instant::now());
    let later = now + RECHECK_AFTER;
    let almost = later.checked_sub(Duration::from_millis(1)).unwrap();
    for (key, is_for_good) in [(MOD, true), (LIST, false), ("/ex.org/a/@v/v1.0.0.zip", false)] {
        keep(&cache, kept(&site, key, now));
        assert!(is_used(&cache, cache.key(key.as_bytes()), almost), "{key}");
        assert_eq!(is_used(&cache, cache.key(key.as_bytes()), later), is_for_good, "{key}");
        if let Some(Known::Stale(_, stamp)) = cache.known(cache.key(key.as_bytes()), || later) {
            assert_eq!(site.stamp(&path(key), Patience::Wait).unwrap(), Some(stamp), "{key}");
            cache.is_as_it_was(cache.key(key.as_bytes()), stamp, later);
        }
        assert!(is_used(&cache, cache.key(key.as_bytes()), later), "{key}");
    }
    // A new file of the same size in the place of the old one is another state.
    let Some(Known::Stale(_, stamp)) = cache.known(cache.key(LIST.as_bytes()), || later + RECHECK_AFTER) else {
        panic!("not stale")
    };
    let (new, old) = (temp.path().join("new"), temp.path().join("download").join(&LIST[1..]));
    fs::write(&new, "v1.0.1\n").unwrap();
    fs::rename(new, old).unwrap();
    assert_ne!(site.stamp(&path(LIST), Patience::Wait).unwrap(), Some(stamp));
}

#[test]
fn never_more_is_kept_than_was_allowed_and_what_is_asked_for_stays() {
    let now = Instant::now();
    let most = 1 << 20;
    let cache = Cache::new(most, 64);
    keep(&cache, made("/hot", 1000));
    for number in 0..20_000 {
        keep(&cache, made(&format!("/{number}"), number % 2000));
        assert!(is_used(&cache, cache.key(b"/hot"), now), "{number}");
        let kept: u64 = cache.shards.iter().map(|shard| shard.lock().unwrap().bytes).sum();
        assert!(kept <= most, "{number}: {kept}");
    }
    for shard in &cache.shards {
        let shard = shard.lock().unwrap();
        let counted: u64 = shard.slots.iter().flatten().map(|slot| slot.kept.weight()).sum();
        assert_eq!(counted, shard.bytes);
        assert!(counted > most / SHARDS as u64 / 2, "it is used");
        assert_eq!(shard.slots.iter().flatten().count(), shard.places.len());
    }
    // The largest that is kept, and one more; and a cache of nothing keeps nothing.
    let large = (most / SHARDS as u64 / 4 - OVERHEAD) as usize - 2;
    for (bytes, is_kept) in [(large, true), (large + 1, false)] {
        keep(&cache, made("/l", bytes));
        assert_eq!(is_used(&cache, cache.key(b"/l"), now), is_kept, "{bytes}");
        cache.forget(cache.key(b"/l"));
    }
    let none = Cache::new(0, 0);
    keep(&none, made("/a", 0));
    assert!(!is_used(&none, none.key(b"/a"), now));
}

#[test]
fn no_more_files_are_open_than_were_allowed() {
    let file = Arc::new(tempfile::tempfile().unwrap());
    let cache = Cache::new(1 << 20, 16);
    for number in 0..1000 {
        keep(&cache, made(&format!("/small{number}"), 10));
        keep(
            &cache,
            Kept {
                apart: Some(Box::new(Apart { file: Some(Arc::clone(&file)), checked: None })),
                ..made(&format!("/{number}"), 0)
            },
        );
    }
    let open: usize = cache.shards.iter().map(|shard| shard.lock().unwrap().open.len()).sum();
    assert_eq!(open, 16);
    assert_eq!(Arc::strong_count(&file), 17);
    let small: usize = cache.shards.iter().map(|shard| shard.lock().unwrap().places.len()).sum();
    assert_eq!(small, 1016, "small files do not go for them");
}

#[test]
fn small_files_are_kept_while_there_is_room_and_then_when_asked_for_again() {
    let cache = Cache::new(64 * 1024 * 1024, 8);
    assert!(cache.wants(cache.key(MOD.as_bytes()), 100));
    // One that is larger than its part has room for.
    let large = 8 * 1024 * 1024;
    assert!(!cache.wants(cache.key(MOD.as_bytes()), large));
    assert!(!cache.wants(cache.key(LIST.as_bytes()), large));
    assert!(cache.wants(cache.key(MOD.as_bytes()), large));
    // Others in between push out few of what was asked for, and are taken for it as good as never.
    let others: Vec<String> = (0..2 * REMEMBERED).map(|number| format!("/ex.org/m{number}/@v/list")).collect();
    assert_eq!(others.iter().filter(|other| cache.wants(cache.key(other.as_bytes()), large)).count(), 0);
    let remembered = others.iter().filter(|other| cache.wants(cache.key(other.as_bytes()), large)).count();
    assert!(remembered > others.len() / 2, "{remembered}");
}

#[test]
fn what_a_file_takes_beside_its_bytes_is_counted() {
    let slot = size_of::<Option<Slot>>() as u64;
    // In a table that is half empty: a place and a byte of its hash, twice, and an eighth that is never used.
    let place = (size_of::<u32>() as u64 + 1) * 2 * 8 / 7 + 1;
    // Two counters beside the bytes of an `Arc`; the allocator's own word, and what it rounds up to.
    let allocation = 16 + 8 + 8;
    assert!(slot + slot / 8 + place + allocation <= OVERHEAD, "{slot} {place}");
    // No more is left unused than is counted.
    let mut shard = Shard::default();
    for number in 0..5000 {
        shard.keep(number, made("/a", 0), u64::MAX, 0);
        assert!(shard.slots.capacity() <= shard.slots.len() + LEAST_GROWTH.max(shard.slots.len() / 8));
    }
    assert_eq!(shard.places.len(), 5000);
}
