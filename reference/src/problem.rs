//! A question without its numbers: which op, how large, with which options.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Error;
use crate::spec::{Attrs, Dim, Domain, OpSpec, Port, Precision, State, Value};
use crate::tensor::DType;

/// Extents, attributes, packing and absent inputs of one call.
#[derive(Debug, Clone)]
pub struct Problem {
    /// The op.
    pub spec: &'static OpSpec,
    /// Extents by name, exactly those of [`OpSpec::sizes`]. When packed, `B` is 1 and `T` the sum of the lengths.
    pub sizes: BTreeMap<Dim, usize>,
    /// Attributes that differ from their default.
    pub attrs: Attrs,
    /// Lengths of the packed sequences; `None` for an ordinary batch.
    pub sequences: Option<Vec<usize>>,
    /// Optional inputs that are not given, and final states that are not asked for.
    pub absent: BTreeSet<&'static str>,
}

impl PartialEq for Problem {
    fn eq(&self, other: &Self) -> bool {
        self.spec.name == other.spec.name
            && self.sizes == other.sizes
            && self.attrs == other.attrs
            && self.sequences == other.sequences
            && self.absent == other.absent
    }
}

impl Problem {
    /// A problem with every optional input given, default attributes and no packing.
    #[must_use]
    pub fn new(spec: &'static OpSpec, sizes: &[(Dim, usize)]) -> Self {
        Self {
            spec,
            sizes: sizes.iter().copied().collect(),
            attrs: Attrs::new(),
            sequences: None,
            absent: BTreeSet::new(),
        }
    }

    /// A problem in which every extent is 1, or the least that its constraints allow.
    #[must_use]
    pub fn smallest(spec: &'static OpSpec) -> Self {
        let sizes: Vec<_> = spec.sizes.iter().map(|&d| (d, 1)).collect();
        let mut problem = Self::new(spec, &sizes);
        problem.mend();
        Self { sizes: problem.sizes, ..Self::new(spec, &[]) }
    }

    /// Extent of `dim`; `N` is derived, a dimension the op does not have is 1.
    #[must_use]
    pub fn size(&self, dim: Dim) -> usize {
        match (dim, &self.sequences) {
            (Dim::N, Some(lengths)) => lengths.len(),
            (Dim::N, None) => self.size(Dim::B),
            _ => self.sizes.get(&dim).copied().unwrap_or(1),
        }
    }

    /// Concrete shape of a port.
    #[must_use]
    pub fn shape(&self, port: &Port) -> Vec<usize> {
        port.dims.iter().map(|&d| self.size(d)).collect()
    }

    /// Inputs that one output of a weight sums: its extents but those of the first axis of upstream's parameter.
    #[must_use]
    pub fn fan_in(&self, port: &Port) -> usize {
        let outputs = port.merged.first().copied().unwrap_or(1);
        port.dims.iter().skip(outputs).map(|&d| self.size(d)).product()
    }

    /// Shape of upstream's parameter of that name.
    #[must_use]
    pub fn merged(&self, port: &Port) -> Vec<usize> {
        let shape = self.shape(port);
        if port.merged.is_empty() {
            return shape;
        }
        let mut rest = shape.as_slice();
        let mut axis = |&n: &usize| {
            let (mine, others) = rest.split_at(n.min(rest.len()));
            rest = others;
            mine.iter().product()
        };
        port.merged.iter().map(&mut axis).collect()
    }

