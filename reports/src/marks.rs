//! Generated text in documents people write: it stands between two marks, and nothing else is touched.

/// Where a text begins and where it ends.
pub type Marks = [&'static str; 2];

/// A document with no place for a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the document has neither lines {:?} and {:?} nor {:?} and {:?}", .0[0][0], .0[0][1], .0[1][0], .0[1][1]
)]
pub struct NoMarks([Marks; 2]);

/// The document with each of two texts between its marks, where it has them.
///
/// # Errors
/// A document that has neither, or only the beginning of one.
pub fn put(document: &str, texts: [(Marks, &str); 2]) -> Result<String, NoMarks> {
    let missing = || NoMarks(texts.map(|(marks, _)| marks));
    let mut current = document.to_owned();
    let mut places = 0;
    for ([begin, end], text) in texts {
        let Some(start) = current.find(begin).map(|at| at + begin.len()) else { continue };
        let stop = start + current[start..].find(end).ok_or_else(missing)?;
        current.replace_range(start..stop, &format!("\n{text}"));
        places += 1;
    }
    if places > 0 { Ok(current) } else { Err(missing()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stood_between_the_marks_is_replaced() {
        let put = |document| put(document, [(["<b>", "<e>"], "new\n"), (["<c>", "<f>"], "other\n")]);
        assert_eq!(put("a<b>old<e>z"), Ok("a<b>\nnew\n<e>z".into()));
        assert_eq!(put("<c><f><b>old<e>"), Ok("<c>\nother\n<f><b>\nnew\n<e>".into()));
        for lacking in ["a<e>z<b>", "nothing", "<c><f><b>"] {
            assert!(put(lacking).is_err(), "{lacking}");
        }
    }
}
