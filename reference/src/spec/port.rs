//! Inputs and outputs.

use super::{Dim, Domain, Precision, Presence};

/// An input or output.
#[derive(Debug, Clone, Copy)]
pub struct Port {
    /// Name in the field's notation: `q`, `beta`, `h0`.
    pub name: &'static str,
    /// Symbolic shape, slowest first.
    pub dims: &'static [Dim],
    /// Where its values come from (inputs).
    pub domain: Domain,
    /// Domain to use instead when a flag attribute is true: a raw gate where a log decay was.
    pub domain_if: &'static [(&'static str, Domain)],
    /// Element type.
    pub precision: Precision,
    /// Whether upstream defines a gradient for it (inputs) or takes a cotangent (outputs).
    pub differentiable: bool,
    /// Whether it may be absent, and what that means (inputs).
    pub presence: Presence,
    /// Up to two flag attributes, and their values, without which there is no such port.
    pub when: [Option<(&'static str, bool)>; 2],
    /// How many extents each axis of upstream's parameter of that name merges, where it is not one each: a projection to
    /// `H` heads of width `K` is `[H, K, D]` here and `[H·K, D]` there. 0 stands for an axis of extent 1.
    pub merged: &'static [usize],
    /// Whether it lets later tokens matter (inputs).
    pub looks_ahead: bool,
}

impl Port {
    /// A required, differentiable port in storage precision.
    #[must_use]
    pub const fn new(name: &'static str, dims: &'static [Dim], domain: Domain) -> Self {
        Self {
            name,
            dims,
            domain,
            domain_if: &[],
            precision: Precision::Storage,
            differentiable: true,
            presence: Presence::Required,
            when: [None, None],
            merged: &[],
            looks_ahead: false,
        }
    }

    /// The same port, which lets later tokens matter.
    #[must_use]
    pub const fn looks_ahead(mut self) -> Self {
        self.looks_ahead = true;
        self
    }

    /// A parameter with upstream's name, which merges these numbers of extents into each of its axes.
    #[must_use]
    pub const fn weight(name: &'static str, dims: &'static [Dim], merged: &'static [usize]) -> Self {
        Self { merged, ..Self::new(name, dims, Domain::Weight) }
    }

    /// A bias with upstream's name: absent means zeros.
    #[must_use]
    pub const fn bias(name: &'static str, dims: &'static [Dim], merged: &'static [usize]) -> Self {
        Self { merged, ..Self::new(name, dims, Domain::Normal) }.presence(Presence::OrZero)
    }

    /// The weight of a norm with upstream's name: absent means ones.
    #[must_use]
    pub const fn scale(name: &'static str, dims: &'static [Dim]) -> Self {
        Self::new(name, dims, Domain::Uniform(0.5, 1.5)).presence(Presence::OrOne)
    }

    /// The same port, where upstream's parameter merges these numbers of extents into each of its axes.
    #[must_use]
    pub const fn merged(mut self, merged: &'static [usize]) -> Self {
        self.merged = merged;
        self
    }

    /// The same port in single precision.
    #[must_use]
    pub const fn single(mut self) -> Self {
        self.precision = Precision::Single;
        self
    }

    /// The same port, of integers.
    #[must_use]
    pub const fn index(mut self) -> Self {
        self.precision = Precision::Index;
        self.constant()
    }

    /// The same port, without a gradient.
    #[must_use]
    pub const fn constant(mut self) -> Self {
        self.differentiable = false;
        self
    }

    /// The same port with another presence.
    #[must_use]
    pub const fn presence(mut self, presence: Presence) -> Self {
        self.presence = presence;
        self
    }

    const fn on(mut self, flag: &'static str, value: bool) -> Self {
        self.when = match self.when {
            [None, _] => [Some((flag, value)), None],
            [first, _] => [first, Some((flag, value))],
        };
        self
    }

    /// The same port, which exists only when this flag attribute is true.
    #[must_use]
    pub const fn when(self, flag: &'static str) -> Self {
        self.on(flag, true)
    }

    /// The same port, which exists only when this flag attribute is false.
    #[must_use]
    pub const fn unless(self, flag: &'static str) -> Self {
        self.on(flag, false)
    }

    /// Whether it may be absent or given as one likes, whatever the attributes are.
    #[must_use]
    pub const fn free(&self) -> bool {
        self.presence.optional() && self.when[0].is_none()
    }

    /// The same port with other domains under some attributes; the first true one wins.
    #[must_use]
    pub const fn domain_if(mut self, domains: &'static [(&'static str, Domain)]) -> Self {
        self.domain_if = domains;
        self
    }
}
