//! The valid name that somebody probably meant.

/// The candidate with the smallest edit distance to `name`; empty when there are none.
pub fn nearest<'a>(name: &str, valid: impl IntoIterator<Item = &'a str>) -> &'a str {
    valid.into_iter().min_by_key(|known| distance(name, known)).unwrap_or_default()
}

/// Levenshtein's edit distance.
#[must_use]
pub fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.chars().enumerate() {
            let cost = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.chars().count()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_levenshteins() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(nearest("hrgn", ["simple_gla", "hgrn"]), "hgrn");
        assert_eq!(nearest("x", []), "");
    }
}
