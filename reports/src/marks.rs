//! Generated text in documents people write: it stands between two marks, and nothing else is touched.

/// The document with `text` between these marks; `None` when they are not there, in this order.
#[must_use]
pub fn put(document: &str, [begin, end]: [&str; 2], text: &str) -> Option<String> {
    let start = document.find(begin)? + begin.len();
    let stop = start + document[start..].find(end)?;
    Some(format!("{}\n{text}{}", &document[..start], &document[stop..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stood_between_the_marks_is_replaced() {
        assert_eq!(put("a<b>old<e>z", ["<b>", "<e>"], "new\n").as_deref(), Some("a<b>\nnew\n<e>z"));
        assert_eq!(put("a<e>z<b>", ["<b>", "<e>"], "new"), None);
        assert_eq!(put("nothing", ["<b>", "<e>"], "new"), None);
    }
}
