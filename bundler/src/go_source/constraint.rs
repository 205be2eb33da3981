//! Build constraints as `go mod tidy` reads them: every tag holds but `ignore` (`AnyTags` of cmd/go/internal/imports).

/// Whether a `//go:build` expression can hold. One that is no expression holds: go would say what is wrong with it.
pub(super) fn holds(expression: &str) -> bool {
    let expression = expression.split("//").next().unwrap_or_default();
    let mut tokens = Vec::new();
    let mut rest = expression.trim_start();
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '&' | '|' => 2,
            '!' | '(' | ')' => 1,
            _ => rest.find(['&', '|', '!', '(', ')', ' ', '\t']).unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at_checked(len).unwrap_or((rest, ""));
        tokens.push(token);
        rest = after.trim_start();
    }
    let mut parser = Parser { tokens, at: 0 };
    match parser.any() {
        Some(value) if parser.at == parser.tokens.len() => value,
        _ => true,
    }
}

/// Whether one option of a `// +build` line can hold: options are separated by spaces, terms of one by commas.
pub(super) fn any_holds(options: &str) -> bool {
    let term = |term: &str| match term.strip_prefix('!') {
        Some(negated) => negated == "ignore",
        None => term != "ignore",
    };
    let mut options = options.split_whitespace().peekable();
    options.peek().is_none() || options.any(|option| option.split(',').all(term))
}

/// Deepest nesting that is read; deeper counts as no expression.
const MAX_DEPTH: usize = 100;

struct Parser<'a> {
    tokens: Vec<&'a str>,
    at: usize,
}

impl Parser<'_> {
    fn any(&mut self) -> Option<bool> {
        self.any_at(0)
    }

    fn any_at(&mut self, depth: usize) -> Option<bool> {
        let mut value = self.all(depth)?;
        while self.takes("||") {
            value |= self.all(depth)?;
        }
        Some(value)
    }

    fn all(&mut self, depth: usize) -> Option<bool> {
        let mut value = self.not(depth)?;
        while self.takes("&&") {
            value &= self.not(depth)?;
        }
        Some(value)
    }

    fn not(&mut self, depth: usize) -> Option<bool> {
        if depth > MAX_DEPTH {
            return None;
        }
        if self.takes("!") {
            // A tag that need not be there may be missing as well: only `ignore` is known.
            return match self.tokens.get(self.at) {
                Some(&"(") => Some(!self.not(depth + 1)?),
                Some(&tag) if !["&&", "||", "!", ")"].contains(&tag) => {
                    self.at += 1;
                    Some(true)
                }
                _ => None,
            };
        }
        if self.takes("(") {
            let value = self.any_at(depth + 1)?;
            return self.takes(")").then_some(value);
        }
        let tag = *self.tokens.get(self.at)?;
        self.at += 1;
        (!["&&", "||", "!", ")", "("].contains(&tag)).then_some(tag != "ignore")
    }

    fn takes(&mut self, token: &str) -> bool {
        let takes = self.tokens.get(self.at) == Some(&token);
        self.at += usize::from(takes);
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tag_holds_but_ignore() {
        for (expression, expected) in [
            (" linux", true),
            (" ignore", false),
            (" (ignore)", false),
            (" ignore&&linux", false),
            (" ignore || linux", true),
            (" !ignore", true),
            (" !linux", true),
            (" !(!ignore)", false),
            (" !(linux && ignore)", true),
            (" linux && (", true),
            ("", true),
        ] {
            assert_eq!(holds(expression), expected, "{expression}");
        }
        assert!(any_holds(" ignore linux") && any_holds(" !ignore") && any_holds(""));
        assert!(!any_holds(" ignore,linux") && !any_holds(" ignore"));
        assert!(holds(&format!(" {}x{}", "(".repeat(1000), ")".repeat(1000))));
    }
}
