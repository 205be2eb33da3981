//! The head of a Go source file: its package clause and import declarations, which is all that loading packages takes.
//!
//! go resolves a closure by the imports of files, whatever follows them. So a package of heads loads as the whole one does,
//! with a fraction of the bytes.

mod constraint;

/// What a file imports, and where that ends.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct GoHead {
    /// The name of the package.
    pub(crate) package: String,
    /// Whether a build constraint stands before it.
    pub(crate) is_constrained: bool,
    /// The import paths, in the order of the file.
    pub(crate) imports: Vec<String>,
    /// Bytes up to the end of the last import declaration, or of the package clause.
    pub(crate) len: usize,
    /// A `//go:build ignore` or `// +build ignore` keeps the file out of everything.
    pub(crate) is_ignored: bool,
}

/// Reads the head of a file of which these are the first bytes; none if there are too few of them to tell where it ends, or if
/// it is no Go source.
pub(crate) fn head(bytes: &[u8]) -> Option<GoHead> {
    let mut tokens = Tokens {
        bytes,
        at: if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 },
        is_ignored: false,
        is_constrained: false,
    };
    if tokens.next()? != b"package" {
        return None;
    }
    let package = String::from_utf8_lossy(tokens.next()?).into_owned();
    let Tokens { at: len, is_ignored, is_constrained, .. } = tokens;
    let mut head = GoHead { package, is_constrained, len, is_ignored, imports: Vec::new() };
    while tokens.next()? == b"import" {
        let mut token = tokens.next()?;
        let is_block = token == b"(";
        if is_block {
            token = tokens.next()?;
        }
        while token != b")" {
            if token.starts_with(b"\"") || token.starts_with(b"`") {
                head.imports.push(String::from_utf8_lossy(&token[1..token.len() - 1]).into_owned());
                if !is_block {
                    break;
                }
            }
            // Else it is the name that the file gives to the import; a number or a sign is no Go.
            if token != b"." && !token.starts_with(b"\"") && !token.starts_with(b"`") && !is_name(token) {
                return None;
            }
            token = tokens.next()?;
        }
        head.len = tokens.at;
    }
    Some(head)
}

/// The head of a whole file, which may end with it; the bytes get an end that is certain.
pub(crate) fn whole_head(bytes: &mut Vec<u8>) -> Option<GoHead> {
    let len = bytes.len();
    bytes.extend_from_slice(b"\n}\n");
    head(bytes).filter(|head| head.len <= len)
}

/// The name of the package of a whole file; none for one that a build tag keeps out of everything.
pub(crate) fn package(bytes: &[u8]) -> Option<String> {
    whole_head(&mut bytes.to_vec()).filter(|head| !head.is_ignored).map(|head| head.package)
}

/// The imports of a whole file; none for one that a build tag keeps out of everything, or that is cut off.
pub(crate) fn imports(bytes: &[u8]) -> Vec<String> {
    whole_head(&mut bytes.to_vec()).filter(|head| !head.is_ignored).map_or_else(Vec::new, |head| head.imports)
}

/// The words of the head of a Go file, without comments, space and semicolons.
struct Tokens<'a> {
    bytes: &'a [u8],
    at: usize,
    is_ignored: bool,
    is_constrained: bool,
}

impl<'a> Tokens<'a> {
    /// The next word; none where the bytes end before it is certain to be whole.
    fn next(&mut self) -> Option<&'a [u8]> {
        self.skip()?;
        let rest = &self.bytes[self.at..];
        let first = *rest.first()?;
        let len = match first {
            b'"' | b'`' => rest[1..].iter().position(|&byte| byte == first)? + 2,
            _ if is_word(first) => rest.iter().position(|&byte| !is_word(byte))?,
            _ => 1,
        };
        self.at += len;
        Some(&rest[..len])
    }

    fn skip(&mut self) -> Option<()> {
        loop {
            let rest = &self.bytes[self.at..];
            if rest.first()?.is_ascii_whitespace() || rest[0] == b';' {
                self.at += 1;
            } else if rest.starts_with(b"//") {
                let len = rest.iter().position(|&byte| byte == b'\n')?;
                let line = String::from_utf8_lossy(&rest[2..len]);
                if let Some(expression) =
                    line.strip_prefix("go:build").filter(|rest| rest.starts_with([' ', '\t', '(']))
                {
                    self.is_constrained = true;
                    self.is_ignored |= !constraint::holds(expression);
                } else if let Some(options) =
                    line.trim_start().strip_prefix("+build").filter(|rest| rest.starts_with([' ', '\t']))
                {
                    self.is_constrained = true;
                    self.is_ignored |= !constraint::any_holds(options);
                }
                self.at += len;
            } else if rest.starts_with(b"/*") {
                let len = rest.windows(2).skip(2).position(|pair| pair == b"*/")?;
                self.at += len + 4;
            } else {
                return (rest.len() > 1 || rest[0] != b'/').then_some(());
            }
        }
    }
}

