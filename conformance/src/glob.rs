//! Patterns over case strings.

/// Whether the whole of `text` fits `pattern`, where `*` stands for any characters.
#[must_use]
pub fn fits(pattern: &str, text: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

/// Whether a filter of the command line selects `text`: a pattern for the whole when it has a `*`, else its beginning
/// when it names an op and a parenthesis, else a part.
#[must_use]
pub fn selects(filter: &str, text: &str) -> bool {
    match filter {
        _ if filter.contains('*') => fits(filter, text),
        _ if filter.contains('(') => text.starts_with(filter),
        _ => text.contains(filter),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, text) in [("*", ""), ("a*c", "abbc"), ("hgrn(*dtype=bf16*)", "hgrn(T=1,dtype=bf16)"), ("a", "a")]
        {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [("a*c", "acb"), ("a", "ab"), ("ab*ba", "aba"), ("*b*", "ac")] {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
        assert!(selects("T=1", "hgrn(T=1)") && !selects("T=1*", "hgrn(T=1)"));
        assert!(selects("gla(T=1", "gla(T=16)") && !selects("gla(T=1", "simple_gla(T=16)"), "one op's");
    }
}
