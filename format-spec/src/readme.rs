//! The fixed text of `README.txt` (SPEC M24): how to check and use a bundle without modferry.

/// The bytes of `README.txt` in this draft of format 1; no id, no date, so it is the same in each bundle.
pub const TEXT: &str = "\
This directory is a modferry bundle: Go modules for a network without internet, in the layout of Go's module
download API, format 1.

Check it, with GNU coreutils alone:

    sha256sum --strict --quiet -c BUNDLE
    sha256sum --strict --quiet -c SHA256SUMS
    diff <(cut -c67- SHA256SUMS | LC_ALL=C sort) <(find download extra -type f 2>/dev/null | LC_ALL=C sort)
    find . ! -type f ! -type d

The first command prints nothing if the list files are whole, the second if every listed file is; the third
finds files too many or too few, the fourth finds links and devices. The id of the bundle is the output of
`sha256sum BUNDLE` (its short form is the first 32 digits, in groups of four); compare it with the one that the sender
told you.

Use it, with the go command alone:

    export GOPROXY=file:///path/to/this/directory/download
    export GOTOOLCHAIN=local
    go build ./...

go verifies each module against the checksum database, of which download/sumdb/ has the part that proves them. Modules
that without_record in bundle.json names come without such a proof: export GONOSUMDB with these patterns and commas
between (a * means every module), and where GOPRIVATE names them GONOPROXY=none: else go would leave the bundle for
them. If the key in databases is not that of sum.golang.org, export GOSUMDB with that key. A machine that has used the
checksum database elsewhere before may miss a tile of it here; it forgets what it knew with

    rm -rf \"$(go env GOPATH)/pkg/sumdb\" \"$(go env GOMODCACHE)/cache/download/sumdb\"

Any web server can serve the directory download/ as it is; GOPROXY is then its URL.
";