/// Platforms that a file is for by its name alone, `x_linux.go` or `x_windows_amd64_test.go` (`knownOS` and `knownArch` of
/// go/build, those that are gone with them).
const PLATFORMS: [&str; 45] = [
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "wasip1",
    "windows",
    "zos",
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "armbe",
    "arm64",
    "arm64be",
    "loong64",
    "mips",
    "mipsle",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "ppc",
    "ppc64",
    "ppc64le",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
    "wasip2",
    "unix",
    "cgo",
];

/// Whether the name of a file binds it to a platform.
pub(crate) fn has_platform(name: &str) -> bool {
    // go cuts the name at its first dot.
    let stem = name.split('.').next().unwrap_or(name);
    let stem = stem.strip_suffix("_test").unwrap_or(stem);
    stem.split_once('_').is_some_and(|(_, rest)| rest.split('_').any(|word| PLATFORMS.contains(&word)))
}

fn is_name(token: &[u8]) -> bool {
    token.first().is_some_and(|&first| is_word(first) && !first.is_ascii_digit())
}

/// Letters beyond ASCII are of words as well.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "// Package p. import \"no\"\npackage p // here\n\nimport \"a.b/c\"; import x \"d.e\"\n/* import \"no\" */\nimport (\n\t_ \"f.g/h\"\n\t. `i.j`\n\t\"fmt\"\n)\n\n//go:embed x\nvar s = `import \"no\"`\n";

    #[test]
    fn reads_every_form_of_import() {
        assert_eq!(imports(SOURCE.as_bytes()), ["a.b/c", "d.e", "f.g/h", "i.j", "fmt"]);
        assert_eq!(imports(b"package p"), [""; 0]);
        assert_eq!(imports(b"package p; import \"a.b/c\""), ["a.b/c"]);
        assert_eq!(imports("package \u{e9}\nimport \"a.b/c\"\n".as_bytes()), ["a.b/c"]);
    }

    #[test]
    fn passes_over_what_a_tag_keeps_out_and_what_is_cut_off() {
        assert!(imports(b"//go:build ignore\n\npackage main\n\nimport \"a.b/c\"\n").is_empty());
        assert_eq!(imports(b"//go:build linux\n\npackage main\n\nimport \"a.b/c\"\n"), ["a.b/c"]);
        assert!(imports(b"package p\nimport (\n\"a.b").is_empty());
        assert!(imports(b"/* never closed").is_empty());
        assert!(imports(b"").is_empty());
    }

    #[test]
    fn a_head_ends_with_its_imports() {
        let head = head(SOURCE.as_bytes()).unwrap();
        assert!(SOURCE[..head.len].ends_with("\"fmt\"\n)"));
        assert_eq!(super::head(b"package p\n\nvar x int\n").unwrap().len, "package p".len());
    }

    #[test]
    fn names_bind_files_to_platforms() {
        assert!(has_platform("a_linux.go") && has_platform("a_b_windows_amd64_test.go") && has_platform("x_js_y.go"));
        assert!(!has_platform("linux.go") && !has_platform("a_b.go") && !has_platform("a_test.go"));
    }

    #[test]
    fn no_beginning_of_a_file_has_another_head() {
        let whole = head(SOURCE.as_bytes()).unwrap();
        for len in 0..SOURCE.len() {
            if let Some(head) = head(&SOURCE.as_bytes()[..len]) {
                assert_eq!(head, whole, "{len}");
            }
        }
    }

    #[test]
    fn any_bytes_are_read_to_an_end() {
        for byte in 0..=u8::MAX {
            for at in 0..SOURCE.len() {
                let mut bytes = SOURCE.as_bytes().to_vec();
                bytes[at] = byte;
                let _ = (head(&bytes), imports(&bytes));
            }
        }
    }
}
