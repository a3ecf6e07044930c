//! Problems as text: `gated_delta_rule(B=1,T=9,H=2,HV=4,K=16,V=8,scale=0.5,seqs=4+0+5,absent=h0)`.

use std::fmt;

use crate::error::Error;
use crate::problem::Problem;
use crate::spec::{Dim, Port, Value};

impl Problem {
    /// The fields of the problem's text in their canonical order: sizes, attributes, packing, what is absent.
    #[must_use]
    pub fn fields(&self) -> Vec<(String, String)> {
        let mut fields = Vec::new();
        for dim in self.spec.sizes {
            fields.push((dim.name().to_owned(), self.size(*dim).to_string()));
        }
        for (name, value) in &self.attrs {
            fields.push(((*name).to_owned(), value.to_string()));
        }
        if let Some(lengths) = &self.sequences {
            let text: Vec<_> = lengths.iter().map(ToString::to_string).collect();
            fields.push(("seqs".to_owned(), text.join("+")));
        }
        if !self.absent.is_empty() {
            let names: Vec<_> = self.absent.iter().copied().collect();
            fields.push(("absent".to_owned(), names.join("+")));
        }
        fields
    }

    /// Sets one field from its text; `Ok(false)` when the key is not one of a problem's.
    ///
    /// # Errors
    /// A value that does not parse, something absent that does not exist or is required.
    pub fn set(&mut self, key: &str, value: &str) -> Result<bool, Error> {
        let op = self.spec.name;
        let bad = |expected: &str| {
            let expected = expected.to_owned();
            Error::Attribute { op, attr: key.to_owned(), expected, got: value.to_owned() }
        };
        if let Some(dim) = Dim::from_name(key).filter(|d| self.spec.sizes.contains(d)) {
            self.sizes.insert(dim, value.parse().map_err(|_| bad("a size"))?);
        } else if let Some(attr) = self.spec.attr(key) {
            let parsed = match attr.default {
                Value::Flag(_) => value.parse().ok().map(Value::Flag),
                Value::Word(_) => attr.named(value),
                _ if value == "auto" => Some(Value::Auto),
                _ => value.parse().ok().map(Value::Number),
            };
            let parsed = parsed.ok_or_else(|| bad(&attr.expected()))?;
            if parsed == attr.default {
                self.attrs.remove(attr.name);
            } else {
                self.attrs.insert(attr.name, parsed);
            }
        } else if key == "seqs" {
            // no sequence at all is the empty text
            let lengths: Result<Vec<_>, _> = value.split('+').filter(|_| !value.is_empty()).map(str::parse).collect();
            self.sequences = Some(lengths.map_err(|_| bad("lengths joined by +"))?);
        } else if key == "absent" {
            for name in value.split('+') {
                self.leave_out(name)?;
            }
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn leave_out(&mut self, name: &str) -> Result<(), Error> {
        let optional = |p: &&Port| p.presence.optional();
        let inputs = self.spec.inputs.iter().filter(optional).map(|p| p.name);
        let optional: Vec<&'static str> = inputs.chain(self.spec.states.iter().map(|s| s.last)).collect();
        if let Some(name) = optional.iter().find(|&&n| n == name) {
            self.absent.insert(name);
            return Ok(());
        }
        let (kind, expected) = ("optional input or final state", optional.join(", "));
        Err(Error::Unknown { op: self.spec.name.into(), kind, name: name.to_owned(), expected })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields: Vec<_> = self.fields().into_iter().map(|(k, v)| format!("{k}={v}")).collect();
        write!(f, "{}({})", self.spec.name, fields.join(","))
    }
}
