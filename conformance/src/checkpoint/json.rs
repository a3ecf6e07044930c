//! JSON as Python writes it, with infinities.

use serde_json::{Map, Value};

/// Numbers that JSON does not have, as Python writes them.
const NUMBERS: [&str; 3] = ["-Infinity", "Infinity", "NaN"];

/// An object. A bare `Infinity` becomes what newer versions of transformers write, `{"__float__": "Infinity"}`.
pub(super) fn parse(text: &str) -> Result<Map<String, Value>, serde_json::Error> {
    serde_json::from_str(&spelt(text))
}

/// The text with every bare number of [`NUMBERS`] spelt as an object.
fn spelt(text: &str) -> String {
    let (mut result, mut rest, mut quoted) = (String::with_capacity(text.len()), text, false);
    while let Some(first) = rest.chars().next() {
        let number = NUMBERS.iter().find(|n| !quoted && rest.starts_with(**n));
        let step = match number {
            Some(number) => {
                result.push_str(&format!(r#"{{"__float__": "{number}"}}"#));
                number.len()
            }
            // what is escaped ends no string
            None if quoted && first == '\\' => 1 + rest.chars().nth(1).map_or(0, char::len_utf8),
            None => first.len_utf8(),
        };
        if number.is_none() {
            result.push_str(&rest[..step]);
            quoted ^= first == '"';
        }
        rest = &rest[step..];
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infinities_are_read_outside_of_strings_alone() {
        let object = parse(r#"{"a": [0.0, Infinity], "b\"": "NaN \\", "c": -Infinity}"#).expect("JSON of Python's");
        assert_eq!(object["a"][1]["__float__"], "Infinity");
        assert_eq!(object["b\""], "NaN \\");
        assert_eq!(object["c"]["__float__"], "-Infinity");
        assert!(parse("[1]").is_err());
        assert!(parse(r#"{"a": "\"#).is_err());
    }
}