    /// Value of a flag attribute.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        matches!(self.attr(name), Value::Flag(true))
    }

    /// Value of a numeric attribute; `None` when the op is to derive it.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<f64> {
        match self.attr(name) {
            Value::Number(x) => Some(x),
            Value::Flag(_) | Value::Auto | Value::Word(_) => None,
        }
    }

    /// Value of an attribute that is a word; empty when it is none.
    #[must_use]
    pub fn word(&self, name: &str) -> &'static str {
        match self.attr(name) {
            Value::Word(x) => x,
            Value::Flag(_) | Value::Number(_) | Value::Auto => "",
        }
    }

    /// Value of an attribute, given or default.
    #[must_use]
    pub fn attr(&self, name: &str) -> Value {
        let default = || self.spec.attr(name).map_or(Value::Auto, |a| a.default);
        self.attrs.get(name).copied().unwrap_or_else(default)
    }

    /// Whether the attributes let this input be given at all.
    #[must_use]
    pub fn allows(&self, port: &Port) -> bool {
        port.when.iter().flatten().all(|&(flag, value)| self.flag(flag) == value)
    }

    /// Whether this input is given.
    #[must_use]
    pub fn has(&self, port: &Port) -> bool {
        self.allows(port) && !self.absent.contains(port.name)
    }

    /// The inputs that are given, in the spec's order.
    pub fn inputs(&self) -> impl Iterator<Item = &'static Port> + '_ {
        self.spec.inputs.iter().filter(|p| self.has(p))
    }

    /// The outputs that are asked for, in the spec's order.
    pub fn outputs(&self) -> impl Iterator<Item = &'static Port> + '_ {
        self.produced().filter(|p| !self.absent.contains(p.name))
    }

    /// The outputs that there are with these attributes, asked for or not.
    pub fn produced(&self) -> impl Iterator<Item = &'static Port> + '_ {
        self.spec.outputs.iter().filter(|p| self.allows(p))
    }

    /// The states that there are with these attributes.
    pub fn states(&self) -> impl Iterator<Item = &'static State> + '_ {
        self.spec.states.iter().filter(|s| self.spec.input(s.initial).is_some_and(|p| self.allows(p)))
    }

    /// The given inputs that have gradients.
    pub fn differentiable(&self) -> impl Iterator<Item = &'static Port> + '_ {
        self.inputs().filter(|p| p.differentiable)
    }

    /// Where the values of a port come from under these attributes.
    #[must_use]
    pub fn domain(&self, port: &Port) -> Domain {
        let special = port.domain_if.iter().find(|(flag, _)| self.flag(flag));
        special.map_or(port.domain, |&(_, domain)| domain)
    }

    /// Tokens of a block of [`Domain::Blocks`], at least one.
    #[must_use]
    pub fn block(&self, size: Option<&str>) -> usize {
        size.and_then(|name| self.number(name)).map_or(1, |size| (size as usize).max(1))
    }

    /// Element type of a port when the case is stored in `storage`.
    #[must_use]
    pub fn dtype(port: &Port, storage: DType) -> DType {
        match (port.precision, storage) {
            (Precision::Index, _) => DType::I64,
            (Precision::Storage, _) | (_, DType::F64) => storage,
            (Precision::Single, _) => DType::F32,
        }
    }

    /// Whether later tokens cannot matter, in the direction of time.
    #[must_use]
    pub fn causal(&self) -> bool {
        let sees_all = self.spec.attr("causal").is_some() && !self.flag("causal");
        !sees_all && !self.inputs().any(|port| port.looks_ahead)
    }

    /// Whether time runs backwards: the op has a `reverse` attribute and it is true.
    #[must_use]
    pub fn reversed(&self) -> bool {
        self.flag("reverse")
    }

    /// First row of each sequence in the `B·T` token rows, and the end: `N + 1` offsets.
    #[must_use]
    pub fn offsets(&self) -> Vec<usize> {
        let (rows, tokens) = (self.size(Dim::B), self.size(Dim::T));
        let mut offsets = vec![0];
        match &self.sequences {
            Some(lengths) => offsets.extend(lengths.iter().scan(0usize, |end, &n| {
                *end = end.saturating_add(n);
                Some(*end)
            })),
            None => offsets.extend((1..=rows).map(|b| b * tokens)),
        }
        offsets
    }

    /// Tokens of the longest sequence.
    #[must_use]
    pub fn longest(&self) -> usize {
        self.sequences.as_ref().map_or(self.size(Dim::T), |lengths| lengths.iter().copied().max().unwrap_or(0))
    }

    /// `cu_seqlens` of a packed problem.
    #[must_use]
    pub fn cu_seqlens(&self) -> Option<Vec<i64>> {
        self.sequences.as_ref()?;
        Some(self.offsets().into_iter().map(|x| x as i64).collect())
    }

    /// Checks extents, packing, presence and the labelled constraints, of which C0 is every op's.
    ///
    /// # Errors
    /// The first condition that does not hold.
    pub fn validate(&self) -> Result<(), Error> {
        let op = self.spec.name;
        for port in self.spec.inputs.iter().chain(self.spec.outputs) {
            let shape = self.shape(port);
            // an empty tensor must not hide the size of the others
            let bytes = shape.iter().try_fold(DType::F64.size(), |n, &d| n.checked_mul(d.max(1)));
            if bytes.is_none_or(|n| isize::try_from(n).is_err()) {
                return Err(Error::Size { op, port: port.name, shape });
            }
        }
        if let Some(lengths) = &self.sequences {
            let end = lengths.iter().try_fold(0, |end: usize, &n| end.checked_add(n));
            if self.size(Dim::B) != 1 || end != Some(self.size(Dim::T)) {
                let got = self.offsets().into_iter().map(|x| x as i64).collect();
                return Err(Error::Packing { op, tokens: self.size(Dim::T), got });
            }
        }
        for port in self.spec.inputs {
            if self.allows(port) && !port.presence.optional() && self.absent.contains(port.name) {
                return Err(Error::Missing { op, port: port.name.into() });
            }
        }
        let refused = |label, text| Err(Error::Constraint { op, label, text, got: self.to_string() });
        if self.spec.sizes.iter().any(|&d| positive(d) && self.size(d) == 0) {
            return refused("C0", "every extent is positive, that of B and T excepted");
        }
        for c in self.spec.constraints {
            if !(c.holds)(self) {
                return refused(c.label, c.text);
            }
        }
        Ok(())
    }

    /// Makes it meet the constraints that it violates, as each of them says how.
    pub fn mend(&mut self) {
        self.sizes.iter_mut().filter(|(dim, size)| positive(**dim) && **size == 0).for_each(|(_, size)| *size = 1);
        self.settle();
        for c in self.spec.constraints {
            if !(c.holds)(self) {
                (c.mend)(self);
            }
        }
        // what a constraint of a layer says of an extent that the stack does not have
        self.sizes.retain(|dim, _| self.spec.sizes.contains(dim));
    }

    /// Sets to 1 the extents of what the attributes leave out.
    pub fn settle(&mut self) {
        let ports = || self.spec.inputs.iter().filter(|p| self.allows(p)).chain(self.produced());
        let unseen = |d: &&Dim| !ports().any(|p| p.dims.contains(d));
        let unseen: Vec<Dim> = self.spec.sizes.iter().filter(unseen).copied().collect();
        self.sizes.extend(unseen.into_iter().map(|d| (d, 1)));
    }

    /// The problem that these input shapes pose.
    ///
    /// # Errors
    /// An unknown or missing input, a shape that contradicts the spec or another input, a violated constraint.
    pub fn infer(
        spec: &'static OpSpec,
        attrs: Attrs,
        shapes: &BTreeMap<String, Vec<usize>>,
        cu_seqlens: Option<&[i64]>,
    ) -> Result<Self, Error> {
        let mut problem = Self { attrs, ..Self::new(spec, &[]) };
        if let Some(name) = shapes.keys().find(|n| spec.input(n).is_none()) {
            let expected = spec.inputs.iter().map(|p| p.name).collect::<Vec<_>>().join(", ");
            return Err(Error::Unknown { op: spec.name.into(), kind: "input", name: name.clone(), expected });
        }
        for port in spec.inputs {
            match shapes.get(port.name) {
                Some(shape) => problem.bind(port, shape)?,
                None if problem.allows(port) => _ = problem.absent.insert(port.name),
                None => {}
            }
        }
        if let Some(offsets) = cu_seqlens {
            problem.sequences = Some(lengths(spec, offsets, problem.size(Dim::T))?);
        }
        for port in spec.inputs.iter().filter(|p| p.dims.contains(&Dim::N)) {
            if let Some(shape) = shapes.get(port.name) {
                problem.expect(port, shape)?;
            }
        }
        problem.derive();
        problem.validate()?;
        Ok(problem)
    }

    /// Gives an extent that no given input has what the constraints make of it.
    pub(crate) fn derive(&mut self) {
        let mut mended = self.clone();
        mended.mend();
        for &dim in self.spec.sizes {
            self.sizes.entry(dim).or_insert_with(|| mended.size(dim));
        }
    }

    fn bind(&mut self, port: &'static Port, shape: &[usize]) -> Result<(), Error> {
        if !self.allows(port) {
            let expected = self.spec.inputs.iter().filter(|p| self.allows(p)).map(|p| p.name).collect::<Vec<_>>();
            let name = port.name.to_owned();
            return Err(Error::Unknown {
                op: self.spec.name.into(),
                kind: "input",
                name,
                expected: expected.join(", "),
            });
        }
        if shape.len() == port.dims.len() {
            for (&dim, &extent) in port.dims.iter().zip(shape) {
                if dim != Dim::N {
                    self.sizes.entry(dim).or_insert(extent);
                }
            }
        }
        if port.dims.contains(&Dim::N) && shape.len() == port.dims.len() {
            return Ok(());
        }
        self.expect(port, shape)
    }

    /// Checks the concrete shape of a port.
    ///
    /// # Errors
    /// [`Error::Shape`] with the symbolic and the numeric shape expected.
    pub fn expect(&self, port: &Port, shape: &[usize]) -> Result<(), Error> {
        let want = self.shape(port);
        if want == shape {
            return Ok(());
        }
        let names = port.dims.iter().map(|d| d.name()).collect::<Vec<_>>().join(", ");
        let expected = format!("[{names}] = {want:?}");
        Err(Error::Shape { op: self.spec.name, port: port.name.into(), expected, got: shape.to_vec() })
    }
}

/// Whether nothing can be computed where this extent is zero: a softmax over nothing, a scale of no channels. No rows and
/// no tokens are no question, and answered.
fn positive(dim: Dim) -> bool {
    !matches!(dim, Dim::B | Dim::N | Dim::T)
}

/// The lengths that offsets describe.
fn lengths(spec: &OpSpec, offsets: &[i64], tokens: usize) -> Result<Vec<usize>, Error> {
    let ordered = offsets.windows(2).all(|w| w[0] <= w[1]);
    let spans = offsets.first() == Some(&0) && offsets.last().is_some_and(|&end| usize::try_from(end) == Ok(tokens));
    if !ordered || !spans {
        return Err(Error::Packing { op: spec.name, tokens, got: offsets.to_vec() });
    }
    Ok(offsets.windows(2).map(|w| (w[1] - w[0]) as usize).collect())
}
