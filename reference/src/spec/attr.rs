//! Options.

use std::collections::BTreeMap;
use std::fmt;

/// The value of an attribute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value {
    /// True or false.
    Flag(bool),
    /// A number.
    Number(f64),
    /// Not given: the op derives it (its doc says how).
    Auto,
    /// One of [`Attr::words`].
    Word(&'static str),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(x) => write!(f, "{x}"),
            Self::Number(x) => write!(f, "{x}"),
            Self::Auto => f.write_str("auto"),
            Self::Word(x) => f.write_str(x),
        }
    }
}

/// An option of an op.
#[derive(Debug, Clone, Copy)]
pub struct Attr {
    /// Name.
    pub name: &'static str,
    /// Value when not given; its variant fixes the type ([`Value::Auto`] is a number).
    pub default: Value,
    /// A value that is not the default and changes answers: what cases try.
    pub other: Value,
    /// What a word may be; empty for other types.
    pub words: &'static [&'static str],
    /// What it does, in a clause.
    pub summary: &'static str,
}

impl Attr {
    /// A flag; cases try its opposite.
    #[must_use]
    pub const fn flag(name: &'static str, default: bool, summary: &'static str) -> Self {
        Self { name, default: Value::Flag(default), other: Value::Flag(!default), words: &[], summary }
    }

    /// A number.
    #[must_use]
    pub const fn number(name: &'static str, default: f64, other: f64, summary: &'static str) -> Self {
        Self { name, default: Value::Number(default), other: Value::Number(other), words: &[], summary }
    }

    /// A number that the op derives when it is not given.
    #[must_use]
    pub const fn auto(name: &'static str, other: f64, summary: &'static str) -> Self {
        Self { name, default: Value::Auto, other: Value::Number(other), words: &[], summary }
    }

    /// One of several words, the first unless told otherwise; cases try the second.
    #[must_use]
    pub const fn word(name: &'static str, words: &'static [&'static str], summary: &'static str) -> Self {
        Self { name, default: Value::Word(words[0]), other: Value::Word(words[1]), words, summary }
    }

    /// The value that a word stands for.
    #[must_use]
    pub fn named(&self, word: &str) -> Option<Value> {
        self.words.iter().find(|&&w| w == word).map(|&w| Value::Word(w))
    }

    /// What a value must be, in words.
    #[must_use]
    pub fn expected(&self) -> String {
        match self.default {
            Value::Flag(_) => "true or false".into(),
            Value::Number(_) | Value::Auto => "a number".into(),
            Value::Word(_) => self.words.join(" or "),
        }
    }
}

/// Attribute values that were given; the others have their defaults.
pub type Attrs = BTreeMap<&'static str, Value>;
