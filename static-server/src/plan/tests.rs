use super::*;
use crate::absence::{Database, Kind, Newest};
use modferry_format::FileSha256;

const ZIP: &str = "/ex.org/a/@v/v1.0.0.zip";
const DATE: &str = "Wed, 21 Oct 2026 07:28:00 GMT";

fn get(target: &str) -> Request<'_> {
    Request {
        method: Method::Get,
        target,
        has_body: false,
        if_none_match: None,
        if_modified_since: None,
        range: None,
        if_range: None,
    }
}

fn tag() -> EntityTag {
    EntityTag::File(FileSha256::of(b"0123456789"))
}

/// The answer where each file that is asked for has ten bytes.
fn plan(request: &Request<'_>) -> Response {
    let here = Resource::Here { size: 10, tag: Some(tag()), modified: None };
    route(request, &Prefix::default()).map_or_else(|refusal| refusal, |path| answer(request, &path, &here))
}

fn field<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response.fields.iter().find(|(field, _)| *field == name).map(|(_, value)| value.as_ref())
}

fn status(request: &Request<'_>) -> u16 {
    plan(request).status.code()
}

#[test]
fn a_file_is_answered_with_all_that_a_cache_needs() {
    let response = plan(&get(ZIP));
    let tag = tag().to_string();
    assert_eq!(response.status, Status::Ok);
    assert_eq!(response.body, Body::Content(0..10));
    for (name, value) in [
        ("content-type", "application/zip"),
        ("content-length", "10"),
        ("etag", &tag),
        ("cache-control", "public, max-age=86400, immutable"),
        ("accept-ranges", "bytes"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(field(&response, name), Some(value), "{name}");
    }
    assert!(!response.closes);
}

#[test]
fn what_changes_is_asked_for_again_and_a_tile_never() {
    for (target, cache_control, media_type) in [
        ("/ex.org/a/@v/list", "no-cache", "text/plain; charset=utf-8"),
        ("/ex.org/a/@latest", "no-cache", "application/json"),
        ("/ex.org/a/@v/main.info", "no-cache", "application/json"),
        ("/ex.org/a/@v/v1.0.0.info", "public, max-age=86400, immutable", "application/json"),
        ("/ex.org/a/@v/v1.0.0.mod", "public, max-age=86400, immutable", "text/plain; charset=utf-8"),
        ("/sumdb/sum.golang.org/latest", "no-cache", "text/plain; charset=utf-8"),
        (
            "/sumdb/sum.golang.org/lookup/ex.org/a@v1.0.0",
            "public, max-age=86400, immutable",
            "text/plain; charset=utf-8",
        ),
        ("/sumdb/sum.golang.org/tile/8/0/001", "public, max-age=31536000, immutable", "application/octet-stream"),
    ] {
        let response = plan(&get(target));
        assert_eq!(field(&response, "cache-control"), Some(cache_control), "{target}");
        assert_eq!(field(&response, "content-type"), Some(media_type), "{target}");
    }
}

#[test]
fn refusals_have_their_status_and_say_why_in_plain_text() {
    let long = format!("/ex.org/{}/@v/list", "a".repeat(3000));
    for (request, code, closes) in [
        (get("/"), 404, false),
        (get("/ex.org/a/@v/"), 404, false),
        (get("/../BUNDLE"), 404, false),
        (get("/ex.org/%2"), 400, false),
        (get(&long), 414, false),
        (Request { method: Method::Other, ..get(ZIP) }, 405, false),
        (Request { method: Method::Other, has_body: true, ..get(ZIP) }, 405, true),
        (Request { has_body: true, ..get(ZIP) }, 400, true),
    ] {
        let response = plan(&request);
        assert_eq!((response.status.code(), response.closes), (code, closes), "{request:?}");
        let Body::Text(text) = &response.body else { panic!("{request:?}: no text") };
        assert_eq!(field(&response, "content-length"), Some(text.len().to_string().as_str()));
        assert_eq!(field(&response, "content-type"), Some("text/plain; charset=utf-8"));
        assert_eq!(field(&response, "cache-control"), Some("no-cache"));
        assert_eq!(field(&response, "allow"), (code == 405).then_some("GET, HEAD"));
    }
}

#[test]
fn the_longest_path_with_every_escape_is_not_too_long() {
    let database = format!("{}.example", "a".repeat(60));
    let module = format!("ex.org/{}/{}/!a", "!a".repeat(127), "!a".repeat(127));
    let target = format!("/sumdb/{database}/lookup/{module}@v1.0.0-{}", "!a".repeat(110));
    assert_eq!(status(&get(&target)), 200);
    let escaped = target.replace('!', "%21");
    assert!((1500..MAX_TARGET_BYTES).contains(&escaped.len()), "{}", escaped.len());
    assert_eq!(status(&get(&escaped)), 200);
}

#[test]
fn head_is_get_without_the_body() {
    let long = format!("/{}", "a".repeat(3000));
    for target in [ZIP, "/", "/ex.org/%2", &long, "/ex.org/a/@v/list"] {
        for if_none_match in [None, Some("*")] {
            let get = Request { if_none_match, ..get(target) };
            let (body, head) = (plan(&get), plan(&Request { method: Method::Head, ..get }));
            assert_eq!(head, Response { body: Body::Empty, ..body });
        }
    }
    // And a range means nothing to it.
    assert_eq!(status(&Request { method: Method::Head, range: Some("bytes=0-1"), ..get(ZIP) }), 200);
}

#[test]
fn a_client_that_has_the_file_does_not_get_it_again() {
    let own = tag().to_string();
    let response = plan(&Request { if_none_match: Some(&own), range: Some("bytes=0-1"), ..get(ZIP) });
    assert_eq!((response.status, &response.body), (Status::NotModified, &Body::Empty));
    assert_eq!(field(&response, "etag"), Some(own.as_str()));
    assert_eq!(field(&response, "cache-control"), Some("public, max-age=86400, immutable"));
    assert_eq!((field(&response, "content-length"), field(&response, "content-type")), (None, None));
    assert_eq!(status(&Request { if_none_match: Some("\"other\""), ..get(ZIP) }), 200);
}

#[test]
fn ranges_are_parts_of_the_file_that_was_meant() {
    let own = tag().to_string();
    let ranged = |range, if_range| plan(&Request { range: Some(range), if_range, ..get(ZIP) });
    let part = ranged("bytes=2-4", None);
    assert_eq!((part.status, &part.body), (Status::PartialContent, &Body::Content(2..5)));
    assert_eq!(field(&part, "content-range"), Some("bytes 2-4/10"));
    assert_eq!(field(&part, "content-length"), Some("3"));
    assert_eq!(field(&part, "etag"), Some(own.as_str()));
    assert_eq!(ranged("bytes=2-4", Some(&own)).status, Status::PartialContent);
    let weak = format!("W/{own}");
    for if_range in ["\"other\"", "Wed, 21 Oct 2026 07:28:00 GMT", &weak] {
        assert_eq!(ranged("bytes=2-4", Some(if_range)).body, Body::Content(0..10), "{if_range}");
    }
    let none = ranged("bytes=10-", None);
    assert_eq!((none.status.code(), field(&none, "content-range")), (416, Some("bytes */10")));
    assert_eq!(ranged("bytes=0-1,4-5", None).status, Status::Ok);
    assert_eq!(status(&Request { if_range: Some(&own), ..get(ZIP) }), 200);
}

#[test]
fn a_file_without_a_known_hash_has_no_tag_and_meets_no_condition() {
    let request = Request { if_none_match: Some("*"), range: Some("bytes=0-1"), if_range: Some("\"x\""), ..get(ZIP) };
    let path = route(&request, &Prefix::default()).unwrap();
    let response = answer(&request, &path, &Resource::Here { size: 10, tag: None, modified: None });
    assert_eq!((response.status, field(&response, "etag")), (Status::Ok, None));
}

#[test]
fn an_empty_file_is_a_file() {
    let request = get(ZIP);
    let path = route(&request, &Prefix::default()).unwrap();
    let here = Resource::Here { size: 0, tag: Some(tag()), modified: None };
    let response = answer(&request, &path, &here);
    assert_eq!((response.status, field(&response, "content-length")), (Status::Ok, Some("0")));
    let ranged = Request { range: Some("bytes=0-"), ..request };
    assert_eq!(answer(&ranged, &path, &here).status.code(), 416);
}

#[test]
fn what_is_not_there_is_told_apart() {
    let request = get(ZIP);
    let path = route(&request, &Prefix::default()).unwrap();
    let absence = Absence { kind: Kind::Mirror, newest: Newest::None, database: Database::Unknown, not_carried: None };
    for (resource, code, text) in [
        (Resource::Absent(absence), 404, "not in this mirror: ex.org/a@v1.0.0 (.zip)"),
        (Resource::Withdrawn { reason: "CVE\r\nx: y".into() }, 410, "withdrawn: CVE  x: y"),
        (Resource::Unreadable, 500, "the file cannot be read"),
        (Resource::Busy, 503, "too many files are open"),
    ] {
        let response = answer(&request, &path, &resource);
        assert_eq!(response.status.code(), code);
        assert!(matches!(&response.body, Body::Text(body) if body.starts_with(text)), "{response:?}");
        assert!(!response.closes);
    }
}

#[test]
fn a_tile_that_was_cut_is_answered_as_a_file_of_its_own() {
    let own = EntityTag::First { width: 5, of: FileSha256::of(b"wider") };
    let (own_text, wider_text) = (own.to_string(), EntityTag::File(FileSha256::of(b"wider")).to_string());
    let plain = get("/sumdb/sum.golang.org/tile/8/0/000.p/5");
    let path = route(&plain, &Prefix::default()).unwrap();
    let plan =
        |request: &Request<'_>| answer(request, &path, &Resource::Here { size: 160, tag: Some(own), modified: None });
    for (request, status, length) in [
        (plain, 200, Some("160")),
        (Request { method: Method::Head, ..plain }, 200, Some("160")),
        (Request { if_none_match: Some(&own_text), ..plain }, 304, None),
        // Who has the wider file has other bytes.
        (Request { if_none_match: Some(&wider_text), ..plain }, 200, Some("160")),
        (Request { range: Some("bytes=150-999"), if_range: Some(&own_text), ..plain }, 206, Some("10")),
        (Request { range: Some("bytes=150-999"), if_range: Some(&wider_text), ..plain }, 200, Some("160")),
    ] {
        let response = plan(&request);
        assert_eq!((response.status.code(), field(&response, "content-length")), (status, length), "{request:?}");
        assert_eq!(field(&response, "etag"), Some(own_text.as_str()));
        assert_eq!(field(&response, "cache-control"), Some("public, max-age=31536000, immutable"));
    }
    let beyond = plan(&Request { range: Some("bytes=160-"), ..plain });
    assert_eq!((beyond.status.code(), field(&beyond, "content-range")), (416, Some("bytes */160")));
}

#[test]
fn header_fields_are_safe_and_stand_once() {
    for request in [
        get(ZIP),
        get("/"),
        Request { method: Method::Other, ..get("/") },
        Request { range: Some("bytes=99-"), ..get(ZIP) },
    ] {
        let response = plan(&request);
        for (name, value) in &response.fields {
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'), "{name}");
            assert!(value.bytes().all(|b| (b' '..0x7f).contains(&b)), "{name}: {value}");
            assert_eq!(response.fields.iter().filter(|(other, _)| other == name).count(), 1, "{name}");
        }
    }
}

#[test]
fn the_short_way_to_a_whole_file_is_the_same_answer() {
    for target in [ZIP, "/ex.org/a/@v/list", "/ex.org/a/@latest", "/sumdb/sum.golang.org/tile/8/0/001"] {
        for (size, tag, modified) in
            [(0, None, None), (10, Some(tag()), Modified::parse(DATE)), (u64::MAX, Some(tag()), None)]
        {
            let request = get(target);
            let path = route(&request, &Prefix::default()).unwrap();
            let response = answer(&request, &path, &Resource::Here { size, tag, modified });
            let long: String = response.fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let mut short = Vec::new();
            let tag = tag.map(|tag| tag.to_string()).unwrap_or_default();
            let date = modified.map(|modified| modified.to_string()).unwrap_or_default();
            Class::of(&path).write_whole(tag.as_bytes(), date.as_bytes(), size, &mut short);
            assert_eq!(String::from_utf8(short).unwrap(), long, "{target}");
        }
    }
}

#[test]
fn dates_are_for_who_has_no_tag() {
    let here = Resource::Here { size: 10, tag: Some(tag()), modified: Modified::parse(DATE) };
    let plan = |request: &Request<'_>| {
        route(request, &Prefix::default()).map_or_else(|refusal| refusal, |path| answer(request, &path, &here))
    };
    let since = |date| Request { if_modified_since: Some(date), ..get(ZIP) };
    assert_eq!(field(&plan(&get(ZIP)), "last-modified"), Some(DATE));
    for (date, status) in [
        (DATE, 304),
        ("Wed, 21 Oct 2026 07:28:01 GMT", 304),
        ("Wednesday, 21-Oct-26 07:28:00 GMT", 304),
        ("Wed, 21 Oct 2026 07:27:59 GMT", 200),
        ("yesterday", 200),
    ] {
        let response = plan(&since(date));
        assert_eq!(response.status.code(), status, "{date}");
        assert_eq!(response.body == Body::Empty, status == 304, "{date}");
        assert_eq!(field(&response, "etag"), Some(&*tag().to_string()));
        let head = plan(&Request { method: Method::Head, ..since(date) });
        assert_eq!((head.status, head.fields), (response.status, response.fields), "{date}");
    }
    // A tag goes before a date, whatever either says.
    let own = tag().to_string();
    assert_eq!(plan(&Request { if_none_match: Some("\"other\""), ..since(DATE) }).status.code(), 200);
    let known = Request { if_none_match: Some(&own), ..since("Wed, 21 Oct 2015 07:28:00 GMT") };
    assert_eq!(plan(&known).status.code(), 304);
    // In If-Range a date must be the very one.
    let range =
        |if_range| plan(&Request { range: Some("bytes=2-4"), if_range: Some(if_range), ..get(ZIP) }).status.code();
    assert_eq!(range(DATE), 206);
    assert_eq!(range("Wed, 21 Oct 2026 07:28:01 GMT"), 200);
    assert_eq!(range("Wednesday, 21-Oct-26 07:28:00 GMT"), 200);
    // Where no date is known none is compared.
    let unknown = Resource::Here { size: 10, tag: Some(tag()), modified: None };
    let path = route(&get(ZIP), &Prefix::default()).unwrap();
    assert_eq!(answer(&since(DATE), &path, &unknown).status.code(), 200);
}
