//! What bundle.json says of databases, and the two files that stand beside their lookups.

use super::Case;
use super::bundle::{Bundle, go_mod, log_file, lookup, tile};
use super::sound::OTHER;
use crate::naive_tree::{NAME, NaiveTree, SEED, key_of, sign, sign_as};
use modferry_format::header::Database;

/// A bundle of one module that needs no record, whose bundle.json names a database of which nothing is carried.
fn names(key: String, head: String) -> Bundle {
    Bundle::private().stated(|databases| databases.push(Database { key, head, served: Vec::new() }))
}

pub(super) fn cases() -> Vec<Case> {
    [keys(), heads(), served(), files()].into_iter().flatten().collect()
}

fn json(kind: &'static str) -> [(&'static str, String); 1] {
    [(kind, "bundle.json".to_owned())]
}

fn keys() -> Vec<Case> {
    let log = NaiveTree::new(5);
    let own = key_of(NAME, SEED);
    let key = |name, about, key: String| Case::bad(name, "M90", about, names(key, log.note(5)), json("database-key"));
    vec![
        key(
            "key-known",
            "the key of sum.golang.org is known, and it is not this one",
            key_of("sum.golang.org", [1; 32]),
        ),
        key("key-malformed", "a key without its hash", own.replacen('+', "", 1)),
        key("key-other-hash", "the hash of another key", {
            let (name, rest) = own.split_once('+').unwrap();
            format!("{name}+00000000{}", &rest[8..])
        }),
        key("key-upper-case", "the hash in another spelling, which Go takes", {
            let (name, rest) = own.split_once('+').unwrap();
            format!("{name}+{}{}", rest[..8].to_uppercase(), &rest[8..])
        })
        .stricter(),
        key(
            "key-name",
            "a name that is none of a database",
            own.replace("sum.example.com/log", "sum.example.com/latest"),
        ),
        Case::bad(
            "twice",
            "M90",
            "a database twice",
            Bundle::of(&log, 5, &[3], &[]).stated(|databases| databases.push(databases[0].clone())),
            json("database-key"),
        ),
        Case::bad(
            "order",
            "M90 M91",
            "databases out of order: the second is passed over, and so has no files",
            Bundle::of(&log, 5, &[3], &[]).database(&log, OTHER, 1, &[0], &[]),
            [
                ("database-key", "bundle.json".to_owned()),
                ("tree-head", "download/sumdb/sum.corp.example/latest".to_owned()),
                ("tree-head", "download/sumdb/sum.corp.example/lookup/example.com/m0@v1.0.0".to_owned()),
                ("tree-head", "download/sumdb/sum.corp.example/supported".to_owned()),
                ("tile", "download/sumdb/sum.corp.example/tile/8/0/000.p/1".to_owned()),
            ],
        ),
    ]
}

fn heads() -> Vec<Case> {
    let log = NaiveTree::new(5);
    let head =
        |name, about, head: String| Case::bad(name, "M92", about, names(key_of(NAME, SEED), head), json("tree-head"));
    let text = log.head_text(5);
    vec![
        head("head-unsigned", "a head without signature", text.clone()),
        head("head-other-signer", "a head that another database has signed", sign_as(&text, OTHER.0, OTHER.1)),
        head("head-namesake", "signed in the name of the database with another key", sign_as(&text, NAME, OTHER.1)),
        head("head-forged", "a genuine signature under another size", log.note(5).replacen("\n5\n", "\n4\n", 1)),
        head("head-no-tree", "signed, but no head", sign("go.sum database trees\n")),
        head("head-size", "signed, with a size that has a leading zero", sign(&text.replacen("\n5\n", "\n05\n", 1))),
        head("head-root", "signed, with a root in base64 that is not canonical, which Go takes", {
            // The last digit before the padding has two bits that say nothing.
            let at = text.len() - 3;
            let digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
            let next = digits[digits.find(&text[at..=at]).unwrap() + 1..].chars().next().unwrap();
            sign(&format!("{}{next}=\n", &text[..at]))
        })
        .stricter(),
        head("head-cut", "a note that ends within its signature", {
            let mut note = log.note(5);
            note.truncate(note.len() - 9);
            note
        }),
    ]
}

fn served() -> Vec<Case> {
    let log = NaiveTree::new(9);
    let served = |name, about, served: &[String]| {
        let bundle = Bundle::of(&log, 5, &[3], &[]).stated(|databases| databases[0].served = served.into());
        Case::bad(name, "M92", about, bundle, json("tree-head"))
    };
    let (two, text) = (log.note(2), log.head_text(4));
    // The first of two is served as it should be, and so has its own tile.
    let second = |name, about, second: u64| {
        let bundle = Bundle::of(&log, 5, &[3], &[4]).stated(|databases| databases[0].served.push(log.note(second)));
        Case::bad(name, "M92", about, bundle, json("tree-head"))
    };
    vec![
        second("served-descending", "served heads that descend", 2),
        second("served-twice", "a served head twice", 4),
        served("served-head", "the head itself among the served ones", &[log.note(5)]),
        served("served-newer", "a served head that is newer than the head", &[log.note(6)]),
        served("served-empty", "the head of the empty tree, which no client stores", &[log.note(0)]),
        served("served-unsigned", "a served head without signature", std::slice::from_ref(&text)),
        served("served-other-signer", "a served head of another database", &[sign_as(&text, OTHER.0, OTHER.1)]),
        served("served-forged", "a genuine signature under another size", &[two.replacen("\n2\n", "\n3\n", 1)]),
    ]
}

fn files() -> Vec<Case> {
    let log = NaiveTree::new(5);
    let one = || Bundle::of(&log, 5, &[3], &[]);
    let file = |name, about, bundle, file| Case::bad(name, "M91", about, bundle, [("tree-head", log_file(file))]);
    vec![
        file("no-supported", "`go` would ask elsewhere", one().without(&log_file("supported")), "supported"),
        file(
            "supported-empty",
            "a supported without content",
            one().change(&log_file("supported"), Vec::clear),
            "supported",
        ),
        file(
            "supported-more",
            "a supported with a line more",
            one().with(&log_file("supported"), b"ok\n\n"),
            "supported",
        ),
        file("no-latest", "a database without its head as a file", one().without(&log_file("latest")), "latest"),
        file(
            "latest-older",
            "a genuine head that is not the one of bundle.json",
            one().with(&log_file("latest"), log.note(4).as_bytes()),
            "latest",
        ),
        file(
            "latest-signed-twice",
            "the head of bundle.json with one more signature is not the same bytes",
            one().change(&log_file("latest"), |note| {
                let signature = String::from_utf8(note.clone()).unwrap().split_once("\n\n").unwrap().1.to_owned();
                note.extend(signature.bytes());
            }),
            "latest",
        ),
        Case::bad(
            "unnamed",
            "M91 M56",
            "files of a database that bundle.json does not name; so the module has no record",
            one().stated(Vec::clear),
            [
                ("record", go_mod(3)),
                ("tree-head", log_file("latest")),
                ("tree-head", lookup(3)),
                ("tree-head", log_file("supported")),
                ("tile", tile("0/000.p/5")),
            ],
        ),
    ]
}
