//! Numbers in JSON, which has none for what is not finite: those are written as text (`"inf"`, `"NaN"`).

use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// A number, or the name of one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(f64),
    Name(String),
}

/// Writes a number.
///
/// # Errors
/// The serializer's.
pub fn serialize<S: Serializer>(x: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if x.is_finite() { serializer.serialize_f64(*x) } else { serializer.collect_str(x) }
}

/// Reads one.
///
/// # Errors
/// What is neither a number nor the name of one.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    match Written::deserialize(deserializer)? {
        Written::Number(x) => Ok(x),
        Written::Name(name) => name.parse().map_err(|_| D::Error::custom(format!("expected a number, got {name:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use crate::verdict::Measure;

    #[test]
    fn what_is_not_finite_comes_back() {
        for error in [1.5, f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            let [port, statistic] = ["d_g", "max"].map(str::to_owned);
            let measure = Measure { port, statistic, error, bound: 1.0, relative: error, at: vec![0], runs: 12 };
            let text = serde_json::to_string(&measure).expect("writable");
            let back: Measure = serde_json::from_str(&text).expect("readable");
            assert_eq!(format!("{back:?}"), format!("{measure:?}"), "{text}");
        }
        let bad = r#"{"port":"o","statistic":"max","error":"much","bound":1,"relative":0,"at":[]}"#;
        assert!(serde_json::from_str::<Measure>(bad).is_err());
    }
}
